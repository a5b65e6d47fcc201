//! Images of firmware as files beside a store: `firmware/{imageId}` in the data directory, which nobody
//! changes once it has that name.
//!
//! * **Upload**: the pieces of a file are appended to `firmware/{upload}.part`, whose name follows from what
//!   the upload says of itself. So it goes on after a restart, and its length is all that has to be known.
//!   When all bytes are there they are made durable and compared with their SHA-256; then the file gets the
//!   id of its image. The registry is told after that: a crash in between leaves a file without an image.
//! * **Reading**: threads of its own with a bounded queue. The first part of an image is given
//!   after the whole file was compared with what the registry says, once in each process. An image that is
//!   not as it was stored is refused for as long as the process runs; the error names its file.
//! * **What is left over** by a crash (files without an image, uploads that nobody continued for
//!   a week) is removed before the first upload of a process.
//!
//! Nothing holds a whole image in memory.

mod files;
mod threads;
mod uploads;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use narrowgate_platform::{
    firmware::{Image, ImageId},
    ports::{
        FirmwareReads as _, ImagePiece, ImagePieceWanted, Images, PieceTaken, PortFuture, Registry,
        StoreError, Upload,
    },
};

pub(crate) use self::files::FOLDER;
use self::{
    files::{Folder, OpenImage},
    threads::Threads,
    uploads::Uploads,
};

/// Threads that read and write images.
const THREADS: usize = 2;
/// Images that are open at once; the one that was read longest ago is closed first.
const OPEN_MAX: usize = 64;
/// Uploads that have begun and are not complete.
const PARTS_MAX: usize = 16;
/// An upload that nobody continued for so long is removed.
const PART_AGE_MAX: Duration = Duration::from_secs(7 * 86_400);

/// The images of a data directory.
pub struct ImageFiles {
    registry: Arc<dyn Registry>,
    shared: Arc<Shared>,
    threads: Threads,
    /// What an earlier process left over was removed.
    swept: AtomicBool,
}

/// What the callers and the threads use together.
struct Shared {
    folder: Folder,
    /// One piece is taken at a time.
    uploads: Mutex<Uploads>,
    known: Mutex<Known>,
}

/// Images that were read.
#[derive(Default)]
struct Known {
    images: BTreeMap<ImageId, Entry>,
    reads: u64,
}

/// The file of an image once it was compared, or why it is refused.
type Compared = OnceLock<Result<OpenImage, String>>;

struct Entry {
    image: Arc<Image>,
    file: Arc<Compared>,
    /// The number of the last read of it.
    read: u64,
}

impl ImageFiles {
    /// Those beside the store of this registry. Makes and reads nothing yet.
    pub fn new(data: &Path, registry: Arc<dyn Registry>) -> Self {
        let folder = Folder::of(data);
        let shared = Shared { uploads: Mutex::default(), known: Mutex::default(), folder };
        Self {
            registry,
            shared: Arc::new(shared),
            threads: Threads::default(),
            swept: AtomicBool::new(false),
        }
    }

    fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> PortFuture<'static, Result<T, StoreError>> {
        let shared = Arc::clone(&self.shared);
        self.threads.run(move || job(&shared))
    }

    /// Removes what an earlier process left over, before this one adds to it.
    async fn sweep(&self) -> Result<(), StoreError> {
        if self.swept.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let registered = self.registry.images(None).await?;
        if registered.damaged.count > 0 {
            // A file whose row is damaged may be needed when that is repaired.
            return Ok(());
        }
        let images: Vec<ImageId> = registered.items.into_iter().map(|image| image.id).collect();
        self.run(move |shared| shared.folder.sweep(&images, PART_AGE_MAX)).await
    }
}

impl Shared {
    /// An image that was read before; notes that it is read again.
    fn known(&self, image: ImageId) -> Option<(Arc<Image>, Arc<Compared>)> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.reads += 1;
        let read = known.reads;
        let entry = known.images.get_mut(&image)?;
        entry.read = read;
        Some((Arc::clone(&entry.image), Arc::clone(&entry.file)))
    }

    fn note(&self, image: Image) -> (Arc<Image>, Arc<Compared>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.images.len() >= OPEN_MAX {
            let oldest = known.images.iter().min_by_key(|(_, entry)| entry.read).map(|(id, _)| *id);
            oldest.and_then(|oldest| known.images.remove(&oldest));
        }
        let read = known.reads;
        let id = image.id;
        let entry = known.images.entry(id).or_insert_with(|| Entry {
            image: Arc::new(image),
            file: Arc::default(),
            read,
        });
        (Arc::clone(&entry.image), Arc::clone(&entry.file))
    }

    fn forget(&self, image: ImageId) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).images.remove(&image);
    }
}

impl Images for ImageFiles {
    fn read(&self, wanted: ImagePieceWanted) -> PortFuture<'_, Result<Option<ImagePiece>, StoreError>> {
        Box::pin(async move {
            let (image, file) = match self.shared.known(wanted.image) {
                Some(known) => known,
                // One that was offered stays so until it is removed, so what is known needs no second look.
                None => match self.registry.image(wanted.image).await? {
                    Some(image) if image.rollout.is_some() => self.shared.note(image),
                    _ => return Ok(None),
                },
            };
            if image.product_key != wanted.product_key {
                return Ok(None);
            }
            // Nothing stands behind the end, however far behind it is.
            let left = usize::try_from(image.size.saturating_sub(wanted.offset)).unwrap_or(usize::MAX);
            let len = wanted.len.min(left);
            let piece = self.run(move |shared| {
                let open = file.get_or_init(|| {
                    let opened = shared.folder.open(&image);
                    opened.inspect_err(|reason| tracing::error!(%reason, "an image of firmware is refused"))
                });
                let open = open.as_ref().map_err(|reason| StoreError::Damaged(reason.clone()))?;
                let bytes = if len == 0 { Vec::new() } else { open.read(wanted.offset, len)? };
                Ok(ImagePiece { bytes, size: image.size, etag: image.etag() })
            });
            piece.await.map(Some)
        })
    }

    fn begin(&self, upload: Upload) -> PortFuture<'_, Result<PieceTaken, StoreError>> {
        Box::pin(async move {
            self.sweep().await?;
            self.run(move |shared| {
                let mut uploads = shared.uploads.lock().unwrap_or_else(PoisonError::into_inner);
                uploads.begin(&shared.folder, &upload).map(PieceTaken::Received)
            })
            .await
        })
    }

    fn take(
        &self,
        upload: Upload,
        offset: u64,
        bytes: Vec<u8>,
        id: ImageId,
    ) -> PortFuture<'_, Result<PieceTaken, StoreError>> {
        Box::pin(async move {
            self.sweep().await?;
            self.run(move |shared| {
                let mut uploads = shared.uploads.lock().unwrap_or_else(PoisonError::into_inner);
                uploads.take(&shared.folder, &upload, (offset, &bytes), id)
            })
            .await
        })
    }

    fn remove(&self, image: ImageId) -> PortFuture<'_, Result<(), StoreError>> {
        self.run(move |shared| {
            shared.forget(image);
            shared.folder.remove(image)
        })
    }
}
