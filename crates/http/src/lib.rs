//! The HTTP side: health, metrics and a start page, on the control-plane runtime beside the data plane.
//!
//! Only reads; no request has a body that is looked at, and nothing here names a device or a secret. Bound to
//! loopback unless an operator says otherwise. Limits: [`CONNECTIONS_MAX`] at a time, each silent for at most [`SILENCE_MAX`], requests end within
//! [`REQUEST_TIME_MAX`], and the bodies of requests are ignored.
#![forbid(unsafe_code)]

mod connection;
pub mod health;
pub mod metrics;
mod page;
mod problem;
mod routes;
mod serve;

pub use connection::{CONNECTIONS_MAX, SILENCE_MAX};
pub use health::{Health, Phase};
pub use metrics::{Metric, MetricKind, MetricsSource};
pub use page::About;
pub use routes::router;
pub use serve::{DRAIN_TIME_MAX, REQUEST_TIME_MAX, serve};
