//! Reads requests as the types of the API. An invalid request gets a precise problem before anything is done.

use axum::{
    RequestPartsExt as _,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use narrowgate_api::{
    device::NamedDevice,
    problem::{Code, Problem},
};
use narrowgate_platform::service::IfMatch;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;

use crate::problem::Refused;

/// A body that is a JSON object, with what it has to say.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let Json(bytes) = Json::from_request(request, state).await?;
        if let Some(kind) = other_than_object(&bytes) {
            return Err(malformed(format!("the body must be a JSON object, {{…}}; it is {kind}")));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| not_read(&error))
    }
}

/// A body that is a document of JSON: whoever takes it says what is wrong with it, and where.
pub(super) struct Document(pub(super) Box<RawValue>);

impl<S: Send + Sync> FromRequest<S> for Document {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let Json(bytes) = Json::from_request(request, state).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| not_read(&error))
    }
}

fn not_read(error: &serde_json::Error) -> Refused {
    malformed(format!("the body: {error}"))
}

/// The media type of a body, in lower case, which is the same (RFC 9110, section 8.3.1), without parameters.
pub(super) fn essence(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// A parameter of the media type, in lower case and without quotes.
pub(super) fn parameter(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let mut parameters = text.split(';').skip(1).filter_map(|part| part.trim().split_once('='));
    let (_, value) = parameters.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some(value.trim_matches('"').to_ascii_lowercase())
}

/// The bytes of a body that says it is JSON.
struct Json(Bytes);

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let essence = essence(request.headers());
        if !matches!(essence.as_deref(), Some("application/json" | "application/merge-patch+json")) {
            let detail = "the body must be JSON, and say so: Content-Type: application/json";
            return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::MediaTypeWrong, detail));
        }
        bytes_of(request, state).await.map(Self)
    }
}

/// A body that is bytes and says so.
pub(super) struct Octets(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Octets {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        if essence(request.headers()).as_deref() != Some("application/octet-stream") {
            let detail = "the body must be bytes, and say so: Content-Type: application/octet-stream";
            return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::MediaTypeWrong, detail));
        }
        bytes_of(request, state).await.map(Self)
    }
}

async fn bytes_of<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Refused> {
    let bytes = Bytes::from_request(request, state).await;
    bytes.map_err(|rejection: BytesRejection| {
        let status = rejection.status();
        let code = match status {
            StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
            _ => Code::Malformed,
        };
        Refused::new(status, code, rejection.body_text())
    })
}

/// What a body of JSON is where it is no object: an array would be read as one whose fields it has in order.
fn other_than_object(body: &[u8]) -> Option<&'static str> {
    let kind = match body.trim_ascii_start().first()? {
        b'[' => "an array",
        b'"' => "a string",
        b't' | b'f' => "true or false",
        b'n' => "null",
        b'-' | b'0'..=b'9' => "a number",
        _ => return None,
    };
    serde_json::from_slice::<IgnoredAny>(body).is_ok().then_some(kind)
}

/// `If-Match`, where there is one; `*` matches whatever there is.
pub(super) struct Matching(pub(super) Option<IfMatch>);

impl<S: Send + Sync> FromRequestParts<S> for Matching {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        Ok(Self(match if_match(&parts.headers).map_err(malformed)? {
            None | Some(Tags::Any) => None,
            Some(Tags::OneOf(tags)) => Some(IfMatch(tags)),
        }))
    }
}

/// `If-Match` of a change that replaces the whole of something: see [`super::conditions::need`].
pub(super) struct Replacing {
    /// As of [`Matching`].
    pub(super) if_match: Option<IfMatch>,
    /// Whether it is there at all.
    pub(super) is_given: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Replacing {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let is_given = parts.headers.contains_key(header::IF_MATCH);
        let Matching(if_match) = Matching::from_request_parts(parts, state).await?;
        Ok(Self { if_match, is_given })
    }
}

