//! An identity provider for tests, on a port of this machine, which does what it is told: also what none may.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use narrowgate_platform::secret::Secret;
use openidconnect::{
    JsonWebKeyId, PrivateSigningKey as _,
    core::{CoreEdDsaPrivateSigningKey, CoreHmacKey, CoreJwsSigningAlgorithm},
    url::Url,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Provider, ProviderSettings};

/// The client's secret.
pub(crate) const SECRET: &str = "s:cret of the client";

const KEYS: [&str; 2] = [
    "MC4CAQAwBQYDK2VwBCIEIJODvo317SLacTx69CRfR3Zu8LY8Bx0qMuRcPgXt5HYy",
    "MC4CAQAwBQYDK2VwBCIEIHWmOqdoOJqXRgjycAgoAO1pH7lqwnFhXQij7GUG7QpB",
];

/// How a token is signed.
#[derive(Debug, Clone)]
pub(crate) enum Sign {
    /// By a key of this number.
    By(usize),
    /// By this secret, with HS256.
    Shared(Vec<u8>),
    /// Not at all.
    None,
}

/// What it does, and what was asked.
pub(crate) struct Acts {
    /// By which a token is signed.
    pub(crate) sign: Sign,
    /// The id of the key that the token names.
    pub(crate) kid: String,
    /// The key that it publishes.
    pub(crate) key: usize,
    /// Claims that go over the right ones; null removes one.
    pub(crate) claims: Value,
    /// What it says where it is asked for userinfo; null: it has none.
    pub(crate) info: Value,
    /// Bytes of each answer beside what is needed.
    pub(crate) padding: usize,
    /// It sends whoever asks somewhere else.
    pub(crate) redirects: bool,
    /// The paths at which it takes a request and says nothing.
    pub(crate) silent: Vec<&'static str>,
    /// Fields that go over those of its document.
    pub(crate) document: Value,
    /// The nonce and the challenge of a code.
    codes: BTreeMap<String, (String, String)>,
    /// Codes that it did not take.
    pub(crate) refused: usize,
    /// How often each path was asked.
    pub(crate) asked: BTreeMap<String, usize>,
}

/// The provider.
#[derive(Clone)]
pub(crate) struct TestProvider {
    pub(crate) address: SocketAddr,
    acts: Arc<Mutex<Acts>>,
}

impl TestProvider {
    /// Begins to serve.
    pub(crate) async fn begin() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let acts = Acts {
            sign: Sign::By(0),
            kid: "0".into(),
            key: 0,
            claims: json!({}),
            info: Value::Null,
            padding: 0,
            redirects: false,
            silent: Vec::new(),
            document: json!({}),
            codes: BTreeMap::new(),
            refused: 0,
            asked: BTreeMap::new(),
        };
        let address = listener.local_addr().expect("it is bound");
        let provider = Self { address, acts: Arc::new(Mutex::new(acts)) };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(document))
            .route("/jwks", get(keys))
            .route("/token", post(token))
            .route("/userinfo", get(info))
            .with_state(provider.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        provider
    }

    /// What it does from now on.
    pub(crate) fn acts(&self) -> MutexGuard<'_, Acts> {
        self.acts.lock().expect("no test has failed")
    }

    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// As it is configured, for browsers at `http://gate:8080`.
    pub(crate) fn settings(&self) -> ProviderSettings {
        ProviderSettings {
            issuer: self.issuer(),
            name: "Login <b> & Co".into(),
            client_id: "gate".into(),
            client_secret: Some(Secret::new(SECRET.to_owned())),
            scopes: vec!["profile".into()],
            site: "http://gate:8080".into(),
            user_claim: "preferred_username".into(),
            role_claim: "groups".into(),
            required: None,
            roles: Vec::new(),
            ca: None,
            permits_private: false,
        }
    }

    /// The user says yes at this address: the query with which the browser comes back.
    pub(crate) fn agree(&self, location: &str) -> String {
        let url = Url::parse(location).expect("it is an address");
        let asked: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(url.path(), "/authorize", "{location}");
        assert_eq!((asked["response_type"].as_str(), asked["client_id"].as_str()), ("code", "gate"));
        assert_eq!(asked["redirect_uri"], "http://gate:8080/login/oidc/callback");
        assert_eq!(
            (asked["scope"].as_str(), asked["code_challenge_method"].as_str()),
            ("openid profile", "S256")
        );
        let mut acts = self.acts();
        let given = acts.asked.entry("authorize".to_owned()).or_default();
        *given += 1;
        let code = format!("code-{given}");
        acts.codes.insert(code.clone(), (asked["nonce"].clone(), asked["code_challenge"].clone()));
        format!("code={code}&state={}&iss={}", asked["state"], self.issuer().replace(':', "%3A"))
    }

    fn noted(&self, path: &str, answer: &mut Value) -> Option<Response> {
        let mut acts = self.acts();
        *acts.asked.entry(path.to_owned()).or_default() += 1;
        answer["padding"] = "x".repeat(acts.padding).into();
        let away = [(header::LOCATION, format!("{}/elsewhere", self.issuer()))];
        acts.redirects.then(|| (StatusCode::TEMPORARY_REDIRECT, away).into_response())
    }

    async fn answer(&self, path: &str, mut answer: Value) -> Response {
        let noted = self.noted(path, &mut answer);
        if self.acts().silent.contains(&path) {
            return std::future::pending().await;
        }
        noted.unwrap_or_else(|| Json(answer).into_response())
    }
}

