//! Offers of operators, and what time does to upgrades.

use narrowgate_platform::{
    firmware::{
        ImageId, NoUpgrade, NotQueued, OFFER_TTL_S, Rollout, SendUpgrade, ServerName, Upgrade, UpgradeOffer,
        UpgradeState, UpgradeStep, is_in_share,
    },
    ids::{DeviceId, UnixMillis},
    model::device::DeviceState,
    ports::{Advanced, OfferTo, Offered, UpgradeMoved},
    rules::commands::SendCase,
};
use rusqlite::params;

use super::{
    super::{
        super::{
            firmware::{self, UNDER_WAY, image_of, images_due, version_row},
            schema::{
                Stored,
                firmware::{ImageRow, UPGRADES, UpgradeRow},
                sql,
            },
        },
        may_connect, missing, unless_damaged,
    },
    Change, Registry, no_image, row_of,
};

/// An offer that is being made.
struct Offer<'a> {
    image: &'a ImageRow,
    /// Also to a device whose upgrade has ended.
    again: bool,
    at: UnixMillis,
    offered: Offered,
}

impl Registry {
    pub(super) fn offer_image(&mut self, image: ImageId, to: OfferTo, at: UnixMillis) -> Change<Offered> {
        let Some(row) = firmware::image_row(&self.connection, image)? else {
            return Ok(Err(no_image(image)));
        };
        let found = image_of(&row);
        match to {
            OfferTo::Device(device) => {
                let Some((_, product)) = self.device_and_product(device)? else {
                    return Ok(Err(missing(device)));
                };
                if product.product_key != row.product_key {
                    return Ok(Err(found.is_of_another_product()));
                }
                let row = self.begin_rollout(row, None, at)?;
                let offered = Offered { chosen: 1, of: 1, ..Offered::default() };
                let mut offer = Offer { image: &row, again: true, at, offered };
                self.offer_to(device, &mut offer)?;
                Ok(Ok(offer.offered))
            }
            OfferTo::Share { percent, after, limit } => {
                let share = found.rollout.and_then(|rollout| rollout.share);
                if let Some(share) = share.filter(|share| *share > percent) {
                    return Ok(Err(found.has_greater_share(share)));
                }
                let devices = self.devices_after(&row.product_key, after, limit)?;
                let row = self.begin_rollout(row, Some(percent), at)?;
                let mut offer = Offer { image: &row, again: false, at, offered: Offered::default() };
                for device in devices.iter().filter(|device| is_in_share(**device, image, percent)) {
                    offer.offered.chosen += 1;
                    self.offer_to(*device, &mut offer)?;
                }
                offer.offered.of = devices.len() as u64;
                offer.offered.next = devices.last().copied().filter(|_| devices.len() == limit);
                Ok(Ok(offer.offered))
            }
        }
    }

    fn devices_after(
        &self,
        product_key: &str,
        after: Option<DeviceId>,
        limit: usize,
    ) -> rusqlite::Result<Vec<DeviceId>> {
        let sql = "SELECT id FROM devices WHERE product = (SELECT id FROM products WHERE product_key = ?1) \
                   AND id > ?2 ORDER BY id LIMIT ?3";
        let values = params![
            product_key,
            after.map_or(i64::MIN, |device| device.0),
            i64::try_from(limit).unwrap_or(i64::MAX)
        ];
        let mut select = self.connection.prepare_cached(sql)?;
        select.query_map(values, |row| row.get(0).map(DeviceId))?.collect()
    }

    fn begin_rollout(&self, row: ImageRow, share: Option<u8>, at: UnixMillis) -> rusqlite::Result<ImageRow> {
        let before = image_of(&row).rollout;
        let mut rollout = before.unwrap_or_else(|| Rollout::new(at));
        rollout.share = share.or(rollout.share);
        if before == Some(rollout) { Ok(row) } else { self.put_rollout(row, rollout) }
    }

    fn offer_to(&mut self, device: DeviceId, offer: &mut Offer<'_>) -> rusqlite::Result<()> {
        let (image, at) = (offer.image, offer.at);
        let said = unless_damaged(version_row(&self.connection, device))?;
        let has_it = said.is_some_and(|said| said.version == image.version);
        match self.upgrade_row(device, image.n)? {
            None => {
                let upgrade = if has_it { Upgrade::had } else { Upgrade::new }(device, image.id, at);
                let mut row = row_of(&upgrade, 0, image.n);
                self.may_have_upgrades = Some(true);
                row.n = row.insert_numbered(&self.connection)?;
                row.put_sum(&self.connection)?;
            }
            Some(_) if has_it => {}
            Some(row) if offer.again && row.state.has_ended() => {
                // Ignored: an operator's offer is never refused.
                let _ = self.step_upgrade(&row, UpgradeStep::OfferedAgain, at)?;
            }
            Some(row) => {
                let is_open = !row.state.has_ended();
                offer.offered.again += u64::from(is_open);
                offer.offered.never_seen += u64::from(is_open && self.was_never_seen(device)?);
                return Ok(());
            }
        }
        if has_it {
            offer.offered.have_it += 1;
            return Ok(());
        }
        offer.offered.devices += 1;
        offer.offered.never_seen += u64::from(self.was_never_seen(device)?);
        for other in self.upgrades_of(device)?.into_iter().filter(|other| other.image != image.n) {
            let moved = self.step_upgrade(&other, UpgradeStep::Cancelled, at)?;
            let queues = &mut offer.offered.queues;
            if moved.is_ok_and(|moved| moved.commands_changed) && !queues.contains(&device) {
                queues.push(device);
            }
        }
        Ok(())
    }

