//! The links of a session.

use std::{sync::Arc, time::Duration};

use p2pcdn_scheduler::Input;
use p2pcdn_wire::{
    BLOCK_LEN, Block, Channel, GoodbyeReason, Instant, Link, LinkConfig, LinkEvent, LinkId,
    LinkInput, LinkOutput, Message, OrdinalRange, Payload, PeerId, RejectReason, RequestId, Said,
    Say, SegmentRef, Side, TrackIndex,
};

use super::{
    Session, SessionEvent, SessionOutput, content::joined_tracks, early_maps::PushAllowance,
};
use crate::{
    maps::MapsInput,
    network::Network,
    store::{Source, Store},
};

/// Block maps handed to one neighbour that are remembered, so that it cannot have one sent again
/// and again: more than a live window has.
const MAX_MAPS_GIVEN: usize = 256;

/// Block maps asked of one neighbour that are remembered: those of a minute of 2 s segments in
/// both tracks of a viewer, when there is nobody else to ask.
const MAX_MAPS_ASKED: usize = 64;

/// A neighbour that asks for a map again after this time has dropped it in between, as after a
/// seek back.
const MAP_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// A map that is witnessed may have more witnesses by then.
const WITNESSED_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// One connection.
#[derive(Debug)]
pub(super) struct SessionLink {
    link: Link,
    peer: Option<PeerId>,
    /// What the transport last said that it takes; the scheduler hears of it once the hello is
    /// read.
    credit: u64,
    /// The block maps given of late, the oldest first.
    maps_given: Vec<(SegmentRef, Instant)>,
    /// The block maps asked for and not come yet, the oldest first.
    maps_asked: Vec<SegmentRef>,
    /// For those that come unasked.
    pub(super) pushes: PushAllowance,
    network: Option<Network>,
    /// As it stands in the session's `link_wakes`, where it is seldom written.
    wakes_at: Option<Instant>,
}

impl SessionLink {
    pub(super) fn peer(&self) -> Option<PeerId> {
        self.peer
    }

    /// A block map is asked for.
    pub(super) fn asks(&mut self, segment: SegmentRef) {
        if self.maps_asked.contains(&segment) {
            return;
        }
        if self.maps_asked.len() == MAX_MAPS_ASKED {
            self.maps_asked.remove(0);
        }
        self.maps_asked.push(segment);
    }

    /// A block map came; returns whether it was asked for.
    pub(super) fn take_asked(&mut self, segment: SegmentRef) -> bool {
        let place = self.maps_asked.iter().position(|asked| *asked == segment);
        if let Some(place) = place {
            self.maps_asked.remove(place);
        }
        if self.maps_asked.is_empty() {
            self.maps_asked = Vec::new();
        }
        place.is_some()
    }

    /// Whether the map was not given a moment ago; if so it counts as given now.
    fn may_have_map(&mut self, segment: SegmentRef, now: Instant, again_after: Duration) -> bool {
        self.maps_given
            .retain(|(_, given_at)| now < *given_at + again_after);
        if self.maps_given.iter().any(|(given, _)| *given == segment) {
            return false;
        }
        if self.maps_given.len() == MAX_MAPS_GIVEN {
            self.maps_given.remove(0);
        }
        self.maps_given.push((segment, now));
        true
    }
}

impl<S: Store> Session<S> {
    pub(super) fn open_link(&mut self, id: LinkId, network: Option<Network>) {
        if !self.transfer.is_on() {
            self.outputs
                .push_back(SessionOutput::CloseLink { link: id });
            return;
        }
        if self.links.contains(id) {
            return;
        }
        let config = LinkConfig {
            class: self.policy.effective_class(),
            tracks: joined_tracks(&self.tracks),
            witness: self.witnesses.as_ref().map(|it| it.own()),
            ..LinkConfig::new(self.config.scheduler.peer, self.config.swarm)
        };
        if config != *self.link_config {
            self.link_config = Arc::new(config);
        }
        let state = SessionLink {
            link: Link::new(self.link_config.clone(), self.now),
            peer: None,
            credit: 0,
            maps_given: Vec::new(),
            maps_asked: Vec::new(),
            pushes: PushAllowance::new(self.now),
            network,
            wakes_at: None,
        };
        self.links.insert(id, state);
        self.witness_is_in(id, network);
        self.tell_link(id, LinkInput::Opened);
    }

    pub(super) fn receive(&mut self, id: LinkId, channel: Channel, message: Message) {
        let len = message.len() as u64;
        let content = self.tell_link(id, LinkInput::Received { channel, message });
        match (channel, content) {
            // Blocks that nobody asked for, or that come after the goodbye.
            (Channel::Data, 0) => self.delivery.add_waste(p2pcdn_metrics::Waste::Late, len),
            _ => self
                .delivery
                .add_control_received(len.saturating_sub(content)),
        }
    }

