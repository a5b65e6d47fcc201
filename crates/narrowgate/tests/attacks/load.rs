//! Section E: many at once. The floods of a million are `narrowgate-load flood`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use crate::{
    client::{Client, Protection},
    harness::{DEVICES, HANDSHAKE_LIFETIME, Server},
};

/// Port 0 of an address that only this test uses.
fn own_address(last: u8) -> SocketAddr {
    let network = (std::process::id() & 0xff) as u8;
    SocketAddr::from((Ipv4Addr::new(127, 15, network, last), 0))
}

#[test]
fn attack_095_one_address_with_good_cookies_pays_alone() {
    const PER_ADDRESS: u64 = 20;
    let limits = [
        ("ADMISSION_HANDSHAKES_PER_ADDRESS_MAX", "20"),
        ("ADMISSION_HANDSHAKES_MAX", "40"),
        // Long enough that none of them ends by itself, or makes room.
        ("DTLS_HANDSHAKE_LIFETIME", "60s"),
        ("ADMISSION_SLOW_ROUND_TRIP", "60s"),
    ];
    let server = Server::start_with(&limits);
    let mut waiting =
        Client::at(own_address(1), server.address, server.device(), Protection::CbcMacThenEncrypt);
    waiting.ask_cookie();
    waiting.take_server_hello();
    let device = server.device();
    // They keep their ports: at the port of a handshake under way another hello takes its place.
    let mut strangers: Vec<_> = (0..300)
        .map(|number| Client::at(own_address(2), server.address, device.clone(), Protection::ALL[number % 3]))
        .collect();
    // The first ones are far: they are waited for three of their round trips.
    let (far, near) = strangers.split_at_mut(PER_ADDRESS as usize);
    far.iter_mut().for_each(Client::ask_cookie);
    std::thread::sleep(Duration::from_secs(8));
    for (number, stranger) in far.iter_mut().enumerate() {
        stranger.send(&stranger.hello.datagram());
        assert!(stranger.take_server_hello_within(Duration::from_secs(2)), "number {number}");
    }
    for (number, stranger) in near.iter_mut().enumerate() {
        let protection = Protection::ALL[number % 3];
        assert!(!begins(stranger, Duration::from_millis(20)), "number {number}");
        if number % 50 == 0 {
            let mut honest = server.connect(protection);
            honest.assert_reports();
            honest.close();
        }
    }
    server.wait_for_metric("narrowgate_handshakes", |handshakes| handshakes == PER_ADDRESS + 1);
    // The oldest of its own address is young and goes on, and another address has lost nothing.
    for mut client in [strangers.swap_remove(0), waiting] {
        let flight = client.flight_5();
        client.send(&flight);
        client.take_finished();
        client.assert_reports();
    }
    server.assert_alive();
}

/// Asks for a cookie and sends the second hello; whether a ServerHello comes in time.
fn begins(client: &mut Client, time: Duration) -> bool {
    client.ask_cookie();
    client.send(&client.hello.datagram());
    client.take_server_hello_within(time)
}

#[test]
fn attack_095_what_stands_still_for_longer_than_a_slow_round_trip_makes_room() {
    let limits = [
        ("ADMISSION_HANDSHAKES_PER_ADDRESS_MAX", "20"),
        ("DTLS_HANDSHAKE_LIFETIME", "60s"),
        ("ADMISSION_SLOW_ROUND_TRIP", "2s"),
    ];
    let server = Server::start_with(&limits);
    let device = server.device();
    let client = || Client::at(own_address(3), server.address, device.clone(), Protection::Ccm8);
    let mut strangers: Vec<Client> = (0..40).map(|_| client()).collect();
    let begin = strangers.iter_mut().enumerate().filter_map(|(number, stranger)| {
        let time = Duration::from_millis(if number < 20 { 2000 } else { 20 });
        begins(stranger, time).then_some(())
    });
    assert_eq!(begin.count(), 20);
    std::thread::sleep(Duration::from_millis(2100));
    let mut honest = client();
    honest.connect();
    honest.assert_reports();
    assert_eq!(server.counted(r#"handshakes_total{outcome="evicted"}"#), 1);
    honest.close();
    server.assert_alive();
}

/// After an outage all devices come at the same moment, to a server that takes a tenth of them at a time: who
/// is not answered comes again after a second, as RFC 6347, section 4.2.4, has it.
#[test]
fn attack_098_all_devices_come_at_once() {
    const TOGETHER: u32 = DEVICES - 10;
    const TIMER: Duration = Duration::from_secs(1);
    let limits = [("ADMISSION_HANDSHAKES_MAX", "9"), ("ADMISSION_LOOKUPS_MAX", "3")];
    let server = Server::start_with(&limits);
    let mut outside: Vec<Client> =
        (0..TOGETHER).map(|number| server.client(Protection::ALL[number as usize % 3])).collect();
    let end = Instant::now() + 6 * HANDSHAKE_LIFETIME;
    let mut inside = Vec::new();
    while !outside.is_empty() {
        assert!(Instant::now() < end, "{} of {TOGETHER} are still outside", outside.len());
        // All begin; then all that got a cookie go on; then all that got a ServerHello.
        for client in &mut outside {
            client.start_anew();
            client.send(&client.hello.datagram());
        }
        let round = Instant::now();
        for client in &mut outside {
            if client.take_cookie_within(TIMER.saturating_sub(round.elapsed())) {
                client.send(&client.hello.datagram());
            }
        }
        let mut waiting = Vec::new();
        let round = Instant::now();
        for mut client in std::mem::take(&mut outside) {
            if client.take_server_hello_within(TIMER.saturating_sub(round.elapsed())) {
                let flight = client.flight_5();
                client.send(&flight);
                waiting.push(client);
            } else {
                outside.push(client);
            }
        }
        let round = Instant::now();
        for mut client in waiting {
            if client.take_finished_within(TIMER.saturating_sub(round.elapsed())) {
                inside.push(client);
            } else {
                outside.push(client);
            }
        }
    }
    assert_eq!(inside.len() as u32, TOGETHER);
    inside.iter_mut().for_each(Client::assert_reports);
    server.assert_nothing_left();
    server.assert_alive();
}

/// Sessions are closed at a pace, more than one step here; nobody is forgotten, and the end is in time.
#[test]
fn a_server_that_stops_tells_every_session() {
    let mut server = Server::start_with(&[("DTLS_SHARDS", "1")]);
    let mut clients: Vec<Client> = (0..90).map(|_| server.connect(Protection::Ccm8)).collect();
    clients.iter_mut().for_each(Client::assert_reports);
    let begin = Instant::now();
    server.stop();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    for client in &mut clients {
        let notice = client.waiting().expect("it is told");
        assert_eq!((notice[0], &notice[3..5]), (21, &[0, 1][..]), "a protected alert");
    }
}
