//! Reports and refusals of the last day, as charts with the table below.

use maud::{Markup, PreEscaped, html};
use narrowgate_api::{
    fleet::RefusalCount,
    log::Reason,
    rates::{RateView, RatesView},
};

use super::{
    charts::{BarRow, Frame, Spark, TimeSpan, bars, sparkline},
    visit::{Trouble, Visit},
    words::{self, of_reason},
};

/// Reasons that have a row of their own; all further ones share one.
const REASONS_MAX: usize = 5;

const HOUR_MS: i64 = 3_600_000;

impl Visit {
    /// The reports of a day, as small as a word.
    pub(super) async fn day_of_reports(&self) -> Markup {
        let rates: Result<RatesView, _> = self.read("/api/v1/system/rates?bucket=5m").await;
        rates.map_or_else(|trouble| unread(self, &trouble), |rates| reports(self, &rates))
    }

    /// The refusals of a day by their reason.
    pub(super) async fn day_of_refusals(&self) -> Markup {
        let rates: Result<RatesView, _> = self.read("/api/v1/system/rates?bucket=15m").await;
        rates.map_or_else(|trouble| unread(self, &trouble), |rates| refusals(self, &rates))
    }
}

/// In the place of a chart: what the page is for is there all the same.
fn unread(visit: &Visit, Trouble(problem): &Trouble) -> Markup {
    let why = problem.detail.as_ref().unwrap_or(&problem.title);
    html! { p.soft { (visit.t(words::COUNTS_UNREAD)) " " span lang="en" { (why) } } }
}

fn span(rates: &RatesView) -> TimeSpan {
    // Its last bucket goes on.
    let buckets = (rates.to.0 - rates.from.0 + rates.bucket - 1).div_euclid(rates.bucket.max(1));
    TimeSpan { from: rates.from.0, until: rates.from.0 + buckets * rates.bucket }
}

/// One number for each bucket; `None`: it is not known.
fn series(rates: &RatesView, of: impl Fn(&RateView) -> u64) -> Vec<Option<u64>> {
    let TimeSpan { from, until } = span(rates);
    let mut known = rates.items.iter().peekable();
    let mut series = Vec::new();
    let mut begin = from;
    while begin < until && rates.bucket > 0 {
        while known.next_if(|item| item.time.0 < begin).is_some() {}
        series.push(known.next_if(|item| item.time.0 == begin).map(&of));
        begin += rates.bucket;
    }
    series
}

fn reports(visit: &Visit, rates: &RatesView) -> Markup {
    let minutes = u64::try_from(rates.bucket / 60_000).unwrap_or(1).max(1);
    // Of the bucket that is not over, its part.
    let so_far = |item: &RateView| {
        let minutes_so_far = u64::try_from((rates.to.0 - item.time.0) / 60_000).unwrap_or(minutes);
        minutes_so_far.clamp(1, minutes)
    };
    let values = series(rates, |item| item.reports.div_ceil(so_far(item)));
    let most = values.iter().flatten().max().copied().unwrap_or(0);
    let now = values.iter().rev().flatten().next().copied().unwrap_or(0);
    let said = match most {
        0 => visit.t(words::DAY_OF_REPORTS_NONE).to_owned(),
        _ => {
            let (now, most) = (visit.number(now), visit.number(most));
            visit.say(words::DAY_OF_REPORTS_SAID, &[("now", &now), ("most", &most)])
        }
    };
    let zone = visit.preferences.chart_zone();
    let frame = Frame {
        id: "day-of-reports",
        title: visit.t(words::DAY_OF_REPORTS),
        description: &said,
        span: span(rates),
        zone: &zone,
    };
    let svg = sparkline(&frame, Spark { values: &values, step: rates.bucket });
    html! {
        (PreEscaped(svg))
        p.soft { (visit.t(words::DAY_OF_REPORTS)) ": " (said) }
        (by_hour(visit, rates, words::REPORTS, |item| item.reports))
    }
}

fn count_of(item: &RateView, reason: Option<Reason>) -> u64 {
    item.refusals.iter().filter(|it| it.reason == reason).map(|it| it.count).sum()
}

fn refusals(visit: &Visit, rates: &RatesView) -> Markup {
    let sums = sums(&rates.items);
    let all: u64 = sums.iter().map(|it| it.count).sum();
    if all == 0 {
        return html! { p { (visit.t(words::DAY_OF_REFUSALS_NONE)) } };
    }
    let (named, others) = sums.split_at(sums.len().min(REASONS_MAX));
    let mut rows: Vec<BarRow<'_>> = named
        .iter()
        .map(|it| BarRow {
            label: visit.t(of_reason(it.reason).0),
            counts: series(rates, |item| count_of(item, it.reason)),
        })
        .collect();
    if !others.is_empty() {
        let of_others = |item: &RateView| others.iter().map(|it| count_of(item, it.reason)).sum();
        rows.push(BarRow { label: visit.t(words::OTHER_REASONS), counts: series(rates, of_others) });
    }
    let said = visit.count(words::DAY_OF_REFUSALS_SAID, all);
    let zone = visit.preferences.chart_zone();
    let frame = Frame {
        id: "day-of-refusals",
        title: visit.t(words::DAY_OF_REFUSALS),
        description: &said,
        span: span(rates),
        zone: &zone,
    };
    let svg = bars(&frame, &rows);
    let has_gaps = series(rates, |_| 1).contains(&None);
    html! {
        (PreEscaped(svg))
        p.soft { (said) @if has_gaps { " " (visit.t(words::DAY_OF_REFUSALS_GAPS)) } }
        (by_hour(visit, rates, words::REFUSALS, |item| item.refusals.iter().map(|it| it.count).sum()))
    }
}

/// How often each reason was one, most first.
fn sums(items: &[RateView]) -> Vec<RefusalCount> {
    let mut sums: Vec<RefusalCount> = Vec::new();
    for RefusalCount { reason, count } in items.iter().flat_map(|item| &item.refusals) {
        match sums.iter_mut().find(|it| it.reason == *reason) {
            Some(sum) => sum.count = sum.count.saturating_add(*count),
            None => sums.push(RefusalCount { reason: *reason, count: *count }),
        }
    }
    sums.sort_by_key(|it| std::cmp::Reverse(it.count));
    sums
}

/// The table below a chart: hours of UTC, the newest first.
fn by_hour(visit: &Visit, rates: &RatesView, what: words::Word, of: impl Fn(&RateView) -> u64) -> Markup {
    let mut hours: Vec<(i64, u64)> = Vec::new();
    for item in &rates.items {
        let hour = item.time.0.div_euclid(HOUR_MS) * HOUR_MS;
        match hours.last_mut() {
            Some((last, count)) if *last == hour => *count = count.saturating_add(of(item)),
            _ => hours.push((hour, of(item))),
        }
    }
    html! {
        details {
            summary { (visit.t(words::AS_A_TABLE)) }
            div.scroll {
                table.rows {
                    thead { tr { th { (visit.t(words::BY_HOUR)) } th.number { (visit.t(what)) } } }
                    tbody {
                        @for (hour, count) in hours.iter().rev() {
                            tr {
                                th scope="row" data-label=(visit.t(words::BY_HOUR)) {
                                    (visit.preferences.exact(narrowgate_api::names::UnixMillis(*hour)))
                                }
                                td.number data-label=(visit.t(what)) { (visit.number(*count)) }
                            }
                        }
                    }
                }
            }
            p.hint { (visit.t(words::NOT_KNOWN_WHY)) }
        }
    }
}
