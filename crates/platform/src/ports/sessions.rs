//! Sessions as the operator's service sees them.

use std::sync::Arc;

use narrowgate_api::device::SessionView;

use super::{PortFuture, UpgradeMoved};
use crate::{
    ids::{DeviceId, DeviceName, UnixMillis},
    model::property::PropertyEdit,
};

/// How the operator's service ends sessions and has a product read anew, so that no caller of the service has
/// to know what a change means for a connected device. No call waits, but [`Self::commands_known`],
/// [`Self::observes_commands`] and [`Self::session`].
pub trait LiveSessions: Send + Sync + 'static {
    /// Ends every session of a device that was disabled, reset, given another secret or deleted; it is then
    /// offline, with this cause.
    fn close_device(&self, device: DeviceId, cause: &'static str);
    /// The product's model or switches changed: they are read again, and where it is switched off or gone,
    /// the sessions of its devices end.
    fn product_changed(&self, product_key: &str);
    /// Commands of a device were sent or taken back: they are read again. Called once it is known what
    /// became of the change.
    fn commands_changed(&self, device: DeviceId);
    /// Attributes or tags of a device were changed: listeners hear of it.
    fn properties_edited(&self, device: DeviceId, name: DeviceName, edit: PropertyEdit) {
        let _ = (device, name, edit);
    }
    /// Time, or an operator, has moved the upgrade of a device to an image of firmware. To be said before
    /// [`Self::commands_changed`] of the same change. With the device's keys where it may be gone before they
    /// are looked up.
    fn upgrade_moved(&self, device: DeviceId, name: Option<DeviceName>, moved: UpgradeMoved) {
        let _ = (device, name, moved);
    }
    /// Waits, for a bounded time, until every answer to the device is given with what
    /// [`Self::commands_changed`] said before this call.
    fn commands_known(&self, device: DeviceId) -> PortFuture<'static, ()> {
        let _ = device;
        Box::pin(std::future::ready(()))
    }
    /// Whether the device observes its commands now, in a session over which it can be told of one. Waits for
    /// a bounded time; `false` where nobody said so by then.
    fn observes_commands(&self, device: DeviceId) -> PortFuture<'static, bool> {
        let _ = device;
        Box::pin(std::future::ready(false))
    }
    /// The session of the device by its own secret, where it has one. Waits for a bounded time; `None` where
    /// nobody said so by then.
    fn session(&self, device: DeviceId) -> PortFuture<'static, Option<SessionView>> {
        let _ = device;
        Box::pin(std::future::ready(None))
    }
    /// What the device sent of late that was not JSON, newest first. It is kept in memory, within limits, and
    /// only while devices are served.
    fn recent_raw(&self, device: DeviceId) -> Vec<RawBody> {
        let _ = device;
        Vec::new()
    }
    /// Sees a change to its end whose caller is gone, so that what it means is said all the same. What waits
    /// in it is the store's answer. Where nothing runs beside the callers, the change is left alone.
    fn finish(&self, change: PortFuture<'static, ()>) {
        drop(change);
    }
    /// Whether devices are served: else none is online, whatever the store says.
    fn is_serving(&self) -> bool;
    /// The product's secret was replaced: sessions that proved it (SecureMode 3) end.
    fn product_secret_replaced(&self, product_key: &str);
}

/// Bytes that a device sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawBody {
    /// When they arrived.
    pub arrival: UnixMillis,
    /// The bytes.
    pub bytes: Arc<[u8]>,
}

/// Where nobody is connected: a command that opened the store itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NobodyConnected;

impl LiveSessions for NobodyConnected {
    fn close_device(&self, _: DeviceId, _: &'static str) {}
    fn commands_changed(&self, _: DeviceId) {}
    fn is_serving(&self) -> bool {
        false
    }
    fn product_changed(&self, _: &str) {}
    fn product_secret_replaced(&self, _: &str) {}
}
