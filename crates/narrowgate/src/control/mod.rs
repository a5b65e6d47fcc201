//! How the command line reaches the registry: through the control socket of a running server, or by opening the
//! store itself. Both execute the same [`Request`] by the same code and give the same answers and errors.
//!
//! On the socket (`control.sock` in the data directory, mode 0600, only its owner and root are served) a request is
//! one line of JSON and so is its [`Reply`]; `listen` gets a line per event. Limits: [`LINE_BYTES_MAX`],
//! [`CONNECTIONS_MAX`], [`SILENCE_MAX`].

mod access;
mod client;
pub(crate) mod execute;
mod names;
mod path;
mod patience;
pub(crate) mod server;
pub(crate) mod status;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

pub(crate) use access::{Access, open_store_waiting};
pub(crate) use client::Client;

use crate::{
    cli::{DeviceArgs, State},
    failure::Failure,
};

/// A request is at most so long; imports go in pieces of [`IMPORT_ROWS_MAX`] rows.
pub(crate) const LINE_BYTES_MAX: u64 = 4 << 20;

/// Rows of one import request: 500 rows of the longest keys, secrets and names stay below [`LINE_BYTES_MAX`].
pub(crate) const IMPORT_ROWS_MAX: usize = 500;

/// Connections at a time; further ones wait until one ends.
pub(crate) const CONNECTIONS_MAX: usize = 64;

/// A connection that sends no whole request, or takes no answer, for so long is closed.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A secret inside a request: wiped when dropped, never printed.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SecretText(Zeroizing<String>);

impl SecretText {
    pub(crate) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    #[cfg(test)]
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Hands the text over, without a copy that would stay behind.
    pub(crate) fn into_text(mut self) -> String {
        std::mem::take(&mut *self.0)
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(…)")
    }
}

/// Everything that the command line may ask.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(crate) enum Request {
    CreateProduct {
        name: String,
        product_key: Option<String>,
        product_secret: Option<SecretText>,
        dynamic_activation: bool,
        activation_ends: Option<i64>,
        quota: Option<u32>,
        model: Option<String>,
    },
    Products,
    Product {
        product_key: String,
    },
    UpdateProduct {
        product_key: String,
        name: Option<String>,
        enabled: Option<bool>,
        dynamic_activation: Option<bool>,
        activation_ends: Option<i64>,
        quota: Option<u32>,
        model: Option<String>,
        no_activation_ends: bool,
        default_quota: bool,
        no_model: bool,
    },
    /// One step; to be asked again until it is done.
    DeleteProduct {
        product_key: String,
        force: bool,
    },
    CreateDevice {
        product_key: String,
        device_key: Option<String>,
        device_secret: Option<SecretText>,
        name: Option<String>,
    },
    ImportDevices {
        product_key: String,
        rows: Vec<ImportRow>,
        dry_run: bool,
    },
    Devices {
        product_key: Option<String>,
        state: Option<State>,
        limit: u32,
        cursor: Option<String>,
    },
    Device {
        device: DeviceName,
    },
    /// As a list shows it, damaged or not.
    DeviceRow {
        device: DeviceName,
    },
    RenameDevice {
        device: DeviceName,
        name: String,
    },
    DeviceSecret {
        device: DeviceName,
    },
    SetDeviceEnabled {
        device: DeviceName,
        enabled: bool,
    },
    ResetDevice {
        device: DeviceName,
    },
    DeleteDevice {
        device: DeviceName,
    },
    PointsLatest {
        device: DeviceName,
        point: Option<String>,
        limit: u32,
        cursor: Option<String>,
    },
    PointsHistory {
        device: DeviceName,
        point: Option<String>,
        from: Option<i64>,
        to: Option<i64>,
        limit: u32,
        cursor: Option<String>,
    },
    DeviceLog {
        device: DeviceName,
        limit: u32,
        cursor: Option<String>,
    },
    Refusals {
        limit: u32,
        cursor: Option<String>,
    },
    Status,
    /// Events as they happen; only a server has them.
    Listen {
        product_key: Option<String>,
        device_key: Option<String>,
    },
}

impl Request {
    /// Whether it leaves everything as it is.
    fn reads_only(&self) -> bool {
        match self {
            Self::Products
            | Self::Product { .. }
            | Self::Devices { .. }
            | Self::Device { .. }
            | Self::DeviceRow { .. }
            | Self::DeviceSecret { .. }
            | Self::PointsLatest { .. }
            | Self::PointsHistory { .. }
            | Self::DeviceLog { .. }
            | Self::Refusals { .. }
            | Self::Status
            | Self::Listen { .. } => true,
            Self::ImportDevices { dry_run, .. } => *dry_run,
            Self::CreateProduct { .. }
            | Self::UpdateProduct { .. }
            | Self::DeleteProduct { .. }
            | Self::CreateDevice { .. }
            | Self::RenameDevice { .. }
            | Self::SetDeviceEnabled { .. }
            | Self::ResetDevice { .. }
            | Self::DeleteDevice { .. } => false,
        }
    }
}

/// A device as somebody named it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DeviceName {
    /// Key of the product; `None`: `device` is `PK/DK` or a key that is unique.
    pub(crate) product: Option<String>,
    pub(crate) device: String,
}

impl DeviceName {
    /// One name or two, as somebody gave them.
    fn parts(&self) -> (&str, Option<&str>) {
        match &self.product {
            Some(product) => (product, Some(&self.device)),
            None => (&self.device, None),
        }
    }
}

impl From<&DeviceArgs> for DeviceName {
    fn from(arguments: &DeviceArgs) -> Self {
        match &arguments.second {
            Some(device) => Self { product: Some(arguments.first.clone()), device: device.clone() },
            None => Self { product: None, device: arguments.first.clone() },
        }
    }
}

/// A device to be imported, and the line that it stands on.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ImportRow {
    pub(crate) line: u64,
    pub(crate) device_key: String,
    pub(crate) device_secret: Option<SecretText>,
    /// Whether the secret is not of the file, but was generated for it.
    #[serde(default)]
    pub(crate) is_generated: bool,
    pub(crate) name: Option<String>,
}

/// What comes back.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Reply {
    /// It was done; the JSON document to show.
    Done(Box<RawValue>),
    /// It was not done.
    Failed(Failure),
    /// `listen`: something happened.
    Event(Box<RawValue>),
    /// `listen`: so many events were missed.
    Missed(u64),
    /// `listen`: the server is stopping.
    Ended,
}
