//! A virtual store says what a memory store says, whatever happens to both.

use bytes::Bytes;
use p2pcdn::{
    BlockMap, Change, MapError, MemoryStore, MemoryStoreConfig, SigningKey, Source, Store,
    wire::{BLOCK_LEN, BlockRange, LinkId, SegmentId, SegmentRef, TrackIndex},
};
use p2pcdn_example_simulate::virtual_store::{
    BAD, GOOD, VirtualStore, content, encode_body, encode_map,
};
use proptest::prelude::*;

const QUARANTINE: (u64, u64) = (5 * BLOCK_LEN, 3 * BLOCK_LEN);

/// Lengths of segments: no whole number of blocks, one, one byte more, one block and less.
const LENS: [u64; 5] = [70_000, 65_536, 65_537, 16_384, 100];

#[derive(Clone, Debug)]
enum Step {
    Map {
        segment: u64,
        len: usize,
        signed: bool,
    },
    Http {
        segment: u64,
        offset: u64,
        len: u64,
        mark: u8,
    },
    Peer {
        segment: u64,
        block: u32,
        len: Option<u64>,
        mark: u8,
        from: u64,
    },
    SetLen {
        segment: u64,
        len: usize,
    },
    Remove {
        segment: u64,
    },
}

/// Both stores, side by side.
struct Pair {
    memory: MemoryStore,
    virtual_: VirtualStore,
    key: SigningKey,
    has_mismatch: bool,
}

impl Pair {
    fn new() -> Self {
        let key = SigningKey::from_random([5; 32]);
        Self {
            memory: MemoryStore::new(MemoryStoreConfig {
                keys: vec![key.public_key()],
                quarantine_len: QUARANTINE.0,
                quarantine_segment_len: QUARANTINE.1,
            }),
            virtual_: VirtualStore::new(QUARANTINE.0, QUARANTINE.1),
            key,
            has_mismatch: false,
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Map {
                segment,
                len,
                signed,
            } => {
                let len = LENS[len];
                let id = id(segment);
                let map = BlockMap::of(id, &vec![GOOD; len as usize]).unwrap();
                let key = if signed {
                    self.key.clone()
                } else {
                    SigningKey::from_random([6; 32])
                };
                let encoded = map.sign(&key).encoded().clone();
                let real = self.memory.insert_map(name(segment), id, &encoded);
                let mark = encode_map(len, signed);
                assert_eq!(mark.len(), encoded.len());
                let ours = self.virtual_.insert_map(name(segment), id, &mark);
                assert_eq!(real.is_err(), ours.is_err());
                match (real, ours) {
                    (Ok(real), Ok(ours)) => {
                        assert_eq!(real.segment_len, ours.segment_len);
                        self.compare(&real.change, &ours.change);
                    }
                    (Err(real), Err(ours)) => assert_eq!(real, ours),
                    _ => {}
                }
            }
            Step::Http {
                segment,
                offset,
                len,
                mark,
            } => {
                let bytes = filled(mark, len);
                let both = (
                    self.memory
                        .write(name(segment), offset, bytes.clone(), Source::Http),
                    self.virtual_
                        .write(name(segment), offset, bytes, Source::Http),
                );
                self.compare(&both.0, &both.1);
            }
            Step::Peer {
                segment,
                block,
                len,
                mark,
                from,
            } => {
                let whole = BlockRange::new(block, block + 1).bytes(LENS[0]).len();
                let bytes = filled(mark, len.unwrap_or(whole));
                let offset = u64::from(block) * BLOCK_LEN;
                let from = Source::Peer(LinkId(from));
                let both = (
                    self.memory
                        .write(name(segment), offset, bytes.clone(), from),
                    self.virtual_.write(name(segment), offset, bytes, from),
                );
                self.compare(&both.0, &both.1);
            }
            Step::SetLen { segment, len } => {
                let len = LENS[len];
                let both = (
                    self.memory.set_len(name(segment), len),
                    self.virtual_.set_len(name(segment), len),
                );
                self.compare(&both.0, &both.1);
            }
            Step::Remove { segment } => {
                self.memory.remove(name(segment));
                self.virtual_.remove(name(segment));
            }
        }
        (0..3).for_each(|segment| self.compare_answers(segment));
        if !self.has_mismatch {
            assert_eq!(self.memory.used_bytes(), self.virtual_.used_bytes());
        }
    }

    fn compare(&mut self, real: &Change, ours: &Change) {
        assert_eq!(real, ours);
        self.has_mismatch |= real.mismatch.is_some();
    }

