//! The words for a refusal that need a look into the store or some hundred hashes: which mistake a wrong
//! key fits, and which name was meant by one that does not exist. Off the data path, after the answer was
//! decided, and for a bounded number of refusals: the others are told without.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use narrowgate_dtls::{FailedFinished, Psk};
use narrowgate_platform::{
    ids::{DeviceId, DeviceName},
    model::{
        credential::{CredentialLookup, Credentials},
        log::Reason,
    },
    ports::{DeviceQuery, Registry},
    rules::{
        identity::{Identity, SecureMode},
        mistakes::{self, Mistake},
        similar,
    },
};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::limits::{Bucket, Origin};

/// Refusals of one kind (wrong keys, unknown names) that are looked into at the same time.
const AT_ONCE_MAX: usize = 2;
/// Refusals of one kind that are looked into per second: each takes some milliseconds of a processor at most.
const PER_SECOND_MAX: u32 = 20;
/// Of one source (a device, or an address), so that a single loud one leaves some for the others.
const PER_SOURCE_MAX: u32 = 5;
/// How long a server that stops waits for what is being looked into.
pub(super) const SETTLE_MAX: Duration = Duration::from_secs(5);
/// Former secrets of the device that are tried, the newest.
const FORMER_MAX: usize = 16;
/// Devices of the same product whose secrets are tried: so many that were registered before the device, and
/// so many after it. Who gives a device another one's secret takes it from a neighbouring row.
const NEIGHBOURS: i64 = 50;

/// What is said of a wrong key that none of the candidates explains.
fn unexplained(identity: &Identity) -> String {
    let DeviceName { product_key, device_key } = &identity.name;
    let with = match identity.mode {
        SecureMode::DeviceSecret => {
            format!("`psk hex` of `narrowgate device secret {product_key}/{device_key}`")
        }
        SecureMode::ProductSecret => {
            "bytes 9 to 24 of SHA-256 of the secret that `narrowgate product create` printed".to_owned()
        }
    };
    format!(
        "the key is not the one of this identity's secret, and fits none of the usual mistakes; compare it \
         with {with}"
    )
}

/// What is said of a wrong key that was not looked into.
pub(super) const NOT_EXAMINED: &str = "the key is not the one of this identity's secret; which mistake it \
                                       fits was not looked into: too many refusals at once";

/// Which refusals of one kind may be looked into.
pub(super) struct Diagnoses {
    places: Arc<Semaphore>,
    bucket: Mutex<Bucket>,
}

impl Diagnoses {
    pub(super) fn new() -> Self {
        let bucket = Bucket::new(PER_SECOND_MAX, PER_SOURCE_MAX, super::monotonic());
        Self { places: Arc::new(Semaphore::new(AT_ONCE_MAX)), bucket: Mutex::new(bucket) }
    }

    /// A place for a refusal of this source, if there is one.
    pub(super) fn admit(&self, origin: Origin, now: Instant) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(origin, now).then_some(place)
    }

    /// Returns when nothing is being looked into any more, or after `max`.
    pub(super) async fn settle(&self, max: Duration) {
        let all = self.places.acquire_many(AT_ONCE_MAX as u32);
        if tokio::time::timeout(max, all).await.is_err() {
            tracing::warn!("refusals that were being looked into are not in the log");
        }
    }
}

/// Runs what may occupy a processor for milliseconds where it delays nobody; `None` if it panicked.
pub(super) async fn aside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let runtime = Handle::current();
    match runtime.runtime_flavor() {
        // The simulation's: a second thread would make its runs differ.
        RuntimeFlavor::CurrentThread => Some(work.await),
        _ => tokio::task::spawn_blocking(move || runtime.block_on(work)).await.ok(),
    }
}

/// Which mistake a wrong key fits.
pub(super) async fn of_wrong_key(
    registry: &dyn Registry,
    identity: &Identity,
    device: DeviceId,
    failed: &FailedFinished,
) -> String {
    let fitting = |mistakes: Vec<Mistake>| {
        let fits = |mistake: &Mistake| Psk::new(&mistake.psk).is_ok_and(|psk| failed.fits(&psk));
        mistakes.into_iter().find(fits).map(|mistake| mistake.detail.into_owned())
    };
    let Some(credentials) = credentials(registry, &identity.name).await else { return unexplained(identity) };
    if let Some(detail) = fitting(mistakes::candidates(&credentials, identity)) {
        return detail;
    }
    if identity.mode == SecureMode::DeviceSecret {
        let former = registry.former_secrets(device).await.unwrap_or_default();
        if let Some(detail) = fitting(former.iter().take(FORMER_MAX).map(mistakes::former).collect()) {
            return detail;
        }
        if let Some(detail) = fitting(neighbours(registry, identity, device).await) {
            return detail;
        }
    }
    unexplained(identity)
}

/// The secrets of the devices that were registered just before and after this one.
async fn neighbours(registry: &dyn Registry, identity: &Identity, device: DeviceId) -> Vec<Mistake> {
    let query = DeviceQuery {
        product_key: Some(identity.name.product_key.clone()),
        after: Some(DeviceId(device.0 - NEIGHBOURS - 1)),
        limit: 2 * NEIGHBOURS as usize + 1,
        ..DeviceQuery::default()
    };
    let mut mistakes = Vec::new();
    for neighbour in registry.devices(query).await.unwrap_or_default().into_iter().flatten() {
        let name = DeviceName { product_key: neighbour.product_key, device_key: neighbour.device_key };
        if neighbour.id != device
            && let Some(credentials) = credentials(registry, &name).await
        {
            mistakes.push(mistakes::of_another_device(&credentials.device_secret, &name));
        }
    }
    mistakes
}

async fn credentials(registry: &dyn Registry, name: &DeviceName) -> Option<Box<Credentials>> {
    match registry.credentials(&name.product_key, &name.device_key).await {
        Ok(CredentialLookup::Found(credentials)) => Some(credentials),
        _ => None,
    }
}

/// What was probably meant by a name that is unknown for this reason.
pub(super) async fn of_unknown_name(
    registry: &dyn Registry,
    reason: Reason,
    name: &DeviceName,
) -> Option<String> {
    for tried in [Some(name.clone()), similar::trimmed(name)].into_iter().flatten() {
        let similar = registry.similar_names(&tried).await.ok()?;
        if let Some(detail) = similar::explain(reason, name, &similar) {
            return Some(detail);
        }
    }
    if reason == Reason::DeviceUnknown {
        return of_unknown_device(registry, name).await;
    }
    let exchanged = registry.similar_names(&similar::exchanged(name)).await.ok()?;
    similar::explain_exchanged(name, &exchanged).filter(|_| reason == Reason::ProductUnknown)
}

/// An IMEI in another spelling, or an asset id. A few look-ups, each by an index.
async fn of_unknown_device(registry: &dyn Registry, name: &DeviceName) -> Option<String> {
    for device_key in similar::imei_spellings(&name.device_key) {
        let tried = DeviceName { product_key: name.product_key.clone(), device_key };
        if let Some(found) = registry.similar_names(&tried).await.ok()?.device {
            return Some(similar::explain_imei(name, &found));
        }
    }
    let query = DeviceQuery { asset_id: Some(name.device_key.clone()), limit: 1, ..DeviceQuery::default() };
    let found = registry.devices(query).await.ok()?.into_iter().flatten().next()?;
    let found = DeviceName { product_key: found.product_key, device_key: found.device_key };
    Some(similar::explain_asset_id(name, &found))
}
