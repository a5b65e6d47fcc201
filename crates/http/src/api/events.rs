//! `/api/v1/events`: what happens to devices, as it happens, as server-sent events.
//!
//! `event:` is `report` (of points, attributes or tags), `presence`, `refusal` or `event`; `data:` is the
//! happening as one line of JSON; `id:` is its position if it has one. Two more concern the stream itself:
//! `missed`, with the number of events that a slow reader did not get, and `ended` when the server stops or
//! the reader's token or session is not valid any more, which is looked up every [`LOOK_EVERY`].

use std::{collections::BTreeMap, convert::Infallible, future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::{
    Extension,
    http::{HeaderName, StatusCode, header},
    response::sse::{Event, Sse},
};
use futures_util::{Stream, stream};
use narrowgate_api::{
    happening::Happening,
    problem::{Code, Problem},
    query::EventsQuery,
};
use narrowgate_platform::{
    ids::Position,
    model::access::Needs,
    service::{EventFilter, Operator},
};
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, interval},
};

use super::{
    asked::{Asked, Routes, Standing},
    extract::Query,
};
use crate::{
    places::{Following, Seat},
    problem::Refused,
};

/// How often it is looked up whether the reader's token or session is valid, and whose the products are.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Products whose unit is remembered between two look-ups; a further one is looked up each time.
const PRODUCTS_KEPT: usize = 1024;

/// What happens, for any number of followers.
pub trait Events: Send + Sync + 'static {
    /// Follows from now on.
    fn subscribe(&self) -> Box<dyn Subscription>;
}

/// One follower. Events that it does not take in time are missed and counted.
pub trait Subscription: Send + 'static {
    /// Waits for the next event.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Next> + Send + '_>>;
}

/// What a follower gets next.
#[derive(Debug)]
pub enum Next {
    /// Something happened, with its position in the order of commits if it has one.
    Happening(Option<Position>, Arc<Happening>),
    /// This many happenings were missed.
    Missed(u64),
    /// There will be no more.
    Ended,
}

/// Where events come from, and when they end.
#[derive(Clone)]
pub struct EventsSource {
    /// What happens.
    pub events: Arc<dyn Events>,
    /// Turns true when the server stops.
    pub stopping: watch::Receiver<bool>,
}

pub(super) fn routes() -> Routes {
    Routes::default().get("/api/v1/events", Needs::Read, listen)
}

async fn listen(
    Asked(api): Asked,
    standing: Standing,
    seat: Option<Extension<Seat>>,
    Query(query): Query<EventsQuery>,
) -> Result<Followed<impl Stream<Item = Result<Event, Infallible>>>, Refused> {
    let Some(EventsSource { events, stopping }) = api.events else {
        let detail = "events come from a running server only";
        return Err(Refused::new(StatusCode::NOT_FOUND, Code::PathUnknown, detail));
    };
    let filter = api.operator.listen(query).await?;
    // A request that came by no connection takes no place.
    let place = seat.map(|Extension(seat)| seat.follow()).transpose().map_err(too_many)?;
    // Subscribed before the answer begins, so that nothing after its beginning is missed.
    let shown = Shown { operator: api.operator, filter, products: BTreeMap::new() };
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let follower = Follower {
        subscription: events.subscribe(),
        shown,
        stopping,
        standing,
        ticks,
        has_ended: false,
        _place: place,
    };
    let stream = stream::unfold(follower, async |mut follower| {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    // Its connection has given its place back, so it ends with the stream.
    Ok(([(header::CONNECTION, "close")], Sse::new(stream)))
}

/// A stream of events, and the end of its connection.
type Followed<S> = ([(HeaderName, &'static str); 1], Sse<S>);

/// What is shown to a reader.
struct Shown {
    /// As the reader sees it.
    operator: Operator,
    filter: EventFilter,
    /// Whether the reader sees a product, as it was looked up since the last tick.
    products: BTreeMap<String, bool>,
}

impl Shown {
    async fn wants(&mut self, happening: &Happening) -> bool {
        let product_key = happening.product_key();
        let device_key = happening.device().map(|device| &*device.device_key);
        self.filter.wants(product_key, device_key) && self.sees(product_key).await
    }

    async fn sees(&mut self, product_key: Option<&str>) -> bool {
        if let Some(sees) = product_key.and_then(|product_key| self.products.get(product_key)) {
            return *sees;
        }
        let sees = self.operator.sees(product_key).await;
        if let Some(product_key) = product_key
            && self.products.len() < PRODUCTS_KEPT
        {
            self.products.insert(product_key.to_owned(), sees);
        }
        sees
    }
}

/// A connection that follows.
struct Follower {
    subscription: Box<dyn Subscription>,
    shown: Shown,
    stopping: watch::Receiver<bool>,
    standing: Standing,
    ticks: Interval,
    has_ended: bool,
    _place: Option<Following>,
}

fn too_many(followers: usize) -> Refused {
    Refused(Problem {
        detail: Some(format!("{followers} others listen already, as many as may")),
        hint: Some(
            "end one of them (pgrep -fa 'narrowgate listen' shows them), or try again later".to_owned(),
        ),
        ..Problem::new(StatusCode::TOO_MANY_REQUESTS.as_u16(), Code::Busy, "cannot listen")
    })
}

impl Follower {
    /// The next event that passes the filter; `None` after the last one.
    async fn next(&mut self) -> Option<Event> {
        while !self.has_ended {
            match self.pass_time_until_next().await {
                Next::Happening(position, happening) => {
                    if self.shown.wants(&happening).await {
                        return Some(event(position, &happening));
                    }
                }
                Next::Missed(count) => {
                    return Some(Event::default().event("missed").data(format!("{{\"count\":{count}}}")));
                }
                Next::Ended => {
                    self.has_ended = true;
                    return Some(Event::default().event("ended").data("{}"));
                }
            }
        }
        None
    }

    /// What comes next; at each tick meanwhile, whether the reader may go on.
    async fn pass_time_until_next(&mut self) -> Next {
        let Self { subscription, shown, stopping, standing, ticks, .. } = self;
        // Not dropped at a tick: it may have taken an event already.
        let mut next = subscription.next();
        loop {
            tokio::select! {
                // In this order: a reader that was deaf for a while gets nothing more before it is looked up.
                biased;
                _ = ticks.tick() => {}
                _ = stopping.wait_for(|stopping| *stopping) => return Next::Ended,
                next = &mut next => return next,
            }
            shown.products.clear();
            if !standing.holds().await {
                return Next::Ended;
            }
        }
    }
}

fn event(position: Option<Position>, happening: &Happening) -> Event {
    let kind = match happening {
        Happening::Report(_) => "report",
        Happening::Activated(_) | Happening::Login(_) | Happening::Online(_) | Happening::Offline(_) => {
            "presence"
        }
        Happening::Refused(_) | Happening::Warning(_) => "refusal",
        Happening::Attributes(_) | Happening::Tags(_) => "report",
        Happening::Command(_) => "command",
        Happening::Event(_) | Happening::SecretIssued(_) | Happening::Rollout(_) | Happening::Upgrade(_) => {
            "event"
        }
    };
    // A happening can always be serialised: keys are text, and points are already JSON.
    let event = Event::default().event(kind).data(serde_json::to_string(happening).unwrap_or_default());
    match position {
        Some(position) => event.id(position.to_string()),
        None => event,
    }
}
