//! `/api/v1/devices`, and one device by either of its paths.

use axum::{
    Json,
    http::{StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use narrowgate_api::{
    device::{
        DeviceListed, DevicePatch, DevicePurged, DeviceReset, DeviceRow, DeviceSecretShown, DeviceShown,
        DeviceView, NamedDevice,
    },
    page::Page,
    problem::Code,
    query::{DeleteDevice, DeviceList, DeviceQuery, Paging},
};
use narrowgate_platform::{model::access::Needs, service::DeedTo};

use super::{
    asked::{Acts, Asked, Routes},
    audited::{Made, Place},
    conditions::{Tagged, alone, permit, tag_of_device},
    described::{Answers as _, Either, Listed, Status},
    export::{Accepted, DEVICES, listed},
    extract::{Body, Matching, Named, Query, given},
};
use crate::{problem::Refused, secret::Secretive};

/// `POST …/{device}:act`. A reset shows a secret.
const ACTS: Acts = &[
    ("enable", Needs::Operate, <Json<DeviceView>>::answers),
    ("disable", Needs::Operate, <Json<DeviceView>>::answers),
    ("disconnect", Needs::Operate, <Json<DeviceView>>::answers),
    ("reset", Needs::Administer, <Secretive<DeviceReset>>::answers),
];

pub(super) fn routes() -> Routes {
    let mut routes = Routes::default().get("/api/v1/devices", Needs::Read, list);
    for device in super::DEVICE_PATHS {
        routes = routes
            .get(device, Needs::Read, show)
            .reads_little()
            .patch(device, Needs::Operate, rename)
            .delete(device, Needs::Administer, delete)
            .acts(device, ACTS, act)
            .get(&format!("{device}/secret"), Needs::Administer, show_secret)
            .post(&format!("{device}/secret:rotate"), Needs::Administer, rotate_secret);
    }
    routes
}

async fn list(
    Asked(api): Asked,
    Query(list): Query<DeviceList>,
    accepted: Accepted,
) -> Result<Listed<Page<DeviceListed>>, Refused> {
    let paging = Paging { limit: list.limit, cursor: list.cursor.clone() };
    let read = move |Paging { limit, cursor }| {
        let (operator, list) = (api.operator.clone(), list.clone());
        let list = DeviceList { limit, cursor, ..list };
        async move { operator.list_devices_with(&list).await }
    };
    listed(accepted, paging, DEVICES, read).await
}

async fn show(
    Asked(api): Asked,
    Named(name): Named,
    Query(DeviceQuery { damaged }): Query<DeviceQuery>,
) -> Result<Either<Tagged<DeviceShown>, Json<DeviceRow>>, Refused> {
    Ok(if damaged {
        Either::Other(Json(api.operator.find_device(&name).await?))
    } else {
        let shown = api.operator.show_device(&name).await?;
        Either::One(([(header::ETAG, tag_of_device(&shown.device))], Json(shown)))
    })
}

async fn rename(
    Asked(api): Asked,
    Named(name): Named,
    Matching(if_match): Matching,
    Body(patch): Body<DevicePatch>,
) -> Result<Made<Tagged<DeviceView>>, Refused> {
    // By whichever of its names it was meant; what is not there is told below.
    let found = api.operator.resolve(&name).await;
    let key = found.map_or_else(|_| name.device.clone(), |device| device.id.0.to_string());
    let _alone = alone(&key).await;
    let tag = async { api.operator.show_device(&name).await.map(|shown| tag_of_device(&shown.device)) };
    permit(if_match, "the device", tag).await?;
    let place = Place::of(DeedTo::Nothing).with("name", &patch.name);
    let renamed = api.operator.rename_device(&name, patch).await?;
    Ok(place.has(([(header::ETAG, tag_of_device(&renamed))], Json(renamed))))
}

/// It is done, or is to be asked for again.
type Purging = Either<Json<DevicePurged>, Status<202, Json<DevicePurged>>>;

async fn delete(
    Asked(api): Asked,
    Named(name): Named,
    Query(DeleteDevice { purge }): Query<DeleteDevice>,
) -> Result<Either<Json<DeviceRow>, Purging>, Refused> {
    Ok(if purge {
        let purged = api.operator.purge_device(&name).await?;
        let is_done = purged.done;
        let purged = Json(purged);
        Either::Other(if is_done { Either::One(purged) } else { Either::Other(Status(purged)) })
    } else {
        Either::One(Json(api.operator.delete_device(&name).await?))
    })
}

async fn show_secret(Asked(api): Asked, Named(name): Named) -> Result<Secretive<DeviceSecretShown>, Refused> {
    Ok(Secretive(api.operator.show_device_secret(&name).await?))
}

async fn rotate_secret(
    Asked(api): Asked,
    Named(name): Named,
) -> Result<Secretive<DeviceSecretShown>, Refused> {
    Ok(Secretive(api.operator.rotate_device_secret(&name).await?))
}

/// `POST …/{device}:act`. Keys may contain colons; the act follows the last one.
async fn act(Asked(api): Asked, Named(name): Named, uri: Uri) -> Result<Response, Refused> {
    let NamedDevice { product, device } = name;
    let (device, act) = device.rsplit_once(':').unwrap_or((&device, ""));
    let name = NamedDevice { product, device: given(device.to_owned()) };
    Ok(match act {
        "enable" => Json(api.operator.enable_device(&name).await?).into_response(),
        "disable" => Json(api.operator.disable_device(&name).await?).into_response(),
        "disconnect" => Json(api.operator.disconnect_device(&name).await?).into_response(),
        "reset" => Secretive(api.operator.reset_device(&name).await?).into_response(),
        _ => {
            let acts = ":enable, :disable, :disconnect or :reset";
            let detail = format!("there is nothing at {}; it ends in {acts}", uri.path());
            return Err(Refused::new(StatusCode::NOT_FOUND, Code::PathUnknown, detail));
        }
    })
}
