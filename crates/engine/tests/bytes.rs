//! The limit of bytes of a device, at a whole shard and over real records.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_coap::{
    Block, Budget, Code, Context, Endpoint, Event, OptionNumber, Params, Request, Response,
};
use narrowgate_dtls::{
    ClientConfig, ClientEvent, ClientHandshake, DecoySecret, Opened, Psk, PskAnswer, ServerConfig, Session,
};
use narrowgate_engine::{
    event::{SessionId, ShardCommand, ShardEvent},
    shard::{
        Shard, ShardConfig,
        stats::Counter,
        throttle::{ByteLimit, Spent},
    },
};
use narrowgate_testkit::SeededRandom;

const KEY: &[u8; 16] = b"the key of tests";
fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], 5684))
}

const SECOND: Duration = Duration::from_secs(1);

/// A shard, a platform that answers 2.04, and a device with its end of a session.
struct World {
    now: Instant,
    shard: Shard,
    session: Option<SessionId>,
    device: Endpoint,
    params: Params,
    budget: Budget,
    random: SeededRandom,
    requests: usize,
    /// What the platform was told of throttled sessions and of their ends.
    throttled: Vec<u32>,
    spent: Vec<Spent>,
}

/// 2.04, or a block of a body of many megabytes.
fn answer(request: &Request) -> Response {
    match request.block2 {
        None => Response::new(Code::CHANGED),
        Some(block) => {
            let content = Response::new(Code::CONTENT).option(OptionNumber::ETAG, "tag");
            content.payload(vec![b'f'; block.bytes()]).block(block, 50 << 20)
        }
    }
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "any instant serves as the start of virtual time")]
    fn new(limit: Option<ByteLimit>) -> Self {
        let now = Instant::now();
        let dtls = Arc::new(ServerConfig::new(DecoySecret::new([7; 32])));
        let config = ShardConfig { device_bytes: limit, ..ShardConfig::new(dtls) };
        Self {
            now,
            shard: Shard::new(config, now, [1; 32]),
            session: None,
            device: Endpoint::new(1),
            params: Params::default(),
            budget: Budget::new(1 << 20),
            random: SeededRandom::new(3),
            requests: 0,
            throttled: Vec::new(),
            spent: Vec::new(),
        }
    }

    /// Gives a datagram to the shard; what comes back.
    fn give(&mut self, mut datagram: Vec<u8>) -> Vec<Vec<u8>> {
        self.shard.handle_datagram(self.now, peer(), &mut datagram);
        while let Some(event) = self.shard.poll_event() {
            match event {
                ShardEvent::PskWanted { handshake, .. } => {
                    let answer = PskAnswer::key(Psk::new(KEY).expect("16 bytes"));
                    self.shard.handle_command(self.now, ShardCommand::ProvidePsk { handshake, answer });
                }
                ShardEvent::Connected { session, .. } => self.session = Some(session),
                ShardEvent::Request { ticket, request } => {
                    self.requests += 1;
                    let response = answer(&request);
                    self.shard.handle_command(self.now, ShardCommand::Respond { ticket, response });
                }
                ShardEvent::Throttled { wait_s, .. } => self.throttled.push(wait_s),
                ShardEvent::Spent { spent, .. } => self.spent.push(spent),
                _ => {}
            }
        }
        let came = self.shard.outbox().iter().map(|(_, datagram)| datagram.to_vec()).collect();
        self.shard.outbox().clear();
        came
    }

    fn connect(&mut self) -> Session {
        let config = ClientConfig::new(b"MuGsF6W4,device,2,3600", Psk::new(KEY).expect("16 bytes"));
        let mut client = ClientHandshake::new(config, self.now, &mut self.random);
        let mut datagram = Vec::new();
        loop {
            let mut came = Vec::new();
            while client.poll_transmit(&mut datagram) {
                came.extend(self.give(datagram.clone()));
            }
            for mut datagram in came {
                client.handle_datagram(self.now, &mut datagram, &mut self.random);
            }
            if let Some(ClientEvent::Established(session)) = client.poll_event() {
                return *session;
            }
        }
    }

    /// A POST with a payload of so many bytes; the answer's code and Max-Age.
    fn post(&mut self, session: &mut Session, bytes: usize) -> (Code, Option<u32>) {
        self.ask(session, Request::post("p", 50, vec![b'x'; bytes]))
    }

    /// A block of a body of whole blocks of 512 bytes.
    fn post_block(&mut self, session: &mut Session, number: u32, more: bool) -> (Code, Option<u32>) {
        let block = Block::new(number, more, 512).expect("a size").value() as u16;
        let request = Request::post("p", 50, vec![b'x'; 512]);
        self.ask(session, request.option(OptionNumber::BLOCK1, block.to_be_bytes()))
    }

    /// A block of 1024 bytes of a body that is read for each request.
    fn fetch(&mut self, session: &mut Session, number: u32) -> (Code, Option<u32>) {
        let block = Block::new(number, false, 1024).expect("a size").value();
        self.ask(session, Request::get("f").option(OptionNumber::BLOCK2, &block.to_be_bytes()[1..]))
    }

    fn ask(&mut self, session: &mut Session, request: Request) -> (Code, Option<u32>) {
        let mut context = Context { now: self.now, params: &self.params, budget: &mut self.budget };
        self.device.request(&mut context, request).expect("there is room for it");
        let mut message = Vec::new();
        assert!(self.device.poll_transmit(&mut message));
        let mut datagram = Vec::new();
        session.seal(&message, &mut self.random, &mut datagram).expect("it fits");
        let came = self.give(datagram);
        let [mut answer] = <[_; 1]>::try_from(came).expect("one answer");
        let Ok(Opened::Application(message)) = session.open(&mut answer) else { panic!("a message") };
        let mut context = Context { now: self.now, params: &self.params, budget: &mut self.budget };
        self.device.handle_message(&mut context, message);
        loop {
            match self.device.poll_event() {
                Some(Event::Response { response, .. }) => {
                    let max_age = response.options.find_uint(OptionNumber::MAX_AGE);
                    return (response.code, max_age);
                }
                Some(_) => {}
                None => panic!("it is answered"),
            }
        }
    }
}

