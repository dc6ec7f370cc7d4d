//! The signalling machine against trackers that do as the test says, in virtual time.

use std::time::Duration;

use p2pcdn_transport::{
    IgnoreReason, MAX_TRACKER_MESSAGE_LEN, PeerCommand, Sdp, Signalling, SignallingConfig,
    SignallingEvent, SignallingInput, SignallingOutput, TrackerId,
};
use p2pcdn_wire::{Instant, LinkId, PeerId, SwarmId};
use proptest::prelude::*;
use serde_json::{Value, json};

const T0: TrackerId = TrackerId(0);
const T1: TrackerId = TrackerId(1);
const SWARM: &str = "ssssssssssssssssssss";
/// Ours; `smaller` and `larger` are other peers' ids on either side of it.
const OURS: &str = "mmmmmmmmmmmmmmmmmmmm";
const SMALLER: &str = "aaaaaaaaaaaaaaaaaaaa";
const LARGER: &str = "zzzzzzzzzzzzzzzzzzzz";

struct Bench {
    machine: Signalling,
    now: Instant,
    sent: Vec<(TrackerId, Value)>,
    connects: Vec<TrackerId>,
    disconnects: Vec<TrackerId>,
    commands: Vec<PeerCommand>,
    events: Vec<SignallingEvent>,
    /// Whether offers and answers are described at once.
    describes: bool,
}

fn bytes(id: &str) -> [u8; 20] {
    id.as_bytes().try_into().expect("twenty characters")
}

fn config(tracker_count: usize) -> SignallingConfig {
    let urls = (0..tracker_count).map(|index| format!("wss://tracker{index}.example"));
    SignallingConfig::new(
        urls.collect(),
        SwarmId::new(bytes(SWARM)),
        PeerId::new(bytes(OURS)),
    )
}

impl Bench {
    fn new(tracker_count: usize) -> Self {
        Self::with(config(tracker_count))
    }

    fn with(config: SignallingConfig) -> Self {
        let now = Instant::from_epoch(Duration::from_secs(100));
        let mut bench = Self {
            machine: Signalling::new(config, 7, now),
            now,
            sent: Vec::new(),
            connects: Vec::new(),
            disconnects: Vec::new(),
            commands: Vec::new(),
            events: Vec::new(),
            describes: true,
        };
        bench.drain();
        bench
    }

    /// A bench whose first tracker took the first announce and reports `others`.
    fn announced(others: usize) -> Self {
        let mut bench = Self::new(1);
        bench.input(SignallingInput::Connected(T0));
        bench.reply(120, others);
        bench
    }

    fn input(&mut self, input: SignallingInput) {
        self.machine.handle_input(input, self.now);
        self.drain();
    }

    fn say(&mut self, tracker: TrackerId, message: &Value) {
        self.input(SignallingInput::Received(tracker, message.to_string()));
    }

    fn reply(&mut self, interval: u64, others: usize) {
        let reply = json!({
            "action": "announce", "info_hash": SWARM, "interval": interval,
            "complete": 0, "incomplete": others + 1,
        });
        self.say(T0, &reply);
    }

    fn offer_from(&mut self, peer: &str) {
        let offer = json!({
            "action": "announce", "info_hash": SWARM, "peer_id": peer,
            "offer_id": "theirofferaaaaaaaaaa", "offer": {"type": "offer", "sdp": "their offer"},
        });
        self.say(T0, &offer);
    }

