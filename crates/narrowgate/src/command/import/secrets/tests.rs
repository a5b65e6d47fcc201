//! What is in the file at every moment at which an import may be cut off.

use super::*;

const PRODUCT: &str = "pk";

fn row(key: &str) -> ImportRow {
    ImportRow { line: 2, device_key: key.into(), ..ImportRow::default() }
}

fn rows<const N: usize>(keys: [&str; N]) -> Vec<ImportRow> {
    keys.map(row).into()
}

fn in_force<const N: usize>(devices: [(&str, &str); N]) -> Vec<DeviceCreated> {
    let created = |(asset_id, device_key): (&str, &str)| DeviceCreated {
        asset_id: asset_id.into(),
        product_key: PRODUCT.into(),
        device_key: device_key.into(),
        device_secret: SecretText::new("Z5YtZaQpK5IWocakV7zQ".into()),
        warnings: Vec::new(),
    };
    devices.map(created).into()
}

fn secret(row: &ImportRow) -> &str {
    row.device_secret.as_ref().expect("one was drawn").expose()
}

fn open(path: &Path) -> SecretsFile {
    SecretsFile::open(path, PRODUCT).unwrap()
}

fn refused(path: &Path) -> String {
    SecretsFile::open(path, PRODUCT).err().expect("it is not of this import").to_string()
}

/// A folder, and the name of the file in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secrets.csv");
    (directory, path)
}

#[test]
fn secrets_are_in_the_file_before_anybody_else_knows_them() {
    let (_directory, path) = place();
    let mut secrets = open(&path);
    let mut drawn = rows(["d1", "d\"2", "d 3"]);
    drawn[0].device_secret = Some(SecretText::new("brought".into()));
    drawn.push(row("d4"));
    secrets.draw(&mut drawn).unwrap();
    assert_eq!(secret(&drawn[0]), "brought");
    assert_eq!(drawn.iter().map(|row| row.is_generated).collect::<Vec<_>>(), [false, true, false, true]);
    let (second, fourth) = (secret(&drawn[1]), secret(&drawn[3]));
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("{HEADER}        ,pk,\"d\"\"2\",{second}\n        ,pk,d4,{fourth}\n\n"));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    secrets.settle(&in_force([("Ab3dEf6h", "d\"2"), ("Ab3dEf6i", "d4")])).unwrap();
    assert_eq!(secrets.finish(false).unwrap(), 0);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("{HEADER}Ab3dEf6h,pk,\"d\"\"2\",{second}\nAb3dEf6i,pk,d4,{fourth}\n"));
}

#[test]
fn the_next_import_goes_on_with_the_secrets_of_one_that_was_cut_off() {
    let (_directory, path) = place();
    let mut first = open(&path);
    let mut drawn = rows(["d1", "d2"]);
    first.draw(&mut drawn).unwrap();
    first.settle(&in_force([("Ab3dEf6h", "d1"), ("Ab3dEf6i", "d2")])).unwrap();
    let mut unknown = rows(["d3", "d4"]);
    first.draw(&mut unknown).unwrap();
    drop(first);
    // It was killed while it wrote.
    let marked = fs::read_to_string(&path).unwrap();
    let whole = marked.strip_suffix('\n').expect("an empty line follows").to_owned();
    for end in ["", "\n", "        ,pk,d5,Z5Yt", "\0\0\0\0\n        ,pk,d6,Z5YtZaQpK5IWocakV7zQ\n", "    "] {
        fs::write(&path, format!("{whole}{end}")).unwrap();
        let mut second = open(&path);
        assert_eq!(second.earlier(), Some(4));
        assert_eq!(fs::read_to_string(&path).unwrap(), marked);
        let mut again = rows(["d1", "d2", "d3", "d4"]);
        second.draw(&mut again).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), marked, "nothing is doubled");
        for (row, before) in again.iter().zip(drawn.iter().chain(&unknown)) {
            assert_eq!((secret(row), row.is_generated), (secret(before), true));
        }
        // That one fails as well, without an answer.
        second.finish(true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), marked);
    }
    let mut third = open(&path);
    third.draw(&mut rows(["d1", "d2", "d3"])).unwrap();
    // Somebody has registered d1 anew meanwhile.
    third.settle(&in_force([("Ab3dEf6i", "d2"), ("Ab3dEf6j", "d3")])).unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("        ,pk,d1,"));
    assert_eq!(third.finish(false).unwrap(), 1, "nobody knows about d4");
    let [second, third, fourth] = [&drawn[1], &unknown[0], &unknown[1]].map(secret);
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        format!("{HEADER}Ab3dEf6i,pk,d2,{second}\nAb3dEf6j,pk,d3,{third}\n        ,pk,d4,{fourth}\n")
    );
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_file_beside_it_is_nobody_s_to_remove_but_a_draft_of_an_import_is() {
    let (_directory, path) = place();
    let users = path.with_file_name("secrets.csv.new");
    fs::write(&users, "mine").unwrap();
    let other = path.with_file_name(".secrets.csv.0123456789abcdeg.draft");
    fs::write(&other, "mine").unwrap();
    // Of an import that was killed while it wrote the file anew.
    let draft = drafts::name(&path);
    fs::write(&draft, HEADER).unwrap();
    fs::write(&path, format!("{HEADER}\n")).unwrap();
    let mut secrets = open(&path);
    assert!(!draft.exists());
    secrets.draw(&mut rows(["d1", "d2"])).unwrap();
    secrets.settle(&in_force([("Ab3dEf6h", "d1")])).unwrap();
    secrets.finish(false).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2, "d2 was refused");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    for kept in [users, other] {
        assert_eq!(fs::read_to_string(kept).unwrap(), "mine");
    }
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 3);
}

