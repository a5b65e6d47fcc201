//! Organisation units and tokens in the registry; users stand in a module of their own.

use super::{
    Change, Changed, PortFuture, Registry, ReplayChange, StoreError, UnitChanged, UserChange, UserFound,
    UserQuery,
};
use crate::{
    firmware::Sha256Sum,
    ids::UnixMillis,
    model::{
        access::{QuotasPatch, Token, Unit},
        replay::{AskedBefore, RequestKey},
    },
    paging::Page,
};

/// Organisation units beside the default one: for the largest installation that one process serves; a list
/// of them is one page.
pub const UNITS_MAX: usize = 1000;

/// Tokens, for the same reason.
pub const TOKENS_MAX: usize = 1000;

/// What to read. By name: [`AccessReads`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessQuery {
    /// All organisation units but the default one, in order of creation.
    Units,
    /// The organisation unit of this key; the default one is none.
    Unit(String),
    /// All tokens, by name, also those that are not valid any more.
    Tokens,
    /// The token whose text has this SHA-256.
    TokenOf(Sha256Sum),
    /// Users and their sessions.
    User(UserQuery),
    /// A request with an idempotency key.
    Request(RequestKey),
}

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub enum AccessFound {
    /// Units, all in one page.
    Units(Page<Unit>),
    /// One, where there is one.
    Unit(Option<Unit>),
    /// Tokens, all in one page.
    Tokens(Page<Token>),
    /// One, where there is one.
    Token(Option<Token>),
    /// Users or a session.
    User(UserFound),
    /// One, where it is remembered.
    Request(Option<AskedBefore>),
}

impl AccessFound {
    fn is_wrong(&self) -> ! {
        panic!("the store answers another query of access than it was asked: {self:?}")
    }
}

/// A change of units or tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessChange {
    /// Adds a unit. `Exists` where its key or its name is taken, `Conflict` where there are [`UNITS_MAX`].
    AddUnit(Unit),
    /// Suspends a unit, or ends that. One that is suspended already stays so since then. Its products and
    /// devices stay as they are, and so do their commands. `Missing` where there is no such unit; the default
    /// one is none.
    SuspendUnit {
        /// Its key.
        ou: String,
        /// Since when; `None`: it is not suspended any more.
        since: Option<UnixMillis>,
    },
    /// Changes how much a unit may have. What it has already stays. `Missing` as of [`Self::SuspendUnit`].
    SetQuotas {
        /// Its key.
        ou: String,
        /// What changes.
        by: QuotasPatch,
    },
    /// Adds a token. `Exists` where its name is taken, `Missing` where there is no such unit, `Conflict`
    /// where there are [`TOKENS_MAX`].
    AddToken(Token),
    /// Removes a token, even a damaged one; `Missing` where there is none.
    RevokeToken {
        /// What it is called.
        name: String,
    },
    /// Changes users or their sessions.
    User(UserChange),
    /// Remembers a request with an idempotency key, or its answer.
    Request(ReplayChange),
}

/// The words of every store for what it refuses.
impl AccessChange {
    /// There is no such unit.
    pub fn no_unit(ou: &str) -> StoreError {
        StoreError::Missing { what: "organisation unit", key: ou.to_owned() }
    }

    /// There is no such token.
    pub fn no_token(name: &str) -> StoreError {
        StoreError::Missing { what: "token", key: name.to_owned() }
    }

    /// There is one already.
    pub fn exists(&self) -> StoreError {
        let (what, key) = match self {
            Self::AddUnit(unit) => ("organisation unit", &unit.name),
            Self::SuspendUnit { ou, .. } | Self::SetQuotas { ou, .. } => ("organisation unit", ou),
            Self::AddToken(Token { name, .. }) | Self::RevokeToken { name } => ("token", name),
            Self::User(UserChange::Add(user)) => ("user", &user.name),
            Self::User(_) => return UserChange::is_another(),
            Self::Request(_) => return StoreError::Exists { what: "request", key: String::new() },
        };
        StoreError::Exists { what, key: key.clone() }
    }

    /// There are as many as are kept.
    pub fn is_one_too_many(&self) -> StoreError {
        StoreError::Conflict(match self {
            Self::AddUnit(_) => {
                format!("there are {UNITS_MAX} organisation units, and more are not kept")
            }
            _ => format!("there are {TOKENS_MAX} tokens, and more are not kept; revoke one"),
        })
    }
}

/// The queries of a registry by name.
pub trait AccessReads: Registry {
    /// See [`AccessQuery::Units`].
    fn units(&self) -> PortFuture<'_, Result<Page<Unit>, StoreError>> {
        read(self, AccessQuery::Units, |found| match found {
            AccessFound::Units(units) => units,
            other => other.is_wrong(),
        })
    }

    /// See [`AccessQuery::Unit`].
    fn unit(&self, ou: &str) -> PortFuture<'_, Result<Option<Unit>, StoreError>> {
        read(self, AccessQuery::Unit(ou.to_owned()), |found| match found {
            AccessFound::Unit(unit) => unit,
            other => other.is_wrong(),
        })
    }

    /// See [`AccessQuery::Tokens`].
    fn tokens(&self) -> PortFuture<'_, Result<Page<Token>, StoreError>> {
        read(self, AccessQuery::Tokens, |found| match found {
            AccessFound::Tokens(tokens) => tokens,
            other => other.is_wrong(),
        })
    }

    /// See [`AccessQuery::TokenOf`].
    fn token_of(&self, hash: Sha256Sum) -> PortFuture<'_, Result<Option<Token>, StoreError>> {
        read(self, AccessQuery::TokenOf(hash), |found| match found {
            AccessFound::Token(token) => token,
            other => other.is_wrong(),
        })
    }
}

impl<R: Registry + ?Sized> AccessReads for R {}

/// The changes of units by name.
pub trait UnitChanges: Registry {
    /// See [`AccessChange::SuspendUnit`].
    fn suspend_unit(
        &self,
        ou: String,
        since: Option<UnixMillis>,
    ) -> PortFuture<'static, Result<UnitChanged, StoreError>> {
        let changed = self.change(Change::Access(AccessChange::SuspendUnit { ou, since }));
        Box::pin(async move { changed.await.map(Changed::unit) })
    }

    /// See [`AccessChange::SetQuotas`].
    fn set_quotas(
        &self,
        ou: String,
        by: QuotasPatch,
    ) -> PortFuture<'static, Result<UnitChanged, StoreError>> {
        let changed = self.change(Change::Access(AccessChange::SetQuotas { ou, by }));
        Box::pin(async move { changed.await.map(Changed::unit) })
    }
}

impl<R: Registry + ?Sized> UnitChanges for R {}

fn read<'a, T: 'a>(
    registry: &'a (impl Registry + ?Sized),
    query: AccessQuery,
    found: fn(AccessFound) -> T,
) -> PortFuture<'a, Result<T, StoreError>> {
    let read = registry.access(query);
    Box::pin(async move { read.await.map(found) })
}
