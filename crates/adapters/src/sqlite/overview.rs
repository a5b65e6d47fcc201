//! Counts over the whole store. They are of the moment, not of one transaction. Damaged products and
//! devices are counted as such; damaged refusals and reports are counted as they are read.

use std::collections::HashMap;

use narrowgate_platform::{
    ids::UnixMillis,
    model::{
        device::DeviceState,
        log::Reason,
        overview::{DeviceCounts, Overview, OverviewQuery, ProductCounts},
    },
};
use rusqlite::{Connection, OptionalExtension};

use super::{
    day::Day,
    day_file::TimeSpan,
    names::Named,
    readers::Reader,
    rows,
    schema::{
        Stored,
        registry::{DEVICES, MODEL_IS_INTACT, PRODUCTS, ProductRow},
        sql,
    },
    volume::Volume,
};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

/// Most refusals that are counted: the newest.
const REFUSALS_MAX: i64 = 100_000;

pub(super) fn read(
    reader: &mut Reader,
    files: &[(Volume, TimeSpan)],
    query: OverviewQuery,
) -> rusqlite::Result<Overview> {
    let (products, without_product) = products(reader)?;
    let refusals = refusals(reader, query.now.0 - HOUR_MS, query.now.0)?;
    let reports_last_minute = reports(reader, files, query.now.0 - MINUTE_MS, query.now.0)?;
    let reports_last_hour = reports(reader, files, query.now.0 - HOUR_MS, query.now.0)?;
    let mut overview = Overview::divide(products, query.products_max);
    overview.devices.add(without_product);
    Ok(Overview { refusals, reports_last_minute, reports_last_hour, ..overview })
}

/// Products in order of creation, with their devices, and devices without a product, which only damage can
/// cause: each device is read once, in the order of the file. Sums are compared as in lists, so that a device
/// counts by its state exactly where a list shows it.
fn products(reader: &Reader) -> rusqlite::Result<(Vec<ProductCounts>, DeviceCounts)> {
    let mut counts: HashMap<Option<i64>, DeviceCounts> = HashMap::new();
    let mut select = reader.prepare(sql!("SELECT {} FROM devices d", DEVICES.list()))?;
    let [product, enabled, state_at] = ["product", "enabled", "state"].map(|name| DEVICES.position(name));
    let mut devices = select.query([])?;
    while let Some(row) = devices.next()? {
        let counts = counts.entry(row.get(product).ok()).or_default();
        let state = match DEVICES.check(row, 0, String::new).is_ok() {
            true => row.get_ref(state_at)?.as_str().ok().and_then(|word| DeviceState::of_word(word).ok()),
            false => None,
        };
        *match (state, row.get::<_, bool>(enabled)) {
            (None, _) | (_, Err(_)) => &mut counts.damaged,
            (_, Ok(false)) => &mut counts.disabled,
            (Some(DeviceState::Online), _) => &mut counts.online,
            (Some(DeviceState::Offline), _) => &mut counts.offline,
            (Some(DeviceState::Inactive), _) => &mut counts.inactive,
        } += 1;
    }
    let sql = sql!("SELECT {}, {MODEL_IS_INTACT} FROM products p ORDER BY p.id", PRODUCTS.list());
    let mut select = reader.prepare(sql)?;
    let products = select.query_map([], |row| {
        let model_is_intact: bool = row.get(PRODUCTS.width())?;
        let product = ProductRow::intact(row, 0, String::new).ok();
        let devices = counts.remove(&Some(row.get(0)?)).unwrap_or_default();
        Ok(ProductCounts {
            product_key: rows::as_read(row, PRODUCTS.position("product_key"))?,
            devices: if product.is_some() { devices } else { all_damaged(devices) },
            name: product.filter(|_| model_is_intact).map(|product| product.name),
        })
    })?;
    let products = products.collect::<rusqlite::Result<_>>()?;
    let mut without_product = DeviceCounts::default();
    counts.into_values().for_each(|devices| without_product.add(all_damaged(devices)));
    Ok((products, without_product))
}

/// Devices of a product that is damaged or missing.
fn all_damaged(devices: DeviceCounts) -> DeviceCounts {
    DeviceCounts { damaged: devices.total(), ..DeviceCounts::default() }
}

fn refusals(reader: &mut Reader, after: i64, now: i64) -> rusqlite::Result<Vec<(Option<Reason>, u64)>> {
    let sql = "SELECT reason, count(*) FROM (SELECT reason FROM log WHERE event = 'refused' AND time > ?1 \
               AND time <= ?2 ORDER BY time DESC LIMIT ?3) GROUP BY reason ORDER BY count(*) DESC, reason";
    let mut select = reader.log()?.prepare_cached(sql)?;
    let counts = select.query_map([after, now, REFUSALS_MAX], |row| {
        let reason = row.get_ref(0)?.as_str().ok().and_then(|word| Reason::of_word(word).ok());
        Ok((reason, row.get::<_, i64>(1)?.unsigned_abs()))
    })?;
    counts.collect()
}

/// Reports that arrived after `after`, and not after `now`: a clock that was wrong leaves reports in the
/// future.
fn reports(reader: &mut Reader, files: &[(Volume, TimeSpan)], after: i64, now: i64) -> rusqlite::Result<u64> {
    let mut count = 0;
    let days = Day::of(UnixMillis(after))..=Day::of(UnixMillis(now));
    for (volume, _) in files.iter().filter(|(volume, _)| days.contains(&volume.day)) {
        if let Some((file, _)) = reader.volume(*volume)? {
            count += first_after(file, now)? - first_after(file, after)?;
        }
    }
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Id of the first report that arrived after `time`, or the one that the next report gets. Ids follow each
/// other as reports arrive, so it is found by binary search; clocks that were set back make it less exact.
fn first_after(file: &Connection, time: i64) -> rusqlite::Result<i64> {
    let last: Option<i64> = file.query_row("SELECT max(id) FROM messages", [], |row| row.get(0))?;
    let mut arrival =
        file.prepare_cached("SELECT id, arrival FROM messages WHERE id >= ?1 ORDER BY id LIMIT 1")?;
    // Reports before `low` are older; `high` and those after it are not.
    let (mut low, mut high) = (1, last.unwrap_or(0) + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let found = arrival.query_row([middle], |row| Ok((row.get::<_, i64>(0)?, row.get(1).unwrap_or(0))));
        match found.optional()? {
            Some((id, arrival)) if arrival <= time => low = id + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}
