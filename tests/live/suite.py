"""Followers of live events over restarts and `kill -9` of the real binary: each gets every report once.

tests/run live                          1,000 followers, 10 % of them slow, over 20 restarts
tests/run live --quick                  100 followers over 4 restarts, less than 30 s
tests/run live --followers N --slow PERCENT --restarts N --rate REPORTS [--seed S]

A fleet of three classes of retention reports all the time, so that reports are in several files. Every other
end is a `kill -9`, the others are SIGTERM. Each follower connects again with its last cursor. At the end what
each has seen must be what is stored, in the order of the commits, from the first report to the last: nothing
missed, nothing doubled; and what was acknowledged must be stored. Then the store is copied: who follows there
from an old cursor is told of the gap.

Without --binary the program is built; `narrowgate-load` is taken from beside it.
"""

import asyncio
import random
import resource
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path

from crash.fleet import Fleet
from crash.ledger import Ledger
from crash.server import THREE_CLASSES, Programs, Server, copy_of
from lib import build, command_line, leave_nothing
from lib.program import Failed
from lib.report import Report
from live.followers import Followers

DEVICES = 60
# Of one token there may be a part of all followers only.
FOLLOWERS_PER_TOKEN = 25
SETTLE_SECONDS = 120
GAP_SECONDS = 20


def _parser():
    parser = command_line.parser("live", __doc__)
    parser.add_argument("--binary", help="the narrowgate program to test; without it one is built")
    parser.add_argument("--quick", action="store_true", help="100 followers over 4 restarts")
    parser.add_argument("--followers", type=int, help="so many (1000)")
    parser.add_argument("--slow", type=int, default=10, help="so many percent of them are slow (10)")
    parser.add_argument("--restarts", type=int, help="so many (20)")
    parser.add_argument("--rate", type=int, default=60, help="reports per second (60)")
    parser.add_argument("--seed", type=int, default=1, help="chooses moments")
    return parser


def _stored(data):
    """Names of all stored reports, in the order of the commits."""
    rows = []
    for file in sorted((data / "messages").glob("*.db")):
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)
        name = "json_extract(points, '$.d') << 40 | json_extract(points, '$.n')"
        rows += connection.execute(f"SELECT epoch, sequence, {name} FROM messages WHERE kind = 'points'")
        connection.close()
    return [name for _, _, name in sorted(rows)]


def _difference(seen, expected):
    """In words, how what was seen differs from what is stored; None where it does not."""
    if seen == expected:
        return None
    doubled, missed = len(seen) - len(set(seen)), len(set(expected) - set(seen))
    strange, pairs = len(set(seen) - set(expected)), enumerate(zip(seen, expected))
    first = next((number for number, pair in pairs if pair[0] != pair[1]), min(len(seen), len(expected)))
    text = f"{len(seen)} seen, {doubled} of them doubled, {missed} missed, {strange} not stored"
    return f"{text}; they differ from number {first} on"


async def _live(server, followers, restarts, rng):
    """The server ends and starts, again and again."""
    for number in range(restarts):
        await asyncio.sleep(rng.uniform(0.5, 3))
        if number % 2:
            await asyncio.to_thread(server.stop)
        else:
            server.kill()
        server.spawn()
        await asyncio.to_thread(server.wait_ready)
    await asyncio.sleep(2)
    return sum(follower.connections for follower in followers.all)


async def _run(report, server, options, tokens, folder):
    slow = options.followers * options.slow // 100
    followers = Followers(server.http_port, tokens, options.followers, slow, options.seed)
    followers.begin()
    late = await followers.wait(lambda follower: follower.cursor is not None, SETTLE_SECONDS)
    report.result("each follower is told where it begins", [f"{late} are not"] if late else [])
    fleet = Fleet(server, DEVICES, options.rate, DEVICES, 0, products=THREE_CLASSES)
    try:
        begin = time.monotonic()
        connections = await _live(server, followers, options.restarts, random.Random(options.seed))
        await asyncio.to_thread(fleet.stop)
        elapsed = time.monotonic() - begin
        expected = _stored(server.data)
        followers.hurry()
        await followers.wait(lambda follower: len(follower.seen) >= len(expected), SETTLE_SECONDS)
    finally:
        fleet.kill()
    # What comes after the last one would be a double.
    await asyncio.sleep(1)
    differences = [_difference(follower.seen, expected) for follower in followers.all]
    faults = [difference for difference in differences if difference]
    faults += [fault for follower in followers.all for fault in follower.faults[:1]]
    faults += [gap for follower in followers.all for gap in follower.gaps[:1]]
    text = f"{options.followers} followers, {slow} slow, {options.restarts} restarts in {elapsed:.0f} s, "
    text += f"{connections} connections, {len(expected)} reports to each"
    report.result("nothing is missed, nothing is doubled, and no gap is told", faults, text)
    acknowledged = {name for name in Ledger(fleet.log).read().acknowledged if name > 0}
    lost = acknowledged - set(expected)
    report.result(
        "what was acknowledged is stored and was told",
        [f"{len(lost)} are not"] if lost or not acknowledged else [],
        f"{len(acknowledged)} acknowledged",
    )
    await followers.end()
    await _gap(report, server, tokens, followers.all[0].cursor, folder)


async def _gap(report, server, tokens, cursor, folder):
    """In a copy of the store, which goes on for itself, an old cursor leads to a gap that is told."""
    await asyncio.to_thread(server.stop)
    server.data = copy_of(server.data, folder / "copy")
    server.spawn()
    await asyncio.to_thread(server.wait_ready)
    followers = Followers(server.http_port, tokens, 1, 0, 1)
    followers.all[0].cursor = cursor
    followers.begin()
    await followers.wait(lambda follower: follower.gaps, GAP_SECONDS)
    await followers.end()
    gaps = followers.all[0].gaps
    faults = [] if len(gaps) == 1 and '"restored"' in gaps[0] else [f"told: {gaps}"]
    report.result("in a copy of the store a follower is told of the gap", faults)


def main(arguments: list[str]) -> int:
    """Reads the command line, runs it, prints the count."""
    parser = _parser()
    options = parser.parse_args(arguments)
    options.followers = options.followers or (100 if options.quick else 1000)
    options.restarts = options.restarts or (4 if options.quick else 20)
    narrowgate = command_line.program(parser, "--binary", options.binary, build.shipped)
    programs = Programs(narrowgate, command_line.load_beside(parser, narrowgate))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    report, folder = Report(), Path(tempfile.mkdtemp(prefix="live-"))
    server = Server(programs, folder)
    try:
        server.register(DEVICES, 0, THREE_CLASSES)
        count = -(-options.followers // FOLLOWERS_PER_TOKEN)
        names = [f"follower-{number}" for number in range(count)]
        tokens = [server.json("token", "create", name, "--role", "viewer")["token"] for name in names]
        server.start()
        asyncio.run(_run(report, server, options, tokens, folder))
    except Failed as error:
        report.result("live", [str(error)])
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
    report.result("no process is left behind", leave_nothing.left_behind())
    return report.end()
