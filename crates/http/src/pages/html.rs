//! The pages as HTML.

use axum::{
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use narrowgate_platform::{
    model::access::Caller, rules::passwords::PASSWORD_CHARACTERS_MIN, service::form_token,
};

use super::SendsForms;
use crate::page::escape;

pub(super) fn login_page(status: StatusCode, said: Option<&str>, name: &str) -> Response {
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

pub(super) fn account_page(
    status: StatusCode,
    said: Option<&str>,
    (caller, session): (&Caller, &str),
) -> Response {
    let name = match caller {
        Caller::User { name, .. } | Caller::Token { name, .. } => escape(name),
        Caller::Owner => "owner".to_owned(),
    };
    let role = format!("{:?}", caller.role()).to_lowercase();
    let unit = caller.unit().map_or("all organisation units".to_owned(), |ou| format!("unit {}", escape(ou)));
    let token = form_token(session);
    let token = format!("<input type=\"hidden\" name=\"csrf\" value=\"{}\">\n", token.expose());
    let (alert, fields) = (alert(said), new_password_fields());
    let body = format!(
        "{alert}<p>You are logged in as <b>{name}</b>, {role} of {unit}.</p>\n\
         <form method=\"post\" action=\"/logout\">\n{token}<p><button>Log out</button> \
         <button name=\"everywhere\" value=\"yes\">Log out everywhere</button></p>\n</form>\n\
         <h2>Change the password</h2>\n<form method=\"post\" action=\"/password\">\n{token}\
         <input type=\"hidden\" name=\"user\" value=\"{name}\" autocomplete=\"username\">\n\
         <p><label>Present password <input type=\"password\" name=\"old\" \
         autocomplete=\"current-password\" required></label></p>\n\
         {fields}<p><button>Change the password</button></p>\n</form>\n"
    );
    page(status, "narrowgate", &body)
}

/// The new password, twice.
fn new_password_fields() -> String {
    let field = |label: &str, name: &str| {
        format!(
            "<p><label>{label} <input type=\"password\" name=\"{name}\" autocomplete=\"new-password\" \
             minlength=\"{PASSWORD_CHARACTERS_MIN}\" required></label></p>\n"
        )
    };
    field("New password", "password") + &field("The same again", "again")
}

pub(super) fn password_page(status: StatusCode, said: Option<&str>, user: &str) -> Response {
    let (alert, user, fields) = (alert(said), escape(user), new_password_fields());
    let body = format!(
        "{alert}<p>The password of <b>{user}</b>: at least {PASSWORD_CHARACTERS_MIN} characters, and not \
         one that many others have.</p>\n<form method=\"post\">\n\
         <input type=\"hidden\" name=\"user\" value=\"{user}\" autocomplete=\"username\">\n\
         {fields}<p><button>Set the password</button></p>\n</form>\n"
    );
    page(status, "Set a password", &body)
}

pub(super) fn alert(said: Option<&str>) -> String {
    said.map(|said| format!("<p role=\"alert\">{}</p>\n", escape(said))).unwrap_or_default()
}

pub(super) fn page(status: StatusCode, title: &str, body: &str) -> Response {
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
