//! Imports that pages have begun: each goes on behind its page, which shows how far it is.

use std::{
    collections::BTreeMap,
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
    import::{ImportAnswer, ImportMode},
    names::UnixMillis,
    problem::Problem,
    query::ImportQuery,
};
use narrowgate_platform::service::path_part;

use crate::{
    console::{
        ask::with_query,
        visit::{Trouble, Visit},
    },
    limiter::lock,
    shares::Holder,
};

/// Imports that are remembered, and those of one user.
const RUNS_MAX: usize = 64;
const OWN_RUNS_MAX: usize = 8;

/// How long a file is kept after its dry run.
const FILE_TIME_MAX: Duration = Duration::from_secs(600);

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
    /// The file, until it is imported, or its time is over.
    file: Mutex<Option<Bytes>>,
    state: Mutex<State>,
}

/// How far it is.
#[derive(Debug, Clone)]
pub(super) enum State {
    Running,
    Done(Box<ImportAnswer>),
    Refused(Box<Problem>),
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
        lock(&self.file).take()
    }

    /// Where the secrets are that were generated.
    pub(super) fn secrets(&self) -> Option<String> {
        match self.state() {
            State::Done(answer) => answer.secrets,
            State::Refused(problem) => problem.import.and_then(|answer| answer.secrets),
            State::Running => None,
        }
    }

    /// They were fetched, and are there no more.
    pub(super) fn forget_secrets(&self) {
        match &mut *lock(&self.state) {
            State::Done(answer) => answer.secrets = None,
            State::Refused(problem) => {
                if let Some(answer) = &mut problem.import {
                    answer.secrets = None;
                }
            }
            State::Running => {}
        }
    }

    fn is_running(&self) -> bool {
        matches!(*lock(&self.state), State::Running)
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
        let own: Vec<_> = runs.iter().filter(|(_, other)| other.holder == run.holder).collect();
        let ended = |all: &[(&u64, &Arc<Run>)]| {
            all.iter().find(|(_, other)| !other.is_running()).map(|(number, _)| **number)
        };
        let goes = if own.len() >= OWN_RUNS_MAX {
            Some(ended(&own)?)
        } else if runs.len() >= RUNS_MAX {
            Some(ended(&runs.iter().collect::<Vec<_>>())?)
        } else {
            None
        };
        // One file of a user is kept at a time.
        for (_, other) in own.iter().filter(|(_, other)| !other.is_running()) {
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
        let run = self.add(Run {
            id: hex::encode(random),
            begun_at: visit.now,
            size: file.len(),
            holder: Holder::of(visit.caller()),
            read: AtomicUsize::new(0),
            file: Mutex::new(wanted.dry_run.then(|| file.clone())),
            state: Mutex::new(State::Running),
            wanted,
        })?;
        tokio::spawn(go(visit.clone(), Arc::clone(&run), file));
        Some(run)
    }
}

async fn go(visit: Visit, run: Arc<Run>, file: Bytes) {
    let state = match import(&visit, &run, file).await {
        Ok(answer) => State::Done(Box::new(answer)),
        Err(Trouble(problem)) => State::Refused(problem),
    };
    *lock(&run.state) = state;
    drop(visit);
    if run.has_file() {
        tokio::time::sleep(FILE_TIME_MAX).await;
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