/// What `If-Match` names.
pub(super) enum Tags {
    /// `*`
    Any,
    /// Entity tags as they are written; a weak one never matches (RFC 9110, section 8.8.3.2).
    OneOf(Vec<String>),
}

/// Reads `If-Match` (RFC 9110, section 13.1.1); `None`: it is not there.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<Tags>, String> {
    let mut tags = Vec::new();
    for value in headers.get_all(header::IF_MATCH) {
        let text = value.to_str().map_err(|_| "If-Match: is not ASCII".to_owned())?.trim();
        if text == "*" {
            return Ok(Some(Tags::Any));
        }
        let wrong =
            |rest| format!("If-Match: {rest} is not an entity tag; it stands in quotation marks, or is *");
        entity_tags(text, &mut tags).map_err(wrong)?;
    }
    Ok((!tags.is_empty()).then_some(Tags::OneOf(tags)))
}

/// Reads a list of entity tags, in which there may be commas; what is none is the error.
fn entity_tags<'a>(text: &'a str, tags: &mut Vec<String>) -> Result<(), &'a str> {
    let mut rest = text;
    loop {
        let opaque = rest.strip_prefix("W/").unwrap_or(rest);
        let length = opaque.strip_prefix('"').and_then(|opaque| opaque.find('"')).ok_or(rest)?;
        let end = rest.len() - opaque.len() + length + 2;
        tags.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
        if rest.is_empty() {
            return Ok(());
        }
        rest = rest.strip_prefix(',').ok_or(rest)?.trim_start();
    }
}

/// What follows the `?`.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        let query = query.map_err(|rejection| {
            let error = std::error::Error::source(&rejection);
            let what = error.map_or_else(|| rejection.body_text(), ToString::to_string);
            // It begins with the name of a parameter, where one is at fault.
            let place = what.split_once(": ").map(|(name, _)| name);
            let place = place.filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            let place = place.map(str::to_owned);
            let Refused(problem) = malformed(format!("the query: {what}"));
            Refused(Problem { place, ..problem })
        });
        query.map(|axum::extract::Query(query)| Self(query))
    }
}

/// The device that the path names; for a `POST` it still includes the act after its last colon.
pub(super) struct Named(pub(super) NamedDevice);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let Path(parameters) = parts
            .extract::<Path<Vec<(String, String)>>>()
            .await
            .map_err(|rejection| malformed(format!("the path: {}", rejection.body_text())))?;
        let mut parameters = parameters.into_iter();
        let (mut product, mut device) = (None, String::new());
        for (name, value) in parameters.by_ref() {
            match &*name {
                "product" => product = Some(given(value)),
                "device" => device = given(value),
                _ => {}
            }
        }
        Ok(Self(NamedDevice { product, device }))
    }
}

/// The last part of a path, which names something of a device; for a `POST` with the act after its last
/// colon.
pub(super) struct Part(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Part {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let path = parts.extract::<Path<Vec<(String, String)>>>().await;
        let Path(parameters) =
            path.map_err(|rejection| malformed(format!("the path: {}", rejection.body_text())))?;
        Ok(Self(parameters.into_iter().last().map_or_else(String::new, |(_, value)| given(value))))
    }
}

/// The first part of a path that names something.
pub(super) struct First(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for First {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let path = parts.extract::<Path<Vec<(String, String)>>>().await;
        let Path(parameters) =
            path.map_err(|rejection| malformed(format!("the path: {}", rejection.body_text())))?;
        Ok(Self(parameters.into_iter().next().map_or_else(String::new, |(_, value)| given(value))))
    }
}

/// The product that the path names.
pub(super) struct Product(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Product {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let path = parts.extract::<Path<Vec<(String, String)>>>().await;
        let Path(parameters) =
            path.map_err(|rejection| malformed(format!("the path: {}", rejection.body_text())))?;
        let product = parameters.into_iter().find(|(name, _)| name == "product");
        Ok(Self(product.map_or_else(String::new, |(_, value)| given(value))))
    }
}

