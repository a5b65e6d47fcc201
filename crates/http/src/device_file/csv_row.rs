//! Reads a line of CSV as a row, by the columns of the header.

use narrowgate_api::import::ImportFault;
use narrowgate_platform::model::property::PropertyKind;

use super::{
    RawRow,
    columns::{self, Columns, other_separator},
    csv::{self, Broken, Field},
    fault,
    lines::Line,
};
use crate::table::unescaped;

/// Why a line is not a row.
pub(super) enum Refused {
    Fault(ImportFault),
    /// It ends inside quotes.
    Unclosed(Option<String>),
}

impl Refused {
    fn of_unclosed(columns: &Columns, field: usize) -> Self {
        Self::Unclosed(columns.name(field).map(str::to_owned))
    }
}

/// Reads a line; `None` where all of its fields are empty.
pub(super) fn read_csv(columns: &Columns, line: &Line) -> Result<Option<RawRow>, Refused> {
    let of = |column: Option<&str>, message: String| Err(Refused::Fault(fault(line.number, column, message)));
    let Ok(text) = std::str::from_utf8(&line.bytes) else {
        let column = csv::split(&String::from_utf8_lossy(&line.bytes)).ok().and_then(|fields| {
            fields.iter().position(|field| field.text.contains(char::REPLACEMENT_CHARACTER))
        });
        let column = column.and_then(|column| columns.name(column));
        return of(column, "it is not UTF-8; save the file as UTF-8".into());
    };
    for (character, name) in [('\0', "a NUL"), ('\r', "a carriage return")] {
        if text.contains(character) {
            return of(None, format!("it contains {name}"));
        }
    }
    let mut fields = match csv::split(text) {
        Ok(fields) => fields,
        Err(Broken::Unclosed { field }) => return Err(Refused::of_unclosed(columns, field)),
        Err(Broken::AfterQuote { field }) => {
            return of(columns.name(field), "something follows the closing quote".into());
        }
    };
    if fields.iter().all(|field| field.text.is_empty()) {
        return Ok(None);
    }
    if let Some(message) = misplaced(columns, &fields) {
        return of(None, message);
    }
    let device_key = columns.take(columns::DEVICE_KEY, &mut fields).unwrap_or_default();
    if columns.named() == 1
        && !device_key.is_quoted
        && let Some(separator) = other_separator(&device_key.text)
    {
        let message =
            format!("it contains {separator}; fields are separated by commas, and the header names one");
        return of(Some(columns::DEVICE_KEY), message);
    }
    let tags = columns.take_properties(PropertyKind::Tag, &mut fields);
    let attributes = columns.take_properties(PropertyKind::Attribute, &mut fields);
    let mut optional = |name: &str| columns.take(name, &mut fields).filter(|field| !field.text.is_empty());
    let device_secret = optional(columns::DEVICE_SECRET);
    if device_secret.as_ref().is_some_and(|field| field.is_trimmed) {
        let message =
            "there are blanks before or after it: remove them, or put them inside quotes if they count";
        return of(Some(columns::DEVICE_SECRET), message.into());
    }
    // In an export each text that a spreadsheet would execute has an apostrophe before it.
    let own = |text: String| match columns.is_export.then(|| unescaped(&text)).flatten() {
        Some(text) => text.to_owned(),
        None => text,
    };
    let mut text = |name: &str| optional(name).map(|field| own(field.text));
    Ok(Some(RawRow {
        name: text(columns::NAME),
        product_key: text(columns::PRODUCT_KEY),
        device_key: own(device_key.text),
        device_secret: device_secret.map(|field| field.text),
        tags,
        attributes,
    }))
}

/// Why the fields do not fit the header, if so. Extra empty fields are accepted: spreadsheets add them.
fn misplaced(columns: &Columns, fields: &[Field]) -> Option<String> {
    let is_used = |at: &usize| !fields[*at].text.is_empty();
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (count, wanted) = (fields.len(), columns.count());
    if count < columns.count_min() || (wanted..count).any(|at| is_used(&at)) {
        let mut message = format!("it has {count} field{}; the header has {wanted}", plural(count));
        if let ([field], Some(separator)) = (fields, other_separator(&fields[0].text))
            && !field.is_quoted
        {
            message = format!("{message} (it contains {separator}; fields are separated by commas)");
        }
        return Some(message);
    }
    let nameless = (0..wanted.min(count)).filter(|at| !columns.is_named(*at)).find(is_used)?;
    Some(format!("column {} has no name in the header, but this row has something in it", nameless + 1))
}
