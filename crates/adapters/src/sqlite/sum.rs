//! Checksums of rows: SQLite has none in its files, so a bit that flips on the disk would be shown as a
//! report that nobody sent. A sum is written with the row and compared whenever the row is read.
//!
//! The first 8 bytes of a SHA-256 over a word for the table and all values of the row, by [`of_row`]; in SQL,
//! for conditions, the same function is `row_sum`. It finds accidents, it does not authenticate: anyone who
//! can write to the files can write sums too.

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

/// Passes where the stored sum is the right one; `what` names the row for people.
pub(super) fn check(stored: ValueRef<'_>, right: i64, what: impl FnOnce() -> String) -> rusqlite::Result<()> {
    if stored == ValueRef::Integer(right) {
        return Ok(());
    }
    let damaged = Box::new(DamagedRow { what: what() });
    Err(rusqlite::Error::FromSqlConversionFailure(0, Type::Integer, damaged))
}

/// Of a row: of the word for its table and of its values, in the order of the table's columns. Of the values
/// after the first `first`, whose columns came with a later format, only those count that are not NULL.
pub(super) fn of_row<'a>(word: &'a str, first: usize, values: impl IntoIterator<Item = ValueRef<'a>>) -> i64 {
    let mut gathered = Gathered::new();
    gathered.add(ValueRef::Text(word.as_bytes()));
    for (number, value) in values.into_iter().enumerate() {
        if number < first {
            gathered.add(value);
        } else if !matches!(value, ValueRef::Null) {
            gathered.add(ValueRef::Integer(number as i64));
            gathered.add(value);
        }
    }
    gathered.head()
}

/// Adds `row_sum` to the SQL of a connection: [`of_row`] of a word, of how many values always count, and of
/// values.
pub(super) fn teach(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("row_sum", -1, flags, |values| {
        let (word, first): (_, u32) = (values.get_raw(0).as_str()?, values.get(1)?);
        Ok(of_row(word, first as usize, (2..values.len()).map(|index| values.get_raw(index))))
    })
}

/// What is to be digested. Most of a row are numbers and short texts: digested one by one they cost more than
/// the digest itself.
struct Gathered {
    /// Of what is not there any more.
    digest: Option<Sha256>,
    bytes: [u8; GATHERED_BYTES],
    len: usize,
}

/// Most rows have less.
const GATHERED_BYTES: usize = 512;

impl Gathered {
    fn new() -> Self {
        Self { digest: None, bytes: [0; GATHERED_BYTES], len: 0 }
    }

    /// A letter for the type and, where it may vary, the length: no two rows give the same bytes.
    fn add(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Null => self.put(b"n"),
            ValueRef::Integer(value) => self.put_number(b'i', value.to_le_bytes()),
            ValueRef::Real(value) => self.put_number(b'r', value.to_le_bytes()),
            ValueRef::Text(bytes) => self.put_bytes(b't', bytes),
            ValueRef::Blob(bytes) => self.put_bytes(b'b', bytes),
        }
    }

    fn put_number(&mut self, kind: u8, value: [u8; 8]) {
        let [a, b, c, d, e, f, g, h] = value;
        let bytes = [kind, a, b, c, d, e, f, g, h];
        // The length is known here: two stores instead of a call.
        match self.bytes.get_mut(self.len..).and_then(<[u8]>::first_chunk_mut) {
            Some(place) => {
                *place = bytes;
                self.len += bytes.len();
            }
            None => self.put(&bytes),
        }
    }

    fn put_bytes(&mut self, kind: u8, bytes: &[u8]) {
        self.put_number(kind, (bytes.len() as u64).to_le_bytes());
        self.put(bytes);
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.bytes.len() - self.len < bytes.len() {
            let digest = self.digest.get_or_insert_default();
            digest.update(&self.bytes[..self.len]);
            self.len = 0;
            if bytes.len() > self.bytes.len() {
                digest.update(bytes);
                return;
            }
        }
        self.bytes[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn head(&mut self) -> i64 {
        let last = &self.bytes[..self.len];
        match self.digest.take() {
            Some(digest) => head(digest.chain_update(last)),
            None => head_of(Sha256::digest(last).into()),
        }
    }
}

/// Passes where the column, a condition about sums, says that a row is as it was stored; `what` names the
/// row.
pub(super) fn intact(row: &Row<'_>, column: usize, what: impl FnOnce() -> String) -> rusqlite::Result<()> {
    check(row.get_ref(column)?, 1, what)
}

/// Whether this is about a row that is not as it was stored.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::FromSqlConversionFailure(_, _, source) if source.is::<DamagedRow>())
}

