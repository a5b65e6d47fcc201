//! What scripts return: a script reads its bytes as instructions and makes any value, throws, or leaves
//! something behind.

use std::cell::RefCell;

use narrowgate_adapters::script::{Limits, engine::Engine};
use narrowgate_platform::{
    ids::UnixMillis,
    ports::{Circumstances, FAULT_MESSAGE_BYTES_MAX, Fault, FaultKind, Script},
};

const SOURCE: &str = r#"
var left = [];
function make(b, at, deep) {
  var next = () => (at.i < b.length ? b[at.i++] : 0);
  var more = () => (deep > 20 ? 0 : make(b, at, deep + 1));
  var text = () => {
    var s = "";
    for (var n = next() % 16; n > 0; n--) s += String.fromCharCode(next() * (n % 3 ? 1 : 255));
    return s;
  };
  var array = () => {
    var a = [];
    for (var n = next() % 16; n > 0; n--) a.push(more());
    return a;
  };
  switch (next() % 32) {
    case 0: return undefined;
    case 1: return null;
    case 2: return next() - 128;
    case 3: return next() / 3;
    case 4: case 5: case 6: return text();
    case 7: case 8: case 9: return array();
    case 10: return new Uint8Array(array());
    case 11: return new Int8Array([next(), next()]);
    case 12: return new Float64Array([next(), next() / 2]);
    case 13: throw more();
    case 14: throw new Error(text());
    case 15: throw Object.assign(new TypeError(), { message: more(), stack: more(), name: more() });
    case 16: return text().repeat(next() * next());
    case 17: { var a = array(); a.length = next() * next() * next(); return a; }
    case 18: { var v = more(); return { get x() { return v; }, toString() { return v; }, toJSON: () => v }; }
    case 19: { var v = more(), a = array(); Object.defineProperty(a, 0, { get() { return v; } }); return a; }
    case 20: { var a = array(); Object.defineProperty(a, 0, { get() { a.length = 0; throw 1; } }); return a; }
    case 21: globalThis[text()] = more(); return text();
    case 22: Object.defineProperty(globalThis, text(), { value: more() }); return text();
    case 23:
      left.push(more());
      mark = typeof mark === "undefined" ? 1 : mark + 1;
      return left.length + "" + mark;
    case 24: return Symbol(text());
    case 25: return BigInt(next()) ** BigInt(next());
    case 26: return JSON.stringify(more()) + "";
    case 27: return (function* () { yield more(); })().next().value;
    case 28: return (async () => more())();
    case 29: return new String(text());
    case 30: Array.prototype[text()] = more(); Object.setPrototypeOf(globalThis, { a: 1 }); return text();
    default: return Math.random() + text() + Date.now();
  }
}
function rawDataToJsonStr(b) { return make(b, { i: 0 }, 0); }
function jsonStrToRawData(j) { return make(JSON.parse(j), { i: 0 }, 0); }
"#;
const AT: Circumstances = Circumstances { arrival: UnixMillis(1_700_000_000_000), seed: 3 };

thread_local! {
    static RUNS: RefCell<(Engine, Script, Limits)> = RefCell::new({
        let limits = Limits { output_bytes: 4096, ..Limits::default() };
        (Engine::new(limits, 1), Script::new("p", SOURCE), limits)
    });
}

/// Whatever a script does, a call ends with text or bytes within their limit, or with a fault of the script
/// whose message is short; and the same call gives the same again, so that none before it left anything.
pub fn script_results(data: &[u8]) {
    RUNS.with_borrow_mut(|(engine, script, limits)| {
        let json = format!("{data:?}");
        let mut run = || (engine.decode(script, data, AT), engine.encode(script, &json, AT));
        let (first, again) = (run(), run());
        check(&first.0, String::len, limits);
        check(&first.1, Vec::len, limits);
        assert!(same(&first.0, &again.0), "{:?}, then {:?}", first.0, again.0);
        assert!(same(&first.1, &again.1), "{:?}, then {:?}", first.1, again.1);
    });
}

fn check<T>(result: &Result<T, Fault>, length: impl Fn(&T) -> usize, limits: &Limits) {
    match result {
        Ok(made) => assert!(length(made) <= limits.output_bytes),
        Err(fault) => {
            assert!(fault.kind.is_of_script(), "{fault:?}");
            assert!(
                fault.message.len() <= FAULT_MESSAGE_BYTES_MAX && !fault.message.contains(char::is_control)
            );
        }
    }
}

/// Time is the machine's own: what took too long once may not the next time.
fn same<T: PartialEq>(one: &Result<T, Fault>, other: &Result<T, Fault>) -> bool {
    let is_time = |result: &Result<T, Fault>| matches!(result, Err(fault) if fault.kind == FaultKind::Time);
    one == other || is_time(one) || is_time(other)
}
