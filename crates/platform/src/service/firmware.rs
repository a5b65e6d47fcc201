//! Firmware: images are uploaded in pieces (`uploads`), offered to devices, and followed.

mod uploads;

use std::collections::BTreeMap;

use narrowgate_api::{
    device::DeviceShown,
    firmware::{FailureCount, ImageView, RolloutOffered, RolloutShown, RolloutView, UpgradeView},
    page::Page as ShownPage,
    query::Paging,
    words::counted_are,
};

use super::{cursor::List, error::ServiceError, history::shown, registrar::Registrar, view};
use crate::{
    firmware::{Image, ImageFile, ImageId, Upgrade, UpgradeState},
    ids::{DeviceId, DeviceName},
    model::{device::Device, property::PropertyKind},
    paging::Place,
    ports::{
        Advanced, DeviceQuery, FirmwareReads as _, NotDeleted, OfferTo, Offered, RegistryChanges as _,
        StoreError,
    },
};

/// What is called an image in messages.
const IMAGE: &str = "firmware image";
/// Devices that one step of an offer looks at, and upgrades that one step of their time moves.
const OFFER_CHUNK: usize = 1000;
const ADVANCE_CHUNK: usize = 200;
/// Upgrades that failed of which a rollout says why.
const FAILURES_MAX: usize = 10_000;
/// The time after which an offer goes on in the next request, in milliseconds.
const OFFER_TIME_MS: u64 = 2000;

