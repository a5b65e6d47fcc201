//! Users for whom an identity provider vouches: who they are here.
//!
//! Where it says what they may do, they are made at their first login, and follow it at each one. Such a user
//! has [`PasswordHash::vouched`] in the place of a password, and by that is told from those who were made
//! here: nobody gets in as one of these because a provider knows somebody by the same name.

use super::{
    error::ServiceError,
    registrar::Registrar,
    users::{LoggedIn, caller_of, check_user_name},
};
use crate::{
    model::{
        access::{Caller, Role, Scope},
        user::{PasswordHash, User},
    },
    ports::{Spares, StoreError, TakenFor, UserChange, UserReads as _},
};

/// Somebody for whom an identity provider vouches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// The name.
    pub name: String,
    /// Who it is at the provider, which gives that to nobody else.
    pub subject: String,
    /// What this user may do.
    pub placed: Placed,
}

/// What a provider says of what a user may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// Nothing: that was said here when the user was made.
    AsMade,
    /// This, in a unit by its key or its name, or in all.
    As {
        /// What the user may do.
        role: Role,
        /// Where.
        ou: Option<String>,
    },
    /// That it is nothing.
    Nowhere,
}

/// Why somebody for whom a provider vouches is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotLetIn {
    /// No user can be called so.
    Name,
    /// There is no user of this name.
    Unknown,
    /// The user is switched off.
    Disabled,
    /// A user of this name was made here.
    MadeHere,
    /// The provider puts the user into no group that may do anything.
    NoRole,
    /// The unit of the group is none.
    NoUnit,
}

/// What is to be done before the login.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing.
    LogIn(Box<User>),
    /// To make this user.
    Make(Box<User>),
    /// To change this user.
    Change(Box<User>),
    /// To end this user's sessions, and to refuse.
    End(Caller, NotLetIn),
    /// To refuse.
    Refuse(NotLetIn),
}

impl Registrar {
    /// What is to be done with somebody who is vouched for.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn judge_vouched(&self, vouched: &Vouched) -> Result<Step, ServiceError> {
        let Vouched { name, placed, .. } = vouched;
        if check_user_name(name).is_err() {
            return Ok(Step::Refuse(NotLetIn::Name));
        }
        let found = match self.registry.user(name).await {
            // It may be of somebody else than it was.
            Err(StoreError::Damaged(_)) => return Ok(Step::Refuse(NotLetIn::Disabled)),
            found => found?,
        };
        if found.as_ref().is_some_and(|user| !user.is_enabled) {
            return Ok(Step::Refuse(NotLetIn::Disabled));
        }
        let (role, scope) = match (placed, &found) {
            (Placed::AsMade, None) => return Ok(Step::Refuse(NotLetIn::Unknown)),
            (Placed::AsMade, Some(user)) => return Ok(Step::LogIn(Box::new(user.clone()))),
            (_, Some(user)) if !is_vouched(user) => {
                return Ok(Step::Refuse(NotLetIn::MadeHere));
            }
            (Placed::Nowhere, None) => return Ok(Step::Refuse(NotLetIn::NoRole)),
            (Placed::Nowhere, Some(user)) => {
                return Ok(Step::End(caller_of(user.clone()), NotLetIn::NoRole));
            }
            (Placed::As { role, ou: None }, _) => (*role, Scope::All),
            (Placed::As { role, ou: Some(ou) }, _) => match self.unit_key(ou).await {
                Ok(ou) => (*role, Scope::Unit(ou)),
                Err(ServiceError::Missing { .. }) => {
                    // What the user may have done before is nothing any more either.
                    return Ok(match found {
                        Some(user) => Step::End(caller_of(user), NotLetIn::NoUnit),
                        None => Step::Refuse(NotLetIn::NoUnit),
                    });
                }
                Err(error) => return Err(error),
            },
        };
        Ok(match found {
            None if self.user_alike(name).await?.is_some() => Step::Refuse(NotLetIn::MadeHere),
            None => {
                let (name, created) = (name.clone(), self.clock.now());
                let password = Some(PasswordHash::vouched());
                let user = User { name, role, scope, created, is_enabled: true, password, link: None };
                Step::Make(Box::new(user))
            }
            Some(user) if (user.role, &user.scope) == (role, &scope) => Step::LogIn(Box::new(user)),
            Some(user) => Step::Change(Box::new(User { role, scope, ..user })),
        })
    }

    /// Makes a user who is vouched for.
    ///
    /// # Errors
    /// `Exists` where it was made meanwhile; `Conflict` where there are too many.
    pub(super) async fn make_vouched(&self, user: User) -> Result<(), ServiceError> {
        Ok(self.registry.change_user(UserChange::Add(Box::new(user))).await?)
    }

    /// Changes a user who is vouched for, whose sessions end.
    ///
    /// # Errors
    /// `Missing` where the user, or the unit, was deleted meanwhile.
    pub(super) async fn change_vouched(&self, user: User) -> Result<(), ServiceError> {
        let User { name, role, scope, .. } = user;
        // It is for the provider to say who administers.
        let spares = Spares::Nobody;
        let (role, scope) = (Some(role), Some(scope));
        let change = UserChange::Update { name, role, scope, is_enabled: None, spares };
        Ok(self.registry.change_user(change).await?)
    }

    /// Begins a session of a user who is vouched for, and who stands as it was judged.
    ///
    /// # Errors
    /// `Missing` or `Conflict` where the user was deleted, changed or switched off meanwhile.
    pub(super) async fn begin_vouched(&self, user: &User) -> Result<LoggedIn, ServiceError> {
        self.begin(user.name.clone(), TakenFor::vouched(user)).await
    }
}

/// Whether a provider has made the user.
fn is_vouched(user: &User) -> bool {
    user.password.as_ref().is_some_and(PasswordHash::is_vouched)
}

#[cfg(test)]
mod tests;
