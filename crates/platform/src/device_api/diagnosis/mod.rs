//! What is probably wrong with a body that was refused, in words for the device's log: what was received, at
//! which byte, and what to send instead. Runs only for bodies that were refused, and walks over them a few
//! times at most.
//!
//! Bytes are counted from 1. What is shown of a body is cut and escaped.

mod forms;
mod syntax;
mod values;

use narrowgate_api::advice::apart;

pub(super) use self::{
    forms::{looks_like_json, not_a_map, not_an_object, not_text},
    values::{members, place_of, value},
};

/// What is wrong with a text that the JSON reader refused.
pub(super) fn not_json(text: &str, error: &serde_json::Error) -> String {
    let at = place(text, error);
    // The reader's own words end with a line and a column.
    let said = error.to_string();
    let words = said.split(" at line ").next().unwrap_or_default();
    forms::of_the_whole(text).unwrap_or_else(|| syntax::explain(text, at, words))
}

/// Offset of the byte at which the reader gave up; the last byte where it expected more.
fn place(text: &str, error: &serde_json::Error) -> usize {
    let line = error.line().saturating_sub(1);
    let start = match line {
        0 => 0,
        _ => text.match_indices('\n').nth(line - 1).map_or(0, |(newline, _)| newline + 1),
    };
    let mut at = (start + error.column()).saturating_sub(1).min(text.len().saturating_sub(1));
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A piece of a body as it is shown to people: at most 24 characters, without line breaks and control
/// characters, and without what would end the mistake that it is part of.
pub(super) fn shown(piece: &str) -> String {
    const CHARACTERS_MAX: usize = 24;
    let mut shown = String::new();
    for character in piece.chars().take(CHARACTERS_MAX) {
        match character {
            // JSON is full of them.
            '"' | '\'' => shown.push(character),
            _ => shown.extend(character.escape_debug()),
        }
    }
    if piece.chars().nth(CHARACTERS_MAX).is_some() {
        shown.push('…');
    }
    apart(&shown).into_owned()
}

/// A few bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    const BYTES_MAX: usize = 4;
    let shown: Vec<String> = bytes.iter().take(BYTES_MAX).map(|byte| format!("{byte:02X}")).collect();
    let more = if bytes.len() > BYTES_MAX { " …" } else { "" };
    format!("{}{more}", shown.join(" "))
}

/// Whether a text is a JSON object, as far as the reader's grammar goes.
fn is_object(text: &str) -> bool {
    text.trim_ascii_start().starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}
