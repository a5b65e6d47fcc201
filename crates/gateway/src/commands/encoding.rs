//! Offers of firmware to devices that speak bytes (device protocol, section 7). The store queues an offer
//! without bytes: the product's script makes them each time that the device asks for it. The script is asked
//! before it is written that the command was fetched:
//!
//! | the script | the command | the GET |
//! |---|---|---|
//! | makes bytes | is fetched | 2.05 with them, once that is durable |
//! | throws, is over a limit, makes none or too many | has failed: 11810 | decided anew |
//! | cannot be run now, or not be read | waits on | 5.03 |
//! | is not published | waits on | 4.03 |
//!
//! While it runs nothing else is done with the commands of the device. Where the session ends meanwhile, the
//! command waits on.

use narrowgate_engine::event::SessionId;
use narrowgate_platform::{
    device_api::{self, commands, raw, short},
    ids::DeviceId,
    model::{
        command::{Command, CommandId, CommandStep, CommandTopic},
        product::DataFormat,
    },
    ports::{Circumstances, Fault, Script},
};

use super::{Ask, CommandWanted, Moving};
use crate::{
    effect::{Effect, Now},
    outbox::Pending,
    raw::{Encode, Purpose},
    requests::Asker,
    shared::Shared,
};

/// What a script made of a command.
#[derive(Debug)]
pub(super) struct Made {
    of: CommandId,
    /// `None`: nothing.
    bytes: Option<Vec<u8>>,
}

/// A command that a script makes bytes of.
#[derive(Debug)]
pub(crate) struct CommandEncoding {
    pub(crate) device: DeviceId,
    command: CommandId,
    ask: Ask,
}

impl Ask {
    /// Whether a script is still to make the bytes of the command that the GET gets.
    pub(super) fn lacks_bytes_of(&self, command: &Command) -> bool {
        let is_for_bytes = match &self.wanted {
            CommandWanted::Fetch { topic, .. } => *topic == CommandTopic::Raw,
            CommandWanted::FetchOldest { accept } => short::is_in_bytes(command, self.speaks, *accept),
            CommandWanted::Reply { .. } => false,
        };
        is_for_bytes && command.order.raw.is_none() && self.bytes_of(command.id).is_none()
    }

    /// The bytes that a script has made of a command.
    pub(super) fn bytes_of(&self, command: CommandId) -> Option<&[u8]> {
        self.made.as_ref().filter(|made| made.of == command)?.bytes.as_deref()
    }
}

impl Shared {
    /// What the devices of a product speak.
    pub(crate) fn speaks(&self, asker: &Asker) -> DataFormat {
        self.products.data_format(asker.grant.product_key())
    }

    /// Has the bytes of a command made; returns whether the script was asked. Else the GET is answered.
    pub(super) fn encode_command(&mut self, now: Now, device: DeviceId, ask: Ask, command: &Command) -> bool {
        let product = self.products.find(ask.asker.grant.product_key());
        let script = product.and_then(|product| product.custom.as_ref()).map(|custom| &custom.script);
        let script: Script = match script {
            Some(Ok(Some(script))) => script.clone(),
            Some(Ok(None)) => {
                self.commands.set_busy(device, false);
                self.answer(now, ask.ticket, &ask.asker, raw::not_published());
                return false;
            }
            // It is being read, or could not be.
            Some(Err(())) | None => {
                self.commands.set_busy(device, false);
                self.requests.count_unavailable();
                self.respond(now, ask.ticket, &ask.asker, device_api::unavailable());
                return false;
            }
        };
        let json = String::from_utf8(commands::message_as_json(command)).unwrap_or_default();
        // Each time the same, as the bytes of other commands are.
        let at = Circumstances::of(json.as_bytes(), command.created);
        let session = ask.ticket.session;
        let pending = CommandEncoding { device, command: command.id, ask };
        let encode = Box::new(Encode { device, script, json, at });
        let token =
            self.out.ask(Pending::EncodeCommand(Box::new(pending)), |token| Effect::Encode(token, encode));
        self.script_calls.begin(device, token, session, Purpose::Command);
        true
    }

    /// The script has made bytes of a command, or not.
    pub(crate) fn handle_command_encoded(
        &mut self,
        now: Now,
        encoding: CommandEncoding,
        answer: Result<Vec<u8>, Fault>,
    ) {
        let CommandEncoding { device, command, mut ask } = encoding;
        self.commands.set_busy(device, false);
        match answer.and_then(commands::encoded) {
            Ok(bytes) => {
                ask.made = Some(Made { of: command, bytes: Some(bytes) });
                self.decide_anew(ask);
            }
            Err(fault) if fault.kind.is_of_script() => {
                let message = commands::not_encoded(&fault).into();
                let steps = vec![(command, CommandStep::NotEncoded { message })];
                ask.made = Some(Made { of: command, bytes: None });
                let moving = Moving { device, steps, at: now.wall, ask: Some(ask), carry: None };
                self.commands.set_busy(device, true);
                return self.out.write(moving.writes(), Pending::CommandsMoved(Box::new(moving)));
            }
            Err(fault) => self.handle_fault(now, ask.ticket, &ask.asker, &fault, "jsonStrToRawData"),
        }
        self.go_on_with_commands(now, device);
    }

    /// The session has ended for which bytes of a command were being made: the command waits on.
    pub(crate) fn drop_command_encoding(&mut self, now: Now, device: DeviceId, session: SessionId) {
        if self.script_calls.end_session(&mut self.out, device, session) {
            self.commands.set_busy(device, false);
            self.go_on_with_commands(now, device);
        }
    }
}

impl super::Commands {
    fn set_busy(&mut self, device: DeviceId, is_busy: bool) {
        if let Some(entry) = self.devices.get_mut(&device) {
            entry.is_busy = is_busy;
        }
    }
}
