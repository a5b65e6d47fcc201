//! What goes out: effects in their order, and the questions that are not answered yet.

use std::{collections::VecDeque, sync::Arc};

use narrowgate_api::happening::Happening;
use narrowgate_coap::Response;
use narrowgate_engine::event::{SessionId, ShardCommand, Ticket};
use narrowgate_platform::{
    ids::{DeviceId, DeviceName, Position},
    model::rates::CountedMinute,
    ports::Write,
    rules::admission::Grant,
    secret::Secret,
};
use slab::Slab;

use crate::{
    commands::{CommandEncoding, Moving},
    desk::{LoginAsked, LookupAsked, PlainAsked},
    effect::{Effect, Token},
    firmware::{BlockAsked, FirmwareTold, VersionsAsked},
    issuing::Wish,
    lookups::{Lookups, Waiter},
    properties::{Edited, Queried},
    raw::{Decoding, Encoding, Received},
    refusals::{Claimed, Examined},
    requests::Asker,
    residence::presence::Change,
};

/// Why a question was asked.
#[derive(Debug)]
pub(crate) enum Pending {
    /// The credentials that a handshake claims.
    Handshake(Box<LookupAsked>),
    /// The credentials that a login by plain CoAP claims.
    Plain(Box<PlainAsked>),
    /// Whether a session with the product's secret may stay.
    Activation {
        session: SessionId,
        grant: Arc<Grant>,
    },
    /// Whose log the refusal of a claimed name belongs to.
    Claimed(Box<Claimed>),
    /// A product, for requests that wait or for a change.
    Product(String),
    /// The open commands of a device.
    Commands(DeviceId),
    /// Steps of commands.
    CommandsMoved(Box<Moving>),
    /// A page of devices that leave, and the number of the question.
    OnlineOf(u64),
    /// Reports: when they are durable, the request is answered and listeners get events.
    Report {
        ticket: Ticket,
        response: Response,
        asker: Asker,
        happenings: Vec<(usize, Happening)>,
        /// How many there are.
        reports: u32,
        /// How many of them count for the quota of the device's organisation unit.
        counted: u32,
    },
    /// How many reports of a unit were taken.
    UnitReports(Arc<str>),
    /// What was counted in a minute.
    Rates(Arc<CountedMinute>),
    /// That a device has used up much of a quota, in its log.
    QuotaTold,
    /// A change of attributes or tags.
    Edit(Box<Edited>),
    /// Attributes or tags, which a device asks for.
    Query(Box<Queried>),
    /// What a device says of its firmware.
    Firmware(Box<FirmwareTold>),
    /// Which versions there are for a device.
    Versions(Box<VersionsAsked>),
    /// A block of an image.
    Block(Box<BlockAsked>),
    Login(Box<LoginAsked>),
    /// A change of presence, and its number.
    Presence(Change, u64),
    /// Last-seen times.
    Seen,
    /// An entry of the log, with the event for listeners once it is written.
    Log(Option<Box<Happening>>),
    /// Whether a wish may be granted.
    Wish(Box<Wish>),
    /// A wish, and the secret that it is to be granted.
    Issue(Box<Wish>, Secret),
    Diagnosis(Box<Examined>),
    /// Bytes that a script reads.
    Decode(Box<Decoding>),
    /// A reply that a script writes.
    Encode(Box<Encoding>),
    /// A command that a script writes.
    EncodeCommand(Box<CommandEncoding>),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    effects: VecDeque<Effect>,
    /// What ends sessions once all of these are out.
    closes: VecDeque<(SessionId, ShardCommand)>,
    pending: Slab<(u32, Pending)>,
    asked: u32,
    lookups: Lookups,
    /// Whether anybody follows all that happens.
    pub(crate) has_followers: bool,
    /// Whether anybody follows at least what is not stored.
    pub(crate) has_followers_of_unstored: bool,
}

