//! A world: one stream and its viewers, who join one after the other.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    clock::WallClock,
    player::{Choice, Player, PlayerConfig},
    record::ViewerRecord,
    source::{Source, SourceError},
    truth::Truth,
};

/// How viewers come to the stream: over HTTP alone, or with the help of peers.
#[async_trait]
pub trait World: Send + Sync {
    /// Lets the viewer called `name` in; it is counted as joined when this is called.
    async fn join(&self, name: &str) -> Result<Arc<dyn Source>, SourceError>;
}

/// Who watches for how long.
#[derive(Clone, Debug)]
pub struct Audience {
    /// How many viewers; default 6.
    pub viewers: usize,
    /// Time between two arrivals; default 1 s.
    pub join_interval: Duration,
    /// How long all of them watch, counted from the last arrival; default 45 s.
    pub duration: Duration,
    /// When the first one arrives; default now.
    pub first_join_at: Instant,
    /// How each chooses its rendition; default the highest.
    pub choice: Choice,
    /// The clock of the dates in the playlist; default started now.
    pub wall: WallClock,
    /// What is right; default the shipped media.
    pub truth: Arc<Truth>,
}

impl Default for Audience {
    fn default() -> Self {
        Self {
            viewers: 6,
            join_interval: Duration::from_secs(1),
            duration: Duration::from_secs(45),
            first_join_at: Instant::now(),
            choice: Choice::Top,
            wall: WallClock::start(),
            truth: Arc::new(Truth::Shipped),
        }
    }
}

impl Audience {
    /// From the first arrival to the end.
    #[must_use]
    pub fn total_duration(&self) -> Duration {
        self.joins_after(self.viewers.saturating_sub(1)) + self.duration
    }

    /// Lets everybody watch in `world` and gives their accounts in order of arrival.
    ///
    /// # Errors
    ///
    /// When somebody was not let in.
    pub async fn watch(&self, world: Arc<dyn World>) -> Result<Vec<ViewerRecord>, SourceError> {
        let until = self.first_join_at + self.total_duration();
        let mut visits = JoinSet::new();
        for viewer in 0..self.viewers {
            let config = PlayerConfig {
                name: viewer_name(viewer),
                choice: self.choice,
                wall: self.wall,
                truth: self.truth.clone(),
            };
            let joined = self.first_join_at + self.joins_after(viewer);
            let world = world.clone();
            visits.spawn(async move {
                sleep_until(joined).await;
                let source = world.join(&config.name).await?;
                let record = Player::new(source, config).play(joined, until).await;
                Ok((viewer, record))
            });
        }
        let mut records = Vec::new();
        while let Some(visit) = visits.join_next().await {
            records.push(visit.expect("a visit neither panics nor is aborted")?);
        }
        records.sort_by_key(|(viewer, _)| *viewer);
        Ok(records.into_iter().map(|(_, record)| record).collect())
    }

    fn joins_after(&self, viewer: usize) -> Duration {
        self.join_interval * u32::try_from(viewer).unwrap_or(u32::MAX)
    }
}

/// What the viewer with this number is called at the origin.
fn viewer_name(viewer: usize) -> String {
    format!("viewer-{viewer}")
}
