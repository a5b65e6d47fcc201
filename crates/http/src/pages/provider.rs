//! Logging in by an identity provider: to it, and back (module `oidc`).
//!
//! Who has not begun in this browser, or too long ago, is told so, and nothing is noted or asked: strangers
//! send such requests. Nor is anything noted where a login cannot begin, but that the log says so once in a
//! while. Where a login fails that was begun here, the audit log has the reason.
//!
//! Codes that are not good are counted (module `throttle`): of a login, of an address, and of a browser that
//! has logged in so before, by which its user gets in whatever others do at the address.

use axum::extract::{Query, rejection::QueryRejection};
use narrowgate_platform::service::{NotLetIn, path_part};
use serde::Deserialize;

use super::*;
use crate::{
    browser::check_site,
    console::{Language, words::Word},
    oidc::{self, Fault, NotUsed, Provider, TICKET_LASTS, Ticket},
    places::network,
    throttle,
};

/// The cookie of a login that has begun.
const PENDING: &str = "narrowgate_oidc";

/// The cookie with the page that such a login leads to.
const PENDING_NEXT: &str = "narrowgate_next";

/// Its longest value: browsers drop cookies beyond 4 KB, and such a login leads to the first page.
const NEXT_BYTES_MAX: usize = 3800;

/// The cookie of a browser that has logged in so.
pub(super) const MARKED: &str = "narrowgate_oidc_browser";

/// Where it begins.
pub(super) const BEGIN: &str = "/login/oidc";

/// How users log in.
#[derive(Debug, Clone)]
pub struct Logins {
    /// Whether they do with passwords.
    pub passwords: bool,
    /// The identity provider, where there is one.
    pub provider: Option<Arc<Provider>>,
}

impl Default for Logins {
    fn default() -> Self {
        Self { passwords: true, provider: None }
    }
}

/// What a provider sends back (RFC 6749, 4.1.2; RFC 9207).
#[derive(Deserialize)]
struct Back {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

/// Both routes; each answers only where there is a provider.
pub(super) fn routes() -> Router<Arc<Pages>> {
    Router::new().route(BEGIN, get(begin)).route(oidc::COME_BACK, get(come_back))
}

/// Why a login by the provider has failed.
enum Failed {
    Fault(Fault),
    NotLetIn(NotLetIn),
    NotUsed(NotUsed),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Failed {
    /// The word in the audit log.
    fn reason(&self) -> &'static str {
        match self {
            Self::Fault(Fault::Unreachable(_)) => "oidc_unreachable",
            Self::Fault(Fault::Busy) | Self::NotUsed(NotUsed::TooMany) => "oidc_too_many",
            Self::Fault(Fault::Refused(_)) => "oidc_refused",
            Self::Fault(Fault::Token(_)) => "oidc_token",
            Self::Fault(Fault::Claims(_)) => "oidc_claims",
            Self::NotLetIn(NotLetIn::Name) => "oidc_name",
            Self::NotLetIn(NotLetIn::Unknown) => "oidc_unknown",
            Self::NotLetIn(NotLetIn::Disabled) => "oidc_disabled",
            Self::NotLetIn(NotLetIn::MadeHere) => "oidc_made_here",
            Self::NotLetIn(NotLetIn::NoRole) => "oidc_no_role",
            Self::NotLetIn(NotLetIn::NoUnit) => "oidc_no_unit",
            Self::NotUsed(NotUsed::Again) => "oidc_used",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Fault(Fault::Unreachable(_) | Fault::Busy) | Self::NotUsed(NotUsed::TooMany) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::FORBIDDEN,
        }
    }

    /// What the operator reads in the log.
    fn detail(&self) -> String {
        match self {
            Self::Fault(fault) => fault.to_string(),
            other => other.advice().of(Language::English).to_owned(),
        }
    }

