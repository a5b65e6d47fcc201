//! The header of a CSV file: which field of a line is which.

use narrowgate_api::device::DeviceRow;

use super::{
    Unusable,
    csv::{self, Broken, Field},
};
use crate::table::Row as _;

/// Names of columns. The last two occur in a file of generated secrets.
pub(super) const DEVICE_KEY: &str = "deviceKey";
pub(super) const DEVICE_SECRET: &str = "deviceSecret";
pub(super) const NAME: &str = "name";
pub(super) const ASSET_ID: &str = "assetId";
pub(super) const PRODUCT_KEY: &str = "productKey";

const KNOWN: [&str; 5] = [DEVICE_KEY, DEVICE_SECRET, NAME, ASSET_ID, PRODUCT_KEY];

/// Stands for a column of a sheet that is not imported.
const OTHER: &str = "";

const HINT: &str = "the first line names the fields: deviceKey,deviceSecret,name (the last two are optional)";

/// The columns in their order; `None` for one without a name, which must be empty in every row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Columns {
    names: Vec<Option<&'static str>>,
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
            return Ok(Self { names: DeviceRow::COLUMNS.iter().map(known).collect(), is_export: true });
        }
        let mut columns = Vec::new();
        for (column, Field { text, .. }) in fields.iter().enumerate() {
            if text.is_empty() {
                columns.push(None);
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
        Ok(Self { names: columns, is_export: false })
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
        Ok(Self { names: columns, is_export: false })
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
    pub(super) fn name(&self, column: usize) -> Option<&'static str> {
        self.names.get(column).copied().flatten().filter(|name| *name != OTHER)
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
        assert_eq!(columns, Columns { names: expected.to_vec(), is_export: false });
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
