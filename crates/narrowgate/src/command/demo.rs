//! `demo`: serves with a sample product and devices, prints commands to paste, and shows what arrives.

use narrowgate_api::{
    device::{ClientLine, NamedDevice, NewDeviceRequest},
    happening::Happening,
    names::DeviceName,
    problem::{Code, Problem},
    product::{NewDynamicActivation, NewProduct, ProductRow},
    secret::SecretText,
};
use narrowgate_platform::{
    firmware::ServerName,
    ids::DEFAULT_OU,
    rules::psk::psk,
    secret::Secret,
    service::{AskedFrom, ClientOf, ClientTask, Deed, DeedTo, Operator, client_lines, path_part},
};
use serde::Serialize;

use super::{
    demo_text::{after_activation, reachable},
    listen, serve as serving,
};
use crate::{
    cli::Output,
    config::Config,
    failure::Failure,
    feed::{Next, Subscription},
    output::{self, Screen, printable_lines},
    serve::{self, Hangup, Server, Signals},
};

/// Name of the product and keys of the devices that the demonstration creates.
const PRODUCT_NAME: &str = "demo";
const METER: &str = "demo-meter";
const FACTORY: &str = "demo-factory";

/// Everything that is needed to try it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Demo {
    dtls: String,
    product_key: String,
    devices: Vec<DemoDevice>,
}

/// A device to simulate.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DemoDevice {
    product_key: String,
    device_key: String,
    secure_mode: u8,
    identity: String,
    /// The device's secret for mode 2, the product's for mode 3.
    secret: String,
    psk_hex: String,
    lines: Vec<ClientLine>,
    /// The page of the console that waits for it; left out where no browser reaches the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<String>,
}

pub(super) fn run(config: &Config, output: Output) -> Result<(), Failure> {
    serve::run(async {
        let mut signals = Signals::catch(Hangup::Ends)?;
        serve::log::start(config)?;
        let screen = Screen::start()?;
        serving::warn_of_mistyped_variables();
        let server = Server::start(config).await?;
        let mut arriving = server.feed.subscribe();
        let prepared = async {
            let product_key = prepare(&server.operator).await?;
            describe(&server, product_key).await
        };
        let demo = match prepared.await {
            Ok(demo) => demo,
            Err(problem) => {
                server.stop().await?;
                return Err(cannot_prepare(&problem));
            }
        };
        server.ready(config).await?;
        // The commands to paste come after the banner.
        output::finish();
        print(&demo, output, &screen);
        let name = tokio::select! {
            name = signals.next() => name,
            () = show(&mut arriving, output, &screen, &server, &demo.product_key) => signals.next().await,
        };
        serving::stop(server, signals, name).await
    })
}

/// Creates the product and its devices if they do not exist; returns the product's key.
async fn prepare(operator: &Operator) -> Result<String, Problem> {
    let products = operator.list_products().await?.items;
    let mut intact = products.into_iter().filter_map(|row| match row {
        ProductRow::Intact(product) => Some(product),
        ProductRow::Damaged(_) => None,
    });
    let product_key = match intact.find(|product| product.name == PRODUCT_NAME) {
        Some(product) => product.product_key,
        None => {
            let dynamic_activation =
                NewDynamicActivation { enabled: true, ..NewDynamicActivation::default() };
            let name = PRODUCT_NAME.to_owned();
            let new = NewProduct { name, dynamic_activation, ..NewProduct::default() };
            create_product(operator, new).await?
        }
    };
    for device_key in [METER, FACTORY] {
        let name = NamedDevice::by_keys(&product_key, device_key);
        match operator.show_device(&name).await {
            Err(problem) if problem.code == Code::Missing => {}
            found => {
                found?;
                continue;
            }
        }
        let new = NewDeviceRequest { device_key: Some(device_key.to_owned()), ..NewDeviceRequest::default() };
        let deed = deed(operator, "devices.create", &product_key, Some(device_key)).await;
        operator.noted(deed, operator.create_device(&product_key, new)).await?;
    }
    Ok(product_key)
}

async fn create_product(operator: &Operator, new: NewProduct) -> Result<String, Problem> {
    let ou = Some(DEFAULT_OU.to_owned());
    let action = "products.create".to_owned();
    let deed = Deed { action, target: "/products".to_owned(), ou, asked: AskedFrom::default() };
    let noted = operator.note_deed(deed).await?;
    let created = operator.create_product(new).await;
    let mut noted = noted.ended(&created);
    if let Ok(created) = &created {
        noted.entry.target = format!("/products/{}", path_part(&created.product_key));
    }
    // Ignored: the note is durable, and the entry follows.
    let _ = operator.end_deed(noted).await;
    Ok(created?.product_key)
}

/// What the demonstration does as its owner does it, for the audit log.
async fn deed(operator: &Operator, action: &str, product_key: &str, device_key: Option<&str>) -> Deed {
    let mut target = format!("/products/{}", path_part(product_key));
    if let Some(device_key) = device_key {
        target += &format!("/devices/{}", path_part(device_key));
    }
    if action.ends_with("secret.read") {
        target += "/secret";
    }
    let ou = operator.deed_place(&DeedTo::Product(product_key.to_owned())).await.ou;
    Deed { action: action.to_owned(), target, ou, asked: AskedFrom::default() }
}

