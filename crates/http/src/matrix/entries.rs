//! What an entry of the audit log says of what was done, and who gets how many.

use std::{collections::BTreeMap, io};

use futures_util::stream;
use narrowgate_api::audit::{AuditEntry, AuditOutcome};
use serde_json::{Value, json};

use super::*;
use crate::document::{told::FIRMWARE, world::MODEL};

fn asking(token: &str, method: Method, path: &str, media_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(format!("/api/v1{path}"))
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, media_type)
        .body(body.into())
        .expect("it is a request")
}

impl World {
    /// The entry of a request with a body of JSON.
    async fn told(&self, token: &str, (method, path): (Method, &str), body: Value) -> AuditEntry {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = asking(token, method, path, "application/json", body);
        let (status, entry) = self.entry_of(request).await;
        entry.unwrap_or_else(|| panic!("{path} leaves an entry: {status}"))
    }
}

fn detail<const N: usize>(fields: [(&str, &str); N]) -> BTreeMap<String, String> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_ends_in_the_middle_is_partly_done_and_says_how_far() {
    let world = world(None).await;
    let token = world.token("ci", Role::Administrator, None).await;
    let rows = |from: usize, count: usize| {
        (from..from + count).map(|n| format!("d{n:05}\n")).collect::<String>().into_bytes()
    };
    let cut_off = |from: usize, count: usize| {
        let head = io::Result::Ok(b"deviceKey\n".to_vec());
        let gone = Err(io::Error::other("the peer left"));
        Body::from_stream(stream::iter([head, Ok(rows(from, count)), gone]))
    };
    let import = async |query: &str, body: Body| {
        let path = format!("/products/pk-1/devices:import{query}");
        let (status, entry) = world.entry_of(asking(&token, Method::POST, &path, "text/csv", body)).await;
        (status, entry.expect("it is written down"))
    };
    let (status, entry) = import("", cut_off(0, 1200)).await;
    assert_eq!((status, entry.outcome), (StatusCode::BAD_REQUEST, AuditOutcome::Partly), "{entry:?}");
    assert_eq!((entry.code.as_deref(), &*entry.detail["created"]), (Some("malformed"), "1200"));
    assert!(entry.detail["secrets"].starts_with("/api/v1/imports/"), "{entry:?}");
    // Nothing was done where all are there already, in a trial, and before the first row.
    for (query, body) in
        [("", cut_off(0, 1200)), ("?dryRun=true", cut_off(5000, 700)), ("", Body::from("colour\nred\n"))]
    {
        let (status, entry) = import(query, body).await;
        assert!(status.is_client_error(), "{query}: {status}");
        assert_eq!(entry.outcome, AuditOutcome::Failed, "{entry:?}");
    }
    let mut whole = b"deviceKey\n".to_vec();
    whole.extend(rows(1199, 3));
    let (_, entry) = import("", Body::from(whole.clone())).await;
    let counts = ["created", "skipped", "failed"].map(|name| &*entry.detail[name]);
    assert_eq!((entry.outcome, counts), (AuditOutcome::Done, ["2", "1", "0"]));
    let (_, entry) = import("?dryRun=true", Body::from(whole)).await;
    assert_eq!((entry.outcome, &*entry.detail["dryRun"]), (AuditOutcome::Done, "true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_says_what_was_changed_and_of_which_unit() {
    let world = world(None).await;
    let token = world.token("ci", Role::Administrator, None).await;
    let north = world.operator.list_units().await.expect("it reads").items[1].ou.clone();
    let told = async |method: Method, path: &str, body: Value| {
        let entry = world.told(&token, (method, path), body).await;
        assert_eq!(entry.outcome, AuditOutcome::Done, "{entry:?}");
        (entry.detail, entry.ou)
    };
    let (default, of_north) = (Some("o00000000000001".to_owned()), Some(north.clone()));
    let user = json!({"user":"ann","role":"administrator","ou":"north"});
    let of_ann = |role, state| detail([("ou", &*north), ("role", role), ("state", state)]);
    let made = told(Method::POST, "/users", user).await;
    assert_eq!(made, (of_ann("administrator", "invited"), of_north.clone()));
    let changed = told(Method::PATCH, "/users/ann", json!({"role":"viewer"})).await;
    assert_eq!(changed, (of_ann("viewer", "invited"), of_north.clone()));
    let switched = told(Method::PATCH, "/users/ann", json!({"enabled":false,"ou":null})).await;
    assert_eq!(switched, (detail([("ou", "all"), ("role", "viewer"), ("state", "disabled")]), None));
    let made = told(Method::POST, "/tokens", json!({"name":"t","role":"operator","ou":"north"})).await;
    assert_eq!(made, (detail([("ou", &*north), ("role", "operator")]), of_north.clone()));
    let gone = told(Method::DELETE, "/tokens/t", Value::Null).await;
    assert_eq!(gone, (detail([("ou", &*north), ("role", "operator")]), of_north.clone()));
    let (quotas, ou) = told(Method::PATCH, "/ous/north", json!({"quotas":{"devices":5}})).await;
    assert!(quotas["quotas"].contains(r#""devices":5"#) && ou == of_north, "{quotas:?}");
    let patch = json!({"dynamicActivation":{"enabled":true,"endsAt":null}});
    let activation = detail([("dynamicActivation.enabled", "true"), ("dynamicActivation.endsAt", "null")]);
    assert_eq!(told(Method::PATCH, "/products/pk-1", patch).await, (activation, default.clone()));
    let renamed = told(Method::PATCH, "/devices/dk-1", json!({"name":"cellar"})).await;
    assert_eq!(renamed, (detail([("name", "cellar")]), default.clone()));
    let model = serde_json::from_str(MODEL).expect("it is JSON");
    let model = told(Method::PUT, "/products/pk-1/model", model).await;
    assert_eq!(model, (detail([("version", "1")]), default.clone()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_named_by_its_kind_and_its_id() {
    let world = world(None).await;
    world.furnish().await;
    let token = world.token("operator", Role::Operator, None).await;
    let command = json!({"kind": "get", "ids": ["temp"], "pendingTtl": 60});
    let entry = world.told(&token, (Method::POST, "/devices/dk-1/commands"), command).await;
    assert_eq!((&*entry.action, entry.outcome), ("devices.commands.create", AuditOutcome::Done));
    assert_eq!(entry.detail, detail([("id", &*entry.detail["id"]), ("kind", "get")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn firmware_is_named_by_its_product_version_and_sum() {
    let world = world(None).await;
    let token = world.token("ci", Role::Administrator, None).await;
    let image = world.fill().await;
    let new: Value = serde_json::from_str(FIRMWARE).expect("it is JSON");
    let entry = world.told(&token, (Method::DELETE, &*format!("/firmware/{image}")), Value::Null).await;
    let of_image = ["productKey", "version", "sha256"].map(|name| entry.detail[name].clone());
    let expected =
        ["productKey", "version", "sha256"].map(|name| new[name].as_str().expect("text").to_owned());
    assert_eq!((of_image, &entry.detail["imageId"]), (expected, &image));
    let entry = world.told(&token, (Method::POST, "/firmware"), new.clone()).await;
    assert_eq!((&*entry.action, entry.ou.as_deref()), ("firmware.create", Some("o00000000000001")));
    assert_eq!((&*entry.detail["productKey"], &*entry.detail["received"]), ("pk-1", "0"), "{entry:?}");
    let query: Vec<_> = ["productKey", "version", "sha256"].iter().map(|name| (name, &new[name])).collect();
    let query: String =
        query.iter().map(|(name, value)| format!("{name}={}&", value.as_str().expect("text"))).collect();
    let path = format!("/firmware:content?{query}size=1&offset=0");
    let request = asking(&token, Method::PUT, &path, "application/octet-stream", vec![7]);
    let entry = world.entry_of(request).await.1.expect("it is written down");
    assert_eq!((&*entry.action, entry.ou.as_deref()), ("firmware.content", Some("o00000000000001")));
    assert_eq!(
        (&entry.detail["sha256"], entry.detail["imageId"].len()),
        (&new["sha256"].as_str().expect("text").to_owned(), image.len())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_an_entry_is_short_and_no_token() {
    let world = world(None).await;
    let token = world.token("ci", Role::Administrator, None).await;
    let long = "x".repeat(128);
    for (name, kept) in [(&*token, "ngt_"), (&*long, &*long)] {
        let entry = world.told(&token, (Method::PATCH, "/devices/dk-1"), json!({"name":name})).await;
        assert_eq!(entry.detail["name"], kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_the_least_does_not_fill_the_log() {
    let world = world(None).await;
    let viewer = world.token("viewer", Role::Viewer, Some("north")).await;
    let admin = world.token("admin", Role::Administrator, Some("north")).await;
    let delete = |token: &str| asking(token, Method::DELETE, "/devices/x", "application/json", Body::empty());
    let export = |token: &str| {
        let mut request = get("/api/v1/devices", Some(token));
        request.headers_mut().insert(header::ACCEPT, "text/csv".parse().expect("it is ASCII"));
        request
    };
    for n in 0..400 {
        let (request, expected) = match n % 2 {
            0 => (delete(&viewer), StatusCode::FORBIDDEN),
            _ => (export(&viewer), StatusCode::OK),
        };
        assert_eq!(world.router.clone().oneshot(request).await.expect("it answers").status(), expected);
    }
    let of = |entries: &[AuditEntry], who: &str| {
        entries.iter().filter(|entry| entry.token.as_deref() == Some(who)).count()
    };
    let entries = world.audit().await;
    // And one more for each 30 s that this takes.
    assert!((100..105).contains(&of(&entries, "viewer")), "{}", of(&entries, "viewer"));
    // What changes something has its entry, however often.
    for n in 0..150 {
        let name = json!({"name": format!("n{n}")});
        world.told(&admin, (Method::POST, "/products"), name).await;
    }
    assert_eq!(of(&world.audit().await, "admin"), 150);
}
