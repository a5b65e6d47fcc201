//! Users: who they are, their one-time links and passwords, and their sessions.

use narrowgate_api::{
    page::Page as ShownPage,
    secret::SecretText,
    user::{NewUser, UserInvited, UserState, UserUpdate, UserView},
};

use super::{
    access::check_name,
    error::ServiceError,
    registrar::{Registrar, check},
    secret_text::{Opens, is_browser_of, name_browser},
    view,
};
use crate::{
    firmware::Sha256Sum,
    ids::UnixMillis,
    model::{
        access::{Caller, OWNER, Role, Scope},
        user::{OneTimeLink, PasswordHash, User, UserSession},
    },
    ports::{AUDIT_USER, Applicant, Spares, StoreError, TakenFor, UserChange, UserReads as _},
    rules::{names, passwords},
    secret::Secret,
};

/// How long a one-time link is valid: a day, in milliseconds.
const LINK_LIFE_MS: i64 = 86_400_000;
/// The path of the page that sets a password; the text of a link follows.
pub const LINK_PATH: &str = "/password/";
/// The user that the first start makes.
const FIRST_USER: &str = "admin";

/// A user who has just given the right password.
#[derive(Debug)]
pub(super) struct Verified {
    /// The user, as who asks.
    pub(super) caller: Caller,
    password: PasswordHash,
}

/// Who gets the link of a start.
#[derive(Debug)]
pub(super) enum First {
    /// An administrator who is made for it.
    New,
    /// One who was invited by a link that is still valid.
    Invited(String),
    /// One who has neither a password nor a link that is valid.
    Waiting(String),
}

/// What a start has to say of the first administrator.
#[derive(Debug)]
pub enum FirstUser {
    /// Somebody has a password, or users were made otherwise.
    NotNeeded,
    /// This one has a link from now on, which nobody else was given.
    Invited(Box<UserInvited>),
    /// This one waits for a password, and was given a link before.
    Waits(String),
    /// Somebody has a password, and no administrator of all units can log in.
    Nobody,
}

impl First {
    /// The name.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::New => FIRST_USER,
            Self::Invited(name) | Self::Waiting(name) => name,
        }
    }
}

/// What a browser gets by a login.
#[derive(Debug)]
pub struct LoggedIn {
    /// The session's text.
    pub session: SecretText,
    /// The browser's name, by which it is known at the next login with the password.
    pub browser: Option<SecretText>,
    /// How long the session lasts at most, in seconds.
    pub lasts_s: i64,
}

