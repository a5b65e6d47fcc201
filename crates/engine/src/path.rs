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
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
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
}
