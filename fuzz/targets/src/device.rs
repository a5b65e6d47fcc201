//! An honest device: a handshake, then reports over CoAP, pings and goodbyes. Small and fast, without what
//! only the simulation needs.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_coap::{Budget, Code, Context, Endpoint, Event, Params, Request, RequestId, format};
use narrowgate_dtls::{
    CipherSuite, ClientConfig, ClientEvent, ClientHandshake, Opened, Psk, Random, Session, split_record,
};

/// Reports on their way at most.
const REPORTS_MAX: usize = 16;

/// Who a device is and how it speaks.
#[derive(Clone)]
pub(crate) struct DeviceConfig {
    device_key: &'static str,
    psk: Psk,
    suites: Vec<CipherSuite>,
    coap: Arc<Params>,
}

impl DeviceConfig {
    pub(crate) fn new(device_key: &'static str, psk: Psk, coap: Arc<Params>) -> Self {
        Self { device_key, psk, suites: CipherSuite::ALL.to_vec(), coap }
    }

    /// With this suite only.
    pub(crate) fn suite(mut self, suite: CipherSuite) -> Self {
        self.suites = vec![suite];
        self
    }
}

/// What a device is told to do.
#[derive(Clone, Copy)]
pub(crate) enum DeviceCommand {
    /// Start a new handshake; earlier state is forgotten.
    Connect,
    /// Report under this number.
    Report(usize),
    Ping,
    /// Say goodbye.
    Close,
    /// Forget everything without notifying the server.
    PowerOff,
}

/// See the module.
pub(crate) struct Device {
    config: DeviceConfig,
    state: State,
    transmits: VecDeque<Vec<u8>>,
    /// Numbers of the reports that were answered by success.
    acknowledged: VecDeque<usize>,
}

enum State {
    Off,
    Connecting(Box<ClientHandshake>),
    Connected(Box<Connection>),
}

struct Connection {
    session: Session,
    endpoint: Endpoint,
    budget: Budget,
    pending: Vec<(RequestId, usize)>,
    ping: u16,
}

impl Device {
    pub(crate) fn new(config: DeviceConfig) -> Self {
        Self { config, state: State::Off, transmits: VecDeque::new(), acknowledged: VecDeque::new() }
    }

    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected(_))
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// The number of a report that the server has.
    pub(crate) fn poll_acknowledged(&mut self) -> Option<usize> {
        self.acknowledged.pop_front()
    }

    /// Commands that do not fit the state do nothing.
    pub(crate) fn handle_command(&mut self, now: Instant, command: DeviceCommand, rng: &mut dyn Random) {
        match (command, &mut self.state) {
            (DeviceCommand::Connect, _) => {
                let identity = format!("MuGsF6W4,{},2,3600", self.config.device_key);
                let mut client = ClientConfig::new(identity.as_bytes(), self.config.psk.clone());
                client.suites.clone_from(&self.config.suites);
                client.retransmit_initial = Duration::from_millis(50);
                self.state = State::Connecting(Box::new(ClientHandshake::new(client, now, rng)));
            }
            (DeviceCommand::PowerOff, _) => {
                self.state = State::Off;
                self.transmits.clear();
            }
            (DeviceCommand::Report(id), State::Connected(connection)) => {
                connection.report(now, id, &self.config);
            }
            (DeviceCommand::Ping, State::Connected(connection)) => {
                let [high, low] = connection.ping.to_be_bytes();
                connection.ping = connection.ping.wrapping_add(1);
                connection.seal(&[0x40, 0, high, low], rng, &mut self.transmits);
            }
            (DeviceCommand::Close, State::Connected(connection)) => {
                let mut datagram = Vec::new();
                connection.session.seal_close_notify(rng, &mut datagram);
                self.transmits.push_back(datagram);
                self.state = State::Off;
            }
            (_, State::Off | State::Connecting(_)) => {}
        }
        self.drive(rng);
    }

    pub(crate) fn handle_datagram(&mut self, now: Instant, datagram: &mut [u8], rng: &mut dyn Random) {
        match &mut self.state {
            State::Off => {}
            State::Connecting(handshake) => {
                handshake.handle_datagram(now, datagram, rng);
            }
            State::Connected(connection) => {
                if connection.receive(now, datagram, &self.config.coap) {
                    self.state = State::Off;
                }
            }
        }
        self.drive(rng);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, rng: &mut dyn Random) {
        match &mut self.state {
            State::Off => {}
            State::Connecting(handshake) => handshake.handle_timeout(now),
            State::Connected(connection) => {
                let Connection { endpoint, budget, .. } = &mut **connection;
                endpoint.handle_timeout(&mut Context { now, params: &self.config.coap, budget });
            }
        }
        self.drive(rng);
    }

    /// Takes datagrams and events out of the handshake or session.
    fn drive(&mut self, rng: &mut dyn Random) {
        let mut message = Vec::new();
        match &mut self.state {
            State::Off => {}
            State::Connecting(handshake) => {
                while handshake.poll_transmit(&mut message) {
                    self.transmits.push_back(std::mem::take(&mut message));
                }
                match handshake.poll_event() {
                    None => {}
                    Some(ClientEvent::Established(session)) => {
                        self.state = State::Connected(Box::new(Connection::new(*session)));
                    }
                    Some(ClientEvent::Failed(_) | ClientEvent::Expired) => self.state = State::Off,
                }
            }
            State::Connected(connection) => {
                while let Some(event) = connection.endpoint.poll_event() {
                    self.acknowledged.extend(connection.note(&event));
                }
                while connection.endpoint.poll_transmit(&mut message) {
                    connection.seal(&message, rng, &mut self.transmits);
                }
            }
        }
    }
}

