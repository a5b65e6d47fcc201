//! `/api/v1/events`: what happens to devices, as it happens, as server-sent events.
//!
//! `event:` is the kind of what happened ([`HappeningKind`]),
//! `data:` is the happening as one line of JSON, and `id:` a cursor: who asks again with it (`Last-Event-ID`,
//! or `?cursor=`) gets all that follows, nothing of it twice and nothing less, also after a restart. What has
//! no `id:` is not stored, and is told to who follows at that moment. An `id:` alone tells where the follower
//! is: at the beginning, and every [`SAY_EVERY`] where nothing is for it.
//!
//! Two more concern the stream itself: `gap`, where something that followed is not there any more, with the
//! reason; and `ended` when the server stops or the reader's token or session is not valid any more, which is
//! looked up every [`LOOK_EVERY`].
//!
//! Where nothing happens, a comment comes every [`COMMENT_EVERY`]: a peer that is gone is noticed, and a
//! proxy keeps the stream.
//!
//! A reader that is slow keeps nobody waiting, and nothing is kept for it: see [`Subscription`].

mod cursor;
mod looks;
mod told;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderName, StatusCode, header, request::Parts},
    response::sse::{Event, KeepAlive, KeepAliveStream, Sse},
};
use futures_util::{Stream, stream};
use narrowgate_api::{
    happening::HappeningKind,
    problem::{Code, Problem},
    query::EventsQuery,
};
use narrowgate_platform::{
    model::{access::Needs, happened::StreamPlace},
    ports::{Lost, WhyLost},
    service::{EventFilter, Operator},
};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::spawn_blocking,
    time::{Instant, Interval, MissedTickBehavior, interval},
};

pub use self::{
    cursor::CursorKey,
    told::{Events, Next, Piece, Subscription, Told, Whose},
};
use self::{cursor::is_cursor, looks::Looks};
use super::{
    asked::{Asked, Routes, Standing},
    counted::count_gap,
    described::{Sketch, Takes},
    extract::Query,
};
use crate::{
    problem::Refused,
    shares::{Full, Lot, Share},
    work::Attended,
};

/// How often it is looked up whether the reader's token or session is valid.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often a reader hears something at least.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// How often a reader is told how far it is where nothing is for it.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Where events come from, and when they end.
#[derive(Clone)]
pub struct EventsSource {
    events: Arc<dyn Events>,
    cursors: CursorKey,
    pub(super) stopping: watch::Receiver<bool>,
    looks: Arc<Looks>,
}

impl EventsSource {
    /// What happens, with what makes places into cursors, until `stopping` turns true.
    pub fn new(events: Arc<dyn Events>, cursors: CursorKey, stopping: watch::Receiver<bool>) -> Self {
        Self { events, cursors, stopping, looks: Arc::default() }
    }
}

pub(super) fn routes() -> Routes {
    Routes::default().get("/api/v1/events", Needs::Read, listen)
}

async fn listen(
    Asked(api): Asked,
    standing: Standing,
    peer: Attended,
    last: LastEventId,
    Query(query): Query<EventsQuery>,
) -> Result<Followed<KeepAliveStream<impl Stream<Item = Result<Event, Infallible>>>>, Refused> {
    let Some(EventsSource { events, cursors, stopping, looks }) = api.events else {
        let detail = "events come from a running server only";
        return Err(Refused::new(StatusCode::NOT_FOUND, Code::PathUnknown, detail));
    };
    let Some((from, is_unknown)) = start(&cursors, &last, query.cursor.as_deref()) else {
        let detail = "cursor is not one that a stream of events gave as an id";
        return Err(Refused::new(StatusCode::BAD_REQUEST, Code::Invalid, detail));
    };
    let filter = api.operator.listen(query).await?;
    // A request that came by no connection takes no place.
    let place = peer.seat.map(|seat| seat.follow(&peer.holder)).transpose().map_err(too_many)?;
    let lot = peer.holder.lot().unwrap_or(Lot::Owner);
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let follower = Follower {
        // Before the answer begins, so that nothing after its beginning is missed.
        subscription: events.follow(from, lot).await,
        shown: Shown { operator: api.operator, filter },
        cursors,
        at: from.unwrap_or(StreamPlace::START),
        piece: None,
        said: Instant::now(),
        lost: is_unknown.then_some(Gap { why: "unknown", upto: None }),
        told_lost: None,
        stopping,
        standing,
        looks,
        ticks,
        looked: Instant::now(),
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

/// `Last-Event-ID`, which a client sends that connects again.
struct LastEventId(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let id = parts.headers.get("last-event-id").and_then(|id| id.to_str().ok());
        Ok(Self(id.map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned)))
    }
}

