//! Sockets and clients on tokio, for whoever drives the machines.

mod peer_socket;
mod reqwest_client;
mod tracker_sockets;

pub use self::{
    peer_socket::PeerSocket,
    reqwest_client::{ReqwestClient, ReqwestConfig},
    tracker_sockets::TrackerSockets,
};
