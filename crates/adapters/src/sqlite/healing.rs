//! Changes that heal an index which does not fit its rows.
//!
//! A bit that flips in an indexed column leaves an index that does not match the row, and SQLite refuses to
//! delete such a row. Rows have sums of their own, indexes are made from them: the index is rebuilt, and the
//! row is deleted.

use rusqlite::{Connection, ErrorCode};

/// Runs a change that deletes or replaces rows of a table, in a transaction. Where an index does not match
/// them, the change is undone, the index is rebuilt, and the change is made again.
pub(super) fn healing(
    connection: &Connection,
    table: &'static str,
    change: impl Fn() -> rusqlite::Result<usize>,
) -> rusqlite::Result<usize> {
    connection.prepare_cached("SAVEPOINT removal")?.execute([])?;
    let changed = match change() {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
            tracing::error!(table, %error, "an index does not fit its rows and is made anew");
            connection.prepare_cached("ROLLBACK TO removal")?.execute([])?;
            connection.execute_batch(&format!("REINDEX {table}")).and_then(|()| change())
        }
        changed => changed,
    };
    connection.prepare_cached("RELEASE removal")?.execute([])?;
    changed
}
