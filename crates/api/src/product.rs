//! Products: to be created, changed, shown.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::{names::UnixMillis, object, secret::SecretText};

/// How patient the server is with a product's devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// As CoAP's own defaults: an acknowledgement is waited for 2 to 3 s.
    #[default]
    Default,
    /// For radio whose answers take seconds: 9 to 13.5 s, and smaller blocks, unless the server is set to
    /// others.
    Nbiot,
}

/// What a product's devices speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DataFormat {
    /// JSON, or CBOR that stands for it.
    #[default]
    Json,
    /// Bytes, which a script of the product turns into JSON and back. Devices may use JSON all the same.
    Custom,
}

/// The code of the answers that have content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum ContentCode {
    /// 2.05, as RFC 7252 has it.
    #[default]
    #[serde(rename = "2.05")]
    Content,
    /// 2.04, for clients that take nothing else for a success.
    #[serde(rename = "2.04")]
    Changed,
}

/// A product to be created.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewProduct {
    /// What people call it; 1 to 128 characters.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// The organisation unit that owns it, by its key or its name; the caller's where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ou: Option<String>,
    /// Its key; generated where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_key: Option<String>,
    /// Its secret; generated where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_secret: Option<SecretText>,
    /// Whether, until when and how often its devices may fetch their own secrets.
    #[serde(default, deserialize_with = "object::one")]
    pub dynamic_activation: NewDynamicActivation,
    /// How patient the server is with its devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// Whether its devices may use short paths; off where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_paths: Option<bool>,
    /// What its devices speak; JSON where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_format: Option<DataFormat>,
    /// The code that answers its devices' GETs; 2.05 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_code: Option<ContentCode>,
    /// Its thing model; every point is accepted where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Box<RawValue>>,
    /// The retention class of what its devices report; `standard` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<String>,
}

/// Dynamic activation of a product to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewDynamicActivation {
    /// Whether its devices may fetch their own secrets.
    #[serde(default)]
    pub enabled: bool,
    /// Until when they may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<UnixMillis>,
    /// How many may in an hour; 1000 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_per_hour: Option<u32>,
}

/// What to change of a product (JSON merge patch, RFC 7396): what is left out stays.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProductPatch {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether its devices may connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Dynamic activation.
    #[serde(
        default,
        deserialize_with = "object::one",
        skip_serializing_if = "DynamicActivationPatch::is_empty"
    )]
    pub dynamic_activation: DynamicActivationPatch,
    /// How patient the server is with its devices, from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// Whether its devices may use short paths, from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_paths: Option<bool>,
    /// What its devices speak, from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_format: Option<DataFormat>,
    /// The code that answers its devices' GETs, from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_code: Option<ContentCode>,
    /// Its thing model; null takes it away.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub model: Option<Option<Box<RawValue>>>,
    /// The retention class of what its devices report from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<String>,
}

/// What to change of a product's dynamic activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DynamicActivationPatch {
    /// The switch. Switching on without a new end drops an end that has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Until when; null: without end.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Option<UnixMillis>>,
    /// How many in an hour; null: as many as where nothing was said.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub quota_per_hour: Option<Option<u32>>,
}

impl DynamicActivationPatch {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A field that is there: null is a value of its own.
pub(crate) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A product that was just created: the only time that its secret is shown unasked.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProductCreated {
    /// Key of the product.
    pub product_key: String,
    /// Its secret.
    pub product_secret: SecretText,
    /// What people call it.
    pub name: String,
    /// Whether, until when and how often its devices may fetch their own secrets.
    pub dynamic_activation: DynamicActivation,
    /// What the operator should know; left out when there is nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The secret that a product has from now on: the only time that it is shown unasked.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProductSecretRotated {
    /// The secret.
    pub product_secret: SecretText,
}

/// A product's secret, shown on request.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProductSecretShown {
    /// The secret.
    pub product_secret: SecretText,
    /// The key of DTLS made of it, in hex, by which its devices fetch their own secrets (SecureMode 3).
    pub psk_hex: SecretText,
}

/// Dynamic activation as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DynamicActivation {
    /// The switch.
    pub enabled: bool,
    /// Off again from this time on; null: no end.
    pub ends_at: Option<UnixMillis>,
    /// Secrets per clock hour.
    pub quota_per_hour: u32,
}

/// A product, without its secret.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProductView {
    /// Key of the product.
    pub product_key: String,
    /// What people call it.
    pub name: String,
    /// The organisation unit that owns it. A server of before says nothing.
    #[serde(default)]
    pub ou: String,
    /// Whether its devices may connect.
    pub enabled: bool,
    /// Dynamic activation.
    pub dynamic_activation: DynamicActivation,
    /// How patient the server is with its devices.
    pub profile: Profile,
    /// Whether its devices may use short paths. A server of before says nothing: they may not.
    #[serde(default)]
    pub short_paths: bool,
    /// What its devices speak. A server of before says nothing: JSON.
    #[serde(default)]
    pub data_format: DataFormat,
    /// The code that answers its devices' GETs. A server of before says nothing: 2.05.
    #[serde(default)]
    pub content_code: ContentCode,
    /// Id of its thing model; null where it has none.
    pub model_id: Option<String>,
    /// The thing model, where one product is shown. A list leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Box<RawValue>>,
    /// The retention class of what its devices report.
    pub retention: String,
    /// When it was created.
    pub created_at: UnixMillis,
}

