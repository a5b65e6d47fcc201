//! The pages as a browser opens them, and what a user's cookie is good for.

mod audit;
mod guests;
mod look;
mod own;
mod provider;

use std::{collections::BTreeMap, net::IpAddr};

use axum::{
    body::{Body, to_bytes},
    http::Method,
};
use narrowgate_api::{access::Role, user::UserUpdate};
use narrowgate_platform::service::FirstUser;
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::{
    browser::FORM_TOKEN,
    document::world::{World, world},
    page::{STYLE, STYLE_LINK, STYLE_PATH},
    places::{ALONE, Places, PlacesMax},
    throttle::{FRESH, OF_NAME, OF_SOURCE},
};

const PASSWORD: &str = "correct horse battery";
const FORM: &str = "application/x-www-form-urlencoded";

/// A browser with its cookies, at an address.
pub(crate) struct Browser<'a> {
    world: &'a World,
    address: &'static str,
    pub(crate) cookies: BTreeMap<String, String>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("it is JSON")
    }

    /// The value of the hidden field of a form.
    pub(crate) fn form_token(&self) -> String {
        let (_, rest) = self.body.split_once("name=\"csrf\" value=\"").expect("there is a form to log out");
        rest.split_once('"').expect("it ends").0.to_owned()
    }
}

impl<'a> Browser<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        Self { world, address: "192.0.2.1", cookies: BTreeMap::new() }
    }

    fn at(address: &'static str, world: &'a World) -> Self {
        Self { address, ..Self::new(world) }
    }

    /// Sends a request with its cookies, and keeps those that it is given.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        more: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "gate:8080");
        for (name, value) in &self.cookies {
            request = request.header(header::COOKIE, format!("{name}={value}"));
        }
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body.to_owned())).expect("it is a request");
        let address: IpAddr = self.address.parse().expect("it is an address");
        request.extensions_mut().insert(Peer(address));
        let response = self.world.router.clone().oneshot(request).await.expect("it answers");
        let (parts, body) = response.into_parts();
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().expect("it is ASCII");
            assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
            let (pair, attributes) = cookie.split_once("; ").expect("it has attributes");
            let (name, value) = pair.split_once('=').expect("it has a value");
            if attributes.starts_with("Max-Age=0;") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let body = to_bytes(body, 1 << 20).await.expect("it ends");
        let body = String::from_utf8(body.to_vec()).expect("it is text");
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    /// Sends a form of a page of this server.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> Answer {
        let more = [("origin", "http://gate:8080"), ("content-type", FORM)];
        self.send(Method::POST, path, &more, body).await
    }

    async fn log_in(&mut self, name: &str, password: &str) -> Answer {
        let body = format!("user={name}&password={}", password.replace(' ', "+"));
        self.post("/login", &body).await
    }
}

/// The path of the link of a new user.
async fn invited(world: &World, name: &str, role: Role) -> String {
    let new = narrowgate_api::user::NewUser { user: name.to_owned(), role, ou: None };
    world.operator.create_user(new).await.expect("it is new").link.into_text()
}

