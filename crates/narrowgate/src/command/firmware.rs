//! `firmware …`.

use std::{
    fs::File,
    io::{self, Read, Seek as _},
    path::Path,
};

use narrowgate_api::{
    firmware::{
        ImageFile, ImagePieceQuery, ImageView, NewImage, NewRollout, PausedBy, RolloutOffered, RolloutShown,
        UpgradeView, UploadView,
    },
    names::UnixMillis,
    query::Paging,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{
    backup::Progress,
    confirm::confirmed,
    pages::{self, Damage, Frame, List},
};
use crate::{
    cli::{FirmwareCommand, OfferArgs, Output, StatusArgs, UploadArgs},
    client::{Access, Call},
    config::Config,
    failure::Failure,
    output::{self, Column, Layout, printable},
};

/// Bytes of a piece of an upload: what a server has of it in memory.
const PIECE_BYTES: usize = 1 << 20;

const IMAGES: &[Column] = &[
    Column { field: "imageId", title: "IMAGE" },
    Column { field: "productKey", title: "PRODUCT" },
    Column { field: "version", title: "VERSION" },
    Column { field: "size", title: "BYTES" },
    Column { field: "uploadedAt", title: "UPLOADED" },
    Column { field: "file", title: "FILE" },
    Column { field: "rollout", title: "ROLLOUT" },
];

const DEVICES: &[Column] = &[
    Column { field: "productKey", title: "PRODUCT" },
    Column { field: "deviceKey", title: "DEVICE" },
    Column { field: "state", title: "STATE" },
    Column { field: "progress", title: "STEP" },
    Column { field: "reason", title: "REASON" },
    Column { field: "attempts", title: "OFFERS" },
    Column { field: "movedAt", title: "SINCE" },
    Column { field: "desc", title: "SAID" },
];

impl pages::Row for UpgradeView {}

impl pages::Row for ImageView {}

/// What was uploaded.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Uploaded {
    image_id: String,
    version: String,
    size: u64,
    sha256: String,
}

/// What was offered.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Offered {
    image_id: String,
    devices: u64,
    already_in: u64,
    have_it: u64,
    never_logged_in: u64,
    chosen: u64,
    of: u64,
    state: &'static str,
}

impl Offered {
    /// Why nobody was offered anything, for people; `None`: somebody was.
    fn why_nobody(&self) -> Option<String> {
        let Self { devices, have_it, chosen, of, .. } = self;
        match (devices, chosen) {
            (0, 0) => Some(format!(
                "none of the {of} devices is in this share: who is, is drawn by device and image, so of few \
                 devices a small share may have none; offer a greater one, or --device"
            )),
            (0, _) => Some(format!(
                "{chosen} of {of} devices are chosen, and none was to be told: {have_it} have the version, \
                 and the others were offered the image before"
            )),
            _ => None,
        }
    }
}

/// An image as a row of a table: its rollout in words.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    image_id: &'a str,
    product_key: &'a str,
    version: &'a str,
    size: u64,
    uploaded_at: UnixMillis,
    file: ImageFile,
    rollout: String,
}

impl<'a> Listed<'a> {
    fn new(image: &'a ImageView) -> Self {
        let rollout = image.rollout.map_or_else(
            || "not offered".to_owned(),
            |RolloutShown { share, paused_by, .. }| {
                let whom = share.map_or_else(|| "by name".to_owned(), |share| format!("{share} %"));
                match paused_by {
                    None => whom,
                    Some(_) => format!("{whom}, {}", state_of(paused_by, Output::Table)),
                }
            },
        );
        let ImageView { image_id, product_key, version, size, uploaded_at, file, .. } = image;
        Self { image_id, product_key, version, size: *size, uploaded_at: *uploaded_at, file: *file, rollout }
    }
}

/// What a rollout does: as the label of its metric, or in words for people.
const fn state_of(paused_by: Option<PausedBy>, output: Output) -> &'static str {
    match (paused_by, output) {
        (None, _) => "running",
        (Some(PausedBy::Operator), Output::Json) => "paused_by_operator",
        (Some(PausedBy::Failures), Output::Json) => "paused_by_failures",
        (Some(PausedBy::Operator), Output::Table) => "paused by an operator",
        (Some(PausedBy::Failures), Output::Table) => "paused by failures",
    }
}

