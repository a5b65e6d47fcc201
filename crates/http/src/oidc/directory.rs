//! What the provider says of itself: its document and its keys.
//!
//! * One task at a time asks for it, which nobody cuts off: whoever needs it waits for that task.
//! * It is kept for [`KNOWN_FOR`]. Where it cannot be had anew, or comes late, what was said before is good
//!   for up to [`KNOWN_FOR_MAX`].
//! * Where the provider has not answered, it is not asked for [`FAILED_FOR`]. Within [`DOUBTED_FOR`] nobody
//!   but the one who asks anew waits for it: the others are told at once that it did not answer.

use std::{sync::Arc, time::Duration};

use openidconnect::{
    AdditionalProviderMetadata, DiscoveryError, IssuerUrl, ProviderMetadata,
    core::{
        CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
        CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
        CoreSubjectIdentifierType,
    },
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    Fault,
    outside::{AskError, Outside},
};
use crate::limiter::lock;

/// How long it is kept what the provider says of itself.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
/// The same where the provider does not say it anew.
const KNOWN_FOR_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long a login that could do with what is known waits for it anew.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the provider is not asked again where it has not answered.
const FAILED_FOR: Duration = Duration::from_secs(3);
/// For how long after that nobody waits for another one who asks.
const DOUBTED_FOR: Duration = Duration::from_secs(30);

/// What a provider says beside what OpenID Connect Discovery has.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Beside {
    /// Whether its answers name it (RFC 9207, section 3).
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for Beside {}

/// The document of a provider, with its keys.
pub(super) type Metadata = ProviderMetadata<
    Beside,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// What the provider says of itself, and when that was asked for.
pub(super) type Found = (Metadata, Instant);

/// See the module.
pub(super) struct Directory {
    issuer: IssuerUrl,
    pub(super) outside: Outside,
    known: std::sync::Mutex<Known<Metadata>>,
}

/// What is known of the provider.
struct Known<T> {
    found: Option<(T, Instant)>,
    failed: Option<(Fault, Instant)>,
    /// Turns true when the task has ended that asks.
    asking: Option<watch::Receiver<bool>>,
}

/// What is to be done by whoever needs it.
#[derive(Debug)]
enum Look<T> {
    /// To go on with this.
    Known((T, Instant)),
    /// To give up.
    Failed(Fault),
    /// To wait for the task that asks; or to go on with what is old.
    Wait(watch::Receiver<bool>, Option<(T, Instant)>),
    /// To begin such a task, and to wait for it as well.
    Ask(Option<(T, Instant)>),
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { found: None, failed: None, asking: None }
    }
}

impl<T: Clone> Known<T> {
    /// `not_of`: what was asked for at this time or before is not good.
    fn look(&self, now: Instant, not_of: Option<Instant>) -> Look<T> {
        let is_good = |(_, since): &&(T, Instant)| not_of.is_none_or(|not_of| *since > not_of);
        let younger = |limit| move |(_, since): &&(T, Instant)| now.duration_since(*since) < limit;
        let good = self.found.as_ref().filter(is_good);
        if let Some(found) = good.filter(younger(KNOWN_FOR)) {
            return Look::Known(found.clone());
        }
        let old = good.filter(younger(KNOWN_FOR_MAX)).cloned();
        let failed = |limit| {
            let failed = self.failed.as_ref().filter(|(_, at)| now.duration_since(*at) < limit);
            failed.map(|(fault, _)| fault.clone())
        };
        // A task that has panicked asks no more.
        let asking = self.asking.as_ref().filter(|ended| ended.has_changed().is_ok());
        let waits_for = if asking.is_some() { DOUBTED_FOR } else { FAILED_FOR };
        match (failed(waits_for), old, asking) {
            (Some(_), Some(old), _) => Look::Known(old),
            (Some(fault), None, _) => Look::Failed(fault),
            (None, old, Some(ended)) => Look::Wait(ended.clone(), old),
            (None, old, None) => Look::Ask(old),
        }
    }

    /// The task that asks has ended, and had begun at this time.
    fn note(&mut self, found: Result<T, Fault>, began: Instant, now: Instant) {
        self.asking = None;
        match found {
            Ok(found) => (self.found, self.failed) = (Some((found, began)), None),
            Err(fault) => self.failed = Some((fault, now)),
        }
    }
}

impl Directory {
    /// Asks nobody yet.
    pub(super) fn new(issuer: IssuerUrl, outside: Outside) -> Arc<Self> {
        Arc::new(Self { issuer, outside, known: std::sync::Mutex::default() })
    }

    /// What is known, or that it cannot be; `None`: the provider is to be asked.
    pub(super) fn at_once(&self) -> Option<Result<Found, Fault>> {
        match lock(&self.known).look(Instant::now(), None) {
            Look::Known(found) => Some(Ok(found)),
            Look::Failed(fault) => Some(Err(fault)),
            Look::Wait(..) | Look::Ask(_) => None,
        }
    }

