//! Images, rollouts and upgrades in a [`Model`].

use std::collections::BTreeMap;

use super::model::{Model, missing};
use crate::{
    firmware::{
        FirmwareMove, FirmwareStep, IMAGES_PER_PRODUCT_MAX, Image, ImageId, Moved, NoUpgrade, OFFER_TTL_S,
        Rollout, SendUpgrade, ServerName, Upgrade, UpgradeOffer, UpgradeState, UpgradeStep, is_in_share,
        meant,
    },
    ids::{DeviceId, DeviceName, UnixMillis},
    model::{
        command::{Command, CommandId, CommandTopic},
        device::DeviceState,
    },
    paging::{Collector, Page, Part, Place},
    ports::{
        Advanced, Changed, FirmwareChange, FirmwareFound, FirmwareQuery, NotDeleted, OfferTo, Offered,
        OfferedUpgrade, StoreError, UpgradeMoved, Written,
    },
    rules::{
        commands::SendCase,
        happened::{UpgradeSaid, of_upgrade, tells_of},
        life::Standing,
    },
};

/// What a store has of firmware.
#[derive(Debug, Default)]
pub(super) struct Firmware {
    /// Oldest first.
    images: Vec<Image>,
    upgrades: BTreeMap<(DeviceId, ImageId), Upgrade>,
    /// What devices have said.
    versions: BTreeMap<DeviceId, Box<str>>,
}

impl Firmware {
    fn image(&self, image: ImageId) -> Option<&Image> {
        self.images.iter().find(|row| row.id == image)
    }

    fn found(&self, image: ImageId) -> Result<&Image, StoreError> {
        self.image(image).ok_or_else(|| image.is_missing())
    }

    fn rollout_mut(&mut self, image: ImageId) -> Option<&mut Rollout> {
        self.images.iter_mut().find(|row| row.id == image)?.rollout.as_mut()
    }

    /// Those of a device, in the order of their images.
    fn of_device(&self, device: DeviceId) -> impl DoubleEndedIterator<Item = (&Image, &Upgrade)> {
        let upgrade = move |image| self.upgrades.get(&(device, image));
        self.images.iter().filter_map(move |image| Some((image, upgrade(image.id)?)))
    }

    /// Those that a device can mean by what it says or fetches; the last one in the order is the one.
    fn meant(&self, device: DeviceId) -> impl Iterator<Item = (u8, UnixMillis, ImageId)> {
        let is_told = |state: UpgradeState| state == UpgradeState::Offered || state.is_under_way();
        let told = self.of_device(device).any(|(_, upgrade)| is_told(upgrade.state));
        self.of_device(device).filter_map(move |(image, upgrade)| {
            Some((meant(upgrade.state, upgrade.failure, told)?, upgrade.moved, image.id))
        })
    }

    fn of_image(&self, image: ImageId) -> impl Iterator<Item = &Upgrade> {
        self.upgrades.values().filter(move |upgrade| upgrade.image == image)
    }

    fn count(&self, image: ImageId, is_counted: impl Fn(UpgradeState) -> bool) -> u64 {
        self.of_image(image).filter(|upgrade| is_counted(upgrade.state)).count() as u64
    }

    /// Whether a device has said this version last.
    pub(super) fn says(&self, device: DeviceId, version: &str) -> bool {
        self.versions.get(&device).is_some_and(|said| **said == *version)
    }

    pub(super) fn forget_device(&mut self, device: DeviceId) {
        self.versions.remove(&device);
        self.upgrades.retain(|(of, _), _| *of != device);
    }

    pub(super) fn forget_product(&mut self, product_key: &str) {
        self.images.retain(|image| image.product_key != product_key);
    }

    /// An upgrade is due now that was to be looked at later: its device is there.
    pub(super) fn wake(&mut self, device: DeviceId, at: UnixMillis) {
        for (_, upgrade) in self.upgrades.iter_mut().filter(|((of, _), _)| *of == device) {
            if upgrade.state == UpgradeState::Waiting {
                upgrade.due = upgrade.due.min(Some(at));
            }
        }
    }

