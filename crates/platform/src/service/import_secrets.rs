//! The secrets that an import generated, to be fetched once and within an hour.
//!
//! No file of them is made: what is kept here, in memory, are the keys of the devices, and the secrets are
//! read where all secrets are, sealed in the store, when they are fetched. So nothing is lost where the
//! process ends in the middle of an import or behind it. The same import is run again then, and the secrets
//! of devices that exist, have never logged in and have none in their rows are with the new ones; the log of
//! such a device says that its secret was shown.
//!
//! Limits: [`UNFETCHED_MAX`] imports of an organisation unit, and [`KEYS_BYTES_MAX`] bytes of keys of all.
//! A further import replaces the oldest of its own unit; where the keys are too many, the oldest of the unit
//! that has the most. So no unit loses any by another one, while it has less than its part.

use std::{
    collections::BTreeMap,
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
/// Imports of a unit whose secrets can be fetched at the same time.
const UNFETCHED_MAX: usize = 16;
/// Bytes of the keys of all of them: of some eight million devices.
const KEYS_BYTES_MAX: usize = 128 << 20;
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
    /// The organisation unit of its product.
    ou: String,
    since: UnixMillis,
    /// Of two with the same time the later one has the greater number.
    number: u64,
    product_key: String,
    /// The devices that are left of those that it made.
    created: Keys,
    /// And of those that it only found.
    unseen: Keys,
}

impl ImportSecrets {
    /// The key of the product whose devices they are.
    pub fn product_key(&self) -> &str {
        &self.product_key
    }
}

/// Keys in their order, in one text: a million of them would take three times as much otherwise.
#[derive(Debug, Default)]
struct Keys {
    /// A line each.
    text: Box<str>,
    /// Bytes that were taken.
    taken: usize,
}

impl Keys {
    fn new(keys: Vec<String>) -> Self {
        let bytes = keys.iter().map(|key| key.len() + 1).sum();
        let mut text = String::with_capacity(bytes);
        for key in keys {
            text.push_str(&key);
            text.push('\n');
        }
        Self { text: text.into_boxed_str(), taken: 0 }
    }

    fn take(&mut self, count: usize) -> Vec<String> {
        let keys: Vec<_> = self.text[self.taken..].lines().take(count).map(str::to_owned).collect();
        self.taken += keys.iter().map(|key| key.len() + 1).sum::<usize>();
        keys
    }
}

impl ImportSecrets {
    fn bytes(&self) -> usize {
        self.created.text.len() + self.unseen.text.len()
    }
}

/// Those of all imports that nobody has fetched.
#[derive(Debug, Default)]
pub(super) struct Unfetched(Mutex<BTreeMap<String, ImportSecrets>>);

impl Unfetched {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ImportSecrets>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room for one more of a unit with so many bytes.
fn make_room(unfetched: &mut BTreeMap<String, ImportSecrets>, ou: &str, bytes: usize) {
    let remove_oldest = |unfetched: &mut BTreeMap<String, ImportSecrets>, ou: &str| {
        let own = unfetched.iter().filter(|(_, kept)| kept.ou == ou);
        let oldest = own.min_by_key(|(_, kept)| (kept.since, kept.number)).map(|(name, _)| name.clone());
        oldest.and_then(|oldest| unfetched.remove(&oldest)).is_some()
    };
    while unfetched.values().filter(|kept| kept.ou == ou).count() >= UNFETCHED_MAX {
        remove_oldest(unfetched, ou);
    }
    loop {
        let mut of_units: BTreeMap<&str, usize> = BTreeMap::from([(ou, bytes)]);
        for kept in unfetched.values() {
            *of_units.entry(&kept.ou).or_default() += kept.bytes();
        }
        if of_units.values().sum::<usize>() <= KEYS_BYTES_MAX {
            return;
        }
        let most = of_units.into_iter().max_by_key(|(_, bytes)| *bytes);
        let most = most.map_or_else(String::new, |(ou, _)| ou.to_owned());
        if !remove_oldest(unfetched, &most) {
            return;
        }
    }
}

impl Registrar {
    /// Keeps them to be fetched under the name that is returned.
    ///
    /// # Errors
    /// `Missing`: the product is gone.
    pub(super) async fn keep_import(
        &self,
        product_key: &str,
        imported: Imported,
    ) -> Result<String, ServiceError> {
        let ou = self.existing_product(product_key).await?.ou;
        let mut name = [0; 16];
        self.entropy.fill(&mut name);
        let name = hex::write(&name);
        let now = self.clock.now();
        let [created, unseen] = [imported.created, imported.unseen].map(Keys::new);
        let product_key = product_key.to_owned();
        let mut secrets = ImportSecrets { ou, since: now, number: 0, product_key, created, unseen };
        let mut unfetched = self.unfetched.lock();
        unfetched.retain(|_, kept| !kept.is_over(now));
        make_room(&mut unfetched, &secrets.ou, secrets.bytes());
        secrets.number = unfetched.values().map(|kept| kept.number + 1).max().unwrap_or(0);
        unfetched.insert(name.clone(), secrets);
        Ok(name)
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
            kept.product_key.clone()
        };
        match self.existing_product(&product_key).await {
            Ok(_) => {}
            Err(ServiceError::Missing { .. }) => return Err(missing()),
            Err(error) => return Err(error),
        }
        self.unfetched.lock().remove(name).ok_or_else(missing)
    }

    /// Puts those back of which nothing could be given out: they can be fetched as long as before.
    pub(super) fn put_import_back(&self, name: &str, secrets: ImportSecrets) {
        self.unfetched.lock().insert(name.to_owned(), secrets);
    }

