//! The pages for people beside the console: to log in, to log out, and to set a password by a one-time link.
//! Plain HTML, which works without script, loads its style alone, and looks as the console does.
//!
//! * Each page may send forms to this server and to no other, and be framed by nobody.
//! * A form is taken from pages of this server: where its `Origin` says another one, it is refused. Who logs
//!   out also sends the token of the session.
//! * A wrong password and an unknown name get the same answer in the same time, and so many of them in a
//!   time (module `throttle`). Links that are not valid are limited as well, and nothing else is: what is
//!   looked up has 256 random bits, and few are looked up at a time.

mod faults;
mod html;
mod language;
mod people;
mod provider;

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{FromRequestParts, Path, Request, State},
    http::{Extensions, HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use narrowgate_api::problem::{Code, Problem};
use narrowgate_platform::{
    model::access::Caller,
    secret::Secret,
    service::{AskedFrom, LoggedIn, Operator, UNWRITTEN, is_form_token, session_hash},
};
use tokio::sync::{Semaphore, SemaphorePermit};

pub use self::provider::Logins;
use self::{
    faults::{form_fault, password_fault},
    html::{NEXT, account_page, alert, log_in_link, login_page, page, password_page},
    language::{say, t},
};
pub(crate) use self::{language::speak, people::for_people};
use crate::{
    api::{asked_from, count_unwritten},
    browser::{BROWSER, BROWSER_LASTS_S, CameBy, Origin, SESSION, cookies, origin, set_cookie},
    console::{HOME, way_back, words},
    form::Form,
    forwarded::Way,
    gate::Peer,
    places::{Answering, Seat},
    throttle::{Throttle, Try},
};

/// A page that sends forms here: it goes with the answer, to [`SECURITY_HEADERS`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct SendsForms;

/// Headers of such a page in the place of those of other answers. With `no-referrer`, browsers would hide the
/// origin of forms.
pub(crate) const SECURITY_HEADERS: [(header::HeaderName, HeaderValue); 2] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; \
             frame-ancestors 'none'",
        ),
    ),
    // No path: that of a link is a secret.
    (header::REFERRER_POLICY, HeaderValue::from_static("strict-origin")),
];

/// The query of the page that a change of the password leads to.
const CHANGED: &str = "changed";

/// Seconds after which what is busy is worth another try.
const BUSY_S: u64 = 5;

/// Sessions, links and browsers that are looked up at the same time: the look-ups of devices have the same
/// threads.
const LOOKED_UP_AT_ONCE: usize = 2;

/// What the pages work on.
#[derive(Debug)]
pub(crate) struct Pages {
    operator: Operator,
    throttle: Arc<Throttle>,
    logins: Logins,
    looking_up: Semaphore,
}

/// What is known of who asks.
#[derive(Debug)]
struct Guest {
    headers: HeaderMap,
    peer: Option<Peer>,
    way: Way,
    asked: AskedFrom,
}

impl Guest {
    fn of(request: &Request) -> Self {
        Self::with(request.headers(), request.extensions())
    }

    fn with(headers: &HeaderMap, extensions: &Extensions) -> Self {
        let peer = extensions.get::<Peer>().copied();
        Self { headers: headers.clone(), peer, way: Way::of(extensions), asked: asked_from(extensions) }
    }

    /// The values of a cookie, some of which may not be ours.
    fn cookies(&self, name: &str) -> Vec<&str> {
        cookies(&self.headers, name, self.way)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Guest {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::with(&parts.headers, &parts.extensions))
    }
}

/// The routes of the pages.
pub(crate) fn routes(operator: Operator, throttle: Arc<Throttle>, logins: Logins) -> Router {
    let looking_up = Semaphore::new(LOOKED_UP_AT_ONCE);
    let pages = Arc::new(Pages { operator, throttle, logins, looking_up });
    Router::new()
        .route("/login", get(show_login).post(log_in))
        .route("/logout", post(log_out))
        .route("/password", post(change_password))
        .route("/password/{link}", get(show_password).post(set_password))
        .merge(provider::routes())
        .with_state(pages)
}

async fn show_login(State(pages): State<Arc<Pages>>, uri: Uri, guest: Guest) -> Response {
    let next = Form::of_query(uri.query()).text(NEXT);
    let said = (uri.query() == Some(CHANGED)).then_some(t(words::PASSWORD_CHANGED));
    match pages.user_of(&guest).await {
        Ok(Some((caller, session))) => pages.account(said, (&caller, session)).await,
        Ok(None) => login_page(StatusCode::OK, (None, "", &next), &pages.logins),
        Err(problem) => failed(&problem),
    }
}

