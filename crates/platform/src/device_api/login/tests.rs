use super::*;
use crate::model::{
    credential::Credentials,
    product::{DynamicActivation, Profile},
};

const SIGN: &str = "193F8200ED221DF97A7B3F70594352954601195A05EE0B44E8A1CA88DD1979C6";
const PATH: &str = "/auth/MuGsF6W4/15bBZlRknc";

fn body(mode: &str, lifetime: &str, sign: &str) -> String {
    format!(r#"{{"secureMode":{mode},"lifetime":{lifetime},"sign":"{sign}"}}"#)
}

fn read_body(body: &str) -> Result<LoginRequest, Answer> {
    read(&Request::post(PATH, 50, body), MessageLimit::default())
}

fn credentials() -> Credentials {
    Credentials {
        device: DeviceId(7),
        asset_id: "asset001".into(),
        device_secret: Secret::new("Z5YtZaQpK5IWocakV7zQ".into()),
        secret_version: 3,
        device_enabled: true,
        activated: true,
        product_secret: Secret::new("product".into()),
        product_enabled: true,
        unit_suspended: false,
        profile: Profile::Default,
        dynamic_activation: DynamicActivation::default(),
    }
}

fn found(credentials: Credentials) -> CredentialLookup {
    CredentialLookup::Found(Box::new(credentials))
}

fn decided(body: &str, lookup: &CredentialLookup) -> LoginDecision {
    decide(read_body(body).expect("it is read"), lookup)
}

#[test]
fn the_login_of_the_protocol_is_admitted_with_what_it_says() {
    for body in [body("2", "3600", SIGN), body("\"2\"", "\"3600\"", SIGN)] {
        let LoginDecision::Admit(identity, grant) = decided(&body, &found(credentials())) else {
            panic!("{body} is admitted")
        };
        assert_eq!(identity.to_string(), "MuGsF6W4,15bBZlRknc,2,3600");
        assert_eq!((grant.device, grant.lifetime_s, grant.secret_version), (DeviceId(7), 3600, 3));
        assert_eq!((grant.product_key(), grant.device_key()), ("MuGsF6W4", "15bBZlRknc"));
    }
}

#[test]
fn a_sign_may_cover_the_echo_that_the_login_brings_back() {
    let echo = [0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0, 0xaa];
    let covers = "1A53FFAEC0F91673D97A5F8D87A452D3892B3078DD248E83FF9E1143CFF18F88";
    for (sign, echo, is_admitted) in [
        (covers, Some(&echo[..]), true),
        (covers, Some(&[1; 12][..]), false),
        (covers, None, false),
        (SIGN, Some(&echo[..]), true),
    ] {
        let request = Request::post(PATH, 50, body("2", "3600", sign));
        let request = echo.iter().fold(request, |request, echo| request.option(OptionNumber::ECHO, echo));
        let login = read(&request, MessageLimit::default()).expect("it is read");
        let decision = decide(login, &found(credentials()));
        assert_eq!(matches!(decision, LoginDecision::Admit(..)), is_admitted, "{sign} {echo:?}");
    }
}

#[test]
fn what_is_refused_has_the_reason_that_a_handshake_would_have() {
    let right = body("2", "3600", SIGN);
    let off = found(Credentials { device_enabled: false, ..credentials() });
    let product_off = found(Credentials { product_enabled: false, ..credentials() });
    let suspended = found(Credentials { unit_suspended: true, ..credentials() });
    let known = Some(DeviceId(7));
    for (body, lookup, reason, code, device) in [
        (&right, CredentialLookup::ProductUnknown, Reason::ProductUnknown, None, None),
        (&right, CredentialLookup::DeviceUnknown, Reason::DeviceUnknown, Some(705), None),
        (&right, off, Reason::DeviceDisabled, Some(723), known),
        (&right, product_off, Reason::ProductDisabled, Some(723), known),
        (&right, suspended, Reason::UnitSuspended, Some(723), known),
        (&body("3", "3600", SIGN), found(credentials()), Reason::ModeUnknown, None, known),
        (&body("4", "3600", SIGN), found(credentials()), Reason::ModeUnknown, None, known),
        (&body("2", "29", SIGN), found(credentials()), Reason::LifetimeOutOfRange, None, known),
        (&body("2", "36e2", SIGN), found(credentials()), Reason::LifetimeOutOfRange, None, known),
        (&body("true", "60", SIGN), found(credentials()), Reason::IdentityMalformed, None, known),
    ] {
        let LoginDecision::Refuse { refusal, device: whose } = decided(body, &lookup) else {
            panic!("{body} is refused")
        };
        assert_eq!((refusal.reason, refusal.code(), whose), (Some(reason), code, device), "{body}");
    }
    let mode_3 = decided(&body("3", "3600", SIGN), &found(credentials()));
    let LoginDecision::Refuse { refusal, .. } = mode_3 else { panic!("{mode_3:?}") };
    assert!(refusal.detail.contains("Use DTLS"), "{}", refusal.detail);
}

#[test]
fn a_sign_that_is_not_the_one_of_these_words_admits_nobody() {
    let lower = SIGN.to_ascii_lowercase();
    for body in [
        body("2", "3600", &SIGN.replace('1', "2")),
        body("2", "3600", ""),
        body("2", "3600", &lower),
        body("2", "3601", SIGN),
        body("2", "3600", &SIGN.repeat(100)),
    ] {
        let decision = decided(&body, &found(credentials()));
        assert!(matches!(decision, LoginDecision::WrongSign(_, DeviceId(7))), "{body}: {decision:?}");
    }
    let other = Credentials { device_secret: Secret::new("another".into()), ..credentials() };
    let decision = decided(&body("2", "3600", SIGN), &found(other));
    assert!(matches!(decision, LoginDecision::WrongSign(..)), "{decision:?}");
}

#[test]
fn what_is_no_login_is_said_without_a_look_at_who_it_is() {
    let refused = |request: &Request| {
        let (response, refusal) =
            read(request, MessageLimit::default()).expect_err("it is refused").into_parts();
        (response.code, refusal.and_then(|refusal| refusal.reason).expect("it has a reason"))
    };
    let malformed = (Code::BAD_REQUEST, Reason::BodyMalformed);
    for body in [
        "",
        "{",
        "[]",
        "2",
        r#"{"secureMode":2,"lifetime":60}"#,
        r#"{"lifetime":60,"sign":"x"}"#,
        r#"{"secureMode":2,"sign":"x"}"#,
        r#"{"secureMode":2,"secureMode":2,"lifetime":60,"sign":"x"}"#,
    ] {
        assert_eq!(refused(&Request::post(PATH, 50, body)), malformed, "{body}");
    }
    let right = body("2", "3600", SIGN);
    let format = refused(&Request::post(PATH, 41, &*right));
    assert_eq!(format, (Code::UNSUPPORTED_CONTENT_FORMAT, Reason::BodyMalformed));
    for path in ["/auth", "/auth/p", "/auth/p/d/x", "/auth/p/d/"] {
        let unknown = (Code::NOT_FOUND, Reason::PathUnknown);
        assert_eq!(refused(&Request::post(path, 50, &*right)), unknown, "{path}");
    }
}
