"""Requests: methods, paths, options, and how messages are numbered."""

from dataclasses import replace

from interop.peers import openssl
from interop.peers.libcoap import GNUTLS, OPENSSL
from interop.peers.mbedtls import MBEDTLS_3
from lib.coap import Request, build_request
from lib.devices import psk

from . import BODY, DEVICE, OTHER, PATH, PRODUCT, PRODUCT_SECRET, REPORT, Mistake, shown, told

TITLE = "Requests"


def _request(what, peer, request, sees, reason, words, *more, **exchange):
    def make(bench):
        return told(lambda: peer.exchange(bench.target(), [request], more=more, **exchange))

    return Mistake(what, peer.NAME, make, sees, reason, words)


def _path(what, peer, path, words):
    return _request(f"{what}: `{path}`", peer, replace(REPORT, path=path), "`4.04`", "path_unknown", words)


def _report_in_mode_3(bench):
    target = bench.target(f"{PRODUCT},{DEVICE},3,3600", psk(PRODUCT_SECRET))
    return told(lambda: OPENSSL.exchange(target, [REPORT]))


def _same_message_id(bench):
    session = openssl.Session(bench.target())
    try:
        for temp in (b"21.5", b"22.5"):
            message = build_request(replace(REPORT, payload=BODY.replace(b"21.5", temp)), 1, b"1")
            response = session.exchange(message)
        latest = bench.operate("device", "points", PRODUCT, DEVICE)[0]["value"]
        return f"{shown(response)}, and only the first is stored" if latest == 21.5 else shown(response)
    finally:
        session.close()


def _new_port(bench):
    session = MBEDTLS_3.session(bench.target()).handshake()
    session.ask(REPORT)
    session.move()
    said = told(lambda: [session.ask(REPORT, 2.5)])
    session.vanish()
    return said


_TOPIC = f"/sys/{PRODUCT}/{DEVICE}/thing/measurepoint/post"
MISTAKES = [
    _request("`GET` instead of `POST`", OPENSSL, Request("GET", PATH), "`4.05`", "method_wrong", "POST"),
    _request(
        "`PUT` instead of `POST`", GNUTLS, replace(REPORT, method="PUT"), "`4.05`", "method_wrong", "POST"
    ),
    _path("a slash at the end", GNUTLS, PATH + "/", "slash"),
    _path("the topic without `/topic`", OPENSSL, _TOPIC, "/topic"),
    _path("another case", GNUTLS, PATH.replace("measurepoint", "measurePoint"), "case"),
    _path("the topic's dots", OPENSSL, "/thing.measurepoint.post", ""),
    _path("two slashes", GNUTLS, "/" + PATH, "slash"),
    _path("a misspelt topic", OPENSSL, PATH.replace("measurepoint", "measurepoints"), "measurepoint"),
    _request(
        "another device's keys in the path",
        OPENSSL,
        replace(REPORT, path=PATH.replace(DEVICE, OTHER)),
        "`4.03`",
        "topic_foreign",
        "another device",
    ),
    Mistake(
        "a report in a session with secure mode 3",
        OPENSSL.NAME,
        _report_in_mode_3,
        "`4.03`",
        "topic_foreign",
        "secure mode 3",
    ),
    _request(
        "JSON with Content-Format 60 (CBOR)",
        GNUTLS,
        replace(REPORT, content_format=60),
        "`4.00`",
        "body_malformed",
        "60",
    ),
    _request(
        "Content-Format 41 (XML)",
        OPENSSL,
        replace(REPORT, content_format=41),
        "`4.15`",
        "body_malformed",
        "41",
    ),
    _request("Accept 41 (XML)", OPENSSL, REPORT, "`4.06`", "not_acceptable", "41", "-A", "41"),
    _request("If-Match", GNUTLS, REPORT, "`4.12`", "option_unsupported", "If-Match", "-O", "1,abc"),
    _request(
        "Proxy-Uri", OPENSSL, REPORT, "`5.05`", "option_unsupported", "Proxy", "-O", "35,coap://gateway"
    ),
    _request(
        "option 2101, an older signature",
        GNUTLS,
        REPORT,
        "`4.02`",
        "option_unsupported",
        "2101",
        "-O",
        "2101,abc",
    ),
    _request(
        "a body of more than 10 KiB, in blocks of 64 bytes",
        OPENSSL,
        replace(REPORT, payload=BODY + b" " * 10240),
        "`4.13`",
        "too_large",
        "in blocks of",
        block_size=64,
    ),
    Mistake(
        "the same Message ID in every message",
        openssl.NAME,
        _same_message_id,
        "`2.04`, and only the first is stored",
        "message_id_reused",
        "",
    ),
    Mistake("another port (or NAT) in the middle of a session", MBEDTLS_3.NAME, _new_port, "nothing", None),
]
