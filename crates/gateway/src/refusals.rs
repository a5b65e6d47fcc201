//! Every refusal leaves an entry with its reason, in the device's log where the device is known, and goes to
//! the listeners. A flood does not fill the store: beyond the limits of [`Entries`] refusals are only
//! counted, and the same again and again is folded into an entry with its number ([`Folds`]).

use std::{net::SocketAddr, time::Instant};

use narrowgate_api::happening::{self, Happening};
use narrowgate_dtls::{self as dtls, KeyExchangeFault, RejectedKeyExchange};
use narrowgate_engine::shard::stray::Stray;
use narrowgate_platform::{
    ids::{DeviceId, DeviceName, Position},
    model::{
        credential::CredentialLookup,
        log::{LogEntry, LogEvent, Reason},
    },
    ports::{StoreError, Write, Written},
    rules::{
        identity::{IDENTITY_BYTES_MAX, Identity},
        refusal::Refusal,
    },
};

use crate::{
    diagnosis::{Diagnoses, Diagnosis, Proof},
    effect::{Effect, Now},
    folds::{Fold, Folds, Same},
    limits::{Class, Door, Entries, Origin},
    outbox::{Outbox, Pending},
    rates::Rates,
};

/// Of the same refusal, this many are entries of their own before the others are folded: who tries something
/// on the bench sees each try.
const SINGLES_MAX: u32 = 3;
/// Of a refusal by an alert.
const SINGLE_ALERTS_MAX: u32 = 1;
/// Characters of a foreign identity that an entry keeps.
const IDENTITY_CHARACTERS_MAX: usize = 128;

/// Named reasons, and one more for refusals without a name.
pub(crate) const REASONS: usize = Reason::ALL.len() + 1;

/// Entries that wait for the store at the same time. Where it hangs, further refusals are only counted.
const ENTRIES_UNWRITTEN_MAX: usize = 8192;

/// One refusal.
#[derive(Debug)]
pub(crate) struct Refused {
    /// By which it came, where it was no request in a session.
    pub(crate) door: Door,
    /// Whose log it goes to.
    pub(crate) device: Option<DeviceId>,
    /// The keys, where they are known.
    pub(crate) name: Option<DeviceName>,
    /// The identity as the peer gave it.
    pub(crate) identity: Option<String>,
    /// Why.
    pub(crate) refusal: Refusal,
}

impl Refused {
    /// The refusal of a peer of which nothing else is known.
    fn by_stranger(refusal: Refusal) -> Self {
        Self { door: Door::Dtls, device: None, name: None, identity: None, refusal }
    }

    /// The product of the device whose refusal it is. What a stranger claims to be is none.
    fn product_key(&self) -> Option<&str> {
        let name = self.name.as_ref().filter(|_| self.device.is_some());
        name.map(|name| &*name.product_key)
    }

    fn class(&self) -> Class {
        match (self.door, self.device) {
            (Door::Plain, _) => Class::Plain,
            (Door::Dtls, Some(_)) => Class::Handshake,
            (Door::Dtls, None) => Class::Stranger,
        }
    }

    /// Who caused it, for the limits.
    fn origin(&self, peer: SocketAddr, claimed: Option<DeviceId>) -> Origin {
        match self.door {
            Door::Dtls => Origin::peer(peer.ip(), claimed),
            Door::Plain => Origin::plain(peer.ip(), claimed),
        }
    }
}

/// A refusal that is being looked into.
#[derive(Debug)]
pub(crate) struct Examined {
    kind: Kind,
    refused: Refused,
    peer: SocketAddr,
}

