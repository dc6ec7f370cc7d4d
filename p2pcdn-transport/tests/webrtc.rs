//! Two endpoints and more, in memory and in virtual time.
#![cfg(feature = "webrtc")]
#![allow(
    clippy::disallowed_methods,
    reason = "std's instants have no other origin"
)]

mod net;

use std::{net::SocketAddr, time::Duration};

use net::{Net, address};
use p2pcdn_transport::{ChannelPlan, CloseReason, PeerCommand, PeerTransport, Sdp, WebRtcConfig};
use p2pcdn_wire::{Channel, LinkId, MAX_MESSAGE_LEN};

const LINK: LinkId = LinkId(1);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_offer_and_an_answer_open_both_channels() {
    let mut net = Net::new(2);
    net.connect(1, 2, LINK);
    let ours = net.at(1).opened[&LINK];
    let theirs = net.at(2).opened[&LINK];
    assert_eq!(ours.local, net.at(1).rtc.fingerprint());
    assert_eq!(ours.remote, net.at(2).rtc.fingerprint());
    assert_eq!((ours.local, ours.remote), (theirs.remote, theirs.local));
    assert_eq!(net.at(1).writable[&LINK], [112 * 1024]);

    for (channel, text) in [(Channel::Control, "hello"), (Channel::Data, "block")] {
        assert!(net.send(1, LINK, channel, text.as_bytes()));
        assert!(net.send(2, LINK, channel, text.as_bytes()));
    }
    net.run(SECOND);
    for index in [1, 2] {
        let mut received = std::mem::take(&mut net.at(index).received);
        received.sort_by_key(|(_, channel, _)| *channel);
        assert_eq!(
            received,
            [
                (LINK, Channel::Control, "hello".into()),
                (LINK, Channel::Data, "block".into())
            ]
        );
    }
}

#[test]
fn what_is_sent_the_moment_a_link_opens_arrives() {
    let mut net = Net::new(2);
    net.describe(1, 2, LINK);
    for _ in 0..3_000 {
        net.run(Duration::from_millis(1));
        if net.at(1).opened.contains_key(&LINK) {
            break;
        }
    }
    assert!(net.send(1, LINK, Channel::Control, b"first"));
    assert!(net.send(1, LINK, Channel::Data, b"second"));
    net.run(SECOND);
    assert!(net.at(2).opened.contains_key(&LINK));
    assert_eq!(net.at(2).received.len(), 2);
}

#[test]
fn a_full_link_gives_messages_back_and_says_when_it_takes_more() {
    let mut net = Net::new(2);
    net.connect(1, 2, LINK);
    let block = vec![7; 16_384];
    let mut sent_count = 0;
    while net.send(1, LINK, Channel::Data, &block) {
        sent_count += 1;
    }
    assert_eq!(sent_count, 7, "seven blocks fit into 112 KiB");
    assert!(
        net.send(1, LINK, Channel::Control, &block[..16_000]),
        "control fits nevertheless"
    );
    assert!(
        !net.send(1, LINK, Channel::Control, &block),
        "up to the cap"
    );

    // A sender that counts its credit down, and waits for more when it is spent, never starves.
    let mut credit = 0;
    net.at(1).writable.clear();
    for _ in 0..2_000 {
        net.run(Duration::from_millis(5));
        if let Some(room) = net
            .at(1)
            .writable
            .remove(&LINK)
            .and_then(|rooms| rooms.last().copied())
        {
            credit = room;
        }
        while credit >= block.len() && sent_count < 100 {
            assert!(
                net.send(1, LINK, Channel::Data, &block),
                "credit is honoured"
            );
            credit -= block.len();
            sent_count += 1;
        }
    }
    assert_eq!(sent_count, 100);
    let received = &net.at(2).received;
    let data_count = received
        .iter()
        .filter(|(_, channel, _)| *channel == Channel::Data)
        .count();
    assert_eq!(data_count, 100);
}

#[test]
fn a_slow_trickle_is_told_its_credit_again() {
    let mut net = Net::new(2);
    net.connect(1, 2, LINK);
    let mut credit = net.at(1).writable.remove(&LINK).unwrap()[0];
    for _ in 0..100 {
        assert!(
            credit >= 16_384,
            "never starves though the buffer never fills"
        );
        assert!(net.send(1, LINK, Channel::Data, &[7; 16_384]));
        credit -= 16_384;
        net.run(SECOND);
        if let Some(rooms) = net.at(1).writable.remove(&LINK) {
            credit = *rooms.last().unwrap();
        }
    }
}

