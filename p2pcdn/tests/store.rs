//! What a store may play and pass on, through whatever order bytes and maps come in.

use bytes::Bytes;
use p2pcdn::{
    BlockMap, Change, Dropped, MapError, MemoryStore, MemoryStoreConfig, Mismatch, SignedMap,
    SigningKey, Source, Store,
    wire::{BLOCK_LEN, BlockSet, LinkId, SegmentId, SegmentRef, TrackIndex},
};
use proptest::prelude::*;

const HONEST: LinkId = LinkId(1);
const LIAR: LinkId = LinkId(2);

fn publisher() -> SigningKey {
    SigningKey::from_random([1; 32])
}

fn id() -> SegmentId {
    SegmentId::new([9; 16])
}

fn segment(ordinal: u64) -> SegmentRef {
    SegmentRef {
        track: TrackIndex(0),
        ordinal,
        tag: id().tag(),
    }
}

fn content(len: usize, salt: u8) -> Bytes {
    // 251 does not divide a block's length, so every block has other bytes.
    (0..=250)
        .cycle()
        .take(len)
        .map(|byte: u8| byte ^ salt)
        .collect()
}

fn map(bytes: &Bytes) -> SignedMap {
    BlockMap::of(id(), bytes)
        .expect("short enough")
        .sign(&publisher())
}

fn store() -> MemoryStore {
    MemoryStore::new(MemoryStoreConfig {
        keys: vec![publisher().public_key()],
        ..MemoryStoreConfig::default()
    })
}

fn block(bytes: &Bytes, block: u32) -> Bytes {
    let start = (block as usize * 16_384).min(bytes.len());
    bytes.slice(start..(start + 16_384).min(bytes.len()))
}

fn blocks(blocks: &[u32]) -> BlockSet {
    blocks.iter().copied().collect()
}

fn played(store: &MemoryStore, from_offset: u64) -> Vec<u8> {
    store.playable(segment(7), from_offset).concat()
}

/// A short notation: `http` and `peer` write block `number` of `bytes`.
fn http(store: &mut MemoryStore, bytes: &Bytes, number: u32) -> Change {
    let offset = u64::from(number) * BLOCK_LEN;
    store.write(segment(7), offset, block(bytes, number), Source::Http)
}

fn peer(store: &mut MemoryStore, bytes: &Bytes, number: u32, from: LinkId) -> Change {
    let offset = u64::from(number) * BLOCK_LEN;
    store.write(segment(7), offset, block(bytes, number), Source::Peer(from))
}

fn insert(store: &mut MemoryStore, map: &SignedMap) -> Change {
    store
        .insert_map(segment(7), id(), map.encoded())
        .expect("the publisher signed it")
        .change
}

#[test]
fn bytes_over_http_are_played_at_once_and_passed_on_once_the_map_confirms_them() {
    let bytes = content(40_000, 0);
    let mut store = store();
    let change = store.write(segment(7), 0, bytes.slice(..20_000), Source::Http);
    assert_eq!(change.private, blocks(&[0]));
    assert_eq!(played(&store, 5), bytes[5..20_000]);
    assert_eq!(store.read(segment(7), 0), None);

    let change = insert(&mut store, &map(&bytes));
    assert_eq!(change.verified, blocks(&[0]));
    assert_eq!(store.read(segment(7), 0), Some(block(&bytes, 0)));
    assert_eq!(played(&store, 5), bytes[5..16_384]);

    let change = store.write(segment(7), 20_000, bytes.slice(20_000..), Source::Http);
    assert_eq!(change.verified, blocks(&[1, 2]));
    assert!(store.is_complete(segment(7)));
    assert_eq!(played(&store, 0), bytes);
}

#[test]
fn blocks_from_peers_wait_for_the_map() {
    let bytes = content(40_000, 0);
    let mut store = store();
    assert_eq!(
        peer(&mut store, &bytes, 0, HONEST),
        Change {
            waiting: blocks(&[0]),
            ..Change::default()
        }
    );
    peer(&mut store, &content(40_000, 1), 1, LIAR);
    assert!(played(&store, 0).is_empty());

    let change = insert(&mut store, &map(&bytes));
    assert_eq!(change.verified, blocks(&[0]));
    assert_eq!(change.matched, [(HONEST, 0)]);
    assert_eq!(change.corrupt, [(LIAR, 1)]);
    assert_eq!(change.waste_peer_len, 16_384);
    assert_eq!(played(&store, 0), bytes[..16_384]);

    let change = peer(&mut store, &bytes, 1, HONEST);
    assert_eq!(change.verified, blocks(&[1]));
}

