//! Commands to devices: checked against the thing model, sent, shown, taken back.

use std::collections::BTreeSet;

use narrowgate_api::{
    command::{CommandCreated, CommandKind, CommandView, CommandsCancelled, NewCommand, WAIT_S_MAX},
    page::Page as ShownPage,
    query::Paging,
};
use serde_json::{Map, Value};

use super::{
    cursor::List, delivery::Reach, error::ServiceError, history::shown, registrar::Registrar,
    scripts::read_bytes, view,
};
use crate::{
    device_api::{MessageLimit, commands::message, json},
    ids::UnixMillis,
    model::{
        command::{Command, CommandId, CommandStep, CommandTopic, Order},
        device::Device,
        product::{DataFormat, Product},
        thing_model::{
            Fault, REPLY_SUFFIX, Service, ThingModel, is_identifier, is_topic_identifier, push_step,
        },
    },
    ports::{HistoryReads as _, RegistryChanges as _, StoreError},
    rules::commands::{MESSAGE_BYTES_MAX, PENDING_TTL_S_MAX, Standing, TIMEOUT_S},
};

/// Most points of a command.
const POINTS_MAX: usize = 200;

impl Registrar {
    /// Sends a command, once it is checked.
    ///
    /// # Errors
    /// `Invalid` for what the device's thing model does not have, `SwitchedOff` or
    /// `NotSentToSuspended` where nobody may fetch it, `NotSent` for what the rules do not permit.
    pub(super) async fn send_command(
        &self,
        device: &Device,
        new: NewCommand,
        reach: Reach,
    ) -> Result<CommandCreated, ServiceError> {
        let product = self.existing_product(&device.product_key).await?;
        let order = order(new, model_of(&product)?.as_ref())?;
        let is_custom = product.data_format == DataFormat::Custom;
        if order.topic == CommandTopic::Raw && !is_custom {
            return Err(invalid("hex", "does not go with a product whose data format is json"));
        }
        if product.is_suspended {
            return Err(ServiceError::NotSentToSuspended { ou: product.ou });
        }
        let off = [
            (device.enabled, format!("device {}/{}", device.product_key, device.device_key)),
            (product.enabled, format!("product {}", product.product_key)),
        ];
        if let Some((_, what)) = off.into_iter().find(|(enabled, _)| !enabled) {
            return Err(ServiceError::SwitchedOff { what });
        }
        let not_sent = |why| {
            let device = format!("{}/{}", device.product_key, device.device_key);
            ServiceError::NotSent { why, device }
        };
        if order.pending_ttl_s == 0 && reach == Reach::Nobody && device.active_time.is_some() {
            let device = format!("{}/{}", device.product_key, device.device_key);
            return Err(ServiceError::NotServed { device });
        }
        let now = self.clock.now();
        let expected = self.expect_fetch((device, &product), reach, now).await;
        let sent = if is_custom && order.raw.is_none() {
            self.send_encoded(device, order, expected, now).await?
        } else {
            self.registry.send_expected_command(device.id, (order, expected), now).await?
        };
        let Command { id, state, created, expected, .. } = sent.map_err(not_sent)?;
        Ok(CommandCreated { id: id.to_string(), state, created_at: created, expected })
    }

    /// A command. `is_serving`: a server writes down what time does to it.
    ///
    /// # Errors
    /// `Missing` where there is none of this id.
    pub(super) async fn command(
        &self,
        device: &Device,
        id: &str,
        is_serving: bool,
    ) -> Result<CommandView, ServiceError> {
        let found = match id.parse::<CommandId>() {
            Ok(id) => self.registry.command(device.id, id).await?,
            Err(_) => None,
        };
        found.map(|command| self.shown_command(command, is_serving)).ok_or_else(|| missing(id))
    }

    /// The commands of a device that are kept, newest first. `is_serving` as for [`Self::command`].
    ///
    /// # Errors
    /// `Invalid` for a limit or a cursor that is none.
    pub(super) async fn commands(
        &self,
        device: &Device,
        paging: &Paging,
        is_serving: bool,
    ) -> Result<ShownPage<CommandView>, ServiceError> {
        let list = List::Commands(device.id);
        let page = self.history.commands(device.id, list.part(paging)?).await?;
        Ok(shown(list, page, |command| self.shown_command(command, is_serving)))
    }

    /// A command as it stands. A server is not overtaken: a step of before may be on its way to the store.
    fn shown_command(&self, mut command: Command, is_serving: bool) -> CommandView {
        if !is_serving {
            // Ignored: time is never refused, and what it changes is shown.
            let _ = command.step(&CommandStep::TimePasses, self.clock.now());
        }
        view::command(command)
    }

