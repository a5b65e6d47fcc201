//! Every refusal leaves an entry with its reason, in the device's log where the device is known, and goes to the
//! listeners. A flood does not fill the store: beyond [`ENTRIES_PER_SECOND_MAX`] refusals are only counted.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use narrowgate_dtls::{FailedFinished, KeyExchangeFault, RejectedKeyExchange};
use narrowgate_engine::shard::stray::Stray;
use narrowgate_platform::{
    ids::{DeviceId, DeviceName},
    model::log::{LogEntry, LogEvent, Reason},
    ports::{Clock, Store, StoreError, Write, Written},
    rules::identity::{IDENTITY_BYTES_MAX, Identity},
};

use super::{
    diagnosis::{self, Diagnoses},
    ingest::{After, Ingest},
};
use crate::feed::{Feed, FeedEvent};

/// Entries written per second at most; more refusals are counted as `unlogged`.
const ENTRIES_PER_SECOND_MAX: u32 = 500;
/// Entries written per second at most for one source (a device, or an address): a single loud one does not silence
/// the others.
const ENTRIES_PER_SOURCE_MAX: u32 = 50;
/// Characters of a foreign identity that an entry keeps.
const IDENTITY_CHARACTERS_MAX: usize = 128;

/// One refusal.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// Whose log it goes to.
    pub(super) device: Option<DeviceId>,
    /// The keys, where they are known.
    pub(super) name: Option<DeviceName>,
    /// The identity as the peer gave it.
    pub(super) identity: Option<String>,
    /// Why; `None` for breaches of the protocol that have no stable name.
    pub(super) reason: Option<Reason>,
    /// The protocol's number.
    pub(super) code: Option<u16>,
    /// Words for people.
    pub(super) detail: String,
}

/// See the module.
pub(super) struct Refusals {
    clock: Arc<dyn Clock>,
    ingest: Ingest,
    feed: Feed,
    bucket: Mutex<Bucket>,
    unlogged: AtomicU64,
    diagnoses: Diagnoses,
}

impl Refusals {
    pub(super) fn new(clock: Arc<dyn Clock>, ingest: Ingest, feed: Feed) -> Self {
        Self {
            clock,
            ingest,
            feed,
            bucket: Mutex::new(Bucket::new(
                ENTRIES_PER_SECOND_MAX,
                ENTRIES_PER_SOURCE_MAX,
                super::monotonic(),
            )),
            unlogged: AtomicU64::new(0),
            diagnoses: Diagnoses::new(),
        }
    }

    /// Writes down and publishes one refusal.
    pub(super) fn record(&self, refused: Refused, peer: SocketAddr) {
        self.write(LogEvent::Refused, "refused", refused, peer);
    }

    /// Writes down and publishes a warning, under the limits of refusals.
    pub(super) fn warn(&self, warned: Refused, peer: SocketAddr) {
        self.write(LogEvent::Warning, "warning", warned, peer);
    }

    fn write(&self, event: LogEvent, name_of_event: &'static str, refused: Refused, peer: SocketAddr) {
        let source = refused.device.map_or(Source::Address(peer.ip()), Source::Device);
        if !self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(source, super::monotonic()) {
            self.unlogged.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let time = self.clock.now();
        let peer = peer.to_string();
        let Refused { device, name, identity, reason, code, detail } = refused;
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
        store: Arc<dyn Store>,
    ) {
        let refused = move |detail: String, identity: &Identity| Refused {
            device: Some(device),
            name: Some(identity.name.clone()),
            identity: Some(identity.to_string()),
            reason: Some(Reason::WrongKey),
            code: Some(742),
            detail,
        };
        let Some(place) = self.diagnoses.admit(Source::Device(device)) else {
            return self.record(refused(diagnosis::NOT_EXAMINED.to_owned(), &identity), peer);
        };
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let named = identity.clone();
            let work = async move { diagnosis::of_wrong_key(&*store, &identity, device, &failed).await };
            let detail = diagnosis::aside(work).await;
            drop(place);
            let detail = detail.unwrap_or_else(|| diagnosis::NOT_EXAMINED.to_owned());
            this.record(refused(detail, &named), peer);
        });
    }

    /// Writes down the refusal of an identity, which was decided already; where its names are unknown, with
    /// the ones that were probably meant, which are looked up off the data path.
    pub(super) fn record_identity(
        self: &Arc<Self>,
        mut refused: Refused,
        peer: SocketAddr,
        store: &Arc<dyn Store>,
    ) {
        let unknown = match (refused.reason, &refused.name) {
            (Some(reason @ (Reason::ProductUnknown | Reason::DeviceUnknown)), Some(name)) => {
                let place = self.diagnoses.admit(Source::Address(peer.ip()));
                place.map(|place| (place, reason, name.clone()))
            }
            _ => None,
        };
        let Some((place, reason, name)) = unknown else { return self.record(refused, peer) };
        let (this, store) = (Arc::clone(self), Arc::clone(store));
        tokio::spawn(async move {
            let work = async move { diagnosis::of_unknown_name(&*store, reason, &name).await };
            let detail = diagnosis::aside(work).await.flatten();
            drop(place);
            if let Some(detail) = detail {
                refused.detail = detail;
            }
            this.record(refused, peer);
        });
    }

    /// Refusals that were only counted.
    pub(super) fn unlogged(&self) -> u64 {
        self.unlogged.load(Ordering::Relaxed)
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
        reason: Some(Reason::IdentityMalformed),
        detail,
        ..Refused::default()
    }
}

