//! The file of secrets of an import, once.

use std::io;

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Method, header},
    response::IntoResponse as _,
};
use futures_util::stream;
use narrowgate_platform::service::{DeedTo, ImportSecrets, Operator};
use tokio::{runtime::Handle, task::spawn_blocking};
use zeroize::Zeroizing;

use crate::{
    api::{
        asked::{Asked, Lasting},
        audited::{Made, Place},
        described::CsvFile,
        extract::Part,
    },
    device_file::csv,
    problem::Refused,
    routes::method_not_allowed,
};

/// Bytes of a line of secrets: an asset id, two keys and a secret of 128 characters, all of them quotes.
const LINE_BYTES_MAX: usize = 1024;

/// Answers with it.
pub(super) async fn secrets(
    Asked(api): Asked,
    asker: Lasting,
    method: Method,
    Part(name): Part,
) -> Result<Made<CsvFile>, Refused> {
    // It would be taken, and seen by nobody.
    if method == Method::HEAD {
        let mut refused = method_not_allowed(method).await.into_response();
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
        return Ok(Place::of(DeedTo::Nothing).has(CsvFile(refused)));
    }
    let secrets = api.operator.take_import(&name).await?;
    let product_key = secrets.product_key().to_owned();
    let place = Place::of(DeedTo::Product(product_key.clone())).with("productKey", &product_key);
    let head = Some("assetId,productKey,deviceKey,deviceSecret\n");
    let parts = stream::try_unfold(Fetch { head, operator: api.operator, secrets, asker }, next_secrets);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"secrets.csv\"")),
    ];
    Ok(place.has(CsvFile((headers, Body::from_stream(parts)).into_response())))
}

/// Secrets while they are fetched.
struct Fetch {
    head: Option<&'static str>,
    operator: Operator,
    secrets: ImportSecrets,
    asker: Lasting,
}

async fn next_secrets(mut fetch: Fetch) -> io::Result<Option<(Bytes, Fetch)>> {
    if let Some(head) = fetch.head.take() {
        return Ok(Some((Bytes::from_static(head.as_bytes()), fetch)));
    }
    if !fetch.asker.standing.holds().await {
        return Err(io::Error::other("the secrets may not be fetched any more"));
    }
    let turn = fetch.asker.peer.turn().await;
    let read = spawn_blocking(move || {
        let found = Handle::current().block_on(fetch.operator.next_secrets(&mut fetch.secrets));
        drop(turn);
        (found, fetch)
    });
    let (found, fetch) = read.await.map_err(io::Error::other)?;
    let found = found.map_err(|problem| io::Error::other(problem.title))?;
    if found.is_empty() {
        return Ok(None);
    }
    // A text that grows would leave its beginnings behind.
    let mut text = Zeroizing::new(String::with_capacity(found.len() * LINE_BYTES_MAX));
    for made in &found {
        // To the letter, also where a spreadsheet would take it for a formula: devices are made with it.
        let fields = [&*made.asset_id, &made.product_key, &made.device_key, made.device_secret.expose()];
        csv::write_line(&fields, &mut text);
    }
    Ok(Some((Bytes::from_owner(text), fetch)))
}
