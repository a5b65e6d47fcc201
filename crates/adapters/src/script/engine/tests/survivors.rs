//! Nothing survives from one call to the next.

use super::*;

/// Calls a decoder twice, once with byte 0 and then with byte 1, in the realm that the engine keeps.
fn second(source: &str) -> Result<String, Fault> {
    let script = Script::new("p", format!("{source}{NO_ENCODER}"));
    let mut engine = engine();
    // Ignored: what the first call does is to leave something.
    let _ = engine.decode(&script, &[0], AT);
    engine.decode(&script, &[1], AT)
}

/// Whether a mark is seen: `leave` makes it in the first call, `look` is true in the second one if it is
/// there.
fn survives(leave: &str, look: &str) -> bool {
    let source = format!(
        "function rawDataToJsonStr(b) {{
            if (b[0] === 0) {{ {leave}; return 'left'; }} return String({look}); }}"
    );
    match second(&source) {
        Ok(text) => text == "true",
        Err(fault) => panic!("{look}: {fault}"),
    }
}

#[test]
fn variables_closures_and_functions_of_a_script_are_new_in_each_call() {
    for source in [
        "var n = 0; function rawDataToJsonStr() { return String(n++); }",
        "let n = 0; const rawDataToJsonStr = () => String(n++);",
        "var f = (function () { var n = 0; return function () { return n++; }; })();
         function rawDataToJsonStr() { return String(f()); }",
        "function rawDataToJsonStr() { var f = rawDataToJsonStr; f.n = (f.n || 0); return String(f.n++); }",
        "class A { static n = 0; static #p = 0; static get next() { return A.n++ + A.#p++; } }
         function rawDataToJsonStr() { return String(A.next); }",
        "var list = []; function rawDataToJsonStr() { return String(list.push(1) - 1); }",
        "var g = (function* () { for (var n = 0; ; n++) yield n; })();
         function rawDataToJsonStr() { return String(g.next().value); }",
        "var r = /a/g;
         function rawDataToJsonStr() { var n = r.lastIndex; r.test('aaaa'); return String(n); }",
        "function rawDataToJsonStr() {
            var r = /a/g; var n = r.lastIndex; r.test('aaaa'); return String(n); }",
        "function tag(parts) { return parts; }
         function rawDataToJsonStr() { var t = tag`a${1}`; try { t.n = 1; t.raw.n = 1; } catch {}
           return String(t.n === undefined && t.raw.n === undefined ? 0 : 1); }",
        "function rawDataToJsonStr() { n = typeof n === 'undefined' ? 0 : n + 1; return String(n); }",
    ] {
        assert_eq!(second(source).as_deref(), Ok("0"), "{source}");
    }
}

#[test]
fn the_global_object_is_as_it_was() {
    for (leave, look) in [
        ("mark = 1", "typeof mark !== 'undefined'"),
        ("globalThis.mark = 1", "'mark' in globalThis"),
        ("(function () { this.mark = 1 })()", "'mark' in globalThis"),
        ("globalThis[Symbol.for('m')] = 1", "Symbol.for('m') in globalThis"),
        ("globalThis[5] = 1", "5 in globalThis"),
        ("Object.defineProperty(globalThis, 'mark', { value: 1 })", "'mark' in globalThis"),
        ("Object.defineProperty(globalThis, 'mark', { get() { return 1; } })", "'mark' in globalThis"),
        ("Object.setPrototypeOf(globalThis, { mark: 1 })", "'mark' in globalThis"),
        ("globalThis.__proto__ = { mark: 1 }", "'mark' in globalThis"),
        ("Object.preventExtensions(globalThis)", "!Object.isExtensible(globalThis)"),
        ("Object.freeze(globalThis)", "Object.isFrozen(globalThis)"),
        ("JSON = 1", "JSON === 1"),
        ("delete globalThis.JSON", "typeof JSON === 'undefined'"),
        ("parseInt = () => 'mark'", "parseInt('1') === 'mark'"),
        ("undefined = 1", "undefined === 1"),
        ("globalThis.globalThis = 1", "globalThis === 1"),
        ("try { mark = 1; throw 1 } catch { mark = 2 }", "'mark' in globalThis"),
    ] {
        assert!(!survives(leave, look), "{leave}");
    }
}

