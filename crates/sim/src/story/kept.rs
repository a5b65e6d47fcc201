//! What the store holds of a device beside its reports, as a story writes it.

use narrowgate_platform::{
    model::{command::Command, property::PropertyKind},
    paging::Part,
    ports::{EventQuery, HistoryReads as _, Registry as _},
    testing::block_on,
};

use super::sentence::Kept;
use crate::world::World;

/// More than any story has.
const ITEMS_MAX: usize = 100;

/// What is kept of a device.
pub(super) fn of(world: &World, device_key: &str, what: Kept) -> Result<String, String> {
    const OPEN: &str = "the store is open";
    let device = world.find(device_key).ok_or("nobody has registered it")?.id;
    let store = world.durable();
    let properties = |kind| block_on(store.properties(device, kind)).expect(OPEN).to_json();
    let oldest_first = |mut names: Vec<String>| {
        names.reverse();
        if names.is_empty() { "none".to_owned() } else { names.join(",") }
    };
    Ok(match what {
        Kept::Attributes => properties(PropertyKind::Attribute),
        Kept::Tags => properties(PropertyKind::Tag),
        Kept::Events => {
            let query = EventQuery { limit: ITEMS_MAX, ..EventQuery::default() };
            let events = block_on(store.events(device, query)).expect(OPEN).items;
            oldest_first(events.into_iter().map(|event| event.event).collect())
        }
        Kept::Commands => {
            let commands = block_on(store.commands(device, Part::first(ITEMS_MAX))).expect(OPEN).items;
            let state = |command: Command| match serde_json::to_value(command.state) {
                Ok(serde_json::Value::String(name)) => name,
                other => format!("{other:?}"),
            };
            oldest_first(commands.into_iter().map(state).collect())
        }
    })
}
