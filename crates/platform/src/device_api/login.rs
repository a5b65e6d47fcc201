//! A login by plain CoAP: `POST /auth/{productKey}/{deviceKey}` with who the device is and the sign that
//! proves its secret (device protocol, section 8).
//!
//! ```json
//! {"secureMode":2,"lifetime":3600,"sign":"193F…79C6"}
//! ```
//!
//! What can be said of it without knowing the device is said here: a body that is too long 4.13, another
//! path 4.04, another content format 4.15, a body that is no such object 4.00. Everything else is decided as
//! for a handshake ([`decide`]), and refused alike, 4.03. Numbers may be written as texts; other keys are
//! ignored. Where the login brings back an Echo, the sign may cover that; whether it has to bring one, and
//! whether it is fresh, is the engine's business.

use std::borrow::Cow;

use narrowgate_coap::{Code, OptionNumber, RefusedRequest, Request, RequestFault, Response, UriPath};

use super::{Answer, MessageLimit, body::Body, options, path};
use crate::{
    ids::{DeviceId, DeviceName},
    model::{credential::CredentialLookup, json_piece::Piece, log::Reason},
    rules::{
        admission::{self, Decision, Grant},
        identity::{Identity, IdentityFault, SecureMode},
        refusal::Refusal,
        sign,
    },
    secret::Secret,
};

/// The first segment of the path of logins.
pub const LOGIN_PATH: &str = "auth";

/// The option of an older scheme, in which every request was signed (critical).
const OLD_SIGNATURE: OptionNumber = OptionNumber(2101);
/// The longest Echo (RFC 9175, section 2.2.1); a longer one is none.
const ECHO_BYTES_MAX: usize = 40;
/// Bytes of a sign that are kept: more than any sign has.
const SIGN_BYTES_MAX: usize = 2 * sign::SIGN_CHARACTERS;

/// What a device says in its login.
#[derive(Debug)]
pub struct LoginRequest {
    /// Who it is, as in a handshake, for people.
    pub shown: String,
    /// The same, read.
    pub identity: Result<Identity, IdentityFault>,
    /// What proves it.
    pub sign: Box<str>,
    /// The Echo that it brings back (RFC 9175), which the sign may cover.
    pub echo: Option<Box<[u8]>>,
}

/// What becomes of a login.
#[derive(Debug)]
pub enum LoginDecision {
    /// Its secret is proved.
    Admit(Identity, Grant),
    /// The sign is not the one of the device's secret.
    WrongSign(Identity, DeviceId),
    /// The reason goes into the log.
    Refuse {
        /// Why.
        refusal: Refusal,
        /// Into whose log it goes, where the device is known.
        device: Option<DeviceId>,
    },
}

/// The keys in the path of a login; `None`: it has another form.
pub fn name_in(path: &UriPath) -> Option<DeviceName> {
    let mut segments = path.segments().map(Cow::into_owned);
    let (first, product_key, device_key) = (segments.next()?, segments.next()?, segments.next()?);
    let is_whole = first == LOGIN_PATH && segments.next().is_none();
    is_whole.then_some(DeviceName { product_key, device_key })
}

