//! Pages: every list is one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PageOf{T}")]
pub struct Page<T> {
    /// What it holds.
    pub items: Vec<T>,
    /// Where the next page begins; null on the last one. A page before it may be short, or empty.
    pub next_cursor: Option<String>,
    /// Rows that are damaged and left out; the field is left out where there are none.
    #[serde(default = "nothing", skip_serializing_if = "Option::is_none")]
    pub damaged: Option<LeftOut>,
}

/// Without a bound on `T`, which the derived default would ask for.
fn nothing() -> Option<LeftOut> {
    None
}

impl<T> Page<T> {
    /// A list that ends with these.
    pub fn last(items: Vec<T>) -> Self {
        Self { items, next_cursor: None, damaged: None }
    }
}

/// Damaged rows that were left out of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftOut {
    /// How many.
    pub count: u64,
    /// Which the first one is, for people.
    pub first: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_where_the_next_begins_and_what_it_leaves_out() {
        let page = Page::last(vec![1, 2]);
        let json = serde_json::to_string(&page).expect("it can be written");
        assert_eq!(json, r#"{"items":[1,2],"nextCursor":null}"#);
        assert_eq!(serde_json::from_str::<Page<u8>>(&json).expect("it can be read"), page);
        let damaged = Some(LeftOut { count: 1, first: "message 7".into() });
        let page = Page { items: vec![1], next_cursor: Some("c".into()), damaged };
        let json = serde_json::to_string(&page).expect("it can be written");
        assert_eq!(json, r#"{"items":[1],"nextCursor":"c","damaged":{"count":1,"first":"message 7"}}"#);
        assert_eq!(serde_json::from_str::<Page<u8>>(&json).expect("it can be read"), page);
    }
}
