//! What an endpoint has told its user about a peer that does not count or repeats itself: told once, and
//! again when it has lasted for the lifetime of an exchange.

use std::time::{Duration, Instant};

use crate::fingerprint::Fingerprint;

/// Kept only for a peer that gave rise to it.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// When [`crate::Event::MessageIdReused`] was told last.
    reuse: Option<Instant>,
    /// The last [`crate::Event::Refused`]: when, Message ID and content.
    refused: Option<(Instant, u16, Fingerprint)>,
}

impl Told {
    /// Whether a reused Message ID is to be told now; then it counts as told.
    pub(super) fn is_reuse_news(&mut self, now: Instant, lifetime: Duration) -> bool {
        let is_news = self.reuse.is_none_or(|at| now.saturating_duration_since(at) >= lifetime);
        if is_news {
            self.reuse = Some(now);
        }
        is_news
    }

    /// Whether a refused request is another one than before; then it counts as told.
    pub(super) fn is_refusal_news(
        &mut self,
        now: Instant,
        lifetime: Duration,
        mid: u16,
        request: Fingerprint,
    ) -> bool {
        let is_repeat = self.refused.is_some_and(|(at, last_mid, last)| {
            last_mid == mid && last == request && now.saturating_duration_since(at) < lifetime
        });
        if !is_repeat {
            self.refused = Some((now, mid, request));
        }
        !is_repeat
    }
}
