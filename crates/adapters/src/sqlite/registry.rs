//! The writer's side of the registry: every change of products, devices, logs and latest values.
//!
//! A change has two kinds of failure: the inner `StoreError` is an answer to the caller and leaves the
//! transaction whole; the outer error of SQLite fails everything that is committed together with it.

use std::collections::HashMap;

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::{
        device::{Device, DeviceState, NewDevice},
        log::{LogEntry, LogEvent},
        product::Product,
    },
    ports::{Issued, StoreError, Written},
    secret::Secret,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::sync::Arc;

use super::{
    day::Day,
    day_file,
    error::{OpenError, store_error},
    files::{Layout, REGISTRY},
    key::{DataKey, SealError, SealedRow},
    names::Named,
    options::SqliteOptions,
    pending::Activity,
    rows::{self, SELECT_LATEST, device_intact, product_intact},
    sum,
};
use crate::{
    former::FormerSecrets,
    life::{self, IssueCase, Life},
};

/// `log.device` of entries that belong to no device; ids begin at 1.
pub(super) const NOBODY: i64 = 0;
/// Lists are trimmed at each so-manieth row of theirs (or each sixteenth part of their limit, where that is more),
/// so they may be longer than their limit by so much.
const TRIM_EVERY: i64 = 64;
/// Traces of deleted devices that are kept; they are nobody's, as refusals of unknown devices are.
const DELETIONS_MAX: i64 = 10_000;
/// Switches that are remembered, so that a report costs no look-up; some 20 bytes each. At the limit: begin anew.
const SWITCHES_MAX: usize = 1 << 20;

/// Inner error: an answer to the caller.
pub(super) type Change<T> = rusqlite::Result<Result<T, StoreError>>;

/// Numbers of rows that are kept.
#[derive(Debug, Clone, Copy)]
struct Limits {
    device_log: i64,
    device_refusals: i64,
    unknown_refusals: i64,
    presence: i64,
}

#[derive(Debug)]
pub(super) struct Registry {
    pub(super) connection: Connection,
    key: Arc<DataKey>,
    pub(super) former: Arc<FormerSecrets>,
    limits: Limits,
    /// Whether device and product are both switched on, for devices that exist.
    pub(super) switches: HashMap<DeviceId, bool>,
}

/// The last day on which the clock is known to have been.
pub(super) fn clock_day(registry: &Connection) -> rusqlite::Result<Option<Day>> {
    let sql = "SELECT value, sum IS row_sum('meta', name, value) FROM meta WHERE name = 'clock_day'";
    let day = registry.prepare_cached(sql)?.query_row([], |row| {
        sum::intact(row, 1, || "the day of the clock".to_owned())?;
        row.get::<_, String>(0)
    });
    Ok(day.optional()?.and_then(|day| Day::parse(&day)))
}

impl Registry {
    pub(super) fn open(
        layout: &Layout,
        options: &SqliteOptions,
        key: Arc<DataKey>,
        former: Arc<FormerSecrets>,
    ) -> Result<Self, OpenError> {
        let connection = REGISTRY.connect(&layout.registry(), options)?;
        let rows = |max: usize| i64::try_from(max).unwrap_or(i64::MAX);
        let limits = Limits {
            device_log: rows(options.device_log_entries_max),
            device_refusals: rows(options.device_refusals_max),
            unknown_refusals: rows(options.unknown_refusals_max),
            presence: rows(options.presence_changes_max),
        };
        Ok(Self { connection, key, former, limits, switches: HashMap::new() })
    }

    pub(super) fn begin(&self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
    }

