//! A client whose every record and message can be made by hand. `connect` does all honestly; its parts are
//! public, so that a test may stop and do something else in between.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use narrowgate_platform::rules::psk;

pub(crate) use narrowgate_testkit::{
    hello::Hello,
    record::{ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, extension, fragment, message, record},
};

pub(crate) use crate::crypto::Protection;
use crate::{
    coap,
    crypto::{Keys, premaster, prf, sha256},
    harness::{BEFORE_A_DEVICE_REPEATS, Device},
};

/// How long an answer is waited for that has to come.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    pub(crate) device: Device,
    pub(crate) identity: Vec<u8>,
    pub(crate) psk: Vec<u8>,
    pub(crate) protection: Protection,
    pub(crate) hello: Hello,
    /// Of the next record in epoch 0, and in epoch 1.
    pub(crate) sequence: u64,
    pub(crate) sequence_1: u64,
    transcript: Vec<u8>,
    server_random: Vec<u8>,
    extended: bool,
    master: Vec<u8>,
    keys: Option<Keys>,
    mid: u16,
}

impl Client {
    pub(crate) fn new(server: SocketAddr, device: Device, protection: Protection) -> Self {
        static NEXT_ADDRESS: AtomicU32 = AtomicU32::new(1);
        let host = NEXT_ADDRESS.fetch_add(1, Ordering::Relaxed);
        // Another network for each process: tests of other binaries may run at the same time.
        let network = 0x7f10_0000 | (std::process::id() & 0xff) << 12;
        let address = Ipv4Addr::from(network | (host & 0xfff));
        Self::at(SocketAddr::from((address, 0)), server, device, protection)
    }

    /// On an address, or on a port, of the test's choice.
    pub(crate) fn at(own: SocketAddr, server: SocketAddr, device: Device, protection: Protection) -> Self {
        let socket = UdpSocket::bind(own).unwrap();
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).unwrap();
        let random = sha256(&seed);
        let mut extensions = Vec::new();
        if protection == Protection::CbcEncryptThenMac {
            extensions = extension(22, &[]);
        }
        let hello = Hello {
            random,
            suites: protection.suite().to_vec(),
            extensions: Some(extensions).filter(|extensions| !extensions.is_empty()),
            ..Hello::new()
        };
        Self {
            socket,
            server,
            identity: device.identity().into_bytes(),
            psk: psk::derive(device.secret.as_bytes()).to_vec(),
            device,
            protection,
            hello,
            sequence: 0,
            sequence_1: 0,
            transcript: Vec::new(),
            server_random: Vec::new(),
            extended: false,
            master: Vec::new(),
            keys: None,
            mid: u16::from_be_bytes([seed[0], seed[1]]),
        }
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Goes through somebody else from now on.
    pub(crate) fn set_server(&mut self, server: SocketAddr) {
        self.server = server;
    }

