//! The tables of `docs/device-guide.md` that name every topic, code and option with the case of the interop
//! tests that tries it by a client that is not ours. The rows of topics come from [`TOPICS`], so a topic
//! without a row fails; so does a code or an option that the sources know and no row names.
//!
//! The cases read the rows too, and compare them with what the real program answers.

use std::collections::BTreeSet;

use narrowgate_coap::{Code, OptionNumber};

use crate::{
    device_api::{
        commands::COMMAND_WAITING,
        ota::OtaVerb,
        points::Verb,
        properties::PropertyVerb,
        short,
        topic::{
            Handler, MessageOf, TOPICS, Topic,
            short::{SHORT_PATHS, ShortHandler, ShortPath},
        },
    },
    model::property::PropertyKind,
};

const GUIDE: &str = include_str!("../../../../../docs/device-guide.md");
const BEGIN: &str = "<!-- Made from the table of topics; a test compares it. -->";
const END: &str = "<!-- The end of what the test compares. -->";

const CASES_OF_TOPICS: &str = include_str!("../../../../../tests/interop/cases/served_topics.py");
const CASES_OF_RAW: &str = include_str!("../../../../../tests/interop/cases/served_raw.py");
const CASES_OF_SHORT: &str = include_str!("../../../../../tests/interop/cases/served_short.py");
const CASES_OF_CODES: &str = include_str!("../../../../../tests/interop/cases/served_codes.py");
const CASES_OF_OPTIONS: &str = include_str!("../../../../../tests/interop/cases/served_options.py");

/// The answers that a device can get, and how the case causes it.
const CODES: &[(&str, &str)] = &[
    ("2.04", "a report"),
    ("2.03", "an image of firmware, with its ETag"),
    ("2.05", "the list of topics"),
    ("2.31", "the first block of a body"),
    ("4.00", "a body that is not JSON"),
    (
        "4.01",
        "a report by plain CoAP without a login; with `coap.fresh_logins` also a login without a fresh Echo",
    ),
    ("4.02", "option 2101"),
    ("4.03", "a report of another device"),
    ("4.04", "a topic that there is not"),
    ("4.05", "GET of a topic that takes POST"),
    ("4.06", "Accept 41"),
    ("4.08", "a block with no block before it"),
    ("4.12", "If-None-Match"),
    ("4.13", "a body of more than 10 KiB in blocks; Size1 has the limit"),
    ("4.15", "Content-Format 41"),
    ("4.29", "200 reports at once, where 16 KiB are permitted; it has Max-Age"),
    ("5.00", "an answer that fits the session's `max_fragment_length` in no way: long keys in option 2100"),
    ("5.03", "a report while no file of the server can grow; it has Max-Age"),
    ("5.05", "Proxy-Uri"),
];

/// The names of [`Code`] that no device gets from us.
const NEVER_SENT: &[&str] = &["2.01", "2.02", "5.01", "5.02", "5.04"];

/// The codes in the body of a 2.04, and those that only the log has, with how the case causes it.
const NUMBERS: &[(u16, &str, &str)] = &[
    (200, "reply", "a report"),
    (705, "log", "a handshake of a device that nobody has registered"),
    (723, "log", "a handshake of a device that is switched off"),
    (742, "log", "a handshake with another key"),
    (764, "reply", "progress of a device that has no upgrade"),
    (765, "reply", "progress of a device that has not fetched the command of its upgrade"),
    (770, "log", "a device asks for its secret, and dynamic activation is off: 4.03"),
    (771, "log", "a device asks for its secret after its first login: 4.03"),
    (1008, "reply", "two attributes of 4,090 bytes; in the log also a body of more than 10 KiB: 4.13"),
    (1009, "log", "a report of another device: 4.03"),
    (1200, "reply", "`params` of a report is an array"),
    (1204, "reply", "a number in quotation marks, against the thing model"),
    (1206, "reply", "`params` of a batch is an object"),
    (1207, "reply", "an update without `attributes`"),
    (1208, "reply", "a query whose `attributes` is a number"),
    (1209, "reply", "an attribute is deleted that the model requires"),
    (1212, "reply", "a batch with an element of another device"),
    (1260, "reply", "a report with the method of an event; in the log also a wrong method of CoAP: 4.05"),
];

