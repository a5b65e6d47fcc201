//! The operator's verbs under `/api/v1`: one file per group, one handler per verb, each with its route.
//!
//! A device is named by both keys, `products/{product}/devices/{device}`, or by one name,
//! `devices/{name}`: `PK/DK`, a unique key, an asset id, or the `id:` of a damaged row. Both paths have the
//! same verbs.

mod backup;
mod commands;
mod devices;
pub(crate) mod events;
mod extract;
mod firmware;
mod fleet;
mod history;
mod models;
mod products;
mod properties;
mod scripts;

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
    /// The service that does them.
    pub operator: Operator,
    /// What the process knows about itself at the time of the call.
    pub host: Arc<dyn Fn() -> Host + Send + Sync>,
    /// What happens to devices; `None` if this process serves none.
    pub events: Option<EventsSource>,
}

/// Only the verbs, for a process that opened the store itself.
pub fn router(api: Api) -> Router {
    routes(api).fallback(not_found).method_not_allowed_fallback(method_not_allowed)
}

/// The routes of every group.
pub(crate) fn routes(api: Api) -> Router {
    Router::new()
        .merge(products::routes())
        .merge(models::routes())
        .merge(scripts::routes())
        .merge(devices::routes())
        .merge(commands::routes())
        .merge(history::routes())
        .merge(properties::routes())
        .merge(firmware::routes())
        .merge(fleet::routes())
        .merge(backup::routes())
        .merge(events::routes())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(api)
}
