//! Long lists of a [`super::model::Model`] part by part, and counts over all of it.

use std::{cmp::Reverse, collections::HashMap};

use crate::{
    ids::{DeviceId, UnixMillis},
    model::{
        device::DeviceState,
        log::{LogEntry, Reason},
        message::{EventValue, MessageKind, PointValue, read_event},
        overview::{DeviceCounts, Overview, OverviewQuery, ProductCounts},
    },
    paging::{Collector, Page, Part, Place},
    ports::{BucketQuery, EventQuery, HistoryPage, HistoryQuery, PresenceChange, Query},
    rules::{
        buckets::{Aggregation, BUCKETS_MAX, Bucket, Crowded},
        latest::for_each_point,
    },
};

use super::model::{Model, Report};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

impl Model {
    /// Reads a page, as [`crate::ports::History::read`] does.
    pub fn read(&self, query: Query) -> HistoryPage {
        match query {
            Query::PointsLatest { device } => {
                let items = self.row(device).map_or_else(Vec::new, |row| row.latest.values());
                HistoryPage::Points(Page { items, ..Page::empty() })
            }
            Query::PointsHistory { device, query } => {
                HistoryPage::Points(self.points_history(device, &query))
            }
            Query::Buckets { device, query } => HistoryPage::Buckets(self.buckets(device, query)),
            Query::Events { device, query } => HistoryPage::Events(self.events(device, &query)),
            Query::DeviceLog { device, part } => {
                HistoryPage::Entries(self.row(device).map_or_else(Page::empty, |row| row.log.part(part)))
            }
            Query::Refusals { part } => HistoryPage::Entries(self.refusals(part)),
            Query::Commands { device, part } => HistoryPage::Commands(
                self.row(device).map_or_else(Page::empty, |row| row.commands.part(part)),
            ),
            Query::Arrivals { device, limit } => HistoryPage::Arrivals(self.arrivals(device, limit)),
            Query::Presence { device, part } => HistoryPage::Presence(self.moves(device, part)),
            Query::Happened { after, limit } => HistoryPage::Happened(self.happened(after, limit)),
        }
    }

    fn arrivals(&self, device: DeviceId, limit: usize) -> Vec<UnixMillis> {
        let Some(row) = self.row(device) else { return Vec::new() };
        let mut arrivals: Vec<UnixMillis> = row.messages.iter().map(|report| report.arrival).collect();
        arrivals.sort_unstable_by_key(|arrival| Reverse(*arrival));
        arrivals.truncate(limit);
        arrivals
    }

    fn points_history(&self, device: DeviceId, query: &HistoryQuery) -> Page<PointValue> {
        let Some(row) = self.row(device) else { return Page::empty() };
        let is_in_span = |report: &&Report| {
            report.kind != MessageKind::Event
                && query.from.is_none_or(|from| report.time >= from)
                && query.to.is_none_or(|to| report.time < to)
        };
        let mut reports: Vec<&Report> = row.messages.iter().filter(is_in_span).collect();
        reports.sort_by_key(|report| Reverse(order(report)));
        let mut page = Collector::new(query.limit);
        for report in reports {
            let (time, number) = order(report);
            // Points of this report that were on an earlier page.
            let had = match query.after {
                Some(Place([after, last, ..])) if (time, number) > (after, last) => continue,
                Some(Place([after, last, _, had])) if (time, number) == (after, last) => had,
                _ => 0,
            };
            let mut index = 0;
            let mut is_full = false;
            for_each_point(&report.points_json, |point, value| {
                index += 1;
                if index > had && !is_full && query.point.as_deref().is_none_or(|wanted| wanted == point) {
                    let item = PointValue { point: point.to_owned(), value: value.into(), time: report.time };
                    is_full = !page.take(Place([time, number, 0, index]), item);
                }
            });
            if is_full {
                break;
            }
        }
        page.finish()
    }

    fn buckets(&self, device: DeviceId, query: BucketQuery) -> Result<Page<Bucket>, Crowded> {
        let (Some(row), Some(last)) = (self.row(device), query.last_time()) else { return Ok(Page::empty()) };
        let BucketQuery { point, bucketing, functions, from, limit, .. } = query;
        let mut buckets = Aggregation::new(bucketing, functions, from, limit.min(BUCKETS_MAX));
        for report in row.messages.iter().rev().filter(|report| report.time <= last) {
            if report.time < buckets.needed_from() {
                continue;
            }
            buckets.note_message(report.time, report.points_json.len())?;
            if report.kind == MessageKind::Event {
                continue;
            }
            let mut index = 0;
            for_each_point(&report.points_json, |name, value| {
                index += 1;
                if name == point {
                    buckets.take(report.time, [report.number as i64, 0, index], value.get());
                }
            });
        }
        Ok(buckets.finish())
    }

