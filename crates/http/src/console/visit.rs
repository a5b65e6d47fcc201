//! Who visits a page, and what the page knows of the visit.

use std::{
    convert::Infallible,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{Method, StatusCode, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use narrowgate_api::{names::UnixMillis, problem::Problem};
use narrowgate_platform::{
    model::access::{Caller, Needs},
    service::{form_token, is_form_token, path_part},
};

use super::{
    Console,
    import::takes_file,
    layout,
    locale::Preferences,
    secrets::Secrets,
    see_other,
    upload::{self, UPLOAD_BYTES_MAX, Upload},
    words,
};
use crate::{
    api::{Asker, Maker, forbidden},
    browser::{Origin, origin},
    form::Form,
    forwarded::Way,
    gate::Peer,
    limiter::lock,
    places::Seat,
    problem::{ProblemOf, Refused},
    request_id::RequestId,
    secret::{NotCollected, collect},
    shares::Holder,
    work::BODY_BYTES_MAX,
};

/// The first page.
pub(crate) const HOME: &str = "/console";

/// The field of a form with the token of the session.
pub(super) const TOKEN: &str = "csrf";

/// What a handler gives: a page, or what went wrong, which becomes one.
pub(super) type Shown = Result<Response, Trouble>;

/// A visit, with who asks, for what and in which language.
#[derive(Clone)]
pub(super) struct Visit(Arc<Inner>);

/// See [`Visit`].
pub(super) struct Inner {
    pub(super) console: Arc<Console>,
    pub(super) asker: Asker,
    /// What its forms are sent with.
    pub(super) token: String,
    pub(super) preferences: Preferences,
    pub(super) now: UnixMillis,
    pub(super) uri: Uri,
    /// Whether the page is the answer to a form: its address is none that can be opened.
    pub(super) is_answer: bool,
    pub(super) peer: Option<Peer>,
    pub(super) way: Way,
    pub(super) id: Option<RequestId>,
    pub(super) seat: Option<Seat>,
    /// Who makes backups, for the API.
    pub(super) maker: Option<Maker>,
    /// What its page shows.
    pub(super) secrets: Secrets,
}

impl Deref for Visit {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Visit {
    /// Whether who asks may do what takes this. It is refused by the API in any case.
    pub(super) fn may(&self, needs: Needs) -> bool {
        needs.permits(&self.asker.caller)
    }

    /// Passes who may, so that nobody is asked what the API would refuse.
    ///
    /// # Errors
    /// The problem that the API would have.
    pub(super) fn require(&self, needs: Needs) -> Result<(), Trouble> {
        if self.may(needs) { Ok(()) } else { Err(forbidden(needs, self.caller()).0.into()) }
    }

    /// Who asks.
    pub(super) fn caller(&self) -> &Caller {
        &self.asker.caller
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        // Missing only by a fault of ours.
        parts.extensions.get().cloned().ok_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
}

/// The form of a page of this visit. Where none was sent it is empty.
#[derive(Default)]
pub(super) struct Sent(Form);

impl Deref for Sent {
    type Target = Form;

    fn deref(&self) -> &Form {
        &self.0
    }
}

impl DerefMut for Sent {
    fn deref_mut(&mut self) -> &mut Form {
        &mut self.0
    }
}

/// It is taken once.
#[derive(Clone)]
struct Kept(Arc<Mutex<Option<Form>>>);

impl<S: Send + Sync> FromRequestParts<S> for Sent {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let kept = parts.extensions.get::<Kept>().and_then(|Kept(form)| lock(form).take());
        Ok(Self(kept.unwrap_or_default()))
    }
}

/// What went wrong, on its way to be a page.
#[derive(Debug, Clone)]
pub(super) struct Trouble(pub(super) Box<Problem>);

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Lets a visitor in who has logged in. The body of a request is read where its form is one of this session.
pub(super) async fn let_in(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().copied();
    let way = Way::of(&parts.extensions);
    let seat = parts.extensions.get::<Seat>().cloned();
    let preferences = Preferences::of(&parts.headers, way);
    let admitted = {
        let _answering = seat.as_ref().map(Seat::answer);
        let admitted = console.gate.admit_visitor(&parts.headers, (peer, way)).await;
        admitted.map(|visitor| visitor.map(|(asker, session)| (asker, session.to_owned())))
    };
    let (asker, session) = match admitted {
        Ok(Some(visitor)) => visitor,
        Ok(None) => return to_login(&parts),
        Err(refused) => return layout::for_strangers(&preferences, refused),
    };
    if let Some(seat) = &seat {
        seat.note_request(Some(Holder::of(&asker.caller)));
    }
    for name in [header::AUTHORIZATION, header::COOKIE] {
        parts.headers.remove(name);
    }
    let visit = Visit(Arc::new(Inner {
        now: console.operator.now(),
        token: form_token(&session).expose().to_owned(),
        uri: parts.uri.clone(),
        is_answer: !parts.method.is_safe(),
        id: parts.extensions.get().cloned(),
        maker: parts.extensions.get().cloned(),
        console,
        asker: asker.clone(),
        preferences,
        peer,
        way,
        seat,
        secrets: Secrets::default(),
    }));
    parts.extensions.insert(asker);
    parts.extensions.insert(visit.clone());
    let request = Request::from_parts(parts, body);
    match take_form(&visit, &session, request).await {
        Ok(request) => layout::finish(&visit, next.run(request).await),
        Err(problem) => layout::trouble(&visit, &problem),
    }
}

/// The request, with its form beside it where it changes something.
///
/// # Errors
/// The form is none of this session, or cannot be read.
async fn take_form(visit: &Visit, session: &str, request: Request) -> Result<Request, Problem> {
    if request.method().is_safe() {
        return Ok(request);
    }
    if !matches!(origin(request.headers(), Way::of(request.extensions())), Origin::Own(_)) {
        let said =
            "the form comes from another site; a proxy before this server must hand on the header Host";
        return Err(refused(StatusCode::FORBIDDEN, said));
    }
    let (mut parts, body) = request.into_parts();
    let whole = Request::from_parts(parts.clone(), body);
    let (mut form, upload) = match upload::boundary(&parts.headers) {
        Some(boundary) if takes_file(&parts.method, parts.uri.path()) => {
            read_upload(visit, whole, &boundary).await?
        }
        _ => (read_form(visit, whole).await?, None),
    };
    if !is_form_token(form.take(TOKEN).expose(), session) {
        let said = "the form is not one of this session: open its page again";
        return Err(refused(StatusCode::FORBIDDEN, said));
    }
    parts.extensions.insert(Kept(Arc::new(Mutex::new(Some(form)))));
    upload.map(|upload| parts.extensions.insert(upload));
    Ok(Request::from_parts(parts, axum::body::Body::empty()))
}

fn refused(status: StatusCode, said: &str) -> Problem {
    Refused::new(status, narrowgate_api::problem::Code::Forbidden, said).0
}

async fn read_form(visit: &Visit, whole: Request) -> Result<Form, Problem> {
    let share = visit.console.forms.take(&Holder::of(visit.caller()), 0);
    let share = share.map_err(|full| refused(StatusCode::TOO_MANY_REQUESTS, &full.told("bytes of forms")))?;
    let form = Form::read_long(whole, BODY_BYTES_MAX, share).await;
    form.map_err(|(status, said)| refused(status, said))
}

/// A form with a file, of those who may send one: of others nothing is read.
async fn read_upload(
    visit: &Visit,
    whole: Request,
    boundary: &str,
) -> Result<(Form, Option<Upload>), Problem> {
    visit.require(Needs::Administer).map_err(|Trouble(problem)| *problem)?;
    let busy = || refused(StatusCode::TOO_MANY_REQUESTS, visit.t(words::IMPORT_BUSY));
    let share = visit.console.uploads.take(&Holder::of(visit.caller()), 0).map_err(|_| busy())?;
    let body = collect(whole.into_body(), UPLOAD_BYTES_MAX, share, visit.seat.as_ref()).await;
    let body = body.map_err(|fault| match fault {
        NotCollected::TooLong => {
            let size = visit.preferences.bytes(UPLOAD_BYTES_MAX as u64);
            let said = visit.say(words::IMPORT_LONG, &[("size", &size)]);
            refused(StatusCode::PAYLOAD_TOO_LARGE, &said)
        }
        NotCollected::NoRoom(_) => busy(),
        NotCollected::Silent | NotCollected::Broken => {
            refused(StatusCode::BAD_REQUEST, "the rest of the file did not arrive")
        }
    })?;
    let parsed = upload::parse(&body, boundary);
    parsed.ok_or_else(|| refused(StatusCode::BAD_REQUEST, "the form cannot be read"))
}

/// The page to log in, which leads back to a page, and to the first one in the place of a form.
fn to_login(parts: &Parts) -> Response {
    let back = parts.uri.path_and_query().map_or(HOME, |path| path.as_str());
    let back = if parts.method == Method::GET { back } else { HOME };
    see_other(&format!("/login?next={}", path_part(back)))
}

/// A path of the console that somebody is to be led to, and no other place.
pub(crate) fn way_back(next: &str) -> Option<&str> {
    let rest = next.strip_prefix(HOME)?;
    let is_below = rest.is_empty() || rest.starts_with(['/', '?']);
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    (is_below && next.len() <= 2048 && next.bytes().all(is_plain)).then_some(next)
}

/// What an answer of the API is in trouble with.
pub(super) fn problem_of(response: &Response) -> Option<Problem> {
    response.extensions().get::<ProblemOf>().map(|ProblemOf(Refused(problem))| problem.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_back_leads_to_the_console_alone() {
        for path in ["/console", "/console/devices?q=%E4&state=online", "/console?x=1"] {
            assert_eq!(way_back(path), Some(path));
        }
        for path in [
            "",
            "/",
            "/consoles",
            "//evil.example/console",
            "https://evil.example/console",
            "/console/\\evil",
            "/console/\r\nSet-Cookie: a=b",
            "/console/ä",
        ] {
            assert_eq!(way_back(path), None, "{path}");
        }
    }
}
