//! Organisation units: what each may have, and whether it is suspended.

use axum::{
    Router,
    extract::{Path, Query},
    http::Method,
    routing::{get, post},
};
use maud::{Markup, html};
use narrowgate_api::{
    access::{NewUnit, QuotasPatch, QuotasView, UnitPatch, UnitView},
    page::Page,
    problem::Problem,
};
use narrowgate_platform::{model::access::Needs, service::path_part};

use super::{Tab, Wanted, page_of, tabs};
use crate::{
    console::{
        ask::{Act, with_query},
        layout::{Here, Sheet},
        parts::{Confirm, ONCE, TYPED, Tone},
        see_other,
        visit::{Sent, Shown, Trouble, Visit},
        words::{self, Word},
    },
    form::Form,
};

pub(super) const PATH: &str = "/console/ous";
const API: &str = "/api/v1/ous";

pub(super) fn routes() -> Router {
    Router::new()
        .route(PATH, get(list).post(create))
        .route("/console/ous/{ou}", get(show).post(update))
        .route("/console/ous/{ou}/suspend", get(ask_suspend).post(suspend))
        .route("/console/ous/{ou}/resume", post(resume))
}

pub(super) fn path_of(ou: &str) -> String {
    format!("{PATH}/{}", path_part(ou))
}

fn api_path(ou: &str) -> String {
    format!("{API}/{}", path_part(ou))
}

/// The quotas, each with its field and its name.
const QUOTAS: [(&str, Word); 3] =
    [("products", words::OU_PRODUCTS), ("devices", words::OU_DEVICES), ("reports", words::OU_REPORTS)];

fn of_view(quotas: &QuotasView) -> [Option<u32>; 3] {
    [quotas.products, quotas.devices, quotas.reports_per_day]
}

/// What the fields of a form say; an empty one takes the quota away. `Err`: what is no number, by its name.
fn quotas_of(form: &mut Form) -> Result<QuotasPatch, Word> {
    let mut given = [None; 3];
    for (place, (name, word)) in given.iter_mut().zip(QUOTAS) {
        let text = form.text(name).replace([',', ' '], "");
        if !text.is_empty() {
            *place = Some(text.parse::<u32>().map_err(|_| word)?);
        }
    }
    let [products, devices, reports_per_day] = given.map(Some);
    Ok(QuotasPatch { products, devices, reports_per_day })
}

async fn list(visit: Visit, Query(wanted): Query<Wanted>) -> Shown {
    visit.require(Needs::AdministerAll)?;
    page(&visit, &wanted, "", (None, None)).await
}

async fn page(
    visit: &Visit,
    wanted: &Wanted,
    name: &str,
    (said, problem): (Option<&str>, Option<&Problem>),
) -> Shown {
    let units: Page<UnitView> = visit.read(API).await?;
    let sheet = Sheet::new(Here::Users, visit.t(words::OUS));
    let sheet = sheet.with_status(problem.map_or(if said.is_some() { 422 } else { 200 }, |it| it.status));
    let columns = [words::USER_UNIT, words::STATE, words::OU_PRODUCTS, words::OU_DEVICES, words::OU_REPORTS];
    let labels = columns.map(|word| visit.t(word));
    let at = |from| with_query(PATH, &Wanted { q: String::new(), from });
    let (rows, pages) = page_of(visit, &units.items, &wanted.from, at);
    let content = html! {
        (tabs(visit, Tab::Units))
        (wrong(visit, said, problem))
        div.scroll {
            table.rows {
                thead { tr { @for label in labels { th { (label) } } } }
                tbody {
                    @for unit in rows {
                        tr data-row {
                            th scope="row" data-label=(labels[0]) {
                                a href=(path_of(&unit.ou)) { (unit.name) } " " span.soft { (unit.ou) }
                            }
                            td data-label=(labels[1]) { (state(visit, unit)) }
                            @for (quota, label) in of_view(&unit.quotas).into_iter().zip(&labels[2..]) {
                                td data-label=(label) { (any(visit, quota)) }
                            }
                        }
                    }
                }
            }
        }
        (pages)
        section.panel {
            h2 { (visit.t(words::OU_NEW)) }
            form.narrow method="post" action=(PATH) {
                (visit.token_field())
                (visit.once_field())
                label {
                    (visit.t(words::NAME))
                    input name="name" value=(name) autocomplete="off" required;
                }
                (quota_fields(visit, [None; 3]))
                p.buttons { button.first { (visit.t(words::OU_CREATE)) } }
            }
        }
    };
    Ok(visit.page(sheet, &content))
}

