//! Languages, zones of time, and how numbers, sizes and times are written in them.

use axum::http::{HeaderMap, header};
use jiff::{Timestamp, tz::TimeZone};
use narrowgate_api::names::UnixMillis;

use super::{
    charts::Zone,
    words::{self, Word},
};
use crate::{browser::cookies, form::Form, forwarded::Way};

/// The cookie with a chosen language.
pub(super) const LANGUAGE: &str = "narrowgate_language";
/// The cookie with [`UTC`], where it is chosen.
pub(super) const ZONE: &str = "narrowgate_zone";
/// The cookie by which our script says in which zone the browser is.
pub(super) const LOCAL: &str = "narrowgate_local";
/// The value of [`ZONE`].
pub(super) const UTC: &str = "utc";

/// A language of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// English.
    English,
    /// Simplified Chinese.
    Chinese,
}

impl Language {
    /// All of them, each with its tag and what it calls itself.
    pub(crate) const ALL: [(Self, &'static str, Word); 2] =
        [(Self::English, "en", words::ENGLISH), (Self::Chinese, "zh", words::CHINESE)];

    /// What `lang` says of the document.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-Hans",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let primary = text.trim().split(['-', '_']).next().unwrap_or_default();
        let found = Self::ALL.into_iter().find(|(_, tag, _)| primary.eq_ignore_ascii_case(tag));
        found.map(|(language, ..)| language)
    }

    /// The first of `Accept-Language` that there is, by their weights (RFC 9110, 12.5.4).
    fn accepted(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
        let mut ranges: Vec<(u16, Self)> = Vec::new();
        for range in values.flat_map(|value| value.split(',')).take(16) {
            let (name, weight) = range.split_once(';').unwrap_or((range, "q=1"));
            let weight = weight.trim().strip_prefix("q=").and_then(|text| text.parse::<f32>().ok());
            let thousandths = (1..=1000_u16)
                .rev()
                .find(|part| weight.is_some_and(|weight| weight * 1000.0 >= f32::from(*part)));
            if let (Some(language), Some(weight)) = (Self::parse(name), thousandths) {
                ranges.push((weight, language));
            }
        }
        ranges.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        ranges.first().map(|(_, language)| *language)
    }
}

/// How somebody wants pages to be written.
#[derive(Debug, Clone)]
pub(crate) struct Preferences {
    pub(crate) language: Language,
    /// Whether all times are in UTC.
    pub(super) is_utc: bool,
    zone: TimeZone,
}

impl Preferences {
    /// Those of a request.
    pub(crate) fn of(headers: &HeaderMap, way: Way) -> Self {
        let first = |name| cookies(headers, name, way).first().copied();
        let chosen = first(LANGUAGE).and_then(Language::parse);
        let language = chosen.or_else(|| Language::accepted(headers)).unwrap_or(Language::English);
        let is_utc = first(ZONE) == Some(UTC);
        let local = first(LOCAL).filter(|name| !is_utc && name.len() <= 64);
        // As `encodeURIComponent` writes it.
        let decoded = |name: &str| Form::of_query(Some(&format!("z={name}"))).take("z").into_text();
        let zone = local.and_then(|name| TimeZone::get(&decoded(name)).ok());
        Self { language, is_utc, zone: zone.unwrap_or(TimeZone::UTC) }
    }

    /// The zone in which the ticks of charts are round.
    pub(super) fn chart_zone(&self) -> Zone {
        Zone::new(self.zone.clone())
    }

    /// A text of the catalogue.
    pub(crate) fn t(&self, word: Word) -> &'static str {
        word.of(self.language)
    }

    /// A text with what stands in its braces.
    pub(crate) fn say(&self, word: Word, values: &[(&str, &str)]) -> String {
        word.say(self.language, values)
    }

    /// A text about so many things, `{n}`; in English `one|many`.
    pub(super) fn count(&self, word: Word, count: u64) -> String {
        self.count_with(word, count, &[])
    }

