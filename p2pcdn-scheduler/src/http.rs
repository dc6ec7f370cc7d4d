//! When HTTP is used, for which bytes, and why.

use std::time::Duration;

use p2pcdn_metrics::HttpReason;
use p2pcdn_wire::{
    BLOCK_LEN, BlockRange, BlockSet, ByteRange, Instant, SegmentRef, TrackIndex, UploadClass,
    block_count,
};

use crate::{
    io::{Event, FetchFailure, FetchId, Growth, Output, PlaybackState},
    scheduler::{Scheduler, earliest},
    segment::{Duty, Retry, Segment, Track},
};

/// Attempts that may run at once: browsers allow six connections to a host, of which the player
/// needs one for its manifest and one for what is never shared.
const MAX_FETCHES: usize = 4;

/// The most that a viewer's jitter moves its rescue points earlier, so that a late segment does
/// not make all viewers ask the origin in the same instant.
const RESCUE_JITTER: Duration = Duration::from_millis(300);

/// How long an attempt may bring nothing before peers are asked for what it lacks: many times the
/// distance of two reads on the slowest line that plays anything, and a fraction of the buffer of
/// a live viewer.
const SILENCE: Duration = Duration::from_secs(1);

/// Blocks that are fetched although they are there or come anyway, so that one request does for
/// two ranges: on a line of 5 Mb/s they take as long as a time to first byte.
const MAX_GAP: u32 = 4;

/// One HTTP attempt under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fetch {
    pub(crate) id: FetchId,
    pub(crate) segment: SegmentRef,
    /// Bytes of the segment; ends at `u64::MAX` when the length was not known.
    pub(crate) range: ByteRange,
    /// Up to where bytes have come.
    pub(crate) cursor: u64,
    /// When the response head came.
    pub(crate) answered_at: Option<Instant>,
    /// Whether what it brings would else come too late.
    pub(crate) is_urgent: bool,
    /// When something last came of it, or when it began.
    pub(crate) heard_at: Instant,
}

impl Fetch {
    /// The blocks that it will still complete.
    pub(crate) fn covers(&self, segment_len: u64) -> BlockSet {
        let end = self.range.end.min(segment_len);
        if self.cursor >= end {
            return BlockSet::new();
        }
        let block = |offset: u64| u32::try_from(offset / BLOCK_LEN).unwrap_or(u32::MAX);
        BlockSet::from_range(BlockRange::new(block(self.cursor), block_count(end)))
    }
}

/// One segment as the HTTP planner sees it.
#[derive(Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) name: SegmentRef,
    /// Until the playhead reaches it.
    slack: Duration,
    /// Bytes that have to come before it, were all to come over HTTP.
    ahead: u64,
    /// Whether everything before it is there.
    is_next: bool,
}

/// Where a walk over the candidates of one track is.
struct HttpQueue {
    /// The track's place among the tracks.
    place: usize,
    /// The place of the next segment to look at.
    next: usize,
    ahead: u64,
    is_next: bool,
}

/// Whether a segment comes too late unless HTTP brings it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Danger {
    Absent,
    Present,
}

/// Whether any segment comes too late unless HTTP begins now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pressure {
    Absent,
    Present,
}

impl Scheduler {
    pub(crate) fn plan_http(&mut self) {
        self.stop_needless_fetches();
        self.pessimistic = self.throughput.pessimistic(self.now);
        self.settle();
        self.wake_for_the_next_segment();
        let mut endangered = Vec::new();
        for place in 0..self.tracks.len() {
            endangered.extend(self.plan_track(place));
        }
        if endangered != self.endangered {
            self.endangered = endangered;
            self.agenda.sources.spoil();
            self.agenda.uploads.spoil();
        }
    }

    /// Starts what has to be started of one track; the segment that is in danger, if one is.
    fn plan_track(&mut self, place: usize) -> Option<SegmentRef> {
        let pressure = self.pressure(place);
        let mut queue = self.http_queue(place);
        while let Some(candidate) = self.next_candidate(&mut queue) {
            if self.consider_http(candidate, pressure) == Danger::Present {
                return Some(candidate.name);
            }
            if self.fetches.len() >= MAX_FETCHES {
                break;
            }
        }
        None
    }