async fn log_in(State(pages): State<Arc<Pages>>, request: Request) -> Response {
    if !pages.logins.passwords {
        return refused(StatusCode::FORBIDDEN, t(words::LOGIN_NO_PASSWORDS));
    }
    let guest = Guest::of(&request);
    let (mut form, came_by, _answering) = match posted(request).await {
        Ok(posted) => posted,
        Err(refused) => return refused,
    };
    // Telephones put a space behind a word.
    let (name, next) = (form.text("user"), form.text(NEXT));
    let password = Secret::new(form.take("password").into_text());
    match pages.try_to_log_in(&name, password, &guest).await {
        Ok(Outcome::In(logged_in)) => {
            pages.leave(&guest).await;
            go_on(&logged_in, came_by, &next)
        }
        Ok(Outcome::Wrong) => {
            let said = t(words::LOGIN_WRONG);
            login_page(StatusCode::FORBIDDEN, (Some(said), &name, &next), &pages.logins)
        }
        Ok(Outcome::TooOften(wait)) => too_often(wait, (&name, &next), &pages.logins),
        Err(problem) => failed(&problem),
    }
}

async fn log_out(State(pages): State<Arc<Pages>>, request: Request) -> Response {
    let guest = Guest::of(&request);
    let (mut form, came_by, _answering) = match posted(request).await {
        Ok(posted) => posted,
        Err(refused) => return refused,
    };
    let (sessions, token) = (guest.cookies(SESSION), form.take("csrf"));
    let is_everywhere = !form.take("everywhere").expose().is_empty();
    if !sessions.is_empty() {
        let mut of_form = sessions.into_iter().filter(|session| is_form_token(token.expose(), session));
        let Some(session) = of_form.next() else {
            return refused(StatusCode::FORBIDDEN, t(words::LOGIN_NOT_OF_SESSION));
        };
        if let Some(hash) = session_hash(session) {
            let asked = guest.asked.clone();
            let ended = match is_everywhere {
                true => pages.operator.log_out_everywhere(hash, asked).await,
                false => pages.operator.log_out(hash, asked).await,
            };
            if let Err(problem) = ended {
                return failed(&problem);
            }
        }
    }
    let mut response = see_login();
    append_cookie(&mut response, set_cookie(SESSION, "", 0, came_by));
    response
}

async fn change_password(State(pages): State<Arc<Pages>>, request: Request) -> Response {
    if !pages.logins.passwords {
        return refused(StatusCode::FORBIDDEN, t(words::LOGIN_NO_PASSWORDS));
    }
    let guest = Guest::of(&request);
    let (mut form, came_by, _answering) = match posted(request).await {
        Ok(posted) => posted,
        Err(refused) => return refused,
    };
    let (caller, session) = match pages.user_of(&guest).await {
        Ok(Some(found)) => found,
        Ok(None) => return see_login(),
        Err(problem) => return failed(&problem),
    };
    if !is_form_token(form.take("csrf").expose(), session) {
        return refused(StatusCode::FORBIDDEN, t(words::LOGIN_NOT_OF_SESSION));
    }
    let [old, password, again] =
        ["old", "password", "again"].map(|name| Secret::new(form.take(name).into_text()));
    let again_with = |status, said: &str| account_page(status, Some(said), (&caller, session, true));
    if password != again {
        return again_with(StatusCode::UNPROCESSABLE_ENTITY, t(words::PASSWORD_NOT_SAME));
    }
    match pages.change_password(&caller, (old, password), (session, &guest)).await {
        Ok(Outcome::In(logged_in)) => {
            let mut response = go_on(&logged_in, came_by, HOME);
            let page = HeaderValue::from_static("/login?changed");
            response.headers_mut().insert(header::LOCATION, page);
            response
        }
        Ok(Outcome::Wrong) => again_with(StatusCode::FORBIDDEN, t(words::PASSWORD_PRESENT_WRONG)),
        Ok(Outcome::TooOften(wait)) => {
            let seconds = wait.as_secs() + 1;
            let said = say(words::PASSWORD_TOO_OFTEN, &[("n", &seconds.to_string())]);
            retry_after(again_with(StatusCode::TOO_MANY_REQUESTS, &said), seconds)
        }
        Err(problem) if problem.status == StatusCode::UNPROCESSABLE_ENTITY => {
            again_with(StatusCode::UNPROCESSABLE_ENTITY, &password_fault(&problem))
        }
        Err(problem) => failed(&problem),
    }
}

async fn show_password(State(pages): State<Arc<Pages>>, Path(link): Path<String>, guest: Guest) -> Response {
    match pages.holder_of(&link, &guest).await {
        Ok(user) => password_page(StatusCode::OK, None, &user),
        Err(refused) => refused,
    }
}

