//! Attributes and tags, for operators: checked as those that devices send.

use std::fmt::Write as _;

use narrowgate_api::properties::{PropertiesPatch, PropertiesView};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{error::ServiceError, registrar::Registrar};
use crate::{
    device_api::json,
    model::{
        device::Device,
        json_piece::Piece,
        json_text::JsonText,
        property::{Properties, PropertyEdit, PropertyKind},
        thing_model::{Fault, ThingModel, check_value, push_step},
    },
    ports::{NotEdited, RegistryChanges as _},
    rules::properties::{check_attribute, check_removal, check_tag_key, check_tag_value},
};

/// Whether a change leaves what it does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// It stays.
    Stay,
    /// It goes.
    Go,
}

/// Of what a change is (RFC 9110, section 13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfMatch(
    /// One of these entity tags, each with its quotation marks.
    pub Vec<String>,
);

/// The entity tag of what is shown so, with its quotation marks: strong, the same after a restart.
pub fn entity_tag(shown: &impl Serialize) -> String {
    // Texts and JSON can always be written.
    let digest = Sha256::digest(serde_json::to_vec(shown).unwrap_or_default());
    let mut tag = String::from("\"");
    for byte in &digest[..12] {
        // Writing to a text never fails.
        let _ = write!(tag, "{byte:02x}");
    }
    tag + "\""
}

/// A change that an operator asks for.
#[derive(Debug, Clone)]
pub struct PropertiesEdit {
    /// Of which.
    pub kind: PropertyKind,
    /// What is changed.
    pub patch: PropertiesPatch,
    /// What becomes of the others.
    pub others: Others,
    /// Only of these; `None`: of whatever the device has.
    pub if_match: Option<IfMatch>,
}

impl Registrar {
    /// All attributes, or all tags, of a device. Where an attribute is not set, its default.
    ///
    /// # Errors
    /// The thing model, or what is asked for, is damaged.
    pub(super) async fn properties(
        &self,
        device: &Device,
        kind: PropertyKind,
    ) -> Result<PropertiesView, ServiceError> {
        let model = self.model_for(device, kind).await?;
        let all = self.registry.properties(device.id, kind).await?;
        Ok(shown(&all, model.as_ref()))
    }

    /// Changes them, and returns all of them, and what has changed by name.
    ///
    /// # Errors
    /// A name or a value is not acceptable; the device would have too much; `Stale` where the device has not
    /// what the change is of.
    pub(super) async fn edit_properties(
        &self,
        device: &Device,
        wanted: PropertiesEdit,
    ) -> Result<(PropertiesView, PropertyEdit), ServiceError> {
        let PropertiesEdit { kind, patch, others, if_match } = wanted;
        let what = kind.plural();
        let model = self.model_for(device, kind).await?;
        let only_from = match if_match {
            None => None,
            Some(IfMatch(tags)) => {
                let all = self.registry.properties(device.id, kind).await?;
                if !tags.contains(&entity_tag(&shown(&all, model.as_ref()))) {
                    return Err(ServiceError::Stale { what });
                }
                // What is committed meanwhile counts, too.
                Some(all)
            }
        };
        let invalid = |fault| ServiceError::Property { what, fault };
        let edit = edit(kind, patch, others, model.as_ref()).map_err(invalid)?;
        let before = match others {
            Others::Stay => Properties::default(),
            Others::Go => self.registry.properties(device.id, kind).await?,
        };
        let at = self.clock.now();
        match self.registry.edit_properties(device.id, at, edit.clone(), only_from).await? {
            Ok(all) => {
                let gone = before.iter().filter(|(name, _)| all.find(name).is_none());
                let unset = edit.unset.into_iter().chain(gone.map(|(name, _)| name.to_owned())).collect();
                let edit = PropertyEdit { replaces: false, unset, ..edit };
                Ok((shown(&all, model.as_ref()), edit))
            }
            Err(NotEdited::TooMuch(bytes)) => Err(invalid(Fault::new("", kind.too_much(bytes)))),
            Err(NotEdited::NotAsExpected) => Err(ServiceError::Stale { what }),
        }
    }

    /// The model that says what attributes (and events) there are; tags need none.
    pub(super) async fn model_for(
        &self,
        device: &Device,
        kind: PropertyKind,
    ) -> Result<Option<ThingModel>, ServiceError> {
        self.model_of(&device.product_key, kind).await
    }

    pub(super) async fn model_of(
        &self,
        product_key: &str,
        kind: PropertyKind,
    ) -> Result<Option<ThingModel>, ServiceError> {
        if kind == PropertyKind::Tag {
            return Ok(None);
        }
        let product = self.existing_product(product_key).await?;
        let Some(json) = product.model_json else { return Ok(None) };
        ThingModel::parse(&json).map(Some).map_err(|fault| ServiceError::Damaged {
            what: format!("the thing model of product {} cannot be read: {fault}", product.product_key),
            hint: "put another one in its place: narrowgate product update PK --model FILE",
        })
    }
}

