//! The messages of WebTorrent trackers, as text and as values.
//!
//! A message is one JSON object in one WebSocket text frame. Binary ids are strings of twenty code
//! points up to U+00FF, one per byte.

use std::time::Duration;

use p2pcdn_wire::{PeerId, SwarmId};
use serde::{Deserialize, Serialize};

use crate::peer::Sdp;

/// Names one offer, so that its answer finds back.
pub(super) type OfferId = [u8; 20];

/// What a tracker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FromTracker {
    Offer {
        from: PeerId,
        offer_id: OfferId,
        offer: Sdp,
    },
    Answer {
        from: PeerId,
        offer_id: OfferId,
        answer: Sdp,
    },
    Reply {
        interval: Option<Duration>,
        min_interval: Option<Duration>,
        complete: u32,
        incomplete: u32,
        warning: Option<String>,
    },
    Failure(String),
}

/// Why a message cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    Malformed,
    OtherSwarm,
}

/// Reads a message about `swarm`.
pub(super) fn decode(text: &str, swarm: SwarmId) -> Result<FromTracker, Unusable> {
    let raw: Raw = serde_json::from_str(text).map_err(|_| Unusable::Malformed)?;
    if let Some(hash) = &raw.info_hash
        && from_latin1(hash) != Some(*swarm.as_bytes())
    {
        return Err(Unusable::OtherSwarm);
    }
    if let Some(reason) = raw.failure_reason {
        return Ok(FromTracker::Failure(shorten(reason)));
    }
    if raw.action.as_deref() != Some("announce") || raw.info_hash.is_none() {
        return Err(Unusable::Malformed);
    }
    let is_relayed = raw.offer.is_some() || raw.answer.is_some();
    if !is_relayed {
        return Ok(FromTracker::Reply {
            interval: raw.interval.map(seconds),
            min_interval: raw.min_interval.map(seconds),
            complete: count(raw.complete),
            incomplete: count(raw.incomplete),
            warning: raw.warning_message.map(shorten),
        });
    }
    let id = |text: Option<String>| {
        text.as_deref()
            .and_then(from_latin1)
            .ok_or(Unusable::Malformed)
    };
    let from = PeerId::new(id(raw.peer_id)?);
    let offer_id = id(raw.offer_id)?;
    match (raw.offer, raw.answer) {
        (Some(offer), None) => Ok(FromTracker::Offer {
            from,
            offer_id,
            offer: Sdp::new(offer.sdp),
        }),
        (None, Some(answer)) => Ok(FromTracker::Answer {
            from,
            offer_id,
            answer: Sdp::new(answer.sdp),
        }),
        _ => Err(Unusable::Malformed),
    }
}

/// Says that `peer` is in `swarm`, and carries offers for others.
pub(super) fn announce(
    swarm: SwarmId,
    peer: PeerId,
    event: Option<&str>,
    offers: &[(OfferId, Sdp)],
) -> String {
    let offers = offers.iter().map(|(offer_id, offer)| OfferWithId {
        offer: Description {
            kind: "offer",
            sdp: offer.as_str(),
        },
        offer_id: to_latin1(offer_id),
    });
    let offers: Vec<_> = offers.collect();
    encode(&Announce {
        action: "announce",
        info_hash: to_latin1(swarm.as_bytes()),
        peer_id: to_latin1(peer.as_bytes()),
        event,
        uploaded: 0,
        downloaded: 0,
        // A viewer of a live stream is never complete, and a tracker may match the complete with
        // nobody but the incomplete.
        left: 1,
        numwant: offers.len(),
        offers,
    })
}

/// Answers an offer of `to`.
pub(super) fn answer(
    swarm: SwarmId,
    peer: PeerId,
    to: PeerId,
    offer_id: &OfferId,
    answer: &Sdp,
) -> String {
    encode(&Answer {
        action: "announce",
        info_hash: to_latin1(swarm.as_bytes()),
        peer_id: to_latin1(peer.as_bytes()),
        to_peer_id: to_latin1(to.as_bytes()),
        offer_id: to_latin1(offer_id),
        answer: Description {
            kind: "answer",
            sdp: answer.as_str(),
        },
    })
}

#[derive(Deserialize)]
struct Raw {
    action: Option<String>,
    info_hash: Option<String>,
    peer_id: Option<String>,
    offer_id: Option<String>,
    offer: Option<RawDescription>,
    answer: Option<RawDescription>,
    interval: Option<f64>,
    #[serde(rename = "min interval")]
    min_interval: Option<f64>,
    complete: Option<f64>,
    incomplete: Option<f64>,
    #[serde(rename = "failure reason")]
    failure_reason: Option<String>,
    #[serde(rename = "warning message")]
    warning_message: Option<String>,
}

#[derive(Deserialize)]
struct RawDescription {
    sdp: String,
}

#[derive(Serialize)]
struct Description<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    sdp: &'a str,
}

#[derive(Serialize)]
struct OfferWithId<'a> {
    offer: Description<'a>,
    offer_id: String,
}

#[derive(Serialize)]
struct Announce<'a> {
    action: &'static str,
    info_hash: String,
    peer_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    uploaded: u64,
    downloaded: u64,
    left: u64,
    numwant: usize,
    offers: Vec<OfferWithId<'a>>,
}

#[derive(Serialize)]
struct Answer<'a> {
    action: &'static str,
    info_hash: String,
    peer_id: String,
    to_peer_id: String,
    offer_id: String,
    answer: Description<'a>,
}

fn encode(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("strings and integers have a JSON form")
}

