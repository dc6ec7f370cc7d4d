//! Events that wait for their window: a calendar queue (Brown, CACM 1988).

use std::collections::BTreeMap;

use super::clock::Clock;
use crate::event::{ActorId, Event, What};

/// An event in the bucket of its window.
#[derive(Debug)]
pub(super) struct Entry {
    /// Nanoseconds after the start of the window.
    pub(super) offset: u32,
    pub(super) to: ActorId,
    pub(super) from: ActorId,
    pub(super) serial: u32,
    /// `None` once it was taken out.
    pub(super) what: Option<What>,
}

/// The events of a window in the order in which they came, in pieces of one size: such pieces are
/// used again for whatever window needs one, so that memory follows the number of pending events
/// and not what each bucket once held.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    pieces: Vec<Vec<Entry>>,
}

/// The events of one shard that are still to come.
///
/// A ring with a bucket for each window of the near future, and coarse buckets of [`HALF`] windows
/// for what is later; of these the next is spread over the ring when the present enters the second
/// half of what the ring covers.
#[derive(Debug)]
pub(super) struct Wheel {
    clock: Clock,
    /// All events before this window have been taken out.
    current: u64,
    ring: Vec<Bucket>,
    /// A bit for each bucket of the ring that is not empty.
    occupied: [u64; RING / 64],
    far: BTreeMap<u64, Vec<Event>>,
    spare: Vec<Vec<Entry>>,
    len: usize,
}

impl Wheel {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            current: 0,
            ring: (0..RING).map(|_| Bucket::default()).collect(),
            occupied: [0; RING / 64],
            far: BTreeMap::new(),
            spare: Vec::new(),
            len: 0,
        }
    }

    /// Keeps an event that is not in a window which has been taken out.
    pub(super) fn push(&mut self, event: Event) {
        self.len += 1;
        let (window, offset) = self.clock.place(event.at);
        debug_assert!(window >= self.current, "an event of a window that is over");
        if window / HALF > self.current / HALF + 1 {
            self.far.entry(window / HALF).or_default().push(event);
        } else {
            self.push_near(window, offset, event);
        }
    }

    fn push_near(&mut self, window: u64, offset: u32, event: Event) {
        let slot = slot(window);
        let pieces = &mut self.ring[slot].pieces;
        if pieces.last().is_none_or(|piece| piece.len() == PIECE) {
            let piece = self.spare.pop();
            pieces.push(piece.unwrap_or_else(|| Vec::with_capacity(PIECE)));
            self.occupied[slot / 64] |= 1 << (slot % 64);
        }
        pieces.last_mut().expect("pushed above").push(Entry {
            offset,
            to: event.to,
            from: event.from,
            serial: event.serial,
            what: Some(event.what),
        });
    }

    /// The first window that has an event.
    pub(super) fn next(&self) -> Option<u64> {
        self.next_near().or_else(|| {
            let (_, events) = self.far.first_key_value()?;
            let windows = events.iter().map(|event| self.clock.place(event.at).0);
            windows.min()
        })
    }

    fn next_near(&self) -> Option<u64> {
        let first = slot(self.current);
        // The word of the first slot is looked at twice: from that slot on, and up to it at last.
        for step in 0..=self.occupied.len() {
            let word = (first / 64 + step) % self.occupied.len();
            let mask = match step {
                0 => u64::MAX << (first % 64),
                _ if word == first / 64 => !(u64::MAX << (first % 64)),
                _ => u64::MAX,
            };
            let bits = self.occupied[word] & mask;
            if bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (slot + RING - first) % RING;
                return Some(self.current + ahead as u64);
            }
        }
        None
    }

    /// Moves on to `window`, before which nothing is left.
    pub(super) fn advance(&mut self, window: u64) {
        debug_assert!(self.next().is_none_or(|next| next >= window));
        self.current = self.current.max(window);
        let last_near = self.current / HALF + 1;
        while let Some(entry) = self.far.first_entry() {
            if *entry.key() > last_near {
                break;
            }
            for event in entry.remove() {
                let (window, offset) = self.clock.place(event.at);
                self.push_near(window, offset, event);
            }
        }
    }

    /// Takes out the events of the window that it was moved on to.
    pub(super) fn take(&mut self) -> Bucket {
        let slot = slot(self.current);
        self.occupied[slot / 64] &= !(1 << (slot % 64));
        let bucket = std::mem::take(&mut self.ring[slot]);
        self.len -= bucket.len();
        self.current += 1;
        self.advance(self.current);
        bucket
    }

    /// Takes back the pieces of a bucket.
    pub(super) fn recycle(&mut self, bucket: Bucket) {
        for mut piece in bucket.pieces {
            piece.clear();
            self.spare.push(piece);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Events in the window that comes next, at `window`.
    pub(super) fn len_of(&self, window: u64) -> usize {
        self.ring[slot(window)].len()
    }

    /// Bytes that pending events occupy, spare room included.
    pub(super) fn heap_len(&self) -> usize {
        let rings = self.ring.iter().flat_map(|bucket| &bucket.pieces);
        let pieces = rings.chain(&self.spare).map(Vec::capacity).sum::<usize>();
        let far = self.far.values().map(Vec::capacity).sum::<usize>();
        pieces * size_of::<Entry>() + far * size_of::<Event>()
    }
}

impl Bucket {
    pub(super) fn len(&self) -> usize {
        let full = self.pieces.len().saturating_sub(1) * PIECE;
        full + self.pieces.last().map_or(0, Vec::len)
    }

    /// Its events with their places, for `take`.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u32, &Entry)> {
        (0..).zip(self.pieces.iter().flatten())
    }

    /// What happens in the event of this place; `None` the second time.
    pub(super) fn take(&mut self, place: u32) -> Option<What> {
        let place = place as usize;
        self.pieces[place / PIECE][place % PIECE].what.take()
    }
}

