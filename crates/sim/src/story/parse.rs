//! From a story's text to its sentences.

use std::{sync::Arc, time::Duration};

use narrowgate_coap::Params;
use narrowgate_dtls::{CipherSuite, DecoySecret, ServerConfig};
use narrowgate_engine::shard::ShardConfig;
use narrowgate_platform::model::product::Profile;

use super::{
    Quantity, Story, StoryError,
    sentence::{
        Action, Check, Deed, Destination, DeviceSetup, Expectation, Kept, Order, Outcome, Relation, Sentence,
        Weather,
    },
};
use crate::{
    device::SecureMode,
    key::key_of,
    net::Conditions,
    world::{device_config, shard_config},
};

/// More devices under one name have no ports of their own left.
const COUNT_MAX: u16 = 5000;
/// More time in one sentence is a slip of the pen.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// A longer report fits no message in any case.
const REPORT_BYTES_MAX: usize = 65_536;

/// The `psk` of a device that has the secret that it was given.
const ISSUED: &str = "issued";

/// `Err` holds what is wrong with the line.
type Understood<T> = Result<T, String>;

pub(super) fn story(file: &str, text: &str) -> Result<Story, StoryError> {
    let fail = |line, reason| StoryError { file: file.to_owned(), line, reason };
    let title = text.lines().next().and_then(|line| line.strip_prefix("# ")).map(str::trim);
    let Some(title) = title.filter(|title| !title.is_empty()) else {
        return Err(fail(1, "a story begins with `# ` and a sentence that says what it shows".to_owned()));
    };
    let mut story = Story {
        file: file.to_owned(),
        title: title.to_owned(),
        server: shard_config(),
        seed: 1,
        sentences: Vec::new(),
    };
    let mut names = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let line = index + 1;
        let words: Vec<_> = text.split_whitespace().collect();
        match &words[..] {
            [] => {}
            [first, ..] if first.starts_with('#') => {}
            ["server", settings @ ..] if story.sentences.is_empty() => {
                server(settings, &mut story.server, &mut story.seed).map_err(|reason| fail(line, reason))?;
            }
            words => {
                let sentence = sentence(line, words, &mut names).map_err(|reason| fail(line, reason))?;
                story.sentences.push(sentence);
            }
        }
    }
    if story.sentences.iter().any(|sentence| matches!(sentence.action, Action::Expect(_))) {
        return Ok(story);
    }
    Err(fail(text.lines().count(), "a story expects something".to_owned()))
}

fn sentence(line: usize, words: &[&str], names: &mut Vec<String>) -> Understood<Sentence> {
    let (after, words) = match words {
        ["after", pause, words @ ..] => (duration(pause)?, words),
        words => (Duration::ZERO, words),
    };
    let action = match words {
        [] => Action::Wait,
        ["server", ..] => return Err("`server` stands before all other sentences".to_owned()),
        ["device", name, settings @ ..] => {
            let is_kept = Kept::ALL.iter().any(|(kept, _)| kept == name);
            if is_kept
                || ["gw", "network", "server", "store"].contains(name)
                || names.iter().any(|it| it == name)
            {
                return Err(format!("`{name}` means something else already"));
            }
            let setup = device(name, settings, names)?;
            names.push((*name).to_owned());
            Action::Device(Box::new(setup))
        }
        ["network", words @ ..] => Action::Network(weather(words, names)?),
        ["gw", words @ ..] => Action::Gateway(order(words, names)?),
        ["expect", words @ ..] => Action::Expect(expectation(words, names)?),
        [who, words @ ..] => Action::Deed { who: known(who, names)?, deed: deed(words)? },
    };
    Ok(Sentence { line, after, action })
}

fn server(settings: &[&str], config: &mut ShardConfig, seed: &mut u64) -> Understood<()> {
    for setting in settings {
        let (key, value) = pair(setting)?;
        match key {
            "idle_timeout" => config.idle_timeout = duration(value)?,
            "sessions_max" => config.sessions_max = number(value)?,
            "requests_max" => config.requests_in_flight_max = number(value)?,
            "handshakes_max" => config.admission.handshakes_max = number(value)?,
            "seed" => *seed = number(value)?,
            "suites" => {
                let mut dtls = ServerConfig::new(DecoySecret::new([7; 32]));
                dtls.suites = suites(value)?;
                config.dtls = Arc::new(dtls);
            }
            _ => return Err(format!("a server has no setting `{key}`")),
        }
    }
    Ok(())
}

