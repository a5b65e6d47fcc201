mod late;
mod put_back;

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::PathBuf,
    sync::{Arc, mpsc},
    task::{Context, Waker},
};

use narrowgate_platform::{
    firmware::{Image, Sha256Sum},
    ids::UnixMillis,
    memory::MemoryStore,
    ports::{OfferTo, RegistryChanges as _},
    testing::{
        block_on,
        store::fixtures::{add_product, at},
    },
};
use sha2::{Digest as _, Sha256};

use self::late::Late;
use super::{uploads::PARTS_MAX, *};

/// A data directory with product `pk` in a registry.
struct Bench {
    data: tempfile::TempDir,
    store: Arc<MemoryStore>,
    images: ImageFiles,
}

impl Bench {
    fn new() -> Self {
        let (data, store) = (tempfile::tempdir().unwrap(), Arc::new(MemoryStore::default()));
        add_product(&*store, "pk");
        let images = ImageFiles::new(data.path(), store.clone());
        Self { data, store, images }
    }

    fn file(&self, image: ImageId) -> PathBuf {
        self.data.path().join("firmware").join(image.as_str())
    }

    /// As another process that opens the directory.
    fn again(mut self) -> Self {
        self.images = ImageFiles::new(self.data.path(), self.store.clone());
        self
    }

    fn take(&self, upload: &Upload, offset: u64, bytes: &[u8]) -> Result<PieceTaken, StoreError> {
        block_on(self.images.take(upload.clone(), offset, bytes.to_vec(), id("AAAAAAAA")))
    }

    /// An image of these bytes that is offered to the product's devices.
    fn offered(&self, name: &str, bytes: &[u8]) -> ImageId {
        let upload = upload(bytes, name);
        let taken = block_on(self.images.take(upload, 0, bytes.to_vec(), id(name))).unwrap();
        assert_eq!(taken, PieceTaken::Complete(id(name)));
        let image = Image {
            id: id(name),
            product_key: "pk".into(),
            version: name.into(),
            size: bytes.len() as u64,
            sha256: sum(bytes),
            uploaded: UnixMillis(0),
            rollout: None,
        };
        block_on(self.store.add_image(image)).unwrap();
        let to = OfferTo::Share { percent: 1, after: None, limit: 1 };
        block_on(self.store.offer_image(id(name), to, at(0))).unwrap();
        id(name)
    }

    fn read(&self, image: ImageId, offset: u64, len: usize) -> Result<Option<ImagePiece>, StoreError> {
        block_on(self.images.read(self.wanted(image, offset, len)))
    }

    fn wanted(&self, image: ImageId, offset: u64, len: usize) -> ImagePieceWanted {
        ImagePieceWanted { image, product_key: "pk".to_owned(), offset, len }
    }

    fn image(&self, image: ImageId) -> Image {
        block_on(self.store.image(image)).unwrap().unwrap()
    }

    fn glance(&self, image: ImageId) -> ImageFile {
        block_on(self.images.glance(vec![self.image(image)])).unwrap()[0]
    }

    /// Whether its file is compared and as it was stored.
    fn compare(&self, image: ImageId) -> bool {
        block_on(self.images.compare(self.image(image))).is_ok()
    }

    /// Keeps the thread of comparisons busy until the answer is dropped.
    fn compare_nothing(&self) -> impl Sized + use<> {
        let (end, over) = mpsc::channel::<()>();
        let job = self.images.run(&self.images.comparing, move |_| Ok(over.recv().is_err()));
        (end, job)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.data.path().join("firmware")).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn id(name: &str) -> ImageId {
    name.parse().unwrap()
}

fn sum(bytes: &[u8]) -> Sha256Sum {
    Sha256Sum(Sha256::digest(bytes).into())
}

fn upload(bytes: &[u8], version: &str) -> Upload {
    let (product_key, version) = ("pk".to_owned(), version.to_owned());
    let ou = "o00000000000001".to_owned();
    Upload { ou, product_key, version, size: bytes.len() as u64, sha256: sum(bytes) }
}

fn firmware(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n * 7 + n / 251) as u8).collect()
}

