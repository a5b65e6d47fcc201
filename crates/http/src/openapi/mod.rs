//! `/api/v1/openapi.json`, the document of the API, and `/api/docs`, the same to be read.
//!
//! Both are open to everyone: they say what the program's sources say, and nothing of what is stored.

mod page;

use std::sync::LazyLock;

use axum::{
    Router,
    http::{HeaderName, HeaderValue, header},
    response::{Html, IntoResponse},
    routing::get,
};
use serde_json::Value;

/// The document, as a test has made it of the code.
pub(crate) const DOCUMENT: &str = include_str!("../../../../openapi/narrowgate.json");

const STYLE: &str = include_str!("docs.css");

/// A page that loads stylesheets of this server and nothing else.
pub(crate) const POLICY: (HeaderName, HeaderValue) = (
    header::CONTENT_SECURITY_POLICY,
    HeaderValue::from_static(
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
);

/// The page, made once, when it is asked for.
static PAGE: LazyLock<String> = LazyLock::new(|| {
    // A test reads it.
    page::html(&serde_json::from_str(DOCUMENT).unwrap_or(Value::Null))
});

/// The document, and the page with its style.
pub(crate) fn routes() -> Router {
    Router::new()
        .route("/api/v1/openapi.json", get(async || with_type("application/json", DOCUMENT)))
        .route("/api/docs", get(async || ([POLICY], Html(PAGE.as_str()))))
        .route("/api/docs.css", get(async || with_type("text/css; charset=utf-8", STYLE)))
}

fn with_type(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], text)
}
