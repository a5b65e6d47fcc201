//! Scripts of products: drafted, tried, published, rolled back.

use std::sync::Arc;

use narrowgate_api::{
    page::Page,
    product::DataFormat,
    script::{
        PublishScript, Replayed, ReplayedItem, ScriptDraftView, ScriptError, ScriptPublished,
        ScriptVersionRow, ScriptVersionView, ScriptView, Tried, TriedOnce, TryScript,
    },
};
use serde_json::value::RawValue;

use super::{
    error::{SCRIPT, ServiceError},
    registrar::Registrar,
    view,
};
use crate::{
    device_api::{MessageLimit, json, raw},
    hex,
    ids::UnixMillis,
    model::{device::Device, product::Product},
    ports::{Caller, Circumstances, Fault, FaultKind, RawBody, RegistryChanges as _, Script},
    rules::scripts::{
        NotChanged, ProductScript, ScriptDraft, ScriptPut, ScriptStands, ScriptVersion, VersionedScript,
    },
};

/// After this time no further body is replayed, in milliseconds: who asked for it gives up where a server
/// says nothing for half a minute, and the two calls of a body may wait for twelve seconds each.
const REPLAY_TIME_MS: u64 = 5_000;

/// Bytes of the longest message to a device that is tried.
const JSON_BYTES_MAX: usize = 64 << 10;

/// What is tried with a script.
enum Trial {
    Bytes(Vec<u8>),
    Message(Box<RawValue>),
}

impl Registrar {
    /// Draft and published version.
    ///
    /// # Errors
    /// `Missing` where there is no such product.
    pub(super) async fn script(&self, product_key: &str) -> Result<ScriptView, ServiceError> {
        self.existing_product(product_key).await?;
        let ProductScript { draft, published } = self.registry.script(product_key).await?;
        let draft = draft.map(|ScriptDraft { saved, source }| ScriptDraftView {
            saved_at: saved,
            source: source.to_string(),
        });
        Ok(ScriptView { draft, published: published.map(version_view) })
    }

    /// Puts a draft in the place of the one before.
    ///
    /// # Errors
    /// `Missing` where there is no such product; `Script` for a source that is not acceptable.
    pub(super) async fn draft_script(
        &self,
        product_key: &str,
        source: String,
    ) -> Result<ScriptView, ServiceError> {
        self.existing_product(product_key).await?;
        let source = self.checked(product_key, source.into()).await?;
        self.put_script(product_key, ScriptPut::Draft { source }).await?;
        self.script(product_key).await
    }

    /// Publishes a source, or the draft.
    ///
    /// # Errors
    /// `Missing` where there is no such product, or no draft; `Script` for a source that is not acceptable.
    pub(super) async fn publish_script(
        &self,
        product_key: &str,
        PublishScript { source }: PublishScript,
    ) -> Result<ScriptPublished, ServiceError> {
        let product = self.existing_product(product_key).await?;
        let source = match source {
            Some(source) => source.into(),
            None => {
                let draft = self.registry.script(product_key).await?.draft;
                let missing =
                    || ServiceError::Missing { what: "draft", key: format!("of product {product_key}") };
                draft.ok_or_else(missing)?.source
            }
        };
        let source = self.checked(product_key, source).await?;
        let version = self.put_script(product_key, ScriptPut::Publish { source, by: self.author() }).await?;
        Ok(published(&product, version))
    }

    /// Publishes an older version again.
    ///
    /// # Errors
    /// `Missing` where there is no such product, or the version is not kept.
    pub(super) async fn roll_back_script(
        &self,
        product_key: &str,
        version: u32,
    ) -> Result<ScriptPublished, ServiceError> {
        let product = self.existing_product(product_key).await?;
        let stands = self.put_script(product_key, ScriptPut::RollBack { version, by: self.author() }).await?;
        Ok(published(&product, stands))
    }

    async fn put_script(&self, product_key: &str, put: ScriptPut) -> Result<u32, ServiceError> {
        let stands = self.registry.put_script(product_key.to_owned(), put, self.clock.now()).await?;
        match stands {
            Ok(ScriptStands(version)) => Ok(version),
            Err(NotChanged::NoVersion(version)) => Err(no_version(&version.to_string())),
        }
    }

