//! A part of the step to format 5: the logs and the history of presence get a file of their own.

use rusqlite::{Connection, params_from_iter, types::ToSqlOutput};

use super::super::{
    belonging,
    error::OpenError,
    files::Layout,
    log_file::LogFile,
    registry,
    schema::{
        Table,
        log::{LOG, PRESENCE},
    },
};

/// Makes the file of logs of the registry's rows, in place of one that is there, and takes them away from
/// the registry. Where the transaction is not committed, the file stays behind, and the next attempt makes it
/// anew.
pub(super) fn move_out(registry: &Connection, layout: &Layout) -> Result<(), OpenError> {
    let sqlite = |error| OpenError::sqlite(&layout.registry(), error);
    let named = belonging::name_of_files(layout)?;
    let origin = registry::origin(registry, named).map_err(sqlite)?;
    LogFile::create(layout, &origin, |logs| {
        [&LOG, &PRESENCE].into_iter().try_for_each(|table| copy(registry, logs, table))
    })?;
    let taken = registry.execute_batch("DROP TABLE log; DROP TABLE presence");
    // No batch has touched it yet, but from here on it must be there.
    taken.and_then(|()| registry::set_log_batch(registry, 0)).map_err(sqlite)
}

/// Copies all rows of a table as they are.
fn copy(from: &Connection, to: &Connection, table: &Table) -> rusqlite::Result<()> {
    let columns = table.list().replace(&format!("{}.", table.alias), "");
    let places = vec!["?"; table.width()].join(", ");
    let mut insert = to.prepare(&format!("INSERT INTO {} ({columns}) VALUES ({places})", table.name))?;
    let mut select = from.prepare(&format!("SELECT {columns} FROM {} ORDER BY device, n", table.name))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let values = (0..table.width()).map(|column| row.get_ref(column).map(ToSqlOutput::Borrowed));
        insert.execute(params_from_iter(values.collect::<rusqlite::Result<Vec<_>>>()?))?;
    }
    Ok(())
}
