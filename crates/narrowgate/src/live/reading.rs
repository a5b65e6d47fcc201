//! Reading what happened from the store, with the keys of the devices and their organisation units.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use narrowgate_http::{Piece, Told, Whose};
use narrowgate_platform::{
    ids::{DeviceId, DeviceName},
    model::happened::{Happened, StreamPlace},
    ports::{History, HistoryReads as _, Lost, Registry, StoreError, Stores},
};
use tokio::runtime::Handle;

/// Devices whose keys are remembered. At the limit all are forgotten.
const OWNERS_MAX: usize = 1 << 16;
/// After this time it is looked up again whether a device is there: nothing is told of one that is deleted.
const FRESH: Duration = Duration::from_secs(5);

/// A part of what happened.
pub(super) struct Page {
    pub(super) piece: Piece,
    /// Nothing is committed behind it yet.
    pub(super) head: StreamPlace,
    pub(super) lost: Option<Lost>,
}

/// Whose a happening is.
#[derive(Clone)]
enum Owner {
    Device(Arc<(Arc<Whose>, DeviceName)>),
    /// It was deleted since. Its number is not used again.
    Gone,
    /// Its row is damaged.
    Unreadable,
}

/// See the module.
pub(super) struct Reading {
    history: Arc<dyn History>,
    registry: Arc<dyn Registry>,
    /// Neither the keys of a device nor its unit ever change. Each with when it was looked up.
    owners: Mutex<HashMap<DeviceId, (Instant, Owner)>>,
    pub(super) fresh: Duration,
}

impl Reading {
    pub(super) fn new(stores: &Stores) -> Self {
        let (history, registry) = (Arc::clone(&stores.history), Arc::clone(&stores.registry));
        Self { history, registry, owners: Mutex::default(), fresh: FRESH }
    }

    /// Reads behind a place; `None`: nothing, but where the newest stands. On a thread that may wait: the
    /// store reads while it is called.
    pub(super) async fn page(
        self: &Arc<Self>,
        after: Option<StreamPlace>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let reading = Arc::clone(self);
        let read = move || Handle::current().block_on(reading.read(after, limit));
        let read = tokio::task::spawn_blocking(read).await;
        read.unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string())))
    }

    async fn read(&self, after: Option<StreamPlace>, limit: usize) -> Result<Page, StoreError> {
        let page = self.history.happened(after, limit).await?;
        let mut piece = Piece { told: Vec::new(), upto: page.upto, is_damaged: page.damaged > 0 };
        piece.told.reserve_exact(page.items.len());
        for happened in page.items {
            let is_of_device = happened.device.is_some();
            let Some(told) = self.told(happened).await? else { continue };
            // Nobody knows whose it is, so those of a unit do not see it.
            piece.is_damaged |= is_of_device && told.whose.ou.is_none();
            piece.told.push(told);
        }
        Ok(Page { piece, head: page.head, lost: page.lost })
    }

    /// With the keys of its device; `None`: that was deleted since.
    async fn told(
        &self,
        Happened { place, device, happening }: Happened,
    ) -> Result<Option<Told>, StoreError> {
        let owner = match device {
            Some(device) => self.owner(device).await?,
            None => Owner::Unreadable,
        };
        Ok(match owner {
            Owner::Device(owner) => {
                let (whose, name) = &*owner;
                Some(Told::new(Some(place), Arc::clone(whose), &happening.with_device(name.clone())))
            }
            Owner::Unreadable => Some(Told::of_nobody(Some(place), &happening)),
            Owner::Gone => None,
        })
    }

    async fn owner(&self, device: DeviceId) -> Result<Owner, StoreError> {
        let now = Instant::now();
        let known = self.owners.lock().unwrap_or_else(PoisonError::into_inner).get(&device).cloned();
        match known {
            Some((_, Owner::Gone)) => return Ok(Owner::Gone),
            Some((at, owner)) if now.saturating_duration_since(at) < self.fresh => return Ok(owner),
            _ => {}
        }
        let owner = match self.registry.device_by_id(device).await {
            Ok(Some(found)) => {
                let name = DeviceName { product_key: found.product_key, device_key: found.device_key };
                let (product_key, device_key) =
                    (Some(name.product_key.clone()), Some(name.device_key.clone()));
                let whose = Whose { ou: Some(found.ou), product_key, device_key };
                Owner::Device(Arc::new((Arc::new(whose), name)))
            }
            Ok(None) => Owner::Gone,
            // It may be put right.
            Err(StoreError::Damaged(_)) => return Ok(Owner::Unreadable),
            Err(error) => return Err(error),
        };
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if owners.len() >= OWNERS_MAX {
            owners.clear();
        }
        owners.insert(device, (now, owner.clone()));
        Ok(owner)
    }
}
