//! Devices: create, find, list, show their secret, switch, reset, delete.

use narrowgate_api::{
    device::{
        ActivationShown, DeviceCreated, DeviceReset, DeviceRow, DeviceSecretShown, DeviceView,
        NewDeviceRequest,
    },
    secret::SecretText,
};

use super::{
    client_lines::{ClientOf, ClientTask, client_lines},
    error::ServiceError,
    find::{Found, id_of},
    registrar::{Registrar, check, checked_or_new},
    view,
};
use crate::{
    ids::DeviceName,
    model::{
        credential::{CredentialLookup, Credentials},
        device::{Device, NewDevice},
        thing_model::ThingModel,
    },
    ports::{RegistryChanges as _, StoreError, Switched, UpgradeMoved},
    rules::{
        identity::{Identity, SecureMode},
        names,
        psk::psk,
    },
    secret::Secret,
};

/// Lifetime in the identity of a device that has never logged in, seconds.
const LIFETIME_S_DEFAULT: u32 = 3600;

impl Registrar {
    /// Registers a device.
    ///
    /// # Errors
    /// `Missing` for an unknown product, `Invalid` for a key, secret or name that is not acceptable, `Exists`
    /// where the key is taken.
    pub(super) async fn create_device(
        &self,
        product_key: &str,
        request: NewDeviceRequest,
    ) -> Result<DeviceCreated, ServiceError> {
        self.existing_product(product_key).await?;
        let device_key = match request.device_key {
            Some(device_key) => {
                check("deviceKey", names::check_new_key(&device_key))?;
                device_key
            }
            None => names::new_device_key(&*self.entropy),
        };
        let (device_secret, mut warnings) = checked_or_new("deviceSecret", request.device_secret, || {
            names::new_device_secret(&*self.entropy)
        })?;
        warnings.extend(self.similar_device(product_key, &device_key).await?);
        let name = request.name.unwrap_or_default();
        check("name", names::check_display_name(&name))?;
        let new = NewDevice {
            product_key: product_key.to_owned(),
            device_key: device_key.clone(),
            device_secret: device_secret.clone(),
            asset_id: names::new_asset_id(&*self.entropy),
            name,
            properties: Vec::new(),
        };
        let created = self.create_all(vec![new]).await?.into_iter().next();
        let device = created.ok_or(ServiceError::Missing { what: "device", key: device_key })??;
        Ok(DeviceCreated {
            asset_id: device.asset_id,
            product_key: device.product_key,
            device_key: device.device_key,
            device_secret: view::shown(&device_secret),
            warnings,
        })
    }

    /// What to tell somebody who registers a device whose key differs from another one's in case only.
    async fn similar_device(
        &self,
        product_key: &str,
        device_key: &str,
    ) -> Result<Option<String>, ServiceError> {
        let name = DeviceName { product_key: product_key.to_owned(), device_key: device_key.to_owned() };
        let found = self.registry.similar_names(&name).await?.device;
        Ok(found.filter(|found| found.device_key != device_key).map(|found| {
            let DeviceName { product_key, device_key } = found;
            format!(
                "device {product_key}/{device_key} exists, whose key differs in the case of letters alone"
            )
        }))
    }

    /// Shows a device's secret. The log entry that says so is durable first.
    ///
    /// # Errors
    /// `Missing` where the device is gone meanwhile.
    pub(super) async fn device_secret(&self, device: &Device) -> Result<DeviceSecretShown, ServiceError> {
        let credentials = self.shown_credentials(device, None).await?;
        Ok(self.secret_shown(device, &credentials.device_secret).await)
    }

    /// A secret with what a client needs to use it.
    async fn secret_shown(&self, device: &Device, secret: &Secret) -> DeviceSecretShown {
        let identity = identity(device, SecureMode::DeviceSecret);
        // Without the model the lines report a point that it may not have.
        let product = self.registry.product(&device.product_key).await.ok().flatten();
        let model = product.and_then(|product| ThingModel::parse(product.model_json.as_deref()?).ok());
        let (Device { product_key, device_key, .. }, key) = (device, psk(secret));
        let client = ClientOf { product_key, device_key, identity: &identity, psk: &*key };
        DeviceSecretShown {
            client_lines: client_lines(ClientTask::Report, client, &self.server, model.as_ref()),
            psk_hex: psk_hex(secret),
            device_secret: view::shown(secret),
            identity,
        }
    }

