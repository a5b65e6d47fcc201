//! `status`: the fleet in numbers.

use serde_json::Value;

use crate::{
    cli::Output,
    config::Config,
    control::{Access, Request},
    failure::Failure,
    output::{self, Layout, printable},
};

/// States as they are counted: fields and words.
const STATES: [(&str, &str); 5] = [
    ("inactive", "inactive"),
    ("online", "online"),
    ("offline", "offline"),
    ("disabled", "disabled"),
    ("damagedDevices", "damaged"),
];

pub(super) fn run(config: &Config, output: Output) -> Result<(), Failure> {
    let answer = Access::open(config)?.request_once(Request::Status)?;
    match output {
        Output::Json => output::print(output, &answer, Layout::Record),
        Output::Table => output::line(&readable(&serde_json::from_str(answer.get()).unwrap_or_default())),
    }
}

/// The numbers for people.
fn readable(status: &Value) -> String {
    let mut lines = Vec::new();
    let mut add = |title: &str, text: String| lines.push(format!("{title:<10} {text}"));
    add("version", text(&status["version"]));
    add(
        "server",
        match status["since"].as_i64() {
            Some(since) => format!("serves since {}", crate::time::rfc3339(since)),
            None => "none is running".into(),
        },
    );
    match status["unreadable"].as_str() {
        None => add("devices", counts(&status["devices"])),
        Some(reason) => {
            add("devices", format!("cannot be counted now: {}", printable(reason)));
            add("", "try: look at its disk (df -h), then ask again".into());
        }
    }
    for product in array(&status["products"]) {
        let key = text(&product["productKey"]);
        let name = if product["damaged"] == true { "(damaged)".into() } else { text(&product["name"]) };
        add("", format!("{key} {name}: {}", counts(product)));
    }
    let others = &status["otherProducts"];
    if others.is_object() {
        add("", format!("{} other products: {}", number(&others["products"]), counts(others)));
    }
    if status["unreadable"].is_null() {
        fleet(status, &mut add);
    }
    let by_store = &status["refusedByStore"];
    if by_store.is_object() {
        let since = crate::time::rfc3339(by_store["since"].as_i64().unwrap_or_default());
        let count = number(&by_store["lastMinute"]);
        add("REFUSING", format!("answered 5.03 in the last minute because the store cannot write: {count}"));
        add("", format!("since {since}; {}", text(&by_store["reason"])));
    }
    let disk = &status["disk"];
    let used = [("registry", "registryBytes"), ("messages", "messagesBytes"), ("other", "otherBytes")];
    let used: Vec<String> =
        used.iter().map(|(what, field)| format!("{what} {}", bytes(&disk[*field]))).collect();
    add("disk", format!("{}; {} free", used.join(", "), bytes(&disk["freeBytes"])));
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

/// What the store counted, besides the devices.
fn fleet(status: &Value, add: &mut impl FnMut(&str, String)) {
    let refusals: Vec<String> = array(&status["refusalsLastHour"])
        .iter()
        .map(|refusal| {
            let reason = refusal["reason"].as_str().map_or("other".into(), printable);
            format!("{reason} {}", number(&refusal["count"]))
        })
        .collect();
    let refusals = if refusals.is_empty() { "none".into() } else { refusals.join(", ") };
    add("refused", format!("in the last hour: {refusals}"));
    let rate = &status["reportsPerMinute"];
    add(
        "reports",
        format!(
            "{} in the last minute, {} a minute in the last hour",
            number(&rate["lastMinute"]),
            rate["lastHour"]
        ),
    );
}

/// `5 (1 inactive, 4 online)`.
fn counts(counted: &Value) -> String {
    let states: Vec<String> = STATES
        .iter()
        .map(|(field, word)| (number(&counted[*field]), word))
        .filter(|(count, _)| *count != 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    match states.is_empty() {
        true => number(&counted["total"]).to_string(),
        false => format!("{} ({})", number(&counted["total"]), states.join(", ")),
    }
}

fn bytes(value: &Value) -> String {
    let Some(bytes) = value.as_u64() else { return "unknown".into() };
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

fn text(value: &Value) -> String {
    printable(value.as_str().unwrap_or_default())
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_store_that_cannot_write_shows() {
        let shown = readable(&json!({
            "version": "0.1.0", "since": 0, "unreadable": "the disk is full",
            "refusedByStore": {"lastMinute": 9, "since": 1000, "reason": "the disk is full"},
            "disk": {"registryBytes": 1, "messagesBytes": 1, "otherBytes": 0, "freeBytes": 0},
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
                         {"productKey": "pk2", "name": null, "damaged": true, "total": 2, "damagedDevices": 2}],
            "otherProducts": {"products": 2, "total": 1, "inactive": 0, "online": 0, "offline": 0,
                              "disabled": 1},
            "refusalsLastHour": [{"reason": "wrong_key", "count": 7}, {"reason": null, "count": 1}],
            "reportsPerMinute": {"lastMinute": 12, "lastHour": 10.5},
            "disk": {"registryBytes": 999, "messagesBytes": 1_234_567, "otherBytes": 0, "freeBytes": null},
        });
        assert_eq!(
            readable(&status),
            "version    0.1.0\n\
             server     serves since 1970-01-01T00:00:00Z\n\
             devices    3 (1 inactive, 2 online)\n\
             \u{20}          pk me\\u{1b}ters: 0\n\
             \u{20}          pk2 (damaged): 2 (2 damaged)\n\
             \u{20}          2 other products: 1 (1 disabled)\n\
             refused    in the last hour: wrong_key 7, other 1\n\
             reports    12 in the last minute, 10.5 a minute in the last hour\n\
             disk       registry 999 B, messages 1.2 MB, other 0 B; unknown free"
        );
    }
}
