//! A viewer against its twin.

use std::{cmp::Reverse, fmt, time::Duration};

use crate::tally::{Tally, Watched};

/// In what a viewer is worse off than its twin, and by how much.
///
/// `None` where it is not worse off by enough to count; see [`compare`].
#[derive(Clone, Debug, PartialEq)]
pub struct Shortfall {
    pub person: u32,
    pub startup: Option<Delay>,
    /// Longer than the twin.
    pub stalled: Option<Duration>,
    /// Mean latency beyond the twin's.
    pub latency: Option<Duration>,
    /// Mean bitrate as a share of the twin's.
    pub bitrate: Option<f64>,
}

/// How much later the first frame came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    By(Duration),
    /// It never came; the twin was on for this long after its own.
    Never(Duration),
}

/// Compares a viewer with its twin; `None` when it is nowhere worse off.
///
/// | worse | from |
/// |---|---|
/// | startup, stall seconds | 50 ms |
/// | mean latency | 100 ms |
/// | mean bitrate | below 99 % |
#[must_use]
pub fn compare(hybrid: &Tally, twin: &Tally) -> Option<Shortfall> {
    let (own, other) = (&hybrid.watched, &twin.watched);
    let shortfall = Shortfall {
        person: hybrid.person,
        startup: later_start(own, other),
        stalled: excess(own.stalled, other.stalled, TIME_TOLERANCE),
        latency: mean_latency(own)
            .zip(mean_latency(other))
            .and_then(|(own, other)| excess(own, other, LATENCY_TOLERANCE)),
        bitrate: mean_bitrate(own)
            .zip(mean_bitrate(other))
            .map(|(own, other)| own / other)
            .filter(|share| *share < BITRATE_SHARE_MIN),
    };
    shortfall.is_any().then_some(shortfall)
}

impl Shortfall {
    fn is_any(&self) -> bool {
        let Self {
            person: _,
            startup,
            stalled,
            latency,
            bitrate,
        } = self;
        startup.is_some() || stalled.is_some() || latency.is_some() || bitrate.is_some()
    }

    /// Sorts those who wait the longest for nothing first; what costs quality alone comes last.
    #[must_use]
    pub fn severity(&self) -> Reverse<Duration> {
        let startup = self.startup.map_or(Duration::ZERO, Delay::duration);
        Reverse(startup + self.stalled.unwrap_or_default() + self.latency.unwrap_or_default())
    }
}

impl Delay {
    fn duration(self) -> Duration {
        match self {
            Self::By(duration) | Self::Never(duration) => duration,
        }
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "viewer {}:", self.person)?;
        let mut mark = "";
        let mut say = |f: &mut fmt::Formatter<'_>, what: fmt::Arguments<'_>| {
            let written = write!(f, "{mark} {what}");
            mark = ",";
            written
        };
        match self.startup {
            Some(Delay::By(late)) => say(f, format_args!("started {} ms later", late.as_millis()))?,
            Some(Delay::Never(late)) => {
                let seconds = late.as_secs_f64();
                say(f, format_args!("not started {seconds:.2} s after the twin"))?;
            }
            None => {}
        }
        if let Some(longer) = self.stalled {
            let seconds = longer.as_secs_f64();
            say(f, format_args!("stalled {seconds:.2} s longer"))?;
        }
        if let Some(behind) = self.latency {
            say(f, format_args!("{} ms more latency", behind.as_millis()))?;
        }
        if let Some(share) = self.bitrate {
            let percent = share * 100.0;
            say(f, format_args!("{percent:.1} % of the bitrate"))?;
        }
        Ok(())
    }
}

/// Mean distance behind live over the time played; `None` when nothing was played.
#[must_use]
pub fn mean_latency(watched: &Watched) -> Option<Duration> {
    let played = watched.played.as_secs_f64();
    // Rounding may bring a latency of nothing below it.
    (played > 0.0).then(|| Duration::from_secs_f64((watched.latency_seconds / played).max(0.0)))
}

/// Mean bits per second of what was played; `None` when nothing was.
#[must_use]
pub fn mean_bitrate(watched: &Watched) -> Option<f64> {
    let played = watched.played.as_secs_f64();
    (played > 0.0).then(|| watched.bits / played)
}

fn later_start(own: &Watched, other: &Watched) -> Option<Delay> {
    let twin = other.startup?;
    match own.startup {
        Some(startup) => excess(startup, twin, TIME_TOLERANCE).map(Delay::By),
        // A viewer whom the end met while it was starting is late by what its twin did since: too
        // little to count may be all.
        None => {
            let since = other.played + other.stalled;
            (since >= TIME_TOLERANCE).then_some(Delay::Never(since))
        }
    }
}

