//! A part of the step to format 5: the logs and the history of presence get a file of their own.
//!
//! Rows are copied as they are. What SQLite cannot read any more (a damaged page) is left out, and the log of
//! the server says whose entries and how many of them were read: messages and devices are what an upgrade is
//! for. The copy of the registry as it was has the page still.

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params_from_iter, types::ToSqlOutput};

use super::super::{
    belonging,
    error::OpenError,
    files::{Layout, open_existing},
    log_file::{LogFile, NOBODY},
    registry,
    schema::{
        Table,
        log::{LOG, PRESENCE},
    },
};

/// A table of the connection alone, which says that pages of the registry belong to nothing any more:
/// [`has_lost_pages`].
const LOST_PAGES: &str = "migration_lost_pages";
/// Devices that are named where entries of them are lost.
const NAMED_MAX: usize = 5;

/// Makes the file of logs of the registry's rows, in place of one that is there, and takes them away from
/// the registry. Where the transaction is not committed, the file stays behind, and the next attempt makes it
/// anew.
pub(super) fn move_out(registry: &Connection, layout: &Layout) -> Result<(), OpenError> {
    let sqlite = |error| OpenError::sqlite(&layout.registry(), error);
    let named = belonging::name_of_files(layout)?;
    let origin = registry::origin(registry, named).map_err(sqlite)?;
    // Read as it was before the transaction, which could write nothing after it has met a damaged page.
    let before = open_existing(&layout.registry()).map_err(sqlite)?;
    let mut whole = has_whole_index(&before).map_err(sqlite)?;
    LogFile::create(layout, &origin, |logs| {
        for table in [&LOG, &PRESENCE] {
            whole &= copy(&before, logs, table)?;
        }
        Ok(())
    })?;
    let taken =
        if whole { registry.execute_batch("DROP TABLE log; DROP TABLE presence") } else { cut_out(registry) };
    taken.map_err(sqlite)?;
    // No batch has touched it yet, but from here on it must be there.
    registry::set_log_batch(registry, 0).map_err(sqlite)
}

/// Whether only `VACUUM` gives the space of what was moved back, and makes the registry one without faults.
pub(super) fn has_lost_pages(registry: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_temp_schema WHERE name = ?1)";
    registry.query_row(sql, [LOST_PAGES], |row| row.get(0))
}

/// Copies all rows of a table that can be read; returns whether all can.
fn copy(from: &Connection, to: &Connection, table: &Table) -> rusqlite::Result<bool> {
    let copier = Copier::new(from, to, table)?;
    let Some(damage) = copier.rows("ORDER BY device, n", &[])? else { return Ok(true) };
    let mut devices = vec![NOBODY];
    let mut select = from.prepare("SELECT id FROM devices ORDER BY id")?;
    devices.extend(select.query_map([], |row| row.get::<_, i64>(0))?.collect::<Result<Vec<_>, _>>()?);
    let mut hurt = Vec::new();
    for device in devices {
        // From both ends, up to what cannot be read.
        if copier.rows("WHERE device = ?1 ORDER BY n", &[device])?.is_some() {
            copier.rows("WHERE device = ?1 ORDER BY n DESC", &[device])?;
            hurt.push(device);
        }
    }
    let read: i64 = to.query_row(&format!("SELECT count(*) FROM {}", table.name), [], |row| row.get(0))?;
    tracing::error!(
        table = table.name,
        error = %damage,
        read,
        devices = hurt.len(),
        among_them = names(from, &hurt),
        "a page of the registry is damaged: rows of these devices could not be moved to the file of logs \
         and are left out"
    );
    Ok(false)
}

/// Some of these devices, for people.
fn names(registry: &Connection, devices: &[i64]) -> String {
    let name = |device: &i64| {
        let sql = "SELECT device_key FROM devices WHERE id = ?1";
        let key = registry.query_row(sql, [device], |row| row.get::<_, String>(0)).optional();
        match (*device, key) {
            (NOBODY, _) => "refusals of unknown devices".to_owned(),
            (_, Ok(Some(key))) => key,
            (device, _) => format!("id:{device}"),
        }
    };
    devices.iter().take(NAMED_MAX).map(name).collect::<Vec<_>>().join(", ")
}

/// Copies rows of one table.
struct Copier<'a> {
    from: &'a Connection,
    to: &'a Connection,
    width: usize,
    select: String,
    insert: String,
}

impl<'a> Copier<'a> {
    fn new(from: &'a Connection, to: &'a Connection, table: &Table) -> rusqlite::Result<Self> {
        let columns = table.list().replace(&format!("{}.", table.alias), "");
        let places = vec!["?"; table.width()].join(", ");
        let mut select = from.prepare("SELECT name FROM pragma_table_info(?1)")?;
        let known = select.query_map([table.name], |row| row.get::<_, String>(0))?;
        let known = known.collect::<Result<Vec<_>, _>>()?;
        // Before format 4 an entry had no place.
        let read =
            columns.split(", ").map(|name| if known.iter().any(|it| it == name) { name } else { "NULL" });
        let select = format!("SELECT {} FROM {}", read.collect::<Vec<_>>().join(", "), table.name);
        // A row that was copied before is not copied again.
        let insert = format!("INSERT OR IGNORE INTO {} ({columns}) VALUES ({places})", table.name);
        Ok(Self { from, to, width: table.width(), select, insert })
    }

    /// Copies those that `which` selects, up to the first that cannot be read: then the damage.
    fn rows(&self, which: &str, values: &[i64]) -> rusqlite::Result<Option<rusqlite::Error>> {
        let mut insert = self.to.prepare_cached(&self.insert)?;
        let mut select = self.from.prepare_cached(&format!("{} {which}", self.select))?;
        let mut rows = match select.query(params_from_iter(values)) {
            Ok(rows) => rows,
            Err(error) => return damage(error).map(Some),
        };
        loop {
            match rows.next() {
                Ok(None) => return Ok(None),
                Ok(Some(row)) => insert.execute(params_from_iter(self.values(row)?)).map(drop)?,
                Err(error) => return damage(error).map(Some),
            }
        }
    }

    fn values<'row>(&self, row: &'row Row<'_>) -> rusqlite::Result<Vec<ToSqlOutput<'row>>> {
        (0..self.width).map(|column| row.get_ref(column).map(ToSqlOutput::Borrowed)).collect()
    }
}

/// An error that says that the file is damaged; every other one is passed on.
fn damage(error: rusqlite::Error) -> rusqlite::Result<rusqlite::Error> {
    if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) { Ok(error) } else { Err(error) }
}

/// Whether all pages of the only index can be read.
fn has_whole_index(registry: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM log INDEXED BY log_refused WHERE event = 'refused'";
    match registry.query_row(sql, [], |_| Ok(())) {
        Ok(()) => Ok(true),
        Err(error) => damage(error).map(|_| false),
    }
}

/// Takes the names of the tables away: SQLite cannot give damaged pages back. Those of both tables belong to
/// nothing then.
fn cut_out(registry: &Connection) -> rusqlite::Result<()> {
    registry.execute_batch(&format!(
        "PRAGMA writable_schema = ON; \
         DELETE FROM sqlite_schema WHERE tbl_name IN ('log', 'presence'); \
         PRAGMA writable_schema = RESET; CREATE TEMP TABLE {LOST_PAGES} (n)"
    ))
}
