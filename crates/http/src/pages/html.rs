//! The pages as HTML.

use axum::{
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use narrowgate_platform::{
    model::access::Caller,
    rules::passwords::PASSWORD_CHARACTERS_MIN,
    service::{form_token, path_part},
};

use super::{Logins, SendsForms, provider::BEGIN};
use crate::{
    console::{HOME, way_back},
    page::{document, escape},
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
        body += &format!("<p><a href=\"{site}{BEGIN}{query}\">Log in with {name}</a></p>\n");
    }
    if logins.passwords {
        let next = match next {
            "" => String::new(),
            next => format!("<input type=\"hidden\" name=\"{NEXT}\" value=\"{}\">\n", escape(next)),
        };
        body += &format!(
            "<form method=\"post\" action=\"/login\">\n{next}\
             <p><label>User name <input name=\"user\" value=\"{name}\" autocomplete=\"username\" \
             autocapitalize=\"none\" spellcheck=\"false\" required></label></p>\n\
             <p><label>Password <input type=\"password\" name=\"password\" autocomplete=\"current-password\" \
             required></label></p>\n\
             <p><button>Log in</button></p>\n</form>\n"
        );
    }
    page(status, "Log in", &body)
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
    let role = format!("{:?}", caller.role()).to_lowercase();
    let unit = caller.unit().map_or("all organisation units".to_owned(), |ou| format!("unit {}", escape(ou)));
    let token = form_token(session);
    let token = format!("<input type=\"hidden\" name=\"csrf\" value=\"{}\">\n", token.expose());
    let said = if status.is_success() { notice(said) } else { alert(said) };
    let mut body = format!(
        "{said}<p>You are logged in as <b>{name}</b>, {role} of {unit}.</p>\n\
         <p><a href=\"{HOME}\">Open the console</a></p>\n\
         <form method=\"post\" action=\"/logout\">\n{token}<p><button>Log out</button> \
         <button name=\"everywhere\" value=\"yes\" class=\"second\">Log out everywhere</button></p>\n\
         <p class=\"hint\">Everywhere: in each browser in which you are logged in, also in this one.</p>\n\
         </form>\n"
    );
    if has_password {
        let fields = new_password_fields();
        body += &format!(
            "<h2>Change the password</h2>\n\
             <p class=\"hint\">You are logged out in all other browsers by that.</p>\n\
             <form method=\"post\" action=\"/password\">\n{token}\
             <input name=\"user\" value=\"{name}\" autocomplete=\"username\" readonly hidden>\n\
             <p><label>Present password <input type=\"password\" name=\"old\" \
             autocomplete=\"current-password\" required></label></p>\n\
             {fields}<p><button>Change the password</button></p>\n</form>\n"
        );
    }
    page(status, "Your account", &body)
}

/// The new password, twice.
fn new_password_fields() -> String {
    let field = |label: &str, name: &str| {
        format!(
            "<p><label>{label} <input type=\"password\" name=\"{name}\" autocomplete=\"new-password\" \
             minlength=\"{PASSWORD_CHARACTERS_MIN}\" required></label></p>\n"
        )
    };
    field("New password", "password") + &field("New password, again", "again")
}

pub(super) fn password_page(status: StatusCode, said: Option<&str>, user: &str) -> Response {
    let (alert, user, fields) = (alert(said), escape(user), new_password_fields());
    let body = format!(
        "{alert}<p>For the user <b>{user}</b>: at least {PASSWORD_CHARACTERS_MIN} characters, and not one \
         that many others have. A few words that do not belong together are good.</p>\n\
         <form method=\"post\">\n\
         <input name=\"user\" value=\"{user}\" autocomplete=\"username\" readonly hidden>\n\
         {fields}<p><button>Set the password</button></p>\n</form>\n"
    );
    page(status, "Set a password", &body)
}

fn notice(said: Option<&str>) -> String {
    said.map(|said| format!("<p role=\"status\">{}</p>\n", escape(said))).unwrap_or_default()
}

pub(super) fn alert(said: Option<&str>) -> String {
    said.map(|said| format!("<p role=\"alert\">{}</p>\n", escape(said))).unwrap_or_default()
}

pub(super) fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let body = format!(
        "<header>narrowgate</header>\n<h1>{title}</h1>\n{body}\
         <footer><a href=\"/\">About this server</a></footer>\n"
    );
    let html = document(&format!("{title} · narrowgate"), &body);
    let mut response = (status, Html(html)).into_response();
    response.extensions_mut().insert(SendsForms);
    response
}