#[test]
fn credit_is_measured_when_it_is_taken() {
    let mut net = Net::new(2);
    net.at(1).greeting = vec![7; 16_384].into();
    net.connect(1, 2, LINK);
    // What is sent between the opening and the taking of the credit is not counted twice.
    assert_eq!(net.at(1).writable[&LINK][0], 112 * 1024 - 16_384);
    assert_eq!(net.at(2).writable[&LINK][0], 112 * 1024);
}

#[test]
fn of_two_crossing_connections_either_can_be_kept() {
    for (kept, dropped) in [(LinkId(1), LinkId(2)), (LinkId(2), LinkId(1))] {
        let mut net = Net::new(2);
        net.describe(1, 2, LinkId(1));
        net.describe(2, 1, LinkId(2));
        net.run(Duration::from_millis(30));
        net.command(1, PeerCommand::Close(dropped));
        net.run(Duration::from_millis(30));
        net.command(2, PeerCommand::Close(dropped));
        net.run(5 * SECOND);
        for index in [1, 2] {
            assert!(net.at(index).opened.contains_key(&kept));
            assert_eq!(net.at(index).closed.get(&kept), None);
        }
        assert!(net.send(1, kept, Channel::Control, b"kept"));
        net.run(SECOND);
        assert_eq!(net.at(2).received.len(), 1);
    }
}

#[test]
fn messages_up_to_the_longest_pass_and_longer_ones_are_given_back() {
    let mut net = Net::new(2);
    net.connect(1, 2, LINK);
    assert!(net.send(1, LINK, Channel::Data, &vec![1; MAX_MESSAGE_LEN]));
    assert!(!net.send(1, LINK, Channel::Data, &vec![1; MAX_MESSAGE_LEN + 1]));
    net.run(2 * SECOND);
    assert_eq!(net.at(2).received[0].2.len(), MAX_MESSAGE_LEN);
}

#[test]
fn a_goodbye_written_just_before_closing_arrives() {
    let mut net = Net::new(2);
    net.connect(1, 2, LINK);
    assert!(net.send(1, LINK, Channel::Control, b"goodbye"));
    net.command(1, PeerCommand::Close(LINK));
    net.run(SECOND);
    assert_eq!(
        net.at(2).received,
        [(LINK, Channel::Control, "goodbye".into())]
    );
    assert_eq!(net.at(2).closed[&LINK], CloseReason::Remote);
    assert!(net.at(1).closed.is_empty(), "the closer knows");
    assert_eq!(net.at(1).rtc.link_count(), 0);
    assert_eq!(net.at(2).rtc.link_count(), 0);
    assert!(!net.send(1, LINK, Channel::Control, b"late"));
}

#[test]
fn a_peer_that_vanishes_is_noticed_within_eight_seconds() {
    let mut net = Net::new(2);
    net.connect(1, 2, LINK);
    net.run(60 * SECOND);
    assert!(net.at(1).closed.is_empty(), "an idle link stays");
    net.cut.push(address(2));
    net.run(4 * SECOND);
    assert!(net.at(1).closed.is_empty());
    net.run(4 * SECOND);
    assert_eq!(net.at(1).closed[&LINK], CloseReason::Lost);
    assert_eq!(net.at(1).rtc.poll_timeout(), None, "nothing is left to do");
}

#[test]
fn a_process_that_slept_gives_its_peers_another_chance() {
    let mut net = Net::new(2);
    net.connect(1, 2, LINK);
    net.now += Duration::from_secs(3 * 60 * 60);
    net.run(30 * SECOND);
    assert!(net.at(1).closed.is_empty());
    assert!(net.send(1, LINK, Channel::Control, b"still here"));
    net.run(SECOND);
    assert_eq!(net.at(2).received.len(), 1);
}

#[test]
fn set_up_that_leads_nowhere_ends() {
    let mut net = Net::new(2);
    net.cut.push(address(2));
    net.describe(1, 2, LINK);
    net.command(1, PeerCommand::Offer(LinkId(2), ChannelPlan::P2PCDN_1));
    net.run(14 * SECOND);
    assert!(net.at(1).closed.is_empty());
    net.run(2 * SECOND);
    assert_eq!(net.at(1).closed[&LINK], CloseReason::SetupTimeout);
    assert_eq!(net.at(2).closed[&LINK], CloseReason::SetupTimeout);
    assert_eq!(net.at(1).rtc.link_count(), 1, "the offer still waits");
    net.run(45 * SECOND);
    assert_eq!(net.at(1).closed[&LinkId(2)], CloseReason::SetupTimeout);
    assert_eq!(net.at(1).rtc.link_count(), 0);
}

