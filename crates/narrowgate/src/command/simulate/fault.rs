//! What a device does wrong when it is told to, and what the server has to make of it.

use std::time::Duration;

use narrowgate_coap::{Code, OptionNumber, Request};
use narrowgate_sim::device::{DeviceConfig, Identity, SecureMode};

use crate::cli::Fault;

/// An unknown critical option: its number is odd.
const CRITICAL: OptionNumber = OptionNumber(65_001);
/// application/xml
const XML: u16 = 41;
/// Nobody answers such a handshake: its first repetition comes soon, and its last one after some seconds.
const RETRANSMIT_INITIAL: Duration = Duration::from_millis(100);

/// What has to come of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// No session, and no word.
    Silence,
    /// Each report is answered so.
    Refused(Code),
    /// Nothing: it is a fault of the network, and each report is stored once.
    Served,
}

impl Fault {
    pub(super) const fn right(self) -> Right {
        match self {
            Self::WrongKey
            | Self::WrongMode
            | Self::UnknownDevice
            | Self::BadIdentity
            | Self::BadLifetime => Right::Silence,
            Self::BadJson | Self::EmptyBody => Right::Refused(Code::BAD_REQUEST),
            Self::WrongTopic => Right::Refused(Code::NOT_FOUND),
            Self::ForeignTopic => Right::Refused(Code::FORBIDDEN),
            Self::WrongMethod => Right::Refused(Code::METHOD_NOT_ALLOWED),
            Self::WrongFormat => Right::Refused(Code::UNSUPPORTED_CONTENT_FORMAT),
            Self::CriticalOption => Right::Refused(Code::BAD_OPTION),
            Self::Duplicate | Self::Replay => Right::Served,
        }
    }

    /// The secret that is proven instead.
    pub(super) fn secret(self, secret: &str) -> String {
        let mut secret = secret.to_owned();
        if self == Self::WrongKey {
            let last = secret.pop();
            secret.push(if last == Some('x') { 'y' } else { 'x' });
        }
        secret
    }

    /// What is presented at the handshake instead.
    pub(super) fn spoil_handshake(self, config: &mut DeviceConfig) {
        let Identity { device_key, mode, lifetime_s, .. } = &mut config.identity;
        match self {
            Self::WrongMode => {
                *mode = match mode {
                    SecureMode::Device => SecureMode::Product,
                    SecureMode::Product => SecureMode::Device,
                };
            }
            Self::UnknownDevice => device_key.push_str("-nobody"),
            Self::BadIdentity => device_key.push_str(",2"),
            Self::BadLifetime => *lifetime_s = 7,
            _ => {}
        }
        if self.right() == Right::Silence {
            config.retransmit_initial = RETRANSMIT_INITIAL;
        }
    }

    /// The report that is sent instead; `base` is the path of its device's topics.
    pub(super) fn spoil_report(self, base: &str, mut report: Request) -> Request {
        match self {
            Self::BadJson => drop(report.payload.pop()),
            Self::EmptyBody => report.payload.clear(),
            Self::WrongTopic => report.path = Request::get(&format!("{base}/thing/nothing/post")).path,
            Self::ForeignTopic => {
                report.path = Request::get(&format!("{base}-other/thing/measurepoint/post")).path;
            }
            Self::WrongMethod => report = Request { path: report.path, ..Request::get("/") },
            Self::WrongFormat => report.content_format = Some(XML),
            Self::CriticalOption => report = report.option(CRITICAL, b"?"),
            _ => {}
        }
        report
    }
}
