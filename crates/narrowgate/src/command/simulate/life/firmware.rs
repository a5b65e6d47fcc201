//! A device that takes new firmware, with `--update`: it accepts the command that offers an image, fetches
//! the image where it is, block by block, and ends when the server knows its new version. While it fetches
//! it does not report; where a block is not answered, the next report begins another session, and it goes on
//! at that block. What it asks for in vain [`TRIES_MAX`] times it gives up, and says what the server said.

use std::time::{Duration, Instant};

use narrowgate_coap::{Block, Code, Request, Response};
use narrowgate_sim::device::update::{Dialect, Offer, Outcome, Took, Update};
use serde_json::value::RawValue;

use super::{Life, Line, What};

/// The method of a command that offers firmware.
const UPGRADE: &str = "ota.device.upgrade";
/// The code of a reply: the device could not do it.
const HANDLER_FAILED: i32 = 1102;

/// So often the same thing is asked, where the server is busy or says nothing, before the update is given up.
const TRIES_MAX: u32 = 10;
/// Pauses between them: what the server says, within these.
const PAUSES: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// What a device does about firmware.
#[derive(Debug, Default)]
pub(super) struct Firmware {
    /// What it takes once its reply to the command is acknowledged.
    accepted: Option<Update>,
    update: Option<Update>,
    /// The server is busy until then.
    wait_until: Option<Instant>,
    /// How often what is asked now was asked in vain.
    tries: u32,
    /// What the server answered instead of a block.
    refusal: Option<String>,
    /// Bytes of which was told.
    told: usize,
    pub(super) has_ended: bool,
}

impl Firmware {
    /// When it goes on, where it waits.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.wait_until.filter(|_| self.update.is_some())
    }

    /// What waits is asked again, if it is time.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        let is_due = self.poll_timeout().is_some_and(|due| due <= now);
        self.wait_until = self.wait_until.filter(|_| !is_due);
        is_due
    }

    /// Whether it has begun something that is not done.
    pub(super) const fn is_under_way(&self) -> bool {
        self.accepted.is_some() || self.update.is_some()
    }
}

impl Life {
    /// Says which version the device has, where that is known.
    pub(super) fn say_version(&mut self) {
        if let Some(version) = &self.plan.firmware {
            let params = format!(r#"{{"version":{}}}"#, serde_json::Value::from(version.as_str()));
            self.ask_later(What::Version, "ota/device/inform", "ota.device.inform", &params);
        }
    }

    /// Takes what a command offers; returns the code with which it is answered: that of all commands, unless
    /// it is an offer that the device cannot take.
    pub(super) fn take_offer(&mut self, method: &str, params: &RawValue, code: i32) -> i32 {
        if method != UPGRADE || !self.plan.updates || !matches!(code, 0 | 200) {
            return code;
        }
        match Offer::parse(params.get()) {
            Ok(offer) => {
                let (base, content_format) = (self.plan.base.clone(), self.plan.content_format);
                let dialect = Dialect::Topics { base, content_format };
                self.firmware.accepted = Some(Update::new(offer, dialect, Block::BYTES_MAX));
                code
            }
            Err(reason) => {
                self.failure = Some(format!("the offer of firmware cannot be used: {reason}"));
                HANDLER_FAILED
            }
        }
    }

    /// The reply to the command is acknowledged.
    pub(super) fn begin_update(&mut self) {
        if let Some(update) = self.firmware.accepted.take() {
            (self.firmware.told, self.firmware.tries, self.firmware.refusal) = (0, 0, None);
            self.tell_update(&update, "begun");
            self.firmware.update = Some(update);
        }
    }

    /// What is asked next for the sake of an update, where one is under way and does not wait.
    pub(super) fn next_of_update(&mut self) -> Option<(What, Request)> {
        let Firmware { update, wait_until: None, .. } = &mut self.firmware else { return None };
        let update = update.as_mut()?;
        let what = if update.is_fetching() { What::Block } else { What::Progress };
        Some((what, update.request()))
    }

    /// Takes the answer to that.
    pub(super) fn take_answer_to_update(&mut self, now: Instant, response: &Response) {
        let Some(mut update) = self.firmware.update.take() else { return };
        if update.is_fetching() && response.code != Code::CONTENT {
            self.firmware.refusal = Some(response.code.to_string());
        }
        let took = update.handle_answer(response);
        let step = update.offer().bytes.div_ceil(10).max(1);
        if update.fetched() / step > self.firmware.told / step {
            self.firmware.told = update.fetched();
            self.tell_update(&update, "fetched");
        }
        match took {
            Took::On => {
                self.firmware.tries = 0;
                self.firmware.update = Some(update);
            }
            Took::Wait(time) => {
                self.firmware.wait_until = Some(now + time.clamp(*PAUSES.start(), *PAUSES.end()));
                self.firmware.update = Some(update);
                self.count_try(&format!("was answered {}", response.code));
            }
            Took::Over(outcome) => {
                self.firmware.has_ended = true;
                let version = update.offer().version.clone();
                let state = match outcome {
                    Outcome::Updated => {
                        self.plan.firmware = Some(version);
                        "done"
                    }
                    Outcome::Failed(step) => {
                        let refused = self.refused_block(update.offer());
                        self.failure =
                            Some(format!("the update to {version} failed in step {step}{refused}"));
                        "failed"
                    }
                    Outcome::Stopped(reason) => {
                        let refused = self.refused_block(update.offer());
                        self.failure =
                            Some(format!("the update to {version} was stopped: {reason}{refused}"));
                        "stopped"
                    }
                };
                self.tell_update(&update, state);
            }
        }
    }

    /// What came instead of a block, in words that follow others.
    fn refused_block(&self, offer: &Offer) -> String {
        let refusal = self.firmware.refusal.as_ref();
        refusal.map_or_else(String::new, |code| format!("; GET {} was answered {code}", offer.path))
    }

    /// What was asked for the sake of an update has no answer, and the session may be over.
    pub(super) fn note_silence(&mut self, what: What) {
        if matches!(what, What::Block | What::Progress) {
            self.count_try("was not answered");
        }
        // What was accepted is offered again, or was taken back.
        if what == What::Reply {
            self.firmware.accepted = None;
        }
    }

    /// Gives the update up once its next thing was asked for too often.
    fn count_try(&mut self, became: &str) {
        self.firmware.tries += 1;
        if self.firmware.tries < TRIES_MAX {
            return;
        }
        let Some(mut update) = self.firmware.update.take() else { return };
        let is_fetching = update.is_fetching();
        let request = update.request();
        let (method, path) = (if is_fetching { "GET" } else { "POST" }, request.path_text().to_owned());
        let version = &update.offer().version;
        self.failure = Some(format!(
            "the update to {version} was given up: {method} {path} {became}, {TRIES_MAX} times"
        ));
        (self.firmware.has_ended, self.firmware.wait_until) = (true, None);
        self.tell_update(&update, "stopped");
    }

    fn tell_update(&mut self, update: &Update, state: &'static str) {
        let (offer, bytes) = (update.offer(), update.fetched());
        let (version, of) = (offer.version.clone(), offer.bytes);
        self.lines.push_back(Line::Update { state, version, bytes, of });
    }
}

/// Whether an exchange is shown by itself: of blocks, of which there are hundreds, only what is refused.
pub(super) fn is_shown(what: What, response: Option<&Response>) -> bool {
    what != What::Block || response.is_some_and(|response| response.code != Code::CONTENT)
}
