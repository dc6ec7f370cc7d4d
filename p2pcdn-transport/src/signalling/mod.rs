//! Meeting peers through WebTorrent trackers.

mod config;
mod io;
mod message;
mod rendezvous;
mod tracker;

use std::{collections::VecDeque, time::Duration};

use p2pcdn_wire::{Instant, LinkId, Pcg, PeerId};
use tracing::{debug, trace};

use self::{
    message::{FromTracker, OfferId, Unusable},
    rendezvous::{Meeting, Rendezvous, Standing},
    tracker::{State, Tracker},
};
use crate::peer::{PeerCommand, Sdp};

pub use self::{
    config::SignallingConfig,
    io::{IgnoreReason, SignallingEvent, SignallingInput, SignallingOutput, TrackerId},
};

/// Finds neighbours in one swarm through WebTorrent trackers.
///
/// Each announce carries offers, which the tracker passes to other peers of the swarm, and their
/// answers come back the same way; other peers' offers arrive unasked. The machine decides how many
/// offers to make and which of two crossing connections to keep; descriptions are the transport's,
/// asked for with [`SignallingOutput::Peer`] and told with [`SignallingInput::Described`].
///
/// | what | when |
/// |---|---|
/// | announce | at once on connecting, then after the tracker's interval; after 5, 10, 20 .. s while neighbours are missing that it could find |
/// | offers in it | as many as neighbours are missing, 10 at most |
/// | an unanswered offer | is closed after 50 s |
/// | a lost tracker | is tried again after 1, 2, 4 .. 60 s, less up to a half |
/// | both sides offered | the connection offered by the smaller peer id is kept |
///
/// After any `handle_*` drain [`poll_output`](Self::poll_output) to `None`, then wait for
/// [`poll_timeout`](Self::poll_timeout) or the next input. The same config, seed and inputs give
/// the same outputs.
#[derive(Clone, Debug)]
pub struct Signalling {
    config: SignallingConfig,
    pcg: Pcg,
    now: Instant,
    trackers: Vec<Tracker>,
    meeting: Meeting,
    next_link: LinkId,
    wanted_count: usize,
    outputs: VecDeque<SignallingOutput>,
}

impl Signalling {
    /// A machine that connects to its trackers at once.
    #[must_use]
    pub fn new(config: SignallingConfig, seed: u64, now: Instant) -> Self {
        let urls = config.trackers.iter().take(usize::from(u16::MAX));
        let trackers = urls.map(|url| Tracker::new(url.clone(), now)).collect();
        let mut machine = Self {
            pcg: Pcg::new(seed),
            now,
            trackers,
            meeting: Meeting::default(),
            next_link: config.first_link,
            wanted_count: config.wanted_count,
            outputs: VecDeque::new(),
            config,
        };
        machine.handle_timeout(now);
        machine
    }

    /// Tells the machine what happened at `now`.
    pub fn handle_input(&mut self, input: SignallingInput, now: Instant) {
        self.now = self.now.max(now);
        match input {
            SignallingInput::Connected(id) => self.connected(id),
            SignallingInput::Disconnected(id) => self.disconnected(id),
            SignallingInput::Received(id, text) => self.received(id, &text),
            SignallingInput::Described(link, sdp) => self.described(link, sdp),
            SignallingInput::Opened(link) => self.opened(link),
            SignallingInput::Closed(link) => self.closed(link),
            SignallingInput::WantedChanged(count) => self.wanted_count = count,
            SignallingInput::Stopped => self.stop(),
        }
        self.work();
    }

