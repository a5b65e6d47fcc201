"""Two builds in turns: what a login and a report cost the server's processor in each.

Each round starts a server of either build for each store, in an order that changes from round to round, and
lets one load client run against it: first logins by CCM_8 and by CBC, logins again, reports. The ratio of a
round is that of two runs that followed each other; the median of these ratios is what is printed, as single
runs on a machine that is not quiet lie a fifth apart. With a bound, exit code 1 names the rows of the durable
store that cost more.
"""

import statistics
import tempfile
from pathlib import Path

HANDSHAKES = 50_000
REPORT_SESSIONS, REPORTS = 4_000, 400_000
# Of the durable store, more than the older build, in percent.
DEARER_MAX = 5.0
OPERATIONS = (
    "handshake CCM_8, first login",
    "handshake CBC, first login",
    "handshake CCM_8, login again",
    "report",
)


def pairs(binaries, against, server, stores, rounds, scale):
    """Returns the rows that broke the bound."""
    # One client for both, and one number of devices: the load does not depend on the build.
    with tempfile.TemporaryDirectory(prefix="narrowgate-pairs-") as folder:
        older = Path(folder)
        (older / "narrowgate").symlink_to(against.resolve() / "narrowgate")
        (older / "narrowgate-load").symlink_to(binaries / "narrowgate-load")
        builds, cost = (older, binaries), {}
        for number in range(rounds):
            for store in stores:
                for build in builds if number % 2 == 0 else reversed(builds):
                    _run(build, server, store, scale, cost)
            _told(number + 1, builds, stores, cost)
    return _table(builds, stores, cost)


def _run(build, server, store, scale, cost):
    count, reports = HANDSHAKES // scale, REPORTS // scale
    with server(build, store, 2 * count) as one:
        for operation, first, suite in zip(OPERATIONS, (1, 1 + count, 1), ("ccm8", "cbc", "ccm8"), strict=False):
            outcome = one.measure("handshakes", "--count", count, "--suite", suite, "--first", first)
            _note(cost, store, operation, build, outcome)
    with server(build, store, REPORT_SESSIONS // scale) as one:
        outcome = one.measure(
            "reports", "--sessions", REPORT_SESSIONS // scale, "--count", reports, "--window", 256
        )
        _note(cost, store, OPERATIONS[-1], build, outcome)


def _note(cost, store, operation, build, outcome):
    if outcome["failed"]:
        raise SystemExit(f"benches/run: {operation}: {outcome['failed']} failed")
    cost.setdefault((store, operation, build), []).append(outcome["server"]["processorUsPerOperation"])


def _told(number, builds, stores, cost):
    lines = []
    for store in stores:
        turns = [[cost[store, operation, build][-1] for build in builds] for operation in OPERATIONS]
        lines.append(f"{store} " + ", ".join(f"{older:.1f} -> {newer:.1f}" for older, newer in turns))
    print(f"round {number}: " + "; ".join(lines), flush=True)


def _table(builds, stores, cost):
    broken = []
    print("\n| operation | " + " | ".join(stores.values()) + " |\n|---" + "|---" * len(stores) + "|")
    for operation in OPERATIONS:
        cells = []
        for store in stores:
            older, newer = (cost[store, operation, build] for build in builds)
            dearer = 100 * (statistics.median(n / o for o, n in zip(older, newer, strict=True)) - 1)
            cells.append(f"{statistics.median(older):.1f} → {statistics.median(newer):.1f} ({dearer:+.1f} %)")
            if store == "sqlite" and dearer > DEARER_MAX:
                broken.append(f"{operation}: {dearer:+.1f} %, at most {DEARER_MAX:+.0f} %")
        print(f"| {operation} | " + " | ".join(cells) + " |", flush=True)
    return broken