async fn set_password(
    State(pages): State<Arc<Pages>>,
    Path(link): Path<String>,
    request: Request,
) -> Response {
    let guest = Guest::of(&request);
    let (mut form, came_by, _answering) = match posted(request).await {
        Ok(posted) => posted,
        Err(refused) => return refused,
    };
    let user = match pages.holder_of(&link, &guest).await {
        Ok(user) => user,
        Err(refused) => return refused,
    };
    let [password, again] = ["password", "again"].map(|name| Secret::new(form.take(name).into_text()));
    if password != again {
        let said = t(words::PASSWORD_NOT_SAME);
        return password_page(StatusCode::UNPROCESSABLE_ENTITY, Some(said), &user);
    }
    match pages.operator.set_password(&link, password, guest.asked.clone()).await {
        Ok(logged_in) => {
            pages.leave(&guest).await;
            go_on(&logged_in, came_by, HOME)
        }
        Err(problem) if problem.status == StatusCode::UNPROCESSABLE_ENTITY => {
            password_page(StatusCode::UNPROCESSABLE_ENTITY, Some(&password_fault(&problem)), &user)
        }
        // Somebody was faster.
        Err(problem) if problem.status == StatusCode::NOT_FOUND => no_link(),
        Err(problem) => failed(&problem),
    }
}

/// What became of a try.
enum Outcome {
    In(LoggedIn),
    Wrong,
    TooOften(Duration),
}

impl Pages {
    /// Waits until it may look something up, and until the result is dropped others wait.
    async fn look_up(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.looking_up.acquire().await.ok()
    }

    /// Who is logged in with this browser, and by which session.
    async fn user_of<'a>(&self, guest: &'a Guest) -> Result<Option<(Caller, &'a str)>, Problem> {
        for session in guest.cookies(SESSION) {
            let Some(hash) = session_hash(session) else { continue };
            let _looking_up = self.look_up().await;
            if let Some(caller) = self.operator.use_session(hash).await? {
                return Ok(Some((caller, session)));
            }
        }
        Ok(None)
    }

    /// Whose link it is.
    ///
    /// # Errors
    /// The answer where it is nobody's.
    async fn holder_of(&self, link: &str, guest: &Guest) -> Result<String, Response> {
        if !self.logins.passwords {
            return Err(refused(StatusCode::FORBIDDEN, t(words::LOGIN_NO_PASSWORDS)));
        }
        let holder = {
            let _looking_up = self.look_up().await;
            self.operator.link_holder(link).await
        };
        match holder {
            Ok(Some(user)) => Ok(user),
            Ok(None) => match self.throttle.permit_wrong_link(guest.peer, Instant::now()) {
                Ok(()) => Err(no_link()),
                Err(wait) => {
                    let page = refused(StatusCode::TOO_MANY_REQUESTS, t(words::LINK_TOO_OFTEN));
                    Err(retry_after(page, wait.as_secs().max(1)))
                }
            },
            Err(problem) => Err(failed(&problem)),
        }
    }

    /// Ends the session that the browser had until now.
    async fn leave(&self, guest: &Guest) {
        for hash in guest.cookies(SESSION).into_iter().filter_map(session_hash) {
            // Ignored: it ends by itself.
            let _ = self.operator.log_out(hash, guest.asked.clone()).await;
        }
    }

    /// The name of the browser, where this user has logged in with it.
    async fn known_browser<'a>(&self, name: &str, guest: &'a Guest) -> Result<Option<&'a str>, Problem> {
        for browser in guest.cookies(BROWSER) {
            let _looking_up = self.look_up().await;
            if self.operator.knows_browser(name, browser).await? {
                return Ok(Some(browser));
            }
        }
        Ok(None)
    }

    /// The present password is asked for, and wrong ones are counted by session: it may be a stolen one.
    async fn change_password(
        &self,
        caller: &Caller,
        passwords: (Secret, Secret),
        (session, guest): (&str, &Guest),
    ) -> Result<Outcome, Problem> {
        let attempt = Try { name: caller.name(), peer: guest.peer, browser: Some(session) };
        let passed = match self.throttle.permit(attempt, Instant::now()) {
            Ok(passed) => passed,
            Err(wait) => return Ok(Outcome::TooOften(wait)),
        };
        let changed = self.operator.change_password(caller, passwords, guest.asked.clone()).await;
        if !matches!(changed, Ok(None)) {
            self.throttle.give_back(attempt, passed);
        }
        Ok(changed?.map_or(Outcome::Wrong, Outcome::In))
    }

    async fn try_to_log_in(&self, name: &str, password: Secret, guest: &Guest) -> Result<Outcome, Problem> {
        let browser = self.known_browser(name, guest).await?;
        let attempt = Try { name, peer: guest.peer, browser };
        let passed = match self.throttle.permit(attempt, Instant::now()) {
            Ok(passed) => passed,
            Err(wait) => return Ok(Outcome::TooOften(wait)),
        };
        let stranger = browser.is_none().then(|| attempt.network());
        let logged_in = self.operator.log_in(name, password, (stranger, guest.asked.clone())).await;
        match &logged_in {
            Ok(None) => {
                if let Some(left_out) = self.throttle.note_failure(Instant::now()) {
                    self.operator.note_failed_logins(name, left_out, guest.asked.clone()).await;
                }
            }
            Ok(Some(_)) => self.throttle.give_back(attempt, passed),
            Err(problem) if problem.code == Code::Busy => {
                self.throttle.note_busy();
                // A stranger who is refused as busy would try again at once.
                if browser.is_some() {
                    self.throttle.give_back(attempt, passed);
                }
            }
            Err(_) => self.throttle.give_back(attempt, passed),
        }
        Ok(logged_in?.map_or(Outcome::Wrong, Outcome::In))
    }
}

