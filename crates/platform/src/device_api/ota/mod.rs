//! Firmware over the air, as a device speaks of it: `ota/device/{inform,progress,getversion}`, and the image
//! itself ([`image`]; device protocol, section 11). What becomes of it is decided by the rules of firmware,
//! behind the store.
//!
//! ```json
//! {"id":"7","version":"1.0","params":{"version":"2.1"},"method":"ota.device.inform"}
//! {"id":"8","version":"1.0","params":{"step":"50","desc":"on its way"},"method":"ota.device.progress"}
//! {"id":"9","version":"1.0","params":{},"method":"ota.device.getversion"}
//! {"id":"9","code":200,"data":[{"version":"2.1","sign":"5feceb66…","signMethod":"SHA256",
//!   "fileUrl":"coaps://gateway.example/ota/Ab3dEf7h","fileSize":1000000}]}
//! ```
//!
//! | fault | code |
//! |---|---|
//! | `params` is missing (but for `getversion`) or not an object | 1200 |
//! | `version` or `step` is missing | 1200 |
//! | `version` is not a text of 1 to 64 bytes ([`check_version`]) | 1204 |
//! | `step` is not an integer from -5 to 100, or the text of one | 1204 |
//! | `desc` is not a text (of which the store keeps 256 bytes) | 1204 |
//! | progress of a device that has no upgrade, or one that is over | 764 |
//! | progress of one that has not fetched the command of its upgrade | 765 |

pub mod image;

use std::ops::RangeInclusive;

use super::{
    Action, Answer,
    body::{self, Body},
    diagnosis,
    envelope::{self, Envelope, MessageFault},
};
use crate::{
    firmware::{FirmwareStep, NoUpgrade, UpgradeOffer, check_version},
    model::json_piece::Piece,
};

/// What `step` may be.
const STEPS: RangeInclusive<i8> = -5..=100;

/// What a message does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtaVerb {
    /// `inform`
    Inform,
    /// `progress`
    Progress,
    /// `getversion`
    GetVersion,
}

/// What a device says, or asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtaMessage {
    /// This is to be noted, and answered by [`OtaWanted::done`] or [`OtaWanted::no_upgrade`].
    Step(FirmwareStep),
    /// Which versions there are for it: to be answered by [`OtaWanted::versions`].
    GetVersion,
}

/// A message, and what its answer needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtaWanted {
    /// The message.
    pub message: OtaMessage,
    id: Option<Box<str>>,
    content_format: u16,
}

impl OtaWanted {
    /// The answer once it is durable.
    pub fn done(&self) -> Answer {
        Answer::reply(self.content_format, envelope::reply(self.id.as_deref(), Ok(())), None)
    }

    /// The answer where it changes nothing.
    pub fn no_upgrade(&self, why: NoUpgrade) -> Answer {
        let (code, message) = match why {
            NoUpgrade::None => {
                (MessageFault::NO_UPGRADE, "no upgrade is offered to the device, or it is over")
            }
            NoUpgrade::NotStarted => (
                MessageFault::NOT_STARTED,
                "the upgrade has not begun: the device has not fetched its command",
            ),
        };
        let fault = MessageFault::new(code, message);
        body::refusal(self.content_format, self.id.as_deref(), fault)
    }

    /// The answer to a question for versions: each as the command says it that offers it.
    pub fn versions(&self, offers: impl IntoIterator<Item = UpgradeOffer>) -> Answer {
        let offers: Vec<String> = offers.into_iter().map(|offer| offer.params_json()).collect();
        let data = format!("[{}]", offers.join(","));
        Answer::reply(self.content_format, envelope::reply_with(self.id.as_deref(), &data), None)
    }
}

