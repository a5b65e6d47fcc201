//! Places in a text that somebody writes: where a fault is, and the line at which it is.

use maud::{Markup, html};

use crate::console::visit::Visit;

/// Letters of a line that are shown, before and behind a place.
const AROUND: usize = 60;
const NEW_LINE: &str = "\n";

/// A place in a text, from 1 on. Columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    /// Where this byte of the text stands.
    pub(super) fn of(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { line, column }
    }
}

/// The line of a place, with a mark below it.
pub(super) fn excerpt(visit: &Visit, text: &str, place: Place) -> Markup {
    let line = text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
    let first = place.column.saturating_sub(AROUND + 1);
    let shown: String = line.chars().skip(first).take(2 * AROUND).map(plain).collect();
    let mark = " ".repeat((place.column - 1 - first).min(shown.chars().count()));
    let number = visit.number(place.line as u64);
    let gap = " ".repeat(number.chars().count());
    html! {
        pre.excerpt tabindex="0" { (number) " │ " (shown) (NEW_LINE) (gap) " │ " (mark) b { "^" } }
    }
}

/// A tabulator would move the mark away.
fn plain(letter: char) -> char {
    if letter.is_control() { ' ' } else { letter }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_has_a_line_and_a_column() {
        let text = "ab\ncäd\n";
        let places = [0, 1, 3, 6, 8].map(|at| Place::of(text, at));
        let of = |line, column| Place { line, column };
        assert_eq!(places, [of(1, 1), of(1, 2), of(2, 1), of(2, 3), of(3, 1)]);
        // Within a letter, and beyond the end.
        assert_eq!((Place::of(text, 5), Place::of(text, 99)), (of(3, 1), of(3, 1)));
    }
}
