//! Acts on many devices: those that were chosen, or all of a filter. They are counted first; what is to be
//! done to how many stands on a page of its own before it is done.

use axum::{
    Router,
    extract::Query,
    http::Method,
    routing::{get, post},
};
use maud::{Markup, html};
use narrowgate_api::{
    job::{BulkAction, BulkRequest, JobState, JobView},
    names::DeviceName,
};
use narrowgate_platform::{model::access::Needs, service::path_part};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Filter, jobs};
use crate::{
    console::{
        ask::{Act, with_query},
        layout::{Here, Sheet},
        parts::{Confirm, ONCE, TYPED},
        see_other,
        visit::{Sent, Shown, Visit},
        words::{self, Word},
    },
    form::Form,
};

pub(super) const PATH: &str = "/console/devices/act";
const GO: &str = "/console/devices/act/go";

pub(super) fn routes() -> Router {
    Router::new().route(PATH, get(ask).post(begin)).route(GO, post(go))
}

/// What can be done, its word in the address and in the list, and who may do it.
const ACTIONS: [(BulkAction, Word, Needs); 4] = [
    (BulkAction::Enable, words::ACT_ENABLE, Needs::Operate),
    (BulkAction::Disable, words::ACT_DISABLE, Needs::Operate),
    (BulkAction::Tag, words::ACT_TAG, Needs::Operate),
    (BulkAction::Delete, words::ACT_DELETE, Needs::Administer),
];

/// What stands in the address of the page that asks, beside the filter.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Plan {
    action: String,
    tag_key: String,
    tag_value: String,
    /// The job that counts the devices of the filter.
    job: String,
    /// Devices that were chosen, `PK/DK` each, percent-encoded, separated by blanks.
    chosen: String,
}

/// Names of its fields in forms and addresses, in the order of [`Plan::values`].
const FIELDS: [&str; 5] = ["action", "tagKey", "tagValue", "job", "chosen"];

impl Plan {
    fn take(form: &mut Form) -> Self {
        let [action, tag_key, tag_value, job, chosen] = FIELDS.map(|name| form.text(name));
        Self { action, tag_key, tag_value, job, chosen }
    }

    /// Its fields with their values.
    fn values(&self) -> [(&'static str, &str); 5] {
        let Self { action, tag_key, tag_value, job, chosen } = self;
        let mut values = [action, tag_key, tag_value, job, chosen].into_iter();
        FIELDS.map(|name| (name, values.next().map_or("", |value| &**value)))
    }

    fn action(&self) -> BulkAction {
        let found = ACTIONS.into_iter().find(|(action, ..)| action.name() == self.action);
        found.map_or(BulkAction::Enable, |(action, ..)| action)
    }

    fn devices(&self) -> Vec<DeviceName> {
        let names = self.chosen.split(' ').filter_map(|name| name.split_once('/'));
        let name = |(product, device)| {
            let [product_key, device_key] = [product, device].map(unescaped);
            DeviceName { product_key, device_key }
        };
        names.map(name).collect()
    }

    /// What the API is asked for.
    fn request(&self, filter: &Filter, visit: &Visit, dry_run: bool) -> Value {
        let devices = self.devices();
        let mut request = BulkRequest {
            action: self.action(),
            filter: devices.is_empty().then(|| filter.bulk(visit.now)),
            devices: Some(devices).filter(|devices| !devices.is_empty()),
            tags: None,
            dry_run,
        };
        let mut tags = Map::new();
        if self.action() == BulkAction::Tag {
            let value = Some(self.tag_value.clone()).filter(|value| !value.is_empty());
            tags.insert(self.tag_key.clone(), value.map_or(Value::Null, Value::String));
            request.tags = serde_json::from_value(Value::Object(tags)).ok();
        }
        serde_json::to_value(request).unwrap_or_default()
    }

    fn fields(&self) -> Markup {
        html! { @for (name, value) in self.values() { input type="hidden" name=(name) value=(value); } }
    }

    /// The address of the page that asks.
    fn path(&self, filter: &Filter) -> String {
        let mut path = with_query(PATH, &filter.first());
        let mut joint = if path.contains('?') { '&' } else { '?' };
        for (name, value) in self.values().iter().filter(|(_, value)| !value.is_empty()) {
            path += &format!("{joint}{name}={}", path_part(value));
            joint = '&';
        }
        path
    }

    fn does(&self, visit: &Visit, count: u64) -> String {
        let word = match self.action() {
            BulkAction::Enable => words::DOES_ENABLE,
            BulkAction::Disable => words::DOES_DISABLE,
            BulkAction::Delete => words::DOES_DELETE,
            BulkAction::Tag => words::DOES_TAG,
        };
        visit.count_with(word, count, &[("tag", &self.tag_key)])
    }
}

/// A key as [`path_part`] wrote it.
fn unescaped(part: &str) -> String {
    Form::of_query(Some(&format!("a={part}"))).take("a").into_text()
}

/// Below the list: what to do with those that were chosen, or with all of them.
pub(super) fn choice(visit: &Visit) -> Markup {
    html! {
        fieldset.filters {
            label {
                (visit.t(words::ACT))
                select name="action" {
                    @for (action, word, needs) in ACTIONS {
                        @if visit.may(needs) { option value=(action.name()) { (visit.t(word)) } }
                    }
                }
            }
            label { (visit.t(words::TAG_KEY)) input name="tagKey" autocomplete="off"; }
            label { (visit.t(words::TAG_VALUE)) input name="tagValue" autocomplete="off"; }
            button name="which" value="chosen" { (visit.t(words::WITH_CHOSEN)) }
            button name="which" value="all" { (visit.t(words::WITH_ALL)) }
        }
    }
}

/// From the list to the page that asks: a filter is counted on the way.
async fn begin(visit: Visit, mut form: Sent) -> Shown {
    let (filter, chosen) = (Filter::take(&mut form), form.take_all("device").join(" "));
    let mut plan = Plan { job: String::new(), chosen: String::new(), ..Plan::take(&mut form) };
    if form.text("which") == "chosen" {
        if chosen.is_empty() {
            let sheet = Sheet::new(Here::Devices, visit.t(words::BULK_TITLE)).with_status(422);
            let content = html! {
                p.alert role="alert" { (visit.t(words::BULK_NONE_CHOSEN)) }
                p { a.button href=(filter.path()) { (visit.t(words::CHOOSE_DEVICES)) } }
            };
            return Ok(visit.page(sheet, &content));
        }
        plan.chosen = chosen;
    } else {
        let act = Act::new(Method::POST, "/api/v1/devices:bulk");
        let job: JobView = visit.act(act, &plan.request(&filter, &visit, true)).await?;
        plan.job = job.id;
    }
    Ok(see_other(&plan.path(&filter)))
}

/// What it will do to how many, before it is done.
async fn ask(visit: Visit, Query(filter): Query<Filter>, Query(plan): Query<Plan>) -> Shown {
    let needs = ACTIONS.into_iter().find(|(action, ..)| *action == plan.action());
    visit.require(needs.map_or(Needs::Operate, |(.., needs)| needs))?;
    let sheet = Sheet::new(Here::Devices, visit.t(words::BULK_TITLE));
    let count = match &*plan.job {
        "" => plan.devices().len() as u64,
        id => {
            let job: JobView = visit.read(&jobs::api_path(id)).await?;
            if !job.state.has_ended() {
                let said = visit.count(words::BULK_COUNTING, job.matched);
                let content = html! {
                    (filter.chips(&visit))
                    div #counting data-live {
                        p.notice role="status" { (said) }
                        progress aria-label=(said) {}
                    }
                };
                return Ok(visit.page(sheet.refreshed_every(1), &content));
            }
            if job.state != JobState::Done {
                return Ok(see_other(&jobs::path(id)));
            }
            job.matched
        }
    };
    Ok(visit.page(sheet, &question(&visit, &filter, &plan, (count, None))))
}

