//! Backups that are asked for over HTTP, in `backups` of the data directory. Each is made by a process of its
//! own, `narrowgate backup`: where the files of a database are opened and closed in this one, its locks are
//! lost.

#![expect(clippy::result_large_err, reason = "a problem is what the verbs of an operator return")]

use std::{
    env,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
};

use axum::Router;
use narrowgate_api::{
    backup::BackupView,
    names::UnixMillis,
    problem::{Code, Problem},
};
use narrowgate_http::{BackingUp, Backups, with_backups};
use narrowgate_platform::ports::Clock as _;
use serde::Deserialize;
use tokio::task::spawn_blocking;

use crate::{
    config::{Config, StoreKind},
    system::SystemClock,
    time::rfc3339,
};

/// The directory in that of the data.
pub(crate) const BACKUPS: &str = "backups";

/// So many are kept there. The server deletes none: whoever wants another one takes one away first.
const BACKUPS_MAX: usize = 10;

/// Characters of what a failed command says that are told.
const TOLD_MAX: usize = 500;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct OwnBackups {
    data: PathBuf,
    data_key: PathBuf,
}

/// What the command prints.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    files: u64,
    bytes: u64,
    batch: u64,
    #[serde(default)]
    images_without_file: Vec<String>,
    audit_log_damaged: Option<String>,
}

impl OwnBackups {
    /// `None`: nothing of the store is in files.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let is_in_files = config.store.kind == StoreKind::Sqlite;
        let (data, data_key) = (config.data.clone(), config.store.data_key_file.clone());
        is_in_files.then_some(Self { data, data_key })
    }

    fn make(&self, with_key: bool) -> Result<BackupView, Problem> {
        let directory = self.data.join(BACKUPS);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.map_err(|error| unavailable(format!("{BACKUPS} cannot be made: {error}")))?;
        let kept = count(&directory).map_err(|error| unavailable(format!("{BACKUPS}: {error}")))?;
        if kept >= BACKUPS_MAX {
            return Err(Problem {
                detail: Some(format!("{BACKUPS} in the data directory has {kept} backups already")),
                hint: Some("take some to another disk, on the server's machine, and delete them".to_owned()),
                ..Problem::new(409, Code::Conflict, "cannot back up the store")
            });
        }
        let time = SystemClock.now();
        let name = name_of(time);
        let output = self.command(&directory.join(&name), with_key).and_then(|mut command| command.output());
        let output = output.map_err(|error| unavailable(format!("it cannot be started: {error}")))?;
        let done = read(&output)?;
        let Done { files, bytes, batch, images_without_file, audit_log_damaged } = done;
        Ok(BackupView { name, time, files, bytes, batch, with_key, images_without_file, audit_log_damaged })
    }

    fn command(&self, target: &Path, with_key: bool) -> io::Result<Command> {
        let mut command = Command::new(env::current_exe()?);
        command.arg("backup").arg(target).arg("--data").arg(&self.data).args(["-o", "json"]);
        if !with_key {
            command.arg("--without-key");
        }
        command.env("NARROWGATE_STORE_DATA_KEY_FILE", &self.data_key);
        command.stdin(Stdio::null());
        Ok(command)
    }
}

impl Backups for OwnBackups {
    fn back_up(&self, with_key: bool) -> BackingUp {
        let own = self.clone();
        Box::pin(async move {
            let made = spawn_blocking(move || own.make(with_key)).await;
            made.unwrap_or_else(|_| Err(unavailable("it was not carried out".to_owned())))
        })
    }
}

/// These routes, which also make backups.
pub(super) fn offered(config: &Config, (open, control): (Router, Router)) -> (Router, Router) {
    let Some(own) = OwnBackups::of(config) else { return (open, control) };
    let own: Arc<dyn Backups> = Arc::new(own);
    (with_backups(open, Arc::clone(&own)), with_backups(control, own))
}

fn count(directory: &Path) -> io::Result<usize> {
    Ok(fs::read_dir(directory)?.count())
}

/// By its time, without what a file cannot be called everywhere.
fn name_of(time: UnixMillis) -> String {
    let text: String = rfc3339(time.0).chars().filter(|letter| !matches!(letter, '-' | ':')).collect();
    text.replace('.', "-")
}

/// What the command has done: it prints that also where something was damaged and is not in the backup.
fn read(output: &Output) -> Result<Done, Problem> {
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        unavailable(said.trim().chars().take(TOLD_MAX).collect())
    })
}

fn unavailable(detail: String) -> Problem {
    Problem { detail: Some(detail), ..Problem::new(503, Code::Unavailable, "cannot back up the store") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_called_by_its_time() {
        assert_eq!(name_of(UnixMillis(1_795_500_757_000)), "20261124T061237Z");
    }
}
