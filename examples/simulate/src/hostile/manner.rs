//! What each kind of adversary says, and when.

use std::time::Duration;

use bytes::Bytes;
use p2pcdn::{
    BlockMap, SigningKey, WitnessedMap,
    wire::{
        BLOCK_LEN, Block, BlockRange, Instant, LinkId, LinkInput, MAX_DURATION, MapData,
        OrdinalRange, Payload, PeerId, RejectReason, Said, Say, SegmentId, SegmentRef, TrackIndex,
        tag_digest,
    },
};

use super::{HostileViewer, MAX_BACKLOG, neighbours::Owed};
use crate::{
    actor::Outbox,
    scenario::{ContentKind, HostileKind, Integrity, PayloadKind},
    virtual_store::{BAD, GOOD, encode_body},
};

impl HostileViewer {
    /// What it answers to what a neighbour said.
    pub(super) fn respond(&mut self, link: LinkId, said: &Said, now: Instant) -> Vec<Say> {
        match said {
            Said::Joined { track, .. } => self.claim_all(*track, now),
            // Of another adversary.
            Said::Request { segment, .. } | Said::MapRequest { segment, .. }
                if !self.is_content(*segment, now) =>
            {
                Vec::new()
            }
            Said::Request {
                request,
                segment,
                blocks,
                ..
            } => {
                let owed = (blocks.start..blocks.end).map(|block| Owed {
                    request: *request,
                    segment: *segment,
                    block,
                });
                self.requested(link, owed, now)
            }
            Said::MapRequest { segment, id } => self.map_requested(link, *segment, *id),
            _ => Vec::new(),
        }
    }

    fn requested(
        &mut self,
        link: LinkId,
        owed: impl Iterator<Item = Owed>,
        now: Instant,
    ) -> Vec<Say> {
        match self.kind {
            HostileKind::Polluter | HostileKind::ColludingPolluter => {
                if self.uplink.backlog(now) > MAX_BACKLOG {
                    return Vec::new();
                }
                owed.filter_map(|owed| match self.lies_about(link, owed.segment) {
                    true => self.wrong_block(owed),
                    false => self.true_block(owed),
                })
                .collect()
            }
            HostileKind::Trickler => {
                if let Some(neighbour) = self.neighbours.get_mut(link) {
                    owed.for_each(|owed| neighbour.owe(owed));
                }
                Vec::new()
            }
            HostileKind::Eclipser => {
                let reason = RejectReason::Busy;
                let mut requests: Vec<_> = owed.map(|owed| owed.request).collect();
                requests.dedup();
                let reject = |request| Say::Reject { request, reason };
                requests.into_iter().map(reject).collect()
            }
            HostileKind::Staller | HostileKind::IntentLiar | HostileKind::Flooder => Vec::new(),
        }
    }

    fn map_requested(&self, link: LinkId, segment: SegmentRef, id: SegmentId) -> Vec<Say> {
        if self.is_witnessed() {
            let map = self.own_map(link, segment, id);
            return map.map(|it| map_say(segment, it)).into_iter().collect();
        }
        let payload = match self.kind {
            HostileKind::Polluter | HostileKind::Trickler => {
                self.shared.media.map(segment.track.0, segment.ordinal)
            }
            HostileKind::ColludingPolluter => self.forged_map(segment, id),
            _ => return Vec::new(),
        };
        vec![map_say(segment, payload)]
    }

    /// Acts unasked.
    pub(super) fn mischief(&mut self, now: Instant, out: &mut Outbox) {
        match self.kind {
            HostileKind::Flooder => return self.flood(now, out),
            HostileKind::Trickler => self.trickle(now, out),
            HostileKind::IntentLiar => {
                let says = self.intents(now);
                return self.tell_all(&says, now, out);
            }
            _ => {}
        }
        let published = self.shared.media.published(now);
        let tracks = self.track_numbers();
        let mut says = Vec::new();
        // After a reject nobody believes in a segment until it is stated anew.
        let from = match self.kind {
            HostileKind::Eclipser => published.saturating_sub(NEWEST),
            _ => self.claimed,
        };
        // A staller cannot wait.
        let to = match self.kind {
            HostileKind::Staller => published + 1,
            _ => published,
        };
        for (track, ordinal) in each(&tracks, from..to) {
            let Some((segment, id)) = self.name(track, ordinal, now) else {
                continue;
            };
            if self.kind == HostileKind::ColludingPolluter && !self.is_witnessed() {
                says.push(map_say(segment, self.forged_map(segment, id)));
            }
            says.push(have(segment));
        }
        self.claimed = self.claimed.max(to);
        self.tell_all(&says, now, out);
    }

