//! MPDs through the public API: one small MPD for each rule of ISO/IEC 23009-1.
#![cfg(all(feature = "dash", feature = "url"))]

use std::time::Duration;

use p2pcdn_manifest::{
    ContentType, DescriptorKind, Found, Listing, MAX_BASE_URLS, MAX_PERIODS, MAX_TIMELINE_ENTRIES,
    MAX_WARNINGS, Mpd, MpdSource, ParseError, Representation, SegmentWindow, WarningKind,
    parse_mpd, resolve,
};
use p2pcdn_wire::{ByteRange, MediaTime, UnixTime};

const URL: &str = "https://cdn.example/show/live.mpd";

fn parse(text: &str) -> Mpd {
    parse_mpd(text.as_bytes(), URL).expect("a sound MPD")
}

/// A static MPD of ten seconds with one representation, in which `inside` stands.
fn on_demand(inside: &str) -> Mpd {
    parse(&format!(
        "<MPD mediaPresentationDuration='PT10S'><Period><AdaptationSet>\
         <Representation id='v1' bandwidth='500'>{inside}</Representation>\
         </AdaptationSet></Period></MPD>"
    ))
}

/// A dynamic MPD that began in 1970, with `attributes`.
fn live(attributes: &str, inside: &str) -> Mpd {
    parse(&format!(
        "<MPD type='dynamic' availabilityStartTime='1970-01-01T00:00:00Z' {attributes}>\
         <Period start='PT0S'><AdaptationSet>\
         <Representation id='v1' bandwidth='500'>{inside}</Representation>\
         </AdaptationSet></Period></MPD>"
    ))
}

fn first(mpd: &Mpd) -> &Representation {
    &mpd.periods[0].adaptation_sets[0].representations[0]
}

fn at(millis: i64) -> Option<UnixTime> {
    Some(UnixTime::from_micros(millis * 1_000))
}

fn window_of(representation: &Representation, now: Option<UnixTime>) -> SegmentWindow {
    match representation.listing(now) {
        Listing::Segments(window) => window,
        other => panic!("not a list of segments: {other:?}"),
    }
}

/// The file names of the segments, without the folder that all are in.
fn names(mpd: &Mpd, now: Option<UnixTime>) -> Vec<String> {
    let segments = window_of(first(mpd), now);
    let name = |url: &str| {
        url.trim_start_matches("https://cdn.example/show/")
            .to_owned()
    };
    segments.iter().map(|segment| name(&segment.url)).collect()
}

fn kinds(mpd: &Mpd) -> Vec<WarningKind> {
    mpd.warnings.iter().map(|warning| warning.kind).collect()
}

#[test]
fn a_constant_duration_fills_the_period() {
    let mpd = on_demand(
        "<SegmentTemplate media='$RepresentationID$-$Number%03d$.m4s' duration='360000' \
         timescale='90000' initialization='$RepresentationID$-$Bandwidth$.mp4'/>",
    );
    assert_eq!(
        names(&mpd, None),
        ["v1-001.m4s", "v1-002.m4s", "v1-003.m4s"]
    );
    let init = first(&mpd).init.as_ref().unwrap();
    assert_eq!(&*init.url, "https://cdn.example/show/v1-500.mp4");
    let last = window_of(first(&mpd), None).segment(2).unwrap();
    assert_eq!(last.start, MediaTime::from_nanos(8_000_000_000));
    assert_eq!(
        last.duration,
        Some(Duration::from_secs(2)),
        "cut by the period"
    );
    assert_eq!(mpd.warnings, []);
}

#[test]
fn the_last_number_ends_a_list() {
    let mpd =
        on_demand("<SegmentTemplate media='$Number$' duration='1' startNumber='5' endNumber='7'/>");
    assert_eq!(names(&mpd, None), ["5", "6", "7"]);
}

