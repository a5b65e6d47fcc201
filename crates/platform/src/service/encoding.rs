//! Commands to devices that speak bytes: the product's script makes the bytes when the command is sent.

use super::{error::ServiceError, registrar::Registrar};
use crate::{
    device_api::commands::message_as_json,
    ids::UnixMillis,
    model::{
        command::{Command, Expected, Order},
        device::Device,
    },
    ports::{Caller, Circumstances, Fault, FaultKind, RegistryChanges as _, Script},
    rules::commands::{MESSAGE_BYTES_MAX, NotSent, next_id},
};

/// How often the bytes of a command are made while others of its device get the ids.
const ENCODED_MAX: usize = 5;

impl Registrar {
    /// Sends the bytes that the product's script makes of a command. They have its id in them: so they are
    /// made for the id that it will probably get, and anew where another command got that.
    pub(super) async fn send_encoded(
        &self,
        device: &Device,
        order: Order,
        expected: Option<Expected>,
        now: UnixMillis,
    ) -> Result<Result<Command, NotSent>, ServiceError> {
        let published = self.registry.script(&device.product_key).await?.published;
        let none = || not_encoded("no script is published for the product");
        let script = Script::new(&*device.product_key, published.ok_or_else(none)?.source);
        let mut id = next_id(None, now, |_| false);
        let mut sent = Err(NotSent::OtherId(id));
        for _ in 0..ENCODED_MAX {
            let raw = Some(self.encode(&script, &Command::new(id, order.clone(), now)).await?.into());
            let order = Order { raw, ..order.clone() };
            sent = self.registry.send_encoded_command(device.id, (order, Some(id)), expected, now).await?;
            match sent {
                Err(NotSent::OtherId(other)) => id = other,
                _ => break,
            }
        }
        Ok(sent)
    }

    async fn encode(&self, script: &Script, command: &Command) -> Result<Vec<u8>, ServiceError> {
        let json = String::from_utf8(message_as_json(command)).unwrap_or_default();
        let at = Circumstances::of(json.as_bytes(), command.created);
        let bytes = match self.scripts.encode(script, &json, at, Caller::Commands).await {
            Ok(bytes) => bytes,
            Err(fault) if fault.kind.is_of_script() => return Err(ServiceError::NotEncoded { fault }),
            Err(fault) => return Err(ServiceError::NotRun { fault }),
        };
        match bytes.len() {
            0 => Err(not_encoded("jsonStrToRawData returned no bytes")),
            1..=MESSAGE_BYTES_MAX => Ok(bytes),
            more => {
                let most = MESSAGE_BYTES_MAX;
                let said = format!("jsonStrToRawData returned {more} bytes; a command has at most {most}");
                Err(not_encoded(said))
            }
        }
    }
}

fn not_encoded(said: impl Into<String>) -> ServiceError {
    ServiceError::NotEncoded { fault: Fault::new(FaultKind::ReturnType, said) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use narrowgate_api::{
        product::{DataFormat, ProductPatch},
        script::PublishScript,
    };

    use super::*;
    use crate::{
        ids::DeviceName,
        memory::{MemoryStore, PlainScripts},
        ports::Registry as _,
        service::fixtures::{NOW, registrar_with_product_and_store},
        testing::{
            block_on,
            store::fixtures::{add_device, append, login},
        },
    };

    /// A device that has logged in, of a product whose script is this word.
    fn with_script(word: Option<&str>) -> (Registrar, Arc<MemoryStore>, Device) {
        let (mut registrar, store) = registrar_with_product_and_store();
        registrar.scripts = Arc::new(PlainScripts);
        let patch = ProductPatch { data_format: Some(DataFormat::Custom), ..ProductPatch::default() };
        block_on(registrar.update_product("pk", patch)).expect("it is valid");
        if let Some(word) = word {
            let wanted = PublishScript { source: Some(word.to_owned()) };
            block_on(registrar.publish_script("pk", wanted)).expect("it can be run");
        }
        let memory = Arc::clone(&store.memory);
        let id = add_device(&*memory, "pk", "dk").id;
        append(&*memory, vec![login(id, NOW)]);
        let name = DeviceName { product_key: "pk".to_owned(), device_key: "dk".to_owned() };
        let device = block_on(memory.device(&name)).expect("it reads").expect("it exists");
        (registrar, memory, device)
    }

    fn send(registrar: &Registrar, device: &Device, body: &str) -> Result<String, String> {
        let new = serde_json::from_str(body).expect("it has the form of a command");
        let sent = block_on(registrar.send_command(device, new, true));
        sent.map(|created| created.id).map_err(|error| error.to_string())
    }

    const SET: &str = r#"{"kind":"set","points":{"n":1.50}}"#;
    const SET_METHOD: &str = "thing.service.measurepoint.set";

    #[test]
    fn a_command_is_made_into_bytes_for_the_id_that_it_gets() {
        let (registrar, memory, device) = with_script(Some("copy"));
        // The second one of a second is made anew: another has the id that it was made for.
        for _ in 0..3 {
            let id = send(&registrar, &device, SET).expect("it is sent");
            let found = block_on(memory.command(device.id, id.parse().expect("an id"))).expect("it reads");
            let order = &found.expect("it is kept").order;
            let json =
                format!(r#"{{"id":"{id}","version":"1.0","params":{{"n":1.50}},"method":"{SET_METHOD}"}}"#);
            assert_eq!(order.raw.as_deref(), Some(json.as_bytes()));
        }
        let id = send(&registrar, &device, r#"{"kind":"raw","hex":"00 ff"}"#).expect("it is sent");
        let shown = block_on(registrar.command(&device, &id, true)).expect("it is kept");
        assert_eq!((shown.hex.as_deref(), shown.params.get()), (Some("00ff"), "null"));
    }

    #[test]
    fn what_cannot_be_made_into_bytes_is_refused_and_not_queued() {
        for (word, said) in [
            (Some("throws"), "(11810): the source is \"throws\" (line 1)"),
            (Some("time"), "(11810): the source is \"time\" (line 1)"),
            (None, "(11810): no script is published for the product"),
            (Some("busy"), "the script cannot be run now: the source is \"busy\" (line 1)"),
        ] {
            let (registrar, memory, device) = with_script(word);
            let refused = send(&registrar, &device, SET).expect_err("it cannot be made");
            assert!(refused.ends_with(said), "{refused}");
            assert_eq!(block_on(memory.open_commands(device.id)).expect("it reads"), []);
        }
        let (registrar, _, device) = with_script(Some("copy"));
        for (body, said) in [
            (r#"{"kind":"raw","hex":""}"#, "hex has no bytes"),
            (r#"{"kind":"raw","hex":"0"}"#, "hex has 1 digit; a byte has two"),
            (r#"{"kind":"raw"}"#, "hex is missing"),
            (r#"{"kind":"set","points":{"n":1},"hex":"00"}"#, "hex does not go with this kind of command"),
        ] {
            assert_eq!(send(&registrar, &device, body), Err(said.to_owned()));
        }
        let patch = ProductPatch { data_format: Some(DataFormat::Json), ..ProductPatch::default() };
        block_on(registrar.update_product("pk", patch)).expect("it is valid");
        let refused = send(&registrar, &device, r#"{"kind":"raw","hex":"00"}"#);
        assert_eq!(refused, Err("hex does not go with a product whose data format is json".to_owned()));
        assert!(send(&registrar, &device, SET).is_ok(), "as JSON");
    }
}
