//! Scripts that want too much: each is stopped at a limit, and the next call is served.

use std::time::Instant;

use super::*;

/// Runs a decoder and then another script in the same engine, which has to work.
fn stopped(body: &str) -> Fault {
    stopped_within(body, Limits::default())
}

fn stopped_within(body: &str, limits: Limits) -> Fault {
    let mut engine = Engine::new(limits, 8);
    let begin = Instant::now();
    let result = engine.decode(&decoder(body), &[1], AT);
    let fault = result.expect_err(body);
    assert!(begin.elapsed().as_secs() < 5, "{body}: {:?}", begin.elapsed());
    assert_eq!(engine.decode(&decoder("return 'fine'"), b"", AT).as_deref(), Ok("fine"), "{body}");
    assert_eq!(kind(engine.decode(&decoder(body), &[1], AT)), fault.kind, "{body}");
    fault
}

#[test]
fn attack_173_loops_end_at_the_limit_of_time() {
    for body in [
        "for (;;);",
        "while (true) { try { for (;;); } catch { } }",
        "for (;;) { try { for (;;); } finally { continue; } }",
        "try { for (;;); } catch { return 'caught'; } finally { return 'finally'; }",
        "function f() { try { f(); } catch { f(); } finally { f(); } } for (;;) f();",
        "for (;;) (async () => { for (;;); })();",
        "(async () => { try { for (;;); } catch { for (;;); } })(); for (;;);",
        "for (;;) { try { (async function* () { for (;;); })().next(); } catch {} }",
        "var g = (function* () { try { for (;;) yield 1; } finally { for (;;); } })();
         for (var x of g) if (x) break;",
        "[3, 1, 2].sort(() => { for (;;); });",
        "[1].map(() => { for (;;); });",
        "'a'.replace(/a/, () => { for (;;); });",
        "JSON.stringify({ toJSON() { for (;;); } });",
        "JSON.parse('[1]', () => { for (;;); });",
        "`${{ toString() { for (;;); } }}`;",
        "return { get then() { for (;;); } }.then;",
        "class A { static { for (;;); } }",
        "throw { get message() { return 1; }, toString() { for (;;); } }.toString();",
        "/^(a+)+$/.test('a'.repeat(40) + 'b');",
        "/(x+x+)+y/.test('x'.repeat(100));",
        "for (;;) { try { /^(a+)+$/.test('a'.repeat(40) + 'b'); } catch {} }",
        "var e = new Error(); Object.defineProperty(e, 'message', { get() { for (;;); } }); throw e;",
        "var e = new Error(); Object.defineProperty(e, 'stack', { get() { for (;;); } }); throw e;",
        "var e = new Error();
         Object.defineProperty(e, 'name', { get() { for (;;) try { for (;;); } catch {} } }); throw e;",
        "label: for (;;) { switch (1) { case 1: continue label; } }",
        "var a = {}; a.a = a; for (;;) a = a.a;",
        "for (var i = 0; ; i++) new Map([[i, i]]).forEach((x) => x);",
        "[].forEach.call({ length: 2 ** 53 - 1, 0: 1 }, () => { for (;;); });",
    ] {
        assert_eq!(stopped(body).kind, FaultKind::Time, "{body}");
    }
}

#[test]
fn attack_173_memory_ends_at_its_limit() {
    let patient = Limits { time: Duration::from_secs(2), ..Limits::default() };
    for body in [
        "var a = []; for (;;) a.push(new Array(1000).fill(1));",
        "var s = 'x'; for (;;) s += s;",
        "var a = ['xxxxxxxx']; for (;;) a.push(a.join() + a.length);",
        "new ArrayBuffer(1 << 30); return 'made';",
        "new Uint8Array(64 << 20); return 'made';",
        "'x'.repeat(1 << 28); return 'made';",
        "'x'.padEnd(1 << 28); return 'made';",
        "var m = new Map(); for (var i = 0; ; i++) m.set(i, 'v' + i);",
        "var o = {}; for (var i = 0; ; i++) o['k' + i] = i;",
        "var a = {}; for (;;) { a = { a, b: new Array(100).fill(a) }; }",
        "Array.from({ length: 1 << 28 }, () => 1); return 'made';",
        "return 'x'.repeat(1 << 23).split('').join('y');",
        "var e; for (;;) { e = new AggregateError([e], 'x'.repeat(10000)); }",
    ] {
        let fault = stopped_within(body, patient);
        let is_refused = fault.kind == FaultKind::Throws && fault.message.contains("RangeError");
        assert!(fault.kind == FaultKind::Memory || is_refused, "{body}: {fault:?}");
    }
    // Who catches it goes on, within the same limits.
    let caught = "try { var a = []; for (;;) a.push('x'.repeat(100000) + a.length); }
        catch (e) { a = null; return e.message; }";
    assert_eq!(ran(caught).as_deref(), Ok("out of memory"));
    let mut engine = engine();
    for _ in 0..3 {
        assert_eq!(engine.decode(&decoder(caught), b"", AT).as_deref(), Ok("out of memory"));
    }
}

