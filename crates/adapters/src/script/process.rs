//! A process that runs scripts, as its thread of the pool sees it.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use narrowgate_platform::ports::{Circumstances, Fault, FaultKind, Script};
use nix::{
    time::{ClockId, clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

use super::{
    engine::Limits,
    frame::{self, Answer, Question, Reader, Task, Told, take},
};

/// How often a process that does not answer is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Processor time that a process may take for a call beside that of the script: a realm is built for it, up
/// to three times.
const MARGIN: Duration = Duration::from_millis(250);

/// A process that has taken no more than that, but still has not answered, is stuck.
pub(super) const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// What counts as the processor time of a call that ended its process, which tells none.
const ENDED_PRICE: Duration = Duration::from_millis(100);

/// How a process is started: the program runs [`run_worker`](super::run_worker) and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its environment: nothing of this process's own.
    pub environment: Vec<(OsString, OsString)>,
}

impl Command {
    /// The running program itself, which a newer one on the disk does not replace, with this argument.
    pub fn this_program(argument: &str) -> Self {
        let program = PathBuf::from("/proc/self/exe");
        Self { program, arguments: vec![argument.into()], environment: Vec::new() }
    }
}

/// The first frame to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) limits: Limits,
    pub(super) kept_max: usize,
}

impl Hello {
    fn emit(&self) -> Vec<u8> {
        let Limits { time, memory_bytes, stack_bytes, output_bytes } = self.limits;
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let sizes = [memory_bytes, stack_bytes, output_bytes, self.kept_max].map(|size| size as u64);
        [time].into_iter().chain(sizes).flat_map(u64::to_be_bytes).collect()
    }

    pub(super) fn parse(mut frame: &[u8]) -> Option<Self> {
        let mut next = || Some(u64::from_be_bytes(take(&mut frame)?));
        let time = Duration::from_micros(next()?);
        let mut size = || usize::try_from(next()?).ok();
        let (memory_bytes, stack_bytes, output_bytes) = (size()?, size()?, size()?);
        let limits = Limits { time, memory_bytes, stack_bytes, output_bytes };
        Some(Self { limits, kept_max: size()? })
    }
}

/// What is asked of a process.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) task: Task,
    pub(super) script: &'a Script,
    pub(super) argument: &'a [u8],
    pub(super) circumstances: Circumstances,
}

impl<'a> Call<'a> {
    fn question(&self, with_source: bool) -> Question<'a> {
        let has_source = with_source || self.task == Task::Check;
        Question {
            task: self.task,
            digest: *self.script.digest(),
            circumstances: self.circumstances,
            source: has_source.then_some(&**self.script.source()),
            argument: self.argument,
        }
    }
}

/// What became of a call, the processor time that it took, and how long it held the process.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) result: Result<Vec<u8>, Fault>,
    pub(super) spent: Duration,
    pub(super) held: Duration,
}

impl Outcome {
    /// Of a call that no process was asked for.
    pub(super) fn not_run(result: Result<Vec<u8>, Fault>) -> Self {
        Self { result, spent: Duration::ZERO, held: Duration::ZERO }
    }
}

/// A running process. Dropped, it is ended.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    stream: UnixStream,
    reader: Reader,
    time: Duration,
}

/// Why a process is of no use any more.
enum Broken {
    /// It ended while it ran a script.
    Ended,
    /// It was ended, having taken this much processor time.
    Stuck { spent: Duration },
}

impl Process {
    /// Starts one.
    pub(super) fn start(command: &Command, hello: &Hello) -> io::Result<Self> {
        let (stream, theirs) = UnixStream::pair()?;
        stream.set_read_timeout(Some(LOOK_EVERY))?;
        let child = std::process::Command::new(&command.program)
            .args(&command.arguments)
            .env_clear()
            .envs(command.environment.iter().map(|(name, value)| (name, value)))
            // So that the local time of a script is the same on every machine.
            .env("TZ", "UTC0")
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut process = Self { child, stream, reader: Reader::default(), time: hello.limits.time };
        frame::write(&mut process.stream, &hello.emit())?;
        Ok(process)
    }

    /// Whether it still runs. One that has ended between two calls harmed none.
    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Makes a call. `Err`: the process is gone.
    pub(super) fn call(&mut self, call: &Call<'_>) -> Result<Outcome, Outcome> {
        let begin = Instant::now();
        let asked = self.ask(&[call.question(false)]).and_then(|()| self.answer());
        let answered = match asked {
            Ok(None) => self.ask(&[call.question(true)]).and_then(|()| self.answer()),
            asked => asked,
        };
        let answered = answered.and_then(|answer| answer.ok_or(Broken::Ended));
        let held = begin.elapsed();
        answered.map(|outcome| Outcome { held, ..outcome }).map_err(|broken| broken.outcome(held))
    }

    /// Makes calls that take little time each, all at once. What is not answered is to be asked alone: the
    /// process does not know its script, or is gone.
    pub(super) fn call_all(&mut self, calls: &[Call<'_>]) -> Vec<Option<Outcome>> {
        let questions: Vec<_> = calls.iter().map(|call| call.question(false)).collect();
        let mut outcomes = Vec::new();
        if self.ask(&questions).is_ok() {
            outcomes.extend(calls.iter().map_while(|_| self.answer().ok()));
        }
        if outcomes.len() < calls.len() {
            // It has ended, or is stuck; waited for, it is not taken for one that runs.
            let _ = self.child.kill();
            let _ = self.child.wait();
            outcomes.resize_with(calls.len(), || None);
        }
        outcomes
    }

    fn ask(&mut self, questions: &[Question<'_>]) -> Result<(), Broken> {
        let mut out = Vec::new();
        for question in questions {
            frame::append(&mut out, &question.emit());
        }
        self.stream.write_all(&out).map_err(|_| Broken::Ended)
    }

    /// The next answer; `None`: the source is wanted.
    fn answer(&mut self) -> Result<Option<Outcome>, Broken> {
        let (asked, mut first_look) = (Instant::now(), None);
        let frame = loop {
            match self.reader.read(&mut self.stream) {
                Ok(frame) => break frame,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Err(_) => return Err(Broken::Ended),
            }
            let processor_time = self.processor_time();
            let spent = processor_time.saturating_sub(*first_look.get_or_insert(processor_time));
            if spent > 4 * self.time + MARGIN || asked.elapsed() > ANSWER_TIME_MAX {
                return Err(Broken::Stuck { spent: spent + LOOK_EVERY });
            }
        };
        let Answer { told, spent_ns } = Answer::parse(&frame).ok_or(Broken::Ended)?;
        let result = match told {
            Told::Done(result) => Ok(result),
            Told::Failed(fault) => Err(fault),
            Told::SourceWanted => return Ok(None),
        };
        Ok(Some(Outcome { result, spent: Duration::from_nanos(spent_ns), held: asked.elapsed() }))
    }

    /// Of the whole process since its start; where the system tells none, zero, and the wall clock decides.
    fn processor_time(&self) -> Duration {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        let clock: Result<ClockId, _> = clock_getcpuclockid(pid);
        clock.and_then(clock_gettime).map_or(Duration::ZERO, Duration::from)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ignored: it may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Broken {
    /// Of the call that held the process for so long.
    fn outcome(&self, held: Duration) -> Outcome {
        let (kind, words, spent) = match self {
            Self::Ended => (FaultKind::Crashed, "the script brought the engine down", ENDED_PRICE),
            Self::Stuck { spent } => {
                (FaultKind::Time, "the script took too long in a built-in, and was ended", *spent)
            }
        };
        Outcome { result: Err(Fault::new(kind, words)), spent, held }
    }
}