    pub(super) fn commit(&self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    pub(super) fn checkpoint(&self) -> rusqlite::Result<()> {
        day_file::checkpoint(&self.connection)
    }

    /// Number of the last batch that touched messages and registry and is complete (or given up).
    pub(super) fn batch(&self) -> rusqlite::Result<i64> {
        let batch = self
            .connection
            .prepare_cached(
                "SELECT value, sum IS row_sum('meta', name, value) FROM meta WHERE name = 'batch'",
            )?
            .query_row([], |row| {
                sum::intact(row, 1, || "the number of the last batch".to_owned())?;
                row.get(0)
            });
        Ok(batch.optional()?.unwrap_or(0))
    }

    pub(super) fn set_batch(&self, batch: i64) -> rusqlite::Result<()> {
        let sql = "INSERT INTO meta VALUES ('batch', ?1, row_sum('meta', 'batch', ?1)) \
                   ON CONFLICT DO UPDATE SET value = excluded.value, sum = excluded.sum";
        self.connection.prepare_cached(sql)?.execute([batch]).map(drop)
    }

    /// The last day on which the clock is known to have been.
    pub(super) fn clock_day(&self) -> rusqlite::Result<Option<Day>> {
        clock_day(&self.connection)
    }

    pub(super) fn set_clock_day(&self, day: Day) -> rusqlite::Result<()> {
        let sql = "INSERT INTO meta VALUES ('clock_day', ?1, row_sum('meta', 'clock_day', ?1)) \
                   ON CONFLICT DO UPDATE SET value = excluded.value, sum = excluded.sum";
        self.connection.prepare_cached(sql)?.execute([day.to_string()]).map(drop)
    }

    /// Whether the device and its product are switched on; `None`: there is no such device.
    pub(super) fn switched_on(&mut self, device: DeviceId) -> rusqlite::Result<Option<bool>> {
        if let Some(on) = self.switches.get(&device) {
            return Ok(Some(*on));
        }
        let sql = concat!(
            "SELECT d.enabled AND p.enabled, ",
            device_intact!(),
            " AND ",
            product_intact!(),
            " FROM devices d JOIN products p ON p.id = d.product WHERE d.id = ?1"
        );
        let read = |row: &Row<'_>| {
            sum::intact(row, 1, || format!("the row of device {} or of its product", device.0))?;
            row.get(0)
        };
        let on = unless_damaged(self.connection.prepare_cached(sql)?.query_row([device.0], read).optional())?;
        if let Some(on) = on {
            if self.switches.len() >= SWITCHES_MAX {
                self.switches.clear();
            }
            self.switches.insert(device, on);
        }
        Ok(on)
    }

    pub(super) fn login(
        &self,
        device: DeviceId,
        at: UnixMillis,
        lifetime_s: u32,
        secret_version: u32,
        peer: &str,
    ) -> rusqlite::Result<Written> {
        let Some(mut life) = self.life(device)? else { return Ok(Written::DeviceUnavailable) };
        let step = match life.login(at, lifetime_s, secret_version) {
            Ok(step) => step,
            Err(refused) => return Ok(refused),
        };
        self.put_life(device, &life)?;
        if step.came_online {
            self.note_presence(device, at, DeviceState::Online, "login")?;
        }
        let entry = |event| LogEntry { peer: Some(peer.to_owned()), ..life::entry(device, at, event) };
        if step.activated {
            self.note(&entry(LogEvent::Activated))?;
        }
        self.note(&entry(LogEvent::Login))?;
        Ok(if step.activated { Written::Activated } else { Written::Done })
    }

    pub(super) fn presence(
        &self,
        device: DeviceId,
        state: DeviceState,
        at: UnixMillis,
        cause: &str,
    ) -> rusqlite::Result<Written> {
        let Some(mut life) = self.life(device)? else { return Ok(Written::DeviceUnavailable) };
        match life.presence(state, at) {
            Ok(false) => return Ok(Written::Unchanged),
            Ok(true) => {}
            Err(refused) => return Ok(refused),
        }
        self.put_life(device, &life)?;
        self.note_presence(device, at, state, cause)?;
        let event = if state == DeviceState::Online { LogEvent::Online } else { LogEvent::Offline };
        self.note(&LogEntry { detail: Some(cause.to_owned()), ..life::entry(device, at, event) })?;
        Ok(Written::Done)
    }

