//! The pages for people: to log in, to log out, and to set a password by a one-time link. Plain HTML, which
//! works without script, loads nothing, and is replaced where there is a console.
//!
//! * Each page may send forms to this server and to no other, and be framed by nobody.
//! * A form is taken from pages of this server: where its `Origin` says another one, it is refused. Who logs
//!   out also sends the token of the session.
//! * A wrong password and an unknown name get the same answer in the same time, and so many of them in a
//!   time (module `throttle`). So many pages of any kind are answered to an address.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use narrowgate_api::problem::Problem;
use narrowgate_platform::{
    model::access::Caller,
    rules::passwords::PASSWORD_CHARACTERS_MIN,
    secret::Secret,
    service::{AskedFrom, LoggedIn, Operator, UNWRITTEN, form_token, is_form_token, session_hash},
};

use crate::{
    api::{asked_from, count_unwritten},
    browser::{BROWSER, BROWSER_LASTS_S, CameBy, Origin, SESSION, cookie, origin, set_cookie},
    form::Form,
    gate::Peer,
    page::escape,
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
            "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
    ),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
];

/// Seconds after which what is busy is worth another try.
const BUSY_S: u64 = 5;

/// What the pages work on.
#[derive(Debug)]
pub(crate) struct Pages {
    operator: Operator,
    throttle: Arc<Throttle>,
}

/// The routes of the pages.
pub(crate) fn routes(operator: Operator, throttle: Arc<Throttle>) -> Router {
    let pages = Arc::new(Pages { operator, throttle });
    Router::new()
        .route("/login", get(show_login).post(log_in))
        .route("/logout", post(log_out))
        .route("/password/{link}", get(show_password).post(set_password))
        .layer(middleware::from_fn_with_state(Arc::clone(&pages), slow_down))
        .with_state(pages)
}

/// Answers where the source does not ask too often.
async fn slow_down(State(pages): State<Arc<Pages>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    match pages.throttle.permit_page(peer, Instant::now()) {
        Ok(()) => next.run(request).await,
        Err(wait) => {
            let page = refused(StatusCode::TOO_MANY_REQUESTS, "Too many requests come from this address.");
            retry_after(page, wait.as_secs().max(1))
        }
    }
}

async fn show_login(State(pages): State<Arc<Pages>>, headers: HeaderMap) -> Response {
    let Some(session) = cookie(&headers, SESSION) else { return login_page(StatusCode::OK, None, "") };
    match pages.user_of(session).await {
        Ok(Some(caller)) => account_page(&caller, session),
        Ok(None) => login_page(StatusCode::OK, None, ""),
        Err(problem) => failed(&problem),
    }
}

async fn log_in(State(pages): State<Arc<Pages>>, request: Request) -> Response {
    let headers = request.headers().clone();
    let peer = request.extensions().get::<Peer>().copied();
    let asked = asked_from(request.extensions());
    let (mut form, came_by, _answering) = match posted(request).await {
        Ok(posted) => posted,
        Err(refused) => return refused,
    };
    let (name, password) = (form.take("user").into_text(), Secret::new(form.take("password").into_text()));
    match pages.try_to_log_in(&name, password, cookie(&headers, BROWSER), peer, &asked).await {
        Ok(Outcome::In(logged_in)) => {
            pages.leave(&headers, asked).await;
            go_on(&logged_in, came_by)
        }
        Ok(Outcome::Wrong) => {
            let said = "The user name or the password is wrong.";
            login_page(StatusCode::FORBIDDEN, Some(said), &name)
        }
        Ok(Outcome::TooOften(wait)) => too_often(wait, &name),
        Err(problem) => failed(&problem),
    }
}

async fn log_out(State(pages): State<Arc<Pages>>, request: Request) -> Response {
    let headers = request.headers().clone();
    let asked = asked_from(request.extensions());
    let (mut form, came_by, _answering) = match posted(request).await {
        Ok(posted) => posted,
        Err(refused) => return refused,
    };
    if let Some(session) = cookie(&headers, SESSION) {
        if !is_form_token(form.take("csrf").expose(), session) {
            return refused(StatusCode::FORBIDDEN, "The form is not one of this session. Open /login again.");
        }
        if let Some(hash) = session_hash(session)
            && let Err(problem) = pages.operator.log_out(hash, asked).await
        {
            return failed(&problem);
        }
    }
    let mut response = see_login();
    append_cookie(&mut response, set_cookie(SESSION, "", 0, came_by));
    response
}

