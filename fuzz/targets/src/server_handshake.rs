//! A server's handshake behind a good cookie: what a peer may do to it, and which ClientHello begins one.
//!
//! The first byte chooses the protection, what the platform answers, and whether the rest is the body of a
//! ClientHello or a script of datagrams after an honest one.

use std::{
    cell::RefCell,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_dtls::{
    CipherSuite, ClientConfig, ClientHandshake, DecoySecret, FrontDoor, HandshakeEvent, Listener, PskAnswer,
    ServerConfig, ServerHandshake, limits, split_record, test_support,
};

use crate::script::{Counting, Protection, Script, key_of, start, step};

/// Flight 4 once, by its timer and on demand; our Finished; an alert.
const DATAGRAMS_MAX: usize = 1 + 5 + limits::DEMANDED_RESENDS_MAX as usize + 2;
const SECRET: &[u8] = b"Z5YtZaQpK5IWocakV7zQ";
const PEER: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 9), 5684);
/// Where the length of session_id lies in the body of a ClientHello.
const SESSION_ID_AT: usize = 34;
/// Where the cookie lies in a datagram with a HelloVerifyRequest.
const COOKIE_AT: usize = 28;

thread_local! {
    static FIXED: RefCell<Fixed> = RefCell::new(Fixed::new());
}

struct Fixed {
    listener: Listener,
    honest: [Honest; 3],
    reply: Vec<u8>,
}

/// What an honest client sends: its ClientHello with the cookie, and the records of its last flight.
struct Honest {
    hello: Vec<u8>,
    flight: Vec<Vec<u8>>,
}

impl Fixed {
    fn new() -> Self {
        let config = Arc::new(ServerConfig::new(DecoySecret::new([7; 32])));
        let mut listener = Listener::new(config, start(), &mut Counting(1));
        let honest = [0, 1, 2].map(|choice| Honest::new(&mut listener, Protection::choose(choice)));
        Self { listener, honest, reply: Vec::new() }
    }
}

impl Honest {
    fn new(listener: &mut Listener, protection: Protection) -> Self {
        let suite = match protection {
            Protection::Ccm8 => CipherSuite::PskAes128Ccm8,
            _ => CipherSuite::PskAes128CbcSha256,
        };
        let config = ClientConfig {
            suites: vec![suite],
            encrypt_then_mac: protection == Protection::CbcEncryptThenMac,
            ..ClientConfig::new(b"MuGsF6W4,15bBZlRknc,2,3600", key_of(SECRET))
        };
        let mut client = ClientHandshake::new(config, start(), &mut Counting(3));
        let (mut up, mut down) = (Vec::new(), Vec::new());
        assert!(client.poll_transmit(&mut up), "a client begins");
        ask(listener, &up, &mut down);
        client.handle_datagram(start(), &mut down, &mut Counting(0));
        let mut hello = Vec::new();
        assert!(client.poll_transmit(&mut hello), "a client repeats its ClientHello with the cookie");
        let FrontDoor::Accept(mut server) = ask(listener, &hello, &mut down) else {
            panic!("the cookie is good");
        };
        while server.poll_transmit(&mut down) {
            client.handle_datagram(start(), &mut down, &mut Counting(0));
        }
        let mut flight = Vec::new();
        while client.poll_transmit(&mut up) {
            let mut rest = up.as_mut_slice();
            while let Some((record, tail)) = split_record(rest) {
                flight.push(record.to_vec());
                rest = tail;
            }
        }
        assert!(flight.len() >= 3, "ClientKeyExchange, ChangeCipherSpec, Finished");
        Self { hello, flight }
    }
}

/// The front door, with the same randomness each time: so the server's random is always the same.
fn ask(listener: &mut Listener, datagram: &[u8], reply: &mut Vec<u8>) -> FrontDoor {
    listener.handle_datagram(start(), SocketAddr::from(PEER), datagram, &mut Counting(9), reply)
}

