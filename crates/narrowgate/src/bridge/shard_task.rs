//! One task per shard: answers look-ups, knows whose sessions are whose, and routes requests.
//!
//! The task owns its tables, so nothing here is locked by a report. Look-ups that the store answers at once (memory,
//! SQLite) are handled in place; others come back as an input of their own.

use std::{
    collections::HashMap,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use narrowgate_coap::{Request, Response};
use narrowgate_dtls::{self as dtls, CipherSuite, FailedFinished, Psk, PskAnswer};
use narrowgate_engine::event::{CloseCause, HandshakeId, SessionId, ShardCommand, ShardEvent, Ticket};
use narrowgate_platform::{
    device_api::{self, Action, ProductState},
    ids::{DeviceId, DeviceName, LoginNumber},
    model::{credential::CredentialLookup, log::Reason},
    ports::{StoreError, Write, Written},
    rules::{
        admission::{Decision, Grant, decide},
        identity::{Identity, IdentityFault, SecureMode},
        names,
        psk::psk,
        refusal::Refusal,
    },
};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use super::feed::FeedEvent;
use super::{
    ACTIVATION_SESSION, Core, Shards, TaskSink,
    directory::{LoggedIn, Login},
    ingest::{After, Gathered, response_after},
    issuer::Wish,
    presence::Heard,
    products::CachedProduct,
    refusals::{self, Refused, shown_identity},
    requests::Asker,
};

/// A product that changed and could not be read is read again after so long.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// What a shard's task takes.
pub(super) enum Input {
    /// Events of the shard, in order.
    Events(Vec<ShardEvent>),
    /// A look-up that the store did not answer at once.
    LookedUp(Box<LookedUp>),
    /// A product's model or switch changed.
    ProductChanged(String),
    /// Everything queued before is to be decided first.
    Flush(oneshot::Sender<()>),
}

/// A look-up with its answer.
pub(super) struct LookedUp {
    handshake: HandshakeId,
    peer: SocketAddr,
    shown: String,
    identity: Result<Identity, IdentityFault>,
    answer: Result<CredentialLookup, StoreError>,
}

/// The two ends of a task's queue, before the task runs.
pub(super) struct Prepared {
    pub(super) sender: mpsc::UnboundedSender<Input>,
    receiver: mpsc::UnboundedReceiver<Input>,
    backlog: Arc<AtomicUsize>,
}

impl Prepared {
    pub(super) fn new() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self { sender, receiver, backlog: Arc::default() }
    }

    /// The end that the shard's thread gets.
    pub(super) fn sink(&self) -> TaskSink {
        TaskSink { sender: self.sender.clone(), backlog: Arc::clone(&self.backlog) }
    }

    /// Starts the task.
    pub(super) fn start(self, core: Arc<Core>, shards: Arc<Shards>, shard: u16) {
        let task = ShardTask {
            core,
            shards,
            shard,
            inputs: self.sender,
            handshakes: HashMap::new(),
            sessions: HashMap::new(),
            turn: Turn::default(),
        };
        tokio::spawn(task.run(self.receiver, self.backlog));
    }
}

/// A handshake that asked for its key, until it ends.
enum Asked {
    /// The store has not answered.
    Waiting,
    /// It runs with its key: what it will be when its Finished verifies.
    Admitted(Box<(Identity, Grant)>),
    /// It runs with a decoy, for this reason; `None`: that is written down, or the store could not answer.
    Refused(Option<Box<(Refused, SocketAddr)>>),
}

/// A session and whose it is.
struct Known {
    generation: u32,
    peer: SocketAddr,
    grant: Arc<Grant>,
    /// Whether a warning about its reports was written down.
    warned: bool,
}

impl Known {
    fn asker(&self) -> Asker {
        Asker { grant: Arc::clone(&self.grant), peer: self.peer }
    }
}

/// What a batch of events has gathered.
#[derive(Default)]
struct Turn {
    commands: Vec<ShardCommand>,
    writes: Gathered,
    heard: Vec<Heard>,
}

struct ShardTask {
    core: Arc<Core>,
    shards: Arc<Shards>,
    shard: u16,
    inputs: mpsc::UnboundedSender<Input>,
    handshakes: HashMap<HandshakeId, Asked>,
    sessions: HashMap<u32, Known>,
    turn: Turn,
}

