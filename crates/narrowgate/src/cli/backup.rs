//! `narrowgate backup`, `restore` and `adopt`.

use std::path::PathBuf;

use clap::Args;

pub(super) const BACKUP_HELP: &str =
    "Everything that was acknowledged before the command ends is in the backup. A server pauses for
the last part, usually some tenths of a second and 3 s at most.

Example:
  narrowgate backup /backup/monday --data /var/lib/narrowgate";

pub(super) const RESTORE_HELP: &str = "The sizes and sums of all files are compared first. The data \
directory may have a narrowgate.toml,
and no data.

Example:
  narrowgate restore /backup/monday --data /var/lib/narrowgate";

pub(super) const ADOPT_HELP: &str = "A start refuses a registry that is older than the files beside \
it, and messages that are missing
or were replaced by an older copy. Where nothing better is left, this goes on with what is there,
and says what is lost. No device gets the id or the reports of another one.

Example:
  narrowgate adopt --data /var/lib/narrowgate";

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The backup: a directory that is empty or does not exist
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Leave out data.key, which opens all secrets; a restore then needs --key FILE
    #[arg(long)]
    pub(crate) without_key: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup, as `narrowgate backup` made it
    #[arg(value_name = "DIR")]
    pub(crate) backup: PathBuf,
    /// The data key of the store, where the backup was made without it
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct AdoptArgs {
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}
