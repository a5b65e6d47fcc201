//! Tables for people: times in RFC 3339, nothing as `-`, and no character that could steer the terminal
//! (keys, names and identities may come from strangers). A number is shown as it is written in the document,
//! to the last digit, and an object with its keys in their order: what is read here is text, never a `f64` or
//! a map.

use std::fmt;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::Layout;

/// A column of a table: which field, under which title.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) field: &'static str,
    pub(crate) title: &'static str,
}

impl Layout {
    /// The table of a JSON document as text, without a newline at its end.
    pub(super) fn render(self, json: &str) -> String {
        match self {
            Layout::Rows(columns) => match serde_json::from_str::<Vec<Fields>>(json) {
                Ok(rows) => render_rows(columns, &rows),
                Err(_) => printable(json),
            },
            Layout::Record => {
                serde_json::from_str(json).map_or_else(|_| printable(json), |fields| render_record(&fields))
            }
        }
    }
}

/// The fields of an object as they were written, in that order.
struct Fields(Vec<(String, Box<RawValue>)>);

impl Fields {
    /// The JSON text of a field; `null` where there is none.
    fn get(&self, field: &str) -> &str {
        self.0.iter().find(|(name, _)| name == field).map_or("null", |(_, value)| value.get())
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

fn render_record(fields: &Fields) -> String {
    let mut table = plain();
    for (field, value) in &fields.0 {
        table.add_row([words(field), cell(field, value.get())]);
    }
    trim(&table)
}

fn render_rows(columns: &[Column], rows: &[Fields]) -> String {
    if rows.is_empty() {
        return "(none)".into();
    }
    let mut table = plain();
    table.set_header(columns.iter().map(|column| column.title));
    for (index, column) in columns.iter().enumerate() {
        let numeric = rows.iter().all(|row| is_number(row.get(column.field))) && !is_time(column.field);
        if let Some(column) = table.column_mut(index).filter(|_| numeric) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for row in rows {
        table.add_row(columns.iter().map(|column| cell(column.field, row.get(column.field))));
    }
    trim(&table)
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn trim(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// What a JSON text looks like in a cell.
fn cell(field: &str, json: &str) -> String {
    match json {
        "null" | r#""""# => "-".into(),
        "true" => "yes".into(),
        "false" => "no".into(),
        _ if is_number(json) => match json.parse().ok().filter(|_| is_time(field)) {
            Some(unix_ms) => crate::time::rfc3339(unix_ms),
            None => json.into(),
        },
        // A string, or an array or object as it stands.
        _ => printable(&serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())),
    }
}

fn is_number(json: &str) -> bool {
    json.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// Fields of the JSON documents that are Unix milliseconds.
fn is_time(field: &str) -> bool {
    field == "time" || field.ends_with("Time") || field.ends_with("EndsAt")
}

/// `lastSeenTime` as `last seen time`.
fn words(field: &str) -> String {
    let mut words = String::new();
    for letter in field.chars() {
        if letter.is_ascii_uppercase() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// The text with control characters written as escapes.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        let bidirectional =
            matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if letter.is_control() || bidirectional {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_have_titles_times_and_dashes() {
        let columns = [("deviceKey", "DEVICE"), ("lastSeenTime", "SEEN"), ("enabled", "ENABLED"), ("n", "N")];
        let columns = columns.map(|(field, title)| Column { field, title });
        let rows: Vec<Fields> = serde_json::from_str(
            r#"[{"deviceKey": "d1", "lastSeenTime": 0, "enabled": true, "n": 7},
                {"deviceKey": "d22", "lastSeenTime": null, "enabled": false, "n": 12}]"#,
        )
        .unwrap();
        assert_eq!(
            render_rows(&columns, &rows),
            " DEVICE  SEEN                  ENABLED   N\n d1      1970-01-01T00:00:00Z  yes       7\n d22     -                     no       12"
        );
        assert_eq!(render_rows(&columns, &[]), "(none)");
    }

    #[test]
    fn a_record_has_a_line_per_field() {
        let text = Layout::Record.render(r#"{"assetId":"a","activeTime":1000,"points":{"t":1}}"#);
        assert_eq!(text, " asset id     a\n active time  1970-01-01T00:00:01Z\n points       {\"t\":1}");
    }

    #[test]
    fn numbers_and_objects_are_shown_as_they_are_written() {
        let columns = [Column { field: "value", title: "VALUE" }];
        for text in [
            "123456789012345678901234567890",
            "23.308445025757262",
            "1.50",
            "-0",
            "1E+2",
            r#"{"z":1.0,"a":23.308445025757262}"#,
            r#"[{"b":1,"a":0.10}]"#,
        ] {
            let json = format!(r#"{{"value":{text}}}"#);
            assert_eq!(Layout::Record.render(&json), format!(" value  {text}"));
            let rows: Vec<Fields> = serde_json::from_str(&format!("[{json}]")).unwrap();
            assert_eq!(render_rows(&columns, &rows).lines().last().map(str::trim), Some(text));
        }
    }

    proptest! {
        #[test]
        fn any_number_is_shown_to_the_last_digit(
            text in "-?(0|[1-9][0-9]{0,40})([.][0-9]{1,40})?([eE][+-]?[0-9]{1,3})?",
        ) {
            prop_assert_eq!(&cell("value", &text), &text);
            let object = format!(r#"{{"z":{text},"a":[{text}]}}"#);
            prop_assert_eq!(&cell("value", &object), &object);
        }
    }

    #[test]
    fn nothing_from_outside_steers_the_terminal() {
        assert_eq!(printable("a\u{1b}[31m\u{202e}b\n\u{9b}é"), "a\\u{1b}[31m\\u{202e}b\\n\\u{9b}é");
    }
}