impl ShardTask {
    async fn run(mut self, mut receiver: mpsc::UnboundedReceiver<Input>, backlog: Arc<AtomicUsize>) {
        while let Some(input) = receiver.recv().await {
            let mut flushed = None;
            match input {
                Input::Events(events) => {
                    let count = events.len();
                    for event in events {
                        self.handle(event).await;
                    }
                    backlog.fetch_sub(count, Ordering::Relaxed);
                }
                Input::LookedUp(looked_up) => self.looked_up(*looked_up),
                Input::ProductChanged(product_key) => self.product_changed(&product_key).await,
                Input::Flush(done) => {
                    self.record_all_held();
                    flushed = Some(done);
                }
            }
            self.finish_turn();
            if let Some(done) = flushed {
                // Whoever waited may have gone.
                let _ = done.send(());
            }
        }
    }

    fn finish_turn(&mut self) {
        self.core.presence.heard(std::mem::take(&mut self.turn.heard));
        self.core.ingest.submit(&mut self.turn.writes);
        self.shards.send(self.shard, std::mem::take(&mut self.turn.commands));
    }

    async fn handle(&mut self, event: ShardEvent) {
        match event {
            ShardEvent::Request { ticket, request } => self.request(ticket, &request).await,
            ShardEvent::Heard { session } => {
                if let Some(known) = self.known(session) {
                    let device = known.grant.device;
                    self.heard(device, known.grant.mode, false);
                }
            }
            ShardEvent::RequestRefused { session, refused } => {
                self.refused_below(session, || device_api::refused_below(&refused));
            }
            ShardEvent::Malformed { session, fault } => {
                self.refused_below(session, || device_api::malformed(fault));
            }
            ShardEvent::AnswerTooLarge { session, bytes, bytes_max } => {
                self.refused_below(session, || device_api::answer_too_large(bytes, bytes_max));
            }
            ShardEvent::MessageIdReused { session, mid } => {
                if let Some(known) = self.known(session) {
                    self.core.requests.warn(&known.asker(), device_api::message_id_reused(mid));
                }
            }
            ShardEvent::PskWanted { handshake, peer, identity } => {
                self.psk_wanted(handshake, peer, &identity);
            }
            ShardEvent::Connected { handshake, session, peer, suite, verified } => {
                self.connected(handshake, Login { session, verified }, peer, suite);
            }
            ShardEvent::Closed { session, cause } => self.closed(session, cause),
            ShardEvent::WrongKey { handshake, peer, failed } => self.wrong_key(handshake, peer, failed),
            ShardEvent::Refused { peer, refusal } => self.refused(peer, refusal),
            ShardEvent::KeyExchangeRejected { peer, rejected } => {
                self.core.refusals.record(refusals::of_key_exchange(&rejected), peer);
            }
            ShardEvent::Stray { peer, stray } => {
                self.core.refusals.record(refusals::of_stray(stray), peer);
            }
            ShardEvent::HandshakeEnded { handshake } => {
                if let Some(Asked::Refused(Some(held))) = self.handshakes.remove(&handshake) {
                    self.record_held(*held);
                }
            }
        }
    }

    fn psk_wanted(&mut self, handshake: HandshakeId, peer: SocketAddr, identity: &[u8]) {
        let shown = shown_identity(identity);
        let identity = Identity::parse(identity);
        // Every identity causes a look-up, also one that cannot be served: all take the same path.
        let name = match &identity {
            Ok(identity) => identity.name.clone(),
            Err(fault) => fault
                .name
                .clone()
                .unwrap_or(DeviceName { product_key: String::new(), device_key: String::new() }),
        };
        self.handshakes.insert(handshake, Asked::Waiting);
        let registry = Arc::clone(&self.core.stores.registry);
        let mut lookup =
            Box::pin(async move { registry.credentials(&name.product_key, &name.device_key).await });
        match poll_once(lookup.as_mut()) {
            Poll::Ready(answer) => self.looked_up(LookedUp { handshake, peer, shown, identity, answer }),
            Poll::Pending => {
                let inputs = self.inputs.clone();
                tokio::spawn(async move {
                    let answer = lookup.await;
                    let looked_up = LookedUp { handshake, peer, shown, identity, answer };
                    // The task ends only with the process.
                    let _ = inputs.send(Input::LookedUp(Box::new(looked_up)));
                });
            }
        }
    }

