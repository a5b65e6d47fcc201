//! Users, their passwords and their sessions.

use narrowgate_api::{
    access::{Me, Role},
    audit::AuditOutcome,
    page::Page,
    problem::{Code, Problem},
    user::{NewUser, UserInvited, UserUpdate, UserView},
};

use super::{Arc, Operator};
use crate::{
    firmware::Sha256Sum,
    model::{
        access::Caller,
        user::{SessionTimes, WaysIn},
    },
    ports::Passwords,
    secret::Secret,
    service::{
        audit::{AskedFrom, Deed, Noted},
        users::{First, FirstUser, LoggedIn, Verified},
    },
};

/// The headline of a login that is not possible.
pub(super) const LOGIN: &str = "cannot log in";

impl Operator {
    /// Users log in with passwords that are hashed by this, for so long. Without it nobody sets a password or
    /// logs in.
    #[must_use]
    pub fn with_logins(mut self, passwords: Arc<dyn Passwords>, times: SessionTimes) -> Self {
        (self.registrar.passwords, self.registrar.session_times) = (passwords, times);
        self
    }

    /// Users log in in these ways; without it, with passwords alone.
    #[must_use]
    pub fn with_ways_in(mut self, ways: WaysIn) -> Self {
        self.registrar.ways_in = ways;
        self
    }

    /// Browsers reach the server here, as in `https://gateway.example`. Without it nobody is told.
    #[must_use]
    pub fn with_origin(mut self, origin: Option<String>) -> Self {
        self.registrar.origin = origin.map(Into::into);
        self
    }

