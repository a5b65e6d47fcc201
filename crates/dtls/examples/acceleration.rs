//! Shows which instructions of the processor the primitives can use, and what records and handshakes cost
//! here: `cargo run --release -p narrowgate-dtls --example acceleration`.

#![allow(clippy::print_stdout, reason = "it is here to print")]
#![allow(clippy::disallowed_methods, reason = "it measures real time")]

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_dtls::{
    CipherSuite, ClientConfig, ClientEvent, ClientHandshake, DecoySecret, FrontDoor, HandshakeEvent,
    Listener, Opened, Psk, PskAnswer, ServerConfig, Session,
};
use narrowgate_testkit::SeededRandom;

fn main() {
    features();
    for (name, suite, encrypt_then_mac) in [
        ("CCM_8", CipherSuite::PskAes128Ccm8, false),
        ("CBC_SHA256, encrypt-then-MAC", CipherSuite::PskAes128CbcSha256, true),
        ("CBC_SHA256, MAC-then-encrypt", CipherSuite::PskAes128CbcSha256, false),
    ] {
        println!("{name}");
        measure(suite, encrypt_then_mac);
    }
}

#[cfg(target_arch = "x86_64")]
fn features() {
    println!("aes    {}", std::arch::is_x86_feature_detected!("aes"));
    println!("sha    {}", std::arch::is_x86_feature_detected!("sha"));
}

#[cfg(not(target_arch = "x86_64"))]
fn features() {
    println!("no list of features for this processor");
}

/// One handshake: the server's share of the time, and both sessions.
fn handshake(
    client: ClientConfig,
    listener: &mut Listener,
    rng: &mut SeededRandom,
) -> (Duration, Session, Session) {
    let now = Instant::now();
    let peer = "192.0.2.1:1000".parse().expect("an address");
    let mut client = ClientHandshake::new(client, now, rng);
    let (mut up, mut down) = (Vec::new(), Vec::new());
    client.poll_transmit(&mut up);
    let mut spent = Duration::ZERO;
    let mut timed = Instant::now();
    listener.handle_datagram(now, peer, &up, rng, &mut down);
    spent += timed.elapsed();
    client.handle_datagram(now, &mut down, rng);
    client.poll_transmit(&mut up);
    timed = Instant::now();
    let FrontDoor::Accept(mut server) = listener.handle_datagram(now, peer, &up, rng, &mut down) else {
        panic!("the cookie is good");
    };
    server.poll_transmit(&mut down);
    spent += timed.elapsed();
    client.handle_datagram(now, &mut down, rng);
    client.poll_transmit(&mut up);
    timed = Instant::now();
    server.handle_datagram(now, &mut up, rng);
    server.poll_event();
    server.provide_psk(now, PskAnswer::key(psk()), rng);
    server.poll_transmit(&mut down);
    let Some(HandshakeEvent::Established(server)) = server.poll_event() else {
        panic!("the key is right");
    };
    spent += timed.elapsed();
    client.handle_datagram(now, &mut down, rng);
    let Some(ClientEvent::Established(client)) = client.poll_event() else {
        panic!("the key is right");
    };
    (spent, *server, *client)
}

fn psk() -> Psk {
    Psk::new(b"0123456789abcdef").expect("16 bytes")
}

fn measure(suite: CipherSuite, encrypt_then_mac: bool) {
    const HANDSHAKES: u32 = 20_000;
    /// Sealed, then opened: few enough to stay in the cache, as they do between a shard and its socket.
    const BATCH: u32 = 64;
    const BATCHES: u32 = 3_000;
    let mut rng = SeededRandom::new(1);
    let config = Arc::new(ServerConfig::new(DecoySecret::new([7; 32])));
    let mut listener = Listener::new(config, Instant::now(), &mut rng);
    let client = || ClientConfig {
        suites: vec![suite],
        encrypt_then_mac,
        ..ClientConfig::new(b"pk,dk,2,3600", psk())
    };
    let (_, mut server, mut session) = handshake(client(), &mut listener, &mut rng);
    let spent: Duration = (0..HANDSHAKES).map(|_| handshake(client(), &mut listener, &mut rng).0).sum();
    println!("  server's share of a handshake  {:>6} ns", (spent / HANDSHAKES).as_nanos());

    let plaintext = [0x55; 64];
    let mut records = Vec::new();
    let (mut sealing, mut opening) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..BATCHES {
        records.clear();
        let start = Instant::now();
        for _ in 0..BATCH {
            session.seal(black_box(&plaintext), &mut rng, &mut records).expect("64 bytes fit");
        }
        sealing += start.elapsed();
        let length = records.len() / BATCH as usize;
        let start = Instant::now();
        for record in records.chunks_mut(length) {
            assert!(matches!(server.open(black_box(record)), Ok(Opened::Application(_))));
        }
        opening += start.elapsed();
    }
    println!("  seal 64 bytes                  {:>6} ns", (sealing / (BATCH * BATCHES)).as_nanos());
    println!("  open 64 bytes                  {:>6} ns", (opening / (BATCH * BATCHES)).as_nanos());
}