    fn looked_up(&mut self, looked_up: LookedUp) {
        let LookedUp { handshake, peer, shown, identity, answer } = looked_up;
        let Some(asked) = self.handshakes.get_mut(&handshake) else {
            // The handshake ended before the store answered.
            return;
        };
        *asked = Asked::Refused(None);
        let answer = match answer {
            Ok(lookup) => match decide(&identity, Some(&lookup)) {
                Decision::Admit { secret, grant } => {
                    if let Ok(identity) = identity {
                        *asked = Asked::Admitted(Box::new((identity, grant)));
                    }
                    PskAnswer::key(Psk::new(&*psk(&secret)).expect("16 bytes are within 1 to 64"))
                }
                Decision::Refuse { refusal, device } => {
                    let (name, is_well_formed) = match identity {
                        Ok(identity) => (Some(identity.name), true),
                        Err(fault) => (fault.name, false),
                    };
                    let refused = Refused { device, name, identity: Some(shown), refusal };
                    if is_well_formed {
                        // Not yet: a write or a look at names while the handshake runs could be felt by the
                        // peer, and a registered name causes none before the Finished.
                        *asked = Asked::Refused(Some(Box::new((refused, peer))));
                    } else {
                        // That follows from its text, whoever is registered.
                        self.core.refusals.record(refused, peer);
                    }
                    PskAnswer::decoy()
                }
            },
            Err(error) => {
                // The peer sees silence and tries again.
                tracing::error!(%error, "the store cannot look up credentials");
                PskAnswer::decoy()
            }
        };
        self.turn.commands.push(ShardCommand::ProvidePsk { handshake, answer });
    }

    fn connected(&mut self, handshake: HandshakeId, login: Login, peer: SocketAddr, suite: CipherSuite) {
        let session = login.session;
        let Some(Asked::Admitted(admitted)) = self.handshakes.remove(&handshake) else {
            // A handshake with a decoy key never gets here.
            tracing::error!(%peer, "a session without a grant was closed");
            self.turn.commands.push(ShardCommand::Close { session });
            return;
        };
        let grant = Arc::new(admitted.1);
        let known = Known { generation: session.generation, peer, grant: Arc::clone(&grant), warned: false };
        self.sessions.insert(session.slot, known);
        match grant.mode {
            SecureMode::DeviceSecret => self.login(login, peer, suite, grant),
            SecureMode::ProductSecret => self.activating(session, grant),
        }
    }

    /// A session by the product's secret: it lives for a minute, and ends at once where the device or its product was
    /// switched off while the handshake was under way (a login finds that out when it is written).
    fn activating(&mut self, session: SessionId, grant: Arc<Grant>) {
        self.core.directory.activation(grant.device, session);
        self.turn.commands.push(ShardCommand::CloseAfter { session, after: ACTIVATION_SESSION });
        let (core, shards) = (Arc::clone(&self.core), Arc::clone(&self.shards));
        tokio::spawn(async move {
            let lookup = core.stores.registry.credentials(&grant.product_key, &grant.device_key).await;
            let enabled = matches!(&lookup, Ok(CredentialLookup::Found(found))
                if found.device == grant.device && found.device_enabled && found.product_enabled);
            if !enabled {
                shards.close(session);
            }
        });
    }

    fn login(&mut self, login: Login, peer: SocketAddr, suite: CipherSuite, grant: Arc<Grant>) {
        let session = login.session;
        let older = match self.core.directory.login(grant.device, login) {
            LoggedIn::Newest(older) => older,
            LoggedIn::Outrun => {
                self.turn.commands.push(ShardCommand::Close { session });
                return;
            }
        };
        let at = self.core.clock.now();
        let write = Write::Login {
            device: grant.device,
            number: LoginNumber::first_of(0),
            at,
            lifetime_s: grant.lifetime_s,
            secret_version: grant.secret_version,
            peer: peer.to_string(),
        };
        let (device, lifetime_s) = (grant.device, grant.lifetime_s);
        let (core, shards) = (Arc::clone(&self.core), Arc::clone(&self.shards));
        let after = move |written: Result<&[Written], &StoreError>| {
            // One event for each entry of the log.
            let events: &[&'static str] = match written.map(<[Written]>::first) {
                Ok(Some(Written::Activated)) => &["activated", "login"],
                Ok(Some(Written::Done)) => &["login"],
                refused => {
                    return take_back(&core, &shards, &grant, login, older, peer, refused.ok().flatten());
                }
            };
            // The newest session wins, now that it has proved the secret that is valid today.
            if let Some(older) = older {
                shards.close(older.session);
            }
            for event in events {
                announce(&core, FeedEvent::new(at, event), &grant, peer, suite);
            }
        };
        self.core.presence.login(device, lifetime_s, write, After::Call(Box::new(after)));
    }

    fn closed(&mut self, session: SessionId, cause: CloseCause) {
        let matches = |known: &Known| known.generation == session.generation;
        if !self.sessions.get(&session.slot).is_some_and(matches) {
            return;
        }
        let Some(known) = self.sessions.remove(&session.slot) else { return };
        let was_login = self.core.directory.ended(known.grant.device, session);
        if was_login && cause == CloseCause::ByPeer {
            self.core.presence.closed(known.grant.device);
        }
    }