    /// What the provider says of itself. `not_of`: it is asked again unless it was asked after this time.
    ///
    /// # Errors
    /// It does not say it.
    pub(super) async fn metadata(self: &Arc<Self>, not_of: Option<Instant>) -> Result<Found, Fault> {
        loop {
            match self.look(not_of) {
                Look::Known(found) => return Ok(found),
                Look::Failed(fault) => return Err(fault),
                Look::Wait(mut ended, Some(old)) => {
                    if timeout(PATIENCE, ended.wait_for(|ended| *ended)).await.is_err() {
                        return Ok(old);
                    }
                }
                Look::Wait(mut ended, None) => {
                    // Ignored: where the task has gone, another one begins.
                    let _ = ended.wait_for(|ended| *ended).await;
                }
                // It has become one that waits.
                Look::Ask(_) => {}
            }
        }
    }

    fn look(self: &Arc<Self>, not_of: Option<Instant>) -> Look<Metadata> {
        let mut known = lock(&self.known);
        let now = Instant::now();
        let look = known.look(now, not_of);
        let Look::Ask(old) = look else { return look };
        let (ends, ended) = watch::channel(false);
        known.asking = Some(ended.clone());
        tokio::spawn(Arc::clone(self).ask(now, ends));
        Look::Wait(ended, old)
    }

    async fn ask(self: Arc<Self>, began: Instant, ends: watch::Sender<bool>) {
        let found = Metadata::discover_async(self.issuer.clone(), &self.outside).await;
        let found = found.map_err(|error| Fault::Unreachable(not_discovered(error)));
        lock(&self.known).note(found, began, Instant::now());
        // Ignored: nobody may wait any more.
        let _ = ends.send(true);
    }
}

fn not_discovered(error: DiscoveryError<AskError>) -> String {
    match error {
        DiscoveryError::Request(error) => error.to_string(),
        // The body is left out: it may be anything.
        DiscoveryError::Response(status, ..) => {
            format!("it answers {status}; there is no document of a provider at the issuer")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault() -> Fault {
        Fault::Unreachable("it is down".to_owned())
    }

    #[test]
    fn a_provider_that_took_long_to_fail_is_left_alone_from_then_on() {
        let (mut known, began) = (Known::<u8>::default(), Instant::now());
        assert!(matches!(known.look(began, None), Look::Ask(_)));
        let (_ends, ended) = watch::channel(false);
        known.asking = Some(ended);
        assert!(matches!(known.look(began, None), Look::Wait(_, None)));
        // Longer than it is left alone.
        let failed = began + Duration::from_secs(8);
        known.note(Err(fault()), began, failed);
        let at = |ms| failed + Duration::from_millis(ms);
        for ms in [0, 2999] {
            assert!(matches!(known.look(at(ms), None), Look::Failed(_)), "{ms}");
        }
        assert!(matches!(known.look(at(3000), None), Look::Ask(_)));
        // One asks, and the others do not wait; but after a while.
        let (ends, ended) = watch::channel(false);
        known.asking = Some(ended);
        assert!(matches!(known.look(at(3001), None), Look::Failed(_)));
        assert!(matches!(known.look(at(30_000), None), Look::Wait(_, None)));
        drop(ends);
        assert!(matches!(known.look(at(3001), None), Look::Ask(_)), "that task is gone");
    }

    #[test]
    fn what_was_known_is_good_for_a_day_where_it_does_not_come_anew() {
        let (mut known, began) = (Known::default(), Instant::now());
        known.note(Ok(7), began, began);
        let hour = |hours: u64| began + KNOWN_FOR * u32::try_from(hours).expect("it is a few");
        let is_known = |known: &Known<u8>, now| matches!(known.look(now, None), Look::Known((7, _)));
        assert!(is_known(&known, hour(1) - Duration::from_millis(1)));
        assert!(matches!(known.look(began, Some(began)), Look::Ask(_)), "another key was asked for");
        assert!(matches!(known.look(hour(1), None), Look::Ask(_)));
        let (_ends, ended) = watch::channel(false);
        known.asking = Some(ended.clone());
        assert!(matches!(known.look(hour(1), None), Look::Wait(_, Some((7, _)))));
        known.note(Err(fault()), hour(1), hour(2));
        assert!(is_known(&known, hour(2)));
        let later = hour(2) + FAILED_FOR;
        assert!(matches!(known.look(later, None), Look::Ask(_)));
        known.asking = Some(ended);
        assert!(is_known(&known, later));
        known.note(Err(fault()), later, hour(24));
        assert!(matches!(known.look(hour(24), None), Look::Failed(_)));
    }
}
