//! Acts that destroy are confirmed: on a terminal by an answer, elsewhere by `--yes` alone. No answer is a
//! no: neither a closed standard input nor one that ends, and what a pipe holds is not an answer.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::failure::Failure;

/// Ends well where the act is confirmed. `nothing_done` says what did not happen: `nothing was deleted`.
/// `question` is made only to be asked.
///
/// # Errors
/// That it is not confirmed: bad usage where nobody can be asked and `--yes` is not given.
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
    // Where the question cannot be written or the answer cannot be read, it is a no.
    let asked = write!(io::stderr().lock(), "{question} [y/N] ").is_ok();
    let read = asked && io::stdin().lock().read_line(&mut answer).is_ok();
    if !answer.ends_with('\n') {
        // The input has ended: what follows begins on a line of its own.
        let _ = writeln!(io::stderr().lock());
    }
    read && matches!(answer.trim(), "y" | "Y" | "yes")
}
