//! A device's session: CoAP requests on their way, and what their answers mean.

use std::{collections::VecDeque, time::Instant};

use narrowgate_coap::{Budget, Code, Context, Endpoint, Event, RequestId, Response};
use narrowgate_dtls::{self as dtls, Opened, Random, Session};
use narrowgate_platform::device_api::{carried::COMMAND, commands::COMMAND_WAITING};

use super::{
    Asked, CommandError, ConnectFailure, DeviceCommand, DeviceConfig, DeviceEvent, Pending,
    message::{self, AcknowledgedReport},
    ping::{Ping, PingDue},
    upload::{self, Upload},
};

/// Pings are numbered half way round from where the endpoint's own messages begin.
const PING_MID_OFFSET: u16 = 1 << 15;
/// `code` of a reply that says that all went well.
const CODE_SUCCESS: i64 = 200;

#[derive(Debug)]
pub(super) struct Connection {
    channel: Channel,
    endpoint: Endpoint,
    budget: Budget,
    pending: Vec<Pending>,
    uploads: Vec<Upload>,
    ping: Option<Ping>,
    ping_mid: u16,
    /// Messages beside those of the endpoint.
    messages: Vec<Vec<u8>>,
    events: Vec<DeviceEvent>,
    /// What the last response said of a command that waits.
    command_waiting: Option<Box<str>>,
    end: Option<End>,
}

/// What carries its messages.
#[derive(Debug)]
enum Channel {
    Dtls(Box<Session>),
    Plain {
        /// Its login is accepted.
        is_accepted: bool,
    },
}

/// Who ended the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    ByUs,
    ByServer,
}

impl Connection {
    /// By DTLS, after a handshake.
    pub(super) fn of(session: Session, rng: &mut dyn Random) -> Self {
        Self::new(Channel::Dtls(Box::new(session)), rng)
    }

    /// By plain CoAP: the login is under way.
    pub(super) fn log_in(
        now: Instant,
        config: &DeviceConfig,
        rng: &mut dyn Random,
    ) -> Result<Self, CommandError> {
        let mut connection = Self::new(Channel::Plain { is_accepted: false }, rng);
        let request = message::login_request(config, config.sign.as_deref().unwrap_or_default());
        let mut context = Context { now, params: &config.coap, budget: &mut connection.budget };
        let id = connection.endpoint.request(&mut context, request)?;
        connection.pending.push((id, Asked::Login));
        Ok(connection)
    }

    fn new(channel: Channel, rng: &mut dyn Random) -> Self {
        let mut mid = [0; 2];
        rng.fill(&mut mid);
        let mid = u16::from_be_bytes(mid);
        let first_token = match &channel {
            Channel::Dtls(_) => 0,
            Channel::Plain { .. } => {
                let mut token = [0; 4];
                rng.fill(&mut token);
                u32::from_be_bytes(token)
            }
        };
        Self {
            channel,
            endpoint: Endpoint::counting_from(mid, first_token),
            budget: Budget::new(usize::MAX),
            pending: Vec::new(),
            uploads: Vec::new(),
            ping: None,
            ping_mid: mid.wrapping_add(PING_MID_OFFSET),
            messages: Vec::new(),
            events: Vec::new(),
            command_waiting: None,
            end: None,
        }
    }

    /// Whether it may be asked something.
    pub(super) fn is_ready(&self) -> bool {
        !matches!(self.channel, Channel::Plain { is_accepted: false })
    }

