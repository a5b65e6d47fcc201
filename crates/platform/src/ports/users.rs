//! Users and their sessions in the registry, and what hashes passwords.

use super::{AccessChange, AccessFound, AccessQuery, PortFuture, Registry, RegistryChanges as _, StoreError};
use crate::{
    firmware::Sha256Sum,
    ids::UnixMillis,
    model::{
        access::{Role, Scope},
        user::{OneTimeLink, PasswordHash, SessionTimes, User, UserSession, WaysIn},
    },
    paging::Page,
    secret::Secret,
};

/// Users, for the largest installation that one process serves; a list of them is one page.
pub const USERS_MAX: usize = 1000;

/// Sessions of one user; one more ends that which was not used for longest.
pub const SESSIONS_OF_USER_MAX: usize = 16;

/// What to read. By name: [`UserReads`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserQuery {
    /// All users, by name.
    All,
    /// One.
    Named(String),
    /// The one whose one-time link has a secret with this SHA-256, whether it is valid or not any more.
    OfLink(Sha256Sum),
    /// The session whose secret has this SHA-256, and its user.
    OfSession(Sha256Sum),
    /// The sessions of a user, also those that are over, in the order in which they began. A damaged one is
    /// left out.
    SessionsOf(String),
}

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub enum UserFound {
    /// Users, all in one page.
    All(Page<User>),
    /// One, where there is one.
    One(Option<Box<User>>),
    /// A session with its user, where there is one.
    Session(Option<Box<(UserSession, User)>>),
    /// Sessions.
    Sessions(Vec<UserSession>),
}

/// A change of users or of their sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserChange {
    /// Adds a user. `Exists` where the name is taken, `Missing` where there is no such unit, `Conflict` where
    /// there are [`USERS_MAX`].
    Add(Box<User>),
    /// Changes what is said of a user, and ends the user's sessions; where it names a role or a unit also the
    /// one-time link, which was handed over for another one. `Missing` where there is none, or no such unit.
    Update {
        /// Whom.
        name: String,
        /// What the user may do.
        role: Option<Role>,
        /// Where.
        scope: Option<Scope>,
        /// Whether the user may log in.
        is_enabled: Option<bool>,
        /// Who may be changed by that.
        spares: Spares,
    },
    /// Puts a one-time link in the place of the password and of any other link, and ends the user's sessions.
    /// `Missing` where there is none.
    Reset {
        /// Whom.
        name: String,
        /// The new link.
        link: OneTimeLink,
    },
    /// Sets the password by a one-time link, which is used up by that, and ends the user's sessions.
    /// `Missing` where the link is none (any more). Whether it has expired is for the caller to say.
    SetPassword {
        /// The SHA-256 of the link's secret.
        link: Sha256Sum,
        /// The new password.
        password: PasswordHash,
    },
    /// Removes a user, even a damaged one, with all sessions; `Missing` where there is none.
    Delete {
        /// Whom.
        name: String,
        /// Who may be removed.
        spares: Spares,
    },
    /// Changes the password, and ends the user's sessions. `Missing` where there is no such user; `Conflict`
    /// where the user may not log in, or has another password than the old one.
    ChangePassword {
        /// Whose.
        name: String,
        /// What the given old password was compared with.
        old: PasswordHash,
        /// The new one.
        new: PasswordHash,
    },
    /// Begins a session. `Missing` where there is no such user; `Conflict` where the user may not log in, or
    /// is another one than who logs in was taken for.
    BeginSession {
        /// The session.
        session: UserSession,
        /// Who logs in.
        who: TakenFor,
    },
    /// Writes down when a session was used last; nothing where it has ended.
    SeeSession(UserSession),
    /// Ends a session; nothing where it has ended.
    EndSession {
        /// The SHA-256 of its secret.
        hash: Sha256Sum,
    },
    /// Ends all sessions of a user.
    EndSessions {
        /// Whose.
        name: String,
    },
    /// Removes the sessions that are over.
    RemoveOver {
        /// The time it is.
        now: UnixMillis,
        /// How long sessions last.
        times: SessionTimes,
    },
}

/// What somebody who logs in was taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakenFor {
    /// One whose password this hash was made of.
    Password(PasswordHash),
    /// One for whom an identity provider vouches, as the user was then.
    Vouched {
        /// What stood there of a password.
        password: Option<PasswordHash>,
        /// The role.
        role: Role,
        /// Where.
        scope: Scope,
    },
}

impl TakenFor {
    /// A user for whom an identity provider vouches.
    pub fn vouched(user: &User) -> Self {
        let User { password, role, scope, .. } = user.clone();
        Self::Vouched { password, role, scope }
    }

    /// Whether this is the one.
    pub fn is(&self, user: &User) -> bool {
        match self {
            Self::Password(password) => user.password.as_ref() == Some(password),
            Self::Vouched { .. } => *self == Self::vouched(user),
        }
    }
}

/// Whom a change may not concern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spares {
    /// It may concern everybody.
    Nobody,
    /// `Conflict` where nobody would be left who can administer everything, and for whom there is a way in.
    LastAdministrator(WaysIn),
}

impl Spares {
    /// Whether it is one who counts: the last of them is spared.
    pub fn counts(self, user: &User) -> bool {
        match self {
            Self::Nobody => false,
            Self::LastAdministrator(ways) => user.administers_all() && ways.permit(user),
        }
    }
}

/// The words of every store for what it refuses.
impl UserChange {
    /// Nobody could administer any more.
    pub fn is_last_administrator(name: &str) -> StoreError {
        StoreError::Conflict(format!(
            "user {name} is the last administrator of all organisation units who can log in; give another \
             user that role first, or do it on the server's machine by narrowgate user delete"
        ))
    }

