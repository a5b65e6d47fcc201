//! What readers ask of the registry and of the logs.

use narrowgate_platform::{
    ids::{DeviceId, DeviceName},
    model::{
        command::{Command, CommandId, OpenCommand},
        credential::{CredentialLookup, Credentials},
        damaged::{DamagedDevice, DamagedProduct},
        device::Device,
        log::{LogClass, LogEntry, LogEvent},
        product::Product,
    },
    paging::{Collector, Page, Part, Place},
    ports::{DeviceQuery, OnlineDevice, PresenceChange, SimilarNames},
    rules::similar::find_ignoring_case,
};
use rusqlite::{OptionalExtension, Row, ToSql, params};

use super::{
    aside,
    error::store_error,
    key::{DataKey, SealedRow},
    log_file::NOBODY,
    names::Named,
    options::SqliteOptions,
    readers::{KnownProduct, Reader},
    rows::{self, select_commands, select_device, select_log, select_product},
    schema::{
        Stored,
        log::{LOG, PRESENCE, PresenceRow},
        registry::{COMMANDS, DEVICES, DeviceRow, PRODUCTS, ProductRow},
        sql,
    },
};

/// Devices on one page at most.
const PAGE_MAX: usize = 1000;

/// Both secrets and all switches in one look-up. Where there is no device, as much is decrypted for nobody,
/// so that the time does not reveal which names exist. What is known of the product is taken from the last
/// look-up that read it, as long as its row has the same sum.
pub(super) fn credentials(
    reader: &Reader,
    key: &DataKey,
    product_key: &str,
    device_key: &str,
) -> rusqlite::Result<CredentialLookup> {
    let sql = sql!(
        "SELECT {}, p.id, p.sum FROM products p \
         LEFT JOIN devices d ON d.device_key = ?2 AND d.ou = p.ou AND d.product = p.id \
         WHERE p.product_key = ?1",
        DEVICES.list()
    );
    let read = |row: &Row<'_>| {
        let (product, sum) = (row.get(DEVICES.width())?, row.get(DEVICES.width() + 1)?);
        let product =
            reader.known_product(product, sum, || known_product(reader, key, (product, product_key)))?;
        let Some(id) = row.get::<_, Option<i64>>(0)? else { return Ok(CredentialLookup::DeviceUnknown) };
        let device = DeviceRow::intact(row, 0, || format!("the row of device {id}"))?;
        let sealed = SealedRow::Device(&device.asset_id);
        let device_secret = key.open(sealed, &device.secret).map_err(rows::unreadable)?;
        Ok(CredentialLookup::Found(Box::new(Credentials {
            device: device.id,
            asset_id: device.asset_id,
            device_secret,
            secret_version: device.secret_version,
            device_enabled: device.enabled,
            activated: device.active_time.is_some(),
            dynamic_activation: product.dynamic_activation.clone(),
            product_secret: product.secret.clone(),
            product_enabled: product.enabled,
            unit_suspended: product.is_suspended,
            profile: product.profile,
        })))
    };
    let found = reader.prepare(sql)?.query_row([product_key, device_key], read).optional()?;
    let found = found.unwrap_or(CredentialLookup::ProductUnknown);
    if !matches!(found, CredentialLookup::Found(_)) {
        key.open_nobody();
    }
    Ok(found)
}

/// What look-ups need of a product, from its row, and the sum of the row.
fn known_product(
    reader: &Reader,
    key: &DataKey,
    (id, product_key): (i64, &str),
) -> rusqlite::Result<(i64, KnownProduct)> {
    let sql = sql!("SELECT {} FROM products p WHERE p.id = ?1", PRODUCTS.list());
    reader.prepare(sql)?.query_row([id], |row| {
        let product = ProductRow::intact(row, 0, || format!("the row of product {product_key}"))?;
        let sealed = SealedRow::Product(product_key);
        let known = KnownProduct {
            secret: key.open(sealed, &product.secret).map_err(rows::unreadable)?,
            enabled: product.enabled,
            is_suspended: product.suspended.unwrap_or_default(),
            profile: product.profile.unwrap_or_default(),
            dynamic_activation: rows::dynamic_activation(&product),
        };
        Ok((row.get(PRODUCTS.width() - 1)?, known))
    })
}

pub(super) fn product(
    reader: &Reader,
    key: &DataKey,
    product_key: &str,
) -> rusqlite::Result<Option<Product>> {
    let sql = sql!("{} WHERE p.product_key = ?1", select_product());
    reader.prepare(sql)?.query_row([product_key], |row| rows::product(row, key)).optional()
}

