//! The audit log. Whoever lets an operator act notes it first, and says afterwards what became of it.

use narrowgate_api::{
    audit::{AuditChain, AuditChainQuery, AuditEntry, AuditQuery},
    page::Page,
    problem::Problem,
};

use super::Operator;
use crate::service::audit::{Deed, DeedPlace, DeedTo, Noted};

/// The headline of the problem of a deed that was not done, because it could not be noted.
pub const UNWRITTEN: &str = "cannot write the audit log";

/// What SQLite says of a file that will not get better.
const DAMAGED: [&str; 2] = ["not a database", "malformed"];

/// The problem of a log that cannot be written, with what helps where it is damaged.
fn advised(problem: Problem) -> Problem {
    let is_damaged = problem.detail.as_ref().is_some_and(|why| DAMAGED.iter().any(|word| why.contains(word)));
    let hint = "move audit.db away and keep it: the log begins anew, and its first entry says so";
    let hint = if is_damaged { Some(hint.to_owned()) } else { problem.hint };
    Problem { hint, ..problem }
}

impl Operator {
    /// Where something belongs that a deed is done to, as far as the caller may know it.
    pub async fn deed_place(&self, to: &DeedTo) -> DeedPlace {
        self.registrar.deed_place(to).await
    }

    /// A deed that is refused: nothing will be done, so that it needs no note.
    pub fn refused_deed(&self, deed: Deed) -> Noted {
        self.registrar.deed(deed, self.show_me())
    }

    /// Notes a deed before it is done; durable when it returns.
    ///
    /// # Errors
    /// The log cannot be written: it must not be done.
    pub async fn note_deed(&self, deed: Deed) -> Result<Noted, Problem> {
        let noted = self.registrar.note_deed(deed, self.show_me()).await;
        self.tell(UNWRITTEN, None, noted).await.map_err(advised)
    }

    /// Appends the entry of a deed; durable when it returns.
    ///
    /// # Errors
    /// The log cannot be written. The note stays, and the entry follows.
    pub async fn end_deed(&self, noted: Noted) -> Result<(), Problem> {
        self.tell(UNWRITTEN, None, self.registrar.end_deed(noted).await).await
    }

    /// Does what is no request of the API: notes it, does it, and appends the entry.
    ///
    /// # Errors
    /// The log cannot be written: nothing was done. Else those of what is done.
    pub async fn noted<T>(
        &self,
        deed: Deed,
        act: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let noted = self.note_deed(deed).await?;
        let outcome = act.await;
        // Ignored: the note is durable, and the entry follows.
        let _ = self.end_deed(noted.ended(&outcome)).await;
        outcome
    }

    /// A page of the audit log, newest first: what was done in the caller's unit, or by it.
    ///
    /// # Errors
    /// A limit, a time or a cursor is none.
    pub async fn list_audit(&self, query: &AuditQuery) -> Result<Page<AuditEntry>, Problem> {
        self.tell("cannot list the audit log", None, self.registrar.audit_entries(query).await).await
    }

    /// A part of the whole chain, oldest first, to be verified.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn read_audit_chain(&self, query: AuditChainQuery) -> Result<AuditChain, Problem> {
        self.tell("cannot read the audit log", None, self.registrar.audit_chain(query).await).await
    }
}
