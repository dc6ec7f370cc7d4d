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
    missing: Missing,
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
            missing: Missing::of(blocks),
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
    missing: Missing,
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
            missing: Missing::of(blocks),
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

/// Gives memory back once a burst is over: most links are idle most of the time.
fn shrink<T>(requests: &mut Vec<T>) {
    if requests.is_empty() {
        *requests = Vec::new();
    }
}

/// The blocks of a request that have not come: one bit for each of a short request, as nearly all
/// are, so that many fit in little.
#[derive(Clone, Debug)]
enum Missing {
    /// Bit 0 is block `start`.
    Few {
        start: u32,
        bits: u32,
    },
    Many(Box<BlockSet>),
}

impl Missing {
    fn of(blocks: BlockRange) -> Self {
        let (start, len) = (blocks.start, blocks.len());
        match 1u32.checked_shl(len) {
            Some(next) => Self::Few {
                start,
                bits: next - 1,
            },
            None => Self::Many(Box::new(BlockSet::from_range(blocks))),
        }
    }

    fn contains(&self, block: u32) -> bool {
        match self {
            Self::Few { start, bits } => bits & bit(*start, block) != 0,
            Self::Many(blocks) => blocks.contains(block),
        }
    }

    /// Takes `block` out; returns whether it was missing.
    fn remove(&mut self, block: u32) -> bool {
        match self {
            Self::Few { start, bits } => {
                let bit = bit(*start, block);
                let was_missing = *bits & bit != 0;
                *bits &= !bit;
                was_missing
            }
            Self::Many(blocks) => blocks.remove(block),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Few { bits, .. } => *bits == 0,
            Self::Many(blocks) => blocks.is_empty(),
        }
    }

    fn len(&self) -> u32 {
        match self {
            Self::Few { bits, .. } => bits.count_ones(),
            Self::Many(blocks) => blocks.len(),
        }
    }
}

/// The bit of `block` among those from `start` on; zero when it is none of them.
fn bit(start: u32, block: u32) -> u32 {
    let place = block.checked_sub(start);
    place
        .and_then(|place| 1u32.checked_shl(place))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_missing_is_a_set_of_blocks(
            start in 0u32..40,
            len in 1u32..70,
            arriving in prop::collection::vec(0u32..120, 0..150),
        ) {
            let range = BlockRange::new(start, start + len);
            let (mut missing, mut set) = (Missing::of(range), BlockSet::from_range(range));
            for block in arriving {
                prop_assert_eq!(missing.contains(block), set.contains(block));
                prop_assert_eq!(missing.remove(block), set.remove(block));
                prop_assert_eq!(missing.len(), set.len());
                prop_assert_eq!(missing.is_empty(), set.is_empty());
            }
        }
    }

    #[test]
    fn a_request_takes_little_memory() {
        assert!(size_of::<OurRequest>() <= 40 && size_of::<TheirRequest>() <= 24);
    }
}
