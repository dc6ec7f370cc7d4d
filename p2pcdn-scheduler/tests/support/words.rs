//! Outputs as short lines, so that a test reads and compares what a scheduler says.
//!
//! | line | output |
//! |---|---|
//! | `http 3[0..8] duty`, `stop 3[0..8]` | fetch blocks 0 to 7 of segment 3 over HTTP, give it up |
//! | `ask a 3[0..4]`, `cancel a 3[0..4]` | request of neighbour a, cancel |
//! | `serve a 3[0]`, `reject a Absent` | serve neighbour a one block, reject its request |
//! | `have a 3..4`, `maps a 3..4`, `holds a 3[0..4]`, `lost a 3..4` | statements about holdings |
//! | `intent a 3`, `withdraw a 3`, `class a None`, `ping a` | other statements |
//! | `evict 3`, `bye a` | forget a segment, disconnect |
//! | `news`, `complete 3`, `failed 3`, `caught a 3[0]` | events |

use std::collections::BTreeMap;

use p2pcdn_scheduler::{Event, FetchId, Output};
use p2pcdn_wire::{BLOCK_LEN, BlockSet, ByteRange, LinkId, RequestId, Say};

/// Puts outputs into words, and remembers what the numbers of requests and attempts stand for.
#[derive(Default)]
pub(crate) struct Words {
    requests: BTreeMap<(LinkId, RequestId), String>,
    fetches: BTreeMap<FetchId, String>,
}

impl Words {
    pub(crate) fn of(&mut self, output: &Output) -> String {
        match output {
            Output::Fetch {
                fetch,
                segment,
                range,
                reason,
            } => {
                let place = format!("{}{}", segment.ordinal, blocks_of(*range));
                self.fetches.insert(*fetch, place.clone());
                format!("http {place} {}", reason.as_str())
            }
            Output::CancelFetch { fetch } => format!("stop {}", self.fetches[fetch]),
            Output::Peer(link, say) => self.said(*link, say),
            Output::Serve {
                link,
                segment,
                block,
                ..
            } => format!("serve {} {}[{block}]", letter(*link), segment.ordinal),
            Output::Evict { segment } => format!("evict {}", segment.ordinal),
            Output::Disconnect { link, .. } => format!("bye {}", letter(*link)),
            Output::Event(event) => of_event(event),
        }
    }

    fn said(&mut self, link: LinkId, say: &Say) -> String {
        let to = letter(link);
        match say {
            Say::Request {
                request,
                segment,
                blocks,
                ..
            } => {
                let place = format!("{}[{blocks}]", segment.ordinal);
                self.requests.insert((link, *request), place.clone());
                format!("ask {to} {place}")
            }
            Say::Cancel { request } => format!("cancel {to} {}", self.requests[&(link, *request)]),
            Say::Reject { reason, .. } => format!("reject {to} {reason:?}"),
            Say::Have { ordinals, .. } => format!("have {to} {ordinals}"),
            Say::HasMaps { ordinals, .. } => format!("maps {to} {ordinals}"),
            Say::Holds {
                segment, blocks, ..
            } => format!("holds {to} {}[{}]", segment.ordinal, ranges(blocks)),
            Say::Lost { ordinals, .. } => format!("lost {to} {ordinals}"),
            Say::Intent { segment, .. } => format!("intent {to} {}", segment.ordinal),
            Say::IntentWithdrawn { segment } => format!("withdraw {to} {}", segment.ordinal),
            Say::Ping => format!("ping {to}"),
            Say::Class(class) => format!("class {to} {class:?}"),
            other => format!("{other:?}"),
        }
    }
}

fn of_event(event: &Event) -> String {
    match event {
        Event::NewsHeard { .. } => "news".into(),
        Event::SegmentCompleted { segment } => format!("complete {}", segment.ordinal),
        Event::SegmentFailed { segment, .. } => format!("failed {}", segment.ordinal),
        Event::PeerCaught { segment, block, .. } => format!("caught {}[{block}]", segment.ordinal),
        other => format!("{other:?}"),
    }
}

/// The letter of the neighbour behind a link: a is 1.
pub(crate) fn letter(link: LinkId) -> char {
    let place = u8::try_from(link.0).expect("few neighbours");
    char::from(b'a' + place - 1)
}

fn blocks_of(range: ByteRange) -> String {
    let start = range.start / BLOCK_LEN;
    match range.end {
        u64::MAX => format!("[{start}..]"),
        end => format!("[{start}..{}]", end.div_ceil(BLOCK_LEN)),
    }
}

fn ranges(blocks: &BlockSet) -> String {
    let ranges: Vec<_> = blocks.ranges().map(|range| range.to_string()).collect();
    ranges.join(",")
}
