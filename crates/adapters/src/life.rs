//! The life of a device as both stores apply it: login, presence, issue of a secret, reset
//! (device protocol, sections 3 and 4). A store reads a [`Life`], applies a step, and writes what the step says.

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::{
        device::DeviceState,
        log::{LogEntry, LogEvent},
        product::DynamicActivation,
    },
    ports::{Issued, Written},
};

/// Why a device is offline that was switched off.
pub(crate) const SWITCHED_OFF: &str = "disabled by an operator";

/// What changes in a device's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    /// The device's own switch and its product's, both on.
    pub(crate) enabled: bool,
    pub(crate) state: DeviceState,
    pub(crate) secret_version: u32,
    pub(crate) active_time: Option<UnixMillis>,
    pub(crate) last_online_time: Option<UnixMillis>,
    pub(crate) last_offline_time: Option<UnixMillis>,
    pub(crate) last_seen_time: Option<UnixMillis>,
    pub(crate) lifetime_s: Option<u32>,
}

/// What a login did besides moving times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoginStep {
    pub(crate) activated: bool,
    pub(crate) came_online: bool,
}

impl Life {
    /// As registered, with the first secret.
    pub(crate) fn new() -> Self {
        Self {
            enabled: true,
            state: DeviceState::Inactive,
            secret_version: 1,
            active_time: None,
            last_online_time: None,
            last_offline_time: None,
            last_seen_time: None,
            lifetime_s: None,
        }
    }

    /// A mode-2 handshake was completed. `Err`: nothing changes, and why.
    pub(crate) fn login(
        &mut self,
        at: UnixMillis,
        lifetime_s: u32,
        secret_version: u32,
    ) -> Result<LoginStep, Written> {
        if !self.enabled {
            return Err(Written::DeviceUnavailable);
        }
        if self.secret_version != secret_version {
            return Err(Written::SecretSuperseded);
        }
        let step = LoginStep {
            activated: self.active_time.is_none(),
            came_online: self.state != DeviceState::Online,
        };
        if step.activated {
            self.active_time = Some(at);
        }
        if step.came_online {
            self.state = DeviceState::Online;
            self.last_online_time = Some(at);
        }
        self.last_seen_time = self.last_seen_time.max(Some(at));
        self.lifetime_s = Some(lifetime_s);
        Ok(step)
    }

    /// Heard again, or silent. `Ok(false)`: it was so already. `Err`: nothing changes, and why.
    ///
    /// A disabled device may only go offline, and one that never logged in (or was reset) has no presence.
    pub(crate) fn presence(&mut self, state: DeviceState, at: UnixMillis) -> Result<bool, Written> {
        if self.state == DeviceState::Inactive || (state != DeviceState::Offline && !self.enabled) {
            return Err(Written::DeviceUnavailable);
        }
        match state {
            DeviceState::Inactive => return Err(Written::DeviceUnavailable),
            _ if state == self.state => return Ok(false),
            DeviceState::Online => {
                self.last_online_time = Some(at);
                self.last_seen_time = self.last_seen_time.max(Some(at));
            }
            DeviceState::Offline => self.last_offline_time = Some(at),
        }
        self.state = state;
        Ok(true)
    }

    /// Inactive again, with another secret.
    pub(crate) fn reset(&mut self) {
        *self = Self { enabled: self.enabled, secret_version: self.secret_version + 1, ..Self::new() };
    }
}

/// Why a secret is not issued, for the caller and for the device's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IssueRefusal {
    pub(crate) outcome: Issued,
}

/// What a wish for a secret is judged by.
#[derive(Debug)]
pub(crate) struct IssueCase<'a> {
    pub(crate) device_enabled: bool,
    pub(crate) product_enabled: bool,
    pub(crate) activated: bool,
    pub(crate) dynamic_activation: &'a DynamicActivation,
    /// Secrets that the product issued in the clock hour of `at`.
    pub(crate) issued_this_hour: u32,
    pub(crate) at: UnixMillis,
}

impl IssueCase<'_> {
    /// Whether a secret may be issued (device protocol, section 3): switches, activation, switch, end, quota.
    pub(crate) fn permit(&self) -> Result<(), IssueRefusal> {
        let refuse = |outcome| Err(IssueRefusal { outcome });
        if !self.device_enabled {
            return refuse(Issued::DeviceUnavailable);
        }
        if !self.product_enabled {
            return refuse(Issued::ProductUnavailable);
        }
        if self.activated {
            return refuse(Issued::AlreadyActivated);
        }
        let over = self.dynamic_activation.ends_at.is_some_and(|end| self.at >= end);
        if !self.dynamic_activation.enabled || over {
            return refuse(Issued::DynamicActivationOff);
        }
        if self.issued_this_hour >= self.dynamic_activation.quota_per_hour {
            return refuse(Issued::QuotaExceeded);
        }
        Ok(())
    }
}

