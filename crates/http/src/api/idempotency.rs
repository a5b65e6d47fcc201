//! `Idempotency-Key`: a `POST` that is sent again with the same key is not carried out again, and gets the
//! answer that it got, for 24 hours.
//!
//! Every `POST` has it, where the caller may do it ([`super::audited`] leads each one through [`run`]), but
//! those of the owner alone, which hold everybody up and change nothing.
//!
//! * A key is one of its caller (a token, a session, or the owner); what is kept counts for the token or, of
//!   all sessions together, for the user. The same key with another request is 409
//!   `idempotency_key_reused`, and one whose first request is under way is 409 `in_progress`.
//! * That it begins is durable before a request is carried out. Where the process ends in the middle, nobody
//!   can say what became of it: sent again, it is 409 `outcome_unknown`. So is one that began a job which is
//!   not known any more.
//! * What was answered is kept sealed, as it may hold a secret. An answer that says that nothing was done for
//!   now, or not for this caller ([`is_kept`]), is not kept: the request may be sent again.
//!
//! Limits: [`narrowgate_platform::ports::REQUESTS_MAX`] and `ANSWERS_BYTES_MAX` for each token or user, the
//! oldest go first; of an answer with more than [`ANSWER_BYTES_MAX`] only the status is kept.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    body::{Body, HttpBody as _, to_bytes},
    extract::Request,
    http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use narrowgate_api::problem::{Code, MEDIA_TYPE, Problem};
use narrowgate_platform::{
    firmware::Sha256Sum,
    model::{
        access::Needs,
        replay::{AskedBefore, KeptAnswer, RequestKey},
    },
    secret::Secret,
    service::{ANSWER_BYTES_MAX, Operator, sum_of},
};

use super::{Asker, counted::count_replay};
use crate::{
    problem::Refused,
    secret::{bytes_of, secret_text},
    shares::Holder,
    work::BODY_BYTES_MAX,
};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Where jobs are.
const JOBS: &str = "/api/v1/jobs/";
/// Characters of the longest key.
const KEY_MAX: usize = 255;

/// What keeps answers; in the extensions of every request.
#[derive(Debug, Clone)]
pub(super) struct Keeper {
    operator: Operator,
    under_way: Arc<Mutex<BTreeSet<RequestKey>>>,
}

impl Keeper {
    /// Keeps them in the store of this operator, which is that of all units.
    pub(super) fn new(operator: Operator) -> Self {
        Self { operator, under_way: Arc::default() }
    }
}

/// Whether a request has a key. Its body is read whole before anything is done.
pub(super) fn is_keyed(request: &Request) -> bool {
    request.headers().contains_key(KEY)
}

/// Carries a request out that the caller may make, or gives the answer that it got before.
pub(super) async fn run(needs: Needs, request: Request, next: Next) -> Response {
    let named = request.method() == Method::POST && is_keyed(&request);
    if !named || needs == Needs::Own {
        return next.run(request).await;
    }
    let asker = request.extensions().get::<Asker>().cloned();
    let (Some(asker), Some(keeper)) = (asker, request.extensions().get::<Keeper>().cloned()) else {
        return Refused::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "answers cannot be kept")
            .into_response();
    };
    match keeper.ask(&asker, request, next).await {
        Ok(response) => response,
        Err(refused) => refused.into_response(),
    }
}

