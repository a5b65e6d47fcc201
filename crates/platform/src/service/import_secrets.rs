//! The secrets that an import generated, to be fetched once and within an hour.
//!
//! No file of them is made: what is kept here, in memory, are the keys of the devices, and the secrets are
//! read where all secrets are, sealed in the store, when they are fetched. So nothing is lost where the
//! process ends in the middle of an import or behind it. The same import is run again then, and the secrets
//! of devices that exist, have never logged in and have none in their rows are with the new ones; the log of
//! such a device says that its secret was shown.
//!
//! Limits: [`UNFETCHED_MAX`] imports; a further one replaces the oldest.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use narrowgate_api::device::DeviceCreated;

use super::{error::ServiceError, registrar::Registrar, view};
use crate::{
    hex,
    ids::{DeviceName, UnixMillis},
    model::credential::CredentialLookup,
    ports::{RegistryChanges as _, StoreError},
};

/// How long they can be fetched.
const KEPT_MS: i64 = 3_600_000;
/// Imports whose secrets can be fetched at the same time.
const UNFETCHED_MAX: usize = 16;
/// Devices whose secrets are read at once.
const STEP: usize = 50;

/// The keys of devices whose secrets an import generated.
#[derive(Debug, Default)]
pub struct Imported {
    /// It made these.
    pub created: Vec<String>,
    /// It found these, as [`narrowgate_api::import::ImportReport::unseen`] says.
    pub unseen: Vec<String>,
}

impl Imported {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.created.is_empty() && self.unseen.is_empty()
    }
}

/// The secrets of one import, while they are fetched.
#[derive(Debug)]
pub struct ImportSecrets {
    product_key: String,
    /// The devices that are left, each with whether the import only found it.
    left: VecDeque<(String, bool)>,
}

/// Those of all imports that nobody has fetched.
#[derive(Debug, Default)]
pub(super) struct Unfetched(Mutex<BTreeMap<String, Kept>>);

#[derive(Debug)]
struct Kept {
    since: UnixMillis,
    secrets: ImportSecrets,
}

impl Unfetched {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registrar {
    /// Keeps them to be fetched under the name that is returned.
    pub(super) fn keep_import(&self, product_key: &str, imported: Imported) -> String {
        let mut name = [0; 16];
        self.entropy.fill(&mut name);
        let name = hex::write(&name);
        let now = self.clock.now();
        let created = imported.created.into_iter().map(|device_key| (device_key, false));
        let unseen = imported.unseen.into_iter().map(|device_key| (device_key, true));
        let secrets =
            ImportSecrets { product_key: product_key.to_owned(), left: created.chain(unseen).collect() };
        let mut unfetched = self.unfetched.lock();
        unfetched.retain(|_, kept| !kept.is_over(now));
        if unfetched.len() >= UNFETCHED_MAX {
            let oldest = unfetched.iter().min_by_key(|(_, kept)| kept.since);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                unfetched.remove(&oldest);
            }
        }
        unfetched.insert(name.clone(), Kept { since: now, secrets });
        name
    }

    /// Takes them: they cannot be fetched again.
    ///
    /// # Errors
    /// `Missing`: they were fetched, their hour is over, or they belong to another organisation unit.
    pub(super) async fn take_import(&self, name: &str) -> Result<ImportSecrets, ServiceError> {
        let missing = || ServiceError::Missing { what: "file of secrets", key: name.to_owned() };
        let now = self.clock.now();
        let product_key = {
            let unfetched = self.unfetched.lock();
            let kept = unfetched.get(name).filter(|kept| !kept.is_over(now)).ok_or_else(missing)?;
            kept.secrets.product_key.clone()
        };
        match self.existing_product(&product_key).await {
            Ok(_) => {}
            Err(ServiceError::Missing { .. }) => return Err(missing()),
            Err(error) => return Err(error),
        }
        self.unfetched.lock().remove(name).map(|kept| kept.secrets).ok_or_else(missing)
    }

