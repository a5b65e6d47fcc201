//! Executes requests on the registry: the same in a server and in a command that opened the store itself.

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::device::Device,
    ports::{HistoryQuery, StoreError},
    secret::Secret,
    service::{
        DeviceList, Found, ImportRow as NewRow, NewDeviceRequest, NewProduct, Operator, Paging, ProductPatch,
        ServiceError, id_of, rows::DeviceRow, view::ShownState,
    },
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{DeviceName, Request, SecretText, names::Named};
use crate::{
    cli::State,
    failure::{Exit, Failure},
    output::counted,
};

/// What a request gave, and what follows from it for the sessions of a running server.
pub(crate) struct Outcome {
    pub(crate) answer: Box<RawValue>,
    pub(crate) effects: Vec<Effect>,
}

/// What a running server does after a change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The device's sessions end.
    CloseDevice { device: DeviceId, cause: &'static str },
    /// The product's model and switches are read anew; where it was disabled its sessions end.
    ProductChanged { product_key: String },
}

/// Does what is asked.
///
/// # Errors
/// In an operator's words, with the exit code.
pub(crate) async fn execute(registry: &Operator, request: Request) -> Result<Outcome, Failure> {
    let named = Named::of(&request);
    match (dispatch(registry, request).await, named) {
        (Err(failure), Some(named)) => Err(named.explain(registry, failure).await),
        (outcome, _) => outcome,
    }
}

async fn dispatch(registry: &Operator, request: Request) -> Result<Outcome, Failure> {
    match request {
        Request::CreateProduct { .. }
        | Request::Products
        | Request::Product { .. }
        | Request::UpdateProduct { .. }
        | Request::DeleteProduct { .. } => on_products(registry, request).await,
        Request::CreateDevice { .. }
        | Request::ImportDevices { .. }
        | Request::Devices { .. }
        | Request::Refusals { .. } => on_many(registry, request).await,
        _ => on_one(registry, request).await,
    }
}

/// What the start banner says of the registry: how many products and devices, or which row is damaged. That hinders no
/// start: all others are served.
///
/// # Errors
/// The store cannot be read at all.
pub(crate) async fn summary(registry: &Operator) -> Result<String, Failure> {
    let list = DeviceList { limit: 1000, ..DeviceList::default() };
    let read = async { Ok((registry.products().await?, registry.devices(&list).await?)) };
    match read.await {
        Ok((products, page)) => {
            let devices = match (page.devices.len(), &page.next_cursor) {
                (count, Some(_)) => format!("{count} or more devices"),
                (count, None) => counted(count, "device"),
            };
            let damaged = products.iter().find_map(|row| row.damage());
            let damaged = damaged.or_else(|| page.devices.iter().find_map(|row| row.damage()));
            let damaged = damaged.map(|what| format!("; DAMAGED: {what} (docs/operating.md, Damage)"));
            Ok(format!("{}, {devices}{}", counted(products.len(), "product"), damaged.unwrap_or_default()))
        }
        Err(ServiceError::Store(StoreError::Damaged(what))) => {
            Ok(format!("DAMAGED: {what}; restore a backup"))
        }
        Err(error) => Err(failed("cannot read the registry")(error)),
    }
}