impl Keeper {
    async fn ask(&self, asker: &Asker, request: Request, next: Next) -> Result<Response, Refused> {
        let (parts, body) = request.into_parts();
        let key = key_of(asker, &parts).ok_or_else(|| {
            let detail = format!("Idempotency-Key is one text of 1 to {KEY_MAX} printable ASCII characters");
            let refused = Refused::new(StatusCode::BAD_REQUEST, Code::Malformed, detail);
            Refused(Problem { place: Some("Idempotency-Key".to_owned()), ..refused.0 })
        })?;
        let Some(_turn) = Turn::begin(&self.under_way, &key) else {
            let detail = "the first request with this Idempotency-Key is under way";
            let hint = Some("wait for its answer, or send it again in a second".to_owned());
            return Err(Refused(Problem { hint, ..conflict(Code::InProgress, detail).0 }));
        };
        // It is in memory as one piece already, and is not copied.
        let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| {
            let detail = format!("the request is too long: its body has at most {BODY_BYTES_MAX} bytes");
            Refused::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, detail)
        })?;
        let sum = sum_of_request(&parts, &body);
        if let Some(before) = self.operator.asked_before(key.clone()).await? {
            if before.request == sum && self.is_of_lost_job(before.answer.as_ref()).await {
                let detail = "the job that the first request with this Idempotency-Key began is not known \
                              any more (the server has ended since, or many others have): it may not have \
                              come to its end; look, and send it with a new key for the rest";
                return Err(conflict(Code::OutcomeUnknown, detail));
            }
            let answer = answer_again(before, sum);
            if is_replayed(&answer) {
                count_replay();
            }
            return Ok(answer);
        }
        self.operator.begin_request(key.clone(), sum).await?;
        let response = next.run(Request::from_parts(parts, Body::from(body))).await;
        Ok(self.keep(key, response).await)
    }

    /// Whether an answer says that a job goes on which nobody can look at any more.
    async fn is_of_lost_job(&self, answer: Option<&KeptAnswer>) -> bool {
        let accepted = answer.filter(|answer| answer.status == StatusCode::ACCEPTED.as_u16());
        match accepted.and_then(|answer| answer.location.strip_prefix(JOBS)) {
            Some(id) => self.operator.show_job(id).await.is_err(),
            None => false,
        }
    }

    /// Keeps an answer, and gives it back.
    async fn keep(&self, key: RequestKey, response: Response) -> Response {
        let is_whole = response.body().size_hint().exact().is_some();
        if !is_whole || !is_kept(response.status()) {
            if let Err(problem) = self.operator.forget_request(key).await {
                tracing::error!(%problem, "an idempotency key stays in use until tomorrow");
            }
            return response;
        }
        let (parts, body) = response.into_parts();
        // So is this one.
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let answer = KeptAnswer {
            status: parts.status.as_u16(),
            media_type: text(header::CONTENT_TYPE).to_owned(),
            tag: text(header::ETAG).to_owned(),
            location: text(header::LOCATION).to_owned(),
            body: (body.len() <= ANSWER_BYTES_MAX).then(|| secret_text(&body)).flatten().map(Secret::new),
        };
        if let Err(problem) = self.operator.keep_answer(key, answer).await {
            // Who sends it again is told that it may have been carried out.
            tracing::error!(%problem, "an answer is not kept");
        }
        Response::from_parts(parts, Body::from(body))
    }
}

/// A request that is under way; the next one with its key may come when it is dropped.
struct Turn<'a> {
    under_way: &'a Mutex<BTreeSet<RequestKey>>,
    key: RequestKey,
}

