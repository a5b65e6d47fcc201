//! Settings of a product, and the window in which its devices may fetch secrets. A form changes the product
//! as it was when its page was opened, and no other.

use axum::{Router, extract::Path, http::Method, routing::post};
use maud::{Markup, html};
use narrowgate_api::{
    names::UnixMillis,
    product::{ContentCode, DataFormat, DynamicActivationPatch, ProductPatch, ProductView, Profile},
};

use super::{
    api_path, format_word, path_of,
    show::{self, code_word, profile_word},
};
use crate::{
    console::{
        ask::Act,
        see_other,
        visit::{Sent, Shown, Trouble, Visit},
        words::{self, Word},
    },
    form::Form,
};

pub(super) fn routes() -> Router {
    Router::new()
        .route("/console/products/{product}/settings", post(save))
        .route("/console/products/{product}/activation", post(save_activation))
}

/// The field with the tag of the product that is to be changed.
const TAG: &str = "tag";

/// Seconds of the windows that are offered.
const WINDOWS: [u64; 5] = [3_600, 86_400, 7 * 86_400, 30 * 86_400, 365 * 86_400];

const PROFILES: [(Profile, &str); 2] = [(Profile::Default, "default"), (Profile::Nbiot, "nbiot")];
const FORMATS: [(DataFormat, &str); 2] = [(DataFormat::Json, "json"), (DataFormat::Custom, "custom")];
const CODES: [(ContentCode, &str); 2] = [(ContentCode::Content, "2.05"), (ContentCode::Changed, "2.04")];
const ON: &str = "on";
const OFF: &str = "off";

/// A choice among the values of a setting.
fn select<T: Copy + PartialEq>(
    visit: &Visit,
    (label, name): (Word, &str),
    all: &[(T, &str)],
    (value, word): (T, fn(T) -> Word),
) -> Markup {
    html! {
        label {
            (visit.t(label))
            select name=(name) {
                @for (other, text) in all {
                    option value=(text) selected[*other == value] { (visit.t(word(*other))) }
                }
            }
        }
    }
}

pub(super) fn short_paths_word(is_on: bool) -> Word {
    if is_on { words::SHORT_PATHS_ON } else { words::SHORT_PATHS_OFF }
}

fn switch_word(is_on: bool) -> Word {
    if is_on { words::SWITCH_IS_ON } else { words::SWITCH_IS_OFF }
}

const SWITCH: [(bool, &str); 2] = [(true, ON), (false, OFF)];

pub(super) fn panel(visit: &Visit, product: &ProductView, tag: &str) -> Markup {
    let ProductView { data_format, .. } = product;
    html! {
        section.panel {
            h2 { (visit.t(words::SETTINGS)) }
            form method="post" action={ (path_of(&product.product_key)) "/settings" } {
                (visit.token_field())
                input type="hidden" name=(TAG) value=(tag);
                label {
                    (visit.t(words::PRODUCT_NAME))
                    input name="name" value=(product.name) required autocomplete="off";
                }
                @let short = (product.short_paths, short_paths_word as fn(bool) -> Word);
                (select(visit, (words::PRODUCT_FORMAT, "format"), &FORMATS, (*data_format, format_word)))
                (select(visit, (words::PROFILE, "profile"), &PROFILES, (product.profile, profile_word)))
                (select(visit, (words::SHORT_PATHS, "short"), &SWITCH, short))
                (select(visit, (words::CONTENT_CODE, "code"), &CODES, (product.content_code, code_word)))
                label {
                    (visit.t(words::RETENTION))
                    input name="retention" value=(product.retention) required autocapitalize="none"
                        spellcheck="false" autocomplete="off" aria-describedby="retention-hint";
                }
                p.hint #retention-hint { (visit.t(words::RETENTION_HINT)) }
                p.buttons { button { (visit.t(words::SETTINGS_SAVE)) } }
            }
        }
    }
}

