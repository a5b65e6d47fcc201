//! `recvmmsg` and `sendmmsg`: up to 32 datagrams per system call, each with both ends of its path.

mod send;

use std::{
    io::{self, IoSliceMut},
    os::fd::AsRawFd,
};

use narrowgate_engine::{
    path::{Local, Path},
    shard::stats::{Counter, Stats},
};
use nix::{
    errno::Errno,
    libc,
    sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg, recvmsg},
};

use crate::address::{Binding, local_of, peer_of};

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
                .then(|| MultiHeaders::preallocate(BATCH, Some(send::source_space(binding)))),
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
}

fn receive_headers(binding: Binding) -> MultiHeaders<SockaddrStorage> {
    MultiHeaders::preallocate(BATCH, binding.is_wildcard.then(|| nix::cmsg_space!(u32, libc::in6_pktinfo)))
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