/// A path cannot contain an empty name; it is sent as a NUL, which no name contains. Where an act follows, it
/// has to be cut off before.
pub(super) fn given(name: String) -> String {
    if name == "\0" { String::new() } else { name }
}

pub(super) fn malformed(detail: String) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, Code::Malformed, detail)
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::to_bytes, http::Method, routing::post};
    use narrowgate_api::{product::NewProduct, query::Paging};
    use tower::ServiceExt as _;

    use super::*;

    /// What is answered to this request, by a handler that says what it was given.
    async fn asked(query: &str, media_type: &str, body: &str) -> Result<String, Problem> {
        let said =
            async |Product(key): Product, Query(paging): Query<Paging>, Body(new): Body<NewProduct>| {
                format!("{key} {:?} {}", paging.limit, new.name)
            };
        let router = Router::new().route("/{product}", post(said));
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/a%2Fb{query}"))
            .header(header::CONTENT_TYPE, media_type)
            .body(axum::body::Body::from(body.to_owned()))
            .unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 100_000).await.unwrap();
        if status.is_success() {
            return Ok(String::from_utf8(body.to_vec()).unwrap());
        }
        let problem: Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem.status, status.as_u16());
        Err(problem)
    }

    #[tokio::test]
    async fn a_request_is_read_as_the_types_of_the_api() {
        let said = asked("?limit=7", "application/json; charset=utf-8", r#"{"name":"n"}"#).await;
        assert_eq!(said.unwrap(), "a/b Some(7) n");
    }

    #[tokio::test]
    async fn what_is_no_request_is_a_precise_problem() {
        let json = "application/json";
        for (query, media_type, body, status, code, said) in [
            ("", json, "{", 400, Code::Malformed, "the body: EOF while parsing an object at line 1 column 1"),
            ("", json, r#"{"nmae":"n"}"#, 400, Code::Malformed, "the body: unknown field `nmae`, expected"),
            ("", json, r#"{}"#, 400, Code::Malformed, "the body: missing field `name`"),
            ("", json, r#"{"name":7}"#, 400, Code::Malformed, "the body: invalid type: integer `7`"),
            ("", json, r#"{"name":"n"} x"#, 400, Code::Malformed, "the body: trailing characters"),
            ("?limit=many", json, r#"{"name":"n"}"#, 400, Code::Malformed, "the query: "),
            (
                "?colour=red",
                json,
                r#"{"name":"n"}"#,
                400,
                Code::Malformed,
                "the query: colour: unknown field `colour`",
            ),
            (
                "",
                json,
                r#"["n"]"#,
                400,
                Code::Malformed,
                "the body must be a JSON object, {…}; it is an array",
            ),
            ("", json, " []", 400, Code::Malformed, "the body must be a JSON object, {…}; it is an array"),
            ("", json, "7", 400, Code::Malformed, "the body must be a JSON object, {…}; it is a number"),
            ("", json, "null", 400, Code::Malformed, "the body must be a JSON object, {…}; it is null"),
            ("", json, "[", 400, Code::Malformed, "the body: "),
            ("", json, "", 400, Code::Malformed, "the body: EOF"),
            (
                "",
                json,
                r#"{"name":"n","dynamicActivation":[true]}"#,
                400,
                Code::Malformed,
                "the body: invalid type: sequence, expected an object",
            ),
            ("", "text/csv", "name\nn", 415, Code::MediaTypeWrong, "the body must be JSON"),
        ] {
            let problem = asked(query, media_type, body).await.unwrap_err();
            assert_eq!((problem.status, problem.code), (status, code), "{problem:?}");
            assert!(problem.to_string().starts_with(said), "{problem}");
        }
        let problem = asked("?colour=red", json, r#"{"name":"n"}"#).await.unwrap_err();
        assert_eq!(problem.place.as_deref(), Some("colour"));
    }
}
