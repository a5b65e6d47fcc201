//! The system: is the server itself all right, what takes its room, and a backup of it.

use std::time::Duration;

use axum::{Router, http::Method, routing::get};
use maud::{Markup, html};
use narrowgate_api::{
    backup::{BackupQuery, BackupView},
    fleet::Disk,
    problem::Problem,
};
use narrowgate_platform::model::access::Needs;
use tokio::time::{Instant, timeout};

use super::{
    ask::{Act, internal, with_query},
    counted::Counted,
    layout::{Here, Sheet},
    overview,
    parts::{ONCE, Tone},
    visit::{Sent, Shown, Trouble, Visit},
    words::{self, Word},
};
use crate::metrics::{MetricKind, Samples, Value};

const PATH: &str = "/console/system";
const BACKUP: &str = "/console/system/backup";

/// A page waits no longer for a backup: its answer has ten seconds.
const ANSWERED_WITHIN: Duration = Duration::from_secs(7);

/// Series of a metric that are listed; all of them are at `/metrics`.
const SERIES_MAX: usize = 24;

pub(super) fn routes() -> Router {
    Router::new().route(PATH, get(show)).route(BACKUP, get(show).post(back_up))
}

/// What the server counts that tells of something wrong where it is not zero.
struct Sign {
    metric: &'static str,
    /// Only the series of which a label has this value.
    of: Option<&'static str>,
    tone: Tone,
    /// What it says, and what to do.
    says: (Word, Word),
}

const fn sign(metric: &'static str, tone: Tone, says: (Word, Word)) -> Sign {
    Sign { metric, of: None, tone, says }
}

const SIGNS: &[Sign] = &[
    sign("narrowgate_clock_wrong_seconds", Tone::Act, (words::SIGN_CLOCK, words::SIGN_CLOCK_DO)),
    sign("narrowgate_audit_unwritten_total", Tone::Act, (words::SIGN_AUDIT, words::SIGN_AUDIT_DO)),
    sign("narrowgate_store_failed_batches_total", Tone::Watch, (words::SIGN_BATCHES, words::SIGN_BATCHES_DO)),
    sign("narrowgate_secret_shared_alarms_total", Tone::Watch, (words::SIGN_SHARED, words::SIGN_SHARED_DO)),
    sign("narrowgate_forgery_alarms_total", Tone::Watch, (words::SIGN_FORGED, words::SIGN_FORGED_DO)),
    Sign {
        of: Some("receive_buffer_full"),
        ..sign(
            "narrowgate_dropped_datagrams_total",
            Tone::Watch,
            (words::SIGN_RECEIVE, words::SIGN_RECEIVE_DO),
        )
    },
    sign("narrowgate_send_buffer_drops_total", Tone::Watch, (words::SIGN_SEND, words::SIGN_SEND_DO)),
    sign("narrowgate_log_lines_dropped_total", Tone::Watch, (words::SIGN_LOG, words::SIGN_LOG_DO)),
];

/// A sign that there is, and how often or how much.
struct Seen {
    sign: &'static Sign,
    count: u64,
}

fn seen(samples: &[Samples]) -> Vec<Seen> {
    let count = |sign: &Sign| {
        let found = samples.iter().find(|samples| samples.metric.name == sign.metric);
        let series = found.into_iter().flat_map(|samples| &samples.values);
        let series = series
            .filter(|sample| sign.of.is_none_or(|of| sample.labels.iter().any(|(_, value)| value == of)));
        series.fold(0_u64, |sum, sample| sum.saturating_add(whole(sample.value)))
    };
    let seen = SIGNS.iter().map(|sign| Seen { sign, count: count(sign) });
    seen.filter(|seen| seen.count > 0).collect()
}

/// A part of a second counts as one.
fn whole(value: Value) -> u64 {
    match value {
        Value::Whole(number) => number,
        Value::Time(time) => time.as_secs() + u64::from(time.subsec_nanos() > 0),
    }
}

async fn show(visit: Visit) -> Shown {
    page(&visit, Asked::Nothing).await
}

