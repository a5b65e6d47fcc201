//! One command, and those of one device, as they have to be.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use narrowgate_platform::model::command::CommandState;

/// A new command, as an operator has sent it.
#[derive(Debug)]
pub struct NewOrder {
    /// The number that is in it, which no other has.
    pub number: u64,
    /// The id that the operator was told.
    pub id: u32,
    /// Its topic, as in paths.
    pub topic: &'static str,
    /// Seconds.
    pub ttl_s: u32,
    /// Seconds.
    pub timeout_s: u32,
}

#[derive(Debug)]
pub(super) struct Order {
    pub(super) new: NewOrder,
    pub(super) created: i64,
    /// When it was fetched last.
    pub(super) fetched: Option<i64>,
    /// The GET by which it was fetched last was not answered by it yet.
    pub(super) has_its_get: bool,
    pub(super) ended: Option<(CommandState, i64, Option<i64>)>,
    /// The gateway has read it, and not yet that it has ended.
    pub(super) is_read: bool,
    /// What was so before a change at this instant.
    pub(super) before: Option<(Instant, Option<i64>, bool)>,
    /// Codes with which its device has answered.
    pub(super) said: Vec<i64>,
    /// Its device has received it.
    pub(super) is_received: bool,
    /// Its device knows that its answer was taken.
    pub(super) is_answer_taken: bool,
}

/// Where a command stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stands {
    Waits,
    IsDevices,
    Over(CommandState, i64),
}

impl Order {
    /// One that was just sent.
    pub(super) fn new(new: NewOrder, created: i64) -> Self {
        Self {
            new,
            created,
            fetched: None,
            has_its_get: false,
            ended: None,
            is_read: false,
            before: None,
            said: Vec::new(),
            is_received: false,
            is_answer_taken: false,
        }
    }

    /// Where it would stand, had it been fetched then, and had it not been ended.
    pub(super) fn stands_as(&self, fetched: Option<i64>, at: i64) -> Stands {
        let (ttl, timeout) = (i64::from(self.new.ttl_s) * 1000, i64::from(self.new.timeout_s) * 1000);
        let offered_until = self.created + if ttl == 0 { timeout } else { ttl };
        let Some(fetched) = fetched else {
            let waits = at < offered_until;
            return if waits { Stands::Waits } else { Stands::Over(CommandState::Expired, offered_until) };
        };
        let may_wait_again = ttl > 0 && at < offered_until;
        if at < fetched + timeout {
            Stands::IsDevices
        } else if may_wait_again {
            Stands::Waits
        } else {
            let until = if ttl == 0 { 0 } else { offered_until };
            Stands::Over(CommandState::TimedOut, until.max(fetched + timeout))
        }
    }

    pub(super) fn stands(&self, at: i64) -> Stands {
        match self.ended {
            Some((state, since, _)) => Stands::Over(state, since),
            None => self.stands_as(self.fetched, at),
        }
    }

    pub(super) fn is_over(&self, at: i64) -> bool {
        matches!(self.stands(at), Stands::Over(..))
    }

    /// Whether the gateway's copy has it waiting; or had, before what changed at this instant.
    pub(super) fn is_known_to_wait(&self, at: i64, now: Instant, before: bool) -> bool {
        let (fetched, is_read) = match self.before {
            Some((changed, fetched, is_read)) if before && changed == now => (fetched, is_read),
            _ => (self.fetched, self.is_read),
        };
        is_read && self.stands_as(fetched, at) == Stands::Waits
    }

    /// What an answer makes of it; or what is wrong with the answer.
    pub(super) fn end_by(&self, code: i64, data: Option<&str>) -> Result<CommandState, &'static str> {
        if self.fetched.is_none() || !self.is_received {
            return Err("its device never had it");
        }
        if !self.said.contains(&code) || data != Some(&*format!(r#"{{"n":{}}}"#, self.new.number)) {
            return Err("its device has not said that");
        }
        Ok(if [0, 200].contains(&code) { CommandState::Succeeded } else { CommandState::Failed })
    }

    pub(super) fn keep_before(&mut self, now: Instant) {
        if self.before.is_none_or(|(changed, ..)| changed != now) {
            self.before = Some((now, self.fetched, self.is_read));
        }
    }

    pub(super) fn as_stored(&self) -> (CommandState, Option<i64>, Option<i64>, Option<i64>) {
        let state = if self.fetched.is_some() { CommandState::Sent } else { CommandState::Created };
        match self.ended {
            Some((state, ended, code)) => (state, self.fetched, Some(ended), code),
            None => (state, self.fetched, None, None),
        }
    }
}

/// The commands of a device.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) all: Vec<Order>,
    pub(super) by_id: HashMap<u32, usize>,
    /// Those that may not have ended, or of which the gateway may not know that.
    pub(super) open: Vec<usize>,
    /// How often a topic was asked for, and how often a command was fetched by that.
    pub(super) gets: BTreeMap<String, (u64, u64)>,
    /// Requests by plain CoAP, whose responses may carry a command, and commands that were fetched so.
    pub(super) rides: (u64, u64),
}

impl Orders {
    pub(super) fn find(&self, id: u32) -> Option<&Order> {
        self.by_id.get(&id).map(|index| &self.all[*index])
    }

    pub(super) fn find_mut(&mut self, id: u32) -> Option<&mut Order> {
        self.by_id.get(&id).map(|index| &mut self.all[*index])
    }

    /// A command of this topic ran out before its GET was answered, and that GET gets the next one: at most
    /// once.
    fn give_back_a_get(&mut self, topic: &str, at: i64) -> bool {
        let ran_out = |order: &&mut Order| order.has_its_get && order.new.topic == topic && order.is_over(at);
        let Some(order) = self.all.iter_mut().rev().find(ran_out) else { return false };
        order.has_its_get = false;
        if let Some((_, fetched)) = self.gets.get_mut(topic) {
            *fetched -= 1;
        }
        true
    }

    /// Whether its device has asked for a command of this topic once more than it fetched one, or for
    /// anything that could carry it; counts the command as fetched.
    pub(super) fn may_fetch(&mut self, topic: &str, at: i64) -> bool {
        let (asked, fetched) = self.gets.entry(topic.to_owned()).or_default();
        *fetched += 1;
        if *fetched <= *asked || self.give_back_a_get(topic, at) {
            return true;
        }
        if let Some((_, fetched)) = self.gets.get_mut(topic) {
            *fetched -= 1;
        }
        self.rides.1 += 1;
        if self.rides.1 > self.rides.0 {
            // One that ran out before its response was sent did not ride: the next one rides in its place.
            let ran_out = |order: &&mut Order| order.has_its_get && order.is_over(at);
            if let Some(order) = self.all.iter_mut().rev().find(ran_out) {
                order.has_its_get = false;
                self.rides.1 -= 1;
            }
        }
        self.rides.1 <= self.rides.0
    }

    pub(super) fn open(&self) -> impl Iterator<Item = &Order> {
        self.open.iter().map(|index| &self.all[*index])
    }

    /// How many have not ended.
    pub(super) fn count_open(&self) -> usize {
        self.open().filter(|order| order.ended.is_none()).count()
    }

    pub(super) fn forget_ended(&mut self, now: Instant) {
        let Self { all, open, .. } = self;
        open.retain(|index| {
            let Order { ended, is_read, before, .. } = &all[*index];
            ended.is_none() || *is_read || before.is_some_and(|(changed, ..)| changed == now)
        });
    }
}
