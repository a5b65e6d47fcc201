//! What `Accept` asks for.

use axum::http::{HeaderMap, header};

use crate::table::Lines;

/// The kind of lines that `Accept` prefers to JSON (RFC 9110, section 12.5.1); of equal ones the first.
pub(in crate::api) fn accepted(headers: &HeaderMap) -> Option<Lines> {
    let mut best: (Option<Lines>, u16) = (None, 0);
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = match parts.next().map(str::to_ascii_lowercase).as_deref() {
                Some("text/csv") => Some(Lines::Csv),
                Some("application/x-ndjson") => Some(Lines::Ndjson),
                Some("application/json" | "application/*" | "*/*") => None,
                _ => continue,
            };
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1000, thousandths);
            if weight > best.1 {
                best = (kind, weight);
            }
        }
    }
    best.0
}

/// A weight from 0 to 1 in thousandths; what is none is 0.
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{fraction:0<3}");
    match (whole, digits.get(..3).and_then(|digits| digits.parse::<u16>().ok())) {
        ("0", Some(fraction)) => fraction,
        ("1", Some(0)) => 1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_accept_prefers_to_json() {
        for (accept, lines) in [
            ("text/csv", Some(Lines::Csv)),
            ("application/x-ndjson", Some(Lines::Ndjson)),
            ("text/csv;q=0.5, application/x-ndjson", Some(Lines::Ndjson)),
            ("application/json, text/csv", None),
            ("application/json;q=0.9, text/csv; header=present", Some(Lines::Csv)),
            ("Text/CSV", Some(Lines::Csv)),
            ("text/csv;q=0", None),
            ("text/csv;q=x", None),
            ("text/html, */*;q=0.1", None),
            ("*/*", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().expect("it is a value of a header"));
            assert_eq!(accepted(&headers), lines, "{accept}");
        }
        assert_eq!(accepted(&HeaderMap::new()), None);
    }
}
