//! Devices.

use narrowgate_api::{
    device::{
        ActivationShown, DeviceCreated, DeviceListed, DevicePatch, DevicePurged, DeviceReset, DeviceRow,
        DeviceSecretShown, DeviceShown, DeviceView, NamedDevice, NewDeviceRequest,
    },
    import::{ImportReport, ImportRow},
    page::Page,
    problem::Problem,
    properties::PropertiesPatch,
    query::DeviceList,
};

use super::{Named, Operator, over::WhenOver};
use crate::{
    ids::DeviceName,
    model::{device::Device, property::PropertyKind},
    ports::UpgradeMoved,
    rules::life::SECRET_REPLACED,
    service::{
        error::ServiceError,
        find::id_of,
        properties::{Others, PropertiesEdit},
        view,
    },
};

impl Operator {
    /// Registers a device, with tags and attributes where it is to have some: where it cannot get those that
    /// are acceptable for any device of its product, it is deleted again.
    ///
    /// # Errors
    /// There is no such product; a key, secret or name is not acceptable, or a tag or an attribute; the key
    /// is taken.
    pub async fn create_device(
        &self,
        product_key: &str,
        mut new: NewDeviceRequest,
    ) -> Result<DeviceCreated, Problem> {
        const TITLE: &str = "cannot register the device";
        let named = || Named::product(product_key);
        let first = [(PropertyKind::Tag, new.tags.take()), (PropertyKind::Attribute, new.attributes.take())];
        let wanted = first.into_iter().filter_map(|(kind, all)| {
            let all = all.filter(|all| !all.0.is_empty())?.0.into_iter();
            Some((kind, PropertiesPatch(all.map(|(name, value)| (name, Some(value))).collect())))
        });
        let wanted: Vec<_> = wanted.collect();
        for (kind, patch) in &wanted {
            let checked = self.registrar.check_first(product_key, *kind, patch.clone()).await;
            self.tell(TITLE, named(), checked).await.map_err(|problem| within(problem, *kind))?;
        }
        let created = self.registrar.create_device(product_key, new).await;
        let created = self.tell(TITLE, named(), created).await?;
        let name = NamedDevice::by_keys(product_key, &*created.device_key);
        for (kind, patch) in wanted {
            let edit = PropertiesEdit { kind, patch, others: Others::Stay, if_match: None };
            if let Err(problem) = self.edit_properties(&name, edit).await {
                // Ignored: what cannot be deleted either is there, and the next try says so.
                let _ = self.delete_device(&name).await;
                return Err(Problem { title: TITLE.to_owned(), ..within(problem, kind) });
            }
        }
        Ok(created)
    }

    /// Registers the devices of a file. What exists is skipped; a dry run changes nothing and reports the
    /// same.
    ///
    /// # Errors
    /// There is no such product. A fault of a row is in the report.
    pub async fn import_devices(
        &self,
        product_key: &str,
        rows: Vec<ImportRow>,
        dry_run: bool,
    ) -> Result<ImportReport, Problem> {
        let imported = self.registrar.import_devices(product_key, rows, dry_run).await;
        self.tell("cannot import the devices", Named::product(product_key), imported).await
    }

    /// A page of devices.
    ///
    /// # Errors
    /// There is no such product; a limit or cursor is invalid.
    pub async fn list_devices(&self, list: &DeviceList) -> Result<Page<DeviceRow>, Problem> {
        let named = list.product.as_deref().and_then(Named::product);
        self.tell("cannot list the devices", named, self.registrar.devices(list).await).await
    }

    /// The same with what the list asks for of each device.
    ///
    /// # Errors
    /// As [`Self::list_devices`].
    pub async fn list_devices_with(&self, list: &DeviceList) -> Result<Page<DeviceListed>, Problem> {
        let named = list.product.as_deref().and_then(Named::product);
        self.tell("cannot list the devices", named, self.registrar.devices_with(list).await).await
    }