    /// Shows what a device needs to fetch its own secret. That is the product's secret, so it is logged as
    /// well.
    ///
    /// # Errors
    /// `Missing` where the device is gone meanwhile.
    pub(super) async fn activation_secret(&self, device: &Device) -> Result<ActivationShown, ServiceError> {
        let credentials = self.shown_credentials(device, Some("the product's secret")).await?;
        Ok(ActivationShown {
            psk_hex: psk_hex(&credentials.product_secret),
            product_secret: view::shown(&credentials.product_secret),
            identity: identity(device, SecureMode::ProductSecret),
        })
    }

    async fn shown_credentials(
        &self,
        device: &Device,
        detail: Option<&str>,
    ) -> Result<Credentials, ServiceError> {
        let gone = || missing(format!("{}/{}", device.product_key, device.device_key));
        let noted = self.registry.note_secret_shown(device.id, self.clock.now(), detail.map(str::to_owned));
        noted.await.map_err(|error| with_name(error, device))?;
        match self.registry.credentials(&device.product_key, &device.device_key).await? {
            CredentialLookup::Found(credentials) => Ok(*credentials),
            CredentialLookup::ProductUnknown | CredentialLookup::DeviceUnknown => Err(gone()),
        }
    }

    /// Lets a device connect or not. Also the upgrades that have ended by it.
    ///
    /// # Errors
    /// `Missing` where the device is gone meanwhile.
    pub(super) async fn set_enabled(
        &self,
        device: &Device,
        enabled: bool,
    ) -> Result<(DeviceView, Vec<UpgradeMoved>), ServiceError> {
        let changed = self.registry.set_device_enabled(device.id, enabled, self.clock.now()).await;
        let Switched { device, stopped } = changed.map_err(|error| with_name(error, device))?;
        Ok((view::device(&device), stopped))
    }

    /// Makes a device inactive, with a new secret. Also the upgrades that have ended by it.
    ///
    /// # Errors
    /// `Missing` where the device is gone meanwhile.
    pub(super) async fn reset(
        &self,
        device: &Device,
    ) -> Result<(DeviceReset, Vec<UpgradeMoved>), ServiceError> {
        let device_secret = names::new_device_secret(&*self.entropy);
        let reset = self.registry.reset_device(device.id, device_secret.clone(), self.clock.now()).await;
        let Switched { device, stopped } = reset.map_err(|error| with_name(error, device))?;
        let shown = view::shown(&device_secret);
        Ok((DeviceReset { device: view::device(&device), device_secret: shown }, stopped))
    }

    /// Replaces a device's secret at once, and shows the new one.
    ///
    /// # Errors
    /// `Missing` where the device is gone meanwhile.
    pub(super) async fn rotate_device_secret(
        &self,
        device: &Device,
    ) -> Result<DeviceSecretShown, ServiceError> {
        let secret = names::new_device_secret(&*self.entropy);
        let rotated = self.registry.rotate_device_secret(device.id, secret.clone(), self.clock.now()).await;
        let device = rotated.map_err(|error| with_name(error, device))?;
        Ok(self.secret_shown(&device, &secret).await)
    }

    /// Gives a device another name for people; an empty one removes it.
    ///
    /// # Errors
    /// `Invalid` for a name that is not acceptable, `Missing` where the device is gone meanwhile.
    pub(super) async fn rename(&self, device: &Device, name: String) -> Result<DeviceView, ServiceError> {
        check("name", names::check_display_name(&name))?;
        let renamed = self.registry.rename_device(device.id, name, self.clock.now()).await;
        Ok(view::device(&renamed.map_err(|error| with_name(error, device))?))
    }

    /// Removes a device, even a damaged one; returns it as it was.
    ///
    /// # Errors
    /// `Missing` where the device is gone meanwhile.
    pub(super) async fn delete(&self, found: &Found) -> Result<DeviceRow, ServiceError> {
        let deleted = self.registry.delete_device(id_of(found), self.clock.now()).await;
        deleted.map_err(|error| with_name_of(error, found))?;
        Ok(view::device_row(found))
    }
}

