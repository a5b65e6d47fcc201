//! A table test of all verbs: the command line's call, its route, and the method of the operator's service.
//!
//! Longer than 500 lines: a line for each verb.

mod audit;
mod commands;
mod firmware;
mod models;
mod scripts;
mod units;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use narrowgate_api::{
    command::NewCommand,
    device::{DevicePatch, NamedDevice, NewDeviceRequest},
    fleet::{Disk, Host},
    history::ValueView,
    page::Page,
    problem::{Code, Problem},
    product::{NewProduct, ProductPatch},
    properties::PropertiesPatch,
    query::{DeviceEventsQuery, DeviceList, EventsQuery, LatestQuery, Paging, PointValuesQuery, ValuesQuery},
    script::{NewScript, PublishScript, RollBackScript, TryScript},
};
use narrowgate_http::Api;
use narrowgate_platform::{
    ids::DeviceId,
    memory::{MemoryStore, PlainScripts},
    model::property::PropertyKind::{Attribute, Tag},
    ports::{Batch, Journal as _, NobodyConnected, Stores},
    service::Operator,
    testing::store::fixtures::{at, report},
};
use tower::ServiceExt as _;

use super::Call;
use crate::system::{SystemClock, SystemEntropy};

const D: &str = "/api/v1/products/pk/devices/a%2Fb";
const N: &str = "/api/v1/devices/a%2Fb";

struct Verb {
    name: &'static str,
    method: &'static str,
    path: String,
    request: Request<Body>,
}

fn verb<T>(name: &'static str, call: Call<T>) -> Verb {
    let (method, path, _) = call.sent();
    let method = ["GET", "POST", "PUT", "PATCH", "DELETE"].into_iter().find(|known| *known == method);
    let (method, path) = (method.expect("a method of the API"), path.to_owned());
    Verb { name, method, path, request: call.into_request().expect("it can be asked") }
}

/// Every verb, the devices' by both keys and by one name.
fn verbs() -> Vec<Verb> {
    let mut all = vec![
        verb(
            "create_product",
            Call::create_product(&NewProduct { name: "n".into(), ..NewProduct::default() }),
        ),
        verb("list_products", Call::list_products()),
        verb("show_product", Call::show_product("pk")),
        verb("update_product", Call::update_product("pk", &ProductPatch::default())),
        verb("show_product_secret", Call::show_product_secret("pk")),
        verb("rotate_product_secret", Call::rotate_product_secret("pk")),
        verb("infer_model", Call::infer_model("pk")),
        verb("list_model_versions", Call::list_model_versions("pk")),
        verb("show_model_version", Call::show_model_version("pk", 7)),
        verb("show_script", Call::show_script("pk")),
        verb("draft_script", Call::draft_script("pk", &NewScript { source: "s".into() })),
        verb("publish_script", Call::publish_script("pk", &PublishScript::default())),
        verb("roll_back_script", Call::roll_back_script("pk", &RollBackScript { version: 7 })),
        verb("list_script_versions", Call::list_script_versions("pk")),
        verb("show_script_version", Call::show_script_version("pk", 7)),
        verb("try_script", Call::try_script("pk", &TryScript::default())),
        verb("delete_product", Call::delete_product("pk", true)),
        verb("create_device", Call::create_device("pk", &NewDeviceRequest::default())),
        verb("import_devices", Call::import_devices("pk", Vec::new(), true)),
        verb("list_devices", Call::list_devices(&DeviceList::default())),
        verb("list_refusals", Call::list_refusals(&Paging::first(7))),
        verb("hold_writes", Call::hold_writes()),
        verb("listen", Call::listen(&EventsQuery { product: Some("pk".into()), ..EventsQuery::default() })),
    ];
    all.extend(firmware::verbs());
    all.extend(units::verbs());
    all.extend(audit::verbs());
    for name in [&NamedDevice::by_keys("pk", "a/b"), &NamedDevice::by_name("a/b")] {
        all.extend(verbs_of(name));
    }
    all
}

