//! Images, rollouts and upgrades, as the writer changes them. What a step does stands in
//! `narrowgate_platform::firmware`.

mod moves;
mod offers;

use std::sync::LazyLock;

use narrowgate_platform::{
    firmware::{
        IMAGES_PER_PRODUCT_MAX, Image, ImageId, Moved, NoUpgrade, Rollout, Upgrade, UpgradeState, UpgradeStep,
    },
    ids::{DeviceId, UnixMillis},
    model::command::{Command, CommandTopic},
    ports::{Changed, FirmwareChange, NotDeleted, StoreError, UpgradeMoved},
    rules::happened::{UpgradeSaid, of_upgrade, tells_of},
};
use rusqlite::{OptionalExtension, params};

use super::{
    super::{
        firmware::{self, UNDER_WAY, image_of, read_upgrade, upgrade_of},
        schema::{
            Stored, Update,
            firmware::{IMAGES, ImageRow, UPGRADES, UpgradeRow},
            sql,
        },
    },
    Change, Registry, unless_damaged,
};

/// What a step changes.
static PUT_UPGRADE: LazyLock<Update> = LazyLock::new(|| {
    UPGRADES.update(&["state", "failure", "command", "attempts", "progress", "said", "since", "moved", "due"])
});

/// What changes of a rollout.
static PUT_ROLLOUT: LazyLock<Update> =
    LazyLock::new(|| IMAGES.update(&["since", "share", "paused", "done", "failed"]));

impl Registry {
    pub(in crate::sqlite) fn change_firmware(&mut self, change: &FirmwareChange) -> Change<Changed> {
        let image = |image| Changed::Image(Box::new(image));
        Ok(match *change {
            FirmwareChange::Add(ref new) => self.add_image(new)?.map(image),
            FirmwareChange::Delete { image } => self.delete_image(image)?.map(Changed::ImageDeleted),
            FirmwareChange::Offer { image, to, at } => self.offer_image(image, to, at)?.map(Changed::Offered),
            FirmwareChange::Switch { image: id, on } => self.switch_rollout(id, on)?.map(image),
            FirmwareChange::Advance { limit, ref server, at } => {
                Ok(Changed::Advanced(self.advance_upgrades(limit, server, at)?))
            }
        })
    }

    fn add_image(&mut self, image: &Image) -> Change<Image> {
        let product = "SELECT EXISTS (SELECT 1 FROM products WHERE product_key = ?1)";
        let mut select = self.connection.prepare_cached(product)?;
        if !select.query_row([&image.product_key], |row| row.get::<_, bool>(0))? {
            return Ok(Err(StoreError::Missing { what: "product", key: image.product_key.clone() }));
        }
        let same = sql!("SELECT {} FROM images i WHERE i.product_key = ?1 AND i.version = ?2", IMAGES.list());
        let same = firmware::one_image(&self.connection, same, [&image.product_key, &image.version])?;
        if let Some(same) = same {
            let is_same = (same.size, same.sha256) == (image.size, image.sha256);
            return Ok(is_same.then(|| image_of(&same)).ok_or_else(|| image.is_another()));
        }
        if firmware::image_row(&self.connection, image.id)?.is_some() {
            return Ok(Err(StoreError::Exists { what: "image", key: image.id.to_string() }));
        }
        let count = "SELECT count(*) FROM images WHERE product_key = ?1";
        let count: i64 =
            self.connection.prepare_cached(count)?.query_row([&image.product_key], |row| row.get(0))?;
        if count >= IMAGES_PER_PRODUCT_MAX as i64 {
            return Ok(Err(image.is_one_too_many()));
        }
        let mut row = ImageRow {
            n: 0,
            id: image.id,
            product_key: image.product_key.clone(),
            version: image.version.clone(),
            size: image.size,
            sha256: image.sha256,
            uploaded: image.uploaded,
            since: None,
            share: None,
            paused: None,
            done: 0,
            failed: 0,
        };
        row.n = row.insert_numbered(&self.connection)?;
        row.put_sum(&self.connection)?;
        Ok(Ok(image_of(&row)))
    }