pub(super) fn activation_panel(visit: &Visit, product: &ProductView, tag: &str) -> Markup {
    let activation = product.dynamic_activation;
    html! {
        section.panel {
            h2 { (visit.t(words::ACTIVATION)) }
            p { (visit.t(words::ACTIVATION_TEXT)) }
            p { (super::activation(visit, activation)) }
            form.filters method="post" action={ (path_of(&product.product_key)) "/activation" } {
                (visit.token_field())
                input type="hidden" name=(TAG) value=(tag);
                @let is_on = (activation.enabled, switch_word as fn(bool) -> Word);
                (select(visit, (words::ACTIVATION_SWITCH, "switch"), &SWITCH, is_on))
                label {
                    (visit.t(words::ACTIVATION_WINDOW))
                    select name="window" {
                        option value="" { (visit.t(words::WINDOW_SAME)) }
                        @for seconds in WINDOWS {
                            @let time = visit.preferences.duration(seconds);
                            option value=(seconds) { (visit.say(words::WINDOW_FROM_NOW, &[("time", &time)])) }
                        }
                        option value="none" { (visit.t(words::WINDOW_NONE)) }
                    }
                }
                label {
                    (visit.t(words::ACTIVATION_QUOTA))
                    input name="quota" type="number" min="0" value=(activation.quota_per_hour) required;
                }
                button { (visit.t(words::ACTIVATION_SAVE)) }
            }
        }
    }
}

/// The value that a form chose; what is none of them changes nothing.
fn chosen<T: Copy>(form: &mut Form, name: &str, all: &[(T, &str)]) -> Option<T> {
    let text = form.text(name);
    all.iter().find(|(_, known)| *known == text).map(|(value, _)| *value)
}

async fn save(visit: Visit, Path(key): Path<String>, mut form: Sent) -> Shown {
    let tag = form.text(TAG);
    let patch = ProductPatch {
        name: Some(form.text("name")),
        profile: chosen(&mut form, "profile", &PROFILES),
        short_paths: chosen(&mut form, "short", &SWITCH),
        data_format: chosen(&mut form, "format", &FORMATS),
        content_code: chosen(&mut form, "code", &CODES),
        retention: Some(form.text("retention")),
        ..ProductPatch::default()
    };
    change(&visit, &key, &tag, patch).await
}

async fn save_activation(visit: Visit, Path(key): Path<String>, mut form: Sent) -> Shown {
    let (tag, window) = (form.text(TAG), form.text("window"));
    let ends_at = match &*window {
        "" => None,
        "none" => Some(None),
        seconds => {
            let known = WINDOWS.into_iter().find(|known| known.to_string() == seconds);
            let millis = known.and_then(|seconds| i64::try_from(1000 * seconds).ok());
            millis.map(|millis| Some(UnixMillis(visit.now.0.saturating_add(millis))))
        }
    };
    let quota_per_hour = form.text("quota").parse().ok().map(Some);
    let enabled = chosen(&mut form, "switch", &SWITCH);
    let dynamic_activation = DynamicActivationPatch { enabled, ends_at, quota_per_hour };
    change(&visit, &key, &tag, ProductPatch { dynamic_activation, ..ProductPatch::default() }).await
}

/// Changes the product of this tag. What is refused stands in the form still.
async fn change(visit: &Visit, key: &str, tag: &str, patch: ProductPatch) -> Shown {
    let path = api_path(key);
    let act = Act::new(Method::PATCH, &path).if_match(tag);
    let changed: Result<ProductView, Trouble> = visit.act(act, &patch).await;
    let Err(Trouble(problem)) = changed else { return Ok(see_other(&path_of(key))) };
    if !matches!(problem.status, 400 | 412 | 422) {
        return Err(Trouble(problem));
    }
    let (present, _) = show::read(visit, key).await?;
    show::refused(visit, &typed(present, patch), tag, &problem).await
}

/// The product with what was typed.
fn typed(present: ProductView, patch: ProductPatch) -> ProductView {
    ProductView {
        name: patch.name.unwrap_or(present.name),
        profile: patch.profile.unwrap_or(present.profile),
        short_paths: patch.short_paths.unwrap_or(present.short_paths),
        data_format: patch.data_format.unwrap_or(present.data_format),
        content_code: patch.content_code.unwrap_or(present.content_code),
        retention: patch.retention.unwrap_or(present.retention),
        ..present
    }
}
