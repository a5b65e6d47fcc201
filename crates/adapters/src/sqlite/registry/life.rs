//! Logins and changes of presence: what the rules of a device's life say, written down.

use std::sync::LazyLock;

use narrowgate_platform::{
    ids::{DeviceId, LoginNumber, UnixMillis},
    model::{
        device::DeviceState,
        log::{LogEntry, LogEvent},
    },
    ports::Written,
    rules::{
        happened::{of_login, of_presence},
        life::Life,
    },
};

use super::{
    super::schema::{
        Update,
        registry::{DEVICES, DeviceRow},
    },
    Registry, unless_damaged,
};

/// What changes in a device's life, but its state.
const CHANGES: [&str; 6] =
    ["active_time", "last_online_time", "last_offline_time", "last_seen_time", "lifetime_s", "login_number"];

/// Puts a life in the same state. A statement that names the state writes a page of its index, whether it
/// changes or not.
static PUT: LazyLock<Update> = LazyLock::new(|| DEVICES.update(&CHANGES));

/// Puts a life in another state.
static PUT_STATE: LazyLock<Update> = LazyLock::new(|| {
    let columns: Vec<_> = std::iter::once("state").chain(CHANGES).collect();
    DEVICES.update(&columns)
});

impl Registry {
    pub(in crate::sqlite) fn login(
        &mut self,
        device: DeviceId,
        number: LoginNumber,
        at: UnixMillis,
        lifetime_s: u32,
        secret_version: u32,
        (peer, over): (&str, &str),
    ) -> rusqlite::Result<Written> {
        let Some((row, mut life)) = self.life(device)? else { return Ok(Written::DeviceUnavailable) };
        let step = match life.login(number, at, lifetime_s, secret_version) {
            Ok(step) => step,
            Err(refused) => return Ok(refused),
        };
        let row = self.put_life(row, &life)?;
        self.forget_standing(device);
        if step.came_online {
            self.note_presence(device, at, DeviceState::Online, "login")?;
        }
        let entry = |event| LogEntry { peer: Some(peer.to_owned()), ..LogEntry::new(device, at, event) };
        let activated = step.activated.then_some(LogEvent::Activated);
        self.note_all(device, activated.into_iter().chain([LogEvent::Login]).map(entry))?;
        let told: Vec<_> = of_login(at, peer, over, step.activated).collect();
        self.tell_in_log(Some(device), &row.ou, &told)?;
        if step.activated {
            self.wake_upgrades(device, at)?;
        }
        Ok(if step.activated { Written::Activated } else { Written::Done })
    }

    pub(in crate::sqlite) fn presence(
        &mut self,
        device: DeviceId,
        login: Option<LoginNumber>,
        state: DeviceState,
        at: UnixMillis,
        cause: &str,
    ) -> rusqlite::Result<Written> {
        let Some((row, mut life)) = self.life(device)? else { return Ok(Written::DeviceUnavailable) };
        match life.presence(login, state, at) {
            Ok(false) => return Ok(Written::Unchanged),
            Ok(true) => {}
            Err(refused) => return Ok(refused),
        }
        let row = self.put_life(row, &life)?;
        self.note_presence(device, at, state, cause)?;
        let event = if state == DeviceState::Online { LogEvent::Online } else { LogEvent::Offline };
        self.note(LogEntry { detail: Some(cause.to_owned()), ..LogEntry::new(device, at, event) })?;
        self.tell_in_log(Some(device), &row.ou, of_presence(state, at, cause).as_slice())?;
        Ok(Written::Done)
    }

    /// The row has a time last seen of a clock that was wrong, and the device was heard again since.
    pub(super) fn correct_last_seen(&mut self, device: DeviceId, seen: UnixMillis) -> rusqlite::Result<()> {
        if let Some((row, life)) = self.life(device)? {
            self.put_life(row, &Life { last_seen_time: Some(seen), ..life })?;
        }
        Ok(())
    }

    /// A device's row, and what changes in its life.
    fn life(&mut self, device: DeviceId) -> rusqlite::Result<Option<(DeviceRow, Life)>> {
        let found = unless_damaged(self.device_of_any_product(device))?;
        Ok(found.map(|(device, product_enabled)| {
            let life = life_of(&device, product_enabled);
            (device, life)
        }))
    }

    pub(super) fn put_life(&self, row: DeviceRow, life: &Life) -> rusqlite::Result<DeviceRow> {
        let put = if row.state == life.state { &PUT } else { &PUT_STATE };
        let row = DeviceRow {
            state: life.state,
            active_time: life.active_time,
            last_online_time: life.last_online_time,
            last_offline_time: life.last_offline_time,
            last_seen_time: life.last_seen_time,
            lifetime_s: life.lifetime_s,
            login_number: life.login_number,
            ..row
        };
        put.run(&self.connection, &row)?;
        Ok(row)
    }
}

/// What changes in a device's life, with both switches in one.
pub(super) fn life_of(device: &DeviceRow, product_enabled: bool) -> Life {
    Life {
        enabled: device.enabled && product_enabled,
        state: device.state,
        secret_version: device.secret_version,
        active_time: device.active_time,
        last_online_time: device.last_online_time,
        last_offline_time: device.last_offline_time,
        last_seen_time: device.last_seen_time,
        lifetime_s: device.lifetime_s,
        login_number: device.login_number,
    }
}