fn wrong(visit: &Visit, said: Option<&str>, problem: Option<&Problem>) -> Markup {
    html! {
        @if let Some(said) = said { p.alert role="alert" { (said) } }
        @if let Some(problem) = problem { (visit.problem(problem)) }
    }
}

fn state(visit: &Visit, unit: &UnitView) -> Markup {
    match unit.suspended_at {
        None => visit.word(Tone::Good, visit.t(words::OU_SERVED)),
        Some(since) => {
            html! { (visit.word(Tone::Act, visit.t(words::OU_SUSPENDED))) " " (visit.time(since)) }
        }
    }
}

fn any(visit: &Visit, quota: Option<u32>) -> String {
    quota.map_or_else(|| visit.t(words::OU_ANY).to_owned(), |quota| visit.number(u64::from(quota)))
}

fn quota_fields(visit: &Visit, values: [Option<u32>; 3]) -> Markup {
    html! {
        @for ((name, word), value) in QUOTAS.into_iter().zip(values) {
            label {
                (visit.t(word))
                input name=(name) inputmode="numeric" value=[value] placeholder=(visit.t(words::OU_ANY))
                    autocomplete="off";
            }
        }
        p.hint { (visit.t(words::OU_QUOTA_HINT)) }
    }
}

async fn create(visit: Visit, mut form: Sent) -> Shown {
    visit.require(Needs::AdministerAll)?;
    let first = Wanted::default();
    let [name, once] = ["name", ONCE].map(|name| form.text(name));
    let quotas = match quotas_of(&mut form) {
        Ok(quotas) => quotas,
        Err(field) => return page(&visit, &first, &name, (Some(&no_number(&visit, field)), None)).await,
    };
    let new = NewUnit { name, quotas };
    match visit.act::<UnitView>(Act::new(Method::POST, API).once(&once), &new).await {
        Ok(unit) => Ok(see_other(&path_of(&unit.ou))),
        Err(Trouble(problem)) => page(&visit, &first, &new.name, (None, Some(&*problem))).await,
    }
}

fn no_number(visit: &Visit, field: Word) -> String {
    visit.say(words::OU_NO_NUMBER, &[("field", visit.t(field))])
}

async fn show(visit: Visit, Path(ou): Path<String>) -> Shown {
    visit.require(Needs::AdministerAll)?;
    unit_page(&visit, &ou, None, None).await
}