/// A refusal of which it is not known yet whose log it belongs to.
#[derive(Debug)]
pub(crate) struct Claimed {
    refused: Refused,
    peer: SocketAddr,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Key,
    Name,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Refusals {
    /// Of each class.
    entries: [Entries; Class::ALL.len()],
    /// By the port at which they came: who forges addresses at one crowds nothing out of the other.
    folds: [Folds; 2],
    /// Entries that wait for the store.
    unwritten: usize,
    /// Minute by minute, with the reports.
    pub(crate) rates: Rates,
    /// By the position of their reason, and those that have no name; also those that are not written down.
    pub(crate) by_reason: [u64; REASONS],
    /// Refusals that were only counted, because there were too many.
    pub(crate) unlogged: u64,
    /// Refusals that were folded into an entry with their number.
    pub(crate) folded: u64,
    /// Of wrong keys.
    keys: Diagnoses,
    /// Of unknown names.
    names: Diagnoses,
}

impl Refusals {
    pub(crate) fn new(now: Now) -> Self {
        Self {
            entries: Class::ALL.map(Entries::new),
            folds: Default::default(),
            unwritten: 0,
            rates: Rates::new(now),
            by_reason: [0; REASONS],
            unlogged: 0,
            folded: 0,
            keys: Diagnoses::new(now.instant),
            names: Diagnoses::new(now.instant),
        }
    }

    /// Writes down and publishes the refusal of a handshake.
    pub(crate) fn record(&mut self, out: &mut Outbox, now: Now, refused: Refused, peer: SocketAddr) {
        let class = refused.class();
        let origin = refused.origin(peer, refused.device);
        let same = Same::of(class, origin, &refused);
        self.record_unless_same(out, now, same, SINGLES_MAX, Fold { class, origin, refused, peer });
    }

    fn record_unless_same(&mut self, out: &mut Outbox, now: Now, same: Same, singles: u32, fold: Fold) {
        self.count(now, fold.refused.product_key(), fold.refused.refusal.reason);
        let folds = &mut self.folds[usize::from(fold.class == Class::Plain)];
        match folds.take(now.instant, same, singles, fold) {
            Some(Fold { class, origin, refused, peer }) => {
                if self.admit(now, class, origin) {
                    self.write(out, now, LogEvent::Refused, refused, peer);
                }
            }
            None => self.folded += 1,
        }
    }

    /// Counts a refusal, also one that is not written down; with the product of the device that it is of.
    pub(crate) fn count(&mut self, now: Now, product_key: Option<&str>, reason: Option<Reason>) {
        self.rates.count_refusal(now, product_key, reason);
        let position = reason.map_or(Reason::ALL.len(), |reason| reason as usize);
        self.by_reason[position] += 1;
    }

    /// When [`Self::handle_timeout`] is due next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let folds = self.folds.iter().filter_map(Folds::poll_timeout);
        folds.chain(self.rates.poll_timeout()).min()
    }

    /// Writes down how many refusals were folded, where the time of that is over, and what was counted in a
    /// minute. With `all`, also before.
    pub(crate) fn handle_timeout(&mut self, out: &mut Outbox, now: Now, all: bool) {
        let due: Vec<Fold> = self.folds.iter_mut().flat_map(|folds| folds.poll(now.instant, all)).collect();
        for Fold { class, origin, refused, peer } in due {
            if self.admit(now, class, origin) {
                self.write(out, now, LogEvent::Refused, refused, peer);
            }
        }
        match all {
            true => self.rates.write_all(out, now),
            false => self.rates.handle_timeout(out, now.instant),
        }
    }

    /// Writes down and publishes the refusal of a handshake that was dropped before anything was looked up:
    /// whose log it belongs to is looked up now, if the limits permit the entry.
    pub(crate) fn record_claimed(&mut self, out: &mut Outbox, now: Now, refused: Refused, peer: SocketAddr) {
        self.count(now, None, refused.refusal.reason);
        if !self.admit(now, refused.class(), refused.origin(peer, None)) {
            return;
        }
        match refused.name.clone() {
            Some(name) => {
                let claimed = Pending::Claimed(Box::new(Claimed { refused, peer }));
                self.unlogged += u64::from(!out.look_up_for_log(name, claimed));
            }
            None => self.write(out, now, LogEvent::Refused, refused, peer),
        }
    }

    /// The store has answered whose log it is.
    pub(crate) fn handle_claimed(
        &mut self,
        out: &mut Outbox,
        now: Now,
        Claimed { mut refused, peer }: Claimed,
        answer: &Result<CredentialLookup, StoreError>,
    ) {
        if let Ok(CredentialLookup::Found(found)) = answer {
            refused.device = Some(found.device);
        }
        self.write(out, now, LogEvent::Refused, refused, peer);
    }

