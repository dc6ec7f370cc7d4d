//! Which link a datagram belongs to.

use std::{collections::BTreeMap, net::SocketAddr};

use p2pcdn_wire::LinkId;

/// The addresses and ICE user names by which datagrams find their link.
///
/// An address is only learnt from a STUN message that proved the link's password, so that nobody
/// can divert a link's datagrams by sending from a false address.
#[derive(Debug, Default)]
pub(super) struct Demux {
    /// Where peers were proved to be.
    proved: BTreeMap<SocketAddr, LinkId>,
    /// Where checks were sent to and no proof came from yet.
    asked: BTreeMap<SocketAddr, LinkId>,
    /// Our ICE user name fragments.
    names: BTreeMap<String, LinkId>,
}

/// What a datagram claims to be, by its first byte (RFC 7983) and, for STUN, its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    StunRequest,
    StunResponse,
    Dtls,
}

impl Kind {
    /// `None` for what no link ever takes, media included.
    pub(super) fn of(data: &[u8]) -> Option<Self> {
        match (*data.first()?, *data.get(1)?) {
            (0, 1) => Some(Self::StunRequest),
            (1, 1 | 0x11) => Some(Self::StunResponse),
            (20..=63, _) => Some(Self::Dtls),
            _ => None,
        }
    }

    pub(super) fn is_stun(data: &[u8]) -> bool {
        matches!(Self::of(data), Some(Self::StunRequest | Self::StunResponse))
    }
}

impl Demux {
    pub(super) fn add_name(&mut self, name: String, link: LinkId) {
        self.names.insert(name, link);
    }

    pub(super) fn knows_name(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    pub(super) fn by_name(&self, name: &str) -> Option<LinkId> {
        self.names.get(name).copied()
    }

    pub(super) fn by_address(&self, address: SocketAddr) -> Option<LinkId> {
        self.proved.get(&address).copied()
    }

    /// The links that may have asked `address`, the likelier first.
    pub(super) fn askers(&self, address: SocketAddr) -> impl Iterator<Item = LinkId> + use<> {
        let proved = self.proved.get(&address).copied();
        let asked = self.asked.get(&address).copied();
        proved
            .into_iter()
            .chain(asked.filter(|link| Some(*link) != proved))
    }

    pub(super) fn ask(&mut self, address: SocketAddr, link: LinkId) {
        if self.proved.get(&address) != Some(&link) {
            self.asked.insert(address, link);
        }
    }

    pub(super) fn prove(&mut self, address: SocketAddr, link: LinkId) {
        self.proved.insert(address, link);
        if self.asked.get(&address) == Some(&link) {
            self.asked.remove(&address);
        }
    }

    /// Where the peer of a link was proved to be.
    pub(super) fn address_of(&self, link: LinkId) -> Option<SocketAddr> {
        let mut proved = self.proved.iter();
        let (address, _) = proved.find(|(_, holder)| **holder == link)?;
        Some(*address)
    }

    pub(super) fn address_count(&self, link: LinkId) -> usize {
        self.proved
            .values()
            .filter(|holder| **holder == link)
            .count()
    }

    /// Forgets everything about `link`, whose name was `name`.
    pub(super) fn remove(&mut self, link: LinkId, name: &str) {
        self.names.remove(name);
        self.proved.retain(|_, holder| *holder != link);
        self.asked.retain(|_, asker| *asker != link);
    }
}

/// The fragment of ours in the user name of a STUN request (`ours:theirs`, RFC 8445 section 7.2.2).
pub(super) fn our_name(request: &[u8]) -> Option<&str> {
    let mut attributes = request.get(STUN_HEADER_LEN..)?;
    loop {
        let (head, rest) = attributes.split_first_chunk::<4>()?;
        let [kind_high, kind_low, len_high, len_low] = *head;
        let len = usize::from(u16::from_be_bytes([len_high, len_low]));
        if u16::from_be_bytes([kind_high, kind_low]) == USERNAME {
            let name = std::str::from_utf8(rest.get(..len)?).ok()?;
            return name.split_once(':').map(|(ours, _)| ours);
        }
        attributes = rest.get(len.next_multiple_of(4)..)?;
    }
}

/// RFC 8489 section 5.
const STUN_HEADER_LEN: usize = 20;

/// RFC 8489 section 18.3.
const USERNAME: u16 = 0x0006;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 5000))
    }

    #[test]
    fn kinds_follow_the_first_bytes() {
        assert_eq!(Kind::of(&[0, 1]), Some(Kind::StunRequest));
        assert_eq!(Kind::of(&[1, 1]), Some(Kind::StunResponse));
        assert_eq!(Kind::of(&[1, 0x11]), Some(Kind::StunResponse));
        assert_eq!(Kind::of(&[22, 254]), Some(Kind::Dtls));
        assert_eq!(Kind::of(&[0, 0x11]), None, "an indication proves nothing");
        assert_eq!(Kind::of(&[128, 96]), None, "media has no place here");
        assert_eq!(Kind::of(&[22]), None);
        assert_eq!(Kind::of(&[]), None);
    }

    #[test]
    fn the_name_is_found_behind_other_attributes() {
        let mut request = vec![0; 20];
        request.extend([0x80, 0x22, 0, 3, b'x', b'y', b'z', 0]);
        request.extend([0, 6, 0, 9]);
        request.extend(b"ours:hers");
        assert_eq!(our_name(&request), Some("ours"));
        request.truncate(request.len() - 1);
        assert_eq!(our_name(&request), None);
    }

    #[test]
    fn a_link_leaves_no_trace() {
        let mut demux = Demux::default();
        let (one, two) = (LinkId(1), LinkId(2));
        demux.add_name("a".to_owned(), one);
        demux.ask(address(1), one);
        demux.ask(address(2), one);
        demux.prove(address(1), one);
        demux.prove(address(3), two);
        assert_eq!(demux.askers(address(1)).collect::<Vec<_>>(), [one]);
        demux.remove(one, "a");
        assert_eq!(demux.by_name("a"), None);
        assert_eq!(demux.by_address(address(1)), None);
        assert_eq!(demux.askers(address(2)).next(), None);
        assert_eq!(demux.by_address(address(3)), Some(two));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_have_a_name_or_none(data: Vec<u8>) {
            our_name(&data);
            Kind::of(&data);
        }
    }
}
