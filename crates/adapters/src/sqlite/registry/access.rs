//! Organisation units and tokens; users stand in a module of their own.

use narrowgate_platform::{
    firmware::Sha256Sum,
    ids::DEFAULT_OU,
    model::access::{Scope, Token, Unit},
    paging::{DamagedRows, Page},
    ports::{AccessChange, AccessFound, AccessQuery, TOKENS_MAX, UNITS_MAX},
};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    super::{
        rows::{self, is_fault_of_row},
        schema::{
            Stored, Table,
            access::{TOKENS, TokenRow, UNITS, UnitRow},
            sql,
        },
    },
    Change, Registry, users,
};

impl Registry {
    /// Whether there is such a unit.
    pub(super) fn has_unit(&self, ou: &str) -> rusqlite::Result<bool> {
        Ok(ou == DEFAULT_OU || self.exists("SELECT EXISTS (SELECT 1 FROM units WHERE ou = ?1)", ou)?)
    }

    pub(in crate::sqlite) fn change_access(&mut self, change: &AccessChange) -> Change<()> {
        match change {
            AccessChange::AddUnit(unit) => self.add_unit(change, unit),
            AccessChange::AddToken(token) => self.add_token(change, token),
            AccessChange::RevokeToken { name } => {
                let delete = "DELETE FROM tokens WHERE name = ?1";
                let deleted = self.connection.prepare_cached(delete)?.execute([name])?;
                Ok(if deleted == 0 { Err(AccessChange::no_token(name)) } else { Ok(()) })
            }
            AccessChange::User(change) => self.change_user(change),
        }
    }

    fn add_unit(&mut self, change: &AccessChange, unit: &Unit) -> Change<()> {
        if unit.is_as_default()
            || self.exists("SELECT EXISTS (SELECT 1 FROM units WHERE ou = ?1)", &unit.ou)?
            || self.exists("SELECT EXISTS (SELECT 1 FROM units WHERE name = ?1)", &unit.name)?
        {
            return Ok(Err(change.exists()));
        }
        if self.has_at_least("SELECT count(*) >= ?1 FROM units", UNITS_MAX)? {
            return Ok(Err(change.is_one_too_many()));
        }
        let Unit { ou, name, created } = unit.clone();
        let mut row = UnitRow { n: 0, ou, name, created };
        row.n = row.insert_numbered(&self.connection)?;
        row.put_sum(&self.connection)?;
        Ok(Ok(()))
    }

    fn add_token(&mut self, change: &AccessChange, token: &Token) -> Change<()> {
        if let Scope::Unit(ou) = &token.scope
            && !self.has_unit(ou)?
        {
            return Ok(Err(AccessChange::no_unit(ou)));
        }
        let by_hash = "SELECT EXISTS (SELECT 1 FROM tokens WHERE hash = ?1)";
        let same = self.connection.prepare_cached(by_hash)?.query_row([token.hash.0], |row| row.get(0))?;
        if same || self.exists("SELECT EXISTS (SELECT 1 FROM tokens WHERE name = ?1)", &token.name)? {
            return Ok(Err(change.exists()));
        }
        if self.has_at_least("SELECT count(*) >= ?1 FROM tokens", TOKENS_MAX)? {
            return Ok(Err(change.is_one_too_many()));
        }
        let Token { name, role, scope, created, expires, hash } = token.clone();
        let ou = scope.unit().map(str::to_owned);
        TokenRow { name, role, ou, created, expires, hash }.insert(&self.connection)?;
        Ok(Ok(()))
    }

    pub(super) fn exists(&self, sql: &str, key: &str) -> rusqlite::Result<bool> {
        self.connection.prepare_cached(sql)?.query_row([key], |row| row.get(0))
    }

    pub(super) fn has_at_least(&self, sql: &str, count: usize) -> rusqlite::Result<bool> {
        self.connection.prepare_cached(sql)?.query_row([count as i64], |row| row.get(0))
    }
}

/// Reads what a query asks for.
pub(in crate::sqlite) fn read(connection: &Connection, query: AccessQuery) -> rusqlite::Result<AccessFound> {
    Ok(match query {
        AccessQuery::Units => {
            let sql = sql!("SELECT {} FROM units o ORDER BY o.n", UNITS.list());
            AccessFound::Units(page(connection, sql, read_unit)?)
        }
        AccessQuery::Tokens => {
            let sql = sql!("SELECT {} FROM tokens t ORDER BY t.name", TOKENS.list());
            AccessFound::Tokens(page(connection, sql, read_token)?)
        }
        AccessQuery::TokenOf(hash) => AccessFound::Token(token_of(connection, hash)?),
        AccessQuery::User(query) => AccessFound::User(users::read(connection, &query)?),
    })
}

/// A damaged token is an error: it may be of another role than it was.
fn token_of(connection: &Connection, hash: Sha256Sum) -> rusqlite::Result<Option<Token>> {
    let sql = sql!("SELECT {} FROM tokens t WHERE t.hash = ?1", TOKENS.list());
    connection.prepare_cached(sql)?.query_row([hash.0], read_token).optional()
}

/// All rows of a table, without those that are damaged.
pub(super) fn page<T>(
    connection: &Connection,
    sql: &str,
    read: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Page<T>> {
    let mut select = connection.prepare_cached(sql)?;
    let mut found = select.query([])?;
    let (mut items, mut damaged) = (Vec::new(), DamagedRows::default());
    while let Some(row) = found.next()? {
        match read(row) {
            Ok(item) => items.push(item),
            Err(error) if is_fault_of_row(&error) => damaged.add(rows::text_of(&error)),
            Err(error) => return Err(error),
        }
    }
    Ok(Page { items, next: None, damaged })
}

fn read_unit(row: &Row<'_>) -> rusqlite::Result<Unit> {
    let UnitRow { n: _, ou, name, created } = UnitRow::intact(row, 0, || what(row, &UNITS, "unit"))?;
    Ok(Unit { ou, name, created })
}

fn read_token(row: &Row<'_>) -> rusqlite::Result<Token> {
    let TokenRow { name, role, ou, created, expires, hash } =
        TokenRow::intact(row, 0, || what(row, &TOKENS, "token"))?;
    Ok(Token { name, role, scope: ou.map_or(Scope::All, Scope::Unit), created, expires, hash })
}

pub(super) fn what(row: &Row<'_>, table: &Table, word: &str) -> String {
    let name = rows::as_read(row, table.position("name")).unwrap_or_default();
    format!("the row of {word} {name}")
}