    /// Writes down and publishes a refusal by an alert, mostly of a ClientHello. Somebody may copy it, so the
    /// same of one address and port is folded at once.
    pub(crate) fn record_alert(&mut self, out: &mut Outbox, now: Now, refused: Refused, peer: SocketAddr) {
        let (class, origin) = (Class::Stranger, Origin::peer(peer.ip(), None));
        let same = Same::of(class, peer, &refused);
        self.record_unless_same(out, now, same, SINGLE_ALERTS_MAX, Fold { class, origin, refused, peer });
    }

    /// Writes down and publishes the refusal of this device's request.
    pub(crate) fn record_request(
        &mut self,
        out: &mut Outbox,
        now: Now,
        device: DeviceId,
        refused: Refused,
        peer: SocketAddr,
    ) {
        let (class, origin) = (Class::Request, Origin::device(device));
        let same = Same::of(class, origin, &refused);
        self.record_unless_same(out, now, same, SINGLES_MAX, Fold { class, origin, refused, peer });
    }

    /// Writes down and publishes a warning about this device's request, under the limits of refusals, and
    /// returns whether they permitted it.
    pub(crate) fn warn(
        &mut self,
        out: &mut Outbox,
        now: Now,
        device: DeviceId,
        warned: Refused,
        peer: SocketAddr,
    ) -> bool {
        let admitted = self.admit(now, Class::Request, Origin::device(device));
        if admitted {
            self.write(out, now, LogEvent::Warning, warned, peer);
        }
        admitted
    }

    fn admit(&mut self, now: Now, class: Class, origin: Origin) -> bool {
        let admitted =
            self.unwritten < ENTRIES_UNWRITTEN_MAX && self.entries[class as usize].take(origin, now.instant);
        self.unlogged += u64::from(!admitted);
        admitted
    }

    fn write(&mut self, out: &mut Outbox, now: Now, event: LogEvent, refused: Refused, peer: SocketAddr) {
        let peer = peer.to_string();
        let Refused { identity, refusal: Refusal { reason, detail, .. }, .. } = &refused;
        let name_of_event = if event == LogEvent::Warning { "warning" } else { "refused" };
        tracing::debug!(peer, ?reason, ?identity, detail = &**detail, name_of_event);
        // Listeners see it in its place among what is committed, with the entry's time.
        let is_followed = out.has_followers_of_unstored;
        let happening = is_followed.then(|| Box::new(happening_of(now, event, &refused, &peer)));
        let Refused { door: _, device, name: _, identity, refusal } = refused;
        let (reason, code) = (refusal.reason, refusal.code());
        let (time, peer, detail) = (now.wall, Some(peer), Some(refusal.detail.into_owned()));
        let entry = LogEntry { time, device, identity, event, reason, code, peer, detail };
        self.unwritten += 1;
        out.write(vec![Write::Log(entry)], Pending::Log(happening));
    }

    /// An entry is written, or could not be.
    pub(crate) fn handle_written(
        &mut self,
        out: &mut Outbox,
        happening: Option<Box<Happening>>,
        position: Option<Position>,
        outcomes: Result<&[Written], &StoreError>,
    ) {
        self.unwritten -= 1;
        // If a full disk keeps it from the log, listeners see it at least.
        if outcomes.is_ok_and(|outcomes| outcomes != [Written::Done]) {
            return;
        }
        if let Some(happening) = happening {
            out.tell(position, *happening, None);
        }
    }

    /// Has the mistake that a wrong key fits looked up, and then writes the refusal down.
    pub(crate) fn diagnose(
        &mut self,
        out: &mut Outbox,
        now: Now,
        (identity, device): (Identity, DeviceId),
        peer: SocketAddr,
        proof: Proof,
    ) {
        let refused = Refused {
            door: proof.door(),
            device: Some(device),
            name: Some(identity.name.clone()),
            identity: Some(identity.to_string()),
            refusal: Refusal::new(Reason::WrongKey, proof.not_examined()),
        };
        if !self.keys.admit(refused.origin(peer, Some(device)), now.instant) {
            return self.record(out, now, refused, peer);
        }
        let examined = Box::new(Examined { kind: Kind::Key, refused, peer });
        let diagnosis = Box::new(Diagnosis::WrongKey { identity, device, proof });
        out.ask(Pending::Diagnosis(examined), |token| Effect::Diagnose(token, diagnosis));
    }

