//! The JSON around every upstream message, and the reply to it (device protocol, section 5).
//!
//! ```json
//! {"id":"123","version":"1.0","params":…,"method":"thing.measurepoint.post"}
//! {"id":"123","code":200,"data":{}}
//! {"id":"123","code":1204,"message":"/params/measurepoints/temp: must be a number","data":{}}
//! ```
//!
//! * `id` is a string or a number of at most 128 bytes as written (without its quotation marks; a text of
//!   CBOR, which has no escapes, as it is), or absent, and is returned exactly as it was written; anything
//!   else is 1200 and is left out of the reply. `null` counts as absent, here and for every other key.
//! * `method` may be absent, since the topic says it all; another topic's method is 1260.
//! * `version` is ignored: there is only one, and devices send anything there.
//! * Other keys are ignored.

use narrowgate_coap::{AnswerFrame, Code, format};

use super::diagnosis;
use crate::model::{json_piece::Piece, log::Reason};

/// Longest `id`, as the device wrote it, in bytes; the quotation marks of a string do not count.
pub const ID_BYTES_MAX: usize = 128;

/// Longest `message` of a reply, as written, in bytes.
const MESSAGE_BYTES_MAX: usize = 256;

/// What is wrong with a message that is JSON: goes into the reply and into the device's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageFault {
    /// The reply's `code`.
    pub code: u16,
    /// The reply's `message`.
    pub message: String,
    /// What was received instead and what to send, for the log alone: each byte of a reply costs the device
    /// energy.
    pub hint: Option<String>,
}

impl MessageFault {
    /// Not the form that the topic needs.
    pub const FORM: u16 = 1200;
    /// A value is not what the thing model, or any model, allows.
    pub const MODEL: u16 = 1204;
    /// The device would keep more than it may.
    pub const TOO_LARGE: u16 = 1008;
    /// A batch does not have the form that it needs.
    pub const BATCH: u16 = 1206;
    /// An update of attributes does not have the form that it needs.
    pub const UPDATE: u16 = 1207;
    /// A query of attributes does not.
    pub const QUERY: u16 = 1208;
    /// A deletion of attributes does not, or an attribute may not be deleted.
    pub const DELETE: u16 = 1209;
    /// Progress of a device that has no upgrade.
    pub const NO_UPGRADE: u16 = 764;
    /// Progress of an upgrade that has not begun.
    pub const NOT_STARTED: u16 = 765;
    /// An element of a batch belongs to another device.
    pub const NOT_YOUR_DEVICE: u16 = 1212;
    /// The method is another topic's.
    pub const METHOD: u16 = 1260;

    /// A fault with this number.
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// The same with words for the log.
    #[must_use]
    pub fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// The words for the log.
    pub fn detail(self) -> String {
        match self.hint {
            Some(hint) => format!("{}; {hint}", self.message),
            None => self.message,
        }
    }

    /// The reason under which it is logged.
    pub fn reason(&self) -> Reason {
        match self.code {
            Self::MODEL => Reason::ModelInvalid,
            Self::TOO_LARGE => Reason::TooLarge,
            Self::NO_UPGRADE | Self::NOT_STARTED => Reason::NoUpgrade,
            Self::NOT_YOUR_DEVICE => Reason::TopicForeign,
            _ => Reason::BodyMalformed,
        }
    }
}

/// A message, cut into its parts.
#[derive(Debug, Default)]
pub struct Envelope<'a> {
    id: Option<Piece<'a>>,
    method: Option<Piece<'a>>,
    /// The payload proper.
    pub params: Option<Piece<'a>>,
    skip_invalid_points: Option<Piece<'a>>,
    allow_offline_sub_device: Option<Piece<'a>>,
    /// A time in the wrong place: not read, only warned about.
    has_time: bool,
    /// It came as CBOR, whose texts have no escapes.
    was_cbor: bool,
}

impl<'a> Envelope<'a> {
    /// Cuts a body that was checked ([`super::json::check`]).
    ///
    /// # Errors
    /// Words for people; never happens to a checked body.
    pub fn parse(checked: &'a str) -> Result<Self, String> {
        const NAMES: [&str; 8] = [
            "id",
            "method",
            "params",
            "skipInvalidMeasurepoints",
            "allowOfflineSubDevice",
            "time",
            "timestamp",
            "ts",
        ];
        let members =
            Piece::of(checked).named(NAMES).ok_or("the body is not a message: it is not an object")?;
        let [id, method, params, skip_invalid_points, allow_offline_sub_device, times @ ..] = members;
        let has_time = times.iter().any(Option::is_some);
        let was_cbor = false;
        Ok(Self { id, method, params, skip_invalid_points, allow_offline_sub_device, has_time, was_cbor })
    }

    /// The same message, which came as CBOR and became JSON here.
    #[must_use]
    pub(super) fn of_cbor(self) -> Self {
        Self { was_cbor: true, ..self }
    }