impl Registrar {
    /// Whether a device of this product that has none yet may have these.
    ///
    /// # Errors
    /// A name or a value is not acceptable; the thing model is damaged.
    pub(super) async fn check_first(
        &self,
        product_key: &str,
        kind: PropertyKind,
        patch: PropertiesPatch,
    ) -> Result<(), ServiceError> {
        let model = self.model_of(product_key, kind).await?;
        let checked = edit(kind, patch, Others::Stay, model.as_ref()).map(drop);
        checked.map_err(|fault| ServiceError::Property { what: kind.plural(), fault })
    }
}

/// Whether a patch is one, for any device.
///
/// # Errors
/// A name or a value is not acceptable.
pub(super) fn check_patch(kind: PropertyKind, patch: PropertiesPatch) -> Result<(), ServiceError> {
    let checked = edit(kind, patch, Others::Stay, None).map(drop);
    checked.map_err(|fault| ServiceError::Property { what: kind.plural(), fault })
}

/// The change by which a device that has none of a kind gets these. A fault is told with the column of a
/// file of devices that it is of, as [`narrowgate_api::import::ImportFault`] names it.
pub(super) fn first_edit(
    kind: PropertyKind,
    all: &PropertiesView,
    model: Option<&ThingModel>,
) -> Result<PropertyEdit, (String, String)> {
    let mut first = PropertyEdit { kind, replaces: false, set: Vec::new(), unset: Vec::new() };
    for (name, value) in &all.0 {
        let patch = PropertiesPatch([(name.clone(), Some(value.clone()))].into());
        let edit = edit(kind, patch, Others::Stay, model).map_err(|Fault { pointer, message }| {
            let mut own = String::new();
            push_step(&mut own, name);
            let message = match pointer.strip_prefix(&own) {
                Some("") | None => message,
                Some(inside) => format!("{inside}: {message}"),
            };
            (format!("{}:{name}", kind.singular()), message)
        })?;
        first.set.extend(edit.set);
    }
    match Properties::default().after(&first) {
        Ok(_) => Ok(first),
        Err(bytes) => Err((kind.plural().to_owned(), kind.too_much(bytes))),
    }
}

/// The change that a patch asks for.
fn edit(
    kind: PropertyKind,
    patch: PropertiesPatch,
    others: Others,
    model: Option<&ThingModel>,
) -> Result<PropertyEdit, Fault> {
    let replaces = others == Others::Go;
    let mut edit = PropertyEdit { kind, replaces, set: Vec::new(), unset: Vec::new() };
    for (name, value) in patch.0 {
        let mut pointer = String::new();
        push_step(&mut pointer, &name);
        match (&value, kind) {
            (Some(value), PropertyKind::Attribute) => {
                check_value(value.get(), &pointer)?;
                check_attribute(model, &name, Piece::of(value.get()), &mut String::new())?;
            }
            (Some(value), PropertyKind::Tag) => {
                check_tag_key(&name, &pointer)?;
                check_value(value.get(), &pointer)?;
                check_tag_value(Piece::of(value.get()), &pointer)?;
            }
            (None, PropertyKind::Attribute) => check_removal(model, &name, &pointer)?,
            (None, PropertyKind::Tag) => {}
        }
        match value {
            Some(value) => edit.set.push((name, JsonText::new(&json::compact(value.get())))),
            None => edit.unset.push(name),
        }
    }
    Ok(edit)
}

fn shown(all: &Properties, model: Option<&ThingModel>) -> PropertiesView {
    let defaults = model.into_iter().flat_map(|model| model.defaults.iter());
    // What is set comes last, and so in the place of its default.
    let all = defaults.chain(all.iter());
    PropertiesView(all.map(|(name, value)| (name.to_owned(), value.clone().into_raw())).collect())
}

#[cfg(test)]
mod tests {
    use narrowgate_api::{device::NewDeviceRequest, product::ProductPatch};

    use super::*;
    use crate::{service::fixtures::registrar_with_product, testing::block_on};
    use PropertyKind::{Attribute, Tag};

    fn device() -> (Registrar, Device) {
        let registrar = registrar_with_product();
        let request = NewDeviceRequest { device_key: Some("dk".into()), ..NewDeviceRequest::default() };
        block_on(registrar.create_device("pk", request)).expect("it is valid");
        let device = block_on(registrar.resolve("dk", None)).expect("it exists");
        (registrar, device)
    }

    fn patch(json: &str) -> PropertiesPatch {
        serde_json::from_str(json).expect("the test gives an object")
    }

    fn written(view: Result<PropertiesView, ServiceError>) -> Result<String, String> {
        let view = view.map_err(|error| error.to_string())?;
        Ok(serde_json::to_string(&view).expect("it can be written"))
    }