fn to_latin1(bytes: &[u8; 20]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn from_latin1(text: &str) -> Option<[u8; 20]> {
    let mut bytes = [0; 20];
    let mut chars = text.chars();
    for byte in &mut bytes {
        *byte = u8::try_from(chars.next()?).ok()?;
    }
    chars.next().is_none().then_some(bytes)
}

/// A duration of remote seconds; negative ones are zero, absurd ones a year.
fn seconds(value: f64) -> Duration {
    Duration::from_secs_f64(value.clamp(0.0, 365.0 * 86_400.0))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range of the type; a float cast saturates"
)]
fn count(value: Option<f64>) -> u32 {
    value.unwrap_or(0.0).clamp(0.0, f64::from(u32::MAX)) as u32
}

fn shorten(text: String) -> String {
    text.chars().take(MAX_TEXT_CHARS).collect()
}

/// What is kept of a tracker's warning: a sentence or two.
const MAX_TEXT_CHARS: usize = 200;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SWARM: SwarmId = SwarmId::new([0xff; 20]);
    const HASH: &str = "ÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿ";

    fn read(fields: &str) -> Result<FromTracker, Unusable> {
        let text = format!(r#"{{"action":"announce","info_hash":"{HASH}",{fields}}}"#);
        decode(&text, SWARM)
    }

    #[test]
    fn binary_ids_are_twenty_latin1_characters() {
        let text = announce(
            SWARM,
            PeerId::new(*b"-PC0100-\0\x01\x80abcdefghi"),
            None,
            &[],
        );
        assert!(text.contains(&format!(r#""info_hash":"{HASH}""#)));
        assert!(text.contains("\"peer_id\":\"-PC0100-\\u0000\\u0001\u{80}abcdefghi\""));
        assert_eq!(from_latin1(HASH), Some([0xff; 20]));
        assert_eq!(from_latin1(&HASH[2..]), None, "nineteen");
        assert_eq!(from_latin1(&format!("{HASH}a")), None, "twenty-one");
        assert_eq!(from_latin1("aaaaaaaaaaaaaaaaaaaĀ"), None, "beyond a byte");
    }

    #[test]
    fn an_announce_reads_as_trackers_expect() {
        let offers = [(*b"oooooooooooooooooooo", Sdp::new("v=0\r\n".to_owned()))];
        let peer = PeerId::new(*b"pppppppppppppppppppp");
        let text = announce(SwarmId::new([b'h'; 20]), peer, Some("started"), &offers);
        assert_eq!(
            text,
            concat!(
                r#"{"action":"announce","info_hash":"hhhhhhhhhhhhhhhhhhhh","#,
                r#""peer_id":"pppppppppppppppppppp","event":"started","uploaded":0,"#,
                r#""downloaded":0,"left":1,"numwant":1,"#,
                r#""offers":[{"offer":{"type":"offer","sdp":"v=0\r\n"},"#,
                r#""offer_id":"oooooooooooooooooooo"}]}"#
            )
        );
    }

    #[test]
    fn replies_are_read_with_sloppy_numbers() {
        let reply = read(r#""interval":120,"min interval":-3.5,"complete":2.0,"incomplete":1e99"#);
        assert_eq!(
            reply,
            Ok(FromTracker::Reply {
                interval: Some(Duration::from_secs(120)),
                min_interval: Some(Duration::ZERO),
                complete: 2,
                incomplete: u32::MAX,
                warning: None,
            })
        );
    }

    #[test]
    fn relayed_messages_need_all_their_parts() {
        let id = "aaaaaaaaaaaaaaaaaaaa";
        let offer = format!(r#""peer_id":"{id}","offer_id":"{id}","offer":{{"sdp":"x"}}"#);
        assert!(matches!(read(&offer), Ok(FromTracker::Offer { .. })));
        let malformed = [
            format!(r#""peer_id":"{id}","offer":{{"sdp":"x"}}"#),
            format!(r#""offer_id":"{id}","answer":{{"sdp":"x"}}"#),
            format!(r#""peer_id":"{id}","offer_id":"{id}","offer":{{"type":"offer"}}"#),
            format!(r#"{offer},"answer":{{"sdp":"x"}}"#),
        ];
        for fields in malformed {
            assert_eq!(read(&fields), Err(Unusable::Malformed), "{fields}");
        }
    }

    #[test]
    fn failures_and_other_swarms_are_told_apart() {
        assert_eq!(
            decode(r#"{"failure reason":"no"}"#, SWARM),
            Ok(FromTracker::Failure("no".to_owned()))
        );
        let other = r#"{"action":"announce","info_hash":"hhhhhhhhhhhhhhhhhhhh"}"#;
        assert_eq!(decode(other, SWARM), Err(Unusable::OtherSwarm));
        assert_eq!(
            decode(r#"{"action":"scrape"}"#, SWARM),
            Err(Unusable::Malformed)
        );
        let long = format!(
            r#"{{"failure reason":"{}"}}"#,
            "é".repeat(MAX_TEXT_CHARS + 1)
        );
        let Ok(FromTracker::Failure(kept)) = decode(&long, SWARM) else {
            panic!("a failure");
        };
        assert_eq!(kept.chars().count(), MAX_TEXT_CHARS);
    }

    proptest! {
        #[test]
        fn ids_survive_the_round_trip(peer: [u8; 20], to: [u8; 20], offer_id: [u8; 20], sdp: String) {
            let sent = answer(SWARM, PeerId::new(peer), PeerId::new(to), &offer_id, &Sdp::new(sdp.clone()));
            prop_assert_eq!(
                decode(&sent, SWARM),
                Ok(FromTracker::Answer {
                    from: PeerId::new(peer),
                    offer_id,
                    answer: Sdp::new(sdp),
                })
            );
        }
    }
}
