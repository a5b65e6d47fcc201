//! Commands to devices.

use super::fixtures::{add_device, append, at, device, login, login_with, one_device, presence, write};
use crate::{
    ids::{DeviceId, LoginNumber, UnixMillis},
    model::{
        command::{
            Command, CommandId, CommandMove, CommandSession, CommandState, CommandStep, CommandTopic,
            Expected, ExpectedOutcome, Order,
        },
        device::DeviceState,
    },
    paging::{PAGE_BYTES_MAX, Part},
    ports::{Store, StoreError, Write, Written},
    rules::commands::{ENDED_MAX, ENDED_REPLY_BYTES_MAX, NotSent, OPEN_MAX_DEFAULT},
    secret::Secret,
    testing::block_on,
};

/// What is sent for an hour, with 30 s to answer.
fn order(topic: CommandTopic) -> Order {
    Order { topic, params_json: r#"{"temp":30.50}"#.into(), pending_ttl_s: 3600, timeout_s: 30, raw: None }
}

fn try_to_send(store: &dyn Store, id: DeviceId, order: Order, now: UnixMillis) -> Result<Command, NotSent> {
    block_on(store.send_command(id, order, now)).expect("the store writes")
}

fn send(store: &dyn Store, id: DeviceId, now: UnixMillis) -> CommandId {
    try_to_send(store, id, order(CommandTopic::Set), now).expect("it may be sent").id
}

/// A device that logged in at second 1.
fn activated(store: &dyn Store) -> DeviceId {
    let id = one_device(store, "dk");
    write(store, login(id, at(1)));
    id
}

fn session() -> Option<CommandSession> {
    Some(CommandSession { login: LoginNumber(at(1).0.unsigned_abs()), secret_version: 1 })
}

fn step(
    store: &dyn Store,
    (device, id): (DeviceId, CommandId),
    session: Option<CommandSession>,
    step: CommandStep,
    now: UnixMillis,
) -> Written {
    write(store, Write::Command(CommandMove { device, id, session, step, at: now }))
}

fn fetch(store: &dyn Store, which: (DeviceId, CommandId), now: UnixMillis) -> Written {
    step(store, which, session(), CommandStep::Fetch, now)
}

fn reply(store: &dyn Store, which: (DeviceId, CommandId), code: i64, now: UnixMillis) -> Written {
    let data_json = Some(r#"{"a":1.0}"#.into());
    step(store, which, session(), CommandStep::Reply { code, data_json, message: None }, now)
}

fn command(store: &dyn Store, (device, id): (DeviceId, CommandId)) -> Command {
    block_on(store.command(device, id)).expect("the store reads").expect("it is kept")
}

fn open(store: &dyn Store, device: DeviceId) -> Vec<u32> {
    let open = block_on(store.open_commands(device)).expect("the store reads");
    open.into_iter().map(|command| command.id.0).collect()
}

fn kept(store: &dyn Store, device: DeviceId) -> Vec<u32> {
    let page = block_on(store.commands(device, Part::first(usize::MAX))).expect("the store reads");
    page.items.into_iter().map(|command| command.id.0).collect()
}

fn cancel(store: &dyn Store, device: DeviceId, id: Option<CommandId>, now: UnixMillis) -> Vec<u32> {
    let cancelled = block_on(store.cancel_commands(device, id, now)).expect("the store writes");
    cancelled.into_iter().map(|command| command.id.0).collect()
}

/// Sent, fetched, answered: each state and its time is read as it was written.
pub fn a_command_goes_its_way_and_is_kept(store: &dyn Store) {
    let id = activated(store);
    let sent = try_to_send(store, id, order(CommandTopic::Set), at(10)).expect("it may be sent");
    assert_eq!(sent, Command::new(CommandId(1), order(CommandTopic::Set), at(10)));
    let which = (id, sent.id);
    assert_eq!(command(store, which), sent);
    assert_eq!(fetch(store, which, at(20)), Written::Done);
    assert_eq!(fetch(store, which, at(21)), Written::Unchanged, "the device has it");
    let first = Some(at(20));
    let fetched = Command { state: CommandState::Sent, sent: first, fetched: first, ..sent };
    assert_eq!(command(store, which), fetched);
    assert_eq!(fetch(store, which, at(60)), Written::Done, "it is offered again");
    assert_eq!(reply(store, which, 200, at(70)), Written::Done);
    let answered = Command {
        state: CommandState::Succeeded,
        sent: Some(at(60)),
        code: Some(200),
        data_json: Some(r#"{"a":1.0}"#.into()),
        ended: Some(at(70)),
        ..fetched
    };
    assert_eq!(command(store, which), answered);
    assert_eq!((open(store, id), kept(store, id)), (vec![], vec![1]));
    let other = (id, send(store, id, at(80)));
    fetch(store, other, at(81));
    assert_eq!(reply(store, other, 1102, at(82)), Written::Done);
    assert_eq!((command(store, other).state, command(store, other).code), (CommandState::Failed, Some(1102)));
}

/// What was expected is kept as it was, and the first time that a command was fetched.
pub fn what_is_expected_of_a_command_is_kept(store: &dyn Store) {
    let id = activated(store);
    let expected = Some(Expected { at: at(25), spread: 6_500 });
    let sent = block_on(store.send_expected_command(id, (order(CommandTopic::Set), expected), at(10)));
    let sent = sent.expect("the store writes").expect("it may be sent");
    assert_eq!((sent.expected, sent.fetched), (expected, None));
    let which = (id, sent.id);
    assert_eq!(command(store, which), sent);
    assert_eq!(fetch(store, which, at(20)), Written::Done);
    assert_eq!(fetch(store, which, at(60)), Written::Done, "it is offered again");
    let fetched = command(store, which);
    assert_eq!((fetched.sent, fetched.fetched), (Some(at(60)), Some(at(20))));
    assert_eq!(fetched.expected_outcome(), Some(ExpectedOutcome::Within));
    let page = block_on(store.commands(id, Part::first(10))).expect("the store reads");
    assert_eq!(page.items, [fetched]);
}

/// The errors of the issuer.
pub fn a_command_is_sent_only_where_the_rules_permit_it(store: &dyn Store) {
    let id = one_device(store, "dk");
    let (cached, instant) =
        (order(CommandTopic::Get), Order { pending_ttl_s: 0, ..order(CommandTopic::Get) });
    assert_eq!(try_to_send(store, id, cached.clone(), at(1)), Err(NotSent::NotActivated));
    write(store, login(id, at(1)));
    assert!(try_to_send(store, id, instant.clone(), at(2)).is_ok(), "it is online");
    write(store, presence(id, DeviceState::Offline, at(3), "silent"));
    assert_eq!(try_to_send(store, id, instant, at(4)), Err(NotSent::Offline));
    assert!(try_to_send(store, id, cached.clone(), at(4)).is_ok());
    let nobody = block_on(store.send_command(DeviceId(999), cached, at(5)));
    assert!(matches!(nobody, Err(StoreError::Missing { what: "device", .. })), "{nobody:?}");
}

/// Any that has ended makes room.
pub fn a_device_has_fifty_open_commands_and_no_more(store: &dyn Store) {
    assert_eq!(OPEN_MAX_DEFAULT, 50);
    a_device_has_so_many_open_commands_and_no_more(store, 50);
}

/// The same of a store that was told another number.
pub fn a_device_has_so_many_open_commands_and_no_more(store: &dyn Store, open_max: usize) {
    let full = Err(NotSent::QueueFull { open_max });
    let next = CommandId(u32::try_from(open_max).expect("it is a small number") + 1);
    let id = activated(store);
    let ids: Vec<CommandId> = (0..open_max).map(|_| send(store, id, at(2))).collect();
    let more = || try_to_send(store, id, order(CommandTopic::Set), at(3));
    assert_eq!(more(), full);
    let other = add_device(store, "pk", "other").id;
    write(store, login(other, at(1)));
    assert_eq!(send(store, other, at(3)), CommandId(1), "another device has a queue of its own");
    cancel(store, id, Some(ids[open_max / 2]), at(4));
    assert_eq!(more().map(|command| command.id), Ok(next));
    assert_eq!(more(), full);
    assert_eq!(try_to_send(store, id, order(CommandTopic::Set), at(3601)), full, "none is over");
    let later = try_to_send(store, id, order(CommandTopic::Set), at(3603));
    assert_eq!(later.map(|command| command.id), Ok(CommandId(next.0 + 1)), "all are over");
}

/// Where no server runs, nobody writes down that their time is over.
pub fn commands_whose_time_is_over_make_room(store: &dyn Store) {
    let id = activated(store);
    let ids: Vec<CommandId> = (0..OPEN_MAX_DEFAULT).map(|_| send(store, id, at(2))).collect();
    fetch(store, (id, ids[1]), at(3590));
    let more = |now| try_to_send(store, id, order(CommandTopic::Set), now);
    assert_eq!(more(at(3601)), Err(NotSent::QueueFull { open_max: OPEN_MAX_DEFAULT }));
    assert_eq!(more(at(3602)).map(|command| command.id), Ok(CommandId(51)));
    assert_eq!(open(store, id), [2, 51], "the device still has the second one");
    let ended = command(store, (id, ids[0]));
    assert_eq!((ended.state, ended.ended), (CommandState::Expired, Some(at(3602))));
}

/// The order in which they are offered.
pub fn open_commands_come_in_their_order_and_are_taken_up_at_a_start(store: &dyn Store) {
    let id = activated(store);
    let other = add_device(store, "pk", "other").id;
    write(store, login(other, at(1)));
    // The clock may have been set back meanwhile.
    let sent =
        [send(store, id, at(9)), send(store, other, at(8)), send(store, id, at(7)), send(store, id, at(6))];
    fetch(store, (id, sent[2]), at(10));
    reply(store, (id, sent[2]), 200, at(11));
    fetch(store, (id, sent[0]), at(12));
    assert_eq!((open(store, id), open(store, other)), (vec![1, 3], vec![1]));
    let taken_up = block_on(store.recover()).expect("the store reads").commands;
    let of = |device| -> Vec<u32> {
        let of_device = taken_up.iter().filter(|open| open.device == device);
        of_device.map(|open| open.command.id.0).collect()
    };
    assert_eq!((of(id), of(other)), (vec![1, 3], vec![1]));
    assert_eq!(taken_up.iter().filter(|open| open.command == command(store, (id, sent[0]))).count(), 1);
}

/// One, or all that are left.
pub fn commands_that_are_taken_back_are_not_fetched(store: &dyn Store) {
    let id = activated(store);
    let ids: Vec<CommandId> = (0..4).map(|_| send(store, id, at(2))).collect();
    assert_eq!(cancel(store, id, Some(ids[1]), at(3)), [2]);
    assert_eq!(cancel(store, id, Some(ids[1]), at(4)), [0; 0], "it has ended");
    assert_eq!(command(store, (id, ids[1])).ended, Some(at(3)));
    assert_eq!(fetch(store, (id, ids[1]), at(5)), Written::CommandOver);
    assert_eq!(fetch(store, (id, ids[2]), at(5)), Written::Done);
    assert_eq!(cancel(store, id, None, at(6)), [1, 3, 4], "also what the device has");
    assert_eq!(reply(store, (id, ids[2]), 200, at(7)), Written::CommandOver);
    assert_eq!(command(store, (id, ids[2])).state, CommandState::Cancelled);
    assert_eq!(command(store, (id, ids[2])).code, None);
    let unknown = block_on(store.cancel_commands(id, Some(CommandId(77)), at(8)));
    assert!(matches!(unknown, Err(StoreError::Missing { what: "command", .. })), "{unknown:?}");
}

/// As with reports: the session must be that of the newest login and secret.
pub fn a_superseded_login_neither_fetches_nor_answers(store: &dyn Store) {
    let id = activated(store);
    let which = (id, send(store, id, at(2)));
    write(store, login(id, at(3)));
    assert_eq!(fetch(store, which, at(4)), Written::LoginSuperseded);
    let newest = CommandSession { login: LoginNumber(at(3).0.unsigned_abs()), secret_version: 1 };
    assert_eq!(step(store, which, Some(newest), CommandStep::Fetch, at(4)), Written::Done);
    assert_eq!(reply(store, which, 200, at(5)), Written::LoginSuperseded);
    let unknown = CommandSession { login: LoginNumber(u64::MAX >> 1), ..newest };
    assert_eq!(step(store, which, Some(unknown), CommandStep::Fetch, at(5)), Written::LoginUnknown);
    let old = CommandSession { secret_version: 0, ..newest };
    assert_eq!(step(store, which, Some(old), CommandStep::Fetch, at(5)), Written::SecretSuperseded);
    assert_eq!(command(store, which).state, CommandState::Sent);
    block_on(store.set_device_enabled(id, false, at(6))).expect("the store writes");
    assert_eq!(step(store, which, Some(newest), CommandStep::Fetch, at(7)), Written::DeviceUnavailable);
}

/// What is unknown, was never fetched, or has ended.
pub fn a_step_that_is_not_permitted_changes_nothing(store: &dyn Store) {
    let id = activated(store);
    let which = (id, send(store, id, at(2)));
    assert_eq!(fetch(store, (id, CommandId(9)), at(3)), Written::CommandOver);
    assert_eq!(fetch(store, (DeviceId(999), which.1), at(3)), Written::DeviceUnavailable);
    assert_eq!(reply(store, which, 200, at(3)), Written::CommandOver, "nobody has fetched it");
    assert_eq!(step(store, which, None, CommandStep::TimePasses, at(3)), Written::Unchanged);
    assert_eq!(command(store, which), Command::new(which.1, order(CommandTopic::Set), at(2)));
    fetch(store, which, at(4));
    reply(store, which, 200, at(5));
    let answered = command(store, which);
    assert_eq!(reply(store, which, 1101, at(6)), Written::CommandOver);
    assert_eq!(fetch(store, which, at(6)), Written::CommandOver);
    assert_eq!(command(store, which), answered);
}

/// Expired, or timed out.
pub fn a_command_is_over_when_its_time_is(store: &dyn Store) {
    let id = activated(store);
    let instant = Order { pending_ttl_s: 0, ..order(CommandTopic::Set) };
    let ids: Vec<CommandId> =
        (0..2).map(|_| try_to_send(store, id, instant.clone(), at(2)).expect("it is online").id).collect();
    fetch(store, (id, ids[1]), at(10));
    let passes: Vec<Write> = ids
        .iter()
        .map(|&command| {
            let (session, step, at) = (None, CommandStep::TimePasses, at(100));
            Write::Command(CommandMove { device: id, id: command, session, step, at })
        })
        .collect();
    assert_eq!(append(store, passes), [Written::Done, Written::Done]);
    let ended = |command| (command_state(store, id, command), self::command(store, (id, command)).ended);
    assert_eq!(ended(ids[0]), (CommandState::Expired, Some(at(32))));
    assert_eq!(ended(ids[1]), (CommandState::TimedOut, Some(at(40))));
    assert_eq!(open(store, id), [0; 0]);
}

fn command_state(store: &dyn Store, device: DeviceId, id: CommandId) -> CommandState {
    command(store, (device, id)).state
}

/// It may not fetch them, and whoever switches it on again gives it new ones.
pub fn a_device_that_is_switched_off_loses_the_commands_that_wait(store: &dyn Store) {
    let id = activated(store);
    let sent = [at(2), at(3)].map(|at| send(store, id, at));
    fetch(store, (id, sent[0]), at(4));
    block_on(store.set_device_enabled(id, false, at(5))).expect("the store writes");
    assert_eq!(sent.map(|command| command_state(store, id, command)), [CommandState::Cancelled; 2]);
    block_on(store.set_device_enabled(id, true, at(6))).expect("the store writes");
    assert_eq!(open(store, id), [0; 0]);
}

/// A device with another secret may be another one.
pub fn a_reset_device_gets_none_of_its_commands_and_a_deleted_one_leaves_none(store: &dyn Store) {
    let id = activated(store);
    let which = (id, send(store, id, at(2)));
    block_on(store.reset_device(id, Secret::new("another".to_owned()), at(3))).expect("the store writes");
    assert_eq!(command_state(store, id, which.1), CommandState::Cancelled);
    assert_eq!(try_to_send(store, id, order(CommandTopic::Set), at(4)), Err(NotSent::NotActivated));
    write(store, login_with(id, at(5), 2));
    assert_eq!(send(store, id, at(6)), CommandId(2), "the id is not used again");
    block_on(store.delete_device(id, at(7))).expect("the store writes");
    assert_eq!((open(store, id), kept(store, id)), (vec![], vec![]));
    assert_eq!(block_on(store.command(id, which.1)).expect("the store reads"), None);
    assert_eq!(block_on(store.recover()).expect("the store reads").commands, []);
    let again = add_device(store, "pk", "dk").id;
    assert_eq!((kept(store, again), device(store, again).state), (vec![], DeviceState::Inactive));
    write(store, login(again, at(8)));
    assert_eq!(send(store, again, at(9)), CommandId(3), "the device of this key may remember those before");
}

/// Of a server whose clock was years ahead, or restored from a copy of such a one.
pub fn an_id_far_ahead_of_the_clock_is_forgotten_with_its_device(store: &dyn Store) {
    let id = activated(store);
    let year = 365 * 86_400;
    assert!(send(store, id, at(20 * year)) > CommandId(year as u32));
    block_on(store.delete_device(id, at(9))).expect("the store writes");
    let other = add_device(store, "pk", "dk").id;
    write(store, login(other, at(10)));
    assert_eq!(send(store, other, at(11)), CommandId(1));
}

/// Seven days after their end, and the oldest beyond a thousand.
pub fn old_commands_go_when_a_new_one_is_sent_and_no_id_comes_twice(store: &dyn Store) {
    let id = activated(store);
    let day = 86_400;
    send(store, id, at(2));
    cancel(store, id, None, at(3));
    let kept_still = send(store, id, at(7 * day + 3));
    assert_eq!((kept_still, kept(store, id)), (CommandId(2), vec![2, 1]));
    assert_eq!((send(store, id, at(7 * day + 4)), kept(store, id)), (CommandId(3), vec![3, 2]));
    cancel(store, id, None, at(7 * day + 5));
    for _ in 0..ENDED_MAX {
        send(store, id, at(7 * day + 6));
        cancel(store, id, None, at(7 * day + 6));
    }
    let last = send(store, id, at(7 * day + 7));
    let kept = kept(store, id);
    assert_eq!((last, kept.len()), (CommandId(1004), ENDED_MAX + 1));
    assert!(kept.is_sorted_by(|later, earlier| later > earlier), "newest first");
}

/// Those that ended first, where the replies have more than a mebibyte; others keep theirs.
pub fn old_replies_go_where_they_have_too_many_bytes(store: &dyn Store) {
    let id = activated(store);
    let half = ENDED_REPLY_BYTES_MAX / 4;
    let answered = |data: usize, message: usize| {
        let which = (id, send(store, id, at(2)));
        fetch(store, which, at(3));
        // Each letter has two bytes.
        let data_json = (data > 0).then(|| format!("\"{}\"", "\u{e4}".repeat((data - 2) / 2)).into());
        let message = (message > 0).then(|| "\u{e4}".repeat(message / 2).into());
        let reply = CommandStep::Reply { code: 200, data_json, message };
        assert_eq!(step(store, which, session(), reply, at(4)), Written::Done);
        which.1.0
    };
    let other = add_device(store, "pk", "other").id;
    write(store, login(other, at(1)));
    let of_other = send(store, other, at(2));
    let ids = [answered(0, 0), answered(half, half), answered(half, 0), answered(0, half)];
    let open = send(store, id, at(5)).0;
    assert_eq!(kept(store, id), [open, ids[3], ids[2], ids[1], ids[0]], "to the last byte");
    let more = answered(4, 0);
    let last = send(store, id, at(6)).0;
    assert_eq!(kept(store, id), [last, more, open, ids[3], ids[2]], "and what is older");
    let texts = command(store, (id, CommandId(ids[2])));
    assert_eq!(texts.reply_bytes(), half);
    assert_eq!(kept(store, other), [of_other.0]);
}

/// Not by the order of sending: who waits for the answer still finds it.
pub fn a_reply_that_comes_late_outlives_those_that_came_before_it(store: &dyn Store) {
    let id = activated(store);
    let answer = |command: CommandId, data: usize, now: UnixMillis| {
        let data_json = Some(format!("\"{}\"", "x".repeat(data - 2)).into());
        let reply = CommandStep::Reply { code: 200, data_json, message: None };
        assert_eq!(step(store, (id, command), session(), reply, now), Written::Done);
    };
    let ids: Vec<CommandId> = (0..17).map(|_| send(store, id, at(2))).collect();
    for command in &ids {
        fetch(store, (id, *command), at(3));
    }
    let sixteenth = ENDED_REPLY_BYTES_MAX / 16;
    for (command, second) in ids[1..].iter().zip(4..) {
        answer(*command, sixteenth, at(second));
    }
    answer(ids[0], sixteenth, at(21));
    let last = send(store, id, at(22)).0;
    let mut left: Vec<u32> = ids.iter().rev().map(|command| command.0).collect();
    left.retain(|command| *command != ids[1].0);
    assert_eq!(kept(store, id), [&[last], &left[..]].concat(), "what ended first goes");
}

/// Whatever comes between two pages.
pub fn pages_of_commands_lose_and_repeat_nothing(store: &dyn Store) {
    let id = activated(store);
    for _ in 0..7 {
        send(store, id, at(2));
    }
    let (mut after, mut ids) = (None, Vec::new());
    loop {
        let page = block_on(store.commands(id, Part { after, limit: 3 })).expect("the store reads");
        ids.extend(page.items.into_iter().map(|command| command.id.0));
        send(store, id, at(3));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(ids, [7, 6, 5, 4, 3, 2, 1]);
}

/// Instant ones are over when their device has not answered, fetched or not.
pub fn instant_commands_that_are_over_make_room(store: &dyn Store) {
    let id = activated(store);
    let instant = |now| {
        let order = Order { pending_ttl_s: 0, ..order(CommandTopic::Set) };
        try_to_send(store, id, order, now).map(|command| command.id)
    };
    let ids: Vec<_> = (0..OPEN_MAX_DEFAULT).map(|_| instant(at(2)).expect("it may be sent")).collect();
    ids.iter().for_each(|command| assert_eq!(fetch(store, (id, *command), at(12)), Written::Done));
    let full = Err(NotSent::QueueFull { open_max: OPEN_MAX_DEFAULT });
    assert_eq!([instant(at(32)), instant(at(41))], [full, full], "the device has them");
    assert_eq!(instant(at(42)), Ok(CommandId(51)));
    for n in 52..=100 {
        assert_eq!(instant(at(43)), Ok(CommandId(n)));
    }
    assert_eq!(instant(at(71)), full);
    assert_eq!(instant(at(72)), Ok(CommandId(101)));
}

/// A page ends where its replies have many bytes, and the next one goes on.
pub fn pages_of_commands_with_long_replies_are_short(store: &dyn Store) {
    let id = activated(store);
    let long = "x".repeat(PAGE_BYTES_MAX / 4);
    // None is sent after the first reply, which would let the oldest replies go.
    let sent: Vec<CommandId> = (0..10).map(|_| send(store, id, at(2))).collect();
    for command in &sent {
        fetch(store, (id, *command), at(3));
        let reply = CommandStep::Reply { code: 200, data_json: None, message: Some(long.as_str().into()) };
        assert_eq!(step(store, (id, *command), session(), reply, at(4)), Written::Done);
    }
    let (mut after, mut pages) = (None, Vec::new());
    loop {
        let page = block_on(store.commands(id, Part { after, limit: 100 })).expect("the store reads");
        pages.push(page.items.into_iter().map(|command| command.id.0).collect::<Vec<_>>());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec![10, 9, 8, 7], vec![6, 5, 4, 3], vec![2, 1]]);
}

/// To the last digit, in any script.
pub fn texts_of_commands_come_back_as_they_were_sent(store: &dyn Store) {
    let id = activated(store);
    let text = r#"{"a'b\"":1.0e+05,"\u0000":"Grün \\ 温度","n":123456789012345678901234567890}"#;
    let topic = CommandTopic::Service("phase-1.reset_now".into());
    let order = Order { params_json: text.into(), ..order(topic) };
    let which = (id, try_to_send(store, id, order.clone(), at(2)).expect("it may be sent").id);
    assert_eq!(*command(store, which).order, order);
    fetch(store, which, at(3));
    let data_json = Some(text.into());
    let message: Option<Box<str>> = Some("it \"cannot\" \u{e4}\n".into());
    step(
        store,
        which,
        session(),
        CommandStep::Reply { code: -7, data_json, message: message.clone() },
        at(4),
    );
    assert_eq!(command(store, which).message, message);
    assert_eq!((command(store, which).code, command(store, which).data_json), (Some(-7), Some(text.into())));
}

/// With the number and words that its sender reads, whether it was fetched or not.
pub fn a_command_whose_bytes_nobody_takes_any_more_fails(store: &dyn Store) {
    let id = activated(store);
    let raw = Order { raw: Some([0x7b, 0x00].as_slice().into()), ..order(CommandTopic::Raw) };
    let sent = (0..2).map(|_| try_to_send(store, id, raw.clone(), at(2)).expect("it may be sent").id);
    let ids: Vec<CommandId> = sent.collect();
    fetch(store, (id, ids[0]), at(3));
    for which in ids.into_iter().map(|command| (id, command)) {
        assert_eq!(step(store, which, None, CommandStep::RefuseBytes, at(4)), Written::Done);
        let refused = command(store, which);
        assert_eq!((refused.state, refused.code), (CommandState::Failed, Some(11810)));
        assert!(refused.message.is_some() && refused.ended == Some(at(4)), "{refused:?}");
        assert_eq!(step(store, which, None, CommandStep::RefuseBytes, at(5)), Written::CommandOver);
        assert_eq!(command(store, which), refused);
    }
    assert!(open(store, id).is_empty());
}
