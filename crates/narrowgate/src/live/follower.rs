//! One who follows.

use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc};

use narrowgate_api::happening::Happening;
use narrowgate_http::{Lot, Next, Subscription, Told};
use narrowgate_platform::{
    model::happened::StreamPlace,
    ports::{Lost, StoreError},
};
use tokio::{
    sync::{broadcast, broadcast::error::RecvError, watch},
    time::sleep,
};

use super::{AGAIN_AFTER, Hub, PAGE, TICK, TRIES_MAX, reading::Page, ring::Behind};

/// See the module above.
pub(super) struct Follower {
    hub: Arc<Hub>,
    /// With whom it takes turns.
    lot: Lot,
    /// All up to here was given; `None`: nothing before the beginning is wanted.
    at: Option<StreamPlace>,
    ring_changed: watch::Receiver<()>,
    /// What is not stored.
    lone: broadcast::Receiver<Arc<Happening>>,
    /// What is known and not given yet.
    pending: VecDeque<Next>,
    /// What is lost, as it was told.
    told_lost: Option<Lost>,
    tries: u32,
}

impl Follower {
    pub(super) fn new(hub: Arc<Hub>, at: Option<StreamPlace>, lot: Lot) -> Self {
        hub.followers.send_modify(|followers| *followers += 1);
        let (ring_changed, lone) = (hub.changed.subscribe(), hub.feed.subscribe_lone());
        Self { hub, lot, at, ring_changed, lone, pending: VecDeque::new(), told_lost: None, tries: 0 }
    }

    async fn go_on(&mut self) -> Next {
        loop {
            if let Some(next) = self.pending.pop_front() {
                return next;
            }
            if let Ok(lone) = self.lone.try_recv() {
                return lone_of(&lone);
            }
            let Some(at) = self.at else {
                self.begin().await;
                continue;
            };
            // Before the ring is looked at, so that no change of it is missed.
            self.ring_changed.borrow_and_update();
            match self.hub.behind(at) {
                Behind::Piece(piece) => {
                    self.at = Some(piece.upto);
                    return Next::Piece(piece);
                }
                Behind::Nothing => {
                    if let Some(next) = self.wait().await {
                        return next;
                    }
                }
                Behind::NotThere => self.read(at).await,
            }
        }
    }

    /// Begins where the newest stands.
    pub(super) async fn begin(&mut self) {
        let page = self.page(None, 1).await;
        match page {
            Ok(page) => {
                self.at = Some(page.piece.upto);
                self.pending.push_back(Next::At(page.piece.upto));
            }
            Err(_) => self.try_again().await,
        }
    }

    /// Waits until there is something new.
    async fn wait(&mut self) -> Option<Next> {
        tokio::select! {
            changed = self.ring_changed.changed() => changed.is_err().then_some(Next::Ended),
            lone = self.lone.recv() => match lone {
                Ok(lone) => Some(lone_of(&lone)),
                // What is not stored may be missed: the next one says how things stand.
                Err(RecvError::Lagged(_)) => None,
                Err(RecvError::Closed) => Some(Next::Ended),
            },
        }
    }

    /// A page of the store, once it is its turn.
    async fn page(&self, after: Option<StreamPlace>, limit: usize) -> Result<Page, StoreError> {
        let _turn = self.hub.turns.take(self.lot.clone()).await;
        self.hub.reading.page(after, limit).await
    }

    /// Reads a page from the store.
    async fn read(&mut self, at: StreamPlace) {
        let Ok(page) = self.page(Some(at), PAGE).await else { return self.try_again().await };
        self.tries = 0;
        let upto = page.piece.upto;
        if let Some(lost) = page.lost.filter(|lost| self.told_lost.as_ref() != Some(lost)) {
            // For whom it is lost, the reader knows.
            self.told_lost = Some(lost.clone());
            self.pending.push_back(Next::Lost(lost));
        }
        if upto < at {
            // It was the place of another store.
            self.pending.push_back(Next::At(upto));
        }
        if !page.piece.told.is_empty() || page.piece.is_damaged {
            self.pending.push_back(Next::Piece(Arc::new(page.piece)));
        } else if upto == at {
            // The ring is not there, and there is nothing that it could have.
            sleep(TICK).await;
        }
        self.at = Some(upto);
    }

    async fn try_again(&mut self) {
        self.tries += 1;
        if self.tries > TRIES_MAX {
            self.pending.push_back(Next::Ended);
        } else {
            sleep(AGAIN_AFTER).await;
        }
    }
}

fn lone_of(happening: &Arc<Happening>) -> Next {
    Next::Lone(Arc::new(Told::of_nobody(None, happening)))
}

impl Subscription for Follower {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Next> + Send + '_>> {
        Box::pin(self.go_on())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.hub.followers.send_modify(|followers| *followers -= 1);
    }
}
