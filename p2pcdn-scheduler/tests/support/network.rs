//! What carries out a scheduler's outputs: the origin and the links between viewers.

use std::time::Duration;

use p2pcdn_metrics::HttpReason;
use p2pcdn_scheduler::{Event, FetchFailure, FetchId, Input, Output};
use p2pcdn_wire::{
    BLOCK_LEN, BlockSet, ByteRange, LinkId, RequestId, Said, Say, SegmentRef, block_count,
};

use super::{
    SEGMENT_LEN, number,
    setting::Manner,
    viewer::Fetch,
    world::{Happening, World},
};

impl World {
    pub(super) fn drain(&mut self, viewer: usize) {
        while let Some(output) = self.viewers[viewer].scheduler.poll_output() {
            self.outputs += 1;
            self.carry_out(viewer, output);
        }
        if let Some(when) = self.viewers[viewer].scheduler.poll_timeout() {
            let state = &mut self.viewers[viewer];
            if state.wake_at.is_none_or(|pending| when < pending) {
                state.wake_at = Some(when);
                self.later(when, Happening::Wake(viewer));
            }
        }
    }

    fn carry_out(&mut self, viewer: usize, output: Output) {
        match output {
            Output::Fetch {
                fetch,
                segment,
                range,
                reason,
            } => self.fetch(viewer, fetch, segment, range, reason),
            Output::CancelFetch { fetch } => {
                self.viewers[viewer].fetches.remove(&fetch);
            }
            Output::Peer(link, Say::Ping) => self.ping(viewer, link),
            Output::Peer(link, say) => {
                let other = place(link);
                self.viewers[viewer].said_bytes += 24;
                if let Some(said) = said_of(say) {
                    let link = LinkId(viewer as u64);
                    self.after(self.setting.one_way, Happening::Said(other, link, said));
                }
            }
            Output::Serve {
                link,
                request,
                segment,
                block,
            } => {
                let to = place(link);
                *self.viewers[viewer].in_flight.entry(link).or_default() += BLOCK_LEN;
                if self.viewers[viewer].manner == Manner::Silent {
                    return;
                }
                let takes = self.setting.uplink.time_for(BLOCK_LEN);
                let sent = self.viewers[viewer].uplink_free_at.max(self.now) + takes;
                self.viewers[viewer].uplink_free_at = sent;
                let back = LinkId(viewer as u64);
                self.later(
                    sent + self.setting.one_way,
                    Happening::Block {
                        to,
                        link: back,
                        from: viewer,
                        request,
                        segment,
                        block,
                    },
                );
                self.later(
                    sent + self.setting.one_way * 2,
                    Happening::Sent(viewer, link),
                );
            }
            Output::Evict { segment } => {
                self.viewers[viewer].held.remove(&segment.ordinal);
            }
            Output::Disconnect { link, .. } => {
                self.viewers[viewer].disconnected.push(link);
            }
            Output::Event(event) => {
                if matches!(event, Event::NewsHeard { .. })
                    && self.viewers[viewer].news_at + Duration::from_secs(1) < self.now
                {
                    self.viewers[viewer].news_at = self.now;
                    self.after(self.setting.ttfb, Happening::Poll(viewer));
                }
                self.viewers[viewer].events.push(event);
            }
        }
    }

    /// A ping waits behind the blocks on the uplink; its answer finds an empty way back.
    fn ping(&mut self, viewer: usize, link: LinkId) {
        let one_way = self.setting.one_way;
        let sent = self.viewers[viewer].uplink_free_at.max(self.now);
        let way_there = sent.saturating_duration_since(self.now) + one_way;
        let said = Said::RoundTrip {
            took: way_there + one_way,
            outward: i64::try_from(way_there.as_micros()).expect("a short way"),
        };
        self.after(way_there + one_way, Happening::Said(viewer, link, said));
    }

    fn fetch(
        &mut self,
        viewer: usize,
        fetch: FetchId,
        segment: SegmentRef,
        range: ByteRange,
        reason: HttpReason,
    ) {
        let out = Fetch { segment, reason };
        self.viewers[viewer].fetches.insert(fetch, out);
        let now = self.now.since_epoch().as_secs_f64() - 20.0;
        let head = self.now + self.setting.ttfb;
        if self
            .setting
            .outage
            .is_some_and(|(from, len)| (from..from + len).contains(&now))
        {
            let failed = Err(FetchFailure::Transient);
            self.later(head, Happening::HttpEnd(viewer, fetch, failed));
            return;
        }
        self.later(head, Happening::HttpHead(viewer, fetch));
        let end = range.end.min(SEGMENT_LEN);
        let mut when = head.max(self.viewers[viewer].http_free_at);
        let blocks = number(range.start / BLOCK_LEN)..block_count(end);
        for block in blocks {
            let offset = (u64::from(block + 1) * BLOCK_LEN).min(end);
            when += self.setting.http.time_for(BLOCK_LEN);
            self.later(when, Happening::HttpBlock(viewer, fetch, block, offset));
        }
        self.viewers[viewer].http_free_at = when;
        self.later(when, Happening::HttpEnd(viewer, fetch, Ok(())));
    }

