//! One connection: the stack's `Rtc` and what surrounds it.

use std::{collections::VecDeque, time::Instant as StdInstant};

use bytes::Bytes;
use p2pcdn_wire::{Channel, Fingerprint, Instant, LinkId, MAX_MESSAGE_LEN, Message};
use str0m::{
    Event, IceConnectionState, Input, Output, Rtc,
    change::SdpPendingOffer,
    channel::{ChannelData, ChannelId},
};
use tracing::{debug, trace};

use super::{Transmit, clock::Clock, demux::Kind, pacer::Pacer};
use crate::peer::{CloseReason, Fingerprints, PeerEvent};

/// ```text
/// Offered --answer--> Opening --both channels--> Open
///                        ^
/// (accepting an offer) --'
/// ```
pub(super) enum State {
    /// We made an offer; the stack rests until the answer comes.
    Offered {
        pending: SdpPendingOffer,
        until: Instant,
    },
    /// Both descriptions are known.
    Opening {
        until: Instant,
        /// What came before both channels were open here.
        early: Vec<(Channel, Bytes)>,
    },
    Open {
        /// When the peer was last heard.
        heard_at: Instant,
        /// What is left of the room that was last told; `usize::MAX` while that waits in the
        /// queue of events.
        told: usize,
    },
}

pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) rtc: Rtc,
    pub(super) state: State,
    /// Our ICE user name fragment.
    pub(super) name: String,
    pub(super) control: ChannelId,
    pub(super) data: ChannelId,
    pub(super) pacer: Pacer,
    pub(super) outbox: VecDeque<Transmit>,
    pub(super) send_buffer_len: usize,
    /// The current alarm in the heap.
    pub(super) alarm: Option<Instant>,
    /// When the stack wants to be woken.
    pub(super) wake_at: Option<Instant>,
    /// Whether it stands in the line of links with datagrams to send.
    pub(super) is_in_line: bool,
    /// Whether messages were written that the stack has not turned into datagrams yet.
    pub(super) is_dirty: bool,
}

impl Link {
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    pub(super) fn is_offered(&self) -> bool {
        matches!(self.state, State::Offered { .. })
    }

    pub(super) fn hear(&mut self, now: Instant) {
        if let State::Open { heard_at, .. } = &mut self.state {
            *heard_at = now;
        }
    }

    /// Lets the stack work until it wants nothing more at `now`.
    ///
    /// # Errors
    ///
    /// When the link is over.
    pub(super) fn drain(
        &mut self,
        clock: Clock,
        now: Instant,
        events: &mut VecDeque<PeerEvent>,
    ) -> Result<(), CloseReason> {
        self.is_dirty = false;
        if self.is_offered() {
            return Ok(());
        }
        let std_now = clock.to_std(now);
        for _ in 0..MAX_ROUNDS {
            let wake_at = self.poll(events)?;
            let opened = self.open_if_ready(now, events)?;
            if !opened && wake_at > std_now {
                self.wake_at = clock.alarm(wake_at, now);
                return Ok(());
            }
            self.rtc
                .handle_input(Input::Timeout(std_now))
                .map_err(|error| self.failure(&error))?;
        }
        self.wake_at = Some(now + RETRY_DELAY);
        Ok(())
    }

    /// Writes a message, if there is room.
    pub(super) fn send(
        &mut self,
        channel: Channel,
        message: Message,
        events: &mut VecDeque<PeerEvent>,
    ) -> Result<(), Message> {
        let len = message.len();
        if !self.is_open() || len > MAX_MESSAGE_LEN {
            return Err(message);
        }
        let (control_len, data_len) = (self.buffered(self.control), self.buffered(self.data));
        let (id, cap) = match channel {
            Channel::Control => (self.control, self.send_buffer_len),
            Channel::Data => (self.data, self.data_cap()),
        };
        if control_len + data_len + len > cap {
            self.tell(0);
            return Err(message);
        }
        // Two references: joining them for the stack is the only copy.
        let whole = message.clone().into_bytes();
        let written = self
            .rtc
            .channel(id)
            .map(|mut channel| channel.write(true, &whole));
        if !matches!(written, Some(Ok(true))) {
            trace!(link = %self.id, ?written, "message refused");
            return Err(message);
        }
        if channel == Channel::Data {
            self.spend(len, data_len + len, events);
        }
        Ok(())
    }

