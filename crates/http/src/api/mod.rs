//! The operator's verbs under `/api/v1`: one file per group, one handler per verb, each with its route.
//!
//! A device is named by both keys, `products/{product}/devices/{device}`, or by one name as people give it,
//! `devices/{name}`: `PK/DK`, a key that is unique, an asset id, or the `id:` of a damaged row. What may be
//! asked of one may be asked of the other.

mod devices;
pub(crate) mod events;
mod extract;
mod fleet;
mod history;
mod products;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit};
use narrowgate_api::fleet::Host;
use narrowgate_platform::service::Operator;

use self::events::EventsSource;
use crate::routes::{BODY_BYTES_MAX, method_not_allowed, not_found};

/// Both paths of a device.
const DEVICE_PATHS: [&str; 2] = ["/api/v1/products/{product}/devices/{device}", "/api/v1/devices/{device}"];

/// What the verbs work on.
#[derive(Clone)]
pub struct Api {
    /// Does them.
    pub operator: Operator,
    /// What the process knows of itself, now.
    pub host: Arc<dyn Fn() -> Host + Send + Sync>,
    /// What happens to devices; `None` where nobody serves devices.
    pub events: Option<EventsSource>,
}

/// The verbs alone, for a process that opened the store itself.
pub fn router(api: Api) -> Router {
    routes(api).fallback(not_found).method_not_allowed_fallback(method_not_allowed)
}

/// The routes of every group.
pub(crate) fn routes(api: Api) -> Router {
    Router::new()
        .merge(products::routes())
        .merge(devices::routes())
        .merge(history::routes())
        .merge(fleet::routes())
        .merge(events::routes())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(api)
}
