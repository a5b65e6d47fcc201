//! Section `[oidc]`: users who log in by an identity provider.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use narrowgate_http::{
    Logins,
    oidc::{Provider, ProviderSettings, RoleRule},
};
use narrowgate_platform::{
    model::user::{ByProvider, WaysIn},
    secret::Secret,
};

use super::{
    accept::{Claim, FileName, Issuer, OrOff, Roles, Switch, Text, Words},
    http::Http,
    key::{Key, Setting},
    values::Values,
};
use crate::failure::Failure;

pub(crate) static ISSUER: Key<OrOff<Issuer>> = Key {
    name: "oidc.issuer",
    default: "off",
    accepts: OrOff(Issuer),
    help: "an OpenID Connect provider by which users log in, such as {accepted}; off: there is none",
};

static NAME: Key<Text> = Key {
    name: "oidc.name",
    default: "single sign-on",
    accepts: Text,
    help: "what the page to log in calls the provider, {accepted}",
};

pub(super) static CLIENT_ID: Key<Text> = Key {
    name: "oidc.client_id",
    default: "narrowgate",
    accepts: Text,
    help: "what the provider calls this server, {accepted}",
};

static CLIENT_SECRET_FILE: Key<OrOff<FileName>> = Key {
    name: "oidc.client_secret_file",
    default: "off",
    accepts: OrOff(FileName),
    help: "file with the secret that this server shows the provider; relative to the data directory; off: \
           none",
};

static SCOPES: Key<Words> = Key {
    name: "oidc.scopes",
    default: "profile",
    accepts: Words,
    help: "what is asked for beside openid, {accepted}",
};

static USER_CLAIM: Key<Text> = Key {
    name: "oidc.user_claim",
    default: "preferred_username",
    accepts: Text,
    help: "the claim that is the name of a user here; users must not be able to choose it themselves",
};

static ROLE_CLAIM: Key<Text> = Key {
    name: "oidc.role_claim",
    default: "groups",
    accepts: Text,
    help: "the claim with the groups of a user, for oidc.roles",
};

static ROLES: Key<OrOff<Roles>> = Key {
    name: "oidc.roles",
    default: "off",
    accepts: OrOff(Roles),
    help: "what members of groups may do, {accepted}; the first that fits counts, and users are made by it; \
           off: users are those who were made here",
};

static REQUIRED_CLAIM: Key<OrOff<Claim>> = Key {
    name: "oidc.required_claim",
    default: "off",
    accepts: OrOff(Claim),
    help: "a claim that every user must have with this value, {accepted}; off: none",
};

pub(super) static PASSWORDS: Key<Switch> = Key {
    name: "oidc.passwords",
    default: "true",
    accepts: Switch,
    help: "false: users log in by the provider alone; the command line needs neither",
};

static CA_FILE: Key<OrOff<FileName>> = Key {
    name: "oidc.ca_file",
    default: "off",
    accepts: OrOff(FileName),
    help: "PEM file of the certificates that are trusted for the provider; relative to the data directory; \
           off: those of the machine",
};

static PRIVATE_ENDPOINTS: Key<Switch> = Key {
    name: "oidc.private_endpoints",
    default: "false",
    accepts: Switch,
    help: "true: what the provider names at other hosts than its own may be in a private network",
};

/// In the order in which they are shown.
pub(super) static KEYS: &[&dyn Setting] = &[
    &ISSUER,
    &NAME,
    &CLIENT_ID,
    &CLIENT_SECRET_FILE,
    &SCOPES,
    &USER_CLAIM,
    &ROLE_CLAIM,
    &ROLES,
    &REQUIRED_CLAIM,
    &PASSWORDS,
    &CA_FILE,
    &PRIVATE_ENDPOINTS,
];

/// Longest file of a secret or of certificates.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Section `[oidc]`.
#[derive(Debug, Clone)]
pub(crate) struct Oidc {
    /// `None`: there is no provider.
    pub(crate) issuer: Option<String>,
    /// Whether users also log in with passwords.
    pub(crate) passwords: bool,
    name: String,
    client_id: String,
    client_secret: Option<PathBuf>,
    scopes: Vec<String>,
    user_claim: String,
    role_claim: String,
    roles: Vec<RoleRule>,
    required: Option<(String, String)>,
    ca: Option<PathBuf>,
    permits_private: bool,
}

