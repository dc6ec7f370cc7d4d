//! Which actor is in which shard.

use crate::event::ActorId;

/// Viewers in shards of one size, in order; then the edges and the tracker, likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    viewers: u32,
    actors: u32,
    viewers_each: u32,
    services_each: u32,
    viewer_shards: u32,
    service_shards: u32,
}

impl Layout {
    /// The last `services` of `actors` are not viewers.
    pub(super) fn new(actors: u32, services: u32, threads: usize) -> Self {
        let services = services.min(actors);
        let viewers = actors - services;
        let threads = u32::try_from(threads).unwrap_or(1).clamp(1, 64);
        let (viewer_shards, service_shards) = if threads == 1 && viewers <= MOST_OF_A_SHARD {
            // One of all, so that nothing has to be handed from shard to shard.
            (1, 0)
        } else {
            let apart = viewers
                .div_ceil(MOST_OF_A_SHARD)
                .max(threads * SHARDS_OF_A_THREAD);
            (apart.min(viewers).max(1), services.min(threads))
        };
        let (viewers, services) = if service_shards == 0 {
            (actors, 0)
        } else {
            (viewers, services)
        };
        let viewers_each = viewers.div_ceil(viewer_shards).max(1);
        let services_each = services.div_ceil(service_shards.max(1)).max(1);
        Self {
            viewers,
            actors,
            viewers_each,
            services_each,
            viewer_shards: viewers.div_ceil(viewers_each).max(1),
            service_shards: services.div_ceil(services_each),
        }
    }

    pub(super) fn shard_count(self) -> usize {
        (self.viewer_shards + self.service_shards) as usize
    }

    /// # Panics
    ///
    /// When there is no such actor.
    pub(super) fn shard_of(self, actor: ActorId) -> usize {
        assert!(actor < self.actors, "there is no actor {actor}");
        let shard = match actor.checked_sub(self.viewers) {
            None => actor / self.viewers_each,
            Some(service) => self.viewer_shards + service / self.services_each,
        };
        shard as usize
    }

    /// The first actor of a shard.
    pub(super) fn first_of(self, shard: usize) -> ActorId {
        let shard = u32::try_from(shard).unwrap_or(u32::MAX);
        let first = match shard.checked_sub(self.viewer_shards) {
            None => shard.saturating_mul(self.viewers_each).min(self.viewers),
            Some(service) => self
                .viewers
                .saturating_add(service.saturating_mul(self.services_each)),
        };
        first.min(self.actors)
    }
}

/// So that a shard's events of one window stay in the processor's cache.
const MOST_OF_A_SHARD: u32 = 32_768;
/// More shards than threads, because those of viewers who have not arrived have nothing to do.
const SHARDS_OF_A_THREAD: u32 = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_actor_is_in_exactly_one_shard(
            actors in 1u32..200_000, services in 0u32..20, threads in 1usize..5,
        ) {
            let layout = Layout::new(actors, services, threads);
            let mut next = 0;
            for shard in 0..layout.shard_count() {
                prop_assert_eq!(layout.first_of(shard), next);
                let end = layout.first_of(shard + 1);
                prop_assert!(end > next);
                prop_assert_eq!(layout.shard_of(next), shard);
                prop_assert_eq!(layout.shard_of(end - 1), shard);
                next = end;
            }
            prop_assert_eq!(next, actors);
        }
    }

    #[test]
    fn a_small_world_on_one_thread_is_one_shard() {
        assert_eq!(Layout::new(1_003, 3, 1).shard_count(), 1);
    }
}
