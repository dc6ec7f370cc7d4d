use p2pcdn_wire::TrackIndex;

use super::*;
use crate::block_map::BlockMap;

/// A viewer that needs two witnesses, and its neighbours: link `n` is in network `n`, signs with
/// key `n`, and is believed.
fn viewer(links: u64) -> Witnesses {
    let mut witnesses = Witnesses::new(2, [200; 32], Some(Network::new(200)));
    for link in 1..=links {
        join(&mut witnesses, link, link);
        prove(&mut witnesses, link);
    }
    witnesses.want(segment(9), Instant::EPOCH);
    witnesses
}

fn join(witnesses: &mut Witnesses, link: u64, network: u64) {
    let public = WitnessKey::new(*key(link).public_key().as_bytes());
    witnesses.link_has_key(LinkId(link), public);
    let network = Some(Network::new(network));
    witnesses.link_is_in(LinkId(link), network);
}

/// Has it hand over the map of a segment that this viewer read.
fn prove(witnesses: &mut Witnesses, link: u64) {
    witnesses.read(segment(1), id(1), &body(1, 0), Instant::EPOCH);
    let network = witnesses.links.get(LinkId(link)).unwrap().network;
    let network = network.map_or(0, Network::number);
    let encoded = map(1, 0, &[(link, network)]);
    let heard = witnesses.hear(LinkId(link), segment(1), id(1), &encoded);
    assert_eq!(heard, Heard::Proven);
}

fn key(number: u64) -> SigningKey {
    SigningKey::from_random([u8::try_from(number).unwrap(); 32])
}

fn id(ordinal: u8) -> SegmentId {
    SegmentId::new([ordinal; 16])
}

fn segment(ordinal: u8) -> SegmentRef {
    SegmentRef {
        track: TrackIndex(0),
        ordinal: ordinal.into(),
        tag: id(ordinal).tag(),
    }
}

fn body(ordinal: u8, content: u8) -> Bytes {
    let map = BlockMap::of(id(ordinal), &[content; 100]).unwrap();
    map.body()
}

/// The map of a content with the word of these keys, each in the network that it says.
fn map(ordinal: u8, content: u8, signers: &[(u64, u64)]) -> Bytes {
    let body = body(ordinal, content);
    let digest = digest(&body);
    let signed: Vec<_> = signers
        .iter()
        .map(|(signer, network)| {
            let network = Some(Network::new(*network));
            Attestation::sign(&digest, network, &key(*signer))
        })
        .collect();
    WitnessedMap::of(&body, id(ordinal), &signed).encoded()
}

/// Segment 9 with this content, handed over by a neighbour that was drawn.
fn hear(witnesses: &mut Witnesses, link: u64, content: u8, signers: &[(u64, u64)]) -> Heard {
    witnesses.drew(segment(9), LinkId(link));
    let encoded = map(9, content, signers);
    witnesses.hear(LinkId(link), segment(9), id(9), &encoded)
}

fn accepts(witnesses: &mut Witnesses) -> bool {
    let later = Instant::EPOCH + SETTLE_AFTER;
    witnesses.accept(segment(9), later).is_some()
}

#[test]
fn two_witnesses_in_two_networks_are_enough() {
    let mut witnesses = viewer(2);
    assert_eq!(
        hear(&mut witnesses, 1, 0, &[(1, 1)]),
        Heard::Counted {
            is_first_hand: true
        }
    );
    assert!(!accepts(&mut witnesses));
    hear(&mut witnesses, 2, 0, &[(2, 2)]);
    let at_once = witnesses.accept(segment(9), Instant::EPOCH);
    assert_eq!(at_once, None, "before the time to settle");
    assert!(accepts(&mut witnesses));
}

#[test]
fn one_neighbour_is_not_enough_however_many_keys_it_has() {
    let mut witnesses = viewer(2);
    hear(
        &mut witnesses,
        1,
        0,
        &[(1, 1), (51, 51), (52, 52), (53, 53)],
    );
    assert!(!accepts(&mut witnesses));
}

#[test]
fn two_neighbours_with_one_witness_are_not_enough() {
    let mut witnesses = viewer(2);
    hear(&mut witnesses, 1, 0, &[(51, 51)]);
    hear(&mut witnesses, 2, 0, &[(51, 51)]);
    assert!(!accepts(&mut witnesses));
}

#[test]
fn two_witnesses_who_say_that_they_are_in_one_network_are_one() {
    // A liar with two identities, each known to another neighbour of ours.
    let mut witnesses = viewer(2);
    hear(&mut witnesses, 1, 0, &[(51, 77)]);
    hear(&mut witnesses, 2, 0, &[(52, 77)]);
    assert!(!accepts(&mut witnesses));
}

#[test]
fn two_neighbours_in_one_network_are_one() {
    let mut witnesses = viewer(1);
    join(&mut witnesses, 2, 1);
    prove(&mut witnesses, 2);
    hear(&mut witnesses, 1, 0, &[(1, 1), (51, 51)]);
    hear(&mut witnesses, 2, 0, &[(2, 1), (52, 52)]);
    assert!(!accepts(&mut witnesses));
}

#[test]
fn who_states_another_network_than_it_is_seen_in_is_refused() {
    let mut witnesses = viewer(2);
    assert_eq!(
        hear(&mut witnesses, 1, 0, &[(1, 5)]),
        Heard::Refused(MapError::Network)
    );
}

#[test]
fn none_of_the_neighbours_that_pushed_their_maps_is_enough() {
    let mut witnesses = viewer(2);
    for link in [1, 2] {
        let encoded = map(9, 0, &[(link, link)]);
        witnesses.hear(LinkId(link), segment(9), id(9), &encoded);
    }
    assert!(!accepts(&mut witnesses));
    witnesses.drew(segment(9), LinkId(2));
    assert!(accepts(&mut witnesses));
}

