"""Ports, protocols, versions and cipher suites."""

import shutil
import socket

from interop.peers import Target, gnutls, openssl, run_peer
from interop.peers.libcoap import GNUTLS, OPENSSL
from interop.peers.mbedtls import MBEDTLS_3, Options
from lib.dtls import CBC
from lib.ports import free_port
from lib.tools import ToolMissing

from . import IDENTITY, KEY, NOTHING, PATH, REPORT, SILENT_SECONDS, Mistake, told

TITLE = "Ports, protocols and cipher suites"
FOREIGN = "not_dtls"


def _plain_coap(bench):
    return told(lambda: OPENSSL.exchange(bench.target(), [REPORT], scheme="coap"))


def _port_of_nobody(bench):
    target = Target(free_port(socket.SOCK_DGRAM), IDENTITY, KEY, CBC, SILENT_SECONDS)
    return told(lambda: GNUTLS.exchange(target, [REPORT]))


def _hello(*more, version="-dtls1_2"):
    """A ClientHello of `openssl s_client` with other options."""

    def make(bench):
        session = openssl.Session(bench.target(), more=more, version=version)
        try:
            return told(lambda: [session.ask(REPORT)])
        finally:
            session.vanish()

    return make


def _normal_priority(bench):
    return told(lambda: gnutls.exchange(bench.target(), [REPORT], "NORMAL"))


def _tls_in_datagrams(bench):
    quick = Options(tls=True, first_timeout_ms=1500)
    return told(lambda: MBEDTLS_3.exchange(bench.target(suite=CBC), [REPORT], quick))


def _by_bash(text):
    """One datagram of text, as a modem's UDP socket sends it; bash will do for that."""

    def make(bench):
        bash = shutil.which("bash")
        if bash is None:
            raise ToolMissing("bash is missing")
        script = f"exec 3<>/dev/udp/127.0.0.1/{bench.port}; cat <<<'{text}' >&3; timeout 1 head -c 1 <&3"
        code, output, noise = run_peer([bash, "-c", script], SILENT_SECONDS)
        return NOTHING if not output else repr(output)

    return make


_POST = f"POST {PATH} HTTP/1.1\r\nHost: gateway\r\n\r\n"
MISTAKES = [
    Mistake(
        "plain CoAP to the DTLS port: `coap://…:5684`", OPENSSL.NAME, _plain_coap, NOTHING, FOREIGN, "CoAP"
    ),
    Mistake(
        "the port of plain CoAP, 5683, where nobody listens",
        GNUTLS.NAME,
        _port_of_nobody,
        "`Connection refused`",
        None,
    ),
    Mistake(
        "TLS over TCP: `s_client -tls1_2`",
        openssl.NAME,
        _hello(version="-tls1_2"),
        "`Connection refused`",
        None,
    ),
    Mistake(
        "TLS inside of UDP datagrams",
        MBEDTLS_3.NAME,
        _tls_in_datagrams,
        NOTHING,
        "version_unsupported",
        "TLS",
    ),
    Mistake("HTTP inside of UDP datagrams", "bash", _by_bash(_POST), NOTHING, FOREIGN, "HTTP"),
    Mistake("the JSON alone, without CoAP and DTLS", "bash", _by_bash('{"temp":21.5}'), NOTHING, FOREIGN, ""),
    Mistake(
        "DTLS 1.0",
        openssl.NAME,
        _hello("-cipher", "PSK-AES128-CBC-SHA:@SECLEVEL=0", version="-dtls1"),
        "alert 70 (protocol version)",
        "version_unsupported",
        "1.0",
    ),
    Mistake(
        "a suite that is not served: `PSK-AES256-GCM-SHA384`",
        openssl.NAME,
        _hello("-cipher", "PSK-AES256-GCM-SHA384:@SECLEVEL=0"),
        "alert 40 (handshake failure)",
        "no_common_cipher_suite",
        "",
    ),
    Mistake(
        "certificates instead of a pre-shared key",
        openssl.NAME,
        _hello("-cipher", "ECDHE-ECDSA-AES128-CCM8:ECDHE-ECDSA-AES128-GCM-SHA256:@SECLEVEL=0"),
        "alert 40 (handshake failure)",
        "no_common_cipher_suite",
        "",
    ),
    Mistake(
        "GnuTLS's priority `NORMAL`, which has no PSK",
        gnutls.NAME,
        _normal_priority,
        "alert 40 (Handshake failed)",
        "no_common_cipher_suite",
        "",
    ),
]
