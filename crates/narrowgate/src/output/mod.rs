//! Standard output: one JSON document for scripts, or a table for people. Nothing else is ever written there.
//! Standard error: notes and errors for people; in a server its log too, by a queue that nobody waits for.

mod lines;
mod printable;
mod table;
mod terminal;
mod words;

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    sync::OnceLock,
    time::Duration,
};

use serde::Serialize;

pub(crate) use lines::{Lines, LossNote};
pub(crate) use printable::{printable, printable_coloured, printable_lines};
pub(crate) use table::Column;
pub(crate) use terminal::is_coloured;
pub(crate) use words::counted;

use crate::{cli::Output, failure::Failure};

/// At the end of a server its last lines get so long to be written.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(1);

/// Standard error of a server; a command writes there itself.
static QUEUED_STDERR: OnceLock<Lines> = OnceLock::new();

/// Standard output of a demonstration.
static QUEUED_STDOUT: OnceLock<Lines> = OnceLock::new();

/// How an answer looks as a table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Layout {
    /// An array: a row each.
    Rows(&'static [Column]),
    /// The same, with what is in the field `value` as the JSON text that a device sent.
    Values(&'static [Column]),
    /// An object: a line per field, all fields.
    Record,
}

/// Prints an answer in the form that was asked for.
///
/// # Errors
/// When standard output cannot be written; a closed pipe is no error.
pub(crate) fn print(output: Output, answer: &impl Serialize, layout: Layout) -> Result<(), Failure> {
    let answer = written(answer)?;
    match output {
        Output::Json => exact(&answer),
        Output::Table => exact(&layout.render(&answer, terminal::width())),
    }
}

/// Prints a page of a longer answer; `false` where the reader has gone.
///
/// # Errors
/// When standard output cannot be written; a closed pipe is no error.
pub(crate) fn print_page(answer: &impl Serialize, layout: Layout) -> Result<bool, Failure> {
    piece(&(layout.render(&written(answer)?, terminal::width()) + "\n"))
}

/// An answer as JSON.
///
/// # Errors
/// It cannot be written, which only a fault of this program can cause.
pub(crate) fn written(answer: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(answer).map_err(|error| Failure::failed("cannot write the answer").reason(error))
}

/// Prints a piece of a document, without a newline; `false` where the reader has gone.
///
/// # Errors
/// When standard output cannot be written; a closed pipe is no error.
pub(crate) fn piece(text: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::failed("cannot write to standard output").reason(error)),
    }
}

/// Prints the help or the version.
///
/// # Errors
/// When standard output cannot be written; a closed pipe is no error.
pub(crate) fn help(text: &clap::Error) -> Result<(), Failure> {
    exact(rendered(text, is_coloured(&io::stdout())).trim_end())
}

/// Says what is wrong with the arguments, on standard error. They are quoted, so they are made printable.
pub(crate) fn usage(error: &clap::Error) {
    let text = rendered(error, is_coloured(&io::stderr()));
    let lines = text.trim_end().split('\n').map(printable_coloured);
    notice(&(lines.collect::<Vec<_>>().join("\n") + "\n"));
}

fn rendered(text: &clap::Error, coloured: bool) -> String {
    let text = text.render();
    if coloured { text.ansi().to_string() } else { text.to_string() }
}

/// Prints any serializable document as JSON, on one line.
///
/// # Errors
/// When standard output cannot be written; a closed pipe is no error.
pub(crate) fn json(document: &impl serde::Serialize) -> Result<(), Failure> {
    exact(&serde_json::to_string(document).unwrap_or_default())
}

/// Prints one line for people (or several).
///
/// # Errors
/// When standard output cannot be written; a closed pipe is no error.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    exact(&printable_lines(text))
}

/// Prints what programs read, as it is, and a newline.
///
/// # Errors
/// When standard output cannot be written; a closed pipe is no error.
pub(crate) fn exact(text: &str) -> Result<(), Failure> {
    stream_line(text).map(drop)
}

/// The same for a stream of lines: `false` where the reader has gone, so that the stream can end.
///
/// # Errors
/// When standard output cannot be written; a closed pipe is no error.
pub(crate) fn stream_line(text: &str) -> Result<bool, Failure> {
    write_line(&mut io::stdout().lock(), text)
}

fn write_line(out: &mut impl Write, text: &str) -> Result<bool, Failure> {
    let written =
        out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::failed("cannot write to standard output").reason(error)),
    }
}

/// A note for the person at the terminal, on standard error.
pub(crate) fn note(text: impl std::fmt::Display) {
    notice(&(printable_lines(&text.to_string()) + "\n"));
}

/// Writes text that is printable already to standard error: never waits in a server, never fails anywhere.
pub(crate) fn notice(text: &str) {
    match QUEUED_STDERR.get() {
        Some(lines) => lines.push(text.as_bytes().to_vec()),
        // Where standard error is closed or full, there is nobody left to tell.
        None => {
            let _ = io::stderr().lock().write_all(text.as_bytes());
        }
    }
}

/// From now on nobody waits for standard error: a log, a terminal or a slow reader must not stop a server.
/// The same queue each time.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn queue_stderr() -> Result<Lines, Failure> {
    if let Some(lines) = QUEUED_STDERR.get() {
        return Ok(lines.clone());
    }
    let note: LossNote = |count| {
        format!("narrowgate dropped {} of its log that could not be written\n", counted(count, "line"))
    };
    let lines = queue("log", io::stderr(), Some(note))?;
    Ok(QUEUED_STDERR.get_or_init(|| lines).clone())
}

/// Standard output of a server: nobody waits for it either.
pub(crate) struct Screen(Lines);

impl Screen {
    /// Starts it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start() -> Result<Self, Failure> {
        let lines = queue("screen", io::stdout(), None)?;
        Ok(Self(QUEUED_STDOUT.get_or_init(|| lines).clone()))
    }

    /// Shows a line; `false` where the reader has gone for ever.
    pub(crate) fn show(&self, text: &str) -> bool {
        self.0.push(format!("{text}\n").into_bytes());
        !self.0.reader_gone()
    }
}

/// How many lines of standard error were dropped.
pub(crate) fn dropped_lines() -> u64 {
    QUEUED_STDERR.get().map_or(0, Lines::dropped)
}

/// Gives what was said its time to be written: at the end of the process, and where the two streams of a
/// server shall keep their order.
pub(crate) fn finish() {
    for lines in [&QUEUED_STDOUT, &QUEUED_STDERR].into_iter().filter_map(OnceLock::get) {
        lines.flush(FLUSH_TIME_MAX);
    }
}

/// Writes by a descriptor of its own: nobody waits for the lock of the standard library's stream either.
fn queue(name: &str, stream: impl AsFd, loss_note: Option<LossNote>) -> Result<Lines, Failure> {
    let own = stream.as_fd().try_clone_to_owned().map(File::from);
    own.and_then(|file| Lines::start(name, file, loss_note))
        .map_err(|error| Failure::failed("cannot start the log").reason(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails so.
    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_reader_that_has_gone_ends_a_stream_and_a_full_disk_fails_it() {
        assert_eq!(write_line(&mut Vec::new(), "x"), Ok(true));
        assert_eq!(write_line(&mut Failing(io::ErrorKind::BrokenPipe), "x"), Ok(false));
        let failure = write_line(&mut Failing(io::ErrorKind::StorageFull), "x").unwrap_err();
        assert_eq!(failure.headline, "cannot write to standard output");
    }
}
