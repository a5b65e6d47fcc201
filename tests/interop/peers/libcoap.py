"""libcoap's `coap-client-openssl` and `coap-client-gnutls` (4.3.1): CoAP of their own, Block1 and Block2,
Uri-Port in every request.

Neither takes a cipher suite as an option. OpenSSL's list is `PSK` at the system's security level: it has both
suites, of which the server prefers CCM_8 (from OpenSSL 3.2 on at level 0 only, which a file sets). GnuTLS's
list is fixed, but a system file can take single ciphers away. `-k` takes raw bytes and ends at the first NUL.
Every request is a process and a handshake of its own.
"""

import re
import shutil
import tempfile
from pathlib import Path

from lib.coap import FORMAT_JSON, Response, Silence
from lib.dtls import CBC, CCM8
from lib.tools import ToolMissing

from . import PeerFailed, run_peer

_OPENSSL_CONFIG = """openssl_conf = application
[application]
ssl_conf = modules
[modules]
system_default = defaults
[defaults]
CipherString = DEFAULT:@SECLEVEL=0
"""
_GNUTLS_CONFIG = "[overrides]\ntls-disabled-cipher = {cipher}\n"
_GNUTLS_DISABLED = {CCM8: "AES-128-CBC", CBC: "AES-128-CCM-8"}
# Options that it does not know, of numbers above 255, are printed byte by byte.
_OPTION = re.compile(r"(\d{3,}):((?:\\x[0-9A-F]{2})+)")
_RESPONSE = re.compile(r"v:1 t:\w+ c:([245]\.\d\d) i:\w+ \{\w*\} \[([^\]]*)\]")


class Libcoap:
    """One of the two programs; they differ in the DTLS library beneath."""

    def __init__(self, backend, suites):
        self.SUITES = suites
        self.NAME = f"libcoap-{backend}"
        self._backend = backend

    def exchange(self, target, requests, block_size=None, more=(), scheme="coaps"):
        """Each request in a session of its own; `block_size` (16 to 1024) makes larger payloads go
        block-wise.

        `more` are further options of the program. With the scheme `coap` there is no DTLS.
        """
        return [self._ask(target, request, block_size, more, scheme) for request in requests]

    def _ask(self, target, request, block_size, more, scheme):
        program = shutil.which(f"coap-client-{self._backend}")
        if program is None:
            raise ToolMissing(f"coap-client-{self._backend} is missing: run tests/run install")
        if 0 in target.key:
            raise PeerFailed("this peer cannot use a key with a NUL in it")
        with tempfile.TemporaryDirectory() as folder:
            config, answer = Path(folder) / "config", Path(folder) / "answer"
            if self._backend == "openssl":
                config.write_text(_OPENSSL_CONFIG)
                environment = {"OPENSSL_CONF": str(config)}
            else:
                config.write_text(_GNUTLS_CONFIG.format(cipher=_GNUTLS_DISABLED[target.suite]))
                environment = {"GNUTLS_SYSTEM_PRIORITY_FILE": str(config)}
            command = [program, "-v", "6", "-B", str(round(target.seconds)), "-o", str(answer)]
            command += ["-m", request.method.lower()]
            command += ["-u", target.identity, "-k", target.key] if scheme == "coaps" else []
            command += ["-b", str(block_size)] if block_size else []
            command += ["-t", str(request.content_format), "-f", "-"] if request.payload else []
            command += [*more, f"{scheme}://{target.host}:{target.port}{request.path}"]
            _, output, noise = run_peer(command, target.seconds + 3, environment, request.payload)
            log = output.decode(errors="replace") + noise
            found = _RESPONSE.findall(log)
            if not found:
                if "alert read" in log or "Connection refused" in log:
                    raise PeerFailed(log)
                raise Silence(f"coap-client-{self._backend} got no response")
            code, options = found[-1]
            content_format = FORMAT_JSON if "Content-Format:application/json" in options else None
            unknown = [(int(n), bytes.fromhex(v.replace("\\x", ""))) for n, v in _OPTION.findall(options)]
            payload = answer.read_bytes() if answer.exists() else b""
            return Response(code, payload, content_format, unknown)


OPENSSL, GNUTLS = Libcoap("openssl", (CCM8,)), Libcoap("gnutls", (CCM8, CBC))