    /// Whether some segment comes too late unless HTTP starts now. The first one that lacks
    /// something is then fetched first, whichever it is: of two deadlines, that of the earlier one
    /// is met by whoever can meet both.
    fn pressure(&mut self, place: usize) -> Pressure {
        let mut queue = self.http_queue(place);
        let mut first: Option<Instant> = None;
        while let Some(candidate) = self.next_candidate(&mut queue) {
            let name = candidate.name;
            let segment = self.track(name.track).and_then(|track| track.get(name));
            let Some(segment) = segment.filter(|it| it.work().retry.not_before <= self.now) else {
                continue;
            };
            let at = self.rescue_at(candidate, self.missing_len(segment));
            first = earliest(first, Some(at));
            if at <= self.now {
                return Pressure::Present;
            }
        }
        first.into_iter().for_each(|at| self.wake_if_playing(at));
        Pressure::Absent
    }

    /// Asks to be woken when time alone brings a segment within the buffer target.
    fn wake_for_the_next_segment(&mut self) {
        let silences = self.fetches.iter().map(|fetch| self.falls_silent_at(fetch));
        if let Some(at) = silences.filter(|at| *at > self.now).min() {
            self.wake(at);
        }
        let horizon = self.clock.horizon(self.now);
        let mut next = None;
        for track in self.tracks.iter().filter(|track| track.is_watched()) {
            let comes = track.first_from(horizon);
            next = earliest(
                next,
                comes.and_then(|start| self.clock.horizon_passes_at(start)),
            );
        }
        next.into_iter().for_each(|at| self.wake(at));
    }

    /// Ends attempts whose remaining bytes have come from peers or are of no more use.
    fn stop_needless_fetches(&mut self) {
        let needless: Vec<_> = self
            .fetches
            .iter()
            .filter(|fetch| !self.is_needed(fetch))
            .map(|fetch| fetch.id)
            .collect();
        for id in needless {
            let Some(fetch) = self.take_fetch(id) else {
                continue;
            };
            self.outputs.push_back(Output::CancelFetch { fetch: id });
            let segment = self
                .track(fetch.segment.track)
                .and_then(|track| track.get(fetch.segment));
            if segment.is_some_and(|segment| !segment.completed) {
                self.withdraw_intent(fetch.segment);
            }
        }
    }

    fn is_needed(&self, fetch: &Fetch) -> bool {
        let Some(segment) = self.wanted_segment(fetch.segment) else {
            return false;
        };
        let Some(len) = segment.len else {
            return true;
        };
        let left = fetch.covers(len);
        // An attempt that has all its bytes ends by itself.
        left.is_empty() || !segment.holds_all(&left)
    }

    /// Whether an attempt still brings what it was started for.
    pub(crate) fn is_alive(&self, fetch: &Fetch) -> bool {
        self.now < self.falls_silent_at(fetch)
    }

    pub(crate) fn falls_silent_at(&self, fetch: &Fetch) -> Instant {
        fetch.heard_at + SILENCE.max(self.ttfb.p99)
    }

    /// The beginning of the queue of a track's candidates; nothing of a track that is not watched
    /// comes from it.
    fn http_queue(&self, place: usize) -> HttpQueue {
        let mut queue = self.own_queue(place);
        for before in self.tracks_before(place) {
            let mut left = self.own_queue(before);
            while self.next_candidate(&mut left).is_some() {}
            queue.ahead = queue.ahead.saturating_add(left.ahead);
            queue.is_next &= left.is_next;
        }
        queue
    }

    /// The same, as if nothing came before it in other tracks.
    fn own_queue(&self, place: usize) -> HttpQueue {
        let watched = self.tracks.get(place).filter(|track| track.is_watched());
        let position = self.clock.position(self.now);
        let first = |track: &Track| track.first_needed(position.max(track.span.from));
        HttpQueue {
            place,
            next: watched.map_or(usize::MAX, first),
            ahead: 0,
            is_next: true,
        }
    }

