//! What operators do, on the store: products, devices, their secrets, what they reported, what happened to
//! them. A module per subject. Nothing here knows of sessions.

use std::{fmt, sync::Arc};

use narrowgate_api::{query::LIMIT_DEFAULT, secret::SecretText};

use super::{
    error::ServiceError, import_secrets::Unfetched, jobs::Jobs, rates::CountingNow, sealed::Seals,
    unit::UnitRegistry,
};
use crate::{
    device_api::MessageLimit,
    firmware::{IMAGE_BYTES_MAX, ServerName},
    ids::{DEFAULT_OU, DeviceId, DeviceName, UnixMillis},
    model::{
        access::Caller,
        product::Product,
        retention::RetentionClass,
        user::{SessionTimes, WaysIn},
    },
    ports::{
        AuditLog, Clock, Entropy, History, Images, Journal, NoPasswords, NoScripts, Passwords, Registry,
        Scripts, StoreError, Stores,
    },
    rules::names,
    secret::Secret,
};

/// Most entries that one call returns.
pub const LIMIT_MAX: usize = 1000;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(super) struct Registrar {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) registry: Arc<dyn Registry>,
    pub(super) history: Arc<dyn History>,
    pub(super) clock: Arc<dyn Clock>,
    /// What says what time it is where the other one would rather wait: [`Self::latest`].
    pub(super) wall: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    /// What runs the scripts of products.
    pub(super) scripts: Arc<dyn Scripts>,
    /// What hashes the passwords of users.
    pub(super) passwords: Arc<dyn Passwords>,
    /// Where browsers reach the server, where that is known.
    pub(super) origin: Option<Arc<str>>,
    /// How long sessions of users last.
    pub(super) session_times: SessionTimes,
    /// How users log in.
    pub(super) ways_in: WaysIn,
    /// The bytes of images of firmware.
    pub(super) images: Arc<dyn Images>,
    /// What operators changed.
    pub(super) audit: Arc<dyn AuditLog>,
    /// Bytes of the largest one.
    pub(super) image_bytes_max: u64,
    /// The longest message of a device.
    pub(super) message_limit: MessageLimit,
    /// What devices call this server.
    pub(super) server: ServerName,
    /// Those that products may name.
    pub(super) retention_classes: Arc<[RetentionClass]>,
    /// Of imports, whose secrets were not fetched yet.
    pub(super) unfetched: Arc<Unfetched>,
    /// What is done to many devices.
    pub(super) jobs: Arc<Jobs>,
    /// What the process knows of minutes that it counts.
    pub(super) counting: Option<Arc<CountingNow>>,
    /// Seals cursors.
    pub(super) seals: Seals,
    /// Who asks; the registry shows what this one may see.
    pub(super) caller: Arc<Caller>,
}

impl Registrar {
    /// A registrar over these ports.
    pub(super) fn new(stores: impl Into<Stores>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let Stores { journal, registry, history, images, audit } = stores.into();
        let retention_classes = Arc::new([RetentionClass::STANDARD]);
        let scripts = Arc::new(NoScripts);
        let image_bytes_max = IMAGE_BYTES_MAX;
        Self {
            journal,
            registry,
            history,
            images,
            audit,
            wall: Arc::clone(&clock),
            clock,
            entropy,
            scripts,
            passwords: Arc::new(NoPasswords),
            origin: None,
            session_times: SessionTimes::default(),
            ways_in: WaysIn::default(),
            retention_classes,
            image_bytes_max,
            message_limit: MessageLimit::default(),
            server: ServerName::default(),
            unfetched: Arc::default(),
            jobs: Arc::default(),
            counting: None,
            seals: Seals::default(),
            caller: Arc::new(Caller::Owner),
        }
    }

