//! The neighbour behind the address of the devices, who begins handshakes and finishes none.

use std::{fmt, time::Duration};

use super::{Next, Run, peer};

/// Its ports: it takes one after the other, and begins again.
const PORTS: std::ops::Range<u32> = 25_000..65_000;
/// It sends a hello again after this.
const AGAIN: Duration = Duration::from_millis(600);
/// Not the key that the server has.
const WRONG_KEY: &[u8; 16] = b"a key of a guess";
/// How often one of its hellos comes from far away, and from how far.
const CALLS_EVERY_S: u32 = 10;
const CALLS_FROM: Duration = Duration::from_secs(8);

/// One who begins handshakes and finishes none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Neighbour {
    /// Handshakes that it begins in a second; 0 for nobody.
    pub per_second: u32,
    /// Whether it sends each hello twice, as a client that waits for an answer does.
    pub twice: bool,
    /// Its round trip: it brings its cookie after so long.
    pub round_trip: Duration,
    /// What else it does.
    pub manner: Manner,
}

/// What a neighbour does besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    /// It is silent once it has brought its cookie.
    #[default]
    Silent,
    /// It goes on, with a wrong key, a round trip after it was answered.
    WrongKey,
    /// One of its hellos in ten seconds comes from far away.
    CallsFromFar,
}

impl Neighbour {
    /// How far the one looks who begins this handshake.
    fn looks(&self, number: u32) -> Duration {
        match self.manner {
            Manner::Silent | Manner::WrongKey => self.round_trip,
            Manner::CallsFromFar => match number % (self.per_second * CALLS_EVERY_S) {
                0 => CALLS_FROM,
                _ => self.round_trip,
            },
        }
    }
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.per_second)?;
        if self.twice {
            write!(f, " twice")?;
        }
        if !self.round_trip.is_zero() {
            write!(f, " from {:?} away", self.round_trip)?;
        }
        match self.manner {
            Manner::Silent => Ok(()),
            Manner::WrongKey => write!(f, " with a wrong key"),
            Manner::CallsFromFar => write!(f, " and one from far away every {CALLS_EVERY_S} s"),
        }
    }
}

impl Run {
    /// The neighbour asks for a cookie, brings it, perhaps twice, and then takes the next port.
    pub(super) fn neighbour(&mut self, number: u32) {
        let neighbour = self.tried.neighbour;
        let apart = Duration::from_secs(1) / neighbour.per_second;
        self.plan(self.now + apart, Next::Neighbour(number.wrapping_add(1)));
        let port = PORTS.start + number % PORTS.len() as u32;
        let mut client = self.client("MuGsF6W4,neighbour,2,3600", WRONG_KEY);
        let mut hello = Vec::new();
        assert!(client.poll_transmit(&mut hello));
        self.shard.handle_datagram(self.now, peer(port), &mut hello);
        let outbox = self.shard.outbox();
        let verify = outbox.iter().next().map(|(_, datagram)| datagram.to_vec());
        outbox.clear();
        if let Some(mut verify) = verify {
            client.handle_datagram(self.now, &mut verify, &mut self.random);
        }
        if !client.poll_transmit(&mut hello) {
            return;
        }
        let brings = self.now + neighbour.looks(number);
        if neighbour.twice {
            self.plan(brings + AGAIN, Next::ToServer(port, hello.clone()));
        }
        self.plan(brings, Next::ToServer(port, hello));
        if neighbour.manner == Manner::WrongKey {
            self.goes_on.insert(port, client);
        }
    }

    /// What it answers arrives at once: the datagram came a whole round trip late.
    pub(super) fn go_on(&mut self, port: u32, mut datagram: Vec<u8>) {
        let Some(client) = self.goes_on.get_mut(&port) else { return };
        client.handle_datagram(self.now, &mut datagram, &mut self.random);
        let mut answer = Vec::new();
        while client.poll_transmit(&mut answer) {
            self.shard.handle_datagram(self.now, peer(port), &mut answer);
        }
    }
}
