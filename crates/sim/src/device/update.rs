//! A device that is offered new firmware (device protocol, section 11): it fetches the image block by block,
//! checks it, and says how far it is.
//!
//! ```text
//! block 0, 1, … ──▶ (progress at each quarter) ──▶ SHA-256 ──▶ progress 100 ──▶ inform of the new version
//!      │ no answer, a new session, 4.29, 5.03: the same block again             │ it does not fit: -3
//!      │ another ETag: from block 0                                             ▼
//!      ▼ any other answer: progress -2                                         over
//!    over
//! ```
//!
//! Pure: [`Update::request`] says what is to be asked, again and again until it is answered, in whichever
//! session there is then; the server keeps nothing between two blocks. Of the image the sum is kept and not
//! the bytes: there is nothing to burn.

use std::time::Duration;

use narrowgate_coap::{Block, Code, OptionNumber, Request, Response, format};
use narrowgate_platform::device_api::cbor;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::message::{json_of, post_json};

/// Longest image that a simulated device takes, bytes.
pub const IMAGE_BYTES_MAX: usize = 256 << 20;
/// Progress is told each time that so many hundredths more are fetched.
const TOLD_EACH: usize = 25;
/// How long to wait where the server says that it is busy and not for how long.
const WAIT: Duration = Duration::from_secs(60);

/// Steps of a device that has failed (device protocol, section 11).
pub mod step {
    /// It could not be upgraded.
    pub const UPGRADE: i8 = -1;
    /// The image could not be fetched.
    pub const DOWNLOAD: i8 = -2;
    /// The image is not what its sign says.
    pub const VERIFY: i8 = -3;
    /// The image could not be written.
    pub const BURN: i8 = -4;
    /// Nothing is left to be done.
    pub const DONE: i8 = 100;
}

/// What the command says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The version that the image is.
    pub version: String,
    /// SHA-256 of the image, in lower-case hexadecimal.
    pub sha256: String,
    /// The path of the image.
    pub path: String,
    /// Its length, bytes.
    pub bytes: usize,
}

impl Offer {
    /// Reads the `params` of a command, JSON.
    ///
    /// # Errors
    /// Why it is no offer that this device takes.
    pub fn parse(params: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Params {
            version: String,
            sign: String,
            sign_method: String,
            file_url: String,
            file_size: usize,
        }
        let params: Params = serde_json::from_str(params).map_err(|error| error.to_string())?;
        if !params.sign_method.eq_ignore_ascii_case("sha256") {
            return Err(format!("signMethod is {}; the device knows SHA256", params.sign_method));
        }
        if params.file_size > IMAGE_BYTES_MAX {
            return Err(format!("the image has {} bytes", params.file_size));
        }
        let path = match params.file_url.split_once("://") {
            Some((_, rest)) => rest.split_once('/').map(|(_, path)| format!("/{path}")),
            None => params.file_url.starts_with('/').then_some(params.file_url.clone()),
        };
        let path = path.ok_or_else(|| format!("fileUrl is {}, which has no path", params.file_url))?;
        let (version, sha256, bytes) = (params.version, params.sign.to_lowercase(), params.file_size);
        Ok(Self { version, sha256, path, bytes })
    }
}

/// How a device talks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialect {
    /// By topics.
    Topics {
        /// What they begin with: `/topic/sys/PK/DK`.
        base: String,
        /// JSON or CBOR.
        content_format: u16,
    },
    /// By short paths.
    Short,
}

/// What came of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Took {
    /// [`Update::request`] is what comes next.
    On,
    /// It is to be asked again after this time.
    Wait(Duration),
    /// Nothing more is to be asked.
    Over(Outcome),
}

/// How an update has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The device has the new version, and the server knows it.
    Updated,
    /// The device has failed in this step, and the server knows it.
    Failed(i8),
    /// The server does not want it any more, or refuses what the device says.
    Stopped(String),
}

