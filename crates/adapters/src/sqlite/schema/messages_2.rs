//! Message files of format 2, which were begun before a report had a login, a session and a place among all
//! events. Its sums have an encoding of their own. Nothing here changes any more.

use narrowgate_platform::ids::{DeviceId, LoginNumber, UnixMillis};
use rusqlite::{Connection, Row, params, types::ValueRef};
use sha2::{Digest, Sha256};

use super::{
    super::sum,
    Cell, cell,
    messages::{FooterRow, MessageRow},
};

pub(super) const FORMAT: u32 = 2;
/// What [`read`] reads, of `messages m`.
pub(super) const LIST: &str = "m.id, m.device, m.kind, m.time, m.arrival, m.points, m.sum";
/// Where the kind stands in it.
pub(super) const KIND: usize = 2;

/// Reads a row of [`LIST`] that has its right sum.
pub(super) fn read(row: &Row<'_>, what: impl FnOnce() -> String) -> rusqlite::Result<MessageRow> {
    let (id, device, time, arrival): (i64, i64, i64, i64) =
        (row.get(0)?, row.get(1)?, row.get(3)?, row.get(4)?);
    let (kind, points) = (row.get_ref(2)?.as_str()?, row.get_ref(5)?.as_str()?);
    sum::check(row.get_ref(6)?, of_message(id, device, kind, (time, arrival), points), what)?;
    Ok(MessageRow {
        id,
        device: DeviceId(device),
        kind: cell(row, 2)?,
        time: UnixMillis(time),
        arrival: UnixMillis(arrival),
        points: points.into(),
        login_number: LoginNumber(0),
        session: 0,
        epoch: 0,
        sequence: 0,
    })
}

pub(super) fn add(file: &Connection, message: &MessageRow) -> rusqlite::Result<()> {
    let sql = "INSERT INTO messages (id, device, kind, time, arrival, points, sum) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    write(file, sql, message)
}

/// Puts a row in the place of the one that has its id.
pub(super) fn replace(file: &Connection, message: &MessageRow) -> rusqlite::Result<()> {
    let sql = "UPDATE messages SET device = ?2, kind = ?3, time = ?4, arrival = ?5, points = ?6, sum = ?7 \
               WHERE id = ?1";
    write(file, sql, message)
}

fn write(file: &Connection, sql: &str, message: &MessageRow) -> rusqlite::Result<()> {
    let MessageRow { id, device, kind, time, arrival, points, .. } = message;
    let ValueRef::Text(word) = kind.value() else { return Err(rusqlite::Error::InvalidQuery) };
    let kind = std::str::from_utf8(word)?;
    let sum = of_message(*id, device.0, kind, (time.0, arrival.0), points);
    let values = params![id, device.0, kind, time.0, arrival.0, points, sum];
    file.prepare_cached(sql)?.execute(values).map(drop)
}

pub(super) fn footer(file: &Connection, what: impl FnOnce() -> String) -> rusqlite::Result<FooterRow> {
    let select = "SELECT batch, first_id, time_min, time_max, sum FROM footer";
    file.prepare_cached(select)?.query_row([], |row| {
        let (batch, first_id, time_min, time_max) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        sum::check(row.get_ref(4)?, of_footer([batch, first_id, time_min, time_max]), what)?;
        Ok(FooterRow { one: 1, batch, first_id, time_min, time_max })
    })
}

pub(super) fn put_footer(file: &Connection, footer: &FooterRow) -> rusqlite::Result<()> {
    let FooterRow { batch, first_id, time_min, time_max, .. } = *footer;
    let sum = of_footer([batch, first_id, time_min, time_max]);
    let update = "UPDATE footer SET batch = ?1, first_id = ?2, time_min = ?3, time_max = ?4, sum = ?5";
    file.prepare_cached(update)?.execute(params![batch, first_id, time_min, time_max, sum]).map(drop)
}

/// The sum of a message.
fn of_message(id: i64, device: i64, kind: &str, (time, arrival): (i64, i64), points: &str) -> i64 {
    // The words for kinds have different lengths, and the text follows at the end: no two rows give the same
    // bytes.
    let digest = numbers(b'm', &[id, device, time, arrival, kind.len() as i64]);
    sum::head(digest.chain_update(kind).chain_update(points))
}

/// The sum of a footer: batch, first id, least and greatest time.
fn of_footer(footer: [i64; 4]) -> i64 {
    sum::head(numbers(b'f', &footer))
}

/// A letter for the table, and numbers, little endian.
fn numbers(table: u8, numbers: &[i64]) -> Sha256 {
    numbers
        .iter()
        .fold(Sha256::new().chain_update([table]), |digest, number| digest.chain_update(number.to_le_bytes()))
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
    }
}
