//! The header of a CSV file: which field of a line is which.
//!
//! Limit: [`PROPERTIES_MAX`] columns of tags and attributes.

use std::collections::BTreeMap;

use narrowgate_api::{device::DeviceRow, properties::PropertiesView};
use narrowgate_platform::{
    model::{json_piece::Piece, property::PropertyKind},
    rules::properties::{check_attribute, check_tag_key},
};
use serde_json::value::{RawValue, to_raw_value};

use super::{
    PROPERTIES_MAX, Unusable,
    csv::{self, Broken, Field},
};
use crate::table::Row as _;

/// Names of columns. Asset ids and keys of products occur in a file of generated secrets.
pub(super) const DEVICE_KEY: &str = "deviceKey";
pub(super) const DEVICE_SECRET: &str = "deviceSecret";
pub(super) const NAME: &str = "name";
pub(super) const ASSET_ID: &str = "assetId";
pub(super) const PRODUCT_KEY: &str = "productKey";
/// Names of fields of JSON lines alone.
pub(super) const TAGS: &str = "tags";
pub(super) const ATTRIBUTES: &str = "attributes";

const KNOWN: [&str; 5] = [DEVICE_KEY, DEVICE_SECRET, NAME, ASSET_ID, PRODUCT_KEY];

/// Stands for a column of a sheet that is not imported, and for one of a tag or an attribute.
const OTHER: &str = "";

/// Begins the name of a column of a tag, and of an attribute.
const KINDS: [(&str, PropertyKind); 2] =
    [("tag:", PropertyKind::Tag), ("attribute:", PropertyKind::Attribute)];

const HINT: &str = "the first line names the fields: deviceKey,deviceSecret,name (the last two are \
                    optional); tag:KEY or attribute:ID is a tag or an attribute";

/// The columns in their order; `None` for one without a name, which must be empty in every row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Columns {
    names: Vec<Option<&'static str>>,
    /// Columns of tags and attributes, each with its name.
    properties: Vec<(usize, String)>,
    /// Whether it is the header of a list of devices as this program exports it.
    pub(super) is_export: bool,
}

impl Columns {
    /// Reads the header.
    pub(super) fn parse(line: u64, header: &str) -> Result<Self, Unusable> {
        let at = |column: usize| format!("line {line}, column {}", column + 1);
        let fields = csv::split(header).map_err(|broken| match broken {
            Broken::Unclosed { field } => {
                Unusable::new(format!("{}: a quote is opened but not closed", at(field)))
            }
            Broken::AfterQuote { field } => {
                Unusable::new(format!("{}: something follows the closing quote", at(field)))
            }
        })?;
        if let [field] = &fields[..]
            && let Some(separator) = other_separator(&field.text)
        {
            return Err(Unusable::new(format!("line {line} has {separator} between the fields"))
                .hint("save the file with commas between the fields"));
        }
        if fields.iter().map(|field| &*field.text).eq(DeviceRow::COLUMNS.iter().copied()) {
            // What it says besides is not imported.
            let known =
                |text: &&'static str| Some(KNOWN.into_iter().find(|known| known == text).unwrap_or(OTHER));
            let names = DeviceRow::COLUMNS.iter().map(known).collect();
            return Ok(Self { names, properties: Vec::new(), is_export: true });
        }
        let (mut columns, mut properties) = (Vec::new(), Vec::<(usize, String)>::new());
        for (column, Field { text, .. }) in fields.iter().enumerate() {
            if text.is_empty() {
                columns.push(None);
                continue;
            }
            if let Some((kind, name)) = property(text) {
                let refused = |message: &str| Unusable::new(format!("{}: {text}: {message}", at(column)));
                check_property(kind, name).map_err(|message| refused(&message))?;
                if properties.iter().any(|(_, known)| known == text) {
                    return Err(Unusable::new(format!("{}: {text} is named twice", at(column))));
                }
                if properties.len() == PROPERTIES_MAX {
                    let message = format!("at most {PROPERTIES_MAX} columns of tags and attributes are read");
                    return Err(refused(&message));
                }
                properties.push((column, text.clone()));
                columns.push(Some(OTHER));
                continue;
            }
            let Some(known) = KNOWN.into_iter().find(|known| known == text) else {
                return Err(Unusable::new(format!("{}: {}", at(column), unknown(text))).hint(HINT));
            };
            if columns.contains(&Some(known)) {
                return Err(Unusable::new(format!("{}: {known} is named twice", at(column))));
            }
            columns.push(Some(known));
        }
        if !columns.contains(&Some(DEVICE_KEY)) {
            return Err(Unusable::new(format!("line {line} does not name deviceKey")).hint(HINT));
        }
        Ok(Self { names: columns, properties, is_export: false })
    }

