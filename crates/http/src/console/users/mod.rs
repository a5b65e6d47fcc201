//! Who may get in: users, tokens of programs, and organisation units. Here is the list of users: who may log
//! in, as what and where; a new one, whose link is shown once.

mod one;
mod tokens;
mod units;

use axum::{
    Router,
    extract::Query,
    http::{HeaderMap, Method, header},
    response::Response,
    routing::get,
};
use maud::{Markup, html};
use narrowgate_api::{
    access::{Role, UnitView},
    page::Page,
    problem::Problem,
    secret::SecretText,
    user::{NewUser, UserInvited, UserState, UserView},
};
use narrowgate_platform::{model::access::Needs, service::path_part};
use serde::{Deserialize, Serialize};

use super::{
    ask::{Act, with_query},
    layout::{Here, Sheet},
    parts::{ONCE, Tone},
    visit::{Sent, Shown, Trouble, Visit},
    words::{self, Word},
};
use crate::browser::{CameBy, Origin, origin};

const PATH: &str = "/console/users";
const API: &str = "/api/v1/users";

/// Users, tokens or units of a page.
const ROWS: usize = 100;

/// Units that are offered in a list.
const UNITS_MAX: usize = 200;

pub(super) fn routes() -> Router {
    let users = Router::new().route(PATH, get(list).post(create)).merge(one::routes());
    users.merge(tokens::routes()).merge(units::routes())
}

/// A tab of these pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tab {
    Users,
    Tokens,
    Units,
}

fn tabs(visit: &Visit, tab: Tab) -> Markup {
    let all = [
        (Tab::Users, PATH, words::USERS),
        (Tab::Tokens, tokens::PATH, words::TOKENS),
        (Tab::Units, units::PATH, words::OUS),
    ];
    html! {
        nav.tabs aria-label=(visit.t(words::ACCESS_TABS)) {
            @for (other, path, word) in all {
                a href=(path) aria-current=[(other == tab).then_some("page")] { (visit.t(word)) }
            }
        }
    }
}

/// The page of a user.
fn path_of(user: &str) -> String {
    format!("{PATH}/{}", path_part(user))
}

/// What stands in the address.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Wanted {
    #[serde(skip_serializing_if = "String::is_empty")]
    q: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    from: String,
}

impl Wanted {
    fn path(&self) -> String {
        with_query(PATH, self)
    }
}

/// Rows of a page of a list, from the address where it begins.
fn page_of<'a, T>(
    visit: &Visit,
    rows: &'a [T],
    from: &str,
    at: impl Fn(String) -> String,
) -> (&'a [T], Markup) {
    let from = from.parse().unwrap_or(0_usize).min(rows.len());
    let end = rows.len().min(from.saturating_add(ROWS));
    let next = (end < rows.len()).then(|| at(end.to_string()));
    let first = (from > 0).then(|| at(String::new()));
    (&rows[from..end], visit.pages(first.as_deref(), next.as_deref()))
}

/// What is in the fields of a new user.
#[derive(Default)]
struct Fields {
    user: String,
    role: String,
    ou: String,
}

async fn list(visit: Visit, Query(wanted): Query<Wanted>) -> Shown {
    visit.require(Needs::AdministerAll)?;
    page(&visit, &wanted, &Fields::default(), None).await
}

async fn page(visit: &Visit, wanted: &Wanted, fields: &Fields, problem: Option<&Problem>) -> Shown {
    let users: Page<UserView> = visit.read(API).await?;
    let units = all_units(visit).await?;
    let sheet = Sheet::new(Here::Users, visit.t(words::USERS));
    let sheet = sheet.with_status(problem.map_or(200, |problem| problem.status));
    let content = html! {
        (tabs(visit, Tab::Users))
        @if let Some(problem) = problem { (visit.problem(problem)) }
        (states(visit, &users.items))
        @if let Some(damaged) = &users.damaged {
            p.notice.watch { (visit.count(words::USERS_DAMAGED, damaged.count)) " " code { (damaged.first) } }
        }
        (table(visit, wanted, &users.items, &units))
        (new_form(visit, fields, &units))
    };
    Ok(visit.page(sheet, &content))
}

/// All units.
async fn all_units(visit: &Visit) -> Result<Vec<UnitView>, Trouble> {
    visit.read::<Page<UnitView>>("/api/v1/ous").await.map(|page| page.items)
}