fn device(name: &str, settings: &[&str], names: &[String]) -> Understood<DeviceSetup> {
    let mut config = device_config(name, name.as_bytes());
    let (mut secret, mut known_secret, mut is_known) = (name, None, true);
    let (mut count, mut at, mut is_plain) = (None, None, false);
    for setting in settings {
        let (key, value) = pair(setting)?;
        match key {
            "psk" => secret = value,
            "plain" if value == "yes" => is_plain = true,
            "known" if value == "no" => is_known = false,
            "known" => known_secret = Some(value),
            "suite" => config.suites = suites(value)?,
            "lifetime" => config.identity.lifetime_s = number(value)?,
            "mode" if value == "product" => config.identity.mode = SecureMode::Product,
            "identity" => value.clone_into(&mut config.identity.device_key),
            "at" => at = Some(known(value, names)?),
            "retransmit" => config.retransmit_initial = duration(value)?,
            "ack_timeout" => {
                config.coap = Arc::new(Params { ack_timeout: duration(value)?, ..Params::default() });
            }
            "count" => {
                let within = Some(number(value)?).filter(|count| (1..=COUNT_MAX).contains(count));
                count = Some(within.ok_or_else(|| format!("count is 1 to {COUNT_MAX}"))?);
            }
            _ => return Err(format!("a device has no setting `{setting}`")),
        }
    }
    config.psk = key_of(secret.as_bytes());
    let plain = is_plain.then(|| secret.to_owned());
    let known = is_known.then(|| known_secret.unwrap_or(secret).to_owned());
    Ok(DeviceSetup { name: name.to_owned(), count, config, known, plain, is_issued: secret == ISSUED, at })
}

fn deed(words: &[&str]) -> Understood<Deed> {
    Ok(match words {
        ["connects"] => Deed::Connect,
        ["tries", "to", "connect"] => Deed::TryToConnect,
        ["posts", bytes, "bytes"] => {
            let bytes = Some(number::<usize>(bytes)?).filter(|bytes| *bytes <= REPORT_BYTES_MAX);
            let bytes = bytes.ok_or_else(|| format!("a report has at most {REPORT_BYTES_MAX} bytes"))?;
            Deed::Post(format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes)))
        }
        ["posts", first, rest @ ..] => Deed::Post(points(first, rest)?),
        ["pings"] => Deed::Ping,
        ["gets", path] => Deed::Get((*path).to_owned()),
        ["says", topic, params] => Deed::Say { topic: (*topic).to_owned(), params: json(params)?.to_owned() },
        ["fetches", "its", "command"] => Deed::FetchCommand,
        ["answers", "its", "command", "with", code] => Deed::AnswerCommand(number(code)?),
        ["asks", "for", "its", "secret"] => Deed::AskForSecret,
        ["closes"] => Deed::Close,
        ["powers", "off"] => Deed::PowerOff,
        ["moves", "to", "a", "new", "port"] => Deed::Move,
        _ => return Err(format!("a device does not know how to `{}`", words.join(" "))),
    })
}

fn points(first: &str, rest: &[&str]) -> Understood<String> {
    let mut points = serde_json::Map::new();
    for point in std::iter::once(&first).chain(rest) {
        let (name, value) = pair(point)?;
        let value: serde_json::Number =
            value.parse().map_err(|_| format!("`{value}` is not the number of a point"))?;
        points.insert(name.to_owned(), value.into());
    }
    Ok(serde_json::Value::Object(points).to_string())
}

fn weather(words: &[&str], names: &[String]) -> Understood<Weather> {
    Ok(match words {
        ["records"] => Weather::Record,
        ["replays"] => Weather::Replay { from_elsewhere: false },
        ["replays", "from", "elsewhere"] => Weather::Replay { from_elsewhere: true },
        ["loses", "the", "next", count, "to", "gw"] => {
            Weather::LoseNext { count: number(count)?, to: Destination::Gateway }
        }
        ["loses", "the", "next", count, "to", who] => {
            Weather::LoseNext { count: number(count)?, to: Destination::Device(known(who, names)?) }
        }
        [words @ .., "for", time] => {
            Weather::Change { conditions: conditions(words)?, lasts: Some(duration(time)?) }
        }
        words => Weather::Change { conditions: conditions(words)?, lasts: None },
    })
}

