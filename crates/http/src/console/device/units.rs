//! The units of a device's points, as the thing model of its product has them.

use std::collections::BTreeMap;

use maud::{Markup, html};
use narrowgate_api::problem::Code;
use serde::Deserialize;

use crate::console::{
    products,
    visit::{Trouble, Visit},
};

/// The unit of each point that has one; there are none without a model.
#[derive(Debug, Default)]
pub(super) struct Units(BTreeMap<String, String>);

/// A model, as far as it is looked at here.
#[derive(Debug, Deserialize)]
struct Model {
    #[serde(default)]
    measurepoints: Vec<Point>,
}

#[derive(Debug, Deserialize)]
struct Point {
    identifier: String,
    #[serde(default)]
    unit: Option<String>,
}

impl Units {
    /// Those of a product.
    ///
    /// # Errors
    /// The API's problem.
    pub(super) async fn read(visit: &Visit, product: &str) -> Result<Self, Trouble> {
        match visit.read::<Model>(&(products::api_path(product) + "/model")).await {
            Ok(model) => Ok(Self::of(model)),
            Err(Trouble(problem)) if problem.code == Code::Missing => Ok(Self::default()),
            Err(trouble) => Err(trouble),
        }
    }

    fn of(model: Model) -> Self {
        let named = model.measurepoints.into_iter().filter_map(|Point { identifier, unit }| {
            let unit = unit.map(|unit| unit.trim().to_owned()).filter(|unit| !unit.is_empty())?;
            Some((identifier, unit))
        });
        Self(named.collect())
    }

    /// A number with its unit, as a person writes it.
    pub(super) fn beside(&self, point: &str, number: &str) -> String {
        match self.0.get(point) {
            Some(unit) => format!("{number} {unit}"),
            None => number.to_owned(),
        }
    }

    /// The unit alone, behind a value; nothing where there is none.
    pub(super) fn shown(&self, point: &str) -> Markup {
        html! { @if let Some(unit) = self.0.get(point) { " " span.soft { (unit) } } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_unit_that_its_model_says() {
        let json = r#"{"modelId": "m", "measurepoints": [
            {"identifier": "temp", "dataType": "DOUBLE", "unit": "°C"},
            {"identifier": "count", "dataType": "INT"},
            {"identifier": "blank", "dataType": "INT", "unit": " "}]}"#;
        let units = Units::of(serde_json::from_str(json).expect("it is a model"));
        assert_eq!(units.beside("temp", "21.5"), "21.5 °C");
        for point in ["count", "blank", "other"] {
            assert_eq!((units.beside(point, "7"), units.shown(point).0), ("7".to_owned(), String::new()));
        }
        assert_eq!(units.shown("temp").0, " <span class=\"soft\">°C</span>");
        let none = serde_json::from_str::<Model>(r#"{"modelId": "m"}"#).expect("it is a model");
        assert_eq!(Units::of(none).beside("temp", "7"), "7");
    }
}
