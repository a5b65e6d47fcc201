//! From the model to what operators see. No type holds a secret except those whose name says that something
//! was created, shown or reset.

use narrowgate_api::{
    advice::Advice,
    command::CommandView,
    device::{DamagedDeviceView, DeviceRow, DeviceView, ShownState},
    history::{BucketView, EventView, LogView, PointView, PresenceView, ValueView},
    import::WeakSecrets,
    names::DeviceName,
    page::LeftOut,
    product::{DamagedProductView, DynamicActivation as ShownActivation, ProductRow, ProductView},
    secret::SecretText,
};
use serde_json::value::RawValue;

use super::find::Found;
use crate::{
    device_api::json,
    hex,
    model::{
        command::Command,
        damaged::DamagedProduct,
        device::{Device, DeviceState},
        json_text::JsonText,
        log::{LogEntry, LogEvent},
        message::{EventValue, PointValue, split_quality},
        product::{DynamicActivation, Product},
        thing_model::ThingModel,
    },
    paging::DamagedRows,
    ports::PresenceChange,
    rules::{
        buckets::{Bucket, Function, Functions},
        commands::code_of_end,
        names::{self, SECRET_BITS_ENOUGH},
    },
    secret::Secret,
};

/// A damaged row has this and its row id as a name, for when its keys cannot be typed.
pub(super) const ROW_ID: &str = "id:";

/// A secret for an operator to see.
pub(super) fn shown(secret: &Secret) -> SecretText {
    SecretText::new(secret.expose().to_owned())
}

/// Dynamic activation with its limits.
pub(super) fn dynamic_activation(activation: &DynamicActivation) -> ShownActivation {
    let DynamicActivation { enabled, ends_at, quota_per_hour } = *activation;
    ShownActivation { enabled, ends_at, quota_per_hour }
}

/// A product with its model.
pub(super) fn product(product: &Product) -> ProductView {
    let model = product.model_json.as_deref().map(|json| json::compact(json).into_string());
    ProductView { model: model.and_then(|json| RawValue::from_string(json).ok()), ..summary(product) }
}

/// A product without the model itself.
fn summary(product: &Product) -> ProductView {
    let model = product.model_json.as_deref().and_then(|json| ThingModel::parse(json).ok());
    ProductView {
        product_key: product.product_key.clone(),
        name: product.name.clone(),
        ou: product.ou.clone(),
        enabled: product.enabled,
        dynamic_activation: dynamic_activation(&product.dynamic_activation),
        profile: product.profile,
        short_paths: product.short_paths,
        data_format: product.data_format,
        content_code: product.content_code,
        model_id: model.map(|model| model.model_id),
        model: None,
        retention: product.retention.to_string(),
        created_at: product.created,
    }
}

/// A product in a list.
pub(super) fn product_row(row: &Result<Product, DamagedProduct>) -> ProductRow {
    match row {
        Ok(product) => ProductRow::Intact(Box::new(summary(product))),
        Err(damaged) => ProductRow::Damaged(DamagedProductView {
            product_key: damaged.product_key.clone(),
            name: None,
            enabled: None,
            dynamic_activation: None,
            profile: None,
            short_paths: None,
            data_format: None,
            content_code: None,
            model_id: None,
            retention: None,
            created_at: None,
            damaged: true,
            id: format!("{ROW_ID}{}", damaged.row),
            detail: damaged.what.clone(),
        }),
    }
}

/// The keys of a device.
pub(super) fn name_of(device: &Device) -> DeviceName {
    DeviceName { product_key: device.product_key.clone(), device_key: device.device_key.clone() }
}

/// The state to show for a device.
fn state(device: &Device) -> ShownState {
    if device.enabled { presence_state(device.state) } else { ShownState::Disabled }
}

fn presence_state(state: DeviceState) -> ShownState {
    match state {
        DeviceState::Inactive => ShownState::Inactive,
        DeviceState::Online => ShownState::Online,
        DeviceState::Offline => ShownState::Offline,
    }
}

/// A device.
pub(super) fn device(device: &Device) -> DeviceView {
    DeviceView {
        asset_id: device.asset_id.clone(),
        product_key: device.product_key.clone(),
        device_key: device.device_key.clone(),
        name: device.name.clone(),
        state: state(device),
        enabled: device.enabled,
        created_time: device.created,
        active_time: device.active_time,
        last_online_time: device.last_online_time,
        last_offline_time: device.last_offline_time,
        last_seen_time: device.last_seen_time,
        lifetime: device.lifetime_s,
    }
}

/// A device in a list.
pub(super) fn device_row(found: &Found) -> DeviceRow {
    match found {
        Ok(intact) => DeviceRow::Intact(Box::new(device(intact))),
        Err(damaged) => DeviceRow::Damaged(DamagedDeviceView {
            asset_id: damaged.asset_id.clone(),
            product_key: damaged.product_key.clone(),
            device_key: damaged.device_key.clone(),
            name: None,
            state: None,
            enabled: None,
            created_time: None,
            active_time: None,
            last_online_time: None,
            last_offline_time: None,
            last_seen_time: None,
            lifetime: None,
            damaged: true,
            id: format!("{ROW_ID}{}", damaged.id.0),
            detail: damaged.what.clone(),
        }),
    }
}

/// What was left out of a page; `None` where nothing was.
pub(super) fn left_out(rows: DamagedRows) -> Option<LeftOut> {
    let DamagedRows { count, first } = rows;
    first.map(|first| LeftOut { count, first })
}

/// An event.
pub(super) fn event(event: EventValue) -> EventView {
    EventView { event: event.event, time: event.time, output: event.output.into_raw() }
}

