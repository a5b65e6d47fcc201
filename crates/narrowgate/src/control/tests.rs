//! The protocol of the control socket, and both ways to the registry side by side.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::Path,
    sync::{Arc, Mutex},
};

use narrowgate_api::happening::{Happening, Login};
use narrowgate_platform::{
    ids::{self, UnixMillis},
    memory::MemoryStore,
    service::Operator,
};
use serde_json::{Value, value::RawValue};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    execute::{Effect, execute},
    server::{ControlSocket, Service},
    status::Host,
    *,
};
use crate::{
    failure::Exit,
    feed::Feed,
    system::{SystemClock, SystemEntropy},
};

/// A control socket that serves an empty store.
struct Served {
    directory: tempfile::TempDir,
    feed: Feed,
    effects: Arc<Mutex<Vec<Effect>>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

fn registry() -> Operator {
    Operator::new(Arc::new(MemoryStore::default()), Arc::new(SystemClock), Arc::new(SystemEntropy))
}

impl Served {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = ControlSocket::bind(directory.path()).unwrap();
        let effects = Arc::new(Mutex::new(Vec::new()));
        let (feed, noted) = (Feed::new(), effects.clone());
        let apply = Box::new(move |effect| noted.lock().unwrap().push(effect));
        let host = Host {
            since: Some(UnixMillis(7)),
            data: directory.path().to_owned(),
            refused_by_store: Box::new(|| None),
        };
        let service = Arc::new(Service { registry: registry(), feed: feed.clone(), host, apply });
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(socket.serve(service, stopping));
        Self { directory, feed, effects, stop, task }
    }

    fn data(&self) -> &Path {
        self.directory.path()
    }

    /// Runs `work` with a client of this socket, on a thread where it may block.
    async fn with_client<T: Send + 'static>(&self, work: impl FnOnce(Client) -> T + Send + 'static) -> T {
        let client = Client::connect(self.data()).unwrap().expect("the socket is served");
        tokio::task::spawn_blocking(move || work(client)).await.unwrap()
    }

    async fn ask(&self, request: Request) -> Result<Box<RawValue>, Failure> {
        self.with_client(move |mut client| client.request(&request)).await
    }
}

fn new_product(product_key: &str) -> Request {
    Request::CreateProduct {
        name: "n".into(),
        product_key: Some(product_key.into()),
        product_secret: Some(SecretText::new("0123456789abcdefghijklmnopqrstuv".into())),
        dynamic_activation: false,
        activation_ends: None,
        quota: None,
        model: None,
    }
}

fn new_device(device_key: &str) -> Request {
    Request::CreateDevice {
        product_key: "pk".into(),
        device_key: Some(device_key.into()),
        device_secret: Some(SecretText::new("0123456789abcdefghijklmnopqrstuv".into())),
        name: None,
    }
}

