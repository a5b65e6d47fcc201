//! `demo`: serves with a product and devices to try, prints the lines to paste, and shows what arrives.

use narrowgate_platform::{
    rules::{names, psk::psk},
    secret::Secret,
    service::{
        registry::{NewDeviceRequest, NewProduct, Registry, RegistryError},
        rows::ProductRow,
    },
};
use serde::Serialize;

use super::{
    demo_text::{self, Credentials, Line, Task},
    listen, serve as serving,
};
use crate::{
    cli::{Output, ServerArgs},
    config::Config,
    failure::Failure,
    feed::{FeedEvent, Next, Subscription},
    output,
    serve::{self, Server, Signals},
    system::SystemEntropy,
};

/// Name of the product, and keys of the devices, that the demonstration makes.
const PRODUCT_NAME: &str = "demo";
const METER: &str = "demo-meter";
const FACTORY: &str = "demo-factory";

/// Everything that somebody needs to try it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Demo {
    dtls: String,
    product_key: String,
    devices: Vec<DemoDevice>,
}

/// A device to play.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DemoDevice {
    product_key: String,
    device_key: String,
    secure_mode: u8,
    identity: String,
    /// The device's own for mode 2, the product's for mode 3.
    secret: String,
    psk_hex: String,
    lines: Vec<Line>,
}

pub(super) fn run(config: &Config, arguments: &ServerArgs, output: Output) -> Result<(), Failure> {
    serving::refuse_plain_coap(arguments)?;
    serve::start_log(config);
    serving::warn_of_mistyped_variables();
    serve::run(async {
        let mut signals = Signals::catch()?;
        let server = Server::start(config).await?;
        let mut arriving = server.feed.subscribe();
        let prepared = async {
            let product_key = prepare(&server.registry).await?;
            describe(&server, product_key).await
        };
        let demo = match prepared.await {
            Ok(demo) => demo,
            Err(error) => {
                server.stop().await?;
                return Err(cannot_prepare(&error));
            }
        };
        server.ready(config).await?;
        print(&demo, output)?;
        let name = tokio::select! {
            name = signals.next() => name,
            () = show(&mut arriving, output) => signals.next().await,
        };
        serving::stop(server, signals, name).await
    })
}

/// Makes the product and its devices where they are missing; returns the product's key.
async fn prepare(registry: &Registry) -> Result<String, RegistryError> {
    let products = registry.products().await?;
    let mut intact = products.into_iter().filter_map(|row| match row {
        ProductRow::Intact(product) => Some(product),
        ProductRow::Damaged(_) => None,
    });
    let product_key = match intact.find(|product| product.name == PRODUCT_NAME) {
        Some(product) => product.product_key,
        None => {
            let new = NewProduct {
                name: PRODUCT_NAME.to_owned(),
                product_secret: Some(typeable(|| names::new_product_secret(&SystemEntropy))),
                dynamic_activation: true,
                ..NewProduct::default()
            };
            registry.create_product(new).await?.product_key
        }
    };
    for device_key in [METER, FACTORY] {
        let new = NewDeviceRequest {
            product_key: product_key.clone(),
            device_key: Some(device_key.to_owned()),
            device_secret: Some(typeable(|| names::new_device_secret(&SystemEntropy))),
            name: None,
        };
        match registry.create_device(new).await {
            Ok(_) | Err(RegistryError::Exists { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(product_key)
}

/// A secret whose key holds no NUL, because older clients take the key as an argument of their command line.
fn typeable(mut generate: impl FnMut() -> Secret) -> Secret {
    loop {
        let secret = generate();
        if !psk(&secret).contains(&0) {
            return secret;
        }
    }
}

async fn describe(server: &Server, product_key: String) -> Result<Demo, RegistryError> {
    let registry = &server.registry;
    let meter = registry.resolve(&product_key, Some(METER)).await?;
    let own = registry.device_secret(&meter).await?;
    let factory = registry.resolve(&product_key, Some(FACTORY)).await?;
    let product = registry.activation_secret(&factory).await?;
    let devices = vec![
        device(server, &product_key, METER, Task::Report, own.identity, &own.device_secret),
        device(server, &product_key, FACTORY, Task::FetchSecret, product.identity, &product.product_secret),
    ];
    Ok(Demo { dtls: server.dtls.to_string(), product_key, devices })
}

fn device(
    server: &Server,
    product_key: &str,
    device_key: &str,
    task: Task,
    identity: String,
    secret: &Secret,
) -> DemoDevice {
    let key = psk(secret);
    let credentials = Credentials { product_key, device_key, identity: &identity, psk: &*key };
    DemoDevice {
        lines: demo_text::lines(task, &credentials, server.dtls),
        product_key: product_key.to_owned(),
        device_key: device_key.to_owned(),
        secure_mode: if task == Task::Report { 2 } else { 3 },
        secret: secret.expose().to_owned(),
        psk_hex: hex::encode(*key),
        identity,
    }
}

fn cannot_prepare(error: &RegistryError) -> Failure {
    let failure = Failure::failed("cannot make the devices of the demonstration").reason(error);
    match error {
        RegistryError::Missing { .. } => failure.hint(
            "another product has devices of these names: use a data directory of its own, --data /tmp/demo",
        ),
        _ => failure.hint(error.hint().unwrap_or("look at the data directory")),
    }
}

fn print(demo: &Demo, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return output::json(demo);
    }
    for device in &demo.devices {
        let what = match device.secure_mode {
            2 => "has its own secret and reports",
            _ => {
                "fetches its own secret by its product's (once; narrowgate device reset lets it do so again)"
            }
        };
        output::line(&format!(
            "\n{} {what}\n  identity  {}\n  secret    {}\n  key       {}",
            device.device_key, device.identity, device.secret, device.psk_hex
        ))?;
        for Line { tool, line } in &device.lines {
            output::line(&format!("\n  # {tool}\n  {line}"))?;
        }
    }
    output::line(
        "\nPaste a line into another terminal (bash). In Debian's libcoap3-bin the client is named \
         coap-client-openssl (or -gnutls); elsewhere coap-client.\nWaiting for devices; end with Ctrl-C.\n",
    )
}

/// Prints what arrives, until there is no more or nobody reads it.
async fn show(arriving: &mut Subscription, output: Output) {
    let mut reported = false;
    loop {
        match arriving.next().await {
            Next::Event(event) => {
                let json = serde_json::to_string(&*event).unwrap_or_default();
                let line = match output {
                    Output::Json => json,
                    Output::Table => listen::readable(&json),
                };
                if !output::stream_line(&line) {
                    return;
                }
                if output == Output::Table && !reported && is_report(&event) {
                    reported = true;
                    let key = event.device_key.as_deref().unwrap_or_default();
                    output::note(format_args!("the first report is stored: narrowgate device points {key}"));
                }
            }
            Next::Missed(count) => output::note(format_args!("{count} events were not shown")),
            Next::Ended => return,
        }
    }
}

fn is_report(event: &FeedEvent) -> bool {
    event.points.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_demonstration_can_be_typed() {
        // PSK of this secret by the device protocol's slice: some of these hold a NUL.
        let mut number = 0;
        let secret = typeable(|| {
            number += 1;
            Secret::new(format!("secret-{number}"))
        });
        assert!(!psk(&secret).contains(&0));
        let with_nul =
            (0..10_000).map(|n| Secret::new(format!("s{n}"))).find(|secret| psk(secret).contains(&0));
        let mut first = with_nul;
        assert!(first.is_some());
        let other = Secret::new("deviceSecret".into());
        assert_eq!(typeable(|| first.take().unwrap_or_else(|| other.clone())), other);
    }
}
