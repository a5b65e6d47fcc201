//! What the stories have in common.

use std::time::Duration;

use narrowgate_engine::shard::ShardConfig;
use narrowgate_sim::{
    device::{DeviceCommand, DeviceEvent, Report},
    net::Conditions,
    world::{HostId, World, shard_config},
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// A session that is silent for so long is closed, in worlds that wait for it.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// A world on a good network, and devices in it that the platform knows.
pub(crate) fn good_world<const COUNT: usize>(config: ShardConfig) -> (World, [HostId; COUNT]) {
    let mut world = World::new(config, Conditions::good(), 1);
    let hosts = std::array::from_fn(|number| world.add_known(&format!("meter-{number}")));
    (world, hosts)
}

pub(crate) fn patient_config() -> ShardConfig {
    ShardConfig { idle_timeout: IDLE_TIMEOUT, ..shard_config() }
}

pub(crate) fn report(id: u64) -> DeviceCommand {
    DeviceCommand::Report(Report { id, time_ms: Some(1_700_000_000_000), points: r#"{"temp":21.5}"#.into() })
}

/// Connects a device; a device on a good network takes a fraction of a second.
pub(crate) fn connect(world: &mut World, host: HostId) {
    world.command(host, DeviceCommand::Connect).expect("a device can always try");
    let connected = world.run_until(MINUTE, |world| world.device(host).is_connected());
    assert!(connected, "no session after a minute: {:?}", world.take_events(host));
    world.run_for(SECOND);
    world.take_events(host);
}

/// Lets a second pass and tells what the device told in it.
pub(crate) fn events_within_a_second(world: &mut World, host: HostId) -> Vec<DeviceEvent> {
    world.run_for(SECOND);
    world.take_events(host)
}
