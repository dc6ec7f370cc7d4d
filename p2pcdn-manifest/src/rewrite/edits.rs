//! Replacements of byte spans, applied at once.

use std::ops::Range;

use super::RewriteError;
use crate::limits::{MAX_EDITS, MAX_REWRITTEN_LEN};

/// What is to be changed in a text.
#[derive(Default)]
pub(super) struct Edits {
    list: Vec<Edit>,
    len: usize,
}

struct Edit {
    span: Range<usize>,
    text: String,
}

impl Edits {
    /// Puts `text` in place of a span, or at a place where the span is empty. Spans do not overlap.
    pub(super) fn replace(&mut self, span: Range<usize>, text: String) -> Result<(), RewriteError> {
        self.len = self.len.saturating_add(text.len());
        if self.list.len() >= MAX_EDITS || self.len > MAX_REWRITTEN_LEN {
            return Err(RewriteError::TooLong);
        }
        self.list.push(Edit { span, text });
        Ok(())
    }

    pub(super) fn count(&self) -> usize {
        self.list.len()
    }

    /// The text with every edit made.
    pub(super) fn apply(mut self, text: &[u8]) -> Result<Vec<u8>, RewriteError> {
        self.list.sort_by_key(|edit| edit.span.start);
        let removed: usize = self.list.iter().map(|edit| edit.span.len()).sum();
        let len = text.len().saturating_sub(removed).saturating_add(self.len);
        if len > MAX_REWRITTEN_LEN {
            return Err(RewriteError::TooLong);
        }
        let mut out = Vec::with_capacity(len);
        let mut at = 0;
        for edit in &self.list {
            debug_assert!(at <= edit.span.start, "edits overlap");
            out.extend_from_slice(text.get(at..edit.span.start).unwrap_or_default());
            out.extend_from_slice(edit.text.as_bytes());
            at = edit.span.end;
        }
        out.extend_from_slice(text.get(at..).unwrap_or_default());
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_made_in_the_order_of_their_places() {
        let mut edits = Edits::default();
        edits.replace(4..5, "EE".into()).unwrap();
        edits.replace(0..2, String::new()).unwrap();
        edits.replace(3..3, "-".into()).unwrap();
        assert_eq!(edits.count(), 3);
        assert_eq!(edits.apply(b"abcdef").unwrap(), b"c-dEEf");
    }

    #[test]
    fn what_is_written_is_capped_by_bytes_and_by_count() {
        let mut edits = Edits::default();
        let longest = "x".repeat(MAX_REWRITTEN_LEN);
        edits.replace(0..1, longest.clone()).unwrap();
        assert_eq!(edits.apply(b"a").unwrap().len(), MAX_REWRITTEN_LEN);
        let mut edits = Edits::default();
        edits.replace(0..1, longest).unwrap();
        assert_eq!(edits.apply(b"ab"), Err(RewriteError::TooLong));

        let mut edits = Edits::default();
        for at in 0..MAX_EDITS {
            edits.replace(at..at, String::new()).unwrap();
        }
        let more = edits.replace(0..0, String::new());
        assert_eq!(more, Err(RewriteError::TooLong));
    }
}
