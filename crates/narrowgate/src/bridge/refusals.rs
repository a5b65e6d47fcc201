//! Every refusal leaves an entry with its reason, in the device's log where the device is known, and goes to
//! the listeners. A flood does not fill the store: beyond the limits of [`Class::entries_max`] and
//! [`ENTRIES_PER_SOURCE_MAX`], refusals are only counted, and so are copies of one that an alert answers.

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use narrowgate_dtls::{FailedFinished, KeyExchangeFault, RejectedKeyExchange};
use narrowgate_engine::shard::stray::Stray;
use narrowgate_platform::{
    ids::{DeviceId, DeviceName},
    model::log::{LogEntry, LogEvent, Reason},
    ports::{Clock, Registry, StoreError, Write, Written},
    rules::{
        identity::{IDENTITY_BYTES_MAX, Identity},
        refusal::Refusal,
    },
};

use super::feed::{Feed, FeedEvent};
use super::{
    diagnosis::{self, Diagnoses},
    ingest::{After, Ingest},
    limits::{Bucket, Class, Copies, Origin},
};

/// Entries written per second at most for one source (a device, or an address) in each class: a single loud
/// one does not silence the others.
const ENTRIES_PER_SOURCE_MAX: u32 = 50;
/// Characters of a foreign identity that an entry keeps.
const IDENTITY_CHARACTERS_MAX: usize = 128;

/// One refusal.
#[derive(Debug)]
pub(super) struct Refused {
    /// Whose log it goes to.
    pub(super) device: Option<DeviceId>,
    /// The keys, where they are known.
    pub(super) name: Option<DeviceName>,
    /// The identity as the peer gave it.
    pub(super) identity: Option<String>,
    /// Why.
    pub(super) refusal: Refusal,
}

impl Refused {
    /// Of a peer of whom nothing else is known.
    pub(super) fn by_stranger(refusal: Refusal) -> Self {
        Self { device: None, name: None, identity: None, refusal }
    }
}

/// See the module.
pub(super) struct Refusals {
    clock: Arc<dyn Clock>,
    ingest: Ingest,
    feed: Feed,
    /// One for each class.
    buckets: Mutex<[Bucket; Class::ALL.len()]>,
    copies: Mutex<Copies>,
    unlogged: AtomicU64,
    folded: AtomicU64,
    /// Of wrong keys.
    keys: Diagnoses,
    /// Of unknown names.
    names: Diagnoses,
}

impl Refusals {
    pub(super) fn new(clock: Arc<dyn Clock>, ingest: Ingest, feed: Feed) -> Self {
        let now = super::monotonic();
        let bucket = |class: Class| Bucket::new(class.entries_max(), ENTRIES_PER_SOURCE_MAX, now);
        Self {
            clock,
            ingest,
            feed,
            buckets: Mutex::new(Class::ALL.map(bucket)),
            copies: Mutex::default(),
            unlogged: AtomicU64::new(0),
            folded: AtomicU64::new(0),
            keys: Diagnoses::new(),
            names: Diagnoses::new(),
        }
    }

    /// Writes down and publishes the refusal of a handshake.
    pub(super) fn record(&self, refused: Refused, peer: SocketAddr) {
        let class = if refused.device.is_some() { Class::Handshake } else { Class::Stranger };
        if self.admit(class, Origin::peer(peer.ip(), refused.device)) {
            self.write(LogEvent::Refused, "refused", refused, peer);
        }
    }

    /// Writes down and publishes a refusal by an alert, of a ClientHello mostly, if it is not a copy of one
    /// that was.
    pub(super) fn record_alert(&self, refused: Refused, peer: SocketAddr) {
        let now = super::monotonic();
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        if copies.has(peer, refused.refusal.reason, &refused.refusal.detail, now) {
            self.folded.fetch_add(1, Ordering::Relaxed);
            return;
        }
        drop(copies);
        self.record(refused, peer);
    }

    /// Writes down and publishes the refusal of this device's request.
    pub(super) fn record_request(&self, device: DeviceId, refused: Refused, peer: SocketAddr) {
        if self.admit(Class::Request, Origin::device(device)) {
            self.write(LogEvent::Refused, "refused", refused, peer);
        }
    }

    /// Writes down and publishes a warning about this device's request, under the limits of refusals, and
    /// returns whether they permitted it.
    pub(super) fn warn(&self, device: DeviceId, warned: Refused, peer: SocketAddr) -> bool {
        let admitted = self.admit(Class::Request, Origin::device(device));
        if admitted {
            self.write(LogEvent::Warning, "warning", warned, peer);
        }
        admitted
    }

