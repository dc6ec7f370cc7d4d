//! Messages to bytes and back. The layouts are in `docs/protocol.md`.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    blocks::BlockSet,
    channel::Message,
    codes::{
        class_code, goodbye_code, goodbye_reason, kind, reject_code, reject_reason, role,
        role_code, upload_class,
    },
    id::{PeerId, RequestId, SegmentId, SwarmId, TrackId, WitnessKey},
    limits::{MAX_DURATION, MAX_MESSAGE_LEN, MAX_PROOF_LEN, MAX_RANGES, MAX_TRACKS},
    message::{
        DecodeError, Handle, Hello, HelloTrack, MAX_SEGMENT_LEN, OutOfRange, PROTOCOL_VERSION,
        PeerMessage, Place,
    },
    range::{BlockRange, OrdinalRange, block_count},
    say::Payload,
    varint::{Reader, Writer},
};

impl PeerMessage {
    /// Its bytes, the payload apart and not copied.
    ///
    /// Durations are cut to whole milliseconds and to [`MAX_DURATION`].
    ///
    /// # Errors
    /// When a field is beyond its limit, and so no peer would accept the message.
    pub fn encode(&self) -> Result<Message, OutOfRange> {
        self.check()?;
        let mut head = Writer::new();
        head.byte(self.kind());
        self.put_fields(&mut head);
        let message = Message {
            head: head.finish(),
            payload: self.payload(),
        };
        if message.len() > MAX_MESSAGE_LEN {
            return Err(OutOfRange {
                field: "message length",
                value: message.len() as u64,
            });
        }
        Ok(message)
    }

    /// The message with these bytes, its payload a slice of them; `None` when its type is unknown,
    /// and so to be skipped.
    ///
    /// The payload is copied only where the bytes are in two pieces with their border elsewhere
    /// than [`encode`](Self::encode) puts it; where it is makes no other difference.
    ///
    /// # Errors
    /// When the bytes are not a message of a version that we speak.
    pub fn decode(bytes: impl Into<Message>) -> Result<Option<Self>, DecodeError> {
        let bytes = bytes.into();
        if bytes.len() > MAX_MESSAGE_LEN {
            return Err(DecodeError::TooLong { len: bytes.len() });
        }
        let mut reader = Reader::new(bytes);
        let kind = reader.byte()?;
        let Some(message) = read_fields(kind, &mut reader)? else {
            return Ok(None);
        };
        // A hello and a goodbye may grow: they are what different versions say to each other.
        if !matches!(message, Self::Hello(_) | Self::Goodbye { .. }) {
            reader.end()?;
        }
        message.check()?;
        Ok(Some(message))
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => kind::HELLO,
            Self::Goodbye { .. } => kind::GOODBYE,
            Self::Ping { .. } => kind::PING,
            Self::Pong { .. } => kind::PONG,
            Self::Bitfield { .. } => kind::BITFIELD,
            Self::Have { .. } => kind::HAVE,
            Self::Holds { .. } => kind::HOLDS,
            Self::Lost { .. } => kind::LOST,
            Self::Intent { .. } => kind::INTENT,
            Self::Withdrawn { .. } => kind::WITHDRAWN,
            Self::HasMaps { .. } => kind::HAS_MAPS,
            Self::Request { .. } => kind::REQUEST,
            Self::Cancel { .. } => kind::CANCEL,
            Self::Reject { .. } => kind::REJECT,
            Self::Block { .. } => kind::BLOCK,
            Self::MapRequest { .. } => kind::MAP_REQUEST,
            Self::Map { .. } => kind::MAP,
        }
    }

    fn payload(&self) -> Bytes {
        match self {
            Self::Block { payload, .. } | Self::Map { payload, .. } => payload.0.clone(),
            _ => Bytes::new(),
        }
    }

    fn put_fields(&self, out: &mut Writer) {
        match self {
            Self::Hello(hello) => put_hello(out, hello),
            Self::Goodbye { reason } => out.varint(goodbye_code(*reason)),
            Self::Ping { at } => out.varint(*at),
            Self::Pong { echo, at } => {
                out.varint(*echo);
                out.varint(*at);
            }
            Self::Bitfield { handle, ranges } => put_bitfield(out, *handle, ranges),
            Self::Have {
                handle,
                ordinals,
                digest,
            }
            | Self::HasMaps {
                handle,
                ordinals,
                digest,
            } => {
                put_ordinals(out, *handle, *ordinals);
                out.bytes(&digest.to_be_bytes());
            }
            Self::Holds {
                place,
                segment_len,
                blocks,
            } => {
                put_place(out, *place);
                out.varint(*segment_len);
                put_blocks(out, blocks);
            }
            Self::Lost { handle, ordinals } => put_ordinals(out, *handle, *ordinals),
            Self::Intent {
                place,
                expires_after,
            } => {
                put_place(out, *place);
                put_duration(out, *expires_after);
            }
            Self::Withdrawn { place } | Self::Map { place, .. } => put_place(out, *place),
            Self::Request {
                request,
                handle,
                ordinal,
                id,
                blocks,
                deadline_after,
            } => {
                out.varint(request.0.into());
                put_segment(out, *handle, *ordinal, id);
                out.varint(blocks.start.into());
                out.varint(blocks.len().into());
                put_duration(out, *deadline_after);
            }
            Self::Cancel { request } => out.varint(request.0.into()),
            Self::Reject { request, reason } => {
                out.varint(request.0.into());
                out.varint(reject_code(*reason));
            }
            Self::Block { request, block, .. } => {
                out.varint(request.0.into());
                out.varint((*block).into());
            }
            Self::MapRequest {
                handle,
                ordinal,
                id,
            } => put_segment(out, *handle, *ordinal, id),
        }
    }
}