#[test]
fn attack_173_recursion_ends_at_the_limit_of_the_stack() {
    for body in [
        "(function f() { f(); })();",
        "(function f(a) { return [1].map(f); })();",
        "var o = { toString() { return '' + o; } }; return '' + o;",
        "var o = { toJSON() { return JSON.stringify(o); } }; return JSON.stringify(o);",
        "var s = ''; for (var i = 0; i < 20000; i++) s += '['; JSON.parse(s);",
        "var a = []; for (var i = 0; i < 50000; i++) a = [a]; return JSON.stringify(a);",
        "class A { get x() { return this.x; } } new A().x;",
        "(function f() { new f(); })();",
        "function f() { return f.apply(this, arguments); } f();",
    ] {
        assert_eq!(stopped(body).kind, FaultKind::Stack, "{body}");
    }
    let deep = "try { (function f() { f(); })(); } catch (e) { return e.name; }";
    assert_eq!(ran(deep).as_deref(), Ok("RangeError"));
}

#[test]
fn output_ends_at_its_limit() {
    let longest = Limits::default().output_bytes;
    assert_eq!(ran(&format!("return 'x'.repeat({longest})")).map(|text| text.len()), Ok(longest));
    assert_eq!(kind(ran(&format!("return 'x'.repeat({longest} + 1)"))), FaultKind::Output);
    assert_eq!(kind(ran(&format!("return 'é'.repeat({longest})"))), FaultKind::Output);
    assert_eq!(kind(encoded(&format!("return new Uint8Array({longest} + 1)"))), FaultKind::Output);
    assert_eq!(encoded(&format!("return new Uint8Array({longest})")).map(|bytes| bytes.len()), Ok(longest));
    assert_eq!(kind(encoded("var a = []; a.length = 4294967295; return a")), FaultKind::Output);
    let lies =
        "var a = new Uint8Array(1); Object.defineProperty(a, 'length', { get() { for (;;); } }); return a";
    assert_eq!(kind(encoded(lies)), FaultKind::Time);
    let grows = "var a = [1]; Object.defineProperty(a, 0, { get() { a.push(1); return 1; } }); return a";
    assert_eq!(encoded(grows).as_deref(), Ok(&[1][..]));
    let throws = "var a = [1]; Object.defineProperty(a, 0, { get() { throw new Error('no'); } }); return a";
    assert_eq!(kind(encoded(throws)), FaultKind::Throws);
}

#[test]
fn a_source_that_nests_too_deeply_is_refused() {
    let deep = 20_000;
    let check = |source: String| engine().check(&Script::new("p", source));
    for (open, close) in
        [("(", ")"), ("[", "]"), ("{", "}"), ("!", ""), ("a?b:", ""), ("()=>", ""), ("`${", "}`")]
    {
        let source = format!("{}1{}", open.repeat(deep / open.len()), close.repeat(deep / open.len()));
        let fault = check(source).unwrap_err();
        assert!(matches!(fault.kind, FaultKind::Syntax | FaultKind::Stack), "{open}: {fault:?}");
    }
    let functions = "function f(){".repeat(5000) + &"}".repeat(5000);
    assert!(check(functions).is_err());
    let group = format!("/{}{}/", "(".repeat(30_000), ")".repeat(30_000));
    assert!(check(group).is_err());
    let many: String = (0..6000).map(|n| format!("let a{n};")).collect();
    assert_eq!(kind(check(many)), FaultKind::Missing);
}
