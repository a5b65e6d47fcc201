//! What a session may do, and that no request makes the device API panic.

use super::*;

#[test]
fn an_explicit_login_and_a_confirmed_activation_have_no_effect() {
    let reply = format!("{INFO}_reply");
    for (mode, path) in [
        (SecureMode::DeviceSecret, AUTH),
        (SecureMode::DeviceSecret, reply.as_str()),
        (SecureMode::ProductSecret, reply.as_str()),
    ] {
        assert_eq!(
            outcome(ask(mode, &Request::post(path, 60, "whatever"))),
            (Code::CHANGED, None, None),
            "{path}"
        );
    }
}

#[test]
fn unknown_paths_and_wrong_methods_are_told_apart() {
    for path in [
        "/",
        "/topic",
        "/topic/sys",
        "/topic/sys/MuGsF6W4",
        "/auth/MuGsF6W4",
        "/.well-known",
        "/topic/ext/MuGsF6W4/15bBZlRknc",
    ] {
        assert_eq!(outcome(post(path, "")), (Code::NOT_FOUND, Some(Reason::PathUnknown), None), "{path}");
    }
    for rest in [
        "",
        "/thing",
        "/thing/measurepoint",
        "/thing/measurepoint/post/batch/x",
        "/thing/measurepoint/post/",
        "/THING/measurepoint/post",
    ] {
        let path = format!("/topic/sys/MuGsF6W4/15bBZlRknc{rest}");
        assert_eq!(outcome(post(&path, "")), (Code::NOT_FOUND, Some(Reason::PathUnknown), None), "{path}");
    }
    for (method, path) in
        [(Code::GET, POST), (Code::PUT, POST), (Code::DELETE, BATCH), (Code::GET, AUTH), (Code::POST, INFO)]
    {
        let request = Request::new(method, path);
        assert_eq!(
            outcome(ask(SecureMode::DeviceSecret, &request)),
            (Code::METHOD_NOT_ALLOWED, Some(Reason::MethodWrong), Some(1260)),
            "{method} {path}"
        );
    }
}

#[test]
fn attack_152_another_devices_topic_is_forbidden_whatever_it_is() {
    for path in [
        "/topic/sys/MuGsF6W4/other/thing/measurepoint/post",
        "/topic/sys/MuGsF6W4/other/no/such/topic",
        "/topic/sys/other/15bBZlRknc/thing/measurepoint/post",
        "/topic/sys/mugsf6w4/15bBZlRknc/thing/measurepoint/post",
        "/topic/sys/MuGsF6W4/15bBZlRknc%20/thing/measurepoint/post",
        "/topic/ext/session/MuGsF6W4/other/thing/activate/info",
        "/auth/MuGsF6W4/other",
        "/topic/sys//15bBZlRknc/thing/measurepoint/post",
    ] {
        for method in [Code::GET, Code::POST] {
            let expected = (Code::FORBIDDEN, Some(Reason::TopicForeign), Some(1009));
            assert_eq!(
                outcome(ask(SecureMode::DeviceSecret, &Request::new(method, path))),
                expected,
                "{path}"
            );
        }
    }
}

#[test]
fn attack_154_query_and_host_have_no_influence() {
    let request = Request::post(
        &format!("{POST}?user=other&deviceKey=other"),
        50,
        r#"{"params":{"measurepoints":{"a":1}}}"#,
    );
    stored(ask(SecureMode::DeviceSecret, &request));
    let foreign =
        Request::post("/topic/sys/MuGsF6W4/other/thing/measurepoint/post?deviceKey=15bBZlRknc", 50, "{}");
    assert_eq!(outcome(ask(SecureMode::DeviceSecret, &foreign)).0, Code::FORBIDDEN);
}

#[test]
fn attack_156_a_mode_3_session_may_only_ask_for_its_secret() {
    let report = r#"{"params":{"measurepoints":{"a":1}}}"#;
    let observe =
        Request { observe: Some(0), ..Request::get("/topic/sys/MuGsF6W4/15bBZlRknc/thing/commands") };
    for request in [
        Request::post(POST, 50, report),
        Request::post(BATCH, 50, report),
        Request::post(AUTH, 50, ""),
        Request::post(INFO, 50, ""),
        Request::get(&format!("{INFO}_reply")),
        Request::get("/"),
        Request::get("/topic/ext/session/MuGsF6W4/15bBZlRknc/thing/activate/info/x"),
        observe,
    ] {
        let expected = (Code::FORBIDDEN, Some(Reason::TopicForeign), Some(1009));
        assert_eq!(outcome(ask(SecureMode::ProductSecret, &request)), expected, "{request:?}");
    }
    let action = ask(SecureMode::ProductSecret, &Request::get(INFO));
    assert!(
        matches!(action, Action::IssueSecret(SecretWanted { asked: NOW, content_format: 50 })),
        "{action:?}"
    );
}