/// What `own` has beyond `other`, if it is `tolerance` or more.
fn excess(own: Duration, other: Duration, tolerance: Duration) -> Option<Duration> {
    own.checked_sub(other).filter(|more| *more >= tolerance)
}

/// Three frames at 60 Hz: nobody sees less.
const TIME_TOLERANCE: Duration = Duration::from_millis(50);

const LATENCY_TOLERANCE: Duration = Duration::from_millis(100);

const BITRATE_SHARE_MIN: f64 = 0.99;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// 100 s at 3 Mb/s and 6 s behind live, started after 800 ms, 2 s of stalls.
    fn viewer() -> Tally {
        Tally {
            person: 17,
            watched: Watched {
                startup: Some(800 * MS),
                stalls: 1,
                stalled: 2_000 * MS,
                played: 100_000 * MS,
                latency_seconds: 600.0,
                bits: 300e6,
                ..Watched::default()
            },
            ..Tally::default()
        }
    }

    fn with(change: impl FnOnce(&mut Watched)) -> Option<Shortfall> {
        let mut hybrid = viewer();
        change(&mut hybrid.watched);
        compare(&hybrid, &viewer())
    }

    #[test]
    fn the_same_is_not_worse_and_better_is_not_worse() {
        assert_eq!(with(|_| ()), None);
        let better = with(|own| {
            own.startup = Some(MS);
            own.stalled = Duration::ZERO;
            own.latency_seconds = 400.0;
            own.bits = 400e6;
        });
        assert_eq!(better, None);
    }

    #[test]
    fn fifty_milliseconds_of_startup_or_stall_are_worse() {
        assert_eq!(with(|own| own.startup = Some(849 * MS)), None);
        let late = with(|own| own.startup = Some(850 * MS)).unwrap();
        assert_eq!(late.startup, Some(Delay::By(50 * MS)));
        assert_eq!(
            (late.stalled, late.latency, late.bitrate),
            (None, None, None)
        );
        assert_eq!(with(|own| own.stalled = 2_049 * MS), None);
        let stalled = with(|own| own.stalled = 2_050 * MS).unwrap();
        assert_eq!(stalled.stalled, Some(50 * MS));
    }

    #[test]
    fn a_tenth_of_a_second_of_mean_latency_is_worse() {
        // Over 100 s played, 9.9 s x s are 99 ms.
        assert_eq!(with(|own| own.latency_seconds = 609.9), None);
        let behind = with(|own| own.latency_seconds = 612.5).unwrap();
        assert_eq!(behind.latency, Some(125 * MS));
    }

    #[test]
    fn less_than_99_percent_of_the_bitrate_is_worse() {
        assert_eq!(with(|own| own.bits = 297.1e6), None);
        let low = with(|own| own.bits = 270e6).unwrap();
        assert_eq!(low.bitrate, Some(0.9));
    }

    #[test]
    fn who_never_starts_is_late_by_what_the_twin_saw() {
        let never = with(|own| *own = Watched::default()).unwrap();
        assert_eq!(never.startup, Some(Delay::Never(102_000 * MS)));
        let mut twin = viewer();
        (twin.watched.played, twin.watched.stalled) = (49 * MS, Duration::ZERO);
        let unseen = Tally::default();
        assert_eq!(compare(&unseen, &twin), None);
        twin.watched.startup = None;
        assert_eq!(compare(&unseen, &twin), None);
        let mut started = viewer();
        started.watched.stalled = Duration::ZERO;
        assert_eq!(compare(&started, &unseen), None);
    }

    #[test]
    fn a_shortfall_says_in_what_and_by_how_much() {
        let all = with(|own| {
            own.startup = Some(1_000 * MS);
            own.stalled = 2_500 * MS;
            own.latency_seconds = 650.0;
            own.bits = 150e6;
        });
        assert_eq!(
            all.unwrap().to_string(),
            "viewer 17: started 200 ms later, stalled 0.50 s longer, 500 ms more latency, \
             50.0 % of the bitrate"
        );
        let never = with(|own| *own = Watched::default()).unwrap();
        assert_eq!(
            never.to_string(),
            "viewer 17: not started 102.00 s after the twin"
        );
    }

    #[test]
    fn the_longest_wait_sorts_first() {
        let mild = with(|own| own.startup = Some(900 * MS)).unwrap();
        let bad = with(|own| own.stalled = 3_000 * MS).unwrap();
        assert!(bad.severity() < mild.severity());
    }
}
