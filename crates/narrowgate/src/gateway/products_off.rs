//! Of a product that is off, or whose organisation unit is suspended, no device is online. Where the last
//! process did not get that far, this one does.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use narrowgate_platform::ports::{LiveSessions as _, Registry, StoreError};

use super::changes::Changes;

/// A list that cannot be read is read again after this time, as long as the gateway runs.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Tells the task of the products that are off. A list that cannot be read hinders no start: the other
/// products are served.
pub(super) async fn tell(registry: &Arc<dyn Registry>, changes: &Arc<Changes>) {
    let Err(error) = tell_once(&**registry, changes).await else { return };
    let words = "products cannot be listed: devices of some that are off stay online; it is tried again";
    tracing::error!(%error, "{words}");
    let (registry, changes) = (Arc::downgrade(registry), Arc::downgrade(changes));
    tokio::spawn(try_again(move || attempt(registry.clone(), changes.clone()), TRY_AGAIN));
}

/// One more attempt; `None`: the gateway is gone.
async fn attempt(registry: Weak<dyn Registry>, changes: Weak<Changes>) -> Option<Result<(), StoreError>> {
    let (registry, changes) = (registry.upgrade()?, changes.upgrade()?);
    Some(tell_once(&*registry, &changes).await)
}

async fn try_again<F>(mut attempt: impl FnMut() -> F, pause: Duration)
where
    F: Future<Output = Option<Result<(), StoreError>>>,
{
    loop {
        tokio::time::sleep(pause).await;
        match attempt().await {
            Some(Err(_)) => {}
            Some(Ok(())) => {
                return tracing::info!("products are listed: no device of one that is off is online");
            }
            None => return,
        }
    }
}

async fn tell_once(registry: &dyn Registry, changes: &Changes) -> Result<(), StoreError> {
    // Of a damaged one it is not known.
    for product in registry.products().await?.into_iter().flatten().filter(|product| !product.may_connect()) {
        changes.product_changed(&product.product_key);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::{Context, Poll, Waker},
    };

    use narrowgate_gateway::LiveChange;
    use narrowgate_platform::{
        memory::MemoryStore, model::product::Product, ports::RegistryChanges as _,
        testing::store::fixtures::product,
    };

    use super::*;

    #[tokio::test]
    async fn a_list_that_cannot_be_read_at_the_start_is_read_again_until_it_can() {
        let attempts = AtomicUsize::new(0);
        let attempt = || {
            let number = attempts.fetch_add(1, Ordering::Relaxed);
            let busy = || StoreError::Conflict("busy".to_owned());
            async move { Some(if number < 3 { Err(busy()) } else { Ok(()) }) }
        };
        try_again(attempt, Duration::ZERO).await;
        assert_eq!(attempts.load(Ordering::Relaxed), 4);
        // Nobody is left who wants to know.
        let registry: Arc<dyn Registry> = Arc::new(MemoryStore::default());
        let gone = Weak::new();
        try_again(|| super::attempt(Arc::downgrade(&registry), gone.clone()), Duration::ZERO).await;
    }

    #[tokio::test]
    async fn products_that_are_off_are_told_of() {
        let store = MemoryStore::default();
        for enabled in [true, false] {
            let key = if enabled { "on" } else { "off" };
            store.create_product(Product { enabled, ..product(key) }).await.expect("the key is free");
        }
        let (registry, changes): (Arc<dyn Registry>, _) = (Arc::new(store), Arc::new(Changes::default()));
        let told = attempt(Arc::downgrade(&registry), Arc::downgrade(&changes)).await;
        assert!(matches!(told, Some(Ok(()))));
        let told = changes.poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(told) = told else { panic!("one is off") };
        assert!(matches!(&told[..], [LiveChange::ProductChanged { product_key }] if product_key == "off"));
    }
}
