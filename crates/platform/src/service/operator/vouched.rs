//! Logins by an identity provider.

use narrowgate_api::problem::{Code, Problem};

use super::{Operator, users::LOGIN};
use crate::{
    model::{access::Caller, user::User},
    service::{
        audit::{AskedFrom, Deed},
        users::{LoggedIn, caller_of},
        vouched::{NotLetIn, Step, Vouched},
    },
};

/// Most characters of a field of an entry's detail.
const DETAIL_MAX: usize = 200;

impl Operator {
    /// Logs in whom an identity provider vouches for, and notes that in the audit log; makes and changes the
    /// user first where the provider says what the user may do, and notes that too.
    ///
    /// # Errors
    /// The audit log cannot be written; there are too many users; else only the store's.
    pub async fn log_in_vouched(
        &self,
        vouched: &Vouched,
        asked: AskedFrom,
    ) -> Result<Result<LoggedIn, NotLetIn>, Problem> {
        let user = match self.place_vouched(vouched, &asked).await {
            // Another login of the same user was faster: that one has made it.
            Err(problem) if problem.code == Code::Exists => self.place_vouched(vouched, &asked).await?,
            placed => placed?,
        };
        let user = match user {
            Ok(user) => user,
            Err(not_let_in) => return Ok(Err(not_let_in)),
        };
        let caller = caller_of(user.clone());
        let operator = self.of(caller.clone());
        let deed = Deed::of_user("users.login", caller.name(), caller.unit(), asked);
        let mut noted = operator.note_deed(deed).await?;
        let detail = &mut noted.entry.detail;
        detail.insert("by".to_owned(), "oidc".to_owned());
        detail.insert("sub".to_owned(), vouched.subject.chars().take(DETAIL_MAX).collect());
        let begun = self.tell(LOGIN, None, self.registrar.begin_vouched(&user).await).await;
        // Ignored: the note is durable, and the entry follows.
        let _ = self.end_deed(noted.ended(&begun)).await;
        match begun {
            Err(problem) if problem.code == Code::Missing => Ok(Err(NotLetIn::Unknown)),
            Err(problem) if problem.code == Code::Conflict => Ok(Err(NotLetIn::Disabled)),
            begun => begun.map(Ok),
        }
    }

    /// Makes and changes the user where that is to be done, with entries of its own.
    async fn place_vouched(
        &self,
        vouched: &Vouched,
        asked: &AskedFrom,
    ) -> Result<Result<User, NotLetIn>, Problem> {
        let step = self.registrar.judge_vouched(vouched).await;
        match self.tell(LOGIN, None, step).await? {
            Step::Refuse(reason) => Ok(Err(reason)),
            Step::LogIn(user) => Ok(Ok(*user)),
            Step::End(caller, reason) => {
                let ended = self.registrar.end_sessions(caller.name());
                let end = async { self.tell(LOGIN, None, ended.await).await };
                self.noted_of(caller.clone(), "users.logout.everywhere", asked.clone(), end).await?;
                Ok(Err(reason))
            }
            Step::Make(user) => {
                let (caller, new) = (caller_of((*user).clone()), (*user).clone());
                let make = async { self.tell(LOGIN, None, self.registrar.make_vouched(new).await).await };
                self.placed(&caller, "users.create", asked.clone(), make).await?;
                Ok(Ok(*user))
            }
            Step::Change(user) => {
                let (caller, changed) = (caller_of((*user).clone()), (*user).clone());
                let change =
                    async { self.tell(LOGIN, None, self.registrar.change_vouched(changed).await).await };
                self.placed(&caller, "users.update", asked.clone(), change).await?;
                Ok(Ok(*user))
            }
        }
    }

    /// Makes or changes a user, with the entry that says the role and the unit.
    async fn placed(
        &self,
        user: &Caller,
        action: &str,
        asked: AskedFrom,
        act: impl Future<Output = Result<(), Problem>>,
    ) -> Result<(), Problem> {
        let operator = self.of(user.clone());
        let mut noted = operator.note_deed(Deed::of_user(action, user.name(), user.unit(), asked)).await?;
        let detail = &mut noted.entry.detail;
        detail.insert("role".to_owned(), format!("{:?}", user.role()).to_lowercase());
        detail.extend(user.unit().map(|ou| ("ou".to_owned(), ou.to_owned())));
        let outcome = act.await;
        // Ignored: the note is durable, and the entry follows.
        let _ = operator.end_deed(noted.ended(&outcome)).await;
        outcome
    }

    /// Writes down that a login by an identity provider has failed, for which reason, how that was answered,
    /// and that so many before it have no entry. `name`: as far as it is known; it is left out where it is no
    /// user's.
    pub async fn note_refused_login(
        &self,
        name: Option<&str>,
        reason: (&'static str, u16),
        left_out: u64,
        asked: AskedFrom,
    ) {
        let failed = self.failed_login(name.unwrap_or_default(), Some(reason), left_out, asked).await;
        // Ignored: nothing was done, and the entry follows as soon as it can be written.
        let _ = self.end_deed(failed).await;
    }
}
