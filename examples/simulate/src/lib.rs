//! Swarms of viewers in virtual time, on the session that ships, each viewer beside its HTTP-only
//! twin.
//!
//! [`run`](world::run) plays a [`Scenario`](scenario::Scenario) twice: once with peers and once, as a
//! second complete world with the same people, lines and outages, over HTTP alone.
#![forbid(unsafe_code)]

pub mod abr;
pub mod access;
pub mod actor;
pub mod bound;
pub mod cli;
mod download;
pub mod draw;
pub mod edge;
pub mod engine;
pub mod event;
pub mod geography;
pub mod goodput;
pub mod hostile;
pub mod line;
pub mod media;
pub mod nat;
pub mod payload;
pub mod people;
pub mod player;
pub mod presets;
pub mod progress;
pub mod reach;
pub mod report;
pub mod scenario;
pub mod tally;
#[cfg(test)]
mod testing;
pub mod trace;
pub mod tracker;
pub mod twin;
pub mod viewer;
pub mod virtual_store;
pub mod world;