    pub(super) fn handle_datagram(&mut self, now: Instant, datagram: &mut [u8], config: &DeviceConfig) {
        if matches!(self.channel, Channel::Plain { .. }) {
            let Self { endpoint, budget, ping, events, .. } = self;
            return take_message((now, config), datagram, (endpoint, budget), (ping, events));
        }
        let mut rest = datagram;
        while let Some((record, tail)) = dtls::split_record(rest) {
            rest = tail;
            let Channel::Dtls(session) = &mut self.channel else { return };
            match session.open(record) {
                Ok(Opened::Application(message)) => {
                    let Self { endpoint, budget, ping, events, .. } = self;
                    take_message((now, config), message, (endpoint, budget), (ping, events));
                }
                Ok(Opened::CloseNotify | Opened::FatalAlert(_) | Opened::TooManyWarnings) => {
                    return self.close();
                }
                // Ignored: a record that does not verify, and everything else that means nothing to a device.
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// The server has ended it.
    fn close(&mut self) {
        self.end = Some(End::ByServer);
        self.events.push(DeviceEvent::Closed);
    }

    pub(super) fn handle_command(
        &mut self,
        now: Instant,
        command: DeviceCommand,
        config: &DeviceConfig,
    ) -> Result<(), CommandError> {
        let (request, asked) = match command {
            DeviceCommand::Report(report) => (report.request(config), Asked::Report(report)),
            DeviceCommand::AskActivation => (message::activation_request(config), Asked::Activation),
            DeviceCommand::Request(request) => (request, Asked::Request),
            DeviceCommand::Ping => return self.begin_ping(now, config),
            DeviceCommand::Close => {
                self.end = Some(End::ByUs);
                return Ok(());
            }
            // Those two need no session, so the device handles them itself.
            DeviceCommand::Connect | DeviceCommand::PowerOff => return Ok(()),
        };
        let mut context = Context { now, params: &config.coap, budget: &mut self.budget };
        let id = match upload::first(&request) {
            None => self.endpoint.request(&mut context, request)?,
            Some(first) => {
                let id = self.endpoint.request(&mut context, first)?;
                self.uploads.push(Upload::new(request, id));
                id
            }
        };
        self.pending.push((id, asked));
        Ok(())
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, config: &DeviceConfig) {
        let mut context = Context { now, params: &config.coap, budget: &mut self.budget };
        self.endpoint.handle_timeout(&mut context);
        let Some(ping) = &mut self.ping else { return };
        match ping.handle_timeout(now, &config.coap) {
            PingDue::Nothing => {}
            PingDue::SendAgain => self.messages.push(ping.message()),
            PingDue::GiveUp => {
                self.ping = None;
                let cause = narrowgate_coap::FailureCause::TimedOut;
                self.events.push(DeviceEvent::Unanswered { asked: Asked::Ping, cause });
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout().into_iter().chain(self.ping.as_ref().map(Ping::due)).min()
    }

    /// Moves events to `events`, and acknowledged reports to the log.
    pub(super) fn drain(
        &mut self,
        now: Instant,
        config: &DeviceConfig,
        events: &mut VecDeque<DeviceEvent>,
        acknowledged: &mut Vec<AcknowledgedReport>,
    ) {
        events.extend(self.events.drain(..));
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Response { id, response, .. } => {
                    events.extend(self.note_command(&response));
                    if self.goes_on(now, config, id, &response) {
                        continue;
                    }
                    let Some(asked) = self.take_pending(id) else { continue };
                    let is_over = self.note_login(&asked, &response);
                    events.push_back(answered(now, asked, response, config, acknowledged));
                    if is_over {
                        self.close();
                    }
                }
                Event::RequestFailed { id, cause } => {
                    self.uploads.retain(|upload| !upload.waits_for(id));
                    let Some(asked) = self.take_pending(id) else { continue };
                    events.push_back(if asked == Asked::Login {
                        self.end = Some(End::ByUs);
                        DeviceEvent::ConnectFailed(ConnectFailure::Expired)
                    } else {
                        DeviceEvent::Unanswered { asked, cause }
                    });
                }
                // A device serves nothing; other events are only about duplicates and stray messages.
                _ => {}
            }
        }
        events.extend(self.events.drain(..));
    }

    /// Takes from a response what it says of a command; returns the command that it carries.
    fn note_command(&mut self, response: &Response) -> Option<DeviceEvent> {
        let named = response.options.find(COMMAND_WAITING);
        let path: Option<Box<str>> = named.map(|path| String::from_utf8_lossy(path).into());
        match (path, response.options.find(COMMAND)) {
            (Some(path), Some(command)) if matches!(self.channel, Channel::Plain { .. }) => {
                self.command_waiting = None;
                Some(DeviceEvent::Carried { path, command: command.to_vec() })
            }
            (path, _) => {
                self.command_waiting = path;
                None
            }
        }
    }

    /// What an answer says of a login by plain CoAP; returns whether it says that the login is over.
    fn note_login(&mut self, asked: &Asked, response: &Response) -> bool {
        let Channel::Plain { is_accepted } = &mut self.channel else { return false };
        if *asked != Asked::Login {
            return response.code == Code::UNAUTHORIZED;
        }
        *is_accepted = response.code == Code::CHANGED;
        if !*is_accepted {
            self.end = Some(End::ByUs);
        }
        false
    }

    /// Seals everything that waits, one datagram for each message.
    pub(super) fn seal(&mut self, rng: &mut dyn Random, datagrams: &mut VecDeque<Vec<u8>>) {
        let mut message = Vec::new();
        loop {
            match self.messages.pop() {
                Some(waiting) => message = waiting,
                None if self.endpoint.poll_transmit(&mut message) => {}
                None => break,
            }
            let mut datagram = Vec::with_capacity(message.len() + 64);
            match &mut self.channel {
                // A message that does not fit a record is treated as lost: its request fails by its timer.
                Channel::Dtls(session) => {
                    if session.seal(&message, rng, &mut datagram).is_err() {
                        continue;
                    }
                }
                Channel::Plain { .. } => datagram.extend_from_slice(&message),
            }
            datagrams.push_back(datagram);
        }
        // Plain CoAP has no words for an end.
        if let (Some(_), Channel::Dtls(session)) = (self.end, &mut self.channel) {
            // RFC 5246 7.2.1: a close_notify is answered by one.
            let mut datagram = Vec::new();
            session.seal_close_notify(rng, &mut datagram);
            datagrams.push_back(datagram);
        }
    }

    pub(super) fn command_waiting(&self) -> Option<&str> {
        self.command_waiting.as_deref()
    }

    pub(super) const fn is_over(&self) -> bool {
        self.end.is_some()
    }

    fn begin_ping(&mut self, now: Instant, config: &DeviceConfig) -> Result<(), CommandError> {
        if self.ping.is_some() {
            return Err(CommandError::PingPending);
        }
        let ping = Ping::new(now, self.ping_mid, &config.coap);
        self.ping_mid = self.ping_mid.wrapping_add(1);
        self.messages.push(ping.message());
        self.ping = Some(ping);
        Ok(())
    }

    /// Sends the next block of a body, where the answer was to a block.
    fn goes_on(&mut self, now: Instant, config: &DeviceConfig, id: RequestId, response: &Response) -> bool {
        let Some(index) = self.uploads.iter().position(|upload| upload.waits_for(id)) else { return false };
        let mut context = Context { now, params: &config.coap, budget: &mut self.budget };
        let next = self.uploads[index].next(response);
        let sent = next.and_then(|next| self.endpoint.request(&mut context, next).ok());
        let pending = self.pending.iter_mut().find(|(other, _)| *other == id);
        let (Some(sent), Some(pending)) = (sent, pending) else {
            self.uploads.swap_remove(index);
            return false;
        };
        self.uploads[index].went_on(sent);
        pending.0 = sent;
        true
    }

    fn take_pending(&mut self, id: RequestId) -> Option<Asked> {
        let index = self.pending.iter().position(|(other, _)| *other == id)?;
        Some(self.pending.swap_remove(index).1)
    }
}

fn take_message(
    (now, config): (Instant, &DeviceConfig),
    message: &[u8],
    (endpoint, budget): (&mut Endpoint, &mut Budget),
    (ping, events): (&mut Option<Ping>, &mut Vec<DeviceEvent>),
) {
    if ping.as_ref().is_some_and(|ping| ping.is_answered_by(message)) {
        *ping = None;
        events.push(DeviceEvent::Pong);
    } else {
        endpoint.handle_message(&mut Context { now, params: &config.coap, budget }, message);
    }
}

fn answered(
    now: Instant,
    asked: Asked,
    response: Response,
    config: &DeviceConfig,
    acknowledged: &mut Vec<AcknowledgedReport>,
) -> DeviceEvent {
    match asked {
        Asked::Report(report) => match report.reply_code(&response) {
            Some(CODE_SUCCESS) => {
                let id = report.id;
                acknowledged.push(AcknowledgedReport { report, at: now });
                DeviceEvent::Acknowledged { id }
            }
            code => DeviceEvent::ReportRefused { id: report.id, code, response },
        },
        Asked::Activation => match message::issued_secret(&config.identity, &response) {
            Some(secret) => DeviceEvent::Activated(secret),
            None => DeviceEvent::ActivationRefused(response),
        },
        Asked::Login if response.code == Code::CHANGED => DeviceEvent::LoggedIn,
        Asked::Login => DeviceEvent::ConnectFailed(ConnectFailure::LoginRefused(response.code)),
        Asked::Request | Asked::Ping => DeviceEvent::Answered(response),
    }
}
