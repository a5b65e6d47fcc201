use std::{
    future::ready,
    sync::{Arc, Mutex},
};

use narrowgate_api::firmware::{ImagePieceQuery, NewImage, UploadView};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::{
    firmware::Sha256Sum,
    memory::MemoryImages,
    ports::{ImagePiece, ImagePieceWanted, Images, PieceTaken, PortFuture, Upload},
    service::fixtures::{Failing, registrar_with_product_and_store},
    testing::block_on,
};

const BYTES: &[u8] = b"firmware";

/// What somebody else does at the end of an upload.
type Meanwhile = Box<dyn FnOnce() + Send>;

/// Images of which something is wrong, or that something happens to in the middle.
struct Troubled {
    images: MemoryImages,
    unreadable: Option<&'static str>,
    meanwhile: Mutex<Option<Meanwhile>>,
}

impl Images for Troubled {
    fn read(&self, wanted: ImagePieceWanted) -> PortFuture<'_, Result<Option<ImagePiece>, StoreError>> {
        self.images.read(wanted)
    }

    fn glance(&self, images: Vec<Image>) -> PortFuture<'_, Result<Vec<ImageFile>, StoreError>> {
        self.images.glance(images)
    }

    fn compare(&self, image: Image) -> PortFuture<'_, Result<(), StoreError>> {
        match self.unreadable {
            Some(why) => Box::pin(ready(Err(StoreError::Unavailable(why.to_owned())))),
            None => self.images.compare(image),
        }
    }

    fn begin(&self, upload: Upload) -> PortFuture<'_, Result<PieceTaken, StoreError>> {
        self.images.begin(upload)
    }

    fn take(
        &self,
        upload: Upload,
        offset: u64,
        bytes: Vec<u8>,
        id: ImageId,
    ) -> PortFuture<'_, Result<PieceTaken, StoreError>> {
        Box::pin(async move {
            let taken = self.images.take(upload, offset, bytes, id).await;
            if let Some(happen) = self.meanwhile.lock().expect("nobody panicked").take() {
                happen();
            }
            taken
        })
    }

    fn remove_uploads(&self, product_key: String) -> PortFuture<'_, Result<(), StoreError>> {
        self.images.remove_uploads(product_key)
    }

    fn remove(&self, image: ImageId) -> PortFuture<'_, Result<(), StoreError>> {
        self.images.remove(image)
    }
}

/// A registrar whose product `pk` has an image without a file.
fn registrar(
    unreadable: Option<&'static str>,
    meanwhile: impl FnOnce(&Failing) + Send + 'static,
) -> (Registrar, Image) {
    let (mut registrar, store) = registrar_with_product_and_store();
    let image = Image {
        id: "IMG00001".parse().expect("letters and digits"),
        product_key: "pk".to_owned(),
        version: "2.0".to_owned(),
        size: BYTES.len() as u64,
        sha256: Sha256Sum(Sha256::digest(BYTES).into()),
        uploaded: registrar.clock.now(),
        rollout: None,
    };
    block_on(store.add_image(image.clone())).expect("the version is free");
    let images = MemoryImages::new(store.memory.clone());
    let meanwhile: Meanwhile = Box::new(move || meanwhile(&store));
    registrar.images = Arc::new(Troubled { images, unreadable, meanwhile: Mutex::new(Some(meanwhile)) });
    (registrar, image)
}

fn new_image(image: &Image) -> NewImage {
    let Image { product_key, version, size, sha256, .. } = image.clone();
    NewImage { product_key, version, size, sha256: sha256.to_string() }
}

fn upload(registrar: &Registrar, image: &Image) -> Result<UploadView, ServiceError> {
    let NewImage { product_key, version, size, sha256 } = new_image(image);
    let piece = ImagePieceQuery { product_key, version, size, sha256, offset: 0 };
    block_on(registrar.take_image_piece(piece, BYTES.to_vec()))
}

