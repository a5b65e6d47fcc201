//! The parts of products that every report needs: kept in memory, read again after a change.
//!
//! A product that is being read is read once, however many requests wait for it. One whose script could not
//! be read stays in memory, for all that needs no script, and is read again beside that. One that is gone is
//! forgotten: its sessions are closed, and nobody gets a new one. Limits: [`READS_MAX`] at the same time;
//! [`READ_AGAIN`] until what could not be read is read again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_engine::event::SessionId;
use narrowgate_platform::{
    model::{
        product::{ContentCode, DataFormat, Profile},
        retention::RetentionClass,
        thing_model::ThingModel,
    },
    ports::{Script, StoreError},
    rules::rate::Seldom,
};

use crate::{
    ERRORS_EVERY,
    desk::Reach,
    effect::{Effect, ProductRead},
    outbox::{Line, Outbox, Pending},
    quotas::ReportQuota,
};

/// Products that are read at the same time. The others wait in their order, no more than there are products.
const READS_MAX: usize = 64;
/// A product that changed and could not be read, or whose script could not be, is read again after this time.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// A product as the data path sees it.
#[derive(Debug)]
pub(crate) struct CachedProduct {
    /// What its devices may report; `None`: anything.
    pub(crate) model: Option<ThingModel>,
    /// Why its devices may not be connected; see [`Self::off`].
    off: Option<Off>,
    /// How long what they report is kept.
    pub(crate) retention: RetentionClass,
    /// How patient the server is with them.
    pub(crate) profile: Profile,
    /// Whether they may use short paths.
    pub(crate) short_paths: bool,
    /// The code that answers their GETs.
    pub(crate) content_code: ContentCode,
    /// Where they may speak bytes.
    pub(crate) custom: Option<Custom>,
    /// How many reports their organisation unit may send in a day; `None`: any number.
    pub(crate) quota: Option<ReportQuota>,
}

/// Why the devices of a product may not be connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Off {
    /// It is switched off or gone, or its model cannot be read.
    Product,
    /// Its organisation unit is suspended.
    Unit,
}

impl Off {
    /// Why a device is offline, for its log.
    pub(crate) fn cause(self) -> &'static str {
        match self {
            Self::Product => "closed: its product was switched off",
            Self::Unit => "closed: its organisation unit was suspended",
        }
    }
}

/// What reads and writes the bytes of a product's devices.
#[derive(Debug)]
pub(crate) struct Custom {
    /// `None`: no script is published. `Err`: the store could not read it.
    pub(crate) script: Result<Option<Script>, ()>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Products {
    known: BTreeMap<String, Arc<CachedProduct>>,
    reading: BTreeMap<String, Reading>,
    reads: Line<String>,
    later: Later,
    errors: Errors,
}

/// Products that are to be read again, each once.
#[derive(Debug, Default)]
struct Later {
    due: BTreeSet<(Instant, String)>,
    of: BTreeMap<String, (Instant, Again)>,
}

/// Why a product is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Again {
    /// Its script could not be read; the rest of it is in use.
    Script,
    /// It changed, and could not be read.
    Change,
}

/// Seldom, each: a product that cannot be read is read every second.
#[derive(Debug)]
struct Errors {
    product: Seldom,
    script: Seldom,
    model: Seldom,
}

/// A product that is being read.
#[derive(Debug, Default)]
struct Reading {
    /// It changed since it was asked for: what is read must not be used.
    stale: bool,
    /// Its sessions end if it is switched off.
    closing: bool,
    /// The profile that its sessions have; `None`: not known, or they may differ.
    profile: Option<Profile>,
    /// What its devices spoke when it was known last.
    speaks: DataFormat,
    /// Sessions with requests that wait for it, in the order of their first requests.
    waiting: Vec<SessionId>,
}

/// The result of a read.
#[derive(Debug)]
pub(crate) struct Read {
    /// `None`: the store could not read it.
    pub(crate) product: Option<Arc<CachedProduct>>,
    /// Sessions with requests that have waited for it.
    pub(crate) waiting: Vec<SessionId>,
    /// What that does to the sessions of the product.
    pub(crate) reach: Option<Reach>,
}

