//! Checks of the fleet's numbers.

use super::fixtures::{
    add_device, add_product, append, at, login, presence, refusal, report, report_arriving, resumed, write,
};
use crate::{
    model::{
        device::DeviceState,
        log::{LogEntry, Reason},
        overview::{DeviceCounts, Overview, OverviewQuery},
    },
    ports::{Store, Write},
    testing::block_on,
};

fn overview(store: &dyn Store, seconds: i64, products_max: usize) -> Overview {
    block_on(store.overview(OverviewQuery { now: at(seconds), products_max })).unwrap()
}

/// A product without devices is one too; disabled hides what a device does.
pub fn devices_are_counted_by_state_and_product(store: &dyn Store) {
    assert_eq!(overview(store, 0, 5), Overview::default());
    for key in ["pk-a", "pk-b", "pk-c"] {
        add_product(store, key);
    }
    let b: Vec<_> = (0..4).map(|n| add_device(store, "pk-b", &format!("b-{n}")).id).collect();
    let a = add_device(store, "pk-a", "a-0").id;
    append(store, vec![login(b[0], at(1)), login(b[1], at(1)), login(b[2], at(1)), login(a, at(1))]);
    write(store, presence(b[1], DeviceState::Offline, at(2), "silent"));
    block_on(store.set_device_enabled(b[2], false, at(3))).unwrap();

    let found = overview(store, 4, 1);
    let of_b = DeviceCounts { inactive: 1, online: 1, offline: 1, disabled: 1, damaged: 0 };
    let of_a = DeviceCounts { online: 1, ..DeviceCounts::default() };
    assert_eq!(found.devices, DeviceCounts { online: 2, ..of_b });
    let named: Vec<_> =
        found.products.iter().map(|p| (&*p.product_key, p.name.as_deref(), p.devices)).collect();
    assert_eq!(named, [("pk-b", Some("product pk-b"), of_b)]);
    assert_eq!(found.others, (2, of_a));
    assert_eq!(overview(store, 4, 9).others, (0, DeviceCounts::default()));
}

/// What arrived is counted, whatever became of its device.
pub fn reports_of_a_deleted_device_are_counted(store: &dyn Store) {
    add_product(store, "pk");
    let id = add_device(store, "pk", "dk-1").id;
    write(store, report(id, at(1), r#"{"n":1}"#));
    block_on(store.delete_device(id, at(2))).unwrap();
    let found = overview(store, 3, 5);
    assert_eq!((found.devices.total(), found.reports_last_minute, found.reports_last_hour), (0, 1, 1));
}

/// Over midnight, and by arrival: a late report counts when it comes.
pub fn refusals_and_reports_of_late_are_counted(store: &dyn Store) {
    const DAY: i64 = 86_400;
    add_product(store, "pk");
    let id = add_device(store, "pk", "dk-1").id;
    let refused = |reason, seconds| {
        let entry = refusal(None, Some("x,y,2,300"), at(seconds));
        Write::Log(LogEntry { reason: Some(reason), ..entry })
    };
    let now = DAY + 600;
    append(
        store,
        vec![
            refused(Reason::DeviceUnknown, now - 3601),
            refused(Reason::DeviceUnknown, now - 3599),
            refused(Reason::WrongKey, now - 10),
            refused(Reason::WrongKey, now - 5),
        ],
    );
    for arrival in [0, 5, now - 3601, now - 3599, DAY - 1] {
        write(store, report(id, at(arrival), r#"{"n":1}"#));
    }
    for arrival in [DAY, now - 61, now - 59, now - 1] {
        write(store, report_arriving(id, at(3), at(arrival), r#"{"n":1}"#));
    }
    write(store, resumed(id, at(now), r#"{"n":1}"#));
    // A clock that was ahead leaves arrivals in the future.
    for ahead in [5, 2 * DAY] {
        append(store, vec![refused(Reason::WrongKey, now + ahead)]);
        write(store, report_arriving(id, at(3), at(now + ahead), r#"{"n":1}"#));
    }
    let found = overview(store, now, 5);
    assert_eq!(found.refusals, [(Some(Reason::WrongKey), 2), (Some(Reason::DeviceUnknown), 1)]);
    assert_eq!((found.reports_last_minute, found.reports_last_hour), (3, 7));
    let later = overview(store, now + 3 * DAY, 5);
    assert_eq!((later.refusals.len(), later.reports_last_minute, later.reports_last_hour), (0, 0, 0));
}
