//! Flights of handshake messages, the datagrams that carry them, and the timer that repeats them
//! (RFC 6347, sections 4.2.3 and 4.2.4). A repeated flight gets new record numbers.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{
    Random,
    codes::{AlertDescription, ContentType, Version, alert_level},
    limits,
    message::{MESSAGE_HEADER_BYTES, MessageHeader, finished},
    record::{Layout, put_plaintext},
    session::Session,
    wire::Reader,
};

/// Messages that are sent, and retransmitted, together.
pub(crate) type Flight = Vec<Entry>;

/// One message of a flight.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Header and body of a handshake message, unfragmented; sent in epoch 0.
    Handshake(Vec<u8>),
    ChangeCipherSpec,
    /// Sent in epoch 1.
    Finished([u8; finished::MESSAGE_BYTES]),
}

/// Bytes of a flight on the heap.
pub(crate) fn heap_bytes(flight: &Flight) -> usize {
    let messages = flight.iter().map(|entry| match entry {
        Entry::Handshake(message) => message.capacity(),
        Entry::ChangeCipherSpec | Entry::Finished(_) => 0,
    });
    messages.sum::<usize>() + flight.capacity() * size_of::<Entry>()
}

/// Builds datagrams and keeps them until they are polled.
#[derive(Debug)]
pub(crate) struct Sender {
    /// Next record number of epoch 0.
    pub(crate) sequence: u64,
    datagram_bytes_max: usize,
    /// Longest plaintext of a record, as negotiated by max_fragment_length.
    pub(crate) fragment_bytes_max: usize,
    outbox: VecDeque<Vec<u8>>,
}

impl Sender {
    pub(crate) fn new(sequence: u64, datagram_bytes_max: usize) -> Self {
        Self {
            sequence,
            datagram_bytes_max: datagram_bytes_max.max(64),
            fragment_bytes_max: limits::PLAINTEXT_BYTES_MAX,
            outbox: VecDeque::new(),
        }
    }

    /// Queues a flight. Datagrams of an earlier call that were not polled are outdated and dropped.
    pub(crate) fn send(&mut self, flight: &[Entry], mut session: Option<&mut Session>, rng: &mut dyn Random) {
        self.outbox.clear();
        for entry in flight {
            match entry {
                Entry::Handshake(message) => self.put_message(message),
                Entry::ChangeCipherSpec => self.put_record(ContentType::CHANGE_CIPHER_SPEC, &[1]),
                Entry::Finished(message) => {
                    if let Some(session) = session.as_deref_mut() {
                        self.put_finished(message, session, rng);
                    }
                }
            }
        }
    }

    /// Queues a fatal alert of epoch 0.
    pub(crate) fn send_alert(&mut self, description: AlertDescription) {
        self.outbox.clear();
        self.put_record(ContentType::ALERT, &[alert_level::FATAL, description.0]);
    }

    /// Moves the oldest datagram to `datagram`.
    pub(crate) fn poll_transmit(&mut self, datagram: &mut Vec<u8>) -> bool {
        datagram.clear();
        let next = self.outbox.pop_front();
        datagram.extend_from_slice(next.as_deref().unwrap_or_default());
        next.is_some()
    }

    fn put_message(&mut self, message: &[u8]) {
        let room = self.datagram_bytes_max - Layout::Plain.header_bytes();
        let chunk_max = room.min(self.fragment_bytes_max) - MESSAGE_HEADER_BYTES;
        let Ok((whole, body)) = MessageHeader::parse(&mut Reader::new(message)) else {
            debug_assert!(false, "our own message is well formed");
            return;
        };
        if body.len() <= chunk_max {
            return self.put_record(ContentType::HANDSHAKE, message);
        }
        for (index, chunk) in body.chunks(chunk_max).enumerate() {
            let fragment =
                MessageHeader { fragment_offset: index * chunk_max, fragment_length: chunk.len(), ..whole };
            self.put_record(ContentType::HANDSHAKE, &[&fragment.to_bytes()[..], chunk].concat());
        }
    }

    /// Writes the Finished as one record if that fits a datagram, else in fragments. A datagram that is too
    /// small for any fragment becomes longer than the limit.
    fn put_finished(
        &mut self,
        message: &[u8; finished::MESSAGE_BYTES],
        session: &mut Session,
        rng: &mut dyn Random,
    ) {
        let room = session.plaintext_bytes_max();
        if room >= message.len() || room <= MESSAGE_HEADER_BYTES {
            return self.put_protected(message, session, rng);
        }
        finished::fragments(message, room - MESSAGE_HEADER_BYTES)
            .for_each(|fragment| self.put_protected(&fragment, session, rng));
    }

    fn put_protected(&mut self, content: &[u8], session: &mut Session, rng: &mut dyn Random) {
        let mut record = Vec::with_capacity(128);
        // Cannot fail: a handshake repeats its flights a few dozen times, not 2^48.
        let sealed = session.seal_record(ContentType::HANDSHAKE, content, rng, &mut record);
        debug_assert_eq!(sealed, Ok(()));
        self.datagram_for(record.len()).extend_from_slice(&record);
    }

    fn put_record(&mut self, content_type: ContentType, fragment: &[u8]) {
        let sequence = self.sequence;
        self.sequence += 1;
        let datagram = self.datagram_for(Layout::Plain.header_bytes() + fragment.len());
        put_plaintext(datagram, content_type, Version::DTLS_1_2, sequence, fragment);
    }

