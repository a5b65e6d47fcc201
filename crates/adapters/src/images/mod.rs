//! Images of firmware as files beside a store: `firmware/{imageId}` in the data directory, which nobody
//! changes once it has that name.
//!
//! * **Upload**: the pieces of a file are appended to `firmware/{upload}.part`, whose name follows from what
//!   the upload says of itself. So it goes on after a restart, and its length is all that has to be known.
//!   When all bytes are there they are made durable and compared with their SHA-256; then the file gets the
//!   id of its image. The registry is told after that: a crash in between leaves a file without an image.
//!   One thread does that, so an upload sees all that another one has done.
//! * **Reading**: threads of their own, which read blocks and do nothing else. The first part of an image is
//!   given after the whole file was compared with what the registry says, once in each process, and again
//!   where the file is another one since (`stored`). A thread of its own compares: so nobody waits for that
//!   but who wants an image that is to be compared. An image that is not as it was stored is refused; the
//!   error names its file.
//! * **What is left over** by a crash (files without an image) is removed before the first upload of a
//!   process; an upload that nobody continued for a week before another one begins, or earlier where there
//!   are too many; those of a product go with it.
//!
//! Nothing holds a whole image in memory.

mod files;
mod stored;
mod threads;
mod uploads;

#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use narrowgate_platform::{
    firmware::{Image, ImageFile, ImageId},
    ports::{
        FirmwareReads as _, ImagePiece, ImagePieceWanted, Images, PieceTaken, PortFuture, Registry,
        StoreError, Upload,
    },
};

pub(crate) use self::files::FOLDER;
use self::{files::Folder, stored::Stored, threads::Threads, uploads::Uploads};

/// Threads that read blocks.
const READERS: usize = 2;
/// Images that are open at once; the one that was read longest ago is closed first.
const OPEN_MAX: usize = 64;
/// Comparisons after which a read of a file that changes all the time fails.
const COMPARISONS_MAX: usize = 3;

/// The images of a data directory.
pub struct ImageFiles {
    registry: Arc<dyn Registry>,
    shared: Arc<Shared>,
    /// Nothing that takes longer than a block runs here.
    readers: Threads,
    comparing: Threads,
    uploading: Threads,
    looking: Threads,
}

/// What the callers and the threads use together.
struct Shared {
    folder: Folder,
    /// One piece is taken at a time.
    uploads: Mutex<Uploads>,
    /// What an earlier process left over was removed.
    swept: AtomicBool,
    stored: Stored,
}

impl ImageFiles {
    /// Those beside the store of this registry. Makes and reads nothing yet.
    pub fn new(data: &Path, registry: Arc<dyn Registry>) -> Self {
        let (folder, stored) = (Folder::of(data), Stored::default());
        let shared = Shared { folder, uploads: Mutex::default(), swept: AtomicBool::new(false), stored };
        Self {
            registry,
            shared: Arc::new(shared),
            readers: Threads::new("firmware-read", READERS),
            comparing: Threads::new("firmware-sum", 1),
            uploading: Threads::new("firmware-load", 1),
            looking: Threads::new("firmware-look", 1),
        }
    }

