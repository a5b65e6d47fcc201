//! Standard output: one JSON document for scripts, or a table for people. Nothing else is ever written there.

mod table;

use std::io::{self, Write as _};

use serde_json::value::RawValue;

pub(crate) use table::Column;
pub(crate) use table::printable;

use crate::{cli::Output, failure::Failure};

/// How an answer looks as a table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Layout {
    /// An array: a row each.
    Rows(&'static [Column]),
    /// An object: a line per field, all fields.
    Record,
}

/// Prints an answer in the form that was asked for.
///
/// # Errors
/// When standard output cannot be written; a closed pipe is no error.
pub(crate) fn print(output: Output, answer: &RawValue, layout: Layout) -> Result<(), Failure> {
    match output {
        Output::Json => line(answer.get()),
        Output::Table => line(&layout.render(answer.get())),
    }
}

/// Prints a page of a longer answer; `false` where the reader has gone.
///
/// # Errors
/// When standard output cannot be written; a closed pipe is no error.
pub(crate) fn print_page(answer: &RawValue, layout: Layout) -> Result<bool, Failure> {
    piece(&(layout.render(answer.get()) + "\n"))
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

/// Prints any serializable document as JSON, on one line.
pub(crate) fn json(document: &impl serde::Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string(document).unwrap_or_default())
}

/// Prints one line (or several).
///
/// # Errors
/// When standard output cannot be written; a closed pipe is no error.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written =
        out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed("cannot write to standard output").reason(error))
        }
        _ => Ok(()),
    }
}

/// The same for a stream of lines: `false` where the reader has gone, so that the stream can end.
pub(crate) fn stream_line(text: &str) -> bool {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()).is_ok()
}

/// A note for the person at the terminal, on standard error.
pub(crate) fn note(text: impl std::fmt::Display) {
    // Where standard error is closed there is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
