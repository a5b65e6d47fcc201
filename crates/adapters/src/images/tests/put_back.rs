//! Files of images that are mended by hand.

use std::{fs, os::unix::fs::MetadataExt as _};

use narrowgate_platform::testing::block_on;

use super::{super::*, Bench, firmware, upload};

/// As `cp -p` from a backup does it: only the time of the last change of state is another one.
#[test]
fn a_damaged_file_that_is_put_back_in_place_with_its_time_is_read() {
    let (bench, bytes) = (Bench::new(), firmware(2500));
    let image = bench.offered("IMAGE001", &bytes);
    let path = bench.file(image);
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let write = |bytes: &[u8]| {
        let before = fs::metadata(&path).unwrap();
        let state = |file: &fs::Metadata| (file.ctime(), file.ctime_nsec());
        // The clock of the file system has coarse steps.
        while state(&fs::metadata(&path).unwrap()) == state(&before) {
            fs::write(&path, bytes).unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        }
        assert_eq!(fs::metadata(&path).unwrap().ino(), before.ino());
    };
    write(&[0; 2500]);
    assert!(matches!(bench.read(image, 0, 16), Err(StoreError::Damaged(_))));
    assert_eq!((bench.glance(image), bench.compare(image)), (ImageFile::Damaged, false));
    write(&bytes);
    assert_eq!(bench.glance(image), ImageFile::Stored);
    assert_eq!(bench.read(image, 0, 16).unwrap().unwrap().bytes, bytes[..16]);
    assert!(bench.compare(image));
}

/// An upload cannot take the place of a folder, so it is no damaged file.
#[test]
fn a_folder_in_the_place_of_an_image_is_told_and_moved_away_by_hand() {
    let (bench, bytes) = (Bench::new(), firmware(2500));
    let image = bench.offered("AAAAAAAA", &bytes);
    fs::remove_file(bench.file(image)).unwrap();
    fs::create_dir(bench.file(image)).unwrap();
    for error in [
        bench.read(image, 0, 16).unwrap_err(),
        block_on(bench.images.compare(bench.image(image))).unwrap_err(),
    ] {
        assert!(matches!(&error, StoreError::Unavailable(text) if text.contains("is not a file")), "{error}");
    }
    assert_eq!(bench.glance(image), ImageFile::Unreadable);
    fs::rename(bench.file(image), bench.data.path().join("aside")).unwrap();
    assert_eq!(bench.glance(image), ImageFile::Missing);
    assert_eq!(bench.take(&upload(&bytes, "AAAAAAAA"), 0, &bytes).unwrap(), PieceTaken::Complete(image));
    assert_eq!(bench.read(image, 0, 16).unwrap().unwrap().bytes, bytes[..16]);
}
