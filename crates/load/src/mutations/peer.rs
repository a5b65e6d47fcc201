//! A device as the mutations need it: no timers, no state beside its keys and its last answers.

use std::{collections::VecDeque, time::Instant};

use narrowgate_dtls::{
    CipherSuite, ClientConfig, ClientEvent, ClientHandshake, Opened, Session, split_record,
};
use narrowgate_sim::{devices, key::key_of, random::SeededRandom};

use crate::LoadConfig;

/// Answers kept until somebody asks for them.
const ANSWERS_MAX: usize = 64;
/// The payload of every report.
const REPORT: &[u8] =
    br#"{"id":"1","version":"1.0","params":{"measurepoints":{"p":1}},"method":"thing.measurepoint.post"}"#;

/// Suite, and whether encrypt-then-MAC is offered.
pub(super) const PROTECTIONS: [(CipherSuite, bool); 3] = [
    (CipherSuite::PskAes128Ccm8, true),
    (CipherSuite::PskAes128CbcSha256, true),
    (CipherSuite::PskAes128CbcSha256, false),
];

pub(super) struct Peer {
    /// Its address, and its place among the devices.
    pub(super) number: u32,
    path: String,
    side: Side,
    to_send: Option<Vec<u8>>,
    mid: u16,
    answers: VecDeque<[u8; 4]>,
}

enum Side {
    Handshake(Box<ClientHandshake>),
    Established(Box<Session>),
    Failed,
}

impl Peer {
    pub(super) fn new(
        config: &LoadConfig,
        number: u32,
        (suite, encrypt_then_mac): (CipherSuite, bool),
        random: &mut SeededRandom,
    ) -> Self {
        let registered = config.first_device.saturating_add(number - 1);
        let (product_key, device_key) = (&config.product_key, devices::device_key(registered));
        let psk = key_of(devices::device_secret(registered).as_bytes());
        let identity = format!("{product_key},{device_key},2,3600");
        let client = ClientConfig {
            suites: vec![suite],
            encrypt_then_mac,
            ..ClientConfig::new(identity.as_bytes(), psk)
        };
        Self {
            number,
            path: format!("topic/sys/{product_key}/{device_key}/thing/measurepoint/post"),
            side: Side::Handshake(Box::new(ClientHandshake::new(client, Instant::now(), random))),
            to_send: None,
            mid: random.below(65_536) as u16,
            answers: VecDeque::new(),
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(self.side, Side::Established(_))
    }

    pub(super) fn has_to_send(&self) -> bool {
        self.to_send.is_some()
    }

    /// The next flight of its handshake, as one datagram.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.look();
        self.to_send.take()
    }

    fn look(&mut self) {
        let Side::Handshake(handshake) = &mut self.side else { return };
        let mut datagram = Vec::new();
        while handshake.poll_transmit(&mut datagram) {
            self.to_send.get_or_insert_default().append(&mut datagram);
        }
        match handshake.poll_event() {
            Some(ClientEvent::Established(session)) => self.side = Side::Established(session),
            Some(ClientEvent::Failed(_) | ClientEvent::Expired) => self.side = Side::Failed,
            None => {}
        }
    }

    pub(super) fn handle_datagram(&mut self, datagram: &mut [u8], random: &mut SeededRandom) {
        match &mut self.side {
            Side::Handshake(handshake) => {
                handshake.handle_datagram(Instant::now(), datagram, random);
                self.look();
            }
            Side::Established(session) => {
                let mut rest = datagram;
                while let Some((record, tail)) = split_record(rest) {
                    if let Ok(Opened::Application(message)) = session.open(record)
                        && let Some(head) = message.first_chunk()
                    {
                        self.answers.push_back(*head);
                        if self.answers.len() > ANSWERS_MAX {
                            self.answers.pop_front();
                        }
                    }
                    rest = tail;
                }
            }
            Side::Failed => {}
        }
    }

    /// Whether an acknowledgement with 2.04 came for this message.
    pub(super) fn took_changed(&mut self, mid: u16) -> bool {
        self.took([0x60, 0x44], mid)
    }

    /// Whether it was answered by a reset.
    pub(super) fn took_reset(&mut self, mid: u16) -> bool {
        self.took([0x70, 0x00], mid)
    }

    fn took(&mut self, head: [u8; 2], mid: u16) -> bool {
        let [high, low] = mid.to_be_bytes();
        let wanted = [head[0], head[1], high, low];
        let found = self.answers.iter().any(|answer| *answer == wanted);
        if found {
            self.answers.clear();
        }
        found
    }

    /// The code of the piggybacked answer to this message, if it came.
    pub(super) fn took_answer(&mut self, mid: u16) -> Option<u8> {
        let [high, low] = mid.to_be_bytes();
        let answer = self.answers.iter().find(|answer| answer[0] == 0x60 && answer[2..] == [high, low]);
        let code = answer.map(|answer| answer[1]);
        if code.is_some() {
            self.answers.clear();
        }
        code
    }

    /// Goes on with any Message ID.
    pub(super) fn choose_mid(&mut self, random: &mut SeededRandom) {
        self.mid = random.below(65_536) as u16;
    }

    pub(super) fn seal(&mut self, message: &[u8], random: &mut SeededRandom) -> Vec<u8> {
        let mut record = Vec::new();
        if let Side::Established(session) = &mut self.side {
            // A message that is too long for a record becomes an empty datagram.
            if session.seal(message, random, &mut record).is_err() {
                record.clear();
            }
        }
        record
    }

    pub(super) fn close(&mut self, random: &mut SeededRandom) -> Vec<u8> {
        let mut record = Vec::new();
        if let Side::Established(session) = &mut self.side {
            session.seal_close_notify(random, &mut record);
        }
        record
    }

    fn next_mid(&mut self) -> u16 {
        self.mid = self.mid.wrapping_add(1);
        self.mid
    }

    pub(super) fn ping(&mut self) -> (u16, Vec<u8>) {
        let mid = self.next_mid();
        (mid, head(0x40, 0, mid))
    }

    /// A report and its Message ID.
    pub(super) fn report(&mut self) -> (u16, Vec<u8>) {
        let mid = self.next_mid();
        let mut message = head(0x40, 2, mid);
        put_path(&mut message, &self.path);
        // Content-Format 50.
        message.extend_from_slice(&[0x11, 50, 0xff]);
        message.extend_from_slice(REPORT);
        (mid, message)
    }

    /// Something to mutate.
    pub(super) fn message(&mut self, dice: &mut SeededRandom) -> Vec<u8> {
        match dice.index(4) {
            0 => self.ping().1,
            1 => {
                let mut message = head(0x40, 1, self.next_mid());
                put_path(&mut message, "topic/ext/session/x/y/thing/activate/info");
                message
            }
            2 => head(0x60, 0x45, self.next_mid()),
            _ => self.report().1,
        }
    }
}

fn head(first: u8, code: u8, mid: u16) -> Vec<u8> {
    let [high, low] = mid.to_be_bytes();
    vec![first, code, high, low]
}

/// Uri-Path options; each segment has at most 12 or at most 268 bytes.
fn put_path(message: &mut Vec<u8>, path: &str) {
    for (index, segment) in path.split('/').enumerate() {
        let delta = if index == 0 { 0xb0 } else { 0 };
        match segment.len() {
            length @ 0..13 => message.push(delta | length as u8),
            length => message.extend_from_slice(&[delta | 13, (length - 13) as u8]),
        }
        message.extend_from_slice(segment.as_bytes());
    }
}