#[test]
fn pieces_make_an_image_also_twice_out_of_step_and_over_a_restart() {
    let (bench, bytes) = (Bench::new(), firmware(3000));
    let upload = upload(&bytes, "1.0");
    assert_eq!(block_on(bench.images.begin(upload.clone())).unwrap(), PieceTaken::Received(0));
    assert_eq!(bench.take(&upload, 0, &bytes[..1000]).unwrap(), PieceTaken::Received(1000));
    // A piece that came already, one that came in part, one that leaves a gap, one that goes too far.
    assert_eq!(bench.take(&upload, 0, &bytes[..1000]).unwrap(), PieceTaken::Received(1000));
    assert_eq!(bench.take(&upload, 500, &bytes[500..1500]).unwrap(), PieceTaken::Received(1500));
    assert!(matches!(bench.take(&upload, 1501, &bytes[1501..1600]), Err(StoreError::Conflict(_))));
    assert!(matches!(bench.take(&upload, 1500, &[0; 1501]), Err(StoreError::Conflict(_))));
    let bench = bench.again();
    assert_eq!(block_on(bench.images.begin(upload.clone())).unwrap(), PieceTaken::Received(1500));
    let last = bench.take(&upload, 1500, &bytes[1500..]).unwrap();
    assert_eq!(last, PieceTaken::Complete(id("AAAAAAAA")));
    assert_eq!(bench.names(), ["AAAAAAAA"]);
    assert_eq!(fs::read(bench.data.path().join("firmware/AAAAAAAA")).unwrap(), bytes);
}

#[test]
fn bytes_that_are_not_what_the_upload_said_leave_nothing() {
    let (bench, bytes) = (Bench::new(), firmware(100));
    let upload = upload(&bytes, "1.0");
    assert_eq!(bench.take(&upload, 0, &[0; 100]).unwrap(), PieceTaken::AnotherSum(sum(&[0; 100])));
    assert!(bench.names().is_empty());
    assert_eq!(bench.take(&upload, 0, &bytes).unwrap(), PieceTaken::Complete(id("AAAAAAAA")));
}

#[test]
fn so_many_uploads_begin_and_no_more() {
    let bench = Bench::new();
    let begin = |n: usize| block_on(bench.images.begin(upload(&firmware(n + 1), "1.0")));
    assert!((0..PARTS_MAX).all(|n| begin(n).is_ok()));
    assert!(matches!(begin(PARTS_MAX), Err(StoreError::Conflict(_))));
    assert!(begin(0).is_ok(), "one that has begun goes on");
}

#[test]
fn a_disk_without_room_is_told_before_anything_is_written() {
    let bench = Bench::new();
    let huge = Upload { size: u64::MAX / 2, ..upload(b"x", "1.0") };
    let refused = block_on(bench.images.begin(huge)).unwrap_err().to_string();
    assert!(refused.contains("the disk has no room"), "{refused}");
    assert!(bench.names().is_empty());
}

#[test]
fn an_image_is_read_block_by_block() {
    let (bench, bytes) = (Bench::new(), firmware(2500));
    let image = bench.offered("IMAGE001", &bytes);
    let piece = bench.read(image, 1024, 1024).unwrap().unwrap();
    assert_eq!((piece.bytes, piece.size), (bytes[1024..2048].to_vec(), 2500));
    assert_eq!(piece.etag, sum(&bytes).0[..8]);
    assert_eq!(bench.read(image, 2048, 1024).unwrap().unwrap().bytes, bytes[2048..]);
    for behind in [2500, u64::MAX] {
        assert!(bench.read(image, behind, 1024).unwrap().unwrap().bytes.is_empty());
    }
}

