//! The image of a firmware, by block-wise GET in the session of its device: `/ota/{imageId}`, and
//! `/f/{imageId}` where short paths are on.
//!
//! ```text
//! GET /ota/{imageId}  Block2 0/0/1024    2.05  ETag  Block2 0/1/1024  Size2 1000000
//! GET /ota/{imageId}  Block2 1/0/1024    2.05  ETag  Block2 1/1/1024
//! GET /ota/{imageId}  Block2 977/0/1024  4.00  (behind the end)
//! ```
//!
//! Each block is read anew for its request, and nothing is kept between two: a device goes on at any block,
//! in another session, after days, beside a server that was restarted. The ETag is the same for all blocks of
//! an image: the beginning of its SHA-256. A GET of block 0 (or of none) with that ETag, be it one of
//! several, is answered 2.03. A block has a number of 20 bits (RFC 7959, 2.2): of an image that has more
//! blocks of the size that is asked for, none is served, so that a device does not learn that after 16 MiB.
//!
//! | answer | when |
//! |---|---|
//! | 2.05 | a block |
//! | 2.03 | the device has the image already, as its ETag says |
//! | 4.00 | a block behind the end; blocks so small that their numbers end before the image does |
//! | 4.03 | a session by a product's secret; plain CoAP |
//! | 4.04 | no such image, or one that was not offered to the device's product |
//! | 4.05, 4.06, 4.12 | another method, Accept of another format than 42, If-Match or If-None-Match |
//! | 4.29 | more than [`AT_ONCE_MAX`] blocks at once |

use narrowgate_api::words::counted;
use narrowgate_coap::{Block, Code, OptionNumber, Request, Response, UriPath, format};

use super::super::{
    Action, Answer, forbidden_topic, number,
    options::{format_name, refuse_preconditions},
    path,
};
use crate::{
    firmware::{ETAG_BYTES, ImageId},
    model::log::Reason,
    ports::{ImagePiece, ImagePieceWanted},
    rules::{admission::Grant, identity::SecureMode, refusal::Refusal},
};

/// Blocks that a device may wait for at the same time. One with NSTART 1 waits for one.
pub const AT_ONCE_MAX: usize = 4;
/// Bits of the number of a block (RFC 7959, 2.2).
const BLOCK_NUMBER_BITS: u32 = 20;
/// The first segment of its path.
const ROOT: &str = "ota";

/// A block of an image that a device wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockWanted {
    /// Of which image.
    pub image: ImageId,
    /// Which one, and of which size at most.
    pub block: Block,
    /// The ETags of images that the device has.
    has: Vec<[u8; ETAG_BYTES]>,
}

impl BlockWanted {
    /// What is to be read, for a device of this product.
    pub fn piece(&self, product_key: &str) -> ImagePieceWanted {
        let (product_key, offset) = (product_key.to_owned(), self.block.offset() as u64);
        ImagePieceWanted { image: self.image, product_key, offset, len: self.block.bytes() }
    }

    /// The answer with what was read; `None`: there is no such image for the device.
    pub fn answer(&self, read: Option<ImagePiece>) -> Answer {
        let Some(ImagePiece { etag, size, bytes }) = read else {
            let image = self.image;
            let detail = format!(
                "there is no image {image} for devices of this product; fileUrl of the command has the path"
            );
            return Answer::refused(Code::NOT_FOUND, Refusal::new(Reason::PathUnknown, detail));
        };
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        if bytes.is_empty() {
            return Answer::refused(Code::BAD_REQUEST, behind_the_end(size));
        }
        if u64::from(size) > (self.block.bytes() as u64) << BLOCK_NUMBER_BITS {
            return Answer::refused(Code::BAD_REQUEST, too_small(self.block, size));
        }
        if self.block.number == 0 && self.has.contains(&etag) {
            return Answer::success(Response::new(Code::VALID).option(OptionNumber::ETAG, etag));
        }
        let content = Response::new(Code::CONTENT).option(OptionNumber::ETAG, etag);
        Answer::success(content.content_format(format::OCTET_STREAM).payload(bytes).block(self.block, size))
    }