impl Products {
    pub(crate) fn new() -> Self {
        Self {
            known: BTreeMap::new(),
            reading: BTreeMap::new(),
            reads: Line::new(READS_MAX),
            later: Later::default(),
            errors: Errors::new(),
        }
    }

    /// The product, where it is in memory.
    pub(crate) fn find(&self, product_key: &str) -> Option<&Arc<CachedProduct>> {
        self.known.get(product_key)
    }

    /// What the devices of a product speak. While it is read after a change, that is what they did before.
    pub(crate) fn data_format(&self, product_key: &str) -> DataFormat {
        let known = self.known.get(product_key).map(|product| product.data_format());
        let before = || self.reading.get(product_key).map(|reading| reading.speaks);
        known.or_else(before).unwrap_or_default()
    }

    /// Notes a session that waits for a product that is not in memory.
    pub(crate) fn wait(&mut self, out: &mut Outbox, product_key: &str, session: SessionId) {
        self.read_once(out, product_key).waiting.push(session);
    }

    /// Its model or its switches changed: the next access reads the store, and so does this.
    pub(crate) fn change(&mut self, out: &mut Outbox, product_key: &str) {
        let former = self.known.remove(product_key);
        let was_reading = self.reading.contains_key(product_key);
        let reading = self.read_once(out, product_key);
        reading.stale = was_reading;
        reading.closing = true;
        reading.speaks = former.as_ref().map_or(reading.speaks, |former| former.data_format());
        // While it is read, sessions begin with either profile; and those that were to be closed may stay.
        let is_sure = |former: &Arc<CachedProduct>| former.off.is_none() && !was_reading;
        reading.profile = former.filter(is_sure).map(|former| former.profile);
    }

    /// A read is answered. `None` where it has to be repeated, since the product changed meanwhile.
    pub(crate) fn read(
        &mut self,
        out: &mut Outbox,
        now: Instant,
        product_key: &str,
        answer: Result<Option<ProductRead>, StoreError>,
    ) -> Option<Read> {
        self.reads.leave();
        let mut reading = self.reading.remove(product_key)?;
        let read = if std::mem::take(&mut reading.stale) {
            self.reading.insert(product_key.to_owned(), reading);
            self.reads.enter(product_key.to_owned());
            None
        } else {
            Some(self.take_up(now, product_key, reading, answer))
        };
        self.ask(out);
        read
    }

    fn take_up(
        &mut self,
        now: Instant,
        product_key: &str,
        reading: Reading,
        answer: Result<Option<ProductRead>, StoreError>,
    ) -> Read {
        let Reading { closing, waiting, profile, .. } = reading;
        match answer {
            Ok(product) => {
                let is_gone = product.is_none();
                let product = Arc::new(self.errors.cached(now, product_key, product));
                if product.lacks_script() {
                    self.later.put(now + READ_AGAIN, product_key, Again::Script);
                }
                if is_gone {
                    // A product may be read again after a script that could not be, without a change.
                    self.known.remove(product_key);
                } else {
                    self.known.insert(product_key.to_owned(), Arc::clone(&product));
                }
                let reach = match product.off {
                    _ if !closing => None,
                    Some(off) => Some(Reach::CloseAll(off)),
                    None if profile == Some(product.profile) => None,
                    None => Some(Reach::Profile(product.profile)),
                };
                Read { product: Some(product), waiting, reach }
            }
            Err(error) => {
                if let Some(left_out) = self.errors.product.permit(now) {
                    tracing::error!(product_key, %error, left_out, "the store cannot read a product");
                }
                if closing {
                    // Nobody is disconnected on a guess: requests read the product again, and this is tried
                    // again.
                    self.later.put(now + READ_AGAIN, product_key, Again::Change);
                } else if self.known.get(product_key).is_some_and(|known| known.lacks_script()) {
                    self.later.put(now + READ_AGAIN, product_key, Again::Script);
                }
                Read { product: None, waiting, reach: None }
            }
        }
    }

