//! Classes of retention with their times.

use narrowgate_platform::model::retention::{CLASSES_MAX, RetentionClass};

use super::{Accept, Days, OrOff};

/// `short=30d, long=off`, or `off`.
#[derive(Debug)]
pub(crate) struct Classes(pub(in crate::config) OrOff<Days>);

impl Accept for Classes {
    type Value = Vec<(RetentionClass, Option<u32>)>;
    const LIST: bool = true;

    fn parse(&self, text: &str) -> Result<Self::Value, String> {
        let mut classes: Self::Value = Vec::new();
        if text == "off" {
            return Ok(classes);
        }
        for item in text.split(',').map(str::trim) {
            let wrong = || format!("{item:?} is not a class with its time; it must be {}", self.accepted());
            let (name, time) = item.split_once('=').ok_or_else(wrong)?;
            let class = RetentionClass::parse(name.trim()).ok_or_else(wrong)?;
            if class.is_standard() {
                return Err("the time of the class standard is store.retention".to_owned());
            }
            if classes.iter().any(|(known, _)| *known == class) {
                return Err(format!("class {class} is named twice"));
            }
            classes.push((class, self.0.parse(time.trim())?));
        }
        match classes.len() {
            0..CLASSES_MAX => Ok(classes),
            count => Err(format!(
                "{count} classes are too many; with the class standard there are at most {CLASSES_MAX}"
            )),
        }
    }

    fn accepted(&self) -> String {
        format!(
            "up to {} of NAME=TIME, such as short=30d, NAME a letter and up to 7 letters or digits, TIME {}, \
             or off",
            CLASSES_MAX - 1,
            self.0.accepted()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_names_and_times_and_are_few() {
        let classes = Classes(OrOff(Days(1..=36_500)));
        let named = |name| RetentionClass::parse(name).unwrap();
        assert_eq!(classes.parse("off"), Ok(vec![]));
        assert_eq!(
            classes.parse("short=30d, long = off"),
            Ok(vec![(named("short"), Some(30)), (named("long"), None)])
        );
        for (text, said) in [
            ("short", "such as short=30d"),
            ("Short=30d", "such as short=30d"),
            ("", "such as short=30d"),
            ("short=30d,", "such as short=30d"),
            ("short=30", "24h"),
            ("short=0d", "whole days"),
            ("standard=1d", "is store.retention"),
            ("a=1d,a=2d", "named twice"),
            ("a=1d,b=1d,c=1d,d=1d", "at most 4"),
        ] {
            assert!(classes.parse(text).unwrap_err().contains(said), "{text}: {:?}", classes.parse(text));
        }
    }
}
