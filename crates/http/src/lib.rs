//! The HTTP side, on the control-plane runtime beside the data plane: one router over the operator's service.
//!
//! * On TCP: health, metrics and a start page. It only reads, ignores bodies, and names no device and no
//!   secret. It is bound to loopback unless configured otherwise; requests end within [`REQUEST_TIME_MAX`].
//! * On a socket whose peers are known ([`control_router`]): the same, and the operator's verbs under
//!   `/api/v1`, for peers that the [`Listener`] accepts. Bodies have at most [`BODY_BYTES_MAX`] bytes.
//! * In process ([`api_router`]): only the verbs.
//!
//! The number of connections at a time is limited ([`PlacesMax`]), and each may be silent for at most
//! [`SILENCE_MAX`]; where others wait, for [`ALONE`].
#![forbid(unsafe_code)]

mod api;
mod connection;
pub mod health;
pub mod metrics;
mod page;
mod places;
mod problem;
mod routes;
mod secret;
mod serve;

pub use api::{
    Api,
    events::{Events, EventsSource, Next, Subscription},
    router as api_router,
};
pub use connection::{SILENCE_MAX, TCP_PLACES_MAX};
pub use health::{Findings, Health, Look, Phase};
pub use metrics::{Metric, MetricKind, MetricsSource, Samples};
pub use page::About;
pub use places::{ALONE, PlacesMax};
pub use routes::{BODY_BYTES_MAX, control_router, router};
pub use secret::secret_json;
pub use serve::{DRAIN_TIME_MAX, Listener, REQUEST_TIME_MAX, serve};
