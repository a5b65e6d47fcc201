//! The parts of products that every report needs: kept in memory, read again after a change.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use narrowgate_platform::{
    model::thing_model::ThingModel,
    ports::{Registry, StoreError},
};

/// A product as the data path sees it.
#[derive(Debug)]
pub(super) struct CachedProduct {
    /// What its devices may report; `None`: anything.
    pub(super) model: Option<ThingModel>,
    /// Whether its devices may be connected.
    pub(super) enabled: bool,
}

/// See the module.
pub(super) struct Products {
    registry: Arc<dyn Registry>,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    products: HashMap<String, Arc<CachedProduct>>,
    /// Counts the changes: what was read before one must not be kept after it.
    changes: u64,
}

impl Products {
    pub(super) fn new(registry: Arc<dyn Registry>) -> Self {
        Self { registry, cache: Mutex::default() }
    }

    /// The product, from memory or from the store. A product that is gone, or whose model cannot be read, counts as
    /// switched off.
    pub(super) async fn find(&self, product_key: &str) -> Result<Arc<CachedProduct>, StoreError> {
        let changes = {
            let cache = self.lock();
            if let Some(product) = cache.products.get(product_key) {
                return Ok(Arc::clone(product));
            }
            cache.changes
        };
        let mut cached = CachedProduct { model: None, enabled: false };
        if let Some(product) = self.registry.product(product_key).await? {
            cached.enabled = product.enabled;
            if let Some(json) = &product.model_json {
                match ThingModel::parse(json) {
                    Ok(model) => cached.model = Some(model),
                    Err(error) => {
                        tracing::error!(product_key, %error, "the stored thing model cannot be read");
                        cached.enabled = false;
                    }
                }
            }
        }
        let product = Arc::new(cached);
        let mut cache = self.lock();
        if cache.changes == changes {
            cache.products.insert(product_key.to_owned(), Arc::clone(&product));
        }
        Ok(product)
    }

    /// The next look-up reads the store.
    pub(super) fn forget(&self, product_key: &str) {
        let mut cache = self.lock();
        cache.changes += 1;
        cache.products.remove(product_key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