async fn on_products(registry: &Operator, request: Request) -> Result<Outcome, Failure> {
    match request {
        Request::CreateProduct {
            name,
            product_key,
            product_secret,
            dynamic_activation,
            activation_ends,
            quota,
            model,
        } => {
            let new = NewProduct {
                name,
                product_key,
                product_secret: product_secret.map(secret),
                dynamic_activation,
                ends_at: activation_ends.map(UnixMillis),
                quota_per_hour: quota,
                model_json: model,
            };
            let created = registry.create_product(new).await.map_err(failed("cannot create the product"))?;
            // One of that key may have been looked for, or be in the place of a damaged one.
            let product_key = created.product_key.clone();
            Ok(Outcome { effects: vec![Effect::ProductChanged { product_key }], ..done(&created)? })
        }
        Request::Products => done(&registry.products().await.map_err(failed("cannot list the products"))?),
        Request::Product { product_key } => {
            done(&registry.product(&product_key).await.map_err(failed("cannot show the product"))?)
        }
        Request::UpdateProduct {
            product_key,
            name,
            enabled,
            dynamic_activation,
            activation_ends,
            quota,
            model,
            no_activation_ends,
            default_quota,
            no_model,
        } => {
            let patch = ProductPatch {
                name,
                enabled,
                dynamic_activation,
                ends_at: activation_ends.map(UnixMillis).map(Some).or(no_activation_ends.then_some(None)),
                quota_per_hour: quota.map(Some).or(default_quota.then_some(None)),
                model_json: model.map(Some).or(no_model.then_some(None)),
            };
            let updated = registry.update_product(&product_key, patch).await;
            let outcome = done(&updated.map_err(failed("cannot change the product"))?)?;
            Ok(Outcome { effects: vec![Effect::ProductChanged { product_key }], ..outcome })
        }
        Request::DeleteProduct { product_key, force } => {
            let deleted = registry.delete_product(&product_key, force).await;
            let (step, devices) = deleted.map_err(failed("cannot delete the product"))?;
            let close = |device| Effect::CloseDevice { device, cause: "deleted with its product" };
            let mut effects: Vec<Effect> = devices.into_iter().map(close).collect();
            effects.push(Effect::ProductChanged { product_key });
            Ok(Outcome { effects, ..done(&step)? })
        }
        _ => Err(misdirected()),
    }
}

async fn on_many(registry: &Operator, request: Request) -> Result<Outcome, Failure> {
    match request {
        Request::CreateDevice { product_key, device_key, device_secret, name } => {
            let device_secret = device_secret.map(secret);
            let new = NewDeviceRequest { product_key, device_key, device_secret, name };
            done(&registry.create_device(new).await.map_err(failed("cannot register the device"))?)
        }
        Request::ImportDevices { product_key, rows, dry_run } => {
            let rows = rows.into_iter().map(|row| NewRow {
                line: row.line,
                device_key: row.device_key,
                device_secret: row.device_secret.map(secret),
                is_generated: row.is_generated,
                name: row.name,
            });
            let imported = registry.import_devices(&product_key, rows.collect(), dry_run).await;
            done(&imported.map_err(failed("cannot import the devices"))?)
        }
        Request::Devices { product_key, state, limit, cursor } => {
            let list = DeviceList { product_key, state: state.map(shown), cursor, limit: limit as usize };
            done(&registry.devices(&list).await.map_err(failed("cannot list the devices"))?)
        }
        Request::Refusals { limit, cursor } => {
            let page = registry.refusals(&paging(limit, cursor)).await;
            done(&page.map_err(failed("cannot list the refusals"))?)
        }
        _ => Err(misdirected()),
    }
}