async fn show_password(State(pages): State<Arc<Pages>>, Path(link): Path<String>) -> Response {
    match pages.operator.link_holder(&link).await {
        Ok(Some(user)) => password_page(StatusCode::OK, None, &user),
        Ok(None) => no_link(),
        Err(problem) => failed(&problem),
    }
}

async fn set_password(
    State(pages): State<Arc<Pages>>,
    Path(link): Path<String>,
    request: Request,
) -> Response {
    let headers = request.headers().clone();
    let asked = asked_from(request.extensions());
    let (mut form, came_by, _answering) = match posted(request).await {
        Ok(posted) => posted,
        Err(refused) => return refused,
    };
    let user = match pages.operator.link_holder(&link).await {
        Ok(Some(user)) => user,
        Ok(None) => return no_link(),
        Err(problem) => return failed(&problem),
    };
    let [password, again] = ["password", "again"].map(|name| Secret::new(form.take(name).into_text()));
    if password != again {
        let said = "The two passwords are not the same.";
        return password_page(StatusCode::UNPROCESSABLE_ENTITY, Some(said), &user);
    }
    match pages.operator.set_password(&link, password, asked.clone()).await {
        Ok(logged_in) => {
            pages.leave(&headers, asked).await;
            go_on(&logged_in, came_by)
        }
        Err(problem) if problem.status == StatusCode::UNPROCESSABLE_ENTITY => {
            let said = format!("The {problem}.");
            password_page(StatusCode::UNPROCESSABLE_ENTITY, Some(&said), &user)
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
    async fn user_of(&self, session: &str) -> Result<Option<Caller>, Problem> {
        match session_hash(session) {
            Some(hash) => self.operator.use_session(hash).await,
            None => Ok(None),
        }
    }

    /// Ends the session that the browser had until now.
    async fn leave(&self, headers: &HeaderMap, asked: AskedFrom) {
        if let Some(hash) = cookie(headers, SESSION).and_then(session_hash) {
            // Ignored: it ends by itself.
            let _ = self.operator.log_out(hash, asked).await;
        }
    }

    async fn try_to_log_in(
        &self,
        name: &str,
        password: Secret,
        browser: Option<&str>,
        peer: Option<Peer>,
        asked: &AskedFrom,
    ) -> Result<Outcome, Problem> {
        let browser = match browser {
            Some(browser) => self.operator.knows_browser(name, browser).await?.then_some(browser),
            None => None,
        };
        let attempt = Try { name, peer, browser };
        if let Err(wait) = self.throttle.permit(attempt, Instant::now()) {
            return Ok(Outcome::TooOften(wait));
        }
        let logged_in = self.operator.log_in(name, password, asked.clone()).await;
        match &logged_in {
            Ok(None) => {
                if let Some(left_out) = self.throttle.note_failure(Instant::now()) {
                    self.operator.note_failed_logins(name, left_out, asked.clone()).await;
                }
            }
            Ok(Some(_)) | Err(_) => self.throttle.give_back(attempt),
        }
        Ok(logged_in?.map_or(Outcome::Wrong, Outcome::In))
    }
}

/// A form that comes from a page of this server, or does not say where from. Once it is there, its connection
/// keeps its place until the last of the result is dropped.
async fn posted(request: Request) -> Result<(Form, CameBy, Option<Answering>), Response> {
    let came_by = match origin(request.headers()) {
        Origin::Own(came_by) => came_by,
        // No browser that would send a cookie from another site's page: those of these days say it.
        Origin::Unsaid => CameBy::Plain,
        Origin::Foreign => {
            let said = "The form comes from another site. A proxy before this server must hand on the header \
                        Host.";
            return Err(refused(StatusCode::FORBIDDEN, said));
        }
    };
    let seat = request.extensions().get::<Seat>().cloned();
    let form = Form::read(request).await.map_err(|(status, said)| refused(status, said))?;
    Ok((form, came_by, seat.map(|seat| seat.answer())))
}

/// To the page that says who is logged in, with the cookies of the session.
fn go_on(logged_in: &LoggedIn, came_by: CameBy) -> Response {
    let LoggedIn { session, browser, lasts_s } = logged_in;
    let mut response = see_login();
    append_cookie(&mut response, set_cookie(SESSION, session.expose(), *lasts_s, came_by));
    append_cookie(&mut response, set_cookie(BROWSER, browser.expose(), BROWSER_LASTS_S, came_by));
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

fn too_often(wait: Duration, name: &str) -> Response {
    let seconds = wait.as_secs() + 1;
    let said = format!("Too many logins have failed. Try again in {seconds} seconds.");
    retry_after(login_page(StatusCode::TOO_MANY_REQUESTS, Some(&said), name), seconds)
}

/// A problem that is none of the form.
fn failed(problem: &Problem) -> Response {
    if problem.title == UNWRITTEN {
        count_unwritten();
    }
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let page = refused(status, &format!("{}: {problem}", problem.title));
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
    let said = "This link is not valid, or not any more: it sets a password once, within a day. \
                narrowgate user reset NAME makes a new one.";
    refused(StatusCode::NOT_FOUND, said)
}

fn refused(status: StatusCode, said: &str) -> Response {
    page(status, "narrowgate", &alert(Some(said)))
}

fn login_page(status: StatusCode, said: Option<&str>, name: &str) -> Response {
    let (alert, name) = (alert(said), escape(name));
    let body = format!(
        "{alert}<form method=\"post\" action=\"/login\">\n\
         <p><label>User name <input name=\"user\" value=\"{name}\" autocomplete=\"username\" \
         required></label></p>\n\
         <p><label>Password <input type=\"password\" name=\"password\" autocomplete=\"current-password\" \
         required></label></p>\n\
         <p><button>Log in</button></p>\n</form>\n"
    );
    page(status, "Log in", &body)
}

fn account_page(caller: &Caller, session: &str) -> Response {
    let name = match caller {
        Caller::User { name, .. } | Caller::Token { name, .. } => escape(name),
        Caller::Owner => "owner".to_owned(),
    };
    let role = format!("{:?}", caller.role()).to_lowercase();
    let unit = caller.unit().map_or("all organisation units".to_owned(), |ou| format!("unit {}", escape(ou)));
    let token = form_token(session);
    let body = format!(
        "<p>You are logged in as <b>{name}</b>, {role} of {unit}.</p>\n\
         <form method=\"post\" action=\"/logout\">\n\
         <input type=\"hidden\" name=\"csrf\" value=\"{}\">\n<p><button>Log out</button></p>\n</form>\n",
        token.expose()
    );
    page(StatusCode::OK, "narrowgate", &body)
}

fn password_page(status: StatusCode, said: Option<&str>, user: &str) -> Response {
    let (alert, user) = (alert(said), escape(user));
    let field = |label: &str, name: &str| {
        format!(
            "<p><label>{label} <input type=\"password\" name=\"{name}\" autocomplete=\"new-password\" \
             minlength=\"{PASSWORD_CHARACTERS_MIN}\" required></label></p>\n"
        )
    };
    let (first, second) = (field("Password", "password"), field("The same again", "again"));
    let body = format!(
        "{alert}<p>The password of <b>{user}</b>: at least {PASSWORD_CHARACTERS_MIN} characters, whichever \
         you like.</p>\n<form method=\"post\">\n\
         <input type=\"hidden\" name=\"user\" value=\"{user}\" autocomplete=\"username\">\n\
         {first}{second}<p><button>Set the password</button></p>\n</form>\n"
    );
    page(status, "Set a password", &body)
}

fn alert(said: Option<&str>) -> String {
    said.map(|said| format!("<p role=\"alert\">{}</p>\n", escape(said))).unwrap_or_default()
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n{body}\
         <p><a href=\"/\">About this server</a></p>\n</body>\n</html>\n"
    );
    let mut response = (status, Html(html)).into_response();
    response.extensions_mut().insert(SendsForms);
    response
}

#[cfg(test)]
mod tests;
