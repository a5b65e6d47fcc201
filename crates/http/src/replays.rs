//! Idempotency keys over every `POST` of the OpenAPI document: a new route has them by itself.

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use narrowgate_api::{
    access::{NewToken, Role},
    audit::AuditQuery,
};
use narrowgate_platform::{
    model::{
        access::Needs,
        replay::{KeptAnswer, RequestKey},
    },
    secret::Secret,
    service::{sum_of, token_hash},
};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::{
    api::{Asker, Credential, request_key},
    document::{
        documented, name, operation_id,
        world::{Keys, World, request, world},
    },
};

/// The status, the headers and the body of the answer to a request with this key.
async fn ask(world: &World, mut request: Request<Body>, key: &str) -> (StatusCode, HeaderMap, String) {
    request.headers_mut().insert("idempotency-key", key.parse().expect("it is a value"));
    let response = world.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("it ends");
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).expect("it is text"))
}

fn is_replayed(headers: &HeaderMap) -> bool {
    headers.get("idempotent-replayed").is_some_and(|value| value == "true")
}

/// A problem without the name of its request, which is another one each time.
fn without_id(body: &str) -> Value {
    let mut body: Value = serde_json::from_str(body).unwrap_or(Value::Null);
    body.as_object_mut().and_then(|body| body.remove("requestId"));
    body
}

fn post(path: &str, body: &str, token: &str) -> Request<Body> {
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::from(body.to_owned()))
        .expect("it is a request")
}

/// The key `k` of a token.
async fn key_of(world: &World, token: &str) -> RequestKey {
    let credential = Credential::Token(token_hash(token).expect("it is one"));
    let caller = world.operator.holder(credential.hash()).await.expect("it reads").expect("it is valid");
    request_key(&Asker { caller, credential: Some(credential) }, "k")
}

