//! HLS playlists as one presentation model with segment identity, for p2pcdn.
