//! The line between the origin and one viewer.

use std::{sync::Mutex, time::Duration};

use tokio::time::{Instant, sleep_until};

/// What the line of a viewer is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Bits per second, shared by all of the viewer's responses; `None` (the default) is
    /// unlimited.
    pub bandwidth: Option<u64>,
    /// Added before each response's first byte; default zero.
    pub latency: Duration,
}

/// The queue at the narrow end of a viewer's line: bytes leave in the order in which they asked.
#[derive(Debug)]
pub(super) struct Bottleneck {
    /// When the last byte accepted so far has passed.
    free_at: Mutex<Instant>,
}

impl Bottleneck {
    pub(super) fn new() -> Self {
        Self {
            free_at: Mutex::new(Instant::now()),
        }
    }

    /// Returns when `len` bytes have passed at `bandwidth` bits per second.
    pub(super) async fn pass(&self, len: usize, bandwidth: Option<u64>) {
        let Some(bandwidth) = bandwidth else { return };
        let passed_at = {
            let mut free_at = self
                .free_at
                .lock()
                .expect("nothing panics while holding it");
            *free_at = passes_at(*free_at, len, bandwidth, Instant::now());
            *free_at
        };
        sleep_until(passed_at).await;
    }
}

fn passes_at(free_at: Instant, len: usize, bandwidth: u64, now: Instant) -> Instant {
    let micros = (len as u64).saturating_mul(8_000_000) / bandwidth.max(1);
    free_at.max(now - TIMER_SLACK) + Duration::from_micros(micros)
}

/// How far the queue may lag behind the clock and still catch up. Timers fire up to a millisecond
/// late and later under load; without slack every lateness would lower the rate.
const TIMER_SLACK: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_line_passes_bytes_at_its_bandwidth() {
        let start = Instant::now();
        let mut free_at = start;
        for _ in 0..100 {
            // Each caller comes back 3 ms after its bytes have passed: within the slack.
            free_at = passes_at(
                free_at,
                10_000,
                8_000_000,
                free_at + Duration::from_millis(3),
            );
        }
        assert_eq!(free_at, start + Duration::from_secs(1));
    }

    #[test]
    fn an_idle_line_saves_up_no_more_than_the_slack() {
        let start = Instant::now();
        let later = start + Duration::from_secs(60);
        assert_eq!(
            passes_at(start, 1_000_000, 8_000_000, later),
            later - TIMER_SLACK + Duration::from_secs(1)
        );
    }
}