    fn delete_image(&mut self, image: ImageId) -> Change<Result<(), NotDeleted>> {
        let Some(row) = firmware::image_row(&self.connection, image)? else {
            return Ok(Err(no_image(image)));
        };
        let count = |states: &str| {
            let sql = format!("SELECT count(*) FROM upgrades WHERE image = ?1 AND state IN {states}");
            let count: i64 = self.connection.query_row(&sql, [row.n], |row| row.get(0))?;
            Ok::<_, rusqlite::Error>(count.unsigned_abs())
        };
        let under_way = count(UNDER_WAY)?;
        if under_way > 0 {
            return Ok(Ok(Err(NotDeleted::UnderWay(under_way))));
        }
        let goes_on = row.since.is_some() && row.paused.is_none();
        let waiting = count(if goes_on { "('waiting', 'offered')" } else { "('offered')" })?;
        if waiting > 0 {
            return Ok(Ok(Err(NotDeleted::RolloutGoesOn(waiting))));
        }
        self.take_away("upgrades", "DELETE FROM upgrades WHERE image = ?1", [row.n])?;
        self.take_away("images", "DELETE FROM images WHERE n = ?1", [row.n])?;
        Ok(Ok(Ok(())))
    }

    fn switch_rollout(&mut self, image: ImageId, on: bool) -> Change<Image> {
        let Some(row) = firmware::image_row(&self.connection, image)? else {
            return Ok(Err(no_image(image)));
        };
        let Some(mut rollout) = image_of(&row).rollout else { return Ok(Err(image.has_no_rollout())) };
        if on {
            rollout.resume()
        } else {
            rollout.pause()
        };
        Ok(Ok(image_of(&self.put_rollout(row, rollout)?)))
    }

    fn put_rollout(&self, row: ImageRow, rollout: Rollout) -> rusqlite::Result<ImageRow> {
        let Rollout { share, paused, done, failed, since } = rollout;
        let row = ImageRow { since: Some(since), share: share.map(u32::from), paused, done, failed, ..row };
        PUT_ROLLOUT.run(&self.connection, &row)?;
        Ok(row)
    }

    /// The upgrade of a device to an image.
    fn upgrade_row(&self, device: DeviceId, image: i64) -> rusqlite::Result<Option<UpgradeRow>> {
        let sql = sql!("SELECT {} FROM upgrades u WHERE u.image = ?1 AND u.device = ?2", UPGRADES.list());
        self.connection.prepare_cached(sql)?.query_row(params![image, device.0], read_upgrade).optional()
    }

    /// Those of a device, in the order of their images. A row that is not as it was stored is left out: an
    /// error would fail everything that is written together with it, and a switch of an operator.
    fn upgrades_of(&self, device: DeviceId) -> rusqlite::Result<Vec<UpgradeRow>> {
        let sql = sql!("SELECT {} FROM upgrades u WHERE u.device = ?1 ORDER BY u.image", UPGRADES.list());
        let mut select = self.connection.prepare_cached(sql)?;
        let rows = select.query_map([device.0], |row| unless_damaged(read_upgrade(row).map(Some)))?;
        rows.filter_map(Result::transpose).collect()
    }

    /// Whether some device may have one. Where none has, a first login asks for none: nobody else adds any.
    fn may_have_upgrades(&mut self) -> bool {
        if let Some(may_have) = self.may_have_upgrades {
            return may_have;
        }
        let some = "SELECT EXISTS (SELECT 1 FROM upgrades)";
        // Where that cannot be read, each device is looked at.
        let may_have = self.connection.query_row(some, [], |row| row.get(0)).unwrap_or(true);
        self.may_have_upgrades = Some(may_have);
        may_have
    }

    fn put_upgrade(&self, row: &UpgradeRow, upgrade: &Upgrade) -> rusqlite::Result<()> {
        PUT_UPGRADE.run(&self.connection, &row_of(upgrade, row.n, row.image)).map(drop)
    }

    /// Applies a step to an upgrade, with what follows from it.
    fn step_upgrade(
        &mut self,
        row: &UpgradeRow,
        step: UpgradeStep<'_>,
        at: UnixMillis,
    ) -> rusqlite::Result<Result<UpgradeMoved, NoUpgrade>> {
        self.step_upgrade_saying(row, (step, UpgradeSaid::of_step(step)), at)
    }