/// What became of a backup that was asked for.
#[derive(Debug, Clone, Copy)]
enum Asked<'a> {
    /// None was.
    Nothing,
    Made(&'a BackupView),
    Refused(&'a Problem),
    /// It is being made.
    GoesOn,
}

async fn page(visit: &Visit, asked: Asked<'_>) -> Shown {
    // How many devices there are is not on this page.
    let Counted { status, .. } = Counted::read(visit).await?;
    let vitals = &visit.console.vitals;
    let (vital, samples) = (vitals.read(Instant::now()).await, vitals.samples().await);
    let seen = seen(&samples);
    let mut found = overview::findings_of_server(&status, &vital);
    found.extend(seen.iter().map(|Seen { sign, .. }| overview::Finding {
        tone: sign.tone,
        what: sign.says.0,
        at: "#signs",
    }));
    let sheet = Sheet::new(Here::System, visit.t(words::SYSTEM));
    let sheet = match asked {
        Asked::Refused(problem) => sheet.with_status(problem.status),
        // What a form was answered with is not loaded anew.
        Asked::Made(_) | Asked::GoesOn => sheet,
        Asked::Nothing => sheet.refreshed_every(15),
    };
    let content = html! {
        div #system data-live {
            (overview::verdict(visit, words::SYSTEM, &found))
            (overview::server(visit, &status, &vital))
            (signs(visit, &seen))
        }
        div.split {
            section.panel #disk data-live { (disk(visit, &status.disk)) }
            @if visit.may(Needs::AdministerAll) { (backup(visit, asked)) }
        }
        (measures(visit, &samples))
    };
    Ok(visit.page_with_heading(sheet, &content))
}