/// The refusal of something that is not DTLS 1.2.
pub(super) fn of_stray(stray: Stray) -> Refused {
    let reason = match stray {
        Stray::Tls | Stray::OtherVersions(_) => Reason::VersionUnsupported,
        Stray::PlainCoap | Stray::Http | Stray::Unknown(_) => Reason::NotDtls,
    };
    Refused { reason: Some(reason), detail: stray.to_string(), ..Refused::default() }
}

/// An identity as people may see it: lossy text of bounded length.
pub(super) fn shown_identity(identity: &[u8]) -> String {
    let head = &identity[..identity.len().min(4 * IDENTITY_CHARACTERS_MAX)];
    String::from_utf8_lossy(head).chars().take(IDENTITY_CHARACTERS_MAX).collect()
}

/// Who caused a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    Device(DeviceId),
    Address(IpAddr),
}

/// What was done in this second, in total and for each source: as many sources as the total at most.
#[derive(Debug)]
pub(super) struct Bucket {
    total_max: u32,
    per_source_max: u32,
    taken: u32,
    by_source: HashMap<Source, u32>,
    second: Instant,
}

impl Bucket {
    pub(super) fn new(total_max: u32, per_source_max: u32, now: Instant) -> Self {
        Self { total_max, per_source_max, taken: 0, by_source: HashMap::new(), second: now }
    }

    pub(super) fn take(&mut self, source: Source, now: Instant) -> bool {
        if now.saturating_duration_since(self.second).as_secs() >= 1 {
            self.taken = 0;
            self.by_source.clear();
            self.second = now;
        }
        if self.taken >= self.total_max {
            return false;
        }
        let of_source = self.by_source.entry(source).or_default();
        if *of_source >= self.per_source_max {
            return false;
        }
        *of_source += 1;
        self.taken += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_of_refusals_is_bounded_and_the_next_second_writes_again() {
        let start = Instant::now();
        let mut bucket = Bucket::new(ENTRIES_PER_SECOND_MAX, ENTRIES_PER_SOURCE_MAX, start);
        let written = (0..10_000).filter(|n| bucket.take(Source::Device(DeviceId(*n)), start)).count();
        assert_eq!(written, ENTRIES_PER_SECOND_MAX as usize);
        assert!(bucket.take(Source::Device(DeviceId(1)), start + Duration::from_secs(1)));
    }

    #[test]
    fn one_loud_source_leaves_room_for_the_others() {
        let start = Instant::now();
        let mut bucket = Bucket::new(ENTRIES_PER_SECOND_MAX, ENTRIES_PER_SOURCE_MAX, start);
        let loud = Source::Address(IpAddr::from([10, 0, 0, 1]));
        let written = (0..10_000).filter(|_| bucket.take(loud, start)).count();
        assert_eq!(written, ENTRIES_PER_SOURCE_MAX as usize);
        assert!(bucket.take(Source::Device(DeviceId(1)), start));
    }

    #[test]
    fn a_foreign_identity_is_shown_in_bounded_length() {
        assert_eq!(shown_identity(&[0xff; 5]).chars().count(), 5);
        assert_eq!(shown_identity(&[b','; 100_000]).len(), IDENTITY_CHARACTERS_MAX);
    }
}
