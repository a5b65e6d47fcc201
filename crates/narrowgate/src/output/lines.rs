//! A queue of lines for a terminal, a pipe or a file that may be slow, full or gone: adding a line never
//! blocks and never fails.
//!
//! Only one thread writes to the file. Lines that do not fit into the queue or cannot be written are dropped
//! and counted. Limit: [`QUEUED_BYTES_MAX`].

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use nix::sys::signal::{SIGTTOU, SigSet};

/// Maximum number of bytes that wait to be written: some thousand lines.
pub(crate) const QUEUED_BYTES_MAX: usize = 1 << 20;

/// Bytes that each line counts in addition to its length.
const LINE_OVERHEAD: usize = 64;

/// Pause before the next try if the file is not ready (another process made it non-blocking).
const NOT_READY_WAIT: Duration = Duration::from_millis(20);

/// A queue of lines and the thread that writes them. Clones add to the same queue.
#[derive(Debug, Clone)]
pub(crate) struct Lines(Arc<Shared>);

/// Makes the note about dropped lines, which is written once writing works again, from their number.
pub(crate) type LossNote = fn(u64) -> String;

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// A line was added.
    added: Condvar,
    /// Everything was written or dropped.
    idle: Condvar,
    dropped: AtomicU64,
    /// The reader of a pipe has gone for good.
    reader_gone: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The thread is writing a line that it has taken.
    writing: bool,
}