#[test]
fn only_the_devices_of_its_product_get_an_image_and_only_one_that_is_offered() {
    let (bench, bytes) = (Bench::new(), firmware(10));
    let image = bench.offered("IMAGE001", &bytes);
    let read = |image, product_key: &str| {
        let product_key = product_key.to_owned();
        block_on(bench.images.read(ImagePieceWanted { image, product_key, offset: 0, len: 16 })).unwrap()
    };
    assert_eq!((read(image, "other"), read(id("NOTTHERE"), "pk")), (None, None));
    assert!(read(image, "pk").is_some());
    assert_eq!(read(image, "other"), None);
    block_on(bench.store.add_image(Image {
        id: id("IMAGE002"),
        product_key: "pk".into(),
        version: "2".into(),
        size: 1,
        sha256: sum(b"x"),
        uploaded: UnixMillis(0),
        rollout: None,
    }))
    .unwrap();
    assert_eq!(read(id("IMAGE002"), "pk"), None);
}

#[test]
fn a_damaged_image_is_refused_and_named() {
    let bytes = firmware(2500);
    type Damage = dyn Fn(&Path);
    let damage: [(&str, &Damage); 3] = [
        ("is not as it was stored", &|file| {
            let mut bytes = fs::read(file).unwrap();
            bytes[2000] ^= 1;
            fs::write(file, bytes).unwrap();
        }),
        ("has 2499 bytes and had 2500", &|file| {
            fs::File::options().write(true).open(file).unwrap().set_len(2499).unwrap();
        }),
        ("is missing", &|file| fs::remove_file(file).unwrap()),
    ];
    for (words, damage) in damage {
        let bench = Bench::new();
        let image = bench.offered("IMAGE001", &bytes);
        damage(&bench.data.path().join("firmware/IMAGE001"));
        for _ in 0..2 {
            let error = bench.read(image, 0, 16).unwrap_err();
            assert!(matches!(error, StoreError::Damaged(_)));
            let text = error.to_string();
            assert!(text.contains(words) && text.contains("firmware/IMAGE001"), "{text}");
        }
    }
}

#[test]
fn what_a_crash_left_over_is_removed_before_the_next_upload() {
    let (bench, bytes) = (Bench::new(), firmware(10));
    let image = bench.offered("IMAGE001", &bytes);
    let begun = upload(&firmware(20), "2");
    block_on(bench.images.begin(begun)).unwrap();
    for name in ["ORPHAN01", "notes.txt"] {
        fs::write(bench.data.path().join("firmware").join(name), "x").unwrap();
    }
    let old = bench.data.path().join("firmware/old.part");
    let file = fs::File::create(old).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let bench = bench.again();
    block_on(bench.images.begin(upload(&firmware(30), "3"))).unwrap();
    let names = bench.names();
    assert_eq!((names.len(), names.contains(&"IMAGE001".to_owned())), (4, true), "{names:?}");
    assert!(names.contains(&"notes.txt".to_owned()) && !names.contains(&"old.part".to_owned()));
    block_on(bench.images.remove(image)).unwrap();
    block_on(bench.images.remove(image)).unwrap();
    assert!(!bench.names().contains(&"IMAGE001".to_owned()));
}

#[test]
fn images_that_were_read_longest_ago_are_closed_and_opened_again_without_another_comparison() {
    let bench = Bench::new();
    for n in 0..OPEN_MAX + 3 {
        let image = bench.offered(&format!("IMAGE{n:03}"), &firmware(n + 1));
        assert!(bench.read(image, 0, 4).unwrap().is_some());
    }
    assert_eq!(bench.images.shared.stored.images().len(), OPEN_MAX);
    let _busy = bench.compare_nothing();
    for n in 0..OPEN_MAX + 3 {
        assert!(bench.read(id(&format!("IMAGE{n:03}")), 0, 4).unwrap().is_some());
    }
}

