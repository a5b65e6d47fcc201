//! Whether those who follow may go on, looked up for all connections of a token or a session at once: a
//! thousand of them ask the store no more often than one.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use narrowgate_platform::model::access::Caller;
use tokio::time::Instant;

use super::super::asked::Standing;

/// What was found serves those who ask within this time.
const FRESH: Duration = Duration::from_millis(250);
/// Tokens and sessions that are remembered. At the limit all are forgotten.
const KNOWN_MAX: usize = 1024;

/// By its SHA-256, who had a credential, and when.
type Known = BTreeMap<[u8; 32], (Instant, Option<Caller>)>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Looks {
    known: Mutex<Known>,
}

impl Looks {
    /// Whether it holds, or did a moment ago, and its organisation unit is not suspended. Where the store
    /// cannot say, it does not.
    pub(super) async fn hold(&self, standing: &Standing) -> bool {
        let Some(credential) = standing.credential() else { return true };
        let (key, now) = (credential.hash().0, Instant::now());
        if let Some((at, present)) = self.lock().get(&key)
            && now.saturating_duration_since(*at) < FRESH
        {
            return standing.is_of(present.as_ref());
        }
        let Ok(mut present) = standing.present(credential).await else { return false };
        if let Some(caller) = &present
            && !standing.is_served(caller).await
        {
            present = None;
        }
        let holds = standing.is_of(present.as_ref());
        let mut known = self.lock();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(key, (now, present));
        holds
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
