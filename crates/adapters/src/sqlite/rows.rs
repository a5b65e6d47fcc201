//! Rows of the registry as the platform's types, for the writer and for readers.

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::{
        damaged::{DamagedDevice, DamagedProduct},
        device::Device,
        log::LogEntry,
        product::{DynamicActivation, Product},
    },
    ports::StoreError,
};
use rusqlite::{
    Connection, OptionalExtension, Row,
    types::{Type, ValueRef},
};

use super::{
    error::store_error,
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

/// A device as it is shown; `last_seen_time` without what is not written down yet. To be followed by a
/// `WHERE`. A damaged reference to the product hides no device.
pub(super) const SELECT_DEVICE: &str = concat!(
    "SELECT d.id, d.ou, p.product_key, d.device_key, d.asset_id, d.name, d.enabled, \
     d.state, d.created, d.active_time, d.last_online_time, d.last_offline_time, \
     max(coalesce(d.last_seen_time, l.seen), coalesce(l.seen, d.last_seen_time)), d.lifetime_s, ",
    device_intact!(),
    ", ",
    product_intact!(),
    " FROM devices d LEFT JOIN products p ON p.id = d.product LEFT JOIN latest l \
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

/// Reads a row of [`SELECT_DEVICE`] for a list, which a damaged one does not end.
pub(super) fn listed_device(row: &Row<'_>) -> rusqlite::Result<Result<Device, DamagedDevice>> {
    match device(row) {
        Err(error) if is_fault_of_row(&error) => Ok(Err(DamagedDevice {
            id: DeviceId(row.get(0)?),
            product_key: match row.get_ref(2)? {
                ValueRef::Null => None,
                _ => Some(as_read(row, 2)?),
            },
            device_key: as_read(row, 3)?,
            asset_id: as_read(row, 4)?,
            what: text_of(&error),
        })),
        read => read.map(Ok),
    }
}

/// Reads a row of [`SELECT_PRODUCT`] for a list, which a damaged one does not end.
pub(super) fn listed_product(
    row: &Row<'_>,
    key: &DataKey,
) -> rusqlite::Result<Result<Product, DamagedProduct>> {
    match product(row, key) {
        Err(error) if is_fault_of_row(&error) => Ok(Err(DamagedProduct {
            row: row.get(11)?,
            product_key: as_read(row, 1)?,
            what: text_of(&error),
        })),
        read => read.map(Ok),
    }
}

/// Whether an error is about the row that was read, so that the next one may be in order.
pub(super) fn is_fault_of_row(error: &rusqlite::Error) -> bool {
    matches!(store_error(error), StoreError::Damaged(_)) && error.sqlite_error_code().is_none()
}

/// What is wrong with a row, without the words that this is damage.
pub(super) fn text_of(error: &rusqlite::Error) -> String {
    match store_error(error) {
        StoreError::Damaged(what) => what,
        other => other.to_string(),
    }
}

/// A column as text, whatever it holds: of a damaged row, for people.
pub(super) fn as_read(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
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
    " AND p.model_sum IS row_sum('model', p.id, p.model_json), p.id FROM products p "
);

/// Reads a row of [`SELECT_PRODUCT`].
pub(super) fn product(row: &Row<'_>, key: &DataKey) -> rusqlite::Result<Product> {
    sum::intact(row, 10, || format!("the row of product {}", as_read(row, 1).unwrap_or_default()))?;
    let product_key: String = row.get(1)?;
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
     sum IS row_sum('log', device, n, time, event, identity, reason, code, peer, detail), n FROM log ";

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