    /// The last datagram if `bytes` still fit, else a new one.
    fn datagram_for(&mut self, bytes: usize) -> &mut Vec<u8> {
        let fits = |datagram: &Vec<u8>| datagram.len() + bytes <= self.datagram_bytes_max;
        if !self.outbox.back().is_some_and(fits) {
            self.outbox.push_back(Vec::with_capacity(bytes.max(160)));
        }
        self.outbox.back_mut().expect("one was just put there if there was none")
    }

    /// Bytes of waiting datagrams.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.outbox.iter().map(Vec::capacity).sum::<usize>() + self.outbox.capacity() * size_of::<Vec<u8>>()
    }
}

/// Repeats the current flight: after `initial`, then each time after twice as long, up to `max`.
#[derive(Debug)]
pub(crate) struct RetransmitTimer {
    initial: Duration,
    max: Duration,
    retransmits_max: u8,
    interval: Duration,
    due: Option<Instant>,
    retransmits: u8,
    demanded: u8,
    sent_at: Option<Instant>,
}

/// What the timer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimerOutcome {
    NotYet,
    SendAgain,
    /// The last repetition was not answered.
    Exhausted,
}

impl RetransmitTimer {
    pub(crate) fn new(initial: Duration, max: Duration, retransmits_max: u8) -> Self {
        let interval = initial;
        Self {
            initial,
            max,
            retransmits_max,
            interval,
            due: None,
            retransmits: 0,
            demanded: 0,
            sent_at: None,
        }
    }

    /// A new flight went out.
    pub(crate) fn start(&mut self, now: Instant) {
        self.interval = self.initial;
        self.due = Some(now + self.interval);
        self.retransmits = 0;
        self.demanded = 0;
        self.sent_at = Some(now);
    }

    /// The flight was answered.
    pub(crate) fn stop(&mut self) {
        self.due = None;
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Advances if the timer is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> TimerOutcome {
        if self.due.is_none_or(|due| now < due) {
            return TimerOutcome::NotYet;
        }
        if self.retransmits >= self.retransmits_max {
            self.due = None;
            return TimerOutcome::Exhausted;
        }
        self.retransmits += 1;
        // RFC 6347 4.2.4.1: double at each retransmission, up to no less than 60 seconds.
        self.interval = (self.interval * 2).min(self.max);
        self.due = Some(now + self.interval);
        self.sent_at = Some(now);
        TimerOutcome::SendAgain
    }

    /// Whether a repeated flight of the peer may be answered by repeating ours now: not within a quarter of
    /// the initial interval after the last time, and only a limited number of times.
    pub(crate) fn permit_demanded(&mut self, now: Instant) -> bool {
        let too_soon = self.sent_at.is_some_and(|sent_at| now < sent_at + self.initial / 4);
        if too_soon || self.demanded >= limits::DEMANDED_RESENDS_MAX {
            return false;
        }
        self.demanded += 1;
        self.sent_at = Some(now);
        if self.due.is_some() {
            self.due = Some(now + self.interval);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_testkit::SeededRandom;

    use super::*;

    #[allow(clippy::disallowed_methods, reason = "any instant serves as the start of virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn intervals_double_up_to_the_maximum_and_end() {
        let now = start();
        let mut timer = RetransmitTimer::new(Duration::from_secs(9), Duration::from_secs(60), 4);
        timer.start(now);
        let mut times = Vec::new();
        let mut outcome = TimerOutcome::SendAgain;
        while let Some(due) = timer.due() {
            times.push(due.duration_since(now).as_secs());
            outcome = timer.handle_timeout(due);
        }
        assert_eq!(times, [9, 9 + 18, 9 + 18 + 36, 9 + 18 + 36 + 60, 9 + 18 + 36 + 60 + 60]);
        assert_eq!(outcome, TimerOutcome::Exhausted);
    }

    #[test]
    fn demanded_repetitions_are_limited_in_rate_and_number() {
        let now = start();
        let mut timer = RetransmitTimer::new(Duration::from_secs(1), Duration::from_secs(60), 4);
        timer.start(now);
        assert!(!timer.permit_demanded(now + Duration::from_millis(249)));
        let permitted = (1..100).filter(|&n| timer.permit_demanded(now + Duration::from_secs(n))).count();
        assert_eq!(permitted, usize::from(limits::DEMANDED_RESENDS_MAX));
    }

    #[test]
    fn a_flight_is_packed_into_as_few_datagrams_as_fit_and_long_messages_are_cut() {
        let message = crate::message::key_exchange::emit_client(2, &[b'x'; 100]);
        let flight = vec![Entry::Handshake(message.clone()), Entry::ChangeCipherSpec];
        let sizes = |datagram_bytes_max| {
            let mut sender = Sender::new(0, datagram_bytes_max);
            sender.send(&flight, None, &mut SeededRandom::new(0));
            let mut datagram = Vec::new();
            let mut sizes = Vec::new();
            while sender.poll_transmit(&mut datagram) {
                sizes.push(datagram.len());
            }
            sizes
        };
        assert_eq!(sizes(1280), [13 + message.len() + 14]);
        assert_eq!(sizes(64), [64, 64, 13 + 12 + 24 + 14]);
    }
}
