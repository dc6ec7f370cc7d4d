//! Decides what to fetch, from whom and by when, whom to serve and what to keep, for p2pcdn.
