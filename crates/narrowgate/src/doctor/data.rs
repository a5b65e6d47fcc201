//! The data directory: whose it is, who else may use it, and the data key.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use narrowgate_adapters::sqlite::key_fits;
use zeroize::Zeroizing;

use super::Finding;
use crate::config::{Config, StoreKind};

/// A longer file is no key.
const KEY_BYTES_MAX: u64 = 256;
/// Digits of the key.
const KEY_DIGITS: usize = 64;
/// Files that are named where they belong to somebody else.
const NAMED_MAX: usize = 3;

/// `is_served`: a server has opened the store, so it has the right key.
pub(super) fn check(config: &Config, is_served: bool) -> Vec<Finding> {
    let (data, user) = (&config.data, nix::unistd::geteuid().as_raw());
    let Ok(found) = fs::metadata(data) else {
        let detail = format!("{} is not there yet: the first start makes it", data.display());
        return vec![Finding::well("dataDirectory", detail)];
    };
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    let mut findings = vec![judge_directory(data, owner, user, mode), judge_owners(data, owner)];
    if config.store.kind == StoreKind::Sqlite {
        let file = &config.store.data_key_file;
        let key = match look_at_key(file) {
            Key::Good { .. } if !is_served && key_fits(data, file) == Some(false) => Key::OfAnotherStore,
            key => key,
        };
        findings.push(judge_key(file, &key, data.join("registry.db").exists(), owner));
    }
    findings
}

fn judge_directory(data: &Path, owner: u32, user: u32, mode: u32) -> Finding {
    let (check, name) = ("dataDirectory", data.display());
    if user != 0 && user != owner {
        let detail = format!("{name} belongs to the user with the id {owner}, and this is the user {user}");
        return Finding::act(check, detail, "run the server as its owner, or choose another with --data");
    }
    let private = format!("chmod 700 {name}");
    match mode {
        _ if mode & 0o022 != 0 => {
            let detail =
                format!("{name} (mode {mode:04o}) can be written to by others: they can take its files away");
            Finding::act(check, detail, private)
        }
        // Of root nobody asks.
        _ if owner != 0 && mode & 0o700 != 0o700 => {
            let detail = format!("{name} (mode {mode:04o}) is not its owner's to read and write");
            Finding::act(check, detail, private)
        }
        _ if mode & 0o055 != 0 => {
            Finding::watch(check, format!("{name} (mode {mode:04o}) can be read by others"), private)
        }
        _ => Finding::well(check, format!("{name} is its owner's alone (the user with the id {owner})")),
    }
}

/// Files of others: a server that runs as the directory's owner cannot write them.
fn judge_owners(data: &Path, owner: u32) -> Finding {
    let check = "dataFiles";
    let others: Vec<PathBuf> =
        ["", "messages", "firmware"].iter().flat_map(|folder| others_in(data, folder, owner)).collect();
    if others.is_empty() {
        return Finding::well(check, "all files belong to the owner of the directory");
    }
    let named = others.iter().take(NAMED_MAX).map(|file| file.display().to_string());
    let more = match others.len() {
        count @ ..=NAMED_MAX => format!("{count} of another user"),
        count => format!("{count} of another user, among them"),
    };
    let detail = format!("{more}: {}", named.collect::<Vec<_>>().join(", "));
    Finding::act(check, detail, format!("chown -R {owner} {}; run commands as that user", data.display()))
}

/// Paths in the data directory that belong to somebody else.
fn others_in(data: &Path, folder: &str, owner: u32) -> Vec<PathBuf> {
    let entries = fs::read_dir(data.join(folder)).into_iter().flatten().flatten();
    // A link may be anybody's.
    let is_other = |entry: &fs::DirEntry| {
        entry.metadata().is_ok_and(|found| !found.is_symlink() && found.uid() != owner)
    };
    entries.filter(is_other).map(|entry| Path::new(folder).join(entry.file_name())).collect()
}

/// What a look at the file of the key finds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Missing,
    /// It is there, and cannot be read.
    Unreadable(String),
    /// It is no key.
    Malformed,
    /// It is a key, and the registry was made with another one.
    OfAnotherStore,
    Good {
        mode: u32,
        owner: u32,
    },
}

fn look_at_key(file: &Path) -> Key {
    let found = match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Key::Missing,
        Err(error) => return Key::Unreadable(error.to_string()),
        Ok(found) => found,
    };
    if !found.is_file() || found.len() > KEY_BYTES_MAX {
        return Key::Malformed;
    }
    match fs::read(file).map(Zeroizing::new) {
        Err(error) => Key::Unreadable(error.to_string()),
        Ok(text) if is_key(&text) => Key::Good { mode: found.mode() & 0o7777, owner: found.uid() },
        Ok(_) => Key::Malformed,
    }
}

