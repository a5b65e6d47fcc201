//! `recvmmsg` and `sendmmsg`: up to 32 datagrams per system call, each with both ends of its path.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::AsRawFd,
};

use narrowgate_engine::{
    path::{Local, Path},
    shard::{
        outbox::Outbox,
        stats::{Counter, Stats},
    },
};
use nix::{
    errno::Errno,
    libc,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg,
        recvmsg, sendmmsg,
    },
};

use crate::address::{Binding, Source, address_for, local_of, peer_of};

/// Datagrams per system call: most of the gain of batching, and a buffer that stays in the cache.
pub(crate) const BATCH: usize = 32;

/// Longest datagram received: a whole DTLS record of 2^14 bytes with header, expansion and some room.
const DATAGRAM_BYTES_MAX: usize = 17 * 1024;

/// Buffers and headers for batches of datagrams through one socket.
pub(crate) struct Mmsg {
    binding: Binding,
    buffer: Box<[u8]>,
    receive_headers: MultiHeaders<SockaddrStorage>,
    send_headers: MultiHeaders<SockaddrStorage>,
    /// With room for the source address of a datagram; only for a wildcard socket.
    send_headers_from: Option<MultiHeaders<SockaddrStorage>>,
    /// `None` if the datagram cannot be used, so that positions stay right.
    received: Vec<Option<Received>>,
    kernel_drops: u32,
}

/// One datagram of the last batch.
#[derive(Debug, Clone, Copy)]
struct Received {
    path: Path,
    bytes: usize,
}

impl Mmsg {
    /// Buffers for a socket with this binding.
    pub(crate) fn new(binding: Binding) -> Self {
        Self {
            binding,
            buffer: vec![0; BATCH * DATAGRAM_BYTES_MAX].into_boxed_slice(),
            receive_headers: receive_headers(binding),
            send_headers: MultiHeaders::preallocate(BATCH, None),
            send_headers_from: binding
                .is_wildcard
                .then(|| MultiHeaders::preallocate(BATCH, Some(source_space(binding)))),
            received: Vec::with_capacity(BATCH),
            kernel_drops: 0,
        }
    }

