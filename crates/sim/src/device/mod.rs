//! One simulated device: a handshake, then reports, questions and pings, over any transport for its
//! datagrams.
//!
//! ```text
//!           Connect            Established            Close, PowerOff, close_notify of the server
//!   Off ------------> Connecting ------------> Connected ------------> Off
//!    ^                    | failed, expired        | Connect: a new handshake, the session is forgotten
//!    +--------------------+                        +--> Connecting
//! ```
//!
//! A device of plain CoAP logs in where another one has a handshake, and its login is over when a request is
//! answered 4.01.
//!
//! Pure: time, datagrams, commands and randomness go in by `handle_*`; datagrams and events come out by
//! `poll_*`. What the server acknowledged is kept in [`Device::acknowledged`], to be compared with what the
//! server has stored.
//!
//! Limits: as many requests at once as [`narrowgate_coap::Params`] permits, one ping at a time.

mod config;
mod connection;
mod message;
mod ping;
pub mod update;
mod upload;

use std::{collections::VecDeque, time::Instant};

use narrowgate_coap::{Code, FailureCause, Request, RequestError, RequestId, Response};
use narrowgate_dtls::{CipherSuite, ClientConfig, ClientEvent, ClientFailure, ClientHandshake, Random};

pub use config::{DeviceConfig, Identity, SecureMode};
use connection::Connection;
pub use message::{AcknowledgedReport, IssuedSecret, Report, json_of, post_json};

/// What a device is told to do.
#[derive(Debug)]
pub enum DeviceCommand {
    /// Begin a handshake or a login. A session or a handshake under way is forgotten, as by a device that
    /// lost its power.
    Connect,
    /// Post a report.
    Report(Report),
    /// Ask for the device's own secret.
    AskActivation,
    /// Any other request; it is answered by [`DeviceEvent::Answered`].
    Request(Request),
    /// Ask for a sign of life.
    Ping,
    /// Tell the server that the session ends, and end it.
    Close,
    /// Forget everything but the log, without a word.
    PowerOff,
}

/// An event of a device.
#[derive(Debug, PartialEq, Eq)]
pub enum DeviceEvent {
    /// The handshake is done.
    Connected {
        /// The suite in use.
        suite: CipherSuite,
    },
    /// The login by plain CoAP is accepted.
    LoggedIn,
    /// The handshake or the login failed.
    ConnectFailed(ConnectFailure),
    /// A response by plain CoAP carries a command; what it answers follows.
    Carried {
        /// The path of the command's topic.
        path: Box<str>,
        /// The command, as the answer to a GET of this path would have it.
        command: Vec<u8>,
    },
    /// A report is stored, as the server says.
    Acknowledged {
        /// Its number.
        id: u64,
    },
    /// A report was answered with something other than success.
    ReportRefused {
        /// Its number.
        id: u64,
        /// The `code` in the reply, if there was one.
        code: Option<i64>,
        /// The answer.
        response: Response,
    },
    /// The server has issued the device's own secret.
    Activated(IssuedSecret),
    /// The request for the secret got another answer.
    ActivationRefused(Response),
    /// The answer to a request.
    Answered(Response),
    /// The answer to a ping.
    Pong,
    /// A request was not answered. The server may have acted on it all the same.
    Unanswered {
        /// What was asked.
        asked: Asked,
        /// Why there will be no answer.
        cause: FailureCause,
    },
    /// The server ended the session.
    Closed,
}

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectFailure {
    /// The last repetition of a flight stayed unanswered.
    Expired,
    /// The server refused it, or the device refused the server.
    Refused(ClientFailure),
    /// A login by plain CoAP was answered with this code.
    LoginRefused(Code),
}

/// What a device waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The acknowledgement of a report.
    Report(Report),
    /// Its own secret.
    Activation,
    /// Its login by plain CoAP.
    Login,
    /// Any other answer.
    Request,
    /// The answer to a ping.
    Ping,
}