/// A value.
pub(super) fn point(value: PointValue) -> PointView {
    let PointValue { point, .. } = &value;
    let point = point.clone();
    let ValueView { time, value, quality } = self::value(value);
    PointView { point, value, time, quality }
}

/// A value of a point that was asked for.
pub(super) fn value(value: PointValue) -> ValueView {
    let PointValue { value, time, .. } = value;
    match split_quality(value.get()) {
        (_, None) => ValueView { time, value: value.into_raw(), quality: None },
        (number, quality) => ValueView { time, value: JsonText::new(number).into_raw(), quality },
    }
}

/// What was asked of a bucket.
pub(super) fn bucket(bucket: Bucket, functions: Functions) -> BucketView {
    let Bucket { time, min, max, avg, last, count } = bucket;
    let asked = |function, value: Option<JsonText>| {
        functions.contains(function).then(|| value.map(JsonText::into_raw).unwrap_or_default())
    };
    let avg = avg.map(|avg| JsonText::new(&serde_json::Value::from(avg).to_string()));
    BucketView {
        time,
        min: asked(Function::Min, min),
        max: asked(Function::Max, max),
        avg: asked(Function::Avg, avg),
        last: asked(Function::Last, last),
        count: functions.contains(Function::Count).then_some(count),
    }
}

/// An entry of a log.
pub(super) fn log(entry: LogEntry) -> LogView {
    let LogEntry { time, event, reason, code, peer, detail, .. } = entry;
    let Advice { mistake, advice } = match event {
        LogEvent::Refused | LogEvent::Warning => Advice::of(reason, detail.as_deref()),
        _ => Advice::default(),
    };
    LogView { time, event, reason, code, peer, detail, mistake, advice }
}

/// A command.
pub(super) fn command(command: Command) -> CommandView {
    let expected_outcome = command.expected_outcome();
    let Command { id, order, state, code, data_json, message, created, sent, ended, expected, fetched } =
        command;
    let json = |text: &str| RawValue::from_string(text.to_owned()).ok();
    CommandView {
        id: id.to_string(),
        kind: order.topic.kind(),
        service: order.topic.service().map(str::to_owned),
        // What is stored was read as JSON before.
        params: json(&order.params_json).unwrap_or_else(|| RawValue::NULL.to_owned()),
        hex: order.raw.as_deref().map(hex::write),
        state,
        code: code.or_else(|| code_of_end(state).map(i64::from)),
        data: data_json.as_deref().and_then(json),
        message: message.map(String::from),
        created_at: created,
        sent_at: sent,
        fetched_at: fetched,
        ended_at: ended,
        expected,
        expected_outcome,
    }
}

/// A change of presence.
pub(super) fn presence(change: PresenceChange) -> PresenceView {
    let PresenceChange { at, state, cause } = change;
    PresenceView { time: at, state: presence_state(state), cause }
}

/// The warning that a secret is weak, if it is.
pub(super) fn weak_secret(secret: &Secret, line: u64) -> Option<WeakSecrets> {
    let bits = names::estimated_bits(secret);
    (bits < SECRET_BITS_ENOUGH).then(|| WeakSecrets {
        count: 1,
        weakest_bits: bits,
        weakest_line: line,
        as_generated: u64::from(names::is_as_generated(secret)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::{DeviceId, UnixMillis},
        model::damaged::DamagedDevice,
    };

    #[test]
    fn a_device_is_shown_as_the_command_line_promises() {
        let device = Device {
            id: DeviceId(1),
            ou: crate::ids::DEFAULT_OU.into(),
            product_key: "pk".into(),
            device_key: "dk".into(),
            asset_id: "asset001".into(),
            name: "cellar".into(),
            enabled: true,
            state: DeviceState::Online,
            created: UnixMillis(1),
            active_time: Some(UnixMillis(2)),
            last_online_time: Some(UnixMillis(3)),
            last_offline_time: None,
            last_seen_time: Some(UnixMillis(4)),
            lifetime_s: Some(60),
        };
        let shown =
            |device: &Device| serde_json::to_string(&super::device(device)).expect("it can be written");
        assert_eq!(
            shown(&device),
            concat!(
                r#"{"assetId":"asset001","productKey":"pk","deviceKey":"dk","name":"cellar","#,
                r#""state":"online","enabled":true,"createdTime":1,"activeTime":2,"lastOnlineTime":3,"#,
                r#""lastOfflineTime":null,"lastSeenTime":4,"lifetime":60}"#,
            )
        );
        assert!(
            shown(&Device { enabled: false, ..device }).contains(r#""state":"disabled","enabled":false"#)
        );
    }

    #[test]
    fn a_damaged_device_shows_its_names_and_no_value() {
        let row = Err(DamagedDevice {
            id: DeviceId(42),
            product_key: None,
            device_key: "dk".into(),
            asset_id: "asset001".into(),
            what: "the row of device 42 is not as it was stored".into(),
        });
        let row = device_row(&row);
        assert_eq!(
            serde_json::to_string(&row).expect("it can be written"),
            concat!(
                r#"{"assetId":"asset001","productKey":null,"deviceKey":"dk","name":null,"state":null,"#,
                r#""enabled":null,"createdTime":null,"activeTime":null,"lastOnlineTime":null,"#,
                r#""lastOfflineTime":null,"lastSeenTime":null,"lifetime":null,"damaged":true,"id":"id:42","#,
                r#""detail":"the row of device 42 is not as it was stored"}"#,
            )
        );
        assert_eq!(row.to_string(), "id:42 (damaged)");
    }
}
