"""Floods and mutations at the real program, of which nothing may stay: see `narrowgate-load flood` and
`mutations`.

tests/run load                       both floods and the mutations, a million of each; about ten minutes
tests/run load hello --count 100000  ClientHellos without a cookie, each from an address of its own
tests/run load abandoned             handshakes given up after the server's flight
tests/run load mutations --seed 2    mutated datagrams and messages

Fewer than a million are for trying it out: memory is compared with that of the first fifth, and may grow still.
Beside each, honest devices connect and report; the client compares with what they had before. One line for
each kind, `N passed, N failed` at the end, exit code 1 on any failure. Without --binaries a release build is
made and used.
"""

import json
import subprocess

from lib import build, command_line, load
from lib.program import Gateway
from lib.report import Report

PRODUCT, DEVICES = "LoadTest", 64
SECONDS_MAX = 3600
KINDS = ("hello", "abandoned", "mutations")
# The cache of the store, and points that mutations invent, would count as memory that grows; so would pages of
# 2 MiB that the kernel makes of partly used memory when it likes, also a minute after a flood.
SETTINGS = {"NARROWGATE_STORE_CACHE": "1MiB", "NARROWGATE_LOG_FILTER": "warn", "MIMALLOC_ALLOW_THP": "0"}
MODEL = {"modelId": "meter", "measurepoints": [{"identifier": "temp", "dataType": "DOUBLE"}]}


def run(report: Report, binaries, kind: str, options) -> None:
    """One kind, against a gateway of its own."""
    gateway = Gateway(binaries / "narrowgate")
    try:
        client = binaries / "narrowgate-load"
        load.register(gateway, client, PRODUCT, DEVICES)
        model = gateway.folder / "model.json"
        model.write_text(json.dumps(MODEL))
        gateway.json("product", "update", PRODUCT, "--model", str(model))
        gateway.start("--shards", "1", settings=SETTINGS)
        more = ["--http", f"127.0.0.1:{gateway.http_port}", "--server-pid", gateway.process.pid]
        more += ["--count", options.count, "--time-limit", SECONDS_MAX]
        if kind == "mutations":
            command = load.command(client, "mutations", gateway, PRODUCT, *more, "--seed", options.seed)
        else:
            command = load.command(
                client, "flood", gateway, PRODUCT, *more, "--kind", kind, "--rate", options.rate
            )
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        faults = [] if done.returncode == 0 else [f"exit code {done.returncode}", done.stderr]
        if (code := gateway.stop()) != 0:
            faults.append(f"the server ended with {code}: {gateway.tail()}")
        report.result(kind, faults, f"{options.count}")
        for line in done.stdout.splitlines():
            report.note(line)
    finally:
        gateway.remove()


def main(arguments: list[str]) -> int:
    """Reads the command line, runs the kinds, prints the count."""
    parser = command_line.parser("load", __doc__)
    parser.add_argument("kind", nargs="?", choices=KINDS, help="only this one")
    parser.add_argument("--binaries", help="folder of narrowgate and narrowgate-load")
    parser.add_argument("--count", type=int, default=1_000_000, help="how many")
    parser.add_argument("--rate", type=int, default=10_000, help="of a flood, per second")
    parser.add_argument("--seed", type=int, default=1, help="what the mutations follow from")
    options = parser.parse_args(arguments)
    if options.binaries is None:
        binaries = build.release()
    else:
        binaries = command_line.folder(parser, "--binaries", options.binaries)
    report = Report()
    for kind in [options.kind] if options.kind else KINDS:
        run(report, binaries, kind, options)
    return report.end()
