//! The engine: scripts in QuickJS, on the thread of its owner.
//!
//! ```text
//! Engine    the scripts that were used last, each with what was found out about it
//! realm     a runtime of QuickJS with one script in it, and a call
//! budget    the processor time of a call
//! prelude   what runs in a realm before the script: takes away, replaces, freezes, calls
//! ```
//!
//! A script gets a runtime of its own, whose memory is limited, and shares it with no other. Nothing survives
//! from one call to the next: each call evaluates the whole script anew, by calling the function that its
//! source was compiled into once, so that all its variables, functions and objects are new. What was there
//! before the script, down to the prototypes that only syntax reaches, is frozen, and new names in the global
//! object are taken away after the call. A realm that cannot be made clean is thrown away.
//!
//! A script whose top level changes built-ins (`Array.prototype.last = ...`) would not work in a frozen
//! realm. That is found out when it is first used; it then gets a new realm for each call, which is slower.

mod budget;
mod realm;
#[cfg(test)]
mod tests;

use std::time::Duration;

use narrowgate_platform::ports::{Circumstances, Fault, FaultKind, SCRIPT_BYTES_MAX, Script};

use self::realm::{Realm, Returned};
pub(in crate::script) use self::{
    budget::processor_time,
    realm::{Argument, bytes_of},
};

/// What a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Processor time of a call, or of the top level of a script.
    pub time: Duration,
    /// Bytes of everything that a script has made or was compiled into. A realm needs half a MiB of it.
    pub memory_bytes: usize,
    /// Bytes of the stack, for calls within calls, regular expressions and the parser.
    pub stack_bytes: usize,
    /// Bytes of what a function returns.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_millis(50),
            memory_bytes: 16 << 20,
            stack_bytes: 256 << 10,
            output_bytes: 64 << 10,
        }
    }
}

/// Calls that one realm serves before a new one takes its place: what a script leaves where nobody can look
/// (registered symbols, private names on frozen objects) does not grow for ever.
const CALLS_OF_A_REALM_MAX: u32 = 10_000;

/// Runs scripts, one call at a time.
pub struct Engine {
    limits: Limits,
    kept_max: usize,
    /// The one used last stands last.
    kept: Vec<Kept>,
}

/// A script that was used.
struct Kept {
    digest: [u8; 32],
    source: Box<str>,
    /// Whether each call needs a realm of its own.
    is_open: bool,
    realm: Option<Realm>,
}

impl Engine {
    /// An engine that keeps this many scripts compiled, at least one.
    pub fn new(limits: Limits, kept_max: usize) -> Self {
        Self { limits, kept_max: kept_max.max(1), kept: Vec::new() }
    }

    /// Whether this script is compiled already.
    pub fn knows(&self, digest: &[u8; 32]) -> bool {
        self.kept.iter().any(|kept| kept.digest == *digest)
    }

    /// Compiles a script, runs its top level, and looks whether both functions are there.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&mut self, script: &Script) -> Result<(), Fault> {
        check_length(script.source())?;
        Realm::open(script.source(), &self.limits)?.check()
    }

    /// `rawDataToJsonStr`.
    ///
    /// # Errors
    /// How the script failed.
    pub fn decode(
        &mut self,
        script: &Script,
        bytes: &[u8],
        circumstances: Circumstances,
    ) -> Result<String, Fault> {
        let source = Some(&**script.source());
        self.call(script.digest(), source, &Argument::Bytes(bytes), circumstances)
    }

    /// `jsonStrToRawData`.
    ///
    /// # Errors
    /// How the script failed.
    pub fn encode(
        &mut self,
        script: &Script,
        json: &str,
        circumstances: Circumstances,
    ) -> Result<Vec<u8>, Fault> {
        let source = Some(&**script.source());
        let text = self.call(script.digest(), source, &Argument::Json(json), circumstances)?;
        Ok(bytes_of(&text))
    }

    /// A call of a script whose source is needed only where it is not compiled yet; of bytes the result is a
    /// string with a character for each.
    ///
    /// What runs out of memory in a realm that has served others is tried again in a new one, while no other
    /// script takes any: the result does not depend on what was called before.
    pub(super) fn call(
        &mut self,
        digest: &[u8; 32],
        source: Option<&str>,
        argument: &Argument<'_>,
        circumstances: Circumstances,
    ) -> Result<String, Fault> {
        let mut kept = self.take(digest, source)?;
        loop {
            let (mut realm, is_new) = match kept.realm.take() {
                Some(realm) => (realm, false),
                None => (Realm::build(&kept.source, &self.limits, kept.is_open)?, true),
            };
            let Returned { result, is_clean } = realm.call(argument, circumstances);
            let is_kept = is_clean && !kept.is_open && realm.calls() < CALLS_OF_A_REALM_MAX;
            kept.realm = is_kept.then_some(realm);
            if !is_new && result.as_ref().is_err_and(|fault| fault.kind == FaultKind::Memory) {
                kept.realm = None;
                self.kept.clear();
                continue;
            }
            self.kept.push(kept);
            return result;
        }
    }

    /// The script out of those that are kept; else it is looked at, and the one that was not used for longest
    /// makes room.
    fn take(&mut self, digest: &[u8; 32], source: Option<&str>) -> Result<Kept, Fault> {
        if let Some(at) = self.kept.iter().position(|kept| kept.digest == *digest) {
            return Ok(self.kept.remove(at));
        }
        let missing = || Fault::new(FaultKind::Unavailable, "the script is not compiled");
        let source = source.ok_or_else(missing)?;
        check_length(source)?;
        let is_open = Realm::open(source, &self.limits)?.changes_built_ins()?;
        if self.kept.len() >= self.kept_max {
            self.kept.remove(0);
        }
        Ok(Kept { digest: *digest, source: source.into(), is_open, realm: None })
    }
}

fn check_length(source: &str) -> Result<(), Fault> {
    if source.len() <= SCRIPT_BYTES_MAX {
        return Ok(());
    }
    let words = format!("the source has {} bytes; at most {SCRIPT_BYTES_MAX} are taken", source.len());
    Err(Fault::new(FaultKind::Syntax, words))
}
