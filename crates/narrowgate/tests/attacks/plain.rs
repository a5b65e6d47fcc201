//! Sections F to K at the port of plain CoAP, with the suffix `plain`: what strangers, forgers and devices
//! may do where nothing is encrypted. A forged address is another socket here.

use std::{
    net::{SocketAddr, UdpSocket},
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use narrowgate_platform::{
    ids::DeviceName,
    rules::{
        identity::{Identity, SecureMode},
        sign,
    },
    secret::Secret,
};

use crate::{
    authority::activation_path,
    coap::{self, hex},
    harness::{AT_ONCE, BEFORE_A_DEVICE_REPEATS, Device, PRODUCT_KEY, Server},
};

const CHANGED: u8 = 0x44;
const CONTINUE: u8 = 0x5f;
const BAD_REQUEST: u8 = 0x80;
const UNAUTHORIZED: u8 = 0x81;
const BAD_OPTION: u8 = 0x82;
const FORBIDDEN: u8 = 0x83;
const TOO_LARGE: u8 = 0x8d;
const TOO_MANY: u8 = 0x9d;

const BLOCK1: u16 = 27;
const COMMAND_WAITING: u16 = 2100;
const OLD_SIGNATURE: u16 = 2101;
const COMMAND: u16 = 2102;

/// How long an answer is waited for that has to come.
const PATIENCE: Duration = BEFORE_A_DEVICE_REPEATS;

fn serve(settings: &[(&str, &str)]) -> Server {
    Server::start_with(&[&[("COAP_LISTEN", "127.0.0.1:0")], settings].concat())
}

/// Somebody at an address of his own.
struct Peer {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Peer {
    fn new(server: &Server) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        Self { socket, server: server.plain_address() }
    }

    fn receive(&self) -> Option<Vec<u8>> {
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = [0; 4096];
        let (length, from) = self.socket.recv_from(&mut buffer).ok()?;
        assert_eq!(from, self.server);
        Some(buffer[..length].to_vec())
    }

    /// What answers a request. It is sent again as a device does: a login that is closed while a request is
    /// worked on leaves that without an answer.
    #[track_caller]
    fn ask(&self, request: &[u8]) -> Vec<u8> {
        let again = (0..2).find_map(|_| {
            self.socket.send_to(request, self.server).unwrap();
            self.receive()
        });
        again.expect("an answer")
    }

    #[track_caller]
    fn code(&self, request: &[u8]) -> u8 {
        self.ask(request)[1]
    }

    /// What comes before the answer to a ping that is sent afterwards: all that is answered at once.
    #[track_caller]
    fn at_once(&self, datagram: &[u8]) -> Vec<Vec<u8>> {
        self.socket.send_to(datagram, self.server).unwrap();
        self.socket.send_to(&coap::ping(0xfffe), self.server).unwrap();
        let mut answers = Vec::new();
        loop {
            let answer = self.receive().expect("the answer to the ping");
            if answer == coap::reset(0xfffe) {
                return answers;
            }
            answers.push(answer);
        }
    }

    #[track_caller]
    fn log_in(&self, mid: u16, device: &Device) {
        assert_eq!(self.code(&login(mid, device)), CHANGED, "the login of {}", device.key);
    }
}

fn signed(device: &Device, lifetime_s: u32) -> String {
    let name = DeviceName { product_key: PRODUCT_KEY.into(), device_key: device.key.clone() };
    let identity = Identity { name, mode: SecureMode::DeviceSecret, lifetime_s };
    sign::sign(&identity, &Secret::new(device.secret.clone()))
}

fn login(mid: u16, device: &Device) -> Vec<u8> {
    let body = format!(r#"{{"secureMode":2,"lifetime":3600,"sign":"{}"}}"#, signed(device, 3600));
    login_with(mid, device, &body)
}

fn login_with(mid: u16, device: &Device, body: &str) -> Vec<u8> {
    coap::post(mid, &format!("auth/{PRODUCT_KEY}/{}", device.key), body)
}

fn report(mid: u16, device: &Device, value: u32) -> Vec<u8> {
    coap::report(mid, &device.report_path(), value)
}

fn stored(server: &Server, device: &Device) -> usize {
    let device = format!("{PRODUCT_KEY}/{}", device.key);
    let arguments = ["device", "points", &device, "--point", "temp", "--from", "2020-01-01T00:00:00Z"];
    server.json(&arguments).to_string().matches("\"time\"").count()
}

#[test]
fn attack_124_128_129_duplicates_plain() {
    let server = serve(&[]);
    let (first, second) = (server.device(), server.device());
    let peers = [Peer::new(&server), Peer::new(&server)];
    for (peer, device) in peers.iter().zip([&first, &second]) {
        peer.log_in(1, device);
        // Both have the same Message IDs.
        let con = report(2, device, 7);
        let answer = peer.ask(&con);
        assert_eq!(coap::code_of(&answer, 2), CHANGED);
        for _ in 0..9 {
            assert_eq!(peer.ask(&con), answer, "byte for byte");
        }
        let mut non = report(3, device, 8);
        non[0] = 0x50;
        assert_eq!(peer.ask(&non)[..2], [0x50, CHANGED]);
        assert_eq!(peer.at_once(&non).len(), 1, "the same answer again, and nothing else");
        assert_eq!(stored(&server, device), 2);
        // A new login from the same port changes nothing about what was stored.
        peer.log_in(4, device);
        peer.ask(&con);
        assert_eq!(stored(&server, device), 2);
        assert_eq!(peer.code(&report(2, device, 9)), CHANGED, "another report");
        assert_eq!(stored(&server, device), 3);
    }
    server.assert_alive();
}

#[test]
fn attack_131_kill_plain() {
    let mut server = serve(&[]);
    let device = server.device();
    let mut peer = Peer::new(&server);
    peer.log_in(1, &device);
    assert_eq!(peer.code(&report(2, &device, 7)), CHANGED);
    server.kill();
    server.restart(&[("NARROWGATE_COAP_LISTEN", "127.0.0.1:0".to_owned())]);
    peer.server = server.plain_address();
    // The login is gone, and so nothing is carried out; what was acknowledged is there.
    assert_eq!(peer.code(&report(2, &device, 7)), UNAUTHORIZED);
    assert_eq!(peer.code(&report(3, &device, 8)), UNAUTHORIZED);
    assert_eq!(stored(&server, &device), 1);
    peer.log_in(4, &device);
    assert_eq!(peer.code(&report(5, &device, 9)), CHANGED);
    assert_eq!(stored(&server, &device), 2);
}

/// RFC 7252, section 11.3: whoever does not say who he is gets no more than he sends.
#[test]
fn attack_038_amplification_plain() {
    let server = serve(&[]);
    let device = server.device();
    let peer = Peer::new(&server);
    let path = device.report_path();
    let auth = format!("auth/{PRODUCT_KEY}/{}", device.key);
    let wrong = format!(r#"{{"secureMode":2,"lifetime":3600,"sign":"{}"}}"#, "0".repeat(64));
    let size1 = coap::report_with(1, &path, &[(BLOCK1, &[0x0e]), (60, &[0xff; 4])], &[b'x'; 1024]);
    for question in [
        coap::get(1, ".well-known/core"),
        coap::get(1, "x"),
        coap::report_with(1, "x", &[(6, &[])], b""),
        coap::report_with(1, "x", &[(9, &[1])], b""),
        report(1, &device, 1),
        size1,
        coap::report_with(1, &auth, &[(BLOCK1, &[0x08])], &[b'x'; 16]),
        coap::report_with(1, &auth, &[(OLD_SIGNATURE, b"x")], b""),
        coap::message(0x40, 2, 1, &coap::uri_path("auth")),
        coap::message(0x40, 0x1f, 1, &[]),
        coap::ping(1),
        login_with(1, &device, "{}"),
        login_with(1, &device, &wrong),
        login(1, &device),
    ] {
        let answer = peer.ask(&question);
        assert!(answer.len() <= question.len(), "{question:02x?} is answered {answer:02x?}");
        assert!(peer.at_once(&[]).is_empty(), "one answer");
    }
    // Section F, in a login and without one.
    let stranger = Peer::new(&server);
    for question in [
        "40011001f161",
        "40011002bf61",
        "40011003ff",
        "49011004 010203040506070809",
        "48011006 0102",
        "40001007aa",
        "00011008",
        "80011008",
        "c0011008",
        "41450009aa",
        "4001100a90",
        "e0011001",
        "40011001d0",
        "40011001beffff",
        "16fefd0000",
        "",
        "40",
    ] {
        let question = hex(question);
        let answers = peer.at_once(&question);
        assert!(answers.len() <= 1, "{question:02x?}: {answers:02x?}");
        let answers = stranger.at_once(&question);
        assert!(answers.iter().all(|it| it.len() <= question.len()), "{question:02x?}: {answers:02x?}");
    }
    assert_eq!(peer.code(&report(77, &device, 3)), CHANGED, "the login has survived all that");
    server.assert_alive();
}

/// Who has a device's keys may log it in from an address that is not his own: its answers go there, and no
/// more of them than one device may be sent.
#[test]
fn attack_086_answers_to_an_address_that_nobody_has_proved_plain() {
    let server = serve(&[("LIMITS_DEVICE_BYTES", "1KiB/s burst 16KiB")]);
    let device = server.device();
    let peer = Peer::new(&server);
    let begin = Instant::now();
    peer.log_in(1, &device);
    let base = format!("topic/sys/{PRODUCT_KEY}/{}/thing/attribute", device.key);
    let value = "x".repeat(900);
    let update = format!(r#"{{"id":"1","params":{{"attributes":{{"a":"{value}"}}}}}}"#);
    assert_eq!(peer.code(&coap::post(2, &format!("{base}/update"), &update)), CHANGED);
    let query =
        |mid| coap::post(mid, &format!("{base}/query"), r#"{"id":"1","params":{"attributes":["a"]}}"#);
    let (mut sent, mut held_back) = (0, 0);
    for mid in 10..60 {
        let answer = peer.ask(&query(mid));
        sent += answer.len();
        held_back += u32::from(answer[1] == TOO_MANY);
    }
    let seconds = begin.elapsed().as_secs() as usize + 1;
    assert!(held_back > 0 && sent <= (16 << 10) + (seconds << 10) + 50 * 20 + 1024, "{sent} in {seconds} s");
    server.assert_alive();
}

#[test]
fn attack_140_142_bodies_in_blocks_by_strangers_plain() {
    let server = serve(&[]);
    let device = server.device();
    let strangers: Vec<Peer> = (0..50).map(|_| Peer::new(&server)).collect();
    let send = |mid| {
        for stranger in &strangers {
            for path in [device.report_path(), format!("auth/{PRODUCT_KEY}/{}", device.key)] {
                let options: [(u16, &[u8]); 2] = [(BLOCK1, &[0x0e]), (60, &[0xff; 4])];
                let part = coap::report_with(mid, &path, &options, &[b'x'; 1024]);
                assert_eq!(stranger.code(&part), TOO_LARGE);
            }
        }
    };
    send(0);
    let before = server.resident_bytes();
    (1..40).for_each(send);
    let after = server.resident_bytes();
    assert!(after < before + (4 << 20), "4 MB of bodies: {before} and then {after}");
    server.wait_for_metric("narrowgate_sessions", |sessions| sessions == 3);
    let peer = Peer::new(&server);
    peer.log_in(1, &device);
    assert_eq!(peer.code(&report(2, &device, 1)), CHANGED);
    server.assert_alive();
}

#[test]
fn attack_152_156_another_devices_topic_and_mode_3_plain() {
    let server = serve(&[]);
    let (device, other, disabled) = (server.device(), server.device(), server.device());
    server.json(&["device", "disable", PRODUCT_KEY, &disabled.key]);
    let peer = Peer::new(&server);
    peer.log_in(1, &device);
    let mut answers = Vec::new();
    for (number, key) in [other.key.as_str(), disabled.key.as_str(), "nobody"].into_iter().enumerate() {
        let mid = 10 * (number as u16 + 1);
        for (index, path) in [
            format!("topic/sys/{PRODUCT_KEY}/{key}/thing/measurepoint/post"),
            format!("topic/sys/{PRODUCT_KEY}/{key}/no/such/topic"),
            format!("topic/sys/other/{key}/thing/measurepoint/post"),
            activation_path(key),
        ]
        .into_iter()
        .enumerate()
        {
            let answer = peer.ask(&coap::report(mid + index as u16, &path, 1));
            answers.push((answer[1], answer[4..].to_vec()));
        }
    }
    assert!(answers.iter().all(|answer| *answer == (FORBIDDEN, Vec::new())), "{answers:02x?}");
    assert_eq!(peer.code(&coap::get(50, &activation_path(&device.key))), FORBIDDEN);
    let body = format!(r#"{{"secureMode":3,"lifetime":3600,"sign":"{}"}}"#, signed(&device, 3600));
    assert_eq!(Peer::new(&server).code(&login_with(51, &device, &body)), FORBIDDEN);
    // A login is an address and a port: guessing the keys does not help.
    let stranger = Peer::new(&server);
    assert_eq!(stranger.code(&report(2, &device, 1)), UNAUTHORIZED);
    assert_eq!(peer.code(&report(52, &device, 1)), CHANGED);
    assert_eq!((stored(&server, &device), stored(&server, &other)), (1, 0));
    server.assert_alive();
}

#[test]
fn attack_165_a_device_that_is_disabled_reset_or_deleted_plain() {
    let server = serve(&[]);
    for end in ["disable", "reset", "delete"] {
        let device = server.device();
        let (peer, elsewhere) = (Peer::new(&server), Peer::new(&server));
        peer.log_in(1, &device);
        assert_eq!(peer.code(&report(2, &device, 1)), CHANGED);
        let name = [PRODUCT_KEY, &device.key];
        let yes: &[&str] = if end == "disable" { &[] } else { &["--yes"] };
        server.json(&[&["device", end], &name[..], yes].concat());
        thread::sleep(AT_ONCE);
        assert_eq!(peer.code(&report(3, &device, 1)), UNAUTHORIZED, "{end}: the login stands");
        if end != "delete" {
            assert_eq!(stored(&server, &device), 1, "{end}: nothing more is stored");
        }
        // What proved the secret proves nothing any more, wherever it comes from.
        assert_eq!(peer.code(&login(900, &device)), FORBIDDEN, "{end}");
        assert_eq!(elsewhere.code(&login(1, &device)), FORBIDDEN, "{end}");
    }
    server.assert_alive();
}

/// Plain CoAP gives this up, and the guide says so: a sign that was seen can be sent again, until the secret
/// is another one. Only one of the two is served, and the device can take its place back.
#[test]
fn attack_014_a_login_that_is_played_again_from_elsewhere_plain() {
    let server = serve(&[]);
    let device = server.device();
    let (peer, forger) = (Peer::new(&server), Peer::new(&server));
    let seen = login(1, &device);
    assert_eq!(peer.code(&seen), CHANGED);
    assert_eq!(peer.code(&report(2, &device, 1)), CHANGED);
    assert_eq!(forger.code(&seen), CHANGED);
    assert_eq!(peer.code(&report(3, &device, 2)), UNAUTHORIZED);
    peer.log_in(4, &device);
    assert_eq!(forger.code(&report(5, &device, 3)), UNAUTHORIZED);
    assert_eq!(peer.code(&report(6, &device, 4)), CHANGED);
    // A copy of the device's own first login ends nothing of what came after it, from wherever it came.
    forger.log_in(7, &device);
    assert_eq!(forger.code(&report(8, &device, 5)), CHANGED);
    assert!(peer.at_once(&login(4, &device)).is_empty());
    assert_eq!(forger.code(&report(9, &device, 6)), CHANGED);
    server.json(&["device", "reset", PRODUCT_KEY, &device.key, "--yes"]);
    assert_eq!(forger.code(&seen), FORBIDDEN);
    server.assert_alive();
}

/// Who suffers from a flood of logins: further logins, and nobody who is logged in, nor a handshake.
#[test]
fn attack_081_095_a_flood_of_logins_plain() {
    let server = serve(&[]);
    let device = server.device();
    let (peer, forger) = (Peer::new(&server), Peer::new(&server));
    peer.log_in(1, &device);
    forger.socket.set_nonblocking(true).unwrap();
    let flood = |numbers: Range<u16>| {
        for number in numbers {
            let nobody = Device { key: format!("nobody-{number}"), secret: device.secret.clone() };
            let _ = forger.socket.send_to(&login(number, &nobody), forger.server);
            let _ = forger.socket.send_to(&report(number, &nobody, 1), forger.server);
        }
    };
    // What the first look-ups, device and refusals take is no part of what a flood costs.
    flood(0..300);
    Peer::new(&server).log_in(1, &server.device());
    server.assert_nothing_left();
    let _ = server.json(&["refused", "--limit", "1000"]);
    let before = server.resident_bytes();
    flood(300..3300);
    assert_eq!(peer.code(&report(2, &device, 1)), CHANGED);
    server.assert_alive();
    let fresh = Peer::new(&server);
    fresh.log_in(1, &server.device());
    server.assert_nothing_left();
    let after = server.resident_bytes();
    assert!(after < before + (8 << 20), "{before} bytes, then {after}");
    let told = server.json(&["refused", "--limit", "1000"]).to_string().matches("nobody-").count();
    assert!(told <= 200, "{told} entries of a flood");
}

#[test]
fn attack_169_170_bodies_of_logins_plain() {
    let server = serve(&[]);
    let device = server.device();
    let peer = Peer::new(&server);
    let sign = signed(&device, 3600);
    let mut mid = 0;
    for (body, expected) in [
        ("[".repeat(8000), &[BAD_REQUEST][..]),
        (format!("{{\"a\":{}{}}}", "[".repeat(4000), "]".repeat(4000)), &[BAD_REQUEST]),
        ("\u{feff}{}".to_owned(), &[BAD_REQUEST]),
        (format!(r#"{{"secureMode":2,"lifetime":3600,"sign":"{sign}"}}x"#), &[BAD_REQUEST]),
        (format!(r#"{{"secureMode":2,"lifetime":3600,"sign":["{sign}"]}}"#), &[BAD_REQUEST, FORBIDDEN]),
        (format!(r#"{{"secureMode":2,"lifetime":1e999999,"sign":"{sign}"}}"#), &[BAD_REQUEST, FORBIDDEN]),
        (format!(r#"{{"secureMode":2,"lifetime":-0,"sign":"{sign}"}}"#), &[FORBIDDEN]),
        (format!(r#"{{"secureMode":"2,3","lifetime":3600,"sign":"{sign}"}}"#), &[FORBIDDEN]),
        (format!(r#"{{"secureMode":2,"lifetime":"3600,60","sign":"{sign}"}}"#), &[FORBIDDEN]),
        (format!(r#"{{"secureMode":2,"lifetime":3600,"sign":"{}"}}"#, sign.repeat(20)), &[FORBIDDEN]),
        (r#"{"secureMode":2,"lifetime":3600,"sign":"\ud800"}"#.to_owned(), &[BAD_REQUEST, FORBIDDEN]),
        (r#"{"secureMode":2,"lifetime":3600}"#.to_owned(), &[BAD_REQUEST]),
    ] {
        mid += 1;
        let code = peer.code(&login_with(mid, &device, &body));
        assert!(expected.contains(&code), "{code:02x} for {body:.60}");
    }
    peer.log_in(100, &device);
    assert_eq!(peer.code(&coap::post(101, &device.report_path(), &"[".repeat(3000))), BAD_REQUEST);
    assert_eq!(peer.code(&report(102, &device, 1)), CHANGED);
    server.assert_alive();
}

/// In a login, in a report, in one datagram and in blocks.
#[test]
fn attack_141_a_limit_of_messages_that_was_set_holds_plain() {
    let server = serve(&[("LIMITS_MESSAGE_BYTES", "8KiB")]);
    let device = server.device();
    let peer = Peer::new(&server);
    let padded = |bytes: usize| {
        let login = format!(r#"{{"secureMode":2,"lifetime":3600,"sign":"{}"}}"#, signed(&device, 3600));
        format!("{login:bytes$}")
    };
    let assert_refused = |answer: &[u8]| {
        assert_eq!(answer[1], TOO_LARGE);
        // Size1 is 8192.
        assert!(answer.windows(4).any(|part| part == [0xd2, 0x2f, 0x20, 0x00]), "{answer:02x?}");
    };
    assert_refused(&peer.ask(&login_with(1, &device, &padded(8193))));
    assert_eq!(peer.code(&report(2, &device, 1)), UNAUTHORIZED);
    assert_eq!(peer.code(&login_with(3, &device, &padded(8192))), CHANGED);
    let body = |bytes: usize| format!("{:bytes$}", r#"{"id":"1","params":{"measurepoints":{"temp":1}}}"#);
    assert_eq!(peer.code(&coap::post(4, &device.report_path(), &body(8192))), CHANGED);
    assert_refused(&peer.ask(&coap::post(5, &device.report_path(), &body(8193))));
    let long = body(9216);
    for (number, part) in (0..8).zip(long.as_bytes().chunks(1024)) {
        let part = coap::report_with(
            10 + u16::from(number),
            &device.report_path(),
            &[(BLOCK1, &[(number << 4) | 0x0e])],
            part,
        );
        assert_eq!(peer.code(&part), CONTINUE, "{number}");
    }
    let beyond = coap::report_with(18, &device.report_path(), &[(BLOCK1, &[0x8e])], &long.as_bytes()[8192..]);
    assert_refused(&peer.ask(&beyond));
    assert_eq!(stored(&server, &device), 1);
    server.assert_alive();
}

/// Options that only a server sends mean nothing in a request, whatever their length.
#[test]
fn attack_116_options_of_commands_plain() {
    let server = serve(&[]);
    let device = server.device();
    let peer = Peer::new(&server);
    peer.log_in(1, &device);
    let body = br#"{"id":"1","params":{"measurepoints":{"temp":1}}}"#;
    let mut mid = 1;
    for (number, length, code) in [
        (COMMAND, 0, CHANGED),
        (COMMAND, 1, CHANGED),
        (COMMAND, 900, CHANGED),
        (COMMAND_WAITING, 0, CHANGED),
        (COMMAND_WAITING, 900, CHANGED),
        (OLD_SIGNATURE, 0, BAD_OPTION),
        (OLD_SIGNATURE, 64, BAD_OPTION),
    ] {
        mid += 1;
        let value = vec![b'x'; length];
        let request = coap::report_with(mid, &device.report_path(), &[(number, &value)], body);
        assert_eq!(peer.code(&request), code, "option {number} of {length} bytes");
    }
    assert_eq!(stored(&server, &device), 5);
    server.assert_alive();
}
