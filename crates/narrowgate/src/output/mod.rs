//! Standard output: one JSON document for scripts, or a table for people, and nothing else. Standard error:
//! notes and errors for people; in a server its log too, through a queue that never blocks.

mod laid_out;
mod lines;
mod printable;
mod table;
mod terminal;

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    sync::OnceLock,
    time::Duration,
};

use serde::Serialize;
use zeroize::Zeroizing;

pub(crate) use laid_out::laid_out;
pub(crate) use lines::{Lines, LossNote};
pub(crate) use narrowgate_api::words::{counted, counted_are, counted_have};
pub(crate) use printable::{printable, printable_coloured, printable_lines};
pub(crate) use table::Column;
pub(crate) use terminal::is_coloured;

use crate::{cli::Output, failure::Failure};

/// How long a server's last lines may take to be written.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(1);

/// Standard error of a server; commands write directly.
static QUEUED_STDERR: OnceLock<Lines> = OnceLock::new();

/// Standard output of a demonstration.
static QUEUED_STDOUT: OnceLock<Lines> = OnceLock::new();

/// How an answer looks as a table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Layout {
    /// An array: one row per item.
    Rows(&'static [Column]),
    /// The same, but the fields `value` and `last` are shown as the JSON text that a device sent, and a
    /// column that no row has is left out.
    Values(&'static [Column]),
    /// An object: one line per field.
    Record,
}

/// Prints an answer in the requested form.
///
/// # Errors
/// When standard output cannot be written; a closed pipe is no error.
pub(crate) fn print(output: Output, answer: &impl Serialize, layout: Layout) -> Result<(), Failure> {
    // Either may hold a secret.
    let answer = Zeroizing::new(written(answer)?);
    match output {
        Output::Json => exact(&answer),
        Output::Table => exact(&Zeroizing::new(layout.render(&answer, terminal::width()))),
    }
}

/// Prints a page of a longer answer; `false` if the reader has gone.
///
/// # Errors
/// When standard output cannot be written; a closed pipe is no error.
pub(crate) fn print_page(answer: &impl Serialize, layout: Layout) -> Result<bool, Failure> {
    piece(&(layout.render(&written(answer)?, terminal::width()) + "\n"))
}

/// An answer as JSON.
///
/// # Errors
/// It cannot be serialised, which is a bug of this program.
pub(crate) fn written(answer: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(answer).map_err(|error| Failure::failed("cannot write the answer").reason(error))
}

/// Prints a piece of a document, without a newline; `false` if the reader has gone.
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

/// Prints what is wrong with the arguments to standard error, with all quoted text made printable.
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

/// Prints one or more lines for people.
///
/// # Errors
/// When standard output cannot be written; a closed pipe is no error.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    exact(&printable_lines(text))
}

/// Prints text for programs unchanged, and a newline.
///
/// # Errors
/// When standard output cannot be written; a closed pipe is no error.
pub(crate) fn exact(text: &str) -> Result<(), Failure> {
    stream_line(text).map(drop)
}

/// The same for a stream of lines: `false` if the reader has gone, so that the stream can end.
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

/// Writes text that is already printable to standard error. Never blocks in a server, and never fails.
pub(crate) fn notice(text: &str) {
    match QUEUED_STDERR.get() {
        Some(lines) => lines.push(text.as_bytes().to_vec()),
        // Ignored: standard error may be closed or full.
        None => {
            let _ = io::stderr().lock().write_all(text.as_bytes());
        }
    }
}

/// Queues standard error from now on: a full log, a terminal or a slow reader must not stop a server. Returns
/// the same queue each time.
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

/// Standard output of a server, queued too.
pub(crate) struct Screen(Lines);

impl Screen {
    /// Starts its queue.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start() -> Result<Self, Failure> {
        let lines = queue("screen", io::stdout(), None)?;
        Ok(Self(QUEUED_STDOUT.get_or_init(|| lines).clone()))
    }

    /// Shows a line; `false` if the reader has gone for good.
    pub(crate) fn show(&self, text: &str) -> bool {
        self.0.push(format!("{text}\n").into_bytes());
        !self.0.reader_gone()
    }
}

/// How many lines of standard error were dropped.
pub(crate) fn dropped_lines() -> u64 {
    QUEUED_STDERR.get().map_or(0, Lines::dropped)
}

/// Waits until queued lines are written: at the end of the process, and where the two streams of a server
/// must keep their order.
pub(crate) fn finish() {
    for lines in [&QUEUED_STDOUT, &QUEUED_STDERR].into_iter().filter_map(OnceLock::get) {
        lines.flush(FLUSH_TIME_MAX);
    }
}

/// Writes through a descriptor of its own, so that the lock of the standard library's stream is not needed.
fn queue(name: &str, stream: impl AsFd, loss_note: Option<LossNote>) -> Result<Lines, Failure> {
    let own = stream.as_fd().try_clone_to_owned().map(File::from);
    own.and_then(|file| Lines::start(name, file, loss_note))
        .map_err(|error| Failure::failed("cannot start the log").reason(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails with this error.
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