#[test]
fn links_beyond_the_caps_are_refused() {
    let config = WebRtcConfig {
        max_links: 3,
        max_unopened_links: 2,
        ..WebRtcConfig::default()
    };
    let mut net = Net::with(3, config);
    let offer = |id| PeerCommand::Offer(LinkId(id), ChannelPlan::P2PCDN_1);
    net.command(1, offer(1));
    net.command(1, offer(2));
    net.command(1, offer(3));
    assert_eq!(
        net.at(1).closed[&LinkId(3)],
        CloseReason::TooManyLinks,
        "unopened"
    );
    net.command(1, PeerCommand::Close(LinkId(1)));
    net.command(1, PeerCommand::Close(LinkId(2)));

    net.connect(1, 2, LinkId(4));
    net.connect(1, 3, LinkId(5));
    net.command(1, offer(6));
    net.command(1, offer(7));
    assert_eq!(
        net.at(1).closed[&LinkId(7)],
        CloseReason::TooManyLinks,
        "in all"
    );
    assert_eq!(net.at(1).rtc.link_count(), 3);
}

#[test]
fn one_endpoint_serves_many_peers() {
    let mut net = Net::new(9);
    for peer in 2..=9 {
        net.describe(1, peer, LinkId(u64::from(peer)));
    }
    net.run(3 * SECOND);
    assert_eq!(net.at(1).opened.len(), 8);
    for peer in 2..=9 {
        let link = LinkId(u64::from(peer));
        assert!(net.send(peer, link, Channel::Data, &[peer; 100]));
    }
    net.run(SECOND);
    for (link, _, bytes) in &net.at(1).received {
        assert!(
            bytes.iter().all(|byte| u64::from(*byte) == link.0),
            "nothing crossed over"
        );
    }
    assert_eq!(net.at(1).received.len(), 8);
}

#[test]
fn garbage_from_anywhere_changes_nothing() {
    let mut net = Net::new(2);
    net.connect(1, 2, LINK);
    let garbage: [&[u8]; 8] = [
        &[],
        &[0],
        &[0, 1, 0, 0],
        &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 7],
        &[23; 1200],
        &[128, 96, 1, 2, 3, 4],
        &[255; 2000],
        &[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 0],
    ];
    for data in garbage {
        net.inject(address(2), 1, data);
        net.inject(address(77), 1, data);
    }
    net.run(20 * SECOND);
    assert!(net.at(1).closed.is_empty());
    assert!(net.send(2, LINK, Channel::Control, b"fine"));
    net.run(SECOND);
    assert_eq!(net.at(1).received.len(), 1);
}

#[test]
fn a_false_stun_request_does_not_divert_a_link() {
    let mut net = Net::new(2);
    net.describe(1, 2, LINK);
    let name = |sdp: &Sdp| {
        let line = sdp
            .as_str()
            .lines()
            .find_map(|line| line.strip_prefix("a=ice-ufrag:"));
        line.unwrap().to_owned()
    };
    let ours = name(&net.at(1).described[&LINK].clone());
    let theirs = name(&net.at(2).described[&LINK].clone());
    // The attacker knows both names, as a tracker does, but not the password.
    let forged = binding_request(&format!("{ours}:{theirs}"));
    let attacker: SocketAddr = address(66);
    net.inject(attacker, 1, &forged);
    net.inject(address(2), 1, &forged);
    net.run(3 * SECOND);
    assert!(net.at(1).opened.contains_key(&LINK));
    net.inject(attacker, 1, &forged);
    // If the attacker's address had been learnt, this alert would reach the link.
    net.inject(
        attacker,
        1,
        &[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0],
    );
    net.run(10 * SECOND);
    assert!(net.at(1).closed.is_empty());
}

