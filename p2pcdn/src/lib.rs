//! Viewers of an HLS stream fetch its segments from each other over WebRTC, beside the CDN and never worse than with it alone.
#![forbid(unsafe_code)]

mod assembly;
mod authorisation;
mod block_map;
#[cfg(feature = "tokio")]
#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the shell is where sockets and clocks belong"
)]
mod client;
mod fetch;
mod held;
mod http_response;
mod keys;
mod maps;
mod memory_store;
mod quarantine;
mod session;
mod store;

pub use authorisation::{Answer, Authorisation, Standing, Subject};
pub use block_map::{BlockMap, MapError, SignedMap};
#[cfg(feature = "tokio")]
pub use client::{Client, ClientConfig, ClientError, Request, Response, Statistics};
pub use fetch::{
    Fetch, FetchEnd, FetchError, FetchHead, FetchPlan, FetchRequest, MAX_SEGMENT_LEN, Retry,
};
pub use http_response::{ResponseHead, Validator};
pub use keys::{KeyError, PublicKey, SigningKey};
pub use maps::{MapSource, Maps, MapsConfig, MapsInput, MapsOutput};
pub use memory_store::{MemoryStore, MemoryStoreConfig};
pub use p2pcdn_manifest as manifest;
pub use p2pcdn_metrics as metrics;
pub use p2pcdn_scheduler as scheduler;
pub use p2pcdn_transport as transport;
pub use p2pcdn_wire as wire;
pub use session::{
    SegmentSources, Session, SessionConfig, SessionEvent, SessionInput, SessionOutput,
};
pub use store::{Change, Dropped, MapAccepted, Mismatch, Source, Store};
