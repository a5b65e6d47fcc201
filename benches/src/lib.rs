//! Programs that measure parts of narrowgate by themselves: see `src/bin`, and `benches/run` for the whole
//! gateway.
#![forbid(unsafe_code)]

pub mod fleet;

use narrowgate_coap::{Code, Request, Response, format};
use serde::Deserialize;

/// The answer of a platform that agrees to every report.
pub fn respond(request: &Request) -> Response {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        id: &'a str,
    }
    match serde_json::from_slice::<Envelope<'_>>(&request.payload) {
        Ok(Envelope { id }) => Response::new(Code::CHANGED)
            .content_format(format::JSON)
            .payload(format!(r#"{{"id":"{id}","code":200,"data":{{}}}}"#)),
        Err(_) => Response::new(Code::BAD_REQUEST),
    }
}
