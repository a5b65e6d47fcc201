//! `model check --from`: what a device has sent, given to a draft and to the model of its product.

use narrowgate_api::{device::NamedDevice, history::PointView, query::ValuesQuery};
use narrowgate_platform::{
    ids::UnixMillis,
    model::{
        property::PropertyKind,
        thing_model::{Fault, ThingModel},
    },
};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use super::Damage;
use crate::{
    cli::Output,
    client::{Access, Call},
    config::Config,
    failure::Failure,
    output::{self, Column, Layout, counted, printable},
};

/// Values of points that are given to the models, the newest.
const VALUES_MAX: u32 = 1000;

const COLUMNS: &[Column] = &[
    Column { field: "element", title: "ELEMENT" },
    Column { field: "time", title: "TIME" },
    Column { field: "value", title: "VALUE" },
    Column { field: "published", title: "BY THE MODEL" },
    Column { field: "draft", title: "BY THE DRAFT" },
];

/// What came of it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Replayed {
    /// Values that were given to both.
    values: usize,
    /// Values that the draft refuses.
    refused: usize,
    /// Values of which draft and model say different things.
    differing: usize,
    /// The refused and the differing ones.
    items: Vec<Item>,
}

#[derive(Debug, Serialize)]
struct Item {
    /// `attribute size`, `point temp`.
    element: String,
    /// When a point had the value.
    time: Option<UnixMillis>,
    value: Box<RawValue>,
    /// Why the model of the product refuses it; null: it takes it, or the product has no model.
    published: Option<String>,
    /// Why the draft refuses it; null: it takes it.
    draft: Option<String>,
}

pub(super) fn run(draft: &ThingModel, device: &str, config: &Config, output: Output) -> Result<(), Failure> {
    let name = NamedDevice::by_name(device);
    let shown = Access::open(config)?.call_once(Call::show_device(&name))?;
    let product = Access::open(config)?.call_once(Call::show_product(&shown.device.product_key))?;
    // A model that was stored by an older program is one that takes everything, if this one cannot read it.
    let published = product.model.map(|model| ThingModel::parse(model.get()).ok());
    if matches!(published, Some(None)) {
        output::note("this program cannot read the product's model: it counts as one that takes everything");
    }
    let published = published.flatten();
    let attributes =
        Access::open(config)?.call_once(Call::show_properties(&name, PropertyKind::Attribute))?.0;
    let query = ValuesQuery { from: Some(UnixMillis(0)), limit: Some(VALUES_MAX), ..ValuesQuery::default() };
    let page = Access::open(config)?.call_once(Call::list_values(&name, &query))?;
    let mut damage = Damage::default();
    damage.note(&page);
    let (has_more, points) = (page.next_cursor.is_some(), page.items);

    let mut replayed = Replayed::default();
    for (attribute, value) in attributes {
        let check = |model: &ThingModel, value: &Value, pointer: &mut String| {
            model.check_attribute(&attribute, value, pointer)
        };
        let faults = both(draft, published.as_ref(), &parsed(&value), check);
        replayed.note(format!("attribute {attribute}"), None, value, faults);
    }
    for PointView { point, value, time, quality } in points {
        let sent = match quality {
            Some(quality) => json!({"value": parsed(&value), "quality": quality}),
            None => parsed(&value),
        };
        let check = |model: &ThingModel, value: &Value, pointer: &mut String| {
            model.check_point(&point, value, pointer)
        };
        let faults = both(draft, published.as_ref(), &sent, check);
        replayed.note(format!("point {point}"), Some(time), value, faults);
    }
    if replayed.values == 0 {
        output::note(format_args!("nothing is kept of what {} has sent", printable(device)));
    } else if has_more {
        output::note(format_args!("only the newest {VALUES_MAX} values of points were given to the models"));
    }
    damage.warn();
    replayed.print(device, output)
}

/// What the model of the product and the draft say of a value.
fn both(
    draft: &ThingModel,
    published: Option<&ThingModel>,
    value: &Value,
    check: impl Fn(&ThingModel, &Value, &mut String) -> Result<(), Fault>,
) -> [Option<String>; 2] {
    [published, Some(draft)].map(|model| {
        let Fault { pointer, message } = check(model?, value, &mut String::new()).err()?;
        Some(if pointer.is_empty() { message } else { format!("{pointer}: {message}") })
    })
}

/// A value that was stored.
fn parsed(value: &RawValue) -> Value {
    serde_json::from_str(value.get()).unwrap_or_default()
}

impl Replayed {
    fn note(
        &mut self,
        element: String,
        time: Option<UnixMillis>,
        value: Box<RawValue>,
        [published, draft]: [Option<String>; 2],
    ) {
        let differs = published.is_some() != draft.is_some();
        self.values += 1;
        self.refused += usize::from(draft.is_some());
        self.differing += usize::from(differs);
        if differs || draft.is_some() {
            self.items.push(Item { element, time, value, published, draft });
        }
    }

    fn print(&self, device: &str, output: Output) -> Result<(), Failure> {
        match output {
            Output::Json => output::print(output, self, Layout::Record)?,
            Output::Table => {
                if !self.items.is_empty() {
                    output::print(output, &self.items, Layout::Values(COLUMNS))?;
                }
                output::note(format_args!(
                    "{} of {}: the draft refuses {}, and differs from the product's model in {}",
                    counted(self.values, "value"),
                    printable(device),
                    self.refused,
                    self.differing
                ));
            }
        }
        match self.refused {
            0 => Ok(()),
            refused => Err(Failure::failed("the draft refuses what the device has sent")
                .reason(format_args!("{refused} of {}", counted(self.values, "value")))),
        }
    }
}
