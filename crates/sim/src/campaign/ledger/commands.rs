//! What operators, devices and time have really done with commands, beside what the server makes of it
//! (device protocol, section 6).
//!
//! For each device this holds all commands in the order of their sending. It moves them by what is durable,
//! and demands of each such step that it is right: a command is fetched by a device that asked for its topic,
//! the oldest first; it is answered as the device has said, after the device has received it; it is over when
//! its time is. Of each response it demands that it names the oldest waiting command that the gateway has
//! read and no other, that it hands out what is durable and not over, and that it acknowledges only answers
//! that count, or never could.

mod order;
mod rides;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use narrowgate_coap::{Code, Request, Response};
use narrowgate_engine::event::Ticket;
use narrowgate_platform::{
    device_api::commands::COMMAND_WAITING,
    ids::UnixMillis,
    model::command::{Command, CommandMove, CommandState, CommandStep},
    ports::Written,
    rules::commands::OPEN_MAX_DEFAULT,
};
use serde_json::Value;

pub use self::order::NewOrder;
use self::order::{Order, Orders, Stands};
use super::{Checked, broken};

/// Commands that have ended and are kept of a device at least.
const ENDED_KEPT: usize = 1000;

/// Counts, for a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CommandTotals {
    /// Commands that operators have sent.
    pub sent: u64,
    /// … that were not taken, for a full queue or a device that is not there.
    pub not_taken: u64,
    /// Times that one was handed out by a response.
    pub offers: u64,
    /// … under the same id as before.
    pub repeated_offers: u64,
    /// Answers of devices, with those that were said again.
    pub answers: u64,
    /// Answers that were acknowledged, and count.
    pub taken: u64,
    /// Commands by their end: succeeded, failed, cancelled, expired, timed out.
    pub ended: [u64; 5],
    /// Responses of which it was compared what they say of a command that waits.
    pub responses: u64,
    /// … that named one.
    pub named: u64,
    /// Commands that were compared with the store at starts and at the end.
    pub compared: u64,
    /// Changes of attributes and tags that were acknowledged.
    pub edits: u64,
    /// Events that were acknowledged.
    pub events: u64,
    /// Commands that rode in responses by plain CoAP.
    pub rode: u64,
}

/// What a device wants by a request.
#[derive(Debug)]
enum Wanted {
    /// A topic; by plain CoAP, also the commands that the gateway knew when it was asked. A response there
    /// may wait until a command that is to ride in it is durable, and says then what was so before.
    Get(String, Option<Vec<u32>>),
    Answer(String, Option<u32>),
    Other,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Commands {
    devices: BTreeMap<u32, Orders>,
    wanted: HashMap<Ticket, Wanted>,
    /// Counts.
    pub totals: CommandTotals,
}

impl Commands {
    /// An operator has sent a command at this time.
    pub fn sent(&mut self, device: u32, new: NewOrder, at: UnixMillis, now: Instant) -> Checked {
        self.totals.sent += 1;
        self.make_room(device, at);
        let orders = self.devices.entry(device).or_default();
        orders.forget_ended(now);
        let id = new.id;
        if orders.count_open() >= OPEN_MAX_DEFAULT {
            return broken(device, format!("command {id} was taken, and its queue was full"));
        }
        if orders.by_id.insert(id, orders.all.len()).is_some() {
            return broken(device, format!("the id {id} was used before"));
        }
        orders.open.push(orders.all.len());
        orders.all.push(Order::new(new, at.0));
        Ok(())
    }

    /// The store was asked to take a command at this time, and did not: whether the queue is full.
    pub fn not_sent(&mut self, device: u32, at: UnixMillis) -> bool {
        self.totals.not_taken += 1;
        self.make_room(device, at);
        self.devices.get(&device).is_some_and(|orders| orders.count_open() >= OPEN_MAX_DEFAULT)
    }

    /// A full queue is rid of what is over by its time when a further command is to be sent.
    fn make_room(&mut self, device: u32, at: UnixMillis) {
        let Some(orders) =
            self.devices.get_mut(&device).filter(|orders| orders.count_open() >= OPEN_MAX_DEFAULT)
        else {
            return;
        };
        for index in orders.open.clone() {
            let order = &mut orders.all[index];
            if let (None, Stands::Over(state, since)) = (order.ended, order.stands(at.0)) {
                order.ended = Some((state, since, None));
                self.totals.ended[place(state)] += 1;
            }
        }
    }

