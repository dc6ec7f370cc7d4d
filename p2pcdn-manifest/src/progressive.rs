//! A single resource, shared in pieces of equal length.

use std::{sync::Arc, time::Duration};

use p2pcdn_wire::{BitRate, ByteRange, MediaTime};
use thiserror::Error;

use crate::{
    identity::{IdentityConfig, SegmentNamer, swarm_id, track_id},
    key::KeyUrls,
    limits::{MAX_LINE_LEN, MAX_SEGMENTS},
    listed::Listed,
    presentation::{Format, Presentation},
    ranges::{self, Piece},
    resolve::{Base, Resolve, resolve},
    rows::Rows,
    segments::{Liveness, Segments},
    track::{SwitchingSet, Track, TrackKind},
};

/// How a single resource, such as an .mp4 file, becomes a presentation.
#[derive(Clone, Debug)]
pub struct ProgressiveConfig {
    /// Bytes of a piece; all viewers use the same. Default: 1 MiB, as long as a segment of 2 s at 4
    /// Mbit/s, in 64 blocks. 0 counts as 1. Doubled until there are no more pieces than
    /// [`MAX_SEGMENTS`](crate::MAX_SEGMENTS).
    pub piece_len: u64,
    /// How long all of it plays: tells which pieces are needed next. `None` (the default): guessed
    /// from the length, at 4 Mbit/s.
    pub duration: Option<Duration>,
    /// What the publisher declares about names.
    pub identity: IdentityConfig,
    /// Resolves relative URLs. Default: [`resolve()`].
    pub resolve: Resolve,
}

impl Default for ProgressiveConfig {
    fn default() -> Self {
        Self {
            piece_len: 1 << 20,
            duration: None,
            identity: IdentityConfig::default(),
            resolve,
        }
    }
}

/// Why a resource is no presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProgressiveError {
    /// It has no bytes.
    #[error("the resource is empty")]
    Empty,
    /// Its URL is none, or longer than [`MAX_LINE_LEN`].
    #[error("not a URL")]
    InvalidUrl,
}

/// The presentation of the resource at `url`, `len` bytes long: one track, whose segments are
/// pieces of equal length.
///
/// The length comes from the server (`Content-Range`, or `Content-Length` of a whole answer). It is
/// part of the names, so that viewers of different versions do not meet.
///
/// # Errors
///
/// When there is nothing to share.
pub fn progressive(
    url: &str,
    len: u64,
    config: &ProgressiveConfig,
) -> Result<Presentation, ProgressiveError> {
    if len == 0 {
        return Err(ProgressiveError::Empty);
    }
    let identity = Arc::new(config.identity.clone());
    let content = identity.content(url);
    let url: Arc<str> = (config.resolve)(url, "")
        .filter(|url| url.len() <= MAX_LINE_LEN)
        .ok_or(ProgressiveError::InvalidUrl)?
        .into();
    let piece_len = piece_len(len, config.piece_len);
    let kind = TrackKind::Video;
    let key = [len.to_string(), piece_len.to_string()];
    let id = track_id(content, "progressive", "", kind, &key);
    let base = Base::new(&url, config.resolve);
    let duration = config.duration.unwrap_or_else(|| guessed(len));
    let pieces = pieces(len, piece_len, duration);
    let table = ranges::table(&url, None, Arc::new([]), pieces);
    let target_duration = table
        .place(0)
        .map(|(_, duration)| duration)
        .unwrap_or_default();
    let namer = Arc::new(SegmentNamer::new(id, &url, base.clone(), identity));
    let segments = Segments {
        rows: Rows::Listed(Arc::new(Listed::new(table, 0, base, namer, None))),
        never_shared: Arc::default(),
        parts: Arc::new([]),
        anchor: None,
        #[cfg(feature = "hls")]
        date_ranges: Arc::default(),
        target_duration: target_duration.max(Duration::from_secs(1)),
        part_target: None,
        live_delay: None,
        liveness: Liveness::Ended,
        live_edge: MediaTime::ZERO + duration,
        epoch: 0,
    };
    let track = Track {
        segments: Some(segments),
        bandwidth: rate(len, duration),
        ..Track::new(id, kind, url.clone())
    };
    Ok(Presentation {
        content,
        swarm: swarm_id(content),
        url,
        format: Format::Progressive,
        tracks: vec![track],
        switching_sets: vec![SwitchingSet {
            kind,
            language: None,
            name: None,
        }],
        never_shared: Arc::new(KeyUrls::default()),
    })
}

