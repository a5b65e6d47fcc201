//! A request as the application sees it, and as a client makes it.

use std::{borrow::Cow, fmt};

use crate::{
    block::Block,
    code::Code,
    message::{Kind, Message, MessageWriter, Token},
    option::{OptionFault, OptionNumber, Uint, parse_uint},
    options::OptionList,
    refused::RequestFault,
    uri::{UriPath, UriQuery},
};

/// RFC 7252 5.10: the longest value of Uri-Path and Uri-Query.
const URI_PART_BYTES_MAX: usize = 255;
/// Bytes of header, token and short options in most messages; more costs only a second allocation.
const HEAD_BYTES_EXPECTED: usize = 32;

/// A request, independent of the datagram that it came in.
///
/// Uri-Host and Uri-Port are ignored: inside an authenticated session they mean nothing. `Debug` shows the
/// length of the payload and not its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Code,
    /// The Uri-Path options.
    pub path: UriPath,
    /// The Uri-Query options.
    pub query: UriQuery,
    /// The format of the payload (see [`crate::format`]).
    pub content_format: Option<u16>,
    /// The format that the client prefers.
    pub accept: Option<u16>,
    /// Observe: 0 registers, 1 deregisters (RFC 7641).
    pub observe: Option<u32>,
    /// Block2 of a received request: which block of the answer the peer wants, and of which size at most. For
    /// an application that answers by [`crate::Response::block`]; the blocks of other answers are the
    /// endpoint's.
    pub block2: Option<Block>,
    /// Whether the message is confirmable.
    pub confirmable: bool,
    /// Every option that has no field above: If-Match, ETag, Size1 and unknown elective ones. Block1 and
    /// Block2 are not among those of a received request.
    pub options: OptionList,
    /// The payload; always empty in a received GET or DELETE, for which RFC 7252 defines none.
    pub payload: Vec<u8>,
}

impl Request {
    /// A confirmable request without options or payload. `target` is path and query in URI form:
    /// `/topic/a?b=c`.
    #[must_use]
    pub fn new(method: Code, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method,
            path: UriPath::parse(path),
            query: UriQuery::parse(query),
            content_format: None,
            accept: None,
            observe: None,
            block2: None,
            confirmable: true,
            options: OptionList::new(),
            payload: Vec::new(),
        }
    }

    /// A confirmable GET.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new(Code::GET, target)
    }

    /// A confirmable POST with a payload of this Content-Format.
    #[must_use]
    pub fn post(target: &str, format: u16, payload: impl Into<Vec<u8>>) -> Self {
        Self { content_format: Some(format), payload: payload.into(), ..Self::new(Code::POST, target) }
    }

    /// The same request in a non-confirmable message.
    #[must_use]
    pub const fn non_confirmable(mut self) -> Self {
        self.confirmable = false;
        self
    }

    /// With an Accept option.
    #[must_use]
    pub const fn accept(mut self, format: u16) -> Self {
        self.accept = Some(format);
        self
    }

    /// With one more option.
    #[must_use]
    pub fn option(mut self, number: OptionNumber, value: impl AsRef<[u8]>) -> Self {
        self.options.insert(number, value.as_ref());
        self
    }

    /// The path in URI form: `/topic/sys/…`.
    #[must_use]
    pub fn path_text(&self) -> &str {
        self.path.as_str()
    }

    /// The request that a message carries.
    pub(crate) fn from_message(message: &Message<'_>, options_max: usize) -> Result<Self, RequestFault> {
        // RFC 7252 5.8: an unrecognised method is answered with 4.05.
        if !message.code.is_known_method() {
            return Err(RequestFault::MethodUnknown);
        }
        let mut request = Self {
            method: message.code,
            path: UriPath::with_capacity(message.options_bytes().len()),
            query: UriQuery::default(),
            content_format: None,
            accept: None,
            observe: None,
            block2: None,
            confirmable: message.kind == Kind::Confirmable,
            options: OptionList::new(),
            payload: Vec::new(),
        };
        let mut previous = None;
        for (index, (number, value)) in message.options().enumerate() {
            if index == options_max {
                return Err(RequestFault::OptionsTooMany { allowed: options_max });
            }
            if matches!(number, OptionNumber::PROXY_URI | OptionNumber::PROXY_SCHEME) {
                return Err(RequestFault::Proxying(number));
            }
            let repeated = previous == Some(number);
            previous = Some(number);
            let taken = number.check(value.len(), repeated).and_then(|()| request.take_option(number, value));
            match taken {
                // RFC 7252 5.4.1: a critical option that is not recognised makes the request fail, others are
                // ignored.
                Err(fault) if number.is_critical() => return Err(RequestFault::Option { number, fault }),
                Err(OptionFault::Unknown) => request.options.insert(number, value),
                _ => {}
            }
        }
        if !matches!(message.code, Code::GET | Code::DELETE) {
            request.payload = message.payload.to_vec();
        }
        Ok(request)
    }

    /// Stores a recognised option in its field.
    fn take_option(&mut self, number: OptionNumber, value: &[u8]) -> Result<(), OptionFault> {
        match number {
            OptionNumber::URI_HOST | OptionNumber::URI_PORT => {}
            OptionNumber::URI_PATH | OptionNumber::URI_QUERY => {
                let text = std::str::from_utf8(value).map_err(|_| OptionFault::NotText)?;
                if number == OptionNumber::URI_PATH {
                    self.path.push(text);
                } else {
                    self.query.push(text);
                }
            }
            // The rule of these numbers allows two and three bytes, so nothing is cut off.
            OptionNumber::CONTENT_FORMAT => {
                self.content_format = parse_uint(value).map(|format| format as u16);
            }
            OptionNumber::ACCEPT => self.accept = parse_uint(value).map(|format| format as u16),
            OptionNumber::OBSERVE => self.observe = parse_uint(value),
            _ => self.options.insert(number, value),
        }
        Ok(())
    }

    /// Whether every part of path and query fits into an option.
    pub(crate) fn is_target_legal(&self) -> bool {
        let mut parts = self.path.segments().chain(self.query.arguments());
        parts.all(|part| part.len() <= URI_PART_BYTES_MAX)
    }

    /// The message that carries this request.
    pub(crate) fn into_message(self, mid: u16, token: Token) -> Vec<u8> {
        let kind = if self.confirmable { Kind::Confirmable } else { Kind::NonConfirmable };
        let uints = [
            (OptionNumber::CONTENT_FORMAT, self.content_format.map(u32::from)),
            (OptionNumber::ACCEPT, self.accept.map(u32::from)),
            (OptionNumber::OBSERVE, self.observe),
        ]
        .map(|(number, value)| (number, value.map(Uint::new)));

        let mut options: Vec<(OptionNumber, Cow<'_, [u8]>)> = Vec::with_capacity(16);
        options.extend(self.path.segments().map(|text| (OptionNumber::URI_PATH, into_bytes(text))));
        options.extend(self.query.arguments().map(|text| (OptionNumber::URI_QUERY, into_bytes(text))));
        for (number, value) in &uints {
            options.extend(value.iter().map(|value| (*number, Cow::Borrowed(value.as_bytes()))));
        }
        options.extend(self.options.iter().map(|(number, value)| (number, Cow::Borrowed(value))));
        options.sort_by_key(|(number, _)| *number);

        let mut bytes = Vec::with_capacity(self.path_text().len() + self.payload.len() + HEAD_BYTES_EXPECTED);
        let mut writer = MessageWriter::new(&mut bytes, kind, self.method, mid, token);
        for (number, value) in &options {
            writer.option(*number, value);
        }
        writer.payload(&self.payload);
        bytes
    }
}