pub(super) fn missing(key: String) -> ServiceError {
    ServiceError::Missing { what: "device", key }
}

/// A store knows a device by its row id, which says nothing to people.
fn with_name(error: StoreError, device: &Device) -> ServiceError {
    match error {
        StoreError::Missing { .. } => missing(format!("{}/{}", device.product_key, device.device_key)),
        other => other.into(),
    }
}

/// As [`with_name`], also of a damaged one.
pub(super) fn with_name_of(error: StoreError, found: &Found) -> ServiceError {
    match (found, error) {
        (Ok(device), error) => with_name(error, device),
        (Err(damaged), StoreError::Missing { .. }) => missing(damaged.device_key.clone()),
        (Err(_), other) => other.into(),
    }
}

fn identity(device: &Device, mode: SecureMode) -> String {
    let name = DeviceName { product_key: device.product_key.clone(), device_key: device.device_key.clone() };
    Identity { name, mode, lifetime_s: device.lifetime_s.unwrap_or(LIFETIME_S_DEFAULT) }.to_string()
}

/// The key in hex; as much a secret as the secret.
fn psk_hex(secret: &Secret) -> SecretText {
    SecretText::new(hex::encode(*psk(secret)))
}

#[cfg(test)]
mod tests {
    use narrowgate_api::{
        device::ShownState,
        query::{DeviceList, Paging},
    };

    use super::*;
    use crate::{model::log::LogEvent, service::fixtures::registrar_with_product, testing::block_on};

    fn create(
        registrar: &Registrar,
        device_key: &str,
        device_secret: &str,
    ) -> Result<DeviceCreated, ServiceError> {
        let request = NewDeviceRequest {
            device_key: Some(device_key.into()),
            device_secret: Some(SecretText::new(device_secret.into())),
            ..NewDeviceRequest::default()
        };
        block_on(registrar.create_device("pk", request))
    }

    fn resolve(registrar: &Registrar, first: &str, second: Option<&str>) -> Result<String, String> {
        let found = block_on(registrar.resolve(first, second));
        found.map(|device| device.device_key).map_err(|error| error.to_string())
    }

    #[test]
    fn a_new_device_has_a_generated_key_secret_and_asset_id() {
        let registrar = registrar_with_product();
        let created =
            block_on(registrar.create_device("pk", NewDeviceRequest::default())).expect("it is valid");
        assert_eq!(
            (created.asset_id.len(), created.device_key.len(), created.device_secret.expose().len()),
            (8, 10, 20)
        );
        assert!(created.warnings.is_empty());
        let device = block_on(registrar.resolve("pk", Some(&created.device_key))).expect("it exists");
        assert_eq!(device.asset_id, created.asset_id);
    }

    #[test]
    fn what_is_not_acceptable_is_named() {
        let registrar = registrar_with_product();
        create(&registrar, "dk", "secret").expect("it is valid");
        for (device_key, secret, said) in [
            ("a b", "s", "deviceKey has a space at character 2; "),
            ("", "s", "deviceKey is empty"),
            ("a", "", "deviceSecret is empty"),
            ("dk", "s", "device dk exists already"),
        ] {
            let error = create(&registrar, device_key, secret).expect_err(said).to_string();
            assert!(error.starts_with(said), "{error}");
        }
        let other = registrar.create_device("other", NewDeviceRequest::default());
        let error = block_on(other).expect_err("no such product");
        assert_eq!(
            (error.to_string().as_str(), error.hint()),
            ("there is no product other", Some("narrowgate product list"))
        );
    }

