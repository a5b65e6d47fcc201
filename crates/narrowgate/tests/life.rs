//! A device's whole life under virtual time: shard, rules, device API, presence and store wired by hand, without
//! threads and sockets, so that thirty seconds of silence take none.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_api::{
    device::NewDeviceRequest,
    product::{NewDynamicActivation, NewProduct},
};
use narrowgate_coap::{Budget, Code, Context, Endpoint, Event, Params, Request, Response};
use narrowgate_dtls::{
    ClientConfig, ClientEvent, ClientHandshake, DecoySecret, Opened, Psk, PskAnswer, Random, ServerConfig,
    Session, split_record,
};
use narrowgate_engine::{
    event::{HandshakeId, SessionId, ShardCommand, ShardEvent},
    shard::{Shard, ShardConfig},
};
use narrowgate_platform::memory::MemoryStore;
use narrowgate_platform::{
    device_api::{self, Action, ProductState},
    ids::{LoginNumber, UnixMillis},
    model::device::DeviceState,
    paging::Part,
    ports::{Entropy, HistoryReads as _, Journal as _, NobodyConnected, Registry as _, Write, Written},
    rules::{
        admission::{Decision, Grant, decide},
        identity::{Identity, SecureMode},
        names,
        presence::{Tracker, Transition},
        psk,
    },
    secret::Secret,
    service::Operator,
    testing::{ManualClock, SeededEntropy, block_on, store::fixtures::batch},
};

const START: UnixMillis = UnixMillis(1_800_000_000_000);

struct TestRandom(u8);

impl Random for TestRandom {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            self.0 = self.0.wrapping_mul(37).wrapping_add(11);
            *byte = self.0;
        }
    }
}

/// The server, with its platform wired by hand.
struct Server {
    now: Instant,
    shard: Shard,
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    entropy: Arc<SeededEntropy>,
    tracker: Tracker,
    admitted: Vec<(HandshakeId, Grant)>,
    sessions: Vec<(SessionId, Grant)>,
    transitions: Vec<Transition>,
}

impl Server {
    fn new() -> Self {
        let now = Instant::now();
        let dtls = Arc::new(ServerConfig::new(DecoySecret::new([7; 32])));
        Self {
            now,
            shard: Shard::new(ShardConfig::new(dtls), now, [1; 32]),
            store: Arc::new(MemoryStore::default()),
            clock: Arc::new(ManualClock::new(START)),
            entropy: Arc::new(SeededEntropy::new(1)),
            tracker: Tracker::new(now),
            admitted: Vec::new(),
            sessions: Vec::new(),
            transitions: Vec::new(),
        }
    }

    fn operator(&self) -> Operator {
        Operator::new(self.store.clone(), self.clock.clone(), self.entropy.clone(), Arc::new(NobodyConnected))
    }

    fn advance(&mut self, by: Duration) {
        self.now += by;
        self.clock.advance_ms(by.as_millis() as i64);
        self.shard.handle_timeout(self.now);
        self.tracker.handle_timeout(self.now, &mut self.transitions);
        self.settle();
    }

    fn receive(&mut self, peer: SocketAddr, mut datagram: Vec<u8>) {
        self.shard.handle_datagram(self.now, peer, &mut datagram);
        self.settle();
    }

    /// Answers events until nothing is left to say.
    fn settle(&mut self) {
        while let Some(event) = self.shard.poll_event() {
            match event {
                ShardEvent::PskWanted { handshake, identity, .. } => {
                    self.answer_look_up(handshake, &identity);
                }
                ShardEvent::Connected { handshake, session, peer, .. } => {
                    self.connected(handshake, session, peer);
                }
                ShardEvent::Request { ticket, request } => {
                    let response = self.answer(ticket.session, &request);
                    self.shard.handle_command(self.now, ShardCommand::Respond { ticket, response });
                }
                ShardEvent::Heard { session } => self.heard(session),
                _ => {}
            }
        }
        for transition in std::mem::take(&mut self.transitions) {
            let Transition { device, state, cause } = transition;
            let at = narrowgate_platform::ports::Clock::now(&*self.clock);
            self.append(Write::Presence { device, login: None, state, at, cause: cause.to_string() });
        }
    }

    fn answer_look_up(&mut self, handshake: HandshakeId, identity: &[u8]) {
        let identity = Identity::parse(identity);
        let lookup = identity.as_ref().ok().map(|identity| {
            block_on(self.store.credentials(&identity.name.product_key, &identity.name.device_key)).unwrap()
        });
        let answer = match decide(&identity, lookup.as_ref()) {
            Decision::Admit { secret, grant } => {
                self.admitted.push((handshake, grant));
                PskAnswer::key(Psk::new(&*psk::psk(&secret)).expect("16 bytes are a key"))
            }
            Decision::Refuse { .. } => PskAnswer::decoy(),
        };
        self.shard.handle_command(self.now, ShardCommand::ProvidePsk { handshake, answer });
    }

