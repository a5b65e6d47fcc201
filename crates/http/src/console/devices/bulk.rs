//! Acts on many devices: those that were chosen, or all of a filter. They are counted first; what is to be
//! done to how many stands on a page of its own before it is done.
//!
//! What is asked is what is done: act, filter and count go through the browser with a
//! [`seal`](super::super::seal), a filter by the time has the time of the count, and the API changes no more
//! devices than were counted.

use axum::{
    Router,
    extract::Query,
    http::Method,
    response::Response,
    routing::{get, post},
};
use maud::{Markup, html};
use narrowgate_api::{
    job::{BulkAction, BulkRequest, DeviceFilter, JobState, JobView},
    names::{DeviceName, UnixMillis},
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
        seal::SEAL,
        see_other,
        visit::{Sent, Shown, Trouble, Visit},
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

/// A page whose address would be longer is the answer to its form: browsers send it twice, as `Referer` too.
const ADDRESS_BYTES_MAX: usize = 4096;

/// What stands in the address of the page that asks, beside the filter.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Plan {
    action: String,
    tag_key: String,
    tag_value: String,
    /// The job that counts the devices of the filter.
    job: String,
    /// Of a filter by the time: last heard before this one.
    before: String,
    /// Devices that were chosen, `PK/DK` each, percent-encoded, separated by blanks.
    chosen: String,
    /// Of all of these and of the filter.
    seal: String,
}

/// A plan that is known, and what it is about.
struct Meant<'a> {
    plan: &'a Plan,
    filter: &'a Filter,
    action: BulkAction,
}

impl Plan {
    /// What somebody wants; nothing is counted yet.
    fn take(form: &mut Form) -> Self {
        let [action, tag_key, tag_value] = ["action", "tagKey", "tagValue"].map(|name| form.text(name));
        Self { action, tag_key, tag_value, ..Self::default() }
    }

    /// What somebody was asked.
    fn take_sealed(form: &mut Form) -> Self {
        let [job, before, chosen, seal] = ["job", "before", "chosen", SEAL].map(|name| form.text(name));
        Self { job, before, chosen, seal, ..Self::take(form) }
    }

    fn action(&self) -> Option<(BulkAction, Needs)> {
        let found = ACTIONS.into_iter().find(|(action, ..)| action.name() == self.action);
        found.map(|(action, _, needs)| (action, needs))
    }

    fn devices(&self) -> Vec<DeviceName> {
        let names = self.chosen.split(' ').filter_map(|name| name.split_once('/'));
        let name = |(product, device)| {
            let [product_key, device_key] = [product, device].map(unescaped);
            DeviceName { product_key, device_key }
        };
        names.map(name).collect()
    }

    /// All but the seal, each with its name.
    fn values(&self) -> [(&'static str, &str); 6] {
        [
            ("action", &self.action),
            ("tagKey", &self.tag_key),
            ("tagValue", &self.tag_value),
            ("job", &self.job),
            ("before", &self.before),
            ("chosen", &self.chosen),
        ]
    }

    fn sealed(self, visit: &Visit, filter: &Filter) -> Self {
        let seal = visit.seal(&[&filter.values()[..], &self.values()].concat());
        Self { seal, ..self }
    }

    /// What is meant; else what is to be said: it is not known, or nobody was asked this.
    ///
    /// # Errors
    /// Who asks may not do it.
    fn meant<'a>(&'a self, visit: &Visit, filter: &'a Filter) -> Result<Result<Meant<'a>, Word>, Trouble> {
        let Some((action, needs)) = self.action() else { return Ok(Err(words::BULK_UNKNOWN)) };
        visit.require(needs)?;
        let is_asked = visit.is_sealed(&[&filter.values()[..], &self.values()].concat(), &self.seal);
        Ok(if is_asked { Ok(Meant { plan: self, filter, action }) } else { Err(words::BULK_NOT_ASKED) })
    }

    fn fields(&self) -> Markup {
        html! {
            @for (name, value) in self.values() { input type="hidden" name=(name) value=(value); }
            input type="hidden" name=(SEAL) value=(self.seal);
        }
    }

    /// The address of the page that asks.
    fn path(&self, filter: &Filter) -> String {
        let mut path = with_query(PATH, &filter.first());
        let mut joint = if path.contains('?') { '&' } else { '?' };
        let values = self.values().into_iter().chain([(SEAL, &*self.seal)]);
        for (name, value) in values.filter(|(_, value)| !value.is_empty()) {
            path += &format!("{joint}{name}={}", path_part(value));
            joint = '&';
        }
        path
    }
}

impl Meant<'_> {
    /// What the API is asked for. `None`: to count them.
    fn request(&self, matched_max: Option<u64>) -> Value {
        let Self { plan, filter, action } = self;
        let is_chosen = !plan.chosen.is_empty();
        let of_filter = || DeviceFilter {
            seen_before: plan.before.parse().ok().map(UnixMillis),
            ..filter.bulk(UnixMillis(0))
        };
        let mut request = BulkRequest {
            action: *action,
            filter: (!is_chosen).then(of_filter),
            devices: is_chosen.then(|| plan.devices()),
            tags: None,
            dry_run: matched_max.is_none(),
            matched_max,
        };
        let mut tags = Map::new();
        if *action == BulkAction::Tag {
            let value = Some(plan.tag_value.clone()).filter(|value| !value.is_empty());
            tags.insert(plan.tag_key.clone(), value.map_or(Value::Null, Value::String));
            request.tags = serde_json::from_value(Value::Object(tags)).ok();
        }
        serde_json::to_value(request).unwrap_or_default()
    }

