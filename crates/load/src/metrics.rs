//! The server's page of metrics, as far as a run needs it.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
};

use super::target::Target;

/// A page as it was at one moment.
#[derive(Debug, Clone)]
pub(super) struct Page(String);

impl Page {
    pub(super) fn fetch(http: Target) -> io::Result<Self> {
        let mut stream = TcpStream::connect(http.address())?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(Self(page))
    }

    /// The gauge `narrowgate_NAME`; `None` if there is none.
    pub(super) fn gauge(&self, name: &str) -> Option<f64> {
        self.value(&format!("narrowgate_{name} "))
    }

    /// The counter `narrowgate_NAME`, with its label if it has one; 0 if there is none.
    pub(super) fn counter(&self, name: &str) -> u64 {
        self.value(&format!("narrowgate_{name} ")).unwrap_or(0.0) as u64
    }

    fn value(&self, prefix: &str) -> Option<f64> {
        self.0.lines().find_map(|line| line.strip_prefix(prefix)).and_then(|value| value.trim().parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_and_counters_are_found_by_their_names() {
        let page = Page(
            "narrowgate_sessions_x 9\nnarrowgate_sessions 3\n\
             narrowgate_handshakes_total{outcome=\"expired\"} 48\n"
                .to_owned(),
        );
        assert_eq!(page.gauge("sessions"), Some(3.0));
        assert_eq!(page.gauge("handshakes"), None);
        assert_eq!(page.counter("handshakes_total{outcome=\"expired\"}"), 48);
        assert_eq!(page.counter("handshakes_total{outcome=\"failed\"}"), 0);
    }
}
