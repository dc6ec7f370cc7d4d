//! Block maps that fetchers sign, where no publisher does.

use bytes::Bytes;
use p2pcdn_scheduler::Input;
use p2pcdn_wire::{
    LinkId, MapData, OrdinalRange, Payload, Say, SegmentRef, TrackIndex, WitnessKey, tag_digest,
};

use super::{Integrity, Session, SessionConfig, SessionEvent};
use crate::{
    block_map::MapError,
    maps::{MapSource, MapsInput},
    network::Network,
    store::Store,
    witnesses::{Heard, Witnesses},
};

/// What a session of this integrity level keeps of witnesses.
pub(super) fn witnesses(config: &SessionConfig) -> Option<Box<Witnesses>> {
    match config.integrity {
        Integrity::Signed => None,
        Integrity::Witnessed { witnesses } => {
            let secret = config.session_key.0;
            Some(Box::new(Witnesses::new(witnesses, secret, config.network)))
        }
    }
}

/// Where the draws of a witnessed session start: nobody without its key foresees them.
pub(super) fn draw_seed(config: &SessionConfig) -> Option<u64> {
    let is_witnessed = config.integrity != Integrity::Signed;
    let hash = blake3::keyed_hash(&config.session_key.0, b"p2pcdn/witness draw/1");
    let first = hash.as_bytes().first_chunk().copied();
    first.map(u64::from_be_bytes).filter(|_| is_witnessed)
}

impl<S: Store> Session<S> {
    pub(super) fn witness_named(&mut self, link: LinkId, key: WitnessKey) {
        if let Some(witnesses) = &mut self.witnesses
            && self.links.contains(link)
        {
            witnesses.link_has_key(link, key);
        }
    }

    pub(super) fn witness_is_in(&mut self, link: LinkId, network: Option<Network>) {
        if let Some(witnesses) = &mut self.witnesses {
            witnesses.link_is_in(link, network);
        }
    }

    /// Whether maps of this neighbour are worth having.
    pub(super) fn counts_maps_of(&self, link: LinkId) -> bool {
        let witnesses = self.witnesses.as_ref();
        witnesses.is_none_or(|it| it.is_proven(link))
    }

    /// A neighbour says that it has maps: those of segments whose bytes are known here tell what
    /// its word is worth.
    pub(super) fn audit(&mut self, link: LinkId, track: TrackIndex, ordinals: OrdinalRange) {
        let Some(witnesses) = &mut self.witnesses else {
            return;
        };
        let asked: Vec<_> = witnesses
            .known(track)
            .filter(|segment| ordinals.contains(segment.ordinal))
            .collect();
        for segment in asked {
            self.audit_one(link, segment);
        }
    }

    fn audit_one(&mut self, link: LinkId, segment: SegmentRef) {
        let Some(id) = self.segment_id(segment) else {
            return;
        };
        if let Some(witnesses) = &mut self.witnesses
            && witnesses.audits(link, segment)
        {
            if let Some(state) = self.links.get_mut(link) {
                state.asks(segment);
            }
            self.say(link, Say::MapRequest { segment, id });
        }
    }

    /// Takes a map from a neighbour.
    pub(super) fn take_witnessed(&mut self, segment: SegmentRef, encoded: &Bytes, link: LinkId) {
        let id = self.segment_id(segment);
        let (Some(id), Some(witnesses)) = (id, &mut self.witnesses) else {
            return;
        };
        match witnesses.hear(link, segment, id, encoded) {
            Heard::Refused(error) => {
                let from = MapSource::Peer(link);
                self.tell_maps(MapsInput::MapRefused { segment, from });
                let is_forged = matches!(
                    error,
                    MapError::Signature
                        | MapError::Length { .. }
                        | MapError::SegmentTooLong { .. }
                        | MapError::OtherSegment { .. }
                );
                // Who hands a map on has checked it.
                if is_forged {
                    self.blame_for_map(link);
                }
                self.event(SessionEvent::MapRefused { segment, error });
            }
            Heard::Nothing => self.tell_maps(MapsInput::MapCounted { segment, link }),
            Heard::Counted { is_first_hand } => {
                if is_first_hand {
                    self.offer_to_strangers(segment);
                }
                self.accept_if_enough(segment);
                self.tell_maps(MapsInput::MapCounted { segment, link });
            }
            Heard::Proven => self.is_proven_now(link),
            Heard::Lie => self.catch(link, segment),
            Heard::Disputed => self.settle_over_http(segment),
        }
    }

    /// Asks a neighbour whose word counts from now on.
    fn is_proven_now(&mut self, link: LinkId) {
        let wanted = self.wanted_maps.keys().iter().copied();
        let lacking: Vec<_> = wanted.filter(|it| !self.store.has_map(*it)).collect();
        for segment in lacking {
            if self.scheduler.map_holders(segment).any(|it| it == link) {
                self.tell_maps(MapsInput::MapHeldBy { link, segment });
            }
        }
    }

