//! What scripts of products return, as the device API takes it: any text.
//!
//! The first byte says whether the product has a model.

use std::cell::OnceCell;

use narrowgate_coap::{Code, Request, format};
use narrowgate_platform::{
    device_api::{Action, CommandWanted, raw},
    model::thing_model::ThingModel,
    rules::{admission::Grant, identity::SecureMode},
};
use serde_json::Value;

use crate::envelope::{
    MODEL, NOW, check_firmware, check_payload, check_properties, check_reply, check_writes, grant,
};

thread_local! {
    static FIXED: OnceCell<(Grant, ThingModel)> = const { OnceCell::new() };
}

/// What is stored is in the text; what is answered is a reply that can be given to the script, with the id of
/// the text; and what is refused says why, in few words.
pub fn decoded(data: &[u8]) {
    let (choice, text) = data.split_first().unwrap_or((&0, &[]));
    let text = String::from_utf8_lossy(text);
    FIXED.with(|fixed| {
        let (session, model) = fixed.get_or_init(|| {
            (grant(SecureMode::DeviceSecret), ThingModel::parse(MODEL).expect("the model is valid"))
        });
        let mut request = Request::new(Code::POST, "/topic/sys/pk/dk/thing/model/up_raw");
        request.content_format = Some(format::JSON);
        request.payload = text.as_bytes().to_vec();
        match raw::decoded(session, &text, (choice & 1 == 1).then_some(model), NOW.into()) {
            Action::Store { writes, response, .. } => {
                check_writes(text.as_bytes(), &writes);
                check_reply(&request, &response);
                let given = raw::reply_for_script(&response).expect("the script is given the reply");
                let given: Value = serde_json::from_str(&given).expect("it is JSON");
                assert_eq!((&given["code"], &given["data"]), (&Value::from(200), &Value::from("")));
            }
            action @ (Action::Edit(_) | Action::Query(_)) => check_properties(session, &request, action),
            Action::Ota(wanted) => check_firmware(session, &request, &wanted),
            Action::Command(CommandWanted::Reply { .. }) => {}
            Action::Respond(answer) => {
                let (response, refusal) = answer.into_parts();
                assert!(matches!(response.code, Code::BAD_REQUEST | Code::CHANGED), "{response:?}");
                check_payload(&request, &response);
                let refusal = refusal.expect("nothing else is answered at once");
                assert!((1..=2 * data.len() + 400).contains(&refusal.detail.len()), "{refusal:?}");
            }
            other => panic!("no message of a script causes this: {other:?}"),
        }
    });
}
