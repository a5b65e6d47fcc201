//! A life against a server that does what it wants.

use narrowgate_dtls::CipherSuite;
use narrowgate_sim::device::Asked as AskedOfDevice;

use super::*;

const SET: &str = "/topic/sys/pk/dk/thing/service/measurepoint/set";
const GET: &str = "/topic/sys/pk/dk/thing/service/measurepoint/get";

/// A life, and when it is now.
struct Stage {
    life: Life,
    now: Instant,
}

fn plan() -> Plan {
    Plan {
        base: "/topic/sys/pk/dk".to_owned(),
        activates: false,
        interval: Duration::from_secs(60),
        count: None,
        points: r#"{"temp":21.5}"#.to_owned(),
        attributes: None,
        event: None,
        content_format: format::JSON,
        reply: Reply::Code(200),
        updates: false,
        firmware: None,
        fault: None,
    }
}

impl Stage {
    fn new(plan: Plan) -> Self {
        let now = Instant::now();
        let mut stage = Self { life: Life::new(plan, now), now };
        assert_eq!(stage.acts(), "connect");
        stage
    }

    /// What it does: requests by what follows the device's path, and the rest by its name.
    fn acts(&mut self) -> String {
        let act = |act| match act {
            Act::Command(DeviceCommand::Connect) => "connect".to_owned(),
            Act::Command(DeviceCommand::Close) => "close".to_owned(),
            Act::Command(DeviceCommand::AskActivation) => "activate".to_owned(),
            Act::Command(DeviceCommand::Request(request)) => {
                let path = request.path_text().trim_start_matches("/topic/sys/pk/dk/thing/");
                format!("{} {path} {}", request.method, String::from_utf8_lossy(&request.payload))
            }
            other => format!("{other:?}"),
        };
        let acts: Vec<String> = std::iter::from_fn(|| self.life.poll_act()).map(act).collect();
        acts.join(", ")
    }

    /// What happens, and what it then does.
    fn meet(&mut self, event: DeviceEvent) -> String {
        self.life.handle_event(self.now, event);
        self.acts()
    }

    fn connects(&mut self) -> String {
        self.life.hear();
        self.meet(DeviceEvent::Connected { suite: CipherSuite::PskAes128Ccm8 })
    }

    fn answers(&mut self, code: Code, payload: &str, waiting: Option<&str>) -> String {
        let response = Response::new(code).payload(payload);
        let named = |response: Response, path| response.option(COMMAND_WAITING, path);
        self.meet(DeviceEvent::Answered(waiting.into_iter().fold(response, named)))
    }

