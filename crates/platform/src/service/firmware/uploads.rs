//! Images come in pieces; the last one makes an image, or puts the file of one back.

use narrowgate_api::firmware::{ImagePieceQuery, NewImage, UploadView};

use super::{
    super::{error::ServiceError, registrar::Registrar},
    conflict, invalid, view_of,
};
use crate::{
    firmware::{IMAGES_PER_PRODUCT_MAX, Image, ImageFile, ImageId, Sha256Sum, check_version},
    ports::{FirmwareReads as _, PieceTaken, RegistryChanges as _, StoreError, Upload},
};

impl Registrar {
    /// How far an upload is; begins it.
    ///
    /// # Errors
    /// `Invalid` for a version, size or sum that is not acceptable; `Missing` where there is no such product;
    /// `Exists` where it has another image of that version; `Conflict` where it has too many.
    pub(in crate::service) async fn begin_image(&self, new: NewImage) -> Result<UploadView, ServiceError> {
        let upload = self.checked_upload(new)?;
        self.existing_product(&upload.product_key).await?;
        let becomes = match self.image_there(&upload).await? {
            There::Whole(there) => return Ok(*there),
            There::Becomes(becomes) => becomes,
        };
        match self.images.begin(upload.clone()).await? {
            // What came last was cut off before it became an image.
            PieceTaken::Received(all) if all == upload.size => {
                self.take(upload, (all, Vec::new()), becomes).await
            }
            PieceTaken::Received(received) => Ok(UploadView { received, image: None }),
            other => self.taken(upload, other, becomes).await,
        }
    }

    /// Takes a piece of an upload; the last one makes an image of it.
    ///
    /// # Errors
    /// As [`Self::begin_image`]; `Invalid` where the bytes are not what the upload said, `Conflict` where the
    /// piece leaves a gap.
    pub(in crate::service) async fn take_image_piece(
        &self,
        piece: ImagePieceQuery,
        bytes: Vec<u8>,
    ) -> Result<UploadView, ServiceError> {
        let ImagePieceQuery { product_key, version, size, sha256, offset } = piece;
        let upload = self.checked_upload(NewImage { product_key, version, size, sha256 })?;
        self.existing_product(&upload.product_key).await?;
        // The answer to the last piece may have been lost.
        match self.image_there(&upload).await? {
            There::Whole(there) => Ok(*there),
            There::Becomes(becomes) => self.take(upload, (offset, bytes), becomes).await,
        }
    }

    async fn take(
        &self,
        upload: Upload,
        (offset, bytes): (u64, Vec<u8>),
        becomes: Becomes,
    ) -> Result<UploadView, ServiceError> {
        let (Becomes::Another(id) | Becomes::File(id)) = becomes;
        let taken = self.images.take(upload.clone(), offset, bytes, id).await?;
        self.taken(upload, taken, becomes).await
    }

    async fn taken(
        &self,
        upload: Upload,
        taken: PieceTaken,
        becomes: Becomes,
    ) -> Result<UploadView, ServiceError> {
        match taken {
            PieceTaken::Received(received) => Ok(UploadView { received, image: None }),
            PieceTaken::AnotherSum(sum) => Err(invalid(
                "sha256",
                format!(
                    "is {}, and the bytes that came have {sum}: the file has changed since it was summed; \
                     nothing of it is kept",
                    upload.sha256
                ),
            )),
            PieceTaken::Complete(id) => self.register(upload, id, becomes).await,
        }
    }

    /// The bytes are there, under this id.
    async fn register(
        &self,
        upload: Upload,
        id: ImageId,
        becomes: Becomes,
    ) -> Result<UploadView, ServiceError> {
        let Upload { product_key, version, size, sha256 } = upload;
        let uploaded = self.clock.now();
        let image = Image { id, product_key, version, size, sha256, uploaded, rollout: None };
        let added = self.registry.add_image(image).await;
        let is_of_none = added.as_ref().map_or(true, |image| image.id != id)
            && match becomes {
                // Where it is not known whether the image was registered, this line is not reached.
                Becomes::Another(_) => true,
                // Its image may have been deleted while the file came, or its product.
                Becomes::File(_) => self.registry.image(id).await?.is_none(),
            };
        if is_of_none {
            self.images.remove(id).await?;
        }
        Ok(UploadView { received: size, image: Some(view_of(&added?, ImageFile::Stored)) })
    }

    /// The image that an upload is, where the product has it already with its file; or what becomes of it.
    async fn image_there(&self, upload: &Upload) -> Result<There, ServiceError> {
        let images = self.registry.images(Some(upload.product_key.clone())).await?.items;
        let Some(image) = images.iter().find(|image| image.version == upload.version) else {
            return if images.len() >= IMAGES_PER_PRODUCT_MAX {
                Err(conflict(format!(
                    "product {} has {IMAGES_PER_PRODUCT_MAX} images of firmware, and more are not kept",
                    upload.product_key
                )))
            } else {
                Ok(There::Becomes(Becomes::Another(ImageId::draw(&*self.entropy))))
            };
        };
        if (image.size, image.sha256) != (upload.size, upload.sha256) {
            return Err(image.is_another().into());
        }
        match self.images.compare(image.clone()).await {
            Ok(()) => {}
            // It is missing, or has other bytes.
            Err(StoreError::Damaged(_)) => return Ok(There::Becomes(Becomes::File(image.id))),
            // It cannot be read now, which says nothing of its bytes.
            Err(error) => return Err(error.into()),
        }
        let there = UploadView { received: image.size, image: Some(view_of(image, ImageFile::Stored)) };
        Ok(There::Whole(Box::new(there)))
    }

    fn checked_upload(&self, new: NewImage) -> Result<Upload, ServiceError> {
        let NewImage { product_key, version, size, sha256 } = new;
        check_version(&version).map_err(|fault| invalid("version", fault.to_string()))?;
        let max = self.image_bytes_max;
        if !(1..=max).contains(&size) {
            return Err(invalid("size", format!("is {size}; an image has 1 to {max} bytes")));
        }
        let sha256: Sha256Sum =
            sha256.parse().map_err(|_| invalid("sha256", "must be a SHA-256 in 64 hexadecimal digits"))?;
        Ok(Upload { product_key, version, size, sha256 })
    }
}

/// What an upload is to its product.
enum There {
    /// The product has it, with its file.
    Whole(Box<UploadView>),
    /// It does not.
    Becomes(Becomes),
}

/// What an upload becomes.
#[derive(Debug, Clone, Copy)]
enum Becomes {
    /// An image of this id, which is not registered.
    Another(ImageId),
    /// The file of an image that is registered, and has none or a damaged one.
    File(ImageId),
}
