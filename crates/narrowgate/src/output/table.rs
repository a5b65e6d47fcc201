//! Tables for people: times in RFC 3339, nothing as `-`, and no character that could steer the terminal (keys,
//! names and identities may come from strangers).

use std::fmt;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

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
            Layout::Rows(columns) => match serde_json::from_str(json) {
                Ok(Value::Array(rows)) => render_rows(columns, &rows),
                _ => printable(json),
            },
            Layout::Record => {
                serde_json::from_str(json).map_or_else(|_| printable(json), |fields| render_record(&fields))
            }
        }
    }
}

/// The fields of an object in the order in which they were written.
struct Fields(Vec<(String, Value)>);

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
        table.add_row([words(field), cell(field, value)]);
    }
    trim(&table)
}

fn render_rows(columns: &[Column], rows: &[Value]) -> String {
    if rows.is_empty() {
        return "(none)".into();
    }
    let mut table = plain();
    table.set_header(columns.iter().map(|column| column.title));
    for (index, column) in columns.iter().enumerate() {
        let numeric = rows.iter().all(|row| row[column.field].is_number()) && !is_time(column.field);
        if let Some(column) = table.column_mut(index).filter(|_| numeric) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for row in rows {
        table.add_row(columns.iter().map(|column| cell(column.field, &row[column.field])));
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

fn cell(field: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Number(number) => match number.as_i64().filter(|_| is_time(field)) {
            Some(unix_ms) => crate::time::rfc3339(unix_ms),
            None => number.to_string(),
        },
        Value::String(text) if text.is_empty() => "-".into(),
        Value::String(text) => printable(text),
        Value::Array(_) | Value::Object(_) => printable(&value.to_string()),
    }
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
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_have_titles_times_and_dashes() {
        let columns = [("deviceKey", "DEVICE"), ("lastSeenTime", "SEEN"), ("enabled", "ENABLED"), ("n", "N")];
        let columns = columns.map(|(field, title)| Column { field, title });
        let rows = json!([
            {"deviceKey": "d1", "lastSeenTime": 0, "enabled": true, "n": 7},
            {"deviceKey": "d22", "lastSeenTime": null, "enabled": false, "n": 12},
        ]);
        assert_eq!(
            render_rows(&columns, rows.as_array().unwrap()),
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
    fn nothing_from_outside_steers_the_terminal() {
        assert_eq!(printable("a\u{1b}[31m\u{202e}b\n\u{9b}é"), "a\\u{1b}[31m\\u{202e}b\\n\\u{9b}é");
    }
}
