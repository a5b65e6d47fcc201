//! What an endpoint has reported about a peer that reuses Message IDs or repeats refused requests: reported
//! once, and again if it lasts for the lifetime of an exchange.

use std::time::{Duration, Instant};

use crate::fingerprint::Fingerprint;

/// Kept only for a peer that needs it.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// When [`crate::Event::MessageIdReused`] was last reported.
    reuse: Option<Instant>,
    /// The last [`crate::Event::Refused`]: when, Message ID and content.
    refused: Option<(Instant, u16, Fingerprint)>,
}

impl Notices {
    /// Whether to report a reused Message ID now; if so, it counts as reported.
    pub(super) fn note_reuse(&mut self, now: Instant, lifetime: Duration) -> bool {
        let is_news = self.reuse.is_none_or(|at| now.saturating_duration_since(at) >= lifetime);
        if is_news {
            self.reuse = Some(now);
        }
        is_news
    }

    /// Whether to report a refused request, because it differs from the last one; if so, it counts as
    /// reported.
    pub(super) fn note_refusal(
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