async fn unit_page(visit: &Visit, ou: &str, said: Option<&str>, problem: Option<&Problem>) -> Shown {
    let (unit, tag): (UnitView, String) = visit.read_tagged(&api_path(ou)).await?;
    let status = problem.map_or(if said.is_some() { 422 } else { 200 }, |problem| problem.status);
    let content = html! {
        (head(visit, &unit))
        (wrong(visit, said, problem))
        section.panel {
            dl.facts {
                dt { (visit.t(words::OU_KEY)) } dd { (visit.copyable(&unit.ou)) }
                @if let Some(time) = unit.created_at {
                    dt { (visit.t(words::USER_SINCE)) } dd { (visit.time(time)) }
                }
                @if let Some(today) = unit.reports_today {
                    dt { (visit.t(words::OU_TODAY)) } dd { (visit.number(u64::from(today))) }
                }
            }
        }
        div.split {
            section.panel {
                h2 { (visit.t(words::OU_QUOTAS)) }
                form method="post" action=(path_of(&unit.ou)) {
                    (visit.token_field())
                    input type="hidden" name="tag" value=(tag);
                    (quota_fields(visit, of_view(&unit.quotas)))
                    p.buttons { button { (visit.t(words::USER_SAVE)) } }
                }
            }
            section.panel {
                h2 { (visit.t(words::ACTS)) }
                @if unit.suspended_at.is_some() {
                    p { (visit.t(words::OU_RESUME_HINT)) }
                    (visit.button(&(path_of(&unit.ou) + "/resume"), words::OU_RESUME))
                } @else {
                    p { (visit.t(words::OU_SUSPEND_HINT)) }
                    a.button.danger href={ (path_of(&unit.ou)) "/suspend" } { (visit.t(words::OU_SUSPEND)) }
                }
            }
        }
    };
    Ok(visit.page_with_heading(sheet(&unit).with_status(status), &content))
}

fn sheet(unit: &UnitView) -> Sheet {
    Sheet::new(Here::Users, &*unit.name)
}

fn head(visit: &Visit, unit: &UnitView) -> Markup {
    html! { div.verdict { h1 { (unit.name) } p { (state(visit, unit)) } } }
}

async fn update(visit: Visit, Path(ou): Path<String>, mut form: Sent) -> Shown {
    visit.require(Needs::AdministerAll)?;
    let (tag, path) = (form.text("tag"), api_path(&ou));
    let quotas = match quotas_of(&mut form) {
        Ok(quotas) => quotas,
        Err(field) => return unit_page(&visit, &ou, Some(&no_number(&visit, field)), None).await,
    };
    let act = Act::new(Method::PATCH, &path).if_match(&tag);
    match visit.act::<UnitView>(act, &UnitPatch { quotas }).await {
        Ok(unit) => Ok(see_other(&path_of(&unit.ou))),
        Err(Trouble(problem)) if problem.status == 404 => Err(Trouble(problem)),
        Err(Trouble(problem)) => unit_page(&visit, &ou, None, Some(&*problem)).await,
    }
}

async fn ask(visit: &Visit, ou: &str, wrong: bool) -> Shown {
    visit.require(Needs::AdministerAll)?;
    let unit: UnitView = visit.read(&api_path(ou)).await?;
    let (path, said) = (path_of(&unit.ou), wrong.then(|| visit.not_confirmed(&unit.name)));
    let confirm = Confirm {
        action: &format!("{path}/suspend"),
        does: &visit.say(words::OU_DOES_SUSPEND, &[("unit", &unit.name)]),
        name: &unit.name,
        button: words::OU_SUSPEND,
        back: &path,
        fields: html! {},
        said: said.as_deref(),
    };
    let content = html! { (head(visit, &unit)) section.panel { (visit.confirm(&confirm)) } };
    Ok(visit.page_with_heading(sheet(&unit).with_status(if wrong { 422 } else { 200 }), &content))
}

async fn ask_suspend(visit: Visit, Path(ou): Path<String>) -> Shown {
    ask(&visit, &ou, false).await
}

async fn suspend(visit: Visit, Path(ou): Path<String>, mut form: Sent) -> Shown {
    visit.require(Needs::AdministerAll)?;
    let unit: UnitView = visit.read(&api_path(&ou)).await?;
    match form.text(TYPED) == unit.name.trim() {
        true => switch(&visit, &unit.ou, "suspend").await,
        false => ask(&visit, &ou, true).await,
    }
}

async fn resume(visit: Visit, Path(ou): Path<String>) -> Shown {
    switch(&visit, &ou, "resume").await
}

async fn switch(visit: &Visit, ou: &str, act: &str) -> Shown {
    let path = format!("{}:{act}", api_path(ou));
    let unit: UnitView = visit.act(Act::new(Method::POST, &path), &()).await?;
    Ok(see_other(&path_of(&unit.ou)))
}