/// An option in a request: its number, its name, what it does, the answer, what is wrong, the answer to that.
type OptionRow = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

const OPTIONS: &[OptionRow] = &[
    ("1", "If-Match", "a condition that no topic can meet", "4.12", "9 bytes", "4.02"),
    ("3", "Uri-Host", "ignored, whatever it is", "2.04", "no byte", "4.02"),
    (
        "4",
        "ETag",
        "2.03 where it is that of an image; ignored elsewhere; the blocks of an answer have the same one",
        "2.04",
        "9 bytes: ignored",
        "2.04",
    ),
    ("5", "If-None-Match", "a condition that no topic can meet", "4.12", "a byte", "4.02"),
    (
        "6",
        "Observe",
        "0 in a GET of `thing/commands` registers, 1 ends that; ignored elsewhere",
        "2.04",
        "4 bytes: ignored",
        "2.04",
    ),
    ("7", "Uri-Port", "ignored, whatever it is", "2.04", "3 bytes", "4.02"),
    ("8", "Location-Path", "ignored", "2.04", "256 bytes: ignored", "2.04"),
    ("9", "OSCORE", "not served", "4.02", "256 bytes", "4.02"),
    ("11", "Uri-Path", "a segment of the path", "2.04", "256 bytes", "4.02"),
    ("12", "Content-Format", "50, 0 or none: JSON; 60: CBOR", "2.04", "41", "4.15"),
    ("13", "Uri-Path-Abbrev", "not served", "4.02", "5 bytes", "4.02"),
    (
        "14",
        "Max-Age",
        "ignored; 0 in a command's 2.05, a day where one observes, seconds in 4.29 and 5.03",
        "2.04",
        "5 bytes: ignored",
        "2.04",
    ),
    ("15", "Uri-Query", "ignored", "2.04", "256 bytes", "4.02"),
    ("16", "Hop-Limit", "ignored", "2.04", "2 bytes: ignored", "2.04"),
    (
        "17",
        "Accept",
        "50: JSON; 60: CBOR; 0: JSON as text; none: as the request; another: 4.06",
        "2.04",
        "3 bytes",
        "4.02",
    ),
    ("19", "Q-Block1", "not served", "4.02", "4 bytes", "4.02"),
    ("20", "Location-Query", "ignored", "2.04", "256 bytes: ignored", "2.04"),
    ("21", "EDHOC", "not served", "4.02", "a byte", "4.02"),
    ("23", "Block2", "the size of the answer's blocks, or a further one", "2.04", "size exponent 7", "4.00"),
    ("27", "Block1", "a block of the body", "2.04", "size exponent 7", "4.00"),
    ("28", "Size2", "the first block of a long answer says its length", "2.04", "5 bytes: ignored", "2.04"),
    ("31", "Q-Block2", "not served", "4.02", "4 bytes", "4.02"),
    ("35", "Proxy-Uri", "not served", "5.05", "no byte", "5.05"),
    ("39", "Proxy-Scheme", "not served", "5.05", "no byte", "5.05"),
    (
        "60",
        "Size1",
        "the length of the body; in block 0 more than 10 KiB: 4.13",
        "2.04",
        "5 bytes: ignored",
        "2.04",
    ),
    (
        "252",
        "Echo",
        "needed by a login with `coap.fresh_logins`, whose 4.01 has one; ignored elsewhere: DTLS tells a \
         fresh message from a copy",
        "2.04",
        "41 bytes: ignored",
        "2.04",
    ),
    ("258", "No-Response", "classes of answers that are not sent", "2.04", "2 bytes: ignored", "2.04"),
    ("292", "Request-Tag", "tells two bodies for one path apart", "2.04", "9 bytes: ignored", "2.04"),
    (
        "2100",
        "a command waits",
        "ignored; in responses the path of the oldest command",
        "2.04",
        "no text: ignored",
        "2.04",
    ),
    ("2101", "an older signature", "not served", "4.02", "no byte", "4.02"),
    (
        "2102",
        "a command without DTLS",
        "ignored; in responses by plain CoAP the command itself",
        "2.04",
        "no byte: ignored",
        "2.04",
    ),
    (
        "2104",
        "a command waits",
        "ignored; empty, in answers to short paths instead of 2100",
        "2.04",
        "a byte: ignored",
        "2.04",
    ),
    ("other", "any other", "ignored where its number is even", "2.04", "an odd number", "4.02"),
];