    /// The same with more in its braces.
    pub(super) fn count_with(&self, word: Word, count: u64, values: &[(&str, &str)]) -> String {
        let (one, many) = self.t(word).split_once('|').unwrap_or((self.t(word), self.t(word)));
        let number = self.number(count);
        let values: Vec<_> = values.iter().copied().chain([("n", &*number)]).collect();
        filled(if count == 1 { one } else { many }, &values)
    }

    /// A number, in groups of three digits.
    pub(super) fn number(&self, number: u64) -> String {
        let digits = number.to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
        for (at, digit) in digits.char_indices() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    }

    /// A number of bytes, with three digits at most.
    pub(super) fn bytes(&self, bytes: u64) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let (mut whole, mut tenths, mut at) = (bytes, 0, 0);
        while whole >= 1024 && at + 1 < units.len() {
            (whole, tenths, at) = (whole / 1024, whole % 1024 * 10 / 1024, at + 1);
        }
        let point = if at > 0 && whole < 10 { format!(".{tenths}") } else { String::new() };
        format!("{whole}{point} {}", units[at])
    }

    /// A time to the second, with its zone.
    pub(super) fn exact(&self, time: UnixMillis) -> String {
        let Ok(time) = Timestamp::from_millisecond(time.0) else { return time.0.to_string() };
        let format = match self.language {
            Language::English => "%-d %b %Y, %H:%M:%S %Z",
            Language::Chinese => "%Y年%-m月%-d日 %H:%M:%S %Z",
        };
        time.to_zoned(self.zone.clone()).strftime(format).to_string()
    }

    /// What the zone of a time is called, such as CET.
    pub(super) fn zone_name(&self, time: UnixMillis) -> String {
        let time = Timestamp::from_millisecond(time.0).unwrap_or_default();
        time.to_zoned(self.zone.clone()).strftime("%Z").to_string()
    }

    /// How long ago a time is, or how far ahead.
    pub(super) fn ago(&self, time: UnixMillis, now: UnixMillis) -> String {
        let distance = now.0.saturating_sub(time.0);
        if distance.abs() < 5_000 {
            return self.t(words::JUST_NOW).to_owned();
        }
        let word = if distance > 0 { words::AGO } else { words::AHEAD };
        self.say(word, &[("time", &self.rough(distance.unsigned_abs() / 1000))])
    }

    /// How long it is from a time until now.
    pub(super) fn length(&self, since: UnixMillis, now: UnixMillis) -> String {
        self.rough(now.0.saturating_sub(since.0).max(0).unsigned_abs() / 1000)
    }

    /// A length of time in its greatest unit.
    fn rough(&self, seconds: u64) -> String {
        let (unit, count) = match seconds {
            0..90 => (words::SECONDS_SHORT, seconds),
            90..5_400 => (words::MINUTES_SHORT, (seconds + 30) / 60),
            5_400..129_600 => (words::HOURS_SHORT, (seconds + 1_800) / 3_600),
            _ => (words::DAYS_SHORT, (seconds + 43_200) / 86_400),
        };
        self.count(unit, count)
    }

    /// A length of time as it was set: in units of which it has a whole number.
    pub(super) fn duration(&self, seconds: u64) -> String {
        let units = [(86_400, words::DAYS), (3_600, words::HOURS), (60, words::MINUTES), (1, words::SECONDS)];
        let (mut rest, mut parts) = (seconds, Vec::new());
        for (size, word) in units {
            if rest >= size {
                parts.push(self.count(word, rest / size));
            }
            rest %= size;
        }
        if parts.is_empty() {
            parts.push(self.count(words::SECONDS, 0));
        }
        parts.truncate(2);
        parts.join(" ")
    }
}

