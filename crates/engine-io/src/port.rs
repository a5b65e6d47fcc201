//! The socket of a shard, with what waits for it: what finds the send buffer full is sent, in its order, as
//! soon as there is room.
//!
//! Limits: [`UNSENT_MAX`] datagrams wait; the newest beyond it are dropped and counted.

use std::{
    io,
    net::UdpSocket,
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Registry, Token, unix::SourceFd};
use narrowgate_engine::{
    path::Path,
    shard::{
        outbox::Outbox,
        stats::{Counter, Stats},
    },
};

use crate::{address::Binding, clock, mmsg::Mmsg};

/// While so many datagrams wait for a full send buffer, nothing is received: the kernel's buffer takes the
/// load, as for [`crate::driver::EVENTS_KEPT_MAX`].
const UNSENT_RECEIVE_MAX: usize = 1024;

/// Datagrams that wait for a full send buffer; beyond it the newest are dropped, and devices send again. As
/// many as the answers to all requests in flight, a few times over: 5 MiB of usual ones.
const UNSENT_MAX: usize = 65_536;

/// How often a full send buffer is tried again, even if the kernel does not report that it has room.
pub(crate) const SEND_AGAIN: Duration = Duration::from_millis(100);

/// How long a shard that ends waits for a full send buffer.
const LAST_SENDS_MAX: Duration = Duration::from_secs(1);

/// The socket among what a shard waits for.
pub(crate) const SOCKET: Token = Token(0);

/// See the module.
pub(crate) struct Port {
    socket: UdpSocket,
    mmsg: Mmsg,
    registry: Registry,
    /// Since when the send buffer is full: then what is to be sent waits until the socket is writable.
    full_since: Option<Instant>,
    watches_for_room: bool,
}

/// Registers the socket, to be read.
pub(crate) fn register(socket: &UdpSocket, poll: &Poll) -> io::Result<Registry> {
    let registry = poll.registry().try_clone()?;
    registry.register(&mut SourceFd(&socket.as_raw_fd()), SOCKET, Interest::READABLE)?;
    Ok(registry)
}

impl Port {
    /// With a socket that is registered.
    pub(crate) fn new(socket: UdpSocket, binding: Binding, registry: Registry) -> Self {
        Self { socket, mmsg: Mmsg::new(binding), registry, full_since: None, watches_for_room: false }
    }

    /// Whether the send buffer was full at the last try.
    pub(crate) fn is_full(&self) -> bool {
        self.full_since.is_some()
    }

    /// Whether too much waits for the send buffer.
    pub(crate) fn is_clogged(&self, unsent: usize) -> bool {
        self.is_full() && unsent >= UNSENT_RECEIVE_MAX
    }

    /// Receives a batch, or one datagram with the number of those that the kernel dropped; returns how many
    /// datagrams these are. `None`: too much waits for the send buffer, and they stay in the kernel.
    pub(crate) fn receive(
        &mut self,
        unsent: usize,
        with_drops: bool,
        stats: &mut Stats,
    ) -> io::Result<Option<usize>> {
        if self.is_clogged(unsent) {
            return Ok(None);
        }
        let received = if with_drops {
            self.mmsg.receive_one_with_drops(&self.socket, stats)
        } else {
            self.mmsg.receive(&self.socket, stats)
        };
        received.map(Some)
    }

    /// What was received last, mutable in place.
    pub(crate) fn datagrams(&mut self) -> impl Iterator<Item = (Path, &mut [u8])> {
        self.mmsg.datagrams()
    }

    /// Takes what the kernel reports.
    pub(crate) fn handle_events(&mut self, ready: &Events) {
        if ready.iter().any(|event| event.token() == SOCKET && event.is_writable()) {
            self.full_since = None;
        }
    }

    /// Sends what waits, unless the send buffer is full.
    pub(crate) fn send(&mut self, outbox: &mut Outbox, stats: &mut Stats, now: Instant) {
        if outbox.is_empty() {
            return;
        }
        if self.full_since.is_none_or(|since| now >= since + SEND_AGAIN) {
            self.mmsg.send(&self.socket, outbox, stats);
            self.full_since = (!outbox.is_empty()).then_some(now);
            self.watch_for_room(self.full_since.is_some());
        }
        stats.add(Counter::SendBufferDrops, outbox.truncate(UNSENT_MAX) as u64);
    }

    /// Whether the kernel is to report when the send buffer has room: only while something waits, or each
    /// datagram that leaves would wake the shard.
    fn watch_for_room(&mut self, wanted: bool) {
        if wanted == self.watches_for_room {
            return;
        }
        let interest = if wanted { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        let registered = self.registry.reregister(&mut SourceFd(&self.socket.as_raw_fd()), SOCKET, interest);
        // If it fails, sending is tried again after a while all the same.
        if registered.is_ok() {
            self.watches_for_room = wanted;
        }
    }

    /// Sends what waits for a full send buffer before the shard ends; returns how many datagrams are left
    /// after a while.
    pub(crate) fn send_last(
        &mut self,
        poll: &mut Poll,
        ready: &mut Events,
        outbox: &mut Outbox,
        stats: &mut Stats,
    ) -> usize {
        let begin = clock::now();
        let mut now = begin;
        while !outbox.is_empty() && now < begin + LAST_SENDS_MAX {
            match poll.poll(ready, Some(SEND_AGAIN)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => break,
                _ => self.handle_events(ready),
            }
            now = clock::now();
            self.send(outbox, stats, now);
        }
        outbox.len()
    }
}

#[cfg(test)]
mod tests;
