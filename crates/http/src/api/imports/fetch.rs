//! The file of secrets of an import, once.

use std::io;

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Method, StatusCode, header},
    response::IntoResponse as _,
};
use futures_util::stream;
use narrowgate_api::{
    device::DeviceCreated,
    problem::{Code, Problem},
};
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

const HEAD: &str = "assetId,productKey,deviceKey,deviceSecret\n";

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
    let Fetched { found, fetch } = read(Fetch { operator: api.operator, secrets, asker }).await?;
    // The first of them before anything is answered: what cannot be read can be fetched another time.
    let first = match found {
        Ok(found) => written(HEAD, &found),
        Err(problem) => {
            fetch.operator.put_import_back(&name, fetch.secrets);
            return Err(problem.into());
        }
    };
    let product_key = fetch.secrets.product_key().to_owned();
    let place = Place::of(DeedTo::Product(product_key.clone())).with("productKey", &product_key);
    let parts = stream::try_unfold((Some(first), fetch), next_part);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"secrets.csv\"")),
    ];
    Ok(place.has(CsvFile((headers, Body::from_stream(parts)).into_response())))
}

/// Secrets while they are fetched.
struct Fetch {
    operator: Operator,
    secrets: ImportSecrets,
    asker: Lasting,
}

/// Some of them, and the rest.
struct Fetched {
    found: Result<Vec<DeviceCreated>, Problem>,
    fetch: Fetch,
}

/// Reads the next of them. A store reads on the thread that asks.
async fn read(mut fetch: Fetch) -> Result<Fetched, Refused> {
    let turn = fetch.asker.peer.turn().await;
    let read = spawn_blocking(move || {
        let found = Handle::current().block_on(fetch.operator.next_secrets(&mut fetch.secrets));
        drop(turn);
        Fetched { found, fetch }
    });
    read.await
        .map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, error.to_string()))
}

/// Lines that are ready, and the rest.
type State = (Option<Zeroizing<String>>, Fetch);

async fn next_part((ready, fetch): State) -> io::Result<Option<(Bytes, State)>> {
    if let Some(ready) = ready {
        return Ok(Some((Bytes::from_owner(ready), (None, fetch))));
    }
    if !fetch.asker.standing.holds().await {
        return Err(io::Error::other("the secrets may not be fetched any more"));
    }
    let unread = |problem: Problem| io::Error::other(problem.title);
    let Fetched { found, fetch } = read(fetch).await.map_err(|Refused(problem)| unread(problem))?;
    let found = found.map_err(unread)?;
    Ok((!found.is_empty()).then(|| (Bytes::from_owner(written("", &found)), (None, fetch))))
}

/// Lines of CSV, in memory that is wiped.
fn written(head: &str, found: &[DeviceCreated]) -> Zeroizing<String> {
    // A text that grows would leave its beginnings behind.
    let mut text = Zeroizing::new(String::with_capacity(head.len() + found.len() * LINE_BYTES_MAX));
    text.push_str(head);
    for made in found {
        // To the letter, also where a spreadsheet would take it for a formula: devices are made with it.
        let fields = [&*made.asset_id, &made.product_key, &made.device_key, made.device_secret.expose()];
        csv::write_line(&fields, &mut text);
    }
    text
}
