//! The operator's verbs under `/api/v1`: one file per group, one handler per verb, each with its route and
//! with what it takes of its caller (module [`asked`]).
//!
//! A device is named by both keys, `products/{product}/devices/{device}`, or by one name,
//! `devices/{name}`: `PK/DK`, a unique key, an asset id, or the `id:` of a damaged row. Both paths have the
//! same verbs.

mod access;
mod asked;
mod audit;
mod audited;
mod backup;
mod census;
mod commands;
mod conditions;
mod counted;
mod described;
mod devices;
pub(crate) mod events;
mod export;
mod extract;
mod firmware;
mod fleet;
mod history;
mod idempotency;
mod imports;
mod jobs;
mod models;
mod products;
mod properties;
mod scripts;
mod sessions;
mod users;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{self, Next},
    response::Response,
};
use narrowgate_api::fleet::Host;
use narrowgate_platform::service::Operator;

use self::{asked::Routes, events::EventsSource};
pub(crate) use self::{
    asked::{Asker, Credential, Row, Standing, forbidden},
    audited::{asked_from, count_unwritten, samples as audit_samples},
    backup::Maker,
    counted::samples as api_samples,
    imports::reads_its_body,
};
pub use self::{
    audited::BEGINS_EXPORT,
    backup::{BackingUp, Backups},
};
#[cfg(test)]
pub(crate) use self::{
    audited::actions_of,
    described::{Answer, Shape},
    idempotency::request_key,
};
use crate::{
    routes::{method_not_allowed, not_found},
    work::BODY_BYTES_MAX,
};

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

/// Only the verbs, for the owner, in a process that opened the store itself.
pub fn router(api: Api) -> Router {
    routes(api)
        .layer(middleware::from_fn(as_owner))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
}

/// The routes of every group. Whoever lets requests in says who asks: an [`Asker`] in their extensions.
pub(crate) fn routes(api: Api) -> Router {
    groups().router(api).layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// Every request is the owner's.
pub(crate) async fn as_owner(mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Asker::owner());
    next.run(request).await
}

fn groups() -> Routes {
    Routes::default()
        .merge(access::routes())
        .merge(audit::routes())
        .merge(users::routes())
        .merge(sessions::routes())
        .merge(products::routes())
        .merge(models::routes())
        .merge(scripts::routes())
        .merge(devices::routes())
        .merge(commands::routes())
        .merge(history::routes())
        .merge(export::routes())
        .merge(imports::routes())
        .merge(jobs::routes())
        .merge(properties::routes())
        .merge(firmware::routes())
        .merge(fleet::routes())
        .merge(backup::routes())
        .merge(events::routes())
}

/// Every route with what it takes of its caller.
pub(crate) fn rows() -> Vec<asked::Row> {
    groups().rows()
}
