//! A progress bar on standard error; none where nobody looks.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::world::{Progress, WorldKind};

/// Shows how far the virtual clock is in the one world and then in the other.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    each: Duration,
}

impl Bar {
    /// For a run of `each` virtual time in each world. Hidden when standard error is not a terminal.
    #[must_use]
    pub fn new(each: Duration) -> Self {
        let bar = ProgressBar::new((each * 2).as_secs());
        let style = ProgressStyle::with_template(
            "{msg:<10} [{wide_bar}] {pos:>4} / {len} virtual s, {elapsed} gone, {eta} left",
        );
        bar.set_style(style.expect("the template is a constant that works"));
        Self { bar, each }
    }

    /// The run is this far.
    pub fn reach(&self, progress: Progress) {
        let (name, before) = match progress.world {
            WorldKind::Hybrid => ("with peers", Duration::ZERO),
            WorldKind::Twin => ("HTTP alone", self.each),
        };
        self.bar.set_message(name);
        self.bar.set_position((before + progress.done).as_secs());
    }

    /// Takes the bar away.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}
