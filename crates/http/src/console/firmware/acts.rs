//! A rollout is paused and goes on; an image is deleted.

use axum::{
    Router,
    extract::Path,
    http::Method,
    routing::{get, post},
};
use maud::{Markup, html};
use narrowgate_api::firmware::{ImageView, RolloutView};
use narrowgate_platform::{model::access::Needs, service::path_part};

use super::{api_path, image::head, of_product, path_of, read, sheet};
use crate::console::{
    ask::Act,
    parts::{Confirm, TYPED},
    see_other,
    visit::{Sent, Shown, Trouble, Visit},
    words,
};

pub(super) fn routes() -> Router {
    Router::new()
        .route("/console/firmware/{image}/pause", post(pause))
        .route("/console/firmware/{image}/resume", post(resume))
        .route("/console/firmware/{image}/delete", get(ask_delete).post(delete))
}

/// What may be done with an image and its rollout.
pub(super) fn buttons(visit: &Visit, image: &ImageView, rollout: &RolloutView) -> Markup {
    let path = path_of(&image.image_id);
    let is_offered = rollout.since.is_some();
    html! {
        div.buttons {
            @if is_offered && visit.may(Needs::Operate) {
                @if rollout.paused { (visit.button(&format!("{path}/resume"), words::FW_RESUME)) }
                @else { (visit.button(&format!("{path}/pause"), words::FW_PAUSE)) }
            }
            @if visit.may(Needs::Administer) {
                a.button.danger href={ (path) "/delete" } { (visit.t(words::DELETE)) }
            }
        }
        @if is_offered && visit.may(Needs::Operate) {
            p.hint { (visit.t(if rollout.paused { words::FW_RESUME_HINT } else { words::FW_PAUSE_HINT })) }
        }
    }
}

async fn switch(visit: &Visit, id: &str, act: &str) -> Shown {
    let path = format!("/api/v1/rollouts/{}:{act}", path_part(id));
    let _: RolloutView = visit.act(Act::new(Method::POST, &path), &()).await?;
    Ok(see_other(&path_of(id)))
}

async fn pause(visit: Visit, Path(id): Path<String>) -> Shown {
    switch(&visit, &id, "pause").await
}

async fn resume(visit: Visit, Path(id): Path<String>) -> Shown {
    switch(&visit, &id, "resume").await
}

async fn ask_delete(visit: Visit, Path(id): Path<String>) -> Shown {
    visit.require(Needs::Administer)?;
    question(&visit, &read(&visit, &id).await?, None, None)
}

fn question(visit: &Visit, image: &ImageView, said: Option<&str>, trouble: Option<&Trouble>) -> Shown {
    let path = path_of(&image.image_id);
    let values = [("version", &*image.version), ("product", &*image.product_key)];
    let confirm = Confirm {
        action: &format!("{path}/delete"),
        does: &visit.say(words::FW_DOES_DELETE, &values),
        name: &image.version,
        button: words::DELETE,
        back: &path,
        fields: html! {},
        said,
    };
    let status = trouble.map_or(if said.is_some() { 422 } else { 200 }, |Trouble(problem)| problem.status);
    let content = html! {
        (head(visit, image))
        @if let Some(Trouble(problem)) = trouble { (visit.problem(problem)) }
        section.panel { (visit.confirm(&confirm)) }
    };
    Ok(visit.page_with_heading(sheet(image).with_status(status), &content))
}

async fn delete(visit: Visit, Path(id): Path<String>, mut form: Sent) -> Shown {
    visit.require(Needs::Administer)?;
    let image = read(&visit, &id).await?;
    if form.text(TYPED) != image.version.trim() {
        return question(&visit, &image, Some(&visit.not_confirmed(&image.version)), None);
    }
    match visit.act::<ImageView>(Act::new(Method::DELETE, &api_path(&id)), &()).await {
        Ok(image) => Ok(see_other(&of_product(&image.product_key))),
        Err(trouble) => question(&visit, &image, None, Some(&trouble)),
    }
}
