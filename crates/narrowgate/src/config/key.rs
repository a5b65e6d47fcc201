//! A setting: its name, its default, what it accepts and what it does, declared once.

use super::accept::Accept;

/// A key whose values are what `A` accepts.
#[derive(Debug)]
pub(crate) struct Key<A> {
    /// Section and key, as `dtls.listen`.
    pub(crate) name: &'static str,
    /// The value where nobody gave one.
    pub(crate) default: &'static str,
    /// Reads a value.
    pub(super) accepts: A,
    /// What it does, one line. `{accepted}` stands for what the parser accepts.
    pub(super) help: &'static str,
}

/// A key whatever its type: what is the same for all of them.
pub(crate) trait Setting: Sync {
    /// Section and key, as `dtls.listen`.
    fn name(&self) -> &'static str;
    /// The value where nobody gave one.
    fn default(&self) -> &'static str;
    /// What it does and what it accepts, one line.
    fn help(&self) -> String;
    /// Whether a value may be written as a list.
    fn takes_list(&self) -> bool;

    /// `dtls.listen` is `NARROWGATE_DTLS_LISTEN`.
    fn variable(&self) -> String {
        format!("NARROWGATE_{}", self.name().replace('.', "_").to_ascii_uppercase())
    }

    /// The part of the name before the point.
    fn section(&self) -> &'static str {
        self.name().split('.').next().unwrap_or_default()
    }
}

impl<A: Accept> Setting for Key<A> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn default(&self) -> &'static str {
        self.default
    }

    fn help(&self) -> String {
        self.help.replace("{accepted}", &self.accepts.accepted())
    }

    fn takes_list(&self) -> bool {
        A::LIST
    }
}
