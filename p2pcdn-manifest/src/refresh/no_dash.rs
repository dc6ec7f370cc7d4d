//! In place of the state of a DASH presentation, without the feature `dash`: there is none.

use std::sync::Arc;

use bytes::Bytes;
use p2pcdn_wire::{ByteRange, Instant, TrackId, UnixTime};

use super::{Config, Event, Schedule};
use crate::{error::ParseError, presentation::Presentation};

#[derive(Debug)]
pub(super) enum DashState {}

pub(super) fn is_mpd(_body: &[u8]) -> bool {
    false
}

impl DashState {
    pub(super) fn new(
        _presentation: Presentation,
        _schedule: Schedule,
        _final_url: &str,
        _body: &Bytes,
        _config: &Config,
        _now: Instant,
    ) -> Result<(Self, Vec<Event>), ParseError> {
        Err(ParseError::UnknownKind)
    }

    pub(super) fn presentation(&self) -> &Presentation {
        match *self {}
    }

    pub(super) fn activate(&mut self, _track: TrackId, _now: Instant) {
        match *self {}
    }

    pub(super) fn deactivate(&mut self, _track: TrackId) {
        match *self {}
    }

    pub(super) fn news(&mut self, _track: TrackId, _now: Instant) {
        match *self {}
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        match *self {}
    }

    pub(super) fn proceed(&mut self, _now: Instant, _clock: Option<UnixTime>) -> bool {
        match *self {}
    }

    pub(super) fn take_events(&mut self) -> Vec<Event> {
        match *self {}
    }

    pub(super) fn start_loads(&mut self, _now: Instant) -> Vec<(Arc<str>, Option<ByteRange>)> {
        match *self {}
    }

    pub(super) fn load(
        &mut self,
        _asked: (&str, Option<ByteRange>),
        _final_url: &str,
        _body: &Bytes,
        _config: &Config,
        _now: Instant,
    ) -> Result<Vec<Event>, ParseError> {
        match *self {}
    }

    pub(super) fn failed(
        &mut self,
        _asked: (&str, Option<ByteRange>),
        _now: Instant,
    ) -> Option<(Arc<str>, u32)> {
        match *self {}
    }
}
