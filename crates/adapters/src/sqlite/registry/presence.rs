//! The history of a device's presence.

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::device::DeviceState,
};

use super::{
    super::schema::{Stored, registry::PresenceRow},
    Registry, is_time_to_trim,
};

impl Registry {
    pub(super) fn note_presence(
        &self,
        device: DeviceId,
        at: UnixMillis,
        state: DeviceState,
        cause: &str,
    ) -> rusqlite::Result<()> {
        let last = "SELECT n FROM presence WHERE device = ?1 ORDER BY n DESC LIMIT 1";
        let n = self.next_number(last, device.0)?;
        PresenceRow { device, n, at, state, cause: cause.to_owned() }.insert(&self.connection)?;
        let max = self.limits.presence;
        if is_time_to_trim(n, max) {
            let delete = "DELETE FROM presence WHERE device = ?1 AND n <= ?2";
            self.take_away("presence", delete, [device.0, n - max])?;
        }
        Ok(())
    }
}
