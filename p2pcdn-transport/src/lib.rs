//! Peer channels, signalling and HTTP for p2pcdn: the traits, WebRTC on str0m, WebTorrent trackers.