pub(super) fn products(
    reader: &Reader,
    key: &DataKey,
) -> rusqlite::Result<Vec<Result<Product, DamagedProduct>>> {
    let mut select = reader.prepare(sql!("{} ORDER BY p.id", select_product()))?;
    select.query_map([], |row| rows::listed_product(row, key))?.collect()
}

pub(super) fn device(reader: &Reader, name: &DeviceName) -> rusqlite::Result<Option<Device>> {
    let sql = sql!("{} WHERE d.device_key = ?2 AND d.ou = p.ou AND p.product_key = ?1", select_device());
    reader.at_one_moment(|registry| {
        let names = [&name.product_key, &name.device_key];
        let found = registry.prepare_cached(sql)?.query_row(names, rows::read_device).optional()?;
        aside::heard(registry, found)
    })
}

pub(super) fn device_by_id(reader: &Reader, id: DeviceId) -> rusqlite::Result<Option<Device>> {
    reader.at_one_moment(|registry| aside::heard(registry, rows::device_by_id(registry, id)?))
}

/// Names that exist and differ from this one in case only, if at all. A few index look-ups.
pub(super) fn similar_names(reader: &Reader, name: &DeviceName) -> rusqlite::Result<SimilarNames> {
    let first_from = |sql: &'static str| {
        move |from: &str| reader.prepare(sql)?.query_row([from], |row| row.get::<_, String>(0)).optional()
    };
    let products = "SELECT product_key FROM products WHERE product_key >= ?1 ORDER BY product_key LIMIT 1";
    let product_key = find_ignoring_case(&name.product_key, first_from(products))?;
    let devices = "SELECT device_key FROM devices WHERE device_key >= ?1 ORDER BY device_key LIMIT 1";
    let mut device = None;
    if let Some(device_key) = find_ignoring_case(&name.device_key, first_from(devices))? {
        let sql = sql!("{} WHERE d.device_key = ?1 LIMIT 1", select_device());
        device = reader.prepare(sql)?.query_row([&device_key], rows::read_device).optional()?;
    }
    let named = |Device { product_key, device_key, .. }| DeviceName { product_key, device_key };
    Ok(SimilarNames { product_key, device: device.map(named) })
}

/// A page.
pub(super) fn devices(
    reader: &Reader,
    query: &DeviceQuery,
) -> rusqlite::Result<Vec<Result<Device, DamagedDevice>>> {
    let sql = devices_sql(query);
    let DeviceQuery { ou, product_key, device_key, asset_id, .. } = query;
    let after = query.after.map_or(0, |after| after.0);
    let state = query.state.map(Named::word);
    let enabled = query.disabled.map(|disabled| !disabled);
    let limit = query.limit.min(PAGE_MAX) as i64;
    let values: [&dyn ToSql; 8] = [&after, ou, product_key, device_key, asset_id, &state, &enabled, &limit];
    reader.at_one_moment(|registry| {
        let mut select = registry.prepare_cached(&sql)?;
        let found = select.query_map(values, rows::listed_device)?.collect::<rusqlite::Result<_>>()?;
        aside::all_heard(registry, found)
    })
}

/// The text of a query. Each filter is a fixed piece of it, so that there are few statements and no name
/// becomes syntax.
pub(super) fn devices_sql(query: &DeviceQuery) -> String {
    let DeviceQuery { ou, product_key, device_key, asset_id, state, disabled, .. } = query;
    let has_key = device_key.is_some() || asset_id.is_some();
    // `+`: another filter has the index to use. That of keys begins with the key.
    let unless = |is_found_otherwise| if is_found_otherwise { "+" } else { "" };
    let of_unit = format!(" AND {}d.ou = ?2", unless(has_key || product_key.is_some()));
    let product = "(SELECT id FROM products WHERE product_key = ?3)";
    let of_product = format!(" AND {}d.product = {product}", unless(has_key));
    let filters = [
        (ou.is_some(), &*of_unit),
        (product_key.is_some(), &*of_product),
        (device_key.is_some(), " AND d.device_key = ?4"),
        (asset_id.is_some(), " AND d.asset_id = ?5"),
        (state.is_some(), " AND d.state = ?6"),
        (disabled.is_some(), " AND d.enabled = ?7"),
    ];
    let filters: String = filters.iter().filter(|(is_set, _)| *is_set).map(|(_, text)| *text).collect();
    format!("{} WHERE d.id > ?1{filters} ORDER BY d.id LIMIT ?8", select_device())
}

