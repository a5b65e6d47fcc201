//! The honest device beside the flood: one full handshake after the other, each timed.

use std::{
    io,
    time::{Duration, Instant},
};

use narrowgate_dtls::{ClientConfig, ClientEvent, ClientHandshake, Session};
use narrowgate_sim::{devices, key::key_of, random::SeededRandom};

use crate::{
    DEVICES_MAX, LoadConfig,
    wire::{Wait, Wire},
};

/// The last of all addresses: a preference for some order of addresses would show.
const NUMBER: u32 = DEVICES_MAX;
/// The longest that a handshake may take.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Honest {
    config: LoadConfig,
    wire: Wire,
    random: SeededRandom,
    session: Option<Box<Session>>,
}

impl Honest {
    pub(super) fn new(config: &LoadConfig) -> io::Result<Self> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        Ok(Self {
            config: config.clone(),
            wire: Wire::open(config.target)?,
            random: SeededRandom::new(u64::from_ne_bytes(seed)),
            session: None,
        })
    }

    /// Connects again, replacing the old session; returns how long it took, `None` if it failed.
    pub(super) fn connect(&mut self) -> io::Result<Option<Duration>> {
        let LoadConfig { product_key, first_device, suite, .. } = &self.config;
        let identity = format!("{product_key},{},2,3600", devices::device_key(*first_device));
        let psk = key_of(devices::device_secret(*first_device).as_bytes());
        let client = ClientConfig { suites: vec![*suite], ..ClientConfig::new(identity.as_bytes(), psk) };
        while self.wire.receive(Wait::No)?.is_some() {}
        let begun = Instant::now();
        let mut handshake = ClientHandshake::new(client, begun, &mut self.random);
        let mut flight = Vec::new();
        while begun.elapsed() < PATIENCE {
            while handshake.poll_transmit(&mut flight) {
                self.wire.send(NUMBER, &flight)?;
            }
            match handshake.poll_event() {
                Some(ClientEvent::Established(session)) => {
                    self.session = Some(session);
                    return Ok(Some(begun.elapsed()));
                }
                Some(ClientEvent::Failed(_) | ClientEvent::Expired) => return Ok(None),
                None => {}
            }
            if let Some((_, datagram)) = self.wire.receive(Wait::Briefly)? {
                handshake.handle_datagram(Instant::now(), datagram, &mut self.random);
            }
            let now = Instant::now();
            if handshake.poll_timeout().is_some_and(|due| due <= now) {
                handshake.handle_timeout(now);
            }
        }
        Ok(None)
    }

    /// Closes its session with a close_notify.
    pub(super) fn close(&mut self) -> io::Result<()> {
        let Some(mut session) = self.session.take() else { return Ok(()) };
        let mut record = Vec::new();
        session.seal_close_notify(&mut self.random, &mut record);
        self.wire.send(NUMBER, &record)
    }
}
