//! What is read of firmware in the registry, by readers and by the writer.

use narrowgate_platform::{
    firmware::{Image, ImageId, Rollout, Upgrade, UpgradeFailure, UpgradeState},
    ids::{DeviceId, DeviceName, UnixMillis},
    model::command::CommandId,
    paging::{Collector, DamagedRows, Page, Part, Place},
    ports::{FirmwareFound, FirmwareQuery, OfferedUpgrade},
};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::{
    VALUES_MAX,
    error::store_error,
    rows,
    schema::{
        Stored, cell,
        firmware::{IMAGES, ImageRow, UPGRADES, UpgradeRow, VERSIONS, VersionRow},
        sql,
    },
};

/// States in which a device is at work, as SQL lists them.
pub(super) const UNDER_WAY: &str = "('sent', 'accepted', 'downloading', 'verifying', 'burning')";

/// Reads what a query asks for.
pub(super) fn read(connection: &Connection, query: FirmwareQuery) -> rusqlite::Result<FirmwareFound> {
    Ok(match query {
        FirmwareQuery::Images { product_key } => {
            FirmwareFound::Images(images(connection, product_key.as_deref())?)
        }
        FirmwareQuery::Image { image } => {
            FirmwareFound::Image(image_row(connection, image)?.map(|row| image_of(&row)))
        }
        FirmwareQuery::Device { device } => FirmwareFound::Device(of_device(connection, device)?),
        FirmwareQuery::Version { device } => {
            FirmwareFound::Version(version_row(connection, device)?.map(|row| row.version))
        }
        FirmwareQuery::Counts { image } => FirmwareFound::Counts(counts(connection, image)?),
        FirmwareQuery::Failures { image, limit } => {
            FirmwareFound::Failures(failures(connection, image, limit)?)
        }
        FirmwareQuery::Upgrades { image, part } => {
            FirmwareFound::Upgrades(upgrades(connection, image, part)?)
        }
        FirmwareQuery::Due { at } => FirmwareFound::Due(!images_due(connection, at)?.is_empty()),
    })
}

fn images(connection: &Connection, product_key: Option<&str>) -> rusqlite::Result<Page<Image>> {
    let sql =
        sql!("SELECT {} FROM images i WHERE ?1 IS NULL OR i.product_key = ?1 ORDER BY i.n", IMAGES.list());
    let mut damaged = DamagedRows::default();
    let mut items = Vec::new();
    let mut select = connection.prepare_cached(sql)?;
    let mut found = select.query([product_key])?;
    while let Some(row) = found.next()? {
        match read_image(row, 0) {
            Ok(row) => items.push(image_of(&row)),
            Err(error) if rows::is_fault_of_row(&error) => damaged.add(rows::text_of(&error)),
            Err(error) => return Err(error),
        }
    }
    Ok(Page { items, next: None, damaged })
}

/// The row of an image.
pub(super) fn image_row(connection: &Connection, image: ImageId) -> rusqlite::Result<Option<ImageRow>> {
    let sql = sql!("SELECT {} FROM images i WHERE i.id = ?1", IMAGES.list());
    one_image(connection, sql, [image.as_str()])
}

/// The row of an image by its number.
pub(super) fn image_row_by_number(connection: &Connection, n: i64) -> rusqlite::Result<Option<ImageRow>> {
    let sql = sql!("SELECT {} FROM images i WHERE i.n = ?1", IMAGES.list());
    one_image(connection, sql, [n])
}

/// One row of images.
pub(super) fn one_image(
    connection: &Connection,
    sql: &str,
    values: impl Params,
) -> rusqlite::Result<Option<ImageRow>> {
    connection.prepare_cached(sql)?.query_row(values, |row| read_image(row, 0)).optional()
}

fn read_image(row: &Row<'_>, first: usize) -> rusqlite::Result<ImageRow> {
    let id = row.get_ref(first + IMAGES.position("id"))?.as_str().unwrap_or("?").to_owned();
    ImageRow::intact(row, first, || format!("the row of firmware image {id}"))
}

/// The platform's image.
pub(super) fn image_of(row: &ImageRow) -> Image {
    let rollout = row.since.map(|since| Rollout {
        share: row.share.map(|share| share.min(100) as u8),
        paused: row.paused,
        done: row.done,
        failed: row.failed,
        since,
    });
    Image {
        id: row.id,
        product_key: row.product_key.clone(),
        version: row.version.clone(),
        size: row.size,
        sha256: row.sha256,
        uploaded: row.uploaded,
        rollout,
    }
}

