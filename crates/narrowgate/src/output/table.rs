//! Tables for people: times in RFC 3339, empty values as `-`, no character that is invisible or could steer
//! the terminal (keys, names and identities may come from strangers), and no line wider than the terminal. A
//! number is shown exactly as written in the document, and an object with its keys in their order: values are
//! handled as text, never as an `f64` or a map.
//!
//! On a terminal that is too narrow for the columns side by side, each row is a block of lines, so that keys
//! and ids stay whole and can be copied.

use std::fmt;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};
use narrowgate_api::command::Expected;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Layout, printable};

/// Letters of a column that are never fewer; what is no longer than this stays in one line.
const FOLDED_MIN: usize = 32;

/// Blanks around a column.
const PADDING: usize = 2;

/// A column of a table: a field and its title.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) field: &'static str,
    pub(crate) title: &'static str,
}

impl Layout {
    /// The table of a JSON document as text, without a newline at its end; folded to `width` if it is given.
    pub(super) fn render(self, json: &str, width: Option<u16>) -> String {
        match self {
            Layout::Rows(columns) => render_array(columns, json, width, cell),
            Layout::Values(columns) => match serde_json::from_str::<Vec<Fields>>(json) {
                Ok(rows) => render_rows(&filled(columns, &rows), &rows, width, cell_or_value),
                Err(_) => printable(json),
            },
            Layout::Record => serde_json::from_str(json)
                .map_or_else(|_| printable(json), |fields| render_record(&fields, width)),
        }
    }
}

/// The fields of an object as they were written, in that order.
struct Fields(Vec<(String, Box<RawValue>)>);

impl Fields {
    fn has(&self, field: &str) -> bool {
        self.0.iter().any(|(name, _)| name == field)
    }

    /// The JSON text of a field; `null` if there is none.
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

fn render_record(fields: &Fields, width: Option<u16>) -> String {
    let rows: Vec<[String; 2]> =
        fields.0.iter().map(|(field, value)| [words(field), record_cell(field, value.get())]).collect();
    // Long secrets and keys are left to the terminal to fold, so that they can be copied whole.
    let title = rows.iter().map(|[title, _]| title.len()).max().unwrap_or(0);
    let longest_word =
        rows.iter().flat_map(|[_, value]| value.split([' ', '\n'])).map(|word| word.chars().count()).max();
    let fits = |width: &u16| title + longest_word.unwrap_or(0) + SPACE_OF_A_RECORD <= usize::from(*width);
    let mut table = plain(width.filter(fits));
    for row in rows {
        table.add_row(row);
    }
    trim(&table)
}

/// Columns besides the title and the value.
const SPACE_OF_A_RECORD: usize = 4;

/// Formats a cell from a field's name and JSON text.
type Cell = fn(&str, &str) -> String;

fn render_array(columns: &[Column], json: &str, width: Option<u16>, cell: Cell) -> String {
    match serde_json::from_str::<Vec<Fields>>(json) {
        Ok(rows) => render_rows(columns, &rows, width, cell),
        Err(_) => printable(json),
    }
}

/// The columns that any of the rows has.
fn filled(columns: &[Column], rows: &[Fields]) -> Vec<Column> {
    let is_filled = |column: &&Column| rows.iter().any(|row| row.has(column.field));
    columns.iter().filter(is_filled).copied().collect()
}

fn render_rows(columns: &[Column], rows: &[Fields], width: Option<u16>, cell: Cell) -> String {
    if rows.is_empty() {
        return "(none)".into();
    }
    let of_row =
        |row: &Fields| columns.iter().map(|column| cell(column.field, row.get(column.field))).collect();
    let cells: Vec<Vec<String>> = rows.iter().map(of_row).collect();
    let longest: Vec<usize> = (0..columns.len())
        .map(|index| cells.iter().map(|row| letters(&row[index])).chain([columns[index].title.len()]).max())
        .map(|longest| longest.unwrap_or(0))
        .collect();
    let narrowest: usize = longest.iter().map(|longest| longest.min(&FOLDED_MIN) + PADDING).sum();
    if width.is_some_and(|width| usize::from(width) < narrowest) {
        return render_blocks(columns, &cells, width);
    }
    let mut table = plain(width);
    table.set_header(columns.iter().map(|column| column.title));
    table.add_rows(cells);
    for (index, column) in columns.iter().enumerate() {
        let numeric = !is_time(column.field) && rows.iter().all(|row| is_number(row.get(column.field)));
        let Some(column) = table.column_mut(index) else { continue };
        if numeric {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if width.is_some() {
            column.set_constraint(match longest[index] {
                ..=FOLDED_MIN => ColumnConstraint::ContentWidth,
                _ => ColumnConstraint::LowerBoundary(Width::Fixed((FOLDED_MIN + PADDING) as u16)),
            });
        }
    }
    trim(&table)
}

/// Each row as a block of lines, a title and a cell in each; what is empty is left out.
fn render_blocks(columns: &[Column], cells: &[Vec<String>], width: Option<u16>) -> String {
    let titles = columns.iter().map(|column| column.title.len()).max().unwrap_or(0);
    let block = |row: &Vec<String>| {
        let mut table = plain(width);
        let lines = columns.iter().zip(row).filter(|(_, cell)| *cell != EMPTY);
        table.add_rows(lines.map(|(column, cell)| [column.title, cell]));
        if let Some(column) = table.column_mut(0) {
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed((titles + PADDING) as u16)));
        }
        trim(&table)
    };
    cells.iter().map(block).collect::<Vec<_>>().join("\n\n")
}

