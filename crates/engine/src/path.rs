//! Both ends of the path between a peer and this server, which distinguish one handshake or session from
//! another.
//!
//! DTLS without connection IDs knows an association by addresses and ports alone (RFC 6347, section 4.1), and
//! those are four, not two. A NAT may give two devices the same address and port as long as they talk to
//! different addresses of this server; with the peer's address alone one of them would end the other's
//! session again and again. A client, for its part, drops datagrams that do not come from the address that it
//! sends to, so everything is sent from the address at which the peer was heard.
//!
//! A socket that is bound to one address has nothing to distinguish: there the server's end is
//! [`Local::Bound`].

use std::{
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
};

/// A peer, and the server's address at which it is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// The peer's address and port. An IPv4 address is V4 here, whatever the socket reports; a link-local
    /// IPv6 address has its scope.
    pub peer: SocketAddr,
    /// The server's end.
    pub local: Local,
}

/// The server's end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Local {
    /// The address that the socket is bound to, or that the kernel chooses.
    #[default]
    Bound,
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6 {
        /// The address.
        address: Ipv6Addr,
        /// The interface of a link-local address, else 0.
        scope: u32,
    },
}

impl Local {
    /// The server's end for a datagram that was sent to `address` and arrived on `interface`. Nothing can be
    /// sent from a group address: there the kernel has to choose. A directed broadcast looks like any other
    /// address here; the socket lets the kernel choose when it sends.
    pub fn of(address: IpAddr, interface: u32) -> Self {
        match address.to_canonical() {
            any if any.is_multicast() || any.is_unspecified() => Self::Bound,
            IpAddr::V4(v4) if v4.is_broadcast() => Self::Bound,
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(address) => {
                let scope = if address.is_unicast_link_local() { interface } else { 0 };
                Self::V6 { address, scope }
            }
        }
    }
}

impl From<SocketAddr> for Path {
    /// A peer of a server that has one address.
    fn from(peer: SocketAddr) -> Self {
        Self { peer, local: Local::Bound }
    }
}

/// By hand, so that a server with one address does not pay for those with several.
impl Hash for Path {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.peer.hash(state);
        match self.local {
            Local::Bound => {}
            Local::V4(address) => address.hash(state),
            Local::V6 { address, scope } => (address, scope).hash(state),
        }
    }
}

/// A path in as few bytes as it needs: each session has one. Each path is packed in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedPath {
    /// An IPv4 address is in the first four bytes, and zeros follow.
    peer: [u8; 16],
    local: [u8; 16],
    /// Flow information and scope of the peer.
    peer_flow: u32,
    peer_scope: u32,
    local_scope: u32,
    peer_port: u16,
    peer_is_v4: bool,
    local_kind: LocalKind,
}

const _: () = assert!(size_of::<PackedPath>() <= 48, "there is one in each of a million sessions");

/// Which kind of [`Local`] is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LocalKind {
    Bound,
    V4,
    V6,
}

impl PackedPath {
    pub(crate) fn of(Path { peer, local }: Path) -> Self {
        let (local_kind, local, local_scope) = match local {
            Local::Bound => (LocalKind::Bound, [0; 16], 0),
            Local::V4(address) => (LocalKind::V4, pack_v4(address), 0),
            Local::V6 { address, scope } => (LocalKind::V6, address.octets(), scope),
        };
        let (peer_port, peer_is_v4) = (peer.port(), peer.is_ipv4());
        let (peer, peer_flow, peer_scope) = match peer {
            SocketAddr::V4(peer) => (pack_v4(*peer.ip()), 0, 0),
            SocketAddr::V6(peer) => (peer.ip().octets(), peer.flowinfo(), peer.scope_id()),
        };
        Self { peer, local, peer_flow, peer_scope, local_scope, peer_port, peer_is_v4, local_kind }
    }

    pub(crate) fn unpack(self) -> Path {
        let peer = if self.peer_is_v4 {
            SocketAddr::from((unpack_v4(self.peer), self.peer_port))
        } else {
            SocketAddrV6::new(self.peer.into(), self.peer_port, self.peer_flow, self.peer_scope).into()
        };
        let local = match self.local_kind {
            LocalKind::Bound => Local::Bound,
            LocalKind::V4 => Local::V4(unpack_v4(self.local)),
            LocalKind::V6 => Local::V6 { address: self.local.into(), scope: self.local_scope },
        };
        Path { peer, local }
    }
}

fn pack_v4(address: Ipv4Addr) -> [u8; 16] {
    let mut packed = [0; 16];
    packed[..4].copy_from_slice(&address.octets());
    packed
}

fn unpack_v4([a, b, c, d, ..]: [u8; 16]) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(address: &str) -> Local {
        Local::of(address.parse().expect("an address"), 7)
    }

    #[test]
    fn an_ipv4_address_is_one_however_the_socket_names_it() {
        assert_eq!(local("::ffff:192.0.2.1"), local("192.0.2.1"));
        assert_eq!(local("192.0.2.1"), Local::V4(Ipv4Addr::new(192, 0, 2, 1)));
    }

    #[test]
    fn only_a_link_local_address_needs_its_interface() {
        let scope = |text| match local(text) {
            Local::V6 { scope, .. } => scope,
            other => panic!("{other:?}"),
        };
        assert_eq!((scope("fe80::1"), scope("2001:db8::1"), scope("::1")), (7, 0, 0));
    }

    #[test]
    fn what_nothing_can_be_sent_from_is_left_to_the_kernel() {
        for group in ["ff02::1", "224.0.1.187", "255.255.255.255", "::", "0.0.0.0", "::ffff:224.0.1.187"] {
            assert_eq!(local(group), Local::Bound, "{group}");
        }
    }

    /// Two paths are one packed if and only if they are one.
    #[test]
    fn a_packed_path_is_the_path() {
        let mut peers: Vec<SocketAddr> = ["192.0.2.1:5683", "192.0.2.1:5684", "[2001:db8::1]:5684"]
            .map(|peer| peer.parse().expect("an address"))
            .to_vec();
        // The same bytes in another family, and what only an IPv6 peer has.
        let same_bytes = Ipv6Addr::from(pack_v4(Ipv4Addr::new(192, 0, 2, 1)));
        let link_local = "fe80::1".parse().expect("an address");
        for (flow, scope) in [(0, 0), (1, 0), (0, 1)] {
            peers.push(SocketAddrV6::new(link_local, 5684, flow, scope).into());
        }
        peers.push((same_bytes, 5684).into());
        let locals = [
            Local::Bound,
            Local::V4(Ipv4Addr::UNSPECIFIED),
            Local::V4(Ipv4Addr::new(192, 0, 2, 1)),
            Local::V6 { address: Ipv6Addr::UNSPECIFIED, scope: 0 },
            Local::V6 { address: same_bytes, scope: 0 },
            Local::V6 { address: same_bytes, scope: 7 },
        ];
        let of = |peer: &SocketAddr| locals.map(|local| Path { peer: *peer, local });
        let paths: Vec<Path> = peers.iter().flat_map(of).collect();
        for path in &paths {
            assert_eq!(PackedPath::of(*path).unpack(), *path);
            let same = paths.iter().filter(|other| PackedPath::of(**other) == PackedPath::of(*path));
            assert_eq!(same.count(), 1, "{path:?}");
        }
    }
}
