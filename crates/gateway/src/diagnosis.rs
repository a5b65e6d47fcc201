//! The words for a refusal that need the store or some hundred hashes: which mistake a wrong key fits, and
//! which name was meant by one that does not exist. Off the data path, after the answer was decided, and for
//! a bounded number of refusals: the others are reported without.

mod sign;

use std::time::{Duration, Instant};

use narrowgate_dtls::{FailedFinished, Psk};
use narrowgate_platform::{
    ids::{DeviceId, DeviceName},
    model::{
        credential::{CredentialLookup, Credentials},
        device::Device,
        log::Reason,
    },
    ports::{DeviceQuery, Registry},
    rules::{
        identity::{Identity, SecureMode},
        mistakes::{self, Mistake},
        similar,
    },
};

use crate::limits::{Door, Origin, PerSecond};

/// Refusals of one kind (wrong keys, unknown names) that are looked into at the same time.
const AT_ONCE_MAX: usize = 2;
/// Refusals of one kind that are looked into per second: each takes some milliseconds of a processor at most.
const PER_SECOND_MAX: u32 = 20;
/// The same for one source (a device, or an address), so that a single loud one leaves some for the others.
/// Of a device that is only claimed, the last ones are kept for networks that had none in this second.
const PER_SOURCE_MAX: u32 = 5;
/// How long a server that stops waits for what is being looked into.
pub(crate) const SETTLE_MAX: Duration = Duration::from_secs(5);
/// Former secrets of the device that are tried, the newest.
const FORMER_MAX: usize = 16;
/// Devices of the same product whose secrets are tried: this many that were registered before the device, and
/// this many after it. A secret of another device is usually that of a neighbouring row.
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
const NOT_EXAMINED: &str = "the key is not the one of this identity's secret; which mistake it \
                                       fits was not looked into: too many refusals at once";

/// A refusal that is to be looked into.
#[derive(Debug)]
pub enum Diagnosis {
    /// Which mistake a wrong key fits.
    WrongKey {
        /// What the peer claims.
        identity: Identity,
        /// The device of that name.
        device: DeviceId,
        /// What the peer gave as a proof of it.
        proof: Proof,
    },
    /// Which name was meant by one that is unknown.
    UnknownName {
        /// What is unknown of it.
        reason: Reason,
        /// The name.
        name: DeviceName,
    },
}

/// What did not prove a secret.
#[derive(Debug)]
pub enum Proof {
    /// A Finished: whether a key is the one that the peer used.
    Finished(Box<FailedFinished>),
    /// The sign of a login by plain CoAP.
    Sign(Box<str>),
}

impl Proof {
    /// By which it came.
    pub(crate) const fn door(&self) -> Door {
        match self {
            Self::Finished(_) => Door::Dtls,
            Self::Sign(_) => Door::Plain,
        }
    }

    /// What is said where it is not looked into.
    pub(crate) const fn not_examined(&self) -> &'static str {
        match self {
            Self::Finished(_) => NOT_EXAMINED,
            Self::Sign(_) => sign::NOT_EXAMINED,
        }
    }
}

impl Diagnosis {
    /// Finds out, by some reads and some hundred hashes: milliseconds of a processor. `None`: there is
    /// nothing to add to what is known.
    pub async fn run(self, registry: &dyn Registry) -> Option<String> {
        match self {
            Self::WrongKey { identity, device, proof: Proof::Finished(failed) } => {
                Some(of_wrong_key(registry, &identity, device, &failed).await)
            }
            Self::WrongKey { identity, device, proof: Proof::Sign(sign) } => {
                Some(sign::of_wrong_sign(registry, &identity, device, &sign).await)
            }
            Self::UnknownName { reason, name } => of_unknown_name(registry, reason, &name).await,
        }
    }
}

/// Which refusals of one kind may be looked into.
#[derive(Debug)]
pub(crate) struct Diagnoses {
    under_way: usize,
    bucket: PerSecond,
}

impl Diagnoses {
    pub(crate) fn new(now: Instant) -> Self {
        Self { under_way: 0, bucket: PerSecond::new(PER_SECOND_MAX, PER_SOURCE_MAX, now) }
    }

    /// Whether a refusal of this source may be looked into; [`Self::leave`] must release its place.
    pub(crate) fn admit(&mut self, origin: Origin, now: Instant) -> bool {
        let admitted = self.under_way < AT_ONCE_MAX && self.bucket.take(origin, now);
        self.under_way += usize::from(admitted);
        admitted
    }

