//! Many devices at once.

use std::collections::HashMap;

use narrowgate_api::{
    device::DeviceCreated,
    import::{ImportFault, ImportReport, ImportRow},
};

use super::{error::ServiceError, properties::first_edit, registrar::Registrar, view};
use crate::{
    ids::{DeviceId, DeviceName},
    model::{
        credential::{CredentialLookup, Credentials},
        device::NewDevice,
        property::{PropertyEdit, PropertyKind},
        thing_model::ThingModel,
    },
    ports::{DeviceQuery, RegistryChanges as _, StoreError},
    rules::names::{self, NameError},
    secret::Secret,
};

/// Devices created in one transaction. Between two of them the store commits what devices sent meanwhile, so
/// a report waits for some milliseconds, however long the file is. More would not be much faster.
pub const IMPORT_CHUNK: usize = 50;

impl Registrar {
    /// Registers the devices of a file, in transactions of [`IMPORT_CHUNK`]. A device that exists with the
    /// row's secret, or whose row has none, is skipped, so an interrupted import is simply run again; no
    /// secret of a device that exists is changed. A dry run changes nothing and reports the same.
    ///
    /// A secret that the caller generated counts as none: a device that exists with another one is skipped.
    ///
    /// # Errors
    /// `Missing` for an unknown product. A fault of a row is in the report.
    pub(super) async fn import_devices(
        &self,
        product_key: &str,
        rows: Vec<ImportRow>,
        dry_run: bool,
    ) -> Result<ImportReport, ServiceError> {
        let ou = self.existing_product(product_key).await?.ou;
        // Of what a dry run looks for.
        let dry_run = dry_run.then_some(&*ou);
        let has_attributes = rows.iter().any(|row| row.attributes.is_some());
        let model = match has_attributes {
            true => self.model_of(product_key, PropertyKind::Attribute).await?,
            false => None,
        };
        let mut report = ImportReport::default();
        let mut lines = HashMap::new();
        let mut chunk = Vec::new();
        for row in rows {
            let checked = check(&row, &mut lines).and_then(|()| first_properties(&row, model.as_ref()));
            match checked {
                Ok(properties) => chunk.push((row, properties)),
                Err(fault) => report.failed.push(fault),
            }
            if chunk.len() == IMPORT_CHUNK {
                self.import_chunk(product_key, std::mem::take(&mut chunk), dry_run, &mut report).await?;
            }
        }
        self.import_chunk(product_key, chunk, dry_run, &mut report).await?;
        report.failed.sort_by_key(|fault| fault.line);
        Ok(report)
    }

    async fn import_chunk(
        &self,
        product_key: &str,
        rows: Vec<(ImportRow, Vec<PropertyEdit>)>,
        dry_run: Option<&str>,
        report: &mut ImportReport,
    ) -> Result<(), ServiceError> {
        if let Some(ou) = dry_run {
            for (row, _) in rows {
                self.try_row((product_key, ou), &row, report).await?;
            }
            return Ok(());
        }
        if rows.is_empty() {
            return Ok(());
        }
        let new = |(row, properties): &(ImportRow, Vec<PropertyEdit>)| NewDevice {
            product_key: product_key.to_owned(),
            device_key: row.device_key.clone(),
            device_secret: brought(row).unwrap_or_else(|| names::new_device_secret(&*self.entropy)),
            asset_id: names::new_asset_id(&*self.entropy),
            name: row.name.clone().unwrap_or_default(),
            properties: properties.clone(),
        };
        let devices: Vec<NewDevice> = rows.iter().map(new).collect();
        let secrets: Vec<Secret> = devices.iter().map(|device| device.device_secret.clone()).collect();
        let results = self.create_all(devices).await?;
        for (((row, _), secret), result) in rows.iter().zip(secrets).zip(results) {
            match result {
                Ok(device) => {
                    count_created(row, report);
                    report.made.push(row.device_key.clone());
                    if row.is_generated || row.device_secret.is_none() {
                        report.generated.push(in_force(product_key, row, device.asset_id, &secret));
                    }
                }
                Err(StoreError::Exists { what: "device", .. }) => {
                    self.existing_row(product_key, row, report).await?;
                }
                Err(error) => report.failed.push(fault(row, None, error.to_string())),
            }
        }
        Ok(())
    }

