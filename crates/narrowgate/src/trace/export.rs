//! Sends traces to the collector: OTLP over HTTP (`POST /v1/traces`), in JSON.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    body::Body,
    http::{
        Request,
        header::{CONTENT_TYPE, HOST},
    },
};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use narrowgate_platform::ports::Entropy;
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{Options, Trace, Tracer, otlp};

/// Finished traces that wait to be sent; further ones are dropped.
const WAITING_MAX: usize = 256;
/// How long traces are gathered for one request.
const GATHER: Duration = Duration::from_secs(1);
/// How long the collector may take.
const SEND_TIME_MAX: Duration = Duration::from_secs(5);

/// Begins to send what the result measures, until it is dropped. Must be called inside a tokio runtime.
pub(crate) fn begin(options: Options, entropy: Arc<dyn Entropy>) -> Tracer {
    let collector = options.collector;
    if !collector.ip().is_loopback() {
        tracing::warn!(%collector, "traces leave this machine without TLS, with keys of devices");
    }
    let (finished, waiting) = mpsc::channel(WAITING_MAX);
    tokio::spawn(send_all(collector, waiting, entropy));
    Tracer::new(options.every, finished)
}

async fn send_all(collector: SocketAddr, mut waiting: mpsc::Receiver<Trace>, entropy: Arc<dyn Entropy>) {
    let mut is_failing = false;
    while let Some(first) = waiting.recv().await {
        sleep(GATHER).await;
        let mut traces = vec![first];
        while let Ok(trace) = waiting.try_recv() {
            traces.push(trace);
        }
        let document = otlp::document(&traces, (Instant::now(), SystemTime::now()), &*entropy);
        let sent = timeout(SEND_TIME_MAX, send(collector, document.to_string())).await;
        let sent = sent.unwrap_or_else(|_| Err("it does not answer".to_owned()));
        match &sent {
            Ok(()) if is_failing => tracing::info!(%collector, "the collector takes traces again"),
            Err(error) if !is_failing => {
                tracing::warn!(%collector, %error, "traces are lost until the collector takes them");
            }
            _ => {}
        }
        is_failing = sent.is_err();
    }
}

async fn send(collector: SocketAddr, document: String) -> Result<(), String> {
    let words = |error: &dyn std::error::Error| error.to_string();
    let stream = TcpStream::connect(collector).await.map_err(|error| words(&error))?;
    let opened = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.map_err(|error| words(&error))?;
    // It ends when the sender is dropped.
    tokio::spawn(connection);
    let request = Request::post("/v1/traces")
        .header(HOST, collector.to_string())
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(document))
        .map_err(|error| words(&error))?;
    let status = sender.send_request(request).await.map_err(|error| words(&error))?.status();
    if status.is_success() { Ok(()) } else { Err(format!("it answers {status}")) }
}