    /// One refusal was looked into, or given up.
    pub(crate) fn leave(&mut self) {
        self.under_way -= 1;
    }
}

/// Which mistake a wrong key fits.
async fn of_wrong_key(
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
    let mut mistakes = Vec::new();
    for name in names_beside(registry, identity, device).await {
        if let Some(credentials) = credentials(registry, &name).await {
            mistakes.push(mistakes::of_another_device(&credentials.device_secret, &name));
        }
    }
    mistakes
}

/// The devices of the same product that were registered just before and after this one.
async fn names_beside(registry: &dyn Registry, identity: &Identity, device: DeviceId) -> Vec<DeviceName> {
    let query = DeviceQuery {
        product_key: Some(identity.name.product_key.clone()),
        after: Some(DeviceId(device.0 - NEIGHBOURS - 1)),
        limit: 2 * NEIGHBOURS as usize + 1,
        ..DeviceQuery::default()
    };
    let listed = registry.devices(query).await.unwrap_or_default().into_iter().flatten();
    let others = listed.filter(|neighbour| neighbour.id != device);
    let name = |other: Device| DeviceName { product_key: other.product_key, device_key: other.device_key };
    others.map(name).collect()
}

async fn credentials(registry: &dyn Registry, name: &DeviceName) -> Option<Box<Credentials>> {
    match registry.credentials(&name.product_key, &name.device_key).await {
        Ok(CredentialLookup::Found(credentials)) => Some(credentials),
        _ => None,
    }
}

/// What was probably meant by a name that is unknown for this reason. Of a product that exists, only what
/// belongs to its organisation unit is named.
async fn of_unknown_name(registry: &dyn Registry, reason: Reason, name: &DeviceName) -> Option<String> {
    let ou = match reason {
        Reason::DeviceUnknown => Some(registry.product(&name.product_key).await.ok()??.ou),
        _ => None,
    };
    for tried in [Some(name.clone()), similar::trimmed(name)].into_iter().flatten() {
        let mut similar = registry.similar_names(&tried).await.ok()?;
        if let Some(ou) = &ou
            && let Some(found) = similar.device.take()
        {
            similar.device = of_unit(registry, ou, found.device_key).await;
        }
        if let Some(detail) = similar::explain(reason, name, &similar) {
            return Some(detail);
        }
    }
    if let Some(ou) = ou {
        return of_unknown_device(registry, &ou, name).await;
    }
    let exchanged = registry.similar_names(&similar::exchanged(name)).await.ok()?;
    similar::explain_exchanged(name, &exchanged).filter(|_| reason == Reason::ProductUnknown)
}

/// The device of this key in the unit: another one may have a device of the same key.
async fn of_unit(registry: &dyn Registry, ou: &str, device_key: String) -> Option<DeviceName> {
    first(registry, DeviceQuery { device_key: Some(device_key), ..of_one(ou) }).await
}

/// One device of a unit.
fn of_one(ou: &str) -> DeviceQuery {
    DeviceQuery { ou: Some(ou.to_owned()), limit: 1, ..DeviceQuery::default() }
}

async fn first(registry: &dyn Registry, query: DeviceQuery) -> Option<DeviceName> {
    let found = registry.devices(query).await.ok()?.into_iter().flatten().next()?;
    Some(DeviceName { product_key: found.product_key, device_key: found.device_key })
}

