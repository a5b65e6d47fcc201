//! Reports of a day of organisation units that have a quota of them.
//!
//! A report counts when it is taken; one that the store does not take in the end is given back. A request
//! with several of them is taken whole where it begins within the quota, so that no device has to send a part
//! of it again. What is beyond is answered 4.29 until the next day of UTC. The counts are written down every
//! [`WRITTEN_EVERY`] and when the gateway settles: after a crash, what was taken since then is not counted.
//!
//! A report of a unit without a quota costs one comparison. Limits: as many units as the store has that a
//! report came of; of each, [`TOLD_MAX`] devices are told in an hour, and [`HEAVIEST_MAX`] are counted apart.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_engine::event::Ticket;
use narrowgate_platform::{
    device_api::{self, Action},
    ids::{DeviceId, UnixMillis},
    model::{
        access::{ReportsOfDay, Unit},
        log::{LogEntry, LogEvent, Reason},
    },
    ports::{StoreError, Write, Written},
    rules::{
        clock::Arrival,
        issuing::clock_hour,
        quotas::{day, is_over, seconds_to_next_day},
    },
};

use crate::{
    effect::{Now, ProductRead},
    outbox::{Outbox, Pending},
    products::CachedProduct,
    requests::{Asker, Whose},
    shared::Shared,
};

/// How often counts are written down.
const WRITTEN_EVERY: Duration = Duration::from_secs(10);
/// Devices of a unit whose logs are told in an hour that its reports are used up.
const TOLD_MAX: usize = 1000;
/// Devices of a unit that are counted apart, to find one that sends most of its reports.
const HEAVIEST_MAX: usize = 8;

/// The quota of a product's unit.
#[derive(Debug)]
pub(crate) struct ReportQuota {
    ou: Arc<str>,
    reports_per_day: u32,
}

impl ReportQuota {
    /// That of a unit that has one.
    pub(crate) fn of(unit: &Unit) -> Option<Self> {
        let reports_per_day = unit.quotas.reports_per_day?;
        Some(Self { ou: unit.ou.as_str().into(), reports_per_day })
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct ReportQuotas {
    units: BTreeMap<Arc<str>, Counted>,
    /// When counts are written down next; `None`: none has changed.
    due: Option<Instant>,
}

/// What a unit has sent.
#[derive(Debug)]
struct Counted {
    reports: ReportsOfDay,
    /// It is not written down, nor handed over for that.
    is_changed: bool,
    heaviest: Vec<(DeviceId, u32)>,
    /// The hour, and the devices that were told in it.
    told: (i64, BTreeSet<DeviceId>),
}

/// A report that is not taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UsedUp {
    reports_per_day: u32,
    wait_s: u32,
    /// The device was not told of it in this hour.
    is_news: bool,
    /// The first one of the unit in this hour: the device that sent most of its reports, and how many.
    heaviest: Option<(DeviceId, u32)>,
}

impl ReportQuotas {
    /// A product was read with its unit. What this process has counted itself is newer.
    pub(crate) fn know(&mut self, read: &Result<Option<ProductRead>, StoreError>) {
        let Ok(Some(ProductRead { unit: Some(unit), .. })) = read else { return };
        if let Some(reports) = unit.reports.filter(|_| unit.quotas.reports_per_day.is_some()) {
            self.units.entry(unit.ou.as_str().into()).or_insert_with(|| Counted::of(reports));
        }
    }

    /// Takes reports of a device.
    fn take(
        &mut self,
        now: Instant,
        quota: &ReportQuota,
        device: DeviceId,
        (count, at): (u32, UnixMillis),
    ) -> Result<(), UsedUp> {
        let today = ReportsOfDay { day: day(at), count: 0 };
        let unit = self.units.entry(Arc::clone(&quota.ou)).or_insert_with(|| Counted::of(today));
        if is_over(unit.reports.day, today.day) {
            *unit = Counted::of(today);
        }
        if unit.reports.count >= quota.reports_per_day {
            return Err(unit.refuse(quota.reports_per_day, device, at));
        }
        unit.count(device, count);
        self.due.get_or_insert(now + WRITTEN_EVERY);
        Ok(())
    }