/// What every request with a path, a method and options can be refused with.
const PATH_FAULTS: &str = "4.00 4.02 4.03 4.04 4.05 4.12 5.05";
/// The same with a body.
const BODY_FAULTS: &str = "4.00 4.02 4.03 4.04 4.05 4.06 4.12 4.13 4.15 5.05";

/// Those of a request for an image.
const IMAGE_FAULTS: &str = "4.00 4.02 4.03 4.04 4.05 4.06 4.12 5.05";

/// The answer to what is right, and those to what is wrong.
fn answers(topic: &Topic) -> (&'static str, String) {
    let numbers = match topic.handler {
        Handler::IssueSecret => return ("2.05", "4.00 4.02 4.03 4.06 4.12 5.05".to_owned()),
        Handler::Acknowledge => return ("2.04", PATH_FAULTS.to_owned()),
        Handler::FetchCommand(_) | Handler::CountCommands => {
            return ("2.05", PATH_FAULTS.replace("4.12", "4.06 4.12"));
        }
        // What a script makes of bytes may have any fault of a message; that of the cases makes none.
        Handler::Bytes => return ("2.04", BODY_FAULTS.to_owned()),
        Handler::ReplyToCommand(_) => "1200",
        Handler::Message(MessageOf::Points(Verb::PostBatch | Verb::ResumeBatch)) => {
            "1200 1204 1206 1212 1260"
        }
        Handler::Message(MessageOf::Points(Verb::Post | Verb::Resume) | MessageOf::Event) => "1200 1204 1260",
        Handler::Message(MessageOf::Ota(verb)) => match verb {
            OtaVerb::Inform => "1200 1204 1260",
            OtaVerb::Progress => "764 765 1200 1204 1260",
            OtaVerb::GetVersion => "1200 1260",
        },
        Handler::Message(MessageOf::Properties(PropertyKind::Attribute, verb)) => match verb {
            PropertyVerb::Update => "1008 1200 1204 1207 1260",
            PropertyVerb::Query => "1200 1208 1260",
            PropertyVerb::Delete => "1200 1209 1260",
        },
        Handler::Message(MessageOf::Properties(PropertyKind::Tag, verb)) => match verb {
            PropertyVerb::Update => "1008 1200 1260",
            PropertyVerb::Query | PropertyVerb::Delete => "1200 1260",
        },
    };
    ("2.04", format!("{BODY_FAULTS} {numbers}"))
}

/// The answer to what is right at a short path, and those to what is wrong.
fn answers_of_short(short: &ShortPath) -> (&'static str, String) {
    // Its keys are those of the session: there is no foreign one.
    let body = BODY_FAULTS.replace("4.03 ", "");
    let numbers = match short.handler {
        ShortHandler::FetchCommand => {
            return ("2.05", PATH_FAULTS.replace("4.03 ", "").replace("4.12", "4.06 4.12"));
        }
        ShortHandler::Points(_) => "1200 1204 1206",
        ShortHandler::Attributes => "1008 1204 1207 1208",
        ShortHandler::Event => "1200 1204",
        ShortHandler::Firmware => "764 765 1200 1204",
        ShortHandler::Image => return ("2.05", IMAGE_FAULTS.replace("4.03 ", "")),
        ShortHandler::ReplyToCommand => "1200",
    };
    ("2.04", format!("{body} {numbers}"))
}

