//! Tokens: which programs may call the API, as what, where and until when; a new one, whose text is shown
//! once.

use axum::{
    Router,
    extract::{Path, Query},
    http::Method,
    response::Response,
    routing::get,
};
use maud::{Markup, html};
use narrowgate_api::{
    access::{NewToken, TokenCreated, TokenView, UnitView},
    names::UnixMillis,
    page::Page,
    problem::Problem,
};
use narrowgate_platform::{model::access::Needs, service::path_part};

use super::{Tab, Wanted, all_units, page_of, role_field, role_of, role_word, tabs, unit_field, unit_name};
use crate::console::{
    ask::{Act, with_query},
    layout::{Here, Sheet},
    parts::{Confirm, ONCE, TYPED, Tone},
    see_other,
    visit::{Sent, Shown, Trouble, Visit},
    words,
};

pub(super) const PATH: &str = "/console/tokens";
const API: &str = "/api/v1/tokens";

const DAY_MS: i64 = 86_400_000;

/// For how many days a new token is valid; 0: without end.
const DAYS: [u32; 4] = [30, 90, 365, 0];

pub(super) fn routes() -> Router {
    Router::new()
        .route(PATH, get(list).post(create))
        .route("/console/tokens/{token}/revoke", get(ask_revoke).post(revoke))
}

/// What is in the fields of a new token.
struct Fields {
    name: String,
    role: String,
    ou: String,
    days: u32,
}

impl Default for Fields {
    fn default() -> Self {
        Self { name: String::new(), role: String::new(), ou: String::new(), days: 90 }
    }
}

async fn list(visit: Visit, Query(wanted): Query<Wanted>) -> Shown {
    visit.require(Needs::AdministerAll)?;
    page(&visit, &wanted, &Fields::default(), None).await
}

async fn page(visit: &Visit, wanted: &Wanted, fields: &Fields, problem: Option<&Problem>) -> Shown {
    let tokens: Page<TokenView> = visit.read(API).await?;
    let units = all_units(visit).await?;
    let sheet = Sheet::new(Here::Users, visit.t(words::TOKENS));
    let sheet = sheet.with_status(problem.map_or(200, |problem| problem.status));
    let content = html! {
        (tabs(visit, Tab::Tokens))
        @if let Some(problem) = problem { (visit.problem(problem)) }
        (table(visit, wanted, &tokens.items, &units))
        (new_form(visit, fields, &units))
    };
    Ok(visit.page(sheet, &content))
}

fn table(visit: &Visit, wanted: &Wanted, tokens: &[TokenView], units: &[UnitView]) -> Markup {
    if tokens.is_empty() {
        let step = html! { (visit.t(words::TOKENS_NONE_STEP)) };
        return visit.empty(words::TOKENS_NONE, words::TOKENS_NONE_TEXT, &step);
    }
    let at = |from| with_query(PATH, &Wanted { q: String::new(), from });
    let (rows, pages) = page_of(visit, tokens, &wanted.from, at);
    let columns =
        [words::TOKEN, words::STATE, words::USER_ROLE, words::USER_UNIT, words::USER_SINCE, words::ACTS];
    let labels = columns.map(|word| visit.t(word));
    html! {
        div.scroll {
            table.rows {
                thead { tr { @for label in labels { th { (label) } } } }
                tbody {
                    @for token in rows {
                        tr data-row {
                            th scope="row" data-label=(labels[0]) { (token.name) }
                            td data-label=(labels[1]) { (validity(visit, token.expires_at)) }
                            td data-label=(labels[2]) { (visit.t(role_word(token.role))) }
                            td data-label=(labels[3]) { (unit_name(visit, units, token.ou.as_deref())) }
                            td data-label=(labels[4]) { (visit.time(token.created_at)) }
                            td data-label=(labels[5]) {
                                a.button.quiet href={ (PATH) "/" (path_part(&token.name)) "/revoke" } {
                                    (visit.t(words::TOKEN_REVOKE))
                                }
                            }
                        }
                    }
                }
            }
        }
        (pages)
    }
}

/// Until when a token is valid; one that ends within a week is to be watched.
fn validity(visit: &Visit, ends: Option<UnixMillis>) -> Markup {
    let Some(ends) = ends else { return visit.word(Tone::Good, visit.t(words::TOKEN_WITHOUT_END)) };
    let (tone, word) = match ends.0 - visit.now.0 {
        ..=0 => (Tone::Calm, words::TOKEN_ENDED),
        left if left < 7 * DAY_MS => (Tone::Watch, words::TOKEN_ENDS),
        _ => (Tone::Good, words::TOKEN_ENDS),
    };
    html! { (visit.word(tone, visit.t(word))) " " (visit.time(ends)) }
}

