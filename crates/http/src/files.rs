//! Files of devices that come and go: imports, their secrets, and exports.

use std::{
    io,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, header},
};
use futures_util::{StreamExt as _, stream};
use narrowgate_api::{
    audit::{AuditEntry, AuditOutcome, AuditQuery},
    device::{NamedDevice, NewDeviceRequest},
    product::NewProduct,
};
use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    memory::MemoryStore,
    ports::{Entropy, NobodyConnected},
    service::Operator,
    testing::{
        ManualClock, SeededEntropy,
        store::fixtures::{append, at, login, report},
    },
};
use serde_json::Value;
use tokio::{task::yield_now, time::timeout};
use tower::ServiceExt as _;

use crate::{About, Api, BODY_BYTES_MAX, Health, MetricsSource, control_router, device_file::csv};

mod formats;
mod properties;

struct World {
    router: Router,
    operator: Operator,
    store: Arc<MemoryStore>,
}

/// Product `pk`, as the owner sees it.
async fn world() -> World {
    world_with(Arc::new(SeededEntropy::new(1))).await
}

/// The same with these random bytes.
async fn world_with(entropy: Arc<dyn Entropy>) -> World {
    let clock = Arc::new(ManualClock::new(UnixMillis(1_700_000_000_000)));
    let store = Arc::new(MemoryStore::default());
    let operator = Operator::new(store.clone(), clock, entropy, Arc::new(NobodyConnected));
    let api = Api {
        operator: operator.clone(),
        host: Arc::new(|| unreachable!("nobody asks for it")),
        events: None,
    };
    let about = About { version: "0", dtls: "127.0.0.1:5684".into() };
    let metrics: MetricsSource = Arc::new(|_| Vec::new());
    let router = control_router(about, Health::default(), metrics, api);
    let product = NewProduct { name: "n".into(), product_key: Some("pk".into()), ..NewProduct::default() };
    operator.create_product(product).await.expect("it is valid");
    World { router, operator, store }
}

impl World {
    async fn ask(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Result<String, axum::Error>) {
        let response = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body(), 64 << 20).await;
        (status, headers, body.map(|body| String::from_utf8(body.to_vec()).expect("it is text")))
    }

    async fn get(&self, path: &str, accept: &str) -> (HeaderMap, String) {
        let request = Request::get(path).header(header::ACCEPT, accept).body(Body::empty()).unwrap();
        let (status, headers, body) = self.ask(request).await;
        let body = body.expect("it comes to its end");
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        (headers, body)
    }

    /// Sends a file in parts of 1,000 bytes.
    async fn import(&self, query: &str, media_type: &str, file: &str) -> (StatusCode, Value) {
        let parts: Vec<_> = file.as_bytes().chunks(1000).map(|part| io::Result::Ok(part.to_vec())).collect();
        self.import_parts(query, media_type, parts).await
    }

    async fn import_parts(
        &self,
        query: &str,
        media_type: &str,
        parts: Vec<io::Result<Vec<u8>>>,
    ) -> (StatusCode, Value) {
        let request = Request::post(format!("/api/v1/products/pk/devices:import{query}"))
            .header(header::CONTENT_TYPE, media_type)
            .body(Body::from_stream(stream::iter(parts)))
            .unwrap();
        let (status, _, body) = self.ask(request).await;
        (status, serde_json::from_str(&body.expect("it comes to its end")).expect("it is JSON"))
    }

    async fn count(&self) -> usize {
        self.get("/api/v1/devices", "application/x-ndjson").await.1.lines().count()
    }
}

