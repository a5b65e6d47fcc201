//! The requests of the command line: a function per verb, with the type of its answer.

use std::marker::PhantomData;

use axum::{
    body::{Body, Bytes},
    http::{Method, Request, header},
};
#[cfg(test)]
use narrowgate_api::script::NewScript;
use narrowgate_api::{
    command::{CommandCreated, CommandView, CommandsCancelled, NewCommand},
    device::{
        DeviceCreated, DevicePatch, DevicePurged, DeviceReset, DeviceRow, DeviceSecretShown, DeviceShown,
        DeviceView, NamedDevice, NewDeviceRequest,
    },
    fleet::Status,
    history::{BucketView, EventView, LogView, PointView, RefusalView},
    import::{ImportReport, ImportRow, ImportRows},
    model::{ModelVersionRow, ModelVersionView},
    page::Page,
    product::{
        ModelDraft, NewProduct, ProductCreated, ProductDeleted, ProductPatch, ProductRow,
        ProductSecretRotated, ProductSecretShown, ProductView,
    },
    properties::{PropertiesPatch, PropertiesView},
    query::{
        DeleteDevice, DeleteProduct, DeviceEventsQuery, DeviceList, DeviceQuery, EventsQuery, ImportQuery,
        LatestQuery, Paging, PointValuesQuery, ValuesQuery,
    },
    script::{
        PublishScript, Replayed, RollBackScript, ScriptPublished, ScriptVersionRow, ScriptVersionView,
        ScriptView, TriedOnce, TryScript,
    },
};
use narrowgate_platform::model::property::PropertyKind;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Rows of one call of an import: 500 rows of the longest keys, secrets and names stay below the limit of a
/// body.
pub(crate) const IMPORT_ROWS_MAX: usize = 500;

/// Characters that a path segment holds unescaped (RFC 3986, 2.3).
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request, and the type of its answer.
#[derive(Debug)]
pub(crate) struct Call<T> {
    method: Method,
    path: String,
    body: Option<Secretive>,
    media_type: &'static str,
    /// It changes nothing.
    pub(super) reads_only: bool,
    /// It is the first page of an export, which the audit log has.
    exports: bool,
    /// What to do where a change got no answer.
    pub(super) afterwards: &'static str,
    answer: PhantomData<fn() -> T>,
}

