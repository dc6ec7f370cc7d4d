//! What loss and distance leave of a path, as formulas of published models.
//!
//! Losses are not played one by one: they show as a ceiling on a TCP flow's rate and on what an
//! SCTP association keeps in flight.

use std::time::Duration;

use p2pcdn::wire::BitRate;

/// The rate above which a TCP connection with this round trip and share of lost segments does not
/// get; `None` without loss.
///
/// Padhye, Firoiu, Towsley & Kurose (SIGCOMM 1998) in the form of RFC 5348, section 3.1, which for
/// small loss is that of Mathis, Semke, Mahdavi & Ott (CCR 1997): `MSS / RTT * sqrt(3 / 2p)`. CUBIC
/// and BBR get more on long lossy paths, so edges are rather modelled too slow than too fast there,
/// in both worlds.
#[must_use]
pub fn tcp_rate_cap(rtt: Duration, loss: f64) -> Option<BitRate> {
    let segments = segments_per_second(rtt, loss, TCP_LEAST_TIMEOUT)?;
    Some(BitRate::from_bps((segments * TCP_SEGMENT * 8.0) as u64))
}

/// Bytes that an SCTP association keeps in flight on a path with this round trip and loss, by the
/// same formula: its congestion control is TCP's (RFC 9260, section 7).
///
/// At most [`LINK_CREDIT`]. At least [`LEAST_CREDIT`], because credit is spent by whole messages:
/// above 1 % of loss links are modelled too fast.
#[must_use]
pub fn sctp_window(rtt: Duration, loss: f64) -> u64 {
    let window = segments_per_second(rtt, loss, SCTP_LEAST_TIMEOUT).map_or(f64::INFINITY, |rate| {
        rate * SCTP_SEGMENT * rtt.as_secs_f64()
    });
    window.clamp(LEAST_CREDIT as f64, LINK_CREDIT as f64) as u64
}

/// Most bytes in flight on a link, whatever its path: the buffer that the shipped transport keeps
/// in front of SCTP.
pub const LINK_CREDIT: u64 = 128 * 1024;

/// A block of 16 KiB with its message around it fits.
pub const LEAST_CREDIT: u64 = 17 * 1024;

fn segments_per_second(rtt: Duration, loss: f64, least_timeout: Duration) -> Option<f64> {
    if loss <= 0.0 {
        return None;
    }
    let p = loss.min(1.0);
    let r = rtt.max(SHORTEST_RTT).as_secs_f64();
    let timeout = (4.0 * r).max(least_timeout.as_secs_f64());
    let recovery = r * (2.0 * p / 3.0).sqrt();
    let timeouts = timeout * (3.0 * (3.0 * p / 8.0).sqrt()).min(1.0) * p * (1.0 + 32.0 * p * p);
    Some(1.0 / (recovery + timeouts))
}

/// Bytes of payload in an Ethernet frame with IPv4 and TCP time stamps.
const TCP_SEGMENT: f64 = 1448.0;

/// Bytes of payload in a datagram of 1,200 bytes, the usual one of WebRTC, after DTLS and SCTP.
const SCTP_SEGMENT: f64 = 1131.0;

/// Linux; RFC 6298 would have a second.
const TCP_LEAST_TIMEOUT: Duration = Duration::from_millis(200);

/// RTO.Min of RFC 9260, section 16.
const SCTP_LEAST_TIMEOUT: Duration = Duration::from_secs(1);

/// Below this the formulas divide by next to nothing.
const SHORTEST_RTT: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn without_loss_only_the_lines_limit() {
        assert_eq!(tcp_rate_cap(60 * MS, 0.0), None);
        assert_eq!(sctp_window(60 * MS, 0.0), 131_072);
    }

    #[test]
    fn small_loss_gives_the_rate_of_mathis() {
        for (rtt, loss) in [(60 * MS, 1e-4), (20 * MS, 1e-5), (250 * MS, 1e-4)] {
            let mathis = 1448.0 * 8.0 / rtt.as_secs_f64() * (1.5f64 / loss).sqrt();
            let ours = tcp_rate_cap(rtt, loss).unwrap().as_bps() as f64;
            assert!((ours / mathis - 1.0).abs() < 0.01, "{ours} {mathis}");
        }
    }

    #[test]
    fn one_percent_over_100_ms_is_as_in_rfc_5348() {
        // s = 1448, R = 0.1, p = 0.01, t_RTO = 0.4: 0.1 * 0.081650 + 0.4 * 0.183712 * 0.01 * 1.0032
        // = 0.0089021; 1448 * 8 / 0.0089021 = 1,301,260 b/s.
        let rate = tcp_rate_cap(100 * MS, 0.01).unwrap().as_bps();
        assert!(rate.abs_diff(1_301_260) < 500, "{rate}");
    }

    #[test]
    fn timeouts_make_heavy_loss_worse_than_mathis_has_it() {
        let mathis = 1448.0 * 8.0 / 0.06 * (1.5f64 / 0.1).sqrt();
        let ours = tcp_rate_cap(60 * MS, 0.1).unwrap().as_bps() as f64;
        assert!(ours < 0.6 * mathis, "{ours} {mathis}");
    }

    #[test]
    fn loss_narrows_the_window_of_a_link() {
        // By Mathis: 1131 * sqrt(1.5 / 0.0005) = 61,948; timeouts take a little of it.
        let window = sctp_window(60 * MS, 0.0005);
        assert!((58_000..61_948).contains(&window), "{window}");
        assert_eq!(sctp_window(60 * MS, 0.1), 17 * 1024);
        assert_eq!(sctp_window(Duration::ZERO, 1.0), 17 * 1024);
    }
}
