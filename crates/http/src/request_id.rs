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

/// Of this process.
static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::new);
static LAST: AtomicU64 = AtomicU64::new(0);

/// Nobody learns from one how many there were.
fn next_id() -> String {
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    let (process, request) = (SECRET.hash_one("process"), SECRET.hash_one(number));
    format!("{:08x}-{request:016x}", process >> 32)
}

/// The name of a request, in its extensions.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// Names the request, and says so in its answer.
pub(crate) async fn identify(mut request: Request, next: Next) -> Response {
    let id = next_id();
    request.extensions_mut().insert(RequestId(id.clone()));
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
        Some(Asker { caller: Caller::Owner, .. }) | None => return next.run(request).await,
        Some(Asker { caller, .. }) => caller.to_string(),
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
        let parts = |id: &str| id.split_once('-').map(|(process, rest)| (process.to_owned(), rest.len()));
        assert_eq!(parts(&first).map(|(process, rest)| (process.len(), rest)), Some((8, 16)), "{first}");
        assert_eq!(parts(&first), parts(&second), "of one process");
        let number = |id: &str| u64::from_str_radix(&id[9..], 16).expect("they are digits");
        assert!(number(&first).abs_diff(number(&second)) > 1000, "they cannot be counted: {first} {second}");
    }
}