/// Those of a device.
fn verbs_of(name: &NamedDevice) -> Vec<Verb> {
    vec![
        verb("show_device", Call::show_device(name)),
        verb("find_device", Call::find_device(name)),
        verb("rename_device", Call::rename_device(name, &DevicePatch { name: "n".into() })),
        verb("show_device_secret", Call::show_device_secret(name)),
        verb("rotate_device_secret", Call::rotate_device_secret(name)),
        verb("enable_device", Call::enable_device(name)),
        verb("disable_device", Call::disable_device(name)),
        verb("reset_device", Call::reset_device(name)),
        verb("delete_device", Call::delete_device(name)),
        verb("purge_device", Call::purge_device(name)),
        verb("show_attributes", Call::show_properties(name, Attribute)),
        verb("edit_attributes", Call::edit_properties(name, Attribute, &PropertiesPatch::default())),
        verb("show_tags", Call::show_properties(name, Tag)),
        verb("edit_tags", Call::edit_properties(name, Tag, &PropertiesPatch::default())),
        verb("list_latest_values", Call::list_latest_values(name, &LatestQuery::default())),
        verb("list_values", Call::list_values(name, &ValuesQuery::default())),
        verb("list_buckets", Call::list_buckets(name, "a/b", &hours())),
        verb("list_device_events", Call::list_device_events(name, &DeviceEventsQuery::default())),
        verb("list_device_refusals", Call::list_device_refusals(name, &Paging::default())),
        verb("list_device_log", Call::list_device_log(name, &Paging::default())),
        verb("send_command", Call::send_command(name, &get_temp())),
        verb("list_commands", Call::list_commands(name, &Paging::default())),
        verb("show_command", Call::show_command(name, "7")),
        verb("cancel_command", Call::cancel_command(name, "7")),
        verb("cancel_commands", Call::cancel_commands(name)),
    ]
}

fn hours() -> PointValuesQuery {
    PointValuesQuery { bucket: Some("1h".into()), ..PointValuesQuery::default() }
}