#[test]
fn a_block_that_no_segment_has_is_corrupt_at_once() {
    let mut store = store();
    let long = content(16_385, 0);
    for (offset, bytes) in [
        (0, long.clone()),
        (0, Bytes::new()),
        (1, long.slice(..10)),
        (2_016 * BLOCK_LEN, long.slice(..10)),
        (u64::MAX, long.slice(..10)),
    ] {
        let len = bytes.len() as u64;
        let change = store.write(segment(7), offset, bytes, Source::Peer(LIAR));
        assert_eq!(change.corrupt.len(), 1, "{offset}");
        assert_eq!(change.waste_peer_len, len);
    }
    assert_eq!(store.used_bytes(), 0);
    let last = store.write(
        segment(7),
        2_015 * BLOCK_LEN,
        long.slice(..10),
        Source::Peer(HONEST),
    );
    assert_eq!(last.waiting, blocks(&[2_015]));
}

#[test]
fn what_waits_is_bounded_and_what_made_room_is_told() {
    let mut store = MemoryStore::new(MemoryStoreConfig {
        quarantine_len: 3 * BLOCK_LEN,
        quarantine_segment_len: 3 * BLOCK_LEN,
        ..MemoryStoreConfig::default()
    });
    let bytes = content(80_000, 0);
    for number in 0..3 {
        peer(&mut store, &bytes, number, HONEST);
    }
    let change = store.write(segment(8), 0, block(&bytes, 0), Source::Peer(LIAR));
    let dropped = Dropped {
        segment: segment(7),
        block: 0,
        from: HONEST,
    };
    assert_eq!(change.dropped, [dropped]);
    assert_eq!(change.waste_peer_len, BLOCK_LEN);
    assert_eq!(store.used_bytes(), 3 * BLOCK_LEN);
}

#[test]
fn maps_are_refused_without_a_key_or_for_another_segment() {
    let bytes = content(10, 0);
    let encoded = map(&bytes).encoded().clone();
    let mut keyless = MemoryStore::new(MemoryStoreConfig::default());
    assert_eq!(
        keyless.insert_map(segment(7), id(), &encoded),
        Err(MapError::NoKey)
    );

    let mut store = store();
    let other = SegmentId::new([8; 16]);
    let wrong = MapError::OtherSegment {
        segment: segment(7),
        found: id(),
    };
    assert_eq!(store.insert_map(segment(7), other, &encoded), Err(wrong));
    let other_tag = SegmentRef {
        tag: 1,
        ..segment(7)
    };
    assert!(store.insert_map(other_tag, id(), &encoded).is_err());
    assert_eq!(store.used_bytes(), 0);
}

#[test]
fn the_first_map_stays() {
    let bytes = content(10, 0);
    let mut store = store();
    insert(&mut store, &map(&bytes));
    assert_eq!(insert(&mut store, &map(&bytes)), Change::default());
    let other = map(&content(10, 1));
    assert_eq!(
        store.insert_map(segment(7), id(), other.encoded()),
        Err(MapError::Conflict {
            segment: segment(7)
        })
    );
    assert_eq!(store.map(segment(7)), Some(map(&bytes).encoded().clone()));
}

#[test]
fn a_duplicate_is_waste_and_replaces_nothing() {
    let bytes = content(40_000, 0);
    let other = content(40_000, 1);
    let mut store = store();
    insert(&mut store, &map(&bytes));
    peer(&mut store, &bytes, 0, HONEST);
    let again = peer(&mut store, &bytes, 0, LinkId(3));
    assert_eq!(
        (again.waste_peer_len, &again.corrupt[..]),
        (16_384, &[][..])
    );
    let lie = peer(&mut store, &other, 0, LIAR);
    assert_eq!(
        (lie.waste_peer_len, &lie.corrupt[..]),
        (16_384, &[(LIAR, 0)][..])
    );
    assert_eq!(http(&mut store, &bytes, 0).waste_http_len, 16_384);
    assert_eq!(store.read(segment(7), 0), Some(block(&bytes, 0)));
}

#[test]
fn when_http_contradicts_the_map_the_segment_is_played_from_http_alone() {
    let (signed, served) = (content(40_000, 0), content(40_000, 1));
    let mut store = store();
    insert(&mut store, &map(&signed));
    peer(&mut store, &signed, 0, HONEST);
    let change = http(&mut store, &served, 1);
    assert_eq!(change.mismatch, Some(Mismatch::Block(1)));
    assert_eq!(change.private, blocks(&[1]));
    assert_eq!(store.playable_blocks(segment(7)), blocks(&[1]));
    assert_eq!(store.verified_blocks(segment(7)), blocks(&[0]));
    assert!(played(&store, 0).is_empty());

    store.set_len(segment(7), 40_000);
    http(&mut store, &served, 0);
    http(&mut store, &served, 2);
    assert!(store.is_complete(segment(7)));
    assert_eq!(played(&store, 0), served);
    assert_eq!(store.read(segment(7), 0), Some(block(&signed, 0)));
    assert_eq!(store.read(segment(7), 1), None);
}

