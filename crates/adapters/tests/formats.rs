//! Data directories of every format that this program opens, each as the program of its time made it:
//! `tests/formats/N` is one whose registry has format N, and `reads.txt` in it says what must be read from
//! it.
//!
//! A new format gets a directory of its own, made by this file's program while that format is the present
//! one:
//!
//! ```text
//! NARROWGATE_MAKE_FORMAT=crates/adapters/tests/formats/N \
//!     cargo test -p narrowgate-adapters --test formats makes_a_directory
//! ```
//!
//! The older ones are never made again.
//!
//! Longer than 500 lines: one list of what each format has.

use std::{
    env,
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use narrowgate_adapters::sqlite::{SqliteOptions, SqliteStore};
use narrowgate_platform::{
    ids::{DEFAULT_OU, DeviceId, DeviceName, LoginNumber},
    model::{
        command::{self, Command, CommandMove, CommandStep, CommandTopic, Order},
        credential::CredentialLookup,
        device::{Device, DeviceState, NewDevice},
        happened::{Happened, StreamPlace},
        log::LogEntry,
        message::Message,
        overview::OverviewQuery,
        product::{ContentCode, DataFormat, DynamicActivation, Product, Profile},
        property::PropertyKind,
    },
    paging::{Page, Part},
    ports::{
        DeviceQuery, HistoryQuery, HistoryReads as _, Issued, Journal as _, Registry as _,
        RegistryChanges as _, Write, Written,
    },
    rules::{
        issuing::NotIssued,
        models::{Expected, ModelPut},
        scripts::ScriptPut,
    },
    secret::Secret,
    testing::{
        block_on,
        store::{
            access, firmware,
            fixtures::{
                append, at, history, issue, login, presence, product, refusal, report, report_arriving,
                resumed, shown, write,
            },
            properties, users,
        },
    },
};
use rusqlite::Connection;

/// Where to make a directory of the present format.
const MAKE: &str = "NARROWGATE_MAKE_FORMAT";
/// What must be read from a directory.
const READS: &str = "reads.txt";
/// A day, in seconds.
const DAY: i64 = 86_400;

fn formats() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats");
    let mut formats: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    formats.sort();
    formats
}

/// A copy that can be opened: the files in the repository do not have the permissions of a data directory.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else if path.file_name().is_some_and(|name| name != READS) {
            fs::copy(&path, &target).unwrap();
            fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

fn open(data: &Path) -> SqliteStore {
    SqliteStore::open(SqliteOptions::new(data)).expect("the directory is in order")
}