fn get_temp() -> NewCommand {
    serde_json::from_str(r#"{"kind":"get","ids":["temp"]}"#).expect("it has the form of a command")
}

fn router(store: Arc<MemoryStore>) -> Router {
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let stores = Stores { audit: Arc::new(audit::Unreadable::default()), ..Stores::from(store) };
    let operator = Operator::new(stores, clock, entropy, Arc::new(NobodyConnected));
    let operator = operator.with_scripts(Arc::new(PlainScripts));
    let disk = Disk {
        registry_bytes: 1,
        logs_bytes: 5,
        messages_bytes: 2,
        backups_bytes: 6,
        other_bytes: 3,
        free_bytes: None,
    };
    let host = move || Host { version: "0".into(), since: None, refused_by_store: None, disk };
    narrowgate_http::api_router(Api { operator, host: Arc::new(host), events: None })
}

async fn asked(router: &Router, request: Request<Body>) -> (StatusCode, String) {
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 100_000).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Each verb with its route, and the headline of its failure.
const VERBS: &[&str] = &[
    "create_product | POST /api/v1/products | cannot create the product",
    "list_products | GET /api/v1/products | cannot list the products",
    "show_product | GET /api/v1/products/pk | cannot show the product",
    "update_product | PATCH /api/v1/products/pk | cannot change the product",
    "show_product_secret | GET /api/v1/products/pk/secret | cannot show the product's secret",
    concat!(
        "rotate_product_secret | POST /api/v1/products/pk/secret:rotate | ",
        "cannot replace the product's secret"
    ),
    "infer_model | POST /api/v1/products/pk/model:infer | cannot draft a thing model",
    concat!(
        "list_model_versions | GET /api/v1/products/pk/model/versions | ",
        "cannot list the versions of the thing model"
    ),
    concat!(
        "show_model_version | GET /api/v1/products/pk/model/versions/7 | ",
        "cannot show that version of the thing model"
    ),
    "show_script | GET /api/v1/products/pk/script | cannot show the script",
    "draft_script | PUT /api/v1/products/pk/script | cannot keep the script",
    "publish_script | POST /api/v1/products/pk/script:publish | cannot publish the script",
    "roll_back_script | POST /api/v1/products/pk/script:rollback | cannot roll back the script",
    concat!(
        "list_script_versions | GET /api/v1/products/pk/script/versions | ",
        "cannot list the versions of the script"
    ),
    concat!(
        "show_script_version | GET /api/v1/products/pk/script/versions/7 | ",
        "cannot show that version of the script"
    ),
    "try_script | POST /api/v1/products/pk/script:try | cannot try the script",
    "delete_product | DELETE /api/v1/products/pk?force=true | cannot delete the product",
    "create_device | POST /api/v1/products/pk/devices | cannot register the device",
    "import_devices | POST /api/v1/products/pk/devices:import?dryRun=true | cannot import the devices",
    "list_devices | GET /api/v1/devices | cannot list the devices",
    "list_refusals | GET /api/v1/refusals?limit=7 | cannot list the refusals",
    "hold_writes | POST /api/v1/backup:hold | cannot hold the store for a backup",
    // Where nobody serves devices there is nothing to listen to.
    "listen | GET /api/v1/events?product=pk | Not Found",
    "begin_image | POST /api/v1/firmware | cannot upload the firmware",
    concat!(
        "take_image_piece | PUT /api/v1/firmware:content?productKey=pk&version=1.0&size=1&sha256=",
        "0707070707070707070707070707070707070707070707070707070707070707&offset=0 | ",
        "cannot upload the firmware"
    ),
    "list_images | GET /api/v1/firmware?product=pk | cannot list the firmware",
    "show_image | GET /api/v1/firmware/Ab3dEf7h | cannot show the firmware",
    "delete_image | DELETE /api/v1/firmware/Ab3dEf7h | cannot delete the firmware",
    "offer_image | POST /api/v1/rollouts | cannot offer the firmware",
    "show_rollout | GET /api/v1/rollouts/Ab3dEf7h | cannot show the rollout",
    concat!(
        "list_rollout_devices | GET /api/v1/rollouts/Ab3dEf7h/devices?limit=7 | ",
        "cannot list the devices of the rollout"
    ),
    "pause_rollout | POST /api/v1/rollouts/Ab3dEf7h:pause | cannot pause the rollout",
    "resume_rollout | POST /api/v1/rollouts/Ab3dEf7h:resume | cannot resume the rollout",
    "list_units | GET /api/v1/ous | cannot list the organisation units",
    "create_unit | POST /api/v1/ous | cannot create the organisation unit",
    "show_unit | GET /api/v1/ous/north | cannot show the organisation unit",
    "update_unit | PATCH /api/v1/ous/north | cannot show the organisation unit",
    "suspend_unit | POST /api/v1/ous/a%3Ab:suspend | cannot suspend the organisation unit",
    "resume_unit | POST /api/v1/ous/a%3Ab:resume | cannot resume the organisation unit",
    "list_tokens | GET /api/v1/tokens | cannot list the tokens",
    "show_token | GET /api/v1/tokens/a%2Fb | cannot show the token",
    "create_token | POST /api/v1/tokens | cannot create the token",
    "revoke_token | DELETE /api/v1/tokens/a%2Fb | cannot revoke the token",
    "list_users | GET /api/v1/users | cannot list the users",
    "show_user | GET /api/v1/users/a%2Fb | cannot show the user",
    "create_user | POST /api/v1/users | cannot create the user",
    "update_user | PATCH /api/v1/users/a%2Fb | cannot change the user",
    "reset_user | POST /api/v1/users/a%2Fb:reset | cannot reset the user",
    "delete_user | DELETE /api/v1/users/a%2Fb | cannot delete the user",
    "list_user_sessions | GET /api/v1/users/a%2Fb/sessions | cannot list the user's sessions",
    "end_user_session | DELETE /api/v1/users/a%2Fb/sessions/7f | cannot end the user's session",
    "list_audit | GET /api/v1/audit | cannot list the audit log",
    "read_audit_chain | GET /api/v1/audit/chain?after=7 | cannot read the audit log",
];

/// Those of devices; `*` stands for each path of a device.
const VERBS_OF_DEVICES: &[&str] = &[
    "show_device | GET * | cannot show the device",
    "find_device | GET *?damaged=true | cannot find the device",
    "rename_device | PATCH * | cannot rename the device",
    "show_device_secret | GET */secret | cannot show the device's secret",
    "rotate_device_secret | POST */secret:rotate | cannot replace the device's secret",
    "enable_device | POST *:enable | cannot enable the device",
    "disable_device | POST *:disable | cannot disable the device",
    "reset_device | POST *:reset | cannot reset the device",
    "delete_device | DELETE * | cannot delete the device",
    "purge_device | DELETE *?purge=true | cannot delete the device with what it sent",
    "show_attributes | GET */attributes | cannot show the device's attributes",
    "edit_attributes | PATCH */attributes | cannot change the device's attributes",
    "show_tags | GET */tags | cannot show the device's tags",
    "edit_tags | PATCH */tags | cannot change the device's tags",
    "list_latest_values | GET */points | cannot show the device's points",
    "list_values | GET */values | cannot show the device's points",
    "list_buckets | GET */points/a%2Fb/values?bucket=1h | cannot show the device's points",
    "list_device_events | GET */events | cannot show the device's events",
    "list_device_refusals | GET */refusals | cannot list the device's refusals",
    "list_device_log | GET */log | cannot show the device's log",
    "send_command | POST */commands | cannot send the command",
    "list_commands | GET */commands | cannot list the commands",
    "show_command | GET */commands/7 | cannot show the command",
    "cancel_command | POST */commands/7:cancel | cannot cancel the command",
    "cancel_commands | POST */commands:cancel | cannot cancel the commands",
];

#[tokio::test]
async fn every_verb_has_its_route_and_its_method_of_the_service() {
    // A store that was closed answers nothing, so that each verb ends under its own headline.
    let store = Arc::new(MemoryStore::default());
    store.close().await.unwrap();
    let router = router(store);
    let mut table = Vec::new();
    for Verb { name, method, path, request } in verbs() {
        let (status, body) = asked(&router, request).await;
        let problem: Problem = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}"));
        assert_eq!(status.as_u16(), problem.status);
        table.push(format!("{name} | {method} {} | {}", path.replace(D, "D").replace(N, "N"), problem.title));
    }
    let of = |path| VERBS_OF_DEVICES.iter().map(move |line| line.replace('*', path));
    let expected: Vec<String> =
        VERBS.iter().map(|line| (*line).to_owned()).chain(of("D")).chain(of("N")).collect();
    assert_eq!(table, expected);
}

