//! A user: what the user may do, sessions, a new link in the place of the password, and the end.

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, Method},
    routing::{get, post},
};
use maud::{Markup, html};
use narrowgate_api::{
    access::UnitView,
    page::Page,
    problem::Problem,
    user::{UserInvited, UserSessionView, UserState, UserUpdate, UserView},
};
use narrowgate_platform::{model::access::Needs, service::path_part};

use super::{API, PATH, all_units, link_page, path_of, role_field, role_of, state, unit_field, unit_name};
use crate::console::{
    ask::Act,
    layout::{Here, Sheet},
    parts::{Confirm, ONCE, TYPED},
    see_other,
    visit::{Sent, Shown, Trouble, Visit},
    words::{self, Word},
};

/// Sessions that are shown.
const SESSIONS_MAX: usize = 100;

pub(super) fn routes() -> Router {
    Router::new()
        .route("/console/users/{user}", get(show).post(update))
        .route("/console/users/{user}/reset", get(ask_reset).post(reset))
        .route("/console/users/{user}/delete", get(ask_delete).post(delete))
        .route("/console/users/{user}/end", post(end))
}

/// Where the API has a user.
fn api_path(user: &str) -> String {
    format!("{API}/{}", path_part(user))
}

async fn show(visit: Visit, Path(name): Path<String>) -> Shown {
    visit.require(Needs::AdministerAll)?;
    page(&visit, &name, None).await
}

async fn page(visit: &Visit, name: &str, problem: Option<&Problem>) -> Shown {
    let (user, tag): (UserView, String) = visit.read_tagged(&api_path(name)).await?;
    let units = all_units(visit).await?;
    let sessions: Page<UserSessionView> = visit.read(&format!("{}/sessions", api_path(name))).await?;
    let sheet = sheet(&user).with_status(problem.map_or(200, |problem| problem.status));
    let content = html! {
        (head(visit, &user))
        @if let Some(problem) = problem { (visit.problem(problem)) }
        section.panel {
            dl.facts {
                dt { (visit.t(words::USER_ROLE)) } dd { (visit.t(super::role_word(user.role))) }
                dt { (visit.t(words::USER_UNIT)) } dd { (unit_name(visit, &units, user.ou.as_deref())) }
                dt { (visit.t(words::USER_SINCE)) } dd { (visit.time(user.created_at)) }
            }
        }
        div.split {
            (change_form(visit, &user, (&units, &tag)))
            (acts(visit, &user))
        }
        (session_table(visit, &user, &sessions.items))
    };
    Ok(visit.page_with_heading(sheet, &content))
}

fn sheet(user: &UserView) -> Sheet {
    Sheet::new(Here::Users, &*user.user)
}

fn head(visit: &Visit, user: &UserView) -> Markup {
    html! {
        div.verdict {
            h1 { (user.user) }
            p { (state(visit, user)) }
        }
    }
}

fn change_form(visit: &Visit, user: &UserView, (units, tag): (&[UnitView], &str)) -> Markup {
    html! {
        section.panel {
            h2 { (visit.t(words::USER_CHANGE)) }
            form method="post" action=(path_of(&user.user)) {
                (visit.token_field())
                input type="hidden" name="tag" value=(tag);
                (role_field(visit, user.role))
                (unit_field(visit, units, user.ou.as_deref().unwrap_or_default()))
                label.inline {
                    input type="checkbox" name="enabled" value="1" checked[user.state != UserState::Disabled];
                    (visit.t(words::USER_ENABLED))
                }
                p.hint { (visit.t(words::USER_CHANGE_HINT)) }
                p.buttons { button { (visit.t(words::USER_SAVE)) } }
            }
        }
    }
}

fn acts(visit: &Visit, user: &UserView) -> Markup {
    let path = path_of(&user.user);
    html! {
        section.panel {
            h2 { (visit.t(words::ACTS)) }
            p { (visit.t(words::USER_RESET_HINT)) }
            div.buttons {
                a.button href={ (path) "/reset" } { (visit.t(words::USER_RESET)) }
                a.button.danger href={ (path) "/delete" } { (visit.t(words::DELETE)) }
            }
        }
    }
}

