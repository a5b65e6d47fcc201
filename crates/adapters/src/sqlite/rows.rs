//! Rows of the registry as the platform's types, for the writer and for readers.

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::{
        command::{Command, CommandId, CommandKind, CommandState, CommandTopic, Expected, Order},
        damaged::{DamagedDevice, DamagedProduct},
        device::Device,
        log::LogEntry,
        product::{DynamicActivation, Product},
        property::{Properties, PropertyKind},
        retention::RetentionClass,
    },
    ports::StoreError,
};
use rusqlite::{
    Connection, OptionalExtension, Row, params,
    types::{Type, ValueRef},
};

use super::{
    error::store_error,
    key::{DataKey, SealError, SealedRow},
    log_file::NOBODY,
    names::Named,
    pending::Activity,
    schema::{
        Stored, cell,
        log::{LOG, LogRow},
        registry::{
            COMMANDS, CommandRow, DEVICES, DeviceRow, LATEST, LatestRow, MODEL_IS_INTACT, PRODUCTS,
            PROPERTIES, ProductRow, PropertiesRow,
        },
        sql,
    },
    sum,
};

/// A device with its product and the time when it was last heard. To be followed by a `WHERE`. A damaged
/// reference to the product hides no device.
pub(super) fn select_device() -> &'static str {
    sql!(
        "SELECT {}, {}, l.seen FROM devices d LEFT JOIN products p ON p.id = d.product \
         LEFT JOIN latest l ON l.device = d.id AND {} ",
        DEVICES.list(),
        PRODUCTS.list(),
        LATEST.is_intact()
    )
}

/// Reads a row of [`select_device`]; `last_seen_time` without what is not written down yet.
pub(super) fn read_device(row: &Row<'_>) -> rusqlite::Result<Device> {
    let id: i64 = row.get(0)?;
    let read = DeviceRow::intact(row, 0, || format!("the row of device {id}"))?;
    let product = DEVICES.width();
    PRODUCTS.check(row, product, || format!("the row of the product of device {id}"))?;
    let device = device(read, row.get(product + PRODUCTS.position("product_key"))?);
    let seen = cell(row, product + PRODUCTS.width())?;
    Ok(Device { last_seen_time: device.last_seen_time.max(seen), ..device })
}

/// The platform's device, without what the latest values say.
pub(super) fn device(row: DeviceRow, product_key: String) -> Device {
    Device {
        id: row.id,
        ou: row.ou,
        product_key,
        device_key: row.device_key,
        asset_id: row.asset_id,
        name: row.name,
        enabled: row.enabled,
        state: row.state,
        created: row.created,
        active_time: row.active_time,
        last_online_time: row.last_online_time,
        last_offline_time: row.last_offline_time,
        last_seen_time: row.last_seen_time,
        lifetime_s: row.lifetime_s,
    }
}

/// Reads a row of [`select_device`] for a list that goes on after a damaged one.
pub(super) fn listed_device(row: &Row<'_>) -> rusqlite::Result<Result<Device, DamagedDevice>> {
    match read_device(row) {
        Err(error) if is_fault_of_row(&error) => Ok(Err(DamagedDevice {
            id: DeviceId(row.get(0)?),
            product_key: match DEVICES.width() + PRODUCTS.position("product_key") {
                column if row.get_ref(column)? == ValueRef::Null => None,
                column => Some(as_read(row, column)?),
            },
            device_key: as_read(row, DEVICES.position("device_key"))?,
            asset_id: as_read(row, DEVICES.position("asset_id"))?,
            what: text_of(&error),
        })),
        read => read.map(Ok),
    }
}

/// Reads a row of [`select_product`] for a list that goes on after a damaged one.
pub(super) fn listed_product(
    row: &Row<'_>,
    key: &DataKey,
) -> rusqlite::Result<Result<Product, DamagedProduct>> {
    match product(row, key) {
        Err(error) if is_fault_of_row(&error) => Ok(Err(DamagedProduct {
            row: row.get(0)?,
            product_key: as_read(row, PRODUCTS.position("product_key"))?,
            what: text_of(&error),
        })),
        read => read.map(Ok),
    }
}

/// Whether an error is about the row that was read, so that the next one may be in order.
pub(super) fn is_fault_of_row(error: &rusqlite::Error) -> bool {
    matches!(store_error(error), StoreError::Damaged(_)) && error.sqlite_error_code().is_none()
}

/// What is wrong with a row, without saying that this is damage.
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
    let sql = sql!("{} WHERE d.id = ?1", select_device());
    connection.prepare_cached(sql)?.query_row([id.0], read_device).optional()
}

/// A product with its model. To be followed by a `WHERE`.
pub(super) fn select_product() -> &'static str {
    sql!("SELECT {}, p.model_json, {MODEL_IS_INTACT} FROM products p ", PRODUCTS.list())
}

/// Reads a row of [`select_product`].
pub(super) fn product(row: &Row<'_>, key: &DataKey) -> rusqlite::Result<Product> {
    let model = PRODUCTS.width();
    let what = || {
        format!("the row of product {}", as_read(row, PRODUCTS.position("product_key")).unwrap_or_default())
    };
    sum::intact(row, model + 1, what)?;
    let read = ProductRow::intact(row, 0, what)?;
    let sealed_row = SealedRow::Product(&read.product_key);
    let secret = key.open(sealed_row, &read.secret).map_err(unreadable)?;
    Ok(Product {
        secret,
        dynamic_activation: dynamic_activation(&read),
        model_json: row.get(model)?,
        ou: read.ou,
        product_key: read.product_key,
        name: read.name,
        enabled: read.enabled,
        is_suspended: read.suspended.unwrap_or_default(),
        retention: read.retention.as_deref().and_then(RetentionClass::parse).unwrap_or_default(),
        profile: read.profile.unwrap_or_default(),
        short_paths: read.short_paths.unwrap_or_default(),
        data_format: read.data_format.unwrap_or_default(),
        content_code: read.content_code.unwrap_or_default(),
        created: read.created,
    })
}

