//! Backups that are asked for over HTTP, in `backups` of the data directory. Each is made by a process of its
//! own, `narrowgate backup`: where the files of a database are opened and closed in this one, its locks are
//! lost.
//!
//! One is made as `NAME.partial` and gets its name when it is whole: what was cut off is removed at the next
//! start, or before the next one. The command has a lock on `backups` for as long as it runs, also where this
//! process has ended before it: two are never made at a time.

#![expect(clippy::result_large_err, reason = "a problem is what the verbs of an operator return")]

mod running;

use std::{
    env,
    ffi::OsStr,
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{self, Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
    thread,
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

use self::running::{Running, Waiting};
use crate::{
    config::{Config, StoreKind},
    host::{Host, free},
    system::SystemClock,
    time::rfc3339,
};

const TITLE: &str = "cannot back up the store";

/// The directory in that of the data.
pub(crate) const BACKUPS: &str = "backups";

/// So many are kept there. The server deletes none: whoever wants another one takes one away first.
const BACKUPS_MAX: usize = 10;

/// What one that is not whole is called behind its name.
const PARTIAL: &str = ".partial";

/// What has to be free on the disk beside a backup: without it nothing that devices report could be stored.
const RESERVE_BYTES: u64 = 1 << 30;

/// Characters of what a failed command says that are told.
const TOLD_MAX: usize = 500;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct OwnBackups {
    program: PathBuf,
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
        // The command would take a relative name of the key for one in the data directory.
        let whole = |path: &Path| path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let (data, data_key) = (whole(&config.data), whole(&config.store.data_key_file));
        // The running program itself, which a newer one on the disk does not replace.
        let program = PathBuf::from("/proc/self/exe");
        is_in_files.then_some(Self { program, data, data_key })
    }

    fn make(&self, with_key: bool, running: &Running) -> Result<BackupView, Problem> {
        let directory = self.data.join(BACKUPS);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.map_err(|error| unavailable(format!("{BACKUPS} cannot be made: {error}")))?;
        let failed = |error: io::Error| unavailable(format!("{BACKUPS}: {error}"));
        let Some(lock) = lock(&directory).map_err(failed)? else {
            let detail = "a backup is being made already, for a server before this one".to_owned();
            let busy = Problem::new(429, Code::Busy, TITLE);
            return Err(Problem { detail: Some(detail), ..busy });
        };
        remove_partial(&directory).map_err(failed)?;
        self.check_room(&directory)?;
        let time = SystemClock.now();
        let name = name_of(time);
        let partial = directory.join(name.clone() + PARTIAL);
        let ran = running.run(self.command(&partial, with_key, lock.try_clone().map_err(failed)?));
        let done = ran
            .map_err(|error| unavailable(format!("it cannot be carried out: {error}")))
            .and_then(|output| read(&output))
            .and_then(|done| publish(&partial, &directory.join(&name)).map(|()| done).map_err(failed));
        if done.is_err() {
            // What stays is removed before the next one.
            let _ = fs::remove_dir_all(&partial);
        }
        let Done { files, bytes, batch, images_without_file, audit_log_damaged } = done?;
        Ok(BackupView { name, time, files, bytes, batch, with_key, images_without_file, audit_log_damaged })
    }

    /// Refuses where another one is one too many, or where the disk would be full with it.
    fn check_room(&self, directory: &Path) -> Result<(), Problem> {
        let kept = count(directory).map_err(|error| unavailable(format!("{BACKUPS}: {error}")))?;
        if kept >= BACKUPS_MAX {
            return Err(no_room(format!("{BACKUPS} in the data directory has {kept} backups already")));
        }
        let needed = Host::store_bytes(&self.data);
        match free(directory) {
            Some(free) if free < needed.saturating_add(RESERVE_BYTES) => Err(no_room(format!(
                "the backup takes up to {needed} bytes, and {RESERVE_BYTES} have to stay free; {free} are \
                 free where {BACKUPS} is"
            ))),
            _ => Ok(()),
        }
    }

    /// Removes what an earlier server has left, while this one goes on: it may hold the data key.
    fn remove_partial_beside(&self) {
        let directory = self.data.join(BACKUPS);
        if !directory.exists() {
            return;
        }
        let remove = move || {
            // Where one is being made it is looked at again before the next one.
            let removed = lock(&directory).and_then(|lock| match lock {
                Some(_lock) => remove_partial(&directory),
                None => Ok(()),
            });
            if let Err(error) = removed {
                tracing::warn!(%error, "a backup that was cut off cannot be removed");
            }
        };
        // Ignored: the next backup does it.
        let _ = thread::Builder::new().name("backups".to_owned()).spawn(remove);
    }

    /// It knows of the configuration what this process has read, and reads no file that may be another one.
    fn command(&self, target: &Path, with_key: bool, lock: File) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("backup").arg(target).arg("--data").arg(&self.data);
        command.args(["--config", "/dev/null", "-o", "json"]);
        if !with_key {
            command.arg("--without-key");
        }
        for (variable, _) in env::vars_os().filter(|(name, _)| is_ours(name)) {
            command.env_remove(variable);
        }
        command.env("NARROWGATE_STORE_DATA_KEY_FILE", &self.data_key);
        // It reads nothing, and holds the lock for as long as it runs.
        command.stdin(Stdio::from(lock));
        command
    }
}