/// Blocks that came for nothing would let a device send bodies for the bytes of their last blocks.
#[test]
fn attack_142_blocks_beyond_the_bytes_of_a_device_are_answered_4_29_and_their_body_goes_on_later() {
    let mut world = World::new(Some(ByteLimit { per_second: 1000, burst: 20_000 }));
    let mut session = world.connect();
    let early = (Code::TOO_MANY_REQUESTS, Some(1));
    assert_eq!(world.post_block(&mut session, 0, true), (Code::CONTINUE, None));
    while world.post(&mut session, 980).0 == Code::CHANGED {}
    while world.post_block(&mut session, 1, true).0 == Code::CONTINUE {}
    let (mut served, mut number, before) = (0, 2, world.requests);
    assert_eq!(world.post_block(&mut session, number, true), early);
    for _ in 0..23 {
        world.now += SECOND;
        // Of many blocks that come at once, as many bytes are taken as come back in a second.
        for _ in 0..4 {
            let is_last = number == 17;
            let answer = world.post_block(&mut session, number, !is_last);
            if answer != early {
                assert_eq!(answer.0, if is_last { Code::CHANGED } else { Code::CONTINUE });
                served += 512;
                number = if is_last { 0 } else { number + 1 };
            }
        }
    }
    assert!((18_000..=24_000).contains(&served), "{served} bytes in 23 s");
    assert!(world.requests - before >= 1, "the body that was held back is complete");
    assert_eq!(world.throttled.len(), 1, "the platform is told once");
    assert!(world.shard.stats().value(Counter::RequestsThrottled) > 24, "each is counted");
}

#[test]
fn requests_beyond_the_bytes_of_a_device_are_answered_4_29_with_max_age_and_do_nothing() {
    let limit = ByteLimit { per_second: 1000, burst: 20_000 };
    let mut world = World::new(Some(limit));
    let mut session = world.connect();
    let served = (0..100).take_while(|_| world.post(&mut session, 980).0 == Code::CHANGED).count();
    assert_eq!((served, world.requests), (20, 20), "a burst of messages of some 990 bytes");
    assert_eq!(world.throttled, [1], "the platform is told");
    // A flood is not served more than the rate, and told once.
    for second in 1..=8 {
        world.now += SECOND;
        let codes: Vec<_> = (0..50).map(|_| world.post(&mut session, 980)).collect();
        assert_eq!(codes[0], (Code::CHANGED, None), "in second {second}");
        assert!(codes[1..].iter().all(|(code, wait)| (*code, *wait) == (Code::TOO_MANY_REQUESTS, Some(1))));
    }
    assert_eq!(world.throttled.len(), 1, "once in a pause");
    assert_eq!(world.shard.stats().value(Counter::RequestsThrottled), 1 + 8 * 49);
    // The pause is over when half is there again.
    world.now += 11 * SECOND;
    let served = (0..100).take_while(|_| world.post(&mut session, 980).0 == Code::CHANGED).count();
    assert!((11..=12).contains(&served), "{served}");
    assert_eq!(world.throttled.len(), 2);
}