/// A handshake stays below its limits of memory and of datagrams, asks for a key once, is established only by
/// the Finished that the right key has sealed, and is over when its lifetime is. A ClientHello with a good
/// cookie is accepted and chosen from as its parts say.
pub fn server_handshake(data: &[u8]) {
    let mut script = Script::new(data);
    let choice = script.byte();
    FIXED.with_borrow_mut(|Fixed { listener, honest, reply }| {
        if choice & 4 != 0 {
            return hello_with_cookie(listener, script.rest(), reply);
        }
        let honest = &honest[usize::from(choice & 3) % 3];
        let FrontDoor::Accept(handshake) = ask(listener, &honest.hello, reply) else {
            panic!("the honest ClientHello begins a handshake");
        };
        let answer = Answer::choose(choice >> 3);
        let mut attack = Attack {
            handshake,
            now: start(),
            answer,
            asked: 0,
            rejected: 0,
            sent: 0,
            proven: false,
            ended: 0,
        };
        attack.drain(reply);
        while let Some(command) = script.next() {
            attack.run(command, honest, &mut script);
            attack.drain(reply);
        }
        attack.end(reply);
    });
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Right,
    Wrong,
    Decoy,
}

impl Answer {
    fn choose(choice: u8) -> Self {
        match choice & 3 {
            0 | 3 => Self::Right,
            1 => Self::Wrong,
            _ => Self::Decoy,
        }
    }

    fn psk(self) -> PskAnswer {
        match self {
            Self::Right => PskAnswer::key(key_of(SECRET)),
            Self::Wrong => PskAnswer::key(key_of(b"another")),
            Self::Decoy => PskAnswer::decoy(),
        }
    }
}

struct Attack {
    handshake: Box<ServerHandshake>,
    now: Instant,
    answer: Answer,
    /// How often a key was asked for.
    asked: u32,
    rejected: usize,
    /// Datagrams.
    sent: usize,
    /// The honest Finished has come unchanged.
    proven: bool,
    /// Established, failed, expired.
    ended: u32,
}

impl Attack {
    fn run(&mut self, command: u8, honest: &Honest, script: &mut Script<'_>) {
        let argument = command >> 3;
        let last = honest.flight.len() - 1;
        let index = usize::from(argument) % honest.flight.len();
        match command & 7 {
            0 | 1 => {
                self.proven |= index == last;
                self.receive(&mut honest.flight[index].clone());
            }
            2 => {
                let mut record = honest.flight[index].clone();
                let position = usize::from(script.byte()) % record.len();
                record[position] ^= script.byte().max(1);
                self.receive(&mut record);
            }
            3 => {
                self.proven = true;
                self.receive(&mut honest.flight.concat());
            }
            4 => {
                let length = usize::from(script.byte());
                self.receive(&mut script.take(length).to_vec());
            }
            5 => {
                self.now += step(argument);
                self.handshake.handle_timeout(self.now);
            }
            6 => {
                let answer = self.answer.psk();
                self.handshake.provide_psk(self.now, answer, &mut Counting(0));
            }
            _ => self.receive(&mut fragment(argument, script)),
        }
        let bytes = self.handshake.memory_bytes();
        assert!(bytes <= limits::HANDSHAKE_BYTES_MAX, "a handshake occupies {bytes} bytes");
    }

    fn receive(&mut self, datagram: &mut [u8]) {
        self.handshake.handle_datagram(self.now, datagram, &mut Counting(0));
    }

    fn drain(&mut self, datagram: &mut Vec<u8>) {
        while let Some(event) = self.handshake.poll_event() {
            match event {
                HandshakeEvent::PskWanted { identity } => {
                    assert!(identity.len() <= limits::MESSAGE_BYTES_MAX, "an identity is part of a message");
                    self.asked += 1;
                    assert_eq!(self.asked, 1, "a key is asked for once");
                }
                HandshakeEvent::Established(session) => {
                    assert!(self.proven && self.answer == Answer::Right, "established without the key");
                    assert_eq!(session.received_below(), 1, "the Finished was the first record");
                    self.ended += 1;
                }
                HandshakeEvent::Failed(_) | HandshakeEvent::Expired => self.ended += 1,
                HandshakeEvent::FinishedRejected(_) => assert_eq!(self.asked, 1),
                HandshakeEvent::KeyExchangeRejected(rejected) => {
                    self.rejected += 1;
                    assert_eq!((self.rejected, self.asked), (1, 0), "told once, before a key is asked for");
                    assert!(rejected.identity.len() <= limits::REJECTED_IDENTITY_BYTES_MAX);
                }
            }
        }
        assert!(self.ended <= 1, "a handshake ends once");
        assert_eq!(self.ended == 1, self.handshake.is_over(), "its end is told");
        while self.handshake.poll_transmit(datagram) {
            self.sent += 1;
            assert!(datagram.len() <= 1280, "a datagram of {} bytes", datagram.len());
        }
        assert!(self.sent <= DATAGRAMS_MAX, "{} datagrams to one peer", self.sent);
    }

