//! What operators see: the JSON shapes of the command line and of HTTP. Keys are camelCase, times Unix milliseconds or null.
//!
//! No shape holds a secret except those whose name says that something was created, shown or reset.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::{
    device_api::json,
    ids::UnixMillis,
    model::{
        device::{Device, DeviceState},
        log::{LogEntry, LogEvent, Reason},
        product::Product,
        thing_model::ThingModel,
    },
    ports::PresenceChange,
    rules::names::{self, SECRET_BITS_ENOUGH},
    secret::Secret,
    service::rows::DeviceRow,
};

/// A product that was just created: the only time that its secret is shown unasked.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductCreated {
    /// Key of the product.
    pub product_key: String,
    /// Its secret.
    #[serde(serialize_with = "exposed")]
    pub product_secret: Secret,
    /// What people call it.
    pub name: String,
    /// Whether its devices may fetch their own secrets.
    pub dynamic_activation_enabled: bool,
    /// What the operator should know; left out when there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A product, without its secret.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductView {
    /// Key of the product.
    pub product_key: String,
    /// What people call it.
    pub name: String,
    /// Whether its devices may connect.
    pub enabled: bool,
    /// Dynamic activation: the switch.
    pub dynamic_activation_enabled: bool,
    /// Dynamic activation: off again from this time on.
    pub dynamic_activation_ends_at: Option<UnixMillis>,
    /// Dynamic activation: secrets per clock hour.
    pub dynamic_activation_quota_per_hour: u32,
    /// Id of its thing model; null where it has none.
    pub model_id: Option<String>,
    /// The thing model, where one product is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Box<RawValue>>,
    /// When it was created.
    pub created_time: UnixMillis,
}

impl ProductView {
    /// For a list: without the model itself.
    pub fn summary(product: &Product) -> Self {
        let model = product.model_json.as_deref().and_then(|json| ThingModel::parse(json).ok());
        Self {
            product_key: product.product_key.clone(),
            name: product.name.clone(),
            enabled: product.enabled,
            dynamic_activation_enabled: product.dynamic_activation.enabled,
            dynamic_activation_ends_at: product.dynamic_activation.ends_at,
            dynamic_activation_quota_per_hour: product.dynamic_activation.quota_per_hour,
            model_id: model.map(|model| model.model_id),
            model: None,
            created_time: product.created,
        }
    }

    /// For one product: with its model.
    pub fn full(product: &Product) -> Self {
        // Without line ends, so that the document stays one line on the control socket.
        let model = product.model_json.as_deref().map(|json| json::compact(json).into_string());
        Self { model: model.and_then(|json| RawValue::from_string(json).ok()), ..Self::summary(product) }
    }
}

/// A device that was just created: the only time that its secret is shown unasked.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceCreated {
    /// Its asset id.
    pub asset_id: String,
    /// Key of its product.
    pub product_key: String,
    /// Its own key.
    pub device_key: String,
    /// Its secret.
    #[serde(serialize_with = "exposed")]
    pub device_secret: Secret,
    /// What the operator should know; left out when there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A device's state, with the operator's switch above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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

impl ShownState {
    /// The state to show for a device.
    pub fn of(device: &Device) -> Self {
        match device.state {
            _ if !device.enabled => Self::Disabled,
            DeviceState::Inactive => Self::Inactive,
            DeviceState::Online => Self::Online,
            DeviceState::Offline => Self::Offline,
        }
    }
}

/// A device.
#[derive(Debug, PartialEq, Eq, Serialize)]
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

impl From<&Device> for DeviceView {
    fn from(device: &Device) -> Self {
        Self {
            asset_id: device.asset_id.clone(),
            product_key: device.product_key.clone(),
            device_key: device.device_key.clone(),
            name: device.name.clone(),
            state: ShownState::of(device),
            enabled: device.enabled,
            created_time: device.created,
            active_time: device.active_time,
            last_online_time: device.last_online_time,
            last_offline_time: device.last_offline_time,
            last_seen_time: device.last_seen_time,
            lifetime: device.lifetime_s,
        }
    }
}

/// A device that was reset, with its new secret.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceReset {
    /// The device, inactive now.
    #[serde(flatten)]
    pub device: DeviceView,
    /// Its new secret.
    #[serde(serialize_with = "exposed")]
    pub device_secret: Secret,
}

/// A page of devices.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DevicePage {
    /// The devices, in the order of their registration.
    pub devices: Vec<DeviceRow>,
    /// Where the next page begins; null on the last one.
    pub next_cursor: Option<String>,
}

/// A device's secret, shown on request, and what a client needs to use it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceSecretShown {
    /// The secret.
    #[serde(serialize_with = "exposed")]
    pub device_secret: Secret,
    /// The key of DTLS made of it, in hex.
    #[serde(serialize_with = "exposed")]
    pub psk_hex: Secret,
    /// A mode-2 identity with the device's last lifetime, or 3600 s.
    pub identity: String,
}

/// What a device needs to fetch its own secret (SecureMode 3), shown on request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivationShown {
    /// The product's secret.
    #[serde(serialize_with = "exposed")]
    pub product_secret: Secret,
    /// The key of DTLS made of it, in hex.
    #[serde(serialize_with = "exposed")]
    pub psk_hex: Secret,
    /// A mode-3 identity.
    pub identity: String,
}

