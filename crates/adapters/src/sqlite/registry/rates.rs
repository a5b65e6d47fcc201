//! What was counted, minute by minute: a row for each minute of all, and of each organisation unit in which
//! something was counted. Rows of a day are kept.

use std::{collections::BTreeMap, ops::Range};

use narrowgate_platform::{
    model::rates::{COUNTED_BEFORE, CountedMinute, MINUTES_KEPT, RatesFound, RatesQuery, Tally},
    ports::Written,
};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    super::{
        files::has_table,
        rows,
        schema::{
            Stored, insert_or,
            registry::{RATES, RateRow},
            sql,
        },
        sum,
    },
    Registry, unless_damaged,
};

/// In the place of a unit: all of them.
const ALL: &str = "";

/// The row that is there gets the values of the new one.
const ADD: &str = "ON CONFLICT DO UPDATE SET since = excluded.since, reports = excluded.reports, \
                   refusals = excluded.refusals, sum = excluded.sum";

/// Makes the table where there is none.
pub(super) fn make_table(registry: &Connection) -> rusqlite::Result<()> {
    if has_table(registry, RATES.name)? { Ok(()) } else { registry.execute_batch(&RATES.create()) }
}

impl Registry {
    /// See [`narrowgate_platform::ports::Write::Rates`].
    pub(in crate::sqlite) fn note_rates(&self, counted: &CountedMinute) -> rusqlite::Result<Written> {
        make_table(&self.connection)?;
        let mut of_units: BTreeMap<String, Tally> = BTreeMap::new();
        let mut unit = self.connection.prepare_cached("SELECT ou FROM products WHERE product_key = ?1")?;
        for (product_key, tally) in &counted.products {
            let found = unit.query_row([product_key], |row| rows::as_read(row, 0)).optional()?;
            if let Some(ou) = found {
                of_units.entry(ou).or_default().add(tally);
            }
        }
        let has_gone_on = self.has_counted_before(counted.minute)?;
        self.add_rate(ALL, counted, counted.all, has_gone_on)?;
        for (ou, tally) in of_units {
            self.add_rate(&ou, counted, tally, has_gone_on)?;
        }
        Ok(Written::Done)
    }

    /// Whether something was counted in the day up to an hour before.
    fn has_counted_before(&self, minute: i64) -> rusqlite::Result<bool> {
        let exists = "SELECT EXISTS (SELECT 1 FROM rates WHERE ou = ?1 AND minute BETWEEN ?2 AND ?3)";
        let span = (ALL, minute - MINUTES_KEPT, minute - COUNTED_BEFORE);
        self.connection.prepare_cached(exists)?.query_row(span, |row| row.get(0))
    }

    /// Adds to a row; one that is damaged begins anew. `has_gone_on`: what is older than a day goes. What is
    /// further ahead goes in any case.
    fn add_rate(
        &self,
        ou: &str,
        counted: &CountedMinute,
        mut tally: Tally,
        has_gone_on: bool,
    ) -> rusqlite::Result<()> {
        let CountedMinute { minute, mut since, .. } = *counted;
        let select = sql!("SELECT {} FROM rates w WHERE w.ou = ?1 AND w.minute = ?2", RATES.list());
        let mut select = self.connection.prepare_cached(select)?;
        if let Some(row) = unless_damaged(select.query_row((ou, minute), rate).optional())? {
            since = since.min(row.since);
            tally.add(&tally_of(&row));
        }
        let row = RateRow {
            ou: ou.to_owned(),
            minute,
            since,
            reports: tally.reports,
            refusals: tally.refusals_json(),
        };
        row.insert_or(&self.connection, sql!("{}", insert_or(&RATES, ADD)))?;
        // Two ranges: with `OR`, SQLite would read all minutes of the unit.
        let before = "DELETE FROM rates WHERE ou = ?1 AND minute < ?2";
        let behind = "DELETE FROM rates WHERE ou = ?1 AND minute > ?2";
        if has_gone_on {
            self.connection.prepare_cached(before)?.execute((ou, minute - MINUTES_KEPT))?;
        }
        self.connection.prepare_cached(behind)?.execute((ou, minute + MINUTES_KEPT))?;
        Ok(())
    }
}

/// See [`narrowgate_platform::ports::Registry::rates`]. A damaged row is left out: nothing is known of it.
/// Where there is no table, nothing is known.
pub(in crate::sqlite) fn read(registry: &Connection, query: &RatesQuery) -> rusqlite::Result<RatesFound> {
    let mut found = RatesFound::default();
    if !has_table(registry, RATES.name)? {
        return Ok(found);
    }
    for row in intact(registry, ALL, query.from..i64::MAX, &mut found.damaged)? {
        found.know(row.since.max(query.from)..row.minute.saturating_add(1).min(query.until));
    }
    let ou = query.ou.as_deref().unwrap_or(ALL);
    let rows = intact(registry, ou, query.minutes(), &mut found.damaged)?;
    let minutes = rows.iter().map(|row| (row.minute, tally_of(row)));
    found.minutes = minutes.filter(|(_, tally)| !tally.is_empty()).collect();
    // Where those of all are asked for, their rows were read twice.
    found.damaged.sort_unstable();
    found.damaged.dedup();
    Ok(found)
}

/// Rows of these minutes, rising. The minutes of those that are damaged are told.
fn intact(
    registry: &Connection,
    ou: &str,
    minutes: Range<i64>,
    damaged: &mut Vec<i64>,
) -> rusqlite::Result<Vec<RateRow>> {
    let sql = sql!(
        "SELECT {} FROM rates w WHERE w.ou = ?1 AND w.minute >= ?2 AND w.minute < ?3 ORDER BY w.minute",
        RATES.list()
    );
    let mut select = registry.prepare_cached(sql)?;
    let mut rows = select.query((ou, minutes.start, minutes.end))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        match rate(row) {
            // By its place in the table, where it was found.
            Err(error) if sum::is_damage(&error) => damaged.push(row.get("minute")?),
            read => found.push(read?),
        }
    }
    Ok(found)
}

fn rate(row: &Row<'_>) -> rusqlite::Result<RateRow> {
    RateRow::intact(row, 0, || "what was counted in a minute".to_owned())
}

/// What was counted; a sum that is right does not stand beside other JSON than ours.
fn tally_of(row: &RateRow) -> Tally {
    Tally::read(row.reports, &row.refusals).unwrap_or_default()
}
