//! Everything that can be read of a store, line by line.

use super::operation::{DEVICES, PRODUCTS};
use crate::{
    ids::{DeviceId, DeviceName, UnixMillis},
    model::{
        credential::CredentialLookup,
        device::Device,
        happened::{Happened, StreamPlace},
        log::LogEntry,
        overview::OverviewQuery,
        product::Product,
        property::PropertyKind,
    },
    paging::{Page, Part},
    ports::{BucketQuery, DeviceQuery, EventQuery, HistoryQuery, Store},
    rules::buckets::{Bucket, Bucketing, Functions},
    testing::block_on,
};

/// The key of a product.
pub(super) fn product_key(product: u8) -> String {
    format!("pk-{product}")
}

/// The key of a device.
pub(super) fn device_key(device: u8) -> String {
    format!("dk-{device}")
}

/// What can be read at `now`. `turn` varies the sizes of pages.
pub(super) fn read(store: &dyn Store, now: UnixMillis, turn: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let products = block_on(store.products()).expect("the store reads");
    for product in products {
        lines.push(of_product(&product.expect("it is intact")));
    }
    for product in 0..PRODUCTS {
        let found = block_on(store.product(&product_key(product))).expect("the store reads");
        lines.push(found.map_or_else(|| "no product".to_owned(), |product| of_product(&product)));
        lines.push(of_models(store, product));
        lines.push(of_scripts(store, product));
        for device in 0..DEVICES {
            lines.push(of_names(store, product, device));
        }
    }
    for device in devices(store, 1 + turn % 4) {
        lines.push(format!("listed {device:?}"));
        of_device(store, &device, now, turn, &mut lines);
    }
    super::search::read(store, now, turn, &mut lines);
    super::access::read(store, &mut lines);
    super::firmware::read(store, now, turn, &mut lines);
    lines.extend(refusals(store, 1 + turn % 5));
    lines.extend(happened(store, 1 + turn % 50).iter().map(|happened| format!("told {happened}")));
    let recovered = block_on(store.recover()).expect("the store reads");
    let (mut online, mut open) = (recovered.online, recovered.commands);
    open.sort_by_key(|open| open.device);
    lines.push(format!("open commands {open:?}"));
    online.sort_by_key(|online| online.device);
    lines.push(format!("online {online:?}"));
    let query = OverviewQuery { now, products_max: turn % 3 };
    lines.push(format!("overview {:?}", block_on(store.overview(query)).expect("the store reads")));
    lines
}

/// All that followers of live events would have been told, read in pages of this size.
pub(in crate::testing::store) fn happened(store: &dyn Store, limit: usize) -> Vec<String> {
    let (mut after, mut told) = (StreamPlace::START, Vec::new());
    loop {
        let page = block_on(store.happened(Some(after), limit)).expect("the store reads");
        assert_eq!((page.lost, page.damaged), (None, 0), "nothing is lost");
        for Happened { place, device, happening } in page.items {
            assert!(place > after && place <= page.upto, "{place:?} stands behind {after:?}");
            after = place;
            let json = serde_json::to_string(&happening).expect("it can be written");
            told.push(format!("{device:?} {json}"));
        }
        after = page.upto;
        if page.upto == page.head {
            return told;
        }
    }
}

fn of_product(product: &Product) -> String {
    format!("product {product:?} with {}", product.secret.expose())
}

fn of_models(store: &dyn Store, product: u8) -> String {
    let key = product_key(product);
    let listed = block_on(store.model_versions(&key)).expect("the store reads");
    assert_eq!((listed.next, listed.damaged.count), (None, 0));
    let kept = listed.items.iter().map(|about| {
        let found = block_on(store.model_version(&key, about.version)).expect("the store reads");
        let found = found.expect("what is listed is there");
        assert_eq!(found.about, *about, "a version is listed as it is found by its number");
        found
    });
    format!("versions of {key}: {:?}", kept.collect::<Vec<_>>())
}

fn of_scripts(store: &dyn Store, product: u8) -> String {
    let key = product_key(product);
    let listed = block_on(store.script_versions(&key)).expect("the store reads");
    let kept = listed.items.iter().map(|about| {
        let found = block_on(store.script_version(&key, about.version)).expect("the store reads");
        let found = found.expect("what is listed is there");
        assert_eq!(found.about, *about, "a version is listed as it is found by its number");
        found
    });
    let kept: Vec<_> = kept.collect();
    format!("scripts of {key}: {:?} {kept:?}", block_on(store.script(&key)).expect("the store reads"))
}

fn of_names(store: &dyn Store, product: u8, device: u8) -> String {
    let name = DeviceName { product_key: product_key(product), device_key: device_key(device) };
    let shown = DeviceName { device_key: name.device_key.to_uppercase(), ..name.clone() };
    let similar = block_on(store.similar_names(&shown)).expect("the store reads");
    let device = block_on(store.device(&name)).expect("the store reads");
    let credentials = match block_on(store.credentials(&name.product_key, &name.device_key)) {
        Ok(CredentialLookup::Found(found)) => {
            let secrets = (found.device_secret.expose().to_owned(), found.product_secret.expose().to_owned());
            format!("{found:?} with {secrets:?}")
        }
        other => format!("{other:?}"),
    };
    format!("{name:?} is {device:?}, {credentials}, similar {similar:?}")
}

