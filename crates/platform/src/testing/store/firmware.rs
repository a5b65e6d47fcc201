//! Images of firmware, their rollouts, and the upgrades of devices.
//!
//! Longer than 500 lines: one list of checks.

use super::fixtures::{add_device, add_product, at, login, write};
use crate::{
    firmware::{
        Fetched, FirmwareMove, FirmwareStep, IMAGES_PER_PRODUCT_MAX, Image, ImageId, PausedBy, ServerName,
        Sha256Sum, UpgradeFailure, UpgradeState,
    },
    ids::{DeviceId, LoginNumber},
    model::command::{Command, CommandMove, CommandSession, CommandStep, CommandTopic},
    paging::Part,
    ports::{
        Advanced, FirmwareReads as _, NotDeleted, OfferTo, Offered, OfferedUpgrade, Store, StoreError, Write,
        Written,
    },
    secret::Secret,
    testing::block_on,
};

/// The image of this number and version.
fn image(number: u32, version: &str) -> Image {
    Image {
        id: image_id(number),
        product_key: "pk".to_owned(),
        version: version.to_owned(),
        size: 2048,
        sha256: Sha256Sum([7; 32]),
        uploaded: at(0),
        rollout: None,
    }
}

fn image_id(number: u32) -> ImageId {
    format!("IMG{number:05}").parse().expect("letters and digits")
}

/// Product `pk` with so many devices, all of which logged in at second 1.
fn devices(store: &dyn Store, count: usize) -> Vec<DeviceId> {
    add_product(store, "pk");
    let devices = (0..count).map(|n| add_device(store, "pk", &format!("dk-{n}")).id).collect::<Vec<_>>();
    for device in &devices {
        write(store, login(*device, at(1)));
    }
    devices
}

fn add(store: &dyn Store, number: u32, version: &str) -> ImageId {
    block_on(store.add_image(image(number, version))).expect("the version is free").id
}

fn offer(store: &dyn Store, image: ImageId, to: OfferTo, second: i64) -> Offered {
    block_on(store.offer_image(image, to, at(second))).expect("it may be offered")
}

fn share(percent: u8) -> OfferTo {
    OfferTo::Share { percent, after: None, limit: 1000 }
}

fn advance(store: &dyn Store, second: i64) -> Advanced {
    block_on(store.advance_upgrades(1000, ServerName::new("h", 9), at(second))).expect("the store writes")
}

fn step(store: &dyn Store, device: DeviceId, step: FirmwareStep, second: i64) -> Written {
    let session = CommandSession { login: LoginNumber(at(1).0.unsigned_abs()), secret_version: 1 };
    write(store, Write::Firmware(FirmwareMove { device, session, step, at: at(second) }))
}

fn inform(store: &dyn Store, device: DeviceId, version: &str, second: i64) -> Written {
    step(store, device, FirmwareStep::Inform { version: version.to_owned() }, second)
}

fn progress(store: &dyn Store, device: DeviceId, said: i8, second: i64) -> Written {
    step(store, device, FirmwareStep::Progress { step: said, desc: Some("so".to_owned()) }, second)
}

fn upgrades(store: &dyn Store, device: DeviceId) -> Vec<OfferedUpgrade> {
    block_on(store.upgrades_of(device)).expect("the store reads")
}

fn state(store: &dyn Store, device: DeviceId) -> UpgradeState {
    upgrades(store, device).first().expect("it was offered one").upgrade.state
}

fn counts(store: &dyn Store, image: ImageId) -> Vec<(UpgradeState, u64)> {
    block_on(store.upgrade_counts(image)).expect("the store reads")
}

fn open(store: &dyn Store, device: DeviceId) -> Vec<Command> {
    block_on(store.open_commands(device)).expect("the store reads")
}

fn command_step(store: &dyn Store, device: DeviceId, step: CommandStep, second: i64) -> Written {
    let id = open(store, device).first().expect("a command is open").id;
    write(store, Write::Command(CommandMove { device, id, session: None, step, at: at(second) }))
}

fn reply(code: i64) -> CommandStep {
    CommandStep::Reply { code, data_json: None, message: Some("words".into()) }
}

