//! Checks of requests with idempotency keys.

use super::fixtures::at;
use crate::{
    firmware::Sha256Sum,
    ids::UnixMillis,
    model::replay::{AskedBefore, KeptAnswer, RequestKey},
    ports::{
        ANSWERS_BYTES_MAX, REQUEST_LIFE_MS, REQUESTS_MAX, ReplayChange, Replays as _, Store, StoreError,
    },
    secret::Secret,
    testing::block_on,
};

/// A request of an owner.
pub fn key(owner: &str, number: u16) -> RequestKey {
    let mut key = [0; 32];
    key[..2].copy_from_slice(&number.to_be_bytes());
    RequestKey { owner: owner.to_owned(), key }
}

pub(super) fn begin(store: &dyn Store, key: &RequestKey, at: UnixMillis) -> Result<(), StoreError> {
    let (key, request, old) = (key.clone(), Sha256Sum([9; 32]), UnixMillis(at.0 - REQUEST_LIFE_MS));
    block_on(store.change_replay(ReplayChange::Begin { key, request, at, old }))
}

pub(super) fn keep(store: &dyn Store, key: &RequestKey, answer: &KeptAnswer) {
    let (key, answer) = (key.clone(), answer.clone());
    block_on(store.change_replay(ReplayChange::Keep { key, answer })).expect("the store works");
}

pub(super) fn found(store: &dyn Store, key: &RequestKey) -> Option<AskedBefore> {
    block_on(store.asked_before(key.clone())).expect("the store reads")
}

/// An answer with a body of so many bytes.
pub fn answer(bytes: usize) -> KeptAnswer {
    KeptAnswer {
        status: 201,
        media_type: String::new(),
        tag: String::new(),
        location: String::new(),
        body: Some(Secret::new("x".repeat(bytes))),
    }
}

/// It begins once, is answered once, and is one of its owner; what came to nothing may begin anew.
pub fn a_request_is_remembered_with_its_answer(store: &dyn Store) {
    let (own, other) = (key("a", 1), key("b", 1));
    assert_eq!(found(store, &own), None);
    begin(store, &own, at(1)).expect("it is new");
    let begun = AskedBefore { request: Sha256Sum([9; 32]), at: at(1), answer: None };
    assert_eq!((found(store, &own), found(store, &other)), (Some(begun.clone()), None));
    assert!(matches!(begin(store, &own, at(2)), Err(StoreError::Exists { what: "request", .. })));
    begin(store, &other, at(2)).expect("another owner's is another one");
    keep(store, &own, &answer(7));
    assert_eq!(found(store, &own), Some(AskedBefore { answer: Some(answer(7)), ..begun }));
    block_on(store.change_replay(ReplayChange::Forget { key: own.clone() })).expect("the store works");
    assert_eq!(found(store, &own), None);
    begin(store, &own, at(3)).expect("it is gone");
    keep(store, &key("a", 9), &answer(7));
    assert_eq!(found(store, &key("a", 9)), None, "what has gone meanwhile is not kept");
}

/// What is old goes with the next request of anybody.
pub fn a_request_is_forgotten_after_a_day(store: &dyn Store) {
    begin(store, &key("a", 1), at(0)).expect("it is new");
    begin(store, &key("a", 2), at(1)).expect("it is new");
    begin(store, &key("b", 1), UnixMillis(at(0).0 + REQUEST_LIFE_MS)).expect("it is new");
    let left = [key("a", 1), key("a", 2), key("b", 1)].map(|key| found(store, &key).is_some());
    assert_eq!(left, [false, true, true]);
}

/// So many, and answers of so many bytes; the oldest go first, and those of others stay.
pub fn requests_of_an_owner_are_bounded(store: &dyn Store) {
    begin(store, &key("b", 1), at(0)).expect("it is new");
    let count = u16::try_from(REQUESTS_MAX).expect("it is small");
    for number in 0..=count {
        begin(store, &key("a", number), at(1)).expect("it is new");
    }
    let is_left = |owner, number| found(store, &key(owner, number)).is_some();
    assert_eq!(
        (is_left("a", 0), is_left("a", 1), is_left("a", count), is_left("b", 1)),
        (false, true, true, true)
    );
    for number in [1, 2, 3, 4] {
        keep(store, &key("a", number), &answer(ANSWERS_BYTES_MAX / 3));
    }
    assert_eq!([1, 2, 3, 4].map(|number| is_left("a", number)), [false, true, true, true]);
    assert!(is_left("b", 1));
}