fn question(visit: &Visit, filter: &Filter, plan: &Plan, (count, said): (u64, Option<&str>)) -> Markup {
    let back = filter.path();
    if count == 0 {
        return html! {
            p.notice { (visit.t(words::BULK_NOTHING)) }
            p { a.button href=(back) { (visit.t(words::CANCEL)) } }
        };
    }
    let (does, name) = (plan.does(visit, count), count.to_string());
    let confirm = Confirm {
        action: GO,
        does: &does,
        name: &name,
        button: words::BULK_GO,
        back: &back,
        fields: html! { (plan.fields()) (filter.fields()) (visit.once_field()) },
        said,
    };
    html! {
        @if plan.job.is_empty() {
            p { @for name in plan.devices() { code { (name.product_key) "/" (name.device_key) } " " } }
        } @else { (filter.chips(visit)) }
        (visit.confirm(&confirm))
    }
}

async fn go(visit: Visit, mut form: Sent) -> Shown {
    let (filter, plan) = (Filter::take(&mut form), Plan::take(&mut form));
    let (typed, once) = (form.text(TYPED), form.text(ONCE));
    let count = match &*plan.job {
        "" => plan.devices().len() as u64,
        id => visit.read::<JobView>(&jobs::api_path(id)).await?.matched,
    };
    // As it is written here, or with its commas.
    if typed.replace([',', ' '], "") != count.to_string() {
        let said = visit.not_confirmed(&count.to_string());
        let sheet = Sheet::new(Here::Devices, visit.t(words::BULK_TITLE)).with_status(422);
        return Ok(visit.page(sheet, &question(&visit, &filter, &plan, (count, Some(&said)))));
    }
    let act = Act::new(Method::POST, "/api/v1/devices:bulk").once(&once);
    let job: JobView = visit.act(act, &plan.request(&filter, &visit, false)).await?;
    Ok(see_other(&jobs::path(&job.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_in_the_address_as_it_is_in_the_form() {
        let plan = Plan {
            action: "tag".into(),
            tag_key: "a b".into(),
            tag_value: "&=".into(),
            chosen: "pk/d-1 pk/d:2".into(),
            job: String::new(),
        };
        let filter = Filter { product: "pk".into(), ..Filter::default() };
        let path = plan.path(&filter);
        assert_eq!(
            path,
            "/console/devices/act?product=pk&action=tag&tagKey=a%20b&tagValue=%26%3D\
             &chosen=pk%2Fd-1%20pk%2Fd%3A2"
        );
        let uri = path.parse().expect("it is an address");
        let Query(read): Query<Plan> = Query::try_from_uri(&uri).expect("it can be read");
        assert_eq!((&*read.tag_value, read.devices().len()), ("&=", 2));
    }
}
