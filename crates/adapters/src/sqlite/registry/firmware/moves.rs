//! What devices do with firmware.

use narrowgate_platform::{
    firmware::{FirmwareMove, FirmwareStep, ImageId, UpgradeState, UpgradeStep, meant},
    ids::{DeviceId, UnixMillis},
    ports::Written,
    rules::happened::UpgradeSaid,
};

use super::{
    super::{
        super::{
            firmware::{self, version_row},
            schema::{
                Stored,
                firmware::{UpgradeRow, VERSIONS, VersionRow},
                insert_or, sql,
            },
        },
        unless_damaged,
    },
    Registry,
};

/// In which order a device means its upgrades: how surely, which has moved last, and the image.
type Order = (u8, UnixMillis, ImageId);

impl Registry {
    pub(in crate::sqlite) fn move_firmware(&mut self, wanted: &FirmwareMove) -> rusqlite::Result<Written> {
        let FirmwareMove { device, session, step, at } = wanted;
        let permitted = match self.standing(*device)? {
            Some(standing) => standing.permit_report(Some(session.login), session.secret_version),
            None => Err(Written::DeviceUnavailable),
        };
        if let Err(refused) = permitted {
            return Ok(refused);
        }
        match step {
            FirmwareStep::Inform { version } => self.inform(*device, version, *at),
            FirmwareStep::Progress { step, desc } => {
                let step = UpgradeStep::Progress { step: *step, desc: desc.as_deref() };
                self.progress(*device, step, *at)
            }
            FirmwareStep::Fetching { image, fetched, percent } => {
                let meant = self.meant(*device)?.into_iter().find(|(of, _)| of.2 == *image);
                match meant {
                    Some((_, row)) => {
                        let said = UpgradeSaid { fetched: Some(*percent), ..UpgradeSaid::default() };
                        let step = (UpgradeStep::Fetching(*fetched), said);
                        self.step_upgrade_saying(&row, step, *at).map(Written::of_upgrade)
                    }
                    None => Ok(Written::NoUpgrade),
                }
            }
        }
    }

    fn step_for(
        &mut self,
        row: &UpgradeRow,
        step: UpgradeStep<'_>,
        at: UnixMillis,
    ) -> rusqlite::Result<Written> {
        self.step_upgrade(row, step, at).map(Written::of_upgrade)
    }

    fn inform(&mut self, device: DeviceId, version: &str, at: UnixMillis) -> rusqlite::Result<Written> {
        let said_before = unless_damaged(version_row(&self.connection, device))?.map(|row| row.version);
        let sql = sql!(
            "{}",
            insert_or(
                &VERSIONS,
                "ON CONFLICT DO UPDATE SET version = excluded.version, said = excluded.said, \
                 sum = excluded.sum"
            )
        );
        VersionRow { device, version: version.to_owned(), said: at }.insert_or(&self.connection, sql)?;
        self.wake_upgrades(device, at)?;
        for row in self.upgrades_of(device)? {
            let image = firmware::image_row_by_number(&self.connection, row.image)?;
            if row.state != UpgradeState::Done && image.is_some_and(|image| image.version == version) {
                return self.step_for(&row, UpgradeStep::Installed, at);
            }
        }
        Ok(if said_before.as_deref() == Some(version) { Written::Unchanged } else { Written::Done })
    }

    fn progress(
        &mut self,
        device: DeviceId,
        step: UpgradeStep<'_>,
        at: UnixMillis,
    ) -> rusqlite::Result<Written> {
        match self.meant(device)?.into_iter().max_by_key(|(order, _)| *order) {
            Some((_, row)) => self.step_for(&row, step, at),
            None => Ok(Written::NoUpgrade),
        }
    }

    /// Those that a device can mean by what it says or fetches; the last one in the order is the one.
    fn meant(&self, device: DeviceId) -> rusqlite::Result<Vec<(Order, UpgradeRow)>> {
        let rows = self.upgrades_of(device)?;
        let is_told = |state: UpgradeState| state == UpgradeState::Offered || state.is_under_way();
        let told = rows.iter().any(|row| is_told(row.state));
        let mut found = Vec::new();
        for row in rows {
            let Some(rank) = meant(row.state, row.failure, told) else { continue };
            if let Some(image) = firmware::image_row_by_number(&self.connection, row.image)? {
                found.push(((rank, row.moved, image.id), row));
            }
        }
        Ok(found)
    }
}