    fn intents(&self, now: Instant) -> Vec<Say> {
        let published = self.shared.media.published(now);
        let newest = published.saturating_sub(NEWEST)..published + MAX_EARLY;
        let tracks = self.track_numbers();
        each(&tracks, newest)
            .filter_map(|(track, ordinal)| self.name(track, ordinal, now))
            .map(|(segment, _)| Say::Intent {
                segment,
                expires_after: MAX_DURATION,
            })
            .collect()
    }

    fn trickle(&mut self, now: Instant, out: &mut Outbox) {
        for link in self.neighbours.links() {
            let neighbour = self.neighbours.get_mut(link);
            let Some(owed) = neighbour.and_then(|neighbour| neighbour.owed.pop_front()) else {
                continue;
            };
            if let Some(say) = self.true_block(owed) {
                self.tell(link, LinkInput::Say(say), now, out);
            }
        }
    }

    fn tell_all(&mut self, says: &[Say], now: Instant, out: &mut Outbox) {
        if self.uplink.backlog(now) > MAX_BACKLOG {
            return;
        }
        for link in self.neighbours.links() {
            for say in says {
                self.tell(link, LinkInput::Say(say.clone()), now, out);
            }
        }
    }

    /// What it says of a track that it shares with a neighbour.
    fn claim_all(&self, track: TrackIndex, now: Instant) -> Vec<Say> {
        if matches!(self.kind, HostileKind::IntentLiar | HostileKind::Flooder) {
            return Vec::new();
        }
        let published = self.shared.media.published(now);
        let presentation = self.shared.media.presentation(published);
        let id = self.shared.media.track_id(track.0);
        let track_listed = presentation.track(id);
        let Some(segments) = track_listed.and_then(|track| track.segments.as_ref()) else {
            return Vec::new();
        };
        let digest = tag_digest(segments.iter().map(|segment| segment.id.tag()));
        vec![Say::Have {
            track,
            ordinals: segments.window(),
            digest,
        }]
    }

    fn wrong_block(&self, owed: Owed) -> Option<Say> {
        let len = usize::try_from(self.block_len(owed)?).ok()?;
        let payload = match self.kind {
            // Its own wrong bytes, where bytes are more than a mark.
            HostileKind::Polluter if self.shared.scenario.payload == PayloadKind::Real => {
                Bytes::from(vec![self.wrong_byte(); len])
            }
            _ => Bytes::from_static(WRONG.get(..len)?),
        };
        Some(block_say(owed, payload))
    }

    fn true_block(&self, owed: Owed) -> Option<Say> {
        let start = u64::from(owed.block) * BLOCK_LEN;
        let end = start + self.block_len(owed)?;
        let SegmentRef { track, ordinal, .. } = owed.segment;
        let payload = self.shared.media.bytes(track.0, ordinal, start..end);
        Some(block_say(owed, payload))
    }

    fn block_len(&self, owed: Owed) -> Option<u64> {
        let SegmentRef { track, ordinal, .. } = owed.segment;
        let segment_len = self.shared.media.segment_len(track.0, ordinal);
        let bytes = BlockRange::new(owed.block, owed.block + 1).bytes(segment_len);
        (!bytes.is_empty()).then_some(bytes.len())
    }

    fn is_witnessed(&self) -> bool {
        self.shared.scenario.integrity == Integrity::Witnessed
    }

    /// Whether it has wrong bytes for this neighbour rather than true ones.
    fn lies_about(&self, link: LinkId, segment: SegmentRef) -> bool {
        if !self.is_witnessed() {
            return true;
        }
        match self.kind {
            HostileKind::Polluter => true,
            HostileKind::ColludingPolluter => {
                let known = self.neighbours.get(link);
                let lies_from = known.map(|it| self.shared.media.published(it.opened_at + SLEEP));
                lies_from.is_some_and(|first| segment.ordinal >= first)
            }
            _ => false,
        }
    }

    /// What it signs with on a link.
    pub(super) fn witness_key(&self, link: LinkId) -> Option<SigningKey> {
        let mut secret = [0x5a; 32];
        secret[..PeerId::LEN].copy_from_slice(self.peer(link).as_bytes());
        self.is_witnessed().then(|| SigningKey::from_random(secret))
    }