/// A draft of a thing model, from what devices sent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelDraft {
    /// The model.
    pub model: Box<RawValue>,
    /// How many devices were looked at.
    pub devices: u32,
    /// What it leaves out, each with why, for people.
    pub left_out: Vec<String>,
}

/// A product in a list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ProductRow {
    /// As it is.
    Intact(Box<ProductView>),
    /// Its row is damaged.
    Damaged(DamagedProductView),
}

/// A damaged product: its key as it is read, and nothing else. `Option<()>` is always null.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DamagedProductView {
    /// Key of the product, as it is read.
    pub product_key: String,
    /// Not known.
    pub name: Option<()>,
    /// Not known.
    pub enabled: Option<()>,
    /// Not known.
    pub dynamic_activation: Option<()>,
    /// Not known.
    pub profile: Option<()>,
    /// Not known.
    pub short_paths: Option<()>,
    /// Not known.
    #[serde(default)]
    pub data_format: Option<()>,
    /// Not known.
    #[serde(default)]
    pub content_code: Option<()>,
    /// Not known.
    pub model_id: Option<()>,
    /// Not known.
    pub retention: Option<()>,
    /// Not known.
    pub created_at: Option<()>,
    /// Always true.
    pub damaged: bool,
    /// A name by which it can be deleted.
    pub id: String,
    /// Which row it is, for people.
    pub detail: String,
}

impl ProductRow {
    /// What is wrong with it, if anything.
    pub fn damage(&self) -> Option<&str> {
        match self {
            Self::Intact(_) => None,
            Self::Damaged(damaged) => Some(&damaged.detail),
        }
    }
}

/// A product that was deleted, or is being deleted, a number of devices at a time.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProductDeleted {
    /// Key of the product.
    pub product_key: String,
    /// Devices that went in this step.
    pub devices: u64,
    /// Whether nothing of it is left. Ask again until it is so.
    pub done: bool,
    /// Whether it is there still, and disabled.
    pub disabled: bool,
    /// When the step was done.
    pub time: UnixMillis,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(json: &str) -> ProductPatch {
        serde_json::from_str(json).expect("it can be read")
    }

    #[test]
    fn a_patch_tells_null_from_nothing_both_ways() {
        for json in [
            "{}",
            r#"{"model":null}"#,
            r#"{"dynamicActivation":{"endsAt":null}}"#,
            concat!(
                r#"{"name":"n","enabled":false,"#,
                r#""dynamicActivation":{"enabled":true,"endsAt":7,"quotaPerHour":null}}"#
            ),
            r#"{"model":{"modelId": "m",  "z":1.50}}"#,
        ] {
            assert_eq!(serde_json::to_string(&patch(json)).expect("it can be written"), json);
        }
        assert_eq!(patch("{}").dynamic_activation.ends_at, None);
        assert_eq!(patch(r#"{"dynamicActivation":{"endsAt":null}}"#).dynamic_activation.ends_at, Some(None));
    }

    #[test]
    fn a_request_with_an_unknown_field_is_refused() {
        let wrong = serde_json::from_str::<NewProduct>(r#"{"name":"n","colour":"red"}"#);
        assert!(wrong.expect_err("it is unknown").to_string().contains("unknown field `colour`"));
        let new: NewProduct = serde_json::from_str(r#"{"name":"n"}"#).expect("the rest has defaults");
        assert_eq!(new.dynamic_activation, NewDynamicActivation::default());
    }

    #[test]
    fn a_damaged_row_is_told_from_an_intact_one() {
        let intact = concat!(
            r#"{"productKey":"pk","name":"n","ou":"default","enabled":true,"#,
            r#""dynamicActivation":{"enabled":false,"endsAt":null,"quotaPerHour":1000},"#,
            r#""profile":"nbiot","shortPaths":true,"#,
            r#""dataFormat":"custom","contentCode":"2.04","modelId":null,"retention":"standard","#,
            r#""createdAt":7}"#
        );
        let damaged = concat!(
            r#"{"productKey":"pk","name":null,"enabled":null,"dynamicActivation":null,"profile":null,"#,
            r#""shortPaths":null,"dataFormat":null,"contentCode":null,"modelId":null,"retention":null,"#,
            r#""createdAt":null,"damaged":true,"id":"id:1","detail":"row 1"}"#
        );
        for (json, damage) in [(intact, None), (damaged, Some("row 1"))] {
            let row: ProductRow = serde_json::from_str(json).expect("it can be read");
            assert_eq!(row.damage(), damage);
            assert_eq!(serde_json::to_string(&row).expect("it can be written"), json);
        }
    }
}