    /// Adds an entry to a device's log, or to nobody's.
    pub(super) fn log(&mut self, entry: &LogEntry) -> rusqlite::Result<Written> {
        if let Some(device) = entry.device
            && self.switched_on(device)?.is_none()
        {
            return Ok(Written::DeviceUnavailable);
        }
        self.note(entry)?;
        Ok(Written::Done)
    }

    pub(super) fn issue_secret(
        &self,
        device: DeviceId,
        secret: &Secret,
        at: UnixMillis,
        peer: String,
    ) -> rusqlite::Result<Issued> {
        let sql = concat!(
            "SELECT d.enabled, p.enabled, d.active_time IS NOT NULL, p.id, p.issued_hour, p.issued_count, \
             p.activation_enabled, p.activation_ends_at, p.activation_quota, ",
            device_intact!(),
            " AND ",
            product_intact!(),
            " FROM devices d JOIN products p ON p.id = d.product WHERE d.id = ?1"
        );
        let hour = life::clock_hour(at);
        let found = self.connection.prepare_cached(sql)?.query_row([device.0], |row| {
            sum::intact(row, 9, || format!("the row of device {} or of its product", device.0))?;
            let dynamic_activation = rows::dynamic_activation(row, 6)?;
            let issued_this_hour = if row.get::<_, i64>(4)? == hour { row.get(5)? } else { 0 };
            let case = IssueCase {
                device_enabled: row.get(0)?,
                product_enabled: row.get(1)?,
                activated: row.get(2)?,
                dynamic_activation: &dynamic_activation,
                issued_this_hour,
                at,
            };
            Ok((row.get::<_, i64>(3)?, issued_this_hour, case.permit()))
        });
        let Some((product, issued_this_hour, permitted)) = found.optional()? else {
            return Ok(Issued::DeviceUnavailable);
        };
        if let Err(refusal) = permitted {
            self.note(&refusal.entry(device, at, peer))?;
            return Ok(refusal.outcome);
        }
        let count = "UPDATE products SET issued_hour = ?2, issued_count = ?3 WHERE id = ?1";
        self.connection.prepare_cached(count)?.execute(params![product, hour, issued_this_hour + 1])?;
        self.replace_secret(device, secret)?;
        self.note(&LogEntry { peer: Some(peer), ..life::entry(device, at, LogEvent::SecretIssued) })?;
        Ok(Issued::Done)
    }

    pub(super) fn create_product(&mut self, product: &Product) -> Change<()> {
        let secret = self.seal(SealedRow::Product(&product.product_key), &product.secret)?;
        let activation = &product.dynamic_activation;
        let sql = "INSERT INTO products (ou, product_key, name, secret, enabled, activation_enabled, \
                   activation_ends_at, activation_quota, model_json, created) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (product_key) DO NOTHING";
        let added = self.connection.prepare_cached(sql)?.execute(params![
            product.ou,
            product.product_key,
            product.name,
            secret,
            product.enabled,
            activation.enabled,
            activation.ends_at.map(|end| end.0),
            activation.quota_per_hour,
            product.model_json,
            product.created.0,
        ])?;
        if added == 0 && !self.replace_damaged(product, &secret)? {
            return Ok(Err(StoreError::Exists { what: "product", key: product.product_key.clone() }));
        }
        Ok(Ok(()))
    }

    pub(super) fn update_product(&mut self, product: &Product) -> Change<()> {
        let activation = &product.dynamic_activation;
        self.assert_product_intact(&product.product_key)?;
        let sql = "UPDATE products SET name = ?2, enabled = ?3, activation_enabled = ?4, activation_ends_at = ?5, \
                   activation_quota = ?6, model_json = ?7 WHERE product_key = ?1";
        let changed = self.connection.prepare_cached(sql)?.execute(params![
            product.product_key,
            product.name,
            product.enabled,
            activation.enabled,
            activation.ends_at.map(|end| end.0),
            activation.quota_per_hour,
            product.model_json,
        ])?;
        if changed == 0 {
            return Ok(Err(StoreError::Missing { what: "product", key: product.product_key.clone() }));
        }
        self.switches.clear();
        Ok(Ok(()))
    }