    fn acknowledges(&mut self, waiting: Option<&str>) -> String {
        self.answers(Code::CHANGED, r#"{"id":"1","code":200,"data":{}}"#, waiting)
    }

    fn does_not_answer(&mut self, cause: FailureCause) -> String {
        self.meet(DeviceEvent::Unanswered { asked: AskedOfDevice::Request, cause })
    }

    /// Lets its pause pass.
    fn waits(&mut self) -> String {
        self.now = self.life.poll_timeout().expect("it goes on");
        self.life.handle_timeout(self.now);
        self.acts()
    }

    #[track_caller]
    fn fails(&self, words: &str) {
        let verdict = self.life.verdict().expect_err("it did not go as it has to");
        assert!(verdict.contains(words), "{verdict}");
    }
}

#[test]
fn a_session_in_which_nothing_is_answered_is_given_up_for_another_one() {
    let mut stage = Stage::new(plan());
    assert!(stage.connects().starts_with("0.02 measurepoint/post"));
    assert_eq!(stage.acknowledges(None), "");
    assert!(stage.waits().starts_with("0.02 measurepoint/post"));
    // The server was restarted, and knows nothing of the session.
    assert_eq!(stage.does_not_answer(FailureCause::TimedOut), "close");
    assert_eq!(stage.waits(), "connect");
    assert!(stage.connects().starts_with("0.02 measurepoint/post"));
    stage.acknowledges(None);
    stage.life.stop();
    stage.fails("1 of 3 reports was not acknowledged");
    // A refusal of the message is an answer: the server knows the session.
    let mut stage = Stage::new(plan());
    stage.connects();
    assert_eq!(stage.does_not_answer(FailureCause::Reset), "");
    assert!(stage.waits().starts_with("0.02 measurepoint/post"));
}

#[test]
fn a_report_that_was_under_way_when_the_server_ended_the_session_is_not_acknowledged() {
    let mut stage = Stage::new(Plan { count: Some(1), ..plan() });
    stage.connects();
    assert_eq!(stage.meet(DeviceEvent::Closed), "");
    assert!(stage.life.is_over());
    stage.fails("1 of 1 report was not acknowledged");
    let mut stage = Stage::new(Plan { attributes: Some("{}".to_owned()), ..plan() });
    assert!(stage.connects().starts_with("0.02 attribute/update"));
    assert_eq!(stage.meet(DeviceEvent::Closed), "");
    assert_eq!(stage.waits(), "connect");
    stage.connects();
    stage.acknowledges(None);
    stage.life.stop();
    stage.fails("what was sent as --attributes was not answered");
    // One under way when somebody ends the device is nobody's fault.
    let mut stage = Stage::new(plan());
    stage.connects();
    stage.life.stop();
    assert_eq!((stage.acts().as_str(), stage.life.verdict()), ("close", Ok(())));
}

#[test]
fn a_session_that_ends_before_the_secret_came_ends_the_device() {
    let mut stage = Stage::new(Plan { activates: true, ..plan() });
    assert_eq!(stage.connects(), "activate");
    assert_eq!(stage.meet(DeviceEvent::Closed), "");
    assert!(stage.life.is_over());
    stage.fails("the server ended the session before it issued a secret");
}

#[test]
fn what_is_sent_once_has_to_be_served() {
    let event = Some(("alarm".to_owned(), "{}".to_owned()));
    let mut stage = Stage::new(Plan { event, count: Some(1), ..plan() });
    assert!(stage.connects().starts_with("0.02 event/alarm/post"));
    stage.answers(Code::CHANGED, r#"{"id":"0","code":1204,"message":"no"}"#, None);
    stage.acknowledges(None);
    assert!(stage.life.is_over());
    stage.fails("what was sent as --event was refused (2.04, 1204: no)");
}

#[test]
fn commands_are_fetched_and_answered_one_after_the_other() {
    let command = |id: &str, method: &str| format!(r#"{{"id":{id},"method":"{method}","params":["temp"]}}"#);
    let mut stage = Stage::new(plan());
    stage.connects();
    assert_eq!(stage.acknowledges(Some(SET)), "0.01 service/measurepoint/set ");
    let set = command(r#""7""#, "thing.service.measurepoint.set");
    let replied = r#"0.02 service/measurepoint/set_reply {"id":"7","code":200,"data":{}}"#;
    assert_eq!(stage.answers(Code::CONTENT, &set, Some(GET)), replied);
    assert_eq!(stage.acknowledges(Some(GET)), "0.01 service/measurepoint/get ");
    // The id as it came, and the topic that was asked for.
    let get = command("8", "thing.service.measurepoint.get");
    let replied = r#"0.02 service/measurepoint/get_reply {"id":8,"code":200,"data":{"temp":21.5}}"#;
    assert_eq!(stage.answers(Code::CONTENT, &get, None), replied);
    let service = "/topic/sys/pk/dk/thing/service/measurepoint.set";
    stage.acknowledges(Some(service));
    let dotted = command(r#""9""#, "thing.service.measurepoint.set");
    let replied = r#"0.02 service/measurepoint.set_reply {"id":"9","code":200,"data":{}}"#;
    assert_eq!(stage.answers(Code::CONTENT, &dotted, None), replied);
    assert_eq!(stage.acknowledges(None), "");
    assert_eq!(stage.life.commands, 3);
}

/// The next GET would get the same command.
#[test]
fn a_topic_whose_command_is_not_answered_is_not_fetched_again_before_the_next_report() {
    let mut stage = Stage::new(Plan { reply: Reply::Never, ..plan() });
    stage.connects();
    for report in 1..=2 {
        assert_eq!(stage.acknowledges(Some(SET)), "0.01 service/measurepoint/set ");
        let set = r#"{"id":"7","method":"thing.service.measurepoint.set","params":{}}"#;
        assert_eq!(stage.answers(Code::CONTENT, set, Some(GET)), "0.01 service/measurepoint/get ");
        assert_eq!(stage.answers(Code::NOT_FOUND, "", Some(SET)), "", "of report {report}");
        stage.waits();
    }
}

#[test]
fn silence_is_only_that_of_a_server_that_is_there() {
    let refused = |failure| {
        let mut stage = Stage::new(Plan { fault: Some(Fault::WrongKey), ..plan() });
        if failure != Some(ConnectFailure::Expired) {
            stage.life.hear();
        }
        match failure {
            Some(failure) => stage.meet(DeviceEvent::ConnectFailed(failure)),
            None => String::new(),
        };
        stage
    };
    refused(Some(ConnectFailure::Expired)).fails("nothing came from the server");
    refused(None).fails("ended before the handshake had failed");
    let mut silent = refused(None);
    silent.meet(DeviceEvent::ConnectFailed(ConnectFailure::Expired));
    assert_eq!(silent.life.verdict(), Ok(()));
    let mut accepted = refused(None);
    accepted.connects();
    // It closes what it got.
    accepted.fails("accepted a handshake that it has to refuse");
    let mut early = Stage::new(Plan { fault: Some(Fault::BadJson), ..plan() });
    early.life.stop();
    early.fails("ended before a report was answered");
}

#[test]
fn in_cbor_it_asks_answers_and_reads_the_same() {
    let cbor = |json: &str| narrowgate_platform::device_api::cbor::from_json(json.as_bytes());
    let mut stage = Stage::new(Plan { content_format: format::CBOR, ..plan() });
    stage.life.handle_event(stage.now, DeviceEvent::Connected { suite: CipherSuite::PskAes128Ccm8 });
    let next = |stage: &mut Stage| match stage.life.poll_act() {
        Some(Act::Command(DeviceCommand::Request(request))) => request,
        other => panic!("{other:?}"),
    };
    let answered = |stage: &mut Stage, code, json: &str, waiting: Option<&str>| {
        let response = Response::new(code).content_format(format::CBOR).payload(cbor(json));
        let named = |response: Response, path| response.option(COMMAND_WAITING, path);
        let response = waiting.into_iter().fold(response, named);
        stage.life.handle_event(stage.now, DeviceEvent::Answered(response));
    };
    let report = next(&mut stage);
    let body = concat!(
        r#"{"id":"1","version":"1.0","params":{"measurepoints":{"temp":21.5}},"#,
        r#""method":"thing.measurepoint.post"}"#
    );
    assert_eq!((report.content_format, &report.payload), (Some(format::CBOR), &cbor(body)));
    answered(&mut stage, Code::CHANGED, r#"{"id":"1","code":200,"data":{}}"#, Some(GET));
    let fetch = next(&mut stage);
    assert_eq!((fetch.path_text(), fetch.accept), (GET, Some(format::CBOR)));
    let command =
        r#"{"id":"20","version":"1.0","params":["temp"],"method":"thing.service.measurepoint.get"}"#;
    answered(&mut stage, Code::CONTENT, command, None);
    let reply = next(&mut stage);
    let body = r#"{"id":"20","code":200,"data":{"temp":21.5}}"#;
    assert_eq!((reply.content_format, &reply.payload), (Some(format::CBOR), &cbor(body)));
    let shown = std::iter::from_fn(|| stage.life.poll_line()).map(|line| line.text(0));
    assert!(shown.collect::<String>().contains(r#""payload":{"id":"20","code":200,"data":{"temp":21.5}}"#));
    stage.life.stop();
    assert_eq!(stage.life.verdict(), Ok(()));
}

const UPGRADE: &str = "/topic/sys/pk/dk/ota/device/upgrade";

/// An offer of these bytes.
fn offer(image: &str, sign: &str) -> String {
    let bytes = image.len();
    format!(
        r#"{{"id":"20","version":"1.0","method":"ota.device.upgrade","params":{{"version":"2.0",
        "sign":"{sign}","signMethod":"SHA256","fileUrl":"coaps://h:5685/ota/Ab3dEf7h","fileSize":{bytes}}}}}"#
    )
}

/// SHA-256 of `firmware`.
const SIGN: &str = "3e2afc9d15a7f40ac1d4e0ac8ecb6c1a5ffed8b6a1ab6fa6c3b4b31a4a6b0d8e";

impl Stage {
    /// The only block of an image.
    fn sends_image(&mut self, image: &str) -> String {
        let response = Response::new(Code::CONTENT).option(OptionNumber::ETAG, "tag").payload(image);
        self.meet(DeviceEvent::Answered(response.option(OptionNumber::BLOCK2, [0x06])))
    }

    /// Comes to where the image is asked for.
    fn takes(&mut self, command: &str) -> String {
        self.connects();
        let fetched = self.acknowledges(Some(UPGRADE));
        assert_eq!(fetched, format!("0.01 {UPGRADE} "));
        let replied = self.answers(Code::CONTENT, command, None);
        assert_eq!(replied, format!(r#"0.02 {UPGRADE}_reply {{"id":"20","code":200,"data":{{}}}}"#));
        self.answers(Code::CHANGED, "", None)
    }
}

#[test]
fn an_update_is_fetched_checked_and_told_of_and_then_the_device_ends() {
    let mut stage = Stage::new(Plan { updates: true, ..plan() });
    let image = "firmware";
    let sign: String = sha256(image);
    assert_eq!(stage.takes(&offer(image, &sign)), "0.01 /ota/Ab3dEf7h ");
    let told = stage.sends_image(image);
    assert!(told.contains(r#"ota/device/progress"#) && told.contains(r#""step":"100""#), "{told}");
    let informed = stage.acknowledges(None);
    assert!(informed.contains(r#""params":{"version":"2.0"}"#), "{informed}");
    assert_eq!(stage.acknowledges(None), "close");
    assert!(stage.life.is_over());
    assert_eq!(stage.life.verdict(), Ok(()));
}

#[test]
fn an_image_that_is_another_one_fails_the_update_and_the_life() {
    let mut stage = Stage::new(Plan { updates: true, ..plan() });
    stage.takes(&offer("firmware", SIGN));
    let told = stage.sends_image("firmware");
    assert!(told.contains(r#""step":"-3""#), "{told}");
    assert_eq!(stage.acknowledges(None), "close");
    assert!(stage.life.verdict().is_err_and(|reason| reason.contains("failed in step -3")));
}

#[test]
fn a_block_without_an_answer_is_asked_for_again_in_the_next_session() {
    let mut stage = Stage::new(Plan { updates: true, count: Some(1), ..plan() });
    stage.takes(&offer("firmware", &sha256("firmware")));
    assert_eq!(stage.does_not_answer(FailureCause::TimedOut), "close");
    stage.now += Duration::from_secs(60);
    stage.life.handle_timeout(stage.now);
    assert_eq!(stage.acts(), "connect");
    assert!(stage.connects().starts_with("0.02 measurepoint/post"));
    assert_eq!(stage.acknowledges(None), "0.01 /ota/Ab3dEf7h ");
    // And after a time where the server is busy.
    let busy = Response::new(Code::SERVICE_UNAVAILABLE).max_age(7);
    assert_eq!(stage.meet(DeviceEvent::Answered(busy)), "");
    stage.now += Duration::from_secs(7);
    stage.life.handle_timeout(stage.now);
    assert_eq!(stage.acts(), "0.01 /ota/Ab3dEf7h ");
}

/// The server is busy, or says nothing, for ever; and an image that is gone.
#[test]
fn an_image_that_cannot_be_fetched_is_given_up_with_what_the_server_answered() {
    let begin = || {
        let mut stage = Stage::new(Plan { updates: true, count: Some(1), ..plan() });
        assert_eq!(stage.takes(&offer("firmware", &sha256("firmware"))), "0.01 /ota/Ab3dEf7h ");
        stage
    };
    let is_over = |stage: &Stage, words: &str| {
        assert!(stage.life.is_over(), "it has an end");
        stage.fails(words);
    };
    for max_age in [0, 7, u32::MAX] {
        let mut stage = begin();
        let start = stage.now;
        for _ in 1..10 {
            let busy = Response::new(Code::SERVICE_UNAVAILABLE).max_age(max_age);
            assert_eq!(stage.meet(DeviceEvent::Answered(busy)), "");
            // Its reports go on meanwhile.
            while !stage.waits().starts_with("0.01 /ota/") {
                assert_ne!(stage.acknowledges(None), "close");
            }
        }
        let busy = Response::new(Code::SERVICE_UNAVAILABLE).max_age(max_age);
        assert_eq!(stage.meet(DeviceEvent::Answered(busy)), "close");
        is_over(&stage, "given up: GET /ota/Ab3dEf7h was answered 5.03, 10 times");
        let took = stage.now - start;
        assert!(Duration::from_secs(9) <= took && took <= Duration::from_secs(600), "{took:?}");
    }
    let mut stage = begin();
    for _ in 1..10 {
        assert_eq!(stage.does_not_answer(FailureCause::TimedOut), "close");
        assert_eq!(stage.waits(), "connect");
        assert!(stage.connects().starts_with("0.02 measurepoint/post"));
        assert_eq!(stage.acknowledges(None), "0.01 /ota/Ab3dEf7h ");
    }
    stage.does_not_answer(FailureCause::TimedOut);
    is_over(&stage, "given up: GET /ota/Ab3dEf7h was not answered, 10 times");
    let mut stage = begin();
    let told = stage.answers(Code::NOT_FOUND, "", None);
    assert!(told.contains(r#""step":"-2""#), "{told}");
    let unknown = r#"{"id":"1","code":764,"message":"no upgrade"}"#;
    assert_eq!(stage.answers(Code::CHANGED, unknown, None), "close");
    is_over(&stage, "was stopped: 764 no upgrade; GET /ota/Ab3dEf7h was answered 4.04");
}

/// A reply to an offer that nobody acknowledges accepts nothing.
#[test]
fn an_offer_whose_reply_is_not_answered_does_not_keep_the_device() {
    let mut stage = Stage::new(Plan { updates: true, count: Some(1), ..plan() });
    stage.connects();
    stage.acknowledges(Some(UPGRADE));
    stage.answers(Code::CONTENT, &offer("firmware", &sha256("firmware")), None);
    stage.does_not_answer(FailureCause::TimedOut);
    assert!(stage.life.is_over());
}

#[test]
fn without_update_an_offer_is_answered_like_any_other_command() {
    let mut stage = Stage::new(Plan { firmware: Some("1.0".to_owned()), ..plan() });
    assert!(stage.connects().contains("/ota/device/inform"), "it says its version first");
    assert!(stage.acknowledges(None).starts_with("0.02 measurepoint/post"));
    stage.acknowledges(Some(UPGRADE));
    stage.answers(Code::CONTENT, &offer("firmware", SIGN), None);
    assert_eq!(stage.answers(Code::CHANGED, "", None), "");
}

fn sha256(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