    /// The same for another caller. Only a registrar of the owner has all that a caller may see.
    pub(super) fn of(&self, caller: Caller) -> Self {
        let registry: Arc<dyn Registry> = match caller.unit() {
            Some(ou) => Arc::new(UnitRegistry::new(self.registry.clone(), ou)),
            None => self.registry.clone(),
        };
        Self { registry, caller: Arc::new(caller), ..self.clone() }
    }

    /// What time it is where something ends that opens doors: the clock of arrivals goes on from before a
    /// leap until the leap is confirmed.
    pub(super) fn latest(&self) -> UnixMillis {
        self.clock.now().max(self.wall.now())
    }

    /// The unit of a new product: the one that is named, else the caller's, else the default one.
    ///
    /// # Errors
    /// `Missing` where there is no such unit, or it is not the caller's.
    pub(super) async fn unit_of_new(&self, named: Option<String>) -> Result<String, ServiceError> {
        match named {
            Some(named) => self.unit_key(&named).await,
            None => Ok(self.caller.unit().unwrap_or(DEFAULT_OU).to_owned()),
        }
    }

    /// What is written down as the author of a script.
    pub(super) fn author(&self) -> String {
        self.caller.to_string()
    }

    /// The keys of a device; `None` where it is gone.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn device_name(&self, device: DeviceId) -> Result<Option<DeviceName>, ServiceError> {
        let device = self.registry.device_by_id(device).await?;
        Ok(device.map(|device| DeviceName { product_key: device.product_key, device_key: device.device_key }))
    }

    pub(super) async fn existing_product(&self, product_key: &str) -> Result<Product, ServiceError> {
        let product = self.registry.product(product_key).await.map_err(|error| match error {
            StoreError::Damaged(what) => ServiceError::Damaged {
                what,
                hint: "put it right (product create NAME --product-key PK --product-secret - keeps its \
                       devices), or restore a backup: docs/operating.md, Damage",
            },
            other => other.into(),
        })?;
        product.ok_or_else(|| ServiceError::Missing { what: "product", key: product_key.to_owned() })
    }
}

impl fmt::Debug for Registrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registrar")
    }
}

/// Checks a field that somebody filled in.
pub(super) fn check(field: &'static str, result: Result<(), names::NameError>) -> Result<(), ServiceError> {
    result.map_err(|fault| ServiceError::Invalid { field, message: fault.to_string() })
}

/// Checks how many entries were asked for.
pub(super) fn checked_limit(limit: Option<u32>, limit_max: usize) -> Result<usize, ServiceError> {
    let limit = limit.unwrap_or(LIMIT_DEFAULT) as usize;
    if (1..=limit_max).contains(&limit) {
        Ok(limit)
    } else {
        Err(ServiceError::Invalid {
            field: "limit",
            message: format!("is {limit}; it must be 1 to {limit_max}"),
        })
    }
}

/// The given secret, checked, with warnings if it is weaker than a generated one or its key has a zero byte;
/// or a new one.
pub(super) fn checked_or_new(
    field: &'static str,
    brought: Option<SecretText>,
    new: impl FnOnce() -> Secret,
) -> Result<(Secret, Vec<String>), ServiceError> {
    let Some(secret) = brought else { return Ok((new(), Vec::new())) };
    let secret = Secret::new(secret.into_text());
    check(field, names::check_secret(secret.expose()))?;
    let weakness = names::weakness(&secret).filter(|_| !names::is_as_generated(&secret));
    let warnings = weakness.into_iter().chain(names::cut_by_text(&secret)).collect();
    Ok((secret, warnings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_was_generated_is_not_warned_about_when_it_is_given_back() {
        let warned = |secret: &str| {
            checked_or_new("deviceSecret", Some(SecretText::new(secret.to_owned())), || unreachable!())
                .unwrap()
                .1
        };
        assert_eq!(warned("Z5YtZaQpK5IWocakV7zQ"), Vec::<String>::new());
        assert!(warned("12345678")[0].starts_with("the secret has about 14 bits"));
    }
}
