//! How a request reached this server, and whose it is where a proxy is in front.
//!
//! Behind a proxy (`http.behind_proxy`) the address of the peer is the proxy's. The client's is the last one
//! of `X-Forwarded-For`: the proxy adds it there, and what stands before it anybody can have written. Without
//! a proxy that header is not looked at.

use std::net::{IpAddr, SocketAddr};

use axum::http::{Extensions, HeaderMap, HeaderName};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How a request reached this server; in its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Way {
    /// Without TLS, and nothing is known to be between.
    #[default]
    Direct,
    /// By TLS, which ends here.
    Secured,
    /// By a proxy, to which it came by TLS.
    Proxied,
}

impl Way {
    /// That of a request with these extensions.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or_default()
    }

    /// Whether a browser came by TLS.
    pub(crate) fn is_tls(self) -> bool {
        match self {
            Self::Direct => false,
            Self::Secured | Self::Proxied => true,
        }
    }
}

/// The client's address, as the proxy says it; `None`: it does not.
pub(crate) fn client(headers: &HeaderMap) -> Option<IpAddr> {
    let text = headers.get_all(FORWARDED_FOR).iter().next_back()?.to_str().ok()?;
    let last = text.rsplit(',').next()?.trim();
    let bare = last.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(last);
    // Some proxies write the port as well.
    bare.parse().ok().or_else(|| last.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_181_a_client_is_the_last_of_those_that_a_proxy_names() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(FORWARDED_FOR, value.parse().expect("it is a value of a header"));
            }
            client(&headers).map(|address| address.to_string())
        };
        for (values, expected) in [
            (&["192.0.2.1"][..], "192.0.2.1"),
            (&["10.9.9.9, 192.0.2.1"], "192.0.2.1"),
            (&["10.9.9.9", "192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.1:4711"], "192.0.2.1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
        ] {
            assert_eq!(read(values).as_deref(), Some(expected), "{values:?}");
        }
        for none in [&[][..], &[""], &["unknown"], &["192.0.2.1,"], &["192.0.2.1, _hidden"]] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }
}
