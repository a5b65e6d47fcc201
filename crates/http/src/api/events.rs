//! `/api/v1/events`: what happens to devices, as it happens, as server-sent events.
//!
//! `event:` is `report` (of points, attributes or tags), `presence`, `refusal` or `event`; `data:` is the
//! happening as one line of JSON; `id:` is its position if it has one. Two more concern the stream itself:
//! `missed`, with the number of events that a slow reader did not get, and `ended` when the server stops.

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc};

use axum::{
    Extension, Router,
    extract::State,
    http::StatusCode,
    response::sse::{Event, Sse},
    routing::get,
};
use futures_util::{Stream, stream};
use narrowgate_api::{
    happening::Happening,
    problem::{Code, Problem},
    query::EventsQuery,
};
use narrowgate_platform::{ids::Position, service::EventFilter};
use tokio::sync::watch;

use super::{Api, extract::Query};
use crate::{
    places::{Following, Seat},
    problem::Refused,
};

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

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/api/v1/events", get(listen))
}

async fn listen(
    State(api): State<Api>,
    seat: Option<Extension<Seat>>,
    Query(query): Query<EventsQuery>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refused> {
    let Some(EventsSource { events, stopping }) = api.events else {
        let detail = "events come from a running server only";
        return Err(Refused::new(StatusCode::NOT_FOUND, Code::PathUnknown, detail));
    };
    let filter = api.operator.listen(query).await?;
    // A request that came by no connection takes no place.
    let place = seat.map(|Extension(seat)| seat.follow()).transpose().map_err(too_many)?;
    // Subscribed before the answer begins, so that nothing after its beginning is missed.
    let follower =
        Follower { subscription: events.subscribe(), filter, stopping, has_ended: false, _place: place };
    Ok(Sse::new(stream::unfold(follower, async |mut follower| {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    })))
}

/// A connection that follows.
struct Follower {
    subscription: Box<dyn Subscription>,
    filter: EventFilter,
    stopping: watch::Receiver<bool>,
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
            let next = tokio::select! {
                next = self.subscription.next() => next,
                _ = self.stopping.wait_for(|stopping| *stopping) => Next::Ended,
            };
            match next {
                Next::Happening(position, happening) => {
                    let device_key = happening.device().map(|device| &*device.device_key);
                    if self.filter.wants(happening.product_key(), device_key) {
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
