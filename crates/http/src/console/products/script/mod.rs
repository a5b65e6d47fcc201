//! The script of a product: an editor, trials, publishing, versions. What is in the editor stands in its page
//! alone until it is saved as the draft, or published.

mod editor;
mod trial;

use axum::{
    Router,
    extract::{Path, Query},
    http::Method,
    routing::{get, post},
};
use narrowgate_api::{
    page::Page,
    problem::Problem,
    product::ProductView,
    script::{
        NewScript, PublishScript, RollBackScript, ScriptPublished, ScriptVersionRow, ScriptVersionView,
        ScriptView,
    },
};
use narrowgate_platform::{model::access::Needs, service::path_part};
use serde::Deserialize;

use self::trial::Trial;
use super::{api_path, path_of, show};
use crate::{
    console::{
        ask::Act,
        see_other,
        visit::{Sent, Shown, Trouble, Visit},
        words,
    },
    form::Form,
};

pub(super) fn routes() -> Router {
    let script = "/console/products/{product}/script";
    Router::new()
        .route(script, get(show_script).post(edit))
        .route(&format!("{script}/rollback"), post(roll_back))
}

/// What a page of the script is made of.
struct ScriptPage<'a> {
    visit: &'a Visit,
    product: &'a ProductView,
    script: &'a ScriptView,
    versions: &'a [ScriptVersionRow],
    draft: Draft,
}

/// What is in the editor.
#[derive(Debug, Default)]
struct Draft {
    source: String,
    /// The tag of what was there when the page was opened.
    tag: String,
    note: Option<String>,
    /// Why it was not saved or tried.
    problem: Option<Problem>,
    trial: Trial,
}

impl Draft {
    /// That of a form. Browsers send other ends of lines than they show.
    fn take(form: &mut Form) -> Self {
        let source = form.take("source").into_text().replace("\r\n", "\n");
        Self { source, tag: form.text("tag"), trial: Trial::take(form), ..Self::default() }
    }
}

async fn read(visit: &Visit, key: &str) -> Result<(ScriptView, String), Trouble> {
    visit.read_tagged(&(api_path(key) + "/script")).await
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    /// The version that is put into the editor.
    version: String,
}

async fn show_script(visit: Visit, Path(key): Path<String>, Query(wanted): Query<Wanted>) -> Shown {
    let (product, _) = show::read(&visit, &key).await?;
    let (script, tag) = read(&visit, &key).await?;
    let published = script.published.as_ref().map(|version| &version.source);
    // Who does not write it sees what runs.
    let draft = script.draft.as_ref().map(|draft| &draft.source).filter(|_| visit.may(Needs::Administer));
    let source = draft.or(published).cloned().unwrap_or_default();
    let mut draft = Draft { source, tag, ..Draft::default() };
    if !wanted.version.is_empty() {
        let path = format!("{}/script/versions/{}", api_path(&key), path_part(&wanted.version));
        let version: ScriptVersionView = visit.read(&path).await?;
        let number = visit.number(u64::from(version.about.version));
        draft.note = Some(visit.say(words::SCRIPT_LOADED, &[("n", &number)]));
        draft.source = version.source;
    }
    page(&visit, &product, &script, draft).await
}

async fn page(visit: &Visit, product: &ProductView, script: &ScriptView, draft: Draft) -> Shown {
    let path = api_path(&product.product_key) + "/script/versions";
    let versions: Page<ScriptVersionRow> = visit.read(&path).await?;
    let status = draft.problem.as_ref().map_or(200, |problem| problem.status);
    let page = ScriptPage { visit, product, script, versions: &versions.items, draft };
    Ok(visit.page_with_heading(show::sheet(product).with_status(status), &page.content()))
}

async fn edit(visit: Visit, Path(key): Path<String>, mut form: Sent) -> Shown {
    visit.require(Needs::Administer)?;
    let (product, _) = show::read(&visit, &key).await?;
    let mut draft = Draft::take(&mut form);
    let done = match &*form.text("do") {
        "draft" => save(&visit, &key, &draft).await,
        "publish" => publish(&visit, &key, &draft).await,
        _ => draft.trial.run(&visit, &key, &draft.source).await.map(|()| false),
    };
    match done {
        Ok(true) => return Ok(see_other(&(path_of(&key) + "/script"))),
        Ok(false) => {}
        Err(Trouble(problem)) => match problem.status {
            400 | 404 | 413 | 422 | 503 => draft.problem = Some(*problem),
            412 | 428 => {
                draft.note = Some(visit.t(words::SCRIPT_MOVED).to_owned());
                draft.problem = Some(Problem { hint: None, ..*problem });
            }
            _ => return Err(Trouble(problem)),
        },
    }
    let (script, tag) = read(&visit, &key).await?;
    // As it is now, so that it can be saved over that with open eyes. What is tried is none of it.
    if draft.note.is_some() {
        draft.tag = tag;
    }
    page(&visit, &product, &script, draft).await
}

async fn save(visit: &Visit, key: &str, draft: &Draft) -> Result<bool, Trouble> {
    let path = api_path(key) + "/script";
    let act = Act::new(Method::PUT, &path).if_match(&draft.tag);
    let _: ScriptView = visit.act(act, &NewScript { source: draft.source.clone() }).await?;
    Ok(true)
}

async fn publish(visit: &Visit, key: &str, draft: &Draft) -> Result<bool, Trouble> {
    let path = api_path(key) + "/script:publish";
    let wanted = PublishScript { source: Some(draft.source.clone()) };
    let _: ScriptPublished = visit.act(Act::new(Method::POST, &path), &wanted).await?;
    Ok(true)
}

async fn roll_back(visit: Visit, Path(key): Path<String>, mut form: Sent) -> Shown {
    let path = api_path(&key) + "/script:rollback";
    let wanted = RollBackScript { version: form.text("version").parse().unwrap_or_default() };
    let _: ScriptPublished = visit.act(Act::new(Method::POST, &path), &wanted).await?;
    Ok(see_other(&(path_of(&key) + "/script")))
}
