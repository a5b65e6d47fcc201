//! One thread works, another one is on guard, and nobody waits for a stranger's disk.

use std::sync::mpsc::channel;

use narrowgate_platform::{
    ids::DeviceId,
    model::{credential::Credentials, product::Product, property::PropertyKind},
    ports::{Journal as _, Registry as _, RegistryChanges as _},
    secret::Secret,
    testing::{
        block_on,
        store::fixtures::{add_device, add_product, at, credentials, product},
    },
};

use super::*;
use crate::sqlite::{readers::Size, tests::open};

#[test]
fn long_reads_for_operators_keep_no_look_up_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let readers = store.shared.options.readers;
    let (began, begun) = channel();
    let (end, ended) = channel::<()>();
    let ended = Mutex::new(ended);
    thread::scope(|scope| {
        for _ in 0..readers {
            let (store, began, ended) = (&store, began.clone(), &ended);
            scope.spawn(move || {
                store.shared.readers.read(Size::Long, |_| {
                    began.send(()).unwrap();
                    lock(ended).recv().unwrap();
                    Ok(())
                })
            });
        }
        (0..readers).for_each(|_| begun.recv().unwrap());
        block_on(store.credentials("p", "d")).expect("it is answered meanwhile");
        block_on(store.product("p")).expect("and this");
        block_on(store.open_commands(DeviceId(1))).expect("and what waits for a device");
        block_on(store.properties(DeviceId(1), PropertyKind::Tag)).expect("and what a device asks for");
        (0..readers).for_each(|_| end.send(()).unwrap());
    });
}

#[test]
fn a_look_up_that_nobody_waits_for_any_more_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (enter, entered) = channel();
    let (end, ended) = channel::<()>();
    let ended = Arc::new(Mutex::new(ended));
    let busy: Vec<_> = (0..THREADS)
        .map(|_| {
            let (enter, ended) = (enter.clone(), Arc::clone(&ended));
            store.shared.lookups.look_up(move |_| {
                enter.send("busy").unwrap();
                lock(&ended).recv().unwrap();
                Ok(())
            })
        })
        .collect();
    (0..THREADS).for_each(|_| assert_eq!(entered.recv().unwrap(), "busy"));
    let look_up = |name: &'static str| {
        let enter = enter.clone();
        store.shared.lookups.look_up(move |_| {
            enter.send(name).unwrap();
            Ok(())
        })
    };
    drop(look_up("given up"));
    let wanted = look_up("wanted");
    (0..THREADS).for_each(|_| end.send(()).unwrap());
    busy.into_iter().for_each(|busy| block_on(busy).unwrap());
    block_on(wanted).unwrap();
    assert_eq!(entered.try_iter().collect::<Vec<_>>(), ["wanted"]);
}

#[test]
fn a_look_up_that_waits_for_the_disk_delays_neither_the_next_ones_nor_their_answers() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for hanging in 0..THREADS {
        let ends: Vec<_> = (0..hanging).map(|_| channel::<()>()).collect();
        let (ends, ended): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
        let quick = || store.shared.lookups.look_up(|_| Ok(()));
        let mut quick_ones = vec![quick()];
        let mut slow_ones = Vec::new();
        for ended in ended {
            slow_ones.push(store.shared.lookups.look_up(move |_| {
                ended.recv().unwrap();
                Ok(())
            }));
            quick_ones.extend([quick(), quick()]);
        }
        quick_ones.into_iter().for_each(|look_up| block_on(look_up).unwrap());
        block_on(quick()).expect("and what comes later");
        ends.iter().for_each(|end| end.send(()).unwrap());
        slow_ones.into_iter().for_each(|look_up| block_on(look_up).unwrap());
    }
}

#[test]
fn an_answer_waits_for_no_other_look_up_also_where_nothing_comes_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for hanging in 1..THREADS {
        let (end, ended) = channel::<()>();
        let ended = Arc::new(Mutex::new(ended));
        let quick = store.shared.lookups.look_up(|_| Ok(()));
        let slow = |_| {
            let ended = Arc::clone(&ended);
            store.shared.lookups.look_up(move |_| {
                lock(&ended).recv().unwrap();
                Ok(())
            })
        };
        let slow: Vec<_> = (0..hanging).map(slow).collect();
        let slow: Vec<_> = slow.into_iter().map(|look_up| thread::spawn(|| block_on(look_up))).collect();
        block_on(quick).unwrap();
        (0..hanging).for_each(|_| end.send(()).unwrap());
        slow.into_iter().for_each(|look_up| look_up.join().unwrap().unwrap());
    }
}

