//! Where the chain of the audit log ended: what ties that to its store.

use narrowgate_platform::{firmware::Sha256Sum, rules::audit::ChainEnd};
use rusqlite::{Connection, types::Value};

use super::{super::audit::AuditTie, Registry, meta, unless_damaged};

/// The name of the value: 8 bytes of a count, and a hash.
const AUDIT_END: &str = "audit_end";

impl Registry {
    /// What the audit log is tied to.
    pub(in crate::sqlite) fn audit_tie(&self) -> rusqlite::Result<AuditTie> {
        let store_id = unless_damaged(meta::store_id(&self.connection))?;
        Ok(AuditTie::new(store_id, audit_end(&self.connection)?))
    }

    /// The chain of the audit log ends here.
    pub(in crate::sqlite) fn set_audit_end(&self, end: ChainEnd) -> rusqlite::Result<()> {
        if audit_end(&self.connection)? == Some(end) {
            return Ok(());
        }
        let bytes = [&end.count.to_be_bytes()[..], &end.head.0].concat();
        meta::set(&self.connection, AUDIT_END, Value::Blob(bytes))
    }
}

/// Where the chain of the audit log ended when the registry was committed to; `None`: it is not known, or its
/// row is damaged.
fn audit_end(registry: &Connection) -> rusqlite::Result<Option<ChainEnd>> {
    let Some(Value::Blob(bytes)) =
        unless_damaged(meta::get(registry, AUDIT_END, "the end of the audit log"))?
    else {
        return Ok(None);
    };
    let end = bytes.split_first_chunk().and_then(|(count, head)| {
        let (count, head) = (u64::from_be_bytes(*count), Sha256Sum(head.try_into().ok()?));
        Some(ChainEnd { count, head })
    });
    Ok(end)
}
