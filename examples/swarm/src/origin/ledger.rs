//! What the origin has served to whom.

use std::collections::BTreeMap;

use super::resource::Kind;

/// What one viewer has had from the origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Bytes of segments and init segments.
    pub media_bytes: u64,
    /// Bytes of playlists.
    pub manifest_bytes: u64,
    /// Bytes of keys.
    pub key_bytes: u64,
    /// Requests, whatever their answer.
    pub requests: u64,
}

/// One request as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The `x-viewer` header, empty when there was none.
    pub viewer: String,
    /// Path and query.
    pub target: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// The status of the answer.
    pub status: u16,
}

/// The books of an origin.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    served: BTreeMap<String, Served>,
    requests: Vec<Request>,
}

impl Ledger {
    pub(super) fn note_request(&mut self, request: Request) {
        self.account(&request.viewer).requests += 1;
        if self.requests.len() < REQUESTS_MAX {
            self.requests.push(request);
        }
    }

    pub(super) fn note_bytes(&mut self, viewer: &str, kind: Kind, len: u64) {
        let account = self.account(viewer);
        match kind {
            Kind::Media => account.media_bytes += len,
            Kind::Manifest => account.manifest_bytes += len,
            Kind::Key => account.key_bytes += len,
        }
    }

    pub(super) fn served(&self) -> BTreeMap<String, Served> {
        self.served.clone()
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.clone()
    }

    fn account(&mut self, viewer: &str) -> &mut Served {
        let known = self.served.contains_key(viewer) || self.served.len() < VIEWERS_MAX;
        let name = if known { viewer } else { OTHERS };
        self.served.entry(name.to_owned()).or_default()
    }
}

/// Accounts kept, so that made-up viewer names cannot fill the memory; far above the viewers that
/// one machine can play.
pub(super) const VIEWERS_MAX: usize = 10_000;

/// Who stands for viewers beyond [`VIEWERS_MAX`].
const OTHERS: &str = "(others)";

/// Requests remembered: an hour of 50 viewers with one media and one playlist request per second
/// between them and some to spare. Later ones are counted only.
const REQUESTS_MAX: usize = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_booked_by_viewer_and_kind() {
        let mut ledger = Ledger::default();
        ledger.note_bytes("a", Kind::Media, 10);
        ledger.note_bytes("a", Kind::Manifest, 3);
        ledger.note_bytes("b", Kind::Key, 16);
        ledger.note_bytes("a", Kind::Media, 5);
        let served = ledger.served();
        assert_eq!(
            (served["a"].media_bytes, served["a"].manifest_bytes),
            (15, 3)
        );
        assert_eq!(served["b"].key_bytes, 16);
    }

    #[test]
    fn one_viewer_too_many_shares_an_account() {
        let mut ledger = Ledger::default();
        for viewer in 0..=VIEWERS_MAX {
            ledger.note_bytes(&viewer.to_string(), Kind::Media, 1);
        }
        ledger.note_bytes("0", Kind::Media, 1);
        assert_eq!(ledger.served().len(), VIEWERS_MAX + 1);
        assert_eq!(ledger.served()[OTHERS].media_bytes, 1);
        assert_eq!(ledger.served()["0"].media_bytes, 2);
    }

    #[test]
    fn one_request_too_many_is_counted_but_not_kept() {
        let mut ledger = Ledger::default();
        let request = Request {
            viewer: "a".into(),
            target: "/".into(),
            range: None,
            status: 200,
        };
        for _ in 0..=REQUESTS_MAX {
            ledger.note_request(request.clone());
        }
        assert_eq!(ledger.requests().len(), REQUESTS_MAX);
        assert_eq!(ledger.served()["a"].requests, REQUESTS_MAX as u64 + 1);
    }
}
