//! Converts addresses between the kernel's form and ours: IPv4 is IPv4 on any socket (an IPv6 socket calls it
//! `::ffff:192.0.2.1`), and a link-local IPv6 address keeps its scope, without which nothing can be sent
//! there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

use narrowgate_engine::path::Local;
use nix::{
    libc,
    sys::socket::{ControlMessage, ControlMessageOwned, SockaddrStorage},
};

/// Which addresses a socket has at its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Binding {
    /// The socket speaks IPv6, to IPv4 peers too.
    pub(crate) is_v6: bool,
    /// It receives datagrams to any address: each must be answered from the address that it was sent to.
    pub(crate) is_wildcard: bool,
}

impl Binding {
    /// The binding of a socket that is bound to this address.
    pub(crate) fn of(bound: SocketAddr) -> Self {
        Self { is_v6: bound.is_ipv6(), is_wildcard: bound.ip().to_canonical().is_unspecified() }
    }
}

/// The address of a peer, in our form.
pub(crate) fn peer_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::from((v4.ip(), v4.port())));
    }
    let v6 = address.as_sockaddr_in6()?;
    Some(match v6.ip().to_ipv4_mapped() {
        Some(v4) => SocketAddr::from((v4, v6.port())),
        // The flow label does not identify a peer.
        None => SocketAddrV6::new(v6.ip(), v6.port(), 0, v6.scope_id()).into(),
    })
}

/// The address of a peer, in the form that the socket needs.
pub(crate) fn address_for(peer: SocketAddr, binding: Binding) -> SockaddrStorage {
    match peer {
        SocketAddr::V4(v4) if binding.is_v6 => {
            SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into()
        }
        other => other.into(),
    }
}

/// Which of our addresses a datagram was sent to, if the control message says so.
pub(crate) fn local_of(message: &ControlMessageOwned) -> Option<Local> {
    match message {
        // The local address, which differs from the header's if that is a broadcast (ip(7)).
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(Local::of(IpAddr::V4(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr))), 0))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            Some(Local::of(IpAddr::V6(info.ipi6_addr.s6_addr.into()), info.ipi6_ifindex))
        }
        _ => None,
    }
}

/// The source address of a datagram, as a control message.
pub(crate) enum Source {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Source {
    /// `None` if the kernel chooses. Routing chooses the interface, unless the address means nothing without
    /// one.
    pub(crate) fn of(local: Local, binding: Binding) -> Option<Self> {
        let v6 = |address: [u8; 16], scope: u32| {
            let ipi6_addr = libc::in6_addr { s6_addr: address };
            Some(Self::V6(libc::in6_pktinfo { ipi6_addr, ipi6_ifindex: scope }))
        };
        match local {
            Local::Bound => None,
            Local::V4(address) if binding.is_v6 => v6(address.to_ipv6_mapped().octets(), 0),
            Local::V4(address) => {
                let ipi_spec_dst = libc::in_addr { s_addr: u32::from(address).to_be() };
                let ipi_addr = libc::in_addr { s_addr: 0 };
                Some(Self::V4(libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst, ipi_addr }))
            }
            Local::V6 { address, scope } => v6(address.octets(), scope),
        }
    }

    pub(crate) fn control(&self) -> ControlMessage<'_> {
        match self {
            Self::V4(info) => ControlMessage::Ipv4PacketInfo(info),
            Self::V6(info) => ControlMessage::Ipv6PacketInfo(info),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_peer_reads_the_same_whichever_socket_it_came_by_and_goes_back_as_the_socket_wants_it() {
        let mapped = SockaddrStorage::from(address("[::ffff:192.0.2.1]:5684"));
        let (v4, v6) = (Binding::of(address("0.0.0.0:1")), Binding::of(address("[::]:1")));
        assert_eq!(peer_of(&mapped), Some(address("192.0.2.1:5684")));
        assert_eq!(address_for(address("192.0.2.1:5684"), v6), mapped);
        assert_eq!(address_for(address("192.0.2.1:5684"), v4), address("192.0.2.1:5684").into());
        let scoped = address("[fe80::1%3]:5684");
        assert_eq!(peer_of(&address_for(scoped, v6)), Some(scoped));
    }

    /// A peer with a global address may talk to a link-local one; then only the source identifies the link.
    #[test]
    fn a_datagram_leaves_by_the_interface_of_its_source_only_where_the_source_is_link_local() {
        let (v4, v6) = (Binding::of(address("0.0.0.0:1")), Binding::of(address("[::]:1")));
        let interface = |local: &str, binding| {
            let local = Local::of(local.parse().expect("an address"), 3);
            match Source::of(local, binding) {
                Some(Source::V4(info)) => (4, info.ipi_ifindex),
                Some(Source::V6(info)) => (6, info.ipi6_ifindex as _),
                None => (0, 0),
            }
        };
        assert_eq!(interface("fe80::1", v6), (6, 3));
        assert_eq!(interface("2001:db8::1", v6), (6, 0));
        assert_eq!(interface("192.0.2.1", v6), (6, 0));
        assert_eq!(interface("192.0.2.1", v4), (4, 0));
        assert_eq!(interface("ff02::1", v6), (0, 0));
    }

    #[test]
    fn a_wildcard_is_one_in_all_three_ways_to_write_it() {
        for (text, is_v6, is_wildcard) in [
            ("0.0.0.0:1", false, true),
            ("[::]:1", true, true),
            ("[::ffff:0.0.0.0]:1", true, true),
            ("127.0.0.1:1", false, false),
            ("[::1]:1", true, false),
            ("[::ffff:127.0.0.1]:1", true, false),
        ] {
            assert_eq!(Binding::of(address(text)), Binding { is_v6, is_wildcard }, "{text}");
        }
    }
}
