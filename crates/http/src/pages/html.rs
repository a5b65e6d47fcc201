//! The pages as HTML.

use axum::{
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use narrowgate_api::access::Role;
use narrowgate_platform::{
    model::access::Caller,
    rules::passwords::PASSWORD_CHARACTERS_MIN,
    service::{form_token, path_part},
};

use super::{
    Logins, SendsForms,
    language::{language, say, t},
    provider::BEGIN,
};
use crate::{
    console::{HOME, Language, way_back, words},
    page::{document_in, escape},
};

/// The field with the page to which somebody goes who has logged in.
pub(super) const NEXT: &str = "next";

/// By a password, by the identity provider, or by either.
pub(super) fn login_page(
    status: StatusCode,
    (said, name, next): (Option<&str>, &str, &str),
    logins: &Logins,
) -> Response {
    let (mut body, name) = (alert(said), escape(name));
    // Another place than one of the console is forgotten.
    let next = way_back(next).unwrap_or_default();
    if let Some(provider) = &logins.provider {
        // A link: a form that is answered with a way to another server is stopped by `form-action`.
        // To the site that the provider knows: the cookie of the login must be one of that host.
        let (site, name) = (escape(provider.site()), escape(provider.name()));
        let query = if next.is_empty() { String::new() } else { format!("?{NEXT}={}", path_part(next)) };
        let by = say(words::LOGIN_BY, &[("name", &name)]);
        body += &format!("<p><a href=\"{site}{BEGIN}{query}\">{by}</a></p>\n");
    }
    if logins.passwords {
        let next = match next {
            "" => String::new(),
            next => format!("<input type=\"hidden\" name=\"{NEXT}\" value=\"{}\">\n", escape(next)),
        };
        let [user, password, log_in] = [words::LOGIN_USER, words::LOGIN_PASSWORD, words::LOGIN_TITLE].map(t);
        body += &format!(
            "<form method=\"post\" action=\"/login\">\n{next}\
             <p><label>{user} <input name=\"user\" value=\"{name}\" autocomplete=\"username\" \
             autocapitalize=\"none\" spellcheck=\"false\" required></label></p>\n\
             <p><label>{password} <input type=\"password\" name=\"password\" \
             autocomplete=\"current-password\" required></label></p>\n\
             <p><button>{log_in}</button></p>\n</form>\n"
        );
    }
    body += &other_languages(next);
    page(status, t(words::LOGIN_TITLE), &body)
}

/// A button for each language that it is not. The page that is wanted stays so.
fn other_languages(next: &str) -> String {
    let back = match next {
        "" => "/login".to_owned(),
        next => format!("/login?{NEXT}={}", path_part(next)),
    };
    let others = Language::ALL.into_iter().filter(|(other, ..)| *other != language());
    let button = |(other, tag, name): (Language, &str, words::Word)| {
        let (lang, name) = (other.tag(), t(name));
        format!(
            "<form method=\"post\" action=\"/console/preferences\">\n\
             <input type=\"hidden\" name=\"back\" value=\"{back}\">\n\
             <p><button class=\"second\" name=\"language\" value=\"{tag}\" \
             lang=\"{lang}\">{name}</button></p>\n\
             </form>\n"
        )
    };
    others.map(button).collect()
}

/// The way on from a page that says what is wrong.
pub(super) fn log_in_link() -> String {
    format!("<p><a href=\"/login\">{}</a></p>\n", t(words::LOGIN_TITLE))
}

pub(super) fn account_page(
    status: StatusCode,
    said: Option<&str>,
    (caller, session, has_password): (&Caller, &str, bool),
) -> Response {
    let name = match caller {
        Caller::User { name, .. } | Caller::Token { name, .. } => escape(name),
        Caller::Owner => "owner".to_owned(),
    };
    let role = t(match caller.role() {
        Role::Viewer => words::ROLE_VIEWER,
        Role::Operator => words::ROLE_OPERATOR,
        Role::Administrator => words::ROLE_ADMINISTRATOR,
    });
    let unit = match caller.unit() {
        Some(ou) => say(words::OF_UNIT, &[("ou", &escape(ou))]),
        None => t(words::OF_ALL_UNITS).to_owned(),
    };
    let who =
        say(words::ACCOUNT_WHO, &[("name", &format!("<b>{name}</b>")), ("role", role), ("unit", &unit)]);
    let [console, log_out, everywhere, hint] =
        [words::ACCOUNT_CONSOLE, words::LOG_OUT, words::ACCOUNT_EVERYWHERE, words::ACCOUNT_EVERYWHERE_HINT]
            .map(t);
    let token = form_token(session);
    let token = format!("<input type=\"hidden\" name=\"csrf\" value=\"{}\">\n", token.expose());
    let said = if status.is_success() { notice(said) } else { alert(said) };
    let mut body = format!(
        "{said}<p>{who}</p>\n\
         <p><a class=\"button\" href=\"{HOME}\">{console}</a></p>\n\
         <form method=\"post\" action=\"/logout\">\n{token}<p><button class=\"second\">{log_out}</button> \
         <button name=\"everywhere\" value=\"yes\" class=\"second\">{everywhere}</button></p>\n\
         <p class=\"hint\">{hint}</p>\n\
         </form>\n"
    );
    if has_password {
        let fields = new_password_fields();
        let [change, hint, present] =
            [words::PASSWORD_CHANGE, words::PASSWORD_CHANGE_HINT, words::PASSWORD_PRESENT].map(t);
        body += &format!(
            "<h2>{change}</h2>\n\
             <p class=\"hint\">{hint}</p>\n\
             <form method=\"post\" action=\"/password\">\n{token}\
             <input name=\"user\" value=\"{name}\" autocomplete=\"username\" readonly hidden>\n\
             <p><label>{present} <input type=\"password\" name=\"old\" \
             autocomplete=\"current-password\" required></label></p>\n\
             {fields}<p><button>{change}</button></p>\n</form>\n"
        );
    }
    page(status, t(words::ACCOUNT_TITLE), &body)
}

/// The new password, twice.
fn new_password_fields() -> String {
    let field = |label: &str, name: &str| {
        format!(
            "<p><label>{label} <input type=\"password\" name=\"{name}\" autocomplete=\"new-password\" \
             minlength=\"{PASSWORD_CHARACTERS_MIN}\" required></label></p>\n"
        )
    };
    field(t(words::PASSWORD_NEW), "password") + &field(t(words::PASSWORD_AGAIN), "again")
}

pub(super) fn password_page(status: StatusCode, said: Option<&str>, user: &str) -> Response {
    let (alert, user, fields) = (alert(said), escape(user), new_password_fields());
    let (name, least) = (format!("<b>{user}</b>"), PASSWORD_CHARACTERS_MIN.to_string());
    let text = say(words::PASSWORD_SET_TEXT, &[("name", &name), ("n", &least)]);
    let set = t(words::PASSWORD_SET);
    let body = format!(
        "{alert}<p>{text}</p>\n\
         <form method=\"post\">\n\
         <input name=\"user\" value=\"{user}\" autocomplete=\"username\" readonly hidden>\n\
         {fields}<p><button>{set}</button></p>\n</form>\n"
    );
    page(status, t(words::PASSWORD_SET_TITLE), &body)
}

fn notice(said: Option<&str>) -> String {
    said.map(|said| format!("<p role=\"status\">{}</p>\n", escape(said))).unwrap_or_default()
}

pub(super) fn alert(said: Option<&str>) -> String {
    said.map(|said| format!("<p role=\"alert\">{}</p>\n", escape(said))).unwrap_or_default()
}

pub(super) fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let about = t(words::ABOUT_SERVER);
    let body = format!(
        "<header>narrowgate</header>\n<h1>{title}</h1>\n{body}\
         <footer><a href=\"/\">{about}</a></footer>\n"
    );
    let html = document_in(language().tag(), &format!("{title} · narrowgate"), &body);
    let mut response = (status, Html(html)).into_response();
    response.extensions_mut().insert(SendsForms);
    response
}
