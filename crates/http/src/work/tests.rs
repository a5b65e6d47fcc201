use std::{convert::Infallible, io};

use axum::{Router, body::to_bytes, http::header};
use narrowgate_api::access::Role;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tower::ServiceExt as _;

use super::*;
use crate::{
    document::world::{World, world},
    places::{Place, Places, PlacesMax},
};

const SOON: Duration = Duration::from_secs(10);

/// A body that comes as its parts are sent, and ends with their sender.
fn body() -> (mpsc::Sender<&'static str>, Body) {
    let (send, parts) = mpsc::channel(8);
    let stream = futures_util::stream::unfold(parts, async |mut parts: mpsc::Receiver<&'static str>| {
        let part = parts.recv().await?;
        Some((Ok::<_, Infallible>(part), parts))
    });
    (send, Body::from_stream(stream))
}

fn request(method: Method, path: &str, token: &str, body: Body) -> Request {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)
        .expect("it is a request")
}

async fn answer(router: &Router, request: Request) -> (StatusCode, String) {
    let response = router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.expect("it ends");
    (status, String::from_utf8(body.to_vec()).expect("it is text"))
}

/// The same, beside the test.
fn asked(world: &World, request: Request) -> JoinHandle<(StatusCode, String)> {
    let router = world.router.clone();
    tokio::spawn(async move { answer(&router, request).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_182_nothing_of_a_body_is_read_of_somebody_who_may_not() {
    let world = world(None).await;
    let viewer = world.token("viewer", Role::Viewer, None).await;
    for (method, path, status) in [
        (Method::POST, "/api/v1/products", 403),
        (Method::PATCH, "/api/v1/devices/dk-1", 403),
        (Method::POST, "/api/v1/devices/dk-1:reset", 403),
        (Method::GET, "/api/v1/me", 200),
        (Method::PUT, "/api/v1/me", 405),
        (Method::POST, "/api/v1/nothing", 404),
    ] {
        let (_held_back, body) = body();
        let answered = answer(&world.router, request(method, path, &viewer, body));
        let (answered, text) = timeout(SOON, answered).await.unwrap_or_else(|_| panic!("{path} waits"));
        assert_eq!(answered, status, "{path}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_token_is_revoked_while_its_body_is_held_back_is_not_carried_out() {
    let world = world(None).await;
    let thief = world.token("thief", Role::Administrator, None).await;
    let (send, body) = body();
    let asked = asked(&world, request(Method::POST, "/api/v1/tokens", &thief, body));
    send.send(r#"{"name":"another","role":"#).await.expect("it is read");
    // It is being read: the channel is empty again.
    while send.capacity() < send.max_capacity() {
        tokio::task::yield_now().await;
    }
    world.operator.revoke_token("thief").await.expect("it is there");
    send.send(r#""administrator"}"#).await.expect("it is read");
    drop(send);
    let (status, text) = asked.await.expect("it answers");
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{text}");
    assert!(text.contains("not valid any more"), "{text}");
    let tokens = world.operator.list_tokens().await.expect("it reads").items;
    assert!(tokens.is_empty(), "{tokens:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_182_one_token_has_its_share_of_the_requests_in_work_and_others_go_on() {
    let world = world(None).await;
    let (loud, other) = (
        world.token("loud", Role::Administrator, None).await,
        world.token("other", Role::Viewer, None).await,
    );
    let me = |token: &str| request(Method::GET, "/api/v1/me", token, Body::empty());
    let mut held = Vec::new();
    // One more each time: some of them may find the last place taken by who looks whether all are.
    let text = loop {
        let (status, text) = answer(&world.router, me(&loud)).await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            break text;
        }
        assert!(held.len() < 4 * IN_WORK.token, "it has no end");
        let (send, body) = body();
        held.push((send, asked(&world, request(Method::POST, "/api/v1/ous", &loud, body))));
    };
    assert!(text.contains(r#""code":"busy""#) && text.contains("this token"), "{text}");
    assert_eq!(answer(&world.router, me(&other)).await.0, StatusCode::OK);
    let mut read = 0;
    for (send, asked) in held {
        drop(send);
        match asked.await.expect("it answers").0 {
            // It has no body.
            StatusCode::BAD_REQUEST => read += 1,
            other => assert_eq!(other, StatusCode::TOO_MANY_REQUESTS),
        }
    }
    assert_eq!(read, IN_WORK.token);
    assert_eq!(answer(&world.router, me(&loud)).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reads_little_waits_for_nobody_who_reads_much() {
    let work = Work::new(crate::api::rows(), None);
    let routed = |method: Method, path: &'static str| {
        let work = Arc::clone(&work);
        async move {
            // HEAD has no body to say it in.
            let handler = move |request: Request| async move {
                let parts = request.into_parts().0;
                let reads_much = reads_much(work.taken(&parts), &parts);
                if reads_much { StatusCode::CREATED } else { StatusCode::ACCEPTED }
            };
            let router = Router::new().route(path, axum::routing::any(handler));
            let request = request(method, &path.replace(['{', '}'], ""), "", Body::empty());
            answer(&router, request).await.0 == StatusCode::CREATED
        }
    };
    for (method, path, reads_much) in [
        (Method::GET, "/api/v1/me", false),
        (Method::GET, "/api/v1/events", false),
        (Method::GET, "/api/v1/devices/{device}", false),
        (Method::GET, "/api/v1/products/{product}", false),
        (Method::PATCH, "/api/v1/devices/{device}", false),
        (Method::POST, "/api/v1/products/{product}/devices:import", false),
        (Method::GET, "/api/v1/devices", true),
        (Method::HEAD, "/api/v1/devices", true),
        (Method::GET, "/api/v1/devices/{device}/values", true),
        (Method::GET, "/api/v1/audit", true),
        (Method::GET, "/api/v1/system", true),
        (Method::GET, "/api/v1/users", true),
        (Method::GET, "/api/v1/products", true),
    ] {
        assert_eq!(routed(method.clone(), path).await, reads_much, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_read_is_not_too_long() {
    let world = world(None).await;
    let token = world.token("ci", Role::Administrator, None).await;
    let broken = [Ok("{"), Err(io::Error::from(io::ErrorKind::InvalidData))];
    let body = Body::from_stream(futures_util::stream::iter(broken));
    let (status, text) = answer(&world.router, request(Method::POST, "/api/v1/ous", &token, body)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
    assert!(text.contains(r#""code":"malformed""#), "{text}");
    let long = Body::from(vec![b' '; BODY_BYTES_MAX + 1]);
    let (status, _) = answer(&world.router, request(Method::POST, "/api/v1/ous", &token, long)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

/// A connection of a listener where one token may wait once.
async fn connection() -> Place {
    let places = Places::new(PlacesMax { requests: 9, queued: 1, followers: 4, waiting: 4 });
    places.enter(None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_device_and_leaves_gives_its_place_back() {
    let world = world(None).await;
    world.furnish().await;
    let token = world.token("operator", Role::Operator, None).await;
    let place = connection().await;
    let send = || {
        let body = Body::from(r#"{"kind":"get","ids":["temp"],"pendingTtl":600,"wait":60}"#);
        let mut request = request(Method::POST, "/api/v1/devices/dk-1/commands", &token, body);
        request.extensions_mut().insert(place.seat());
        request
    };
    for _ in 0..3 {
        // As often as the one before still has the place; none of them is answered, and all leave.
        let waits = async {
            loop {
                let asked = asked(&world, send());
                tokio::time::sleep(Duration::from_millis(200)).await;
                if !asked.is_finished() {
                    asked.abort();
                    return;
                }
                let (status, text) = asked.await.expect("it answers");
                assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{text}");
            }
        };
        timeout(SOON, waits).await.expect("the place is free again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_change_what_they_have_read_do_not_undo_each_other() {
    let world = world(None).await;
    let token = world.token("ci", Role::Administrator, None).await;
    world.session("ann", Role::Viewer, None).await;
    for (path, method, body) in [
        ("/api/v1/products/pk-1", Method::PATCH, r#"{"name":"changed"}"#),
        ("/api/v1/devices/dk-1", Method::PATCH, r#"{"name":"changed"}"#),
        ("/api/v1/products/pk-1/devices/dk-1", Method::PATCH, r#"{"name":"again"}"#),
        ("/api/v1/products/pk-1/script", Method::PUT, r#"{"source":"copy"}"#),
        ("/api/v1/users/ann", Method::PATCH, r#"{"role":"operator"}"#),
    ] {
        let read = request(Method::GET, path, &token, Body::empty());
        let read = world.router.clone().oneshot(read).await.unwrap_or_else(|never| match never {});
        let tag = read.headers().get(header::ETAG).unwrap_or_else(|| panic!("{path} has no tag")).clone();
        let change = |tag: Option<&header::HeaderValue>| {
            let mut request = request(method.clone(), path, &token, Body::from(body));
            if let Some(tag) = tag {
                request.headers_mut().insert(header::IF_MATCH, tag.clone());
            }
            answer(&world.router, request)
        };
        let (first, second) = tokio::join!(change(Some(&tag)), change(Some(&tag)));
        let mut statuses = [first.0.as_u16(), second.0.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412], "{path}: {} {}", first.1, second.1);
        assert_eq!(change(Some(&tag)).await.0, StatusCode::PRECONDITION_FAILED, "{path}");
        let (unconditional, body) = change(None).await;
        let expected = match method {
            // It would replace the whole of it.
            Method::PUT => StatusCode::PRECONDITION_REQUIRED,
            _ => StatusCode::OK,
        };
        assert_eq!(unconditional, expected, "{path}: {body}");
    }
}
