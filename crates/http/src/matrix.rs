//! Every operation of the OpenAPI document and every kind of caller: a new route stands in the document
//! ([`crate::document`]), and so it is here.

mod audit;
mod entries;
mod shown;

use std::net::IpAddr;

use axum::{
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode, header},
};
use narrowgate_api::access::Role;
use narrowgate_platform::{
    model::access::{Caller, Needs, Scope},
    rules::rate::Rate,
};
use schemars::SchemaGenerator;
use tower::ServiceExt as _;

use crate::{
    api::{Row, rows},
    document::{
        documented, name,
        world::{Keys, World, request, world},
    },
    gate::Peer,
};

/// What of another unit a route names; a list names nothing.
fn names_something(row: &Row) -> bool {
    row.path.contains("{product}")
        || row.path.contains("{device}")
        || row.path.contains("{image}")
        || matches!(&*row.path, "/api/v1/devices:bulk" | "/api/v1/firmware:content")
        || matches!(&*row.path, "/api/v1/firmware" | "/api/v1/rollouts") && row.method == Method::POST
}

/// What belongs to the default unit.
const FOREIGN: Keys<'_> = Keys { product: "pk-1", device: "dk-1", image: "", command: "7", job: "none" };

/// What is nowhere.
const NOWHERE: Keys<'_> =
    Keys { product: "pk-2", device: "dk-2", image: "Zz9Zz9Zz", command: "7", job: "none" };

#[tokio::test(flavor = "multi_thread")]
async fn attack_177_every_route_is_for_the_roles_that_it_names_and_what_is_foreign_does_not_exist() {
    let world = world(None).await;
    let all = |role| Caller::Token { name: "t".into(), role, scope: Scope::All };
    let callers = [Role::Viewer, Role::Operator, Role::Administrator];
    let mut tokens = Vec::new();
    for role in callers {
        tokens.push((all(role), world.token(&format!("{role:?}"), role, None).await));
        let user = Caller::User { name: "u".into(), role, scope: Scope::All };
        tokens.push((user, world.session(&format!("{role:?}"), role, None).await));
    }
    let foreign = [
        world.token("foreign", Role::Administrator, Some("north")).await,
        world.session("foreign", Role::Administrator, Some("north")).await,
    ];
    let rows = documented();
    assert!(rows.len() > 60, "{}", rows.len());
    let mut hidden = 0;
    for row in &rows {
        let what = &name(row);
        let (status, problem) = world.ask(request(row, NOWHERE, None)).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNAUTHORIZED, &"unauthorized".into()), "{what}");
        for (caller, token) in &tokens {
            let image = &*world.fill().await;
            let keys = Keys { image, ..FOREIGN };
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
        for foreign in &foreign {
            hidden += usize::from(is_hidden_from(&world, row, foreign).await);
        }
    }
    assert!(hidden > 100, "{hidden}");
    let shown = world.operator.show_product("pk-1").await.expect("nothing of it was changed");
    assert!(shown.enabled);
}

/// Checks what an administrator of another unit is answered; whether something was hidden.
async fn is_hidden_from(world: &World, row: &Row, foreign: &str) -> bool {
    let what = &name(row);
    let image = &*world.fill().await;
    let keys = Keys { image, ..FOREIGN };
    let (status, body) = world.ask(request(row, keys, Some(foreign))).await;
    if matches!(row.needs, Needs::ReadAll | Needs::AdministerAll | Needs::Own) {
        assert_eq!(status, StatusCode::FORBIDDEN, "{what}");
    } else if names_something(row) {
        assert_eq!(status, StatusCode::NOT_FOUND, "{what}: {body}");
        // The very words for what is nowhere.
        let (_, nowhere) = world.ask(request(row, NOWHERE, Some(foreign))).await;
        let nowhere = nowhere.to_string().replace(NOWHERE.product, "pk-1").replace(NOWHERE.device, "dk-1");
        let nowhere = nowhere.replace(NOWHERE.image, image);
        assert_eq!(body.to_string(), nowhere, "{what}");
        return true;
    } else {
        assert!(!body.to_string().contains("pk-1"), "{what}: {body}");
    }
    false
}

