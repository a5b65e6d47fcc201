//! What really happened, beside what the server believes; and the comparison of the two.

pub mod commands;
mod duties;
mod plain;
mod presence;
mod records;
#[cfg(test)]
mod tests;
mod traits;

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use narrowgate_coap::Request;
use narrowgate_engine::event::{HandshakeId, SessionId, ShardEvent, Ticket};
use narrowgate_platform::{
    ids::{DeviceId, LoginNumber, UnixMillis},
    model::message::{Message, MessageKind, read_event},
    ports::{Write, Written},
};

use self::{commands::Commands, traits::Traits};
use super::{Totals, agent::duties::EVENTS};

/// A device that is switched off loses its session within this time.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);
/// The sessions of a product that is switched off end within this time, where the store cannot always read
/// the product.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// How long a change of presence may wait for a store that is slow or fails.
const STORED_WITHIN: Duration = Duration::from_secs(180);
/// What an event needs from a shard to the gateway.
const STEP: Duration = Duration::from_millis(5);
/// Signs of life that are kept of each device: a change of presence may wait long for the store.
const HEARD_MAX: usize = 256;

/// The reports of a device's twin are numbered from here on.
pub const TWINS_REPORTS: u64 = 1 << 32;

/// A broken promise: whose, and what.
#[derive(Debug)]
pub struct Violation {
    /// Which device, where it is one's.
    pub device: Option<u32>,
    /// What is wrong.
    pub what: String,
}

type Checked = Result<(), Violation>;

fn broken(device: u32, what: impl Into<String>) -> Checked {
    Err(Violation { device: Some(device), what: what.into() })
}

#[derive(Debug, Default)]
struct Known {
    number: u32,
    /// When it was heard, the newest last.
    heard: VecDeque<Instant>,
    lifetime: Duration,
    secrets: HashSet<String>,
    /// The tag of the secret that is valid; `None` while an operator replaces it.
    valid: Option<u32>,
    /// What a login by plain CoAP with that secret says, and the logins that are durable since it is valid.
    plain: plain::Valid,
}

/// What a handshake or a login claims: which device, whether by its own secret, and the tag of a sign.
type Claim = (u32, bool, Option<u32>);

/// A session that the shards have told of.
#[derive(Debug)]
struct Standing {
    number: u32,
    begun: Instant,
    peer: SocketAddr,
    /// By the device's own secret, not by its product's.
    is_login: bool,
    /// The login that it is, once the gateway has taken it up.
    login: Option<LoginNumber>,
    /// By plain CoAP.
    is_plain: bool,
    /// The tag of its sign, of one by plain CoAP.
    sign: Option<u32>,
    /// When it was heard last.
    heard: Instant,
    /// Since when it must end: a newer login is durable, or its secret was replaced.
    superseded: Option<Instant>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: HashSet<(u32, u64)>,
    /// How often each report was stored.
    stored: BTreeMap<(u32, u64), u32>,
    devices: HashMap<DeviceId, Known>,
    ids: HashMap<u32, DeviceId>,
    handshakes: HashMap<HandshakeId, Claim>,
    /// Logins by plain CoAP that wait for their answer.
    logins: HashSet<Ticket>,
    /// Logins by plain CoAP that were taken up.
    plain_logins: HashMap<LoginNumber, SocketAddr>,
    /// Crashes so far.
    crashes: u64,
    /// After how many of them, and from where, each report by plain CoAP was stored.
    plainly_stored: HashMap<(u32, u64), (u64, SocketAddr, Option<LoginNumber>)>,
    /// Stored answers have little room: by plain CoAP, a login may leave nothing to the next one.
    has_little_room: bool,
    sessions: HashMap<SessionId, Standing>,
    /// The sessions of each device, in the order in which they began.
    of_device: HashMap<u32, Vec<SessionId>>,
    /// Since when a device is switched off.
    off_since: HashMap<u32, Instant>,
    /// Since when a device's product is switched off.
    product_off_since: HashMap<u32, Instant>,
    /// Highest record number that was sent in the session at this address.
    numbers: HashMap<SocketAddr, u64>,
    /// Addresses whose session is new in this step: two sessions may send there.
    fresh: HashSet<SocketAddr>,
    /// Records that a server has taken, of the address that they came from.
    accepted: HashSet<(SocketAddr, Vec<u8>)>,
    /// The report of each device that makes its latest value: its number, its time and its arrival.
    latest: HashMap<u32, (u64, UnixMillis, UnixMillis)>,
    /// When servers started: from then on devices that were online have some more time.
    restarts: HashSet<Instant>,
    devices_max: u32,
    /// Commands.
    pub commands: Commands,
    /// Attributes and tags.
    traits: Traits,
    /// Counts.
    pub totals: Totals,
}