    /// The next of them; none at the end. A device that is gone meanwhile is left out.
    ///
    /// # Errors
    /// Only the store's; the same ones come next then.
    pub(super) async fn next_secrets(
        &self,
        secrets: &mut ImportSecrets,
    ) -> Result<Vec<DeviceCreated>, ServiceError> {
        let taken = [secrets.created.taken, secrets.unseen.taken];
        let found = self.step_of_secrets(secrets).await;
        if found.is_err() {
            [secrets.created.taken, secrets.unseen.taken] = taken;
        }
        found
    }

    async fn step_of_secrets(&self, secrets: &mut ImportSecrets) -> Result<Vec<DeviceCreated>, ServiceError> {
        let mut found = Vec::new();
        while found.is_empty() {
            let mut step = secrets.created.take(STEP);
            if step.is_empty() {
                step = secrets.unseen.take(STEP);
                self.note_shown(&secrets.product_key, &step).await?;
            }
            if step.is_empty() {
                break;
            }
            for device_key in step {
                found.extend(self.secret_of(&secrets.product_key, device_key).await?);
            }
        }
        Ok(found)
    }

    /// The logs of those that existed already say so, durably, before anything is shown.
    async fn note_shown(&self, product_key: &str, step: &[String]) -> Result<(), ServiceError> {
        let now = self.clock.now();
        let mut noted = Vec::new();
        for device_key in step {
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

impl ImportSecrets {
    fn is_over(&self, now: UnixMillis) -> bool {
        now.0 >= self.since.0.saturating_add(KEPT_MS)
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_api::{access::NewUnit, import::ImportRow, product::NewProduct};

    use super::*;
    use crate::{
        model::log::LogEvent,
        service::fixtures::{registrar_and_clock, registrar_with_product, registrar_with_product_and_store},
        testing::block_on,
    };

    fn rows(keys: &[&str]) -> Vec<ImportRow> {
        let row = |(line, key): (u64, &&str)| ImportRow {
            line,
            device_key: (*key).to_owned(),
            ..ImportRow::default()
        };
        (2..).zip(keys).map(row).collect()
    }

    fn keep(registrar: &Registrar, product_key: &str, imported: Imported) -> String {
        block_on(registrar.keep_import(product_key, imported)).expect("the product is there")
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
        let name = keep(&registrar, "pk", Imported { created, unseen: Vec::new() });
        assert_eq!(fetch(&registrar, &name), Ok(expected));
        let again = Err(format!("there is no file of secrets {name}"));
        assert_eq!(fetch(&registrar, &name), again);
    }

    #[test]
    fn secrets_that_could_not_be_read_can_be_fetched_later() {
        let (registrar, store) = registrar_with_product_and_store();
        block_on(registrar.import_devices("pk", rows(&["d1"]), false)).expect("it works");
        let name = keep(&registrar, "pk", Imported { created: vec![], unseen: vec!["d1".to_owned()] });
        let mut secrets = block_on(registrar.take_import(&name)).expect("they are there");
        // The note that they are shown.
        store.fail_after(0);
        block_on(registrar.next_secrets(&mut secrets)).expect_err("the store does not work");
        store.fail_after(u32::MAX);
        registrar.put_import_back(&name, secrets);
        assert_eq!(fetch(&registrar, &name).expect("they are there again").len(), 1);
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
        let name = keep(&registrar, "pk", Imported { created, unseen: again.unseen });
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
        let new = NewProduct { name: "n".into(), product_key: Some("pk".into()), ..NewProduct::default() };
        block_on(registrar.create_product(new)).expect("it is valid");
        let keep = || keep(&registrar, "pk", Imported::default());
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

    /// Products `pk` of the default unit and `pn` of the unit north.
    fn with_two_units() -> Registrar {
        let registrar = registrar_with_product();
        block_on(registrar.create_unit(NewUnit { name: "north".into(), ..NewUnit::default() }))
            .expect("it is new");
        let (product_key, ou) = (Some("pn".to_owned()), Some("north".to_owned()));
        let product = NewProduct { name: "n".into(), product_key, ou, ..NewProduct::default() };
        block_on(registrar.create_product(product)).expect("it is new");
        registrar
    }

    #[test]
    fn imports_of_one_unit_never_take_the_secrets_of_another() {
        let registrar = with_two_units();
        let first = keep(&registrar, "pk", Imported::default());
        let north: Vec<_> =
            (0..2 * UNFETCHED_MAX).map(|_| keep(&registrar, "pn", Imported::default())).collect();
        assert!(fetch(&registrar, &first).is_ok());
        // All at the same moment: the last ones are those that stay.
        let is_there: Vec<_> = north.iter().map(|name| fetch(&registrar, name).is_ok()).collect();
        assert_eq!(is_there, [[false; UNFETCHED_MAX], [true; UNFETCHED_MAX]].concat());
    }

    #[test]
    fn the_keys_of_all_imports_have_a_bound_at_which_the_unit_with_the_most_loses_some() {
        let registrar = with_two_units();
        let many = |bytes: usize| Imported { created: vec!["k".repeat(bytes - 1)], unseen: Vec::new() };
        let third = KEYS_BYTES_MAX / 3;
        let few = keep(&registrar, "pk", many(third));
        let [first, second, last] = [(); 3].map(|()| keep(&registrar, "pn", many(third)));
        let names = |registrar: &Registrar| {
            let unfetched = registrar.unfetched.lock();
            assert!(unfetched.values().map(ImportSecrets::bytes).sum::<usize>() <= KEYS_BYTES_MAX);
            [&few, &first, &second, &last].map(|name| unfetched.contains_key(name))
        };
        assert_eq!(names(&registrar), [true, false, true, true]);
        let other = keep(&registrar, "pk", many(third / 2));
        assert_eq!(names(&registrar), [true, false, false, true]);
        assert!(registrar.unfetched.lock().contains_key(&other));
    }
}