    /// The `id` as it was written, for the reply; `None` if it is absent or illegal.
    pub fn id(&self) -> Option<&'a str> {
        self.id
            .filter(|id| self.bytes_sent(*id) <= ID_BYTES_MAX)
            .map(Piece::get)
            .filter(|id| id.starts_with(|first: char| matches!(first, '"' | '-' | '0'..='9')))
    }

    /// How long a text or a number is as the device wrote it.
    fn bytes_sent(&self, piece: Piece<'_>) -> usize {
        let written = piece.get();
        let inside = written.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(written);
        let sent = if self.was_cbor { piece.text() } else { None };
        sent.map_or(inside.len(), |text| text.len())
    }

    /// The method, whatever it is.
    pub(super) fn method(&self) -> Option<Piece<'a>> {
        self.method
    }

    /// Whether a time stands beside `params`, where none is read.
    pub fn has_time(&self) -> bool {
        self.has_time
    }

    /// Checks that the `id` is one, or absent.
    ///
    /// # Errors
    /// 1200.
    pub fn check_id(&self) -> Result<(), MessageFault> {
        if self.id.is_some() && self.id().is_none() {
            let message = format!("/id: must be a string or a number of at most {ID_BYTES_MAX} bytes");
            return Err(MessageFault::new(MessageFault::FORM, message));
        }
        Ok(())
    }

    /// Checks what does not depend on the topic's payload.
    ///
    /// # Errors
    /// 1200 and 1260, see the module.
    pub fn check(&self, method: &str) -> Result<(), MessageFault> {
        self.check_id()?;
        let Some(given) = self.method else { return Ok(()) };
        match given.text() {
            None => Err(MessageFault::new(MessageFault::FORM, "/method: must be a string")),
            Some(given) if given != method => {
                let message = format!("/method: this topic's method is {method}");
                let hint = format!("received {}", diagnosis::shown(&given));
                Err(MessageFault::new(MessageFault::METHOD, message).with_hint(Some(hint)))
            }
            Some(_) => Ok(()),
        }
    }

    /// Whether invalid points are to be left out of a batch instead of failing it. The sibling
    /// `allowOfflineSubDevice` is checked and has no effect: this server has no sub-devices.
    ///
    /// # Errors
    /// 1200 where one is not a boolean.
    pub fn skips_invalid_points(&self) -> Result<bool, MessageFault> {
        let flag = |piece: Option<Piece<'_>>, name| match piece.map(Piece::get) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(MessageFault::new(MessageFault::FORM, format!("/{name}: must be true or false"))),
        };
        flag(self.allow_offline_sub_device, "allowOfflineSubDevice")?;
        flag(self.skip_invalid_points, "skipInvalidMeasurepoints")
    }
}

/// What the replies to messages that were accepted have in common, so that the CoAP layer keeps but their
/// `id` for duplicates. See [`reply`].
pub static SUCCESS: AnswerFrame = AnswerFrame {
    code: Code::CHANGED,
    content_format: format::JSON,
    before: b"{\"id\":",
    after: b",\"code\":200,\"data\":{}}",
};

/// The reply to a message with this `id` (as written).
pub fn reply(id: Option<&str>, result: Result<(), &MessageFault>) -> Vec<u8> {
    let mut reply = Vec::with_capacity(64 + id.map_or(0, str::len));
    reply.push(b'{');
    if let Some(id) = id {
        reply.extend_from_slice(b"\"id\":");
        reply.extend_from_slice(id.as_bytes());
        reply.push(b',');
    }
    match result {
        Ok(()) => reply.extend_from_slice(b"\"code\":200,"),
        Err(fault) => {
            reply.extend_from_slice(format!("\"code\":{},\"message\":", fault.code).as_bytes());
            reply.extend_from_slice(short_text(&fault.message).as_bytes());
            reply.push(b',');
        }
    }
    reply.extend_from_slice(b"\"data\":{}}");
    reply
}

/// The reply to a message with this `id` (as written) that asked for something: `data` is a JSON object.
pub(super) fn reply_with(id: Option<&str>, data: &str) -> Vec<u8> {
    let mut reply = reply(id, Ok(()));
    reply.truncate(reply.len() - "{}}".len());
    reply.extend_from_slice(data.as_bytes());
    reply.push(b'}');
    reply
}