/// A body that may hold secrets: wiped when dropped, never printed.
pub(super) struct Secretive(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Secretive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl AsRef<[u8]> for Secretive {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<T> Call<T> {
    pub(super) fn get(path: String) -> Self {
        Self { reads_only: true, ..Self::change(Method::GET, path) }
    }

    pub(super) fn change(method: Method, path: String) -> Self {
        let media_type = "application/json";
        let afterwards = "check the present state (product show, device show), then try again";
        let (reads_only, exports) = (false, false);
        Self { method, path, body: None, media_type, reads_only, exports, afterwards, answer: PhantomData }
    }

    /// As the first page of an export.
    pub(crate) fn begins_export(self) -> Self {
        Self { exports: true, ..self }
    }

    /// What to do where this change got no answer.
    pub(super) fn afterwards(self, afterwards: &'static str) -> Self {
        Self { afterwards, ..self }
    }

    pub(super) fn query(mut self, query: &impl Serialize) -> Self {
        // Structures of numbers and texts can always be written.
        let query = serde_urlencoded::to_string(query).unwrap_or_default();
        if !query.is_empty() {
            self.path = format!("{}?{query}", self.path);
        }
        self
    }

    pub(super) fn body(self, body: &impl Serialize) -> Self {
        // So can these.
        let body = narrowgate_http::secret_json(body).unwrap_or_default();
        Self { body: Some(Secretive(body)), ..self }
    }

    /// As HTTP.
    ///
    /// # Errors
    /// A name is longer than what HTTP carries.
    pub(super) fn into_request(self) -> Result<Request<Body>, Failure> {
        let request =
            Request::builder().method(self.method).uri(&self.path).header(header::HOST, "narrowgate");
        let request = match self.exports {
            true => request.header(narrowgate_http::BEGINS_EXPORT, "1"),
            false => request,
        };
        let request = match self.body {
            None => request.body(Body::empty()),
            Some(body) => request
                .header(header::CONTENT_TYPE, self.media_type)
                .body(Body::from(Bytes::from_owner(body))),
        };
        request.map_err(|error| Failure::failed("cannot ask for this").reason(error))
    }

    /// Bytes as they are.
    pub(super) fn octets(self, bytes: Vec<u8>) -> Self {
        let body = Some(Secretive(Zeroizing::new(bytes)));
        Self { body, media_type: "application/octet-stream", ..self }
    }

    #[cfg(test)]
    pub(super) fn sent(&self) -> (&str, &str, &str) {
        let body = self.body.as_ref().map_or(&[][..], |body| body.as_ref());
        (self.method.as_str(), &self.path, std::str::from_utf8(body).expect("JSON is text"))
    }
}

impl Call<ProductCreated> {
    pub(crate) fn create_product(new: &NewProduct) -> Self {
        Self::change(Method::POST, "/api/v1/products".into()).body(new)
    }
}

impl Call<Page<ProductRow>> {
    pub(crate) fn list_products() -> Self {
        Self::get("/api/v1/products".into())
    }
}

impl Call<ProductView> {
    pub(crate) fn show_product(product_key: &str) -> Self {
        Self::get(product(product_key))
    }

    pub(crate) fn update_product(product_key: &str, patch: &ProductPatch) -> Self {
        Self::change(Method::PATCH, product(product_key)).body(patch)
    }
}

impl Call<ModelDraft> {
    pub(crate) fn infer_model(product_key: &str) -> Self {
        let path = product(product_key) + "/model:infer";
        Self { reads_only: true, ..Self::change(Method::POST, path) }
    }
}

impl Call<Page<ModelVersionRow>> {
    pub(crate) fn list_model_versions(product_key: &str) -> Self {
        Self::get(product(product_key) + "/model/versions")
    }
}

impl Call<ModelVersionView> {
    pub(crate) fn show_model_version(product_key: &str, version: u32) -> Self {
        Self::get(format!("{}/model/versions/{version}", product(product_key)))
    }
}

impl Call<ScriptView> {
    pub(crate) fn show_script(product_key: &str) -> Self {
        Self::get(product(product_key) + "/script")
    }

    #[cfg(test)]
    pub(crate) fn draft_script(product_key: &str, new: &NewScript) -> Self {
        Self::change(Method::PUT, product(product_key) + "/script").body(new)
    }
}

impl Call<ScriptPublished> {
    pub(crate) fn publish_script(product_key: &str, wanted: &PublishScript) -> Self {
        Self::change(Method::POST, product(product_key) + "/script:publish").body(wanted)
    }

    pub(crate) fn roll_back_script(product_key: &str, wanted: &RollBackScript) -> Self {
        Self::change(Method::POST, product(product_key) + "/script:rollback").body(wanted)
    }
}

impl Call<Page<ScriptVersionRow>> {
    pub(crate) fn list_script_versions(product_key: &str) -> Self {
        Self::get(product(product_key) + "/script/versions")
    }
}

impl Call<ScriptVersionView> {
    pub(crate) fn show_script_version(product_key: &str, version: u32) -> Self {
        Self::get(format!("{}/script/versions/{version}", product(product_key)))
    }
}

impl Call<TriedOnce> {
    /// Of bytes, or of a message.
    pub(crate) fn try_script(product_key: &str, wanted: &TryScript) -> Self {
        let path = product(product_key) + "/script:try";
        Self { reads_only: true, ..Self::change(Method::POST, path).body(wanted) }
    }
}

impl Call<Replayed> {
    /// Of what a device sent.
    pub(crate) fn replay_script(product_key: &str, wanted: &TryScript) -> Self {
        let path = product(product_key) + "/script:try";
        Self { reads_only: true, ..Self::change(Method::POST, path).body(wanted) }
    }
}

impl Call<ProductSecretShown> {
    pub(crate) fn show_product_secret(product_key: &str) -> Self {
        Self::get(product(product_key) + "/secret")
    }
}

impl Call<ProductSecretRotated> {
    pub(crate) fn rotate_product_secret(product_key: &str) -> Self {
        Self::change(Method::POST, product(product_key) + "/secret:rotate")
    }
}

impl Call<ProductDeleted> {
    /// One step; to be asked again until it is done.
    pub(crate) fn delete_product(product_key: &str, force: bool) -> Self {
        Self::change(Method::DELETE, product(product_key)).query(&DeleteProduct { force })
    }
}

impl Call<DeviceCreated> {
    pub(crate) fn create_device(product_key: &str, new: &NewDeviceRequest) -> Self {
        Self::change(Method::POST, format!("{}/devices", product(product_key))).body(new)
    }
}

impl Call<ImportReport> {
    pub(crate) fn import_devices(product_key: &str, rows: Vec<ImportRow>, dry_run: bool) -> Self {
        let path = format!("{}/devices:import", product(product_key));
        let call = Self::change(Method::POST, path)
            .query(&ImportQuery { dry_run, ..ImportQuery::default() })
            .body(&ImportRows { rows });
        Self { reads_only: dry_run, ..call }
    }
}

impl Call<Page<DeviceRow>> {
    pub(crate) fn list_devices(list: &DeviceList) -> Self {
        Self::get("/api/v1/devices".into()).query(list)
    }
}

impl Call<DeviceShown> {
    pub(crate) fn show_device(name: &NamedDevice) -> Self {
        Self::get(device(name))
    }
}

impl Call<DeviceView> {
    pub(crate) fn rename_device(name: &NamedDevice, patch: &DevicePatch) -> Self {
        Self::change(Method::PATCH, device(name)).body(patch)
    }

    pub(crate) fn enable_device(name: &NamedDevice) -> Self {
        Self::change(Method::POST, device(name) + ":enable")
    }

    pub(crate) fn disable_device(name: &NamedDevice) -> Self {
        Self::change(Method::POST, device(name) + ":disable")
    }
}

impl Call<DeviceReset> {
    pub(crate) fn reset_device(name: &NamedDevice) -> Self {
        Self::change(Method::POST, device(name) + ":reset")
    }
}

impl Call<DeviceRow> {
    /// As a list shows it, damaged or not.
    pub(crate) fn find_device(name: &NamedDevice) -> Self {
        Self::get(device(name)).query(&DeviceQuery { damaged: true })
    }

    pub(crate) fn delete_device(name: &NamedDevice) -> Self {
        Self::change(Method::DELETE, device(name))
    }
}

impl Call<DevicePurged> {
    /// One step; to be asked again until it is done.
    pub(crate) fn purge_device(name: &NamedDevice) -> Self {
        Self::change(Method::DELETE, device(name)).query(&DeleteDevice { purge: true })
    }
}

impl Call<DeviceSecretShown> {
    pub(crate) fn show_device_secret(name: &NamedDevice) -> Self {
        Self::get(device(name) + "/secret")
    }

    pub(crate) fn rotate_device_secret(name: &NamedDevice) -> Self {
        Self::change(Method::POST, device(name) + "/secret:rotate")
    }
}

impl Call<PropertiesView> {
    pub(crate) fn show_properties(name: &NamedDevice, kind: PropertyKind) -> Self {
        Self::get(properties(name, kind))
    }

    pub(crate) fn edit_properties(name: &NamedDevice, kind: PropertyKind, patch: &PropertiesPatch) -> Self {
        Self::change(Method::PATCH, properties(name, kind)).body(patch)
    }
}

impl Call<Page<PointView>> {
    pub(crate) fn list_latest_values(name: &NamedDevice, query: &LatestQuery) -> Self {
        Self::get(device(name) + "/points").query(query)
    }

    pub(crate) fn list_values(name: &NamedDevice, query: &ValuesQuery) -> Self {
        Self::get(device(name) + "/values").query(query)
    }
}

impl Call<Page<BucketView>> {
    /// Where `query` asks for buckets.
    pub(crate) fn list_buckets(name: &NamedDevice, point: &str, query: &PointValuesQuery) -> Self {
        Self::get(device(name) + "/points/" + &segment(point) + "/values").query(query)
    }
}

impl Call<Page<EventView>> {
    pub(crate) fn list_device_events(name: &NamedDevice, query: &DeviceEventsQuery) -> Self {
        Self::get(device(name) + "/events").query(query)
    }
}

impl Call<Page<LogView>> {
    pub(crate) fn list_device_log(name: &NamedDevice, paging: &Paging) -> Self {
        Self::get(device(name) + "/log").query(paging)
    }
}

/// Of one device.
impl Call<Page<RefusalView>> {
    pub(crate) fn list_device_refusals(name: &NamedDevice, paging: &Paging) -> Self {
        Self::get(device(name) + "/refusals").query(paging)
    }
}

impl Call<CommandCreated> {
    pub(crate) fn send_command(name: &NamedDevice, new: &NewCommand) -> Self {
        Self::change(Method::POST, device(name) + "/commands").body(new)
    }
}

impl Call<CommandView> {
    pub(crate) fn show_command(name: &NamedDevice, id: &str) -> Self {
        Self::get(device(name) + "/commands/" + &segment(id))
    }

    pub(crate) fn cancel_command(name: &NamedDevice, id: &str) -> Self {
        Self::change(Method::POST, device(name) + "/commands/" + &segment(id) + ":cancel")
    }
}

impl Call<CommandsCancelled> {
    pub(crate) fn cancel_commands(name: &NamedDevice) -> Self {
        Self::change(Method::POST, device(name) + "/commands:cancel")
    }
}

impl Call<Page<CommandView>> {
    pub(crate) fn list_commands(name: &NamedDevice, paging: &Paging) -> Self {
        Self::get(device(name) + "/commands").query(paging)
    }
}

impl Call<Page<RefusalView>> {
    pub(crate) fn list_refusals(paging: &Paging) -> Self {
        Self::get("/api/v1/refusals".into()).query(paging)
    }
}

impl Call<Status> {
    pub(crate) fn show_status() -> Self {
        Self::get("/api/v1/system".into())
    }
}

/// A stream has no answer of its own.
impl Call<()> {
    /// Its answer goes on as long as the store is held.
    pub(crate) fn hold_writes() -> Self {
        Self { reads_only: true, ..Self::change(Method::POST, "/api/v1/backup:hold".into()) }
    }

    pub(crate) fn listen(query: &EventsQuery) -> Self {
        Self::get("/api/v1/events".into()).query(query)
    }
}

fn product(product_key: &str) -> String {
    format!("/api/v1/products/{}", segment(product_key))
}

fn device(name: &NamedDevice) -> String {
    match name.parts() {
        (product_key, Some(device_key)) => {
            format!("{}/devices/{}", product(product_key), segment(device_key))
        }
        (name, None) => format!("/api/v1/devices/{}", segment(name)),
    }
}

fn properties(name: &NamedDevice, kind: PropertyKind) -> String {
    device(name) + "/" + kind.plural()
}

/// A segment of a path. No path carries an empty one: a NUL, which no name has, stands for it.
pub(super) fn segment(name: &str) -> String {
    match name {
        "" => "%00".to_owned(),
        name => utf8_percent_encode(name, &UNRESERVED).to_string(),
    }
}