impl Backups for OwnBackups {
    fn back_up(&self, with_key: bool) -> BackingUp {
        let (own, running) = (self.clone(), Arc::new(Running::default()));
        Box::pin(async move {
            // Where the server ends before the command, so does that.
            let _waiting = Waiting(Arc::clone(&running));
            let made = spawn_blocking(move || own.make(with_key, &running)).await;
            made.unwrap_or_else(|_| Err(unavailable("it was not carried out".to_owned())))
        })
    }
}

/// These routes, which also make backups.
pub(super) fn offered(config: &Config, (open, control): (Router, Router)) -> (Router, Router) {
    let Some(own) = OwnBackups::of(config) else { return (open, control) };
    own.remove_partial_beside();
    let own: Arc<dyn Backups> = Arc::new(own);
    (with_backups(open, Arc::clone(&own)), with_backups(control, own))
}

/// Whether a variable of the environment is a setting.
fn is_ours(variable: &OsStr) -> bool {
    variable.as_encoded_bytes().starts_with(b"NARROWGATE_")
}

/// Keeps others from making a backup there until it is dropped, with all its copies; `None`: one is being
/// made.
fn lock(directory: &Path) -> io::Result<Option<File>> {
    let file = File::open(directory)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(None),
        // A file system of another machine may have no such locks; this process makes one at a time anyway.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(file)),
    }
}

/// Gives a whole backup its name, for good.
fn publish(partial: &Path, target: &Path) -> io::Result<()> {
    fs::rename(partial, target)?;
    target.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

/// Removes what was cut off.
fn remove_partial(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if is_partial(&entry.file_name()) && entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Whether it is called as one of ours that is not whole.
fn is_partial(name: &OsStr) -> bool {
    let time = name.to_str().and_then(|name| name.strip_suffix(PARTIAL));
    let is_of_time = |letter: u8| letter.is_ascii_digit() || matches!(letter, b'T' | b'Z' | b'-');
    time.is_some_and(|time| time.len() >= 16 && time.bytes().all(is_of_time))
}

/// Backups that are whole.
fn count(directory: &Path) -> io::Result<usize> {
    let entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    Ok(entries.iter().filter(|entry| entry.path().join("manifest.json").is_file()).count())
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
    Problem { detail: Some(detail), ..Problem::new(503, Code::Unavailable, TITLE) }
}

/// It may be asked for again with the same `Idempotency-Key`: nothing was done, and there may be room then.
fn no_room(detail: String) -> Problem {
    Problem {
        detail: Some(detail),
        hint: Some("take backups to another disk, on the server's machine, and delete them here".to_owned()),
        ..Problem::new(429, Code::NoRoom, TITLE)
    }
}

#[cfg(test)]
mod tests;