impl Connection {
    fn new(session: Session) -> Self {
        let (endpoint, budget) = (Endpoint::new(0x1000), Budget::new(usize::MAX));
        Self { session, endpoint, budget, pending: Vec::new(), ping: 0x8000 }
    }

    fn report(&mut self, now: Instant, id: usize, config: &DeviceConfig) {
        if self.pending.len() >= REPORTS_MAX {
            return;
        }
        let path = format!("/topic/sys/MuGsF6W4/{}/thing/measurepoint/post", config.device_key);
        let body = format!(
            "{{\"id\":\"{id}\",\"version\":\"1.0\",\"method\":\"thing.measurepoint.post\",\
             \"params\":{{\"measurepoints\":{{\"n\":{id}}}}}}}"
        );
        let request = Request::post(&path, format::JSON, body);
        let mut context = Context { now, params: &config.coap, budget: &mut self.budget };
        if let Ok(request_id) = self.endpoint.request(&mut context, request) {
            self.pending.push((request_id, id));
        }
    }

    /// Whether the server has ended the session.
    fn receive(&mut self, now: Instant, datagram: &mut [u8], coap: &Params) -> bool {
        let mut context = Context { now, params: coap, budget: &mut self.budget };
        let mut rest = datagram;
        while let Some((record, tail)) = split_record(rest) {
            rest = tail;
            match self.session.open(record) {
                Ok(Opened::Application(message)) => {
                    self.endpoint.handle_message(&mut context, message);
                }
                Ok(Opened::CloseNotify | Opened::FatalAlert(_) | Opened::TooManyWarnings) => return true,
                Ok(_) | Err(_) => {}
            }
        }
        false
    }

    /// The number of a report that is answered by success.
    fn note(&mut self, event: &Event) -> Option<usize> {
        let (Event::Response { id, .. } | Event::RequestFailed { id, .. }) = event else { return None };
        let index = self.pending.iter().position(|(request, _)| request == id)?;
        let (_, report) = self.pending.swap_remove(index);
        match event {
            Event::Response { response, .. } if response.code == Code::CHANGED => Some(report),
            _ => None,
        }
    }

    fn seal(&mut self, message: &[u8], rng: &mut dyn Random, datagrams: &mut VecDeque<Vec<u8>>) {
        let mut datagram = Vec::with_capacity(message.len() + 64);
        self.session.seal(message, rng, &mut datagram).expect("a short message, and few of them");
        datagrams.push_back(datagram);
    }
}
