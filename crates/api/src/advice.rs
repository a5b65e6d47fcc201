//! What is probably wrong where a handshake or a request was refused, and what to do about it, for people.
//!
//! Both are made of an entry's reason and its words, which name the mistake and, behind the first `; `, what
//! to do instead. Where the words do not say that, each reason has an advice of its own. What a device or a
//! stranger wrote is part of the mistake alone: it is put into words by [`apart`].

use std::borrow::Cow;

use crate::log::Reason;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Advice {
    /// What is probably wrong; `None`: nothing is, or it is not known.
    pub mistake: Option<String>,
    /// What to do.
    pub advice: Option<String>,
}

/// What is said where a wrong key fits no mistake that is known.
const NOT_KNOWN: &str = "fits none of the usual mistakes";
/// What is said where it was not looked for one.
const NOT_EXAMINED: &str = "was not looked into";
/// What to do then.
const ALONE: &str = "let the device try again alone, then the entry says which mistake it is";

/// How words begin that are still part of the mistake: they quote what a device wrote.
const STILL_MISTAKE: [&str; 3] = ["received ", "left out: ", "the product's script returned "];

/// How words begin that follow the mistake and say what became of it, not what to do.
const NO_ADVICE: [&str; 3] = ["nothing was stored", "it was taken for", "which mistake it fits"];

impl Advice {
    /// Of an entry with this reason and these words.
    pub fn of(reason: Option<Reason>, detail: Option<&str>) -> Self {
        let words = detail.map(without_count).unwrap_or_default();
        let (mistake, rest) = split(words);
        let said =
            (!rest.is_empty() && !NO_ADVICE.iter().any(|begin| rest.starts_with(begin))).then_some(rest);
        let is_known = !mistake.is_empty() && reason.is_none_or(|reason| !reason.is_no_mistake());
        let is_known = is_known && !words.contains(NOT_KNOWN) && !words.contains(NOT_EXAMINED);
        let advice = match reason {
            _ if words.contains(NOT_EXAMINED) => Some(ALONE),
            reason => said.or_else(|| reason.map(Reason::advice)),
        };
        Self { mistake: is_known.then(|| mistake.to_owned()), advice: advice.map(str::to_owned) }
    }
}

/// The words of the first of many that are one entry: `997 more in 60 s: …`.
fn without_count(detail: &str) -> &str {
    let Some((count, rest)) = detail.split_once(" more in ") else { return detail };
    let Some((seconds, rest)) = rest.split_once(" s: ") else { return detail };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number(count) && is_number(seconds) { rest } else { detail }
}

/// What somebody wrote, for the words of an entry: nothing in it can be taken for the end of the mistake.
pub fn apart(text: &str) -> Cow<'_, str> {
    match text.contains("; ") {
        true => Cow::Owned(text.replace("; ", "\\u{3b} ")),
        false => Cow::Borrowed(text),
    }
}

/// The mistake, and the words behind it: they follow a `; ` that does not stand in quotation marks.
fn split(words: &str) -> (&str, &str) {
    let is_outside = |at: usize| {
        let marks = words[..at].match_indices('"');
        marks.filter(|(mark, _)| !words[..*mark].ends_with('\\')).count().is_multiple_of(2)
    };
    let parts = words.match_indices("; ").map(|(at, separator)| (at, &words[at + separator.len()..]));
    let mut ends = parts
        .filter(|(at, rest)| is_outside(*at) && !STILL_MISTAKE.iter().any(|begin| rest.starts_with(begin)));
    ends.next().map_or((words, ""), |(at, rest)| (&words[..at], rest))
}

impl Reason {
    /// Whether nobody made a mistake at the device: an operator or a limit says no.
    const fn is_no_mistake(self) -> bool {
        matches!(self, Self::DeviceDisabled | Self::ProductDisabled | Self::UnitSuspended | Self::RateLimited)
    }

