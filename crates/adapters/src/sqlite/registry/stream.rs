//! What followers of live events are told, and what is known to be lost of it.

use narrowgate_platform::{
    ids::{DeviceId, Position, UnixMillis},
    model::{
        command::Command,
        happened::{Happening, StreamPlace},
    },
    rules::happened::of_command,
};
use rusqlite::{Connection, OptionalExtension, types::Value};

use super::{
    super::stream::{self, Tells},
    Registry,
    meta::{get, set},
    unless_damaged,
};

/// The epoch that began last by a leap: after a restore, in a copy, or where the registry was made to fit.
const LEAPT: &str = "leapt";
/// Messages up to this place may have been deleted after their retention time.
const MESSAGES_LOST: &str = "messages_lost";

/// See [`LEAPT`].
pub(in crate::sqlite) fn leapt(registry: &Connection) -> rusqlite::Result<Option<u64>> {
    Ok(match unless_damaged(get(registry, LEAPT, "the last leap of the epoch"))? {
        Some(Value::Integer(epoch)) => Some(epoch.cast_unsigned()),
        _ => None,
    })
}

/// An epoch begins by a leap.
pub(super) fn set_leapt(registry: &Connection, epoch: u64) -> rusqlite::Result<()> {
    set(registry, LEAPT, Value::Integer(epoch.cast_signed()))
}

/// See [`MESSAGES_LOST`].
pub(in crate::sqlite) fn messages_lost(registry: &Connection) -> rusqlite::Result<Option<Position>> {
    let place = |text: String| {
        let (epoch, sequence) = text.split_once('-')?;
        Some(Position { epoch: epoch.parse().ok()?, sequence: sequence.parse().ok()? })
    };
    Ok(match unless_damaged(get(registry, MESSAGES_LOST, "which messages are deleted"))? {
        Some(Value::Text(text)) => place(text),
        _ => None,
    })
}

impl Registry {
    /// Messages up to this place are deleted.
    pub(in crate::sqlite) fn raise_messages_lost(&self, upto: Position) -> rusqlite::Result<()> {
        if messages_lost(&self.connection)? >= Some(upto) {
            return Ok(());
        }
        set(&self.connection, MESSAGES_LOST, Value::Text(upto.to_string()))
    }

    /// Tells in the file of logs what one write has caused to a device, and the unit that this is of, or to
    /// nobody.
    pub(super) fn tell_in_log(
        &mut self,
        device: Option<DeviceId>,
        ou: &str,
        happenings: &[Happening],
    ) -> rusqlite::Result<()> {
        let Some(told) = stream::told(happenings)? else { return Ok(()) };
        let place = self.next_told(happenings.len());
        self.log.tell(Tells { place, device, ou, told })
    }

    /// Tells of a device in the registry, whose transaction is open.
    pub(super) fn tell(&self, device: DeviceId, happening: &Happening) -> rusqlite::Result<()> {
        let Some(told) = stream::told(std::slice::from_ref(happening))? else { return Ok(()) };
        let (place, ou) = (self.next_told(1), self.unit_told(device)?);
        let tells = Tells { place, device: Some(device), ou: &ou, told };
        stream::add(&self.connection, tells, self.happenings_bytes)
    }

    /// The unit that what is told of a device counts for: its own; of one that is gone nobody's.
    pub(super) fn unit_told(&self, device: DeviceId) -> rusqlite::Result<String> {
        let mut select = self.connection.prepare_cached("SELECT ou FROM devices WHERE id = ?1")?;
        // So is one whose row is no text: it is not told to a unit either.
        let ou = select.query_row([device.0], |row| Ok(row.get(0).unwrap_or_default())).optional()?;
        Ok(ou.unwrap_or_default())
    }

    /// Tells of a command that was sent or has changed.
    pub(super) fn tell_command(
        &self,
        device: DeviceId,
        at: UnixMillis,
        command: &Command,
    ) -> rusqlite::Result<()> {
        self.tell(device, &of_command(at, command))
    }

    /// The place of the last one of so many that are told next.
    fn next_told(&self, count: usize) -> StreamPlace {
        let next = self.part.get().saturating_add(u16::try_from(count).unwrap_or(u16::MAX));
        self.part.set(next);
        StreamPlace { position: self.place, part: next.saturating_sub(1) }
    }

    /// Nothing is told of a device any more, which is purged.
    pub(in crate::sqlite) fn forget_happened_of(&mut self, device: DeviceId) -> rusqlite::Result<()> {
        stream::forget_device(&self.connection, device)?;
        self.log.forget_happened_of(device)
    }

    /// Deletes some of what happened before a time. Where there is nothing, nothing is written.
    pub(in crate::sqlite) fn forget_happened_before(&mut self, before: UnixMillis) -> rusqlite::Result<()> {
        let batch = self.batch()?;
        self.log.forget_happened_before(before, batch)?;
        if !stream::has_before(&self.connection, before)? {
            return Ok(());
        }
        self.begin()?;
        stream::forget_before(&self.connection, before)?;
        let number = self.number()?;
        self.commit()?;
        self.numbered(number);
        Ok(())
    }
}
