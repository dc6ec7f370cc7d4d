//! Where a peer's address belongs.

use std::net::IpAddr;

/// The network that a peer's public address is in, by which many peers of one owner are told from
/// many owners: an IPv4 /24, an IPv6 /48, the smallest that are routed apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(u64);

impl Network {
    /// A network by a number of the caller's own, as a simulator has them; zero is not told from an
    /// unknown one in what a witness signs.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The network of an address; `None` for those that are not public, as in one's own home or
    /// company, where many peers of one network are what is wanted.
    #[must_use]
    pub fn of(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                let is_carrier_internal = a == 100 && b & 0xc0 == 64;
                let is_public = !(address.is_private()
                    || address.is_loopback()
                    || address.is_link_local()
                    || address.is_unspecified()
                    || address.is_broadcast()
                    || address.is_multicast()
                    || is_carrier_internal);
                is_public.then(|| Self(u64::from_be_bytes([V4, 0, 0, 0, 0, a, b, c])))
            }
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, ..] = address.octets();
                // 2000::/3 is all that is public (RFC 4291 section 2.4, IANA's registry).
                let is_public = a & 0xe0 == 0x20;
                is_public.then(|| Self(u64::from_be_bytes([V6, 0, a, b, c, d, e, f])))
            }
        }
    }
}

/// Tell the two kinds apart.
const V4: u8 = 4;
const V6: u8 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Option<Network> {
        Network::of(address.parse().expect("an address"))
    }

    #[test]
    fn neighbouring_addresses_are_one_network() {
        for (one, same, other) in [
            ("198.51.100.1", "198.51.100.254", "198.51.101.1"),
            ("2001:db8:1::1", "2001:db8:1:ffff::9", "2001:db8:2::1"),
            ("::ffff:198.51.100.1", "198.51.100.7", "198.51.99.7"),
        ] {
            assert!(of(one).is_some());
            assert_eq!(of(one), of(same));
            assert_ne!(of(one), of(other));
        }
    }

    #[test]
    fn private_addresses_are_in_none() {
        for address in [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.0.1",
            "100.64.0.1",
            "100.127.255.1",
            "0.0.0.0",
            "fe80::1",
            "fd00::1",
            "::1",
            "::",
        ] {
            assert_eq!(of(address), None, "{address}");
        }
        assert!(of("100.128.0.1").is_some());
        assert!(of("172.32.0.1").is_some());
    }
}
