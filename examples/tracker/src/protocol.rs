//! The messages of WebTorrent trackers, and what is wrong with those that are none.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

/// Twenty bytes, in JSON a string of twenty characters up to U+00FF.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id([u8; 20]);

impl Id {
    fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 20];
        let mut chars = text.chars();
        for byte in &mut bytes {
            *byte = u8::try_from(chars.next()?).ok()?;
        }
        chars.next().is_none().then_some(Self(bytes))
    }

    fn to_text(self) -> String {
        self.0.iter().copied().map(char::from).collect()
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not 20 bytes as Latin-1"))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    Announce(Announce),
    Scrape(Vec<Id>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Announce {
    pub(crate) info_hash: Id,
    pub(crate) peer_id: Id,
    pub(crate) event: Event,
    /// Nothing is left to download.
    pub(crate) complete: bool,
    pub(crate) offers: Vec<Offer>,
    pub(crate) answer: Option<Answer>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    Started,
    Stopped,
    Completed,
    /// The peer goes on as before.
    #[default]
    #[serde(alias = "", alias = "empty", alias = "paused")]
    Update,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Offer {
    pub(crate) offer: Description,
    pub(crate) offer_id: Id,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) answer: Description,
    pub(crate) offer_id: Id,
    pub(crate) to_peer_id: Id,
}

/// A WebRTC session description. The tracker hands it on without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Description {
    #[serde(rename = "type")]
    kind: String,
    sdp: String,
}

/// Why a message gets no answer but a failure, with as much as was understood of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Failure {
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info_hash: Option<Id>,
    #[serde(rename = "failure reason")]
    reason: String,
}

impl Failure {
    pub(crate) fn of_announce(info_hash: Id, reason: &str) -> Self {
        Self {
            action: Some("announce".into()),
            info_hash: Some(info_hash),
            reason: reason.into(),
        }
    }

    pub(crate) fn of_scrape(reason: &str) -> Self {
        Self {
            action: Some("scrape".into()),
            info_hash: None,
            reason: reason.into(),
        }
    }
}

/// What the tracker says.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub(crate) enum Reply<'a> {
    Announce {
        info_hash: Id,
        interval: u64,
        complete: usize,
        incomplete: usize,
    },
    #[serde(rename = "announce")]
    Offer {
        info_hash: Id,
        peer_id: Id,
        offer_id: Id,
        offer: &'a Description,
    },
    #[serde(rename = "announce")]
    Answer {
        info_hash: Id,
        peer_id: Id,
        offer_id: Id,
        answer: &'a Description,
    },
    Scrape {
        files: BTreeMap<Id, Scraped>,
        flags: Flags,
    },
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Scraped {
    pub(crate) complete: usize,
    pub(crate) incomplete: usize,
    pub(crate) downloaded: usize,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Flags {
    pub(crate) min_request_interval: u64,
}

impl Request {
    /// Reads one message.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let unknown = |reason: String| Failure {
            action: None,
            info_hash: None,
            reason,
        };
        let message: Value =
            serde_json::from_str(text).map_err(|error| unknown(format!("not JSON: {error}")))?;
        match message.get("action").and_then(Value::as_str) {
            Some("announce") => parse_announce(&message).map(Self::Announce),
            Some("scrape") => parse_scrape(&message).map(Self::Scrape),
            Some(_) => Err(unknown("unknown action: not announce, not scrape".into())),
            None => Err(unknown("no action".into())),
        }
    }
}

fn parse_announce(message: &Value) -> Result<Announce, Failure> {
    let info_hash: Option<Id> = field(message, "info_hash").ok().flatten();
    let fail = |reason: String| Failure {
        action: Some("announce".into()),
        info_hash,
        reason,
    };
    let invalid = |name: &str| fail(format!("invalid {name}"));
    let peer_id = field(message, "peer_id").ok().flatten();
    let answer: Option<Description> = field(message, "answer").map_err(|()| invalid("answer"))?;
    let answer = match answer {
        Some(answer) => Some(Answer {
            answer,
            offer_id: required(message, "offer_id")
                .map_err(|()| invalid("offer_id (required with an answer)"))?,
            to_peer_id: required(message, "to_peer_id")
                .map_err(|()| invalid("to_peer_id (required with an answer)"))?,
        }),
        None => None,
    };
    Ok(Announce {
        info_hash: info_hash.ok_or_else(|| invalid("info_hash"))?,
        peer_id: peer_id.ok_or_else(|| invalid("peer_id"))?,
        event: field(message, "event")
            .map_err(|()| invalid("event"))?
            .unwrap_or_default(),
        complete: is_zero(message.get("left")),
        offers: field(message, "offers")
            .map_err(|()| invalid("offers"))?
            .unwrap_or_default(),
        answer,
    })
}

