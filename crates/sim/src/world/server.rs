//! The server: shards of the engine and the gateway, joined as the shell joins them.
//!
//! What the gateway tells a shard reaches it at once. What it asks of the outside is given out, in its order,
//! by [`Server::poll_question`], and whoever takes the questions answers them.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use narrowgate_coap::Response;
use narrowgate_engine::{
    event::{ShardCommand, ShardEvent, Ticket},
    shard::Shard,
};
use narrowgate_gateway::{Answer, Effect, Gateway, LiveChange, Now, Options, Outcomes, Token};
use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    ports::{LiveSessions, StoreError},
};

/// See the module.
pub struct Server {
    /// The shards, by number.
    pub shards: Vec<Shard>,
    gateway: Gateway,
    questions: VecDeque<Effect>,
    /// What the gateway has answered, where somebody wants to know.
    responses: Option<Vec<(Ticket, Response)>>,
}

impl Server {
    /// A server that serves nobody yet. `options` are for as many shards as there are.
    pub fn new(shards: Vec<Shard>, options: Options, now: Now) -> Self {
        let gateway = Gateway::new(options, now);
        Self { shards, gateway, questions: VecDeque::new(), responses: None }
    }

    /// The gateway, for what it counts.
    pub const fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// From now on the gateway's responses are kept for [`Self::take_responses`].
    pub fn keep_responses(&mut self) {
        self.responses.get_or_insert_default();
    }

    /// The responses since this was last asked.
    pub fn take_responses(&mut self) -> Vec<(Ticket, Response)> {
        self.responses.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Passes to the gateway what a shard told.
    pub fn handle_event(&mut self, now: Now, shard: u16, event: ShardEvent) {
        self.gateway.handle_event(now, shard, event);
        self.carry_out(now);
    }

    /// Answers a question.
    pub fn handle_answer(&mut self, now: Now, token: Token, answer: Answer<'_>) {
        self.gateway.handle_answer(now, token, answer);
        self.carry_out(now);
    }

    /// Tells what became of writes that were committed together, or were not.
    pub fn handle_written<'a>(
        &mut self,
        now: Now,
        answers: impl IntoIterator<Item = (Token, Result<Outcomes<'a>, &'a StoreError>)>,
    ) {
        for (token, outcomes) in answers {
            self.gateway.handle_answer(now, token, Answer::Written(outcomes));
        }
        self.carry_out(now);
    }

    /// An operator changed something that sessions have to feel.
    pub fn handle_change(&mut self, now: Now, change: &LiveChange) {
        self.gateway.handle_change(now, change);
        self.carry_out(now);
    }

    /// Lets the gateway do what time brings. The shards' timers are the caller's.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.gateway.poll_timeout().is_some_and(|due| due <= now.instant) {
            self.gateway.handle_timeout(now);
            self.carry_out(now);
        }
    }

    /// Tells every shard to end its sessions and to take no new handshakes.
    pub fn drain(&mut self, now: Instant) {
        self.shards.iter_mut().for_each(|shard| shard.handle_command(now, ShardCommand::Drain));
    }

    /// When a shard or the gateway wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let shards = self.shards.iter().filter_map(Shard::poll_timeout);
        shards.chain(self.gateway.poll_timeout()).min()
    }

    /// The next thing that the gateway wants of the outside.
    pub fn poll_question(&mut self) -> Option<Effect> {
        self.questions.pop_front()
    }

    fn carry_out(&mut self, now: Now) {
        while let Some(effect) = self.gateway.poll_effect() {
            match effect {
                Effect::Command(shard, command) => {
                    if let (Some(kept), ShardCommand::Respond { ticket, response }) =
                        (&mut self.responses, &command)
                    {
                        kept.push((*ticket, response.clone()));
                    }
                    if let Some(shard) = self.shards.get_mut(usize::from(shard)) {
                        shard.handle_command(now.instant, command);
                    }
                }
                // Ignored: nobody follows what happens, and the seed is as good as any other.
                Effect::Tell(..) | Effect::Entropy => {}
                question => self.questions.push_back(question),
            }
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("shards", &self.shards).finish_non_exhaustive()
    }
}

/// What the wall clock shows at the beginning of every world.
pub(crate) const WALL_START_MS: i64 = 1_800_000_000_000;

/// The server's wall clock: it follows virtual time, and jumps when it is told to.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    start: Instant,
    ahead_ms: i64,
}

impl WallClock {
    /// A clock that shows some day at `start`.
    pub const fn new(start: Instant) -> Self {
        Self { start, ahead_ms: WALL_START_MS }
    }

    /// The operator, or a time server, sets it by so many milliseconds.
    pub const fn jump(&mut self, ms: i64) {
        self.ahead_ms += ms;
    }

    /// It is wrong by so many milliseconds from now on.
    pub const fn set_wrong_by(&mut self, ms: i64) {
        self.ahead_ms = WALL_START_MS + ms;
    }

    /// Both clocks at an instant.
    pub fn at(&self, instant: Instant) -> Now {
        let since: Duration = instant.saturating_duration_since(self.start);
        Now { instant, wall: UnixMillis(self.ahead_ms + since.as_millis() as i64) }
    }
}

/// What an operator's verbs say to the sessions, until the server is told. A port is shared, hence the lock.
#[derive(Debug, Default)]
pub struct LiveChanges(Mutex<Vec<LiveChange>>);

impl LiveChanges {
    /// What was said since this was last asked.
    pub fn take(&self) -> Vec<LiveChange> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn say(&self, change: LiveChange) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }
}

impl LiveSessions for LiveChanges {
    fn close_device(&self, device: DeviceId, cause: &'static str) {
        self.say(LiveChange::CloseDevice { device, cause });
    }

    fn commands_changed(&self, device: DeviceId) {
        self.say(LiveChange::CommandsChanged { device });
    }

    fn is_serving(&self) -> bool {
        true
    }

    fn product_changed(&self, product_key: &str) {
        self.say(LiveChange::ProductChanged { product_key: product_key.to_owned() });
    }

    fn product_secret_replaced(&self, product_key: &str) {
        self.say(LiveChange::ProductSecretReplaced { product_key: product_key.to_owned() });
    }
}
