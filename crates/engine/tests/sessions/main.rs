//! One device and a whole shard: how sessions begin again, what is answered where answers are long, and how
//! sessions end.

mod answers;
mod observe;
mod profile;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_coap::{Code, ObservationEnd, Response};
use narrowgate_dtls::{
    CipherSuite, ClientConfig, ClientEvent, ClientHandshake, DecoySecret, Psk, PskAnswer, ServerConfig,
    Session, split_record,
};
use narrowgate_engine::{
    event::{CloseCause, SessionId, ShardCommand, ShardEvent},
    shard::{Shard, ShardConfig, stats::Counter},
};
use narrowgate_testkit::{SeededRandom, record::record};

const KEY: &[u8; 16] = b"the key of tests";
const PEER: &str = "192.0.2.7:5684";

/// A shard, a platform that knows one key and answers each request by `answer`, and the device's end of the
/// wire.
struct World {
    now: Instant,
    shard: Shard,
    peer: SocketAddr,
    answer: Response,
    /// The platform answers each ticket once more, as a faulty one might.
    answers_again: bool,
    closed: Vec<CloseCause>,
    /// How many records were forged, at each report of it.
    forged: Vec<u32>,
    /// Bytes of answers that were too long, and what they might have had.
    too_long: Vec<(usize, usize)>,
    connected: usize,
    sessions: Vec<SessionId>,
    /// How observations ended, and how often something was heard.
    observed: Vec<ObservationEnd>,
    heard: usize,
    /// What the device sent, and what came back to it.
    sent: Vec<Vec<u8>>,
    received: Vec<Vec<u8>>,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "any instant serves as the start of virtual time")]
    fn new() -> Self {
        let now = Instant::now();
        let dtls = Arc::new(ServerConfig::new(DecoySecret::new([7; 32])));
        Self {
            now,
            shard: Shard::new(ShardConfig::new(dtls), now, [1; 32]),
            peer: PEER.parse().expect("an address"),
            answer: Response::new(Code::CHANGED),
            answers_again: false,
            closed: Vec::new(),
            forged: Vec::new(),
            too_long: Vec::new(),
            connected: 0,
            sessions: Vec::new(),
            observed: Vec::new(),
            heard: 0,
            sent: Vec::new(),
            received: Vec::new(),
        }
    }

    /// Gives a datagram to the shard; what comes back at once.
    fn give(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        self.sent.push(datagram.to_vec());
        self.shard.handle_datagram(self.now, self.peer, &mut datagram.to_vec());
        self.drain()
    }

    fn advance(&mut self, by: Duration) -> Vec<Vec<u8>> {
        self.now += by;
        self.shard.handle_timeout(self.now);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Vec<u8>> {
        while let Some(event) = self.shard.poll_event() {
            match event {
                ShardEvent::PskWanted { handshake, .. } => {
                    let answer = PskAnswer::key(Psk::new(KEY).expect("16 bytes"));
                    self.shard.handle_command(self.now, ShardCommand::ProvidePsk { handshake, answer });
                }
                ShardEvent::Connected { session, .. } => {
                    self.connected += 1;
                    self.sessions.push(session);
                }
                ShardEvent::ObservationEnded { end, .. } => self.observed.push(end),
                ShardEvent::Heard { .. } => self.heard += 1,
                ShardEvent::Closed { cause, .. } => self.closed.push(cause),
                ShardEvent::Forged { records, .. } => self.forged.push(records),
                ShardEvent::AnswerTooLarge { bytes, bytes_max, .. } => self.too_long.push((bytes, bytes_max)),
                ShardEvent::Request { ticket, .. } => {
                    for _ in 0..=usize::from(self.answers_again) {
                        let response = self.answer.clone();
                        self.shard.handle_command(self.now, ShardCommand::Respond { ticket, response });
                    }
                }
                _ => {}
            }
        }
        let outbox = self.shard.outbox();
        let came: Vec<Vec<u8>> = outbox.iter().map(|(_, datagram)| datagram.to_vec()).collect();
        outbox.clear();
        self.received.extend(came.iter().cloned());
        came
    }

    fn count(&mut self, counter: Counter) -> u64 {
        self.shard.stats().value(counter)
    }

    /// A handshake; without an answer `None`. The seed stands for the device's random source.
    fn connect(&mut self, seed: u64, config: ClientConfig) -> Option<Session> {
        let mut rng = SeededRandom::new(seed);
        let mut client = ClientHandshake::new(config, self.now, &mut rng);
        let mut datagram = Vec::new();
        loop {
            let mut came = Vec::new();
            while client.poll_transmit(&mut datagram) {
                came.extend(self.give(&datagram));
            }
            if came.is_empty() {
                return None;
            }
            for mut datagram in came {
                client.handle_datagram(self.now, &mut datagram, &mut rng);
            }
            if let Some(ClientEvent::Established(session)) = client.poll_event() {
                return Some(*session);
            }
        }
    }

    fn connected(config: ClientConfig) -> (Self, Session) {
        let mut world = Self::new();
        let session = world.connect(1, config).expect("nothing is in the way");
        (world, session)
    }

    /// A datagram with the handshake message of this type that the device sent last.
    fn last_sent(&self, message_type: u8) -> Vec<u8> {
        let is_it = |it: &&Vec<u8>| it[..5] == [22, 0xfe, 0xfd, 0, 0] && it[13] == message_type;
        self.sent.iter().rfind(is_it).expect("it was sent").clone()
    }
}

