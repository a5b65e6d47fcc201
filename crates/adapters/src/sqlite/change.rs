//! Changes by operators, each made by a method of the registry.

use narrowgate_platform::{
    model::log::{LogEntry, LogEvent},
    ports::{self, Changed, Purged, Written},
};

use super::{
    registry::{Change, Registry, missing},
    reply::Reply,
    writer::{ChangeBy, Job, Purging},
};

/// The job that makes a change. Many rows, or rows that need the latest values, are committed alone.
pub(super) fn job(change: ports::Change, reply: Reply<Changed>) -> Job {
    use ports::Change;
    let wrap = match &change {
        &Change::PurgeDevice { device, at } => return Job::Purge(Purging { device, at, reply }),
        Change::DeleteDevicesOf { .. } | Change::DeleteDevice { .. } | Change::Firmware(_) => Job::LoneChange,
        Change::ResetDevice { .. } => Job::SettledChange,
        _ => Job::Change,
    };
    let job = move |registry: &mut Registry| make(registry, &change);
    wrap(Box::new(ChangeBy { job, result: None, left_out: None, reply }))
}

/// Makes a change inside the writer's transaction.
fn make(registry: &mut Registry, change: &ports::Change) -> Change<Changed> {
    use ports::Change;
    let device = |device| Changed::Device(Box::new(device));
    let switched = |switched| Changed::Switched(Box::new(switched));
    Ok(match change {
        Change::CreateProduct(product) => registry.create_product(product)?.map(|()| Changed::Done),
        Change::UpdateProduct(product) => registry.update_product(product)?.map(|()| Changed::Done),
        &Change::PutModel { ref product_key, ref put, ref with, at } => {
            registry.put_model(product_key, put, with.as_deref(), at)?.map(Changed::Model)
        }
        &Change::PutScript { ref product_key, ref put, at } => {
            registry.put_script(product_key, put, at)?.map(Changed::Script)
        }
        &Change::RotateProductSecret { ref product_key, ref secret, at } => {
            registry.rotate_product_secret(product_key, secret, at)?.map(|()| Changed::Done)
        }
        Change::DeleteProduct { product_key } => {
            registry.delete_product(product_key)?.map(|()| Changed::Done)
        }
        &Change::DeleteDevicesOf { ref product_key, limit, at } => {
            registry.delete_devices_of(product_key, limit, at)?.map(Changed::Deleted)
        }
        Change::CreateDevices { devices, at } => {
            let created = devices.iter().map(|device| registry.create_device(device, *at));
            Ok(Changed::Created(created.collect::<rusqlite::Result<_>>()?))
        }
        &Change::RenameDevice { device: id, ref name, at } => registry.rename(id, name, at)?.map(device),
        &Change::SetDeviceEnabled { device: id, enabled, at } => {
            registry.set_enabled(id, enabled, at)?.map(switched)
        }
        &Change::ResetDevice { device: id, ref secret, at } => registry.reset(id, secret, at)?.map(switched),
        &Change::RotateDeviceSecret { device: id, ref secret, at } => {
            registry.rotate_device_secret(id, secret, at)?.map(device)
        }
        &Change::DeleteDevice { device, at } => registry.delete(device, at)?.map(|_| Changed::Done),
        // The writer makes it in steps, of which this is the last: nothing is left of what it sent.
        &Change::PurgeDevice { device, at } => {
            registry.delete(device, at)?.map(|_| Changed::Purged(Purged { messages: 0, done: true }))
        }
        &Change::EditProperties { device, at, ref edit, ref only_from } => {
            registry.edit_properties(device, at, edit, only_from.as_ref())?.map(Changed::Properties)
        }
        &Change::SendCommand { device, ref order, only_id, expected, at } => {
            registry.send_command(device, (order, only_id), expected, at)?.map(Changed::Sent)
        }
        &Change::CancelCommands { device, id, at } => {
            registry.cancel_commands(device, id, at)?.map(Changed::Cancelled)
        }
        Change::Firmware(change) => registry.change_firmware(change)?,
        Change::Access(change) => registry.change_access(change)?,
        &Change::NoteSecretShown { device, at, ref detail } => {
            let entry =
                LogEntry { detail: detail.clone(), ..LogEntry::new(device, at, LogEvent::SecretShown) };
            match registry.log(&entry)? {
                Written::Done => Ok(Changed::Done),
                _ => Err(missing(device)),
            }
        }
    })
}
