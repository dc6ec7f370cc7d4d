//! MPDs, patches and indexes made to harm: nothing panics, and work and memory stay in proportion.
#![cfg(all(feature = "dash", feature = "url"))]

mod support;

use std::sync::Arc;

use p2pcdn_manifest::{
    Event, IdentityConfig, Input, MAX_ADAPTATION_SETS, MAX_CONTROL_URLS, MAX_DESCRIPTORS,
    MAX_INDEX_LOADS, MAX_PATCH_WORK, MAX_PREDICATES, MAX_REPRESENTATIONS, NeverReason, ParseError,
    PatchError, Sharing, apply_patch, parse_mpd,
};
use p2pcdn_wire::ByteRange;
use support::Shell;

const URL: &str = "https://h.example/show/live.mpd";

fn shell(text: &str) -> Shell {
    Shell::with(URL, IdentityConfig::default(), text)
}

fn film(inside: &str) -> String {
    format!("<MPD mediaPresentationDuration=\"PT4S\"><Period>{inside}</Period></MPD>")
}

#[test]
fn segments_whose_url_is_none_are_listed_and_never_shared() {
    let long = "x".repeat(8_000);
    for media in [
        "http://[$Number$/",
        &format!("$RepresentationID$$RepresentationID${long}"),
    ] {
        let shell = shell(&film(&format!(
            "<AdaptationSet><SegmentTemplate media=\"{media}\" duration=\"2\"/>\
             <Representation id=\"{}\"/></AdaptationSet>",
            "v".repeat(200)
        )));
        let segments = shell.presentation().tracks[0].segments.as_ref().unwrap();
        let sharing: Vec<Sharing> = segments.iter().map(|segment| segment.sharing).collect();
        assert_eq!(sharing, [Sharing::Never(NeverReason::NotFetchable); 2]);
        assert_eq!(shell.presentation().resource("", None), None);
    }
}

#[test]
fn sets_and_representations_are_capped() {
    let sets = |count: usize| parse_mpd(film(&"<AdaptationSet/>".repeat(count)).as_bytes(), URL);
    assert!(sets(MAX_ADAPTATION_SETS).is_ok());
    let too_many = ParseError::TooMany { line: 1 };
    assert_eq!(sets(MAX_ADAPTATION_SETS + 1), Err(too_many.clone()));
    let representations = |count: usize| {
        let all = "<Representation/>".repeat(count);
        let text = film(&format!("<AdaptationSet>{all}</AdaptationSet>"));
        parse_mpd(text.as_bytes(), URL)
    };
    assert!(representations(MAX_REPRESENTATIONS).is_ok());
    assert_eq!(representations(MAX_REPRESENTATIONS + 1), Err(too_many));
}

#[test]
fn descriptors_and_switching_ids_are_capped() {
    let roles = "<Role schemeIdUri=\"r\"/>".repeat(MAX_DESCRIPTORS + 1);
    let ids = "7,".repeat(MAX_DESCRIPTORS + 1);
    let switching = "urn:mpeg:dash:adaptation-set-switching:2016";
    let text = film(&format!(
        "<AdaptationSet>{roles}</AdaptationSet><AdaptationSet>\
         <SupplementalProperty schemeIdUri=\"{switching}\" value=\"{ids}\"/></AdaptationSet>"
    ));
    let mpd = parse_mpd(text.as_bytes(), URL).unwrap();
    let sets = &mpd.periods[0].adaptation_sets;
    assert_eq!(sets[0].properties.len(), MAX_DESCRIPTORS);
    assert_eq!(sets[1].switching_ids.len(), MAX_DESCRIPTORS);
}

/// Comparing each with each, id by id, takes a quarter of an hour.
#[test]
fn sets_that_all_switch_with_each_other_take_no_quadratic_time() {
    let ids: Vec<String> = (0..MAX_DESCRIPTORS)
        .map(|id| (id + 100_000).to_string())
        .collect();
    let ids = ids.join(",");
    let set = |at: usize| {
        format!(
            "<AdaptationSet id=\"{at}\"><SupplementalProperty \
             schemeIdUri=\"urn:mpeg:dash:adaptation-set-switching:2016\" value=\"{ids}\"/>\
             </AdaptationSet>"
        )
    };
    let sets: String = (0..8_000).map(set).collect();
    let shell = shell(&film(&sets));
    assert_eq!(shell.presentation().switching_sets.len(), 8_000);
}

