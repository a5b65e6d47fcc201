//! A report that a model takes.

use narrowgate_platform::model::thing_model::{DataType, EnumKeys, ThingModel};
use serde_json::{Map, Value, json};

/// Points of an example.
pub(super) const POINTS_MAX: usize = 12;

/// A report of the model's first points, as a device sends it at this time, in Unix milliseconds; `None`: the
/// model has none.
pub(super) fn report(model: &ThingModel, now: i64) -> Option<String> {
    let mut points = Map::new();
    for (identifier, point) in model.measurepoints.iter().take(POINTS_MAX) {
        let value = value_of(&point.data_type, now);
        let value = if point.has_quality { json!({"value": value, "quality": 0}) } else { value };
        points.insert(identifier.clone(), value);
    }
    if points.is_empty() {
        return None;
    }
    let report = json!({
        "id": "1",
        "version": "1.0",
        "method": "thing.measurepoint.post",
        "params": {"measurepoints": points, "time": now},
    });
    serde_json::to_string_pretty(&report).ok()
}

fn value_of(data_type: &DataType, now: i64) -> Value {
    match data_type {
        DataType::Int => 21.into(),
        DataType::Float | DataType::Double => json!(21.5),
        DataType::Bool => true.into(),
        DataType::String { length_max } => "text".chars().take(*length_max).collect::<String>().into(),
        DataType::Timestamp => now.into(),
        DataType::Date => "2026-01-31 12:00:00".into(),
        DataType::Enum(EnumKeys::Integers(keys)) => keys.first().copied().into(),
        DataType::Enum(EnumKeys::Strings(keys)) => keys.first().cloned().into(),
        DataType::Struct(fields) => {
            fields.iter().map(|field| (field.identifier.clone(), value_of(&field.data_type, now))).collect()
        }
        DataType::Array { element, .. } => vec![value_of(element, now)].into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_takes_its_example() {
        let types = [
            json!("INT"),
            json!("FLOAT"),
            json!("DOUBLE"),
            json!("BOOL"),
            json!({"type": "STRING", "maxLength": 2}),
            json!("TIMESTAMP"),
            json!("DATE"),
            json!({"type": "ENUM", "values": [{"key": 3}, {"key": 5}]}),
            json!({"type": "ENUM", "values": [{"key": "on"}]}),
            json!({"type": "STRUCT", "members": [{"identifier": "x", "dataType": "INT"}]}),
            json!({"type": "ARRAY", "elementType": "STRING", "maxLength": 1}),
        ];
        let point = |(index, data_type)| json!({"identifier": format!("p{index}"), "dataType": data_type});
        let mut points: Vec<_> = types.into_iter().enumerate().map(point).collect();
        points.push(json!({"identifier": "q", "dataType": "INT", "hasQuality": true}));
        let count = points.len();
        let model = json!({"modelId": "m", "measurepoints": points}).to_string();
        let model = ThingModel::accept(&model).expect("it is a model");
        let report = report(&model, 1_700_000_000_000).expect("it has points");
        let report: Value = serde_json::from_str(&report).expect("it is JSON");
        let values = report["params"]["measurepoints"].as_object().expect("they are there");
        assert_eq!(values.len(), count);
        for (point, value) in values {
            model.check_point(point, value, &mut String::new()).expect("the model takes it");
        }
    }
}
