//! Segments that are byte ranges of one resource.

use std::{sync::Arc, time::Duration};

use p2pcdn_wire::{ByteRange, MediaTime};

use crate::{
    key::Key,
    table::{Context, Entry, InitSection, Table},
};

/// One of the segments.
pub(crate) struct Piece {
    /// `None` for all of the resource.
    pub(crate) range: Option<ByteRange>,
    pub(crate) start: MediaTime,
    pub(crate) duration: Duration,
}

/// The segments as rows that refer to the resource at `url` by its file name.
pub(crate) fn table(
    url: &str,
    init: Option<InitSection>,
    keys: Arc<[Key]>,
    pieces: impl Iterator<Item = Piece>,
) -> Table {
    let reference = file_name(url);
    let mut table = Table::default();
    table.push_context(Context {
        discontinuity_sequence: 0,
        init: init.map(Arc::new),
        keys,
    });
    for piece in pieces {
        table.push(&Entry {
            reference,
            range: piece.range,
            start: piece.start,
            duration: piece.duration,
            date: None,
            is_gap: false,
            is_discontinuity: false,
        });
    }
    table.shrink();
    table
}

/// What refers to a URL from itself: the last part of its path, with the query; all of it where
/// that part could be taken for something else.
pub(crate) fn file_name(url: &str) -> &str {
    let path_end = url.find(['?', '#']).unwrap_or(url.len());
    let slash = url.get(..path_end).and_then(|path| path.rfind('/'));
    let name = slash.and_then(|slash| url.get(slash + 1..));
    name.filter(|name| crate::reference::look(name).is_plain)
        .unwrap_or(url)
}
