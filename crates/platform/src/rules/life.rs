//! The life of a device: login, presence, reset (device protocol, section 4). A store reads a [`Life`],
//! applies a step, and writes what the step says; a refused step changes nothing.

use std::cmp::Ordering;

use super::clock::last_heard;
use crate::{
    ids::{LoginNumber, UnixMillis},
    model::device::DeviceState,
    ports::Written,
};

/// Why a device that was switched off is offline.
pub const SWITCHED_OFF: &str = "disabled by an operator";

/// Why a device is offline whose secret was replaced.
pub const SECRET_REPLACED: &str = "its secret was replaced by an operator";

/// What changes in a device's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// The device's own switch and its product's, both on.
    pub enabled: bool,
    /// Whether it is inactive, online or offline.
    pub state: DeviceState,
    /// Counts its secrets, from 1.
    pub secret_version: u32,
    /// First login.
    pub active_time: Option<UnixMillis>,
    /// Last change to online.
    pub last_online_time: Option<UnixMillis>,
    /// Last change to offline.
    pub last_offline_time: Option<UnixMillis>,
    /// Last time something authentic was heard.
    pub last_seen_time: Option<UnixMillis>,
    /// Lifetime of its last login, seconds.
    pub lifetime_s: Option<u32>,
    /// The number of its last login; none before the first one and after a reset.
    pub login_number: Option<LoginNumber>,
}

/// What a login did besides setting times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginStep {
    /// It was the device's first.
    pub activated: bool,
    /// The device was not online before.
    pub came_online: bool,
}

impl Default for Life {
    /// As registered, with the first secret.
    fn default() -> Self {
        Self {
            enabled: true,
            state: DeviceState::Inactive,
            secret_version: 1,
            active_time: None,
            last_online_time: None,
            last_offline_time: None,
            last_seen_time: None,
            lifetime_s: None,
            login_number: None,
        }
    }
}

impl Life {
    /// A mode-2 handshake was completed. `Err`: nothing changes, and why.
    pub fn login(
        &mut self,
        number: LoginNumber,
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
        if self.login_number.is_some_and(|newer| newer > number) {
            return Err(Written::LoginSuperseded);
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
        self.last_seen_time = last_heard(self.last_seen_time, Some(at));
        self.lifetime_s = Some(lifetime_s);
        self.login_number = Some(number);
        Ok(step)
    }

    /// Heard again, or silent. `Ok(false)`: it was so already. `Err`: nothing changes, and why.
    ///
    /// A disabled device may only go offline, and one that never logged in (or was reset) has no presence.
    pub fn presence(
        &mut self,
        login: Option<LoginNumber>,
        state: DeviceState,
        at: UnixMillis,
    ) -> Result<bool, Written> {
        if self.state == DeviceState::Inactive || (state != DeviceState::Offline && !self.enabled) {
            return Err(Written::DeviceUnavailable);
        }
        permit(self.login_number, login)?;
        match state {
            DeviceState::Inactive => return Err(Written::DeviceUnavailable),
            _ if state == self.state => return Ok(false),
            DeviceState::Online => {
                self.last_online_time = Some(at);
                self.last_seen_time = last_heard(self.last_seen_time, Some(at));
            }
            DeviceState::Offline => self.last_offline_time = Some(at),
        }
        self.state = state;
        Ok(true)
    }

    /// What a report of the device is judged by.
    pub fn standing(&self) -> Standing {
        let Self { enabled, login_number, secret_version, .. } = *self;
        Standing { enabled, login: login_number, secret_version }
    }

    /// Inactive again, with another secret.
    pub fn reset(&mut self) {
        *self = Self { enabled: self.enabled, secret_version: self.secret_version + 1, ..Self::default() };
    }
}

/// What a report of a device is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The device's own switch and its product's, both on.
    pub enabled: bool,
    /// The number of its last login; none before the first one and after a reset.
    pub login: Option<LoginNumber>,
    /// Counts its secrets.
    pub secret_version: u32,
}

impl Standing {
    /// Whether a report from the session of this login, which proved the secret of this version, may be
    /// stored. Without a login it belongs to no session.
    pub fn permit_report(&self, login: Option<LoginNumber>, secret_version: u32) -> Result<(), Written> {
        if !self.enabled {
            return Err(Written::DeviceUnavailable);
        }
        if login.is_some() && secret_version != self.secret_version {
            return Err(Written::SecretSuperseded);
        }
        match permit(self.login, login) {
            // It has the secret that the session proved, so it was not reset.
            Err(Written::SecretSuperseded) => Err(Written::LoginUnknown),
            other => other,
        }
    }
}