#[test]
fn a_look_up_sees_what_was_committed_before_it_was_queued() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (enter, entered) = channel();
    let (end, ended) = channel::<()>();
    let ended = Arc::new(Mutex::new(ended));
    let version = |reader: &Reader| {
        reader.registry().query_row("SELECT count(*) FROM products", [], |row| row.get::<_, i64>(0))
    };
    let reads_and_waits = || {
        let (enter, ended) = (enter.clone(), Arc::clone(&ended));
        store.shared.lookups.look_up(move |reader| {
            let before = version(reader)?;
            enter.send(before).unwrap();
            lock(&ended).recv().unwrap();
            Ok(before == version(reader)?)
        })
    };
    // All threads are in a transaction when a product is created.
    let busy: Vec<_> = (0..THREADS).map(|_| reads_and_waits()).collect();
    let mut busy: Vec<_> = busy.into_iter().map(|look_up| thread::spawn(|| block_on(look_up))).collect();
    (0..THREADS).for_each(|_| assert_eq!(entered.recv().unwrap(), 0));
    block_on(store.create_product(product("p"))).unwrap();
    let after = store.shared.lookups.look_up(version);
    (0..THREADS).for_each(|_| end.send(()).unwrap());
    assert_eq!(block_on(after).unwrap(), 1);
    for busy in busy.drain(..) {
        assert!(busy.join().unwrap().unwrap(), "one look-up sees one moment");
    }
}

#[test]
fn what_waits_when_the_store_is_closed_fails_and_what_panics_harms_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let panics = store.shared.lookups.look_up::<()>(|_| panic!("as the test wants it"));
    assert!(block_on(panics).is_err());
    for _ in 0..2 * THREADS {
        block_on(store.credentials("p", "d")).expect("the threads go on");
    }
    block_on(store.close()).unwrap();
    assert!(block_on(store.credentials("p", "d")).is_err());
}

#[test]
fn more_look_ups_than_may_wait_fail_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (enter, entered) = channel();
    let (end, ended) = channel::<()>();
    let ended = Arc::new(Mutex::new(ended));
    let busy = |_| {
        let (enter, ended) = (enter.clone(), Arc::clone(&ended));
        store.shared.lookups.look_up(move |_| {
            enter.send(()).unwrap();
            lock(&ended).recv().unwrap();
            Ok(())
        })
    };
    let busy: Vec<_> = (0..THREADS).map(busy).collect();
    (0..THREADS).for_each(|_| entered.recv().unwrap());
    let look_up = || store.shared.lookups.look_up(|_| Ok(()));
    let waiting: Vec<_> = (0..WAITING_MAX).map(|_| look_up()).collect();
    let refused = block_on(look_up()).expect_err("there is no room");
    assert!(refused.to_string().contains("too many look-ups"), "{refused}");
    (0..THREADS).for_each(|_| end.send(()).unwrap());
    busy.into_iter().chain(waiting).for_each(|look_up| block_on(look_up).unwrap());
}

#[test]
fn a_product_that_changed_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    add_product(&store, "p");
    add_device(&store, "p", "d");
    // Often enough that each thread knows it.
    let found = || (0..50).map(|_| credentials(&store, "p", "d")).collect::<Vec<_>>();
    assert!(found().iter().all(|found| found.product_enabled));
    for (secret, enabled) in [("first", false), ("second", true), ("first", false)] {
        let secret = Secret::new(secret.to_owned());
        block_on(store.rotate_product_secret("p".to_owned(), secret.clone(), at(2))).unwrap();
        block_on(store.update_product(Product { enabled, ..product("p") })).unwrap();
        let is_new = |found: &Credentials| {
            found.product_enabled == enabled && found.product_secret.expose() == secret.expose()
        };
        assert!(found().iter().all(is_new), "{enabled}");
    }
}
