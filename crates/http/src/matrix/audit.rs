//! The audit log over every route and every kind of caller.

use std::{future::ready, sync::Arc};

use narrowgate_api::audit::{AuditEntry, AuditOutcome, AuditQuery};
use narrowgate_platform::{
    ids::UnixMillis,
    memory::MemoryStore,
    ports::{AuditLog, AuditPage, AuditRead, NobodyConnected, NoteId, PortFuture, StoreError, Stores},
    rules::audit::{ChainEnd, Verifier},
    service::Operator,
    testing::{ManualClock, SeededEntropy},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{About, Api, Health, Proxied, TCP_PLACES_MAX, control_router, document::world::World, serve};

impl World {
    /// All entries, oldest first.
    pub(super) async fn audit(&self) -> Vec<AuditEntry> {
        let query = AuditQuery { limit: Some(1000), ..AuditQuery::default() };
        let mut entries = self.operator.list_audit(&query).await.expect("it reads").items;
        entries.reverse();
        entries
    }

    /// Asks, and returns the status and the entry that it left.
    pub(super) async fn entry_of(&self, request: Request<Body>) -> (StatusCode, Option<AuditEntry>) {
        let newest = AuditQuery { limit: Some(1), ..AuditQuery::default() };
        let last = async || self.operator.list_audit(&newest).await.expect("it reads").items.pop();
        let before = last().await.map_or(0, |entry| entry.seq);
        let status = self.ask(request).await.0;
        let entry = last().await.filter(|entry| entry.seq > before);
        assert!(entry.as_ref().is_none_or(|entry| entry.seq == before + 1), "it is one entry: {entry:?}");
        (status, entry)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_that_changes_something_or_shows_a_secret_leaves_an_entry_whoever_asks() {
    let world = world(None).await;
    let mut tokens = Vec::new();
    for role in [Role::Viewer, Role::Operator, Role::Administrator] {
        let name = format!("{role:?}");
        tokens.push((world.token(&name, role, None).await, name, None));
    }
    let north = world.operator.list_units().await.expect("it reads").items[1].ou.clone();
    let foreign = world.token("foreign", Role::Administrator, Some("north")).await;
    tokens.push((foreign, "foreign".to_owned(), Some(north)));
    let mut audited = 0;
    for row in documented() {
        let what = name(&row);
        let is_read = row.method == Method::GET;
        let is_secret = is_read && (row.path.ends_with("/secret") || row.path.ends_with("/secrets"));
        // What only administrators read may be a secret.
        let is_for_all = is_read && matches!(row.needs, Needs::Read | Needs::ReadAll | Needs::Operate);
        let changes = row.method != Method::GET && row.needs != Needs::Read;
        for (token, who, unit) in &tokens {
            let image = &*world.fill().await;
            let keys = Keys { image, ..FOREIGN };
            let before = world.stored();
            let (status, entry) = world.entry_of(request(&row, keys, Some(token))).await;
            let Some(entry) = entry else {
                assert!(!is_secret && !changes, "{what} leaves nothing: {status}");
                assert_eq!(world.stored(), before, "{what} changes the store, and leaves nothing");
                continue;
            };
            let exports = entry.action.ends_with(".export");
            assert!(!is_for_all || exports, "{what} only reads, and leaves {entry:?}");
            assert_eq!((entry.token.as_ref(), &entry.user), (Some(who), &None), "{what}");
            assert_eq!((&entry.caller_ou, entry.status), (unit, Some(status.as_u16())), "{what}");
            let outcome = match status.as_u16() {
                200..300 => AuditOutcome::Done,
                403 => AuditOutcome::Refused,
                500.. => AuditOutcome::Unknown,
                _ => AuditOutcome::Failed,
            };
            assert_eq!(entry.outcome, outcome, "{what}: {entry:?}");
            assert_eq!(entry.code.is_some(), outcome != AuditOutcome::Done, "{what}");
            let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
            assert!(entry.action.split('.').all(is_word), "{what}: {}", entry.action);
            assert!(entry.request_id.is_some(), "{what}");
            if row.path.contains("{device}") && unit.is_none() {
                assert!(entry.target.starts_with("/products/pk-1/devices/dk-1"), "{what}: {}", entry.target);
                assert_eq!(entry.ou.as_deref(), Some("o00000000000001"), "{what}");
            }
            audited += 1;
        }
        // A stranger changes and fills nothing.
        let before = world.stored();
        for token in [None, Some("ngt_0000000000000000000000000000000000000000000000000000000000000000")] {
            let (status, entry) = world.entry_of(request(&row, NOWHERE, token)).await;
            assert!(matches!(status.as_u16(), 401 | 429) && entry.is_none(), "{what}: {status}");
        }
        assert_eq!(world.stored(), before, "{what}");
    }
    assert!(audited > 150, "{audited}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_written_down_however_it_is_asked_for() {
    let world = world(None).await;
    let token = world.token("ci", Role::Administrator, None).await;
    for (method, path) in [
        (Method::GET, "/api/v1/devices/dk-1/secret"),
        (Method::GET, "/api/v1/devices/pk-1%2Fdk-1/secret?x=1"),
        (Method::GET, "/api/v1/products/pk-1/devices/dk-1/secret"),
        (Method::GET, "/api/v1/devices/d%6B-1/%73ecret"),
    ] {
        let mut request = get(path, Some(&token));
        *request.method_mut() = method;
        let (status, entry) = world.entry_of(request).await;
        if status == StatusCode::NOT_FOUND {
            // The route's own word is not unescaped.
            assert!(path.contains("%73") && entry.is_none(), "{path}");
            continue;
        }
        let entry = entry.expect("it is written down");
        assert_eq!(entry.action, "devices.secret.read");
        assert_eq!(entry.target, "/products/pk-1/devices/dk-1/secret", "{path}");
    }
    let mut head = get("/api/v1/devices/dk-1/secret", Some(&token));
    *head.method_mut() = Method::HEAD;
    let before = world.audit().await.len();
    world.router.clone().oneshot(head).await.expect("it answers");
    assert_eq!(world.audit().await.len(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_written_down_with_the_address_and_a_page_is_not() {
    let world = world(None).await;
    let token = world.token("ci", Role::Viewer, None).await;
    let device = "/products/pk-1/devices/dk-1";
    for (path, accept, action, target) in [
        ("/devices", "", None, ""),
        ("/devices", "text/csv;q=0.1, */*", None, ""),
        ("/devices", "text/csv", Some("devices.export"), "/devices"),
        ("/devices?product=pk-1", "application/x-ndjson", Some("devices.export"), "/devices"),
        ("/devices/dk-1/values", "text/csv", Some("devices.values.export"), &*format!("{device}/values")),
        ("/devices/dk-1/values", "", None, ""),
        ("/products/pk-1/values", "", Some("products.values.export"), "/products/pk-1/values"),
        ("/devices/dk-1/log", "text/csv", Some("devices.log.export"), &*format!("{device}/log")),
        ("/refusals", "application/x-ndjson", Some("refusals.export"), "/refusals"),
        ("/me", "text/csv", None, ""),
    ] {
        let mut request = from("::ffff:192.0.2.8", get(&format!("/api/v1{path}"), Some(&token)));
        if !accept.is_empty() {
            request.headers_mut().insert(header::ACCEPT, accept.parse().expect("it is ASCII"));
        }
        let (status, entry) = world.entry_of(request).await;
        let found = entry.as_ref().map(|entry| (&*entry.action, &*entry.target, entry.address.as_deref()));
        let expected = action.map(|action| (action, target, Some("192.0.2.8")));
        assert_eq!((status, found), (StatusCode::OK, expected), "{path} {accept}");
    }
    let mut first_page = get("/api/v1/devices", Some(&token));
    first_page.headers_mut().insert(crate::BEGINS_EXPORT, "1".parse().expect("it is ASCII"));
    let (_, entry) = world.entry_of(first_page).await;
    assert_eq!(entry.map(|entry| (entry.action, entry.address)), Some(("devices.export".to_owned(), None)));
    let mut head = get("/api/v1/devices", Some(&token));
    *head.method_mut() = Method::HEAD;
    head.headers_mut().insert(header::ACCEPT, "text/csv".parse().expect("it is ASCII"));
    let (status, entry) = world.entry_of(head).await;
    assert!(status == StatusCode::OK && entry.is_none(), "{status} {entry:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_is_named_with_its_unit() {
    let world = world(None).await;
    let token = world.token("ci", Role::Administrator, None).await;
    let north = world.operator.list_units().await.expect("it reads").items[1].ou.clone();
    let ask = async |method: Method, path: &str, body: &'static str| {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .expect("it is a request");
        let (_, entry) = world.entry_of(request).await;
        let entry = entry.expect("it is written down");
        (entry.action, entry.target, entry.ou)
    };
    let product = r#"{"name":"n","productKey":"a/b","ou":"north"}"#;
    let (action, target, ou) = ask(Method::POST, "/products", product).await;
    assert_eq!((&*action, &*target, ou.as_ref()), ("products.create", "/products/a%2Fb", Some(&north)));
    let made = ask(Method::POST, "/products/a%2Fb/devices", r#"{"deviceKey":"d:1"}"#).await;
    let device = "/products/a%2Fb/devices/d%3A1".to_owned();
    assert_eq!(made, ("devices.create".to_owned(), device.clone(), Some(north.clone())));
    let by_name = ask(Method::POST, "/devices/d%3A1:disable", "").await;
    assert_eq!(by_name, ("devices.disable".to_owned(), device.clone(), Some(north.clone())));
    let gone = ask(Method::DELETE, "/devices/d%3A1", "").await;
    assert_eq!(gone, ("devices.delete".to_owned(), device, Some(north.clone())));
    let made = ask(Method::POST, "/tokens", r#"{"name":"t 1","role":"viewer"}"#).await;
    assert_eq!(made, ("tokens.create".to_owned(), "/tokens/t%201".to_owned(), None));
    let gone = ask(Method::DELETE, "/products/a%2Fb", "").await;
    assert_eq!(gone, ("products.delete".to_owned(), "/products/a%2Fb".to_owned(), Some(north)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_of_a_unit_reads_its_entries_and_nobody_below() {
    let world = world(None).await;
    let (of_all, viewer, operator, north) = (
        world.token("all", Role::Administrator, None).await,
        world.token("viewer", Role::Viewer, None).await,
        world.token("operator", Role::Operator, None).await,
        world.token("north", Role::Administrator, Some("north")).await,
    );
    for (token, product) in [(&of_all, r#"{"name":"n","productKey":"pk-n","ou":"north"}"#), (&north, "{}")] {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/api/v1/products")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(product))
            .expect("it is a request");
        world.ask(request).await;
    }
    let delete = |token: &str| {
        let mut request = get("/api/v1/devices/dk-1", Some(token));
        *request.method_mut() = Method::DELETE;
        request
    };
    for token in [&viewer, &north, &of_all] {
        world.ask(delete(token)).await;
    }
    let listed = async |token: &str| {
        let (status, body) = world.ask(get("/api/v1/audit", Some(token))).await;
        let items = body["items"].as_array().cloned().unwrap_or_default();
        let seen = items.iter().map(|entry| format!("{} {}", entry["token"], entry["target"]));
        (status.as_u16(), seen.collect::<Vec<_>>())
    };
    let own = [
        r#""north" "/devices/dk-1""#.to_owned(),
        r#""north" "/products""#.to_owned(),
        r#""all" "/products/pk-n""#.to_owned(),
    ];
    assert_eq!(listed(&north).await, (200, own.to_vec()));
    assert_eq!(listed(&of_all).await.1.len(), 5);
    assert_eq!((listed(&viewer).await.0, listed(&operator).await.0), (403, 403));
    for (token, status) in [(&north, 403), (&viewer, 403), (&of_all, 200)] {
        let answered = world.ask(get("/api/v1/audit/chain", Some(token))).await.0;
        assert_eq!(answered.as_u16(), status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_on_http_is_whole_and_holds_no_secret() {
    const CANARY: &str = "C4naryC4naryC4nary00";
    let world = world(None).await;
    let token = world.token("ci", Role::Administrator, None).await;
    let ask = async |method: Method, path: &str, body: String| {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .expect("it is a request");
        world.ask(request).await.1.to_string()
    };
    let product = format!(r#"{{"name":"n","productKey":"pk-c","productSecret":"{CANARY}"}}"#);
    assert!(ask(Method::POST, "/products", product).await.contains(CANARY), "it is shown at creation");
    let device = format!(r#"{{"deviceKey":"dk-c","deviceSecret":"{CANARY}"}}"#);
    ask(Method::POST, "/products/pk-c/devices", device).await;
    assert!(ask(Method::GET, "/devices/dk-c/secret", String::new()).await.contains(CANARY));
    ask(Method::PATCH, &format!("/devices/dk-c?canary={CANARY}"), format!(r#"{{"{CANARY}":1}}"#)).await;
    let made = ask(Method::POST, "/tokens", r#"{"name":"new","role":"viewer"}"#.to_owned()).await;
    let made: Value = serde_json::from_str(&made).expect("it is JSON");
    let (_, chain) = world.ask(get("/api/v1/audit/chain", Some(&token))).await;
    let text = chain.to_string() + &serde_json::to_string(&world.audit().await).expect("it can be written");
    assert!(!text.contains(CANARY) && !text.contains(made["token"].as_str().expect("it is a text")));
    let lines: Vec<&str> =
        chain["lines"].as_array().expect("a list").iter().flat_map(Value::as_str).collect();
    let mut verifier = Verifier::new(ChainEnd::EMPTY);
    lines.iter().for_each(|line| verifier.take(line).expect("it fits"));
    let end = verifier.finish().expect("it is whole");
    assert_eq!((chain["count"].as_u64(), chain["head"].as_str()), (Some(5), Some(&*end.head.to_string())));
    let (_, rest) = world.ask(get("/api/v1/audit/chain?after=4", Some(&token))).await;
    assert_eq!(rest["lines"], serde_json::json!([lines[4]]));
}

/// A log on a disk that is full, before or after a note.
struct Full {
    notes: bool,
}

fn full<T: Send + 'static>() -> PortFuture<'static, Result<T, StoreError>> {
    Box::pin(ready(Err(StoreError::Unavailable("the disk is full".to_owned()))))
}

impl AuditLog for Full {
    fn begin(&self, _: AuditEntry) -> PortFuture<'static, Result<NoteId, StoreError>> {
        if self.notes { Box::pin(ready(Ok(NoteId(1)))) } else { full() }
    }

    fn end(&self, _: Option<NoteId>, _: AuditEntry) -> PortFuture<'static, Result<(), StoreError>> {
        full()
    }

    fn read(&self, _: AuditRead) -> PortFuture<'_, Result<AuditPage, StoreError>> {
        full()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_noted_is_not_done_and_what_was_done_is_answered() {
    for (notes, status) in [(false, 503), (true, 201)] {
        let stores =
            Stores { audit: Arc::new(Full { notes }), ..Stores::from(Arc::new(MemoryStore::default())) };
        let clock = Arc::new(ManualClock::new(UnixMillis(0)));
        let entropy = Arc::new(SeededEntropy::new(1));
        let operator = Operator::new(stores, clock, entropy, Arc::new(NobodyConnected));
        let api =
            Api { operator: operator.clone(), host: Arc::new(|| unreachable!("nobody asks")), events: None };
        let about = About { version: "0", dtls: "127.0.0.1:5684".into() };
        let router = control_router(about, Health::default(), Arc::new(|_| Vec::new()), api);
        let request = Request::builder()
            .method(Method::POST)
            .uri("/api/v1/products")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(r#"{"name":"n","productKey":"pk"}"#))
            .expect("it is a request");
        let response = router.clone().oneshot(request).await.expect("it answers");
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers().contains_key(header::RETRY_AFTER), !notes);
        assert_eq!(operator.show_product("pk").await.is_ok(), notes);
        // Reading needs no note.
        let response = router.oneshot(get("/api/v1/products", None)).await.expect("it answers");
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_an_entry_has_the_address_that_the_proxy_names_last() {
    let world = world(None).await;
    let token = world.token("ci", Role::Administrator, None).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
    let address = listener.local_addr().expect("it is bound");
    let proxied = serve(Proxied(listener), world.router.clone(), TCP_PLACES_MAX, std::future::pending());
    tokio::spawn(proxied);
    for (forwarded, named) in [("X-Forwarded-For: 10.9.9.9, 192.0.2.7\r\n", Some("192.0.2.7")), ("", None)] {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!(
            "POST /api/v1/ous HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n{forwarded}\
             Connection: close\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        let entry = world.audit().await.pop().expect("there is one");
        assert_eq!((&*entry.action, entry.address.as_deref()), ("ous.create", named));
    }
}
