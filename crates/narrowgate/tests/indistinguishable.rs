//! What a stranger can tell: nothing. Every fault of identity, mode, lifetime and switch is compared with a
//! wrong key, datagram by datagram, at the real binary's socket; the operator's log tells them apart.

use std::{
    net::{SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use narrowgate_dtls::{CipherSuite, ClientConfig, ClientEvent, ClientHandshake, Psk};
use narrowgate_platform::rules::psk;
use narrowgate_testkit::{
    SeededRandom,
    program::{Program, Server},
};

/// Handshakes of this server live so long; the test listens beyond it.
const LIFETIME: &str = "5s";
const LISTEN: Duration = Duration::from_millis(6_500);

fn key_of(secret: &str) -> Psk {
    Psk::new(&*psk::derive(secret.as_bytes())).expect("16 bytes are a key")
}

/// A server whose handshakes live for [`LIFETIME`].
fn serve(program: &Program) -> Server {
    let serve = ["serve", "--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0", "--shards", "1"];
    let mut command = program.command(&serve);
    command.env("NARROWGATE_DTLS_HANDSHAKE_LIFETIME", LIFETIME);
    Server::start(command)
}

/// Everything that the server sent in one handshake in which the client sends each flight exactly once.
fn answers(address: SocketAddr, identity: &str, psk: Psk, suite: CipherSuite, seed: u64) -> Vec<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut random = SeededRandom::new(seed);
    let config = ClientConfig {
        suites: vec![suite],
        retransmit_initial: Duration::from_secs(3600),
        retransmit_max: Duration::from_secs(3600),
        ..ClientConfig::new(identity.as_bytes(), psk)
    };
    let mut client = ClientHandshake::new(config, Instant::now(), &mut random);
    let (mut datagram, mut received) = (Vec::new(), Vec::new());
    let end = Instant::now() + LISTEN;
    loop {
        while client.poll_transmit(&mut datagram) {
            socket.send_to(&datagram, address).unwrap();
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        socket.set_read_timeout(Some(left)).unwrap();
        let mut buffer = [0; 2048];
        if let Ok(length) = socket.recv(&mut buffer) {
            received.push(buffer[..length].to_vec());
            client.handle_datagram(Instant::now(), &mut buffer[..length], &mut random);
        }
    }
    assert!(!matches!(client.poll_event(), Some(ClientEvent::Established(_))), "{identity} was let in");
    received
}

/// A datagram without what is random in any handshake: the cookie, and the 32 bytes of the ServerHello.
fn without_randomness(mut datagram: Vec<u8>) -> Vec<u8> {
    const HANDSHAKE: usize = 13;
    match datagram.get(HANDSHAKE) {
        Some(3) => datagram.truncate(HANDSHAKE + 12 + 3),
        Some(2) => datagram[HANDSHAKE + 12 + 2..HANDSHAKE + 12 + 2 + 32].fill(0),
        _ => {}
    }
    datagram
}

/// The secret of every device.
const SECRET: &str = "Z5YtZaQpK5IWocakV7zQ";

/// A product with devices, one that is switched off, and one of a suspended organisation unit.
struct Products {
    key: String,
    secret: String,
    off: String,
    suspended: String,
}

/// Creates them, and switches off what has to be off.
fn register(program: &Program) -> Products {
    let product = program.json(&["product", "create", "meter"]);
    let text = |name: &str| product[name].as_str().unwrap().to_owned();
    let (key, secret) = (text("productKey"), text("productSecret"));
    let off = program.json(&["product", "create", "old"])["productKey"].as_str().unwrap().to_owned();
    program.json(&["ou", "create", "north"]);
    let suspended = program.json(&["product", "create", "n", "--ou", "north"])["productKey"].clone();
    let suspended = suspended.as_str().unwrap().to_owned();
    // Three good ones: of one device from one network few refusals at a time are written down.
    let devices = [
        (&key, "good"),
        (&key, "good2"),
        (&key, "good3"),
        (&key, "disabled"),
        (&off, "good-of-old"),
        (&suspended, "good-of-north"),
    ];
    for (product, device) in devices {
        let create =
            ["device", "create", "--product", product, "--device-key", device, "--device-secret", SECRET];
        program.json(&create);
    }
    program.json(&["device", "disable", &key, "disabled"]);
    program.json(&["product", "update", &off, "--disable"]);
    program.json(&["ou", "suspend", "north"]);
    Products { key, secret, off, suspended }
}

/// What the log has to say, the identity, and the key. The first one is a wrong key.
fn faults(products: &Products) -> Vec<(&'static str, String, Psk)> {
    let right = || key_of(SECRET);
    let wrong = || key_of("not the secret");
    let of_product = || key_of(&products.secret);
    let (pk, off, suspended) = (&products.key, &products.off, &products.suspended);
    vec![
        ("wrong_key", format!("{pk},good,2,3600"), wrong()),
        ("wrong_key", format!("{pk},good,3,3600"), right()),
        ("wrong_key", format!("{pk},good,2,3600"), of_product()),
        ("product_unknown", "Nobodys1,good,2,3600".to_owned(), right()),
        ("device_unknown", format!("{pk},nobody,2,3600"), right()),
        ("device_unknown", format!("{pk},nobody,3,3600"), of_product()),
        ("mode_unknown", format!("{pk},good2,1,3600"), right()),
        ("mode_unknown", format!("{pk},good2,02,3600"), right()),
        ("lifetime_out_of_range", format!("{pk},good3,2,29"), right()),
        ("lifetime_out_of_range", format!("{pk},good3,2,86401"), right()),
        ("lifetime_out_of_range", format!("{pk},good3,2,+60"), right()),
        ("lifetime_out_of_range", format!("{pk},good3,2,060"), right()),
        ("identity_malformed", format!("{pk},good2,2"), right()),
        ("identity_malformed", format!("{pk},good2,2,3600,"), right()),
        ("identity_malformed", format!("{pk},,2,3600"), right()),
        ("identity_malformed", ",,,".to_owned(), right()),
        ("identity_malformed", format!("{pk} ,good,2,3600"), right()),
        ("device_disabled", format!("{pk},disabled,2,3600"), right()),
        ("product_disabled", format!("{off},good-of-old,2,3600"), right()),
        ("product_disabled", format!("{off},good-of-old,3,3600"), right()),
        ("unit_suspended", format!("{suspended},good-of-north,2,3600"), right()),
        ("unit_suspended", format!("{suspended},good-of-north,3,3600"), right()),
    ]
}

/// All faults at once, by name, with what a stranger sees of each.
fn tried(
    faults: &[(&str, String, Psk)],
    address: SocketAddr,
    suite: CipherSuite,
) -> Vec<(String, Vec<Vec<u8>>)> {
    let threads: Vec<_> = (1..)
        .zip(faults)
        .map(|(seed, (reason, identity, psk))| {
            let (identity, psk) = (identity.clone(), Psk::new(psk.as_bytes()).unwrap());
            let name = format!("{reason}: {identity}");
            (name, thread::spawn(move || answers(address, &identity, psk, suite, seed)))
        })
        .collect();
    let seen = threads
        .into_iter()
        .map(|(name, thread)| (name, thread.join().unwrap().into_iter().map(without_randomness).collect()));
    seen.collect()
}

#[test]
fn every_fault_looks_like_a_wrong_key_and_is_named_in_the_log() {
    let program = Program::new(env!("CARGO_BIN_EXE_narrowgate"));
    let server = serve(&program);
    let address = server.address("coaps").parse().unwrap();
    let products = register(&program);
    let faults = faults(&products);
    for suite in [CipherSuite::PskAes128Ccm8, CipherSuite::PskAes128CbcSha256] {
        let seen = tried(&faults, address, suite);
        let (_, expected) = &seen[0];
        assert_eq!(expected.len(), 2, "HelloVerifyRequest and ServerHello, then silence: {expected:02x?}");
        for (name, datagrams) in &seen {
            assert_eq!(datagrams, expected, "{name} ({suite:?}) is told from a wrong key");
        }
    }

    let refused = program.json(&["refused", "--limit", "1000"]);
    let refused = refused.as_array().unwrap();
    for (reason, identity, _) in &faults {
        let named = refused.iter().filter(|entry| entry["identity"] == identity.as_str());
        let reasons: Vec<_> = named.map(|entry| entry["reason"].as_str().unwrap()).collect();
        assert!(reasons.len() >= 2, "{identity} is in the list for each suite: {reasons:?}");
        assert!(reasons.iter().all(|named| named == reason), "{identity}: {reasons:?} instead of {reason}");
    }
    let log = program.json(&["device", "log", &products.key, "good"]);
    let details: Vec<_> =
        log.as_array().unwrap().iter().filter_map(|entry| entry["detail"].as_str()).collect();
    assert!(
        details.iter().any(|detail| detail.contains("product")),
        "the likely mistake is named: {details:?}"
    );
}
