//! The open commands of one device, in the order in which they were sent.

use super::{NotOpen, Standing};
use crate::{
    ids::UnixMillis,
    model::{
        command::{Command, CommandId, CommandState, CommandStep, CommandTopic},
        product::DataFormat,
    },
};

/// See the module. The commands of a device that are open, in the order of their sending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Queue(Vec<Command>);

/// By what session a device fetches its commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By DTLS.
    Protected,
    /// By plain CoAP.
    Plain,
}

impl Way {
    /// Whether a command may go this way. An image is served by DTLS alone, so the offer of one waits for a
    /// session by DTLS: whoever fetched it by plain CoAP could do nothing with it.
    fn permits(self, command: &Command) -> bool {
        self == Self::Protected || command.order.topic != CommandTopic::Upgrade
    }
}

impl Queue {
    /// A queue of commands that are in their order; those that have ended are left out.
    pub fn new(commands: impl IntoIterator<Item = Command>) -> Self {
        Self(commands.into_iter().filter(|command| !command.state.has_ended()).collect())
    }

    /// Adds the newest command.
    pub fn push(&mut self, command: Command) {
        self.0.push(command);
    }

    /// Whether no command is open.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The open commands, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Command> {
        self.0.iter()
    }

    /// An open command.
    pub fn find(&self, id: CommandId) -> Option<&Command> {
        self.0.iter().find(|command| command.id == id)
    }

    /// The commands that wait to be fetched, oldest first.
    pub fn waiting(&self, at: UnixMillis, way: Way) -> impl Iterator<Item = &Command> {
        let permitted = self.0.iter().filter(move |command| way.permits(command));
        permitted.filter(move |command| matches!(command.standing(at), Standing::Waiting(_)))
    }

    /// The oldest command that waits to be fetched.
    pub fn oldest_waiting(&self, at: UnixMillis, way: Way) -> Option<&Command> {
        self.waiting(at, way).next()
    }

    /// The oldest command that waits and is the oldest of its topic: the next one of a topic is offered when
    /// the one before has ended.
    pub fn oldest_to_offer(&self, at: UnixMillis, way: Way) -> Option<&Command> {
        let is_oldest = |command: &&Command| {
            let topic = (command.order.fetched_at(), DataFormat::Json);
            self.oldest_of(topic, at, way).is_some_and(|oldest| oldest.id == command.id)
        };
        self.waiting(at, way).find(is_oldest)
    }

    /// The command that a GET of this topic gets in a product of this format: the oldest of it, be it new or
    /// fetched before.
    pub fn oldest_of(
        &self,
        (topic, format): (&CommandTopic, DataFormat),
        at: UnixMillis,
        way: Way,
    ) -> Option<&Command> {
        let is_open = |command: &&Command| !command.is_over(at) && way.permits(command);
        self.0.iter().filter(is_open).find(|command| command.order.is_at(topic, format))
    }

    /// The command that a GET of all commands gets: the oldest one that is served, be it new or fetched
    /// before. As with a topic, the next one follows when it has ended.
    pub fn oldest(&self, at: UnixMillis, way: Way, is_served: impl Fn(&Command) -> bool) -> Option<&Command> {
        self.0.iter().find(|command| !command.is_over(at) && way.permits(command) && is_served(command))
    }

    /// The command that a reply answers: the one of the id, if it is fetched or answered at this topic
    /// (`None`: at any). Only devices of products whose offers of firmware are fetched as bytes reply at the
    /// topic of bytes. A reply to bytes that an operator gave may have an id of its own, which nobody here
    /// knows: it answers the one that the device has.
    pub fn answered(&self, id: Option<CommandId>, topic: Option<&CommandTopic>) -> Option<&Command> {
        let is_of = |command: &&Command| {
            let order = &command.order;
            topic.is_none_or(|topic| order.topic == *topic || order.fetched_in(DataFormat::Custom) == topic)
        };
        let of_id = id.and_then(|id| self.find(id)).filter(is_of);
        let is_given = |command: &&Command| {
            command.order.topic == CommandTopic::Raw && command.state == CommandState::Sent
        };
        of_id.or_else(|| {
            let at_bytes = topic == Some(&CommandTopic::Raw);
            self.0.iter().find(|command| at_bytes && is_given(command))
        })
    }

    /// Applies a step to a command; one that has ended is taken out. Returns the command as it then is, if
    /// anything changed.
    ///
    /// # Errors
    /// There is no such command, or it has ended.
    pub fn step(
        &mut self,
        id: CommandId,
        step: &CommandStep,
        at: UnixMillis,
    ) -> Result<Option<Command>, NotOpen> {
        let place = self.0.iter().position(|command| command.id == id).ok_or(NotOpen)?;
        if !self.0[place].step(step, at)? {
            return Ok(None);
        }
        let command = &self.0[place];
        Ok(Some(if command.state.has_ended() { self.0.remove(place) } else { command.clone() }))
    }

    /// The commands that have ended because of the time, and are not written down yet.
    pub fn over(&self, at: UnixMillis) -> impl Iterator<Item = &Command> {
        self.0.iter().filter(move |command| command.is_over(at))
    }

    /// When something is to be done because of the time: a command is over then. `None`: nothing is open.
    pub fn due(&self, at: UnixMillis) -> Option<UnixMillis> {
        let until = |command: &Command| match command.standing(at) {
            Standing::Waiting(until) | Standing::InProgress(until) | Standing::Over(_, until) => until,
        };
        self.0.iter().map(until).min()
    }
}
