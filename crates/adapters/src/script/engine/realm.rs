//! A runtime of QuickJS with one script in it.

use std::time::Duration;

use narrowgate_platform::ports::{Circumstances, Fault, FaultKind};
use rquickjs::{
    Array, Context, Ctx, Error, Exception, FromJs, Function, Persistent, Runtime, String as Text, Value,
    context::{EvalOptions, intrinsic},
};

use super::{Limits, budget::Budget};

/// What a script finds: no modules, no workers, no weak references (they would show the garbage collector),
/// no proxies, no clock of the machine.
type Intrinsics = (
    intrinsic::Date,
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::MapSet,
    intrinsic::TypedArrays,
    intrinsic::Promise,
);

const PRELUDE: &str = include_str!("prelude.js");

/// The name of the source in stacks.
const SOURCE_NAME: &str = "script";

/// What a source stands between, so that evaluating it is a call. An arrow function, because any other would
/// give the script an object that outlives the call, as `arguments.callee`.
const HEAD: &str = "(() => {";
const TAIL: &str = "\n;return [typeof rawDataToJsonStr === 'function' ? rawDataToJsonStr : 0, \
                    typeof jsonStrToRawData === 'function' ? jsonStrToRawData : 0]})";

/// What stands before a source when only its syntax is asked for.
const NOTHING_RUNS: &str = "throw 0;";

const MEMORY: &str = "the script wanted more memory than it may have";

/// The functions of the prelude, in the order in which it returns them.
#[derive(Debug, Clone, Copy)]
enum Task {
    Decode,
    Encode,
    Check,
    Describe,
    Remember,
    IsChanged,
    Close,
    Clean,
}

impl Task {
    const COUNT: usize = 8;
}

