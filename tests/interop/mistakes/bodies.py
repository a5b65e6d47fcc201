"""Bodies: what is not JSON, what is not the message, and what is not in the thing model."""

import json
from dataclasses import replace

from interop.peers.libcoap import GNUTLS, OPENSSL

from . import BODY, PRODUCT, REPORT, Mistake, told

TITLE = "Bodies"
MODEL = {
    "modelId": "meter",
    "measurepoints": [
        {"identifier": "temp", "dataType": "DOUBLE"},
        {"identifier": "count", "dataType": "INT"},
    ],
}


def _body(what, peer, body, sees, reason, words):
    def make(bench):
        return told(lambda: peer.exchange(bench.target(), [replace(REPORT, payload=body)]))

    return Mistake(what, peer.NAME, make, sees, reason, words)


def _illegal(what, peer, body, words):
    return _body(what, peer, body, "`4.00`", "body_malformed", words)


def _points(what, peer, points, words):
    """Against a product with a model."""

    def make(bench):
        file = bench.gateway.folder / "model.json"
        file.write_text(json.dumps(MODEL))
        bench.operate("product", "update", PRODUCT, "--model", str(file))
        body = BODY.replace(b'{"temp":21.5}', points)
        return told(lambda: peer.exchange(bench.target(), [replace(REPORT, payload=body)]))

    return Mistake(what, peer.NAME, make, "`2.04`, code 1204", "model_invalid", words)


def _without(key):
    message = json.loads(BODY)
    del message[key]
    return json.dumps(message).encode()


_TIMED = b'"time":%d,"measurepoints":'
MISTAKES = [
    _body("nothing at all", OPENSSL, b"", "`4.00`", "body_malformed", "empty"),
    _illegal("`sizeof` instead of `strlen`: a NUL at the end", GNUTLS, BODY + b"\0", "NUL"),
    _illegal("a byte order mark in front", OPENSSL, b"\xef\xbb\xbf" + BODY, "byte order mark"),
    _illegal("`'` instead of `\"`", OPENSSL, BODY.replace(b'"', b"'"), "quot"),
    _illegal("keys without quotation marks", GNUTLS, BODY.replace(b'"temp"', b"temp"), "key"),
    _illegal("a comma behind the last value", OPENSSL, BODY.replace(b"21.5", b"21.5,"), "comma"),
    _illegal("`nan`, as `printf` writes it", GNUTLS, BODY.replace(b"21.5", b"nan"), "nan"),
    _illegal("`21,5`, as `printf` writes it in some locales", GNUTLS, BODY.replace(b"21.5", b"21,5"), ""),
    _illegal("cut off: the buffer of `snprintf` was too small", OPENSSL, BODY[:64], "cut off"),
    _illegal("JSON inside of a JSON string", GNUTLS, json.dumps(BODY.decode()).encode(), "object"),
    _body("no `params`", OPENSSL, _without("params"), "`2.04`, code 1200", "body_malformed", "params"),
    _body(
        "points outside of `measurepoints`",
        GNUTLS,
        BODY.replace(b'{"measurepoints":{"temp":21.5}}', b'{"temp":21.5}'),
        "`2.04`, code 1204",
        "model_invalid",
        "measurepoints",
    ),
    _body(
        "the method of another topic",
        OPENSSL,
        BODY.replace(b"measurepoint.post", b"event.post"),
        "`2.04`, code 1260",
        "body_malformed",
        "thing.measurepoint.post",
    ),
    _body(
        "a batch to the topic of single reports",
        GNUTLS,
        BODY.replace(b'{"measurepoints":{"temp":21.5}}', b'[{"measurepoints":{"temp":21.5}}]'),
        "`2.04`, code 1200",
        "body_malformed",
        "batch",
    ),
    _points("a number in quotation marks", OPENSSL, b'{"temp":"21.5"}', "/params/measurepoints/temp"),
    _points("a fraction for an INT", GNUTLS, b'{"count":1.0}', "/params/measurepoints/count"),
    _points("a point that the model does not have", OPENSSL, b'{"tmp":21.5}', "/params/measurepoints/tmp"),
    _points(
        "a point with a quality that the model does not give it",
        GNUTLS,
        b'{"temp":{"value":21.5,"quality":0}}',
        "/params/measurepoints/temp",
    ),
    _body(
        "the time in seconds",
        OPENSSL,
        BODY.replace(b'"measurepoints":', _TIMED % 1_795_000_000),
        "`2.04`, code 1204",
        "model_invalid",
        "seconds",
    ),
    _body(
        "the time in microseconds",
        GNUTLS,
        BODY.replace(b'"measurepoints":', _TIMED % 1_795_000_000_000_000),
        "`2.04`, code 1204",
        "model_invalid",
        "ahead",
    ),
    _body(
        "the time as text",
        OPENSSL,
        BODY.replace(b'"measurepoints":', b'"time":"2026-11-28T07:00:00Z","measurepoints":'),
        "`2.04`, code 1204",
        "model_invalid",
        "/params/time",
    ),
]