    /// What is due, in the order in which it is done.
    fn due(&self, at: UnixMillis) -> Vec<(DeviceId, ImageId)> {
        let is_paused = |image| {
            let rollout = self.image(image).and_then(|image| image.rollout);
            rollout.is_some_and(|rollout| rollout.paused.is_some())
        };
        let number = |image| self.images.iter().position(|row| row.id == image);
        let is_due = |upgrade: &&Upgrade| match upgrade.state {
            UpgradeState::Offered => is_paused(upgrade.image),
            UpgradeState::Waiting => upgrade.due <= Some(at) && !is_paused(upgrade.image),
            _ => upgrade.due.is_some_and(|due| due <= at),
        };
        let mut due: Vec<&Upgrade> = self.upgrades.values().filter(is_due).collect();
        due.sort_by_key(|upgrade| (number(upgrade.image), upgrade.due, upgrade.device));
        due.into_iter().map(|upgrade| (upgrade.device, upgrade.image)).collect()
    }
}

impl Model {
    /// See [`crate::ports::Registry::firmware`].
    pub fn firmware(&self, query: FirmwareQuery) -> FirmwareFound {
        let firmware = &self.firmware;
        match query {
            FirmwareQuery::Images { product_key } => {
                let is_wanted =
                    |image: &&Image| product_key.as_deref().is_none_or(|key| image.product_key == key);
                let items = firmware.images.iter().filter(is_wanted).cloned().collect();
                FirmwareFound::Images(Page { items, ..Page::empty() })
            }
            FirmwareQuery::Image { image } => FirmwareFound::Image(firmware.image(image).cloned()),
            FirmwareQuery::Device { device } => {
                let shown = |(image, upgrade): (&Image, &Upgrade)| OfferedUpgrade {
                    upgrade: upgrade.clone(),
                    image: image.clone(),
                };
                let mut found: Vec<OfferedUpgrade> = firmware.of_device(device).rev().map(shown).collect();
                found.sort_by_key(|found| std::cmp::Reverse(found.upgrade.since));
                FirmwareFound::Device(found)
            }
            FirmwareQuery::Version { device } => {
                FirmwareFound::Version(firmware.versions.get(&device).map(|version| version.to_string()))
            }
            FirmwareQuery::Counts { image } => {
                let counts = UpgradeState::ALL.map(|state| (state, firmware.count(image, |it| it == state)));
                FirmwareFound::Counts(counts.into_iter().filter(|(_, count)| *count > 0).collect())
            }
            FirmwareQuery::Failures { image, limit } => {
                let failed = firmware.of_image(image).filter(|it| it.state == UpgradeState::Failed);
                let mut failures = BTreeMap::new();
                for failure in failed.take(limit).filter_map(|it| it.failure) {
                    *failures.entry(failure).or_default() += 1;
                }
                FirmwareFound::Failures(failures.into_iter().collect())
            }
            FirmwareQuery::Upgrades { image, part } => FirmwareFound::Upgrades(self.upgrades(image, part)),
            FirmwareQuery::Due { at } => FirmwareFound::Due(!firmware.due(at).is_empty()),
        }
    }

    fn upgrades(&self, image: ImageId, part: Part) -> Page<(DeviceName, Upgrade)> {
        let after = part.after.map(|place| DeviceId(place.0[0]));
        let mut page = Collector::new(part.limit);
        for upgrade in self.firmware.of_image(image).filter(|it| after.is_none_or(|after| it.device > after))
        {
            let Some(row) = self.row(upgrade.device) else { continue };
            let name = DeviceName {
                product_key: self.product_of(row.product).product_key.clone(),
                device_key: row.device_key.to_string(),
            };
            if !page.take(Place([upgrade.device.0, 0, 0, 0]), (name, upgrade.clone())) {
                break;
            }
        }
        page.finish()
    }

    pub(super) fn change_firmware(&mut self, change: FirmwareChange) -> Result<Changed, StoreError> {
        let image = |image| Changed::Image(Box::new(image));
        match change {
            FirmwareChange::Add(new) => self.add_image(new).map(image),
            FirmwareChange::Delete { image } => self.delete_image(image).map(Changed::ImageDeleted),
            FirmwareChange::Offer { image, to, at } => self.offer_image(image, to, at).map(Changed::Offered),
            FirmwareChange::Switch { image: id, on } => self.switch_rollout(id, on).map(image),
            FirmwareChange::Advance { limit, server, at } => {
                Ok(Changed::Advanced(self.advance_upgrades(limit, &server, at)))
            }
        }
    }

