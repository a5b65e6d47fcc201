//! What is known of the files of images.
//!
//! That a file was compared is a fact of its own, which costs some bytes: it holds as long as the file is the
//! same one, as its inode, size and time of the last change say. Which files are open is another thing, and
//! has a limit. Only bytes that differ are damage: a file that cannot be read now is asked again.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use narrowgate_platform::{
    firmware::{Image, ImageFile, ImageId},
    ports::StoreError,
};

use super::{
    OPEN_MAX,
    files::{Folder, failed, sum_of},
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Stored(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Images that devices read, each with its open file.
    read: BTreeMap<ImageId, Entry>,
    /// What was found of the files of registered images.
    facts: BTreeMap<ImageId, Fact>,
    /// Numbers the reads.
    reads: u64,
    /// Images that were removed: what was asked before the last one may be about an image that is gone.
    removals: Removals,
}

/// So many images were removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Removals(u64);

#[derive(Debug)]
struct Entry {
    image: Arc<Image>,
    open: Option<Arc<OpenImage>>,
    /// The number of the last read of it.
    read: u64,
}

/// What was found of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fact {
    /// Of which file; `None`: there was none.
    stamp: Option<Stamp>,
    /// `None`: it is as it was stored.
    wrong: Option<Wrong>,
}

/// Why an image is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wrong {
    reason: String,
    /// The time of the last change of the file's state: one that is put back in place from a copy, with its
    /// time (`cp -p`), differs by nothing else. `None`: there was no file.
    changed: Option<(i64, i64)>,
}

/// What tells a file from any other, and from itself before its bytes were changed. The time of its last
/// change of state (ctime) is none of it: a hard link, as backups make it, or a `chmod` of the whole folder
/// changes no byte, and would have all images read anew while devices wait. Only where a file is [`Wrong`] it
/// counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
        }
    }
}

/// An image whose file was compared.
#[derive(Debug)]
struct OpenImage {
    file: File,
    path: PathBuf,
    stamp: Stamp,
    /// The time of its last change of state, when it was opened.
    changed: (i64, i64),
}

impl Stored {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An image that was read before; notes that it is read again.
    ///
    /// # Errors
    /// Of one that is not known how many were removed, for [`Self::note`].
    pub(super) fn known(&self, image: ImageId) -> Result<Arc<Image>, Removals> {
        let mut known = self.lock();
        known.reads += 1;
        let (read, removals) = (known.reads, known.removals);
        let entry = known.read.get_mut(&image).ok_or(removals)?;
        entry.read = read;
        Ok(Arc::clone(&entry.image))
    }

    /// Notes an image as the registry has given it. Where one was removed since it was asked, it may be this
    /// one: then it serves this request, and is asked for again by the next.
    pub(super) fn note(&self, image: Image, asked: Removals) -> Arc<Image> {
        let mut known = self.lock();
        let (id, image) = (image.id, Arc::new(image));
        if known.removals != asked {
            return image;
        }
        if known.read.len() >= OPEN_MAX && !known.read.contains_key(&id) {
            let oldest = known.read.iter().min_by_key(|(_, entry)| entry.read).map(|(id, _)| *id);
            oldest.and_then(|oldest| known.read.remove(&oldest));
        }
        let read = known.reads;
        let entry = known.read.entry(id).or_insert(Entry { image, open: None, read });
        Arc::clone(&entry.image)
    }

    /// Forgets an image that is removed.
    pub(super) fn forget(&self, image: ImageId) {
        let mut known = self.lock();
        known.removals.0 += 1;
        known.read.remove(&image);
        known.facts.remove(&image);
    }

    /// Forgets the file of an image that has another one now.
    pub(super) fn forget_file(&self, image: ImageId) {
        let mut known = self.lock();
        known.facts.remove(&image);
        if let Some(entry) = known.read.get_mut(&image) {
            entry.open = None;
        }
    }

    /// At most so many bytes of an image from this one on; `None`: it is to be compared first.
    ///
    /// # Errors
    /// `Damaged` where its file is not as it was stored; `Unavailable` where it cannot be read now.
    pub(super) fn read(
        &self,
        folder: &Folder,
        image: &Image,
        (offset, len): (u64, usize),
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let open = self.lock().read.get(&image.id).and_then(|entry| entry.open.clone());
        let open = match open.filter(|open| open.is_as_compared()) {
            Some(open) => Some(open),
            None => self.open(folder, image)?,
        };
        open.map(|open| open.read(offset, len)).transpose()
    }

    /// Opens an image that was compared.
    fn open(&self, folder: &Folder, image: &Image) -> Result<Option<Arc<OpenImage>>, StoreError> {
        let (path, removals) = (folder.image(image.id), self.lock().removals);
        let Some((file, found)) = open(&path)? else {
            return Err(self.refuse(image, &path, removals, (None, "is missing".to_owned())));
        };
        match self.fact(image.id, &found) {
            None => Ok(None),
            Some(Fact { wrong: Some(wrong), .. }) => Err(StoreError::Damaged(wrong.reason)),
            Some(Fact { wrong: None, .. }) => {
                let (stamp, changed) = (Stamp::of(&found), changed(&found));
                let open = Arc::new(OpenImage { file, path, stamp, changed });
                if let Some(entry) = self.lock().read.get_mut(&image.id) {
                    entry.open = Some(Arc::clone(&open));
                }
                Ok(Some(open))
            }
        }
    }