/// What became of an import.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// Devices that were created, or would be in a dry run.
    pub created: u64,
    /// Devices that exist already, with the row's secret or where the row has none. They are as they were.
    pub skipped: u64,
    /// How many of the skipped rows have a secret, which is the device's; left out when there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub same_secret: u64,
    /// Rows that were not imported.
    pub failed: Vec<ImportFault>,
    /// Devices whose secret was generated and is in force, with it. Belongs into a file of mode 0600, not on
    /// a terminal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<DeviceCreated>,
    /// Secrets that may be guessed; left out when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weak_secrets: Option<WeakSecrets>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Secrets of created devices that were brought and have so few bits that they may be guessed offline from
/// one recorded handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeakSecrets {
    /// How many.
    pub count: u64,
    /// Estimated bits of the weakest.
    pub weakest_bits: u32,
    /// Its line in the file.
    pub weakest_line: u64,
    /// How many of them are no weaker than those that the platform itself generates, whose form the protocol
    /// fixes.
    pub as_generated: u64,
}

impl WeakSecrets {
    /// Says it of one secret, if it is so.
    pub fn of(secret: &Secret, line: u64) -> Option<Self> {
        let bits = names::estimated_bits(secret);
        (bits < SECRET_BITS_ENOUGH).then(|| Self {
            count: 1,
            weakest_bits: bits,
            weakest_line: line,
            as_generated: u64::from(names::is_as_generated(secret)),
        })
    }

    /// These and others together.
    pub fn with(self, other: Self) -> Self {
        let weakest = if other.weakest_bits < self.weakest_bits { other } else { self };
        let (count, as_generated) = (self.count + other.count, self.as_generated + other.as_generated);
        Self { count, as_generated, ..weakest }
    }
}

/// Why a row was not imported.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportFault {
    /// The row's line in the file, from 1.
    pub line: u64,
    /// The column at fault: `deviceKey`, `deviceSecret` or `name`; null for the whole row.
    pub column: Option<&'static str>,
    /// What is wrong with it.
    pub message: String,
}

/// An entry of a device's log.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogView {
    /// When.
    pub time: UnixMillis,
    /// What happened.
    pub event: LogEvent,
    /// Why, for refusals.
    pub reason: Option<Reason>,
    /// The protocol's number, where it has one.
    pub code: Option<u16>,
    /// The peer's address and port.
    pub peer: Option<String>,
    /// Words for people.
    pub detail: Option<String>,
}

impl From<LogEntry> for LogView {
    fn from(entry: LogEntry) -> Self {
        let LogEntry { time, event, reason, code, peer, detail, .. } = entry;
        Self { time, event, reason, code, peer, detail }
    }
}

/// A refusal, also one that belongs to no known device.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusalView {
    /// What was refused, when and why.
    #[serde(flatten)]
    pub entry: LogView,
    /// The identity as the peer gave it.
    pub identity: Option<String>,
    /// Key of the product, as far as it is known.
    pub product_key: Option<String>,
    /// Key of the device, as far as it is known.
    pub device_key: Option<String>,
}

/// A change of presence.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PresenceView {
    /// When.
    pub time: UnixMillis,
    /// To which state.
    pub state: DeviceState,
    /// Why.
    pub cause: String,
}

impl From<PresenceChange> for PresenceView {
    fn from(change: PresenceChange) -> Self {
        Self { time: change.at, state: change.state, cause: change.cause }
    }
}

fn exposed<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::DeviceId;

    #[test]
    fn a_device_is_shown_as_the_command_line_promises() {
        let device = Device {
            id: DeviceId(1),
            ou: crate::ids::DEFAULT_OU.into(),
            product_key: "pk".into(),
            device_key: "dk".into(),
            asset_id: "asset001".into(),
            name: "cellar".into(),
            enabled: true,
            state: DeviceState::Online,
            created: UnixMillis(1),
            active_time: Some(UnixMillis(2)),
            last_online_time: Some(UnixMillis(3)),
            last_offline_time: None,
            last_seen_time: Some(UnixMillis(4)),
            lifetime_s: Some(60),
        };
        let shown =
            |device: &Device| serde_json::to_string(&DeviceView::from(device)).expect("it can be written");
        assert_eq!(
            shown(&device),
            r#"{"assetId":"asset001","productKey":"pk","deviceKey":"dk","name":"cellar","state":"online","enabled":true,"createdTime":1,"activeTime":2,"lastOnlineTime":3,"lastOfflineTime":null,"lastSeenTime":4,"lifetime":60}"#
        );
        assert!(
            shown(&Device { enabled: false, ..device }).contains(r#""state":"disabled","enabled":false"#)
        );
    }

    #[test]
    fn a_secret_is_written_where_it_is_meant_to_be_and_never_debugged() {
        let created = DeviceCreated {
            asset_id: "asset001".into(),
            product_key: "pk".into(),
            device_key: "dk".into(),
            device_secret: Secret::new("canary".into()),
            warnings: Vec::new(),
        };
        let json = serde_json::to_string(&created).expect("it can be written");
        assert_eq!(
            json,
            r#"{"assetId":"asset001","productKey":"pk","deviceKey":"dk","deviceSecret":"canary"}"#
        );
        assert!(!format!("{created:?}").contains("canary"));
    }
}