    /// Each has the other's address from now on.
    pub(crate) fn swap_socket(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.socket, &mut other.socket);
    }

    // Datagrams.

    pub(crate) fn send(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.server).unwrap();
    }

    /// The next datagram within the time.
    pub(crate) fn receive_within(&self, time: Duration) -> Option<Vec<u8>> {
        self.socket.set_read_timeout(Some(time)).unwrap();
        let mut buffer = [0; 4096];
        let (length, from) = self.socket.recv_from(&mut buffer).ok()?;
        assert_eq!(from, self.server);
        Some(buffer[..length].to_vec())
    }

    #[track_caller]
    pub(crate) fn receive(&self) -> Vec<u8> {
        self.receive_within(PATIENCE).expect("an answer")
    }

    /// The next datagram of this kind; what comes late to something said before is passed over.
    #[track_caller]
    pub(crate) fn receive_until(&self, what: &str, is_right: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut others = Vec::new();
        let datagram = self.receive_right_within(PATIENCE, &mut others, is_right);
        datagram.unwrap_or_else(|| panic!("{what} did not come, but {others:02x?}"))
    }

    fn receive_right_within(
        &self,
        time: Duration,
        others: &mut Vec<Vec<u8>>,
        is_right: impl Fn(&[u8]) -> bool,
    ) -> Option<Vec<u8>> {
        let end = Instant::now() + time;
        loop {
            // A timeout of zero would be none.
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            match self.receive_within(left) {
                Some(datagram) if is_right(&datagram) => return Some(datagram),
                Some(other) => others.push(other),
                None => return None,
            }
        }
    }

    /// A datagram that has arrived already.
    pub(crate) fn waiting(&self) -> Option<Vec<u8>> {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        let received = self.socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec());
        self.socket.set_nonblocking(false).unwrap();
        received
    }

    /// Forgets what has arrived.
    pub(crate) fn drain(&self) {
        while self.waiting().is_some() {}
    }

    // The handshake, step by step.

    /// Forgets the handshake and everything about it, as after a reset; the address stays.
    pub(crate) fn start_anew(&mut self) {
        let own = self.local_address();
        let mut fresh =
            Self::at(SocketAddr::from((own.ip(), 0)), self.server, self.device.clone(), self.protection);
        std::mem::swap(&mut fresh.socket, &mut self.socket);
        std::mem::swap(&mut fresh.identity, &mut self.identity);
        std::mem::swap(&mut fresh.psk, &mut self.psk);
        *self = fresh;
    }

    /// Sends the first ClientHello and notes the cookie.
    #[track_caller]
    pub(crate) fn ask_cookie(&mut self) {
        self.send(&self.hello.datagram());
        let answer = self.receive_until("a HelloVerifyRequest", |it| (it[0], it[13]) == (HANDSHAKE, 3));
        self.hello.cookie = answer[28..].to_vec();
        self.hello.sequence += 1;
        self.hello.message_seq = 1;
    }

    /// Sends the second ClientHello and takes flight 4.
    #[track_caller]
    pub(crate) fn take_server_hello(&mut self) {
        self.send(&self.hello.datagram());
        let answer = self.receive_until("a ServerHello", |it| (it[0], it[13]) == (HANDSHAKE, 2));
        self.note_server_hello(&answer);
    }

    #[track_caller]
    pub(crate) fn note_server_hello(&mut self, answer: &[u8]) {
        self.sequence = self.hello.sequence + 1;
        let body = self.hello.body();
        self.transcript = message(1, self.hello.message_seq, &body);
        let mut rest = answer;
        while let Some((header, more)) = rest.split_first_chunk::<13>() {
            let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
            let (fragment, tail) = more.split_at(length);
            assert_eq!(header[0], HANDSHAKE, "flight 4: {answer:02x?}");
            self.transcript.extend(fragment);
            if fragment[0] == 2 {
                self.server_random = fragment[14..46].to_vec();
                let suite = 47 + usize::from(fragment[46]);
                assert_eq!(fragment[suite..suite + 2], self.protection.suite(), "the suite");
                self.extended = fragment.windows(4).any(|window| window == [0, 23, 0, 0]);
            }
            rest = tail;
        }
        assert!(!self.server_random.is_empty(), "a ServerHello: {answer:02x?}");
    }

    /// The cookie, if it comes in time.
    pub(crate) fn take_cookie_within(&mut self, time: Duration) -> bool {
        let is_right = |it: &[u8]| (it[0], it[13]) == (HANDSHAKE, 3);
        let Some(answer) = self.receive_right_within(time, &mut Vec::new(), is_right) else { return false };
        self.hello.cookie = answer[28..].to_vec();
        self.hello.sequence += 1;
        self.hello.message_seq = 1;
        true
    }

    /// Flight 4, if it comes in time.
    pub(crate) fn take_server_hello_within(&mut self, time: Duration) -> bool {
        let is_right = |it: &[u8]| (it[0], it[13]) == (HANDSHAKE, 2);
        let answer = self.receive_right_within(time, &mut Vec::new(), is_right);
        answer.inspect(|answer| self.note_server_hello(answer)).is_some()
    }

    /// Flight 6, if it comes in time.
    pub(crate) fn take_finished_within(&mut self, time: Duration) -> bool {
        let answer = self.receive_right_within(time, &mut Vec::new(), |it| it[0] == CHANGE_CIPHER_SPEC);
        answer.inspect(|answer| self.check_finished(answer)).is_some()
    }

    /// Whether the server took up the extended master secret.
    pub(crate) fn is_extended(&self) -> bool {
        self.extended
    }

    /// The ClientKeyExchange as a message; the keys follow from it.
    pub(crate) fn key_exchange(&mut self) -> Vec<u8> {
        let body = [&(self.identity.len() as u16).to_be_bytes()[..], &self.identity].concat();
        let message = message(16, self.hello.message_seq + 1, &body);
        self.transcript.extend(&message);
        let premaster = premaster(&self.psk);
        self.master = if self.extended {
            prf(&premaster, "extended master secret", &sha256(&self.transcript), 48)
        } else {
            prf(&premaster, "master secret", &[&self.hello.random[..], &self.server_random].concat(), 48)
        };
        let randoms = [&self.server_random[..], &self.hello.random].concat();
        self.keys = Some(Keys::new(self.protection, &self.master, &randoms));
        message
    }

    /// The Finished as a message.
    pub(crate) fn finished(&mut self) -> Vec<u8> {
        let data = prf(&self.master, "client finished", &sha256(&self.transcript), 12);
        message(20, self.hello.message_seq + 2, &data)
    }

    /// A record of epoch 0 with the next number.
    pub(crate) fn plain(&mut self, content_type: u8, fragment: &[u8]) -> Vec<u8> {
        self.sequence += 1;
        record(content_type, 0xfefd, 0, self.sequence - 1, fragment)
    }

    /// Flight 5 in one datagram.
    pub(crate) fn flight_5(&mut self) -> Vec<u8> {
        let key_exchange = self.key_exchange();
        let finished = self.finished();
        let mut flight = self.plain(HANDSHAKE, &key_exchange);
        flight.extend(self.plain(CHANGE_CIPHER_SPEC, &[1]));
        flight.extend(self.seal(HANDSHAKE, &finished));
        flight
    }

    /// Takes flight 6.
    #[track_caller]
    pub(crate) fn take_finished(&self) {
        let answer = self.receive_until("flight 6", |it| it[0] == CHANGE_CIPHER_SPEC);
        self.check_finished(&answer);
    }

    #[track_caller]
    pub(crate) fn check_finished(&self, answer: &[u8]) {
        assert_eq!(answer[0], CHANGE_CIPHER_SPEC, "flight 6: {answer:02x?}");
        let opened = self.keys().open(&answer[14..]);
        assert!(matches!(&opened, Some((HANDSHAKE, finished)) if finished[0] == 20), "{opened:02x?}");
    }

    /// An honest handshake.
    #[track_caller]
    pub(crate) fn connect(&mut self) {
        self.ask_cookie();
        self.take_server_hello();
        let flight = self.flight_5();
        self.send(&flight);
        self.take_finished();
    }

    // The session.

    pub(crate) fn keys(&self) -> &Keys {
        self.keys.as_ref().expect("keys are there after the ClientKeyExchange")
    }

    /// An authentic record with the next number.
    pub(crate) fn seal(&mut self, content_type: u8, content: &[u8]) -> Vec<u8> {
        self.sequence_1 += 1;
        self.keys().seal(content_type, 1, self.sequence_1 - 1, content)
    }

    /// An authentic record with application data.
    pub(crate) fn data(&mut self, content: &[u8]) -> Vec<u8> {
        self.seal(APPLICATION_DATA, content)
    }

    pub(crate) fn say(&mut self, content: &[u8]) {
        let record = self.data(content);
        self.send(&record);
    }

    /// The content of the next record.
    #[track_caller]
    pub(crate) fn hear(&self) -> (u8, Vec<u8>) {
        let datagram = self.receive();
        self.keys().open(&datagram).unwrap_or_else(|| panic!("not for this session: {datagram:02x?}"))
    }

    /// Says something and hears the answer.
    #[track_caller]
    pub(crate) fn exchange(&mut self, content: &[u8]) -> Vec<u8> {
        self.say(content);
        let (content_type, answer) = self.hear();
        assert_eq!(content_type, APPLICATION_DATA, "{answer:02x?}");
        answer
    }

    pub(crate) fn next_mid(&mut self) -> u16 {
        self.mid = self.mid.wrapping_add(1);
        self.mid
    }

    /// Reports and is answered 2.04, so soon that nothing is sent twice.
    #[track_caller]
    pub(crate) fn assert_reports(&mut self) {
        let begun = Instant::now();
        let mid = self.next_mid();
        let report = coap::report(mid, &self.device.report_path(), u32::from(mid));
        let answer = self.exchange(&report);
        assert_eq!(coap::code_of(&answer, mid), 0x44, "{answer:02x?}");
        let took = begun.elapsed();
        assert!(took < BEFORE_A_DEVICE_REPEATS, "a report took {took:?}");
    }

    /// Says goodbye.
    pub(crate) fn close(&mut self) {
        let goodbye = self.seal(ALERT, &[1, 0]);
        self.send(&goodbye);
    }
}
