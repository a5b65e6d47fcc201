//! Refusals, page by page, with whom they were of.

use std::collections::HashMap;

use narrowgate_api::{history::RefusalView, page::Page as ShownPage, query::Paging};

use super::{
    cursor::List,
    error::ServiceError,
    history::shown,
    registrar::{LIMIT_MAX, Registrar, checked_limit},
    view,
};
use crate::{
    ids::{DeviceId, DeviceName},
    model::{
        device::Device,
        log::{LogEntry, LogEvent},
    },
    paging::{DamagedRows, Page, Part},
    ports::{HistoryReads as _, StoreError},
    rules::identity::Identity,
};

/// Refusals, also those of others, that are looked at for one page of a unit's.
const LOOKED_AT: usize = 1000;

impl Registrar {
    /// Refusals of all devices and of strangers, newest first, each with the names that are known of its
    /// peer. To a caller of one unit those of its devices alone, and of the others not even when and how
    /// many there were.
    ///
    /// # Errors
    /// `Invalid` for a limit outside of 1 to 1000 or a cursor that is none.
    pub(super) async fn refusals(&self, paging: &Paging) -> Result<ShownPage<RefusalView>, ServiceError> {
        let list = List::Refusals;
        if self.caller.unit().is_some() {
            return self.own_refusals(paging).await;
        }
        let Page { items, next, damaged } = self.history.refusals(list.part(paging)?).await?;
        let mut known: HashMap<DeviceId, Option<DeviceName>> = HashMap::new();
        let mut views = Vec::with_capacity(items.len());
        for entry in items {
            views.push(self.refusal(entry, &mut known).await?);
        }
        Ok(shown(list, Page { items: views, next, damaged }, |view| view))
    }

    /// Those in the log of a device, newest first.
    ///
    /// # Errors
    /// `Invalid` for a limit outside of 1 to 1000 or a cursor that is none.
    pub(super) async fn refusals_of(
        &self,
        device: &Device,
        paging: &Paging,
    ) -> Result<ShownPage<RefusalView>, ServiceError> {
        let list = List::DeviceRefusals(device.id);
        let Part { mut after, limit } = list.part(paging)?;
        let DeviceName { product_key, device_key } = view::name_of(device);
        let (mut items, mut looked_at, mut left_out) = (Vec::new(), 0, DamagedRows::default());
        loop {
            let part = Part { after, limit: limit - items.len() };
            let page = self.history.device_log(device.id, part).await?;
            looked_at += page.items.len() + 1;
            left_out.add_all(page.damaged);
            let refused = page.items.into_iter().filter(|entry| entry.event == LogEvent::Refused);
            items.extend(refused.map(|mut entry| RefusalView {
                identity: entry.identity.take(),
                entry: view::log(entry),
                product_key: Some(product_key.clone()),
                device_key: Some(device_key.clone()),
            }));
            after = page.next;
            if items.len() >= limit || after.is_none() || looked_at >= LOOKED_AT {
                break;
            }
        }
        Ok(shown(list, Page { items, next: after, damaged: left_out }, |view| view))
    }

    /// Those of the caller's unit. A page goes on over those of others until it is full, but not for ever.
    async fn own_refusals(&self, paging: &Paging) -> Result<ShownPage<RefusalView>, ServiceError> {
        let (name, entropy) = ("r", &*self.entropy);
        let limit = checked_limit(paging.limit, LIMIT_MAX)?;
        let cursor = paging.cursor.as_deref();
        let mut after = cursor.map(|cursor| self.seals.open(name, cursor, entropy)).transpose()?;
        let mut known: HashMap<DeviceId, Option<DeviceName>> = HashMap::new();
        let (mut items, mut looked_at) = (Vec::new(), 0);
        loop {
            let part = Part { after, limit: limit - items.len() };
            let page = self.history.refusals(part).await?;
            looked_at += page.items.len() + 1;
            for entry in page.items {
                // A stranger belongs to no unit.
                if self.is_own(&entry, &mut known).await? {
                    items.push(self.refusal(entry, &mut known).await?);
                }
            }
            after = page.next;
            if items.len() >= limit || after.is_none() || looked_at >= LOOKED_AT {
                break;
            }
        }
        let next_cursor = after.map(|place| self.seals.seal(name, place, entropy));
        Ok(ShownPage { items, next_cursor, damaged: None })
    }

    /// Whether an entry is of a device that the caller sees.
    async fn is_own(
        &self,
        entry: &LogEntry,
        known: &mut HashMap<DeviceId, Option<DeviceName>>,
    ) -> Result<bool, ServiceError> {
        match entry.device {
            Some(device) => Ok(self.name_of(device, known).await?.is_some()),
            None => Ok(false),
        }
    }

    async fn refusal(
        &self,
        mut entry: LogEntry,
        known: &mut HashMap<DeviceId, Option<DeviceName>>,
    ) -> Result<RefusalView, ServiceError> {
        let name = match entry.device {
            Some(device) => self.name_of(device, known).await?,
            None => entry.identity.as_deref().and_then(claimed_name),
        };
        let (product_key, device_key) = name.map(|name| (name.product_key, name.device_key)).unzip();
        let identity = entry.identity.take();
        Ok(RefusalView { entry: view::log(entry), identity, product_key, device_key })
    }

