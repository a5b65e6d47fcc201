//! What attributes and tags may be, whoever sets them: a device by its topics, or an operator.

use crate::model::{
    json_piece::Piece,
    property::{VALUE_BYTES_MAX, is_tag_key},
    thing_model::{Fault, ThingModel, is_identifier, push_step},
};

/// Checks an attribute of a JSON object that stands at `pointer`, which is left as it is.
///
/// # Errors
/// What is wrong, with its JSON pointer.
pub fn check_attribute(
    model: Option<&ThingModel>,
    identifier: &str,
    value: Piece<'_>,
    pointer: &mut String,
) -> Result<(), Fault> {
    let length = pointer.len();
    push_step(pointer, identifier);
    let checked = check(model, identifier, value, pointer);
    pointer.truncate(length);
    checked
}

fn check(
    model: Option<&ThingModel>,
    identifier: &str,
    value: Piece<'_>,
    pointer: &mut String,
) -> Result<(), Fault> {
    if !is_identifier(identifier) {
        return Err(Fault::new(pointer, "an identifier is 1 to 128 of A-Z a-z 0-9 _ . -"));
    }
    check_length(value, pointer)?;
    match (model, serde_json::from_str(value.get())) {
        (Some(model), Ok(value)) => model.check_attribute(identifier, &value, pointer),
        (_, Err(error)) => Err(Fault::new(pointer, error.to_string())),
        (None, Ok(serde_json::Value::Null)) => Err(Fault::new(pointer, "must not be null")),
        (None, Ok(_)) => Ok(()),
    }
}

/// Checks the key of a tag, which stands at `pointer`.
///
/// # Errors
/// What is wrong with it.
pub fn check_tag_key(key: &str, pointer: &str) -> Result<(), Fault> {
    if is_tag_key(key) {
        return Ok(());
    }
    Err(Fault::new(pointer, "a key is 1 to 100 characters: a letter or _ first, then A-Z a-z 0-9 _ - /"))
}

/// Checks the value of a tag, which stands at `pointer`.
///
/// # Errors
/// What is wrong with it.
pub fn check_tag_value(value: Piece<'_>, pointer: &str) -> Result<(), Fault> {
    if !value.get().starts_with('"') {
        return Err(Fault::new(pointer, "must be a string"));
    }
    check_length(value, pointer)
}

/// Checks that an attribute may be taken away; it stands at `pointer`.
///
/// # Errors
/// The model wants every device to have it.
pub fn check_removal(model: Option<&ThingModel>, attribute: &str, pointer: &str) -> Result<(), Fault> {
    match model {
        Some(model) if model.requires(attribute) => {
            let message =
                format!("model {} requires attribute {attribute}: it cannot be deleted", model.model_id);
            Err(Fault::new(pointer, message))
        }
        _ => Ok(()),
    }
}

fn check_length(value: Piece<'_>, pointer: &str) -> Result<(), Fault> {
    let bytes = value.get().len();
    if bytes <= VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(Fault::new(pointer, format!("has {bytes} bytes; at most {VALUE_BYTES_MAX} are kept")))
}
