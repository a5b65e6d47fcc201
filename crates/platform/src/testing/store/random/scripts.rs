//! Scripts that are drafted, published and rolled back, one after the other.

use super::readout::product_key;
use crate::{ids::UnixMillis, ports::Change, rules::scripts::ScriptPut};

/// How many forms of changes there are.
pub(super) const FORMS: u64 = 9;

/// A change of the given form.
pub(super) fn put(product: u8, form: u8, at: UnixMillis) -> Change {
    let by = format!("author {form}");
    let put = match form {
        0..=1 => ScriptPut::Draft { source: format!("source {form}").into() },
        2..=5 => ScriptPut::Publish { source: format!("source {}", form % 4).into(), by },
        _ => ScriptPut::RollBack { version: u32::from(form) - 5, by },
    };
    Change::PutScript { product_key: product_key(product), put, at }
}