    fn answer_from(&mut self, peer: &str, offer_id: &str) {
        let answer = json!({
            "action": "announce", "info_hash": SWARM, "peer_id": peer,
            "offer_id": offer_id, "answer": {"type": "answer", "sdp": "their answer"},
        });
        self.say(T0, &answer);
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
            self.drain();
            let next = self.machine.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "no busy loop");
        }
        self.now = end;
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                SignallingOutput::Connect(tracker, url) => {
                    assert_eq!(url, format!("wss://tracker{}.example", tracker.0));
                    self.connects.push(tracker);
                }
                SignallingOutput::Disconnect(tracker) => self.disconnects.push(tracker),
                SignallingOutput::Send(tracker, text) => {
                    let message = serde_json::from_str(&text).expect("JSON");
                    self.sent.push((tracker, message));
                }
                SignallingOutput::Peer(command) => {
                    let described = match &command {
                        PeerCommand::Offer(link, _) | PeerCommand::Accept(link, ..) => Some(*link),
                        _ => None,
                    };
                    self.commands.push(command);
                    if let Some(link) = described.filter(|_| self.describes) {
                        let sdp = Sdp::new(format!("sdp of {link}"));
                        let input = SignallingInput::Described(link, sdp);
                        self.machine.handle_input(input, self.now);
                    }
                }
                SignallingOutput::Event(event) => self.events.push(event),
            }
        }
    }

    fn announces(&self) -> Vec<&Value> {
        let announces = self.sent.iter().map(|(_, message)| message);
        announces
            .filter(|message| message["offers"].is_array())
            .collect()
    }

    /// The ids of the offers in the last announce.
    fn offer_ids(&self) -> Vec<String> {
        let offers = self.announces().last().expect("announced")["offers"].clone();
        let offers = offers.as_array().expect("an array").clone();
        let id = |offer: &Value| offer["offer_id"].as_str().expect("a string").to_owned();
        offers.iter().map(id).collect()
    }

    fn last_ignored(&self) -> IgnoreReason {
        match self.events.last() {
            Some(SignallingEvent::Ignored { reason, .. }) => *reason,
            other => panic!("not ignored: {other:?}"),
        }
    }

    fn closes(&self) -> Vec<LinkId> {
        let closes = self.commands.iter().filter_map(|command| match command {
            PeerCommand::Close(link) => Some(*link),
            _ => None,
        });
        closes.collect()
    }

    /// The link of our last answer.
    fn accepted(&self) -> LinkId {
        let accepted = self
            .commands
            .iter()
            .rev()
            .find_map(|command| match command {
                PeerCommand::Accept(link, ..) => Some(*link),
                _ => None,
            });
        accepted.expect("accepted an offer")
    }
}

fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn the_first_announce_carries_ten_offers_and_says_started() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.connects, [T0]);
    assert!(
        bench.commands.is_empty(),
        "no offers before there is somebody to carry them"
    );
    bench.input(SignallingInput::Connected(T0));
    let [announce] = bench.announces()[..] else {
        panic!("one announce");
    };
    assert_eq!(announce["event"], "started");
    assert_eq!(announce["numwant"], 10);
    assert_eq!(announce["offers"][3]["offer"]["sdp"], "sdp of link 3");
    let mut ids = bench.offer_ids();
    assert!(ids.iter().all(|id| id.len() == 20));
    ids.dedup();
    assert_eq!(ids.len(), 10);
}

#[test]
fn an_announce_waits_for_slow_offers_but_not_for_ever() {
    let mut bench = Bench::new(1);
    bench.describes = false;
    bench.input(SignallingInput::Connected(T0));
    for link in 0..3 {
        bench.input(SignallingInput::Described(
            LinkId(link),
            Sdp::new("x".to_owned()),
        ));
    }
    assert!(bench.announces().is_empty());
    bench.run(secs(2));
    assert_eq!(bench.announces()[0]["numwant"], 3);

    let mut bench = Bench::new(1);
    bench.describes = false;
    bench.input(SignallingInput::Connected(T0));
    for link in 0..10 {
        bench.input(SignallingInput::Closed(LinkId(link)));
    }
    assert_eq!(bench.announces()[0]["numwant"], 0, "the transport is full");
}

#[test]
fn an_answer_completes_our_offer_once() {
    let mut bench = Bench::announced(5);
    let id = bench.offer_ids()[2].clone();
    bench.answer_from(SMALLER, &id);
    let completed = PeerCommand::Complete(LinkId(2), Sdp::new("their answer".to_owned()));
    assert_eq!(bench.commands.last(), Some(&completed));
    assert_eq!(
        bench.machine.peer(LinkId(2)),
        Some(PeerId::new(bytes(SMALLER)))
    );
    bench.answer_from(LARGER, &id);
    assert_eq!(bench.last_ignored(), IgnoreReason::UnknownOffer);
    let other = bench.offer_ids()[3].clone();
    bench.answer_from(SMALLER, &other);
    assert_eq!(bench.last_ignored(), IgnoreReason::AlreadyConnected);
    assert_eq!(
        bench.closes(),
        [LinkId(3)],
        "the spare connection is closed"
    );
}