/// So many rows without secrets.
fn rows(count: usize) -> String {
    (0..count).fold("deviceKey,name\n".to_owned(), |text, n| text + &format!("d{n:05},meter {n}\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_imported_as_it_comes_and_its_secrets_are_fetched_once() {
    let world = world().await;
    let file = rows(1200) + "a b,\nd00007,again\n\"x,\n";
    let (status, answer) = world.import("", "text/csv", &file).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&answer["created"], &answer["skipped"]), (&1200.into(), &0.into()), "{answer}");
    let faults: Vec<_> = answer["failed"]
        .as_array()
        .expect("they are a list")
        .iter()
        .map(|fault| (fault["line"].as_u64().unwrap(), fault["column"].as_str()))
        .collect();
    let column = Some("deviceKey");
    assert_eq!(faults, [(1202, column), (1203, column), (1204, column)], "{answer}");

    let secrets = answer["secrets"].as_str().expect("there are some").to_owned();
    let head = Request::head(&secrets).body(Body::empty()).unwrap();
    let (status, headers, _) = world.ask(head).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "it would be taken unseen");
    assert_eq!(headers[header::ALLOW], "GET");
    let (headers, text) = world.get(&secrets, "*/*").await;
    assert_eq!(headers[header::CONTENT_TYPE], "text/csv; charset=utf-8; header=present");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (1201, "assetId,productKey,deviceKey,deviceSecret"));
    let shown = world.operator.show_device_secret(&NamedDevice::by_name("d00007")).await.unwrap();
    let line = lines.iter().find(|line| line.contains(",d00007,")).expect("it is one of them");
    assert!(line.ends_with(&format!("pk,d00007,{}", shown.device_secret.expose())), "{line}");
    let again = Request::get(&secrets).body(Body::empty()).unwrap();
    assert_eq!(world.ask(again).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_fetched_to_the_letter_and_can_be_imported_again() {
    let world = world().await;
    let brought = [
        ("f1", "=k7%Tq!z9.Lw(2}Vb@e1&"),
        ("+491701234567", "-secretminus!!xyz123"),
        ("@at", "@SUM(A1)+0123456789,"),
        ("-d", "+1234567890123456789"),
        ("q\"q", "\"all\",'of' \"them\";=1+1"),
        ("blank", " between two blanks "),
        ("'", "'apostrophe'and comma,"),
    ];
    let lines: Vec<_> = brought
        .iter()
        .map(|(key, secret)| serde_json::json!({"deviceKey": key, "deviceSecret": secret}).to_string())
        .collect();
    let (_, answer) = world.import("", "application/x-ndjson", &lines.join("\n")).await;
    // An apostrophe before a key is one of a spreadsheet.
    assert_eq!((&answer["created"], &answer["failed"][0]["line"]), (&6.into(), &7.into()), "{answer}");
    let brought = &brought[..6];
    // The same devices without their secrets, which have never logged in: their secrets are given.
    let keys: Vec<_> =
        brought.iter().map(|(key, _)| serde_json::json!({"deviceKey": key}).to_string()).collect();
    let (_, answer) = world.import("", "application/x-ndjson", &keys.join("\n")).await;
    let (_, text) = world.get(answer["secrets"].as_str().expect("there are some"), "*/*").await;
    for (key, secret) in brought {
        let line = text.lines().map(|line| csv::split(line).expect("it is CSV"));
        let found = line.map(|fields| fields.into_iter().map(|field| field.text).collect::<Vec<_>>());
        let found = found.filter(|fields| fields[2] == *key).collect::<Vec<_>>();
        assert_eq!(found.iter().map(|fields| &*fields[3]).collect::<Vec<_>>(), [*secret], "{key}");
    }
    // Here they are the secrets that are in force, and elsewhere they come into force.
    let (_, again) = world.import("", "text/csv", &text).await;
    assert_eq!((&again["skipped"], &again["sameSecret"]), (&6.into(), &6.into()), "{again}");
    let elsewhere = self::world().await;
    let (_, made) = elsewhere.import("", "text/csv", &text).await;
    assert_eq!(made["created"], 6, "{made}");
    for (key, secret) in brought {
        let shown = elsewhere.operator.show_device_secret(&NamedDevice::by_name(*key)).await.unwrap();
        assert_eq!(shown.device_secret.expose(), *secret);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_cut_off_is_sent_again_and_gives_all_secrets() {
    let world = world().await;
    let file = rows(1200);
    let mut parts: Vec<_> =
        file.as_bytes().chunks(1000).take(15).map(|part| io::Result::Ok(part.to_vec())).collect();
    parts.push(Err(io::ErrorKind::ConnectionReset.into()));
    let (status, problem) = world.import_parts("", "text/csv", parts).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    // All whole lines of it, also those of the last piece.
    assert_eq!(detail, "the rest of the file did not arrive; rows up to line 888 were processed");
    assert_eq!(problem["try"], "send the same file again: devices that exist are skipped");
    assert_eq!((&problem["import"]["created"], world.count().await), (&887.into(), 887), "{problem}");
    let secrets = problem["import"]["secrets"].as_str().expect("there are some");
    assert_eq!(world.get(secrets, "*/*").await.1.lines().count(), 888);

    let (_, answer) = world.import("", "text/csv", &file).await;
    assert_eq!((&answer["created"], &answer["skipped"]), (&313.into(), &887.into()), "{answer}");
    let secrets = answer["secrets"].as_str().expect("there are some");
    assert_eq!(world.get(secrets, "*/*").await.1.lines().count(), 1201);

    // One that logs in has its secret.
    append(&*world.store, vec![login(DeviceId(1), at(1))]);
    let (_, answer) = world.import("", "text/csv", &file).await;
    assert_eq!((&answer["created"], &answer["skipped"]), (&0.into(), &1200.into()), "{answer}");
    let secrets = answer["secrets"].as_str().expect("there are some");
    assert_eq!(world.get(secrets, "*/*").await.1.lines().count(), 1200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_may_be_longer_than_any_other_body() {
    let world = world().await;
    let name = "水".repeat(128);
    let row = |n| format!("d{n:05},{name}\n");
    let file = (0..12_000).fold("deviceKey,name\n".to_owned(), |text, n| text + &row(n));
    assert!(file.len() > BODY_BYTES_MAX);
    let (status, answer) = world.import("?dryRun=true", "text/csv", &file).await;
    assert_eq!((status, &answer["created"]), (StatusCode::OK, &12_000.into()), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_too_long_by_its_own_words_is_refused_before_its_first_row() {
    let world = world().await;
    let request = Request::post("/api/v1/products/pk/devices:import")
        .header(header::CONTENT_TYPE, "text/csv")
        .header(header::CONTENT_LENGTH, "107000000")
        .body(Body::from(rows(1200)))
        .unwrap();
    let (status, _, body) = world.ask(request).await;
    let problem: Value = serde_json::from_str(&body.expect("it is whole")).expect("it is JSON");
    assert_eq!((status, &problem["try"]), (StatusCode::PAYLOAD_TOO_LARGE, &"split it".into()), "{problem}");
    assert_eq!((&problem["import"], world.count().await), (&Value::Null, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_import_at_a_time_takes_all_rows_of_a_product_or_none() {
    let world = world().await;
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let first = stream::once(async move {
        begun.send(()).expect("it is waited for");
        io::Result::Ok(b"deviceKey\nd1\n".to_vec())
    });
    let stalled = Request::post("/api/v1/products/pk/devices:import?mode=all")
        .header(header::CONTENT_TYPE, "text/csv")
        .body(Body::from_stream(first.chain(stream::pending())))
        .unwrap();
    let stalled = tokio::spawn(world.router.clone().oneshot(stalled));
    has_begun.await.expect("its body is read");
    let (status, problem) = world.import("?mode=all", "text/csv", "deviceKey\nd2\n").await;
    assert_eq!((status, &problem["code"]), (StatusCode::TOO_MANY_REQUESTS, &"busy".into()), "{problem}");
    for query in ["?mode=all&dryRun=true", ""] {
        assert_eq!(world.import(query, "text/csv", "deviceKey\nd2\n").await.0, StatusCode::OK, "{query}");
    }
    stalled.abort();
}

/// Random bytes that whoever asks for them waits for, while they are held.
#[derive(Default)]
struct Held {
    state: Mutex<HeldState>,
    changed: Condvar,
}

#[derive(Default)]
struct HeldState {
    is_held: bool,
    /// Whether somebody waits.
    is_asked: bool,
    given: u64,
}

impl Held {
    fn hold(&self, is_held: bool) {
        self.state.lock().unwrap().is_held = is_held;
        self.changed.notify_all();
    }

    /// Waits until somebody waits.
    async fn asked(&self) {
        while !self.state.lock().unwrap().is_asked {
            yield_now().await;
        }
    }
}

impl Entropy for Held {
    fn fill(&self, out: &mut [u8]) {
        let mut state = self.state.lock().unwrap();
        while state.is_held {
            state.is_asked = true;
            state = self.changed.wait(state).unwrap();
        }
        state.given += 1;
        SeededEntropy::new(state.given).fill(out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_sender_has_left_is_alone_to_its_end_and_is_written_down() {
    let entropy = Arc::new(Held::default());
    let world = world_with(entropy.clone()).await;
    entropy.hold(true);
    let whole = Request::post("/api/v1/products/pk/devices:import?mode=all")
        .header(header::CONTENT_TYPE, "text/csv")
        .body(Body::from(rows(1200)))
        .unwrap();
    let asked = tokio::spawn(world.router.clone().oneshot(whole));
    entropy.asked().await;
    asked.abort();
    assert!(asked.await.is_err_and(|error| error.is_cancelled()), "its sender has left");

    let again = || world.import("?mode=all", "text/csv", "deviceKey\nd00007\n");
    let (status, problem) = timeout(Duration::from_secs(10), again()).await.expect("it does not begin");
    assert_eq!((status, &problem["code"]), (StatusCode::TOO_MANY_REQUESTS, &"busy".into()), "{problem}");
    entropy.hold(false);
    let ended = async || loop {
        let entries = world.operator.list_audit(&AuditQuery::default()).await.expect("it reads").items;
        let is_whole = |entry: &AuditEntry| entry.detail.get("created").is_some_and(|made| made == "1200");
        match entries.into_iter().find(is_whole) {
            Some(entry) => break entry.outcome,
            None => yield_now().await,
        }
    };
    let ended = timeout(Duration::from_secs(10), ended()).await.expect("its entry has its counts");
    assert_eq!(ended, AuditOutcome::Done);
    let (_, answer) = again().await;
    assert_eq!((&answer["created"], &answer["skipped"]), (&0.into(), &1.into()), "{answer}");
    assert_eq!(world.count().await, 1200);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_json_are_tried_as_those_of_a_file_are() {
    let world = world().await;
    let body = r#"{"rows":[{"line":1,"deviceKey":"good"},{"line":2,"deviceKey":"a b"}]}"#;
    for query in ["?mode=all", "?mode=all&dryRun=true"] {
        let (status, report) = world.import(query, "application/json", body).await;
        assert_eq!((status, &report["created"]), (StatusCode::OK, &0.into()), "{query}: {report}");
        assert_eq!(report["failed"][0]["line"], 2, "{query}: {report}");
    }
    assert_eq!(world.count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_media_type_says_what_a_file_is_whatever_its_case() {
    let world = world().await;
    let (status, answer) =
        world.import("?dryRun=true", "Text/CSV; Charset=\"UTF-8\"", "deviceKey\nd\n").await;
    assert_eq!((status, &answer["created"]), (StatusCode::OK, &1.into()), "{answer}");
    let (status, answer) = world.import("", "application/x-ndjson", "").await;
    assert_eq!((status, &answer["created"]), (StatusCode::OK, &0.into()), "{answer}");
    // One is not taken for the other.
    assert_eq!(world.import("", "text/csv", "{\"deviceKey\":\"d\"}\n").await.0.as_u16(), 422);
    let (_, answer) = world.import("", "application/x-ndjson", "deviceKey\nd\n").await;
    assert_eq!((&answer["created"], answer["failed"].as_array().map(Vec::len)), (&0.into(), Some(2)));
    for media_type in ["text/csv; charset=iso-8859-1", "text/csv; header=absent"] {
        let (status, problem) = world.import("", media_type, "deviceKey\nd\n").await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{problem}");
    }
    let request = Request::post("/api/v1/products/pk/devices:import")
        .header(header::CONTENT_TYPE, "text/csv")
        .header(header::CONTENT_ENCODING, "gzip")
        .body(Body::from("deviceKey\nd\n"))
        .unwrap();
    assert_eq!(world.ask(request).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(world.count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rows_are_there_when_a_file_is_sent_again_that_a_server_had_ended_with() {
    let world = world().await;
    // As a process leaves it that is killed in the middle of an import: what it has made is durable.
    world.import("", "text/csv", &rows(550)).await;
    let (status, answer) = world.import("?mode=all", "text/csv", &rows(1200)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!((&answer["created"], &answer["skipped"]), (&650.into(), &550.into()), "{answer}");
    assert_eq!((&answer["failed"], world.count().await), (&Value::Array(Vec::new()), 1200));
    // Also the secrets that nobody has seen, since there was no answer.
    let secrets = answer["secrets"].as_str().expect("there are some");
    assert_eq!(world.get(secrets, "*/*").await.1.lines().count(), 1201);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rows_are_imported_or_none_and_a_trial_changes_nothing() {
    let world = world().await;
    let wrong = rows(600) + "a b,\n";
    for query in ["?mode=all", "?mode=all&dryRun=true"] {
        let (status, answer) = world.import(query, "text/csv", &wrong).await;
        assert_eq!((status, &answer["created"]), (StatusCode::OK, &0.into()), "{query}: {answer}");
        assert_eq!(answer["failed"][0]["line"], 602);
    }
    let lines = "{\"deviceKey\":\"j1\",\"deviceSecret\":\"Z5YtZaQpK5IWocakV7zQ\"}\n{\"deviceKey\":\"j2\"}\n";
    for query in ["?dryRun=true", "?mode=all&dryRun=true"] {
        let (_, answer) = world.import(query, "application/x-ndjson", lines).await;
        assert_eq!((&answer["created"], &answer["secrets"]), (&2.into(), &Value::Null), "{query}: {answer}");
    }
    assert_eq!(world.count().await, 0);
    let (_, answer) = world.import("?mode=all", "application/x-ndjson; charset=utf-8", lines).await;
    assert_eq!(answer["created"], 2, "{answer}");
    // The one that came with its secret is none of those that were generated.
    let secrets = answer["secrets"].as_str().expect("there is one");
    let text = world.get(secrets, "*/*").await.1;
    assert_eq!((text.lines().count(), text.contains(",j2,")), (2, true), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_of_devices_is_refused_as_a_whole() {
    let world = world().await;
    for (media_type, file, status, said) in [
        ("text/csv", "name\nn\n", 422, "does not name deviceKey"),
        ("text/csv", "", 422, "does not name deviceKey"),
        ("application/x-ndjson", "[]", 422, "JSON array"),
        ("text/plain", "deviceKey\nd\n", 415, "format=psk"),
        ("text/html", "deviceKey\nd\n", 415, "must be JSON"),
    ] {
        let (answered, problem) = world.import("", media_type, file).await;
        assert_eq!(answered.as_u16(), status, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(said), "{problem}");
    }
    let request = Request::post("/api/v1/products/none/devices:import")
        .header(header::CONTENT_TYPE, "text/csv")
        .body(Body::from("deviceKey\nd\n"))
        .unwrap();
    assert_eq!(world.ask(request).await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_174_names_and_values_that_a_spreadsheet_would_execute_are_text_in_an_export() {
    let world = world().await;
    for (key, name) in [("=cmd()", "<script>alert(1)</script>"), ("d2", "@SUM(A1)"), ("-d3", "a,\"b\"")] {
        let new = NewDeviceRequest {
            device_key: Some(key.into()),
            name: Some(name.into()),
            ..NewDeviceRequest::default()
        };
        world.operator.create_device("pk", new).await.expect("it is valid");
    }
    let points = r#"{"=p":"=1+1","t":-3.50,"u":"+1"}"#;
    append(&*world.store, vec![login(DeviceId(1), at(1)), report(DeviceId(1), at(2), points)]);
    let (headers, text) = world.get("/api/v1/devices", "text/csv").await;
    assert_eq!(headers[header::CONTENT_TYPE], "text/csv; charset=utf-8; header=present");
    let lines: Vec<_> = text.split("\r\n").collect();
    assert!(lines[0].starts_with("assetId,productKey,deviceKey,name,state"), "{text}");
    assert!(lines[1].contains(",pk,'=cmd(),<script>alert(1)</script>,online,true,"), "{text}");
    assert!(lines[2].contains(",pk,d2,'@SUM(A1),inactive,true,"), "{text}");
    assert!(lines[3].contains(",pk,'-d3,\"a,\"\"b\"\"\",inactive,true,"), "{text}");
    let time = at(2).0;
    let device = "/api/v1/products/pk/devices/%3Dcmd()/values";
    let (_, text) = world.get(device, "text/csv").await;
    let mut lines: Vec<_> = text.trim_end().split("\r\n").skip(1).collect();
    lines.sort_unstable();
    let expected = [format!("{time},'=p,'=1+1,"), format!("{time},t,-3.50,"), format!("{time},u,'+1,")];
    assert_eq!(lines, expected);
    // As JSON every text is what it is, and no browser takes it for a page.
    let (headers, text) = world.get("/api/v1/devices", "application/json").await;
    assert_eq!(headers[header::CONTENT_TYPE], "application/json");
    assert!(text.contains("\"=cmd()\"") && text.contains("<script>alert(1)</script>"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_ranges_are_exported_over_all_their_pages() {
    let world = world().await;
    world.import("", "text/csv", &rows(1200)).await;
    let (_, csv) = world.get("/api/v1/devices?product=pk", "text/csv").await;
    assert_eq!(csv.lines().count(), 1201);
    let (headers, lines) = world.get("/api/v1/devices?q=d0010", "application/x-ndjson").await;
    assert_eq!(headers[header::CONTENT_TYPE], "application/x-ndjson");
    let keys: Vec<_> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("it is JSON")["deviceKey"].clone())
        .collect();
    assert_eq!((keys.len(), &keys[0], &keys[9]), (10, &"d00100".into(), &"d00109".into()));

    for device in [DeviceId(1), DeviceId(700), DeviceId(1200)] {
        append(&*world.store, vec![login(device, at(1))]);
        let many = |second| report(device, at(second), r#"{"a":1,"b":{"value":2,"quality":1}}"#);
        append(&*world.store, (2..502).map(many).collect());
    }
    let (_, csv) = world.get("/api/v1/products/pk/values", "text/csv").await;
    assert_eq!(csv.lines().count(), 1 + 3 * 500 * 2);
    assert!(csv.contains(&format!("\r\npk,d00699,{},a,1,\r\n", at(2).0)), "{}", &csv[..200]);
    let path = format!("/api/v1/products/pk/values?point=b&from={}&to={}", at(10).0, at(20).0);
    let (_, lines) = world.get(&path, "application/json").await;
    assert_eq!(lines.lines().count(), 3 * 10, "{lines}");
    let path = "/api/v1/products/pk/devices/d00000/points/a/values";
    assert_eq!(world.get(path, "text/csv").await.1.lines().count(), 501);
    for path in ["/api/v1/devices?limit=7", "/api/v1/products/pk/devices/d00000/values?limit=7"] {
        let request = Request::get(path).header(header::ACCEPT, "text/csv").body(Body::empty()).unwrap();
        assert_eq!(world.ask(request).await.0, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
    }
}