#[test]
fn a_comparison_and_an_upload_hold_up_no_block_of_another_image() {
    let bench = Bench::new();
    let [known, other] = ["IMAGE001", "IMAGE002"].map(|name| bench.offered(name, &firmware(2000)));
    bench.read(known, 0, 16).unwrap();
    let busy = bench.compare_nothing();
    let (_end, over) = mpsc::channel::<()>();
    let uploading = bench.images.run(&bench.images.uploading, move |_| Ok(over.recv().is_err()));
    let reads: Vec<_> = (0..8).map(|_| bench.wanted(other, 0, 16)).collect();
    let mut waiting: Vec<_> = reads.into_iter().map(|wanted| bench.images.read(wanted)).collect();
    let mut context = Context::from_waker(Waker::noop());
    assert!(waiting.iter_mut().all(|read| read.as_mut().poll(&mut context).is_pending()));
    assert!(bench.read(known, 1000, 16).unwrap().is_some());
    drop((busy, _end));
    assert!(waiting.into_iter().all(|read| block_on(read).unwrap().is_some()));
    assert!(block_on(uploading).unwrap());
}

#[test]
fn a_file_that_cannot_be_read_now_is_asked_again() {
    let (bench, bytes) = (Bench::new(), firmware(2500));
    let image = bench.offered("IMAGE001", &bytes);
    let (file, aside) = (bench.file(image), bench.data.path().join("aside"));
    fs::rename(&file, &aside).unwrap();
    // A link to itself: the system cannot follow it.
    symlink(&file, &file).unwrap();
    for _ in 0..2 {
        let error = bench.read(image, 0, 16).unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable(text) if text.contains("IMAGE001")), "{error}");
    }
    assert_eq!(bench.glance(image), ImageFile::Unreadable);
    fs::rename(&aside, &file).unwrap();
    assert_eq!(bench.read(image, 0, 16).unwrap().unwrap().bytes, bytes[..16]);
}

#[test]
fn a_file_that_is_put_back_is_read_and_one_that_changes_is_compared_again() {
    let (bench, bytes) = (Bench::new(), firmware(2500));
    let image = bench.offered("IMAGE001", &bytes);
    let (file, aside) = (bench.file(image), bench.data.path().join("aside"));
    assert!(bench.read(image, 0, 16).unwrap().is_some());
    fs::rename(&file, &aside).unwrap();
    assert_eq!((bench.glance(image), bench.compare(image)), (ImageFile::Missing, false));
    fs::write(&file, vec![0; 2500]).unwrap();
    assert_eq!(bench.glance(image), ImageFile::Stored, "its bytes were not read");
    assert!(matches!(bench.read(image, 0, 16), Err(StoreError::Damaged(_))));
    assert_eq!((bench.glance(image), bench.compare(image)), (ImageFile::Damaged, false));
    fs::write(&file, "short").unwrap();
    assert_eq!(bench.glance(image), ImageFile::Damaged);
    fs::rename(&aside, &file).unwrap();
    assert_eq!((bench.glance(image), bench.compare(image)), (ImageFile::Stored, true));
    assert_eq!(bench.read(image, 1024, 16).unwrap().unwrap().bytes, bytes[1024..1040]);
}

/// Else a backup by hard links would have all images read anew while devices wait.
#[test]
fn a_link_or_other_rights_of_a_file_are_no_change_of_it() {
    let (bench, bytes) = (Bench::new(), firmware(2500));
    let image = bench.offered("IMAGE001", &bytes);
    assert!(bench.compare(image) && bench.read(image, 0, 16).unwrap().is_some());
    // Whatever was to be compared would wait for this.
    let _busy = bench.compare_nothing();
    let (file, copy) = (bench.file(image), bench.data.path().join("copy"));
    fs::hard_link(&file, &copy).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(bench.read(image, 16, 16).unwrap().unwrap().bytes, bytes[16..32]);
    fs::remove_file(&copy).unwrap();
    assert_eq!(bench.read(image, 32, 16).unwrap().unwrap().bytes, bytes[32..48]);
}

