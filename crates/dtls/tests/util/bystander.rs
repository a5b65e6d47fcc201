//! Another device of the same server: whatever is done to one session or handshake, it must not notice.

use std::{net::SocketAddr, time::Instant};

use narrowgate_dtls::{
    ClientEvent, ClientHandshake, FrontDoor, HandshakeEvent, Listener, Opened, PskAnswer, Session,
};
use narrowgate_testkit::SeededRandom;

use super::{Protection, client_config, key};

/// Both ends of its session.
pub(crate) struct Bystander {
    server: Box<Session>,
    client: Box<Session>,
    rng: SeededRandom,
}

impl Bystander {
    /// Does a whole handshake through this listener.
    pub(crate) fn connect(listener: &mut Listener, now: Instant) -> Self {
        let mut rng = SeededRandom::new(77);
        let peer: SocketAddr = "198.51.100.9:50000".parse().expect("an address");
        let mut client = ClientHandshake::new(client_config(Protection::Ccm8), now, &mut rng);
        let (mut up, mut down) = (Vec::new(), Vec::new());
        assert!(client.poll_transmit(&mut up));
        let door = listener.handle_datagram(now, peer, &up, &mut rng, &mut down);
        assert!(matches!(door, FrontDoor::HelloVerify), "a bystander is asked for its cookie");
        client.handle_datagram(now, &mut down, &mut rng);
        assert!(client.poll_transmit(&mut up));
        let FrontDoor::Accept(mut server) = listener.handle_datagram(now, peer, &up, &mut rng, &mut down)
        else {
            panic!("a bystander's cookie is good");
        };
        assert!(server.poll_transmit(&mut down));
        client.handle_datagram(now, &mut down, &mut rng);
        assert!(client.poll_transmit(&mut up));
        server.handle_datagram(now, &mut up, &mut rng);
        assert!(matches!(server.poll_event(), Some(HandshakeEvent::PskWanted { .. })));
        server.provide_psk(now, PskAnswer::key(key()), &mut rng);
        assert!(server.poll_transmit(&mut down));
        client.handle_datagram(now, &mut down, &mut rng);
        match (server.poll_event(), client.poll_event()) {
            (Some(HandshakeEvent::Established(server)), Some(ClientEvent::Established(client))) => {
                Self { server, client, rng }
            }
            other => panic!("a bystander does not connect: {other:?}"),
        }
    }

    /// A report and its answer arrive.
    pub(crate) fn assert_alive(&mut self) {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        self.client.seal(b"report", &mut self.rng, &mut up).expect("it fits");
        assert_eq!(self.server.open(&mut up), Ok(Opened::Application(&mut b"report".to_owned())));
        self.server.seal(b"answer", &mut self.rng, &mut down).expect("it fits");
        assert_eq!(self.client.open(&mut down), Ok(Opened::Application(&mut b"answer".to_owned())));
    }
}
