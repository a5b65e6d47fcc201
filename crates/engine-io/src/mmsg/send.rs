//! Sends an outbox: what the kernel rejects is dropped, what finds the send buffer full waits.

use std::{io::IoSlice, os::fd::AsRawFd};

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
    sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmmsg},
};

use super::{BATCH, Mmsg};
use crate::address::{Binding, Source, address_for};

impl Mmsg {
    /// Sends what is in `outbox`, each datagram from the local address of its path. What the kernel rejects
    /// is dropped and counted: a retransmission makes up for it, as for any lost datagram. When the kernel's
    /// buffer is full, the rest stays in `outbox`.
    pub(crate) fn send(&mut self, socket: &impl AsRawFd, outbox: &mut Outbox, stats: &mut Stats) {
        if self.binding.is_wildcard {
            // All datagrams of one system call have the same source.
            outbox.group_by_local();
        }
        send_all(&mut Socket { mmsg: self, socket }, outbox, stats);
    }
}

/// Takes datagrams for sending.
trait Take {
    /// Takes datagrams that all have the source `local`; returns how many were accepted. An error belongs to
    /// the first datagram.
    fn take<'a>(
        &mut self,
        local: Local,
        batch: impl ExactSizeIterator<Item = (Path, &'a [u8])> + Clone,
    ) -> nix::Result<usize>;
}

fn send_all(kernel: &mut impl Take, outbox: &mut Outbox, stats: &mut Stats) {
    let (mut done, mut full) = (0, false);
    while !full && let Some((Path { local, .. }, _)) = outbox.iter_from(done).next() {
        let same = outbox.iter_from(done).take(BATCH).take_while(|(path, _)| path.local == local).count();
        let batch = outbox.iter_from(done).take(same);
        let mut result = kernel.take(local, batch.clone());
        if let Err(Errno::EINVAL | Errno::ENETUNREACH) = result
            && local != Local::Bound
        {
            // Perhaps the source is not an address of ours: a directed broadcast, as an IPv6 socket reports
            // it, or an address that is gone. The error belongs to the first datagram, so only that one is
            // sent differently.
            result = kernel.take(Local::Bound, batch.clone().take(1));
        }
        done += match result {
            Ok(sent) if sent > 0 => {
                stats.add(Counter::DatagramsSent, sent as u64);
                let bytes: usize = batch.take(sent).map(|(_, datagram)| datagram.len()).sum();
                stats.add(Counter::BytesSent, bytes as u64);
                sent
            }
            Err(Errno::EINTR) => 0,
            Err(Errno::EAGAIN) => {
                stats.count(Counter::SendWaits);
                full = true;
                0
            }
            // An error belongs to the first datagram: an unreachable peer.
            Ok(_) | Err(_) => {
                stats.count(Counter::SendErrors);
                1
            }
        };
    }
    if full { outbox.remove_first(done) } else { outbox.clear() }
}

/// The socket, with the headers for its batches.
struct Socket<'a, S> {
    mmsg: &'a mut Mmsg,
    socket: &'a S,
}

impl<S: AsRawFd> Take for Socket<'_, S> {
    fn take<'a>(
        &mut self,
        local: Local,
        batch: impl ExactSizeIterator<Item = (Path, &'a [u8])> + Clone,
    ) -> nix::Result<usize> {
        let Mmsg { binding, send_headers, send_headers_from, .. } = &mut *self.mmsg;
        let source = Source::of(local, *binding);
        let (headers, control): (_, &[ControlMessage<'_>]) = match (send_headers_from, &source) {
            (Some(headers), Some(source)) => (headers, &[source.control()]),
            _ => (send_headers, &[]),
        };
        let slices: Vec<[IoSlice<'_>; 1]> =
            batch.clone().map(|(_, datagram)| [IoSlice::new(datagram)]).collect();
        let addresses: Vec<Option<SockaddrStorage>> =
            batch.map(|(path, _)| Some(address_for(path.peer, *binding))).collect();
        let socket = self.socket.as_raw_fd();
        let results = sendmmsg(socket, headers, slices.iter(), addresses, control, MsgFlags::MSG_DONTWAIT)?;
        Ok(results.count())
    }
}

/// Room for the one control message of a sent datagram; the kernel accepts no other length.
pub(super) fn source_space(binding: Binding) -> Vec<u8> {
    if binding.is_v6 { nix::cmsg_space!(libc::in6_pktinfo) } else { nix::cmsg_space!(libc::in_pktinfo) }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, net::SocketAddr};

    use super::*;

    /// A kernel that does what a script says, and keeps the first byte of what it takes.
    struct Script {
        results: VecDeque<nix::Result<usize>>,
        taken: Vec<u8>,
    }

    impl Take for Script {
        fn take<'a>(
            &mut self,
            _: Local,
            batch: impl ExactSizeIterator<Item = (Path, &'a [u8])> + Clone,
        ) -> nix::Result<usize> {
            let result = self.results.pop_front().unwrap_or(Ok(batch.len()));
            let count = result?.min(batch.len());
            self.taken.extend(batch.take(count).map(|(_, datagram)| datagram[0]));
            Ok(count)
        }
    }

    fn outbox(count: u8) -> Outbox {
        let mut outbox = Outbox::default();
        for number in 0..count {
            outbox.push(SocketAddr::from(([127, 0, 0, 1], 1 + u16::from(number))).into(), &[number]);
        }
        outbox
    }

    #[test]
    fn a_burst_that_finds_the_buffer_full_waits_and_loses_nothing() {
        let (mut outbox, mut stats) = (outbox(100), Stats::default());
        let results = [Ok(32), Ok(7), Err(Errno::EAGAIN), Err(Errno::EINTR), Ok(1), Err(Errno::EAGAIN)];
        let mut kernel = Script { results: results.into(), taken: Vec::new() };
        for (left, waits) in [(61, 1), (60, 2), (0, 2)] {
            send_all(&mut kernel, &mut outbox, &mut stats);
            assert_eq!((outbox.len(), stats.value(Counter::SendWaits)), (left, waits));
        }
        assert_eq!(kernel.taken, (0..100).collect::<Vec<_>>(), "each once, in order");
        assert_eq!(stats.value(Counter::DatagramsSent), 100);
        assert_eq!((stats.value(Counter::BytesSent), stats.value(Counter::SendErrors)), (100, 0));
    }

    #[test]
    fn an_unreachable_peer_costs_its_datagram_and_no_other() {
        let (mut outbox, mut stats) = (outbox(40), Stats::default());
        let results = [Ok(5), Err(Errno::EPERM), Ok(30), Err(Errno::ECONNREFUSED)];
        let mut kernel = Script { results: results.into(), taken: Vec::new() };
        send_all(&mut kernel, &mut outbox, &mut stats);
        assert_eq!(kernel.taken, (0..40).filter(|number| ![5, 36].contains(number)).collect::<Vec<_>>());
        assert_eq!((outbox.len(), stats.value(Counter::SendErrors)), (0, 2));
    }
}
