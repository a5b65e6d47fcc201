//! Imports that pages have begun: each goes on behind its page, which shows how far it is.
//!
//! Limits: [`RUNS_MAX`] are remembered, [`OWN_RUNS_MAX`] of one user, each with [`FAULTS_MAX`] faults; a file
//! is kept for [`FILE_TIME_MAX`] after its dry run, and one of a user.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{Method, Request, header},
};
use futures_util::stream;
use narrowgate_api::{
    import::{ImportAnswer, ImportFault, ImportMode},
    names::UnixMillis,
    problem::Problem,
    query::ImportQuery,
};
use narrowgate_platform::service::path_part;
use tokio::{sync::oneshot, time::timeout};

use crate::{
    console::{
        ask::with_query,
        visit::{Trouble, Visit},
    },
    limiter::lock,
    shares::{Holder, Lot},
};

/// Imports that are remembered, and those of one user.
const RUNS_MAX: usize = 64;
const OWN_RUNS_MAX: usize = 8;

/// How long a file is kept after its dry run.
const FILE_TIME_MAX: Duration = Duration::from_secs(600);

/// Faults of an import that are kept, which are those that its page shows; the others are counted.
const FAULTS_MAX: usize = 100;
/// Letters of a fault, in which a file is cited.
const LETTERS_MAX: usize = 400;

/// Bytes that are given to the import at a time.
const PIECE: usize = 16 << 10;

/// What is imported.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) product: String,
    pub(super) file_name: String,
    pub(super) mode: ImportMode,
    pub(super) dry_run: bool,
}

/// An import.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: String,
    pub(super) wanted: Wanted,
    pub(super) begun_at: UnixMillis,
    pub(super) size: usize,
    holder: Holder,
    read: AtomicUsize,
    /// The file of a dry run, until it is imported, or its time is over.
    file: Mutex<Option<Kept>>,
    state: Mutex<State>,
}

/// A file. Whoever waits for the end of its time learns when it is dropped before.
#[derive(Debug)]
struct Kept {
    bytes: Bytes,
    _dropped: oneshot::Sender<Infallible>,
}

/// How far it is. A copy shares what came of it.
#[derive(Debug, Clone)]
pub(super) enum State {
    Running,
    Done(Arc<ImportAnswer>),
    Refused(Arc<Problem>),
}

impl State {
    /// Where the secrets are that were generated.
    fn secrets(&self) -> Option<&String> {
        match self {
            Self::Done(answer) => answer.secrets.as_ref(),
            Self::Refused(problem) => problem.import.as_ref()?.secrets.as_ref(),
            Self::Running => None,
        }
    }
}

/// The answer with so many faults as a page shows: one may have thousands.
fn shortened(mut answer: ImportAnswer) -> ImportAnswer {
    let rest = answer.failed.len().saturating_sub(FAULTS_MAX);
    answer.failed.truncate(FAULTS_MAX);
    answer.failed.shrink_to_fit();
    answer.more_failed += rest as u64;
    for ImportFault { column, message, .. } in &mut answer.failed {
        *message = short(message);
        *column = column.as_deref().map(short);
    }
    answer
}