fn config() -> ClientConfig {
    ClientConfig::new(b"MuGsF6W4,device,2,3600", Psk::new(KEY).expect("16 bytes"))
}

fn both_suites() -> [ClientConfig; 2] {
    CipherSuite::ALL.map(|suite| ClientConfig { suites: vec![suite], ..config() })
}

/// Opens what came; what the peer of the session would see.
fn opened(session: &mut Session, datagrams: Vec<Vec<u8>>) -> Vec<String> {
    let mut seen = Vec::new();
    for mut datagram in datagrams {
        let mut rest = datagram.as_mut_slice();
        while let Some((record, tail)) = split_record(rest) {
            seen.push(format!("{:?}", session.open(record)));
            rest = tail;
        }
    }
    seen
}

#[test]
fn a_late_copy_of_the_hello_of_a_session_begins_no_other_handshake() {
    for config in both_suites() {
        let (mut world, _) = World::connected(config);
        let hello = world.last_sent(1);
        for seconds in [0, 1, 20, 38] {
            world.advance(Duration::from_secs(seconds));
            // The network's copy, and the device's repetition with a new record number.
            let mut again = hello.clone();
            again[10] = 40 + seconds as u8;
            for copy in [&hello, &again] {
                assert_eq!(world.give(copy), Vec::<Vec<u8>>::new(), "after {seconds} s");
            }
        }
        assert_eq!(world.count(Counter::HandshakesRepeated), 8);
        assert_eq!(world.shard.stats().gauges.handshakes, 0);
    }
}

#[test]
fn a_device_with_a_constant_random_on_a_fixed_port_is_let_in_again() {
    let (mut world, _) = World::connected(config());
    for n in [0, 1, 1, 2, 3, 4] {
        // Longer than a cookie is good, and much shorter than a session lives.
        world.advance(Duration::from_secs(60 * n + 61));
        assert_eq!(world.connect(1, config()).is_some(), n != 0, "after {n} and one minutes");
    }
    assert_eq!((world.connected, world.closed.len()), (6, 5));
    // So is one that only half got in before it restarted.
    world.advance(Duration::from_secs(121));
    let mut half = ClientHandshake::new(config(), world.now, &mut SeededRandom::new(1));
    let mut datagram = Vec::new();
    for _ in 0..2 {
        assert!(half.poll_transmit(&mut datagram));
        for mut answer in world.give(&datagram) {
            half.handle_datagram(world.now, &mut answer, &mut SeededRandom::new(9));
        }
    }
    assert_eq!(world.shard.stats().gauges.handshakes, 1);
    // Its hello cannot be told from a copy.
    assert!(world.connect(1, config()).is_none());
    world.now += Duration::from_secs(121);
    assert!(world.connect(1, config()).is_some());
    assert_eq!(world.count(Counter::HandshakesReplaced), 1);
}