#[test]
fn an_upload_of_the_same_bytes_takes_the_place_of_a_damaged_file() {
    let (bench, bytes) = (Bench::new(), firmware(2500));
    let image = bench.offered("AAAAAAAA", &bytes);
    fs::write(bench.file(image), vec![0; 2500]).unwrap();
    assert!(matches!(bench.read(image, 0, 16), Err(StoreError::Damaged(_))));
    let upload = upload(&bytes, "AAAAAAAA");
    assert_eq!(bench.take(&upload, 0, &bytes).unwrap(), PieceTaken::Complete(image));
    assert_eq!(bench.read(image, 0, 16).unwrap().unwrap().bytes, bytes[..16]);
    assert_eq!(bench.names(), ["AAAAAAAA"]);
}

#[test]
fn an_image_that_is_removed_while_it_is_read_stays_removed() {
    let bench = Bench::new();
    let image = bench.offered("IMAGE001", &firmware(2500));
    let is_late = AtomicBool::new(true);
    let images = ImageFiles::new(bench.data.path(), Arc::new(Late { memory: bench.store.clone(), is_late }));
    let mut read = images.read(bench.wanted(image, 0, 16));
    assert!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    block_on(bench.store.switch_rollout(image, false)).unwrap();
    block_on(bench.store.delete_image(image)).unwrap().unwrap();
    block_on(images.remove(image)).unwrap();
    // The registry was asked before that.
    assert_eq!(block_on(read).unwrap(), None);
    assert_eq!(block_on(images.read(bench.wanted(image, 0, 16))).unwrap(), None);
    assert!(images.shared.stored.images().is_empty());
}

