//! Decides what to fetch, from whom and by when, whom to serve and what to keep, for p2pcdn.
#![forbid(unsafe_code)]

mod announce;
mod clock;
mod config;
mod election;
mod holdings;
mod http;
mod io;
mod memory;
mod neighbour;
mod peers;
mod range_set;
mod scheduler;
mod segment;
mod statements;
mod upload;

pub use config::{Config, Policy, Switch};
pub use io::{
    Event, FetchFailure, FetchId, Growth, Input, Listed, Output, Playback, PlaybackState, Sharing,
};
pub use scheduler::Scheduler;
