"""HTTPS by a certificate of files, as programs that are not ours see it."""

import ssl
import subprocess
import time
import urllib.request
from contextlib import suppress

from interop.harness import case, check
from lib.program import Failed
from lib.waiting import wait_for

LOOKS_EVERY_SECONDS = 10
# A look, and a slow machine.
LOOK_SECONDS_MAX = 30


def _make(folder, name):
    """A certificate of `localhost` that signs itself, with its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    of_localhost = ["-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = [*made, "-keyout", key, "-out", certificate, *of_localhost]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return certificate, key


def _ask(gateway, trusted, path="/health/live"):
    """The answer to a GET by HTTPS of one who trusts this certificate alone; None if it is not shown."""
    context = ssl.create_default_context(cafile=str(trusted))
    address = f"https://localhost:{gateway.http_port}{path}"
    with suppress(OSError), urllib.request.urlopen(address, timeout=5, context=context) as answer:
        return answer
    return None


def _settings(certificate, key):
    return {"NARROWGATE_HTTP_TLS_CERTIFICATE": str(certificate), "NARROWGATE_HTTP_TLS_KEY": str(key)}


@case("HTTPS: a certificate is served, and another one as soon as its files are replaced")
def _served(world):
    with world.fresh() as gateway:
        first, first_key = _make(gateway.folder, "first")
        second, second_key = _make(gateway.folder, "second")
        shown, shown_key = gateway.folder / "shown.pem", gateway.folder / "shown.key.pem"
        shown.write_bytes(first.read_bytes())
        shown_key.write_bytes(first_key.read_bytes())
        gateway.start(settings=_settings(shown, shown_key))
        check("https://127.0.0.1" in gateway.said(), "the banner does not say https")
        answer = _ask(gateway, first)
        check(answer is not None and answer.status == 200, "the certificate is not shown")
        check(answer.headers["Strict-Transport-Security"], "browsers are not told to stay with HTTPS")
        check(_ask(gateway, second) is None, "another certificate is believed")

        shown_key.write_text("half of a key")
        shown.write_bytes(second.read_bytes())
        wait_for(lambda: "cannot be used" in gateway.said(), LOOK_SECONDS_MAX, 0.2)
        time.sleep(LOOKS_EVERY_SECONDS + 2)
        check(gateway.said().count("cannot be used") == 1, "a wrong key is not said once")
        check(_ask(gateway, first) is not None, "the old certificate does not stay")

        shown_key.write_bytes(second_key.read_bytes())
        wait_for(lambda: _ask(gateway, second), LOOK_SECONDS_MAX, 0.5)
        check(_ask(gateway, second) is not None, "the new certificate is not shown")
        check(gateway.running(), "the server has ended")


@case("HTTPS: who speaks HTTP is told of it, and a certificate that cannot be used is refused at the start")
def _wrong(world):
    with world.fresh() as gateway:
        certificate, key = _make(gateway.folder, "one")
        other, _ = _make(gateway.folder, "other")
        gateway.start(settings=_settings(certificate, key))
        status, text = gateway.http("/health/live")
        check((status, "https://" in text) == (400, True), f"HTTP is answered {status}: {text}")
        gateway.stop()
        for wrong in ((other, key), (gateway.folder / "nothing", key)):
            try:
                gateway.start(settings=_settings(*wrong))
            except Failed as failed:
                check("HTTPS cannot be served" in str(failed), f"it said {failed}")
            else:
                check(False, "the server started with a certificate that cannot be used")
