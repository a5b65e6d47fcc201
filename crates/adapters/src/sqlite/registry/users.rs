//! Users and their sessions.

use narrowgate_platform::{
    firmware::Sha256Sum,
    ids::UnixMillis,
    model::{
        access::Scope,
        user::{OneTimeLink, PasswordHash, SessionTimes, User, UserSession},
    },
    ports::{
        AccessChange, SESSIONS_OF_USER_MAX, Spares, StoreError, TakenFor, USERS_MAX, UserChange, UserFound,
        UserQuery,
    },
};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    super::schema::{
        Stored, sql,
        users::{USER_SESSIONS, USERS, UserRow, UserSessionRow},
    },
    Change, Registry,
    access::{page, what},
};

impl Registry {
    pub(super) fn change_user(&mut self, change: &UserChange) -> Change<()> {
        match change {
            UserChange::Add(user) => self.add_user(user),
            UserChange::Update { name, scope, spares, .. } => {
                let refused = scope.as_ref().map_or(Ok(None), |scope| self.refuse_scope(scope))?;
                let refused = match refused {
                    None => self.refuse_last(name, *spares, |row| Some(update(row, change)))?,
                    refused => refused,
                };
                match refused {
                    Some(refused) => Ok(Err(refused)),
                    None => self.change_row(name, |row| update(row, change)),
                }
            }
            UserChange::Reset { name, link } => self.change_row(name, |row| UserRow {
                password: None,
                link: Some(link.hash),
                link_expires: Some(link.expires),
                ..row
            }),
            UserChange::SetPassword { link, password } => {
                let Some(user) = of_link(&self.connection, *link)? else {
                    return Ok(Err(UserChange::no_link()));
                };
                let password = Some(password.0.clone());
                self.change_row(&user.name, |row| UserRow { password, link: None, link_expires: None, ..row })
            }
            UserChange::Delete { name, spares } => match self.refuse_last(name, *spares, |_| None)? {
                Some(refused) => Ok(Err(refused)),
                None => self.delete_user(name),
            },
            UserChange::ChangePassword { name, old, new } => {
                let found = user_row(&self.connection, name)?;
                let is_same = |row: &UserRow| row.enabled && row.password.as_ref() == Some(&old.0);
                if found.as_ref().is_some_and(|row| !is_same(row)) {
                    return Ok(Err(UserChange::is_another()));
                }
                self.change_row(name, |row| UserRow { password: Some(new.0.clone()), ..row })
            }
            UserChange::BeginSession { session, who } => self.begin_session(session, who),
            UserChange::SeeSession(session) => {
                if let Some(row) = session_row(&self.connection, session.hash)? {
                    let row = UserSessionRow { seen: session.seen, ..row };
                    USER_SESSIONS.update(&["seen"]).run(&self.connection, &row)?;
                }
                Ok(Ok(()))
            }
            UserChange::EndSession { hash } => {
                let delete = "DELETE FROM user_sessions WHERE hash = ?1";
                self.connection.prepare_cached(delete)?.execute([hash.0])?;
                Ok(Ok(()))
            }
            UserChange::EndSessions { name } => self.end_sessions(name).map(Ok),
            UserChange::RemoveOver { now, times } => self.remove_over(*now, *times).map(Ok),
        }
    }

    /// Why a user stays as it is: nobody else can administer everything. A damaged row is none of somebody
    /// who can.
    fn refuse_last(
        &self,
        name: &str,
        spares: Spares,
        after: impl FnOnce(UserRow) -> Option<UserRow>,
    ) -> rusqlite::Result<Option<StoreError>> {
        let administers = |row: UserRow| spares.counts(&user_of(row));
        let sql = sql!("SELECT {} FROM users u WHERE u.name = ?1", USERS.list());
        let mut select = self.connection.prepare_cached(sql)?;
        let Some(row) = select.query_row([name], |row| Ok(intact(row).ok())).optional()?.flatten() else {
            return Ok(None);
        };
        let can_after = after(row.clone()).is_some_and(administers);
        if can_after || !administers(row) {
            return Ok(None);
        }
        let sql = sql!("SELECT {} FROM users u WHERE u.name <> ?1", USERS.list());
        let mut select = self.connection.prepare_cached(sql)?;
        let mut others = select.query_map([name], |row| Ok(intact(row).ok()))?;
        while let Some(other) = others.next().transpose()? {
            if other.is_some_and(administers) {
                return Ok(None);
            }
        }
        Ok(Some(UserChange::is_last_administrator(name)))
    }