    /// One device.
    ///
    /// # Errors
    /// There is none, several may be meant, or it is damaged.
    pub async fn show_device(&self, name: &NamedDevice) -> Result<DeviceShown, Problem> {
        let act = async |device: Device| {
            let shown = self.registrar.shown_device(&device).await?;
            // Who has never logged in has none: the gateway is not asked.
            let session = match device.active_time {
                Some(_) => self.sessions.session(device.id).await,
                None => None,
            };
            Ok(DeviceShown { session, ..shown })
        };
        self.with_device("cannot show the device", name, act).await
    }

    /// One device as a list shows it, damaged or not.
    ///
    /// # Errors
    /// There is none, or several are meant perhaps.
    pub async fn find_device(&self, name: &NamedDevice) -> Result<DeviceRow, Problem> {
        let found = self.found(name).await;
        let found = self.tell("cannot find the device", Named::device(name), found).await?;
        Ok(view::device_row(&found))
    }

    /// Gives a device another name for people; an empty one removes it.
    ///
    /// # Errors
    /// There is none; the name is not acceptable.
    pub async fn rename_device(&self, name: &NamedDevice, patch: DevicePatch) -> Result<DeviceView, Problem> {
        let act = async |device: Device| self.registrar.rename(&device, patch.name).await;
        self.with_device("cannot rename the device", name, act).await
    }

    /// Shows a device's secret. The log entry that says so is durable first.
    ///
    /// # Errors
    /// There is none.
    pub async fn show_device_secret(&self, name: &NamedDevice) -> Result<DeviceSecretShown, Problem> {
        let act = async |device: Device| self.registrar.device_secret(&device).await;
        self.with_device("cannot show the device's secret", name, act).await
    }

    /// Shows what a device needs to fetch its own secret. That is the product's secret, so it is logged as
    /// well.
    ///
    /// # Errors
    /// There is none.
    pub async fn show_activation_secret(&self, name: &NamedDevice) -> Result<ActivationShown, Problem> {
        let act = async |device: Device| self.registrar.activation_secret(&device).await;
        self.with_device("cannot show the product's secret", name, act).await
    }

    /// Lets a device connect.
    ///
    /// # Errors
    /// There is none.
    pub async fn enable_device(&self, name: &NamedDevice) -> Result<DeviceView, Problem> {
        let act = async |device: Device| Ok(self.registrar.set_enabled(&device, true).await?.0);
        self.with_device("cannot enable the device", name, act).await
    }

    /// No longer lets a device connect, and ends its session.
    ///
    /// # Errors
    /// There is none.
    pub async fn disable_device(&self, name: &NamedDevice) -> Result<DeviceView, Problem> {
        let act = async |device: Device| {
            let operator = self.clone();
            let switch = async move {
                let close = || operator.sessions.close_device(device.id, "disabled by an operator");
                let close = WhenOver::new(close);
                let (view, stopped) = close.decide(operator.registrar.set_enabled(&device, false).await)?;
                operator.tell_stopped(&device, &stopped);
                Ok(view)
            };
            self.to_its_end(switch).await
        };
        self.with_device("cannot disable the device", name, act).await
    }

    /// Ends the sessions of a device, which may connect again at once. It is shown as it was.
    ///
    /// # Errors
    /// There is none.
    pub async fn disconnect_device(&self, name: &NamedDevice) -> Result<DeviceView, Problem> {
        let act = async |device: Device| {
            self.sessions.close_device(device.id, "disconnected by an operator");
            Ok(view::device(&device))
        };
        self.with_device("cannot disconnect the device", name, act).await
    }

    /// Makes a device inactive, with a new secret, and ends its session.
    ///
    /// # Errors
    /// There is none.
    pub async fn reset_device(&self, name: &NamedDevice) -> Result<DeviceReset, Problem> {
        let act = async |device: Device| {
            let operator = self.clone();
            let reset = async move {
                let close = || operator.sessions.close_device(device.id, "reset by an operator");
                let close = WhenOver::new(close);
                let (reset, stopped) = close.decide(operator.registrar.reset(&device).await)?;
                operator.tell_stopped(&device, &stopped);
                Ok(reset)
            };
            self.to_its_end(reset).await
        };
        self.with_device("cannot reset the device", name, act).await
    }

