//! Places for connections: a fixed number answers requests, and some more follow events.
//!
//! Where all places are taken, a new connection gets the one of the connection that has sent no complete
//! request, and has accepted no byte of an answer, for the longest time; but each is left alone for
//! [`ALONE`]. So no number of idle or slow connections keeps a new one waiting for longer. A connection whose
//! request is being answered keeps its place, and one that follows events has given it back: it has one of
//! those for followers. Of those whose answer waits for a device there are only so many that the others
//! always have places.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// How long a connection is left alone, whoever waits for its place: a request that was sent arrives, and an
/// answer is fetched, in much less.
pub const ALONE: Duration = Duration::from_secs(1);

/// How many connections a listener serves at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacesMax {
    /// Those that ask and are answered.
    pub requests: usize,
    /// Those that follow events; one more is refused.
    pub followers: usize,
    /// Those of `requests` whose answer waits for a device; one more is refused.
    pub waiting: usize,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Places {
    max: PlacesMax,
    taken: Mutex<Taken>,
    /// A place was given back, or a connection became one that may be asked to leave.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    /// The connections that answer requests, by their number.
    connections: BTreeMap<u64, Connection>,
    followers: usize,
    waiting: usize,
    entered: u64,
}

#[derive(Debug)]
struct Connection {
    /// Since when it waits for its peer; `None` while its request is being answered.
    idle_since: Option<Instant>,
    leave: Arc<Notify>,
}

impl Places {
    pub(crate) fn new(max: PlacesMax) -> Arc<Self> {
        Arc::new(Self { max, taken: Mutex::default(), changed: Notify::new() })
    }

    /// Waits for a place. Cancel safe.
    pub(crate) async fn enter(self: &Arc<Self>) -> Place {
        loop {
            let changed = self.changed.notified();
            match self.try_enter() {
                Ok(place) => return place,
                Err(Some(at)) => {
                    tokio::select! {
                        () = changed => {}
                        () = sleep_until(at) => {}
                    }
                }
                Err(None) => changed.await,
            }
        }
    }

    /// A place; or when one will be free at the latest, if that is known.
    fn try_enter(self: &Arc<Self>) -> Result<Place, Option<Instant>> {
        let mut taken = self.lock();
        if taken.connections.len() >= self.max.requests {
            let idle =
                taken.connections.iter().filter_map(|(number, held)| Some((held.idle_since?, *number)));
            let (since, number) = idle.min().ok_or(None)?;
            if since + ALONE > Instant::now() {
                return Err(Some(since + ALONE));
            }
            if let Some(held) = taken.connections.remove(&number) {
                held.leave.notify_one();
            }
        }
        taken.entered += 1;
        let (number, leave) = (taken.entered, Arc::new(Notify::new()));
        let held = Connection { idle_since: Some(Instant::now()), leave: Arc::clone(&leave) };
        taken.connections.insert(number, held);
        Ok(Place { places: Arc::clone(self), number, leave })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// A complete request is being answered: its connection keeps its place until the result is dropped.
    pub(crate) fn answer(&self) -> Answering {
        self.set_idle(None);
        Answering(self.clone())
    }

    /// The peer has accepted bytes of an answer.
    pub(crate) fn note_progress(&self) {
        if let Some(held) = self.places.lock().connections.get_mut(&self.number)
            && let Some(since) = &mut held.idle_since
        {
            *since = Instant::now();
        }
    }

    /// Changes the place for one of a follower, until the result is dropped.
    ///
    /// # Errors
    /// How many follow already: all that may.
    pub(crate) fn follow(&self) -> Result<Following, usize> {
        let mut taken = self.places.lock();
        if taken.followers >= self.places.max.followers {
            return Err(taken.followers);
        }
        taken.followers += 1;
        taken.connections.remove(&self.number);
        drop(taken);
        self.places.changed.notify_one();
        Ok(Following(Arc::clone(&self.places)))
    }

    /// Permits the answer to wait for a device, until the result is dropped. The connection keeps its place.
    ///
    /// # Errors
    /// How many wait already: all that may.
    pub(crate) fn wait(&self) -> Result<Waiting, usize> {
        let mut taken = self.places.lock();
        if taken.waiting >= self.places.max.waiting {
            return Err(taken.waiting);
        }
        taken.waiting += 1;
        Ok(Waiting(Arc::clone(&self.places)))
    }

    fn set_idle(&self, idle_since: Option<Instant>) {
        // A follower's connection has none, and ends with what it follows.
        if let Some(held) = self.places.lock().connections.get_mut(&self.number) {
            held.idle_since = idle_since;
        }
    }
}

/// See [`Seat::answer`].
pub(crate) struct Answering(Seat);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.set_idle(Some(Instant::now()));
        self.0.places.changed.notify_one();
    }
}