pub(super) fn run(command: FirmwareCommand, config: &Config, output: Output) -> Result<(), Failure> {
    match command {
        FirmwareCommand::Upload(arguments) => upload(arguments, config, output),
        FirmwareCommand::List { product } => {
            let page = Access::open(config)?.call_once(Call::list_images(product))?;
            let mut damage = Damage::default();
            damage.note(&page);
            match output {
                Output::Json => output::print(output, &page.items, Layout::Rows(IMAGES))?,
                Output::Table => {
                    let rows: Vec<Listed<'_>> = page.items.iter().map(Listed::new).collect();
                    output::print(output, &rows, Layout::Rows(IMAGES))?;
                }
            }
            damage.warn();
            warn_of_files(&page.items);
            Ok(())
        }
        FirmwareCommand::Offer(arguments) => offer(arguments, config, output),
        FirmwareCommand::Status(arguments) => status(arguments, config, output),
        FirmwareCommand::Pause { image } => {
            let paused = Access::open(config)?.call_once(Call::pause_rollout(&image))?;
            output::print(output, &paused, Layout::Record)
        }
        FirmwareCommand::Resume { image } => {
            let resumed = Access::open(config)?.call_once(Call::resume_rollout(&image))?;
            output::print(output, &resumed, Layout::Record)
        }
        FirmwareCommand::Delete { image, yes } => {
            confirmed(yes, "nothing was deleted", || {
                let ImageView { product_key, version, .. } =
                    Access::open(config)?.call_once(Call::show_image(&image))?;
                let [product_key, version] = [product_key, version].map(|text| printable(&text));
                Ok(format!("delete image {} (version {version} of {product_key})?", printable(&image)))
            })?;
            let deleted = Access::open(config)?.call_once(Call::delete_image(&image))?;
            output::print(output, &deleted, Layout::Record)
        }
    }
}

/// Says which images no device gets.
fn warn_of_files(images: &[ImageView]) {
    let lacking: Vec<&ImageView> = images.iter().filter(|image| image.file != ImageFile::Stored).collect();
    let Some(first) = lacking.first() else { return };
    let images = if lacking.len() == 1 { "image has" } else { "images have" };
    let [id, product_key, version] =
        [&first.image_id, &first.product_key, &first.version].map(|text| printable(text));
    output::note(format_args!(
        "warning: {} {images} no whole file, and no device gets it; first: {id}, version {version} of \
         {product_key}. Upload the same file again: narrowgate firmware upload FILE --product PK --version V",
        lacking.len(),
    ));
}

fn upload(arguments: UploadArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let UploadArgs { file: path, product: product_key, version } = arguments;
    let unreadable = |error: io::Error| {
        Failure::failed("cannot read the image").file(path.display()).reason(error).hint("check its name")
    };
    let mut file = open(&path, unreadable)?;
    let (size, sha256) = sum_of(&mut file).map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    let new = NewImage { product_key, version, size, sha256 };
    let mut access = Access::open(config)?;
    let sent = send(&mut access, &new, &mut file, &path);
    let closed = access.close();
    let ImageView { image_id, version, size, sha256, .. } = sent.and_then(|image| closed.map(|()| image))?;
    output::print(output, &Uploaded { image_id, version, size, sha256 }, Layout::Record)
}

/// Opens the file of an image; `-`: the one on standard input.
fn open(path: &Path, unreadable: impl Fn(io::Error) -> Failure) -> Result<File, Failure> {
    let is_file = |file: &File| file.metadata().is_ok_and(|found| found.is_file());
    if path.as_os_str() == "-" {
        let opened = File::open("/dev/stdin").ok().filter(is_file);
        return opened.ok_or_else(|| {
            Failure::failed("cannot read the image")
                .file("standard input")
                .reason("it is not a file: an upload says the size and the SHA-256 before it sends the bytes")
                .hint("write them to a file, and name that; or redirect one: firmware upload - <FILE")
        });
    }
    let file = File::open(path).map_err(unreadable)?;
    match is_file(&file) {
        true => Ok(file),
        false => {
            Err(Failure::failed("cannot read the image").file(path.display()).reason("it is not a file"))
        }
    }
}

/// Sends the file from where an earlier upload of it stopped.
fn send(access: &mut Access, new: &NewImage, file: &mut File, path: &Path) -> Result<ImageView, Failure> {
    let changed = |reason: &str| {
        Failure::failed("cannot upload the firmware")
            .file(path.display())
            .reason(reason)
            .hint("upload it again")
    };
    let mut progress = Progress::new("uploaded");
    let mut upload = access.call(Call::begin_image(new))?;
    let sent = loop {
        let received = match upload {
            UploadView { image: Some(image), .. } => break Ok(image),
            UploadView { received, image: None } => received,
        };
        progress.show(received, new.size);
        let piece = match piece_at(file, received) {
            Ok(piece) if piece.is_empty() => break Err(changed("the file became shorter meanwhile")),
            Ok(piece) => piece,
            Err(error) => {
                break Err(Failure::failed("cannot read the image").file(path.display()).reason(error));
            }
        };
        let NewImage { product_key, version, size, sha256 } = new.clone();
        let query = ImagePieceQuery { product_key, version, size, sha256, offset: received };
        match access.call(Call::take_image_piece(&query, piece)) {
            Ok(next) if next.image.is_none() && next.received <= received => {
                break Err(changed("the server took nothing of a piece"));
            }
            Ok(next) => upload = next,
            Err(failure) => break Err(failure.part("received", format_args!("{received} bytes of {size}"))),
        }
    };
    progress.end();
    sent
}

