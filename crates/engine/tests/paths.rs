//! A server with several addresses: sessions are told apart by both ends of their path, and everything leaves
//! from the end at which the peer was heard.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_dtls::{
    ClientConfig, ClientEvent, ClientHandshake, DecoySecret, Opened, Psk, PskAnswer, ServerConfig, Session,
    split_record,
};
use narrowgate_engine::{
    event::{CloseCause, SessionId, ShardCommand, ShardEvent},
    path::{Local, Path},
    shard::{Shard, ShardConfig},
};
use narrowgate_testkit::SeededRandom;

const KEY: &[u8; 16] = b"the key of tests";

struct Server {
    now: Instant,
    shard: Shard,
    rng: SeededRandom,
    connected: Vec<SessionId>,
    closed: Vec<(SessionId, CloseCause)>,
}

impl Server {
    #[expect(clippy::disallowed_methods, reason = "any instant serves as the start of virtual time")]
    fn new() -> Self {
        let now = Instant::now();
        let config = ShardConfig::new(Arc::new(ServerConfig::new(DecoySecret::new([7; 32]))));
        let shard = Shard::new(config, now, [1; 32]);
        Self { now, shard, rng: SeededRandom::new(3), connected: Vec::new(), closed: Vec::new() }
    }

    fn settle(&mut self) -> Vec<(Path, Vec<u8>)> {
        while let Some(event) = self.shard.poll_event() {
            match event {
                ShardEvent::PskWanted { handshake, .. } => {
                    let answer = PskAnswer::key(Psk::new(KEY).expect("16 bytes"));
                    self.shard.handle_command(self.now, ShardCommand::ProvidePsk { handshake, answer });
                }
                ShardEvent::Connected { session, .. } => self.connected.push(session),
                ShardEvent::Closed { session, cause } => self.closed.push((session, cause)),
                _ => {}
            }
        }
        let outbox = self.shard.outbox();
        let sent = outbox.iter().map(|(path, datagram)| (path, datagram.to_vec())).collect();
        outbox.clear();
        sent
    }

    /// What the shard sends for this, all of it by the path that it came by.
    fn give(&mut self, path: Path, datagram: &[u8]) -> Vec<Vec<u8>> {
        self.shard.handle_datagram(self.now, path, &mut datagram.to_vec());
        by(path, self.settle())
    }

    fn client(&mut self) -> ClientHandshake {
        let config = ClientConfig::new(b"MuGsF6W4,meter,2,3600", Psk::new(KEY).expect("16 bytes"));
        ClientHandshake::new(config, self.now, &mut self.rng)
    }

    /// Lets a client take a flight, and hear the answers.
    fn flight(&mut self, client: &mut ClientHandshake, path: Path) {
        let (mut datagram, mut answers) = (Vec::new(), Vec::new());
        while client.poll_transmit(&mut datagram) {
            answers.extend(self.give(path, &datagram));
        }
        for mut answer in answers {
            client.handle_datagram(self.now, &mut answer, &mut self.rng);
        }
    }
}

fn by(path: Path, sent: Vec<(Path, Vec<u8>)>) -> Vec<Vec<u8>> {
    sent.into_iter()
        .map(|(other, datagram)| {
            assert_eq!(other, path);
            datagram
        })
        .collect()
}

fn session_of(mut client: ClientHandshake) -> Box<Session> {
    match client.poll_event() {
        Some(ClientEvent::Established(session)) => session,
        other => panic!("no session: {other:?}"),
    }
}

/// Two devices with one address and port, as a NAT may give them, at two addresses of the server.
fn two_paths() -> [Path; 2] {
    let peer = SocketAddr::from(([198, 51, 100, 7], 40_000));
    [1, 2].map(|last| Path { peer, local: Local::of([192, 0, 2, last].into(), 0) })
}

#[test]
fn two_devices_behind_one_port_of_a_nat_have_a_session_each_at_two_addresses() {
    let mut server = Server::new();
    let paths = two_paths();
    let mut clients = paths.map(|_| server.client());
    // Flight by flight, so that both handshakes are under way at the same time.
    for _ in 0..3 {
        for (client, path) in clients.iter_mut().zip(paths) {
            server.flight(client, path);
        }
    }
    let mut sessions = clients.map(session_of);
    assert_eq!(server.connected.len(), 2);
    assert_eq!(server.closed, []);
    // A CoAP ping by each, and its reset comes back by the same path.
    for round in 0..3_u8 {
        for (session, path) in sessions.iter_mut().zip(paths) {
            let mut record = Vec::new();
            session.seal(&[0x40, 0, 0, round], &mut server.rng, &mut record).expect("numbers are left");
            let mut answers = server.give(path, &record);
            assert_eq!(answers.len(), 1);
            assert!(matches!(open(session, &mut answers[0]), Opened::Application([0x70, 0, 0, _])));
        }
    }
    // What belongs to one path is worth nothing on the other.
    let mut record = Vec::new();
    sessions[0].seal(&[0x40, 0, 0, 9], &mut server.rng, &mut record).expect("numbers are left");
    assert_eq!(server.give(paths[1], &record), [] as [Vec<u8>; 0]);
}

#[test]
fn what_the_server_says_unasked_leaves_from_the_address_of_the_session() {
    let mut server = Server::new();
    let [path, _] = two_paths();
    let mut client = server.client();
    server.flight(&mut client, path);
    server.flight(&mut client, path);
    // Flight 4 again, as long as nothing comes.
    server.now += Duration::from_secs(5);
    server.shard.handle_timeout(server.now);
    assert_eq!(by(path, server.settle()).len(), 1, "a retransmission");
    server.flight(&mut client, path);
    let mut session = session_of(client);
    let id = server.connected[0];
    server.shard.handle_command(server.now, ShardCommand::Close { session: id });
    let mut farewell = by(path, server.settle());
    assert!(matches!(open(&mut session, &mut farewell[0]), Opened::CloseNotify));
}

#[test]
fn a_new_handshake_by_the_same_path_replaces_the_session_and_by_another_one_it_does_not() {
    let mut server = Server::new();
    let [path, other] = two_paths();
    for (path, closed) in [(path, 0), (other, 0), (path, 1), (other, 2)] {
        let mut client = server.client();
        (0..3).for_each(|_| server.flight(&mut client, path));
        session_of(client);
        assert_eq!(server.closed.len(), closed);
    }
    assert!(server.closed.iter().all(|(_, cause)| *cause == CloseCause::Replaced));
    assert_eq!(server.closed[0].0, server.connected[0]);
}

/// The first record of a datagram.
fn open<'a>(session: &mut Session, datagram: &'a mut [u8]) -> Opened<'a> {
    let (record, _) = split_record(datagram).expect("a record");
    session.open(record).expect("an authentic record")
}