    /// Takes back a command.
    ///
    /// # Errors
    /// `Missing` where there is none of this id, `Ended` where it has ended.
    pub(super) async fn cancel_command(
        &self,
        device: &Device,
        id: &str,
    ) -> Result<CommandView, ServiceError> {
        let wanted = id.parse::<CommandId>().map_err(|_| missing(id))?;
        let cancelled = self.registry.cancel_commands(device.id, Some(wanted), self.clock.now()).await?;
        match cancelled.into_iter().next() {
            Some(command) => Ok(view::command(command)),
            None => {
                let kept = self.registry.command(device.id, wanted).await?.ok_or_else(|| missing(id))?;
                // What time has done to it may not be written down yet.
                let state = match kept.standing(self.clock.now()) {
                    Standing::Over(state, _) => state,
                    Standing::Waiting(_) | Standing::InProgress(_) => kept.state,
                };
                Err(ServiceError::Ended { id: id.to_owned(), state })
            }
        }
    }

    /// Takes back all commands that have not ended.
    ///
    /// # Errors
    /// `Missing` where the device is gone meanwhile.
    pub(super) async fn cancel_commands(&self, device: &Device) -> Result<CommandsCancelled, ServiceError> {
        let cancelled = self.registry.cancel_commands(device.id, None, self.clock.now()).await?;
        let items: Vec<CommandView> = cancelled.into_iter().map(view::command).collect();
        Ok(CommandsCancelled { cancelled: items.iter().map(|command| command.id.clone()).collect(), items })
    }
}

fn missing(id: &str) -> ServiceError {
    ServiceError::Missing { what: "command", key: id.to_owned() }
}

fn model_of(product: &Product) -> Result<Option<ThingModel>, ServiceError> {
    let parsed = product.model_json.as_deref().map(ThingModel::parse).transpose();
    parsed.map_err(|fault| {
        let what = format!("the thing model of product {} cannot be read: {fault}", product.product_key);
        ServiceError::Store(StoreError::Damaged(what))
    })
}

fn invalid(field: &'static str, message: impl Into<String>) -> ServiceError {
    ServiceError::Invalid { field, message: message.into() }
}

/// Each kind has its own fields.
fn check_fields(new: &NewCommand) -> Result<(), ServiceError> {
    let NewCommand { kind, points, ids, service, input, hex, .. } = new;
    let given = [
        ("points", points.is_some(), CommandKind::Set),
        ("ids", ids.is_some(), CommandKind::Get),
        ("service", service.is_some(), CommandKind::Service),
        ("input", input.is_some(), CommandKind::Service),
        ("hex", hex.is_some(), CommandKind::Raw),
    ];
    for (field, is_given, of) in given {
        if is_given && *kind != of {
            return Err(invalid(field, "does not go with this kind of command"));
        }
        if !is_given && *kind == of && field != "input" {
            return Err(invalid(field, "is missing"));
        }
    }
    Ok(())
}

/// What is sent, if it may be.
fn order(new: NewCommand, model: Option<&ThingModel>) -> Result<Order, ServiceError> {
    let &NewCommand { pending_ttl, timeout, wait, .. } = &new;
    if !TIMEOUT_S.contains(&timeout) {
        let (first, last) = (TIMEOUT_S.start(), TIMEOUT_S.end());
        return Err(invalid("timeout", format!("is {timeout}; it must be {first} to {last} seconds")));
    }
    if pending_ttl > PENDING_TTL_S_MAX {
        let message = format!("is {pending_ttl}; it must be 0 to {PENDING_TTL_S_MAX} seconds");
        return Err(invalid("pendingTtl", message));
    }
    if wait.is_some_and(|wait| wait > WAIT_S_MAX) {
        return Err(invalid("wait", format!("must be at most {WAIT_S_MAX} seconds")));
    }
    if new.kind == CommandKind::Upgrade {
        return Err(invalid("kind", "is upgrade: an image is offered by its rollout, not by a command"));
    }
    check_fields(&new)?;
    let NewCommand { kind, points, ids, service, input, hex, pending_ttl, timeout, .. } = new;
    let input = input.as_ref().map_or("{}", |input| input.get()).to_owned();
    let mut raw = None;
    let (topic, params_json, field) = match kind {
        CommandKind::Raw => {
            raw = Some(read_bytes("hex", &hex.unwrap_or_default(), MessageLimit::default())?.into());
            (CommandTopic::Raw, "null".to_owned(), "hex")
        }
        CommandKind::Set => {
            let points = points.as_ref().map_or("", |points| points.get()).to_owned();
            check_points(&points, model)?;
            (CommandTopic::Set, points, "points")
        }
        CommandKind::Get => {
            let ids = ids.unwrap_or_default();
            check_ids(&ids, model)?;
            (CommandTopic::Get, serde_json::to_string(&ids).unwrap_or_default(), "ids")
        }
        CommandKind::Service => {
            let service = service.unwrap_or_default();
            check_service(&service, &input, model)?;
            (CommandTopic::Service(service.into()), input, "input")
        }
        CommandKind::Upgrade => unreachable!("it was refused above"),
    };
    let params_json = params_json.into();
    let order = Order { topic, params_json, pending_ttl_s: pending_ttl, timeout_s: timeout, raw };
    let bytes = message(&Command::new(CommandId::MAX, order.clone(), UnixMillis(0))).len();
    if bytes > MESSAGE_BYTES_MAX {
        let message =
            format!("is too long: the message to the device has {bytes} bytes of {MESSAGE_BYTES_MAX}");
        return Err(invalid(field, message));
    }
    Ok(order)
}