/// A form that comes from a page of this server, or does not say where from. Once it is there, its connection
/// keeps its place until the last of the result is dropped.
async fn posted(request: Request) -> Result<(Form, CameBy, Option<Answering>), Response> {
    let way = Way::of(request.extensions());
    let came_by = match origin(request.headers(), way) {
        Origin::Own(came_by) => came_by,
        // No browser that would send a cookie from another site's page: those of these days say it.
        Origin::Unsaid => CameBy::Plain,
        Origin::Foreign => {
            return Err(refused(StatusCode::FORBIDDEN, t(words::FORM_ELSEWHERE)));
        }
    };
    // What came by TLS did, whatever the browser says.
    let came_by = if way.is_tls() { CameBy::Tls } else { came_by };
    let seat = request.extensions().get::<Seat>().cloned();
    let form = Form::read(request).await.map_err(|(status, _)| refused(status, form_fault(status)))?;
    Ok((form, came_by, seat.map(|seat| seat.answer())))
}

/// To a page of the console, the first one where `next` is none, with the cookies of the session.
fn go_on(logged_in: &LoggedIn, came_by: CameBy, next: &str) -> Response {
    let LoggedIn { session, browser, lasts_s } = logged_in;
    let next = way_back(next).and_then(|next| HeaderValue::from_str(next).ok());
    let next = next.unwrap_or(HeaderValue::from_static(HOME));
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, next)]).into_response();
    append_cookie(&mut response, set_cookie(SESSION, session.expose(), *lasts_s, came_by));
    if let Some(browser) = browser {
        append_cookie(&mut response, set_cookie(BROWSER, browser.expose(), BROWSER_LASTS_S, came_by));
    }
    response
}

fn see_login() -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, "/login")]).into_response()
}

fn append_cookie(response: &mut Response, cookie: Option<HeaderValue>) {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

fn too_often(wait: Duration, (name, next): (&str, &str), logins: &Logins) -> Response {
    let seconds = wait.as_secs() + 1;
    let said = say(words::LOGIN_TOO_OFTEN, &[("n", &seconds.to_string())]);
    retry_after(login_page(StatusCode::TOO_MANY_REQUESTS, (Some(&said), name, next), logins), seconds)
}

/// A problem that is none of the form.
fn failed(problem: &Problem) -> Response {
    if problem.title == UNWRITTEN {
        count_unwritten();
    }
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let page = if status.is_server_error() {
        // What it says of the store is not for strangers.
        tracing::debug!(%problem, "a page cannot be answered");
        refused(status, t(words::PAGE_LATER))
    } else {
        refused(status, &format!("{}: {problem}", problem.title))
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => retry_after(page, BUSY_S),
        _ => page,
    }
}

fn retry_after(mut response: Response, seconds: u64) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

fn no_link() -> Response {
    refused(StatusCode::NOT_FOUND, t(words::LINK_NOT_VALID))
}

fn refused(status: StatusCode, said: &str) -> Response {
    let title = match status {
        StatusCode::NOT_FOUND => words::PAGE_NOT_FOUND,
        StatusCode::TOO_MANY_REQUESTS => words::PAGE_TOO_OFTEN,
        status if status.is_server_error() => words::PAGE_NOT_NOW,
        _ => words::PAGE_NOT_DONE,
    };
    page(status, t(title), &(alert(Some(said)) + &log_in_link()))
}

#[cfg(test)]
pub(crate) mod tests;
