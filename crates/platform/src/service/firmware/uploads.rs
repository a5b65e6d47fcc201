//! Images come in pieces; the last one makes an image, or puts the file of one back.

use narrowgate_api::firmware::{ImagePieceQuery, NewImage, UploadView};

use super::{
    super::{error::ServiceError, registrar::Registrar},
    IMAGE, conflict, invalid, view_of,
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
    /// `Exists` where it has another image of that version; `Unreadable` where the file of this one cannot
    /// be read now; `Conflict` where it has too many.
    pub(in crate::service) async fn begin_image(&self, new: NewImage) -> Result<UploadView, ServiceError> {
        let upload = self.checked_upload(new).await?;
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
    /// piece leaves a gap, `Missing` where the image was deleted whose file came.
    pub(in crate::service) async fn take_image_piece(
        &self,
        piece: ImagePieceQuery,
        bytes: Vec<u8>,
    ) -> Result<UploadView, ServiceError> {
        let ImagePieceQuery { product_key, version, size, sha256, offset } = piece;
        let upload = self.checked_upload(NewImage { product_key, version, size, sha256 }).await?;
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
            PieceTaken::Complete(id) => match becomes {
                Becomes::Another(_) => self.register(upload, id).await,
                Becomes::File(_) => self.put_back(&upload, id).await,
            },
        }
    }

    /// The bytes of an image that is not registered are there, under this id.
    async fn register(&self, upload: Upload, id: ImageId) -> Result<UploadView, ServiceError> {
        let Upload { product_key, version, size, sha256, .. } = upload;
        let uploaded = self.clock.now();
        let image = Image { id, product_key, version, size, sha256, uploaded, rollout: None };
        let added = self.registry.add_image(image).await;
        // Where it is not known whether the image was registered, this line is not reached.
        if added.as_ref().map_or(true, |image| image.id != id) {
            self.images.remove(id).await?;
        }
        Ok(whole(&added?, ImageFile::Stored))
    }

    /// The file of a registered image is there again. Where the image was deleted while it came, nothing is
    /// registered under its id: who deleted it removes the file of this id too.
    async fn put_back(&self, upload: &Upload, id: ImageId) -> Result<UploadView, ServiceError> {
        if let Some(image) = self.registry.image(id).await? {
            return Ok(whole(&image, ImageFile::Stored));
        }
        self.images.remove(id).await?;
        self.existing_product(&upload.product_key).await?;
        let images = self.registry.images(Some(upload.product_key.clone())).await?.items;
        match same_of(&images, upload)? {
            Some(another) => Ok(whole(another, self.file_of(another).await?)),
            None => {
                let key = format!("{id}: it was deleted while its file came");
                Err(ServiceError::Missing { what: IMAGE, key })
            }
        }
    }

    /// The image that an upload is, where the product has it already with its file; or what becomes of it.
    async fn image_there(&self, upload: &Upload) -> Result<There, ServiceError> {
        let images = self.registry.images(Some(upload.product_key.clone())).await?.items;
        let Some(image) = same_of(&images, upload)? else {
            return if images.len() >= IMAGES_PER_PRODUCT_MAX {
                Err(conflict(format!(
                    "product {} has {IMAGES_PER_PRODUCT_MAX} images of firmware, and more are not kept",
                    upload.product_key
                )))
            } else {
                Ok(There::Becomes(Becomes::Another(ImageId::draw(&*self.entropy))))
            };
        };
        match self.images.compare(image.clone()).await {
            Ok(()) => Ok(There::Whole(Box::new(whole(image, ImageFile::Stored)))),
            // It is missing, or has other bytes.
            Err(StoreError::Damaged(_)) => Ok(There::Becomes(Becomes::File(image.id))),
            // It cannot be read now, which says nothing of its bytes.
            Err(StoreError::Unavailable(why)) => Err(ServiceError::Unreadable(why)),
            Err(error) => Err(error.into()),
        }
    }

    async fn checked_upload(&self, new: NewImage) -> Result<Upload, ServiceError> {
        let NewImage { product_key, version, size, sha256 } = new;
        check_version(&version).map_err(|fault| invalid("version", fault.to_string()))?;
        let max = self.image_bytes_max;
        if !(1..=max).contains(&size) {
            return Err(invalid("size", format!("is {size}; an image has 1 to {max} bytes")));
        }
        let sha256: Sha256Sum =
            sha256.parse().map_err(|_| invalid("sha256", "must be a SHA-256 in 64 hexadecimal digits"))?;
        let ou = self.existing_product(&product_key).await?.ou;
        Ok(Upload { ou, product_key, version, size, sha256 })
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

/// The image of the version that is uploaded.
///
/// # Errors
/// `Exists` where it has other bytes.
fn same_of<'a>(images: &'a [Image], upload: &Upload) -> Result<Option<&'a Image>, ServiceError> {
    match images.iter().find(|image| image.version == upload.version) {
        Some(other) if (other.size, other.sha256) != (upload.size, upload.sha256) => {
            Err(other.is_another().into())
        }
        found => Ok(found),
    }
}

/// All of an upload is there, as this image.
fn whole(image: &Image, file: ImageFile) -> UploadView {
    UploadView { received: image.size, image: Some(view_of(image, file)) }
}
