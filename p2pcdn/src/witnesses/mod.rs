//! Who vouches for which content of a segment, and when that is enough.

mod case;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use p2pcdn_wire::{Instant, LinkId, SegmentId, SegmentRef, TrackIndex, WitnessKey};

use self::case::{Case, Content, MAX_FALSEHOODS, MAX_VOUCHERS, Standing, Verdict, different};
use crate::{
    block_map::MapError,
    dense::Dense,
    keys::SigningKey,
    network::Network,
    witness::{Attestation, Digest, MAX_ATTESTATIONS, WitnessedMap, digest},
};

/// The case of every segment: its contents, who signed each, who handed each over, and what this
/// viewer read itself.
///
/// A *witness* signed a content, having read it over HTTP. A *voucher* is a neighbour that handed
/// the map over. A neighbour is *proven* once it vouched for a content that this viewer had read
/// itself or accepted before; the unproven are asked, to prove them, and never counted.
///
/// A content is accepted when the segment has been wanted for [`SETTLE_AFTER`], no proven voucher
/// stands for another content, `needed` witnesses and `needed` proven vouchers stand for it, each
/// group in as many networks, and one of the vouchers was drawn by this viewer. Two contents with
/// proven vouchers are a dispute, which HTTP decides.
#[derive(Debug)]
pub(crate) struct Witnesses {
    needed: usize,
    key: SigningKey,
    own: WitnessKey,
    network: Option<Network>,
    cases: Dense<SegmentRef, Case>,
    links: Dense<LinkId, Standing>,
    /// Networks in which a liar was seen, the oldest first.
    distrusted: Vec<Network>,
}

/// What a map that came means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It cannot be used.
    Refused(MapError),
    /// It tells nothing that counts.
    Nothing,
    /// It counts, and is not enough.
    Counted {
        /// Whether those who do not know its witness may be told of it.
        is_first_hand: bool,
    },
    /// It proved its sender.
    Proven,
    /// Its sender signed it, and it is false.
    Lie,
    /// Another content of the segment is vouched for as well.
    Disputed,
}

impl Witnesses {
    pub(crate) fn new(needed: u8, secret: [u8; 32], network: Option<Network>) -> Self {
        let key = SigningKey::from_random(secret);
        Self {
            needed: usize::from(needed).clamp(1, MAX_ATTESTATIONS),
            own: WitnessKey::new(*key.public_key().as_bytes()),
            key,
            network,
            cases: Dense::new(),
            links: Dense::new(),
            distrusted: Vec::new(),
        }
    }

    /// The key that neighbours know this viewer's maps by.
    pub(crate) fn own(&self) -> WitnessKey {
        self.own
    }

    pub(crate) fn link_has_key(&mut self, link: LinkId, key: WitnessKey) {
        self.links.get_or_insert_with(link, Standing::default).key = Some(key);
    }

    pub(crate) fn link_is_in(&mut self, link: LinkId, network: Option<Network>) {
        let standing = self.links.get_or_insert_with(link, Standing::default);
        standing.network = network;
    }

    pub(crate) fn forget_link(&mut self, link: LinkId) {
        self.links.remove(link);
        for (_, case) in self.cases.iter_mut() {
            // What it handed over still counts against others, and no longer for itself.
            case.drawn.retain(|it| *it != link);
            case.suspects.retain(|it| *it != link);
            for content in &mut case.contents {
                content.vouchers.retain(|it| *it != link);
            }
        }
    }

    /// The segment is wanted from now on.
    pub(crate) fn want(&mut self, segment: SegmentRef, now: Instant) {
        if self.cases.len() < MAX_CASES {
            let settles_at = now + SETTLE_AFTER;
            self.cases
                .get_or_insert_with(segment, || Case::new(settles_at));
        }
    }

    pub(crate) fn forget(&mut self, segment: SegmentRef) {
        self.cases.remove(segment);
        for (_, standing) in self.links.iter_mut() {
            standing.audits.retain(|it| *it != segment);
        }
    }

    /// This viewer drew the neighbour at random among those that offer the map.
    pub(crate) fn drew(&mut self, segment: SegmentRef, link: LinkId) {
        if let Some(case) = self.cases.get_mut(segment)
            && case.drawn.len() < MAX_VOUCHERS
            && !case.drawn.contains(&link)
        {
            case.drawn.push(link);
        }
    }