impl Oidc {
    pub(super) fn read(data: &Path, values: &Values) -> Result<Self, Failure> {
        let file = |key: &Key<OrOff<FileName>>| {
            let name = values.read(key)?;
            Ok::<_, Failure>(name.map(|name| data.join(name)))
        };
        Ok(Self {
            issuer: values.read(&ISSUER)?,
            passwords: values.read(&PASSWORDS)?,
            name: values.read(&NAME)?,
            client_id: values.read(&CLIENT_ID)?,
            client_secret: file(&CLIENT_SECRET_FILE)?,
            scopes: values.read(&SCOPES)?,
            user_claim: values.read(&USER_CLAIM)?,
            role_claim: values.read(&ROLE_CLAIM)?,
            roles: values.read(&ROLES)?.unwrap_or_default(),
            required: values.read(&REQUIRED_CLAIM)?,
            ca: file(&CA_FILE)?,
            permits_private: values.read(&PRIVATE_ENDPOINTS)?,
        })
    }

    /// Which ways in there are for users.
    pub(crate) fn ways_in(&self) -> WaysIn {
        let provider = match (&self.issuer, self.roles.is_empty()) {
            (None, _) => ByProvider::Nobody,
            (Some(_), true) => ByProvider::AsMade,
            (Some(_), false) => ByProvider::ByGroups,
        };
        WaysIn { passwords: self.passwords, provider }
    }

    /// How users log in. Reads the files; the provider is not asked.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub(crate) fn logins(&self, http: &Http) -> Result<Logins, Failure> {
        let (Some(issuer), Some(site)) = (&self.issuer, &http.public_url) else {
            return Ok(Logins::default());
        };
        let secret = self.client_secret.as_deref().map(|file| read(file, &CLIENT_SECRET_FILE)).transpose()?;
        let settings = ProviderSettings {
            issuer: issuer.clone(),
            name: self.name.clone(),
            client_id: self.client_id.clone(),
            client_secret: secret.map(secret_of).transpose()?,
            scopes: self.scopes.clone(),
            site: site.clone(),
            user_claim: self.user_claim.clone(),
            role_claim: self.role_claim.clone(),
            roles: self.roles.clone(),
            required: self.required.clone(),
            ca: self.ca.as_deref().map(|file| read(file, &CA_FILE)).transpose()?,
            permits_private: self.permits_private,
        };
        let provider = Provider::new(settings).map_err(|error| {
            let failure = Failure::config("the identity provider cannot be used").reason(error);
            failure.hint("check oidc.issuer and oidc.ca_file")
        })?;
        Ok(Logins { passwords: self.passwords, provider: Some(Arc::new(provider)) })
    }
}

/// The text of a file without the end of its line.
fn secret_of(bytes: Vec<u8>) -> Result<Secret, Failure> {
    let text = String::from_utf8(bytes).ok().map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    match text.filter(|text| !text.is_empty() && !text.contains(['\r', '\n'])) {
        Some(text) => Ok(Secret::new(text)),
        None => Err(Failure::config("the secret for the identity provider cannot be used")
            .reason("oidc.client_secret_file is not one line of text")
            .hint("write the secret, and nothing else, into that file")),
    }
}

fn read(file: &Path, key: &dyn Setting) -> Result<Vec<u8>, Failure> {
    let read = || {
        let mut bytes = Vec::new();
        fs::File::open(file)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        let is_short = bytes.len() as u64 <= FILE_BYTES_MAX;
        if is_short {
            Ok(bytes)
        } else {
            Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")))
        }
    };
    read().map_err(|error| {
        Failure::config("a file for the identity provider cannot be read")
            .file(format_args!("{}   ({})", file.display(), key.name()))
            .reason(error)
            .hint("it must be there, and readable for the user that runs the server")
    })
}
