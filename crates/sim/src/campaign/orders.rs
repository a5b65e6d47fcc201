//! What operators do with commands, and what the store holds of them.
#![expect(clippy::result_large_err, reason = "a problem is what the verbs of an operator return")]

use narrowgate_api::{
    command::{CommandKind, NewCommand},
    device::NamedDevice,
    problem::{Code, Problem},
};
use narrowgate_platform::{
    ids::UnixMillis,
    model::{
        command::{Command, OpenCommand},
        device::DeviceState,
        property::PropertyKind,
    },
    paging::Part,
    ports::{HistoryReads as _, Registry as _},
    service::Operator,
    testing::block_on,
};
use serde_json::value::RawValue;

use super::{
    Campaign,
    agent::{device_key, duties::TOPICS},
    ledger::{Ledger, commands::NewOrder},
};

/// Commands that fill a queue, and then some.
const BURST: u64 = 60;

impl Campaign {
    /// An operator sends a command, takes some back, or looks at one.
    pub(super) fn order(&mut self) {
        if self.server.is_none() {
            return;
        }
        let number = self.random.below(self.plan.devices.into()) as u32;
        match self.random.below(1000) {
            0..4 => {
                for _ in 0..20 + self.random.below(BURST) {
                    self.send_command(number);
                }
            }
            4..60 => self.cancel_command(number),
            60..64 => self.cancel_commands(number),
            64..100 => self.show_command(number),
            _ => self.send_command(number),
        }
    }

    fn send_command(&mut self, number: u32) {
        self.orders += 1;
        let order = self.orders;
        let topic = self.random.pick(&TOPICS);
        let pending_ttl = self.random.pick(&[0, 5, 30, 300, 300, 1_800, 1_800]);
        let timeout = self.random.pick(&[1, 5, 30, 30, 60]);
        let new = new_command(order, topic, pending_ttl, timeout);
        let name = NamedDevice::by_name(device_key(number));
        let (at, now) = (self.wall().wall, self.now);
        let sent = self.administer_and(
            |operator| block_on(operator.send_command(&name, new)),
            |ledger, sent| match sent {
                Ok(created) => {
                    let id = created.id.parse().unwrap_or_default();
                    let new = NewOrder { number: order, id, topic, ttl_s: pending_ttl, timeout_s: timeout };
                    ledger.commands.sent(number, new, at, now)
                }
                Err(_) => Ok(()),
            },
        );
        if let Err(problem) = sent {
            // The store is not asked for one to a device that is switched off.
            let is_full = problem.code != Code::SwitchedOff && self.ledger.commands.not_sent(number, at);
            let device = block_on(self.store.durable().device_by_id(self.ledger.id_of(number)));
            let device = device.ok().flatten();
            let is_off = device.as_ref().is_some_and(|device| {
                let product = block_on(self.store.durable().product(&device.product_key));
                !device.enabled || product.ok().flatten().is_some_and(|product| !product.enabled)
            });
            let right = match problem.code {
                Code::NotActivated => device.is_some_and(|device| device.active_time.is_none()),
                Code::Offline => {
                    pending_ttl == 0 && device.is_some_and(|device| device.state != DeviceState::Online)
                }
                Code::QueueFull => is_full,
                Code::SwitchedOff => is_off,
                _ => false,
            };
            self.require(right, Some(number), format_args!("a command cannot be sent to it: {problem:?}"));
        }
    }

    fn cancel_command(&mut self, number: u32) {
        let draw = self.random.next_u64();
        let at = self.wall().wall;
        let open = self.ledger.commands.open(number, at);
        let wanted = match open.len() {
            0 => self.ledger.commands.any(number, draw),
            some => Some(open[draw as usize % some]),
        };
        let Some(id) = wanted else { return };
        let name = NamedDevice::by_name(device_key(number));
        let is_open = open.contains(&id);
        let cancelled = self.administer_and(
            |operator| block_on(operator.cancel_command(&name, &id.to_string())),
            |ledger, cancelled| match cancelled {
                Ok(_) => ledger.commands.cancelled(number, &[id], at),
                Err(_) => Ok(()),
            },
        );
        let right = match &cancelled {
            Ok(_) => is_open,
            // A store that has kept enough of those that have ended has dropped it.
            Err(problem) => !is_open && matches!(problem.code, Code::Ended | Code::Missing),
        };
        let what = format_args!("command {id} is taken back: {cancelled:?}, and is open: {is_open}");
        self.require(right, Some(number), what);
    }

