//! Seals: what a page has counted or found out goes through the browser, in an address or in hidden fields,
//! and comes back as it was. Who sends another link or other fields has no seal for them.

use narrowgate_platform::service::{form_seal, is_form_seal};

use super::visit::Visit;

/// The field with the seal.
pub(super) const SEAL: &str = "seal";

/// Fields, each with its name, in one order.
pub(super) type Fields<'a> = [(&'a str, &'a str)];

impl Visit {
    /// The seal of these fields.
    pub(super) fn seal(&self, fields: &Fields<'_>) -> String {
        form_seal(&self.token, fields.iter().flat_map(|(name, value)| [*name, *value]))
    }

    /// Whether it is theirs, and of this session.
    pub(super) fn is_sealed(&self, fields: &Fields<'_>, seal: &str) -> bool {
        is_form_seal(seal, &self.token, fields.iter().flat_map(|(name, value)| [*name, *value]))
    }
}
