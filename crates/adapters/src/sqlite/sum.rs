//! Checksums of rows: SQLite has none in its files, so a bit that flips on the disk would be shown as a report that
//! nobody sent. A sum is written with the row and compared whenever the row is read.
//!
//! The first 8 bytes of a SHA-256 over a letter for the table, the numbers (little endian) and the text. It finds
//! accidents, it does not authenticate: whoever may write to the files can write sums too.
//!
//! A row of the registry is summed by [`of_row`]: of a word for its table and all its values. The same function is
//! `row_sum` in SQL, for conditions and triggers.

use rusqlite::{
    Connection, Row,
    functions::FunctionFlags,
    types::{Type, ValueRef},
};
use sha2::{Digest, Sha256};

/// A row that is not as it was written.
#[derive(Debug, thiserror::Error)]
#[error("{what} is not as it was stored")]
pub(super) struct DamagedRow {
    what: String,
}

/// Of the message with this id.
pub(super) fn of_message(id: i64, device: i64, kind: &str, (time, arrival): (i64, i64), points: &str) -> i64 {
    // The words for kinds have different lengths, and the text follows at the end: no two rows give the same bytes.
    sum(b'm', &[id, device, time, arrival, kind.len() as i64], &[kind, points])
}

/// Of a message file's footer: batch, first id, least and greatest time.
pub(super) fn of_footer(footer: [i64; 4]) -> i64 {
    sum(b'f', &footer, &[])
}

/// Passes where the stored sum is the right one; `what` names the row for people.
pub(super) fn check(stored: ValueRef<'_>, right: i64, what: impl FnOnce() -> String) -> rusqlite::Result<()> {
    if stored == ValueRef::Integer(right) {
        return Ok(());
    }
    let damaged = Box::new(DamagedRow { what: what() });
    Err(rusqlite::Error::FromSqlConversionFailure(0, Type::Integer, damaged))
}

/// Of a row: of the word for its table and of its values, in the order of the table's columns.
pub(super) fn of_row<'a>(word: &'a str, values: impl IntoIterator<Item = ValueRef<'a>>) -> i64 {
    let mut digest = Sha256::new();
    add(&mut digest, ValueRef::Text(word.as_bytes()));
    values.into_iter().for_each(|value| add(&mut digest, value));
    head(digest)
}

/// Adds `row_sum` to the SQL of a connection: [`of_row`] of a word and values.
pub(super) fn teach(connection: &Connection) -> rusqlite::Result<()> {
    // Innocuous: the schema's triggers may use it although the schema is not trusted.
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("row_sum", -1, flags, |values| {
        let mut digest = Sha256::new();
        (0..values.len()).for_each(|index| add(&mut digest, values.get_raw(index)));
        Ok(head(digest))
    })
}

/// A letter for the type and, where it may vary, the length: no two rows give the same bytes.
fn add(digest: &mut Sha256, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => digest.update(b"n"),
        ValueRef::Integer(value) => {
            digest.update(b"i");
            digest.update(value.to_le_bytes());
        }
        ValueRef::Real(value) => {
            digest.update(b"r");
            digest.update(value.to_le_bytes());
        }
        ValueRef::Text(bytes) => add_bytes(digest, b"t", bytes),
        ValueRef::Blob(bytes) => add_bytes(digest, b"b", bytes),
    }
}

fn add_bytes(digest: &mut Sha256, kind: &[u8], bytes: &[u8]) {
    digest.update(kind);
    digest.update((bytes.len() as u64).to_le_bytes());
    digest.update(bytes);
}

/// Passes where the column, a condition about sums, says that a row is as it was stored; `what` names the row.
pub(super) fn intact(row: &Row<'_>, column: usize, what: impl FnOnce() -> String) -> rusqlite::Result<()> {
    check(row.get_ref(column)?, 1, what)
}

/// Whether this is about a row that is not as it was stored.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::FromSqlConversionFailure(_, _, source) if source.is::<DamagedRow>())
}

fn sum(table: u8, numbers: &[i64], texts: &[&str]) -> i64 {
    let mut digest = Sha256::new().chain_update([table]);
    for number in numbers {
        digest.update(number.to_le_bytes());
    }
    for text in texts {
        digest.update(text.as_bytes());
    }
    head(digest)
}

fn head(digest: Sha256) -> i64 {
    let digest: [u8; 32] = digest.finalize().into();
    let (first, _) = digest.split_first_chunk().expect("a digest of 32 bytes has 8");
    i64::from_le_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_row_counts() {
        let right = of_message(1, 2, "points", (3, 4), "{}");
        let others = [
            of_message(2, 2, "points", (3, 4), "{}"),
            of_message(1, 3, "points", (3, 4), "{}"),
            of_message(1, 2, "resumed", (3, 4), "{}"),
            of_message(1, 2, "points", (4, 3), "{}"),
            of_message(1, 2, "points", (3, 4), "{ }"),
            of_message(1, 2, "point", (3, 4), "s{}"),
            of_footer([1, 2, 3, 4]),
        ];
        assert!(!others.contains(&right));
        check(ValueRef::Integer(right), right, String::new).unwrap();
        let damaged =
            check(ValueRef::Integer(right), right ^ 1, || "message 1".to_owned()).unwrap_err().to_string();
        assert!(damaged.contains("message 1 is not as it was stored"), "{damaged}");
    }

    #[test]
    fn row_sum_tells_values_types_and_their_borders_apart() {
        let connection = Connection::open_in_memory().unwrap();
        teach(&connection).unwrap();
        let of = |values: &str| -> i64 {
            connection.query_row(&format!("SELECT row_sum({values})"), [], |row| row.get(0)).unwrap()
        };
        let rows =
            ["1", "'1'", "x'31'", "1.0", "NULL", "", "'1', ''", "'', '1'", "'1', NULL", "NULL, '1'", "'n'"];
        for (index, row) in rows.iter().enumerate() {
            assert_eq!(of(row), of(row), "{row}");
            assert!(rows[..index].iter().all(|other| of(other) != of(row)), "{row}");
        }
    }
}
