//! Over loopback, with the kernel itself.

use std::{
    fs,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket},
    time::Duration,
};

use narrowgate_engine::shard::outbox::Outbox;

use super::*;
use crate::socket;

/// A socket as a shard has it.
fn bound(address: &str) -> (UdpSocket, Mmsg) {
    let socket = socket::bind_all(address.parse().expect("an address"), 1).expect("a free port").remove(0);
    let mmsg = Mmsg::new(Binding::of(own(&socket)));
    (socket, mmsg)
}

fn own(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("a bound socket has an address")
}

/// A peer that hears nothing but what comes from `server`.
fn peer_of_server(server: SocketAddr) -> UdpSocket {
    let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let peer = UdpSocket::bind((any, 0)).expect("a free port");
    peer.connect(server).expect("a local address");
    peer.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    peer
}

/// A link-local address of this machine, with its interface.
fn link_local(port: u16) -> SocketAddr {
    let lines = fs::read_to_string("/proc/net/if_inet6").expect("a kernel with IPv6");
    let parsed = lines.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let address = Ipv6Addr::from(u128::from_str_radix(words.first()?, 16).ok()?);
        let scope = u32::from_str_radix(words.get(1)?, 16).ok()?;
        address.is_unicast_link_local().then(|| SocketAddrV6::new(address, port, 0, scope).into())
    });
    parsed.expect("a link-local address is needed; as root: ip address add fe80::1/64 dev lo")
}

/// Receives until all of `count` are there.
fn receive_all(mmsg: &mut Mmsg, socket: &UdpSocket, count: usize) -> Vec<(Path, Vec<u8>)> {
    let (mut all, mut stats) = (Vec::new(), Stats::default());
    while all.len() < count {
        assert_ne!(mmsg.receive(socket, &mut stats).expect("no error"), 0, "only {}", all.len());
        all.extend(mmsg.datagrams().map(|(path, datagram)| (path, datagram.to_vec())));
    }
    all
}

/// Peers talk to each of these addresses of a wildcard socket, all at once and several times, and each hears
/// the answers from the address that it talks to; returns the paths.
fn assert_answered_from(bind: &str, targets: &[SocketAddr]) -> Vec<Path> {
    const ROUNDS: u8 = 20;
    let (socket, mut mmsg) = bound(bind);
    let port = own(&socket).port();
    let peers: Vec<UdpSocket> = targets
        .iter()
        .map(|target| {
            let mut target = *target;
            target.set_port(port);
            peer_of_server(target)
        })
        .collect();
    let mut outbox = Outbox::default();
    for round in 0..ROUNDS {
        for peer in &peers {
            peer.send(&[round, 7]).expect("sent");
        }
    }
    let received = receive_all(&mut mmsg, &socket, peers.len() * usize::from(ROUNDS));
    for (path, datagram) in &received {
        outbox.push(*path, datagram);
    }
    let mut stats = Stats::default();
    mmsg.send(&socket, &mut outbox, &mut stats);
    assert_eq!(stats.value(Counter::SendErrors), 0);
    for (peer, target) in peers.iter().zip(targets) {
        for round in 0..ROUNDS {
            let mut answer = [0; 16];
            let length = peer.recv(&mut answer).unwrap_or_else(|error| panic!("{target}: {error}"));
            assert_eq!(answer[..length], [round, 7], "{target}");
        }
    }
    received[..peers.len()].iter().map(|(path, _)| *path).collect()
}

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| SocketAddr::new(text.parse().expect("an address"), 0)).collect()
}

#[test]
fn on_an_ipv4_wildcard_each_address_answers_for_itself() {
    let paths = assert_answered_from("0.0.0.0:0", &addresses(&["127.0.0.1", "127.0.0.2", "127.1.2.3"]));
    let locals: Vec<Local> = paths.iter().map(|path| path.local).collect();
    assert_eq!(locals, [[127, 0, 0, 1], [127, 0, 0, 2], [127, 1, 2, 3]].map(|v4| Local::V4(v4.into())));
}

#[test]
fn on_an_ipv6_wildcard_each_address_answers_for_itself_and_ipv4_peers_are_ipv4() {
    let mut targets = addresses(&["127.0.0.1", "::1", "127.0.0.2"]);
    targets.push(link_local(0));
    let paths = assert_answered_from("[::]:0", &targets);
    let is_v4: Vec<bool> = paths.iter().map(|path| path.peer.is_ipv4()).collect();
    assert_eq!(is_v4, [true, false, true, false]);
    let SocketAddr::V6(target) = targets[3] else { panic!("{targets:?}") };
    let local = Local::V6 { address: *target.ip(), scope: target.scope_id() };
    assert_eq!(paths[3].local, local);
    // A peer on the link is nothing without its interface either.
    let SocketAddr::V6(peer) = paths[3].peer else { panic!("{paths:?}") };
    assert_eq!(peer.scope_id(), target.scope_id());
}

