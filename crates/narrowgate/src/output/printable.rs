//! Makes text from strangers safe to print: every character that is invisible, or that moves others, is
//! written as an escape (`\u{200b}`). JSON output is not changed.

/// Maximum number of combining marks on a letter; more would pile up over other lines.
const MARKS_MAX: usize = 4;

/// What a character does when it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Visible,
    Space,
    /// Combines with the character before it.
    Mark,
    /// Is invisible, or steers the terminal or the order of others.
    Hidden,
}

/// The text in one line.
pub(crate) fn printable(text: &str) -> String {
    escape(text, false)
}

/// The text with its own newlines.
pub(crate) fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// The text in one line, keeping the colours that this program gave it; all other escape sequences are
/// escaped.
pub(crate) fn printable_coloured(text: &str) -> String {
    escape(text, true)
}

fn escape(text: &str, colours: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut marks = MARKS_MAX;
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if let Some(length) = colour(rest).filter(|_| colours) {
            out.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        rest = &rest[letter.len_utf8()..];
        let kind = kind(letter);
        let shown = match kind {
            Kind::Visible | Kind::Space => true,
            Kind::Mark => marks < MARKS_MAX,
            Kind::Hidden => false,
        };
        marks = match kind {
            Kind::Visible => 0,
            Kind::Mark => marks.saturating_add(1),
            Kind::Space | Kind::Hidden => MARKS_MAX,
        };
        if shown {
            out.push(letter);
        } else {
            out.extend(letter.escape_default());
        }
    }
    out
}

/// The length of the sequence that sets a colour (SGR), if the text begins with one.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|letter: char| !letter.is_ascii_digit() && letter != ';')?;
    parameters[end..].starts_with('m').then_some(end + 3)
}

fn kind(letter: char) -> Kind {
    match letter {
        ' ' => Kind::Space,
        '!'..='~' => Kind::Visible,
        _ if is_blank(letter) => Kind::Hidden,
        _ => {
            // The standard library knows what can be printed: no controls, formats, separators, private or
            // unassigned characters. It leaves combining marks as they are only after a letter.
            let pair: String = ['a', letter].iter().collect();
            match (pair.escape_debug().count(), letter.escape_debug().count()) {
                (2, 1) => Kind::Visible,
                (2, _) => Kind::Mark,
                _ => Kind::Hidden,
            }
        }
    }
}

/// Letters, marks and signs that show nothing: those that Unicode lets a terminal ignore
/// (Default_Ignorable_Code_Point) although their category is a visible one, and blanks that are not spaces.
fn is_blank(letter: char) -> bool {
    matches!(
        letter,
        '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{16fe4}'
            | '\u{1d159}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_escaped() {
        assert_eq!(printable("a\u{1b}[31m\u{202e}b\n\u{9b}é\t\r\0\u{7f}"), {
            "a\\u{1b}[31m\\u{202e}b\\n\\u{9b}é\\t\\r\\u{0}\\u{7f}"
        });
    }

    /// Default_Ignorable_Code_Point of Unicode 16, White_Space but the space, Bidi_Control, and the
    /// surrogate-free rest of the controls.
    const HIDDEN: [std::ops::RangeInclusive<u32>; 29] = [
        0..=0x1f,
        0x7f..=0xa0,
        0xad..=0xad,
        0x34f..=0x34f,
        0x61c..=0x61c,
        0x115f..=0x1160,
        0x1680..=0x1680,
        0x17b4..=0x17b5,
        0x180b..=0x180f,
        0x2000..=0x200f,
        0x2028..=0x202f,
        0x205f..=0x206f,
        0x2800..=0x2800,
        0x3000..=0x3000,
        0x3164..=0x3164,
        0xe000..=0xf8ff,
        0xfe00..=0xfe0f,
        0xfeff..=0xfeff,
        0xffa0..=0xffa0,
        0xfff0..=0xfffb,
        0xfffe..=0xffff,
        0x1_6fe4..=0x1_6fe4,
        0x1_bca0..=0x1_bca3,
        0x1_d159..=0x1_d159,
        0x1_d173..=0x1_d17a,
        0xe_0000..=0xe_0fff,
        0xf_0000..=0xf_ffff,
        0x10_0000..=0x10_fffd,
        0x10_fffe..=0x10_ffff,
    ];

    #[test]
    fn whatever_does_not_show_is_escaped() {
        for code in HIDDEN.into_iter().flatten() {
            let letter = char::from_u32(code).unwrap();
            let text = format!("a{letter}b");
            assert_eq!(printable(&text), format!("a{}b", letter.escape_default()), "{code:x}");
        }
    }

    #[test]
    fn what_shows_stays() {
        let text = r#"{"température":"21.5 °C"} Zähler №7 'x' \ 水表 счётчик 🌡 μ מונה عداد"#;
        assert_eq!(printable(text), text);
    }

    #[test]
    fn marks_stay_on_their_letter_and_do_not_stand_alone() {
        assert_eq!(printable("e\u{301}u\u{308}\u{304}"), "e\u{301}u\u{308}\u{304}");
        assert_eq!(printable("\u{301}a"), "\\u{301}a");
        assert_eq!(printable("a \u{301}"), "a \\u{301}");
        assert_eq!(printable("\u{200b}\u{301}"), "\\u{200b}\\u{301}");
        let pile = format!("a{}", "\u{301}".repeat(6));
        assert_eq!(printable(&pile), format!("a{}\\u{{301}}\\u{{301}}", "\u{301}".repeat(4)));
    }

    #[test]
    fn colours_pass_where_they_are_ours_and_nothing_else_of_a_sequence() {
        assert_eq!(printable_coloured("\u{1b}[2;31mx\u{1b}[0m"), "\u{1b}[2;31mx\u{1b}[0m");
        assert_eq!(printable_coloured("\u{1b}[2Jx\u{1b}]0;t\u{7}\n"), "\\u{1b}[2Jx\\u{1b}]0;t\\u{7}\\n");
        assert_eq!(printable_coloured("\u{1b}[31"), "\\u{1b}[31");
    }

    #[test]
    fn newlines_stay_where_they_may() {
        assert_eq!(printable_lines("a\nb\u{2028}\r\n"), "a\nb\\u{2028}\\r\n");
    }
}
