//! Firmware.

use narrowgate_api::{
    device::NamedDevice,
    firmware::{
        ImagePieceQuery, ImageView, NewImage, NewRollout, RolloutOffered, RolloutRow, RolloutShown,
        RolloutView, UpgradeView, UploadView,
    },
    page::Page,
    problem::Problem,
    query::Paging,
};

use super::{Named, Operator};
use crate::{firmware::ImageId, ids::DeviceId, service::error::ServiceError};

impl Operator {
    /// How far the upload of an image is; begins it. Where the product has that version and these bytes, the
    /// answer is the image that it has.
    ///
    /// # Errors
    /// There is no such product; a version, size or sum is not acceptable; the product has other bytes of
    /// that version, or too many images; too many uploads have begun, or the disk has no room.
    pub async fn begin_image(&self, new: NewImage) -> Result<UploadView, Problem> {
        let named = Named::product(&new.product_key);
        let begun = self.registrar.begin_image(new).await;
        self.tell("cannot upload the firmware", named, begun).await
    }

    /// Takes a piece of an upload; the last one makes an image of it.
    ///
    /// # Errors
    /// As [`Self::begin_image`]; the piece leaves a gap; the bytes are not what the upload said.
    pub async fn take_image_piece(
        &self,
        piece: ImagePieceQuery,
        bytes: Vec<u8>,
    ) -> Result<UploadView, Problem> {
        let named = Named::product(&piece.product_key);
        let taken = self.registrar.take_image_piece(piece, bytes).await;
        self.tell("cannot upload the firmware", named, taken).await
    }

    /// All images, or those of a product, oldest first.
    ///
    /// # Errors
    /// There is no such product.
    pub async fn list_images(&self, product_key: Option<&str>) -> Result<Page<ImageView>, Problem> {
        let named = product_key.and_then(Named::product);
        self.tell("cannot list the firmware", named, self.registrar.images(product_key).await).await
    }

    /// One image.
    ///
    /// # Errors
    /// There is none.
    pub async fn show_image(&self, id: &str) -> Result<ImageView, Problem> {
        self.tell("cannot show the firmware", None, self.registrar.image(id).await).await
    }

    /// Removes an image with its rollout; returns it as it was.
    ///
    /// # Errors
    /// There is none; devices are to get it still, or are at work with it.
    pub async fn delete_image(&self, id: &str) -> Result<ImageView, Problem> {
        self.tell("cannot delete the firmware", None, self.registrar.delete_image(id).await).await
    }

    /// Offers an image to a device, or to a share of its product's devices: a part of it, to be asked for
    /// again with the cursor of the answer until there is none.
    ///
    /// # Errors
    /// There is no such image or device; it is of another product; the share is less than it was, or none;
    /// the product has no devices, or a script that makes no bytes of the offer.
    pub async fn offer_image(&self, new: NewRollout) -> Result<RolloutOffered, Problem> {
        let NewRollout { image_id, device, share, cursor } = new;
        let name = match device {
            Some(device) => Some(self.device_for(&image_id, device).await?),
            None => None,
        };
        let offered = match (&name, share) {
            (Some(name), None) => match self.resolved(name).await {
                Ok(device) => self.registrar.offer_to_device(&image_id, &device).await,
                Err(error) => Err(error),
            },
            (None, Some(share)) => self.registrar.offer_to_share(&image_id, share, cursor.as_deref()).await,
            _ => Err(ServiceError::Invalid {
                field: "share",
                message: "or device must be given, and not both".to_owned(),
            }),
        };
        let offered = offered.map(|(offered, queues)| {
            self.queues_changed(&queues);
            offered
        });
        if offered.is_ok() {
            // The first devices are told at once; where that fails, time does it.
            let _ = self.step_upgrades().await;
        }
        self.tell("cannot offer the firmware", name.as_ref().and_then(Named::device), offered).await
    }

    /// A device by its key alone is one of the image's product.
    async fn device_for(&self, image_id: &str, device: String) -> Result<NamedDevice, Problem> {
        if device.contains('/') {
            return Ok(NamedDevice::by_name(&device));
        }
        let image =
            self.tell("cannot offer the firmware", None, self.registrar.image(image_id).await).await?;
        Ok(NamedDevice::by_keys(&image.product_key, &device))
    }