/// The same version and bytes are the same image, other bytes under that version are refused.
pub fn an_image_is_added_once_and_found(store: &dyn Store) {
    add_product(store, "pk");
    let first = add(store, 1, "1.0");
    let again = block_on(store.add_image(image(2, "1.0"))).expect("it is the same");
    assert_eq!(again, image(1, "1.0"));
    let other = Image { sha256: Sha256Sum([8; 32]), ..image(3, "1.0") };
    assert!(matches!(block_on(store.add_image(other)), Err(StoreError::Exists { .. })));
    let nowhere = Image { product_key: "other".into(), ..image(3, "1.0") };
    assert!(matches!(block_on(store.add_image(nowhere)), Err(StoreError::Missing { .. })));
    assert!(matches!(block_on(store.add_image(image(1, "2.0"))), Err(StoreError::Exists { .. })));
    let second = add(store, 2, "2.0");
    let of = |key: &str| block_on(store.images(Some(key.to_owned()))).expect("the store reads").items;
    assert_eq!(of("pk").iter().map(|image| image.id).collect::<Vec<_>>(), [first, second]);
    assert_eq!(
        (of("other").len(), block_on(store.images(None)).expect("the store reads").items.len()),
        (0, 2)
    );
    assert_eq!(block_on(store.image(first)).expect("the store reads"), Some(image(1, "1.0")));
    assert_eq!(block_on(store.image(image_id(9))).expect("the store reads"), None);
}

/// Images of a product have a limit.
pub fn a_product_has_so_many_images_and_no_more(store: &dyn Store) {
    add_product(store, "pk");
    for number in 0..IMAGES_PER_PRODUCT_MAX as u32 {
        add(store, number, &format!("1.{number}"));
    }
    assert!(matches!(block_on(store.add_image(image(999, "x"))), Err(StoreError::Conflict(_))));
    assert_eq!(block_on(store.delete_image(image_id(0))).expect("the store writes"), Ok(()));
    add(store, 999, "x");
}

