//! The requests about the audit log.

use narrowgate_api::{
    audit::{AuditChain, AuditChainQuery, AuditEntry, AuditQuery},
    page::Page,
};

use super::call::Call;

const AUDIT: &str = "/api/v1/audit";

impl Call<Page<AuditEntry>> {
    pub(crate) fn list_audit(query: &AuditQuery) -> Self {
        Self::get(AUDIT.into()).query(query)
    }
}

impl Call<AuditChain> {
    pub(crate) fn read_audit_chain(after: u64) -> Self {
        Self::get(format!("{AUDIT}/chain")).query(&AuditChainQuery { after: Some(after) })
    }
}