    /// Reads the header of a sheet that EnOS exports: `Device Key` is `deviceKey`, `Device Name` is `name`,
    /// and columns of other names are not imported.
    pub(super) fn parse_sheet(line: u64, header: &str) -> Result<Self, Unusable> {
        let fields = csv::split(header)
            .map_err(|_| Unusable::new(format!("line {line} is no header: a quote is not closed")))?;
        let known = |text: &str| match &*letters(text) {
            "" => None,
            "devicename" => Some(NAME),
            letters_of => {
                let known = KNOWN.into_iter().find(|known| letters(known) == letters_of);
                Some(known.unwrap_or(OTHER))
            }
        };
        let columns: Vec<_> = fields.iter().map(|Field { text, .. }| known(text)).collect();
        for name in KNOWN {
            if columns.iter().filter(|column| **column == Some(name)).count() > 1 {
                return Err(Unusable::new(format!("line {line}: {name} is named twice")));
            }
        }
        if !columns.contains(&Some(DEVICE_KEY)) {
            let hint = "the first line names the fields: productKey,deviceKey,deviceSecret,name";
            return Err(Unusable::new(format!("line {line} does not name deviceKey")).hint(hint));
        }
        Ok(Self { names: columns, properties: Vec::new(), is_export: false })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    /// How many a row has at least: those behind the last one with a name may be left out.
    pub(super) fn count_min(&self) -> usize {
        self.names.iter().rposition(Option::is_some).map_or(0, |last| last + 1)
    }

    /// How many have a name.
    pub(super) fn named(&self) -> usize {
        self.names.iter().flatten().count()
    }

    /// Whether one has a name.
    pub(super) fn is_named(&self, column: usize) -> bool {
        self.names.get(column).is_some_and(Option::is_some)
    }

    /// The name of one that is imported.
    pub(super) fn name(&self, column: usize) -> Option<&str> {
        let property = self.properties.iter().find(|(at, _)| *at == column).map(|(_, name)| &**name);
        property.or_else(|| self.names.get(column).copied().flatten().filter(|name| *name != OTHER))
    }

    /// Takes the tags, or the attributes, out of a row; `None` where its fields of them are empty. The field
    /// of an attribute is JSON, and text where it is none.
    pub(super) fn take_properties(
        &self,
        wanted: PropertyKind,
        fields: &mut [Field],
    ) -> Option<PropertiesView> {
        let mut all = BTreeMap::new();
        for (column, title) in &self.properties {
            let Some((kind, name)) = property(title).filter(|(kind, _)| *kind == wanted) else { continue };
            let text = fields.get_mut(*column).map(std::mem::take).unwrap_or_default().text;
            let json = (kind == PropertyKind::Attribute).then(|| RawValue::from_string(text.clone()).ok());
            // Text can always be written.
            let value = json.flatten().or_else(|| to_raw_value(&text).ok());
            if let Some(value) = value.filter(|_| !text.is_empty()) {
                all.insert(name.to_owned(), value);
            }
        }
        (!all.is_empty()).then_some(PropertiesView(all))
    }

    /// Whether there is one of this name.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.names.contains(&Some(name))
    }

    /// Takes the field of this column out of a row.
    pub(super) fn take(&self, name: &str, fields: &mut [Field]) -> Option<Field> {
        let column = self.names.iter().position(|column| *column == Some(name))?;
        fields.get_mut(column).map(std::mem::take)
    }
}

/// The tag or attribute that a column names.
fn property(text: &str) -> Option<(PropertyKind, &str)> {
    KINDS.into_iter().find_map(|(prefix, kind)| Some((kind, text.strip_prefix(prefix)?)))
}

fn check_property(kind: PropertyKind, name: &str) -> Result<(), String> {
    let checked = match kind {
        PropertyKind::Tag => check_tag_key(name, ""),
        // Whether it is one of the thing model's, each row is told.
        PropertyKind::Attribute => check_attribute(None, name, Piece::of("0"), &mut String::new()),
    };
    checked.map_err(|fault| fault.message)
}

/// Another separator of fields that occurs in this text.
pub(super) fn other_separator(text: &str) -> Option<&'static str> {
    match text.find([';', '\t', '|'])? {
        at if text[at..].starts_with(';') => Some("semicolons"),
        at if text[at..].starts_with('|') => Some("pipes (|)"),
        _ => Some("tabs"),
    }
}

/// Why a name is unknown. The name is shown unless it may be a secret, as when the header is missing.
fn unknown(text: &str) -> String {
    if let Some(meant) = KNOWN.into_iter().find(|known| letters(known) == letters(text)) {
        format!("unknown field {text:?}; did you mean {meant}?")
    } else if may_be_secret(text) {
        "this is not the name of a field; is the header missing?".to_owned()
    } else {
        format!("unknown field {text:?}")
    }
}

