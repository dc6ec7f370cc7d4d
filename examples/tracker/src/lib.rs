//! A small WebTorrent tracker for development: viewers of one swarm find each other here, by
//! offers and answers that the tracker hands from one WebSocket to another.
//!
//! It speaks what the server of `bittorrent-tracker` speaks over WebSocket: `announce` with
//! offers, answers, `scrape`. Everything it keeps lies in memory and has a cap in [`Config`]. Like
//! every WebTorrent tracker it believes a peer that says who it is. It has no TLS and no accounts:
//! in production use aquatic_ws or another one made for it.
//!
//! [`serve`] runs it inside another program, the binary `tracker` on its own.
#![forbid(unsafe_code)]

mod config;
mod connection;
mod listener;
mod protocol;
mod server;
mod state;
mod swarm;

pub use config::Config;
pub use server::serve;
