//! The disk below the data directory: space, inodes, and whether its file system keeps what it has promised.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::sys::statvfs::statvfs;

use super::Finding;
use crate::command::bytes;

/// Less is the end of it soon: an import of firmware leaves 16 MiB free, and logs grow between two commits.
const SPACE_ACT: u64 = 256 << 20;
/// As the alert `NarrowgateDiskFillsUp` has it.
const SPACE_WATCH: u64 = 1 << 30;
const INODES_ACT: u64 = 100;
const INODES_WATCH: u64 = 10_000;

pub(super) fn check(data: &Path) -> Vec<Finding> {
    let folder = existing(data);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = mount_of(&mounts, &folder);
    let Ok(counted) = statvfs(&folder) else {
        let detail = format!("{} cannot be looked at", folder.display());
        return vec![Finding::watch("space", detail, "check the disk (df -h)")];
    };
    let free = counted.blocks_available().saturating_mul(counted.fragment_size());
    // A file system without inodes of its own counts none at all.
    let inodes = (counted.files() > 0).then(|| counted.files_available());
    vec![judge_space(free), judge_inodes(inodes), judge_file_system(mount.as_ref())]
}

/// The directory itself, or the nearest above it that exists.
fn existing(data: &Path) -> PathBuf {
    let whole = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let found = whole.ancestors().find_map(|folder| fs::canonicalize(folder).ok());
    found.unwrap_or_else(|| PathBuf::from("/"))
}

fn judge_space(free: u64) -> Finding {
    let (check, detail) = ("space", format!("{} are free", bytes(Some(free))));
    match free {
        ..SPACE_ACT => Finding::act(check, detail, "free some space, or lower store.retention"),
        SPACE_ACT..SPACE_WATCH => Finding::watch(check, detail, "free some space, or lower store.retention"),
        _ => Finding::well(check, detail),
    }
}

/// `None`: the file system does not count them.
fn judge_inodes(free: Option<u64>) -> Finding {
    let check = "inodes";
    let Some(free) = free else { return Finding::well(check, "this file system has no limit of files") };
    let detail = format!("{free} more files can be made");
    match free {
        ..INODES_ACT => Finding::act(check, detail, "remove files that nobody needs (df -i)"),
        INODES_ACT..INODES_WATCH => Finding::watch(check, detail, "remove files that nobody needs (df -i)"),
        _ => Finding::well(check, detail),
    }
}

/// What is mounted there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    kind: String,
    options: Vec<String>,
}

/// The mount that a folder lies in, by the text of `/proc/self/mountinfo` (proc(5)): of two at one place the
/// later one.
fn mount_of(mountinfo: &str, folder: &Path) -> Option<Mount> {
    let mut best: Option<(usize, Mount)> = None;
    for line in mountinfo.lines() {
        // 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
        let Some((place, source)) = line.split_once(" - ") else { continue };
        let (place, source): (Vec<_>, Vec<_>) = (place.split(' ').collect(), source.split(' ').collect());
        let (Some(point), Some(own), Some(kind)) = (place.get(4), place.get(5), source.first()) else {
            continue;
        };
        let point = PathBuf::from(unescaped(point));
        let length = point.components().count();
        if !folder.starts_with(&point) || best.as_ref().is_some_and(|(other, _)| *other > length) {
            continue;
        }
        let shared = source.get(2).copied().unwrap_or_default();
        let options = own.split(',').chain(shared.split(',')).map(str::to_owned).collect();
        best = Some((length, Mount { kind: (*kind).to_owned(), options }));
    }
    best.map(|(_, mount)| mount)
}