    fn run<T: Send + 'static>(
        &self,
        threads: &Threads,
        job: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> PortFuture<'static, Result<T, StoreError>> {
        let shared = Arc::clone(&self.shared);
        threads.run(move || job(&shared))
    }

    /// Does a step of an upload, once all is removed that an earlier process left over. The thread of uploads
    /// does both, in this order: so what it removes was there before this process added anything.
    async fn upload<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Uploads, &Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let registered = match self.shared.swept.load(Ordering::Acquire) {
            true => None,
            false => Some(self.registry.images(None).await?),
        };
        let work = self.run(&self.uploading, move |shared| {
            let mut uploads = shared.uploads.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(registered) = registered
                && !shared.swept.load(Ordering::Acquire)
            {
                let is_registered = |id| registered.items.iter().any(|image| image.id == id);
                // A file whose row is damaged may be needed when that is repaired.
                let is_known = registered.damaged.count == 0;
                shared.folder.sweep(|id| is_known && !is_registered(id))?;
                shared.swept.store(true, Ordering::Release);
            }
            step(&mut uploads, shared)
        });
        work.await
    }

    /// A part of an image that was offered; compares its file first where that was not done.
    async fn part(&self, image: &Arc<Image>, at: (u64, usize)) -> Result<Vec<u8>, StoreError> {
        for _ in 0..COMPARISONS_MAX {
            let wanted = Arc::clone(image);
            let read = self.run(&self.readers, move |shared| shared.stored.read(&shared.folder, &wanted, at));
            if let Some(bytes) = read.await? {
                return Ok(bytes);
            }
            self.compare(Image::clone(image)).await?;
        }
        Err(StoreError::Unavailable(format!("the file of firmware image {} changes all the time", image.id)))
    }
}

impl Images for ImageFiles {
    fn read(&self, wanted: ImagePieceWanted) -> PortFuture<'_, Result<Option<ImagePiece>, StoreError>> {
        Box::pin(async move {
            let image = match self.shared.stored.known(wanted.image) {
                Ok(known) => known,
                // One that was offered stays so until it is removed, so what is known needs no second look.
                Err(asked) => match self.registry.image(wanted.image).await? {
                    Some(image) if image.rollout.is_some() => self.shared.stored.note(image, asked),
                    _ => return Ok(None),
                },
            };
            if image.product_key != wanted.product_key {
                return Ok(None);
            }
            // Nothing stands behind the end, however far behind it is.
            let left = usize::try_from(image.size.saturating_sub(wanted.offset)).unwrap_or(usize::MAX);
            match self.part(&image, (wanted.offset, wanted.len.min(left))).await {
                Ok(bytes) => Ok(Some(ImagePiece { bytes, size: image.size, etag: image.etag() })),
                // It was removed meanwhile, and its file with it.
                Err(StoreError::Damaged(_)) if self.registry.image(wanted.image).await?.is_none() => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn glance(&self, images: Vec<Image>) -> PortFuture<'_, Result<Vec<ImageFile>, StoreError>> {
        if images.is_empty() {
            // No thread begins for it: a server without images asks at its start.
            return Box::pin(async { Ok(Vec::new()) });
        }
        self.run(&self.looking, move |shared| {
            Ok(images.iter().map(|image| shared.stored.glance(&shared.folder, image)).collect())
        })
    }

    fn compare(&self, image: Image) -> PortFuture<'_, Result<(), StoreError>> {
        self.run(&self.comparing, move |shared| shared.stored.compare(&shared.folder, &image))
    }

    fn begin(&self, upload: Upload) -> PortFuture<'_, Result<PieceTaken, StoreError>> {
        Box::pin(
            self.upload(move |uploads, shared| {
                uploads.begin(&shared.folder, &upload).map(PieceTaken::Received)
            }),
        )
    }

    fn take(
        &self,
        upload: Upload,
        offset: u64,
        bytes: Vec<u8>,
        id: ImageId,
    ) -> PortFuture<'_, Result<PieceTaken, StoreError>> {
        Box::pin(self.upload(move |uploads, shared| {
            let taken = uploads.take(&shared.folder, &upload, (offset, &bytes), id)?;
            if let PieceTaken::Complete(id) = taken {
                shared.stored.forget_file(id);
            }
            Ok(taken)
        }))
    }

    fn remove_uploads(&self, product_key: String) -> PortFuture<'_, Result<(), StoreError>> {
        self.run(&self.uploading, move |shared| {
            let mut uploads = shared.uploads.lock().unwrap_or_else(PoisonError::into_inner);
            uploads.remove(&shared.folder, &product_key)
        })
    }

    fn remove(&self, image: ImageId) -> PortFuture<'_, Result<(), StoreError>> {
        self.shared.stored.forget(image);
        self.run(&self.uploading, move |shared| shared.folder.remove(image))
    }
}
