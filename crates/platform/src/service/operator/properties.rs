//! Attributes and tags of a device.

use narrowgate_api::{
    device::NamedDevice,
    problem::Problem,
    properties::{PropertiesPatch, PropertiesView},
};

use super::Operator;
use crate::{
    model::{device::Device, property::PropertyKind},
    service::properties::Others,
};

impl Operator {
    /// All attributes of a device; where one is not set, the default of its thing model.
    ///
    /// # Errors
    /// There is no such device.
    pub async fn show_attributes(&self, name: &NamedDevice) -> Result<PropertiesView, Problem> {
        let act = async |device: Device| self.registrar.properties(&device, PropertyKind::Attribute).await;
        self.with_device("cannot show the device's attributes", name, act).await
    }

    /// Changes attributes of a device, and returns all of them.
    ///
    /// # Errors
    /// There is no such device; an attribute is not what the thing model says.
    pub async fn edit_attributes(
        &self,
        name: &NamedDevice,
        patch: PropertiesPatch,
    ) -> Result<PropertiesView, Problem> {
        let act = async |device: Device| {
            self.registrar.edit_properties(&device, PropertyKind::Attribute, patch, Others::Stay).await
        };
        self.with_device("cannot change the device's attributes", name, act).await
    }

    /// All tags of a device.
    ///
    /// # Errors
    /// There is no such device.
    pub async fn show_tags(&self, name: &NamedDevice) -> Result<PropertiesView, Problem> {
        let act = async |device: Device| self.registrar.properties(&device, PropertyKind::Tag).await;
        self.with_device("cannot show the device's tags", name, act).await
    }

    /// Changes tags of a device, and returns all of them.
    ///
    /// # Errors
    /// There is no such device; a key or a value is not acceptable.
    pub async fn edit_tags(
        &self,
        name: &NamedDevice,
        patch: PropertiesPatch,
    ) -> Result<PropertiesView, Problem> {
        self.change_tags(name, patch, Others::Stay).await
    }

    /// Puts these tags in the place of all that a device has.
    ///
    /// # Errors
    /// There is no such device; a key or a value is not acceptable.
    pub async fn replace_tags(
        &self,
        name: &NamedDevice,
        tags: PropertiesView,
    ) -> Result<PropertiesView, Problem> {
        let patch = tags.0.into_iter().map(|(key, value)| (key, Some(value))).collect();
        self.change_tags(name, PropertiesPatch(patch), Others::Go).await
    }

    async fn change_tags(
        &self,
        name: &NamedDevice,
        patch: PropertiesPatch,
        others: Others,
    ) -> Result<PropertiesView, Problem> {
        let act = async |device: Device| {
            self.registrar.edit_properties(&device, PropertyKind::Tag, patch, others).await
        };
        self.with_device("cannot change the device's tags", name, act).await
    }
}