    fn add_image(&mut self, image: Image) -> Result<Image, StoreError> {
        if !self.product_keys.contains_key(&image.product_key) {
            return Err(StoreError::Missing { what: "product", key: image.product_key });
        }
        let of_product = || self.firmware.images.iter().filter(|row| row.product_key == image.product_key);
        if let Some(same) = of_product().find(|row| row.version == image.version) {
            let is_same = (same.size, same.sha256) == (image.size, image.sha256);
            return is_same.then(|| same.clone()).ok_or_else(|| image.is_another());
        }
        if self.firmware.image(image.id).is_some() {
            return Err(StoreError::Exists { what: "image", key: image.id.to_string() });
        }
        if of_product().count() >= IMAGES_PER_PRODUCT_MAX {
            return Err(image.is_one_too_many());
        }
        self.firmware.images.push(image.clone());
        Ok(image)
    }

    fn delete_image(&mut self, image: ImageId) -> Result<Result<(), NotDeleted>, StoreError> {
        let firmware = &mut self.firmware;
        let is_paused = firmware.found(image)?.rollout.is_none_or(|rollout| rollout.paused.is_some());
        let under_way = firmware.count(image, UpgradeState::is_under_way);
        if under_way > 0 {
            return Ok(Err(NotDeleted::UnderWay(under_way)));
        }
        let waits = |state| state == UpgradeState::Offered || (state == UpgradeState::Waiting && !is_paused);
        let waiting = firmware.count(image, waits);
        if waiting > 0 {
            return Ok(Err(NotDeleted::RolloutGoesOn(waiting)));
        }
        firmware.images.retain(|row| row.id != image);
        firmware.upgrades.retain(|(_, of), _| *of != image);
        Ok(Ok(()))
    }

    fn switch_rollout(&mut self, image: ImageId, on: bool) -> Result<Image, StoreError> {
        self.firmware.found(image)?;
        let rollout = self.firmware.rollout_mut(image).ok_or_else(|| image.has_no_rollout())?;
        if on {
            rollout.resume()
        } else {
            rollout.pause()
        };
        self.firmware.found(image).cloned()
    }

    fn offer_image(&mut self, image: ImageId, to: OfferTo, at: UnixMillis) -> Result<Offered, StoreError> {
        let found = self.firmware.found(image)?.clone();
        let product = self.product_keys.get(&found.product_key).copied();
        let mut offered = Offered::default();
        match to {
            OfferTo::Device(device) => {
                let row = self.row(device).ok_or_else(|| missing(device))?;
                if Some(row.product) != product {
                    return Err(found.is_of_another_product());
                }
                (offered.chosen, offered.of) = (1, 1);
                self.begin_rollout(image, None, at);
                self.offer_to(&found, device, (true, at), &mut offered);
            }
            OfferTo::Share { percent, after, limit } => {
                let share = found.rollout.and_then(|rollout| rollout.share);
                if let Some(share) = share.filter(|share| *share > percent) {
                    return Err(found.has_greater_share(share));
                }
                self.begin_rollout(image, Some(percent), at);
                let follows = |device| after.is_none_or(|after| device > after);
                let rows = self.rows().filter(|row| Some(row.product) == product && follows(row.id));
                let devices: Vec<DeviceId> = rows.take(limit).map(|row| row.id).collect();
                for device in devices.iter().filter(|device| is_in_share(**device, image, percent)) {
                    offered.chosen += 1;
                    self.offer_to(&found, *device, (false, at), &mut offered);
                }
                offered.of = devices.len() as u64;
                offered.next = devices.last().copied().filter(|_| devices.len() == limit);
            }
        }
        Ok(offered)
    }

    fn begin_rollout(&mut self, image: ImageId, share: Option<u8>, at: UnixMillis) {
        if let Some(row) = self.firmware.images.iter_mut().find(|row| row.id == image) {
            let rollout = row.rollout.get_or_insert_with(|| Rollout::new(at));
            rollout.share = share.or(rollout.share);
        }
    }

