//! Stories of firmware: what devices say of theirs, and the blocks of images.

use std::time::Duration;

use narrowgate_api::happening::Happening;
use narrowgate_coap::{Block, Request};
use narrowgate_engine::event::{SessionId, ShardEvent};
use narrowgate_platform::{
    device_api::ota::image::AT_ONCE_MAX,
    firmware::{Image, ImageId, Sha256Sum, Upgrade, UpgradeFailure, UpgradeState},
    ids::{DeviceName, UnixMillis},
    ports::{ImagePiece, OfferedUpgrade, StoreError, UpgradeMoved, Written},
};

use super::{
    stage::{Kind, Stage, device_id, found},
    stories::served,
};
use crate::{
    Answer, Effect, LiveChange,
    firmware::{BLOCKS_MAX, FIRST_BLOCKS_MAX, WAITING_MAX},
};

/// Bytes of the image: ten blocks.
const SIZE: usize = 10 * 1024;
const PATH: &str = "/ota/Ab3dEf7h";

fn image_id() -> ImageId {
    "Ab3dEf7h".parse().expect("8 letters and digits")
}

fn full() -> StoreError {
    StoreError::Unavailable("the disk is full".into())
}

/// An upgrade of device d in a state.
fn offered(version: &str, state: UpgradeState) -> OfferedUpgrade {
    let mut upgrade = Upgrade::new(device_id("d"), image_id(), UnixMillis(0));
    upgrade.state = state;
    let (product_key, version, sha256) = ("p".to_owned(), version.to_owned(), Sha256Sum([7; 32]));
    let (size, uploaded) = (SIZE as u64, UnixMillis(0));
    let image = Image { id: image_id(), product_key, version, size, sha256, uploaded, rollout: None };
    OfferedUpgrade { upgrade, image }
}

fn moved(commands_changed: bool) -> Written {
    Written::Upgrade(UpgradeMoved { commands_changed, ..upgrade_moved("downloading") })
}

/// The upgrade of device d is in this state now.
fn upgrade_moved(state: &str) -> UpgradeMoved {
    let state = *UpgradeState::ALL.iter().find(|known| known.name() == state).expect("the name of a state");
    let failure = (state == UpgradeState::Failed).then_some(UpgradeFailure::Burn);
    let (image, progress, changed) = (image_id(), Some(5), true);
    UpgradeMoved { image, state, failure, progress, changed, commands_changed: false, paused: false }
}