    /// Whether a device waits for its first login.
    fn was_never_seen(&self, device: DeviceId) -> rusqlite::Result<bool> {
        let sql = "SELECT active_time IS NULL FROM devices WHERE id = ?1";
        self.connection.prepare_cached(sql)?.query_row([device.0], |row| row.get(0))
    }

    pub(super) fn advance_upgrades(
        &mut self,
        limit: usize,
        server: &ServerName,
        at: UnixMillis,
    ) -> rusqlite::Result<Advanced> {
        let mut advanced = Advanced::default();
        for (device, image) in self.upgrades_due(limit, at)? {
            // What is before it in the list may have changed it.
            let Some(row) = self.upgrade_row(device, image)? else { continue };
            let moved = match row.state {
                UpgradeState::Waiting => self.send_upgrade(&row, server, at)?,
                UpgradeState::Offered => self.step_upgrade(&row, UpgradeStep::Withdrawn, at)?,
                _ => self.step_upgrade(&row, UpgradeStep::TimePasses, at)?,
            };
            let Ok(moved) = moved else { continue };
            if moved.state != row.state {
                advanced.moved.push((device, moved));
            }
            if moved.commands_changed && !advanced.devices.contains(&device) {
                advanced.devices.push(device);
            }
            if moved.paused {
                advanced.paused.push(moved.image);
            }
        }
        advanced.more = !images_due(&self.connection, at)?.is_empty();
        Ok(advanced)
    }

    /// The first upgrades that are due: their devices, and the numbers of their images.
    fn upgrades_due(&self, limit: usize, at: UnixMillis) -> rusqlite::Result<Vec<(DeviceId, i64)>> {
        let goes_on = sql!(
            "SELECT u.device FROM upgrades u WHERE u.image = ?1 AND u.due <= ?2 AND {} \
             ORDER BY u.due, u.device LIMIT ?3",
            UPGRADES.is_intact()
        );
        let is_paused = sql!(
            "SELECT u.device FROM upgrades u WHERE u.image = ?1 AND \
             (u.state = 'offered' OR (u.state IN {UNDER_WAY} AND u.due <= ?2)) AND {} \
             ORDER BY u.due, u.device LIMIT ?3",
            UPGRADES.is_intact()
        );
        let mut due = Vec::new();
        for image in images_due(&self.connection, at)? {
            let row = firmware::image_row_by_number(&self.connection, image)?;
            let sql = if row.is_some_and(|row| row.paused.is_some()) { is_paused } else { goes_on };
            let room = i64::try_from(limit - due.len()).unwrap_or(i64::MAX);
            let mut select = self.connection.prepare_cached(sql)?;
            let found = select.query_map(params![image, at.0, room], |row| row.get(0).map(DeviceId))?;
            for device in found {
                due.push((device?, image));
            }
            if due.len() >= limit {
                break;
            }
        }
        Ok(due)
    }

    /// Queues the command that offers it, where that is permitted.
    fn send_upgrade(
        &mut self,
        row: &UpgradeRow,
        server: &ServerName,
        at: UnixMillis,
    ) -> rusqlite::Result<Result<UpgradeMoved, NoUpgrade>> {
        let device = row.device;
        let Some(image) = firmware::image_row_by_number(&self.connection, row.image)? else {
            return Ok(Err(NoUpgrade::None));
        };
        if image.paused.is_some() {
            return Ok(Err(NoUpgrade::NotStarted));
        }
        let has_another = sql!(
            "SELECT EXISTS (SELECT 1 FROM upgrades WHERE device = ?1 AND \
             (state = 'offered' OR state IN {UNDER_WAY}))"
        );
        let has_another =
            self.connection.prepare_cached(has_another)?.query_row([device.0], |row| row.get(0))?;
        // A damaged device counts as switched off.
        let found = unless_damaged(self.device_and_product(device))?;
        let case = SendCase {
            activated: found.as_ref().is_some_and(|(device, _)| device.active_time.is_some()),
            online: found.as_ref().is_some_and(|(device, _)| device.state == DeviceState::Online),
            open: self.count_commands_open_at(device, at)?,
            open_max: self.open_commands_max,
            pending_ttl_s: OFFER_TTL_S,
        };
        let enabled = found.is_some_and(|(device, product)| device.enabled && may_connect(&product));
        let permitted = SendUpgrade { enabled, has_another, case }.permit();
        let step = match permitted {
            Err(why) => UpgradeStep::NotQueued(why),
            Ok(()) => {
                let order = UpgradeOffer::of(&image_of(&image), server).order();
                match self.send_command(device, (&order, None), None, at)? {
                    Ok(Ok(command)) => UpgradeStep::Queued(command.id),
                    // A row among its commands is damaged, so that they are more than they seem.
                    _ => UpgradeStep::NotQueued(NotQueued::Busy),
                }
            }
        };
        let commands_changed = matches!(step, UpgradeStep::Queued(_));
        let moved = self.step_upgrade(row, step, at)?;
        Ok(moved.map(|moved| UpgradeMoved { commands_changed, ..moved }))
    }
}
