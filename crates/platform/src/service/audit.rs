//! The audit log: what is written, and what is read.

use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc};

use narrowgate_api::{
    access::Me,
    audit::{AuditChain, AuditChainQuery, AuditEnds, AuditEntry, AuditOutcome, AuditQuery},
    device::NamedDevice,
    page::Page as ShownPage,
    problem::Problem,
};

use super::{
    cursor::List,
    error::ServiceError,
    registrar::{Registrar, checked_limit},
    view,
};
use crate::{
    ids::DeviceName,
    paging::{DamagedRows, Place},
    ports::{AuditLog, AuditPage, AuditRead, FirmwareReads as _, NoteId},
    rules::audit::Line,
};

/// Most entries of a page.
const PAGE_MAX: usize = 1000;

/// Reads for one page, of [`crate::ports::AUDIT_READ_MAX`] entries each: where few of many are asked for, a
/// page may end before it is full.
const READS_MAX: usize = 20;

/// Most characters of a target; no key needs as many.
const TARGET_MAX: usize = 500;

/// What a caller is about to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// A stable word.
    pub action: String,
    /// The path behind `/api/v1`.
    pub target: String,
    /// The organisation unit of that.
    pub ou: Option<String>,
    /// Where it was asked for.
    pub asked: AskedFrom,
}

impl Deed {
    /// Something with a user, whose unit this is.
    pub(super) fn of_user(action: &str, name: &str, ou: Option<&str>, asked: AskedFrom) -> Self {
        let target = format!("/users/{}", path_part(name));
        Self { action: action.to_owned(), target, ou: ou.map(str::to_owned), asked }
    }
}

/// Where something was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AskedFrom {
    /// The address; `None` on the control socket, and of what the server does by itself.
    pub address: Option<IpAddr>,
    /// The request.
    pub request_id: Option<String>,
}

/// A name as a part of the path that a target is (RFC 3986, section 2.3).
pub fn path_part(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(byte.into()),
            _ => text += &format!("%{byte:02X}"),
        }
    }
    text
}

/// What a deed is done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeedTo {
    /// Nothing of a unit.
    Nothing,
    /// A product, by its key.
    Product(String),
    /// A device.
    Device(NamedDevice),
    /// An image, by its id.
    Image(String),
    /// Something that says itself to which unit it belongs; `None`: to none.
    Unit(Option<String>),
}

/// What is known of that, as far as the caller may know it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeedPlace {
    /// The keys of the device.
    pub device: Option<DeviceName>,
    /// The organisation unit.
    pub ou: Option<String>,
}

/// A deed that is noted. Where it is cut off, it is an entry of which it is not known whether it happened.
pub struct Noted {
    note: Option<NoteId>,
    /// What becomes its entry.
    pub entry: AuditEntry,
    log: Arc<dyn AuditLog>,
}

impl Drop for Noted {
    fn drop(&mut self) {
        if let Some(note) = self.note.take() {
            let entry = AuditEntry { outcome: AuditOutcome::Unknown, ..self.entry.clone() };
            // Nobody waits for it: the log writes it as it writes others.
            drop(self.log.end(Some(note), entry));
        }
    }
}

impl fmt::Debug for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Noted({:?})", self.entry)
    }
}

impl Noted {
    /// What became of it, where no answer of HTTP says so.
    #[must_use]
    pub fn ended<T>(mut self, outcome: &Result<T, Problem>) -> Self {
        self.entry.outcome = match outcome {
            Ok(_) => AuditOutcome::Done,
            // It may come after the change.
            Err(problem) if problem.status >= 500 => AuditOutcome::Unknown,
            Err(_) => AuditOutcome::Failed,
        };
        if let Err(problem) = outcome {
            self.entry.status = Some(problem.status);
            self.entry.code = problem.code.word();
        }
        self
    }
}

impl Registrar {
    /// Where something belongs; nothing where it is not found.
    pub(super) async fn deed_place(&self, to: &DeedTo) -> DeedPlace {
        let of_unit = |ou| DeedPlace { device: None, ou };
        match to {
            DeedTo::Nothing => DeedPlace::default(),
            DeedTo::Unit(ou) => of_unit(ou.clone()),
            DeedTo::Product(key) => of_unit(self.unit_of(key).await),
            DeedTo::Device(name) => {
                let (first, second) = name.parts();
                match self.resolve(first, second).await {
                    Ok(device) => {
                        let (product_key, device_key) = (device.product_key, device.device_key);
                        DeedPlace {
                            device: Some(DeviceName { product_key, device_key }),
                            ou: Some(device.ou),
                        }
                    }
                    Err(_) => of_unit(match &name.product {
                        Some(product) => self.unit_of(product).await,
                        None => None,
                    }),
                }
            }
            DeedTo::Image(id) => {
                let Ok(id) = id.parse() else { return DeedPlace::default() };
                match self.registry.image(id).await {
                    Ok(Some(image)) => of_unit(self.unit_of(&image.product_key).await),
                    _ => DeedPlace::default(),
                }
            }
        }
    }

    async fn unit_of(&self, product_key: &str) -> Option<String> {
        let product = self.registry.product(product_key).await;
        product.ok().flatten().map(|product| product.ou)
    }

    /// A deed of the caller's that is not noted.
    pub(super) fn deed(&self, deed: Deed, Me { token, user, ou: caller_ou, role: _ }: Me) -> Noted {
        let Deed { action, target, ou, asked: AskedFrom { address, request_id } } = deed;
        let entry = AuditEntry {
            seq: 0,
            // Not that of arrivals alone, which goes on from before a leap.
            time: self.latest(),
            user,
            token,
            caller_ou,
            address: address.map(|address| address.to_canonical().to_string()),
            action,
            target: shortened(target),
            ou,
            outcome: AuditOutcome::Unknown,
            status: None,
            code: None,
            detail: BTreeMap::new(),
            left_out: None,
            request_id,
            hash: String::new(),
        };
        Noted { note: None, entry, log: Arc::clone(&self.audit) }
    }

