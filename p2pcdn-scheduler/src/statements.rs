//! What neighbours say, and how far it concerns us.

use p2pcdn_wire::{
    BlockSet, GoodbyeReason, Instant, LinkId, MAX_BLOCKS, MAX_DURATION, OrdinalRange, PeerId,
    RejectReason, RequestId, Said, SegmentRef, TrackIndex, block_count, tag_digest,
};

use crate::{
    io::{Event, Growth, Output},
    neighbour::Neighbour,
    scheduler::Scheduler,
    segment::Track,
    upload::Request,
};

/// How far ahead of the manifest a neighbour's statements are taken seriously: encoders publish
/// one segment at a time, so more than three is somebody else's clock.
const MAX_AHEAD: u64 = 3;

impl Scheduler {
    pub(crate) fn link_ready(&mut self, link: LinkId, peer: PeerId) {
        self.link_closed(link);
        self.neighbours.insert(link, Neighbour::new(peer, self.now));
    }

    pub(crate) fn link_closed(&mut self, link: LinkId) {
        if let Some(neighbour) = self.neighbours.remove(link) {
            for out in neighbour.outstanding {
                self.release(out.segment, &out.blocks);
            }
        }
    }

    /// Takes note of what a neighbour said at `said_at`.
    pub(crate) fn peer_said(&mut self, link: LinkId, said: Said, said_at: Instant) {
        let standing = self.standing_of(&said);
        let Some(neighbour) = self.neighbours.get_mut(link) else {
            return;
        };
        match standing {
            Standing::OtherContent => return,
            Standing::Early { track, ordinal } => {
                neighbour.keep_for_later(said, said_at);
                self.note_news(track, ordinal);
                return;
            }
            Standing::Known => {}
        }
        self.note_offers(link, &said);
        let Some(neighbour) = self.neighbours.get_mut(link) else {
            return;
        };
        match said {
            Said::Joined { track, role } => {
                if neighbour.joined(track, role) {
                    self.tell_holdings(link, track);
                }
            }
            Said::Left { track } => neighbour.left(track),
            Said::Class(class) => neighbour.class = class,
            Said::RoundTrip { took, outward } => self.round_trip(link, took, outward),
            Said::Have {
                track, ordinals, ..
            } => {
                if let Some(track) = neighbour.track_mut(track) {
                    track.has(ordinals);
                }
            }
            Said::HasMaps {
                track, ordinals, ..
            } => {
                if let Some(track) = neighbour.track_mut(track) {
                    track.has_maps(ordinals);
                }
            }
            Said::Holds {
                segment,
                segment_len,
                blocks,
            } => {
                if is_plausible(segment_len, &blocks)
                    && let Some(track) = neighbour.track_mut(segment.track)
                {
                    track.holds(segment.ordinal, segment_len, blocks);
                }
            }
            Said::Lost { track, ordinals } => {
                if let Some(track) = neighbour.track_mut(track) {
                    track.lost(ordinals);
                }
            }
            Said::Intent {
                segment,
                expires_after,
            } => {
                if let Some(track) = neighbour.track_mut(segment.track) {
                    let expires_after = expires_after.min(MAX_DURATION);
                    let expires_at = said_at + expires_after;
                    track.intends(segment.ordinal, expires_at);
                    self.intents_expire_at = self.intents_expire_at.min(expires_at);
                }
            }
            Said::IntentWithdrawn { segment } => {
                neighbour.withdraws_early(segment);
                if let Some(track) = neighbour.track_mut(segment.track) {
                    track.withdraws(segment.ordinal);
                }
            }
            Said::Request {
                request,
                segment,
                id,
                blocks,
                deadline_after,
            } => self.take_request(
                link,
                Request {
                    request,
                    segment,
                    id,
                    blocks,
                    deadline_after,
                },
            ),
            Said::Cancel { request } => {
                neighbour.uploads.retain(|upload| upload.request != request);
            }
            Said::Reject { request, reason } => self.request_rejected(link, request, reason),
            // Block maps are the session's affair.
            Said::MapRequest { .. } => {}
        }
    }

