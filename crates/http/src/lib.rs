//! The HTTP side, on the control-plane runtime beside the data plane: one router over the operator's service.
//!
//! * On TCP ([`router`]): health, metrics and a start page, open to everyone, which name no device and no
//!   secret; the pages by which users log in (module `pages`) and the console behind them (module `console`);
//!   and the operator's verbs under `/api/v1` for
//!   holders of tokens and for users (module `gate`), as far as their role goes (module `api::asked`) and in
//!   their organisation unit. It is bound to loopback unless
//!   configured otherwise. What is open ends within [`REQUEST_TIME_MAX`].
//! * On a socket whose peers are known ([`control_router`]): the same without tokens, for peers that the
//!   [`Listener`] accepts: each is the owner.
//! * In process ([`api_router`]): only the verbs, for the owner.
//!
//! Bodies have at most [`BODY_BYTES_MAX`] bytes, and are read only of somebody who may do what they are for.
//!
//! The number of connections at a time is limited ([`PlacesMax`]), and each may be silent for at most
//! [`SILENCE_MAX`]; where others wait, for [`ALONE`].
#![forbid(unsafe_code)]

mod answers;
mod api;
mod browser;
mod connection;
mod console;
pub mod device_file;
#[cfg(test)]
mod document;
#[cfg(test)]
mod files;
mod form;
mod forwarded;
mod gate;
pub mod health;
mod limiter;
#[cfg(test)]
mod matrix;
pub mod metrics;
pub mod oidc;
mod openapi;
mod page;
mod pages;
mod places;
mod problem;
#[cfg(test)]
mod replays;
mod request_id;
mod routes;
mod secret;
mod serve;
mod shares;
pub mod table;
mod throttle;
pub mod tls;
mod turns;
mod work;

pub use api::{
    Api, BEGINS_EXPORT, BackingUp, Backups,
    events::{CursorKey, Events, EventsSource, Next, Piece, Subscription, Told, Whose},
    router as api_router,
};
pub use connection::{SILENCE_MAX, TCP_PLACES_MAX};
pub use forwarded::Way;
pub use health::{Findings, Health, Look, Phase};
pub use metrics::{Detail, Metric, MetricKind, MetricsSource, Samples};
pub use page::About;
pub use pages::Logins;
pub use places::{ALONE, PlacesMax};
pub use routes::{TLS_ONLY, control_router, router, router_with, with_backups};
pub use secret::secret_json;
pub use serve::{DRAIN_TIME_MAX, Listener, Proxied, REQUEST_TIME_MAX, serve};
pub use shares::Lot;
pub use turns::{Turn, Turns};
pub use work::BODY_BYTES_MAX;
