//! Organisation units and tokens of a [`Model`].

use std::collections::BTreeMap;

use super::{model::Model, users::Users};
use crate::{
    ids::{DEFAULT_OU, UnixMillis},
    model::access::{Quotas, ReportsOfDay, Scope, Token, Unit},
    paging::Page,
    ports::{
        AccessChange, AccessFound, AccessQuery, Changed, StoreError, TOKENS_MAX, UNITS_MAX, UnitChanged,
        Written,
    },
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Access {
    /// All but the default one, in order of creation.
    units: Vec<Unit>,
    tokens: BTreeMap<String, Token>,
    users: Users,
}

impl Model {
    /// Reads, as [`crate::ports::Registry::access`] does.
    pub fn access(&self, query: AccessQuery) -> AccessFound {
        let Access { units, tokens, users } = &self.access;
        match query {
            AccessQuery::Units => AccessFound::Units(Page { items: units.clone(), ..Page::empty() }),
            AccessQuery::Unit(ou) => AccessFound::Unit(units.iter().find(|unit| unit.ou == ou).cloned()),
            AccessQuery::Request(key) => AccessFound::Request(self.request(&key)),
            AccessQuery::Tokens => {
                AccessFound::Tokens(Page { items: tokens.values().cloned().collect(), ..Page::empty() })
            }
            AccessQuery::TokenOf(hash) => {
                AccessFound::Token(tokens.values().find(|token| token.hash == hash).cloned())
            }
            AccessQuery::User(query) => AccessFound::User(users.read(&query)),
        }
    }

    /// Passes where there is such a unit.
    pub(super) fn check_unit(&self, ou: &str) -> Result<(), StoreError> {
        check_unit(&self.access.units, ou)
    }

    /// Whether this unit is suspended.
    pub(super) fn is_suspended(&self, ou: &str) -> bool {
        self.access.units.iter().any(|unit| unit.ou == ou && unit.suspended.is_some())
    }

    pub(super) fn change_access(&mut self, change: &AccessChange) -> Result<Changed, StoreError> {
        match change {
            AccessChange::SetQuotas { ou, by } => {
                let changed = self.change_unit(ou, |unit| unit.quotas = unit.quotas.changed(*by));
                return changed.map(|changed| Changed::Unit(Box::new(changed)));
            }
            AccessChange::SuspendUnit { ou, since } => {
                return self.suspend_unit(ou, *since).map(|changed| Changed::Unit(Box::new(changed)));
            }
            AccessChange::AddUnit(unit) => {
                let is_same = |known: &Unit| known.ou == unit.ou || known.name == unit.name;
                if unit.is_as_default() || self.access.units.iter().any(is_same) {
                    return Err(change.exists());
                }
                if self.access.units.len() >= UNITS_MAX {
                    return Err(change.is_one_too_many());
                }
                self.access.units.push(unit.clone());
            }
            AccessChange::AddToken(token) => {
                if let Scope::Unit(ou) = &token.scope {
                    self.check_unit(ou)?;
                }
                let is_same = |known: &Token| known.name == token.name || known.hash == token.hash;
                if self.access.tokens.values().any(is_same) {
                    return Err(change.exists());
                }
                if self.access.tokens.len() >= TOKENS_MAX {
                    return Err(change.is_one_too_many());
                }
                self.access.tokens.insert(token.name.clone(), token.clone());
            }
            AccessChange::RevokeToken { name } => {
                let removed = self.access.tokens.remove(name);
                removed.ok_or_else(|| AccessChange::no_token(name))?;
            }
            AccessChange::User(change) => {
                let Access { units, users, .. } = &mut self.access;
                users.change(change, |ou| check_unit(units, ou))?;
            }
            AccessChange::Request(change) => self.change_request(change)?,
        }
        Ok(Changed::Done)
    }

    fn suspend_unit(&mut self, ou: &str, since: Option<UnixMillis>) -> Result<UnitChanged, StoreError> {
        let changed = self.change_unit(ou, |unit| {
            unit.suspended = since.map(|since| unit.suspended.unwrap_or(since));
        })?;
        for product in self.products_mut().filter(|product| product.ou == ou) {
            product.is_suspended = since.is_some();
        }
        Ok(changed)
    }

    fn change_unit(&mut self, ou: &str, change: impl FnOnce(&mut Unit)) -> Result<UnitChanged, StoreError> {
        let found = self.access.units.iter_mut().find(|unit| unit.ou == ou);
        let unit = found.ok_or_else(|| AccessChange::no_unit(ou))?;
        change(unit);
        let unit = unit.clone();
        let of_unit = self.products_by_index().filter(|(_, product)| product.ou == ou);
        let products = of_unit.map(|(_, product)| product.product_key.clone()).collect();
        Ok(UnitChanged { unit, products })
    }

    /// Notes how many reports of a unit were taken.
    pub(super) fn note_reports(&mut self, ou: &str, reports: ReportsOfDay) -> Written {
        if let Some(unit) = self.access.units.iter_mut().find(|unit| unit.ou == ou) {
            unit.reports = Some(reports);
        }
        Written::Done
    }

    /// How much a unit may have; of the default one, any number.
    pub(super) fn quotas(&self, ou: &str) -> Quotas {
        let found = self.access.units.iter().find(|unit| unit.ou == ou);
        found.map(|unit| unit.quotas).unwrap_or_default()
    }
}

fn check_unit(units: &[Unit], ou: &str) -> Result<(), StoreError> {
    let is_known = ou == DEFAULT_OU || units.iter().any(|unit| unit.ou == ou);
    is_known.then_some(()).ok_or_else(|| AccessChange::no_unit(ou))
}
