"""Kills the real binary, breaks its disk and its files, and compares what is stored with what was
acknowledged.

tests/run crash                      some of everything, about a minute and a half (the same as --quick)
tests/run crash --kills 500 --devices 100000 --rate 1000 [--seed S]
tests/run crash --failpoints      and while old files are removed, a device purged, an image uploaded
tests/run crash --faults [--all] | --full-disk | --damage [--all] | --backups N --rate 2000

Without --binary and --hooks both programs are built. `narrowgate-load` is taken from beside the binary. One
line per round, `N passed, N failed` at the end, exit code 1 on any failure. Needs strace, and the right to
mount (root).
"""

import functools
import shutil
import tempfile
import time
from pathlib import Path

from crash import backups, damage, disk, failpoints, faults, kills, purges, removal, uploads
from crash.server import Programs
from lib import build, command_line, leave_nothing
from lib.report import Report

# The cases of the catalogue of hostile input that each part tries.
ATTACKS = {
    "kills": "attack_188_kill_9_under_load",
    "failpoints": "attack_162_crash_around_activation, attack_188_kill_9_at_named_points",
    "removal": "attack_188_kill_9_at_the_end_of_retention",
    "purges": "attack_188_kill_9_while_a_device_is_purged",
    "uploads": "attack_188_kill_9_while_an_image_is_uploaded",
    "full-disk": "attack_191_disk_full",
    "full-disk upload": "attack_191_disk_full_while_an_image_is_uploaded",
    "midnight": "attack_191_disk_full_at_midnight",
    "damage": "damaged files",
    "backups": "attack_213_backups_under_load, attack_213_an_earlier_registry",
    "faults": "attack_190_failing_system_calls",
}


def _parser():
    parser = command_line.parser("crash", __doc__)
    parser.add_argument("--binary", help="the narrowgate program to test; without it one is built")
    parser.add_argument("--hooks", help="the same with the feature test-hooks; without it one is built")
    parser.add_argument("--quick", action="store_true", help="some of everything; the default")
    parser.add_argument("--kills", type=int, default=0, help="so many times kill -9")
    parser.add_argument("--devices", type=int, default=1000, help="registered devices")
    parser.add_argument("--rate", type=int, default=1000, help="reports per second")
    parser.add_argument("--mean", type=float, default=1.5, help="seconds that the server lives on average")
    parser.add_argument("--failpoints", action="store_true", help="kill it at every named point")
    parser.add_argument("--faults", action="store_true", help="let system calls fail")
    parser.add_argument("--full-disk", action="store_true", help="fill its disk, and make space again")
    parser.add_argument("--backups", type=int, default=0, help="so many backups under load, restored")
    parser.add_argument("--damage", action="store_true", help="cut files and flip bits")
    parser.add_argument("--all", action="store_true", help="all faults and many damages instead of a sample")
    parser.add_argument(
        "--seed", type=int, help="chooses moments and places (1 with --quick, else anew each time)"
    )
    parser.add_argument("--keep", action="store_true", help="keep the folders of failed rounds")
    return parser


def _parts(options, report, shipped, hooks):
    """Name, whether it is wanted, and what runs it in a folder."""
    quick, seed = options.quick, options.seed
    count, mean = options.kills or 15, options.mean if options.kills else 0.5
    damages = 300 if options.all else 25
    return (
        (
            "kills",
            quick or options.kills,
            lambda place: kills.run(
                report, shipped(), place, count, options.devices, options.rate, seed, mean
            ),
        ),
        (
            "failpoints",
            quick or options.failpoints,
            lambda place: failpoints.run(report, hooks(), place, seed),
        ),
        (
            "removal",
            quick or options.failpoints,
            lambda place: removal.run(report, hooks(), place),
        ),
        (
            "purges",
            quick or options.failpoints,
            lambda place: purges.run(report, hooks(), place),
        ),
        (
            "uploads",
            quick or options.failpoints,
            lambda place: uploads.run(report, hooks(), place),
        ),
        ("full-disk", quick or options.full_disk, lambda place: disk.run(report, shipped(), place, 2)),
        (
            "midnight",
            quick or (options.full_disk and options.hooks),
            lambda place: disk.midnight(report, hooks(), place),
        ),
        (
            "full-disk upload",
            quick or (options.full_disk and options.hooks),
            lambda place: uploads.full_disk(report, hooks(), place),
        ),
        (
            "damage",
            quick or options.damage,
            lambda place: damage.run(report, shipped(), place, seed, damages),
        ),
        (
            "backups",
            quick or options.backups,
            lambda place: backups.run(report, shipped(), place, options.backups or 1, options.rate),
        ),
        (
            "faults",
            quick or options.faults,
            lambda place: faults.Faults(report, shipped(), place, seed, options.all).run(),
        ),
    )


def main(arguments: list[str]) -> int:
    """Reads the command line, runs the rounds, prints the count."""
    parser = _parser()
    options = parser.parse_args(arguments)
    options.quick |= not (
        options.kills
        or options.failpoints
        or options.faults
        or options.full_disk
        or options.damage
        or options.backups
    )
    if options.seed is None:
        options.seed = 1 if options.quick else time.time_ns() % 1_000_000
    report = Report()

    @functools.cache
    def shipped():
        narrowgate = command_line.program(parser, "--binary", options.binary, build.shipped)
        return Programs(narrowgate, command_line.load_beside(parser, narrowgate))

    @functools.cache
    def hooks():
        narrowgate = command_line.program(parser, "--hooks", options.hooks, build.with_hooks)
        return Programs(narrowgate, command_line.load_beside(parser, narrowgate))

    folder = Path(tempfile.mkdtemp(prefix="crash-", dir=leave_nothing.kept() if options.keep else None))
    begin = time.monotonic()
    try:
        for name, wanted, part in _parts(options, report, shipped, hooks):
            if wanted:
                report.note(ATTACKS[name])
                place = folder / name
                place.mkdir()
                part(place)
    finally:
        if options.keep and report.failed:
            report.note(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    report.result("no process is left behind", leave_nothing.left_behind())
    print(f"seed {options.seed}, {time.monotonic() - begin:.0f} s", flush=True)
    return report.end()
