//! Errors as `application/problem+json` (RFC 9457).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::import::ImportAnswer;

/// The media type of a [`Problem`].
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The type of a problem that nothing more is written about.
pub const ABOUT_BLANK: &str = "about:blank";

/// Something that was not done: what, why, and what to try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// A document about this kind of problem: [`ABOUT_BLANK`].
    #[serde(rename = "type")]
    pub kind: String,
    /// What could not be done: `cannot disable the device`.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What kind of fault it is. Stable: programs branch by it.
    pub code: Code,
    /// What is at fault: a JSON pointer into the body, or the name of a query parameter.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The line of a script at which it fails, from 1 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What may help.
    #[serde(rename = "try", default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What became of the rows before, where an import of a file ended before the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<Box<ImportAnswer>>,
    /// The request that it answers, as in the header `X-Request-Id` and in the log.
    #[serde(rename = "requestId", default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// Kinds of faults. A program that knows fewer of them than the server reads `other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request cannot be read: no JSON, an unknown field, a value of another type.
    Malformed,
    /// The request can be read, and a value of it is not acceptable.
    Invalid,
    /// A thing model is not acceptable.
    ModelInvalid,
    /// A script is not acceptable.
    ScriptInvalid,
    /// What was to be changed is no longer what the request says that it is (`If-Match`).
    PreconditionFailed,
    /// The request replaces the whole of something, and does not say of which state (`If-Match`).
    PreconditionRequired,
    /// Nobody is known to ask: there is no token, or it is not valid (any more).
    Unauthorized,
    /// The caller may not do it.
    Forbidden,
    /// The caller belongs to an organisation unit that is suspended.
    UnitSuspended,
    /// The caller asks too often.
    RateLimited,
    /// There is no such thing.
    Missing,
    /// There is one already.
    Exists,
    /// The organisation unit has as much as its quota permits.
    QuotaExceeded,
    /// Several things are called like that.
    Ambiguous,
    /// A row is not as it was stored.
    Damaged,
    /// A product that is to be deleted has devices.
    NotEmpty,
    /// A command cannot be sent, or firmware not be offered: the product's script does not encode it (device
    /// protocol, section 6).
    #[serde(rename = "11810")]
    NotEncoded,
    /// A command cannot be sent: the device has never logged in (device protocol, section 6).
    #[serde(rename = "11888")]
    NotActivated,
    /// A command cannot be sent: the device is not online.
    #[serde(rename = "11900")]
    Offline,
    /// A command cannot be sent: too many wait for the device.
    #[serde(rename = "11902")]
    QueueFull,
    /// A command cannot be sent: the device or its product is switched off, or its organisation unit is
    /// suspended (device protocol, section 9).
    #[serde(rename = "723")]
    SwitchedOff,
    /// A request with the same idempotency key is under way.
    InProgress,
    /// An idempotency key was sent with another request before.
    IdempotencyKeyReused,
    /// It is not known what became of the first request with an idempotency key, or its answer is not known.
    OutcomeUnknown,
    /// A command has ended already.
    Ended,
    /// What is there does not permit it.
    Conflict,
    /// There is nothing at this path.
    PathUnknown,
    /// The path exists, and not for this method.
    MethodWrong,
    /// The body has another media type than those that are read here.
    MediaTypeWrong,
    /// The body is longer than what is read.
    TooLarge,
    /// As many do this already as may at the same time; it may work later.
    Busy,
    /// There is no room for it, on the disk or among as many as are kept; it may work when somebody has made
    /// some.
    NoRoom,
    /// The store cannot work now, or the answer took too long; it may work later.
    Unavailable,
    /// The store is damaged.
    StoreDamaged,
    /// A fault of the server itself.
    Internal,
    /// One that this program does not know.
    #[serde(other)]
    Other,
}

impl Code {
    /// Its word, as in a problem.
    pub fn word(self) -> Option<String> {
        serde_json::to_value(self).ok()?.as_str().map(str::to_owned)
    }
}

impl Problem {
    /// A problem with nothing but its kind and its headline.
    pub fn new(status: u16, code: Code, title: impl Into<String>) -> Self {
        let (kind, title) = (ABOUT_BLANK.to_owned(), title.into());
        Self {
            kind,
            title,
            status,
            detail: None,
            code,
            place: None,
            line: None,
            hint: None,
            import: None,
            request_id: None,
        }
    }
}

/// Why, or what where nothing says why.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail.as_deref().unwrap_or(&self.title))
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_crosses_with_all_its_parts() {
        let problem = Problem {
            detail: Some("limit is 0; it must be 1 to 1000".into()),
            place: Some("limit".into()),
            hint: Some("leave it out".into()),
            ..Problem::new(422, Code::Invalid, "cannot list the devices")
        };
        let json = serde_json::to_string(&problem).expect("it can be written");
        assert_eq!(
            json,
            concat!(
                r#"{"type":"about:blank","title":"cannot list the devices","status":422,"#,
                r#""detail":"limit is 0; it must be 1 to 1000","code":"invalid","where":"limit","#,
                r#""try":"leave it out"}"#
            )
        );
        assert_eq!(serde_json::from_str::<Problem>(&json).expect("it can be read"), problem);
        let newer = json.replace(r#""invalid""#, r#""of_tomorrow""#);
        assert_eq!(serde_json::from_str::<Problem>(&newer).expect("it can be read").code, Code::Other);
    }
}
