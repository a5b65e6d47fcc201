use std::{
    future::ready,
    sync::atomic::{AtomicU32, Ordering},
};

use narrowgate_api::{
    device::NewDeviceRequest,
    product::{NewProduct, ProductPatch},
};

use super::*;
use crate::{
    memory::PlainScripts,
    ports::{FaultKind, PortFuture, Scripts},
    service::fixtures::{registrar_and_clock, registrar_with_product},
    testing::{ManualClock, block_on},
};

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
    assert_eq!((draft.draft.map(|draft| draft.source).as_deref(), draft.published), (Some("throws"), None));
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

/// Every call takes so many milliseconds; the fourth one is not run where that is wanted.
struct Slow {
    clock: Arc<ManualClock>,
    takes_ms: i64,
    refused: Option<FaultKind>,
    calls: AtomicU32,
}

impl Scripts for Slow {
    fn check(&self, _: &Script) -> PortFuture<'_, Result<(), Fault>> {
        Box::pin(ready(Ok(())))
    }

    fn decode(
        &self,
        _: &Script,
        _: &[u8],
        _: Circumstances,
        _: Caller,
    ) -> PortFuture<'_, Result<String, Fault>> {
        self.clock.advance_ms(self.takes_ms);
        let is_fourth = self.calls.fetch_add(1, Ordering::Relaxed) == 3;
        let refused = self.refused.filter(|_| is_fourth).map(|kind| Fault::new(kind, "trials rest"));
        Box::pin(ready(refused.map_or(Ok("{}".to_owned()), Err)))
    }

    fn encode(
        &self,
        _: &Script,
        _: &str,
        _: Circumstances,
        _: Caller,
    ) -> PortFuture<'_, Result<Vec<u8>, Fault>> {
        Box::pin(ready(Ok(Vec::new())))
    }
}

/// Else who asks for it hears nothing for so long that it gives up.
#[test]
fn a_replay_ends_after_a_while_and_says_what_it_left_out() {
    let (mut registrar, clock) = registrar_and_clock();
    let product = NewProduct { product_key: Some("pk".into()), ..NewProduct::default() };
    block_on(registrar.create_product(NewProduct { name: "m".into(), ..product })).expect("it is valid");
    let device = NewDeviceRequest { device_key: Some("dk".into()), ..NewDeviceRequest::default() };
    block_on(registrar.create_device("pk", device)).expect("it is valid");
    let device = block_on(registrar.resolve("dk", None)).expect("it exists");
    let mut replayed = |takes_ms, refused| {
        let calls = AtomicU32::new(0);
        registrar.scripts = Arc::new(Slow { clock: clock.clone(), takes_ms, refused, calls });
        let bodies = (0..8).map(|n| RawBody { arrival: UnixMillis(n), bytes: vec![1].into() }).collect();
        let draft = Some("draft".to_owned());
        let replayed = block_on(registrar.replay_script("pk", &device, bodies, draft));
        let said = |Replayed { items, left_out, left_out_reason, .. }: Replayed| {
            (items.len(), left_out, left_out_reason)
        };
        replayed.map(said).map_err(|error| error.to_string())
    };
    assert_eq!(replayed(500, None), Ok((8, 0, None)));
    assert_eq!(replayed(2_000, None), Ok((3, 5, None)), "the third one begins after 4 s");
    let reason = Some("trials rest".to_owned());
    assert_eq!(replayed(100, Some(FaultKind::Busy)), Ok((3, 5, reason)), "the fourth is refused");
    let said = "the script cannot be run now: trials rest".to_owned();
    assert_eq!(replayed(100, Some(FaultKind::Unavailable)), Err(said), "the engine is gone");
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
        attempt(&registrar, with("busy", of_hex("00"))).is_err_and(|said| said.contains("cannot be run now"))
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