/// The members of an object.
fn members(field: &'static str, text: &str) -> Result<Map<String, Value>, ServiceError> {
    if !text.trim_ascii_start().starts_with('{') {
        return Err(invalid(field, "must be an object"));
    }
    // The words are those for a device whose message it is.
    let words = |said: String| said.strip_prefix("the body ").unwrap_or(&said).to_owned();
    let checked = json::check(text.as_bytes()).map_err(|said| invalid(field, words(said)))?;
    match serde_json::from_str(checked) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(invalid(field, "must be an object")),
    }
}

fn check_points(text: &str, model: Option<&ThingModel>) -> Result<(), ServiceError> {
    let points = members("points", text)?;
    check_count("points", points.len())?;
    for (identifier, value) in &points {
        check_point("points", identifier, model)?;
        let mut pointer = String::new();
        push_step(&mut pointer, identifier);
        let fault = |fault| ServiceError::Value { field: "points", fault };
        if value.is_null() {
            return Err(fault(Fault::new(&pointer, "must not be null")));
        }
        let known = model.and_then(|model| model.measurepoints.get(identifier));
        known.map_or(Ok(()), |point| point.data_type.check(value, &mut pointer)).map_err(fault)?;
    }
    Ok(())
}

fn check_ids(ids: &[String], model: Option<&ThingModel>) -> Result<(), ServiceError> {
    check_count("ids", ids.len())?;
    let mut known = BTreeSet::new();
    if let Some(twice) = ids.iter().find(|identifier| !known.insert(*identifier)) {
        return Err(invalid("ids", format!("has {twice:?} twice")));
    }
    ids.iter().try_for_each(|identifier| check_point("ids", identifier, model))
}

fn check_count(field: &'static str, count: usize) -> Result<(), ServiceError> {
    if (1..=POINTS_MAX).contains(&count) {
        Ok(())
    } else {
        Err(invalid(field, format!("has {count} points; 1 to {POINTS_MAX} are allowed")))
    }
}

/// A point must be one of the model, unless that takes others too.
fn check_point(
    field: &'static str,
    identifier: &str,
    model: Option<&ThingModel>,
) -> Result<(), ServiceError> {
    if !is_identifier(identifier) {
        let message = format!("{identifier:?} is not an identifier: 1 to 128 of letters, digits, _ . and -");
        return Err(invalid(field, message));
    }
    match model.filter(|model| !model.passthrough && !model.measurepoints.contains_key(identifier)) {
        Some(model) => {
            let has = listed(model.measurepoints.keys());
            let message = format!("{identifier} is not a point of model {}; {has}", model.model_id);
            Err(invalid(field, message))
        }
        None => Ok(()),
    }
}

fn check_service(service: &str, input: &str, model: Option<&ThingModel>) -> Result<(), ServiceError> {
    if !is_identifier(service) {
        return Err(invalid("service", "is not an identifier: 1 to 128 of letters, digits, _ . and -"));
    }
    if !is_topic_identifier(service) {
        return Err(invalid("service", "is . or ..: no part of a CoAP path is, so no device could fetch it"));
    }
    if service.ends_with(REPLY_SUFFIX) {
        return Err(invalid("service", format!("ends with {REPLY_SUFFIX}: its topic is that of replies")));
    }
    let input = members("input", input)?;
    let fault = |fault| ServiceError::Value { field: "input", fault };
    let Some(model) = model else { return Ok(()) };
    let Some(Service { input: fields, .. }) = model.services.get(service) else {
        let has = listed(model.services.keys());
        return Err(invalid(
            "service",
            format!("{service} is not a service of model {}; {has}", model.model_id),
        ));
    };
    for (name, value) in &input {
        let mut pointer = String::new();
        push_step(&mut pointer, name);
        let Some(field) = fields.find(name) else {
            let has = listed(fields.iter().map(|field| &field.identifier));
            return Err(fault(Fault::new(&pointer, format!("service {service} has no such input; {has}"))));
        };
        field.data_type.check(value, &mut pointer).map_err(fault)?;
    }
    Ok(())
}