impl Registrar {
    /// A device with its tags and its firmware's version. Its session is not in the store.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn shown_device(&self, device: &Device) -> Result<DeviceShown, ServiceError> {
        let firmware = self.registry.version_of(device.id).await?;
        let tags = self.properties(device, PropertyKind::Tag).await?;
        Ok(DeviceShown { device: view::device(device), tags, firmware, session: None })
    }

    /// All images, or those of a product, oldest first.
    ///
    /// # Errors
    /// `Missing` where there is no such product.
    pub(super) async fn images(
        &self,
        product_key: Option<&str>,
    ) -> Result<ShownPage<ImageView>, ServiceError> {
        if let Some(product_key) = product_key {
            self.existing_product(product_key).await?;
        }
        let page = self.registry.images(product_key.map(str::to_owned)).await?;
        let damaged = view::left_out(page.damaged);
        let files = self.images.glance(page.items.clone()).await?;
        let items = page.items.iter().zip(files).map(|(image, file)| view_of(image, file)).collect();
        Ok(ShownPage { items, next_cursor: None, damaged })
    }

    /// One image.
    ///
    /// # Errors
    /// `Missing`.
    pub(super) async fn image(&self, id: &str) -> Result<ImageView, ServiceError> {
        let image = self.existing_image(id).await?;
        Ok(view_of(&image, self.file_of(&image).await?))
    }

    async fn file_of(&self, image: &Image) -> Result<ImageFile, ServiceError> {
        let files = self.images.glance(vec![image.clone()]).await?;
        Ok(files.first().copied().unwrap_or(ImageFile::Missing))
    }

    async fn existing_image(&self, id: &str) -> Result<Image, ServiceError> {
        let found = match id.parse() {
            Ok(image) => self.registry.image(image).await?,
            Err(_) => None,
        };
        found.ok_or_else(|| ServiceError::Missing { what: IMAGE, key: id.to_owned() })
    }

    /// Removes an image.
    ///
    /// # Errors
    /// `Missing`; `Conflict` while devices need it.
    pub(super) async fn delete_image(&self, id: &str) -> Result<ImageView, ServiceError> {
        let image = self.existing_image(id).await?;
        let file = self.file_of(&image).await?;
        match self.registry.delete_image(image.id).await? {
            Ok(()) => {}
            Err(NotDeleted::RolloutGoesOn(devices)) => {
                return Err(conflict(format!(
                    "{} to get image {id} still; pause its rollout first, and wait until what was offered is \
                     taken back",
                    counted_are(devices, "device")
                )));
            }
            Err(NotDeleted::UnderWay(devices)) => {
                let devices = counted_are(devices, "device");
                return Err(conflict(format!("{devices} at work with image {id}")));
            }
        }
        // A file that stays is removed before the next upload of another process.
        self.images.remove(image.id).await?;
        Ok(view_of(&image, file))
    }

    /// The images of a product.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn images_of(&self, product_key: &str) -> Result<Vec<ImageId>, ServiceError> {
        let images = self.registry.images(Some(product_key.to_owned())).await?;
        Ok(images.items.into_iter().map(|image| image.id).collect())
    }

    /// Offers an image to one device.
    ///
    /// # Errors
    /// `Missing`; `Conflict` where the device is of another product; as [`Self::try_offer`].
    pub(super) async fn offer_to_device(
        &self,
        id: &str,
        device: &Device,
    ) -> Result<(RolloutOffered, Vec<DeviceId>), ServiceError> {
        let image = self.existing_image(id).await?;
        self.try_offer(&image).await?;
        let to = OfferTo::Device(device.id);
        let offered = self.registry.offer_image(image.id, to, self.clock.now()).await?;
        Ok(told(&image, offered))
    }

    /// Offers an image to a share of its product's devices, for a bounded time; goes on at a cursor.
    ///
    /// # Errors
    /// `Missing`; `Invalid` for a share or a cursor that is none; `Conflict` where the share is less than it
    /// was, or the product has no devices; as [`Self::try_offer`], which is asked before the first part.
    pub(super) async fn offer_to_share(
        &self,
        id: &str,
        share: u32,
        cursor: Option<&str>,
    ) -> Result<(RolloutOffered, Vec<DeviceId>), ServiceError> {
        let percent = u8::try_from(share).ok().filter(|share| (1..=100).contains(share));
        let percent =
            percent.ok_or_else(|| invalid("share", format!("is {share}; it must be 1 to 100 percent")))?;
        let image = self.existing_image(id).await?;
        let list = List::Offer(image.id);
        let place = cursor.map(|cursor| list.place(cursor)).transpose()?;
        let mut after = place.map(|place| DeviceId(place.0[0]));
        if after.is_none() {
            if !self.has_devices(&image.product_key).await? {
                return Err(conflict(format!("product {} has no devices", image.product_key)));
            }
            self.try_offer(&image).await?;
        }
        let begun = self.clock.now();
        let mut all = Offered::default();
        loop {
            let now = self.clock.now();
            let to = OfferTo::Share { percent, after, limit: OFFER_CHUNK };
            let step = self.registry.offer_image(image.id, to, now).await?;
            all.devices += step.devices;
            all.have_it += step.have_it;
            all.again += step.again;
            all.never_seen += step.never_seen;
            all.chosen += step.chosen;
            all.of += step.of;
            all.queues.extend(step.queues);
            after = step.next;
            // A clock that is put back ends it too.
            if after.is_none() || now.0.abs_diff(begun.0) >= OFFER_TIME_MS {
                break;
            }
        }
        let (offered, queues) = told(&image, all);
        Ok((
            RolloutOffered {
                next_cursor: after.map(|device| list.cursor(Place([device.0, 0, 0, 0]))),
                ..offered
            },
            queues,
        ))
    }

    async fn has_devices(&self, product_key: &str) -> Result<bool, ServiceError> {
        let product_key = Some(product_key.to_owned());
        let query = DeviceQuery { product_key, limit: 1, ..DeviceQuery::default() };
        Ok(!self.registry.devices(query).await?.is_empty())
    }

    /// A rollout in numbers.
    ///
    /// # Errors
    /// `Missing` where there is no such image.
    pub(super) async fn rollout(&self, id: &str) -> Result<RolloutView, ServiceError> {
        let image = self.existing_image(id).await?;
        self.shown_rollout(&image).await
    }

    async fn shown_rollout(&self, image: &Image) -> Result<RolloutView, ServiceError> {
        let counted: BTreeMap<UpgradeState, u64> =
            self.registry.upgrade_counts(image.id).await?.into_iter().collect();
        let count = |state| counted.get(&state).copied().unwrap_or_default();
        let failures = match count(UpgradeState::Failed) {
            0 => Vec::new(),
            _ => self.registry.upgrade_failures(image.id, FAILURES_MAX).await?,
        };
        let failures = failures.into_iter().map(|(reason, count)| FailureCount { reason, count }).collect();
        let file = self.file_of(image).await?;
        let ImageView { image_id, product_key, version, rollout, .. } = view_of(image, file);
        Ok(RolloutView {
            image_id,
            product_key,
            version,
            file,
            share: rollout.and_then(|rollout| rollout.share),
            paused: rollout.is_some_and(|rollout| rollout.paused_by.is_some()),
            paused_by: rollout.and_then(|rollout| rollout.paused_by),
            since: rollout.map(|rollout| rollout.since),
            waiting: count(UpgradeState::Waiting),
            offered: count(UpgradeState::Offered),
            sent: count(UpgradeState::Sent),
            accepted: count(UpgradeState::Accepted),
            downloading: count(UpgradeState::Downloading),
            verifying: count(UpgradeState::Verifying),
            burning: count(UpgradeState::Burning),
            done: count(UpgradeState::Done),
            failed: count(UpgradeState::Failed),
            cancelled: count(UpgradeState::Cancelled),
            failures,
        })
    }

    /// The devices of a rollout, in the order of their registration.
    ///
    /// # Errors
    /// `Missing`; `Invalid` for a limit or a cursor that is none.
    pub(super) async fn rollout_devices(
        &self,
        id: &str,
        paging: &Paging,
    ) -> Result<ShownPage<UpgradeView>, ServiceError> {
        let image = self.existing_image(id).await?;
        let list = List::Upgrades(image.id);
        let page = self.registry.upgrades(image.id, list.part(paging)?).await?;
        Ok(shown(list, page, |(name, upgrade)| upgrade_view(name, upgrade)))
    }

    /// Pauses or resumes a rollout.
    ///
    /// # Errors
    /// `Missing`; `Conflict` where the image was not offered to anybody.
    pub(super) async fn switch_rollout(&self, id: &str, on: bool) -> Result<RolloutView, ServiceError> {
        let image = self.existing_image(id).await?;
        let image = self.registry.switch_rollout(image.id, on).await?;
        self.shown_rollout(&image).await
    }

    /// Does what is due of upgrades, a step of it.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn advance_upgrades(&self) -> Result<Advanced, ServiceError> {
        let now = self.clock.now();
        if !self.registry.upgrades_due(now).await? {
            return Ok(Advanced::default());
        }
        Ok(self.registry.advance_upgrades(ADVANCE_CHUNK, self.server.clone(), now).await?)
    }
}

