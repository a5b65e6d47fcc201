//! The sessions of a user, one by one.

use narrowgate_api::{page::Page, problem::Problem, user::UserSessionView};

use super::Operator;
use crate::firmware::Sha256Sum;

impl Operator {
    /// The sessions of a user that are not over, newest first; `own`: the one that asks.
    ///
    /// # Errors
    /// There is no such user.
    pub async fn list_user_sessions(
        &self,
        user: &str,
        own: Option<Sha256Sum>,
    ) -> Result<Page<UserSessionView>, Problem> {
        let listed = self.registrar.user_sessions(user, own).await;
        self.tell("cannot list the user's sessions", None, listed).await
    }

    /// Ends one of them, at once; returns it as it was.
    ///
    /// # Errors
    /// There is no such user, or no such session of this user.
    pub async fn end_user_session(
        &self,
        user: &str,
        id: &str,
        own: Option<Sha256Sum>,
    ) -> Result<UserSessionView, Problem> {
        let ended = self.registrar.end_user_session(user, id, own).await;
        self.tell("cannot end the user's session", None, ended).await
    }
}
