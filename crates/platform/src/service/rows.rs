//! Rows of lists as operators see them: intact ones, and damaged ones with nothing but the names by which
//! they can be deleted. Lists of their own kind are pages.

use std::fmt;

use serde::Serialize;

use crate::{
    ids::UnixMillis,
    model::{
        damaged::{DamagedDevice, DamagedProduct},
        device::Device,
        product::Product,
    },
    paging::DamagedRows,
    service::view::{DeviceView, ProductView},
};

/// A damaged row has this and its row id as a name, for when its keys cannot be typed.
pub const ROW_ID: &str = "id:";

/// A device in a list.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum DeviceRow {
    /// As it is.
    Intact(Box<DeviceView>),
    /// Its row is damaged.
    Damaged(DamagedDeviceView),
}

/// A damaged device: its names as they are read, and nothing else. `Option<()>` is always null.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DamagedDeviceView {
    asset_id: String,
    product_key: Option<String>,
    device_key: String,
    name: Option<()>,
    state: Option<()>,
    enabled: Option<()>,
    created_time: Option<()>,
    active_time: Option<()>,
    last_online_time: Option<()>,
    last_offline_time: Option<()>,
    last_seen_time: Option<()>,
    lifetime: Option<()>,
    /// Always true.
    damaged: bool,
    /// A name by which it can be deleted.
    id: String,
    /// Which row it is, for people.
    detail: String,
}

impl From<&Result<Device, DamagedDevice>> for DeviceRow {
    fn from(row: &Result<Device, DamagedDevice>) -> Self {
        match row {
            Ok(device) => Self::Intact(Box::new(DeviceView::from(device))),
            Err(damaged) => Self::Damaged(DamagedDeviceView {
                asset_id: damaged.asset_id.clone(),
                product_key: damaged.product_key.clone(),
                device_key: damaged.device_key.clone(),
                name: None,
                state: None,
                enabled: None,
                created_time: None,
                active_time: None,
                last_online_time: None,
                last_offline_time: None,
                last_seen_time: None,
                lifetime: None,
                damaged: true,
                id: format!("{ROW_ID}{}", damaged.id.0),
                detail: damaged.what.clone(),
            }),
        }
    }
}

impl DeviceRow {
    /// What is wrong with it, if anything.
    pub fn damage(&self) -> Option<&str> {
        match self {
            Self::Intact(_) => None,
            Self::Damaged(damaged) => Some(&damaged.detail),
        }
    }
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

/// A product in a list.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ProductRow {
    /// As it is.
    Intact(Box<ProductView>),
    /// Its row is damaged.
    Damaged(DamagedProductView),
}

/// A damaged product: its key as it is read, and nothing else. `Option<()>` is always null.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DamagedProductView {
    product_key: String,
    name: Option<()>,
    enabled: Option<()>,
    dynamic_activation_enabled: Option<()>,
    dynamic_activation_ends_at: Option<()>,
    dynamic_activation_quota_per_hour: Option<()>,
    model_id: Option<()>,
    created_time: Option<()>,
    /// Always true.
    damaged: bool,
    /// A name by which it can be deleted.
    id: String,
    /// Which row it is, for people.
    detail: String,
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

impl From<&Result<Product, DamagedProduct>> for ProductRow {
    fn from(row: &Result<Product, DamagedProduct>) -> Self {
        match row {
            Ok(product) => Self::Intact(Box::new(ProductView::summary(product))),
            Err(damaged) => Self::Damaged(DamagedProductView {
                product_key: damaged.product_key.clone(),
                name: None,
                enabled: None,
                dynamic_activation_enabled: None,
                dynamic_activation_ends_at: None,
                dynamic_activation_quota_per_hour: None,
                model_id: None,
                created_time: None,
                damaged: true,
                id: format!("{ROW_ID}{}", damaged.row),
                detail: damaged.what.clone(),
            }),
        }
    }
}

/// A page of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListPage<T> {
    /// What it holds.
    pub items: Vec<T>,
    /// Where the next page begins; null on the last one.
    pub next_cursor: Option<String>,
    /// Rows that are damaged and left out; the field is left out where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damaged: Option<LeftOut>,
}

/// Damaged rows that were left out of a page.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// How many.
    pub count: u64,
    /// Which the first one is, for people.
    pub first: String,
}

impl LeftOut {
    /// `None` where nothing was left out.
    pub fn of(rows: DamagedRows) -> Option<Self> {
        let DamagedRows { count, first } = rows;
        first.map(|first| Self { count, first })
    }
}

/// A product that was deleted, or is being deleted, a number of devices at a time.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductDeleted {
    /// Key of the product.
    pub product_key: String,
    /// Devices that went in this step.
    pub devices: u64,
    /// Whether nothing of it is left.
    pub done: bool,
    /// Whether it is there still, and disabled.
    pub disabled: bool,
    /// When the step was done.
    pub time: UnixMillis,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::DeviceId;

    #[test]
    fn a_damaged_device_shows_its_names_and_no_value() {
        let row = Err(DamagedDevice {
            id: DeviceId(42),
            product_key: None,
            device_key: "dk".into(),
            asset_id: "asset001".into(),
            what: "the row of device 42 is not as it was stored".into(),
        });
        let row = DeviceRow::from(&row);
        assert_eq!(
            serde_json::to_string(&row).expect("it can be written"),
            r#"{"assetId":"asset001","productKey":null,"deviceKey":"dk","name":null,"state":null,"enabled":null,"createdTime":null,"activeTime":null,"lastOnlineTime":null,"lastOfflineTime":null,"lastSeenTime":null,"lifetime":null,"damaged":true,"id":"id:42","detail":"the row of device 42 is not as it was stored"}"#
        );
        assert_eq!(row.to_string(), "id:42 (damaged)");
    }
}