    /// The answer where the session is not protected.
    pub fn unprotected() -> Answer {
        let detail =
            "an image is served by DTLS alone: by plain CoAP anyone on the path could put in another";
        let refusal = Refusal::new(Reason::TopicForeign, detail).with_number(number::TOPIC);
        Answer::refused(Code::FORBIDDEN, refusal)
    }

    /// The answer where the device waits for too many blocks already: 4.29.
    pub fn too_many() -> Response {
        Response::new(Code::TOO_MANY_REQUESTS).max_age(1)
    }
}

fn behind_the_end(size: u32) -> Refusal {
    let detail =
        format!("Block2 asks for a block behind the end of the image, which has {}", counted(size, "byte"));
    Refusal::new(Reason::OptionUnsupported, detail)
}

fn too_small(block: Block, size: u32) -> Refusal {
    let least = size.div_ceil(1 << BLOCK_NUMBER_BITS).next_power_of_two();
    let detail = format!(
        "Block2 asks for blocks of {} bytes, of which the image has too many ({size} bytes): their numbers \
         have 20 bits. Ask for blocks of {least} bytes or more",
        block.bytes()
    );
    Refusal::new(Reason::OptionUnsupported, detail)
}

/// The id of an image in a path; `None`: the path is none of an image. `Some(None)`: it is no id.
fn find(path: &UriPath) -> Option<Option<ImageId>> {
    let mut segments = path.segments();
    let is_root = segments.next()? == ROOT;
    let id = segments.next()?;
    (is_root && segments.next().is_none()).then(|| id.parse().ok())
}

/// Handles a request to the path of an image; `None`: the path is none.
pub(in super::super) fn handle(session: &Grant, request: &Request) -> Option<Action> {
    find(&request.path).map(|image| handle_image(session, request, image))
}

fn handle_image(session: &Grant, request: &Request, image: Option<ImageId>) -> Action {
    if session.mode == SecureMode::ProductSecret {
        let detail = "secure mode 3 may only GET its thing/activate/info: an image is for a device that has \
                      its own secret. Connect with secure mode 2 and the device's secret";
        return forbidden_topic(detail.to_owned());
    }
    if request.method != Code::GET {
        let (method, path) = (path::name_of(request.method), path::shown(&request.path));
        let detail = format!("{method} does not fit {path}: it takes GET only");
        let refusal = Refusal::new(Reason::MethodWrong, detail).with_number(number::METHOD);
        return Action::refuse(Code::METHOD_NOT_ALLOWED, refusal);
    }
    if let Some(refused) = refuse_preconditions(request) {
        return Action::Respond(refused);
    }
    fetch(request, image)
}

/// The same where the method and the preconditions were looked at.
pub(in super::super) fn fetch(request: &Request, image: Option<ImageId>) -> Action {
    let shown = path::shown(&request.path);
    if let Some(other) = request.accept.filter(|accept| *accept != format::OCTET_STREAM) {
        let detail = format!(
            "Accept asks for format {}; an image has format 42 (application/octet-stream): ask for that, or \
             leave Accept out",
            format_name(other)
        );
        return Action::refuse(Code::NOT_ACCEPTABLE, Refusal::new(Reason::NotAcceptable, detail));
    }
    let Some(image) = image else {
        let detail = format!("there is no path {shown}: the id of an image is 8 letters and digits");
        return Action::refuse(Code::NOT_FOUND, Refusal::new(Reason::PathUnknown, detail));
    };
    let block = request.block2.unwrap_or(Block::LARGEST);
    // RFC 7252, 5.10.6.2: a request may have several.
    let tags = request.options.iter().filter(|(number, _)| *number == OptionNumber::ETAG);
    let has = tags.filter_map(|(_, tag)| tag.try_into().ok()).collect();
    Action::ReadBlock(BlockWanted { image, block, has })
}
