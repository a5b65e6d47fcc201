//! What happens to devices, for those who follow it over HTTP: from any place on, nothing left out, nothing
//! twice, however slowly they read and however often the server starts.
//!
//! ```text
//!   store ──read──▶ tail ──▶ ring ──▶ followers that are up to date
//!     └──────read, page by page, in turn──▶ followers that are not
//! ```
//!
//! The store is the only truth: what is committed is read from it in the order of the commits, by
//! connections that nobody else uses. One task, the tail, reads what is new, once for all, and keeps the
//! newest in a ring. A follower stands at a place. Where the ring has what comes next, it takes that; where
//! it has not, the follower reads a page from the store, and so on until the ring has it. Both are parts of
//! the same order, each with its end, so there is no seam at which something could be lost or doubled. A
//! follower that does not ask gets nothing, costs nothing and holds one piece at most; when it asks again it
//! goes on from its place.
//!
//! Who reads from the store does so page by page, and after each of them lets others have their turn: those
//! who wait are served by turns of their organisation units, so that no unit with many followers that are far
//! behind keeps those of another from getting up to date.
//!
//! What is not stored (a rollout as it stands, a refusal on a full disk) goes past all of this to who follows
//! at that moment.
//!
//! Limits: [`ring::TOLD_MAX`] and [`ring::BYTES_MAX`] of the ring, [`PAGE`] of a page, [`TURNS`] pages that
//! are read at the same time.

mod follower;
mod reading;
mod ring;
mod tail;
#[cfg(test)]
mod tests;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use narrowgate_http::{Events, Lot, Piece, Subscription, Turns};
use narrowgate_platform::{model::happened::StreamPlace, ports::Stores};
use tokio::{sync::watch, task::AbortHandle};

use self::{
    follower::Follower,
    reading::Reading,
    ring::{Behind, Ring},
};
use crate::feed::Feed;

/// How often the tail looks for something new.
const TICK: Duration = Duration::from_millis(20);
/// What a page has at most; one that is slow holds one.
const PAGE: usize = 128;
/// Pages that followers read at the same time; the store has a connection more, for the tail.
const TURNS: usize = 2;
/// Where the store cannot be read, it is tried again after this time …
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// … so often; then a follower is let go.
const TRIES_MAX: u32 = 10;

/// See the module.
pub(crate) struct Live {
    hub: Arc<Hub>,
    tail: AbortHandle,
}

/// What all followers share.
struct Hub {
    reading: Arc<Reading>,
    feed: Feed,
    /// `None`: nobody follows, or the store cannot be read.
    ring: Mutex<Option<Ring>>,
    /// Changes with the ring.
    changed: watch::Sender<()>,
    followers: watch::Sender<usize>,
    turns: Arc<Turns>,
}

impl Live {
    /// Of a store, and of what is not stored.
    pub(crate) fn begin(stores: &Stores, feed: Feed) -> Self {
        let hub = Arc::new(Hub {
            reading: Arc::new(Reading::new(stores)),
            feed,
            ring: Mutex::default(),
            changed: watch::Sender::default(),
            followers: watch::Sender::default(),
            turns: Turns::new(TURNS, TURNS),
        });
        let tail = tokio::spawn(tail::run(Arc::clone(&hub))).abort_handle();
        Self { hub, tail }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.tail.abort();
    }
}

impl Events for Live {
    fn follow(
        &self,
        from: Option<StreamPlace>,
        lot: Lot,
    ) -> Pin<Box<dyn Future<Output = Box<dyn Subscription>> + Send + '_>> {
        Box::pin(async move {
            let mut follower = Follower::new(Arc::clone(&self.hub), from, lot);
            if from.is_none() {
                follower.begin().await;
            }
            Box::new(follower) as Box<dyn Subscription>
        })
    }
}

impl Hub {
    /// What the ring has behind a place.
    fn behind(&self, at: StreamPlace) -> Behind {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.as_ref().map_or(Behind::NotThere, |ring| ring.behind(at))
    }

    fn set_ring(&self, ring: Option<Ring>) {
        *self.ring.lock().unwrap_or_else(PoisonError::into_inner) = ring;
        self.changed.send_replace(());
    }

    /// Adds what the tail has read, of which the ring has nothing yet.
    fn push(&self, piece: Piece) {
        let is_something = !piece.told.is_empty() || piece.is_damaged;
        if let Some(ring) = self.ring.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            ring.push(piece);
        }
        if is_something {
            self.changed.send_replace(());
        }
    }
}
