//! Commands that ride in a response by plain CoAP (device protocol, section 8): beside option 2100, which
//! names the topic, option 2102 has the command itself, the same bytes as the answer to a GET of the topic:
//! in CBOR where the response has content in CBOR, else in JSON. The first byte tells which: 7B is JSON.
//! Bytes ride as they are, and may begin with 7B too: they are told by option 2100, which names `down_raw`
//! with them and with nothing else.
//!
//! A response with its command is one datagram. Where both do not fit, the response has option 2100 alone,
//! and the device gets the command by a GET, as over DTLS.

use narrowgate_coap::{OptionNumber, Response, Token};

use super::commands::{message_in, with_command_waiting};
use crate::{model::command::Command, rules::admission::Grant};

/// The option with the command itself (elective). In an answer in blocks it belongs to the first one.
pub const COMMAND: OptionNumber = OptionNumber(2102);

/// Longest message with a command, bytes (RFC 7252, section 4.6).
const MESSAGE_BYTES_MAX: usize = 1152;
/// Bytes of a message besides its options and its payload: header, longest token, marker of the payload.
const HEAD_BYTES: usize = 4 + Token::BYTES_MAX + 1;
/// Bytes of an option besides its value, at most: its number and its length.
const OPTION_HEAD_BYTES: usize = 5;

/// A response with a command in it; `None`: it does not fit. To be sent once it is durable that the command
/// was sent.
pub fn with_command(response: &Response, session: &Grant, command: &Command) -> Option<Response> {
    let named = with_command_waiting(response.clone(), session, command.order.fetched_at());
    let content_format = response.options.find_uint(OptionNumber::CONTENT_FORMAT);
    let response = named.option(COMMAND, message_in(command, content_format));
    let options = response.options.iter().map(|(_, value)| OPTION_HEAD_BYTES + value.len());
    let bytes = HEAD_BYTES + options.sum::<usize>() + response.payload.len();
    (bytes <= MESSAGE_BYTES_MAX).then_some(response)
}

#[cfg(test)]
mod tests {
    use narrowgate_coap::Code;

    use super::*;
    use crate::{
        device_api::commands::COMMAND_WAITING,
        ids::{DeviceId, UnixMillis},
        model::command::{CommandId, CommandTopic, Order},
        rules::identity::SecureMode,
    };

    fn command(params_json: &str) -> Command {
        let params_json = params_json.into();
        let order =
            Order { topic: CommandTopic::Set, params_json, pending_ttl_s: 0, timeout_s: 30, raw: None };
        Command::new(CommandId(20), order, UnixMillis(0))
    }

    /// Bytes may look like JSON.
    #[test]
    fn bytes_ride_as_they_are_and_are_told_by_their_topic() {
        let session = Grant::new(DeviceId(7), ["p", "d", "asset"], SecureMode::DeviceSecret, (60, 1));
        let raw = b"{\"id\":7}";
        for topic in [CommandTopic::Raw, CommandTopic::Set] {
            let order = Order {
                topic,
                params_json: "{}".into(),
                pending_ttl_s: 0,
                timeout_s: 30,
                raw: Some(raw.as_slice().into()),
            };
            let command = Command::new(CommandId(20), order, UnixMillis(0));
            let response = Response::new(Code::CHANGED);
            let carried = with_command(&response, &session, &command).expect("it fits");
            assert_eq!(carried.options.find(COMMAND), Some(&raw[..]));
            let path = &b"/topic/sys/p/d/thing/model/down_raw"[..];
            assert_eq!(carried.options.find(COMMAND_WAITING), Some(path));
        }
    }

    #[test]
    fn a_command_rides_with_its_topic_where_both_fit_a_datagram() {
        let session = Grant::new(DeviceId(7), ["p", "d", "asset"], SecureMode::DeviceSecret, (60, 1));
        let response = Response::new(Code::CHANGED).payload(r#"{"id":"1","code":200,"data":{}}"#);
        let command = |bytes: usize| command(&format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes)));
        let carried = with_command(&response, &session, &command(10)).expect("it fits");
        let text =
            |number| carried.options.find(number).map(|value| String::from_utf8_lossy(value).into_owned());
        let topic = "/topic/sys/p/d/thing/service/measurepoint/set";
        assert_eq!(text(COMMAND_WAITING).as_deref(), Some(topic));
        let whole = concat!(
            r#"{"id":"20","version":"1.0","params":{"text":"xxxxxxxxxx"},"#,
            r#""method":"thing.service.measurepoint.set"}"#
        );
        assert_eq!(text(COMMAND).as_deref(), Some(whole));
        assert_eq!((carried.code, &carried.payload), (response.code, &response.payload));
        let fits = |bytes: &usize| with_command(&response, &session, &command(*bytes)).is_some();
        let longest = (0..1200).filter(fits).max().expect("some fit");
        let head = 4 + Token::BYTES_MAX + 1 + 2 * OPTION_HEAD_BYTES;
        let rest = topic.len() + whole.len() - 10 + response.payload.len();
        assert_eq!(longest, MESSAGE_BYTES_MAX - head - rest);
        assert!(!COMMAND.is_critical());
    }
}
