//! The same for many devices, over the routes.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use narrowgate_api::{
    access::Role,
    audit::{AuditOutcome, AuditQuery},
    device::NewDeviceRequest,
    job::JobState,
    product::NewProduct,
};
use narrowgate_platform::{ids::DEFAULT_OU, service::token_hash};
use serde_json::Value;

use super::{entries::said, *};
use crate::{
    api::{Asker, Credential, asked::Standing},
    document::world::{World, world},
    shares::tests::holder,
    work::Attended,
};

/// A world with so many devices more.
async fn fleet(count: usize) -> World {
    let world = world(None).await;
    for number in 0..count {
        let device_key = Some(format!("f-{number:03}"));
        let new = NewDeviceRequest { device_key, ..NewDeviceRequest::default() };
        world.operator.create_device("pk-1", new).await.expect("it is new");
    }
    world
}

impl World {
    async fn asks(&self, token: &str, method: Method, path: &str, body: &str) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_owned()))
            .expect("it is a request");
        let (status, body) = self.ask(request).await;
        (status.as_u16(), body)
    }

    async fn bulk(&self, token: &str, body: &str) -> (u16, Value) {
        self.asks(token, Method::POST, "/devices:bulk", body).await
    }

    async fn disabled(&self) -> usize {
        let list = DeviceList { limit: Some(1000), ..DeviceList::default() };
        let rows = self.operator.list_devices(&list).await.expect("it reads").items;
        rows.iter().filter(|row| serde_json::to_value(row).expect("it is JSON")["enabled"] == false).count()
    }
}