/// What there is, for people: the first few.
fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    const SHOWN: usize = 10;
    let mut names: Vec<&str> = names.map(String::as_str).take(SHOWN + 1).collect();
    if names.len() > SHOWN {
        names[SHOWN] = "…";
    }
    if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = r#"{"modelId":"m","measurepoints":[
        {"identifier":"temp","dataType":"DOUBLE","hasQuality":true},{"identifier":"n","dataType":"INT"}],
        "services":[{"identifier":"restart","inputData":[{"identifier":"delay","dataType":"INT"}]},
        {"identifier":"get_reply"}]}"#;

    fn asked(body: &str, model: Option<&str>) -> Result<Order, String> {
        let model = model.map(|json| ThingModel::parse(json).expect("a model"));
        let new = serde_json::from_str(body).expect("it has the form of a command");
        order(new, model.as_ref()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_thing_model_has_is_sent_as_it_was_written() {
        for (body, topic, params) in [
            (r#"{"kind":"set","points":{"temp":30.50,"n":1}}"#, CommandTopic::Set, r#"{"temp":30.50,"n":1}"#),
            (r#"{"kind":"get","ids":["n","temp"]}"#, CommandTopic::Get, r#"["n","temp"]"#),
            (r#"{"kind":"service","service":"restart"}"#, CommandTopic::Service("restart".into()), "{}"),
            (
                r#"{"kind":"service","service":"restart","input":{"delay":5}}"#,
                CommandTopic::Service("restart".into()),
                r#"{"delay":5}"#,
            ),
        ] {
            let order = asked(body, Some(MODEL)).expect(body);
            assert_eq!(
                (order.topic, &*order.params_json, order.pending_ttl_s, order.timeout_s),
                (topic, params, 0, 30)
            );
        }
        let anything = r#"{"kind":"set","points":{"x":[1,{"y":null}]},"pendingTtl":172800,"timeout":60}"#;
        let order = asked(anything, None).expect("there is no model");
        assert_eq!((order.pending_ttl_s, order.timeout_s), (172_800, 60));
    }

    #[test]
    fn what_it_has_not_is_named() {
        let long = format!(r#"{{"kind":"set","points":{{"temp":0.{}}}}}"#, "1".repeat(1000));
        for (body, words) in [
            (r#"{"kind":"set","points":{"tmp":1}}"#, "points tmp is not a point of model m; it has n, temp"),
            (r#"{"kind":"set","points":{"n":1.5}}"#, "points /n: must be an integer of 32 bits"),
            (r#"{"kind":"set","points":{"n":null}}"#, "points /n: must not be null"),
            (r#"{"kind":"set","points":{}}"#, "points has 0 points; 1 to 200 are allowed"),
            (r#"{"kind":"set","points":[1]}"#, "points must be an object"),
            (r#"{"kind":"set","points":{"n":1,"n":2}}"#, "points is not acceptable JSON: a key occurs twice"),
            (r#"{"kind":"get","ids":["n","temp","n"]}"#, "ids has \"n\" twice"),
            (r#"{"kind":"set"}"#, "points is missing"),
            (r#"{"kind":"set","points":{"n":1},"ids":["n"]}"#, "ids does not go with this kind of command"),
            (r#"{"kind":"get","ids":["tmp"]}"#, "ids tmp is not a point of model m"),
            (r#"{"kind":"get","ids":["a b"]}"#, "ids \"a b\" is not an identifier"),
            (
                r#"{"kind":"service","service":"reboot"}"#,
                "service reboot is not a service of model m; it has get_reply, restart",
            ),
            (r#"{"kind":"service","service":"get_reply"}"#, "service ends with _reply"),
            (r#"{"kind":"service","service":".."}"#, "service is . or .."),
            (r#"{"kind":"service","service":"."}"#, "service is . or .."),
            (
                r#"{"kind":"service","service":"restart","input":{"when":5}}"#,
                "input /when: service restart has no such input; it has delay",
            ),
            (
                r#"{"kind":"service","service":"restart","input":{"delay":"x"}}"#,
                "input /delay: must be an integer of 32 bits",
            ),
            (r#"{"kind":"get","ids":["n"],"timeout":61}"#, "timeout is 61; it must be 1 to 60 seconds"),
            (r#"{"kind":"get","ids":["n"],"timeout":0}"#, "timeout is 0"),
            (r#"{"kind":"get","ids":["n"],"pendingTtl":172801}"#, "pendingTtl is 172801"),
            (r#"{"kind":"get","ids":["n"],"wait":61}"#, "wait must be at most 60 seconds"),
            (&long, "points is too long: the message to the device has "),
        ] {
            let error = asked(body, Some(MODEL)).expect_err(body);
            assert!(error.starts_with(words), "{body}: {error}");
        }
    }
}
