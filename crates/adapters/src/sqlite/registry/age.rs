//! Log entries and changes of presence that are too old to be kept.

use std::ops::Range;

use narrowgate_platform::ids::UnixMillis;
use rusqlite::params;

use super::Registry;

impl Registry {
    /// Deletes what is older than `before` of the devices whose ids lie in a range; returns how many rows.
    /// Where there is nothing, nothing is written.
    pub(in crate::sqlite) fn forget_before(
        &mut self,
        devices: Range<i64>,
        before: UnixMillis,
    ) -> rusqlite::Result<usize> {
        let values = params![devices.start, devices.end, before.0];
        let old = "SELECT EXISTS (SELECT 1 FROM log WHERE device >= ?1 AND device < ?2 AND +time < ?3) \
                   OR EXISTS (SELECT 1 FROM presence WHERE device >= ?1 AND device < ?2 AND at < ?3)";
        if !self.connection.prepare_cached(old)?.query_row(values, |row| row.get::<_, bool>(0))? {
            return Ok(0);
        }
        self.begin()?;
        let mut rows = 0;
        for (table, sql) in [
            ("log", "DELETE FROM log WHERE device >= ?1 AND device < ?2 AND +time < ?3"),
            ("presence", "DELETE FROM presence WHERE device >= ?1 AND device < ?2 AND at < ?3"),
        ] {
            rows += self.take_away(table, sql, values)?;
        }
        let number = self.number()?;
        self.commit()?;
        self.numbered(number);
        Ok(rows)
    }

    /// The greatest id of a device; 0: there is none.
    pub(in crate::sqlite) fn last_device(&self) -> rusqlite::Result<i64> {
        let sql = "SELECT coalesce(max(id), 0) FROM devices";
        self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
    }
}
