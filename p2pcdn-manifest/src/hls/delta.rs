//! Delta updates: playlists that leave out what the reader has already (RFC 8216bis section
//! 6.2.5.1).

use std::collections::BTreeSet;

use super::{DateRange, MediaPlaylist};
use crate::{
    error::{ParseError, WarningKind},
    limits::MAX_DATE_RANGES,
    listed::Listed,
    table::{Context, Table},
};

impl MediaPlaylist {
    /// The whole playlist, given that of before.
    ///
    /// # Errors
    ///
    /// When that of before does not have all that is left out, or lies elsewhere.
    pub(crate) fn merged(
        mut self,
        before: Option<&Listed>,
        date_ranges: &[DateRange],
    ) -> Result<Self, ParseError> {
        let (first, skipped) = (self.media_sequence, self.skipped);
        let last = first.saturating_add(skipped).saturating_sub(1);
        let found = before.and_then(|before| {
            let range = before.index_of(first)?..=before.index_of(last)?;
            let is_there = before.base.is_place_of(&self.bases.fetched);
            is_there.then_some((before, range))
        });
        let (before, range) = found.ok_or(ParseError::UnusableDelta { skipped })?;
        let mut table = Table::default();
        // Once and for all: to grow by doubling takes twice the memory.
        table.reserve(before.len(), 0);
        table.extend_from(&before.table, range);
        let contexts = self.table.contexts().iter();
        let contexts: Vec<usize> = contexts.map(|it| table.push_new_context(it)).collect();
        table.extend_rows_from(&self.table, &contexts);
        table.shrink();
        for part in &mut self.parts {
            part.context = contexts.get(part.context).copied().unwrap_or(usize::MAX);
        }
        if self.server_control.can_skip_date_ranges {
            self.date_ranges = self.merged_date_ranges(date_ranges);
        }
        self.table = table;
        self.skipped = 0;
        self.warnings
            .retain(|warning| warning.kind != WarningKind::DeltaUpdate);
        Ok(self)
    }

    /// Its own date ranges behind those of before that are neither removed nor listed again; the
    /// newest where there are too many. A server that never leaves out date ranges lists them all,
    /// and says of none that it is removed.
    fn merged_date_ranges(&self, before: &[DateRange]) -> Vec<DateRange> {
        let removed = self.removed_date_ranges.iter().map(AsRef::as_ref);
        let renewed = self.date_ranges.iter().map(|new| &*new.id);
        let gone: BTreeSet<&str> = removed.chain(renewed).collect();
        let kept = before.iter().filter(|known| !gone.contains(&*known.id));
        let all: Vec<&DateRange> = kept.chain(&self.date_ranges).collect();
        let excess = all.len().saturating_sub(MAX_DATE_RANGES);
        all.into_iter().skip(excess).cloned().collect()
    }
}

/// What holds behind the segments that a delta update leaves out.
pub(super) fn context_behind(before: Option<&Listed>, first: u64, skipped: u64) -> Option<Context> {
    let last = first.checked_add(skipped.checked_sub(1)?)?;
    let before = before?;
    before.table.context(before.index_of(last)?).cloned()
}
