//! People who use the product, and their sessions in a browser.

use std::fmt;

use super::access::{Role, Scope};
use crate::{firmware::Sha256Sum, ids::UnixMillis};

/// A user as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// What the user logs in as.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// Where.
    pub scope: Scope,
    /// When the user was created.
    pub created: UnixMillis,
    /// Whether the user may log in.
    pub is_enabled: bool,
    /// `None`: it was never set, or was reset.
    pub password: Option<PasswordHash>,
    /// The link that sets a password once.
    pub link: Option<OneTimeLink>,
}

impl User {
    /// Whether the user can administer everything.
    pub fn administers_all(&self) -> bool {
        self.is_enabled && self.role == Role::Administrator && self.scope == Scope::All
    }
}

/// How users log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaysIn {
    /// Whether they do with passwords.
    pub passwords: bool,
    /// Whom an identity provider lets in.
    pub provider: ByProvider,
}

/// Whom an identity provider lets in, of those whom it vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByProvider {
    /// There is none.
    Nobody,
    /// Those who were made here.
    AsMade,
    /// Those whom it has made, by their groups.
    ByGroups,
}

impl Default for WaysIn {
    fn default() -> Self {
        Self { passwords: true, provider: ByProvider::Nobody }
    }
}

impl WaysIn {
    /// Whether there is a way in for this user.
    pub fn permit(self, user: &User) -> bool {
        let is_vouched = user.password.as_ref().is_some_and(PasswordHash::is_vouched);
        let by_provider = match self.provider {
            ByProvider::Nobody => false,
            ByProvider::AsMade => true,
            ByProvider::ByGroups => is_vouched,
        };
        user.is_enabled && (by_provider || (self.passwords && user.password.is_some() && !is_vouched))
    }
}

/// A link that sets a user's password, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneTimeLink {
    /// The SHA-256 of its secret, which has 256 random bits: a slow hash would add nothing.
    pub hash: Sha256Sum,
    /// From when on it is not valid any more.
    pub expires: UnixMillis,
}

/// What a password is compared with, as the port [`crate::ports::Passwords`] writes it: with its algorithm,
/// its parameters and its salt. It is no secret as a password is, but a guess can be tried on it: it is never
/// shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

/// In the place of a hash: no password has it.
const VOUCHED: &str = "!";

impl PasswordHash {
    /// That of a user for whom an identity provider vouches, in the place of a password.
    pub fn vouched() -> Self {
        Self(VOUCHED.to_owned())
    }

    /// Whether it is that of such a user: none that can be compared with a password.
    pub fn is_vouched(&self) -> bool {
        self.0 == VOUCHED
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// A user who has logged in with a browser. What names it is known to the browser alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSession {
    /// The SHA-256 of its secret, which has 256 random bits.
    pub hash: Sha256Sum,
    /// Whose it is.
    pub user: String,
    /// When it began.
    pub begun: UnixMillis,
    /// When it was last used, as far as that was written down.
    pub seen: UnixMillis,
}

/// How long sessions of users last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimes {
    /// Without a request.
    pub idle_ms: i64,
    /// In any case.
    pub whole_ms: i64,
}

impl Default for SessionTimes {
    fn default() -> Self {
        Self { idle_ms: 12 * 3_600_000, whole_ms: 7 * 86_400_000 }
    }
}

impl SessionTimes {
    /// Whether a session is valid at this time. A clock that was put back ends none.
    pub fn permit(self, session: &UserSession, now: UnixMillis) -> bool {
        now.0 - session.seen.0 < self.idle_ms && now.0 - session.begun.0 < self.whole_ms
    }

    /// Whether it is time to write down that a session is used: every minute, and more often where a session
    /// ends early without a request.
    pub fn is_to_be_seen(self, session: &UserSession, now: UnixMillis) -> bool {
        now.0 - session.seen.0 >= 60_000.min(self.idle_ms / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_without_a_request_and_in_any_case() {
        let times = SessionTimes { idle_ms: 1000, whole_ms: 5000 };
        let session = |begun, seen| UserSession {
            hash: Sha256Sum([0; 32]),
            user: "ann".into(),
            begun: UnixMillis(begun),
            seen: UnixMillis(seen),
        };
        let permits = |begun, seen, now| times.permit(&session(begun, seen), UnixMillis(now));
        assert!(permits(0, 0, 999) && !permits(0, 0, 1000));
        assert!(permits(0, 4500, 4999) && !permits(0, 4500, 5000));
        assert!(permits(9000, 9000, 10), "the clock was put back");
        let is_to_be_seen = |now| times.is_to_be_seen(&session(0, 0), UnixMillis(now));
        assert!(!is_to_be_seen(124) && is_to_be_seen(125));
        let usual = SessionTimes::default();
        assert!(!usual.is_to_be_seen(&session(0, 0), UnixMillis(59_999)));
        assert!(usual.is_to_be_seen(&session(0, 0), UnixMillis(60_000)));
    }

    #[test]
    fn there_is_a_way_in_by_a_password_or_by_a_provider_that_vouches() {
        let user = |password: Option<&str>| User {
            name: "ann".into(),
            role: Role::Administrator,
            scope: Scope::All,
            created: UnixMillis(0),
            is_enabled: true,
            password: password.map(|text| PasswordHash(text.into())),
            link: None,
        };
        let [invited, known, vouched] = [user(None), user(Some("$argon2id$")), user(Some(VOUCHED))];
        for (passwords, provider, expected) in [
            (true, ByProvider::Nobody, [false, true, false]),
            (true, ByProvider::AsMade, [true, true, true]),
            (true, ByProvider::ByGroups, [false, true, true]),
            (false, ByProvider::AsMade, [true, true, true]),
            (false, ByProvider::ByGroups, [false, false, true]),
            (false, ByProvider::Nobody, [false, false, false]),
        ] {
            let ways = WaysIn { passwords, provider };
            assert_eq!([&invited, &known, &vouched].map(|user| ways.permit(user)), expected, "{ways:?}");
            assert!(!ways.permit(&User { is_enabled: false, ..known.clone() }));
        }
    }

    #[test]
    fn a_hash_is_never_debugged() {
        let hash = PasswordHash("$argon2id$canary".into());
        assert!(!format!("{hash:?}").contains("canary"));
    }
}