/// Whether a session of login `login` may still write about a device whose last login has the number `has`;
/// `None`: the write belongs to no session. A device without a login was reset: it has another secret now, or
/// its first login could not be written.
pub fn permit(has: Option<LoginNumber>, login: Option<LoginNumber>) -> Result<(), Written> {
    match (has, login) {
        (_, None) => Ok(()),
        (None, Some(_)) => Err(Written::SecretSuperseded),
        (Some(has), Some(login)) => match has.cmp(&login) {
            Ordering::Equal => Ok(()),
            Ordering::Greater => Err(Written::LoginSuperseded),
            Ordering::Less => Err(Written::LoginUnknown),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DeviceState::{Inactive, Offline, Online};

    const ONE: LoginNumber = LoginNumber(1);
    const TWO: LoginNumber = LoginNumber(2);

    fn life(state: DeviceState, enabled: bool) -> Life {
        let active_time = (state != Inactive).then_some(UnixMillis(1));
        Life { state, enabled, active_time, ..Life::default() }
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
            let step = life(state, enabled).login(ONE, at, 30, 1).map(|step| step.came_online);
            assert_eq!(step, login, "{state:?} {enabled} login");
            assert_eq!(life(state, enabled).presence(None, Online, at), online, "{state:?} {enabled} online");
            assert_eq!(
                life(state, enabled).presence(None, Offline, at),
                offline,
                "{state:?} {enabled} offline"
            );
            assert_eq!(
                life(state, enabled).presence(None, Inactive, at),
                NONE,
                "{state:?} {enabled} inactive"
            );
        }
    }

    #[test]
    fn a_refused_step_changes_nothing() {
        let mut disabled = life(Online, false);
        let before = disabled;
        assert!(
            disabled.login(ONE, UnixMillis(9), 30, 1).is_err()
                && disabled.presence(None, Online, UnixMillis(9)).is_err()
        );
        assert_eq!(disabled, before);
        let mut superseded = life(Online, true);
        let before = superseded;
        assert_eq!(superseded.login(ONE, UnixMillis(9), 30, 2), Err(Written::SecretSuperseded));
        assert_eq!(superseded, before);
    }

    #[test]
    fn only_the_newest_login_of_the_present_secret_may_write() {
        let at = UnixMillis(9);
        let mut life = Life::default();
        life.login(TWO, at, 30, 1).unwrap();
        assert_eq!(life.login(ONE, at, 30, 1), Err(Written::LoginSuperseded), "an older one comes too late");
        assert_eq!(life.login(TWO, at, 30, 1).map(|step| step.came_online), Ok(false));
        for (login, right) in
            [(None, Ok(())), (Some(TWO), Ok(())), (Some(ONE), Err(Written::LoginSuperseded))]
        {
            assert_eq!(life.standing().permit_report(login, 1), right);
            assert_eq!({ life }.presence(login, Offline, at).map(drop), right);
        }
        life.reset();
        assert_eq!(life.standing().permit_report(Some(TWO), 1), Err(Written::SecretSuperseded));
        assert_eq!(life.login(LoginNumber(3), at, 30, 1), Err(Written::SecretSuperseded));
        life.login(ONE, at, 30, 2).unwrap();
        life.enabled = false;
        assert_eq!(life.standing().permit_report(Some(ONE), 2), Err(Written::DeviceUnavailable));
    }

    /// The login is written before what its session reports, unless the store could not write it.
    #[test]
    fn attack_203_a_report_is_judged_by_the_login_and_the_secret_of_its_session() {
        // (The device's last login, its secret), (those of the session), what comes of a report.
        let table = [
            ((None, 1), (Some(ONE), 1), Err(Written::LoginUnknown)),
            ((None, 2), (Some(ONE), 1), Err(Written::SecretSuperseded)),
            ((Some(ONE), 1), (Some(ONE), 1), Ok(())),
            ((Some(ONE), 1), (Some(TWO), 1), Err(Written::LoginUnknown)),
            ((Some(TWO), 1), (Some(ONE), 1), Err(Written::LoginSuperseded)),
            ((Some(TWO), 2), (Some(ONE), 1), Err(Written::SecretSuperseded)),
            ((Some(ONE), 2), (Some(TWO), 1), Err(Written::SecretSuperseded)),
            ((Some(ONE), 2), (None, 0), Ok(())),
        ];
        for ((login, secret_version), session, right) in table {
            let standing = Standing { enabled: true, login, secret_version };
            assert_eq!(standing.permit_report(session.0, session.1), right, "{standing:?} {session:?}");
        }
    }
}