    fn give_back(&mut self, quota: &ReportQuota, count: u32) {
        if let Some(unit) = self.units.get_mut(&quota.ou) {
            unit.reports.count = unit.reports.count.saturating_sub(count);
            unit.is_changed = true;
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    pub(crate) fn handle_timeout(&mut self, out: &mut Outbox, now: Instant) {
        if self.due.is_some_and(|due| due <= now) {
            self.write_all(out);
        }
    }

    /// Has all counts written down that have changed.
    pub(crate) fn write_all(&mut self, out: &mut Outbox) {
        self.due = None;
        for (ou, unit) in self.units.iter_mut().filter(|(_, unit)| unit.is_changed) {
            unit.is_changed = false;
            let write = Write::UnitReports { ou: Arc::clone(ou), reports: unit.reports };
            out.write(vec![write], Pending::UnitReports(Arc::clone(ou)));
        }
    }

    /// A count was written down, or is to be written again with the next ones.
    pub(crate) fn handle_written(&mut self, ou: &str, is_written: bool) {
        if let Some(unit) = self.units.get_mut(ou) {
            unit.is_changed |= !is_written;
        }
    }
}

impl Counted {
    fn of(reports: ReportsOfDay) -> Self {
        Self { reports, is_changed: false, heaviest: Vec::new(), told: (0, BTreeSet::new()) }
    }

    fn count(&mut self, device: DeviceId, count: u32) {
        self.reports.count = self.reports.count.saturating_add(count);
        self.is_changed = true;
        // Whoever sends more than an eighth is among them, and is counted high rather than low.
        if let Some((_, has)) = self.heaviest.iter_mut().find(|(known, _)| *known == device) {
            *has = has.saturating_add(count);
        } else if self.heaviest.len() < HEAVIEST_MAX {
            self.heaviest.push((device, count));
        } else if let Some(least) = self.heaviest.iter_mut().min_by_key(|(_, has)| *has) {
            *least = (device, least.1.saturating_add(count));
        }
    }

    fn refuse(&mut self, reports_per_day: u32, device: DeviceId, at: UnixMillis) -> UsedUp {
        let hour = clock_hour(at);
        let mut heaviest = None;
        if self.told.0 < hour {
            self.told = (hour, BTreeSet::new());
            let most = self.heaviest.iter().copied().max_by_key(|(_, count)| *count);
            heaviest = most.filter(|(_, count)| *count > reports_per_day / 4);
        }
        let is_news = self.told.1.len() < TOLD_MAX && self.told.1.insert(device);
        UsedUp { reports_per_day, wait_s: seconds_to_next_day(at), is_news, heaviest }
    }
}

impl Shared {
    /// Takes what is to be stored of a request; returns how many reports count for a quota.
    pub(crate) fn take_reports(
        &mut self,
        now: Now,
        asker: &Whose,
        action: &Action,
        product: Option<&Arc<CachedProduct>>,
        arrived: Arrival,
    ) -> Result<u32, UsedUp> {
        let Some(quota) = product.and_then(|product| product.quota.as_ref()) else { return Ok(0) };
        let Action::Store { writes, .. } = action else { return Ok(0) };
        let reports = writes.iter().filter(|write| matches!(write, Write::Message(_))).count();
        let count = u32::try_from(reports).unwrap_or(u32::MAX);
        if count > 0 {
            self.quotas.take(now.instant, quota, asker.grant.device, (count, arrived.time))?;
        }
        Ok(count)
    }

    /// Gives back what was counted of a report where the store has not taken it.
    pub(crate) fn give_back_unless_stored(
        &mut self,
        asker: &Whose,
        counted: u32,
        outcomes: Result<&[Written], &StoreError>,
    ) {
        let is_stored = outcomes.is_ok_and(|outcomes| outcomes.iter().all(|one| *one == Written::Done));
        if !is_stored {
            self.give_back(asker, counted);
        }
    }

    /// Gives back what was counted of a report that is not stored.
    pub(crate) fn give_back(&mut self, asker: &Whose, counted: u32) {
        if counted == 0 {
            return;
        }
        let product = self.products.find(asker.grant.product_key());
        if let Some(quota) = product.and_then(|product| product.quota.as_ref()) {
            self.quotas.give_back(quota, counted);
        }
    }

    /// Answers a report that is beyond the quota.
    pub(crate) fn refuse_reports(&mut self, now: Now, ticket: Ticket, asker: &Asker, used_up: UsedUp) {
        let UsedUp { reports_per_day, wait_s, is_news, heaviest } = used_up;
        let (response, refusal) = device_api::quota::reports_used_up(reports_per_day, wait_s).into_parts();
        self.respond(now, ticket, asker, response);
        match refusal {
            Some(refusal) if is_news => self.refuse(now, asker, refusal),
            _ => {
                self.requests.count(Some(Reason::RateLimited));
                let product_key = Some(asker.grant.product_key());
                self.refusals.count(now, product_key, Some(Reason::RateLimited));
            }
        }
        if let Some((device, count)) = heaviest {
            let detail = device_api::quota::used_up_by(count, reports_per_day);
            tracing::warn!(device = device.0, count, reports_per_day, "a device has used up much of a quota");
            let entry = LogEntry::new(device, now.wall, LogEvent::Warning);
            let (reason, detail) = (Some(Reason::RateLimited), Some(detail));
            self.out.write(vec![Write::Log(LogEntry { reason, detail, ..entry })], Pending::QuotaTold);
        }
    }
}
