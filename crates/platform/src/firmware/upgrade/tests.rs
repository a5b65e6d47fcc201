use proptest::{collection::vec, prelude::*};

use super::*;
use UpgradeState as S;
use UpgradeStep as T;

const HOUR: i64 = 3_600_000;

fn at(hours: i64) -> UnixMillis {
    UnixMillis(1_000_000 + hours * HOUR)
}

fn upgrade(state: UpgradeState) -> Upgrade {
    let mut upgrade = Upgrade::new(DeviceId(1), "AAAAAAAA".parse().expect("an id"), at(0));
    upgrade.command = (state != S::Waiting).then_some(CommandId(7));
    upgrade.to(state, at(0));
    upgrade
}

const TO_ALL: [UpgradeStep<'static>; 15] = [
    T::Queued(CommandId(8)),
    T::CommandFetched,
    T::CommandAnswered { success: true, message: None },
    T::CommandAnswered { success: false, message: Some("no") },
    T::CommandOver(CommandState::Expired),
    T::CommandOver(CommandState::Cancelled),
    T::Progress { step: 5, desc: None },
    T::Progress { step: -2, desc: None },
    T::Fetching(Fetched::First),
    T::Fetching(Fetched::Last),
    T::Installed,
    T::Withdrawn,
    T::Cancelled,
    T::Stopped,
    T::OfferedAgain,
];

/// What every step makes of every state: `w o s a d v b D F C`, `.` for nothing, `4` and `5` for 764 and
/// 765.
#[test]
fn every_state_meets_every_step() {
    let table = [
        // queued fetched yes no expired cancelled 5 % failed first last installed withdrawn cancel stop again
        (S::Waiting, "o.....55dvD.C.."),
        (S::Offered, ".saFwC55dvDwCC."),
        (S::Sent, "..aFwCdFdvD..C."),
        (S::Accepted, "...F..dFdvD..C."),
        (S::Downloading, "......dFdvD..C."),
        (S::Verifying, "......bFdvD..C."),
        (S::Burning, "......bFd.D..C."),
        (S::Done, "......4444....w"),
        (S::Failed, "......4444D...w"),
        (S::Cancelled, "......4444D...w"),
    ];
    for (state, row) in table {
        for (step, wanted) in TO_ALL.into_iter().zip(row.chars()) {
            let mut upgrade = upgrade(state);
            let before = upgrade.clone();
            let found = match upgrade.step(step, at(1)) {
                Ok(Moved { changed: false, .. }) => '.',
                Ok(_) => "wosadvbDFC".chars().nth(upgrade.state as usize).expect("a letter each"),
                Err(NoUpgrade::None) => '4',
                Err(NoUpgrade::NotStarted) => '5',
            };
            assert_eq!(found, wanted, "{state:?} {step:?}");
            assert!(!".45".contains(found) || upgrade == before, "{state:?} {step:?}");
            assert_eq!(upgrade.failure.is_some(), found == 'F');
        }
    }
}

#[test]
fn an_upgrade_goes_all_the_way() {
    let mut it = Upgrade::new(DeviceId(1), "AAAAAAAA".parse().expect("an id"), at(0));
    let mut seen = vec![it.state];
    for step in [
        T::Queued(CommandId(7)),
        T::CommandFetched,
        T::CommandAnswered { success: true, message: None },
        T::Fetching(Fetched::First),
        T::Progress { step: 50, desc: Some("half") },
        T::Fetching(Fetched::Last),
        T::Progress { step: 100, desc: None },
        T::Installed,
    ] {
        assert!(it.step(step, at(1)).is_ok_and(|moved| moved.changed), "{step:?}");
        seen.push(it.state);
    }
    let states = [S::Waiting, S::Offered, S::Sent, S::Accepted, S::Downloading, S::Downloading];
    assert_eq!(seen, [&states[..], &[S::Verifying, S::Burning, S::Done]].concat());
    assert_eq!((it.progress, it.attempts, it.due), (Some(100), 1, None));
}

#[test]
fn each_step_below_zero_has_its_reason_and_what_is_said_is_cut() {
    for (step, failure) in [
        (-1, UpgradeFailure::Upgrade),
        (-2, UpgradeFailure::Download),
        (-3, UpgradeFailure::Verify),
        (-4, UpgradeFailure::Burn),
        (-5, UpgradeFailure::Refused),
    ] {
        let mut it = upgrade(S::Downloading);
        let said = "ä".repeat(200);
        let moved = it.step(T::Progress { step, desc: Some(&said) }, at(1)).expect("it is under way");
        assert_eq!(moved.ended, Some(Ended::Failed));
        assert_eq!((it.failure, it.progress), (Some(failure), Some(step)));
        assert_eq!(it.desc.as_deref().map(str::len), Some(256));
    }
}

#[test]
fn who_begins_and_says_nothing_has_failed_a_week_later() {
    for state in S::ALL {
        let mut it = upgrade(state);
        let early = it.step(T::TimePasses, at(7 * 24 - 1)).expect("time is never refused");
        let late = it.step(T::TimePasses, at(7 * 24)).expect("time is never refused");
        let expected = state.is_under_way().then_some(Ended::Failed);
        assert_eq!((early.changed, late.ended), (false, expected), "{state:?}");
        assert_eq!(it.failure, expected.map(|_| UpgradeFailure::Silent));
    }
}

