//! `recvmmsg` and `sendmmsg`: up to 32 datagrams per system call.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::SocketAddr,
    os::fd::AsRawFd,
};

use nix::{
    errno::Errno,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, recvmsg,
        sendmmsg,
    },
};

use crate::shard::{
    outbox::Outbox,
    stats::{Counter, Stats},
};

/// Datagrams per system call: most of the gain of batching, and a buffer that stays in the cache.
pub(super) const BATCH: usize = 32;

/// Longest datagram taken: a whole DTLS record of 2^14 bytes with header, expansion and some room.
const DATAGRAM_BYTES_MAX: usize = 17 * 1024;

/// Buffers and headers for batches of datagrams.
pub(super) struct Mmsg {
    buffer: Box<[u8]>,
    receive_headers: MultiHeaders<SockaddrStorage>,
    send_headers: MultiHeaders<SockaddrStorage>,
    received: Vec<Received>,
    kernel_drops: u32,
}

/// One datagram of the last batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    pub(super) peer: SocketAddr,
    bytes: usize,
}

impl Mmsg {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; BATCH * DATAGRAM_BYTES_MAX].into_boxed_slice(),
            receive_headers: MultiHeaders::preallocate(BATCH, None),
            send_headers: MultiHeaders::preallocate(BATCH, None),
            received: Vec::with_capacity(BATCH),
            kernel_drops: 0,
        }
    }

    /// Receives a batch; returns the number of datagrams, 0 when none waits.
    pub(super) fn receive(&mut self, socket: &impl AsRawFd, stats: &mut Stats) -> io::Result<usize> {
        self.received.clear();
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.buffer.chunks_exact_mut(DATAGRAM_BYTES_MAX).map(|chunk| [IoSliceMut::new(chunk)]).collect();
        let results = match recvmmsg(
            socket.as_raw_fd(),
            &mut self.receive_headers,
            slices.iter_mut(),
            MsgFlags::MSG_DONTWAIT,
            None,
        ) {
            Ok(results) => results,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        for message in results {
            let truncated = message.flags.contains(MsgFlags::MSG_TRUNC);
            let peer = message.address.as_ref().and_then(to_socket_addr).filter(|_| !truncated);
            if truncated {
                stats.count(Counter::Truncated);
            }
            // Kept with length 0 where it can't be used, so that positions stay right.
            let bytes = if peer.is_some() { message.bytes } else { 0 };
            let peer = peer.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
            self.received.push(Received { peer, bytes });
        }
        Ok(self.received.len())
    }

    /// The datagrams of the last batch, to be changed in place.
    pub(super) fn datagrams(&mut self) -> impl Iterator<Item = (SocketAddr, &mut [u8])> {
        self.received
            .iter()
            .zip(self.buffer.chunks_exact_mut(DATAGRAM_BYTES_MAX))
            .filter(|(received, _)| received.peer.port() != 0)
            .map(|(received, chunk)| (received.peer, &mut chunk[..received.bytes]))
    }

    /// Receives one datagram with its control messages, which tell how many the kernel dropped so far; returns how
    /// many were received. (`recvmmsg` with control messages would have to rebuild its headers for every batch.)
    pub(super) fn receive_one_with_drops(
        &mut self,
        socket: &impl AsRawFd,
        stats: &mut Stats,
    ) -> io::Result<usize> {
        self.received.clear();
        let mut control = nix::cmsg_space!(u32);
        let mut slices = [IoSliceMut::new(&mut self.buffer[..DATAGRAM_BYTES_MAX])];
        let message = match recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut slices,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        ) {
            Ok(message) => message,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        if let Ok(control) = message.cmsgs() {
            for item in control {
                if let ControlMessageOwned::RxqOvfl(total) = item {
                    let new = total.wrapping_sub(self.kernel_drops);
                    self.kernel_drops = total;
                    stats.add(Counter::KernelReceiveDrops, u64::from(new));
                }
            }
        }
        if message.flags.contains(MsgFlags::MSG_TRUNC) {
            stats.count(Counter::Truncated);
            return Ok(1);
        }
        if let Some(peer) = message.address.as_ref().and_then(to_socket_addr) {
            self.received.push(Received { peer, bytes: message.bytes });
        }
        Ok(1)
    }

    /// Sends everything in `outbox` and clears it. What the kernel does not take is dropped and counted: the
    /// peer's or our retransmission makes up for it, as for any lost datagram.
    pub(super) fn send(&mut self, socket: &impl AsRawFd, outbox: &mut Outbox, stats: &mut Stats) {
        let datagrams: Vec<(SocketAddr, &[u8])> = outbox.iter().collect();
        let mut rest = datagrams.as_slice();
        while !rest.is_empty() {
            let batch = &rest[..rest.len().min(BATCH)];
            let sent = match self.send_batch(socket, batch) {
                Ok(sent) if sent > 0 => {
                    stats.add(Counter::DatagramsSent, sent as u64);
                    let bytes: usize = batch[..sent].iter().map(|(_, datagram)| datagram.len()).sum();
                    stats.add(Counter::BytesSent, bytes as u64);
                    sent
                }
                Err(Errno::EINTR) => 0,
                // An error belongs to the first datagram (an unreachable peer, a full buffer).
                Ok(_) | Err(_) => {
                    stats.count(Counter::SendErrors);
                    1
                }
            };
            rest = &rest[sent..];
        }
        outbox.clear();
    }

    fn send_batch(&mut self, socket: &impl AsRawFd, batch: &[(SocketAddr, &[u8])]) -> nix::Result<usize> {
        let slices: Vec<[IoSlice<'_>; 1]> =
            batch.iter().map(|(_, datagram)| [IoSlice::new(datagram)]).collect();
        let addresses: Vec<Option<SockaddrStorage>> =
            batch.iter().map(|(peer, _)| Some(SockaddrStorage::from(*peer))).collect();
        let none: [ControlMessage<'_>; 0] = [];
        let results = sendmmsg(
            socket.as_raw_fd(),
            &mut self.send_headers,
            slices.iter(),
            addresses,
            none,
            MsgFlags::MSG_DONTWAIT,
        )?;
        Ok(results.count())
    }
}

fn to_socket_addr(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::from((v4.ip(), v4.port())));
    }
    address.as_sockaddr_in6().map(|v6| SocketAddr::from((v6.ip(), v6.port())))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::io::socket;

    #[test]
    fn datagrams_that_the_kernel_dropped_are_counted() {
        let socket =
            socket::bind_all(SocketAddr::from(([127, 0, 0, 1], 0)), 1).expect("a free port").remove(0);
        socket2::SockRef::from(&socket).set_recv_buffer_size(4096).expect("a small buffer is granted");
        let peer = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        let send = |count: usize| {
            (0..count).for_each(|_| assert_eq!(peer.send_to(&[0; 500], address).ok(), Some(500)));
        };
        send(100);
        let (mut mmsg, mut stats) = (Mmsg::new(), Stats::default());
        let mut received = 0;
        while let Ok(count @ 1..) = mmsg.receive(&socket, &mut stats) {
            received += count;
        }
        // The count comes with the next datagram that is taken in.
        send(1);
        assert_eq!(mmsg.receive_one_with_drops(&socket, &mut stats).ok(), Some(1));
        assert!(received < 100);
        assert_eq!(stats.value(Counter::KernelReceiveDrops), 100 - received as u64);
    }

    #[test]
    fn a_batch_goes_out_and_comes_in_whole() {
        let socket =
            socket::bind_all(SocketAddr::from(([127, 0, 0, 1], 0)), 1).expect("a free port").remove(0);
        let address = socket.local_addr().expect("a bound socket has an address");
        let mut outbox = Outbox::default();
        for number in 0..100_u8 {
            outbox.push(address, &[number, 1, 2]);
        }
        let (mut mmsg, mut stats) = (Mmsg::new(), Stats::default());
        mmsg.send(&socket, &mut outbox, &mut stats);
        let mut received = Vec::new();
        while let Ok(1..) = mmsg.receive(&socket, &mut stats) {
            received.extend(mmsg.datagrams().map(|(peer, datagram)| (peer, datagram.to_vec())));
        }
        let expected: Vec<_> = (0..100_u8).map(|number| (address, vec![number, 1, 2])).collect();
        assert_eq!(received, expected);
        assert_eq!(stats.value(Counter::DatagramsSent), 100);
    }
}