/// A complete STUN binding request (RFC 8489) with a message integrity that nobody made.
fn binding_request(user_name: &str) -> Vec<u8> {
    let len_of = |bytes: &[u8]| u16::try_from(bytes.len()).expect("short").to_be_bytes();
    let mut attributes = vec![0, 0x06];
    attributes.extend(len_of(user_name.as_bytes()));
    attributes.extend(user_name.as_bytes());
    attributes.resize(attributes.len().next_multiple_of(4), 0);
    attributes.extend([0, 0x24, 0, 4, 0x6e, 0, 1, 0xff]);
    attributes.extend([0x80, 0x29, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    attributes.extend([0, 0x08, 0, 20]);
    attributes.extend([9; 20]);
    let mut request = vec![0, 1];
    request.extend(len_of(&attributes));
    request.extend([0x21, 0x12, 0xa4, 0x42]);
    request.extend([5; 12]);
    request.extend(attributes);
    request
}

#[test]
fn unusable_descriptions_are_refused() {
    let mut net = Net::new(2);
    for (id, text) in [
        "",
        "garbage",
        "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let link = LinkId(id as u64 + 10);
        let offer = Sdp::new(text.to_owned());
        net.command(1, PeerCommand::Accept(link, ChannelPlan::P2PCDN_1, offer));
        assert_eq!(net.at(1).closed[&link], CloseReason::BadDescription);
        assert_eq!(net.at(1).rtc.link_count(), 0);
    }
    net.command(1, PeerCommand::Offer(LINK, ChannelPlan::P2PCDN_1));
    net.command(
        1,
        PeerCommand::Complete(LINK, Sdp::new("garbage".to_owned())),
    );
    assert_eq!(net.at(1).closed[&LINK], CloseReason::BadDescription);
}

#[test]
fn an_offer_as_browsers_write_it_is_answered() {
    let mut net = Net::new(1);
    let offer = Sdp::new(BROWSER_OFFER.replace('\n', "\r\n"));
    net.command(1, PeerCommand::Accept(LINK, ChannelPlan::P2PCDN_1, offer));
    assert!(net.at(1).closed.is_empty());
    let answer = net.at(1).described[&LINK].as_str();
    assert!(answer.contains("m=application "));
    assert!(answer.contains("a=setup:passive"));
    assert!(
        answer.contains("192.0.2.1 5000 typ host"),
        "candidates are complete"
    );
    assert!(answer.contains("a=mid:0"));
}

/// An offer of libwebrtc for two negotiated channels, its host address behind a name.
const BROWSER_OFFER: &str = "v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=extmap-allow-mixed
a=msid-semantic: WMS
m=application 56066 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 192.0.2.44
a=candidate:2999745851 1 udp 2113937151 1f4712db-ea17-4bcf-a596-105139dfd8bf.local 56066 typ host generation 0 network-cost 999
a=candidate:842163049 1 udp 1677729535 192.0.2.44 56066 typ srflx raddr 0.0.0.0 rport 0 generation 0 network-cost 999
a=ice-ufrag:sNEb
a=ice-pwd:3KpFDaaYTTaJ9zAUbQW9mMPQ
a=ice-options:trickle
a=fingerprint:sha-256 1C:7B:54:9C:2F:2E:81:8C:8B:9F:61:0C:DF:5A:DE:6A:1F:2D:3C:4B:5A:69:78:87:96:A5:B4:C3:D2:E1:F0:0F
a=setup:actpass
a=mid:0
a=sctp-port:5000
a=max-message-size:262144
";

#[test]
fn commands_and_messages_for_unknown_links_are_late_not_wrong() {
    let mut net = Net::new(2);
    net.command(1, PeerCommand::Close(LINK));
    net.command(1, PeerCommand::Complete(LINK, Sdp::new(String::new())));
    assert!(!net.send(1, LINK, Channel::Control, b"nobody"));
    net.connect(1, 2, LINK);
    net.command(1, PeerCommand::Offer(LINK, ChannelPlan::P2PCDN_1));
    net.command(1, PeerCommand::Complete(LINK, Sdp::new(String::new())));
    net.run(SECOND);
    assert!(
        net.at(1).closed.is_empty(),
        "a number in use is not used again"
    );
}

#[test]
fn timeouts_early_late_and_twice_are_harmless() {
    let mut net = Net::new(2);
    net.connect(1, 2, LINK);
    let now = net.now;
    let endpoint = net.at(1);
    endpoint.rtc.handle_timeout(now);
    endpoint.rtc.handle_timeout(now);
    endpoint.rtc.handle_timeout(now.saturating_sub(SECOND));
    net.run(30 * SECOND);
    assert!(net.at(1).closed.is_empty());
}