    pub(super) fn create_device(&self, new: &NewDevice, at: UnixMillis) -> Change<Device> {
        let product = self
            .connection
            .prepare_cached(concat!(
                "SELECT p.id, p.ou, ",
                product_intact!(),
                " FROM products p WHERE p.product_key = ?1"
            ))?
            .query_row([&new.product_key], |row| {
                sum::intact(row, 2, || format!("the row of product {}", new.product_key))?;
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })
            .optional()?;
        let Some((product, ou)) = product else {
            return Ok(Err(StoreError::Missing { what: "product", key: new.product_key.clone() }));
        };
        let taken = "SELECT EXISTS (SELECT 1 FROM devices WHERE device_key = ?1 AND ou = ?2)";
        if self.connection.prepare_cached(taken)?.query_row(params![new.device_key, ou], |row| row.get(0))? {
            return Ok(Err(StoreError::Exists { what: "device", key: new.device_key.clone() }));
        }
        let secret = self.seal(SealedRow::Device(&new.asset_id), &new.device_secret)?;
        let sql = "INSERT INTO devices (product, ou, device_key, asset_id, name, secret, secret_version, enabled, \
                   state, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, 1, ?7, ?8) ON CONFLICT (asset_id) DO NOTHING";
        let state = DeviceState::Inactive;
        let added = self.connection.prepare_cached(sql)?.execute(params![
            product,
            ou,
            new.device_key,
            new.asset_id,
            new.name,
            secret,
            state.word(),
            at.0
        ])?;
        if added == 0 {
            return Ok(Err(StoreError::Exists { what: "asset", key: new.asset_id.clone() }));
        }
        let id = DeviceId(self.connection.last_insert_rowid());
        let detail = self.take_trace_of_damage(&new.device_key)?;
        self.note(&LogEntry { detail, ..life::entry(id, at, LogEvent::Created) })?;
        Ok(Ok(Device {
            id,
            ou,
            product_key: new.product_key.clone(),
            device_key: new.device_key.clone(),
            asset_id: new.asset_id.clone(),
            name: new.name.clone(),
            enabled: true,
            state,
            created: at,
            active_time: None,
            last_online_time: None,
            last_offline_time: None,
            last_seen_time: None,
            lifetime_s: None,
        }))
    }

    pub(super) fn set_enabled(&mut self, device: DeviceId, enabled: bool, at: UnixMillis) -> Change<Device> {
        self.assert_device_intact(device)?;
        // In one transaction, so that no crash leaves a device online that may not be.
        if !enabled {
            self.presence(device, DeviceState::Offline, at, life::SWITCHED_OFF)?;
        }
        let sql = "UPDATE devices SET enabled = ?2, sum = row_sum('device', id, product, ou, device_key, asset_id, \
                   name, secret, secret_version, ?2, state, created, active_time, last_online_time, \
                   last_offline_time, last_seen_time, lifetime_s) WHERE id = ?1";
        if self.connection.prepare_cached(sql)?.execute(params![device.0, enabled])? > 0 {
            let event = if enabled { LogEvent::Enabled } else { LogEvent::Disabled };
            self.note(&life::entry(device, at, event))?;
        }
        self.switches.remove(&device);
        self.shown(device)
    }

    pub(super) fn rename(&mut self, device: DeviceId, name: &str, at: UnixMillis) -> Change<Device> {
        let Some(before) = rows::device_by_id(&self.connection, device)? else {
            return Ok(Err(missing(device)));
        };
        let sql = "UPDATE devices SET name = ?2, sum = row_sum('device', id, product, ou, device_key, \
                   asset_id, ?2, secret, secret_version, enabled, state, created, active_time, last_online_time, \
                   last_offline_time, last_seen_time, lifetime_s) WHERE id = ?1";
        self.connection.prepare_cached(sql)?.execute(params![device.0, name])?;
        self.note(&life::renamed_entry(device, at, &before.name, name))?;
        self.shown(device)
    }