impl Registrar {
    /// All users, by name.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn users(&self) -> Result<ShownPage<UserView>, ServiceError> {
        let page = self.registry.users().await?;
        let items = page.items.into_iter().map(user_view).collect();
        Ok(ShownPage { items, next_cursor: None, damaged: view::left_out(page.damaged) })
    }

    /// One user.
    ///
    /// # Errors
    /// `Missing`.
    pub(super) async fn user(&self, name: &str) -> Result<UserView, ServiceError> {
        let found = self.registry.user(name).await?;
        found.map(user_view).ok_or_else(|| UserChange::no_user(name).into())
    }

    /// Creates a user, who sets a password by a link: it is in the answer, and nowhere else.
    ///
    /// # Errors
    /// `Invalid`; `Exists`; `Missing` where there is no such unit; `Conflict` where there are too many.
    pub(super) async fn create_user(&self, new: NewUser) -> Result<UserInvited, ServiceError> {
        let NewUser { user: name, role, ou } = new;
        check_user_name(&name)?;
        let scope = match ou {
            Some(ou) => Scope::Unit(self.unit_key(&ou).await?),
            None => Scope::All,
        };
        if let Some(other) = self.user_alike(&name).await? {
            return Err(UserChange::exists(&other.name).into());
        }
        let (created, (text, link)) = (self.clock.now(), self.draw_link());
        let link = Some(link);
        let user = User { name, role, scope, created, is_enabled: true, password: None, link };
        self.registry.change_user(UserChange::Add(Box::new(user.clone()))).await?;
        Ok(UserInvited { link: text, origin: self.origin(), view: user_view(user) })
    }

    /// A user whose name differs from this one in case at most: it would be mistaken for it.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn user_alike(&self, name: &str) -> Result<Option<User>, ServiceError> {
        let lower = name.to_lowercase();
        let is_alike = |user: &User| user.name.to_lowercase() == lower;
        Ok(self.registry.users().await?.items.into_iter().find(is_alike))
    }

    /// Changes a user, whose sessions end.
    ///
    /// # Errors
    /// `Missing`, of the user or the unit; `Conflict` where nobody could administer any more.
    pub(super) async fn update_user(&self, name: &str, update: UserUpdate) -> Result<UserView, ServiceError> {
        let UserUpdate { role, ou, enabled: is_enabled } = update;
        let scope = match ou {
            Some(Some(ou)) => Some(Scope::Unit(self.unit_key(&ou).await?)),
            Some(None) => Some(Scope::All),
            None => None,
        };
        if role.is_some() || scope.is_some() || is_enabled.is_some() {
            let (name, spares) = (name.to_owned(), self.spares());
            self.registry.change_user(UserChange::Update { name, role, scope, is_enabled, spares }).await?;
        }
        self.user(name).await
    }

    /// Gives a user a new link in the place of the password; the user's sessions end.
    ///
    /// # Errors
    /// `Missing`.
    pub(super) async fn reset_user(&self, name: &str) -> Result<UserInvited, ServiceError> {
        let (text, link) = self.draw_link();
        self.registry.change_user(UserChange::Reset { name: name.to_owned(), link }).await?;
        Ok(UserInvited { link: text, origin: self.origin(), view: self.user(name).await? })
    }

    /// Deletes a user, whose sessions end. Returns it as it was, where it was intact.
    ///
    /// # Errors
    /// `Missing`; `Conflict` where nobody could administer any more.
    pub(super) async fn delete_user(&self, name: &str) -> Result<Option<UserView>, ServiceError> {
        let found = match self.registry.user(name).await {
            Err(StoreError::Damaged(_)) => None,
            found => found?,
        };
        let (name, spares) = (name.to_owned(), self.spares());
        self.registry.change_user(UserChange::Delete { name, spares }).await?;
        Ok(found.map(user_view))
    }

    /// Only the owner, who can make another one, may take the last administrator away.
    fn spares(&self) -> Spares {
        if *self.caller == Caller::Owner { Spares::Nobody } else { Spares::LastAdministrator(self.ways_in) }
    }

    fn origin(&self) -> Option<String> {
        self.origin.as_deref().map(str::to_owned)
    }

    /// Who is to be the first administrator, where nobody has a password: a new one where there is no user at
    /// all, else an administrator who was invited.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn first_user(&self) -> Result<Option<First>, ServiceError> {
        let (page, now) = (self.registry.users().await?, self.latest());
        if page.items.is_empty() && page.damaged.count == 0 {
            return Ok(Some(First::New));
        }
        // One who came by a provider that is not there any more has none.
        if page.items.iter().any(|user| user.password.is_some() && self.has_way_in(user)) {
            return Ok(None);
        }
        let waits = |user: &User| user.link.is_some_and(|link| now < link.expires);
        let administrators: Vec<_> = page.items.into_iter().filter(User::administers_all).collect();
        if let Some(user) = administrators.iter().find(|user| waits(user)) {
            return Ok(Some(First::Invited(user.name.clone())));
        }
        Ok(administrators.into_iter().next().map(|user| First::Waiting(user.name)))
    }

    /// Makes the link.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn invite(&self, first: &First) -> Result<UserInvited, ServiceError> {
        match first {
            First::New => {
                let (user, role) = (FIRST_USER.to_owned(), Role::Administrator);
                self.create_user(NewUser { user, role, ou: None }).await
            }
            First::Invited(name) | First::Waiting(name) => self.reset_user(name).await,
        }
    }

    /// Whether users log in, and none of them can administer everything.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn lacks_administrator(&self) -> Result<bool, ServiceError> {
        let page = self.registry.users().await?;
        let mut who_log_in = page.items.iter().filter(|user| self.has_way_in(user)).peekable();
        Ok(who_log_in.peek().is_some() && !who_log_in.any(User::administers_all))
    }

    /// Whether there is a way in for a user, once the user is not switched off.
    fn has_way_in(&self, user: &User) -> bool {
        self.ways_in.permit(&User { is_enabled: true, ..user.clone() })
    }

    fn draw_link(&self) -> (SecretText, OneTimeLink) {
        let text = Opens::Link.draw(&*self.entropy);
        let expires = UnixMillis(self.clock.now().0 + LINK_LIFE_MS);
        let hash = super::secret_text::hash_of(text.expose());
        (SecretText::new([LINK_PATH, text.expose()].concat()), OneTimeLink { hash, expires })
    }

    /// Whose password this link sets; `None`: nobody's, or not any more.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn link_holder(&self, text: &str) -> Result<Option<Caller>, ServiceError> {
        let Some(hash) = Opens::Link.hash(text) else { return Ok(None) };
        let (found, now) = (self.registry.user_of_link(hash).await?, self.latest());
        let is_valid = |user: &User| user.is_enabled && user.link.is_some_and(|link| now < link.expires);
        Ok(found.filter(is_valid).map(caller_of))
    }

    /// Sets a password by a link, which is used up.
    ///
    /// # Errors
    /// `Invalid`; `Missing` where the link is not valid (any more); `NotHashed`.
    pub(super) async fn set_password(&self, text: &str, password: Secret) -> Result<Verified, ServiceError> {
        let missing = || ServiceError::from(UserChange::no_link());
        let caller = self.link_holder(text).await?.ok_or_else(missing)?;
        let link = Opens::Link.hash(text).ok_or_else(missing)?;
        check_password(&password, caller.name())?;
        let mut salt = [0; 16];
        self.entropy.fill(&mut salt);
        let hash = self.passwords.hash(password, salt, known(caller.name())).await;
        let hash = hash.map_err(ServiceError::NotHashed)?;
        self.registry.change_user(UserChange::SetPassword { link, password: hash.clone() }).await?;
        Ok(Verified { caller, password: hash })
    }

    /// Who gives this name and this password; `None`: there is none, or the password is not the user's, which
    /// nobody can tell apart, by time neither. `stranger`: the number of the network, where the browser is
    /// not known.
    ///
    /// # Errors
    /// `NotHashed`; else only the store's.
    pub(super) async fn verify_password(
        &self,
        name: &str,
        password: Secret,
        stranger: Option<u64>,
    ) -> Result<Option<Verified>, ServiceError> {
        let found = match self.registry.user(name).await {
            // It may be of another password than it was.
            Err(StoreError::Damaged(_)) => None,
            found => found?,
        };
        // Nobody has a password that is too long; it takes its time all the same.
        let is_possible = |user: &User| user.is_enabled && !passwords::is_too_long(&password);
        let found = found.filter(is_possible);
        let hash = found.as_ref().and_then(|user| user.password.clone());
        let hash = hash.filter(|hash| !hash.is_vouched());
        let applicant = stranger.map_or_else(|| known(name), Applicant::Stranger);
        let is_same = self.passwords.is_same(password, hash.clone(), applicant).await;
        let is_same = is_same.map_err(ServiceError::NotHashed)?;
        Ok(match (is_same, found, hash) {
            (true, Some(user), Some(password)) => Some(Verified { caller: caller_of(user), password }),
            _ => None,
        })
    }

    /// Logs a user in.
    ///
    /// # Errors
    /// `Missing` or `Conflict` where the user was deleted or changed meanwhile.
    pub(super) async fn begin_session(
        &self,
        Verified { caller, password }: Verified,
    ) -> Result<LoggedIn, ServiceError> {
        let browser = name_browser(&*self.entropy, caller.name(), &password);
        let begun = self.begin(caller.name().to_owned(), TakenFor::Password(password)).await?;
        Ok(LoggedIn { browser: Some(browser), ..begun })
    }

    /// Begins a session of a user by the password, or because an identity provider vouches.
    pub(super) async fn begin(&self, user: String, who: TakenFor) -> Result<LoggedIn, ServiceError> {
        let session = Opens::Session.draw(&*self.entropy);
        let (hash, now) = (super::secret_text::hash_of(session.expose()), self.clock.now());
        let begun = UserSession { hash, user, begun: now, seen: now };
        // Ignored: none that is over is let in.
        let _ = self.remove_over_sessions().await;
        self.registry.change_user(UserChange::BeginSession { session: begun, who }).await?;
        let lasts_s = self.session_times.whole_ms / 1000;
        Ok(LoggedIn { session, browser: None, lasts_s })
    }

    /// Whether this user has logged in with the browser of this name, by the present password.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn knows_browser(&self, name: &str, browser: &str) -> Result<bool, ServiceError> {
        match self.registry.user(name).await {
            Err(StoreError::Damaged(_)) => Ok(false),
            found => Ok(found?.is_some_and(|user| is_browser_of(browser, &user))),
        }
    }

    /// Whether this user has a password to be changed.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn has_password(&self, name: &str) -> Result<bool, ServiceError> {
        let has = |user: User| user.password.is_some_and(|password| !password.is_vouched());
        match self.registry.user(name).await {
            Err(StoreError::Damaged(_)) => Ok(false),
            found => Ok(found?.is_some_and(has)),
        }
    }

    /// Whose session this is now, and the session; `None`: nobody's, or it is over.
    async fn session(&self, hash: Sha256Sum) -> Result<Option<(UserSession, Caller)>, ServiceError> {
        let Some((session, user)) = self.registry.session_of(hash).await? else { return Ok(None) };
        if user.is_enabled && self.session_times.permit(&session, self.latest()) {
            return Ok(Some((session, caller_of(user))));
        }
        // So that it is over also by other settings. Ignored: it goes when the next one begins.
        let _ = self.registry.change_user(UserChange::EndSession { hash }).await;
        Ok(None)
    }

    /// Whose session this is now; `None`: nobody's, or it is over.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn session_holder(&self, hash: Sha256Sum) -> Result<Option<Caller>, ServiceError> {
        Ok(self.session(hash).await?.map(|(_, caller)| caller))
    }

    /// The same for a request, by which the session is used.
    ///
    /// # Errors
    /// Only the store's, and not that it cannot write.
    pub(super) async fn use_session(&self, hash: Sha256Sum) -> Result<Option<Caller>, ServiceError> {
        let Some((session, caller)) = self.session(hash).await? else { return Ok(None) };
        let now = self.clock.now();
        if self.session_times.is_to_be_seen(&session, now) {
            let seen = UserSession { seen: now, ..session };
            // Ignored: a store that is full can be read, and the session ends sooner.
            let _ = self.registry.change_user(UserChange::SeeSession(seen)).await;
        }
        Ok(Some(caller))
    }

    /// Ends all sessions of a user.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn end_sessions(&self, name: &str) -> Result<(), ServiceError> {
        Ok(self.registry.change_user(UserChange::EndSessions { name: name.to_owned() }).await?)
    }

    /// Removes what is over.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn remove_over_sessions(&self) -> Result<(), ServiceError> {
        let (now, times) = (self.latest(), self.session_times);
        Ok(self.registry.change_user(UserChange::RemoveOver { now, times }).await?)
    }

    /// Sets a new password in the place of the old one, which was just compared; the user's sessions end.
    ///
    /// # Errors
    /// `Invalid`; `Conflict` where the user was changed meanwhile; `NotHashed`.
    pub(super) async fn change_password(
        &self,
        Verified { caller, password: old }: Verified,
        password: Secret,
    ) -> Result<Verified, ServiceError> {
        check_password(&password, caller.name())?;
        let mut salt = [0; 16];
        self.entropy.fill(&mut salt);
        let new = self.passwords.hash(password, salt, known(caller.name())).await;
        let new = new.map_err(ServiceError::NotHashed)?;
        let name = caller.name().to_owned();
        self.registry.change_user(UserChange::ChangePassword { name, old, new: new.clone() }).await?;
        Ok(Verified { caller, password: new })
    }

    /// Ends a session; nothing where there is none.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn end_session(&self, hash: Sha256Sum) -> Result<(), ServiceError> {
        Ok(self.registry.change_user(UserChange::EndSession { hash }).await?)
    }
}