    /// Receives a batch; returns the number of datagrams, 0 if none is waiting.
    pub(crate) fn receive(&mut self, socket: &impl AsRawFd, stats: &mut Stats) -> io::Result<usize> {
        self.received.clear();
        if self.binding.is_wildcard {
            // The kernel writes to each header how much of the room for control messages it used, and takes
            // that for the whole room the next time. So with control messages the headers can be used for one
            // batch only.
            self.receive_headers = receive_headers(self.binding);
        }
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
            let local = if self.binding.is_wildcard { read_control(&message).local } else { Local::Bound };
            self.received.push(received(&message, local, stats));
        }
        Ok(self.received.len())
    }

    /// The datagrams of the last batch, mutable in place.
    pub(crate) fn datagrams(&mut self) -> impl Iterator<Item = (Path, &mut [u8])> {
        self.received
            .iter()
            .zip(self.buffer.chunks_exact_mut(DATAGRAM_BYTES_MAX))
            .filter_map(|(received, chunk)| received.map(|it| (it.path, &mut chunk[..it.bytes])))
    }

    /// Receives one datagram with its control messages, which say how many the kernel has dropped so far;
    /// returns how many were received. (For a socket with one address `recvmmsg` reads no control messages.)
    pub(crate) fn receive_one_with_drops(
        &mut self,
        socket: &impl AsRawFd,
        stats: &mut Stats,
    ) -> io::Result<usize> {
        self.received.clear();
        let mut control = nix::cmsg_space!(u32, libc::in6_pktinfo);
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
        let Control { local, drops } = read_control(&message);
        if let Some(total) = drops {
            let new = total.wrapping_sub(self.kernel_drops);
            self.kernel_drops = total;
            stats.add(Counter::KernelReceiveDrops, u64::from(new));
        }
        self.received.push(received(&message, local, stats));
        Ok(1)
    }

    /// Sends everything in `outbox` and clears it, each datagram from the local address of its path. What the
    /// kernel rejects is dropped and counted: a retransmission makes up for it, as for any lost datagram.
    pub(crate) fn send(&mut self, socket: &impl AsRawFd, outbox: &mut Outbox, stats: &mut Stats) {
        if self.binding.is_wildcard {
            // All datagrams of one system call have the same source.
            outbox.group_by_local();
        }
        let mut done = 0;
        while let Some((Path { local, .. }, _)) = outbox.iter_from(done).next() {
            let same = outbox.iter_from(done).take(BATCH).take_while(|(path, _)| path.local == local).count();
            let batch = outbox.iter_from(done).take(same);
            let mut result = self.send_batch(socket, local, batch.clone());
            if let Err(Errno::EINVAL | Errno::ENETUNREACH) = result
                && local != Local::Bound
            {
                // Perhaps the source is not an address of ours: a directed broadcast, as an IPv6 socket
                // reports it, or an address that is gone. The error belongs to the first datagram, so only
                // that one is sent differently.
                result = self.send_batch(socket, Local::Bound, batch.clone().take(1));
            }
            done += match result {
                Ok(sent) if sent > 0 => {
                    stats.add(Counter::DatagramsSent, sent as u64);
                    let bytes: usize = batch.take(sent).map(|(_, datagram)| datagram.len()).sum();
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
        }
        outbox.clear();
    }

    /// Sends datagrams that all have the source `local`; returns how many the kernel accepted.
    fn send_batch<'a>(
        &mut self,
        socket: &impl AsRawFd,
        local: Local,
        batch: impl ExactSizeIterator<Item = (Path, &'a [u8])> + Clone,
    ) -> nix::Result<usize> {
        let source = Source::of(local, self.binding);
        let (headers, control): (_, &[ControlMessage<'_>]) = match (&mut self.send_headers_from, &source) {
            (Some(headers), Some(source)) => (headers, &[source.control()]),
            _ => (&mut self.send_headers, &[]),
        };
        let slices: Vec<[IoSlice<'_>; 1]> =
            batch.clone().map(|(_, datagram)| [IoSlice::new(datagram)]).collect();
        let addresses: Vec<Option<SockaddrStorage>> =
            batch.map(|(path, _)| Some(address_for(path.peer, self.binding))).collect();
        let results =
            sendmmsg(socket.as_raw_fd(), headers, slices.iter(), addresses, control, MsgFlags::MSG_DONTWAIT)?;
        Ok(results.count())
    }
}

fn receive_headers(binding: Binding) -> MultiHeaders<SockaddrStorage> {
    MultiHeaders::preallocate(BATCH, binding.is_wildcard.then(|| nix::cmsg_space!(u32, libc::in6_pktinfo)))
}

/// Room for the one control message of a sent datagram; the kernel accepts no other length.
fn source_space(binding: Binding) -> Vec<u8> {
    if binding.is_v6 { nix::cmsg_space!(libc::in6_pktinfo) } else { nix::cmsg_space!(libc::in_pktinfo) }
}

/// What the kernel reports with a datagram.
#[derive(Default)]
struct Control {
    local: Local,
    /// Datagrams dropped so far because the buffer was full.
    drops: Option<u32>,
}

fn read_control(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Control {
    let mut control = Control::default();
    for item in message.cmsgs().into_iter().flatten() {
        match item {
            ControlMessageOwned::RxqOvfl(total) => control.drops = Some(total),
            other => control.local = local_of(&other).unwrap_or(control.local),
        }
    }
    control
}

fn received(message: &RecvMsg<'_, '_, SockaddrStorage>, local: Local, stats: &mut Stats) -> Option<Received> {
    if message.flags.contains(MsgFlags::MSG_TRUNC) {
        stats.count(Counter::Truncated);
        return None;
    }
    let peer = message.address.as_ref().and_then(peer_of).filter(|peer| peer.port() != 0)?;
    Some(Received { path: Path { peer, local }, bytes: message.bytes })
}

#[cfg(test)]
mod tests;