/// How wide a text is, about.
fn letters(text: &str) -> usize {
    text.chars().count()
}

fn plain(width: Option<u16>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    match width {
        Some(width) => table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    table
}

fn trim(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// The cell of what is empty.
const EMPTY: &str = "-";

/// Formats a JSON text as a cell.
fn cell(field: &str, json: &str) -> String {
    match json {
        "null" | r#""""# => EMPTY.into(),
        "true" => "yes".into(),
        "false" => "no".into(),
        _ if is_number(json) => match json.parse().ok().filter(|_| is_time(field)) {
            Some(unix_ms) => crate::time::rfc3339(unix_ms),
            None => json.into(),
        },
        _ if field == "expected" => expected(json).unwrap_or_else(|| printable(json)),
        // A string, or an array or object unchanged.
        _ => printable(&serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())),
    }
}

/// When a device probably fetches a command: the time, and how far it may be from then.
fn expected(json: &str) -> Option<String> {
    let Expected { at, spread } = serde_json::from_str(json).ok()?;
    let spread = match spread {
        ..120_000 => format!("{} s", (spread + 999) / 1000),
        120_000..7_200_000 => format!("{} min", (spread + 59_999) / 60_000),
        _ => format!("{} h", (spread + 3_599_999) / 3_600_000),
    };
    Some(format!("{} ± {spread}", crate::time::rfc3339(at.0)))
}

/// The same for a record, where warnings have a line each.
fn record_cell(field: &str, json: &str) -> String {
    match serde_json::from_str::<Vec<String>>(json) {
        Ok(warnings) if field == "warnings" && warnings.is_empty() => "-".into(),
        Ok(warnings) if field == "warnings" => {
            warnings.iter().map(|warning| printable(warning)).collect::<Vec<_>>().join("\n")
        }
        _ => cell(field, json),
    }
}

/// The same, but a value that a device sent is shown as it was sent: `true`, `""` and `"5"` do not become
/// `yes`, `-` and `5`.
fn cell_or_value(field: &str, json: &str) -> String {
    if field == "value" || field == "last" { printable(json) } else { cell(field, json) }
}

fn is_number(json: &str) -> bool {
    json.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// Fields of the JSON documents that are Unix milliseconds.
fn is_time(field: &str) -> bool {
    matches!(field, "time" | "since") || field.ends_with("Time") || field.ends_with("At")
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_expected_is_a_time_and_how_far_it_may_be_off() {
        for (spread, words) in [(1, "1 s"), (119_999, "120 s"), (120_000, "2 min"), (9_000_000, "3 h")] {
            let json = format!(r#"{{"at":1767225600000,"spread":{spread}}}"#);
            assert_eq!(cell("expected", &json), format!("2026-01-01T00:00:00Z ± {words}"));
        }
        assert_eq!(cell("expected", "null"), "-");
    }

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
            render_rows(&columns, &rows, None, cell),
            " DEVICE  SEEN                  ENABLED   N\n\
             \u{20}d1      1970-01-01T00:00:00Z  yes       7\n d22     -                     no       12"
        );
        assert_eq!(render_rows(&columns, &[], None, cell), "(none)");
    }

    #[test]
    fn a_record_has_a_line_per_field() {
        let text = Layout::Record.render(r#"{"assetId":"a","activeTime":1000,"points":{"t":1}}"#, None);
        assert_eq!(text, " asset id     a\n active time  1970-01-01T00:00:01Z\n points       {\"t\":1}");
        assert_eq!(Layout::Record.render(r#"{"since":1000}"#, None), " since  1970-01-01T00:00:01Z");
    }

    const VALUE: [Column; 1] = [Column { field: "value", title: "VALUE" }];

    #[test]
    fn a_value_of_a_device_is_shown_as_it_was_sent() {
        const COLUMNS: [Column; 3] = [
            Column { field: "value", title: "VALUE" },
            Column { field: "seenTime", title: "SEEN" },
            Column { field: "on", title: "ON" },
        ];
        for text in ["true", "false", "null", r#""""#, r#""-""#, r#""yes""#, "5", r#""5""#, r#""a\u0041\"b""#]
        {
            let table = Layout::Values(&VALUE).render(&format!(r#"[{{"value":{text}}}]"#), None);
            assert_eq!(table.lines().last().map(str::trim), Some(text), "{table}");
        }
        // A column that no row has is left out.
        let table = Layout::Values(&COLUMNS).render(r#"[{"on":true},{"value":1}]"#, None);
        assert_eq!(table.lines().map(str::trim).collect::<Vec<_>>(), ["VALUE  ON", "null   yes", "1      -"]);
        // What hides or steers is escaped; the other columns are for people.
        let table =
            Layout::Values(&COLUMNS).render("[{\"value\":\"a\u{202e}\",\"seenTime\":0,\"on\":true}]", None);
        assert!(table.ends_with(" \"a\\u{202e}\"  1970-01-01T00:00:00Z  yes"), "{table}");
    }

    #[test]
    fn warnings_stand_one_in_a_line() {
        let text = Layout::Record.render(r#"{"key":"k","warnings":["one thing","\u001banother"]}"#, None);
        assert_eq!(text, " key       k\n warnings  one thing\n           \\u{1b}another");
        assert_eq!(Layout::Record.render(r#"{"warnings":[]}"#, None), " warnings  -");
    }

    #[test]
    fn numbers_and_objects_are_shown_as_they_are_written() {
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
            assert_eq!(Layout::Record.render(&json, None), format!(" value  {text}"));
            let rows: Vec<Fields> = serde_json::from_str(&format!("[{json}]")).unwrap();
            let values = Layout::Values(&VALUE).render(&format!("[{json}]"), None);
            assert_eq!(values.lines().last().map(str::trim), Some(text));
            assert_eq!(render_rows(&VALUE, &rows, None, cell), values);
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
    fn on_a_terminal_no_line_is_wider_than_it() {
        let columns =
            [("time", "TIME"), ("reason", "REASON"), ("identity", "IDENTITY"), ("detail", "DETAIL")];
        let columns = columns.map(|(field, title)| Column { field, title });
        let rows = serde_json::json!([{
            "time": 1_790_000_000_000_i64,
            "reason": "wrong_key",
            "identity": "MuGsF6W4,".repeat(20),
            "detail": "the key fits the product's secret; an identity with secure mode 2 needs the device's",
        }]);
        let rows: Vec<Fields> = serde_json::from_str(&rows.to_string()).unwrap();
        for width in [30, 60, 80, 120, 200] {
            let text = render_rows(&columns, &rows, Some(width), cell);
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= usize::from(width), "{width}:\n{text}");
            assert_eq!(text.contains("2026-09-21T14:13:20Z"), width >= 60, "{width}:\n{text}");
        }
    }

    #[test]
    fn where_columns_do_not_fit_whole_each_row_is_a_block() {
        let columns = [("id", "ID"), ("params", "PARAMS"), ("code", "CODE"), ("createdAt", "CREATED")];
        let columns = columns.map(|(field, title)| Column { field, title });
        let rows = r#"[{"id":"5108075","params":{"temp":1},"code":null,"createdAt":1790000000123},
                       {"id":"5108076","params":{"text":"a sentence that goes on"},"code":7}]"#;
        let rows: Vec<Fields> = serde_json::from_str(rows).unwrap();
        // Whole as long as it fits ...
        let wide = render_rows(&columns, &rows, Some(80), cell);
        assert!(wide.starts_with(" ID       PARAMS "), "{wide}");
        assert_eq!(wide.lines().count(), 3, "{wide}");
        // ... and below each other where it does not. What is empty is left out.
        assert_eq!(
            render_rows(&columns, &rows, Some(40), cell),
            " ID       5108075\n PARAMS   {\"temp\":1}\n CREATED  2026-09-21T14:13:20.123Z\n\n\
             \u{20}ID       5108076\n PARAMS   {\"text\":\"a sentence that goes\n          on\"}\n CODE     7"
        );
    }

    #[test]
    fn a_record_folds_sentences_and_keeps_keys_whole() {
        let sentence = format!("{{\"name\":\"{}\"}}", "many words ".repeat(10).trim_end());
        let text = Layout::Record.render(&sentence, Some(40));
        assert!(text.lines().count() > 1 && text.lines().all(|line| line.len() <= 40), "{text}");
        let secret = "s".repeat(60);
        let text = Layout::Record.render(&format!("{{\"deviceSecret\":\"{secret}\"}}"), Some(40));
        assert_eq!(text, format!(" device secret  {secret}"));
    }

    #[test]
    fn cells_are_printable() {
        // In a nested document escapes stay as they were sent; what stands there raw is escaped.
        let document = "{\"name\":\"a\\u2028b\\u001b\",\"points\":{\"\\ufeff\":\"\u{202e}\"}}";
        let text = Layout::Record.render(document, None);
        assert_eq!(text, " name    a\\u{2028}b\\u{1b}\n points  {\"\\ufeff\":\"\\u{202e}\"}");
    }
}
