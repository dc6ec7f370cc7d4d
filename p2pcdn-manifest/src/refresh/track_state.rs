//! What is known of one HLS track that its readers need not know.

use std::sync::Arc;

use p2pcdn_wire::{Instant, TrackId};
use tracing::info;

use super::{
    DeliveryDirectives, Event,
    directives::Directives,
    schedule::{Outcome, Schedule},
    warned,
};
use crate::{
    error::{ParseError, Warning},
    hls::MediaPlaylist,
    segments::Segments,
    timeline::Continuity,
};

/// What is known of a track that its readers need not know.
#[derive(Debug)]
pub(super) struct TrackState {
    /// The URL of its playlist had the manifest not been redirected.
    pub(super) first_url: Arc<str>,
    pub(super) active: bool,
    pub(super) schedule: Schedule,
    /// The hash of the last body that was used, and where it came from.
    pub(super) body: Option<blake3::Hash>,
    warnings: Vec<Warning>,
    /// Whether the last body was passed over because its numbers are lower.
    pub(super) suspect: bool,
    /// Whether it was said that its names are unstable.
    unstable: bool,
    /// How many segments the playlist has dropped without counting them, and so far named by path
    /// alone if any.
    pub(super) uncounted: u64,
    /// What the next load may ask for beside the playlist.
    pub(super) directives: Directives,
    /// What the load under way, or the last one, asked for.
    pub(super) asked: Arc<str>,
    /// How many delta updates in a row left out what is not known.
    unusable_deltas: u32,
}

/// Who loaded a playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loader {
    /// This machine asked for it.
    Refresh,
    /// The player did, by itself.
    Player,
}

impl TrackState {
    pub(super) fn new(first_url: Arc<str>) -> Self {
        Self {
            first_url,
            active: false,
            schedule: Schedule::default(),
            body: None,
            warnings: Vec::new(),
            suspect: false,
            unstable: false,
            uncounted: 0,
            directives: Directives::default(),
            asked: Arc::default(),
            unusable_deltas: 0,
        }
    }

    /// Who loaded what is at `url`.
    pub(super) fn loader(&self, url: &str) -> Loader {
        match *self.asked == *url {
            true => Loader::Refresh,
            false => Loader::Player,
        }
    }

    /// Takes the outcome of a load, and counts failures in a row. While another load is under way,
    /// that one is waited for.
    pub(super) fn finish(&mut self, loader: Loader, outcome: Outcome, now: Instant) -> u32 {
        if loader == Loader::Player && self.schedule.is_loading() {
            return self.schedule.failures();
        }
        let goes_on = !matches!(outcome, Outcome::Ended | Outcome::Failed);
        if self.active && goes_on && self.schedule.is_idle() {
            // It had ended, and the player saw it go on.
            self.schedule.request(now);
        }
        self.schedule.finish(outcome, now)
    }

    /// The whole list that a delta update means.
    pub(super) fn merged(
        &mut self,
        media: MediaPlaylist,
        old: Option<&Segments>,
        loader: Loader,
    ) -> Result<MediaPlaylist, ParseError> {
        if loader == Loader::Refresh {
            // In case that what is left out is not known: then the whole list is asked for.
            self.directives = self.directives.without_skip();
        }
        let known = old.filter(|_| self.uncounted == 0);
        let date_ranges = known.map_or(&[][..], |known| &known.date_ranges);
        let listed = known.and_then(|known| known.rows.listed());
        let merged = media.merged(listed.map(|it| &**it), date_ranges);
        self.unusable_deltas = match (&merged, loader) {
            (Ok(_), _) => 0,
            (Err(_), Loader::Refresh) => self.unusable_deltas.saturating_add(1),
            (Err(_), Loader::Player) => self.unusable_deltas,
        };
        merged
    }

    /// What the next load may ask for, given what the last one offered.
    pub(super) fn take_directives(&mut self, offered: Directives, wanted: DeliveryDirectives) {
        let takes_deltas = self.uncounted == 0 && self.unusable_deltas < MAX_UNUSABLE_DELTAS;
        self.directives = match wanted {
            DeliveryDirectives::Offered if takes_deltas => offered,
            DeliveryDirectives::Offered => offered.without_skip(),
            DeliveryDirectives::Never => Directives::default(),
        };
    }

    /// The event about a playlist that does not simply go on.
    pub(super) fn take_continuity(
        &mut self,
        track: TrackId,
        continuity: Option<Continuity>,
    ) -> Option<Event> {
        match continuity? {
            Continuity::Restarted(_) => {
                info!(%track, "the numbering of a track began anew");
                Some(Event::EncoderRestarted { track })
            }
            Continuity::Slid(moved) => {
                let first = self.uncounted == 0;
                self.uncounted = self.uncounted.saturating_add(moved);
                first.then_some(Event::NumbersUnstable { track })
            }
            Continuity::Renamed if !self.unstable => {
                self.unstable = true;
                Some(Event::NamesUnstable { track })
            }
            _ => None,
        }
    }

    /// The event about new warnings, if they are not those of the last time. Line numbers move
    /// with the window, so only kinds count.
    pub(super) fn take_warnings(&mut self, url: &Arc<str>, warnings: Vec<Warning>) -> Vec<Event> {
        let kinds = |warnings: &[Warning]| {
            let kinds = warnings.iter().map(|warning| warning.kind);
            kinds.collect::<std::collections::BTreeSet<_>>()
        };
        if kinds(&self.warnings).is_superset(&kinds(&warnings)) {
            return Vec::new();
        }
        self.warnings.clone_from(&warnings);
        warned(url, warnings).into_iter().collect()
    }
}

/// Delta updates in a row that may leave out what is not known before no more are asked for: one
/// after a long sleep is common, and each costs a load.
const MAX_UNUSABLE_DELTAS: u32 = 3;