/// Reads `device-17`.
fn number_of(identity: &[u8]) -> Option<(u32, bool)> {
    let text = std::str::from_utf8(identity).ok()?;
    let mut fields = text.split(',');
    let number = fields.nth(1)?.strip_prefix("device-")?.parse().ok()?;
    Some((number, fields.next()? == "2"))
}

/// Reads `{"d":17,"n":4711,"s":99}`: the device, the report, and the tag of the secret that it has.
fn report_of(points: &str) -> Option<((u32, u64), u32)> {
    let (device, rest) = points.strip_prefix(r#"{"d":"#)?.split_once(r#","n":"#)?;
    let (report, rest) = rest.split_once(r#","s":"#)?;
    let tag = rest.strip_suffix('}')?.parse().ok()?;
    Some(((device.parse().ok()?, report.parse().ok()?), tag))
}

/// A short name of a secret, by which a report says of which session it is (FNV-1a).
pub fn tag_of(secret: &str) -> u32 {
    secret.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl Ledger {
    /// The ledger of a fleet of so many devices; `has_little_room`: stored answers are limited to some
    /// kilobytes.
    pub fn new(devices_max: u32, has_little_room: bool) -> Self {
        Self { devices_max, has_little_room, ..Self::default() }
    }

    /// A device is registered, with this secret.
    pub fn register(&mut self, number: u32, device: DeviceId, lifetime_s: u32, secret: &str) {
        let lifetime = Duration::from_secs(lifetime_s.into());
        let valid = Some(tag_of(secret));
        let mut plain = plain::Valid::default();
        plain.renew(Some(secret));
        self.devices.insert(device, Known { number, lifetime, valid, plain, ..Known::default() });
        self.ids.insert(number, device);
    }

    /// Its id in the store.
    pub fn id_of(&self, number: u32) -> DeviceId {
        self.ids[&number]
    }

    /// It is about to send a report.
    pub fn sent(&mut self, number: u32, report: u64) {
        self.sent.insert((number, report));
        self.totals.sent += 1;
    }

    /// A report was acknowledged: it must be stored by now, once.
    pub fn acknowledged(&mut self, number: u32, report: u64) -> Checked {
        self.totals.acknowledged += 1;
        match self.stored.get(&(number, report)) {
            Some(1) => Ok(()),
            other => broken(
                number,
                format!("report {report} was acknowledged and is stored {} times", other.unwrap_or(&0)),
            ),
        }
    }

    /// A device has received a secret: the store must have issued it.
    pub fn received(&mut self, number: u32, secret: &str) -> Checked {
        self.totals.secrets += 1;
        if self.devices[&self.ids[&number]].secrets.contains(secret) {
            Ok(())
        } else {
            broken(number, "it received a secret that the store does not know")
        }
    }

    /// The store has issued a secret.
    pub fn issued(&mut self, device: DeviceId, secret: &str) {
        if let Some(known) = self.devices.get_mut(&device) {
            known.secrets.insert(secret.to_owned());
            known.valid = Some(tag_of(secret));
            known.plain.renew(Some(secret));
        }
    }

    /// An operator replaces the secret of a device; `None`: from now on, and with which one is said next.
    /// Every session of the device must end.
    pub fn replaced(&mut self, number: u32, secret: Option<&str>, now: Instant) {
        if let Some(known) = self.ids.get(&number).and_then(|id| self.devices.get_mut(id)) {
            known.valid = secret.map(tag_of);
            known.plain.renew(secret);
        }
        self.supersede(number, now, |_| true);
    }

    /// Of the sessions of a device, those that are meant must end.
    fn supersede(&mut self, number: u32, now: Instant, is_meant: impl Fn(&Standing) -> bool) {
        for session in self.of_device.get(&number).into_iter().flatten() {
            if let Some(standing) = self.sessions.get_mut(session).filter(|standing| is_meant(standing)) {
                standing.superseded.get_or_insert(now);
            }
        }
    }

    /// The gateway has taken up a login: that of the newest session of this peer. Once the login is durable,
    /// the peer says no more which session it was: the device may have logged in anew from there meanwhile.
    pub fn taken_up(&mut self, device: DeviceId, login: LoginNumber, peer: &str) {
        let Some(known) = self.devices.get(&device) else { return };
        for session in self.of_device.get(&known.number).into_iter().flatten().rev() {
            if let Some(standing) = self.sessions.get_mut(session)
                && standing.is_login
                && standing.peer.to_string() == peer
            {
                standing.login.get_or_insert(login);
                if standing.is_plain {
                    self.plain_logins.insert(login, standing.peer);
                }
                return;
            }
        }
    }

    /// A login is durable: the sessions of all that were taken up before it must end, whether its own stands
    /// or not, and those that were never taken up.
    fn logged_in(&mut self, device: DeviceId, login: LoginNumber, now: Instant) {
        let Some(number) = self.devices.get(&device).map(|known| known.number) else { return };
        let is_older = |other: LoginNumber| other < login;
        self.supersede(number, now, |other| other.is_login && other.login.is_none_or(is_older));
    }

    /// The store refused a batch.
    pub fn refused(&mut self) {
        self.totals.refused_batches += 1;
    }

    /// A write is durable.
    pub fn applied(&mut self, write: &Write, outcome: Written, now: Instant) -> Checked {
        match (write, outcome) {
            (Write::Message(message), Written::Done) => self.stored(message),
            (Write::Command(step), outcome) => {
                let number = self.number_of(step.device);
                self.commands.moved(number, step, outcome, now)
            }
            (Write::Properties(write), outcome) => {
                let number = self.number_of(write.device);
                self.traits.written(number, &write.edit, outcome)
            }
            (Write::Login { device, number, .. }, Written::Done | Written::Activated) => {
                self.logged_in(*device, *number, now);
                self.plainly_logged_in(*device, *number)
            }
            _ => Ok(()),
        }
    }

    fn stored(&mut self, message: &Message) -> Checked {
        self.totals.stored += 1;
        let known = self.devices.get(&message.device);
        let (number, valid) = known.map_or((0, None), |known| (known.number, known.valid));
        let is_event = message.kind == MessageKind::Event;
        let output = is_event.then(|| read_event(&message.points_json)).flatten();
        let points = output.as_ref().map_or(&*message.points_json, |(_, output)| output.get());
        let read = report_of(points).filter(|((_, report), _)| (*report >= EVENTS) == is_event);
        let Some((report, tag)) = read else {
            return broken(number, format!("something is stored that nobody sent: {}", message.points_json));
        };
        if report.0 != number || !self.sent.contains(&report) {
            return broken(number, format!("report {report:?} is stored as its own, and it never sent it"));
        }
        // Nothing in a message by plain CoAP says to which login it belongs: a late one is taken for one of
        // the login that the device has by now.
        let from = message.login.and_then(|login| self.plain_logins.get(&login).copied());
        let is_right = match (from, known) {
            (Some(_), Some(known)) => message.login.is_some_and(|login| known.plain.has(login)),
            _ => valid == Some(tag),
        };
        if !is_right {
            return broken(number, format!("report {} is stored, and its secret was replaced", report.1));
        }
        // A report with a time of its own may arrive late.
        let is_timed = message.time != message.arrival;
        let before = self.latest.get(&number).filter(|_| is_timed);
        if !is_event && before.is_none_or(|(_, time, _)| *time <= message.time) {
            self.latest.insert(number, (report.1, message.time, message.arrival));
        }
        if let Some(from) = from
            && self.may_be_stored_again(report, from, message.login)
        {
            self.totals.stored_again += 1;
            return Ok(());
        }
        let count = self.stored.entry(report).or_insert(0);
        *count += 1;
        if *count > 1 {
            return broken(number, format!("report {} is stored twice", report.1));
        }
        Ok(())
    }

    /// Follows what a shard tells the gateway.
    pub fn event(&mut self, event: &ShardEvent, now: Instant) -> Checked {
        match event {
            ShardEvent::PskWanted { handshake, identity, .. } => {
                if let Some((number, is_login)) = number_of(identity) {
                    self.handshakes.insert(*handshake, (number, is_login, None));
                }
            }
            ShardEvent::HandshakeEnded { handshake } => {
                self.handshakes.remove(handshake);
            }
            ShardEvent::Connected { handshake, session, peer, .. } => {
                self.numbers.remove(peer);
                self.fresh.insert(*peer);
                self.begun(*handshake, *session, *peer, (now, false));
            }
            ShardEvent::LoginWanted { handshake, request, .. } => {
                if let Some(claim) = plain::claimed(request) {
                    self.handshakes.insert(*handshake, claim);
                }
            }
            ShardEvent::LoggedIn { handshake, ticket, peer, .. } => {
                self.logins.insert(*ticket);
                self.begun(*handshake, ticket.session, *peer, (now, true));
            }
            ShardEvent::Request { ticket, request } => return self.requested(now, *ticket, request),
            ShardEvent::Heard { session } => {
                if let Some(standing) = self.sessions.get_mut(session).filter(|standing| standing.is_login) {
                    let (number, silence) = (standing.number, standing.is_heard(now));
                    self.heard(number, now);
                    return silence.map_or(Ok(()), |silence| self.is_within(number, silence));
                }
            }
            ShardEvent::Closed { session, .. } => {
                if let Some(Standing { number, .. }) = self.sessions.remove(session)
                    && let Some(others) = self.of_device.get_mut(&number)
                {
                    others.retain(|other| other != session);
                }
            }
            // Devices count their messages, and say them again byte for byte.
            ShardEvent::MessageIdReused { session, .. } | ShardEvent::Malformed { session, .. } => {
                if let Some(number) = self.sessions.get(session).map(|standing| standing.number) {
                    return broken(number, format!("an honest device is blamed: {event:?}"));
                }
            }
            ShardEvent::Refused { .. }
            | ShardEvent::WrongKey { .. }
            | ShardEvent::KeyExchangeRejected { .. }
            | ShardEvent::Stray { .. }
            | ShardEvent::Forged { .. }
            | ShardEvent::RequestRefused { .. }
            | ShardEvent::AnswerTooLarge { .. }
            | ShardEvent::Throttled { .. }
            | ShardEvent::ObservationEnded { .. }
            | ShardEvent::Spent { .. }
            | ShardEvent::LoginRefused { .. } => {}
        }
        Ok(())
    }

    /// A request reaches the gateway: its session must be one that stands, and its report one that was sent.
    fn requested(&mut self, now: Instant, ticket: Ticket, request: &Request) -> Checked {
        let Some(standing) = self.sessions.get_mut(&ticket.session) else { return Ok(()) };
        let silence = standing.is_heard(now);
        let Standing { number, begun, superseded, is_plain, is_login, .. } = *standing;
        // A session by the product's secret makes no device online.
        if is_login {
            self.heard(number, now);
        }
        if let Some(silence) = silence {
            self.is_within(number, silence)?;
        }
        if superseded.is_some_and(|since| now > since + CLOSED_WITHIN) {
            return broken(
                number,
                "its secret was replaced, or it logged in anew, and its session still stands",
            );
        }
        let off = self.off_since.get(&number).filter(|off| begun < **off);
        if off.is_some_and(|off| now > *off + CLOSED_WITHIN) {
            return broken(number, "it was switched off, and its session still stands");
        }
        let off = self.product_off_since.get(&number).filter(|off| begun < **off);
        if off.is_some_and(|off| now > *off + READ_WITHIN) {
            return broken(number, "its product was switched off, and its session still stands");
        }
        self.commands.requested(number, (ticket, is_plain), request);
        let payload = String::from_utf8_lossy(&request.payload);
        let said = payload.split_once(r#""measurepoints":"#).or_else(|| payload.split_once(r#""events":"#));
        if let Some((_, rest)) = said {
            let points = rest.split_inclusive('}').next().unwrap_or_default();
            match report_of(points) {
                Some((report, _)) if report.0 == number && self.sent.contains(&report) => {}
                _ => {
                    return broken(number, format!("a request is delivered that it never sent: {payload}"));
                }
            }
        }
        Ok(())
    }

    fn heard(&mut self, number: u32, now: Instant) {
        if let Some(known) = self.ids.get(&number).and_then(|id| self.devices.get_mut(id)) {
            if known.heard.len() == HEARD_MAX {
                known.heard.pop_front();
            }
            known.heard.push_back(now);
        }
    }

    /// The server died; a new one gives every online device a full lifetime.
    pub fn crashed(&mut self) {
        self.handshakes.clear();
        self.logins.clear();
        self.crashes += 1;
        self.sessions.clear();
        self.of_device.clear();
        self.numbers.clear();
        self.commands.crashed();
    }

    /// The report that makes a device's latest value, and when it arrived.
    pub fn latest(&self, number: u32) -> Option<(u64, UnixMillis)> {
        self.latest.get(&number).map(|(report, _, arrival)| (*report, *arrival))
    }

    /// Reports stored of a device with a number above `after`, without those of its twin.
    pub fn stored_after(&self, number: u32, after: u64) -> usize {
        self.stored.range((number, after + 1)..(number, TWINS_REPORTS)).count()
    }

    /// A device was switched on or off.
    pub fn switched(&mut self, number: u32, enabled: bool, now: Instant) {
        if enabled {
            self.off_since.remove(&number);
        } else {
            self.off_since.insert(number, now);
        }
    }

    /// The product of a device was switched on or off.
    pub fn product_switched(&mut self, number: u32, enabled: bool, now: Instant) {
        if enabled {
            self.product_off_since.remove(&number);
        } else {
            self.product_off_since.insert(number, now);
        }
    }

    /// Since when a device is switched off.
    pub fn off_since(&self, number: u32) -> Option<Instant> {
        self.off_since.get(&number).copied()
    }

    /// Handshakes and sessions that the shards have told of and not ended.
    pub fn open(&self) -> (usize, usize) {
        (self.handshakes.len(), self.sessions.len())
    }
}
