//! Commands to devices that speak bytes: the product's script makes the bytes when the command is sent. Those
//! of an offer of firmware are made when it is fetched; before it is offered, the script is tried on it.

use super::{error::ServiceError, registrar::Registrar};
use crate::{
    device_api::commands::{encoded, message_as_json},
    firmware::{Image, UpgradeOffer},
    ids::UnixMillis,
    model::{
        command::{Command, Expected, Order},
        device::Device,
        product::DataFormat,
    },
    ports::{Caller, Circumstances, Fault, FaultKind, RegistryChanges as _, Script},
    rules::commands::{NotSent, next_id},
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
        let script = self.script_of_commands(&device.product_key).await?;
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

    /// Whether an image can be offered to the devices of its product: where they speak bytes, the script has
    /// to make some of the command.
    ///
    /// # Errors
    /// `NotEncoded` where it makes none, `NotRun` where it cannot be run now.
    pub(super) async fn try_offer(&self, image: &Image) -> Result<(), ServiceError> {
        let product = self.existing_product(&image.product_key).await?;
        if product.data_format != DataFormat::Custom {
            return Ok(());
        }
        let script = self.script_of_commands(&image.product_key).await?;
        let (order, now) = (UpgradeOffer::of(image, &self.server).order(), self.clock.now());
        let command = Command::new(next_id(None, now, |_| false), order, now);
        self.encode(&script, &command).await.map(drop)
    }

    async fn script_of_commands(&self, product_key: &str) -> Result<Script, ServiceError> {
        let published = self.registry.script(product_key).await?.published;
        let none = || {
            let said = "no script is published for the product";
            ServiceError::NotEncoded { fault: Fault::new(FaultKind::ReturnType, said) }
        };
        Ok(Script::new(product_key, published.ok_or_else(none)?.source))
    }

    async fn encode(&self, script: &Script, command: &Command) -> Result<Vec<u8>, ServiceError> {
        let json = String::from_utf8(message_as_json(command)).unwrap_or_default();
        let at = Circumstances::of(json.as_bytes(), command.created);
        let bytes = self.scripts.encode(script, &json, at, Caller::Commands).await;
        bytes.and_then(encoded).map_err(|fault| match fault.kind.is_of_script() {
            true => ServiceError::NotEncoded { fault },
            false => ServiceError::NotRun { fault },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use narrowgate_api::{product::ProductPatch, script::PublishScript};

    use super::*;
    use crate::{
        firmware::Sha256Sum,
        ids::DeviceName,
        memory::{MemoryStore, PlainScripts},
        ports::{FirmwareReads as _, Registry as _},
        service::{
            delivery::Reach,
            fixtures::{NOW, registrar_with_product_and_store},
        },
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
        let sent = block_on(registrar.send_command(device, new, Reach::NextMessage));
        sent.map(|created| created.id).map_err(|error| error.to_string())
    }

    /// Nothing is offered, to the device or to a share.
    #[test]
    fn firmware_is_offered_where_the_script_makes_bytes_of_the_offer() {
        for (word, said) in [
            (Some("throws"), "(11810): the source is \"throws\" (line 1)"),
            (None, "(11810): no script is published for the product"),
            (Some("busy"), "the script cannot be run now: the source is \"busy\" (line 1)"),
            (Some("copy"), ""),
        ] {
            let (registrar, memory, device) = with_script(word);
            let image = Image {
                id: "AAAAAAAA".parse().expect("an id"),
                product_key: "pk".to_owned(),
                version: "2.0".to_owned(),
                size: 9,
                sha256: Sha256Sum([7; 32]),
                uploaded: NOW,
                rollout: None,
            };
            let id = block_on(memory.add_image(image)).expect("it is the first one").id.to_string();
            let offer = || {
                let one = block_on(registrar.offer_to_device(&id, &device)).map(drop);
                let share = block_on(registrar.offer_to_share(&id, 100, None)).map(drop);
                assert_eq!(one.is_ok(), share.is_ok(), "{word:?}");
                one.map_err(|error| error.to_string())
            };
            let is_offered = || !block_on(memory.upgrades_of(device.id)).expect("it reads").is_empty();
            match offer() {
                Ok(()) => assert!(said.is_empty() && is_offered(), "{word:?}"),
                Err(refused) => {
                    assert!(!said.is_empty() && refused.ends_with(said), "{word:?}: {refused}");
                    assert!(!is_offered(), "{word:?}");
                    // Where the devices speak JSON, no script is needed.
                    let patch =
                        ProductPatch { data_format: Some(DataFormat::Json), ..ProductPatch::default() };
                    block_on(registrar.update_product("pk", patch)).expect("it is valid");
                    assert_eq!(offer(), Ok(()), "{word:?}");
                    assert!(is_offered(), "{word:?}");
                }
            }
        }
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
