//! Where the bytes came from and where they went.

use std::{iter::Sum, ops::Add};

use crate::reason::{HttpBytes, HttpReason};

/// Counts every byte that crossed the viewer's line for the sake of one presentation.
///
/// Payload lengths, without the overhead of HTTP, DTLS, SCTP, UDP and IP. All counts saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Delivery {
    /// Content bytes from peers that were verified and are or were held.
    pub peer_bytes: u64,
    /// Bytes over HTTP by reason, of media and of manifests, whatever became of them.
    pub http_bytes: HttpBytes,
    /// Bytes of signed block maps over HTTP.
    pub map_bytes: u64,
    /// Content bytes sent to peers.
    pub upload_bytes: u64,
    /// Content bytes from peers that were of no use.
    pub waste_bytes: WasteBytes,
    /// Bytes to peers that are not content: messages, block maps from peer to peer, the heads of
    /// blocks.
    pub control_sent_bytes: u64,
    /// The same from peers.
    pub control_received_bytes: u64,
}

/// Content bytes from peers that were of no use, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WasteBytes {
    /// Held already.
    pub duplicate: u64,
    /// Arrived after they were cancelled or given up.
    pub late: u64,
    /// Did not match their commitment.
    pub corrupt: u64,
}

/// Why content bytes from a peer were of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Waste {
    /// Held already.
    Duplicate,
    /// Arrived after they were cancelled or given up.
    Late,
    /// Did not match their commitment.
    Corrupt,
}

impl Delivery {
    /// Counts verified content bytes from a peer.
    pub fn add_peer(&mut self, bytes: u64) {
        count(&mut self.peer_bytes, bytes);
    }

    /// Counts bytes of media or of a manifest over HTTP.
    pub fn add_http(&mut self, reason: HttpReason, bytes: u64) {
        self.http_bytes.add(reason, bytes);
    }

    /// Counts bytes of block maps over HTTP.
    pub fn add_map(&mut self, bytes: u64) {
        count(&mut self.map_bytes, bytes);
    }

    /// Counts content bytes sent to a peer.
    pub fn add_upload(&mut self, bytes: u64) {
        count(&mut self.upload_bytes, bytes);
    }

    /// Counts content bytes from a peer that were of no use.
    pub fn add_waste(&mut self, waste: Waste, bytes: u64) {
        count(
            match waste {
                Waste::Duplicate => &mut self.waste_bytes.duplicate,
                Waste::Late => &mut self.waste_bytes.late,
                Waste::Corrupt => &mut self.waste_bytes.corrupt,
            },
            bytes,
        );
    }

    /// Counts bytes to a peer that are not content.
    pub fn add_control_sent(&mut self, bytes: u64) {
        count(&mut self.control_sent_bytes, bytes);
    }

    /// Counts bytes from a peer that are not content.
    pub fn add_control_received(&mut self, bytes: u64) {
        count(&mut self.control_received_bytes, bytes);
    }

    /// Bytes of media over HTTP: all but manifests and block maps.
    #[must_use]
    pub fn http_media_bytes(&self) -> u64 {
        self.http_bytes.media()
    }

    /// Every byte over HTTP: media, manifests and block maps.
    #[must_use]
    pub fn http_total_bytes(&self) -> u64 {
        sum([
            self.http_media_bytes(),
            self.http_bytes.manifest,
            self.map_bytes,
        ])
    }

    /// Content bytes from peers that were of no use.
    #[must_use]
    pub fn waste_total_bytes(&self) -> u64 {
        let WasteBytes {
            duplicate,
            late,
            corrupt,
        } = self.waste_bytes;
        sum([duplicate, late, corrupt])
    }

    /// Useful peer bytes / (useful peer bytes + HTTP media bytes); `None` when nothing was
    /// delivered.
    #[must_use]
    pub fn peer_efficiency(&self) -> Option<f64> {
        share(self.peer_bytes, self.http_media_bytes())
    }

    /// Useful peer bytes / (useful peer bytes + every byte over HTTP); `None` when nothing was
    /// delivered.
    #[must_use]
    pub fn offload(&self) -> Option<f64> {
        share(self.peer_bytes, self.http_total_bytes())
    }
}

impl Add for Delivery {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self.add_peer(other.peer_bytes);
        for (reason, bytes) in other.http_bytes.iter() {
            self.add_http(reason, bytes);
        }
        self.add_map(other.map_bytes);
        self.add_upload(other.upload_bytes);
        self.add_waste(Waste::Duplicate, other.waste_bytes.duplicate);
        self.add_waste(Waste::Late, other.waste_bytes.late);
        self.add_waste(Waste::Corrupt, other.waste_bytes.corrupt);
        self.add_control_sent(other.control_sent_bytes);
        self.add_control_received(other.control_received_bytes);
        self
    }
}

