//! The verbs of the audit log.

use narrowgate_api::audit::{AuditEntry, AuditQuery};
use narrowgate_platform::{
    memory::MemoryAudit,
    ports::{AuditLog, AuditPage, AuditRead, NoteId, PortFuture, StoreError},
};

use super::{Call, Verb, verb};

/// A log that takes everything and shows nothing.
#[derive(Default)]
pub(super) struct Unreadable(MemoryAudit);

impl AuditLog for Unreadable {
    fn begin(&self, entry: AuditEntry) -> PortFuture<'static, Result<NoteId, StoreError>> {
        self.0.begin(entry)
    }

    fn end(&self, note: Option<NoteId>, entry: AuditEntry) -> PortFuture<'static, Result<(), StoreError>> {
        self.0.end(note, entry)
    }

    fn read(&self, _: AuditRead) -> PortFuture<'_, Result<AuditPage, StoreError>> {
        Box::pin(async { Err(StoreError::Unavailable("it shows nothing".to_owned())) })
    }
}

pub(super) fn verbs() -> [Verb; 2] {
    [
        verb("list_audit", Call::list_audit(&AuditQuery::default())),
        verb("read_audit_chain", Call::read_audit_chain(7)),
    ]
}
