//! Checksums of rows: SQLite has none in its files, so a bit that flips on the disk would be shown as a report that
//! nobody sent. A sum is written with the row and compared whenever the row is read.
//!
//! The first 8 bytes of a SHA-256 over a letter for the table, the numbers (little endian) and the text. It finds
//! accidents, it does not authenticate: whoever may write to the files can write sums too.

use rusqlite::types::Type;
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

/// Of a device's latest values.
pub(super) fn of_latest(device: i64, points: &str) -> i64 {
    sum(b'l', &[device], &[points])
}

/// Of a message file's footer: batch, first id, least and greatest time.
pub(super) fn of_footer(footer: [i64; 4]) -> i64 {
    sum(b'f', &footer, &[])
}

/// Passes where the stored sum is the right one; `what` names the row for people.
pub(super) fn check(stored: i64, right: i64, what: impl FnOnce() -> String) -> rusqlite::Result<()> {
    if stored == right {
        return Ok(());
    }
    let damaged = Box::new(DamagedRow { what: what() });
    Err(rusqlite::Error::FromSqlConversionFailure(0, Type::Integer, damaged))
}

fn sum(table: u8, numbers: &[i64], texts: &[&str]) -> i64 {
    let mut digest = Sha256::new().chain_update([table]);
    for number in numbers {
        digest.update(number.to_le_bytes());
    }
    for text in texts {
        digest.update(text.as_bytes());
    }
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
            of_latest(1, "{}"),
            of_footer([1, 2, 3, 4]),
        ];
        assert!(!others.contains(&right));
        check(right, right, String::new).unwrap();
        let damaged = check(right, right ^ 1, || "message 1".to_owned()).unwrap_err().to_string();
        assert!(damaged.contains("message 1 is not as it was stored"), "{damaged}");
    }
}