/// See [`Seat::follow`].
#[derive(Debug)]
pub(crate) struct Following(Arc<Places>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.lock().followers -= 1;
    }
}

/// See [`Seat::wait`].
#[derive(Debug)]
pub(crate) struct Waiting(Arc<Places>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Poll};

    use super::*;

    const MAX: PlacesMax = PlacesMax { requests: 2, followers: 1, waiting: 1 };

    async fn waits(entering: impl Future<Output = Place>) -> bool {
        let mut entering = pin!(entering);
        std::future::poll_fn(|task| Poll::Ready(entering.as_mut().poll(task).is_pending())).await
    }

    async fn is_lost(place: &Place) -> bool {
        let mut lost = pin!(place.lost());
        std::future::poll_fn(|task| Poll::Ready(lost.as_mut().poll(task).is_ready())).await
    }

    #[tokio::test(start_paused = true)]
    async fn the_place_of_who_was_idle_for_longest_goes_to_a_new_connection() {
        let places = Places::new(MAX);
        let first = places.enter().await;
        tokio::time::advance(ALONE / 2).await;
        let second = places.enter().await;
        assert!(waits(places.enter()).await, "both are left alone");
        let began = Instant::now();
        let third = places.enter().await;
        assert_eq!(began.elapsed(), ALONE / 2);
        assert!(is_lost(&first).await && !is_lost(&second).await && !is_lost(&third).await);
        // Bytes of an answer that are fetched count.
        tokio::time::advance(ALONE).await;
        second.seat().note_progress();
        let _fourth = places.enter().await;
        assert!(is_lost(&third).await && !is_lost(&second).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_being_answered_keeps_its_place() {
        let places = Places::new(MAX);
        let (first, second) = (places.enter().await, places.enter().await);
        let (answering, _other) = (first.seat().answer(), second.seat().answer());
        tokio::time::advance(10 * ALONE).await;
        assert!(waits(places.enter()).await);
        drop(answering);
        assert!(waits(places.enter()).await, "it may fetch its answer");
        let _third = places.enter().await;
        assert!(is_lost(&first).await && !is_lost(&second).await);
    }

    #[tokio::test(start_paused = true)]
    async fn followers_take_no_place_of_others_and_are_limited() {
        let places = Places::new(MAX);
        let follower = places.enter().await;
        let answering = follower.seat().answer();
        let following = follower.seat().follow().expect("it is the first");
        drop(answering);
        let (second, _third) = (places.enter().await, places.enter().await);
        assert!(!is_lost(&follower).await);
        assert_eq!(second.seat().follow().expect_err("one may"), 1);
        drop((following, follower));
        second.seat().follow().expect("there is room again");
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_wait_for_a_device_leave_places_for_others() {
        let places = Places::new(MAX);
        let (first, second) = (places.enter().await, places.enter().await);
        let waiting = first.seat().wait().expect("it is the first");
        assert_eq!(second.seat().wait().expect_err("one may"), 1);
        drop(waiting);
        second.seat().wait().expect("there is room again");
    }
}