fn parse_scrape(message: &Value) -> Result<Vec<Id>, Failure> {
    let hashes = match message.get("info_hash") {
        Some(Value::Array(hashes)) => hashes.iter().map(Id::deserialize).collect(),
        Some(hash) => Id::deserialize(hash).map(|hash| vec![hash]),
        None => return Err(Failure::of_scrape("no info_hash")),
    };
    hashes.map_err(|_| Failure::of_scrape("invalid info_hash"))
}

/// A field that may be missing or null; an error when it is something else than a `T`.
fn field<'a, T: Deserialize<'a>>(message: &'a Value, name: &str) -> Result<Option<T>, ()> {
    match message.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => T::deserialize(value).map(Some).map_err(|_| ()),
    }
}

fn required<'a, T: Deserialize<'a>>(message: &'a Value, name: &str) -> Result<T, ()> {
    field(message, name)?.ok_or(())
}

/// Whether `left` says that nothing is: a zero, as a number or as a string. JavaScript's infinity
/// is null in JSON, so null is not.
fn is_zero(left: Option<&Value>) -> bool {
    match left {
        Some(Value::Number(left)) => left.as_f64() == Some(0.0),
        Some(Value::String(left)) => left.trim() == "0",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(message: Value) -> Result<Request, Failure> {
        Request::parse(&message.to_string())
    }

    fn announce(extra: Value) -> Result<Announce, Failure> {
        let mut message = json!({
            "action": "announce",
            "info_hash": "\u{0}\u{ff}345678901234567890",
            "peer_id": "-PC0010-abcdefghijkl",
        });
        let fields = extra.as_object().unwrap().clone();
        message.as_object_mut().unwrap().extend(fields);
        parse(message).map(|request| match request {
            Request::Announce(announce) => announce,
            Request::Scrape(_) => panic!("announced"),
        })
    }

    #[test]
    fn ids_are_twenty_bytes_as_latin_1() {
        let announce = announce(json!({})).unwrap();
        assert_eq!(
            announce.info_hash.to_string(),
            "00ff333435363738393031323334353637383930"
        );
        let text = serde_json::to_string(&announce.info_hash).unwrap();
        assert_eq!(text, "\"\\u0000\u{ff}345678901234567890\"");
        for wrong in [
            "1234567890123456789",
            "123456789012345678901",
            "Ā2345678901234567890",
            "",
        ] {
            assert_eq!(Id::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn events_may_be_missing_or_empty() {
        let event = |event: Value| announce(json!({ "event": event })).map(|a| a.event);
        assert_eq!(event(Value::Null), Ok(Event::Update));
        assert_eq!(event(json!("")), Ok(Event::Update));
        assert_eq!(event(json!("stopped")), Ok(Event::Stopped));
        assert!(event(json!("exploded")).is_err());
    }

    #[test]
    fn only_a_zero_left_is_complete() {
        let complete = |left: Value| announce(json!({ "left": left })).unwrap().complete;
        assert!(complete(json!(0)) && complete(json!("0")));
        assert!(!complete(json!(1)) && !complete(Value::Null) && !complete(json!("")));
    }

    #[test]
    fn a_failure_says_what_is_wrong_and_with_what() {
        let reason = |message: Value| {
            serde_json::to_value(parse(message).unwrap_err()).unwrap()["failure reason"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        let hash = "12345678901234567890";
        assert_eq!(reason(json!({ "action": "announce" })), "invalid info_hash");
        let no_peer = json!({ "action": "announce", "info_hash": hash });
        assert_eq!(reason(no_peer.clone()), "invalid peer_id");
        assert_eq!(
            serde_json::to_value(parse(no_peer).unwrap_err()).unwrap(),
            json!({ "action": "announce", "info_hash": hash, "failure reason": "invalid peer_id" })
        );
        assert_eq!(reason(json!({})), "no action");
        assert_eq!(reason(json!([])), "no action");
        assert!(reason(json!({ "action": "exit" })).starts_with("unknown action"));
        assert_eq!(reason(json!({ "action": "scrape" })), "no info_hash");
        let scrape = json!({ "action": "scrape", "info_hash": [hash, 5] });
        assert_eq!(reason(scrape), "invalid info_hash");
        let answer = json!({ "type": "answer", "sdp": "v=0" });
        let lost = announce(json!({ "answer": answer, "offer_id": hash })).unwrap_err();
        assert!(lost.reason.contains("to_peer_id"), "{lost:?}");
        assert!(announce(json!({ "offers": [{ "offer": {} }] })).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,200}") {
            let _ = Request::parse(&text);
        }

        #[test]
        fn ids_survive_json(bytes: [u8; 20]) {
            let text = serde_json::to_string(&Id(bytes)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Id>(&text).unwrap(), Id(bytes));
        }
    }
}