impl Lines {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub(crate) fn start(
        name: &str,
        out: impl Write + Send + 'static,
        loss_note: Option<LossNote>,
    ) -> io::Result<Self> {
        let lines = Self(Arc::default());
        let shared = lines.0.clone();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            allow_background_writes();
            Writer::new(out).run(&shared, loss_note);
        })?;
        Ok(lines)
    }

    /// Adds a line, which includes its newline. Never blocks: if the queue is full, the line is dropped.
    pub(crate) fn push(&self, line: Vec<u8>) {
        let cost = line.len() + LINE_OVERHEAD;
        let mut state = self.0.lock();
        if state.bytes + cost > QUEUED_BYTES_MAX {
            drop(state);
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.bytes += cost;
        state.waiting.push_back(line);
        drop(state);
        self.0.added.notify_one();
    }

    /// Waits until everything is written or dropped, but at most `time_max`.
    pub(crate) fn flush(&self, time_max: Duration) {
        let busy = |state: &mut State| state.writing || !state.waiting.is_empty();
        // Ignored: after the time limit the caller goes on.
        let _ = self.0.idle.wait_timeout_while(self.0.lock(), time_max, busy);
    }

    /// How many lines were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Whether the reader has gone for good.
    pub(crate) fn reader_gone(&self) -> bool {
        self.0.reader_gone.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Locks the state, even after a panic: every change of it is a single step, so it is always consistent.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<u8> {
        let mut state = self.lock();
        state.writing = false;
        loop {
            if let Some(line) = state.waiting.pop_front() {
                state.bytes -= line.len() + LINE_OVERHEAD;
                state.writing = true;
                return line;
            }
            self.idle.notify_all();
            state = self.added.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Lets this thread write to a terminal even if its job is in the background and `stty tostop` is set: with
/// SIGTTOU blocked the write succeeds. If it were caught instead, each write would be restarted and the
/// signal sent again.
fn allow_background_writes() {
    let mut blocked = SigSet::empty();
    blocked.add(SIGTTOU);
    // Ignored: blocking an existing signal cannot fail.
    let _ = blocked.thread_block();
}

/// The thread's side.
struct Writer<W> {
    out: W,
    /// Writing failed in the middle of a line: the next one starts on a new line.
    cut: bool,
}

impl<W: Write> Writer<W> {
    fn new(out: W) -> Self {
        Self { out, cut: false }
    }

    fn run(&mut self, shared: &Shared, loss_note: Option<LossNote>) {
        let mut noted = 0;
        loop {
            match self.write(&shared.take()) {
                Ok(()) => {
                    let dropped = shared.dropped.load(Ordering::Relaxed);
                    let Some(note) = loss_note.filter(|_| dropped > noted) else { continue };
                    if self.write(note(dropped - noted).as_bytes()).is_ok() {
                        noted = dropped;
                    }
                }
                Err(error) => {
                    shared.dropped.fetch_add(1, Ordering::Relaxed);
                    if error.kind() == io::ErrorKind::BrokenPipe {
                        shared.reader_gone.store(true, Ordering::Relaxed);
                    }
                }
            }
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.cut {
            self.write_all(b"\n")?;
            self.cut = false;
        }
        self.write_all(line)
    }

    fn write_all(&mut self, mut rest: &[u8]) -> io::Result<()> {
        let length = rest.len();
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(NOT_READY_WAIT),
                Err(error) => {
                    self.cut |= rest.len() < length;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Longer than anything here takes.
    const LONG: Duration = Duration::from_secs(10);

    /// Does with each write what the test's script says, and shows what was written.
    struct Scripted {
        results: Receiver<io::Result<usize>>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // A script that has ended means that all goes well; until then a write waits for its turn.
            let length = self.results.recv().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
            let _ = self.written.send(bytes[..length].to_vec());
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn scripted() -> (Lines, Sender<io::Result<usize>>, Receiver<Vec<u8>>) {
        let ((script, results), (written, shown)) = (channel(), channel());
        let note: LossNote = |count| format!("{count} dropped\n");
        let lines = Lines::start("test", Scripted { results, written }, Some(note)).unwrap();
        (lines, script, shown)
    }

    fn all(shown: &Receiver<Vec<u8>>) -> String {
        shown.try_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect()
    }

    #[test]
    fn lines_are_written_in_their_order() {
        let (lines, script, shown) = scripted();
        drop(script);
        for number in 0..100 {
            lines.push(format!("{number}\n").into_bytes());
        }
        lines.flush(LONG);
        assert_eq!(all(&shown), (0..100).map(|number| format!("{number}\n")).collect::<String>());
        assert_eq!(lines.dropped(), 0);
    }

    #[test]
    fn nobody_waits_for_a_reader_that_does_not_read() {
        let (lines, script, shown) = scripted();
        let line = vec![b'x'; 1000];
        // The thread holds one more line than the queue.
        let fit = QUEUED_BYTES_MAX / (line.len() + LINE_OVERHEAD);
        for _ in 0..fit + 10 {
            lines.push(line.clone());
        }
        lines.flush(Duration::from_millis(10));
        let dropped = lines.dropped();
        assert!((9..=10).contains(&dropped), "{dropped}");
        // The reader wakes up: it gets what was kept, and learns what it missed.
        drop(script);
        lines.push(b"later\n".to_vec());
        lines.flush(LONG);
        let written = all(&shown);
        assert!(written.contains(&format!("{dropped} dropped\n")) || written.contains("11 dropped\n"));
    }

    #[test]
    fn a_line_that_cannot_be_written_is_dropped_and_counted_and_the_gap_is_told() {
        let (lines, script, shown) = scripted();
        script.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        script.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        drop(script);
        for line in ["a\n", "b\n", "c\n"] {
            lines.push(line.into());
        }
        lines.flush(LONG);
        assert_eq!((lines.dropped(), &*all(&shown)), (2, "c\n2 dropped\n"));
        assert!(!lines.reader_gone());
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_run_into_the_next() {
        let (lines, script, shown) = scripted();
        script.send(Ok(3)).unwrap();
        script.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        drop(script);
        lines.push(b"first\n".to_vec());
        lines.push(b"second\n".to_vec());
        lines.flush(LONG);
        assert_eq!(all(&shown), "fir\nsecond\n1 dropped\n");
    }

    #[test]
    fn interruptions_and_a_file_that_is_not_ready_lose_nothing() {
        let (lines, script, shown) = scripted();
        script.send(Err(io::ErrorKind::Interrupted.into())).unwrap();
        script.send(Err(io::ErrorKind::WouldBlock.into())).unwrap();
        script.send(Ok(1)).unwrap();
        drop(script);
        lines.push(b"line\n".to_vec());
        lines.flush(LONG);
        assert_eq!((lines.dropped(), &*all(&shown)), (0, "line\n"));
    }

    #[test]
    fn a_reader_that_has_gone_is_noticed() {
        let (lines, script, _shown) = scripted();
        script.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        lines.push(b"line\n".to_vec());
        lines.flush(LONG);
        assert!(lines.reader_gone());
    }
}
