//! Any bytes decode or fail; what decodes is the same after encoding.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use p2pcdn_wire::PeerMessage;

fuzz_target!(|data: &[u8]| {
    let Ok(Some(message)) = PeerMessage::decode(Bytes::copy_from_slice(data)) else {
        return;
    };
    let encoded = message
        .encode()
        .expect("what was decoded is within the limits");
    let again = PeerMessage::decode(encoded.into_bytes());
    assert_eq!(again, Ok(Some(message)));
});
