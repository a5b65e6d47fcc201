//! The writer's side of the registry: every change of products, devices, logs and latest values, one module
//! for each.
//!
//! A change has two kinds of failure: the inner `StoreError` is an answer to the caller and leaves the
//! transaction whole; the outer error of SQLite fails everything that is committed together with it.

pub(super) mod access;
mod audit_end;
mod commands;
mod devices;
mod firmware;
mod latest;
mod life;
mod log;
mod meta;
pub(super) mod models;
mod products;
mod properties;
pub(super) mod rates;
mod rebuild;
mod removal;
mod replay;
pub(super) mod scripts;
mod secrets;
pub(super) mod stream;
mod users;

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    num::NonZeroU64,
    sync::{Arc, Mutex},
    time::Instant,
};

use narrowgate_platform::{
    ids::{DeviceId, LoginNumber, Position, UnixMillis},
    ports::StoreError,
    rules::{former::FormerSecrets, life::Standing},
};
use rusqlite::{Connection, OptionalExtension};

use self::rebuild::Aside;
pub(super) use self::{
    latest::{Put, forget_mark, marks},
    meta::{
        batch, clock_day, confirmed_arrival, epoch, files_are_named, forget_file, forget_log_batch,
        forget_newest, kept_from, key_check, leap_epoch, log_batch, new_store_id, newest, origin,
        raise_batch, random, set_confirmed_arrival, set_files_named, set_key_check, set_log_batch,
        set_store_id, store_id,
    },
    rebuild::damage_of,
};
use super::{
    day_file,
    error::{OpenError, store_error},
    files::{Layout, REGISTRY},
    key::DataKey,
    log_file::LogFile,
    options::SqliteOptions,
    place::Places,
    schema::{
        Stored,
        registry::{
            DEVICES, DEVICES_FOUND, DEVICES_ONLINE, DEVICES_ONLINE_BEFORE, DeviceRow, PRODUCTS, ProductRow,
        },
        sql,
    },
    sum,
    watch::{Loss, Watched},
};

/// Standings that are remembered, so that a report costs no look-up; some 30 to 60 bytes each. At the limit,
/// all are forgotten.
const STANDINGS_MAX: usize = 1 << 20;

/// Products whose switch is remembered. At the limit, all are forgotten.
const SWITCHES_MAX: usize = 1 << 16;

/// The registry keeps a part of what the file of logs keeps: less happens there.
const HAPPENINGS_PART: i64 = 4;

/// Inner error: an answer to the caller.
pub(super) type Change<T> = rusqlite::Result<Result<T, StoreError>>;

#[derive(Debug)]
pub(super) struct Registry {
    connection: Connection,
    /// Committed before the registry, where a transaction of it writes there too.
    log: LogFile,
    key: Arc<DataKey>,
    former: Arc<Mutex<FormerSecrets>>,
    places: Arc<Places>,
    /// The place of what is happening.
    place: Position,
    /// How much was told of it.
    part: Cell<u16>,
    /// Of what happened, so much is kept here; see the module `stream`.
    happenings_bytes: i64,
    /// What a report is judged by, for devices that exist.
    standings: HashMap<DeviceId, KeptStanding>,
    /// Whether products are switched on, by their ids, so that a login reads its device alone.
    switches: HashMap<i64, bool>,
    /// The number of the last committed transaction, once it was read.
    batch: Option<i64>,
    /// Devices whose log says that not all of their latest values are kept.
    told_forgotten: HashSet<DeviceId>,
    /// Devices whose standing the open transaction has changed.
    touched: Vec<DeviceId>,
    /// … or of all of a product.
    touched_all: bool,
    watched: Watched,
    /// The time by which requests with idempotency keys are old, as it was at the start, and when that was.
    request_time: Option<(UnixMillis, Instant)>,
    /// Most commands of a device that have not ended.
    open_commands_max: usize,
    /// The latest values that are copied into a new table.
    aside: Option<Aside>,
    /// Whether some device may have an upgrade, once it was asked for.
    may_have_upgrades: Option<bool>,
    /// How many devices units have that have a quota of them; of those that were counted.
    devices_of_units: HashMap<String, u64>,
}

/// A [`Standing`] in 16 bytes: there is one for each device that reports.
#[derive(Debug, Clone, Copy)]
struct KeptStanding {
    /// One more than its number: no login has the greatest one.
    login: Option<NonZeroU64>,
    secret_version: u32,
    enabled: bool,
}

