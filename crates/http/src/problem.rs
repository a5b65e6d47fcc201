//! Errors as `application/problem+json` (RFC 9457).

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use narrowgate_api::problem::{Code, MEDIA_TYPE, Problem};

/// Seconds after which what is busy or cannot work now is worth another try.
const RETRY_AFTER_S: u16 = 5;

/// An answer that is a problem.
#[derive(Debug, Clone)]
pub(crate) struct Refused(pub(crate) Problem);

impl Refused {
    /// A fault of the request itself, with the standard title of its status.
    pub(crate) fn new(status: StatusCode, code: Code, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self(Problem { detail: Some(detail.into()), ..Problem::new(status.as_u16(), code, title) })
    }
}

/// Goes with the answer, so that whoever knows the name of the request can say it in the problem.
#[derive(Debug, Clone)]
pub(crate) struct ProblemOf(pub(crate) Refused);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl Refused {
    /// The same answer with the name of the request in its body.
    pub(crate) fn named(self, id: &str, answer: Response) -> Response {
        let problem = Problem { request_id: Some(id.to_owned()), ..self.0 };
        answer.map(|_| Body::from(written(&problem)))
    }
}

/// Strings and a number can always be serialised.
fn written(problem: &Problem) -> String {
    serde_json::to_string(problem).unwrap_or_default()
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = written(&self.0);
        let mut response = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        let is_over_soon = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        // Room for a backup is made by somebody, and not by waiting.
        if is_over_soon && self.0.code != Code::NoRoom {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static(r#"Bearer realm="narrowgate", error="invalid_token""#);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response.extensions_mut().insert(ProblemOf(self));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_over_by_itself_says_when_to_try_again() {
        for (status, code, says) in [
            (429, Code::RateLimited, true),
            (429, Code::Busy, true),
            (503, Code::Unavailable, true),
            (429, Code::NoRoom, false),
            (409, Code::Conflict, false),
        ] {
            let response = Refused(Problem::new(status, code, "no")).into_response();
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), says, "{code:?}");
        }
    }
}