#[test]
fn neighbours_that_proved_nothing_do_not_count() {
    let mut witnesses = viewer(1);
    join(&mut witnesses, 2, 2);
    hear(&mut witnesses, 1, 0, &[(1, 1)]);
    assert_eq!(hear(&mut witnesses, 2, 0, &[(2, 2)]), Heard::Nothing);
    assert!(!accepts(&mut witnesses));
    // Nor do they raise a dispute.
    assert_eq!(hear(&mut witnesses, 2, 7, &[(2, 2)]), Heard::Nothing);
    prove(&mut witnesses, 2);
    hear(&mut witnesses, 2, 0, &[(2, 2)]);
    assert!(accepts(&mut witnesses));
}

#[test]
fn two_contents_are_a_dispute_also_after_one_was_accepted() {
    let mut witnesses = viewer(3);
    hear(&mut witnesses, 1, 0, &[(1, 1)]);
    assert_eq!(hear(&mut witnesses, 2, 7, &[(2, 2)]), Heard::Disputed);
    hear(&mut witnesses, 3, 0, &[(3, 3)]);
    assert!(!accepts(&mut witnesses));

    let mut witnesses = viewer(3);
    hear(&mut witnesses, 1, 0, &[(1, 1)]);
    hear(&mut witnesses, 2, 0, &[(2, 2)]);
    assert!(accepts(&mut witnesses));
    assert_eq!(hear(&mut witnesses, 3, 7, &[(3, 3)]), Heard::Disputed);
    assert!(witnesses.is_disputed(segment(9)));
}

#[test]
fn what_was_read_tells_who_lied_and_who_only_passed_it_on() {
    let mut witnesses = viewer(4);
    hear(&mut witnesses, 1, 7, &[(1, 1)]);
    hear(&mut witnesses, 2, 7, &[(1, 1)]);
    hear(&mut witnesses, 3, 0, &[(3, 3)]);
    let liars = witnesses.read(segment(9), id(9), &body(9, 0), Instant::EPOCH);
    assert_eq!(liars, [LinkId(1)]);
    assert!(witnesses.is_proven(LinkId(2)), "once is no proof");
    // The next lie is known as one at once.
    assert_eq!(hear(&mut witnesses, 4, 7, &[(4, 4)]), Heard::Lie);
    // Nothing from the network of a liar counts any more.
    join(&mut witnesses, 5, 1);
    assert_eq!(hear(&mut witnesses, 5, 0, &[(5, 1)]), Heard::Nothing);
}

#[test]
fn who_passes_on_falsehoods_twice_is_not_believed() {
    let mut witnesses = viewer(2);
    for (ordinal, believed) in [(10, true), (11, false)] {
        witnesses.read(
            segment(ordinal),
            id(ordinal),
            &body(ordinal, 0),
            Instant::EPOCH,
        );
        let encoded = map(ordinal, 7, &[(51, 51)]);
        witnesses.hear(LinkId(1), segment(ordinal), id(ordinal), &encoded);
        assert_eq!(witnesses.is_proven(LinkId(1)), believed);
    }
}

#[test]
fn contents_witnesses_and_vouchers_are_bounded() {
    let mut witnesses = viewer(13);
    for content in 0..=3 {
        hear(&mut witnesses, u64::from(content) + 1, content, &[(51, 51)]);
    }
    let kept = |witnesses: &Witnesses| {
        let case = witnesses.cases.get(segment(9)).unwrap();
        let first = &case.contents[0];
        (
            case.contents.len(),
            first.attestations.len(),
            first.vouchers.len(),
        )
    };
    assert_eq!(kept(&witnesses).0, 3);

    let mut witnesses = viewer(13);
    for link in 1..=13 {
        hear(&mut witnesses, link, 0, &[(link, link)]);
    }
    assert_eq!(kept(&witnesses), (1, 4, 12));
}

#[test]
fn cases_and_audits_are_bounded() {
    let mut witnesses = viewer(0);
    for ordinal in 0..600 {
        let name = SegmentRef {
            ordinal,
            ..segment(9)
        };
        witnesses.want(name, Instant::EPOCH);
    }
    assert_eq!(witnesses.cases.len(), 512);

    let mut witnesses = viewer(0);
    join(&mut witnesses, 1, 1);
    for ordinal in 20..25 {
        witnesses.read(
            segment(ordinal),
            id(ordinal),
            &body(ordinal, 0),
            Instant::EPOCH,
        );
        let asks = witnesses.audits(LinkId(1), segment(ordinal));
        assert_eq!(asks, ordinal < 24, "{ordinal}");
    }
}

#[test]
fn before_anything_is_accepted_only_first_hand_maps_are_handed_on() {
    let mut witnesses = viewer(2);
    hear(&mut witnesses, 1, 0, &[(51, 51)]);
    assert!(witnesses.maps(segment(9)).is_empty());
    hear(&mut witnesses, 1, 0, &[(1, 1)]);
    let maps = witnesses.maps(segment(9));
    let read = WitnessedMap::read(&maps[0]).unwrap();
    assert_eq!(read.attestations().len(), 1);
    assert_eq!(read.attestations()[0].network, Some(Network::new(1)));
    hear(&mut witnesses, 2, 0, &[(2, 2)]);
    assert!(accepts(&mut witnesses));
    let maps = witnesses.maps(segment(9));
    let read = WitnessedMap::read(&maps[0]).unwrap();
    assert_eq!(read.attestations().len(), 3);
}
