//! The same refusal again and again: some are entries of their own, the others are counted, and their number
//! is an entry when the time is over.
//!
//! Limits: [`KEPT_MAX`] different ones at a time; beyond it the oldest is given up, with its entry.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    limits::{Class, Origin},
    refusals::Refused,
};

/// The same within this time is folded.
pub(crate) const FOLDED_FOR: Duration = Duration::from_secs(60);
/// Different ones that are remembered, and looked through for each refusal. Some 150 KiB.
const KEPT_MAX: usize = 256;

/// What is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Same(u64);

impl Same {
    /// A refusal of this class and source in these words.
    pub(crate) fn of(class: Class, source: impl Hash, refused: &Refused) -> Self {
        let mut hasher = DefaultHasher::new();
        let refusal = &refused.refusal;
        (class as usize, source, &refused.identity, refusal.reason, &refusal.detail).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// One that came again.
#[derive(Debug)]
struct Kept {
    began: Instant,
    same: Same,
    seen: u32,
    /// Those of which there is no entry yet, and the last of them.
    folded: u64,
    last: Option<Box<Fold>>,
}

/// Refusals that were folded.
#[derive(Debug)]
pub(crate) struct Fold {
    pub(crate) class: Class,
    pub(crate) origin: Origin,
    /// The last of them; its words say how many there were.
    pub(crate) refused: Refused,
    pub(crate) peer: SocketAddr,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Folds {
    /// Oldest first.
    kept: VecDeque<Kept>,
    /// When the entry of the oldest that was folded is due.
    due: Option<Instant>,
    /// Due before their time.
    given_up: Vec<Fold>,
}

impl Folds {
    /// Takes a refusal. It comes back where it is to be an entry of its own: the first `singles` of the same.
    pub(crate) fn take(&mut self, now: Instant, same: Same, singles: u32, fold: Fold) -> Option<Fold> {
        let is_same =
            |kept: &Kept| kept.same == same && now.saturating_duration_since(kept.began) < FOLDED_FOR;
        if let Some(kept) = self.kept.iter_mut().find(|kept| is_same(kept)) {
            kept.seen = kept.seen.saturating_add(1);
            if kept.seen <= singles {
                return Some(fold);
            }
            kept.folded += 1;
            kept.last = Some(Box::new(fold));
            let due = kept.began + FOLDED_FOR;
            self.due = Some(self.due.map_or(due, |other| other.min(due)));
            return None;
        }
        if self.kept.len() == KEPT_MAX
            && let Some(oldest) = self.kept.pop_front()
        {
            self.given_up.extend(summed(oldest, now));
        }
        self.kept.push_back(Kept { began: now, same, seen: 1, folded: 0, last: None });
        Some(fold)
    }

    /// When [`Self::poll`] has something.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// What is due: entries that say how many were folded. With `all`, also before their time.
    pub(crate) fn poll(&mut self, now: Instant, all: bool) -> Vec<Fold> {
        let mut due = std::mem::take(&mut self.given_up);
        let is_due = |kept: &Kept| all || now.saturating_duration_since(kept.began) >= FOLDED_FOR;
        while self.kept.front().is_some_and(is_due)
            && let Some(kept) = self.kept.pop_front()
        {
            due.extend(summed(kept, now));
        }
        self.due = self.kept.iter().find(|kept| kept.folded > 0).map(|kept| kept.began + FOLDED_FOR);
        due
    }
}

/// The entry for those that were folded, if any were.
fn summed(kept: Kept, now: Instant) -> Option<Fold> {
    let mut fold = *kept.last?;
    let (folded, seconds) = (kept.folded, now.saturating_duration_since(kept.began).as_secs());
    let detail = format!("{folded} more in {seconds} s: {}", fold.refused.refusal.detail);
    fold.refused.refusal.detail = detail.into();
    Some(fold)
}

#[cfg(test)]
mod tests {
    use narrowgate_platform::{ids::DeviceId, model::log::Reason, rules::refusal::Refusal};

    use super::*;
    use crate::limits::Door;

    fn fold(detail: &str) -> Fold {
        let refusal = Refusal::new(Reason::WrongKey, detail.to_owned());
        Fold {
            class: Class::Handshake,
            origin: Origin::device(DeviceId(1)),
            refused: Refused { door: Door::Dtls, device: None, name: None, identity: None, refusal },
            peer: ([192, 0, 2, 1], 5684).into(),
        }
    }

    fn take(folds: &mut Folds, now: Instant, detail: &str) -> bool {
        let fold = fold(detail);
        let same = Same::of(fold.class, 1, &fold.refused);
        folds.take(now, same, 3, fold).is_some()
    }

    fn details(folds: Vec<Fold>) -> Vec<String> {
        folds.into_iter().map(|fold| fold.refused.refusal.detail.into_owned()).collect()
    }

    #[test]
    fn some_are_entries_and_the_number_of_the_others_is_one() {
        let (start, second) = (crate::tests::start(), Duration::from_secs(1));
        let mut folds = Folds::default();
        let written = (0..1000).filter(|_| take(&mut folds, start, "no")).count();
        assert_eq!(written, 3);
        assert!(take(&mut folds, start + second, "another"));
        assert_eq!(folds.poll_timeout(), Some(start + FOLDED_FOR));
        assert_eq!(details(folds.poll(start + 59 * second, false)), [""; 0]);
        assert_eq!(details(folds.poll(start + 60 * second, false)), ["997 more in 60 s: no"]);
        assert_eq!(folds.poll_timeout(), None, "the other one was not folded");
        assert!(take(&mut folds, start + 61 * second, "no"), "it begins anew");
        // Who stops says what there was.
        assert_eq!((0..5).filter(|_| take(&mut folds, start + 61 * second, "no")).count(), 2);
        assert_eq!(details(folds.poll(start + 62 * second, true)), ["3 more in 1 s: no"]);
        assert_eq!(details(folds.poll(start + 63 * second, true)), [""; 0]);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_given_up_is_told() {
        let start = crate::tests::start();
        let mut folds = Folds::default();
        assert_eq!((0..10).filter(|_| take(&mut folds, start, "first")).count(), 3);
        for n in 0..10_000 {
            assert!(take(&mut folds, start, &n.to_string()), "none is like another");
        }
        assert_eq!(folds.kept.len(), KEPT_MAX);
        assert_eq!(details(folds.poll(start, false)), ["7 more in 0 s: first"]);
    }
}