/// What a case of a short path is called.
fn name_of_short(short: &ShortPath) -> String {
    let method = if short.method == Code::GET { "GET" } else { "POST" };
    let has_several = SHORT_PATHS.iter().filter(|other| other.segments == short.segments).count() > 1;
    if has_several { format!("{method} {}", short.name()) } else { short.name() }
}

/// What a case of a topic is called: the path without the keys.
fn name(topic: &Topic) -> String {
    if topic.rest.is_empty() { format!("/{}", topic.root.join("/")) } else { topic.rest.join("/") }
}

fn topic_rows() -> Vec<String> {
    let row = |method: &str, path: &str, modes: &str, (good, bad): (&str, &str), name: &str| {
        format!("| {method} | `{path}` | {modes} | {good} | {bad} | `topic {name}` |")
    };
    let mut rows: Vec<String> = TOPICS
        .iter()
        .map(|topic| {
            let method = if topic.method == Code::GET { "GET" } else { "POST" };
            let path = [topic.root, &["{pk}", "{dk}"], topic.rest].concat().join("/");
            let modes: Vec<_> = topic.modes.iter().map(|mode| mode.digit().to_string()).collect();
            let modes = modes.join(", ") + if topic.is_of_bytes() { ", data format custom" } else { "" };
            let (good, bad) = answers(topic);
            row(method, &format!("/{path}"), &modes, (good, &bad), &name(topic))
        })
        .collect();
    rows.extend(SHORT_PATHS.iter().map(|short| {
        let method = if short.method == Code::GET { "GET" } else { "POST" };
        let (good, bad) = answers_of_short(short);
        row(method, &short.name(), "2, where switched on", (good, &bad), &name_of_short(short))
    }));
    let core = ("2.05", "4.00 4.02 4.04 4.05 4.06 4.12 5.05");
    rows.push(row("GET", "/ota/{imageId}", "2", ("2.05", IMAGE_FAULTS), "/ota/{imageId}"));
    rows.push(row("GET", "/.well-known/core", "2, 3", core, "/.well-known/core"));
    rows
}

fn section() -> String {
    let codes = CODES.iter().map(|(code, cause)| format!("| {code} | {cause} | `code {code}` |"));
    let numbers =
        NUMBERS.iter().map(|(code, place, cause)| format!("| {code} | {place} | {cause} | `code {code}` |"));
    let options = OPTIONS.iter().map(|(number, name, effect, good, bad, refused)| {
        format!("| {number} | {name} | {effect} | {good} | {bad} | {refused} | `option {number}` |")
    });
    let table = |head: &str, rows: Vec<String>| {
        let line = format!("|{}", "---|".repeat(head.matches('|').count() - 1));
        format!("{head}\n{line}\n{}\n", rows.join("\n"))
    };
    [
        table("| method | topic | secure mode | answer | bad input | test |", topic_rows()),
        table("| answer | how the test gets it | test |", codes.collect()),
        table("| code | in | how the test gets it | test |", numbers.collect()),
        table(
            "| option | name | in a request | answer | bad input | answer to it | test |",
            options.collect(),
        ),
    ]
    .join("\n")
}

#[test]
fn the_guide_names_every_topic_code_and_option_with_its_test() {
    let (_, rest) = GUIDE.split_once(BEGIN).expect("the guide has the mark where the tables begin");
    let (written, _) = rest.split_once(END).expect("and the one where they end");
    let printed = section();
    assert!(
        written.trim() == printed.trim(),
        "`tests/run interop --write-topics` writes the tables of the guide anew:\n{BEGIN}\n\n{printed}\n{END}"
    );
}

