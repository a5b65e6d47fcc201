//! The console: the pages under `/console` for users who have logged in. HTML from Rust, which works without
//! script; one small module of our own makes it live.
//!
//! * Each page and each form goes through [`visit::let_in`]: who is not logged in is sent to `/login` and
//!   back; a form is taken from a page of this server alone, with the token of its session.
//! * Pages read and act by the API ([`Visit::read`], [`Visit::act`]): what the caller's role and organisation
//!   unit do not permit is refused there, what is done is in the audit log, and long reads wait for their
//!   turn, as for programs. What a caller may not do is not offered ([`Visit::may`]).
//! * No text stands in a template: it is a [`Word`](words::Word) of the catalogue, in English and Chinese.
//! * The address is the state: filters, tabs and cursors are in it.
//!
//! # A page in ten lines
//!
//! ```text
//! // words/things.rs, and its module in words/mod.rs
//! words! { THINGS: "Things", "东西"; }
//! // things.rs, with `.merge(things::routes())` in `routes` below, and a row in `layout::PLACES`
//! pub(super) fn routes() -> Router {
//!     Router::new().route("/console/things", get(list).post(make))
//! }
//! async fn list(visit: Visit) -> Shown {
//!     let things: Page<ThingView> = visit.read("/api/v1/things").await?;
//!     Ok(visit.page(Sheet::new(Here::Things, visit.t(words::THINGS)), &html! { … }))
//! }
//! async fn make(visit: Visit, mut form: Sent) -> Shown {
//!     let act = Act::new(Method::POST, "/api/v1/things");
//!     let _: ThingView = visit.act(act, &json!({"name": form.text("name")})).await?;
//!     Ok(see_other("/console/things"))
//! }
//! ```
//!
//! Forms begin with `visit.token_field()`, times are `visit.time(…)`, identifiers `visit.copyable(…)`,
//! problems of a form `visit.problem(…)`; `parts` has the rest. A secret of an answer that is asked for
//! as one that shows it ([`ask::Act::secret`]) is a text like others to a page: module `secrets` keeps it out
//! of its memory. A test of each page stands in `tests`.

mod ask;
mod assets;
mod audit;
mod charts;
mod counted;
mod device;
mod devices;
mod firmware;
mod import;
mod layout;
mod locale;
mod overview;
mod parts;
mod preferences;
mod products;
mod rates;
mod refusals;
mod seal;
mod secrets;
mod system;
#[cfg(test)]
mod tests;
mod upload;
mod users;
mod visit;
mod vitals;
pub(crate) mod words;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use narrowgate_platform::service::Operator;

use self::{
    import::Runs,
    upload::UPLOAD_BYTES_MAX,
    visit::{Shown, Visit},
    vitals::Vitals,
};
pub(crate) use self::{
    import::takes_file,
    locale::{Language, Preferences},
    visit::{HOME, way_back},
};
use crate::{
    gate::Gate,
    metrics::MetricsSource,
    request_id,
    shares::{ShareMax, Shares},
    work::BODY_BYTES_MAX,
};

/// What the pages work on.
pub(crate) struct Console {
    gate: Arc<Gate>,
    /// What time it is.
    operator: Operator,
    /// The API, for those whom the gate has let in.
    api: Router,
    vitals: Arc<Vitals>,
    /// Bytes of forms that are read or worked on.
    forms: Arc<Shares>,
    /// The same of files, also as long as they are kept.
    uploads: Arc<Shares>,
    imports: Runs,
}

impl Console {
    pub(crate) fn new(gate: Arc<Gate>, operator: Operator, api: Router, metrics: MetricsSource) -> Arc<Self> {
        let forms = Shares::new(ShareMax::quarter(4 * BODY_BYTES_MAX));
        let uploads = Shares::new(ShareMax::quarter(8 * UPLOAD_BYTES_MAX));
        let (vitals, imports) = (Vitals::new(metrics).watched(), Runs::default());
        Arc::new(Self { gate, operator, api, vitals, forms, uploads, imports })
    }
}

/// The routes of the console.
pub(crate) fn routes(console: &Arc<Console>) -> Router {
    let pages = Router::new()
        .merge(overview::routes())
        .merge(devices::routes())
        .merge(device::routes())
        .merge(firmware::routes())
        .merge(users::routes())
        .merge(products::routes())
        .merge(import::routes())
        .merge(refusals::routes())
        .merge(audit::routes())
        .merge(system::routes())
        .route("/console/keys", get(keys))
        .route("/console/", get(async || see_other(HOME)))
        .route("/console/{*rest}", any(nothing))
        .method_not_allowed_fallback(other_way)
        .layer(middleware::from_fn(request_id::note))
        .layer(middleware::from_fn_with_state(Arc::clone(console), visit::let_in));
    pages.merge(preferences::routes()).merge(assets::routes())
}

/// The keys of the keyboard, for who has no script that shows them.
async fn keys(visit: Visit) -> Shown {
    Ok(layout::keys_page(&visit))
}

/// Where no page is.
async fn nothing(visit: Visit) -> Response {
    layout::no_page(&visit, StatusCode::NOT_FOUND, words::NO_PAGE)
}

/// Where a form is taken, and no page is opened: its answer had this address. Or the other way round.
async fn other_way(visit: Visit) -> Response {
    let said = if visit.is_answer { words::PAGE_OPENED_ONLY } else { words::NO_PAGE_FORM };
    layout::no_page(&visit, StatusCode::METHOD_NOT_ALLOWED, said)
}

/// To another page, which is opened by GET. A path that is none of a header leads to the first page.
fn see_other(path: &str) -> Response {
    let path = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static(HOME));
    (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response()
}
