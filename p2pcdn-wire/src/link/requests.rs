//! The requests outstanding in each direction.

use crate::{
    blocks::BlockSet,
    id::{RequestId, SegmentRef, TrackIndex},
    limits::MAX_REQUESTS,
    range::BlockRange,
};

use super::interface::Violation;

/// What we have requested of the peer.
#[derive(Clone, Debug, Default)]
pub(super) struct OurRequests {
    outstanding: Vec<OurRequest>,
    /// The number of the last one on the wire.
    last: u32,
    /// Blocks of requests that ended before they came; they may still be on their way.
    late: u64,
}

#[derive(Clone, Debug)]
struct OurRequest {
    /// Its number on the wire, never used again, so that a block that comes after a cancel is not
    /// taken for an answer to a later request with the same `request`.
    wire: RequestId,
    request: RequestId,
    segment: SegmentRef,
    missing: BlockSet,
}

/// What a block that arrived is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Part of an outstanding request.
    Wanted {
        request: RequestId,
        segment: SegmentRef,
    },
    /// Part of a request that is over.
    Late,
}

impl OurRequests {
    /// The wire number of a request about to be made; `None` when as many are outstanding as may
    /// be.
    pub(super) fn next(&self) -> Option<RequestId> {
        let room = self.outstanding.len() < MAX_REQUESTS;
        self.last.checked_add(1).filter(|_| room).map(RequestId)
    }

    /// Notes the request `request`, sent as `wire`.
    pub(super) fn insert(
        &mut self,
        wire: RequestId,
        request: RequestId,
        segment: SegmentRef,
        blocks: BlockRange,
    ) {
        self.last = wire.0;
        self.outstanding.push(OurRequest {
            wire,
            request,
            segment,
            missing: BlockSet::from_range(blocks),
        });
    }

    pub(super) fn contains(&self, request: RequestId) -> bool {
        self.outstanding.iter().any(|ours| ours.request == request)
    }

    /// Ends a request that we cancel; returns its wire number if it was outstanding.
    pub(super) fn cancel(&mut self, request: RequestId) -> Option<RequestId> {
        self.end(|ours| ours.request == request)
            .map(|ours| ours.wire)
    }

    /// Ends a request that the peer rejected; returns our number if it was outstanding.
    pub(super) fn reject(&mut self, wire: RequestId) -> Option<RequestId> {
        self.end(|ours| ours.wire == wire).map(|ours| ours.request)
    }

    /// Ends one request in `track`; returns its number on the wire and ours.
    pub(super) fn drop_one(&mut self, track: TrackIndex) -> Option<(RequestId, RequestId)> {
        self.end(|ours| ours.segment.track == track)
            .map(|ours| (ours.wire, ours.request))
    }

    /// Notes a block that arrived.
    ///
    /// A peer sends each requested block at most once, so what comes late is never more than what
    /// ended early: this bounds the bytes that it can push on us.
    pub(super) fn arrive(&mut self, wire: RequestId, block: u32) -> Result<Arrival, Violation> {
        let found = self.outstanding.iter().position(|ours| ours.wire == wire);
        if let Some((index, ours)) =
            found.and_then(|index| Some((index, self.outstanding.get_mut(index)?)))
        {
            if !ours.missing.remove(block) {
                return Err(Violation::Unrequested {
                    request: wire,
                    block,
                });
            }
            let arrival = Arrival::Wanted {
                request: ours.request,
                segment: ours.segment,
            };
            if ours.missing.is_empty() {
                self.outstanding.remove(index);
                shrink(&mut self.outstanding);
            }
            return Ok(arrival);
        }
        self.late = self.late.checked_sub(1).ok_or(Violation::Unrequested {
            request: wire,
            block,
        })?;
        Ok(Arrival::Late)
    }

    fn end(&mut self, which: impl Fn(&OurRequest) -> bool) -> Option<OurRequest> {
        let index = self.outstanding.iter().position(which)?;
        let ended = self.outstanding.remove(index);
        self.late += u64::from(ended.missing.len());
        shrink(&mut self.outstanding);
        Some(ended)
    }
}

/// What the peer has requested of us.
#[derive(Clone, Debug, Default)]
pub(super) struct TheirRequests {
    outstanding: Vec<TheirRequest>,
    last: Option<RequestId>,
}

#[derive(Clone, Debug)]
struct TheirRequest {
    request: RequestId,
    track: TrackIndex,
    missing: BlockSet,
}

impl TheirRequests {
    /// Takes the number of a request, whatever it is about.
    pub(super) fn number(&mut self, request: RequestId) -> Result<(), Violation> {
        if self.last.is_some_and(|last| request <= last) {
            return Err(Violation::RequestOrder(request));
        }
        self.last = Some(request);
        Ok(())
    }

    /// Notes a request.
    pub(super) fn insert(
        &mut self,
        request: RequestId,
        track: TrackIndex,
        blocks: BlockRange,
    ) -> Result<(), Violation> {
        // The peer learns of blocks and rejects after they ended a request here, and its cancels
        // and hellos are heard before its later requests: it never counts fewer than we do.
        if self.outstanding.len() >= MAX_REQUESTS {
            return Err(Violation::TooManyRequests(request));
        }
        self.outstanding.push(TheirRequest {
            request,
            track,
            missing: BlockSet::from_range(blocks),
        });
        Ok(())
    }

    /// Ends a request; returns whether it was outstanding.
    pub(super) fn end(&mut self, request: RequestId) -> bool {
        let found = self
            .outstanding
            .iter()
            .position(|theirs| theirs.request == request);
        if let Some(index) = found {
            self.outstanding.remove(index);
            shrink(&mut self.outstanding);
        }
        found.is_some()
    }

    /// Whether an outstanding request still asks for the block.
    pub(super) fn wants(&self, request: RequestId, block: u32) -> bool {
        self.outstanding
            .iter()
            .any(|theirs| theirs.request == request && theirs.missing.contains(block))
    }

    /// Notes a block that was sent.
    pub(super) fn sent(&mut self, request: RequestId, block: u32) {
        let theirs = self
            .outstanding
            .iter_mut()
            .find(|theirs| theirs.request == request);
        if let Some(theirs) = theirs
            && theirs.missing.remove(block)
            && theirs.missing.is_empty()
        {
            self.end(request);
        }
    }

    /// Ends one request in `track`; returns its number.
    pub(super) fn drop_one(&mut self, track: TrackIndex) -> Option<RequestId> {
        let request = self
            .outstanding
            .iter()
            .find(|theirs| theirs.track == track)?
            .request;
        self.end(request).then_some(request)
    }
}

/// Gives memory back once a burst is over; a few requests come and go without allocating.
fn shrink<T>(requests: &mut Vec<T>) {
    if requests.is_empty() && requests.capacity() > 4 {
        *requests = Vec::new();
    }
}