#[test]
fn every_row_has_its_case() {
    let has = |cases: &str, key: &str| cases.contains(&format!("\"{key}\""));
    for topic in &TOPICS {
        let name = name(topic);
        // The case of a reply is registered with that of its command.
        let is_reply = matches!(topic.handler, Handler::ReplyToCommand(_));
        let key = name.strip_suffix("_reply").filter(|_| is_reply).unwrap_or(&name);
        let (cases, key) = match topic.rest {
            [.., last] if topic.is_of_bytes() => (CASES_OF_RAW, *last),
            _ => (CASES_OF_TOPICS, key),
        };
        assert!(has(cases, key), "no case of {name} is registered");
    }
    for name in SHORT_PATHS.iter().map(name_of_short) {
        let is_there = has(CASES_OF_SHORT, &name) && CASES_OF_SHORT.contains("@_register(");
        assert!(is_there, "served_short.py has no case of {name}");
    }
    for name in ["/ota/{imageId}", "/.well-known/core"] {
        assert!(has(CASES_OF_TOPICS, name), "served_topics.py has no case of {name}");
    }
    for (code, _) in CODES {
        let key = [(*code).to_owned(), format!("code {code}")];
        assert!(key.iter().any(|key| has(CASES_OF_CODES, key)), "served_codes.py has no case of {code}");
    }
    for (code, ..) in NUMBERS {
        let registered = ["_register_reply(", "_register_reply(\n    ", "_register_log("];
        let is_there = registered.iter().any(|head| CASES_OF_CODES.contains(&format!("{head}{code},")));
        assert!(is_there, "served_codes.py has no case of {code}");
    }
    for (number, ..) in OPTIONS {
        assert!(has(CASES_OF_OPTIONS, number), "served_options.py has no case of option {number}");
    }
}

/// Each row has what is right, what is wrong, the answer to that, and a test.
#[test]
fn no_cell_of_a_row_is_empty() {
    let rows: Vec<Vec<String>> = section()
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|row| row.split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect();
    let cells_of_tables = [6, 3, 4, 7];
    for row in &rows {
        assert!(cells_of_tables.contains(&row.len()), "{row:?}");
        assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        let test = row.last().expect("it has cells");
        let is_head = test == "test";
        assert!(is_head || test.starts_with('`') && test.ends_with('`'), "it has no test: {row:?}");
    }
    let all = topic_rows().len() + CODES.len() + NUMBERS.len() + OPTIONS.len();
    assert_eq!(rows.len(), all + cells_of_tables.len());
}

/// The numbers after `= ` or in `Some(…)` of the lines that begin a constant or an arm of this form.
fn numbers_in<'a>(source: &'a str, before: &'a str, after: char) -> impl Iterator<Item = &'a str> {
    source.split(before).skip(1).filter_map(move |rest| rest.split(after).next())
}

#[test]
fn every_code_and_option_of_the_sources_has_its_row() {
    let codes: BTreeSet<&str> =
        CODES.iter().map(|(code, ..)| *code).chain(NEVER_SENT.iter().copied()).collect();
    for pair in numbers_in(include_str!("../../../../coap/src/code.rs"), "Self = Self::new(", ')') {
        let (class, detail) = pair.split_once(", ").expect("a class and a detail");
        let code = format!("{class}.{detail:0>2}");
        assert!(class == "0" || codes.contains(code.as_str()), "no row has {code}");
    }
    let has_number = |number: &str| NUMBERS.iter().any(|(known, ..)| known.to_string() == number);
    for source in [include_str!("../envelope.rs"), include_str!("../mod.rs")] {
        for number in numbers_in(source, ": u16 = ", ';') {
            assert!(has_number(number), "no row has the code {number}");
        }
    }
    for number in numbers_in(include_str!("../../../../api/src/log.rs"), "=> Some(", ')') {
        assert!(has_number(number), "no row has the code {number} of the log");
    }
    let has_option = |number: u16| OPTIONS.iter().any(|(known, ..)| *known == number.to_string());
    let named = (0..=u16::MAX).filter(|number| OptionNumber(*number).name().is_some());
    let ruled = (0..=u16::MAX).filter(|number| OptionNumber(*number).rule().is_some());
    for number in named.chain(ruled).chain([COMMAND_WAITING.0, short::COMMAND_WAITING.0]) {
        assert!(has_option(number), "no row has option {number}");
    }
}
