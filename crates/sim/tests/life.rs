//! A device's whole life under virtual time: the engine, the gateway with all its rules, and a store, without
//! threads and sockets, so that thirty seconds of silence take none.

use std::{net::SocketAddr, time::Duration};

use narrowgate_coap::Code;
use narrowgate_platform::{
    model::{
        credential::CredentialLookup,
        device::{Device, DeviceState},
    },
    paging::Part,
    ports::{HistoryReads as _, Registry as _},
    testing::block_on,
};
use narrowgate_sim::{
    device::{DeviceCommand, DeviceConfig, DeviceEvent, Report, SecureMode},
    net::Conditions,
    world::{HostId, PRODUCT_KEY, PRODUCT_SECRET, World, device_config, shard_config},
};

const DEVICE_KEY: &str = "meter-0001";
const SECOND: Duration = Duration::from_secs(1);

/// The device with a secret, at an address of its own.
fn add(world: &mut World, port: u16, secret: &[u8], mode: SecureMode, lifetime_s: u32) -> HostId {
    let mut config: DeviceConfig = device_config(DEVICE_KEY, secret);
    config.identity.mode = mode;
    config.identity.lifetime_s = lifetime_s;
    world.register(&config.identity, PRODUCT_SECRET);
    world.add(SocketAddr::from(([10, 0, 0, 1], port)), config)
}

/// Whether it connects within two minutes.
fn connects(world: &mut World, host: HostId) -> bool {
    world.command(host, DeviceCommand::Connect).expect("a device can always try");
    world.run_until(120 * SECOND, |world| world.has_event(host));
    matches!(world.take_events(host)[..], [DeviceEvent::Connected { .. }])
}

/// What a device is told within a second.
fn answer(world: &mut World, host: HostId, command: DeviceCommand) -> DeviceEvent {
    world.command(host, command).expect("it is connected");
    world.run_until(SECOND, |world| world.has_event(host));
    world.poll_event(host).expect("an answer")
}

fn report(id: u64, points: &str) -> DeviceCommand {
    DeviceCommand::Report(Report { id, time_ms: None, points: points.into() })
}

fn code(event: &DeviceEvent) -> Option<Code> {
    match event {
        DeviceEvent::ReportRefused { response, .. } | DeviceEvent::ActivationRefused(response) => {
            Some(response.code)
        }
        _ => None,
    }
}

fn stored(world: &World) -> Device {
    world.find(DEVICE_KEY).expect("it is registered")
}

fn secret(world: &World) -> String {
    match block_on(world.durable().credentials(PRODUCT_KEY, DEVICE_KEY)).expect("the store is open") {
        CredentialLookup::Found(credentials) => credentials.device_secret.expose().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_device_activates_logs_in_reports_falls_silent_and_comes_back_in_the_same_session() {
    let mut world = World::new(shard_config(), Conditions::good(), 1);

    // In the factory it has only its product's secret, and asks for its own.
    let factory = add(&mut world, 1, PRODUCT_SECRET.as_bytes(), SecureMode::Product, 3600);
    assert!(connects(&mut world, factory), "mode 3 connects");
    let refused = answer(&mut world, factory, report(1, r#"{"temp":1.0}"#));
    assert_eq!(code(&refused), Some(Code::FORBIDDEN));
    let issued = match answer(&mut world, factory, DeviceCommand::AskActivation) {
        DeviceEvent::Activated(secret) => String::from_utf8(secret.as_bytes().to_vec()).expect("it is text"),
        other => panic!("{other:?}"),
    };
    assert_eq!(issued.len(), 20);
    assert_eq!(issued, secret(&world));
    assert_eq!(stored(&world).state, DeviceState::Inactive, "asking does not activate");

    // In the field it logs in with it, and reports.
    let wrong = add(&mut world, 2, b"the wrong secret", SecureMode::Device, 30);
    assert!(!connects(&mut world, wrong));
    let device = add(&mut world, 3, issued.as_bytes(), SecureMode::Device, 30);
    assert!(connects(&mut world, device), "mode 2 connects");
    assert_eq!(stored(&world).state, DeviceState::Online);
    assert!(stored(&world).active_time.is_some_and(|at| world.wall().wall.0 - at.0 < 1_000));
    let acknowledged = answer(&mut world, device, report(2, r#"{"temp":21.5}"#));
    assert_eq!(acknowledged, DeviceEvent::Acknowledged { id: 2 });
    let id = stored(&world).id;
    let latest = block_on(world.durable().points_latest(id)).expect("the store is open").items;
    assert_eq!(latest[0].value.get(), "21.5");

    // Thirty seconds of silence, and not one less: offline, once, within a second. The answer took 50 ms to
    // the device.
    world.run_for(Duration::from_millis(29_850));
    assert_eq!(stored(&world).state, DeviceState::Online);
    world.run_for(Duration::from_millis(1_100));
    assert_eq!(stored(&world).state, DeviceState::Offline);
    world.run_for(3_600 * SECOND);
    let changes = block_on(world.durable().presence_history(id, Part::first(10)));
    let changes = changes.expect("the store is open").items;
    let states: Vec<_> = changes.iter().map(|change| change.state).collect();
    assert_eq!(states, [DeviceState::Offline, DeviceState::Online]);

    // The session is still good: its next report makes the device online without a handshake.
    let acknowledged = answer(&mut world, device, report(3, r#"{"temp":22.0}"#));
    assert_eq!(acknowledged, DeviceEvent::Acknowledged { id: 3 });
    assert_eq!(stored(&world).state, DeviceState::Online);
    // Its secret is fixed now.
    let again = add(&mut world, 4, PRODUCT_SECRET.as_bytes(), SecureMode::Product, 3600);
    assert!(connects(&mut world, again), "mode 3 connects");
    let refused = answer(&mut world, again, DeviceCommand::AskActivation);
    assert_eq!(code(&refused), Some(Code::FORBIDDEN));
    assert_eq!(issued, secret(&world));
}
