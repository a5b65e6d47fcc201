//! Commands to devices.

use narrowgate_api::{
    command::{CommandCreated, CommandView, CommandsCancelled, NewCommand},
    device::NamedDevice,
    page::Page,
    problem::Problem,
    query::Paging,
};

use super::{Operator, over::WhenOver};
use crate::{ids::DeviceId, model::device::Device, service::delivery::Reach};

impl Operator {
    /// Sends a command to a device.
    ///
    /// # Errors
    /// There is none; the thing model has no such point or service, or another type; the device has never
    /// logged in, is not online, or has too many commands.
    pub async fn send_command(&self, name: &NamedDevice, new: NewCommand) -> Result<CommandCreated, Problem> {
        let act = async |device: Device| {
            let reach = match self.sessions.is_serving() {
                false => Reach::Nobody,
                true if self.sessions.observes_commands(device.id).await => Reach::AtOnce,
                true => Reach::NextMessage,
            };
            let read = self.read_commands(device.id);
            let sent = self.registrar.send_command(&device, new, reach).await;
            drop(read);
            if sent.is_ok() {
                // What the device says from here on is answered with the option that tells of it.
                self.sessions.commands_known(device.id).await;
            }
            sent
        };
        self.with_device("cannot send the command", name, act).await
    }

    /// One command of a device.
    ///
    /// # Errors
    /// There is none.
    pub async fn show_command(&self, name: &NamedDevice, id: &str) -> Result<CommandView, Problem> {
        let is_serving = self.sessions.is_serving();
        let act = async |device: Device| self.registrar.command(&device, id, is_serving).await;
        self.with_device("cannot show the command", name, act).await
    }

    /// The commands of a device that are kept, newest first.
    ///
    /// # Errors
    /// There is no such device; a limit or a cursor is none.
    pub async fn list_commands(
        &self,
        name: &NamedDevice,
        paging: &Paging,
    ) -> Result<Page<CommandView>, Problem> {
        let is_serving = self.sessions.is_serving();
        let act = async |device: Device| self.registrar.commands(&device, paging, is_serving).await;
        self.with_device("cannot list the commands", name, act).await
    }

    /// Takes back a command that has not ended.
    ///
    /// # Errors
    /// There is none, or it has ended.
    pub async fn cancel_command(&self, name: &NamedDevice, id: &str) -> Result<CommandView, Problem> {
        let act = async |device: Device| {
            let _read = self.read_commands(device.id);
            self.registrar.cancel_command(&device, id).await
        };
        self.with_device("cannot cancel the command", name, act).await
    }

    /// Takes back all commands of a device that have not ended.
    ///
    /// # Errors
    /// There is no such device.
    pub async fn cancel_commands(&self, name: &NamedDevice) -> Result<CommandsCancelled, Problem> {
        let act = async |device: Device| {
            let _read = self.read_commands(device.id);
            self.registrar.cancel_commands(&device).await
        };
        self.with_device("cannot cancel the commands", name, act).await
    }

    /// The gateway reads them again when the verb is over, also where it failed: a change that the store says
    /// has failed may be stored all the same, and then it is offered.
    fn read_commands(&self, device: DeviceId) -> WhenOver<impl FnMut()> {
        WhenOver::new(move || self.sessions.commands_changed(device))
    }
}
