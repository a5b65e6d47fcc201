// A device that reports five points as tagged fields, big-endian. Messages begin with kind (1 byte) and id
// (4 bytes); the answer to a report has no kind: id (4), code (2).
//
//   0x01  report                       fields: tag (1), length (2), value
//   0x02  command: set points          fields: tag (1), length (2) of text and arrays only, value
//   0x02  its reply                    code (1)
//   0x11  command: service1            input_int (4)
//   0x11  its reply                    code (1), output_int (4)
var REPORT = 0x01;
var SET = 0x02;
var SERVICE1 = 0x11;

var POINTS = [
  { tag: 1, name: "mp_int", read: readInt, write: writeInt },
  { tag: 2, name: "mp_string", read: readText, write: writeText },
  { tag: 3, name: "mp_double", read: readDouble, write: writeDouble },
  { tag: 4, name: "mp_array", read: readInts, write: writeInts },
  { tag: 5, name: "mp_int_quality", read: readQuality, write: writeQuality },
];

function rawDataToJsonStr(rawData) {
  var bytes = new Uint8Array(rawData);
  var view = new DataView(bytes.buffer);
  var kind = view.getUint8(0);
  var message = { id: String(view.getInt32(1)) };
  if (kind === REPORT) {
    message.version = "1.0";
    message.method = "thing.measurepoint.post";
    message.params = { measurepoints: readPoints(view) };
  } else if (kind === SET) {
    message.code = String(view.getUint8(5));
    message.data = {};
  } else if (kind === SERVICE1) {
    message.code = String(view.getUint8(5));
    message.data = { output_int: view.getInt32(6) };
  } else {
    throw new Error("unknown kind " + kind);
  }
  return JSON.stringify(message);
}

function jsonStrToRawData(jsonStr) {
  var message = JSON.parse(jsonStr);
  var out = [];
  var id = Number(message.id);
  if (message.method === "thing.service.measurepoint.set") {
    out.push(SET);
    writeInt(out, id);
    writePoints(out, message.params);
  } else if (message.method === "thing.service.service1") {
    out.push(SERVICE1);
    writeInt(out, id);
    writeInt(out, message.params.input_int);
  } else if (message.method === undefined) {
    writeInt(out, id);
    writeUint16(out, message.code);
  } else {
    throw new Error("unknown method " + message.method);
  }
  return out;
}

function readPoints(view) {
  var points = {};
  for (var at = 5; at < view.byteLength; ) {
    var point = pointOfTag(view.getUint8(at));
    var length = view.getUint16(at + 1);
    points[point.name] = point.read(view, at + 3, length);
    at += 3 + length;
  }
  return points;
}

function pointOfTag(tag) {
  for (var i = 0; i < POINTS.length; i++) {
    if (POINTS[i].tag === tag) return POINTS[i];
  }
  throw new Error("unknown tag " + tag);
}

function writePoints(out, points) {
  for (var i = 0; i < POINTS.length; i++) {
    var point = POINTS[i];
    if (point.name in points) {
      out.push(point.tag);
      point.write(out, points[point.name]);
    }
  }
}

function readInt(view, at) {
  return view.getInt32(at);
}

function readText(view, at, length) {
  var text = "";
  for (var i = 0; i < length; i++) text += String.fromCharCode(view.getUint8(at + i));
  return text;
}

function readDouble(view, at) {
  return view.getFloat64(at);
}

function readInts(view, at, length) {
  var values = [];
  for (var i = 0; i < length; i += 4) values.push(view.getInt32(at + i));
  return values;
}

function readQuality(view, at) {
  return { value: view.getInt32(at), quality: view.getUint8(at + 4) };
}

function writeUint16(out, value) {
  out.push((value >> 8) & 0xff, value & 0xff);
}

function writeInt(out, value) {
  out.push((value >> 24) & 0xff, (value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff);
}

function writeText(out, text) {
  writeUint16(out, text.length);
  for (var i = 0; i < text.length; i++) out.push(text.charCodeAt(i) & 0xff);
}

function writeDouble(out, value) {
  var view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  for (var i = 0; i < 8; i++) out.push(view.getUint8(i));
}

function writeInts(out, values) {
  writeUint16(out, 4 * values.length);
  for (var i = 0; i < values.length; i++) writeInt(out, values[i]);
}

function writeQuality(out, point) {
  writeInt(out, point.value);
  out.push(point.quality);
}
