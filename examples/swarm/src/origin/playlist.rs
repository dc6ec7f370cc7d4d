//! The playlists that the origin writes, pure functions of the moment.

use std::{
    fmt::Write as _,
    ops::Range,
    time::{Duration, SystemTime},
};

use super::resource::{KEY_PATH, Show, segment_file};
use crate::media::{LOOP_LEN, RENDITIONS, SEGMENT_SECONDS};

/// The segments of a live show that exist after it has run for `running`: the listed ones, and
/// the older ones that are still served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LiveWindow {
    /// Sequence numbers that the playlist lists.
    pub(super) listed: Range<u64>,
    /// The oldest sequence number still served.
    pub(super) oldest: u64,
}

impl LiveWindow {
    /// The window of `len` segments; `kept` more are served for those who hold an old playlist.
    ///
    /// A segment is listed at the moment when its last frame has been made.
    pub(super) fn after(running: Duration, len: u64, kept: u64) -> Self {
        let end = running.as_secs() / SEGMENT_SECONDS;
        let start = end.saturating_sub(len);
        Self {
            listed: start..end,
            oldest: start.saturating_sub(kept),
        }
    }

    pub(super) fn serves(&self, sequence: u64) -> bool {
        (self.oldest..self.listed.end).contains(&sequence)
    }
}

/// The multivariant playlist; `query` (with its `?`, or empty) is appended to every URL.
pub(super) fn master(query: &str) -> String {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n".to_owned();
    for one in RENDITIONS {
        let (width, height) = one.resolution;
        let _ = writeln!(
            text,
            "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},RESOLUTION={width}x{height},\
             FRAME-RATE=25.000,CODECS=\"{}\"\n{}/playlist.m3u8{query}",
            one.peak_bandwidth(),
            one.average_bandwidth(),
            one.codecs,
            one.name,
        );
    }
    text
}

/// The media playlist that lists `segments`, the first of all having been made at `first_date`.
pub(super) fn media(
    show: Show,
    segments: Range<u64>,
    first_date: SystemTime,
    query: &str,
) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{SEGMENT_SECONDS}\n\
         #EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MEDIA-SEQUENCE:{}\n",
        segments.start
    );
    match show {
        Show::Vod => text.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n"),
        Show::Live | Show::Secure => {
            // The tag before a segment goes when that segment becomes the first one, so the
            // discontinuity sequence of segment n is n / LOOP_LEN in every window.
            let _ = writeln!(
                text,
                "#EXT-X-DISCONTINUITY-SEQUENCE:{}",
                segments.start / LOOP_LEN
            );
        }
    }
    // Init segments are in the clear: the map stands before the key.
    let _ = writeln!(text, "#EXT-X-MAP:URI=\"init.mp4{query}\"");
    if show == Show::Secure {
        let _ = writeln!(
            text,
            "#EXT-X-KEY:METHOD=AES-128,URI=\"{KEY_PATH}{query}\",IV=0x{}",
            hex(&super::cipher::IV)
        );
    }
    for sequence in segments.clone() {
        if sequence > segments.start && sequence % LOOP_LEN == 0 {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if show != Show::Vod {
            let date = first_date + Duration::from_secs(sequence * SEGMENT_SECONDS);
            let date = humantime::format_rfc3339_millis(date);
            let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{date}");
        }
        let file = segment_file(sequence);
        let _ = writeln!(text, "#EXTINF:{SEGMENT_SECONDS}.000,\n{file}{query}");
    }
    if show == Show::Vod {
        text.push_str("#EXT-X-ENDLIST\n");
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_with<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
        text.lines()
            .filter(|line| line.starts_with(prefix))
            .collect()
    }

    #[test]
    fn a_segment_is_listed_when_it_ends_and_served_a_while_longer() {
        let window = |millis| LiveWindow::after(Duration::from_millis(millis), 3, 2);
        assert_eq!(window(1_999).listed, 0..0);
        assert_eq!(window(2_000).listed, 0..1);
        assert_eq!(window(19_999).listed, 6..9);
        assert_eq!(window(20_000).listed, 7..10);
        let served: Vec<u64> = (0..20).filter(|n| window(20_000).serves(*n)).collect();
        assert_eq!(served, [5, 6, 7, 8, 9]);
    }

    #[test]
    fn every_window_gives_a_segment_the_same_discontinuity_sequence() {
        for start in 0..40u64 {
            let text = media(Show::Live, start..start + 10, SystemTime::UNIX_EPOCH, "");
            let mut discontinuity: u64 = lines_with(&text, "#EXT-X-DISCONTINUITY-SEQUENCE:")[0]
                .rsplit(':')
                .next()
                .unwrap()
                .parse()
                .unwrap();
            let mut sequence = start;
            for line in text.lines() {
                if line == "#EXT-X-DISCONTINUITY" {
                    discontinuity += 1;
                } else if !line.starts_with('#') {
                    assert_eq!(discontinuity, sequence / 8, "{sequence} from {start}");
                    sequence += 1;
                }
            }
            assert_eq!(sequence, start + 10);
        }
    }

    #[test]
    fn dates_advance_by_the_segment_length() {
        let text = media(Show::Live, 7..9, SystemTime::UNIX_EPOCH, "");
        assert_eq!(
            lines_with(&text, "#EXT-X-PROGRAM-DATE-TIME:"),
            [
                "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:14.000Z",
                "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:16.000Z"
            ]
        );
        assert_eq!(
            lines_with(&text, "seg-"),
            ["seg-000007.m4s", "seg-000008.m4s"]
        );
        assert!(!text.contains("ENDLIST"));
    }

    #[test]
    fn tokens_are_on_every_url_of_the_encrypted_show() {
        let text = media(Show::Secure, 0..2, SystemTime::UNIX_EPOCH, "?token=t");
        assert_eq!(lines_with(&text, "seg-").len(), 2);
        assert!(
            lines_with(&text, "seg-")
                .iter()
                .all(|line| line.ends_with("?token=t"))
        );
        assert!(text.contains("#EXT-X-MAP:URI=\"init.mp4?token=t\""));
        assert!(text.contains("METHOD=AES-128,URI=\"/keys/k1?token=t\""));
        assert_eq!(
            master("?token=t")
                .matches("playlist.m3u8?token=t\n")
                .count(),
            3
        );
    }

    #[test]
    fn vod_ends_and_has_no_dates() {
        let text = media(Show::Vod, 0..9, SystemTime::UNIX_EPOCH, "");
        assert!(text.ends_with("#EXT-X-ENDLIST\n"));
        assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
        assert!(!text.contains("DATE-TIME"));
    }
}
