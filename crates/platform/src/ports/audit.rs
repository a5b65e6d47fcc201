//! The audit log: durable, in order, only appended to.
//!
//! What is about to be done is noted first, and becomes an entry of the chain when it is known what became
//! of it. A note whose process ended becomes an entry with the outcome `unknown` when the log is opened
//! again: so no change can be durable of which the log knows nothing.

use narrowgate_api::audit::AuditEntry;

use super::{PortFuture, StoreError};
use crate::rules::audit::{ChainEnd, Line};

/// What the log itself writes is written by this user: that entries of it are missing.
pub const AUDIT_USER: &str = "narrowgate";

/// The action of such an entry; its target is `/audit/COUNT/HEAD`, the end that the chain had.
pub const AUDIT_CUT: &str = "audit.cut";

/// The action of an entry that says that the entries before it are those of another store; its detail names
/// that.
pub const AUDIT_FOREIGN: &str = "audit.foreign";

/// Most entries that one read returns.
pub const AUDIT_READ_MAX: usize = 1000;

/// The number of a note; none is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NoteId(pub i64);

/// Which entries to read, [`AUDIT_READ_MAX`] at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditRead {
    /// The newest, newest first; of those before this number, if one is given.
    Newest {
        /// The number.
        before: Option<u64>,
    },
    /// The oldest behind this number, oldest first.
    Behind(u64),
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPage {
    /// Entries.
    pub lines: Vec<Line>,
    /// What the first entry that is kept follows.
    pub begin: ChainEnd,
    /// Where the chain ends.
    pub end: ChainEnd,
    /// An end that the log has noted elsewhere. The chain must reach it.
    pub noted: Option<ChainEnd>,
}

/// See the module.
pub trait AuditLog: Send + Sync + 'static {
    /// Notes what is about to be done. Durable when it returns.
    fn begin(&self, entry: AuditEntry) -> PortFuture<'static, Result<NoteId, StoreError>>;

    /// Appends the entry, in place of its note if it has one; begins when it is called. Durable when it
    /// returns. Where it fails, the note stays, and the log tries again by itself.
    fn end(&self, note: Option<NoteId>, entry: AuditEntry) -> PortFuture<'static, Result<(), StoreError>>;

    /// Reads, at one moment.
    fn read(&self, read: AuditRead) -> PortFuture<'_, Result<AuditPage, StoreError>>;
}
