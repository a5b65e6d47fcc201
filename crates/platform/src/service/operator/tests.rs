//! What the verbs add to the registrar: sessions that end, names that were meant, one problem for each fault.

use std::{
    sync::Mutex,
    task::{Context, Waker},
};

use narrowgate_api::{
    command::CommandState,
    device::{DevicePatch, NewDeviceRequest},
    fleet::{Disk, Host},
    names::UnixMillis,
    problem::Code,
    product::{NewProduct, ProductPatch},
    query::{DeviceList, LatestQuery, Paging},
};

use super::*;
use crate::{
    firmware::{Image, Sha256Sum},
    memory::MemoryStore,
    model::{property::PropertyKind, replay::RequestKey},
    ports::{Clock, NobodyConnected, OfferTo, PortFuture, Registry as _, RegistryChanges as _, UpgradeMoved},
    service::fixtures::{Failing, NOW},
    testing::{
        ManualClock, SeededEntropy, block_on,
        store::fixtures::{append, at, login, report},
    },
};

/// Notes which sessions end.
#[derive(Default)]
struct Noted(Mutex<Vec<String>>);

impl LiveSessions for Noted {
    fn close_device(&self, _: DeviceId, cause: &'static str) {
        self.0.lock().expect("nobody panicked").push(cause.to_owned());
    }

    fn commands_changed(&self, device: DeviceId) {
        self.0.lock().expect("nobody panicked").push(format!("commands of {}", device.0));
    }

    fn upgrade_moved(&self, device: DeviceId, name: Option<DeviceName>, moved: UpgradeMoved) {
        let name = name.map_or(device.0.to_string(), |name| name.device_key);
        let told = format!("upgrade of {name} {}", moved.state.name());
        self.0.lock().expect("nobody panicked").push(told);
    }

    fn finish(&self, change: PortFuture<'static, ()>) {
        block_on(change);
    }

    fn is_serving(&self) -> bool {
        true
    }

    fn product_changed(&self, product_key: &str) {
        self.0.lock().expect("nobody panicked").push(product_key.to_owned());
    }

    fn product_secret_replaced(&self, product_key: &str) {
        self.0.lock().expect("nobody panicked").push(format!("secret of {product_key}"));
    }
}

fn operator_on(store: impl Into<Stores>) -> (Operator, Arc<Noted>) {
    let (clock, noted) = (Arc::new(ManualClock::new(NOW)), Arc::new(Noted::default()));
    (Operator::new(store, clock, Arc::new(SeededEntropy::new(1)), noted.clone()), noted)
}

fn operator() -> (Operator, Arc<Noted>) {
    operator_on(Arc::new(MemoryStore::default()))
}

fn host() -> Host {
    let disk = Disk {
        registry_bytes: 1,
        logs_bytes: 5,
        messages_bytes: 2,
        backups_bytes: 6,
        other_bytes: 3,
        free_bytes: Some(4),
    };
    Host { version: "0".into(), since: Some(UnixMillis(7)), refused_by_store: None, disk }
}

fn new_product(name: &str, product_key: &str) -> NewProduct {
    NewProduct { name: name.into(), product_key: Some(product_key.into()), ..NewProduct::default() }
}

fn new_device(device_key: &str) -> NewDeviceRequest {
    NewDeviceRequest { device_key: Some(device_key.into()), ..NewDeviceRequest::default() }
}

/// The devices d1 to d3, each of which is to be offered an image.
fn with_a_rollout(operator: &Operator, store: &MemoryStore) -> [i64; 3] {
    block_on(operator.create_product(new_product("meters", "pk"))).expect("it is valid");
    let ids = ["d1", "d2", "d3"].map(|key| {
        block_on(operator.create_device("pk", new_device(key))).expect("it is valid");
        let name = DeviceName { product_key: "pk".into(), device_key: key.into() };
        block_on(store.device(&name)).expect("it works").expect("it exists").id.0
    });
    let image = Image {
        id: "IMG00001".parse().expect("letters and digits"),
        product_key: "pk".to_owned(),
        version: "2.0".to_owned(),
        size: 8,
        sha256: Sha256Sum([7; 32]),
        uploaded: NOW,
        rollout: None,
    };
    let image = block_on(store.add_image(image)).expect("the version is free").id;
    let to = OfferTo::Share { percent: 100, after: None, limit: 10 };
    block_on(store.offer_image(image, to, NOW)).expect("it works");
    append(store, ids.map(|id| login(DeviceId(id), NOW)).into());
    ids
}

