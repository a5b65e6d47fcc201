//! With the kernel itself. A UDP socket on loopback never has a full send buffer, so a pair of Unix sockets
//! that keeps datagrams apart and ignores their addresses stands for it, with the smallest buffer there is.

use std::{net::SocketAddr, os::unix::net::UnixDatagram, thread};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};

use super::*;

/// A port, what it waits with, and the other end.
struct Pair {
    port: Port,
    poll: Poll,
    ready: Events,
    peer: UnixDatagram,
    outbox: Outbox,
    stats: Stats,
    pushed: u32,
}

impl Pair {
    fn new() -> Self {
        let kind = (AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_NONBLOCK);
        let (own, peer) = socketpair(kind.0, kind.1, None, kind.2).expect("a pair");
        setsockopt(&own, sockopt::SndBuf, &1).expect("the smallest buffer");
        let poll = Poll::new().expect("a poll");
        let binding = Binding::of(([127, 0, 0, 1], 5684).into());
        let own = own.into();
        let registry = register(&own, &poll).expect("it is registered");
        let port = Port::new(own, binding, registry);
        let (ready, outbox, stats) = (Events::with_capacity(8), Outbox::default(), Stats::default());
        Self { port, poll, ready, peer: peer.into(), outbox, stats, pushed: 0 }
    }

    /// Adds so many datagrams with their numbers.
    fn push(&mut self, count: u32) {
        for number in self.pushed..self.pushed + count {
            self.outbox.push(SocketAddr::from(([127, 0, 0, 1], 1)).into(), &number.to_be_bytes());
        }
        self.pushed += count;
    }

    fn send(&mut self, now: Instant) {
        self.port.send(&mut self.outbox, &mut self.stats, now);
    }

    fn receive(&mut self, with_drops: bool) -> Option<usize> {
        self.port.receive(self.outbox.len(), with_drops, &mut self.stats).expect("it is read")
    }

    /// The numbers of what has arrived.
    fn take(&self) -> Vec<u32> {
        numbers(&self.peer).collect()
    }

    /// Waits for what the kernel reports, for a moment; returns whether it was room.
    fn has_room(&mut self) -> bool {
        self.poll.poll(&mut self.ready, Some(Duration::from_millis(1))).expect("it waits");
        self.port.handle_events(&self.ready);
        !self.port.is_full()
    }

    fn unsent(&self) -> Vec<u32> {
        self.outbox.iter().map(|(_, datagram)| number(datagram)).collect()
    }

    fn counted(&self, counter: Counter) -> u64 {
        self.stats.value(counter)
    }
}

fn number(datagram: &[u8]) -> u32 {
    u32::from_be_bytes(datagram.try_into().expect("four bytes"))
}

fn numbers(peer: &UnixDatagram) -> impl Iterator<Item = u32> {
    let mut bytes = [0; 16];
    std::iter::from_fn(move || peer.recv(&mut bytes).ok().map(|length| number(&bytes[..length])))
}

#[test]
fn a_burst_that_fills_the_buffer_waits_and_is_sent_in_order_as_soon_as_there_is_room() {
    let (mut pair, now) = (Pair::new(), clock::now());
    pair.push(500);
    pair.send(now);
    let at_once = pair.counted(Counter::DatagramsSent);
    assert!((1..500).contains(&at_once), "{at_once} fit");
    assert!(pair.port.is_full() && pair.port.watches_for_room && !pair.has_room());
    // Nobody tries again before there is room, and what comes meanwhile is sent after it.
    pair.push(500);
    pair.send(now);
    assert_eq!((pair.counted(Counter::DatagramsSent), pair.counted(Counter::SendWaits)), (at_once, 1));
    let mut taken = Vec::new();
    while taken.len() < 1000 {
        let arrived = pair.take();
        assert!(!arrived.is_empty(), "only {}", taken.len());
        taken.extend(arrived);
        assert!(pair.outbox.is_empty() || pair.has_room(), "the kernel reports the room");
        pair.send(now);
    }
    assert_eq!(taken, (0..1000).collect::<Vec<_>>(), "each once, in order");
    assert_eq!((pair.counted(Counter::DatagramsSent), pair.counted(Counter::SendBufferDrops)), (1000, 0));
    assert!(!pair.port.is_full() && !pair.port.watches_for_room, "it wakes nobody without need");
}

