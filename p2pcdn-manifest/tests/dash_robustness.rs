//! Whatever comes: MPDs damaged at random never panic and never take long.
#![cfg(all(feature = "dash", feature = "url"))]

use p2pcdn_manifest::{Listing, Mpd, parse_mpd};
use p2pcdn_wire::{MediaTime, UnixTime};
use proptest::prelude::*;

const URL: &str = "https://cdn.example/show/live.mpd";

/// Has most of what an MPD can have.
const SEED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" xmlns:xlink="http://www.w3.org/1999/xlink" type="dynamic"
  availabilityStartTime="2020-01-01T00:00:00Z" publishTime="2020-01-01T01:00:00.5+01:00"
  minimumUpdatePeriod="PT2S" timeShiftBufferDepth="PT1M" mediaPresentationDuration="P1DT2H3M4.5S">
 <BaseURL serviceLocation="a" dvb:priority="1" availabilityTimeOffset="1.5">a/</BaseURL>
 <BaseURL availabilityTimeOffset="INF"><![CDATA[https://b.example/?x&y]]></BaseURL>
 <Location>../x.mpd</Location><PatchLocation ttl="60">p.mpp</PatchLocation>
 <Period id="p0" start="PT0S"><SegmentList duration="10" startNumber="3"><SegmentURL media="1" mediaRange="0-9"/></SegmentList>
  <AdaptationSet contentType="video"><ContentProtection><Laurl>https://l.example/&amp;</Laurl></ContentProtection>
   <SegmentTemplate timescale="90000" presentationTimeOffset="-5" media="$RepresentationID$/$Time%09d$_$SubNumber$" initialization="$Bandwidth$.mp4" startNumber="1" endNumber="9">
    <SegmentTimeline><S t="10" d="180000" r="3" k="2"/><S n="7" d="90000" r="-1"/></SegmentTimeline></SegmentTemplate>
   <Representation id="v1" bandwidth="1000000" width="640"/><Representation id="v2"><SegmentTemplate duration="2.002" media="$Number$"/></Representation>
  </AdaptationSet></Period>
 <Period xlink:href="https://ads.example/" duration="PT5S"><AdaptationSet><Representation><BaseURL>v.mp4</BaseURL>
  <SegmentBase indexRange="1-99"><Initialization range="0-0"/></SegmentBase></Representation></AdaptationSet></Period>
</MPD>"#;

/// Asks everything that can be asked.
fn exercise(mpd: &Mpd) {
    let sets = mpd
        .periods
        .iter()
        .flat_map(|period| &period.adaptation_sets);
    for representation in sets.flat_map(|set| &set.representations) {
        for now in [
            None,
            Some(i64::MIN),
            Some(0),
            Some(1_577_900_000_000_000),
            Some(i64::MAX),
        ] {
            let now = now.map(UnixTime::from_micros);
            if let Some(now) = now {
                let _ = representation.next_available_after(now);
            }
            let Listing::Segments(window) = representation.listing(now) else {
                continue;
            };
            let (first, end) = (window.first_index(), window.end_index());
            assert_eq!(window.count(), end - first);
            for index in [
                first,
                first.saturating_add(1),
                end.saturating_sub(1),
                end,
                u64::MAX,
            ] {
                let _ = representation.availability_of(index);
                if let Some(segment) = window.segment(index) {
                    assert_eq!(segment.index, index);
                    let same_number = window.index_of_number(segment.number).expect("it is there");
                    assert!((first..=index).contains(&same_number));
                    let found = segment.time.map(|time| window.index_of_time(time));
                    assert_ne!(found, Some(None), "it is there");
                }
            }
            let _ = window.index_at(MediaTime::from_nanos(i64::MIN));
            let _ = window.index_at(MediaTime::from_nanos(i64::MAX));
            assert!(window.window(first, end).iter().take(5).count() <= 5);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_give_an_mpd_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_mpd(&bytes, URL);
    }

    #[test]
    fn damaged_mpds_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, "[-0-9a-zA-Z$%<>&;'\"/ .]{0,12}"), 1..6),
    ) {
        let mut bytes = SEED.as_bytes().to_vec();
        for (at, len, text) in edits {
            let at = at.index(bytes.len());
            bytes.splice(at..(at + len).min(bytes.len()), text.bytes());
        }
        if let Ok(mpd) = parse_mpd(&bytes, URL) {
            exercise(&mpd);
        }
    }

    #[test]
    fn any_values_of_attributes_never_panic(
        values in prop::collection::vec(
            prop_oneof![
                "[-+]?[0-9]{1,22}(\\.[0-9]{0,12})?",
                "P[0-9]{0,20}Y?T[0-9]{1,20}[HMS]",
                "[0-9]{1,20}-[0-9]{1,20}",
                "\\$(Number|Time)(%0[0-9]{1,3}d)?\\$",
                "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z",
                Just("INF".to_owned()),
            ],
            1..40,
        ),
    ) {
        // Values between quotes, one after the other, are replaced.
        let mut values = values.iter().cycle();
        let mut text = String::new();
        for (at, part) in SEED.split('"').enumerate() {
            let is_value = at % 2 == 1 && part.bytes().any(|b| b.is_ascii_digit());
            let replaced = if is_value { values.next().unwrap() } else { part };
            text.push_str(replaced);
            text.push('"');
        }
        text.pop();
        if let Ok(mpd) = parse_mpd(text.as_bytes(), URL) {
            exercise(&mpd);
        }
    }
}

#[test]
fn the_seed_itself_is_understood() {
    let mpd = parse_mpd(SEED.as_bytes(), URL).unwrap();
    assert_eq!(mpd.periods.len(), 2);
    exercise(&mpd);
}
