//! Loading the segment index of one representation.

use std::{sync::Arc, time::Duration};

use p2pcdn_wire::{ByteRange, Instant, MediaTime};

use super::schedule::{Outcome, Schedule};
use crate::{
    dash::{IndexEntry, IndexTarget, MpdResource, SidxError, parse_sidx},
    limits::{MAX_INDEX_ENTRIES, MAX_INDEX_LOADS},
    ranges::Piece,
};

/// The segment index of one representation, which may refer to further ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) media: MpdResource,
    /// In the order of the resource. Those that point to a further index are loaded, the first of
    /// them first, and give way to what it lists.
    entries: Vec<IndexEntry>,
    /// Where the first index is.
    at: ByteRange,
    /// The same, until it is loaded.
    first: Option<ByteRange>,
    pub(super) schedule: Schedule,
    loads: usize,
}

impl Index {
    /// Not asked for yet.
    pub(super) fn new(media: MpdResource, range: ByteRange) -> Self {
        Self {
            media,
            entries: Vec::new(),
            at: range,
            first: Some(range),
            schedule: Schedule::default(),
            loads: 0,
        }
    }

    /// Whether it is the index of this resource that lies there.
    pub(super) fn is_of(&self, media: &MpdResource, at: ByteRange) -> bool {
        self.media == *media && self.at == at
    }

    /// The bytes to be loaded next; `None` once all is known.
    pub(super) fn missing(&self) -> Option<ByteRange> {
        let further = |entry: &&IndexEntry| entry.target == IndexTarget::Index;
        let further = || Some(self.entries.iter().find(further)?.range);
        self.first.or_else(further)
    }

    /// Takes the bytes that were missing.
    pub(super) fn take(
        &mut self,
        range: ByteRange,
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), SidxError> {
        if self.missing() != Some(range) {
            return Ok(());
        }
        let found = parse_sidx(bytes, range.start)?.entries;
        self.loads += 1;
        let is_long = self.entries.len().saturating_add(found.len()) > MAX_INDEX_ENTRIES;
        if self.loads > MAX_INDEX_LOADS || is_long {
            return Err(SidxError::TooMany);
        }
        match self.first.take() {
            Some(_) => self.entries = found,
            None => {
                let is_it = |entry: &IndexEntry| entry.target == IndexTarget::Index;
                if let Some(at) = self.entries.iter().position(is_it) {
                    self.entries.splice(at..=at, found);
                }
            }
        }
        self.schedule.finish(Outcome::Ended, now);
        if self.missing().is_some() {
            self.schedule.request(now);
        }
        Ok(())
    }

    /// The segments, the first of which begins at `start`; `None` while not all is known.
    pub(super) fn pieces(&self, start: MediaTime) -> Option<impl Iterator<Item = Piece>> {
        if self.missing().is_some() {
            return None;
        }
        let first = self.entries.first()?;
        let origin = nanos(first.time, first.timescale);
        let pieces = self.entries.iter().map(move |entry| {
            let begins = nanos(entry.time, entry.timescale);
            let ends = nanos(entry.time.saturating_add(entry.duration), entry.timescale);
            Piece {
                range: Some(entry.range),
                start: start + begins.saturating_sub(origin),
                duration: ends.saturating_sub(begins),
            }
        });
        Some(pieces)
    }

    /// What is loaded, as its URL and bytes.
    pub(super) fn load(&self) -> Option<(Arc<str>, Option<ByteRange>)> {
        Some((self.media.url.clone(), Some(self.missing()?)))
    }
}

fn nanos(ticks: u64, timescale: u32) -> Duration {
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(timescale.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