/// What a script reaches without making it, as expressions.
const REACHED: &[&str] = &[
    "[]",
    "({})",
    "JSON",
    "Date",
    "parseInt",
    "Symbol()",
    "1n",
    "Object.getPrototypeOf(Int8Array)",
    "Object.getPrototypeOf(Int8Array.prototype)",
    "Object.getPrototypeOf(function* () {})",
    "Object.getPrototypeOf(Object.getPrototypeOf((function* () {})()))",
    "Object.getPrototypeOf(async function () {})",
    "Object.getPrototypeOf((async () => 1)())",
    "Object.getPrototypeOf(async function* () {})",
    "Object.getPrototypeOf(Object.getPrototypeOf((async function* () {})()))",
    "Object.getPrototypeOf([][Symbol.iterator]())",
    "Object.getPrototypeOf(''[Symbol.iterator]())",
    "Object.getPrototypeOf('a'.matchAll(/a/g))",
    "Object.getPrototypeOf(new Map().keys())",
    "Object.getPrototypeOf(new Set().keys())",
    "Object.getPrototypeOf([].values().map(x => x))",
    "Object.getPrototypeOf(Iterator.from({ next() {} }))",
    "Object.getPrototypeOf(Iterator.concat([]))",
    "(function () { 'use strict'; return Object.getOwnPropertyDescriptor(arguments, 'callee').get })()",
    "Object.getOwnPropertyDescriptor(Map.prototype, 'size').get",
    "Object.getOwnPropertyDescriptor(Map, Symbol.species).get",
    "Object.getOwnPropertyDescriptor(Object.prototype, 'toString').set",
];

#[test]
fn what_every_script_reaches_cannot_be_marked() {
    for reached in REACHED {
        let prototype = format!("Object.getPrototypeOf(Object({reached}))");
        for object in [reached, &*prototype] {
            let mark = format!("try {{ {object}.mark = 1 }} catch {{}}");
            assert!(!survives(&mark, &format!("{reached}.mark === 1")), "{object}");
            let defined = format!("Reflect.defineProperty({object}, 'mark', {{ get() {{ return 1; }} }})");
            assert!(!survives(&defined, &format!("{reached}.mark === 1")), "{object}");
            let placed = format!("try {{ Object.setPrototypeOf({object}, {{ mark: 1 }}) }} catch {{}}");
            assert!(!survives(&placed, &format!("{reached}.mark === 1")), "{object}");
        }
    }
}

#[test]
fn built_ins_are_as_they_were() {
    for (leave, look) in [
        ("Array.prototype.push = () => 'mark'", "[].push(1) === 'mark'"),
        ("Object.prototype.toString = () => 'mark'", "String({}) === 'mark'"),
        ("Function.prototype.call = () => 'mark'", "String.call() === 'mark'"),
        ("String.prototype.trim = () => 'mark'", "''.trim() === 'mark'"),
        ("JSON.stringify = () => 'mark'", "JSON.stringify(1) === 'mark'"),
        ("Math.random = () => 'mark'", "Math.random() === 'mark'"),
        ("Date.now = () => 'mark'", "Date.now() === 'mark'"),
        ("Date.prototype.getTime = () => 'mark'", "new Date().getTime() === 'mark'"),
        ("Error.prototype.name = 'mark'", "new Error().name === 'mark'"),
        ("Error.stackTraceLimit = 99", "Error.stackTraceLimit === 99"),
        ("Error.prepareStackTrace = () => 'mark'", "new Error().stack === 'mark'"),
        ("RegExp.prototype.exec = () => 'mark'", "/a/.exec('a') === 'mark'"),
        ("/(mark)/.exec('mark')", "RegExp.$1 === 'mark' || RegExp.lastMatch === 'mark'"),
        ("[][Symbol.iterator]().__proto__.next = () => ({ done: true })", "[...[1]].length === 0"),
        ("Iterator.prototype.constructor = 1", "Iterator.prototype.constructor === 1"),
        ("Array.prototype.length = 5", "Array.prototype.length === 5"),
        ("Array.prototype[0] = 'mark'", "[][0] === 'mark'"),
        ("({}).__defineGetter__.call(Object.prototype, 'mark', () => 1)", "({}).mark === 1"),
        ("delete Array.prototype.push", "[].push === undefined"),
    ] {
        let leave = format!("try {{ {leave} }} catch {{}}");
        assert!(!survives(&leave, look), "{leave}");
    }
}

#[test]
fn every_object_that_is_there_before_a_script_is_frozen() {
    let walk = "
        var seen = new Set(), open = [], waiting = [globalThis, function* () {}, async function () {},
            (async () => 1)(), async function* () {}, [][Symbol.iterator](), new Map().entries(), new Error(),
            'a'.matchAll(/a/g), [].values().map(x => x), new Proto(), Iterator.from({ next() {} }), /a/, 1n];
        function Proto() {}
        var own = new Set(waiting); own.add(Proto).add(Proto.prototype).delete(globalThis);
        while (waiting.length) {
            var o = waiting.pop();
            if ((typeof o !== 'object' && typeof o !== 'function') || o === null || seen.has(o)) continue;
            seen.add(o);
            var mine = own.has(o) || (o.constructor === undefined && typeof o === 'object' && false);
            if (o !== globalThis && !mine && !Object.isFrozen(o)) open.push(o);
            waiting.push(Object.getPrototypeOf(o));
            for (var key of Reflect.ownKeys(o)) {
                if (o === globalThis && ['walker'].includes(key)) continue;
                var d = Object.getOwnPropertyDescriptor(o, key);
                waiting.push(d.value, d.get, d.set);
                if (mine && d.value && typeof d.value === 'object') own.add(d.value);
            }
        }
        var names = open.map(o => String(o).slice(0, 60) + Reflect.ownKeys(o).map(String));
        return JSON.stringify([seen.size > 500, names]);";
    assert_eq!(ran(walk).as_deref(), Ok("[true,[]]"));
}