#[test]
fn an_offer_is_answered_to_its_sender() {
    let mut bench = Bench::announced(5);
    bench.offer_from(LARGER);
    let link = bench.accepted();
    let (tracker, answer) = bench.sent.last().expect("answered");
    assert_eq!(*tracker, T0);
    let expected = json!({
        "action": "announce", "info_hash": SWARM, "peer_id": OURS, "to_peer_id": LARGER,
        "offer_id": "theirofferaaaaaaaaaa",
        "answer": {"type": "answer", "sdp": format!("sdp of {link}")},
    });
    assert_eq!(*answer, expected);
    for _ in 0..2 {
        bench.offer_from(LARGER);
        assert_eq!(bench.last_ignored(), IgnoreReason::AlreadyConnected);
        bench.input(SignallingInput::Opened(link));
    }
    bench.input(SignallingInput::Closed(link));
    bench.offer_from(LARGER);
    assert_ne!(bench.accepted(), link, "welcome again after it left");
}

#[test]
fn of_two_crossing_offers_the_one_of_the_smaller_peer_is_kept() {
    // We offered first and learn of their offer later.
    let mut bench = Bench::announced(5);
    let ids = bench.offer_ids();
    bench.answer_from(LARGER, &ids[0]);
    bench.offer_from(LARGER);
    assert_eq!(bench.last_ignored(), IgnoreReason::Glare);
    bench.answer_from(SMALLER, &ids[1]);
    bench.offer_from(SMALLER);
    assert_eq!(bench.closes(), [LinkId(1)]);
    assert_eq!(
        bench.machine.peer(bench.accepted()),
        Some(PeerId::new(bytes(SMALLER)))
    );

    // Their offer came first and the answer to ours later.
    let mut bench = Bench::announced(5);
    let ids = bench.offer_ids();
    bench.offer_from(LARGER);
    let theirs = bench.accepted();
    bench.answer_from(LARGER, &ids[0]);
    assert_eq!(bench.closes(), [theirs]);
    bench.offer_from(SMALLER);
    bench.answer_from(SMALLER, &ids[1]);
    assert_eq!(bench.last_ignored(), IgnoreReason::Glare);
    assert_eq!(bench.closes(), [theirs, LinkId(1)]);
}

#[test]
fn an_open_connection_beats_a_late_answer() {
    let mut bench = Bench::announced(5);
    let ids = bench.offer_ids();
    bench.offer_from(LARGER);
    let link = bench.accepted();
    bench.input(SignallingInput::Opened(link));
    bench.answer_from(LARGER, &ids[0]);
    assert_eq!(bench.last_ignored(), IgnoreReason::AlreadyConnected);
    assert_eq!(bench.closes(), [LinkId(0)]);
}

#[test]
fn unanswered_offers_are_closed_after_fifty_seconds() {
    let mut bench = Bench::announced(0);
    bench.run(secs(49));
    assert!(bench.closes().is_empty());
    bench.run(secs(1));
    assert_eq!(bench.closes().len(), 10);
    let id = bench.offer_ids()[0].clone();
    bench.answer_from(SMALLER, &id);
    assert_eq!(bench.last_ignored(), IgnoreReason::UnknownOffer);
}

#[test]
fn announces_follow_the_interval_when_nobody_is_there() {
    let mut bench = Bench::announced(0);
    bench.run(secs(119));
    assert_eq!(bench.announces().len(), 1);
    bench.run(secs(14));
    assert_eq!(
        bench.announces().len(),
        2,
        "within a tenth after the interval"
    );
    assert_eq!(bench.announces()[1].get("event"), None);
}

#[test]
fn intervals_are_kept_within_five_seconds_and_an_hour() {
    let mut bench = Bench::announced(0);
    bench.reply(0, 0);
    let interval = |bench: &Bench| match bench.events.last() {
        Some(SignallingEvent::Announced { interval, .. }) => *interval,
        other => panic!("not announced: {other:?}"),
    };
    assert_eq!(interval(&bench), secs(5));
    bench.reply(1_000_000, 0);
    assert_eq!(interval(&bench), secs(3_600));
}

#[test]
fn announces_come_earlier_and_ever_rarer_while_neighbours_are_missing() {
    let mut bench = Bench::announced(5);
    let mut gaps = Vec::new();
    for _ in 0..6 {
        let (count, before) = (bench.announces().len(), bench.now);
        while bench.announces().len() == count {
            bench.run(Duration::from_millis(100));
        }
        gaps.push(bench.now.saturating_duration_since(before).as_secs());
        bench.reply(120, 5);
    }
    let expected = [5, 10, 20, 40, 80, 120];
    for (gap, least) in gaps.iter().zip(expected) {
        assert!((least..=least * 11 / 10 + 1).contains(gap), "{gaps:?}");
    }
    // A neighbour found: the next try is soon again.
    bench.offer_from(LARGER);
    bench.input(SignallingInput::Opened(bench.accepted()));
    let count = bench.announces().len();
    bench.run(secs(6));
    assert_eq!(bench.announces().len(), count + 1);
}

