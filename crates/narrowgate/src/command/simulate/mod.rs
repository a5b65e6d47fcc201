//! `device simulate`: one device, over a real socket, against any server. The device itself is that of the
//! simulation ([`narrowgate_sim::device`]); here are its socket, its clock, and what it is told to do.
//!
//! It ends after its reports, on SIGINT and SIGTERM (with a close_notify), when nobody reads what it prints,
//! and when it gets no session. Exit code 0: all was acknowledged; with a fault: the server did what it has
//! to do with that.

mod fault;
mod life;
mod line;

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use narrowgate_api::device::NamedDevice;
use narrowgate_dtls::Random;
use narrowgate_platform::{
    model::thing_model::is_identifier,
    ports::{Clock as _, Entropy as _},
};
use narrowgate_sim::{
    device::{Device, DeviceCommand, DeviceConfig, Identity, SecureMode},
    key::key_of,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use tokio::net::UdpSocket;

use self::{
    fault::Right,
    life::{Act, Life, Plan},
    line::Line,
};
use super::secret_argument::secret;
use crate::{
    cli::{Fault, SimulateArgs},
    client::{Access, Call},
    config::Config,
    failure::Failure,
    output,
    serve::signals::{Hangup, Signals},
    system::{SystemClock, SystemEntropy},
};

/// Stands for the number of a report in its points. (Of `{n}` in a help text clap makes a line break.)
const NUMBER: &str = "{number}";
/// Longest datagram that is received.
const DATAGRAM_BYTES_MAX: usize = 4096;
/// So long a wait ends by itself, and the next one begins.
const WAIT_MAX: Duration = Duration::from_secs(3600);

pub(super) fn run(arguments: &SimulateArgs, config: &Config) -> Result<(), Failure> {
    let keys = keys(arguments, config)?;
    let (plan, config) = prepare(arguments, keys)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| cannot_start(&error))?;
    runtime.block_on(async {
        let (socket, address) = connect(&arguments.server).await?;
        Run::new(arguments, plan, config, (socket, address))?.live().await
    })
}

/// What the arguments say, checked.
fn prepare(
    arguments: &SimulateArgs,
    (product_key, device_key): (String, String),
) -> Result<(Plan, DeviceConfig), Failure> {
    let object = |text: &str, option: &str| match serde_json::from_str::<Map<String, Value>>(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(Failure::usage(format_args!("{option} is not a JSON object")).reason(error).hint(
            match option {
                "--points" => "put it into single quotes: --points '{\"temp\":30.5}'",
                "--attributes" => "put it into single quotes: --attributes '{\"place\":\"cellar\"}'",
                _ => "put it into single quotes: --event 'alarm={\"level\":3}'",
            },
        )),
    };
    object(&arguments.points.replace(NUMBER, "1"), "--points")?;
    let event = arguments.event.as_deref().map(|event| {
        let parts = event.split_once('=').map(|(id, json)| (id.to_owned(), json));
        let parts = parts.filter(|(id, _)| is_identifier(id));
        let (id, json) = parts.ok_or_else(|| {
            Failure::usage("--event is not ID=JSON")
                .reason("an ID is 1 to 128 of letters, digits, _ . and -")
                .hint("for example --event 'alarm={\"level\":3}'")
        })?;
        Ok::<_, Failure>((id, object(json, "--event")?))
    });
    let given = secret(Some(arguments.secret.clone()), "--secret")?;
    let given = given.map(narrowgate_api::secret::SecretText::into_text).unwrap_or_default();
    if given.is_empty() {
        return Err(Failure::usage("--secret is empty").hint("narrowgate device secret shows it"));
    }
    let proven = arguments.fault.map_or(given.clone(), |fault| fault.secret(&given));
    let encoded = |key: &str| utf8_percent_encode(key, NON_ALPHANUMERIC).to_string();
    let plan = Plan {
        base: format!("/topic/sys/{}/{}", encoded(&product_key), encoded(&device_key)),
        activates: arguments.mode == 3,
        interval: Duration::from_secs(arguments.interval.into()),
        count: arguments.count(),
        points: arguments.points.clone(),
        attributes: arguments.attributes.as_deref().map(|json| object(json, "--attributes")).transpose()?,
        event: event.transpose()?,
        content_format: arguments.format.content_format(),
        reply: arguments.reply,
        updates: arguments.update,
        firmware: arguments.firmware.clone(),
        fault: arguments.fault,
    };
    let mode = if plan.activates { SecureMode::Product } else { SecureMode::Device };
    let lifetime_s = arguments.lifetime;
    let identity = Identity { product_key, device_key, mode, lifetime_s };
    let mut config = DeviceConfig::new(identity, key_of(proven.as_bytes()));
    config.content_format = plan.content_format;
    if let Some(fault) = arguments.fault {
        fault.spoil_handshake(&mut config);
    }
    Ok((plan, config))
}

