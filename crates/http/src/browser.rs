//! What a browser sends and is sent beside a request: cookies, where the request comes from, and the token
//! that a change takes.
//!
//! A cookie goes with every request to this server, whichever page causes it. `SameSite=Lax` keeps it from
//! most changes that other sites cause; here a change also has to name this server as its `Origin`, which no
//! page can forge, and to send a token that only pages of this server can read.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use narrowgate_platform::service::{form_token, is_form_token};

use crate::forwarded::Way;

/// The cookie that is a user's session.
pub(crate) const SESSION: &str = "narrowgate_session";
/// The cookie by which a browser is known in which a user has logged in.
pub(crate) const BROWSER: &str = "narrowgate_browser";
/// How long a browser is known, in seconds: half a year.
pub(crate) const BROWSER_LASTS_S: i64 = 180 * 86_400;

/// What a change is sent with, and what each answer to a session says.
pub(crate) const FORM_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");

/// What the name of a cookie begins with that a browser takes from this host by TLS alone: no other host and
/// no page without TLS can set it.
const OF_THIS_HOST: &str = "__Host-";
/// Values of a cookie that are looked at: others of the host or of its domain may have set some.
const VALUES_MAX: usize = 4;

/// The values of a cookie, some of which may not be ours. Where there are such as only this host can have set
/// by TLS, and where a request came by TLS in any case, the others are not looked at. Cookies of other
/// programs may hold any bytes.
pub(crate) fn cookies<'a>(headers: &'a HeaderMap, name: &str, way: Way) -> Vec<&'a str> {
    let named = |prefix: &str| -> Vec<&'a str> {
        let values = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
        let pairs = values.flat_map(|value| value.split(|byte| *byte == b';')).filter_map(|pair| {
            let pair = pair.trim_ascii();
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            Some((&pair[..equals], &pair[equals + 1..]))
        });
        let is_meant =
            |known: &[u8]| known.strip_prefix(prefix.as_bytes()).is_some_and(|rest| rest == name.as_bytes());
        let found = pairs.filter(|(known, _)| is_meant(known));
        found.filter_map(|(_, value)| std::str::from_utf8(value).ok()).take(VALUES_MAX).collect()
    };
    let of_this_host = named(OF_THIS_HOST);
    if way.is_tls() || !of_this_host.is_empty() { of_this_host } else { named("") }
}

/// Sets a cookie that no script can read, for so many seconds; 0 removes it.
pub(crate) fn set_cookie(name: &str, value: &str, seconds: i64, came_by: CameBy) -> Option<HeaderValue> {
    let (prefix, secure) = match came_by {
        CameBy::Plain => ("", ""),
        CameBy::Tls => (OF_THIS_HOST, "; Secure"),
    };
    let text = format!("{prefix}{name}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax{secure}");
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The token of a session, for the header of an answer.
pub(crate) fn form_token_header(session: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(form_token(session).expose()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// How a browser reaches this server, as the origin of its pages says: what ends TLS may be a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CameBy {
    /// `http://`, or unknown.
    Plain,
    /// `https://`
    Tls,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It does not say so: no browser of these days.
    Unsaid,
    /// A page of this server.
    Own(CameBy),
    /// Another page, or one that hides where it is from.
    Foreign,
}

/// Where a request comes from, by its `Origin` and the host that it asks. A page without TLS is none of this
/// server's where browsers come by TLS: whoever is on the way can have made it.
pub(crate) fn origin(headers: &HeaderMap, way: Way) -> Origin {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else { return Origin::Unsaid };
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None, None) = (hosts.next(), hosts.next(), origins.next()) else {
        return Origin::Foreign;
    };
    let (Ok(origin), Ok(host)) = (origin.to_str(), host.to_str()) else { return Origin::Foreign };
    let came_by = match origin.split_once("://") {
        Some(("http", from)) if !way.is_tls() && from.eq_ignore_ascii_case(host) => CameBy::Plain,
        Some(("https", from)) if from.eq_ignore_ascii_case(host) => CameBy::Tls,
        _ => return Origin::Foreign,
    };
    Origin::Own(came_by)
}

/// Passes a request with a session that no page of another site has caused, not even by a link: what shows a
/// secret is in the audit log as what the user did.
///
/// # Errors
/// What is wrong, for people.
pub(crate) fn check_site(headers: &HeaderMap) -> Result<(), &'static str> {
    match headers.get("sec-fetch-site") {
        Some(site) if site.as_bytes() == b"cross-site" => {
            Err("a request with a cookie must not come from a page of another site (Sec-Fetch-Site)")
        }
        _ => Ok(()),
    }
}