    /// The next of them; none at the end. A device that is gone meanwhile is left out.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn next_secrets(
        &self,
        secrets: &mut ImportSecrets,
    ) -> Result<Vec<DeviceCreated>, ServiceError> {
        let mut found = Vec::new();
        while found.is_empty() && !secrets.left.is_empty() {
            let step: Vec<_> = secrets.left.drain(..STEP.min(secrets.left.len())).collect();
            self.note_shown(&secrets.product_key, &step).await?;
            for (device_key, _) in step {
                found.extend(self.secret_of(&secrets.product_key, device_key).await?);
            }
        }
        Ok(found)
    }

    /// The logs of those that exist already say so, durably, before anything is shown.
    async fn note_shown(&self, product_key: &str, step: &[(String, bool)]) -> Result<(), ServiceError> {
        let now = self.clock.now();
        let mut noted = Vec::new();
        for (device_key, _) in step.iter().filter(|(_, was_there)| *was_there) {
            let name = DeviceName { product_key: product_key.to_owned(), device_key: device_key.clone() };
            if let Some(device) = self.registry.device(&name).await? {
                // Asked for all at once, so that they are committed together.
                let detail = Some("with those of an import".to_owned());
                noted.push(self.registry.note_secret_shown(device.id, now, detail));
            }
        }
        for noted in noted {
            match noted.await {
                Ok(()) | Err(StoreError::Missing { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn secret_of(
        &self,
        product_key: &str,
        device_key: String,
    ) -> Result<Option<DeviceCreated>, ServiceError> {
        let found = self.registry.credentials(product_key, &device_key).await?;
        let CredentialLookup::Found(credentials) = found else { return Ok(None) };
        Ok(Some(DeviceCreated {
            asset_id: credentials.asset_id,
            product_key: product_key.to_owned(),
            device_key,
            device_secret: view::shown(&credentials.device_secret),
            warnings: Vec::new(),
        }))
    }
}

impl Kept {
    fn is_over(&self, now: UnixMillis) -> bool {
        now.0 >= self.since.0.saturating_add(KEPT_MS)
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_api::import::ImportRow;

    use super::*;
    use crate::{
        model::log::LogEvent,
        service::fixtures::{registrar_and_clock, registrar_with_product},
        testing::block_on,
    };

    fn rows(keys: &[&str]) -> Vec<ImportRow> {
        let row = |(line, key): (u64, &&str)| ImportRow {
            line,
            device_key: (*key).to_owned(),
            device_secret: None,
            is_generated: false,
            name: None,
        };
        (2..).zip(keys).map(row).collect()
    }

    fn fetch(registrar: &Registrar, name: &str) -> Result<Vec<(String, String)>, String> {
        let mut secrets = block_on(registrar.take_import(name)).map_err(|error| error.to_string())?;
        let mut all = Vec::new();
        loop {
            let some = block_on(registrar.next_secrets(&mut secrets)).expect("the store works");
            if some.is_empty() {
                return Ok(all);
            }
            let pair = |made: DeviceCreated| (made.device_key, made.device_secret.expose().to_owned());
            all.extend(some.into_iter().map(pair));
        }
    }

    #[test]
    fn secrets_of_an_import_are_fetched_once() {
        let registrar = registrar_with_product();
        let report = block_on(registrar.import_devices("pk", rows(&["d1", "d2"]), false)).expect("it works");
        assert_eq!((report.created, report.unseen.len()), (2, 0));
        let expected: Vec<_> = report
            .generated
            .iter()
            .map(|made| (made.device_key.clone(), made.device_secret.expose().to_owned()))
            .collect();
        let created = vec!["d1".to_owned(), "d2".to_owned(), "gone".to_owned()];
        let name = registrar.keep_import("pk", Imported { created, unseen: Vec::new() });
        assert_eq!(fetch(&registrar, &name), Ok(expected));
        let again = Err(format!("there is no file of secrets {name}"));
        assert_eq!(fetch(&registrar, &name), again);
    }

    #[test]
    fn an_import_that_was_cut_off_is_run_again_and_gives_all_secrets() {
        let registrar = registrar_with_product();
        // The process ended before anybody heard of these.
        let cut_off = block_on(registrar.import_devices("pk", rows(&["d1", "d2"]), false));
        let secrets = cut_off.expect("it works").generated;
        let again = block_on(registrar.import_devices("pk", rows(&["d1", "d2", "d3"]), false));
        let again = again.expect("it works");
        assert_eq!((again.created, again.skipped), (1, 2));
        assert_eq!(again.unseen, ["d1", "d2"]);
        let created = again.generated.iter().map(|made| made.device_key.clone()).collect();
        let name = registrar.keep_import("pk", Imported { created, unseen: again.unseen });
        let fetched = fetch(&registrar, &name).expect("nobody has fetched them");
        assert_eq!(fetched.len(), 3);
        for made in secrets {
            assert!(fetched.contains(&(made.device_key.clone(), made.device_secret.expose().to_owned())));
        }
        let events = |key: &str| {
            let device = block_on(registrar.resolve(key, None)).expect("it exists");
            let paging = narrowgate_api::query::Paging::first(9);
            let log = block_on(registrar.log(&device, &paging)).expect("it works").items;
            log.iter().filter(|entry| entry.event == LogEvent::SecretShown).count()
        };
        assert_eq!((events("d1"), events("d2"), events("d3")), (1, 1, 0));
    }

    #[test]
    fn secrets_of_an_import_can_be_fetched_for_an_hour_and_are_few() {
        let (registrar, clock) = registrar_and_clock();
        let new = narrowgate_api::product::NewProduct {
            name: "n".into(),
            product_key: Some("pk".into()),
            ..narrowgate_api::product::NewProduct::default()
        };
        block_on(registrar.create_product(new)).expect("it is valid");
        let keep = || registrar.keep_import("pk", Imported::default());
        let name = keep();
        clock.advance_ms(KEPT_MS - 1);
        assert_eq!(fetch(&registrar, &name), Ok(Vec::new()));
        let name = keep();
        clock.advance_ms(KEPT_MS);
        assert!(fetch(&registrar, &name).is_err());
        let first = keep();
        clock.advance_ms(1);
        let rest: Vec<_> = (0..UNFETCHED_MAX).map(|_| keep()).collect();
        assert!(fetch(&registrar, &first).is_err());
        assert!(rest.iter().all(|name| fetch(&registrar, name).is_ok()));
    }
}