    pub(super) fn say(&mut self, id: LinkId, say: Say) {
        tracing::trace!(link = %id, ?say, "says");
        self.tell_link(id, LinkInput::Say(say));
    }

    pub(super) fn link_writable(&mut self, id: LinkId, credit: u64) {
        if let Some(state) = self.links.get_mut(id) {
            state.credit = credit;
            let (link, bytes) = (id, credit);
            self.tell_scheduler(Input::Credit { link, bytes });
        }
    }

    /// Tells the links that want to be woken by now.
    pub(super) fn wake_links(&mut self) {
        let now = self.now;
        let due = self.link_wakes.iter().filter(|(_, at)| **at <= now);
        let due: Vec<_> = due.map(|(id, _)| id).collect();
        for id in due {
            if let Some(state) = self.links.get_mut(id) {
                state.link.handle_timeout(now);
                self.drain_link(id);
            }
        }
    }

    /// Returns how many content bytes were in what it was told.
    pub(super) fn tell_link(&mut self, id: LinkId, input: LinkInput) -> u64 {
        let now = self.now;
        let Some(state) = self.links.get_mut(id) else {
            return 0;
        };
        state.link.handle_input(input, now);
        self.drain_link(id)
    }

    fn drain_link(&mut self, id: LinkId) -> u64 {
        let mut content = 0;
        while let Some(state) = self.links.get_mut(id) {
            let Some(output) = state.link.poll_output() else {
                let wake_at = state.link.poll_timeout();
                if wake_at != state.wakes_at {
                    state.wakes_at = wake_at;
                    self.wake_link(id, wake_at);
                }
                break;
            };
            content += self.carry_out_link(id, output);
        }
        content
    }

    fn wake_link(&mut self, id: LinkId, at: Option<Instant>) {
        match at {
            Some(at) => self.link_wakes.insert(id, at),
            None => {
                self.link_wakes.remove(id);
            }
        }
    }

    fn carry_out_link(&mut self, id: LinkId, output: LinkOutput) -> u64 {
        match output {
            LinkOutput::Send { channel, message } => {
                let payload = match channel {
                    Channel::Data => message.payload.len() as u64,
                    Channel::Control => 0,
                };
                self.delivery.add_upload(payload);
                self.delivery
                    .add_control_sent((message.len() as u64).saturating_sub(payload));
                self.outputs.push_back(SessionOutput::Send {
                    link: id,
                    channel,
                    message,
                });
                0
            }
            LinkOutput::Said(said) => {
                tracing::trace!(link = %id, ?said, "hears");
                self.peer_said(id, said);
                0
            }
            LinkOutput::Block {
                segment,
                request,
                block,
                payload,
            } => self.block_arrived(id, segment, request, block, payload),
            LinkOutput::Map(map) => {
                self.map_arrived(id, map.segment, &map.payload.0);
                0
            }
            LinkOutput::Close(_) => {
                self.outputs
                    .push_back(SessionOutput::CloseLink { link: id });
                0
            }
            LinkOutput::Event(event) => self.link_event(id, event),
        }
    }

    fn link_event(&mut self, id: LinkId, event: LinkEvent) -> u64 {
        match event {
            LinkEvent::Ready { peer, .. } => self.link_ready(id, peer),
            LinkEvent::Witness(key) => self.witness_named(id, key),
            LinkEvent::Wasted { len } => {
                self.delivery.add_waste(p2pcdn_metrics::Waste::Late, len);
                return len;
            }
            LinkEvent::Violation(violation) => {
                tracing::debug!(link = %id, %violation, "a peer broke the protocol");
                self.event(SessionEvent::PeerViolated {
                    link: id,
                    violation,
                });
            }
            LinkEvent::Closed { by, reason } => {
                if by == Side::Us && reason == GoodbyeReason::Violation {
                    self.ban(id);
                }
                self.forget_link(id, Some(reason));
            }
            other => tracing::trace!(link = %id, ?other, "an event that a session does not know"),
        }
        0
    }

    fn link_ready(&mut self, id: LinkId, peer: PeerId) {
        if let Some(reason) = self.refusal(id, peer) {
            self.say(id, Say::Goodbye(reason));
            return;
        }
        let Some(state) = self.links.get_mut(id) else {
            return;
        };
        state.peer = Some(peer);
        let bytes = state.credit;
        self.tell_scheduler(Input::LinkReady { link: id, peer });
        self.tell_scheduler(Input::Credit { link: id, bytes });
        self.event(SessionEvent::PeerReady { link: id, peer });
        // It may have changed since our hello left.
        self.say(id, Say::Class(self.policy.effective_class()));
    }