#[tokio::test]
async fn a_wrong_body_gets_a_precise_problem_and_changes_nothing() {
    let router = router(Arc::new(MemoryStore::default()));
    let ask = async |method: &str, path: &str, body: &str| {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        asked(&router, request.body(body.to_owned().into()).unwrap()).await
    };
    let pk = r#"{"name":"n","productKey":"pk"}"#;
    assert_eq!(ask("POST", "/api/v1/products", pk).await.0, 201);
    assert_eq!(ask("POST", "/api/v1/products/pk/devices", r#"{"deviceKey":"dk"}"#).await.0, 201);
    let state = async || {
        let lists = ["/api/v1/products/pk", "/api/v1/devices", "/api/v1/devices/dk/log"];
        let mut state = String::new();
        for list in lists {
            state += &ask("GET", list, "").await.1;
        }
        state
    };
    let before = state().await;
    let row = r#"{"rows":[{"line":2,"deviceKey":"d2"},{"line":3}]}"#;
    let (product, import) = ("/api/v1/products/pk", "/api/v1/products/pk/devices:import");
    for (method, path, body, status, code, said) in [
        ("POST", "/api/v1/products", r#"{"name":"n","colour":"red"}"#, 400, Code::Malformed, "unknown field"),
        ("POST", "/api/v1/products", r#"{"name":""}"#, 422, Code::Invalid, "name is empty"),
        ("POST", "/api/v1/products", pk, 409, Code::Exists, "product pk exists already"),
        ("PATCH", product, r#"{"name":"m","enabled":"no"}"#, 400, Code::Malformed, "invalid type: string"),
        (
            "PATCH",
            product,
            r#"{"enabled":false,"model":{}}"#,
            422,
            Code::ModelInvalid,
            "/modelId: is missing",
        ),
        ("PATCH", product, r#"{"dynamicActivation":{"end":1}}"#, 400, Code::Malformed, "unknown field `end`"),
        ("DELETE", "/api/v1/products/pk?forced=true", "", 400, Code::Malformed, "unknown field `forced`"),
        ("POST", "/api/v1/products/pk/devices", r#"{"deviceKey":"a b"}"#, 422, Code::Invalid, "a space"),
        ("POST", import, row, 400, Code::Malformed, "missing field `deviceKey`"),
        ("PATCH", "/api/v1/devices/dk", r#"{"secret":"s"}"#, 400, Code::Malformed, "unknown field `secret`"),
        (
            "POST",
            "/api/v1/devices/dk:explode",
            "",
            404,
            Code::PathUnknown,
            ":enable, :disable, :disconnect or :reset",
        ),
        ("POST", "/api/v1/devices/dk", "", 404, Code::PathUnknown, "nothing at /api/v1/devices/dk"),
        ("PUT", "/api/v1/devices/dk", "{}", 405, Code::MethodWrong, "PUT is not answered here"),
        ("GET", "/api/v1/devices/dk/values?from=now", "", 400, Code::Malformed, "\"now\" is not a time"),
        ("GET", "/api/v1/devices?limit=0", "", 422, Code::Invalid, "limit is 0; it must be 1 to 1000"),
        ("GET", "/api/v2/devices", "", 404, Code::PathUnknown, "there is nothing at /api/v2/devices"),
    ] {
        let (answered, body) = ask(method, path, body).await;
        let problem: Problem = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}"));
        assert_eq!((answered.as_u16(), problem.code), (status, code), "{method} {path}: {body}");
        assert!(problem.to_string().contains(said), "{method} {path}: {body}");
        assert_eq!(state().await, before, "{method} {path}");
    }
}

#[tokio::test]
async fn the_values_of_a_point_are_read_over_cursors_each_or_in_buckets() {
    let store = Arc::new(MemoryStore::default());
    let router = router(Arc::clone(&store));
    let ask = async |method: &str, path: &str, body: &str| {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        asked(&router, request.body(body.to_owned().into()).unwrap()).await
    };
    assert_eq!(ask("POST", "/api/v1/products", r#"{"name":"n","productKey":"pk"}"#).await.0, 201);
    assert_eq!(ask("POST", "/api/v1/products/pk/devices", r#"{"deviceKey":"dk"}"#).await.0, 201);
    for (n, points) in [(0, r#"{"a/b":1.50}"#), (1, r#"{"a/b":{"value":7,"quality":2},"c":0}"#)] {
        store.append(Batch::new(n, vec![report(DeviceId(1), at(n as i64), points)])).await.unwrap();
    }
    let (t0, t1) = (at(0).0, at(1).0);
    let values = "/api/v1/products/pk/devices/dk/points/a%2Fb/values";
    let (status, newest) = ask("GET", &format!("{values}?limit=1&to=2026-02-01T00:00:00Z"), "").await;
    assert_eq!(status, 200);
    let newest: Page<ValueView> = serde_json::from_str(&newest).unwrap();
    let cursor = newest.next_cursor.expect("there is another one");
    assert_eq!(
        serde_json::to_string(&newest.items).unwrap(),
        format!(r#"[{{"time":{t1},"value":7,"quality":2}}]"#)
    );
    let rest = ask("GET", &format!("{values}?limit=1&cursor={cursor}"), "").await.1;
    assert_eq!(rest, format!(r#"{{"items":[{{"time":{t0},"value":1.50}}],"nextCursor":null}}"#));
    let buckets = ask("GET", &format!("{values}?bucket=1d&tz=Europe/Berlin&fn=count,max,avg"), "").await.1;
    let midnight = t0 - 3_600_000;
    let bucket = format!(r#"{{"time":{midnight},"max":7,"avg":4.25,"count":2}}"#);
    assert_eq!(buckets, format!(r#"{{"items":[{bucket}],"nextCursor":null}}"#));
    // All functions where nothing is said, and the cursor of one list is none of the other.
    let seconds = ask("GET", &format!("{values}?bucket=1s&limit=1"), "").await.1;
    assert!(seconds.contains(r#""min":7,"max":7,"avg":7.0,"last":7,"count":1}"#), "{seconds}");
    let foreign = ask("GET", &format!("{values}?bucket=1s&cursor={cursor}"), "").await;
    assert_eq!(foreign.0, 422, "{}", foreign.1);
    for (query, said) in [
        ("bucket=1w", "bucket is \"1w\"; it"),
        ("bucket=1h&fn=sum", "fn has \"sum\""),
        ("bucket=1h&tz=X", "tz is \"X\"; it"),
        ("fn=min", "fn goes with bucket only"),
        ("bucket=1h&limit=1001", "limit is 1001; it must be 1 to 1000"),
    ] {
        let (status, body) = ask("GET", &format!("{values}?{query}"), "").await;
        let problem: Problem = serde_json::from_str(&body).unwrap();
        assert_eq!((status.as_u16(), problem.code), (422, Code::Invalid), "{body}");
        assert!(problem.to_string().contains(said), "{body}");
    }
    let latest = ask("GET", "/api/v1/devices/dk/points?point=a/b", "").await.1;
    assert!(latest.contains(&format!(r#"{{"point":"a/b","value":7,"time":{t1},"quality":2}}"#)), "{latest}");
}

#[tokio::test]
async fn a_command_that_cannot_be_sent_gets_a_precise_problem() {
    let router = router(Arc::new(MemoryStore::default()));
    let ask = async |method: &str, path: &str, body: &str| {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        asked(&router, request.body(body.to_owned().into()).unwrap()).await
    };
    assert_eq!(ask("POST", "/api/v1/products", r#"{"name":"n","productKey":"pk"}"#).await.0, 201);
    assert_eq!(ask("POST", "/api/v1/products/pk/devices", r#"{"deviceKey":"dk"}"#).await.0, 201);
    let get = r#"{"kind":"get","ids":["temp"]}"#;
    for (method, path, body, status, code, said) in [
        ("POST", "/api/v1/devices/dk/commands", r#"{"kind":"get"}"#, 422, Code::Invalid, "ids is missing"),
        ("POST", "/api/v1/devices/dk/commands", get, 409, Code::NotActivated, "has never logged in (11888)"),
        ("POST", "/api/v1/devices/dk/commands/7:cancel", "", 404, Code::Missing, "there is no command 7"),
        ("POST", "/api/v1/devices/dk/commands/7:explode", "", 404, Code::PathUnknown, "it ends in :cancel"),
        ("GET", "/api/v1/devices/dk/commands/x", "", 404, Code::Missing, "there is no command x"),
    ] {
        let (answered, body) = ask(method, path, body).await;
        let problem: Problem = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}"));
        assert_eq!((answered.as_u16(), problem.code), (status, code), "{method} {path}: {body}");
        assert!(problem.to_string().contains(said), "{method} {path}: {body}");
    }
    let list = ask("GET", "/api/v1/products/pk/devices/dk/commands", "").await.1;
    assert_eq!(list, r#"{"items":[],"nextCursor":null}"#);
}

#[tokio::test]
async fn a_change_of_what_somebody_else_has_changed_is_refused() {
    let router = router(Arc::new(MemoryStore::default()));
    let ask = async |method: &str, path: &str, if_match: Option<&str>, body: &str| {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = if_match.into_iter().fold(request, |request, tag| request.header("if-match", tag));
        let response = router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await;
        let response = response.unwrap();
        let tag = response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 100_000).await.unwrap();
        (status, tag, String::from_utf8(body.to_vec()).unwrap())
    };
    ask("POST", "/api/v1/products", None, r#"{"name":"n","productKey":"pk"}"#).await;
    ask("POST", "/api/v1/products/pk/devices", None, r#"{"deviceKey":"dk"}"#).await;
    for (method, path) in [("PATCH", "attributes"), ("PATCH", "tags"), ("PUT", "tags")] {
        let path = format!("/api/v1/devices/dk/{path}");
        let (_, first, _) = ask("GET", &path, None, "").await;
        let first = first.expect("it has one");
        let (status, second, body) = ask(method, &path, Some(&first), r#"{"a":"1"}"#).await;
        assert_eq!((status, &*body), (200, r#"{"a":"1"}"#));
        let second = second.expect("it has one");
        assert!(second != first && ask("GET", &path, None, "").await.1.as_ref() == Some(&second));
        for stale in [first.clone(), format!("W/{second}"), "\"x\", \"y\"".to_owned()] {
            let (status, tag, body) = ask(method, &path, Some(&stale), r#"{"a":"2"}"#).await;
            assert_eq!((status, tag), (412, None), "{body}");
            assert!(
                body.contains("\"precondition_failed\"") && body.contains("somebody has changed"),
                "{body}"
            );
        }
        let both = format!("{first}, {second}");
        assert_eq!(ask(method, &path, Some(&both), r#"{"a":"3"}"#).await.0, 200);
        assert_eq!(ask(method, &path, Some("*"), r#"{"a":"4"}"#).await.0, 200);
        let (status, _, body) = ask(method, &path, Some("7"), r#"{"a":"5"}"#).await;
        assert!(status == 400 && body.contains("7 is not an entity tag"), "{body}");
        assert_eq!(ask("GET", &path, None, "").await.2, r#"{"a":"4"}"#);
        ask("PATCH", &path, None, r#"{"a":null}"#).await;
    }
}

#[tokio::test]
async fn a_wrong_change_of_attributes_or_tags_gets_a_precise_problem_and_changes_nothing() {
    let router = router(Arc::new(MemoryStore::default()));
    let ask = async |method: &str, path: &str, body: &str| {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        // Replaces whatever is there.
        let request = if method == "PUT" { request.header("if-match", "*") } else { request };
        asked(&router, request.body(body.to_owned().into()).unwrap()).await
    };
    assert_eq!(ask("POST", "/api/v1/products", r#"{"name":"n","productKey":"pk"}"#).await.0, 201);
    assert_eq!(ask("POST", "/api/v1/products/pk/devices", r#"{"deviceKey":"dk"}"#).await.0, 201);
    let (attributes, tags) = ("/api/v1/devices/dk/attributes", "/api/v1/products/pk/devices/dk/tags");
    for (method, path, body, all) in [
        ("PATCH", attributes, r#"{"a":1.50,"b":2}"#, r#"{"a":1.50,"b":2}"#),
        ("PATCH", attributes, r#"{"b":null}"#, r#"{"a":1.50}"#),
        ("PATCH", tags, r#"{"k":"1","l":"2"}"#, r#"{"k":"1","l":"2"}"#),
        ("PUT", tags, r#"{"m":"3"}"#, r#"{"m":"3"}"#),
    ] {
        assert_eq!(ask(method, path, body).await, (StatusCode::OK, all.to_owned()), "{method} {path}");
        assert_eq!(ask("GET", path, "").await.1, all);
    }
    for (method, path, body, status, code, place) in [
        ("PATCH", attributes, "[]", 400, Code::Malformed, None),
        ("PATCH", attributes, r#"{"a b":1}"#, 422, Code::Invalid, Some("/a b")),
        ("PATCH", tags, r#"{"k":"1","l":1}"#, 422, Code::Invalid, Some("/l")),
        ("PUT", tags, r#"{"k":null}"#, 422, Code::Invalid, Some("/k")),
        ("PUT", attributes, "{}", 405, Code::MethodWrong, None),
    ] {
        let (answered, body) = ask(method, path, body).await;
        let problem: Problem = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}"));
        let found = (answered.as_u16(), problem.code, problem.place.as_deref());
        assert_eq!(found, (status, code, place), "{method} {path}: {body}");
    }
    assert_eq!(ask("GET", attributes, "").await.1, r#"{"a":1.50}"#);
    assert_eq!(ask("GET", tags, "").await.1, r#"{"m":"3"}"#);
}
