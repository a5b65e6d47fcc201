//! The sessions of a user one by one: who has logged in where cannot be told, but since when, and when last.

use narrowgate_api::{page::Page as ShownPage, user::UserSessionView};

use super::{error::ServiceError, registrar::Registrar};
use crate::{firmware::Sha256Sum, ids::UnixMillis, model::user::UserSession, ports::UserReads as _};

/// Digits of the name of a session: of its SHA-256, from which its secret cannot be told.
const NAME_DIGITS: usize = 16;

impl Registrar {
    /// The sessions of a user that are not over, newest first; `own`: the one that asks.
    ///
    /// # Errors
    /// `Missing` where there is no such user.
    pub(super) async fn user_sessions(
        &self,
        user: &str,
        own: Option<Sha256Sum>,
    ) -> Result<ShownPage<UserSessionView>, ServiceError> {
        let sessions = self.present_sessions(user).await?;
        Ok(ShownPage::last(sessions.iter().rev().map(|session| self.session_view(session, own)).collect()))
    }

    /// Ends one of them; returns it as it was.
    ///
    /// # Errors
    /// `Missing` where there is no such user, or no such session of this user.
    pub(super) async fn end_user_session(
        &self,
        user: &str,
        id: &str,
        own: Option<Sha256Sum>,
    ) -> Result<UserSessionView, ServiceError> {
        let sessions = self.present_sessions(user).await?;
        let found = sessions.iter().find(|session| name_of(session) == id);
        let session = found.ok_or_else(|| ServiceError::Missing { what: "session", key: id.to_owned() })?;
        self.end_session(session.hash).await?;
        Ok(self.session_view(session, own))
    }

    async fn present_sessions(&self, user: &str) -> Result<Vec<UserSession>, ServiceError> {
        self.user(user).await?;
        let (now, mut sessions) = (self.latest(), self.registry.sessions_of(user).await?);
        sessions.retain(|session| self.session_times.permit(session, now));
        Ok(sessions)
    }

    fn session_view(&self, session: &UserSession, own: Option<Sha256Sum>) -> UserSessionView {
        let times = self.session_times;
        let ends = (session.seen.0.saturating_add(times.idle_ms))
            .min(session.begun.0.saturating_add(times.whole_ms));
        UserSessionView {
            id: name_of(session),
            begun_at: session.begun,
            seen_at: session.seen,
            ends_at: UnixMillis(ends),
            own: own == Some(session.hash),
        }
    }
}

fn name_of(session: &UserSession) -> String {
    let mut name = session.hash.to_string();
    name.truncate(NAME_DIGITS);
    name
}

#[cfg(test)]
mod tests {
    use narrowgate_api::{access::Role, user::NewUser};

    use super::*;
    use crate::{
        model::user::SessionTimes,
        ports::TakenFor,
        service::fixtures::{NOW, registrar_and_clock},
        testing::block_on,
    };

    #[test]
    fn sessions_are_listed_until_they_are_over_and_ended_one_by_one() {
        let (mut registrar, clock) = registrar_and_clock();
        registrar.session_times = SessionTimes { idle_ms: 1000, whole_ms: 5000 };
        for name in ["ann", "bob"] {
            let new = NewUser { user: name.into(), role: Role::Viewer, ou: None };
            block_on(registrar.create_user(new)).expect("it is new");
        }
        let begin = |name: &str| {
            let user = block_on(registrar.registry.user(name)).expect("it reads").expect("it is there");
            let begun = registrar.begin(name.into(), TakenFor::vouched(&user));
            block_on(begun).expect("somebody vouches")
        };
        let first = super::super::secret_text::hash_of(begin("ann").session.expose());
        clock.advance_ms(10);
        begin("ann");
        begin("bob");
        let listed = |own| block_on(registrar.user_sessions("ann", own)).expect("it reads").items;
        let sessions = listed(Some(first));
        let times: Vec<_> =
            sessions.iter().map(|session| (session.begun_at.0 - NOW.0, session.own)).collect();
        assert_eq!(times, [(10, false), (0, true)]);
        assert_eq!(sessions[0].ends_at.0 - NOW.0, 1010);
        assert!(first.to_string().starts_with(&sessions[1].id) && sessions[1].id.len() == NAME_DIGITS);
        let end = |user: &str, id: &str| block_on(registrar.end_user_session(user, id, None));
        for (user, id) in [("bob", &*sessions[1].id), ("ann", "none"), ("ann", ""), ("eve", &sessions[1].id)]
        {
            assert!(matches!(end(user, id), Err(ServiceError::Missing { .. })), "{user} {id}");
        }
        assert_eq!(end("ann", &sessions[1].id).expect("it is there").id, sessions[1].id);
        assert_eq!(listed(None).len(), 1);
        assert!(block_on(registrar.session_holder(first)).expect("it reads").is_none());
        clock.advance_ms(1000);
        assert!(listed(None).is_empty(), "it is over");
    }
}
