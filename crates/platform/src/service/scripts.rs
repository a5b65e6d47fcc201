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
    ports::{Caller, Circumstances, Fault, RawBody, RegistryChanges as _, Script},
    rules::scripts::{
        NotChanged, ProductScript, ScriptDraft, ScriptPut, ScriptStands, ScriptVersion, VersionedScript,
    },
};

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

    /// What a device sent of late, through the draft and through what is published.
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
        let mut items = Vec::new();
        for RawBody { arrival, bytes } in bodies {
            let mut results = [None, None];
            for (script, result) in [&published, &draft].into_iter().zip(&mut results) {
                if let Some(script) = script {
                    *result = Some(self.decoded(script, &bytes, arrival).await?);
                }
            }
            let [published, draft] = results;
            let differs = match (&published, &draft) {
                (Some(one), Some(other)) => text_of(one) != text_of(other),
                _ => false,
            };
            items.push(ReplayedItem {
                received_at: arrival,
                hex: hex::write(&bytes),
                published,
                draft,
                differs,
            });
        }
        Ok(Replayed { device: view::name_of(device), items })
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
mod tests {
    use narrowgate_api::product::ProductPatch;

    use super::*;
    use crate::{memory::PlainScripts, service::fixtures::registrar_with_product, testing::block_on};

    fn registrar() -> Registrar {
        let mut registrar = registrar_with_product();
        registrar.scripts = Arc::new(PlainScripts);
        registrar
    }

    fn publish(registrar: &Registrar, source: Option<&str>) -> Result<u32, String> {
        let wanted = PublishScript { source: source.map(str::to_owned) };
        let published = block_on(registrar.publish_script("pk", wanted));
        published.map(|published| published.version).map_err(|error| error.to_string())
    }

    fn attempt(registrar: &Registrar, wanted: TryScript) -> Result<String, String> {
        let tried = block_on(registrar.try_script("pk", wanted)).map_err(|error| error.to_string())?;
        Ok(serde_json::to_string(&tried).expect("it can be written"))
    }

    fn of_hex(digits: &str) -> TryScript {
        TryScript { hex: Some(digits.to_owned()), ..TryScript::default() }
    }

    #[test]
    fn a_draft_is_published_and_an_older_version_runs_again() {
        let registrar = registrar();
        assert_eq!(publish(&registrar, None), Err("there is no draft of product pk".to_owned()));
        let draft = block_on(registrar.draft_script("pk", "throws".into())).expect("it can be run");
        assert_eq!(
            (draft.draft.map(|draft| draft.source).as_deref(), draft.published),
            (Some("throws"), None)
        );
        assert_eq!(publish(&registrar, None), Ok(1));
        assert_eq!(publish(&registrar, Some("copy")), Ok(2));
        let shown = block_on(registrar.script("pk")).expect("it exists");
        assert_eq!((shown.draft, shown.published.map(|version| version.source)), (None, Some("copy".into())));
        assert_eq!(block_on(registrar.roll_back_script("pk", 1)).map(|stands| stands.version).ok(), Some(3));
        let versions = block_on(registrar.script_versions("pk")).expect("it exists").items;
        let versions: Vec<_> = versions.iter().map(|row| (row.version, row.restores, &*row.by)).collect();
        assert_eq!(versions, [(3, Some(1), "owner"), (2, None, "owner"), (1, None, "owner")]);
        assert_eq!(block_on(registrar.script_version("pk", "2")).expect("it is kept").source, "copy");
        for missing in ["0", "9", "x"] {
            let error = block_on(registrar.script_version("pk", missing)).expect_err("there is none");
            assert_eq!(error.to_string(), format!("there is no version {missing}"));
        }
        let error = block_on(registrar.roll_back_script("pk", 9)).expect_err("there is none");
        assert_eq!(error.to_string(), "there is no version 9");
    }

    #[test]
    fn who_publishes_for_a_product_that_speaks_json_is_warned() {
        let registrar = registrar();
        let warnings = |source: &str| {
            let wanted = PublishScript { source: Some(source.to_owned()) };
            block_on(registrar.publish_script("pk", wanted)).expect("it can be run").warnings
        };
        assert_eq!(warnings("copy").len(), 1);
        let patch = ProductPatch { data_format: Some(DataFormat::Custom), ..ProductPatch::default() };
        let view = block_on(registrar.update_product("pk", patch)).expect("it is valid");
        assert_eq!((view.data_format, warnings("throws").len()), (DataFormat::Custom, 0));
    }

