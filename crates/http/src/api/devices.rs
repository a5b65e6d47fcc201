//! `/api/v1/devices`, and one device by either of its paths.

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse as _, Response},
    routing::get,
};
use narrowgate_api::{
    device::{DevicePatch, DeviceRow, DeviceSecretShown, DeviceView, NamedDevice},
    page::Page,
    problem::Code,
    query::{DeleteDevice, DeviceList, DeviceQuery},
};

use super::{
    Api,
    extract::{Body, Named, Query, given},
};
use crate::{problem::Refused, secret::Secretive};

pub(super) fn routes() -> Router<Api> {
    let mut routes = Router::new().route("/api/v1/devices", get(list));
    for device in super::DEVICE_PATHS {
        routes = routes
            .route(device, get(show).patch(rename).delete(delete).post(act))
            .route(&format!("{device}/secret"), get(show_secret));
    }
    routes
}

async fn list(
    State(api): State<Api>,
    Query(list): Query<DeviceList>,
) -> Result<Json<Page<DeviceRow>>, Refused> {
    Ok(Json(api.operator.list_devices(&list).await?))
}

async fn show(
    State(api): State<Api>,
    Named(name): Named,
    Query(DeviceQuery { damaged }): Query<DeviceQuery>,
) -> Result<Response, Refused> {
    Ok(if damaged {
        Json(api.operator.find_device(&name).await?).into_response()
    } else {
        Json(api.operator.show_device(&name).await?).into_response()
    })
}

async fn rename(
    State(api): State<Api>,
    Named(name): Named,
    Body(patch): Body<DevicePatch>,
) -> Result<Json<DeviceView>, Refused> {
    Ok(Json(api.operator.rename_device(&name, patch).await?))
}

async fn delete(
    State(api): State<Api>,
    Named(name): Named,
    Query(DeleteDevice { purge }): Query<DeleteDevice>,
) -> Result<Response, Refused> {
    Ok(if purge {
        let purged = api.operator.purge_device(&name).await?;
        let status = if purged.done { StatusCode::OK } else { StatusCode::ACCEPTED };
        (status, Json(purged)).into_response()
    } else {
        Json(api.operator.delete_device(&name).await?).into_response()
    })
}

async fn show_secret(
    State(api): State<Api>,
    Named(name): Named,
) -> Result<Secretive<DeviceSecretShown>, Refused> {
    Ok(Secretive(StatusCode::OK, api.operator.show_device_secret(&name).await?))
}

/// `POST …/{device}:act`. Keys may contain colons; the act follows the last one.
async fn act(State(api): State<Api>, Named(name): Named, uri: Uri) -> Result<Response, Refused> {
    let NamedDevice { product, device } = name;
    let (device, act) = device.rsplit_once(':').unwrap_or((&device, ""));
    let name = NamedDevice { product, device: given(device.to_owned()) };
    Ok(match act {
        "enable" => Json(api.operator.enable_device(&name).await?).into_response(),
        "disable" => Json(api.operator.disable_device(&name).await?).into_response(),
        "reset" => Secretive(StatusCode::OK, api.operator.reset_device(&name).await?).into_response(),
        _ => {
            let detail =
                format!("there is nothing at {}; it ends in :enable, :disable or :reset", uri.path());
            return Err(Refused::new(StatusCode::NOT_FOUND, Code::PathUnknown, detail));
        }
    })
}
