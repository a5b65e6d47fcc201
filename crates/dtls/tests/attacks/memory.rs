//! What half-open handshakes occupy when their peers send everything in the wrong order.

use std::net::SocketAddr;

use narrowgate_dtls::{ClientHandshake, FrontDoor, HandshakeEvent, PskAnswer, ServerHandshake, limits};
use narrowgate_testkit::{SeededRandom, record::record};

use super::util::{PROTECTIONS, client_config, door::Door, key, server_config, start};

const HALF_OPEN: u32 = 10_000;

/// A handshake that has sent flight 4, and its client.
fn half_open(door: &mut Door, number: u32) -> (ClientHandshake, Box<ServerHandshake>) {
    let peer = SocketAddr::from((number.to_be_bytes(), 5684));
    let config = client_config(PROTECTIONS[number as usize % PROTECTIONS.len()]);
    let mut rng = SeededRandom::new(u64::from(number));
    let mut client = ClientHandshake::new(config, start(), &mut rng);
    let (mut up, mut down) = (Vec::new(), Vec::new());
    assert!(client.poll_transmit(&mut up));
    door.listener.handle_datagram(start(), peer, &up, &mut rng, &mut down);
    client.handle_datagram(start(), &mut down, &mut rng);
    assert!(client.poll_transmit(&mut up));
    let FrontDoor::Accept(mut server) =
        door.listener.handle_datagram(start(), peer, &up, &mut rng, &mut down)
    else {
        panic!("the cookie is good");
    };
    assert!(server.poll_transmit(&mut down));
    client.handle_datagram(start(), &mut down, &mut rng);
    (client, server)
}

#[test]
fn attack_097_ten_thousand_half_open_handshakes_with_data_out_of_order() {
    let mut door = Door::new(server_config());
    let mut rng = SeededRandom::new(97);
    let mut all = Vec::new();
    let mut most = 0;
    for number in 1..=HALF_OPEN {
        let (client, mut server) = half_open(&mut door, number);
        // Ahead of what is due: pieces of the messages after it, 2 KiB and more, and protected records.
        for sequence in 0..24u64 {
            let ahead = 3 + (sequence % 3) as u16;
            let mut fragment = vec![20, 0, 8, 0];
            fragment.extend(ahead.to_be_bytes());
            fragment.extend(&(sequence as u32 / 3 * 200).to_be_bytes()[1..]);
            fragment.extend([0, 0, 200]);
            fragment.resize(12 + 200, 7);
            server.handle_datagram(start(), &mut record(22, 0xfefd, 0, 1000 + sequence, &fragment), &mut rng);
            server.handle_datagram(start(), &mut record(22, 0xfefd, 1, sequence, &[9; 140]), &mut rng);
        }
        most = most.max(server.memory_bytes());
        assert!(server.memory_bytes() <= limits::HANDSHAKE_BYTES_MAX, "{}", server.memory_bytes());
        all.push((client, server));
    }
    assert!(most > 1500, "something was kept: {most}");
    let total: usize = all.iter().map(|(_, server)| server.memory_bytes()).sum();
    assert!(total <= HALF_OPEN as usize * limits::HANDSHAKE_BYTES_MAX, "{total}");

    // An honest flight 5 after all that connects, and what was kept is gone. The junk may have taken the
    // place in which its Finished would have waited for the key; it is sent again then, as after a loss.
    for (mut client, mut server) in all.into_iter().take(30) {
        let mut now = start();
        let mut up = Vec::new();
        for _ in 0..2 {
            while client.poll_transmit(&mut up) {
                server.handle_datagram(now, &mut up, &mut rng);
            }
            while let Some(event) = server.poll_event() {
                if let HandshakeEvent::PskWanted { .. } = event {
                    server.provide_psk(now, PskAnswer::key(key()), &mut rng);
                }
            }
            now = client.poll_timeout().expect("it waits for flight 6");
            client.handle_timeout(now);
        }
        let kept = server.memory_bytes() - size_of::<ServerHandshake>();
        assert!(server.is_over(), "connected");
        assert!(kept < 600, "{kept} bytes are still kept");
    }
}