impl Sum for Delivery {
    fn sum<I: Iterator<Item = Self>>(deliveries: I) -> Self {
        deliveries.fold(Self::default(), Add::add)
    }
}

fn count(counter: &mut u64, bytes: u64) {
    *counter = counter.saturating_add(bytes);
}

fn sum<const N: usize>(counts: [u64; N]) -> u64 {
    counts.into_iter().fold(0, u64::saturating_add)
}

fn share(part: u64, rest: u64) -> Option<f64> {
    let whole = u128::from(part) + u128::from(rest);
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_are_those_of_the_definition() {
        let mut delivery = Delivery::default();
        delivery.add_peer(600);
        delivery.add_http(HttpReason::Duty, 150);
        delivery.add_http(HttpReason::Integrity, 50);
        delivery.add_http(HttpReason::Manifest, 120);
        delivery.add_map(80);
        delivery.add_waste(Waste::Duplicate, 1_000);
        delivery.add_control_received(1_000);
        delivery.add_upload(1_000);
        assert_eq!(delivery.http_media_bytes(), 200);
        assert_eq!(delivery.http_total_bytes(), 400);
        // 600 / 800 and 600 / 1000.
        assert_eq!(delivery.peer_efficiency(), Some(0.75));
        assert_eq!(delivery.offload(), Some(0.6));
    }

    #[test]
    fn nothing_delivered_has_no_share() {
        let mut delivery = Delivery::default();
        delivery.add_http(HttpReason::Manifest, 1);
        assert_eq!(delivery.peer_efficiency(), None);
        assert_eq!(delivery.offload(), Some(0.0));
        assert_eq!(Delivery::default().offload(), None);
    }

    #[test]
    fn waste_is_counted_by_its_reason() {
        let mut delivery = Delivery::default();
        delivery.add_waste(Waste::Duplicate, 1);
        delivery.add_waste(Waste::Late, 2);
        delivery.add_waste(Waste::Corrupt, 4);
        let expected = WasteBytes {
            duplicate: 1,
            late: 2,
            corrupt: 4,
        };
        assert_eq!(delivery.waste_bytes, expected);
        assert_eq!(delivery.waste_total_bytes(), 7);
    }

    fn deliveries() -> impl Strategy<Value = Delivery> {
        prop::array::uniform17(any::<u32>()).prop_map(|n| {
            let n = n.map(u64::from);
            let [
                startup,
                duty,
                deadline,
                no_holder,
                no_peer,
                policy,
                integrity,
                ..,
            ] = n;
            Delivery {
                peer_bytes: n[7],
                http_bytes: HttpBytes {
                    startup,
                    duty,
                    deadline,
                    no_holder,
                    no_peer,
                    policy,
                    integrity,
                    manifest: n[8],
                    not_shareable: n[9],
                },
                map_bytes: n[10],
                upload_bytes: n[11],
                waste_bytes: WasteBytes {
                    duplicate: n[12],
                    late: n[13],
                    corrupt: n[14],
                },
                control_sent_bytes: n[15],
                control_received_bytes: n[16],
            }
        })
    }

    proptest! {
        #[test]
        fn shares_are_bounded_and_offload_is_the_smaller(delivery in deliveries()) {
            let (efficiency, offload) = (delivery.peer_efficiency(), delivery.offload());
            if let (Some(efficiency), Some(offload)) = (efficiency, offload) {
                prop_assert!((0.0..=1.0).contains(&efficiency));
                prop_assert!(offload <= efficiency);
            }
        }

        #[test]
        fn sums_keep_every_count(a in deliveries(), b in deliveries()) {
            let sum: Delivery = [a, b].into_iter().sum();
            prop_assert_eq!(sum, b + a);
            prop_assert_eq!(sum.peer_bytes, a.peer_bytes + b.peer_bytes);
            for reason in HttpReason::ALL {
                prop_assert_eq!(
                    sum.http_bytes.of(reason),
                    a.http_bytes.of(reason) + b.http_bytes.of(reason)
                );
            }
            prop_assert_eq!(sum.http_total_bytes(), a.http_total_bytes() + b.http_total_bytes());
            prop_assert_eq!(sum.upload_bytes, a.upload_bytes + b.upload_bytes);
            prop_assert_eq!(sum.waste_bytes.late, a.waste_bytes.late + b.waste_bytes.late);
            prop_assert_eq!(
                sum.waste_total_bytes(),
                a.waste_total_bytes() + b.waste_total_bytes()
            );
            prop_assert_eq!(
                (sum.control_sent_bytes, sum.control_received_bytes),
                (
                    a.control_sent_bytes + b.control_sent_bytes,
                    a.control_received_bytes + b.control_received_bytes
                )
            );
        }
    }
}