/// From the offer to the version that the device says.
pub fn an_offer_goes_all_the_way_through_the_queue_of_commands(store: &dyn Store) {
    let device = devices(store, 1)[0];
    let id = add(store, 1, "2.0");
    assert_eq!(offer(store, id, OfferTo::Device(device), 10).devices, 1);
    assert!(block_on(store.upgrades_due(at(10))).expect("the store reads"));
    let advanced = advance(store, 10);
    assert_eq!((advanced.devices, advanced.paused, advanced.more), (vec![device], vec![], false));
    let told: Vec<_> = advanced.moved.iter().map(|(of, moved)| (*of, moved.image, moved.state)).collect();
    assert_eq!(told, [(device, id, UpgradeState::Offered)]);
    let commands = open(store, device);
    let [command] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(command.order.topic, CommandTopic::Upgrade);
    assert!(command.order.params_json.contains(r#""coaps://h:9/ota/IMG00001""#), "{command:?}");
    assert_eq!(progress(store, device, 5, 11), Written::UpgradeNotStarted);
    let moved = |written: Written| match written {
        Written::Upgrade(moved) if moved.changed && moved.image == id => (moved.state, moved.progress),
        other => panic!("{other:?}"),
    };
    let fetched = command_step(store, device, CommandStep::Fetch, 12);
    assert_eq!(moved(fetched), (UpgradeState::Sent, None));
    assert_eq!(state(store, device), UpgradeState::Sent);
    assert_eq!(moved(command_step(store, device, reply(200), 13)), (UpgradeState::Accepted, None));
    assert_eq!(state(store, device), UpgradeState::Accepted);
    let fetching = |fetched| FirmwareStep::Fetching { image: id, fetched, percent: 50 };
    let first = step(store, device, fetching(Fetched::First), 14);
    assert_eq!(moved(first), (UpgradeState::Downloading, None));
    assert_eq!(moved(progress(store, device, 40, 15)), (UpgradeState::Downloading, Some(40)));
    let last = step(store, device, fetching(Fetched::Last), 16);
    assert_eq!(moved(last), (UpgradeState::Verifying, Some(40)));
    assert_eq!(moved(progress(store, device, 90, 17)), (UpgradeState::Burning, Some(90)));
    assert_eq!(moved(inform(store, device, "2.0", 18)), (UpgradeState::Done, Some(90)));
    assert_eq!(progress(store, device, 100, 19), Written::NoUpgrade);
    assert_eq!(inform(store, device, "2.0", 20), Written::Unchanged);
    let version = block_on(store.version_of(device)).expect("the store reads");
    assert_eq!((version.as_deref(), counts(store, id)), (Some("2.0"), vec![(UpgradeState::Done, 1)]));
    assert_eq!(block_on(store.image(id)).unwrap().unwrap().rollout.unwrap().done, 1);
}

/// A share, in steps, and devices that came later.
pub fn a_share_grows_and_keeps_who_was_in(store: &dyn Store) {
    let all = devices(store, 60);
    let id = add(store, 1, "2.0");
    inform(store, all[3], "2.0", 2);
    let ten = offer(store, id, share(10), 10);
    assert!(ten.devices < 25 && ten.next.is_none(), "{ten:?}");
    let had = counts(store, id);
    let again = offer(store, id, share(10), 11);
    assert_eq!((again.devices, again.again, again.never_seen), (0, ten.devices, 0));
    assert_eq!((again.chosen, again.of, ten.of), (ten.devices + ten.have_it, 60, 60));
    assert_eq!(counts(store, id), had);
    assert!(matches!(block_on(store.offer_image(id, share(9), at(12))), Err(StoreError::Conflict(_))));
    // In steps, and those that have the version are not offered it.
    let mut sum = ten.devices;
    let mut after = None;
    loop {
        let step = offer(store, id, OfferTo::Share { percent: 100, after, limit: 7 }, 13);
        sum += step.devices;
        after = step.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(sum, 59);
    let late = add_device(store, "pk", "late").id;
    let all_again = offer(store, id, share(100), 14);
    assert_eq!((all_again.devices, all_again.again, all_again.never_seen), (1, 59, 1));
    assert_eq!(offer(store, id, share(100), 14).never_seen, 1, "it waits still");
    assert_eq!(counts(store, id), [(UpgradeState::Waiting, 60), (UpgradeState::Done, 1)]);
    let page = block_on(store.upgrades(id, Part::first(2))).expect("the store reads");
    assert_eq!(page.items.iter().map(|(_, it)| it.device).collect::<Vec<_>>(), all[..2]);
    let part = Part { after: page.next, limit: 1000 };
    let rest = block_on(store.upgrades(id, part)).expect("the store reads");
    assert_eq!(rest.items.len(), 59);
    assert_eq!(rest.items.last().map(|(name, it)| (&*name.device_key, it.device)), Some(("late", late)));
}

/// Unknown images and devices, a device of another product, no rollout.
pub fn an_offer_of_what_is_not_there_changes_nothing(store: &dyn Store) {
    let device = devices(store, 1)[0];
    add_product(store, "other");
    let foreign = add_device(store, "other", "dk-9").id;
    let id = add(store, 1, "2.0");
    let offer = |id, to| block_on(store.offer_image(id, to, at(1)));
    let missing = |result: Result<Offered, _>| matches!(result, Err(StoreError::Missing { .. }));
    assert!(missing(offer(image_id(9), share(10))));
    assert!(missing(offer(id, OfferTo::Device(DeviceId(999)))));
    assert!(matches!(offer(id, OfferTo::Device(foreign)), Err(StoreError::Conflict(_))));
    let switch = |id| block_on(store.switch_rollout(id, false));
    assert!(matches!(switch(id), Err(StoreError::Conflict(_))));
    assert!(matches!(switch(image_id(9)), Err(StoreError::Missing { .. })));
    assert_eq!(
        (upgrades(store, device), block_on(store.image(id)).unwrap()),
        (vec![], Some(image(1, "2.0")))
    );
}

/// Three failures, the pause, and how it goes on.
pub fn a_rollout_pauses_itself_and_takes_back_what_nobody_has_fetched(store: &dyn Store) {
    let all = devices(store, 6);
    let id = add(store, 1, "2.0");
    offer(store, id, share(100), 10);
    advance(store, 10);
    for device in &all[..3] {
        command_step(store, *device, CommandStep::Fetch, 11);
    }
    for (index, device) in all[..3].iter().enumerate() {
        let Written::Upgrade(moved) = progress(store, *device, -3, 12) else { panic!("it is under way") };
        assert_eq!((moved.state, moved.paused), (UpgradeState::Failed, index == 2));
        assert_eq!((moved.failure, moved.changed), (Some(UpgradeFailure::Verify), true));
    }
    let failed = &upgrades(store, all[0])[0].upgrade;
    assert_eq!((failed.failure, failed.desc.as_deref()), (Some(UpgradeFailure::Verify), Some("so")));
    let failures = |limit| block_on(store.upgrade_failures(id, limit)).unwrap();
    let of = |count| vec![(UpgradeFailure::Verify, count)];
    assert_eq!((failures(9), failures(2), failures(0)), (of(3), of(2), vec![]));
    let rollout = block_on(store.image(id)).unwrap().unwrap().rollout.unwrap();
    assert_eq!((rollout.paused, rollout.failed), (Some(PausedBy::Failures), 3));
    assert!(block_on(store.upgrades_due(at(13))).unwrap());
    assert_eq!(advance(store, 13).devices, all[3..]);
    assert!(all[3..].iter().all(|device| open(store, *device).is_empty()));
    assert!(!block_on(store.upgrades_due(at(99_999))).unwrap());
    let resumed = block_on(store.switch_rollout(id, true)).unwrap().rollout.unwrap();
    assert_eq!((resumed.paused, resumed.failed), (None, 0));
    assert_eq!(advance(store, 15).devices, all[3..]);
    assert_eq!(upgrades(store, all[3])[0].upgrade.attempts, 2);
    // A device that failed is offered it again by name.
    assert_eq!(offer(store, id, share(100), 16).devices, 0);
    assert_eq!(offer(store, id, OfferTo::Device(all[0]), 16).devices, 1);
    assert_eq!(advance(store, 16).devices, all[..1]);
}

/// What the end of a command means for its upgrade.
pub fn a_command_that_is_over_is_sent_again_and_one_that_is_taken_back_is_not(store: &dyn Store) {
    let all = devices(store, 2);
    let id = add(store, 1, "2.0");
    offer(store, id, share(100), 10);
    advance(store, 10);
    const TWO_DAYS: i64 = 172_800;
    let over = 10 + TWO_DAYS;
    let Written::Upgrade(moved) = command_step(store, all[0], CommandStep::TimePasses, over) else {
        panic!("it waits again");
    };
    assert_eq!((moved.state, state(store, all[0])), (UpgradeState::Waiting, UpgradeState::Waiting));
    block_on(store.cancel_commands(all[1], None, at(over - 1))).unwrap();
    assert_eq!(state(store, all[1]), UpgradeState::Cancelled);
    assert_eq!(advance(store, over).devices, all[..1]);
    command_step(store, all[0], CommandStep::Fetch, over + 1);
    let answered = command_step(store, all[0], reply(7), over + 2);
    let Written::Upgrade(moved) = answered else { panic!("{answered:?}") };
    assert_eq!((moved.state, moved.failure), (UpgradeState::Failed, Some(UpgradeFailure::Refused)));
    let upgrade = &upgrades(store, all[0])[0].upgrade;
    let refused = (UpgradeState::Failed, Some(UpgradeFailure::Refused), Some("words"));
    assert_eq!((upgrade.state, upgrade.failure, upgrade.desc.as_deref()), refused);
}

/// A device is offered one image at a time.
pub fn a_newer_offer_takes_back_an_older_one_and_waits_for_one_under_way(store: &dyn Store) {
    let all = devices(store, 2);
    let (old, new) = (add(store, 1, "2.0"), add(store, 2, "3.0"));
    offer(store, old, share(100), 10);
    advance(store, 10);
    command_step(store, all[1], CommandStep::Fetch, 11);
    let offered = offer(store, new, share(100), 12);
    assert_eq!((offered.devices, offered.queues), (2, vec![all[0]]));
    assert!(open(store, all[0]).is_empty());
    assert_eq!(advance(store, 12).devices, all[..1]);
    let states =
        |device| upgrades(store, device).iter().map(|it| (it.image.id, it.upgrade.state)).collect::<Vec<_>>();
    assert_eq!(states(all[0]), [(new, UpgradeState::Offered), (old, UpgradeState::Cancelled)]);
    assert_eq!(states(all[1]), [(new, UpgradeState::Waiting), (old, UpgradeState::Sent)]);
    progress(store, all[1], -1, 13);
    inform(store, all[1], "1.0", 14);
    assert_eq!(advance(store, 14).devices, all[1..]);
}

/// A device that never answers the command, but does what it says: it is offered nothing any more at the end.
pub fn the_end_of_an_upgrade_takes_back_a_command_that_was_not_answered(store: &dyn Store) {
    let all = devices(store, 2);
    let id = add(store, 1, "2.0");
    offer(store, id, share(100), 10);
    advance(store, 10);
    for device in &all {
        command_step(store, *device, CommandStep::Fetch, 11);
        progress(store, *device, 5, 12);
        assert_eq!(open(store, *device).len(), 1);
    }
    let ends = [progress(store, all[0], -2, 13), inform(store, all[1], "2.0", 13)];
    for (device, end) in all.iter().zip(ends) {
        let Written::Upgrade(moved) = end else { panic!("{end:?}") };
        assert!(moved.state.has_ended() && moved.commands_changed, "{moved:?}");
        assert_eq!(open(store, *device), []);
    }
    // Nor is what was answered taken back.
    offer(store, id, OfferTo::Device(all[0]), 20);
    advance(store, 20);
    command_step(store, all[0], CommandStep::Fetch, 21);
    command_step(store, all[0], reply(200), 22);
    let Written::Upgrade(moved) = progress(store, all[0], -3, 23) else { panic!("it is under way") };
    assert!(!moved.commands_changed);
}

/// A device that is switched off, and some that are reset: none has failed, each may get a newer image, and
/// who did it learns which upgrades have ended.
pub fn a_device_that_is_stopped_has_no_upgrade_under_way(store: &dyn Store) {
    let all = devices(store, 3);
    let id = add(store, 1, "2.0");
    offer(store, id, share(100), 10);
    advance(store, 10);
    for device in &all[..2] {
        command_step(store, *device, CommandStep::Fetch, 11);
        command_step(store, *device, reply(200), 12);
        progress(store, *device, 5, 13);
    }
    let reset = |device| block_on(store.reset_device(device, Secret::new("another".into()), at(14))).unwrap();
    let off = |device| block_on(store.set_device_enabled(device, false, at(14))).unwrap();
    for switched in [off(all[0]), reset(all[1]), reset(all[2])] {
        let told: Vec<_> = switched.stopped.iter().map(|moved| (moved.image, moved.state)).collect();
        assert_eq!(told, [(id, UpgradeState::Cancelled)], "{switched:?}");
        assert!(switched.stopped.iter().all(|moved| moved.changed && !moved.paused));
    }
    // What has ended is not ended again.
    assert_eq!(off(all[0]).stopped, []);
    assert_eq!(reset(all[1]).stopped, []);
    assert!(all.iter().all(|device| open(store, *device).is_empty()));
    let rollout = || block_on(store.image(id)).unwrap().unwrap().rollout.unwrap();
    assert_eq!(advance(store, 14 + 30 * 86_400), Advanced::default());
    assert_eq!((counts(store, id), rollout().failed), (vec![(UpgradeState::Cancelled, 3)], 0));
    block_on(store.set_device_enabled(all[0], true, at(15))).unwrap();
    let newer = add(store, 2, "3.0");
    offer(store, newer, OfferTo::Device(all[0]), 16);
    assert_eq!(advance(store, 16).devices, all[..1]);
}

/// Devices that were never activated, or are switched off.
pub fn a_device_that_cannot_get_it_now_waits(store: &dyn Store) {
    add_product(store, "pk");
    let device = add_device(store, "pk", "dk").id;
    let id = add(store, 1, "2.0");
    offer(store, id, OfferTo::Device(device), 1);
    assert_eq!(advance(store, 1), Advanced::default());
    assert!(!block_on(store.upgrades_due(at(2))).unwrap());
    // Its first login makes it due at once.
    write(store, login(device, at(1)));
    assert_eq!(advance(store, 2).devices, [device]);
    block_on(store.set_device_enabled(device, false, at(3))).unwrap();
    assert_eq!(state(store, device), UpgradeState::Cancelled);
    assert_eq!(inform(store, device, "2.0", 4), Written::DeviceUnavailable);
    offer(store, id, OfferTo::Device(device), 5);
    assert_eq!(advance(store, 5), Advanced::default());
}

/// A script makes no bytes of the offer when the device asks for it.
pub fn an_offer_that_cannot_be_encoded_has_failed(store: &dyn Store) {
    let all = devices(store, 2);
    let id = add(store, 1, "2.0");
    for device in all {
        offer(store, id, OfferTo::Device(device), 10);
        advance(store, 10);
        if device.0 % 2 == 0 {
            command_step(store, device, CommandStep::Fetch, 11);
        }
        let failed = command_step(store, device, CommandStep::NotEncoded { message: "line 3".into() }, 12);
        let Written::Upgrade(moved) = failed else { panic!("{failed:?}") };
        let refused = (UpgradeState::Failed, Some(UpgradeFailure::Refused));
        assert_eq!((moved.state, moved.failure), refused);
        let it = upgrades(store, device).remove(0).upgrade;
        assert_eq!((it.state, it.failure, it.desc.as_deref()), (refused.0, refused.1, Some("line 3")));
        assert_eq!(open(store, device), []);
    }
}

/// A week of silence, in a hole of the coverage, and how it goes on.
pub fn who_begins_and_is_silent_has_failed(store: &dyn Store) {
    let device = devices(store, 1)[0];
    let id = add(store, 1, "2.0");
    offer(store, id, OfferTo::Device(device), 10);
    advance(store, 10);
    command_step(store, device, CommandStep::Fetch, 11);
    const WEEK: i64 = 7 * 86_400;
    progress(store, device, 5, 11);
    assert_eq!(advance(store, WEEK + 10), Advanced::default());
    assert_eq!(state(store, device), UpgradeState::Downloading);
    let [(of, moved)] = advance(store, WEEK + 11).moved[..] else { panic!("one has failed") };
    let silent = (device, UpgradeState::Failed, Some(UpgradeFailure::Silent));
    assert_eq!((of, moved.state, moved.failure), silent);
    assert_eq!(upgrades(store, device)[0].upgrade.failure, Some(UpgradeFailure::Silent));
    let failed = || block_on(store.image(id)).unwrap().unwrap().rollout.unwrap().failed;
    assert_eq!(failed(), 1);
    let fetching = FirmwareStep::Fetching { image: id, fetched: Fetched::First, percent: 0 };
    let Written::Upgrade(moved) = step(store, device, fetching, WEEK + 20) else { panic!("it goes on") };
    assert_eq!((moved.state, moved.failure, failed()), (UpgradeState::Downloading, None, 0));
    advance(store, 2 * WEEK + 20);
    let Written::Upgrade(moved) = progress(store, device, 60, 2 * WEEK + 30) else { panic!("it goes on") };
    assert_eq!((moved.state, failed()), (UpgradeState::Downloading, 0));
    advance(store, 3 * WEEK + 30);
    inform(store, device, "2.0", 3 * WEEK + 40);
    assert_eq!((state(store, device), failed()), (UpgradeState::Done, 0));
    // One that was offered another image meanwhile does not take up the old one.
    let (old, new) = (add(store, 2, "2.1"), add(store, 3, "2.2"));
    offer(store, old, OfferTo::Device(device), 3 * WEEK + 50);
    advance(store, 3 * WEEK + 50);
    command_step(store, device, CommandStep::Fetch, 3 * WEEK + 51);
    progress(store, device, 5, 3 * WEEK + 51);
    advance(store, 4 * WEEK + 51);
    offer(store, new, OfferTo::Device(device), 4 * WEEK + 52);
    advance(store, 4 * WEEK + 52);
    let fetching = FirmwareStep::Fetching { image: old, fetched: Fetched::First, percent: 0 };
    assert_eq!(step(store, device, fetching, 4 * WEEK + 53), Written::NoUpgrade);
    assert_eq!(progress(store, device, 60, 4 * WEEK + 53), Written::UpgradeNotStarted);
}

/// When an image may be removed.
pub fn an_image_goes_when_nobody_needs_it(store: &dyn Store) {
    let all = devices(store, 2);
    let id = add(store, 1, "2.0");
    let delete = || block_on(store.delete_image(id)).expect("the store writes");
    offer(store, id, share(100), 10);
    assert_eq!(delete(), Err(NotDeleted::RolloutGoesOn(2)));
    advance(store, 10);
    command_step(store, all[0], CommandStep::Fetch, 11);
    block_on(store.switch_rollout(id, false)).unwrap();
    assert_eq!(delete(), Err(NotDeleted::UnderWay(1)));
    inform(store, all[0], "2.0", 13);
    assert_eq!(delete(), Err(NotDeleted::RolloutGoesOn(1)));
    advance(store, 14);
    assert_eq!(delete(), Ok(()));
    assert!(matches!(block_on(store.delete_image(id)), Err(StoreError::Missing { .. })));
    assert_eq!((upgrades(store, all[0]), counts(store, id)), (vec![], vec![]));
}

/// What goes with devices and products.
pub fn a_deleted_device_leaves_no_upgrade_and_a_deleted_product_no_image(store: &dyn Store) {
    let device = devices(store, 1)[0];
    let id = add(store, 1, "2.0");
    inform(store, device, "1.0", 5);
    offer(store, id, OfferTo::Device(device), 10);
    block_on(store.delete_device(device, at(11))).unwrap();
    assert_eq!((counts(store, id), block_on(store.version_of(device)).unwrap()), (vec![], None));
    assert_eq!(block_on(store.upgrades(id, Part::first(9))).unwrap().items, []);
    block_on(store.delete_product("pk".to_owned())).unwrap();
    assert_eq!(block_on(store.image(id)).unwrap(), None);
}

/// Steps of the session of an older login.
pub fn a_superseded_session_moves_no_upgrade(store: &dyn Store) {
    let device = devices(store, 1)[0];
    write(store, login(device, at(20)));
    assert_eq!(inform(store, device, "1.0", 21), Written::LoginSuperseded);
    assert_eq!(block_on(store.version_of(device)).unwrap(), None);
}

/// Fills a directory of a format: from format 13 on. An image that is offered to two devices, of which the
/// first has fetched the command and said how far it is and which version it has; and one without a rollout.
///
/// # Panics
/// Where the store refuses.
pub fn fill(store: &dyn Store, product_key: &str, [first, second]: [DeviceId; 2]) {
    const DAY: i64 = 86_400;
    let of_product = |image| Image { product_key: product_key.to_owned(), ..image };
    for (number, version) in [(1, "2.0"), (2, "2.1-b")] {
        block_on(store.add_image(of_product(image(number, version)))).expect("the version is free");
    }
    for device in [first, second] {
        offer(store, image_id(1), OfferTo::Device(device), DAY + 30);
    }
    block_on(store.advance_upgrades(1, ServerName::new("h", 9), at(DAY + 30))).expect("the store writes");
    let upgrade = upgrades(store, first).remove(0).upgrade;
    let (id, session) = (upgrade.command.expect("it was offered"), None);
    let fetch = CommandMove { device: first, id, session, step: CommandStep::Fetch, at: at(DAY + 31) };
    assert!(matches!(write(store, Write::Command(fetch)), Written::Upgrade(_)));
    // The fixture's number of its login is its time.
    let session = CommandSession { login: LoginNumber(at(1).0.unsigned_abs()), secret_version: 1 };
    for (second, step) in [
        (32, FirmwareStep::Inform { version: "1.0".to_owned() }),
        (33, FirmwareStep::Progress { step: 40, desc: Some("so far".to_owned()) }),
    ] {
        let step = FirmwareMove { device: first, session, step, at: at(DAY + second) };
        write(store, Write::Firmware(step));
    }
}

/// What is read of it, one item in a line.
///
/// # Panics
/// Where the store cannot read.
pub fn lines(store: &dyn Store) -> String {
    let images = block_on(store.images(None)).expect("the store reads").items;
    let mut lines = String::new();
    for image in images {
        lines += &format!("{image:?}\n");
        for (name, upgrade) in block_on(store.upgrades(image.id, Part::first(100))).expect("it reads").items {
            let version = block_on(store.version_of(upgrade.device)).expect("the store reads");
            lines += &format!("{} {version:?} {upgrade:?}\n", name.device_key);
        }
    }
    lines
}
