//! The real program in a temporary folder of its own: its commands, its server, and a running `listen`.

mod listener;
mod server;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

pub use self::{
    listener::Listener,
    server::{Server, signal},
};

/// What the program's own settings begin with in its environment.
const VARIABLES: &str = "NARROWGATE_";

/// The program, and a data directory for it which does not exist yet.
#[derive(Debug)]
pub struct Program {
    binary: PathBuf,
    folder: TempDir,
}

impl Program {
    /// The program at this path; the environment of a test says it as `CARGO_BIN_EXE_narrowgate`.
    ///
    /// # Panics
    /// When there can be no temporary folder. So does all that follows where something fails that has to
    /// work.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self { binary: binary.into(), folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// The program's own path.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes a file beside the data directory; its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("the folder can be written to");
        path.display().to_string()
    }

    /// A command, with none of this process's own settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        command.arg("--data").arg(self.data());
        command
    }

    /// The same without `--data`, for what takes no options.
    pub fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        for (variable, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(VARIABLES))
        {
            command.env_remove(variable);
        }
        // Tests connect and report far more often than a device may; those of the limits set their own.
        for limit in ["DEVICE_HANDSHAKES", "DEVICE_BYTES"] {
            command.env(format!("{VARIABLES}LIMITS_{limit}"), "off");
        }
        // Resident memory is that of what is used: with pages of 2 MiB it is what the kernel likes to give.
        command.env("MIMALLOC_ALLOW_THP", "0");
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().expect("the program can be started").into()
    }

    /// Runs a command that has to succeed; what it prints.
    #[track_caller]
    pub fn text(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
        ran.stdout
    }

    /// Runs a command that has to succeed; the JSON document that it prints.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["-o", "json"]].concat()).json()
    }

    /// Starts the server on free ports and waits for `ready`.
    #[track_caller]
    pub fn serve(&self) -> Server {
        self.serve_with(&["serve", "--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0"])
    }

    /// The same with arguments of one's own.
    #[track_caller]
    pub fn serve_with(&self, arguments: &[&str]) -> Server {
        Server::start(self.command(arguments))
    }

    /// Starts `listen` beside the server; from its return on nothing is missed.
    #[track_caller]
    pub fn listen(&self, arguments: &[&str]) -> Listener {
        Listener::start(self.command(&[&["listen", "-o", "json"], arguments].concat()))
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// What it wrote on standard output.
    pub stdout: String,
    /// What it wrote on standard error.
    pub stderr: String,
}

impl Ran {
    /// The JSON document on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        assert_eq!(self.stdout.lines().count(), 1, "one document, on one line: {self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that it failed so, with all of `words` in its message and nothing on standard output.
    #[track_caller]
    pub fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        assert!(self.stderr.contains("error: "), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is missing: {self:?}");
        }
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}