    fn compare_answers(&self, segment: u64) {
        let name = name(segment);
        let (memory, ours) = (&self.memory, &self.virtual_);
        assert_eq!(memory.map(name).is_some(), ours.map(name).is_some());
        assert_eq!(memory.segment_len(name), ours.segment_len(name));
        assert_eq!(memory.is_complete(name), ours.is_complete(name));
        assert_eq!(memory.verified_blocks(name), ours.verified_blocks(name));
        assert_eq!(memory.playable_blocks(name), ours.playable_blocks(name));
        for block in 0..6 {
            assert_eq!(memory.read(name, block), ours.read(name, block));
        }
        for offset in [0, 1, 16_384, 20_000, 65_536] {
            let played = ours.playable(name, offset).concat();
            assert_eq!(memory.playable(name, offset).concat(), played);
        }
        if memory.is_complete(name) {
            let played = memory.playable(name, 0).concat();
            let bad = played.iter().filter(|byte| **byte != GOOD).count();
            assert_eq!(bad as u64, ours.bad_len(name));
        }
    }
}

fn id(segment: u64) -> SegmentId {
    SegmentId::new([segment as u8 + 1; 16])
}

fn name(segment: u64) -> SegmentRef {
    SegmentRef {
        track: TrackIndex(0),
        ordinal: segment,
        tag: id(segment).tag(),
    }
}

fn filled(mark: u8, len: u64) -> Bytes {
    vec![mark; len as usize].into()
}

fn mark() -> impl Strategy<Value = u8> {
    prop_oneof![6 => Just(GOOD), 1 => Just(BAD)]
}

fn step() -> impl Strategy<Value = Step> {
    let segment = 0u64..3;
    // Offsets and lengths as servers and HTTP libraries cut them, and whole blocks.
    let at = prop_oneof![
        (0u64..5).prop_map(|block| block * BLOCK_LEN),
        (0u64..5).prop_map(|half| half * 8_192),
        0u64..72_000,
    ];
    let len = prop_oneof![Just(BLOCK_LEN), Just(8_192), Just(40_000), 1u64..20_000];
    let known = prop_oneof![4 => Just(0usize), 1 => 0usize..5];
    prop_oneof![
        2 => (segment.clone(), known.clone(), prop::bool::weighted(0.8))
            .prop_map(|(segment, len, signed)| Step::Map { segment, len, signed }),
        8 => (segment.clone(), at, len, mark())
            .prop_map(|(segment, offset, len, mark)| Step::Http { segment, offset, len, mark }),
        8 => (segment.clone(), 0u32..6, prop::option::weighted(0.2, 0u64..17_000), mark(), 0u64..4)
            .prop_map(|(segment, block, len, mark, from)| Step::Peer { segment, block, len, mark, from }),
        2 => (segment.clone(), known).prop_map(|(segment, len)| Step::SetLen { segment, len }),
        1 => segment.prop_map(|segment| Step::Remove { segment }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn a_virtual_store_is_a_memory_store_without_bytes(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.take(step);
        }
    }
}

#[test]
fn a_map_that_is_cut_short_or_not_signed_is_refused() {
    let mut store = VirtualStore::default();
    let signed = encode_map(40_000, true);
    let cut = store.insert_map(name(0), id(0), &signed.slice(..8));
    assert!(matches!(cut, Err(MapError::Length { .. })));
    let forged = store.insert_map(name(0), id(0), &encode_map(40_000, false));
    assert_eq!(forged, Err(MapError::Signature));
    let long = store.insert_map(name(0), id(0), &Bytes::from_static(&[1; 200]));
    assert!(matches!(long, Err(MapError::SegmentTooLong { .. })));
    // Length and mark alone, without the padding, are as good.
    assert!(store.insert_map(name(0), id(0), &signed.slice(..9)).is_ok());
}

#[test]
fn what_a_trusted_body_is_of_is_what_counts_as_right() {
    let id = SegmentId::new([9; 16]);
    let segment = SegmentRef {
        track: TrackIndex(0),
        ordinal: 1,
        tag: id.tag(),
    };
    let len = 2 * 16_384;
    let mut store = VirtualStore::default();
    let body = encode_body(id, len, BAD, 7);
    store.insert_body(segment, id, &body).unwrap();
    let wrong = store.write(segment, 0, content(BAD, 16_384), Source::Peer(LinkId(1)));
    assert!(wrong.verified.contains(0));
    let right = store.write(
        segment,
        16_384,
        content(GOOD, 16_384),
        Source::Peer(LinkId(2)),
    );
    assert_eq!(right.corrupt, [(LinkId(2), 1)]);
    assert_eq!(store.bad_len(segment), 16_384);
    // HTTP knows better.
    let http = store.write(segment, 16_384, content(GOOD, 16_384), Source::Http);
    assert!(http.mismatch.is_some());

    let mut fetcher = VirtualStore::default();
    fetcher.set_len(segment, len);
    fetcher.write(segment, 0, content(GOOD, 16_384), Source::Http);
    assert_eq!(fetcher.body(segment, id), None, "not all of it yet");
    fetcher.write(segment, 16_384, content(GOOD, 16_384), Source::Http);
    assert_eq!(
        fetcher.body(segment, id),
        Some(encode_body(id, len, GOOD, 0))
    );
}
