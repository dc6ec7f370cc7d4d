//! How links come to be: offers, answers, and the stack's settings.

use std::{collections::VecDeque, sync::Arc};

use p2pcdn_wire::{Fingerprint, LinkId, MAX_MESSAGE_LEN};
use str0m::{
    Candidate, IceCreds, Rtc, RtcConfig,
    change::{SdpAnswer, SdpApi, SdpOffer, SdpPendingOffer},
    channel::{ChannelConfig, ChannelId, Reliability},
    crypto::from_feature_flags,
};
use tracing::debug;

use super::{
    WebRtc, WebRtcConfig,
    config::MIN_SEND_BUFFER_LEN,
    description::sanitise,
    link::{Link, State},
    pacer::Pacer,
};
use crate::peer::{ChannelPlan, ChannelSpec, CloseReason, Delivery, PeerEvent, Sdp};

/// The stack's settings for every link, and the digest of the certificate in them.
pub(super) fn stack(config: &WebRtcConfig) -> (RtcConfig, Fingerprint) {
    let provider = from_feature_flags();
    let certificate = provider
        .dtls_provider
        .generate_certificate()
        .expect("a certificate needs nothing but randomness");
    let digest = provider.sha256_provider.sha256(&certificate.certificate);
    let max_message_len =
        u32::try_from(MAX_MESSAGE_LEN + 1).expect("a message is far shorter than 4 GiB");
    let mut stack = RtcConfig::new()
        .clear_codecs()
        .set_crypto_provider(Arc::new(provider))
        .set_dtls_cert(certificate)
        .set_sctp_max_buffered_amount(send_buffer_len(config))
        .set_sctp_max_message_size(max_message_len)
        .set_stats_interval(Some(config.keepalive_interval));
    stack.set_max_stun_rto(config.keepalive_interval);
    (stack, Fingerprint::new(digest))
}

impl WebRtc {
    pub(super) fn offer(&mut self, id: LinkId, plan: ChannelPlan) {
        self.set_up(id, |endpoint| {
            let mut rtc = endpoint.build(plan)?;
            let mut changes = rtc.sdp_api();
            let channels = add_channels(&mut changes, plan);
            let (offer, pending) = changes.apply().ok_or(CloseReason::Failed)?;
            let state = State::Offered {
                pending,
                until: endpoint.now + endpoint.config.offer_timeout,
            };
            endpoint.add(id, rtc, channels, state);
            Ok(offer.to_sdp_string())
        });
    }

    pub(super) fn accept(&mut self, id: LinkId, plan: ChannelPlan, offer: &Sdp) {
        self.set_up(id, |endpoint| {
            let offer = SdpOffer::from_sdp_string(&sanitise(offer)?).map_err(unusable)?;
            let mut rtc = endpoint.build(plan)?;
            let answer = rtc.sdp_api().accept_offer(offer).map_err(unusable)?;
            let mut changes = rtc.sdp_api();
            let channels = add_channels(&mut changes, plan);
            if changes.apply().is_some() {
                // The offer had no channels, so that ours would need another one.
                return Err(CloseReason::BadDescription);
            }
            let state = endpoint.opening();
            endpoint.add(id, rtc, channels, state);
            Ok(answer.to_sdp_string())
        });
        self.drive(id);
    }

    pub(super) fn complete(&mut self, id: LinkId, answer: &Sdp) {
        let opening = self.opening();
        let Some(link) = self.links.get_mut(&id).filter(|link| link.is_offered()) else {
            return;
        };
        let State::Offered { pending, .. } = std::mem::replace(&mut link.state, opening) else {
            return;
        };
        match accept_answer(&mut link.rtc, pending, answer) {
            Ok(()) => self.drive(id),
            Err(reason) => self.end(id, Some(reason)),
        }
    }

    /// Makes a link and describes it, if there is room for one.
    fn set_up(&mut self, id: LinkId, make: impl FnOnce(&mut Self) -> Result<String, CloseReason>) {
        if self.links.contains_key(&id) {
            return;
        }
        let unopened_count = self.links.values().filter(|link| !link.is_open()).count();
        let is_full = self.links.len() >= self.config.max_links
            || unopened_count >= self.config.max_unopened_links;
        let described = if is_full {
            Err(CloseReason::TooManyLinks)
        } else {
            make(self)
        };
        match described {
            Ok(text) => {
                let event = PeerEvent::Described(id, Sdp::new(text));
                self.events.push_back(event);
                self.arrange(id);
            }
            Err(reason) => {
                debug!(link = %id, %reason, "link not made");
                self.events.push_back(PeerEvent::Closed(id, reason));
            }
        }
    }

    fn build(&self, plan: ChannelPlan) -> Result<Rtc, CloseReason> {
        if plan.control.stream_id == plan.data.stream_id {
            return Err(CloseReason::BadDescription);
        }
        let credentials = std::iter::repeat_with(IceCreds::new)
            .find(|credentials| !self.demux.knows_name(&credentials.ufrag))
            .ok_or(CloseReason::Failed)?;
        let mut rtc = self
            .stack
            .clone()
            .set_local_ice_credentials(credentials)
            .build(self.clock.to_std(self.now));
        for address in &self.config.candidates {
            match Candidate::host(*address, "udp") {
                Ok(candidate) => {
                    rtc.add_local_candidate(candidate);
                }
                Err(error) => debug!(%error, "unusable local address"),
            }
        }
        Ok(rtc)
    }

    fn opening(&self) -> State {
        State::Opening {
            until: self.now + self.config.setup_timeout,
            early: Vec::new(),
        }
    }

    fn add(
        &mut self,
        id: LinkId,
        mut rtc: Rtc,
        (control, data): (ChannelId, ChannelId),
        state: State,
    ) {
        let name = rtc.direct_api().local_ice_credentials().ufrag;
        self.demux.add_name(name.clone(), id);
        let link = Link {
            id,
            rtc,
            state,
            name,
            control,
            data,
            pacer: Pacer::new(self.config.pacing_floor, self.now),
            outbox: VecDeque::new(),
            send_buffer_len: send_buffer_len(&self.config),
            alarm: None,
            wake_at: None,
            is_in_line: false,
            is_dirty: false,
        };
        self.links.insert(id, Box::new(link));
    }
}

fn accept_answer(rtc: &mut Rtc, pending: SdpPendingOffer, answer: &Sdp) -> Result<(), CloseReason> {
    let answer = SdpAnswer::from_sdp_string(&sanitise(answer)?).map_err(unusable)?;
    rtc.sdp_api()
        .accept_answer(pending, answer)
        .map_err(unusable)
}

fn add_channels(changes: &mut SdpApi<'_>, plan: ChannelPlan) -> (ChannelId, ChannelId) {
    let mut add = |spec: ChannelSpec| {
        changes.add_channel_with_config(ChannelConfig {
            label: spec.label.to_owned(),
            ordered: spec.delivery == Delivery::Ordered,
            reliability: Reliability::Reliable,
            negotiated: Some(spec.stream_id),
            protocol: String::new(),
        })
    };
    (add(plan.control), add(plan.data))
}

fn send_buffer_len(config: &WebRtcConfig) -> usize {
    config.send_buffer_len.max(MIN_SEND_BUFFER_LEN)
}

fn unusable(error: impl std::fmt::Display) -> CloseReason {
    debug!(%error, "unusable session description");
    CloseReason::BadDescription
}