/// An IMEI in another spelling, or an asset id, of a device of the unit. A few look-ups, each by an index.
async fn of_unknown_device(registry: &dyn Registry, ou: &str, name: &DeviceName) -> Option<String> {
    for device_key in similar::imei_spellings(&name.device_key) {
        let tried = DeviceName { product_key: name.product_key.clone(), device_key };
        if let Some(found) = registry.similar_names(&tried).await.ok()?.device
            && let Some(found) = of_unit(registry, ou, found.device_key).await
        {
            return Some(similar::explain_imei(name, &found));
        }
    }
    let query = DeviceQuery { asset_id: Some(name.device_key.clone()), ..of_one(ou) };
    Some(similar::explain_asset_id(name, &first(registry, query).await?))
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, sync::Arc};

    use narrowgate_api::{access::NewUnit, device::NewDeviceRequest, product::NewProduct};
    use narrowgate_platform::{
        ids::UnixMillis,
        memory::MemoryStore,
        ports::NobodyConnected,
        service::Operator,
        testing::{ManualClock, SeededEntropy, block_on},
    };

    use super::*;

    fn claimed(address: u8, device: i64) -> Origin {
        Origin::peer(IpAddr::from([10, 0, 0, address]), Some(DeviceId(device)))
    }

    #[test]
    fn a_key_that_nothing_explains_comes_with_the_command_to_compare_it() {
        let name = DeviceName { product_key: "pk".into(), device_key: "dk".into() };
        let said = |mode| unexplained(&Identity { name: name.clone(), mode, lifetime_s: 60 });
        let device = said(SecureMode::DeviceSecret);
        assert!(
            device.ends_with("compare it with `psk hex` of `narrowgate device secret pk/dk`"),
            "{device}"
        );
        let product = said(SecureMode::ProductSecret);
        assert!(product.ends_with("the secret that `narrowgate product create` printed"), "{product}");
    }

    #[test]
    fn what_was_meant_is_looked_for_in_the_organisation_unit_of_the_product() {
        let store = Arc::new(MemoryStore::default());
        let (clock, entropy) = (ManualClock::new(UnixMillis(1)), SeededEntropy::new(1));
        let operator =
            Operator::new(store.clone(), Arc::new(clock), Arc::new(entropy), Arc::new(NobodyConnected));
        block_on(operator.create_unit(NewUnit { name: "north".into(), ..NewUnit::default() }))
            .expect("it is new");
        for (key, ou) in [("pa", "default"), ("p2", "default"), ("pb", "north")] {
            let (product_key, ou) = (Some(key.to_owned()), Some(ou.to_owned()));
            let new = NewProduct { name: "n".into(), product_key, ou, ..NewProduct::default() };
            block_on(operator.create_product(new)).expect("it is new");
        }
        let create = |product: &str, key: &str| {
            let new = NewDeviceRequest { device_key: Some(key.into()), ..NewDeviceRequest::default() };
            block_on(operator.create_device(product, new)).expect("it is new").asset_id
        };
        create("pa", "METER-7");
        let asset_id = create("pa", "867725030096436");
        let said = |product: &str, key: &str| {
            let name = DeviceName { product_key: product.into(), device_key: key.into() };
            let diagnosis = Diagnosis::UnknownName { reason: Reason::DeviceUnknown, name };
            block_on(diagnosis.run(&*store)).unwrap_or_default()
        };
        let keys = ["METER-7", "meter-7", "\"METER-7\"", "86772503009643", &asset_id];
        for key in keys {
            assert_eq!(said("pb", key), "", "{key} belongs to another unit");
            let found = said("p2", key);
            assert!(found.contains("METER-7") || found.contains("867725030096436"), "{key}: {found}");
        }
        // The same key in the other unit hides none of its own.
        create("pb", "METER-7");
        assert!(said("pb", "meter-7").contains("but METER-7: keys are case-sensitive"));
    }

    #[test]
    fn what_is_looked_into_is_bounded_at_once_and_per_second() {
        let now = crate::tests::start();
        let mut diagnoses = Diagnoses::new(now);
        let held = (0..10).filter(|number| diagnoses.admit(claimed(*number, 1), now)).count();
        assert_eq!(held, AT_ONCE_MAX);
        (0..held).for_each(|_| diagnoses.leave());
        let mut admitted = |origin| {
            let admitted = diagnoses.admit(origin, now);
            if admitted {
                diagnoses.leave();
            }
            admitted
        };
        assert_eq!((0..100).filter(|number| admitted(claimed(*number, 1))).count(), 1, "of one network");
        let elsewhere = |n| Origin::peer(IpAddr::from([10, 1, n, 1]), Some(DeviceId(1)));
        assert_eq!((0..100).filter(|number| admitted(elsewhere(*number))).count(), 2, "of one device");
        let others = (100..=255).filter(|number| admitted(claimed(*number, i64::from(*number)))).count();
        assert_eq!(others, PER_SECOND_MAX as usize - PER_SOURCE_MAX as usize);
    }

    #[test]
    fn attack_210_four_loud_addresses_leave_some_for_others_in_every_second() {
        let start = crate::tests::start();
        let mut diagnoses = Diagnoses::new(start);
        for second in 0..3 {
            let mut admitted = |origin| {
                let admitted = diagnoses.admit(origin, start + Duration::from_secs(second));
                if admitted {
                    diagnoses.leave();
                }
                admitted
            };
            let loud = (0..400).filter(|n| admitted(claimed((n % 4) as u8, *n))).count();
            assert_eq!(loud, 4 + PER_SECOND_MAX as usize / 2, "the first of each, and half");
            assert_eq!((10..100).filter(|n| admitted(claimed(*n, 1000 + i64::from(*n)))).count(), 6);
        }
    }
}