    /// Its lifetime ends.
    fn end(&mut self, datagram: &mut Vec<u8>) {
        self.now += Duration::from_secs(60);
        self.handshake.handle_timeout(self.now);
        self.drain(datagram);
        assert!(
            self.handshake.is_over() && self.handshake.poll_timeout().is_none(),
            "a handshake is for ever"
        );
    }
}

/// A handshake fragment of the script's choice in a record of epoch 0.
fn fragment(sequence: u8, script: &mut Script<'_>) -> Vec<u8> {
    let [kind, message_seq, high, low, offset, length] = std::array::from_fn(|_| script.byte());
    let bytes = script.take(usize::from(length));
    let content_length = (12 + bytes.len()) as u16;
    let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0x80 | sequence];
    record.extend_from_slice(&content_length.to_be_bytes());
    record.extend_from_slice(&[
        kind,
        0,
        high & 15,
        low,
        0,
        message_seq & 15,
        0,
        0,
        offset,
        0,
        0,
        bytes.len() as u8,
    ]);
    record.extend_from_slice(bytes);
    record
}

fn hello_with_cookie(listener: &mut Listener, body: &[u8], reply: &mut Vec<u8>) {
    // The cookie's place is after a session_id; what stood there goes.
    let Some(&session_id_length) = body.get(SESSION_ID_AT) else { return };
    let cookie_at = SESSION_ID_AT + 1 + usize::from(session_id_length);
    let Some(&cookie_length) = body.get(cookie_at) else { return };
    let Some(rest) = body.get(cookie_at + 1 + usize::from(cookie_length)..) else { return };
    let hello = |cookie: &[u8]| [&body[..cookie_at], &[cookie.len() as u8], cookie, rest].concat();
    let plain = hello(&[]);
    if plain.len() + limits::COOKIE_BYTES > limits::MESSAGE_BYTES_MAX || session_id_length > 32 {
        return;
    }
    let first = in_datagram(&plain, 0);
    let FrontDoor::HelloVerify = ask(listener, &first, reply) else {
        panic!("a ClientHello without a cookie is asked for it");
    };
    assert!(reply.len() <= first.len(), "the question is not larger than its cause");
    let with_cookie = hello(&reply[COOKIE_AT..]);
    let parsed = test_support::client_hello(&with_cookie, [0xc0a8, 0x00ae]);
    match (ask(listener, &in_datagram(&with_cookie, 1), reply), parsed) {
        (FrontDoor::Refuse(refusal), Err(expected)) => assert_eq!(refusal, expected),
        (FrontDoor::Refuse(_), Ok(hello)) => {
            assert!(hello.version >> 8 != 0xfe || hello.version > 0xfefd || hello.offers == [false; 2]);
            assert_eq!(reply.len(), 15, "an alert");
        }
        (FrontDoor::Accept(mut handshake), Ok(hello)) => {
            assert!(hello.version <= 0xfefd && hello.offers != [false; 2]);
            let suite =
                if hello.offers[0] { CipherSuite::PskAes128Ccm8 } else { CipherSuite::PskAes128CbcSha256 };
            assert_eq!(handshake.suite(), suite);
            assert_eq!(handshake.client_random(), hello.random);
            assert_eq!(handshake.extended_master_secret(), hello.extended_master_secret);
            assert_eq!(handshake.encrypt_then_mac(), hello.encrypt_then_mac && !hello.offers[0]);
            assert!(handshake.memory_bytes() <= limits::HANDSHAKE_BYTES_MAX);
            assert!(handshake.poll_transmit(reply), "a ServerHello is sent");
            assert!(!handshake.poll_transmit(reply), "in one datagram");
        }
        (outcome, parsed) => panic!("{outcome:?} for {parsed:?}"),
    }
}

fn in_datagram(body: &[u8], message_seq: u8) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    let mut datagram = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, message_seq];
    datagram.extend_from_slice(&((body.len() + 12) as u16).to_be_bytes());
    datagram.extend_from_slice(&[1, length[1], length[2], length[3], 0, message_seq]);
    datagram.extend_from_slice(&[0, 0, 0, length[1], length[2], length[3]]);
    datagram.extend_from_slice(body);
    datagram
}