fn of_device(connection: &Connection, device: DeviceId) -> rusqlite::Result<Vec<OfferedUpgrade>> {
    let sql = sql!(
        "SELECT {}, {} FROM upgrades u JOIN images i ON i.n = u.image WHERE u.device = ?1 \
         ORDER BY u.since DESC, i.n DESC",
        UPGRADES.list(),
        IMAGES.list()
    );
    let read = |row: &Row<'_>| {
        let both = read_upgrade(row).and_then(|upgrade| Ok((upgrade, read_image(row, UPGRADES.width())?)));
        match both {
            Ok((upgrade, image)) => {
                let image = image_of(&image);
                Ok(Some(OfferedUpgrade { upgrade: upgrade_of(upgrade, image.id), image }))
            }
            // One such row must not keep the device from its others.
            Err(error) if rows::is_fault_of_row(&error) => {
                let error = store_error(&error);
                tracing::error!(%error, "an upgrade is left out of those of its device");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    };
    let mut select = connection.prepare_cached(sql)?;
    let found = select.query_map([device.0], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(found.into_iter().flatten().collect())
}

/// Reads a row of upgrades from the first columns.
pub(super) fn read_upgrade(row: &Row<'_>) -> rusqlite::Result<UpgradeRow> {
    let device: i64 = row.get(UPGRADES.position("device")).unwrap_or_default();
    UpgradeRow::intact(row, 0, || format!("the row of an upgrade of device {device}"))
}

/// The platform's upgrade.
pub(super) fn upgrade_of(row: UpgradeRow, image: ImageId) -> Upgrade {
    Upgrade {
        device: row.device,
        image,
        state: row.state,
        failure: row.failure,
        command: row.command.map(CommandId),
        attempts: row.attempts,
        progress: row.progress.map(|step| step.clamp(-5, 100) as i8),
        desc: row.said.map(Into::into),
        since: row.since,
        moved: row.moved,
        due: row.due,
    }
}

/// What a device has said last.
pub(super) fn version_row(connection: &Connection, device: DeviceId) -> rusqlite::Result<Option<VersionRow>> {
    let sql = sql!("SELECT {} FROM versions v WHERE v.device = ?1", VERSIONS.list());
    let what = || format!("the firmware's version of device {}", device.0);
    let read = |row: &Row<'_>| VersionRow::intact(row, 0, what);
    connection.prepare_cached(sql)?.query_row([device.0], read).optional()
}

fn counts(connection: &Connection, image: ImageId) -> rusqlite::Result<Vec<(UpgradeState, u64)>> {
    let sql = "SELECT u.state, count(*) FROM upgrades u JOIN images i ON i.n = u.image WHERE i.id = ?1 \
               GROUP BY u.state";
    let mut select = connection.prepare_cached(sql)?;
    let read = |row: &Row<'_>| Ok((cell::<UpgradeState>(row, 0)?, row.get::<_, i64>(1)?.unsigned_abs()));
    let mut found = select.query_map([image.as_str()], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    found.sort_unstable();
    Ok(found)
}

/// Their index finds those that failed, in the order of their devices; only their rows say why.
fn failures(
    connection: &Connection,
    image: ImageId,
    limit: usize,
) -> rusqlite::Result<Vec<(UpgradeFailure, u64)>> {
    let sql = "SELECT failure, count(*) FROM (SELECT u.failure FROM images i CROSS JOIN upgrades u \
               INDEXED BY upgrades_state ON u.image = i.n AND u.state = 'failed' WHERE i.id = ?1 \
               ORDER BY u.device LIMIT ?2) WHERE failure IS NOT NULL GROUP BY failure";
    let mut select = connection.prepare_cached(sql)?;
    let read = |row: &Row<'_>| Ok((cell::<UpgradeFailure>(row, 0)?, row.get::<_, i64>(1)?.unsigned_abs()));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = select.query_map(params![image.as_str(), limit], read)?;
    let mut found = found.collect::<rusqlite::Result<Vec<_>>>()?;
    found.sort_unstable();
    Ok(found)
}

fn upgrades(
    connection: &Connection,
    image: ImageId,
    part: Part,
) -> rusqlite::Result<Page<(DeviceName, Upgrade)>> {
    let sql = sql!(
        "SELECT {}, i.product_key, d.device_key FROM images i CROSS JOIN upgrades u ON u.image = i.n \
         JOIN devices d ON d.id = u.device WHERE i.id = ?1 AND u.device > ?2 ORDER BY u.device",
        UPGRADES.list()
    );
    let after = part.after.map_or(i64::MIN, |place| place.0[0]);
    let mut select = connection.prepare_cached(sql)?;
    let mut found = select.query(params![image.as_str(), after])?;
    let mut page = Collector::new(part.limit.min(VALUES_MAX));
    while let Some(row) = found.next()? {
        match read_upgrade(row) {
            Ok(upgrade) => {
                let width = UPGRADES.width();
                let name = DeviceName { product_key: row.get(width)?, device_key: row.get(width + 1)? };
                let place = Place([upgrade.device.0, 0, 0, 0]);
                if !page.take(place, (name, upgrade_of(upgrade, image))) {
                    break;
                }
            }
            Err(error) if rows::is_fault_of_row(&error) => page.note_damaged(rows::text_of(&error)),
            Err(error) => return Err(error),
        }
    }
    Ok(page.finish())
}

/// The numbers of the images with an upgrade that something is to be done with at this time, oldest first.
/// A damaged row is never due: it would be for ever.
pub(super) fn images_due(connection: &Connection, at: UnixMillis) -> rusqlite::Result<Vec<i64>> {
    let sql = sql!(
        "SELECT i.n FROM images i WHERE i.since IS NOT NULL AND {image} AND CASE WHEN i.paused IS NULL \
         THEN EXISTS (SELECT 1 FROM upgrades u WHERE u.image = i.n AND u.due <= ?1 AND {upgrade}) \
         ELSE EXISTS (SELECT 1 FROM upgrades u WHERE u.image = i.n AND u.state = 'offered' AND {upgrade}) \
         OR EXISTS (SELECT 1 FROM upgrades u WHERE u.image = i.n AND u.state IN {UNDER_WAY} \
         AND u.due <= ?1 AND {upgrade}) END ORDER BY i.n",
        image = IMAGES.is_intact(),
        upgrade = UPGRADES.is_intact()
    );
    connection.prepare_cached(sql)?.query_map([at.0], |row| row.get(0))?.collect()
}