    /// Counts `len` bytes of data handed over, and tells the room anew when half of what was told
    /// is spent and no fall of the buffered amount below [`data_low`](Self::data_low) will do so.
    fn spend(&mut self, len: usize, data_len: usize, events: &mut VecDeque<PeerEvent>) {
        let State::Open { told, .. } = &mut self.state else {
            return;
        };
        if *told == usize::MAX {
            return;
        }
        *told = told.saturating_sub(len);
        if *told < self.data_cap() / 2 && data_len <= self.data_low() {
            self.tell_room(events);
        }
    }

    /// Says that there is room; how much is measured when the event is taken, because more may be
    /// sent before.
    fn tell_room(&mut self, events: &mut VecDeque<PeerEvent>) {
        let State::Open { told, .. } = &mut self.state else {
            return;
        };
        if *told != usize::MAX {
            *told = usize::MAX;
            events.push_back(PeerEvent::Writable(self.id, 0));
        }
    }

    /// How much more data fits, which counts as told from now on; `None` when the link is not open.
    pub(super) fn take_room(&mut self) -> Option<usize> {
        let buffered = self.buffered(self.control) + self.buffered(self.data);
        let room = self.data_cap().saturating_sub(buffered);
        self.tell(room);
        self.is_open().then_some(room)
    }

    fn tell(&mut self, room: usize) {
        if let State::Open { told, .. } = &mut self.state {
            *told = room;
        }
    }

    fn buffered(&mut self, channel: ChannelId) -> usize {
        self.rtc
            .channel(channel)
            .map_or(0, |mut channel| channel.buffered_amount())
    }

    /// How much may be buffered for data to be accepted.
    fn data_cap(&self) -> usize {
        self.send_buffer_len - CONTROL_HEADROOM
    }

    /// When this little data is buffered, and [`CONTROL_LOW`] of control, any message fits.
    fn data_low(&self) -> usize {
        (self.data_cap() / 2).min(self.data_cap() - MAX_MESSAGE_LEN - CONTROL_LOW)
    }

