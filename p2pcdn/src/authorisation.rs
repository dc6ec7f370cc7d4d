//! Whether the origin still lets this viewer watch, and so whether it may deal with peers.

use std::time::Duration;

use p2pcdn_wire::{Instant, SegmentRef};

/// An authorisation is as good as this without a new one: a viewer who was sent away must not go
/// on for longer on what other viewers hold.
const FRESH_FOR: Duration = Duration::from_secs(60);

/// Asked again this long before it becomes stale.
const RENEW_BEFORE: Duration = Duration::from_secs(10);

/// Two refused segments within this time mean the viewer, one means the segment.
const REFUSAL_WINDOW: Duration = Duration::from_secs(30);

/// A refused or failed renewal is tried again after this time.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What the origin answered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A manifest.
    Manifest,
    /// A listed media segment.
    Segment(SegmentRef),
}

/// What the origin's answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 2xx, or 304 to a conditional request.
    Granted,
    /// 401 or 403.
    Refused,
    /// Anything else: it says nothing about the viewer.
    Other,
}

impl Answer {
    /// What an HTTP status means.
    #[must_use]
    pub const fn from_status(status: u16) -> Self {
        match status {
            200..=299 | 304 => Self::Granted,
            401 | 403 => Self::Refused,
            _ => Self::Other,
        }
    }
}

/// Where a viewer stands with the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The origin has not yet delivered both a manifest and a segment.
    Pending,
    /// It delivers.
    Granted,
    /// It has not been asked for a minute.
    Stale,
    /// It refused a manifest or two segments, and no request of that kind succeeded since: where
    /// manifests are open and segments are not, each reload would let the viewer in again.
    Refused,
}

/// Watches the origin's answers to this viewer's own requests.
///
/// ```text
///            manifest and segment granted         a minute without
///  Pending ------------------------------> Granted <--------------> Stale
///                                            | ^        any grant
///     manifest or two segments refused       | |
///                                            v | the next grant of that kind
///                                          Refused
/// ```
#[derive(Clone, Debug)]
pub struct Authorisation {
    manifest_granted: bool,
    segment_granted: bool,
    manifest_refused: bool,
    segments_refused: bool,
    granted_at: Instant,
    refused_segment: Option<(SegmentRef, Instant)>,
    /// No renewal before this.
    renew_not_before: Instant,
}

impl Authorisation {
    /// An authorisation that is still to be had.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            manifest_granted: false,
            segment_granted: false,
            manifest_refused: false,
            segments_refused: false,
            granted_at: now,
            refused_segment: None,
            renew_not_before: now,
        }
    }

    /// Takes note of an answer.
    pub fn answered(&mut self, subject: Subject, answer: Answer, now: Instant) {
        match (answer, subject) {
            (Answer::Granted, Subject::Manifest) => {
                self.manifest_granted = true;
                self.manifest_refused = false;
                self.granted_at = now;
            }
            (Answer::Granted, Subject::Segment(_)) => {
                self.segment_granted = true;
                self.segments_refused = false;
                self.refused_segment = None;
                self.granted_at = now;
            }
            (Answer::Refused, Subject::Manifest) => self.manifest_refused = true,
            (Answer::Refused, Subject::Segment(segment)) => {
                let is_second = self.refused_segment.is_some_and(|(other, at)| {
                    other != segment && now.saturating_duration_since(at) <= REFUSAL_WINDOW
                });
                self.segments_refused |= is_second;
                self.refused_segment = Some((segment, now));
            }
            (Answer::Other, _) => {}
        }
    }

    /// Where the viewer stands.
    #[must_use]
    pub fn standing(&self, now: Instant) -> Standing {
        if self.manifest_refused || self.segments_refused {
            Standing::Refused
        } else if !(self.manifest_granted && self.segment_granted) {
            Standing::Pending
        } else if now.saturating_duration_since(self.granted_at) >= FRESH_FOR {
            Standing::Stale
        } else {
            Standing::Granted
        }
    }

    /// When the authorisation has to be renewed by a request of its own, unless another request
    /// succeeds before; `None` before there is one.
    #[must_use]
    pub fn renew_at(&self) -> Option<Instant> {
        (self.manifest_granted && self.segment_granted).then(|| {
            let due = self.granted_at + (FRESH_FOR - RENEW_BEFORE);
            due.max(self.renew_not_before)
        })
    }

    /// A renewal was sent at `now`.
    pub fn renewing(&mut self, now: Instant) {
        self.renew_not_before = now + RETRY_AFTER;
    }

    /// When the standing changes by itself.
    #[must_use]
    pub fn stale_at(&self) -> Instant {
        self.granted_at + FRESH_FOR
    }
}