    fn connected(&mut self, handshake: HandshakeId, session: SessionId, peer: SocketAddr) {
        let index = self.admitted.iter().position(|(id, _)| *id == handshake).expect("it was admitted");
        let (_, grant) = self.admitted.remove(index);
        if grant.mode == SecureMode::DeviceSecret {
            self.tracker.handle_login(grant.device, grant.lifetime_s, self.now);
            self.append(Write::Login {
                device: grant.device,
                number: LoginNumber::first_of(0),
                at: narrowgate_platform::ports::Clock::now(&*self.clock),
                lifetime_s: grant.lifetime_s,
                secret_version: grant.secret_version,
                peer: peer.to_string(),
            });
        }
        self.sessions.push((session, grant));
    }

    fn heard(&mut self, session: SessionId) {
        let grant = self.grant(session);
        if grant.mode == SecureMode::DeviceSecret {
            self.transitions.extend(self.tracker.handle_heard(grant.device, self.now));
        }
    }

    fn answer(&mut self, session: SessionId, request: &Request) -> Response {
        self.heard(session);
        let grant = self.grant(session);
        let now = narrowgate_platform::ports::Clock::now(&*self.clock);
        match device_api::handle(&grant, request, ProductState::On(None), now) {
            Action::Respond(answer) => answer.into_parts().0,
            Action::Unavailable(response) => response,
            Action::Store { writes, response, .. } => {
                block_on(self.store.append(batch(writes))).unwrap();
                response
            }
            Action::IssueSecret(wanted) => {
                let secret = names::new_device_secret(&*self.entropy as &dyn Entropy);
                let (device, peer) = (grant.device, "peer".to_owned());
                let write = Write::IssueSecret { device, secret: secret.clone(), at: now, peer };
                let written = block_on(self.store.append(batch(vec![write]))).unwrap().outcomes;
                let [Written::Issue(issued)] = written[..] else { panic!("{written:?}") };
                device_api::answer_secret(&grant, &wanted, &issued, &secret).response
            }
        }
    }

    fn grant(&self, session: SessionId) -> Grant {
        self.sessions.iter().find(|(id, _)| *id == session).expect("the session is known").1.clone()
    }

    fn append(&self, write: Write) {
        block_on(self.store.append(batch(vec![write]))).unwrap();
    }

    fn take_outbox(&mut self) -> Vec<Vec<u8>> {
        let datagrams = self.shard.outbox().iter().map(|(_, datagram)| datagram.to_vec()).collect();
        self.shard.outbox().clear();
        datagrams
    }
}

/// A device on a network that loses nothing.
struct Device {
    peer: SocketAddr,
    random: TestRandom,
    session: Session,
    endpoint: Endpoint,
    budget: Budget,
}

impl Device {
    fn connect(server: &mut Server, port: u16, identity: &str, secret: &str) -> Option<Self> {
        let peer = SocketAddr::from(([10, 0, 0, 1], port));
        let mut random = TestRandom(port as u8);
        let psk = Psk::new(&*psk::derive(secret.as_bytes())).expect("16 bytes are a key");
        let mut handshake =
            ClientHandshake::new(ClientConfig::new(identity.as_bytes(), psk), server.now, &mut random);
        let mut datagram = Vec::new();
        for _ in 0..4 {
            while handshake.poll_transmit(&mut datagram) {
                server.receive(peer, datagram.clone());
            }
            for mut datagram in server.take_outbox() {
                handshake.handle_datagram(server.now, &mut datagram, &mut random);
            }
            if let Some(ClientEvent::Established(session)) = handshake.poll_event() {
                let endpoint = Endpoint::new(1);
                return Some(Self {
                    peer,
                    random,
                    session: *session,
                    endpoint,
                    budget: Budget::new(1 << 20),
                });
            }
        }
        None
    }

    fn ask(&mut self, server: &mut Server, request: Request) -> Response {
        let params = Params::default();
        let mut context = Context { now: server.now, params: &params, budget: &mut self.budget };
        self.endpoint.request(&mut context, request).expect("a small request");
        let (mut message, mut datagram) = (Vec::new(), Vec::new());
        while self.endpoint.poll_transmit(&mut message) {
            datagram.clear();
            self.session.seal(&message, &mut self.random, &mut datagram).expect("it fits");
            server.receive(self.peer, datagram.clone());
        }
        for mut datagram in server.take_outbox() {
            let (record, _) = split_record(&mut datagram).expect("a whole record");
            if let Opened::Application(message) = self.session.open(record).expect("authentic") {
                let mut context = Context { now: server.now, params: &params, budget: &mut self.budget };
                self.endpoint.handle_message(&mut context, message);
            }
        }
        loop {
            match self.endpoint.poll_event().expect("an answer") {
                Event::Response { response, .. } => return response,
                _ => continue,
            }
        }
    }
}