    async fn name_of(
        &self,
        id: DeviceId,
        known: &mut HashMap<DeviceId, Option<DeviceName>>,
    ) -> Result<Option<DeviceName>, ServiceError> {
        if let Some(name) = known.get(&id) {
            return Ok(name.clone());
        }
        let device = match self.registry.device_by_id(id).await {
            // The refusal is true, only the names of its device are not known.
            Err(StoreError::Damaged(_)) => None,
            found => found?,
        };
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
    use narrowgate_api::{
        access::{NewUnit, Role},
        device::NewDeviceRequest,
        product::NewProduct,
    };

    use super::*;
    use crate::{
        ids::UnixMillis,
        model::{
            access::{Caller, Scope},
            log::Reason,
        },
        ports::{Batch, Journal as _, Write},
        service::fixtures::{NOW, registrar_with_product_and_store},
        testing::block_on,
    };

    #[test]
    fn a_refusal_is_shown_with_the_names_that_are_known() {
        let (registrar, store) = registrar_with_product_and_store();
        let request = NewDeviceRequest { device_key: Some("dk".into()), ..NewDeviceRequest::default() };
        block_on(registrar.create_device("pk", request)).expect("it is valid");
        let device = block_on(registrar.resolve("dk", None)).expect("it exists");
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
        block_on(store.memory.append(Batch::new(0, writes))).expect("it works");
        let own = block_on(registrar.refusals_of(&device, &Paging::first(1))).expect("it works");
        assert_eq!(own.items[0].entry.reason, Some(Reason::WrongKey));
        // Before it, it was registered: that is no refusal.
        let paging = Paging { cursor: own.next_cursor, ..Paging::first(1) };
        let rest = block_on(registrar.refusals_of(&device, &paging)).expect("it works");
        assert_eq!((rest.items.len(), rest.next_cursor), (0, None));
        let refusals = block_on(registrar.refusals(&Paging::first(10))).expect("it works").items;
        let keys: Vec<_> = refusals.iter().map(|view| view.device_key.as_deref()).collect();
        assert_eq!(keys, [None, Some("other"), Some("other"), Some("dk")]);
        assert_eq!(
            serde_json::to_string(&refusals[1]).expect("it can be written"),
            format!(
                concat!(
                    r#"{{"time":{},"event":"refused","reason":"mode_unknown","code":742,"#,
                    r#""peer":"192.0.2.1:5000","detail":null,"mistake":null,"advice":"{}","#,
                    r#""identity":"pk,other,9,60","productKey":"pk","deviceKey":"other"}}"#,
                ),
                NOW.0,
                Reason::ModeUnknown.advice()
            )
        );
    }

    #[test]
    fn a_unit_learns_nothing_of_the_refusals_of_others() {
        let (owner, store) = registrar_with_product_and_store();
        let unit = block_on(owner.create_unit(NewUnit { name: "north".into(), ..NewUnit::default() }))
            .expect("it is new");
        let (product_key, ou) = (Some("own".to_owned()), Some("north".to_owned()));
        let product = NewProduct { name: "n".into(), product_key, ou, ..NewProduct::default() };
        block_on(owner.create_product(product)).expect("it is new");
        let create = |product: &str| {
            let request = NewDeviceRequest { device_key: Some("dk".into()), ..NewDeviceRequest::default() };
            block_on(owner.create_device(product, request)).expect("it is valid");
            block_on(owner.resolve(product, Some("dk"))).expect("it exists").id
        };
        let (foreign, own) = (create("pk"), create("own"));
        let at = |time: i64, device: Option<DeviceId>| {
            let entry = LogEntry::new(own, UnixMillis(NOW.0 + time), LogEvent::Refused);
            let identity = Some("own,dk,2,60".to_owned());
            Write::Log(LogEntry { device, identity, reason: Some(Reason::WrongKey), ..entry })
        };
        let mut writes = vec![at(0, Some(own)), at(1, Some(own))];
        writes.extend((2..1500).map(|time| at(time, (time % 2 == 0).then_some(foreign))));
        writes.push(at(1500, Some(own)));
        for writes in writes.chunks(100) {
            block_on(store.memory.append(Batch::new(0, writes.to_vec()))).expect("it works");
        }
        let scope = Scope::Unit(unit.ou);
        let north = owner.of(Caller::Token { name: "t".into(), role: Role::Viewer, scope });
        let (mut cursor, mut times, mut pages) = (None, Vec::new(), 0);
        loop {
            let paging = Paging { limit: Some(2), cursor: cursor.take() };
            let page = block_on(north.refusals(&paging)).expect("it works");
            times.extend(page.items.iter().map(|view| view.entry.time.0 - NOW.0));
            pages += 1;
            let Some(next) = page.next_cursor else { break };
            assert!(!next.contains(&format!("{:x}", NOW.0 >> 16)), "{next}");
            assert!(block_on(owner.refusals(&Paging { limit: None, cursor: Some(next.clone()) })).is_err());
            cursor = Some(next);
        }
        assert_eq!(times, [1500, 1, 0]);
        // The limit of what the store keeps of strangers, and of what is looked at, make few pages of many.
        assert!(pages <= 4, "{pages}");
        let forged = Paging { limit: None, cursor: Some("r-1-2-3-0".into()) };
        assert!(block_on(north.refusals(&forged)).is_err(), "it would begin anywhere");
    }
}