async fn on_one(registry: &Operator, request: Request) -> Result<Outcome, Failure> {
    match request {
        Request::Device { device } => {
            let device = resolve(registry, &device, "cannot show the device").await?;
            done(&narrowgate_platform::service::view::DeviceView::from(&device))
        }
        Request::DeviceRow { device } => {
            done(&DeviceRow::from(&find(registry, &device, "cannot find the device").await?))
        }
        Request::RenameDevice { device, name } => {
            const TASK: &str = "cannot rename the device";
            let device = resolve(registry, &device, TASK).await?;
            done(&registry.rename(&device, name).await.map_err(failed(TASK))?)
        }
        Request::DeviceSecret { device } => {
            const TASK: &str = "cannot show the device's secret";
            let device = resolve(registry, &device, TASK).await?;
            done(&registry.device_secret(&device).await.map_err(failed(TASK))?)
        }
        Request::SetDeviceEnabled { device, enabled } => {
            let task = if enabled { "cannot enable the device" } else { "cannot disable the device" };
            let device = resolve(registry, &device, task).await?;
            let changed = registry.set_enabled(&device, enabled).await.map_err(failed(task))?;
            if enabled { done(&changed) } else { closing(&changed, device.id, "disabled by an operator") }
        }
        Request::ResetDevice { device } => {
            const TASK: &str = "cannot reset the device";
            let device = resolve(registry, &device, TASK).await?;
            let reset = registry.reset(&device).await.map_err(failed(TASK))?;
            closing(&reset, device.id, "reset by an operator")
        }
        Request::DeleteDevice { device } => {
            const TASK: &str = "cannot delete the device";
            let found = find(registry, &device, TASK).await?;
            let deleted = registry.delete(&found).await.map_err(failed(TASK))?;
            closing(&deleted, id_of(&found), "deleted by an operator")
        }
        Request::DeviceLog { device, limit, cursor } => {
            const TASK: &str = "cannot show the device's log";
            let device = resolve(registry, &device, TASK).await?;
            done(&registry.log(&device, &paging(limit, cursor)).await.map_err(failed(TASK))?)
        }
        Request::PointsLatest { device, point, limit, cursor } => {
            let device = resolve(registry, &device, POINTS).await?;
            let page = registry.points_latest(&device, point.as_deref(), &paging(limit, cursor)).await;
            done(&page.map_err(failed(POINTS))?)
        }
        Request::PointsHistory { device, point, from, to, limit, cursor } => {
            let device = resolve(registry, &device, POINTS).await?;
            let query = HistoryQuery {
                point,
                from: from.map(UnixMillis),
                to: to.map(UnixMillis),
                ..HistoryQuery::default()
            };
            let page = registry.points_history(&device, query, &paging(limit, cursor)).await;
            done(&page.map_err(failed(POINTS))?)
        }
        _ => Err(misdirected()),
    }
}

const POINTS: &str = "cannot show the device's points";

fn paging(limit: u32, cursor: Option<String>) -> Paging {
    Paging { cursor, limit: limit as usize }
}

async fn resolve(registry: &Operator, name: &DeviceName, task: &'static str) -> Result<Device, Failure> {
    let (first, second) = name.parts();
    registry.resolve(first, second).await.map_err(failed(task))
}

/// Also a damaged one.
async fn find(registry: &Operator, name: &DeviceName, task: &'static str) -> Result<Found, Failure> {
    let (first, second) = name.parts();
    registry.find(first, second).await.map_err(failed(task))
}

pub(super) fn done(answer: &impl Serialize) -> Result<Outcome, Failure> {
    let answer =
        to_raw_value(answer).map_err(|error| Failure::failed("cannot write the answer").reason(error))?;
    Ok(Outcome { answer, effects: Vec::new() })
}

fn closing(answer: &impl Serialize, device: DeviceId, cause: &'static str) -> Result<Outcome, Failure> {
    Ok(Outcome { effects: vec![Effect::CloseDevice { device, cause }], ..done(answer)? })
}

/// The registry's error under the headline of what was tried.
pub(super) fn failed(task: &'static str) -> impl Fn(ServiceError) -> Failure {
    move |error| {
        let exit = match &error {
            // A model is a file's content, not an argument.
            ServiceError::Invalid { field, .. } if *field != "model" => Exit::Usage,
            _ => Exit::Failed,
        };
        let failure = Failure::new(exit, task).reason(&error);
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// `listen` has no answer of its own; the server streams it before it comes here.
fn misdirected() -> Failure {
    Failure::failed("there is nothing to listen to").reason("events come from a running server only")
}

fn secret(text: SecretText) -> Secret {
    Secret::new(text.into_text())
}

fn shown(state: State) -> ShownState {
    match state {
        State::Inactive => ShownState::Inactive,
        State::Online => ShownState::Online,
        State::Offline => ShownState::Offline,
        State::Disabled => ShownState::Disabled,
    }
}