/// What was offered of an image as it was before.
fn told(image: &Image, offered: Offered) -> (RolloutOffered, Vec<DeviceId>) {
    let Offered { devices, again, have_it, never_seen, chosen, of, queues, .. } = offered;
    let told = RolloutOffered {
        image_id: image.id.to_string(),
        devices,
        already_in: again,
        have_it,
        never_logged_in: never_seen,
        paused_by: image.rollout.and_then(|rollout| rollout.paused),
        chosen,
        of,
        next_cursor: None,
    };
    (told, queues)
}

fn view_of(image: &Image, file: ImageFile) -> ImageView {
    ImageView {
        image_id: image.id.to_string(),
        product_key: image.product_key.clone(),
        version: image.version.clone(),
        size: image.size,
        sha256: image.sha256.to_string(),
        uploaded_at: image.uploaded,
        file,
        rollout: image.rollout.map(|rollout| RolloutShown {
            share: rollout.share,
            paused_by: rollout.paused,
            since: rollout.since,
        }),
    }
}

fn upgrade_view(name: DeviceName, upgrade: Upgrade) -> UpgradeView {
    let DeviceName { product_key, device_key } = name;
    let Upgrade { state, failure, attempts, progress, desc, since, moved, .. } = upgrade;
    UpgradeView {
        product_key,
        device_key,
        state,
        reason: failure,
        progress,
        desc: desc.map(Into::into),
        attempts,
        since,
        moved_at: moved,
    }
}

fn invalid(field: &'static str, message: impl Into<String>) -> ServiceError {
    ServiceError::Invalid { field, message: message.into() }
}

fn conflict(message: String) -> ServiceError {
    StoreError::Conflict(message).into()
}

#[cfg(test)]
mod tests;
