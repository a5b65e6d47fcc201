//! Who gets an image, and when that stops by itself.

use sha2::{Digest as _, Sha256};

use super::{Ended, ImageId, Moved, PausedBy};
use crate::ids::{DeviceId, UnixMillis};

/// Upgrades that must have failed before a rollout pauses by itself.
pub const FAILED_MIN: u32 = 3;
/// Of the upgrades that have ended, in percent: where more have failed, a rollout pauses by itself.
pub const FAILED_PERCENT_MAX: u32 = 10;

/// The rollout of an image: who gets it, and whether it is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollout {
    /// The share of the product's devices that get it, in percent, 1 to 100; `None`: only those that it was
    /// offered to by name.
    pub share: Option<u8>,
    /// Why nothing is offered now; `None`: it goes on.
    pub paused: Option<PausedBy>,
    /// Upgrades that were done since it began or was resumed.
    pub done: u32,
    /// Upgrades that failed since then.
    pub failed: u32,
    /// When it began.
    pub since: UnixMillis,
}

impl Rollout {
    /// One that begins.
    pub fn new(since: UnixMillis) -> Self {
        Self { share: None, paused: None, done: 0, failed: 0, since }
    }

    /// Counts what a step of an upgrade means for it; returns whether the rollout pauses because of it.
    pub fn note_moved(&mut self, moved: &Moved) -> bool {
        self.failed = self.failed.saturating_sub(u32::from(moved.revived));
        moved.ended.is_some_and(|ended| self.note(ended))
    }

    /// Counts an upgrade that has ended; returns whether the rollout pauses because of it: at least
    /// [`FAILED_MIN`] have failed, and more than [`FAILED_PERCENT_MAX`] of those that have ended.
    pub fn note(&mut self, ended: Ended) -> bool {
        match ended {
            Ended::Done => self.done = self.done.saturating_add(1),
            Ended::Failed => self.failed = self.failed.saturating_add(1),
        }
        let all = u64::from(self.done) + u64::from(self.failed);
        let too_many = u64::from(self.failed) * 100 > u64::from(FAILED_PERCENT_MAX) * all;
        let pauses = self.paused.is_none() && self.failed >= FAILED_MIN && too_many;
        if pauses {
            self.paused = Some(PausedBy::Failures);
        }
        pauses
    }

    /// An operator pauses it; returns whether that changed anything.
    pub fn pause(&mut self) -> bool {
        let is_on = self.paused.is_none();
        self.paused = self.paused.or(Some(PausedBy::Operator));
        is_on
    }

    /// It goes on, and what failed before counts no more; returns whether that changed anything.
    pub fn resume(&mut self) -> bool {
        let was_paused = self.paused.is_some();
        if was_paused {
            (self.paused, self.done, self.failed) = (None, 0, 0);
        }
        was_paused
    }
}

/// Whether a device is in this share of its product, in percent: the same answer whenever it is asked, and
/// who is in a share is in every greater one.
pub fn is_in_share(device: DeviceId, image: ImageId, percent: u8) -> bool {
    let mut hash = Sha256::new();
    hash.update(image.as_str().as_bytes());
    hash.update(device.0.to_be_bytes());
    let digest = hash.finalize();
    let number = digest[..8].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    number % 10_000 < u64::from(percent) * 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str) -> ImageId {
        name.parse().expect("an id")
    }

    #[test]
    fn a_greater_share_keeps_who_was_in_and_all_are_in_the_whole() {
        let image = image("AAAAAAAA");
        for device in (1..2000).map(DeviceId) {
            let in_share = |percent| is_in_share(device, image, percent);
            assert!((1..100).all(|percent| !in_share(percent) || in_share(percent + 1)));
            assert!(in_share(100) && !in_share(0));
        }
    }

    #[test]
    fn a_share_is_about_what_it_says_and_another_one_for_each_image() {
        let [one, other] = ["AAAAAAAA", "AAAAAAAB"].map(image);
        let chosen = |image| (1..=10_000).map(DeviceId).filter(move |id| is_in_share(*id, image, 10));
        assert!((850..1150).contains(&chosen(one).count()), "{}", chosen(one).count());
        let both = chosen(one).filter(|id| is_in_share(*id, other, 10)).count();
        assert!((50..200).contains(&both), "{both}");
    }

    #[test]
    fn a_rollout_pauses_where_too_many_fail_and_begins_to_count_anew_when_it_is_resumed() {
        let mut rollout = Rollout::new(UnixMillis(0));
        assert_eq!([Ended::Failed; 2].map(|ended| rollout.note(ended)), [false, false]);
        assert!(rollout.note(Ended::Failed));
        assert_eq!(rollout.paused, Some(PausedBy::Failures));
        assert!(!rollout.note(Ended::Failed) && !rollout.pause() && rollout.resume() && !rollout.resume());
        for _ in 0..27 {
            assert!(!rollout.note(Ended::Done));
        }
        assert_eq!([Ended::Failed; 4].map(|ended| rollout.note(ended)), [false, false, false, true]);
        let revived = Moved { revived: true, ended: Some(Ended::Done), ..Moved::default() };
        assert!(!rollout.note_moved(&revived));
        assert_eq!((rollout.done, rollout.failed), (28, 3));
        assert!(rollout.resume() && rollout.pause() && !rollout.note(Ended::Failed));
        assert_eq!(rollout.paused, Some(PausedBy::Operator));
    }
}