fn named(device: &str) -> DeviceName {
    DeviceName { product: None, device: device.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_and_the_store_give_the_same_answers_and_errors() {
    let requests: [fn() -> Request; 9] = [
        || new_product("pk"),
        || new_product("pk"),
        || new_product("a,b"),
        || new_device("dk-1"),
        || Request::Product { product_key: "other".into() },
        || Request::Device { device: named("nobody") },
        || Request::Devices { product_key: Some("pk".into()), state: None, limit: 0, cursor: None },
        || Request::PointsLatest { device: named("pk/dk-1"), point: None, limit: 10, cursor: None },
        || Request::Refusals { limit: 10, cursor: None },
    ];
    let served = Served::start();
    let own = registry();
    for request in requests {
        let by_store = execute(&own, request()).await.map(|outcome| outcome.answer.get().to_owned());
        let by_socket = served.ask(request()).await.map(|answer| answer.get().to_owned());
        if let (Ok(by_store), Ok(by_socket)) = (&by_store, &by_socket) {
            // Asset ids are generated.
            let without_id = |json: &str| {
                let mut value: Value = serde_json::from_str(json).unwrap();
                value.as_object_mut().map(|object| object.remove("assetId"));
                value
            };
            assert_eq!(without_id(by_store), without_id(by_socket));
        } else {
            assert_eq!(by_store, by_socket);
        }
    }
    let exits = [served.ask(new_product("pk")).await, served.ask(new_product("a,b")).await];
    assert_eq!(exits.map(|answer| answer.unwrap_err().exit), [Exit::Failed, Exit::Usage]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_sessions_is_told_to_the_server() {
    let served = Served::start();
    served.ask(new_product("pk")).await.unwrap();
    served.ask(new_device("dk")).await.unwrap();
    served.ask(Request::SetDeviceEnabled { device: named("dk"), enabled: false }).await.unwrap();
    served.ask(Request::SetDeviceEnabled { device: named("dk"), enabled: true }).await.unwrap();
    served.ask(Request::ResetDevice { device: named("dk") }).await.unwrap();
    served.ask(Request::DeleteDevice { device: named("dk") }).await.unwrap();
    served.ask(Request::DeleteDevice { device: named("dk") }).await.unwrap_err();
    let update = Request::UpdateProduct {
        product_key: "pk".into(),
        name: None,
        enabled: Some(false),
        dynamic_activation: None,
        activation_ends: None,
        quota: None,
        model: None,
        no_activation_ends: false,
        default_quota: false,
        no_model: false,
    };
    served.ask(update).await.unwrap();
    let causes: Vec<String> = served
        .effects
        .lock()
        .unwrap()
        .iter()
        .map(|effect| match effect {
            Effect::CloseDevice { cause, .. } => (*cause).to_owned(),
            Effect::ProductChanged { product_key } => product_key.clone(),
        })
        .collect();
    assert_eq!(
        causes,
        ["pk", "disabled by an operator", "reset by an operator", "deleted by an operator", "pk"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_is_deleted_ends_its_sessions_before_its_devices_go() {
    let served = Served::start();
    served.ask(new_product("pk")).await.unwrap();
    served.ask(new_device("dk")).await.unwrap();
    let effects = || served.effects.lock().unwrap().drain(..).collect::<Vec<_>>();
    let changed = || Effect::ProductChanged { product_key: "pk".into() };
    let step = || served.ask(Request::DeleteProduct { product_key: "pk".into(), force: true });
    effects();
    let answer: Value = serde_json::from_str(step().await.unwrap().get()).unwrap();
    assert_eq!(
        (&answer["devices"], &answer["done"], &answer["disabled"]),
        (&0.into(), &false.into(), &true.into())
    );
    assert_eq!(effects(), [changed()]);
    step().await.unwrap();
    let cause = "deleted with its product";
    assert!(matches!(&effects()[..], [Effect::CloseDevice { cause: told, .. }, last]
        if *told == cause && *last == changed()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_gets_what_it_asked_for_until_the_server_stops() {
    let served = Served::start();
    served.ask(new_product("pk")).await.unwrap();
    let listener = served.with_client(|mut client| {
        client.request(&Request::Listen { product_key: Some("pk".into()), device_key: None }).unwrap();
        client
    });
    let mut listener = listener.await;
    for product_key in ["other", "pk"] {
        let device = Some(ids::DeviceName { product_key: product_key.into(), device_key: "dk".into() });
        let login = Login { time: UnixMillis(1), device, peer: None, detail: None };
        served.feed.publish(Happening::Login(login), None);
    }
    let received = tokio::task::spawn_blocking(move || {
        let Some(Reply::Event(event)) = listener.receive().unwrap() else { panic!("an event is expected") };
        (event.get().to_owned(), listener)
    });
    let (event, mut listener) = received.await.unwrap();
    assert_eq!(event, r#"{"time":1,"event":"login","productKey":"pk","deviceKey":"dk"}"#);

    served.stop.send(true).unwrap();
    served.task.await.unwrap();
    let end = tokio::task::spawn_blocking(move || listener.receive().unwrap()).await.unwrap();
    assert!(matches!(end, Some(Reply::Ended)));
    assert!(Client::connect(served.directory.path()).unwrap().is_none(), "the socket is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_to_what_does_not_exist_is_told_so() {
    let served = Served::start();
    for request in [new_product("pk"), new_product("p2"), new_device("dk-1")] {
        served.ask(request).await.unwrap();
    }
    let listen = |product: Option<&str>, device: Option<&str>| {
        let (product_key, device_key) = (product.map(str::to_owned), device.map(str::to_owned));
        served.ask(Request::Listen { product_key, device_key })
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

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_before_it_answers_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let listener = std::os::unix::net::UnixListener::bind(directory.path().join("control.sock")).unwrap();
    let mut client = Client::connect(directory.path()).unwrap().unwrap();
    drop(listener.accept().unwrap());
    let failure = client.request(&Request::Products).unwrap_err();
    assert_eq!(failure.headline, "the server stopped before it answered");
    drop(listener);
    assert!(Client::connect(directory.path()).unwrap().is_none(), "a stale socket counts as none");
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
        let mut line = String::new();
        let _ = BufReader::new(stream).read_line(&mut line);
        line
    };
    let (unknown, endless) = tokio::task::spawn_blocking(move || {
        let endless = vec![b'x'; LINE_BYTES_MAX as usize + 1];
        (ask(b"{\"explode\":{}}\n"), ask(&endless))
    })
    .await
    .unwrap();
    assert!(unknown.contains("does not know this request"), "{unknown}");
    assert!(endless.is_empty() || endless.contains("too long"), "{endless}");
    served.ask(Request::Products).await.unwrap();
}

#[test]
fn requests_and_replies_cross_as_one_line_and_come_back() {
    let request = Request::CreateDevice {
        product_key: "p".into(),
        device_key: None,
        device_secret: Some(SecretText::new("s3cret\n".into())),
        name: Some("a\nb".into()),
    };
    assert!(!format!("{request:?}").contains("s3cret"));
    let line = serde_json::to_string(&request).unwrap();
    assert!(!line.contains('\n'));
    let Request::CreateDevice { device_secret, name, .. } = serde_json::from_str(&line).unwrap() else {
        panic!("another request")
    };
    assert_eq!((device_secret.unwrap().expose(), name.as_deref()), ("s3cret\n", Some("a\nb")));

    let reply = Reply::Done(RawValue::from_string("{\"z\":1,\"a\":2}".into()).unwrap());
    let line = serde_json::to_string(&reply).unwrap();
    assert_eq!(line, "{\"done\":{\"z\":1,\"a\":2}}");
    assert!(matches!(serde_json::from_str(&line), Ok(Reply::Done(raw)) if raw.get() == "{\"z\":1,\"a\":2}"));
}

#[test]
fn a_failure_crosses_with_its_exit_and_its_parts() {
    let failure = Failure::usage("no").reason("because").hint("this");
    let line = serde_json::to_string(&Reply::Failed(failure.clone())).unwrap();
    assert!(matches!(serde_json::from_str(&line), Ok(Reply::Failed(back)) if back == failure));
}

#[test]
fn the_longest_import_request_fits_the_line() {
    let row = || ImportRow {
        line: u64::MAX,
        device_key: "\u{1}".repeat(128),
        device_secret: Some(SecretText::new("\u{1}".repeat(128))),
        is_generated: true,
        name: Some("\u{1}".repeat(256)),
    };
    let rows = (0..IMPORT_ROWS_MAX).map(|_| row()).collect();
    let request = Request::ImportDevices { product_key: "p".repeat(128), rows, dry_run: false };
    assert!((serde_json::to_string(&request).unwrap().len() as u64) < LINE_BYTES_MAX);
}