impl<'a> Turn<'a> {
    /// `None`: one with this key is under way.
    fn begin(under_way: &'a Mutex<BTreeSet<RequestKey>>, key: &RequestKey) -> Option<Self> {
        lock(under_way).insert(key.clone()).then(|| Self { under_way, key: key.clone() })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(self.under_way).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The key of a request, which is one of its caller; `None`: it is none.
fn key_of(asker: &Asker, parts: &Parts) -> Option<RequestKey> {
    let mut values = parts.headers.get_all(KEY).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let text = value.to_str().ok()?.trim();
    (1..=KEY_MAX).contains(&text.len()).then(|| request_key(asker, text))
}

/// A key of a caller. A token that is called as a revoked one was has another hash, and so have two sessions
/// of a user; but all sessions of a user have one place for answers: who logs in anew gets no other one.
pub(crate) fn request_key(asker: &Asker, text: &str) -> RequestKey {
    let hash = asker.credential.map(|credential| credential.hash().to_string()).unwrap_or_default();
    let owner = Holder::of(&asker.caller).token().unwrap_or("owner").to_owned();
    RequestKey { owner, key: sum_of(&[hash.as_bytes(), text.as_bytes()]).0 }
}

/// All that decides what a request does.
fn sum_of_request(parts: &Parts, body: &[u8]) -> Sha256Sum {
    let of_header = |name| parts.headers.get(name).map_or(&[][..], HeaderValue::as_bytes);
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let condition = of_header(header::IF_MATCH);
    sum_of(&[target.as_bytes(), of_header(header::CONTENT_TYPE), condition, body])
}

/// What is said to a request whose key was used before.
fn answer_again(before: AskedBefore, sum: Sha256Sum) -> Response {
    if before.request != sum {
        let detail = "this Idempotency-Key was sent with another request in the last 24 hours; a new request \
                      takes a new key";
        return conflict(Code::IdempotencyKeyReused, detail).into_response();
    }
    let Some(KeptAnswer { status, media_type, tag, location, body }) = before.answer else {
        let detail = "the server stopped while the first request with this Idempotency-Key was under way, so \
                      it may have been carried out: look, and send it with a new key where it was not";
        return conflict(Code::OutcomeUnknown, detail).into_response();
    };
    let Some(body) = body else {
        let detail = format!(
            "the first request with this Idempotency-Key was carried out and answered {status}; its answer \
             was too long to be kept"
        );
        return conflict(Code::OutcomeUnknown, &detail).into_response();
    };
    // The name of this request is put into a problem on its way.
    let problem = (media_type == MEDIA_TYPE).then(|| serde_json::from_str::<Problem>(body.expose()).ok());
    let mut response = match problem.flatten() {
        Some(problem) => Refused(problem).into_response(),
        None => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = (status, Body::from(bytes_of(body))).into_response();
            let kept =
                [(header::CONTENT_TYPE, media_type), (header::ETAG, tag), (header::LOCATION, location)];
            for (name, value) in kept {
                if let Ok(value) = HeaderValue::from_str(&value)
                    && !value.is_empty()
                {
                    response.headers_mut().insert(name, value);
                }
            }
            response
        }
    };
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// Whether an answer was given before.
pub(super) fn is_replayed(answer: &Response) -> bool {
    answer.headers().contains_key(REPLAYED)
}

/// Whether an answer says what became of the request. The others say that nothing was done now, or not for
/// this caller; 504 names a command that was sent.
fn is_kept(status: StatusCode) -> bool {
    match status.as_u16() {
        401 | 403 | 408 | 413 | 415 | 429 => false,
        504 => true,
        status => status < 500,
    }
}

fn conflict(code: Code, detail: &str) -> Refused {
    Refused::new(StatusCode::CONFLICT, code, detail)
}

#[cfg(test)]
mod tests {
    use narrowgate_platform::model::access::{Caller, Role, Scope};

    use super::*;
    use crate::api::Credential;

    #[test]
    fn one_request_of_a_key_is_under_way_at_a_time() {
        let under_way = Mutex::default();
        let key = |owner: &str| RequestKey { owner: owner.to_owned(), key: [7; 32] };
        let first = Turn::begin(&under_way, &key("a")).expect("it is the first");
        assert!(Turn::begin(&under_way, &key("a")).is_none());
        assert!(Turn::begin(&under_way, &key("b")).is_some());
        drop(first);
        assert!(Turn::begin(&under_way, &key("a")).is_some());
    }

    #[test]
    fn sessions_have_keys_of_their_own_and_their_user_has_one_place_for_answers() {
        let asker = |hash: u8| {
            let (role, scope) = (Role::Operator, Scope::All);
            let caller = Caller::User { name: "ann".to_owned(), role, scope };
            Asker { caller, credential: Some(Credential::Session(Sha256Sum([hash; 32]))) }
        };
        let [first, second] = [1, 2].map(|hash| request_key(&asker(hash), "k"));
        assert_eq!((&*first.owner, &*second.owner), ("user ann", "user ann"));
        assert_ne!(first.key, second.key);
        assert_eq!(first, request_key(&asker(1), "k"));
    }

    #[test]
    fn what_says_that_nothing_was_done_for_now_is_not_kept() {
        let kept = |status| is_kept(StatusCode::from_u16(status).expect("it is a status"));
        assert!([200, 201, 202, 204, 400, 404, 409, 412, 422, 504].into_iter().all(kept));
        assert!(![401, 403, 408, 413, 415, 429, 500, 503].into_iter().any(kept));
    }
}