/// Switch, end and quota of a product.
pub(super) fn dynamic_activation(product: &ProductRow) -> DynamicActivation {
    DynamicActivation {
        enabled: product.activation_enabled,
        ends_at: product.activation_ends_at,
        quota_per_hour: product.activation_quota,
    }
}

/// Latest values of the device as they are written down, and when it was last heard.
pub(super) fn latest(connection: &Connection, device: DeviceId) -> rusqlite::Result<Option<Activity>> {
    let sql = sql!("SELECT {} FROM latest l WHERE l.device = ?1", LATEST.list());
    let what = || format!("the row of latest values of device {}", device.0);
    let read = |row: &Row<'_>| Ok(Activity::from(LatestRow::intact(row, 0, what)?));
    connection.prepare_cached(sql)?.query_row([device.0], read).optional()
}

/// All attributes, or all tags, of a device.
pub(super) fn properties(
    connection: &Connection,
    device: DeviceId,
    kind: PropertyKind,
) -> rusqlite::Result<Properties> {
    let sql = sql!("SELECT {} FROM properties y WHERE y.device = ?1 AND y.kind = ?2", PROPERTIES.list());
    let what = || format!("the row of {} of device {}", kind.plural(), device.0);
    let read = |row: &Row<'_>| {
        let PropertiesRow { json, .. } = PropertiesRow::intact(row, 0, what)?;
        Ok(Properties::from_json(&json))
    };
    let found = connection.prepare_cached(sql)?.query_row(params![device.0, kind.word()], read);
    Ok(found.optional()?.unwrap_or_default())
}

/// Entries of the log. To be followed by a `WHERE`.
pub(super) fn select_log() -> &'static str {
    sql!("SELECT {} FROM log ", LOG.list())
}

/// Reads a row of [`select_log`].
pub(super) fn log_entry(row: &Row<'_>) -> rusqlite::Result<LogEntry> {
    let device: i64 = row.get(0)?;
    let LogRow { device, time, event, identity, reason, code, peer, detail, .. } =
        LogRow::intact(row, 0, || format!("a row in the log of device {device}"))?;
    let device = (device != NOBODY).then_some(DeviceId(device));
    Ok(LogEntry { time, device, identity, event, reason, code, peer, detail })
}

/// Commands. To be followed by a `WHERE`.
pub(super) fn select_commands() -> &'static str {
    sql!("SELECT {} FROM commands c ", COMMANDS.list())
}

/// Reads a row of [`select_commands`].
pub(super) fn read_command(row: &Row<'_>) -> rusqlite::Result<Command> {
    CommandRow::intact(row, 0, || name_of_command(row)).map(command)
}

/// A row of [`select_commands`] for people, as it is read.
pub(super) fn name_of_command(row: &Row<'_>) -> String {
    let [device, id] =
        ["device", "id"].map(|column| as_read(row, COMMANDS.position(column)).unwrap_or_default());
    format!("command {id} of device {device}")
}

/// The platform's command.
pub(super) fn command(row: CommandRow) -> Command {
    let topic = match row.kind {
        CommandKind::Set => CommandTopic::Set,
        CommandKind::Get => CommandTopic::Get,
        CommandKind::Service => CommandTopic::Service(row.service.unwrap_or_default().into()),
        CommandKind::Raw => CommandTopic::Raw,
        CommandKind::Upgrade => CommandTopic::Upgrade,
    };
    let order = Order {
        topic,
        params_json: row.params.into(),
        pending_ttl_s: row.pending_ttl_s,
        timeout_s: row.timeout_s,
        raw: row.raw.map(Into::into),
    };
    Command {
        state: row.state,
        code: row.code,
        data_json: row.data.map(Into::into),
        message: row.message.map(Into::into),
        sent: row.sent,
        ended: row.ended,
        expected: row.expected_at.zip(row.expected_spread).map(|(at, spread)| Expected { at, spread }),
        fetched: row.fetched,
        ..Command::new(CommandId(row.id), order, row.created)
    }
}

/// The row of a new command, without its number.
pub(super) fn new_command(
    device: DeviceId,
    id: CommandId,
    (order, expected): (&Order, Option<Expected>),
    created: UnixMillis,
) -> CommandRow {
    CommandRow {
        n: 0,
        device,
        id: id.0,
        kind: order.topic.kind(),
        service: order.topic.service().map(str::to_owned),
        params: order.params_json.to_string(),
        pending_ttl_s: order.pending_ttl_s,
        timeout_s: order.timeout_s,
        created,
        state: CommandState::Created,
        code: None,
        data: None,
        sent: None,
        ended: None,
        expected_at: expected.map(|expected| expected.at),
        expected_spread: expected.map(|expected| expected.spread),
        fetched: None,
        message: None,
        raw: order.raw.as_deref().map(<[u8]>::to_vec),
    }
}

/// A sealed secret that does not open.
pub(super) fn unreadable(error: SealError) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, Box::new(error))
}
