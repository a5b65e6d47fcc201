//! Users, their passwords and their sessions.

use narrowgate_api::{
    page::Page,
    problem::Problem,
    user::{NewUser, UserInvited, UserUpdate, UserView},
};

use super::{Arc, Operator};
use crate::{
    firmware::Sha256Sum,
    model::{access::Caller, user::SessionTimes},
    ports::Passwords,
    secret::Secret,
    service::users::LoggedIn,
};

impl Operator {
    /// Users log in with passwords that are hashed by this, for so long. Without it nobody sets a password or
    /// logs in.
    #[must_use]
    pub fn with_logins(mut self, passwords: Arc<dyn Passwords>, times: SessionTimes) -> Self {
        (self.registrar.passwords, self.registrar.session_times) = (passwords, times);
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
    /// There is no such user, or no such unit.
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
    /// There is none.
    pub async fn delete_user(&self, name: &str) -> Result<Option<UserView>, Problem> {
        self.tell("cannot delete the user", None, self.registrar.delete_user(name).await).await
    }

    /// A link for an administrator where nobody can administer by a password yet; `None`: somebody can, or
    /// users were made otherwise.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn invite_first(&self) -> Result<Option<UserInvited>, Problem> {
        self.tell("cannot create the first user", None, self.registrar.invite_first().await).await
    }

    /// Whose password the link of this text sets; `None`: nobody's, or not any more.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn link_holder(&self, text: &str) -> Result<Option<String>, Problem> {
        self.tell("cannot look for the link", None, self.registrar.link_holder(text).await).await
    }

    /// Sets a password by a link, which is used up, and logs the user in.
    ///
    /// # Errors
    /// The password is not acceptable; the link is not valid (any more); too many passwords are hashed.
    pub async fn set_password(&self, link: &str, password: Secret) -> Result<LoggedIn, Problem> {
        self.tell("cannot set the password", None, self.registrar.set_password(link, password).await).await
    }

    /// Logs a user in; `None`: there is none, or the password is wrong, which takes the same time.
    ///
    /// # Errors
    /// Too many passwords are hashed; else only the store's.
    pub async fn log_in(&self, name: &str, password: Secret) -> Result<Option<LoggedIn>, Problem> {
        self.tell("cannot log in", None, self.registrar.log_in(name, password).await).await
    }

    /// Whether this user has logged in with the browser of this name, by the present password.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn knows_browser(&self, name: &str, browser: &str) -> Result<bool, Problem> {
        self.tell("cannot log in", None, self.registrar.knows_browser(name, browser).await).await
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

    /// Ends a session; nothing where there is none.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn log_out(&self, hash: Sha256Sum) -> Result<(), Problem> {
        self.tell("cannot log out", None, self.registrar.end_session(hash).await).await
    }
}
