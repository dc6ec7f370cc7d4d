//! The HTTP attempts of a session.

use std::time::Duration;

use bytes::Bytes;
use p2pcdn_metrics::HttpReason;
use p2pcdn_scheduler::{FetchFailure, FetchId, Input};
use p2pcdn_transport::HttpError;
use p2pcdn_wire::{ByteRange, SegmentRef};

use super::{Session, SessionEvent, SessionOutput};
use crate::{
    authorisation::{Answer, Subject},
    fetch::{Fetch, FetchError, FetchPlan, Retry},
    http_response::ResponseHead,
    store::{Mismatch, Source, Store},
};

/// One HTTP attempt under way.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    segment: SegmentRef,
    reason: HttpReason,
    fetch: Fetch,
    /// The origin sends the whole resource although a range was asked for.
    range_ignored: bool,
}

impl<S: Store> Session<S> {
    pub(super) fn start_fetch(
        &mut self,
        id: FetchId,
        segment: SegmentRef,
        range: ByteRange,
        reason: HttpReason,
    ) {
        let reason = if self.is_disputed(segment) {
            HttpReason::Integrity
        } else {
            reason
        };
        let Some((url, resource)) = self.resource(segment) else {
            let result = Err(FetchFailure::NotFound);
            self.tell_scheduler(Input::FetchEnded { fetch: id, result });
            self.event(SessionEvent::Unlisted { segment });
            return;
        };
        let is_to_the_end = self
            .store
            .segment_len(segment)
            .map_or(range.end == u64::MAX, |len| range.end >= len);
        let is_whole = self.wholes.contains(segment) || (range.start == 0 && is_to_the_end);
        let validator = self.validators.get(segment).filter(|_| !is_whole);
        let fetch = Fetch::new(FetchPlan {
            url,
            resource,
            start: if is_whole { 0 } else { range.start },
            end: (!is_whole && !is_to_the_end).then_some(range.end),
            validator: validator.cloned(),
        });
        let request = fetch.request();
        self.fetches.insert(
            id,
            Attempt {
                segment,
                reason,
                fetch,
                range_ignored: false,
            },
        );
        self.outputs
            .push_back(SessionOutput::Fetch { fetch: id, request });
    }

    pub(super) fn fetch_answered(&mut self, id: FetchId, head: &ResponseHead, ttfb: Duration) {
        let Some(attempt) = self.fetches.get_mut(id) else {
            return;
        };
        let segment = attempt.segment;
        let mut result = attempt.fetch.handle_head(head);
        attempt.range_ignored = result.as_ref().is_ok_and(|head| head.range_ignored);
        // An attempt at the whole, or one beside another, asked for no version in particular.
        let found = result
            .as_ref()
            .ok()
            .and_then(|head| head.validator.as_ref());
        let known = self.validators.get(segment);
        if let (Some(known), Some(found)) = (known, found)
            && known.contradicts(found)
        {
            result = Err(FetchError::ContentChanged);
        }
        let fetch = Some(id);
        self.tell_scheduler(Input::OriginAnswered { fetch, ttfb });
        let answer = Answer::from_status(head.status);
        self.origin_answered(Subject::Segment(segment), answer);
        match result {
            Err(error) => self.fail(id, error),
            Ok(head) => {
                if let Some(validator) = head.validator {
                    self.validators.insert(segment, validator);
                }
                if let Some(len) = head.segment_len {
                    self.learn_len(segment, len);
                }
                if !head.shareable {
                    if let Some(witnesses) = &mut self.witnesses {
                        witnesses.want(segment, self.now);
                        witnesses.keep_private(segment);
                    }
                    self.forbid_sharing(segment);
                }
            }
        }
    }

    fn learn_len(&mut self, segment: SegmentRef, len: u64) {
        let change = self.store.set_len(segment, len);
        if let Some(segment_len) = self.store.segment_len(segment) {
            self.tell_scheduler(Input::LengthKnown {
                segment,
                segment_len,
            });
        }
        self.apply(segment, change);
        self.witness_if_read(segment);
    }

    /// Peers have no more part in this segment. What came from them so far was theirs to give, as
    /// far as the store still plays it.
    pub(super) fn forbid_sharing(&mut self, segment: SegmentRef) {
        let private = self.store.playable_blocks(segment);
        let segment_len = self.store.segment_len(segment);
        self.tell_scheduler(Input::Unshareable {
            segment,
            segment_len,
            private,
        });
    }