    /// The versions that are kept, newest first.
    ///
    /// # Errors
    /// `Missing` where there is no such product.
    pub(super) async fn script_versions(
        &self,
        product_key: &str,
    ) -> Result<Page<ScriptVersionRow>, ServiceError> {
        self.existing_product(product_key).await?;
        let versions = self.registry.script_versions(product_key).await?;
        let items = versions.items.into_iter().map(row).collect();
        Ok(Page { items, next_cursor: None, damaged: view::left_out(versions.damaged) })
    }

    /// One of them.
    ///
    /// # Errors
    /// `Missing` where there is no such product, or the version is not kept.
    pub(super) async fn script_version(
        &self,
        product_key: &str,
        version: &str,
    ) -> Result<ScriptVersionView, ServiceError> {
        self.existing_product(product_key).await?;
        let found = match version.parse() {
            Ok(version) => self.registry.script_version(product_key, version).await?,
            Err(_) => None,
        };
        found.map(version_view).ok_or_else(|| no_version(version))
    }

    /// Tries a script on bytes of a device or on a message to one.
    ///
    /// # Errors
    /// `Missing` where there is no such product, or it has no script; `Invalid` for what cannot be tried;
    /// `Script` for a source that is not acceptable; `NotRun` where scripts cannot be run now.
    pub(super) async fn try_script(
        &self,
        product_key: &str,
        wanted: TryScript,
    ) -> Result<Tried, ServiceError> {
        self.existing_product(product_key).await?;
        let TryScript { hex, json, from: _, source } = wanted;
        let trial = match (hex, json) {
            (Some(hex), None) => Trial::Bytes(read_bytes("hex", &hex, self.message_limit)?),
            (None, Some(json)) => Trial::Message(json),
            _ => return Err(invalid("hex", "json or from is needed, and only one of them")),
        };
        let source = match source {
            Some(source) => source.into(),
            None => {
                let ProductScript { draft, published } = self.registry.script(product_key).await?;
                let found = draft.map(|draft| draft.source).or(published.map(|published| published.source));
                found.ok_or_else(|| no_script(product_key))?
            }
        };
        let script = Script::new(product_key, source);
        let now = self.clock.now();
        Ok(Tried::Once(match trial {
            Trial::Bytes(bytes) => self.decoded(&script, &bytes, now).await?,
            Trial::Message(message) => self.encoded(&script, message.get(), now).await?,
        }))
    }

