//! Thing models that are put in place, one after the other.

use serde_json::json;

use super::readout::product_key;
use crate::{
    ids::UnixMillis,
    ports::Change,
    rules::models::{Expected, ModelPut},
};

/// How many forms of models there are.
pub(super) const FORMS: u64 = 12;

/// A put of the given form: with some of a few points, one of which may have a number that was another's.
pub(super) fn put(product: u8, form: u8, at: UnixMillis) -> Change {
    let names = ["a", "b", "c", "d"];
    let points: Vec<_> = names
        .into_iter()
        .enumerate()
        .filter(|(index, _)| (form >> index) & 1 == 1)
        .map(|(index, name)| match form {
            7 => json!({"identifier": name, "dataType": "INT", "number": index + 1}),
            11 => json!({"identifier": name, "dataType": "INT", "number": 4 - index}),
            _ => json!({"identifier": name, "dataType": "INT"}),
        })
        .collect();
    let model = json!({"modelId": format!("m{}", form % 3), "measurepoints": points});
    let expected = match form {
        5 => Expected::AModel,
        6 => Expected::OneOf(vec![1, 2, 3]),
        _ => Expected::Whatever,
    };
    let put = ModelPut { model_json: (form != 0).then(|| model.to_string()), expected };
    Change::PutModel { product_key: product_key(product), put, with: None, at }
}
