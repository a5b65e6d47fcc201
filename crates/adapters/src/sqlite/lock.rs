//! Exclusive use of a data directory: an advisory lock (flock) on the directory itself, which nobody can take
//! away from it, and one on a file in it, with the owner's pid and start time, for a second process to read.
//! The system drops both locks with the process, however it ends.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process,
    time::{SystemTime, UNIX_EPOCH},
};

use super::error::OpenError;

/// Name of the lock file in the data directory.
const FILE_NAME: &str = "narrowgate.lock";

/// The lock, held until dropped.
#[derive(Debug)]
pub(super) struct DataLock {
    path: PathBuf,
    file: File,
    /// Whether this lock made the file.
    made: bool,
    /// The directory, locked too: the file may be removed while the process runs.
    folder: Option<File>,
}

impl DataLock {
    /// Takes the lock of directory `data`, or says who has it. An existing file is left as it is.
    pub(super) fn take(data: &Path) -> Result<Self, OpenError> {
        let path = data.join(FILE_NAME);
        let io = |doing, source| OpenError::io(&path, doing, source);
        loop {
            let made = !path.exists();
            let open = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path);
            let mut file = open.map_err(|source| io("the lock file cannot be opened", source))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(OpenError::InUse { pid: read_pid(&mut file), file: path.clone() });
                }
                Err(TryLockError::Error(source)) => return Err(io("the lock cannot be taken", source)),
            }
            // A process that failed to open a store removes the lock file that it made; ours must be the one
            // on disk.
            let same = fs::metadata(&path)
                .ok()
                .zip(file.metadata().ok())
                .is_some_and(|(disk, ours)| disk.ino() == ours.ino());
            if !same {
                continue;
            }
            return match lock_folder(data) {
                Ok(folder) => Ok(Self { path, file, made, folder }),
                Err(error) => {
                    Self { path, file, made, folder: None }.undo();
                    Err(error)
                }
            };
        }
    }

    /// Writes down who has the lock, once it is certain that the directory is used.
    pub(super) fn sign(&mut self) -> Result<(), OpenError> {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let text = format!("{}\n{started}\n", process::id());
        let file = &mut self.file;
        let written =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        written.map_err(|source| OpenError::io(&self.path, "the lock file cannot be written", source))
    }

    /// Gives the lock back after a failed open, and the file with it where it was not there before.
    pub(super) fn undo(self) {
        if self.made {
            // Ignored: a lock file that stays does no harm.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for DataLock {
    /// A lock would stay for as long as a process that is just being started has a copy of its descriptor.
    fn drop(&mut self) {
        for locked in [Some(&self.file), self.folder.as_ref()].into_iter().flatten() {
            // Ignored: the lock goes with the last copy then.
            let _ = locked.unlock();
        }
    }
}

/// Locks a directory. `None`: its file system has no locks on directories.
fn lock_folder(data: &Path) -> Result<Option<File>, OpenError> {
    let folder = File::open(data)
        .map_err(|source| OpenError::io(data, "the data directory cannot be opened", source))?;
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => {
            Err(OpenError::InUse { pid: holder(&folder), file: data.to_owned() })
        }
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// The process that has a lock (flock) on this, as the system lists it.
fn holder(locked: &File) -> Option<u32> {
    let inode = locked.metadata().ok()?.ino();
    (0..LISTS).find_map(|_| holder_in_one_list(inode))
}

/// How often the list of locks is read until a lock is in it. The system hands the list out page by page, and
/// leaves an entry out where an earlier one goes between two pages.
const LISTS: usize = 32;

fn holder_in_one_list(inode: u64) -> Option<u32> {
    let inode = format!(":{inode}");
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // 1: FLOCK  ADVISORY  WRITE 4711 08:01:131090 0 EOF
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_it = words.get(1) == Some(&"FLOCK") && words.get(5)?.ends_with(&inode);
        words.get(4)?.parse().ok().filter(|pid| is_it && *pid > 0)
    })
}

/// The process that has, or had last, the directory `data`; `None` where it does not say so.
pub fn last_process(data: &Path) -> Option<u32> {
    read_pid(&mut File::open(data.join(FILE_NAME)).ok()?)
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(64).read_to_string(&mut text).ok()?;
    text.lines().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn the_second_hears_who_is_first_until_the_first_is_gone() {
        let data = tempfile::tempdir().unwrap();
        let mut first = DataLock::take(data.path()).unwrap();
        assert!(matches!(DataLock::take(data.path()), Err(OpenError::InUse { pid: None, .. })));
        assert_eq!(last_process(data.path()), None);
        first.sign().unwrap();
        assert_eq!(last_process(data.path()), Some(process::id()));
        let second = DataLock::take(data.path());
        assert!(matches!(second, Err(OpenError::InUse { pid: Some(pid), .. }) if pid == process::id()));
        drop(first);
        DataLock::take(data.path()).unwrap();
    }

    #[test]
    fn the_lock_goes_with_its_owner_and_not_with_the_last_copy_of_its_descriptors() {
        let data = tempfile::tempdir().unwrap();
        let first = DataLock::take(data.path()).unwrap();
        let _inherited =
            [first.file.try_clone().unwrap(), first.folder.as_ref().unwrap().try_clone().unwrap()];
        drop(first);
        DataLock::take(data.path()).unwrap();
    }

    #[test]
    fn who_removes_the_lock_file_of_another_gets_no_lock() {
        let data = tempfile::tempdir().unwrap();
        let mut first = DataLock::take(data.path()).unwrap();
        first.sign().unwrap();
        fs::remove_file(data.path().join(FILE_NAME)).unwrap();
        for _ in 0..2 {
            let second = DataLock::take(data.path());
            assert!(matches!(second, Err(OpenError::InUse { pid: Some(pid), .. }) if pid == process::id()));
            assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0, "nothing of its own is left");
        }
        drop(first);
        DataLock::take(data.path()).unwrap();
    }

    /// The list of the system is long while others take locks and give them back, and has gaps.
    #[test]
    fn the_holder_is_found_while_others_take_locks_and_give_them_back() {
        let data = tempfile::tempdir().unwrap();
        let _first = DataLock::take(data.path()).unwrap();
        let folder = File::open(data.path()).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let (done, path) = (&done, data.path());
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        let files: Vec<File> = (0..100)
                            .map(|at| File::create(path.join(format!("{thread}.{at}"))).unwrap())
                            .collect();
                        files.iter().for_each(|file| file.lock().unwrap());
                    }
                });
            }
            let missed = (0..2_000).filter(|_| holder(&folder) != Some(process::id())).count();
            done.store(true, Ordering::Relaxed);
            assert_eq!(missed, 0);
        });
    }

    #[test]
    fn a_lock_file_is_taken_away_only_by_who_made_it() {
        let data = tempfile::tempdir().unwrap();
        DataLock::take(data.path()).unwrap().undo();
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
        drop(DataLock::take(data.path()).unwrap());
        DataLock::take(data.path()).unwrap().undo();
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1);
    }
}
