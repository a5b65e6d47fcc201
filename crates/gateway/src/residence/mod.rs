//! Who is logged in where, and who is online.

pub(crate) mod directory;
pub(crate) mod presence;
mod rivals;

use std::time::Instant;

use narrowgate_engine::event::SessionId;
use narrowgate_platform::ids::{DeviceId, LoginNumber};

use self::{
    directory::{Directory, Removed},
    presence::Presence,
};
use crate::{effect::Now, outbox::Outbox};

/// See the module.
#[derive(Debug)]
pub(crate) struct Residence {
    pub(crate) directory: Directory,
    pub(crate) presence: Presence,
    /// The last login that was numbered, in whatever shard.
    last_login: LoginNumber,
}

impl Residence {
    pub(crate) fn new(presence: Presence, epoch: u64, now: Instant) -> Self {
        let last_login = LoginNumber::first_of(epoch);
        Self { directory: Directory::new(now), presence, last_login }
    }

    /// The number of a login that begins.
    pub(crate) fn number_login(&mut self) -> LoginNumber {
        self.last_login = self.last_login.next();
        self.last_login
    }

    /// The newest login that has a number.
    pub(crate) const fn last_login(&self) -> LoginNumber {
        self.last_login
    }

    /// The product of a device or its organisation unit is off: it is offline, unless it has a session, which
    /// is closed for itself, or has logged in since.
    pub(crate) fn leave(
        &mut self,
        out: &mut Outbox,
        now: Now,
        device: DeviceId,
        until_and_cause: (LoginNumber, &str),
    ) {
        if self.directory.login_of(device).is_none() {
            self.presence.leave(out, now, device, until_and_cause);
        }
    }

    /// Ends all sessions of a device: it is then offline, with this cause.
    pub(crate) fn close_device(&mut self, out: &mut Outbox, now: Now, device: DeviceId, cause: &str) {
        // What they still wish for is not issued: it would void what the operator has made.
        for session in self.directory.take_all(device) {
            out.close(session);
        }
        self.presence.forget(out, now, device, cause);
    }

    /// A session ended; `by_peer`: the device said so.
    pub(crate) fn end_session(
        &mut self,
        out: &mut Outbox,
        now: Now,
        device: DeviceId,
        session: SessionId,
        by_peer: bool,
    ) {
        let removed = self.directory.remove(device, session);
        let was_newest = matches!(removed, Removed::Only | Removed::OneOfSeveral { newest: true });
        if was_newest && by_peer {
            // The device has left, so it does not use the older ones either.
            for older in self.directory.take_logins(device) {
                out.close(older);
            }
            self.presence.close(out, now, device);
        }
    }

    /// A login is durable: the sessions of all earlier ones are closed, after the answers to what was
    /// committed with it.
    pub(crate) fn close_earlier(&mut self, out: &mut Outbox, device: DeviceId, number: LoginNumber) {
        for session in self.directory.take_earlier(device, number) {
            out.supersede_last(session);
        }
    }

    /// The store refused a login, whose session ends: the one before it, if one stands, is the
    /// device's again; else the device is offline, with this cause.
    pub(crate) fn take_back(
        &mut self,
        out: &mut Outbox,
        now: Now,
        device: DeviceId,
        session: SessionId,
        cause: &str,
    ) {
        out.close_last(session);
        match self.directory.remove(device, session) {
            Removed::Only => self.presence.forget(out, now, device, cause),
            Removed::OneOfSeveral { newest: true } => self.presence.reinstate(out, now, device),
            // A newer login decides, or whoever closed it has.
            Removed::OneOfSeveral { newest: false } | Removed::Other => {}
        }
    }
}
