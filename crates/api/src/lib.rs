//! What operators and programs say to narrowgate, and what they are told: the types of requests, answers,
//! problems and happenings, both ways. Nothing here behaves but words for people; every crate that speaks to
//! the outside shares these types, the command line among them. Keys are camelCase, times Unix milliseconds.
//!
//! No answer holds a secret except those whose name says that something was created, shown or reset.
//!
//! ```
//! use narrowgate_api::problem::{Code, Problem};
//!
//! // What a server answers is read by the type that wrote it.
//! let answer = r#"{"type":"about:blank","title":"cannot disable it","status":404,"code":"missing"}"#;
//! let problem: Problem = serde_json::from_str(answer).expect("a problem document");
//! assert_eq!((problem.status, problem.code), (404, Code::Missing));
//! assert_eq!(serde_json::to_string(&problem).expect("it is JSON"), answer);
//! ```
#![forbid(unsafe_code)]
#![deny(clippy::iter_over_hash_type)]

pub mod access;
pub mod advice;
pub mod audit;
pub mod backup;
pub mod command;
pub mod device;
pub mod firmware;
pub mod fleet;
pub mod happening;
pub mod history;
pub mod import;
pub mod job;
pub mod log;
pub mod model;
pub mod names;
mod object;
pub mod page;
pub mod problem;
pub mod product;
pub mod properties;
pub mod query;
pub mod rates;
pub mod script;
pub mod secret;
pub mod time;
pub mod user;
pub mod words;
