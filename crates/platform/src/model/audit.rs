//! Entries of the audit log.

pub use narrowgate_api::audit::{AuditEntry, AuditHead, AuditOutcome};
