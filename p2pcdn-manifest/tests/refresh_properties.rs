//! What holds of the refresh machine whatever happens to it.
#![cfg(feature = "hls")]

mod support;

use std::{collections::BTreeSet, time::Duration};

use p2pcdn_manifest::{Config, Input, LoadFailure, Output, Refresh};
use p2pcdn_wire::{Instant, TrackId};
use proptest::prelude::*;
use support::{dated, live};

const LIST: &str = "https://h.example/list.m3u8";
const URLS: [&str; 3] = [LIST, "https://h.example/a.m3u8", "https://h.example/b.m3u8"];

#[derive(Clone, Debug)]
enum Step {
    /// Milliseconds go by.
    Pass(u64),
    /// A load under way is answered, by number.
    Answer(prop::sample::Index, Option<String>),
    /// A playlist arrives unasked.
    Unasked(usize, String),
    Activate(usize),
    Deactivate(usize),
    News(usize),
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\nb.m3u8\n"
                .to_owned()
        ),
        ("[st]", 0u64..40, 0u64..6).prop_map(|(name, first, count)| live(&name, first, count)),
        ("[st]", 0u64..40, 1u64..6, 0u64..99)
            .prop_map(|(name, first, count, at)| dated(&name, first, count, at)),
        (0u64..40).prop_map(|first| live("s", first, 3) + "#EXT-X-ENDLIST\n"),
        Just("<html>".to_owned()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let any_index = any::<prop::sample::Index>;
    prop_oneof![
        (0u64..5000).prop_map(Step::Pass),
        (any_index(), text()).prop_map(|(at, text)| Step::Answer(at, Some(text))),
        any_index().prop_map(|at| Step::Answer(at, None)),
        (0usize..3, text()).prop_map(|(at, text)| Step::Unasked(at, text)),
        (0usize..2).prop_map(Step::Activate),
        (0usize..2).prop_map(Step::Deactivate),
        (0usize..2).prop_map(Step::News),
    ]
}

/// Everything that was put out, having checked what must hold.
fn run(steps: &[Step]) -> Vec<Output> {
    let mut now = Instant::EPOCH;
    let mut refresh = Refresh::new(Config::default(), LIST, now);
    let mut outputs = Vec::new();
    let mut loading: BTreeSet<String> = BTreeSet::new();
    let mut tracks: Vec<TrackId> = Vec::new();
    for step in steps {
        while let Some(output) = refresh.poll_output() {
            match &output {
                Output::Load { url, .. } => {
                    assert!(
                        loading.insert(url.to_string()),
                        "one load per URL at a time"
                    );
                }
                Output::Updated(update) => {
                    tracks = update
                        .presentation
                        .tracks
                        .iter()
                        .map(|track| track.id)
                        .collect();
                    for segments in update
                        .presentation
                        .tracks
                        .iter()
                        .filter_map(|t| t.segments.as_ref())
                    {
                        let ordinals: Vec<u64> = segments.iter().map(|s| s.ordinal).collect();
                        let window = segments.window();
                        assert_eq!(ordinals, (window.start..window.end).collect::<Vec<_>>());
                        assert!(segments.iter().is_sorted_by_key(|s| s.start));
                    }
                }
                Output::Event(_) => {}
            }
            outputs.push(output);
        }
        let track = |at: &usize| tracks.get(*at).copied().unwrap_or(TrackId::new([0; 16]));
        let loaded = |url: &str, text: &str| Input::Loaded {
            range: None,
            url: url.into(),
            final_url: url.into(),
            body: text.to_owned().into(),
        };
        let input = match step {
            Step::Pass(millis) => {
                now += Duration::from_millis(*millis);
                refresh.handle_timeout(now);
                assert!(refresh.poll_timeout().is_none_or(|next| next > now));
                continue;
            }
            Step::Answer(at, text) => {
                let Some(url) = loading.iter().nth(at.index(loading.len().max(1))).cloned() else {
                    continue;
                };
                loading.remove(&url);
                match text {
                    Some(text) => loaded(&url, text),
                    None => Input::LoadFailed {
                        range: None,
                        url: url.as_str().into(),
                        reason: LoadFailure::Network,
                    },
                }
            }
            Step::Unasked(at, text) => {
                let Some(url) = URLS.get(*at) else { continue };
                // The shell answers a load under way with what the player loaded.
                loading.remove(*url);
                loaded(url, text)
            }
            Step::Activate(at) => Input::TrackActivated(track(at)),
            Step::Deactivate(at) => Input::TrackDeactivated(track(at)),
            Step::News(at) => Input::NewsHeard { track: track(at) },
        };
        refresh.handle_input(input, now);
    }
    outputs
}

proptest! {
    #[test]
    fn any_inputs_keep_the_promises_and_replay_alike(
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        prop_assert_eq!(run(&steps), run(&steps));
    }
}