fn pieces(len: u64, piece_len: u64, duration: Duration) -> impl Iterator<Item = Piece> {
    let position = move |byte: u64| {
        let nanos = duration.as_nanos().saturating_mul(u128::from(byte)) / u128::from(len);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    };
    (0..len.div_ceil(piece_len)).map(move |piece| {
        let start = piece.saturating_mul(piece_len);
        let end = start.saturating_add(piece_len).min(len);
        let begins = position(start);
        Piece {
            range: Some(ByteRange::new(start, end)),
            start: MediaTime::ZERO + begins,
            duration: position(end).saturating_sub(begins),
        }
    })
}

fn piece_len(len: u64, wanted: u64) -> u64 {
    let mut piece_len = wanted.max(1);
    let most = u64::try_from(MAX_SEGMENTS).unwrap_or(u64::MAX);
    while len.div_ceil(piece_len) > most {
        piece_len = piece_len.saturating_mul(2);
    }
    piece_len
}

/// At 4 Mbit/s.
fn guessed(len: u64) -> Duration {
    Duration::from_micros(len.saturating_mul(2)).max(Duration::from_millis(1))
}

fn rate(len: u64, duration: Duration) -> Option<BitRate> {
    let bits = u128::from(len) * 8;
    let rate = bits.checked_mul(1_000_000_000)? / duration.as_nanos().max(1);
    Some(BitRate::from_bps(u64::try_from(rate).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presentation::Resource;

    const URL: &str = "https://h.example/films/one.mp4?v=2";

    fn film(len: u64) -> Presentation {
        let config = ProgressiveConfig {
            piece_len: 1000,
            duration: Some(Duration::from_secs(10)),
            ..ProgressiveConfig::default()
        };
        progressive(URL, len, &config).unwrap()
    }

    #[test]
    fn the_pieces_cover_the_resource_once() {
        let film = film(2500);
        let segments = film.tracks[0].segments.as_ref().unwrap();
        let pieces: Vec<_> = segments
            .iter()
            .map(|one| (one.ordinal, one.range))
            .collect();
        let range = |start, end| Some(ByteRange::new(start, end));
        assert_eq!(
            pieces,
            [
                (0, range(0, 1000)),
                (1, range(1000, 2000)),
                (2, range(2000, 2500))
            ]
        );
        let times: Vec<_> = segments.iter().map(|one| one.end().as_nanos()).collect();
        assert_eq!(times, [4_000_000_000, 8_000_000_000, 10_000_000_000]);
        assert!(segments.iter().all(|one| &*one.url == URL));
        assert_eq!(film.tracks[0].bandwidth, Some(BitRate::from_bps(2000)));
    }

    #[test]
    fn a_range_within_a_piece_is_that_piece() {
        let film = film(2500);
        let track = film.tracks[0].id;
        let at = |start, end| film.resource(URL, Some(ByteRange::new(start, end)));
        assert_eq!(at(1000, 1001), Some(Resource::Segment(track, 1)));
        assert_eq!(at(2100, 2500), Some(Resource::Segment(track, 2)));
        assert_eq!(at(900, 1100), Some(Resource::Other));
        assert_eq!(film.resource(URL, None), Some(Resource::Other));
    }

    #[test]
    fn versions_of_different_length_share_no_name() {
        let (a, b) = (film(2500), film(2501));
        assert_eq!(a.swarm, b.swarm);
        let ids = |film: &Presentation| {
            let segments = film.tracks[0].segments.clone().unwrap();
            segments.iter().map(|one| one.id).collect::<Vec<_>>()
        };
        assert!(ids(&a).iter().all(|id| !ids(&b).contains(id)));
    }

    #[test]
    fn the_longest_resource_has_no_more_pieces_than_a_playlist_segments() {
        let film = film(u64::MAX / 4);
        assert!(film.tracks[0].segments.as_ref().unwrap().len() <= MAX_SEGMENTS);
        assert_eq!(
            progressive(URL, 0, &ProgressiveConfig::default()),
            Err(ProgressiveError::Empty)
        );
    }
}
