//! What devices reported and what happened to them.

use std::collections::HashMap;

use super::{LIMIT_MAX, Registry, RegistryError, checked_limit};
use crate::{
    ids::{DeviceId, DeviceName},
    model::{device::Device, message::PointValue},
    ports::HistoryQuery,
    rules::identity::Identity,
    service::view::{LogView, PresenceView, RefusalView},
};

impl Registry {
    /// The latest value of every point of a device.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn points_latest(&self, device: &Device) -> Result<Vec<PointValue>, RegistryError> {
        Ok(self.store.points_latest(device.id).await?)
    }

    /// Values of a device by time, newest first.
    ///
    /// # Errors
    /// `Invalid` for a limit outside of 1 to 10,000 or a time span that ends before it begins.
    pub async fn points_history(
        &self,
        device: &Device,
        query: HistoryQuery,
    ) -> Result<Vec<PointValue>, RegistryError> {
        checked_limit(query.limit, LIMIT_MAX)?;
        if query.from.zip(query.to).is_some_and(|(from, to)| from > to) {
            return Err(RegistryError::Invalid { field: "to", message: "lies before from".to_owned() });
        }
        Ok(self.store.points_history(device.id, query).await?)
    }

    /// What happened to a device, newest first.
    ///
    /// # Errors
    /// `Invalid` for a limit outside of 1 to 10,000.
    pub async fn log(&self, device: &Device, limit: usize) -> Result<Vec<LogView>, RegistryError> {
        let entries = self.store.device_log(device.id, checked_limit(limit, LIMIT_MAX)?).await?;
        Ok(entries.into_iter().map(LogView::from).collect())
    }

    /// When a device came and went, newest first.
    ///
    /// # Errors
    /// `Invalid` for a limit outside of 1 to 10,000.
    pub async fn presence(&self, device: &Device, limit: usize) -> Result<Vec<PresenceView>, RegistryError> {
        let changes = self.store.presence_history(device.id, checked_limit(limit, LIMIT_MAX)?).await?;
        Ok(changes.into_iter().map(PresenceView::from).collect())
    }

    /// Refusals of all devices and of strangers, newest first, each with the names that are known of its peer.
    ///
    /// # Errors
    /// `Invalid` for a limit outside of 1 to 10,000.
    pub async fn refusals(&self, limit: usize) -> Result<Vec<RefusalView>, RegistryError> {
        let entries = self.store.refusals(checked_limit(limit, LIMIT_MAX)?).await?;
        let mut known: HashMap<DeviceId, Option<DeviceName>> = HashMap::new();
        let mut views = Vec::with_capacity(entries.len());
        for mut entry in entries {
            let name = match entry.device {
                Some(device) => self.name_of(device, &mut known).await?,
                None => entry.identity.as_deref().and_then(claimed_name),
            };
            let (product_key, device_key) = name.map(|name| (name.product_key, name.device_key)).unzip();
            let identity = entry.identity.take();
            views.push(RefusalView { entry: LogView::from(entry), identity, product_key, device_key });
        }
        Ok(views)
    }

    async fn name_of(
        &self,
        id: DeviceId,
        known: &mut HashMap<DeviceId, Option<DeviceName>>,
    ) -> Result<Option<DeviceName>, RegistryError> {
        if let Some(name) = known.get(&id) {
            return Ok(name.clone());
        }
        let device = self.store.device_by_id(id).await?;
        let name = device
            .map(|device| DeviceName { product_key: device.product_key, device_key: device.device_key });
        known.insert(id, name.clone());
        Ok(name)
    }
}

/// The keys in an identity, which need not exist.
fn claimed_name(identity: &str) -> Option<DeviceName> {
    match Identity::parse(identity.as_bytes()) {
        Ok(identity) => Some(identity.name),
        Err(fault) => fault.name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::UnixMillis,
        model::log::{LogEntry, LogEvent, Reason},
        ports::Write,
        service::registry::{
            NewDeviceRequest,
            fake::{NOW, registry_with_product},
        },
        testing::block_on,
    };

    #[test]
    fn a_refusal_is_shown_with_the_names_that_are_known() {
        let registry = registry_with_product();
        let request = NewDeviceRequest {
            product_key: "pk".into(),
            device_key: Some("dk".into()),
            ..NewDeviceRequest::default()
        };
        block_on(registry.create_device(request)).expect("it is valid");
        let device = block_on(registry.resolve("dk", None)).expect("it exists");
        let refused = |device, identity: Option<&str>, reason| {
            Write::Log(LogEntry {
                time: NOW,
                device,
                identity: identity.map(str::to_owned),
                event: LogEvent::Refused,
                reason: Some(reason),
                code: Some(742),
                peer: Some("192.0.2.1:5000".into()),
                detail: None,
            })
        };
        let writes = vec![
            refused(Some(device.id), None, Reason::WrongKey),
            refused(None, Some("pk,other,2,60"), Reason::DeviceUnknown),
            refused(None, Some("pk,other,9,60"), Reason::ModeUnknown),
            refused(None, Some("nonsense"), Reason::IdentityMalformed),
        ];
        block_on(registry.store.append(writes)).expect("it works");
        let refusals = block_on(registry.refusals(10)).expect("it works");
        let keys: Vec<_> = refusals.iter().map(|view| view.device_key.as_deref()).collect();
        assert_eq!(keys, [None, Some("other"), Some("other"), Some("dk")]);
        assert_eq!(
            serde_json::to_string(&refusals[1]).expect("it can be written"),
            format!(
                r#"{{"time":{},"event":"refused","reason":"mode_unknown","code":742,"peer":"192.0.2.1:5000","detail":null,"identity":"pk,other,9,60","productKey":"pk","deviceKey":"other"}}"#,
                NOW.0
            )
        );
    }

    #[test]
    fn limits_and_spans_are_checked() {
        let registry = registry_with_product();
        let request = NewDeviceRequest {
            product_key: "pk".into(),
            device_key: Some("dk".into()),
            ..NewDeviceRequest::default()
        };
        block_on(registry.create_device(request)).expect("it is valid");
        let device = block_on(registry.resolve("dk", None)).expect("it exists");
        let said = [
            block_on(registry.log(&device, 0)).map(|_| ()),
            block_on(registry.refusals(10_001)).map(|_| ()),
            block_on(registry.points_history(
                &device,
                HistoryQuery { from: Some(UnixMillis(2)), to: Some(UnixMillis(1)), limit: 1, point: None },
            ))
            .map(|_| ()),
        ]
        .map(|result| result.expect_err("it is refused").to_string());
        assert_eq!(
            said,
            [
                "limit is 0; it must be 1 to 10000",
                "limit is 10001; it must be 1 to 10000",
                "to lies before from"
            ]
        );
        assert!(block_on(registry.presence(&device, 1)).is_ok());
    }
}