/// A path without the kernel's escapes (`\040` is a blank).
fn unescaped(point: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(point.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

fn judge_file_system(mount: Option<&Mount>) -> Finding {
    let check = "fileSystem";
    let Some(Mount { kind, options }) = mount else {
        return Finding::watch(check, "which one it is cannot be seen from here", "findmnt shows it");
    };
    let has = |names: &[&str]| options.iter().any(|option| names.contains(&option.as_str()));
    let elsewhere = "choose a directory on a local disk with --data";
    match kind.as_str() {
        _ if has(&["ro"]) => Finding::act(check, format!("{kind} is mounted read-only"), elsewhere),
        "tmpfs" | "ramfs" => {
            let detail = format!("{kind} is memory: what is stored is lost with the machine");
            Finding::watch(check, detail, elsewhere)
        }
        "overlay" | "aufs" => {
            let detail = format!("{kind} is a layer of a container: what is stored goes with it");
            Finding::watch(check, detail, "mount a volume at the data directory")
        }
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "ceph" | "glusterfs" | "afs" => {
            let detail =
                format!("{kind} is a network's: its locks and its promises of durability are the server's");
            Finding::watch(check, detail, elsewhere)
        }
        _ if kind.starts_with("fuse") => {
            let detail =
                format!("{kind} is a program's: whether what is stored outlives a loss of power is up to it");
            Finding::watch(check, detail, elsewhere)
        }
        _ if has(&["nobarrier", "barrier=0"]) => {
            let detail =
                format!("{kind} is mounted without barriers: a loss of power may take what was acknowledged");
            Finding::watch(check, detail, "mount it without nobarrier, unless its disks keep their caches")
        }
        _ => Finding::well(check, format!("{kind} writes what it has acknowledged")),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    const MOUNTS: &str = "\
        21 1 254:0 / / rw,relatime - ext4 /dev/vda1 rw,errors=remount-ro\n\
        30 21 0:20 / /tmp rw,nosuid shared:7 - tmpfs tmpfs rw,size=10%\n\
        31 21 254:1 / /srv/a\\040b ro,noatime - xfs /dev/vdb rw\n\
        32 31 254:2 / /srv/a\\040b rw,noatime - btrfs /dev/vdc rw\n\
        nonsense\n";

    fn kind_of(folder: &str) -> String {
        mount_of(MOUNTS, Path::new(folder)).unwrap().kind
    }

    #[test]
    fn the_mount_of_a_folder_is_the_nearest_and_the_latest() {
        assert_eq!(kind_of("/var/lib/narrowgate"), "ext4");
        assert_eq!(kind_of("/tmp/demo"), "tmpfs");
        assert_eq!(kind_of("/tmpfile"), "ext4");
        assert_eq!(kind_of("/srv/a b/data"), "btrfs");
        assert_eq!(mount_of("", Path::new("/")), None);
        assert!(mount_of(MOUNTS, Path::new("/")).unwrap().options.contains(&"errors=remount-ro".to_owned()));
    }

    #[test]
    fn a_file_system_that_keeps_no_promise_is_named() {
        let state = |kind: &str, options: &str| {
            let options = options.split(',').map(str::to_owned).collect();
            judge_file_system(Some(&Mount { kind: kind.into(), options })).state
        };
        assert_eq!(state("ext4", "rw,errors=remount-ro"), State::Well);
        assert_eq!(state("ext4", "ro"), State::Act);
        for (kind, options) in [
            ("tmpfs", "rw"),
            ("overlay", "rw"),
            ("nfs4", "rw"),
            ("fuse.sshfs", "rw"),
            ("xfs", "rw,nobarrier"),
            ("ext4", "rw,barrier=0"),
        ] {
            assert_eq!(state(kind, options), State::Watch, "{kind} {options}");
        }
        assert_eq!(judge_file_system(None).state, State::Watch);
    }

    #[test]
    fn a_disk_that_is_nearly_full_is_named() {
        for (free, state) in [
            (SPACE_ACT - 1, State::Act),
            (SPACE_ACT, State::Watch),
            (SPACE_WATCH - 1, State::Watch),
            (SPACE_WATCH, State::Well),
        ] {
            assert_eq!(judge_space(free).state, state, "{free}");
        }
        for (free, state) in [
            (Some(INODES_ACT - 1), State::Act),
            (Some(INODES_WATCH - 1), State::Watch),
            (Some(INODES_WATCH), State::Well),
            (None, State::Well),
        ] {
            assert_eq!(judge_inodes(free).state, state, "{free:?}");
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_looked_for_above() {
        let folder = tempfile::tempdir().unwrap();
        let whole = fs::canonicalize(folder.path()).unwrap();
        assert_eq!(existing(&folder.path().join("a/b")), whole);
        let found = check(&folder.path().join("a/b"));
        assert_eq!(
            found.iter().map(|found| found.check).collect::<Vec<_>>(),
            ["space", "inodes", "fileSystem"]
        );
    }
}
