use std::{
    env, fs,
    path::Path,
    sync::{Arc, mpsc},
    task::{Context, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    ports::{Caller, Circumstances, Fault, FaultKind, Script, Scripts},
    testing::block_on,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::*;

const AT: Circumstances = Circumstances { arrival: UnixMillis(1_700_000_000_123), seed: 7 };
const DEVICE: Caller = Caller::Device(DeviceId(1));
const SIBLING: Caller = Caller::Device(DeviceId(2));
/// Set in the processes that these tests start.
const IS_WORKER: &str = "NARROWGATE_TEST_SCRIPT_WORKER";

/// The process that the other tests start: this program again, with this test alone.
#[test]
fn a_worker_of_the_tests() {
    if env::var_os(IS_WORKER).is_some() {
        let _ = run_worker();
    }
}

fn options(workers: usize) -> Options {
    let program = env::current_exe().unwrap();
    let arguments = ["script::tests::a_worker_of_the_tests", "--exact"].map(Into::into).into();
    let environment = vec![(IS_WORKER.into(), "1".into())];
    let command = Command { program, arguments, environment };
    Options { limits: Limits::default(), workers, waiting_max: 16, command }
}

fn pool(workers: usize) -> Pool {
    Pool::start(options(workers)).unwrap()
}

fn script(product: &str, body: &str) -> Script {
    let source = format!(
        "function rawDataToJsonStr(b) {{ {body} }}\nfunction jsonStrToRawData(j) {{ return [j.length]; }}"
    );
    Script::new(product, source)
}

fn decode(pool: &Pool, script: &Script) -> Result<String, Fault> {
    block_on(pool.decode(script, &[1, 2, 3], AT, DEVICE))
}

#[test]
fn calls_go_through_a_process() {
    let pool = pool(2);
    let sum = script("p", "return String(b[0] + b[1] + b[2]) + Date.now()");
    assert_eq!(block_on(pool.check(&sum)), Ok(()));
    for _ in 0..3 {
        assert_eq!(decode(&pool, &sum).as_deref(), Ok("61700000000123"));
    }
    assert_eq!(block_on(pool.encode(&sum, "{}é", AT, DEVICE)).as_deref(), Ok(&[3][..]));
    let fault = decode(&pool, &script("p", "throw new Error('no')")).unwrap_err();
    assert_eq!(fault, Fault::at(FaultKind::Throws, "Error: no", Some(1)));
    let fault = block_on(pool.check(&Script::new("p", "function"))).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Syntax);
    let zone = script("p", "return String(new Date(2026, 0).getTimezoneOffset())");
    assert_eq!(decode(&pool, &zone).as_deref(), Ok("0"));
}

#[test]
fn attack_173_what_cannot_be_interrupted_is_ended() {
    let pool = pool(1);
    let good = script("good", "return 'fine'");
    assert_eq!(decode(&pool, &good).as_deref(), Ok("fine"));
    for (at, body) in [
        "[].indexOf.call({ length: 2 ** 53 - 1 }, 1)",
        "[].fill.call({ length: 2 ** 53 - 1 }, 1)",
        "Array.prototype.reverse.call({ length: 2 ** 53 - 1 })",
        "new Array(4294967295).lastIndexOf(1); new Array(4294967295).includes(1)",
    ]
    .into_iter()
    .enumerate()
    {
        let begin = Instant::now();
        let fault = decode(&pool, &script(&format!("bad{at}"), &format!("{body}; return ''"))).unwrap_err();
        assert!(fault.kind.is_limit(), "{body}: {fault:?}");
        assert!(begin.elapsed() < Duration::from_secs(8), "{body}: {:?}", begin.elapsed());
        assert_eq!(decode(&pool, &good).as_deref(), Ok("fine"), "{body}");
    }
}

#[test]
fn a_product_whose_scripts_loop_cannot_take_the_pool() {
    let pool = Arc::new(pool(2));
    let (bad, good) = (script("bad", "for (;;);"), script("good", "return 'fine'"));
    decode(&pool, &good).unwrap();
    let floods: Vec<_> = (0..20)
        .map(|_| {
            let (pool, bad) = (Arc::clone(&pool), bad.clone());
            thread::spawn(move || decode(&pool, &bad).unwrap_err().kind)
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let begin = Instant::now();
        assert_eq!(decode(&pool, &good).as_deref(), Ok("fine"));
        slowest = slowest.max(begin.elapsed());
        thread::sleep(Duration::from_millis(10));
    }
    // Two calls of the bad one may have been ahead at first, and nothing is faster than the machine.
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let kinds: Vec<_> = floods.into_iter().map(|flood| flood.join().unwrap()).collect();
    assert!(kinds.contains(&FaultKind::Time) && kinds.contains(&FaultKind::Busy), "{kinds:?}");
    assert!(kinds.iter().all(|kind| matches!(kind, FaultKind::Time | FaultKind::Busy)), "{kinds:?}");
}

/// Says that a call was answered, on the thread that answers: in the order in which calls were run, however
/// busy the machine is.
struct Noting {
    n: u8,
    answered: mpsc::Sender<u8>,
}

impl Wake for Noting {
    fn wake(self: Arc<Self>) {
        self.answered.send(self.n).unwrap();
    }
}

/// Counted in calls, whatever time they take.
#[test]
fn a_device_that_floods_keeps_a_sibling_waiting_for_a_call_or_two() {
    let pool = pool(1);
    let slowish = script("p", "for (var end = 600000; end > 0; end--); return String(b[0])");
    assert_eq!(decode(&pool, &slowish).as_deref(), Ok("1"));
    let (answered, answers) = mpsc::channel();
    let put = |n: u8, caller| {
        let mut call = pool.decode(&slowish, &[n], AT, caller);
        let waker = Waker::from(Arc::new(Noting { n, answered: answered.clone() }));
        assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        (n, call)
    };
    let mut calls: Vec<_> = (0..12).map(|n| put(n, DEVICE)).collect();
    calls.push(put(100, SIBLING));
    drop(answered);
    let next = || answers.recv_timeout(Duration::from_secs(60)).expect("each call is answered");
    let order: Vec<u8> = calls.iter().map(|_| next()).collect();
    for (n, call) in calls {
        assert_eq!(block_on(call), Ok(n.to_string()));
    }
    // One may run already, and the next one of the flood may be ahead.
    let place = order.iter().position(|n| *n == 100).unwrap();
    assert!(order.len() == 13 && place <= 3, "{order:?}");
}

#[test]
fn a_call_that_nobody_waits_for_is_not_run() {
    let mut options = options(1);
    options.limits.time = Duration::from_secs(2);
    let pool = Pool::start(options).unwrap();
    let long = script("p", "for (var end = 5000000; end > 0; end--); return String(b[0])");
    let mut context = Context::from_waker(Waker::noop());
    let mut first = pool.decode(&long, &[1], AT, DEVICE);
    assert!(first.as_mut().poll(&mut context).is_pending());
    // They would run into their limit, and their product would rest.
    let looping = script("p", "for (;;);");
    let mut dropped: Vec<_> = (0..5).map(|_| pool.decode(&looping, b"", AT, SIBLING)).collect();
    for call in &mut dropped {
        assert!(call.as_mut().poll(&mut context).is_pending());
    }
    drop(dropped);
    assert_eq!(block_on(first).as_deref(), Ok("1"));
    let good = script("p", "return 'fine'");
    assert_eq!(block_on(pool.decode(&good, &[2], AT, SIBLING)).as_deref(), Ok("fine"));
    assert!(pool.waiting() == 0 && !pool.rests(&good, SIBLING));
}

/// After these the others would rest for longer than a device may wait.
#[test]
fn a_trial_that_runs_into_a_limit_keeps_no_device_waiting() {
    let mut options = options(1);
    options.limits.time = Duration::from_millis(400);
    let pool = Pool::start(options).unwrap();
    let good = script("p", "return 'fine'");
    decode(&pool, &good).unwrap();
    let looping = script("p", "for (;;);");
    let attempt = |script| block_on(pool.decode(script, &[], AT, Caller::Trial));
    assert_eq!(attempt(&looping).unwrap_err().kind, FaultKind::Time);
    assert_eq!(decode(&pool, &good).as_deref(), Ok("fine"));
    assert!(!pool.rests(&good, DEVICE));
    assert!(pool.rests(&good, Caller::Trial));
    // The other way round: the device hears at once why its next call is not run.
    assert_eq!(decode(&pool, &looping).unwrap_err().kind, FaultKind::Time);
    let fault = decode(&pool, &good).unwrap_err();
    let said = "calls of the script of this product rest for up to 5 s, since one of them ran into a limit";
    assert_eq!((fault.kind, &*fault.message), (FaultKind::Busy, said));
    assert_eq!(attempt(&good).as_deref(), Ok("fine"));
}

#[test]
fn one_call_that_ends_a_process_costs_none_of_those_beside_it() {
    let mut options = options(1);
    options.waiting_max = 100;
    let pool = Pool::start(options).unwrap();
    let script =
        script("p", "if (b[0] === 9) [].indexOf.call({ length: 2 ** 53 - 1 }, 1); return 'r' + b[0]");
    block_on(pool.decode(&script, &[0], AT, DEVICE)).unwrap();
    let call = &|n: u8| block_on(pool.decode(&script, &[n], AT, DEVICE));
    let outcomes: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|n| (n, scope.spawn(move || call(n)))).collect();
        threads.into_iter().map(|(n, thread)| (n, thread.join().unwrap())).collect()
    });
    for (n, outcome) in outcomes {
        match outcome {
            Ok(text) => assert_eq!(text, format!("r{n}")),
            Err(fault) if n == 9 => assert_eq!(fault.kind, FaultKind::Time),
            // Those behind it may wait too long: its product rests.
            Err(fault) => assert_eq!(fault.kind, FaultKind::Busy, "{n}"),
        }
    }
}