    /// Deletes devices again that an import has just made, since all of its rows were wanted or none. One
    /// that has logged in meanwhile stays. Returns those that are gone, and how many stay.
    ///
    /// # Errors
    /// Only the store's; some may be gone then.
    pub(super) async fn take_back(
        &self,
        product_key: &str,
        device_keys: &[String],
    ) -> Result<(Vec<DeviceId>, u64), ServiceError> {
        let (mut gone, mut kept) = (Vec::new(), 0);
        for step in device_keys.chunks(IMPORT_CHUNK) {
            let mut deleted = Vec::new();
            for device_key in step {
                let name = DeviceName { product_key: product_key.to_owned(), device_key: device_key.clone() };
                match self.registry.device(&name).await {
                    Ok(Some(device)) if device.active_time.is_none() => {
                        // Asked for all at once, so that they are committed together.
                        deleted.push((device.id, self.registry.delete_device(device.id, self.clock.now())));
                    }
                    Ok(None) => {}
                    Ok(Some(_)) | Err(StoreError::Damaged(_)) => kept += 1,
                    Err(error) => return Err(error.into()),
                }
            }
            for (device, deleted) in deleted {
                match deleted.await {
                    Ok(()) | Err(StoreError::Missing { .. }) => gone.push(device),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok((gone, kept))
    }

    /// What creating the device of a row would do, of a product of this organisation unit.
    async fn try_row(
        &self,
        (product_key, ou): (&str, &str),
        row: &ImportRow,
        report: &mut ImportReport,
    ) -> Result<(), ServiceError> {
        let (ou, device_key) = (Some(ou.to_owned()), Some(row.device_key.clone()));
        let query = DeviceQuery { ou, device_key, limit: 1, ..DeviceQuery::default() };
        if self.registry.devices(query).await?.is_empty() {
            count_created(row, report);
            return Ok(());
        }
        self.existing_row(product_key, row, report).await
    }

    /// Compares a row with the device that has its key.
    async fn existing_row(
        &self,
        product_key: &str,
        row: &ImportRow,
        report: &mut ImportReport,
    ) -> Result<(), ServiceError> {
        let found = match self.registry.credentials(product_key, &row.device_key).await {
            // One damaged device must not keep all others out.
            Err(StoreError::Damaged(what)) => {
                let message = format!("the device exists and is damaged ({what}): delete it first");
                report.failed.push(fault(row, Some("deviceKey"), message));
                return Ok(());
            }
            found => found?,
        };
        match found {
            CredentialLookup::Found(credentials) if row.is_generated => {
                report.skipped += 1;
                // The generated secret of an interrupted import, or one that the device had before.
                if brought(row).as_ref() == Some(&credentials.device_secret) {
                    let Credentials { asset_id, device_secret, .. } = *credentials;
                    report.generated.push(in_force(product_key, row, asset_id, &device_secret));
                }
            }
            CredentialLookup::Found(credentials) => match brought(row) {
                Some(secret) if secret != credentials.device_secret => {
                    report.failed.push(fault(
                        row,
                        Some("deviceSecret"),
                        "the device exists with another secret, which was not changed",
                    ));
                }
                Some(_) => {
                    report.skipped += 1;
                    report.same_secret += 1;
                }
                None => {
                    report.skipped += 1;
                    if !credentials.activated {
                        report.unseen.push(row.device_key.clone());
                    }
                }
            },
            CredentialLookup::ProductUnknown | CredentialLookup::DeviceUnknown => {
                let message = "a device of another product of its organisation unit has this key";
                report.failed.push(fault(row, Some("deviceKey"), message));
            }
        }
        Ok(())
    }
}

/// The secret of a row.
fn brought(row: &ImportRow) -> Option<Secret> {
    row.device_secret.as_ref().map(|secret| Secret::new(secret.expose().to_owned()))
}

/// Checks what can be checked of a row without the store.
fn check(row: &ImportRow, lines: &mut HashMap<String, u64>) -> Result<(), ImportFault> {
    let field = |column, result: Result<(), NameError>| {
        result.map_err(|error| fault(row, Some(column), error.to_string()))
    };
    field("deviceKey", names::check_new_key(&row.device_key))?;
    if let Some(secret) = &row.device_secret {
        field("deviceSecret", names::check_secret(secret.expose()))?;
    }
    field("name", names::check_display_name(row.name.as_deref().unwrap_or_default()))?;
    match lines.insert(row.device_key.clone(), row.line) {
        None => Ok(()),
        Some(line) => {
            lines.insert(row.device_key.clone(), line);
            Err(fault(row, Some("deviceKey"), format!("is the same as in line {line}")))
        }
    }
}

/// What the device of a row begins with.
fn first_properties(row: &ImportRow, model: Option<&ThingModel>) -> Result<Vec<PropertyEdit>, ImportFault> {
    let all = [(PropertyKind::Tag, &row.tags), (PropertyKind::Attribute, &row.attributes)];
    let mut edits = Vec::new();
    for (kind, all) in all {
        let Some(all) = all.as_ref().filter(|all| !all.0.is_empty()) else { continue };
        let of = |(column, message): (String, String)| fault(row, Some(&column), message);
        edits.push(first_edit(kind, all, model).map_err(of)?);
    }
    Ok(edits)
}

fn fault(row: &ImportRow, column: Option<&str>, message: impl Into<String>) -> ImportFault {
    ImportFault { line: row.line, column: column.map(str::to_owned), message: message.into() }
}

fn in_force(product_key: &str, row: &ImportRow, asset_id: String, device_secret: &Secret) -> DeviceCreated {
    let (product_key, device_key) = (product_key.to_owned(), row.device_key.clone());
    let device_secret = view::shown(device_secret);
    DeviceCreated { asset_id, product_key, device_key, device_secret, warnings: Vec::new() }
}

/// Counts a device that was created, or would be, and a warning if it was given a weak secret.
fn count_created(row: &ImportRow, report: &mut ImportReport) {
    report.created += 1;
    if row.is_generated {
        return;
    }
    let Some(weak) = brought(row).and_then(|secret| view::weak_secret(&secret, row.line)) else {
        return;
    };
    report.weak_secrets = Some(report.weak_secrets.map_or(weak, |before| before.with(weak)));
}

#[cfg(test)]
mod tests {
    use narrowgate_api::{
        access::NewUnit, device::NewDeviceRequest, product::NewProduct, query::DeviceList, secret::SecretText,
    };

    use super::*;
    use crate::{
        service::fixtures::{registrar_with_product, registrar_with_product_and_store},
        testing::{
            block_on,
            store::fixtures::{append, at, login},
        },
    };

    fn row(line: u64, device_key: &str, device_secret: Option<&str>) -> ImportRow {
        let device_secret = device_secret.map(|secret| SecretText::new(secret.to_owned()));
        ImportRow { line, device_key: device_key.to_owned(), device_secret, ..ImportRow::default() }
    }

    fn import(registrar: &Registrar, rows: Vec<ImportRow>, dry_run: bool) -> ImportReport {
        block_on(registrar.import_devices("pk", rows, dry_run)).expect("the product exists")
    }

    fn count(registrar: &Registrar) -> usize {
        block_on(registrar.devices(&DeviceList { limit: Some(1000), ..DeviceList::default() }))
            .expect("it works")
            .items
            .len()
    }

    #[test]
    fn devices_are_created_and_generated_secrets_are_given_back() {
        let registrar = registrar_with_product();
        let report = import(&registrar, vec![row(2, "a", Some("secret-of-a")), row(3, "b", None)], false);
        assert_eq!((report.created, report.skipped, report.failed.len()), (2, 0, 0));
        let [secret] = &report.generated[..] else { panic!("one secret was generated") };
        assert_eq!((secret.device_key.as_str(), secret.device_secret.expose().len()), ("b", 20));
        let weak = report.weak_secrets.expect("a secret of 11 characters is weak");
        assert_eq!((weak.count, weak.weakest_line), (1, 2));
        assert!(weak.weakest_bits < 128);
        let device = block_on(registrar.resolve("b", None)).expect("it exists");
        let shown = block_on(registrar.device_secret(&device)).expect("it exists");
        assert_eq!(shown.device_secret.expose(), secret.device_secret.expose());
    }

    #[test]
    fn an_import_can_be_run_again() {
        let registrar = registrar_with_product();
        let rows = || vec![row(2, "a", Some("secret-of-a")), row(3, "b", None)];
        import(&registrar, rows(), false);
        let again = import(&registrar, rows(), false);
        assert_eq!((again.created, again.skipped, again.failed.len(), again.generated.len()), (0, 2, 0, 0));
        assert_eq!(again.same_secret, 1, "the other row has none");
        assert_eq!(again.weak_secrets, None, "a secret that is there already is not brought");
    }

    #[test]
    fn generated_secrets_that_come_back_are_counted_apart_from_weak_ones() {
        let registrar = registrar_with_product();
        let generated = import(&registrar, vec![row(2, "a", None), row(3, "b", None)], false).generated;
        let rows = || {
            let given_back = generated.iter().zip(2..);
            given_back
                .map(|(made, line)| row(line, &made.device_key, Some(made.device_secret.expose())))
                .collect()
        };
        let same = import(&registrar, rows(), false);
        assert_eq!((same.skipped, same.same_secret, same.weak_secrets), (2, 2, None));

        let elsewhere = registrar_with_product();
        let weak = import(&elsewhere, rows(), false).weak_secrets.expect("they have 119 bits");
        assert_eq!((weak.count, weak.as_generated), (2, 2));
        let weak = import(&elsewhere, vec![row(2, "c", Some("12345678"))], false).weak_secrets;
        let weak = weak.expect("it has 14 bits");
        assert_eq!((weak.count, weak.as_generated, weak.weakest_bits, weak.weakest_line), (1, 0, 14, 2));
    }

    #[test]
    fn attack_214_a_secret_generated_for_the_import_is_told_whether_it_is_in_force() {
        let registrar = registrar_with_product();
        let generated =
            |line, key: &str, secret: &str| ImportRow { is_generated: true, ..row(line, key, Some(secret)) };
        import(&registrar, vec![row(2, "known", Some("one"))], false);
        let rows = || {
            vec![
                generated(2, "a", "Z5YtZaQpK5IWocakV7zQ"),
                generated(3, "known", "Z5YtZaQpK5IWocakV7zR"),
                generated(4, "c,d", "Z5YtZaQpK5IWocakV7zS"),
            ]
        };
        let first = import(&registrar, rows(), false);
        assert_eq!((first.created, first.skipped, first.failed.len()), (1, 1, 1));
        assert_eq!(first.weak_secrets, None, "nobody brought it");
        let again = import(&registrar, rows(), false);
        assert_eq!((again.created, again.skipped, again.failed.len()), (0, 2, 1));
        assert_eq!(again.same_secret, 0, "the rows have none");
        for report in [first, again] {
            let [secret] = &report.generated[..] else { panic!("one is in force: {report:?}") };
            let device = block_on(registrar.resolve("a", None)).expect("it exists");
            assert_eq!((&*secret.device_key, &secret.asset_id), ("a", &device.asset_id));
            assert_eq!(secret.device_secret.expose(), "Z5YtZaQpK5IWocakV7zQ");
        }
    }

    #[test]
    fn rows_that_cannot_be_imported_are_named_and_do_not_hinder_the_others() {
        for dry_run in [true, false] {
            let registrar = registrar_with_product();
            let other =
                NewProduct { name: "n".into(), product_key: Some("other".into()), ..NewProduct::default() };
            block_on(registrar.create_product(other)).expect("it is valid");
            let taken = NewDeviceRequest { device_key: Some("taken".into()), ..NewDeviceRequest::default() };
            block_on(registrar.create_device("other", taken)).expect("it is valid");
            import(&registrar, vec![row(1, "known", Some("one"))], false);
            let rows = vec![
                row(2, "good", None),
                row(3, "a,b", None),
                row(4, "c", Some("line\nend")),
                row(5, "good", None),
                row(6, "known", Some("two")),
                row(7, "taken", None),
                ImportRow { name: Some("\u{7}".into()), ..row(8, "d", None) },
                row(9, "good", None),
                row(10, "known", Some("one")),
            ];
            let report = import(&registrar, rows, dry_run);
            assert_eq!((report.created, report.skipped), (1, 0), "dry run: {dry_run}");
            let failed: Vec<_> = report
                .failed
                .iter()
                .map(|fault| {
                    (fault.line, fault.column.as_deref().unwrap_or_default(), fault.message.as_str())
                })
                .collect();
            assert_eq!(
                failed,
                [
                    (
                        3,
                        "deviceKey",
                        "has a comma at character 2; keys are made of printable ASCII without spaces and \
                         commas"
                    ),
                    (4, "deviceSecret", "has a line end at character 5; secrets are made of printable ASCII"),
                    (5, "deviceKey", "is the same as in line 2"),
                    (6, "deviceSecret", "the device exists with another secret, which was not changed"),
                    (7, "deviceKey", "a device of another product of its organisation unit has this key"),
                    (8, "name", "has U+0007 at character 1; names have no control characters"),
                    (9, "deviceKey", "is the same as in line 2"),
                    (10, "deviceKey", "is the same as in line 6"),
                ]
            );
            assert_eq!(count(&registrar), if dry_run { 2 } else { 3 });
        }
    }

    #[test]
    fn a_dry_run_says_what_the_import_does_where_another_unit_has_the_key() {
        let registrar = registrar_with_product();
        block_on(registrar.create_unit(NewUnit { name: "north".into(), ..NewUnit::default() }))
            .expect("it is new");
        let (product_key, ou) = (Some("pn".to_owned()), Some("north".to_owned()));
        let product = NewProduct { name: "n".into(), product_key, ou, ..NewProduct::default() };
        block_on(registrar.create_product(product)).expect("it is new");
        import(&registrar, vec![row(1, "k", None)], false);
        for dry_run in [true, false] {
            let report = block_on(registrar.import_devices("pn", vec![row(1, "k", None)], dry_run));
            let report = report.expect("the product is there");
            assert_eq!((report.created, report.failed.len()), (1, 0), "{dry_run}");
        }
    }

    #[test]
    fn what_an_import_made_is_taken_back_but_for_what_has_logged_in() {
        let (registrar, store) = registrar_with_product_and_store();
        import(&registrar, vec![row(1, "before", None)], false);
        let rows = (1..120).map(|line| row(line, &format!("d{line}"), None)).collect();
        let report = import(&registrar, rows, false);
        assert_eq!(report.made.len(), 119);
        let seventh = block_on(registrar.resolve("d7", None)).expect("it exists");
        append(&*store.memory, vec![login(seventh.id, at(1))]);
        let made = [report.made, vec!["gone".to_owned()]].concat();
        let (gone, kept) = block_on(registrar.take_back("pk", &made)).expect("the store works");
        assert_eq!((gone.len(), kept, count(&registrar)), (118, 1, 2));
    }

    #[test]
    fn a_long_file_is_imported_in_pieces() {
        let registrar = registrar_with_product();
        let rows =
            (0..20 * IMPORT_CHUNK as u64 - 30).map(|line| row(line, &format!("d{line}"), None)).collect();
        let report = import(&registrar, rows, false);
        assert_eq!((report.created, report.generated.len(), count(&registrar)), (970, 970, 970));
    }

    #[test]
    fn an_unknown_product_fails_the_whole_import() {
        let registrar = registrar_with_product();
        let error = block_on(registrar.import_devices("other", vec![row(1, "a", None)], true))
            .expect_err("it is unknown");
        assert_eq!(error.to_string(), "there is no product other");
    }

    #[test]
    fn a_report_has_the_shape_that_the_command_line_promises() {
        let registrar = registrar_with_product();
        let report = import(
            &registrar,
            vec![row(2, "a", Some("0f8c3e71a5d2964b0f8c3e71a5d2964b")), row(3, "", None)],
            false,
        );
        assert_eq!(
            serde_json::to_string(&report).expect("it can be written"),
            r#"{"created":1,"skipped":0,"failed":[{"line":3,"column":"deviceKey","message":"is empty"}]}"#
        );
    }
}