    fn cancel_commands(&mut self, number: u32) {
        let at = self.wall().wall;
        let open = self.ledger.commands.open(number, at);
        let name = NamedDevice::by_name(device_key(number));
        let cancelled = self.administer_and(
            |operator| block_on(operator.cancel_commands(&name)),
            |ledger, _| ledger.commands.cancelled(number, &open, at),
        );
        let ids = cancelled.map(|all| all.cancelled.iter().filter_map(|id| id.parse().ok()).collect());
        let right = ids == Ok::<Vec<u32>, Problem>(open.clone());
        self.require(right, Some(number), format_args!("{ids:?} are taken back, of {open:?}"));
    }

    fn show_command(&mut self, number: u32) {
        let draw = self.random.next_u64();
        let Some(id) = self.ledger.commands.any(number, draw) else { return };
        let name = NamedDevice::by_name(device_key(number));
        let shown = self.administer(|operator| block_on(operator.show_command(&name, &id.to_string())));
        let expected = self.ledger.commands.state(number, id);
        let right = match &shown {
            Ok(shown) => Some(shown.state) == expected,
            Err(problem) => problem.code == Code::Missing,
        };
        self.require(right, Some(number), format_args!("{shown:?}, and it is {expected:?}"));
    }

    /// A device is reset in this moment: its commands were taken back with that.
    pub(super) fn orders_are_taken_back(ledger: &mut Ledger, number: u32, at: UnixMillis) {
        let open = ledger.commands.open(number, at);
        // Of those that are open none has ended.
        let _ = ledger.commands.cancelled(number, &open, at);
    }

    /// A server has started: it knows every command that has not ended, in its state and its order.
    pub(super) fn commands_are_recovered(&mut self, recovered: &[OpenCommand]) {
        if self.plan.orders.is_none() {
            return;
        }
        for number in self.ledger.commands.devices() {
            let id = self.ledger.id_of(number);
            let of_device = recovered.iter().filter(|open| open.device == id);
            let open: Vec<Command> = of_device.map(|open| open.command.clone()).collect();
            let compared = self.ledger.commands.compare(number, &open, false);
            self.check(compared);
            self.traits_are_stored(number);
        }
        self.ledger.commands.restarted(self.now);
    }

    /// The store holds all commands as the ledger does, and what devices are like.
    pub(super) fn commands_are_stored(&mut self) {
        for number in self.ledger.commands.devices() {
            let id = self.ledger.id_of(number);
            let page = block_on(self.store.durable().commands(id, Part::first(100_000)));
            let mut stored = page.map_or_else(|_| Vec::new(), |page| page.items);
            stored.reverse();
            let compared = self.ledger.commands.compare(number, &stored, true);
            self.check(compared);
            self.traits_are_stored(number);
        }
    }

    fn traits_are_stored(&self, number: u32) {
        for kind in [PropertyKind::Attribute, PropertyKind::Tag] {
            let stored = block_on(self.store.durable().properties(self.ledger.id_of(number), kind));
            let compared = self.ledger.compare_traits(number, kind, &stored.unwrap_or_default());
            self.check(compared);
        }
    }

    /// Does what an operator does; the ledger hears of it before the server does.
    fn administer_and<T>(
        &mut self,
        act: impl FnOnce(Operator) -> Result<T, Problem>,
        tell: impl FnOnce(&mut Ledger, &Result<T, Problem>) -> Result<(), super::ledger::Violation>,
    ) -> Result<T, Problem> {
        let done = self.act(act);
        let told = tell(&mut self.ledger, &done);
        self.check(told);
        self.feel_changes();
        done
    }
}

/// A command of a topic, with a number in it.
fn new_command(number: u64, topic: &'static str, pending_ttl: u32, timeout: u32) -> NewCommand {
    let object = RawValue::from_string(format!(r#"{{"n":{number}}}"#)).ok();
    let (kind, points, ids, service, input) = match topic {
        "measurepoint/set" => (CommandKind::Set, object, None, None, None),
        "measurepoint/get" => (CommandKind::Get, None, Some(vec![format!("n{number}")]), None, None),
        service => (CommandKind::Service, None, None, Some(service.to_owned()), object),
    };
    NewCommand { kind, points, ids, service, input, hex: None, pending_ttl, timeout, wait: None }
}