fn is_key(text: &[u8]) -> bool {
    let digits = text.trim_ascii();
    digits.len() == KEY_DIGITS && digits.iter().all(u8::is_ascii_hexdigit)
}

fn judge_key(file: &Path, key: &Key, has_registry: bool, owner: u32) -> Finding {
    let (check, name) = ("dataKey", file.display());
    match key {
        Key::Missing if has_registry => {
            let detail = format!("{name} is not there, and without it the registry cannot be opened");
            Finding::act(check, detail, "put it back, from where it was kept or from a backup")
        }
        Key::Missing => Finding::well(check, format!("{name} is made at the first start")),
        Key::Unreadable(why) => {
            Finding::act(check, format!("{name} cannot be read: {why}"), format!("chown {owner} {name}"))
        }
        Key::Malformed => {
            let detail = format!("{name} is no data key (64 hexadecimal digits)");
            Finding::act(check, detail, "put the right file back, or name it with store.data_key_file")
        }
        Key::OfAnotherStore => {
            let detail = format!("{name} is the data key of another store: it opens no secret of this one");
            Finding::act(check, detail, "put the right file back, or name it with store.data_key_file")
        }
        Key::Good { mode, .. } if mode & 0o077 != 0 => {
            let detail = format!("{name} (mode {mode:04o}) can be read by others: a server refuses it");
            Finding::act(check, detail, format!("chmod 600 {name}"))
        }
        Key::Good { owner: other, .. } if *other != owner => {
            let detail = format!("{name} belongs to the user with the id {other}, and the data to {owner}");
            Finding::act(check, detail, format!("chown {owner} {name}"))
        }
        Key::Good { .. } => {
            Finding::well(check, format!("{name} is its owner's alone; keep a copy elsewhere"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{super::State, *};

    #[test]
    fn a_directory_that_others_can_use_is_named() {
        let state = |owner, user, mode| judge_directory(Path::new("/data"), owner, user, mode).state;
        assert_eq!(state(998, 998, 0o700), State::Well);
        assert_eq!(state(998, 0, 0o700), State::Well);
        assert_eq!(state(998, 998, 0o755), State::Watch);
        assert_eq!(state(998, 998, 0o770), State::Act);
        assert_eq!(state(998, 1000, 0o700), State::Act);
        assert_eq!(state(998, 998, 0o500), State::Act);
        assert_eq!(state(0, 0, 0o500), State::Well);
    }

    #[test]
    fn files_of_somebody_else_are_named() {
        let data = tempfile::tempdir().unwrap();
        let owner = fs::metadata(data.path()).unwrap().uid();
        fs::create_dir(data.path().join("messages")).unwrap();
        for name in ["registry.db", "log.db", "audit.db", "messages/2026-01-01.db"] {
            fs::write(data.path().join(name), "").unwrap();
        }
        assert_eq!(judge_owners(data.path(), owner).state, State::Well);
        // All of them are somebody else's for another owner.
        let finding = judge_owners(data.path(), owner + 1);
        assert!(finding.state == State::Act && finding.detail.contains("5 of another user"), "{finding:?}");
        assert_eq!(others_in(data.path(), "messages", owner + 1), [Path::new("messages/2026-01-01.db")]);
    }

    #[test]
    fn a_key_is_looked_at_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data.key");
        assert_eq!(look_at_key(&file), Key::Missing);
        assert_eq!(look_at_key(folder.path()), Key::Malformed);
        for (text, is_good) in [("ab".repeat(32), true), ("ab".repeat(31), false), ("xy".repeat(32), false)] {
            fs::write(&file, text + "\n").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
            let key = look_at_key(&file);
            assert_eq!(matches!(key, Key::Good { mode: 0o640, .. }), is_good, "{key:?}");
        }
        fs::write(&file, vec![b'a'; 300]).unwrap();
        assert_eq!(look_at_key(&file), Key::Malformed);
    }

    #[test]
    fn a_key_that_a_server_does_not_take_is_named() {
        let good = |mode, owner| Key::Good { mode, owner };
        for (key, has_registry, state) in [
            (Key::Missing, false, State::Well),
            (Key::Missing, true, State::Act),
            (Key::Unreadable("permission denied".into()), true, State::Act),
            (Key::Malformed, true, State::Act),
            (Key::OfAnotherStore, true, State::Act),
            (good(0o600, 998), true, State::Well),
            (good(0o640, 998), true, State::Act),
            (good(0o600, 0), true, State::Act),
        ] {
            let finding = judge_key(Path::new("/data/data.key"), &key, has_registry, 998);
            assert_eq!(finding.state, state, "{finding:?}");
        }
    }
}