    /// Notes it: durable before it is done.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn note_deed(&self, deed: Deed, who: Me) -> Result<Noted, ServiceError> {
        let mut noted = self.deed(deed, who);
        noted.note = Some(self.audit.begin(noted.entry.clone()).await?);
        Ok(noted)
    }

    /// Appends the entry.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn end_deed(&self, mut noted: Noted) -> Result<(), ServiceError> {
        let (note, entry) = (noted.note.take(), noted.entry.clone());
        let target = shortened(entry.target);
        Ok(self.audit.end(note, AuditEntry { target, ..entry }).await?)
    }

    /// A page of entries, newest first: those of the caller's unit.
    ///
    /// # Errors
    /// `Invalid`.
    pub(super) async fn audit_entries(
        &self,
        query: &AuditQuery,
    ) -> Result<ShownPage<AuditEntry>, ServiceError> {
        let limit = checked_limit(query.limit, PAGE_MAX)?;
        if let (Some(from), Some(to)) = (query.from, query.to)
            && to < from
        {
            return Err(ServiceError::Invalid { field: "to", message: "lies before from".to_owned() });
        }
        let place = query.cursor.as_deref().map(|cursor| self.audit_place(cursor)).transpose()?;
        let mut before = place.map(|place| place.0[0].cast_unsigned());
        let (mut items, mut damaged) = (Vec::new(), DamagedRows::default());
        for _ in 0..READS_MAX {
            let page = self.audit.read(AuditRead::Newest { before }).await?;
            if page.lines.is_empty() {
                before = None;
                break;
            }
            for line in &page.lines {
                if items.len() == limit {
                    break;
                }
                before = Some(line.seq);
                self.take_entry(line, query, &mut items, &mut damaged);
            }
            if items.len() == limit {
                break;
            }
        }
        let next_cursor = before.map(|seq| self.audit_cursor(Place([seq.cast_signed(), 0, 0, 0])));
        Ok(ShownPage { items, next_cursor, damaged: view::left_out(damaged) })
    }

    /// Where a page ends. Numbers of entries count the deeds of all units, so a unit does not see them.
    fn audit_cursor(&self, place: Place) -> String {
        match self.caller.unit() {
            Some(_) => self.seals.seal(&List::Audit.head(), place, &*self.entropy),
            None => List::Audit.cursor(place),
        }
    }

    fn audit_place(&self, cursor: &str) -> Result<Place, ServiceError> {
        match self.caller.unit() {
            Some(_) => self.seals.open(&List::Audit.head(), cursor, &*self.entropy),
            None => List::Audit.place(cursor),
        }
    }

    /// Takes an entry that the caller may see and has asked for.
    fn take_entry(
        &self,
        line: &Line,
        query: &AuditQuery,
        items: &mut Vec<AuditEntry>,
        damaged: &mut DamagedRows,
    ) {
        let own = self.caller.unit();
        match line.entry() {
            Some(entry) if is_of(&entry, own) && is_asked_for(&entry, query) => {
                items.push(match own {
                    Some(own) => shown_to(own, entry),
                    None => entry,
                });
            }
            Some(_) => {}
            None if own.is_none() => {
                damaged.add(format!("entry {} of the audit log is not as it was written", line.seq));
            }
            None => {}
        }
    }

    /// A part of the chain.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn audit_chain(&self, query: AuditChainQuery) -> Result<AuditChain, ServiceError> {
        let page = self.audit.read(AuditRead::Behind(query.after.unwrap_or(0))).await?;
        let AuditPage { lines, begin, end, noted } = page;
        Ok(AuditChain {
            lines: lines.iter().map(Line::shown).collect(),
            ends: AuditEnds { end: end.shown(), pruned: begin.count, anchor: begin.head.to_string() },
            noted: noted.map(|noted| noted.shown()),
        })
    }
}

/// What an administrator of one unit sees of an entry: not its number, which counts the deeds of all units,
/// nor its hash, nor from where somebody asked who is not of the unit.
fn shown_to(unit: &str, entry: AuditEntry) -> AuditEntry {
    let is_own = entry.caller_ou.as_deref() == Some(unit);
    let address = entry.address.filter(|_| is_own);
    AuditEntry { seq: 0, hash: String::new(), address, ..entry }
}

/// Whether an entry is of a unit: of its caller, or of what was changed.
fn is_of(entry: &AuditEntry, unit: Option<&str>) -> bool {
    unit.is_none_or(|unit| [&entry.ou, &entry.caller_ou].iter().any(|ou| ou.as_deref() == Some(unit)))
}

fn is_asked_for(entry: &AuditEntry, query: &AuditQuery) -> bool {
    let AuditQuery { from, to, actor, action, target, limit: _, cursor: _ } = query;
    let is_action = |action: &String| {
        let rest = entry.action.strip_prefix(action.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    from.is_none_or(|from| entry.time >= from)
        && to.is_none_or(|to| entry.time < to)
        && actor.as_ref().is_none_or(|actor| [&entry.user, &entry.token].contains(&&Some(actor.clone())))
        && action.as_ref().is_none_or(is_action)
        && target.as_ref().is_none_or(|target| entry.target.starts_with(target.as_str()))
}

fn shortened(target: String) -> String {
    match target.char_indices().nth(TARGET_MAX) {
        Some((at, _)) => format!("{}…", &target[..at]),
        None => target,
    }
}

#[cfg(test)]
mod tests;
