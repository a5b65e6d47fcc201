//! The catalogue of texts: each by its name, in English and in Simplified Chinese, one file for each page.
//!
//! `{name}` is filled in by `say`; of a text for `count`, which fills in `{n}`, English has `one|many`. A
//! text that is missing in a language does not compile, one that nobody uses is a warning, and a test looks
//! for texts that stand elsewhere.

mod access;
mod audit;
mod common;
mod device;
mod devices;
mod firmware;
mod import;
mod login;
mod model;
mod overview;
mod products;
mod reasons;
mod script;
mod system;
mod traffic;
mod users;

pub(crate) use self::{
    access::*, audit::*, common::*, device::*, devices::*, firmware::*, import::*, login::*, model::*,
    overview::*, products::*, script::*, system::*, traffic::*, users::*,
};
pub(super) use self::{audit::of_action, reasons::of_reason};

use super::locale::{Language, filled};

/// A text in every language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word {
    #[cfg(test)]
    pub(super) key: &'static str,
    pub(super) en: &'static str,
    pub(super) zh: &'static str,
}

impl Word {
    /// In a language.
    pub(crate) fn of(self, language: Language) -> &'static str {
        match language {
            Language::English => self.en,
            Language::Chinese => self.zh,
        }
    }

    /// The same with what stands in its braces.
    pub(crate) fn say(self, language: Language, values: &[(&str, &str)]) -> String {
        filled(self.of(language), values)
    }
}

/// `KEY: "English", "中文";` for each text of a file.
macro_rules! words {
    ($($key:ident: $en:literal, $zh:literal;)*) => {
        $(pub(crate) const $key: $crate::console::words::Word = $crate::console::words::Word {
            #[cfg(test)]
            key: stringify!($key),
            en: $en,
            zh: $zh,
        };)*

        #[cfg(test)]
        pub(super) const ALL: &[$crate::console::words::Word] = &[$($key),*];
    };
}
use words;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const FILES: &[&[Word]] = &[
        access::ALL,
        audit::ALL,
        common::ALL,
        device::ALL,
        devices::ALL,
        firmware::ALL,
        import::ALL,
        login::ALL,
        model::ALL,
        overview::ALL,
        products::ALL,
        reasons::ALL,
        script::ALL,
        system::ALL,
        traffic::ALL,
        users::ALL,
    ];

    /// Names and abbreviations that are the same in both.
    const SAME: &[&str] = &["ENGLISH", "CHINESE", "CHIP", "AUDIT_VERIFY"];

    /// The names in braces.
    fn holes(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect()
    }

    #[test]
    fn every_text_is_in_both_languages_and_has_the_same_holes() {
        let mut keys = BTreeSet::new();
        for Word { key, en, zh } in FILES.iter().copied().flatten() {
            assert!(keys.insert(key), "{key} is there twice");
            assert!(!en.trim().is_empty() && en.is_ascii() || SAME.contains(key), "{key}: {en}");
            let is_chinese = zh.chars().any(|letter| ('\u{4e00}'..='\u{9fff}').contains(&letter));
            assert!(is_chinese || SAME.contains(key), "{key}: {zh}");
            assert_eq!(holes(en), holes(zh), "{key}");
            assert!(!zh.contains('|'), "{key}: Chinese has no plural");
            if let Some((one, many)) = en.split_once('|') {
                assert_eq!(holes(one), holes(many), "{key}");
                assert!(!one.is_empty() && !many.is_empty(), "{key}");
            }
        }
    }
}
