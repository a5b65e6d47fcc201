//! Users and their sessions of a [`super::Model`].

use std::collections::BTreeMap;

use crate::{
    firmware::Sha256Sum,
    model::{
        access::Scope,
        user::{User, UserSession},
    },
    paging::Page,
    ports::{SESSIONS_OF_USER_MAX, Spares, StoreError, USERS_MAX, UserChange, UserFound, UserQuery},
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Users {
    users: BTreeMap<String, User>,
    /// In order of their beginning.
    sessions: Vec<UserSession>,
}

impl Users {
    pub(super) fn read(&self, query: &UserQuery) -> UserFound {
        let Self { users, sessions } = self;
        let one = |user: Option<&User>| UserFound::One(user.cloned().map(Box::new));
        match query {
            UserQuery::All => {
                UserFound::All(Page { items: users.values().cloned().collect(), ..Page::empty() })
            }
            UserQuery::Named(name) => one(users.get(name)),
            UserQuery::OfLink(hash) => one(users.values().find(|user| has_link(user, *hash))),
            UserQuery::OfSession(hash) => {
                let session = sessions.iter().find(|session| session.hash == *hash);
                let found = session.and_then(|session| Some((session, users.get(&session.user)?)));
                UserFound::Session(found.map(|(session, user)| Box::new((session.clone(), user.clone()))))
            }
            UserQuery::SessionsOf(name) => {
                let own = sessions.iter().filter(|session| session.user == *name);
                UserFound::Sessions(own.cloned().collect())
            }
        }
    }

    /// Makes a change; `check_unit` passes where there is such a unit.
    pub(super) fn change(
        &mut self,
        change: &UserChange,
        check_unit: impl Fn(&str) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let check = |scope: Option<&Scope>| scope.and_then(Scope::unit).map_or(Ok(()), &check_unit);
        match change {
            UserChange::Add(user) => {
                check(Some(&user.scope))?;
                if self.users.contains_key(&user.name) {
                    return Err(UserChange::exists(&user.name));
                }
                if self.users.len() >= USERS_MAX {
                    return Err(UserChange::is_one_too_many());
                }
                self.users.insert(user.name.clone(), (**user).clone());
            }
            UserChange::Update { name, scope, spares, .. } => {
                check(scope.as_ref())?;
                let after = updated(self.user(name)?, change);
                self.spare(name, Some(&after), *spares)?;
                *self.user(name)? = after;
                self.end_sessions(name);
            }
            UserChange::Reset { name, link } => {
                let user = self.user(name)?;
                (user.password, user.link) = (None, Some(*link));
                self.end_sessions(name);
            }
            UserChange::SetPassword { link, password } => {
                let found = self.users.values_mut().find(|user| has_link(user, *link));
                let user = found.ok_or_else(UserChange::no_link)?;
                (user.password, user.link) = (Some(password.clone()), None);
                let name = user.name.clone();
                self.end_sessions(&name);
            }
            UserChange::ChangePassword { name, old, new } => {
                let user = self.user(name)?;
                if !user.is_enabled || user.password.as_ref() != Some(old) {
                    return Err(UserChange::is_another());
                }
                user.password = Some(new.clone());
                self.end_sessions(name);
            }
            UserChange::Delete { name, spares } => {
                self.spare(name, None, *spares)?;
                self.users.remove(name).ok_or_else(|| UserChange::no_user(name))?;
                self.end_sessions(name);
            }
            change => self.change_session(change)?,
        }
        Ok(())
    }

    /// Makes a change of sessions.
    fn change_session(&mut self, change: &UserChange) -> Result<(), StoreError> {
        match change {
            UserChange::BeginSession { session, who } => {
                let is_taken = self.sessions.iter().any(|other| other.hash == session.hash);
                let user = self.user(&session.user)?;
                if is_taken || !user.is_enabled || !who.is(user) {
                    return Err(UserChange::is_another());
                }
                self.begin(session);
            }
            UserChange::EndSessions { name } => self.end_sessions(name),
            UserChange::RemoveOver { now, times } => {
                self.sessions.retain(|session| times.permit(session, *now));
            }
            UserChange::SeeSession(seen) => {
                let found = self.sessions.iter_mut().find(|session| session.hash == seen.hash);
                if let Some(session) = found {
                    session.seen = seen.seen;
                }
            }
            UserChange::EndSession { hash } => self.sessions.retain(|session| session.hash != *hash),
            // Those of users are made before.
            _ => {}
        }
        Ok(())
    }

    /// Passes where somebody can administer everything after that, or could not before.
    fn spare(&self, name: &str, after: Option<&User>, spares: Spares) -> Result<(), StoreError> {
        let administers = |user: &User| spares.counts(user);
        let others = || self.users.values().filter(|user| user.name != name).any(administers);
        let is_last = self.users.get(name).is_some_and(administers) && !after.is_some_and(administers);
        if is_last && !others() {
            return Err(UserChange::is_last_administrator(name));
        }
        Ok(())
    }

    fn user(&mut self, name: &str) -> Result<&mut User, StoreError> {
        self.users.get_mut(name).ok_or_else(|| UserChange::no_user(name))
    }

    fn begin(&mut self, session: &UserSession) {
        let of_user = || self.sessions.iter().filter(move |other| other.user == session.user);
        if of_user().count() >= SESSIONS_OF_USER_MAX
            && let Some(unused) = of_user().min_by_key(|other| other.seen).map(|other| other.hash)
        {
            self.sessions.retain(|other| other.hash != unused);
        }
        self.sessions.push(session.clone());
    }

    fn end_sessions(&mut self, name: &str) {
        self.sessions.retain(|session| session.user != name);
    }
}

/// A user after an update.
fn updated(user: &User, change: &UserChange) -> User {
    let UserChange::Update { role, scope, is_enabled, .. } = change else { return user.clone() };
    User {
        role: role.unwrap_or(user.role),
        scope: scope.clone().unwrap_or_else(|| user.scope.clone()),
        is_enabled: is_enabled.unwrap_or(user.is_enabled),
        link: user.link.filter(|_| role.is_none() && scope.is_none()),
        ..user.clone()
    }
}

fn has_link(user: &User, hash: Sha256Sum) -> bool {
    user.link.is_some_and(|link| link.hash == hash)
}