    /// There is no such user.
    pub fn no_user(name: &str) -> StoreError {
        StoreError::Missing { what: "user", key: name.to_owned() }
    }

    /// Whom it concerns, where that is said.
    pub fn whom(&self) -> &str {
        match self {
            Self::Add(user) => &user.name,
            Self::Update { name, .. }
            | Self::Reset { name, .. }
            | Self::Delete { name, .. }
            | Self::ChangePassword { name, .. }
            | Self::EndSessions { name } => name,
            Self::BeginSession { session, .. } | Self::SeeSession(session) => &session.user,
            Self::SetPassword { .. } | Self::EndSession { .. } | Self::RemoveOver { .. } => "",
        }
    }

    /// There is no such link.
    pub fn no_link() -> StoreError {
        StoreError::Missing { what: "one-time link", key: "of this text".to_owned() }
    }

    /// There is one already.
    pub fn exists(name: &str) -> StoreError {
        StoreError::Exists { what: "user", key: name.to_owned() }
    }

    /// There are as many as are kept.
    pub fn is_one_too_many() -> StoreError {
        StoreError::Conflict(format!("there are {USERS_MAX} users, and more are not kept; delete one"))
    }

    /// The user stands otherwise than the one who logs in knew.
    pub fn is_another() -> StoreError {
        StoreError::Conflict("the user was changed meanwhile".to_owned())
    }
}

impl UserFound {
    fn is_wrong(&self) -> ! {
        panic!("the store answers another query of users than it was asked: {self:?}")
    }

    fn one(self) -> Option<User> {
        match self {
            Self::One(user) => user.map(|user| *user),
            other => other.is_wrong(),
        }
    }
}

/// The queries of a registry by name.
pub trait UserReads: Registry {
    /// See [`UserQuery::All`].
    fn users(&self) -> PortFuture<'_, Result<Page<User>, StoreError>> {
        read(self, UserQuery::All, |found| match found {
            UserFound::All(users) => users,
            other => other.is_wrong(),
        })
    }

    /// See [`UserQuery::Named`].
    fn user<'a>(&'a self, name: &str) -> PortFuture<'a, Result<Option<User>, StoreError>> {
        read(self, UserQuery::Named(name.to_owned()), UserFound::one)
    }

    /// See [`UserQuery::OfLink`].
    fn user_of_link(&self, hash: Sha256Sum) -> PortFuture<'_, Result<Option<User>, StoreError>> {
        read(self, UserQuery::OfLink(hash), UserFound::one)
    }

    /// See [`UserQuery::OfSession`].
    fn session_of(&self, hash: Sha256Sum) -> PortFuture<'_, Result<Option<(UserSession, User)>, StoreError>> {
        read(self, UserQuery::OfSession(hash), |found| match found {
            UserFound::Session(found) => found.map(|found| *found),
            other => other.is_wrong(),
        })
    }

    /// See [`UserQuery::SessionsOf`].
    fn sessions_of<'a>(&'a self, name: &str) -> PortFuture<'a, Result<Vec<UserSession>, StoreError>> {
        read(self, UserQuery::SessionsOf(name.to_owned()), |found| match found {
            UserFound::Sessions(sessions) => sessions,
            other => other.is_wrong(),
        })
    }

    /// Makes a change.
    fn change_user(&self, change: UserChange) -> PortFuture<'static, Result<(), StoreError>> {
        self.change_access(AccessChange::User(change))
    }
}

impl<R: Registry + ?Sized> UserReads for R {}

fn read<'a, T: 'a>(
    registry: &'a (impl Registry + ?Sized),
    query: UserQuery,
    found: fn(UserFound) -> T,
) -> PortFuture<'a, Result<T, StoreError>> {
    let read = registry.access(AccessQuery::User(query));
    Box::pin(async move {
        match read.await? {
            AccessFound::User(answer) => Ok(found(answer)),
            other => panic!("the store answers another query of access than it was asked: {other:?}"),
        }
    })
}

/// Whose password is to be hashed: who waits for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applicant {
    /// Somebody who is known by a browser, a session or a one-time link; a number for each user.
    Known(u64),
    /// Anybody else; a number for each network.
    Stranger(u64),
}

/// Hashes passwords, slowly and away from all other work. A few at a time, of those who are known first: more
/// are refused.
pub trait Passwords: Send + Sync + 'static {
    /// What to keep of a password; `salt` is random.
    ///
    /// # Errors
    /// See [`NotHashed`].
    fn hash(
        &self,
        password: Secret,
        salt: [u8; 16],
        applicant: Applicant,
    ) -> PortFuture<'static, Result<PasswordHash, NotHashed>>;

    /// Whether a password is the one that was hashed. Where there is none (`None`), it is not, and to find
    /// out takes as long.
    ///
    /// # Errors
    /// See [`NotHashed`].
    fn is_same(
        &self,
        password: Secret,
        as_in: Option<PasswordHash>,
        applicant: Applicant,
    ) -> PortFuture<'static, Result<bool, NotHashed>>;
}

/// Why a password was not hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotHashed {
    /// As many wait as may.
    Busy,
    /// This process hashes none, or has no memory for it.
    Unavailable,
}

/// Where no password can be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoPasswords;

impl Passwords for NoPasswords {
    fn hash(
        &self,
        _: Secret,
        _: [u8; 16],
        _: Applicant,
    ) -> PortFuture<'static, Result<PasswordHash, NotHashed>> {
        Box::pin(std::future::ready(Err(NotHashed::Unavailable)))
    }

    fn is_same(
        &self,
        _: Secret,
        _: Option<PasswordHash>,
        _: Applicant,
    ) -> PortFuture<'static, Result<bool, NotHashed>> {
        Box::pin(std::future::ready(Err(NotHashed::Unavailable)))
    }
}
