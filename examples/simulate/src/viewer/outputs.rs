//! Carries out what the session wants.

use p2pcdn::{
    FetchRequest, SessionEvent, SessionInput, SessionOutput,
    scheduler::FetchId,
    wire::{Instant, LinkId, SegmentRef},
};

use super::{
    ViewerStore,
    http::{self, Path, Purpose},
    life::Life,
};
use crate::{
    actor::Outbox,
    event::{Resource, What},
    goodput,
};

impl<S: ViewerStore> Life<S> {
    /// Carries out everything that the session wants by now.
    pub(super) fn drain(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(output) = self.next_output() {
            self.carry_out(output, now, out);
        }
    }

    fn carry_out(&mut self, output: SessionOutput, now: Instant, out: &mut Outbox) {
        match output {
            SessionOutput::Fetch { fetch, request } => self.fetch(fetch, &request, now, out),
            SessionOutput::CancelFetch { fetch } => {
                if let Some(request) = self.requests.of_fetch(fetch) {
                    self.requests.end(request);
                    self.to_edge(What::Cancelled { request }, now, out);
                }
            }
            SessionOutput::FetchSidecar { segment, .. } => {
                let Some(key) = self.key_of(segment) else {
                    return;
                };
                let resource = Resource::Map {
                    track: key.track,
                    ordinal: key.ordinal,
                };
                self.request(Purpose::Sidecar(segment), resource, false, now, out);
            }
            SessionOutput::RenewAuthorisation { segment, request } => {
                self.renew(segment, &request, now, out);
            }
            SessionOutput::Send {
                link,
                channel,
                message,
            } => self.send(link, channel, message, now, out),
            SessionOutput::CloseLink { link } => self.close_link(link, now, out),
            SessionOutput::JoinSwarm => self.join_swarm(now),
            SessionOutput::LeaveSwarm => self.leave_swarm(now, out),
            SessionOutput::ReloadManifest { .. } => self.polling.news(now),
            SessionOutput::Event(event) => {
                if let SessionEvent::SegmentCompleted { segment } = event {
                    self.segment_completed(segment, now);
                }
            }
        }
    }

    fn fetch(&mut self, fetch: FetchId, request: &FetchRequest, now: Instant, out: &mut Outbox) {
        let Some(resource) = self.resource(request) else {
            // What no server has.
            let head = p2pcdn::ResponseHead {
                status: 404,
                ..p2pcdn::ResponseHead::default()
            };
            let ttfb = std::time::Duration::ZERO;
            self.tell(SessionInput::FetchAnswered { fetch, head, ttfb }, now);
            return;
        };
        let is_partial = request.range.is_some();
        self.fetching(resource);
        self.request(Purpose::Fetch(fetch), resource, is_partial, now, out);
    }

    fn renew(
        &mut self,
        segment: SegmentRef,
        request: &FetchRequest,
        now: Instant,
        out: &mut Outbox,
    ) {
        match self.resource(request) {
            Some(resource) => {
                self.request(Purpose::Renewal(segment), resource, true, now, out);
            }
            None => {
                let status = None;
                self.tell(SessionInput::RenewalAnswered { segment, status }, now);
            }
        }
    }

    fn resource(&self, request: &FetchRequest) -> Option<Resource> {
        let key = self.shared.media.segment_of(&request.url)?;
        let segment_len = self.shared.media.segment_len(key.track, key.ordinal);
        let (start, end) = http::range(request.range, segment_len);
        Some(Resource::Segment {
            track: key.track,
            ordinal: key.ordinal,
            start,
            end,
        })
    }

    fn close_link(&mut self, link: LinkId, now: Instant, out: &mut Outbox) {
        let removed = self.links.remove(link);
        if let Some(other) = removed.and_then(|it| it.stage.other()) {
            self.say_closed(other, now, out);
        }
        self.tell(SessionInput::LinkClosed { link }, now);
    }

    pub(super) fn http_path(&self) -> Path {
        let scenario = &self.shared.scenario;
        let round_trip = self.shared.population.edge_delay(self.seat()) * 2;
        Path {
            draws: self.shared.draws,
            person: self.own,
            rate_cap: goodput::tcp_rate_cap(round_trip, scenario.http_loss),
        }
    }
}