fn into_bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("query", &self.query)
            .field("content_format", &self.content_format)
            .field("accept", &self.accept)
            .field("observe", &self.observe)
            .field("confirmable", &self.confirmable)
            .field("options", &self.options)
            .field("payload_bytes", &self.payload.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a GET with these options, given in ascending order, and reads it.
    fn read(options: &[(u16, &[u8])]) -> Result<Request, RequestFault> {
        let mut bytes = Vec::new();
        let mut writer = MessageWriter::new(&mut bytes, Kind::Confirmable, Code::GET, 1, Token::default());
        for (number, value) in options {
            writer.option(OptionNumber(*number), value);
        }
        Request::from_message(&Message::parse(&bytes).expect("we wrote it"), 64)
    }

    #[test]
    fn a_request_survives_the_wire() {
        let request =
            Request::post("/topic/a%2Fb/c?x=1&y", 50, "{}").accept(60).option(OptionNumber(2102), "opaque");
        let bytes = request.clone().into_message(7, Token::default());
        let message = Message::parse(&bytes).expect("we wrote it");
        assert_eq!(Request::from_message(&message, 64), Ok(request));
    }

    /// What is wrong with a request whose option of this number is refused.
    fn fault(number: u16, fault: OptionFault) -> Result<Request, RequestFault> {
        Err(RequestFault::Option { number: OptionNumber(number), fault })
    }

    #[test]
    fn options_of_a_wrong_length_are_as_good_as_unknown() {
        assert_eq!(read(&[(5, &[1])]), fault(5, OptionFault::Length(1)), "If-None-Match with a value");
        assert_eq!(read(&[(7, &[0, 0x16, 0x33])]), fault(7, OptionFault::Length(3)), "Uri-Port");
        assert_eq!(read(&[(11, &[b'a'; 256])]), fault(11, OptionFault::Length(256)), "Uri-Path");
        assert_eq!(read(&[(11, &[0xff])]), fault(11, OptionFault::NotText), "Uri-Path that is not UTF-8");
        let request = read(&[(12, &[0, 0, 50]), (60, &[0; 5])]).expect("elective ones are ignored");
        assert_eq!((request.content_format, request.options.is_empty()), (None, true));
    }

    #[test]
    fn one_occurrence_too_many_is_as_good_as_unknown() {
        assert_eq!(read(&[(3, b"a"), (3, b"b")]), fault(3, OptionFault::Repeated), "two Uri-Host");
        let request = read(&[(12, &[50]), (12, &[60])]).expect("elective ones are ignored");
        assert_eq!(request.content_format, Some(50));
    }

    #[test]
    fn block_options_have_at_most_three_bytes_and_occur_once() {
        for number in [23, 27] {
            assert!(read(&[(number, &[])]).is_ok() && read(&[(number, &[1, 0, 2])]).is_ok());
            assert_eq!(read(&[(number, &[0, 0, 0, 2])]), fault(number, OptionFault::Length(4)));
            assert_eq!(read(&[(number, &[2]), (number, &[2])]), fault(number, OptionFault::Repeated));
        }
        assert_eq!(read(&[(19, &[2])]), fault(19, OptionFault::Unknown), "Q-Block1");
        assert_eq!(read(&[(2101, b"x")]), fault(2101, OptionFault::Unknown));
    }

    #[test]
    fn host_and_port_leave_no_trace() {
        let with = read(&[(3, b"example"), (7, &[0x16, 0x33]), (11, b"a")]);
        assert_eq!(with, read(&[(11, b"a")]));
    }

    #[test]
    fn a_limit_is_kept_on_the_number_of_options() {
        assert!(read(&[(11, &b""[..]); 64]).is_ok());
        assert_eq!(read(&[(11, &b""[..]); 65]), Err(RequestFault::OptionsTooMany { allowed: 64 }));
    }
}
