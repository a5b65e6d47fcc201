//! Where HTTP comes in: its port, and its certificate where there is one.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use axum::Router;
use narrowgate_http::{
    Proxied, TCP_PLACES_MAX,
    tls::{Certificate, Secured},
};
use tokio::{sync::watch, task::JoinHandle};

use super::{busy, stopped};
use crate::{
    config::{self, Config},
    failure::Failure,
};

/// The bound port.
pub(super) struct Door {
    listener: tokio::net::TcpListener,
    certificate: Option<Arc<Certificate>>,
}

impl Door {
    /// Binds the port, after the certificate was read.
    ///
    /// # Errors
    /// The certificate cannot be used, or the port is taken.
    pub(super) fn open(config: &Config, address: SocketAddr) -> Result<Self, Failure> {
        let certificate = config.http.certificate()?.map(Arc::new);
        let bind = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            tokio::net::TcpListener::from_std(listener)
        };
        let listener =
            bind().map_err(|error| busy(config, "HTTP", &config::http::LISTEN, address, &error))?;
        Ok(Self { listener, certificate })
    }

    /// Where it is.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// What it shows to those who connect.
    pub(super) fn certificate(&self) -> Option<Arc<Certificate>> {
        self.certificate.clone()
    }

    /// Serves the API, health and metrics until `stopping` turns true.
    pub(super) fn serve(
        self,
        config: &Config,
        router: Router,
        stopping: watch::Receiver<bool>,
    ) -> JoinHandle<()> {
        let Self { listener, certificate } = self;
        let (places, stop) = (TCP_PLACES_MAX, stopped(stopping));
        if let Some(certificate) = certificate {
            let behind_proxy = config.http.behind_proxy;
            return tokio::spawn(serve_tls((listener, behind_proxy), certificate, router, stop));
        }
        if config.http.behind_proxy {
            return tokio::spawn(narrowgate_http::serve(Proxied(listener), router, places, stop));
        }
        tokio::spawn(narrowgate_http::serve(listener, router, places, stop))
    }
}

async fn serve_tls(
    (listener, behind_proxy): (tokio::net::TcpListener, bool),
    certificate: Arc<Certificate>,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let secured = match Secured::new(listener, &certificate) {
        Ok(secured) => secured,
        Err(error) => return tracing::error!(%error, "HTTPS cannot be served"),
    };
    let secured = if behind_proxy { secured.behind_proxy() } else { secured };
    tokio::select! {
        () = narrowgate_http::serve(secured, router, TCP_PLACES_MAX, stop) => {}
        // It never ends.
        () = certificate.follow() => {}
    }
}