#[test]
fn a_random_that_begins_like_another_is_another_random() {
    let (mut world, _) = World::connected(config());
    let hello = world.last_sent(1);
    // The same device, whose random has a constant head: only its last byte differs.
    let mut first = hello[..13 + 12 + 2 + 32 + 1].to_vec();
    first[10] = 0;
    first[17..19].fill(0);
    first[13 + 12 + 2 + 31] ^= 1;
    let rest = &hello[first.len() + 1 + 16..];
    let whole = |cookie: &[u8], seq: u8| {
        let mut datagram = [&first[..], &[cookie.len() as u8], cookie, rest].concat();
        let length = datagram.len() - 25;
        datagram[10] = seq;
        datagram[18] = seq;
        datagram[11..13].copy_from_slice(&(length as u16 + 12).to_be_bytes());
        datagram[14..17].copy_from_slice(&(length as u32).to_be_bytes()[1..]);
        datagram[22..25].copy_from_slice(&(length as u32).to_be_bytes()[1..]);
        datagram
    };
    let asked = world.give(&whole(&[], 0));
    let answer = world.give(&whole(&asked[0][28..], 1));
    assert_eq!(answer.first().map(|flight| flight[13]), Some(2), "a ServerHello");
}

#[test]
fn a_second_cookie_exchange_replaces_the_handshake_of_the_first() {
    // The port moves to another and back: two hellos of one attempt, both with a good cookie for this port.
    let mut world = World::new();
    let mut rng = SeededRandom::new(1);
    let mut client = ClientHandshake::new(config(), world.now, &mut rng);
    let mut datagram = Vec::new();
    let mut step = |world: &mut World, client: &mut ClientHandshake, port: u16| {
        world.peer.set_port(port);
        assert!(client.poll_transmit(&mut datagram));
        let answers = world.give(&datagram);
        (datagram.clone(), answers)
    };
    let (_, mut verify) = step(&mut world, &mut client, 1);
    client.handle_datagram(world.now, &mut verify[0], &mut SeededRandom::new(9));
    let (hello_1, mut verify) = step(&mut world, &mut client, 2);
    world.peer.set_port(1);
    assert_eq!(world.give(&hello_1)[0][13], 2, "its copy by the first port is good there");
    client.handle_datagram(world.now, &mut verify[0], &mut SeededRandom::new(9));
    let (_, mut verify) = step(&mut world, &mut client, 1);
    assert_eq!(verify[0][13], 3, "the cookie is the other port's");
    client.handle_datagram(world.now, &mut verify[0], &mut SeededRandom::new(9));
    let (_, mut flight) = step(&mut world, &mut client, 1);
    assert_eq!((flight[0][13], flight[0][18]), (2, 3), "a ServerHello for the third hello");
    client.handle_datagram(world.now, &mut flight[0], &mut SeededRandom::new(9));
    let (_, mut flight) = step(&mut world, &mut client, 1);
    client.handle_datagram(world.now, &mut flight[0], &mut SeededRandom::new(9));
    assert!(matches!(client.poll_event(), Some(ClientEvent::Established(_))));
    assert_eq!(world.count(Counter::HandshakesReplaced), 1);
}

#[test]
fn a_second_response_to_a_request_is_ignored_and_counted() {
    let (mut world, mut session) = World::connected(config());
    world.answers_again = true;
    for count in 1..=3 {
        let mut record = Vec::new();
        // A confirmable GET without token and options.
        let request = [0x40, 1, 0, count as u8];
        session.seal(&request, &mut SeededRandom::new(count), &mut record).expect("it fits");
        assert_eq!(world.give(&record).len(), 1, "one answer");
        assert_eq!(world.shard.stats().gauges.requests_in_flight, 0);
        assert_eq!((world.count(Counter::Responses), world.count(Counter::ResponsesLate)), (count, count));
    }
}

