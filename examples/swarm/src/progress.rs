//! A progress bar on standard error for what takes a known time.

use std::{future::Future, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, interval, sleep_until};

/// Runs `work`, which begins at `start` and takes about `total`, under a bar called `name`.
pub async fn with_progress<T>(
    name: &'static str,
    start: Instant,
    total: Duration,
    work: impl Future<Output = T>,
) -> T {
    let bar = ProgressBar::new(total.as_secs());
    let style = ProgressStyle::with_template("{msg:<12} [{wide_bar}] {pos:>4} / {len} s");
    bar.set_style(style.expect("the template is a constant that works"));
    bar.set_message(name);
    let move_on = async {
        sleep_until(start).await;
        let mut seconds = interval(Duration::from_millis(250));
        loop {
            seconds.tick().await;
            bar.set_position(start.elapsed().min(total).as_secs());
        }
    };
    let done = tokio::select! {
        done = work => done,
        never = move_on => never,
    };
    bar.finish();
    done
}