fn read_fields(kind: u8, reader: &mut Reader) -> Result<Option<PeerMessage>, DecodeError> {
    Ok(Some(match kind {
        kind::HELLO => PeerMessage::Hello(read_hello(reader)?),
        kind::GOODBYE => PeerMessage::Goodbye {
            reason: goodbye_reason(reader.varint()?),
        },
        kind::PING => PeerMessage::Ping {
            at: reader.varint()?,
        },
        kind::PONG => PeerMessage::Pong {
            echo: reader.varint()?,
            at: reader.varint()?,
        },
        kind::BITFIELD => read_bitfield(reader)?,
        kind::HAVE => PeerMessage::Have {
            handle: read_handle(reader)?,
            ordinals: read_ordinals(reader, 0)?,
            digest: read_u32(reader)?,
        },
        kind::HOLDS => read_holds(reader)?,
        kind::LOST => PeerMessage::Lost {
            handle: read_handle(reader)?,
            ordinals: read_ordinals(reader, 0)?,
        },
        kind::INTENT => PeerMessage::Intent {
            place: read_place(reader)?,
            expires_after: read_duration(reader)?,
        },
        kind::WITHDRAWN => PeerMessage::Withdrawn {
            place: read_place(reader)?,
        },
        kind::HAS_MAPS => PeerMessage::HasMaps {
            handle: read_handle(reader)?,
            ordinals: read_ordinals(reader, 0)?,
            digest: read_u32(reader)?,
        },
        kind::REQUEST => PeerMessage::Request {
            request: read_request(reader)?,
            handle: read_handle(reader)?,
            ordinal: reader.varint()?,
            id: SegmentId::new(reader.array()?),
            blocks: read_block_range(reader, 0)?,
            deadline_after: read_duration(reader)?,
        },
        kind::CANCEL => PeerMessage::Cancel {
            request: read_request(reader)?,
        },
        kind::REJECT => PeerMessage::Reject {
            request: read_request(reader)?,
            reason: reject_reason(reader.varint()?),
        },
        kind::BLOCK => PeerMessage::Block {
            request: read_request(reader)?,
            block: reader.narrow("block")?,
            payload: Payload(reader.payload()),
        },
        kind::MAP_REQUEST => PeerMessage::MapRequest {
            handle: read_handle(reader)?,
            ordinal: reader.varint()?,
            id: SegmentId::new(reader.array()?),
        },
        kind::MAP => PeerMessage::Map {
            place: read_place(reader)?,
            payload: Payload(reader.payload()),
        },
        _ => return Ok(None),
    }))
}

