//! The machine of an exchange: every state and every input, and what comes of it.

use std::fmt::Write as _;

use narrowgate_coap::{Code, Event, Message, Request, Response};

use crate::peer::Peer;

const CON: &str = "41 02 0001 07 b1 61";
const NON: &str = "51 02 0001 07 b1 61";
const ACK: &str = "60 00 0a00";
const RST: &str = "70 00 0a00";

/// What happened: messages as type and code, then events.
fn outcome(peer: &mut Peer) -> String {
    let mut all: Vec<String> = Vec::new();
    for sent in peer.sent() {
        let bytes = hex::decode(sent).expect("we wrote it");
        let message = Message::parse(&bytes).expect("we wrote it");
        let kind = format!("{:?}", message.kind);
        let kind = ["CON", "NON", "ACK", "RST"]
            [["C", "N", "A", "R"].iter().position(|c| kind.starts_with(c)).expect("four")];
        all.push(if message.code == Code::EMPTY {
            kind.to_owned()
        } else {
            format!("{kind} {}", message.code)
        });
    }
    for event in peer.events() {
        all.push(match event {
            Event::Request { .. } => "run".to_owned(),
            Event::Response { response, .. } => format!("response {}", response.code),
            Event::RequestFailed { cause, .. } | Event::ResponseFailed { cause, .. } => {
                format!("failed {cause:?}")
            }
            Event::Ping => "ping".to_owned(),
            Event::Discarded(reason) => reason.name().to_owned(),
            other => panic!("{other:?}"),
        });
    }
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

/// One input, by name.
fn apply(peer: &mut Peer, exchange: Option<narrowgate_coap::ExchangeId>, input: &str) -> String {
    match input {
        "respond" => {
            let Some(exchange) = exchange else { return "impossible".to_owned() };
            if let Err(error) = peer.respond(exchange, Response::new(Code::CHANGED)) {
                return error.to_string();
            }
        }
        "timeout" => {
            if peer.endpoint.poll_timeout().is_none() {
                return "impossible".to_owned();
            }
            peer.advance_to_timeout();
        }
        datagram => peer.receive(datagram),
    }
    outcome(peer)
}

/// A table of all states, each reached by its steps, against all inputs.
fn table(
    states: &[(&str, &[&str])],
    inputs: &[(&str, &str)],
    prepare: impl Fn() -> (Peer, Option<narrowgate_coap::ExchangeId>),
) -> String {
    let mut text = String::new();
    for (state, steps) in states {
        for (name, input) in inputs {
            let (mut peer, mut exchange) = prepare();
            for step in *steps {
                match *step {
                    CON | NON => {
                        peer.receive(step);
                        exchange = Some(peer.request_received().0);
                    }
                    step => drop(apply(&mut peer, exchange, step)),
                }
            }
            let result = apply(&mut peer, exchange, input);
            writeln!(text, "{state:<22} {name:<10} {result}").expect("a String takes everything");
        }
    }
    text
}

#[test]
fn the_server_side_of_an_exchange() {
    let states: &[(&str, &[&str])] = &[
        ("nothing", &[]),
        ("CON fresh", &[CON]),
        ("CON acknowledged", &[CON, "timeout"]),
        ("CON answered", &[CON, "respond"]),
        ("CON separate", &[CON, "timeout", "respond"]),
        ("CON separate, done", &[CON, "timeout", "respond", ACK]),
        ("NON open", &[NON]),
        ("NON answered", &[NON, "respond"]),
    ];
    let inputs = [
        ("CON", CON),
        ("NON", NON),
        ("ACK", ACK),
        ("RST", RST),
        ("respond", "respond"),
        ("timeout", "timeout"),
    ];
    let actual = table(states, &inputs, || (Peer::new(), None));
    assert_eq!(actual, SERVER, "\n{actual}");
}

#[test]
fn the_client_side_of_an_exchange() {
    const PIGGYBACKED: &str = "64 45 0a00 00000000";
    const CON_RESPONSE: &str = "44 45 beef 00000000";
    const NON_RESPONSE: &str = "54 45 beef 00000000";
    let states: &[(&str, &[&str])] = &[
        ("unacknowledged", &[]),
        ("awaiting response", &[ACK]),
        ("answered in ACK", &[PIGGYBACKED]),
        ("answered in CON", &[ACK, CON_RESPONSE]),
        ("rejected", &[RST]),
    ];
    let inputs = [
        ("ACK", ACK),
        ("ACK 2.05", PIGGYBACKED),
        ("CON 2.05", CON_RESPONSE),
        ("NON 2.05", NON_RESPONSE),
        ("RST", RST),
        ("timeout", "timeout"),
    ];
    let actual = table(states, &inputs, || {
        let mut peer = Peer::new();
        peer.ask(Request::get("/a")).expect("the queue is empty");
        peer.sent();
        (peer, None)
    });
    assert_eq!(actual, CLIENT, "\n{actual}");
}

/// State, input, outcome: messages that are sent, then what the user is told.
const SERVER: &str = "\
nothing                CON        run
nothing                NON        run
nothing                ACK        acknowledgement_unknown
nothing                RST        reset_unknown
nothing                respond    impossible
nothing                timeout    impossible
CON fresh              CON        duplicate_working
CON fresh              NON        duplicate_working
CON fresh              ACK        acknowledgement_unknown
CON fresh              RST        reset_unknown
CON fresh              respond    ACK 2.04
CON fresh              timeout    ACK
CON acknowledged       CON        ACK, duplicate_working
CON acknowledged       NON        duplicate_working
CON acknowledged       ACK        acknowledgement_unknown
CON acknowledged       RST        reset_unknown
CON acknowledged       respond    CON 2.04
CON acknowledged       timeout    exchange_unanswered
CON answered           CON        ACK 2.04, duplicate
CON answered           NON        duplicate
CON answered           ACK        acknowledgement_unknown
CON answered           RST        reset_unknown
CON answered           respond    no such exchange is open
CON answered           timeout    -
CON separate           CON        ACK, duplicate
CON separate           NON        duplicate
CON separate           ACK        -
CON separate           RST        failed Reset
CON separate           respond    no such exchange is open
CON separate           timeout    CON 2.04
CON separate, done     CON        ACK, duplicate
CON separate, done     NON        duplicate
CON separate, done     ACK        acknowledgement_unknown
CON separate, done     RST        reset_unknown
CON separate, done     respond    no such exchange is open
CON separate, done     timeout    -
NON open               CON        duplicate_working
NON open               NON        duplicate_working
NON open               ACK        acknowledgement_unknown
NON open               RST        reset_unknown
NON open               respond    NON 2.04
NON open               timeout    exchange_unanswered
NON answered           CON        NON 2.04, duplicate
NON answered           NON        NON 2.04, duplicate
NON answered           ACK        acknowledgement_unknown
NON answered           RST        reset_unknown
NON answered           respond    no such exchange is open
NON answered           timeout    -
";
/// The same for the other side.
const CLIENT: &str = "\
unacknowledged         ACK        -
unacknowledged         ACK 2.05   response 2.05
unacknowledged         CON 2.05   ACK, response 2.05
unacknowledged         NON 2.05   response 2.05
unacknowledged         RST        failed Reset
unacknowledged         timeout    CON 0.01
awaiting response      ACK        acknowledgement_unknown
awaiting response      ACK 2.05   response 2.05
awaiting response      CON 2.05   ACK, response 2.05
awaiting response      NON 2.05   response 2.05
awaiting response      RST        failed Reset
awaiting response      timeout    failed TimedOut
answered in ACK        ACK        acknowledgement_unknown
answered in ACK        ACK 2.05   acknowledgement_unknown
answered in ACK        CON 2.05   RST, response_unexpected
answered in ACK        NON 2.05   response_unexpected
answered in ACK        RST        reset_unknown
answered in ACK        timeout    impossible
answered in CON        ACK        acknowledgement_unknown
answered in CON        ACK 2.05   acknowledgement_unknown
answered in CON        CON 2.05   ACK, duplicate
answered in CON        NON 2.05   duplicate
answered in CON        RST        reset_unknown
answered in CON        timeout    -
rejected               ACK        acknowledgement_unknown
rejected               ACK 2.05   acknowledgement_unknown
rejected               CON 2.05   RST, response_unexpected
rejected               NON 2.05   response_unexpected
rejected               RST        reset_unknown
rejected               timeout    impossible
";
