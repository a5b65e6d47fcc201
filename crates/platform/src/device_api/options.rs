//! Words about options: what the CoAP layer refused before a request got here, preconditions, formats.

use std::{borrow::Cow, time::Duration};

use narrowgate_api::words::counted;
use narrowgate_coap::{
    BlockFault, Code, Discard, OptionFault, OptionNumber, RefusedRequest, Request, RequestFault, format,
};

use super::{
    answer::{Answer, Warning},
    number, path,
};
use crate::{model::log::Reason, rules::refusal::Refusal};

/// The entry for a request that the CoAP layer answered by itself.
pub fn refused_below(refused: &RefusedRequest) -> Refusal {
    let (method, shown) = (path::name_of(refused.method), path::shown(&refused.path));
    let asked = format!("{method} {shown}");
    match refused.fault {
        RequestFault::MethodUnknown => {
            let detail =
                format!("{asked}: CoAP code {} is not a supported method; use POST or GET", refused.method);
            Refusal::new(Reason::MethodWrong, detail)
        }
        RequestFault::Proxying(number) => {
            let detail = format!(
                "{asked}: {} asks for a proxy, which this server is not; put the path into Uri-Path options",
                option_name(number)
            );
            Refusal::new(Reason::OptionUnsupported, detail)
        }
        RequestFault::Option { number, fault } => {
            let detail = format!("{asked}: {}", option_words(number, fault));
            Refusal::new(Reason::OptionUnsupported, detail)
        }
        RequestFault::OptionsTooMany { allowed } => {
            let detail = format!("{asked}: the request has more than {allowed} options");
            Refusal::new(Reason::OptionUnsupported, detail)
        }
        RequestFault::Block { number, fault } => {
            let detail = format!("{asked}: {}", block_words(number, fault));
            Refusal::new(Reason::OptionUnsupported, detail)
        }
        RequestFault::BlockMissing { offset, held } => {
            let detail = format!("{asked}: {}", gap_words(offset, held));
            Refusal::new(Reason::BodyMalformed, detail)
        }
        RequestFault::AnswerGone { offset } => {
            let detail = format!(
                "{asked}: the block of the answer that begins at byte {offset} is not kept any more \
                 (RFC 7959): an answer is kept for 247 s (longer by the profile nbiot), the last two of a \
                 session; the request itself was carried out"
            );
            Refusal::new(Reason::BodyMalformed, detail)
        }
        RequestFault::BodyTooLarge { bytes, bytes_max } => {
            let detail = format!(
                "{asked}: a body in blocks of {bytes} bytes or more; at most {bytes_max} are accepted \
                 (limits.message_bytes)"
            );
            Refusal::new(Reason::TooLarge, detail).with_number(number::TOO_LARGE)
        }
    }
}

fn block_words(number: OptionNumber, fault: BlockFault) -> String {
    let name = option_name(number);
    match fault {
        BlockFault::SizeReserved => format!(
            "{name} has the size exponent 7, which is for TCP only (RFC 8323): blocks have 16 to 1024 bytes, \
             which is 0 to 6"
        ),
        BlockFault::Payload { bytes, expected } => format!(
            "{name} says that blocks have {expected} bytes, and this one has {bytes}: each but the last has \
             exactly that size, and the last at most that (RFC 7959, section 2.2)"
        ),
        BlockFault::NoBody => format!("{name} belongs to the body of a POST; leave it out"),
        BlockFault::PastTheEnd { bytes } => {
            let bytes = counted(bytes, "byte");
            format!("{name} asks for a block behind the end of the answer, which has {bytes}")
        }
    }
}

fn gap_words(offset: usize, held: Option<usize>) -> String {
    match held {
        Some(held) => format!(
            "a block that begins at byte {offset} does not continue the {held} bytes of the body that had \
             arrived: send the blocks one after another, and go on when each is answered 2.31. The body is \
             dropped; begin again with block 0"
        ),
        None => format!(
            "a block that begins at byte {offset}, and no block before it is known: a body is dropped after \
             247 s without a block (later by the profile nbiot), by a third one in the same session, by a \
             new handshake or a restart of the server; or path, options or Request-Tag differ from those \
             of block 0. Begin again with block 0"
        ),
    }
}

/// The entry for bytes inside a session that are not a CoAP message.
pub fn malformed(fault: Discard) -> Refusal {
    let words = match fault {
        Discard::TooShort => "it is shorter than CoAP's header of 4 bytes",
        Discard::VersionUnknown => "its first two bits are not CoAP's version 1; is it CoAP at all?",
        Discard::TokenMalformed => {
            "its token is longer than 8 bytes or cut off; bare JSON and other text look like this too: \
             they need a CoAP header before them"
        }
        Discard::EmptyMalformed => {
            "an empty message (code 0.00) is exactly 4 bytes, with no token, option or payload"
        }
        Discard::OptionMalformed => {
            "an option cannot be read: a delta or length is wrong, the token is shorter than TKL, \
             the payload marker 0xFF is missing, or it is plain text"
        }
        Discard::ResponseUnexpected => {
            "its code is a response's (0x44 is 2.04); a request has 0x02 (POST). \
             An AT command sent as text looks like this too"
        }
        Discard::PayloadMissing => {
            "nothing follows the payload marker 0xFF; leave the marker out if there is no body"
        }
        _ => "its code does not fit its type, or is of a reserved class",
    };
    Refusal::new(Reason::MessageMalformed, format!("a message is not CoAP (RFC 7252, section 3): {words}"))
}