/// A device that never replies to the command, but does what it says: the command would be offered again.
#[test]
fn each_end_takes_back_the_command_that_offers_it() {
    for state in S::ALL.into_iter().filter(|state| state.is_under_way()) {
        for step in [T::Installed, T::Progress { step: -2, desc: None }, T::TimePasses, T::Stopped] {
            let mut it = upgrade(state);
            let moved = it.step(step, at(24 * 7)).expect("it is under way");
            assert!(it.state.has_ended() && moved.cancel == Some(CommandId(7)), "{state:?} {step:?}");
        }
    }
    for (state, step) in [(S::Offered, T::Installed), (S::Offered, T::Withdrawn), (S::Failed, T::Installed)] {
        assert_eq!(upgrade(state).step(step, at(1)).expect("it may").cancel, Some(CommandId(7)), "{state:?}");
    }
    assert_eq!(upgrade(S::Waiting).step(T::Installed, at(1)).expect("it may").cancel, None);
    // What goes on needs no command less.
    let on = upgrade(S::Sent).step(T::Progress { step: 5, desc: None }, at(1)).expect("it is under way");
    assert_eq!(on.cancel, None);
}

/// After a hole in the coverage of weeks, in the middle of the download.
#[test]
fn who_goes_on_after_its_silence_is_taken_up_again() {
    for (step, state) in [
        (T::Fetching(Fetched::First), S::Downloading),
        (T::Fetching(Fetched::Last), S::Verifying),
        (T::Progress { step: 60, desc: None }, S::Downloading),
        (T::Progress { step: -3, desc: None }, S::Failed),
        (T::Installed, S::Done),
    ] {
        let mut it = upgrade(S::Downloading);
        it.step(T::TimePasses, at(200)).expect("time is never refused");
        assert_eq!(it.failure, Some(UpgradeFailure::Silent));
        let moved = it.step(step, at(300)).expect("it goes on");
        assert!(moved.changed && moved.revived, "{step:?}");
        assert_eq!((it.state, it.due.is_some()), (state, it.is_open()), "{step:?}");
        assert_ne!(it.failure, Some(UpgradeFailure::Silent));
    }
    // Who has said that it failed has ended it.
    let mut it = upgrade(S::Downloading);
    it.step(T::Progress { step: -2, desc: None }, at(1)).expect("it is under way");
    assert_eq!(it.step(T::Fetching(Fetched::First), at(2)), Err(NoUpgrade::None));
    assert!(it.step(T::Installed, at(3)).is_ok_and(|moved| !moved.revived));
}

#[test]
fn a_device_means_what_is_under_way_before_what_was_given_up() {
    let silent = Some(UpgradeFailure::Silent);
    assert_eq!(meant(S::Burning, None, true), Some(3));
    assert_eq!([meant(S::Failed, silent, false), meant(S::Failed, silent, true)], [Some(2), None]);
    assert_eq!([meant(S::Waiting, None, false), meant(S::Offered, None, true)], [Some(1); 2]);
    let ended = [(S::Failed, Some(UpgradeFailure::Burn)), (S::Done, None), (S::Cancelled, None)];
    assert!(ended.into_iter().all(|(state, failure)| meant(state, failure, false).is_none()));
}

#[test]
fn who_may_be_sent_an_upgrade() {
    let case = SendCase { activated: true, online: false, open: 0, open_max: 50, pending_ttl_s: OFFER_TTL_S };
    let send = SendUpgrade { enabled: true, has_another: false, case };
    for (send, result) in [
        (send, Ok(())),
        (SendUpgrade { enabled: false, ..send }, Err(NotQueued::Unable)),
        (SendUpgrade { has_another: true, ..send }, Err(NotQueued::Busy)),
        (SendUpgrade { case: SendCase { activated: false, ..case }, ..send }, Err(NotQueued::Unable)),
        (SendUpgrade { case: SendCase { open: 50, ..case }, ..send }, Err(NotQueued::Busy)),
    ] {
        assert_eq!(send.permit(), result);
        let Err(why) = result else { continue };
        let mut it = upgrade(S::Waiting);
        it.step(T::NotQueued(why), at(0)).expect("it is never refused");
        assert!(it.due > Some(at(0)) && it.due <= Some(at(1)) && it.state == S::Waiting);
    }
}

proptest! {
    /// Whatever happens: what is open is looked at again or has a command, and what has ended is not.
    #[test]
    fn nothing_is_forgotten(steps in vec((0..TO_ALL.len(), 0..90_i64), 0..60)) {
        let mut it = upgrade(S::Waiting);
        let mut now = 0;
        for (step, hours) in steps {
            now += hours;
            let before = it.state;
            // Ignored: what is refused changes nothing, which the table shows.
            let moved = it.step(TO_ALL[step], at(now)).unwrap_or_default();
            let is_looked_at = it.due.is_some() || it.state == S::Offered;
            prop_assert_eq!(is_looked_at, it.is_open(), "{:?}", it);
            prop_assert!(it.state != S::Offered || it.command.is_some());
            prop_assert_eq!(moved.ended == Some(Ended::Done), before != S::Done && it.state == S::Done);
            prop_assert_eq!(it.failure.is_some(), it.state == S::Failed);
        }
    }
}
