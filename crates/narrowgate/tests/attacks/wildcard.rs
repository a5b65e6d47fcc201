//! A server bound to all its addresses: whoever talks to one of them is answered from that one.

use std::{
    fs,
    net::{Ipv6Addr, SocketAddr, SocketAddrV6},
};

use crate::{
    client::{ALERT, Client, HANDSHAKE, Protection},
    harness::Server,
};

/// Where the server listens, and to which of its addresses clients talk.
fn cases() -> [(&'static str, Vec<SocketAddr>); 2] {
    let v4 = [[127, 0, 0, 2], [127, 0, 0, 1], [127, 1, 2, 3]].map(|address| SocketAddr::from((address, 0)));
    let v6 = [SocketAddr::from((Ipv6Addr::LOCALHOST, 0)), link_local()];
    [("0.0.0.0:0", v4.to_vec()), ("[::]:0", [&v4[..], &v6].concat())]
}

/// A link-local address of this machine, with its interface.
fn link_local() -> SocketAddr {
    let lines = fs::read_to_string("/proc/net/if_inet6").expect("a kernel with IPv6");
    let parsed = lines.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let address = Ipv6Addr::from(u128::from_str_radix(words.first()?, 16).ok()?);
        let scope = u32::from_str_radix(words.get(1)?, 16).ok()?;
        address.is_unicast_link_local().then(|| SocketAddrV6::new(address, 0, 0, scope).into())
    });
    parsed.expect("a link-local address is needed; as root: ip address add fe80::1/64 dev lo")
}

/// A client at an address of the same kind, which takes nothing from anywhere else.
fn client(server: &Server, mut target: SocketAddr, protection: Protection) -> Client {
    target.set_port(server.address.port());
    if target.is_ipv4() {
        let mut client = server.client(protection);
        client.set_server(target);
        return client;
    }
    let mut own = target;
    own.set_port(0);
    Client::at(own, target, server.device(), protection)
}

#[test]
fn attack_211_a_second_local_address_answers_for_itself() {
    for (listen, targets) in cases() {
        let server = Server::start_on(listen, &[]);
        for (number, target) in targets.into_iter().enumerate() {
            let mut client = client(&server, target, Protection::ALL[number % 3]);
            client.ask_cookie();
            client.take_server_hello();
            // Flight 4 again, from the timer.
            let again = client.receive_until("flight 4 again", |it| (it[0], it[13]) == (HANDSHAKE, 2));
            assert!(!again.is_empty());
            let flight = client.flight_5();
            client.send(&flight);
            client.take_finished();
            client.assert_reports();
            // In the log IPv4 is IPv4, and a link-local peer has its interface.
            let name = format!("pk/{}", client.device.key);
            let peer = format!(r#""peer":"{}""#, client.local_address());
            server.wait_for_json(&["device", "log", &name], |log| log.contains(&peer));
            // What the server says unasked.
            server.json(&["device", "disable", &name]);
            assert_eq!(client.hear(), (ALERT, vec![1, 0]), "close_notify to {target}");
        }
        assert!(!server.said().contains("::ffff:"), "{}", server.said());
        server.assert_alive();
    }
}

#[test]
fn attack_211_one_port_of_a_nat_at_two_local_addresses_holds_two_sessions() {
    for (listen, targets) in cases() {
        let server = Server::start_on(listen, &[]);
        let mut one = client(&server, targets[0], Protection::Ccm8);
        let mut other = client(&server, targets[1], Protection::CbcMacThenEncrypt);
        one.connect();
        for _ in 0..3 {
            // From now on the other one has this address and port.
            one.swap_socket(&mut other);
            if other.sequence_1 == 0 {
                other.connect();
            }
            other.assert_reports();
            one.swap_socket(&mut other);
            one.assert_reports();
        }
        assert_eq!(server.counted(r#"sessions_closed_total{cause="replaced"}"#), 0);
        server.assert_alive();
    }
}