/// Those who listen learn that the rollout goes on without the device.
#[test]
fn an_upgrade_that_ends_with_a_switch_or_a_reset_is_told() {
    let store = Arc::new(MemoryStore::default());
    let (operator, noted) = operator_on(store.clone());
    let told = || std::mem::take(&mut *noted.0.lock().expect("nobody panicked"));
    with_a_rollout(&operator, &store);
    assert!(!block_on(operator.advance_upgrades()).expect("it works").more);
    told();
    let name = NamedDevice::by_name;
    block_on(operator.disable_device(&name("d1"))).expect("it exists");
    assert_eq!(told(), ["disabled by an operator".to_owned(), "upgrade of d1 cancelled".to_owned()]);
    block_on(operator.reset_device(&name("d2"))).expect("it exists");
    assert_eq!(told(), ["reset by an operator".to_owned(), "upgrade of d2 cancelled".to_owned()]);
    block_on(operator.purge_device(&name("d3"))).expect("it exists");
    assert!(told().contains(&"upgrade of d3 cancelled".to_owned()));
    block_on(operator.reset_device(&name("d1"))).expect("it exists");
    assert_eq!(told(), ["reset by an operator"], "it has ended already");
}

/// A request that takes too long: the store has the change, and the verb is dropped before it answers.
#[test]
fn what_a_change_does_to_upgrades_is_told_also_where_the_caller_goes_before_the_store_answers() {
    let store = Arc::new(Failing::default());
    let (operator, noted) = operator_on(store.stores());
    let ids = with_a_rollout(&operator, &store.memory);
    store.answer_late();
    noted.0.lock().expect("nobody panicked").clear();
    let told_of_dropped = |verb: PortFuture<'_, ()>| {
        let mut verb = verb;
        let mut context = Context::from_waker(Waker::noop());
        assert!(verb.as_mut().poll(&mut context).is_pending(), "the store has not answered");
        drop(verb);
        std::mem::take(&mut *noted.0.lock().expect("nobody panicked"))
    };
    let [d1, d2, d3] = ["d1", "d2", "d3"].map(NamedDevice::by_name);
    let told = told_of_dropped(Box::pin(async { drop(operator.advance_upgrades().await) }));
    assert_eq!(told[..3], ids.map(|id| format!("upgrade of {id} offered")));
    assert_eq!(told[3..], ids.map(|id| format!("commands of {id}")));
    let cancelled = |key| format!("upgrade of {key} cancelled");
    let told = told_of_dropped(Box::pin(async { drop(operator.disable_device(&d1).await) }));
    assert_eq!(told, ["disabled by an operator".to_owned(), cancelled("d1")]);
    let told = told_of_dropped(Box::pin(async { drop(operator.reset_device(&d2).await) }));
    assert_eq!(told, ["reset by an operator".to_owned(), cancelled("d2")]);
    let told = told_of_dropped(Box::pin(async { drop(operator.purge_device(&d3).await) }));
    assert_eq!(told[..2], ["deleted by an operator".to_owned(), cancelled("d3")]);
}