    fn poll(&mut self, events: &mut VecDeque<PeerEvent>) -> Result<StdInstant, CloseReason> {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => return Ok(at),
                Ok(Output::Transmit(transmit)) => self.post(Transmit {
                    source: transmit.source,
                    destination: transmit.destination,
                    contents: transmit.contents.into(),
                }),
                Ok(Output::Event(event)) => self.handle_event(event, events)?,
                Err(error) => return Err(self.failure(&error)),
            }
        }
    }

    /// Checks overtake what is paced: they measure the round trip that the pace comes from.
    fn post(&mut self, transmit: Transmit) {
        if Kind::is_stun(&transmit.contents) {
            self.outbox.push_front(transmit);
        } else {
            self.outbox.push_back(transmit);
        }
    }

    fn handle_event(
        &mut self,
        event: Event,
        events: &mut VecDeque<PeerEvent>,
    ) -> Result<(), CloseReason> {
        match event {
            Event::ChannelData(data) => self.receive(data, events),
            Event::ChannelBufferedAmountLow(_) => {
                self.tell_room(events);
                Ok(())
            }
            Event::ChannelOpen(id, _) if id != self.control && id != self.data => {
                Err(CloseReason::Violation)
            }
            Event::ChannelClose(_) | Event::Closed => Err(CloseReason::Remote),
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) if self.is_open() => {
                Err(CloseReason::Lost)
            }
            Event::PeerStats(stats) => {
                let pair = stats.selected_candidate_pair;
                if let Some(round_trip) = pair.and_then(|pair| pair.current_round_trip_time) {
                    self.pacer.set_round_trip(self.send_buffer_len, round_trip);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn receive(
        &mut self,
        message: ChannelData,
        events: &mut VecDeque<PeerEvent>,
    ) -> Result<(), CloseReason> {
        let channel = match message.id {
            id if id == self.control => Channel::Control,
            id if id == self.data => Channel::Data,
            _ => return Err(CloseReason::Violation),
        };
        if message.data.len() > MAX_MESSAGE_LEN {
            return Err(CloseReason::Violation);
        }
        let bytes = Bytes::from(message.data);
        match &mut self.state {
            State::Open { .. } => {
                events.push_back(PeerEvent::Received(self.id, channel, bytes));
                Ok(())
            }
            State::Opening { early, .. } if early.len() < MAX_EARLY_MESSAGES => {
                early.push((channel, bytes));
                Ok(())
            }
            _ => Err(CloseReason::Violation),
        }
    }

    /// Says that the link is open once both channels are. The stack does not announce a negotiated
    /// channel on which the peer wrote first, so that its state is asked.
    fn open_if_ready(
        &mut self,
        now: Instant,
        events: &mut VecDeque<PeerEvent>,
    ) -> Result<bool, CloseReason> {
        let State::Opening { early, .. } = &mut self.state else {
            return Ok(false);
        };
        if self.rtc.channel(self.control).is_none() || self.rtc.channel(self.data).is_none() {
            return Ok(false);
        }
        let early = std::mem::take(early);
        let fingerprints = self.fingerprints().ok_or(CloseReason::Failed)?;
        let data_low = self.data_low();
        for (id, low) in [(self.control, CONTROL_LOW), (self.data, data_low)] {
            if let Some(mut channel) = self.rtc.channel(id) {
                channel.set_buffered_amount_low_threshold(low);
            }
        }
        self.state = State::Open {
            heard_at: now,
            told: 0,
        };
        debug!(link = %self.id, "link opened");
        events.push_back(PeerEvent::Opened(self.id, fingerprints));
        self.tell_room(events);
        events.extend(
            early
                .into_iter()
                .map(|(channel, bytes)| PeerEvent::Received(self.id, channel, bytes)),
        );
        Ok(true)
    }

    fn fingerprints(&mut self) -> Option<Fingerprints> {
        let stack = self.rtc.direct_api();
        Some(Fingerprints {
            local: sha256(stack.local_dtls_fingerprint())?,
            remote: sha256(stack.remote_dtls_fingerprint()?)?,
        })
    }

    fn failure(&self, error: &str0m::RtcError) -> CloseReason {
        debug!(link = %self.id, %error, "connection failed");
        CloseReason::Failed
    }
}

/// The fingerprint, if it is a SHA-256 digest: the only kind that browsers still make.
fn sha256(fingerprint: &str0m::crypto::Fingerprint) -> Option<Fingerprint> {
    let digest = <[u8; Fingerprint::LEN]>::try_from(fingerprint.bytes.as_slice()).ok()?;
    fingerprint
        .hash_func
        .eq_ignore_ascii_case("sha-256")
        .then(|| Fingerprint::new(digest))
}

/// Part of the send buffer that only control may use, so that it always fits: a bitfield of a day
/// of segments with many holes, or hundreds of small messages.
const CONTROL_HEADROOM: usize = 16 * 1024;

/// Below this much buffered control the peer keeps up with it.
const CONTROL_LOW: usize = 8 * 1024;

/// Messages before both channels are open here: a peer that sees them open a moment earlier sends
/// its hello and what it holds, no more.
const MAX_EARLY_MESSAGES: usize = 64;

/// Rounds of polling at one moment before the stack waits: it needs two or three, and must not be
/// able to spin.
const MAX_ROUNDS: u32 = 16;

/// How long it waits then.
const RETRY_DELAY: std::time::Duration = std::time::Duration::from_millis(1);