impl IssueRefusal {
    /// The entry for the device's log.
    pub(crate) fn entry(&self, device: DeviceId, at: UnixMillis, peer: String) -> LogEntry {
        let (reason, code) = self.outcome.refusal().unzip();
        LogEntry {
            reason,
            code: code.flatten(),
            peer: Some(peer),
            detail: Some(self.outcome.detail().to_owned()),
            ..entry(device, at, LogEvent::Refused)
        }
    }
}

/// The clock hour that `at` lies in, counted from 1970.
pub(crate) fn clock_hour(at: UnixMillis) -> i64 {
    at.0.div_euclid(3_600_000)
}

/// A log entry with nothing but time, device and event.
pub(crate) fn entry(device: DeviceId, at: UnixMillis, event: LogEvent) -> LogEntry {
    LogEntry {
        time: at,
        device: Some(device),
        identity: None,
        event,
        reason: None,
        code: None,
        peer: None,
        detail: None,
    }
}

/// What a device's log says of its new name.
pub(crate) fn renamed_entry(device: DeviceId, at: UnixMillis, from: &str, to: &str) -> LogEntry {
    LogEntry { detail: Some(format!("from {from:?} to {to:?}")), ..entry(device, at, LogEvent::Renamed) }
}

/// The trace of a deleted device: it belongs to no device any more. `damage`: what was wrong with its row,
/// where something was.
pub(crate) fn deleted_entry(
    (product_key, device_key): (&str, &str),
    damage: Option<String>,
    device: DeviceId,
    at: UnixMillis,
) -> LogEntry {
    let identity = Some(format!("{product_key}/{device_key}"));
    LogEntry { device: None, identity, detail: damage, ..entry(device, at, LogEvent::Deleted) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DeviceState::{Inactive, Offline, Online};

    fn life(state: DeviceState, enabled: bool) -> Life {
        let active_time = (state != Inactive).then_some(UnixMillis(1));
        Life { state, enabled, active_time, ..Life::new() }
    }

    #[test]
    fn every_state_meets_every_step() {
        const NONE: Result<bool, Written> = Err(Written::DeviceUnavailable);
        let table = [
            // state, enabled, login came online, presence(Online), presence(Offline)
            (Inactive, true, Ok(true), NONE, NONE),
            (Inactive, false, NONE, NONE, NONE),
            (Online, true, Ok(false), Ok(false), Ok(true)),
            (Online, false, NONE, NONE, Ok(true)),
            (Offline, true, Ok(true), Ok(true), Ok(false)),
            (Offline, false, NONE, NONE, Ok(false)),
        ];
        for (state, enabled, login, online, offline) in table {
            let at = UnixMillis(9);
            let step = life(state, enabled).login(at, 30, 1).map(|step| step.came_online);
            assert_eq!(step, login, "{state:?} {enabled} login");
            assert_eq!(life(state, enabled).presence(Online, at), online, "{state:?} {enabled} online");
            assert_eq!(life(state, enabled).presence(Offline, at), offline, "{state:?} {enabled} offline");
            assert_eq!(life(state, enabled).presence(Inactive, at), NONE, "{state:?} {enabled} inactive");
        }
    }

    #[test]
    fn a_refused_step_changes_nothing() {
        let mut disabled = life(Online, false);
        let before = disabled;
        assert!(
            disabled.login(UnixMillis(9), 30, 1).is_err()
                && disabled.presence(Online, UnixMillis(9)).is_err()
        );
        assert_eq!(disabled, before);
        let mut superseded = life(Online, true);
        let before = superseded;
        assert_eq!(superseded.login(UnixMillis(9), 30, 2), Err(Written::SecretSuperseded));
        assert_eq!(superseded, before);
    }

    #[test]
    fn clock_hours_change_at_the_full_hour_and_exist_before_1970() {
        assert_eq!(clock_hour(UnixMillis(3_599_999)), 0);
        assert_eq!(clock_hour(UnixMillis(3_600_000)), 1);
        assert_eq!(clock_hour(UnixMillis(-1)), -1);
    }
}