/// Whether there is such a device, damaged or not.
pub(super) fn has_device(reader: &Reader, device: DeviceId) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM devices WHERE id = ?1)";
    reader.prepare(sql)?.query_row([device.0], |row| row.get(0))
}

/// The newest entries of each class; the writer may not have trimmed them yet. Entries are counted
/// from the newest on, wherever the page begins.
pub(super) fn device_log(
    reader: &mut Reader,
    device: DeviceId,
    part: Part,
    options: &SqliteOptions,
) -> rusqlite::Result<Page<LogEntry>> {
    let mut left = LogClass::ALL.map(|class| match class {
        LogClass::Refusals => options.device_refusals_max,
        LogClass::Changes => options.device_changes_max,
        LogClass::Others => options.device_log_entries_max,
    });
    let log = reader.log()?;
    let mut select = log.prepare_cached(sql!("{} WHERE device = ?1 ORDER BY n DESC", select_log()))?;
    let mut rows = select.query([device.0])?;
    let (n_at, event_at) = (LOG.position("n"), LOG.position("event"));
    let mut page = Collector::new(part.limit);
    while let Some(row) = rows.next()? {
        let n: i64 = row.get(n_at)?;
        // A damaged word is none of another class.
        let event = row.get_ref(event_at)?.as_str().ok().and_then(|word| LogEvent::of_word(word).ok());
        let class = event.map_or(LogClass::Others, LogClass::of);
        let left = &mut left[class as usize];
        if *left == 0 {
            continue;
        }
        *left -= 1;
        if part.after.is_none_or(|Place([after, ..])| n < after)
            && !take_entry(&mut page, Place([n, 0, 0, 0]), row)?
        {
            break;
        }
    }
    Ok(page.finish())
}

/// Refusals by time, of equal times by device and number. Those of nobody that the writer has not trimmed yet
/// are left out.
pub(super) fn refusals(
    reader: &mut Reader,
    part: Part,
    options: &SqliteOptions,
) -> rusqlite::Result<Page<LogEntry>> {
    let trimmed =
        "SELECT n FROM log WHERE device = ?1 AND event = 'refused' ORDER BY n DESC LIMIT 1 OFFSET ?2";
    let max = i64::try_from(options.unknown_refusals_max).unwrap_or(i64::MAX);
    let log = reader.log()?;
    let trimmed: Option<i64> =
        log.prepare_cached(trimmed)?.query_row([NOBODY, max], |row| row.get(0)).optional()?;
    let sql = sql!(
        "{} WHERE event = 'refused' AND (time, device, n) < (?1, ?2, ?3) \
         AND (device <> ?4 OR n > ?5) ORDER BY time DESC, device DESC, n DESC",
        select_log()
    );
    let Place([time, device, n, _]) = part.after.unwrap_or(Place([i64::MAX; 4]));
    let mut select = log.prepare_cached(sql)?;
    let mut rows = select.query([time, device, n, NOBODY, trimmed.unwrap_or(0)])?;
    let [time_at, device_at, n_at] = ["time", "device", "n"].map(|column| LOG.position(column));
    let mut page = Collector::new(part.limit);
    while let Some(row) = rows.next()? {
        let place = match (row.get(time_at), row.get(device_at), row.get(n_at)) {
            (Ok(time), Ok(device), Ok(n)) => Place([time, device, n, 0]),
            // Its place is not needed: such a row is damaged.
            _ => Place([0; 4]),
        };
        if !take_entry(&mut page, place, row)? {
            break;
        }
    }
    Ok(page.finish())
}

