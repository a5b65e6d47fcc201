//! Why a store could not do what was asked.

use std::fmt;

/// What a quota of an organisation unit is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Of products.
    Products,
    /// Of devices.
    Devices,
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Products => "products",
            Self::Devices => "devices",
        })
    }
}

/// Why a store could not do what was asked. In each case nothing of it was stored.
///
/// Where it is not known whether something was stored (a connection broke in mid-commit), a port gives no
/// error: its future stays pending until it is known.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message is the documentation")]
pub enum StoreError {
    #[error("{what} exists already: {key}")]
    Exists { what: &'static str, key: String },
    #[error("there is no {what} {key}")]
    Missing { what: &'static str, key: String },
    #[error("{0}")]
    Conflict(String),
    /// The organisation unit has as much as it may have.
    #[error(
        "the organisation unit may have {max} {of} by its quota, and has as many: it takes none more until \
         one goes, or the quota is raised"
    )]
    QuotaExceeded { of: Quota, max: u32 },
    /// The disk is full, an fsync failed: nothing of the batch is stored; it may work later.
    #[error("the store cannot write: {0}")]
    Unavailable(String),
    /// Another writer has taken the store over: nothing of the batch is stored, and nothing will be.
    #[error("another process writes the store: {0}")]
    Fenced(String),
    #[error("the store is damaged: {0}")]
    Damaged(String),
}
