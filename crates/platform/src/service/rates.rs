//! How many reports came, and what was refused, over the last day.

use std::{cmp::Reverse, collections::BTreeSet, ops::Range};

use narrowgate_api::{
    fleet::RefusalCount,
    rates::{RateView, RatesView, RatesWanted},
};

use super::{error::ServiceError, registrar::Registrar};
use crate::{
    ids::UnixMillis,
    model::rates::{Counting, MINUTE_MS, MINUTES_KEPT, RatesFound, RatesQuery, Tally, minute_of},
};

/// What the process that counts knows; `None`: none runs.
pub type CountingNow = dyn Fn() -> Option<Counting> + Send + Sync;

/// What was counted in a minute is in the store so soon after it.
const WRITTEN_WITHIN_MS: i64 = 2_000;

impl Registrar {
    /// The counts of the last day, of the caller's unit or of one that is named.
    ///
    /// # Errors
    /// `Missing` for a unit that there is none of.
    pub(super) async fn rates(&self, wanted: RatesWanted) -> Result<RatesView, ServiceError> {
        let RatesWanted { bucket, ou } = wanted;
        let ou = match ou {
            Some(named) => Some(self.unit_key(&named).await?),
            None => None,
        };
        let width = bucket.unwrap_or_default().minutes();
        let until = minute_of(UnixMillis(self.clock.now().0.saturating_sub(WRITTEN_WITHIN_MS)));
        // As many whole buckets as a day has, the last one of which may not be over.
        let from = (until - 1).div_euclid(width) * width + width - MINUTES_KEPT;
        // Before the store is read: what is written meanwhile is in it, and is missing no more.
        let counting = self.counting.as_ref().and_then(|counting| counting());
        let mut found = self.registry.rates(RatesQuery { ou, from, until }).await?;
        if let Some(Counting { since, missing }) = counting {
            found.know(since.max(from)..until);
            found.damaged.extend(missing.into_keys());
        }
        Ok(put_together(&found, from..until, width))
    }
}

/// The buckets of so many minutes in which it is known what was counted. One in which nothing was found is
/// left out where a minute of it is missing.
fn put_together(found: &RatesFound, minutes: Range<i64>, width: i64) -> RatesView {
    let at = |minute: i64| UnixMillis(minute.saturating_mul(MINUTE_MS));
    let mut items = Vec::new();
    let mut counted = found.minutes.iter().peekable();
    let mut known = found.known.iter().peekable();
    let missing: BTreeSet<i64> = found.damaged.iter().copied().collect();
    let mut begin = minutes.start;
    while begin < minutes.end {
        let end = begin + width;
        let mut tally = Tally::default();
        let mut is_known = false;
        while let Some((_, more)) = counted.next_if(|(minute, _)| *minute < end) {
            tally.add(more);
            is_known = true;
        }
        while known.next_if(|span| span.end <= begin).is_some() {}
        let is_whole = missing.range(begin..end).next().is_none();
        if is_known || is_whole && known.peek().is_some_and(|span| span.start < end) {
            items.push(RateView { time: at(begin), reports: tally.reports, refusals: by_count(&tally) });
        }
        begin = end;
    }
    RatesView { bucket: width * MINUTE_MS, from: at(minutes.start), to: at(minutes.end), items }
}

