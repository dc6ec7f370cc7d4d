//! One HLS stream, many viewers on this machine: an origin, players in real time, and the figures
//! that tell what the origin was spared.
//!
//! [`Origin`] serves the shipped media as a live or on-demand stream over lines of any quality.
//! [`Player`] plays what a [`Source`] brings it and keeps a [`ViewerRecord`]; the same player runs
//! over plain HTTP ([`HttpWorld`]) and over peers, so that the two records can be compared. An
//! [`Audience`] lets the viewers of a [`World`] join one after the other; a [`Report`] and a
//! [`table`] say what came of it.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod cli;
mod clock;
mod http_world;
mod media;
mod origin;
mod peer_world;
mod player;
mod progress;
mod record;
mod report;
mod source;
mod stage;
mod table;
mod truth;
mod world;

pub use cli::{Options, RenditionChoice};
pub use clock::WallClock;
pub use http_world::HttpWorld;
pub use media::{LOOP_LEN, RENDITIONS, Rendition, SEGMENT_SECONDS};
pub use origin::{
    Failure, Fault, Kind, Origin, OriginConfig, Request, Served, Shape, Show, Target, Viewers,
};
pub use peer_world::{PeerSource, PeerWorld};
pub use player::{Choice, Player, PlayerConfig, Status};
pub use progress::with_progress;
pub use record::{SegmentRecord, ViewerRecord};
pub use report::{Control, Report};
pub use source::{Body, PlaybackReport, Rung, Source, SourceError, Split};
pub use stage::{LocalTracker, Outcome, StageError, run, start_attester};
pub use table::table;
pub use truth::{FetchedTruth, Truth};
pub use world::{Audience, World};