/// A message as JSON text, cut where it would be too long for the shortest record (RFC 6066: 512 bytes). The
/// device's log has all of it.
fn short_text(message: &str) -> String {
    // As JSON text, in which everything that a stranger put into the string is escaped.
    let as_json = |text: &str| serde_json::Value::from(text).to_string();
    let text = as_json(message);
    if text.len() <= MESSAGE_BYTES_MAX {
        return text;
    }
    let mut bytes = "\"…\"".len();
    let fits = |c: &char| {
        // Without its quotation marks.
        bytes += as_json(c.encode_utf8(&mut [0; 4])).len() - 2;
        bytes <= MESSAGE_BYTES_MAX
    };
    let cut: String = message.chars().take_while(fits).collect();
    as_json(&format!("{cut}…"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(text: &str) -> Envelope<'_> {
        Envelope::parse(text).expect("the test gives an object")
    }

    #[test]
    fn an_id_comes_back_as_it_was_written() {
        for (body, id) in [
            (r#"{"id":"123"}"#, Some(r#""123""#)),
            (r#"{"id":123}"#, Some("123")),
            (r#"{"id":-1.50e3}"#, Some("-1.50e3")),
            (r#"{"id":"\u00e4\"b"}"#, Some(r#""\u00e4\"b""#)),
            (r#"{"id":null}"#, None),
            ("{}", None),
        ] {
            let envelope = envelope(body);
            assert_eq!(envelope.id(), id, "{body}");
            assert_eq!(envelope.check("m"), Ok(()), "{body}");
        }
        for id in [format!("\"{}\"", "x".repeat(128)), "1".repeat(128)] {
            assert_eq!(envelope(&format!("{{\"id\":{id}}}")).id(), Some(&*id));
        }
        for body in [
            r#"{"id":true}"#.to_owned(),
            r#"{"id":[1]}"#.to_owned(),
            r#"{"id":{}}"#.to_owned(),
            format!(r#"{{"id":"{}"}}"#, "x".repeat(129)),
            format!(r#"{{"id":{}}}"#, "1".repeat(129)),
        ] {
            let envelope = envelope(&body);
            assert_eq!(envelope.id(), None, "{body}");
            assert_eq!(envelope.check("m").map_err(|fault| fault.code), Err(1200), "{body}");
        }
    }

    #[test]
    fn attack_172_another_topics_method_is_named() {
        assert_eq!(envelope(r#"{"method":"a.b"}"#).check("a.b"), Ok(()));
        assert_eq!(envelope(r#"{"method":"a\u002eb"}"#).check("a.b"), Ok(()));
        assert_eq!(envelope(r#"{"method":null}"#).check("a.b"), Ok(()));
        assert_eq!(envelope(r#"{"method":"a.B"}"#).check("a.b").map_err(|fault| fault.code), Err(1260));
        assert_eq!(envelope(r#"{"method":7}"#).check("a.b").map_err(|fault| fault.code), Err(1200));
    }

    #[test]
    fn replies_have_the_protocols_form_whatever_the_message_holds() {
        let shown = |id, result| String::from_utf8(reply(id, result)).expect("it is text");
        assert_eq!(shown(Some("\"1\""), Ok(())), r#"{"id":"1","code":200,"data":{}}"#);
        assert_eq!(shown(None, Ok(())), r#"{"code":200,"data":{}}"#);
        let fault = MessageFault::new(1204, "/params/measurepoints/\"\u{1}<b>: no");
        assert_eq!(
            shown(Some("7"), Err(&fault)),
            r#"{"id":7,"code":1204,"message":"/params/measurepoints/\"\u0001<b>: no","data":{}}"#
        );
    }

    #[test]
    fn attack_209_a_success_stands_in_the_frame_in_which_it_is_kept() {
        for id in ["\"1\"", "17", "\"\\u00e4\""] {
            let reply = reply(Some(id), Ok(()));
            let middle = reply.strip_prefix(SUCCESS.before).and_then(|rest| rest.strip_suffix(SUCCESS.after));
            assert_eq!(middle, Some(id.as_bytes()));
        }
    }

    #[test]
    fn a_reply_fits_the_shortest_record_whatever_the_message_holds() {
        let id = format!("\"{}\"", "9".repeat(ID_BYTES_MAX));
        for part in ["x", "ä", "\u{1}", "\"", "\u{1f600}"] {
            let fault = MessageFault::new(1204, part.repeat(5000));
            let reply = reply(Some(&id), Err(&fault));
            // Header, token, Content-Format and marker take 15 bytes at most.
            assert!(reply.len() + 15 <= 512, "{} bytes of {part:?}", reply.len());
            let reply: serde_json::Value = serde_json::from_slice(&reply).expect("it is JSON");
            let message = reply["message"].as_str().expect("it is text");
            assert!(message.starts_with(part) && message.ends_with('…'), "{message}");
        }
        let most = "x".repeat(MESSAGE_BYTES_MAX - 2);
        assert_eq!(short_text(&most), format!("\"{most}\""), "what fits is not cut");
    }

    #[test]
    fn flags_are_booleans() {
        assert_eq!(
            envelope(r#"{"skipInvalidMeasurepoints":true,"allowOfflineSubDevice":true}"#)
                .skips_invalid_points(),
            Ok(true)
        );
        assert_eq!(envelope("{}").skips_invalid_points(), Ok(false));
        for body in [r#"{"skipInvalidMeasurepoints":"true"}"#, r#"{"allowOfflineSubDevice":1}"#] {
            assert_eq!(
                envelope(body).skips_invalid_points().map_err(|fault| fault.code),
                Err(1200),
                "{body}"
            );
        }
    }
}
