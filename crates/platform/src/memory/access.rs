//! Organisation units and tokens of a [`Model`].

use std::collections::BTreeMap;

use super::{model::Model, users::Users};
use crate::{
    ids::DEFAULT_OU,
    model::access::{Scope, Token, Unit},
    paging::Page,
    ports::{AccessChange, AccessFound, AccessQuery, StoreError, TOKENS_MAX, UNITS_MAX},
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

    pub(super) fn change_access(&mut self, change: &AccessChange) -> Result<(), StoreError> {
        match change {
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
        }
        Ok(())
    }
}

fn check_unit(units: &[Unit], ou: &str) -> Result<(), StoreError> {
    let is_known = ou == DEFAULT_OU || units.iter().any(|unit| unit.ou == ou);
    is_known.then_some(()).ok_or_else(|| AccessChange::no_unit(ou))
}
