//! What a refusal and a warning say to the operator: the probable mistake, and what to do.

use super::*;

fn refused(action: Action) -> (Code, Reason, String) {
    let (response, refusal) = response(action);
    let refusal = refusal.expect("it is logged");
    (response.code, refusal.reason.expect("it has a name"), refusal.detail.into_owned())
}

#[test]
fn an_unknown_path_names_the_probable_mistake() {
    const KEYS: &str = "MuGsF6W4/15bBZlRknc";
    for (path, words) in [
        ("/", "there is no path /: the request has no Uri-Path option"),
        (&format!("{POST}/"), "a trailing slash"),
        (&format!("/{POST}"), "a slash too many"),
        (&format!("/topic/sys/{KEYS}/thing/measurepoint/Post"), "the case of a letter is wrong"),
        (&format!("/TOPIC/sys/{KEYS}/thing/measurepoint/post"), "the case of a letter is wrong"),
        (
            &format!("/sys/{KEYS}/thing/measurepoint/post"),
            "this is the MQTT topic, a CoAP path begins with /topic",
        ),
        (&format!("/ext/session/{KEYS}/thing/activate/info"), "this is the MQTT topic"),
        (
            &format!("//sys/{KEYS}/thing/measurepoint/post/"),
            "(a slash too many), and an empty segment stands at the end",
        ),
        (&POST[1..].replace('/', "%2F"), "several segments stand in one Uri-Path option"),
        (&POST.replace('/', "%2F"), "several segments stand in one Uri-Path option"),
        (&format!("/topic/sys/{KEYS}/thing/measurepoint%252Fpost"), "percent-encoded"),
        (&format!("{POST}%3Ftoken=1"), "the query stands in the path"),
        (&format!("{POST}%00"), "a space or a NUL"),
        (&format!("{POST}%20"), "a space or a NUL"),
        (&format!("/coaps:/%00/host{POST}"), "scheme and host stand in the path"),
        (&format!("/topic/sys/{KEYS}/thing/measurepoints/post"), "perhaps thing/measurepoint/post is meant"),
        (
            &format!("/topic/sys/{KEYS}/thing/measurepoint/post/bach"),
            "perhaps thing/measurepoint/post/batch is meant",
        ),
        (&format!("/topic/sys/{KEYS}/ota/device/informs"), "perhaps ota/device/inform is meant"),
        (
            &format!("/topic/sys/{KEYS}/what/ever"),
            "a report goes to /topic/sys/{productKey}/{deviceKey}/thing",
        ),
        (&"/x".repeat(200), "…; a report goes to"),
    ] {
        let (code, reason, detail) = refused(post(path, "{}"));
        assert_eq!((code, reason), (Code::NOT_FOUND, Reason::PathUnknown), "{path}");
        assert!(detail.starts_with("there is no path /") && detail.contains(words), "{path}: {detail}");
        assert!(detail.len() < 400, "{detail}");
    }
}

#[test]
fn another_devices_path_names_the_probable_mistake() {
    let path = |keys: &str| format!("/topic/sys/{keys}/thing/measurepoint/post");
    for (path, words) in [
        (
            path("15bBZlRknc/MuGsF6W4"),
            "productKey and deviceKey are swapped; this session is MuGsF6W4/15bBZlRknc",
        ),
        (path("mugsf6w4/15bbzlrknc"), "the keys differ in the case of a letter"),
        (path("{productKey}/{deviceKey}"), "a placeholder was not filled in"),
        (path("MuGsF6W4/15bBZlRknc%00"), "a segment begins or ends with a space or a NUL"),
        (path("MuGsF6W4/other"), "; this session is MuGsF6W4/15bBZlRknc"),
        ("/auth/15bBZlRknc/MuGsF6W4".to_owned(), "swapped"),
        ("/topic/ext/session/15bBZlRknc/MuGsF6W4/thing/activate/info".to_owned(), "swapped"),
    ] {
        let (code, reason, detail) = refused(post(&path, "{}"));
        assert_eq!((code, reason), (Code::FORBIDDEN, Reason::TopicForeign), "{path}");
        assert!(detail.contains(words), "{path}: {detail}");
    }
}