    fn offer_to(
        &mut self,
        image: &Image,
        device: DeviceId,
        (again, at): (bool, UnixMillis),
        offered: &mut Offered,
    ) {
        let has_it = self.firmware.versions.get(&device).is_some_and(|version| **version == *image.version);
        let never_seen = self.row(device).is_some_and(|row| row.life.active_time.is_none());
        let key = (device, image.id);
        match self.firmware.upgrades.get_mut(&key) {
            None if has_it => {
                let upgrade = Upgrade::had(device, image.id, at);
                self.firmware.upgrades.insert(key, upgrade);
                offered.have_it += 1;
                return;
            }
            None => {
                self.firmware.upgrades.insert(key, Upgrade::new(device, image.id, at));
            }
            Some(_) if has_it => {
                offered.have_it += 1;
                return;
            }
            Some(upgrade) if again && !upgrade.is_open() => {
                // Ignored: an operator's offer is never refused.
                let _ = self.step_upgrade(key, UpgradeStep::OfferedAgain, at);
            }
            Some(upgrade) => {
                let is_open = upgrade.is_open();
                offered.again += u64::from(is_open);
                offered.never_seen += u64::from(is_open && never_seen);
                return;
            }
        }
        offered.devices += 1;
        offered.never_seen += u64::from(never_seen);
        let others: Vec<ImageId> = self.firmware.of_device(device).map(|(other, _)| other.id).collect();
        for other in others.into_iter().filter(|other| *other != image.id) {
            let moved = self.step_upgrade((device, other), UpgradeStep::Cancelled, at);
            if moved.is_ok_and(|moved| moved.commands_changed) && !offered.queues.contains(&device) {
                offered.queues.push(device);
            }
        }
    }

    /// Applies a step to an upgrade that is there, with what follows from it.
    fn step_upgrade(
        &mut self,
        key: (DeviceId, ImageId),
        step: UpgradeStep<'_>,
        at: UnixMillis,
    ) -> Result<UpgradeMoved, NoUpgrade> {
        self.step_upgrade_saying(key, (step, UpgradeSaid::of_step(step)), at)
    }

    /// … of which more is told than the step has.
    fn step_upgrade_saying(
        &mut self,
        key: (DeviceId, ImageId),
        (step, said): (UpgradeStep<'_>, UpgradeSaid<'_>),
        at: UnixMillis,
    ) -> Result<UpgradeMoved, NoUpgrade> {
        let upgrade = self.firmware.upgrades.get_mut(&key).ok_or(NoUpgrade::None)?;
        let before = upgrade.state;
        let moved = upgrade.step(step, at)?;
        if moved.changed && tells_of(step, before, upgrade) {
            self.stream.add(Some(key.0), of_upgrade(at, upgrade, said));
        }
        let Upgrade { state, failure, progress, .. } = *upgrade;
        let paused = self.firmware.rollout_mut(key.1).is_some_and(|rollout| rollout.note_moved(&moved));
        let Moved { changed, cancel, .. } = moved;
        let row = self.row_mut(key.0).filter(|_| cancel.is_some());
        let cancelled = row.map_or_else(Vec::new, |row| row.commands.cancel(cancel, at));
        self.tell_commands(key.0, at, &cancelled);
        let commands_changed = !cancelled.is_empty();
        Ok(UpgradeMoved { image: key.1, state, failure, progress, changed, commands_changed, paused })
    }

    /// What devices and operators do to a command moves the upgrade that it offers. Returns what has become
    /// of the last one.
    pub(super) fn commands_moved(
        &mut self,
        device: DeviceId,
        moved: &[Command],
        at: UnixMillis,
    ) -> Option<UpgradeMoved> {
        let mut last = None;
        for command in moved.iter().filter(|command| command.order.topic == CommandTopic::Upgrade) {
            let offers = |upgrade: &Upgrade| upgrade.command == Some(command.id);
            let found = self.firmware.of_device(device).find(|(_, upgrade)| offers(upgrade));
            let Some(image) = found.map(|(image, _)| image.id) else { continue };
            // Ignored: what a command does is never refused.
            let step = (UpgradeStep::of_command(command), UpgradeSaid::of_command(command));
            let moved = self.step_upgrade_saying((device, image), step, at);
            last = moved.ok().filter(|moved| moved.changed).or(last);
        }
        last
    }

    /// The device is reset or switched off. Returns the upgrades that have ended by it.
    pub(super) fn stop_upgrades(&mut self, device: DeviceId, at: UnixMillis) -> Vec<UpgradeMoved> {
        let images: Vec<ImageId> = self.firmware.of_device(device).map(|(image, _)| image.id).collect();
        // An operator's step is never refused.
        let stop = |image| self.step_upgrade((device, image), UpgradeStep::Stopped, at).ok();
        images.into_iter().filter_map(stop).filter(|moved| moved.changed).collect()
    }

