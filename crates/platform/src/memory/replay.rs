//! Requests with idempotency keys of a [`Model`].

use super::model::Model;
use crate::{
    model::replay::{AskedBefore, RequestKey},
    ports::{ANSWERS_BYTES_MAX, AccessChange, REQUESTS_MAX, ReplayChange, StoreError, bytes_of},
};

/// Oldest first.
pub(super) type Requests = Vec<(RequestKey, AskedBefore)>;

impl Model {
    pub(super) fn change_request(&mut self, change: &ReplayChange) -> Result<(), StoreError> {
        let requests = &mut self.requests;
        match change {
            ReplayChange::Begin { key, request, at, old } => {
                requests.retain(|(_, asked)| asked.at > *old);
                if requests.iter().any(|(known, _)| known == key) {
                    return Err(AccessChange::Request(change.clone()).exists());
                }
                let asked = AskedBefore { request: *request, at: *at, answer: None };
                requests.push((key.clone(), asked));
                evict(requests, &key.owner, REQUESTS_MAX, usize::MAX);
            }
            ReplayChange::Keep { key, answer } => {
                if let Some((_, asked)) = requests.iter_mut().find(|(known, _)| known == key) {
                    asked.answer = Some(answer.clone());
                }
                evict(requests, &key.owner, usize::MAX, ANSWERS_BYTES_MAX);
            }
            ReplayChange::Forget { key } => requests.retain(|(known, _)| known != key),
        }
        Ok(())
    }

    pub(super) fn request(&self, key: &RequestKey) -> Option<AskedBefore> {
        let found = self.requests.iter().find(|(known, _)| known == key);
        found.map(|(_, asked)| asked.clone())
    }
}

/// Takes away the oldest requests of an owner until there are no more than so many, with so many bytes.
fn evict(requests: &mut Requests, owner: &str, count_max: usize, bytes_max: usize) {
    let of_owner = |(key, _): &(RequestKey, AskedBefore)| key.owner == owner;
    loop {
        let own = requests.iter().filter(|one| of_owner(one));
        let bytes = own.clone().filter_map(|(_, asked)| asked.answer.as_ref()).map(bytes_of).sum::<usize>();
        if own.count() <= count_max && bytes <= bytes_max {
            return;
        }
        let Some(oldest) = requests.iter().position(of_owner) else { return };
        requests.remove(oldest);
    }
}