/// Both keys. Where the device's alone is given, the data directory says which product is meant: a server
/// elsewhere cannot be asked.
fn keys(arguments: &SimulateArgs, config: &Config) -> Result<(String, String), Failure> {
    let keys = match &arguments.device.second {
        Some(device) => Some((arguments.device.first.as_str(), device.as_str())),
        None => arguments.device.first.split_once('/'),
    };
    let both = match keys {
        Some((product, device)) => (product.to_owned(), device.to_owned()),
        None => found(&arguments.device.first, config)?,
    };
    if both.0.is_empty() || both.1.is_empty() {
        return Err(Failure::usage("a key is empty").hint("name the device as PK/DK"));
    }
    Ok(both)
}

/// Both keys of a device of this data directory.
fn found(name: &str, config: &Config) -> Result<(String, String), Failure> {
    let device = NamedDevice::by_name(name);
    let found = Access::open(config).and_then(|access| access.call_once(Call::find_device(&device)));
    let row = found.map_err(|failure| {
        failure.hint(format_args!(
            "where the device is not of this data directory, name its product too: narrowgate device \
             simulate PK/{name}"
        ))
    })?;
    Ok((row.product_key().unwrap_or_default().to_owned(), row.device_key().to_owned()))
}

fn cannot_start(error: &io::Error) -> Failure {
    Failure::failed("cannot start the device").because(error, "try again")
}

/// A socket for datagrams of the server alone.
async fn connect(server: &str) -> Result<(UdpSocket, SocketAddr), Failure> {
    let failed = |error: io::Error| {
        Failure::failed(format_args!("cannot reach {server}"))
            .reason(error)
            .hint("--server is an address or a name, and a port: 192.0.2.7:5684")
    };
    let address = tokio::net::lookup_host(server).await.map_err(failed)?.next();
    let address = address.ok_or_else(|| failed(io::Error::other("the name has no address")))?;
    let own: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(own).await.map_err(failed)?;
    socket.connect(address).await.map_err(failed)?;
    Ok((socket, address))
}

/// The kernel's randomness, for the device.
struct KernelRandom;

impl Random for KernelRandom {
    fn fill(&mut self, out: &mut [u8]) {
        SystemEntropy.fill(out);
    }
}

/// A device that lives.
struct Run {
    server: String,
    address: SocketAddr,
    socket: UdpSocket,
    config: DeviceConfig,
    device: Device,
    life: Life,
    fault: Option<Fault>,
    loss_percent: u32,
    /// With [`Fault::Duplicate`]: the next answer is lost.
    loses_answer: bool,
    signals: Signals,
}

impl Run {
    fn new(
        arguments: &SimulateArgs,
        plan: Plan,
        config: DeviceConfig,
        (socket, address): (UdpSocket, SocketAddr),
    ) -> Result<Self, Failure> {
        Ok(Self {
            server: arguments.server.clone(),
            address,
            socket,
            device: Device::new(config.clone()),
            config,
            life: Life::new(plan, Instant::now()),
            fault: arguments.fault,
            loss_percent: arguments.loss,
            loses_answer: false,
            signals: Signals::catch(Hangup::Ends)?,
        })
    }