    /// The ids of the commands of a device that have not ended, in the order of their sending.
    pub fn open(&self, device: u32, at: UnixMillis) -> Vec<u32> {
        let orders = self.devices.get(&device);
        let open = orders.into_iter().flat_map(Orders::open);
        open.filter(|order| !order.is_over(at.0)).map(|order| order.new.id).collect()
    }

    /// An id of a command that was sent to the device.
    pub fn any(&self, device: u32, draw: u64) -> Option<u32> {
        let all = &self.devices.get(&device)?.all;
        all.get(draw as usize % all.len().max(1)).map(|order| order.new.id)
    }

    /// Where a command stands, as an operator who looks at this time has to see it.
    pub fn state(&self, device: u32, id: u32) -> Option<CommandState> {
        Some(self.devices.get(&device)?.find(id)?.as_stored().0)
    }

    /// Operators have taken back these commands, of those that had not ended; the gateway does not know yet.
    pub fn cancelled(&mut self, device: u32, ids: &[u32], at: UnixMillis) -> Checked {
        for id in ids {
            let order = self.devices.get_mut(&device).and_then(|orders| orders.find_mut(*id));
            let Some(order) = order.filter(|order| !order.is_over(at.0)) else {
                return broken(device, format!("command {id} was cancelled, and it had ended"));
            };
            order.ended = Some((CommandState::Cancelled, at.0, None));
            self.totals.ended[2] += 1;
        }
        Ok(())
    }

    /// The gateway has read the commands of a device.
    pub fn read(&mut self, device: u32, now: Instant) {
        let Some(orders) = self.devices.get_mut(&device) else { return };
        orders.forget_ended(now);
        let Orders { all, open, .. } = orders;
        for index in open {
            let order = &mut all[*index];
            order.keep_before(now);
            order.is_read = order.ended.is_none();
        }
    }

    /// The server died.
    pub fn crashed(&mut self) {
        self.wanted.clear();
    }

    /// A server has started and knows what the store holds.
    pub fn restarted(&mut self, now: Instant) {
        let devices: Vec<u32> = self.devices.keys().copied().collect();
        devices.into_iter().for_each(|device| self.read(device, now));
    }

    /// A request reaches the gateway.
    pub fn requested(&mut self, device: u32, (ticket, is_plain): (Ticket, bool), request: &Request) {
        let path = request.path_text();
        let topic = path.split_once("/thing/service/").map(|(_, topic)| topic);
        let wanted = match (request.method, topic.map(|topic| (topic, topic.strip_suffix("_reply")))) {
            (Code::POST, Some((_, Some(topic)))) => {
                let body = serde_json::from_slice::<Value>(&request.payload).unwrap_or_default();
                let id = body.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
                Wanted::Answer(topic.to_owned(), id)
            }
            (Code::GET, Some((topic, _))) => {
                let orders = self.devices.entry(device).or_default();
                orders.gets.entry(topic.to_owned()).or_default().0 += 1;
                let known = orders.open().filter(|order| order.is_read).map(|order| order.new.id);
                Wanted::Get(topic.to_owned(), is_plain.then(|| known.collect()))
            }
            _ => Wanted::Other,
        };
        if is_plain {
            // Its response may carry a command.
            self.devices.entry(device).or_default().rides.0 += 1;
        }
        self.wanted.insert(ticket, wanted);
    }

    /// A device says that it is about to answer a command.
    pub fn answers(&mut self, device: u32, id: u32, code: i64) {
        self.totals.answers += 1;
        let order = self.devices.get_mut(&device).and_then(|orders| orders.find_mut(id));
        if let Some(order) = order {
            order.said.push(code);
        }
    }

    /// A device has received a command.
    pub fn received(&mut self, device: u32, (id, number, topic): (u32, u64, &str)) -> Checked {
        let Some(order) = self.devices.get_mut(&device).and_then(|orders| orders.find_mut(id)) else {
            return broken(device, format!("it received command {id}, which nobody has sent"));
        };
        if (order.new.number, order.new.topic) != (number, topic) {
            let what =
                format!("command {id} has number {number} of {topic}, and was sent as {:?}", order.new);
            return broken(device, what);
        }
        if order.is_answer_taken {
            return broken(device, format!("it received command {id} after its answer was acknowledged"));
        }
        order.is_received = true;
        Ok(())
    }

    /// A device knows that its answer is taken.
    pub fn answer_taken(&mut self, device: u32, id: u32) -> Checked {
        let Some(order) = self.devices.get_mut(&device).and_then(|orders| orders.find_mut(id)) else {
            return broken(device, format!("an answer to command {id} was taken, which nobody has sent"));
        };
        order.is_answer_taken = true;
        Ok(())
    }