fn session_table(visit: &Visit, user: &UserView, sessions: &[UserSessionView]) -> Markup {
    let columns =
        [words::USER_SESSION_BEGUN, words::USER_SESSION_SEEN, words::USER_SESSION_ENDS, words::ACTS];
    let labels = columns.map(|word| visit.t(word));
    html! {
        h2 { (visit.t(words::USER_SESSIONS)) }
        @if sessions.is_empty() { p.soft { (visit.t(words::USER_SESSIONS_NONE)) } }
        @else {
            div.scroll {
                table.rows {
                    thead { tr { @for label in labels { th { (label) } } } }
                    tbody {
                        @for session in sessions.iter().take(SESSIONS_MAX) {
                            tr data-row {
                                td data-label=(labels[0]) {
                                    (visit.time(session.begun_at))
                                    @if session.own { " · " b { (visit.t(words::USER_SESSION_OWN)) } }
                                }
                                td data-label=(labels[1]) { (visit.time(session.seen_at)) }
                                td data-label=(labels[2]) { (visit.time(session.ends_at)) }
                                td data-label=(labels[3]) { (end_button(visit, user, session)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn end_button(visit: &Visit, user: &UserView, session: &UserSessionView) -> Markup {
    html! {
        form.inline method="post" action={ (path_of(&user.user)) "/end" } {
            (visit.token_field())
            input type="hidden" name="session" value=(session.id);
            button.quiet { (visit.t(words::USER_SESSION_END)) }
        }
    }
}

async fn update(visit: Visit, Path(name): Path<String>, mut form: Sent) -> Shown {
    visit.require(Needs::AdministerAll)?;
    let [role, ou, enabled, tag] = ["role", "ou", "enabled", "tag"].map(|name| form.text(name));
    let update = UserUpdate {
        role: Some(role_of(&role)),
        ou: Some(Some(ou).filter(|ou| !ou.is_empty())),
        enabled: Some(enabled == "1"),
    };
    let path = api_path(&name);
    match visit.act::<UserView>(Act::new(Method::PATCH, &path).if_match(&tag), &update).await {
        Ok(user) => Ok(see_other(&path_of(&user.user))),
        Err(Trouble(problem)) if problem.status == 404 => Err(Trouble(problem)),
        Err(Trouble(problem)) => page(&visit, &name, Some(&*problem)).await,
    }
}

async fn end(visit: Visit, Path(name): Path<String>, mut form: Sent) -> Shown {
    let path = format!("{}/sessions/{}", api_path(&name), path_part(&form.text("session")));
    let _: UserSessionView = visit.act(Act::new(Method::DELETE, &path), &()).await?;
    Ok(see_other(&path_of(&name)))
}

/// What is asked before something is done that is not undone by a click.
struct Question {
    /// The end of its path.
    end: &'static str,
    does: Word,
    button: Word,
}

const RESET: Question = Question { end: "/reset", does: words::USER_DOES_RESET, button: words::USER_RESET };
const DELETE: Question = Question { end: "/delete", does: words::USER_DOES_DELETE, button: words::DELETE };

async fn ask(visit: &Visit, name: &str, question: &Question, wrong: bool) -> Shown {
    visit.require(Needs::AdministerAll)?;
    let user: UserView = visit.read(&api_path(name)).await?;
    let (path, said) = (path_of(&user.user), wrong.then(|| visit.not_confirmed(&user.user)));
    let confirm = Confirm {
        action: &format!("{path}{}", question.end),
        does: &visit.say(question.does, &[("user", &user.user)]),
        name: &user.user,
        button: question.button,
        back: &path,
        fields: visit.once_field(),
        said: said.as_deref(),
    };
    let content = html! { (head(visit, &user)) section.panel { (visit.confirm(&confirm)) } };
    Ok(visit.page_with_heading(sheet(&user).with_status(if wrong { 422 } else { 200 }), &content))
}

async fn ask_reset(visit: Visit, Path(name): Path<String>) -> Shown {
    ask(&visit, &name, &RESET, false).await
}

async fn ask_delete(visit: Visit, Path(name): Path<String>) -> Shown {
    ask(&visit, &name, &DELETE, false).await
}

async fn reset(visit: Visit, headers: HeaderMap, Path(name): Path<String>, mut form: Sent) -> Shown {
    if form.text(TYPED) != name {
        return ask(&visit, &name, &RESET, true).await;
    }
    let (path, once) = (format!("{}:reset", api_path(&name)), form.text(ONCE));
    let invited: UserInvited = visit.act(Act::new(Method::POST, &path).once(&once).secret(), &()).await?;
    Ok(link_page(&visit, &headers, &invited, words::USER_WAS_RESET))
}

async fn delete(visit: Visit, Path(name): Path<String>, mut form: Sent) -> Shown {
    if form.text(TYPED) != name {
        return ask(&visit, &name, &DELETE, true).await;
    }
    let _: Option<UserView> = visit.act(Act::new(Method::DELETE, &api_path(&name)), &()).await?;
    Ok(see_other(PATH))
}
