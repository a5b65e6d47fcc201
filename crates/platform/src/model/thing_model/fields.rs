//! Named values inside another one: the members of a structure, the parameters of a service or an event.

use super::DataType;

/// A named value inside another one.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its key in the object.
    pub identifier: String,
    /// What people call it; may be empty.
    pub name: String,
    /// Its integer key; members of a structure have none.
    pub number: Option<u16>,
    /// Of what type its value is.
    pub data_type: DataType,
}

/// Several of them, found by their keys without going through all.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fields {
    /// In the order of their identifiers.
    fields: Vec<Field>,
    /// Each number and where its field stands, in the order of the numbers.
    numbers: Vec<(u16, usize)>,
}

impl Fields {
    /// These, whose identifiers and numbers are each given once.
    pub(super) fn new(mut fields: Vec<Field>) -> Self {
        fields.sort_unstable_by(|one, other| one.identifier.cmp(&other.identifier));
        let numbers = fields.iter().enumerate().filter_map(|(at, field)| Some((field.number?, at)));
        let mut numbers: Vec<_> = numbers.collect();
        numbers.sort_unstable();
        Self { fields, numbers }
    }

    /// The one with this identifier.
    pub fn find(&self, identifier: &str) -> Option<&Field> {
        let at = self.fields.binary_search_by(|field| field.identifier.as_str().cmp(identifier)).ok()?;
        Some(&self.fields[at])
    }

    /// The one with this number.
    pub fn find_numbered(&self, number: u16) -> Option<&Field> {
        let at = self.numbers.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&self.fields[self.numbers[at].1])
    }

    /// All of them, in the order of their identifiers.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_identifier_and_by_its_number() {
        let field = |identifier: &str, number| Field {
            identifier: identifier.to_owned(),
            name: String::new(),
            number,
            data_type: DataType::Int,
        };
        let fields = Fields::new(vec![field("z", Some(2)), field("a", None), field("m", Some(1))]);
        let order: Vec<_> = fields.iter().map(|field| field.identifier.as_str()).collect();
        assert_eq!(order, ["a", "m", "z"]);
        for (identifier, number) in [("z", Some(2)), ("a", None), ("m", Some(1))] {
            assert_eq!(fields.find(identifier), Some(&field(identifier, number)));
        }
        let numbered = |number| fields.find_numbered(number).map(|field| field.identifier.as_str());
        assert_eq!([0, 1, 2, 3].map(numbered), [None, Some("m"), Some("z"), None]);
        assert_eq!(fields.find("b"), None);
    }
}