/// A product that has something in each of its fields.
fn meters() -> Product {
    let dynamic_activation =
        DynamicActivation { enabled: true, ends_at: Some(at(90 * DAY)), quota_per_hour: 7 };
    let model_json = Some(r#"{"measurepoints":[{"identifier":"temp","type":"double"}]}"#.to_owned());
    let (name, profile, short_paths) = ("Zähler".to_owned(), Profile::Nbiot, true);
    Product {
        dynamic_activation,
        profile,
        short_paths,
        data_format: DataFormat::Custom,
        content_code: ContentCode::Changed,
        model_json,
        name,
        ..product("meters")
    }
}

/// Two products; devices in every state, one of them damaged; reports of two days; logs and refusals.
fn fill(data: &Path) {
    let store = open(data);
    let meters = meters();
    let off = Product { ou: DEFAULT_OU.to_owned(), enabled: false, ..product("off") };
    for product in [&meters, &Product { enabled: true, ..off.clone() }] {
        block_on(store.create_product(product.clone())).unwrap();
    }
    let device = |product_key: &str, key: &str| {
        let new = NewDevice {
            product_key: product_key.to_owned(),
            device_key: key.to_owned(),
            device_secret: Secret::new(format!("secret of {key}")),
            asset_id: format!("{:0>8}", key.replace('-', "")),
            name: format!("the {key}"),
            properties: Vec::new(),
        };
        block_on(store.create_devices(vec![new], at(0))).unwrap().remove(0).unwrap().id
    };
    let keys = ["inactive", "online", "offline", "disabled", "reset", "issued", "damaged"];
    let [_inactive, online, offline, disabled, reset, issued, damaged] =
        keys.map(|key| device("meters", key));
    let other = device("off", "other");
    let gone = device("meters", "gone");

    let of_all = [online, offline, disabled, reset, damaged, other];
    append(&store, of_all.into_iter().zip(1..).map(|(device, n)| login(device, at(n))).collect());
    for (device, n) in of_all.into_iter().zip(10..) {
        // The fixture's numbers of logins are their times.
        let login = LoginNumber(at(n - 9).0.unsigned_abs());
        append(&store, vec![of_login(report(device, at(n), r#"{"temp":21.50,"power":7}"#), login)]);
        append(&store, vec![resumed(device, at(n - 5), r#"{"temp":-1}"#)]);
    }
    append(&store, vec![presence(offline, DeviceState::Offline, at(400), "silent for 300 s")]);
    append(&store, vec![Write::Seen { device: online, login: None, at: at(500) }]);
    append(
        &store,
        vec![Write::Log(refusal(Some(online), None, at(501))), Write::Log(shown(online, at(502)))],
    );
    append(
        &store,
        (0..3).map(|n| Write::Log(refusal(None, Some("nobody's \u{fffd}"), at(510 + n)))).collect(),
    );
    // Only from format 5 on: what is read of older directories has none.
    let set = |kind, name: &str, value: &str| properties::edit(kind, &[(name, value)], &[]);
    append(
        &store,
        vec![
            properties::change(online, set(PropertyKind::Attribute, "place", "\"Zähler 1\"")),
            properties::change(online, set(PropertyKind::Attribute, "size", "1.50")),
            properties::change(offline, set(PropertyKind::Tag, "site/1", "\"north\"")),
        ],
    );
    fill_second_day(&store, [online, offline, disabled, reset, issued, damaged, gone], off);
    block_on(store.close()).unwrap();
}

/// The second day: one report is late, one message is from a clock that is wrong.
fn fill_second_day(store: &SqliteStore, devices: [DeviceId; 7], off: Product) {
    let [online, offline, disabled, reset, issued, damaged, gone] = devices;
    append(
        store,
        vec![report(online, at(DAY + 1), r#"{"temp":{"value":19,"quality":1},"state":"running"}"#)],
    );
    append(store, vec![report_arriving(online, at(600), at(DAY + 2), r#"{"late":true}"#)]);
    append(store, vec![report(offline, at(DAY + 3), r#"{"temp":3}"#), login(offline, at(DAY + 3))]);
    append(store, vec![presence(offline, DeviceState::Offline, at(DAY + 4), "closed by the device")]);
    assert_eq!(issue(store, issued, "an issued secret", at(DAY + 5)), Issued::Done);
    assert_eq!(issue(store, online, "not to be", at(DAY + 6)), Issued::Refused(NotIssued::AlreadyActivated));
    block_on(store.set_device_enabled(disabled, false, at(DAY + 7))).unwrap();
    block_on(store.reset_device(reset, Secret::new("a second secret".into()), at(DAY + 8))).unwrap();
    block_on(store.rename_device(online, "another name".into(), at(DAY + 9))).unwrap();
    block_on(store.delete_device(gone, at(DAY + 10))).unwrap();
    block_on(store.update_product(off)).unwrap();
    write(store, report(damaged, at(DAY + 11), r#"{"temp":1}"#));
    write(store, report(damaged, at(DAY + 12), r#"{"temp":2}"#));
    fill_commands(store, online);
    fill_models(store);
    fill_scripts(store);
    firmware::fill(store, "meters", [online, offline]);
    access::fill(store);
    users::fill(store);
}

/// Only from format 12 on: a draft, and two versions of a script, the second of which was rolled back.
fn fill_scripts(store: &SqliteStore) {
    let by = || "owner".to_owned();
    let puts = [
        ScriptPut::Publish { source: "'Zähler'".into(), by: by() },
        ScriptPut::Publish { source: "'another'".into(), by: by() },
        ScriptPut::RollBack { version: 1, by: by() },
        ScriptPut::Draft { source: "'next'".into() },
    ];
    for (put, second) in puts.into_iter().zip(21..) {
        block_on(store.put_script("meters".into(), put, at(DAY + second))).unwrap().unwrap();
    }
}

/// Only from format 6 on: three versions of a model, the last one its removal.
fn fill_models(store: &SqliteStore) {
    let points = r#"[{"identifier":"temp","dataType":"DOUBLE"}]"#;
    let first = format!(r#"{{"modelId":"m","measurepoints":{points}}}"#);
    let second = r#"{"modelId":"m","events":[{"identifier":"tilted"}]}"#.to_owned();
    for (model_json, second) in [(Some(first), 18), (Some(second), 19), (None, 20)] {
        let put = ModelPut { model_json, expected: Expected::Whatever };
        block_on(store.put_model("off".into(), put, None, at(DAY + second))).unwrap().unwrap();
    }
}

/// One command waits, one is with the device, one was answered, one was taken back.
fn fill_commands(store: &SqliteStore, device: DeviceId) {
    let topics =
        [CommandTopic::Set, CommandTopic::Get, CommandTopic::Service("restart".into()), CommandTopic::Set];
    let ids = topics.map(|topic| {
        let raw = (topic == CommandTopic::Get).then(|| Box::from([2, 0, 255]));
        let params_json = r#"{"a":1.50}"#.into();
        let order = Order { topic, params_json, pending_ttl_s: 600, timeout_s: 30, raw };
        let expected = Some(command::Expected { at: at(DAY + 14), spread: 2_000 });
        let sent = store.send_expected_command(device, (order, expected), at(DAY + 13));
        block_on(sent).unwrap().unwrap().id
    });
    let step = |id, step, second| {
        let (session, at) = (None, at(DAY + second));
        let outcome = write(store, Write::Command(CommandMove { device, id, session, step, at }));
        assert_eq!(outcome, Written::Done);
    };
    step(ids[1], CommandStep::Fetch, 14);
    step(ids[2], CommandStep::Fetch, 15);
    let data_json = Some(r#"{"done":true}"#.into());
    let message = Some("the valve is stuck".into());
    step(ids[2], CommandStep::Reply { code: 1102, data_json, message }, 16);
    block_on(store.cancel_commands(device, Some(ids[3]), at(DAY + 17))).unwrap();
}

/// Damages some rows of a directory that [`fill`] made.
fn damage(data: &Path) {
    for (file, hurt) in [
        ("registry.db", "UPDATE devices SET name = 'x' WHERE device_key = 'damaged'"),
        ("log.db", "UPDATE log SET peer = 'x' WHERE device = 2 AND event = 'login'"),
        (
            "messages/2026-01-02.db",
            r#"UPDATE messages SET points = '{"temp":9}' WHERE points = '{"temp":1}'"#,
        ),
    ] {
        let file = Connection::open(data.join(file)).unwrap();
        assert_eq!(file.execute(hurt, []).unwrap(), 1);
        file.close().unwrap();
    }
}

/// A report of a session.
fn of_login(report: Write, login: LoginNumber) -> Write {
    match report {
        Write::Message(message) => Write::Message(Message { login: Some(login), session: 77, ..message }),
        other => other,
    }
}

/// All that can be read, one item in a line: only what every format has.
fn reads(store: &SqliteStore) -> String {
    let mut out = String::new();
    product_lines(&mut out, store);
    let mut names = vec![("meters".to_owned(), "unknown".to_owned())];
    let mut ids = Vec::new();
    for found in block_on(store.devices(DeviceQuery { limit: 100, ..DeviceQuery::default() })).unwrap() {
        match found {
            Ok(device) => {
                names.push((device.product_key.clone(), device.device_key.clone()));
                ids.push(device.id);
                device_line(&mut out, &device);
            }
            Err(damaged) => {
                ids.push(damaged.id);
                let (product_key, device_key) = (damaged.product_key, damaged.device_key);
                names.push((product_key.clone().unwrap(), device_key.clone()));
                writeln!(
                    out,
                    "device {} damaged {product_key:?} {device_key} {}",
                    damaged.id.0, damaged.what
                )
                .unwrap();
            }
        }
    }
    for (product_key, device_key) in names {
        credentials_line(&mut out, store, &DeviceName { product_key, device_key });
    }
    for id in ids {
        of_device(&mut out, store, id);
    }
    out += &access::lines(store);
    out += &users::lines(store);
    out += &firmware::lines(store);
    happened_lines(&mut out, store);
    log_lines(&mut out, "refusals", &block_on(store.refusals(Part::first(100))).unwrap());
    let mut recovered = block_on(store.recover()).unwrap();
    recovered.online.sort_by_key(|online| online.device);
    for open in recovered.commands {
        writeln!(out, "open command {} {}", open.device.0, open.command.id).unwrap();
    }
    for online in recovered.online {
        writeln!(out, "online {} lifetime={}", online.device.0, online.lifetime_s).unwrap();
    }
    let overview = block_on(store.overview(OverviewQuery { now: at(DAY + 20), products_max: 10 })).unwrap();
    writeln!(
        out,
        "overview {:?} minute={} hour={} refusals={:?}",
        overview.devices, overview.reports_last_minute, overview.reports_last_hour, overview.refusals
    )
    .unwrap();
    out
}

fn product_lines(out: &mut String, store: &SqliteStore) {
    for found in block_on(store.products()).unwrap() {
        let product = found.expect("no product is damaged");
        let Product {
            ou,
            product_key,
            name,
            secret,
            dynamic_activation,
            enabled,
            is_suspended,
            model_json,
            created,
            retention,
            profile,
            short_paths,
            data_format,
            content_code,
        } = product;
        assert!(retention.is_standard(), "older formats know no other class");
        assert!(!is_suspended, "nor a suspended organisation unit");
        let DynamicActivation { enabled: activation, ends_at, quota_per_hour } = dynamic_activation;
        let ends_at = ends_at.map(|end| end.0);
        // No format before the ninth has another one, nor has one before the eleventh short paths, one before
        // the twelfth another form of data, or one before the sixteenth another code.
        let profile = if profile == Profile::Nbiot { " profile=nbiot" } else { "" };
        let short_paths = if short_paths { " short-paths" } else { "" };
        let custom = if data_format == DataFormat::Custom { " custom" } else { "" };
        let code = if content_code == ContentCode::Changed { " content-code=2.04" } else { "" };
        writeln!(
            out,
            "product {product_key} {ou} {name:?} secret={:?} enabled={enabled} activation={activation} \
             ends={ends_at:?} quota={quota_per_hour} model={model_json:?} \
             created={}{profile}{short_paths}{custom}{code}",
            secret.expose(),
            created.0
        )
        .unwrap();
        script_lines(out, store, &product_key);
    }
}

/// Formats before the twelfth have none.
fn script_lines(out: &mut String, store: &SqliteStore, product_key: &str) {
    let script = block_on(store.script(product_key)).unwrap();
    if let Some(draft) = script.draft {
        writeln!(out, "script draft {product_key} {} {:?}", draft.saved.0, draft.source).unwrap();
    }
    for about in block_on(store.script_versions(product_key)).unwrap().items {
        let found = block_on(store.script_version(product_key, about.version)).unwrap().unwrap();
        writeln!(
            out,
            "script {product_key} {} {} by {} restores={:?} {:?}",
            about.version, about.created.0, about.by, about.restores, found.source
        )
        .unwrap();
    }
}

fn credentials_line(out: &mut String, store: &SqliteStore, name: &DeviceName) {
    write!(out, "credentials {}/{} ", name.product_key, name.device_key).unwrap();
    match block_on(store.credentials(&name.product_key, &name.device_key)) {
        Ok(CredentialLookup::Found(found)) => writeln!(
            out,
            "device={} asset={} secret={:?} version={} enabled={} activated={} product={:?} enabled={}",
            found.device.0,
            found.asset_id,
            found.device_secret.expose(),
            found.secret_version,
            found.device_enabled,
            found.activated,
            found.product_secret.expose(),
            found.product_enabled
        )
        .unwrap(),
        Ok(CredentialLookup::ProductUnknown | CredentialLookup::DeviceUnknown) => {
            *out += "unknown\n";
        }
        Err(error) => writeln!(out, "{error}").unwrap(),
    }
}

fn device_line(out: &mut String, device: &Device) {
    let Device { id, ou, product_key, device_key, asset_id, name, enabled, state, created, .. } = device;
    let Device { active_time, last_online_time, last_offline_time, last_seen_time, lifetime_s, .. } = device;
    let [active, online, offline, seen] = [active_time, last_online_time, last_offline_time, last_seen_time]
        .map(|time| time.map(|time| time.0));
    writeln!(
        out,
        "device {} {product_key}/{device_key} {ou} {asset_id} {name:?} enabled={enabled} {state:?} \
         created={} active={active:?} online={online:?} offline={offline:?} seen={seen:?} \
         lifetime={lifetime_s:?}",
        id.0, created.0
    )
    .unwrap();
}

/// Latest values, history (in small pages), log, presence, attributes and tags of a device.
fn of_device(out: &mut String, store: &SqliteStore, id: DeviceId) {
    let latest = block_on(store.points_latest(id)).unwrap();
    for value in &latest.items {
        writeln!(out, "latest {} {} {} at {}", id.0, value.point, value.value.get(), value.time.0).unwrap();
    }
    let mut after = None;
    loop {
        let query = HistoryQuery { after, limit: 2, ..HistoryQuery::default() };
        let page = block_on(store.points_history(id, query)).unwrap();
        for value in &page.items {
            writeln!(out, "history {} {} {} at {}", id.0, value.point, value.value.get(), value.time.0)
                .unwrap();
        }
        if let Some(what) = page.damaged.first {
            writeln!(out, "history {} damaged: {what}", id.0).unwrap();
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    for kind in [PropertyKind::Attribute, PropertyKind::Tag] {
        let all = block_on(store.properties(id, kind)).unwrap();
        for (name, value) in all.iter() {
            writeln!(out, "{} {} {name} {}", kind.plural(), id.0, value.get()).unwrap();
        }
    }
    log_lines(out, &format!("log {}", id.0), &block_on(store.device_log(id, Part::first(100))).unwrap());
    for change in block_on(store.presence_history(id, Part::first(100))).unwrap().items {
        writeln!(out, "presence {} {:?} {:?} at {}", id.0, change.state, change.cause, change.at.0).unwrap();
    }
    for command in block_on(store.commands(id, Part::first(100))).unwrap().items {
        command_line(out, id, &command);
    }
}

/// As commands were printed before they had more fields; those follow where there is something in them.
fn command_line(out: &mut String, device: DeviceId, command: &Command) {
    let Command { id, order, state, code, data_json, created, sent, ended, expected, fetched, message } =
        command;
    let expected = expected.map_or_else(String::new, |expected| format!(" {expected:?}"));
    let message = message.as_ref().map_or_else(String::new, |message| format!(" message={message:?}"));
    // Formats before the twelfth have no commands in bytes.
    let order = format!("{order:?}").replace(", raw: None", "");
    let fetched = fetched.map_or_else(String::new, |fetched| format!(" fetched {}", fetched.0));
    writeln!(
        out,
        "command {} Command {{ id: {id:?}, order: {order}, state: {state:?}, code: {code:?}, \
         data_json: {data_json:?}, created: {created:?}, sent: {sent:?}, ended: {ended:?} }}\
         {expected}{message}{fetched}",
        device.0
    )
    .unwrap();
}

/// What was probably meant and what to do follow from the reason when it is told, by today's words.
fn stored(told: &str) -> String {
    let derived = [r#","mistake":"#, r#","advice":"#].into_iter().filter_map(|name| told.find(name)).min();
    derived.map_or_else(|| told.to_owned(), |end| format!("{}}}", &told[..end]))
}

/// What followers of live events are told beside reports. Formats before the eighteenth have nothing of it.
fn happened_lines(out: &mut String, store: &SqliteStore) {
    let mut after = StreamPlace::START;
    loop {
        let page = block_on(store.happened(Some(after), 100)).unwrap();
        for Happened { place, device, happening } in &page.items {
            if happening.name() != "report" {
                let device = device.map(|device| device.0);
                let json = stored(&serde_json::to_string(happening).unwrap());
                writeln!(out, "happened {}.{} device={device:?} {json}", place.position, place.part).unwrap();
            }
        }
        after = page.upto;
        if after == page.head {
            break;
        }
    }
}

fn log_lines(out: &mut String, of: &str, page: &Page<LogEntry>) {
    for LogEntry { time, device, identity, event, reason, code, peer, detail } in &page.items {
        let device = device.map(|device| device.0);
        writeln!(
            out,
            "{of} at {} device={device:?} {event:?} {identity:?} {reason:?} {code:?} {peer:?} {detail:?}",
            time.0
        )
        .unwrap();
    }
    if let Some(what) = &page.damaged.first {
        writeln!(out, "{of} damaged {}: {what}", page.damaged.count).unwrap();
    }
}

#[test]
fn makes_a_directory_of_the_present_format_where_it_is_told() {
    let Some(folder) = env::var_os(MAKE).map(PathBuf::from) else { return };
    // Relative to where the command was given: tests run in the folder of their crate.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
    assert!(!folder.exists(), "a format that exists is never made anew");
    fill(&folder);
    damage(&folder);
    let copied = tempfile::tempdir().unwrap();
    copy(&folder, &copied.path().join("data"));
    fs::write(folder.join(READS), reads(&open(&copied.path().join("data")))).unwrap();
    fs::remove_file(folder.join("narrowgate.lock")).unwrap();
}

#[test]
fn a_directory_of_every_format_opens_and_reads_as_it_was_written() {
    let formats = formats();
    assert!(!formats.is_empty());
    for format in formats {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        copy(&format, &data);
        let right = fs::read_to_string(format.join(READS)).unwrap();
        let store = open(&data);
        similar(&reads(&store), &right, &format);
        block_on(store.close()).unwrap();
        drop(store);
        similar(&reads(&open(&data)), &right, &format);
    }
}

/// The day's file is continued in its own format, the next day's has the present one, and both are read
/// together.
#[test]
fn a_directory_of_every_format_takes_new_reports() {
    for format in formats() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        copy(&format, &data);
        let online = DeviceId(2);
        let before = {
            let store = open(&data);
            let before = history(&store, online, HistoryQuery { limit: 100, ..HistoryQuery::default() });
            let new = vec![
                login(online, at(DAY + 30)),
                report(online, at(DAY + 30), r#"{"temp":30}"#),
                report(online, at(DAY + 31), r#"{"temp":31}"#),
            ];
            append(&store, new);
            append(&store, vec![login(online, at(2 * DAY)), report(online, at(2 * DAY), r#"{"temp":32}"#)]);
            before
        };
        let store = open(&data);
        let after = history(&store, online, HistoryQuery { limit: 100, ..HistoryQuery::default() });
        let new: Vec<&str> = after[..3].iter().map(|value| value.value.get()).collect();
        assert_eq!(new, ["32", "31", "30"]);
        assert_eq!(after[3..], before);
        let latest = block_on(store.points_latest(online)).unwrap().items;
        assert_eq!(latest.iter().find(|value| value.point == "temp").unwrap().value.get(), "32");
    }
}

/// Says which line is the first that differs.
fn similar(found: &str, right: &str, format: &Path) {
    for (found, right) in found.lines().zip(right.lines()) {
        assert_eq!(found, right, "{}", format.display());
    }
    assert_eq!(found.lines().count(), right.lines().count(), "{}", format.display());
}