    pub(super) fn http_block(&mut self, viewer: usize, id: FetchId, block: u32, offset: u64) {
        let Some(fetch) = self.viewers[viewer].fetches.get(&id).copied() else {
            return;
        };
        let len = SEGMENT_LEN.min(u64::from(block + 1) * BLOCK_LEN) - u64::from(block) * BLOCK_LEN;
        let state = &mut self.viewers[viewer];
        let held = state.held.entry(fetch.segment.ordinal).or_default();
        if held.insert(block) {
            *state.http.entry(fetch.segment.ordinal).or_default() += len;
            *state.reasons.entry(fetch.reason).or_default() += len;
        } else {
            state.waste += len;
        }
        let now = self.now;
        let length = Input::LengthKnown {
            segment: fetch.segment,
            segment_len: SEGMENT_LEN,
        };
        let state = &mut self.viewers[viewer];
        state.scheduler.handle_input(length, now);
        let progress = Input::FetchProgressed { fetch: id, offset };
        state.scheduler.handle_input(progress, now);
        self.store(viewer, fetch.segment, [block].into_iter().collect());
    }

    pub(super) fn store(&mut self, viewer: usize, segment: SegmentRef, blocks: BlockSet) {
        let mapped = self.viewers[viewer].mapped.contains_key(&segment.ordinal);
        let (verified, private) = if mapped {
            (blocks, BlockSet::new())
        } else {
            (BlockSet::new(), blocks)
        };
        self.tell(
            viewer,
            Input::Stored {
                segment,
                verified,
                private,
                quarantined: BlockSet::new(),
            },
        );
    }

    pub(super) fn block(
        &mut self,
        to: usize,
        link: LinkId,
        from: usize,
        request: RequestId,
        segment: SegmentRef,
        block: u32,
    ) {
        if self.viewers[to].disconnected.contains(&link) {
            return;
        }
        let now = self.now;
        let start = u64::from(block) * BLOCK_LEN;
        let len = (start + BLOCK_LEN).min(SEGMENT_LEN) - start;
        let arrived = Input::BlockArrived {
            link,
            request,
            segment,
            block,
            len: number(len),
        };
        self.viewers[to].scheduler.handle_input(arrived, now);
        if self.viewers[from].manner == Manner::Wrong {
            self.viewers[to].waste += len;
            self.tell(
                to,
                Input::Corrupt {
                    link,
                    segment,
                    block,
                },
            );
            return;
        }
        let state = &mut self.viewers[to];
        let mapped = state.mapped.contains_key(&segment.ordinal);
        if !mapped {
            // A quarantine without room.
            let blocks = [block].into_iter().collect();
            self.tell(to, Input::Dropped { segment, blocks });
            return;
        }
        let held = state.held.entry(segment.ordinal).or_default();
        if held.insert(block) {
            *state.peers.entry(segment.ordinal).or_default() += len;
        } else {
            state.waste += len;
        }
        self.store(to, segment, [block].into_iter().collect());
    }
}

fn place(link: LinkId) -> usize {
    usize::try_from(link.0).expect("links are numbered as the viewers behind them")
}

fn said_of(say: Say) -> Option<Said> {
    Some(match say {
        Say::Have {
            track,
            ordinals,
            digest,
        } => Said::Have {
            track,
            ordinals,
            digest,
        },
        Say::Holds {
            segment,
            segment_len,
            blocks,
        } => Said::Holds {
            segment,
            segment_len,
            blocks,
        },
        Say::HasMaps {
            track,
            ordinals,
            digest,
        } => Said::HasMaps {
            track,
            ordinals,
            digest,
        },
        Say::Lost { track, ordinals } => Said::Lost { track, ordinals },
        Say::Intent {
            segment,
            expires_after,
        } => Said::Intent {
            segment,
            expires_after,
        },
        Say::IntentWithdrawn { segment } => Said::IntentWithdrawn { segment },
        Say::Request {
            request,
            segment,
            id,
            blocks,
            deadline_after,
        } => Said::Request {
            request,
            segment,
            id,
            blocks,
            deadline_after,
        },
        Say::Cancel { request } => Said::Cancel { request },
        Say::Reject { request, reason } => Said::Reject { request, reason },
        Say::Class(class) => Said::Class(class),
        Say::Ping
        | Say::Join { .. }
        | Say::Leave { .. }
        | Say::MapRequest { .. }
        | Say::Block(_)
        | Say::Map(_)
        | Say::Goodbye(_) => return None,
    })
}
