//! What one device, and who claims to be one, may take.

use std::{
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::Duration,
};

use crate::{
    client::{Client, Protection},
    coap,
    harness::{Device, PRODUCT_KEY, Server},
};

/// 4.29.
const TOO_MANY: u8 = 0x9d;

/// Port 0 of an address that only this test uses.
fn own_address(last: u8) -> SocketAddr {
    let network = (std::process::id() & 0xff) as u8;
    SocketAddr::from((Ipv4Addr::new(127, 14, network, last), 0))
}

#[test]
fn handshakes_that_come_too_fast_are_dropped_and_nobody_else_is_locked_out() {
    let server = Server::start_with(&[("LIMITS_DEVICE_HANDSHAKES", "1/1h burst 3")]);
    let device = server.device();
    let from = |last, device| Client::at(own_address(last), server.address, device, Protection::Ccm8);
    for _ in 0..2 {
        let mut client = from(1, device.clone());
        client.connect();
        client.assert_reports();
        client.close();
    }
    // A claim counts too, with its address.
    let mut stranger = from(1, Device { secret: "no secret".to_owned(), ..device.clone() });
    stranger.ask_cookie();
    stranger.take_server_hello();
    let flight = stranger.flight_5();
    server.assert_ignored(&mut stranger, &flight);
    // A registered device, one that is not, and a claim that is none: all are silent, and tell nothing apart.
    let nobody = |identity: &str| {
        let mut client = from(1, device.clone());
        client.identity = identity.as_bytes().to_vec();
        client
    };
    for identity in [format!("{PRODUCT_KEY},nobody,2,60"), "nonsense".to_owned()] {
        for _ in 0..3 {
            let mut client = nobody(&identity);
            client.ask_cookie();
            client.take_server_hello();
            let flight = client.flight_5();
            server.assert_ignored(&mut client, &flight);
        }
    }
    for identity in [device.identity(), format!("{PRODUCT_KEY},nobody,2,60"), "nonsense".to_owned()] {
        for _ in 0..4 {
            let mut client = nobody(&identity);
            client.ask_cookie();
            client.take_server_hello();
            let flight = client.flight_5();
            server.assert_ignored(&mut client, &flight);
        }
    }
    assert_eq!(server.counted("handshakes_total{outcome=\"rate_limited\"}"), 12);
    let log = ["device", "log", PRODUCT_KEY, &device.key];
    server.wait_for_json(&log, |log| log.contains("faster than limits.device_handshakes permits"));
    let told = server.json(&log).to_string();
    assert_eq!(told.matches("rate_limited").count(), 1, "once in a pause: {told}");
    server.wait_for_json(&["refused"], |refused| refused.matches("rate_limited").count() == 3);
    // The device itself, from elsewhere; and another one behind the same address.
    let mut elsewhere = from(2, device.clone());
    elsewhere.connect();
    elsewhere.assert_reports();
    from(1, server.device()).connect();
    // Who has its secret logs in no faster, from whatever address, and ends no session that stands.
    from(3, device.clone()).connect();
    server.wait_for_json(&log, |log| log.contains("from all addresses together"));
    elsewhere.assert_reports();
    server.assert_alive();
}

#[test]
fn bytes_beyond_the_limit_are_answered_4_29_and_cost_nobody_else_anything() {
    let server = Server::start_with(&[("LIMITS_DEVICE_BYTES", "1KiB/s burst 16KiB")]);
    for protection in Protection::ALL {
        let mut client = server.connect(protection);
        let path = client.device.report_path();
        let body = format!(r#"{{"params":{{"measurepoints":{{"temp":"{}"}}}}}}"#, "x".repeat(900));
        let say = |client: &mut Client| {
            let mid = client.next_mid();
            let answer = client.exchange(&coap::post(mid, &path, &body));
            (coap::code_of(&answer, mid), answer)
        };
        let mut served = 0;
        let answer = loop {
            match say(&mut client) {
                (0x44, _) => served += 1,
                (code, answer) => break (code, answer),
            }
        };
        assert!((15..=40).contains(&served), "{served}");
        assert_eq!(answer.0, TOO_MANY);
        // Max-Age (14), one or two seconds, in one byte.
        assert!(matches!(answer.1[4..], [0xd1, 1, 1 | 2]), "{:02x?}", answer.1);
        server.assert_alive();
        // It is no way out to connect anew: what was spent is spent.
        let mut again = Client::new(server.address, client.device.clone(), protection);
        again.connect();
        let first = (0..5).map(|_| say(&mut again).0).collect::<Vec<_>>();
        assert!(first.contains(&TOO_MANY), "{first:02x?}");
        let log = ["device", "log", PRODUCT_KEY, &client.device.key];
        server.wait_for_json(&log, |log| log.contains("permits: its requests are answered 4.29"));
        thread::sleep(Duration::from_secs(2));
        assert_eq!(say(&mut again).0, 0x44, "when the time has come");
    }
    assert!(server.counted("requests_throttled_total") >= 6);
    server.assert_alive();
}
