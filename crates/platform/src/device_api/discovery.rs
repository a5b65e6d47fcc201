//! What a device may ask, told by the server itself: `/.well-known/core` (RFC 6690, section 4; RFC 7252,
//! section 7.2). A session sees the topics of its own mode, with its own keys: nothing that the device could
//! not know, so both modes may ask.

use narrowgate_coap::{Code, Request, UriPath, format};

use super::{
    Action,
    answer::Answer,
    number,
    options::{format_name, refuse_preconditions},
    path,
    topic::{self, Content},
};
use crate::{
    model::log::Reason,
    rules::{admission::Grant, refusal::Refusal},
};

/// What is served to devices of some products alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Served {
    /// Short paths.
    pub(super) short_paths: bool,
    /// Topics of bytes.
    pub(super) bytes: bool,
}

/// Where it is, in URI form.
const PATH: &str = "/.well-known/core";

/// Whether a request asks for it.
pub(super) fn is_for(path: &UriPath) -> bool {
    path.as_str() == PATH
}

/// Answers a request for it: 2.05 in link format.
pub(super) fn handle(session: &Grant, request: &Request, served: Served) -> Action {
    if request.method != Code::GET {
        let method = path::name_of(request.method);
        let detail = format!("{method} does not fit {PATH}: it takes GET only");
        let refusal = Refusal::new(Reason::MethodWrong, detail).with_number(number::METHOD);
        return Action::refuse(Code::METHOD_NOT_ALLOWED, refusal);
    }
    if let Some(refused) = refuse_preconditions(request) {
        return Action::Respond(refused);
    }
    match request.accept {
        None | Some(format::LINK_FORMAT) => {
            let links = links(session, served).into_bytes();
            Action::Respond(Answer::content(format::LINK_FORMAT, links))
        }
        Some(other) => {
            let detail = format!(
                "Accept asks for format {}; {PATH} has format {}: ask for that, or leave Accept out",
                format_name(other),
                format_name(format::LINK_FORMAT)
            );
            Action::refuse(Code::NOT_ACCEPTABLE, Refusal::new(Reason::NotAcceptable, detail))
        }
    }
}

/// The topics of a session as links (RFC 6690, section 2), with the Content-Formats where they have bodies
/// (RFC 7252, section 7.2.1).
fn links(session: &Grant, served: Served) -> String {
    let link = |(path, content): (UriPath, Content)| {
        let attribute = match content {
            Content::Nothing => String::new(),
            Content::Json => format!(";ct=\"{} {}\"", format::JSON, format::CBOR),
            Content::Bytes => format!(";ct={}", format::OCTET_STREAM),
        };
        format!("<{}>{attribute}", path.as_str())
    };
    // A command may be in bytes.
    let short = |path: String| match served.bytes && path == "/c" {
        true => format!("<{path}>;ct=\"{} {}\"", format::CBOR, format::OCTET_STREAM),
        false => format!("<{path}>;ct={}", format::CBOR),
    };
    let short = topic::short::all_paths().filter(|_| served.short_paths).map(short);
    topic::of_session(session, served.bytes).map(link).chain(short).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        device_api::{ProductState, handle, tests::session},
        model::log::Reason,
        rules::identity::SecureMode,
    };

    fn ask(mode: SecureMode, request: &Request) -> Answer {
        let now = crate::ids::UnixMillis(1_700_000_000_000);
        match handle(&session(mode), request, ProductState::On(None), now) {
            Action::Respond(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn short_paths_are_listed_where_they_are_served() {
        let grant = session(SecureMode::DeviceSecret);
        let listed = |product| {
            let action = handle(&grant, &Request::get(PATH), product, crate::ids::UnixMillis(0));
            let Action::Respond(answer) = action else { panic!("it is answered") };
            String::from_utf8(answer.response().payload.to_vec()).expect("text")
        };
        let short = "</p>;ct=60,</r>;ct=60,</a>;ct=60,</c>;ct=60,</o>;ct=60";
        assert!(listed(ProductState::OnWithShortPaths(None)).ends_with(short));
        assert!(!listed(ProductState::On(None)).contains("ct=60"));
        let both = ProductState::OnWithBytes { model: None, short_paths: true };
        assert!(listed(both).ends_with(&short.replace("</c>;ct=60", "</c>;ct=\"60 42\"")));
    }

    fn listed(mode: SecureMode) -> Vec<String> {
        let answer = ask(mode, &Request::get(PATH).accept(format::LINK_FORMAT));
        assert_eq!((answer.response().code, answer.refusal()), (Code::CONTENT, None));
        let text = String::from_utf8(answer.response().payload.to_vec()).expect("text");
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn a_session_sees_the_topics_that_it_may_use_and_no_others() {
        let grant = session(SecureMode::DeviceSecret);
        let keys = format!("{}/{}", grant.product_key(), grant.device_key());
        let own = listed(SecureMode::DeviceSecret);
        assert!(
            own.contains(&format!("</topic/sys/{keys}/thing/measurepoint/post>;ct=\"50 60\"")),
            "{own:?}"
        );
        assert!(own.contains(&format!("</auth/{keys}>")), "{own:?}");
        assert!(!own.iter().any(|link| link.contains("/event/")), "an event's path has its identifier");
        let of_product = listed(SecureMode::ProductSecret);
        let activation = ["info", "info_reply"]
            .map(|rest| format!("</topic/ext/session/{keys}/thing/activate/{rest}>;ct=\"50 60\""));
        assert_eq!(of_product, activation);
        assert!(!own.contains(&activation[0]), "{own:?}");
        for (mode, listed) in [(SecureMode::DeviceSecret, own), (SecureMode::ProductSecret, of_product)] {
            for link in listed {
                let path = link.split(['<', '>']).nth(1).expect("a link");
                let found = topic::find(&session(mode), &UriPath::parse(path));
                assert!(found.is_ok_and(|found| found.topic.is_for(mode)), "{link}");
            }
        }
    }

    #[test]
    fn another_method_and_another_format_are_refused_with_a_reason() {
        let accept = |format| Request::get(PATH).accept(format);
        for (request, code, reason) in [
            (Request::post(PATH, 50, "{}"), Code::METHOD_NOT_ALLOWED, Reason::MethodWrong),
            (accept(format::JSON), Code::NOT_ACCEPTABLE, Reason::NotAcceptable),
            (
                Request::get(PATH).option(narrowgate_coap::OptionNumber::IF_MATCH, "x"),
                Code::PRECONDITION_FAILED,
                Reason::OptionUnsupported,
            ),
        ] {
            for mode in [SecureMode::DeviceSecret, SecureMode::ProductSecret] {
                let answer = ask(mode, &request);
                let told = answer.refusal().and_then(|refusal| refusal.reason);
                assert_eq!((answer.response().code, told), (code, Some(reason)));
            }
        }
    }
}