fn file_of(registrar: &Registrar, image: &Image) -> ImageFile {
    block_on(registrar.file_of(image)).expect("it works")
}

#[test]
fn a_file_that_is_missing_is_put_back_under_its_id() {
    let (registrar, image) = registrar(None, |_| {});
    assert_eq!(file_of(&registrar, &image), ImageFile::Missing);
    let uploaded = upload(&registrar, &image).expect("it is the same file");
    assert_eq!(uploaded.image.map(|shown| shown.image_id), Some(image.id.to_string()));
    assert_eq!(file_of(&registrar, &image), ImageFile::Stored);
}

/// A disk that does not answer now says nothing of the bytes.
#[test]
fn a_file_that_cannot_be_read_is_told_and_not_replaced() {
    let (registrar, image) = registrar(Some("IMG00001 cannot be read"), |_| {});
    let error = block_on(registrar.begin_image(new_image(&image))).map(|_| ()).expect_err("it is told");
    assert!(error.to_string().contains("IMG00001 cannot be read"), "{error}");
    let error = upload(&registrar, &image).map(|_| ()).expect_err("it is told");
    assert!(error.to_string().contains("IMG00001 cannot be read"), "{error}");
    let way_out = "try again; where it stays so, move the file away, and give the same upload again";
    assert_eq!(error.hint(), Some(way_out));
    assert_eq!(file_of(&registrar, &image), ImageFile::Missing, "nothing was written");
}

#[test]
fn a_file_whose_product_is_deleted_while_it_comes_does_not_stay() {
    let (registrar, image) = registrar(None, |store| {
        block_on(store.memory.delete_product("pk".to_owned())).expect("it has no devices");
    });
    let error = upload(&registrar, &image).map(|_| ()).expect_err("the product is gone");
    assert_eq!(error.to_string(), "there is no product pk");
    assert_eq!(file_of(&registrar, &image), ImageFile::Missing);
}

/// Else it would be registered again, and the file that belongs to it removed by who deleted it.
#[test]
fn an_image_that_is_deleted_while_its_file_comes_stays_deleted() {
    let (registrar, image) = registrar(None, |store| {
        let first: ImageId = "IMG00001".parse().expect("letters and digits");
        block_on(store.memory.delete_image(first)).expect("it works").expect("nobody needs it");
    });
    let error = upload(&registrar, &image).map(|_| ()).expect_err("the image is gone");
    let said = "there is no firmware image IMG00001: it was deleted while its file came";
    assert_eq!(error.to_string(), said);
    assert!(block_on(registrar.images(Some("pk"))).expect("it works").items.is_empty());
    assert_eq!(file_of(&registrar, &image), ImageFile::Missing);
    // The same upload again is an image of its own.
    let again = upload(&registrar, &image).expect("the version is free").image.expect("it is whole");
    assert_ne!(again.image_id, image.id.to_string());
    assert_eq!(block_on(registrar.image(&again.image_id)).expect("it is there").file, ImageFile::Stored);
}

/// Deleted and uploaded anew meanwhile, by others: the file has another name then.
#[test]
fn a_file_whose_version_is_another_image_by_then_does_not_stay() {
    let (registrar, image) = registrar(None, |store| {
        let first: ImageId = "IMG00001".parse().expect("letters and digits");
        let image = block_on(store.memory.image(first)).expect("it works").expect("it is there");
        block_on(store.memory.delete_image(first)).expect("it works").expect("nobody needs it");
        let image = Image { id: "IMG00002".parse().expect("letters and digits"), ..image };
        block_on(store.memory.add_image(image)).expect("the version is free");
    });
    let uploaded = upload(&registrar, &image).expect("it is the same file");
    assert_eq!(uploaded.image.map(|shown| shown.image_id).as_deref(), Some("IMG00002"));
    assert_eq!(file_of(&registrar, &image), ImageFile::Missing);
}
