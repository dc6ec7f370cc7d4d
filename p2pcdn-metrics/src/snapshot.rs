//! All counters at one moment.

use std::{iter::Sum, ops::Add};

use crate::{delivery::Delivery, playback::PlaybackFigures};

/// Every counter of one viewer at one moment, or the sum over several viewers.
///
/// Plain numbers that only grow, so that two snapshots of a viewer tell about the time between
/// them and the snapshots of many viewers can be added up; ratios and means are methods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Snapshot {
    /// Bytes by source and reason.
    pub delivery: Delivery,
    /// Startup, stalls, time played and latency.
    pub playback: PlaybackFigures,
}

impl Snapshot {
    /// See [`Delivery::peer_efficiency`].
    #[must_use]
    pub fn peer_efficiency(&self) -> Option<f64> {
        self.delivery.peer_efficiency()
    }

    /// See [`Delivery::offload`].
    #[must_use]
    pub fn offload(&self) -> Option<f64> {
        self.delivery.offload()
    }
}

impl Add for Snapshot {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            delivery: self.delivery + other.delivery,
            playback: self.playback + other.playback,
        }
    }
}

impl Sum for Snapshot {
    fn sum<I: Iterator<Item = Self>>(snapshots: I) -> Self {
        snapshots.fold(Self::default(), Add::add)
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use super::*;
    use crate::{HttpReason, Waste};

    #[test]
    fn is_written_as_plain_numbers_and_read_back() {
        let mut snapshot = Snapshot::default();
        snapshot.delivery.add_peer(3);
        snapshot.delivery.add_http(HttpReason::NoHolder, 1);
        snapshot.delivery.add_waste(Waste::Late, 2);
        snapshot.playback.stall_micros = 5;
        let json = serde_json::to_value(snapshot).unwrap();
        assert_eq!(json["delivery"]["peer_bytes"], 3);
        assert_eq!(json["delivery"]["http_bytes"]["no_holder"], 1);
        assert_eq!(json["delivery"]["waste_bytes"]["late"], 2);
        assert_eq!(json["playback"]["stall_micros"], 5);
        assert_eq!(serde_json::from_value::<Snapshot>(json).unwrap(), snapshot);
    }

    #[test]
    fn reasons_are_written_by_their_names() {
        for reason in HttpReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }
}
