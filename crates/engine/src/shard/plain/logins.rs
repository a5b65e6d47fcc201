//! Logins that wait for the platform, by slot and by path: one for each path.
//!
//! One timer serves all of them, so that a flood of logins leaves no timers behind.

use std::{collections::HashMap, time::Instant};

use narrowgate_coap::{Endpoint, ExchangeId};
use slab::Slab;

use super::{super::half_open::Hello, LOGIN_LIFETIME};
use crate::{event::HandshakeId, path::Path};

/// A login that waits.
pub(in super::super) struct Login {
    pub(super) path: Path,
    /// Has its request, and nothing else.
    pub(super) endpoint: Endpoint,
    pub(super) exchange: ExchangeId,
    /// The message that it came in, for its copies.
    pub(super) hello: Hello,
    /// Bytes of that message.
    pub(super) bytes: usize,
    pub(super) generation: u32,
    expires: Instant,
}

/// See the module.
#[derive(Default)]
pub(in super::super) struct Logins {
    waiting: Slab<Login>,
    by_path: HashMap<Path, u32, foldhash::fast::RandomState>,
    /// The timer is armed.
    sweep_is_armed: bool,
}

impl Logins {
    /// How many wait.
    pub(in super::super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether one of this path waits.
    pub(super) fn has(&self, path: Path) -> bool {
        self.by_path.contains_key(&path)
    }

    /// Adds one whose message has so many bytes; returns its slot.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        (path, bytes): (Path, usize),
        hello: Hello,
        (endpoint, exchange): (Endpoint, ExchangeId),
        generation: u32,
    ) -> u32 {
        let expires = now + LOGIN_LIFETIME;
        let login = Login { path, endpoint, exchange, hello, bytes, generation, expires };
        let slot = self.waiting.insert(login) as u32;
        self.by_path.insert(path, slot);
        slot
    }

    /// Removes and returns one, unless it is gone.
    pub(super) fn take(&mut self, handshake: HandshakeId) -> Option<Login> {
        let slot = handshake.slot as usize;
        self.waiting.get(slot).filter(|login| login.generation == handshake.generation)?;
        let login = self.waiting.remove(slot);
        self.by_path.remove(&login.path);
        Some(login)
    }

    /// Removes and returns those whose time is over, with their slots. The timer has fired.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<(u32, Login)> {
        self.sweep_is_armed = false;
        let is_over = |(_, login): &(usize, &Login)| login.expires <= now;
        let over: Vec<usize> = self.waiting.iter().filter(is_over).map(|(slot, _)| slot).collect();
        let mut taken = Vec::with_capacity(over.len());
        for slot in over {
            let login = self.waiting.remove(slot);
            self.by_path.remove(&login.path);
            taken.push((slot as u32, login));
        }
        taken
    }

    /// When the timer is to fire, if one is to be armed.
    pub(super) fn arm_sweep(&mut self) -> Option<Instant> {
        if self.sweep_is_armed {
            return None;
        }
        let next = self.waiting.iter().map(|(_, login)| login.expires).min();
        self.sweep_is_armed = next.is_some();
        next
    }
}
