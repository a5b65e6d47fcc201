// What runs first in a realm, before any script: takes away what a script may not have, gives it the time of
// arrival and a seeded sequence for its clock and its chance, and returns the functions by which the engine
// calls it. Everything that is used later is taken out of the realm here, where no script has been yet.
(() => {
  "use strict";
  const G = globalThis;
  const { construct, deleteProperty, defineProperty, ownKeys } = Reflect;
  const { getOwnPropertyDescriptor, getPrototypeOf, setPrototypeOf } = Reflect;
  const { freeze, is, isExtensible } = Object;
  const { isArray } = Array;
  const { isInteger } = Number;
  const { isView } = ArrayBuffer;
  const { isError } = Error;
  const { fromCharCode } = String;
  const text = String;
  const cut = Function.prototype.call.bind(String.prototype.slice);
  const has = Function.prototype.call.bind(Set.prototype.has);
  const add = Function.prototype.call.bind(Set.prototype.add);
  const Internal = InternalError.prototype;
  const Range = RangeError.prototype;
  const Syntax = SyntaxError.prototype;

  const remove = (object, key) => {
    if (!deleteProperty(object, key)) throw new TypeError("cannot remove " + text(key));
  };
  const replace = (object, key, value) =>
    defineProperty(object, key, { value, writable: true, enumerable: false, configurable: true });

  // Code made of text was not checked. What makes it can be reached through functions, too.
  const refused = () => {
    throw new TypeError("code made of text cannot be run");
  };
  const generator = function* () {};
  const promised = async function () {};
  const stream = async function* () {};
  for (const kind of [generator, promised, stream]) remove(getPrototypeOf(kind), "constructor");
  const NoFunction = { Function() { refused(); } }.Function;
  defineProperty(NoFunction, "prototype", { value: Function.prototype });
  replace(Function.prototype, "constructor", NoFunction);
  replace(G, "Function", NoFunction);
  remove(G, "eval");

  // No job ever runs, so a promise would only be left over. An interrupt inside of an executor or of an
  // asynchronous generator would be caught by the engine, and the script would go on.
  const promise = Promise.prototype;
  for (const key of ownKeys(promise)) remove(promise, key);
  const streams = getPrototypeOf(stream.prototype);
  for (const key of ownKeys(streams)) remove(streams, key);
  const leftOver = ["Promise", "queueMicrotask", "AsyncDisposableStack"];
  // What waits, what is shared, what tells about the machine.
  const shared = ["SharedArrayBuffer", "Atomics", "navigator", "performance"];
  for (const key of [...leftOver, ...shared]) if (key in G) remove(G, key);
  remove(Array, "fromAsync");
  // They keep what is set.
  remove(Error, "prepareStackTrace");
  remove(Error, "stackTraceLimit");

  // The clock.
  let now = 0;
  const RealDate = Date;
  const { UTC, parse } = Date;
  const time = Function.prototype.call.bind(Date.prototype.getTime);
  const show = Function.prototype.call.bind(Date.prototype.toString);
  const isDate = (value) => {
    try {
      time(value);
      return true;
    } catch {
      return false;
    }
  };
  const single = (value) => {
    if (isDate(value)) return time(value);
    const isObject = (typeof value === "object" && value !== null) || typeof value === "function";
    const plain = isObject ? value.valueOf() : value;
    const primitive = typeof plain === "object" || typeof plain === "function" ? text(plain) : plain;
    return typeof primitive === "string" ? parse(primitive) : +primitive;
  };
  function ArrivalDate(year, month, day, hours, minutes, seconds, milliseconds) {
    const given = arguments.length;
    if (new.target === undefined) return show(new RealDate(now));
    const at = given === 0 ? now : given === 1 ? single(year) : new RealDate(...arguments);
    return construct(RealDate, [given > 1 ? time(at) : at], new.target);
  }
  defineProperty(ArrivalDate, "name", { value: "Date" });
  defineProperty(ArrivalDate, "prototype", { value: RealDate.prototype, writable: false });
  replace(RealDate.prototype, "constructor", ArrivalDate);
  replace(ArrivalDate, "now", { now: () => now }.now);
  replace(ArrivalDate, "parse", parse);
  replace(ArrivalDate, "UTC", UTC);
  replace(G, "Date", ArrivalDate);

  // Chance: sfc32 of Chris Doty-Humphrey's PractRand, started from 64 bits at the first use in a call.
  let [a, b, c, d, isStarted] = [0, 0, 0, 0, false];
  const next = () => {
    const t = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return t >>> 0;
  };
  const random = () => {
    if (!isStarted) {
      isStarted = true;
      for (let round = 0; round < 12; round++) next();
    }
    return ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
  };
  replace(Math, "random", { random }.random);

  // Everything that a script reaches without making it: from the global object, and by syntax alone.
  const roots = () => [
    G,
    getPrototypeOf(generator),
    getPrototypeOf(generator()),
    getPrototypeOf(promised),
    getPrototypeOf(promised()),
    getPrototypeOf(stream),
    getPrototypeOf(stream()),
    getPrototypeOf([][Symbol.iterator]()),
    getPrototypeOf(new Map().entries()),
    getPrototypeOf(new Set().values()),
    getPrototypeOf(""[Symbol.iterator]()),
    getPrototypeOf("a".matchAll(/a/g)),
    getPrototypeOf([].values().map((x) => x)),
    getPrototypeOf(Iterator.from({ next() {} })),
    getPrototypeOf(Int8Array),
    (function () { return getOwnPropertyDescriptor(arguments, "callee").get; })(),
  ];
  // Only by what was taken out above: a script may have changed what arrays and sets do.
  const walk = () => {
    const seen = new Set();
    const objects = [];
    const facts = [];
    const waiting = roots();
    for (let first = 0; first < waiting.length; first++) {
      const object = waiting[first];
      const isObject = (typeof object === "object" && object !== null) || typeof object === "function";
      if (!isObject || has(seen, object)) continue;
      add(seen, object);
      objects[objects.length] = object;
      const above = getPrototypeOf(object);
      waiting[waiting.length] = above;
      const keys = ownKeys(object);
      let end = facts.length;
      facts[end++] = above;
      facts[end++] = isExtensible(object);
      facts[end++] = keys.length;
      for (let at = 0; at < keys.length; at++) {
        const { value, get, set, writable } = getOwnPropertyDescriptor(object, keys[at]);
        facts[end++] = keys[at];
        facts[end++] = waiting[waiting.length] = value;
        facts[end++] = waiting[waiting.length] = get;
        facts[end++] = waiting[waiting.length] = set;
        facts[end++] = writable;
      }
    }
    return { objects, facts };
  };

  // Prototypes whose properties scripts shadow on objects of their own, as in `point.toString = ...`: where
  // such a property is frozen, the assignment would be lost. As an accessor it defines an own property.
  const letShadow = (prototype) => {
    for (const key of ownKeys(prototype)) {
      const { value, configurable, get } = getOwnPropertyDescriptor(prototype, key);
      if (get || !configurable) continue;
      const accessor = {
        get() { return value; },
        set(own) {
          if (this === prototype) throw new TypeError("a built-in cannot be changed during a call");
          defineProperty(this, key, { value: own, writable: true, enumerable: true, configurable: true });
        },
      };
      defineProperty(prototype, key, { get: accessor.get, set: accessor.set, enumerable: false });
    }
  };
  const errors = [Error, TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError];

  let [known, count, proto] = [null, 0, null];
  const learn = () => {
    known = new Set(ownKeys(G));
    count = known.size;
    proto = getPrototypeOf(G);
  };
  // Nothing that was there before can be changed from here on. The global object takes new names, for scripts
  // that assign to a variable which they never declared; `clean` takes them away.
  const close = () => {
    letShadow(Object.prototype);
    for (const error of errors) letShadow(error.prototype);
    for (const object of walk().objects) if (object !== G) freeze(object);
    // It moves to a prototype of the global object, whose own keys are few then: looking through them after
    // each call is cheap.
    const names = {};
    for (const key of ownKeys(G)) {
      const { value, configurable } = getOwnPropertyDescriptor(G, key);
      if (!configurable) continue;
      defineProperty(names, key, { value, enumerable: false });
      remove(G, key);
    }
    setPrototypeOf(G, freeze(names));
    learn();
  };
  // Whether the realm is again as it was before the call.
  const clean = () => {
    const keys = ownKeys(G);
    if (getPrototypeOf(G) !== proto || !isExtensible(G)) return false;
    if (keys.length === count) return true;
    for (let at = 0; at < keys.length; at++) {
      if (!has(known, keys[at]) && !deleteProperty(G, keys[at])) return false;
    }
    return true;
  };

  let before = null;
  const remember = () => {
    learn();
    before = walk().facts;
  };
  // Whether the top level of a script changes what is there for all: then each call needs a realm of its own.
  const isChanged = () => {
    if (!clean()) return true;
    const after = walk().facts;
    if (after.length !== before.length) return true;
    for (let at = 0; at < after.length; at++) if (!is(after[at], before[at])) return true;
    return false;
  };

  const start = (factory, at, low, high) => {
    now = at;
    a = low;
    b = high;
    c = 0x9e3779b9 | 0;
    d = 1;
    isStarted = false;
    return factory();
  };

  // What went wrong, as [kind, message, stack].
  const describe = (thrown) => {
    if (!isError(thrown)) {
      const kind = typeof thrown;
      return ["", kind === "string" || kind === "number" ? cut(text(thrown), 0, 600) : kind + " thrown", ""];
    }
    const kind = getPrototypeOf(thrown);
    const own = (key) => {
      const value = thrown[key];
      return typeof value === "string" ? cut(value, 0, 2000) : "";
    };
    const name = own("name");
    const message = own("message");
    const stack = own("stack");
    const isMemory = message === "out of memory" || message === "string too long";
    if (kind === Internal && isMemory) return ["memory", message, stack];
    if (kind === Range && message === "Maximum call stack size exceeded") return ["stack", message, stack];
    return [kind === Syntax ? "syntax" : "", name && message ? name + ": " + message : name + message, stack];
  };

  // What a call gives: a string, or what is wrong with it as [kind, message].
  const named = (value) => (value === null ? "null" : isArray(value) ? "an array" : typeof value);
  const decode = (factory, bytes, longest, at, low, high) => {
    const f = start(factory, at, low, high)[0];
    if (typeof f !== "function") return ["missing", "there is no function rawDataToJsonStr"];
    const result = f(bytes);
    if (typeof result !== "string") {
      return ["return", "rawDataToJsonStr returned " + named(result) + ", not a string"];
    }
    if (result.length > longest) return ["output", "rawDataToJsonStr returned a string that is too long"];
    return result;
  };
  // The bytes come as a string with a character for each.
  const encode = (factory, json, longest, at, low, high) => {
    const f = start(factory, at, low, high)[1];
    if (typeof f !== "function") return ["missing", "there is no function jsonStrToRawData"];
    const result = f(json);
    if (!isArray(result) && !isView(result)) {
      return ["return", "jsonStrToRawData returned " + named(result) + ", not an array of bytes"];
    }
    const length = result.length;
    if (!isInteger(length)) return ["return", "jsonStrToRawData returned no array of bytes"];
    if (length > longest) return ["output", "jsonStrToRawData returned too many bytes"];
    let bytes = "";
    for (let at = 0; at < length; at++) {
      const byte = result[at];
      if (!isInteger(byte) || byte < -128 || byte > 255) {
        return ["return", "element " + at + " of what jsonStrToRawData returned is no byte"];
      }
      bytes += fromCharCode(byte & 255);
    }
    return bytes;
  };
  const check = (factory) => {
    const functions = start(factory, 0, 0, 0);
    if (typeof functions[0] !== "function") return ["missing", "there is no function rawDataToJsonStr"];
    if (typeof functions[1] !== "function") return ["missing", "there is no function jsonStrToRawData"];
    return "";
  };
  return [decode, encode, check, describe, remember, isChanged, close, clean];
})()
