//! Destructive commands need confirmation: an answer on a terminal, or `--yes`. No answer means no: a closed
//! standard input, its end, and the content of a pipe are not answers.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::failure::Failure;

/// Asks for confirmation unless `yes` is set. `nothing_done` says what did not happen: `nothing was deleted`.
/// `question` is called only if it is asked.
///
/// # Errors
/// The act is not confirmed; without a terminal and without `--yes` that is bad usage.
pub(super) fn confirmed(
    yes: bool,
    nothing_done: &str,
    question: impl FnOnce() -> Result<String, Failure>,
) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage(nothing_done)
            .reason("it must be confirmed, and there is no terminal to ask on")
            .hint("give --yes"));
    }
    if ask(&question()?) {
        return Ok(());
    }
    Err(Failure::failed(nothing_done).reason("it was not confirmed").hint("answer y, or give --yes"))
}

fn ask(question: &str) -> bool {
    let mut answer = String::new();
    // A question that cannot be written, or an answer that cannot be read, means no.
    let asked = write!(io::stderr().lock(), "{question} [y/N] ").is_ok();
    let read = asked && io::stdin().lock().read_line(&mut answer).is_ok();
    if !answer.ends_with('\n') {
        // The input has ended: what follows begins on its own line.
        let _ = writeln!(io::stderr().lock());
    }
    read && matches!(answer.trim(), "y" | "Y" | "yes")
}
