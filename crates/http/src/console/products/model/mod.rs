//! The thing model of a product: what it has, an editor that works without script, what a draft changes
//! before it is saved, and a report that fits. A draft stands in its page alone until it is saved.

mod changes;
mod draft;
mod editor;
mod example;
mod tree;

use axum::{
    Router,
    extract::{Path, Query},
    http::Method,
    response::Response,
    routing::get,
};
use narrowgate_api::{
    model::{ModelVersionRow, ModelVersionView},
    page::Page,
    problem::{Code, Problem},
    product::{ModelDraft, ProductView},
};
use narrowgate_platform::{model::access::Needs, service::path_part};
use serde::Deserialize;
use serde_json::value::RawValue;

use self::{draft::Draft, tree::Node};
use super::{api_path, path_of, show};
use crate::console::{
    ask::Act,
    see_other,
    visit::{Sent, Shown, Trouble, Visit},
    words::{self, Word},
};

pub(super) fn routes() -> Router {
    Router::new().route("/console/products/{product}/model", get(show_model).post(edit))
}

/// The lists of a model, each with what its elements are.
const KINDS: [(&str, Word); 4] = [
    ("measurepoints", words::MODEL_POINT),
    ("attributes", words::MODEL_ATTRIBUTE),
    ("events", words::MODEL_EVENT),
    ("services", words::MODEL_SERVICE),
];

/// The model that stands, with the tag by which it is replaced; no tag: there is none.
#[derive(Debug, Default)]
struct Present {
    json: Option<Box<RawValue>>,
    tag: String,
}

impl Present {
    async fn read(visit: &Visit, key: &str) -> Result<Self, Trouble> {
        match visit.read_tagged::<Box<RawValue>>(&(api_path(key) + "/model")).await {
            Ok((json, tag)) => Ok(Self { json: Some(json), tag }),
            Err(Trouble(problem)) if problem.code == Code::Missing => Ok(Self::default()),
            Err(trouble) => Err(trouble),
        }
    }

    fn laid_out(&self) -> String {
        self.json.as_deref().map(laid_out).unwrap_or_default()
    }
}

/// A document with an element on each line.
pub(super) fn laid_out(json: &RawValue) -> String {
    Node::parse(json.get()).map_or_else(|| json.get().to_owned(), |node| node.laid_out())
}

/// A model of nothing, to begin with.
fn beginning(product: &ProductView) -> String {
    let id: String = product.name.chars().take(64).collect();
    let id = serde_json::to_string(&id).unwrap_or_default();
    format!("{{\n  \"modelId\": {id},\n  \"measurepoints\": []\n}}")
}

/// What a page of the model is made of.
struct ModelPage<'a> {
    visit: &'a Visit,
    product: &'a ProductView,
    present: &'a Present,
    versions: &'a [ModelVersionRow],
    draft: Draft,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    /// The version that is put into the editor.
    version: String,
}

async fn show_model(visit: Visit, Path(key): Path<String>, Query(wanted): Query<Wanted>) -> Shown {
    let (product, _) = show::read(&visit, &key).await?;
    let present = Present::read(&visit, &key).await?;
    let mut draft = Draft::of(match present.json {
        Some(_) => present.laid_out(),
        None => beginning(&product),
    });
    draft.tag.clone_from(&present.tag);
    if !wanted.version.is_empty() {
        let path = format!("{}/model/versions/{}", api_path(&key), path_part(&wanted.version));
        let version: ModelVersionView = visit.read(&path).await?;
        if let Some(model) = &version.model {
            draft.text = laid_out(model);
        }
        let number = visit.number(u64::from(version.version));
        draft.note = Some(visit.say(words::MODEL_VERSION_LOADED, &[("n", &number)]));
        draft.look();
    }
    page(&visit, &product, &present, draft).await
}

async fn page(visit: &Visit, product: &ProductView, present: &Present, draft: Draft) -> Shown {
    let path = api_path(&product.product_key) + "/model/versions";
    let versions: Page<ModelVersionRow> = visit.read(&path).await?;
    let page = ModelPage { visit, product, present, versions: &versions.items, draft };
    Ok(answer(&page))
}

fn answer(page: &ModelPage<'_>) -> Response {
    let status = page.draft.problem.as_ref().map_or(200, |problem| problem.status);
    let status = if page.draft.wrong.is_some() { 422 } else { status };
    page.visit.page_with_heading(show::sheet(page.product).with_status(status), &page.content())
}

async fn edit(visit: Visit, Path(key): Path<String>, mut form: Sent) -> Shown {
    visit.require(Needs::Administer)?;
    let (product, _) = show::read(&visit, &key).await?;
    let present = Present::read(&visit, &key).await?;
    let act = form.text("do");
    let mut draft = Draft::take(&mut form);
    match act.split_once(':').unwrap_or((&act, "")) {
        ("save", _) => return save(&visit, &product, present, draft).await,
        ("add", _) => draft.add(&visit, &mut form),
        ("take", place) => draft.take_away(place),
        ("infer", _) => infer(&visit, &key, &mut draft).await?,
        _ => {}
    }
    draft.look();
    page(&visit, &product, &present, draft).await
}

/// Puts a draft of what devices have sent into the editor.
async fn infer(visit: &Visit, key: &str, draft: &mut Draft) -> Result<(), Trouble> {
    let path = api_path(key) + "/model:infer";
    let made: ModelDraft = visit.act(Act::new(Method::POST, &path), &()).await?;
    draft.text = laid_out(&made.model);
    draft.note = Some(visit.count(words::MODEL_INFERRED, u64::from(made.devices)));
    draft.left_out = made.left_out;
    Ok(())
}

/// Saves a draft in the place of the model of which it was made. Where another one stands there meanwhile, it
/// is shown what the draft changes of that.
async fn save(visit: &Visit, product: &ProductView, present: Present, mut draft: Draft) -> Shown {
    draft.look();
    let model = RawValue::from_string(draft.text.clone()).ok().filter(|_| draft.wrong.is_none());
    let Some(model) = model else { return page(visit, product, &present, draft).await };
    let path = api_path(&product.product_key) + "/model";
    let act = Act::new(Method::PUT, &path).if_match(&draft.tag);
    let saved: Result<Box<RawValue>, Trouble> = visit.act(act, &model).await;
    let Err(Trouble(problem)) = saved else {
        return Ok(see_other(&(path_of(&product.product_key) + "/model")));
    };
    match problem.status {
        400 | 413 | 422 => draft.refuse(&problem),
        // As it is now, so that it can be saved over that with open eyes.
        412 | 428 => {
            let present = Present::read(visit, &product.product_key).await?;
            draft.tag.clone_from(&present.tag);
            draft.note = Some(visit.t(words::MODEL_MOVED).to_owned());
            draft.problem = Some(Problem { hint: None, ..*problem });
            return page(visit, product, &present, draft).await;
        }
        _ => return Err(Trouble(problem)),
    }
    page(visit, product, &present, draft).await
}
