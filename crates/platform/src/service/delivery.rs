//! When a device will probably fetch a command: read from what the store has of it, when one is sent. Nothing
//! is kept for it beside that.

use super::registrar::Registrar;
use crate::{
    ids::UnixMillis,
    model::{
        command::Expected,
        device::{Device, DeviceState},
    },
    paging::Part,
    ports::{HistoryReads as _, PRESENCE_CHANGES_MAX},
    rules::delivery::{CONTACTS_MAX, expect},
};

/// Commands whose times are looked at: the newest ones.
const COMMANDS_MAX: usize = 100;

impl Registrar {
    /// When the device will probably be heard after `now`; `None` also where the store cannot read what that
    /// is drawn from: a command is sent all the same.
    pub(super) async fn expect_contact(&self, device: &Device, now: UnixMillis) -> Option<Expected> {
        let arrivals = self.history.arrivals(device.id, CONTACTS_MAX).await.ok()?;
        let presence =
            self.history.presence_history(device.id, Part::first(PRESENCE_CHANGES_MAX)).await.ok()?;
        let commands = self.history.commands(device.id, Part::first(COMMANDS_MAX)).await.ok()?;
        // Where not all reports are looked at, what is older than these would seem to be rare contacts.
        let since = arrivals.last().filter(|_| arrivals.len() >= CONTACTS_MAX).copied();
        let online = presence.items.iter().filter(|change| change.state == DeviceState::Online);
        let fetched = commands.items.iter().flat_map(|command| [command.fetched, command.sent]);
        let others = online.map(|change| change.at).chain(fetched.flatten()).chain(device.last_seen_time);
        let mut contacts = arrivals.clone();
        contacts.extend(others.filter(|at| since.is_none_or(|since| *at >= since)));
        expect(contacts, now)
    }
}
