//! Why a handshake or a request is refused, as it is said to all who may know: the device's log, listeners,
//! the metric.

use std::borrow::Cow;

use crate::model::log::Reason;

/// A refusal: a stable reason, and words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable reason; `None` only for breaches of DTLS that have no name.
    pub reason: Option<Reason>,
    /// What is probably wrong, and what to try.
    pub detail: Cow<'static, str>,
    /// The number of this case, where its reason has several.
    number: Option<u16>,
}

impl Refusal {
    /// A refusal with the number of its reason.
    pub fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: Some(reason), detail: detail.into(), number: None }
    }

    /// A breach of a lower protocol, which has no stable name.
    pub fn unnamed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: None, detail: detail.into(), number: None }
    }

    /// The same with a number of its own: a message of one reason can be wrong in several ways, and the reply
    /// tells the device which.
    #[must_use]
    pub(crate) fn with_number(mut self, number: u16) -> Self {
        self.number = Some(number);
        self
    }

    /// The protocol's number, where section 9 of the device protocol has one.
    pub fn code(&self) -> Option<u16> {
        self.number.or_else(|| self.reason?.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_case_goes_before_that_of_its_reason() {
        let refusal = Refusal::new(Reason::WrongKey, "no key fits");
        assert_eq!(refusal.code(), Reason::WrongKey.code());
        assert_eq!(refusal.with_number(1204).code(), Some(1204));
        assert_eq!(Refusal::new(Reason::BodyMalformed, "cut off").code(), None);
        assert_eq!(Refusal::unnamed("an alert").code(), None);
    }
}