#[test]
fn the_minimum_interval_bounds_early_announces() {
    let mut bench = Bench::announced(5);
    let reply = json!({
        "action": "announce", "info_hash": SWARM, "interval": 120, "min interval": 60,
        "complete": 0, "incomplete": 6,
    });
    bench.say(T0, &reply);
    bench.run(secs(59));
    assert_eq!(bench.announces().len(), 1);
    bench.run(secs(8));
    assert_eq!(bench.announces().len(), 2);
}

#[test]
fn offers_get_fewer_as_neighbours_are_found() {
    let mut bench = Bench::announced(40);
    for id in bench.offer_ids() {
        // A different peer answers each of the ten.
        bench.answer_from(&id.to_uppercase(), &id);
    }
    bench.run(secs(6));
    assert_eq!(bench.announces()[1]["numwant"], 2, "twelve are wanted");
    bench.reply(120, 40);
    bench.input(SignallingInput::WantedChanged(0));
    bench.run(secs(140));
    assert_eq!(bench.announces()[2]["numwant"], 0);
}

#[test]
fn neighbours_beyond_the_cap_are_turned_away() {
    let mut bench = Bench::announced(100);
    for index in 0..20 {
        bench.offer_from(&format!("peer{index:016}"));
    }
    let count = bench.commands.len();
    bench.offer_from(LARGER);
    assert_eq!(bench.last_ignored(), IgnoreReason::Full);
    assert_eq!(bench.commands.len(), count);
    let id = bench.offer_ids()[0].clone();
    bench.answer_from(SMALLER, &id);
    assert_eq!(bench.last_ignored(), IgnoreReason::Full);
    assert_eq!(bench.closes(), [LinkId(0)]);
}

#[test]
fn pending_offers_are_capped_over_all_trackers() {
    let mut bench = Bench::new(8);
    for tracker in 0..8 {
        bench.input(SignallingInput::Connected(TrackerId(tracker)));
    }
    let is_offer = |command: &&PeerCommand| matches!(command, PeerCommand::Offer(..));
    assert_eq!(bench.commands.iter().filter(is_offer).count(), 64);
    let sizes = bench
        .announces()
        .into_iter()
        .map(|announce| announce["numwant"].clone());
    assert_eq!(sizes.collect::<Vec<_>>(), [10, 10, 10, 10, 10, 10, 4, 0]);
}