    fn events(&self, device: DeviceId, query: &EventQuery) -> Page<EventValue> {
        let Some(row) = self.row(device) else { return Page::empty() };
        let is_wanted = |report: &&Report| {
            report.kind == MessageKind::Event
                && query.from.is_none_or(|from| report.time >= from)
                && query.to.is_none_or(|to| report.time < to)
                && query.after.is_none_or(|Place([time, number, ..])| order(report) < (time, number))
        };
        let mut reports: Vec<&Report> = row.messages.iter().filter(is_wanted).collect();
        reports.sort_by_key(|report| Reverse(order(report)));
        let mut page = Collector::new(query.limit);
        for report in reports {
            let Some((event, output)) = read_event(&report.points_json) else { continue };
            if query.events.as_ref().is_some_and(|events| !events.contains(&event)) {
                continue;
            }
            let (time, number) = order(report);
            if !page.take(Place([time, number, 0, 1]), EventValue { event, time: report.time, output }) {
                break;
            }
        }
        page.finish()
    }

    fn moves(&self, device: DeviceId, part: Part) -> Page<PresenceChange> {
        let Some(row) = self.row(device) else { return Page::empty() };
        let follows = |number: u64| part.after.is_none_or(|after| (number as i64) < after.0[0]);
        let mut page = Collector::new(part.limit);
        for (number, change) in row.presence.iter().rev().filter(|(number, _)| follows(*number)) {
            if !page.take(Place([*number as i64, 0, 0, 0]), change.clone()) {
                break;
            }
        }
        page.finish()
    }

    fn refusals(&self, part: Part) -> Page<LogEntry> {
        let place = |(number, entry): &(u64, LogEntry)| Place([entry.time.0, *number as i64, 0, 0]);
        let follows = |place: Place| part.after.is_none_or(|after| place.0 < after.0);
        let mut entries: Vec<_> = self.refusals.iter().filter(|entry| follows(place(entry))).collect();
        entries.sort_by_key(|entry| Reverse(place(entry).0));
        let mut page = Collector::new(part.limit);
        for entry in entries {
            if !page.take(place(entry), entry.1.clone()) {
                break;
            }
        }
        page.finish()
    }

    /// See [`crate::ports::Registry::overview`].
    pub fn overview(&self, query: OverviewQuery) -> Overview {
        let mut counts: HashMap<usize, DeviceCounts> = HashMap::new();
        for row in self.rows() {
            let counts = counts.entry(row.product).or_default();
            *match row.life.state {
                _ if !row.life.enabled => &mut counts.disabled,
                DeviceState::Inactive => &mut counts.inactive,
                DeviceState::Online => &mut counts.online,
                DeviceState::Offline => &mut counts.offline,
            } += 1;
        }
        let products = self.products_by_index().map(|(index, product)| ProductCounts {
            product_key: product.product_key.clone(),
            name: Some(product.name.clone()),
            devices: counts.get(&index).copied().unwrap_or_default(),
        });
        let since = |ms| move |time: UnixMillis| time.0 > query.now.0 - ms && time <= query.now;
        let mut refusals: Vec<(Option<Reason>, u64)> = Vec::new();
        for (_, entry) in self.refusals.iter().filter(|(_, entry)| since(HOUR_MS)(entry.time)) {
            match refusals.iter_mut().find(|(reason, _)| *reason == entry.reason) {
                Some((_, count)) => *count += 1,
                None => refusals.push((entry.reason, 1)),
            }
        }
        refusals.sort_by_key(|(reason, count)| (Reverse(*count), reason.map(|reason| format!("{reason:?}"))));
        let present = || self.rows().flat_map(|row| row.messages.iter().map(|report| report.arrival));
        let arrivals = || present().chain(self.arrivals_of_gone.iter().copied());
        let reports = |ms| arrivals().filter(|arrival| since(ms)(*arrival)).count() as u64;
        Overview {
            refusals,
            reports_last_minute: reports(MINUTE_MS),
            reports_last_hour: reports(HOUR_MS),
            ..Overview::divide(products.collect(), query.products_max)
        }
    }
}

/// History is read in descending order.
fn order(report: &Report) -> (i64, i64) {
    (report.time.0, report.number as i64)
}