    /// What a device sent of late, through the draft and through what is published, for a bounded time, and
    /// until a call gets no turn.
    ///
    /// # Errors
    /// `Invalid` for a device of another product, and as for [`Self::try_script`].
    pub(super) async fn replay_script(
        &self,
        product_key: &str,
        device: &Device,
        bodies: Vec<RawBody>,
        source: Option<String>,
    ) -> Result<Replayed, ServiceError> {
        if device.product_key != product_key {
            let message = format!("names a device of product {}", device.product_key);
            return Err(invalid("from", message));
        }
        let ProductScript { draft, published } = self.registry.script(product_key).await?;
        let draft = source.map(Arc::from).or(draft.map(|draft| draft.source));
        if draft.is_none() && published.is_none() {
            return Err(no_script(product_key));
        }
        let draft = draft.map(|source| Script::new(product_key, source));
        let published = published.map(|published| Script::new(product_key, published.source));
        let begun = self.clock.now();
        let (mut items, mut left_out_reason) = (Vec::new(), None);
        for body in &bodies {
            // A clock that is put back ends it too.
            if self.clock.now().0.abs_diff(begun.0) >= REPLAY_TIME_MS {
                break;
            }
            match self.replayed(published.as_ref(), draft.as_ref(), body).await {
                Ok(item) => items.push(item),
                // What is done is worth something still.
                Err(ServiceError::NotRun { fault }) if fault.kind == FaultKind::Busy && !items.is_empty() => {
                    left_out_reason = Some(fault.to_string());
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let left_out = bodies.len() - items.len();
        Ok(Replayed { device: view::name_of(device), items, left_out, left_out_reason })
    }

    async fn replayed(
        &self,
        published: Option<&Script>,
        draft: Option<&Script>,
        RawBody { arrival, bytes }: &RawBody,
    ) -> Result<ReplayedItem, ServiceError> {
        let mut results = [None, None];
        for (script, result) in [published, draft].into_iter().zip(&mut results) {
            if let Some(script) = script {
                *result = Some(self.decoded(script, bytes, *arrival).await?);
            }
        }
        let [published, draft] = results;
        let differs = match (&published, &draft) {
            (Some(one), Some(other)) => text_of(one) != text_of(other),
            _ => false,
        };
        Ok(ReplayedItem { received_at: *arrival, hex: hex::write(bytes), published, draft, differs })
    }

    async fn decoded(
        &self,
        script: &Script,
        bytes: &[u8],
        at: UnixMillis,
    ) -> Result<TriedOnce, ServiceError> {
        let at = Circumstances::of(bytes, at);
        let decoded = self.scripts.decode(script, bytes, at, Caller::Trial).await;
        let text = match decoded {
            Ok(text) => text,
            Err(fault) => return failed(fault),
        };
        Ok(match json::check(text.as_bytes()) {
            Ok(json) => {
                TriedOnce::Json(RawValue::from_string(json::compact(json).into()).unwrap_or_default())
            }
            Err(said) => {
                let message = said.replacen("the body", "what rawDataToJsonStr returned", 1);
                TriedOnce::Error(ScriptError { message, line: None })
            }
        })
    }

    async fn encoded(&self, script: &Script, json: &str, at: UnixMillis) -> Result<TriedOnce, ServiceError> {
        if json.len() > JSON_BYTES_MAX {
            return Err(invalid(
                "json",
                format!("has {} bytes; at most {JSON_BYTES_MAX} are tried", json.len()),
            ));
        }
        let at = Circumstances::of(json.as_bytes(), at);
        let encoded = self.scripts.encode(script, json, at, Caller::Trial).await;
        match encoded.and_then(raw::fit) {
            Ok(bytes) => Ok(TriedOnce::Hex(hex::write(&bytes))),
            Err(fault) => failed(fault),
        }
    }

    /// A source that can be run.
    async fn checked(&self, product_key: &str, source: Arc<str>) -> Result<Arc<str>, ServiceError> {
        let script = Script::new(product_key, source);
        match self.scripts.check(&script).await {
            Ok(()) => Ok(Arc::clone(script.source())),
            Err(fault) if fault.kind.is_of_script() => Err(ServiceError::Script { fault }),
            Err(fault) => Err(ServiceError::NotRun { fault }),
        }
    }
}

/// Bytes that an operator gives.
pub(super) fn read_bytes(
    field: &'static str,
    digits: &str,
    limit: MessageLimit,
) -> Result<Vec<u8>, ServiceError> {
    let bytes = hex::read(digits).map_err(|message| invalid(field, message))?;
    let max = limit.bytes();
    match bytes.len() {
        0 => Err(invalid(field, "has no bytes")),
        more if more > max => Err(invalid(field, format!("has {more} bytes; at most {max} are accepted"))),
        _ => Ok(bytes),
    }
}

fn failed(fault: Fault) -> Result<TriedOnce, ServiceError> {
    if !fault.kind.is_of_script() {
        return Err(ServiceError::NotRun { fault });
    }
    let Fault { message, line, .. } = fault;
    Ok(TriedOnce::Error(ScriptError { message, line }))
}

fn text_of(tried: &TriedOnce) -> String {
    // It can always be written.
    serde_json::to_string(tried).unwrap_or_default()
}

fn published(product: &Product, version: u32) -> ScriptPublished {
    let warning = "the product's data format is json, so its devices cannot send bytes: product update \
                   --data-format custom";
    let warnings = if product.data_format == DataFormat::Custom { vec![] } else { vec![warning.to_owned()] };
    ScriptPublished { version, warnings }
}

fn row(about: ScriptVersion) -> ScriptVersionRow {
    let ScriptVersion { version, created, by, restores, bytes } = about;
    ScriptVersionRow { version, created_at: created, by, restores, bytes }
}

fn version_view(VersionedScript { about, source }: VersionedScript) -> ScriptVersionView {
    ScriptVersionView { about: row(about), source: source.to_string() }
}

fn no_version(version: &str) -> ServiceError {
    ServiceError::Missing { what: "version", key: version.to_owned() }
}

fn no_script(product_key: &str) -> ServiceError {
    ServiceError::Missing { what: SCRIPT, key: product_key.to_owned() }
}

fn invalid(field: &'static str, message: impl Into<String>) -> ServiceError {
    ServiceError::Invalid { field, message: message.into() }
}

#[cfg(test)]
mod tests;