/// A user with [`PASSWORD`].
async fn active(world: &World, name: &str, role: Role) {
    let path = invited(world, name, role).await;
    let body = format!("password={0}&again={0}", PASSWORD.replace(' ', "+"));
    let set = Browser::at("192.0.2.99", world).post(&path, &body).await;
    assert_eq!(set.status, 303, "{}", set.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_link_sets_a_password_once_and_logs_in() {
    let world = world(None).await;
    let first = world.operator.invite_first(false).await.expect("the store works");
    let FirstUser::Invited(first) = first else { panic!("{first:?}: there is nobody") };
    let (path, mut browser) = (first.link.expose(), Browser::new(&world));
    let shown = browser.get(path).await;
    assert!(shown.status == 200 && shown.body.contains("<b>admin</b>"), "{}", shown.body);
    for (body, status, said) in [
        ("password=correct+horse&again=correct+house", 422, "The two passwords are not the same."),
        ("password=elf+Zeichen&again=elf+Zeichen", 422, "The password has fewer than 12 characters."),
        ("password=%ff&again=%ff", 400, "The form cannot be read."),
        ("", 422, "The password has fewer than 12 characters."),
        ("password=password1234&again=password1234", 422, "The password is among those that are guessed"),
    ] {
        let refused = browser.post(path, body).await;
        assert_eq!(refused.status, status, "{body}");
        assert!(refused.body.contains(said), "{}", refused.body);
        assert!(browser.cookies.is_empty());
    }
    let body = "password=correct+horse+battery&again=correct+horse+battery";
    let set = browser.post(path, body).await;
    assert_eq!((set.status, set.headers[header::LOCATION].to_str().ok()), (303, Some("/console")));
    let page = browser.get("/login").await;
    assert!(page.body.contains("<b>admin</b>, administrator of all organisation units"), "{}", page.body);
    let me = browser.get("/api/v1/me").await;
    assert_eq!(me.json(), serde_json::json!({"user": "admin", "role": "administrator", "ou": null}));
    assert_eq!(me.headers[FORM_TOKEN].to_str().ok(), Some(&*page.form_token()));
    assert_eq!((browser.get(path).await.status, browser.post(path, body).await.status), (404, 404));
    assert_eq!(Browser::new(&world).log_in("admin", PASSWORD).await.status, 303);
    let none = world.operator.invite_first(true).await.expect("the store works");
    assert!(matches!(none, FirstUser::NotNeeded));
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_178_a_change_that_another_site_causes_is_refused() {
    let world = world(None).await;
    active(&world, "ann", Role::Administrator).await;
    let mut ann = Browser::new(&world);
    ann.log_in("ann", PASSWORD).await;
    let token = ann.get("/api/v1/me").await.headers[FORM_TOKEN].to_str().expect("it is ASCII").to_owned();
    let (own, json) = (("origin", "http://gate:8080"), ("content-type", "application/json"));
    let with = ("x-csrf-token", &*token);
    let (path, body) = ("/api/v1/products", r#"{"name":"n","productKey":"pk-ann"}"#);
    for more in [
        &[json][..],
        &[json, own],
        &[json, with],
        &[json, ("origin", "null"), with],
        &[json, ("origin", "http://evil.example"), with],
        &[json, ("origin", "http://gate:8080.evil.example"), with],
        &[json, own, ("x-csrf-token", "0")],
    ] {
        let refused = ann.send(Method::POST, path, more, body).await;
        assert_eq!((refused.status, &refused.json()["code"]), (403, &"forbidden".into()), "{more:?}");
    }
    for method in [Method::PATCH, Method::DELETE] {
        let path = "/api/v1/products/pk-1";
        assert_eq!(ann.send(method, path, &[json, own], "{}").await.status, 403);
    }
    assert_eq!(ann.send(Method::POST, path, &[json, own, with], body).await.status, 201);
    // The forms: to log in as somebody else, and to log out.
    let foreign = [("origin", "http://evil.example"), ("content-type", FORM)];
    let body = "user=ann&password=correct+horse+battery";
    assert_eq!(Browser::new(&world).send(Method::POST, "/login", &foreign, body).await.status, 403);
    let logout = format!("csrf={token}");
    assert_eq!(ann.send(Method::POST, "/logout", &foreign, &logout).await.status, 403);
    assert_eq!(ann.post("/logout", "csrf=0").await.status, 403);
    assert_eq!(ann.get("/api/v1/me").await.status, 200);
    // A program's token needs neither, whatever cookie goes with it.
    let bearer = format!("Bearer {}", world.token("ci", Role::Administrator, None).await);
    let more = [json, ("authorization", &*bearer)];
    let made = ann.send(Method::POST, path, &more, r#"{"name":"n","productKey":"pk-ci"}"#).await;
    assert_eq!(made.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_by_logging_out_by_a_change_of_the_user_and_in_time() {
    let world = world(None).await;
    active(&world, "ann", Role::Operator).await;
    let mut ann = Browser::new(&world);
    let logged_in = async |ann: &mut Browser<'_>| {
        assert_eq!(ann.log_in("ann", PASSWORD).await.status, 303);
        assert_eq!(ann.get("/api/v1/me").await.json()["role"], "operator");
    };
    logged_in(&mut ann).await;
    let kept = ann.cookies.clone();
    let token = ann.get("/login").await.form_token();
    let out = ann.post("/logout", &format!("csrf={token}")).await;
    assert_eq!((out.status, ann.cookies.contains_key(SESSION)), (303, false));
    ann.cookies = kept;
    assert_eq!(ann.get("/api/v1/me").await.status, 401, "the server has ended it, not the browser alone");
    assert!(ann.get("/login").await.body.contains("<form method=\"post\" action=\"/login\">"));
    logged_in(&mut ann).await;
    let before = ann.cookies.clone();
    logged_in(&mut ann).await;
    let mut again = Browser { cookies: before, ..Browser::new(&world) };
    assert_eq!(again.get("/api/v1/me").await.status, 401, "the same browser has logged in again");
    for update in [
        UserUpdate { role: Some(Role::Operator), ..UserUpdate::default() },
        UserUpdate { enabled: Some(true), ..UserUpdate::default() },
    ] {
        world.operator.update_user("ann", update).await.expect("it is there");
        assert_eq!(ann.get("/api/v1/me").await.status, 401);
        logged_in(&mut ann).await;
    }
    world.clock.advance_ms(12 * 3_600_000);
    assert_eq!(ann.get("/api/v1/me").await.status, 401);
    logged_in(&mut ann).await;
    world.operator.delete_user("ann").await.expect("it is there");
    assert_eq!(ann.get("/api/v1/me").await.status, 401);
    assert_eq!(ann.log_in("ann", PASSWORD).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_179_every_page_has_its_headers_and_loads_its_style_alone() {
    let world = world(None).await;
    active(&world, "ann", Role::Viewer).await;
    let (mut stranger, mut ann) = (Browser::at("192.0.2.2", &world), Browser::new(&world));
    let link = invited(&world, "bob", Role::Viewer).await;
    ann.log_in("ann", PASSWORD).await;
    for answer in [
        stranger.get("/").await,
        stranger.get("/login").await,
        ann.get("/login").await,
        stranger.get(&link).await,
        stranger.get("/password/none").await,
        stranger.log_in("ann", "wrong").await,
        stranger.post("/login", "%ff").await,
        stranger.send(Method::POST, "/login", &[], "").await,
        stranger.get("/login/").await,
        stranger.get("/password/..%2f..%2fetc%2fpasswd").await,
    ] {
        let said = |name| answer.headers.get(&name).and_then(|value: &HeaderValue| value.to_str().ok());
        let policy = said(header::CONTENT_SECURITY_POLICY).expect("it has one");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert_eq!(said(header::X_CONTENT_TYPE_OPTIONS), Some("nosniff"));
        assert_eq!(said(header::X_FRAME_OPTIONS), Some("DENY"));
        assert_eq!(said(header::CACHE_CONTROL), Some("no-store"));
        let body = answer.body.replace(STYLE_LINK, "");
        for loads in
            ["<script", "<style", "style=", "<img", "<link", "src=", "onclick", "http://", "https://"]
        {
            assert!(!body.contains(loads), "{loads} in {body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_181_a_name_that_is_unknown_gets_the_answer_of_a_wrong_password() {
    let world = world(None).await;
    active(&world, "ann", Role::Viewer).await;
    let mut answers = Vec::new();
    for (address, name) in [("192.0.2.3", "ann"), ("192.0.2.4", "eve")] {
        let (before, mut browser) = (world.passwords.asked(), Browser::at(address, &world));
        let refused = browser.log_in(name, "incorrect horse").await;
        assert_eq!((refused.status, world.passwords.asked() - before), (403, 1), "{name}");
        let mut headers = refused.headers;
        headers.remove("x-request-id");
        answers.push((headers, refused.body.replace(name, "NAME")));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(world.operator.list_users().await.expect("it reads").items.len(), 1);
}

/// Wrong tries that pass while a test runs, beside those that pass at once.
const MEANWHILE_MAX: u32 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn attack_181_ten_thousand_logins_of_one_network_are_limited() {
    let world = world(None).await;
    active(&world, "ann", Role::Viewer).await;
    let (before, mut stranger) = (world.passwords.asked(), Browser::at("2001:db8::1", &world));
    let mut statuses = BTreeMap::new();
    for number in 0..10_000 {
        let refused = stranger.log_in(&format!("user{}", number % 100), "incorrect horse").await;
        *statuses.entry(refused.status).or_insert(0) += 1;
        if refused.status == 429 {
            let wait = refused.headers[header::RETRY_AFTER].to_str().expect("it is ASCII").parse();
            assert!(wait.is_ok_and(|wait: u32| (1..=11).contains(&wait)));
        }
    }
    assert!(world.passwords.asked() - before <= OF_SOURCE.burst + MEANWHILE_MAX, "{statuses:?}");
    assert_eq!(statuses.values().sum::<u32>(), 10_000);
    assert!(statuses.len() == 2 && statuses[&403] <= OF_SOURCE.burst + MEANWHILE_MAX, "{statuses:?}");
    let neighbour = Browser::at("2001:db8::ffff:2", &world).log_in("ann", PASSWORD).await;
    assert_eq!(neighbour.status, 429, "it is the same network");
    assert_eq!(Browser::at("2001:db8:0:1::1", &world).log_in("ann", PASSWORD).await.status, 303);
    let text = Browser::new(&world).get("/metrics").await.body;
    assert!(text.contains("narrowgate_http_logins_failed_total "), "{text}");
    assert!(!text.contains("narrowgate_http_logins_held_back_total 0\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_181_many_networks_keep_nobody_out_of_a_known_browser_or_a_new_link() {
    let world = world(None).await;
    active(&world, "ann", Role::Viewer).await;
    let mut known = Browser::at("192.0.2.7", &world);
    assert_eq!(known.log_in("ann", PASSWORD).await.status, 303);
    known.cookies.remove(SESSION);
    for (name, addresses) in [
        ("ann", ["198.51.100.1", "198.51.100.2", "192.0.2.3", "198.18.0.4", "198.18.1.5"]),
        ("nobody", ["198.51.100.11", "198.51.100.12", "192.0.2.13", "198.18.0.14", "198.18.1.15"]),
    ] {
        let before = world.passwords.asked();
        for address in addresses {
            for _ in 0..20 {
                Browser::at(address, &world).log_in(name, "incorrect horse").await;
            }
        }
        let tried = OF_NAME.burst + 4 * FRESH.burst;
        assert!(world.passwords.asked() - before <= tried + MEANWHILE_MAX, "{name}");
        let refused = Browser::at("198.18.1.6", &world).log_in(name, PASSWORD).await;
        assert_eq!(refused.status, 429, "{name}");
    }
    assert_eq!(Browser::at("203.0.113.1", &world).log_in("ann", PASSWORD).await.status, 303, "elsewhere");
    assert_eq!(known.log_in("ann", PASSWORD).await.status, 303);
    let link = world.operator.reset_user("ann").await.expect("it is there").link;
    let body = "password=battery+horse+correct&again=battery+horse+correct";
    assert_eq!(Browser::at("203.0.113.1", &world).post(link.expose(), body).await.status, 303);
    known.cookies.remove(SESSION);
    known.address = "198.18.0.4";
    let refused = known.log_in("ann", "battery horse correct").await;
    assert_eq!(refused.status, 429, "it was known by another password");
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_176_what_nobody_gave_opens_nothing() {
    let world = world(None).await;
    active(&world, "ann", Role::Administrator).await;
    let mut ann = Browser::new(&world);
    ann.log_in("ann", PASSWORD).await;
    let session = ann.cookies[SESSION].clone();
    let last = if session.ends_with('0') { '1' } else { '0' };
    let other = format!("{}{last}", &session[..session.len() - 1]);
    // Nothing is signed: what is no key of the table is nobody's.
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.";
    for forged in [
        "",
        none,
        &other,
        &session[..session.len() - 1],
        &session.to_uppercase(),
        &format!("ngs_{}", "0".repeat(64)),
    ] {
        let mut browser = Browser::at("192.0.2.5", &world);
        browser.cookies.insert(SESSION.to_owned(), forged.to_owned());
        assert_eq!(browser.get("/api/v1/me").await.status, 401, "{forged}");
        assert!(browser.get("/login").await.body.contains("action=\"/login\""), "{forged}");
    }
    // A session is no token, and a token is no session.
    let bearer = format!("Bearer {session}");
    let mut stranger = Browser::at("192.0.2.6", &world);
    let asked = stranger.send(Method::GET, "/api/v1/me", &[("authorization", &bearer)], "").await;
    assert_eq!(asked.status, 401);
    let token = world.token("ci", Role::Viewer, None).await;
    stranger.cookies.insert(SESSION.to_owned(), token);
    assert_eq!(stranger.get("/api/v1/me").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_180_a_password_and_a_link_are_in_no_answer() {
    let world = world(None).await;
    let link = invited(&world, "ann", Role::Administrator).await;
    let canary = "canary-7f3a-canary";
    let mut ann = Browser::new(&world);
    let body = format!("password={canary}&again={canary}");
    let mut said = vec![ann.post(&link, &body).await.body];
    said.push(ann.post(&link, &body).await.body);
    said.push(ann.log_in("ann", &format!("{canary}x")).await.body);
    said.push(ann.log_in("ann", canary).await.body);
    for path in ["/login", "/metrics", "/api/v1/users", "/api/v1/users/ann", "/api/v1/me", "/api/v1/system"] {
        let answer = ann.get(path).await;
        said.push(format!("{:?}{}", answer.headers, answer.body));
    }
    let text = link.rsplit_once('/').expect("it is a path").1;
    for said in said {
        assert!(!said.contains("canary") && !said.contains(text), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_182_a_form_is_short_and_what_it_sends_is_only_text() {
    let world = world(None).await;
    let mut browser = Browser::new(&world);
    let long = format!("user=ann&password={}", "a".repeat(20_000));
    assert_eq!(browser.post("/login", &long).await.status, 413);
    let json = [("origin", "http://gate:8080"), ("content-type", "application/json")];
    assert_eq!(browser.send(Method::POST, "/login", &json, "{}").await.status, 415);
    let refused = browser.post("/login", "user=%22%3E%3Cb%3E%27&password=x").await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("value=\"&quot;&gt;&lt;b&gt;&#39;\""), "{}", refused.body);
    let new = narrowgate_api::user::NewUser { user: "<b>&".into(), role: Role::Viewer, ou: None };
    let link = world.operator.create_user(new).await.expect("it is a name").link;
    assert!(browser.get(link.expose()).await.body.contains("<b>&lt;b&gt;&amp;</b>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_asks_so_often_with_all_sessions_together() {
    let rate = narrowgate_platform::rules::rate::Rate { every: Duration::from_secs(3600), burst: 4 };
    let world = world(Some(rate)).await;
    for name in ["ann", "bob"] {
        active(&world, name, Role::Viewer).await;
    }
    let mut statuses = Vec::new();
    let [mut first, mut second] = [Browser::new(&world), Browser::new(&world)];
    for browser in [&mut first, &mut second] {
        browser.log_in("ann", PASSWORD).await;
        for _ in 0..3 {
            statuses.push(browser.get("/api/v1/me").await.status);
        }
    }
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429]);
    let mut bob = Browser::new(&world);
    bob.log_in("bob", PASSWORD).await;
    assert_eq!(bob.get("/api/v1/me").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn attack_182_a_form_that_does_not_come_keeps_no_place() {
    let world = world(None).await;
    let places = Places::new(PlacesMax { requests: 1, queued: 1, followers: 0, waiting: 0 });
    let place = places.enter(None).await;
    let nothing = futures_util::stream::pending::<std::io::Result<&str>>();
    let request = Request::post("/login").header(header::CONTENT_TYPE, FORM);
    let mut request = request.body(Body::from_stream(nothing)).expect("it is a request");
    request.extensions_mut().insert(place.seat());
    let asked = tokio::spawn(world.router.clone().oneshot(request));
    let began = tokio::time::Instant::now();
    let _other = places.enter(None).await;
    assert!(began.elapsed() <= ALONE, "{:?}", began.elapsed());
    assert!(!asked.is_finished(), "it still waits for the form");
}
