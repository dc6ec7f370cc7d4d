//! The peers that are not dealt with, for good or for a while.

use std::{collections::BTreeSet, time::Duration};

use p2pcdn_wire::{GoodbyeReason, Instant, PeerId};

/// Peers remembered for having sent wrong bytes or broken the protocol; a viewer meets few of them.
const MAX_BANNED: usize = 256;

/// Peers remembered for having been of no use: as many as can be let go of in five minutes, one in
/// 15 s, and as many again.
const MAX_LET_GO: usize = 40;

/// How long who was of no use is not taken again: long enough to meet others first, and who was of
/// no use may have come to be of some.
const LET_GO_FOR: Duration = Duration::from_secs(300);

/// Who is turned away.
#[derive(Clone, Debug, Default)]
pub(super) struct Unwelcome {
    banned: BTreeSet<PeerId>,
    /// The longest ago first.
    let_go: Vec<(PeerId, Instant)>,
}

impl Unwelcome {
    /// Does not deal with a peer again.
    pub(super) fn ban(&mut self, peer: PeerId) {
        if self.banned.len() < MAX_BANNED {
            self.banned.insert(peer);
        }
    }

    /// Does not deal with a peer for a while.
    pub(super) fn let_go(&mut self, peer: PeerId, now: Instant) {
        self.let_go
            .retain(|(known, at)| *known != peer && now < *at + LET_GO_FOR);
        if self.let_go.len() == MAX_LET_GO {
            self.let_go.remove(0);
        }
        self.let_go.push((peer, now));
    }

    pub(super) fn is_banned(&self, peer: PeerId) -> bool {
        self.banned.contains(&peer)
    }

    /// Why a peer is turned away; `None` when it is not.
    pub(super) fn refusal(&self, peer: PeerId, now: Instant) -> Option<GoodbyeReason> {
        if self.is_banned(peer) {
            return Some(GoodbyeReason::Corruption);
        }
        let was_let_go = |(known, at): &(PeerId, Instant)| *known == peer && now < *at + LET_GO_FOR;
        let of_no_use = self.let_go.iter().any(was_let_go);
        of_no_use.then_some(GoodbyeReason::Useless)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
    }

    fn peer(number: u16) -> PeerId {
        let mut bytes = [0; PeerId::LEN];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        PeerId::new(bytes)
    }

    #[test]
    fn who_was_of_no_use_may_come_again_after_five_minutes() {
        let mut unwelcome = Unwelcome::default();
        unwelcome.let_go(peer(1), at(10));
        let useless = Some(GoodbyeReason::Useless);
        assert_eq!(unwelcome.refusal(peer(1), at(309)), useless);
        assert_eq!(unwelcome.refusal(peer(2), at(20)), None);
        assert_eq!(unwelcome.refusal(peer(1), at(310)), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut unwelcome = Unwelcome::default();
        (0..300).for_each(|number| unwelcome.ban(peer(number)));
        assert_eq!(unwelcome.banned.len(), 256);
        (0..41).for_each(|number| unwelcome.let_go(peer(1_000 + number), at(1)));
        assert_eq!(unwelcome.let_go.len(), 40);
        assert_eq!(unwelcome.refusal(peer(1_000), at(1)), None);
        assert!(unwelcome.refusal(peer(1_040), at(1)).is_some());
    }
}
