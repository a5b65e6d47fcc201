//! Login by an identity provider: OpenID Connect Core 1.0, the authorization code flow with PKCE (RFC 7636).
//!
//! * The provider is asked when somebody logs in, and not before: one that is down delays no start. What it
//!   says of itself is kept (module `directory`). A key that is not among those known is looked for once
//!   more.
//! * An ID token is taken from the provider's token endpoint alone. It must be signed by a public key of the
//!   provider, for this client and no other, must not be over, and must hold the nonce of this very login. No
//!   token is taken without a signature, or with one that the client's secret would make.
//! * Few logins ask it at the same time, and few wait for that (module `line`), each for `LOGIN_TIME_MAX`.
//!
//! Who a user is, is what one claim says; what a user may do, what the groups in another one say (module
//! `claims`).

mod claims;
mod directory;
mod line;
mod outside;
#[cfg(test)]
pub(crate) mod testing;
mod ticket;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::{Request, header};
use narrowgate_platform::{
    secret::Secret,
    service::{Placed, Vouched},
};
use openidconnect::{
    AccessToken, AccessTokenHash, AuthType, AuthenticationFlow, AuthorizationCode, ClaimsVerificationError,
    ClientId, ClientSecret, CsrfToken, EndpointMaybeSet, EndpointNotSet, EndpointSet, IdTokenVerifier,
    IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RequestTokenError, Scope, SignatureVerificationError, TokenResponse as _,
    core::{
        CoreClient, CoreClientAuthMethod, CoreIdToken, CoreIdTokenVerifier, CoreJwsSigningAlgorithm,
        CoreResponseType, CoreTokenResponse,
    },
};
use tokio::time::timeout;

pub use self::claims::RoleRule;
pub(crate) use self::ticket::{NotUsed, TICKET_LASTS, Ticket};
use self::{
    claims::Claims,
    directory::{Directory, Metadata},
    line::Line,
    outside::{AskError, Outside},
    ticket::Tickets,
};
use crate::browser::CameBy;

/// The path to which the provider sends the browser back.
pub(crate) const COME_BACK: &str = "/login/oidc/callback";

