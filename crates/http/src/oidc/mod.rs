//! Login by an identity provider: OpenID Connect Core 1.0, the authorization code flow with PKCE (RFC 7636).
//!
//! * The provider is asked when somebody logs in, and not before: one that is down delays no start. What it
//!   says of itself is kept for `KNOWN_FOR`; where it has not answered, it is asked again after
//!   `FAILED_FOR`. A key that is not among those known is looked for once more.
//! * An ID token is taken from the provider's token endpoint alone. It must be signed by a public key of the
//!   provider, for this client and no other, must not be over, and must hold the nonce of this very login. No
//!   token is taken without a signature, or with one that the client's secret would make.
//! * At most `ASKED_AT_ONCE` logins ask it at the same time, each for `LOGIN_TIME_MAX`.
//!
//! Who a user is, is what one claim says; what a user may do, what the groups in another one say (module
//! `claims`).

mod claims;
mod outside;
#[cfg(test)]
pub(crate) mod testing;
mod ticket;

use std::{
    fmt,
    time::{Duration, Instant},
};

use axum::http::{Request, header};
use narrowgate_platform::{
    secret::Secret,
    service::{Placed, Vouched},
};
use openidconnect::{
    AccessToken, AccessTokenHash, AuthType, AuthenticationFlow, AuthorizationCode, ClaimsVerificationError,
    ClientId, ClientSecret, CsrfToken, DiscoveryError, EndpointMaybeSet, EndpointNotSet, EndpointSet,
    IdTokenVerifier, IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RequestTokenError, Scope, SignatureVerificationError, TokenResponse as _,
    core::{
        CoreClient, CoreClientAuthMethod, CoreIdToken, CoreIdTokenVerifier, CoreJwsSigningAlgorithm,
        CoreProviderMetadata, CoreResponseType, CoreTokenResponse,
    },
};
use tokio::{
    sync::{Mutex, Semaphore},
    time::timeout,
};

pub use self::claims::RoleRule;
pub(crate) use self::ticket::{NotUsed, TICKET_LASTS, Ticket};
use self::{
    claims::Claims,
    outside::{AskError, Outside},
    ticket::Tickets,
};
use crate::browser::CameBy;

/// The path to which the provider sends the browser back.
pub(crate) const COME_BACK: &str = "/login/oidc/callback";

/// How long it is kept what the provider says of itself.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
/// How long it is not asked again where it has not answered.
const FAILED_FOR: Duration = Duration::from_secs(3);
/// What the requests of one login may take together: less than a page may.
const LOGIN_TIME_MAX: Duration = Duration::from_secs(8);
/// Logins that ask the provider at the same time.
const ASKED_AT_ONCE: usize = 8;

/// Signatures by a key that the provider alone has.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What is configured of the provider.
#[derive(Debug)]
pub struct ProviderSettings {
    /// Where it is: what it calls itself.
    pub issuer: String,
    /// What people call it.
    pub name: String,
    /// What it calls this server.
    pub client_id: String,
    /// What this server shows it; `None`: PKCE alone.
    pub client_secret: Option<Secret>,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// Where browsers reach this server.
    pub site: String,
    /// The claim that is the name of a user.
    pub user_claim: String,
    /// The claim that has the groups of a user.
    pub role_claim: String,
    /// What the members of groups may do. Without any, users are those who were made here.
    pub roles: Vec<RoleRule>,
    /// Certificates that are trusted, in PEM; `None`: those of the machine.
    pub ca: Option<Vec<u8>>,
    /// Whether its endpoints may be in a private network, beside its own host.
    pub permits_private: bool,
}

/// Why a provider cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The issuer is no address.
    #[error("the issuer is not an address")]
    Issuer,
    /// The certificates cannot be used.
    #[error("the certificates cannot be used: {0}")]
    Ca(String),
    /// There is no randomness.
    #[error("there are no random bytes: {0}")]
    Random(getrandom::Error),
}

