//! Following a chain, and what is said of one that is broken.

use std::path::{Path, PathBuf};

use narrowgate_api::audit::{AuditChain, AuditEnds, AuditEntry, AuditHead};
use narrowgate_platform::{
    ports::AUDIT_CUT,
    rules::audit::{Broken, ChainEnd, Verifier},
};

use crate::{
    client::{Access, Call},
    failure::Failure,
};

/// A chain, while it is followed.
pub(super) struct Check {
    /// The file that it is read from.
    file: Option<PathBuf>,
    verifier: Verifier,
    /// The first entry that says that others are missing.
    cut: Option<Broken>,
    /// An end that was kept elsewhere: entries that were missing before it are known.
    kept: Option<ChainEnd>,
}

/// A chain that is whole.
pub(super) struct Followed {
    pub(super) ends: AuditEnds,
    /// The entry that says that others were missing before it, where there is one.
    pub(super) cut: Option<String>,
}

impl Check {
    /// Of a chain with these ends, which must also have ended as was kept elsewhere.
    ///
    /// # Errors
    /// It cannot have.
    pub(super) fn new(
        file: Option<&Path>,
        ends: &AuditEnds,
        kept: Option<ChainEnd>,
    ) -> Result<Self, Failure> {
        let begin = AuditHead { head: ends.anchor.clone(), count: ends.pruned };
        let verifier = Verifier::new(end(&begin)?);
        let mut check = Self { file: file.map(Path::to_owned), verifier, cut: None, kept };
        check.must_reach(end(&ends.end)?)?;
        kept.map_or(Ok(()), |kept| check.must_reach(kept))?;
        Ok(check)
    }

    /// Also this end must be met.
    pub(super) fn must_reach(&mut self, known: ChainEnd) -> Result<(), Failure> {
        self.verifier.must_reach(known).map_err(|broken| self.broken(&broken))
    }

    /// Takes the next line.
    pub(super) fn take(&mut self, line: &str) -> Result<(), Failure> {
        self.verifier.take(line).map_err(|broken| self.broken(&broken))?;
        if self.cut.is_none()
            && line.contains(AUDIT_CUT)
            && let Ok(entry) = serde_json::from_str::<AuditEntry>(line)
            && entry.action == AUDIT_CUT
        {
            let what = format!("it says that entries before it are missing: the end was {}", entry.target);
            self.cut = Some(Broken { seq: entry.seq, what });
        }
        Ok(())
    }

    /// After the last line: it is the end that was named. Entries that say that others are missing are a
    /// fault where `is_strict`, unless an end was kept behind them: who keeps that knows of them.
    pub(super) fn finish(self, ends: AuditEnds, is_strict: bool) -> Result<Followed, Failure> {
        let end = self.verifier.finish().map_err(|broken| self.broken(&broken))?;
        if end.count != ends.end.count {
            let what = format!("it stands behind the end, which is entry {}", ends.end.count);
            return Err(self.broken(&Broken { seq: ends.end.count + 1, what }));
        }
        match &self.cut {
            Some(cut) if is_strict && self.kept.is_none_or(|kept| kept.count < cut.seq) => {
                Err(self.broken(cut))
            }
            cut => Ok(Followed { ends, cut: cut.as_ref().map(Broken::to_string) }),
        }
    }

    fn broken(&self, broken: &Broken) -> Failure {
        let failure = Failure::failed("the audit log is broken");
        let failure = match &self.file {
            Some(file) => failure.file(file.display()),
            None => failure,
        };
        failure
            .part("entry", broken.seq)
            .reason(&broken.what)
            .hint("compare it with an export or a backup of before: docs/security.md, Audit log")
    }
}

/// The end of a chain as it was shown.
pub(super) fn end(shown: &AuditHead) -> Result<ChainEnd, Failure> {
    ChainEnd::read(shown).ok_or_else(|| {
        Failure::failed("the audit log is broken").reason(format_args!("{:?} is no hash", shown.head))
    })
}

/// Follows the chain of the store up to where it ends now, and hands on each line.
///
/// # Errors
/// It cannot be read, or is broken: then the rest was handed on, as far as it can be read. Where it is
/// exported, entries were deleted after their time before they were read.
pub(super) fn walk(
    access: &mut Access,
    (kept, is_export): (Option<ChainEnd>, bool),
    mut each: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<Followed, Failure> {
    let AuditChain { mut lines, mut ends, noted } = access.call(Call::read_audit_chain(0))?;
    let mut check = Check::new(None, &ends, kept);
    if let (Ok(followed), Some(noted)) = (&mut check, &noted)
        && let Err(failure) = followed.must_reach(end(noted)?)
    {
        check = Err(failure);
    }
    let mut last = ends.pruned;
    loop {
        for line in &lines {
            last = last.max(number_of(line)).max(last + 1);
            if let Ok(followed) = &mut check
                && let Err(failure) = followed.take(line)
            {
                check = Err(failure);
            }
            each(line)?;
            if last >= ends.end.count {
                break;
            }
        }
        if lines.is_empty() || last >= ends.end.count {
            break;
        }
        let page = access.call(Call::read_audit_chain(last))?;
        if page.ends.pruned > last {
            // Deleted after their time meanwhile: the chain begins behind them now.
            if is_export {
                return Err(overtaken());
            }
            (ends.pruned, ends.anchor, last) = (page.ends.pruned, page.ends.anchor, page.ends.pruned);
            if check.is_ok() {
                check = Check::new(None, &ends, kept);
            }
        }
        lines = page.lines;
    }
    check?.finish(ends, !is_export)
}

fn overtaken() -> Failure {
    Failure::failed("cannot export the audit log")
        .reason("its oldest entries were deleted after their time before they were read")
        .hint("export it again, to another file")
}

/// The number of an entry, as its line says; 0 where it does not.
fn number_of(line: &str) -> u64 {
    serde_json::from_str::<AuditEntry>(line).map_or(0, |entry| entry.seq)
}
