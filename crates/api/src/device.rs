//! Devices: to be created, changed, shown.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{names::UnixMillis, properties::PropertiesView, secret::SecretText};

/// A device to be created.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewDeviceRequest {
    /// Its key; generated where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_key: Option<String>,
    /// Its secret; generated where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_secret: Option<SecretText>,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<PropertiesView>,
    /// Its attributes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<PropertiesView>,
}

/// What to change of a device (JSON merge patch, RFC 7396).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DevicePatch {
    /// What people call it; nothing where it is empty.
    pub name: String,
}

/// A device as somebody names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedDevice {
    /// Key of the product; `None`: `device` is `PK/DK`, a key that is unique, an asset id, or the `id:` of a
    /// damaged row.
    pub product: Option<String>,
    /// Key of the device, or another name of it.
    pub device: String,
}

impl NamedDevice {
    /// By both keys.
    pub fn by_keys(product_key: impl Into<String>, device_key: impl Into<String>) -> Self {
        Self { product: Some(product_key.into()), device: device_key.into() }
    }

    /// By one name.
    pub fn by_name(name: impl Into<String>) -> Self {
        Self { product: None, device: name.into() }
    }

    /// One name or two, as somebody gave them.
    pub fn parts(&self) -> (&str, Option<&str>) {
        match &self.product {
            Some(product) => (product, Some(&self.device)),
            None => (&self.device, None),
        }
    }
}

/// A device that was just created: the only time that its secret is shown unasked.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceCreated {
    /// Its asset id.
    pub asset_id: String,
    /// Key of its product.
    pub product_key: String,
    /// Its own key.
    pub device_key: String,
    /// Its secret.
    pub device_secret: SecretText,
    /// What the operator should know; left out when there is nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A device's state, with the operator's switch above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ShownState {
    /// Registered, never logged in.
    Inactive,
    /// Heard within its lifetime.
    Online,
    /// Silent since.
    Offline,
    /// Switched off, whatever it does.
    Disabled,
}

/// A device.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceView {
    /// Its asset id.
    pub asset_id: String,
    /// Key of its product.
    pub product_key: String,
    /// Its own key.
    pub device_key: String,
    /// What people call it; may be empty.
    pub name: String,
    /// What it does; `disabled` hides that.
    pub state: ShownState,
    /// Whether it may connect.
    pub enabled: bool,
    /// When it was registered.
    pub created_time: UnixMillis,
    /// First login since then, or since the last reset.
    pub active_time: Option<UnixMillis>,
    /// Last change to online.
    pub last_online_time: Option<UnixMillis>,
    /// Last change to offline.
    pub last_offline_time: Option<UnixMillis>,
    /// Last sign of life (may lag behind by some seconds).
    pub last_seen_time: Option<UnixMillis>,
    /// Lifetime of its last login, seconds.
    pub lifetime: Option<u32>,
}

/// A device, with what it says of itself.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceShown {
    /// The device.
    #[serde(flatten)]
    pub device: DeviceView,
    /// Its tags.
    #[serde(default)]
    pub tags: PropertiesView,
    /// The version of its firmware that it has said last.
    pub firmware: Option<String>,
    /// Its session by its own secret, as long as there is one.
    #[serde(default)]
    pub session: Option<SessionView>,
}

/// The session of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    /// The peer's address and port.
    pub peer: String,
    /// The cipher suite; null where it is plain CoAP, without encryption.
    pub suite: Option<String>,
    /// Its Connection ID, in hex; null where it has none.
    pub cid: Option<String>,
    /// Since when it stands.
    pub since: UnixMillis,
}

/// A device that was reset, with its new secret.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceReset {
    /// The device, inactive now.
    #[serde(flatten)]
    pub device: DeviceView,
    /// Its new secret.
    pub device_secret: SecretText,
}

/// A device's secret, shown on request, and what a client needs to use it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceSecretShown {
    /// The secret.
    pub device_secret: SecretText,
    /// The key of DTLS made of it, in hex.
    pub psk_hex: SecretText,
    /// A mode-2 identity with the device's last lifetime, or 3600 s.
    pub identity: String,
    /// Complete commands for clients, which report a value as this device. A server of before says none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_lines: Vec<ClientLine>,
}

/// A command to paste into a terminal (bash).
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientLine {
    /// Which program it is for.
    pub tool: String,
    /// The command; it holds the key.
    pub line: SecretText,
}

/// What a device needs to fetch its own secret (SecureMode 3), shown on request.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActivationShown {
    /// The product's secret.
    pub product_secret: SecretText,
    /// The key of DTLS made of it, in hex.
    pub psk_hex: SecretText,
    /// A mode-3 identity.
    pub identity: String,
}

