//! The same act on many devices, a step at a time, and the jobs that do it.

use std::{future::poll_fn, pin::Pin, task::Poll};

use narrowgate_api::{
    device::{DeviceRow, NamedDevice},
    job::{BulkAction, JobView},
    page::Page,
    problem::Problem,
    properties::PropertiesPatch,
    query::DeviceList,
};

use super::{Named, Operator, devices::within, over::WhenOver};
use crate::{
    ids::DeviceId,
    model::property::PropertyKind,
    ports::SearchPlace,
    service::{
        error::ServiceError,
        find::{Found, id_of, intact},
        jobs::Job,
        properties::{Others, PropertiesEdit, check_patch},
        search::Members,
        view,
    },
};

const TITLE: &str = "cannot change the devices";

/// Why one of many is not changed.
const NO_MORE: &str = "the device is gone, or is not one of those that the filter has any more";

/// What becomes of a device.
type Acting<'a> = Pin<Box<dyn Future<Output = Result<Acted, ServiceError>> + 'a>>;

/// What is done to each device of many.
#[derive(Debug, Clone)]
pub struct BulkAct {
    action: BulkAction,
    tags: PropertiesPatch,
}

/// What became of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acted {
    /// It is done.
    Done,
    /// It was so already.
    Unchanged,
}

/// A device of many, as it was when it was looked at.
#[derive(Debug)]
pub struct Member {
    /// Which one. No other device ever has this id.
    pub id: DeviceId,
    /// Its organisation unit; `None`: its row is damaged.
    pub ou: Option<String>,
    /// As a list shows it.
    pub row: DeviceRow,
}

impl BulkAct {
    /// What it does.
    pub fn action(&self) -> BulkAction {
        self.action
    }
}

impl Operator {
    /// What is to be done to each of many devices.
    ///
    /// # Errors
    /// A tag is not acceptable; tags are missing, or given to an act that changes none.
    pub async fn bulk_act(
        &self,
        action: BulkAction,
        tags: Option<PropertiesPatch>,
    ) -> Result<BulkAct, Problem> {
        let invalid = |message: &str| ServiceError::Invalid { field: "tags", message: message.to_owned() };
        let checked = match (action, tags) {
            (BulkAction::Tag, Some(tags)) if !tags.0.is_empty() => {
                check_patch(PropertyKind::Tag, tags.clone()).map(|()| BulkAct { action, tags })
            }
            (BulkAction::Tag, _) => Err(invalid("must say what to change: {\"key\":\"value\"}")),
            (_, None) => Ok(BulkAct { action, tags: PropertiesPatch::default() }),
            (_, Some(_)) => Err(invalid("goes with the action tag only")),
        };
        let checked = self.tell(TITLE, None, checked).await;
        checked.map_err(|problem| within(problem, PropertyKind::Tag))
    }

    /// Does it to some devices, all of them at once, so that they are committed together; durable when it
    /// returns. What became of each, in their order.
    pub async fn act_on_all(&self, names: &[NamedDevice], act: &BulkAct) -> Vec<Result<Acted, Problem>> {
        let act_on = async |name| self.act_on(self.found(name).await?, act).await;
        self.told(names.iter().map(|name| Box::pin(act_on(name)) as _).collect()).await
    }

    /// The devices that a list has, of those that there are now.
    ///
    /// # Errors
    /// As [`Self::list_devices`].
    pub async fn members(&self, list: &DeviceList) -> Result<Members, Problem> {
        let named = list.product.as_deref().and_then(Named::product);
        self.tell("cannot list the devices", named, self.registrar.members(list).await).await
    }

    /// Some of them, from the newest to the oldest, and where the next ones begin.
    ///
    /// # Errors
    /// The store failed.
    pub async fn members_page(
        &self,
        members: &Members,
        after: Option<SearchPlace>,
        limit: usize,
    ) -> Result<(Vec<Member>, Option<SearchPlace>), Problem> {
        let page = self.registrar.members_page(members, after, limit).await;
        let (found, next) = self.tell("cannot list the devices", None, page).await?;
        let ou = |found: &Found| found.as_ref().ok().map(|device| device.ou.clone());
        let member = |found| Member { id: id_of(found), ou: ou(found), row: view::device_row(found) };
        Ok((found.iter().map(member).collect(), next))
    }

