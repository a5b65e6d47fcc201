//! Attributes and tags of a device.

use narrowgate_api::{device::NamedDevice, problem::Problem, properties::PropertiesView};

use super::Operator;
use crate::{
    model::{device::Device, property::PropertyKind},
    service::{error::ServiceError, properties::PropertiesEdit, view},
};

impl Operator {
    /// All attributes, or all tags, of a device; where an attribute is not set, the default of its thing
    /// model.
    ///
    /// # Errors
    /// There is no such device.
    pub async fn show_properties(
        &self,
        name: &NamedDevice,
        kind: PropertyKind,
    ) -> Result<PropertiesView, Problem> {
        let title = match kind {
            PropertyKind::Attribute => "cannot show the device's attributes",
            PropertyKind::Tag => "cannot show the device's tags",
        };
        let act = async |device: Device| self.registrar.properties(&device, kind).await;
        self.with_device(title, name, act).await
    }

    /// Changes attributes or tags of a device, and returns all of them.
    ///
    /// # Errors
    /// There is no such device; an attribute is not what the thing model says; the key or the value of a tag
    /// is not acceptable; the device has not what the change is of.
    pub async fn edit_properties(
        &self,
        name: &NamedDevice,
        edit: PropertiesEdit,
    ) -> Result<PropertiesView, Problem> {
        let title = match edit.kind {
            PropertyKind::Attribute => "cannot change the device's attributes",
            PropertyKind::Tag => "cannot change the device's tags",
        };
        let act = async |device: Device| {
            let (all, edit) = self.registrar.edit_properties(&device, edit).await?;
            self.sessions.properties_edited(device.id, view::name_of(&device), edit);
            Ok::<_, ServiceError>(all)
        };
        self.with_device(title, name, act).await
    }
}