/// Everything that is not said is good.
fn conditions(words: &[&str]) -> Understood<Conditions> {
    let mut conditions = Conditions::good();
    for phrase in words.split(|word| *word == "and") {
        match phrase {
            ["is", "good"] => conditions = Conditions::good(),
            ["is", "bad"] => conditions = Conditions::bad(),
            ["loses", "everything"] => conditions.lost_per_mille = 1000,
            ["loses", count, "of", "1000"] => conditions.lost_per_mille = per_mille(count)?,
            ["repeats", "everything"] => conditions.repeated_per_mille = 1000,
            ["repeats", count, "of", "1000"] => conditions.repeated_per_mille = per_mille(count)?,
            ["holds", "back", count, "of", "1000", "by", time] => {
                conditions.late_per_mille = per_mille(count)?;
                conditions.late_by = duration(time)?;
            }
            ["flips", "a", "bit", "in", count, "of", "1000"] => {
                conditions.flipped_per_mille = per_mille(count)?;
            }
            ["delays", time] => conditions.delay = duration(time)?..duration(time)?,
            ["carries", bytes, "bytes"] => conditions.datagram_bytes_max = number(bytes)?,
            _ => return Err(format!("a network does not know how to `{}`", phrase.join(" "))),
        }
    }
    Ok(conditions)
}

fn order(words: &[&str], names: &[String]) -> Understood<Order> {
    Ok(match words {
        ["answers", "nothing"] => Order::CommitAfter(None),
        ["answers", "now"] => Order::CommitNow,
        ["answers", "after", time] => Order::CommitAfter(Some(duration(time)?)),
        ["looks", "up", "nothing"] => Order::LookUpAfter(None),
        ["looks", "up", "after", time] => Order::LookUpAfter(Some(duration(time)?)),
        ["resets", who, key] => match pair(key)? {
            ("psk", secret) => Order::Reset { who: known(who, names)?, secret: secret.to_owned() },
            (key, _) => return Err(format!("a device is reset to a psk, not to a `{key}`")),
        },
        ["sets", "the", "profile", "default"] => Order::SetProfile(Profile::Default),
        ["sets", "the", "profile", "nbiot"] => Order::SetProfile(Profile::Nbiot),
        ["disables", who] => Order::Disable(known(who, names)?),
        ["tells", who, "to", "set", points, "within", time] => {
            Order::Send { who: known(who, names)?, points: json(points)?.to_owned(), lasts: duration(time)? }
        }
        ["drains"] => Order::Drain,
        ["restarts"] => Order::Restart,
        _ => return Err(format!("the gateway does not know how to `{}`", words.join(" "))),
    })
}

fn expectation(words: &[&str], names: &[String]) -> Understood<Expectation> {
    let (words, within) = match words {
        [words @ .., "within", time] => (words, Some(duration(time)?)),
        words => (words, None),
    };
    match words {
        ["gw", checks @ ..] if !checks.is_empty() => {
            let checks = checks.iter().map(|text| check(text)).collect::<Understood<_>>()?;
            Ok(Expectation::Gateway { checks, within: within.unwrap_or_default() })
        }
        ["store", who, values] if within.is_none() => {
            let (point, values) = pair(values)?;
            let (point, values) = (point.to_owned(), values.to_owned());
            Ok(Expectation::Store { who: known(who, names)?, point, values })
        }
        [kept, who, text] if within.is_none() && Kept::ALL.iter().any(|(name, _)| name == kept) => {
            let (_, what) = Kept::ALL.into_iter().find(|(name, _)| name == kept).expect("it was found");
            Ok(Expectation::Kept { what, who: known(who, names)?, text: (*text).to_owned() })
        }
        [who, outcome @ ..] => {
            let who = known(who, names)?;
            let outcome = self::outcome(outcome)?;
            let within = within.ok_or("`within` and a time are missing")?;
            Ok(Expectation::Device { who, outcome, within })
        }
        [] => Err("what is expected?".to_owned()),
    }
}

fn check(text: &str) -> Understood<Check> {
    let parts = Relation::ALL
        .into_iter()
        .find_map(|relation| text.split_once(relation.sign()).map(|(name, value)| (relation, name, value)));
    let (relation, name, value) = parts.ok_or_else(|| format!("`{text}` is not `name=number`"))?;
    let quantity = Quantity::parse(name).ok_or_else(|| format!("the gateway has no quantity `{name}`"))?;
    Ok(Check { quantity, relation, number: number(value)? })
}

fn outcome(words: &[&str]) -> Understood<Outcome> {
    Ok(match words {
        ["connected"] => Outcome::Connected(None),
        ["connected", "ccm8"] => Outcome::Connected(Some(CipherSuite::PskAes128Ccm8)),
        ["connected", "cbc"] => Outcome::Connected(Some(CipherSuite::PskAes128CbcSha256)),
        ["refused"] => Outcome::Refused,
        ["gave", "up"] => Outcome::GaveUp,
        ["timeout"] => Outcome::Timeout,
        ["reset"] => Outcome::Reset,
        ["pong"] => Outcome::Pong,
        ["secret"] => Outcome::Secret,
        ["command"] => Outcome::Command,
        ["closed"] => Outcome::Closed,
        ["nothing"] => Outcome::Nothing,
        [code] if is_code(code) => Outcome::Answer((*code).to_owned()),
        _ => return Err(format!("a device never tells `{}`", words.join(" "))),
    })
}