    pub(super) fn fetch_received(&mut self, id: FetchId, bytes: Bytes) {
        let Some(attempt) = self.fetches.get_mut(id) else {
            return;
        };
        let segment = attempt.segment;
        self.delivery.add_http(attempt.reason, bytes.len() as u64);
        let Some((offset, bytes)) = attempt.fetch.handle_body(bytes) else {
            return;
        };
        let attempt_is_over = attempt.range_ignored && attempt.fetch.is_done();
        let len = bytes.len() as u64;
        let change = self.store.write(segment, offset, bytes, Source::Http);
        self.tell_scheduler(Input::FetchProgressed {
            fetch: id,
            offset: offset + len,
        });
        let useful = len.saturating_sub(change.waste_http_len);
        self.count_source(segment, Source::Http, useful);
        self.apply(segment, change);
        self.witness_if_read(segment);
        if attempt_is_over {
            // The rest of the resource is of no use.
            self.fetch_ended(id, Ok(()));
            self.outputs
                .push_back(SessionOutput::CancelFetch { fetch: id });
        }
    }

    pub(super) fn fetch_ended(&mut self, id: FetchId, result: Result<(), HttpError>) {
        let Some(attempt) = self.fetches.get_mut(id) else {
            return;
        };
        let segment = attempt.segment;
        let end = match result {
            Ok(()) => attempt.fetch.handle_end(),
            Err(reason) => Err(attempt.fetch.handle_failure(reason)),
        };
        match end {
            Err(error) => self.fail(id, error),
            Ok(end) => {
                self.fetches.remove(id);
                if let Some(len) = end.segment_len {
                    self.learn_len(segment, len);
                }
                let result = Ok(());
                self.tell_scheduler(Input::FetchEnded { fetch: id, result });
            }
        }
    }

    fn fail(&mut self, id: FetchId, error: FetchError) {
        let Some(attempt) = self.fetches.remove(id) else {
            return;
        };
        let segment = attempt.segment;
        tracing::debug!(%segment, %error, "an HTTP attempt failed");
        match error.retry() {
            Retry::Restart if error == FetchError::ContentChanged => self.restart(segment),
            // The origin cannot do ranges; what it sent before is as good as ever.
            Retry::Restart => {
                self.wholes.insert(segment, ());
            }
            Retry::Resume | Retry::Never => {}
        }
        let result = Err(failure(&error));
        self.tell_scheduler(Input::FetchEnded { fetch: id, result });
        self.event(SessionEvent::FetchFailed { segment, error });
        // The shell may still be reading the body.
        self.outputs
            .push_back(SessionOutput::CancelFetch { fetch: id });
    }

    /// What came over HTTP is of a version that is gone: it has to come again, in one piece.
    fn restart(&mut self, segment: SegmentRef) {
        let map = self.store.map(segment);
        let had_some = !self.store.playable(segment, 0).is_empty();
        if let Some(witnesses) = &mut self.witnesses {
            witnesses.forget(segment);
            witnesses.want(segment, self.now);
        }
        self.store.remove(segment);
        self.validators.remove(segment);
        self.tell_scheduler(Input::Cleared { segment });
        if let (Some(encoded), Some(id)) = (map, self.segment_id(segment))
            && let Ok(accepted) = self.store.insert_map(segment, id, &encoded)
        {
            let segment_len = accepted.segment_len;
            self.tell_scheduler(Input::MapKnown {
                segment,
                segment_len,
            });
        }
        let others: Vec<_> = self
            .fetches
            .iter()
            .filter(|(_, attempt)| attempt.segment == segment)
            .map(|(id, _)| id)
            .collect();
        for fetch in others {
            self.fetches.remove(fetch);
            let result = Err(FetchFailure::Transient);
            self.tell_scheduler(Input::FetchEnded { fetch, result });
            self.outputs.push_back(SessionOutput::CancelFetch { fetch });
        }
        if had_some {
            let mismatch = Mismatch::Version;
            self.event(SessionEvent::Mismatched { segment, mismatch });
        }
    }
}

fn failure(error: &FetchError) -> FetchFailure {
    match error {
        FetchError::NotFound { .. } => FetchFailure::NotFound,
        FetchError::Unauthorised { .. } => FetchFailure::Unauthorised,
        _ => match error.retry() {
            Retry::Resume | Retry::Restart => FetchFailure::Transient,
            Retry::Never => FetchFailure::Unusable,
        },
    }
}
