//! What is known of one segment's contents, and of one neighbour's word.

use bytes::Bytes;
use p2pcdn_wire::{Instant, LinkId, SegmentId, SegmentRef, WitnessKey};

use crate::{
    dense::Dense,
    network::Network,
    witness::{Attestation, Digest, MAX_ATTESTATIONS, WitnessedMap},
};

#[derive(Debug)]
pub(super) struct Case {
    /// Nothing is accepted before.
    pub(super) settles_at: Instant,
    pub(super) verdict: Verdict,
    pub(super) contents: Vec<Content>,
    /// Neighbours that this viewer drew.
    pub(super) drawn: Vec<LinkId>,
    /// Neighbours whose blocks contradict what was accepted.
    pub(super) suspects: Vec<LinkId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Open,
    Accepted(Digest),
    /// HTTP is to decide.
    Disputed,
    /// This viewer read it.
    Read(Digest),
    /// The origin serves it to this viewer alone.
    Private,
}

#[derive(Debug)]
pub(super) struct Content {
    pub(super) body: Bytes,
    pub(super) id: SegmentId,
    pub(super) digest: Digest,
    pub(super) attestations: Vec<Attestation>,
    /// The neighbours that handed it over.
    pub(super) vouchers: Vec<LinkId>,
}

#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) key: Option<WitnessKey>,
    pub(super) network: Option<Network>,
    pub(super) is_proven: bool,
    /// False contents that it handed over, signed by others.
    pub(super) falsehoods: u8,
    /// Segments of which it is asked for the map to prove it.
    pub(super) audits: Vec<SegmentRef>,
}

impl Case {
    pub(super) fn new(settles_at: Instant) -> Self {
        Self {
            settles_at,
            verdict: Verdict::Open,
            contents: Vec::new(),
            drawn: Vec::new(),
            suspects: Vec::new(),
        }
    }

    /// Whether time alone may bring it to an end.
    pub(super) fn is_settling(&self) -> bool {
        self.verdict == Verdict::Open
            && !self.contents.is_empty()
            && self.settles_at != Instant::EPOCH
    }

    /// Returns whether there was room.
    pub(super) fn add(
        &mut self,
        map: &WitnessedMap,
        digest: Digest,
        new: &[Attestation],
        from: LinkId,
    ) -> bool {
        let known = self.contents.iter().position(|it| it.digest == digest);
        if known.is_none() {
            if self.contents.len() == MAX_CONTENTS {
                return false;
            }
            let content = Content::new(map.body(), map.segment(), digest);
            self.contents.push(content);
        }
        let content = match known {
            Some(place) => self.contents.get_mut(place),
            None => self.contents.last_mut(),
        };
        let Some(content) = content else {
            return false;
        };
        for one in new {
            let is_full = content.attestations.len() >= MAX_ATTESTATIONS;
            let is_known = content
                .attestations
                .iter()
                .any(|it| it.witness == one.witness);
            if !is_full && !is_known {
                content.attestations.push(*one);
            }
        }
        if content.vouchers.len() < MAX_VOUCHERS && !content.vouchers.contains(&from) {
            content.vouchers.push(from);
        }
        true
    }
}

impl Content {
    pub(super) fn new(body: &Bytes, id: SegmentId, digest: Digest) -> Self {
        Self {
            body: body.clone(),
            id,
            digest,
            attestations: Vec::new(),
            vouchers: Vec::new(),
        }
    }

    /// Its proven vouchers and where they are.
    pub(super) fn backers<'a>(
        &'a self,
        links: &'a Dense<LinkId, Standing>,
    ) -> impl Iterator<Item = (LinkId, Option<Network>)> + 'a {
        let standings = self.vouchers.iter();
        let standings = standings.filter_map(|link| Some((*link, links.get(*link)?)));
        let proven = standings.filter(|(_, standing)| standing.is_proven());
        proven.map(|(link, standing)| (link, standing.network))
    }
}

impl Verdict {
    /// The content that is known to be right, or taken to be.
    pub(super) fn digest(self) -> Option<Digest> {
        match self {
            Self::Accepted(digest) | Self::Read(digest) => Some(digest),
            Self::Open | Self::Disputed | Self::Private => None,
        }
    }
}

impl Standing {
    pub(super) fn is_proven(&self) -> bool {
        self.is_proven && self.falsehoods < MAX_FALSEHOODS
    }
}

/// How many different networks these are, each unknown one another.
pub(super) fn different(networks: impl Iterator<Item = Option<Network>>) -> usize {
    let mut all: Vec<_> = networks.collect();
    let before = all.len();
    all.retain(Option::is_some);
    let unknown = before - all.len();
    all.sort_unstable();
    all.dedup();
    unknown + all.len()
}

/// Contents kept of a segment: one is right, and two that differ are a dispute already.
pub(super) const MAX_CONTENTS: usize = 3;

/// Neighbours remembered for a content: half of those that a session has.
pub(super) const MAX_VOUCHERS: usize = 12;

/// False contents of others' making after which a neighbour's word counts no more. The first may
/// have been handed on in good faith.
pub(super) const MAX_FALSEHOODS: u8 = 2;
