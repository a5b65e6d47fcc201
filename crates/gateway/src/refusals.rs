//! Every refusal leaves an entry with its reason, in the device's log where the device is known, and goes to
//! the listeners. A flood does not fill the store: beyond the limits of [`Class::entries_max`] and
//! [`ENTRIES_PER_SOURCE_MAX`], refusals are only counted, and so are copies of one that an alert answers.

use std::net::SocketAddr;

use narrowgate_api::happening::{self, Happening};
use narrowgate_dtls::{self as dtls, FailedFinished, KeyExchangeFault, RejectedKeyExchange};
use narrowgate_engine::shard::stray::Stray;
use narrowgate_platform::{
    ids::{DeviceId, DeviceName, Position},
    model::log::{LogEntry, LogEvent, Reason},
    ports::{StoreError, Write, Written},
    rules::{
        identity::{IDENTITY_BYTES_MAX, Identity},
        refusal::Refusal,
    },
};

use crate::{
    diagnosis::{self, Diagnoses, Diagnosis},
    effect::{Effect, Now},
    limits::{Bucket, Class, Copies, Origin},
    outbox::{Outbox, Pending},
};

/// Entries written per second at most for one source (a device, or an address) in each class: a single loud
/// one does not silence the others.
const ENTRIES_PER_SOURCE_MAX: u32 = 50;
/// Characters of a foreign identity that an entry keeps.
const IDENTITY_CHARACTERS_MAX: usize = 128;

/// Entries that wait for the store at the same time. Where it hangs, further refusals are only counted.
const ENTRIES_UNWRITTEN_MAX: usize = 8192;

/// One refusal.
#[derive(Debug)]
pub(crate) struct Refused {
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
        Self { device: None, name: None, identity: None, refusal }
    }
}

/// A refusal that is being looked into.
#[derive(Debug)]
pub(crate) struct Examined {
    kind: Kind,
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
    /// One for each class.
    buckets: [Bucket; Class::ALL.len()],
    copies: Copies,
    /// Entries that wait for the store.
    unwritten: usize,
    /// Refusals that were only counted, because there were too many.
    pub(crate) unlogged: u64,
    /// Copies of refusals that were written down.
    pub(crate) folded: u64,
    /// Of wrong keys.
    keys: Diagnoses,
    /// Of unknown names.
    names: Diagnoses,
}

impl Refusals {
    pub(crate) fn new(now: Now) -> Self {
        let bucket = |class: Class| Bucket::new(class.entries_max(), ENTRIES_PER_SOURCE_MAX, now.instant);
        Self {
            buckets: Class::ALL.map(bucket),
            copies: Copies::default(),
            unwritten: 0,
            unlogged: 0,
            folded: 0,
            keys: Diagnoses::new(now.instant),
            names: Diagnoses::new(now.instant),
        }
    }

    /// Writes down and publishes the refusal of a handshake.
    pub(crate) fn record(&mut self, out: &mut Outbox, now: Now, refused: Refused, peer: SocketAddr) {
        let class = if refused.device.is_some() { Class::Handshake } else { Class::Stranger };
        if self.admit(now, class, Origin::peer(peer.ip(), refused.device)) {
            self.write(out, now, LogEvent::Refused, refused, peer);
        }
    }

    /// Writes down and publishes a refusal by an alert, mostly of a ClientHello, unless it is a copy of an
    /// earlier one.
    pub(crate) fn record_alert(&mut self, out: &mut Outbox, now: Now, refused: Refused, peer: SocketAddr) {
        if self.copies.has(peer, refused.refusal.reason, &refused.refusal.detail, now.instant) {
            self.folded += 1;
        } else {
            self.record(out, now, refused, peer);
        }
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
        if self.admit(now, Class::Request, Origin::device(device)) {
            self.write(out, now, LogEvent::Refused, refused, peer);
        }
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
            self.unwritten < ENTRIES_UNWRITTEN_MAX && self.buckets[class as usize].take(origin, now.instant);
        self.unlogged += u64::from(!admitted);
        admitted
    }

    fn write(&mut self, out: &mut Outbox, now: Now, event: LogEvent, refused: Refused, peer: SocketAddr) {
        let peer = peer.to_string();
        let Refused { identity, refusal: Refusal { reason, detail, .. }, .. } = &refused;
        let name_of_event = if event == LogEvent::Warning { "warning" } else { "refused" };
        tracing::debug!(peer, ?reason, ?identity, detail = &**detail, name_of_event);
        // Listeners see it in its place among what is committed, with the entry's time.
        let happening = out.has_followers.then(|| Box::new(happening_of(now, event, &refused, &peer)));
        let Refused { device, name: _, identity, refusal } = refused;
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
        failed: Box<FailedFinished>,
    ) {
        let refused = Refused {
            device: Some(device),
            name: Some(identity.name.clone()),
            identity: Some(identity.to_string()),
            refusal: Refusal::new(Reason::WrongKey, diagnosis::NOT_EXAMINED),
        };
        if !self.keys.admit(Origin::peer(peer.ip(), Some(device)), now.instant) {
            return self.record(out, now, refused, peer);
        }
        let examined = Box::new(Examined { kind: Kind::Key, refused, peer });
        let diagnosis = Box::new(Diagnosis::WrongKey { identity, device, failed });
        out.ask(Pending::Diagnosis(examined), |token| Effect::Diagnose(token, diagnosis));
    }

    /// Writes down the refusal of an identity, which was decided already; if its names are unknown, with
    /// those that were probably meant, once these were looked up.
    pub(crate) fn record_identity(&mut self, out: &mut Outbox, now: Now, refused: Refused, peer: SocketAddr) {
        let unknown = match (refused.refusal.reason, &refused.name) {
            (Some(reason @ (Reason::ProductUnknown | Reason::DeviceUnknown)), Some(name)) => {
                let admitted = self.names.admit(Origin::peer(peer.ip(), None), now.instant);
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
    String::from_utf8_lossy(head).chars().take(IDENTITY_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_identity_is_shown_in_bounded_length() {
        assert_eq!(shown_identity(&[0xff; 5]).chars().count(), 5);
        assert_eq!(shown_identity(&[b','; 100_000]).len(), IDENTITY_CHARACTERS_MAX);
    }
}