#[test]
fn a_timeline_gives_times() {
    let mpd = on_demand(
        "<SegmentTemplate media='$Time$' timescale='10' presentationTimeOffset='100'>\
         <SegmentTimeline><S t='100' d='20' r='1'/><S d='5'/></SegmentTimeline></SegmentTemplate>",
    );
    assert_eq!(names(&mpd, None), ["100", "120", "140"]);
    let segments = window_of(first(&mpd), None);
    let third = segments.segment(2).unwrap();
    assert_eq!(third.start, MediaTime::from_nanos(4_000_000_000));
    assert_eq!(third.duration, Some(Duration::from_millis(500)));
    assert_eq!((third.number, third.time), (3, Some(140)));
    assert_eq!(segments.index_of_time(120), Some(1));
    assert_eq!(segments.index_of_number(3), Some(2));
    assert_eq!(
        segments.index_at(MediaTime::from_nanos(3_999_999_999)),
        Some(1)
    );
}

#[test]
fn a_negative_offset_moves_segments_back() {
    let mpd = on_demand(
        "<SegmentTemplate media='$Time$' presentationTimeOffset='-3'><SegmentTimeline>\
         <S t='0' d='2'/></SegmentTimeline></SegmentTemplate>",
    );
    let segment = window_of(first(&mpd), None).segment(0).unwrap();
    assert_eq!(segment.start, MediaTime::from_nanos(3_000_000_000));
    assert_eq!(kinds(&mpd), [WarningKind::BadNumber]);
}

#[test]
fn a_sequence_has_as_many_segments_as_its_names_tell() {
    let timeline =
        "<SegmentTimeline><S t='8' d='4' r='1' k='2'/></SegmentTimeline></SegmentTemplate>";
    let parts = on_demand(&format!(
        "<SegmentTemplate media='$Time$_$SubNumber$'>{timeline}"
    ));
    assert_eq!(names(&parts, None), ["8_0", "8_1", "12_0", "12_1"]);
    let whole = on_demand(&format!("<SegmentTemplate media='$Time$'>{timeline}"));
    assert_eq!(names(&whole, None), ["8", "12"]);
}

