//! Requests with idempotency keys in the registry, with their answers.

use super::{AccessChange, AccessFound, AccessQuery, Change, PortFuture, Registry, StoreError};
use crate::{
    firmware::Sha256Sum,
    ids::UnixMillis,
    model::replay::{AskedBefore, KeptAnswer, RequestKey},
};

/// How long a request is remembered: 24 hours, in milliseconds.
pub const REQUEST_LIFE_MS: i64 = 86_400_000;

/// Requests of one owner that are remembered; the oldest go first.
pub const REQUESTS_MAX: usize = 1000;

/// Bytes of the answers of one owner that are kept; the oldest go first, with their requests.
pub const ANSWERS_BYTES_MAX: usize = 1 << 20;

/// A change of what is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayChange {
    /// A request begins. What is old goes, of all owners. `Exists` where the owner has one of this key.
    Begin {
        /// Which.
        key: RequestKey,
        /// What it asks for.
        request: Sha256Sum,
        /// When.
        at: UnixMillis,
        /// Requests that began up to this time are old: see [`REQUEST_LIFE_MS`].
        old: UnixMillis,
    },
    /// It was answered. Where it has gone meanwhile, nothing is kept.
    Keep {
        /// Which.
        key: RequestKey,
        /// The answer.
        answer: KeptAnswer,
    },
    /// It came to nothing, and may be carried out anew.
    Forget {
        /// Which.
        key: RequestKey,
    },
}

/// What of a request counts for [`ANSWERS_BYTES_MAX`].
pub fn bytes_of(answer: &KeptAnswer) -> usize {
    let body = answer.body.as_ref().map_or(0, |body| body.expose().len());
    body + answer.media_type.len() + answer.tag.len() + answer.location.len()
}

/// What is remembered, by name.
pub trait Replays: Registry {
    /// A request that was sent with this key, whenever.
    fn asked_before(&self, key: RequestKey) -> PortFuture<'_, Result<Option<AskedBefore>, StoreError>> {
        let read = self.access(AccessQuery::Request(key));
        Box::pin(async move {
            match read.await? {
                AccessFound::Request(asked) => Ok(asked),
                other => panic!("the store answers another query than it was asked: {other:?}"),
            }
        })
    }

    /// See [`ReplayChange`].
    fn change_replay(&self, change: ReplayChange) -> PortFuture<'static, Result<(), StoreError>> {
        let changed = self.change(Change::Access(AccessChange::Request(change)));
        Box::pin(async move { changed.await.map(drop) })
    }
}

impl<R: Registry + ?Sized> Replays for R {}
