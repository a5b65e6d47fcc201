//! The path of the control socket. The address of a Unix socket holds 107 bytes; with a longer path the
//! socket is reached through a descriptor of its directory.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

/// The longest path that is used directly; it leaves room for a suffix.
const PATH_BYTES_MAX: usize = 96;

/// A short path to a file in a directory, valid while this value lives.
pub(super) struct ShortPath {
    path: PathBuf,
    _directory: Option<File>,
}

impl ShortPath {
    /// The path of `name` in `directory`, which exists.
    pub(super) fn new(directory: &Path, name: &str) -> io::Result<Self> {
        let path = directory.join(name);
        if path.as_os_str().len() <= PATH_BYTES_MAX {
            return Ok(Self { path, _directory: None });
        }
        let directory = File::open(directory)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
        Ok(Self { path, _directory: Some(directory) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::{super::NAME, *};

    #[test]
    fn a_socket_below_a_long_path_is_reached() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("d".repeat(150));
        std::fs::create_dir(&directory).unwrap();
        let _listener = UnixListener::bind(ShortPath::new(&directory, NAME).unwrap().path()).unwrap();
        assert!(directory.join(NAME).exists());
        UnixStream::connect(ShortPath::new(&directory, NAME).unwrap().path()).unwrap();
    }
}