    #[test]
    fn a_device_is_found_by_every_way_to_name_it() {
        let registrar = registrar_with_product();
        for device_key in ["dk", "a/b"] {
            create(&registrar, device_key, "secret").expect("it is valid");
        }
        for (first, second, found) in [
            ("pk", Some("dk"), "dk"),
            ("pk/dk", None, "dk"),
            ("dk", None, "dk"),
            ("pk", Some("a/b"), "a/b"),
            ("pk/a/b", None, "a/b"),
            ("a/b", None, "a/b"),
        ] {
            assert_eq!(resolve(&registrar, first, second).as_deref(), Ok(found), "{first} {second:?}");
        }
        for (first, second, said) in [
            ("pk", Some("DK"), "there is no device pk/DK"),
            ("other", Some("dk"), "there is no product other"),
            ("other/dk", None, "there is no device other/dk"),
            ("pk", None, "there is no device pk"),
            ("", None, "there is no device "),
            (&"x".repeat(300), None, "device is longer than any name"),
        ] {
            assert_eq!(resolve(&registrar, first, second), Err(said.to_owned()), "{first} {second:?}");
        }
    }

    #[test]
    fn a_secret_is_shown_with_its_key_and_leaves_an_entry() {
        let registrar = registrar_with_product();
        create(&registrar, "dk", "Z5YtZaQpK5IWocakV7zQ").expect("it is valid");
        let device = block_on(registrar.resolve("dk", None)).expect("it exists");
        let mut shown = block_on(registrar.device_secret(&device)).expect("it exists");
        let lines: Vec<_> = shown.client_lines.drain(..).map(|line| line.line.into_text()).collect();
        assert_eq!(lines.len(), 4);
        let holds_all = |line: &String| line.contains("pk,dk,2,3600") && line.contains("localhost");
        assert!(lines.iter().all(holds_all), "{lines:?}");
        assert_eq!(
            serde_json::to_string(&shown).expect("it can be written"),
            concat!(
                r#"{"deviceSecret":"Z5YtZaQpK5IWocakV7zQ","pskHex":"2e87da0cb9cad2c1fb7369531ce9644a","#,
                r#""identity":"pk,dk,2,3600"}"#,
            )
        );
        let activation = block_on(registrar.activation_secret(&device)).expect("it exists");
        assert_eq!(
            (activation.psk_hex.expose(), activation.identity.as_str()),
            ("be7d6a5e5b2ba12f59024d7633b964e8", "pk,dk,3,3600")
        );
        let log = block_on(registrar.log(&device, &Paging::first(10))).expect("it works").items;
        let shown: Vec<_> = log.iter().filter(|entry| entry.event == LogEvent::SecretShown).collect();
        assert_eq!(shown.len(), 2);
        assert_eq!(shown[0].detail.as_deref(), Some("the product's secret"), "newest first");
    }

    #[test]
    fn a_device_is_switched_reset_and_deleted() {
        let registrar = registrar_with_product();
        create(&registrar, "dk", "secret").expect("it is valid");
        let device = block_on(registrar.resolve("dk", None)).expect("it exists");
        let (view, _) = block_on(registrar.set_enabled(&device, false)).expect("it exists");
        assert_eq!((view.state, view.enabled), (ShownState::Disabled, false));
        let disabled =
            DeviceList { state: Some(ShownState::Disabled), limit: Some(10), ..DeviceList::default() };
        assert_eq!(block_on(registrar.devices(&disabled)).expect("it works").items.len(), 1);
        let (view, _) = block_on(registrar.set_enabled(&device, true)).expect("it exists");
        assert_eq!(view.state, ShownState::Inactive);
        let (reset, _) = block_on(registrar.reset(&device)).expect("it exists");
        assert_eq!(reset.device_secret.expose().len(), 20);
        let json = serde_json::to_value(&reset).expect("it can be written");
        assert_eq!(
            (json["state"].as_str(), json["deviceSecret"].as_str()),
            (Some("inactive"), Some(reset.device_secret.expose()))
        );
        let found = Ok(device.clone());
        assert_eq!(block_on(registrar.delete(&found)).expect("it exists"), view::device_row(&found));
        for error in [
            block_on(registrar.delete(&found)).map(|_| ()).expect_err("it is gone"),
            block_on(registrar.reset(&device)).map(|_| ()).expect_err("it is gone"),
            block_on(registrar.rename(&device, String::new())).map(|_| ()).expect_err("it is gone"),
            block_on(registrar.device_secret(&device)).map(|_| ()).expect_err("it is gone"),
        ] {
            assert_eq!(error.to_string(), "there is no device pk/dk");
        }
    }
}