    /// What to do about it, where nothing more is known than the reason.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::IdentityMalformed => {
                "send ProductKey,DeviceKey,SecureMode,Lifetime: four fields, three commas, no spaces, and no \
                 line end or NUL behind them"
            }
            Self::ProductUnknown => "check the product key, also its upper and lower case",
            Self::DeviceUnknown => "register the device, or check its key, also upper and lower case",
            Self::ModeUnknown => "send 2 (the device's own secret) or 3 (the product's)",
            Self::LifetimeOutOfRange => "send 30 to 86400 seconds, without a sign and without leading zeros",
            Self::DynamicActivationOff => {
                "switch dynamic activation of the product on, or give the device its secret in another way"
            }
            Self::AlreadyActivated => "reset the device, if it is to fetch a secret again",
            Self::DeviceDisabled => "enable the device, if it is to connect",
            Self::ProductDisabled => "enable the product, if its devices are to connect",
            Self::UnitSuspended => "resume the organisation unit, if its devices are to connect",
            Self::NoCommonCipherSuite => {
                "offer TLS_PSK_WITH_AES_128_CCM_8 (C0A8) or TLS_PSK_WITH_AES_128_CBC_SHA256 (00AE)"
            }
            Self::WrongKey => {
                "compare the client's key with that of the device's secret: 16 raw bytes, bytes 9 to 24 of \
                 SHA-256 of the secret, counted from 1"
            }
            Self::VersionUnsupported => "use DTLS 1.2",
            Self::RateLimited => "let the device wait between its attempts, longer each time",
            Self::TopicForeign => "use the keys of the device's own identity in the path",
            Self::BodyMalformed => "send one JSON object, or the CBOR that stands for it, to its last byte",
            Self::ModelInvalid => "send the point as the thing model has it, or change the model",
            Self::PathUnknown => "compare the path with those of the device guide, letter by letter",
            Self::MethodWrong => "use the method that the path has",
            Self::OptionUnsupported => "leave the option out, or give it its right length",
            Self::NotAcceptable => "leave Accept out, or ask for 50 (JSON) or 60 (CBOR)",
            Self::MessageMalformed => "send a CoAP request in each record of the session",
            Self::MessageIdReused => "count the Message ID up with each new request",
            Self::SecretShared => "take the copy away, and give the right device a new secret",
            Self::TimeDoubtful => {
                "send Unix milliseconds, or leave the time out: that of arrival counts then"
            }
            Self::TooLarge => "send less in one message, or in blocks (RFC 7959)",
            Self::NotDtls => "use coaps:// and the port of CoAP over DTLS",
            Self::CommandNotOpen => {
                "answer a command once, with its own id and topic, before its time is over"
            }
            Self::NotificationLost => {
                "let the device send something every minute, or fetch its commands instead of observing them"
            }
            Self::NoUpgrade => {
                "report progress of the upgrade that was offered last; wait for the next offer"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(reason: Reason, detail: &str) -> (Option<String>, Option<String>) {
        let Advice { mistake, advice } = Advice::of(Some(reason), Some(detail));
        (mistake, advice)
    }

    #[test]
    fn the_words_name_the_mistake_and_then_what_to_do() {
        for (reason, detail, mistake, advice) in [
            (
                Reason::WrongKey,
                "the secret was hashed with a line end after it; hash it without (echo -n, printf %s)",
                "the secret was hashed with a line end after it",
                "hash it without (echo -n, printf %s)",
            ),
            (
                Reason::DeviceUnknown,
                "997 more in 60 s: product pk has no device dk; register it, or check the device key",
                "product pk has no device dk",
                "register it, or check the device key",
            ),
            (
                Reason::ModelInvalid,
                r#"received "a; b" at byte 57; send the number alone"#,
                r#"received "a; b" at byte 57"#,
                "send the number alone",
            ),
            (
                Reason::ModelInvalid,
                r#"/params/measurepoints/a: must be a number; received "a; b" at byte 57; send it alone"#,
                r#"/params/measurepoints/a: must be a number; received "a; b" at byte 57"#,
                "send it alone",
            ),
            (
                Reason::BodyMalformed,
                "/method: this topic's method is thing.measurepoint.post; received call 0900 123",
                "/method: this topic's method is thing.measurepoint.post; received call 0900 123",
                Reason::BodyMalformed.advice(),
            ),
            (
                Reason::ProductUnknown,
                "there is no product mugsf6w4, but MuGsF6W4: keys are case-sensitive",
                "there is no product mugsf6w4, but MuGsF6W4: keys are case-sensitive",
                Reason::ProductUnknown.advice(),
            ),
            (
                Reason::WrongKey,
                "the device's secret was replaced while its report was under way; nothing was stored",
                "the device's secret was replaced while its report was under way",
                Reason::WrongKey.advice(),
            ),
        ] {
            assert_eq!(told(reason, detail), (Some(mistake.into()), Some(advice.into())), "{detail}");
        }
    }

    #[test]
    fn what_somebody_wrote_is_no_advice() {
        for (text, shown) in [
            (r#""x\\"; call 0900 123""#, r#""x\\"\u{3b} call 0900 123""#),
            (r#"""; call 0900 123"#, r#"""\u{3b} call 0900 123"#),
            ("a;b", "a;b"),
        ] {
            assert_eq!(apart(text), shown);
            let words = format!("/a: must be a number; received {} at byte 7", apart(text));
            let own = Reason::ModelInvalid.advice();
            assert_eq!(told(Reason::ModelInvalid, &words), (Some(words.clone()), Some(own.into())), "{text}");
        }
        // As an entry of before has it.
        let older = r#"received "x\\"; call 0900 123" at byte 7; a number is not a string: send it without"#;
        let (_, advice) = told(Reason::ModelInvalid, older);
        assert_eq!(advice.as_deref(), Some("a number is not a string: send it without"));
    }

    #[test]
    fn where_no_mistake_is_known_none_is_told_and_what_to_do_is() {
        let unexplained = "the key is not the one of this identity's secret, and fits none of the usual \
                           mistakes; compare it with `psk hex` of `narrowgate device secret pk/dk`";
        let compare = "compare it with `psk hex` of `narrowgate device secret pk/dk`";
        assert_eq!(told(Reason::WrongKey, unexplained), (None, Some(compare.into())));
        let many = "the key is not the one of this identity's secret; which mistake it fits was not looked \
                    into: too many refusals at once";
        assert_eq!(told(Reason::WrongKey, many), (None, Some(ALONE.into())));
        let off = "device dk is switched off";
        let advice = Some(Reason::DeviceDisabled.advice().into());
        assert_eq!(told(Reason::DeviceDisabled, off), (None, advice.clone()));
        let Advice { mistake, advice: alone } = Advice::of(Some(Reason::DeviceDisabled), None);
        assert_eq!((mistake, alone), (None, advice));
        assert_eq!(Advice::of(None, None), Advice::default());
    }

    #[test]
    fn every_reason_has_an_advice_that_reads_as_one() {
        for reason in Reason::ALL {
            let advice = reason.advice();
            let begins_small = advice.starts_with(|first: char| first.is_ascii_lowercase());
            assert!(begins_small && !advice.ends_with('.') && advice.len() < 200, "{reason:?}: {advice}");
        }
    }
}