    /// The watched tracks that the player takes up to where it begins to take this one, or less.
    fn tracks_before(&self, place: usize) -> impl Iterator<Item = usize> + '_ {
        let from = self.tracks.get(place).map(|track| track.span.from);
        let others = self.tracks.iter().enumerate();
        let before = others.filter(move |(other, track)| {
            track.is_watched() && *other != place && from.is_some_and(|it| track.span.until <= it)
        });
        before.map(|(other, _)| other)
    }

    /// The next of the wanted segments of a track that is not complete.
    fn next_candidate(&self, queue: &mut HttpQueue) -> Option<Candidate> {
        let track = self.tracks.get(queue.place)?;
        let horizon = self.clock.horizon(self.now).min(track.span.until);
        let segment = loop {
            let segment = track.segments.get(queue.next)?;
            if segment.start >= horizon {
                return None;
            }
            queue.next += 1;
            if !segment.completed {
                break segment;
            }
        };
        let candidate = Candidate {
            name: segment.name,
            slack: self.clock.time_until(segment.start, self.now),
            ahead: queue.ahead,
            is_next: queue.is_next,
        };
        let missing = track
            .expected_len(segment)
            .saturating_sub(segment.held_len());
        queue.ahead = queue.ahead.saturating_add(missing);
        queue.is_next = false;
        Some(candidate)
    }

    /// Starts what has to be started now. Where there is danger, whatever else the line carried
    /// would only make it come later: two transfers at a time never finish the first one sooner.
    fn consider_http(&mut self, candidate: Candidate, pressure: Pressure) -> Danger {
        let name = candidate.name;
        let Some(segment) = self.track(name.track).and_then(|track| track.get(name)) else {
            return Danger::Absent;
        };
        if segment.work().retry.not_before > self.now {
            let at = segment.work().retry.not_before;
            self.wake(at);
            return Danger::Absent;
        }
        let track_is_idle = self.is_idle(name.track);
        if !segment.is_shared() || self.is_alone(name.track) {
            if track_is_idle {
                let reason = self.reason_without_peers(segment);
                self.fetch_missing(name, reason);
            }
            return Danger::Absent;
        }
        if candidate.is_next && self.is_starving(candidate) {
            let reason = self.reason_to_hurry(segment);
            let part = segment.missing().and_then(|mut missing| {
                let len = segment.len?;
                self.subtract_covered(name, len, &mut missing);
                Some(self.own_part(segment, &missing)?.bytes(len))
            });
            match part {
                Some(part) if !self.is_worked_at(name) && self.fetches.len() < MAX_FETCHES => {
                    self.start_fetch(name, part, reason);
                }
                None if track_is_idle => self.fetch_missing(name, reason),
                _ => {}
            }
            return Danger::Present;
        }
        if self.clock.is_waiting() && !candidate.is_next {
            // Whatever else HTTP carries now delays the first frame.
            return Danger::Absent;
        }
        let rescue_at = self.rescue_at(candidate, self.missing_len(segment));
        if pressure == Pressure::Present {
            // What a later segment needs is about to be in the way of this one.
            let soon = match rescue_at <= self.now {
                true => 0,
                false => self.missing_len(segment),
            };
            self.rescue(candidate, soon);
        }
        if rescue_at <= self.now || self.is_rescued(name) {
            return Danger::Present;
        }
        if !self.has_company(name.track) {
            // Neighbours are expected, and may hold it.
            let until = self.expects_peers_until;
            self.wake(until);
            return Danger::Absent;
        }
        self.stand_for_duty(candidate, rescue_at.saturating_duration_since(self.now));
        Danger::Absent
    }

    /// Whether HTTP brings nothing of a track, nor of what the player takes before it.
    fn is_idle(&self, track: TrackIndex) -> bool {
        let place = self.tracks.iter().position(|own| own.index == track);
        let before = place.into_iter().flat_map(|it| self.tracks_before(it));
        let mut busy = before
            .filter_map(|place| Some(self.tracks.get(place)?.index))
            .chain([track]);
        let is_busy = |index| self.fetches.iter().any(|it| it.segment.track == index);
        !busy.any(is_busy)
    }

    /// Whether HTTP is bringing what was about to come too late.
    fn is_rescued(&self, name: SegmentRef) -> bool {
        let mut fetches = self.fetches.iter();
        fetches.any(|fetch| fetch.segment == name && fetch.is_urgent && self.is_alive(fetch))
    }

    /// Notes when the buffer first reaches its safe level after a start.
    fn settle(&mut self) {
        let is_safe = |place: usize| {
            let next = self.next_candidate(&mut self.http_queue(place));
            next.is_none_or(|next| next.slack >= self.safe_level(next))
        };
        if !self.has_settled && !self.clock.is_waiting() {
            self.has_settled = (0..self.tracks.len()).all(is_safe);
        }
    }

    /// Whether nobody but the origin can help, now or soon.
    fn is_alone(&self, track: TrackIndex) -> bool {
        if !self.policy.peer_transfer.is_on() {
            return true;
        }
        let expects_some = self.expects_peers_until > self.now;
        !self.has_company(track) && (self.clock.is_waiting() || !expects_some)
    }

    /// Whether there is a neighbour that may serve the track.
    fn has_company(&self, track: TrackIndex) -> bool {
        self.neighbours.values().any(|neighbour| {
            neighbour.class != UploadClass::None && neighbour.track(track).is_some()
        })
    }

    /// Whether HTTP starts at once: nothing is shown, or the buffer has not been safe since
    /// something was. Later a low buffer is what peers left open, and the rescue of exactly that is
    /// in time.
    fn is_starving(&self, candidate: Candidate) -> bool {
        let is_filling = !self.has_settled && candidate.slack < self.safe_level(candidate);
        self.clock.is_waiting() || is_filling
    }

    /// The buffer level below which nothing waits for peers: the time to rescue one segment, and
    /// for live no more than half of what the latency leaves, since more would never be there.
    fn safe_level(&self, candidate: Candidate) -> Duration {
        let Some(track) = self.track(candidate.name.track) else {
            return Duration::ZERO;
        };
        let Some(segment) = track.get(candidate.name) else {
            return Duration::ZERO;
        };
        let rescue = self
            .http_time(track.expected_len(segment))
            .saturating_add(self.config.margin);
        match (track.growth, track.newest()) {
            (Growth::Live, Some(newest)) => {
                let latency = self.clock.time_until(newest.end(), self.now);
                rescue.min(latency.saturating_sub(segment.duration) / 2)
            }
            _ => rescue,
        }
    }

    /// How long HTTP takes for this many bytes on a bad day.
    pub(crate) fn http_time(&self, bytes: u64) -> Duration {
        self.ttfb
            .p95
            .saturating_add(self.pessimistic.time_for(bytes))
    }

    /// The last moment at which HTTP can start on `bytes` of a segment and still be in time.
    fn rescue_at(&self, candidate: Candidate, bytes: u64) -> Instant {
        let jitter = RESCUE_JITTER.mul_f64(self.voter.jitter(candidate.name));
        // What neighbours were asked for comes over the same line.
        let outstanding = u64::from(self.outstanding_count()) * BLOCK_LEN;
        let needs = self
            .http_time(bytes.saturating_add(candidate.ahead))
            .saturating_add(self.throughput.estimate().time_for(outstanding))
            .saturating_add(self.config.margin)
            .saturating_add(jitter);
        self.now + candidate.slack.saturating_sub(needs)
    }

    /// The bytes that an attempt has still to bring.
    pub(crate) fn left_of(&self, fetch: &Fetch) -> u64 {
        let segment = self
            .track(fetch.segment.track)
            .and_then(|track| Some((track, track.get(fetch.segment)?)));
        let len = segment.map_or(0, |(track, segment)| track.expected_len(segment));
        fetch.range.end.min(len).saturating_sub(fetch.cursor)
    }

    /// Asks to be woken when the slack is used up; while the playhead stands, none of it is.
    fn wake_if_playing(&mut self, at: Instant) {
        if self.clock.state() == PlaybackState::Playing {
            self.wake(at);
        }
    }

    fn missing_len(&self, segment: &Segment) -> u64 {
        let expected = self
            .track(segment.name.track)
            .map_or(0, |track| track.expected_len(segment));
        match segment.missing() {
            Some(missing) => u64::from(missing.len()) * BLOCK_LEN,
            None => expected,
        }
    }

    fn reason_without_peers(&self, segment: &Segment) -> HttpReason {
        if !segment.is_shared() {
            HttpReason::NotShareable
        } else if self.clock.is_waiting() && !self.has_settled {
            HttpReason::Startup
        } else if !self.policy.peer_transfer.is_on() {
            HttpReason::Policy
        } else {
            HttpReason::NoPeer
        }
    }

    fn reason_to_hurry(&self, segment: &Segment) -> HttpReason {
        if self.has_settled {
            self.reason_to_rescue(segment)
        } else {
            HttpReason::Startup
        }
    }

    fn reason_to_rescue(&self, segment: &Segment) -> HttpReason {
        let name = segment.name;
        let was_promised = self.neighbours.values().any(|neighbour| {
            neighbour
                .track(name.track)
                .is_some_and(|track| track.holds_any(name.ordinal))
                || neighbour.intends_until(name, self.now).is_some()
        });
        if !segment.has_map && (was_promised || segment.duty == Duty::Supported) {
            HttpReason::Integrity
        } else if was_promised {
            HttpReason::Deadline
        } else {
            HttpReason::NoHolder
        }
    }

    /// Fetches everything missing of a segment, front to back. Peers may fill it from its end.
    pub(crate) fn fetch_missing(&mut self, name: SegmentRef, reason: HttpReason) {
        let Some(segment) = self.track(name.track).and_then(|track| track.get(name)) else {
            return;
        };
        let range = match (segment.missing(), segment.len) {
            (Some(missing), Some(len)) => {
                let first = missing.iter().next();
                let last = missing.ranges().last();
                let (Some(first), Some(last)) = (first, last) else {
                    return;
                };
                BlockRange::new(first, last.end).bytes(len)
            }
            _ => ByteRange::new(0, u64::MAX),
        };
        self.start_fetch(name, range, reason);
    }

    /// Fetches exactly what peers are not about to deliver, from the end backwards; and when time
    /// is over even for that, what they are about to deliver as well. HTTP may be about to bring
    /// `soon` bytes of later segments.
    fn rescue(&mut self, candidate: Candidate, soon: u64) {
        let name = candidate.name;
        let Some(segment) = self.track(name.track).and_then(|track| track.get(name)) else {
            return;
        };
        let reason = self.reason_to_rescue(segment);
        let (Some(mut missing), Some(len)) = (segment.missing(), segment.len) else {
            if !self.fetches.iter().any(|fetch| fetch.segment == name) {
                self.fetch_missing(name, reason);
            }
            return;
        };
        self.subtract_covered(name, len, &mut missing);
        let expected = u64::from(segment.work().requested.len()) * BLOCK_LEN;
        // What HTTP already brings for later is in the way.
        let others = self.fetches.iter().filter(|fetch| fetch.segment != name);
        let ahead = others
            .map(|fetch| self.left_of(fetch))
            .sum::<u64>()
            .max(soon);
        let hedge_at = self.rescue_at(Candidate { ahead, ..candidate }, expected);
        if hedge_at > self.now {
            missing.subtract(&segment.work().requested);
        }
        let part = self.own_part(segment, &missing);
        if hedge_at > self.now {
            self.wake_if_playing(hedge_at);
        }
        if let Some(part) = part {
            if !self.is_worked_at(name) && self.fetches.len() < MAX_FETCHES {
                self.start_fetch(name, part.bytes(len), reason);
            }
            return;
        }
        // One is left for an earlier segment, whose blocks from peers may yet fail to come.
        let most = MAX_FETCHES - usize::from(!candidate.is_next);
        let room = most.saturating_sub(self.fetches.len());
        for run in cover(&missing, room).into_iter().rev() {
            self.start_fetch(name, run.bytes(len), reason);
        }
    }

    /// Takes away what HTTP is bringing.
    fn subtract_covered(&self, name: SegmentRef, len: u64, blocks: &mut BlockSet) {
        for fetch in self.fetches.iter().filter(|fetch| fetch.segment == name) {
            blocks.subtract(&fetch.covers(len));
        }
    }

    pub(crate) fn start_fetch(
        &mut self,
        segment: SegmentRef,
        range: ByteRange,
        reason: HttpReason,
    ) {
        let id = FetchId(self.next_fetch);
        self.next_fetch += 1;
        self.agenda.sources.spoil();
        self.fetches.push(Fetch {
            id,
            segment,
            range,
            cursor: range.start,
            answered_at: None,
            is_urgent: matches!(
                reason,
                HttpReason::Deadline | HttpReason::NoHolder | HttpReason::Startup
            ),
            heard_at: self.now,
        });
        self.outputs.push_back(Output::Fetch {
            fetch: id,
            segment,
            range,
            reason,
        });
        tracing::debug!(%segment, %range, reason = reason.as_str(), "fetches over HTTP");
    }

    pub(crate) fn fetch_ended(&mut self, id: FetchId, result: Result<(), FetchFailure>) {
        let Some(fetch) = self.take_fetch(id) else {
            return;
        };
        let now = self.now;
        let name = fetch.segment;
        let Some(segment) = self.track_mut(name.track).and_then(|t| t.get_mut(name)) else {
            return;
        };
        let brought_nothing = fetch.cursor == fetch.range.start && !segment.completed;
        let failure = match result {
            // To ask again at once would be to ask for ever.
            Ok(()) if brought_nothing => FetchFailure::Unusable,
            Ok(()) => {
                segment.work_mut().retry = Retry::default();
                segment.tidy();
                return;
            }
            Err(failure) => failure,
        };
        segment.work_mut().retry.failed(failure, now);
        self.withdraw_intent(name);
        self.set_duty(name, Duty::Unknown);
        self.event(Event::SegmentFailed {
            segment: name,
            failure,
        });
    }

    /// Removes an attempt and learns from its speed.
    fn take_fetch(&mut self, id: FetchId) -> Option<Fetch> {
        let at = self.fetches.iter().position(|fetch| fetch.id == id)?;
        let fetch = self.fetches.swap_remove(at);
        self.agenda.sources.spoil();
        self.agenda.uploads.spoil();
        if let Some(answered_at) = fetch.answered_at {
            let bytes = fetch.cursor - fetch.range.start;
            let took = self.now.saturating_duration_since(answered_at);
            self.throughput.record(bytes, took, self.now);
        }
        Some(fetch)
    }
}