#[test]
fn templates_are_inherited_attribute_by_attribute() {
    let mpd = parse(
        "<MPD mediaPresentationDuration='PT4S'><Period>\
         <SegmentTemplate timescale='2' duration='4' startNumber='7' media='p-$Number$'/>\
         <AdaptationSet><SegmentTemplate media='a-$Number$'/>\
         <Representation id='1'/>\
         <Representation id='2'><SegmentTemplate startNumber='0'/></Representation>\
         <Representation id='3'><SegmentTemplate duration='8'/></Representation>\
         </AdaptationSet></Period></MPD>",
    );
    let list = |at: usize| {
        let representation = &mpd.periods[0].adaptation_sets[0].representations[at];
        let window = window_of(representation, None);
        let urls = window.iter().map(|it| it.url.to_string());
        urls.map(|url| url.replace("https://cdn.example/show/", ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(list(0), ["a-7", "a-8"]);
    assert_eq!(list(1), ["a-0", "a-1"]);
    assert_eq!(list(2), ["a-7"]);
}

#[test]
fn formats_are_inherited_and_types_derived() {
    let mpd = parse(
        "<MPD><Period><AdaptationSet id='9' mimeType='audio/mp4' codecs='mp4a.40.2' lang='de'>\
         <Role schemeIdUri='urn:mpeg:dash:role:2011' value='main'/>\
         <SupplementalProperty schemeIdUri='urn:mpeg:dash:adaptation-set-switching:2016' value='7, 8'/>\
         <Representation/><Representation codecs='opus' width='2.0'/></AdaptationSet></Period></MPD>",
    );
    let set = &mpd.periods[0].adaptation_sets[0];
    assert_eq!(set.content_type, ContentType::Audio);
    assert_eq!(set.lang.as_deref(), Some("de"));
    assert_eq!(set.switching_ids, ["7".into(), "8".into()]);
    assert_eq!(set.properties[0].kind, DescriptorKind::Role);
    let codecs = |at: usize| set.representations[at].codecs.as_deref();
    assert_eq!((codecs(0), codecs(1)), (Some("mp4a.40.2"), Some("opus")));
    assert_eq!(set.representations[0].id, None);
    assert_eq!(set.representations[0].listing(None), Listing::Nothing);
    assert_eq!(set.representations[1].width, Some(2));
}

#[test]
fn a_segment_list_names_resources_and_ranges() {
    let mpd = on_demand(
        "<BaseURL>all.mp4</BaseURL><SegmentList duration='4' startNumber='3'>\
         <Initialization range='0-99'/><SegmentURL mediaRange='100-199'/>\
         <SegmentURL media='b.mp4'/></SegmentList>",
    );
    let segments: Vec<_> = window_of(first(&mpd), None).iter().collect();
    assert_eq!(&*segments[0].url, "https://cdn.example/show/all.mp4");
    assert_eq!(segments[0].range, Some(ByteRange::new(100, 200)));
    assert_eq!(&*segments[1].url, "https://cdn.example/show/b.mp4");
    assert_eq!((segments[1].number, segments.len()), (4, 2));
    assert_eq!(segments[1].start, MediaTime::from_nanos(4_000_000_000));
    let init = first(&mpd).init.as_ref().unwrap();
    assert_eq!(init.range, Some(ByteRange::new(0, 100)));
}

#[test]
fn a_segment_list_can_have_a_timeline() {
    let mpd = on_demand(
        "<SegmentList><SegmentTimeline><S t='5' d='2' r='9'/></SegmentTimeline>\
         <SegmentURL media='a'/><SegmentURL media='b'/></SegmentList>",
    );
    assert_eq!(names(&mpd, None), ["a", "b"]);
    assert_eq!(
        window_of(first(&mpd), None).segment(1).unwrap().time,
        Some(7)
    );
}

#[test]
fn a_single_resource_has_an_index_or_none() {
    let indexed = on_demand("<BaseURL>v.mp4</BaseURL><SegmentBase indexRange='700-999'/>");
    let Listing::Indexed { media, index } = first(&indexed).listing(None) else {
        panic!("no index");
    };
    assert_eq!(&*media.url, "https://cdn.example/show/v.mp4");
    assert_eq!(
        (media.range, index.range),
        (None, Some(ByteRange::new(700, 1_000)))
    );
    let apart = on_demand(
        "<BaseURL>v.mp4</BaseURL><SegmentBase><RepresentationIndex sourceURL='v.sidx'/></SegmentBase>",
    );
    let Listing::Indexed { index, .. } = first(&apart).listing(None) else {
        panic!("no index");
    };
    assert_eq!(&*index.url, "https://cdn.example/show/v.sidx");
    let plain = on_demand("<BaseURL>v.mp4</BaseURL><SegmentBase/>");
    assert!(matches!(first(&plain).listing(None), Listing::Single(_)));
    assert_eq!(kinds(&plain), [WarningKind::NoIndexRange]);
}

#[test]
fn base_urls_are_resolved_level_by_level_and_chosen_by_location() {
    let text = "<MPD mediaPresentationDuration='PT1S'>\
        <BaseURL serviceLocation='a'>https://a.example/x/</BaseURL>\
        <BaseURL serviceLocation='b'><![CDATA[https://b.example/?k=1&l=2]]></BaseURL>\
        <Period><BaseURL> p/ </BaseURL><AdaptationSet><Representation id='1'>\
        <BaseURL>1.mp4?x=1&amp;y=2</BaseURL></Representation></AdaptationSet></Period></MPD>";
    let single = |service_location| {
        let source = MpdSource {
            url: URL,
            first_url: URL,
            resolve,
            service_location,
        };
        let mpd = source.parse(text.as_bytes()).unwrap();
        let representation = first(&mpd).clone();
        match representation.listing(None) {
            Listing::Single(it) => (it.url.to_string(), representation.service_location),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        single(None),
        (
            "https://a.example/x/p/1.mp4?x=1&y=2".into(),
            Some("a".into())
        )
    );
    assert_eq!(
        single(Some("b")),
        ("https://b.example/p/1.mp4?x=1&y=2".into(), Some("b".into()))
    );
}

#[test]
fn names_follow_the_url_asked_for_and_fetches_the_redirect() {
    let source = MpdSource {
        url: "https://edge7.example/s-123/live.mpd",
        first_url: URL,
        resolve,
        service_location: None,
    };
    let text = "<MPD mediaPresentationDuration='PT1S'><Period><AdaptationSet><Representation>\
        <SegmentTemplate media='$Number$' duration='1'/></Representation></AdaptationSet></Period></MPD>";
    let mpd = source.parse(text.as_bytes()).unwrap();
    let segment = window_of(first(&mpd), None).segment(0).unwrap();
    assert_eq!(&*segment.url, "https://edge7.example/s-123/1");
    assert_eq!(&*segment.first_url, "https://cdn.example/show/1");
}

#[test]
fn periods_follow_each_other() {
    let mpd = parse(
        "<MPD mediaPresentationDuration='PT60S'><Period duration='PT10S'/><Period id='b'/>\
         <Period start='PT40S'/></MPD>",
    );
    let places: Vec<_> = mpd
        .periods
        .iter()
        .map(|period| {
            (
                period.start.unwrap().as_nanos() / 1_000_000_000,
                period.duration.unwrap().as_secs(),
            )
        })
        .collect();
    assert_eq!(places, [(0, 10), (10, 30), (40, 20)]);
    let open = parse("<MPD type='dynamic'><Period start='PT5S'/><Period/></MPD>");
    assert_eq!(open.periods[0].duration, None);
    assert_eq!(open.periods[1].start, None);
    assert_eq!(
        kinds(&open),
        [WarningKind::NoAvailabilityStart, WarningKind::NoPeriodStart]
    );
}

#[test]
fn a_duration_of_the_whole_before_the_last_period_is_that_of_the_period() {
    let mpd = parse(
        "<MPD mediaPresentationDuration='PT6S'><Period start='PT754S'><AdaptationSet>\
         <Representation><SegmentTemplate media='$Number$' duration='4'/></Representation>\
         </AdaptationSet></Period></MPD>",
    );
    assert_eq!(mpd.periods[0].duration, Some(Duration::from_secs(6)));
    assert_eq!(names(&mpd, None), ["1", "2"]);
}

#[test]
fn a_timeline_is_listed_past_the_last_number_as_players_do() {
    let mpd = on_demand(
        "<SegmentTemplate media='$Number$' endNumber='2'><SegmentTimeline><S d='1' r='3'/>\
         </SegmentTimeline></SegmentTemplate>",
    );
    assert_eq!(names(&mpd, None), ["1", "2", "3", "4"]);
}

#[test]
fn live_segments_come_and_go_with_the_clock() {
    let mpd = live(
        "timeShiftBufferDepth='PT6S'",
        "<SegmentTemplate media='$Number$' duration='2' startNumber='10'/>",
    );
    assert_eq!(names(&mpd, None), [""; 0]);
    assert_eq!(names(&mpd, at(1_999)), [""; 0]);
    assert_eq!(names(&mpd, at(2_000)), ["10"]);
    assert_eq!(
        names(&mpd, at(9_000)),
        ["11", "12", "13"],
        "10 ended a second before the window"
    );
    let now = at(9_000).unwrap();
    assert_eq!(first(&mpd).next_available_after(now), at(10_000));
    assert_eq!(first(&mpd).availability_of(4), at(10_000));
    // Fifty years on, and nothing is written out.
    assert_eq!(
        names(&mpd, at(1_600_000_000_000)),
        ["800000007", "800000008", "800000009"]
    );
    let deep = live("", "<SegmentTemplate media='$Number$' duration='2'/>");
    assert_eq!(
        window_of(first(&deep), at(1_600_000_000_000)).count(),
        800_000_000
    );
}

#[test]
fn an_offset_makes_live_segments_early() {
    let mpd = live(
        "timeShiftBufferDepth='PT4S'",
        "<BaseURL availabilityTimeOffset='0.5' availabilityTimeComplete='false'>x/</BaseURL>\
         <SegmentTemplate media='$Number$' duration='2' availabilityTimeOffset='1'/>",
    );
    assert_eq!(names(&mpd, at(4_400)), ["x/1", "x/2"]);
    assert_eq!(names(&mpd, at(4_500)), ["x/1", "x/2", "x/3"]);
    assert!(first(&mpd).is_chunked());
}

#[test]
fn an_endless_offset_lists_a_known_period_only() {
    let template = "<SegmentTemplate media='$Number$' duration='2' availabilityTimeOffset='INF'/>";
    let known = live("mediaPresentationDuration='PT8S'", template);
    assert_eq!(names(&known, at(0)), ["1", "2", "3", "4"]);
    let open = live("", template);
    assert_eq!(names(&open, at(4_000)), ["1", "2"]);
}

#[test]
fn a_live_period_ends() {
    let mpd = live(
        "availabilityEndTime='1970-01-01T00:00:05Z'",
        "<SegmentTemplate media='$Number$' duration='2'/>",
    );
    assert_eq!(names(&mpd, at(100_000)), ["1", "2", "3"]);
    assert_eq!(first(&mpd).next_available_after(at(100_000).unwrap()), None);
}

#[test]
fn an_open_timeline_goes_on_with_the_clock() {
    let mpd = live(
        "timeShiftBufferDepth='PT4S'",
        "<SegmentTemplate media='$Time$'><SegmentTimeline><S t='0' d='10'/><S d='2' r='-1'/>\
         </SegmentTimeline></SegmentTemplate>",
    );
    assert_eq!(names(&mpd, at(0)), ["0"], "what is written out counts");
    assert_eq!(names(&mpd, at(14_500)), ["0", "10", "12"]);
    assert_eq!(
        first(&mpd).next_available_after(at(14_500).unwrap()),
        at(16_000)
    );
    assert_eq!(names(&mpd, None), ["0"]);
}

#[test]
fn remote_elements_count_for_what_they_hold() {
    let mpd = parse(
        "<MPD xmlns:xlink='http://www.w3.org/1999/xlink' mediaPresentationDuration='PT9S'>\
         <Period id='ad' xlink:href='https://ads.example/1'/>\
         <Period id='gone' xlink:href='urn:mpeg:dash:resolve-to-zero:2013'><AdaptationSet/></Period>\
         <Period id='own' xlink:href='https://ads.example/2'><AdaptationSet/></Period></MPD>",
    );
    let ids: Vec<_> = mpd
        .periods
        .iter()
        .map(|period| period.id.as_deref().unwrap())
        .collect();
    assert_eq!(ids, ["own"]);
    assert_eq!(kinds(&mpd), [WarningKind::XlinkUnsupported; 2]);
}

#[test]
fn licences_are_never_shared() {
    let mpd = parse(
        "<MPD xmlns:dashif='d' xmlns:ck='c'><Period><AdaptationSet>\
         <ContentProtection><dashif:Laurl> https://drm.example/l?a=1&amp;b=2 </dashif:Laurl>\
         <dashif:Authzurl>auth</dashif:Authzurl><ck:Laurl><![CDATA[https://ck.example/]]></ck:Laurl>\
         <x:y xmlns:x='x' licenseUrl='https://y.example/'/></ContentProtection>\
         <Representation><ContentProtection><Certurl href='https://c.example/'/></ContentProtection>\
         </Representation></AdaptationSet></Period></MPD>",
    );
    let urls: Vec<_> = mpd.never_share.iter().map(|url| url.as_str()).collect();
    assert_eq!(
        urls,
        [
            "https://c.example/",
            "https://cdn.example/show/auth",
            "https://ck.example/",
            "https://drm.example/l?a=1&b=2",
            "https://y.example/",
        ]
    );
    assert!(first(&mpd).is_protected);
}

#[test]
fn control_urls_are_known() {
    let mpd = parse(
        "<MPD publishTime='2020-01-01T00:00:00Z'><Location>../b.mpd</Location>\
         <PatchLocation ttl='60.5'>p.mpp</PatchLocation>\
         <UTCTiming schemeIdUri='urn:mpeg:dash:utc:http-iso:2014' value='https://t.example/ https://u.example/'/>\
         <ContentSteering>https://s.example/</ContentSteering><Period/></MPD>",
    );
    let urls: Vec<_> = mpd.control_urls.iter().map(|url| &**url).collect();
    assert_eq!(
        urls,
        [
            "https://cdn.example/b.mpd",
            "https://cdn.example/show/p.mpp",
            "https://t.example/",
            "https://u.example/",
            "https://s.example/",
        ]
    );
    assert_eq!(&*mpd.locations[0], urls[0]);
    assert_eq!(
        mpd.patch_locations[0].ttl,
        Some(Duration::from_millis(60_500))
    );
    assert_eq!(
        &*mpd.utc_timings[0].scheme,
        "urn:mpeg:dash:utc:http-iso:2014"
    );
    assert_eq!(mpd.publish_time, at(1_577_836_800_000));
}

#[test]
fn one_bad_attribute_does_not_cost_the_document() {
    let mpd = parse(
        "<MPD maxSegmentDuration='2S' minBufferTime='1.5' mediaPresentationDuration='PT4S'\n\
         publishTime='yesterday'><Period>\n<AdaptationSet><Representation bandwidth='1500000.5'>\
         <SegmentTemplate media='$Number$' duration='2' timescale='0'/>\
         </Representation></AdaptationSet></Period></MPD>",
    );
    assert_eq!(mpd.max_segment_duration, None);
    assert_eq!(mpd.min_buffer_time, Some(Duration::from_millis(1_500)));
    assert_eq!(first(&mpd).bandwidth, Some(1_500_000));
    assert_eq!(names(&mpd, None), ["1", "2"]);
    let warnings: Vec<_> = mpd.warnings.iter().map(|it| (it.line, it.kind)).collect();
    assert_eq!(
        warnings,
        [
            (2, WarningKind::BadDuration),
            (2, WarningKind::BadDuration),
            (2, WarningKind::BadDate),
            (3, WarningKind::BadNumber),
        ]
    );
}

#[test]
fn what_is_no_mpd_is_named() {
    let error = |text: &str| parse_mpd(text.as_bytes(), URL).unwrap_err();
    let not = |found| ParseError::NotAnMpd { found };
    assert_eq!(error(""), ParseError::Empty);
    assert_eq!(error("<!DOCTYPE html><html>403</html>"), not(Found::Html));
    assert_eq!(error("<HTML><br></HTML>"), not(Found::Html));
    assert_eq!(error("#EXTM3U"), not(Found::Hls));
    assert_eq!(error("Forbidden"), not(Found::Other));
    assert_eq!(error("<SmoothStreamingMedia/>"), not(Found::Other));
    assert_eq!(error("<Patch mpdId='1'/>"), ParseError::UnexpectedPatch);
    assert_eq!(error("<MPD></MPD>"), ParseError::NoPeriod);
    assert_eq!(error("<MPD><Period>"), ParseError::Truncated);
    assert_eq!(
        error("<MPD>\n<Period></MPD>"),
        ParseError::BadXml { line: 2 }
    );
    let wide: Vec<u8> = "<MPD/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(parse_mpd(&wide, URL), Err(ParseError::Utf16));
}

#[test]
fn marks_prefixes_and_trailing_text_are_lived_with() {
    let mpd = parse(
        "\u{FEFF}<?xml version='1.0'?>\n<d:MPD xmlns:d='u'><d:Period d:id='x'/></d:MPD>\ntail",
    );
    assert_eq!(mpd.periods[0].id, None, "an attribute of another namespace");
    assert_eq!(kinds(&mpd), [WarningKind::TrailingText]);
    let mpd = parse_mpd(b"<MPD><Period id='\xFF'/></MPD>", URL).unwrap();
    assert_eq!(kinds(&mpd), [WarningKind::NotUtf8]);
}

#[test]
fn everything_that_can_grow_is_bounded() {
    let many = |what: &str, count: usize| what.repeat(count);
    let periods = |count| {
        parse_mpd(
            format!("<MPD>{}</MPD>", many("<Period/>", count)).as_bytes(),
            URL,
        )
    };
    assert_eq!(periods(MAX_PERIODS).unwrap().periods.len(), MAX_PERIODS);
    assert_eq!(
        periods(MAX_PERIODS + 1),
        Err(ParseError::TooMany { line: 1 })
    );
    let entries = |count| {
        let text = format!(
            "<MPD><Period><SegmentTemplate><SegmentTimeline>{}</SegmentTimeline></SegmentTemplate>\
             </Period></MPD>",
            many("<S d='1'/>", count)
        );
        parse_mpd(text.as_bytes(), URL)
    };
    assert!(entries(MAX_TIMELINE_ENTRIES).is_ok());
    assert_eq!(
        entries(MAX_TIMELINE_ENTRIES + 1),
        Err(ParseError::TooMany { line: 1 })
    );
    let urls = format!(
        "<MPD>{}<Period/></MPD>",
        many("<BaseURL>a/</BaseURL>", MAX_BASE_URLS + 1)
    );
    assert_eq!(kinds(&parse(&urls)), [WarningKind::TooManyElements]);
    let bad = format!(
        "<MPD>{}</MPD>",
        many("<Period start='x'/>", MAX_WARNINGS + 1)
    );
    assert_eq!(parse(&bad).warnings.len(), MAX_WARNINGS);
}

#[test]
fn a_timeline_that_is_inherited_in_many_ways_is_refused() {
    // Each representation has its own timescale, so that no two can share their runs.
    let entries = "<S t='9' d='1'/>".repeat(10_000);
    let own =
        |at: u32| format!("<Representation><SegmentTemplate timescale='{at}'/></Representation>");
    let text = |count| {
        let representations: String = (1..=count).map(own).collect();
        format!(
            "<MPD><Period><AdaptationSet><SegmentTemplate media='$Time$'><SegmentTimeline>{entries}\
             </SegmentTimeline></SegmentTemplate>{representations}</AdaptationSet></Period></MPD>"
        )
    };
    assert!(parse_mpd(text(100).as_bytes(), URL).is_ok());
    assert_eq!(
        parse_mpd(text(101).as_bytes(), URL),
        Err(ParseError::TooMany { line: 1 })
    );
}

#[test]
fn segments_of_one_timeline_repeat_without_end_at_no_cost() {
    let mpd = on_demand(
        "<SegmentTemplate media='$Time$'><SegmentTimeline><S d='1' r='9223372036854775807'/>\
         </SegmentTimeline></SegmentTemplate>",
    );
    let segments = window_of(first(&mpd), None);
    assert_eq!(segments.count(), 1 << 63);
    let last = segments.segment((1 << 63) - 1).unwrap();
    assert_eq!(&*last.url, "https://cdn.example/show/9223372036854775807");
}