/// See the module.
#[derive(Debug)]
pub struct Update {
    offer: Offer,
    dialect: Dialect,
    block_bytes: usize,
    /// Bytes that are fetched, and their sum.
    fetched: usize,
    sum: Sha256,
    tag: Vec<u8>,
    /// Blocks that were fetched, those of an image that was begun anew among them.
    blocks: u32,
    /// What is to be told before the next block.
    to_tell: Option<i8>,
    /// Hundredths that were told.
    told: usize,
    phase: Phase,
    /// The device fails in this step, however good the image is.
    fault: Option<i8>,
    messages: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Fetching,
    /// All is fetched and checked.
    Fetched,
    /// The server is informed of the version next.
    Informing,
    Failed,
}

impl Update {
    /// An update that nothing is fetched of, in blocks of at most so many bytes.
    pub fn new(offer: Offer, dialect: Dialect, block_bytes: usize) -> Self {
        Self {
            offer,
            dialect,
            block_bytes,
            fetched: 0,
            sum: Sha256::new(),
            tag: Vec::new(),
            blocks: 0,
            to_tell: None,
            told: 0,
            phase: Phase::Fetching,
            fault: None,
            messages: 0,
        }
    }

    /// The same of a device that fails in this step, if in any.
    #[must_use]
    pub const fn that_fails(mut self, step: Option<i8>) -> Self {
        self.fault = step;
        self
    }

    /// Bytes that are fetched.
    pub const fn fetched(&self) -> usize {
        self.fetched
    }

    /// What was offered.
    pub const fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Blocks that were fetched.
    pub const fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Whether [`Self::request`] asks for a block.
    pub fn is_fetching(&self) -> bool {
        self.to_tell.is_none() && self.phase == Phase::Fetching
    }

