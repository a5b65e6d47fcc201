//! UDP sockets as shards need them: `SO_REUSEPORT`, large buffers, kernel drops reported.

use std::{io, net::SocketAddr};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::address::Binding;

/// Size of the kernel buffers to request, bytes: a second of 10,000 datagrams per second. The kernel may
/// grant less (`net.core.rmem_max`).
pub const BUFFER_BYTES: usize = 8 << 20;

/// Binds `count` sockets to the same address, among which the kernel spreads peers by their address and port.
///
/// With port 0 the kernel chooses one for the first socket, and the others share it.
///
/// # Errors
/// Those of the operating system, unchanged: address in use, permission denied, no such address. The port
/// counts as in use even if the other program set `SO_REUSEPORT`.
pub fn bind_all(address: SocketAddr, count: u16) -> io::Result<Vec<std::net::UdpSocket>> {
    // SO_REUSEPORT would let a second server share the port and take half of the devices: a socket without it
    // is refused if another is bound.
    let probe = new_socket(address)?;
    probe.bind(&address.into())?;
    let address = probe.local_addr()?.as_socket().unwrap_or(address);
    drop(probe);
    (0..count)
        .map(|_| {
            let socket = new_socket(address)?;
            socket.set_reuse_port(true)?;
            // Ignored: the default stays if the kernel grants less.
            let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
            let _ = socket.set_send_buffer_size(BUFFER_BYTES);
            setsockopt(&socket, sockopt::RxqOvfl, &1)?;
            tell_own_address(&socket, Binding::of(address))?;
            socket.bind(&address.into())?;
            Ok(socket.into())
        })
        .collect()
}

/// Asks the kernel to report with each datagram the address that it was sent to, unless that is already
/// known.
fn tell_own_address(socket: &Socket, binding: Binding) -> io::Result<()> {
    match binding {
        Binding { is_wildcard: false, .. } => Ok(()),
        // For IPv4 datagrams too, whose address is then a mapped one.
        Binding { is_v6: true, .. } => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true),
        Binding { is_v6: false, .. } => setsockopt(socket, sockopt::Ipv4PacketInfo, &true),
    }
    .map_err(io::Error::from)
}

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // [::] serves IPv4 too.
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_a_port_that_nobody_else_can_take() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let sockets = bind_all(any, 3).expect("loopback has free ports");
        let address = sockets[0].local_addr().expect("a bound socket has an address");
        assert!(sockets.iter().all(|socket| socket.local_addr().is_ok_and(|other| other == address)));
        let second = bind_all(address, 1).expect_err("the port is in use");
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
    }
}
