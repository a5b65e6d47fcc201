//! What a scrape sees of jobs, imports, gaps and answers that were given again: the values change with what
//! they count. Other tests of the same process may count beside these, so they are compared as bounds.

use std::{collections::BTreeMap, future::Future, io, pin::Pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode, header, request::Builder},
};
use futures_util::{StreamExt as _, stream};
use narrowgate_api::access::Role;
use narrowgate_platform::{
    ids::Position,
    model::happened::StreamPlace,
    ports::{Lost, WhyLost},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tower::ServiceExt as _;

use crate::{
    Api, CursorKey, EventsSource,
    api::events::{Events, Next, Subscription},
    api_router,
    document::world::{World, world},
    metrics::prometheus_text,
    shares::Lot,
};

/// The value of a series, as a scrape reads it.
async fn value(world: &World, series: &str) -> u64 {
    let request = Request::get("/metrics").body(Body::empty()).expect("it is a request");
    let response = world.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
    let body = to_bytes(response.into_body(), 1 << 20).await.expect("it is whole");
    value_in(str::from_utf8(&body).expect("it is text"), series)
}

fn value_in(text: &str, series: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{series} is not in {text}")).parse().expect("it is a number")
}

/// Waits until a gauge is at most this.
async fn falls_to(world: &World, series: &str, most: u64) {
    let fallen = async {
        while value(world, series).await > most {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), fallen).await.unwrap_or_else(|_| panic!("{series} stays"));
}

fn post(token: &str, path: &str) -> Builder {
    Request::post(format!("/api/v1{path}")).header(header::AUTHORIZATION, format!("Bearer {token}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_counts_while_it_works_and_by_its_end() {
    let world = world(None).await;
    let token = world.token("ci", Role::Administrator, None).await;
    const DONE: &str = "narrowgate_jobs_ended_total{state=\"done\"}";
    let before = value(&world, DONE).await;
    let share =
        super::super::jobs::JOBS.take(&crate::shares::tests::holder("m", None), 1).expect("there is room");
    assert!(value(&world, "narrowgate_jobs").await >= 1);
    drop(share);
    falls_to(&world, "narrowgate_jobs", 0).await;
    let body = r#"{"action":"disable","filter":{"q":"dk-"}}"#;
    let asked = post(&token, "/devices:bulk").header(header::CONTENT_TYPE, "application/json");
    let (status, job) = world.ask(asked.body(Body::from(body)).expect("it is a request")).await;
    assert_eq!((status, &job["state"]), (StatusCode::OK, &"done".into()), "{job}");
    assert!(value(&world, DONE).await > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_counts_while_its_file_comes() {
    let world = world(None).await;
    let token = world.token("ci", Role::Administrator, None).await;
    let (more, comes) = tokio::sync::oneshot::channel::<()>();
    let first = stream::once(async { io::Result::Ok("deviceKey\nd1\n") });
    let last = stream::once(async move { comes.await.map(|()| "d2\n").map_err(io::Error::other) });
    let asked = post(&token, "/products/pk-1/devices:import").header(header::CONTENT_TYPE, "text/csv");
    let request = asked.body(Body::from_stream(first.chain(last))).expect("it is a request");
    let import = tokio::spawn(world.router.clone().oneshot(request));
    let seen = async {
        while value(&world, "narrowgate_imports").await == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), seen).await.expect("it is under way");
    more.send(()).expect("it waits for the rest");
    let response = import.await.expect("it ends").unwrap_or_else(|never| match never {});
    assert_eq!(response.status(), StatusCode::OK);
    falls_to(&world, "narrowgate_imports", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_given_again_counts() {
    const REPLAYED: &str = "narrowgate_replayed_answers_total";
    let world = world(None).await;
    let token = world.token("ci", Role::Administrator, None).await;
    let before = value(&world, REPLAYED).await;
    let ask = async || {
        let asked = post(&token, "/products/pk-1/devices")
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", "k1");
        world.ask(asked.body(Body::from(r#"{"deviceKey":"d1"}"#)).expect("it is a request")).await
    };
    let first = ask().await;
    assert_eq!(first.0, StatusCode::CREATED);
    assert_eq!(ask().await, first);
    assert!(value(&world, REPLAYED).await > before);
}

/// Something is gone of each kind, and nothing happens.
struct Gone(Vec<WhyLost>);

struct Lossy(Vec<WhyLost>);

impl Events for Gone {
    fn follow(
        &self,
        _: Option<StreamPlace>,
        _: Lot,
    ) -> Pin<Box<dyn Future<Output = Box<dyn Subscription>> + Send + '_>> {
        Box::pin(std::future::ready(Box::new(Lossy(self.0.clone())) as Box<dyn Subscription>))
    }
}

impl Subscription for Lossy {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Next> + Send + '_>> {
        let Some(why) = self.0.pop() else { return Box::pin(std::future::ready(Next::Ended)) };
        // Each one further on than the one before, so that it is told.
        let at = StreamPlace::first(Position { epoch: 1, sequence: 9 - self.0.len() as u64 });
        let (messages, others, of_units) = (Some(at), Some(at), BTreeMap::new());
        let lost = Lost { why, upto: at, messages, others, of_units };
        Box::pin(std::future::ready(Next::Lost(lost)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_counts_by_its_reason_when_a_follower_is_told_of_it() {
    let operator = world(None).await.operator;
    let text = || prometheus_text(&super::samples());
    let series = |reason| format!("narrowgate_event_gaps_total{{reason=\"{reason}\"}}");
    let before = ["expired", "restored"].map(|reason| value_in(&text(), &series(reason)));
    let (_running, stopping) = watch::channel(false);
    let gone = Gone(vec![WhyLost::Expired, WhyLost::Restored]);
    let events = Some(EventsSource::new(Arc::new(gone), CursorKey::new([1; 16]), stopping));
    let host = Arc::new(|| unreachable!("nobody asks for it"));
    let router: Router = api_router(Api { operator, host, events });
    let request = Request::get("/api/v1/events").body(Body::empty()).expect("it is a request");
    let response = router.oneshot(request).await.unwrap_or_else(|never| match never {});
    let body = to_bytes(response.into_body(), 1 << 20).await.expect("it ends");
    let told = String::from_utf8(body.to_vec()).expect("it is text");
    assert_eq!(told.matches("event: gap").count(), 2, "{told}");
    let after = ["expired", "restored"].map(|reason| value_in(&text(), &series(reason)));
    assert!(after[0] > before[0] && after[1] > before[1], "{before:?} {after:?}");
}
