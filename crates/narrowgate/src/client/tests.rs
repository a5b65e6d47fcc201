//! The control socket, and both ways to the service side by side.
//!
//! Longer than 500 lines: all of it needs the one server that it starts by hand.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Router, body::to_bytes, http::StatusCode};
use narrowgate_api::{
    device::{NamedDevice, NewDeviceRequest},
    fleet::{Disk, Host},
    import::ImportRow,
    names::UnixMillis,
    page::Page,
    problem::{Code, Problem},
    product::{NewProduct, ProductPatch, ProductRow, ProductView},
    query::{DeviceList, EventsQuery, LatestQuery, Paging},
    secret::SecretText,
};
use narrowgate_http::{About, Api, BODY_BYTES_MAX, CursorKey, EventsSource, Health};
use narrowgate_platform::{
    ids::DeviceId,
    memory::MemoryStore,
    ports::{Journal as _, LiveSessions, NobodyConnected, Registry as _, Stores},
    service::Operator,
    testing::store::fixtures::{SUITE, at, batch, login, name, report},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};
use tower::ServiceExt as _;

use super::*;
use crate::{
    failure::{Exit, Failure},
    feed::Feed,
    live::Live,
    socket::{self, ControlSocket},
    system::{SystemClock, SystemEntropy},
};

/// No filter.
const EVERYTHING: EventsQuery =
    EventsQuery { product: None, device: None, types: None, cursor: None, strangers: false };

/// What ended sessions.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Device(&'static str),
    Product(String),
    ProductSecret(String),
}

#[derive(Default)]
struct Noted(Mutex<Vec<Ended>>);

impl LiveSessions for Noted {
    fn close_device(&self, _: DeviceId, cause: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Ended::Device(cause));
    }

    fn commands_changed(&self, _: DeviceId) {}

    fn is_serving(&self) -> bool {
        true
    }

    fn product_changed(&self, product_key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Ended::Product(product_key.into()));
    }

    fn product_secret_replaced(&self, product_key: &str) {
        let ended = Ended::ProductSecret(product_key.into());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(ended);
    }
}

/// A control socket that serves an empty store.
struct Served {
    directory: tempfile::TempDir,
    store: Arc<MemoryStore>,
    noted: Arc<Noted>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

fn operator(sessions: Arc<dyn LiveSessions>) -> Operator {
    Operator::new(Arc::new(MemoryStore::default()), Arc::new(SystemClock), Arc::new(SystemEntropy), sessions)
}

fn host() -> Host {
    let disk = Disk {
        registry_bytes: 1,
        logs_bytes: 5,
        messages_bytes: 2,
        backups_bytes: 6,
        other_bytes: 3,
        free_bytes: None,
    };
    Host { version: "0".into(), since: Some(UnixMillis(7)), refused_by_store: None, disk }
}

impl Served {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = ControlSocket::bind(directory.path()).unwrap();
        let (store, noted) = (Arc::new(MemoryStore::default()), Arc::new(Noted::default()));
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        let operator = Operator::new(store.clone(), clock, entropy, noted.clone());
        let (stop, stopping) = watch::channel(false);
        let events = Arc::new(Live::begin(&Stores::from(store.clone()), Feed::new()));
        let cursors = CursorKey::new([7; 16]);
        let events = Some(EventsSource::new(events, cursors, stopping.clone()));
        let api = Api { operator, host: Arc::new(host), events };
        let about = About { version: "0", dtls: "127.0.0.1:5684".into() };
        let router = narrowgate_http::control_router(about, Health::default(), Arc::new(|_| Vec::new()), api);
        let mut stopping = stopping;
        let stopped = async move {
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        let task = tokio::spawn(narrowgate_http::serve(socket, router, socket::PLACES_MAX, stopped));
        Self { directory, store, noted, stop, task }
    }

    /// A device of this key, which must exist, logs in.
    async fn log_in(&self, product_key: &str, device_key: &str) {
        let device = self.device(product_key, device_key).await;
        self.store.append(batch(vec![login(device, at(1))])).await.unwrap();
    }