    fn remove_over(&self, now: UnixMillis, times: SessionTimes) -> rusqlite::Result<()> {
        let delete = "DELETE FROM user_sessions WHERE begun <= ?1 - ?2 OR seen <= ?1 - ?3";
        let SessionTimes { idle_ms, whole_ms } = times;
        self.connection.prepare_cached(delete)?.execute((now.0, whole_ms, idle_ms))?;
        Ok(())
    }

    fn add_user(&mut self, user: &User) -> Change<()> {
        if let Some(refused) = self.refuse_scope(&user.scope)? {
            return Ok(Err(refused));
        }
        if self.exists("SELECT EXISTS (SELECT 1 FROM users WHERE name = ?1)", &user.name)? {
            return Ok(Err(UserChange::exists(&user.name)));
        }
        if self.has_at_least("SELECT count(*) >= ?1 FROM users", USERS_MAX)? {
            return Ok(Err(UserChange::is_one_too_many()));
        }
        let User { name, role, scope, created, is_enabled, password, link } = user.clone();
        let row = UserRow {
            name,
            role,
            ou: scope.unit().map(str::to_owned),
            created,
            enabled: is_enabled,
            password: password.map(|PasswordHash(text)| text),
            link: link.map(|link| link.hash),
            link_expires: link.map(|link| link.expires),
        };
        row.insert(&self.connection)?;
        Ok(Ok(()))
    }

    fn refuse_scope(&self, scope: &Scope) -> rusqlite::Result<Option<StoreError>> {
        Ok(match scope {
            Scope::Unit(ou) if !self.has_unit(ou)? => Some(AccessChange::no_unit(ou)),
            _ => None,
        })
    }

    /// Changes a user, and ends the sessions of it.
    fn change_row(&mut self, name: &str, change: impl FnOnce(UserRow) -> UserRow) -> Change<()> {
        let Some(row) = user_row(&self.connection, name)? else {
            return Ok(Err(UserChange::no_user(name)));
        };
        let row = change(row);
        let columns = ["role", "ou", "enabled", "password", "link", "link_expires"];
        USERS.update(&columns).run(&self.connection, &row)?;
        self.end_sessions(name)?;
        Ok(Ok(()))
    }

    fn delete_user(&mut self, name: &str) -> Change<()> {
        let delete = "DELETE FROM users WHERE name = ?1";
        if self.connection.prepare_cached(delete)?.execute([name])? == 0 {
            return Ok(Err(UserChange::no_user(name)));
        }
        self.end_sessions(name)?;
        Ok(Ok(()))
    }

    fn end_sessions(&self, name: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached("DELETE FROM user_sessions WHERE user = ?1")?.execute([name])?;
        Ok(())
    }

    fn begin_session(&mut self, session: &UserSession, who: &TakenFor) -> Change<()> {
        let Some(user) = user_row(&self.connection, &session.user)? else {
            return Ok(Err(UserChange::no_user(&session.user)));
        };
        let taken = "SELECT EXISTS (SELECT 1 FROM user_sessions WHERE hash = ?1)";
        let mut select = self.connection.prepare_cached(taken)?;
        let is_taken = select.query_row([session.hash.0], |row| row.get::<_, bool>(0))?;
        let user = user_of(user);
        if is_taken || !user.is_enabled || !who.is(&user) {
            return Ok(Err(UserChange::is_another()));
        }
        // As many stay as leave room for this one.
        let delete = "DELETE FROM user_sessions WHERE user = ?1 AND n NOT IN \
                      (SELECT n FROM user_sessions WHERE user = ?1 ORDER BY seen DESC, n DESC LIMIT ?2)";
        let left = SESSIONS_OF_USER_MAX as i64 - 1;
        self.connection.prepare_cached(delete)?.execute((&session.user, left))?;
        let UserSession { hash, user, begun, seen } = session.clone();
        let mut row = UserSessionRow { n: 0, hash, user, begun, seen };
        row.n = row.insert_numbered(&self.connection)?;
        row.put_sum(&self.connection)?;
        Ok(Ok(()))
    }
}