/// The letters and digits of a name, in lower case.
fn letters(text: &str) -> String {
    text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether a text in the place of a name may be a key or a secret.
pub(super) fn may_be_secret(text: &str) -> bool {
    let of_words = |letter: char| letter.is_alphabetic() || matches!(letter, ' ' | '_' | '-');
    text.len() >= 8 && !text.chars().all(of_words) || text.chars().count() >= 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_in_any_order_and_some_have_no_name() {
        let columns = Columns::parse(1, " name,deviceSecret ,\"deviceKey\",,").unwrap();
        let expected = [Some(NAME), Some(DEVICE_SECRET), Some(DEVICE_KEY), None, None];
        let properties = Vec::new();
        assert_eq!(columns, Columns { names: expected.to_vec(), properties, is_export: false });
        assert_eq!(columns.count_min(), 3);
        assert_eq!((columns.count(), columns.named(), columns.contains(ASSET_ID)), (5, 3, false));
        assert!(Columns::parse(1, "assetId,productKey,deviceKey,deviceSecret").is_ok());
    }

    #[test]
    fn a_sheet_names_its_columns_for_people_and_has_more_of_them() {
        let sheet = "Product Key,device_key,DEVICE SECRET,Device Name,Time Zone,";
        let columns = Columns::parse_sheet(1, sheet).unwrap();
        let named = [PRODUCT_KEY, DEVICE_KEY, DEVICE_SECRET, NAME, OTHER].map(Some);
        assert_eq!(columns.names[..5], named);
        assert_eq!((columns.names[5], columns.name(4), columns.is_named(4)), (None, None, true));
        for (header, reason) in [
            ("productKey,name", "line 1 does not name deviceKey"),
            ("Device Key,deviceKey", "deviceKey is named twice"),
            ("name,Device Name,deviceKey", "name is named twice"),
            ("\"deviceKey", "a quote is not closed"),
        ] {
            let refused = Columns::parse_sheet(1, header).unwrap_err().to_string();
            assert!(refused.contains(reason), "{header}: {refused}");
        }
    }

    #[test]
    fn as_many_columns_of_properties_are_read_as_a_row_may_have() {
        let header = |count| (0..count).fold("deviceKey".to_owned(), |text, n| format!("{text},tag:t{n}"));
        assert!(Columns::parse(1, &header(PROPERTIES_MAX)).is_ok());
        let refused = Columns::parse(1, &header(PROPERTIES_MAX + 1)).unwrap_err().to_string();
        assert!(refused.contains("tag:t64: at most 64 columns of tags and attributes are read"), "{refused}");
    }

    #[test]
    fn a_header_that_is_not_one_is_refused() {
        for (text, reason) in [
            ("d1,s1", "line 3, column 1: unknown field \"d1\""),
            ("deviceKey;name", "line 3 has semicolons between the fields"),
            ("sep=;", "line 3 has semicolons between the fields"),
            ("deviceKey\tname", "line 3 has tabs between the fields"),
            ("deviceKey|deviceSecret", "line 3 has pipes (|) between the fields"),
            ("\"deviceKey;name\"", "line 3 has semicolons between the fields"),
            ("name", "line 3 does not name deviceKey"),
            ("devicekey", "unknown field \"devicekey\"; did you mean deviceKey?"),
            (
                "deviceKey,Device Secret",
                "column 2: unknown field \"Device Secret\"; did you mean deviceSecret?",
            ),
            ("DEVICE_KEY", "did you mean deviceKey?"),
            ("Gerät,Geheimnis", "unknown field \"Gerät\""),
            ("deviceKey,deviceKey", "column 2: deviceKey is named twice"),
            ("deviceKey,\"name", "column 2: a quote is opened but not closed"),
            ("\"deviceKey\"x", "column 1: something follows the closing quote"),
            ("", "does not name deviceKey"),
            (",,", "does not name deviceKey"),
            ("deviceKey,tag:", "column 2: tag:: a key is 1 to 100 characters"),
            ("deviceKey,tag:a b", "column 2: tag:a b: a key is 1 to 100 characters"),
            ("deviceKey,attribute:ä", "column 2: attribute:ä: an identifier is 1 to 128"),
            ("deviceKey,tag:a,name,tag:a", "column 4: tag:a is named twice"),
            ("deviceKey,Tag:a", "unknown field \"Tag:a\""),
        ] {
            let failure = Columns::parse(3, text).unwrap_err().to_string();
            assert!(failure.contains(reason), "{text}: {failure}");
        }
        for secret in ["Z5YtZaQpK5IWocakV7zQ", "ZaYtZaQpKaIWocakVazQ", "=k%Tq!z.Lw"] {
            let failure = Columns::parse(1, &format!("{secret},d1")).unwrap_err().to_string();
            assert!(failure.contains("is the header missing?") && !failure.contains(secret), "{failure}");
        }
    }
}