#[test]
fn a_block_in_the_making_is_compared_with_the_verified_one_that_overtakes_it() {
    let (signed, served) = (content(40_000, 0), content(40_000, 1));
    for (over_http, mismatch, waste_http_len) in [
        (&signed, None, 1_000),
        (&served, Some(Mismatch::Block(1)), 0),
    ] {
        let mut store = store();
        insert(&mut store, &map(&signed));
        let part = over_http.slice(20_000..21_000);
        store.write(segment(7), 20_000, part, Source::Http);
        let change = peer(&mut store, &signed, 1, HONEST);
        assert_eq!(change.verified, blocks(&[1]));
        assert_eq!(change.mismatch, mismatch);
        assert_eq!(change.waste_http_len, waste_http_len);
    }
}

#[test]
fn a_late_map_that_http_contradicts_leaves_its_bytes_private() {
    let (signed, served) = (content(40_000, 0), content(40_000, 1));
    let mut store = store();
    http(&mut store, &signed, 0);
    http(&mut store, &served, 1);
    let change = insert(&mut store, &map(&signed));
    assert_eq!(change.mismatch, Some(Mismatch::Block(1)));
    assert_eq!(change.verified, blocks(&[0]));
    assert_eq!(store.playable_blocks(segment(7)), blocks(&[0, 1]));
    assert_eq!(store.read(segment(7), 1), None);
}

#[test]
fn a_complete_verified_segment_is_not_given_up_for_http() {
    let (signed, served) = (content(20_000, 0), content(20_000, 1));
    let mut store = store();
    insert(&mut store, &map(&signed));
    peer(&mut store, &signed, 0, HONEST);
    peer(&mut store, &signed, 1, HONEST);
    let change = http(&mut store, &served, 1);
    assert_eq!(change.mismatch, Some(Mismatch::Block(1)));
    assert_eq!(change.waste_http_len, 3_616);
    assert_eq!(played(&store, 0), signed);
}

#[test]
fn another_length_over_http_makes_its_bytes_private() {
    let signed = content(20_000, 0);
    for late_map in [false, true] {
        let mut store = store();
        let mismatch = Some(Mismatch::MapLen {
            map_len: 20_000,
            http_len: 20_001,
        });
        if late_map {
            store.set_len(segment(7), 20_001);
            assert_eq!(insert(&mut store, &map(&signed)).mismatch, mismatch);
        } else {
            insert(&mut store, &map(&signed));
            assert_eq!(store.set_len(segment(7), 20_001).mismatch, mismatch);
        }
        assert_eq!(store.segment_len(segment(7)), Some(20_001));
        let longer = content(20_001, 0);
        let change = store.write(segment(7), 0, longer.clone(), Source::Http);
        assert_eq!(change.verified, blocks(&[0]));
        assert_eq!(change.private, blocks(&[1]));
        assert_eq!(played(&store, 0), longer);
    }
}

#[test]
fn bytes_past_the_end_of_the_map_are_a_contradiction_too() {
    let signed = content(20_000, 0);
    let mut store = store();
    insert(&mut store, &map(&signed));
    let longer = content(30_000, 0);
    let change = store.write(segment(7), 0, longer.clone(), Source::Http);
    assert_eq!(
        change.mismatch,
        Some(Mismatch::MapLen {
            map_len: 20_000,
            http_len: 30_000
        })
    );
    store.set_len(segment(7), 30_000);
    assert!(store.is_complete(segment(7)));
    assert_eq!(played(&store, 0), longer);
}

#[test]
fn the_first_length_over_http_counts() {
    let mut store = store();
    store.set_len(segment(7), 10);
    let change = store.set_len(segment(7), 11);
    assert_eq!(
        change.mismatch,
        Some(Mismatch::HttpLen {
            first_len: 10,
            later_len: 11
        })
    );
    assert_eq!(store.segment_len(segment(7)), Some(10));
    let change = store.write(segment(7), 0, content(11, 0), Source::Http);
    assert_eq!(change.waste_http_len, 1);
}

#[test]
fn an_empty_segment_is_complete_once_its_length_is_known() {
    let mut store = store();
    assert!(!store.is_complete(segment(7)));
    store.set_len(segment(7), 0);
    assert!(store.is_complete(segment(7)));
    insert(&mut store, &map(&Bytes::new()));
    assert!(store.is_complete(segment(7)));
}

#[test]
fn a_removed_segment_leaves_nothing() {
    let bytes = content(40_000, 0);
    let mut store = store();
    peer(&mut store, &bytes, 0, HONEST);
    http(&mut store, &bytes, 1);
    assert_eq!(store.used_bytes(), 2 * BLOCK_LEN);
    store.remove(segment(7));
    assert_eq!(store.used_bytes(), 0);
    let change = insert(&mut store, &map(&bytes));
    assert_eq!(change, Change::default());
}