#[test]
fn a_half_written_asset_id_is_none() {
    let (_directory, path) = place();
    fs::write(&path, format!("{HEADER}Ab3     ,pk,d1,Z5YtZaQpK5IWocakV7zQ\n")).unwrap();
    let mut secrets = open(&path);
    secrets.draw(&mut rows(["d1"])).unwrap();
    secrets.settle(&in_force([("Ab3dEf6h", "d1")])).unwrap();
    secrets.finish(false).unwrap();
    let expected = format!("{HEADER}Ab3dEf6h,pk,d1,Z5YtZaQpK5IWocakV7zQ\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
}

#[test]
fn a_file_of_something_else_is_not_touched() {
    let (directory, path) = place();
    let line = "Ab3dEf6h,pk,d1,Z5YtZaQpK5IWocakV7zQ\n";
    for (text, reason) in [
        (HEADER.to_owned(), "an import that was finished"),
        (format!("{HEADER}{line}"), "an import that was finished"),
        ("kept".to_owned(), "its header is not"),
        ("\n".to_owned(), "its header is not"),
        (format!("deviceKey\n{line}"), "its header is not"),
        (format!("{HEADER}{}", line.replace("pk", "other")), "line 2: it belongs to another product"),
        (format!("{HEADER}{line}{line}"), "line 3: its device already has a line"),
        (format!("{HEADER}{}", line.replace("zQ\n", "z\n")), "line 2: its secret is not a generated one"),
        (format!("{HEADER}d1,s1\n"), "line 2: it does not have the four fields"),
        (format!("{HEADER}{}", line.replace("Ab", "A")), "line 2: its asset id is not valid"),
        (format!("{HEADER}\0\n{line}"), "line 3: it follows a damaged line"),
        (format!("{HEADER}{}\n", "x".repeat(2000)), "line 2: it does not have"),
    ] {
        fs::write(&path, &text).unwrap();
        let failure = refused(&path);
        assert!(failure.contains("exists already") && failure.contains(reason), "{text:?}: {failure}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    let link = directory.path().join("link.csv");
    fs::write(&path, "").unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(refused(&link).contains("not a regular file"));
    let _held = open(&path);
    assert!(refused(&path).contains("another import"));
}

/// A process that is started at that moment has the descriptor until it runs its own program.
#[test]
fn the_lock_goes_with_the_import_and_not_with_the_last_copy_of_its_descriptor() {
    let (_directory, path) = place();
    let secrets = open(&path);
    let _inherited = secrets.file.try_clone().unwrap();
    assert!(refused(&path).contains("another import"));
    drop(secrets);
    open(&path).finish(false).unwrap();
}

#[test]
fn a_file_that_was_just_begun_is_gone_on_with() {
    let (_directory, path) = place();
    for text in ["", "assetId,prod", &format!("{HEADER}\n")] {
        fs::write(&path, text).unwrap();
        open(&path).finish(true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{HEADER}\n"));
    }
}

#[test]
fn a_new_file_that_got_no_secret_of_a_failed_import_is_removed() {
    let (directory, path) = place();
    open(&path).finish(true).unwrap();
    assert!(!path.exists());
    // The registry may have got these.
    let mut secrets = open(&path);
    secrets.draw(&mut rows(["d1"])).unwrap();
    secrets.finish(true).unwrap();
    assert!(path.exists());
    fs::remove_file(&path).unwrap();
    open(&path).finish(false).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), HEADER);
    assert!(SecretsFile::open(&directory.path().join("none/secrets.csv"), PRODUCT).is_err());
}