    /// As [`Self::act_on_all`], on some of many. Each is looked at again before: one that is not one of them
    /// any more stays as it is.
    pub async fn act_on_members(
        &self,
        members: &Members,
        ids: &[DeviceId],
        act: &BulkAct,
    ) -> Vec<Result<Acted, Problem>> {
        let act_on = async |id: &DeviceId| {
            let found = self.registrar.still_member(members, *id).await?;
            self.act_on(found.ok_or_else(|| ServiceError::Conflict(NO_MORE.to_owned()))?, act).await
        };
        self.told(ids.iter().map(|id| Box::pin(act_on(id)) as _).collect()).await
    }

    async fn told(&self, acts: Vec<Acting<'_>>) -> Vec<Result<Acted, Problem>> {
        let mut outcomes = Vec::with_capacity(acts.len());
        for outcome in all(acts).await {
            outcomes.push(self.tell(TITLE, None, outcome).await);
        }
        outcomes
    }

    async fn act_on(&self, found: Found, act: &BulkAct) -> Result<Acted, ServiceError> {
        match act.action {
            BulkAction::Delete => {
                let id = id_of(&found);
                let close = WhenOver::new(|| self.sessions.close_device(id, "deleted by an operator"));
                close.decide(self.registrar.delete(&found).await)?;
            }
            BulkAction::Enable | BulkAction::Disable => {
                let device = intact(found)?;
                let enabled = act.action == BulkAction::Enable;
                if device.enabled == enabled {
                    return Ok(Acted::Unchanged);
                }
                let close = || {
                    if !enabled {
                        self.sessions.close_device(device.id, "disabled by an operator");
                    }
                };
                let close = WhenOver::new(close);
                let (_, stopped) = close.decide(self.registrar.set_enabled(&device, enabled).await)?;
                self.tell_stopped(&device, &stopped);
            }
            BulkAction::Tag => {
                let device = intact(found)?;
                let (kind, others) = (PropertyKind::Tag, Others::Stay);
                let wanted = PropertiesEdit { kind, patch: act.tags.clone(), others, if_match: None };
                let (_, edit) = self.registrar.edit_properties(&device, wanted).await?;
                self.sessions.properties_edited(device.id, view::name_of(&device), edit);
            }
        }
        Ok(Acted::Done)
    }

    /// A new job, and how it is shown.
    pub fn begin_job(&self, act: &BulkAct, dry_run: bool) -> (Job, JobView) {
        self.registrar.begin_job(act.action, dry_run)
    }

    /// Jobs of the caller's unit, newest first; of all of them to a caller of all units.
    pub fn list_jobs(&self) -> Page<JobView> {
        self.registrar.jobs()
    }

    /// A job.
    ///
    /// # Errors
    /// There is none (any more), or it belongs to another unit.
    pub async fn show_job(&self, id: &str) -> Result<JobView, Problem> {
        self.tell("cannot show the job", None, self.registrar.job(id)).await
    }

    /// Ends a job behind the devices that it works on now; one that has ended stays as it is.
    ///
    /// # Errors
    /// As [`Self::show_job`].
    pub async fn cancel_job(&self, id: &str) -> Result<JobView, Problem> {
        self.tell("cannot cancel the job", None, self.registrar.cancel_job(id)).await
    }
}