fn counts(job: &Value) -> (u64, u64, u64, usize) {
    let number = |name: &str| job[name].as_u64().expect("it is a number");
    let failed = job["failed"].as_array().expect("it is a list").len();
    (number("matched"), number("done"), number("unchanged"), failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_changed_whole_and_a_dry_run_says_so_before() {
    let world = fleet(120).await;
    let token = world.token("ci", Role::Operator, None).await;
    let body = |dry_run| format!(r#"{{"action":"disable","filter":{{"q":"f-"}},"dryRun":{dry_run}}}"#);
    world.operator.disable_device(&NamedDevice::by_name("f-007")).await.expect("it is there");
    let (status, foreseen) = world.bulk(&token, &body(true)).await;
    assert_eq!((status, &foreseen["state"], counts(&foreseen)), (200, &"done".into(), (120, 119, 1, 0)));
    assert_eq!(world.disabled().await, 1);
    let (status, job) = world.bulk(&token, &body(false)).await;
    assert_eq!((status, &job["state"], counts(&job)), (200, &"done".into(), (120, 119, 1, 0)));
    assert_eq!(world.disabled().await, 120, "another device is as it was");
    let path = format!("/jobs/{}", job["id"].as_str().expect("it has a name"));
    assert_eq!(world.asks(&token, Method::GET, &path, "").await, (200, job.clone()));
    let (_, jobs) = world.asks(&token, Method::GET, "/jobs", "").await;
    assert_eq!(jobs["items"], Value::from(vec![job.clone(), foreseen]));
    let (status, ended) = world.asks(&token, Method::POST, &format!("{path}:cancel"), "").await;
    assert_eq!((status, ended), (200, job));
    let audit = AuditQuery::default();
    let entries = world.operator.list_audit(&audit).await.expect("it reads").items;
    let asked = entries.iter().find(|entry| entry.action == "devices.bulk").expect("it has an entry");
    assert_eq!((&*asked.detail["action"], &*asked.detail["dryRun"]), ("disable", "false"));
    assert!(asked.detail["filter"].contains(r#""q":"f-""#), "{asked:?}");
    let entries: Vec<_> = entries.iter().map(|entry| (&*entry.action, entry.target == path)).collect();
    let counted = &world.operator.list_audit(&AuditQuery::default()).await.expect("it reads").items[2];
    assert!(counted.detail["filter"].contains(r#""q":"f-""#), "{counted:?}");
    let counted = ["matched", "done", "unchanged", "failed"].map(|name| &*counted.detail[name]);
    assert_eq!(counted, ["120", "119", "1", "0"]);
    // The newest first: of the whole job and of the unit. The dry run is a request alone.
    let of_job =
        [("jobs.cancel", true), ("devices.bulk", true), ("jobs.disable", true), ("jobs.disable", true)];
    assert_eq!(entries[..5], [&of_job[..], &[("devices.bulk", false)]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_entry_of_a_job_denies_nothing_that_it_did() {
    let world = fleet(0).await;
    let revoked = Problem::new(401, Code::Unauthorized, "no more");
    let busy = Problem::new(503, Code::Unavailable, "not now");
    for (state, done, outcome, expected) in [
        (JobState::Done, 0, Ok(()), AuditOutcome::Done),
        (JobState::Done, 5, Ok(()), AuditOutcome::Done),
        (JobState::Cancelled, 0, Ok(()), AuditOutcome::Failed),
        (JobState::Cancelled, 5, Ok(()), AuditOutcome::Partly),
        (JobState::Failed, 0, Err(revoked.clone()), AuditOutcome::Failed),
        (JobState::Failed, 5, Err(revoked), AuditOutcome::Partly),
        (JobState::Failed, 0, Err(busy.clone()), AuditOutcome::Unknown),
        (JobState::Failed, 5, Err(busy), AuditOutcome::Partly),
    ] {
        let asked = AskedFrom::default();
        let deed = Deed { action: "jobs.delete".into(), target: "/jobs/1".into(), ou: None, asked };
        let noted = world.operator.note_deed(deed).await.expect("it is noted");
        let said = said(noted.ended(&outcome), state, [done, 2, 3]);
        world.operator.end_deed(said).await.expect("it is appended");
        let entries = world.operator.list_audit(&AuditQuery::default()).await.expect("it reads").items;
        assert_eq!((entries[0].outcome, &*entries[0].detail["done"]), (expected, &*done.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_finds_more_than_was_counted_changes_nothing() {
    let world = fleet(60).await;
    let token = world.token("ci", Role::Administrator, None).await;
    let device = |key: &str| format!(r#"{{"productKey":"pk-1","deviceKey":"{key}"}}"#);
    let listed = ["f-000", "f-001"].map(device).join(",");
    for (which, max, state, done) in [
        (r#""filter":{"q":"f-"}"#.to_owned(), 59, "failed", 0),
        (format!(r#""devices":[{listed}]"#), 1, "failed", 0),
        (format!(r#""devices":[{listed}]"#), 2, "done", 2),
        (r#""filter":{"q":"f-"}"#.to_owned(), 60, "done", 58),
        (r#""filter":{"q":"f-"}"#.to_owned(), 0, "failed", 0),
    ] {
        for dry_run in [true, false] {
            let body = format!(r#"{{"action":"disable",{which},"dryRun":{dry_run},"matchedMax":{max}}}"#);
            let (status, job) = world.bulk(&token, &body).await;
            assert_eq!((status, &job["state"], &job["done"]), (200, &state.into(), &done.into()), "{job}");
        }
    }
    let (_, job) = world.bulk(&token, r#"{"action":"enable","filter":{"q":"f-"},"matchedMax":7}"#).await;
    assert_eq!(job["detail"], "there are more than 7 devices (matchedMax): count them again");
    let audit = AuditQuery { action: Some("jobs.enable".into()), ..AuditQuery::default() };
    let entries = world.operator.list_audit(&audit).await.expect("it reads").items;
    assert_eq!(entries.iter().map(|entry| entry.outcome).collect::<Vec<_>>(), [AuditOutcome::Failed]);
    assert_eq!(world.disabled().await, 60);
}

/// What is seen of jobs that switch devices off: whose, what became of it, how many.
async fn seen(world: &World, token: &str) -> Vec<[Value; 3]> {
    let (_, page) = world.asks(token, Method::GET, "/audit?action=jobs.disable", "").await;
    let entries = page["items"].as_array().expect("a list");
    let seen =
        |entry: &Value| [entry["ou"].clone(), entry["outcome"].clone(), entry["detail"]["done"].clone()];
    entries.iter().map(seen).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_177_a_unit_sees_in_the_audit_log_what_a_job_of_others_did_in_it() {
    let world = fleet(2).await;
    let (product_key, ou) = (Some("pk-n".into()), Some("north".into()));
    let product = NewProduct { name: "n".into(), product_key, ou, ..NewProduct::default() };
    world.operator.create_product(product).await.expect("it is new");
    let ou = world.operator.deed_place(&DeedTo::Product("pk-n".into())).await.ou.expect("it has one");
    let device_key = Some("n-1".to_owned());
    let new = NewDeviceRequest { device_key, ..NewDeviceRequest::default() };
    world.operator.create_device("pk-n", new).await.expect("it is new");
    let owner = world.token("all", Role::Administrator, None).await;
    let north = world.token("north", Role::Administrator, Some("north")).await;
    let entry = |ou: Option<&str>, done: &str| [Value::from(ou), "done".into(), done.into()];
    // All devices: three are of the default unit.
    let (_, job) = world.bulk(&owner, r#"{"action":"disable","filter":{}}"#).await;
    assert_eq!(counts(&job), (4, 4, 0, 0));
    assert_eq!(seen(&world, &north).await, [entry(Some(&ou), "1")]);
    let mut all = vec![entry(None, "4"), entry(Some(&ou), "1"), entry(Some(DEFAULT_OU), "3")];
    assert_eq!(seen(&world, &owner).await, all);
    // Those of a product have an entry alone, and so have those that a list names.
    let (_, job) = world.bulk(&owner, r#"{"action":"disable","filter":{"product":"pk-n"}}"#).await;
    assert_eq!(counts(&job), (1, 0, 1, 0));
    all.insert(0, entry(Some(&ou), "0"));
    assert_eq!(seen(&world, &owner).await, all);
    let listed = r#"{"action":"disable","devices":[{"productKey":"pk-n","deviceKey":"n-1"},
        {"productKey":"pk-1","deviceKey":"f-000"},{"productKey":"pk-1","deviceKey":"f-001"}]}"#;
    world.bulk(&owner, listed).await;
    all.splice(0..0, [entry(None, "0"), entry(Some(&ou), "0"), entry(Some(DEFAULT_OU), "0")]);
    assert_eq!(seen(&world, &owner).await, all);
    assert_eq!(seen(&world, &north).await.len(), 3);
    // How many a list names in all units is told to those who see all of them.
    for (token, named) in [(&owner, Value::from("3")), (&north, Value::Null)] {
        let (_, page) = world.asks(token, Method::GET, "/audit?action=jobs.disable", "").await;
        let entries = page["items"].as_array().expect("a list");
        let mut told = entries.iter().map(|entry| &entry["detail"]["devices"]);
        assert_eq!(told.find(|devices| !devices.is_null()).unwrap_or(&Value::Null), &named);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_server_leaves_an_entry_of_each_unit() {
    let world = fleet(0).await;
    let owner = world.token("all", Role::Administrator, None).await;
    let north = world.token("north", Role::Administrator, Some("north")).await;
    let (product_key, ou) = (Some("pk-n".into()), Some("north".into()));
    let product = NewProduct { name: "n".into(), product_key, ou, ..NewProduct::default() };
    world.operator.create_product(product).await.expect("it is new");
    let ou = world.operator.deed_place(&DeedTo::Product("pk-n".into())).await.ou.expect("it has one");
    let (action, target) = ("jobs.disable".to_owned(), "/jobs/1".to_owned());
    let deed = Deed { action, target, ou: None, asked: AskedFrom::default() };
    let begun = Entries::begin(world.operator.clone(), deed, BTreeMap::new()).await.expect("it is noted");
    begun.note(&ou).await.expect("it is noted");
    assert_eq!(seen(&world, &north).await.len(), 0);
    drop(begun);
    let unknown = |ou: Option<&str>| [Value::from(ou), "unknown".into(), Value::Null];
    assert_eq!(seen(&world, &north).await, [unknown(Some(&ou))]);
    assert_eq!(seen(&world, &owner).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_registered_while_a_job_works_is_not_met() {
    let world = fleet(60).await;
    let list = DeviceList { q: Some("f-".into()), ..DeviceList::default() };
    let members = world.operator.members(&list).await.expect("it reads");
    world.operator.delete_device(&NamedDevice::by_name("f-007")).await.expect("it is there");
    for device_key in ["f-007", "f-later"] {
        let new = NewDeviceRequest { device_key: Some(device_key.into()), ..NewDeviceRequest::default() };
        world.operator.create_device("pk-1", new).await.expect("it is new");
    }
    let act = world.operator.bulk_act(BulkAction::Delete, None).await.expect("it is acceptable");
    let token = world.token("ci", Role::Administrator, None).await;
    let credential = Credential::Token(token_hash(&token).expect("it is one"));
    let caller = world.operator.holder(credential.hash()).await.expect("it reads").expect("it is valid");
    let (job, shown) = world.operator.begin_job(&act, false);
    let run = Run {
        operator: world.operator.clone(),
        standing: Standing::new(world.operator.clone(), Asker { caller, credential: Some(credential) }),
        peer: Attended::default(),
        act,
        of: Of::Filter(Box::new(members)),
        dry_run: false,
        matched_max: None,
        entries: None,
        stopping: None,
    };
    spawn_blocking(move || run.run(job)).await.expect("it ends");
    let shown = world.operator.show_job(&shown.id).await.expect("it is there");
    assert_eq!((shown.state, shown.matched, shown.done), (JobState::Done, 59, 59));
    let left = world.operator.list_devices(&list).await.expect("it reads").items;
    assert_eq!(left.iter().map(|row| row.device_key()).collect::<Vec<_>>(), ["f-007", "f-later"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_a_result_for_each_row() {
    let world = fleet(3).await;
    let token = world.token("ci", Role::Administrator, None).await;
    let device = |key: &str| format!(r#"{{"productKey":"pk-1","deviceKey":"{key}"}}"#);
    let devices = ["f-000", "none", "f-001", "gone"].map(device).join(",");
    let tagged = format!(r#"{{"action":"tag","devices":[{devices}],"tags":{{"site":"north"}}}}"#);
    let (_, job) = world.bulk(&token, &tagged).await;
    assert_eq!(counts(&job), (4, 2, 0, 2));
    let rows: Vec<_> = job["failed"].as_array().expect("a list").iter().map(|fault| &fault["row"]).collect();
    assert_eq!(rows, [&Value::from(2), &Value::from(4)]);
    let fault = &job["failed"][0];
    assert_eq!((&fault["deviceKey"], &fault["code"]), (&"none".into(), &"missing".into()));
    assert_eq!(fault["message"], "there is no device pk-1/none");
    let (_, found) = world.asks(&token, Method::GET, "/devices?tag=site:north", "").await;
    assert_eq!(found["items"].as_array().map(Vec::len), Some(2));
    let delete = |dry_run| format!(r#"{{"action":"delete","devices":[{devices}],"dryRun":{dry_run}}}"#);
    let (_, foreseen) = world.bulk(&token, &delete(true)).await;
    let (_, job) = world.bulk(&token, &delete(false)).await;
    assert_eq!((counts(&foreseen), &foreseen["failed"]), (counts(&job), &job["failed"]));
    let (_, left) = world.asks(&token, Method::GET, "/devices?q=f-", "").await;
    assert_eq!(left["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_change_more_than_was_meant_is_refused() {
    let world = fleet(1).await;
    let token = world.token("ci", Role::Administrator, None).await;
    let operator = world.token("operator", Role::Operator, None).await;
    let device = |key: &str| format!(r#"{{"productKey":"pk-1","deviceKey":"{key}"}}"#);
    for (body, status, place) in [
        (r#"{"action":"delete","filter":{}}"#, 422, "/filter"),
        (r#"{"action":"delete","filter":{"q":""}}"#, 422, "/filter"),
        (r#"{"action":"disable"}"#, 422, "/filter"),
        (r#"{"action":"disable","devices":[]}"#, 422, "/devices"),
        (
            r#"{"action":"disable","filter":{},"devices":[{"productKey":"a","deviceKey":"b"}]}"#,
            422,
            "/devices",
        ),
        (r#"{"action":"disable","filter":{"produkt":"pk-1"}}"#, 400, ""),
        (r#"{"action":"disable","filter":{"tag":"no colon"}}"#, 422, "tag"),
        (r#"{"action":"disable","filter":{"product":"none"}}"#, 404, ""),
        (&format!(r#"{{"action":"disable","devices":[{}]}}"#, device(&"x".repeat(257))), 422, "/devices"),
        (r#"{"action":"tag","filter":{}}"#, 422, "/tags"),
        (r#"{"action":"tag","filter":{},"tags":{"a b":"1"}}"#, 422, "/tags/a b"),
        (r#"{"action":"enable","filter":{},"tags":{"a":"1"}}"#, 422, "/tags"),
    ] {
        let (said, problem) = world.bulk(&token, body).await;
        assert_eq!(
            (said, problem["where"].as_str().unwrap_or_default()),
            (status, place),
            "{body} {problem}"
        );
    }
    let (status, problem) = world.bulk(&operator, r#"{"action":"delete","filter":{"q":"f-"}}"#).await;
    assert_eq!((status, &problem["code"]), (403, &"forbidden".into()));
    let (_, jobs) = world.asks(&token, Method::GET, "/jobs", "").await;
    assert_eq!(jobs["items"], Value::from(Vec::<Value>::new()));
    let (status, problem) = world.asks(&token, Method::GET, "/jobs/none", "").await;
    assert_eq!((status, &problem["detail"]), (404, &"there is no job none".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_177_a_unit_changes_its_own_devices_and_sees_its_own_jobs() {
    let world = fleet(2).await;
    let owner = world.token("all", Role::Administrator, None).await;
    let north = world.token("north", Role::Administrator, Some("north")).await;
    let (_, job) = world.bulk(&north, r#"{"action":"disable","filter":{}}"#).await;
    assert_eq!(counts(&job), (0, 0, 0, 0));
    let named = r#"{"action":"delete","devices":[{"productKey":"pk-1","deviceKey":"f-000"}]}"#;
    let (_, job) = world.bulk(&north, named).await;
    assert_eq!((counts(&job), &job["failed"][0]["code"]), ((1, 0, 0, 1), &"missing".into()));
    assert_eq!(world.disabled().await, 0);
    let (_, of_all) = world.bulk(&owner, r#"{"action":"enable","filter":{}}"#).await;
    assert_eq!(counts(&of_all), (3, 0, 3, 0));
    let path = format!("/jobs/{}", of_all["id"].as_str().expect("it has a name"));
    for (method, path) in [(Method::GET, path.clone()), (Method::POST, format!("{path}:cancel"))] {
        assert_eq!(world.asks(&north, method, &path, "").await.0, 404, "{path}");
    }
    let (_, jobs) = world.asks(&north, Method::GET, "/jobs", "").await;
    assert_eq!(jobs["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_ends_where_its_token_is_revoked_or_somebody_cancels_it() {
    let world = fleet(60).await;
    let token = world.token("ci", Role::Operator, None).await;
    let credential = Credential::Token(token_hash(&token).expect("it is one"));
    let caller = world.operator.holder(credential.hash()).await.expect("it reads").expect("it is valid");
    let run = async |is_cancelled: bool| {
        let act = world.operator.bulk_act(BulkAction::Disable, None).await.expect("it is acceptable");
        let (job, shown) = world.operator.begin_job(&act, false);
        if is_cancelled {
            world.operator.cancel_job(&shown.id).await.expect("it is there");
        }
        let asker = Asker { caller: caller.clone(), credential: Some(credential) };
        let run = Run {
            operator: world.operator.of(caller.clone()),
            standing: Standing::new(world.operator.clone(), asker),
            peer: Attended::default(),
            act,
            of: Of::Filter(Box::new(world.operator.members(&DeviceList::default()).await.expect("it reads"))),
            dry_run: false,
            matched_max: None,
            entries: None,
            stopping: None,
        };
        spawn_blocking(move || run.run(job)).await.expect("it ends");
        world.operator.show_job(&shown.id).await.expect("it is there")
    };
    let cancelled = run(true).await;
    assert_eq!((cancelled.state, cancelled.done), (JobState::Cancelled, 0));
    world.operator.revoke_token("ci").await.expect("it is there");
    let failed = run(false).await;
    assert_eq!((failed.state, failed.done), (JobState::Failed, 0));
    assert_eq!(failed.detail.as_deref(), Some("the token or the session is not valid any more"));
    assert_eq!(world.disabled().await, 0);
}

#[test]
fn three_units_with_long_jobs_leave_a_place_to_a_fourth() {
    let take = |unit: &str| JOBS.take(&holder(unit, Some(unit)), 1);
    let mut taken = Vec::new();
    for unit in ["north", "south", "west"] {
        taken.extend([(); 2].map(|()| take(unit).expect("it may have two")));
        take(unit).expect_err("it has two");
    }
    take("quiet").expect("there is room");
}
