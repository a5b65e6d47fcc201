//! The bytes of images in memory, beside a [`super::MemoryStore`].

use std::{
    collections::BTreeMap,
    future::ready,
    sync::{Arc, Mutex, PoisonError},
};

use narrowgate_api::words::counted;
use sha2::{Digest as _, Sha256};

use crate::{
    firmware::{Image, ImageFile, ImageId, Sha256Sum},
    ports::{
        FirmwareReads as _, ImagePiece, ImagePieceWanted, Images, PieceTaken, PortFuture, Registry,
        StoreError, Upload,
    },
};

/// Uploads that may have begun at once.
const UPLOADS_MAX: usize = 16;

/// Images of a registry.
pub struct MemoryImages {
    registry: Arc<dyn Registry>,
    bytes: Mutex<Bytes>,
}

#[derive(Default)]
struct Bytes {
    images: BTreeMap<ImageId, Arc<[u8]>>,
    uploads: Vec<(Upload, Vec<u8>)>,
}

impl MemoryImages {
    /// Without an image.
    pub fn new(registry: Arc<dyn Registry>) -> Self {
        Self { registry, bytes: Mutex::default() }
    }

    fn with<T>(&self, job: impl FnOnce(&mut Bytes) -> T) -> T {
        job(&mut self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Bytes {
    fn begin(&mut self, upload: &Upload) -> Result<usize, StoreError> {
        if let Some(place) = self.uploads.iter().position(|(begun, _)| begun == upload) {
            return Ok(place);
        }
        if self.uploads.len() >= UPLOADS_MAX {
            return Err(StoreError::Conflict(format!("{UPLOADS_MAX} uploads have begun already")));
        }
        self.uploads.push((upload.clone(), Vec::new()));
        Ok(self.uploads.len() - 1)
    }

    fn take(
        &mut self,
        upload: &Upload,
        offset: u64,
        bytes: &[u8],
        id: ImageId,
    ) -> Result<PieceTaken, StoreError> {
        let place = self.begin(upload)?;
        let kept = &mut self.uploads[place].1;
        let had = kept.len() as u64;
        let Some(known) = had.checked_sub(offset) else {
            return Err(StoreError::Conflict(format!(
                "the upload has {}, not {offset}",
                counted(had, "byte")
            )));
        };
        let new = bytes.get(known as usize..).unwrap_or_default();
        if had + new.len() as u64 > upload.size {
            let size = counted(upload.size, "byte");
            return Err(StoreError::Conflict(format!("the image has {size} and no more")));
        }
        kept.extend_from_slice(new);
        if (kept.len() as u64) < upload.size {
            return Ok(PieceTaken::Received(kept.len() as u64));
        }
        let (_, all) = self.uploads.remove(place);
        let sum = Sha256Sum(Sha256::digest(&all).into());
        if sum != upload.sha256 {
            return Ok(PieceTaken::AnotherSum(sum));
        }
        self.images.insert(id, all.into());
        Ok(PieceTaken::Complete(id))
    }
}

impl Images for MemoryImages {
    fn read(&self, wanted: ImagePieceWanted) -> PortFuture<'_, Result<Option<ImagePiece>, StoreError>> {
        Box::pin(async move {
            let found = self.registry.image(wanted.image).await?;
            let is_offered =
                |image: &Image| image.product_key == wanted.product_key && image.rollout.is_some();
            let Some(image) = found.filter(is_offered) else { return Ok(None) };
            let Some(bytes) = self.with(|bytes| bytes.images.get(&wanted.image).cloned()) else {
                return Err(StoreError::Damaged(format!("firmware image {} has no file", wanted.image)));
            };
            let from = usize::try_from(wanted.offset).unwrap_or(usize::MAX).min(bytes.len());
            let to = from.saturating_add(wanted.len).min(bytes.len());
            let piece = bytes[from..to].to_vec();
            Ok(Some(ImagePiece { bytes: piece, size: image.size, etag: image.etag() }))
        })
    }

    fn glance(&self, images: Vec<Image>) -> PortFuture<'_, Result<Vec<ImageFile>, StoreError>> {
        let is_there = |bytes: &Bytes, image: &Image| bytes.images.contains_key(&image.id);
        let state = |is_there| if is_there { ImageFile::Stored } else { ImageFile::Missing };
        let files = self.with(|bytes| images.iter().map(|image| state(is_there(bytes, image))).collect());
        Box::pin(ready(Ok(files)))
    }

    fn compare(&self, image: Image) -> PortFuture<'_, Result<(), StoreError>> {
        let is_there = self.with(|bytes| bytes.images.contains_key(&image.id));
        let has_none = || StoreError::Damaged(format!("firmware image {} has no file", image.id));
        Box::pin(ready(is_there.then_some(()).ok_or_else(has_none)))
    }

    fn begin(&self, upload: Upload) -> PortFuture<'_, Result<PieceTaken, StoreError>> {
        let begun = self.with(|bytes| {
            let place = bytes.begin(&upload)?;
            Ok(PieceTaken::Received(bytes.uploads[place].1.len() as u64))
        });
        Box::pin(ready(begun))
    }

    fn take(
        &self,
        upload: Upload,
        offset: u64,
        bytes: Vec<u8>,
        id: ImageId,
    ) -> PortFuture<'_, Result<PieceTaken, StoreError>> {
        let taken = self.with(|kept| kept.take(&upload, offset, &bytes, id));
        Box::pin(ready(taken))
    }

    fn remove_uploads(&self, product_key: String) -> PortFuture<'_, Result<(), StoreError>> {
        self.with(|bytes| bytes.uploads.retain(|(upload, _)| upload.product_key != product_key));
        Box::pin(ready(Ok(())))
    }

    fn remove(&self, image: ImageId) -> PortFuture<'_, Result<(), StoreError>> {
        self.with(|bytes| bytes.images.remove(&image));
        Box::pin(ready(Ok(())))
    }
}