impl Takes for LastEventId {
    fn takes(sketch: &mut Sketch) {
        sketch.takes_last_event = true;
    }
}

/// From where a reader follows, and whether it comes from a place that is not known here; `None`: it names
/// what can be no cursor. A client that connects again by itself sends the same query as before, so the
/// header counts first; and it is not refused for its cursor: it could not help it.
fn start(
    cursors: &CursorKey,
    last: &LastEventId,
    cursor: Option<&str>,
) -> Option<(Option<StreamPlace>, bool)> {
    let given = match (&last.0, cursor) {
        (Some(id), _) => id.as_str(),
        (None, Some(cursor)) if is_cursor(cursor) => cursor,
        (None, Some(_)) => return None,
        (None, None) => return Some((None, false)),
    };
    let place = cursors.open(given);
    Some((place, place.is_none()))
}

/// What is shown to a reader.
struct Shown {
    /// As the reader sees it.
    operator: Operator,
    filter: EventFilter,
}

impl Shown {
    fn wants(&self, told: &Told) -> bool {
        let Whose { product_key, device_key, ou } = &*told.whose;
        let is_of_it = || self.filter.wants(product_key.as_deref(), device_key.as_deref());
        let is_of_stranger = ou.is_none() && self.filter.wants_of_strangers(told.kind);
        is_of_stranger || self.filter.wants_kind(told.kind) && is_of_it()
    }

    /// Whether the reader sees what happened to a device of this unit.
    fn sees(&self, ou: Option<&str>) -> bool {
        self.operator.caller().unit().is_none_or(|unit| ou == Some(unit))
    }

    /// The same of something that is not stored: a rollout belongs to its product.
    async fn sees_lone(&self, told: &Told) -> bool {
        match &*told.whose {
            Whose { product_key: Some(product_key), device_key: None, .. } => {
                self.sees_product(product_key.clone()).await
            }
            Whose { ou, .. } => self.sees(ou.as_deref()),
        }
    }

    /// Looks it up beside the threads that everybody shares: the store may have others to serve first.
    async fn sees_product(&self, product_key: String) -> bool {
        let operator = self.operator.clone();
        let sees = async move { operator.sees(&product_key).await.unwrap_or(false) };
        spawn_blocking(move || Handle::current().block_on(sees)).await.unwrap_or(false)
    }

    /// Up to where something is lost that can matter to the reader.
    fn misses(&self, lost: &Lost) -> Option<StreamPlace> {
        let of_messages = [HappeningKind::Report, HappeningKind::Event];
        let messages = of_messages.into_iter().any(|kind| self.filter.wants_kind(kind));
        lost.of(self.operator.caller().unit(), messages)
    }
}

/// Something is not there any more.
struct Gap {
    why: &'static str,
    /// What it was before; `None`: that is not known.
    upto: Option<StreamPlace>,
}

