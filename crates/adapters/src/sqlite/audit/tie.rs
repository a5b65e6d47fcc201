//! What ties the log to its store: the registry knows where the chain ended, and the file to which store it
//! belongs. So a log that was taken from elsewhere, or from an earlier time, is noticed even where no
//! `audit.head` lies beside it.

use std::sync::{Mutex, PoisonError};

use narrowgate_platform::rules::audit::ChainEnd;

/// See the module. The store writes the end down with what it commits to its registry anyway, and when it is
/// closed.
#[derive(Debug, Default)]
pub struct AuditTie {
    store_id: Option<String>,
    end: Mutex<Option<ChainEnd>>,
}

impl AuditTie {
    /// Of the store with this name, whose registry knows this end.
    pub(in crate::sqlite) fn new(store_id: Option<String>, end: Option<ChainEnd>) -> Self {
        Self { store_id, end: Mutex::new(end) }
    }

    /// The name of the store; `None`: it is not known, and any log is its own.
    pub(super) fn store_id(&self) -> Option<&str> {
        self.store_id.as_deref()
    }

    /// Where the chain ended last, as far as is known.
    pub(in crate::sqlite) fn end(&self) -> Option<ChainEnd> {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chain ends here now.
    pub(super) fn note(&self, end: ChainEnd) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }
}