/// Refuses what no user can be called.
pub(super) fn check_user_name(name: &str) -> Result<(), ServiceError> {
    check_name("user", name)?;
    check("user", names::check_user_name(name))?;
    if [OWNER, AUDIT_USER].contains(&&*name.to_lowercase()) {
        let message = "is a name of the server's own; choose another name".to_owned();
        return Err(ServiceError::Invalid { field: "user", message });
    }
    Ok(())
}

pub(super) fn caller_of(User { name, role, scope, .. }: User) -> Caller {
    Caller::User { name, role, scope }
}

/// Somebody who is known as this user.
fn known(name: &str) -> Applicant {
    let Sha256Sum(hash) = super::secret_text::hash_of(name);
    let (number, _) = hash.split_first_chunk().expect("it is longer");
    Applicant::Known(u64::from_le_bytes(*number))
}

fn check_password(password: &Secret, user: &str) -> Result<(), ServiceError> {
    let message = |fault: passwords::PasswordFault| fault.to_string();
    passwords::check(password, user)
        .map_err(|fault| ServiceError::Invalid { field: "password", message: message(fault) })
}

fn user_view(user: User) -> UserView {
    let User { name, role, scope, created, is_enabled, password, link } = user;
    let state = match (is_enabled, password) {
        (false, _) => UserState::Disabled,
        (true, None) => UserState::Invited,
        (true, Some(_)) => UserState::Active,
    };
    UserView {
        user: name,
        role,
        ou: scope.unit().map(str::to_owned),
        state,
        created_at: created,
        link_expires_at: link.map(|link| link.expires),
    }
}

#[cfg(test)]
mod tests;
