//! The fleet in numbers, and what the server and its disk say. The size of it does not grow with the fleet's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{log::Reason, names::UnixMillis};

/// The fleet in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FleetView {
    /// All devices by state.
    pub devices: CountsView,
    /// Products with most devices.
    pub products: Vec<ProductCountsView>,
    /// All other products together; null where there are none.
    pub other_products: Option<OtherProductsView>,
    /// Refusals of the last hour that are kept, most first.
    pub refusals_last_hour: Vec<RefusalCount>,
    /// Reports.
    pub reports_per_minute: ReportRate,
}

/// Devices by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CountsView {
    /// All of them.
    pub total: u64,
    /// Registered, never logged in.
    pub inactive: u64,
    /// Heard within their lifetimes.
    pub online: u64,
    /// Silent since.
    pub offline: u64,
    /// Switched off, whatever they do.
    pub disabled: u64,
    /// Not as they were stored; left out where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged_devices: Option<u64>,
}

/// Devices of a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProductCountsView {
    /// Key of the product.
    pub product_key: String,
    /// Null where the row is damaged.
    pub name: Option<String>,
    /// The product's own row is; left out where it is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub damaged: bool,
    /// Its devices.
    #[serde(flatten)]
    pub devices: CountsView,
}

/// Devices of products that are not shown by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OtherProductsView {
    /// How many products.
    pub products: u64,
    /// Their devices.
    #[serde(flatten)]
    pub devices: CountsView,
}

/// How often something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusalCount {
    /// Why; null for reasons that have no name.
    pub reason: Option<Reason>,
    /// How often.
    pub count: u64,
}

/// Reports per minute.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportRate {
    /// In the last minute.
    pub last_minute: u64,
    /// On the average of the last hour, to a tenth.
    pub last_hour: f64,
}

/// Which count of the devices to show.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatusWanted {
    /// A new one where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<StatusCount>,
}

/// A count of the devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StatusCount {
    /// A new one, for which every device is read.
    Now,
    /// The last one, where a new one would take long; `countedAt` says when it was. While the first one goes
    /// on, the answer has none.
    Lately,
}

/// The fleet in numbers, who serves it, and the disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// When the server started; null where none runs.
    pub since: Option<UnixMillis>,
    /// When the devices were counted, where the last count was asked for and there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_at: Option<UnixMillis>,
    /// Left out where the store cannot count them now, and while they are counted for the first time.
    #[serde(flatten)]
    pub fleet: Option<FleetView>,
    /// Why it cannot.
    pub unreadable: Option<String>,
    /// Null where all is written.
    pub refused_by_store: Option<RefusedByStore>,
    /// The data directory.
    pub disk: Disk,
}

/// What a process knows of itself and its disk, beside the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Version of the program.
    pub version: String,
    /// When the server started; `None` where none runs.
    pub since: Option<UnixMillis>,
    /// What it refuses because the store cannot write.
    pub refused_by_store: Option<RefusedByStore>,
    /// The data directory.
    pub disk: Disk,
}

/// What is refused because the store cannot write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusedByStore {
    /// Requests that were answered 5.03 for it in the last minute.
    pub last_minute: u64,
    /// Since when.
    pub since: UnixMillis,
    /// What the store says.
    pub reason: String,
}

/// Bytes in the data directory, and how many its file system has left; null where it does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// The registry.
    pub registry_bytes: u64,
    /// Logs of devices and the history of their presence.
    pub logs_bytes: u64,
    /// What devices reported.
    pub messages_bytes: u64,
    /// Backups that were asked for over HTTP, where they are on the same disk.
    #[serde(default)]
    pub backups_bytes: u64,
    /// Everything else.
    pub other_bytes: u64,
    /// What this user may still write.
    pub free_bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_comes_back_as_it_was_written_with_a_fleet_and_without() {
        let disk = concat!(
            r#""disk":{"registryBytes":1,"logsBytes":3,"messagesBytes":2,"backupsBytes":4,"otherBytes":0,"#,
            r#""freeBytes":null}}"#,
        );
        let full = [
            r#"{"version":"0.1.0","since":7,"devices":{"total":2,"inactive":0,"online":2,"offline":0,"#,
            r#""disabled":0},"products":[{"productKey":"pk","name":null,"damaged":true,"total":2,"#,
            r#""inactive":0,"online":2,"offline":0,"disabled":0,"damagedDevices":1}],"otherProducts":null,"#,
            r#""refusalsLastHour":[{"reason":null,"count":1}],"#,
            r#""reportsPerMinute":{"lastMinute":5,"lastHour":1.7},"unreadable":null,"#,
            r#""refusedByStore":null,"#,
            disk,
        ];
        let without = [
            r#"{"version":"0.1.0","since":null,"unreadable":"the disk is full","#,
            r#""refusedByStore":{"lastMinute":9,"since":1000,"reason":"the disk is full"},"#,
            disk,
        ];
        for json in [full.concat(), without.concat()] {
            let status: Status = serde_json::from_str(&json).expect("it can be read");
            assert_eq!(serde_json::to_string(&status).expect("it can be written"), json);
        }
    }
}