    fn does(&self, visit: &Visit, count: u64) -> String {
        let word = match self.action {
            BulkAction::Enable => words::DOES_ENABLE,
            BulkAction::Disable => words::DOES_DISABLE,
            BulkAction::Delete => words::DOES_DELETE,
            BulkAction::Tag => words::DOES_TAG,
        };
        visit.count_with(word, count, &[("tag", &self.plan.tag_key)])
    }

    /// How many they are; the job that counts them, where it has not come to its end.
    async fn count(&self, visit: &Visit) -> Result<Result<u64, JobView>, Trouble> {
        match &*self.plan.job {
            "" => Ok(Ok(self.plan.devices().len() as u64)),
            id => {
                let job: JobView = visit.read(&jobs::api_path(id)).await?;
                Ok(if job.state == JobState::Done { Ok(job.matched) } else { Err(job) })
            }
        }
    }
}

/// A page which says why nothing was asked or done, with the way to the list.
fn refused(visit: &Visit, filter: &Filter, word: Word) -> Response {
    let sheet = Sheet::new(Here::Devices, visit.t(words::BULK_TITLE)).with_status(422).back_to(filter.path());
    let content = html! {
        p.alert role="alert" { (visit.t(word)) }
        p { a.button href=(filter.path()) { (visit.t(words::CHOOSE_DEVICES)) } }
    };
    visit.page(sheet, &content)
}

/// A key as [`path_part`] wrote it.
fn unescaped(part: &str) -> String {
    Form::of_query(Some(&format!("a={part}"))).take("a").into_text()
}

/// Below the list: what to do with those that were chosen, or with all of them.
pub(super) fn choice(visit: &Visit, filter: &Filter) -> Markup {
    let all = if filter.is_any() { words::WITH_EVERY } else { words::WITH_ALL };
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
            button name="which" value="all" { (visit.t(all)) }
        }
    }
}

/// From the list to the page that asks: a filter is counted on the way.
async fn begin(visit: Visit, mut form: Sent) -> Shown {
    let (filter, chosen) = (Filter::take(&mut form), form.take_all("device").join(" "));
    let mut plan = Plan::take(&mut form);
    if let Some(said) = filter.unknown(&visit) {
        return Ok(super::not_understood(&visit, &filter, &said));
    }
    let Some((action, _)) = plan.action() else {
        return Ok(refused(&visit, &filter, words::BULK_UNKNOWN));
    };
    if form.text("which") == "chosen" {
        if chosen.is_empty() {
            return Ok(refused(&visit, &filter, words::BULK_NONE_CHOSEN));
        }
        plan.chosen = chosen;
    } else {
        let before = filter.bulk(visit.now).seen_before;
        plan.before = before.map(|UnixMillis(time)| time.to_string()).unwrap_or_default();
        let counts = Meant { plan: &plan, filter: &filter, action }.request(None);
        let job: JobView = visit.act(Act::new(Method::POST, "/api/v1/devices:bulk"), &counts).await?;
        plan.job = job.id;
    }
    let plan = plan.sealed(&visit, &filter);
    let path = plan.path(&filter);
    if path.len() > ADDRESS_BYTES_MAX {
        return shown(&visit, &filter, &plan).await;
    }
    Ok(see_other(&path))
}

