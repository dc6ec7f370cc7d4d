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
            (before.base == self.bases.fetched).then_some((before, range))
        });
        let (before, range) = found.ok_or(ParseError::UnusableDelta { skipped })?;
        let mut table = Table::default();
        table.extend_from(&before.table, range);
        let moved = table.contexts().len();
        for context in self.table.contexts() {
            table.push_context(context.clone());
        }
        table.extend_rows_from(&self.table, moved);
        for part in &mut self.parts {
            part.context = part.context.saturating_add(moved);
        }
        let removed = self.removed_date_ranges.iter().map(AsRef::as_ref);
        let renewed = self.date_ranges.iter().map(|new| &*new.id);
        let gone: BTreeSet<&str> = removed.chain(renewed).collect();
        let kept = date_ranges
            .iter()
            .filter(|known| !gone.contains(&*known.id));
        self.date_ranges = kept.cloned().chain(self.date_ranges.clone()).collect();
        self.date_ranges.truncate(MAX_DATE_RANGES);
        self.table = table;
        self.skipped = 0;
        self.warnings
            .retain(|warning| warning.kind != WarningKind::DeltaUpdate);
        Ok(self)
    }
}

/// What holds behind the segments that a delta update leaves out.
pub(super) fn context_behind(before: Option<&Listed>, first: u64, skipped: u64) -> Option<Context> {
    let last = first.checked_add(skipped.checked_sub(1)?)?;
    let before = before?;
    before.table.context(before.index_of(last)?).cloned()
}