    /// The map of a segment that it signs as a witness.
    fn own_map(&self, link: LinkId, segment: SegmentRef, id: SegmentId) -> Option<Bytes> {
        let is_lie = self.lies_about(link, segment);
        match self.kind {
            HostileKind::Polluter | HostileKind::ColludingPolluter | HostileKind::Trickler => {}
            _ => return None,
        }
        let SegmentRef { track, ordinal, .. } = segment;
        let media = &self.shared.media;
        let len = media.segment_len(track.0, ordinal);
        let body = match (self.shared.scenario.payload, is_lie) {
            (PayloadKind::Virtual, true) => encode_body(id, len, BAD, self.author()),
            (PayloadKind::Virtual, false) => encode_body(id, len, GOOD, 0),
            (PayloadKind::Real, true) => {
                let wrong = vec![self.wrong_byte(); usize::try_from(len).ok()?];
                BlockMap::of(id, &wrong).ok()?.body()
            }
            (PayloadKind::Real, false) => {
                let bytes = media.bytes(track.0, ordinal, 0..len);
                BlockMap::of(id, &bytes).ok()?.body()
            }
        };
        let network = self.shared.population.people[self.person as usize].network();
        let key = self.witness_key(link)?;
        let map = WitnessedMap::sign(&body, Some(network), &key).ok()?;
        Some(map.encoded())
    }

    /// Those who collude have one lie.
    fn author(&self) -> u32 {
        match self.kind {
            HostileKind::Polluter => self.person + 1,
            _ => 0,
        }
    }

    fn wrong_byte(&self) -> u8 {
        match self.kind {
            HostileKind::Polluter => u8::try_from(self.person % 250).unwrap_or(0) + 2,
            _ => 1,
        }
    }

    /// A map of the wrong bytes, in the right form, by another key.
    fn forged_map(&self, segment: SegmentRef, id: SegmentId) -> Bytes {
        let SegmentRef { track, ordinal, .. } = segment;
        if self.shared.scenario.payload == PayloadKind::Virtual {
            return Bytes::from_static(b"forged");
        }
        let len = self.shared.media.segment_len(track.0, ordinal);
        let wrong = vec![1; usize::try_from(len).unwrap_or(0)];
        let forger = SigningKey::from_random([0xf0; 32]);
        BlockMap::of(id, &wrong).map_or_else(
            |_| Bytes::from_static(b"forged"),
            |map| map.sign(&forger).encoded().clone(),
        )
    }

    /// How a segment is called, even before it is published.
    pub(super) fn name(
        &self,
        track: u16,
        ordinal: u64,
        now: Instant,
    ) -> Option<(SegmentRef, SegmentId)> {
        let media = &self.shared.media;
        let is_coming = self.shared.scenario.content.kind == ContentKind::Live;
        let published = media.published(now);
        if ordinal >= published && !is_coming {
            return None;
        }
        let published = published.max(ordinal + 1);
        let presentation = media.presentation(published);
        let listed = presentation
            .track(media.track_id(track))?
            .segments
            .as_ref()?;
        let id = listed.segment(ordinal)?.id;
        let segment = SegmentRef {
            track: TrackIndex(track),
            ordinal,
            tag: id.tag(),
        };
        Some((segment, id))
    }

    /// Whether there is such a segment.
    fn is_content(&self, segment: SegmentRef, now: Instant) -> bool {
        let named = self.name(segment.track.0, segment.ordinal, now);
        segment.ordinal < self.shared.media.published(now)
            && named.is_some_and(|(known, _)| known == segment)
    }

    pub(super) fn track_numbers(&self) -> Vec<u16> {
        let count = self.shared.scenario.content.renditions.len();
        (0..count)
            .filter_map(|track| u16::try_from(track).ok())
            .collect()
    }
}

fn each(
    tracks: &[u16],
    ordinals: std::ops::Range<u64>,
) -> impl Iterator<Item = (u16, u64)> + use<'_> {
    let of_one = move |ordinal| tracks.iter().map(move |track| (*track, ordinal));
    ordinals.flat_map(of_one)
}

fn have(segment: SegmentRef) -> Say {
    Say::Have {
        track: segment.track,
        ordinals: OrdinalRange::one(segment.ordinal),
        digest: tag_digest([segment.tag]),
    }
}

fn block_say(owed: Owed, payload: Bytes) -> Say {
    Say::Block(Block {
        request: owed.request,
        block: owed.block,
        payload: Payload(payload),
    })
}

fn map_say(segment: SegmentRef, payload: Bytes) -> Say {
    let payload = Payload(payload);
    Say::Map(MapData { segment, payload })
}

/// How long a colluding polluter is honest to a neighbour that has to learn to believe it.
const SLEEP: Duration = Duration::from_secs(10);

/// Segments that are still contended for.
const NEWEST: u64 = 3;

/// How far ahead of their playlists viewers listen; the third would be held against a sender whose
/// clock is not exact.
const MAX_EARLY: u64 = 2;

/// A block of wrong bytes; also the mark of wrong ones.
static WRONG: [u8; 16_384] = [1; 16_384];

const _: () = assert!(WRONG.len() as u64 == BLOCK_LEN);