    fn wrong_key(&mut self, handshake: HandshakeId, peer: SocketAddr, failed: Box<FailedFinished>) {
        match self.handshakes.get_mut(&handshake) {
            Some(Asked::Admitted(admitted)) => {
                let (identity, device) = (admitted.0.clone(), admitted.1.device);
                self.core.refusals.diagnose(
                    identity,
                    device,
                    peer,
                    failed,
                    Arc::clone(&self.core.stores.registry),
                );
            }
            // It ran with a decoy: here is the true cause.
            Some(Asked::Refused(held)) => {
                if let Some(held) = held.take() {
                    self.record_held(*held);
                }
            }
            Some(Asked::Waiting) | None => {}
        }
    }

    /// Writes down why an identity was refused: at the first Finished of the handshake, as with a wrong key, or at
    /// its end.
    fn record_held(&self, (refused, peer): (Refused, SocketAddr)) {
        self.core.refusals.record_identity(refused, peer, &self.core.stores.registry);
    }

    /// The same for the handshakes under way, of which nothing more will be heard.
    fn record_all_held(&mut self) {
        let held = self.handshakes.iter_mut().filter_map(|(handshake, asked)| match asked {
            Asked::Refused(held) => held.take().map(|held| (handshake.slot, held)),
            _ => None,
        });
        let mut held: Vec<_> = held.collect();
        // In a fixed order, so that a run of the simulation can be repeated.
        held.sort_unstable_by_key(|(slot, _)| *slot);
        for (_, held) in held {
            self.record_held(*held);
        }
    }

    fn refused(&self, peer: SocketAddr, refusal: dtls::Refusal) {
        let detail = refusal.to_string();
        let refusal = match refusal {
            dtls::Refusal::NoCommonCipherSuite(_) => Refusal::new(Reason::NoCommonCipherSuite, detail),
            dtls::Refusal::VersionUnsupported(_) => Refusal::new(Reason::VersionUnsupported, detail),
            _ => Refusal::unnamed(detail),
        };
        self.core.refusals.record_alert(Refused::by_stranger(refusal), peer);
    }

    async fn request(&mut self, ticket: Ticket, request: &Request) {
        let Some(known) = self.known(ticket.session) else { return };
        let asker = known.asker();
        let grant = Arc::clone(&asker.grant);
        let product = product(&self.core, &grant.product_key).await;
        let state = match &product {
            None => ProductState::Unreadable,
            Some(product) if !product.enabled => ProductState::Off,
            Some(product) => ProductState::On(product.model.as_ref()),
        };
        match device_api::handle(&grant, request, state, self.core.clock.now()) {
            Action::Unavailable(response) => {
                // An answer that says no is an exchange too: the device was heard.
                self.heard(grant.device, grant.mode, false);
                self.core.requests.count_unavailable();
                self.turn.commands.push(ShardCommand::Respond { ticket, response });
            }
            Action::Store { writes, response, warning } => {
                self.heard(grant.device, grant.mode, true);
                if let (Some(warning), Some(known)) = (warning, self.sessions.get_mut(&ticket.session.slot))
                    && !known.warned
                {
                    // What the limits swallow is said at the next report.
                    known.warned = self.core.requests.warn(&asker, warning);
                }
                let after = self.after_report(&writes, asker, ticket, response);
                self.turn.writes.push_all(writes, after);
            }
            Action::Respond(answer) => {
                self.heard(grant.device, grant.mode, false);
                let (response, refusal) = answer.into_parts();
                self.turn.commands.push(ShardCommand::Respond { ticket, response });
                if let Some(refusal) = refusal {
                    self.core.requests.refuse(&asker, refusal);
                }
            }
            Action::IssueSecret(wanted) => {
                let secret = names::new_device_secret(&*self.core.entropy);
                let peer = asker.peer.to_string();
                self.core.issuer.wish(Wish { ticket, grant, wanted, secret, peer });
            }
        }
    }

    /// A request that was answered by the shard alone.
    fn refused_below(&self, session: SessionId, refusal: impl FnOnce() -> Refusal) {
        if let Some(known) = self.known(session) {
            self.core.requests.refuse(&known.asker(), refusal());
        }
    }