/// Why a command could not be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is no session.
    #[error("the device is not connected")]
    NotConnected,
    /// The last ping was not answered yet.
    #[error("a ping is on its way already")]
    PingPending,
    /// The CoAP layer did not take the request.
    #[error("cannot send the request")]
    Request(#[from] RequestError),
}

/// See the module.
#[derive(Debug)]
pub struct Device {
    config: DeviceConfig,
    state: State,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<DeviceEvent>,
    acknowledged: Vec<AcknowledgedReport>,
}

#[derive(Debug)]
enum State {
    Off,
    Connecting(Box<ClientHandshake>),
    /// By plain CoAP it is that already while its login is under way.
    Connected(Box<Connection>),
}

impl Device {
    /// A device that is switched off: give it [`DeviceCommand::Connect`].
    pub const fn new(config: DeviceConfig) -> Self {
        Self {
            config,
            state: State::Off,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            acknowledged: Vec::new(),
        }
    }

    /// Takes one datagram of the server; it is decrypted in place.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &mut [u8], rng: &mut dyn Random) {
        match &mut self.state {
            State::Off => {}
            State::Connecting(handshake) => {
                // Ignored: what a client drops does not concern a simulation.
                let _ = handshake.handle_datagram(now, datagram, rng);
                self.drive_handshake(rng);
            }
            State::Connected(connection) => {
                connection.handle_datagram(now, datagram, &self.config);
                self.drive_connection(now, rng);
            }
        }
    }

    /// Carries out one command.
    ///
    /// # Errors
    /// Nothing has happened.
    pub fn handle_command(
        &mut self,
        now: Instant,
        command: DeviceCommand,
        rng: &mut dyn Random,
    ) -> Result<(), CommandError> {
        match command {
            DeviceCommand::Connect if self.config.sign.is_some() => {
                let connection = Connection::log_in(now, &self.config, rng)?;
                self.state = State::Connected(Box::new(connection));
                self.drive_connection(now, rng);
                return Ok(());
            }
            DeviceCommand::Connect => {
                let handshake = ClientHandshake::new(self.client_config(), now, rng);
                self.state = State::Connecting(Box::new(handshake));
                self.drive_handshake(rng);
                return Ok(());
            }
            DeviceCommand::PowerOff => {
                self.state = State::Off;
                self.transmits.clear();
                return Ok(());
            }
            _ => {}
        }
        if !self.is_connected() {
            return Err(CommandError::NotConnected);
        }
        let State::Connected(connection) = &mut self.state else { return Ok(()) };
        connection.handle_command(now, command, &self.config)?;
        self.drive_connection(now, rng);
        Ok(())
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut dyn Random) {
        match &mut self.state {
            State::Off => {}
            State::Connecting(handshake) => {
                handshake.handle_timeout(now);
                self.drive_handshake(rng);
            }
            State::Connected(connection) => {
                connection.handle_timeout(now, &self.config);
                self.drive_connection(now, rng);
            }
        }
    }

    /// When to call [`Device::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Off => None,
            State::Connecting(handshake) => handshake.poll_timeout(),
            State::Connected(connection) => connection.poll_timeout(),
        }
    }

    /// The next datagram for the server.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<DeviceEvent> {
        self.events.pop_front()
    }

    /// Whether there is a session, as far as the device knows.
    pub fn is_connected(&self) -> bool {
        matches!(&self.state, State::Connected(connection) if connection.is_ready())
    }

    /// Whether it talks to the port of plain CoAP.
    pub const fn is_plain(&self) -> bool {
        self.config.sign.is_some()
    }

    /// The path of the topic of a command that waits, as the last response said (option 2100; device
    /// protocol, section 6).
    pub fn command_waiting(&self) -> Option<&str> {
        match &self.state {
            State::Connected(connection) => connection.command_waiting(),
            State::Off | State::Connecting(_) => None,
        }
    }

    /// Who it is.
    pub const fn identity(&self) -> &Identity {
        &self.config.identity
    }

    /// The reports that the server has acknowledged, in this order.
    pub fn acknowledged(&self) -> &[AcknowledgedReport] {
        &self.acknowledged
    }

    fn client_config(&self) -> ClientConfig {
        let mut client =
            ClientConfig::new(self.config.identity.to_string().as_bytes(), self.config.psk.clone());
        client.suites.clone_from(&self.config.suites);
        client.retransmit_initial = self.config.retransmit_initial;
        client
    }

    /// Passes on the events of the handshake, which may be a session afterwards.
    fn drive_handshake(&mut self, rng: &mut dyn Random) {
        let State::Connecting(handshake) = &mut self.state else { return };
        let mut datagram = Vec::new();
        while handshake.poll_transmit(&mut datagram) {
            self.transmits.push_back(std::mem::take(&mut datagram));
        }
        match handshake.poll_event() {
            None => {}
            Some(ClientEvent::Established(session)) => {
                self.events.push_back(DeviceEvent::Connected { suite: session.suite() });
                self.state = State::Connected(Box::new(Connection::of(*session, rng)));
            }
            Some(ClientEvent::Failed(failure)) => self.connect_failed(ConnectFailure::Refused(failure)),
            Some(ClientEvent::Expired) => self.connect_failed(ConnectFailure::Expired),
        }
    }

    fn connect_failed(&mut self, failure: ConnectFailure) {
        self.state = State::Off;
        self.events.push_back(DeviceEvent::ConnectFailed(failure));
    }

    /// Passes on the events of the connection, which may be over afterwards.
    fn drive_connection(&mut self, now: Instant, rng: &mut dyn Random) {
        let State::Connected(connection) = &mut self.state else { return };
        connection.drain(now, &self.config, &mut self.events, &mut self.acknowledged);
        connection.seal(rng, &mut self.transmits);
        if connection.is_over() {
            self.state = State::Off;
        }
    }
}

