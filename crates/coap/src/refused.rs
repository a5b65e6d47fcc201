//! Requests that are answered without asking the application: the answer, and the report to the user.

use std::fmt;

use crate::{
    code::Code,
    message::Message,
    option::{OptionFault, OptionNumber, Uint},
    response::Response,
    uri::UriPath,
};

/// Uri-Path options that are shown of a refused request; a useful path has fewer.
const SEGMENTS_MAX: usize = 32;
/// Bytes of the path, in URI form, that are shown of a refused request.
const PATH_BYTES_MAX: usize = 256;

/// A well-formed request that was answered with an error and did not reach the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRequest {
    /// The method, known or not.
    pub method: Code,
    /// The path, for people: bytes that are not UTF-8 are replaced, and a very long path is cut.
    pub path: UriPath,
    /// Why.
    pub fault: RequestFault,
}

/// Why a well-formed request is answered without asking the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestFault {
    /// The method is not one of RFC 7252. 4.05.
    MethodUnknown,
    /// Proxy-Uri or Proxy-Scheme. 5.05.
    Proxying(OptionNumber),
    /// A critical option that is not recognised. 4.02.
    Option {
        /// Which one.
        number: OptionNumber,
        /// What is wrong with it.
        fault: OptionFault,
    },
    /// More options than [`crate::Params::options_max`]. 4.02.
    OptionsTooMany {
        /// How many are allowed.
        allowed: usize,
    },
    /// Block1 or Block2 cannot be what it says. 4.00.
    Block {
        /// Which of the two.
        number: OptionNumber,
        /// What is wrong with it.
        fault: BlockFault,
    },
    /// A block of a body does not follow the blocks before it. 4.08; what was held of the body is dropped.
    BlockMissing {
        /// Where in the body the block begins, bytes.
        offset: usize,
        /// How much of the body had arrived, bytes; `None`: no block before it is known.
        held: Option<usize>,
    },
    /// A block of an answer that is not kept any more, of a request that must not run again. 4.08.
    AnswerGone {
        /// Where in the answer the block begins, bytes.
        offset: usize,
    },
    /// The body is longer than [`crate::Params::body_bytes_max`], or Size1 says that it will be. 4.13 with
    /// Size1, our limit; what was held of the body is dropped.
    BodyTooLarge {
        /// Bytes of the body, as far as they are known.
        bytes: usize,
        /// How many are accepted.
        bytes_max: usize,
    },
}

/// Why a Block1 or a Block2 option cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockFault {
    /// Its size exponent is 7, which only reliable transports have (RFC 8323, section 6).
    SizeReserved,
    /// The payload has another length than the option says.
    Payload {
        /// Its length, bytes.
        bytes: usize,
        /// The size of a block, bytes. The last block of a body may be shorter.
        expected: usize,
    },
    /// The method has no body that could come in blocks.
    NoBody,
    /// The answer has so many bytes, and ends before the block.
    PastTheEnd {
        /// The length of the answer, bytes.
        bytes: usize,
    },
}

impl RefusedRequest {
    pub(crate) fn new(message: &Message<'_>, fault: RequestFault) -> Self {
        let mut path = UriPath::default();
        let segments = message.options().filter(|(number, _)| *number == OptionNumber::URI_PATH);
        for (_, segment) in segments.take(SEGMENTS_MAX) {
            // Only the part that may be shown is converted: a segment can fill the whole message.
            let shown = &segment[..segment.len().min(PATH_BYTES_MAX)];
            path.push_within(&String::from_utf8_lossy(shown), PATH_BYTES_MAX);
        }
        Self { method: message.code, path, fault }
    }
}

