//! Many devices on one socket and one thread.

use std::{
    io,
    time::{Duration, Instant},
};

use narrowgate_sim::{
    device::{Device, DeviceCommand, DeviceConfig, DeviceEvent},
    devices,
    random::SeededRandom,
};

use super::{
    LoadConfig, LoadError,
    wire::{Wait, Wire},
};

/// Datagrams received before control returns to the caller.
const DATAGRAMS_PER_TURN: usize = 64;
/// How often the timers of all devices are checked; retransmission takes seconds.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

/// See the module. Devices are numbered from 1, wherever their keys begin.
#[derive(Debug)]
pub(super) struct Crowd {
    config: LoadConfig,
    wire: Wire,
    random: SeededRandom,
    devices: Vec<Option<Box<Device>>>,
    present: u32,
    swept: Instant,
}

impl Crowd {
    pub(super) fn new(config: LoadConfig, count: u32) -> Result<Self, LoadError> {
        let wire = Wire::open(config.target).map_err(LoadError::Socket)?;
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|error| LoadError::Socket(io::Error::other(error)))?;
        Ok(Self {
            config,
            wire,
            random: SeededRandom::new(u64::from_ne_bytes(seed)),
            devices: (0..=count).map(|_| None).collect(),
            present: 0,
            swept: Instant::now(),
        })
    }

    /// Devices that were connected and not forgotten.
    pub(super) const fn present(&self) -> u32 {
        self.present
    }

    /// Adds a device and starts its handshake.
    pub(super) fn connect(&mut self, now: Instant, number: u32) -> Result<(), LoadError> {
        let LoadConfig { product_key, first_device, suite, lifetime_s, .. } = &self.config;
        let mut device = devices::device_config(product_key, first_device.saturating_add(number - 1), *suite);
        device.identity.lifetime_s = *lifetime_s;
        self.connect_as(now, number, device)
    }

    /// The same for any device, instead of the one that was there.
    pub(super) fn connect_as(
        &mut self,
        now: Instant,
        number: u32,
        device: DeviceConfig,
    ) -> Result<(), LoadError> {
        self.forget(number);
        self.devices[number as usize] = Some(Box::new(Device::new(device)));
        self.present += 1;
        self.command(now, number, DeviceCommand::Connect)?;
        Ok(())
    }

    /// What the last response to a device said of a command that waits.
    pub(super) fn command_waiting(&self, number: u32) -> Option<&str> {
        self.devices[number as usize].as_ref()?.command_waiting()
    }

    /// Gives a device a command; returns whether it accepted it.
    pub(super) fn command(
        &mut self,
        now: Instant,
        number: u32,
        command: DeviceCommand,
    ) -> Result<bool, LoadError> {
        let Some(device) = &mut self.devices[number as usize] else { return Ok(false) };
        let taken = device.handle_command(now, command, &mut self.random).is_ok();
        self.transmit(number)?;
        Ok(taken)
    }

    /// Sends a datagram from the address of a device that the device knows nothing of.
    pub(super) fn inject(&self, number: u32, datagram: &[u8]) -> Result<(), LoadError> {
        self.wire.send(number, datagram).map_err(LoadError::Exchange)
    }

    /// Removes a device without notifying the server, for which it stays connected and silent.
    pub(super) fn forget(&mut self, number: u32) {
        if self.devices[number as usize].take().is_some() {
            self.present -= 1;
        }
    }

    /// Receives what has arrived, or waits a few milliseconds for it; appends the events of the devices to
    /// `events`.
    pub(super) fn turn(&mut self, events: &mut Vec<(u32, DeviceEvent)>) -> Result<(), LoadError> {
        let mut wait = Wait::Briefly;
        let mut now = None;
        for _ in 0..DATAGRAMS_PER_TURN {
            let received = self.wire.receive(wait).map_err(LoadError::Exchange)?;
            let Some((number, datagram)) = received else { break };
            let now = *now.get_or_insert_with(Instant::now);
            wait = Wait::No;
            let Some(device) = self.devices.get_mut(number as usize).and_then(Option::as_mut) else {
                continue;
            };
            device.handle_datagram(now, datagram, &mut self.random);
            self.take_events(number, events);
            self.transmit(number)?;
        }
        let now = now.unwrap_or_else(Instant::now);
        if now >= self.swept + SWEEP_INTERVAL {
            self.swept = now;
            self.sweep(now, events)?;
        }
        Ok(())
    }

    fn sweep(&mut self, now: Instant, events: &mut Vec<(u32, DeviceEvent)>) -> Result<(), LoadError> {
        for number in 1..self.devices.len() as u32 {
            let Some(device) = &mut self.devices[number as usize] else { continue };
            if device.poll_timeout().is_some_and(|due| due <= now) {
                device.handle_timeout(now, &mut self.random);
                self.take_events(number, events);
                self.transmit(number)?;
            }
        }
        Ok(())
    }

    fn take_events(&mut self, number: u32, events: &mut Vec<(u32, DeviceEvent)>) {
        let Some(device) = &mut self.devices[number as usize] else { return };
        while let Some(event) = device.poll_event() {
            events.push((number, event));
        }
    }

    fn transmit(&mut self, number: u32) -> Result<(), LoadError> {
        let Some(device) = &mut self.devices[number as usize] else { return Ok(()) };
        while let Some(datagram) = device.poll_transmit() {
            self.wire.send(number, &datagram).map_err(LoadError::Exchange)?;
        }
        Ok(())
    }
}
