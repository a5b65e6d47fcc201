use narrowgate_platform::ids::DeviceId;

use super::*;
use crate::sqlite::{
    schema::happened::HAPPENED,
    stream::{Tells, Told, add, read::first},
};

fn file() -> Connection {
    let file = Connection::open_in_memory().unwrap();
    file.execute_batch(&(HAPPENED.create() + &HAPPENED_KEPT.create() + INDEX)).unwrap();
    file
}

fn place(n: i64) -> StreamPlace {
    StreamPlace::first(Position { epoch: 1, sequence: n.cast_unsigned() })
}

/// The next one, of this unit and about this long.
fn add_one(file: &Connection, ou: &str, bytes: usize, bytes_max: i64) {
    add(file, one(last(file).unwrap().n + 1, ou, bytes), bytes_max).unwrap();
}

fn one(n: i64, ou: &str, bytes: usize) -> Tells<'_> {
    let happening = format!(r#"{{"event":"offline","time":{n},"detail":"{}"}}"#, "x".repeat(bytes));
    Tells { place: place(n), device: Some(DeviceId(1)), ou, told: (UnixMillis(n), happening) }
}

fn there(file: &Connection) -> BTreeMap<Whose, i64> {
    let sql = "SELECT ou, sum(ifnull(size, 64 + length(what))) FROM happened GROUP BY ou";
    let mut select = file.prepare(sql).unwrap();
    let rows = select.query_map([], |row| Ok((Whose::of(row.get(0)?), row.get(1)?))).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

fn counted(file: &Connection) -> BTreeMap<Whose, i64> {
    of(&Accounts::load(file).unwrap())
}

fn of(accounts: &Accounts) -> BTreeMap<Whose, i64> {
    let bytes = accounts.iter().map(|(ou, account)| (Whose::of(ou.cloned()), account.bytes));
    bytes.filter(|(_, bytes)| *bytes != 0).collect()
}

fn unit(ou: &str) -> Whose {
    Whose::Unit(ou.to_owned())
}

#[test]
fn what_is_counted_is_there_whatever_is_added_taken_back_and_forgotten() {
    let (file, bytes_max) = (file(), 200 << 10);
    for n in 0_usize..3_000 {
        add_one(&file, ["a", "b", "", "a"][n % 4], n % 700, bytes_max);
        if n % 97 == 0 {
            undo(&file, last(&file).unwrap().n - 3).unwrap();
        }
        if n % 500 == 499 {
            let oldest = first(&file).unwrap().unwrap().0;
            let before = UnixMillis(oldest + 20);
            assert!(has_before(&file, before).unwrap());
            forget_before(&file, before).unwrap();
            assert!(!has_before(&file, before).unwrap());
        }
        assert_eq!(counted(&file), there(&file), "{n}");
    }
    let all: i64 = there(&file).values().sum();
    assert!((bytes_max - 1024..bytes_max + COUNT_EVERY).contains(&all), "{all}");
}

#[test]
fn what_is_counted_in_memory_is_what_is_counted_in_the_file() {
    let (file, bytes_max) = (file(), 100 << 10);
    let mut told = Told::load(&file).unwrap();
    for n in 0_usize..1_500 {
        let next = told.newest.n + 1;
        let (row, is_time) = told.next(one(next, ["a", "b", "", "a"][n % 4], n % 700));
        assert_eq!(row.n, next);
        row.insert(&file).unwrap();
        if is_time {
            told.settle(&file, bytes_max).unwrap();
        }
        assert_eq!(of(&told.accounts), counted(&file), "{n}");
        assert_eq!(counted(&file), there(&file), "{n}");
        assert_eq!(told.newest.bytes, last(&file).unwrap().bytes);
    }
    assert!(gone(&file).unwrap().iter().any(|(whose, _)| *whose == unit("a")));
}

#[test]
fn the_one_that_has_most_loses_its_oldest_and_no_other() {
    let (file, bytes_max) = (file(), 100 << 10);
    add_one(&file, "quiet", 10_000, bytes_max);
    for _ in 0..1000 {
        add_one(&file, "loud", 1_000, bytes_max);
    }
    assert!(there(&file)[&unit("quiet")] > 10_000, "it is the oldest of all, and is there");
    let gone = gone(&file).unwrap();
    assert_eq!(gone.len(), 1);
    let oldest = "SELECT min(n) FROM happened WHERE ou = 'loud'";
    let oldest: i64 = file.query_row(oldest, [], |row| row.get(0)).unwrap();
    assert_eq!(gone[0], (unit("loud"), place(oldest - 1)));
    // Alone it may have all there is.
    assert!(there(&file)[&unit("loud")] > bytes_max - (12 << 10));
}

#[test]
fn what_an_earlier_program_left_goes_first_and_is_anybodys() {
    let file = Connection::open_in_memory().unwrap();
    file.execute_batch(
        "CREATE TABLE happened (n INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL, \
         part INTEGER NOT NULL, device INTEGER NOT NULL, time INTEGER NOT NULL, bytes INTEGER NOT NULL, \
         what TEXT NOT NULL, sum INTEGER NOT NULL); \
         WITH RECURSIVE t (n) AS (VALUES (5) UNION ALL SELECT n + 1 FROM t WHERE n < 104) \
         INSERT INTO happened SELECT n, 1, n, 0, 1, n, n * 1064, printf('%.1000c', 'x'), 0 FROM t",
    )
    .unwrap();
    upgrade(&file).unwrap();
    assert_eq!(counted(&file), BTreeMap::from([(Whose::Anybody, 99 * 1064 + 64)]));
    assert_eq!(gone(&file).unwrap(), [(Whose::Anybody, place(5))], "four were gone before");
    for _ in 0..200 {
        add_one(&file, "a", 900, 110 << 10);
    }
    let left = there(&file);
    assert!(left[&Whose::Anybody] < 60 << 10 && left[&unit("a")] > 50 << 10, "{left:?}");
    assert!(gone(&file).unwrap().iter().all(|(_, at)| *at > place(40)));
}