fn code(body: &str) -> Value {
    without_id(body)["code"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_post_that_is_sent_again_gets_the_answer_that_it_got() {
    let world = world(None).await;
    let token = world.token("administrator", Role::Administrator, None).await;
    let mut tried = 0;
    for row in documented().iter().filter(|row| row.method == Method::POST && row.needs != Needs::Own) {
        let what = &name(row);
        let image = &*world.fill().await;
        let keys = Keys { product: "pk-1", device: "dk-1", image, command: "7", job: "none" };
        let key = format!("key of {}", operation_id(row));
        let (status, headers, body) = ask(&world, request(row, keys, Some(&token)), &key).await;
        assert!(!is_replayed(&headers) && status.as_u16() < 500, "{what}: {status} {body}");
        let (again, more, same) = ask(&world, request(row, keys, Some(&token)), &key).await;
        assert!(is_replayed(&more), "{what}: {again} {same}");
        assert_eq!((again, without_id(&same)), (status, without_id(&body)), "{what}");
        for header in [header::CONTENT_TYPE, header::ETAG, header::LOCATION] {
            assert_eq!(more.get(&header), headers.get(&header), "{what}");
        }
        tried += 1;
    }
    assert!(tried > 20, "{tried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_one_of_its_caller_and_of_one_request() {
    let world = world(None).await;
    let first = world.token("first", Role::Administrator, None).await;
    let second = world.token("second", Role::Administrator, None).await;
    let new = |name: &str, token: &str| post("/api/v1/ous", &format!(r#"{{"name":"{name}"}}"#), token);
    let (status, _, made) = ask(&world, new("a", &first), "k").await;
    assert_eq!(status, StatusCode::CREATED);
    let (status, _, body) = ask(&world, new("b", &first), "k").await;
    assert_eq!((status, code(&body)), (StatusCode::CONFLICT, "idempotency_key_reused".into()));
    let (status, headers, body) = ask(&world, new("a", &second), "k").await;
    assert_eq!((status, code(&body)), (StatusCode::CONFLICT, "exists".into()), "it is carried out");
    assert!(!is_replayed(&headers));
    let (status, headers, again) = ask(&world, new("a", &first), "k").await;
    assert_eq!((status, again), (StatusCode::CREATED, made));
    assert!(is_replayed(&headers));
    for wrong in ["", " ", &"k".repeat(256)] {
        let (status, _, body) = ask(&world, new("c", &first), wrong).await;
        assert_eq!((status, code(&body)), (StatusCode::BAD_REQUEST, "malformed".into()), "{wrong:?}");
    }
    // What a role does not permit is refused as ever, and is not kept.
    let viewer = world.token("viewer", Role::Viewer, None).await;
    for _ in 0..2 {
        let (status, headers, _) = ask(&world, new("c", &viewer), "k").await;
        assert_eq!((status, is_replayed(&headers)), (StatusCode::FORBIDDEN, false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_again_to_its_key_and_after_a_day_the_key_is_free() {
    let world = world(None).await;
    let new = NewToken { name: "t".into(), role: Role::Administrator, ou: None, expires_at: None };
    let token = world.operator.create_token(new).await.expect("it is new").token.expose().to_owned();
    let make = || post("/api/v1/products/pk-1/devices", r#"{"deviceKey":"dk-7"}"#, &token);
    let (status, _, made) = ask(&world, make(), "k").await;
    assert_eq!(
        (status, without_id(&made)["deviceSecret"].as_str().map(str::len)),
        (StatusCode::CREATED, Some(20))
    );
    assert_eq!(ask(&world, make(), "k").await.2, made);
    // A secret was shown, and nothing was made.
    let newest = AuditQuery { limit: Some(1), ..AuditQuery::default() };
    let entry = world.operator.list_audit(&newest).await.expect("it reads").items.remove(0);
    assert_eq!((&*entry.action, entry.code.as_deref()), ("devices.create", Some("replayed")));
    world.clock.advance_ms(86_400_000 - 1);
    assert_eq!(ask(&world, make(), "k").await.2, made);
    world.clock.advance_ms(1);
    let (status, headers, body) = ask(&world, make(), "k").await;
    assert_eq!((status, code(&body)), (StatusCode::CONFLICT, "exists".into()));
    assert!(!is_replayed(&headers));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_cut_off_is_not_carried_out_again() {
    let world = world(None).await;
    let token = world.token("t", Role::Administrator, None).await;
    let body = r#"{"name":"a"}"#;
    let key = key_of(&world, &token).await;
    let sum = sum_of(&[b"/api/v1/ous", b"application/json", b"", body.as_bytes()]);
    // As it stands after a crash in the middle.
    world.operator.begin_request(key, sum).await.expect("it is new");
    let (status, _, answer) = ask(&world, post("/api/v1/ous", body, &token), "k").await;
    assert_eq!((status, code(&answer)), (StatusCode::CONFLICT, "outcome_unknown".into()));
    let (status, ..) = ask(&world, post("/api/v1/ous", body, &token), "another").await;
    assert_eq!(status, StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_gone_is_not_shown_as_one_that_goes_on() {
    let world = world(None).await;
    let token = world.token("t", Role::Administrator, None).await;
    let body = r#"{"action":"disable","filter":{}}"#;
    let bulk = || post("/api/v1/devices:bulk", body, &token);
    let (status, headers, _) = ask(&world, bulk(), "k").await;
    let job = headers[header::LOCATION].to_str().expect("it is text").to_owned();
    assert_eq!((status, job.starts_with("/api/v1/jobs/")), (StatusCode::OK, true));
    let key = key_of(&world, &token).await;
    for (location, expected) in
        [(&*job, StatusCode::ACCEPTED), ("/api/v1/jobs/of-another-start", StatusCode::CONFLICT)]
    {
        // As it is kept of a job that takes longer.
        let answer = KeptAnswer {
            status: 202,
            media_type: "application/json".to_owned(),
            tag: String::new(),
            location: location.to_owned(),
            body: Some(Secret::new("{}".to_owned())),
        };
        world.operator.keep_answer(key.clone(), answer).await.expect("it is kept");
        let (status, headers, answer) = ask(&world, bulk(), "k").await;
        assert_eq!((status, is_replayed(&headers)), (expected, expected == StatusCode::ACCEPTED), "{answer}");
        assert!(is_replayed(&headers) || code(&answer) == "outcome_unknown", "{answer}");
    }
}
