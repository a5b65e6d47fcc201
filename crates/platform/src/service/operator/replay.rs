//! Requests with idempotency keys: remembered with their answers, so that they can be sent again.

use narrowgate_api::problem::Problem;
use sha2::{Digest as _, Sha256};

use super::Operator;
use crate::{
    firmware::Sha256Sum,
    ids::UnixMillis,
    model::replay::{AskedBefore, KeptAnswer, RequestKey},
    ports::{REQUEST_LIFE_MS, ReplayChange, Replays as _},
    service::error::ServiceError,
};

/// Bytes of the longest answer that is kept; of a longer one only its status is.
pub const ANSWER_BYTES_MAX: usize = 256 << 10;

/// The SHA-256 of a request in its parts, whose ends cannot be moved.
pub fn sum_of(parts: &[&[u8]]) -> Sha256Sum {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update((part.len() as u64).to_be_bytes());
        sum.update(part);
    }
    Sha256Sum(sum.finalize().into())
}

impl Operator {
    /// A request that was sent with this key in the last 24 hours.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn asked_before(&self, key: RequestKey) -> Result<Option<AskedBefore>, Problem> {
        let found = self.registrar.registry.asked_before(key).await.map_err(ServiceError::from);
        let found = self.tell("cannot look for the idempotency key", None, found).await?;
        Ok(found.filter(|asked| asked.at > self.old_requests()))
    }

    /// Requests that began up to this time are old. The wall clock may have leapt, and what was carried out
    /// must not be forgotten by that.
    fn old_requests(&self) -> UnixMillis {
        UnixMillis(self.registrar.clock.steady().0.saturating_sub(REQUEST_LIFE_MS))
    }

    /// Remembers durably that a request is carried out.
    ///
    /// # Errors
    /// One of this key is remembered already; the store's.
    pub async fn begin_request(&self, key: RequestKey, request: Sha256Sum) -> Result<(), Problem> {
        let (at, old) = (self.registrar.clock.now(), self.old_requests());
        self.change_replay(ReplayChange::Begin { key, request, at, old }).await
    }

    /// Keeps the answer to it.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn keep_answer(&self, key: RequestKey, answer: KeptAnswer) -> Result<(), Problem> {
        self.change_replay(ReplayChange::Keep { key, answer }).await
    }

    /// It came to nothing: it may be carried out when it is sent again.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn forget_request(&self, key: RequestKey) -> Result<(), Problem> {
        self.change_replay(ReplayChange::Forget { key }).await
    }

    async fn change_replay(&self, change: ReplayChange) -> Result<(), Problem> {
        let changed = self.registrar.registry.change_replay(change).await.map_err(ServiceError::from);
        self.tell("cannot remember the idempotency key", None, changed).await
    }
}