#[test]
fn what_a_call_leaves_waiting_is_not_run_and_costs_the_realm() {
    for leave in [
        "(async () => { await 1; globalThis.mark = 1; })()",
        "(async () => { for await (var x of [1]) globalThis.mark = 1; })()",
        "import('os')",
    ] {
        assert!(!survives(leave, "'mark' in globalThis"), "{leave}");
    }
    for name in [
        "Promise",
        "queueMicrotask",
        "setTimeout",
        "setInterval",
        "WeakRef",
        "FinalizationRegistry",
        "SharedArrayBuffer",
        "Atomics",
        "eval",
        "require",
        "process",
        "std",
        "os",
        "print",
        "console",
        "navigator",
        "performance",
        "Worker",
        "fetch",
        "Proxy",
        "gc",
        "scriptArgs",
        "load",
        "structuredClone",
    ] {
        assert_eq!(ran(&format!("return typeof {name}")).as_deref(), Ok("undefined"), "{name}");
    }
}

#[test]
fn code_made_of_text_does_not_run() {
    for make in [
        "eval('1')",
        "(0, eval)('1')",
        "Function('return 1')()",
        "new Function('return 1')()",
        "(function () {}).constructor('return 1')()",
        "(() => 1).constructor('return 1')()",
        "(function* () {}).constructor('yield 1')().next()",
        "(async () => {}).constructor('return 1')()",
        "(async function* () {}).constructor('yield 1')()",
        "(class {}).constructor('return 1')()",
        "Reflect.construct((function () {}).constructor, ['return 1'])()",
        "Object.getPrototypeOf(Object.getPrototypeOf(function* () {})).constructor('return 1')()",
        "setTimeout('1')",
    ] {
        let body = format!("{make}; return 'ran'");
        assert_eq!(kind(ran(&body)), FaultKind::Throws, "{make}");
    }
    assert_eq!(ran("return String((function () {}) instanceof Function)").as_deref(), Ok("true"));
}

#[test]
fn objects_of_a_script_may_shadow_what_is_frozen() {
    let body = "
        var o = {}; o.toString = () => 'own'; o.constructor = 1; o.hasOwnProperty = 2;
        var e = new Error('m'); e.message = 'other'; e.name = 'Mine';
        function F() {} F.prototype.toString = function () { return 'F'; }; F.prototype.valueOf = () => 3;
        class G { toString() { return 'G'; } }
        function H() {} H.prototype = { constructor: H }; H.prototype.constructor = H;
        return [o, o.constructor, e, new F() + 1, String(new F()), new G(), Object.keys(o), String({})]
            .join()";
    let expected = "own,1,Mine: other,4,F,G,toString,constructor,hasOwnProperty,[object Object]";
    assert_eq!(ran(body).as_deref(), Ok(expected));
}

#[test]
fn a_script_whose_top_level_changes_built_ins_gets_a_realm_for_each_call() {
    let source = "Array.prototype.last = function () { return this[this.length - 1]; };
        var n = 0; Math.twice = (x) => { n++; return 2 * x; };
        if (!String.prototype.left) String.prototype.left = function (n) { return this.slice(0, n); };
        function rawDataToJsonStr(b) {
            Array.prototype.n = ([].n || 0) + 1; globalThis.g = (globalThis.g || 0) + 1;
            return [b.last(), Math.twice(2), n, 'abc'.left(2), [].n, g].join(); }";
    let script = Script::new("p", format!("{source}{NO_ENCODER}"));
    let mut engine = engine();
    for _ in 0..3 {
        assert_eq!(engine.decode(&script, &[1, 9], AT).as_deref(), Ok("9,4,1,ab,1,1"));
    }
    assert!(engine.kept[0].is_open && engine.kept[0].realm.is_none());
    engine.decode(&decoder("x = 1; return ''"), b"", AT).unwrap();
    assert!(!engine.kept[1].is_open && engine.kept[1].realm.is_some());
}

#[test]
fn one_script_sees_nothing_of_another() {
    let mut engine = engine();
    let leave = decoder("globalThis.mark = Symbol.for('mark'); mark = 1; return ''");
    let look = decoder("return typeof mark");
    for _ in 0..2 {
        engine.decode(&leave, b"", AT).unwrap();
        assert_eq!(engine.decode(&look, b"", AT).as_deref(), Ok("undefined"));
    }
}