const _: () = assert!(size_of::<KeptStanding>() <= 16);

impl KeptStanding {
    fn of(Standing { enabled, login, secret_version }: Standing) -> Self {
        let login = login.and_then(|login| NonZeroU64::new(login.0.wrapping_add(1)));
        Self { login, secret_version, enabled }
    }

    fn standing(self) -> Standing {
        let Self { login, secret_version, enabled } = self;
        Standing { enabled, login: login.map(|login| LoginNumber(login.get() - 1)), secret_version }
    }
}

impl Registry {
    pub(super) fn open(
        layout: &Layout,
        options: &SqliteOptions,
        key: Arc<DataKey>,
        former: Arc<Mutex<FormerSecrets>>,
        places: Arc<Places>,
    ) -> Result<Self, OpenError> {
        let connection = REGISTRY.connect(&layout.registry(), options)?;
        let made = connection.execute(DEVICES_ONLINE, []);
        if let Err(error) = made.and_then(|_| connection.execute(DEVICES_ONLINE_BEFORE, [])) {
            tracing::warn!(%error, "the start reads all devices: their index could not be made");
        }
        if let Err(error) = connection.execute_batch(DEVICES_FOUND) {
            tracing::warn!(%error, "searches read all devices: their indexes could not be made");
        }
        if let Err(error) = rates::make_table(&connection) {
            tracing::warn!(%error, "the table of counts of minutes could not be made yet");
        }
        let log = open_log(&connection, layout, options)?;
        let aside = Aside::find(&connection, &layout.registry())?;
        let place = Position { epoch: 0, sequence: 0 };
        let (standings, told_forgotten) = (HashMap::new(), HashSet::new());
        let watched = Watched::new(layout.registry())
            .map_err(|source| OpenError::io(&layout.registry(), "cannot be looked at", source))?;
        Ok(Self {
            connection,
            log,
            key,
            former,
            places,
            place,
            part: Cell::new(0),
            happenings_bytes: options.happenings_kept() / HAPPENINGS_PART,
            standings,
            switches: HashMap::new(),
            batch: None,
            told_forgotten,
            touched: Vec::new(),
            touched_all: false,
            watched,
            request_time: None,
            open_commands_max: options.open_commands_max,
            aside,
            may_have_upgrades: None,
            devices_of_units: HashMap::new(),
        })
    }

    /// The place that the next event gets.
    pub(super) fn upcoming(&self) -> Position {
        self.places.upcoming()
    }