/// A connection that follows.
struct Follower {
    subscription: Box<dyn Subscription>,
    shown: Shown,
    cursors: CursorKey,
    /// All up to here was shown, or was not for the reader.
    at: StreamPlace,
    /// What is being shown, and how much of it was.
    piece: Option<(Arc<Piece>, usize)>,
    /// When the reader got its last cursor.
    said: Instant,
    lost: Option<Gap>,
    /// What is lost up to here was told.
    told_lost: Option<StreamPlace>,
    stopping: watch::Receiver<bool>,
    standing: Standing,
    looks: Arc<Looks>,
    ticks: Interval,
    /// When it was looked up last whether the reader may go on.
    looked: Instant,
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
    /// The next event that is for the reader; `None` after the last one.
    async fn next(&mut self) -> Option<Event> {
        while !self.has_ended {
            // A reader that is slow may have got the last one long ago.
            if self.looked.elapsed() >= LOOK_EVERY && !self.holds().await {
                return Some(self.end());
            }
            if let Some(gap) = self.lost.take() {
                return Some(self.gap(&gap));
            }
            if let Some(event) = self.next_of_piece() {
                return Some(event);
            }
            match self.pass_time_until_next().await {
                Next::At(place) => {
                    self.at = place;
                    return Some(self.cursor_alone());
                }
                Next::Piece(piece) => {
                    // Before what stands behind the damage: who is cut off in the middle was told.
                    if piece.is_damaged {
                        self.lost = Some(Gap { why: "damaged", upto: Some(piece.upto) });
                    }
                    self.piece = Some((piece, 0));
                }
                Next::Lone(told) => {
                    if self.shown.wants(&told) && self.shown.sees_lone(&told).await {
                        return Some(event(&told));
                    }
                }
                Next::Lost(lost) => {
                    let upto = self.shown.misses(&lost);
                    if self.told_lost < upto {
                        self.told_lost = upto;
                        self.lost = Some(Gap { why: word(lost.why), upto });
                    }
                }
                Next::Ended => return Some(self.end()),
            }
        }
        None
    }

    /// Whether the reader may go on.
    async fn holds(&mut self) -> bool {
        self.looked = Instant::now();
        self.looks.hold(&self.standing).await
    }

    /// The last event.
    fn end(&mut self) -> Event {
        self.has_ended = true;
        Event::default().event("ended").data("{}")
    }

    /// The next event of the piece that is being shown.
    fn next_of_piece(&mut self) -> Option<Event> {
        let (piece, shown) = self.piece.as_mut()?;
        while let Some(told) = piece.told.get(*shown) {
            *shown += 1;
            let Some(place) = told.place.filter(|place| *place > self.at) else { continue };
            if self.shown.sees(told.whose.ou.as_deref()) && self.shown.wants(told) {
                self.at = place;
                self.said = Instant::now();
                return Some(event(told).id(self.cursors.seal(place)));
            }
        }
        self.at = self.at.max(piece.upto);
        self.piece = None;
        (self.said.elapsed() >= SAY_EVERY).then(|| self.cursor_alone())
    }

    /// Tells the reader where it is.
    fn cursor_alone(&mut self) -> Event {
        self.said = Instant::now();
        Event::default().id(self.cursors.seal(self.at))
    }

    fn gap(&self, Gap { why, upto }: &Gap) -> Event {
        count_gap(why);
        let from = (self.at > StreamPlace::START).then(|| self.cursors.seal(self.at));
        let to = upto.map(|upto| self.cursors.seal(upto));
        let data = serde_json::json!({ "reason": why, "from": from, "to": to });
        Event::default().event("gap").data(data.to_string())
    }

    /// What comes next; at each tick meanwhile, whether the reader may go on.
    async fn pass_time_until_next(&mut self) -> Next {
        let Self { subscription, stopping, standing, looks, ticks, looked, .. } = self;
        // Not dropped at a tick: it may wait for its turn.
        let mut next = subscription.next();
        loop {
            tokio::select! {
                // In this order: a reader that was deaf for a while gets nothing more before it is looked up.
                biased;
                _ = ticks.tick() => {}
                _ = stopping.wait_for(|stopping| *stopping) => return Next::Ended,
                next = &mut next => return next,
            }
            *looked = Instant::now();
            if !looks.hold(standing).await {
                return Next::Ended;
            }
        }
    }
}

fn event(told: &Told) -> Event {
    Event::default().event(told.kind.word()).data(&*told.json)
}

fn word(why: WhyLost) -> &'static str {
    match why {
        WhyLost::Expired => "expired",
        WhyLost::Restored => "restored",
        WhyLost::Unknown => "unknown",
    }
}

#[cfg(test)]
mod tests;