/// Adds an entry to a page, unless it is damaged. `false`: the page was full.
fn take_entry(page: &mut Collector<LogEntry>, place: Place, row: &Row<'_>) -> rusqlite::Result<bool> {
    match rows::log_entry(row) {
        Ok(entry) => Ok(page.take(place, entry)),
        Err(error) if rows::is_fault_of_row(&error) => {
            page.note_damaged(rows::text_of(&error));
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

/// Changes of presence by number, the newest first; the writer may not have trimmed them yet.
pub(super) fn presence_history(
    reader: &mut Reader,
    device: DeviceId,
    part: Part,
    options: &SqliteOptions,
) -> rusqlite::Result<Page<PresenceChange>> {
    let sql = sql!(
        "SELECT {} FROM presence WHERE device = ?1 AND n < ?2 AND n > \
         (SELECT coalesce(max(n), 0) FROM presence WHERE device = ?1) - ?3 ORDER BY n DESC",
        PRESENCE.list()
    );
    let Place([after, ..]) = part.after.unwrap_or(Place([i64::MAX; 4]));
    let max = i64::try_from(options.presence_changes_max).unwrap_or(i64::MAX);
    let mut select = reader.log()?.prepare_cached(sql)?;
    let mut rows = select.query(params![device.0, after, max])?;
    let mut page = Collector::new(part.limit);
    while let Some(row) = rows.next()? {
        if page.is_full() {
            page.note_more();
            break;
        }
        let what = || format!("a change of presence of device {}", device.0);
        let PresenceRow { n, at, state, cause, .. } = PresenceRow::intact(row, 0, what)?;
        page.take(Place([n, 0, 0, 0]), PresenceChange { at, state, cause });
    }
    Ok(page.finish())
}

/// Commands of a device by their order, the newest first.
pub(super) fn commands(reader: &Reader, device: DeviceId, part: Part) -> rusqlite::Result<Page<Command>> {
    let sql = sql!("{} WHERE c.device = ?1 AND c.n < ?2 ORDER BY c.n DESC", select_commands());
    let Place([after, ..]) = part.after.unwrap_or(Place([i64::MAX; 4]));
    let mut select = reader.prepare(sql)?;
    let mut rows = select.query(params![device.0, after])?;
    let mut page = Collector::new(part.limit);
    while let Some(row) = rows.next()? {
        match rows::read_command(row) {
            Ok(command) => {
                let (place, bytes) = (Place([row.get(0)?, 0, 0, 0]), command.reply_bytes());
                if !page.take_long(place, command, bytes) {
                    break;
                }
            }
            Err(error) if rows::is_fault_of_row(&error) => page.note_damaged(rows::text_of(&error)),
            Err(error) => return Err(error),
        }
    }
    Ok(page.finish())
}

pub(super) fn command(reader: &Reader, device: DeviceId, id: CommandId) -> rusqlite::Result<Option<Command>> {
    let sql = sql!("{} WHERE c.device = ?1 AND c.id = ?2", select_commands());
    reader.prepare(sql)?.query_row(params![device.0, id.0], rows::read_command).optional()
}

/// Those of one device that have not ended.
pub(super) fn open_commands(reader: &Reader, device: DeviceId) -> rusqlite::Result<Vec<Command>> {
    let sql = sql!("{} WHERE c.device = ?1 AND c.ended IS NULL ORDER BY c.n", select_commands());
    let mut select = reader.prepare(sql)?;
    let found = select.query_map([device.0], intact_command)?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(found.into_iter().flatten().collect())
}

/// Those of all devices.
pub(super) fn all_open_commands(reader: &Reader) -> rusqlite::Result<Vec<OpenCommand>> {
    let sql = sql!("{} WHERE c.ended IS NULL ORDER BY c.device, c.n", select_commands());
    let device_at = COMMANDS.position("device");
    let read = |row: &Row<'_>| {
        let command = intact_command(row)?;
        command.map(|command| Ok(OpenCommand { device: DeviceId(row.get(device_at)?), command })).transpose()
    };
    let mut select = reader.prepare(sql)?;
    let found = select.query_map([], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(found.into_iter().flatten().collect())
}

/// One such row must not keep all others from being sent.
fn intact_command(row: &Row<'_>) -> rusqlite::Result<Option<Command>> {
    match rows::read_command(row) {
        Err(error) if rows::is_fault_of_row(&error) => {
            let error = store_error(&error);
            tracing::error!(%error, "a command is left out of those that are open");
            Ok(None)
        }
        read => read.map(Some),
    }
}

pub(super) fn online_devices(reader: &Reader) -> rusqlite::Result<Vec<OnlineDevice>> {
    // As text, not as a parameter: only so the index of those is used.
    let sql = sql!("SELECT {} FROM devices d WHERE d.state = 'online'", DEVICES.list());
    let read = |row: &Row<'_>| {
        let id: i64 = row.get(0)?;
        match DeviceRow::intact(row, 0, || format!("the row of device {id}")) {
            Ok(device) => Ok(Some(OnlineDevice {
                device: device.id,
                lifetime_s: device.lifetime_s.unwrap_or(0),
                login: device.login_number,
            })),
            Err(error) if rows::is_fault_of_row(&error) => {
                // One such row must not keep all others offline.
                let error = store_error(&error);
                tracing::error!(%error, "a device is left out of those that are online");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    };
    let found = reader.prepare(sql)?.query_map([], read)?.collect::<Result<Vec<_>, _>>();
    Ok(found?.into_iter().flatten().collect())
}