    /// A step of a command is durable, or was refused.
    pub fn moved(&mut self, device: u32, step: &CommandMove, outcome: Written, now: Instant) -> Checked {
        let CommandMove { id, step, at: UnixMillis(at), .. } = step;
        let orders = self.devices.entry(device).or_default();
        let wrong = |why: &str| broken(device, format!("command {id}: {step:?} is {outcome:?}, and {why}"));
        let Some(&index) = orders.by_id.get(&id.0) else { return wrong("nobody has sent it") };
        let topic = orders.all[index].new.topic;
        let oldest = orders.open().find(|order| order.new.topic == topic && !order.is_over(*at));
        let is_oldest = oldest.is_some_and(|oldest| oldest.new.id == id.0);
        let stands = orders.all[index].stands(*at);
        let ended = match (step, outcome, stands) {
            (CommandStep::Fetch, Written::Done, Stands::Waits) => {
                if !is_oldest {
                    return wrong("it is not the oldest of its topic");
                }
                if !orders.may_fetch(topic, *at) {
                    return wrong("its device has not asked for it, nor for anything that could carry it");
                }
                let order = &mut orders.all[index];
                order.keep_before(now);
                (order.fetched, order.has_its_get) = (Some(*at), true);
                return Ok(());
            }
            (CommandStep::Fetch, Written::Unchanged, Stands::IsDevices) => return Ok(()),
            (CommandStep::TimePasses, Written::Done, Stands::Over(state, since))
                if orders.all[index].ended.is_none() =>
            {
                (state, since, None)
            }
            (CommandStep::TimePasses, Written::Unchanged, _) => return Ok(()),
            (
                CommandStep::Reply { code, data_json, .. },
                Written::Done,
                Stands::Waits | Stands::IsDevices,
            ) => match orders.all[index].end_by(*code, data_json.as_deref()) {
                Ok(state) => (state, *at, Some(*code)),
                Err(why) => return wrong(why),
            },
            (CommandStep::Fetch | CommandStep::Reply { .. }, Written::CommandOver, Stands::Over(..)) => {
                return Ok(());
            }
            (
                CommandStep::Fetch | CommandStep::Reply { .. },
                Written::LoginSuperseded
                | Written::SecretSuperseded
                | Written::LoginUnknown
                | Written::DeviceUnavailable,
                _,
            ) => return Ok(()),
            (_, _, stands) => return wrong(&format!("it is {stands:?}")),
        };
        let order = &mut orders.all[index];
        order.keep_before(now);
        (order.ended, order.is_read) = (Some(ended), false);
        self.totals.ended[place(ended.0)] += 1;
        Ok(())
    }

    /// The gateway has answered a request of a device; `is_login`: in a session by its own secret.
    pub fn responded(
        &mut self,
        (device, is_login): (u32, bool),
        ticket: Ticket,
        response: &Response,
        (at, now): (UnixMillis, Instant),
    ) -> Checked {
        let wanted = self.wanted.remove(&ticket);
        let orders = self.devices.entry(device).or_default();
        let named = response.options.find(COMMAND_WAITING).map(String::from_utf8_lossy);
        let named =
            named.as_deref().map(|path| path.rsplit_once("/thing/service/").map_or(path, |(_, topic)| topic));
        let waits = |before: bool| {
            let mut open = orders.open();
            let oldest = open.find(|order| order.is_known_to_wait(at.0, now, before));
            oldest.filter(|_| is_login).map(|order| order.new.topic)
        };
        let expected = waits(false);
        self.totals.responses += 1;
        self.totals.named += u64::from(named.is_some());
        if named != expected && named != waits(true) {
            let what = format!("a response names {named:?}, and of its commands {expected:?} waits");
            return broken(device, what);
        }
        self.answered(device, wanted, response, at)
    }

