//! What is refused, as a page where a person asks.

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::Response,
};

use super::{alert, log_in_link, page, say, t};
use crate::console::words;

/// Letters of a path where nothing is, as it is shown.
const PATH_LETTERS_MAX: usize = 100;

/// Answers a browser with a page where the answer would be a document for programs.
pub(crate) async fn for_people(request: Request, next: Next) -> Response {
    let is_of_person = is_browser(request.headers()) && !request.uri().path().starts_with("/api/");
    let (is_opened, path) = (request.method().is_safe(), request.uri().path());
    let path: String = path.chars().take(PATH_LETTERS_MAX).collect();
    let response = next.run(request).await;
    let (status, kind) = (response.status(), response.headers().get(header::CONTENT_TYPE));
    // The first is ours; the other is of axum, about a path or a header that cannot be read.
    let is_of = |kinds: [&[u8]; 2]| {
        kind.is_some_and(|kind| kinds.iter().any(|begin| kind.as_bytes().starts_with(begin)))
    };
    let is_refusal = status.is_client_error() || status.is_server_error();
    if !is_of_person || !is_refusal || !is_of([b"application/problem+json", b"text/plain"]) {
        return response;
    }
    let (title, said) = match status {
        StatusCode::NOT_FOUND => (words::PAGE_NOT_FOUND, words::PAGE_NOTHING),
        StatusCode::METHOD_NOT_ALLOWED if is_opened => (words::PAGE_NOT_POSSIBLE, words::PAGE_FORM_ONLY),
        StatusCode::METHOD_NOT_ALLOWED => (words::PAGE_NOT_POSSIBLE, words::PAGE_OPENED_ONLY),
        status if status.is_server_error() => (words::PAGE_NOT_NOW, words::PAGE_IN_A_MOMENT),
        _ => (words::PAGE_NOT_POSSIBLE, words::PAGE_WRONG_REQUEST),
    };
    let said = alert(Some(&say(said, &[("path", &path)])));
    let (mut page, mut headers) =
        (page(status, t(title), &(said + &log_in_link())), response.into_parts().0.headers);
    // Others stay, such as Retry-After.
    for of_body in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        headers.remove(of_body);
    }
    page.headers_mut().extend(headers);
    page
}

fn is_browser(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim_start().starts_with("text/html"))
}
