//! Attributes and tags of devices.

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::property::{Properties, PropertyEdit, PropertyWrite},
    ports::{StoreError, Written},
};

use super::{
    super::{
        rows,
        schema::{
            Stored, insert_or,
            registry::{PROPERTIES, PropertiesRow},
            sql,
        },
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
        Ok(match self.properties_after(*device, *at, edit)? {
            Ok(_) => Written::Done,
            Err(bytes) => Written::TooMuch(u32::try_from(bytes).unwrap_or(u32::MAX)),
        })
    }

    /// An operator changes a device's.
    pub(in crate::sqlite) fn edit_properties(
        &mut self,
        device: DeviceId,
        at: UnixMillis,
        edit: &PropertyEdit,
    ) -> Change<Properties> {
        if self.standing(device)?.is_none() {
            return Ok(Err(missing(device)));
        }
        let after = self.properties_after(device, at, edit)?;
        Ok(after.map_err(|bytes| StoreError::Conflict(edit.kind.too_much(bytes))))
    }

    /// Makes a change, unless the device would have more than is kept: so many bytes. A damaged row stays so
    /// until something replaces all of it.
    fn properties_after(
        &self,
        device: DeviceId,
        at: UnixMillis,
        edit: &PropertyEdit,
    ) -> rusqlite::Result<Result<Properties, usize>> {
        let before = match edit.replaces {
            true => Properties::default(),
            false => rows::properties(&self.connection, device, edit.kind)?,
        };
        let after = match before.after(edit) {
            Ok(after) => after,
            Err(bytes) => return Ok(Err(bytes)),
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
        Ok(Ok(after))
    }
}
