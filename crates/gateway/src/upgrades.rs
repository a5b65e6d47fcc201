//! What listeners and counters hear of the upgrades of devices, once it is committed; and how much of images
//! was served.
//!
//! No event is told for a block: that a device fetches an image is told with the tenth of it that the device
//! has reached, and a tenth that comes again only after [`AGAIN_AFTER`]. For that the gateway remembers the
//! last one of [`TENTHS_MAX`] devices at most; of the others a tenth may be told twice.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use narrowgate_api::happening::{self, Happening};
use narrowgate_coap::Response;
use narrowgate_platform::{
    firmware::{ImageId, UpgradeState, cut_desc},
    ids::{DeviceId, DeviceName, Position},
    model::command::CommandStep,
    ports::{UpgradeMoved, Written},
    rules::commands::NOT_ENCODED,
};

use crate::{
    effect::Now,
    requests::{Asker, name_of},
    shared::Shared,
};

/// Devices whose last tenth is remembered.
const TENTHS_MAX: usize = 4096;
/// A device that begins anew, or goes back, is told of again after this time.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Upgrades {
    pub(crate) served: Served,
    tenths: BTreeMap<DeviceId, Tenth>,
}

/// Up to where a device has fetched an image when that was told.
#[derive(Debug, Clone, Copy)]
struct Tenth {
    image: ImageId,
    tenth: u8,
    at: Instant,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Served {
    done: u64,
    failed: u64,
    blocks: u64,
    bytes: u64,
}

/// What a device has said or done with it, for people.
#[derive(Debug, Default)]
pub(crate) enum Said {
    /// Nothing more than what the upgrade has.
    #[default]
    Nothing,
    /// It says how far it is.
    Step { desc: Option<Box<str>> },
    /// It has answered the command that offers the image, or no bytes could be made of that for it.
    Reply { code: i64, desc: Option<Box<str>> },
    /// It fetches the image, and has so much of it, in percent.
    Fetched(u8),
}

impl Said {
    /// What a step of a command says of the upgrade that it offers.
    fn of_command(step: &CommandStep) -> Self {
        match step {
            CommandStep::Reply { code, message, .. } => {
                Self::Reply { code: *code, desc: message.as_deref().map(cut_desc) }
            }
            CommandStep::NotEncoded { message } => {
                Self::Reply { code: NOT_ENCODED, desc: Some(cut_desc(message)) }
            }
            _ => Self::Nothing,
        }
    }
}

impl Served {
    /// A block was read for a device, or something else was answered.
    pub(crate) fn count_block(&mut self, response: &Response) {
        if response.is_block() {
            self.blocks += 1;
            self.bytes += response.payload.len() as u64;
        }
    }

    fn count_end(&mut self, state: UpgradeState) {
        match state {
            UpgradeState::Done => self.done += 1,
            UpgradeState::Failed => self.failed += 1,
            _ => {}
        }
    }

    /// Upgrades that have ended, each kind of end with its name.
    pub(crate) fn ended(self) -> impl Iterator<Item = (&'static str, u64)> {
        [(UpgradeState::Done, self.done), (UpgradeState::Failed, self.failed)]
            .into_iter()
            .map(|(state, count)| (state.name(), count))
    }

    /// Blocks and bytes.
    pub(crate) fn blocks(self) -> (u64, u64) {
        (self.blocks, self.bytes)
    }
}

impl Upgrades {
    /// Whether it is to be told that a device has so much of an image; then it is remembered.
    fn permit(&mut self, now: Instant, device: DeviceId, image: ImageId, percent: u8) -> bool {
        let tenth = percent / 10;
        if let Some(known) = self.tenths.get(&device).filter(|known| known.image == image) {
            let is_old = now.saturating_duration_since(known.at) >= AGAIN_AFTER;
            // The last block may come again for long; a first one after a while is a new beginning.
            let is_same = tenth == known.tenth && (tenth == 10 || !is_old);
            if is_same || (tenth < known.tenth && !is_old) {
                return false;
            }
        } else if self.tenths.len() >= TENTHS_MAX {
            self.tenths.pop_first();
        }
        self.tenths.insert(device, Tenth { image, tenth, at: now });
        true
    }
}

impl Shared {
    /// The store has moved an upgrade: it is counted where it ended, and told. Whose keys are not known here,
    /// has them looked up.
    pub(crate) fn note_upgrade(
        &mut self,
        now: Now,
        place: Option<Position>,
        (device, name): (DeviceId, impl FnOnce() -> Option<DeviceName>),
        moved: &UpgradeMoved,
        said: Said,
    ) {
        let UpgradeMoved { image, state, failure: reason, progress, changed, .. } = *moved;
        if !changed {
            return;
        }
        self.upgrades.served.count_end(state);
        if state.has_ended() {
            self.upgrades.tenths.remove(&device);
        }
        if !self.out.has_followers {
            return;
        }
        let (code, fetched, desc) = match said {
            Said::Nothing => (None, None, None),
            Said::Step { desc } => (None, None, desc),
            Said::Reply { code, desc } => (Some(code), None, desc),
            Said::Fetched(percent) if self.upgrades.permit(now.instant, device, image, percent) => {
                (None, Some(percent), None)
            }
            Said::Fetched(_) => return,
        };
        let name = name();
        let looked_up = name.is_none().then_some(device);
        let happening = Happening::Upgrade(happening::Upgrade {
            time: now.wall,
            device: name,
            image_id: image.to_string(),
            state,
            reason,
            code,
            progress,
            fetched,
            desc: desc.map(Into::into),
        });
        self.out.tell(place, happening, looked_up);
    }

    /// Steps of commands are written; those that offer images have moved upgrades.
    pub(crate) fn note_upgrades_of_commands<'a>(
        &mut self,
        now: Now,
        first: Option<Position>,
        (device, asker): (DeviceId, Option<&Asker>),
        written: impl IntoIterator<Item = (&'a CommandStep, &'a Written)>,
    ) {
        for (index, (step, outcome)) in written.into_iter().enumerate() {
            if let Written::Upgrade(moved) = outcome {
                let place = first.map(|first| first.after(index));
                let name = || asker.map(|asker| name_of(&asker.grant));
                self.note_upgrade(now, place, (device, name), moved, Said::of_command(step));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str) -> ImageId {
        name.parse().expect("an id")
    }

    #[test]
    fn a_tenth_is_told_once_and_again_only_after_a_while_or_of_another_image() {
        let (mut upgrades, start, d) = (Upgrades::default(), crate::tests::start(), DeviceId(1));
        let one = image("AAAAAAAA");
        let told = (0..=100).filter(|percent| upgrades.permit(start, d, one, *percent));
        assert_eq!(told.collect::<Vec<_>>(), [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
        for _ in 0..1000 {
            assert!(!upgrades.permit(start, d, one, 0) && !upgrades.permit(start, d, one, 100));
        }
        let later = start + AGAIN_AFTER;
        assert!(!upgrades.permit(later, d, one, 100), "it goes on asking for the last block");
        assert!(upgrades.permit(later, d, one, 0) && !upgrades.permit(later, d, one, 0));
        assert!(upgrades.permit(start, d, image("AAAAAAAB"), 0));
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let (mut upgrades, start) = (Upgrades::default(), crate::tests::start());
        let devices = TENTHS_MAX as i64 + 5;
        assert!((0..devices).all(|id| upgrades.permit(start, DeviceId(id), image("AAAAAAAA"), 0)));
        assert_eq!(upgrades.tenths.len(), TENTHS_MAX);
    }
}