fn slot(window: u64) -> usize {
    (window % RING as u64) as usize
}

/// Buckets of the ring: 4 s of windows of 4 ms, which is where nearly all events lie.
const RING: usize = 1024;
const HALF: u64 = RING as u64 / 2;
/// Events of a piece: 3 KiB, little enough for hundreds of sparse buckets.
const PIECE: usize = 32;

const _: () = assert!(size_of::<Entry>() <= 96);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use p2pcdn::wire::Instant;
    use proptest::prelude::*;

    use super::*;
    use crate::event::Timer;

    fn event(nanos: u64, serial: u32) -> Event {
        Event {
            at: Instant::from_epoch(Duration::from_nanos(nanos)),
            to: 0,
            from: 0,
            serial,
            what: What::Timer(Timer::Poll),
        }
    }

    fn drain(wheel: &mut Wheel, window: u64) -> Vec<u32> {
        wheel.advance(window);
        let bucket = wheel.take();
        let serials = bucket.entries().map(|(_, entry)| entry.serial).collect();
        wheel.recycle(bucket);
        serials
    }

    proptest! {
        /// Against a sorted list: windows come in order and with all that was put in.
        #[test]
        fn gives_each_event_in_its_window(
            first in prop::collection::vec(0u64..40_000, 1..200),
            // Each is put in after the window of the first that is still to come.
            later in prop::collection::vec((0u64..3_000, 1u64..5_000), 0..200),
        ) {
            let clock = Clock::new(Duration::from_nanos(10));
            let mut wheel = Wheel::new(clock);
            let mut expected: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
            for (serial, nanos) in (0..).zip(first) {
                wheel.push(event(nanos, serial));
                expected.entry(nanos / 10).or_default().push(serial);
            }
            let mut later = later.into_iter().zip(1_000..);
            while let Some((window, serials)) = expected.pop_first() {
                prop_assert_eq!(wheel.next(), Some(window));
                let mut got = drain(&mut wheel, window);
                got.sort_unstable();
                let mut serials = serials;
                serials.sort_unstable();
                prop_assert_eq!(got, serials);
                if let Some(((ahead, nanos), serial)) = later.next() {
                    let nanos = (window + 1 + ahead) * 10 + nanos % 10;
                    wheel.push(event(nanos, serial));
                    expected.entry(nanos / 10).or_default().push(serial);
                }
            }
            prop_assert_eq!(wheel.next(), None);
            prop_assert_eq!(wheel.len(), 0);
        }
    }

    #[test]
    fn memory_follows_what_is_pending() {
        let mut wheel = Wheel::new(Clock::new(Duration::from_nanos(10)));
        for round in 0..10_000u64 {
            for serial in 0..100 {
                wheel.push(event(round * 10, serial));
            }
            assert_eq!(drain(&mut wheel, round).len(), 100);
        }
        assert!(wheel.heap_len() <= 128 * size_of::<Entry>());
    }
}