    /// What the user reads: what the provider has said is for the operator.
    fn advice(&self) -> Word {
        match self {
            Self::Fault(Fault::Unreachable(_)) => words::OIDC_UNREACHABLE,
            Self::Fault(Fault::Refused(_)) => words::OIDC_REFUSED,
            Self::Fault(Fault::Token(_)) => words::OIDC_TOKEN,
            Self::Fault(Fault::Claims(_)) => words::OIDC_CLAIMS,
            Self::NotLetIn(NotLetIn::Name) => words::OIDC_NAME,
            Self::NotLetIn(NotLetIn::Unknown) => words::OIDC_UNKNOWN,
            Self::NotLetIn(NotLetIn::Disabled) => words::OIDC_DISABLED,
            Self::NotLetIn(NotLetIn::MadeHere) => words::OIDC_MADE_HERE,
            Self::NotLetIn(NotLetIn::NoRole) => words::OIDC_NO_ROLE,
            Self::NotLetIn(NotLetIn::NoUnit) => words::OIDC_NO_UNIT,
            Self::NotUsed(NotUsed::Again) => words::OIDC_USED,
            Self::Fault(Fault::Busy) | Self::NotUsed(NotUsed::TooMany) => words::OIDC_TOO_MANY,
        }
    }
}

async fn begin(State(pages): State<Arc<Pages>>, uri: Uri, guest: Guest) -> Response {
    let Some(provider) = pages.logins.provider.clone() else { return no_provider() };
    // A page of another site would have somebody log in who may be somebody else here at the moment.
    if check_site(&guest.headers).is_err() {
        return see_login();
    }
    match provider.begin(guest.network()).await {
        Ok((url, cookie)) => {
            let Ok(url) = HeaderValue::from_str(&url) else { return no_provider() };
            let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, url)]).into_response();
            let seconds = i64::try_from(TICKET_LASTS.as_secs()).unwrap_or(i64::MAX);
            append_cookie(&mut response, set_cookie(PENDING, &cookie, seconds, provider.came_by()));
            let next = Form::of_query(uri.query()).text(NEXT);
            let next = way_back(&next).map(path_part).filter(|next| next.len() <= NEXT_BYTES_MAX);
            if let Some(next) = next {
                append_cookie(&mut response, set_cookie(PENDING_NEXT, &next, seconds, provider.came_by()));
            } else if !guest.cookies(PENDING_NEXT).is_empty() {
                // That of a login that has begun before.
                append_cookie(&mut response, set_cookie(PENDING_NEXT, "", 0, provider.came_by()));
            }
            response
        }
        Err(fault) => {
            if pages.throttle.tells_unreachable(Instant::now()) {
                tracing::warn!(detail = %fault, "no login by the identity provider can begin");
            }
            refused_login(&fault.into())
        }
    }
}

async fn come_back(
    State(pages): State<Arc<Pages>>,
    guest: Guest,
    back: Result<Query<Back>, QueryRejection>,
) -> Response {
    let Some(provider) = pages.logins.provider.clone() else { return no_provider() };
    let Ok(Query(back)) = back else { return not_begun() };
    let state = back.state.as_deref().unwrap_or_default();
    let mut tickets = guest.cookies(PENDING).into_iter().filter_map(|cookie| provider.ticket(cookie, state));
    let Some(ticket) = tickets.next() else { return not_begun() };
    let mut response = match pages.finish(&provider, &ticket, (back, &guest)).await {
        Ok(Ok(logged_in)) => {
            pages.leave(&guest).await;
            let next = guest.cookies(PENDING_NEXT).first().map(|next| format!("{NEXT}={next}"));
            let next = Form::of_query(next.as_deref()).text(NEXT);
            let mut response = go_on(&logged_in, provider.came_by(), &next);
            let known = guest.marked(&provider).map(str::to_owned);
            if let Some(mark) = known.or_else(|| provider.mark_browser().ok()) {
                let mark = set_cookie(MARKED, &mark, BROWSER_LASTS_S, provider.came_by());
                append_cookie(&mut response, mark);
            }
            response
        }
        Ok(Err((name, failed))) => pages.note_refused(name.as_deref(), &failed, &guest).await,
        Err(refused) => refused,
    };
    append_cookie(&mut response, set_cookie(PENDING, "", 0, provider.came_by()));
    if !guest.cookies(PENDING_NEXT).is_empty() {
        append_cookie(&mut response, set_cookie(PENDING_NEXT, "", 0, provider.came_by()));
    }
    response
}

impl Pages {
    /// The page of a user, who can change a password: one who came by the provider may have none.
    pub(super) async fn account(&self, said: Option<&str>, (caller, session): (&Caller, &str)) -> Response {
        let has_password = match self.logins.passwords {
            true => self.operator.has_password(caller.name()).await,
            false => Ok(false),
        };
        match has_password {
            Ok(has_password) => account_page(StatusCode::OK, said, (caller, session, has_password)),
            Err(problem) => failed(&problem),
        }
    }