    /// All users, by name.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn list_users(&self) -> Result<Page<UserView>, Problem> {
        self.tell("cannot list the users", None, self.registrar.users().await).await
    }

    /// One user.
    ///
    /// # Errors
    /// There is none.
    pub async fn show_user(&self, name: &str) -> Result<UserView, Problem> {
        self.tell("cannot show the user", None, self.registrar.user(name).await).await
    }

    /// Creates a user, who sets a password by a one-time link.
    ///
    /// # Errors
    /// The name is not acceptable or taken; there is no such unit; there are too many.
    pub async fn create_user(&self, new: NewUser) -> Result<UserInvited, Problem> {
        self.tell("cannot create the user", None, self.registrar.create_user(new).await).await
    }

    /// Changes what a user may do, and where, and whether the user may log in; the user's sessions end.
    ///
    /// # Errors
    /// There is no such user, or no such unit; nobody could administer any more, and this is not the owner.
    pub async fn update_user(&self, name: &str, update: UserUpdate) -> Result<UserView, Problem> {
        self.tell("cannot change the user", None, self.registrar.update_user(name, update).await).await
    }

    /// Puts a new one-time link in the place of a user's password; the user's sessions end.
    ///
    /// # Errors
    /// There is none.
    pub async fn reset_user(&self, name: &str) -> Result<UserInvited, Problem> {
        self.tell("cannot reset the user", None, self.registrar.reset_user(name).await).await
    }

    /// Deletes a user, whose sessions end; returns it as it was, `None` where its row was damaged.
    ///
    /// # Errors
    /// There is none; nobody could administer any more, and this is not the owner.
    pub async fn delete_user(&self, name: &str) -> Result<Option<UserView>, Problem> {
        self.tell("cannot delete the user", None, self.registrar.delete_user(name).await).await
    }

    /// The first administrator, where nobody has a password yet. At the very first start one is made, with a
    /// link; later an administrator whose link is over gets another one where `renews` says so, and nobody
    /// else: a link that is valid was handed over.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn invite_first(&self, renews: bool) -> Result<FirstUser, Problem> {
        const TITLE: &str = "cannot create the first user";
        let first = match self.tell(TITLE, None, self.registrar.first_user().await).await? {
            None => {
                let lacks = self.tell(TITLE, None, self.registrar.lacks_administrator().await).await?;
                return Ok(if lacks { FirstUser::Nobody } else { FirstUser::NotNeeded });
            }
            Some(First::Invited(name)) => return Ok(FirstUser::Waits(name)),
            Some(First::Waiting(name)) if !renews => return Ok(FirstUser::Waits(name)),
            Some(first) => first,
        };
        let action = match first {
            First::New => "users.create",
            First::Invited(_) | First::Waiting(_) => "users.reset",
        };
        let deed = Deed::of_user(action, first.name(), None, AskedFrom::default());
        let invite = async { self.tell(TITLE, None, self.registrar.invite(&first).await).await };
        self.noted(deed, invite).await.map(|invited| FirstUser::Invited(Box::new(invited)))
    }

    /// Whose password the link of this text sets; `None`: nobody's, or not any more.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn link_holder(&self, text: &str) -> Result<Option<String>, Problem> {
        let holder = self.tell("cannot look for the link", None, self.registrar.link_holder(text).await);
        Ok(holder.await?.map(|caller| caller.name().to_owned()))
    }

    /// Sets a password by a link, which is used up, and logs the user in. Both are in the audit log.
    ///
    /// # Errors
    /// The password is not acceptable; the link is not valid (any more); too many passwords are hashed; the
    /// audit log cannot be written.
    pub async fn set_password(
        &self,
        link: &str,
        password: Secret,
        asked: AskedFrom,
    ) -> Result<LoggedIn, Problem> {
        const TITLE: &str = "cannot set the password";
        let set = async { self.tell(TITLE, None, self.registrar.set_password(link, password).await).await };
        let verified = match self.tell(TITLE, None, self.registrar.link_holder(link).await).await? {
            Some(user) => self.noted_of(user, "users.password.set", asked.clone(), set).await,
            // A stranger, whose links fill no log.
            None => set.await,
        };
        self.begin_session(verified?, asked).await
    }

    /// Logs a user in, and notes that in the audit log; `None`: there is none, or the password is wrong,
    /// which takes the same time ([`Operator::note_failed_logins`]). `stranger`: the number of the network
    /// that asks, where the browser is not known; it waits for others.
    ///
    /// # Errors
    /// Too many passwords are hashed; the audit log cannot be written; else only the store's.
    pub async fn log_in(
        &self,
        name: &str,
        password: Secret,
        (stranger, asked): (Option<u64>, AskedFrom),
    ) -> Result<Option<LoggedIn>, Problem> {
        let verified = self.registrar.verify_password(name, password, stranger).await;
        let Some(verified) = self.tell(LOGIN, None, verified).await? else { return Ok(None) };
        match self.begin_session(verified, asked).await {
            // The user was deleted or changed meanwhile.
            Err(problem) if matches!(problem.code, Code::Missing | Code::Conflict) => Ok(None),
            begun => begun.map(Some),
        }
    }

    async fn begin_session(&self, verified: Verified, asked: AskedFrom) -> Result<LoggedIn, Problem> {
        let user = verified.caller.clone();
        let begin = async { self.tell(LOGIN, None, self.registrar.begin_session(verified).await).await };
        self.noted_of(user, "users.login", asked, begin).await
    }

    /// What a user does who is not the caller yet, or not any more.
    pub(super) async fn noted_of<T>(
        &self,
        user: Caller,
        action: &str,
        asked: AskedFrom,
        act: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let deed = Deed::of_user(action, user.name(), user.unit(), asked);
        self.of(user).noted(deed, act).await
    }

    /// Writes down that a login has failed, and that so many before it have no entry. A name that is no
    /// user's is left out: it may be a password in the wrong field.
    pub async fn note_failed_logins(&self, name: &str, left_out: u64, asked: AskedFrom) {
        let failed = self.failed_login(name, None, left_out, asked).await;
        // Ignored: nothing was done, and the entry follows as soon as it can be written.
        let _ = self.end_deed(failed).await;
    }

    /// The entry of a login that has failed, for this reason and answered by this status where it is said.
    pub(super) async fn failed_login(
        &self,
        name: &str,
        reason: Option<(&str, u16)>,
        left_out: u64,
        asked: AskedFrom,
    ) -> Noted {
        let user = self.registrar.user(name).await.ok();
        let nobody = Me { token: None, user: None, role: Role::Viewer, ou: None };
        let deed = match &user {
            Some(user) => Deed::of_user("users.login", &user.user, user.ou.as_deref(), asked),
            None => Deed { action: "users.login".into(), target: "/users".into(), ou: None, asked },
        };
        let mut failed = self.registrar.deed(deed, nobody);
        failed.entry.outcome = AuditOutcome::Failed;
        failed.entry.status = Some(reason.map_or(403, |(_, status)| status));
        failed.entry.code = reason.map(|(word, _)| word.to_owned());
        failed.entry.left_out = (left_out > 0).then_some(left_out);
        failed
    }

    /// Whether this user has logged in with the browser of this name, by the present password.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn knows_browser(&self, name: &str, browser: &str) -> Result<bool, Problem> {
        self.tell(LOGIN, None, self.registrar.knows_browser(name, browser).await).await
    }

    /// Whether this user has a password to be changed; one who came by an identity provider may have none.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn has_password(&self, name: &str) -> Result<bool, Problem> {
        self.tell(LOGIN, None, self.registrar.has_password(name).await).await
    }

    /// Whose session this is now, by the hash of its text; `None`: nobody's, or it is over.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn session_holder(&self, hash: Sha256Sum) -> Result<Option<Caller>, Problem> {
        self.tell("cannot look for the session", None, self.registrar.session_holder(hash).await).await
    }

    /// The same for a request, by which the session is used.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn use_session(&self, hash: Sha256Sum) -> Result<Option<Caller>, Problem> {
        self.tell("cannot look for the session", None, self.registrar.use_session(hash).await).await
    }

    /// Ends a session, and notes that in the audit log; nothing where there is none.
    ///
    /// # Errors
    /// The audit log cannot be written; else only the store's.
    pub async fn log_out(&self, hash: Sha256Sum, asked: AskedFrom) -> Result<(), Problem> {
        let end = async { self.tell("cannot log out", None, self.registrar.end_session(hash).await).await };
        match self.session_holder(hash).await? {
            Some(user) => self.noted_of(user, "users.logout", asked, end).await,
            // It is over already, or somebody's guess.
            None => end.await,
        }
    }

    /// Ends all sessions of the user whose session this is, and notes that in the audit log; nothing where
    /// there is none.
    ///
    /// # Errors
    /// The audit log cannot be written; else only the store's.
    pub async fn log_out_everywhere(&self, hash: Sha256Sum, asked: AskedFrom) -> Result<(), Problem> {
        let Some(user) = self.session_holder(hash).await? else { return Ok(()) };
        let name = user.name().to_owned();
        let end = async { self.tell("cannot log out", None, self.registrar.end_sessions(&name).await).await };
        self.noted_of(user, "users.logout.everywhere", asked, end).await
    }

    /// Removes the sessions that are over: none of them comes back, whatever the settings are later.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn remove_over_sessions(&self) -> Result<(), Problem> {
        let removed = self.registrar.remove_over_sessions().await;
        self.tell("cannot remove the sessions that are over", None, removed).await
    }

    /// Sets a new password in the place of the old one, ends all sessions of the user, and begins another
    /// one; `None`: the old one is wrong. Either is in the audit log.
    ///
    /// # Errors
    /// The new one is not acceptable; too many passwords are hashed; the user was changed meanwhile; the
    /// audit log cannot be written.
    pub async fn change_password(
        &self,
        user: &Caller,
        (old, new): (Secret, Secret),
        asked: AskedFrom,
    ) -> Result<Option<LoggedIn>, Problem> {
        const TITLE: &str = "cannot change the password";
        const ACTION: &str = "users.password.change";
        let verified = self.registrar.verify_password(user.name(), old, None).await;
        let Some(verified) = self.tell(TITLE, None, verified).await? else {
            let deed = Deed::of_user(ACTION, user.name(), user.unit(), asked);
            let mut failed = self.of(user.clone()).refused_deed(deed);
            (failed.entry.outcome, failed.entry.status) = (AuditOutcome::Failed, Some(403));
            // Ignored: nothing was done.
            let _ = self.end_deed(failed).await;
            return Ok(None);
        };
        let user = verified.caller.clone();
        let change = self.registrar.change_password(verified, new);
        let change = async { self.tell(TITLE, None, change.await).await };
        let verified = self.noted_of(user, ACTION, asked.clone(), change).await?;
        self.begin_session(verified, asked).await.map(Some)
    }
}