/// What a function of a script is given.
#[derive(Debug)]
pub(in crate::script) enum Argument<'a> {
    /// `rawDataToJsonStr`.
    Bytes(&'a [u8]),
    /// `jsonStrToRawData`.
    Json(&'a str),
}

/// What became of a call.
#[derive(Debug)]
pub(super) struct Returned {
    /// The string; of bytes one with a character for each.
    pub(super) result: Result<String, Fault>,
    /// Whether the realm is as it was before.
    pub(super) is_clean: bool,
}

/// A runtime with one script. Its parts are dropped in this order: what a runtime holds goes before it.
pub(super) struct Realm {
    tasks: Vec<Persistent<Function<'static>>>,
    factory: Option<Persistent<Function<'static>>>,
    context: Context,
    runtime: Runtime,
    budget: Budget,
    time: Duration,
    output_bytes: usize,
    calls: u32,
}

impl Realm {
    /// A realm whose built-ins the script can change.
    pub(super) fn open(source: &str, limits: &Limits) -> Result<Self, Fault> {
        Self::build(source, limits, true)
    }

    /// A realm with a compiled script, whose top level has not run yet.
    pub(super) fn build(source: &str, limits: &Limits, is_open: bool) -> Result<Self, Fault> {
        let mut realm = Self::empty(limits).map_err(|error| unavailable(&error))?;
        realm.budget.begin(limits.time);
        let context = realm.context.clone();
        context.with(|ctx| {
            // It knows whether an array is one of its own by asking for its parts, so nothing of it is lost.
            let tasks: Array<'_> = evaluate(&ctx, PRELUDE, "prelude").map_err(|error| {
                drop(ctx.catch());
                unavailable(&error)
            })?;
            for at in 0..Task::COUNT {
                let task: Function<'_> = tasks.get(at).map_err(|error| unavailable(&error))?;
                realm.tasks.push(Persistent::save(&ctx, task));
            }
            realm.check_syntax(&ctx, source)?;
            if !is_open {
                realm.task(&ctx, Task::Close).and_then(|close| close.call::<_, ()>(())).map_err(|error| {
                    drop(ctx.catch());
                    unavailable(&error)
                })?;
            }
            let factory = evaluate(&ctx, &format!("{HEAD}{source}{TAIL}"), SOURCE_NAME);
            let factory: Function<'_> = factory.map_err(|error| realm.fault(&ctx, &error))?;
            realm.factory = Some(Persistent::save(&ctx, factory));
            Ok(())
        })?;
        Ok(realm)
    }

    fn empty(limits: &Limits) -> Result<Self, Error> {
        let runtime = Runtime::new()?;
        runtime.set_memory_limit(limits.memory_bytes);
        runtime.set_max_stack_size(limits.stack_bytes);
        let context = Context::custom::<Intrinsics>(&runtime)?;
        let budget = Budget::default();
        let handler = budget.clone();
        runtime.set_interrupt_handler(Some(Box::new(move || handler.look())));
        let (time, output_bytes) = (limits.time, limits.output_bytes);
        Ok(Self { tasks: Vec::new(), factory: None, context, runtime, budget, time, output_bytes, calls: 0 })
    }

    /// A source that is no whole script by itself could close the function around it, and run outside of it.
    fn check_syntax(&self, ctx: &Ctx<'_>, source: &str) -> Result<(), Fault> {
        let parsed = evaluate::<Value<'_>>(ctx, &format!("{NOTHING_RUNS}{source}"), SOURCE_NAME);
        match parsed {
            Ok(_) => Err(Fault::new(FaultKind::Syntax, "the source cannot be read")),
            Err(Error::InvalidString(_)) => Err(Fault::new(FaultKind::Syntax, "the source has a zero byte")),
            Err(error) => {
                let thrown = ctx.catch();
                if thrown.as_int() == Some(0) {
                    return Ok(());
                }
                drop(ctx.throw(thrown));
                Err(self.fault(ctx, &error))
            }
        }
    }

    /// Calls that began in it.
    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    /// Runs the top level of the script, and looks whether both functions are there.
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.budget.begin(self.time);
        self.context.with(|ctx| {
            let called = self.task(&ctx, Task::Check).and_then(|check| check.call((self.factory(&ctx)?,)));
            self.read(&ctx, called).map(drop)
        })
    }

    /// Runs the top level of the script, and looks whether it changed what is there for all calls.
    pub(super) fn changes_built_ins(&self) -> Result<bool, Fault> {
        self.budget.begin(self.time);
        self.context.with(|ctx| {
            let remembered = self.task(&ctx, Task::Remember).and_then(|task| task.call::<_, ()>(()));
            remembered.map_err(|error| self.fault(&ctx, &error))?;
            let run = self.factory(&ctx).and_then(|factory| factory.call::<_, Value<'_>>(()));
            run.map_err(|error| self.fault(&ctx, &error))?;
            let changed = self.task(&ctx, Task::IsChanged).and_then(|task| task.call(()));
            changed.map_err(|error| self.fault(&ctx, &error))
        })
    }

    /// Runs the script, and one of its functions.
    pub(super) fn call(&mut self, argument: &Argument<'_>, circumstances: Circumstances) -> Returned {
        self.calls += 1;
        self.budget.begin(self.time);
        let mut returned = self.context.with(|ctx| {
            let called = self.begin(&ctx, argument, circumstances);
            let result = self.read(&ctx, called);
            let cleaned = self.task(&ctx, Task::Clean).and_then(|clean| clean.call::<_, bool>(()));
            if cleaned.is_err() {
                drop(ctx.catch());
            }
            let is_limit = result.as_ref().is_err_and(|fault| fault.kind.is_limit());
            Returned { result, is_clean: cleaned.unwrap_or(false) && !is_limit }
        });
        if self.budget.is_over() {
            let line = returned.result.err().and_then(|fault| fault.line);
            returned.result = Err(self.too_long(line));
            returned.is_clean = false;
        }
        // Nobody will run what waits.
        returned.is_clean &= !self.runtime.is_job_pending();
        returned
    }

    fn begin<'js>(
        &self,
        ctx: &Ctx<'js>,
        argument: &Argument<'_>,
        circumstances: Circumstances,
    ) -> Result<Value<'js>, Error> {
        let (task, argument) = match argument {
            Argument::Bytes(bytes) => {
                let array = Array::new(ctx.clone())?;
                for (at, byte) in bytes.iter().enumerate() {
                    array.set(at, i32::from(*byte))?;
                }
                (Task::Decode, array.into_value())
            }
            Argument::Json(json) => (Task::Encode, Text::from_str(ctx.clone(), json)?.into_value()),
        };
        let Circumstances { arrival, seed } = circumstances;
        let (low, high) = (seed as u32 as i32, (seed >> 32) as u32 as i32);
        let longest = self.output_bytes as f64;
        let factory = self.factory(ctx)?;
        self.task(ctx, task)?.call((factory, argument, longest, arrival.0 as f64, low, high))
    }

    /// What the prelude returned: a string, or kind and message of a fault.
    fn read<'js>(&self, ctx: &Ctx<'js>, called: Result<Value<'js>, Error>) -> Result<String, Fault> {
        let value = called.map_err(|error| self.fault(ctx, &error))?;
        if let Some(text) = value.as_string() {
            return match text.to_string() {
                Ok(text) if text.len() > self.output_bytes => {
                    Err(Fault::new(FaultKind::Output, "what the script returned is too long"))
                }
                Ok(text) => Ok(text),
                Err(Error::Utf8(_)) => {
                    Err(Fault::new(FaultKind::ReturnType, "the string has half of a surrogate pair"))
                }
                Err(error) => Err(self.fault(ctx, &error)),
            };
        }
        let parts = value.as_array().map(|parts| (parts.get::<String>(0), parts.get::<String>(1)));
        let Some((Ok(kind), Ok(message))) = parts else {
            drop(ctx.catch());
            return Err(Fault::new(FaultKind::Unavailable, "the engine gave no result"));
        };
        Err(Fault::new(kind_of(&kind), message))
    }

    /// What was thrown.
    fn fault(&self, ctx: &Ctx<'_>, error: &Error) -> Fault {
        let out_of_memory =
            || Fault::new(FaultKind::Memory, "the script wanted more memory than it may have");
        if !ctx.has_exception() {
            // Where not even an error can be made, none is thrown.
            let is_memory = matches!(error, Error::Exception | Error::Allocation | Error::Unknown);
            return if is_memory { out_of_memory() } else { unavailable(error) };
        }
        let thrown = ctx.catch();
        if self.budget.is_over() {
            let thrown = thrown.as_object().cloned().and_then(Exception::from_object);
            return self.too_long(thrown.and_then(|thrown| thrown.stack()).and_then(|stack| line_of(&stack)));
        }
        // The engine throws null where it has no memory for an error.
        if thrown.is_null() {
            return Fault::new(FaultKind::Memory, format!("{MEMORY}, or threw null"));
        }
        // The second time without the garbage that may have been in its way.
        for _ in 0..2 {
            match self.describe(ctx, &thrown) {
                Ok([kind, message, stack]) => return described(&kind, message, line_of(&stack)),
                Err(_) if self.budget.is_over() => return self.too_long(None),
                Err(_) => {
                    drop(ctx.catch());
                    ctx.run_gc();
                }
            }
        }
        out_of_memory()
    }

    fn describe<'js>(&self, ctx: &Ctx<'js>, thrown: &Value<'js>) -> Result<[String; 3], Error> {
        let parts: Array<'_> = self.task(ctx, Task::Describe)?.call((thrown.clone(),))?;
        Ok([lossy(&parts, 0)?, lossy(&parts, 1)?, lossy(&parts, 2)?])
    }

    fn too_long(&self, line: Option<u32>) -> Fault {
        let words = format!("the script took longer than {:?} of processor time", self.time);
        Fault::at(FaultKind::Time, words, line)
    }

    fn task<'js>(&self, ctx: &Ctx<'js>, task: Task) -> Result<Function<'js>, Error> {
        self.tasks.get(task as usize).ok_or(Error::Unknown)?.clone().restore(ctx)
    }

    fn factory<'js>(&self, ctx: &Ctx<'js>) -> Result<Function<'js>, Error> {
        self.factory.clone().ok_or(Error::Unknown)?.restore(ctx)
    }
}

