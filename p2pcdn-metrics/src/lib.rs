//! Throughput and latency estimators, delivery and playback counters for p2pcdn.
