//! What is taken from a peer's session description, and what is not.

use std::net::IpAddr;

use crate::peer::{CloseReason, Sdp};

/// Prepares a remote description for the stack.
///
/// Candidates with a name instead of an address (browsers hide host addresses behind `.local`
/// names) and those of other protocols than UDP are left out: the peer's own checks make it known
/// if we are reachable. So are all candidates beyond [`MAX_CANDIDATES`], because each makes us send
/// datagrams to an address of the peer's choice.
///
/// # Errors
///
/// When the description asks for anything but data channels, or is too long.
pub(super) fn sanitise(sdp: &Sdp) -> Result<String, CloseReason> {
    if sdp.as_str().len() > MAX_DESCRIPTION_LEN {
        return Err(CloseReason::BadDescription);
    }
    let mut clean = String::with_capacity(sdp.as_str().len());
    let mut media_count = 0;
    let mut candidate_count = 0;
    for line in sdp.as_str().lines().map(str::trim_end) {
        if let Some(media) = line.strip_prefix("m=") {
            media_count += 1;
            if !media.starts_with("application ") || media_count > 1 {
                return Err(CloseReason::BadDescription);
            }
        }
        if let Some(candidate) = line.strip_prefix("a=candidate:") {
            if candidate_count == MAX_CANDIDATES || !is_usable(candidate) {
                continue;
            }
            candidate_count += 1;
        }
        if line.is_empty() {
            continue;
        }
        clean.push_str(line);
        clean.push_str("\r\n");
    }
    if media_count == 0 {
        return Err(CloseReason::BadDescription);
    }
    Ok(clean)
}

/// Whether a candidate (RFC 8839 section 5.1) is one of UDP with an address.
fn is_usable(candidate: &str) -> bool {
    let mut fields = candidate.split_ascii_whitespace().skip(2);
    let is_udp = fields
        .next()
        .is_some_and(|proto| proto.eq_ignore_ascii_case("udp"));
    let address = fields
        .nth(1)
        .and_then(|address| address.parse::<IpAddr>().ok());
    is_udp && address.is_some()
}

/// What browsers with every interface and a few relays gather, and a bound on the strangers a
/// description can make us send checks to.
pub(super) const MAX_CANDIDATES: usize = 16;

/// Descriptions of data channels are one to three kilobytes long.
pub(super) const MAX_DESCRIPTION_LEN: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";

    fn clean(text: String) -> Result<String, CloseReason> {
        sanitise(&Sdp::new(text))
    }

    #[test]
    fn keeps_udp_candidates_with_an_address() {
        let usable = "a=candidate:1 1 UDP 2113 192.0.2.1 5000 typ host\r\n";
        let v6 = "a=candidate:1 1 udp 2113 2001:db8::1 5000 typ host generation 0\r\n";
        let named = "a=candidate:1 1 udp 2113 7c5e-44.local 5000 typ host\r\n";
        let tcp = "a=candidate:1 1 tcp 1518 192.0.2.1 9 typ host tcptype active\r\n";
        let garbage = "a=candidate:\r\na=candidate:1 1 udp\r\n";
        assert_eq!(
            clean(format!("{HEAD}{named}{usable}{tcp}{garbage}{v6}")).unwrap(),
            format!("{HEAD}{usable}{v6}")
        );
    }

    #[test]
    fn leaves_out_candidates_beyond_the_cap() {
        let candidates: String = (0..=MAX_CANDIDATES)
            .map(|index| format!("a=candidate:1 1 udp 2113 192.0.2.{index} 5000 typ host\r\n"))
            .collect();
        let kept = clean(format!("{HEAD}{candidates}")).unwrap();
        assert_eq!(kept.matches("a=candidate").count(), MAX_CANDIDATES);
        assert!(!kept.contains(&format!("192.0.2.{MAX_CANDIDATES} ")));
    }

    #[test]
    fn refuses_anything_but_one_set_of_data_channels() {
        let refused = Err(CloseReason::BadDescription);
        assert_eq!(
            clean(format!("{HEAD}m=video 9 UDP/TLS/RTP/SAVPF 96\r\n")),
            refused
        );
        assert_eq!(clean(format!("{HEAD}{HEAD}")), refused);
        assert_eq!(clean("v=0\r\n".to_owned()), refused);
        assert_eq!(clean(String::new()), refused);
        let padding = MAX_DESCRIPTION_LEN - HEAD.len();
        let longest = format!("{HEAD}{}", "x".repeat(padding));
        assert!(clean(longest.clone()).is_ok());
        assert_eq!(clean(longest + "x"), refused);
    }
}
