//! What a session is told, in the form that a trace keeps it in.

use std::time::Duration;

use bytes::Bytes;
use p2pcdn::{
    Network, ResponseHead, SessionInput,
    scheduler::{FetchId, MediaSpan, Playback, PlaybackState, Policy, Switch},
    transport::HttpError,
    wire::{
        BitRate, Channel, LinkId, MediaTime, Role, SegmentRef, TrackId, TrackIndex, UploadClass,
    },
};
use serde::{Deserialize, Serialize};

use super::line::{Data, duration_nanos};

/// [`SessionInput`]; times in nanoseconds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    PresentationUpdated {
        published: u64,
    },
    TrackRoleChanged {
        track: Data,
        watching: bool,
    },
    TrackWanted {
        track: Data,
        from: i64,
        until: i64,
    },
    PlaybackChanged {
        position: i64,
        state: State,
        buffer_target: u64,
        latency: Option<u64>,
    },
    PolicyChanged {
        peer_transfer: bool,
        upload: bool,
        upload_limit: Option<u64>,
        upload_weight: u32,
    },
    ManifestAnswered {
        status: u16,
        ttfb: u64,
        len: u64,
    },
    UnsharedReceived {
        len: u64,
    },
    LinkOpened {
        link: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        network: Option<u64>,
    },
    LinkReceived {
        link: u64,
        channel: u16,
        message: Data,
    },
    LinkWritable {
        link: u64,
        credit: u64,
    },
    LinkClosed {
        link: u64,
    },
    FetchAnswered {
        fetch: u64,
        head: Head,
        ttfb: u64,
    },
    FetchReceived {
        fetch: u64,
        bytes: Data,
    },
    FetchEnded {
        fetch: u64,
        error: Option<String>,
    },
    MapSigned {
        segment: Segment,
        encoded: Data,
    },
    SidecarAnswered {
        segment: Segment,
        encoded: Option<Data>,
    },
    RenewalAnswered {
        segment: Segment,
        status: Option<u16>,
    },
    SwarmCounted {
        viewers: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Starting,
    Playing,
    Stalled,
    Paused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segment {
    track: u16,
    ordinal: u64,
    tag: u32,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_length: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_range: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_control: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    date: Option<String>,
}

impl Told {
    pub(super) fn of(input: &SessionInput, published: u64) -> Self {
        match input {
            SessionInput::PresentationUpdated(_) => Self::PresentationUpdated { published },
            SessionInput::TrackRoleChanged { track, role } => Self::TrackRoleChanged {
                track: Data::of(track.as_bytes()),
                watching: *role == Role::Watching,
            },
            SessionInput::TrackWanted { track, span } => Self::TrackWanted {
                track: Data::of(track.as_bytes()),
                from: span.from.as_nanos(),
                until: span.until.as_nanos(),
            },
            SessionInput::PlaybackChanged { playback, latency } => {
                Self::playback(playback, *latency)
            }
            SessionInput::PolicyChanged(policy) => Self::policy(policy),
            SessionInput::ManifestAnswered { status, ttfb, len } => Self::ManifestAnswered {
                status: *status,
                ttfb: duration_nanos(*ttfb),
                len: *len,
            },
            SessionInput::UnsharedReceived { len } => Self::UnsharedReceived { len: *len },
            SessionInput::LinkOpened { link, network } => Self::LinkOpened {
                link: link.0,
                network: network.map(Network::number),
            },
            SessionInput::LinkReceived {
                link,
                channel,
                message,
            } => Self::LinkReceived {
                link: link.0,
                channel: channel.id(),
                message: Data::of(&message.clone().into_bytes()),
            },
            SessionInput::LinkWritable { link, credit } => Self::LinkWritable {
                link: link.0,
                credit: *credit,
            },
            SessionInput::LinkClosed { link } => Self::LinkClosed { link: link.0 },
            SessionInput::FetchAnswered { fetch, head, ttfb } => Self::FetchAnswered {
                fetch: fetch.0,
                head: Head::of(head),
                ttfb: duration_nanos(*ttfb),
            },
            SessionInput::FetchReceived { fetch, bytes } => Self::FetchReceived {
                fetch: fetch.0,
                bytes: Data::of(bytes),
            },
            SessionInput::FetchEnded { fetch, result } => Self::FetchEnded {
                fetch: fetch.0,
                error: result.err().map(|error| format!("{error:?}")),
            },
            SessionInput::MapSigned { segment, encoded } => Self::MapSigned {
                segment: Segment::of(*segment),
                encoded: Data::of(encoded),
            },
            SessionInput::SidecarAnswered { segment, encoded } => Self::SidecarAnswered {
                segment: Segment::of(*segment),
                encoded: encoded.as_deref().map(Data::of),
            },
            SessionInput::RenewalAnswered { segment, status } => Self::RenewalAnswered {
                segment: Segment::of(*segment),
                status: *status,
            },
            SessionInput::SwarmCounted { viewers } => Self::SwarmCounted { viewers: *viewers },
        }
    }

    fn playback(playback: &Playback, latency: Option<Duration>) -> Self {
        Self::PlaybackChanged {
            position: playback.position.as_nanos(),
            state: match playback.state {
                PlaybackState::Starting => State::Starting,
                PlaybackState::Playing => State::Playing,
                PlaybackState::Stalled => State::Stalled,
                PlaybackState::Paused => State::Paused,
            },
            buffer_target: duration_nanos(playback.buffer_target),
            latency: latency.map(duration_nanos),
        }
    }

    fn policy(policy: &Policy) -> Self {
        Self::PolicyChanged {
            peer_transfer: policy.peer_transfer.is_on(),
            upload: policy.upload.is_on(),
            upload_limit: policy.upload_limit.map(BitRate::as_bps),
            upload_weight: policy.upload_class.weight(),
        }
    }

    /// The input, but for the presentation, which is not in the trace.
    pub(super) fn into_input(self) -> Result<SessionInput, String> {
        Ok(match self {
            Self::PresentationUpdated { .. } => Err("a presentation is not in the trace")?,
            Self::TrackRoleChanged { track, watching } => SessionInput::TrackRoleChanged {
                track: track_id(track)?,
                role: if watching {
                    Role::Watching
                } else {
                    Role::Holding
                },
            },
            Self::TrackWanted { track, from, until } => SessionInput::TrackWanted {
                track: track_id(track)?,
                span: MediaSpan {
                    from: MediaTime::from_nanos(from),
                    until: MediaTime::from_nanos(until),
                },
            },
            Self::PlaybackChanged {
                position,
                state,
                buffer_target,
                latency,
            } => SessionInput::PlaybackChanged {
                playback: Playback {
                    position: MediaTime::from_nanos(position),
                    state: state.into_state(),
                    buffer_target: Duration::from_nanos(buffer_target),
                },
                latency: latency.map(Duration::from_nanos),
            },
            Self::PolicyChanged {
                peer_transfer,
                upload,
                upload_limit,
                upload_weight,
            } => SessionInput::PolicyChanged(Policy {
                peer_transfer: switch(peer_transfer),
                upload: switch(upload),
                upload_limit: upload_limit.map(BitRate::from_bps),
                upload_class: upload_class(upload_weight)?,
            }),
            Self::ManifestAnswered { status, ttfb, len } => SessionInput::ManifestAnswered {
                status,
                ttfb: Duration::from_nanos(ttfb),
                len,
            },
            Self::UnsharedReceived { len } => SessionInput::UnsharedReceived { len },
            Self::MapSigned { segment, encoded } => SessionInput::MapSigned {
                segment: segment.into_ref(),
                encoded: encoded.into_bytes()?,
            },
            Self::SidecarAnswered { segment, encoded } => SessionInput::SidecarAnswered {
                segment: segment.into_ref(),
                encoded: encoded.map(Data::into_bytes).transpose()?,
            },
            Self::RenewalAnswered { segment, status } => SessionInput::RenewalAnswered {
                segment: segment.into_ref(),
                status,
            },
            Self::SwarmCounted { viewers } => SessionInput::SwarmCounted { viewers },
            of_link_or_fetch => of_link_or_fetch.into_transfer()?,
        })
    }

    /// As [`into_input`](Self::into_input), for what is about a link or a fetch.
    fn into_transfer(self) -> Result<SessionInput, String> {
        Ok(match self {
            Self::LinkOpened { link, network } => SessionInput::LinkOpened {
                link: LinkId(link),
                network: network.map(Network::new),
            },
            Self::LinkReceived {
                link,
                channel,
                message,
            } => SessionInput::LinkReceived {
                link: LinkId(link),
                channel: Channel::from_id(channel).ok_or("a channel that no link has")?,
                message: message.into_bytes()?.into(),
            },
            Self::LinkWritable { link, credit } => SessionInput::LinkWritable {
                link: LinkId(link),
                credit,
            },
            Self::LinkClosed { link } => SessionInput::LinkClosed { link: LinkId(link) },
            Self::FetchAnswered { fetch, head, ttfb } => SessionInput::FetchAnswered {
                fetch: FetchId(fetch),
                head: head.into_head(),
                ttfb: Duration::from_nanos(ttfb),
            },
            Self::FetchReceived { fetch, bytes } => SessionInput::FetchReceived {
                fetch: FetchId(fetch),
                bytes: bytes.into_bytes()?,
            },
            Self::FetchEnded { fetch, error } => SessionInput::FetchEnded {
                fetch: FetchId(fetch),
                result: error.map_or(Ok(Ok(())), |error| http_error(&error).map(Err))?,
            },
            _ => Err("neither about a link nor about a fetch")?,
        })
    }
}

impl State {
    fn into_state(self) -> PlaybackState {
        match self {
            Self::Starting => PlaybackState::Starting,
            Self::Playing => PlaybackState::Playing,
            Self::Stalled => PlaybackState::Stalled,
            Self::Paused => PlaybackState::Paused,
        }
    }
}

impl Segment {
    fn of(segment: SegmentRef) -> Self {
        Self {
            track: segment.track.0,
            ordinal: segment.ordinal,
            tag: segment.tag,
        }
    }

    fn into_ref(self) -> SegmentRef {
        SegmentRef {
            track: TrackIndex(self.track),
            ordinal: self.ordinal,
            tag: self.tag,
        }
    }
}

impl Head {
    fn of(head: &ResponseHead) -> Self {
        let head = head.clone();
        Self {
            status: head.status,
            content_length: head.content_length,
            content_range: head.content_range,
            content_type: head.content_type,
            content_encoding: head.content_encoding,
            cache_control: head.cache_control,
            etag: head.etag,
            last_modified: head.last_modified,
            date: head.date,
        }
    }

    fn into_head(self) -> ResponseHead {
        ResponseHead {
            status: self.status,
            content_length: self.content_length,
            content_range: self.content_range,
            content_type: self.content_type,
            content_encoding: self.content_encoding,
            cache_control: self.cache_control,
            etag: self.etag,
            last_modified: self.last_modified,
            date: self.date,
        }
    }
}

fn track_id(data: Data) -> Result<TrackId, String> {
    let bytes: Bytes = data.into_bytes()?;
    let id = bytes[..].try_into().map(TrackId::new);
    id.map_err(|_| format!("a track's id of {} bytes", bytes.len()))
}

fn switch(is_on: bool) -> Switch {
    if is_on { Switch::On } else { Switch::Off }
}

fn upload_class(weight: u32) -> Result<UploadClass, String> {
    const CLASSES: [UploadClass; 4] = [
        UploadClass::None,
        UploadClass::Low,
        UploadClass::Normal,
        UploadClass::High,
    ];
    let class = CLASSES.into_iter().find(|class| class.weight() == weight);
    class.ok_or_else(|| format!("no upload class weighs {weight}"))
}

fn http_error(name: &str) -> Result<HttpError, String> {
    const ERRORS: [HttpError; 7] = [
        HttpError::InvalidRequest,
        HttpError::Connect,
        HttpError::Timeout,
        HttpError::Tls,
        HttpError::Redirect,
        HttpError::Reset,
        HttpError::Protocol,
    ];
    let error = ERRORS
        .into_iter()
        .find(|error| format!("{error:?}") == name);
    error.ok_or_else(|| format!("no HTTP error is called {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> Vec<SessionInput> {
        let (link, fetch) = (LinkId(7), FetchId(9));
        let segment = SegmentRef {
            track: TrackIndex(1),
            ordinal: 3,
            tag: 5,
        };
        let bytes = Bytes::from_static(b"\x00\xff some bytes");
        let head = ResponseHead {
            status: 206,
            content_length: Some(10),
            etag: Some("\"a\"".to_owned()),
            ..ResponseHead::default()
        };
        let ttfb = Duration::from_millis(40);
        let mut inputs = vec![
            SessionInput::TrackRoleChanged {
                track: TrackId::new([3; 16]),
                role: Role::Holding,
            },
            SessionInput::TrackWanted {
                track: TrackId::new([3; 16]),
                span: MediaSpan {
                    from: MediaTime::from_nanos(-5),
                    ..MediaSpan::ALL
                },
            },
            SessionInput::PlaybackChanged {
                playback: Playback {
                    position: MediaTime::from_nanos(-5),
                    state: PlaybackState::Paused,
                    buffer_target: Duration::from_nanos(1),
                },
                latency: Some(Duration::from_nanos(6_000_000_001)),
            },
            SessionInput::PolicyChanged(Policy {
                peer_transfer: Switch::On,
                upload: Switch::Off,
                upload_limit: Some(BitRate::from_bps(3)),
                upload_class: UploadClass::High,
            }),
            SessionInput::ManifestAnswered {
                status: 404,
                ttfb,
                len: 1,
            },
            SessionInput::UnsharedReceived { len: u64::MAX },
            SessionInput::LinkOpened {
                link,
                network: Some(Network::new(9)),
            },
            SessionInput::LinkReceived {
                link,
                channel: Channel::Data,
                message: bytes.clone().into(),
            },
            SessionInput::LinkWritable { link, credit: 5 },
            SessionInput::LinkClosed { link },
            SessionInput::FetchAnswered { fetch, head, ttfb },
            SessionInput::FetchReceived {
                fetch,
                bytes: bytes.clone(),
            },
            SessionInput::FetchEnded {
                fetch,
                result: Ok(()),
            },
            SessionInput::MapSigned {
                segment,
                encoded: bytes.clone(),
            },
            SessionInput::SidecarAnswered {
                segment,
                encoded: Some(bytes),
            },
            SessionInput::SidecarAnswered {
                segment,
                encoded: None,
            },
            SessionInput::RenewalAnswered {
                segment,
                status: Some(401),
            },
            SessionInput::SwarmCounted { viewers: 440_000 },
        ];
        let errors = [
            HttpError::InvalidRequest,
            HttpError::Connect,
            HttpError::Timeout,
            HttpError::Tls,
            HttpError::Redirect,
            HttpError::Reset,
            HttpError::Protocol,
        ];
        let ended = |error| SessionInput::FetchEnded {
            fetch,
            result: Err(error),
        };
        inputs.extend(errors.into_iter().map(ended));
        inputs
    }

    #[test]
    fn every_input_but_a_presentation_comes_back_from_its_line() {
        for input in inputs() {
            let json = serde_json::to_string(&Told::of(&input, 0)).unwrap();
            let told: Told = serde_json::from_str(&json).unwrap();
            let back = told.into_input().unwrap();
            assert_eq!(format!("{back:?}"), format!("{input:?}"), "{json}");
        }
    }
}
