//! What the writer is asked for, and the answers.

use std::time::{Duration, Instant};

use narrowgate_platform::{
    ids::{DeviceId, Position, UnixMillis},
    ports::{Changed, Committed, Pause, StoreError, Write, Written},
    rules::rate::Seldom,
};

use super::super::{
    error::store_error,
    registry::{Change, Registry},
    reply::{Reply, closed},
    sum,
};

/// What the writer is asked for.
pub(in crate::sqlite) enum Job {
    /// The server begins: what happens from here on has an epoch.
    Begin(Reply<()>),
    /// Writes of the data path.
    Append(Append),
    /// A change of the registry.
    Change(Box<dyn RegistryChange>),
    /// A change of many rows; committed alone.
    LoneChange(Box<dyn RegistryChange>),
    /// A change that needs the latest values to be written down; committed alone.
    SettledChange(Box<dyn RegistryChange>),
    /// A step of a purge.
    Purge(Purging),
    /// Stands still for at most this time, until what is answered is dropped.
    Hold(Duration, Reply<Pause>),
    /// The end.
    Close(Reply<()>),
}

/// A batch and what became of it.
pub(in crate::sqlite) struct Append {
    pub(in crate::sqlite) batch: Vec<Write>,
    /// The newest confirmed arrival.
    pub(in crate::sqlite) confirmed: Option<UnixMillis>,
    pub(in crate::sqlite) written: Vec<Written>,
    /// The place of its first write.
    pub(in crate::sqlite) first: Option<Position>,
    pub(in crate::sqlite) reply: Reply<Committed>,
}

impl Append {
    fn answer(self, failure: Option<StoreError>) {
        let answer = match (failure, self.first) {
            (Some(failure), _) => Err(failure),
            (None, Some(Position { epoch, sequence: first_sequence })) => {
                Ok(Committed { epoch, first_sequence, outcomes: self.written })
            }
            (None, None) => Err(closed()),
        };
        self.reply.send(answer);
    }
}

/// A device that is to be purged.
pub(in crate::sqlite) struct Purging {
    pub(in crate::sqlite) device: DeviceId,
    pub(in crate::sqlite) at: UnixMillis,
    pub(in crate::sqlite) reply: Reply<Changed>,
}

/// A change of the registry, in two steps around the commit.
pub(in crate::sqlite) trait RegistryChange: Send {
    /// Inside the transaction.
    fn apply(&mut self, registry: &mut Registry) -> rusqlite::Result<()>;
    /// The transaction is undone and will be tried again; without this change, if there is an error.
    fn abandon(&mut self, error: Option<StoreError>);
    /// After the commit, or after its failure.
    fn finish(self: Box<Self>, failure: Option<StoreError>);
}

/// The change that a closure makes.
pub(in crate::sqlite) struct ChangeBy<F, T> {
    pub(in crate::sqlite) job: F,
    pub(in crate::sqlite) result: Option<Result<T, StoreError>>,
    /// Why the group was committed without it.
    pub(in crate::sqlite) left_out: Option<StoreError>,
    pub(in crate::sqlite) reply: Reply<T>,
}

impl<F, T> RegistryChange for ChangeBy<F, T>
where
    F: Fn(&mut Registry) -> Change<T> + Send,
    T: Send,
{
    fn apply(&mut self, registry: &mut Registry) -> rusqlite::Result<()> {
        self.result = Some(match (self.job)(registry) {
            // Found before anything was written; the rest of the group is not affected.
            Err(error) if sum::is_damage(&error) => Err(store_error(&error)),
            done => done?,
        });
        Ok(())
    }

    fn abandon(&mut self, error: Option<StoreError>) {
        self.result = None;
        if error.is_some() {
            self.left_out = error;
        }
    }

    fn finish(self: Box<Self>, failure: Option<StoreError>) {
        let result = failure.or(self.left_out).map_or(self.result, |failure| Some(Err(failure)));
        self.reply.send(result.unwrap_or_else(|| Err(closed())));
    }
}

impl Job {
    pub(super) fn finish(self, failure: Option<StoreError>) {
        match self {
            Self::Append(append) => append.answer(failure),
            Self::Change(change) | Self::LoneChange(change) | Self::SettledChange(change) => {
                change.finish(failure);
            }
            Self::Begin(reply) | Self::Close(reply) => reply.send(failure.map_or(Ok(()), Err)),
            // Never part of a group, as the next one.
            Self::Purge(Purging { reply, .. }) => reply.send(Err(failure.unwrap_or_else(closed))),
            Self::Hold(_, reply) => reply.send(Err(failure.unwrap_or_else(closed))),
        }
    }

    /// How many writes it counts for in a group.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Append(append) => append.batch.len().max(1),
            _ => 1,
        }
    }
}

/// Answers all of a group. Of failures there is a line as often as `errors` permits, with the number of those
/// that are left out.
pub(super) fn answer(group: Vec<Job>, committed: &Result<(), StoreError>, now: Instant, errors: &mut Seldom) {
    if let Err(error) = committed
        && let Some(left_out) = errors.permit(now)
    {
        tracing::error!(%error, left_out, "a batch could not be stored");
    }
    for job in group {
        job.finish(committed.as_ref().err().map(copy));
    }
}

/// The same failure for each of a group.
pub(super) fn copy(error: &StoreError) -> StoreError {
    match error {
        StoreError::Damaged(what) => StoreError::Damaged(what.clone()),
        other => StoreError::Unavailable(match other {
            StoreError::Unavailable(what) => what.clone(),
            _ => other.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt, sync::Mutex};

    use tracing::{
        Event, Metadata, Subscriber,
        field::{Field, Visit},
        span,
    };

    use super::*;

    /// How many were left out, of each line.
    #[derive(Default)]
    struct Lines(Mutex<Vec<u64>>);

    impl Visit for &Lines {
        fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}

        fn record_u64(&mut self, field: &Field, value: u64) {
            assert_eq!(field.name(), "left_out");
            self.0.lock().unwrap().push(value);
        }
    }

    impl Subscriber for &'static Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut lines: &Lines = self;
            event.record(&mut lines);
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn of_batches_that_fail_there_is_a_line_a_second_with_the_number_of_the_others() {
        let lines: &'static Lines = Box::leak(Box::default());
        let (start, mut errors) = (Instant::now(), Seldom::new(Duration::from_secs(1)));
        let failed = Err(StoreError::Unavailable("the disk is full".to_owned()));
        tracing::subscriber::with_default(lines, || {
            for ms in 0..2500 {
                answer(Vec::new(), &failed, start + Duration::from_millis(ms), &mut errors);
                answer(Vec::new(), &Ok(()), start + Duration::from_millis(ms), &mut errors);
            }
        });
        assert_eq!(*lines.0.lock().unwrap(), [0, 999, 999]);
    }
}
