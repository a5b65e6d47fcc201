//! A process that runs scripts, one call after the other, for the pool at the other end of its standard
//! input.

use std::{
    io::{self, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    process::ExitCode,
    thread,
    time::Duration,
};

use narrowgate_platform::ports::{Fault, FaultKind, Script};
use nix::sys::{
    prctl,
    resource::{Resource, setrlimit},
    signal::Signal,
};

use super::{
    engine::{Argument, Engine, bytes_of, processor_time},
    frame::{self, Answer, Question, Reader, Task, Told},
    process::Hello,
};

/// Stack of the thread that runs the engine, whose own limit is below it.
const STACK_BYTES: usize = 16 << 20;

/// Memory that the process may take beside what it has and what its scripts may take.
const OWN_BYTES: u64 = 128 << 20;

/// Processor time that is spent on other calls before an answer goes out.
const ANSWERS_WAIT_MAX: Duration = Duration::from_millis(1);

/// Bytes of answers that go out together.
const ANSWERS_BYTES_MAX: usize = 32 << 10;

/// How much lower than that of the server the priority of the process is. On a busy machine sessions go
/// first, and a script still gets about a tenth of a processor, so that its reports go on; `SCHED_IDLE` would
/// leave it next to nothing, and its calls would wait too long.
const NICE: i32 = 10;

/// Runs calls until the other end is closed. Only a pool starts this: standard input has to be its socket.
pub fn run_worker() -> ExitCode {
    // On Linux it is that of this thread, which the one that runs all scripts gets from it. Ignored: where
    // the system refuses, scripts run all the same.
    let _ = rustix::process::nice(NICE);
    let served = thread::Builder::new().stack_size(STACK_BYTES).spawn(serve);
    match served.map(thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn serve() -> io::Result<()> {
    let mut stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut reader = Reader::default();
    let hello = reader.read(&mut stream)?;
    let hello = Hello::parse(&hello).ok_or(io::ErrorKind::InvalidData)?;
    confine(&hello);
    let mut engine = Engine::new(hello.limits, hello.kept_max);
    let (mut answers, mut spent_on_answers) = (Vec::new(), Duration::ZERO);
    loop {
        // Answers go out together where there is more to do, but none waits for long.
        if !reader.has_frame() || spent_on_answers > ANSWERS_WAIT_MAX || answers.len() > ANSWERS_BYTES_MAX {
            stream.write_all(&answers)?;
            answers.clear();
            spent_on_answers = Duration::ZERO;
        }
        let frame = match reader.read(&mut stream) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            frame => frame?,
        };
        let question = Question::parse(&frame).ok_or(io::ErrorKind::InvalidData)?;
        let begin = processor_time();
        let told = run(&mut engine, &question);
        let spent = processor_time().saturating_sub(begin);
        let answer = Answer { told, spent_ns: u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX) };
        frame::append(&mut answers, &answer.emit());
        spent_on_answers += spent;
    }
}

/// Takes away from the process what it does not need. Each is a second wall: ignored where the system
/// refuses.
fn confine(hello: &Hello) {
    // What an allocator has reserved counts, used or not: with mimalloc that is a GiB.
    if let Some(taken) = data_bytes() {
        let memory = taken + OWN_BYTES + 2 * hello.limits.memory_bytes as u64;
        let _ = setrlimit(Resource::RLIMIT_DATA, memory, memory);
    }
    // Nothing is opened from here on, no file grows, and no process is started.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, 0, 0);
    let _ = setrlimit(Resource::RLIMIT_FSIZE, 0, 0);
    let _ = setrlimit(Resource::RLIMIT_NPROC, 0, 0);
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = prctl::set_no_new_privs();
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
}

/// What the process has of what `RLIMIT_DATA` is about: private memory that it may write (proc(5)).
fn data_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmData:")?.strip_suffix("kB"))?;
    kibibytes.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn run(engine: &mut Engine, question: &Question<'_>) -> Told {
    if question.task == Task::Check {
        let source = question.source.unwrap_or_default();
        // The pool has checked whose script this is; the key of the product does not matter here.
        return told(engine.check(&Script::new("", source)).map(|()| Vec::new()));
    }
    if question.source.is_none() && !engine.knows(&question.digest) {
        return Told::SourceWanted;
    }
    let is_decoding = question.task == Task::Decode;
    let argument = if is_decoding {
        Argument::Bytes(question.argument)
    } else {
        match std::str::from_utf8(question.argument) {
            Ok(json) => Argument::Json(json),
            Err(_) => return Told::Failed(Fault::new(FaultKind::Unavailable, "the argument is not text")),
        }
    };
    let result = engine.call(&question.digest, question.source, &argument, question.circumstances);
    told(result.map(|text| if is_decoding { text.into_bytes() } else { bytes_of(&text) }))
}

fn told(result: Result<Vec<u8>, Fault>) -> Told {
    result.map_or_else(Told::Failed, Told::Done)
}
