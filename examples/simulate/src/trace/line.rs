//! The lines of a trace.

use std::{fmt, time::Duration};

use bytes::{Bytes, BytesMut};
use p2pcdn::{SessionOutput, wire::Instant};
use serde::{Deserialize, Serialize};

use super::{Header, told::Told};

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Trace {
        version: u32,
        header: Header,
    },
    Told {
        at: u64,
        input: Told,
    },
    Woken {
        at: u64,
    },
    Did(Answer),
    Drained {
        wake_at: Option<u64>,
    },
    /// So many lines came before.
    End {
        lines: u64,
    },
}

/// An output, as far as it is kept: enough to see that two are the same, and which one it was.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    /// Over all of it, the bytes of a payload included.
    digest: u64,
    /// How it begins, for people.
    what: String,
}

impl Answer {
    pub(super) fn of(output: &SessionOutput) -> Self {
        let text = format!("{output:?}");
        let payload = match output {
            SessionOutput::Send { message, .. } => &message.payload[..],
            _ => &[],
        };
        let digest = fnv(fnv(FNV_BASIS, text.as_bytes()), payload);
        let what = text.chars().take(MAX_WHAT).collect();
        Self { digest, what }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:016x})", self.what, self.digest)
    }
}

/// Bytes: what they begin with in hexadecimal digits, and the run of one byte that they end with.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Data {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    hex: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<Run>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    mark: u8,
    len: usize,
}

impl Data {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mark = bytes.last().copied().unwrap_or(0);
        let len = bytes.iter().rev().take_while(|byte| **byte == mark).count();
        let run = (len >= MIN_RUN).then_some(Run { mark, len });
        let rest = bytes.len() - run.map_or(0, |run| run.len);
        let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('?');
        let hex = bytes.iter().take(rest);
        let hex = hex
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
            .collect();
        Self { hex, run }
    }

    pub(super) fn into_bytes(self) -> Result<Bytes, String> {
        let digits: Option<Vec<u8>> = self
            .hex
            .chars()
            .map(|digit| u8::try_from(digit.to_digit(16)?).ok())
            .collect();
        let digits = digits.ok_or("other than hexadecimal digits")?;
        let (pairs, rest) = digits.as_chunks::<2>();
        if !rest.is_empty() {
            return Err("half a byte".to_owned());
        }
        let mut bytes: BytesMut = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        if let Some(Run { mark, len }) = self.run {
            if len > MAX_RUN {
                return Err(format!("a run of {len} bytes"));
            }
            bytes.resize(bytes.len() + len, mark);
        }
        Ok(bytes.freeze())
    }
}

pub(super) fn nanos(at: Instant) -> u64 {
    duration_nanos(at.since_epoch())
}

pub(super) fn instant(nanos: u64) -> Instant {
    Instant::from_epoch(Duration::from_nanos(nanos))
}

pub(super) fn duration_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// FNV-1a, 64 bit.
fn fnv(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |state, byte| {
        (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// Characters of an output that are kept.
const MAX_WHAT: usize = 160;

/// Shorter runs are written out.
const MIN_RUN: usize = 16;

/// No message and no piece of a body is longer.
const MAX_RUN: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_digest_is_fnv_1a() {
        // From the reference vectors of the authors, "" and "a" and "foobar".
        assert_eq!(fnv(FNV_BASIS, b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(FNV_BASIS, b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv(FNV_BASIS, b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_block_of_virtual_payload_is_a_few_characters() {
        let message = [&[0x23, 0x05, 0x00][..], &[1; 16_384]].concat();
        let json = serde_json::to_string(&Data::of(&message)).unwrap();
        assert_eq!(json, r#"{"hex":"230500","run":{"mark":1,"len":16384}}"#);
    }

    #[test]
    fn bytes_that_are_none_are_refused() {
        for bad in [
            r#"{"hex":"0"}"#,
            r#"{"hex":"0g"}"#,
            r#"{"run":{"mark":0,"len":1000000000000}}"#,
        ] {
            let data: Data = serde_json::from_str(bad).unwrap();
            assert!(data.into_bytes().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back(
            head in prop::collection::vec(any::<u8>(), 0..40), mark in any::<u8>(), len in 0usize..40
        ) {
            let bytes = [&head[..], &vec![mark; len]].concat();
            let json = serde_json::to_string(&Data::of(&bytes)).unwrap();
            let data: Data = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(data.into_bytes().unwrap(), bytes);
        }
    }
}