    /// Writes down the refusal of an identity, which was decided already; if its names are unknown, with
    /// those that were probably meant, once these were looked up.
    pub(crate) fn record_identity(&mut self, out: &mut Outbox, now: Now, refused: Refused, peer: SocketAddr) {
        let unknown = match (refused.refusal.reason, &refused.name) {
            (Some(reason @ (Reason::ProductUnknown | Reason::DeviceUnknown)), Some(name)) => {
                let admitted = self.names.admit(refused.origin(peer, None), now.instant);
                admitted.then(|| Diagnosis::UnknownName { reason, name: name.clone() })
            }
            _ => None,
        };
        let Some(diagnosis) = unknown else { return self.record(out, now, refused, peer) };
        let examined = Box::new(Examined { kind: Kind::Name, refused, peer });
        out.ask(Pending::Diagnosis(examined), |token| Effect::Diagnose(token, Box::new(diagnosis)));
    }

    /// A refusal was looked into.
    pub(crate) fn handle_diagnosed(
        &mut self,
        out: &mut Outbox,
        now: Now,
        examined: Examined,
        found: Option<String>,
    ) {
        let Examined { kind, mut refused, peer } = examined;
        match kind {
            Kind::Key => self.keys.leave(),
            Kind::Name => self.names.leave(),
        }
        if let Some(detail) = found {
            refused.refusal.detail = detail.into();
        }
        self.record(out, now, refused, peer);
    }
}

fn happening_of(now: Now, event: LogEvent, refused: &Refused, peer: &str) -> Happening {
    let told = happening::Refused {
        time: now.wall,
        device: refused.name.clone(),
        is_claimed: refused.device.is_none(),
        identity: refused.identity.clone(),
        reason: refused.refusal.reason,
        code: refused.refusal.code(),
        peer: Some(peer.to_owned()),
        detail: Some(refused.refusal.detail.clone().into_owned()),
    };
    if event == LogEvent::Warning { Happening::Warning(told) } else { Happening::Refused(told) }
}

/// The refusal of a ClientHello.
pub(crate) fn of_hello(refusal: &dtls::Refusal) -> Refused {
    let detail = refusal.to_string();
    Refused::by_stranger(match refusal {
        dtls::Refusal::NoCommonCipherSuite(_) => Refusal::new(Reason::NoCommonCipherSuite, detail),
        dtls::Refusal::VersionUnsupported(_) => Refusal::new(Reason::VersionUnsupported, detail),
        _ => Refusal::unnamed(detail),
    })
}

/// The refusal of a ClientKeyExchange that holds no identity to be looked up.
pub(crate) fn of_key_exchange(rejected: &RejectedKeyExchange) -> Refused {
    let detail = match rejected.fault {
        KeyExchangeFault::TooLong(bytes) => {
            format!("the identity has {bytes} bytes; at most {IDENTITY_BYTES_MAX} can be valid")
        }
        KeyExchangeFault::Malformed => {
            "the ClientKeyExchange is malformed: it does not hold one identity of the \
            length that it says (is this another key exchange than plain PSK?)"
                .to_owned()
        }
    };
    Refused {
        identity: Some(shown_identity(&rejected.identity)),
        ..Refused::by_stranger(Refusal::new(Reason::IdentityMalformed, detail))
    }
}

/// The refusal of something that is not DTLS 1.2.
pub(crate) fn of_stray(stray: Stray) -> Refused {
    let reason = match stray {
        Stray::Tls | Stray::OtherVersions(_) => Reason::VersionUnsupported,
        Stray::PlainCoap | Stray::Http | Stray::Unknown(_) => Reason::NotDtls,
    };
    Refused::by_stranger(Refusal::new(reason, stray.to_string()))
}

/// An identity as it is shown to people: lossy text of bounded length.
pub(crate) fn shown_identity(identity: &[u8]) -> String {
    let head = &identity[..identity.len().min(4 * IDENTITY_CHARACTERS_MAX)];
    // Nearly all are of this kind, and each handshake has one.
    if head.len() <= IDENTITY_CHARACTERS_MAX && head.is_ascii() {
        return String::from_utf8_lossy(head).into_owned();
    }
    String::from_utf8_lossy(head).chars().take(IDENTITY_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests;
