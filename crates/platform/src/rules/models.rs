//! The versions of a product's thing model: what becomes of a document that an operator gives.
//!
//! Each change is a version, also the model's removal; they are counted from 1 for each product. A document
//! that says the same as the present one makes none. The newest [`VERSIONS_MAX`] are kept; a further one
//! takes the place of the oldest. To go back is to give the document of an older version, which makes a new
//! one.

use serde_json::Value;

use crate::{
    ids::UnixMillis,
    model::thing_model::{Fault, MODEL_BYTES_MAX, Numbers, ThingModel},
};

/// Versions that are kept of a product's model, the present one among them.
pub const VERSIONS_MAX: usize = 20;

/// A version of a product's thing model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelVersion {
    /// Which one, from 1 on.
    pub version: u32,
    /// When it was made. Of a model that is older than its product's first version that is known: when the
    /// product was created.
    pub created: UnixMillis,
    /// The model's own id; `None` where the model was removed, or cannot be read.
    pub model_id: Option<String>,
}

/// A version with its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionedModel {
    /// Which one.
    pub about: ModelVersion,
    /// `None`: the model was removed.
    pub model_json: Option<String>,
}

/// A model that an operator gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPut {
    /// The document; `None` takes the model away.
    pub model_json: Option<String>,
    /// What it is to replace.
    pub expected: Expected,
}

/// What a model is to replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Whatever there is.
    Whatever,
    /// A model.
    AModel,
    /// A model of one of these versions.
    OneOf(Vec<u32>),
}

/// The present model of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present<'a> {
    /// The number of the newest version; 0 where there is none.
    pub version: u32,
    /// Its document.
    pub model_json: Option<&'a str>,
}

/// The model that a product has from now on, and what was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelStands {
    /// The number of its version; 0 where the product never had one.
    pub version: u32,
    /// Its document, with all numbers.
    pub model_json: Option<String>,
}

/// Why a model is not put in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotPut {
    /// It does not go with the models before.
    Fault(Fault),
    /// Another version is the present one.
    OtherVersion(u32),
}

/// What to store: the next version, and all numbers from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextVersion {
    /// The version.
    pub next: VersionedModel,
    /// All numbers that its models ever gave.
    pub numbers: Numbers,
}

/// Decides; `None`: nothing changes. The document was accepted.
///
/// # Errors
/// Nothing is to be changed.
pub fn put(
    present: Present<'_>,
    numbers: &Numbers,
    put: &ModelPut,
    at: UnixMillis,
) -> Result<Option<NextVersion>, NotPut> {
    let is_expected = match &put.expected {
        Expected::Whatever => true,
        Expected::AModel => present.model_json.is_some(),
        Expected::OneOf(versions) => present.model_json.is_some() && versions.contains(&present.version),
    };
    if !is_expected {
        return Err(NotPut::OtherVersion(present.version));
    }
    let Some(json) = &put.model_json else {
        return Ok(present.model_json.map(|_| next(present.version, None, numbers.clone(), at)));
    };
    let (json, numbers) = numbers.number(json).map_err(NotPut::Fault)?;
    if json.len() > MODEL_BYTES_MAX {
        let bytes = json.len();
        let message =
            format!("with its numbers the model has {bytes} bytes; at most {MODEL_BYTES_MAX} are allowed");
        return Err(NotPut::Fault(Fault::new("", message)));
    }
    if present.model_json.is_some_and(|present| says_the_same(present, &json)) {
        return Ok(None);
    }
    Ok(Some(next(present.version, Some(json), numbers, at)))
}

/// The first version of a product that was created or was there before there were versions; `before` is the
/// newest of a damaged one whose place it takes, else 0. `None`: it has no model. A text that is no model
/// stays as it is.
pub fn first(
    before: u32,
    numbers: &Numbers,
    model_json: Option<&str>,
    at: UnixMillis,
) -> Option<NextVersion> {
    let Some(json) = model_json else {
        return (before > 0).then(|| next(before, None, numbers.clone(), at));
    };
    let numbered = ThingModel::parse(json).and_then(|_| numbers.number(json));
    let (json, numbers) = numbered.unwrap_or_else(|_| (json.to_owned(), numbers.clone()));
    Some(next(before, Some(json), numbers, at))
}