/// At most `most` ranges that cover the blocks over as few others as that allows, since each range
/// is a request with its own time to first byte; only the first ones where they lie far apart.
fn cover(blocks: &BlockSet, most: usize) -> Vec<BlockRange> {
    if most == 0 {
        return Vec::new();
    }
    let mut runs: Vec<_> = blocks.ranges().collect();
    while runs.len() > most {
        let gap = |at: &usize| runs[at + 1].start - runs[*at].end;
        let narrowest = (0..runs.len() - 1).min_by_key(gap);
        let Some(narrowest) = narrowest.filter(|at| gap(at) <= MAX_GAP) else {
            runs.truncate(most);
            break;
        };
        runs[narrowest].end = runs[narrowest + 1].end;
        runs.remove(narrowest + 1);
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_covered_by_few_ranges_across_the_narrowest_gaps() {
        let blocks: BlockSet = [0, 1, 4, 6, 7, 20].into_iter().collect();
        let ranges = |most| {
            let ranges = cover(&blocks, most).into_iter();
            ranges.map(|run| (run.start, run.end)).collect::<Vec<_>>()
        };
        assert_eq!(ranges(4), [(0, 2), (4, 5), (6, 8), (20, 21)]);
        assert_eq!(ranges(3), [(0, 2), (4, 8), (20, 21)]);
        assert_eq!(ranges(2), [(0, 8), (20, 21)]);
        // Eleven blocks nobody needs are too many.
        assert_eq!(ranges(1), [(0, 8)]);
        assert_eq!(ranges(0), []);
    }
}