#[test]
fn a_lost_tracker_is_tried_again_with_back_off_and_the_other_goes_on() {
    let mut bench = Bench::new(2);
    bench.input(SignallingInput::Connected(T1));
    bench.connects.clear();
    let mut gaps = Vec::new();
    for _ in 0..8 {
        bench.input(SignallingInput::Disconnected(T0));
        assert_eq!(bench.events.last(), Some(&SignallingEvent::Unreachable(T0)));
        let before = bench.now;
        while bench.connects.is_empty() {
            bench.run(Duration::from_millis(10));
        }
        assert_eq!(bench.connects, [T0]);
        bench.connects.clear();
        gaps.push(bench.now.saturating_duration_since(before).as_millis());
        let reply = json!({"action": "announce", "info_hash": SWARM, "interval": 120});
        bench.say(T1, &reply);
    }
    for (gap, most) in gaps
        .iter()
        .zip([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
    {
        assert!((most / 2..=most + 10).contains(gap), "{gaps:?}");
    }
    bench.input(SignallingInput::Connected(T0));
    let (tracker, announce) = bench.sent.last().expect("announced");
    assert_eq!(
        (*tracker, &announce["event"]),
        (T0, &json!("started")),
        "a restarted tracker forgot us"
    );
}

#[test]
fn connections_that_do_not_answer_are_dropped() {
    let mut bench = Bench::new(1);
    bench.run(secs(15));
    assert_eq!(bench.disconnects, [T0], "never connected");
    let mut bench = Bench::new(1);
    bench.input(SignallingInput::Connected(T0));
    bench.run(secs(30));
    assert_eq!(bench.disconnects, [T0], "never replied");
}

#[test]
fn leaving_says_so_and_closes_what_is_not_open() {
    let mut bench = Bench::announced(5);
    bench.offer_from(LARGER);
    let open = bench.accepted();
    bench.input(SignallingInput::Opened(open));
    bench.input(SignallingInput::Stopped);
    assert_eq!(bench.closes().len(), 10);
    assert!(!bench.closes().contains(&open), "open links stay");
    let (_, stopped) = bench.sent.last().expect("said so");
    assert_eq!(
        (&stopped["event"], &stopped["numwant"]),
        (&json!("stopped"), &json!(0))
    );
    assert_eq!(bench.disconnects, [T0]);
    assert_eq!(bench.machine.poll_timeout(), None);
    let sent_count = bench.sent.len();
    bench.offer_from(SMALLER);
    bench.input(SignallingInput::Connected(T0));
    bench.run(secs(1_000));
    assert_eq!(bench.sent.len(), sent_count);
}

#[test]
fn bad_messages_are_named_and_change_nothing() {
    let mut bench = Bench::announced(5);
    let (commands, at) = (bench.commands.len(), bench.machine.poll_timeout());
    let longest = " ".repeat(MAX_TRACKER_MESSAGE_LEN);
    let other = json!({"action": "announce", "info_hash": OURS, "interval": 1}).to_string();
    let cases = [
        (longest.clone(), IgnoreReason::Malformed),
        (longest + " ", IgnoreReason::TooLong),
        ("[".repeat(60_000), IgnoreReason::Malformed),
        ("{}".to_owned(), IgnoreReason::Malformed),
        (other, IgnoreReason::OtherSwarm),
    ];
    for (text, reason) in cases {
        bench.input(SignallingInput::Received(T0, text));
        assert_eq!(bench.last_ignored(), reason);
    }
    bench.offer_from(OURS);
    assert_eq!(bench.last_ignored(), IgnoreReason::Own);
    let id = bench.offer_ids()[0].clone();
    bench.answer_from(OURS, &id);
    assert_eq!(bench.last_ignored(), IgnoreReason::Own);
    assert_eq!(
        (bench.commands.len(), bench.machine.poll_timeout()),
        (commands, at)
    );
}

#[test]
fn a_refusal_is_reported_and_does_not_hurry_us() {
    let mut bench = Bench::new(1);
    bench.input(SignallingInput::Connected(T0));
    bench.say(T0, &json!({"failure reason": "unknown torrent"}));
    let refused = SignallingEvent::Refused(T0, "unknown torrent".to_owned());
    assert_eq!(bench.events.last(), Some(&refused));
    bench.run(secs(119));
    assert_eq!(bench.announces().len(), 1);
    assert!(bench.disconnects.is_empty(), "it replied");
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    let run = || {
        let mut bench = Bench::announced(5);
        bench.offer_from(LARGER);
        bench.run(secs(300));
        (bench.sent, bench.commands, bench.now)
    };
    assert_eq!(run(), run());
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(texts in prop::collection::vec(any::<String>(), 0..20)) {
        let mut bench = Bench::announced(5);
        for text in texts {
            bench.input(SignallingInput::Received(T0, text));
        }
    }

    #[test]
    fn arbitrary_fields_never_panic(
        fields in prop::collection::btree_map(
            prop::sample::select(vec![
                "action", "info_hash", "peer_id", "offer_id", "offer", "answer", "interval",
                "min interval", "complete", "incomplete", "failure reason", "warning message",
            ]),
            prop_oneof![
                Just(json!("announce")), Just(json!(SWARM)), Just(json!(SMALLER)),
                Just(json!({"sdp": "x"})), Just(json!({})), Just(json!(null)), Just(json!([])),
                any::<f64>().prop_map(|number| json!(number)),
                any::<i64>().prop_map(|number| json!(number)),
            ],
            0..10,
        ),
        elapsed in 0u64..200,
    ) {
        let mut bench = Bench::announced(5);
        bench.say(T0, &json!(fields));
        let complete = json!({
            "action": "announce", "info_hash": SWARM, "interval": fields.get("interval"),
            "min interval": fields.get("min interval"), "incomplete": fields.get("incomplete"),
        });
        bench.say(T0, &complete);
        bench.run(secs(elapsed));
    }
}
