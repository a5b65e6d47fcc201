//! Logins, logouts and passwords in the audit log.

use std::{future::ready, sync::Arc};

use narrowgate_api::audit::{AuditEntry, AuditOutcome, AuditQuery};
use narrowgate_platform::{
    ids::UnixMillis,
    memory::MemoryStore,
    model::user::SessionTimes,
    ports::{AuditLog, AuditPage, AuditRead, NobodyConnected, NoteId, PortFuture, StoreError, Stores},
    testing::{ManualClock, PlainPasswords, SeededEntropy},
};

use super::*;

/// All entries, oldest first.
async fn entries(world: &World) -> Vec<AuditEntry> {
    let query = AuditQuery { limit: Some(1000), ..AuditQuery::default() };
    let mut entries = world.operator.list_audit(&query).await.expect("it reads").items;
    entries.reverse();
    entries
}

/// Those from this one on: who, what, to what, what became of it, from where.
async fn told(world: &World, from: usize) -> Vec<String> {
    let word = |outcome: AuditOutcome| format!("{outcome:?}").to_lowercase();
    let told = |entry: &AuditEntry| {
        let who = entry.user.as_deref().unwrap_or("-");
        let address = entry.address.as_deref().unwrap_or("-");
        format!("{who} {} {} {} {address}", entry.action, entry.target, word(entry.outcome))
    };
    entries(world).await[from..].iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_login_each_logout_and_each_password_leaves_an_entry_and_no_secret() {
    const TYPED: &str = "my password in the wrong field";
    let world = world(None).await;
    let first = world.operator.invite_first(false).await.expect("the store works");
    let FirstUser::Invited(first) = first else { panic!("{first:?}: there is nobody") };
    let link = first.link.expose();
    let mut browser = Browser::new(&world);
    browser.get(link).await;
    browser.post(link, "password=correct+horse&again=other+horse").await;
    browser.post(link, "password=short&again=short").await;
    let body = format!("password={0}&again={0}", PASSWORD.replace(' ', "+"));
    assert_eq!(browser.post(link, &body).await.status, 303);
    let set = [
        "owner users.create /users/admin done -",
        "admin users.password.set /users/admin failed 192.0.2.1",
        "admin users.password.set /users/admin done 192.0.2.1",
        "admin users.login /users/admin done 192.0.2.1",
    ];
    assert_eq!(told(&world, 0).await, set);
    assert_eq!(browser.post(link, &body).await.status, 404, "it is used up, and strangers fill no log");
    let mut other = Browser::at("2001:db8::7", &world);
    other.log_in("admin", "incorrect horse").await;
    other.log_in(TYPED, PASSWORD).await;
    other.log_in("admin", PASSWORD).await;
    other.log_in("admin", PASSWORD).await;
    let token = other.get("/login").await.form_token();
    other.post("/logout", "csrf=0").await;
    other.post("/logout", &format!("csrf={token}")).await;
    other.post("/logout", "").await;
    let logins = [
        "- users.login /users/admin failed 2001:db8::7",
        "- users.login /users failed 2001:db8::7",
        "admin users.login /users/admin done 2001:db8::7",
        "admin users.login /users/admin done 2001:db8::7",
        "admin users.logout /users/admin done 2001:db8::7",
        "admin users.logout /users/admin done 2001:db8::7",
    ];
    assert_eq!(told(&world, set.len()).await, logins);
    let all = entries(&world).await;
    assert!(all[1..].iter().all(|entry| entry.request_id.is_some()), "{all:?}");
    let text = serde_json::to_string(&all).expect("it can be written");
    let cookies = browser.cookies.values().map(String::as_str);
    for secret in cookies.chain([PASSWORD, "short", TYPED, "password in", &link[LINK.len()..], &token]) {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_changed_and_a_logout_everywhere_leave_entries() {
    const NEW: &str = "battery horse correct";
    let world = world(None).await;
    active(&world, "ann", Role::Viewer).await;
    let mut ann = Browser::new(&world);
    ann.log_in("ann", PASSWORD).await;
    let before = entries(&world).await.len();
    let token = ann.get("/login").await.form_token();
    for old in ["incorrect", PASSWORD] {
        let [old, new] = [old, NEW].map(|text| text.replace(' ', "+"));
        ann.post("/password", &format!("csrf={token}&old={old}&password={new}&again={new}")).await;
    }
    let token = ann.get("/login").await.form_token();
    ann.post("/logout", &format!("csrf={token}&everywhere=yes")).await;
    let left = [
        "ann users.password.change /users/ann failed 192.0.2.1",
        "ann users.password.change /users/ann done 192.0.2.1",
        "ann users.login /users/ann done 192.0.2.1",
        "ann users.logout.everywhere /users/ann done 192.0.2.1",
    ];
    assert_eq!(told(&world, before).await, left);
    let text = serde_json::to_string(&entries(&world).await).expect("it can be written");
    assert!(![PASSWORD, NEW, "incorrect"].iter().any(|secret| text.contains(secret)), "{text}");
}

const LINK: &str = narrowgate_platform::service::LINK_PATH;

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_user_names_who_changed_it_and_a_unit_sees_its_own_users_logins() {
    let world = world(None).await;
    active(&world, "ann", Role::Administrator).await;
    let bob =
        narrowgate_api::user::NewUser { user: "bob".into(), role: Role::Viewer, ou: Some("north".into()) };
    let bob = world.operator.create_user(bob).await.expect("it is new");
    let body = format!("password={0}&again={0}", PASSWORD.replace(' ', "+"));
    Browser::new(&world).post(bob.link.expose(), &body).await;
    let mut ann = Browser::new(&world);
    ann.log_in("ann", PASSWORD).await;
    let before = entries(&world).await.len();
    let token = ann.get("/api/v1/me").await.headers[FORM_TOKEN].to_str().expect("it is ASCII").to_owned();
    let more =
        [("origin", "http://gate:8080"), ("content-type", "application/json"), ("x-csrf-token", &*token)];
    let path = "/api/v1/users/bob";
    ann.send(Method::PATCH, path, &more, r#"{"role":"operator"}"#).await;
    ann.send(Method::POST, "/api/v1/users/bob:reset", &more, "").await;
    ann.send(Method::DELETE, path, &more, "").await;
    // Refused as not of a page of this server: nobody has done anything.
    ann.send(Method::DELETE, path, &more[1..], "").await;
    let changes = [
        "ann users.update /users/bob done 192.0.2.1",
        "ann users.reset /users/bob done 192.0.2.1",
        "ann users.delete /users/bob done 192.0.2.1",
    ];
    assert_eq!(told(&world, before).await, changes);
    let north = world.token("north", Role::Administrator, Some("north")).await;
    let bearer = format!("Bearer {north}");
    let mut program = Browser::new(&world);
    let listed = program.send(Method::GET, "/api/v1/audit", &[("authorization", &bearer)], "").await.json();
    let items = listed["items"].as_array().expect("a list").iter();
    let actions: Vec<_> = items.map(|entry| &entry["action"]).collect();
    // Also what an administrator of all units did to it.
    let expected = ["users.delete", "users.reset", "users.update", "users.login", "users.password.set"];
    assert_eq!(actions, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_logins_beyond_a_number_are_counted_in_the_next_entry() {
    let world = world(None).await;
    active(&world, "ann", Role::Viewer).await;
    let before = entries(&world).await.len();
    let mut stranger = Browser::at("192.0.2.66", &world);
    for _ in 0..30 {
        stranger.log_in("ann", "incorrect horse").await;
    }
    let noted = entries(&world).await.len() - before;
    assert!((10..20).contains(&noted), "those that were tried: {noted}");
    Browser::at("198.51.100.67", &world).log_in("ann", "incorrect horse").await;
    let last = entries(&world).await.pop().expect("there is one");
    let left_out = last.left_out.expect("some have no entry");
    assert_eq!((noted + usize::try_from(left_out).expect("a small number"), last.status), (30, Some(403)));
}

/// A log on a full disk.
struct Full;

fn full<T: Send + 'static>() -> PortFuture<'static, Result<T, StoreError>> {
    Box::pin(ready(Err(StoreError::Unavailable("the disk is full".to_owned()))))
}

impl AuditLog for Full {
    fn begin(&self, _: AuditEntry) -> PortFuture<'static, Result<NoteId, StoreError>> {
        full()
    }

    fn end(&self, _: Option<NoteId>, _: AuditEntry) -> PortFuture<'static, Result<(), StoreError>> {
        full()
    }

    fn read(&self, _: AuditRead) -> PortFuture<'_, Result<AuditPage, StoreError>> {
        full()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_logs_in_or_out_or_sets_a_password_while_that_cannot_be_noted() {
    let store = Arc::new(MemoryStore::default());
    let operator = |stores: Stores| {
        let (clock, entropy) = (Arc::new(ManualClock::new(UnixMillis(0))), Arc::new(SeededEntropy::new(1)));
        let passwords = Arc::new(PlainPasswords::default());
        let operator = Operator::new(stores, clock, entropy, Arc::new(NobodyConnected));
        operator.with_logins(passwords, SessionTimes::default())
    };
    let password = || Secret::new(PASSWORD.to_owned());
    let fails = operator(Stores { audit: Arc::new(Full), ..Stores::from(store.clone()) });
    let before = format!("{store:?}");
    assert_eq!(fails.invite_first(true).await.expect_err("it cannot be noted").status, 503);
    assert_eq!(format!("{store:?}"), before);
    let works = operator(store.clone().into());
    let first = works.invite_first(false).await.expect("the store works");
    let FirstUser::Invited(first) = first else { panic!("{first:?}: there is nobody") };
    let link = first.link.expose().strip_prefix(LINK).expect("it is the path of the page");
    let asked = AskedFrom::default;
    let before = format!("{store:?}");
    assert_eq!(fails.set_password(link, password(), asked()).await.expect_err("nor this").status, 503);
    assert_eq!(format!("{store:?}"), before);
    let session = works.set_password(link, password(), asked()).await.expect("it is valid").session;
    let hash = session_hash(session.expose()).expect("it has the form of one");
    let before = format!("{store:?}");
    assert_eq!(fails.log_in("admin", password(), (None, asked())).await.expect_err("nor this").status, 503);
    assert_eq!(fails.log_out(hash, asked()).await.expect_err("nor this").status, 503);
    assert_eq!(format!("{store:?}"), before);
    // A wrong one is wrong.
    assert!(
        fails
            .log_in("admin", Secret::new("x".into()), (None, asked()))
            .await
            .expect("it is looked at")
            .is_none()
    );
    fails.note_failed_logins("admin", 0, asked()).await;

    let host = Arc::new(|| unreachable!("nobody asks for it"));
    let api = crate::Api { operator: fails, host, events: None };
    let about = crate::About { version: "0", dtls: "127.0.0.1:5684".into() };
    let router = crate::router(about, crate::Health::default(), Arc::new(|_| Vec::new()), api, None);
    let body = format!("user=admin&password={}", PASSWORD.replace(' ', "+"));
    let login = axum::http::Request::builder().method(Method::POST).uri("/login");
    let login = login.header("content-type", FORM).body(Body::from(body)).expect("it is a request");
    let answer = router.clone().oneshot(login).await.expect("it answers");
    assert_eq!((answer.status().as_u16(), answer.headers().get(header::SET_COOKIE)), (503, None));
    let metrics =
        axum::http::Request::builder().uri("/metrics").body(Body::empty()).expect("it is a request");
    let answer = router.oneshot(metrics).await.expect("it answers");
    let text = to_bytes(answer.into_body(), 1 << 20).await.expect("it ends");
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(!text.contains("narrowgate_audit_unwritten_total 0\n"), "{text}");
}