    /// Logs in whoever comes back from the provider.
    ///
    /// # Errors
    /// The answer where something else failed than the login.
    async fn finish(
        &self,
        provider: &Provider,
        ticket: &Ticket,
        (back, guest): (Back, &Guest),
    ) -> Result<Result<LoggedIn, (Option<String>, Failed)>, Response> {
        let code = match code_of(provider, back) {
            Ok(code) => code,
            Err(fault) => return Ok(Err((None, fault.into()))),
        };
        if let Err(not_used) = provider.try_code(ticket) {
            return Ok(Err((None, Failed::NotUsed(not_used))));
        }
        let back = throttle::Back { peer: guest.peer, browser: guest.marked(provider) };
        if let Err(wait) = self.throttle.permit_vouched(back, Instant::now()) {
            let page = refused(StatusCode::TOO_MANY_REQUESTS, t(words::OIDC_TOO_OFTEN));
            return Err(retry_after(page, wait.as_secs().max(1)));
        }
        let vouched = match provider.finish(ticket, (code, guest.network())).await {
            Ok(vouched) => vouched,
            Err(fault) => {
                if matches!(fault, Fault::Busy) {
                    self.throttle.note_busy();
                    // A stranger who is refused as busy would try again at once.
                    if back.browser.is_some() {
                        self.throttle.give_back_vouched(back);
                    }
                }
                return Ok(Err((None, fault.into())));
            }
        };
        if let Err(not_used) = provider.take(ticket) {
            return Ok(Err((Some(vouched.name), Failed::NotUsed(not_used))));
        }
        match self.operator.log_in_vouched(&vouched, guest.asked.clone()).await {
            Ok(Ok(logged_in)) => {
                self.throttle.give_back_vouched(back);
                Ok(Ok(logged_in))
            }
            Ok(Err(not_let_in)) => Ok(Err((Some(vouched.name), Failed::NotLetIn(not_let_in)))),
            Err(problem) => Err(failed(&problem)),
        }
    }

    /// Notes that a login has failed, and says so.
    async fn note_refused(&self, name: Option<&str>, failed: &Failed, guest: &Guest) -> Response {
        if let Some(left_out) = self.throttle.note_vouched_failure(Instant::now()) {
            let (reason, asked) = (failed.reason(), guest.asked.clone());
            tracing::warn!(reason, detail = failed.detail(), "a login by the identity provider has failed");
            let answered = (reason, failed.status().as_u16());
            self.operator.note_refused_login(name, answered, left_out, asked).await;
        }
        refused_login(failed)
    }
}

impl Guest {
    /// The network that it comes from.
    fn network(&self) -> u64 {
        self.peer.map_or(u64::MAX, |Peer(address)| network(address))
    }

    /// The mark of a browser that has logged in by this provider.
    fn marked(&self, provider: &Provider) -> Option<&str> {
        self.cookies(MARKED).into_iter().find(|mark| provider.is_marked(mark))
    }
}

/// The page of a login that has failed.
fn refused_login(failed: &Failed) -> Response {
    let said = alert(Some(t(failed.advice())));
    let page = page(failed.status(), t(words::OIDC_NOT), &(said + &log_in_link()));
    if failed.status() == StatusCode::SERVICE_UNAVAILABLE { retry_after(page, BUSY_S) } else { page }
}

/// The code with which somebody comes back; nobody is asked for that.
fn code_of(provider: &Provider, back: Back) -> Result<String, Fault> {
    if !provider.is_issuer(back.iss.as_deref()) {
        return Err(Fault::Refused("the answer is of another issuer (iss)".to_owned()));
    }
    match (back.code, back.error) {
        (Some(code), None) => Ok(code),
        (_, error) => Err(Fault::Refused(said(&error.unwrap_or_else(|| "there is no code".to_owned())))),
    }
}

/// A code of an error as it may be shown (RFC 6749, 4.1.2.1).
fn said(error: &str) -> String {
    let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.' | ' ');
    error.chars().filter(is_plain).take(60).collect()
}

fn not_begun() -> Response {
    let said = alert(Some(t(words::OIDC_NOT_BEGUN)));
    page(StatusCode::BAD_REQUEST, t(words::OIDC_NOT), &(said + &log_in_link()))
}

fn no_provider() -> Response {
    refused(StatusCode::NOT_FOUND, t(words::OIDC_NONE))
}
