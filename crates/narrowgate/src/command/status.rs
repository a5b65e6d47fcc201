//! `status`: the fleet in numbers.

use narrowgate_api::{
    fleet::{CountsView, Disk, FleetView, RefusalCount, RefusedByStore, ReportRate, Status},
    log::Reason,
};

use crate::{
    cli::Output,
    client::{Access, Call},
    config::Config,
    failure::Failure,
    output::{self, Layout, printable},
};

pub(super) fn run(config: &Config, output: Output) -> Result<(), Failure> {
    let status = Access::open(config)?.call_once(Call::show_status())?;
    match output {
        Output::Json => output::print(output, &status, Layout::Record),
        Output::Table => output::line(&readable(&status)),
    }
}

/// The numbers for people.
fn readable(status: &Status) -> String {
    let mut lines = Vec::new();
    let mut add = |title: &str, text: String| lines.push(format!("{title:<10} {text}"));
    add("version", printable(&status.version));
    add(
        "server",
        match status.since {
            Some(since) => format!("running since {}", crate::time::rfc3339(since.0)),
            None => "none is running".into(),
        },
    );
    if let Some(reason) = &status.unreadable {
        add("devices", format!("cannot be counted now: {}", printable(reason)));
        add("", "try: check its disk (df -h), then try again".into());
    }
    if let Some(counted) = &status.fleet {
        fleet(counted, &mut add);
    }
    if let Some(RefusedByStore { last_minute, since, reason }) = &status.refused_by_store {
        let since = crate::time::rfc3339(since.0);
        let count = last_minute;
        add("REFUSING", format!("answered 5.03 in the last minute because the store cannot write: {count}"));
        add("", format!("since {since}; {}", printable(reason)));
    }
    let Disk { registry_bytes, logs_bytes, messages_bytes, backups_bytes, other_bytes, free_bytes } =
        status.disk;
    let used = [
        ("registry", Some(registry_bytes)),
        ("logs", Some(logs_bytes)),
        ("messages", Some(messages_bytes)),
        ("backups", Some(backups_bytes).filter(|bytes| *bytes > 0)),
        ("other", Some(other_bytes)),
    ];
    let used = used.into_iter().filter_map(|(what, size)| Some((what, size?)));
    let used: Vec<String> = used.map(|(what, size)| format!("{what} {}", bytes(Some(size)))).collect();
    add("disk", format!("{}; {} free", used.join(", "), bytes(free_bytes)));
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

/// Adds what the store counted.
fn fleet(fleet: &FleetView, add: &mut impl FnMut(&str, String)) {
    add("devices", counts(&fleet.devices));
    for product in &fleet.products {
        let key = printable(&product.product_key);
        let name = if product.damaged {
            "(damaged)".into()
        } else {
            printable(product.name.as_deref().unwrap_or_default())
        };
        add("", format!("{key} {name}: {}", counts(&product.devices)));
    }
    if let Some(others) = &fleet.other_products {
        add("", format!("{} other products: {}", others.products, counts(&others.devices)));
    }
    let refusals: Vec<String> = fleet
        .refusals_last_hour
        .iter()
        .map(|RefusalCount { reason, count }| format!("{} {count}", reason.map_or("other".into(), name)))
        .collect();
    let refusals = if refusals.is_empty() { "none".into() } else { refusals.join(", ") };
    add("refused", format!("in the last hour: {refusals}"));
    let ReportRate { last_minute, last_hour } = fleet.reports_per_minute;
    add("reports", format!("{last_minute} in the last minute, {last_hour:?} a minute in the last hour"));
}

/// The stable name of a reason.
fn name(reason: Reason) -> String {
    let name = serde_json::to_value(reason).ok();
    name.as_ref().and_then(|name| name.as_str()).map_or("other".into(), str::to_owned)
}

/// `5 (1 inactive, 4 online)`.
fn counts(counted: &CountsView) -> String {
    let CountsView { total, inactive, online, offline, disabled, damaged_devices } = *counted;
    let states = [
        (inactive, "inactive"),
        (online, "online"),
        (offline, "offline"),
        (disabled, "disabled"),
        (damaged_devices.unwrap_or_default(), "damaged"),
    ];
    let states = states.iter().filter(|(count, _)| *count != 0);
    let states: Vec<String> = states.map(|(count, word)| format!("{count} {word}")).collect();
    match states.is_empty() {
        true => total.to_string(),
        false => format!("{total} ({})", states.join(", ")),
    }
}

pub(crate) fn bytes(bytes: Option<u64>) -> String {
    let Some(bytes) = bytes else { return "unknown".into() };
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < units.len() {
        size /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0);
    format!("{size:.digits$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(status: serde_json::Value) -> String {
        readable(&serde_json::from_value(status).unwrap())
    }

    #[test]
    fn a_store_that_cannot_write_shows() {
        let shown = shown(json!({
            "version": "0.1.0", "since": 0, "unreadable": "the disk is full",
            "refusedByStore": {"lastMinute": 9, "since": 1000, "reason": "the disk is full"},
            "disk": {"registryBytes": 1, "logsBytes": 1, "messagesBytes": 1, "otherBytes": 0, "freeBytes": 0},
        }));
        assert!(shown.contains("\ndevices    cannot be counted now: the disk is full\n"), "{shown}");
        assert!(shown.contains("because the store cannot write: 9\n"), "{shown}");
        assert!(shown.contains("  since 1970-01-01T00:00:01Z; the disk is full\n"), "{shown}");
        assert!(!shown.contains("reports"), "{shown}");
    }

    #[test]
    fn the_numbers_read_as_lines() {
        let status = json!({
            "version": "0.1.0", "since": 0,
            "devices": {"total": 3, "inactive": 1, "online": 2, "offline": 0, "disabled": 0},
            "products": [{"productKey": "pk", "name": "me\u{1b}ters", "total": 0, "inactive": 0, "online": 0,
                          "offline": 0, "disabled": 0},
                         {"productKey": "pk2", "name": null, "damaged": true, "total": 2, "inactive": 0,
                          "online": 0, "offline": 0, "disabled": 0, "damagedDevices": 2}],
            "otherProducts": {"products": 2, "total": 1, "inactive": 0, "online": 0, "offline": 0,
                              "disabled": 1},
            "refusalsLastHour": [{"reason": "wrong_key", "count": 7}, {"reason": null, "count": 1}],
            "reportsPerMinute": {"lastMinute": 12, "lastHour": 10.5},
            "disk": {"registryBytes": 999, "logsBytes": 1000, "messagesBytes": 1_234_567,
                     "backupsBytes": 2_000_000, "otherBytes": 0, "freeBytes": null},
        });
        assert_eq!(
            shown(status),
            "version    0.1.0\n\
             server     running since 1970-01-01T00:00:00Z\n\
             devices    3 (1 inactive, 2 online)\n\
             \u{20}          pk me\\u{1b}ters: 0\n\
             \u{20}          pk2 (damaged): 2 (2 damaged)\n\
             \u{20}          2 other products: 1 (1 disabled)\n\
             refused    in the last hour: wrong_key 7, other 1\n\
             reports    12 in the last minute, 10.5 a minute in the last hour\n\
             disk       registry 999 B, logs 1.0 kB, messages 1.2 MB, backups 2.0 MB, other 0 B; \
             unknown free"
        );
    }
}
