//! Attributes and tags in memory.

use super::model::{DeviceRow, Model, missing};
use crate::{
    ids::{DeviceId, UnixMillis},
    model::{
        log::LogEntry,
        property::{Properties, PropertyEdit, PropertyKind, PropertyWrite},
    },
    ports::{NotEdited, StoreError, Written},
    rules::happened::of_edit,
};

impl Model {
    /// See [`crate::ports::Registry::properties`].
    pub fn properties(&self, device: DeviceId, kind: PropertyKind) -> Properties {
        self.row(device).map_or_else(Properties::default, |row| of(row, kind))
    }

    /// A device changes its own.
    pub(super) fn write_properties(&mut self, write: PropertyWrite) -> Written {
        let PropertyWrite { device, login, secret_version, at, edit } = write;
        let Some(row) = self.enabled_row_mut(device) else { return Written::DeviceUnavailable };
        if let Err(refused) = row.life.standing().permit_report(login, secret_version) {
            return refused;
        }
        let before = of(row, edit.kind);
        match before.clone().after(&edit) {
            Ok(after) => {
                row.properties.insert(edit.kind, after);
                self.tell(device, of_edit(at, &edit, &before));
                Written::Done
            }
            Err(bytes) => Written::TooMuch(u32::try_from(bytes).unwrap_or(u32::MAX)),
        }
    }

    /// An operator changes a device's.
    pub(super) fn edit_properties(
        &mut self,
        device: DeviceId,
        at: UnixMillis,
        edit: &PropertyEdit,
        only_from: Option<Properties>,
    ) -> Result<Result<Properties, NotEdited>, StoreError> {
        let row = self.row_mut(device).ok_or_else(|| missing(device))?;
        let before = of(row, edit.kind);
        if only_from.is_some_and(|expected| expected != before) {
            return Ok(Err(NotEdited::NotAsExpected));
        }
        Ok(match before.clone().after(edit) {
            Ok(after) => {
                row.properties.insert(edit.kind, after.clone());
                row.note(LogEntry::properties_changed(device, at, edit));
                self.tell(device, of_edit(at, edit, &before));
                Ok(after)
            }
            Err(bytes) => Err(NotEdited::TooMuch(bytes)),
        })
    }
}

fn of(row: &DeviceRow, kind: PropertyKind) -> Properties {
    row.properties.get(&kind).cloned().unwrap_or_default()
}
