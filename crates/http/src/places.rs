//! Places for connections: a fixed number answers requests, and some more follow events.
//!
//! Where all places are taken, a new connection gets the one of the connection that was let in by a token
//! longest ago (or never), and has accepted no byte of an answer since; but each is left alone for
//! [`ALONE`]. Where one address has more than [`CROWD`] of them, it loses one of its own, and at once
//! where the new one comes from elsewhere; so does a unit, or a token of all units, that has more than
//! [`HEAVY`]: so nobody keeps others out, however often it asks. A connection
//! whose request is being answered keeps its place, and one that follows events has given it back: it has one
//! of those for followers. Of those whose answer waits for a device there are only so many that the others
//! always have places.
//!
//! Those that find no place wait in a queue, of which an address has at most half. A connection in the queue
//! is read, and looks for a place when it has asked for something that takes one: probes take none. A place
//! that is free goes to the one of them that has waited for longest, and to nobody who comes. Where the
//! queue is full, one that has asked for nothing for [`ALONE`] leaves for whoever comes, or else the newest
//! of the address that has most of it, for one that has less.

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

use crate::shares::{Full, Holder, Lot, Share, ShareMax, Shares};

/// How long a connection is left alone, whoever waits for its place: a request that was sent arrives, and an
/// answer is fetched, in much less.
pub const ALONE: Duration = Duration::from_secs(1);

/// Part of all places above which an address is a crowd.
const CROWD: usize = 4;

/// Part of all places above which a unit, or a token of all units, is heavy.
const HEAVY: usize = 8;

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

    /// What is counted as one where places are short: an address of IPv4, or a /48, of which one customer
    /// may have all /64.
    pub(crate) fn wide(self) -> u128 {
        if self.0 <= u128::from(u32::MAX) { self.0 } else { self.0 >> 80 << 80 }
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
}

#[derive(Debug, Default)]
struct Taken {
    /// The connections that answer requests, by their number.
    connections: BTreeMap<u64, Connection>,
    /// Those in the queue, by their number.
    queued: BTreeMap<u64, Queued>,
    come: u64,
}

#[derive(Debug)]
struct Queued {
    source: Option<Source>,
    /// Whether a request of it waits for a place.
    asks: bool,
    /// When it came.
    since: Instant,
    leave: Arc<Notify>,
    /// It may find a place now.
    wake: Arc<Notify>,
}

impl Queued {
    fn wide(&self) -> Option<u128> {
        self.source.map(Source::wide)
    }
}

#[derive(Debug)]
struct Connection {
    source: Option<Source>,
    /// How much is under way for its answers: a page asks the API while it is answered itself.
    answering: usize,
    /// By whom its last request was let in, if it was.
    let_in: Option<Holder>,
    /// When it came, or was let in, or accepted bytes of an answer for which it was let in.
    since: Instant,
    leave: Arc<Notify>,
}

impl Connection {
    fn is_of(&self, lot: &Lot) -> bool {
        self.let_in.as_ref().is_some_and(|holder| holder.lot().as_ref() == Some(lot))
    }
}

impl Taken {
    /// Who has waited for a place for longest.
    fn first(&self) -> Option<(u64, &Queued)> {
        self.queued.iter().find(|(_, queued)| queued.asks).map(|(number, queued)| (*number, queued))
    }

    /// A place was given back, or a connection became one that may be asked to leave.
    fn wake_first(&self) {
        if let Some((_, first)) = self.first() {
            first.wake.notify_one();
        }
    }

    /// The address that has the most places, if that is a crowd, with the new one of `source` among them.
    fn crowd(&self, max: usize, source: Option<Source>) -> Option<(u128, usize)> {
        let sources = self.connections.values().map(|held| held.source).chain([source]);
        most(sources.flatten().map(Source::wide)).filter(|(_, count)| *count > max.div_ceil(CROWD))
    }

    /// The unit (or the token of all units) that has the most places, if that is a heavy one.
    fn heavy(&self, max: usize) -> Option<(Lot, usize)> {
        let lots = self.connections.values().filter_map(|held| held.let_in.as_ref()?.lot());
        most(lots).filter(|(_, count)| *count > max.div_ceil(HEAVY))
    }