    /// How a statement about segments stands to what the manifest lists.
    fn standing_of(&self, said: &Said) -> Standing {
        let (track, ordinals, digest) = match said {
            Said::Have {
                track,
                ordinals,
                digest,
            }
            | Said::HasMaps {
                track,
                ordinals,
                digest,
            } => (*track, *ordinals, *digest),
            Said::Holds { segment, .. } | Said::Intent { segment, .. } => (
                segment.track,
                OrdinalRange::one(segment.ordinal),
                tag_digest([segment.tag]),
            ),
            _ => return Standing::Known,
        };
        let Some(track) = self.track(track) else {
            return Standing::OtherContent;
        };
        let newest = track.newest().map_or(0, |segment| segment.name.ordinal);
        let last = ordinals.end.saturating_sub(1);
        if last > newest {
            let reach = track.spacing().saturating_mul(MAX_AHEAD);
            let is_near = track.growth == Growth::Live && last - newest <= reach;
            return if is_near && !track.segments.is_empty() {
                Standing::Early {
                    track: track.index,
                    ordinal: last,
                }
            } else {
                Standing::OtherContent
            };
        }
        match digest_of(track, ordinals) {
            Some(own) if own != digest => Standing::OtherContent,
            _ => Standing::Known,
        }
    }

    /// Lets the caller know of a segment that the manifest should list soon, once.
    fn note_news(&mut self, index: TrackIndex, ordinal: u64) {
        let Some(track) = self.track_mut(index) else {
            return;
        };
        if !track.news.contains(ordinal) {
            track.news.insert(OrdinalRange::one(ordinal));
            self.event(Event::NewsHeard { track: index });
        }
    }

    fn request_rejected(&mut self, link: LinkId, request: RequestId, reason: RejectReason) {
        let Some(neighbour) = self.neighbours.get_mut(link) else {
            return;
        };
        let Some(out) = neighbour.take_outstanding(request) else {
            return;
        };
        neighbour.standing.rejected(self.now);
        let has_them = matches!(reason, RejectReason::Busy | RejectReason::TooLate);
        // Else it will say so when that changes.
        if !has_them && let Some(track) = neighbour.track_mut(out.segment.track) {
            track.lost(OrdinalRange::one(out.segment.ordinal));
        }
        self.release(out.segment, &out.blocks);
    }

    pub(crate) fn block_arrived(
        &mut self,
        link: LinkId,
        request: RequestId,
        segment: SegmentRef,
        block: u32,
        len: u32,
    ) {
        let now = self.now;
        if let Some(neighbour) = self.neighbours.get_mut(link)
            && neighbour.block_arrived(request, block, len, now)
        {
            let arrived: BlockSet = [block].into_iter().collect();
            self.release(segment, &arrived);
        }
    }

    pub(crate) fn peer_caught(&mut self, link: LinkId, name: SegmentRef, block: u32) {
        self.with_segment(name, |segment| {
            segment.work_mut().quarantined.remove(block);
        });
        let Some(neighbour) = self.neighbours.get(link) else {
            return;
        };
        let peer = neighbour.peer;
        // Blocks are verified before they are passed on and channels are authenticated: one block
        // that does not match is proof enough.
        self.link_closed(link);
        self.outputs.push_back(Output::Disconnect {
            link,
            reason: GoodbyeReason::Corruption,
        });
        self.event(Event::PeerCaught {
            peer,
            segment: name,
            block,
        });
    }
}

/// How a statement stands to the manifest.
enum Standing {
    /// About segments that are listed, or about none.
    Known,
    /// About a segment that is not listed yet.
    Early { track: TrackIndex, ordinal: u64 },
    /// About something else in the same place, or far from it.
    OtherContent,
}

/// The digest over the tags of `ordinals`; `None` when not all of them are listed.
fn digest_of(track: &Track, ordinals: OrdinalRange) -> Option<u32> {
    let from = track.find(ordinals.start).ok()?;
    let count = usize::try_from(ordinals.len()).ok()?;
    let to = from.checked_add(count)?;
    if to > track.segments.len() {
        return None;
    }
    let last = track.segments.get(to.checked_sub(1)?)?.name.ordinal;
    if last != ordinals.end.saturating_sub(1) {
        return None;
    }
    let run = track.segments.get(from..to)?.iter();
    Some(tag_digest(run.map(|segment| segment.name.tag)))
}

/// Whether a segment of this length can have these blocks and be sent by peers at all.
fn is_plausible(segment_len: u64, blocks: &BlockSet) -> bool {
    let count = block_count(segment_len);
    (1..=MAX_BLOCKS).contains(&count) && blocks.iter().last().is_none_or(|last| last < count)
}