/// What it will do to how many, before it is done.
async fn ask(visit: Visit, Query(filter): Query<Filter>, Query(plan): Query<Plan>) -> Shown {
    shown(&visit, &filter, &plan).await
}

async fn shown(visit: &Visit, filter: &Filter, plan: &Plan) -> Shown {
    let meant = match plan.meant(visit, filter)? {
        Ok(meant) => meant,
        Err(word) => return Ok(refused(visit, filter, word)),
    };
    let sheet = Sheet::new(Here::Devices, visit.t(words::BULK_TITLE)).back_to(filter.path());
    let (sheet, content) = match meant.count(visit).await? {
        Ok(count) => (sheet, question(visit, &meant, (count, None))),
        Err(job) if job.state.has_ended() => return Ok(see_other(&jobs::path(&job.id))),
        Err(job) => {
            let said = visit.count(words::BULK_COUNTING, job.matched);
            let content = html! {
                (filter.chips(visit))
                p.notice role="status" { (said) }
                progress aria-label=(said) {}
            };
            (sheet.refreshed_every(1), content)
        }
    };
    // One part, so that the question takes the place of the count.
    Ok(visit.page(sheet, &html! { div #counting data-live { (content) } }))
}

fn question(visit: &Visit, meant: &Meant<'_>, (count, said): (u64, Option<&str>)) -> Markup {
    let Meant { plan, filter, .. } = meant;
    let back = filter.path();
    if count == 0 {
        return html! {
            p.notice { (visit.t(words::BULK_NOTHING)) }
            p { a.button href=(back) { (visit.t(words::CANCEL)) } }
        };
    }
    let (does, name) = (meant.does(visit, count), count.to_string());
    let confirm = Confirm {
        action: GO,
        does: &does,
        name: &name,
        button: match meant.action {
            BulkAction::Enable => words::SWITCH_ON,
            BulkAction::Disable => words::SWITCH_OFF,
            BulkAction::Delete => words::DELETE,
            BulkAction::Tag => words::ACT_TAG_GO,
        },
        back: &back,
        fields: html! { (plan.fields()) (filter.fields()) (visit.once_field()) },
        said,
    };
    html! {
        @if plan.job.is_empty() {
            p { @for name in plan.devices() { code { (name.product_key) "/" (name.device_key) } " " } }
        } @else { (filter.chips(visit)) }
        section.panel { (visit.confirm(&confirm)) }
    }
}

async fn go(visit: Visit, mut form: Sent) -> Shown {
    let (filter, plan) = (Filter::take(&mut form), Plan::take_sealed(&mut form));
    let (typed, once) = (form.text(TYPED), form.text(ONCE));
    let meant = match plan.meant(&visit, &filter)? {
        Ok(meant) => meant,
        Err(word) => return Ok(refused(&visit, &filter, word)),
    };
    let count = match meant.count(&visit).await? {
        Ok(count) => count,
        Err(job) => return Ok(see_other(&jobs::path(&job.id))),
    };
    // As it is written here, or with its commas.
    if typed.replace([',', ' '], "") != count.to_string() {
        let said = visit.not_confirmed(&count.to_string());
        let sheet = Sheet::new(Here::Devices, visit.t(words::BULK_TITLE)).with_status(422);
        let sheet = sheet.back_to(filter.path());
        return Ok(visit.page(sheet, &question(&visit, &meant, (count, Some(&said)))));
    }
    let act = Act::new(Method::POST, "/api/v1/devices:bulk").once(&once);
    let job: JobView = visit.act(act, &meant.request(Some(count))).await?;
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
            ..Plan::default()
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