/// How many there are of each state.
fn states(visit: &Visit, users: &[UserView]) -> Markup {
    let count = |state| users.iter().filter(|user| user.state == state).count() as u64;
    let all = [
        (UserState::Active, words::USERS_ACTIVE),
        (UserState::Invited, words::USERS_INVITED),
        (UserState::Disabled, words::USERS_DISABLED),
    ];
    html! {
        p.soft {
            @for (at, (state, word)) in all.into_iter().enumerate() {
                @if at > 0 { " · " }
                (visit.count(word, count(state)))
            }
        }
    }
}

fn table(visit: &Visit, wanted: &Wanted, users: &[UserView], units: &[UnitView]) -> Markup {
    let sought = wanted.q.to_lowercase();
    let found: Vec<_> = users.iter().filter(|user| user.user.to_lowercase().contains(&sought)).collect();
    let at = |from| Wanted { from, ..wanted.clone() }.path();
    let (rows, pages) = page_of(visit, &found, &wanted.from, at);
    let columns = [words::USER, words::STATE, words::USER_ROLE, words::USER_UNIT, words::USER_SINCE];
    let labels = columns.map(|word| visit.t(word));
    html! {
        form.filters role="search" action=(PATH) {
            label.wide {
                (visit.t(words::USERS_SEARCH))
                input type="search" name="q" value=(wanted.q) autocapitalize="none" spellcheck="false";
            }
            button { (visit.t(words::FILTER)) }
        }
        @if !wanted.q.is_empty() {
            div.chips { (visit.chip(&wanted.q, PATH)) }
        }
        @if rows.is_empty() {
            p.notice { (visit.t(words::USERS_NONE)) }
        } @else {
            div.scroll {
                table.rows {
                    thead { tr { @for label in labels { th { (label) } } } }
                    tbody {
                        @for user in rows {
                            tr data-row {
                                th scope="row" data-label=(labels[0]) {
                                    a href=(path_of(&user.user)) { (user.user) }
                                }
                                td data-label=(labels[1]) { (state(visit, user)) }
                                td data-label=(labels[2]) { (visit.t(role_word(user.role))) }
                                td data-label=(labels[3]) { (unit_name(visit, units, user.ou.as_deref())) }
                                td data-label=(labels[4]) { (visit.time(user.created_at)) }
                            }
                        }
                    }
                }
            }
        }
        (pages)
    }
}

/// How a user stands; of one who is invited, until when the link is valid.
fn state(visit: &Visit, user: &UserView) -> Markup {
    let (tone, word) = match user.state {
        UserState::Active => (Tone::Good, words::USER_ACTIVE),
        UserState::Invited => (Tone::Watch, words::USER_INVITED),
        UserState::Disabled => (Tone::Calm, words::USER_DISABLED),
    };
    html! {
        (visit.word(tone, visit.t(word)))
        @if let (UserState::Invited, Some(ends)) = (user.state, user.link_expires_at) {
            @let said = if ends > visit.now { words::USER_LINK_ENDS } else { words::USER_LINK_ENDED };
            " · " span.soft { (visit.t(said)) " " (visit.time(ends)) }
        }
    }
}

fn role_word(role: Role) -> Word {
    match role {
        Role::Viewer => words::ROLE_VIEWER,
        Role::Operator => words::ROLE_OPERATOR,
        Role::Administrator => words::ROLE_ADMINISTRATOR,
    }
}

/// What people call a unit.
fn unit_name(visit: &Visit, units: &[UnitView], ou: Option<&str>) -> Markup {
    let Some(ou) = ou else { return html! { (visit.t(words::OU_ALL)) } };
    let name = units.iter().find(|unit| unit.ou == ou).map_or(ou, |unit| &unit.name);
    html! { a href=(units::path_of(ou)) title=(ou) { (name) } }
}

/// The roles, each with its word in forms and what it may do.
const ROLES: [(Role, &str, Word); 3] = [
    (Role::Viewer, "viewer", words::ROLE_VIEWER_MAY),
    (Role::Operator, "operator", words::ROLE_OPERATOR_MAY),
    (Role::Administrator, "administrator", words::ROLE_ADMINISTRATOR_MAY),
];

