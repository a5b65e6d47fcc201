"""The container file: its lines are run by hand, since there is no engine that would."""

import json
import re
import shutil
import subprocess
import tempfile
import time
from fnmatch import fnmatch
from pathlib import Path

from lib.paths import ROOT
from lib.report import Report
from package.machine import Machine

FILE = ROOT / "deploy" / "Containerfile"
READY_SECONDS = 60


def instructions() -> list[tuple[str, str]]:
    """The file's instructions, in order."""
    lines = FILE.read_text().replace("\\\n", " ").splitlines()
    words = [line.split(maxsplit=1) for line in lines if line.strip() and not line.startswith("#")]
    return [(name, rest) for name, rest in words]


def run(report: Report, machine: Machine, program: Path) -> None:
    """All of it, in a machine in which the package is not installed."""
    stages: list[list[tuple[str, str]]] = []
    for name, rest in instructions():
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, rest))
    small = len(stages) == 2 and "-slim" in stages[1][0][1]
    report.result("two stages, the second of them small", [] if small else stages)
    _paths(report, stages)
    commands = [rest for name, rest in stages[1] if name == "RUN" and "apt-get" not in rest]
    _prepared(report, machine, commands)
    _last(report, machine, program, dict(stages[1]))


def _paths(report: Report, stages: list[list[tuple[str, str]]]) -> None:
    """What it names is in the tree, and goes to the engine."""
    first, last = ("\n".join(rest for _, rest in stage) for stage in stages)
    ignored = (ROOT / ".dockerignore").read_text().split()
    named = ["Cargo.lock", "crates/narrowgate", *re.findall(r"\bdeploy/\S+", first)]
    named += [path.removeprefix("/tree/") for path in re.findall(r"/tree/\S+", last)]
    faults = [f"there is no {path}" for path in named if not (ROOT / path).exists()]
    faults += [f"{path} is ignored" for path in named if any(fnmatch("/" + path, rule) for rule in ignored)]
    made = set(re.findall(r"(?:-o |>)(/\S+)", first))
    copied = [path for name, rest in stages[1] if name == "COPY" for path in rest.split()[1:-1]]
    lost = [path for path in copied if not path.startswith("/tree/") and path not in made]
    faults += [f"the first stage does not make {path}" for path in lost]
    report.result("what the container file names is there", faults, f"{len(named) + len(copied)} paths")


def _prepared(report: Report, machine: Machine, commands: list[str]) -> None:
    """The lines of the second stage, but for those that fetch packages."""
    # The package's user, who has the same name, outlives its purge.
    machine.run("userdel", "narrowgate")
    faults = []
    for command in commands:
        done = machine.run("sh", "-c", command)
        if done.returncode:
            faults.append(f"{command}: {done.stderr}")
    report.result("its lines run in a Debian", faults, f"{len(commands)} of them")


def _last(report: Report, machine: Machine, program: Path, last: dict[str, str]) -> None:
    """What the container starts, and how its health is asked for."""
    shutil.copy2(program, machine.root / "usr/bin/narrowgate")
    user, variable = last["USER"], last["ENV"]
    told = machine.run("id", "-u", user).stdout.strip()
    report.result("it does not run as root", [] if told not in ("", "0") else [told or f"who is {user}?"])
    volume = json.loads(last["VOLUME"])[0]
    owner = machine.run("stat", "--format", "%U %a", volume).stdout.strip()
    right = owner == f"{user} 700" and variable.endswith(f"={volume}")
    report.result("its volume is its user's", [] if right else [owner, variable])
    health = json.loads(last["HEALTHCHECK"].split("CMD", 1)[1])
    command = json.loads(last["ENTRYPOINT"]) + json.loads(last["CMD"])
    whose = ("env", variable, "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
    faults = [] if machine.run(*whose, *health).returncode == 1 else ["it is healthy without a server"]
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(machine.command(*whose, *command), stderr=log, stdin=subprocess.DEVNULL)
        ends = time.monotonic() + READY_SECONDS
        while machine.run(*whose, *health).returncode and time.monotonic() < ends and server.poll() is None:
            time.sleep(0.2)
        if machine.run(*whose, *health).returncode:
            log.seek(0)
            faults.append(f"it is not healthy: {log.read()}")
        machine.run("sh", "-c", f"kill -TERM $(head -n 1 {volume}/narrowgate.lock)")
        code = server.wait(READY_SECONDS)
    faults += [f"it ended with {code}"] if code else []
    report.result("it is healthy while it serves", faults)
