//! Organisation units, tokens, and who asks.

use std::fmt;

pub use narrowgate_api::access::{QuotasPatch, Role};

use crate::{
    firmware::Sha256Sum,
    ids::{DEFAULT_OU, UnixMillis},
};

/// What the organisation unit is called that exists from the first start on.
pub const DEFAULT_UNIT_NAME: &str = "default";

/// An organisation unit: it owns products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// `o` and 14 digits.
    pub ou: String,
    /// What people call it.
    pub name: String,
    /// When it was created.
    pub created: UnixMillis,
    /// Since when it is suspended: its devices have no sessions and get none, and its tokens open nothing.
    /// `None`: it is not.
    pub suspended: Option<UnixMillis>,
    /// How much it may have.
    pub quotas: Quotas,
    /// Reports that were taken on the last day of which they were counted. They are only while there is a
    /// quota of them, and written down now and then.
    pub reports: Option<ReportsOfDay>,
}

/// Reports of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportsOfDay {
    /// The day of UTC, counted from 1970.
    pub day: i64,
    /// How many.
    pub count: u32,
}

/// How much a unit may have; `None`: any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quotas {
    /// Products.
    pub products: Option<u32>,
    /// Devices.
    pub devices: Option<u32>,
    /// Reports of all of its devices in a day of UTC.
    pub reports_per_day: Option<u32>,
}

impl Quotas {
    /// These with a change.
    #[must_use]
    pub fn changed(self, by: QuotasPatch) -> Self {
        Self {
            products: by.products.unwrap_or(self.products),
            devices: by.devices.unwrap_or(self.devices),
            reports_per_day: by.reports_per_day.unwrap_or(self.reports_per_day),
        }
    }
}

impl Unit {
    /// Whether it is the unit that exists from the first start on, or would be taken for it.
    pub fn is_as_default(&self) -> bool {
        self.ou == DEFAULT_OU || self.name == DEFAULT_UNIT_NAME
    }
}

/// Where a role is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// In all organisation units.
    All,
    /// In one, by its key.
    Unit(String),
}

impl Scope {
    /// The one unit; `None`: all.
    pub fn unit(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Unit(ou) => Some(ou),
        }
    }
}

/// A token as the store keeps it: its text is known to its holder alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What people call it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// Where.
    pub scope: Scope,
    /// When it was created.
    pub created: UnixMillis,
    /// From when on it is not valid any more; `None`: without end.
    pub expires: Option<UnixMillis>,
    /// The SHA-256 of its text, which has 256 random bits: a slow hash would add nothing.
    pub hash: Sha256Sum,
}

impl Token {
    /// Whether it is valid at this time.
    pub fn is_valid_at(&self, now: UnixMillis) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

/// What the owner is called.
pub const OWNER: &str = "owner";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The owner of the data directory, on the control socket or in process.
    Owner,
    /// The holder of a token.
    Token {
        /// What it is called.
        name: String,
        /// What its holder may do.
        role: Role,
        /// Where.
        scope: Scope,
    },
    /// A user who has logged in with a browser.
    User {
        /// What the user is called.
        name: String,
        /// What the user may do.
        role: Role,
        /// Where.
        scope: Scope,
    },
}

/// With what it is: a token and a user may have the same name.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Owner => "",
            Self::Token { .. } => "token ",
            Self::User { .. } => "user ",
        };
        write!(f, "{kind}{}", self.name())
    }
}

impl Caller {
    /// The name.
    pub fn name(&self) -> &str {
        match self {
            Self::Owner => OWNER,
            Self::Token { name, .. } | Self::User { name, .. } => name,
        }
    }

    /// What the caller may do.
    pub fn role(&self) -> Role {
        match self {
            Self::Owner => Role::Administrator,
            Self::Token { role, .. } | Self::User { role, .. } => *role,
        }
    }

    /// The one unit of the caller; `None`: all.
    pub fn unit(&self) -> Option<&str> {
        match self {
            Self::Owner => None,
            Self::Token { scope, .. } | Self::User { scope, .. } => scope.unit(),
        }
    }
}