/// The role of a form; what is none is the least.
fn role_of(text: &str) -> Role {
    ROLES.into_iter().find(|(_, name, _)| *name == text).map_or(Role::Viewer, |(role, ..)| role)
}

fn role_field(visit: &Visit, chosen: Role) -> Markup {
    html! {
        label {
            (visit.t(words::USER_ROLE))
            select name="role" {
                @for (role, name, may) in ROLES {
                    option value=(name) selected[role == chosen] {
                        (visit.t(role_word(role))) ": " (visit.t(may))
                    }
                }
            }
        }
    }
}

/// In which unit; where there are very many, by its key or its name.
fn unit_field(visit: &Visit, units: &[UnitView], chosen: &str) -> Markup {
    html! {
        label {
            (visit.t(words::USER_UNIT))
            @if units.len() <= UNITS_MAX {
                select name="ou" {
                    option value="" { (visit.t(words::OU_ALL)) }
                    @for unit in units {
                        option value=(unit.ou) selected[unit.ou == chosen] { (unit.name) " · " (unit.ou) }
                    }
                }
            } @else {
                input name="ou" value=(chosen) placeholder=(visit.t(words::OU_ALL)) autocomplete="off";
            }
        }
    }
}

fn new_form(visit: &Visit, fields: &Fields, units: &[UnitView]) -> Markup {
    html! {
        section.panel {
            h2 { (visit.t(words::USER_NEW)) }
            p.hint { (visit.t(words::USER_NEW_HINT)) }
            form.narrow method="post" action=(PATH) {
                (visit.token_field())
                (visit.once_field())
                label {
                    (visit.t(words::USER_NAME))
                    input name="user" value=(fields.user) autocapitalize="none" spellcheck="false"
                        autocomplete="off" required;
                }
                (role_field(visit, role_of(&fields.role)))
                (unit_field(visit, units, &fields.ou))
                p.buttons { button.first { (visit.t(words::USER_CREATE)) } }
            }
        }
    }
}

async fn create(visit: Visit, headers: HeaderMap, mut form: Sent) -> Shown {
    visit.require(Needs::AdministerAll)?;
    let [user, role, ou] = ["user", "role", "ou"].map(|name| form.text(name));
    let once = form.text(ONCE);
    let fields = Fields { user, role, ou };
    let new = NewUser {
        user: fields.user.clone(),
        role: role_of(&fields.role),
        ou: Some(fields.ou.clone()).filter(|ou| !ou.is_empty()),
    };
    match visit.act(Act::new(Method::POST, API).once(&once).secret(), &new).await {
        Ok(invited) => Ok(link_page(&visit, &headers, &invited, words::USER_CREATED)),
        Err(Trouble(problem)) => page(&visit, &Wanted::default(), &fields, Some(&*problem)).await,
    }
}

/// The link by which a user sets a password: the only time that it is shown.
fn link_page(visit: &Visit, headers: &HeaderMap, invited: &UserInvited, title: Word) -> Response {
    let UserInvited { link, origin, view } = invited;
    let origin = origin.clone().or_else(|| own_origin(visit, headers)).unwrap_or_default();
    let link = SecretText::new([&*origin, link.expose()].concat());
    let title = visit.say(title, &[("user", &view.user)]);
    let content = html! {
        p.notice role="status" { (visit.t(words::USER_LINK_ONCE)) }
        section.panel {
            h2 { (visit.t(words::USER_LINK)) }
            (visit.line_to_paste(link.expose()))
            @if let Some(ends) = view.link_expires_at {
                p.hint { (visit.t(words::USER_LINK_ENDS)) " " (visit.time(ends)) }
            }
        }
        p {
            a.button.first href=(path_of(&view.user)) {
                (visit.say(words::USER_SHOW, &[("user", &view.user)]))
            }
        }
    };
    visit.page(Sheet::new(Here::Users, title), &content)
}

/// Where this browser reaches the server, as its form says.
fn own_origin(visit: &Visit, headers: &HeaderMap) -> Option<String> {
    let scheme = match origin(headers, visit.way) {
        Origin::Own(CameBy::Tls) => "https",
        Origin::Own(CameBy::Plain) => "http",
        Origin::Unsaid | Origin::Foreign => return None,
    };
    let host = headers.get(header::HOST)?.to_str().ok()?;
    Some(format!("{scheme}://{host}"))
}