fn short(text: &str) -> String {
    match text.char_indices().nth(LETTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl Run {
    pub(super) fn state(&self) -> State {
        lock(&self.state).clone()
    }

    /// Bytes that were given to the import.
    pub(super) fn read(&self) -> usize {
        self.read.load(Ordering::Relaxed).min(self.size)
    }

    /// Whether the file is there still.
    pub(super) fn has_file(&self) -> bool {
        lock(&self.file).is_some()
    }

    /// Takes the file to be imported.
    pub(super) fn take_file(&self) -> Option<Bytes> {
        lock(&self.file).take().map(|kept| kept.bytes)
    }

    /// Where the secrets are that were generated.
    pub(super) fn secrets(&self) -> Option<String> {
        lock(&self.state).secrets().cloned()
    }

    /// They were fetched, and are there no more.
    pub(super) fn forget_secrets(&self) {
        match &mut *lock(&self.state) {
            State::Done(answer) => Arc::make_mut(answer).secrets = None,
            State::Refused(problem) => {
                if let Some(answer) = &mut Arc::make_mut(problem).import {
                    answer.secrets = None;
                }
            }
            State::Running => {}
        }
    }

    fn is_running(&self) -> bool {
        matches!(*lock(&self.state), State::Running)
    }

    fn has_secrets(&self) -> bool {
        lock(&self.state).secrets().is_some()
    }

    /// It has ended with this.
    fn end(&self, ended: Result<ImportAnswer, Trouble>) {
        let state = match ended {
            Ok(answer) => State::Done(Arc::new(shortened(answer))),
            Err(Trouble(problem)) => {
                let import = problem.import.map(|answer| Box::new(shortened(*answer)));
                State::Refused(Arc::new(Problem { import, ..*problem }))
            }
        };
        *lock(&self.state) = state;
    }

    /// Who has it, as far as others are concerned: a unit, or a user of all units.
    fn lot(&self) -> Lot {
        self.holder.lot().unwrap_or(Lot::Owner)
    }
}

/// All of them, by their ids, the oldest first.
#[derive(Debug, Default)]
pub(in crate::console) struct Runs(Mutex<BTreeMap<u64, Arc<Run>>>);

impl Runs {
    /// Those of who asks, newest first.
    pub(super) fn own(&self, visit: &Visit) -> Vec<Arc<Run>> {
        let holder = Holder::of(visit.caller());
        lock(&self.0).values().rev().filter(|run| run.holder == holder).cloned().collect()
    }

    pub(super) fn find(&self, visit: &Visit, id: &str) -> Option<Arc<Run>> {
        self.own(visit).into_iter().find(|run| run.id == id)
    }

    /// Makes room for one more of who asks. `None`: all are running.
    fn add(&self, run: Run) -> Option<Arc<Run>> {
        let mut runs = lock(&self.0);
        let own: Vec<_> = runs.values().filter(|other| other.holder == run.holder).collect();
        let goes = match own.len() {
            OWN_RUNS_MAX.. => Some(first_to_go(&runs, |other| other.holder == run.holder)?),
            _ if runs.len() >= RUNS_MAX => Some(first_to_go(&runs, |_| true)?),
            _ => None,
        };
        // One file of a user is kept at a time.
        for other in own.into_iter().filter(|other| !other.is_running()) {
            drop(other.take_file());
        }
        goes.and_then(|number| runs.remove(&number));
        let number = runs.last_key_value().map_or(0, |(number, _)| number + 1);
        let run = Arc::new(run);
        runs.insert(number, Arc::clone(&run));
        Some(run)
    }

    /// Begins an import. `None`: too many are running.
    pub(super) fn begin(&self, visit: &Visit, wanted: Wanted, file: Bytes) -> Option<Arc<Run>> {
        let mut random = [0; 12];
        getrandom::fill(&mut random).ok()?;
        let (kept, dropped) = wanted.dry_run.then(|| kept(file.clone())).unzip();
        let run = self.add(Run {
            id: hex::encode(random),
            begun_at: visit.now,
            size: file.len(),
            holder: Holder::of(visit.caller()),
            read: AtomicUsize::new(0),
            file: Mutex::new(kept),
            state: Mutex::new(State::Running),
            wanted,
        })?;
        tokio::spawn(go(visit.clone(), Arc::clone(&run), file, dropped));
        Some(run)
    }
}

/// The run that makes room for another one, of those that have ended and may go: of the unit, and of the
/// user, that has most, one whose secrets nobody has to fetch, and of these the oldest. `None`: there is
/// none.
fn first_to_go(runs: &BTreeMap<u64, Arc<Run>>, may_go: impl Fn(&Run) -> bool) -> Option<u64> {
    let of_lot = |run: &Run| runs.values().filter(|other| other.lot() == run.lot()).count();
    let of_holder = |run: &Run| runs.values().filter(|other| other.holder == run.holder).count();
    let ended = runs.iter().filter(|(_, run)| !run.is_running() && may_go(run));
    let first = ended
        .max_by_key(|(number, run)| (of_lot(run), of_holder(run), !run.has_secrets(), Reverse(**number)));
    first.map(|(number, _)| *number)
}

/// A file that is kept, and what learns that it was dropped.
fn kept(bytes: Bytes) -> (Kept, oneshot::Receiver<Infallible>) {
    let (sender, dropped) = oneshot::channel();
    (Kept { bytes, _dropped: sender }, dropped)
}

async fn go(visit: Visit, run: Arc<Run>, file: Bytes, dropped: Option<oneshot::Receiver<Infallible>>) {
    run.end(import(&visit, &run, file).await);
    drop(visit);
    if let Some(dropped) = dropped {
        end_file_time(run, dropped).await;
    }
}

/// Drops the file of a run when its time is over. What waits for that does not keep the run, which may have
/// made room for others, and ends where the file is gone before.
async fn end_file_time(run: Arc<Run>, dropped: oneshot::Receiver<Infallible>) {
    let left = Arc::downgrade(&run);
    drop(run);
    if timeout(FILE_TIME_MAX, dropped).await.is_err()
        && let Some(run) = left.upgrade()
    {
        drop(run.take_file());
    }
}

/// By the API, as who asks. What is taken of the file is what is read of it.
async fn import(visit: &Visit, run: &Arc<Run>, file: Bytes) -> Result<ImportAnswer, Trouble> {
    let is_json = file.trim_ascii_start().starts_with(b"{");
    let counted = Arc::clone(run);
    let pieces = stream::unfold(file, move |mut rest| {
        let run = Arc::clone(&counted);
        async move {
            let piece = rest.split_to(PIECE.min(rest.len()));
            run.read.store(run.size - rest.len(), Ordering::Relaxed);
            (!piece.is_empty()).then_some((Ok::<_, std::io::Error>(piece), rest))
        }
    });
    let Wanted { product, mode, dry_run, .. } = &run.wanted;
    let path = format!("/api/v1/products/{}/devices:import", path_part(product));
    let request = Request::builder()
        .method(Method::POST)
        .uri(with_query(&path, &ImportQuery { dry_run: *dry_run, mode: *mode, format: None }))
        .header(header::CONTENT_TYPE, if is_json { "application/x-ndjson" } else { "text/csv" });
    visit.ask_behind(request, Body::from_stream(pieces)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shares::tests::holder;

    fn run(holder: Holder, file: Option<Kept>) -> Run {
        Run {
            id: "0".to_owned(),
            begun_at: UnixMillis(0),
            size: 14,
            holder,
            read: AtomicUsize::new(0),
            file: Mutex::new(file),
            state: Mutex::new(State::Running),
            wanted: Wanted {
                product: "pk-1".to_owned(),
                file_name: "many.csv".to_owned(),
                mode: ImportMode::Valid,
                dry_run: true,
            },
        }
    }

    /// A dry run that has ended, with what waits for the end of its file's time.
    fn tried(runs: &Runs, holder: Holder, answer: ImportAnswer) -> (Arc<Run>, tokio::task::JoinHandle<()>) {
        let (file, dropped) = kept(Bytes::from_static(b"deviceKey\nd-1\n"));
        let run = runs.add(run(holder, Some(file))).expect("the others have ended");
        run.end(Ok(answer));
        let waits = tokio::spawn(end_file_time(Arc::clone(&run), dropped));
        (run, waits)
    }

    /// An import that has ended.
    fn imported(runs: &Runs, holder: Holder, secrets: Option<&str>) -> Arc<Run> {
        let run = runs.add(run(holder, None)).expect("the others have ended");
        run.end(Ok(ImportAnswer { secrets: secrets.map(str::to_owned), ..ImportAnswer::default() }));
        run
    }

    fn faults(count: u64) -> ImportAnswer {
        let fault = |line| ImportFault { line, column: None, message: "x".repeat(1_000) };
        ImportAnswer { failed: (0..count).map(fault).collect(), ..ImportAnswer::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn dry_runs_one_after_the_other_leave_nothing_but_those_that_are_remembered() {
        let runs = Runs::default();
        let all: Vec<_> = (0..20)
            .map(|_| {
                let (run, waits) = tried(&runs, holder("eve", Some("north")), faults(10_000));
                (Arc::downgrade(&run), waits)
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let held = all.iter().filter(|(run, _)| run.upgrade().is_some()).count();
        assert_eq!(held, OWN_RUNS_MAX, "what has made room is gone");
        let waiting = all.iter().filter(|(_, waits)| !waits.is_finished()).count();
        assert_eq!(waiting, 1, "one file of a user is kept");
        let (last, waits) = all.into_iter().next_back().expect("there are some");
        let last = last.upgrade().expect("it is the newest");
        assert!(last.has_file());
        let State::Done(answer) = last.state() else { panic!("it has ended") };
        assert_eq!((answer.failed.len(), answer.more_failed), (FAULTS_MAX, 9_900));
        assert!(answer.failed.iter().all(|fault| fault.message.chars().count() == LETTERS_MAX + 1));
        waits.await.expect("the time of the file ends");
        assert!(!last.has_file());
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_imported_is_waited_for_no_more() {
        let (run, waits) = tried(&Runs::default(), holder("ann", None), ImportAnswer::default());
        assert!(run.take_file().is_some() && !run.has_file());
        timeout(Duration::from_secs(1), waits).await.expect("it ends").expect("it works");
    }

    #[test]
    fn a_loud_unit_pushes_out_its_own_imports_and_not_the_way_to_the_secrets_of_another() {
        let runs = Runs::default();
        let quiet =
            [Some("/secrets"), None].map(|secrets| imported(&runs, holder("quiet", Some("quiet")), secrets));
        for user in 0..9 {
            for _ in 0..OWN_RUNS_MAX {
                imported(&runs, holder(&format!("loud {user}"), Some("loud")), Some("/others"));
            }
        }
        let is_there = |run: &Arc<Run>| lock(&runs.0).values().any(|other| Arc::ptr_eq(other, run));
        assert!(quiet.iter().all(is_there));
        assert_eq!(lock(&runs.0).len(), RUNS_MAX);
        // Of one's own, one whose secrets are to be fetched goes last.
        for _ in 0..2 * OWN_RUNS_MAX {
            imported(&runs, holder("quiet", Some("quiet")), None);
        }
        assert!(is_there(&quiet[0]) && !is_there(&quiet[1]));
    }
}
