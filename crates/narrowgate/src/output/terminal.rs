//! What the terminal can show: its colours and its width.

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
};

/// Whether text for this stream is coloured: on a terminal with colours, unless `NO_COLOR` is set
/// (<https://no-color.org>).
pub(crate) fn is_coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && wants_colours(std::env::var_os("NO_COLOR"), std::env::var_os("TERM"))
}

fn wants_colours(no_color: Option<OsString>, term: Option<OsString>) -> bool {
    no_color.is_none_or(|value| value.is_empty())
        && term.is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// Width of the terminal on standard output; `None` if it is not a terminal, and lines are not folded.
pub(crate) fn width() -> Option<u16> {
    let (terminal_size::Width(columns), _) = terminal_size::terminal_size_of(io::stdout())?;
    // Some terminals do not know their width.
    (columns > 0).then_some(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_left_out_where_they_are_not_wanted_or_not_known() {
        let wanted = |no_color: Option<&str>, term: Option<&str>| {
            wants_colours(no_color.map(OsString::from), term.map(OsString::from))
        };
        assert!(wanted(None, Some("xterm-256color")));
        assert!(wanted(Some(""), Some("linux")));
        assert!(!wanted(Some("1"), Some("xterm")));
        assert!(!wanted(None, Some("dumb")));
        assert!(!wanted(None, None));
    }
}