    /// What is to be asked now.
    pub fn request(&mut self) -> Request {
        match (self.to_tell, self.phase) {
            (Some(step), _) => {
                let what = if step < 0 { "failed" } else { "on its way" };
                self.post("progress", &format!(r#"{{"step":"{step}","desc":"{what}"}}"#))
            }
            (None, Phase::Fetching) => {
                let number = (self.fetched / self.block_bytes) as u32;
                let mut request = Request::get(&self.offer.path);
                if let Some(block) = Block::new(number, false, self.block_bytes) {
                    request.options.insert_uint(OptionNumber::BLOCK2, block.value());
                }
                request
            }
            (None, _) => {
                let version = serde_json::Value::from(self.offer.version.as_str());
                self.post("inform", &format!(r#"{{"version":{version}}}"#))
            }
        }
    }

    fn post(&mut self, topic: &str, params: &str) -> Request {
        self.messages += 1;
        match &self.dialect {
            Dialect::Short => Request::post("/o", format::CBOR, cbor::from_json(params.as_bytes())),
            Dialect::Topics { base, content_format } => {
                let id = self.messages;
                let body = format!(
                    r#"{{"id":"{id}","version":"1.0","params":{params},"method":"ota.device.{topic}"}}"#
                );
                post_json(&format!("{base}/ota/device/{topic}"), *content_format, &body)
            }
        }
    }

    /// Takes the answer to [`Self::request`].
    pub fn handle_answer(&mut self, response: &Response) -> Took {
        if matches!(response.code, Code::TOO_MANY_REQUESTS | Code::SERVICE_UNAVAILABLE) {
            let seconds = response.options.find_uint(OptionNumber::MAX_AGE);
            return Took::Wait(seconds.map_or(WAIT, |seconds| Duration::from_secs(seconds.into())));
        }
        if self.is_fetching() {
            return self.take_block(response);
        }
        if let Some(reason) = self.refusal(response) {
            return Took::Over(Outcome::Stopped(reason));
        }
        match (self.to_tell.take(), self.phase) {
            (Some(step), Phase::Failed) => Took::Over(Outcome::Failed(step)),
            (Some(_), Phase::Fetching) => Took::On,
            (Some(_), _) => {
                self.phase = Phase::Informing;
                Took::On
            }
            (None, _) => Took::Over(Outcome::Updated),
        }
    }

    /// Why a message was not taken; `None` if it was.
    fn refusal(&self, response: &Response) -> Option<String> {
        #[derive(Deserialize)]
        struct Reply {
            code: i64,
            message: Option<String>,
        }
        if response.code != Code::CHANGED {
            return Some(format!("it was answered {}", response.code));
        }
        let json = json_of(response);
        if self.dialect == Dialect::Short {
            return (!json.is_empty()).then(|| String::from_utf8_lossy(&json).into_owned());
        }
        match serde_json::from_slice(&json) {
            Ok(Reply { code: 200, .. }) => None,
            Ok(Reply { code, message }) => Some(format!("{code} {}", message.unwrap_or_default())),
            Err(error) => Some(error.to_string()),
        }
    }

    fn take_block(&mut self, response: &Response) -> Took {
        let block = response.options.find_uint(OptionNumber::BLOCK2).and_then(Block::from_value);
        let (Code::CONTENT | Code::CHANGED, Some(block)) = (response.code, block) else {
            return self.fail(step::DOWNLOAD);
        };
        let tag = response.options.find(OptionNumber::ETAG).unwrap_or_default();
        if self.fetched > 0 && self.tag != tag {
            // RFC 7959, section 2.4: it is another image, so this one begins anew.
            (self.fetched, self.sum, self.told) = (0, Sha256::new(), 0);
            return Took::On;
        }
        let end = self.fetched + response.payload.len();
        if block.offset() != self.fetched || end > self.offer.bytes {
            return self.fail(step::DOWNLOAD);
        }
        self.tag = tag.to_vec();
        self.block_bytes = block.bytes();
        self.blocks += 1;
        self.fetched = end;
        self.sum.update(&response.payload);
        if !block.more {
            return self.check();
        }
        let percent = self.fetched * 100 / self.offer.bytes.max(1);
        if percent >= self.told + TOLD_EACH {
            self.told = percent - percent % TOLD_EACH;
            self.to_tell = i8::try_from(self.told).ok();
        }
        Took::On
    }

    /// All is fetched.
    fn check(&mut self) -> Took {
        let digest = std::mem::take(&mut self.sum).finalize();
        let sum: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        if self.fetched != self.offer.bytes || sum != self.offer.sha256 {
            return self.fail(step::VERIFY);
        }
        if let Some(step) = self.fault {
            return self.fail(step);
        }
        (self.phase, self.to_tell) = (Phase::Fetched, Some(step::DONE));
        Took::On
    }

    fn fail(&mut self, step: i8) -> Took {
        (self.phase, self.to_tell) = (Phase::Failed, Some(step));
        Took::On
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|index| (index / 7) as u8).collect()
    }

    fn offer(image: &[u8]) -> Offer {
        let sum: String = Sha256::digest(image).iter().map(|byte| format!("{byte:02X}")).collect();
        let params = format!(
            r#"{{"version":"2.0","sign":"{sum}","signMethod":"SHA256",
            "fileUrl":"coaps://host:5684/ota/a1","fileSize":{}}}"#,
            image.len()
        );
        Offer::parse(&params).expect("an offer")
    }

    fn update(image: &[u8], block_bytes: usize) -> Update {
        let base = "/topic/sys/p/d".to_owned();
        Update::new(offer(image), Dialect::Topics { base, content_format: format::JSON }, block_bytes)
    }

    /// As the server answers, with blocks of at most so many bytes.
    fn answer(image: &[u8], request: &Request, bytes_max: usize, tag: &[u8]) -> Response {
        if request.method == Code::POST {
            return Response::new(Code::CHANGED).payload(r#"{"id":"1","code":200,"data":{}}"#);
        }
        let wanted = request.options.find_uint(OptionNumber::BLOCK2).and_then(Block::from_value);
        let wanted = wanted.expect("a block is wanted");
        let offset = wanted.offset();
        let bytes = wanted.bytes().min(bytes_max);
        let payload = &image[offset..image.len().min(offset + bytes)];
        let more = offset + payload.len() < image.len();
        let block = Block::new((offset / bytes) as u32, more, bytes).expect("a block");
        let mut response = Response::new(Code::CONTENT).option(OptionNumber::ETAG, tag).payload(payload);
        response.options.insert_uint(OptionNumber::BLOCK2, block.value());
        response
    }

    /// Runs it to its end; returns what was posted, too.
    fn run(mut update: Update, image: &[u8], bytes_max: usize) -> (Outcome, Vec<String>) {
        let mut posted = Vec::new();
        for _ in 0..1000 {
            let request = update.request();
            if request.method == Code::POST {
                posted.push(String::from_utf8_lossy(&request.payload).into_owned());
            }
            if let Took::Over(outcome) = update.handle_answer(&answer(image, &request, bytes_max, b"t")) {
                return (outcome, posted);
            }
        }
        panic!("it has no end");
    }

    #[test]
    fn an_image_is_fetched_checked_and_told_of() {
        let image = image(5000);
        for bytes_max in [1024, 256] {
            let (outcome, posted) = run(update(&image, 1024), &image, bytes_max);
            assert_eq!(outcome, Outcome::Updated);
            let steps: Vec<bool> = ["\"25\"", "\"50\"", "\"75\"", "\"100\""]
                .iter()
                .map(|step| posted.iter().any(|posted| posted.contains(step)))
                .collect();
            assert!(steps.iter().all(|told| *told), "{posted:?}");
            assert!(posted.last().is_some_and(|last| last.contains(r#""params":{"version":"2.0"}"#)));
        }
    }

    #[test]
    fn an_image_that_is_not_what_its_sign_says_is_told_of_and_not_taken() {
        let (right, mut wrong) = (image(3000), image(3000));
        wrong[2999] ^= 1;
        let (outcome, posted) = run(update(&right, 512), &wrong, 1024);
        assert_eq!(outcome, Outcome::Failed(step::VERIFY));
        assert!(posted.last().is_some_and(|last| last.contains(r#""step":"-3""#)), "{posted:?}");
        let failing = update(&right, 512).that_fails(Some(step::BURN));
        assert_eq!(run(failing, &right, 1024).0, Outcome::Failed(step::BURN));
    }

    #[test]
    fn a_busy_server_is_asked_again_and_another_image_begins_anew() {
        let image = image(3000);
        let mut update = update(&image, 1024);
        let request = update.request();
        assert_eq!(update.handle_answer(&answer(&image, &request, 1024, b"one")), Took::On);
        let busy = Response::new(Code::TOO_MANY_REQUESTS).max_age(7);
        while !update.is_fetching() {
            let request = update.request();
            update.handle_answer(&answer(&image, &request, 1024, b""));
        }
        assert_eq!(update.handle_answer(&busy), Took::Wait(Duration::from_secs(7)));
        let request = update.request();
        assert_eq!(update.handle_answer(&answer(&image, &request, 1024, b"two")), Took::On);
        assert_eq!(update.fetched(), 0);
        let gone = Response::new(Code::NOT_FOUND);
        assert_eq!(update.handle_answer(&gone), Took::On);
        let told = update.request();
        assert!(String::from_utf8_lossy(&told.payload).contains(r#""step":"-2""#));
    }

    #[test]
    fn what_is_no_offer_is_refused_with_the_reason() {
        let good = offer(&image(10));
        assert_eq!((good.path.as_str(), good.bytes, good.sha256.len()), ("/ota/a1", 10, 64));
        for (params, words) in [
            ("{}", "missing field"),
            (
                r#"{"version":"1","sign":"0","signMethod":"MD5","fileUrl":"/f/1","fileSize":1}"#,
                "signMethod is MD5",
            ),
            (r#"{"version":"1","sign":"0","signMethod":"SHA256","fileUrl":"x","fileSize":1}"#, "no path"),
            (
                r#"{"version":"1","sign":"0","signMethod":"SHA256","fileUrl":"/f/1","fileSize":999999999}"#,
                "999999999 bytes",
            ),
        ] {
            let refused = Offer::parse(params).expect_err("it is no offer");
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn a_message_by_a_short_path_is_a_map() {
        let mut update = Update::new(offer(&image(0)), Dialect::Short, 64);
        update.fail(step::DOWNLOAD);
        let request = update.request();
        assert_eq!((request.path_text(), request.content_format), ("/o", Some(format::CBOR)));
        let refused = cbor::from_json(br#"[764,"no task"]"#);
        let refused = Response::new(Code::CHANGED).content_format(format::CBOR).payload(refused);
        let stopped = Outcome::Stopped(r#"[764,"no task"]"#.to_owned());
        assert_eq!(update.handle_answer(&refused), Took::Over(stopped));
    }
}
