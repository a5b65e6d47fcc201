"""libcoap's `coap-client-openssl` and `coap-client-gnutls` (4.3.1): CoAP of their own, Block1 and Block2, Uri-Port in every request.

Neither takes a cipher suite as an option. OpenSSL's list is `PSK` at the system's security level: level 0 adds CCM_8,
which the server prefers, level 2 leaves CBC. GnuTLS's list is fixed, but a system file can take single ciphers away.
`-k` takes raw bytes and ends at the first NUL. Every request is a process and a handshake of its own.
"""

import re
import shutil
import tempfile
from pathlib import Path

from coap import FORMAT_JSON, Response, Silence

from . import CBC, CCM8, PeerFailed, ToolMissing, run_peer

SUITES = (CCM8, CBC)
_OPENSSL_CONFIG = """openssl_conf = application
[application]
ssl_conf = modules
[modules]
system_default = defaults
[defaults]
CipherString = DEFAULT:@SECLEVEL={level}
"""
_LEVELS = {CCM8: 0, CBC: 2}
_GNUTLS_CONFIG = "[overrides]\ntls-disabled-cipher = {cipher}\n"
_GNUTLS_DISABLED = {CCM8: "AES-128-CBC", CBC: "AES-128-CCM-8"}
_RESPONSE = re.compile(r"v:1 t:\w+ c:([245]\.\d\d) i:\w+ \{\w*\} \[([^\]]*)\]")


class Libcoap:
    """One of the two programs; they differ in the DTLS library beneath."""

    SUITES = SUITES

    def __init__(self, backend):
        self.NAME = f"libcoap-{backend}"
        self._backend = backend

    def exchange(self, target, requests, block_size=None):
        """Each request in a session of its own; `block_size` (16 to 1024) makes larger payloads go block-wise."""
        return [self._ask(target, request, block_size) for request in requests]

    def _ask(self, target, request, block_size):
        program = shutil.which(f"coap-client-{self._backend}")
        if program is None:
            raise ToolMissing(f"coap-client-{self._backend} is missing: run tests/install")
        if 0 in target.key:
            raise PeerFailed("this peer cannot use a key with a NUL in it")
        with tempfile.TemporaryDirectory() as folder:
            config, answer = Path(folder) / "config", Path(folder) / "answer"
            if self._backend == "openssl":
                config.write_text(_OPENSSL_CONFIG.format(level=_LEVELS[target.suite]))
                environment = {"OPENSSL_CONF": str(config)}
            else:
                config.write_text(_GNUTLS_CONFIG.format(cipher=_GNUTLS_DISABLED[target.suite]))
                environment = {"GNUTLS_SYSTEM_PRIORITY_FILE": str(config)}
            command = [program, "-v", "6", "-B", str(round(target.seconds)), "-o", str(answer)]
            command += ["-m", request.method.lower(), "-u", target.identity, "-k", target.key]
            command += ["-b", str(block_size)] if block_size else []
            command += ["-t", str(FORMAT_JSON), "-f", "-"] if request.payload else []
            command += [f"coaps://{target.host}:{target.port}{request.path}"]
            _, output, noise = run_peer(command, target.seconds + 3, environment, request.payload)
            log = output.decode(errors="replace") + noise
            found = _RESPONSE.findall(log)
            if not found:
                if "alert read" in log:
                    raise PeerFailed(log)
                raise Silence(f"coap-client-{self._backend} got no response")
            code, options = found[-1]
            content_format = FORMAT_JSON if "Content-Format:application/json" in options else None
            return Response(code, answer.read_bytes() if answer.exists() else b"", content_format)


OPENSSL, GNUTLS = Libcoap("openssl"), Libcoap("gnutls")
