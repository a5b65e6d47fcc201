//! Errors as an operator reads them: what failed, where, why, and what to try; and the exit code.

use std::{fmt::Display, io, path::Path, process::ExitCode};

use narrowgate_api::problem::Code;
use narrowgate_http::device_file::Unusable;

use crate::output::{self, printable};

/// How the program ends when it did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It failed: 1.
    Failed,
    /// Its arguments are wrong: 64 (EX_USAGE).
    Usage,
    /// The configuration is wrong: 78 (EX_CONFIG).
    Config,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Failed => ExitCode::from(1),
            Exit::Usage => ExitCode::from(64),
            Exit::Config => ExitCode::from(78),
        }
    }
}

/// An error with its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What failed: `cannot open the store`.
    pub(crate) headline: String,
    /// Where, why, and what to try, in the order in which they are printed.
    pub(crate) parts: Vec<(String, String)>,
    /// What the router called it, where it answered.
    pub(crate) code: Option<Code>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, headline: impl Display) -> Self {
        Self { exit, headline: headline.to_string(), parts: Vec::new(), code: None }
    }

    pub(crate) fn failed(headline: impl Display) -> Self {
        Self::new(Exit::Failed, headline)
    }

    pub(crate) fn usage(headline: impl Display) -> Self {
        Self::new(Exit::Usage, headline)
    }

    pub(crate) fn config(headline: impl Display) -> Self {
        Self::new(Exit::Config, headline)
    }

    /// Adds a part under any label.
    pub(crate) fn part(mut self, label: &str, text: impl Display) -> Self {
        self.parts.push((label.to_owned(), text.to_string()));
        self
    }

    /// Where: a file or directory.
    pub(crate) fn file(self, path: impl Display) -> Self {
        // Escaped here, because a part is printed line by line.
        self.part("file", printable(&path.to_string()))
    }

    /// Why.
    pub(crate) fn reason(self, reason: impl Display) -> Self {
        self.part("reason", reason)
    }

    /// Names another option at the beginning of its reasons.
    pub(crate) fn naming(mut self, option: &str, typed: &str) -> Self {
        for (_, text) in &mut self.parts {
            if let Some(rest) = text.strip_prefix(option).filter(|rest| rest.starts_with(' ')) {
                *text = format!("{typed}{rest}");
            }
        }
        self
    }

    /// What to try.
    pub(crate) fn hint(self, hint: impl Display) -> Self {
        self.part("try", hint)
    }

    /// Adds the system's reason, and what to try: with too few file descriptors that is always the same.
    pub(crate) fn because(self, error: &io::Error, otherwise: &str) -> Self {
        match is_out_of_descriptors(error) {
            true => self.reason(NO_DESCRIPTORS).hint(MORE_DESCRIPTORS),
            false => self.reason(error).hint(otherwise),
        }
    }

    /// Adds why something cannot be created in a folder, and what to try; on a full disk that is to free
    /// space.
    pub(crate) fn cannot_make(self, folder: &Path, error: &io::Error, otherwise: &str) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let folder = folder.display();
                self.reason("the disk is full")
                    .hint(format_args!("free some space (df -h {folder}; df -i {folder})"))
            }
            _ => self.because(error, otherwise),
        }
    }

    /// Prints to standard error.
    pub(crate) fn print(&self) {
        output::notice(&self.to_string());
    }
}

impl From<Unusable> for Failure {
    fn from(Unusable { headline, reason, hint }: Unusable) -> Self {
        let failure = Self::failed(headline).reason(reason);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

const NO_DESCRIPTORS: &str = "no file descriptor is left";

/// What to try then; sockets count as files.
const MORE_DESCRIPTORS: &str = "raise the limit of open files (LimitNOFILE= in the unit, ulimit -n)";

/// Whether the process, or the system, has as many files open as it may.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    let limits = [nix::errno::Errno::EMFILE, nix::errno::Errno::ENFILE];
    error.raw_os_error().is_some_and(|number| limits.iter().any(|limit| *limit as i32 == number))
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "error: {}", printable(&self.headline))?;
        for (label, text) in &self.parts {
            for (index, line) in text.lines().enumerate() {
                let label = if index == 0 { label } else { "" };
                writeln!(f, "  {label:<7} {}", printable(line))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_called_one() {
        let cannot = |kind: io::ErrorKind| {
            Failure::failed("cannot make it").cannot_make(Path::new("/data"), &kind.into(), "do better").parts
        };
        let full = cannot(io::ErrorKind::StorageFull);
        assert_eq!(full[0].1, "the disk is full");
        assert!(full[1].1.contains("df -h /data;"), "{full:?}");
        assert_eq!(cannot(io::ErrorKind::NotFound)[1].1, "do better");
    }

    #[test]
    fn too_few_file_descriptors_are_called_so() {
        let full = io::Error::from_raw_os_error(nix::errno::Errno::EMFILE as i32);
        let parts =
            Failure::failed("cannot make it").cannot_make(Path::new("/data"), &full, "do better").parts;
        assert_eq!(parts[0].1, "no file descriptor is left");
        assert!(parts[1].1.contains("ulimit -n"), "{parts:?}");
    }

    #[test]
    fn a_failure_reads_in_four_parts() {
        let failure = Failure::config("cannot open the store")
            .file("data/registry.db")
            .reason("permission denied")
            .hint("chown narrowgate: data/\nor choose another --data");
        assert_eq!(
            failure.to_string(),
            "error: cannot open the store\n  file    data/registry.db\n  reason  permission denied\n  \
             try     chown narrowgate: data/\n          or choose another --data\n"
        );
    }

    #[test]
    fn quoted_input_shows_all_that_it_holds() {
        let failure =
            Failure::failed("there is no device a\u{1b}[2J\nb").file("d\u{202e}\n").reason("x\u{200b}");
        assert_eq!(
            failure.to_string(),
            "error: there is no device a\\u{1b}[2J\\nb\n  file    d\\u{202e}\\n\n  reason  x\\u{200b}\n"
        );
    }
}