/// The entry for a peer that does not count up its Message IDs.
/// `within`: how long it must not be used again.
pub fn message_id_reused(mid: u16, within: Duration) -> Warning {
    let within = within.as_secs();
    let detail = format!(
        "another request came with Message ID {mid}, which was used less than {within} s before; \
         it was taken for a duplicate of the first: it gets the answer to that, and is not stored. \
         Count the Message ID up with each new request (RFC 7252, section 4.4)"
    );
    Warning { reason: Reason::MessageIdReused, detail }
}

/// The entry for a request that was served, and whose answer did not fit a record of its session.
pub fn answer_too_large(bytes: usize, bytes_max: usize) -> Refusal {
    let detail = format!(
        "the answer has {bytes} bytes; {bytes_max} can be sent in this session (by its max_fragment_length, \
         by the size of a datagram, or by what is kept for a device that fetches it in blocks); it was \
         answered 5.00"
    );
    Refusal::new(Reason::TooLarge, detail)
}

/// Refuses a request with a precondition (RFC 7252, sections 5.10.8.1 and 5.10.8.2): no topic has an
/// entity-tag to compare, and a request whose condition may not hold must not be performed.
pub(super) fn refuse_preconditions(request: &Request) -> Option<Answer> {
    let conditions = [OptionNumber::IF_MATCH, OptionNumber::IF_NONE_MATCH];
    let number = conditions.into_iter().find(|number| request.options.find(*number).is_some())?;
    let detail = format!("{} is a condition that no topic can meet; leave it out", option_name(number));
    let refusal = Refusal::new(Reason::OptionUnsupported, detail);
    Some(Answer::refused(Code::PRECONDITION_FAILED, refusal))
}

/// The format of the answer: what the client accepts; where it does not say, CBOR for a request that has it,
/// and else JSON.
pub(super) fn accepted_format(request: &Request) -> Result<u16, Answer> {
    match request.accept {
        Some(format @ (format::JSON | format::CBOR | format::TEXT_PLAIN)) => Ok(format),
        None if request.content_format == Some(format::CBOR) => Ok(format::CBOR),
        None => Ok(format::JSON),
        Some(other) => {
            let detail = format!(
                "Accept asks for format {}; answers have format 50 (application/json) or 60 \
                 (application/cbor): ask for one of them, or leave Accept out",
                format_name(other)
            );
            let refusal = Refusal::new(Reason::NotAcceptable, detail);
            // RFC 7252, section 5.10.4.
            Err(Answer::refused(Code::NOT_ACCEPTABLE, refusal))
        }
    }
}

/// Refuses a request whose answer would be bytes, and that accepts another format.
pub(super) fn accepts_bytes(request: &Request) -> Result<(), Answer> {
    let Some(other) = request.accept.filter(|accept| *accept != format::OCTET_STREAM) else { return Ok(()) };
    let (asked, octets) = (format_name(other), format_name(format::OCTET_STREAM));
    let detail = format!("Accept asks for format {asked}; the answer has {octets}: leave Accept out");
    // RFC 7252, section 5.10.4.
    Err(Answer::refused(Code::NOT_ACCEPTABLE, Refusal::new(Reason::NotAcceptable, detail)))
}

/// A format's number, with its name where it is known.
pub(super) fn format_name(number: u16) -> Cow<'static, str> {
    let name = match number {
        format::TEXT_PLAIN => "text/plain",
        format::LINK_FORMAT => "application/link-format",
        41 => "application/xml",
        format::OCTET_STREAM => "application/octet-stream",
        47 => "application/exi",
        format::JSON => "application/json",
        format::CBOR => "application/cbor",
        110 => "application/senml+json",
        112 => "application/senml+cbor",
        11_542 => "application/vnd.oma.lwm2m+tlv",
        11_543 => "application/vnd.oma.lwm2m+json",
        _ => return Cow::Owned(number.to_string()),
    };
    Cow::Owned(format!("{number} ({name})"))
}

fn option_name(number: OptionNumber) -> String {
    match number.name() {
        Some(name) => format!("option {number} ({name})"),
        None => format!("option {number}"),
    }
}

