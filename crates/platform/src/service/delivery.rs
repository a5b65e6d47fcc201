//! When a device will probably fetch a command: read from what the store has of it, when one is sent. Nothing
//! is kept for it beside that.

use super::registrar::Registrar;
use crate::{
    ids::UnixMillis,
    model::{
        command::Expected,
        device::{Device, DeviceState},
        product::Product,
    },
    paging::Part,
    ports::{HistoryReads as _, PRESENCE_CHANGES_MAX},
    rules::delivery::{CONTACTS_MAX, expect, expect_observer},
};

/// Commands whose times are looked at: the newest ones.
const COMMANDS_MAX: usize = 100;
/// A store may give reports of a month and no older ones, milliseconds: files of 31 days, and a little less.
const REPORTS_MS: i64 = 28 * 86_400_000;
/// From so many reports on these are enough, and older contacts of another sort are left out.
const REPORTS_ENOUGH: usize = 20;

/// Who may take commands at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// No server runs, so nobody does.
    Nobody,
    /// The device is told in the answer to its next message.
    NextMessage,
    /// The device observes its commands: it is told at once.
    AtOnce,
}

impl Registrar {
    /// When the device will probably fetch a command that is sent `now`. One that observes, and was heard
    /// within its lifetime, is told at once; of any other its rhythm says it.
    pub(super) async fn expect_fetch(
        &self,
        (device, product): (&Device, &Product),
        reach: Reach,
        now: UnixMillis,
    ) -> Option<Expected> {
        if reach == Reach::AtOnce && device.state == DeviceState::Online {
            return Some(expect_observer(product.profile, now));
        }
        self.expect_contact(device, now).await
    }

    /// When the device will probably be heard after `now`; `None` also where the store cannot read what that
    /// is drawn from: a command is sent all the same.
    async fn expect_contact(&self, device: &Device, now: UnixMillis) -> Option<Expected> {
        let arrivals = self.history.arrivals(device.id, CONTACTS_MAX).await.ok()?;
        let presence =
            self.history.presence_history(device.id, Part::first(PRESENCE_CHANGES_MAX)).await.ok()?;
        let commands = self.history.commands(device.id, Part::first(COMMANDS_MAX)).await.ok()?;
        // Where not all reports are looked at, what is older than these would seem to be rare contacts.
        let may_go_on = |first: &&UnixMillis| {
            let is_old = first.0 < now.0.saturating_sub(REPORTS_MS);
            arrivals.len() >= CONTACTS_MAX || (is_old && arrivals.len() >= REPORTS_ENOUGH)
        };
        let since = arrivals.last().filter(may_go_on).copied();
        let online = presence.items.iter().filter(|change| change.state == DeviceState::Online);
        let fetched = commands.items.iter().flat_map(|command| [command.fetched, command.sent]);
        let others = online.map(|change| change.at).chain(fetched.flatten()).chain(device.last_seen_time);
        let mut contacts = arrivals.clone();
        contacts.extend(others.filter(|at| since.is_none_or(|since| *at >= since)));
        expect(contacts, now)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        memory::MemoryStore,
        model::product::Profile,
        testing::{
            ManualClock, SeededEntropy, block_on,
            store::fixtures::{append, at, device, login, one_device, presence, product, report},
        },
    };

    /// A store with files gives reports of a month; presence is older.
    #[test]
    fn contacts_that_are_older_than_all_reports_are_no_silences() {
        const HOUR: i64 = 3_600;
        let store = Arc::new(MemoryStore::default());
        let id = one_device(&*store, "dk");
        let mut writes = vec![login(id, at(1))];
        for day in [10, 20, 30] {
            writes.push(presence(id, DeviceState::Offline, at(day * 24 * HOUR), "silent"));
            writes.push(presence(id, DeviceState::Online, at(day * 24 * HOUR + 1), "heard"));
        }
        let begin = 60 * 24 * HOUR;
        writes.extend((0..120).map(|n| report(id, at(begin + n * 6 * HOUR + n % 7 * 60), "{}")));
        append(&*store, writes);
        let last = begin + 119 * 6 * HOUR;
        let (clock, entropy) = (Arc::new(ManualClock::new(at(0))), Arc::new(SeededEntropy::new(1)));
        let registrar = Registrar::new(store.clone(), clock, entropy);
        let expected = |now| block_on(registrar.expect_contact(&device(&*store, id), at(now)));
        let soon = expected(last + HOUR).expect("it keeps its interval");
        assert!(
            soon.spread < 30 * 60_000 && (soon.at.0 - at(last + 6 * HOUR).0).abs() < 30 * 60_000,
            "{soon:?}"
        );
        assert_eq!(expected(last + 24 * HOUR), None, "it was never silent for so long");
    }

    #[test]
    fn a_device_that_observes_is_expected_at_once_and_by_its_rhythm_once_nobody_observes() {
        const MINUTE: i64 = 60;
        let store = Arc::new(MemoryStore::default());
        let id = one_device(&*store, "dk");
        let (clock, entropy) = (Arc::new(ManualClock::new(at(0))), Arc::new(SeededEntropy::new(1)));
        let registrar = Registrar::new(store.clone(), clock, entropy);
        let expected = |profile, reach, now| {
            let product = Product { profile, ..product("pk") };
            block_on(registrar.expect_fetch((&device(&*store, id), &product), reach, at(now)))
        };
        let window = |ms: i64| Some(Expected { at: UnixMillis(at(7).0 + ms / 2), spread: ms / 2 });
        assert_eq!(expected(Profile::Default, Reach::AtOnce, 7), None, "it has never logged in");
        append(&*store, vec![login(id, at(1))]);
        assert_eq!(expected(Profile::Default, Reach::AtOnce, 7), window(6_000), "it keeps no rhythm yet");
        assert_eq!(expected(Profile::Nbiot, Reach::AtOnce, 7), window(30_000));
        assert_eq!(expected(Profile::Default, Reach::NextMessage, 7), None);
        append(&*store, (1..30).map(|n| report(id, at(n * 15 * MINUTE), "{}")).collect());
        let now = 29 * 15 * MINUTE + MINUTE;
        let by_rhythm = expected(Profile::Default, Reach::NextMessage, now).expect("it keeps its interval");
        assert!((by_rhythm.at.0 - at(30 * 15 * MINUTE).0).abs() < 60_000, "{by_rhythm:?}");
        append(&*store, vec![presence(id, DeviceState::Offline, at(now), "silent")]);
        let asleep = expected(Profile::Default, Reach::AtOnce, now).expect("it keeps its interval");
        assert!((asleep.at.0 - by_rhythm.at.0).abs() < 60_000, "{asleep:?}");
    }
}