#[test]
fn a_device_that_keeps_to_max_age_is_served_when_it_says() {
    let mut world = World::new(Some(ByteLimit { per_second: 100, burst: 16 << 10 }));
    let mut session = world.connect();
    let wait = loop {
        if let (Code::TOO_MANY_REQUESTS, wait) = world.post(&mut session, 900) {
            break wait.expect("with Max-Age");
        }
    };
    assert!((1..=10).contains(&wait), "{wait}");
    world.now += wait * SECOND;
    assert_eq!(world.post(&mut session, 900).0, Code::CHANGED);
}

#[test]
fn what_was_spent_goes_from_one_session_to_the_next_and_is_gone_when_time_has_passed() {
    let limit = ByteLimit { per_second: 1000, burst: 20_000 };
    let mut world = World::new(Some(limit));
    let mut session = world.connect();
    assert!((0..15).all(|_| world.post(&mut session, 980).0 == Code::CHANGED));
    let id = world.session.expect("it stands");
    world.now += 3 * SECOND;
    world.shard.handle_command(world.now, ShardCommand::Close { session: id });
    let mut session = world.connect();
    let [spent] = world.spent[..] else { panic!("once: {:?}", world.spent) };
    assert!((11_700..12_300).contains(&spent.up), "{spent:?}");
    let id = world.session.expect("it stands");
    world.shard.handle_command(world.now, ShardCommand::Charge { session: id, spent });
    let served = (0..100).take_while(|_| world.post(&mut session, 980).0 == Code::CHANGED).count();
    assert!((7..=8).contains(&served), "{served}");
    // An hour later it is forgotten.
    world.now += 3600 * SECOND;
    world.shard.handle_command(world.now, ShardCommand::Close { session: id });
    world.connect();
    assert_eq!(world.spent.len(), 1);
}

/// Firmware is longer than all that its device sends in weeks, and simple clients give up at a 4.29.
#[test]
fn blocks_that_are_read_for_each_request_count_for_nothing_and_all_else_counts_as_ever() {
    let mut world = World::new(Some(ByteLimit { per_second: 1000, burst: 20_000 }));
    let mut session = world.connect();
    for number in 0..5000 {
        assert_eq!(world.fetch(&mut session, number), (Code::CONTENT, None), "block {number}");
    }
    let served = (0..100).take_while(|_| world.post(&mut session, 980).0 == Code::CHANGED).count();
    assert_eq!(served, 20, "as many as without the blocks");
    // Who has spent everything waits with blocks too: they may be asked for by requests of any length.
    while world.post(&mut session, 0).0 == Code::CHANGED {}
    assert_eq!(world.fetch(&mut session, 1), (Code::TOO_MANY_REQUESTS, Some(1)));
    world.now += SECOND;
    assert_eq!(world.fetch(&mut session, 1), (Code::CONTENT, None));
}

#[test]
fn without_a_limit_nothing_is_counted() {
    let mut world = World::new(None);
    let mut session = world.connect();
    assert!((0..500).all(|_| world.post(&mut session, 980).0 == Code::CHANGED));
    assert_eq!(world.shard.stats().value(Counter::RequestsThrottled), 0);
}

#[test]
fn a_handshake_that_is_dropped_ends_silently_and_the_next_one_begins() {
    let mut world = World::new(None);
    let config = ClientConfig::new(b"MuGsF6W4,device,2,3600", Psk::new(KEY).expect("16 bytes"));
    let mut client = ClientHandshake::new(config, world.now, &mut world.random);
    let mut datagram = Vec::new();
    let (mut asked, mut ended) = (None, false);
    while asked.is_none() {
        assert!(client.poll_transmit(&mut datagram), "it comes to its key exchange");
        world.shard.handle_datagram(world.now, peer(), &mut datagram);
        while let Some(event) = world.shard.poll_event() {
            if let ShardEvent::PskWanted { handshake, .. } = event {
                asked = Some(handshake);
            }
        }
        let came: Vec<Vec<u8>> = world.shard.outbox().iter().map(|(_, sent)| sent.to_vec()).collect();
        world.shard.outbox().clear();
        for mut datagram in came {
            client.handle_datagram(world.now, &mut datagram, &mut world.random);
        }
    }
    let handshake = asked.expect("it asked");
    for _ in 0..2 {
        world.shard.handle_command(world.now, ShardCommand::DropHandshake { handshake });
        while let Some(event) = world.shard.poll_event() {
            assert!(matches!(event, ShardEvent::HandshakeEnded { .. }), "{event:?}");
            ended = true;
        }
        assert!(world.shard.outbox().is_empty(), "nothing is sent");
    }
    assert!(ended);
    let gauges = world.shard.stats().gauges;
    assert_eq!((gauges.handshakes, gauges.lookups), (0, 0));
    assert_eq!(world.shard.stats().value(Counter::HandshakesLimited), 1);
    world.connect();
}
