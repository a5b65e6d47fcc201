//! How many commands wait for a device: a resource that it can observe while it is reachable (RFC 7641;
//! device protocol, section 6), so that it hears of a command at once and not with the answer to its next
//! message.
//!
//! ```json
//! {"waiting":2}
//! ```
//!
//! Which topic to fetch stands in option 2100, as in every response. A device is notified when a command
//! begins to wait: it is sent, or offered again. What makes the number smaller is no news to it: it did that
//! itself, or the GET says so. And it is notified once in [`TOLD_AGAIN`], which shows that it is still there.

use std::time::Duration;

use narrowgate_coap::{Code, OptionNumber, Request, Response};

use super::{Action, Warning, answer::with_json, options::accepted_format};
use crate::model::log::Reason;

/// A device that observes is notified after this time, also where nothing has changed (RFC 7641, section 4.5:
/// at least every 24 hours): in time for Max-Age, also where the notification is repeated.
pub const TOLD_AGAIN: Duration = Duration::from_secs(23 * 3600);
/// How long what an observer was told is good, seconds: Max-Age.
const OBSERVED_MAX_AGE_S: u32 = 24 * 3600;

/// A question for the number of commands that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountWanted {
    /// The device wants to observe it.
    pub observes: bool,
    /// Content-Format of the answer.
    pub content_format: u16,
}

pub(super) fn handle(request: &Request) -> Action {
    match accepted_format(request) {
        Ok(content_format) => {
            Action::CountCommands(CountWanted { observes: request.observe == Some(0), content_format })
        }
        Err(refused) => Action::Respond(refused),
    }
}

/// The answer to a question, and the notification of an observer. Observe in it says that it can be observed;
/// its number is the message layer's.
pub fn tell(wanted: CountWanted, waiting: usize) -> Response {
    let max_age_s = if wanted.observes { OBSERVED_MAX_AGE_S } else { 0 };
    let json = format!("{{\"waiting\":{waiting}}}").into_bytes();
    let content = with_json(Response::new(Code::CONTENT).max_age(max_age_s), wanted.content_format, json);
    if wanted.observes { content.option(OptionNumber::OBSERVE, []) } else { content }
}

/// What the log says where a device did not acknowledge that commands wait.
pub fn not_delivered(waiting: usize) -> Warning {
    let detail = format!(
        "commands wait ({waiting}), and the device, which observes that, acknowledged no notification: it \
         sleeps, or the way to it is closed (a NAT forgets it within a minute or so). It is not notified any \
         more until it observes again; the commands wait on, and the answer to its next message names them"
    );
    Warning { reason: Reason::NotificationLost, detail }
}

#[cfg(test)]
mod tests {
    use narrowgate_coap::format;

    use super::*;
    use crate::{
        device_api::{ProductState, handle, tests::session},
        ids::UnixMillis,
        rules::identity::SecureMode,
    };

    fn ask(request: &Request) -> Action {
        let session = session(SecureMode::DeviceSecret);
        handle(&session, request, ProductState::On(None), UnixMillis(0))
    }

    fn get(observe: Option<u32>) -> Request {
        let session = session(SecureMode::DeviceSecret);
        let (product_key, device_key) = (session.product_key(), session.device_key());
        let path = format!("/topic/sys/{product_key}/{device_key}/thing/commands");
        Request { observe, ..Request::get(&path) }
    }

    #[test]
    fn observe_0_registers_and_every_other_value_asks_once() {
        for (observe, observes) in [(Some(0), true), (None, false), (Some(1), false), (Some(7), false)] {
            let Action::CountCommands(wanted) = ask(&get(observe)) else { panic!("it is served") };
            assert_eq!(wanted, CountWanted { observes, content_format: format::JSON });
            let answer = tell(wanted, 2);
            assert_eq!((answer.code, &answer.payload[..]), (Code::CONTENT, &b"{\"waiting\":2}"[..]));
            let max_age = answer.options.find_uint(OptionNumber::MAX_AGE);
            assert_eq!(max_age, Some(if observes { 86_400 } else { 0 }));
            assert_eq!(answer.options.find(OptionNumber::OBSERVE).is_some(), observes);
        }
    }

    #[test]
    fn another_method_and_another_format_are_refused() {
        for (request, code) in [
            (Request { method: Code::POST, ..get(Some(0)) }, Code::METHOD_NOT_ALLOWED),
            (get(Some(0)).accept(41), Code::NOT_ACCEPTABLE),
            (get(Some(0)).option(OptionNumber::IF_MATCH, "x"), Code::PRECONDITION_FAILED),
        ] {
            let Action::Respond(answer) = ask(&request) else { panic!("it is refused") };
            assert_eq!(answer.response().code, code);
        }
    }
}
