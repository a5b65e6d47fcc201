//! Places for connections: a fixed number answers requests, and some more follow events.
//!
//! Where all places are taken, a new connection gets the one of the connection that was let in by a token
//! longest ago (or never), and has accepted no byte of an answer since; but each is left alone for
//! [`ALONE`]. Where one address has more than [`CROWD`] of them, it loses one of its own, and at once
//! where the new one comes from elsewhere: so nobody keeps others out, however often it asks. A connection
//! whose request is being answered keeps its place, and one that follows events has given it back: it has one
//! of those for followers. Of those whose answer waits for a device there are only so many that the others
//! always have places.
//!
//! Those that find no place wait in a queue, of which an address has at most half.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::shares::{Full, Holder, Share, ShareMax, Shares};

/// How long a connection is left alone, whoever waits for its place: a request that was sent arrives, and an
/// answer is fetched, in much less.
pub const ALONE: Duration = Duration::from_secs(1);

/// Part of all places above which an address is a crowd.
const CROWD: usize = 4;

/// How often one that waits looks for a place without being told of one.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How many connections a listener serves at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacesMax {
    /// Those that ask and are answered.
    pub requests: usize,
    /// Those that wait for a place; one more is closed.
    pub queued: usize,
    /// Those that follow events; one more is refused. A token has a quarter of them, a unit half.
    pub followers: usize,
    /// Those of `requests` whose answer waits for a device; one more is refused. They are shared as well.
    pub waiting: usize,
}

/// Where a connection comes from: an address, or a network of IPv6 (/64), as one customer has at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source(u128);

impl Source {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits() >> 64 << 64,
        })
    }

    /// As a key of its own.
    pub(crate) fn key(self) -> u128 {
        self.0
    }
}

/// The network of an address as a number: IPv4 by /24, IPv6 by /48, of which one customer may have all /64.
pub(crate) fn network(address: IpAddr) -> u64 {
    let number = match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits() >> 8),
        IpAddr::V6(address) => 1 << 48 | address.to_bits() >> 80,
    };
    // At most 49 bits.
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Places {
    max: PlacesMax,
    taken: Mutex<Taken>,
    followers: Arc<Shares>,
    waiting: Arc<Shares>,
    /// A place was given back, or a connection became one that may be asked to leave.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    /// The connections that answer requests, by their number.
    connections: BTreeMap<u64, Connection>,
    /// Those that wait for a place, by where they come from.
    queued: BTreeMap<Option<Source>, usize>,
    entered: u64,
}

#[derive(Debug)]
struct Connection {
    source: Option<Source>,
    /// Whether its request is being answered.
    is_answering: bool,
    /// Whether its last request was let in.
    is_let_in: bool,
    /// When it came, or was let in, or accepted bytes of an answer for which it was let in.
    since: Instant,
    leave: Arc<Notify>,
}

impl Taken {
    /// The address that has the most places, if that is a crowd, with the new one of `source` among them.
    fn crowd(&self, max: usize, source: Option<Source>) -> Option<Source> {
        let mut counts: BTreeMap<Source, usize> = BTreeMap::new();
        let sources = self.connections.values().map(|held| held.source).chain([source]);
        sources.flatten().for_each(|source| *counts.entry(source).or_default() += 1);
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        most.filter(|(_, count)| *count > max.div_ceil(CROWD)).map(|(source, _)| source)
    }

    /// Who leaves for a new connection from `source`, and from when on.
    fn next_to_leave(&self, max: usize, source: Option<Source>) -> Option<(Instant, u64)> {
        let crowd = self.crowd(max, source);
        let is_from_elsewhere = crowd.is_some() && crowd != source;
        let leaves_at = |held: &Connection| match is_from_elsewhere && !held.is_let_in {
            true => held.since,
            false => held.since + ALONE,
        };
        let idle = self.connections.iter().filter(|(_, held)| !held.is_answering);
        let of_crowd = idle.filter(|(_, held)| crowd.is_none() || held.source == crowd);
        of_crowd.map(|(number, held)| (leaves_at(held), *number)).min()
    }
}

impl Places {
    pub(crate) fn new(max: PlacesMax) -> Arc<Self> {
        let [followers, waiting] =
            [max.followers, max.waiting].map(|all| Shares::new(ShareMax::quarter(all)));
        Arc::new(Self { max, taken: Mutex::default(), followers, waiting, changed: Notify::new() })
    }

    /// A place in the queue, until it is dropped; `None`: there is none for this address.
    pub(crate) fn queue(self: &Arc<Self>, source: Option<Source>) -> Option<Queued> {
        let mut taken = self.lock();
        let all: usize = taken.queued.values().sum();
        let own = taken.queued.get(&source).copied().unwrap_or_default();
        let is_full = all >= self.max.queued || (source.is_some() && own >= self.max.queued.div_ceil(2));
        if is_full && taken.connections.len() >= self.max.requests {
            return None;
        }
        *taken.queued.entry(source).or_default() += 1;
        Some(Queued { places: Arc::clone(self), source })
    }

