//! Who can reach whom without a relay, and how long a connection takes to set up.

use std::time::Duration;

use crate::draw::Draws;

/// How a viewer's network maps and filters UDP, in the terms of RFC 5780 (and the older words of
/// RFC 3489, by which measurements name them).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NatClass {
    /// No translation and no filter.
    Open,
    /// Endpoint-independent mapping and filtering.
    FullCone,
    /// Endpoint-independent mapping, address-dependent filtering.
    Restricted,
    /// Endpoint-independent mapping, address- and port-dependent filtering.
    PortRestricted,
    /// Address- and port-dependent mapping and filtering.
    Symmetric,
    /// UDP does not pass.
    Blocked,
}

impl NatClass {
    pub const ALL: [Self; 6] = [
        Self::Open,
        Self::FullCone,
        Self::Restricted,
        Self::PortRestricted,
        Self::Symmetric,
        Self::Blocked,
    ];

    /// The class of somebody at home, or on a mobile network.
    #[must_use]
    pub fn drawn(is_mobile: bool, draws: Draws) -> Self {
        let shares = if is_mobile { MOBILE } else { FIXED };
        let mut left = draws.below(100);
        for (class, share) in Self::ALL.into_iter().zip(shares) {
            match left.checked_sub(share) {
                Some(rest) => left = rest,
                None => return class,
            }
        }
        Self::Blocked
    }

    /// Whether checks from both sides to the addresses that STUN told open a path.
    ///
    /// A symmetric NAT sends to a peer from another port than to the STUN server. A filter that
    /// looks at the address alone lets that in, and its answer finds the new port; one that looks
    /// at the port does not, and two symmetric NATs each wait for a port that the other never uses
    /// (Ford, Srisuresh & Kegel, USENIX 2005, section 5.1).
    #[must_use]
    pub fn reaches(self, other: Self) -> bool {
        use NatClass::{Blocked, PortRestricted, Symmetric};
        !matches!(
            (self, other),
            (Blocked, _)
                | (_, Blocked)
                | (Symmetric, Symmetric | PortRestricted)
                | (PortRestricted, Symmetric)
        )
    }
}

/// From the moment that both sides know each other's description until both may send.
///
/// Round trips: a connectivity check (RFC 8445, section 7), two for DTLS 1.2 (RFC 6347, section
/// 4.2.4, without the cookie, which ICE makes needless), one to two for the SCTP association (RFC
/// 9260, section 5.1: data may ride on the third of its four messages). Then the work of both
/// machines, most of it certificates and handshake signatures: an assumption, half of them within
/// 75 to 135 ms.
#[must_use]
pub fn setup_time(round_trip: Duration, draws: Draws) -> Duration {
    round_trip * 9 / 2 + draws.log_normal(Duration::from_millis(100), 0.45)
}

/// Shares in percent in the order of [`NatClass::ALL`], so chosen that 80 % of the pairs of a
/// swarm with a fifth of its viewers on mobile networks connect. Measured: 82 % of home NATs
/// support UDP hole punching (Ford et al. 2005); 64 % of BitTorrent peers are behind one that
/// should, and more than 80 % of the attempts between them succeed (Halkes & Pouwelse 2011);
/// attempts of IPFS peers succeed in 70 ± 7.1 % (Trautwein et al. 2025).
const FIXED: [u64; 6] = [15, 11, 14, 50, 7, 3];

/// A third of mobile providers translate symmetrically (Klinec & Matyáš, SIN 2014).
const MOBILE: [u64; 6] = [5, 10, 12, 35, 33, 5];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_pairs_is_that_of_hole_punching() {
        // Rows and columns in the order of ALL.
        let table = [
            "yyyyy-", // open
            "yyyyy-", // full cone
            "yyyyy-", // restricted
            "yyyy--", // port-restricted
            "yyy---", // symmetric
            "------", // blocked
        ];
        for (a, row) in NatClass::ALL.into_iter().zip(table) {
            for (b, cell) in NatClass::ALL.into_iter().zip(row.chars()) {
                assert_eq!(a.reaches(b), cell == 'y', "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn four_pairs_in_five_connect_when_a_fifth_is_mobile() {
        let class = |draws: Draws| NatClass::drawn(draws.of("mobile").chance(0.2), draws.nth(5));
        let connected = (0..40_000)
            .map(|pair| Draws::new(11).nth(pair))
            .filter(|pair| class(pair.nth(0)).reaches(class(pair.nth(1))))
            .count();
        // By hand: symmetric 0.122, port-restricted 0.47, blocked 0.034; 1 - (0.0668 + 0.1296).
        assert!(connected.abs_diff(32_140) < 500, "{connected}");
    }

    #[test]
    fn setting_up_takes_four_and_a_half_round_trips_and_some_work() {
        let mut all: Vec<Duration> = (0..1_001)
            .map(|pair| setup_time(Duration::from_millis(60), Draws::new(1).nth(pair)))
            .collect();
        all.sort();
        assert!(all[0] > Duration::from_millis(270));
        let median = all[500].as_secs_f64() * 1e3;
        assert!((360.0..380.0).contains(&median), "{median}");
    }

    #[test]
    fn every_list_of_shares_is_a_whole() {
        assert_eq!(FIXED.iter().sum::<u64>(), 100);
        assert_eq!(MOBILE.iter().sum::<u64>(), 100);
    }
}
