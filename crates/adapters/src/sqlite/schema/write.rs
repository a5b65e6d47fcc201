//! Statements that write rows, and how their values are bound.

use std::ops::RangeFrom;

use rusqlite::{
    Connection, Statement,
    types::{ToSqlOutput, ValueRef},
};

use super::Stored;

/// Rows that one statement adds, where there are so many.
pub(super) const AT_ONCE: usize = 16;

/// Adds rows, in this order: [`AT_ONCE`] of them with one statement. Where it fails, some of them may be
/// there, and the transaction has to be taken back.
pub(in crate::sqlite) fn insert_all<R: Stored>(connection: &Connection, rows: &[R]) -> rusqlite::Result<()> {
    let texts = &R::table().texts;
    let (groups, rest) = rows.as_chunks::<AT_ONCE>();
    let many = (&texts.insert_many, groups.as_flattened().chunks(AT_ONCE));
    for (sql, groups) in [many, (&texts.insert, rest.chunks(1))] {
        if groups.len() == 0 {
            continue;
        }
        let mut insert = connection.prepare_cached(sql)?;
        for group in groups {
            let mut places = 1..;
            for row in group {
                let values = row.values();
                let sum = ValueRef::Integer(R::table().sum(&values));
                bind(&mut insert, values.into_iter().chain([sum]), &mut places)?;
            }
            run_bound(&mut insert, places.start)?;
        }
    }
    Ok(())
}

/// Runs a statement with these values, in the order of its places.
pub(super) fn execute<'a>(
    connection: &Connection,
    sql: &str,
    values: impl Iterator<Item = ValueRef<'a>>,
) -> rusqlite::Result<usize> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut places = 1..;
    bind(&mut statement, values, &mut places)?;
    run_bound(&mut statement, places.start)
}

/// Binds values to the next places of a statement.
fn bind<'a>(
    statement: &mut Statement<'_>,
    values: impl Iterator<Item = ValueRef<'a>>,
    places: &mut RangeFrom<usize>,
) -> rusqlite::Result<()> {
    for value in values {
        let place = places.start;
        statement.raw_bind_parameter(place, ToSqlOutput::Borrowed(value))?;
        places.start = place + 1;
    }
    Ok(())
}

/// Runs a statement whose values are bound up to the place before this one, which must be all that it has.
fn run_bound(statement: &mut Statement<'_>, end: usize) -> rusqlite::Result<usize> {
    let count = statement.parameter_count();
    if end != count + 1 {
        return Err(rusqlite::Error::InvalidParameterCount(end - 1, count));
    }
    statement.raw_execute()
}
