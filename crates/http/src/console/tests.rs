//! The pages of the console as a browser opens them.

mod access;
mod audit;
mod catalogue;
mod device;
mod devices;
mod firmware;
mod frame;
mod import;
mod model;
mod products;
mod script;
mod system;
mod traffic;
mod users;

use axum::http::{Method, header};
use narrowgate_api::access::Role;

use crate::{
    browser::SESSION,
    document::world::{World, world},
    pages::tests::{Answer, Browser},
};

/// A browser in which a new user has logged in.
async fn visitor<'a>(world: &'a World, name: &str, role: Role, ou: Option<&str>) -> Browser<'a> {
    let mut browser = Browser::new(world);
    browser.cookies.insert(SESSION.to_owned(), world.session(name, role, ou).await);
    browser
}

/// A page that is there, and its text.
async fn opened(browser: &mut Browser<'_>, path: &str) -> String {
    let answer = browser.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    is_sound(&answer, path);
    answer.body
}

/// The form of a page of the console, sent with its token.
async fn sent(browser: &mut Browser<'_>, path: &str, fields: &str) -> Answer {
    let token = browser.get("/console/keys").await.form_token();
    let answer = browser.post(path, &format!("csrf={token}&{fields}")).await;
    if answer.status != 303 {
        is_sound(&answer, path);
    }
    answer
}

/// What holds of every page: its headers, what it loads, how large it is, and that it is HTML whose elements
/// are closed.
fn is_sound(answer: &Answer, path: &str) {
    let said = |name: header::HeaderName| answer.headers.get(name).and_then(|value| value.to_str().ok());
    let policy = said(header::CONTENT_SECURITY_POLICY).expect("it has one");
    for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'self'"] {
        assert!(policy.contains(part), "{path}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{path}: {policy}");
    assert_eq!(said(header::CACHE_CONTROL), Some("no-store"), "{path}");
    assert_eq!(said(header::CONTENT_TYPE), Some("text/html; charset=utf-8"), "{path}");
    let body = &answer.body;
    keep(path, body);
    assert!(body.len() < 100_000, "{path} has {} bytes", body.len());
    for wrong in ["<style", " style=", "onclick", "onload", "javascript:", "http://", "https://", "<img"] {
        assert!(!body.contains(wrong), "{wrong} in {path}");
    }
    assert_eq!(body.matches("<script").count(), 1, "{path}: our module alone");
    assert_eq!(body.matches("<h1").count(), 1, "{path}");
    for element in ["div", "section", "table", "form", "p", "ul", "li", "main", "tr", "td", "th", "a", "span"]
    {
        let opened = body.matches(&format!("<{element}>")).count();
        let opened = opened + body.matches(&format!("<{element} ")).count();
        assert_eq!(opened, body.matches(&format!("</{element}>")).count(), "{path}: {element}");
    }
    assert!(!body.contains("<p></p>"), "{path}: a paragraph that says nothing: {body}");
    // A browser ends a paragraph where a form begins.
    let paragraphs = body.split("<p").skip(1).filter_map(|rest| rest.split("</p>").next());
    for paragraph in paragraphs.filter(|rest| rest.starts_with(['>', ' '])) {
        assert!(!paragraph.contains("<form") && !paragraph.contains("<div"), "{path}: {paragraph}");
    }
    for form in body.split("<form").skip(1).filter_map(|form| form.split("</form>").next()) {
        let has_token = !form.contains("method=\"post\"")
            || form.contains("name=\"csrf\"")
            || form.contains("/console/preferences");
        assert!(has_token, "{path}: a form without the token of its session: {form}");
    }
}

/// Puts a page into the folder `NARROWGATE_PAGES`, where somebody wants to look at it.
fn keep(path: &str, body: &str) {
    let Some(folder) = std::env::var_os("NARROWGATE_PAGES") else { return };
    let name = path.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
    let file = std::path::Path::new(&folder).join(name + ".html");
    std::fs::write(file, body).expect("the folder is there");
}