#[test]
fn attack_067_close_notify_is_answered_once_and_a_fatal_alert_never() {
    for suite in CipherSuite::ALL {
        let config = || ClientConfig { suites: vec![suite], ..config() };
        let (mut world, mut session) = World::connected(config());
        let mut record = Vec::new();
        session.seal_close_notify(&mut SeededRandom::new(3), &mut record);
        let came = world.give(&record);
        assert_eq!(opened(&mut session, came), ["Ok(CloseNotify)"]);
        assert_eq!(world.give(&record), Vec::<Vec<u8>>::new());
        assert_eq!(world.closed, [CloseCause::ByPeer]);

        // Some releases of tinydtls call it fatal, and wait for the answer before they begin another session.
        let (mut world, mut session) = World::connected(config());
        let mut record = Vec::new();
        session.seal_as(21, &[2, 0], &mut SeededRandom::new(3), &mut record).expect("it fits");
        let came = world.give(&record);
        assert_eq!(opened(&mut session, came), ["Ok(CloseNotify)"]);
        assert_eq!(world.give(&record), Vec::<Vec<u8>>::new());
        assert_eq!(world.closed, [CloseCause::ByPeer]);

        let (mut world, mut session) = World::connected(config());
        let mut record = Vec::new();
        session.seal_record_overflow(&mut SeededRandom::new(3), &mut record);
        assert_eq!(world.give(&record), Vec::<Vec<u8>>::new(), "a fatal alert is not answered");
        assert_eq!(world.closed, [CloseCause::ByPeer]);

        let (mut world, mut session) = World::connected(config());
        for count in 0..40 {
            let mut record = Vec::new();
            session.seal_no_renegotiation(&mut SeededRandom::new(3), &mut record);
            let came = world.give(&record);
            let expected: &[&str] = if count == 31 { &["Ok(CloseNotify)"] } else { &[] };
            assert_eq!(opened(&mut session, came), expected, "after {} warnings", count + 1);
        }
        assert_eq!(world.closed, [CloseCause::Abuse]);
    }
}

/// RFC 6347 4.2.2: a repetition is a new record with a new number. One that is not looks like a replay and is
/// dropped like one; its device gets in by its next attempt.
#[test]
fn a_last_flight_is_repeated_for_new_records_and_not_for_copies() {
    for suite in CipherSuite::ALL {
        let config = || ClientConfig { suites: vec![suite], ..config() };
        let (mut world, _) = World::connected(config());
        let flight_5 = world.last_sent(16);
        for _ in 0..10 {
            assert_eq!(world.advance(Duration::from_secs(1)), Vec::<Vec<u8>>::new());
            assert_eq!(world.give(&flight_5), Vec::<Vec<u8>>::new());
        }
        assert_eq!((world.connected, world.closed.len()), (1, 0));
        assert!(world.connect(2, config()).is_some(), "another attempt");
        assert_eq!(world.closed, [CloseCause::Replaced]);
    }
}

/// A confirmable request without a path.
fn request(session: &mut Session, mid: u16) -> Vec<u8> {
    let [high, low] = mid.to_be_bytes();
    let mut record = Vec::new();
    session.seal(&[0x40, 2, high, low], &mut SeededRandom::new(3), &mut record).expect("it fits");
    record
}