async fn document(State(provider): State<TestProvider>) -> Response {
    let at = |path: &str| format!("{}{path}", provider.issuer());
    let mut answer = json!({
        "issuer": provider.issuer(),
        "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"),
        "jwks_uri": at("/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA", "HS256", "none"],
    });
    {
        let acts = provider.acts();
        if !acts.info.is_null() {
            answer["userinfo_endpoint"] = at("/userinfo").into();
        }
        put_over(&mut answer, &acts.document);
    }
    provider.answer("document", answer).await
}

async fn keys(State(provider): State<TestProvider>) -> Response {
    let (number, kid) = {
        let acts = provider.acts();
        (acts.key, acts.kid.clone())
    };
    let key = signing_key(number, &kid).as_verification_key();
    provider.answer("keys", json!({"keys": [key]})).await
}

async fn info(State(provider): State<TestProvider>, request: Request) -> Response {
    assert_eq!(request.headers()[header::AUTHORIZATION], "Bearer access");
    let answer = provider.acts().info.clone();
    provider.answer("info", answer).await
}

async fn token(State(provider): State<TestProvider>, request: Request) -> Response {
    let basic = request.headers().get(header::AUTHORIZATION).cloned();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.expect("it ends");
    let body = format!("http://x/?{}", String::from_utf8_lossy(&body));
    let url = Url::parse(&body).expect("it is a form");
    let form: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    // RFC 6749, 2.3.1: as in forms.
    let expected = base64::prelude::BASE64_STANDARD.encode("gate:s%3Acret+of+the+client");
    assert_eq!(basic.expect("it has a secret"), format!("Basic {expected}").as_str());
    assert_eq!(form["redirect_uri"], "http://gate:8080/login/oidc/callback");
    let known = provider.acts().codes.remove(&form["code"]);
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
    match known {
        Some((nonce, known)) if known == challenge => {
            let id_token = id_token(&provider, &nonce);
            let answer = json!({"access_token": "access", "token_type": "Bearer", "id_token": id_token});
            provider.answer("token", answer).await
        }
        _ => {
            provider.acts().refused += 1;
            (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"}))).into_response()
        }
    }
}

fn id_token(provider: &TestProvider, nonce: &str) -> String {
    let acts = provider.acts();
    let mut claims = json!({
        "iss": provider.issuer(),
        "aud": "gate",
        "sub": "1",
        "iat": now(),
        "exp": now() + 60,
        "nonce": nonce,
        "preferred_username": "ann",
    });
    put_over(&mut claims, &acts.claims);
    let algorithm = match &acts.sign {
        Sign::By(_) => "EdDSA",
        Sign::Shared(_) => "HS256",
        Sign::None => "none",
    };
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": algorithm, "kid": acts.kid})), part(&claims));
    let signature = match &acts.sign {
        Sign::By(key) => {
            signing_key(*key, &acts.kid).sign(&CoreJwsSigningAlgorithm::EdDsa, signed.as_bytes())
        }
        Sign::Shared(secret) => {
            let key = CoreHmacKey::new(secret.clone());
            key.sign(&CoreJwsSigningAlgorithm::HmacSha256, signed.as_bytes())
        }
        Sign::None => Ok(Vec::new()),
    };
    let signature = signature.expect("it can be signed");
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

/// The public key, as a provider publishes it.
pub(crate) fn public_key(number: usize) -> Vec<u8> {
    let key = signing_key(number, "0").as_verification_key();
    let key = serde_json::to_value(&key).expect("it can be written");
    BASE64_URL_SAFE_NO_PAD.decode(key["x"].as_str().expect("it is of a curve")).expect("it is Base64")
}

fn signing_key(number: usize, kid: &str) -> CoreEdDsaPrivateSigningKey {
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", KEYS[number]);
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(JsonWebKeyId::new(kid.to_owned())))
        .expect("a key")
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("the clock is set").as_secs()
}

fn put_over(value: &mut Value, over: &Value) {
    for (name, new) in over.as_object().expect("it is an object") {
        match new {
            Value::Null => drop(value.as_object_mut().expect("it is one too").remove(name)),
            new => value[name] = new.clone(),
        }
    }
}

/// What is configured, ready to be asked.
pub(crate) fn ready(settings: ProviderSettings) -> Arc<Provider> {
    Arc::new(Provider::new(settings).expect("it can be used"))
}
