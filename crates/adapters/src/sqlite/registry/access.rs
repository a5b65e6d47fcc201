//! Organisation units and tokens; users stand in a module of their own.

use narrowgate_platform::{
    firmware::Sha256Sum,
    ids::{DEFAULT_OU, UnixMillis},
    model::access::{Quotas, QuotasPatch, ReportsOfDay, Scope, Token, Unit},
    paging::{DamagedRows, Page},
    ports::{
        AccessChange, AccessFound, AccessQuery, Changed, Quota, TOKENS_MAX, UNITS_MAX, UnitChanged, Written,
    },
    rules::quotas::permit_one_more,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    super::{
        key::DataKey,
        rows::{self, is_fault_of_row},
        schema::{
            Stored, Table,
            access::{TOKENS, TokenRow, UNITS, UnitRow},
            registry::{PRODUCTS, ProductRow},
            sql,
        },
    },
    Change, Registry,
    replay::asked_before,
    unless_damaged, users,
};

impl Registry {
    /// Whether there is such a unit.
    pub(super) fn has_unit(&self, ou: &str) -> rusqlite::Result<bool> {
        Ok(ou == DEFAULT_OU || self.exists("SELECT EXISTS (SELECT 1 FROM units WHERE ou = ?1)", ou)?)
    }

    /// Whether this unit is suspended, by its row as it is read.
    pub(super) fn is_suspended(&self, ou: &str) -> rusqlite::Result<bool> {
        self.exists("SELECT EXISTS (SELECT 1 FROM units WHERE ou = ?1 AND suspended IS NOT NULL)", ou)
    }

    pub(in crate::sqlite) fn change_access(&mut self, change: &AccessChange) -> Change<Changed> {
        let changed = match change {
            AccessChange::AddUnit(unit) => self.add_unit(change, unit),
            AccessChange::SuspendUnit { ou, since } => {
                let changed = self.suspend_unit(ou, *since)?;
                return Ok(changed.map(|changed| Changed::Unit(Box::new(changed))));
            }
            AccessChange::SetQuotas { ou, by } => {
                let changed = self.set_quotas(ou, *by)?;
                return Ok(changed.map(|changed| Changed::Unit(Box::new(changed))));
            }
            AccessChange::AddToken(token) => self.add_token(change, token),
            AccessChange::RevokeToken { name } => {
                let delete = "DELETE FROM tokens WHERE name = ?1";
                let deleted = self.connection.prepare_cached(delete)?.execute([name])?;
                Ok(if deleted == 0 { Err(AccessChange::no_token(name)) } else { Ok(()) })
            }
            AccessChange::User(change) => self.change_user(change),
            AccessChange::Request(change) => self.change_request(change),
        };
        Ok(changed?.map(|()| Changed::Done))
    }

    fn set_quotas(&mut self, ou: &str, by: QuotasPatch) -> Change<UnitChanged> {
        let Some(row) = self.unit_row(ou)? else { return Ok(Err(AccessChange::no_unit(ou))) };
        let Quotas { products, devices, reports_per_day } = unit_of(row.clone()).quotas.changed(by);
        let row =
            UnitRow { products_max: products, devices_max: devices, reports_max: reports_per_day, ..row };
        UNITS.update(&["products_max", "devices_max", "reports_max"]).run(&self.connection, &row)?;
        let keys = "SELECT product_key FROM products WHERE ou = ?1 ORDER BY id";
        let mut select = self.connection.prepare_cached(keys)?;
        let products = select.query_map([ou], |row| rows::as_read(row, 0))?.collect::<Result<_, _>>()?;
        Ok(Ok(UnitChanged { unit: unit_of(row), products }))
    }

    /// Notes how many reports of a unit were taken.
    pub(in crate::sqlite) fn note_reports(
        &self,
        ou: &str,
        reports: ReportsOfDay,
    ) -> rusqlite::Result<Written> {
        if let Some(row) = unless_damaged(self.unit_row(ou))? {
            let (reports_day, reports_count) = (Some(reports.day), Some(reports.count));
            let row = UnitRow { reports_day, reports_count, ..row };
            UNITS.update(&["reports_day", "reports_count"]).run(&self.connection, &row)?;
        }
        Ok(Written::Done)
    }

    /// Passes one more product of a unit.
    pub(super) fn permit_product(&self, ou: &str) -> Change<()> {
        let quota = self.quotas(ou)?.products;
        if quota.is_none() {
            return Ok(Ok(()));
        }
        let count = "SELECT count(*) FROM products WHERE ou = ?1";
        let has: i64 = self.connection.prepare_cached(count)?.query_row([ou], |row| row.get(0))?;
        Ok(permit_one_more(Quota::Products, has.cast_unsigned(), quota))
    }