    /// Needs the latest values to be written: what is pending would bring `last_seen_time` back.
    pub(super) fn reset(&self, device: DeviceId, secret: &Secret, at: UnixMillis) -> Change<Device> {
        self.assert_device_intact(device)?;
        let Some(mut life) = self.life(device)? else { return Ok(Err(missing(device))) };
        if life.state != DeviceState::Inactive {
            self.note_presence(device, at, DeviceState::Inactive, "reset")?;
        }
        life.reset();
        self.put_life(device, &life)?;
        self.replace_secret(device, secret)?;
        // A row that is not as it was stored stays so until a report replaces it.
        let unseen = "UPDATE latest SET seen = NULL, sum = row_sum('latest', device, NULL, points) \
                      WHERE device = ?1 AND sum IS row_sum('latest', device, seen, points)";
        self.connection.execute(unseen, [device.0])?;
        self.note(&life::entry(device, at, LogEvent::Reset))?;
        self.shown(device)
    }

    /// Lays news of a device over its row of latest values. One that was deleted meanwhile gets none.
    pub(super) fn put_activity(&self, device: DeviceId, news: &Activity) -> rusqlite::Result<()> {
        let mut activity = news.clone();
        let stored = self
            .connection
            .prepare_cached(SELECT_LATEST)?
            .query_row([device.0], |row| match rows::latest(row, device) {
                Ok(points) => Ok(Activity { seen: rows::time(row, 2)?, points }),
                Err(error) => {
                    tracing::error!(device = device.0, %error, "latest values are damaged; new ones replace them");
                    Ok(Activity::default())
                }
            })
            .optional()?;
        if let Some(stored) = stored {
            activity.merge_older(stored);
        }
        let sql = "INSERT INTO latest (device, seen, points, sum) \
                   SELECT ?1, ?2, ?3, row_sum('latest', ?1, ?2, ?3) \
                   WHERE EXISTS (SELECT 1 FROM devices WHERE id = ?1) \
                   ON CONFLICT DO UPDATE SET seen = excluded.seen, points = excluded.points, sum = excluded.sum";
        let (seen, points) = (activity.seen.map(|seen| seen.0), activity.points.to_json());
        self.connection.prepare_cached(sql)?.execute(params![device.0, seen, points]).map(drop)
    }

    /// Message of `day` up to which the latest values are complete.
    pub(super) fn mark(&self, day: Day) -> rusqlite::Result<i64> {
        let sql = "SELECT id, sum IS row_sum('mark', day, id) FROM marks WHERE day = ?1";
        let mark = self.connection.prepare_cached(sql)?.query_row([day.to_string()], |row| {
            sum::intact(row, 1, || format!("the mark of {day}"))?;
            row.get(0)
        });
        // Without it all messages of the day are looked at.
        Ok(unless_damaged(mark.optional())?.unwrap_or(0))
    }

    pub(super) fn set_mark(&self, day: Day, id: i64) -> rusqlite::Result<()> {
        let sql = "INSERT INTO marks VALUES (?1, ?2, row_sum('mark', ?1, ?2)) \
                   ON CONFLICT DO UPDATE SET id = excluded.id, sum = excluded.sum";
        self.connection.prepare_cached(sql)?.execute(params![day.to_string(), id]).map(drop)
    }

    pub(super) fn forget_mark(&self, day: Day) -> rusqlite::Result<()> {
        self.connection.execute("DELETE FROM marks WHERE day = ?1", [day.to_string()]).map(drop)
    }

