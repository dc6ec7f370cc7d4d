//! What the origin would have delivered, to hold against what was played.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use p2pcdn::wire::{ByteRange, SegmentId};
use tokio::sync::OnceCell;

use crate::origin::{Resource, cipher};

/// The judge of what a player plays.
#[derive(Debug)]
pub enum Truth {
    /// The stream is ours: compared with the shipped media byte by byte.
    Shipped,
    /// The stream is somebody else's: compared with one more download of each segment.
    Fetched(FetchedTruth),
}

/// A segment or init segment, as a player knows it.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) id: SegmentId,
    pub(crate) url: Arc<str>,
    pub(crate) range: Option<ByteRange>,
    /// What decrypts it.
    pub(crate) cipher: Option<Cipher>,
}

/// An AES-128 key and the initialisation vector for one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cipher {
    pub(crate) key: [u8; 16],
    pub(crate) iv: [u8; 16],
}

/// What [`Truth`] says of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    Wrong,
    /// The origin could not be asked.
    Unknown,
}

impl Truth {
    pub(crate) async fn judge(&self, piece: &Piece, bytes: &Bytes) -> Verdict {
        match self {
            Self::Shipped => verdict(is_shipped(piece, bytes)),
            Self::Fetched(fetched) => fetched.judge(piece, bytes).await,
        }
    }
}

/// Hashes of what somebody else's origin delivers, fetched once per segment over HTTP alone.
#[derive(Debug, Default)]
pub struct FetchedTruth {
    http: reqwest::Client,
    /// Ten thousand segments are a megabyte: kept for the length of the run.
    hashes: Mutex<BTreeMap<SegmentId, Arc<OnceCell<Option<blake3::Hash>>>>>,
}

impl FetchedTruth {
    async fn judge(&self, piece: &Piece, bytes: &Bytes) -> Verdict {
        let cell = {
            let mut hashes = self.hashes.lock().expect("nothing panics while holding it");
            hashes.entry(piece.id).or_default().clone()
        };
        match cell.get_or_init(|| self.hash(piece)).await {
            Some(hash) => verdict(*hash == blake3::hash(bytes)),
            None => Verdict::Unknown,
        }
    }

    async fn hash(&self, piece: &Piece) -> Option<blake3::Hash> {
        let mut request = self.http.get(&*piece.url);
        if let Some(range) = piece.range {
            let last = range.end.checked_sub(1)?;
            request = request.header("range", format!("bytes={}-{last}", range.start));
        }
        let response = request.send().await.ok()?.error_for_status().ok()?;
        Some(blake3::hash(&response.bytes().await.ok()?))
    }
}

fn verdict(right: bool) -> Verdict {
    if right {
        Verdict::Right
    } else {
        Verdict::Wrong
    }
}

/// Whether `bytes` are what the shipped media hold under `piece`'s name, once decrypted.
fn is_shipped(piece: &Piece, bytes: &Bytes) -> bool {
    let whole = piece.range.is_none();
    let plain = match piece.cipher {
        Some(Cipher { key, iv }) => cipher::decrypt(bytes, &key, &iv).map(Bytes::from),
        None => Some(bytes.clone()),
    };
    whole && plain.is_some() && plain == shipped(&piece.url)
}

fn shipped(url: &str) -> Option<Bytes> {
    let url = url::Url::parse(url).ok()?;
    match Resource::at_path(url.path())? {
        Resource::Init(_, rendition) => Some(rendition.init()),
        Resource::Segment(_, rendition, sequence) => Some(rendition.segment(sequence)),
        Resource::Master(_) | Resource::Playlist(_) | Resource::Key => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::RENDITIONS;

    fn piece(url: &str) -> Piece {
        Piece {
            id: SegmentId::new([1; 16]),
            url: url.into(),
            range: None,
            cipher: None,
        }
    }

    #[tokio::test]
    async fn one_changed_byte_is_wrong() {
        let piece = piece("http://127.0.0.1:1/live/mid/seg-000010.m4s?token=t");
        let right = RENDITIONS[1].segment(2);
        assert_eq!(Truth::Shipped.judge(&piece, &right).await, Verdict::Right);
        let mut changed = right.to_vec();
        changed[100_000] ^= 1;
        for wrong in [
            changed.into(),
            right.slice(1..),
            RENDITIONS[1].segment(3),
            Bytes::new(),
        ] {
            assert_eq!(Truth::Shipped.judge(&piece, &wrong).await, Verdict::Wrong);
        }
    }

    #[tokio::test]
    async fn what_the_origin_does_not_have_is_wrong() {
        let piece = piece("http://127.0.0.1:1/live/other.ts");
        assert_eq!(
            Truth::Shipped.judge(&piece, &Bytes::new()).await,
            Verdict::Wrong
        );
    }
}