    /// Who leaves for a new connection from `source`, and from when on.
    fn next_to_leave(&self, max: usize, source: Option<Source>) -> Option<(Instant, u64)> {
        let idle = || self.connections.iter().filter(|(_, held)| held.answering == 0);
        let crowd = self.crowd(max, source);
        let least = crowd.map_or(0, |(_, count)| count);
        if let Some((heavy, _)) = self.heavy(max).filter(|(_, count)| *count >= least) {
            let of_heavy = idle().filter(|(_, held)| held.is_of(&heavy));
            let leaves = of_heavy.map(|(number, held)| (held.since, *number)).min();
            if leaves.is_some() {
                return leaves;
            }
        }
        let crowd = crowd.map(|(crowd, _)| crowd);
        let alone = match crowd.is_some() && crowd != source.map(Source::wide) {
            true => Duration::ZERO,
            false => ALONE,
        };
        let of_crowd = idle().filter(|(_, held)| crowd.is_none() || held.source.map(Source::wide) == crowd);
        of_crowd.map(|(number, held)| (held.since + alone, *number)).min()
    }

    /// Makes room in a queue of so many for one more from `source`; `None`: there is none for it.
    fn make_room(&mut self, max: usize, source: Option<Source>) -> Option<()> {
        let own = source.map(Source::wide);
        let of_own = self.queued.values().filter(|queued| queued.wide() == own).count();
        let has_half = own.is_some() && of_own >= max.div_ceil(2);
        if !has_half && self.queued.len() < max {
            return Some(());
        }
        let leaves = match self.silent(|queued| !has_half || queued.wide() == own) {
            None if has_half || own.is_none() => return None,
            None => self.newest_of_loud(of_own)?,
            Some(silent) => silent,
        };
        self.queued.remove(&leaves)?.leave.notify_one();
        Some(())
    }

    /// Who came first of those in the queue that have asked for nothing for a while.
    fn silent(&self, counts: impl Fn(&Queued) -> bool) -> Option<u64> {
        let now = Instant::now();
        let is_silent = |queued: &Queued| !queued.asks && queued.since + ALONE <= now;
        let mut silent = self.queued.iter().filter(|(_, queued)| is_silent(queued) && counts(queued));
        silent.next().map(|(number, _)| *number)
    }

    /// Who came last of the address that has most of the queue, if it has more than so many and one.
    fn newest_of_loud(&self, of_own: usize) -> Option<u64> {
        let loud = most(self.queued.values().filter_map(Queued::wide));
        let (loud, _) = loud.filter(|(_, count)| *count > of_own + 1)?;
        let of_loud = self.queued.iter().filter(|(_, queued)| queued.wide() == Some(loud));
        of_loud.map(|(number, _)| *number).next_back()
    }
}

/// What occurs most often, and how often.
fn most<T: Ord>(all: impl Iterator<Item = T>) -> Option<(T, usize)> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    all.for_each(|one| *counts.entry(one).or_default() += 1);
    counts.into_iter().max_by_key(|(_, count)| *count)
}

impl Places {
    pub(crate) fn new(max: PlacesMax) -> Arc<Self> {
        let [followers, waiting] =
            [max.followers, max.waiting].map(|all| Shares::new(ShareMax::quarter(all)));
        Arc::new(Self { max, taken: Mutex::default(), followers, waiting })
    }

    /// Takes a connection, to a place where one is free, else to the queue; `None`: it is to be closed.
    pub(crate) fn take(self: &Arc<Self>, source: Option<Source>) -> Option<Place> {
        let mut taken = self.lock();
        let leave = Arc::new(Notify::new());
        taken.come += 1;
        let number = taken.come;
        if taken.connections.len() < self.max.requests && taken.first().is_none() {
            taken.connections.insert(number, Connection::new(source, Arc::clone(&leave)));
        } else {
            taken.make_room(self.max.queued, source)?;
            let (since, leave) = (Instant::now(), Arc::clone(&leave));
            taken.queued.insert(number, Queued { source, asks: false, since, leave, wake: Arc::default() });
        }
        Some(Place { places: Arc::clone(self), number, leave })
    }

