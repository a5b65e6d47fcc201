//! The port of operators: products and devices, and every change of them.
//!
//! Longer than 500 lines: a row for each change, and its method.

use super::{
    AccessChange, AccessFound, AccessQuery, Advanced, Changed, DeviceQuery, DeviceSearch, DevicesFound,
    FirmwareChange, FirmwareFound, FirmwareQuery, NotDeleted, NotEdited, OfferTo, Offered, PortFuture,
    Purged, SimilarNames, StoreError, Switched,
};
use crate::{
    firmware::{Image, ImageId, ServerName},
    ids::{DeviceId, DeviceName, UnixMillis},
    model::{
        command::{Command, CommandId, Expected, Order},
        credential::CredentialLookup,
        damaged::{DamagedDevice, DamagedProduct},
        device::{Device, NewDevice},
        overview::{Overview, OverviewQuery},
        product::Product,
        property::{Properties, PropertyEdit, PropertyKind},
        rates::{RatesFound, RatesQuery},
    },
    paging::Page,
    rules::{
        commands::NotSent,
        models::{ModelPut, ModelStands, ModelVersion, NotPut, VersionedModel},
        scripts::{NotChanged, ProductScript, ScriptPut, ScriptStands, ScriptVersion, VersionedScript},
    },
    secret::Secret,
};

/// Products and devices. Changes are made by name with [`RegistryChanges`].
pub trait Registry: Send + Sync + 'static {
    /// Secrets and switches for a handshake. Unknown and known keys take the same path.
    fn credentials<'a>(
        &'a self,
        product_key: &'a str,
        device_key: &'a str,
    ) -> PortFuture<'a, Result<CredentialLookup, StoreError>>;
    /// Secrets that the device had before, newest first, as far as this process saw them replaced: never on
    /// disk, and only for telling an operator that one was used.
    fn former_secrets(&self, device: DeviceId) -> PortFuture<'_, Result<Vec<Secret>, StoreError>>;
    /// What may have been meant by a name that does not exist. Takes bounded time, however many names there
    /// are.
    fn similar_names<'a>(&'a self, name: &'a DeviceName) -> PortFuture<'a, Result<SimilarNames, StoreError>>;
    /// One product.
    fn product<'a>(&'a self, product_key: &'a str) -> PortFuture<'a, Result<Option<Product>, StoreError>>;
    /// All products, in order of creation; a damaged row keeps its place and hides no other.
    fn products(&self) -> PortFuture<'_, Result<Vec<Result<Product, DamagedProduct>>, StoreError>>;
    /// The versions of a product's model that are kept, newest first, at most
    /// [`crate::rules::models::VERSIONS_MAX`]. Of a product that does not exist there are none.
    fn model_versions<'a>(
        &'a self,
        product_key: &'a str,
    ) -> PortFuture<'a, Result<Page<ModelVersion>, StoreError>>;
    /// One of them with its document.
    fn model_version<'a>(
        &'a self,
        product_key: &'a str,
        version: u32,
    ) -> PortFuture<'a, Result<Option<VersionedModel>, StoreError>>;
    /// The script of a product: its draft, and what is published. Of a product that does not exist there is
    /// none.
    fn script<'a>(&'a self, product_key: &'a str) -> PortFuture<'a, Result<ProductScript, StoreError>>;
    /// The versions of a product's script that are kept, newest first, at most
    /// [`crate::rules::scripts::VERSIONS_MAX`], without their sources. A damaged row is left out and counted.
    fn script_versions<'a>(
        &'a self,
        product_key: &'a str,
    ) -> PortFuture<'a, Result<Page<ScriptVersion>, StoreError>>;
    /// One of them with its source.
    fn script_version<'a>(
        &'a self,
        product_key: &'a str,
        version: u32,
    ) -> PortFuture<'a, Result<Option<VersionedScript>, StoreError>>;
    /// One device by its names.
    fn device<'a>(&'a self, name: &'a DeviceName) -> PortFuture<'a, Result<Option<Device>, StoreError>>;
    /// One device by its id.
    fn device_by_id(&self, device: DeviceId) -> PortFuture<'_, Result<Option<Device>, StoreError>>;
    /// A page of devices, by id. A damaged row keeps its place, is found by its values as they are read, and
    /// hides no other.
    fn devices(
        &self,
        query: DeviceQuery,
    ) -> PortFuture<'_, Result<Vec<Result<Device, DamagedDevice>>, StoreError>>;
    /// Devices by what they are, page by page: each one that is there from the first page to the last, and is
    /// wanted all that time, is found once, whatever comes and goes.
    fn search_devices(&self, search: DeviceSearch) -> PortFuture<'_, Result<DevicesFound, StoreError>>;
    /// All attributes, or all tags, of a device. One that does not exist has none.
    fn properties(
        &self,
        device: DeviceId,
        kind: PropertyKind,
    ) -> PortFuture<'_, Result<Properties, StoreError>>;
    /// One command of a device.
    fn command(&self, device: DeviceId, id: CommandId)
    -> PortFuture<'_, Result<Option<Command>, StoreError>>;
    /// The commands of a device that have not ended, in the order of their sending. A damaged row is left
    /// out.
    fn open_commands(&self, device: DeviceId) -> PortFuture<'_, Result<Vec<Command>, StoreError>>;
    /// Counts over the whole fleet; a damaged device or product counts as such.
    fn overview(&self, query: OverviewQuery) -> PortFuture<'_, Result<Overview, StoreError>>;
    /// What was counted by [`Write::Rates`](super::Write::Rates), minute by minute.
    fn rates(&self, query: RatesQuery) -> PortFuture<'_, Result<RatesFound, StoreError>>;
    /// Images, rollouts and upgrades.
    fn firmware(&self, query: FirmwareQuery) -> PortFuture<'_, Result<FirmwareFound, StoreError>>;
    /// Organisation units and tokens.
    fn access(&self, query: AccessQuery) -> PortFuture<'_, Result<AccessFound, StoreError>>;
    /// Makes a change as one transaction, durably before the future ends; changes are made in the order of
    /// the calls, also among the batches of the journal. The future stays pending while it is not known
    /// whether the change is stored.
    fn change(&self, change: Change) -> PortFuture<'static, Result<Changed, StoreError>>;
}