fn of_device(store: &dyn Store, device: &Device, now: UnixMillis, turn: usize, lines: &mut Vec<String>) {
    let id = device.id;
    let by_id = block_on(store.device_by_id(id)).expect("the store reads");
    assert_eq!(by_id.as_ref(), Some(device), "a device is listed as it is found by its id");
    let mut line = |what: &str, found: String| lines.push(format!("{what} of {}: {found}", id.0));
    let latest = block_on(store.points_latest(id)).expect("the store reads");
    line("firmware", super::firmware::read_device(store, id));
    line("latest", format!("{latest:?}"));
    let query = HistoryQuery { limit: 1000, ..HistoryQuery::default() };
    line("history", history(store, id, 1 + turn % 7, &query));
    let of_a = HistoryQuery { point: Some("a".to_owned()), ..query };
    line("history of a", history(store, id, 1 + turn % 3, &of_a));
    let hour = HistoryQuery { from: Some(UnixMillis(now.0 - 3_600_000)), to: Some(now), ..query };
    line("history of an hour", history(store, id, 2, &hour));
    let buckets = paged(1 + turn % 4, |Part { after, limit }| {
        let (point, bucketing) = ("a".to_owned(), Bucketing::parse("5m", None).expect("it is one"));
        let query =
            BucketQuery { point, bucketing, functions: Functions::ALL, from: None, to: None, after, limit };
        block_on(store.buckets(id, query)).expect("the store reads").expect("there are not many")
    });
    line("buckets of a", format!("{buckets:?}"));
    let last = paged(1 + turn % 4, |Part { after, limit }| {
        let (point, bucketing) = ("a".to_owned(), Bucketing::parse("5m", None).expect("it is one"));
        let functions = Functions::parse("last").expect("it is one");
        let query = BucketQuery { point, bucketing, functions, from: None, to: None, after, limit };
        block_on(store.buckets(id, query)).expect("the store reads").expect("there are not many")
    });
    let of_last = |bucket: &Bucket| (bucket.time, bucket.last.clone());
    let [last, all] = [&last, &buckets].map(|found| found.iter().map(of_last).collect::<Vec<_>>());
    assert_eq!(last, all, "the latest value of each bucket is the same, whatever else is asked for");
    line("arrivals", format!("{:?}", block_on(store.arrivals(id, 1000)).expect("the store reads")));
    let log = paged(1 + turn % 6, |part| block_on(store.device_log(id, part)).expect("the store reads"));
    line("log", format!("{log:#?}"));
    let moves =
        paged(1 + turn % 5, |part| block_on(store.presence_history(id, part)).expect("the store reads"));
    line("presence", format!("{moves:?}"));
    let events = paged(1 + turn % 4, |Part { after, limit }| {
        let query = EventQuery { after, limit, ..EventQuery::default() };
        block_on(store.events(id, query)).expect("the store reads")
    });
    line("events", format!("{events:?}"));
    let of_one = EventQuery {
        events: Some(vec!["event-1".to_owned()]),
        from: Some(UnixMillis(now.0 - 3_600_000)),
        to: Some(now),
        limit: 2,
        after: None,
    };
    line("events of an hour", format!("{:?}", block_on(store.events(id, of_one)).expect("the store reads")));
    for kind in [PropertyKind::Attribute, PropertyKind::Tag] {
        let all = block_on(store.properties(id, kind)).expect("the store reads");
        line(kind.plural(), all.to_json());
    }
    line("commands", commands(store, id, 1 + turn % 3));
    line("open", format!("{:?}", block_on(store.open_commands(id)).expect("the store reads")));
    let former = block_on(store.former_secrets(id)).expect("the store reads");
    let former: Vec<&str> = former.iter().map(|secret| secret.expose()).collect();
    line("former secrets", format!("{former:?}"));
}

fn commands(store: &dyn Store, device: DeviceId, limit: usize) -> String {
    let commands = paged(limit, |part| block_on(store.commands(device, part)).expect("the store reads"));
    for command in &commands {
        let by_id = block_on(store.command(device, command.id)).expect("the store reads");
        assert_eq!(by_id.as_ref(), Some(command), "a command is listed as it is found by its id");
    }
    format!("{commands:?}")
}

fn devices(store: &dyn Store, limit: usize) -> Vec<Device> {
    let mut devices: Vec<Device> = Vec::new();
    loop {
        let after = devices.last().map(|device| device.id);
        let query = DeviceQuery { after, limit, ..DeviceQuery::default() };
        let page = block_on(store.devices(query)).expect("the store reads");
        let is_last = page.len() < limit;
        devices.extend(page.into_iter().map(|device| device.expect("it is intact")));
        if is_last {
            return devices;
        }
    }
}

fn history(store: &dyn Store, device: DeviceId, limit: usize, query: &HistoryQuery) -> String {
    let values = paged(limit, |Part { after, limit }| {
        let query = HistoryQuery { after, limit, ..query.clone() };
        block_on(store.points_history(device, query)).expect("the store reads")
    });
    format!("{values:?}")
}

/// Each store has its own order of refusals of the same time.
fn refusals(store: &dyn Store, limit: usize) -> Vec<String> {
    let entries = paged(limit, |part| block_on(store.refusals(part)).expect("the store reads"));
    assert!(entries.is_sorted_by_key(|entry: &LogEntry| std::cmp::Reverse(entry.time)), "newest first");
    let mut lines: Vec<_> =
        entries.iter().map(|entry| (-entry.time.0, format!("refusal {entry:?}"))).collect();
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

/// Reads to the end in pages of `limit`.
fn paged<T>(limit: usize, page: impl Fn(Part) -> Page<T>) -> Vec<T> {
    let mut items = Vec::new();
    let mut after = None;
    loop {
        let Page { items: more, next, damaged } = page(Part { after, limit });
        assert_eq!(damaged.count, 0);
        assert!(more.len() == limit || next.is_none(), "a page that is not the last one is full");
        items.extend(more);
        match next {
            Some(next) => after = Some(next),
            None => return items,
        }
    }
}