fn option_words(number: OptionNumber, fault: OptionFault) -> String {
    let name = option_name(number);
    match fault {
        OptionFault::Unknown => {
            let hint = match number {
                OptionNumber(19 | 31) => {
                    "blocks without acknowledgement (RFC 9177) are not served: use Block1 and Block2. Where \
                     none were meant, the option's delta is wrong: options go in ascending order, each with \
                     the difference to the number before"
                }
                OptionNumber(9 | 21) => {
                    "OSCORE is not served: switch it off. What protects a session is DTLS"
                }
                OptionNumber(2101) => {
                    "this older signature is not served: the login is the DTLS session, or /auth by plain \
                     CoAP"
                }
                _ => {
                    "it is critical, so the request cannot be served without it: leave it out. Options go in \
                     ascending order, each with the difference to the number before"
                }
            };
            format!("{name} is not supported; {hint}")
        }
        OptionFault::Length(bytes) => {
            let allowed = number.rule().map_or_else(String::new, |rule| {
                format!("; {} to {} are allowed", rule.bytes_min, rule.bytes_max)
            });
            let hint = match number {
                OptionNumber::URI_PATH => ", and each segment of the path is an option of its own",
                OptionNumber::ACCEPT => ", and the value is a number, not text",
                _ => "",
            };
            format!("{name} has a length of {}{allowed}{hint}", counted(bytes, "byte"))
        }
        OptionFault::Repeated => format!("{name} occurs twice; it may occur once"),
        OptionFault::NotText => format!("{name} is not UTF-8 text"),
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_coap::UriPath;

    use super::*;

    fn detail(fault: RequestFault) -> (Reason, String) {
        let refused = RefusedRequest { method: Code::POST, path: UriPath::parse("/topic/a"), fault };
        let refusal = refused_below(&refused);
        (refusal.reason.expect("it has a name"), refusal.detail.into_owned())
    }

    #[test]
    fn attack_028_an_answer_that_is_too_long_is_told_with_its_size_and_the_limit() {
        let refusal = answer_too_large(609, 512);
        assert_eq!((refusal.reason, refusal.code()), (Some(Reason::TooLarge), None));
        let detail = refusal.detail;
        assert!(detail.contains("has 609 bytes; 512 can be sent in this session"), "{detail}");
        assert!(detail.ends_with("it was answered 5.00"), "{detail}");
    }

    #[test]
    fn what_the_coap_layer_refuses_is_named_with_method_and_path() {
        let option = |number, fault| RequestFault::Option { number: OptionNumber(number), fault };
        for (fault, reason, words) in [
            (RequestFault::MethodUnknown, Reason::MethodWrong, "CoAP code 0.02 is not a supported method"),
            (
                RequestFault::Proxying(OptionNumber(35)),
                Reason::OptionUnsupported,
                "option 35 (Proxy-Uri) asks for a proxy",
            ),
            (
                option(19, OptionFault::Unknown),
                Reason::OptionUnsupported,
                "option 19 (Q-Block1) is not supported; blocks without",
            ),
            (
                option(2101, OptionFault::Unknown),
                Reason::OptionUnsupported,
                "option 2101 is not supported; this older",
            ),
            (
                option(65_001, OptionFault::Unknown),
                Reason::OptionUnsupported,
                "option 65001 is not supported; it is critical",
            ),
            (
                option(11, OptionFault::Length(300)),
                Reason::OptionUnsupported,
                "length of 300 bytes; 0 to 255 are allowed",
            ),
            (
                option(17, OptionFault::Repeated),
                Reason::OptionUnsupported,
                "option 17 (Accept) occurs twice; it may occur once",
            ),
            (
                option(11, OptionFault::NotText),
                Reason::OptionUnsupported,
                "option 11 (Uri-Path) is not UTF-8",
            ),
            (RequestFault::OptionsTooMany { allowed: 64 }, Reason::OptionUnsupported, "more than 64 options"),
        ] {
            let (given, detail) = detail(fault);
            assert_eq!(given, reason, "{detail}");
            assert!(detail.starts_with("POST /topic/a: ") && detail.contains(words), "{detail}");
        }
    }

    #[test]
    fn a_block_that_is_refused_is_named_with_its_place() {
        for (fault, reason, words) in [
            (
                RequestFault::Block { number: OptionNumber(27), fault: BlockFault::SizeReserved },
                Reason::OptionUnsupported,
                "option 27 (Block1) has the size exponent 7",
            ),
            (
                RequestFault::BlockMissing { offset: 128, held: Some(64) },
                Reason::BodyMalformed,
                "begins at byte 128 does not continue the 64 bytes",
            ),
            (
                RequestFault::BlockMissing { offset: 64, held: None },
                Reason::BodyMalformed,
                "no block before it is known",
            ),
            (RequestFault::AnswerGone { offset: 64 }, Reason::BodyMalformed, "at byte 64 is not kept"),
            (
                RequestFault::BodyTooLarge { bytes: 10_241, bytes_max: 10_240 },
                Reason::TooLarge,
                "of 10241 bytes or more; at most 10240",
            ),
        ] {
            let (given, detail) = detail(fault);
            assert_eq!(given, reason, "{detail}");
            assert!(detail.starts_with("POST /topic/a: ") && detail.contains(words), "{detail}");
        }
    }

    #[test]
    fn what_is_no_coap_is_described() {
        for fault in Discard::ALL
            .iter()
            .copied()
            .filter(|fault| fault.is_malformed() || *fault == Discard::ResponseUnexpected)
        {
            let refusal = malformed(fault);
            assert_eq!(refusal.reason, Some(Reason::MessageMalformed));
            assert!(refusal.detail.len() < 200, "{}", refusal.detail);
        }
    }
}