    async fn device(&self, product_key: &str, device_key: &str) -> DeviceId {
        let found = self.store.device(&name(product_key, device_key)).await.unwrap();
        found.expect("it was registered").id
    }

    /// Two products with a device each: `pk/dk` and `other/dk-2`.
    async fn register(&self) {
        for (product_key, device_key) in [("pk", "dk"), ("other", "dk-2")] {
            self.ask(Call::create_product(&new_product(product_key))).await.unwrap();
            self.ask(Call::create_device(product_key, &new_device(device_key))).await.unwrap();
        }
    }

    /// The bytes of the stream of events, up to and with so many events that say something.
    async fn stream(&self, head: &str, count: usize) -> String {
        let mut stream = UnixStream::connect(self.data().join("control.sock")).unwrap();
        let request = format!("GET /api/v1/events HTTP/1.1\r\nhost: h\r\n{head}connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let read = move || {
            let (mut text, mut part) = (String::new(), [0; 512]);
            while text.matches("data:").count() < count || !text.ends_with("\n\n\r\n") {
                let bytes = stream.read(&mut part).unwrap();
                assert!(bytes > 0, "the stream ended: {text}");
                text += std::str::from_utf8(&part[..bytes]).unwrap();
            }
            text
        };
        tokio::task::spawn_blocking(read).await.unwrap()
    }

    fn data(&self) -> &Path {
        self.directory.path()
    }

    /// Runs `work` with a client of this socket, on a thread where it may block.
    async fn with_client<T: Send + 'static>(&self, work: impl FnOnce(Client) -> T + Send + 'static) -> T {
        let data = self.data().to_owned();
        let work = move || work(Client::connect(&data).unwrap().expect("the socket is served"));
        tokio::task::spawn_blocking(work).await.unwrap()
    }