/// A device in a list.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DeviceRow {
    /// As it is.
    Intact(Box<DeviceView>),
    /// Its row is damaged.
    Damaged(DamagedDeviceView),
}

/// A device in a list that was asked for more of each.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceMore {
    /// The device.
    #[serde(flatten)]
    pub device: DeviceView,
    /// Its tags.
    pub tags: PropertiesView,
    /// The version of its firmware that it has said last.
    pub firmware: Option<String>,
}

/// A device in a list, with what the list was asked for.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum DeviceListed {
    /// With more.
    More(Box<DeviceMore>),
    /// As ever.
    Row(DeviceRow),
}

/// A damaged device: its names as they are read, and nothing else. `Option<()>` is always null.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DamagedDeviceView {
    /// Its asset id, as it is read.
    pub asset_id: String,
    /// Key of its product, as it is read; null: it leads to no product.
    pub product_key: Option<String>,
    /// Its own key, as it is read.
    pub device_key: String,
    /// Not known.
    pub name: Option<()>,
    /// Not known.
    pub state: Option<()>,
    /// Not known.
    pub enabled: Option<()>,
    /// Not known.
    pub created_time: Option<()>,
    /// Not known.
    pub active_time: Option<()>,
    /// Not known.
    pub last_online_time: Option<()>,
    /// Not known.
    pub last_offline_time: Option<()>,
    /// Not known.
    pub last_seen_time: Option<()>,
    /// Not known.
    pub lifetime: Option<()>,
    /// Always true.
    pub damaged: bool,
    /// A name by which it can be deleted.
    pub id: String,
    /// Which row it is, for people.
    pub detail: String,
}

impl DeviceRow {
    /// What is wrong with it, if anything.
    pub fn damage(&self) -> Option<&str> {
        match self {
            Self::Intact(_) => None,
            Self::Damaged(damaged) => Some(&damaged.detail),
        }
    }

    /// Key of its product, as far as it is known.
    pub fn product_key(&self) -> Option<&str> {
        match self {
            Self::Intact(device) => Some(&device.product_key),
            Self::Damaged(device) => device.product_key.as_deref(),
        }
    }

    /// Its own key.
    pub fn device_key(&self) -> &str {
        match self {
            Self::Intact(device) => &device.device_key,
            Self::Damaged(device) => &device.device_key,
        }
    }
}

/// How far the purge of a device is: it goes on with the next request of the same kind until it is done.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DevicePurged {
    /// The device, as it was before this request.
    #[serde(flatten)]
    pub device: DeviceRow,
    /// How many messages of it this request made unreadable.
    pub messages_removed: u64,
    /// Nothing is left, and the device is deleted. Else it is there, and disabled.
    pub done: bool,
}

/// `PK/DK`, or how a damaged one can be named.
impl fmt::Display for DeviceRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intact(device) => write!(f, "{}/{}", device.product_key, device.device_key),
            Self::Damaged(device) => write!(f, "{} (damaged)", device.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_written_where_it_is_meant_to_be_and_never_debugged() {
        let created = DeviceCreated {
            asset_id: "asset001".into(),
            product_key: "pk".into(),
            device_key: "dk".into(),
            device_secret: SecretText::new("canary".into()),
            warnings: Vec::new(),
        };
        let json = serde_json::to_string(&created).expect("it can be written");
        assert_eq!(
            json,
            r#"{"assetId":"asset001","productKey":"pk","deviceKey":"dk","deviceSecret":"canary"}"#
        );
        assert!(!format!("{created:?}").contains("canary"));
        let back: DeviceCreated = serde_json::from_str(&json).expect("it can be read");
        assert_eq!(serde_json::to_string(&back).expect("it can be written"), json);
    }

    #[test]
    fn a_device_comes_back_as_it_was_written_alone_reset_and_in_a_list() {
        let device = concat!(
            r#"{"assetId":"asset001","productKey":"pk","deviceKey":"dk","name":"","state":"online","#,
            r#""enabled":true,"createdTime":1,"activeTime":2,"lastOnlineTime":3,"lastOfflineTime":null,"#,
            r#""lastSeenTime":4,"lifetime":60"#
        );
        let reset = format!(r#"{device},"deviceSecret":"s"}}"#);
        let back: DeviceReset = serde_json::from_str(&reset).expect("it can be read");
        assert_eq!(serde_json::to_string(&back).expect("it can be written"), reset);
        let row = format!("{device}}}");
        let back: DeviceRow = serde_json::from_str(&row).expect("it can be read");
        assert_eq!((back.damage(), back.to_string()), (None, "pk/dk".to_owned()));
        assert_eq!(serde_json::to_string(&back).expect("it can be written"), row);
    }
}
