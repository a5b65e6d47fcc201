//! CoAP (RFC 7252) without I/O: the messages, their reliable delivery and the detection of duplicates.
//!
//! The crate takes bytes and time, and returns bytes and events. One [`Endpoint`] is one side of one
//! association (here: of one DTLS session); it is server and client at once, because a device both sends and
//! receives requests.
//!
//! ```text
//!   bytes, now -> handle_message --+              +-> poll_event     requests, responses, pings, discards
//!   answer     -> respond ---------+-> Endpoint --+-> poll_transmit  bytes for the peer
//!   question   -> request ---------+              +-> poll_timeout   when to call handle_timeout
//!   now        -> handle_timeout --+
//! ```
//!
//! # A request, in virtual time
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use narrowgate_coap::{Budget, Code, Context, Endpoint, Event, Params, Request, Response};
//!
//! let (params, mut budget) = (Params::default(), Budget::new(1 << 16));
//! let mut context = Context { now: Instant::now(), params: &params, budget: &mut budget };
//! let (mut device, mut server, mut message) = (Endpoint::new(1), Endpoint::new(2), Vec::new());
//!
//! let id = device.request(&mut context, Request::get("/temperature"))?;
//! assert!(device.poll_transmit(&mut message));
//! server.handle_message(&mut context, &message);
//! let Some(Event::Request { exchange, request }) = server.poll_event() else { panic!("it is a request") };
//! assert_eq!(request.path.as_str(), "/temperature");
//!
//! // The application takes its time, so the server acknowledges the request before it has an answer.
//! let due = server.poll_timeout().expect("the request waits");
//! assert_eq!(due - context.now, Duration::from_secs(2));
//! context.now = due;
//! server.handle_timeout(&mut context);
//! assert!(server.poll_transmit(&mut message) && message == [0x60, 0, 0, 1]);
//! device.handle_message(&mut context, &message);
//!
//! let response = Response::new(Code::CONTENT).payload("21.5");
//! server.respond(&mut context, exchange, response.clone())?;
//! assert!(server.poll_transmit(&mut message));
//! device.handle_message(&mut context, &message);
//! assert_eq!(device.poll_event(), Some(Event::Response { id, response, separate: true }));
//!
//! device.release(context.budget);
//! server.release(context.budget);
//! assert_eq!(budget.bytes_used(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # RFC 7252, section by section
//!
//! | section | here |
//! |---|---|
//! | 3 message format | [`message`]; anything malformed is rejected as 4.2 and 4.3 ask |
//! | 4.2 confirmable, 4.8 timers | [`Params`]; the random factor comes from a mix of the Message ID |
//! | 4.3 ping | a Reset, and [`Event::Ping`] |
//! | 4.5 deduplication | answers (but 4.29, 5.03) are kept for EXCHANGE_LIFETIME, repeated byte for byte |
//! | 4.5 idempotent requests | a copy of what 4.29 or 5.03 refused may run, until something newer has |
//! | 4.6 message size | [`Params::message_bytes_max`]; a longer answer goes in blocks |
//! | 4.7 congestion control | NSTART for confirmable messages; PROBING_RATE is not enforced |
//! | 5.2 piggybacked, separate, non-confirmable responses | all three |
//! | 5.3.1 token | four bytes, unique in the association and not random: meant for use inside DTLS |
//! | 5.4 options | recognised ones in [`OptionNumber::rule`]; critical unknown ones are refused with 4.02 |
//! | 5.7 proxying | refused with 5.05 |
//! | 8 multicast | not implemented |
//!
//! Two deviations. A duplicate of a non-confirmable request is answered again, although section 4.5 says
//! SHOULD ignore: a device that repeats one needs the answer. PROBING_RATE is not enforced, because this side
//! sends non-confirmable requests only when its user asks for it.
//!
//! Refused requests are reported to the application as [`Event::Refused`]. Another request with the Message
//! ID of an earlier one is answered as its duplicate, which [`Event::MessageIdReused`] reports once.
//!
//! # RFC 7959, section by section
//!
//! | section | here |
//! |---|---|
//! | 2.2 structure of a block option | [`Block`]; size exponent 7 and a payload of another length: 4.00 |
//! | 2.3, 2.5 Block1 | bodies up to [`Params::body_bytes_max`], whole before the application is asked |
//! | 2.3, 2.4 Block2 | answers in blocks where the peer wishes or a message is too short, with an ETag |
//! | 2.4 a body that nobody holds | [`Response::block`]: the application reads each block; nothing is kept |
//! | 2.7 both in one exchange | works; the peer fetches without a body |
//! | 2.9.2, 2.9.3 errors | 4.08 at a gap, 4.13 with Size1 |
//! | RFC 9175, 3 Request-Tag | tells transfers apart, beside the cache key; [`Params::transfers_max`] |
//! | 4 Size1, Size2 | Size1 is believed only to refuse; Size2 is sent when asked for |
//!
//! Requests of ours do not go in blocks, and the blocks of a response are passed on one by one.
//!
//! # RFC 7641, section by section
//!
//! | section | here |
//! |---|---|
//! | 3 the client | not implemented: a request of ours gets one response |
//! | 4.1 request | a registration is known by its token; [`Params::observers_max`] |
//! | 4.2 notifications | [`Endpoint::notify`]; each is confirmable |
//! | 4.4 reordering | 24 bits that count up, over all registrations of an endpoint |
//! | 4.5 transmission | by RFC 7252, 4.2; NSTART; who does not acknowledge is removed |
//! | 4.5.2 advanced | what is queued is replaced by newer; what is on its way is not |
//!
//! RFC 7967 (No-Response) holds for the answers of the application; those of this layer are always sent.
//! Echo (RFC 9175, section 2) is elective and handed on as it is: it tells a fresh request from a replayed
//! one. The records of DTLS cannot be replayed; who serves CoAP without DTLS may ask for it.

#![forbid(unsafe_code)]
#![deny(clippy::iter_over_hash_type)]

mod block;
mod budget;
mod cache_key;
mod code;
mod context;
mod dedup;
mod discard;
mod endpoint;
mod event;
mod exchange;
mod fingerprint;
pub mod format;
pub mod message;
mod option;
mod options;
mod outbound;
mod params;
mod payload;
mod refused;
mod request;
mod response;
#[cfg(test)]
mod test_clock;
mod uri;

pub use block::Block;
pub use budget::Budget;
pub use code::Code;
pub use context::Context;
pub use dedup::AnswerFrame;
pub use discard::Discard;
pub use endpoint::{Endpoint, NotifyError, REFUSED_BYTES_MAX, Remains, RequestError, RespondError};
pub use event::{Event, FailureCause, ObservationEnd};
pub use exchange::{ExchangeId, Origin};
pub use message::{Kind, Message, MessageWriter, ParseError, Token};
pub use option::{OptionFault, OptionNumber, OptionRule};
pub use options::OptionList;
pub use outbound::RequestId;
pub use params::{Params, Profile, SlowRadio};
pub use payload::Payload;
pub use refused::{BlockFault, RefusedRequest, RequestFault};
pub use request::Request;
pub use response::Response;
pub use uri::{UriPath, UriQuery};
