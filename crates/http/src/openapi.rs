//! `/api/v1/openapi.json`, the document of the API.
//!
//! It is open to everyone: it says what the program's sources say, and nothing of what is stored.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

/// The document, as a test has made it of the code.
pub(crate) const DOCUMENT: &str = include_str!("../../../openapi/narrowgate.json");

/// The document.
pub(crate) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