/// Its token and its user: each route says the same to them, until it is resumed.
#[tokio::test(flavor = "multi_thread")]
async fn attack_166_who_is_of_a_suspended_unit_gets_nothing_of_any_route() {
    let world = world(None).await;
    let token = world.token("of-north", Role::Administrator, Some("north")).await;
    let user = world.session("of-north", Role::Administrator, Some("north")).await;
    let of_other = world.token("of-south", Role::Viewer, Some("south")).await;
    world.operator.suspend_unit("north").await.expect("it is there");
    for row in &documented() {
        for caller in [&token, &user] {
            let (status, problem) = world.ask(request(row, NOWHERE, Some(caller))).await;
            let said = (status, problem["code"].as_str());
            assert_eq!(said, (StatusCode::FORBIDDEN, Some("unit_suspended")), "{}", name(row));
        }
    }
    let rows = documented();
    let me = rows.iter().find(|row| name(row) == "GET /me").expect("there is such a route");
    let ask = async |caller: &str| world.ask(request(me, FOREIGN, Some(caller))).await.0;
    assert_eq!(ask(&of_other).await, StatusCode::OK);
    world.operator.resume_unit("north").await.expect("it is there");
    assert_eq!([ask(&token).await, ask(&user).await], [StatusCode::OK; 2]);
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
async fn a_unit_is_changed_only_as_it_was_read_where_the_request_says_so() {
    let world = world(None).await;
    let token = world.token("t", Role::Administrator, None).await;
    let patch = async |tag: Option<&str>, devices: u32| {
        let mut request = get("/api/v1/ous/north", Some(&token));
        *request.method_mut() = Method::PATCH;
        let json = "application/json".parse().expect("it is a value");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        if let Some(tag) = tag {
            request.headers_mut().insert(header::IF_MATCH, tag.parse().expect("it is a value"));
        }
        *request.body_mut() = Body::from(format!(r#"{{"quotas":{{"devices":{devices}}}}}"#));
        world.ask(request).await
    };
    let shown = async || {
        let request = get("/api/v1/ous/north", Some(&token));
        let response = world.router.clone().oneshot(request).await.expect("it answers");
        response.headers()[header::ETAG].to_str().expect("it is text").to_owned()
    };
    let before = shown().await;
    let (status, unit) = patch(Some(&before), 7).await;
    assert_eq!((status, &unit["quotas"]["devices"]), (StatusCode::OK, &7.into()));
    assert_ne!(shown().await, before);
    let (status, problem) = patch(Some(&before), 8).await;
    assert_eq!((status, &problem["code"]), (StatusCode::PRECONDITION_FAILED, &"precondition_failed".into()));
    assert_eq!(patch(None, 9).await.1["quotas"]["devices"], 9);
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
    world.operator.revoke_token("first").await.expect("it is there");
    let response = world.ask(get("/api/v1/me", Some(&first))).await;
    assert_eq!(response.0, StatusCode::TOO_MANY_REQUESTS, "nothing is looked up for it");
    assert_eq!(world.ask(get("/api/v1/me", Some(&second))).await.0, StatusCode::OK);
    assert_eq!(world.ask(get("/health/live", None)).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_181_a_source_of_wrong_tokens_is_held_back_and_valid_ones_go_on() {
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
    assert_eq!(ask("192.0.2.1", &fresh).await, StatusCode::OK, "it is valid, whoever guesses beside it");
    assert_eq!(ask("192.0.2.1", &fresh).await, StatusCode::OK);
    let response = world.router.clone().oneshot(get("/metrics", None)).await.expect("it answers");
    let body = to_bytes(response.into_body(), 1 << 20).await.expect("it ends");
    let text = String::from_utf8(body.to_vec()).expect("it is text");
    assert!(text.contains("narrowgate_http_unauthorized_total "), "{text}");
    assert!(!text.contains("narrowgate_http_held_back_total 0\n"), "{text}");
}

#[test]
fn each_change_of_what_was_read_takes_if_match() {
    let changes = |row: &Row| [Method::PUT, Method::PATCH].contains(&row.method);
    let unconditional = rows().into_iter().filter(|row| changes(row) && !row.sketch.takes_condition);
    let paths: Vec<_> = unconditional.map(|row| row.path).collect();
    assert_eq!(paths, ["/api/v1/firmware:content"]);
}

#[test]
fn each_answer_with_a_secret_is_wiped() {
    let mut secrets = 0;
    for row in rows() {
        for answer in &row.sketch.answers {
            let mut schemas = SchemaGenerator::default();
            let _ = (answer.shape)(&mut schemas);
            let has_secret = schemas.definitions().contains_key("SecretText");
            assert!(answer.is_wiped || !has_secret, "{} {}", row.method, row.path);
            secrets += usize::from(has_secret);
        }
    }
    assert!(secrets >= 6, "{secrets}");
}
