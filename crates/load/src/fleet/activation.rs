//! Devices that fetch their secrets with their product's secret (SecureMode 3), and then log in with what
//! they got.
//!
//! ```text
//! next device --> connect in mode 3 --> ask --> received --> connect in mode 2 --> used: next device
//!                    ^                   | no answer  |        ^   | refused: told, tried again
//!                    +-------------------+------------+        +---+
//!                                       every other device: the first secret is voided by a second one
//! ```
//!
//! A question without an answer may have voided the secret received before, so a device then asks anew.

use std::time::Instant;

use narrowgate_dtls::CipherSuite;
use narrowgate_sim::{
    device::{ConnectFailure, DeviceCommand, DeviceConfig, DeviceEvent, Identity, IssuedSecret, SecureMode},
    devices,
    key::key_of,
};
use sha2::{Digest, Sha256};

use super::{PATIENCE, PAUSE, Summary, impatient, log::Log};
use crate::{LoadError, crowd::Crowd};

/// Devices that fetch at the same time.
const SLOTS: u32 = 4;

/// Whose secrets are fetched.
#[derive(Debug, Clone)]
pub struct Activation {
    /// A product with dynamic activation.
    pub product_key: String,
    /// Its secret.
    pub product_secret: String,
    /// Number of its first device.
    pub first_device: u32,
    /// How many devices it has; when all are activated nothing more is done.
    pub count: u32,
}

/// One address, used by one device after the other.
#[derive(Debug)]
struct Slot {
    /// In the crowd.
    number: u32,
    device: u32,
    /// The secret received last, unless another was asked for since.
    secret: Option<IssuedSecret>,
    received: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Begins at that time.
    Waits(Instant),
    /// In mode 3, since.
    Fetches(Instant),
    /// In mode 2, since.
    LogsIn(Instant),
    /// No devices are left.
    Done,
}

impl Slot {
    fn rest(&mut self, now: Instant, crowd: &mut Crowd) {
        crowd.forget(self.number);
        self.state = State::Waits(now + PAUSE);
    }

    /// Every other device voids its first secret by a second one.
    fn has_its_secret(&self, more: bool) -> bool {
        self.secret.is_some() && !(more && self.received == 1 && self.device.is_multiple_of(2))
    }

    fn begin(&mut self, now: Instant, more: bool, activation: &Activation) -> DeviceConfig {
        let mode = if self.has_its_secret(more) { SecureMode::Device } else { SecureMode::Product };
        let key = match (mode, &self.secret) {
            (SecureMode::Device, Some(secret)) => key_of(secret.as_bytes()),
            _ => key_of(activation.product_secret.as_bytes()),
        };
        self.state = match mode {
            SecureMode::Device => State::LogsIn(now),
            SecureMode::Product => State::Fetches(now),
        };
        let identity =
            Identity { mode, ..Identity::new(&activation.product_key, devices::device_key(self.device)) };
        impatient(DeviceConfig::new(identity, key))
    }

    fn line(&self, letter: char, log: &mut Log) -> Result<(), LoadError> {
        let Some(secret) = &self.secret else { return Ok(()) };
        let digest = Sha256::digest(secret.as_bytes());
        let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        log.line(format_args!("{letter} {} {hex}", self.device))
    }
}

#[derive(Debug)]
pub(super) struct Activators<'a> {
    suite: CipherSuite,
    activation: Option<&'a Activation>,
    slots: Vec<Slot>,
    /// Devices that had or have their turn.
    taken: u32,
}

impl<'a> Activators<'a> {
    /// `after`: the last number in the crowd that is another's.
    pub(super) fn new(suite: CipherSuite, after: u32, activation: Option<&'a Activation>) -> Self {
        let slot = |number| Slot {
            number: after + number,
            device: 0,
            secret: None,
            received: 0,
            state: State::Done,
        };
        let count = activation.map_or(0, |_| SLOTS);
        let mut activators = Self { suite, activation, slots: (1..=count).map(slot).collect(), taken: 0 };
        for index in 0..activators.slots.len() {
            activators.take_next(Instant::now(), index);
        }
        activators
    }

    pub(super) fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Whether no device has a secret that it has not used yet.
    pub(super) fn is_quiet(&self) -> bool {
        self.slots.iter().all(|slot| slot.secret.is_none())
    }

    fn take_next(&mut self, now: Instant, index: usize) {
        let (Some(activation), Some(slot)) = (self.activation, self.slots.get_mut(index)) else { return };
        let (number, is_left) = (slot.number, self.taken < activation.count);
        let state = if is_left { State::Waits(now + PAUSE) } else { State::Done };
        let device = activation.first_device + self.taken;
        *slot = Slot { number, device, secret: None, received: 0, state };
        self.taken += u32::from(is_left);
    }

    /// Connects the devices whose turn it is. With `more` false only received secrets are still tried.
    pub(super) fn turn(&mut self, now: Instant, more: bool, crowd: &mut Crowd) -> Result<(), LoadError> {
        let Some(activation) = self.activation else { return Ok(()) };
        for slot in &mut self.slots {
            match slot.state {
                State::Waits(at) if now >= at && (more || slot.secret.is_some()) => {
                    let device = slot.begin(now, more, activation).suite(self.suite);
                    crowd.connect_as(now, slot.number, device)?;
                }
                State::LogsIn(since) | State::Fetches(since) if now >= since + PATIENCE => {
                    slot.rest(now, crowd);
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn handle_event(
        &mut self,
        now: Instant,
        number: u32,
        event: DeviceEvent,
        crowd: &mut Crowd,
        log: &mut Log,
        summary: &mut Summary,
    ) -> Result<(), LoadError> {
        let Some(index) = self.slots.iter().position(|slot| slot.number == number) else { return Ok(()) };
        let slot = &mut self.slots[index];
        match (slot.state, event) {
            (State::Fetches(_), DeviceEvent::Connected { .. }) => {
                // From here on the server may issue another one, whether it is received or not.
                slot.secret = None;
                crowd.command(now, number, DeviceCommand::AskActivation)?;
            }
            (State::Fetches(_), DeviceEvent::Activated(secret)) => {
                slot.secret = Some(secret);
                slot.received += 1;
                summary.secrets_received += 1;
                slot.line('X', log)?;
                slot.rest(now, crowd);
            }
            (State::LogsIn(_), DeviceEvent::Connected { .. }) => {
                slot.line('W', log)?;
                summary.activated += 1;
                crowd.forget(number);
                self.take_next(now, index);
            }
            (State::LogsIn(_), DeviceEvent::ConnectFailed(ConnectFailure::Refused(_))) => {
                slot.line('F', log)?;
                summary.secrets_refused += 1;
                slot.rest(now, crowd);
            }
            (
                State::Fetches(_) | State::LogsIn(_),
                DeviceEvent::ConnectFailed(_)
                | DeviceEvent::ActivationRefused(_)
                | DeviceEvent::Unanswered { .. }
                | DeviceEvent::Closed,
            ) => slot.rest(now, crowd),
            _ => {}
        }
        Ok(())
    }
}