/// A change that an operator makes.
#[derive(Debug, Clone)]
pub enum Change {
    /// Adds a product; its model is its first version, and gets its numbers. `Exists` where the key is taken.
    /// A damaged row of that key is replaced; its devices and the versions of its model stay, and where it
    /// has devices it belongs to their unit. `Missing` where there is no such organisation unit.
    CreateProduct(Product),
    /// Replaces name, switches and activation of a product.
    UpdateProduct(Product),
    /// Puts a model in the place of a product's, where [`crate::rules::models::put`] permits it: a version of
    /// its own, in place of the oldest one that is kept.
    PutModel {
        /// Of which product.
        product_key: String,
        /// The model.
        put: ModelPut,
        /// What else changes of the product, as by [`Change::UpdateProduct`], in the same step.
        with: Option<Box<Product>>,
        /// When.
        at: UnixMillis,
    },
    /// Changes the draft or the versions of a product's script, as [`crate::rules::scripts::put`] decides.
    PutScript {
        /// Of which product.
        product_key: String,
        /// What becomes of them.
        put: ScriptPut,
        /// When.
        at: UnixMillis,
    },
    /// Replaces the secret of a product at once; nobody's log says so. What a session that proved an earlier
    /// one still asks for is refused: see [`crate::ports::Write::IssueSecret`].
    RotateProductSecret {
        /// Of which product.
        product_key: String,
        /// Its secret from now on.
        secret: Secret,
        /// When.
        at: UnixMillis,
    },
    /// Removes a product that has no devices, else `Conflict`. The product may be damaged.
    DeleteProduct {
        /// Which.
        product_key: String,
    },
    /// Removes devices of a product, as [`Change::DeleteDevice`] does. Removes fewer where that would take
    /// long, and none only if none is left. The product may be damaged.
    DeleteDevicesOf {
        /// Of which product.
        product_key: String,
        /// At most this many.
        limit: usize,
        /// When.
        at: UnixMillis,
    },
    /// Adds devices, with their first tags and attributes. One that exists already does not stop the others.
    CreateDevices {
        /// Which.
        devices: Vec<NewDevice>,
        /// When.
        at: UnixMillis,
    },
    /// Gives a device another name for people, with a log entry.
    RenameDevice {
        /// Which.
        device: DeviceId,
        /// Its name from now on; may be empty.
        name: String,
        /// When.
        at: UnixMillis,
    },
    /// Sets a device's switch, with a log entry. One that is switched off goes offline in the same step.
    SetDeviceEnabled {
        /// Which.
        device: DeviceId,
        /// On.
        enabled: bool,
        /// When.
        at: UnixMillis,
    },
    /// Makes a device inactive with a new secret (`activeTime` and presence cleared), with a log entry. Its
    /// open commands are cancelled: they were meant for the one that had the former secret.
    ResetDevice {
        /// Which.
        device: DeviceId,
        /// Its secret from now on.
        secret: Secret,
        /// When.
        at: UnixMillis,
    },
    /// Replaces the secret of a device, with a log entry, and leaves all else as it is: nothing of a session
    /// that proved the one before is stored any more. The device goes offline in the same step.
    RotateDeviceSecret {
        /// Which.
        device: DeviceId,
        /// Its secret from now on.
        secret: Secret,
        /// When.
        at: UnixMillis,
    },
    /// Removes a device, its secret, log, presence history and commands. Retention removes its stored
    /// messages. A damaged row can be removed too; when a device of its key, as it was read, is registered
    /// again, its log says so.
    DeleteDevice {
        /// Which.
        device: DeviceId,
        /// When.
        at: UnixMillis,
    },
    /// Makes some of what a device sent unreadable for good, a bounded number of messages. Where none is
    /// left, removes the device as [`Change::DeleteDevice`] does, in the same step: nothing comes in between.
    /// To be made again until it is done; a device whose purge was cut off is still there, without what is
    /// gone.
    PurgeDevice {
        /// Which.
        device: DeviceId,
        /// When.
        at: UnixMillis,
    },
    /// Changes attributes or tags of a device, with a log entry.
    EditProperties {
        /// Whose.
        device: DeviceId,
        /// When.
        at: UnixMillis,
        /// The change.
        edit: PropertyEdit,
        /// What the device must have of them for that; `None`: whatever.
        only_from: Option<Properties>,
    },
    /// Queues a command for a device, where [`crate::rules::commands::SendCase`] permits it, with a log
    /// entry, and drops those that are kept no longer.
    SendCommand {
        /// For which device.
        device: DeviceId,
        /// What it is to do.
        order: Order,
        /// The only id that it may get: it is in its bytes.
        only_id: Option<CommandId>,
        /// When the device will probably fetch it.
        expected: Option<Expected>,
        /// When.
        at: UnixMillis,
    },
    /// Takes back commands that have not ended, with a log entry where it is any. `Missing` where there is
    /// none of this id; one that has ended stays what it is.
    CancelCommands {
        /// Of which device.
        device: DeviceId,
        /// Which one; `None`: all.
        id: Option<CommandId>,
        /// When.
        at: UnixMillis,
    },
    /// Changes images of firmware, their rollouts or upgrades.
    Firmware(FirmwareChange),
    /// Changes organisation units or tokens.
    Access(AccessChange),
    /// Notes in a device's log that one of its secrets was shown to somebody.
    NoteSecretShown {
        /// Whose.
        device: DeviceId,
        /// When.
        at: UnixMillis,
        /// Which secret, where it is not the device's own.
        detail: Option<String>,
    },
}