fn patched(mpd: &str, operations: &str) -> Result<String, PatchError> {
    let patch = format!(
        "<Patch mpdId=\"a\" originalPublishTime=\"t\" publishTime=\"u\" xmlns:q=\"n\">\
         {operations}</Patch>"
    );
    let text = apply_patch(mpd.as_bytes(), patch.as_bytes())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_patch_that_looks_at_many_pieces_again_and_again_is_refused() {
    let pieces = |count: usize| {
        format!(
            "<MPD id=\"a\" publishTime=\"t\">{}</MPD>",
            "<a/>".repeat(count)
        )
    };
    let remove = "<remove sel=\"/MPD/text()\"/>";
    let mpd = pieces(100_000);
    assert_eq!(patched(&mpd, remove).as_deref(), Ok(&*mpd));
    // 16 bytes of work for each piece.
    let count = MAX_PATCH_WORK / 16 / 100_000 + 1;
    assert_eq!(
        patched(&mpd, &remove.repeat(count)),
        Err(PatchError::TooLong)
    );
}

#[test]
fn a_patch_that_looks_for_prefixes_in_long_tags_is_refused() {
    let long = "x".repeat(1 << 20);
    let mpd = format!("<MPD id=\"a\" publishTime=\"t\" long=\"{long}\"></MPD>");
    let add = "<add sel=\"/MPD\"><q:a/></add>";
    let expected = mpd.replace("></MPD>", "><q:a xmlns:q=\"n\"/></MPD>");
    assert_eq!(patched(&mpd, add), Ok(expected));
    let count = MAX_PATCH_WORK / long.len() + 1;
    assert_eq!(patched(&mpd, &add.repeat(count)), Err(PatchError::TooLong));
}

/// A search that begins again at each byte takes minutes.
#[test]
fn a_patch_with_a_long_prefix_takes_linear_time() {
    let prefix = "p".repeat(1 << 20);
    let mpd = "<MPD id=\"a\" publishTime=\"t\"></MPD>";
    let content = "p".repeat(1 << 22);
    let patch = format!(
        "<Patch mpdId=\"a\" originalPublishTime=\"t\" xmlns:{prefix}=\"n\">\
         <add sel=\"/MPD\"><a>{content}</a></add></Patch>"
    );
    let text = apply_patch(mpd.as_bytes(), patch.as_bytes()).unwrap();
    assert_eq!(text.len(), mpd.len() + content.len() + "<a></a>".len());
}

#[test]
fn predicates_of_a_step_are_capped() {
    let mpd = "<MPD id=\"a\" publishTime=\"t\"/>";
    let remove = |count: usize| {
        let predicates = "[@id='a']".repeat(count);
        patched(
            mpd,
            &format!("<remove sel=\"/MPD{predicates}/@publishTime\"/>"),
        )
    };
    assert_eq!(remove(MAX_PREDICATES).as_deref(), Ok("<MPD id=\"a\"/>"));
    assert!(matches!(
        remove(MAX_PREDICATES + 1),
        Err(PatchError::BadSelector { .. })
    ));
}

fn word(value: usize) -> [u8; 4] {
    u32::try_from(value).expect("boxes are small").to_be_bytes()
}

/// A box of version 0 with these (reference, duration)s.
fn sidx(references: &[(u32, u32)]) -> Vec<u8> {
    let len = 32 + 12 * references.len();
    let mut bytes = word(len).to_vec();
    bytes.extend(b"sidx\0\0\0\0\0\0\0\x01");
    for value in [1_000, 0, 0, references.len()] {
        bytes.extend(word(value));
    }
    for (size, duration) in references {
        bytes.extend(
            [*size, *duration, 0]
                .iter()
                .flat_map(|word| word.to_be_bytes()),
        );
    }
    bytes
}

const INDEX: u32 = 1 << 31;

fn indexed(periods: usize) -> String {
    let period = "<Period duration=\"PT4S\"><AdaptationSet><Representation id=\"v\">\
        <BaseURL>f.mp4</BaseURL><SegmentBase indexRange=\"0-99\"/></Representation>\
        </AdaptationSet></Period>";
    format!("<MPD>{}</MPD>", period.repeat(periods))
}

fn answer(shell: &mut Shell, url: &Arc<str>, range: Option<ByteRange>, body: Vec<u8>) {
    shell.input(Input::Loaded {
        url: url.clone(),
        range,
        final_url: url.clone(),
        body: body.into(),
    });
}

#[test]
fn indexes_that_lead_on_and_on_are_given_up() {
    let mut shell = shell(&indexed(1));
    let id = shell.presentation().tracks[0].id;
    shell.input(Input::TrackActivated(id));
    let mut loads = 0;
    let failed = loop {
        for (url, range) in shell.take_ranges() {
            loads += 1;
            answer(&mut shell, &url, range, sidx(&[(INDEX | 100, 1)]));
        }
        let failed = shell
            .take_events()
            .into_iter()
            .find(|event| matches!(event, Event::ParseFailed { .. }));
        if let Some(failed) = failed {
            break failed;
        }
        shell.wake().expect("it goes on");
    };
    assert_eq!(loads, MAX_INDEX_LOADS + 1);
    assert!(
        matches!(failed, Event::ParseFailed { failures: 1, .. }),
        "{failed:?}"
    );
    assert!(shell.presentation().tracks[0].segments.is_none());
}

#[test]
fn indexes_of_one_resource_are_capped_together() {
    let mut shell = shell(&indexed(1));
    let id = shell.presentation().tracks[0].id;
    shell.input(Input::TrackActivated(id));
    let mut references = vec![(1, 1); 60_000];
    references[0] = (INDEX | 100, 1);
    // Three times 60,000 fit below 200,000; four times do not.
    for nth in 1..=4 {
        let loads = shell.take_ranges();
        let [(url, range)] = &loads[..] else {
            panic!("one load");
        };
        answer(&mut shell, url, *range, sidx(&references));
        let failed = shell
            .take_events()
            .iter()
            .any(|event| matches!(event, Event::ParseFailed { .. }));
        assert_eq!(failed, nth == 4, "{nth}");
        shell.wake();
    }
}

#[test]
fn periods_of_one_resource_load_its_index_once() {
    let mut shell = shell(&indexed(2));
    let ids: Vec<_> = shell
        .presentation()
        .tracks
        .iter()
        .map(|track| track.id)
        .collect();
    for id in &ids {
        shell.input(Input::TrackActivated(*id));
    }
    let range = Some(ByteRange::new(0, 100));
    let url: Arc<str> = "https://h.example/show/f.mp4".into();
    assert_eq!(shell.take_ranges(), [(url.clone(), range)]);
    let reason = p2pcdn_manifest::LoadFailure::Network;
    shell.input(Input::LoadFailed {
        url: url.clone(),
        range,
        reason,
    });
    shell.wake();
    assert_eq!(
        shell.take_ranges(),
        [(url.clone(), range)],
        "neither is forgotten"
    );
    answer(&mut shell, &url, range, sidx(&[(100, 2_000), (100, 2_000)]));
    for track in &shell.presentation().tracks {
        assert_eq!(track.segments.as_ref().unwrap().len(), 2);
    }
}

#[test]
fn an_index_that_moves_is_loaded_again() {
    let mpd = |at: &str| {
        let text = indexed(1).replace("0-99", at);
        text.replace("<MPD>", "<MPD type=\"dynamic\" availabilityStartTime=\"2026-01-01T00:00:00Z\" minimumUpdatePeriod=\"PT2S\">")
            .replace("<Period ", "<Period id=\"p\" start=\"PT0S\" ")
    };
    let mut shell = shell(&mpd("0-99"));
    let id = shell.presentation().tracks[0].id;
    shell.input(Input::TrackActivated(id));
    let (url, range) = shell.take_ranges().remove(0);
    answer(&mut shell, &url, range, sidx(&[(100, 2_000)]));
    let range_of = |shell: &Shell| {
        let segments = shell.presentation().tracks[0].segments.as_ref().unwrap();
        segments.first().unwrap().range
    };
    assert_eq!(range_of(&shell), Some(ByteRange::new(44, 144)));
    shell.wake();
    assert_eq!(shell.take_loads(), [URL]);
    shell.loaded(URL, &mpd("1000-1099"));
    while shell.take_ranges().is_empty() {
        shell.wake().expect("the index is wanted");
    }
    answer(
        &mut shell,
        &url,
        Some(ByteRange::new(1000, 1100)),
        sidx(&[(100, 2_000)]),
    );
    assert_eq!(range_of(&shell), Some(ByteRange::new(1044, 1144)));
}

#[test]
fn an_index_elsewhere_is_not_looked_for_in_the_resource() {
    let text = indexed(1).replace(
        "<SegmentBase indexRange=\"0-99\"/>",
        "<SegmentBase><RepresentationIndex sourceURL=\"f.sidx\" range=\"0-99\"/></SegmentBase>",
    );
    let mut shell = shell(&text);
    let id = shell.presentation().tracks[0].id;
    shell.input(Input::TrackActivated(id));
    assert_eq!(shell.take_ranges(), []);
    assert!(shell.presentation().tracks[0].segments.is_none());
}

#[test]
fn a_patch_location_that_is_new_each_time_never_ends_sharing() {
    let mpd = |at: usize| {
        format!(
            "<MPD type=\"dynamic\" availabilityStartTime=\"2026-01-01T00:00:00Z\" id=\"a\" \
             minimumUpdatePeriod=\"PT2S\"><Location>{URL}</Location>\
             <PatchLocation>p.mpp?n={at}</PatchLocation><Period start=\"PT0S\"><AdaptationSet>\
             <SegmentTemplate media=\"$Time$\"><SegmentTimeline><S t=\"{at}\" d=\"1\"/>\
             </SegmentTimeline></SegmentTemplate><Representation id=\"v\"/></AdaptationSet>\
             </Period></MPD>"
        )
    };
    let mut shell = shell(&mpd(0));
    for at in 1..MAX_CONTROL_URLS + 10 {
        shell.loaded(URL, &mpd(at));
    }
    let keys = &shell.presentation().never_shared;
    assert_eq!(keys.count(), MAX_CONTROL_URLS);
    assert!(keys.contains(URL));
    let segments = shell.presentation().tracks[0].segments.as_ref().unwrap();
    assert_eq!(segments.first().unwrap().sharing, Sharing::Shared);
}