fn signs(visit: &Visit, seen: &[Seen]) -> Markup {
    let labels = [words::SIGN, words::HOW_OFTEN, words::ADVICE].map(|word| visit.t(word));
    let [what, often, advice] = labels;
    html! {
        section.panel #signs {
            h2 { (visit.t(words::SIGNS)) }
            @if seen.is_empty() { p { (visit.word(Tone::Good, visit.t(words::SIGNS_NONE))) } }
            @else {
                div.scroll {
                    table.rows {
                        thead { tr { th { (what) } th.number { (often) } th { (advice) } } }
                        tbody {
                            @for Seen { sign, count } in seen {
                                tr data-row {
                                    th scope="row" data-label=(what) {
                                        (visit.word(sign.tone, visit.t(sign.says.0)))
                                    }
                                    td.number data-label=(often) { (visit.number(*count)) }
                                    td data-label=(advice) { (visit.t(sign.says.1)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn disk(visit: &Visit, disk: &Disk) -> Markup {
    let Disk { registry_bytes, logs_bytes, messages_bytes, backups_bytes, other_bytes, free_bytes } = *disk;
    let parts = [
        (words::DISK_MESSAGES, messages_bytes),
        (words::DISK_LOGS, logs_bytes),
        (words::DISK_REGISTRY, registry_bytes),
        (words::DISK_BACKUPS, backups_bytes),
        (words::DISK_OTHER, other_bytes),
    ];
    let used = parts.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
    html! {
        h2 { (visit.t(words::DISK_TITLE)) }
        table.plain {
            @for (word, bytes) in parts {
                tr {
                    th scope="row" { (visit.t(word)) }
                    td.number { (visit.preferences.bytes(bytes)) }
                    td.number { (percent(bytes, used)) }
                }
            }
            @if let Some(free) = free_bytes {
                tr {
                    th scope="row" { b { (visit.t(words::DISK_FREE)) } }
                    td.number { b { (visit.preferences.bytes(free)) } }
                    td {}
                }
            }
        }
        p.hint { (visit.t(words::DISK_HINT)) }
    }
}

/// Which part of all it is; nothing of nothing.
fn percent(part: u64, all: u64) -> String {
    let share = (u128::from(part) * 100 + u128::from(all) / 2).checked_div(u128::from(all));
    share.map(|share| format!("{share} %")).unwrap_or_default()
}

fn backup(visit: &Visit, asked: Asked<'_>) -> Markup {
    html! {
        section.panel #backup {
            h2 { (visit.t(words::BACKUP)) }
            @match asked {
                Asked::Made(made) => { (made_backup(visit, made)) }
                Asked::Refused(problem) => { (visit.problem(problem)) }
                Asked::GoesOn => {
                    p.notice role="status" {
                        (visit.t(words::BACKUP_GOES_ON)) " "
                        a href="/console/audit?action=backup" { (visit.t(words::AUDIT)) }
                    }
                }
                Asked::Nothing => {}
            }
            p { (visit.t(words::BACKUP_TEXT)) }
            form method="post" action=(BACKUP) {
                (visit.token_field())
                (visit.once_field())
                label.inline {
                    input type="checkbox" name="key" value="1";
                    (visit.t(words::BACKUP_WITH_KEY))
                }
                p.buttons { button { (visit.t(words::BACKUP_MAKE)) } }
            }
            p.hint { (visit.t(words::BACKUP_HINT)) }
        }
    }
}

fn made_backup(visit: &Visit, made: &BackupView) -> Markup {
    let files = visit.count(words::BACKUP_FILES, made.files);
    html! {
        div.notice role="status" {
            p.what { (visit.t(words::BACKUP_MADE)) }
            p {
                (visit.copyable(&made.name)) " · " (files) " · " (visit.preferences.bytes(made.bytes)) " · "
                (visit.t(if made.with_key { words::BACKUP_HAS_KEY } else { words::BACKUP_HAS_NO_KEY }))
            }
        }
        @if !made.images_without_file.is_empty() {
            div.notice.watch {
                p { (visit.t(words::BACKUP_IMAGES)) }
                @for image in &made.images_without_file { p { code { (image) } } }
            }
        }
        @if let Some(why) = &made.audit_log_damaged {
            div.notice.watch { p { (visit.t(words::BACKUP_NO_AUDIT)) } p lang="en" { (why) } }
        }
    }
}

async fn back_up(visit: Visit, mut form: Sent) -> Shown {
    visit.require(Needs::AdministerAll)?;
    let query = BackupQuery { with_key: form.text("key") == "1" };
    let (path, once) = (with_query("/api/v1/backup", &query), form.text(ONCE));
    // Of its own: a page has to be answered soon, and the backup of a large store goes on behind it.
    let asker = visit.clone();
    let making = tokio::spawn(async move {
        asker.act_behind::<BackupView>(Act::new(Method::POST, &path).once(&once)).await
    });
    let made = match timeout(ANSWERED_WITHIN, making).await {
        Ok(Ok(made)) => made,
        // A fault of ours has ended it.
        Ok(Err(_)) => return Err(internal("it ended")),
        Err(_) => return page(&visit, Asked::GoesOn).await,
    };
    match &made {
        Ok(made) => page(&visit, Asked::Made(made)).await,
        Err(Trouble(problem)) => page(&visit, Asked::Refused(problem)).await,
    }
}

/// All that this process counts, with what each number means.
fn measures(visit: &Visit, samples: &[Samples]) -> Markup {
    let [name, value, means] =
        [words::MEASURE, words::MEASURE_VALUE, words::MEASURE_MEANS].map(|word| visit.t(word));
    let shown = samples.iter().filter(|samples| samples.metric.kind != MetricKind::Histogram);
    html! {
        details {
            summary { (visit.t(words::MEASURES)) }
            p.soft {
                (visit.t(words::MEASURES_TEXT)) " "
                a href="/metrics" { code { "/metrics" } } " · "
                a href="/health/ready" { code { "/health/ready" } }
            }
            div.scroll {
                table.rows {
                    thead { tr { th { (name) } th.number { (value) } th { (means) } } }
                    tbody {
                        @for samples in shown {
                            tr {
                                th scope="row" data-label=(name) { code { (samples.metric.name) } }
                                td.number data-label=(value) { (series(samples)) }
                                td data-label=(means) lang="en" { (samples.metric.help) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The values of a metric: one, or those that are not zero, each with its label.
fn series(samples: &Samples) -> Markup {
    let counted = samples.values.iter().filter(|sample| whole(sample.value) > 0);
    html! {
        @match &samples.values[..] {
            [only] if only.labels.is_empty() => { (only.value.to_string()) }
            _ => {
                @for sample in counted.take(SERIES_MAX) {
                    div {
                        @for (_, label) in &sample.labels { (label) " " }
                        (sample.value.to_string())
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Metric;

    #[test]
    fn a_sign_is_seen_where_its_number_is_not_zero() {
        let dropped = Metric::counter("narrowgate_dropped_datagrams_total", "D.").by("reason");
        let samples = [
            dropped.are([("receive_buffer_full", 0), ("no_session", 7)]),
            Metric::counter("narrowgate_send_buffer_drops_total", "S.").is(0),
        ];
        assert!(seen(&samples).is_empty());
        let samples = [
            dropped.are([("receive_buffer_full", 3), ("no_session", 7)]),
            Metric::gauge("narrowgate_clock_wrong_seconds", "C.").is(Duration::from_millis(1)),
        ];
        let seen: Vec<_> = seen(&samples).into_iter().map(|seen| (seen.sign.metric, seen.count)).collect();
        assert_eq!(seen, [("narrowgate_clock_wrong_seconds", 1), ("narrowgate_dropped_datagrams_total", 3)]);
    }

    #[test]
    fn parts_are_rounded_and_nothing_has_none() {
        let parts = [(0, 0), (0, 3), (1, 3), (2, 3), (u64::MAX, u64::MAX)];
        assert_eq!(parts.map(|(part, all)| percent(part, all)), ["", "0 %", "33 %", "67 %", "100 %"]);
    }
}