#[test]
fn attack_204_forgeries_short_and_full_end_no_session_and_hold_up_no_report() {
    for config in both_suites() {
        let (mut world, mut session) = World::connected(config);
        // More than ever ended a session, as many as fit into a datagram.
        let short: Vec<u8> = record(23, 0xfefd, 1, (1 << 48) - 1, &[]).repeat(107);
        for _ in 0..(1 << 20) / 107 + 1 {
            world.give(&short);
            world.sent.clear();
        }
        assert_eq!(world.count(Counter::ForgeryAlarms), 0, "what is too short for a tag is no forgery");
        let full = record(23, 0xfefd, 1, 1_000_000, &[7; 64]);
        for second in 0..150 {
            for _ in 0..200 {
                world.give(&full);
            }
            world.sent.clear();
            let report = request(&mut session, second);
            assert_eq!(world.give(&report).len(), 1, "second {second}");
            world.advance(Duration::from_secs(1));
        }
        assert_eq!(world.closed, []);
        assert_eq!(world.count(Counter::ForgeryAlarms), 3, "one a minute");
        assert_eq!(world.forged.len(), 3);
        assert!(world.forged.iter().all(|records| records.is_multiple_of(128)));
    }
}

#[test]
fn alarms_about_many_sessions_are_all_counted_and_few_are_reported() {
    let mut world = World::new();
    for port in 0..40 {
        world.peer.set_port(5000 + port);
        world.connect(u64::from(port) + 1, config()).expect("nothing is in the way");
        for _ in 0..200 {
            world.give(&record(23, 0xfefd, 1, 1_000_000, &[7; 64]));
        }
    }
    assert_eq!(world.count(Counter::ForgeryAlarms), 40);
    assert_eq!(world.forged, [128; 10]);
}

/// One device that connects again and again leaves a timer for the end of each session.
#[test]
fn timers_of_sessions_that_ended_stay_for_minutes() {
    let mut world = World::new();
    let mut peak = 0;
    for number in 0..1800 {
        let mut session = world.connect(number + 1, config()).expect("nothing is in the way");
        let report = request(&mut session, 1);
        assert_eq!(world.give(&report).len(), 1);
        world.advance(Duration::from_secs(1));
        world.sent.clear();
        world.received.clear();
        peak = world.shard.stats().gauges.timers.max(peak);
    }
    assert_eq!(world.closed.len(), 1799);
    // The end, the answers and the handshake of each, for five minutes.
    assert!(peak < 3 * 300, "{peak} timers");
}

#[test]
fn a_drain_closes_every_session_with_a_notice_and_none_of_its_steps_is_a_burst() {
    const SESSIONS: u16 = 1000;
    let mut world = World::new();
    let mut sessions = Vec::new();
    for port in 0..SESSIONS {
        world.peer.set_port(5000 + port);
        sessions.push(world.connect(u64::from(port) + 1, config()).expect("nothing is in the way"));
    }
    // One is half way in.
    world.peer.set_port(4999);
    let mut rng = SeededRandom::new(5000);
    let mut half = ClientHandshake::new(config(), world.now, &mut rng);
    let mut datagram = Vec::new();
    for _ in 0..2 {
        assert!(half.poll_transmit(&mut datagram));
        for mut answer in world.give(&datagram) {
            half.handle_datagram(world.now, &mut answer, &mut rng);
        }
    }
    world.shard.handle_command(world.now, ShardCommand::Drain);
    let begin = world.now;
    let mut notices = world.drain();
    let mut most = notices.len();
    while world.shard.is_draining() {
        let next = world.shard.poll_timeout().expect("a step is due");
        let step = world.advance(next.saturating_duration_since(world.now));
        most = most.max(step.len());
        notices.extend(step);
    }
    assert!(most <= 64, "{most} at once");
    assert!(world.now - begin < Duration::from_secs(5));
    assert_eq!(notices.len(), usize::from(SESSIONS));
    assert_eq!(world.closed, [CloseCause::Drained; SESSIONS as usize]);
    for (session, notice) in sessions.iter_mut().zip(notices) {
        assert_eq!(opened(session, vec![notice]), ["Ok(CloseNotify)"]);
    }
    // The one that was half way in is told at once.
    assert!(half.poll_transmit(&mut datagram));
    assert_eq!(world.give(&datagram).len(), 2, "a Finished and a close_notify");
    assert_eq!(world.shard.stats().gauges.sessions, 0);
    // Nobody gets in any more.
    world.peer.set_port(4998);
    assert!(world.connect(6000, config()).is_none());
}