#[test]
fn a_process_that_is_killed_is_replaced() {
    let mut options = options(1);
    options.command.environment.push(("MARK".into(), "to be killed".into()));
    let pool = Pool::start(options).unwrap();
    let good = script("good", "return 'fine'");
    decode(&pool, &good).unwrap();
    let killed = marked_children("to be killed");
    assert_eq!(killed.len(), 1);
    for pid in &killed {
        kill(Pid::from_raw(*pid), Signal::SIGKILL).unwrap();
    }
    let until = Instant::now() + Duration::from_secs(5);
    while decode(&pool, &good).as_deref() != Ok("fine") {
        assert!(Instant::now() < until, "the process is not replaced");
    }
    let replaced = marked_children("to be killed");
    assert!(replaced.len() == 1 && replaced != killed);
    drop(pool);
    assert!(marked_children("to be killed").is_empty(), "a pool leaves no process behind");
}

/// Else a script that uses its time up keeps sessions of other products waiting.
#[test]
fn scripts_run_at_a_lower_priority_than_the_server() {
    let mut options = options(1);
    options.command.environment.push(("MARK".into(), "nice".into()));
    let pool = Pool::start(options).unwrap();
    decode(&pool, &script("good", "return 'fine'")).unwrap();
    let children = marked_children("nice");
    let [pid] = children[..] else { panic!("{children:?}") };
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nices: Vec<i32> = threads.map(|thread| nice_of(&thread.unwrap().path())).collect();
    let wanted = (nice_of("/proc/thread-self".as_ref()) + 10).min(19);
    // The test's own main thread waits for the one that is the worker.
    let low = nices.iter().filter(|nice| **nice == wanted).count();
    assert!(
        low >= 2 && nices.len() - low <= 1,
        "the thread that starts the worker and the worker: {nices:?}"
    );
}