    /// Why a peer that has said hello is sent away; `None` when it is not.
    fn refusal(&self, id: LinkId, peer: PeerId) -> Option<GoodbyeReason> {
        let ready = || {
            let links = self.links.values().iter();
            links.filter(|state| state.peer.is_some())
        };
        if let Some(reason) = self.unwelcome.refusal(peer, self.now) {
            return Some(reason);
        }
        if ready().any(|state| state.peer == Some(peer)) {
            return Some(GoodbyeReason::Duplicate);
        }
        let network = self.links.get(id).and_then(|state| state.network);
        let of_one_network = ready().filter(|state| network.is_some() && state.network == network);
        let max_of_one_network = (self.config.max_links / 2).max(1);
        let is_full = ready().count() >= self.config.max_links
            || of_one_network.count() >= max_of_one_network;
        is_full.then_some(GoodbyeReason::Full)
    }

    /// Does not deal with the peer on this link again.
    fn ban(&mut self, id: LinkId) {
        if let Some(peer) = self.links.get(id).and_then(SessionLink::peer) {
            self.unwelcome.ban(peer);
        }
    }

    pub(super) fn forget_link(&mut self, id: LinkId, reason: Option<GoodbyeReason>) {
        let Some(state) = self.links.remove(id) else {
            return;
        };
        self.wake_link(id, None);
        self.tell_scheduler(Input::LinkClosed { link: id });
        self.tell_maps(MapsInput::PeerLeft(id));
        self.refused_maps.forget(id);
        if let Some(witnesses) = &mut self.witnesses {
            witnesses.forget_link(id);
        }
        if state.peer.is_some() {
            self.event(SessionEvent::PeerGone { link: id, reason });
        }
    }

    fn peer_said(&mut self, id: LinkId, said: Said) {
        match &said {
            Said::Joined { track, .. } => self.tell_maps(MapsInput::PeerJoined {
                link: id,
                track: *track,
            }),
            Said::Left { track } => self.tell_maps(MapsInput::PeerParted {
                link: id,
                track: *track,
            }),
            // Whoever holds verified bytes holds the map too.
            Said::Holds { segment, .. } => {
                let ordinals = OrdinalRange::one(segment.ordinal);
                self.maps_held(id, segment.track, ordinals);
            }
            Said::Have {
                track, ordinals, ..
            }
            | Said::HasMaps {
                track, ordinals, ..
            } => self.maps_held(id, *track, *ordinals),
            Said::MapRequest { segment, id: full } => {
                self.map_requested(id, *segment, *full);
            }
            _ => {}
        }
        self.tell_scheduler(Input::Peer(id, said));
    }

    fn maps_held(&mut self, link: LinkId, track: TrackIndex, ordinals: OrdinalRange) {
        if !self.counts_maps_of(link) {
            return self.audit(link, track, ordinals);
        }
        let wanted = self.wanted_maps.keys();
        let from = (track, ordinals.start);
        let mut place = wanted.partition_point(|name| (name.track, name.ordinal) < from);
        while let Some(&segment) = self.wanted_maps.keys().get(place) {
            if segment.track != track || !ordinals.contains(segment.ordinal) {
                break;
            }
            if !self.store.has_map(segment) {
                self.tell_maps(MapsInput::MapHeldBy { link, segment });
            }
            place += 1;
        }
    }

    fn map_requested(&mut self, id: LinkId, segment: SegmentRef, full: p2pcdn_wire::SegmentId) {
        // A segment that has left the manifest's window is known by its tag alone; the map itself
        // says which one it is.
        let is_other = self.segment_id(segment).is_some_and(|own| own != full);
        let now = self.now;
        let (has_map, again_after) = match &self.witnesses {
            None => (self.store.has_map(segment), MAP_AGAIN_AFTER),
            Some(witnesses) => (witnesses.has_maps(segment), WITNESSED_AGAIN_AFTER),
        };
        let Some(state) = self.links.get_mut(id) else {
            return;
        };
        if !is_other && has_map && state.may_have_map(segment, now, again_after) {
            self.hand_on_map(id, segment);
        }
    }

    fn block_arrived(
        &mut self,
        link: LinkId,
        segment: SegmentRef,
        request: RequestId,
        block: u32,
        payload: Payload,
    ) -> u64 {
        let len = payload.0.len();
        self.tell_scheduler(Input::BlockArrived {
            link,
            request,
            segment,
            block,
            len: u32::try_from(len).unwrap_or(u32::MAX),
        });
        let offset = u64::from(block) * BLOCK_LEN;
        let change = self
            .store
            .write(segment, offset, payload.0, Source::Peer(link));
        self.apply(segment, change);
        len as u64
    }

    pub(super) fn serve(
        &mut self,
        link: LinkId,
        request: RequestId,
        segment: SegmentRef,
        block: u32,
    ) {
        let say = match self.store.read(segment, block) {
            Some(bytes) => Say::Block(Block {
                request,
                block,
                payload: Payload(bytes),
            }),
            None => Say::Reject {
                request,
                reason: RejectReason::Absent,
            },
        };
        self.say(link, say);
    }
}
