//! What narrowgate *is*, without sockets, clocks, threads or databases: products, devices, their secrets and
//! states, the rules of the device protocol, and the ports through which the outside is reached.
//!
//! Pure: bytes, time and randomness come in as arguments or through a port; `async` appears only as futures
//! that a port returns.
//!
//! ```
//! use narrowgate_coap::{Code, Request};
//! use narrowgate_platform::{
//!     device_api::{self, Action, ProductState},
//!     ids::{DeviceId, UnixMillis},
//!     model::{
//!         credential::{CredentialLookup, Credentials},
//!         product::{DynamicActivation, Profile},
//!     },
//!     rules::{
//!         admission::{self, Decision},
//!         identity::Identity,
//!     },
//!     secret::Secret,
//! };
//!
//! // A client sends its identity, and the store knows the device.
//! let identity = Identity::parse(b"MuGsF6W4,15bBZlRknc,2,3600");
//! let lookup = CredentialLookup::Found(Box::new(Credentials {
//!     device: DeviceId(1),
//!     asset_id: "As5etId1".to_owned(),
//!     device_secret: Secret::new("Z5YtZaQpK5IWocakV7zQ".to_owned()),
//!     secret_version: 1,
//!     device_enabled: true,
//!     activated: true,
//!     product_secret: Secret::new("c3PW03srd6c".to_owned()),
//!     product_enabled: true,
//!     unit_suspended: false,
//!     profile: Profile::Default,
//!     dynamic_activation: DynamicActivation::default(),
//! }));
//! let Decision::Admit { grant, .. } = admission::decide(&identity, Some(&lookup)) else {
//!     panic!("the device is known and enabled")
//! };
//!
//! // Its session reports a value, which is stored before it is answered.
//! let path = "/topic/sys/MuGsF6W4/15bBZlRknc/thing/measurepoint/post";
//! let payload = br#"{"id":"1","params":{"measurepoints":{"temp":21.5}}}"#.to_vec();
//! let request = Request { payload, ..Request::new(Code::POST, path) };
//! let now = UnixMillis(1_700_000_000_000);
//! let action = device_api::handle(&grant, &request, ProductState::On(None), now);
//! let Action::Store { writes, response, .. } = action else { panic!("a report is stored") };
//! assert_eq!((writes.len(), response.code), (1, Code::CHANGED));
//! ```
#![forbid(unsafe_code)]
#![deny(clippy::iter_over_hash_type)]

pub mod device_api;
pub mod firmware;
pub mod hex;
pub mod ids;
pub mod memory;
pub mod model;
pub mod paging;
pub mod ports;
pub mod rules;
pub mod secret;
pub mod service;
pub mod testing;

pub use narrowgate_api::words;