/// The 19th field of `stat`, of which the 2nd, in brackets, may have spaces (proc(5)).
fn nice_of(thread: &Path) -> i32 {
    let stat = fs::read_to_string(thread.join("stat")).unwrap();
    stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().parse().unwrap()
}

/// The processes of a test: others start some at the same time.
fn marked_children(mark: &str) -> Vec<i32> {
    let wanted = format!("MARK={mark}");
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let read = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).ok();
    let lists: Vec<String> = tasks.flatten().filter_map(read).collect();
    let pids = lists.iter().flat_map(|list| list.split_whitespace());
    let is_marked = |pid: &&str| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
            environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        })
    };
    pids.filter(is_marked).map(|pid| pid.parse().unwrap()).collect()
}

#[test]
fn an_engine_that_cannot_be_started_is_unavailable() {
    let mut options = options(1);
    options.command.program = "/nonexistent/narrowgate".into();
    let pool = Pool::start(options.clone()).unwrap();
    assert_eq!(decode(&pool, &script("p", "")).unwrap_err().kind, FaultKind::Unavailable);
    // A program that is no engine ends at once.
    options.command.program = "/bin/true".into();
    let pool = Pool::start(options).unwrap();
    assert!(decode(&pool, &script("p", "")).is_err());
}

#[test]
fn calls_that_wait_are_refused_when_the_pool_ends() {
    let pool = pool(1);
    let looping = script("p", "for (;;);");
    let calls: Vec<_> = (0..5).map(|_| pool.decode(&looping, b"", AT, DEVICE)).collect();
    drop(calls);
    drop(pool);
}