fn put_hello(out: &mut Writer, hello: &Hello) {
    out.bytes(&MAGIC);
    out.varint(hello.min_version.into());
    out.varint(hello.max_version.into());
    let witness_bit = u64::from(hello.witness.is_some()) * FEATURE_WITNESS;
    out.varint(hello.features | witness_bit);
    out.varint(hello.max_message_len);
    out.bytes(hello.peer.as_bytes());
    out.bytes(hello.swarm.as_bytes());
    out.byte(class_code(hello.class));
    out.varint(hello.proof.len() as u64);
    out.bytes(&hello.proof);
    out.varint(hello.tracks.len() as u64);
    for track in &hello.tracks {
        out.varint(track.handle.0.into());
        out.bytes(track.id.as_bytes());
        out.byte(role_code(track.role));
    }
    if let Some(witness) = &hello.witness {
        out.bytes(witness.as_bytes());
    }
}

/// In a hello: the sender's witness key follows the tracks.
const FEATURE_WITNESS: u64 = 1;

fn read_hello(reader: &mut Reader) -> Result<Hello, DecodeError> {
    let magic = reader.array()?;
    if magic != MAGIC {
        return Err(DecodeError::Magic { magic });
    }
    let (min, max) = (reader.narrow("version")?, reader.narrow("version")?);
    // What follows may be laid out differently in a version that we do not speak.
    if !(min..=max).contains(&PROTOCOL_VERSION) {
        return Err(DecodeError::Version { min, max });
    }
    let mut hello = Hello {
        min_version: min,
        max_version: max,
        features: reader.varint()?,
        max_message_len: reader.varint()?,
        peer: PeerId::new(reader.array()?),
        swarm: SwarmId::new(reader.array()?),
        class: upload_class(reader.byte()?)?,
        proof: {
            let len = read_count(reader, "proof length", MAX_PROOF_LEN)?;
            reader.bytes(len)?
        },
        tracks: {
            let count = read_count(reader, "track count", MAX_TRACKS)?;
            (0..count)
                .map(|_| {
                    Ok(HelloTrack {
                        handle: read_handle(reader)?,
                        id: TrackId::new(reader.array()?),
                        role: role(reader.byte()?)?,
                    })
                })
                .collect::<Result<_, DecodeError>>()?
        },
        witness: None,
    };
    // Before this bit had a meaning nothing followed it.
    if hello.features & FEATURE_WITNESS != 0 {
        hello.witness = reader.array().ok().map(WitnessKey::new);
    }
    Ok(hello)
}

fn put_bitfield(out: &mut Writer, handle: Handle, ranges: &[(OrdinalRange, u32)]) {
    out.varint(handle.0.into());
    out.varint(ranges.len() as u64);
    let mut end = 0;
    for (ordinals, digest) in ranges {
        out.varint(ordinals.start - end);
        out.varint(ordinals.len());
        out.bytes(&digest.to_be_bytes());
        end = ordinals.end;
    }
}

fn read_bitfield(reader: &mut Reader) -> Result<PeerMessage, DecodeError> {
    let handle = read_handle(reader)?;
    let count = read_count(reader, "range count", MAX_RANGES)?;
    let mut end = 0;
    let mut ranges = Vec::new();
    for _ in 0..count {
        let ordinals = read_ordinals(reader, end)?;
        ranges.push((ordinals, read_u32(reader)?));
        end = ordinals.end;
    }
    Ok(PeerMessage::Bitfield { handle, ranges })
}

/// Blocks as runs: how many; of each how many blocks are left out before it, and its length.
fn put_blocks(out: &mut Writer, blocks: &BlockSet) {
    out.varint(blocks.ranges().count() as u64);
    let mut end = 0;
    for run in blocks.ranges() {
        out.varint((run.start - end).into());
        out.varint(run.len().into());
        end = run.end;
    }
}

