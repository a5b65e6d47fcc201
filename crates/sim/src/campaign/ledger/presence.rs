//! When a device has to be online, by the signs of life that the ledger knows.

use std::time::{Duration, Instant};

use narrowgate_platform::{
    model::device::DeviceState,
    ports::{OnlineDevice, Write},
    rules::presence::SPREAD_PERCENT,
};

use super::{Checked, Ledger, STEP, STORED_WITHIN, broken};

/// How late a change to offline may be.
pub(super) const LATE_MAX: Duration = Duration::from_secs(1);
/// So many devices may fall silent at once: of more, the last ones are noticed when the store has written
/// the first.
const SILENT_AT_ONCE: u32 = 128;
/// What a calm store needs for a write, with those that wait before it.
const WRITTEN_WITHIN: Duration = Duration::from_millis(100);

impl Ledger {
    /// How late a change to offline may be for a device that was last heard at `heard`.
    fn late_max(&self, heard: Instant, lifetime: Duration) -> Duration {
        let after_restart = self.restarts.contains(&heard);
        let grace = if after_restart { lifetime * SPREAD_PERCENT as u32 / 100 } else { Duration::ZERO };
        grace + if self.devices_max > SILENT_AT_ONCE { STORED_WITHIN } else { LATE_MAX }
    }

    /// A change of presence, decided at an instant: silence must have lasted for the lifetime, and not much
    /// longer.
    pub fn presence_decided(&mut self, write: &Write, at: Instant) -> Checked {
        let Write::Presence { device, state: DeviceState::Offline, cause, .. } = write else { return Ok(()) };
        let Some(known) = self.devices.get(device).filter(|_| cause.starts_with("silent")) else {
            return Ok(());
        };
        // What was heard in the very moment may have come to the gateway after the decision.
        let mut signs = known.heard.iter().rev().filter(|heard| **heard <= at);
        let newest = signs.next();
        let just_now = newest.is_some_and(|heard| *heard + known.lifetime > at && *heard + STEP >= at);
        let Some(heard) = (if just_now { signs.next() } else { newest }) else {
            return broken(known.number, "offline by silence, and it was never heard");
        };
        let due = *heard + known.lifetime;
        if at + STEP < due {
            let early = (due - at).as_secs_f64();
            return broken(
                known.number,
                format!("offline by silence {early:.3} s before its lifetime is over"),
            );
        }
        if at > due + self.late_max(*heard, known.lifetime) {
            let late = (at - due).as_secs_f64();
            return broken(
                known.number,
                format!("offline by silence {late:.3} s after its lifetime was over"),
            );
        }
        self.totals.silences += 1;
        Ok(())
    }

    /// A new server has taken up the devices that the store holds online.
    pub fn restarted(&mut self, now: Instant, online: &[OnlineDevice]) {
        self.restarts.insert(now);
        for OnlineDevice { device, .. } in online {
            if let Some(number) = self.devices.get(device).map(|known| known.number) {
                self.heard(number, now);
            }
        }
    }

    /// Whether it should be online: for its lifetime after it was heard. `None` for a moment around the end
    /// of that.
    pub fn should_be_online(&self, number: u32, now: Instant) -> Option<bool> {
        let known = self.devices.get(self.ids.get(&number)?)?;
        let Some(heard) = known.heard.back() else { return Some(false) };
        let due = *heard + known.lifetime;
        if now < *heard + WRITTEN_WITHIN {
            // It may have come online again in this moment: the write is under way.
            None
        } else if now + STEP < due {
            Some(true)
        } else if now > due + self.late_max(*heard, known.lifetime) {
            Some(false)
        } else {
            None
        }
    }

    /// Whether the store has had time enough to learn that the device is silent.
    pub fn is_long_silent(&self, number: u32, now: Instant) -> bool {
        let known = self.ids.get(&number).and_then(|id| self.devices.get(id));
        known.is_some_and(|known| {
            known.heard.back().is_none_or(|heard| {
                let late = self.late_max(*heard, known.lifetime);
                now > *heard + known.lifetime + late + STORED_WITHIN
            })
        })
    }
}
