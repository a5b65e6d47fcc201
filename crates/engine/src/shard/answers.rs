//! Answers that do not fit: a session's records may be as short as 512 bytes (RFC 6066, section 4), and a
//! datagram has an end. A request always gets some answer, or its device would send it again and again.

use std::borrow::Cow;

use narrowgate_coap::{Code, Params, Response};

/// The settings of the CoAP layer for a session whose records hold so many bytes.
pub(super) fn params(params: &Params, plaintext_bytes_max: usize) -> Cow<'_, Params> {
    if params.message_bytes_max <= plaintext_bytes_max {
        return Cow::Borrowed(params);
    }
    Cow::Owned(Params { message_bytes_max: plaintext_bytes_max, ..params.clone() })
}

/// What is answered where `response` does not fit. An error says it all by its code, so its payload may be
/// left out (RFC 7252, section 5.5.2); a success without its content would be another answer, so it becomes a
/// 5.00.
pub(super) fn shorter(response: &Response) -> Response {
    if response.code.class() < 4 {
        return Response::new(Code::INTERNAL_SERVER_ERROR);
    }
    Response { code: response.code, options: response.options.clone(), payload: Vec::new() }
}