/// The changes of a [`Registry`] by name, each with the type of its result.
pub trait RegistryChanges: Registry {
    /// See [`Change::CreateProduct`].
    fn create_product(&self, product: Product) -> PortFuture<'static, Result<(), StoreError>> {
        make(self, Change::CreateProduct(product), drop)
    }

    /// See [`Change::UpdateProduct`].
    fn update_product(&self, product: Product) -> PortFuture<'static, Result<(), StoreError>> {
        make(self, Change::UpdateProduct(product), drop)
    }

    /// See [`Change::PutModel`].
    fn put_model(
        &self,
        product_key: String,
        put: ModelPut,
        with: Option<Box<Product>>,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Result<ModelStands, NotPut>, StoreError>> {
        make(self, Change::PutModel { product_key, put, with, at }, Changed::model)
    }

    /// See [`Change::PutScript`].
    fn put_script(
        &self,
        product_key: String,
        put: ScriptPut,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Result<ScriptStands, NotChanged>, StoreError>> {
        make(self, Change::PutScript { product_key, put, at }, Changed::script)
    }

    /// See [`Change::RotateProductSecret`].
    fn rotate_product_secret(
        &self,
        product_key: String,
        secret: Secret,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<(), StoreError>> {
        make(self, Change::RotateProductSecret { product_key, secret, at }, drop)
    }

    /// See [`Change::DeleteProduct`].
    fn delete_product(&self, product_key: String) -> PortFuture<'static, Result<(), StoreError>> {
        make(self, Change::DeleteProduct { product_key }, drop)
    }

    /// See [`Change::DeleteDevicesOf`]; returns the ones that were removed.
    fn delete_devices_of(
        &self,
        product_key: String,
        limit: usize,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Vec<DeviceId>, StoreError>> {
        make(self, Change::DeleteDevicesOf { product_key, limit, at }, Changed::deleted)
    }

    /// See [`Change::CreateDevices`]; returns a result for each, in order.
    fn create_devices(
        &self,
        devices: Vec<NewDevice>,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Vec<Result<Device, StoreError>>, StoreError>> {
        make(self, Change::CreateDevices { devices, at }, Changed::created)
    }

    /// See [`Change::RenameDevice`].
    fn rename_device(
        &self,
        device: DeviceId,
        name: String,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Device, StoreError>> {
        make(self, Change::RenameDevice { device, name, at }, Changed::device)
    }

    /// See [`Change::SetDeviceEnabled`]; returns also the upgrades that have ended by it.
    fn set_device_enabled(
        &self,
        device: DeviceId,
        enabled: bool,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Switched, StoreError>> {
        make(self, Change::SetDeviceEnabled { device, enabled, at }, Changed::switched)
    }

    /// See [`Change::ResetDevice`]; returns also the upgrades that have ended by it.
    fn reset_device(
        &self,
        device: DeviceId,
        secret: Secret,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Switched, StoreError>> {
        make(self, Change::ResetDevice { device, secret, at }, Changed::switched)
    }

    /// See [`Change::RotateDeviceSecret`].
    fn rotate_device_secret(
        &self,
        device: DeviceId,
        secret: Secret,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Device, StoreError>> {
        make(self, Change::RotateDeviceSecret { device, secret, at }, Changed::device)
    }

    /// See [`Change::DeleteDevice`].
    fn delete_device(&self, device: DeviceId, at: UnixMillis) -> PortFuture<'static, Result<(), StoreError>> {
        make(self, Change::DeleteDevice { device, at }, drop)
    }

    /// See [`Change::PurgeDevice`].
    fn purge_device(
        &self,
        device: DeviceId,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Purged, StoreError>> {
        make(self, Change::PurgeDevice { device, at }, Changed::purged)
    }

    /// See [`Change::EditProperties`]; returns all of the kind.
    fn edit_properties(
        &self,
        device: DeviceId,
        at: UnixMillis,
        edit: PropertyEdit,
        only_from: Option<Properties>,
    ) -> PortFuture<'static, Result<Result<Properties, NotEdited>, StoreError>> {
        make(self, Change::EditProperties { device, at, edit, only_from }, Changed::properties)
    }

    /// See [`Change::SendCommand`]; nothing is expected of it.
    fn send_command(
        &self,
        device: DeviceId,
        order: Order,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Result<Command, NotSent>, StoreError>> {
        self.send_expected_command(device, (order, None), at)
    }

    /// See [`Change::SendCommand`].
    fn send_expected_command(
        &self,
        device: DeviceId,
        (order, expected): (Order, Option<Expected>),
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Result<Command, NotSent>, StoreError>> {
        make(self, Change::SendCommand { device, order, only_id: None, expected, at }, Changed::sent)
    }

    /// See [`Change::SendCommand`]; it gets this id, or is not sent.
    fn send_encoded_command(
        &self,
        device: DeviceId,
        (order, only_id): (Order, Option<CommandId>),
        expected: Option<Expected>,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Result<Command, NotSent>, StoreError>> {
        make(self, Change::SendCommand { device, order, only_id, expected, at }, Changed::sent)
    }

    /// See [`Change::CancelCommands`]; returns the ones that were taken back.
    fn cancel_commands(
        &self,
        device: DeviceId,
        id: Option<CommandId>,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Vec<Command>, StoreError>> {
        make(self, Change::CancelCommands { device, id, at }, Changed::cancelled)
    }

    /// See [`FirmwareChange::Add`]; returns the image that the product has.
    fn add_image(&self, image: Image) -> PortFuture<'static, Result<Image, StoreError>> {
        make(self, Change::Firmware(FirmwareChange::Add(image)), Changed::image)
    }

    /// See [`FirmwareChange::Delete`].
    fn delete_image(
        &self,
        image: ImageId,
    ) -> PortFuture<'static, Result<Result<(), NotDeleted>, StoreError>> {
        make(self, Change::Firmware(FirmwareChange::Delete { image }), Changed::image_deleted)
    }

    /// See [`FirmwareChange::Offer`].
    fn offer_image(
        &self,
        image: ImageId,
        to: OfferTo,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Offered, StoreError>> {
        make(self, Change::Firmware(FirmwareChange::Offer { image, to, at }), Changed::offered)
    }

    /// See [`FirmwareChange::Switch`]; returns the image as it stands now.
    fn switch_rollout(&self, image: ImageId, on: bool) -> PortFuture<'static, Result<Image, StoreError>> {
        make(self, Change::Firmware(FirmwareChange::Switch { image, on }), Changed::image)
    }

    /// See [`FirmwareChange::Advance`].
    fn advance_upgrades(
        &self,
        limit: usize,
        server: ServerName,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Advanced, StoreError>> {
        make(self, Change::Firmware(FirmwareChange::Advance { limit, server, at }), Changed::advanced)
    }

    /// See [`Change::Access`].
    fn change_access(&self, change: AccessChange) -> PortFuture<'static, Result<(), StoreError>> {
        make(self, Change::Access(change), drop)
    }

    /// See [`Change::NoteSecretShown`].
    fn note_secret_shown(
        &self,
        device: DeviceId,
        at: UnixMillis,
        detail: Option<String>,
    ) -> PortFuture<'static, Result<(), StoreError>> {
        make(self, Change::NoteSecretShown { device, at, detail }, drop)
    }
}

impl<R: Registry + ?Sized> RegistryChanges for R {}

fn make<T: 'static>(
    registry: &(impl Registry + ?Sized),
    change: Change,
    result: fn(Changed) -> T,
) -> PortFuture<'static, Result<T, StoreError>> {
    let changed = registry.change(change);
    Box::pin(async move { changed.await.map(result) })
}