/// What an update says, in the place of what stands there.
fn update(row: UserRow, change: &UserChange) -> UserRow {
    let UserChange::Update { role, scope, is_enabled, .. } = change else { return row };
    UserRow {
        role: role.unwrap_or(row.role),
        ou: scope.as_ref().map_or(row.ou, |scope| scope.unit().map(str::to_owned)),
        enabled: is_enabled.unwrap_or(row.enabled),
        link: row.link.filter(|_| role.is_none() && scope.is_none()),
        link_expires: row.link_expires.filter(|_| role.is_none() && scope.is_none()),
        ..row
    }
}

/// Reads what a query asks for. A damaged row is an error, but in a list: it may be of another role than it
/// was.
pub(super) fn read(connection: &Connection, query: &UserQuery) -> rusqlite::Result<UserFound> {
    let one = |user: Option<User>| UserFound::One(user.map(Box::new));
    Ok(match query {
        UserQuery::All => {
            let sql = sql!("SELECT {} FROM users u ORDER BY u.name", USERS.list());
            UserFound::All(page(connection, sql, read_user)?)
        }
        UserQuery::Named(name) => one(user_row(connection, name)?.map(user_of)),
        UserQuery::OfLink(hash) => one(of_link(connection, *hash)?),
        UserQuery::OfSession(hash) => UserFound::Session(of_session(connection, *hash)?.map(Box::new)),
        UserQuery::SessionsOf(name) => UserFound::Sessions(sessions_of(connection, name)?),
    })
}

fn sessions_of(connection: &Connection, name: &str) -> rusqlite::Result<Vec<UserSession>> {
    let sql = sql!("SELECT {} FROM user_sessions v WHERE v.user = ?1 ORDER BY v.n", USER_SESSIONS.list());
    let mut select = connection.prepare_cached(sql)?;
    let read = |row: &Row<'_>| UserSessionRow::intact(row, 0, || "the row of a user's session".to_owned());
    let rows = select.query_map([name], |row| Ok(read(row).ok()))?;
    let session = |UserSessionRow { n: _, hash, user, begun, seen }| UserSession { hash, user, begun, seen };
    rows.filter_map(|row| row.map(|row| row.map(session)).transpose()).collect()
}

fn of_session(connection: &Connection, hash: Sha256Sum) -> rusqlite::Result<Option<(UserSession, User)>> {
    let Some(UserSessionRow { n: _, hash, user, begun, seen }) = session_row(connection, hash)? else {
        return Ok(None);
    };
    let Some(row) = user_row(connection, &user)? else { return Ok(None) };
    Ok(Some((UserSession { hash, user, begun, seen }, user_of(row))))
}

fn user_row(connection: &Connection, name: &str) -> rusqlite::Result<Option<UserRow>> {
    let sql = sql!("SELECT {} FROM users u WHERE u.name = ?1", USERS.list());
    connection.prepare_cached(sql)?.query_row([name], intact).optional()
}

fn of_link(connection: &Connection, hash: Sha256Sum) -> rusqlite::Result<Option<User>> {
    let sql = sql!("SELECT {} FROM users u WHERE u.link = ?1 ORDER BY u.name LIMIT 1", USERS.list());
    connection.prepare_cached(sql)?.query_row([hash.0], read_user).optional()
}

fn session_row(connection: &Connection, hash: Sha256Sum) -> rusqlite::Result<Option<UserSessionRow>> {
    let sql = sql!("SELECT {} FROM user_sessions v WHERE v.hash = ?1", USER_SESSIONS.list());
    let read = |row: &Row<'_>| UserSessionRow::intact(row, 0, || "the row of a user's session".to_owned());
    connection.prepare_cached(sql)?.query_row([hash.0], read).optional()
}

fn intact(row: &Row<'_>) -> rusqlite::Result<UserRow> {
    UserRow::intact(row, 0, || what(row, &USERS, "user"))
}

fn read_user(row: &Row<'_>) -> rusqlite::Result<User> {
    intact(row).map(user_of)
}

fn user_of(row: UserRow) -> User {
    let UserRow { name, role, ou, created, enabled, password, link, link_expires } = row;
    let link = link.zip(link_expires).map(|(hash, expires)| OneTimeLink { hash, expires });
    let (scope, password) = (scope_of(ou), password.map(PasswordHash));
    User { name, role, scope, created, is_enabled: enabled, password, link }
}

fn scope_of(ou: Option<String>) -> Scope {
    ou.map_or(Scope::All, Scope::Unit)
}
