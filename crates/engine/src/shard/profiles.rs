//! The settings of the CoAP layer by the profile of a session: two values for all sessions, and one byte in
//! the endpoint of each.

use std::borrow::Cow;

use narrowgate_coap::{Params, Profile, SlowRadio};

use super::Shard;
use crate::event::SessionId;

/// See the module.
#[derive(Debug)]
pub(super) struct Profiles {
    default: Params,
    nbiot: Params,
}

impl Profiles {
    pub(super) fn new(default: &Params, nbiot: &SlowRadio) -> Self {
        Self { default: default.clone(), nbiot: default.for_radio(nbiot) }
    }

    /// The settings of a session.
    pub(super) const fn of(&self, profile: Profile) -> &Params {
        match profile {
            Profile::Default => &self.default,
            Profile::Nbiot => &self.nbiot,
        }
    }

    /// The settings of a session whose messages may have so many bytes.
    pub(super) fn within(&self, profile: Profile, bytes_max: usize) -> Cow<'_, Params> {
        let params = self.of(profile);
        if params.message_bytes_max <= bytes_max {
            return Cow::Borrowed(params);
        }
        Cow::Owned(Params { message_bytes_max: bytes_max, ..params.clone() })
    }
}

impl Shard {
    /// See [`crate::event::ShardCommand::SetProfile`].
    pub(super) fn set_profile(&mut self, session: SessionId, profile: Profile) {
        if let Some(row) = self.sessions.at(session) {
            row.session.endpoint.set_profile(profile);
        }
    }
}