/// Why somebody did not get in by the provider.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Fault {
    /// It does not answer, or not as a provider does.
    #[error("the identity provider cannot be asked: {0}")]
    Unreachable(String),
    /// It says no.
    #[error("the identity provider refuses: {0}")]
    Refused(String),
    /// The ID token is not one for this login.
    #[error("the ID token is not accepted: {0}")]
    Token(String),
    /// It does not say who somebody is.
    #[error("{0}")]
    Claims(String),
}

/// See the module.
pub struct Provider {
    settings: ProviderSettings,
    issuer: IssuerUrl,
    redirect: RedirectUrl,
    outside: Outside,
    tickets: Tickets,
    known: Mutex<Known>,
    asking: Semaphore,
}

/// What is known of the provider.
#[derive(Default)]
struct Known {
    metadata: Option<(CoreProviderMetadata, Instant)>,
    failed: Option<(Fault, Instant)>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider({})", self.settings.issuer)
    }
}

impl Provider {
    /// Asks nobody yet.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn new(settings: ProviderSettings) -> Result<Self, SetupError> {
        let issuer = IssuerUrl::new(settings.issuer.clone()).map_err(|_| SetupError::Issuer)?;
        let redirect =
            RedirectUrl::new(format!("{}{COME_BACK}", settings.site)).map_err(|_| SetupError::Issuer)?;
        let outside = Outside::new(&settings.issuer, settings.ca.as_deref(), settings.permits_private)?;
        let tickets = Tickets::new(random()?, Instant::now());
        let (known, asking) = (Mutex::default(), Semaphore::new(ASKED_AT_ONCE));
        Ok(Self { settings, issuer, redirect, outside, tickets, known, asking })
    }

    /// What people call it.
    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// Where browsers reach this server.
    pub(crate) fn site(&self) -> &str {
        &self.settings.site
    }

    /// How browsers reach this server.
    pub(crate) fn came_by(&self) -> CameBy {
        if self.settings.site.starts_with("https://") { CameBy::Tls } else { CameBy::Plain }
    }

    /// Begins a login: where the browser goes, and the cookie that it takes along.
    ///
    /// # Errors
    /// The provider does not answer.
    pub(crate) async fn begin(&self) -> Result<(String, String), Fault> {
        let (metadata, _) = self.in_time(self.metadata(None)).await?;
        let unreachable = |error: SetupError| Fault::Unreachable(error.to_string());
        let (ticket, cookie) = self.tickets.issue(random().map_err(unreachable)?, Instant::now());
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(ticket.verifier));
        let (state, nonce) = (CsrfToken::new(ticket.state), Nonce::new(ticket.nonce));
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let client = self.client(&metadata);
        let scopes = self.settings.scopes.iter().filter(|scope| *scope != "openid");
        let request = client.authorize_url(flow, || state, || nonce).set_pkce_challenge(challenge);
        let (url, ..) = request.add_scopes(scopes.cloned().map(Scope::new)).url();
        Ok((url.into(), cookie))
    }

    /// The login of a cookie that comes back with this state.
    pub(crate) fn ticket(&self, cookie: &str, state: &str) -> Option<Ticket> {
        // All of it follows from random bytes that came with the request: there is nothing to find by time.
        self.tickets.open(cookie, Instant::now()).filter(|ticket| ticket.state == state)
    }

    /// Whether an answer says that it comes from this issuer, where it says that (RFC 9207).
    pub(crate) fn is_issuer(&self, named: Option<&str>) -> bool {
        named.is_none_or(|named| named == self.settings.issuer)
    }

    /// Uses up a login that was successful.
    ///
    /// # Errors
    /// See [`NotUsed`].
    pub(crate) fn take(&self, ticket: &Ticket) -> Result<(), NotUsed> {
        self.tickets.take(ticket, Instant::now())
    }

    /// Who somebody is who comes back with a code.
    ///
    /// # Errors
    /// See [`Fault`].
    pub(crate) async fn finish(&self, ticket: &Ticket, code: String) -> Result<Vouched, Fault> {
        self.in_time(self.claims(ticket, code)).await.and_then(|claims| {
            let name = claims.name(&self.settings.user_claim).map_err(Fault::Claims)?;
            let placed = match self.settings.roles.is_empty() {
                true => Placed::AsMade,
                false => claims.placed(&self.settings.role_claim, &self.settings.roles),
            };
            Ok(Vouched { name, placed })
        })
    }

    async fn in_time<T>(&self, ask: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let late = || Fault::Unreachable("it takes too long, or too many log in at the moment".to_owned());
        let asked = timeout(LOGIN_TIME_MAX, async {
            // It is never closed.
            let _asking = self.asking.acquire().await.map_err(|_| late())?;
            ask.await
        });
        asked.await.unwrap_or_else(|_| Err(late()))
    }

    /// What the provider says of itself, and since when that is known. `not_of`: it is asked again unless it
    /// was asked after this time.
    async fn metadata(&self, not_of: Option<Instant>) -> Result<(CoreProviderMetadata, Instant), Fault> {
        let mut known = self.known.lock().await;
        let now = Instant::now();
        let is_fresh = |since: Instant| {
            now.duration_since(since) < KNOWN_FOR && not_of.is_none_or(|not_of| since > not_of)
        };
        if let Some((metadata, since)) = known.metadata.as_ref().filter(|(_, since)| is_fresh(*since)) {
            return Ok((metadata.clone(), *since));
        }
        if let Some((fault, at)) = &known.failed
            && now.duration_since(*at) < FAILED_FOR
        {
            return Err(fault.clone());
        }
        // Where this is cut off, the next one knows that it failed.
        let late = Fault::Unreachable("it did not answer in time".to_owned());
        known.failed = Some((late, now));
        match CoreProviderMetadata::discover_async(self.issuer.clone(), &self.outside).await {
            Ok(metadata) => {
                *known = Known { metadata: Some((metadata.clone(), now)), failed: None };
                Ok((metadata, now))
            }
            Err(error) => {
                let fault = Fault::Unreachable(not_discovered(error));
                known.failed = Some((fault.clone(), now));
                Err(fault)
            }
        }
    }

    fn client(&self, metadata: &CoreProviderMetadata) -> Client {
        let secret = self.settings.client_secret.as_ref();
        let secret = secret.map(|secret| ClientSecret::new(secret.expose().to_owned()));
        let id = ClientId::new(self.settings.client_id.clone());
        let client = CoreClient::from_provider_metadata(metadata.clone(), id, secret);
        let client = client.set_redirect_uri(self.redirect.clone());
        let methods = metadata.token_endpoint_auth_methods_supported();
        let takes = |method| methods.is_some_and(|all| all.contains(&method));
        if takes(CoreClientAuthMethod::ClientSecretPost) && !takes(CoreClientAuthMethod::ClientSecretBasic) {
            return client.set_auth_type(AuthType::RequestBody);
        }
        client
    }

    async fn claims(&self, ticket: &Ticket, code: String) -> Result<Claims, Fault> {
        let (metadata, since) = self.metadata(None).await?;
        let client = self.client(&metadata);
        let request = client.exchange_code(AuthorizationCode::new(code));
        let request = request.map_err(|_| Fault::Unreachable("it names no token endpoint".to_owned()))?;
        let request = request.set_pkce_verifier(PkceCodeVerifier::new(ticket.verifier.clone()));
        let answer = request.request_async(&self.outside).await.map_err(not_exchanged)?;
        let none =
            || Fault::Token("there is none in the answer; the scope openid must be permitted".to_owned());
        let token = answer.id_token().ok_or_else(none)?;
        let checked = match self.check(&metadata, ticket, (token, &answer)) {
            // It may have another key by now.
            Err(ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey | SignatureVerificationError::CryptoError(_),
            )) => {
                let (metadata, _) = self.metadata(Some(since)).await?;
                self.check(&metadata, ticket, (token, &answer))
            }
            checked => checked,
        };
        let subject = checked.map_err(|error| Fault::Token(error.to_string()))?;
        let mut claims = Claims::of_token(&token.to_string()).map_err(Fault::Token)?;
        if !claims.has(&self.settings.user_claim) || !self.has_groups(&claims) {
            self.add_info(&metadata, (&mut claims, &subject), answer.access_token()).await?;
        }
        Ok(claims)
    }

    fn has_groups(&self, claims: &Claims) -> bool {
        self.settings.roles.is_empty() || claims.has(&self.settings.role_claim)
    }

    /// Whose token it is, where it is one for this login.
    fn check(
        &self,
        metadata: &CoreProviderMetadata,
        ticket: &Ticket,
        (token, answer): (&CoreIdToken, &CoreTokenResponse),
    ) -> Result<String, ClaimsVerificationError> {
        let id = ClientId::new(self.settings.client_id.clone());
        // Without the client's secret: a signature by it is none of the provider's alone.
        let verifier: CoreIdTokenVerifier<'_> =
            IdTokenVerifier::new_public_client(id, self.issuer.clone(), metadata.jwks().clone())
                .set_allowed_algs(ALGORITHMS);
        let claims = token.claims(&verifier, &Nonce::new(ticket.nonce.clone()))?;
        let other = |what: &str| ClaimsVerificationError::Other(what.to_owned());
        if claims.authorized_party().is_some_and(|party| party.as_str() != self.settings.client_id) {
            return Err(other("it was issued to another client (azp)"));
        }
        if let Some(expected) = claims.access_token_hash() {
            let algorithm = token.signing_alg().map_err(ClaimsVerificationError::SignatureVerification)?;
            let key = token.signing_key(&verifier).map_err(ClaimsVerificationError::SignatureVerification)?;
            let actual = AccessTokenHash::from_token(answer.access_token(), algorithm, key);
            if actual.map_err(|error| other(&error.to_string()))? != *expected {
                return Err(other("it belongs to another access token (at_hash)"));
            }
        }
        Ok(claims.subject().to_string())
    }

    /// Adds what the provider says of this subject where it is asked for that (OpenID Connect Core, 5.3).
    async fn add_info(
        &self,
        metadata: &CoreProviderMetadata,
        (claims, subject): (&mut Claims, &str),
        token: &AccessToken,
    ) -> Result<(), Fault> {
        let Some(endpoint) = metadata.userinfo_endpoint() else { return Ok(()) };
        let broken = |error: String| Fault::Unreachable(format!("userinfo: {error}"));
        let request = Request::builder()
            .uri(endpoint.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {}", token.secret()))
            .body(Vec::new())
            .map_err(|error| broken(error.to_string()))?;
        let answer = self.outside.ask(request).await.map_err(|error| broken(error.to_string()))?;
        if !answer.status().is_success() {
            return Err(broken(format!("it answers {}", answer.status())));
        }
        claims.add_info(answer.body(), subject).map_err(Fault::Token)
    }
}

fn random() -> Result<[u8; 32], SetupError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(SetupError::Random)?;
    Ok(bytes)
}

fn not_discovered(error: DiscoveryError<AskError>) -> String {
    match error {
        DiscoveryError::Request(error) => error.to_string(),
        // The body is left out: it may be anything.
        DiscoveryError::Response(status, ..) => {
            format!("it answers {status}; there is no document of a provider at the issuer")
        }
        other => other.to_string(),
    }
}

fn not_exchanged<E: openidconnect::ErrorResponse + 'static>(error: RequestTokenError<AskError, E>) -> Fault {
    match error {
        RequestTokenError::ServerResponse(_) => {
            let said = "it does not take the code: oidc.client_id, the secret and the redirect URI must be \
                        those that it knows";
            Fault::Refused(said.to_owned())
        }
        RequestTokenError::Request(error) => Fault::Unreachable(error.to_string()),
        RequestTokenError::Parse(..) => Fault::Unreachable("the answer with the token is not one".to_owned()),
        RequestTokenError::Other(said) => Fault::Unreachable(said),
    }
}