/// The bytes of a piece that begins here; fewer at the end.
fn piece_at(file: &mut File, offset: u64) -> io::Result<Vec<u8>> {
    file.seek(io::SeekFrom::Start(offset))?;
    let mut piece = Vec::new();
    file.take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
    Ok(piece)
}

/// How long a file is, and its SHA-256 in hexadecimal digits; reads it in pieces.
fn sum_of(file: &mut File) -> io::Result<(u64, String)> {
    let (mut hash, mut bytes, mut offset) = (Sha256::new(), piece_at(file, 0)?, 0);
    while !bytes.is_empty() {
        hash.update(&bytes);
        offset += bytes.len() as u64;
        bytes = piece_at(file, offset)?;
    }
    Ok((offset, hex::encode(hash.finalize())))
}

fn offer(arguments: OfferArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let OfferArgs { image, device, share } = arguments;
    let mut access = Access::open(config)?;
    let is_served = matches!(access, Access::Server(_));
    let mut offered = RolloutOffered {
        image_id: image.clone(),
        devices: 0,
        already_in: 0,
        have_it: 0,
        never_logged_in: 0,
        paused_by: None,
        chosen: 0,
        of: 0,
        next_cursor: None,
    };
    let rollout = NewRollout { image_id: image, device: None, share, cursor: None };
    let parts: Vec<NewRollout> = match share {
        Some(_) => vec![rollout],
        None => device.into_iter().map(|it| NewRollout { device: Some(it), ..rollout.clone() }).collect(),
    };
    let made = parts.into_iter().try_for_each(|part| offer_whole(&mut access, part, &mut offered));
    let closed = access.close();
    made.and(closed)?;
    let RolloutOffered { image_id, devices, already_in, have_it, never_logged_in, chosen, of, .. } = offered;
    let state = state_of(offered.paused_by, output);
    let shown = Offered { image_id, devices, already_in, have_it, never_logged_in, chosen, of, state };
    output::print(output, &shown, Layout::Record)?;
    if let Some(why) = shown.why_nobody() {
        output::note(why);
    }
    note_waiting(&shown, offered.paused_by.is_some(), is_served);
    Ok(())
}

/// What devices that were offered an image wait for.
fn note_waiting(offered: &Offered, is_paused: bool, is_served: bool) {
    if is_paused {
        let image = printable(&offered.image_id);
        output::note(format_args!(
            "the rollout is paused: devices are told once it goes on (narrowgate firmware resume {image})"
        ));
    }
    match offered.never_logged_in {
        0 => {}
        1 => output::note("1 device waits for its first login"),
        more => output::note(format_args!("{more} devices wait for their first login")),
    }
    if !is_served {
        output::note("no server is running: devices are told once one serves them");
    }
}

/// Asks until all of an offer is made.
fn offer_whole(
    access: &mut Access,
    mut part: NewRollout,
    offered: &mut RolloutOffered,
) -> Result<(), Failure> {
    loop {
        let step = access.call(Call::offer_image(&part))?;
        offered.devices += step.devices;
        offered.already_in += step.already_in;
        offered.have_it += step.have_it;
        offered.never_logged_in += step.never_logged_in;
        offered.paused_by = step.paused_by;
        offered.chosen += step.chosen;
        offered.of += step.of;
        part.cursor = step.next_cursor;
        if part.cursor.is_none() {
            return Ok(());
        }
    }
}

fn status(arguments: StatusArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let StatusArgs { image, devices, paging } = arguments;
    if !devices {
        let shown = Access::open(config)?.call_once(Call::show_rollout(&image))?;
        return output::print(output, &shown, Layout::Record);
    }
    let list = List { layout: Layout::Rows(DEVICES), frame: Frame::Array };
    pages::run(&list, paging.into(), config, output, |limit, cursor| {
        Call::list_rollout_devices(&image, &Paging { limit: Some(limit), cursor })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none_offered() -> Offered {
        Offered {
            image_id: "Ab3dEf7h".to_owned(),
            devices: 0,
            already_in: 0,
            have_it: 0,
            never_logged_in: 0,
            chosen: 0,
            of: 0,
            state: "running",
        }
    }

    #[test]
    fn an_offer_that_told_nobody_says_why() {
        let why = |devices, have_it, chosen, of| {
            Offered { devices, have_it, chosen, of, ..none_offered() }.why_nobody()
        };
        assert_eq!(why(1, 0, 1, 9), None);
        let nobody = why(0, 0, 0, 9).expect("nobody was told");
        assert!(nobody.starts_with("none of the 9 devices is in this share"), "{nobody}");
        let again = why(0, 1, 3, 9).expect("nobody was told");
        assert!(again.starts_with("3 of 9 devices are chosen, and none was to be told: 1 have"), "{again}");
    }
}
