//! A file of messages by its name: the day of their arrival, and their class of retention.

use std::fmt;

use narrowgate_platform::model::retention::RetentionClass;

use super::day::Day;

/// Which messages a file holds. `Display` gives its name without the ending: `2026-01-31` of the standard
/// class, as before there were others, and `2026-01-31.short`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Volume {
    pub(super) day: Day,
    pub(super) class: RetentionClass,
}

impl Volume {
    /// The reverse of `Display`; `None` for anything that it would not give.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (day, class) = match text.split_once('.') {
            Some((day, class)) => (day, RetentionClass::parse(class).filter(|class| !class.is_standard())?),
            None => (text, RetentionClass::STANDARD),
        };
        Some(Self { day: Day::parse(day)?, class })
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class.is_standard() {
            true => write!(f, "{}", self.day),
            false => write!(f, "{}.{}", self.day, self.class),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_in_their_order_and_others_are_none() {
        let names =
            ["1970-01-01", "2026-01-31", "2026-01-31.a", "2026-01-31.short", "2026-02-01", "9999-12-31.z"];
        let volumes = names.map(|name| Volume::parse(name).unwrap());
        assert_eq!(volumes.map(|volume| volume.to_string()), names);
        assert!(volumes.is_sorted());
        for name in
            ["", "2026-01-31.", "2026-01-31.standard", "2026-01-31.A", "2026-01-31.a.b", "short", ".a"]
        {
            assert_eq!(Volume::parse(name), None, "{name}");
        }
    }
}