fn by_count(tally: &Tally) -> Vec<RefusalCount> {
    let mut refusals: Vec<_> =
        tally.refusals().map(|(reason, count)| RefusalCount { reason, count }).collect();
    refusals.sort_by_key(|refusal| Reverse(refusal.count));
    refusals
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use narrowgate_api::{
        access::{NewUnit, Role},
        product::NewProduct,
        rates::RateBucket,
    };

    use super::*;
    use crate::{
        model::{
            access::{Caller, Scope},
            log::Reason,
            rates::CountedMinute,
        },
        ports::{Batch, Journal as _, Write},
        service::fixtures::{NOW, registrar_with_product_and_store},
        testing::block_on,
    };

    fn tally(reports: u64, wrong_keys: usize) -> Tally {
        let mut tally = Tally::of_reports(reports);
        (0..wrong_keys).for_each(|_| tally.refuse(Some(Reason::WrongKey)));
        tally
    }

    #[test]
    fn minutes_are_put_together_and_what_is_not_known_is_left_out() {
        let minutes = vec![(61, tally(2, 0)), (74, tally(3, 1))];
        let mut found = RatesFound { minutes, ..RatesFound::default() };
        found.know(60..75);
        found.know(118..130);
        let view = put_together(&found, 45..130, 15);
        let items: Vec<_> = view.items.iter().map(|item| (item.time.0 / MINUTE_MS, item.reports)).collect();
        assert_eq!(items, [(60, 5), (105, 0), (120, 0)]);
        assert_eq!(view.items[0].refusals, [RefusalCount { reason: Some(Reason::WrongKey), count: 1 }]);
        assert_eq!((view.bucket, view.from.0, view.to.0), (900_000, 45 * 60_000, 130 * 60_000));
    }

    #[test]
    fn a_unit_sees_its_own_counts_and_all_see_those_of_all_or_of_one() {
        let (owner, store) = registrar_with_product_and_store();
        let unit = block_on(owner.create_unit(NewUnit { name: "north".into(), ..NewUnit::default() }));
        let ou = unit.expect("it is new").ou;
        let product_key = Some("own".to_owned());
        let new = NewProduct { name: "n".into(), product_key, ou: Some(ou.clone()), ..NewProduct::default() };
        block_on(owner.create_product(new)).expect("it is new");
        let minute = minute_of(NOW) - 5;
        let products = vec![("pk".to_owned(), tally(7, 0)), ("own".to_owned(), tally(2, 1))];
        let counted = CountedMinute { minute, since: minute - 3, all: tally(9, 4), products };
        let writes = vec![Write::Rates(Arc::new(counted))];
        block_on(store.memory.append(Batch::new(0, writes))).expect("it works");
        let read = |registrar: &Registrar, ou: Option<&str>| {
            let wanted = RatesWanted { bucket: Some(RateBucket::Minute), ou: ou.map(str::to_owned) };
            let view = block_on(registrar.rates(wanted))?;
            let of = |item: &RateView| (item.reports, item.refusals.iter().map(|it| it.count).sum::<u64>());
            Ok::<_, ServiceError>(view.items.iter().map(of).collect::<Vec<_>>())
        };
        let quiet = [(0, 0); 3];
        let with = |last| [&quiet[..], &[last]].concat();
        assert_eq!(read(&owner, None).expect("it reads"), with((9, 4)));
        assert_eq!(read(&owner, Some("north")).expect("it reads"), with((2, 1)));
        assert_eq!(read(&owner, Some("default")).expect("it reads"), with((7, 0)));
        assert!(read(&owner, Some("south")).is_err());
        let scope = Scope::Unit(ou);
        let north = owner.of(Caller::Token { name: "t".into(), role: Role::Viewer, scope });
        assert_eq!(read(&north, None).expect("it reads"), with((2, 1)));
        assert!(read(&north, Some("default")).is_err());
        // A server that has run for seven minutes knows that nothing came in the others.
        let mut counting = Counting { since: minute_of(NOW) - 7, ..Counting::default() };
        let minutes = |counting: &Counting| {
            let known = counting.clone();
            let counts = Registrar { counting: Some(Arc::new(move || Some(known.clone()))), ..owner.clone() };
            let view = block_on(counts.rates(RatesWanted::default())).expect("it reads");
            let minutes = view.items.iter().map(|item| minute_of(item.time) - minute_of(NOW));
            minutes.collect::<Vec<_>>()
        };
        assert_eq!(minutes(&counting), [-8, -7, -6, -5, -4, -3, -2, -1]);
        // What is not in the store is not known. What is there of a minute is shown.
        counting.missing = [-6, -5, -3].map(|minute| (minute_of(NOW) + minute, 1)).into();
        assert_eq!(minutes(&counting), [-8, -7, -5, -4, -2, -1]);
    }

    #[test]
    fn a_bucket_without_counts_is_not_known_where_a_minute_of_it_is_missing() {
        let mut found =
            RatesFound { minutes: vec![(61, tally(2, 0))], damaged: vec![62, 100], ..RatesFound::default() };
        found.know(60..130);
        let view = put_together(&found, 60..135, 15);
        let items: Vec<_> = view.items.iter().map(|item| (item.time.0 / MINUTE_MS, item.reports)).collect();
        assert_eq!(items, [(60, 2), (75, 0), (105, 0), (120, 0)]);
    }
}