    async fn ask<T: DeserializeOwned + Send + 'static>(&self, call: Call<T>) -> Result<T, Failure> {
        self.with_client(move |mut client| client.call(call)).await
    }

    fn ended(&self) -> Vec<Ended> {
        std::mem::take(&mut *self.noted.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Asks a router in this process, as a command does that opened the store itself.
async fn ask<T: DeserializeOwned>(router: &Router, call: Call<T>) -> Result<T, Failure> {
    let response = router.clone().oneshot(call.into_request().unwrap()).await.unwrap();
    let status = response.status();
    problem::read(status, &to_bytes(response.into_body(), usize::MAX).await.unwrap())
}

const SECRET: &str = "0123456789abcdefghijklmnopqrstuv";

fn new_product(product_key: &str) -> NewProduct {
    NewProduct {
        name: "n".into(),
        product_key: Some(product_key.into()),
        product_secret: Some(SecretText::new(SECRET.into())),
        ..NewProduct::default()
    }
}

fn new_device(device_key: &str) -> NewDeviceRequest {
    NewDeviceRequest {
        device_key: Some(device_key.into()),
        device_secret: Some(SecretText::new(SECRET.into())),
        ..NewDeviceRequest::default()
    }
}

fn named(device: &str) -> NamedDevice {
    NamedDevice::by_name(device)
}

/// Asks both ways; the answers are the same, but for what is generated.
async fn same<T: DeserializeOwned + Serialize + Send + 'static>(
    served: &Served,
    own: &Router,
    call: impl Fn() -> Call<T>,
) {
    let by_store = ask(own, call()).await;
    match (by_store, served.ask(call()).await) {
        (Ok(by_store), Ok(by_socket)) => {
            let without_id = |answer: T| {
                let mut value = serde_json::to_value(answer).unwrap();
                if let Some(object) = value.as_object_mut() {
                    for generated in ["assetId", "createdTime"] {
                        object.remove(generated);
                    }
                }
                value
            };
            assert_eq!(without_id(by_store), without_id(by_socket));
        }
        (by_store, by_socket) => assert_eq!(by_store.err(), by_socket.err()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_and_the_store_give_the_same_answers_and_errors() {
    let served = Served::start();
    let operator = operator(Arc::new(NobodyConnected));
    let own = narrowgate_http::api_router(Api { operator, host: Arc::new(host), events: None });
    same(&served, &own, || Call::create_product(&new_product("pk"))).await;
    same(&served, &own, || Call::create_product(&new_product("pk"))).await;
    same(&served, &own, || Call::create_product(&new_product("a,b"))).await;
    same(&served, &own, || Call::create_device("pk", &new_device("dk-1"))).await;
    same(&served, &own, || Call::show_product("other")).await;
    same(&served, &own, || Call::show_device(&named("nobody"))).await;
    let list = || DeviceList { product: Some("pk".into()), limit: Some(0), ..DeviceList::default() };
    same(&served, &own, || Call::list_devices(&list())).await;
    same(&served, &own, || Call::list_latest_values(&named("pk/dk-1"), &LatestQuery::default())).await;
    same(&served, &own, || Call::list_refusals(&Paging::first(10))).await;
    same(&served, &own, Call::show_status).await;
    for name in ["", ".", "..", "a/b", "pk/dk-1", "a:enable", "ä ?#%&+\n"] {
        same(&served, &own, || Call::show_device(&named(name))).await;
        same(&served, &own, || Call::disable_device(&NamedDevice::by_keys("pk", name))).await;
        let failure = served.ask(Call::show_product(name)).await.unwrap_err();
        assert_eq!(failure.parts[0].1, format!("there is no product {name}"));
    }
    let exits = [
        served.ask(Call::create_product(&new_product("pk"))).await,
        served.ask(Call::create_product(&new_product("a,b"))).await,
    ];
    assert_eq!(exits.map(|answer| answer.unwrap_err().exit), [Exit::Failed, Exit::Usage]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_sessions_is_told_to_the_server() {
    let served = Served::start();
    served.ask(Call::create_product(&new_product("pk"))).await.unwrap();
    served.ask(Call::create_device("pk", &new_device("dk"))).await.unwrap();
    served.ask(Call::disable_device(&named("dk"))).await.unwrap();
    served.ask(Call::enable_device(&named("dk"))).await.unwrap();
    served.ask(Call::reset_device(&named("dk"))).await.unwrap();
    served.ask(Call::rotate_device_secret(&named("dk"))).await.unwrap();
    served.ask(Call::delete_device(&named("dk"))).await.unwrap();
    served.ask(Call::delete_device(&named("dk"))).await.unwrap_err();
    let patch = ProductPatch { enabled: Some(false), ..ProductPatch::default() };
    served.ask(Call::update_product("pk", &patch)).await.unwrap();
    let product = || Ended::Product("pk".into());
    let replaced = "its secret was replaced by an operator";
    let devices = ["disabled by an operator", "reset by an operator", replaced, "deleted by an operator"];
    let mut expected = vec![product()];
    expected.extend(devices.map(Ended::Device));
    expected.push(product());
    assert_eq!(served.ended(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_is_deleted_ends_its_sessions_before_its_devices_go() {
    let served = Served::start();
    served.ask(Call::create_product(&new_product("pk"))).await.unwrap();
    served.ask(Call::create_device("pk", &new_device("dk"))).await.unwrap();
    served.ended();
    let changed = || Ended::Product("pk".into());
    let step = || served.ask(Call::delete_product("pk", true));
    let answer = step().await.unwrap();
    assert_eq!((answer.devices, answer.done, answer.disabled), (0, false, true));
    assert_eq!(served.ended(), [changed()]);
    step().await.unwrap();
    assert_eq!(served.ended(), [Ended::Device("deleted with its product"), changed()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_gets_what_it_asked_for_until_the_server_stops() {
    let served = Served::start();
    served.register().await;
    let listener = served.with_client(|mut client| {
        let query = EventsQuery { product: Some("pk".into()), types: Some("presence".into()), ..EVERYTHING };
        client.listen(Call::listen(&query)).unwrap();
        client
    });
    let mut listener = listener.await;
    served.log_in("other", "dk-2").await;
    served.log_in("pk", "dk").await;
    let received = tokio::task::spawn_blocking(move || {
        let Some(StreamEvent::Happening(json)) = listener.receive().unwrap() else {
            panic!("an event is expected")
        };
        (json, listener)
    });
    let (event, mut listener) = received.await.unwrap();
    let expected = format!(
        concat!(
            r#"{{"time":{},"event":"activated","productKey":"pk","deviceKey":"dk","#,
            r#""peer":"192.0.2.1:5","detail":"{}"}}"#
        ),
        at(1).0,
        SUITE
    );
    assert_eq!(event, expected);

    served.stop.send(true).unwrap();
    served.task.await.unwrap();
    let end = tokio::task::spawn_blocking(move || {
        let login = listener.receive().unwrap();
        (login, listener.receive().unwrap(), listener)
    });
    let end = end.await.unwrap();
    assert!(
        matches!((&end.0, &end.1), (Some(StreamEvent::Happening(_)), Some(StreamEvent::Ended))),
        "{:?}",
        end.0
    );
    let no_runtime_here = tokio::task::spawn_blocking(move || drop(end));
    no_runtime_here.await.unwrap();
    assert!(Client::connect(served.directory.path()).unwrap().is_none(), "the socket is gone");
}

/// The ids of a stream's events, in their order.
fn ids(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("id: ")).collect()
}

/// What they say.
fn data(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("data: ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_from_each_of_its_ids_with_nothing_missed_and_nothing_twice() {
    let served = Served::start();
    served.register().await;
    let first = tokio::join!(served.stream("", 4), async {
        // Its first id comes before anything happens.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        served.log_in("pk", "dk").await;
        served.log_in("other", "dk-2").await;
    });
    let (ids, data) = (ids(&first.0), data(&first.0));
    assert_eq!(
        (ids.len(), data.len()),
        (5, 4),
        "where it begins, and two logins that are the first: {first:?}"
    );
    for (n, id) in ids.iter().enumerate().take(4) {
        let header = served.stream(&format!("last-event-id: {id}\r\n"), 4 - n).await;
        assert_eq!(self::data(&header), data[n..]);
    }
    // What the header says counts, as with a client that connects again by itself.
    let unknown = served.stream("last-event-id: 3-9\r\n", 1).await;
    assert_eq!(self::data(&unknown), [r#"{"from":null,"reason":"unknown","to":null}"#]);
    assert!(unknown.contains("event: gap"));
    let query = |cursor: &str| EventsQuery { cursor: Some(cursor.into()), ..EVERYTHING };
    let refused = served.with_client({
        let query = query("3-9");
        move |mut client| client.listen(Call::listen(&query)).unwrap_err()
    });
    assert!(refused.await.parts.iter().any(|(_, text)| text.contains("cursor is not one")));
    let none = EventsQuery { types: Some("report,nothing".into()), ..EVERYTHING };
    let refused = served.with_client(move |mut client| client.listen(Call::listen(&none)).unwrap_err());
    assert!(refused.await.parts.iter().any(|(_, text)| text.contains("types has \"nothing\"")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_slow_misses_nothing_and_keeps_nobody_waiting() {
    const REPORTS: i64 = 20_000;
    let served = Served::start();
    served.register().await;
    let listener = served.with_client(|mut client| {
        client.listen(Call::listen(&EventsQuery::default())).unwrap();
        client
    });
    let mut listener = listener.await;
    let device = served.device("pk", "dk").await;
    for n in 0..REPORTS / 100 {
        let writes = (0..100).map(|m| report(device, at(n * 100 + m), r#"{"t":1}"#)).collect();
        served.store.append(batch(writes)).await.unwrap();
    }
    // Its full socket stops nobody else.
    served.ask(Call::list_products()).await.unwrap();
    let read = move || {
        for n in 0..REPORTS {
            match listener.receive().unwrap() {
                Some(StreamEvent::Happening(json)) => {
                    assert!(json.starts_with(&format!("{{\"time\":{},", at(n).0)), "{json} is report {n}");
                }
                other => panic!("{other:?} after {n} events"),
            }
        }
    };
    tokio::task::spawn_blocking(read).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_to_what_does_not_exist_is_told_so() {
    let served = Served::start();
    for product_key in ["pk", "p2"] {
        served.ask(Call::create_product(&new_product(product_key))).await.unwrap();
    }
    served.ask(Call::create_device("pk", &new_device("dk-1"))).await.unwrap();
    let listen = |product: Option<&str>, device: Option<&str>| {
        let (product, device) = (product.map(str::to_owned), device.map(str::to_owned));
        let call = Call::listen(&EventsQuery { product, device, ..EventsQuery::default() });
        served.with_client(move |mut client| client.listen(call))
    };
    for (product, device, reason) in [
        (Some("pq"), None, "there is no product pq"),
        (Some("pq"), Some("dk-1"), "there is no product pq"),
        (Some("p2"), Some("dk-1"), "there is no device p2/dk-1"),
        (None, Some("dk-2"), "there is no device dk-2"),
        (None, Some("pk/dk-2"), "there is no device pk/dk-2"),
    ] {
        let failure = listen(product, device).await.unwrap_err();
        assert_eq!(failure.headline, "cannot listen");
        let texts: Vec<_> = failure.parts.iter().map(|(_, text)| text.as_str()).collect();
        assert!(texts[0] == reason && texts[1].contains("list"), "{texts:?}");
    }
    for (product, device) in [(Some("pk"), None), (Some("pk"), Some("dk-1")), (None, Some("pk/dk-1"))] {
        listen(product, device).await.unwrap();
    }
    served.stop.send(true).unwrap();
}

#[test]
fn a_server_that_stops_before_it_answers_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let listener = std::os::unix::net::UnixListener::bind(directory.path().join("control.sock")).unwrap();
    for (call, reason) in [
        (Call::show_product("pk"), "it closed the connection"),
        (Call::update_product("pk", &ProductPatch::default()), "it is not known whether the change was made"),
    ] {
        let mut client = Client::connect(directory.path()).unwrap().unwrap();
        drop(listener.accept().unwrap());
        let failure = client.call(call).unwrap_err();
        assert_eq!(failure.headline, "the server stopped before it answered");
        assert_eq!(failure.parts[0].1, reason);
    }
    drop(listener);
    assert!(Client::connect(directory.path()).unwrap().is_none(), "a stale socket counts as none");
}

#[test]
fn a_server_that_speaks_something_else_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let listener = std::os::unix::net::UnixListener::bind(directory.path().join("control.sock")).unwrap();
    for said in [
        "{\"failed\":{\"exit\":\"failed\",\"headline\":\"no\",\"parts\":[]}}\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
    ] {
        let mut client = Client::connect(directory.path()).unwrap().unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let answering = std::thread::spawn(move || {
            let mut asked = [0; 1000];
            let _ = server.read(&mut asked).unwrap();
            server.write_all(said.as_bytes()).unwrap();
        });
        let failure = client.call(Call::show_product("pk")).unwrap_err();
        assert_eq!(failure.headline, "the running server answers in a way that this program does not know");
        answering.join().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_private_and_replaces_a_leftover() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("control.sock"), "leftover").unwrap();
    fs::write(directory.path().join("control.new"), "leftover").unwrap();
    let socket = ControlSocket::bind(directory.path()).unwrap();
    assert_eq!(socket.path().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    drop(socket);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_no_request_are_answered_and_lines_without_end_are_cut() {
    let served = Served::start();
    let path = served.data().join("control.sock");
    let ask = move |bytes: &[u8]| {
        let mut stream = UnixStream::connect(&path).unwrap();
        // The server may close before it has read all.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    };
    let (line, unknown, endless) = tokio::task::spawn_blocking(move || {
        let head = "POST /api/v1/products HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\
                    content-type: application/json\r\ncontent-length: ";
        let mut endless = format!("{head}{}\r\n\r\n", BODY_BYTES_MAX + 1).into_bytes();
        endless.extend(vec![b'x'; BODY_BYTES_MAX + 1]);
        let unknown = b"POST /api/v1/explode HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
        (ask(b"{\"explode\":{}}\n"), ask(unknown), ask(&endless))
    })
    .await
    .unwrap();
    assert!(line.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{line}");
    assert!(unknown.contains("\"code\":\"path_unknown\""), "{unknown}");
    assert!(endless.is_empty() || endless.contains("too long"), "{endless}");
    served.ask(Call::list_products()).await.unwrap();
}

#[test]
fn requests_and_replies_cross_as_one_line_and_come_back() {
    let new = NewDeviceRequest {
        device_key: None,
        device_secret: Some(SecretText::new("s3cret\n".into())),
        name: Some("a\nb".into()),
        ..NewDeviceRequest::default()
    };
    let call = Call::create_device("p", &new);
    assert!(!format!("{call:?}").contains("s3cret"));
    let (method, path, body) = call.sent();
    assert_eq!((method, path), ("POST", "/api/v1/products/p/devices"));
    assert!(!body.contains('\n'));
    let back: NewDeviceRequest = serde_json::from_str(body).unwrap();
    assert_eq!(back.device_secret.unwrap().expose(), "s3cret\n");
    assert_eq!(back.name.as_deref(), Some("a\nb"));

    let answer = r#"{"items":[],"nextCursor":"2-a"}"#;
    let page: Page<ProductRow> = problem::read(StatusCode::OK, &answer.into()).unwrap();
    assert_eq!(serde_json::to_string(&page).unwrap(), answer);
}

#[test]
fn a_failure_crosses_with_its_exit_and_its_parts() {
    let failed = |code, title: &str| {
        let problem = Problem {
            detail: Some("because".into()),
            hint: Some("this".into()),
            ..Problem::new(422, code, title)
        };
        let body = serde_json::to_vec(&problem).unwrap();
        problem::read::<ProductView>(StatusCode::UNPROCESSABLE_ENTITY, &body.into()).unwrap_err()
    };
    let expected =
        |code, failure: Failure| Failure { code: Some(code), ..failure.reason("because").hint("this") };
    assert_eq!(failed(Code::Invalid, "no"), expected(Code::Invalid, Failure::usage("no")));
    // A model is a file's content, not an argument.
    for code in [Code::ModelInvalid, Code::Missing, Code::Exists, Code::StoreDamaged, Code::Other] {
        assert_eq!(failed(code, "no"), expected(code, Failure::failed("no")));
    }
    for code in [Code::Malformed, Code::PathUnknown, Code::MethodWrong, Code::MediaTypeWrong] {
        let failure = failed(code, "Not Found");
        assert_eq!(failure.headline, "the running server does not know this request");
        assert_eq!(failure.parts[0].1, "because");
    }
}

#[test]
fn the_longest_import_request_fits_the_line() {
    let row = || ImportRow {
        line: u64::MAX,
        device_key: "\u{1}".repeat(128),
        device_secret: Some(SecretText::new("\u{1}".repeat(128))),
        is_generated: true,
        name: Some("\u{1}".repeat(256)),
        ..ImportRow::default()
    };
    let rows = (0..IMPORT_ROWS_MAX).map(|_| row()).collect();
    let call = Call::import_devices(&"p".repeat(128), rows, false);
    assert!(call.sent().2.len() < BODY_BYTES_MAX);
}

#[test]
fn a_call_that_changes_nothing_says_so() {
    let import = |dry_run| Call::import_devices("pk", Vec::new(), dry_run).reads_only;
    assert!(import(true) && !import(false));
    assert!(Call::list_products().reads_only && Call::show_device_secret(&named("dk")).reads_only);
    assert!(!Call::delete_product("pk", false).reads_only && !Call::enable_device(&named("dk")).reads_only);
    let rename = Call::rename_device(&named("dk"), &narrowgate_api::device::DevicePatch { name: "n".into() });
    assert!(!rename.reads_only);
    let value: Value = serde_json::from_str(rename.sent().2).unwrap();
    assert_eq!(value["name"], "n");
}