    /// Tells the neighbours of a witness's map before it is accepted, where the witness may not be
    /// their neighbour too: two witnesses of a large swarm have few neighbours in common.
    fn offer_to_strangers(&mut self, segment: SegmentRef) {
        let sees = u32::try_from(self.links.len() + 1).unwrap_or(u32::MAX);
        let sees_most = self
            .viewers
            .is_none_or(|viewers| viewers <= sees.saturating_mul(2));
        if !sees_most {
            self.offer(segment);
        }
    }

    fn offer(&mut self, segment: SegmentRef) {
        let say = Say::HasMaps {
            track: segment.track,
            ordinals: OrdinalRange::one(segment.ordinal),
            digest: tag_digest([segment.tag]),
        };
        for link in self.maps.joined(segment.track) {
            self.say(link, say.clone());
        }
    }

    /// Looks at the segments whose time to settle is over.
    pub(super) fn settle_maps(&mut self) {
        let now = self.now;
        let due = self.witnesses.as_ref().map(|it| it.settling(now));
        for segment in due.into_iter().flatten() {
            self.accept_if_enough(segment);
            if let Some(witnesses) = &mut self.witnesses {
                witnesses.settled(segment);
            }
        }
    }

    fn accept_if_enough(&mut self, segment: SegmentRef) {
        let (now, id) = (self.now, self.segment_id(segment));
        let (Some(id), Some(witnesses)) = (id, &mut self.witnesses) else {
            return;
        };
        if let Some((body, link)) = witnesses.accept(segment, now) {
            self.trust(segment, id, &body, MapSource::Peer(link));
        }
    }

    fn trust(
        &mut self,
        segment: SegmentRef,
        id: p2pcdn_wire::SegmentId,
        body: &Bytes,
        from: MapSource,
    ) {
        self.tell_maps(MapsInput::MapAccepted { segment, from });
        match self.store.insert_body(segment, id, body) {
            Ok(accepted) => {
                self.tell_scheduler(Input::MapKnown {
                    segment,
                    segment_len: accepted.segment_len,
                });
                self.apply(segment, accepted.change);
            }
            Err(error) => tracing::debug!(%segment, %error, "a trusted map is of no use"),
        }
    }

    /// Signs a segment if all of it has come over HTTP.
    pub(super) fn witness_if_read(&mut self, segment: SegmentRef) {
        let Some(witnesses) = &self.witnesses else {
            return;
        };
        if witnesses.has_read(segment) || !self.store.is_complete(segment) {
            return;
        }
        let listed = self.listed_segment(segment);
        let shared = listed.filter(|it| it.sharing == p2pcdn_manifest::Sharing::Shared);
        let id = shared.map(|it| it.id);
        let body = id.and_then(|id| self.store.body(segment, id));
        let (Some(id), Some(body)) = (id, body) else {
            return;
        };
        let (now, was_disputed) = (self.now, self.is_disputed(segment));
        let Some(liars) = self
            .witnesses
            .as_mut()
            .map(|it| it.read(segment, id, &body, now))
        else {
            return;
        };
        for link in liars {
            self.catch(link, segment);
        }
        if self.store.has_map(segment) {
            // Of something else, or confirmed: those who are wrong can be told.
            if was_disputed {
                self.offer(segment);
            }
        } else {
            self.trust(segment, id, &body, MapSource::Own);
        }
        let holders: Vec<_> = self.scheduler.map_holders(segment).collect();
        for link in holders {
            self.audit_one(link, segment);
        }
    }

    /// Whether HTTP is to decide what a segment is.
    pub(super) fn is_disputed(&self, segment: SegmentRef) -> bool {
        let witnesses = self.witnesses.as_ref();
        witnesses.is_some_and(|it| it.is_disputed(segment))
    }

    /// Has HTTP decide: nothing that peers brought of the segment counts.
    pub(super) fn settle_over_http(&mut self, segment: SegmentRef) {
        tracing::debug!(%segment, "neighbours vouch for different bytes");
        if self.store.has_map(segment) {
            self.store.remove(segment);
        }
        self.forbid_sharing(segment);
        self.tell_maps(MapsInput::SegmentGone(segment));
    }

    /// Cuts a neighbour off that signed what is not so.
    fn catch(&mut self, link: LinkId, segment: SegmentRef) {
        if let Some(witnesses) = &mut self.witnesses {
            witnesses.distrust_network_of(link);
        }
        let block = 0;
        self.tell_scheduler(Input::Corrupt {
            link,
            segment,
            block,
        });
    }

    /// Hands on what there is.
    pub(super) fn hand_on_witnessed(&mut self, link: LinkId, segment: SegmentRef) {
        let witnesses = self.witnesses.as_ref();
        let maps = witnesses.map(|it| it.maps(segment)).unwrap_or_default();
        for encoded in maps {
            let payload = Payload(encoded);
            self.say(link, Say::Map(MapData { segment, payload }));
        }
    }
}