    #[test]
    fn an_operator_s_change_is_checked_as_a_device_s_is() {
        let (registrar, device) = device();
        let model = r#"{"modelId":"m","attributes":[
            {"identifier":"place","dataType":"STRING","required":true},
            {"identifier":"size","dataType":"INT","default":7}]}"#;
        let model = serde_json::value::RawValue::from_string(model.to_owned()).expect("it is JSON");
        let update = ProductPatch { model: Some(Some(model)), ..ProductPatch::default() };
        block_on(registrar.update_product("pk", update)).expect("the model is valid");
        let edit = |kind, json: &str| {
            let wanted = PropertiesEdit { kind, patch: patch(json), others: Others::Stay, if_match: None };
            written(block_on(registrar.edit_properties(&device, wanted)).map(|(all, _)| all))
        };
        assert_eq!(
            edit(Attribute, r#"{"place": "cellar"}"#).as_deref(),
            Ok(r#"{"place":"cellar","size":7}"#)
        );
        for (kind, json, said) in [
            (Attribute, r#"{"size":"8"}"#, "attributes: /size: must be an integer of 32 bits"),
            (
                Attribute,
                r#"{"shape":{"a":[1,{"b":2,"b":3}]}}"#,
                "attributes: /shape/a/1/b: the key occurs twice",
            ),
            (Attribute, r#"{"plaice":1}"#, "attributes: /plaice: model m has no such attribute"),
            (
                Attribute,
                r#"{"place":null}"#,
                "attributes: /place: model m requires attribute place: it cannot",
            ),
            (Tag, r#"{"a b":"v"}"#, "tags: /a b: a key is 1 to 100 characters"),
            (Tag, r#"{"k":7}"#, "tags: /k: must be a string"),
            (Tag, r#"{"k":"a\ud800b"}"#, "tags: /k: is not acceptable JSON: "),
            (Attribute, r#"{"shape":"\udc00"}"#, "attributes: /shape: is not acceptable JSON: "),
        ] {
            let error = edit(kind, json).expect_err("it is refused");
            assert!(error.starts_with(said), "{error}");
        }
        assert_eq!(
            edit(Attribute, r#"{"size":8,"place":"roof"}"#).as_deref(),
            Ok(r#"{"place":"roof","size":8}"#)
        );
        assert_eq!(edit(Attribute, r#"{"size":null}"#).as_deref(), Ok(r#"{"place":"roof","size":7}"#));
        let shown = written(block_on(registrar.properties(&device, Attribute)));
        assert_eq!(shown.as_deref(), Ok(r#"{"place":"roof","size":7}"#));
    }

    #[test]
    fn tags_are_changed_or_replaced_and_too_many_are_refused() {
        let (registrar, device) = device();
        let edit = |json: &str, others| {
            let wanted = PropertiesEdit { kind: Tag, patch: patch(json), others, if_match: None };
            written(block_on(registrar.edit_properties(&device, wanted)).map(|(all, _)| all))
        };
        assert_eq!(edit(r#"{"a":"1","b":"2"}"#, Others::Stay).as_deref(), Ok(r#"{"a":"1","b":"2"}"#));
        assert_eq!(edit(r#"{"c":"3"}"#, Others::Go).as_deref(), Ok(r#"{"c":"3"}"#));
        let fat = "x".repeat(4000);
        let three = format!(r#"{{"d":"{fat}","e":"{fat}","f":"{fat}"}}"#);
        let error = edit(&three, Others::Stay).expect_err("it is too much");
        assert_eq!(error, "tags: the device's tags would take 12030 bytes as JSON; 8192 are kept");
        let (kind, patch) = (Tag, patch(r#"{"d":"4"}"#));
        let wanted = PropertiesEdit { kind, patch, others: Others::Go, if_match: None };
        let (_, told) = block_on(registrar.edit_properties(&device, wanted)).expect("it is valid");
        assert_eq!((told.replaces, told.set.len(), told.unset), (false, 1, vec!["c".to_owned()]));
    }

    #[test]
    fn a_change_of_what_is_not_there_any_more_is_refused() {
        let (registrar, device) = device();
        let show = || block_on(registrar.properties(&device, Tag)).expect("it is there");
        let edit = |json: &str, if_match: &IfMatch| {
            let (patch, if_match) = (patch(json), Some(if_match.clone()));
            let wanted = PropertiesEdit { kind: Tag, patch, others: Others::Stay, if_match };
            written(block_on(registrar.edit_properties(&device, wanted)).map(|(all, _)| all))
        };
        let none = IfMatch(vec!["\"another\"".into(), entity_tag(&show())]);
        assert_eq!(edit(r#"{"a":"1"}"#, &none).as_deref(), Ok(r#"{"a":"1"}"#));
        let error = edit(r#"{"a":"2"}"#, &none).expect_err("it has changed");
        assert!(error.starts_with("the device's tags are not those of If-Match any more"), "{error}");
        let now = IfMatch(vec![entity_tag(&show())]);
        assert_eq!(edit(r#"{"a":null}"#, &now).as_deref(), Ok("{}"));
        assert!(none.0.contains(&entity_tag(&show())), "the same things have the same tag");
    }
}