/// Whether it is written like a code of RFC 7252, section 3.
fn is_code(text: &str) -> bool {
    matches!(text.as_bytes(), [b'2'..=b'5', b'.', a, b] if a.is_ascii_digit() && b.is_ascii_digit())
}

fn known(name: &str, names: &[String]) -> Understood<String> {
    let known = names.iter().find(|it| *it == name);
    known.cloned().ok_or_else(|| format!("there is no device `{name}`"))
}

fn suites(value: &str) -> Understood<Vec<CipherSuite>> {
    match value {
        "ccm8" => Ok(vec![CipherSuite::PskAes128Ccm8]),
        "cbc" => Ok(vec![CipherSuite::PskAes128CbcSha256]),
        "all" => Ok(CipherSuite::ALL.to_vec()),
        _ => Err(format!("`{value}` is not ccm8, cbc or all")),
    }
}

/// JSON without white space, which would end the word.
fn json(text: &str) -> Understood<&str> {
    let read: Result<serde_json::Value, _> = serde_json::from_str(text);
    read.map(|_| text).map_err(|error| format!("`{text}` is not JSON: {error}"))
}

fn pair(text: &str) -> Understood<(&str, &str)> {
    let parts = text.split_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty());
    parts.ok_or_else(|| format!("`{text}` is not `name=value`"))
}

fn per_mille(text: &str) -> Understood<u16> {
    let count = number(text)?;
    if count <= 1000 { Ok(count) } else { Err(format!("{count} of 1000 are too many")) }
}

fn number<T: std::str::FromStr>(text: &str) -> Understood<T> {
    text.parse().map_err(|_| format!("`{text}` is not a number that fits here"))
}

fn duration(text: &str) -> Understood<Duration> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 24 * 3_600_000,
        _ => return Err(format!("`{text}` is not a duration: a number and ms, s, m, h or d")),
    };
    let duration = Duration::from_millis(number::<u64>(digits)?.saturating_mul(unit_ms));
    if duration <= DURATION_MAX { Ok(duration) } else { Err(format!("`{text}` is longer than a year")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error of a story that has `line` as its third line.
    fn error(line: &str) -> String {
        let text = format!("# A test.\ndevice a psk=k1\n{line}\nexpect gw sessions=0\n");
        Story::parse("test.story", &text).expect_err("it is wrong").to_string()
    }

    #[test]
    fn what_is_not_understood_is_named_with_file_and_line() {
        for (line, reason) in [
            ("b connects", "there is no device `b`"),
            ("a dances", "a device does not know how to `dances`"),
            ("a posts temp=warm", "`warm` is not the number of a point"),
            ("a posts temp", "`temp` is not `name=value`"),
            (
                "a says thing/tag/query {\"tags\":",
                "`{\"tags\":` is not JSON: EOF while parsing a value at line 1 column 8",
            ),
            ("device tags", "`tags` means something else already"),
            ("after 5 a pings", "`5` is not a duration: a number and ms, s, m, h or d"),
            ("after 999d", "`999d` is longer than a year"),
            ("device a psk=k2", "`a` means something else already"),
            ("device gw", "`gw` means something else already"),
            ("device b colour=red", "a device has no setting `colour=red`"),
            ("device b suite=gcm", "`gcm` is not ccm8, cbc or all"),
            ("device b at=c", "there is no device `c`"),
            ("device b count=0", "count is 1 to 5000"),
            ("network sings", "a network does not know how to `sings`"),
            ("network loses 1001 of 1000", "1001 of 1000 are too many"),
            ("gw sleeps", "the gateway does not know how to `sleeps`"),
            ("gw resets a key=k2", "a device is reset to a psk, not to a `key`"),
            ("server seed=2", "`server` stands before all other sentences"),
            ("expect a 2.04", "`within` and a time are missing"),
            ("expect a 2.4 within 1s", "a device never tells `2.4`"),
            ("expect gw sesions=1", "the gateway has no quantity `sesions`"),
            ("expect gw sessions", "`sessions` is not `name=number`"),
            ("expect gw sessions=one", "`one` is not a number that fits here"),
            ("expect", "what is expected?"),
        ] {
            assert_eq!(error(line), format!("test.story line 3: {reason}"));
        }
    }

    #[test]
    fn a_story_has_a_title_and_an_expectation() {
        let error = |text| Story::parse("test.story", text).expect_err("it is wrong").to_string();
        assert!(error("device a psk=k1\n").starts_with("test.story line 1: a story begins with"));
        assert_eq!(error("# Nothing.\ndevice a psk=k1\n"), "test.story line 2: a story expects something");
    }
}