    /// Passes one more device of a unit. They are counted once, and anew after a damaged one was deleted.
    pub(super) fn permit_device(&mut self, ou: &str) -> Change<()> {
        let quota = self.quotas(ou)?.devices;
        if quota.is_none() {
            return Ok(Ok(()));
        }
        let has = match self.devices_of_units.get(ou) {
            Some(has) => *has,
            None => {
                let count = "SELECT count(*) FROM devices WHERE ou = ?1";
                let has: i64 = self.connection.prepare_cached(count)?.query_row([ou], |row| row.get(0))?;
                has.cast_unsigned()
            }
        };
        let permitted = permit_one_more(Quota::Devices, has, quota);
        self.devices_of_units.insert(ou.to_owned(), has + u64::from(permitted.is_ok()));
        Ok(permitted)
    }

    /// How much a unit may have. Of one whose row is damaged that is not known: it is not limited.
    fn quotas(&self, ou: &str) -> rusqlite::Result<Quotas> {
        let row = unless_damaged(self.unit_row(ou))?;
        Ok(row.map(|row| unit_of(row).quotas).unwrap_or_default())
    }

    fn unit_row(&self, ou: &str) -> rusqlite::Result<Option<UnitRow>> {
        let sql = sql!("SELECT {} FROM units o WHERE o.ou = ?1", UNITS.list());
        let read = |row: &Row<'_>| UnitRow::intact(row, 0, || what(row, &UNITS, "unit"));
        self.connection.prepare_cached(sql)?.query_row([ou], read).optional()
    }

    /// The unit, and each of its products, which look-ups read without it.
    fn suspend_unit(&mut self, ou: &str, since: Option<UnixMillis>) -> Change<UnitChanged> {
        let Some(row) = self.unit_row(ou)? else { return Ok(Err(AccessChange::no_unit(ou))) };
        let suspended = since.map(|since| row.suspended.unwrap_or(since));
        let row = UnitRow { suspended, ..row };
        UNITS.update(&["suspended"]).run(&self.connection, &row)?;
        let products = self.suspend_products(ou, suspended.is_some())?;
        self.forget_standings();
        Ok(Ok(UnitChanged { unit: unit_of(row), products }))
    }

    /// Keys of the products of a unit, as they are read.
    fn suspend_products(&self, ou: &str, is_suspended: bool) -> rusqlite::Result<Vec<String>> {
        let sql = sql!("SELECT {} FROM products p WHERE p.ou = ?1 ORDER BY p.id", PRODUCTS.list());
        let mut select = self.connection.prepare_cached(sql)?;
        let mut found = select.query([ou])?;
        let (mut rows, mut products) = (Vec::new(), Vec::new());
        while let Some(row) = found.next()? {
            products.push(rows::as_read(row, PRODUCTS.position("product_key"))?);
            rows.push(match ProductRow::intact(row, 0, String::new) {
                Ok(row) => Ok(row),
                Err(error) if is_fault_of_row(&error) => Err(row.get::<_, i64>(0)?),
                Err(error) => return Err(error),
            });
        }
        let suspended = is_suspended.then_some(true);
        let update = PRODUCTS.update(&["suspended"]);
        for row in rows {
            match row {
                Ok(row) => {
                    update.run(&self.connection, &ProductRow { suspended, ..row })?;
                }
                // It stays damaged: its sum is not touched.
                Err(id) => {
                    let sql = "UPDATE products SET suspended = ?1 WHERE id = ?2";
                    self.connection.prepare_cached(sql)?.execute(params![suspended, id])?;
                }
            }
        }
        Ok(products)
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
        let mut row = row_of(unit.clone());
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
pub(in crate::sqlite) fn read(
    connection: &Connection,
    key: &DataKey,
    query: AccessQuery,
) -> rusqlite::Result<AccessFound> {
    Ok(match query {
        AccessQuery::Request(request) => AccessFound::Request(asked_before(connection, key, &request)?),
        AccessQuery::Units => {
            let sql = sql!("SELECT {} FROM units o ORDER BY o.n", UNITS.list());
            AccessFound::Units(page(connection, sql, read_unit)?)
        }
        AccessQuery::Unit(ou) => {
            let sql = sql!("SELECT {} FROM units o WHERE o.ou = ?1", UNITS.list());
            AccessFound::Unit(connection.prepare_cached(sql)?.query_row([ou], read_unit).optional()?)
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
    UnitRow::intact(row, 0, || what(row, &UNITS, "unit")).map(unit_of)
}

fn unit_of(row: UnitRow) -> Unit {
    let UnitRow { ou, name, created, suspended, .. } = row;
    let quotas =
        Quotas { products: row.products_max, devices: row.devices_max, reports_per_day: row.reports_max };
    let reports = row.reports_day.zip(row.reports_count).map(|(day, count)| ReportsOfDay { day, count });
    Unit { ou, name, created, suspended, quotas, reports }
}

/// A unit as a row that has no number yet.
fn row_of(unit: Unit) -> UnitRow {
    let Unit { ou, name, created, suspended, quotas, reports } = unit;
    let Quotas { products, devices, reports_per_day } = quotas;
    UnitRow {
        n: 0,
        ou,
        name,
        created,
        suspended,
        products_max: products,
        devices_max: devices,
        reports_max: reports_per_day,
        reports_day: reports.map(|reports| reports.day),
        reports_count: reports.map(|reports| reports.count),
    }
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
