//! Any bytes are a segment index or an error; what it lists makes sense.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2pcdn_manifest::{MAX_INDEX_ENTRIES, parse_sidx};

fuzz_target!(|input: (u64, &[u8])| {
    let (first_offset, bytes) = input;
    let Ok(index) = parse_sidx(bytes, first_offset) else {
        return;
    };
    assert!(index.entries.len() <= MAX_INDEX_ENTRIES);
    for entry in &index.entries {
        assert!(!entry.range.is_empty());
        assert!(entry.range.start >= first_offset);
        assert_ne!(entry.timescale, 0);
    }
    assert!(index.entries.is_sorted_by_key(|entry| entry.range.start));
});
