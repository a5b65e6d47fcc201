//! What only a test may do to a session: look at the counter of sent records, move it, and seal what no
//! program sends.

use super::Session;
use crate::{Random, codes::ContentType, error::SealError};

impl Session {
    /// Number of the next record that is sent.
    pub fn next_sequence(&self) -> u64 {
        self.tx_next
    }

    /// Moves the counter of sent records forward, never back.
    pub fn skip_to_sequence(&mut self, sequence: u64) {
        self.tx_next = self.tx_next.max(sequence);
    }

    /// Counts so many more forgeries, as if they had been tried.
    pub fn count_failed_opens(&mut self, more: u32) {
        self.failed_opens = self.failed_opens.wrapping_add(more);
    }

    /// Appends a record of any content type, as a hostile peer could.
    ///
    /// # Errors
    /// As for [`Session::seal`].
    pub fn seal_as(
        &mut self,
        content_type: u8,
        plaintext: &[u8],
        rng: &mut dyn Random,
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        self.seal_record(ContentType(content_type), plaintext, rng, out)
    }
}
