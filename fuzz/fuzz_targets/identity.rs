//! What a URL is named does not depend on what the canonical form leaves out, and every segment
//! listed is found again by its own URL.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use p2pcdn_manifest::{
    Config, HostGroup, IdentityConfig, IdentityMode, Input, Output, PathToken, Presentation,
    Refresh, Resource, Sharing,
};
use p2pcdn_wire::Instant;

#[derive(Arbitrary, Debug)]
struct Case<'a> {
    tenant: &'a str,
    group: Option<(&'a str, &'a str)>,
    parameter: Option<&'a str>,
    prefix: Option<&'a str>,
    known_path_tokens: bool,
    mode: u8,
    url: &'a str,
    references: [&'a str; 3],
}

fuzz_target!(|case: Case<'_>| {
    let config = config(&case);
    let name = config.content(case.url);
    if !case.url.contains('#') {
        assert_eq!(config.content(&format!("{}#x", case.url)), name);
        let joint = if case.url.contains('?') { '&' } else { '?' };
        if case.url.starts_with("https://") {
            let with_token = format!("{}{joint}token=x", case.url);
            assert_eq!(config.content(&with_token), name);
        }
    }
    if let Some(presentation) = presentation(&case, config) {
        check(&presentation);
    }
});

fn config(case: &Case<'_>) -> IdentityConfig {
    let mut path_tokens: Vec<PathToken> = case
        .prefix
        .map(|prefix| PathToken::Prefix(prefix.to_owned()))
        .into_iter()
        .collect();
    if case.known_path_tokens {
        path_tokens.extend([PathToken::Akamai, PathToken::Wowza]);
    }
    IdentityConfig {
        tenant: case.tenant.to_owned(),
        content_id: None,
        host_groups: case
            .group
            .map(|(name, host)| HostGroup {
                name: name.to_owned(),
                hosts: vec![host.to_owned()],
            })
            .into_iter()
            .collect(),
        session_parameters: case.parameter.map(str::to_owned).into_iter().collect(),
        path_tokens,
        mode: match case.mode % 3 {
            0 => IdentityMode::Both,
            1 => IdentityMode::PathOnly,
            _ => IdentityMode::OrdinalOnly,
        },
    }
}

fn presentation(case: &Case<'_>, identity: IdentityConfig) -> Option<Presentation> {
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n".to_owned();
    for reference in case.references {
        text += &format!("#EXTINF:2,\n{reference}\n");
    }
    let config = Config {
        identity: identity.into(),
        ..Config::default()
    };
    let now = Instant::from_epoch(Duration::from_secs(1));
    let mut refresh = Refresh::new(config, case.url, now);
    let Some(Output::Load { url, range }) = refresh.poll_output() else {
        panic!("the manifest is wanted");
    };
    let final_url = url.clone();
    let body = text.into();
    refresh.handle_input(
        Input::Loaded {
            url,
            range,
            final_url,
            body,
        },
        now,
    );
    std::iter::from_fn(|| refresh.poll_output()).find_map(|output| match output {
        Output::Updated(update) => Some((*update.presentation).clone()),
        _ => None,
    })
}

fn check(presentation: &Presentation) {
    for track in &presentation.tracks {
        for segment in track
            .segments
            .iter()
            .flat_map(p2pcdn_manifest::Segments::iter)
        {
            // What cannot be resolved is no URL that anybody would ask for.
            if segment.sharing != Sharing::Shared {
                continue;
            }
            let found = presentation.resource(&segment.url, segment.range);
            match found {
                Some(Resource::Segment(id, ordinal)) => {
                    assert_eq!(id, track.id);
                    let other = track.segments.as_ref().and_then(|all| all.segment(ordinal));
                    let other = other.expect("what is found is listed");
                    let without_fragment =
                        |url: &str| url.split('#').next().unwrap_or_default().to_owned();
                    assert_eq!(without_fragment(&other.url), without_fragment(&segment.url));
                }
                // A segment whose URL is that of the playlist.
                Some(Resource::MediaPlaylist(_)) => {}
                other => panic!("{} is found as {other:?}", segment.url),
            }
        }
    }
}