#[test]
fn a_verb_ends_the_sessions_that_it_concerns_and_no_other() {
    let (operator, noted) = operator();
    let dk = NamedDevice::by_name("dk");
    let told = || std::mem::take(&mut *noted.0.lock().expect("nobody panicked"));
    block_on(operator.create_product(new_product("meters", "pk"))).expect("it is valid");
    assert_eq!(told(), ["pk"]);
    block_on(operator.create_device("pk", new_device("dk"))).expect("it is valid");
    block_on(operator.enable_device(&dk)).expect("it exists");
    block_on(operator.rename_device(&dk, DevicePatch { name: "n".into() })).expect("it exists");
    block_on(operator.show_device_secret(&dk)).expect("it exists");
    assert_eq!(told(), [""; 0]);
    block_on(operator.disable_device(&dk)).expect("it exists");
    block_on(operator.reset_device(&dk)).expect("it exists");
    block_on(operator.delete_device(&dk)).expect("it exists");
    assert_eq!(told(), ["disabled by an operator", "reset by an operator", "deleted by an operator"]);
    for failed in [
        block_on(operator.disable_device(&dk)).map(|_| ()),
        block_on(operator.reset_device(&dk)).map(|_| ()),
        block_on(operator.delete_device(&dk)).map(|_| ()),
    ] {
        assert_eq!(failed.expect_err("it is gone").code, Code::Missing);
    }
    assert_eq!(told(), [""; 0]);
    block_on(operator.create_device("pk", new_device("d2"))).expect("it is valid");
    block_on(operator.update_product("pk", ProductPatch::default())).expect("it exists");
    assert_eq!(told(), ["pk"]);
    block_on(operator.delete_product("pk", false)).expect_err("it has devices");
    assert_eq!(told(), [""; 0]);
    block_on(operator.delete_product("pk", true)).expect("it is switched off");
    block_on(operator.delete_product("pk", true)).expect("it is gone");
    assert_eq!(told(), ["pk", "deleted with its product", "pk"]);
}

/// Notes how far the purge was each time when sessions of a device ended.
struct PurgedSoFar {
    store: Arc<Failing>,
    closed: Mutex<Vec<(DeviceId, u32)>>,
}

impl LiveSessions for PurgedSoFar {
    fn close_device(&self, device: DeviceId, _: &'static str) {
        self.closed.lock().expect("nobody panicked").push((device, self.store.purge_steps()));
    }

    fn commands_changed(&self, _: DeviceId) {}

    fn is_serving(&self) -> bool {
        true
    }

    fn product_changed(&self, _: &str) {}

    fn product_secret_replaced(&self, _: &str) {}
}

/// A clock on which each look takes as long as this.
struct Ticking(ManualClock, i64);

impl Clock for Ticking {
    fn now(&self) -> UnixMillis {
        self.0.advance_ms(self.1);
        self.0.now()
    }
}

