//! Finds the device that somebody means, even one whose row is damaged: that one can be named as it is read,
//! by its asset id, or by `id:` and its row id, and it can only be deleted.

use super::{
    devices::missing,
    error::ServiceError,
    registrar::Registrar,
    view::{self, ROW_ID},
};
use crate::{
    ids::DeviceId,
    model::{damaged::DamagedDevice, device::Device},
    ports::DeviceQuery,
    rules::names::IMPORTED_CHARACTERS_MAX,
};

/// Devices that an ambiguous name lists.
const CANDIDATES_MAX: usize = 10;

/// A device, or what can be read of a damaged one.
pub type Found = Result<Device, DamagedDevice>;

/// The row id of either.
pub(super) fn id_of(found: &Found) -> DeviceId {
    found.as_ref().map_or_else(|damaged| damaged.id, |device| device.id)
}

/// What was found, where it is intact.
pub(super) fn intact(found: Found) -> Result<Device, ServiceError> {
    found.map_err(|damaged| ServiceError::Damaged {
        what: damaged.what,
        hint: "delete it (device delete NAME --yes; device list shows its names) and register it anew with \
               its old secret (device create --device-secret -), or restore a backup: docs/operating.md, \
               Damage",
    })
}

impl Registrar {
    /// Finds an intact device: by both keys, by `PK/DK` in one, by the device key alone where only one device
    /// has it, or by its asset id.
    ///
    /// # Errors
    /// `Missing`, `Damaged`, or `Ambiguous` with the devices that may be meant.
    pub(super) async fn resolve(&self, first: &str, second: Option<&str>) -> Result<Device, ServiceError> {
        intact(self.find(first, second).await?)
    }

    /// Finds a device, intact or damaged, as [`Self::resolve`] does; a damaged one also by `id:` and its row
    /// id.
    ///
    /// # Errors
    /// `Missing`, or `Ambiguous` with the devices that may be meant.
    pub(super) async fn find(&self, first: &str, second: Option<&str>) -> Result<Found, ServiceError> {
        if let Some(device_key) = second {
            let found = self.find_named(Some(first), device_key, 1).await?.pop();
            if found.is_none() {
                self.existing_product(first).await?;
            }
            return found.ok_or_else(|| missing(format!("{first}/{device_key}")));
        }
        if first.len() > 2 * IMPORTED_CHARACTERS_MAX + 1 {
            return Err(ServiceError::Invalid {
                field: "device",
                message: "is longer than any name".to_owned(),
            });
        }
        // Both keys may have slashes of their own, if they were imported.
        for (at, _) in first.match_indices('/') {
            if let Some(found) = self.find_named(Some(&first[..at]), &first[at + 1..], 1).await?.pop() {
                return Ok(found);
            }
        }
        let mut devices = self.find_named(None, first, CANDIDATES_MAX).await?;
        if devices.len() > 1 {
            let candidates = devices.iter().map(|found| view::device_row(found).to_string()).collect();
            return Err(ServiceError::Ambiguous { key: first.to_owned(), candidates });
        }
        match devices.pop() {
            Some(found) => Ok(found),
            None => self.found_by_id(first).await?.ok_or_else(|| missing(first.to_owned())),
        }
    }

    async fn find_named(
        &self,
        product_key: Option<&str>,
        device_key: &str,
        limit: usize,
    ) -> Result<Vec<Found>, ServiceError> {
        let query = DeviceQuery {
            product_key: product_key.map(str::to_owned),
            device_key: Some(device_key.to_owned()),
            limit,
            ..DeviceQuery::default()
        };
        Ok(self.registry.devices(query).await?)
    }

    async fn found_by_id(&self, text: &str) -> Result<Option<Found>, ServiceError> {
        let query = DeviceQuery { asset_id: Some(text.to_owned()), limit: 1, ..DeviceQuery::default() };
        if let Some(found) = self.registry.devices(query).await?.pop() {
            return Ok(Some(found));
        }
        let Some(id) = text.strip_prefix(ROW_ID).and_then(|id| id.parse::<i64>().ok()) else {
            return Ok(None);
        };
        let after = Some(DeviceId(id.saturating_sub(1)));
        let query = DeviceQuery { after, limit: 1, ..DeviceQuery::default() };
        let found = self.registry.devices(query).await?.pop();
        Ok(found.filter(|found| found.is_err() && id_of(found).0 == id))
    }
}
