//! The work of a request of the API, from its head to its answer.
//!
//! 1. What reads much (a list, not one thing by its name) waits for its turn ([`Turns`]), in a queue of its
//!    own.
//! 2. It takes its share of the requests that are in work.
//! 3. Its body is read, where the caller may do what the path says and the route reads one: nobody else has
//!    anything read. All bodies together have a limit.
//! 4. Where a while has passed since it was let in, it is looked up whether that holds.
//! 5. It is done, even if its peer leaves: one that waits for a device looks whether it has ([`Attended`]).
//! 6. A long answer counts until it is written ([`Answers`]).

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{Method, StatusCode, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use narrowgate_api::problem::{Code, Problem};
use narrowgate_platform::model::access::{Caller, Needs};
use tokio::{runtime::Handle, task::JoinHandle, time::Instant};

use crate::{
    answers::Answers,
    api::{Asker, Row, reads_its_body},
    gate::Gate,
    places::{Answering, Seat},
    problem::Refused,
    secret::{NotCollected, collect},
    shares::{Full, Holder, Lot, ShareMax, Shares},
    turns::{Turn, Turns},
};

/// Longest body of a request: 500 rows of an import with the longest keys, secrets and names fit.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// Requests of the API on TCP that are in work: the other places are for those that wait for a turn, for what
/// is open to everyone, and for those who come.
const IN_WORK: ShareMax = ShareMax { all: 128, token: 32, unit: 64 };

/// The same for peers that are the owner, whom the number of places limits.
const OF_OWNER: ShareMax = ShareMax { all: usize::MAX, token: usize::MAX, unit: usize::MAX };

/// Bytes of bodies that are read or worked on.
const BODY_BYTES: ShareMax = ShareMax::quarter(16 * BODY_BYTES_MAX);

/// A request that has been here for longer is looked up again before it is done.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// See the module.
pub(crate) struct Work {
    /// What the routes take, by their method and path.
    routes: BTreeMap<String, Vec<Taken>>,
    /// `None`: every peer is the owner.
    gate: Option<Arc<Gate>>,
    in_work: Arc<Shares>,
    bodies: Arc<Shares>,
    turns: Arc<Turns>,
    answers: Answers,
}

/// What a route takes of its caller, whether it reads a body, whether it reads much of the store, and whether
/// it is a list that may be asked for again.
struct Taken {
    needs: Needs,
    has_body: bool,
    reads_much: bool,
    is_list: bool,
}

impl Work {
    /// The work on these routes for those whom this gate lets in; or for the owner.
    pub(crate) fn new(rows: Vec<Row>, gate: Option<Arc<Gate>>) -> Arc<Self> {
        let mut routes: BTreeMap<String, Vec<Taken>> = BTreeMap::new();
        for Row { method, path, needs, sketch, .. } in rows {
            // A list is read as a whole, and who follows events reads by a reader of its own.
            let reads_much = method == Method::GET && sketch.reads_much && !sketch.takes_last_event;
            let is_list = reads_much && sketch.query.is_some();
            let taken = Taken { needs, has_body: !sketch.bodies.is_empty(), reads_much, is_list };
            routes.entry(format!("{method} {path}")).or_default().push(taken);
        }
        let in_work = Shares::new(if gate.is_some() { IN_WORK } else { OF_OWNER });
        Arc::new(Self {
            routes,
            gate,
            in_work,
            bodies: Shares::new(BODY_BYTES),
            turns: Arc::default(),
            answers: Answers::default(),
        })
    }

    /// What the route of a request takes, each of the acts at its path.
    fn taken(&self, parts: &Parts) -> &[Taken] {
        // HEAD is answered as GET is.
        let method = if parts.method == Method::HEAD { &Method::GET } else { &parts.method };
        let route = parts.extensions.get::<MatchedPath>();
        let taken = route.and_then(|path| self.routes.get(&format!("{method} {}", path.as_str())));
        taken.map_or(&[], Vec::as_slice)
    }

    async fn read(&self, body: Body, holder: &Holder, seat: Option<&Seat>) -> Result<Bytes, Refused> {
        // Nothing of it is taken yet.
        let share = self.bodies.take(holder, 0).map_err(|full| too_much(full, BYTES))?;
        collect(body, BODY_BYTES_MAX, share, seat).await.map_err(|fault| match fault {
            NotCollected::TooLong => {
                let detail = format!("the request is too long: its body has at most {BODY_BYTES_MAX} bytes");
                Refused::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, detail)
            }
            NotCollected::Silent => {
                let detail = "the rest of the body did not arrive";
                Refused::new(StatusCode::REQUEST_TIMEOUT, Code::Malformed, detail)
            }
            NotCollected::Broken => {
                Refused::new(StatusCode::BAD_REQUEST, Code::Malformed, "the body cannot be read to its end")
            }
            NotCollected::NoRoom(full) => too_much(full, BYTES),
        })
    }

    fn attended(&self, holder: Holder, seat: Option<Seat>, left: Arc<AtomicBool>) -> Attended {
        Attended { holder, seat, left, turns: Arc::clone(&self.turns) }
    }

    /// Looks whether what let somebody in still holds.
    async fn confirm(&self, asker: Option<&Asker>) -> Result<(), Response> {
        match (&self.gate, asker) {
            (Some(gate), Some(asker)) => gate.confirm(asker).await,
            _ => Ok(()),
        }
    }

    async fn answer(&self, request: Request, next: Next) -> Result<Response, Response> {
        let began = Instant::now();
        let reads_its_body = reads_its_body(&request);
        let (mut parts, body) = request.into_parts();
        let asker = parts.extensions.get::<Asker>().cloned();
        let seat = parts.extensions.get::<Seat>().cloned();
        let holder = asker.as_ref().map(|asker| Holder::of(&asker.caller)).unwrap_or_default();
        if self.gate.is_none()
            && let Some(seat) = &seat
        {
            seat.note_request(Some(holder.clone()));
        }
        let refused = |full| too_much(full, REQUESTS).into_response();
        let taken = self.taken(&parts);
        let (has_body, reads_much) = (reads_body(taken, asker.as_ref()), reads_much(taken, &parts));
        let mut turn = None;
        if reads_much && !has_body {
            let _answering = seat.as_ref().map(Seat::answer);
            turn = self.turns.ask(&holder).await.map_err(refused)?;
        }
        let in_work = self.in_work.take(&holder, 1).map_err(refused)?;
        if reads_its_body {
            // The file of an import is read as it comes, within limits of its own; it ends where its peer
            // leaves before all of it is there.
            let answering = seat.as_ref().map(Seat::answer);
            parts.extensions.insert(self.attended(holder, seat, Arc::default()));
            return to_its_end(next, Request::from_parts(parts, body), (in_work, answering)).await;
        }
        let body = match has_body {
            true => self.read(body, &holder, seat.as_ref()).await.map_err(Refused::into_response)?,
            false => {
                drop(body);
                Bytes::new()
            }
        };
        let answering = seat.as_ref().map(Seat::answer);
        if reads_much && has_body {
            turn = self.turns.ask(&holder).await.map_err(refused)?;
        }
        if has_body || began.elapsed() > LOOK_AGAIN {
            self.confirm(asker.as_ref()).await?;
        }
        let left = Arc::new(AtomicBool::new(false));
        let is_list = taken.iter().any(|taken| taken.is_list);
        parts.extensions.insert(self.attended(holder.clone(), seat, Arc::clone(&left)));
        let request = Request::from_parts(parts, Body::from(body));
        // A store may read a lot at once on this thread; other tasks move to another one meanwhile.
        let done = tokio::spawn(async move {
            let response = tokio::task::block_in_place(|| Handle::current().block_on(next.run(request)));
            drop((turn, in_work, answering));
            response
        });
        let _leaves = Leaves(left);
        let response = outcome(done).await?;
        Ok(self.count(&holder, response, is_list))
    }

    /// The answer, which counts until it is written; where there is no room for a list, another one.
    fn count(&self, holder: &Holder, response: Response, is_list: bool) -> Response {
        match self.answers.count(holder, response).map_err(|refused| *refused) {
            Err((_, full)) if is_list => too_much(full, ANSWERS).into_response(),
            // One that is none says what was done, or shows what is shown once.
            Ok(response) | Err((response, _)) => response,
        }
    }
}