/// The header of what came to a broadcast address names that, and nothing can be sent from there.
#[test]
fn what_came_to_a_directed_broadcast_is_answered_from_an_address_that_the_kernel_chooses() {
    for bind in ["0.0.0.0:0", "[::]:0"] {
        let (socket, mut mmsg) = bound(bind);
        let peer = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        peer.set_broadcast(true).expect("permitted");
        peer.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let port = own(&socket).port();
        peer.send_to(b"question", ("127.255.255.255", port)).expect("sent");
        peer.send_to(b"question", ("127.0.0.2", port)).expect("sent");
        let mut outbox = Outbox::default();
        for (path, _) in receive_all(&mut mmsg, &socket, 2) {
            outbox.push(path, b"answer 1");
            outbox.push(path, b"answer 2");
        }
        let mut stats = Stats::default();
        mmsg.send(&socket, &mut outbox, &mut stats);
        assert_eq!((stats.value(Counter::SendErrors), stats.value(Counter::DatagramsSent)), (0, 4), "{bind}");
        let mut sources: Vec<SocketAddr> =
            (0..4).map(|_| peer.recv_from(&mut [0; 16]).expect("an answer").1).collect();
        sources.sort();
        let expected = [[127, 0, 0, 1], [127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 2]];
        assert_eq!(sources, expected.map(|address| SocketAddr::from((address, port))), "{bind}");
    }
}

#[test]
fn a_wildcard_socket_knows_its_addresses_also_after_the_kernel_dropped_datagrams() {
    let (socket, mut mmsg) = bound("0.0.0.0:0");
    socket2::SockRef::from(&socket).set_recv_buffer_size(4096).expect("a small buffer is granted");
    let peer = peer_of_server(SocketAddr::from(([127, 0, 0, 2], own(&socket).port())));
    let mut stats = Stats::default();
    let mut seen = 0;
    for _ in 0..4 {
        // Before the first drop the kernel says nothing of drops, then with each datagram.
        (0..100).for_each(|_| drop(peer.send(&[0; 500])));
        assert_eq!(mmsg.receive_one_with_drops(&socket, &mut stats).ok(), Some(1));
        let mut paths: Vec<Path> = mmsg.datagrams().map(|(path, _)| path).collect();
        while let Ok(1..) = mmsg.receive(&socket, &mut stats) {
            paths.extend(mmsg.datagrams().map(|(path, _)| path));
        }
        seen += paths.len();
        assert!(paths.iter().all(|path| path.local == Local::V4([127, 0, 0, 2].into())), "{paths:?}");
    }
    assert!(seen < 400 && stats.value(Counter::KernelReceiveDrops) > 0, "{seen}");
}

#[test]
fn a_socket_with_one_address_has_nothing_to_say_about_it() {
    for bind in ["127.0.0.2:0", "[::1]:0", "[::ffff:127.0.0.2]:0"] {
        let (socket, mut mmsg) = bound(bind);
        let mut server = own(&socket);
        server.set_ip(server.ip().to_canonical());
        let peer = peer_of_server(server);
        peer.send(b"question").expect("sent");
        let received = receive_all(&mut mmsg, &socket, 1);
        assert_eq!(received[0].0, own(&peer).into(), "{bind}");
        let mut outbox = Outbox::default();
        outbox.push(received[0].0, b"answer");
        mmsg.send(&socket, &mut outbox, &mut Stats::default());
        let mut answer = [0; 16];
        assert_eq!(peer.recv(&mut answer).ok(), Some(6), "{bind}");
    }
}

#[test]
fn datagrams_that_the_kernel_dropped_are_counted() {
    let (socket, mut mmsg) = bound("127.0.0.1:0");
    socket2::SockRef::from(&socket).set_recv_buffer_size(4096).expect("a small buffer is granted");
    let peer = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = own(&socket);
    let send = |count: usize| {
        (0..count).for_each(|_| assert_eq!(peer.send_to(&[0; 500], address).ok(), Some(500)));
    };
    send(100);
    let mut stats = Stats::default();
    let mut received = 0;
    while let Ok(count @ 1..) = mmsg.receive(&socket, &mut stats) {
        received += count;
    }
    // The count comes with the next datagram that is taken in.
    send(1);
    assert_eq!(mmsg.receive_one_with_drops(&socket, &mut stats).ok(), Some(1));
    assert!(received < 100);
    assert_eq!(stats.value(Counter::KernelReceiveDrops), 100 - received as u64);
}

#[test]
fn a_batch_goes_out_and_comes_in_whole() {
    let (socket, mut mmsg) = bound("127.0.0.1:0");
    let path = Path::from(own(&socket));
    let mut outbox = Outbox::default();
    for number in 0..100_u8 {
        outbox.push(path, &[number, 1, 2]);
    }
    let mut stats = Stats::default();
    mmsg.send(&socket, &mut outbox, &mut stats);
    let mut received = Vec::new();
    while let Ok(1..) = mmsg.receive(&socket, &mut stats) {
        received.extend(mmsg.datagrams().map(|(path, datagram)| (path, datagram.to_vec())));
    }
    let expected: Vec<_> = (0..100_u8).map(|number| (path, vec![number, 1, 2])).collect();
    assert_eq!(received, expected);
    assert_eq!(stats.value(Counter::DatagramsSent), 100);
}
