//! One import at a time of a product, of those that take all rows or none: of two with the same devices, each
//! could make half of them otherwise.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Products that one works on.
static PRODUCTS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn lock() -> MutexGuard<'static, BTreeSet<String>> {
    PRODUCTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to be the only one, until it is dropped.
pub(super) struct Alone(String);

impl Alone {
    /// `None`: there is one.
    pub(super) fn new(product_key: &str) -> Option<Self> {
        lock().insert(product_key.to_owned()).then(|| Self(product_key.to_owned()))
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        lock().remove(&self.0);
    }
}
