"use strict";
// Runs node-dtls-client, whose folder is the first argument. Reads a task as described in helper.py, with
// `datagrams` in hex, sends one after the other and prints the answers; their payload is the datagram in hex.

const { dtls } = require(process.argv[2]);

function finish(answer) {
  process.stdout.write(JSON.stringify(answer) + "\n", () => process.exit(0));
}

const task = JSON.parse(require("fs").readFileSync(0, "utf8"));
const responses = [];
let next = 0;

const client = dtls.createSocket({
  type: "udp4",
  address: task.host,
  port: task.port,
  // The library turns the string into one byte per character.
  psk: { [task.identity]: Buffer.from(task.key, "hex").toString("latin1") },
  timeout: task.seconds * 1000,
  ciphers: [{ CCM_8: "TLS_PSK_WITH_AES_128_CCM_8", CBC_SHA256: "TLS_PSK_WITH_AES_128_CBC_SHA256" }[task.suite]],
});

function sendNext() {
  if (next === task.datagrams.length) {
    client.close(() => finish({ responses }));
  } else {
    client.send(Buffer.from(task.datagrams[next++], "hex"));
  }
}

client.on("connected", sendNext);
client.on("message", (data) => {
  // An empty acknowledgement: the answer takes longer, and comes in a message of its own.
  if (data[1] === 0) return;
  responses.push({ code: "", contentFormat: null, payload: data.toString("hex") });
  sendNext();
});
client.on("error", (error) => {
  finish(/timed out/.test(error.message) ? { silence: error.message } : { failed: error.message });
});
setTimeout(() => finish({ silence: "no answer" }), task.seconds * 1000);