    #[test]
    fn a_source_that_cannot_be_run_changes_nothing_and_says_where() {
        let registrar = registrar();
        publish(&registrar, Some("copy")).expect("it can be run");
        let said = "script is not acceptable: the source is \"nonsense\" (line 1)";
        assert_eq!(publish(&registrar, Some("nonsense")), Err(said.to_owned()));
        let error = block_on(registrar.draft_script("pk", "nonsense".into())).expect_err("it is refused");
        assert_eq!(error.to_string(), said);
        let shown = block_on(registrar.script("pk")).expect("it exists");
        assert_eq!((shown.draft, shown.published.map(|version| version.about.version)), (None, Some(1)));
        let registrar = registrar_with_product();
        let said = "the script cannot be run now: this process runs no scripts";
        assert_eq!(publish(&registrar, Some("copy")), Err(said.to_owned()));
    }

    #[test]
    fn a_trial_says_what_comes_of_bytes_and_of_a_message() {
        let registrar = registrar();
        assert_eq!(attempt(&registrar, of_hex("7b7d")), Err("there is no script of product pk".to_owned()));
        let with = |source: &str, wanted| TryScript { source: Some(source.to_owned()), ..wanted };
        let wanted = with("copy", of_hex("7B 22 61 22 3a 20 31 7d"));
        assert_eq!(attempt(&registrar, wanted).as_deref(), Ok(r#"{"json":{"a":1}}"#));
        let json = RawValue::from_string(r#"{"a": 1}"#.to_owned()).ok();
        let wanted = with("copy", TryScript { json, ..TryScript::default() });
        assert_eq!(attempt(&registrar, wanted).as_deref(), Ok(r#"{"hex":"7b2261223a20317d"}"#));
        // What no device could be sent is no success.
        let json = RawValue::from_string(format!("\"{}\"", "x".repeat(10_239))).ok();
        let wanted = with("copy", TryScript { json, ..TryScript::default() });
        let said = attempt(&registrar, wanted).expect("it is tried");
        assert!(said.contains("it returned 10241 bytes; a message has at most 10240"), "{said}");
        let said = r#"{"error":{"message":"the source is \"throws\"","line":1}}"#;
        assert_eq!(attempt(&registrar, with("throws", of_hex("00"))).as_deref(), Ok(said));
        let tried = attempt(&registrar, with("copy", of_hex("5b5d"))).expect("the script itself runs");
        assert!(tried.starts_with(r#"{"error":{"message":"what rawDataToJsonStr returned"#), "{tried}");
        assert!(
            attempt(&registrar, with("busy", of_hex("00")))
                .is_err_and(|said| said.contains("cannot be run now"))
        );
        publish(&registrar, Some("throws")).expect("it can be run");
        assert_eq!(attempt(&registrar, of_hex("7b7d")).as_deref(), Ok(said), "what is published");
        block_on(registrar.draft_script("pk", "copy".into())).expect("it can be run");
        assert_eq!(attempt(&registrar, of_hex("7b7d")).as_deref(), Ok(r#"{"json":{}}"#), "the draft");
        for (digits, said) in [
            ("", "hex has no bytes"),
            ("0", "hex has 1 digit; a byte has two"),
            ("0g", "hex has 'g', which is not a hexadecimal digit"),
        ] {
            assert_eq!(attempt(&registrar, of_hex(digits)), Err(said.to_owned()));
        }
        let long = attempt(&registrar, of_hex(&"00".repeat(10_241)));
        assert_eq!(long, Err("hex has 10241 bytes; at most 10240 are accepted".to_owned()));
        let longer = Registrar { message_limit: MessageLimit::new(65_536), ..registrar.clone() };
        assert!(attempt(&longer, of_hex(&"00".repeat(65_536))).is_ok());
        let long = attempt(&longer, of_hex(&"00".repeat(65_537)));
        assert_eq!(long, Err("hex has 65537 bytes; at most 65536 are accepted".to_owned()));
        assert!(attempt(&registrar, TryScript::default()).is_err());
    }
}
