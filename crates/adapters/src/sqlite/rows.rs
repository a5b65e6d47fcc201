//! Rows of the registry as the platform's types, for the writer and for readers.

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::{
        device::Device,
        log::LogEntry,
        product::{DynamicActivation, Product},
    },
};
use rusqlite::{Connection, OptionalExtension, Row, types::Type};

use super::{
    key::{DataKey, SealedRow},
    names::Named,
    sum,
};
use crate::latest::LatestPoints;

/// SQL: whether row `d` of the devices is as it was stored; the same values as in the trigger.
macro_rules! device_intact {
    () => {
        "d.sum IS row_sum('device', d.id, d.product, d.ou, d.device_key, d.asset_id, d.name, d.secret, \
         d.secret_version, d.enabled, d.state, d.created, d.active_time, d.last_online_time, d.last_offline_time, \
         d.last_seen_time, d.lifetime_s)"
    };
}
pub(super) use device_intact;

/// SQL: whether row `p` of the products is as it was stored, but for its model.
macro_rules! product_intact {
    () => {
        "p.sum IS row_sum('product', p.id, p.ou, p.product_key, p.name, p.secret, p.enabled, p.activation_enabled, \
         p.activation_ends_at, p.activation_quota, p.created, p.issued_hour, p.issued_count)"
    };
}
pub(super) use product_intact;

/// A device as it is shown; `last_seen_time` without what is not written down yet. To be followed by a `WHERE`.
pub(super) const SELECT_DEVICE: &str = concat!(
    "SELECT d.id, d.ou, p.product_key, d.device_key, d.asset_id, d.name, d.enabled, \
     d.state, d.created, d.active_time, d.last_online_time, d.last_offline_time, \
     max(coalesce(d.last_seen_time, l.seen), coalesce(l.seen, d.last_seen_time)), d.lifetime_s, ",
    device_intact!(),
    ", ",
    product_intact!(),
    " FROM devices d JOIN products p ON p.id = d.product LEFT JOIN latest l \
     ON l.device = d.id AND l.sum IS row_sum('latest', l.device, l.seen, l.points) "
);

/// Reads a row of [`SELECT_DEVICE`].
pub(super) fn device(row: &Row<'_>) -> rusqlite::Result<Device> {
    let id = DeviceId(row.get(0)?);
    sum::intact(row, 14, || format!("the row of device {}", id.0))?;
    sum::intact(row, 15, || format!("the row of the product of device {}", id.0))?;
    Ok(Device {
        id,
        ou: row.get(1)?,
        product_key: row.get(2)?,
        device_key: row.get(3)?,
        asset_id: row.get(4)?,
        name: row.get(5)?,
        enabled: row.get(6)?,
        state: named(row, 7)?,
        created: UnixMillis(row.get(8)?),
        active_time: time(row, 9)?,
        last_online_time: time(row, 10)?,
        last_offline_time: time(row, 11)?,
        last_seen_time: time(row, 12)?,
        lifetime_s: row.get(13)?,
    })
}

/// One device.
pub(super) fn device_by_id(connection: &Connection, id: DeviceId) -> rusqlite::Result<Option<Device>> {
    let sql = format!("{SELECT_DEVICE} WHERE d.id = ?1");
    connection.prepare_cached(&sql)?.query_row([id.0], device).optional()
}

/// Columns of a product, with its secret sealed.
pub(super) const SELECT_PRODUCT: &str = concat!(
    "SELECT p.ou, p.product_key, p.name, p.secret, p.enabled, p.activation_enabled, \
     p.activation_ends_at, p.activation_quota, p.model_json, p.created, ",
    product_intact!(),
    " AND p.model_sum IS row_sum('model', p.id, p.model_json) FROM products p "
);

/// Reads a row of [`SELECT_PRODUCT`].
pub(super) fn product(row: &Row<'_>, key: &DataKey) -> rusqlite::Result<Product> {
    let product_key: String = row.get(1)?;
    sum::intact(row, 10, || format!("the row of product {product_key}"))?;
    let sealed = row.get_ref(3)?.as_blob()?;
    let secret = key.open(SealedRow::Product(&product_key), sealed).map_err(|error| unreadable(3, error))?;
    Ok(Product {
        ou: row.get(0)?,
        product_key,
        name: row.get(2)?,
        secret,
        enabled: row.get(4)?,
        dynamic_activation: dynamic_activation(row, 5)?,
        model_json: row.get(8)?,
        created: UnixMillis(row.get(9)?),
    })
}

/// Switch, end and quota in three columns from `first` on.
pub(super) fn dynamic_activation(row: &Row<'_>, first: usize) -> rusqlite::Result<DynamicActivation> {
    Ok(DynamicActivation {
        enabled: row.get(first)?,
        ends_at: time(row, first + 1)?,
        quota_per_hour: row.get(first + 2)?,
    })
}

/// Latest values of the device, and when it was last heard.
pub(super) const SELECT_LATEST: &str = "SELECT points, sum IS row_sum('latest', device, seen, points), seen \
     FROM latest WHERE device = ?1";

/// Latest values from a row of [`SELECT_LATEST`].
pub(super) fn latest(row: &Row<'_>, device: DeviceId) -> rusqlite::Result<LatestPoints> {
    sum::intact(row, 1, || format!("the row of latest values of device {}", device.0))?;
    Ok(LatestPoints::from_json(row.get_ref(0)?.as_str()?))
}

/// Columns of the log.
pub(super) const SELECT_LOG: &str = "SELECT time, device, identity, event, reason, code, peer, detail, \
     sum IS row_sum('log', device, n, time, event, identity, reason, code, peer, detail) FROM log ";

/// Reads a row of [`SELECT_LOG`].
pub(super) fn log_entry(row: &Row<'_>) -> rusqlite::Result<LogEntry> {
    let device: i64 = row.get(1)?;
    sum::intact(row, 8, || format!("a row in the log of device {device}"))?;
    Ok(LogEntry {
        time: UnixMillis(row.get(0)?),
        device: (device != super::registry::NOBODY).then_some(DeviceId(device)),
        identity: row.get(2)?,
        event: named(row, 3)?,
        reason: match row.get_ref(4)?.as_str_or_null()? {
            Some(word) => Some(Named::of_word(word)?),
            None => None,
        },
        code: row.get(5)?,
        peer: row.get(6)?,
        detail: row.get(7)?,
    })
}

/// The variant whose word is in a column.
pub(super) fn named<T: Named>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    Ok(T::of_word(row.get_ref(column)?.as_str()?)?)
}

/// A time, where there is one.
pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<UnixMillis>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(UnixMillis))
}

/// A sealed secret that does not open.
pub(super) fn unreadable(column: usize, error: super::key::SealError) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
}