    pub(super) fn move_firmware(&mut self, wanted: &FirmwareMove) -> Written {
        let FirmwareMove { device, session, step, at } = wanted;
        let Some(row) = self.enabled_row_mut(*device) else { return Written::DeviceUnavailable };
        let standing: Standing = row.life.standing();
        if let Err(refused) = standing.permit_report(Some(session.login), session.secret_version) {
            return refused;
        }
        match step {
            FirmwareStep::Inform { version } => self.inform(*device, version, *at),
            FirmwareStep::Progress { step, desc } => {
                let step = UpgradeStep::Progress { step: *step, desc: desc.as_deref() };
                self.progress(*device, step, *at)
            }
            FirmwareStep::Fetching { image, fetched, percent } => {
                if self.firmware.meant(*device).all(|(_, _, meant)| meant != *image) {
                    return Written::NoUpgrade;
                }
                let said = UpgradeSaid { fetched: Some(*percent), ..UpgradeSaid::default() };
                let step = (UpgradeStep::Fetching(*fetched), said);
                Written::of_upgrade(self.step_upgrade_saying((*device, *image), step, *at))
            }
        }
    }

    fn inform(&mut self, device: DeviceId, version: &str, at: UnixMillis) -> Written {
        let said_before = self.firmware.versions.insert(device, version.into());
        self.firmware.wake(device, at);
        let is_done_now = |image: &Image, upgrade: &Upgrade| {
            image.version == version && upgrade.state != UpgradeState::Done
        };
        let mut images = self.firmware.of_device(device);
        let done = images.find(|(image, upgrade)| is_done_now(image, upgrade)).map(|(image, _)| image.id);
        drop(images);
        match done {
            Some(image) => {
                Written::of_upgrade(self.step_upgrade((device, image), UpgradeStep::Installed, at))
            }
            None if said_before.as_deref() == Some(version) => Written::Unchanged,
            None => Written::Done,
        }
    }

    fn progress(&mut self, device: DeviceId, step: UpgradeStep<'_>, at: UnixMillis) -> Written {
        match self.firmware.meant(device).max() {
            Some((_, _, image)) => Written::of_upgrade(self.step_upgrade((device, image), step, at)),
            None => Written::NoUpgrade,
        }
    }

    fn advance_upgrades(&mut self, limit: usize, server: &ServerName, at: UnixMillis) -> Advanced {
        let mut advanced = Advanced::default();
        for key in self.firmware.due(at).into_iter().take(limit) {
            // What is before it in the list may have paused its rollout.
            let state = self.firmware.upgrades[&key].state;
            let moved = match state {
                UpgradeState::Waiting => self.send_upgrade(key, server, at),
                UpgradeState::Offered => self.step_upgrade(key, UpgradeStep::Withdrawn, at),
                _ => self.step_upgrade(key, UpgradeStep::TimePasses, at),
            };
            let Ok(moved) = moved else { continue };
            if moved.state != state {
                advanced.moved.push((key.0, moved));
            }
            if moved.commands_changed && !advanced.devices.contains(&key.0) {
                advanced.devices.push(key.0);
            }
            if moved.paused {
                advanced.paused.push(moved.image);
            }
        }
        advanced.more = !self.firmware.due(at).is_empty();
        advanced
    }

    /// Queues the command that offers it, where that is permitted.
    fn send_upgrade(
        &mut self,
        key: (DeviceId, ImageId),
        server: &ServerName,
        at: UnixMillis,
    ) -> Result<UpgradeMoved, NoUpgrade> {
        let (device, image) = key;
        let enabled = self.enabled_row_mut(device).is_some();
        let is_there = |state: UpgradeState| state == UpgradeState::Offered || state.is_under_way();
        let has_another = self.firmware.of_device(device).any(|(_, upgrade)| is_there(upgrade.state));
        let Some(image) = self.firmware.image(image).cloned() else { return Err(NoUpgrade::None) };
        if image.rollout.is_some_and(|rollout| rollout.paused.is_some()) {
            return Err(NoUpgrade::NotStarted);
        }
        let row = self.row(device).ok_or(NoUpgrade::None)?;
        let case = SendCase {
            activated: row.life.active_time.is_some(),
            online: row.life.state == DeviceState::Online,
            open: row.commands.open_count(at),
            open_max: self.open_max.0,
            pending_ttl_s: OFFER_TTL_S,
        };
        let queued: Result<CommandId, _> = SendUpgrade { enabled, has_another, case }.permit().map(|()| {
            let sent = self.send_command(device, (UpgradeOffer::of(&image, server).order(), None), None, at);
            sent.expect("the device is there").expect("it is permitted").id
        });
        let step = queued.map_or_else(UpgradeStep::NotQueued, UpgradeStep::Queued);
        let moved = self.step_upgrade(key, step, at)?;
        Ok(UpgradeMoved { commands_changed: queued.is_ok(), ..moved })
    }
}