    /// Replaces a device's secret at once, and ends the sessions that proved the one before. All else of the
    /// device stays as it is.
    ///
    /// # Errors
    /// There is none.
    pub async fn rotate_device_secret(&self, name: &NamedDevice) -> Result<DeviceSecretShown, Problem> {
        let act = async |device: Device| {
            let close = WhenOver::new(|| self.sessions.close_device(device.id, SECRET_REPLACED));
            close.decide(self.registrar.rotate_device_secret(&device).await)
        };
        self.with_device("cannot replace the device's secret", name, act).await
    }

    /// Removes a device, even a damaged one, and ends its session; returns it as it was.
    ///
    /// # Errors
    /// There is none, or several are meant perhaps.
    pub async fn delete_device(&self, name: &NamedDevice) -> Result<DeviceRow, Problem> {
        let delete = async {
            let found = self.found(name).await?;
            let id = id_of(&found);
            let close = WhenOver::new(|| self.sessions.close_device(id, "deleted by an operator"));
            close.decide(self.registrar.delete(&found).await)
        };
        self.tell("cannot delete the device", Named::device(name), delete.await).await
    }

    /// Removes a device as [`Self::delete_device`] does, with what it sent, and ends its session. A step of
    /// that, to be asked for until it is done: the device stays, disabled, until nothing is left.
    ///
    /// # Errors
    /// There is none, or several are meant perhaps.
    pub async fn purge_device(&self, name: &NamedDevice) -> Result<DevicePurged, Problem> {
        let purge = async {
            let found = self.found(name).await?;
            let operator = self.clone();
            let purge = async move {
                let id = id_of(&found);
                let close = || operator.sessions.close_device(id, "deleted by an operator");
                // Its session ends now, whatever becomes of the rest; and once more, where somebody lets it
                // connect meanwhile.
                let over = WhenOver::new(close);
                let stopped = over.decide(operator.registrar.switch_off_for_purge(&found).await)?;
                if let Ok(device) = &found {
                    operator.tell_stopped(device, &stopped);
                }
                let over = WhenOver::new(close);
                over.decide(operator.registrar.purge(&found).await)
            };
            self.to_its_end(purge).await
        };
        self.tell("cannot delete the device with what it sent", Named::device(name), purge.await).await
    }

    /// Upgrades of a device have ended, because it was switched off or reset. Its keys are told too, because
    /// a purge removes it before a listener could look them up.
    pub(super) fn tell_stopped(&self, device: &Device, stopped: &[UpgradeMoved]) {
        let Device { id, product_key, device_key, .. } = device;
        for moved in stopped {
            let (product_key, device_key) = (product_key.clone(), device_key.clone());
            self.sessions.upgrade_moved(*id, Some(DeviceName { product_key, device_key }), *moved);
        }
    }

    /// Finds a device, and does something with it.
    pub(super) async fn with_device<T>(
        &self,
        title: &'static str,
        name: &NamedDevice,
        act: impl AsyncFnOnce(Device) -> Result<T, ServiceError>,
    ) -> Result<T, Problem> {
        let outcome = match self.resolved(name).await {
            Ok(device) => act(device).await,
            Err(error) => Err(error),
        };
        self.tell(title, Named::device(name), outcome).await
    }
}

/// A fault of a tag or an attribute of a body that has more than these.
pub(super) fn within(problem: Problem, kind: PropertyKind) -> Problem {
    let own = format!("/{}", kind.plural());
    let place =
        problem.place.map(|place| match place != own && (place.is_empty() || place.starts_with('/')) {
            true => own + &place,
            false => place,
        });
    Problem { place, ..problem }
}
