//! The command that makes a backup, which ends with whoever waits for it.

use std::{
    io::{self, Read},
    process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// A command, from before it is started until it has ended.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    child: Option<Child>,
    is_given_up: bool,
}

impl Running {
    /// Runs it to its end; what it has printed.
    ///
    /// # Errors
    /// It cannot be started, or was given up.
    pub(super) fn run(&self, mut command: Command) -> io::Result<Output> {
        let (out, err) = self.start(&mut command)?;
        let errors = thread::Builder::new().spawn(move || read(err));
        let (stdout, errors) = match errors {
            Ok(errors) => (read(out), errors.join().unwrap_or_default()),
            Err(error) => {
                self.give_up();
                return Err(error);
            }
        };
        let mut state = self.state();
        let child = state.child.take();
        let status = child.map(|mut child| child.wait()).transpose()?;
        let given_up = || io::Error::other("the server has stopped");
        let status = status.filter(|_| !state.is_given_up).ok_or_else(given_up)?;
        Ok(Output { status, stdout, stderr: errors })
    }

    /// Its two ends to read from.
    fn start(&self, command: &mut Command) -> io::Result<(ChildStdout, ChildStderr)> {
        let mut state = self.state();
        if state.is_given_up {
            return Err(io::Error::other("the server has stopped"));
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let ends = child.stdout.take().zip(child.stderr.take());
        state.child = Some(child);
        ends.ok_or_else(|| io::Error::other("it has no output"))
    }

    fn give_up(&self) {
        let mut state = self.state();
        state.is_given_up = true;
        if let Some(child) = &mut state.child {
            // Ignored: it has ended already. Who waits for it takes its end.
            let _ = child.kill();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever waits for a command: it is ended with it.
pub(super) struct Waiting(pub(super) Arc<Running>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// All that comes; less where it breaks off.
fn read(mut from: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = from.read_to_end(&mut bytes);
    bytes
}
