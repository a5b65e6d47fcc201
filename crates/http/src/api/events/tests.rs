use axum::{body::Body, http::Request};
use futures_util::StreamExt as _;
use narrowgate_api::{
    access::Role,
    happening::{Presence, Refused as Refusal},
    names::DeviceName,
};
use narrowgate_platform::{
    ids::{DEFAULT_OU, UnixMillis},
    model::access::{Caller, Scope},
};
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::*;
use crate::{Api, api_router, document::world::world};

/// Nothing ever happens.
struct Quiet;

impl Events for Quiet {
    fn subscribe(&self) -> Box<dyn Subscription> {
        Box::new(Self)
    }
}

impl Subscription for Quiet {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Next> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_hears_something_while_nothing_happens() {
    let operator = world(None).await.operator;
    let (_running, stopping) = watch::channel(false);
    let events = Some(EventsSource { events: Arc::new(Quiet), stopping });
    let router = api_router(Api { operator, host: Arc::new(|| unreachable!("nobody asks for it")), events });
    let request = Request::builder().uri("/api/v1/events").body(Body::empty()).expect("it is a request");
    let response = router.oneshot(request).await.unwrap_or_else(|never| match never {});
    let mut body = response.into_body().into_data_stream();
    for _ in 0..2 {
        let began = Instant::now();
        let comment = body.next().await.expect("it goes on").expect("it can be read");
        assert_eq!(&comment[..], b":\n\n");
        assert_eq!(began.elapsed(), COMMENT_EVERY);
    }
}

fn name(product_key: &str) -> DeviceName {
    DeviceName { product_key: product_key.to_owned(), device_key: "dk-1".to_owned() }
}

fn refused(product_key: &str, is_claimed: bool) -> Happening {
    Happening::Refused(Refusal {
        time: UnixMillis(0),
        device: Some(name(product_key)),
        is_claimed,
        identity: None,
        reason: None,
        code: None,
        peer: None,
        detail: Some("there is a device DK-1 of product pk-0".to_owned()),
    })
}

fn offline(product_key: Option<&str>) -> Happening {
    Happening::Offline(Presence { time: UnixMillis(0), device: product_key.map(name), detail: None })
}

#[tokio::test]
async fn attack_177_a_unit_sees_what_is_known_to_be_its_own_and_is_told_where_that_is_not_known() {
    let operator = world(None).await.operator;
    let shown = |operator: Operator| {
        let is_of_unit = operator.caller().unit().is_some();
        Shown { operator, is_of_unit, filter: EventFilter::default(), products: BTreeMap::new() }
    };
    let scope = Scope::Unit(DEFAULT_OU.to_owned());
    let caller = Caller::Token { name: "t".into(), role: Role::Viewer, scope };
    let (mut unit, mut all) = (shown(operator.of(caller)), shown(operator));
    for (happening, sees) in [
        (offline(Some("pk-1")), Sees::Yes),
        (offline(Some("pk-2")), Sees::No),
        (refused("pk-1", false), Sees::Yes),
        // Whoever claims to be a device of the unit may be told what others have.
        (refused("pk-1", true), Sees::No),
        // Its keys could not be read: it may be one of the unit.
        (offline(None), Sees::Unknown),
    ] {
        assert_eq!(unit.sees(&happening).await, sees, "{happening:?}");
        assert_eq!(unit.sees(&happening).await, sees, "{happening:?}, also when it is remembered");
        assert_eq!(all.sees(&happening).await, Sees::Yes, "{happening:?}");
    }
    assert_eq!(unit.products.len(), 2);
    assert_eq!((&*all.count(7), &*unit.count(7)), ("{\"count\":7}", "{}"));
    all.filter =
        all.operator.listen(EventsQuery { product: Some("pk-1".into()), device: None }).await.unwrap();
    assert_eq!(all.sees(&offline(None)).await, Sees::Unknown, "it may be one that is wanted");
}
