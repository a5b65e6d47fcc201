//! One line of CSV (RFC 4180) as fields, and back. Spaces around a field are dropped; everything inside its
//! quotes is kept.

/// A field of a line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Field {
    /// What it says.
    pub text: String,
    /// Whether it is in quotes.
    pub is_quoted: bool,
    /// Whether spaces around it were dropped.
    pub is_trimmed: bool,
}

/// What is wrong with a line. Fields are counted from 0.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    /// The line ends inside quotes.
    Unclosed {
        /// Which field.
        field: usize,
    },
    /// Something follows the closing quote.
    AfterQuote {
        /// Which field.
        field: usize,
    },
}

/// Cuts a line into its fields.
///
/// # Errors
/// What is wrong with it.
pub fn split(line: &str) -> Result<Vec<Field>, Broken> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let start = rest.trim_start_matches(' ');
        let (field, behind) = match start.strip_prefix('"') {
            Some(quoted) => {
                let (text, behind) = unquote(quoted).ok_or(Broken::Unclosed { field: fields.len() })?;
                let after = behind.trim_start_matches(' ');
                if !after.is_empty() && !after.starts_with(',') {
                    return Err(Broken::AfterQuote { field: fields.len() });
                }
                let is_trimmed = start.len() < rest.len() || after.len() < behind.len();
                (Field { text, is_quoted: true, is_trimmed }, after)
            }
            None => {
                let (raw, behind) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                let text = raw.trim_matches(' ').to_owned();
                (Field { is_trimmed: text.len() < raw.len(), is_quoted: false, text }, behind)
            }
        };
        fields.push(field);
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(fields),
        }
    }
}

/// The text up to the closing quote, and what follows that; `None` where there is no closing quote.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut rest = quoted;
    loop {
        let (before, behind) = rest.split_once('"')?;
        text.push_str(before);
        match behind.strip_prefix('"') {
            Some(next) => {
                text.push('"');
                rest = next;
            }
            None => return Some((text, behind)),
        }
    }
}

/// Writes a line that [`split`] reads back unchanged.
pub fn write_line(fields: &[&str], out: &mut String) {
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        if field.contains(['"', ',']) || field.starts_with(' ') || field.ends_with(' ') {
            out.push('"');
            // Without a copy, since it may be a secret.
            for (index, part) in field.split('"').enumerate() {
                if index > 0 {
                    out.push_str("\"\"");
                }
                out.push_str(part);
            }
            out.push('"');
        } else {
            out.push_str(field);
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(line: &str) -> Vec<String> {
        split(line).unwrap().into_iter().map(|field| field.text).collect()
    }

    #[test]
    fn fields_are_cut_at_commas_outside_of_quotes() {
        assert_eq!(texts("a,b"), ["a", "b"]);
        assert_eq!(texts(""), [""]);
        assert_eq!(texts(",,"), ["", "", ""]);
        assert_eq!(texts(r#""a,b","","c""d""#), ["a,b", "", "c\"d"]);
        // A quote inside a field is an ordinary character.
        assert_eq!(texts(r#"a"b,="1""#), ["a\"b", "=\"1\""]);
    }

    #[test]
    fn blanks_count_inside_quotes_and_nowhere_else() {
        assert_eq!(texts(r#" a , " b " ,c"#), ["a", " b ", "c"]);
        let trimmed: Vec<bool> =
            split(r#" a,b ,c, "d","e" ,"f"," g ""#).unwrap().iter().map(|field| field.is_trimmed).collect();
        assert_eq!(trimmed, [true, true, false, true, true, false, false]);
        // Other white space is kept.
        assert_eq!(texts("\ta\u{a0}"), ["\ta\u{a0}"]);
    }

    #[test]
    fn a_quote_must_close_at_the_end_of_its_field() {
        assert_eq!(split(r#"a,"b"#), Err(Broken::Unclosed { field: 1 }));
        assert_eq!(split(r#"""#), Err(Broken::Unclosed { field: 0 }));
        assert_eq!(split(r#""a"",b"#), Err(Broken::Unclosed { field: 0 }));
        assert_eq!(split(r#"a,"b"c,d"#), Err(Broken::AfterQuote { field: 1 }));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(fields in proptest::collection::vec("[ -~]{0,20}", 1..5)) {
            let mut line = String::new();
            write_line(&fields.iter().map(String::as_str).collect::<Vec<_>>(), &mut line);
            prop_assert_eq!(texts(line.trim_end_matches('\n')), fields);
        }

        #[test]
        fn any_line_is_cut_without_a_panic(line in "[a\", é]{0,30}") {
            if let Ok(fields) = split(&line) {
                prop_assert!(fields.len() <= line.matches(',').count() + 1);
            }
        }
    }
}