    /// All rollouts, or those of a product, in the order of their images.
    ///
    /// # Errors
    /// There is no such product.
    pub async fn list_rollouts(&self, product_key: Option<&str>) -> Result<Page<RolloutRow>, Problem> {
        let named = product_key.and_then(Named::product);
        let images = self.registrar.images(product_key).await;
        let Page { items, next_cursor, damaged } =
            self.tell("cannot list the rollouts", named, images).await?;
        let row = |image: ImageView| {
            let RolloutShown { share, paused_by, since } = image.rollout?;
            let ImageView { image_id, product_key, version, .. } = image;
            let paused = paused_by.is_some();
            Some(RolloutRow { image_id, product_key, version, share, paused, paused_by, since })
        };
        Ok(Page { items: items.into_iter().filter_map(row).collect(), next_cursor, damaged })
    }

    /// A rollout in numbers.
    ///
    /// # Errors
    /// There is no such image.
    pub async fn show_rollout(&self, id: &str) -> Result<RolloutView, Problem> {
        self.tell("cannot show the rollout", None, self.registrar.rollout(id).await).await
    }

    /// The devices of a rollout, in the order of their registration.
    ///
    /// # Errors
    /// There is no such image; a limit or a cursor is none.
    pub async fn list_rollout_devices(
        &self,
        id: &str,
        paging: &Paging,
    ) -> Result<Page<UpgradeView>, Problem> {
        let devices = self.registrar.rollout_devices(id, paging).await;
        self.tell("cannot list the devices of the rollout", None, devices).await
    }

    /// Pauses a rollout: nothing is offered any more, and what no device has fetched is taken back.
    ///
    /// # Errors
    /// There is no such image, or it was not offered to anybody.
    pub async fn pause_rollout(&self, id: &str) -> Result<RolloutView, Problem> {
        let paused = self.registrar.switch_rollout(id, false).await;
        let paused = self.tell("cannot pause the rollout", None, paused).await?;
        // Where that fails, time does it.
        let _ = self.step_upgrades().await;
        Ok(paused)
    }

    /// Resumes a rollout; what failed before counts no more.
    ///
    /// # Errors
    /// There is no such image, or it was not offered to anybody.
    pub async fn resume_rollout(&self, id: &str) -> Result<RolloutView, Problem> {
        let resumed = self.registrar.switch_rollout(id, true).await;
        let resumed = self.tell("cannot resume the rollout", None, resumed).await?;
        // Where that fails, time does it.
        let _ = self.step_upgrades().await;
        Ok(resumed)
    }

    /// Does what is due of upgrades, a step of it: sends the commands that offer them, takes back those of
    /// rollouts that are paused, and ends upgrades of devices that are silent. To be asked for every few
    /// seconds, and again at once where more is due.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn advance_upgrades(&self) -> Result<UpgradesAdvanced, Problem> {
        let advanced = self.step_upgrades().await;
        self.tell("cannot offer firmware", None, advanced).await
    }

    async fn step_upgrades(&self) -> Result<UpgradesAdvanced, ServiceError> {
        let operator = self.clone();
        let step = async move {
            let advanced = operator.registrar.advance_upgrades().await?;
            advanced.moved.iter().for_each(|(id, moved)| operator.sessions.upgrade_moved(*id, None, *moved));
            operator.queues_changed(&advanced.devices);
            Ok(UpgradesAdvanced { more: advanced.more, paused: advanced.paused })
        };
        self.to_its_end(step).await
    }

    /// The gateway reads the queues of these devices again.
    fn queues_changed(&self, devices: &[DeviceId]) {
        devices.iter().for_each(|device| self.sessions.commands_changed(*device));
    }
}

/// What a step of the time of upgrades did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradesAdvanced {
    /// More is due at this time.
    pub more: bool,
    /// Rollouts that paused by themselves.
    pub paused: Vec<ImageId>,
}