fn next(before: u32, model_json: Option<String>, numbers: Numbers, created: UnixMillis) -> NextVersion {
    let model = model_json.as_deref().and_then(|json| ThingModel::parse(json).ok());
    let about = ModelVersion {
        version: before.saturating_add(1),
        created,
        model_id: model.map(|model| model.model_id),
    };
    NextVersion { next: VersionedModel { about, model_json }, numbers }
}

/// Whether two documents differ in nothing but white space and the order of keys.
fn says_the_same(one: &str, other: &str) -> bool {
    let read = |json| serde_json::from_str::<Value>(json).ok();
    one == other || read(one).is_some_and(|value| Some(value) == read(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: UnixMillis = UnixMillis(7);
    const MODEL: &str = r#"{"modelId":"m","measurepoints":[{"identifier":"a","dataType":"INT","number":1}]}"#;

    fn given(json: Option<&str>, expected: Expected) -> ModelPut {
        ModelPut { model_json: json.map(str::to_owned), expected }
    }

    fn decide(present: Present<'_>, json: Option<&str>) -> Option<NextVersion> {
        put(present, &Numbers::default(), &given(json, Expected::Whatever), AT).expect("it is permitted")
    }

    #[test]
    fn each_change_is_a_version_and_what_says_the_same_is_none() {
        let none = Present { version: 0, model_json: None };
        let first = decide(none, Some(&MODEL.replace(r#","number":1"#, ""))).expect("it is new").next;
        assert_eq!((first.about.version, first.about.created), (1, AT));
        assert_eq!((first.about.model_id.as_deref(), first.model_json.as_deref()), (Some("m"), Some(MODEL)));
        let present = Present { version: 3, model_json: Some(MODEL) };
        for same in [MODEL, r#"{ "measurepoints":[{"dataType":"INT","identifier":"a"}], "modelId":"m" }"#] {
            let numbers = Numbers::default().number(MODEL).expect("it has its numbers").1;
            let put = put(present, &numbers, &given(Some(same), Expected::Whatever), AT);
            assert_eq!(put, Ok(None), "{same}");
        }
        let changed = decide(present, Some(r#"{"modelId":"n"}"#)).expect("it is another one").next;
        assert_eq!((changed.about.version, changed.about.model_id.as_deref()), (4, Some("n")));
        let removed = decide(present, None).expect("its removal is a version").next;
        assert_eq!((removed.about.version, removed.about.model_id, removed.model_json), (4, None, None));
        assert_eq!(decide(Present { version: 4, model_json: None }, None), None);
    }

    #[test]
    fn a_model_replaces_only_what_it_is_to_replace() {
        let new = Some(r#"{"modelId":"n"}"#);
        let present = Present { version: 3, model_json: Some(MODEL) };
        let removed = Present { version: 3, model_json: None };
        for (present, expected, is_permitted) in [
            (present, Expected::Whatever, true),
            (present, Expected::AModel, true),
            (present, Expected::OneOf(vec![1, 3]), true),
            (present, Expected::OneOf(vec![2, 4]), false),
            (present, Expected::OneOf(vec![]), false),
            (removed, Expected::Whatever, true),
            (removed, Expected::AModel, false),
            (removed, Expected::OneOf(vec![3]), false),
        ] {
            let decided = put(present, &Numbers::default(), &given(new, expected.clone()), AT);
            assert_eq!(decided.is_ok(), is_permitted, "{expected:?}");
            if let Err(refused) = decided {
                assert_eq!(refused, NotPut::OtherVersion(3));
            }
        }
    }

    #[test]
    fn a_product_begins_with_its_model_and_what_is_none_stays_as_it_is() {
        let begin = |before, json: Option<&str>| first(before, &Numbers::default(), json, AT);
        for text in ["no model", r#"{"measurepoints":[{"identifier":"a","type":"int"}]}"#] {
            let NextVersion { next, numbers } = begin(0, Some(text)).expect("it is kept");
            assert_eq!((next.about.version, next.about.model_id), (1, None));
            assert_eq!((next.model_json.as_deref(), numbers), (Some(text), Numbers::default()));
        }
        let without = MODEL.replace(r#","number":1"#, "");
        let begun = begin(3, Some(&without)).expect("it has a model").next;
        assert_eq!((begun.about.version, begun.model_json.as_deref()), (4, Some(MODEL)));
        assert_eq!(begin(0, None), None);
        let removed = begin(3, None).expect("the one before is no longer its model").next;
        assert_eq!((removed.about.version, removed.model_json), (4, None));
    }
}