    /// The next event begins: what is noted from here on has this place.
    pub(super) fn next_happening(&mut self) -> Position {
        self.part.set(0);
        self.place = self.places.take();
        self.place
    }

    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        self.touched.clear();
        self.touched_all = false;
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
    }

    /// Commits what the transaction has written to the file of logs, if anything; before [`Self::commit`],
    /// and with the transaction's number. Where nothing but logs is written, in place of it, and with the
    /// negative number of the last one.
    pub(super) fn commit_log(&mut self, batch: i64) -> rusqlite::Result<()> {
        #[cfg(feature = "test-hooks")]
        let is_touched = self.log.is_touched();
        self.log.commit(batch)?;
        #[cfg(feature = "test-hooks")]
        if is_touched {
            crate::failpoint::pass("log-committed");
        }
        Ok(())
    }

    /// Commits the registry: from here on the transaction is complete, in all files. [`Self::numbered`] must
    /// follow.
    pub(super) fn commit(&self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    /// Takes back what was written since [`Self::begin`], if it was called.
    pub(super) fn rollback(&mut self) -> rusqlite::Result<()> {
        for device in self.touched.drain(..) {
            self.standings.remove(&device);
        }
        if self.touched_all {
            self.standings.clear();
        }
        self.switches.clear();
        self.devices_of_units.clear();
        let log = self.log.rollback();
        if self.connection.is_autocommit() {
            return log;
        }
        self.connection.execute_batch("ROLLBACK").and(log)
    }

    /// Whether the files that are written still have their names.
    pub(super) fn look(&mut self) -> Result<(), Loss> {
        self.watched.look().and_then(|()| self.log.look())
    }

    /// The standing of a device changes.
    fn forget_standing(&mut self, device: DeviceId) {
        self.standings.remove(&device);
        self.touched.push(device);
    }

    /// Those of a product's devices do.
    fn forget_standings(&mut self) {
        self.standings.clear();
        self.switches.clear();
        self.touched_all = true;
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn log_connection(&self) -> &Connection {
        self.log.connection()
    }

    /// Writes SQLite's log back into the file; `false`: another program reads it.
    pub(super) fn checkpoint(&self) -> rusqlite::Result<bool> {
        day_file::checkpoint(&self.connection)
    }

    /// As [`Self::checkpoint`], of the file of logs.
    pub(super) fn checkpoint_log(&self) -> rusqlite::Result<bool> {
        self.log.checkpoint()
    }

    /// What decides about a report of the device; `None`: there is no such device.
    pub(super) fn standing(&mut self, device: DeviceId) -> rusqlite::Result<Option<Standing>> {
        if let Some(standing) = self.standings.get(&device) {
            return Ok(Some(standing.standing()));
        }
        let found = unless_damaged(self.device_and_product(device))?;
        let standing = found.map(|(device, product)| Standing {
            enabled: device.enabled && may_connect(&product),
            login: device.login_number,
            secret_version: device.secret_version,
        });
        if let Some(standing) = standing {
            if self.standings.len() >= STANDINGS_MAX {
                self.standings.clear();
            }
            self.standings.insert(device, KeptStanding::of(standing));
        }
        Ok(standing)
    }

    /// A device and its product, both as they were stored.
    fn device_and_product(&self, device: DeviceId) -> rusqlite::Result<Option<(DeviceRow, ProductRow)>> {
        let sql = sql!(
            "SELECT {}, {} FROM devices d LEFT JOIN products p ON p.id = d.product WHERE d.id = ?1",
            DEVICES.list(),
            PRODUCTS.list()
        );
        let what = || format!("the row of device {} or of its product", device.0);
        let found = self.connection.prepare_cached(sql)?.query_row([device.0], |row| {
            Ok((DeviceRow::intact(row, 0, what)?, ProductRow::intact(row, DEVICES.width(), what)?))
        });
        found.optional()
    }

    /// A device as it was stored, and whether its product and its unit are on, in whatever state the row of
    /// the product is.
    fn device_of_any_product(&mut self, device: DeviceId) -> rusqlite::Result<Option<(DeviceRow, bool)>> {
        let sql = sql!("SELECT {} FROM devices d WHERE d.id = ?1", DEVICES.list());
        let what = || format!("the row of device {}", device.0);
        let found = self
            .connection
            .prepare_cached(sql)?
            .query_row([device.0], |row| DeviceRow::intact(row, 0, what))
            .optional()?;
        let Some(row) = found else { return Ok(None) };
        Ok(self.is_product_on(row.product)?.map(|is_on| (row, is_on)))
    }

    /// Whether a product and its unit are on; `None`: there is no such product.
    fn is_product_on(&mut self, product: i64) -> rusqlite::Result<Option<bool>> {
        if let Some(is_on) = self.switches.get(&product) {
            return Ok(Some(*is_on));
        }
        let sql = "SELECT enabled AND suspended IS NOT 1 FROM products WHERE id = ?1";
        let found = self.connection.prepare_cached(sql)?.query_row([product], |row| row.get(0)).optional()?;
        if let Some(is_on) = found {
            if self.switches.len() >= SWITCHES_MAX {
                self.switches.clear();
            }
            self.switches.insert(product, is_on);
        }
        Ok(found)
    }
}

/// Opens the file of logs. It is made where there is none and no batch has touched it yet: a start that was
/// cut off has made the registry alone.
fn open_log(registry: &Connection, layout: &Layout, options: &SqliteOptions) -> Result<LogFile, OpenError> {
    if !layout.log().exists() {
        let sqlite = |error| OpenError::sqlite(&layout.registry(), error);
        if log_batch(registry).map_err(sqlite)?.is_some() {
            return Err(OpenError::LogMissing { file: layout.log() });
        }
        let origin = meta::origin(registry, None).map_err(sqlite)?;
        LogFile::create(layout, &origin, |_| Ok(()))?;
    }
    LogFile::open(layout, options)
}

/// Whether devices of a product may be connected, as far as its row says.
fn may_connect(product: &ProductRow) -> bool {
    product.enabled && product.suspended != Some(true)
}

/// A device whose row is not as it was stored counts as switched off: an error would fail everything that is
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

pub(super) fn missing(device: DeviceId) -> StoreError {
    StoreError::Missing { what: "device", key: device.0.to_string() }
}