/// What a verb takes of its caller: the one table of what a role may is [`Needs::permits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// It reads what is no secret.
    Read,
    /// It changes devices and their attributes and tags, or sends commands.
    Operate,
    /// It makes or changes products, models, scripts or firmware, adds, resets or removes devices, or shows
    /// secrets.
    Administer,
    /// It reads what is about all units.
    ReadAll,
    /// It makes units, tokens and users.
    AdministerAll,
    /// It holds up everybody: only for the owner on the control socket.
    Own,
}

impl Needs {
    /// Whether the caller may do it.
    pub fn permits(self, caller: &Caller) -> bool {
        let is_of_all = caller.unit().is_none();
        match self {
            Self::Read => true,
            Self::Operate => caller.role() >= Role::Operator,
            Self::Administer => caller.role() >= Role::Administrator,
            Self::ReadAll => is_of_all,
            Self::AdministerAll => is_of_all && caller.role() >= Role::Administrator,
            Self::Own => *caller == Caller::Owner,
        }
    }

    /// Who may do it, for people.
    pub fn whose(self) -> &'static str {
        match self {
            Self::Read => "a viewer",
            Self::Operate => "an operator",
            Self::Administer => "an administrator",
            Self::ReadAll => "a viewer of all organisation units",
            Self::AdministerAll => "an administrator of all organisation units",
            Self::Own => "the owner of the data directory, on the machine itself",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_need_is_met_by_these_callers() {
        use Needs::{Administer, AdministerAll, Operate, Own, Read, ReadAll};
        let token = |role, scope| Caller::Token { name: "t".into(), role, scope };
        let user = |role, scope| Caller::User { name: "u".into(), role, scope };
        let unit = || Scope::Unit("o1".into());
        for (caller, may) in [
            (Caller::Owner, vec![Read, Operate, Administer, ReadAll, AdministerAll, Own]),
            (token(Role::Viewer, Scope::All), vec![Read, ReadAll]),
            (token(Role::Viewer, unit()), vec![Read]),
            (token(Role::Operator, Scope::All), vec![Read, Operate, ReadAll]),
            (token(Role::Operator, unit()), vec![Read, Operate]),
            (token(Role::Administrator, Scope::All), vec![Read, Operate, Administer, ReadAll, AdministerAll]),
            (token(Role::Administrator, unit()), vec![Read, Operate, Administer]),
            (user(Role::Viewer, Scope::All), vec![Read, ReadAll]),
            (user(Role::Operator, unit()), vec![Read, Operate]),
            (user(Role::Administrator, Scope::All), vec![Read, Operate, Administer, ReadAll, AdministerAll]),
        ] {
            for needs in [Read, Operate, Administer, ReadAll, AdministerAll, Own] {
                assert_eq!(needs.permits(&caller), may.contains(&needs), "{caller:?} {needs:?}");
            }
        }
    }

    #[test]
    fn a_change_of_quotas_leaves_what_it_does_not_name_and_takes_away_what_is_null() {
        let quotas = Quotas { products: Some(1), devices: Some(2), reports_per_day: None };
        let by = QuotasPatch { products: None, devices: Some(None), reports_per_day: Some(Some(3)) };
        let expected = Quotas { products: Some(1), devices: None, reports_per_day: Some(3) };
        assert_eq!(quotas.changed(by), expected);
        assert_eq!(expected.changed(QuotasPatch::default()), expected);
    }

    #[test]
    fn a_token_is_valid_until_the_moment_at_which_it_expires() {
        let mut token = Token {
            name: "t".into(),
            role: Role::Viewer,
            scope: Scope::All,
            created: UnixMillis(1),
            expires: Some(UnixMillis(7)),
            hash: Sha256Sum([0; 32]),
        };
        assert!(token.is_valid_at(UnixMillis(6)) && !token.is_valid_at(UnixMillis(7)));
        token.expires = None;
        assert!(token.is_valid_at(UnixMillis(i64::MAX)));
    }
}
