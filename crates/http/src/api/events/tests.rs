use std::{future::Future, pin::Pin};

use axum::{body::Body, http::Request};
use futures_util::StreamExt as _;
use narrowgate_api::access::Role;
use narrowgate_platform::{
    ids::{DEFAULT_OU, Position},
    model::access::{Caller, Scope},
};
use tower::ServiceExt as _;

use super::*;
use crate::{Api, api_router, document::world::world};

/// Nothing ever happens.
struct Quiet;

impl Events for Quiet {
    fn follow(
        &self,
        _: Option<StreamPlace>,
        _: Lot,
    ) -> Pin<Box<dyn Future<Output = Box<dyn Subscription>> + Send + '_>> {
        Box::pin(std::future::ready(Box::new(Self) as Box<dyn Subscription>))
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
    let cursors = CursorKey::new([1; 16]);
    let events = Some(EventsSource::new(Arc::new(Quiet), cursors, stopping));
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

#[tokio::test]
async fn attack_177_a_unit_sees_what_is_known_to_be_its_own_and_nothing_else() {
    let operator = world(None).await.operator;
    let shown = |operator: Operator| Shown { operator, filter: EventFilter::default() };
    let scope = Scope::Unit(DEFAULT_OU.to_owned());
    let caller = Caller::Token { name: "t".into(), role: Role::Viewer, scope };
    let (unit, all) = (shown(operator.of(caller)), shown(operator));
    // What a stranger does is of no unit, whatever device it claims to be.
    for (ou, sees) in [(Some(DEFAULT_OU), true), (Some("o00000000000002"), false), (None, false)] {
        assert_eq!(unit.sees(ou), sees, "{ou:?}");
        assert!(all.sees(ou));
    }
    let place = |sequence| StreamPlace::first(Position { epoch: 1, sequence });
    let lost = |messages, others, of_units: &[(&str, u64)]| {
        let of_units = of_units.iter().map(|(ou, at)| ((*ou).to_owned(), place(*at))).collect();
        let [messages, others] = [messages, others].map(|at: Option<u64>| at.map(place));
        Lost { why: WhyLost::Expired, upto: place(9), messages, others, of_units }
    };
    for (lost, types, of_all, of_unit) in [
        (lost(Some(3), None, &[]), "report", Some(3), Some(3)),
        (lost(Some(3), None, &[]), "presence,refusal", None, None),
        (lost(None, Some(4), &[]), "presence", Some(4), Some(4)),
        (lost(None, Some(4), &[]), "report", Some(4), Some(4)),
        // What is gone of others is not told.
        (lost(None, None, &[("o00000000000002", 5), ("", 6)]), "presence", Some(6), None),
        (lost(Some(3), None, &[("o00000000000002", 5), (DEFAULT_OU, 2)]), "presence", Some(5), Some(2)),
        (lost(Some(3), None, &[("o00000000000002", 5), (DEFAULT_OU, 2)]), "report", Some(5), Some(3)),
    ] {
        let query = EventsQuery { types: Some(types.into()), ..EventsQuery::default() };
        for (shown, expected) in [(&all, of_all), (&unit, of_unit)] {
            let filter = shown.operator.listen(query.clone()).await.expect("there are such");
            let shown = Shown { operator: shown.operator.clone(), filter };
            assert_eq!(shown.misses(&lost), expected.map(place), "{lost:?} for {types}");
        }
    }
}

#[tokio::test]
async fn who_waits_for_a_device_also_sees_refusals_of_those_who_are_none_that_is_known() {
    let operator = world(None).await.operator;
    let told = |kind, ou: Option<&str>, device: Option<&str>| {
        let (ou, device_key) = (ou.map(str::to_owned), device.map(str::to_owned));
        let whose = Arc::new(Whose { ou, product_key: device.map(|_| "pk-1".to_owned()), device_key });
        Told { place: None, whose, kind, json: "{}".into() }
    };
    let (refusal, presence) = (HappeningKind::Refusal, HappeningKind::Presence);
    for (strangers, types, told, wants) in [
        (false, "refusal", told(refusal, Some(DEFAULT_OU), Some("dk-1")), true),
        (false, "refusal", told(refusal, None, None), false),
        (true, "refusal", told(refusal, None, None), true),
        (true, "refusal", told(refusal, None, Some("dk-7")), true),
        (true, "refusal", told(refusal, Some(DEFAULT_OU), Some("dk-2")), false),
        (true, "refusal,presence", told(presence, None, Some("dk-7")), false),
        (true, "presence", told(refusal, None, None), false),
    ] {
        let (product, device) = (Some("pk-1".to_owned()), Some("dk-1".to_owned()));
        let query = EventsQuery {
            product,
            device,
            types: Some(types.to_owned()),
            strangers,
            ..EventsQuery::default()
        };
        let filter = operator.listen(query).await.expect("there is such a device");
        let shown = Shown { operator: operator.clone(), filter };
        assert_eq!(shown.wants(&told), wants, "{strangers} {types} {told:?}");
    }
}
