//! A name for each request: in the header `X-Request-Id` of its answer, in the problem that it gets, and in
//! the log. It is ours: what a client sends under that name is ignored, so that nobody writes into the log.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use narrowgate_platform::model::access::Caller;

use crate::{api::Asker, problem::ProblemOf};

const NAME: HeaderName = HeaderName::from_static("x-request-id");

/// Which process it is, so that names of two are different.
static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()));
static LAST: AtomicU64 = AtomicU64::new(0);

fn next_id() -> String {
    let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    format!("{:08x}-{number:x}", *PROCESS >> 32)
}

/// Names the request, and says so in its answer.
pub(crate) async fn identify(request: Request, next: Next) -> Response {
    let id = next_id();
    let mut response = next.run(request).await;
    if let Some(ProblemOf(problem)) = response.extensions_mut().remove() {
        response = problem.named(&id, response);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(NAME, value);
    }
    if let Some(Done { who, what }) = response.extensions_mut().remove() {
        tracing::debug!(request = id, who, what, status = response.status().as_u16(), "asked");
    }
    response
}

/// What a holder of a token or a user asked for.
#[derive(Clone)]
struct Done {
    who: String,
    what: String,
}

/// Notes what a holder of a token or a user asks for, for the log.
pub(crate) async fn note(request: Request, next: Next) -> Response {
    let who = match request.extensions().get::<Asker>() {
        Some(Asker { caller: Caller::Token { name, .. }, .. }) => format!("token {name}"),
        Some(Asker { caller: Caller::User { name, .. }, .. }) => format!("user {name}"),
        _ => return next.run(request).await,
    };
    let what = format!("{} {}", request.method(), request.uri().path());
    let mut response = next.run(request).await;
    response.extensions_mut().insert(Done { who, what });
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_requests_have_the_same_name() {
        let (first, second) = (next_id(), next_id());
        assert_ne!(first, second);
        assert_eq!(first.split_once('-').map(|(process, _)| process.len()), Some(8), "{first}");
    }
}