async fn describe(server: &Server, product_key: String) -> Result<Demo, Problem> {
    let operator = &server.operator;
    let [meter, factory] = [METER, FACTORY].map(|key| NamedDevice::by_keys(&product_key, key));
    let read = deed(operator, "devices.secret.read", &product_key, Some(METER)).await;
    let own = operator.noted(read, operator.show_device_secret(&meter)).await?;
    let read = deed(operator, "products.secret.read", &product_key, None).await;
    let product = operator.noted(read, operator.show_activation_secret(&factory)).await?;
    let devices = vec![
        device(server, &product_key, METER, ClientTask::Report, own.identity, own.device_secret),
        device(
            server,
            &product_key,
            FACTORY,
            ClientTask::FetchSecret,
            product.identity,
            product.product_secret,
        ),
    ];
    Ok(Demo { dtls: server.dtls.to_string(), product_key, devices })
}

fn device(
    server: &Server,
    product_key: &str,
    device_key: &str,
    task: ClientTask,
    identity: String,
    secret: SecretText,
) -> DemoDevice {
    let secret = Secret::new(secret.into_text());
    let key = psk(&secret);
    let client = ClientOf { product_key, device_key, identity: &identity, psk: &*key };
    DemoDevice {
        lines: client_lines(task, client, &ServerName::of(reachable(server.dtls)), None),
        page: server.origin.as_deref().map(|origin| page_of(origin, product_key, device_key)),
        product_key: product_key.to_owned(),
        device_key: device_key.to_owned(),
        secure_mode: if task == ClientTask::Report { 2 } else { 3 },
        secret: secret.expose().to_owned(),
        psk_hex: hex::encode(*key),
        identity,
    }
}

/// Where the console shows a device.
fn page_of(origin: &str, product_key: &str, device_key: &str) -> String {
    let [product, device] = [product_key, device_key].map(path_part);
    format!("{}/console/devices/{product}/{device}", origin.trim_end_matches('/'))
}

fn cannot_prepare(problem: &Problem) -> Failure {
    let failure = Failure::failed("cannot create the devices of the demonstration").reason(problem);
    match problem.code {
        Code::Missing => failure.hint(
            "another product has devices with these names; use a separate data directory: --data /tmp/demo",
        ),
        _ => failure.hint(problem.hint.as_deref().unwrap_or("look at the data directory")),
    }
}

/// Prints the commands. A missing or slow reader does not end the server.
fn print(demo: &Demo, output: Output, screen: &Screen) {
    if output == Output::Json {
        screen.show(&serde_json::to_string(demo).unwrap_or_default());
        return;
    }
    let say = |text: &str| screen.show(&printable_lines(text));
    for device in &demo.devices {
        let what = match device.secure_mode {
            2 => "has its own secret and reports",
            _ => {
                "fetches its own secret with its product's, stores it, and connects with it in secure mode \
                 2; the next line to paste appears here when it has fetched it (once that is in use, only \
                 narrowgate device reset lets it fetch another)"
            }
        };
        say(&format!(
            "\n{} {what}\n  identity  {}\n  secret    {}\n  key       {}",
            device.device_key, device.identity, device.secret, device.psk_hex
        ));
        for ClientLine { tool, line } in &device.lines {
            say(&format!("\n  # {tool}\n  {}", line.expose()));
        }
        if let Some(page) = &device.page {
            say(&format!("\n  # the page that waits for it\n  {page}"));
        }
    }
    say("\nPaste a line into another terminal (bash). In Debian's libcoap3-bin the client is named \
         coap-client-openssl (or -gnutls); elsewhere coap-client.\n\
         Waiting for devices; press Ctrl-C to stop.\n");
}

/// Prints what arrives, until there is no more or the reader has gone.
async fn show(
    arriving: &mut Subscription,
    output: Output,
    screen: &Screen,
    server: &Server,
    product_key: &str,
) {
    let mut reported = false;
    loop {
        match arriving.next_named(&server.operator).await {
            Next::Event(event) => {
                let json = serde_json::to_string(&*event).unwrap_or_default();
                let line = match output {
                    Output::Json => json,
                    Output::Table => listen::readable(&json),
                };
                if !screen.show(&line) {
                    return;
                }
                if output == Output::Table && is_activation(&event, product_key) {
                    show_next(server, product_key, screen).await;
                }
                if output == Output::Table
                    && !reported
                    && let Happening::Report(report) = &*event
                {
                    reported = true;
                    let key = report.device.as_ref().map_or("", |name| &name.device_key);
                    output::note(format_args!("the first report is stored: narrowgate device points {key}"));
                }
            }
            Next::Missed(count) => {
                output::note(format_args!("not shown: {}", output::counted(count, "event")));
            }
            Next::Ended => return,
        }
    }
}

/// Whether the demonstration's device was given its secret.
fn is_activation(event: &Happening, product_key: &str) -> bool {
    let is_factory = |name: &DeviceName| name.product_key == product_key && name.device_key == FACTORY;
    matches!(event, Happening::SecretIssued(_)) && event.device().is_some_and(is_factory)
}

/// Shows the commands that connect with the secret just fetched. They go to the screen, because they hold the
/// key, which the log never does.
async fn show_next(server: &Server, product_key: &str, screen: &Screen) {
    let factory = NamedDevice::by_keys(product_key, FACTORY);
    let operator = &server.operator;
    let read = deed(operator, "devices.secret.read", product_key, Some(FACTORY)).await;
    let own = match operator.noted(read, operator.show_device_secret(&factory)).await {
        Ok(own) => own,
        Err(error) => return output::note(format_args!("cannot show the secret of {FACTORY}: {error}")),
    };
    let device = device(server, product_key, FACTORY, ClientTask::Report, own.identity, own.device_secret);
    screen.show(&printable_lines(&after_activation(FACTORY, &device.lines)));
}
