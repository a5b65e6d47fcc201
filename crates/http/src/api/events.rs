//! `/api/v1/events`: what happens to devices, as it happens, as server-sent events.
//!
//! `event:` is `report` (of points, attributes or tags), `presence`, `refusal` or `event`; `data:` is the
//! happening as one line of JSON; `id:` is its position if it has one. Two more concern the stream itself:
//! `missed`, where a slow reader did not get some (to a reader of all units, with their number), and `ended`
//! when the server stops or the reader's token or session is not valid any more, which is looked up
//! every [`LOOK_EVERY`]. Where nothing happens, a comment comes every [`COMMENT_EVERY`]: a peer that is gone
//! is noticed, and a proxy keeps the stream.

use std::{collections::BTreeMap, convert::Infallible, future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::{
    http::{HeaderName, StatusCode, header},
    response::sse::{Event, KeepAlive, KeepAliveStream, Sse},
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
    runtime::Handle,
    sync::watch,
    task::spawn_blocking,
    time::{Interval, MissedTickBehavior, interval},
};

use super::{
    asked::{Asked, Routes, Standing},
    extract::Query,
};
use crate::{
    problem::Refused,
    shares::{Full, Share},
    work::Attended,
};

/// How often it is looked up whether the reader's token or session is valid, and whose the products are.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often a reader hears something at least.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

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
    peer: Attended,
    Query(query): Query<EventsQuery>,
) -> Result<Followed<KeepAliveStream<impl Stream<Item = Result<Event, Infallible>>>>, Refused> {
    let Some(EventsSource { events, stopping }) = api.events else {
        let detail = "events come from a running server only";
        return Err(Refused::new(StatusCode::NOT_FOUND, Code::PathUnknown, detail));
    };
    let filter = api.operator.listen(query).await?;
    // A request that came by no connection takes no place.
    let place = peer.seat.map(|seat| seat.follow(&peer.holder)).transpose().map_err(too_many)?;
    // Subscribed before the answer begins, so that nothing after its beginning is missed.
    let is_of_unit = api.operator.caller().unit().is_some();
    let shown = Shown { operator: api.operator, is_of_unit, filter, products: BTreeMap::new() };
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
    let stream = Sse::new(stream).keep_alive(KeepAlive::new().interval(COMMENT_EVERY));
    Ok(([(header::CONNECTION, "close")], stream))
}

/// A stream of events, and the end of its connection.
type Followed<S> = ([(HeaderName, &'static str); 1], Sse<S>);

/// What is shown to a reader.
struct Shown {
    /// As the reader sees it.
    operator: Operator,
    is_of_unit: bool,
    filter: EventFilter,
    /// Whether the reader sees a product, as it was looked up since the last tick.
    products: BTreeMap<String, bool>,
}

/// Whether an event is for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sees {
    Yes,
    No,
    /// The store cannot say now whose it is.
    Unknown,
}

impl Shown {
    async fn sees(&mut self, happening: &Happening) -> Sees {
        let product_key = happening.product_key();
        let device_key = happening.device().map(|device| &*device.device_key);
        match (self.is_of_unit, product_key) {
            (_, None) if !happening.is_of_stranger() && self.depends_on_keys() => Sees::Unknown,
            _ if !self.filter.wants(product_key, device_key) => Sees::No,
            (false, _) => Sees::Yes,
            // A stranger belongs to no unit, whatever it claims to be.
            (true, Some(product_key)) if !happening.is_of_stranger() => self.sees_product(product_key).await,
            (true, _) => Sees::No,
        }
    }

    /// Whether an event without keys may be one that the reader does not want, or may not see.
    fn depends_on_keys(&self) -> bool {
        self.is_of_unit || !self.filter.wants(None, None)
    }

    async fn sees_product(&mut self, product_key: &str) -> Sees {
        let seen = match self.products.get(product_key).copied() {
            Some(seen) => seen,
            None => match self.look_up(product_key.to_owned()).await {
                Some(seen) => seen,
                None => return Sees::Unknown,
            },
        };
        if seen { Sees::Yes } else { Sees::No }
    }

    /// Looks it up beside the threads that everybody shares: the store may have others to serve first.
    async fn look_up(&mut self, product_key: String) -> Option<bool> {
        let (operator, key) = (self.operator.clone(), product_key.clone());
        let read = async move { operator.sees(&key).await.ok() };
        let seen = spawn_blocking(move || Handle::current().block_on(read)).await.ok()??;
        if self.products.len() < PRODUCTS_KEPT {
            self.products.insert(product_key, seen);
        }
        Some(seen)
    }

    fn missed(&self, count: u64) -> Event {
        Event::default().event("missed").data(self.count(count))
    }

    /// What a reader of one unit is told has no number: that is of all units.
    fn count(&self, count: u64) -> String {
        if self.is_of_unit { "{}".to_owned() } else { format!("{{\"count\":{count}}}") }
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
    _place: Option<Share>,
}

fn too_many(full: Full) -> Refused {
    let detail = match full {
        Full::All(max) => format!("{max} others listen already, as many as may"),
        Full::Token(max) => format!("{max} listen with this token already, as many as may"),
        Full::Unit(max) => format!("{max} of this organisation unit listen already, as many as may"),
    };
    Refused(Problem {
        detail: Some(detail),
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
                Next::Happening(position, happening) => match self.shown.sees(&happening).await {
                    Sees::Yes => return Some(event(position, &happening)),
                    Sees::No => {}
                    Sees::Unknown => return Some(self.shown.missed(1)),
                },
                Next::Missed(count) => return Some(self.shown.missed(count)),
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

#[cfg(test)]
mod tests;