/// Reads a login.
///
/// # Errors
/// The answer, which depends on nothing that is registered.
pub fn read(request: &Request, limit: MessageLimit) -> Result<LoginRequest, Answer> {
    limit.permit(request)?;
    let Some(name) = name_in(&request.path) else {
        let detail = format!(
            "a login by plain CoAP goes to /auth/{{productKey}}/{{deviceKey}}, not to {}",
            path::shown(&request.path)
        );
        return Err(Answer::refused(Code::NOT_FOUND, Refusal::new(Reason::PathUnknown, detail)));
    };
    if let Some(refused) = options::refuse_preconditions(request) {
        return Err(refused);
    }
    let malformed =
        |detail: String| Answer::refused(Code::BAD_REQUEST, Refusal::new(Reason::BodyMalformed, detail));
    let body = Body::read(request).map_err(Answer::from)?;
    let [mode, lifetime, sign] =
        Piece::of(body.json()).named(["secureMode", "lifetime", "sign"]).unwrap_or_default();
    let member = |piece: Option<Piece<'_>>, name: &str| {
        let plain = |piece: Piece<'_>| piece.text().map_or_else(|| piece.get().to_owned(), Into::into);
        piece.map(plain).ok_or_else(|| {
            malformed(format!(r#"{name} is missing; send {{"secureMode":2,"lifetime":seconds,"sign":"…"}}"#))
        })
    };
    let (mode, lifetime) = (member(mode, "secureMode")?, member(lifetime, "lifetime")?);
    let mut sign = member(sign, "sign")?;
    while sign.len() > SIGN_BYTES_MAX {
        sign.pop();
    }
    let DeviceName { product_key, device_key } = &name;
    let shown = format!("{product_key},{device_key},{mode},{lifetime}");
    let identity = Identity::parse(shown.as_bytes()).and_then(only_mode_2);
    let echo = request.options.find(OptionNumber::ECHO).filter(|echo| echo.len() <= ECHO_BYTES_MAX);
    let echo = echo.map(Into::into);
    Ok(LoginRequest { shown, identity, sign: sign.into(), echo })
}

fn only_mode_2(identity: Identity) -> Result<Identity, IdentityFault> {
    if identity.mode == SecureMode::DeviceSecret {
        return Ok(identity);
    }
    let detail = "plain CoAP serves secure mode 2 only: a secret that is fetched over it could be read by \
                  anyone on the path. Use DTLS for secure mode 3";
    Err(IdentityFault { refusal: Refusal::new(Reason::ModeUnknown, detail), name: Some(identity.name) })
}

/// Decides a login. `lookup` is the store's answer for its keys.
pub fn decide(login: LoginRequest, lookup: &CredentialLookup) -> LoginDecision {
    match (admission::decide(&login.identity, Some(lookup)), login.identity) {
        (Decision::Admit { secret, grant }, Ok(identity)) => {
            if sign::is_right(&identity, &secret, (&login.sign, login.echo.as_deref())) {
                LoginDecision::Admit(identity, grant)
            } else {
                LoginDecision::WrongSign(identity, grant.device)
            }
        }
        (Decision::Refuse { refusal, device }, identity) => {
            if let Ok(identity) = identity {
                // As long as for a device that is known: what is registered must not be told by the time.
                let decoy = Secret::new("aSecretOfTwentyChars".to_owned());
                let given = (&*login.sign, login.echo.as_deref());
                std::hint::black_box(sign::is_right(&identity, &decoy, given));
            }
            LoginDecision::Refuse { refusal, device }
        }
        // A fault is never admitted.
        (Decision::Admit { .. }, Err(fault)) => {
            LoginDecision::Refuse { refusal: fault.refusal, device: None }
        }
    }
}

/// The entry for a login that the CoAP layer answered by itself.
pub fn refused_below(refused: &RefusedRequest) -> Refusal {
    let refusal = options::refused_below(refused);
    if !matches!(refused.fault, RequestFault::Option { number: OLD_SIGNATURE, .. }) {
        return refusal;
    }
    let detail = "option 2101, an older signature, is not supported: leave it out, and send secureMode, \
                  lifetime and sign in the body";
    Refusal::new(Reason::OptionUnsupported, detail)
}

/// The answer to a login that is durable.
pub fn accepted() -> Response {
    Response::new(Code::CHANGED)
}

/// The answer to every login that is refused for what it says.
pub fn refused() -> Response {
    Response::new(Code::FORBIDDEN)
}

/// The answer to a login that comes too early, with the seconds after which it may come again.
pub fn too_early(wait_s: u32) -> Response {
    Response::new(Code::TOO_MANY_REQUESTS).max_age(wait_s)
}

#[cfg(test)]
mod tests;