    /// What follows when reports are durable: the answer, and the listeners' events where somebody listens.
    fn after_report(&self, writes: &[Write], asker: Asker, ticket: Ticket, response: Response) -> After {
        let requests = Arc::clone(&self.core.requests);
        if !self.core.feed.has_subscribers() {
            return After::Respond { ticket, response, asker, requests };
        }
        let grant = &asker.grant;
        let events: Vec<FeedEvent> = writes.iter().filter_map(|write| report_event(write, grant)).collect();
        let (feed, shards) = (self.core.feed.clone(), Arc::clone(&self.shards));
        After::Call(Box::new(move |written| {
            if written.is_ok_and(|outcomes| outcomes.iter().all(|outcome| *outcome == Written::Done)) {
                events.into_iter().for_each(|event| feed.publish(event));
            }
            requests.note(&asker, written);
            let response = response_after(written, response);
            shards.send(ticket.session.shard, vec![ShardCommand::Respond { ticket, response }]);
        }))
    }

    async fn product_changed(&mut self, product_key: &str) {
        match self.core.products.find(product_key).await {
            Ok(product) if product.enabled => return,
            Ok(_) => {}
            Err(error) => {
                // Nobody is disconnected on a guess: requests read the product anew, and this is tried again.
                tracing::error!(%error, "the store cannot read a product that changed");
                let (inputs, product_key) = (self.inputs.clone(), product_key.to_owned());
                tokio::spawn(async move {
                    tokio::time::sleep(READ_AGAIN).await;
                    // The task ends only with the process.
                    let _ = inputs.send(Input::ProductChanged(product_key));
                });
                return;
            }
        }
        let of_product = |known: &Known| known.grant.product_key == product_key;
        let mut closed: Vec<_> = self.sessions.iter().filter(|(_, known)| of_product(known)).collect();
        // In a fixed order, so that a run of the simulation can be repeated.
        closed.sort_unstable_by_key(|(slot, _)| **slot);
        for (&slot, known) in closed {
            let session = SessionId { shard: self.shard, slot, generation: known.generation };
            self.turn.commands.push(ShardCommand::Close { session });
            self.core.presence.forget(known.grant.device, "closed: its product was switched off");
        }
    }

    fn heard(&mut self, device: DeviceId, mode: SecureMode, reported: bool) {
        // A session by the product's secret makes no device online.
        if mode == SecureMode::DeviceSecret {
            self.turn.heard.push(Heard { device, reported });
        }
    }

    fn known(&self, session: SessionId) -> Option<&Known> {
        self.sessions.get(&session.slot).filter(|known| known.generation == session.generation)
    }
}

/// The store did not take a login: its session is closed, and the older one, where there is one, is the device's again.
fn take_back(
    core: &Core,
    shards: &Shards,
    grant: &Grant,
    login: Login,
    older: Option<Login>,
    peer: SocketAddr,
    outcome: Option<&Written>,
) {
    shards.close(login.session);
    let alone = core.directory.take_back(grant.device, login.session, older);
    let superseded = outcome == Some(&Written::SecretSuperseded);
    if alone {
        let cause = if superseded {
            "closed: its secret was replaced"
        } else {
            "closed: the login could not be stored"
        };
        core.presence.forget(grant.device, cause);
    }
    if superseded {
        let detail = "the secret was replaced while the handshake was under way";
        let refusal = Refusal::new(Reason::WrongKey, detail);
        let (device, name) = (Some(grant.device), Some(name_of(grant)));
        core.refusals.record(Refused { device, name, identity: None, refusal }, peer);
    }
}

async fn product(core: &Core, product_key: &str) -> Option<Arc<CachedProduct>> {
    match core.products.find(product_key).await {
        Ok(product) => Some(product),
        Err(error) => {
            tracing::error!(%error, "the store cannot read a product");
            None
        }
    }
}

fn announce(core: &Core, event: FeedEvent, grant: &Grant, peer: SocketAddr, suite: CipherSuite) {
    let Grant { product_key, device_key, .. } = grant;
    tracing::debug!(product_key, device_key, %peer, event = event.event);
    if core.feed.has_subscribers() {
        core.feed.publish(FeedEvent {
            product_key: Some(product_key.clone()),
            device_key: Some(device_key.clone()),
            peer: Some(peer.to_string()),
            detail: Some(suite.name().to_owned()),
            ..event
        });
    }
}

fn report_event(write: &Write, grant: &Grant) -> Option<FeedEvent> {
    let Write::Message(message) = write else { return None };
    Some(FeedEvent {
        product_key: Some(grant.product_key.clone()),
        device_key: Some(grant.device_key.clone()),
        points: RawValue::from_string(message.points_json.to_string()).ok(),
        received_at: Some(message.arrival),
        ..FeedEvent::new(message.time, "report")
    })
}

fn name_of(grant: &Grant) -> DeviceName {
    DeviceName { product_key: grant.product_key.clone(), device_key: grant.device_key.clone() }
}

/// Polls once: stores that answer at once need no task of their own.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