    /// Gives a connection that waits a place; or says when one will be free at the latest, if that is known.
    fn try_seat(&self, number: u64) -> Result<(), Option<Instant>> {
        let mut taken = self.lock();
        let Some(queued) = taken.queued.get_mut(&number) else { return Ok(()) };
        queued.asks = true;
        let source = queued.source;
        if taken.connections.len() < self.max.requests {
            // Who has waited for longer takes it first.
            if taken.first().is_some_and(|(first, _)| first < number) {
                return Err(None);
            }
        } else {
            let (at, leaves) = taken.next_to_leave(self.max.requests, source).ok_or(None)?;
            if at > Instant::now() {
                return Err(Some(at));
            }
            if let Some(held) = taken.connections.remove(&leaves) {
                held.leave.notify_one();
            }
        }
        if let Some(Queued { source, leave, .. }) = taken.queued.remove(&number) {
            taken.connections.insert(number, Connection::new(source, leave));
        }
        if taken.connections.len() < self.max.requests {
            taken.wake_first();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn new(source: Option<Source>, leave: Arc<Notify>) -> Self {
        Self { source, answering: 0, let_in: None, since: Instant::now(), leave }
    }
}

/// The place of one connection, or that in the queue, until it is dropped.
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
        let mut taken = self.places.lock();
        taken.connections.remove(&self.number);
        taken.queued.remove(&self.number);
        taken.wake_first();
    }
}

/// The place of the connection that a request came by.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    places: Arc<Places>,
    number: u64,
}

impl Seat {
    /// Waits until the connection has a place, if it is in the queue. Cancel safe.
    pub(crate) async fn taken(&self) {
        let wake = self.places.lock().queued.get(&self.number).map(|queued| Arc::clone(&queued.wake));
        let Some(wake) = wake else { return };
        loop {
            let Err(at) = self.places.try_seat(self.number) else { return };
            let latest = Instant::now() + LOOK_EVERY;
            tokio::select! {
                () = wake.notified() => {}
                () = sleep_until(at.map_or(latest, |at| at.min(latest))) => {}
            }
        }
    }

    /// A request is being answered: its connection keeps its place until the result is dropped.
    pub(crate) fn answer(&self) -> Answering {
        let mut is_counted = false;
        self.with(|held| {
            held.answering += 1;
            is_counted = true;
        });
        Answering { seat: self.clone(), is_counted }
    }

    /// Where the request came from, by a proxy from which all connections come.
    pub(crate) fn note_source(&self, source: Option<Source>) {
        self.with(|held| held.source = source);
        if let Some(queued) = self.places.lock().queued.get_mut(&self.number) {
            queued.source = source;
        }
    }

    /// The request that came was let in by this holder; `None`: it is open to everyone, or not let in yet.
    pub(crate) fn note_request(&self, let_in: Option<Holder>) {
        self.with(|held| {
            held.since = if let_in.is_some() { Instant::now() } else { held.since };
            held.let_in = let_in;
        });
    }

    /// The peer has accepted bytes of an answer, or has sent some of a body.
    pub(crate) fn note_progress(&self) {
        self.with(|held| held.since = if held.let_in.is_some() { Instant::now() } else { held.since });
    }

    /// Whether others may wait for the place, and its request was not let in; or it has none.
    pub(crate) fn is_wanted(&self) -> bool {
        let taken = self.places.lock();
        match taken.connections.get(&self.number) {
            Some(held) => held.let_in.is_none() && taken.connections.len() >= self.places.max.requests,
            None => taken.queued.contains_key(&self.number),
        }
    }

    /// Changes the place for one of a follower, until the result is dropped.
    ///
    /// # Errors
    /// Who follows too much already.
    pub(crate) fn follow(&self, holder: &Holder) -> Result<Share, Full> {
        let following = self.places.followers.take(holder, 1)?;
        let mut taken = self.places.lock();
        taken.connections.remove(&self.number);
        taken.wake_first();
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
pub(crate) struct Answering {
    seat: Seat,
    /// Where its connection waited for a place it is not.
    is_counted: bool,
}

impl Drop for Answering {
    fn drop(&mut self) {
        if self.is_counted {
            self.seat.with(|held| held.answering -= 1);
        }
        self.seat.note_progress();
        self.seat.places.lock().wake_first();
    }
}

#[cfg(test)]
impl Places {
    /// A connection that has asked for something: its place.
    pub(crate) async fn enter(self: &Arc<Self>, source: Option<Source>) -> Place {
        let place = self.take(source).expect("there is room in the queue");
        place.seat().taken().await;
        place
    }
}

#[cfg(test)]
mod tests;