#[test]
fn a_verified_block_from_a_peer_is_kept_without_a_copy() {
    let bytes = content(16_384, 0);
    let mut store = store();
    insert(&mut store, &map(&bytes));
    store.write(segment(7), 0, bytes.clone(), Source::Peer(HONEST));
    let read = store.read(segment(7), 0).expect("verified");
    assert_eq!(read.as_ptr(), bytes.as_ptr());
}

#[derive(Clone, Debug)]
enum Step {
    Http(usize, usize),
    Peer(u32),
    Lie(u32),
    Len,
    Map,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..70_000, 1usize..30_000).prop_map(|(from, len)| Step::Http(from, len)),
        6 => (0u32..5).prop_map(Step::Peer),
        2 => (0u32..5).prop_map(Step::Lie),
        1 => Just(Step::Len),
        1 => Just(Step::Map),
    ]
}

proptest! {
    #[test]
    fn any_interleaving_plays_and_serves_the_original_only(
        len in 1usize..70_000,
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let (right, wrong) = (content(len, 0), content(len, 1));
        let mut store = store();
        let mut told = Change::default();
        let mut given = 0;
        let mut has_map = false;
        let end = [Step::Map, Step::Http(0, len)];
        for step in steps.into_iter().chain(end) {
            let change = match step {
                Step::Http(from, len) => {
                    let from = from.min(right.len());
                    let to = (from + len).min(right.len());
                    given += (to - from) as u64;
                    store.write(segment(7), from as u64, right.slice(from..to), Source::Http)
                }
                Step::Peer(number) | Step::Lie(number) if block(&right, number).is_empty() => continue,
                Step::Peer(number) => {
                    given += block(&right, number).len() as u64;
                    peer(&mut store, &right, number, HONEST)
                }
                Step::Lie(number) => {
                    given += block(&wrong, number).len() as u64;
                    peer(&mut store, &wrong, number, LIAR)
                }
                Step::Len => store.set_len(segment(7), len as u64),
                Step::Map => {
                    has_map = true;
                    insert(&mut store, &map(&right))
                }
            };
            prop_assert_eq!(change.mismatch, None);
            prop_assert!(!change.verified.intersects(&told.verified));
            prop_assert!(!change.private.intersects(&told.private));
            prop_assert!(!change.private.intersects(&change.verified));
            prop_assert!(has_map || change.verified.is_empty());
            prop_assert!(change.corrupt.iter().all(|(link, _)| *link == LIAR));
            prop_assert!(change.matched.iter().all(|(link, _)| *link == HONEST));
            told.verified.union_with(&change.verified);
            told.private.union_with(&change.private);
            told.waste_http_len += change.waste_http_len;
            told.waste_peer_len += change.waste_peer_len;

            prop_assert_eq!(store.verified_blocks(segment(7)), told.verified.clone());
            for number in 0..5 {
                let expected = told.verified.contains(number).then(|| block(&right, number));
                prop_assert_eq!(store.read(segment(7), number), expected);
            }
            let playable = played(&store, 0);
            prop_assert_eq!(&playable[..], &right[..playable.len()]);
        }
        prop_assert!(store.is_complete(segment(7)));
        prop_assert_eq!(played(&store, 0), &right[..]);
        prop_assert_eq!(given, len as u64 + told.waste_http_len + told.waste_peer_len);
        let map_len = map(&right).encoded().len() as u64;
        prop_assert_eq!(store.used_bytes(), len as u64 + map_len);
    }

    #[test]
    fn two_versions_are_never_mixed(
        len in 1usize..70_000,
        steps in prop::collection::vec(step(), 0..40),
    ) {
        // Here HTTP has another version than the publisher signed and peers have.
        let (signed, served) = (content(len, 0), content(len, 1));
        let mut store = store();
        for step in steps {
            match step {
                Step::Http(from, part_len) => {
                    let from = from.min(len);
                    let part = served.slice(from..(from + part_len).min(len));
                    store.write(segment(7), from as u64, part, Source::Http);
                }
                Step::Peer(number) | Step::Lie(number) => {
                    peer(&mut store, &signed, number, HONEST);
                }
                Step::Len => {
                    store.set_len(segment(7), len as u64);
                }
                Step::Map => {
                    insert(&mut store, &map(&signed));
                }
            }
            for from in [0, 16_384, 40_000].map(|from: usize| from.min(len)) {
                let playable = played(&store, from as u64);
                let to = from + playable.len();
                prop_assert!(playable == signed[from..to] || playable == served[from..to]);
            }
            for number in store.verified_blocks(segment(7)).iter() {
                prop_assert_eq!(store.read(segment(7), number), Some(block(&signed, number)));
            }
        }
    }
}
