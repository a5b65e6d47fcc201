//! What is different for an agent that talks plain CoAP.

use std::{net::SocketAddr, time::Instant};

use super::{Agent, Said};
use crate::{
    random::SeededRandom,
    world::{PLAIN_SERVER, SERVER},
};

impl Agent {
    /// Where it sends to.
    pub const fn server(&self) -> SocketAddr {
        if self.device.is_plain() { PLAIN_SERVER } else { SERVER }
    }

    /// Whether it talks plain CoAP now.
    pub const fn is_plain(&self) -> bool {
        self.device.is_plain()
    }

    /// Whether a login comes from a port of its own. A device with duties wants no late copy of what it said
    /// before to be carried out, and no server can tell such a copy that comes from the same port, if it has
    /// never seen it. Of the others every second one keeps its port.
    pub(super) const fn begins_at_new_port(&self) -> bool {
        self.device.is_plain() && (self.duties.is_some() || self.number.is_multiple_of(2))
    }

    /// Whether what it sends next comes from another port; asked once.
    pub const fn takes_new_port(&mut self) -> bool {
        std::mem::replace(&mut self.takes_new_port, false)
    }

    /// A response has carried a command.
    pub(super) fn take_carried(
        &mut self,
        now: Instant,
        (path, command): (&str, &[u8]),
        random: &mut SeededRandom,
        said: &mut Vec<Said>,
    ) {
        let Some(duties) = &mut self.duties else { return };
        let mut done = Vec::new();
        duties.carried((now, random), path, command, &mut done);
        let text = String::from_utf8_lossy(command).into_owned();
        self.note(now, format_args!("is given {text} of {path}"));
        said.extend(done.into_iter().map(Said::Done));
    }
}