    /// Waits for a place. Cancel safe.
    pub(crate) async fn enter(self: &Arc<Self>, source: Option<Source>) -> Place {
        loop {
            let changed = self.changed.notified();
            match self.try_enter(source) {
                Ok(place) => return place,
                Err(at) => {
                    let latest = Instant::now() + LOOK_EVERY;
                    tokio::select! {
                        () = changed => {}
                        () = sleep_until(at.map_or(latest, |at| at.min(latest))) => {}
                    }
                }
            }
        }
    }

    /// A place; or when one will be free at the latest, if that is known.
    fn try_enter(self: &Arc<Self>, source: Option<Source>) -> Result<Place, Option<Instant>> {
        let mut taken = self.lock();
        if taken.connections.len() >= self.max.requests {
            let (at, number) = taken.next_to_leave(self.max.requests, source).ok_or(None)?;
            if at > Instant::now() {
                return Err(Some(at));
            }
            if let Some(held) = taken.connections.remove(&number) {
                held.leave.notify_one();
            }
        }
        taken.entered += 1;
        let (number, leave) = (taken.entered, Arc::new(Notify::new()));
        let held = Connection {
            source,
            is_answering: false,
            is_let_in: false,
            since: Instant::now(),
            leave: Arc::clone(&leave),
        };
        taken.connections.insert(number, held);
        Ok(Place { places: Arc::clone(self), number, leave })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue.
#[derive(Debug)]
pub(crate) struct Queued {
    places: Arc<Places>,
    source: Option<Source>,
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(count) = taken.queued.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                taken.queued.remove(&self.source);
            }
        }
    }
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    leave: Arc<Notify>,
}

impl Place {
    /// Completes when the place was given to another connection.
    pub(crate) async fn lost(&self) {
        self.leave.notified().await;
    }

    /// What the requests of this connection carry with them.
    pub(crate) fn seat(&self) -> Seat {
        Seat { places: Arc::clone(&self.places), number: self.number }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().connections.remove(&self.number);
        self.places.changed.notify_one();
    }
}

/// The place of the connection that a request came by.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    places: Arc<Places>,
    number: u64,
}

impl Seat {
    /// A request is being answered: its connection keeps its place until the result is dropped.
    pub(crate) fn answer(&self) -> Answering {
        self.with(|held| held.is_answering = true);
        Answering(self.clone())
    }

    /// Where the request came from, by a proxy from which all connections come.
    pub(crate) fn note_source(&self, source: Option<Source>) {
        self.with(|held| held.source = source);
    }

    /// The request that came was let in, or is open to everyone.
    pub(crate) fn note_request(&self, is_let_in: bool) {
        self.with(|held| {
            held.is_let_in = is_let_in;
            held.since = if is_let_in { Instant::now() } else { held.since };
        });
    }

    /// The peer has accepted bytes of an answer, or has sent some of a body.
    pub(crate) fn note_progress(&self) {
        self.with(|held| held.since = if held.is_let_in { Instant::now() } else { held.since });
    }

    /// Whether others may wait for the place, and its request was not let in.
    pub(crate) fn is_wanted(&self) -> bool {
        let taken = self.places.lock();
        let held = taken.connections.get(&self.number);
        held.is_some_and(|held| !held.is_let_in) && taken.connections.len() >= self.places.max.requests
    }

    /// Changes the place for one of a follower, until the result is dropped.
    ///
    /// # Errors
    /// Who follows too much already.
    pub(crate) fn follow(&self, holder: &Holder) -> Result<Share, Full> {
        let following = self.places.followers.take(holder, 1)?;
        self.places.lock().connections.remove(&self.number);
        self.places.changed.notify_one();
        Ok(following)
    }

    /// Permits the answer to wait for a device, until the result is dropped. The connection keeps its place.
    ///
    /// # Errors
    /// Who waits too much already.
    pub(crate) fn wait(&self, holder: &Holder) -> Result<Share, Full> {
        self.places.waiting.take(holder, 1)
    }

    /// A follower's connection has none, and ends with what it follows.
    fn with(&self, change: impl FnOnce(&mut Connection)) {
        if let Some(held) = self.places.lock().connections.get_mut(&self.number) {
            change(held);
        }
    }
}

/// See [`Seat::answer`].
#[derive(Debug)]
pub(crate) struct Answering(Seat);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.with(|held| held.is_answering = false);
        self.0.note_progress();
        self.0.places.changed.notify_one();
    }
}

#[cfg(test)]
mod tests;
