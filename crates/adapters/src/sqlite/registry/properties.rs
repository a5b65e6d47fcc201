//! Attributes and tags of devices.

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::{
        log::LogEntry,
        property::{Properties, PropertyEdit, PropertyWrite},
    },
    ports::{NotEdited, Written},
    rules::happened::of_edit,
};

use super::{
    super::{
        rows,
        schema::{
            Stored, insert_or,
            registry::{PROPERTIES, PropertiesRow},
            sql,
        },
        sum,
    },
    Change, Registry, missing,
};

impl Registry {
    /// A device changes its own.
    pub(in crate::sqlite) fn write_properties(&mut self, write: &PropertyWrite) -> rusqlite::Result<Written> {
        let PropertyWrite { device, login, secret_version, at, edit } = write;
        let permitted = match self.standing(*device)? {
            Some(standing) => standing.permit_report(*login, *secret_version),
            None => Err(Written::DeviceUnavailable),
        };
        if let Err(refused) = permitted {
            return Ok(refused);
        }
        Ok(match self.properties_after(*device, *at, edit, None)? {
            Ok(_) => Written::Done,
            Err(NotEdited::TooMuch(bytes)) => Written::TooMuch(u32::try_from(bytes).unwrap_or(u32::MAX)),
            // Nothing was expected.
            Err(NotEdited::NotAsExpected) => Written::Unchanged,
        })
    }

    /// An operator changes a device's.
    pub(in crate::sqlite) fn edit_properties(
        &mut self,
        device: DeviceId,
        at: UnixMillis,
        edit: &PropertyEdit,
        only_from: Option<&Properties>,
    ) -> Change<Result<Properties, NotEdited>> {
        if self.standing(device)?.is_none() {
            return Ok(Err(missing(device)));
        }
        let after = self.properties_after(device, at, edit, only_from)?;
        if after.is_ok() {
            self.note(LogEntry::properties_changed(device, at, edit))?;
        }
        Ok(Ok(after))
    }

    /// Makes a change, unless the device would have more than is kept, or has not what it must have. A
    /// damaged row stays so until something replaces all of it.
    fn properties_after(
        &self,
        device: DeviceId,
        at: UnixMillis,
        edit: &PropertyEdit,
        only_from: Option<&Properties>,
    ) -> rusqlite::Result<Result<Properties, NotEdited>> {
        let before = match rows::properties(&self.connection, device, edit.kind) {
            Err(error) if edit.replaces && only_from.is_none() && sum::is_damage(&error) => {
                Properties::default()
            }
            before => before?,
        };
        if only_from.is_some_and(|expected| *expected != before) {
            return Ok(Err(NotEdited::NotAsExpected));
        }
        let after = match before.clone().after(edit) {
            Ok(after) => after,
            Err(bytes) => return Ok(Err(NotEdited::TooMuch(bytes))),
        };
        let sql = sql!(
            "{}",
            insert_or(
                &PROPERTIES,
                "ON CONFLICT DO UPDATE SET changed = excluded.changed, json = excluded.json, \
                 sum = excluded.sum"
            )
        );
        let row = PropertiesRow { device, kind: edit.kind, changed: at, json: after.to_json() };
        row.insert_or(&self.connection, sql)?;
        self.tell(device, &of_edit(at, edit, &before))?;
        Ok(Ok(after))
    }
}
