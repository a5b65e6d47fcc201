//! Requests with idempotency keys, and their answers.

use std::time::Instant;

use narrowgate_platform::{
    firmware::Sha256Sum,
    hex,
    ids::UnixMillis,
    model::replay::{AskedBefore, RequestKey},
    ports::{ANSWERS_BYTES_MAX, AccessChange, REQUESTS_MAX, ReplayChange, bytes_of},
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    super::{
        key::{DataKey, SealedRow},
        rows,
        schema::{
            Stored,
            access::{REQUESTS, RequestRow},
            sql,
        },
    },
    Change, Registry, unless_damaged,
};

impl Registry {
    pub(super) fn change_request(&mut self, change: &ReplayChange) -> Change<()> {
        match change {
            ReplayChange::Begin { key, request, at, old } => {
                self.connection.prepare_cached("DELETE FROM requests WHERE at <= ?1")?.execute([old.0])?;
                let known = "SELECT EXISTS (SELECT 1 FROM requests WHERE owner = ?1 AND key = ?2)";
                let known: bool = self
                    .connection
                    .prepare_cached(known)?
                    .query_row(params![key.owner, key.key], |row| row.get(0))?;
                if known {
                    return Ok(Err(AccessChange::Request(change.clone()).exists()));
                }
                let asked = AskedBefore { request: *request, at: *at, answer: None };
                let sealed = self.seal(SealedRow::Request(&name_of(key)), &asked.to_text())?;
                let (owner, key) = (key.owner.clone(), Sha256Sum(key.key));
                let mut row = RequestRow { n: 0, owner, key, at: *at, bytes: 0, sealed };
                row.n = row.insert_numbered(&self.connection)?;
                row.put_sum(&self.connection)?;
                self.evict(&row.owner, REQUESTS_MAX, usize::MAX)?;
            }
            ReplayChange::Keep { key, answer } => {
                let found = unless_damaged(request_row(&self.connection, key))?;
                let Some(row) = found else { return Ok(Ok(())) };
                let name = name_of(key);
                let text = self.key.open(SealedRow::Request(&name), &row.sealed).map_err(rows::unreadable)?;
                let Some(asked) = AskedBefore::from_text(&text, row.at) else { return Ok(Ok(())) };
                let asked = AskedBefore { answer: Some(answer.clone()), ..asked };
                let sealed = self.seal(SealedRow::Request(&name), &asked.to_text())?;
                let bytes = i64::try_from(bytes_of(answer)).unwrap_or(i64::MAX);
                let row = RequestRow { bytes, sealed, ..row };
                REQUESTS.update(&["bytes", "sealed"]).run(&self.connection, &row)?;
                self.evict(&row.owner, usize::MAX, ANSWERS_BYTES_MAX)?;
            }
            ReplayChange::Forget { key } => {
                let sql = "DELETE FROM requests WHERE owner = ?1 AND key = ?2";
                self.connection.prepare_cached(sql)?.execute(params![key.owner, key.key])?;
            }
        }
        Ok(Ok(()))
    }

    /// What time it is for requests: that of the start, and as much later as this process has run since.
    pub(in crate::sqlite) fn request_time(
        &mut self,
        now: Instant,
        at_start: impl FnOnce() -> UnixMillis,
    ) -> UnixMillis {
        let (time, since) = *self.request_time.get_or_insert_with(|| (at_start(), now));
        let later = i64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(i64::MAX);
        UnixMillis(time.0.saturating_add(later))
    }

    /// Deletes requests that were sent up to a time. Where there is none, nothing is written.
    pub(in crate::sqlite) fn forget_requests_before(&mut self, before: UnixMillis) -> rusqlite::Result<()> {
        let first = "SELECT at FROM requests ORDER BY n LIMIT 1";
        let first: Option<i64> =
            self.connection.prepare_cached(first)?.query_row([], |row| row.get(0)).optional()?;
        if first.is_none_or(|first| first > before.0) {
            return Ok(());
        }
        self.begin()?;
        self.connection.prepare_cached("DELETE FROM requests WHERE at <= ?1")?.execute([before.0])?;
        let number = self.number()?;
        self.commit()?;
        self.numbered(number);
        Ok(())
    }

    /// Takes away the oldest requests of an owner until there are no more than so many, with so many bytes.
    fn evict(&self, owner: &str, count_max: usize, bytes_max: usize) -> rusqlite::Result<()> {
        let sql = "SELECT n, bytes FROM requests WHERE owner = ?1 ORDER BY n DESC";
        let mut select = self.connection.prepare_cached(sql)?;
        let mut found = select.query([owner])?;
        let (mut count, mut bytes) = (0_usize, 0_usize);
        while let Some(row) = found.next()? {
            let (n, more): (i64, i64) = (row.get(0)?, row.get(1)?);
            count += 1;
            bytes = bytes.saturating_add(usize::try_from(more).unwrap_or(usize::MAX));
            if count > count_max || bytes > bytes_max {
                let sql = "DELETE FROM requests WHERE owner = ?1 AND n <= ?2";
                self.connection.prepare_cached(sql)?.execute(params![owner, n])?;
                break;
            }
        }
        Ok(())
    }
}

/// A request that was sent with this key. One that is damaged is an error: it may have been carried out.
pub(in crate::sqlite) fn asked_before(
    connection: &Connection,
    data_key: &DataKey,
    key: &RequestKey,
) -> rusqlite::Result<Option<AskedBefore>> {
    let Some(row) = request_row(connection, key)? else { return Ok(None) };
    let text = data_key.open(SealedRow::Request(&name_of(key)), &row.sealed).map_err(rows::unreadable)?;
    Ok(AskedBefore::from_text(&text, row.at))
}

fn request_row(connection: &Connection, key: &RequestKey) -> rusqlite::Result<Option<RequestRow>> {
    let sql = sql!("SELECT {} FROM requests r WHERE r.owner = ?1 AND r.key = ?2", REQUESTS.list());
    let read = |row: &Row<'_>| RequestRow::intact(row, 0, || format!("a request of {}", key.owner));
    connection.prepare_cached(sql)?.query_row(params![key.owner, key.key], read).optional()
}

/// What its row is sealed for.
fn name_of(key: &RequestKey) -> String {
    format!("{}/{}", key.owner, hex::write(&key.key))
}
