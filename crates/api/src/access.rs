//! Organisation units, tokens, and who asks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{names::UnixMillis, object, product::given, secret::SecretText};

/// What a caller may do; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Also changes devices and sends commands.
    Operator,
    /// Also makes products, models, scripts and firmware, registers and removes devices, and reads secrets.
    Administrator,
}

/// An organisation unit to be created.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewUnit {
    /// What people call it; no other unit is called so.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// How much it may have; of what is left out, any number.
    #[serde(default, deserialize_with = "object::one", skip_serializing_if = "QuotasPatch::is_empty")]
    pub quotas: QuotasPatch,
}

/// What to change of an organisation unit: what is left out stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnitPatch {
    /// How much it may have from now on. What it has already stays.
    #[serde(default, deserialize_with = "object::one", skip_serializing_if = "QuotasPatch::is_empty")]
    pub quotas: QuotasPatch,
}

/// Quotas to be set: what is left out stays, and null takes one away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuotasPatch {
    /// Products that it may have.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub products: Option<Option<u32>>,
    /// Devices that it may have.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub devices: Option<Option<u32>>,
    /// Reports of all of its devices that are taken in a day of UTC.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub reports_per_day: Option<Option<u32>>,
}

impl QuotasPatch {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How much an organisation unit may have; null: any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotasView {
    /// Products that it may have.
    pub products: Option<u32>,
    /// Devices that it may have.
    pub devices: Option<u32>,
    /// Reports of all of its devices that are taken in a day of UTC.
    pub reports_per_day: Option<u32>,
}

/// An organisation unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnitView {
    /// `o` and 14 digits.
    pub ou: String,
    /// What people call it.
    pub name: String,
    /// When it was created; null of the one that exists from the first start on.
    pub created_at: Option<UnixMillis>,
    /// Since when it is suspended; null: it is not.
    pub suspended_at: Option<UnixMillis>,
    /// How much it may have.
    pub quotas: QuotasView,
    /// Reports that were taken today (UTC), up to ten seconds ago; null where there is no quota of them.
    pub reports_today: Option<u32>,
}

/// A token to be created.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewToken {
    /// What people call it; no other token is called so.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// Only in this unit, by its key or its name; in all where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ou: Option<String>,
    /// From when on it is not valid any more; without end where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<UnixMillis>,
}

/// A token, without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenView {
    /// What people call it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// The unit in which that is so; null: all.
    pub ou: Option<String>,
    /// When it was created.
    pub created_at: UnixMillis,
    /// From when on it is not valid any more; null: without end.
    pub expires_at: Option<UnixMillis>,
}

/// A token that was just created: the only time that its text is shown.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenCreated {
    /// What is sent as `Authorization: Bearer …`.
    pub token: SecretText,
    /// The token itself.
    #[serde(flatten)]
    pub view: TokenView,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// The name of the token; left out of the owner, who asks on the control socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The name of the user who has logged in, or `owner`; left out of a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the caller may do.
    pub role: Role,
    /// The unit in which that is so; null: all.
    pub ou: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_created_token_is_one_object_and_roles_rise() {
        let view = TokenView {
            name: "ci".into(),
            role: Role::Operator,
            ou: None,
            created_at: UnixMillis(1),
            expires_at: Some(UnixMillis(2)),
        };
        let json = serde_json::to_string(&TokenCreated { token: SecretText::new("ngt_x".into()), view });
        assert_eq!(
            json.expect("it can be written"),
            r#"{"token":"ngt_x","name":"ci","role":"operator","ou":null,"createdAt":1,"expiresAt":2}"#
        );
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Administrator);
    }
}
