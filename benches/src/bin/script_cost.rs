//! What scripts cost: reports of the tagged layout (`vectors/raw/tagged_points.js`, five points in 67 bytes)
//! in this process, and through the pool in processes of their own.
//!
//! `cargo run --release -p narrowgate-benches --bin script_cost -- [CALLS]`. Processor time is that of all
//! processes; *per core* is what one of them does in a second that it works.

use std::{
    env,
    error::Error,
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use narrowgate_adapters::script::{Command, Limits, Options, Pool, engine::Engine, run_worker};
use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    ports::{Caller, Circumstances, Fault, Script, Scripts},
    testing::block_on,
};

const SOURCE: &str = include_str!("../../../vectors/raw/tagged_points.js");
const REPORT: &[u8] =
    b"\x01\0\0\0\x14\x01\0\x04\0\0\x25\xf5\x02\0\x0aabcdefghij\x03\0\x08\x3f\xf2\x3d\x70\xa3\xd7\x0a\
    \x3d\x04\0\x14\0\0\0\x01\0\0\0\x03\0\0\0\x05\0\0\0\x07\0\0\0\x09\x05\0\x05\0\0\x01\xa7\x03";
const ANSWER: &str = r#"{"id":"20","code":200,"data":""}"#;
const AT: Circumstances = Circumstances { arrival: UnixMillis(1_700_000_000_000), seed: 1 };
const DEVICE: Caller = Caller::Device(DeviceId(1));
/// The argument with which this program is a process of the pool.
const WORKER: &str = "script-worker";
/// Threads that ask, so that the pool always has something to do.
const CALLERS: usize = 8;

fn main() -> ExitCode {
    if env::args().nth(1).is_some_and(|first| first == WORKER) {
        return run_worker();
    }
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Ignored: there is nowhere else to say it.
            let _ = writeln!(io::stderr(), "script_cost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), Box<dyn Error>> {
    let calls: usize = env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    let script = Script::new("p", SOURCE);
    let mut out = io::stdout().lock();
    writeln!(out, "| call | per second | µs each |\n|---|---|---|")?;
    let mut row = |name: &str, calls: usize, spent: Duration| {
        let each = spent.as_secs_f64() / calls as f64;
        writeln!(out, "| {name} | {:.0} | {:.2} |", 1.0 / each, each * 1e6)
    };

    let mut engine = Engine::new(Limits::default(), 8);
    let decode = |engine: &mut Engine, script: &Script| engine.decode(script, REPORT, AT);
    row("decode", calls, timed(calls, || decode(&mut engine, &script).map(drop))?)?;
    row("encode an answer", calls, timed(calls, || engine.encode(&script, ANSWER, AT).map(drop))?)?;
    let open = Script::new("p", format!("Array.prototype.mark = 1;\n{SOURCE}"));
    let few = calls.div_ceil(50);
    row("decode, built-ins changed", few, timed(few, || decode(&mut engine, &open).map(drop))?)?;
    row("compile", few, timed(few, || engine.check(&script))?)?;

    for workers in [1, 2] {
        let command = Command::this_program(WORKER);
        let options = Options { limits: Limits::default(), workers, waiting_max: 2 * CALLERS, command };
        let pool = Arc::new(Pool::start(options)?);
        block_on(pool.decode(&script, REPORT, AT, DEVICE))?;
        row(&format!("decode, pool of {workers}"), calls, through(&pool, &script, calls)?)?;
    }
    Ok(())
}

fn timed(calls: usize, mut call: impl FnMut() -> Result<(), Fault>) -> Result<Duration, Fault> {
    call()?;
    let begin = Instant::now();
    for _ in 0..calls {
        call()?;
    }
    Ok(begin.elapsed())
}

fn through(pool: &Arc<Pool>, script: &Script, calls: usize) -> Result<Duration, Box<dyn Error>> {
    let begin = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (pool, script) = (Arc::clone(pool), script.clone());
            thread::spawn(move || {
                let decode = || block_on(pool.decode(&script, REPORT, AT, DEVICE));
                (0..calls / CALLERS).try_for_each(|_| decode().map(drop))
            })
        })
        .collect();
    for caller in callers {
        caller.join().map_err(|_| "a caller panicked")??;
    }
    Ok(begin.elapsed())
}