/// Of what was digested.
pub(super) fn head(digest: Sha256) -> i64 {
    head_of(digest.finalize().into())
}

fn head_of(digest: [u8; 32]) -> i64 {
    let (first, _) = digest.split_first_chunk().expect("a digest of 32 bytes has 8");
    i64::from_le_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_that_is_another_one_is_damage() {
        check(ValueRef::Integer(7), 7, String::new).unwrap();
        for other in [ValueRef::Integer(6), ValueRef::Text(b"7"), ValueRef::Null] {
            let damaged = check(other, 7, || "message 1".to_owned()).unwrap_err().to_string();
            assert!(damaged.contains("message 1 is not as it was stored"), "{damaged}");
        }
    }

    #[test]
    fn a_sum_is_the_same_however_it_is_gathered() {
        // By the description at the head, digested at once; texts around the size of the buffer.
        for len in [0, 1, GATHERED_BYTES - 20, GATHERED_BYTES - 1, GATHERED_BYTES, 3 * GATHERED_BYTES] {
            let text = vec![b'x'; len];
            let values = [
                ValueRef::Null,
                ValueRef::Integer(-7),
                ValueRef::Text(&text),
                ValueRef::Real(21.5),
                ValueRef::Blob(&text),
            ];
            let length = (len as u64).to_le_bytes();
            let parts: [&[u8]; 14] = [
                b"t",
                &3_u64.to_le_bytes(),
                b"row",
                b"n",
                b"i",
                &(-7_i64).to_le_bytes(),
                b"t",
                &length,
                &text,
                b"r",
                &21.5_f64.to_le_bytes(),
                b"b",
                &length,
                &text,
            ];
            let digest: [u8; 32] = Sha256::digest(parts.concat()).into();
            assert_eq!(of_row("row", 9, values).to_le_bytes(), digest[..8], "{len}");
        }
    }

    #[test]
    fn a_later_column_counts_where_it_is_not_null_and_by_its_place() {
        let (one, two, null) = (ValueRef::Integer(1), ValueRef::Integer(2), ValueRef::Null);
        let as_before = of_row("t", 1, [one]);
        assert_eq!(of_row("t", 1, [one, null, null]), as_before, "added without touching the row");
        let sums =
            [[two, null], [null, two], [two, two], [one, null]].map(|[a, b]| of_row("t", 1, [one, a, b]));
        for (index, sum) in sums.iter().enumerate() {
            assert!(*sum != as_before && !sums[..index].contains(sum), "{index}");
        }
    }

    #[test]
    fn row_sum_tells_values_types_and_their_borders_apart() {
        let connection = Connection::open_in_memory().unwrap();
        teach(&connection).unwrap();
        let of = |values: &str| -> i64 {
            let comma = if values.is_empty() { "" } else { "," };
            let sql = format!("SELECT row_sum('word', 9{comma} {values})");
            connection.query_row(&sql, [], |row| row.get(0)).unwrap()
        };
        let rows =
            ["1", "'1'", "x'31'", "1.0", "NULL", "", "'1', ''", "'', '1'", "'1', NULL", "NULL, '1'", "'n'"];
        for (index, row) in rows.iter().enumerate() {
            assert_eq!(of(row), of(row), "{row}");
            assert!(rows[..index].iter().all(|other| of(other) != of(row)), "{row}");
        }
    }
}
