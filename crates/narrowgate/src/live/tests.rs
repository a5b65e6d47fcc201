//! Whoever follows gets every commit once, in its order: however slowly it reads, from whatever place, and
//! over restarts.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use narrowgate_adapters::sqlite::{SqliteOptions, SqliteStore};
use narrowgate_api::happening::{Happening, RolloutMoved};
use narrowgate_platform::{
    ids::{DeviceId, Position, UnixMillis},
    memory::MemoryStore,
    model::device::DeviceState,
    ports::{HistoryReads as _, Journal, RegistryChanges as _, Store, Stores, WhyLost, Write},
    testing::store::fixtures::{at, batch, login, one_device, presence, refusal, report},
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::*;

/// More than any test takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A reader that takes what it is given as the router does.
struct Reader {
    subscription: Box<dyn Subscription>,
    at: StreamPlace,
    read: Vec<String>,
    /// After so many events it pauses.
    pause_every: usize,
}

impl Reader {
    async fn new(live: &Live, from: Option<StreamPlace>, pause_every: usize) -> Self {
        let subscription = live.follow(from, Lot::Unit("quiet".into())).await;
        Self { subscription, at: from.unwrap_or(StreamPlace::START), read: Vec::new(), pause_every }
    }

    /// Reads until it has so many events.
    async fn read(&mut self, count: usize) {
        while self.read.len() < count {
            match timeout(PATIENCE, self.subscription.next()).await.expect("something comes") {
                narrowgate_http::Next::At(at) => self.at = at,
                narrowgate_http::Next::Piece(piece) => self.take(&piece, count).await,
                other => panic!("{other:?} after {} events", self.read.len()),
            }
        }
    }

    /// Waits for an event that it has not seen.
    async fn something_new(&mut self) {
        loop {
            match self.subscription.next().await {
                narrowgate_http::Next::Piece(piece) => {
                    if piece.told.iter().any(|told| told.place > Some(self.at)) {
                        return;
                    }
                }
                _ => return,
            }
        }
    }

    async fn take(&mut self, piece: &Piece, count: usize) {
        for told in &piece.told {
            let place = told.place.expect("all of a piece is stored");
            if place <= self.at {
                continue;
            }
            if self.read.len() == count {
                // A client that goes away here has not seen the rest.
                return;
            }
            self.read.push(told.json.to_string());
            self.at = place;
            if self.read.len().is_multiple_of(self.pause_every) {
                sleep(Duration::from_millis(3)).await;
            }
        }
        self.at = self.at.max(piece.upto);
    }
}

/// Happenings number `from` to `from + count` of a device, in batches of changing size.
async fn write(journal: &dyn Journal, device: DeviceId, from: i64, count: i64) {
    let mut n = from;
    while n < from + count {
        let size = (1 + (n * 7) % 60).min(from + count - n);
        let writes = (n..n + size).map(|n| match n % 10 {
            3 => Write::Log(refusal(None, Some("pk,other,2,300"), at(n))),
            4 => login(device, at(n)),
            5 => presence(device, DeviceState::Offline, at(n), "test"),
            _ => report(device, at(n), "{}"),
        });
        journal.append(batch(writes.collect())).await.expect("the store writes");
        n += size;
        if n % 3 == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// All that is stored behind a place, as it is told.
async fn stored(store: &dyn Store, mut from: StreamPlace) -> Vec<String> {
    let mut times = Vec::new();
    loop {
        let page = store.happened(Some(from), 10_000).await.expect("the store reads");
        times.extend(page.items.iter().map(|happened| happened.happening.time().0.to_string()));
        if page.upto >= page.head {
            return times;
        }
        from = page.upto;
    }
}

/// When each happened.
fn times(read: &[String]) -> Vec<String> {
    let time = |json: &String| {
        let told: serde_json::Value = serde_json::from_str(json).expect("it is JSON");
        told["time"].to_string()
    };
    read.iter().map(time).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn quick_and_slow_and_late_followers_get_every_commit_once() {
    let store = Arc::new(MemoryStore::default());
    let device = one_device(&*store, "dk");
    let live = Live::begin(&Stores::from(Arc::clone(&store)), Feed::new());
    let start = store.happened(None, 1).await.unwrap().head;
    let mut readers = Vec::new();
    for pause_every in [1_000_000, 500, 20] {
        readers.push(Reader::new(&live, None, pause_every).await);
    }
    write(&*store, device, 0, 3000).await;
    // One that comes later, from where the others began.
    readers.push(Reader::new(&live, Some(start), 1_000_000).await);
    write(&*store, device, 3000, 3000).await;
    let expected = stored(&*store, start).await;
    assert!(expected.len() > ring::TOLD_MAX, "a slow one falls out of the ring: {}", expected.len());
    for mut reader in readers {
        reader.read(expected.len()).await;
        assert_eq!(times(&reader.read), expected);
        assert!(timeout(Duration::from_millis(100), reader.something_new()).await.is_err(), "nothing else");
    }
    assert_eq!(*live.hub.followers.borrow(), 0, "whoever leaves is not counted any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stands_behind_the_end_is_told_so_also_where_others_follow() {
    let store = Arc::new(MemoryStore::default());
    let device = one_device(&*store, "dk");
    let live = Live::begin(&Stores::from(Arc::clone(&store)), Feed::new());
    let start = store.happened(None, 1).await.unwrap().head;
    let mut other = Reader::new(&live, None, 1_000_000).await;
    write(&*store, device, 0, 20).await;
    other.read(stored(&*store, start).await.len()).await;
    let head = store.happened(None, 1).await.unwrap().head;
    let Position { epoch, sequence } = head.position;
    for place in [Position { epoch, sequence: sequence + 1000 }, Position { epoch: epoch + 1, sequence: 1 }] {
        let mut late = Reader::new(&live, Some(StreamPlace::last(place)), 1_000_000).await;
        let lost = timeout(PATIENCE, late.subscription.next()).await.expect("it is told at once");
        let narrowgate_http::Next::Lost(lost) = lost else { panic!("{lost:?}") };
        assert_eq!((lost.why, lost.upto), (WhyLost::Unknown, store.happened(None, 1).await.unwrap().head));
        late.at = lost.upto;
        write(&*store, device, 100, 20).await;
        let expected = stored(&*store, lost.upto).await;
        late.read(expected.len()).await;
        assert_eq!(times(&late.read), expected);
    }
    let expected = stored(&*store, start).await;
    other.read(expected.len()).await;
    assert_eq!(times(&other.read), expected, "nothing changes for the other one");
}

fn open(data: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(SqliteOptions::new(data)).expect("the directory is in order"))
}

#[tokio::test(flavor = "multi_thread")]
async fn over_restarts_each_follower_goes_on_from_its_cursor() {
    const LIVES: i64 = 5;
    const OF_A_LIFE: i64 = 400;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let device = one_device(&*store, "dk");
    store.recover().await.unwrap();
    let start = store.happened(None, 1).await.unwrap().head;
    drop(store);
    // Where each of them stands, and what it has read; how much of a life it reads.
    let mut followers: Vec<(StreamPlace, Vec<String>, usize)> =
        [300, 210, 90, 0].map(|part| (start, Vec::new(), part)).into();
    for life in 0..LIVES {
        let store = open(folder.path());
        store.recover().await.unwrap();
        let live = Live::begin(&Stores::from(Arc::clone(&store)), Feed::new());
        let mut readers = Vec::new();
        for (from, read, part) in &followers {
            let mut reader = Reader::new(&live, Some(*from), 50).await;
            reader.read.clone_from(read);
            readers.push((reader, *part));
        }
        write(&*store, device, life * OF_A_LIFE, OF_A_LIFE).await;
        for ((reader, part), follower) in readers.iter_mut().zip(&mut followers) {
            reader.read(follower.1.len() + *part).await;
            *follower = (reader.at, std::mem::take(&mut reader.read), *part);
        }
        store.close().await.unwrap();
    }
    let store = open(folder.path());
    let expected = stored(&*store, start).await;
    let live = Live::begin(&Stores::from(store), Feed::new());
    for (from, read, _) in followers {
        let mut reader = Reader::new(&live, Some(from), 1_000_000).await;
        reader.read = read;
        reader.read(expected.len()).await;
        assert_eq!(times(&reader.read), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_are_far_behind_leave_turns_to_one_of_another_unit() {
    let store = Arc::new(MemoryStore::default());
    let device = one_device(&*store, "dk");
    let start = store.happened(None, 1).await.unwrap().head;
    write(&*store, device, 0, 3000).await;
    let expected = stored(&*store, start).await.len();
    let live = Arc::new(Live::begin(&Stores::from(store), Feed::new()));
    let pages = Arc::new(AtomicUsize::new(0));
    let mut loud = JoinSet::new();
    for _ in 0..40 {
        let (live, pages) = (Arc::clone(&live), Arc::clone(&pages));
        loud.spawn(async move {
            loop {
                let mut follower = live.follow(Some(start), Lot::Unit("loud".into())).await;
                for _ in 0..20 {
                    follower.next().await;
                    pages.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    while pages.load(Ordering::Relaxed) < 100 {
        sleep(Duration::from_millis(1)).await;
    }
    let before = pages.load(Ordering::Relaxed);
    let mut quiet = Reader::new(&live, Some(start), 1_000_000).await;
    quiet.read(expected).await;
    let (own, others) = (expected.div_ceil(PAGE), pages.load(Ordering::Relaxed) - before);
    assert!(others < 12 * own, "{others} pages of others for {own} of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_stored_is_told_to_who_follows_and_costs_nobody_a_place() {
    let store = Arc::new(MemoryStore::default());
    let (device, feed) = (one_device(&*store, "dk"), Feed::new());
    let live = Live::begin(&Stores::from(Arc::clone(&store)), feed.clone());
    let mut subscription = live.follow(None, Lot::Owner).await;
    assert!(matches!(subscription.next().await, narrowgate_http::Next::At(_)));
    let rollout = RolloutMoved { product_key: "pk".into(), time: UnixMillis(7), ..RolloutMoved::default() };
    feed.publish(None, Happening::Rollout(rollout), None);
    let next = timeout(PATIENCE, subscription.next()).await.unwrap();
    assert!(matches!(next, narrowgate_http::Next::Lone(told)
        if told.place.is_none() && told.json.contains("rollout")));
    store.append(batch(vec![report(device, at(1), "{}")])).await.unwrap();
    let next = timeout(PATIENCE, subscription.next()).await.unwrap();
    assert!(matches!(next, narrowgate_http::Next::Piece(piece) if piece.told.len() == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_deleted_device_nothing_is_told_and_its_place_is_passed() {
    let store = Arc::new(MemoryStore::default());
    let device = one_device(&*store, "dk");
    let start = store.happened(None, 1).await.unwrap().head;
    write(&*store, device, 0, 1).await;
    store.delete_device(device, at(9)).await.unwrap();
    store.append(batch(vec![Write::Log(refusal(None, None, at(10)))])).await.unwrap();
    let live = Live::begin(&Stores::from(Arc::clone(&store)), Feed::new());
    let mut reader = Reader::new(&live, Some(start), 1).await;
    reader.read(1).await;
    assert!(reader.read[0].contains("refused"), "{:?}", reader.read);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_device_that_is_deleted_later_nothing_is_told_any_more_either() {
    let store = Arc::new(MemoryStore::default());
    let device = one_device(&*store, "dk");
    let start = store.happened(None, 1).await.unwrap().head;
    write(&*store, device, 0, 1).await;
    let mut reading = Reading::new(&Stores::from(Arc::clone(&store)));
    reading.fresh = Duration::from_millis(20);
    let reading = Arc::new(reading);
    assert_eq!(reading.page(Some(start), PAGE).await.unwrap().piece.told.len(), 1);
    store.delete_device(device, at(9)).await.unwrap();
    sleep(Duration::from_millis(30)).await;
    assert_eq!(reading.page(Some(start), PAGE).await.unwrap().piece.told.len(), 0);
}