/// The bytes of a string that has a character for each.
pub(in crate::script) fn bytes_of(text: &str) -> Vec<u8> {
    text.chars().map(|character| character as u8).collect()
}

/// A string of a part, or no text where half of a surrogate pair is in it.
fn lossy(parts: &Array<'_>, at: usize) -> Result<String, Error> {
    match parts.get::<String>(at) {
        Err(Error::Utf8(_)) => Ok(String::new()),
        other => other,
    }
}

fn evaluate<'js, V: FromJs<'js>>(ctx: &Ctx<'js>, source: &str, name: &str) -> Result<V, Error> {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(name.to_owned());
    ctx.eval_with_options(source, options)
}

fn kind_of(word: &str) -> FaultKind {
    match word {
        "missing" => FaultKind::Missing,
        "return" => FaultKind::ReturnType,
        "output" => FaultKind::Output,
        "memory" => FaultKind::Memory,
        "stack" => FaultKind::Stack,
        "syntax" => FaultKind::Syntax,
        _ => FaultKind::Throws,
    }
}

fn described(kind: &str, message: String, line: Option<u32>) -> Fault {
    let kind = kind_of(kind);
    let message = match kind {
        FaultKind::Memory => MEMORY.to_owned(),
        FaultKind::Stack => "the script called itself too often".to_owned(),
        _ if message.contains("console is not defined") => {
            format!("{message}: a script cannot print; throw what you want to see")
        }
        _ => message,
    };
    Fault::at(kind, message, line)
}

/// The line of the innermost place in the source.
fn line_of(stack: &str) -> Option<u32> {
    let place = stack.split_once(&format!("{SOURCE_NAME}:"))?.1;
    let digits = place.split(|character: char| !character.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn unavailable(error: &Error) -> Fault {
    Fault::new(FaultKind::Unavailable, format!("the script engine failed: {error}"))
}