pub(super) fn filled(text: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        out += before;
        let value = values.iter().find(|(known, _)| *known == name);
        out += value.map_or("", |(_, value)| value);
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(header::HeaderName, &str)]) -> Preferences {
        let pairs = pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect("it is a value")));
        Preferences::of(&pairs.collect(), Way::Direct)
    }

    #[test]
    fn the_language_is_the_chosen_one_or_the_best_that_is_accepted() {
        let accepted = |text: &str| of(&[(header::ACCEPT_LANGUAGE, text)]).language;
        assert_eq!(accepted("zh-CN,zh;q=0.9,en;q=0.8"), Language::Chinese);
        assert_eq!(accepted("de, en;q=0.7, zh;q=0.9"), Language::Chinese);
        assert_eq!(accepted("en-GB"), Language::English);
        for other in ["", "fr", "*", "zh;q=0", "zh;q=x"] {
            assert_eq!(accepted(other), Language::English, "{other}");
        }
        let chosen = of(&[(header::ACCEPT_LANGUAGE, "en"), (header::COOKIE, "narrowgate_language=zh")]);
        assert_eq!(chosen.language, Language::Chinese);
    }

    #[test]
    fn a_time_is_written_in_the_zone_of_the_browser_or_in_utc() {
        let time = UnixMillis(1_700_000_000_000);
        assert_eq!(of(&[]).exact(time), "14 Nov 2023, 22:13:20 UTC");
        let local = of(&[(header::COOKIE, "narrowgate_local=Europe%2FBerlin")]);
        assert_eq!(local.exact(time), "14 Nov 2023, 23:13:20 CET");
        let east = of(&[(header::COOKIE, "narrowgate_local=Etc%2FGMT%2B5")]);
        assert_eq!(east.exact(time), "14 Nov 2023, 17:13:20 -05");
        let both = "narrowgate_local=Asia/Shanghai; narrowgate_zone=utc; narrowgate_language=zh";
        assert_eq!(of(&[(header::COOKIE, both)]).exact(time), "2023年11月14日 22:13:20 UTC");
        assert_eq!(of(&[(header::COOKIE, "narrowgate_local=../x")]).exact(time), "14 Nov 2023, 22:13:20 UTC");
        assert_eq!(of(&[]).exact(UnixMillis(i64::MAX)), i64::MAX.to_string());
    }

    #[test]
    fn lengths_of_time_are_said_as_a_person_would() {
        let (en, zh) = (of(&[]), of(&[(header::COOKIE, "narrowgate_language=zh")]));
        let now = UnixMillis(1_700_000_000_000);
        let before = |seconds: i64| UnixMillis(now.0 - 1000 * seconds);
        for (seconds, english, chinese) in [
            (0, "just now", "刚刚"),
            (30, "30 s ago", "30 秒前"),
            (180, "3 min ago", "3 分钟前"),
            (7_200, "2 h ago", "2 小时前"),
            (172_800, "2 days ago", "2 天前"),
            (-600, "in 10 min", "10 分钟后"),
        ] {
            let time = before(seconds);
            assert_eq!((en.ago(time, now), zh.ago(time, now)), (english.to_owned(), chinese.to_owned()));
        }
        for (seconds, said) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (90, "1 minute 30 seconds"),
            (3_600, "1 hour"),
            (90_061, "1 day 1 hour"),
        ] {
            assert_eq!(en.duration(seconds), said);
        }
    }

    #[test]
    fn numbers_are_grouped_and_sizes_are_short() {
        let en = of(&[]);
        let numbers = [0, 7, 999, 1_000, 1_234_567].map(|number| en.number(number));
        assert_eq!(numbers, ["0", "7", "999", "1,000", "1,234,567"]);
        let sizes = [0, 1_023, 1_024, 1_536, 10_240, 5_368_709_120].map(|bytes| en.bytes(bytes));
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "10 KiB", "5.0 GiB"]);
        assert_eq!(filled("a {x} {y} {z", &[("x", "{y}")]), "a {y}  {z");
    }
}
