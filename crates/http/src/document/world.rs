//! A server over a store in memory, with one of everything in it, for the matrix and for the examples.

use std::{net::Ipv4Addr, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode, header, request::Builder},
};
use narrowgate_api::{
    access::{NewToken, NewUnit, Role},
    backup::BackupView,
    device::{NamedDevice, NewDeviceRequest},
    firmware::{ImagePieceQuery, NewImage, NewRollout},
    fleet::{Disk, Host},
    job::{BulkAction, JobFault, JobState},
    problem::{Code, MEDIA_TYPE},
    product::NewProduct,
    script::PublishScript,
    user::NewUser,
};
use narrowgate_platform::{
    ids::{DEFAULT_OU, DeviceName, LoginNumber, UnixMillis},
    memory::{MemoryStore, PlainScripts},
    model::{
        audit::AuditOutcome,
        command::{Command, CommandMove, CommandStep},
        log::{LogEntry, LogEvent, Reason},
        message::{Message, MessageKind, event_json},
        rates::{CountedMinute, Tally, minute_of},
        retention::RetentionClass,
        user::SessionTimes,
    },
    ports::{Batch, Clock as _, Journal as _, NobodyConnected, Registry as _, Write},
    rules::rate::Rate,
    secret::Secret,
    service::{AskedFrom, Deed, LINK_PATH, Operator, form_token},
    testing::{ManualClock, PlainPasswords, SeededEntropy},
};
use serde_json::{Value, value::RawValue};
use tower::ServiceExt as _;

use super::{
    Example, Examples,
    operation::QUERY,
    operation_id,
    told::{FIRMWARE, TOLD},
    told_of,
};
use crate::{
    About, Api, BackingUp, Backups, Health, MetricsSource,
    api::{Row, rows},
    browser::{FORM_TOKEN, SESSION},
    router, with_backups,
};

/// A server and what is in it.
pub(crate) struct World {
    pub(crate) router: Router,
    pub(crate) operator: Operator,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) passwords: Arc<PlainPasswords>,
    store: Arc<MemoryStore>,
}

/// The password of all users.
const PASSWORD: &str = "correct horse battery";

/// Backups of nothing.
struct NoFiles;

impl Backups for NoFiles {
    fn back_up(&self, with_key: bool) -> BackingUp {
        Box::pin(std::future::ready(Ok(BackupView {
            name: "20231114T221320Z".to_owned(),
            time: UnixMillis(1_700_000_000_000),
            files: 7,
            bytes: 1_048_576,
            batch: 7,
            with_key,
            images_without_file: Vec::new(),
            audit_log_damaged: None,
        })))
    }
}

/// The keys of what is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    /// Of a product.
    pub(crate) product: &'a str,
    /// Of a device.
    pub(crate) device: &'a str,
    /// Id of an image.
    pub(crate) image: &'a str,
    /// Id of a command.
    pub(crate) command: &'a str,
    /// Id of a job.
    pub(crate) job: &'a str,
}

/// Product `pk-1` with device `dk-1` in the default unit, and two other units, `north` and `south`.
pub(crate) async fn world(rate: Option<Rate>) -> World {
    let clock = Arc::new(ManualClock::new(UnixMillis(1_700_000_000_000)));
    let entropy = Arc::new(SeededEntropy::new(1));
    let store = Arc::new(MemoryStore::default());
    let operator = Operator::new(store.clone(), clock.clone(), entropy, Arc::new(NobodyConnected));
    let passwords = Arc::new(PlainPasswords::default());
    let operator = operator.with_scripts(Arc::new(PlainScripts));
    let operator = operator.with_logins(passwords.clone(), SessionTimes::default());
    let metrics: MetricsSource = Arc::new(|_| Vec::new());
    let about = About { version: "0", dtls: "127.0.0.1:5684".into() };
    let disk = Disk {
        registry_bytes: 1,
        logs_bytes: 5,
        messages_bytes: 2,
        backups_bytes: 6,
        other_bytes: 3,
        free_bytes: None,
    };
    let host = move || Host { version: "0".into(), since: None, refused_by_store: None, disk };
    let api = Api { operator: operator.clone(), host: Arc::new(host), events: None };
    let router = router(about, Health::default(), metrics, api, rate);
    let router = with_backups(router, Arc::new(NoFiles));
    let world = World { router, operator, clock, passwords, store };
    for name in ["north", "south"] {
        let new = NewUnit { name: name.into(), ..NewUnit::default() };
        world.operator.create_unit(new).await.expect("it is new");
    }
    world.fill().await;
    world
}

