//! Why bytes were asked of HTTP.

use std::fmt;

/// Why something was fetched over HTTP although peers might have had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum HttpReason {
    /// Playback starts, or refills its buffer after a seek or a stall.
    Startup,
    /// It was this viewer's turn to bring the segment into the swarm.
    Duty,
    /// It would not have come from peers in time.
    Deadline,
    /// There are neighbours, none of them has it.
    NoHolder,
    /// There are no neighbours.
    NoPeer,
    /// Peer transfer is switched off or not authorised.
    Policy,
    /// What peers delivered was wrong or could not be verified, or is being audited.
    Integrity,
    /// A manifest: those always come over HTTP. The one reason whose bytes are not media.
    Manifest,
    /// It must not be shared: a key, or a response that the origin marked private.
    NotShareable,
}

impl HttpReason {
    /// All of them, in order of declaration.
    pub const ALL: [Self; 9] = [
        Self::Startup,
        Self::Duty,
        Self::Deadline,
        Self::NoHolder,
        Self::NoPeer,
        Self::Policy,
        Self::Integrity,
        Self::Manifest,
        Self::NotShareable,
    ];

    /// Its name in statistics, in snake case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Duty => "duty",
            Self::Deadline => "deadline",
            Self::NoHolder => "no_holder",
            Self::NoPeer => "no_peer",
            Self::Policy => "policy",
            Self::Integrity => "integrity",
            Self::Manifest => "manifest",
            Self::NotShareable => "not_shareable",
        }
    }
}

impl fmt::Display for HttpReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Bytes over HTTP by their reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HttpBytes {
    /// See [`HttpReason::Startup`].
    pub startup: u64,
    /// See [`HttpReason::Duty`].
    pub duty: u64,
    /// See [`HttpReason::Deadline`].
    pub deadline: u64,
    /// See [`HttpReason::NoHolder`].
    pub no_holder: u64,
    /// See [`HttpReason::NoPeer`].
    pub no_peer: u64,
    /// See [`HttpReason::Policy`].
    pub policy: u64,
    /// See [`HttpReason::Integrity`].
    pub integrity: u64,
    /// See [`HttpReason::Manifest`].
    pub manifest: u64,
    /// See [`HttpReason::NotShareable`].
    pub not_shareable: u64,
}

impl HttpBytes {
    /// Counts `bytes`; saturates.
    pub fn add(&mut self, reason: HttpReason, bytes: u64) {
        let count = self.of_mut(reason);
        *count = count.saturating_add(bytes);
    }

    /// Bytes of one reason.
    #[must_use]
    pub const fn of(&self, reason: HttpReason) -> u64 {
        match reason {
            HttpReason::Startup => self.startup,
            HttpReason::Duty => self.duty,
            HttpReason::Deadline => self.deadline,
            HttpReason::NoHolder => self.no_holder,
            HttpReason::NoPeer => self.no_peer,
            HttpReason::Policy => self.policy,
            HttpReason::Integrity => self.integrity,
            HttpReason::Manifest => self.manifest,
            HttpReason::NotShareable => self.not_shareable,
        }
    }

    /// Each reason with its bytes.
    pub fn iter(&self) -> impl Iterator<Item = (HttpReason, u64)> + '_ {
        HttpReason::ALL
            .into_iter()
            .map(|reason| (reason, self.of(reason)))
    }

    /// Bytes of all reasons but manifests; saturates.
    #[must_use]
    pub fn media(&self) -> u64 {
        self.iter()
            .filter(|(reason, _)| *reason != HttpReason::Manifest)
            .fold(0, |sum, (_, bytes)| sum.saturating_add(bytes))
    }

    fn of_mut(&mut self, reason: HttpReason) -> &mut u64 {
        match reason {
            HttpReason::Startup => &mut self.startup,
            HttpReason::Duty => &mut self.duty,
            HttpReason::Deadline => &mut self.deadline,
            HttpReason::NoHolder => &mut self.no_holder,
            HttpReason::NoPeer => &mut self.no_peer,
            HttpReason::Policy => &mut self.policy,
            HttpReason::Integrity => &mut self.integrity,
            HttpReason::Manifest => &mut self.manifest,
            HttpReason::NotShareable => &mut self.not_shareable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted_apart() {
        let mut bytes = HttpBytes::default();
        for (place, reason) in (0u32..).zip(HttpReason::ALL) {
            bytes.add(reason, 1 << place);
        }
        for (place, reason) in (0u32..).zip(HttpReason::ALL) {
            assert_eq!(bytes.of(reason), 1 << place, "{reason}");
        }
        assert_eq!(bytes.media(), 0b1_0111_1111);
        assert_eq!(bytes.manifest, 0b0_1000_0000);
    }

    #[test]
    fn counts_saturate() {
        let mut bytes = HttpBytes::default();
        bytes.add(HttpReason::Duty, u64::MAX);
        bytes.add(HttpReason::Duty, 1);
        bytes.add(HttpReason::Startup, 1);
        assert_eq!(bytes.media(), u64::MAX);
    }

    #[test]
    fn names_are_those_of_the_fields() {
        let names = HttpReason::ALL.map(HttpReason::as_str);
        let printed = format!("{:?}", HttpBytes::default());
        let fields: Vec<&str> = printed
            .trim_start_matches("HttpBytes { ")
            .trim_end_matches(" }")
            .split(", ")
            .filter_map(|field| field.strip_suffix(": 0"))
            .collect();
        assert_eq!(fields, names);
    }
}