#[test]
fn a_wrong_method_is_named_with_the_right_one() {
    const COMMANDS: &str = "/topic/sys/MuGsF6W4/15bBZlRknc/thing/commands";
    for (method, path, words) in [
        (
            Code::GET,
            POST,
            "GET does not fit /topic/sys/MuGsF6W4/15bBZlRknc/thing/measurepoint/post: it takes POST only; \
             a GET carries no body",
        ),
        (Code::PUT, POST, "it takes POST only"),
        (Code::POST, INFO, "it takes GET only; the secret is the answer to a GET"),
        (Code::POST, COMMANDS, "it takes GET only; how many commands wait is the answer to a GET"),
    ] {
        let (code, reason, detail) = refused(ask(SecureMode::DeviceSecret, &Request::new(method, path)));
        assert_eq!((code, reason), (Code::METHOD_NOT_ALLOWED, Reason::MethodWrong));
        assert!(detail.contains(words), "{detail}");
    }
}

#[test]
fn a_condition_is_never_ignored() {
    let report = Request::post(POST, 50, r#"{"params":{"measurepoints":{"a":1}}}"#);
    let confirm = Request::post(&format!("{INFO}_reply"), 50, "");
    let cases = [
        (SecureMode::DeviceSecret, report),
        (SecureMode::DeviceSecret, Request::post(AUTH, 50, "")),
        (SecureMode::DeviceSecret, confirm.clone()),
        (SecureMode::ProductSecret, confirm),
        (SecureMode::ProductSecret, Request::get(INFO)),
    ];
    for (mode, request) in cases {
        for (number, value, name) in [
            (OptionNumber::IF_MATCH, &b"tag"[..], "option 1 (If-Match)"),
            (OptionNumber::IF_MATCH, b"", "option 1 (If-Match)"),
            (OptionNumber::IF_NONE_MATCH, b"", "option 5 (If-None-Match)"),
        ] {
            let (code, reason, detail) = refused(ask(mode, &request.clone().option(number, value)));
            let expected = (Code::PRECONDITION_FAILED, Reason::OptionUnsupported);
            assert_eq!((code, reason), expected, "{request:?}");
            assert!(detail.starts_with(name), "{detail}");
        }
        // An entity-tag alone is not a condition.
        let action = ask(mode, &request.option(OptionNumber::ETAG, "tag"));
        let is_done = match &action {
            Action::Respond(answer) => answer.refusal().is_none(),
            Action::Store { .. }
            | Action::Decode(_)
            | Action::Edit(_)
            | Action::Query(_)
            | Action::Ota(_)
            | Action::ReadBlock(_)
            | Action::Command(_)
            | Action::ShortReply(_)
            | Action::CountCommands(_)
            | Action::IssueSecret(_) => true,
            Action::Unavailable(_) => false,
        };
        assert!(is_done, "{action:?}");
    }
}

#[test]
fn an_answer_of_another_format_is_not_acceptable() {
    let report = Request::post(POST, 50, r#"{"params":{"measurepoints":{"a":1}}}"#);
    for (mode, request) in
        [(SecureMode::DeviceSecret, report), (SecureMode::ProductSecret, Request::get(INFO))]
    {
        let (code, reason, detail) = refused(ask(mode, &request.accept(41)));
        assert_eq!((code, reason), (Code::NOT_ACCEPTABLE, Reason::NotAcceptable));
        assert!(
            detail.starts_with(
                "Accept asks for format 41 (application/xml); answers have format 50 (application/json) or 60"
            ),
            "{detail}"
        );
    }
}

#[test]
fn a_wrong_content_format_is_named_and_told_from_a_wrong_body() {
    let ask = |content_format, body: &str| {
        let request = Request { content_format: Some(content_format), ..Request::post(POST, 50, body) };
        refused(ask(SecureMode::DeviceSecret, &request)).2
    };
    assert!(ask(42, "{}").ends_with(
        "42 (application/octet-stream) is not supported; use 50 (application/json), which the body looks \
         like, or 60 (application/cbor)"
    ));
    let others = "is not supported; use 50 (application/json), or 60 (application/cbor)";
    assert!(ask(41, "x").ends_with(&format!("41 (application/xml) {others}")));
}

#[test]
fn the_log_says_more_than_the_reply() {
    for (body, words) in [
        (r#"{"id":1,"Params":{}}"#, "/params: is missing; there is Params: the name is params"),
        (
            r#"{"id":1,"measurepoints":{"a":1}}"#,
            "/params: is missing; received id, measurepoints; measurepoints stands inside params",
        ),
        (r#"{"id":1,"params":"{\"measurepoints\":{\"a\":1}}"}"#, "the object was encoded twice"),
        (
            r#"{"id":1,"params":[{"measurepoints":{"a":1}}]}"#,
            "/params: must be an object; it is an array: a batch goes to the topic …/batch",
        ),
        (
            r#"{"id":1,"params":{"a":1}}"#,
            "/params/measurepoints: is missing; received a; points stand inside measurepoints",
        ),
        (
            r#"{"id":1,"params":{"measurepoints":[1]}}"#,
            "/params/measurepoints: must be an object; received [1] at byte 35",
        ),
        (
            r#"{"id":1,"params":{"measurepoints":{"a":1},"time":"5"}}"#,
            r#"received "5" at byte 50; a number is not a string"#,
        ),
        (
            r#"{"id":1,"params":{"measurepoints":{"a":1},"time":5.5}}"#,
            "received 5.5 at byte 50; an integer has no fraction",
        ),
        (
            r#"{"id":1,"params":{"measurepoints":{"a":1},"time":1700000000000000}}"#,
            "as microseconds it is near now",
        ),
        (
            r#"{"id":1,"params":{"measurepoints":{"a":1},"time":1700000000000000000}}"#,
            "as nanoseconds it is near now",
        ),
        (
            r#"{"id":1,"params":{"measurepoints":{"a":null}}}"#,
            "received null at byte 40; leave the point out",
        ),
        (
            r#"{"id":1,"method":"thing.event.x.post","params":{}}"#,
            "method is thing.measurepoint.post; received thing.event.x.post",
        ),
    ] {
        let (_, detail) = fault(post(POST, body));
        assert!(detail.contains(words), "{body}: {detail}");
    }
    let (_, detail) = fault(post(BATCH, r#"{"id":1,"params":{"measurepoints":{"a":1}}}"#));
    assert!(detail.contains("it is an object: a single report goes to the topic without /batch"), "{detail}");
}

#[test]
fn a_value_that_the_model_does_not_take_is_shown_with_its_byte() {
    let model = ThingModel::parse(
        r#"{"modelId":"m","measurepoints":[{"identifier":"n","dataType":"INT"},
          {"identifier":"Temp_1","dataType":"DOUBLE"},
          {"identifier":"list","dataType":{"type":"ARRAY","elementType":"INT"}}]}"#,
    )
    .expect("it is valid");
    for (points, words) in [
        (r#"{"n":-0}"#, "/n: must be an integer of 32 bits; received -0 at byte 33; printf writes -0"),
        (r#"{"n":"7"}"#, r#"received "7" at byte 33; a number is not a string"#),
        (r#"{"list":[1,-0]}"#, "/list/1: must be an integer of 32 bits; received -0 in the value at byte 36"),
        (r#"{"temp1":7}"#, "model m has no such point; it has Temp_1: names must be written as in the model"),
        (r#"{"other":7}"#, "model m has no such point"),
    ] {
        let body = format!(r#"{{"params":{{"measurepoints":{points}}}}}"#);
        let request = Request::post(POST, 50, body);
        let (_, detail) =
            fault(handle(&session(SecureMode::DeviceSecret), &request, ProductState::On(Some(&model)), NOW));
        assert!(detail.contains(words), "{points}: {detail}");
    }
}

#[test]
fn a_doubtful_time_is_stored_with_a_warning() {
    let warning = |time: &str| {
        let body = format!(r#"{{"params":{{"measurepoints":{{"a":1}},"time":{time}}}}}"#);
        let Action::Store { warning, .. } = post(POST, &body) else { panic!("{time} is stored") };
        warning.map(|warning| (warning.reason, warning.detail))
    };
    let (reason, detail) = warning("170000000000").expect("ticks");
    assert_eq!(reason, Reason::TimeDoubtful);
    assert_eq!(
        detail,
        "/time: 170000000000 ms is 1967 days after 1 January 1970; as ticks of 10 ms it is near now: \
         send milliseconds"
    );
    for uptime in ["0", "5230", "99999999"] {
        let (_, detail) = warning(uptime).expect("an uptime");
        assert!(detail.contains("the device's clock is not set"), "{detail}");
    }
    for good in ["null", "1700000000000", "1700000299000", "1577836800000", "1420070400000"] {
        assert_eq!(warning(good), None, "{good}");
    }
    for (time, words) in [
        // NOW is 1700000000000.
        (
            1_700_007_200_000_i64,
            "120 minutes ahead of the server: is local time sent as UTC? The latest value",
        ),
        (1_384_035_200_000, "as milliseconds since 6 January 1980 (GPS) it is near now"),
        (753_315_200_000, "as milliseconds since 1 January 2000"),
        (315_964_860_000, "is not set, and began at 6 January 1980"),
        (946_684_800_000, "is not set, and began at 1 January 2000"),
        (1_262_304_000_000, "the device's clock is probably not set"),
    ] {
        let (reason, detail) = warning(&time.to_string()).expect("it is doubtful");
        assert_eq!(reason, Reason::TimeDoubtful);
        assert!(detail.contains(words) && detail.len() < 200, "{time}: {detail}");
    }
    let batch = r#"{"params":[{"measurepoints":{"a":1}},{"measurepoints":{"a":2},"time":5230}]}"#;
    assert!(matches!(post(BATCH, batch), Action::Store { warning: Some(_), .. }));
}

/// Seconds would be stored in January 1970 and never be the latest value.
#[test]
fn a_time_that_looks_like_seconds_is_refused_with_the_hint() {
    let said = "/params/time: looks like seconds; send Unix milliseconds";
    for (time, words) in [
        // NOW is 1700000000000.
        (1_700_000_000_i64, "as seconds it is near now: send milliseconds, that is 1000 times as much"),
        (1_384_035_200, "as seconds since 6 January 1980 (GPS) it is near now"),
        (753_315_200, "as seconds since 1 January 2000 it is near now"),
        (3_908_988_800, "as seconds since 1 January 1900 (NTP) it is near now"),
        (3_782_844_800, "as seconds since 1 January 1904 it is near now"),
        (1_700_000_000_000 % (1 << 32), "it is now cut to 32 bits"),
        (100_000_000, "the device's clock is not set"),
        (100_000_000_000, "the device's clock is probably not set"),
    ] {
        for topic in [POST, &POST.replace("/post", "/resume")] {
            let body = format!(r#"{{"params":{{"measurepoints":{{"a":1}},"time":{time}}}}}"#);
            let (code, detail) = fault(post(topic, &body));
            assert_eq!(code, 1204);
            assert_eq!(detail.strip_prefix(said).map(|rest| rest.contains(words)), Some(true), "{detail}");
        }
    }
}

#[test]
fn a_time_in_the_wrong_place_is_told() {
    let warning = |topic: &str, body: &str| {
        let Action::Store { writes, warning, .. } = post(topic, body) else { panic!("{body} is stored") };
        for write in writes {
            assert!(matches!(write, Write::Message(message) if message.arrival == NOW), "{body}");
        }
        warning.map(|warning| warning.detail)
    };
    for (topic, body, words) in [
        (
            POST,
            r#"{"time":1,"params":{"measurepoints":{"a":1}}}"#,
            "time stands outside of params and was not used",
        ),
        (
            POST,
            r#"{"ts":1,"timestamp":2,"time":"x","params":{"measurepoints":{"a":1}}}"#,
            "outside of params",
        ),
        (POST, r#"{"params":{"timestamp":1,"measurepoints":{"a":1}}}"#, "params has timestamp or ts"),
        (POST, r#"{"params":{"ts":1,"measurepoints":{"a":1}}}"#, "params has timestamp or ts"),
        (POST, r#"{"params":{"measurepoints":{"a":1,"time":1}}}"#, "a point has the name of a time"),
        (POST, r#"{"params":{"measurepoints":{"a":{"value":1,"time":1}}}}"#, "value has a time in it"),
        (
            BATCH,
            r#"{"params":[{"measurepoints":{"a":1},"time":1700000000000},{"measurepoints":{"a":1}}]}"#,
            "an element of the batch has no time",
        ),
    ] {
        let said = warning(topic, body).expect("it is told");
        assert!(said.contains(words) && said.contains("the time of arrival counts"), "{body}: {said}");
    }
    for (topic, body) in [
        (POST, r#"{"time":1,"params":{"measurepoints":{"time":1},"ts":1,"time":1700000000000}}"#),
        (POST, r#"{"params":{"measurepoints":{"a":{"quality":1,"value":1},"runtime":4}}}"#),
        (BATCH, r#"{"params":[{"measurepoints":{"a":1}}]}"#),
    ] {
        assert_eq!(warning(topic, body), None, "{body}");
    }
}