/// With the device `dk`, which has sent 450 reports; its store purges 100 of them in a step.
fn purging(look_ms: i64) -> (Operator, Arc<Failing>, Arc<PurgedSoFar>) {
    let store = Arc::new(Failing::default());
    let sessions = Arc::new(PurgedSoFar { store: store.clone(), closed: Mutex::default() });
    let clock = Arc::new(Ticking(ManualClock::new(NOW), look_ms));
    let operator = Operator::new(store.stores(), clock, Arc::new(SeededEntropy::new(1)), sessions.clone());
    block_on(operator.create_product(new_product("meters", "pk"))).expect("it is valid");
    block_on(operator.create_device("pk", new_device("dk"))).expect("it is valid");
    append(&*store.memory, (0..450).map(|n| report(DeviceId(1), at(n), r#"{"n":1}"#)).collect());
    (operator, store, sessions)
}

#[test]
fn a_purge_ends_the_session_once_the_device_is_switched_off_whatever_follows() {
    let dk = NamedDevice::by_name("dk");
    for steps in [0, 2] {
        let (operator, store, sessions) = purging(0);
        let closed = || std::mem::take(&mut *sessions.closed.lock().expect("nobody panicked"));
        store.fail_after(steps);
        block_on(operator.purge_device(&dk)).expect_err("the store fails");
        assert!(!block_on(operator.show_device(&dk)).expect("it is there").device.enabled);
        assert_eq!(closed(), [(DeviceId(1), 0)], "before the first step");
        store.fail_after(u32::MAX);
        let asked = store.purge_steps();
        assert!(block_on(operator.purge_device(&dk)).expect("it works").done);
        assert_eq!(closed()[0], (DeviceId(1), asked), "it was asked for again");
    }
}

#[test]
fn a_part_of_a_purge_ends_after_some_time_however_little_it_has_done() {
    let dk = NamedDevice::by_name("dk");
    // The clock is looked at once in each step.
    for (look_ms, parts) in [(0, vec![450]), (1000, vec![200, 200, 50]), (-1000, vec![200, 200, 50])] {
        let (operator, ..) = purging(look_ms);
        let mut removed = Vec::new();
        loop {
            let part = block_on(operator.purge_device(&dk)).expect("it works");
            removed.push(part.messages_removed);
            if part.done {
                break;
            }
        }
        assert_eq!(removed, parts, "{look_ms}");
    }
}

#[test]
fn a_problem_says_what_was_tried_and_what_was_meant() {
    let (operator, _) = operator();
    block_on(operator.create_product(new_product("meters", "pk"))).expect("it is valid");
    block_on(operator.create_product(new_product("valves", "p2"))).expect("it is valid");
    block_on(operator.create_device("pk", new_device("dk"))).expect("it is valid");
    let problems = [
        block_on(operator.show_product("meters")).map(|_| ()),
        block_on(
            operator.list_devices(&DeviceList { product: Some("none".into()), ..DeviceList::default() }),
        )
        .map(|_| ()),
        block_on(operator.show_device(&NamedDevice::by_keys("p2", "dk"))).map(|_| ()),
        block_on(operator.list_latest_values(&NamedDevice::by_name("p2/dk"), LatestQuery::default()))
            .map(|_| ()),
        block_on(operator.list_device_log(&NamedDevice::by_name("nobody"), &Paging::default())).map(|_| ()),
    ]
    .map(|outcome| outcome.expect_err("nothing has this name"));
    let told: Vec<_> = problems
        .iter()
        .map(|problem| (&*problem.title, problem.hint.as_deref().unwrap_or_default()))
        .collect();
    let elsewhere = "device dk is one of product pk: pk/dk   (narrowgate device list)";
    assert_eq!(told[0], ("cannot show the product", "meters is a name; its key is pk"));
    assert_eq!(told[1], ("cannot list the devices", "narrowgate product list"));
    assert_eq!(told[2], ("cannot show the device", elsewhere));
    assert_eq!(told[3], ("cannot show the device's points", elsewhere));
    assert!(told[4].1.starts_with("narrowgate device list;"), "{told:?}");
}

#[test]
fn every_verb_can_run_on_any_thread() {
    fn is_send<T: Send>(_: &T) {}

    let (operator, _) = operator();
    let name = NamedDevice::by_name("dk");
    is_send(&operator.create_product(NewProduct::default()));
    is_send(&operator.update_product("pk", ProductPatch::default()));
    is_send(&operator.create_device("pk", NewDeviceRequest::default()));
    is_send(&operator.resolve(&name));
    is_send(&operator.disable_device(&name));
    is_send(&operator.list_devices(&DeviceList::default()));
    is_send(&operator.import_devices("pk", Vec::new(), false));
    is_send(&operator.list_refusals(&Paging::first(1)));
    is_send(&operator.delete_product("pk", true));
    is_send(&operator.show_status(host()));
}

/// A server writes the end of a command down; where none runs, it is shown as it is.
#[test]
fn a_command_whose_time_is_over_is_shown_so_where_no_server_writes_it_down() {
    let (store, clock) = (Arc::new(MemoryStore::default()), Arc::new(ManualClock::new(NOW)));
    let entropy = || Arc::new(SeededEntropy::new(1));
    let own = Operator::new(store.clone(), clock.clone(), entropy(), Arc::new(NobodyConnected));
    let served = Operator::new(store.clone(), clock.clone(), entropy(), Arc::new(Noted::default()));
    let dk = NamedDevice::by_name("dk");
    block_on(own.create_product(new_product("meters", "pk"))).expect("it is valid");
    block_on(own.create_device("pk", new_device("dk"))).expect("its key is free");
    append(&*store, vec![login(DeviceId(1), NOW)]);
    let new = serde_json::from_str(r#"{"kind":"get","ids":["n"],"pendingTtl":60}"#).expect("a command");
    let id = block_on(own.send_command(&dk, new)).expect("it may wait").id;
    for (seconds, own_state, served_state) in [
        (59, CommandState::Created, CommandState::Created),
        (60, CommandState::Expired, CommandState::Created),
    ] {
        clock.set(UnixMillis(NOW.0 + seconds * 1000));
        for (operator, state) in [(&own, own_state), (&served, served_state)] {
            let shown = block_on(operator.show_command(&dk, &id)).expect("it is kept");
            let listed = block_on(operator.list_commands(&dk, &Paging::first(9))).expect("it has one");
            assert_eq!((shown.state, listed.items[0].state), (state, state), "after {seconds} s");
            let is_over = state == CommandState::Expired;
            assert_eq!((shown.ended_at.is_some(), shown.code), (is_over, is_over.then_some(11904)));
        }
    }
}

#[test]
fn a_device_is_registered_with_its_tags_and_attributes_or_not_at_all() {
    let operator = operator().0;
    block_on(operator.create_product(new_product("n", "pk"))).expect("it is new");
    let create = |json: &str| {
        let new: NewDeviceRequest = serde_json::from_str(json).expect("it is a request");
        block_on(operator.create_device("pk", new)).map_err(Box::new)
    };
    create(r#"{"deviceKey":"d1","tags":{"site":"north"},"attributes":{"room":101}}"#).expect("it is valid");
    let d1 = NamedDevice::by_keys("pk", "d1");
    let shown = block_on(operator.show_device(&d1)).expect("it is there");
    assert_eq!(serde_json::to_string(&shown.tags).expect("it is JSON"), r#"{"site":"north"}"#);
    let attributes = block_on(operator.show_properties(&d1, PropertyKind::Attribute)).expect("it is there");
    assert_eq!(serde_json::to_string(&attributes).expect("it is JSON"), r#"{"room":101}"#);
    let fat = "x".repeat(9000);
    for (tags, place) in [
        (r#"{"a b":"1"}"#.to_owned(), "/tags/a b"),
        (r#"{"a":null}"#.to_owned(), "/tags/a"),
        (format!(r#"{{"a":"{fat}"}}"#), "/tags"),
    ] {
        let problem = create(&format!(r#"{{"deviceKey":"d2","tags":{tags}}}"#)).expect_err("it is refused");
        assert_eq!(problem.status, 422, "{problem}");
        assert!(problem.place.as_deref().is_some_and(|found| found.starts_with(place)), "{problem:?}");
        assert!(block_on(operator.show_device(&NamedDevice::by_keys("pk", "d2"))).is_err(), "{place}");
    }
}

/// A wall clock that leaps, in a process that does not run longer by that.
struct Leaping {
    wall: ManualClock,
    process: ManualClock,
}

impl Clock for Leaping {
    fn now(&self) -> UnixMillis {
        self.wall.now()
    }

    fn steady(&self) -> UnixMillis {
        self.process.now()
    }
}

#[test]
fn attack_206_a_leap_of_the_clock_has_no_request_carried_out_twice() {
    const DAY_MS: i64 = 86_400_000;
    let clock = Arc::new(Leaping { wall: ManualClock::new(NOW), process: ManualClock::new(NOW) });
    let (store, entropy) = (Arc::new(MemoryStore::default()), Arc::new(SeededEntropy::new(1)));
    let operator = Operator::new(store, clock.clone(), entropy, Arc::new(NobodyConnected));
    let key = |number| RequestKey { owner: "user ann".into(), key: [number; 32] };
    let is_known = |number| block_on(operator.asked_before(key(number))).expect("the store reads").is_some();
    let begin = |number| {
        block_on(operator.begin_request(key(number), Sha256Sum([number; 32]))).expect("it is new");
    };
    begin(1);
    // By a day, as somebody sets it, and by a year.
    for (number, leap_ms) in [(2, DAY_MS), (3, 365 * DAY_MS)] {
        clock.wall.advance_ms(leap_ms);
        assert!(is_known(1), "it was carried out a moment ago");
        begin(number);
        assert!(is_known(1));
    }
    clock.process.advance_ms(DAY_MS - 1);
    assert!(is_known(1));
    clock.process.advance_ms(1);
    assert!(!is_known(1), "a day of the process is a day");
}
