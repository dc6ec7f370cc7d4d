//! The tracks that the peer has joined, by its numbers, and which of ours they are.

use crate::{
    id::{TrackId, TrackIndex},
    message::{Handle, HelloTrack},
    say::{Role, Said},
};

use super::interface::Violation;

#[derive(Clone, Debug, Default)]
pub(super) struct PeerTracks(Vec<PeerTrack>);

#[derive(Clone, Copy, Debug)]
struct PeerTrack {
    theirs: HelloTrack,
    /// Our number, if we have joined it too.
    ours: Option<TrackIndex>,
}

impl PeerTracks {
    /// Takes the list of a hello; returns what it changes for us, tracks left before tracks joined.
    pub(super) fn replace(
        &mut self,
        tracks: &[HelloTrack],
        number: impl Fn(TrackId) -> Option<TrackIndex>,
    ) -> Result<Vec<Said>, Violation> {
        for track in tracks {
            let reassigned = |joined: &PeerTrack| {
                joined.theirs.handle == track.handle && joined.theirs.id != track.id
            };
            if self.0.iter().any(reassigned) {
                return Err(Violation::HandleReassigned(track.handle));
            }
        }
        let before = std::mem::take(&mut self.0);
        self.0 = tracks
            .iter()
            .map(|&theirs| PeerTrack {
                theirs,
                ours: number(theirs.id),
            })
            .collect();
        let left = before
            .iter()
            .filter_map(|old| old.ours)
            .filter(|&track| !self.has(track))
            .map(|track| Said::Left { track });
        let joined = self.0.iter().filter_map(|new| {
            let role = new.theirs.role;
            let known = before
                .iter()
                .any(|old| old.theirs.id == new.theirs.id && old.theirs.role == role);
            let track = new.ours.filter(|_| !known)?;
            Some(Said::Joined { track, role })
        });
        Ok(left.chain(joined).collect())
    }

    /// Notes that we joined a track; returns the peer's role in it if it is there.
    pub(super) fn join(&mut self, track: TrackIndex, id: TrackId) -> Option<Role> {
        let joined = self.0.iter_mut().find(|joined| joined.theirs.id == id)?;
        joined.ours = Some(track);
        Some(joined.theirs.role)
    }

    /// Notes that we left a track.
    pub(super) fn leave(&mut self, track: TrackIndex) {
        for joined in &mut self.0 {
            joined.ours = joined.ours.filter(|ours| *ours != track);
        }
    }

    /// Our number of the track with this handle; `None` when we are not in it.
    pub(super) fn ours(&self, handle: Handle) -> Result<Option<TrackIndex>, Violation> {
        self.0
            .iter()
            .find(|joined| joined.theirs.handle == handle)
            .map(|joined| joined.ours)
            .ok_or(Violation::UnknownHandle(handle))
    }

    /// Whether both sides are in the track.
    pub(super) fn has(&self, track: TrackIndex) -> bool {
        self.0.iter().any(|joined| joined.ours == Some(track))
    }
}
