//! The client's socket: one for all devices, each of which has an address of its own on loopback.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::fd::AsRawFd,
    time::Duration,
};

use nix::{
    errno::Errno,
    libc::in_pktinfo,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt, sockopt,
    },
};
use socket2::{Domain, Protocol, Socket, Type};

use super::target::Target;

/// 127.64.0.0/10: device `n` has the n-th address of it.
const NETWORK: u32 = 0x7f40_0000;
const HOST_BITS: u32 = 22;
/// Kernel buffers asked for, bytes; what is granted without privilege suffices for some hundred devices at
/// once.
const BUFFER_BYTES: usize = 8 << 20;
/// Longest datagram taken.
const DATAGRAM_BYTES_MAX: usize = 4096;
/// Longest wait for a datagram; then timers have their turn.
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct Wire {
    socket: Socket,
    server: SockaddrIn,
    buffer: Box<[u8; DATAGRAM_BYTES_MAX]>,
    control: Vec<u8>,
}

/// Whether to wait for a datagram if none is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// A few milliseconds.
    Briefly,
    No,
}

impl Wire {
    pub(super) fn open(target: Target) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        // Nothing that is sent here leaves the machine, and nothing from elsewhere comes in.
        socket.bind_device(Some(b"lo"))?;
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        // With privilege beyond the limit of the system, otherwise up to it.
        if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES).is_err() {
            socket.set_recv_buffer_size(BUFFER_BYTES)?;
        }
        socket.set_read_timeout(Some(PAUSE))?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
        Ok(Self {
            socket,
            server: SockaddrIn::from(target.address()),
            buffer: Box::new([0; DATAGRAM_BYTES_MAX]),
            control: nix::cmsg_space!(in_pktinfo),
        })
    }

    /// Sends a datagram of device `number` to the server.
    pub(super) fn send(&self, number: u32, datagram: &[u8]) -> io::Result<()> {
        let source = in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: nix::libc::in_addr { s_addr: address_of(number).to_be() },
            ipi_addr: nix::libc::in_addr { s_addr: 0 },
        };
        let control = [ControlMessage::Ipv4PacketInfo(&source)];
        let flags = MsgFlags::empty();
        loop {
            match sendmsg(
                self.socket.as_raw_fd(),
                &[IoSlice::new(datagram)],
                &control,
                flags,
                Some(&self.server),
            ) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                // Treated as lost on the way: its device sends it again.
                Err(Errno::ENOBUFS | Errno::EAGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next datagram of the server and the number of the device that it is for; `None` if there is none.
    pub(super) fn receive(&mut self, wait: Wait) -> io::Result<Option<(u32, &mut [u8])>> {
        let flags = match wait {
            Wait::Briefly => MsgFlags::empty(),
            Wait::No => MsgFlags::MSG_DONTWAIT,
        };
        let (number, bytes) = {
            let mut slices = [IoSliceMut::new(&mut self.buffer[..])];
            let received =
                recvmsg::<SockaddrIn>(self.socket.as_raw_fd(), &mut slices, Some(&mut self.control), flags);
            let message = match received {
                Ok(message) => message,
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let from_server = message.address.is_some_and(|from| {
                SocketAddrV4::new(from.ip(), from.port())
                    == SocketAddrV4::new(self.server.ip(), self.server.port())
            });
            let number = message.cmsgs()?.find_map(|control| match control {
                ControlMessageOwned::Ipv4PacketInfo(info) => number_of(u32::from_be(info.ipi_addr.s_addr)),
                _ => None,
            });
            (number.filter(|_| from_server), message.bytes)
        };
        // A stranger's datagram is ignored: the caller handles its timers and receives the next one.
        Ok(number.map(|number| (number, &mut self.buffer[..bytes])))
    }
}

/// The address of a device, in the machine's own byte order.
const fn address_of(number: u32) -> u32 {
    NETWORK | number
}

/// The device with an address; `None` outside of the network.
fn number_of(address: u32) -> Option<u32> {
    (address >> HOST_BITS == NETWORK >> HOST_BITS).then_some(address & ((1 << HOST_BITS) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DEVICES_MAX;

    #[test]
    fn every_device_has_an_address_of_its_own() {
        for number in [1, 255, 65_536, DEVICES_MAX] {
            assert_eq!(number_of(address_of(number)), Some(number));
            assert!(Ipv4Addr::from(address_of(number)).is_loopback());
        }
        assert_eq!(Ipv4Addr::from(address_of(1)), Ipv4Addr::new(127, 64, 0, 1));
        assert_eq!(Ipv4Addr::from(address_of(DEVICES_MAX)), Ipv4Addr::new(127, 127, 255, 254));
        assert_eq!(number_of(u32::from(Ipv4Addr::new(127, 0, 0, 1))), None);
    }

    #[test]
    fn the_server_sees_as_many_peers_as_there_are_devices() {
        let server = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
        let target = server.local_addr().expect("it is bound").to_string().parse().expect("it is loopback");
        let mut wire = Wire::open(target).expect("loopback has free ports");
        let mut peers = std::collections::HashSet::new();
        for number in 1..=300 {
            wire.send(number, b"question").expect("loopback takes it");
            let mut buffer = [0; 16];
            let (bytes, peer) = server.recv_from(&mut buffer).expect("it was sent");
            assert_eq!(&buffer[..bytes], b"question");
            peers.insert(peer);
            server.send_to(b"answer", peer).expect("loopback takes it");
            let received = wire.receive(Wait::Briefly).expect("the socket works");
            assert_eq!(received, Some((number, &mut b"answer".to_owned()[..])));
        }
        assert_eq!(peers.len(), 300);
        assert_eq!(wire.receive(Wait::No).expect("the socket works"), None);
    }
}