/// Handles a message whose path and method are right; answers in `content_format`.
pub(super) fn handle(body: &Body<'_>, verb: OtaVerb, content_format: u16) -> Action {
    let envelope = body.envelope();
    match envelope.check(method(verb)).and_then(|()| Reader { body }.read(&envelope, verb)) {
        Ok(message) => {
            let id = envelope.id().map(Box::from);
            Action::Ota(Box::new(OtaWanted { message, id, content_format }))
        }
        Err(fault) => body::refuse(content_format, envelope.id(), fault),
    }
}

fn method(verb: OtaVerb) -> &'static str {
    match verb {
        OtaVerb::Inform => "ota.device.inform",
        OtaVerb::Progress => "ota.device.progress",
        OtaVerb::GetVersion => "ota.device.getversion",
    }
}

/// What a message is read from, for the places of faults.
struct Reader<'a> {
    body: &'a Body<'a>,
}

impl Reader<'_> {
    fn read(&self, envelope: &Envelope<'_>, verb: OtaVerb) -> Result<OtaMessage, MessageFault> {
        let params = match (envelope.params, verb) {
            (Some(params), _) => params,
            (None, OtaVerb::GetVersion) => return Ok(OtaMessage::GetVersion),
            (None, _) => {
                let hint = diagnosis::members(self.body.json(), "params");
                return Err(form("/params: is missing").with_hint(hint));
            }
        };
        let Some([version, step, desc]) = params.named(["version", "step", "desc"]) else {
            let what = "must be an object";
            return Err(form(&format!("/params: {what}")).with_hint(self.received(params, what)));
        };
        Ok(match verb {
            OtaVerb::GetVersion => OtaMessage::GetVersion,
            OtaVerb::Inform => {
                OtaMessage::Step(FirmwareStep::Inform { version: self.version(params, version)? })
            }
            OtaVerb::Progress => {
                let (step, desc) = (self.step(params, step)?, self.desc(desc)?);
                OtaMessage::Step(FirmwareStep::Progress { step, desc })
            }
        })
    }

    fn version(&self, params: Piece<'_>, version: Option<Piece<'_>>) -> Result<String, MessageFault> {
        let version = version.ok_or_else(|| missing(params, "version"))?;
        let text = version.text().ok_or_else(|| self.value(version, "version", "must be a text"))?;
        check_version(&text).map_err(|fault| self.value(version, "version", &fault.to_string()))?;
        Ok(text.into_owned())
    }

    fn step(&self, params: Piece<'_>, step: Option<Piece<'_>>) -> Result<i8, MessageFault> {
        let step = step.ok_or_else(|| missing(params, "step"))?;
        let text = step.text().map_or_else(|| step.get().to_owned(), Into::into);
        text.parse().ok().filter(|step| STEPS.contains(step)).ok_or_else(|| {
            let what = "must be an integer from -5 to 100: 0 to 100 percent, or -1 for the upgrade, -2 the \
                        download, -3 the check, -4 the burning, -5 refused";
            self.value(step, "step", what)
        })
    }

    fn desc(&self, desc: Option<Piece<'_>>) -> Result<Option<String>, MessageFault> {
        let Some(desc) = desc else { return Ok(None) };
        let text = desc.text().ok_or_else(|| self.value(desc, "desc", "must be a text"))?;
        Ok(Some(text.into_owned()))
    }

    /// A value that is not what it has to be.
    fn value(&self, raw: Piece<'_>, name: &str, what: &str) -> MessageFault {
        let message = format!("/params/{name}: {what}");
        MessageFault::new(MessageFault::MODEL, message).with_hint(self.received(raw, what))
    }

    /// What was received where a value is refused with `message`.
    fn received(&self, raw: Piece<'_>, message: &str) -> Option<String> {
        diagnosis::value(raw, self.body.place_of(raw)?, "", message)
    }
}

fn form(message: &str) -> MessageFault {
    MessageFault::new(MessageFault::FORM, message)
}

fn missing(params: Piece<'_>, name: &str) -> MessageFault {
    form(&format!("/params/{name}: is missing")).with_hint(diagnosis::members(params.get(), name))
}
