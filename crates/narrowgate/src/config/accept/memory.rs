//! Sizes that follow from how much memory this machine has.

use std::{fs, path::Path};

use super::{Accept, Size};

/// A size within a range, or `auto`: a part of the memory that this process may use.
#[derive(Debug)]
pub(crate) struct SizeOrAuto {
    pub(in crate::config) size: Size,
    /// `auto` is the memory divided by this.
    pub(in crate::config) part: u64,
    /// The least that `auto` is, bytes; also where the memory is not known.
    pub(in crate::config) least: u64,
}

impl Accept for SizeOrAuto {
    type Value = u64;

    fn parse(&self, text: &str) -> Result<u64, String> {
        match text {
            "auto" => Ok(self.auto(memory_bytes())),
            _ => self.size.parse(text).map_err(|reason| format!("{reason}, or auto")),
        }
    }

    fn accepted(&self) -> String {
        self.size.accepted()
    }
}

impl SizeOrAuto {
    fn auto(&self, memory: Option<u64>) -> u64 {
        let part = memory.map_or(self.least, |memory| memory / self.part);
        part.clamp(self.least, *self.size.0.end())
    }
}

/// Bytes of memory of this machine, or of the control group to which the process is confined, if that is
/// less.
fn memory_bytes() -> Option<u64> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| total_of(&text));
    let group = read(Path::new("/proc/self/cgroup")).and_then(|text| group_of(&text));
    let limits = group.iter().flat_map(|group| {
        let path = Path::new("/sys/fs/cgroup").join(group.trim_start_matches('/'));
        // A group is bound by the groups around it, too.
        let limits = path.ancestors().filter_map(|path| read(&path.join("memory.max"))?.trim().parse().ok());
        limits.collect::<Vec<u64>>()
    });
    machine.into_iter().chain(limits).min()
}

/// Bytes of the line `MemTotal:  8028284 kB`.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The group of the unified hierarchy: `0::/system.slice/narrowgate.service`.
fn group_of(cgroup: &str) -> Option<String> {
    cgroup.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTING: SizeOrAuto = SizeOrAuto { size: Size(1 << 20..=64 << 30), part: 8, least: 64 << 20 };

    #[test]
    fn auto_is_a_part_of_the_memory_and_never_little() {
        assert_eq!(SETTING.auto(Some(8 << 30)), 1 << 30);
        assert_eq!(SETTING.auto(Some(128 << 20)), 64 << 20);
        assert_eq!(SETTING.auto(Some(1 << 50)), 64 << 30);
        assert_eq!(SETTING.auto(None), 64 << 20);
        assert_eq!(SETTING.parse("2MiB"), Ok(2 << 20));
        assert_eq!(
            SETTING.parse("1B").unwrap_err(),
            "\"1B\" is out of range; it must be 1MiB to 64GiB, or auto"
        );
        assert!(SETTING.parse("auto").is_ok_and(|bytes| bytes >= 64 << 20));
    }

    #[test]
    fn the_memory_of_machine_and_group_is_read() {
        assert_eq!(total_of("MemTotal:        8028284 kB\nMemFree: 1 kB\n"), Some(8_028_284 * 1024));
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
        assert_eq!(group_of("1:name=systemd:/\n0::/a/b.service\n").as_deref(), Some("/a/b.service"));
        assert!(memory_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