    /// The segments of a track whose content is known, or taken to be.
    pub(crate) fn known(&self, track: TrackIndex) -> impl Iterator<Item = SegmentRef> + '_ {
        let cases = self.cases.iter().filter(move |(segment, case)| {
            segment.track == track && case.verdict.digest().is_some()
        });
        cases.map(|(segment, _)| segment)
    }

    /// The segment is this viewer's own affair: nothing is said of it, nothing heard.
    pub(crate) fn keep_private(&mut self, segment: SegmentRef) {
        if let Some(case) = self.cases.get_mut(segment) {
            case.verdict = Verdict::Private;
            case.contents = Vec::new();
        }
    }

    /// Whether the neighbour's maps count.
    pub(crate) fn is_proven(&self, link: LinkId) -> bool {
        self.links.get(link).is_some_and(Standing::is_proven)
    }

    /// Whether to ask the neighbour for the map of a segment whose content is known, to prove it; if
    /// so it counts as asked.
    pub(crate) fn audits(&mut self, link: LinkId, segment: SegmentRef) -> bool {
        let case = self.cases.get(segment);
        let is_known = case.is_some_and(|case| case.verdict.digest().is_some());
        let standing = self.links.get_or_insert_with(link, Standing::default);
        let is_new = !standing.audits.contains(&segment) && standing.audits.len() < MAX_AUDITS;
        let asks = is_known && is_new && !standing.is_proven;
        if asks {
            standing.audits.push(segment);
        }
        asks
    }

    /// Takes what a neighbour handed over.
    pub(crate) fn hear(
        &mut self,
        link: LinkId,
        segment: SegmentRef,
        id: SegmentId,
        encoded: &Bytes,
    ) -> Heard {
        let map = match WitnessedMap::read(encoded) {
            Ok(map) => map,
            Err(error) => return Heard::Refused(error),
        };
        let found = map.segment();
        if found != id {
            return Heard::Refused(MapError::OtherSegment { segment, found });
        }
        let standing = self.links.get_or_insert_with(link, Standing::default);
        let (key, network) = (standing.key, standing.network);
        let is_doubted = standing.falsehoods >= MAX_FALSEHOODS;
        if network.is_some_and(|it| self.distrusted.contains(&it)) {
            return Heard::Nothing;
        }
        let Some(case) = self.cases.get_mut(segment) else {
            return Heard::Nothing;
        };
        let digest = digest(map.body());
        let own = self.own;
        let signed = map.attestations().iter();
        let signed = signed.filter(|one| one.witness != own).copied();
        let mut attestations: Vec<_> = signed.collect();
        let first_hand = attestations.iter().find(|one| Some(one.witness) == key);
        let is_first_hand = first_hand.is_some();
        if let Some(one) = first_hand
            && network.is_some()
            && one.network != network
        {
            return Heard::Refused(MapError::Network);
        }
        if is_doubted && !is_first_hand {
            return Heard::Nothing;
        }
        let known = case.contents.iter().find(|it| it.digest == digest);
        let is_known =
            |one: &Attestation| known.is_some_and(|it| it.attestations.iter().any(|k| k == one));
        attestations.retain(|one| !is_known(one));
        if !attestations.iter().all(|one| one.is_genuine(&digest)) {
            return Heard::Refused(MapError::Signature);
        }
        self.weigh(link, segment, &map, digest, &attestations, is_first_hand)
    }

    fn weigh(
        &mut self,
        link: LinkId,
        segment: SegmentRef,
        map: &WitnessedMap,
        digest: Digest,
        new: &[Attestation],
        is_first_hand: bool,
    ) -> Heard {
        let (case, standing) = (self.cases.get_mut(segment), self.links.get_mut(link));
        let (Some(case), Some(standing)) = (case, standing) else {
            return Heard::Nothing;
        };
        match case.verdict {
            Verdict::Private => return Heard::Nothing,
            Verdict::Read(truth) | Verdict::Accepted(truth) if truth == digest => {
                case.add(map, digest, new, link);
                if standing.is_proven {
                    return Heard::Nothing;
                }
                standing.is_proven = true;
                standing.audits = Vec::new();
                return Heard::Proven;
            }
            Verdict::Read(_) if is_first_hand => return Heard::Lie,
            Verdict::Read(_) => {
                standing.falsehoods = standing.falsehoods.saturating_add(1);
                return Heard::Nothing;
            }
            Verdict::Open | Verdict::Accepted(_) | Verdict::Disputed => {}
        }
        if !standing.is_proven() || !case.add(map, digest, new, link) {
            return Heard::Nothing;
        }
        match case.verdict {
            Verdict::Open if case.contents.len() < 2 => Heard::Counted { is_first_hand },
            Verdict::Open | Verdict::Accepted(_) => {
                case.verdict = Verdict::Disputed;
                Heard::Disputed
            }
            Verdict::Disputed | Verdict::Read(_) | Verdict::Private => Heard::Nothing,
        }
    }

    /// Blocks of this neighbour contradict the content that was accepted. Returns whether that is a
    /// dispute, rather than proof against a neighbour that vouched for the content or is nobody.
    pub(crate) fn contradicts(&mut self, segment: SegmentRef, link: LinkId) -> bool {
        let is_proven = self.is_proven(link);
        let Some(case) = self.cases.get_mut(segment) else {
            return false;
        };
        let Verdict::Accepted(accepted) = case.verdict else {
            return matches!(case.verdict, Verdict::Disputed);
        };
        let vouched = case
            .contents
            .iter()
            .any(|content| content.digest == accepted && content.vouchers.contains(&link));
        let disputes = is_proven && !vouched;
        if disputes {
            case.verdict = Verdict::Disputed;
            if case.suspects.len() < MAX_VOUCHERS {
                case.suspects.push(link);
            }
        }
        disputes
    }

    /// HTTP contradicts what was accepted.
    pub(crate) fn dispute(&mut self, segment: SegmentRef) {
        if let Some(case) = self.cases.get_mut(segment)
            && !matches!(case.verdict, Verdict::Read(_) | Verdict::Private)
        {
            case.verdict = Verdict::Disputed;
        }
    }

    /// Whether HTTP is to decide.
    pub(crate) fn is_disputed(&self, segment: SegmentRef) -> bool {
        let case = self.cases.get(segment);
        case.is_some_and(|case| case.verdict == Verdict::Disputed)
    }

    /// Whether this viewer has nothing to say of the segment any more, having read it.
    pub(crate) fn has_read(&self, segment: SegmentRef) -> bool {
        let case = self.cases.get(segment);
        case.is_some_and(|case| matches!(case.verdict, Verdict::Read(_) | Verdict::Private))
    }

    /// This viewer has read the segment over HTTP: signs it, and returns who lied about it.
    pub(crate) fn read(
        &mut self,
        segment: SegmentRef,
        id: SegmentId,
        body: &Bytes,
        now: Instant,
    ) -> Vec<LinkId> {
        self.want(segment, now);
        let Some(case) = self.cases.get_mut(segment) else {
            return Vec::new();
        };
        let truth = digest(body);
        let attestation = Attestation::sign(&truth, self.network, &self.key);
        let was_disputed = case.verdict == Verdict::Disputed;
        case.verdict = Verdict::Read(truth);
        let mut liars = Vec::new();
        let mut right = Content::new(body, id, truth);
        for content in std::mem::take(&mut case.contents) {
            if content.digest == truth {
                for link in &content.vouchers {
                    if let Some(standing) = self.links.get_mut(*link) {
                        standing.is_proven = true;
                    }
                }
                right = content;
                if was_disputed {
                    // They sent blocks of something else.
                    liars.append(&mut case.suspects);
                }
                continue;
            }
            let signed = |key: Option<WitnessKey>| {
                content
                    .attestations
                    .iter()
                    .any(|one| Some(one.witness) == key)
            };
            for link in content.vouchers.iter().copied() {
                let Some(standing) = self.links.get_mut(link) else {
                    continue;
                };
                if signed(standing.key) {
                    liars.push(link);
                } else {
                    standing.falsehoods = standing.falsehoods.saturating_add(1);
                }
            }
        }
        right.attestations.truncate(MAX_ATTESTATIONS - 1);
        right.attestations.insert(0, attestation);
        case.contents.push(right);
        case.suspects.clear();
        liars.retain(|link| self.links.contains(*link));
        liars.sort_unstable();
        liars.dedup();
        for link in &liars {
            self.distrust_network_of(*link);
        }
        liars
    }

    /// Nothing that comes from where this neighbour is counts any more.
    pub(crate) fn distrust_network_of(&mut self, link: LinkId) {
        let network = self.links.get(link).and_then(|it| it.network);
        let Some(network) = network.filter(|it| !self.distrusted.contains(it)) else {
            return;
        };
        if self.distrusted.len() == MAX_DISTRUSTED {
            self.distrusted.remove(0);
        }
        self.distrusted.push(network);
    }

    /// The body to trust and one who vouched for it, if there is enough behind it by now; told once.
    pub(crate) fn accept(&mut self, segment: SegmentRef, now: Instant) -> Option<(Bytes, LinkId)> {
        let (links, needed) = (&self.links, self.needed);
        let case = self.cases.get_mut(segment)?;
        if case.verdict != Verdict::Open || now < case.settles_at {
            return None;
        }
        let drawn = &case.drawn;
        let is_enough = |content: &&Content| {
            let witnesses = content.attestations.iter().map(|one| one.network);
            let backers = || content.backers(links);
            different(witnesses) >= needed
                && different(backers().map(|(_, network)| network)) >= needed
                && backers().any(|(link, _)| drawn.contains(&link))
        };
        let content = case.contents.iter().find(is_enough)?;
        case.verdict = Verdict::Accepted(content.digest);
        let body = content.body.clone();
        let vouchers = content.vouchers.clone();
        let first = vouchers.first().copied()?;
        for link in vouchers {
            if let Some(standing) = self.links.get_mut(link) {
                standing.is_proven = true;
            }
        }
        Some((body, first))
    }

    /// The segments that may settle by `now`.
    pub(crate) fn settling(&self, now: Instant) -> Vec<SegmentRef> {
        let open = self.cases.iter().filter(|(_, case)| case.is_settling());
        open.filter(|(_, case)| case.settles_at <= now)
            .map(|(segment, _)| segment)
            .collect()
    }

    /// They were looked at.
    pub(crate) fn settled(&mut self, segment: SegmentRef) {
        if let Some(case) = self.cases.get_mut(segment) {
            case.settles_at = Instant::EPOCH;
        }
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let open = self.cases.values().iter().filter(|case| case.is_settling());
        open.map(|case| case.settles_at).min()
    }

    /// Whether there are maps to hand on.
    pub(crate) fn has_maps(&self, segment: SegmentRef) -> bool {
        let case = self.cases.get(segment);
        case.is_some_and(|case| !case.contents.is_empty())
    }

    /// Maps to hand on: the content that is known, or those that their own witnesses handed over and
    /// no other neighbour of the asker may.
    pub(crate) fn maps(&self, segment: SegmentRef) -> Vec<Bytes> {
        let Some(case) = self.cases.get(segment) else {
            return Vec::new();
        };
        let encode = |content: &Content, attestations: &[Attestation]| {
            WitnessedMap::of(&content.body, content.id, attestations).encoded()
        };
        if let Some(known) = case.verdict.digest() {
            let content = case.contents.iter().find(|it| it.digest == known);
            return content
                .map(|it| encode(it, &it.attestations))
                .into_iter()
                .collect();
        }
        let first_hand = |content: &Content| {
            let given = content.attestations.iter().copied().filter(|one| {
                let mut vouchers = content.vouchers.iter();
                vouchers.any(|link| {
                    self.links
                        .get(*link)
                        .is_some_and(|it| it.is_proven() && it.key == Some(one.witness))
                })
            });
            given.collect::<Vec<_>>()
        };
        let contents = case.contents.iter().map(|it| (it, first_hand(it)));
        contents
            .filter(|(_, given)| !given.is_empty())
            .map(|(content, given)| encode(content, &given))
            .collect()
    }
}

/// How long a segment has to be wanted before others' word is taken for it: in this time whoever is
/// on duty has read it, so that a lie that was ready before is contradicted.
pub(crate) const SETTLE_AFTER: Duration = Duration::from_millis(400);

/// Segments whose cases are open at once: at 2 s each and 16 joined tracks, a minute of all of
/// them.
const MAX_CASES: usize = 512;

/// Segments of which an unproven neighbour is asked for the map.
const MAX_AUDITS: usize = 4;

/// Networks of liars that are remembered, as many as banned peers.
const MAX_DISTRUSTED: usize = 256;