    /// What a response says to what its request wanted.
    fn answered(
        &mut self,
        device: u32,
        wanted: Option<Wanted>,
        response: &Response,
        at: UnixMillis,
    ) -> Checked {
        let orders = self.devices.entry(device).or_default();
        match wanted {
            Some(Wanted::Get(topic, _)) if response.code == Code::CONTENT => {
                self.handed_out(device, &topic, &response.payload, at)
            }
            Some(Wanted::Get(topic, known)) if response.code == Code::NOT_FOUND => {
                let was_known =
                    |order: &Order| known.as_ref().is_none_or(|known| known.contains(&order.new.id));
                let is_there = |order: &&Order| {
                    let is_read = order.is_read && was_known(order);
                    is_read && order.new.topic == topic && !order.is_over(at.0)
                };
                match orders.open().find(is_there) {
                    Some(order) => {
                        let what = format!("it was told that nothing waits, and {:?} does", order.new);
                        broken(device, what)
                    }
                    None => Ok(()),
                }
            }
            Some(Wanted::Answer(topic, Some(id))) if response.code == Code::CHANGED => {
                let order = orders.find(id).filter(|order| order.new.topic == topic);
                let Some(order) = order else { return Ok(()) };
                if order.fetched.is_some() && !order.is_over(at.0) {
                    let what = format!("the answer to command {id} is acknowledged, and it is not durable");
                    return broken(device, what);
                }
                let counts = [CommandState::Succeeded, CommandState::Failed];
                self.totals.taken +=
                    u64::from(order.ended.is_some_and(|(state, ..)| counts.contains(&state)));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A command is handed out: it is durable that the device has it, and it is the oldest of its topic.
    fn handed_out(
        &mut self,
        device: u32,
        topic: &str,
        command: &[u8],
        UnixMillis(at): UnixMillis,
    ) -> Checked {
        let body = serde_json::from_slice::<Value>(command).unwrap_or_default();
        let id = body.get("id").and_then(Value::as_str).and_then(|id| id.parse::<u32>().ok());
        let orders = self.devices.entry(device).or_default();
        let Some(order) = id.and_then(|id| orders.find_mut(id)) else {
            return broken(device, format!("it is handed {body}, which nobody has sent"));
        };
        order.has_its_get = false;
        let id = order.new.id;
        let order = &orders.all[orders.by_id[&id]];
        let mut older = orders.open().take_while(|other| other.new.id != id);
        let is_open = |other: &&Order| other.new.topic == topic && !other.is_over(at);
        let why = match order {
            Order { ended: Some((state, ..)), .. } => format!("it is {state:?}"),
            Order { fetched: None, .. } => "it is not durable that it is fetched".to_owned(),
            order if order.is_over(at) => format!("it is {:?}", order.stands(at)),
            order if order.new.topic != topic => format!("its device asked for {topic}"),
            order => match older.find(is_open) {
                Some(older) => format!("{:?} is older", older.new),
                None => {
                    self.totals.offers += 1;
                    self.totals.repeated_offers += u64::from(order.is_received);
                    return Ok(());
                }
            },
        };
        broken(device, format!("command {id} is handed out, and {why}"))
    }

    /// What the store holds of a device: of all its commands, or of those alone that have not ended.
    pub fn compare(&mut self, device: u32, stored: &[Command], is_all: bool) -> Checked {
        let orders = self.devices.entry(device).or_default();
        self.totals.compared += stored.len() as u64;
        let mut places = Vec::new();
        for Command { id, state, sent, ended, code, created, .. } in stored {
            let Some(order) = orders.find(id.0) else {
                return broken(device, format!("command {id} is stored, and nobody has sent it"));
            };
            let is = (*state, sent.map(|at| at.0), ended.map(|at| at.0), *code);
            if (is, created.0) != (order.as_stored(), order.created) {
                let what = format!("command {id} is stored as {is:?}, and should be {:?}", order.as_stored());
                return broken(device, what);
            }
            places.extend(orders.by_id.get(&id.0));
        }
        if !places.is_sorted() {
            return broken(device, format!("its commands are not in their order: {places:?}"));
        }
        let ended = stored.iter().filter(|command| command.state.has_ended()).count();
        for (place, order) in (0..).zip(&orders.all) {
            let may_be_gone = order.ended.is_some() && (!is_all || ended >= ENDED_KEPT);
            if !may_be_gone && places.binary_search(&&place).is_err() {
                return broken(device, format!("command {} is lost: {order:?}", order.new.id));
            }
        }
        Ok(())
    }

    /// The devices that have had commands.
    pub fn devices(&self) -> Vec<u32> {
        self.devices.keys().copied().collect()
    }
}

/// Where an end is counted.
fn place(end: CommandState) -> usize {
    match end {
        CommandState::Succeeded => 0,
        CommandState::Failed => 1,
        CommandState::Created | CommandState::Sent | CommandState::Cancelled => 2,
        CommandState::Expired => 3,
        CommandState::TimedOut => 4,
    }
}
