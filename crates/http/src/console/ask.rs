//! What pages ask the API, as whoever visits them.

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header, request::Builder},
    response::Response,
};
use narrowgate_api::problem::{Code, Problem};
use serde::{Serialize, de::DeserializeOwned};
use tower::ServiceExt as _;

use super::{
    secrets::Secrets,
    visit::{Shown, Trouble, Visit, problem_of},
};
use crate::{
    places::Seat,
    problem::Refused,
    secret::{collect, secret_json},
    shares::{Holder, ShareMax, Shares},
};

/// Longest answer of the API that a page is made of.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A request of the API, with what goes beside its body.
pub(super) struct Act<'a> {
    pub(super) method: Method,
    /// With its query.
    pub(super) path: &'a str,
    /// The tag of what is to be changed.
    pub(super) if_match: Option<&'a str>,
    /// A request that is sent twice is done once.
    pub(super) once: Option<&'a str>,
    /// Whether the answer shows a secret.
    shows_secret: bool,
}

impl<'a> Act<'a> {
    pub(super) fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, if_match: None, once: None, shows_secret: false }
    }

    /// Done once, by the field `once` of the form ([`Visit::once`](super::parts)).
    pub(super) fn once(self, once: &'a str) -> Self {
        Self { once: Some(once).filter(|once| !once.is_empty()), ..self }
    }

    /// Its answer shows a secret, which is kept out of the memory of the page. In the answer to another one a
    /// text may be called the same, and is what a device or an operator has written.
    pub(super) fn secret(self) -> Self {
        Self { shows_secret: true, ..self }
    }

    /// Done where nobody has changed it since.
    pub(super) fn if_match(self, tag: &'a str) -> Self {
        Self { if_match: Some(tag).filter(|tag| !tag.is_empty()), ..self }
    }
}

