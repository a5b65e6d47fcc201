//! The table of latest values that was set aside because pages of it are damaged, while its rows are copied
//! into a new one (module `registry::rebuild`): how it is read.
//!
//! A device's row is in the new table, or else in this one. A reader looks into both in one transaction, so
//! that no row is missed that is copied meanwhile. Where a page of this one cannot be read, the newest
//! reports of the device say what stood there.

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::{damaged::DamagedDevice, device::Device},
    rules::latest::LatestPoints,
};
use rusqlite::{Connection, ErrorCode, OptionalExtension};

use super::{
    day_file::TimeSpan,
    files::has_table,
    history,
    pending::Activity,
    readers::Reader,
    rows,
    schema::{
        Stored,
        registry::{LATEST, LatestRow},
        sql,
    },
    volume::Volume,
};

/// Its name.
pub(super) const ASIDE: &str = "latest_aside";

/// Whether there is one.
pub(super) fn stands(registry: &Connection) -> rusqlite::Result<bool> {
    has_table(registry, ASIDE)
}

/// The row of a device in it.
pub(super) fn row(registry: &Connection, device: DeviceId) -> rusqlite::Result<Option<LatestRow>> {
    let sql = sql!("SELECT {} FROM {ASIDE} l WHERE l.device = ?1", LATEST.list());
    let what = || format!("the former row of latest values of device {}", device.0);
    registry.prepare_cached(sql)?.query_row([device.0], |row| LatestRow::intact(row, 0, what)).optional()
}

/// When a device was last heard, by its row in it; `None` too where that cannot be read.
pub(super) fn seen(registry: &Connection, device: DeviceId) -> rusqlite::Result<Option<UnixMillis>> {
    match row(registry, device) {
        Ok(row) => Ok(row.and_then(|row| row.seen)),
        Err(error) if is_corrupt(&error) || rows::is_fault_of_row(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a row is on a damaged page.
pub(super) fn is_corrupt(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
}

/// A device as a reader found it, in the transaction in which it was read, with what this table says.
pub(super) fn heard(registry: &Connection, device: Option<Device>) -> rusqlite::Result<Option<Device>> {
    match device {
        Some(device) if stands(registry)? => with_seen(registry, device).map(Some),
        device => Ok(device),
    }
}

/// The same for a list.
pub(super) fn all_heard(
    registry: &Connection,
    devices: Vec<Result<Device, DamagedDevice>>,
) -> rusqlite::Result<Vec<Result<Device, DamagedDevice>>> {
    if !stands(registry)? {
        return Ok(devices);
    }
    let heard = |device: Result<Device, DamagedDevice>| match device {
        Ok(device) => with_seen(registry, device).map(Ok),
        Err(damaged) => Ok(Err(damaged)),
    };
    devices.into_iter().map(heard).collect()
}

fn with_seen(registry: &Connection, device: Device) -> rusqlite::Result<Device> {
    if has_new_row(registry, device.id)? {
        return Ok(device);
    }
    let seen = seen(registry, device.id)?;
    Ok(Device { last_seen_time: device.last_seen_time.max(seen), ..device })
}

/// Whether a device has a row in the new table.
pub(super) fn has_new_row(registry: &Connection, device: DeviceId) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM latest WHERE device = ?1)";
    registry.prepare_cached(sql)?.query_row([device.0], |row| row.get(0))
}

/// The latest values of a device as they are written down.
pub(super) fn latest(
    reader: &mut Reader,
    files: Vec<(Volume, TimeSpan)>,
    device: DeviceId,
) -> rusqlite::Result<LatestPoints> {
    let found = reader.at_one_moment(|registry| {
        let found = rows::latest(registry, device)?.map(|found| found.points);
        if found.is_some() || !stands(registry)? {
            return Ok(Some(found.unwrap_or_default()));
        }
        match row(registry, device) {
            Ok(row) => Ok(Some(row.map(|row| LatestPoints::from_json(&row.points)).unwrap_or_default())),
            Err(error) if is_corrupt(&error) => Ok(None),
            Err(error) => Err(error),
        }
    })?;
    match found {
        Some(points) => Ok(points),
        None => Ok(of_reports(reader, files, device)?.points),
    }
}

/// What the newest reports of a device come to.
pub(super) fn of_reports(
    reader: &mut Reader,
    files: Vec<(Volume, TimeSpan)>,
    device: DeviceId,
) -> rusqlite::Result<Activity> {
    let mut newest = history::newest(reader, files, device)?;
    // As they came: what arrives later decides.
    newest.sort_by_key(|report| (report.arrival, report.id));
    let mut read = Activity::default();
    for report in newest {
        read.see(report.arrival);
        read.report(&report.points, report.time, report.arrival);
    }
    Ok(read)
}