    /// When [`Self::handle_timeout`] is due next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.later.due.first().map(|(at, _)| *at)
    }

    /// Reads again what could not be read.
    pub(crate) fn handle_timeout(&mut self, out: &mut Outbox, now: Instant) {
        while let Some((product_key, why)) = self.later.take(now) {
            match why {
                Again::Change => self.change(out, &product_key),
                // What is in memory serves on until then, and no session ends: nothing has changed.
                Again::Script => {
                    self.read_once(out, &product_key);
                }
            }
        }
    }

    /// What is noted of a read that is under way, or begins now.
    fn read_once(&mut self, out: &mut Outbox, product_key: &str) -> &mut Reading {
        if !self.reading.contains_key(product_key) {
            self.reads.enter(product_key.to_owned());
            self.ask(out);
        }
        self.reading.entry(product_key.to_owned()).or_default()
    }

    fn ask(&mut self, out: &mut Outbox) {
        while let Some(product_key) = self.reads.poll() {
            let pending = Pending::Product(product_key.clone());
            out.ask(pending, |token| Effect::Product(token, product_key));
        }
    }
}

impl CachedProduct {
    /// Why its devices may not be connected; `None`: they may.
    pub(crate) fn off(&self) -> Option<Off> {
        self.off
    }

    /// What its devices speak.
    fn data_format(&self) -> DataFormat {
        if self.custom.is_some() { DataFormat::Custom } else { DataFormat::Json }
    }

    /// Whether its script could not be read.
    fn lacks_script(&self) -> bool {
        self.custom.as_ref().is_some_and(|custom| custom.script.is_err())
    }
}

impl Later {
    /// Notes a product. One that is noted already keeps its time, and the stronger reason.
    fn put(&mut self, at: Instant, product_key: &str, why: Again) {
        match self.of.get_mut(product_key) {
            Some((_, noted)) => *noted = why.max(*noted),
            None => {
                self.due.insert((at, product_key.to_owned()));
                self.of.insert(product_key.to_owned(), (at, why));
            }
        }
    }

    /// The next one whose time has come.
    fn take(&mut self, now: Instant) -> Option<(String, Again)> {
        self.due.first().filter(|(at, _)| *at <= now)?;
        let (_, product_key) = self.due.pop_first()?;
        let (_, why) = self.of.remove(&product_key)?;
        Some((product_key, why))
    }
}

impl Errors {
    fn new() -> Self {
        let seldom = || Seldom::new(ERRORS_EVERY);
        Self { product: seldom(), script: seldom(), model: seldom() }
    }

    /// What is kept of a product. One that is gone, or whose model cannot be read, counts as switched off.
    fn cached(&mut self, now: Instant, product_key: &str, read: Option<ProductRead>) -> CachedProduct {
        let mut cached = CachedProduct {
            model: None,
            off: Some(Off::Product),
            retention: RetentionClass::STANDARD,
            profile: Profile::Default,
            short_paths: false,
            content_code: ContentCode::Content,
            custom: None,
            quota: None,
        };
        let Some(ProductRead { product, script, unit }) = read else { return cached };
        cached.quota = unit.as_deref().and_then(ReportQuota::of);
        if product.data_format == DataFormat::Custom {
            let script = script.map(|source| source.map(|source| Script::new(product_key, source)));
            let script = script.map_err(|error| {
                if let Some(left_out) = self.script.permit(now) {
                    let said = "the script of a product cannot be read: until it can, bytes get 5.03";
                    tracing::error!(product_key, %error, left_out, "{said}");
                }
            });
            cached.custom = Some(Custom { script });
        }
        let switched_off = (!product.enabled).then_some(Off::Product);
        cached.off = if product.is_suspended { Some(Off::Unit) } else { switched_off };
        cached.retention = product.retention;
        cached.profile = product.profile;
        cached.short_paths = product.short_paths;
        cached.content_code = product.content_code;
        if let Some(json) = &product.model_json {
            match ThingModel::parse(json) {
                Ok(model) => cached.model = Some(model),
                Err(error) => {
                    if let Some(left_out) = self.model.permit(now) {
                        let said = "the stored thing model cannot be read";
                        tracing::error!(product_key, %error, left_out, "{said}");
                    }
                    cached.off = cached.off.or(Some(Off::Product));
                }
            }
        }
        cached
    }
}