    /// … of which more is told than the step has.
    fn step_upgrade_saying(
        &mut self,
        row: &UpgradeRow,
        (step, said): (UpgradeStep<'_>, UpgradeSaid<'_>),
        at: UnixMillis,
    ) -> rusqlite::Result<Result<UpgradeMoved, NoUpgrade>> {
        let Some(image) = firmware::image_row_by_number(&self.connection, row.image)? else {
            return Ok(Err(NoUpgrade::None));
        };
        let (device, image_id) = (row.device, image.id);
        let mut upgrade = upgrade_of(row.clone(), image_id);
        let moved = match upgrade.step(step, at) {
            Ok(moved) => moved,
            Err(refused) => return Ok(Err(refused)),
        };
        let Moved { changed, cancel, ended, revived } = moved;
        if changed {
            self.put_upgrade(row, &upgrade)?;
            if tells_of(step, row.state, &upgrade) {
                self.tell(device, &of_upgrade(at, &upgrade, said))?;
            }
        }
        let mut paused = false;
        let counted = image_of(&image).rollout.filter(|_| ended.is_some() || revived);
        if let Some(mut rollout) = counted {
            paused = rollout.note_moved(&moved);
            self.put_rollout(image, rollout)?;
        }
        let commands_changed = cancel.is_some() && !self.cancel_open_commands(device, cancel, at)?.is_empty();
        let (image, Upgrade { state, failure, progress, .. }) = (image_id, upgrade);
        Ok(Ok(UpgradeMoved { image, state, failure, progress, changed, commands_changed, paused }))
    }

    /// What devices, operators and time do to commands moves the upgrades that they offer. Returns what has
    /// become of the last one.
    pub(in crate::sqlite) fn commands_moved(
        &mut self,
        device: DeviceId,
        moved: &[Command],
        at: UnixMillis,
    ) -> rusqlite::Result<Option<UpgradeMoved>> {
        let mut last = None;
        for command in moved.iter().filter(|command| command.order.topic == CommandTopic::Upgrade) {
            let offers = |row: &UpgradeRow| row.command == Some(command.id.0);
            if let Some(row) = self.upgrades_of(device)?.into_iter().find(offers) {
                // Ignored: what a command does is never refused.
                let step = (UpgradeStep::of_command(command), UpgradeSaid::of_command(command));
                let moved = self.step_upgrade_saying(&row, step, at)?;
                last = moved.ok().filter(|moved| moved.changed).or(last);
            }
        }
        Ok(last)
    }

    /// The device is reset or switched off. Returns the upgrades that have ended by it.
    pub(in crate::sqlite) fn stop_upgrades(
        &mut self,
        device: DeviceId,
        at: UnixMillis,
    ) -> rusqlite::Result<Vec<UpgradeMoved>> {
        let mut stopped = Vec::new();
        for row in self.upgrades_of(device)? {
            // An operator's step is never refused, and an image that is damaged stops no switch.
            let step = unless_damaged(self.step_upgrade(&row, UpgradeStep::Stopped, at).map(Some))?;
            stopped.extend(step.and_then(Result::ok).filter(|moved| moved.changed));
        }
        Ok(stopped)
    }

    /// An upgrade is due now that was to be looked at later: its device is there.
    pub(in crate::sqlite) fn wake_upgrades(
        &mut self,
        device: DeviceId,
        at: UnixMillis,
    ) -> rusqlite::Result<()> {
        if !self.may_have_upgrades() {
            return Ok(());
        }
        let waits = |row: &UpgradeRow| row.state == UpgradeState::Waiting && row.due > Some(at);
        for row in self.upgrades_of(device)?.into_iter().filter(waits) {
            PUT_UPGRADE.run(&self.connection, &UpgradeRow { due: Some(at), ..row })?;
        }
        Ok(())
    }
}

fn row_of(upgrade: &Upgrade, n: i64, image: i64) -> UpgradeRow {
    UpgradeRow {
        n,
        image,
        device: upgrade.device,
        state: upgrade.state,
        failure: upgrade.failure,
        command: upgrade.command.map(|id| id.0),
        attempts: upgrade.attempts,
        progress: upgrade.progress.map(i64::from),
        said: upgrade.desc.as_deref().map(str::to_owned),
        since: upgrade.since,
        moved: upgrade.moved,
        due: upgrade.due,
    }
}

fn no_image(image: ImageId) -> StoreError {
    image.is_missing()
}