impl Visit {
    /// What the API answers to a GET.
    ///
    /// # Errors
    /// The API's problem.
    pub(super) async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        let asked = self.send(Act::new(Method::GET, path), Bytes::new(), self.seat.clone());
        asked.await.map(|(answer, _)| answer)
    }

    /// The same of an answer that shows a secret: see [`Act::secret`].
    ///
    /// # Errors
    /// The API's problem.
    pub(super) async fn read_secret<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        let asked = self.send(Act::new(Method::GET, path).secret(), Bytes::new(), self.seat.clone());
        asked.await.map(|(answer, _)| answer)
    }

    /// The same with its `ETag`.
    ///
    /// # Errors
    /// The API's problem.
    pub(super) async fn read_tagged<T: DeserializeOwned>(&self, path: &str) -> Result<(T, String), Trouble> {
        let asked = self.send(Act::new(Method::GET, path), Bytes::new(), self.seat.clone());
        let (answer, headers) = asked.await?;
        let tag = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default();
        Ok((answer, tag.to_owned()))
    }

    /// What the API answers where something is done. `body` is `&()` where there is none.
    ///
    /// # Errors
    /// The API's problem.
    pub(super) async fn act<T: DeserializeOwned>(
        &self,
        act: Act<'_>,
        body: &impl Serialize,
    ) -> Result<T, Trouble> {
        // Written into memory that is wiped: it may hold a secret.
        let json = secret_json(body).unwrap_or_default();
        let body = if *json == *b"null" { Bytes::new() } else { Bytes::from_owner(json) };
        self.send(act, body, self.seat.clone()).await.map(|(answer, _)| answer)
    }

    /// The same without a body where it may go on behind the page: the connection of the page, which may ask
    /// for something else meanwhile, has no part in it.
    ///
    /// # Errors
    /// The API's problem.
    pub(super) async fn act_behind<T: DeserializeOwned>(&self, act: Act<'_>) -> Result<T, Trouble> {
        self.send(act, Bytes::new(), None).await.map(|(answer, _)| answer)
    }

    async fn send<T: DeserializeOwned>(
        &self,
        act: Act<'_>,
        body: Bytes,
        seat: Option<Seat>,
    ) -> Result<(T, HeaderMap), Trouble> {
        let mut request = Request::builder().method(act.method).uri(act.path);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in [("if-match", act.if_match), ("idempotency-key", act.once)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let response = self.ask(request, Body::from(body), seat).await?;
        read(act.path, response, act.shows_secret.then_some(&self.secrets)).await
    }

    /// What the API answers to a body that goes on, behind the page that it was sent to: the connection of
    /// the page has no part in it.
    ///
    /// # Errors
    /// The API's problem.
    pub(super) async fn ask_behind<T: DeserializeOwned>(
        &self,
        request: Builder,
        body: Body,
    ) -> Result<T, Trouble> {
        let response = self.ask(request, body, None).await?;
        read("an import", response, None).await.map(|(answer, _)| answer)
    }

    /// A file of the API as it is.
    ///
    /// # Errors
    /// The API's problem.
    pub(super) async fn file(&self, path: &str) -> Result<Response, Trouble> {
        self.ask(Request::builder().uri(path), Body::empty(), self.seat.clone()).await
    }

    /// What the API answers to a GET, as a file that is handed on as it comes.
    ///
    /// # Errors
    /// The API's problem.
    pub(super) async fn pass_on(&self, path: &str, accept: &'static str, file: &str) -> Shown {
        let request = Request::builder().uri(path).header(header::ACCEPT, accept);
        let mut response = self.ask(request, Body::empty(), self.seat.clone()).await?;
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
        let file: String = file.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
        let name = HeaderValue::from_str(&format!("attachment; filename=\"{file}\""));
        // Never: all of its letters are plain.
        let name = name.map_err(|_| internal("the file has no name"))?;
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
        Ok(response)
    }

    async fn ask(&self, request: Builder, body: Body, seat: Option<Seat>) -> Result<Response, Trouble> {
        let mut request = request.body(body).map_err(|_| internal("it cannot be asked"))?;
        let extensions = request.extensions_mut();
        extensions.insert(self.asker.clone());
        extensions.insert(self.way);
        self.peer.map(|peer| extensions.insert(peer));
        self.id.clone().map(|id| extensions.insert(id));
        seat.map(|seat| extensions.insert(seat));
        self.maker.clone().map(|maker| extensions.insert(maker));
        let response = self.console.api.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        Err(Trouble::from(problem_of(&response).unwrap_or_else(|| {
            Problem::new(status, Code::Other, response.status().canonical_reason().unwrap_or_default())
        })))
    }
}

/// The answer of the API, with its headers. What is secret in it is taken by the page of this visit.
async fn read<T: DeserializeOwned>(
    path: &str,
    response: Response,
    secrets: Option<&Secrets>,
) -> Result<(T, HeaderMap), Trouble> {
    let (parts, body) = response.into_parts();
    let share = Shares::new(ShareMax::half(2 * ANSWER_BYTES_MAX)).take(&Holder::default(), 0);
    let share = share.map_err(|_| internal("there is no room"))?;
    let bytes = collect(body, ANSWER_BYTES_MAX, share, None).await;
    let bytes = bytes.map_err(|_| internal("the answer of the API is too long for a page"))?;
    // The reader of JSON would leave copies of some.
    let marked = secrets.and_then(|secrets| secrets.take_out(&bytes));
    let json = marked.as_deref().unwrap_or(&bytes);
    let answer = serde_json::from_slice(if json.is_empty() { b"null" } else { json });
    answer.map(|answer| (answer, parts.headers)).map_err(|error| {
        tracing::error!(path, %error, "a page does not know an answer of the API");
        internal("the answer of the API is not known to this page")
    })
}

/// A fault of ours.
pub(super) fn internal(said: &str) -> Trouble {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, said).0.into()
}

/// A path with a query.
pub(super) fn with_query(path: &str, query: &impl Serialize) -> String {
    match serde_urlencoded::to_string(query) {
        Ok(query) if !query.is_empty() => format!("{path}?{query}"),
        _ => path.to_owned(),
    }
}
