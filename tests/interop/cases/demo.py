"""`narrowgate demo`: every line that it prints works when pasted into bash."""

import json
import os
import subprocess

from interop.harness import case, check, eventually
from lib.paths import TOOLS

# Debian 12 has libcoap 4.3.1, which takes no key in hex.
_NOT_HERE = "libcoap 4.3.5 and newer"
# aiocoap is in an environment of its own.
_ENVIRONMENT = {**os.environ, "PATH": f"{TOOLS / 'venv' / 'bin'}:{os.environ['PATH']}"}
_PROOFS = {2: '"code":200', 3: '"deviceSecret"'}


def _documents(gateway):
    """Whole ones: its log is looked at while it is written."""
    lines = gateway.log(1000).splitlines()
    return [line for line in lines if line.startswith("{") and line.endswith("}")]


@case("demo: the lines that it prints work when pasted, and it shows what came")
def _pasted(world):
    with world.fresh() as gateway:
        gateway.start("-o", "json", verb="demo")
        document = eventually("no document is printed", lambda: _documents(gateway))[0]
        devices = json.loads(document)["devices"]
        check(
            [device["secureMode"] for device in devices] == [2, 3], f"not one device of each mode: {devices}"
        )
        for device in devices:
            lines = [line for line in device["lines"] if line["tool"] != _NOT_HERE]
            check(len(lines) >= 3, f"too few lines to paste: {lines}")
            for line in lines:
                pasted = ["bash", "-c", line["line"]]
                where = {"cwd": gateway.folder, "env": _ENVIRONMENT}
                done = subprocess.run(pasted, capture_output=True, timeout=20, **where)
                printed = (done.stdout + done.stderr).decode(errors="replace")
                proof = _PROOFS[device["secureMode"]]
                check(proof in printed, f"{line['tool']}: pasted, it printed {printed!r}\n{line['line']}")
        names = devices[0]["productKey"], devices[0]["deviceKey"]
        eventually("no report is stored", lambda: gateway.json("device", "points", *names))


@case("demo: a second start keeps the product, the devices and their keys")
def _again(world):
    with world.fresh() as gateway:
        gateway.start(verb="demo")
        first = gateway.json("device", "list")
        check(len(first["devices"]) == 2, f"the demo has made {first}")
        check(gateway.stop() == 0, "the demo did not stop with 0")
        gateway.start(verb="demo")
        check(gateway.json("device", "list")["devices"] == first["devices"], "the devices are others")


@case("demo: after the activation it prints the next line, which works when pasted")
def _next_line(world):
    with world.fresh() as gateway:
        screen = gateway.folder / "screen"
        with screen.open("ab") as stdout:
            gateway.start(verb="demo", stdout=stdout)

        def pasted(proof):
            line = [line for line in screen.read_text().splitlines() if "| openssl s_client" in line][-1]
            done = subprocess.run(["bash", "-c", line], capture_output=True, timeout=20)
            said = (done.stdout + done.stderr).decode(errors="replace")
            check(proof in said, f"pasted, it printed {said!r}\n{line}")

        def printed():
            return screen.read_text().count("| openssl s_client")

        # The last of the lines that it begins with is the second device's.
        eventually("the lines are not printed", lambda: printed() == 2)
        pasted(_PROOFS[3])
        eventually("the next line is not printed", lambda: printed() == 3)
        check("with it from now on" in screen.read_text(), "what a device does with the secret is not said")
        pasted(_PROOFS[2])
        check(gateway.json("device", "show", "demo-factory")["state"] != "inactive", "it is not activated")
        devices = ("demo-meter", "demo-factory")
        secrets = [gateway.json("device", "secret", name)["deviceSecret"] for name in devices]
        keys = [secret.encode().hex() for secret in secrets]
        log = gateway.log(1000)
        check("ready" in log and "openssl" not in log, f"the lines with the keys are in the log:\n{log}")
        check(not any(key in log for key in secrets + keys), f"a key is in the log:\n{log}")