/// What is followed of what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followers {
    /// Nothing.
    None,
    /// What is not stored: all else is read from the store.
    OfUnstored,
    /// All.
    OfAll,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front().or_else(|| {
            let (session, close) = self.closes.pop_front()?;
            Some(Effect::Command(session.shard, close))
        })
    }

    /// Sends a command to a shard.
    pub(crate) fn command(&mut self, shard: u16, command: ShardCommand) {
        self.effects.push_back(Effect::Command(shard, command));
    }

    /// Ends a session with close_notify.
    pub(crate) fn close(&mut self, session: SessionId) {
        self.command(session.shard, ShardCommand::Close { session });
    }

    /// Ends a session with close_notify, after everything that is sent to it meanwhile: what was committed
    /// with its end is answered first.
    pub(crate) fn close_last(&mut self, session: SessionId) {
        self.closes.push_back((session, ShardCommand::Close { session }));
    }

    /// The same, because a newer login of its device is durable.
    pub(crate) fn supersede_last(&mut self, session: SessionId) {
        self.closes.push_back((session, ShardCommand::Supersede { session }));
    }

    /// Answers a request as it stands. Everything but the answers of a session with the product's secret goes
    /// through [`crate::shared::Shared::respond`], which says whether a command waits.
    pub(crate) fn respond(&mut self, ticket: Ticket, response: Response) {
        self.command(ticket.session.shard, ShardCommand::Respond { ticket, response });
    }

    /// What is followed.
    pub(crate) fn set_followers(&mut self, followers: Followers) {
        self.has_followers = followers == Followers::OfAll;
        self.has_followers_of_unstored = followers != Followers::None;
    }

    /// Sends an event to the listeners, if there are any. With a device, they look up its keys.
    pub(crate) fn tell(
        &mut self,
        position: Option<Position>,
        happening: Happening,
        device: Option<DeviceId>,
    ) {
        if self.has_followers || (self.has_followers_of_unstored && position.is_none()) {
            self.effects.push_back(Effect::Tell(position, happening, device));
        }
    }

    /// Bytes of a device have arrived.
    pub(crate) fn received(&mut self, received: Received) {
        self.effects.push_back(Effect::Received(received));
    }

    /// Asks for unpredictable bytes.
    pub(crate) fn want_entropy(&mut self) {
        self.effects.push_back(Effect::Entropy);
    }

    pub(crate) fn write(&mut self, writes: Vec<Write>, pending: Pending) {
        self.ask(pending, |token| Effect::Write(token, writes));
    }

    /// Asks for credentials, now or when fewer look-ups are under way.
    pub(crate) fn look_up(&mut self, waiter: Waiter, name: DeviceName, pending: Pending) {
        if self.lookups.permit() {
            self.ask(pending, |token| Effect::Lookup(token, name));
        } else {
            self.lookups.enter(waiter, pending, name);
        }
    }

    /// Asks for credentials for an entry of the log alone; `false`: too many of these wait.
    pub(crate) fn look_up_for_log(&mut self, name: DeviceName, pending: Pending) -> bool {
        match self.lookups.new_entry() {
            Some(waiter) => {
                self.look_up(waiter, name, pending);
                true
            }
            None => false,
        }
    }

    /// Asks for credentials for a wish for a secret. It is never dropped: the others of its product wait for
    /// its answer.
    pub(crate) fn look_up_wish(&mut self, name: DeviceName, pending: Pending) {
        let waiter = self.lookups.new_wish();
        self.look_up(waiter, name, pending);
    }

    /// A handshake or a session has ended: its look-up need not begin.
    pub(crate) fn drop_look_up(&mut self, waiter: Waiter) {
        self.lookups.drop_of(waiter);
    }

    /// A look-up is answered.
    pub(crate) fn end_look_up(&mut self) {
        self.lookups.leave();
        while let Some((pending, name)) = self.lookups.poll() {
            self.ask(pending, |token| Effect::Lookup(token, name));
        }
    }

    pub(crate) fn ask(&mut self, pending: Pending, effect: impl FnOnce(Token) -> Effect) -> Token {
        self.asked = self.asked.wrapping_add(1);
        // More than 2^32 questions do not fit into memory.
        let token = Token { slot: self.pending.insert((self.asked, pending)) as u32, number: self.asked };
        self.effects.push_back(effect(token));
        token
    }

    /// Why a question was asked; `None` if it was given up.
    pub(crate) fn take(&mut self, token: Token) -> Option<Pending> {
        let slot = token.slot as usize;
        let (number, _) = self.pending.get(slot)?;
        (*number == token.number).then(|| self.pending.remove(slot).1)
    }

    /// Gives up a question: an answer to it is ignored.
    pub(crate) fn give_up(&mut self, token: Token) {
        if self.take(token).is_some() {
            self.effects.push_back(Effect::GiveUp(token));
        }
    }

    /// Whether every question is answered.
    pub(crate) fn is_settled(&self) -> bool {
        self.pending.is_empty() && self.lookups.is_empty()
    }

    /// Gives up the pages of devices that were asked for: what they are for is over.
    pub(crate) fn give_up_lists(&mut self) {
        self.pending.retain(|_, (_, pending)| !matches!(pending, Pending::OnlineOf(_)));
    }

    /// Gives up what is being looked into; returns whether anything was.
    pub(crate) fn give_up_diagnoses(&mut self) -> bool {
        let before = self.pending.len();
        self.pending.retain(|_, (_, pending)| !matches!(pending, Pending::Diagnosis(_)));
        self.pending.len() < before
    }
}

/// Questions of one kind: a limited number is under way at a time, the others wait in their order.
#[derive(Debug)]
pub(crate) struct Line<Q> {
    under_way: usize,
    at_once_max: usize,
    waiting: VecDeque<Q>,
}

impl<Q> Line<Q> {
    pub(crate) fn new(at_once_max: usize) -> Self {
        Self { under_way: 0, at_once_max, waiting: VecDeque::new() }
    }

    /// Queues a question.
    pub(crate) fn enter(&mut self, question: Q) {
        self.waiting.push_back(question);
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The next one that may be under way.
    pub(crate) fn poll(&mut self) -> Option<Q> {
        let next = (self.under_way < self.at_once_max).then(|| self.waiting.pop_front())??;
        self.under_way += 1;
        Some(next)
    }

    /// One of those under way is answered.
    pub(crate) fn leave(&mut self) {
        self.under_way -= 1;
    }
}