/// Passes a change with a session.
///
/// # Errors
/// What is missing, for people.
pub(crate) fn check_change(headers: &HeaderMap, way: Way, session: &str) -> Result<(), &'static str> {
    if !matches!(origin(headers, way), Origin::Own(_)) {
        return Err(
            "a change with a cookie must come from a page of this server: its Origin must be the Host",
        );
    }
    let mut tokens = headers.get_all(FORM_TOKEN).iter();
    let (Some(token), None) = (tokens.next(), tokens.next()) else {
        return Err(
            "a change with a cookie needs the header X-CSRF-Token, as the answer of GET /api/v1/me has it",
        );
    };
    match token.to_str() {
        Ok(token) if is_form_token(token, session) => Ok(()),
        _ => Err("the header X-CSRF-Token is not that of this session; GET /api/v1/me has it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect("it is a value"))).collect()
    }

    #[test]
    fn cookies_are_read_by_their_whole_name_and_those_of_others_do_no_harm() {
        let read = |values: &[&[u8]], way| {
            let mut all = HeaderMap::new();
            for value in values {
                all.append(header::COOKIE, HeaderValue::from_bytes(value).expect("it is a value"));
            }
            cookies(&all, SESSION, way).join(" ")
        };
        let direct = |values: &[&[u8]]| read(values, Way::Direct);
        assert_eq!(direct(&[b"narrowgate_session=a"]), "a");
        assert_eq!(direct(&[b"x=1; narrowgate_session=a=b; y=2"]), "a=b");
        assert_eq!(direct(&[b"x=1", b"narrowgate_session=a"]), "a");
        assert_eq!(direct(&["other=é; narrowgate_session=a".as_bytes()]), "a");
        assert_eq!(direct(&[b"other=\xff; narrowgate_session=\xff; narrowgate_session=a"]), "a");
        assert_eq!(direct(&[b"narrowgate_session=a; narrowgate_session=b"]), "a b");
        assert_eq!(direct(&[b"narrowgate_session=a", b"narrowgate_session=b"]), "a b");
        assert_eq!(direct(&[&b"narrowgate_session=a;".repeat(9)]), "a a a a");
        for none in [&[][..], &[&b"xnarrowgate_session=a"[..]], &[&b"narrowgate_session"[..]]] {
            assert_eq!(direct(none), "", "{none:?}");
        }
        // What only this host can have set goes first.
        let both: &[&[u8]] = &[b"narrowgate_session=a; __Host-narrowgate_session=b"];
        assert_eq!((direct(both), read(both, Way::Proxied)), ("b".to_owned(), "b".to_owned()));
        for way in [Way::Proxied, Way::Secured] {
            assert_eq!(read(&[b"narrowgate_session=a"], way), "");
        }
    }

    #[test]
    fn a_cookie_is_for_this_server_and_for_no_script() {
        let set = |came_by| {
            let value = set_cookie(SESSION, "a", 60, came_by).expect("it is a value");
            value.to_str().expect("it is ASCII").to_owned()
        };
        let plain = "narrowgate_session=a; Max-Age=60; Path=/; HttpOnly; SameSite=Lax";
        assert_eq!(
            (set(CameBy::Plain), set(CameBy::Tls)),
            (plain.to_owned(), format!("__Host-{plain}; Secure"))
        );
    }

    #[test]
    fn an_origin_is_own_where_it_is_the_host_that_was_asked() {
        let of = |origin_text: &str, host: &str| {
            origin(&headers(&[(header::ORIGIN, origin_text), (header::HOST, host)]), Way::Direct)
        };
        assert_eq!(of("http://127.0.0.1:8080", "127.0.0.1:8080"), Origin::Own(CameBy::Plain));
        assert_eq!(of("https://Gate.example", "gate.example"), Origin::Own(CameBy::Tls));
        assert_eq!(of("http://[::1]:8080", "[::1]:8080"), Origin::Own(CameBy::Plain));
        for foreign in [
            "null",
            "",
            "http://127.0.0.1",
            "http://127.0.0.1:8081",
            "http://127.0.0.1:8080.evil.example",
            "http://evil.example:8080",
            "ftp://127.0.0.1:8080",
            "127.0.0.1:8080",
        ] {
            assert_eq!(of(foreign, "127.0.0.1:8080"), Origin::Foreign, "{foreign}");
        }
        let origin = |headers: &HeaderMap| super::origin(headers, Way::Direct);
        assert_eq!(origin(&headers(&[(header::HOST, "h")])), Origin::Unsaid);
        assert_eq!(origin(&headers(&[(header::ORIGIN, "http://h")])), Origin::Foreign);
        let mut two = headers(&[(header::ORIGIN, "http://h"), (header::HOST, "h")]);
        two.append(header::ORIGIN, HeaderValue::from_static("http://h"));
        assert_eq!(origin(&two), Origin::Foreign);
    }

    #[test]
    fn attack_178_a_page_without_tls_is_foreign_where_browsers_come_by_tls() {
        let of = |scheme: &str, way| {
            let from = format!("{scheme}://gate.example");
            origin(&headers(&[(header::ORIGIN, &from), (header::HOST, "gate.example")]), way)
        };
        for way in [Way::Secured, Way::Proxied] {
            assert_eq!(of("http", way), Origin::Foreign);
            assert_eq!(of("https", way), Origin::Own(CameBy::Tls));
        }
        assert_eq!(of("http", Way::Direct), Origin::Own(CameBy::Plain));
        let token = form_token("ngs_1");
        let mut change = headers(&[(header::ORIGIN, "http://h"), (header::HOST, "h")]);
        change.insert(FORM_TOKEN, token.expose().parse().expect("it is a value"));
        assert!(check_change(&change, Way::Direct, "ngs_1").is_ok());
        assert!(check_change(&change, Way::Secured, "ngs_1").is_err());
    }

    #[test]
    fn attack_178_a_change_needs_the_origin_and_the_token_of_its_session() {
        let (own, token) = ("http://h", form_token("ngs_1"));
        let token = token.expose();
        let check = |origin: Option<&str>, token: Option<&str>| {
            let mut all = headers(&[(header::HOST, "h")]);
            for (name, value) in [(header::ORIGIN, origin), (FORM_TOKEN, token)] {
                if let Some(value) = value {
                    all.insert(name, value.parse().expect("it is a value"));
                }
            }
            check_change(&all, Way::Direct, "ngs_1").is_ok()
        };
        assert!(check(Some(own), Some(token)));
        let other = form_token("ngs_2");
        for (origin, token) in [
            (None, Some(token)),
            (Some("null"), Some(token)),
            (Some("http://evil.example"), Some(token)),
            (Some(own), None),
            (Some(own), Some("")),
            (Some(own), Some(other.expose())),
        ] {
            assert!(!check(origin, token), "{origin:?} {token:?}");
        }
    }
}