#[cfg(test)]
mod tests {
    use p2pcdn_wire::TrackIndex;

    use super::*;

    fn segment(ordinal: u64) -> Subject {
        Subject::Segment(SegmentRef {
            track: TrackIndex(0),
            ordinal,
            tag: 0,
        })
    }

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
    }

    fn granted() -> Authorisation {
        let mut authorisation = Authorisation::new(at(0));
        authorisation.answered(Subject::Manifest, Answer::Granted, at(0));
        assert_eq!(authorisation.standing(at(0)), Standing::Pending);
        authorisation.answered(segment(1), Answer::Granted, at(0));
        assert_eq!(authorisation.standing(at(0)), Standing::Granted);
        authorisation
    }

    #[test]
    fn it_takes_a_manifest_and_a_segment() {
        let mut authorisation = Authorisation::new(at(0));
        authorisation.answered(segment(1), Answer::Granted, at(0));
        assert_eq!(authorisation.standing(at(0)), Standing::Pending);
        authorisation.answered(Subject::Manifest, Answer::from_status(404), at(0));
        assert_eq!(authorisation.standing(at(0)), Standing::Pending);
        authorisation.answered(Subject::Manifest, Answer::from_status(200), at(0));
        assert_eq!(authorisation.standing(at(0)), Standing::Granted);
    }

    #[test]
    fn one_refused_segment_is_an_error_of_that_segment() {
        let mut authorisation = granted();
        authorisation.answered(segment(2), Answer::Refused, at(1));
        authorisation.answered(segment(2), Answer::Refused, at(2));
        assert_eq!(authorisation.standing(at(2)), Standing::Granted);
        authorisation.answered(segment(3), Answer::Refused, at(33));
        assert_eq!(authorisation.standing(at(33)), Standing::Granted);
    }

    #[test]
    fn two_refused_segments_or_a_refused_manifest_end_it_until_the_next_success() {
        let mut authorisation = granted();
        authorisation.answered(segment(2), Answer::Refused, at(1));
        authorisation.answered(segment(3), Answer::from_status(401), at(31));
        assert_eq!(authorisation.standing(at(31)), Standing::Refused);
        authorisation.answered(segment(4), Answer::Granted, at(32));
        assert_eq!(authorisation.standing(at(32)), Standing::Granted);
        authorisation.answered(Subject::Manifest, Answer::from_status(403), at(33));
        assert_eq!(authorisation.standing(at(33)), Standing::Refused);
        authorisation.answered(Subject::Manifest, Answer::from_status(500), at(34));
        assert_eq!(authorisation.standing(at(34)), Standing::Refused);
    }

    #[test]
    fn it_becomes_stale_after_a_minute_and_asks_before() {
        let mut authorisation = granted();
        assert_eq!(authorisation.renew_at(), Some(at(50)));
        authorisation.renewing(at(50));
        assert_eq!(authorisation.renew_at(), Some(at(55)));
        assert_eq!(authorisation.standing(at(59)), Standing::Granted);
        assert_eq!(authorisation.standing(at(60)), Standing::Stale);
        authorisation.answered(segment(9), Answer::from_status(206), at(61));
        assert_eq!(authorisation.standing(at(61)), Standing::Granted);
    }
}
