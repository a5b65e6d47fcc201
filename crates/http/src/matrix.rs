//! Every route of the API and every kind of caller: made of the routes themselves, so that a new route
//! without a row in [`body`] fails.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode, header},
};
use narrowgate_api::{
    access::{NewToken, NewUnit, Role},
    device::NewDeviceRequest,
    firmware::{ImagePieceQuery, NewImage},
    fleet::{Disk, Host},
    product::NewProduct,
};
use narrowgate_platform::{
    ids::UnixMillis,
    memory::{MemoryStore, PlainScripts},
    model::access::{Caller, Needs, Scope},
    ports::{Clock as _, NobodyConnected},
    rules::rate::Rate,
    service::Operator,
    testing::{ManualClock, SeededEntropy},
};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::{
    About, Api, Health, MetricsSource,
    api::{Row, rows},
    gate::Peer,
    router,
};

/// A body that each route reads, by its method and its path behind `/api/v1`; `""`: it reads none.
const BODIES: &[(&str, &str)] = &[
    ("POST /ous", r#"{"name":"new unit"}"#),
    ("POST /tokens", r#"{"name":"new token","role":"viewer"}"#),
    ("POST /products", r#"{"name":"n"}"#),
    ("PATCH /products/{product}", r#"{"name":"n"}"#),
    ("POST /products/{product}/secret:rotate", ""),
    ("POST /products/{product}/model:infer", ""),
    ("POST /products/{product}/devices", "{}"),
    ("POST /products/{product}/devices:import", r#"{"rows":[]}"#),
    ("PUT /products/{product}/model", r#"{"modelId":"m"}"#),
    ("PUT /products/{product}/script", r#"{"source":"s"}"#),
    ("POST /products/{product}/script:try", r#"{"source":"s","hex":"00"}"#),
    ("POST /products/{product}/script:publish", r#"{"source":"s"}"#),
    ("POST /products/{product}/script:rollback", r#"{"version":1}"#),
    ("PATCH {device}", r#"{"name":"n"}"#),
    ("POST {device}:enable", ""),
    ("POST {device}:disable", ""),
    ("POST {device}:reset", ""),
    ("POST {device}/commands", r#"{"kind":"get","ids":["a"]}"#),
    ("POST {device}/commands:cancel", ""),
    ("POST {device}/commands/{id}:cancel", ""),
    ("PATCH {device}/attributes", "{}"),
    ("PATCH {device}/tags", "{}"),
    ("PUT {device}/tags", "{}"),
    ("POST /firmware", FIRMWARE),
    ("PUT /firmware:content", ""),
    ("POST /rollouts", r#"{"imageId":"Ab3dEf7h","share":10}"#),
    ("POST /rollouts/{image}:pause", ""),
    ("POST /rollouts/{image}:resume", ""),
    ("POST /backup:hold", ""),
];

const FIRMWARE: &str = concat!(
    r#"{"productKey":"pk-1","version":"1","size":1,"sha256":""#,
    "ca358758f6d27e6cf45272937977a748fd88391db679ceda7dc7bf1f005ee879",
    r#""}"#
);

const PIECE: &str = concat!(
    "?productKey=pk-1&version=1&size=1&offset=0&sha256=",
    "ca358758f6d27e6cf45272937977a748fd88391db679ceda7dc7bf1f005ee879"
);

/// What of another unit a route names; a list names nothing.
fn names_something(row: &Row) -> bool {
    row.path.contains("{product}")
        || row.path.contains("{device}")
        || row.path.contains("{image}")
        || matches!(&*row.path, "/api/v1/firmware:content" | "/api/v1/rollouts")
        || (row.path == "/api/v1/firmware" && row.method == Method::POST)
}

/// The name of a row in [`BODIES`].
fn name(row: &Row) -> String {
    let path = row.path.strip_prefix("/api/v1").expect("it is a path of the API");
    let path = path.replace("/products/{product}/devices/{device}", "{device}");
    let path = path.replace("/devices/{device}", "{device}");
    let act = row.act.map(|act| format!(":{act}")).unwrap_or_default();
    format!("{} {path}{act}", row.method)
}

/// The keys of what is asked for.
#[derive(Clone, Copy)]
struct Keys<'a> {
    product: &'a str,
    device: &'a str,
    image: &'a str,
}

/// What is nowhere.
const NOWHERE: Keys<'_> = Keys { product: "pk-2", device: "dk-2", image: "Zz9Zz9Zz" };

/// A request to a route for what stands under these keys.
fn request(row: &Row, Keys { product, device, image }: Keys<'_>, token: Option<&str>) -> Request<Body> {
    let act = row.act.map(|act| format!(":{act}")).unwrap_or_default();
    let path = row.path.replace("{product}", product).replace("{device}", device) + &act;
    let path = path.replace("{image}", image).replace("{token}", "revoked").replace("{id}", "7");
    let path = path.replace("{point}", "a").replace("{version}", "1");
    let is_piece = path.ends_with(":content");
    let path = if is_piece { path + &PIECE.replace("pk-1", product) } else { path };
    let body = match row.method {
        Method::GET | Method::DELETE => "",
        _ => {
            let found = BODIES.iter().find(|(known, _)| *known == name(row));
            found.unwrap_or_else(|| panic!("{} has no row in BODIES", name(row))).1
        }
    };
    let media_type = if is_piece { "application/octet-stream" } else { "application/json" };
    let mut request =
        Request::builder().method(row.method.clone()).uri(path).header(header::CONTENT_TYPE, media_type);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request
        .body(Body::from(body.replace("pk-1", product).replace("Ab3dEf7h", image)))
        .expect("it is a request")
}

struct World {
    router: Router,
    operator: Operator,
    clock: Arc<ManualClock>,
}

/// Product `pk-1` with device `dk-1` in the default unit, and another unit, `north`.
async fn world(rate: Option<Rate>) -> World {
    let clock = Arc::new(ManualClock::new(UnixMillis(1_700_000_000_000)));
    let entropy = Arc::new(SeededEntropy::new(1));
    let store = Arc::new(MemoryStore::default());
    let operator = Operator::new(store, clock.clone(), entropy, Arc::new(NobodyConnected));
    let operator = operator.with_scripts(Arc::new(PlainScripts));
    let metrics: MetricsSource = Arc::new(Vec::new);
    let about = About { version: "0", dtls: "127.0.0.1:5684".into() };
    let disk = Disk { registry_bytes: 1, logs_bytes: 5, messages_bytes: 2, other_bytes: 3, free_bytes: None };
    let host = move || Host { version: "0".into(), since: None, refused_by_store: None, disk };
    let api = Api { operator: operator.clone(), host: Arc::new(host), events: None };
    let world = World { router: router(about, Health::default(), metrics, api, rate), operator, clock };
    world.operator.create_unit(NewUnit { name: "north".into() }).await.expect("it is new");
    world.fill().await;
    world
}

impl World {
    /// Makes what was deleted anew; the id of the image.
    async fn fill(&self) -> String {
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

    async fn token(&self, name: &str, role: Role, ou: Option<&str>) -> String {
        let expires_at = Some(UnixMillis(self.clock.now().0 + 86_400_000));
        let new = NewToken { name: name.into(), role, ou: ou.map(str::to_owned), expires_at };
        let made = self.operator.create_token(new).await.expect("it is new");
        made.token.expose().to_owned()
    }

    async fn ask(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let status = response.status();
        let id = response.headers().get("x-request-id").expect("every answer has it").clone();
        let kind = response.headers().get(header::CONTENT_TYPE).cloned();
        let body = to_bytes(response.into_body(), 1 << 20).await.expect("it ends");
        let mut body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if kind.is_some_and(|kind| kind == "application/problem+json") {
            let said = body.as_object_mut().expect("a problem is an object").remove("requestId");
            assert_eq!(said.as_ref().and_then(Value::as_str), id.to_str().ok());
            assert_eq!(body["status"], status.as_u16());
        }
        (status, body)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_177_every_route_is_for_the_roles_that_it_names_and_what_is_foreign_does_not_exist() {
    let world = world(None).await;
    let all = |role| Caller::Token { name: "t".into(), role, scope: Scope::All };
    let callers = [Role::Viewer, Role::Operator, Role::Administrator];
    let mut tokens = Vec::new();
    for role in callers {
        tokens.push((all(role), world.token(&format!("{role:?}"), role, None).await));
    }
    let foreign = world.token("foreign", Role::Administrator, Some("north")).await;
    let rows = rows();
    assert!(rows.len() > 60, "{}", rows.len());
    let mut hidden = 0;
    for row in &rows {
        let what = name(row);
        let (status, problem) = world.ask(request(row, NOWHERE, None)).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNAUTHORIZED, &"unauthorized".into()), "{what}");
        for (caller, token) in &tokens {
            let image = &*world.fill().await;
            let keys = Keys { product: "pk-1", device: "dk-1", image };
            let (status, body) = world.ask(request(row, keys, Some(token))).await;
            if row.needs.permits(caller) {
                assert!(
                    !matches!(status.as_u16(), 401 | 403 | 405 | 415),
                    "{what} {caller:?}: {status} {body}"
                );
                assert_ne!(status, StatusCode::BAD_REQUEST, "{what}: {body}");
            } else {
                assert_eq!((status, &body["code"]), (StatusCode::FORBIDDEN, &"forbidden".into()), "{what}");
            }
        }
        let image = &*world.fill().await;
        let keys = Keys { product: "pk-1", device: "dk-1", image };
        let (status, body) = world.ask(request(row, keys, Some(&foreign))).await;
        if matches!(row.needs, Needs::ReadAll | Needs::AdministerAll | Needs::Own) {
            assert_eq!(status, StatusCode::FORBIDDEN, "{what}");
        } else if names_something(row) {
            assert_eq!(status, StatusCode::NOT_FOUND, "{what}: {body}");
            // The very words for what is nowhere.
            let (_, nowhere) = world.ask(request(row, NOWHERE, Some(&foreign))).await;
            let nowhere =
                nowhere.to_string().replace(NOWHERE.product, "pk-1").replace(NOWHERE.device, "dk-1");
            let nowhere = nowhere.replace(NOWHERE.image, image);
            assert_eq!(body.to_string(), nowhere, "{what}");
            hidden += 1;
        } else {
            assert!(!body.to_string().contains("pk-1"), "{what}: {body}");
        }
    }
    assert!(hidden > 50, "{hidden}");
    let shown = world.operator.show_product("pk-1").await.expect("nothing of it was changed");
    assert!(shown.enabled);
}

fn get(path: &str, token: Option<&str>) -> Request<Body> {
    let mut request = Request::builder().uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(Body::empty()).expect("it is a request")
}

fn from(address: &str, mut request: Request<Body>) -> Request<Body> {
    let address: IpAddr = address.parse().expect("it is an address");
    request.extensions_mut().insert(Peer(address));
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_the_api_until_it_is_revoked_or_expires() {
    let world = world(None).await;
    let token = world.token("ci", Role::Viewer, Some("north")).await;
    let ask = async |token: &str| world.ask(get("/api/v1/me", Some(token))).await;
    let (status, me) = ask(&token).await;
    assert_eq!((status, &me["token"], &me["role"]), (StatusCode::OK, &"ci".into(), &"viewer".into()));
    assert_eq!(me["ou"].as_str().map(str::len), Some(15));
    let second = world.token("second", Role::Viewer, None).await;
    assert_eq!(ask(&second).await.0, StatusCode::OK);
    world.operator.revoke_token("second").await.expect("it is there");
    assert_eq!(ask(&second).await.0, StatusCode::UNAUTHORIZED);
    world.clock.advance_ms(86_400_000);
    assert_eq!(ask(&token).await.0, StatusCode::UNAUTHORIZED);
    let response = world.router.clone().oneshot(get("/api/v1/me", None)).await.expect("it answers");
    let challenge = response.headers().get(header::WWW_AUTHENTICATE).expect("it says how");
    assert_eq!(challenge, r#"Bearer realm="narrowgate""#);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_is_what_the_path_means_however_it_is_written() {
    let world = world(None).await;
    let operator = world.token("operator", Role::Operator, None).await;
    for path in ["/api/v1/devices/dk-1:reset", "/api/v1/devices/dk-1%3Areset", "/api/v1/devices/dk-1%3areset"]
    {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {operator}"))
            .body(Body::empty())
            .expect("it is a request");
        assert_eq!(world.ask(request).await.0, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_asks_so_often_and_no_more_and_others_go_on() {
    let rate = Rate { every: std::time::Duration::from_secs(3600), burst: 3 };
    let world = world(Some(rate)).await;
    let (first, second) =
        (world.token("first", Role::Viewer, None).await, world.token("second", Role::Viewer, None).await);
    for _ in 0..3 {
        assert_eq!(world.ask(get("/api/v1/me", Some(&first))).await.0, StatusCode::OK);
    }
    let response = world.router.clone().oneshot(get("/api/v1/me", Some(&first))).await.expect("it answers");
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = response.headers()[header::RETRY_AFTER].to_str().unwrap().parse().expect("seconds");
    assert!((3500..=3600).contains(&wait), "{wait}");
    assert_eq!(world.ask(get("/api/v1/me", Some(&second))).await.0, StatusCode::OK);
    assert_eq!(world.ask(get("/health/live", None)).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_181_a_source_of_wrong_tokens_is_held_back_and_tokens_that_were_valid_go_on() {
    let world = world(None).await;
    let (known, fresh) =
        (world.token("known", Role::Viewer, None).await, world.token("fresh", Role::Viewer, None).await);
    let ask = async |address, token: &str| world.ask(from(address, get("/api/v1/me", Some(token)))).await.0;
    assert_eq!(ask("192.0.2.1", &known).await, StatusCode::OK);
    let mut refused = (0, 0);
    for number in 0..100 {
        match ask("192.0.2.1", &format!("ngt_{number:064x}")).await {
            StatusCode::UNAUTHORIZED => refused.0 += 1,
            StatusCode::TOO_MANY_REQUESTS => refused.1 += 1,
            other => panic!("{other}"),
        }
    }
    assert!(refused.0 <= 25 && refused.1 >= 75, "{refused:?}");
    assert_eq!(ask("192.0.2.1", &known).await, StatusCode::OK, "it was valid before");
    assert_eq!(ask("192.0.2.1", &fresh).await, StatusCode::TOO_MANY_REQUESTS, "it might be a guess");
    assert_eq!(ask("192.0.2.2", &fresh).await, StatusCode::OK);
    let response = world.router.clone().oneshot(get("/metrics", None)).await.expect("it answers");
    let body = to_bytes(response.into_body(), 1 << 20).await.expect("it ends");
    let text = String::from_utf8(body.to_vec()).expect("it is text");
    assert!(text.contains("narrowgate_http_unauthorized_total "), "{text}");
    assert!(!text.contains("narrowgate_http_held_back_total 0\n"), "{text}");
}