    async fn live(mut self) -> Result<(), Failure> {
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        loop {
            let has_reader = self.drain().await?;
            if !has_reader {
                return Ok(());
            }
            if self.life.is_over() {
                return self.end();
            }
            let due = self.device.poll_timeout().into_iter().chain(self.life.poll_timeout()).min();
            let due = due.unwrap_or_else(|| Instant::now() + WAIT_MAX);
            tokio::select! {
                received = self.socket.recv(&mut buffer) => match received {
                    Ok(bytes) => {
                        if !self.take(&mut buffer[..bytes])? {
                            return Ok(());
                        }
                    }
                    Err(error) => {
                        if !self.excuse(&error)? {
                            return Ok(());
                        }
                    }
                },
                () = tokio::time::sleep_until(due.into()) => {
                    let now = Instant::now();
                    self.device.handle_timeout(now, &mut KernelRandom);
                    self.life.handle_timeout(now);
                }
                _ = self.signals.next() => self.life.stop(),
            }
        }
    }

    /// Does and sends all that is to be done and sent; `false`: nobody reads what is printed.
    async fn drain(&mut self) -> Result<bool, Failure> {
        loop {
            while let Some(event) = self.device.poll_event() {
                self.life.handle_event(Instant::now(), event);
            }
            while let Some(line) = self.life.poll_line() {
                if !print(&line)? {
                    return Ok(false);
                }
            }
            let Some(act) = self.life.poll_act() else { break };
            if !self.act(act)? {
                return Ok(false);
            }
            if !self.send().await? {
                return Ok(false);
            }
        }
        self.send().await
    }

    fn act(&mut self, act: Act) -> Result<bool, Failure> {
        let command = match act {
            Act::Command(command) => command,
            Act::Become(secret) => {
                self.config.identity.mode = SecureMode::Device;
                self.config.psk = key_of(secret.as_bytes());
                self.device = Device::new(self.config.clone());
                DeviceCommand::Connect
            }
        };
        if matches!(command, DeviceCommand::Connect) {
            let (server, identity) = (self.server.clone(), self.config.identity.to_string());
            if !print(&Line::Connecting { server, address: self.address, identity })? {
                return Ok(false);
            }
        }
        self.loses_answer =
            self.fault == Some(Fault::Duplicate) && matches!(command, DeviceCommand::Request(_));
        let done = self.device.handle_command(Instant::now(), command, &mut KernelRandom);
        done.map_err(|error| Failure::failed("cannot send the request").reason(error)).map(|()| true)
    }

    /// Sends what waits.
    async fn send(&mut self) -> Result<bool, Failure> {
        let times = if self.fault == Some(Fault::Replay) { 2 } else { 1 };
        while let Some(datagram) = self.device.poll_transmit() {
            if self.is_lost() {
                if !print(&Line::Lost { direction: "out", bytes: datagram.len() })? {
                    return Ok(false);
                }
                continue;
            }
            for _ in 0..times {
                if let Err(error) = self.socket.send(&datagram).await
                    && !self.excuse(&error)?
                {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Takes a datagram of the server.
    fn take(&mut self, datagram: &mut [u8]) -> Result<bool, Failure> {
        if self.is_lost() || std::mem::take(&mut self.loses_answer) {
            return print(&Line::Lost { direction: "in", bytes: datagram.len() });
        }
        self.life.hear();
        self.device.handle_datagram(Instant::now(), datagram, &mut KernelRandom);
        Ok(true)
    }

    fn is_lost(&self) -> bool {
        let mut byte = [0; 4];
        SystemEntropy.fill(&mut byte);
        u64::from(u32::from_ne_bytes(byte)) * 100 < u64::from(self.loss_percent) << 32
    }

    /// Nobody listens there (yet): the device repeats what it sent, as with any other loss.
    fn excuse(&self, error: &io::Error) -> Result<bool, Failure> {
        match error.kind() {
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => print(&Line::Unreachable),
            _ => Err(Failure::failed("cannot exchange datagrams with the server").reason(error)),
        }
    }

    fn end(&self) -> Result<(), Failure> {
        let silent = "the server says nothing to such a handshake, on purpose; narrowgate refused says why";
        let verdict = self.life.verdict();
        if verdict.is_ok() && self.fault.is_some_and(|fault| fault.right() == Right::Silence) {
            output::note(silent);
        }
        verdict.map_err(|reason| {
            Failure::failed("the device did not get on with the server")
                .reason(reason)
                .hint("narrowgate refused and narrowgate device log, beside the server, say what it refused")
        })
    }
}

/// `false`: nobody reads.
fn print(line: &Line) -> Result<bool, Failure> {
    output::stream_line(&line.text(SystemClock.now().0))
}