    /// Compares the file of an image with what is registered, unless that was done already.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn compare(&self, folder: &Folder, image: &Image) -> Result<(), StoreError> {
        let (path, removals) = (folder.image(image.id), self.lock().removals);
        let refuse = |found, what| Err(self.refuse(image, &path, removals, (found, what)));
        let Some((file, found)) = open(&path)? else { return refuse(None, "is missing".to_owned()) };
        let stamp = Stamp::of(&found);
        if let Some(fact) = self.fact(image.id, &found) {
            return fact.wrong.map_or(Ok(()), |wrong| Err(StoreError::Damaged(wrong.reason)));
        }
        if stamp.size != image.size {
            let what = format!("has {} bytes and had {}", stamp.size, image.size);
            return refuse(Some(&found), what);
        }
        let cannot = |error| failed(&path, "cannot be read", &error);
        let (_, sum) = sum_of(&file).map_err(cannot)?;
        if Stamp::of(&file.metadata().map_err(cannot)?) != stamp {
            let path = path.display();
            return Err(StoreError::Unavailable(format!("{path} changed while it was compared")));
        }
        if sum != image.sha256 {
            return refuse(Some(&found), format!("is not as it was stored: its SHA-256 is {sum}"));
        }
        self.learn(image.id, Fact { stamp: Some(stamp), wrong: None }, removals);
        Ok(())
    }

    /// How the file of an image is, as far as its name and size, and what was compared, say.
    pub(super) fn glance(&self, folder: &Folder, image: &Image) -> ImageFile {
        let found = match fs::metadata(folder.image(image.id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return ImageFile::Missing,
            Ok(found) if found.is_file() => found,
            _ => return ImageFile::Unreadable,
        };
        let is_refused = self.fact(image.id, &found).is_some_and(|fact| fact.wrong.is_some());
        if is_refused || found.len() != image.size { ImageFile::Damaged } else { ImageFile::Stored }
    }

    /// What is known of a file as it is now.
    fn fact(&self, image: ImageId, found: &Metadata) -> Option<Fact> {
        let (stamp, changed) = (Some(Stamp::of(found)), Some(changed(found)));
        let holds = |fact: &&Fact| {
            fact.stamp == stamp && fact.wrong.as_ref().is_none_or(|wrong| wrong.changed == changed)
        };
        self.lock().facts.get(&image).filter(holds).cloned()
    }

    /// Notes a fact; says whether it is a new one. Nothing is noted of an image that may be gone.
    fn learn(&self, image: ImageId, fact: Fact, asked: Removals) -> bool {
        let mut known = self.lock();
        if known.removals != asked || known.facts.get(&image) == Some(&fact) {
            return false;
        }
        known.facts.insert(image, fact);
        true
    }

    /// What is said of an image that no device gets; the log says it once.
    fn refuse(
        &self,
        image: &Image,
        path: &Path,
        asked: Removals,
        (found, what): (Option<&Metadata>, String),
    ) -> StoreError {
        let Image { id, version, product_key, .. } = image;
        let path = path.display();
        let reason =
            format!("firmware image {id} (version {version} of product {product_key}): {path} {what}");
        let wrong = Some(Wrong { reason: reason.clone(), changed: found.map(changed) });
        if self.learn(*id, Fact { stamp: found.map(Stamp::of), wrong }, asked) {
            tracing::error!(%reason, "an image of firmware is refused");
        }
        StoreError::Damaged(reason)
    }

    #[cfg(test)]
    pub(super) fn images(&self) -> Vec<ImageId> {
        self.lock().read.keys().copied().collect()
    }
}

impl OpenImage {
    /// Whether nobody has changed, renamed, replaced or removed the file since it was opened. Where somebody
    /// may have, it is opened anew by its name, which costs little.
    fn is_as_compared(&self) -> bool {
        self.file.metadata().is_ok_and(|file| {
            file.nlink() > 0 && Stamp::of(&file) == self.stamp && changed(&file) == self.changed
        })
    }

    /// At most so many bytes from this one on; fewer at the end.
    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match self.file.read_at(&mut bytes[filled..], offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&self.path, "cannot be read", &error)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

/// When a file, or its names or rights, changed last.
fn changed(file: &Metadata) -> (i64, i64) {
    (file.ctime(), file.ctime_nsec())
}

/// A file, and what is known of it; `None`: there is none.
fn open(path: &Path) -> Result<Option<(File, Metadata)>, StoreError> {
    let opened = File::open(path).and_then(|file| file.metadata().map(|found| (file, found)));
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // An upload cannot take its place.
        Ok((_, found)) if !found.is_file() => {
            Err(StoreError::Unavailable(format!("{} is not a file", path.display())))
        }
        opened => opened.map(Some).map_err(|error| failed(path, "cannot be read", &error)),
    }
}