/// Waits for all of them; each begins before any is waited for.
async fn all<T>(futures: Vec<Pin<Box<dyn Future<Output = T> + '_>>>) -> Vec<T> {
    let mut pending: Vec<_> = futures.into_iter().map(|future| (future, None)).collect();
    poll_fn(|context| {
        let mut is_over = true;
        for (future, outcome) in &mut pending {
            if outcome.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(done) => *outcome = Some(done),
                    Poll::Pending => is_over = false,
                }
            }
        }
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    pending.into_iter().filter_map(|(_, outcome)| outcome).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use narrowgate_api::{
        device::{NewDeviceRequest, ShownState},
        problem::Code,
        product::NewProduct,
    };

    use super::*;
    use crate::{
        ids::UnixMillis,
        memory::MemoryStore,
        ports::NobodyConnected,
        testing::{ManualClock, SeededEntropy, block_on},
    };

    fn operator() -> Operator {
        let (clock, entropy) = (Arc::new(ManualClock::new(UnixMillis(7))), Arc::new(SeededEntropy::new(1)));
        let store = Arc::new(MemoryStore::default());
        let operator = Operator::new(store, clock, entropy, Arc::new(NobodyConnected));
        let product =
            NewProduct { name: "n".into(), product_key: Some("pk".into()), ..NewProduct::default() };
        block_on(operator.create_product(product)).expect("it is new");
        for device_key in ["a", "b", "c"] {
            let new = NewDeviceRequest { device_key: Some(device_key.into()), ..NewDeviceRequest::default() };
            block_on(operator.create_device("pk", new)).expect("it is new");
        }
        operator
    }

    #[test]
    fn each_device_is_changed_once_and_each_fault_is_of_its_device() {
        let operator = operator();
        let names = ["a", "none", "b", "c"].map(|device| NamedDevice::by_keys("pk", device));
        let act = |action, tags: Option<&str>| {
            let tags = tags.map(|tags| serde_json::from_str(tags).expect("it is a patch"));
            let act = block_on(operator.bulk_act(action, tags)).expect("it is acceptable");
            let outcomes = block_on(operator.act_on_all(&names, &act));
            outcomes.into_iter().map(|outcome| outcome.map_err(|problem| problem.code)).collect::<Vec<_>>()
        };
        let [done, same, missing] = [Ok(Acted::Done), Ok(Acted::Unchanged), Err(Code::Missing)];
        assert_eq!(act(BulkAction::Enable, None), [same, missing, same, same]);
        assert_eq!(act(BulkAction::Disable, None), [done, missing, done, done]);
        assert_eq!(act(BulkAction::Disable, None), [same, missing, same, same]);
        assert_eq!(act(BulkAction::Tag, Some(r#"{"site":"north"}"#)), [done, missing, done, done]);
        let tags = block_on(operator.show_properties(&names[2], PropertyKind::Tag)).expect("it is there");
        assert_eq!(serde_json::to_string(&tags).expect("it is JSON"), r#"{"site":"north"}"#);
        assert_eq!(act(BulkAction::Delete, None), [done, missing, done, done]);
        assert_eq!(act(BulkAction::Delete, None), [missing; 4]);
    }

    #[test]
    fn a_member_is_the_device_that_there_was_and_only_as_long_as_the_filter_has_it() {
        let operator = operator();
        let name = |key: &str| NamedDevice::by_keys("pk", key);
        let create = |key: &str| {
            let new = NewDeviceRequest { device_key: Some(key.into()), ..NewDeviceRequest::default() };
            block_on(operator.create_device("pk", new)).expect("it is new");
        };
        for key in ["a", "b", "c"] {
            block_on(operator.disable_device(&name(key))).expect("it is there");
        }
        let list = DeviceList { state: Some(ShownState::Disabled), ..DeviceList::default() };
        let members = block_on(operator.members(&list)).expect("it reads");
        create("later");
        block_on(operator.disable_device(&name("later"))).expect("it is there");
        let (page, next) = block_on(operator.members_page(&members, None, 2)).expect("it reads");
        let (rest, end) = block_on(operator.members_page(&members, next, 2)).expect("it reads");
        let found: Vec<_> = page.iter().chain(&rest).map(|member| member.row.device_key()).collect();
        assert_eq!((found, end), (vec!["c", "b", "a"], None), "none that was registered later");
        let ids: Vec<_> = page.iter().chain(&rest).map(|member| member.id).collect();
        // One is wanted again, and another one has the key of one that is gone.
        block_on(operator.enable_device(&name("c"))).expect("it is there");
        block_on(operator.delete_device(&name("b"))).expect("it is there");
        create("b");
        block_on(operator.disable_device(&name("b"))).expect("it is there");
        let act = block_on(operator.bulk_act(BulkAction::Delete, None)).expect("it is acceptable");
        let outcomes = block_on(operator.act_on_members(&members, &ids, &act));
        let outcomes: Vec<_> =
            outcomes.into_iter().map(|outcome| outcome.map_err(|problem| problem.code)).collect();
        assert_eq!(outcomes, [Err(Code::Conflict), Err(Code::Conflict), Ok(Acted::Done)]);
        let left = block_on(operator.list_devices(&DeviceList::default())).expect("it reads").items;
        let left: Vec<_> = left.iter().map(DeviceRow::device_key).collect();
        assert_eq!(left, ["c", "later", "b"]);
    }

    #[test]
    fn tags_that_no_device_may_have_are_refused_before_any_is_changed() {
        let operator = operator();
        for (action, tags) in [
            (BulkAction::Tag, None),
            (BulkAction::Tag, Some("{}")),
            (BulkAction::Tag, Some(r#"{"a b":"v"}"#)),
            (BulkAction::Tag, Some(r#"{"k":7}"#)),
            (BulkAction::Disable, Some(r#"{"k":"v"}"#)),
        ] {
            let tags = tags.map(|tags| serde_json::from_str(tags).expect("it is a patch"));
            let problem = block_on(operator.bulk_act(action, tags)).expect_err("it is not acceptable");
            assert_eq!((problem.status, problem.code), (422, Code::Invalid), "{action:?}");
        }
    }
}