fn new_form(visit: &Visit, fields: &Fields, units: &[UnitView]) -> Markup {
    html! {
        section.panel {
            h2 { (visit.t(words::TOKEN_NEW)) }
            p.hint { (visit.t(words::TOKEN_NEW_HINT)) }
            form.narrow method="post" action=(PATH) {
                (visit.token_field())
                (visit.once_field())
                label {
                    (visit.t(words::TOKEN_NAME))
                    input name="name" value=(fields.name) autocapitalize="none" spellcheck="false"
                        autocomplete="off" required;
                }
                (role_field(visit, role_of(&fields.role)))
                (unit_field(visit, units, &fields.ou))
                label {
                    (visit.t(words::TOKEN_VALID))
                    select name="days" {
                        @for days in DAYS {
                            option value=(days) selected[days == fields.days] {
                                @if days == 0 { (visit.t(words::TOKEN_WITHOUT_END)) }
                                @else { (visit.count(words::DAYS, u64::from(days))) }
                            }
                        }
                    }
                }
                p.buttons { button.first { (visit.t(words::TOKEN_CREATE)) } }
            }
        }
    }
}

async fn create(visit: Visit, mut form: Sent) -> Shown {
    visit.require(Needs::AdministerAll)?;
    let [name, role, ou, days, once] = ["name", "role", "ou", "days", ONCE].map(|name| form.text(name));
    let days = days.parse().ok().filter(|days| DAYS.contains(days)).unwrap_or(DAYS[0]);
    let fields = Fields { name, role, ou, days };
    // To the day, so that a form that is sent again is the same request.
    let today = visit.now.0 - visit.now.0.rem_euclid(DAY_MS);
    let new = NewToken {
        name: fields.name.clone(),
        role: role_of(&fields.role),
        ou: Some(fields.ou.clone()).filter(|ou| !ou.is_empty()),
        expires_at: (days > 0).then(|| UnixMillis(today + DAY_MS * (i64::from(days) + 1))),
    };
    match visit.act(Act::new(Method::POST, API).once(&once).secret(), &new).await {
        Ok(created) => Ok(created_page(&visit, &created)),
        Err(Trouble(problem)) => page(&visit, &Wanted::default(), &fields, Some(&*problem)).await,
    }
}

fn created_page(visit: &Visit, created: &TokenCreated) -> Response {
    let title = visit.say(words::TOKEN_CREATED, &[("token", &created.view.name)]);
    let content = html! {
        p.notice role="status" { (visit.t(words::TOKEN_ONCE)) }
        section.panel {
            (visit.line_to_paste(created.token.expose()))
            p.hint { (validity(visit, created.view.expires_at)) }
        }
        p { a.button.first href=(PATH) { (visit.t(words::TOKENS_SHOW)) } }
    };
    visit.page(Sheet::new(Here::Users, title), &content)
}

async fn ask(visit: &Visit, name: &str, wrong: bool) -> Shown {
    visit.require(Needs::AdministerAll)?;
    let token: TokenView = visit.read(&format!("{API}/{}", path_part(name))).await?;
    let said = wrong.then(|| visit.not_confirmed(&token.name));
    let confirm = Confirm {
        action: &format!("{PATH}/{}/revoke", path_part(name)),
        does: &visit.say(words::TOKEN_DOES_REVOKE, &[("token", &token.name)]),
        name: &token.name,
        button: words::TOKEN_REVOKE,
        back: PATH,
        fields: html! {},
        said: said.as_deref(),
    };
    let sheet = Sheet::new(Here::Users, &*token.name).with_status(if wrong { 422 } else { 200 });
    Ok(visit.page(sheet, &html! { section.panel { (visit.confirm(&confirm)) } }))
}

async fn ask_revoke(visit: Visit, Path(name): Path<String>) -> Shown {
    ask(&visit, &name, false).await
}

async fn revoke(visit: Visit, Path(name): Path<String>, mut form: Sent) -> Shown {
    if form.text(TYPED) != name.trim() {
        return ask(&visit, &name, true).await;
    }
    let path = format!("{API}/{}", path_part(&name));
    let _: Option<TokenView> = visit.act(Act::new(Method::DELETE, &path), &()).await?;
    Ok(see_other(PATH))
}
