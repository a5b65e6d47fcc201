//! The chain of the audit log: every entry has a hash over the hash before it and its own canonical form, so
//! that an entry that is changed, taken away or put elsewhere breaks the chain where that is.
//!
//! ```text
//! line    {"seq":7,…,"requestId":"1-2","hash":"HASH"}
//! form    {"seq":7,…,"requestId":"1-2"}
//! HASH    SHA-256 (hash of entry 6, 32 bytes ‖ form, UTF-8), 64 lower-case hexadecimal digits
//! ```
//!
//! Before the first entry the hash is 32 zero bytes. Whoever rewrites the whole chain leaves no trace in it:
//! its head, kept elsewhere, shows that.

use std::fmt;

use narrowgate_api::audit::{AuditEntry, AuditHead};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::firmware::Sha256Sum;

/// What the first entry follows.
pub const BEFORE_FIRST: Sha256Sum = Sha256Sum([0; 32]);

/// What stands between the canonical form, without its last brace, and the hash.
const HASH_MEMBER: &str = ",\"hash\":\"";

/// An end of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainEnd {
    /// The number of the entry at the end; 0: there is none.
    pub count: u64,
    /// Its hash.
    pub head: Sha256Sum,
}

impl ChainEnd {
    /// Of a chain without entries.
    pub const EMPTY: Self = Self { count: 0, head: BEFORE_FIRST };

    /// As it is shown.
    pub fn shown(&self) -> AuditHead {
        AuditHead { head: self.head.to_string(), count: self.count }
    }

    /// What was shown; `None`: its head is no hash.
    pub fn read(shown: &AuditHead) -> Option<Self> {
        Some(Self { count: shown.count, head: shown.head.parse().ok()? })
    }

    /// Appends an entry, whose number and hash are made here.
    pub fn append(&mut self, entry: &AuditEntry) -> Line {
        let seq = self.count + 1;
        let entry = AuditEntry { seq, hash: String::new(), ..entry.clone() };
        // Texts and numbers can always be written.
        let form = serde_json::to_string(&entry).unwrap_or_default();
        let hash = hash_of(self.head, &form);
        *self = Self { count: seq, head: hash };
        Line { seq, form, hash }
    }
}

fn hash_of(before: Sha256Sum, form: &str) -> Sha256Sum {
    Sha256Sum(Sha256::new().chain_update(before.0).chain_update(form).finalize().into())
}

/// An entry as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number.
    pub seq: u64,
    /// Its canonical form.
    pub form: String,
    /// Its hash.
    pub hash: Sha256Sum,
}

impl Line {
    /// As a line of an export.
    pub fn shown(&self) -> String {
        let form = self.form.strip_suffix('}').unwrap_or(&self.form);
        format!("{form}{HASH_MEMBER}{}\"}}", self.hash)
    }

    /// What it says; `None`: it is not as it was written.
    pub fn entry(&self) -> Option<AuditEntry> {
        let entry: AuditEntry = serde_json::from_str(&self.form).ok()?;
        Some(AuditEntry { hash: self.hash.to_string(), ..entry })
    }
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The number of the entry that is missing, or does not fit.
    pub seq: u64,
    /// What is wrong, for people.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {}: {}", self.seq, self.what)
    }
}

impl std::error::Error for Broken {}

/// Follows a chain, line by line.
#[derive(Debug, Clone)]
pub struct Verifier {
    end: ChainEnd,
    begin: u64,
    /// An end that the chain had once, and whether it was met.
    known: Vec<(ChainEnd, bool)>,
}

impl Verifier {
    /// From this end on.
    pub fn new(begin: ChainEnd) -> Self {
        Self { end: begin, begin: begin.count, known: Vec::new() }
    }

    /// The chain must have ended so once.
    ///
    /// # Errors
    /// The chain begins behind it, or there with another hash.
    pub fn must_reach(&mut self, known: ChainEnd) -> Result<(), Broken> {
        if known.count < self.begin {
            let what =
                format!("it was deleted after its time; the chain begins with entry {}", self.begin + 1);
            return Err(Broken { seq: known.count, what });
        }
        if known.count == self.begin && known.head != self.end.head {
            return Err(other_head(known));
        }
        self.known.push((known, known.count == self.begin));
        Ok(())
    }

    /// Takes the next line.
    ///
    /// # Errors
    /// It does not follow what was taken before.
    pub fn take(&mut self, line: &str) -> Result<(), Broken> {
        #[derive(Deserialize)]
        struct Number {
            seq: u64,
        }
        let seq = self.end.count + 1;
        let broken = |what: String| Broken { seq, what };
        let (form, hash) = parts_of(line).ok_or_else(|| broken("its line is none of an export".into()))?;
        let Number { seq: found } =
            serde_json::from_str(&form).map_err(|error| broken(format!("it is no JSON: {error}")))?;
        if found != seq {
            return Err(broken(format!("it is missing: entry {found} stands in its place")));
        }
        if hash_of(self.end.head, &form) != hash {
            let what = match seq - 1 {
                before if before == self.begin => "it is not as it was written".to_owned(),
                before => {
                    format!("it is not as it was written, or entry {before} has another hash than it had")
                }
            };
            return Err(broken(what));
        }
        self.end = ChainEnd { count: seq, head: hash };
        for (known, met) in self.known.iter_mut().filter(|(known, _)| known.count == seq) {
            if known.head != hash {
                return Err(other_head(*known));
            }
            *met = true;
        }
        Ok(())
    }

    /// Where the chain ends, after its last line.
    ///
    /// # Errors
    /// It had gone on.
    pub fn finish(&self) -> Result<ChainEnd, Broken> {
        let missing = self.known.iter().find(|(_, met)| !met);
        match missing {
            Some((known, _)) => Err(Broken {
                seq: self.end.count + 1,
                what: format!("it is missing: the chain had {} entries", known.count),
            }),
            None => Ok(self.end),
        }
    }

    /// Where it is.
    pub fn end(&self) -> ChainEnd {
        self.end
    }
}

fn other_head(known: ChainEnd) -> Broken {
    Broken { seq: known.count, what: format!("its hash was {}, and is another one", known.head) }
}

/// The canonical form and the hash in a line of an export.
fn parts_of(line: &str) -> Option<(String, Sha256Sum)> {
    let (form, hash) = line.rsplit_once(HASH_MEMBER)?;
    let hash = hash.strip_suffix("\"}").filter(|hash| !hash.contains(|digit: char| digit.is_uppercase()))?;
    Some((format!("{form}}}"), hash.parse().ok()?))
}

#[cfg(test)]
mod tests;