    fn admit(&self, class: Class, origin: Origin) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = buckets[class as usize].take(origin, super::monotonic());
        if !admitted {
            self.unlogged.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    fn write(&self, event: LogEvent, name_of_event: &'static str, refused: Refused, peer: SocketAddr) {
        let time = self.clock.now();
        let peer = peer.to_string();
        let Refused { device, name, identity, refusal } = refused;
        let (reason, code, detail) = (refusal.reason, refusal.code(), refusal.detail.into_owned());
        tracing::debug!(peer, ?reason, ?identity, detail, name_of_event);
        // Listeners see it in its place among what is committed, with the entry's time.
        let mut after = After::Nothing;
        if self.feed.has_subscribers() {
            let (product_key, device_key) = name.map(|name| (name.product_key, name.device_key)).unzip();
            let event = FeedEvent {
                product_key,
                device_key,
                identity: identity.clone(),
                reason,
                code,
                peer: Some(peer.clone()),
                detail: Some(detail.clone()),
                ..FeedEvent::new(time, name_of_event)
            };
            let feed = self.feed.clone();
            after = After::Call(Box::new(move |written: Result<&[Written], &StoreError>| {
                // What a full disk keeps from the log is seen here at least.
                if written.is_ok_and(|outcomes| outcomes != [Written::Done]) {
                    return;
                }
                feed.publish(event);
            }));
        }
        let entry =
            LogEntry { time, device, identity, event, reason, code, peer: Some(peer), detail: Some(detail) };
        self.ingest.write(Write::Log(entry), after);
    }

    /// Finds out, off the data path, which mistake a wrong key fits, and writes the refusal down.
    pub(super) fn diagnose(
        self: &Arc<Self>,
        identity: Identity,
        device: DeviceId,
        peer: SocketAddr,
        failed: Box<FailedFinished>,
        registry: Arc<dyn Registry>,
    ) {
        let refused = move |detail: Cow<'static, str>, identity: &Identity| Refused {
            device: Some(device),
            name: Some(identity.name.clone()),
            identity: Some(identity.to_string()),
            refusal: Refusal::new(Reason::WrongKey, detail),
        };
        let Some(place) = self.keys.admit(Origin::peer(peer.ip(), Some(device)), super::monotonic()) else {
            return self.record(refused(diagnosis::NOT_EXAMINED.into(), &identity), peer);
        };
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let named = identity.clone();
            let work = async move { diagnosis::of_wrong_key(&*registry, &identity, device, &failed).await };
            let detail = diagnosis::aside(work).await;
            let detail = detail.map_or(diagnosis::NOT_EXAMINED.into(), Cow::Owned);
            this.record(refused(detail, &named), peer);
            drop(place);
        });
    }

    /// Writes down the refusal of an identity, which was decided already; where its names are unknown, with
    /// the ones that were probably meant, which are looked up off the data path.
    pub(super) fn record_identity(
        self: &Arc<Self>,
        mut refused: Refused,
        peer: SocketAddr,
        registry: &Arc<dyn Registry>,
    ) {
        let unknown = match (refused.refusal.reason, &refused.name) {
            (Some(reason @ (Reason::ProductUnknown | Reason::DeviceUnknown)), Some(name)) => {
                let place = self.names.admit(Origin::peer(peer.ip(), None), super::monotonic());
                place.map(|place| (place, reason, name.clone()))
            }
            _ => None,
        };
        let Some((place, reason, name)) = unknown else { return self.record(refused, peer) };
        let (this, registry) = (Arc::clone(self), Arc::clone(registry));
        tokio::spawn(async move {
            let work = async move { diagnosis::of_unknown_name(&*registry, reason, &name).await };
            let detail = diagnosis::aside(work).await.flatten();
            if let Some(detail) = detail {
                refused.refusal.detail = detail.into();
            }
            this.record(refused, peer);
            drop(place);
        });
    }

    /// Returns when everything that was being looked into is handed to ingest, or after some seconds.
    pub(super) async fn settle(&self) {
        tokio::join!(self.keys.settle(diagnosis::SETTLE_MAX), self.names.settle(diagnosis::SETTLE_MAX));
    }

    /// Refusals that were only counted, because there were too many.
    pub(super) fn unlogged(&self) -> u64 {
        self.unlogged.load(Ordering::Relaxed)
    }

    /// Copies of refusals that were written down.
    pub(super) fn folded(&self) -> u64 {
        self.folded.load(Ordering::Relaxed)
    }
}

/// The refusal of a ClientKeyExchange that holds no identity to be looked up.
pub(super) fn of_key_exchange(rejected: &RejectedKeyExchange) -> Refused {
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
pub(super) fn of_stray(stray: Stray) -> Refused {
    let reason = match stray {
        Stray::Tls | Stray::OtherVersions(_) => Reason::VersionUnsupported,
        Stray::PlainCoap | Stray::Http | Stray::Unknown(_) => Reason::NotDtls,
    };
    Refused::by_stranger(Refusal::new(reason, stray.to_string()))
}

/// An identity as people may see it: lossy text of bounded length.
pub(super) fn shown_identity(identity: &[u8]) -> String {
    let head = &identity[..identity.len().min(4 * IDENTITY_CHARACTERS_MAX)];
    String::from_utf8_lossy(head).chars().take(IDENTITY_CHARACTERS_MAX).collect()
}
