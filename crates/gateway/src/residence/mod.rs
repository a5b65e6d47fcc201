//! Who is logged in where, and who is online.

pub(crate) mod directory;
pub(crate) mod presence;

use narrowgate_engine::event::SessionId;
use narrowgate_platform::ids::{DeviceId, LoginNumber};

use self::{
    directory::{Directory, Login},
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
    pub(crate) fn new(presence: Presence, epoch: u64) -> Self {
        let last_login = LoginNumber::first_of(epoch);
        Self { directory: Directory::default(), presence, last_login }
    }

    /// The number of a login that begins.
    pub(crate) fn number_login(&mut self) -> LoginNumber {
        self.last_login = self.last_login.next();
        self.last_login
    }

    /// Ends all sessions of a device: it is then offline, with this cause.
    pub(crate) fn close_device(&mut self, out: &mut Outbox, now: Now, device: DeviceId, cause: &str) {
        for session in self.directory.sessions_of(device) {
            out.close(session);
        }
        // What they still wish for is not issued: it would void what the operator has made.
        self.directory.end_activations(device);
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
        let was_login = self.directory.remove(device, session);
        if was_login && by_peer {
            self.presence.close(out, now, device);
        }
    }

    /// The store refused a login: the older session, if there is one, is the device's again; else the device
    /// is offline, with this cause.
    pub(crate) fn take_back(
        &mut self,
        out: &mut Outbox,
        now: Now,
        device: DeviceId,
        session: SessionId,
        older: Option<Login>,
        cause: &str,
    ) {
        if self.directory.take_back(device, session, older) {
            self.presence.forget(out, now, device, cause);
        }
    }
}