#[test]
fn attack_157_a_mode_3_session_may_not_ask_for_another_device() {
    let request = Request::get("/topic/ext/session/MuGsF6W4/other/thing/activate/info");
    let (response, refusal) = response(ask(SecureMode::ProductSecret, &request));
    let refusal = refusal.expect("it is logged");
    assert_eq!((response.code, refusal.reason), (Code::FORBIDDEN, Some(Reason::TopicForeign)));
    assert!(
        refusal.detail.contains("names another device: /topic/ext/session/MuGsF6W4/other/"),
        "{}",
        refusal.detail
    );
}

#[test]
fn a_device_that_has_its_secret_is_not_given_another() {
    let expected = (Code::FORBIDDEN, Some(Reason::AlreadyActivated), Some(771));
    assert_eq!(outcome(ask(SecureMode::DeviceSecret, &Request::get(INFO))), expected);
}

#[test]
fn attack_170_numbers_are_kept_as_they_were_written() {
    let (messages, _) = stored(post(
        POST,
        r#"{"params":{"measurepoints":{"a":-0,"b":1.50,"c":12345678901234567890123,"d":1e5}}}"#,
    ));
    assert_eq!(&*messages[0].points_json, r#"{"a":-0,"b":1.50,"c":12345678901234567890123,"d":1e5}"#);
}

#[test]
fn attack_174_and_175_markup_and_metacharacters_are_only_text() {
    let (messages, _) = stored(post(
        POST,
        r#"{"params":{"measurepoints":{"a":"<script>alert(1)</script>'; DROP TABLE x;--"}}}"#,
    ));
    assert_eq!(&*messages[0].points_json, r#"{"a":"<script>alert(1)</script>'; DROP TABLE x;--"}"#);
    let (_, message) = fault(post(POST, r#"{"params":{"measurepoints":{"\"><script>":1}}}"#));
    assert!(
        message.contains("\"><script>"),
        "it is escaped by JSON in the reply and left to each viewer in the log"
    );
}

#[test]
fn a_body_beyond_the_limit_is_refused_with_the_limit() {
    let body = format!(r#"{{"params":{{"measurepoints":{{"a":"{}"}}}}}}"#, "x".repeat(BODY_BYTES_MAX));
    let (response, refusal) = response(post(POST, &body));
    assert_eq!(response.code, Code::REQUEST_ENTITY_TOO_LARGE);
    assert_eq!(response.options.find_uint(OptionNumber::SIZE1), Some(10_240));
    let refusal = refusal.expect("it goes into the log");
    assert_eq!((refusal.reason, refusal.code()), (Some(Reason::TooLarge), Some(1008)));
}

#[test]
fn a_limit_that_was_set_holds_for_every_message_of_a_device() {
    let session = session(SecureMode::DeviceSecret);
    let product = ProductState::OnWithBytes { model: None, short_paths: true };
    let ask = |limit: usize, path: &str, bytes: usize| {
        let request = Request::post(path, if path == "/p" { 60 } else { 42 }, vec![b' '; bytes]);
        handle_within(MessageLimit::new(limit), &session, &request, product, NOW)
    };
    let of_device = |rest: &str| format!("/topic/sys/MuGsF6W4/15bBZlRknc/thing/{rest}");
    let reply = of_device("service/measurepoint/set_reply");
    let up = of_device("model/up_raw");
    let down = of_device("model/down_raw_reply");
    let confirmed = "/topic/ext/session/MuGsF6W4/15bBZlRknc/thing/activate/info_reply";
    let again = "/auth/MuGsF6W4/15bBZlRknc";
    for path in [POST, BATCH, "/p", &up, &down, &reply, confirmed, again] {
        for limit in [1024, 8192, 10_240, 65_536] {
            let (response, refusal) = response(ask(limit, path, limit + 1));
            assert_eq!(response.code, Code::REQUEST_ENTITY_TOO_LARGE, "{path}");
            let size = u32::try_from(limit).expect("it is small");
            assert_eq!(response.options.find_uint(OptionNumber::SIZE1), Some(size), "{path}");
            let detail = refusal.expect("it goes into the log").detail;
            let words = format!("{} bytes; at most {limit} are accepted (limits.message_bytes)", limit + 1);
            assert!(detail.contains(&words), "{detail}");
            let fits = ask(limit, path, limit);
            let code = if let Action::Respond(answer) = &fits { Some(answer.response().code) } else { None };
            assert_ne!(code, Some(Code::REQUEST_ENTITY_TOO_LARGE), "{path} {limit}");
        }
    }
}

#[test]
fn the_body_of_a_login_is_measured() {
    let ask = |bytes: usize, limit: usize| {
        let login = br#"{"secureMode":2,"lifetime":60,"sign":"AB"}"#;
        let body = [&login[..], &vec![b' '; bytes - login.len()]].concat();
        login::read(&Request::post("/auth/MuGsF6W4/15bBZlRknc", 50, body), MessageLimit::new(limit))
    };
    for limit in [1024, 10_240, 65_536] {
        assert!(ask(limit, limit).is_ok(), "{limit}");
        let (response, refusal) = ask(limit + 1, limit).expect_err("it is too long").into_parts();
        assert_eq!(response.code, Code::REQUEST_ENTITY_TOO_LARGE, "{limit}");
        let size = u32::try_from(limit).expect("it is small");
        assert_eq!(response.options.find_uint(OptionNumber::SIZE1), Some(size));
        assert_eq!(refusal.expect("it goes into the log").reason, Some(Reason::TooLarge));
    }
}

#[test]
fn cbor_that_is_longer_than_usual_may_grow_as_much() {
    // 1.5 as a half: 3 bytes, of 4 with the comma as JSON.
    let point = |count: u16| {
        let halves = [0xf9, 0x3e, 0x00].repeat(count.into());
        let [high, low] = count.to_be_bytes();
        let head = b"\xa1\x66params\xa1\x6dmeasurepoints\xa1\x61a\x99";
        [&head[..], &[high, low], &halves].concat()
    };
    let body = point(12_000);
    assert!((36_000..40_000).contains(&body.len()));
    let request = Request::post(POST, 60, body);
    let limit = MessageLimit::new(65_536);
    let action =
        handle_within(limit, &session(SecureMode::DeviceSecret), &request, ProductState::On(None), NOW);
    let code = if let Action::Respond(answer) = &action { Some(answer.response().code) } else { None };
    assert_ne!(code, Some(Code::REQUEST_ENTITY_TOO_LARGE), "{action:?}");
}

#[test]
fn a_key_with_a_slash_is_one_segment() {
    let session = named(["MuGsF6W4", "a/b c", "As5etId1"], SecureMode::DeviceSecret);
    let report = r#"{"params":{"measurepoints":{"a":1}}}"#;
    let request = Request::post("/topic/sys/MuGsF6W4/a%2Fb%20c/thing/measurepoint/post", 50, report);
    stored(handle(&session, &request, ProductState::On(None), NOW));
}

const PATHS: [&str; 6] =
    [POST, BATCH, INFO, AUTH, "/topic/sys/MuGsF6W4/other/thing/measurepoint/post", "/nowhere"];

/// Everything but a success has an entry for the log, of bounded length.
fn check_answer(action: &Action) -> Result<(), TestCaseError> {
    match action {
        Action::Respond(answer) => {
            let (response, refusal) = (answer.response(), answer.refusal());
            let json = match response.options.find_uint(OptionNumber::CONTENT_FORMAT) {
                Some(format) if format == u32::from(format::CBOR) => {
                    cbor::to_json(&response.payload, cbor::Limits::BODY, None)
                        .unwrap_or_default()
                        .into_bytes()
                }
                _ => response.payload.to_vec(),
            };
            let reply = serde_json::from_slice::<serde_json::Value>(&json).ok();
            let is_fault = reply.is_some_and(|reply| reply["code"] != 200);
            prop_assert_eq!(refusal.is_some(), !response.code.is_success() || is_fault, "{:?}", action);
            prop_assert!(
                refusal.is_none_or(|refusal| (1..600).contains(&refusal.detail.len())),
                "{:?}",
                refusal
            );
        }
        Action::Store { response, .. } => prop_assert_eq!(response.code, Code::CHANGED),
        Action::IssueSecret(_)
        | Action::Decode(_)
        | Action::Edit(_)
        | Action::Query(_)
        | Action::Ota(_)
        | Action::ReadBlock(_)
        | Action::Command(_)
        | Action::ShortReply(_)
        | Action::CountCommands(_) => {}
        Action::Unavailable(_) => prop_assert!(false, "the product can be read"),
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_request_never_panics(
        mode_2: bool, method in 0_u8..8,
        path in concat!(
            "(/(topic|sys|ext|session|auth|MuGsF6W4|15bBZlRknc|thing|measurepoint|post|batch",
            "|attribute|tag|update|query|delete|event|ota|device|inform|Ab3dEf7h",
            "|[a%é]{0,3})){0,9}"
        ),
        content_format: Option<u16>, accept: Option<u16>, condition: bool,
        body in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let mode = if mode_2 { SecureMode::DeviceSecret } else { SecureMode::ProductSecret };
        let request = Request { content_format, accept, ..Request::new(Code(method), &path) };
        let request = if condition { request.option(OptionNumber::IF_MATCH, "") } else { request };
        check_answer(&ask(mode, &Request { payload: body, ..request }))?;
    }

    #[test]
    fn every_answer_that_is_no_success_says_why(
        mode_2: bool, method in 1_u8..5, path in 0_usize..PATHS.len(),
        end in prop_oneof![Just(""), Just("/"), Just("x"), Just("%00")],
        content_format in proptest::option::of(prop_oneof![Just(50_u16), Just(0), Just(60), any::<u16>()]),
        accept in proptest::option::of(prop_oneof![Just(50_u16), Just(60), any::<u16>()]), condition: bool,
        body in prop_oneof![
            Just(r#"{"params":{"measurepoints":{"a":1}}}"#.to_owned()),
            Just(r#"{"params":{"measurepoints":{"a":null}}}"#.to_owned()),
            Just("x".repeat(BODY_BYTES_MAX + 1)), "[{}\\[\\]:,\"a0-]{0,20}"
        ],
    ) {
        let mode = if mode_2 { SecureMode::DeviceSecret } else { SecureMode::ProductSecret };
        let request = Request::new(Code(method), &format!("{}{end}", PATHS[path]));
        let request = if condition { request.option(OptionNumber::IF_NONE_MATCH, "") } else { request };
        check_answer(&ask(mode, &Request { content_format, accept, payload: body.into_bytes(), ..request }))?;
    }

    #[test]
    fn any_json_like_report_never_panics(
        params in concat!(
            "(\\{|\\[|\\}|\\]|\"measurepoints\":|\"time\":|\"a\":|\"deviceKey\":",
            "|,|null|1|\"x\"|1e9| ){0,20}"
        ),
        batch: bool, skip: bool,
    ) {
        let body = format!(r#"{{"params":{params},"skipInvalidMeasurepoints":{skip}}}"#);
        if let Action::Store { writes, .. } = post(if batch { BATCH } else { POST }, &body) {
            for write in writes {
                let Write::Message(message) = write else { panic!("only reports are stored") };
                let points: serde_json::Value =
                    serde_json::from_str(&message.points_json).expect("what is stored is JSON");
                prop_assert!(points.is_object());
            }
        }
    }
}

#[test]
fn the_state_of_the_product_goes_before_everything_else() {
    for mode in [SecureMode::DeviceSecret, SecureMode::ProductSecret] {
        for request in [Request::post(POST, 50, b"{"), Request::get(INFO), Request::get("/nowhere")] {
            for (state, reason) in [
                (ProductState::Off, Reason::ProductDisabled),
                (ProductState::Suspended, Reason::UnitSuspended),
            ] {
                let off = handle(&session(mode), &request, state, NOW);
                let expected = (Code::FORBIDDEN, Some(reason), Some(723));
                assert_eq!(outcome(off), expected, "{request:?}");
            }
            let unreadable = handle(&session(mode), &request, ProductState::Unreadable, NOW);
            let Action::Unavailable(response) = unreadable else { panic!("it is 5.03: {unreadable:?}") };
            assert_eq!(response.code, Code::SERVICE_UNAVAILABLE);
            assert_eq!(response.options.find_uint(OptionNumber::MAX_AGE), Some(UNAVAILABLE_MAX_AGE_S));
        }
    }
}