/// A request under way.
type Pending = (RequestId, Asked);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        random::SeededRandom,
        world::{device_config, start},
    };

    #[test]
    fn a_device_that_is_not_connected_takes_no_questions() {
        let mut rng = SeededRandom::new(1);
        let mut device = Device::new(device_config("meter", b"secret"));
        let report = Report { id: 1, time_ms: None, points: "{}".into() };
        let questions = [DeviceCommand::Report(report), DeviceCommand::Ping, DeviceCommand::AskActivation];
        for question in questions {
            let refused = device.handle_command(start(), question, &mut rng);
            assert_eq!(refused, Err(CommandError::NotConnected));
        }
        assert_eq!((device.poll_transmit(), device.poll_timeout()), (None, None));
    }

    #[test]
    fn a_device_without_a_server_gives_up_after_its_repetitions_and_may_try_again() {
        let mut rng = SeededRandom::new(1);
        let mut device = Device::new(device_config("meter", b"secret"));
        for _ in 0..2 {
            device.handle_command(start(), DeviceCommand::Connect, &mut rng).expect("it can always try");
            let mut datagrams = 0;
            while let Some(now) = device.poll_timeout() {
                datagrams += std::iter::from_fn(|| device.poll_transmit()).count();
                device.handle_timeout(now, &mut rng);
            }
            assert_eq!(datagrams, 6, "the ClientHello and five repetitions");
            assert_eq!(device.poll_event(), Some(DeviceEvent::ConnectFailed(ConnectFailure::Expired)));
        }
    }

    #[test]
    fn a_device_that_is_switched_off_sends_nothing_more() {
        let mut rng = SeededRandom::new(1);
        let mut device = Device::new(device_config("meter", b"secret"));
        device.handle_command(start(), DeviceCommand::Connect, &mut rng).expect("it can always try");
        device
            .handle_command(start(), DeviceCommand::PowerOff, &mut rng)
            .expect("it can always be switched off");
        assert_eq!((device.poll_transmit(), device.poll_timeout()), (None, None));
        device.handle_datagram(start(), &mut [0; 50], &mut rng);
        assert_eq!(device.poll_event(), None);
    }
}