#[test]
fn a_full_buffer_is_tried_again_after_a_while_without_a_report_of_the_kernel() {
    let (mut pair, now) = (Pair::new(), clock::now());
    pair.push(100);
    pair.send(now);
    let first = pair.take();
    pair.send(now + SEND_AGAIN - Duration::from_nanos(1));
    assert_eq!(pair.take(), [0; 0]);
    pair.send(now + SEND_AGAIN);
    assert_eq!(pair.take().first(), Some(&(first.len() as u32)));
}

#[test]
fn beyond_the_bound_the_newest_are_dropped_and_counted() {
    let (mut pair, now) = (Pair::new(), clock::now());
    pair.push(70_000);
    pair.send(now);
    let sent = pair.counted(Counter::DatagramsSent) as u32;
    let oldest: Vec<u32> = (sent..).take(UNSENT_MAX).collect();
    assert_eq!(pair.unsent(), oldest);
    let dropped = u64::from(70_000 - sent) - UNSENT_MAX as u64;
    assert_eq!(pair.counted(Counter::SendBufferDrops), dropped);
    // Also while nobody tries to send, and none of those that wait.
    pair.push(1000);
    pair.send(now);
    assert_eq!(pair.counted(Counter::SendBufferDrops), dropped + 1000);
    assert_eq!(pair.unsent(), oldest);
    assert_eq!(pair.take(), (0..sent).collect::<Vec<_>>());
}

#[test]
fn nothing_is_received_while_much_waits_for_a_full_buffer() {
    let (mut pair, now) = (Pair::new(), clock::now());
    for _ in 0..3 {
        pair.peer.send(b"from a device").expect("there is room");
    }
    pair.push(3000);
    assert_eq!(pair.receive(true), Some(1), "the buffer is not known to be full");
    pair.send(now);
    assert!(pair.port.is_full() && pair.outbox.len() >= UNSENT_RECEIVE_MAX);
    assert_eq!([true, false].map(|with_drops| pair.receive(with_drops)), [None, None]);
    pair.outbox.truncate(UNSENT_RECEIVE_MAX);
    assert_eq!(pair.receive(true), None);
    pair.outbox.truncate(UNSENT_RECEIVE_MAX - 1);
    assert_eq!(pair.receive(true), Some(1), "little waits");
    pair.push(2000);
    assert_eq!(pair.receive(true), None);
    pair.take();
    assert!(pair.has_room());
    assert_eq!([false, false].map(|with_drops| pair.receive(with_drops)), [Some(1), Some(0)]);
}

#[test]
fn what_waits_when_the_shard_ends_is_sent_in_order() {
    let mut pair = Pair::new();
    pair.push(500);
    pair.send(clock::now());
    let peer = pair.peer.try_clone().expect("another handle");
    let reader = thread::spawn(move || {
        let mut taken = Vec::new();
        while taken.len() < 500 {
            taken.extend(numbers(&peer));
            thread::yield_now();
        }
        taken
    });
    let Pair { port, poll, ready, outbox, stats, .. } = &mut pair;
    assert_eq!(port.send_last(poll, ready, outbox, stats), 0);
    assert_eq!(reader.join().expect("it ends"), (0..500).collect::<Vec<_>>());
}

#[test]
fn a_shard_that_ends_waits_a_second_for_a_buffer_that_stays_full() {
    let mut pair = Pair::new();
    pair.push(500);
    let begin = clock::now();
    pair.send(begin);
    let Pair { port, poll, ready, outbox, stats, .. } = &mut pair;
    let left = port.send_last(poll, ready, outbox, stats);
    assert!(begin.elapsed() >= LAST_SENDS_MAX);
    assert_eq!(left as u64, 500 - pair.counted(Counter::DatagramsSent));
    assert_eq!(pair.take(), (0..500 - left as u32).collect::<Vec<_>>());
}
