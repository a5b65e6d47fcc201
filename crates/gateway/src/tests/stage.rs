//! A machine with a shard of DTLS and one of plain CoAP, two devices (p/d and p/e) and an outside that
//! answers when a test says so.
//!
//! Longer than 500 lines: one list of what stories can say.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use narrowgate_api::happening::{self, Happening};
use narrowgate_coap::{ObservationEnd, Request, format};
use narrowgate_dtls::CipherSuite;
use narrowgate_engine::{
    event::{CloseCause, HandshakeId, SessionId, ShardEvent, Ticket},
    shard::throttle::{ByteLimit, Spent},
};
use narrowgate_platform::{
    firmware::ServerName,
    ids::{DEFAULT_OU, DeviceId, Position, UnixMillis},
    memory::PlainScripts,
    model::{
        access::Unit,
        command::{Command, CommandId, CommandMove, CommandState, CommandTopic, OpenCommand, Order},
        credential::{CredentialLookup, Credentials},
        product::{ContentCode, DataFormat, DynamicActivation, Product, Profile},
        property::Properties,
        rates::CountedMinute,
        retention::RetentionClass,
    },
    ports::{Caller, Fault, FaultKind, Issued, OnlineDevice, Scripts as _, StoreError, Write, Written},
    rules::{clock::NewestArrival, issuing::NotIssued, rate::Rate},
    secret::Secret,
    testing::block_on,
};

use super::{
    real::{exchange, failed_finished, quiet_exchange},
    said::said,
    start,
};
use crate::{
    Answer, Decode, Effect, Encode, Gateway, Limits, LiveChange, Now, Options, Outcomes, ProductRead, Token,
    residence::presence::CHANGES_AT_ONCE,
};

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Lookup,
    Product,
    OnlineOf,
    Commands,
    Write,
    Properties,
    Diagnosis,
    Script,
    Upgrades,
    Piece,
}

/// A call of a script.
#[derive(Debug)]
enum Run {
    Decode(Box<Decode>),
    Encode(Box<Encode>),
}

/// See the module.
pub(super) struct Stage {
    pub(super) gateway: Gateway,
    pub(super) now: Now,
    /// Questions without an answer, oldest first.
    pub(super) asked: VecDeque<(Kind, Token)>,
    /// The number of each login, and of the login of each report, that was to be written.
    pub(super) logins: Vec<u64>,
    /// How long each report that was to be written is kept.
    pub(super) classes: Vec<RetentionClass>,
    /// The session and the version of the secret of each report that was to be written.
    pub(super) proved: Vec<(u64, u32)>,
    /// The mark of the product's secret of each session that was to be issued a secret.
    pub(super) marks: Vec<u32>,
    /// The arrival of each report that was to be written.
    pub(super) arrivals: Vec<UnixMillis>,
    /// Where each happening stands that was told.
    pub(super) places: Vec<Option<u64>>,
    /// The state of each command that was told of.
    pub(super) told: Vec<CommandState>,
    /// What was told of upgrades.
    pub(super) upgrades: Vec<happening::Upgrade>,
    /// The open commands of device d, as the store has them.
    pub(super) open: Vec<Command>,
    /// The steps of commands of each write without an answer.
    pub(super) steps: BTreeMap<Token, Vec<CommandMove>>,
    /// The calls of scripts without an answer.
    runs: BTreeMap<Token, Run>,
    /// What is published for a product whose data format is custom.
    script: Option<Arc<str>>,
    /// What was counted, minute by minute.
    pub(super) rates: Vec<Arc<CountedMinute>>,
    /// The organisation unit of all products; `None`: the default one.
    pub(super) unit: Option<Unit>,
    committed: u64,
    mid: u16,
}

impl Stage {
    /// With a listener.
    pub(super) fn new() -> Self {
        Self::restarted(Vec::new())
    }

    /// After a restart, with devices that were online.
    pub(super) fn restarted(online: Vec<OnlineDevice>) -> Self {
        Self::with(online, Vec::new())
    }