#[test]
fn what_was_uploaded_meanwhile_is_nothing_that_an_earlier_process_left_over() {
    let (bench, bytes) = (Bench::new(), firmware(100));
    let is_late = AtomicBool::new(true);
    let images = ImageFiles::new(bench.data.path(), Arc::new(Late { memory: bench.store.clone(), is_late }));
    let mut slow = images.begin(upload(&firmware(20), "2"));
    assert!(slow.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let taken = block_on(images.take(upload(&bytes, "1"), 0, bytes.clone(), id("AAAAAAAA"))).unwrap();
    assert_eq!(taken, PieceTaken::Complete(id("AAAAAAAA")));
    block_on(slow).unwrap();
    assert!(bench.names().contains(&"AAAAAAAA".to_owned()), "{:?}", bench.names());
}

#[test]
fn what_is_left_over_is_removed_at_the_next_upload_where_the_first_one_could_not() {
    let bench = Bench::new();
    let orphan = |name| bench.data.path().join("firmware").join(name);
    fs::create_dir_all(orphan("ORPHAN01")).unwrap();
    let begin = || block_on(bench.images.begin(upload(&firmware(20), "2")));
    for _ in 0..2 {
        let refused = begin().unwrap_err().to_string();
        assert!(refused.contains("ORPHAN01 cannot be removed"), "{refused}");
    }
    fs::remove_dir(orphan("ORPHAN01")).unwrap();
    fs::write(orphan("ORPHAN02"), "x").unwrap();
    begin().unwrap();
    assert!(!orphan("ORPHAN02").exists());
}

#[test]
fn what_a_full_disk_refuses_is_said_so_and_goes_on_later() {
    let (bench, bytes) = (Bench::new(), firmware(3000));
    let upload = upload(&bytes, "1.0");
    assert_eq!(bench.take(&upload, 0, &bytes[..1000]).unwrap(), PieceTaken::Received(1000));
    let part = bench.data.path().join("firmware").join(&bench.names()[0]);
    let aside = bench.data.path().join("aside");
    fs::rename(&part, &aside).unwrap();
    // What is written there finds no room.
    symlink("/dev/full", &part).unwrap();
    let refused = bench.take(&upload, 0, &bytes[..1000]).unwrap_err().to_string();
    let folder = bench.data.path().join("firmware");
    for words in
        [&*format!("the disk is full: {} has ", folder.display()), "bytes free", "goes on once there"]
    {
        assert!(refused.contains(words), "{refused}");
    }
    fs::rename(&aside, &part).unwrap();
    assert_eq!(block_on(bench.images.begin(upload.clone())).unwrap(), PieceTaken::Received(1000));
    assert_eq!(bench.take(&upload, 1000, &bytes[1000..]).unwrap(), PieceTaken::Complete(id("AAAAAAAA")));
}

#[test]
fn an_upload_that_nobody_continued_for_a_day_makes_room_for_another() {
    let bench = Bench::new();
    let begin = |n: usize| block_on(bench.images.begin(upload(&firmware(n + 1), "1.0")));
    assert!((0..PARTS_MAX).all(|n| begin(n).is_ok()));
    let refused = begin(PARTS_MAX).unwrap_err().to_string();
    assert!(refused.contains("finish one of them") && refused.contains("in 24 h"), "{refused}");
    let before = bench.names();
    let hours = |hours: u64| std::time::SystemTime::now() - std::time::Duration::from_secs(hours * 3600);
    for (part, age) in before.iter().zip([25, 26, 23]) {
        let path = bench.data.path().join("firmware").join(part);
        fs::File::options().write(true).open(path).unwrap().set_modified(hours(age)).unwrap();
    }
    // The oldest first, and none that is younger than a day.
    for gone in [&before[1], &before[0]] {
        assert!(bench.names().contains(gone));
        begin(if *gone == before[1] { PARTS_MAX } else { PARTS_MAX + 1 }).unwrap();
        assert!(!bench.names().contains(gone));
    }
    assert!(begin(PARTS_MAX + 2).unwrap_err().to_string().contains("in 1 h"));
}

#[test]
fn a_unit_with_most_of_the_uploads_makes_way_for_another() {
    let bench = Bench::new();
    let begin = |n: usize, ou: &str| {
        block_on(bench.images.begin(Upload { ou: ou.to_owned(), ..upload(&firmware(n + 1), "1.0") }))
    };
    assert!((0..PARTS_MAX).all(|n| begin(n, "loud").is_ok()));
    let before = bench.names();
    let hour = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let path = bench.data.path().join("firmware").join(&before[3]);
    fs::File::options().write(true).open(path).unwrap().set_modified(hour).unwrap();
    assert!(matches!(begin(PARTS_MAX, "loud"), Err(StoreError::Conflict(_))));
    begin(PARTS_MAX, "other").unwrap();
    assert!(!bench.names().contains(&before[3]), "the one that was left alone for longest");
    // Down to half; then both have as much as they may.
    assert!((0..PARTS_MAX / 2 - 1).all(|n| begin(2 * PARTS_MAX + n, "other").is_ok()));
    assert!(matches!(begin(4 * PARTS_MAX, "other"), Err(StoreError::Conflict(_))));
    assert!(matches!(begin(4 * PARTS_MAX, "third"), Err(StoreError::Conflict(_))));
    assert_eq!(bench.names().len(), PARTS_MAX);
}

#[test]
fn the_uploads_of_a_product_go_with_it_and_no_others() {
    let bench = Bench::new();
    let of = |product_key: &str| Upload { product_key: product_key.to_owned(), ..upload(b"firmware", "1.0") };
    for product_key in ["pk", "pk2"] {
        block_on(bench.images.begin(of(product_key))).unwrap();
    }
    assert_eq!(bench.names().len(), 2);
    block_on(bench.images.remove_uploads("pk".to_owned())).unwrap();
    assert_eq!(bench.names().len(), 1);
    block_on(bench.images.begin(of("pk2"))).unwrap();
    assert_eq!(bench.names().len(), 1);
}