impl RequestFault {
    /// The answer. RFC 7252 5.4.1: a 4.02 should have a diagnostic payload (5.5.2), so it has a short one.
    /// The others have none.
    pub(crate) fn response(self) -> Response {
        match self {
            Self::MethodUnknown => Response::new(Code::METHOD_NOT_ALLOWED),
            Self::Proxying(_) => Response::new(Code::PROXYING_NOT_SUPPORTED),
            Self::Option { .. } | Self::OptionsTooMany { .. } => {
                Response::new(Code::BAD_OPTION).payload(self.to_string())
            }
            Self::Block { .. } => Response::new(Code::BAD_REQUEST),
            Self::BlockMissing { .. } | Self::AnswerGone { .. } => {
                Response::new(Code::REQUEST_ENTITY_INCOMPLETE)
            }
            // RFC 7959 2.9.3.
            Self::BodyTooLarge { bytes_max, .. } => {
                let size = Uint::new(u32::try_from(bytes_max).unwrap_or(u32::MAX));
                Response::new(Code::REQUEST_ENTITY_TOO_LARGE).option(OptionNumber::SIZE1, size.as_bytes())
            }
        }
    }
}

impl fmt::Display for RequestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let option = |f: &mut fmt::Formatter<'_>, number: OptionNumber| match number.name() {
            Some(name) => write!(f, "option {number} ({name})"),
            None => write!(f, "option {number}"),
        };
        match *self {
            Self::MethodUnknown => f.write_str("unknown method"),
            Self::Proxying(number) => {
                option(f, number)?;
                f.write_str(" asks for a proxy")
            }
            Self::Option { number, fault } => {
                option(f, number)?;
                match fault {
                    OptionFault::Unknown => f.write_str(" not supported"),
                    OptionFault::Length(bytes) => write!(f, " has an illegal length of {bytes}"),
                    OptionFault::Repeated => f.write_str(" occurs twice"),
                    OptionFault::NotText => f.write_str(" is not UTF-8"),
                }
            }
            Self::OptionsTooMany { allowed } => write!(f, "more than {allowed} options"),
            Self::Block { number, fault } => {
                option(f, number)?;
                match fault {
                    BlockFault::SizeReserved => f.write_str(" has the reserved size exponent 7"),
                    BlockFault::Payload { bytes, expected } => {
                        write!(f, " names blocks of {expected} bytes, and the payload has {bytes}")
                    }
                    BlockFault::NoBody => f.write_str(" belongs to a body, which the method has not"),
                    BlockFault::PastTheEnd { bytes } => {
                        write!(f, " asks for a block behind the end of {bytes} bytes")
                    }
                }
            }
            Self::BlockMissing { offset, held: Some(held) } => {
                write!(f, "a block at byte {offset} after {held} bytes of the body")
            }
            Self::BlockMissing { offset, held: None } => {
                write!(f, "a block at byte {offset}, and none before it")
            }
            Self::AnswerGone { offset } => write!(f, "byte {offset} of an answer that is not kept"),
            Self::BodyTooLarge { bytes, bytes_max } => {
                write!(f, "a body of {bytes} bytes; at most {bytes_max} are accepted")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(segments: &[&[u8]]) -> String {
        let mut bytes = vec![0x40, 0x02, 0, 1];
        for (index, segment) in segments.iter().enumerate() {
            let delta = if index == 0 { 11 } else { 0 };
            let length = u16::try_from(segment.len().checked_sub(269).expect("a long one")).expect("16 bits");
            bytes.push(delta << 4 | 14);
            bytes.extend(length.to_be_bytes());
            bytes.extend_from_slice(segment);
        }
        let message = Message::parse(&bytes).expect("the test writes a message");
        RefusedRequest::new(&message, RequestFault::MethodUnknown).path.as_str().to_owned()
    }

    #[test]
    fn attack_111_a_path_is_shown_up_to_a_number_of_bytes() {
        assert_eq!(path_of(&[&[b'a'; 16_000][..]]), format!("/{}", "a".repeat(255)));
        assert_eq!(path_of(&[&[0xff; 16_000][..]]), format!("/{}", "%EF%BF%BD".repeat(28)));
        assert_eq!(path_of(&["\u{fc}".repeat(8_000).as_bytes()]), format!("/{}", "%C3%BC".repeat(42)));
        assert_eq!(path_of(&[&[b'/'; 300][..]; 40]), format!("/{}", "%2F".repeat(85)));
    }
}
