//! Our statements as messages.

use crate::{
    id::{SegmentRef, TrackIndex},
    message::{Handle, PeerMessage, Place},
    say::{MapData, Say},
};

/// Our number of a track is our handle of it.
pub(super) const fn handle_of(track: TrackIndex) -> Handle {
    Handle(track.0)
}

/// The message for a statement that needs no state of the link, and the track that it is about.
pub(super) fn to_message(say: Say) -> Option<(TrackIndex, PeerMessage)> {
    Some(match say {
        Say::Holds {
            segment,
            segment_len,
            blocks,
        } => (
            segment.track,
            PeerMessage::Holds {
                place: place_of(segment),
                segment_len,
                blocks,
            },
        ),
        Say::Lost { track, ordinals } => (
            track,
            PeerMessage::Lost {
                handle: handle_of(track),
                ordinals,
            },
        ),
        Say::Intent {
            segment,
            expires_after,
        } => (
            segment.track,
            PeerMessage::Intent {
                place: place_of(segment),
                expires_after,
            },
        ),
        Say::IntentWithdrawn { segment } => (
            segment.track,
            PeerMessage::Withdrawn {
                place: place_of(segment),
            },
        ),
        Say::HasMaps {
            track,
            ordinals,
            digest,
        } => (
            track,
            PeerMessage::HasMaps {
                handle: handle_of(track),
                ordinals,
                digest,
            },
        ),
        Say::MapRequest { segment, id } => (
            segment.track,
            PeerMessage::MapRequest {
                handle: handle_of(segment.track),
                ordinal: segment.ordinal,
                id,
            },
        ),
        Say::Map(MapData { segment, payload }) => (
            segment.track,
            PeerMessage::Map {
                place: place_of(segment),
                payload,
            },
        ),
        Say::Join { .. }
        | Say::Leave { .. }
        | Say::Class(_)
        | Say::Have { .. }
        | Say::Ping
        | Say::Request { .. }
        | Say::Cancel { .. }
        | Say::Reject { .. }
        | Say::Block(_)
        | Say::Goodbye(_) => return None,
    })
}

fn place_of(segment: SegmentRef) -> Place {
    Place {
        handle: handle_of(segment.track),
        ordinal: segment.ordinal,
        tag: segment.tag,
    }
}
