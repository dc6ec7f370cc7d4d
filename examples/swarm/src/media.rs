//! The media that the origin serves, compiled in so that the binary runs from any folder.

use bytes::Bytes;

/// One quality of the shipped stream.
#[derive(Clone, Copy, Debug)]
pub struct Rendition {
    /// Its name in URLs.
    pub name: &'static str,
    /// RFC 6381 codecs, as `media/make.sh` sets profile and level.
    pub codecs: &'static str,
    /// Width and height in pixels.
    pub resolution: (u32, u32),
    init: &'static [u8],
    segments: [&'static [u8]; LOOP_LEN as usize],
}

/// Segments in one pass over the media; the origin repeats them for ever.
pub const LOOP_LEN: u64 = 8;

/// Length of each segment in seconds.
pub const SEGMENT_SECONDS: u64 = 2;

/// The qualities, from the lowest to the highest.
pub const RENDITIONS: [Rendition; 3] = [
    rendition!("low", "avc1.4d400d,mp4a.40.2", (426, 240)),
    rendition!("mid", "avc1.4d401e,mp4a.40.2", (640, 360)),
    rendition!("top", "avc1.4d401f,mp4a.40.2", (1280, 720)),
];

impl Rendition {
    /// The rendition called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        RENDITIONS.into_iter().find(|one| one.name == name)
    }

    /// The init segment.
    #[must_use]
    pub fn init(&self) -> Bytes {
        Bytes::from_static(self.init)
    }

    /// The segment with media sequence number `sequence`.
    #[must_use]
    pub fn segment(&self, sequence: u64) -> Bytes {
        let index = usize::try_from(sequence % LOOP_LEN).expect("below the loop's length");
        Bytes::from_static(self.segments[index])
    }

    /// The bit rate of the largest segment, in bits per second: what playlists call BANDWIDTH.
    #[must_use]
    pub fn peak_bandwidth(&self) -> u64 {
        let largest = self.segments.iter().map(|segment| segment.len() as u64);
        largest.max().unwrap_or(0) * 8 / SEGMENT_SECONDS
    }

    /// The bit rate over the whole loop, in bits per second.
    #[must_use]
    pub fn average_bandwidth(&self) -> u64 {
        let bytes: u64 = self.segments.iter().map(|one| one.len() as u64).sum();
        bytes * 8 / (LOOP_LEN * SEGMENT_SECONDS)
    }
}

macro_rules! rendition {
    ($name:literal, $codecs:literal, $resolution:expr) => {
        Rendition {
            name: $name,
            codecs: $codecs,
            resolution: $resolution,
            init: media!($name, "init.mp4"),
            segments: [
                media!($name, "seg-000.m4s"),
                media!($name, "seg-001.m4s"),
                media!($name, "seg-002.m4s"),
                media!($name, "seg-003.m4s"),
                media!($name, "seg-004.m4s"),
                media!($name, "seg-005.m4s"),
                media!($name, "seg-006.m4s"),
                media!($name, "seg-007.m4s"),
            ],
        }
    };
}
use rendition;

macro_rules! media {
    ($rendition:literal, $file:literal) => {
        include_bytes!(concat!("../media/", $rendition, "/", $file))
    };
}
use media;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bit_rates_are_those_of_a_real_ladder() {
        let rates = RENDITIONS.map(|one| one.average_bandwidth());
        for (rate, wanted) in rates.into_iter().zip([400_000u64, 1_200_000, 3_000_000]) {
            assert!(rate.abs_diff(wanted) * 10 < wanted, "{rate} for {wanted}");
        }
        for one in RENDITIONS {
            // Within 15 %: the traffic is even, so that a run of any length costs the same.
            assert!(one.peak_bandwidth() * 100 < one.average_bandwidth() * 115);
        }
    }

    #[test]
    fn files_are_what_their_names_say() {
        for one in RENDITIONS {
            assert_eq!(&one.init()[4..8], b"ftyp");
            for sequence in 0..LOOP_LEN {
                let segment = one.segment(sequence);
                let boxes = [&segment[4..8]];
                assert!(
                    boxes
                        .iter()
                        .all(|name| [b"styp".as_slice(), b"moof", b"sidx"].contains(name)),
                    "{boxes:?}"
                );
            }
            assert_eq!(one.segment(3), one.segment(3 + LOOP_LEN));
            assert_ne!(one.segment(3), one.segment(4));
        }
    }
}