impl World {
    /// Makes what was deleted anew; the id of the image.
    pub(crate) async fn fill(&self) -> String {
        let product =
            NewProduct { name: "n".into(), product_key: Some("pk-1".into()), ..NewProduct::default() };
        // Ignored: it may be there.
        let _ = self.operator.create_product(product).await;
        let device = NewDeviceRequest { device_key: Some("dk-1".into()), ..NewDeviceRequest::default() };
        let _ = self.operator.create_device("pk-1", device).await;
        let new: NewImage = serde_json::from_str(FIRMWARE).expect("it is one");
        self.operator.begin_image(new.clone()).await.expect("there is room");
        let NewImage { product_key, version, size, sha256 } = new;
        let piece = ImagePieceQuery { product_key, version, size, sha256, offset: 0 };
        let upload = self.operator.take_image_piece(piece, vec![7]).await.expect("it is all of it");
        upload.image.expect("it is complete").image_id
    }

    /// A device that has been online, reported and got a command; a model, a script, a rollout, a token and a
    /// user.
    /// The ids of the image and of the command.
    pub(crate) async fn furnish(&self) -> (String, String) {
        let image = self.fill().await;
        self.token("ci", Role::Viewer, None).await;
        self.session("ann", Role::Viewer, None).await;
        let model = RawValue::from_string(MODEL.to_owned()).expect("it is JSON");
        self.operator.put_model("pk-1", &model, None).await.expect("it is a model");
        let script = PublishScript { source: Some("copy".into()) };
        self.operator.publish_script("pk-1", script).await.expect("it is a script");
        self.report().await;
        self.note_deed().await;
        let device = NamedDevice::by_keys("pk-1", "dk-1");
        let command = serde_json::from_str(r#"{"kind":"get","ids":["temp"],"pendingTtl":60}"#);
        let command = self.operator.send_command(&device, command.expect("it is one")).await;
        let offer =
            NewRollout { image_id: image.clone(), device: Some("dk-1".into()), share: None, cursor: None };
        self.operator.offer_image(offer).await.expect("it is there");
        (image, command.expect("it may be sent").id)
    }

    /// A job that has ended; its id.
    async fn job(&self) -> String {
        let act = self.operator.bulk_act(BulkAction::Disable, None).await.expect("it is acceptable");
        let (job, shown) = self.operator.begin_job(&act, false);
        job.note_matched(3);
        job.begin();
        job.note_done(1, 1);
        job.note_fault(JobFault {
            row: Some(3),
            product_key: Some("pk-1".into()),
            device_key: "dk-3".into(),
            code: Code::Missing,
            message: "there is no device pk-1/dk-3".into(),
        });
        job.end(JobState::Done, None);
        shown.id
    }

    /// Takes away what an operation does not do with.
    async fn make_way(&self, operation: &str, image: &str) {
        let device = NamedDevice::by_keys("pk-1", "dk-1");
        if matches!(operation, "deleteProduct" | "deleteImage") {
            self.operator.delete_device(&device).await.expect("it is there");
        }
        if operation == "deleteProduct" {
            self.operator.delete_image(image).await.expect("nobody gets it");
        }
    }

    /// An entry of the audit log.
    async fn note_deed(&self) {
        let deed = Deed {
            action: "devices.disable".to_owned(),
            target: "/products/pk-1/devices/dk-1".to_owned(),
            ou: Some(DEFAULT_OU.to_owned()),
            asked: AskedFrom {
                address: Some(Ipv4Addr::new(192, 0, 2, 7).into()),
                request_id: Some("5f0c2a91-1c".to_owned()),
            },
        };
        let mut noted = self.operator.note_deed(deed).await.expect("memory takes it");
        (noted.entry.outcome, noted.entry.status) = (AuditOutcome::Done, Some(200));
        self.operator.end_deed(noted).await.expect("memory takes it");
    }

    /// What the device sent.
    async fn report(&self) {
        let now = self.clock.now();
        let name = DeviceName { product_key: "pk-1".to_owned(), device_key: "dk-1".to_owned() };
        let device = self.store.device(&name).await.expect("it reads").expect("it is there").id;
        let message = |kind, points_json: Box<str>| {
            Write::Message(Message {
                device,
                kind,
                time: now,
                arrival: now,
                login: None,
                secret_version: 1,
                session: 0,
                retention: RetentionClass::STANDARD,
                points_json,
            })
        };
        let peer = "192.0.2.1:40000".to_owned();
        let login = Write::Login {
            device,
            number: LoginNumber(1),
            at: now,
            lifetime_s: 300,
            secret_version: 1,
            peer: peer.clone(),
            over: "TLS_PSK_WITH_AES_128_CCM_8",
        };
        let refusal = LogEntry {
            identity: Some("pk-1,dk-1,2,300".to_owned()),
            reason: Some(Reason::WrongKey),
            code: Some(742),
            peer: Some(peer),
            detail: Some("the product's secret was used".to_owned()),
            ..LogEntry::new(device, now, LogEvent::Refused)
        };
        let writes = vec![
            login,
            message(MessageKind::Points, r#"{"temp":21.5}"#.into()),
            message(MessageKind::Event, event_json("tilted", r#"{"angle":7}"#)),
            Write::Log(refusal),
            Write::Rates(Arc::new(counted(now))),
        ];
        self.store.append(Batch::new(0, writes)).await.expect("memory takes it");
    }

    /// Device `dk-1` fetches its commands, and can do none of them.
    pub(crate) async fn refuse_commands(&self) {
        let name = DeviceName { product_key: "pk-1".to_owned(), device_key: "dk-1".to_owned() };
        let device = self.store.device(&name).await.expect("it reads").expect("it is there").id;
        let refused = CommandStep::Reply { code: 500, data_json: None, message: None };
        let (mut writes, at) = (Vec::new(), self.clock.now());
        for Command { id, .. } in self.store.open_commands(device).await.expect("it reads") {
            let moved = |step| Write::Command(CommandMove { device, id, session: None, step, at });
            writes.extend([CommandStep::Fetch, refused.clone()].map(moved));
        }
        self.store.append(Batch::new(0, writes)).await.expect("memory takes it");
    }

    /// A handshake of a device of `pk-1` was refused now: with a wrong key, which was that of the product.
    pub(crate) async fn note_refusal(&self, device_key: &str) {
        self.note_refusal_with(device_key, "the product's secret was used").await;
    }

    /// The same in these words.
    pub(crate) async fn note_refusal_with(&self, device_key: &str, words: &str) {
        let name = DeviceName { product_key: "pk-1".to_owned(), device_key: device_key.to_owned() };
        let device = self.store.device(&name).await.expect("it reads").expect("it is there").id;
        let refusal = LogEntry {
            reason: Some(Reason::WrongKey),
            code: Some(742),
            detail: Some(words.to_owned()),
            ..LogEntry::new(device, self.clock.now(), LogEvent::Refused)
        };
        let batch = Batch::new(0, vec![Write::Log(refusal)]);
        self.store.append(batch).await.expect("memory takes it");
    }

    /// A device of `pk-1` was heard now.
    pub(crate) async fn hear_from(&self, device_key: &str) {
        let name = DeviceName { product_key: "pk-1".to_owned(), device_key: device_key.to_owned() };
        let device = self.store.device(&name).await.expect("it reads").expect("it is there").id;
        let heard = Write::Seen { device, login: None, at: self.clock.now() };
        self.store.append(Batch::new(0, vec![heard])).await.expect("memory takes it");
    }

    /// From here on the counts of minutes cannot be read.
    pub(crate) fn damage_counts(&self) {
        self.store.damage_counts();
    }

    /// Reports of device `dk-1`, each so many milliseconds old.
    pub(crate) async fn report_often(&self, reports: impl Iterator<Item = (i64, String)>) {
        let now = self.clock.now();
        let name = DeviceName { product_key: "pk-1".to_owned(), device_key: "dk-1".to_owned() };
        let device = self.store.device(&name).await.expect("it reads").expect("it is there").id;
        let message = |(age_ms, points_json): (i64, String)| {
            Write::Message(Message {
                device,
                kind: MessageKind::Points,
                time: UnixMillis(now.0 - age_ms),
                arrival: now,
                login: None,
                secret_version: 1,
                session: 0,
                retention: RetentionClass::STANDARD,
                points_json: points_json.into(),
            })
        };
        let writes = reports.map(message).collect();
        self.store.append(Batch::new(0, writes)).await.expect("memory takes it");
    }

    /// A token that is valid for a day.
    pub(crate) async fn token(&self, name: &str, role: Role, ou: Option<&str>) -> String {
        let expires_at = Some(UnixMillis(self.clock.now().0 + 86_400_000));
        let new = NewToken { name: name.into(), role, ou: ou.map(str::to_owned), expires_at };
        let made = self.operator.create_token(new).await.expect("it is new");
        made.token.expose().to_owned()
    }

    /// The text of the session of a new user.
    pub(crate) async fn session(&self, name: &str, role: Role, ou: Option<&str>) -> String {
        let new = NewUser { user: name.into(), role, ou: ou.map(str::to_owned) };
        let invited = self.operator.create_user(new).await.expect("it is new");
        let link = invited.link.expose().strip_prefix(LINK_PATH).expect("it is the path of the page");
        let password = Secret::new(PASSWORD.into());
        let logged_in = self.operator.set_password(link, password, AskedFrom::default()).await;
        let logged_in = logged_in.expect("it is valid");
        logged_in.session.into_text()
    }

    /// The text of another session of a user.
    pub(crate) async fn log_in_again(&self, name: &str) -> String {
        let asked = (None, AskedFrom::default());
        let logged_in = self.operator.log_in(name, Secret::new(PASSWORD.into()), asked).await;
        logged_in.expect("it works").expect("it is the password").session.into_text()
    }

    /// All that the store holds, as text; of the log of operators nothing.
    pub(crate) fn stored(&self) -> String {
        format!("{:?}", self.store)
    }

    /// The status of the answer, and its body.
    pub(crate) async fn ask(&self, request: Request<Body>) -> (StatusCode, Value) {
        let Example { status, body, .. } = self.example(request).await;
        (StatusCode::from_u16(status).expect("it is one"), body)
    }

    /// The answer, without the name of the request.
    async fn example(&self, request: Request<Body>) -> Example {
        let response = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let status = response.status().as_u16();
        let id = response.headers().get("x-request-id").expect("every answer has it").clone();
        let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let media_type = media_type.and_then(|kind| kind.split(';').next()).unwrap_or_default().to_owned();
        let body = to_bytes(response.into_body(), 1 << 20).await.expect("it ends");
        let mut body = match &*media_type {
            "application/json" | MEDIA_TYPE => serde_json::from_slice(&body).expect("it is JSON"),
            _ => Value::from(String::from_utf8_lossy(&body)),
        };
        if media_type == MEDIA_TYPE {
            let said = body.as_object_mut().expect("a problem is an object").remove("requestId");
            assert_eq!(said.as_ref().and_then(Value::as_str), id.to_str().ok());
            assert_eq!(body["status"], status);
        }
        Example { status, media_type, body }
    }
}

/// What was counted in the minute before.
fn counted(now: UnixMillis) -> CountedMinute {
    let mut tally = Tally::of_reports(2);
    tally.refuse(Some(Reason::WrongKey));
    let minute = minute_of(now) - 1;
    CountedMinute { minute, since: minute, all: tally, products: vec![("pk-1".to_owned(), tally)] }
}

/// A request to a route for what stands under these keys; `token`: or the text of a session.
pub(crate) fn request(row: &Row, keys: Keys<'_>, token: Option<&str>) -> Request<Body> {
    let Keys { product, device, image, command, job } = keys;
    let act = row.act.map(|act| format!(":{act}")).unwrap_or_default();
    let path = row.path.replace("{product}", product).replace("{device}", device) + &act;
    let path = path
        .replace("{image}", image)
        .replace("{token}", "ci")
        .replace("{user}", "ann")
        .replace("{ou}", "south")
        .replace("{id}", command)
        .replace("{job}", job);
    let path = path.replace("{point}", "temp").replace("{version}", "1").replace("{import}", "none");
    let path = path.replace("{session}", "none");
    let is_piece = path.ends_with(":content");
    let path = if is_piece { path + &piece().replace("pk-1", product) } else { path };
    let body = match row.method {
        Method::GET | Method::DELETE => "",
        _ => told_of(row).body,
    };
    let body = body.replace("pk-1", product).replace("Ab3dEf7h", image);
    let media_type = if is_piece { "application/octet-stream" } else { "application/json" };
    let mut request =
        Request::builder().method(row.method.clone()).uri(path).header(header::CONTENT_TYPE, media_type);
    if row.sketch.needs_condition {
        request = request.header(header::IF_MATCH, "*");
    }
    if let Some(token) = token {
        request = shown(request, token);
    }
    request.body(Body::from(body)).expect("it is a request")
}

/// The same with a token, or with the session of a user and what a page of this server sends with a change.
fn shown(request: Builder, text: &str) -> Builder {
    if !text.starts_with("ngs_") {
        return request.header(header::AUTHORIZATION, format!("Bearer {text}"));
    }
    request
        .header(header::HOST, "gate")
        .header(header::ORIGIN, "http://gate")
        .header(header::COOKIE, format!("{SESSION}={text}"))
        .header(FORM_TOKEN, form_token(text).expose())
}

fn piece() -> String {
    let pairs: Vec<_> = QUERY.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("?{}", pairs.join("&"))
}

/// What every route answers to its example, each in a world of its own: none changes that of another.
pub(crate) async fn examples() -> Examples {
    let mut examples = Examples::new();
    for row in rows() {
        let world = world(None).await;
        let (image, command) = world.furnish().await;
        let token = world.token("administrator", Role::Administrator, None).await;
        let job = &*world.job().await;
        let keys = Keys { product: "pk-1", device: "dk-1", image: &image, command: &command, job };
        world.make_way(&operation_id(&row), &image).await;
        let fixed = |media_type: &str, body| Example { status: 200, media_type: media_type.into(), body };
        let example = match &*operation_id(&row) {
            // Only for the owner, on the control socket.
            "holdWrites" => fixed("application/json", serde_json::json!({"batch": 7})),
            // Only of a server that has devices.
            "listen" => fixed("text/event-stream", Value::from(STREAM)),
            // Of a user who has logged in.
            "endOwnSession" | "endUserSession" => fixed("application/json", ended_session()),
            // A file that is there once.
            "fetchImportSecrets" => fixed("text/csv", Value::from(SECRETS)),
            _ => world.example(request(&row, keys, Some(&token))).await,
        };
        examples.insert(operation_id(&row), example);
    }
    assert_eq!(TOLD.len(), examples.keys().filter(|id| !id.ends_with("ByName")).count(), "one is not there");
    examples
}

fn ended_session() -> Value {
    serde_json::json!({
        "id": "5b1f0c2d6e0a4b7f",
        "begunAt": 1_700_000_000_000_i64,
        "seenAt": 1_700_000_060_000_i64,
        "endsAt": 1_700_043_260_000_i64,
        "own": false,
    })
}

pub(crate) const MODEL: &str = concat!(
    r#"{"modelId":"meter","measurepoints":[{"identifier":"temp","dataType":"DOUBLE"}],"#,
    r#""attributes":[{"identifier":"room","dataType":"STRING"}],"#,
    r#""events":[{"identifier":"tilted","outputData":[{"identifier":"angle","dataType":"FLOAT"}]}]}"#
);

const SECRETS: &str = "assetId,productKey,deviceKey,deviceSecret\nAb3dEf6h,pk-1,dk-1,Z5YtZaQpK5IWocakV7zQ\n";

const STREAM: &str = concat!(
    "event: report\nid: 5b1f0c2d6e0a4b7f9d8c3e2a1b0f4c6d\n",
    r#"data: {"time":1700000000000,"event":"report","productKey":"pk-1","deviceKey":"dk-1","#,
    r#""points":{"temp":21.5}}"#,
    "\n\n"
);