/// Has a request done by a task of its own, which holds this meanwhile.
async fn to_its_end(next: Next, request: Request, held: impl Send + 'static) -> Result<Response, Response> {
    let done = tokio::spawn(async move {
        let response = next.run(request).await;
        drop(held);
        response
    });
    outcome(done).await
}

/// The answer of what goes on also where nobody waits for it.
async fn outcome(done: JoinHandle<Response>) -> Result<Response, Response> {
    done.await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        // The server stops.
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    })
}

/// Whether a route reads a body of somebody who may do what it is for. Of several acts at one path one is
/// enough: the route itself looks at it again.
fn reads_body(taken: &[Taken], asker: Option<&Asker>) -> bool {
    let caller = asker.map_or(&Caller::Owner, |asker| &asker.caller);
    taken.iter().any(|taken| taken.has_body && taken.needs.permits(caller))
}

/// Whether it may read a lot of the store at once.
fn reads_much(taken: &[Taken], parts: &Parts) -> bool {
    taken.iter().any(|taken| taken.reads_much) || parts.uri.path().ends_with(":infer")
}

/// Does the work of a request.
pub(crate) async fn run(State(work): State<Arc<Work>>, request: Request, next: Next) -> Response {
    work.answer(request, next).await.unwrap_or_else(|refused| refused)
}

/// The peer of a request that is being done, in its extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attended {
    /// Who asks.
    pub(crate) holder: Holder,
    /// The place of its connection; `None`: it came by none.
    pub(crate) seat: Option<Seat>,
    left: Arc<AtomicBool>,
    turns: Arc<Turns>,
}

impl Attended {
    /// Waits for a turn at the store, for one more part of an answer that goes on. The connection keeps its
    /// place until the result is dropped.
    pub(crate) async fn turn(&self) -> (Option<Turn>, Option<Answering>) {
        let answering = self.seat.as_ref().map(Seat::answer);
        let lot = self.holder.lot().unwrap_or(Lot::Owner);
        (self.turns.take(lot).await, answering)
    }

    /// The same without its connection, for what goes on behind the answer.
    pub(crate) fn without_seat(&self) -> Self {
        Self { seat: None, ..self.clone() }
    }

    /// Whether nobody is there any more who could get the answer.
    pub(crate) fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Attended {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

/// Dropped when the answer is there, or when its connection is gone.
struct Leaves(Arc<AtomicBool>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const REQUESTS: &str = "requests";
const BYTES: &str = "bytes of bodies";
const ANSWERS: &str = "bytes of answers";

/// 429: somebody has what may be had.
fn too_much(full: Full, what: &str) -> Refused {
    let status = StatusCode::TOO_MANY_REQUESTS;
    Refused(Problem {
        detail: Some(full.told(what)),
        hint: Some("ask again when one of the others is answered".to_owned()),
        ..Problem::new(status.as_u16(), Code::Busy, "too much at once")
    })
}

#[cfg(test)]
mod tests;
