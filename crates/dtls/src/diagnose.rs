//! Finds the key that a refused peer really used, for the operator. The Finished that did not verify is kept
//! with what it covers, and candidates are tried against it, off the data path. A candidate that fits never
//! grants access.

use std::fmt;

use crate::{
    message::finished::Pieces,
    record::Layout,
    schedule::{Agreement, MasterSecret, Role},
    secret::Psk,
};

/// A client's Finished record, or a piece of one, that our key did not open, and what is needed to try other
/// keys. About 0.5 KiB.
pub struct FailedFinished {
    pub(crate) agreement: Agreement,
    /// The hash over ClientHello to ClientKeyExchange: both the session hash and what the Finished covers.
    pub(crate) transcript_hash: [u8; 32],
    /// message_seq of the Finished.
    pub(crate) finished_seq: u16,
    pub(crate) record: Vec<u8>,
}

impl FailedFinished {
    /// Whether this key would have verified the peer's Finished. Costs about as much as a handshake.
    pub fn fits(&self, candidate: &Psk) -> bool {
        let master = MasterSecret::derive(candidate, &self.agreement, &self.transcript_hash);
        let keys = master.expand(&self.agreement);
        let mut record = self.record.clone();
        let Ok((header, fragment)) = Layout::Plain.parse(&mut record) else {
            return false;
        };
        let Ok(content) = keys.client.open(Layout::Plain, &header, fragment) else {
            return false;
        };
        let expected = master.verify_data(Role::Client, &self.transcript_hash);
        match Pieces::new(self.finished_seq).insert(content) {
            Ok(Some(verify_data)) => expected.matches(&verify_data),
            // Only a piece: that the key opens it must be proof enough.
            Ok(None) => true,
            Err(_) => false,
        }
    }
}

impl fmt::Debug for FailedFinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FailedFinished(…)")
    }
}