/// What the requests of one login may take together: less than a page may.
const LOGIN_TIME_MAX: Duration = Duration::from_secs(8);

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
    /// A claim that users must have, and its value; `None`: none.
    pub required: Option<(String, String)>,
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
    /// Too many others ask it.
    #[error("too many log in by the identity provider at the moment")]
    Busy,
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
    directory: Arc<Directory>,
    line: Arc<Line>,
    tickets: Tickets,
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
        let directory = Directory::new(issuer.clone(), outside);
        Ok(Self { settings, issuer, redirect, directory, line: Arc::default(), tickets })
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

    /// Begins a login from this network: where the browser goes, and the cookie that it takes along.
    ///
    /// # Errors
    /// The provider does not answer.
    pub(crate) async fn begin(&self, network: u64) -> Result<(String, String), Fault> {
        let (metadata, _) = match self.directory.at_once() {
            Some(found) => found?,
            None => self.in_time(network, self.directory.metadata(None)).await?,
        };
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

    /// Whether an answer says that it comes from this issuer, where it says that; a provider that says it in
    /// each answer must (RFC 9207, section 2.4).
    pub(crate) fn is_issuer(&self, named: Option<&str>) -> bool {
        let names_itself = || {
            let known = self.directory.at_once().and_then(Result::ok);
            known.is_some_and(|(known, _)| {
                known.additional_metadata().authorization_response_iss_parameter_supported
            })
        };
        named.map_or_else(|| !names_itself(), |named| named == self.settings.issuer)
    }

    /// Uses up a login that was successful.
    ///
    /// # Errors
    /// See [`NotUsed`].
    pub(crate) fn take(&self, ticket: &Ticket) -> Result<(), NotUsed> {
        self.tickets.take(ticket, Instant::now())
    }

    /// Counts a code that comes back with a login.
    ///
    /// # Errors
    /// See [`NotUsed`].
    pub(crate) fn try_code(&self, ticket: &Ticket) -> Result<(), NotUsed> {
        self.tickets.try_code(ticket, Instant::now())
    }

    /// The mark of a browser that has logged in by the provider, while this process runs.
    ///
    /// # Errors
    /// There are no random bytes.
    pub(crate) fn mark_browser(&self) -> Result<String, SetupError> {
        random().map(|random| self.tickets.mark(random))
    }

    /// Whether it is such a mark.
    pub(crate) fn is_marked(&self, mark: &str) -> bool {
        self.tickets.is_mark(mark)
    }

    /// Who somebody is who comes back from this network with a code.
    ///
    /// # Errors
    /// See [`Fault`].
    pub(crate) async fn finish(
        &self,
        ticket: &Ticket,
        (code, network): (String, u64),
    ) -> Result<Vouched, Fault> {
        self.in_time(network, self.claims(ticket, code)).await.and_then(|claims| {
            if let Some((claim, value)) = &self.settings.required {
                claims.require(claim, value).map_err(Fault::Claims)?;
            }
            let name = claims.name(&self.settings.user_claim).map_err(Fault::Claims)?;
            let subject = claims.subject();
            let placed = match self.settings.roles.is_empty() {
                true => Placed::AsMade,
                false => claims.placed(&self.settings.role_claim, &self.settings.roles),
            };
            Ok(Vouched { name, subject, placed })
        })
    }

    async fn in_time<T>(
        &self,
        network: u64,
        ask: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let asked = timeout(LOGIN_TIME_MAX, async {
            let _asking = self.line.wait(network).await.map_err(|_| Fault::Busy)?;
            ask.await
        });
        let late = || Fault::Unreachable("it takes too long, or too many log in at the moment".to_owned());
        asked.await.unwrap_or_else(|_| Err(late()))
    }

    fn client(&self, metadata: &Metadata) -> Client {
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
        let (metadata, since) = self.directory.metadata(None).await?;
        let client = self.client(&metadata);
        let request = client.exchange_code(AuthorizationCode::new(code));
        let request = request.map_err(|_| Fault::Unreachable("it names no token endpoint".to_owned()))?;
        let request = request.set_pkce_verifier(PkceCodeVerifier::new(ticket.verifier.clone()));
        let answer = request.request_async(&self.directory.outside).await.map_err(not_exchanged)?;
        let none =
            || Fault::Token("there is none in the answer; the scope openid must be permitted".to_owned());
        let token = answer.id_token().ok_or_else(none)?;
        let checked = match self.check(&metadata, ticket, (token, &answer)) {
            // It may have another key by now.
            Err(ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey | SignatureVerificationError::CryptoError(_),
            )) => {
                let (metadata, _) = self.directory.metadata(Some(since)).await?;
                self.check(&metadata, ticket, (token, &answer))
            }
            checked => checked,
        };
        let subject = checked.map_err(|error| Fault::Token(with_sources(&error)))?;
        let mut claims = Claims::of_token(&token.to_string()).map_err(Fault::Token)?;
        if !self.is_told_all(&claims) {
            self.add_info(&metadata, (&mut claims, &subject), answer.access_token()).await?;
        }
        Ok(claims)
    }

    /// Whether all claims are there that are looked at.
    fn is_told_all(&self, claims: &Claims) -> bool {
        let ProviderSettings { user_claim, role_claim, roles, required, .. } = &self.settings;
        claims.has_name(user_claim)
            && (roles.is_empty() || claims.has(role_claim))
            && required.as_ref().is_none_or(|(claim, _)| claims.has(claim))
    }

    /// Whose token it is, where it is one for this login.
    fn check(
        &self,
        metadata: &Metadata,
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
        metadata: &Metadata,
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
        let answer = self.directory.outside.ask(request).await.map_err(|error| broken(error.to_string()))?;
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

/// What is wrong, and why: which signature was not accepted stands in the source.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text += &format!(": {source}");
        next = source.source();
    }
    text
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
