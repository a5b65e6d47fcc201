//! Commands that ride in responses by plain CoAP (device protocol, section 8).

use std::time::Instant;

use narrowgate_coap::{Code, Response};
use narrowgate_engine::event::Ticket;
use narrowgate_platform::{
    device_api::{carried::COMMAND, commands::COMMAND_WAITING},
    ids::UnixMillis,
};

use super::{Commands, Wanted};
use crate::campaign::ledger::{Checked, broken};

impl Commands {
    /// Whether a command of this topic waits, and the device has fetched another one of it.
    fn is_behind(&self, device: u32, topic: &str, (at, now): (UnixMillis, Instant)) -> bool {
        let Some(orders) = self.devices.get(&device) else { return false };
        let waits =
            |before| orders.open().any(|it| it.new.topic == topic && it.is_known_to_wait(at.0, now, before));
        let is_fetched = orders.all.iter().any(|it| it.new.topic == topic && it.fetched.is_some());
        is_fetched && (waits(false) || waits(true))
    }

    /// The gateway has answered a request of a device that talks plain CoAP. A command rides in the response,
    /// or none is named but one that waits behind another of its topic: those of a campaign are short.
    /// Whether one should have ridden is not known here (the store may have refused it), but at the end of
    /// calm no command is left.
    pub fn responded_plainly(
        &mut self,
        device: u32,
        ticket: Ticket,
        response: &Response,
        (at, now): (UnixMillis, Instant),
    ) -> Checked {
        let wanted = self.wanted.remove(&ticket);
        let named = response.options.find(COMMAND_WAITING).map(String::from_utf8_lossy);
        let named = named.as_deref().map(|path| {
            let topic = path.rsplit_once("/thing/service/").map_or(path, |(_, topic)| topic);
            topic.to_owned()
        });
        self.totals.responses += 1;
        self.totals.named += u64::from(named.is_some());
        let is_content = matches!((&wanted, response.code), (Some(Wanted::Get(..)), Code::CONTENT));
        self.answered(device, wanted, response, at)?;
        match (named, response.options.find(COMMAND)) {
            (None, None) => Ok(()),
            (Some(topic), Some(command)) => {
                self.totals.rode += 1;
                if is_content {
                    return broken(device, "a command rides in the answer to a GET of another, or of itself");
                }
                self.handed_out(device, &topic, command, at)
            }
            // What was asked for goes out at once, and only names the next.
            (Some(_), None) if is_content => Ok(()),
            (Some(topic), None) if self.is_behind(device, &topic, (at, now)) => Ok(()),
            (named, command) => {
                let what = format!("a response names {named:?}, and carries {command:?}");
                broken(device, what)
            }
        }
    }
}