    /// Tells the machine that it is now `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.work();
    }

    /// The next thing to do or to know; `None` when there is nothing more.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<SignallingOutput> {
        let output = self.outputs.pop_front();
        if self.outputs.is_empty() {
            self.outputs.shrink_to(MAX_IDLE_OUTPUTS);
        }
        output
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None` when only an input can
    /// change anything.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let trackers = self.trackers.iter().filter_map(|tracker| {
            let wants_more = self.wants_more(tracker);
            tracker.wake_at(wants_more)
        });
        trackers.chain(self.meeting.next_expiry()).min()
    }

    /// The peer at the other end of a link, as the tracker named it; `None` while an offer is
    /// unanswered and after the link ended.
    #[must_use]
    pub fn peer(&self, link: LinkId) -> Option<PeerId> {
        self.meeting.get(link).and_then(Rendezvous::peer)
    }

    /// Does everything that is due.
    fn work(&mut self) {
        if self.is_stopped() {
            return;
        }
        for link in self.meeting.expire(self.now) {
            trace!(%link, "offer expired");
            self.outputs
                .push_back(SignallingOutput::Peer(PeerCommand::Close(link)));
        }
        for index in 0..self.trackers.len() {
            self.work_on(index);
        }
    }

    fn work_on(&mut self, index: usize) {
        let wants_more = self
            .trackers
            .get(index)
            .is_some_and(|tracker| self.wants_more(tracker));
        let now = self.now;
        let Some(tracker) = self.trackers.get_mut(index) else {
            return;
        };
        if tracker.wake_at(wants_more).is_none_or(|at| at > now) {
            return;
        }
        let id = tracker_id(index);
        match tracker.state {
            State::Away { .. } => {
                tracker.state = State::Connecting {
                    until: now + tracker::CONNECT_TIMEOUT,
                };
                let connect = SignallingOutput::Connect(id, tracker.url.clone());
                self.outputs.push_back(connect);
            }
            State::Connecting { .. } => self.give_up(id),
            State::Gathering { .. } => self.announce(id),
            State::Announced { reply_by, .. } if reply_by.is_some_and(|at| at <= now) => {
                self.give_up(id);
            }
            State::Announced { .. } => self.gather(id),
            State::Stopped => {}
        }
    }

    fn connected(&mut self, id: TrackerId) {
        let is_expected = self
            .tracker_mut(id)
            .is_some_and(|tracker| matches!(tracker.state, State::Connecting { .. }));
        if is_expected {
            self.gather(id);
        }
    }

    fn disconnected(&mut self, id: TrackerId) {
        let is_known = self.tracker(id).is_some_and(|tracker| {
            tracker.is_connected() || matches!(tracker.state, State::Connecting { .. })
        });
        if is_known {
            self.fail(id);
        }
    }

    /// Drops a connection that does not answer.
    fn give_up(&mut self, id: TrackerId) {
        self.outputs.push_back(SignallingOutput::Disconnect(id));
        self.fail(id);
    }

    fn fail(&mut self, id: TrackerId) {
        let (now, mut pcg) = (self.now, self.pcg.clone());
        if let Some(tracker) = self.tracker_mut(id) {
            tracker.fail(now, &mut pcg);
        }
        self.pcg = pcg;
        self.event(SignallingEvent::Unreachable(id));
    }

    /// Has the offers of the next announce made.
    fn gather(&mut self, id: TrackerId) {
        let now = self.now;
        let Some(tracker) = self.tracker_mut(id) else {
            return;
        };
        tracker.state = State::Gathering {
            until: now + tracker::GATHER_TIMEOUT,
        };
        let room = MAX_PENDING_OFFERS.saturating_sub(self.meeting.offer_count());
        let wanted = self.missing_count().min(self.config.offers_per_announce);
        let ready_count = self.meeting.ready_count(id);
        for _ in ready_count..wanted.min(ready_count + room) {
            let link = self.new_link();
            self.meeting
                .insert(link, Rendezvous::Making { tracker: id });
            let offer = PeerCommand::Offer(link, self.config.plan);
            self.outputs.push_back(SignallingOutput::Peer(offer));
        }
        self.announce_if_ready(id);
    }

    fn announce_if_ready(&mut self, id: TrackerId) {
        let is_gathering = self
            .tracker(id)
            .is_some_and(|tracker| matches!(tracker.state, State::Gathering { .. }));
        if is_gathering && !self.meeting.is_making(id) {
            self.announce(id);
        }
    }

    fn announce(&mut self, id: TrackerId) {
        let until = self.now + self.config.offer_timeout;
        let mut offers: Vec<(OfferId, Sdp)> = Vec::new();
        let mut len = 0;
        for (link, sdp) in self.meeting.take_ready(id, self.config.offers_per_announce) {
            len += sdp.as_str().len();
            if len > MAX_OFFERS_LEN {
                self.outputs
                    .push_back(SignallingOutput::Peer(PeerCommand::Close(link)));
                continue;
            }
            let offer_id = self.new_offer_id();
            self.meeting
                .insert(link, Rendezvous::Sent { offer_id, until });
            offers.push((offer_id, sdp));
        }
        let (now, mut pcg) = (self.now, self.pcg.clone());
        let Some(tracker) = self.tracker_mut(id) else {
            return;
        };
        let event = (!tracker.has_announced).then_some("started");
        tracker.announced(now, &mut pcg);
        self.pcg = pcg;
        debug!(tracker = %id, offer_count = offers.len(), "announcing");
        let text = message::announce(self.config.swarm, self.config.peer, event, &offers);
        self.outputs.push_back(SignallingOutput::Send(id, text));
    }

    fn received(&mut self, id: TrackerId, text: &str) {
        if !self.tracker(id).is_some_and(Tracker::is_connected) {
            return;
        }
        if text.len() > MAX_TRACKER_MESSAGE_LEN {
            self.ignore(id, IgnoreReason::TooLong);
            return;
        }
        match message::decode(text, self.config.swarm) {
            Ok(FromTracker::Offer {
                from,
                offer_id,
                offer,
            }) => self.offer_received(id, from, offer_id, offer),
            Ok(FromTracker::Answer {
                from,
                offer_id,
                answer,
            }) => self.answer_received(id, from, offer_id, answer),
            Ok(FromTracker::Reply {
                interval,
                min_interval,
                complete,
                incomplete,
                warning,
            }) => {
                self.reply_received(id, interval, min_interval, complete, incomplete);
                if let Some(warning) = warning {
                    self.event(SignallingEvent::Warned(id, warning));
                }
            }
            Ok(FromTracker::Failure(reason)) => {
                if let Some(tracker) = self.tracker_mut(id) {
                    tracker.refused();
                }
                self.event(SignallingEvent::Refused(id, reason));
            }
            Err(Unusable::Malformed) => self.ignore(id, IgnoreReason::Malformed),
            Err(Unusable::OtherSwarm) => self.ignore(id, IgnoreReason::OtherSwarm),
        }
    }

    fn reply_received(
        &mut self,
        id: TrackerId,
        interval: Option<Duration>,
        min_interval: Option<Duration>,
        complete: u32,
        incomplete: u32,
    ) {
        let others = complete.saturating_add(incomplete).saturating_sub(1);
        let Some(tracker) = self.tracker_mut(id) else {
            return;
        };
        tracker.replied(interval, min_interval, others as usize);
        let interval = tracker.interval();
        self.event(SignallingEvent::Announced {
            tracker: id,
            interval,
            complete,
            incomplete,
        });
    }

    fn offer_received(&mut self, id: TrackerId, from: PeerId, offer_id: OfferId, offer: Sdp) {
        if from == self.config.peer {
            self.ignore(id, IgnoreReason::Own);
            return;
        }
        match self.meeting.standing(from) {
            Standing::Stranger => {}
            Standing::OfferedByUs(link) if from < self.config.peer => {
                self.close(link);
            }
            Standing::OfferedByUs(_) => {
                self.ignore(id, IgnoreReason::Glare);
                return;
            }
            Standing::Open | Standing::OfferedByThem(_) => {
                self.ignore(id, IgnoreReason::AlreadyConnected);
                return;
            }
        }
        if self.meeting.neighbour_count() >= self.config.max_neighbours {
            self.ignore(id, IgnoreReason::Full);
            return;
        }
        let link = self.new_link();
        let answering = Rendezvous::Answering {
            tracker: id,
            peer: from,
            offer_id,
        };
        self.meeting.insert(link, answering);
        let accept = PeerCommand::Accept(link, self.config.plan, offer);
        self.outputs.push_back(SignallingOutput::Peer(accept));
        self.event(SignallingEvent::OfferReceived {
            tracker: id,
            from,
            link,
        });
    }

    fn answer_received(&mut self, id: TrackerId, from: PeerId, offer_id: OfferId, answer: Sdp) {
        if from == self.config.peer {
            self.ignore(id, IgnoreReason::Own);
            return;
        }
        let Some(link) = self.meeting.offered(&offer_id) else {
            self.ignore(id, IgnoreReason::UnknownOffer);
            return;
        };
        let refusal = match self.meeting.standing(from) {
            Standing::Stranger if self.meeting.neighbour_count() >= self.config.max_neighbours => {
                Some(IgnoreReason::Full)
            }
            Standing::Stranger => None,
            Standing::OfferedByThem(theirs) if self.config.peer < from => {
                self.close(theirs);
                None
            }
            Standing::OfferedByThem(_) => Some(IgnoreReason::Glare),
            Standing::Open | Standing::OfferedByUs(_) => Some(IgnoreReason::AlreadyConnected),
        };
        if let Some(reason) = refusal {
            self.close(link);
            self.ignore(id, reason);
            return;
        }
        self.meeting
            .insert(link, Rendezvous::OfferedByUs { peer: from });
        let complete = PeerCommand::Complete(link, answer);
        self.outputs.push_back(SignallingOutput::Peer(complete));
        self.event(SignallingEvent::AnswerReceived {
            tracker: id,
            from,
            link,
        });
    }

    fn described(&mut self, link: LinkId, sdp: Sdp) {
        match self.meeting.get(link).cloned() {
            Some(Rendezvous::Making { tracker }) => {
                let until = self.now + self.config.offer_timeout;
                let ready = Rendezvous::Ready {
                    tracker,
                    sdp,
                    until,
                };
                self.meeting.insert(link, ready);
                self.announce_if_ready(tracker);
            }
            Some(Rendezvous::Answering {
                tracker,
                peer,
                offer_id,
            }) => {
                if !self.tracker(tracker).is_some_and(Tracker::is_connected) {
                    // Nobody else can carry the answer.
                    self.close(link);
                    return;
                }
                self.meeting
                    .insert(link, Rendezvous::OfferedByThem { peer });
                let config = &self.config;
                let text = message::answer(config.swarm, config.peer, peer, &offer_id, &sdp);
                self.outputs
                    .push_back(SignallingOutput::Send(tracker, text));
            }
            _ => trace!(%link, "description of an unknown link"),
        }
    }

    fn opened(&mut self, link: LinkId) {
        if self.meeting.open(link) {
            for tracker in &mut self.trackers {
                tracker.bore_fruit();
            }
        }
    }

    fn closed(&mut self, link: LinkId) {
        if let Some(Rendezvous::Making { tracker }) = self.meeting.remove(link) {
            self.announce_if_ready(tracker);
        }
    }

    fn close(&mut self, link: LinkId) {
        self.meeting.remove(link);
        self.outputs
            .push_back(SignallingOutput::Peer(PeerCommand::Close(link)));
    }

    fn stop(&mut self) {
        if self.is_stopped() {
            return;
        }
        for link in self.meeting.unfinished() {
            self.outputs
                .push_back(SignallingOutput::Peer(PeerCommand::Close(link)));
        }
        let stopped = message::announce(self.config.swarm, self.config.peer, Some("stopped"), &[]);
        for (index, tracker) in self.trackers.iter_mut().enumerate() {
            let id = tracker_id(index);
            if tracker.has_announced {
                self.outputs
                    .push_back(SignallingOutput::Send(id, stopped.clone()));
            }
            if !matches!(tracker.state, State::Away { .. }) {
                self.outputs.push_back(SignallingOutput::Disconnect(id));
            }
            tracker.state = State::Stopped;
        }
    }

    fn ignore(&mut self, tracker: TrackerId, reason: IgnoreReason) {
        self.event(SignallingEvent::Ignored { tracker, reason });
    }

    fn event(&mut self, event: SignallingEvent) {
        trace!(?event, "signalling");
        self.outputs.push_back(SignallingOutput::Event(event));
    }

    fn new_link(&mut self) -> LinkId {
        let link = self.next_link;
        self.next_link = LinkId(link.0.wrapping_add(1));
        link
    }

    /// Letters and digits, because some trackers trip over other characters.
    fn new_offer_id(&mut self) -> OfferId {
        std::array::from_fn(|_| {
            let index = self.pcg.below(OFFER_ID_ALPHABET.len());
            OFFER_ID_ALPHABET.get(index).copied().unwrap_or(b'0')
        })
    }

    fn tracker(&self, id: TrackerId) -> Option<&Tracker> {
        self.trackers.get(usize::from(id.0))
    }

    fn tracker_mut(&mut self, id: TrackerId) -> Option<&mut Tracker> {
        self.trackers.get_mut(usize::from(id.0))
    }

    fn missing_count(&self) -> usize {
        self.wanted_count
            .saturating_sub(self.meeting.neighbour_count())
    }

    /// Whether an early announce may bring neighbours.
    fn wants_more(&self, tracker: &Tracker) -> bool {
        self.missing_count() > 0 && tracker.other_count > self.meeting.neighbour_count()
    }

    fn is_stopped(&self) -> bool {
        self.trackers
            .iter()
            .any(|tracker| tracker.state == State::Stopped)
    }
}

fn tracker_id(index: usize) -> TrackerId {
    TrackerId(u16::try_from(index).expect("trackers are at most 65,535"))
}

/// Bytes of one message of a tracker: a description is a few kilobytes, so that more is a mistake
/// or an attack.
pub const MAX_TRACKER_MESSAGE_LEN: usize = 64 * 1024;

/// Offers made and not answered, over all trackers: several announces of ten within the 50 s that
/// each waits.
const MAX_PENDING_OFFERS: usize = 64;

/// Bytes of all descriptions in one announce, so that its JSON form with escapes stays below what
/// trackers accept (64 KiB).
const MAX_OFFERS_LEN: usize = 48 * 1024;

/// Outputs that an idle machine keeps room for.
const MAX_IDLE_OUTPUTS: usize = 8;

const OFFER_ID_ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

const _: () = assert!(size_of::<SignallingOutput>() <= 96);