    /// After a restart, with open commands of device d too.
    pub(super) fn with(online: Vec<OnlineDevice>, open: Vec<Command>) -> Self {
        let now = Now { instant: start(), wall: UnixMillis(1_700_000_000_000) };
        let limits = Limits {
            device_handshakes: Some(Rate { every: Duration::from_secs(10), burst: 20 }),
            device_bytes: Some(ByteLimit { per_second: 10 << 10, burst: 100 << 10 }),
            ..Limits::default()
        };
        let of_d = |command: &Command| OpenCommand { device: device_id("d"), command: command.clone() };
        let commands = open.iter().map(of_d).collect();
        let newest_arrival = Some(NewestArrival { time: now.wall, is_confirmed: true });
        let seed = [3; 32];
        let (shards, plain_shards, epoch) = (2, 1, 0);
        let server = ServerName::new("gateway.example", 5684);
        let options =
            Options { shards, plain_shards, seed, online, commands, epoch, newest_arrival, limits, server };
        let mut gateway = Gateway::new(options, now);
        gateway.set_followers(crate::Followers::OfAll);
        Self {
            gateway,
            now,
            asked: VecDeque::new(),
            logins: Vec::new(),
            classes: Vec::new(),
            proved: Vec::new(),
            marks: Vec::new(),
            arrivals: Vec::new(),
            places: Vec::new(),
            told: Vec::new(),
            upgrades: Vec::new(),
            open,
            steps: BTreeMap::new(),
            runs: BTreeMap::new(),
            script: None,
            rates: Vec::new(),
            unit: None,
            committed: 0,
            mid: 0,
        }
    }

    /// Several inputs, separated by `;`; returns the effects of all of them.
    pub(super) fn play(&mut self, script: &str) -> String {
        let effects = script.split(';').map(str::trim).filter(|input| !input.is_empty());
        let effects: Vec<_> =
            effects.map(|input| self.input(input)).filter(|said| !said.is_empty()).collect();
        effects.join(", ")
    }

    /// One input, or several that are committed together, with `&` between; returns the effects.
    pub(super) fn input(&mut self, input: &str) -> String {
        input.split(" & ").for_each(|input| self.handle(input));
        self.effects()
    }

    fn handle(&mut self, input: &str) {
        let words: Vec<&str> = input.split(' ').collect();
        match words[..] {
            ["wait", seconds] => self.wait(seconds.parse().expect("a number of seconds")),
            ["settle"] => self.gateway.handle_settle(self.now),
            ["close", device] => {
                let change =
                    LiveChange::CloseDevice { device: device_id(device), cause: "closed: switched off" };
                self.gateway.handle_change(self.now, &change);
            }
            ["send", topic] => {
                let id = self.open.iter().map(|command| command.id.0).max().unwrap_or(0) + 1;
                self.open.push(command(id, topic, self.now.wall));
                self.commands_changed();
            }
            ["cancel", id] => {
                self.open.retain(|command| command.id.to_string() != id);
                self.commands_changed();
            }
            ["rotate", product_key] => {
                let change = LiveChange::ProductSecretReplaced { product_key: product_key.to_owned() };
                self.gateway.handle_change(self.now, &change);
            }
            ["change", product_key] => {
                let change = LiveChange::ProductChanged { product_key: product_key.to_owned() };
                self.gateway.handle_change(self.now, &change);
            }
            [number, ref rest @ ..]
                if number.starts_with(['h', 's']) && number.ends_with(|last: char| last.is_ascii_digit()) =>
            {
                let slot = number[1..].parse().expect("a number");
                let event = self.event(slot, number.starts_with('h'), rest);
                self.gateway.handle_event(self.now, 0, event);
            }
            _ => self.answer(input),
        }
    }

    /// Questions of a kind that wait for their answer.
    pub(super) fn count(&self, kind: Kind) -> usize {
        self.asked.iter().filter(|(asked, _)| *asked == kind).count()
    }

    fn wait(&mut self, seconds: u64) {
        let end = self.now.instant + Duration::from_secs(seconds);
        while let Some(at) = self.gateway.poll_timeout().filter(|at| *at <= end) {
            self.pass(at.saturating_duration_since(self.now.instant));
            self.gateway.handle_timeout(self.now);
        }
        self.pass(end - self.now.instant);
    }

    fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.wall.0 += time.as_millis() as i64;
    }

    fn event(&mut self, slot: u32, is_handshake: bool, words: &[&str]) -> ShardEvent {
        let handshake = HandshakeId { shard: 0, slot, generation: 1 };
        let session = SessionId { shard: 0, slot, generation: 1 };
        let peer = ([192, 0, 2, slot as u8], 5684).into();
        match words {
            ["wants", identity] => {
                ShardEvent::PskWanted { handshake, peer, identity: identity.as_bytes().to_vec() }
            }
            ["fails"] => ShardEvent::WrongKey { handshake, peer, failed: failed_finished([0x33; 16]) },
            ["ends"] if is_handshake => ShardEvent::HandshakeEnded { handshake },
            ["connects"] => ShardEvent::Connected {
                handshake,
                session,
                peer,
                suite: CipherSuite::PskAes128Ccm8,
                verified: self.now.instant,
            },
            ["posts"] => self.request(session, Request::post(&post("p/d"), 50, BODY)),
            ["posts", "nonsense"] => self.request(session, Request::post(&post("p/d"), 50, "{")),
            ["posts", "at", time] => {
                let body = BODY.replace("}}}", &format!("}},\"time\":{time}}}}}"));
                self.request(session, Request::post(&post("p/d"), 50, body))
            }
            ["posts", name] => self.request(session, Request::post(&post(name), 50, BODY)),
            ["sets", attributes] => self.property(session, "update", &format!("{{{attributes}}}")),
            ["deletes", names] => self.property(session, "delete", &format!("[{names}]")),
            ["queries"] => self.property(session, "query", "[]"),
            ["queries", names] => self.property(session, "query", &format!("[{names}]")),
            ["sends", "to", "e", text] => self
                .request(session, Request::post(&UP_RAW.replace("/d/", "/e/"), format::OCTET_STREAM, *text)),
            ["sends", text] => self.request(session, Request::post(UP_RAW, format::OCTET_STREAM, *text)),
            ["GET", path] => self.request(session, Request::get(path)),
            ["GET", path, "for", accept] => {
                let accept = accept.parse().expect("a number of a format");
                self.request(session, Request::get(path).accept(accept))
            }
            ["GET", path, "quietly"] => self.quiet(session, path),
            ["POST", path, cbor] => self.request(session, Request::post(path, format::CBOR, bytes(cbor))),
            ["asks"] => self.request(session, Request::get(INFO)),
            ["asks", "q"] => self.request(session, Request::get(INFO_OF_Q)),
            ["asks", "e"] => self.request(session, Request::get(INFO_OF_E)),
            ["gets", topic] => self.request(session, Request::get(&command_path(topic))),
            ["gets", topic, "quietly"] => self.quiet(session, &command_path(topic)),
            ["replies", topic, id, code] => {
                let body = format!("{{\"id\":\"{id}\",\"code\":{code}}}");
                self.request(session, Request::post(&format!("{}_reply", command_path(topic)), 50, body))
            }
            ["floods"] => ShardEvent::Throttled { session, wait_s: 3 },
            ["spent"] => ShardEvent::Spent { session, spent: Spent { up: 50_000, down: 0 } },
            ["counts"] => self.request(session, Request::get(COUNT)),
            ["observes"] => self.request(session, Request { observe: Some(0), ..Request::get(COUNT) }),
            ["cancels"] => ShardEvent::ObservationEnded { session, end: ObservationEnd::Cancelled },
            ["resets"] => ShardEvent::ObservationEnded { session, end: ObservationEnd::Reset },
            ["is", "dead"] => ShardEvent::ObservationEnded { session, end: ObservationEnd::TimedOut },
            ["heard"] => ShardEvent::Heard { session },
            ["leaves"] => ShardEvent::Closed { session, cause: CloseCause::ByPeer },
            ["ends"] => ShardEvent::Closed { session, cause: CloseCause::ByCommand },
            _ => self.firmware_event(session, words),
        }
    }

    /// A GET that does not want its answer.
    fn quiet(&mut self, session: SessionId, path: &str) -> ShardEvent {
        self.mid += 1;
        let ticket = Ticket { session, exchange: quiet_exchange(self.mid) };
        ShardEvent::Request { ticket, request: Request::get(path) }
    }

    /// A request about attributes.
    fn property(&mut self, session: SessionId, verb: &str, attributes: &str) -> ShardEvent {
        let path = format!("/topic/sys/p/d/thing/attribute/{verb}");
        let body = format!(r#"{{"id":"1","params":{{"attributes":{attributes}}}}}"#);
        self.request(session, Request::post(&path, 50, body))
    }

    pub(super) fn request(&mut self, session: SessionId, request: Request) -> ShardEvent {
        self.mid += 1;
        ShardEvent::Request { ticket: Ticket { session, exchange: exchange(self.mid) }, request }
    }

    /// Answers the oldest question of a kind, or the newest one.
    fn answer(&mut self, answer: &str) {
        if let Some(answer) = answer.strip_prefix("newest ") {
            self.asked.make_contiguous().reverse();
            self.answer(answer);
            self.asked.make_contiguous().reverse();
            return;
        }
        let full = || StoreError::Unavailable("the disk is full".into());
        match answer {
            "found" => self.lookup(Ok(found("d", true, true))),
            "found e" => self.lookup(Ok(found("e", true, true))),
            "device off" => self.lookup(Ok(found("d", false, true))),
            "product off" => self.lookup(Ok(found("d", true, false))),
            "found off" => self.lookup(Ok(changed(|found| found.dynamic_activation.enabled = false))),
            "found active" => self.lookup(Ok(changed(|found| found.activated = true))),
            "found rotated" => self.lookup(Ok(changed(|found| {
                found.product_secret = Secret::new("another".into());
            }))),
            "unknown" => self.lookup(Ok(CredentialLookup::DeviceUnknown)),
            "lookup fails" => self.lookup(Err(full())),
            "on" => self.product(Ok(Some(product(true)))),
            "off" => self.product(Ok(Some(product(false)))),
            "gone" => self.product(Ok(None)),
            "read fails" => self.product(Err(full())),
            "lists none" => self.online_of(Ok(Vec::new())),
            "lists d" => self.online_of(Ok(vec![device_id("d")])),
            "lists many" => self.online_of(Ok((1..=CHANGES_AT_ONCE as i64).map(DeviceId).collect())),
            "has a" => self.properties(Ok(Properties::from_json(r#"{"a":1}"#))),
            "query fails" => self.properties(Err(full())),
            "list fails" => self.online_of(Err(full())),
            "done" => self.written(&Ok(vec![Written::Done])),
            "activated" => self.written(&Ok(vec![Written::Activated])),
            "superseded" => self.written(&Ok(vec![Written::SecretSuperseded])),
            "too much" => self.written(&Ok(vec![Written::TooMuch(9000)])),
            "unchanged" => self.written(&Ok(vec![Written::Unchanged])),
            "unknown login" => self.written(&Ok(vec![Written::LoginUnknown])),
            "outrun" => self.written(&Ok(vec![Written::LoginSuperseded])),
            "refused" => self.written(&Ok(vec![Written::DeviceUnavailable])),
            "write fails" => self.written(&Err(full())),
            "issued" => self.written(&Ok(vec![Written::Issue(Issued::Done)])),
            "used up" => {
                let used_up = Issued::Refused(NotIssued::QuotaExceeded);
                self.written(&Ok(vec![Written::Issue(used_up)]));
            }
            "damaged" => self.written(&Ok(vec![Written::Issue(Issued::Damaged)])),
            "reset" => {
                let reset = Issued::Refused(NotIssued::SecretSuperseded);
                self.written(&Ok(vec![Written::Issue(reset)]));
            }
            "rotated" => {
                let rotated = Issued::Refused(NotIssued::ProductSecretReplaced);
                self.written(&Ok(vec![Written::Issue(rotated)]));
            }
            "diagnosed" => {
                let token = self.take(Kind::Diagnosis);
                self.gateway.handle_answer(self.now, token, Answer::Diagnosed(Some("found out".into())));
            }
            _ => self.other_answer(answer),
        }
    }

    fn other_answer(&mut self, answer: &str) {
        match answer {
            "has too much" => self.properties(Ok(Properties::from_json(&much()))),
            "found slow" => self.lookup(Ok(changed(|found| found.profile = Profile::Nbiot))),
            "unit off" => self.lookup(Ok(changed(|found| found.unit_suspended = true))),
            "suspended" => self.product(Ok(Some(Product { is_suspended: true, ..product(true) }))),
            "slow" => self.product(Ok(Some(Product { profile: Profile::Nbiot, ..product(true) }))),
            "short" => {
                let model_json = Some(MODEL.to_owned());
                let product = Product { short_paths: true, model_json, ..product(true) };
                self.product(Ok(Some(product)));
            }
            "answers 2.04" => {
                self.product(Ok(Some(Product { content_code: ContentCode::Changed, ..product(true) })));
            }
            "runs" => self.run(None),
            "commands" => self.commands(Ok(self.open.clone())),
            "commands fail" => self.commands(Err(StoreError::Unavailable("the disk is full".into()))),
            "ends" => self.written(&Ok(vec![Written::Done, Written::Done])),
            "over" => self.written(&Ok(vec![Written::CommandOver])),
            _ => self.script_answer(answer),
        }
    }

    /// A product whose script is the given word, or `none`, or cannot be read (`unreadable`), or that has
    /// short paths too; a call that returns so many bytes, or fails in the given way.
    fn script_answer(&mut self, answer: &str) {
        match answer.split_once(' ') {
            Some(("custom", word)) => {
                self.script = (word != "none").then(|| word.into());
                let script = match word {
                    "unreadable" => Err(StoreError::Unavailable("the disk is full".into())),
                    _ => Ok(self.script.clone()),
                };
                let product = Product { data_format: DataFormat::Custom, ..product(true) };
                self.product_read(Ok(Some(product)), script);
            }
            Some(("both", word)) => {
                self.script = Some(word.into());
                let (short_paths, model_json) = (true, Some(MODEL.to_owned()));
                let data_format = DataFormat::Custom;
                self.product(Ok(Some(Product { data_format, short_paths, model_json, ..product(true) })));
            }
            Some(("returns", bytes)) => {
                let token = self.take(Kind::Script);
                let bytes = vec![b'x'; bytes.parse().expect("a number of bytes")];
                self.gateway.handle_answer(self.now, token, Answer::Encoded(Ok(bytes)));
            }
            Some(("fails", word)) => {
                let kind = FaultKind::ALL.into_iter().find(|kind| kind.word() == word);
                self.run(Some(Fault::at(kind.expect("a kind of fault"), "no", Some(3))));
            }
            _ => self.firmware_answer(answer),
        }
    }

    /// Runs a script, or says how it failed.
    fn run(&mut self, fault: Option<Fault>) {
        let token = self.take(Kind::Script);
        let answer = match (self.runs.remove(&token).expect("it was asked for"), fault) {
            (Run::Decode(_), Some(fault)) => Answer::Decoded(Err(fault)),
            (Run::Encode(_), Some(fault)) => Answer::Encoded(Err(fault)),
            (Run::Decode(decode), None) => {
                let Decode { device, script, body, at } = *decode;
                Answer::Decoded(block_on(PlainScripts.decode(&script, &body, at, Caller::Device(device))))
            }
            (Run::Encode(encode), None) => {
                let Encode { device, script, json, at } = *encode;
                Answer::Encoded(block_on(PlainScripts.encode(&script, &json, at, Caller::Device(device))))
            }
        };
        self.gateway.handle_answer(self.now, token, answer);
    }

    pub(super) fn take(&mut self, kind: Kind) -> Token {
        let index = self.asked.iter().position(|(asked, _)| *asked == kind);
        let index = index.unwrap_or_else(|| panic!("no {kind:?} is asked for"));
        self.asked.remove(index).expect("it is there").1
    }

    pub(super) fn lookup(&mut self, answer: Result<CredentialLookup, StoreError>) {
        let token = self.take(Kind::Lookup);
        self.gateway.handle_answer(self.now, token, Answer::Lookup(answer));
    }

    fn product(&mut self, answer: Result<Option<Product>, StoreError>) {
        let script = self.script.clone();
        self.product_read(answer, Ok(script));
    }

    fn product_read(
        &mut self,
        answer: Result<Option<Product>, StoreError>,
        script: Result<Option<Arc<str>>, StoreError>,
    ) {
        let token = self.take(Kind::Product);
        let read = answer.map(|found| {
            found.map(|product| ProductRead { product, script, unit: self.unit.clone().map(Box::new) })
        });
        self.gateway.handle_answer(self.now, token, Answer::Product(read));
    }

    fn properties(&mut self, answer: Result<Properties, StoreError>) {
        let token = self.take(Kind::Properties);
        self.gateway.handle_answer(self.now, token, Answer::Properties(answer));
    }

    fn commands(&mut self, answer: Result<Vec<Command>, StoreError>) {
        let token = self.take(Kind::Commands);
        self.gateway.handle_answer(self.now, token, Answer::Commands(answer));
    }

    fn commands_changed(&mut self) {
        let change = LiveChange::CommandsChanged { device: device_id("d") };
        self.gateway.handle_change(self.now, &change);
    }

    fn online_of(&mut self, answer: Result<Vec<DeviceId>, StoreError>) {
        let token = self.take(Kind::OnlineOf);
        self.gateway.handle_answer(self.now, token, Answer::OnlineOf(answer));
    }

    pub(super) fn written(&mut self, answer: &Result<Vec<Written>, StoreError>) {
        let token = self.take(Kind::Write);
        let steps = self.steps.remove(&token).unwrap_or_default();
        let is_done = |index: usize| {
            let written = answer.as_ref().ok().and_then(|written| written.get(index));
            matches!(written, Some(Written::Done | Written::Upgrade(_)))
        };
        for (index, CommandMove { id, step, at, .. }) in steps.iter().enumerate() {
            let command = self.open.iter_mut().find(|command| command.id == *id);
            if let Some(command) = command.filter(|_| is_done(index)) {
                command.step(step, *at).expect("the store permits it");
            }
        }
        self.open.retain(|command| !command.state.has_ended());
        self.committed += 1;
        let first = Position { epoch: 1, sequence: self.committed };
        let answer = Answer::Written(answer.as_ref().map(|written| Outcomes { first, written }));
        self.gateway.handle_answer(self.now, token, answer);
    }

    /// What listeners are told.
    fn hear(&mut self, position: Option<Position>, happening: &Happening) {
        self.places.push(position.map(|position| position.sequence));
        match happening {
            Happening::Command(moved) => self.told.push(moved.state),
            Happening::Upgrade(upgrade) => self.upgrades.push(upgrade.clone()),
            _ => {}
        }
    }

    /// What no story tells of: there are unpredictable bytes, and what was counted in a minute is written.
    fn take_at_once(&mut self, effect: &Effect) -> bool {
        if matches!(effect, Effect::Entropy) {
            self.gateway.handle_entropy([7; 32]);
            return true;
        }
        let Effect::Write(token, writes) = effect else { return false };
        let [Write::Rates(minute)] = &writes[..] else { return false };
        self.rates.push(Arc::clone(minute));
        let first = Position { epoch: 0, sequence: self.committed };
        let outcomes = Outcomes { first, written: &[Written::Done] };
        self.gateway.handle_answer(self.now, *token, Answer::Written(Ok(outcomes)));
        true
    }

    pub(super) fn effects(&mut self) -> String {
        let mut effects = Vec::new();
        while let Some(effect) = self.gateway.poll_effect() {
            if self.take_at_once(&effect) {
                continue;
            }
            effects.push(said(&effect));
            if let Effect::Write(token, writes) = &effect {
                let steps = writes.iter().filter_map(|write| match write {
                    Write::Command(wanted) => Some(wanted.clone()),
                    _ => None,
                });
                self.steps.insert(*token, steps.collect());
                self.logins.extend(writes.iter().filter_map(login_of));
                self.proved.extend(writes.iter().filter_map(|write| match write {
                    Write::Message(message) => Some((message.session, message.secret_version)),
                    Write::Properties(write) => Some((0, write.secret_version)),
                    _ => None,
                }));
                self.classes.extend(writes.iter().filter_map(|write| match write {
                    Write::Message(message) => Some(message.retention),
                    _ => None,
                }));
                self.marks.extend(writes.iter().filter_map(|write| match write {
                    Write::IssueSecret { product_secret_mark, .. } => Some(*product_secret_mark),
                    _ => None,
                }));
                self.arrivals.extend(writes.iter().filter_map(arrival_of));
            }
            if let Effect::Tell(position, happening, _) = &effect {
                self.hear(*position, happening);
            }
            let asked = match effect {
                Effect::Lookup(token, _) => (Kind::Lookup, token),
                Effect::Product(token, _) => (Kind::Product, token),
                Effect::Properties(token, ..) => (Kind::Properties, token),
                Effect::OnlineOf(token, _) => (Kind::OnlineOf, token),
                Effect::Commands(token, _) => (Kind::Commands, token),
                Effect::Write(token, _) => (Kind::Write, token),
                Effect::Diagnose(token, _) => (Kind::Diagnosis, token),
                Effect::Upgrades(token, _) => (Kind::Upgrades, token),
                Effect::ImagePiece(token, _) => (Kind::Piece, token),
                Effect::Decode(token, decode) => {
                    self.runs.insert(token, Run::Decode(decode));
                    (Kind::Script, token)
                }
                Effect::Encode(token, encode) => {
                    self.runs.insert(token, Run::Encode(encode));
                    (Kind::Script, token)
                }
                // What is given up stands, as if its answer were on its way. The others ask nothing.
                _ => continue,
            };
            self.asked.push_back(asked);
        }
        effects.join(", ")
    }
}

/// Of the product in the answer `short`.
const MODEL: &str = r#"{"modelId":"m",
    "attributes":[{"identifier":"a","dataType":"INT","number":10}],
    "measurepoints":[{"identifier":"temp","dataType":"DOUBLE","number":1}],
    "services":[{"identifier":"restart","number":20,"outputData":[
        {"identifier":"uptime","dataType":"INT","number":1}]}]}"#;
const UP_RAW: &str = "/topic/sys/p/d/thing/model/up_raw";
const COUNT: &str = "/topic/sys/p/d/thing/commands";
const INFO: &str = "/topic/ext/session/p/d/thing/activate/info";
const INFO_OF_Q: &str = "/topic/ext/session/q/e/thing/activate/info";
const INFO_OF_E: &str = "/topic/ext/session/p/e/thing/activate/info";
const BODY: &str = r#"{"params":{"measurepoints":{"temp":21.5}}}"#;

fn login_of(write: &Write) -> Option<u64> {
    match write {
        Write::Login { number, .. } => Some(number.0),
        Write::Message(message) => message.login.map(|number| number.0),
        Write::Properties(write) => write.login.map(|number| number.0),
        _ => None,
    }
}

fn arrival_of(write: &Write) -> Option<UnixMillis> {
    match write {
        Write::Message(message) => Some(message.arrival),
        _ => None,
    }
}

fn post(name: &str) -> String {
    format!("/topic/sys/{name}/thing/measurepoint/post")
}

/// A command that may wait for a minute, with ten seconds to answer.
pub(super) fn command(id: u32, topic: &str, created: UnixMillis) -> Command {
    let topic = match topic {
        "set" => CommandTopic::Set,
        "get" => CommandTopic::Get,
        "raw" => CommandTopic::Raw,
        "upgrade" => CommandTopic::Upgrade,
        service => CommandTopic::Service(service.into()),
    };
    let raw = (topic == CommandTopic::Raw).then(|| format!("raw{id}").into_bytes().into());
    let order = Order { topic, params_json: "{}".into(), pending_ttl_s: 60, timeout_s: 10, raw };
    Command::new(CommandId(id), order, created)
}

fn command_path(topic: &str) -> String {
    if topic == "upgrade" {
        return "/topic/sys/p/d/ota/device/upgrade".to_owned();
    }
    let group = if matches!(topic, "set" | "get") { "measurepoint/" } else { "" };
    format!("/topic/sys/p/d/thing/service/{group}{topic}")
}

pub(super) fn device_id(device: &str) -> DeviceId {
    match device.as_bytes() {
        b"d" => DeviceId(1),
        b"e" => DeviceId(2),
        [letter] => DeviceId(i64::from(*letter)),
        _ => panic!("{device:?} is no device"),
    }
}

pub(super) fn found(device: &str, device_enabled: bool, product_enabled: bool) -> CredentialLookup {
    CredentialLookup::Found(Box::new(Credentials {
        device: device_id(device),
        asset_id: "asset".into(),
        device_secret: Secret::new("device".into()),
        secret_version: 1,
        device_enabled,
        activated: false,
        product_secret: Secret::new("product".into()),
        product_enabled,
        unit_suspended: false,
        profile: Profile::Default,
        dynamic_activation: DynamicActivation { enabled: true, ..DynamicActivation::default() },
    }))
}

/// Device d, in another state.
fn changed(change: fn(&mut Credentials)) -> CredentialLookup {
    let mut found = found("d", true, true);
    if let CredentialLookup::Found(credentials) = &mut found {
        change(credentials);
    }
    found
}

fn product(enabled: bool) -> Product {
    Product {
        ou: DEFAULT_OU.into(),
        product_key: "p".into(),
        name: "p".into(),
        secret: Secret::new("product".into()),
        dynamic_activation: DynamicActivation::default(),
        enabled,
        is_suspended: false,
        profile: Profile::Default,
        short_paths: false,
        data_format: DataFormat::Json,
        content_code: ContentCode::Content,
        model_json: None,
        retention: RetentionClass::parse("short").expect("it is a name"),
        created: UnixMillis(0),
    }
}

/// Bytes in hexadecimal.
pub(super) fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// More attributes than an answer holds.
fn much() -> String {
    format!(r#"{{"a":"{}"}}"#, "x".repeat(narrowgate_platform::device_api::BODY_BYTES_MAX))
}