fn read_holds(reader: &mut Reader) -> Result<PeerMessage, DecodeError> {
    let place = read_place(reader)?;
    let segment_len = reader.varint()?;
    if segment_len > MAX_SEGMENT_LEN {
        return Err(DecodeError::out_of_range("segment length", segment_len));
    }
    let count = read_count(reader, "range count", MAX_RANGES)?;
    let mut end = 0;
    let mut blocks = BlockSet::new();
    for index in 0..count {
        let run = read_block_range(reader, end)?;
        // Before the set grows: its memory follows its highest block.
        if run.is_empty() || run.end > block_count(segment_len) {
            return Err(DecodeError::out_of_range("block", run.end.into()));
        }
        if index > 0 && run.start == end {
            return Err(DecodeError::out_of_range("gap between runs", 0));
        }
        blocks.insert_range(run);
        end = run.end;
    }
    Ok(PeerMessage::Holds {
        place,
        segment_len,
        blocks,
    })
}

fn put_place(out: &mut Writer, place: Place) {
    out.varint(place.handle.0.into());
    out.varint(place.ordinal);
    out.bytes(&place.tag.to_be_bytes());
}

fn read_place(reader: &mut Reader) -> Result<Place, DecodeError> {
    Ok(Place {
        handle: read_handle(reader)?,
        ordinal: reader.varint()?,
        tag: read_u32(reader)?,
    })
}

fn put_segment(out: &mut Writer, handle: Handle, ordinal: u64, id: &SegmentId) {
    out.varint(handle.0.into());
    out.varint(ordinal);
    out.bytes(id.as_bytes());
}

fn put_ordinals(out: &mut Writer, handle: Handle, ordinals: OrdinalRange) {
    out.varint(handle.0.into());
    out.varint(ordinals.start);
    out.varint(ordinals.len());
}

/// A range `gap` segments after `after`. Neither sum overflows: `after` is at most 2^62 and both
/// numbers are below it.
fn read_ordinals(reader: &mut Reader, after: u64) -> Result<OrdinalRange, DecodeError> {
    let start = after + reader.varint()?;
    let end = start + reader.varint()?;
    if end > MAX_ORDINAL_END {
        return Err(DecodeError::out_of_range("ordinal", end));
    }
    Ok(OrdinalRange::new(start, end))
}

fn read_block_range(reader: &mut Reader, after: u32) -> Result<BlockRange, DecodeError> {
    let gap: u32 = reader.narrow("block")?;
    let len: u32 = reader.narrow("block count")?;
    let start = after.saturating_add(gap);
    Ok(BlockRange::new(start, start.saturating_add(len)))
}

fn put_duration(out: &mut Writer, duration: Duration) {
    let millis = duration.min(MAX_DURATION).as_millis();
    out.varint(u64::try_from(millis).expect("MAX_DURATION in milliseconds fits"));
}

fn read_duration(reader: &mut Reader) -> Result<Duration, DecodeError> {
    Ok(Duration::from_millis(reader.varint()?).min(MAX_DURATION))
}

fn read_handle(reader: &mut Reader) -> Result<Handle, DecodeError> {
    reader.narrow("handle").map(Handle)
}

fn read_request(reader: &mut Reader) -> Result<RequestId, DecodeError> {
    reader.narrow("request").map(RequestId)
}

fn read_u32(reader: &mut Reader) -> Result<u32, DecodeError> {
    reader.array().map(u32::from_be_bytes)
}

fn read_count(reader: &mut Reader, field: &'static str, most: usize) -> Result<usize, DecodeError> {
    let count = reader.varint()?;
    usize::try_from(count)
        .ok()
        .filter(|count| *count <= most)
        .ok_or(DecodeError::out_of_range(field, count))
}

/// What a hello starts with after its type byte: "p2pc".
const MAGIC: [u8; 4] = *b"p2pc";

/// One past the largest ordinal that a varint holds.
const MAX_ORDINAL_END: u64 = 1 << 62;
