//! Every cap of the protocol, each with its reason.

use std::time::Duration;

/// Content bytes of a block, the last of a segment aside: the largest message that every WebRTC
/// stack carries without fragmentation trouble (16 KiB), and 46 of them in 2 s at 3 Mb/s, enough
/// to spread one segment over several peers.
pub const BLOCK_LEN: u64 = 16_384;

/// Bytes of one message: what peers without a negotiated maximum must accept (RFC 8841 section 6).
pub const MAX_MESSAGE_LEN: usize = 64 * 1024 - 1;

/// Blocks of one segment, and so 31 MiB per segment: the block map with 32 bytes per block, its
/// header and its signature fit into one message.
pub const MAX_BLOCKS: u32 = 2_016;

/// Tracks one side may have joined on a link: renditions times languages of a large presentation.
pub const MAX_TRACKS: usize = 64;

/// Bytes of a membership proof: a ticket is an Ed25519 signature, a key and a few ids, about 200.
pub const MAX_PROOF_LEN: usize = 1_024;

/// Requests outstanding in one direction of a link: twice what a 256 KiB window of single blocks
/// needs.
pub const MAX_REQUESTS: usize = 64;

/// Segments one `have`, `bitfield` or `lost` message may cover: a day of 2 s segments.
pub const MAX_HAVE_SEGMENTS: u64 = 43_200;

/// Ranges in one message, of ordinals or of blocks.
pub const MAX_RANGES: usize = 1_024;

/// Ranges of one `bitfield` that are heard, the newest: as many runs of complete segments as are
/// remembered of a peer in a track, so that more would be work for nothing.
pub const MAX_BITFIELD_RUNS: usize = 256;

/// How far an intent, a deadline or a round-trip time may lie ahead.
pub const MAX_DURATION: Duration = Duration::from_secs(60);

/// How long after the channels opened a hello may take before the link is closed.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Violations a peer may commit before its link is closed: none that could be an accident of
/// timing counts as one, so few are needed.
pub const MAX_VIOLATIONS: u32 = 4;

/// How often a link measures its round-trip time: a congested line shows within a few segments, for
/// under three bytes a second each way.
pub const PING_INTERVAL: Duration = Duration::from_secs(10);

/// How long the answer to a ping may take before another ping may be sent in between: what an
/// overfull home router holds back.
pub const MAX_PONG_WAIT: Duration = Duration::from_secs(3);