impl Stage {
    /// What a device says or asks of firmware.
    pub(super) fn firmware_event(&mut self, session: SessionId, words: &[&str]) -> ShardEvent {
        let request = match words {
            ["informs", version] => told("inform", &format!(r#"{{"version":"{version}"}}"#)),
            ["is", "at", step] => told("progress", &format!(r#"{{"step":"{step}"}}"#)),
            ["asks", "for", "versions"] => told("getversion", "{}"),
            ["fetches", number] => block(number, PATH),
            ["fetches", number, "by", "16"] => {
                let number = number.parse().expect("a number of a block");
                Request { block2: Block::new(number, false, 16), ..Request::get(PATH) }
            }
            ["fetches", number, "of", image] => block(number, &format!("/ota/{image}")),
            _ => panic!("{words:?} is no event"),
        };
        self.request(session, request)
    }

    /// What the store answers.
    pub(super) fn firmware_answer(&mut self, answer: &str) {
        match answer {
            "moved" => self.written(&Ok(vec![moved(false)])),
            "moved not" => {
                let moved = UpgradeMoved { changed: false, ..upgrade_moved("burning") };
                self.written(&Ok(vec![Written::Upgrade(moved)]));
            }
            "moved with its command" => self.written(&Ok(vec![moved(true)])),
            "no upgrade" => self.written(&Ok(vec![Written::NoUpgrade])),
            "not started" => self.written(&Ok(vec![Written::UpgradeNotStarted])),
            "offers 2.0" => {
                let states = [("2.0", UpgradeState::Offered), ("1.0", UpgradeState::Done)];
                self.upgrades(Ok(states.map(|(version, state)| offered(version, state)).into()));
            }
            "offers fail" => self.upgrades(Err(full())),
            "piece" => self.piece(Ok(Some(1024))),
            "small piece" => self.piece(Ok(Some(16))),
            "no piece" => self.piece(Ok(Some(0))),
            "no image" => self.piece(Ok(None)),
            "piece fails" => self.piece(Err(full())),
            "piece is damaged" => self.piece(Err(StoreError::Damaged("its file is missing".into()))),
            _ if answer.starts_with("found ") => self.lookup(Ok(found(&answer[6..], true, true))),
            _ => match answer.strip_prefix("upgrade ") {
                Some(state) => self.written(&Ok(vec![Written::Upgrade(upgrade_moved(state))])),
                None => panic!("{answer:?} is no input"),
            },
        }
    }

    fn upgrades(&mut self, answer: Result<Vec<OfferedUpgrade>, StoreError>) {
        let token = self.take(Kind::Upgrades);
        self.gateway.handle_answer(self.now, token, Answer::Upgrades(answer));
    }

    /// So many bytes of the image.
    fn piece(&mut self, answer: Result<Option<usize>, StoreError>) {
        let token = self.take(Kind::Piece);
        let piece = |bytes| ImagePiece { bytes: vec![b'f'; bytes], size: SIZE as u64, etag: [7; 8] };
        self.gateway.handle_answer(self.now, token, Answer::ImagePiece(answer.map(|it| it.map(piece))));
    }
}

fn block(number: &str, path: &str) -> Request {
    let number = number.parse().expect("a number of a block");
    Request { block2: Block::new(number, false, 1024), ..Request::get(path) }
}

fn told(topic: &str, params: &str) -> Request {
    let body = format!(r#"{{"id":"1","params":{params}}}"#);
    Request::post(&format!("/topic/sys/p/d/ota/device/{topic}"), 50, body)
}

#[test]
fn what_a_device_says_is_answered_when_it_is_durable() {
    let mut stage = served();
    for (outcome, effects) in [
        ("moved", "tell upgrade, s1 2.04"),
        ("moved not", "s1 2.04"),
        ("done", "s1 2.04"),
        ("unchanged", "s1 2.04"),
    ] {
        assert_eq!(stage.play("s1 informs 2.0"), "write inform 2.0");
        assert_eq!(stage.play(outcome), effects, "{outcome}");
    }
    assert_eq!(stage.play("s1 is at -3; moved"), "write progress -3, tell upgrade, s1 2.04");
    for (outcome, effects) in [
        ("no upgrade", "s1 2.04, write no_upgrade"),
        ("not started", "s1 2.04, write no_upgrade"),
        ("write fails", "s1 5.03"),
        ("outrun", "write log, s1 4.03"),
        ("refused", "write device_disabled, s1 4.03"),
    ] {
        let mut stage = served();
        stage.play("s1 is at 5");
        assert_eq!(stage.play(outcome), effects, "{outcome}");
    }
    assert!(stage.gateway.is_settled());
}

#[test]
fn a_command_that_is_taken_back_with_an_upgrade_is_named_no_more() {
    let mut stage = served();
    stage.play("send set; commands");
    assert_eq!(stage.play("s1 informs 2.0; moved"), "write inform 2.0, tell upgrade, s1 2.04 (set)");
    stage.open.clear();
    let taken_back = stage.play("s1 informs 2.0; moved with its command");
    assert_eq!(taken_back, "write inform 2.0, tell upgrade, read commands, s1 2.04 (set)");
    stage.play("commands");
    assert_eq!(stage.play("s1 posts; done"), "write report, tell report, s1 2.04");
}

#[test]
fn the_versions_that_a_device_may_fetch_are_those_that_are_open() {
    let mut stage = served();
    assert_eq!(stage.play("s1 asks for versions"), "read upgrades");
    assert_eq!(stage.play("offers 2.0"), "s1 2.04");
    assert_eq!(stage.play("s1 asks for versions; offers fail"), "read upgrades, s1 5.03");
    assert!(stage.gateway.is_settled());
}

#[test]
fn a_block_is_read_for_each_request_and_the_first_and_last_are_written_down() {
    let mut stage = served();
    assert_eq!(stage.play("s1 fetches 0"), "read 1024 bytes at 0");
    assert_eq!(stage.play("piece"), "s1 2.05, write first block");
    assert_eq!(stage.play("moved"), "tell upgrade");
    // Again, after the answer was lost.
    assert_eq!(
        stage.play("s1 fetches 0; piece; no upgrade"),
        "read 1024 bytes at 0, s1 2.05, write first block"
    );
    assert_eq!(
        stage.play("s1 fetches 9; piece; write fails"),
        "read 1024 bytes at 9216, s1 2.05, write last block"
    );
    let behind = "read 1024 bytes at 10240, s1 4.00, write option_unsupported";
    assert_eq!(stage.play("s1 fetches 10; no piece"), behind);
    assert_eq!(stage.play("done; s1 fetches 3; no image").rsplit(", ").nth(1), Some("s1 4.04"));
    assert_eq!(stage.play("done; s1 fetches 3; piece fails").rsplit(", ").next(), Some("s1 5.03"));
    // Nobody is left who could be answered.
    stage.play("s1 fetches 3; s1 leaves; done; piece; moved");
    assert!(stage.gateway.is_settled());
}

#[test]
fn a_device_waits_for_few_blocks_at_once_and_others_do_not_wait_for_it() {
    let mut stage = served();
    (0..AT_ONCE_MAX).for_each(|_| drop(stage.play("s1 fetches 1")));
    assert_eq!(stage.play("s1 fetches 1"), "s1 4.29");
    assert_eq!(stage.play("piece"), "s1 2.05, write first block");
    assert_eq!(stage.play("s1 fetches 1"), "read 1024 bytes at 1024");
    assert_eq!(stage.count(Kind::Piece), AT_ONCE_MAX);
    const { assert!(BLOCKS_MAX > AT_ONCE_MAX && WAITING_MAX > BLOCKS_MAX) };
}

/// An image is compared before its first block is given, however many devices wait for that.
#[test]
fn blocks_of_an_image_that_was_read_do_not_wait_for_those_of_one_that_was_not() {
    let mut stage = served();
    stage.play("s1 fetches 1; piece; moved");
    for (number, letter) in (2..18).zip('f'..) {
        let logs_in = format!("h{number} wants p,{letter},2,60; found {letter}; h{number} connects; done");
        stage.play(&logs_in);
        (0..AT_ONCE_MAX).for_each(|_| drop(stage.play(&format!("s{number} fetches 1 of IMAGE002"))));
    }
    assert_eq!(stage.count(Kind::Piece), FIRST_BLOCKS_MAX);
    assert_eq!(stage.play("s1 fetches 2"), "read 1024 bytes at 2048");
    // Once a block of it was read, those that come wait no more.
    stage.play("piece; moved");
    assert_eq!(stage.count(Kind::Piece), FIRST_BLOCKS_MAX + 1);
    assert_eq!(stage.play("s2 fetches 3 of IMAGE002"), "read 1024 bytes at 3072");
    // … until its file is not as it was.
    for _ in 0..16 * AT_ONCE_MAX + 1 {
        stage.play("piece is damaged");
    }
    (0..=FIRST_BLOCKS_MAX).for_each(|n| drop(stage.play(&format!("s{} fetches 1 of IMAGE002", n % 16 + 2))));
    assert_eq!(stage.count(Kind::Piece), FIRST_BLOCKS_MAX);
}

/// While the store is slow, however often it asks: writes for which nobody waits have a bound.
#[test]
fn that_a_device_fetches_is_written_down_once_at_a_time() {
    let mut stage = served();
    assert_eq!(stage.play("s1 fetches 0; piece"), "read 1024 bytes at 0, s1 2.05, write first block");
    for _ in 0..3 {
        assert_eq!(stage.play("s1 fetches 0; piece"), "read 1024 bytes at 0, s1 2.05");
    }
    assert_eq!(stage.play("s1 fetches 9; piece"), "read 1024 bytes at 9216, s1 2.05, write last block");
    assert_eq!(stage.play("s1 fetches 9; piece"), "read 1024 bytes at 9216, s1 2.05");
    stage.play("moved; write fails");
    assert!(stage.gateway.is_settled());
    for (number, at, kind) in [(0, 0, "first"), (9, 9216, "last")] {
        let again = format!("read 1024 bytes at {at}, s1 2.05, write {kind} block");
        assert_eq!(stage.play(&format!("s1 fetches {number}; piece")), again);
    }
}

/// `status` counts requests that were answered 5.03, and nobody waits for what is written down of a block.
#[test]
fn a_block_that_cannot_be_written_down_counts_as_no_request_that_was_refused() {
    let mut stage = served();
    let refused = |stage: &Stage| {
        let shown = stage.gateway.unwritten().shown(stage.now.wall);
        shown.map(|shown| shown.last_minute)
    };
    stage.play("s1 fetches 0; piece");
    assert_eq!(stage.play("write fails"), "");
    assert_eq!(refused(&stage), Some(0));
    assert_eq!(stage.play("s1 informs 2.0; write fails"), "write inform 2.0, s1 5.03");
    assert_eq!(refused(&stage), Some(1));
}

/// A block that crosses no tenth of the image: a slow device needs days from one to the next.
#[test]
fn of_a_device_that_fetches_slowly_a_block_an_hour_is_written_down() {
    let mut stage = served();
    let (fetches, read) = ("s1 fetches 100 by 16; small piece", "read 16 bytes at 1600, s1 2.05");
    assert_eq!(stage.play(fetches), format!("{read}, write first block"));
    stage.play("moved");
    assert_eq!(stage.play(fetches), read);
    stage.now.instant += Duration::from_secs(3600);
    assert_eq!(stage.play(fetches), format!("{read}, write first block"));
    stage.play("moved");
    assert!(stage.gateway.is_settled());
}

#[test]
fn a_long_topic_of_a_command_does_not_make_blocks_smaller() {
    let mut stage = served();
    stage.play("send set; commands");
    assert_eq!(
        stage.play("s1 fetches 2; piece"),
        "read 1024 bytes at 2048, s1 2.05 (set), write first block"
    );
    let service = "s".repeat(100);
    stage.play(&format!("cancel 1; commands; send {service}; commands; moved"));
    assert_eq!(stage.play("s1 fetches 2; piece"), "read 1024 bytes at 2048, s1 2.05, write first block");
}

/// What was told of upgrades since the last call, each in words.
fn told_of(stage: &mut Stage) -> Vec<String> {
    let told = std::mem::take(&mut stage.upgrades);
    told.iter()
        .map(|it| {
            let (state, reason) = (it.state.name(), it.reason.map(UpgradeFailure::name));
            let of = it.device.as_ref().map(|name| &*name.device_key);
            format!(
                "{of:?} {state} {reason:?} {:?} {:?} {:?} {:?}",
                it.code, it.progress, it.fetched, it.desc
            )
        })
        .collect()
}

/// From the offer to its end, each step with its place in the commits, and what failed with its code.
#[test]
fn each_step_of_an_upgrade_is_told_and_its_end_is_counted() {
    let mut stage = served();
    let (device, moved) = (device_id("d"), upgrade_moved("offered"));
    let offered = LiveChange::UpgradeMoved { device, name: None, moved };
    stage.gateway.handle_change(stage.now, &offered);
    assert_eq!(stage.play("send upgrade; commands"), "tell upgrade, read commands, tell command");
    assert_eq!(told_of(&mut stage), [r#"None offered None None Some(5) None None"#]);
    stage.places.clear();
    let fetched = stage.play("s1 gets upgrade; upgrade sent");
    assert!(fetched.starts_with("write fetch 1, tell command, tell upgrade, s1 2.05"), "{fetched}");
    assert!(stage.places.iter().all(|place| place.is_some_and(|at| Some(at) == stage.places[0])));
    assert_eq!(told_of(&mut stage), [r#"Some("d") sent None None Some(5) None None"#]);
    let answered = stage.play("s1 replies upgrade 1 1102; upgrade failed");
    assert!(answered.ends_with("tell command, tell upgrade, s1 2.04"), "{answered}");
    assert_eq!(told_of(&mut stage), [r#"Some("d") failed Some("burn") Some(1102) Some(5) None None"#]);
    stage.play("s1 informs 2.0; upgrade done");
    assert_eq!(told_of(&mut stage), [r#"Some("d") done None None Some(5) None None"#]);
    // Without a change of it nothing ends twice.
    stage.play("s1 informs 2.0; moved not; s1 informs 2.0; unchanged");
    assert!(told_of(&mut stage).is_empty());
    let silent = LiveChange::UpgradeMoved { device, name: None, moved: upgrade_moved("failed") };
    stage.gateway.set_followers(crate::Followers::None);
    stage.gateway.handle_change(stage.now, &silent);
    let ended: Vec<_> = stage.gateway.counters().upgrades_ended().collect();
    assert_eq!(ended, [("done", 1), ("failed", 2)]);
}

/// A purge removes a device before its keys could be looked up.
#[test]
fn an_upgrade_whose_device_is_named_is_told_with_its_keys_and_nobody_looks_them_up() {
    let mut stage = served();
    let (device, moved) = (device_id("d"), upgrade_moved("cancelled"));
    let key = |key: &str| DeviceName { product_key: "p".to_owned(), device_key: key.to_owned() };
    for (name, looked_up) in [(Some(key("gone")), None), (None, Some(device))] {
        let change = LiveChange::UpgradeMoved { device, name: name.clone(), moved };
        stage.gateway.handle_change(stage.now, &change);
        let told: Vec<_> = std::iter::from_fn(|| stage.gateway.poll_effect())
            .filter_map(|effect| match effect {
                Effect::Tell(_, Happening::Upgrade(upgrade), device) => Some((upgrade.device, device)),
                _ => None,
            })
            .collect();
        assert_eq!(told, [(name, looked_up)]);
    }
}

/// A device that fetches all blocks, some of them again.
#[test]
fn an_image_is_told_by_its_tenths_and_its_blocks_are_counted() {
    let mut stage = served();
    for number in 0..10 {
        for _ in 0..3 {
            stage.play(&format!("s1 fetches {number}; piece; moved"));
        }
    }
    let fetched: Vec<_> = stage.upgrades.iter().map(|upgrade| upgrade.fetched).collect();
    assert_eq!(fetched, (1..=10).map(|tenth| Some(tenth * 10)).collect::<Vec<_>>());
    assert_eq!(stage.gateway.counters().image_blocks(), (30, 30 * 1024));
    // What is no block is not counted as one.
    stage.play("s1 fetches 3; no image; done; s1 fetches 3; piece fails");
    assert_eq!(stage.gateway.counters().image_blocks().0, 30);
}