fn report(product_key: &str, device_key: &str, value: f64) -> Request {
    let topic = format!("/topic/sys/{product_key}/{device_key}/thing/measurepoint/post");
    let body = format!(
        r#"{{"id":"1","version":"1.0","method":"thing.measurepoint.post","params":{{"measurepoints":{{"temp":{value}}}}}}}"#
    );
    Request::post(&topic, 50, body.into_bytes())
}

#[test]
fn a_device_activates_logs_in_reports_falls_silent_and_comes_back_in_the_same_session() {
    let mut server = Server::new();
    let operator = server.operator();
    let product = block_on(operator.create_product(NewProduct {
        name: "meter".into(),
        dynamic_activation: NewDynamicActivation { enabled: true, ..NewDynamicActivation::default() },
        ..NewProduct::default()
    }))
    .unwrap();
    let (product_key, device_key) = (product.product_key.as_str(), "meter-0001");
    let new = NewDeviceRequest { device_key: Some(device_key.into()), ..NewDeviceRequest::default() };
    block_on(operator.create_device(product_key, new)).unwrap();
    let name = narrowgate_platform::ids::DeviceName {
        product_key: product_key.into(),
        device_key: device_key.into(),
    };
    let device_now =
        |server: &Server| block_on(server.store.device(&name)).unwrap().expect("it is registered");

    // In the factory it has only its product's secret, and asks for its own.
    let identity = format!("{product_key},{device_key},3,3600");
    let mut factory =
        Device::connect(&mut server, 1, &identity, product.product_secret.expose()).expect("mode 3 connects");
    let topic = format!("/topic/ext/session/{product_key}/{device_key}/thing/activate/info");
    let answer = factory.ask(&mut server, Request::get(&topic));
    assert_eq!(answer.code, Code::CONTENT);
    let answer: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
    let secret = answer["params"]["deviceSecret"].as_str().unwrap().to_owned();
    assert_eq!(secret.len(), 20);
    assert_eq!(device_now(&server).state, DeviceState::Inactive, "asking does not activate");
    let refused = factory.ask(&mut server, report(product_key, device_key, 1.0));
    assert_eq!(refused.code, Code::FORBIDDEN);

    // In the field it logs in with it, and reports.
    let identity = format!("{product_key},{device_key},2,30");
    assert!(Device::connect(&mut server, 2, &identity, "the wrong secret").is_none());
    let mut device = Device::connect(&mut server, 3, &identity, &secret).expect("mode 2 connects");
    assert_eq!(device_now(&server).state, DeviceState::Online);
    assert_eq!(device_now(&server).active_time, Some(narrowgate_platform::ports::Clock::now(&*server.clock)));
    assert_eq!(device.ask(&mut server, report(product_key, device_key, 21.5)).code, Code::CHANGED);
    let latest = block_on(server.store.points_latest(device_now(&server).id)).unwrap().items;
    assert_eq!(latest[0].value.get(), "21.5");

    // Thirty seconds of silence, and not one less: offline, once, within a second.
    server.advance(Duration::from_millis(29_900));
    assert_eq!(device_now(&server).state, DeviceState::Online);
    server.advance(Duration::from_millis(1_100));
    assert_eq!(device_now(&server).state, DeviceState::Offline);
    server.advance(Duration::from_secs(3_600));
    let changes = block_on(server.store.presence_history(device_now(&server).id, Part::first(10)));
    let states: Vec<_> = changes.unwrap().items.iter().map(|change| change.state).collect();
    assert_eq!(states, [DeviceState::Offline, DeviceState::Online]);

    // The session is still good: its next report makes the device online without a handshake.
    assert_eq!(device.ask(&mut server, report(product_key, device_key, 22.0)).code, Code::CHANGED);
    assert_eq!(device_now(&server).state, DeviceState::Online);
    // Its secret is fixed now.
    let identity = format!("{product_key},{device_key},3,3600");
    let mut again =
        Device::connect(&mut server, 4, &identity, product.product_secret.expose()).expect("mode 3 connects");
    assert_eq!(again.ask(&mut server, Request::get(&topic)).code, Code::FORBIDDEN);
    assert!(Secret::new(secret) == Secret::new(factory_secret(&server, &name)));
}

fn factory_secret(server: &Server, name: &narrowgate_platform::ids::DeviceName) -> String {
    let lookup = block_on(server.store.credentials(&name.product_key, &name.device_key)).unwrap();
    match lookup {
        narrowgate_platform::model::credential::CredentialLookup::Found(credentials) => {
            credentials.device_secret.expose().to_owned()
        }
        other => panic!("{other:?}"),
    }
}