    /// What changes in a device's life; `enabled` is both switches.
    fn life(&self, device: DeviceId) -> rusqlite::Result<Option<Life>> {
        let sql = concat!(
            "SELECT d.enabled AND p.enabled, d.state, d.secret_version, d.active_time, d.last_online_time, \
             d.last_offline_time, d.last_seen_time, d.lifetime_s, ",
            device_intact!(),
            " FROM devices d JOIN products p ON p.id = d.product WHERE d.id = ?1"
        );
        let read = |row: &Row<'_>| {
            sum::intact(row, 8, || format!("the row of device {}", device.0))?;
            Ok(Life {
                enabled: row.get(0)?,
                state: rows::named(row, 1)?,
                secret_version: row.get(2)?,
                active_time: rows::time(row, 3)?,
                last_online_time: rows::time(row, 4)?,
                last_offline_time: rows::time(row, 5)?,
                last_seen_time: rows::time(row, 6)?,
                lifetime_s: row.get(7)?,
            })
        };
        unless_damaged(self.connection.prepare_cached(sql)?.query_row([device.0], read).optional())
    }

    /// A row that is not as it was stored is not changed: its new sum would say that all is well.
    fn assert_device_intact(&self, device: DeviceId) -> rusqlite::Result<()> {
        let sql = concat!(
            "SELECT ",
            device_intact!(),
            " AND ",
            product_intact!(),
            " FROM devices d JOIN products p ON p.id = d.product WHERE d.id = ?1"
        );
        let read = |row: &Row<'_>| {
            sum::intact(row, 0, || format!("the row of device {} or of its product", device.0))
        };
        self.connection.prepare_cached(sql)?.query_row([device.0], read).optional().map(drop)
    }

    fn assert_product_intact(&self, product_key: &str) -> rusqlite::Result<()> {
        let sql = concat!(
            "SELECT ",
            product_intact!(),
            " AND p.model_sum IS row_sum('model', p.id, p.model_json) FROM products p WHERE p.product_key = ?1"
        );
        let read = |row: &Row<'_>| sum::intact(row, 0, || format!("the row of product {product_key}"));
        self.connection.prepare_cached(sql)?.query_row([product_key], read).optional().map(drop)
    }

    fn put_life(&self, device: DeviceId, life: &Life) -> rusqlite::Result<()> {
        let sql = "UPDATE devices SET state = ?2, active_time = ?3, last_online_time = ?4, last_offline_time = ?5, \
                   last_seen_time = ?6, lifetime_s = ?7, sum = row_sum('device', id, product, ou, device_key, \
                   asset_id, name, secret, secret_version, enabled, ?2, created, ?3, ?4, ?5, ?6, ?7) WHERE id = ?1";
        let ms = |time: Option<UnixMillis>| time.map(|time| time.0);
        self.connection.prepare_cached(sql)?.execute(params![
            device.0,
            life.state.word(),
            ms(life.active_time),
            ms(life.last_online_time),
            ms(life.last_offline_time),
            ms(life.last_seen_time),
            life.lifetime_s,
        ])?;
        Ok(())
    }

    fn replace_secret(&self, device: DeviceId, secret: &Secret) -> rusqlite::Result<()> {
        self.assert_device_intact(device)?;
        let (asset_id, replaced): (String, Vec<u8>) = self
            .connection
            .prepare_cached("SELECT asset_id, secret FROM devices WHERE id = ?1")?
            .query_row([device.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
        // Should the transaction fail, the list holds the present secret too, which does no harm.
        if let Ok(replaced) = self.key.open(SealedRow::Device(&asset_id), &replaced) {
            self.former.note(device, replaced);
        }
        let sealed = self.seal(SealedRow::Device(&asset_id), secret)?;
        let sql = "UPDATE devices SET secret = ?2, secret_version = secret_version + 1, sum = row_sum('device', id, \
                   product, ou, device_key, asset_id, name, ?2, secret_version + 1, enabled, state, created, \
                   active_time, last_online_time, last_offline_time, last_seen_time, lifetime_s) WHERE id = ?1";
        self.connection.prepare_cached(sql)?.execute(params![device.0, sealed]).map(drop)
    }

    pub(super) fn note(&self, entry: &LogEntry) -> rusqlite::Result<()> {
        let device = entry.device.map_or(NOBODY, |device| device.0);
        let n = self.next_number("SELECT n FROM log WHERE device = ?1 ORDER BY n DESC LIMIT 1", device)?;
        let sql = "INSERT INTO log (device, n, time, event, identity, reason, code, peer, detail, sum) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, row_sum('log', ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9))";
        self.connection.prepare_cached(sql)?.execute(params![
            device,
            n,
            entry.time.0,
            entry.event.word(),
            entry.identity,
            entry.reason.map(Named::word),
            entry.code,
            entry.peer,
            entry.detail,
        ])?;
        self.trim_log(device, n)
    }

    /// After the `n`-th entry of a device: leaves the newest refusals and the newest others, each by its own limit.
    fn trim_log(&self, device: i64, n: i64) -> rusqlite::Result<()> {
        let Limits { device_log, device_refusals, unknown_refusals, .. } = self.limits;
        let (others_max, refusals_max) = match device {
            NOBODY => (DELETIONS_MAX, unknown_refusals),
            _ => (device_log, device_refusals),
        };
        let sql = "DELETE FROM log WHERE device = ?1 AND (event = 'refused') = ?2 AND n <= (SELECT n FROM log \
                   WHERE device = ?1 AND (event = 'refused') = ?2 ORDER BY n DESC LIMIT 1 OFFSET ?3)";
        for (refused, max) in [(false, others_max), (true, refusals_max)] {
            if is_time_to_trim(n, max) {
                self.take_away("log", sql, params![device, refused, max])?;
            }
        }
        Ok(())
    }

    /// The number after the last one of a device's list. A statement of its own: `INSERT … RETURNING` with a sub-select
    /// makes a temporary table each time, which costs more than both statements.
    fn next_number(&self, last: &str, device: i64) -> rusqlite::Result<i64> {
        let last: Option<i64> =
            self.connection.prepare_cached(last)?.query_row([device], |row| row.get(0)).optional()?;
        Ok(last.unwrap_or(0) + 1)
    }

    fn note_presence(
        &self,
        device: DeviceId,
        at: UnixMillis,
        state: DeviceState,
        cause: &str,
    ) -> rusqlite::Result<()> {
        let n =
            self.next_number("SELECT n FROM presence WHERE device = ?1 ORDER BY n DESC LIMIT 1", device.0)?;
        let sql = "INSERT INTO presence (device, n, at, state, cause, sum) \
                   VALUES (?1, ?2, ?3, ?4, ?5, row_sum('presence', ?1, ?2, ?3, ?4, ?5))";
        self.connection.prepare_cached(sql)?.execute(params![device.0, n, at.0, state.word(), cause])?;
        let max = self.limits.presence;
        if is_time_to_trim(n, max) {
            let delete = "DELETE FROM presence WHERE device = ?1 AND n <= ?2";
            self.take_away("presence", delete, [device.0, n - max])?;
        }
        Ok(())
    }

    fn shown(&self, device: DeviceId) -> Change<Device> {
        Ok(rows::device_by_id(&self.connection, device)?.ok_or_else(|| missing(device)))
    }

    fn seal(&self, row: SealedRow<'_>, secret: &Secret) -> rusqlite::Result<Vec<u8>> {
        let failed = |error: SealError| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
        self.key.seal(row, secret).map_err(failed)
    }
}

/// A device whose row is not as it was stored is as good as switched off: that it fails would fail everything that is
/// written together with it.
fn unless_damaged<T>(found: rusqlite::Result<Option<T>>) -> rusqlite::Result<Option<T>> {
    match found {
        Err(error) if sum::is_damage(&error) => {
            tracing::error!(error = %store_error(&error), "a row of the registry is left out");
            Ok(None)
        }
        other => other,
    }
}

/// Whether a list of at most `max` rows, whose `n`-th was just written, may be too long and its turn has come.
fn is_time_to_trim(n: i64, max: i64) -> bool {
    n > max && n % TRIM_EVERY.max(max / 16) == 0
}

pub(super) fn missing(device: DeviceId) -> StoreError {
    StoreError::Missing { what: "device", key: device.0.to_string() }
}
