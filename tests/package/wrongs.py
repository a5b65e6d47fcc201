"""What `doctor` says of a machine on which something is wrong, and what a start says of it."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from lib.report import Report
from package.machine import Machine

CONFIG = "/etc/narrowgate/narrowgate.toml"
DATA = "/var/lib/narrowgate"
WAIT_SECONDS = 60


class Patient:
    """The machine, while no server of the package runs in it."""

    def __init__(self, report: Report, machine: Machine):
        self.report, self.machine = report, machine

    def inside(self, path: str) -> Path:
        """A path of the machine, as this system has it."""
        return self.machine.root / path.removeprefix("/")

    def as_user(self, *words: object) -> subprocess.CompletedProcess:
        """Runs a command as the server's user."""
        whose = ("setpriv", "--reuid=narrowgate", "--regid=narrowgate", "--clear-groups")
        return self.machine.run(*whose, *words)

    def names(self, name: str, check: str, *words: str, start: tuple[str, ...] = ()) -> None:
        """Doctor calls a check `act`, with these words, and says what to do; a start that is refused, too."""
        told = self.as_user("narrowgate", "--data", DATA, "doctor", "-o", "json")
        found = {finding["check"]: finding for finding in json.loads(told.stdout or "[]")}
        finding = found.get(check, {})
        is_right = finding.get("state") == "act" and bool(finding.get("try")) and told.returncode == 1
        faults = [] if is_right else [f"{check}: {finding or told.stderr}"]
        faults += [f"{word!r} is not in {finding}" for word in words if word not in finding.get("detail", "")]
        if start:
            tried = self.as_user("timeout", "30", "narrowgate", "serve", "--data", DATA)
            said = tried.stderr
            faults += [f"a start says {said}" for word in ("error:", "try", *start) if word not in said]
            faults += [] if tried.returncode in (1, 78) else [f"a start ends with {tried.returncode}"]
        self.report.result(name, faults, finding.get("detail", ""))


def run(report: Report, machine: Machine) -> None:
    """All of it; each wrong is put right again."""
    patient = Patient(report, machine)
    for wrong in (_port, _clock, _mount, _directory, _key, _owner, _configuration):
        wrong(patient)
    told = patient.as_user("narrowgate", "--data", DATA, "doctor", "-o", "json")
    left = [finding for finding in json.loads(told.stdout or "[]") if finding["state"] == "act"]
    report.result("doctor has nothing to mend again", left or ([told.stderr] if told.returncode else []))


def _port(patient: Patient) -> None:
    machine = patient.machine
    command = ("narrowgate", "serve", "--data", "/tmp/other", "--http", "off")
    nothing = subprocess.DEVNULL
    other = subprocess.Popen(machine.command(*command), stdin=nothing, stdout=nothing, stderr=nothing)
    ready = ("narrowgate", "--data", "/tmp/other", "doctor", "--ready")
    _wait(lambda: machine.run(*ready).returncode == 0)
    name = "doctor names a port that another program has, as far as its user may see"
    start = ("cannot listen for devices", "in use")
    patient.names(name, "dtlsPort", "held by", "user with the id 0", start=start)
    machine.run("sh", "-c", "kill -TERM $(head -n 1 /tmp/other/narrowgate.lock)")
    other.wait(WAIT_SECONDS)
    machine.run("rm", "-r", "/tmp/other")


def _clock(patient: Patient) -> None:
    registry = f"{DATA}/registry.db"
    patient.machine.run("touch", "--date", "+2 days", registry)
    name = "doctor names a clock that is behind the store"
    patient.names(name, "storeClock", "the store was written to at")
    patient.machine.run("touch", registry)


def _mount(patient: Patient) -> None:
    for words in (("--bind", DATA, DATA), ("-o", "remount,bind,ro", DATA)):
        patient.machine.run("mount", *words)
    name = "doctor names a file system that is mounted read-only"
    patient.names(name, "fileSystem", "read-only", start=("the file system is read-only",))
    patient.machine.run("umount", DATA)


def _directory(patient: Patient) -> None:
    patient.machine.run("chmod", "0500", DATA)
    name = "doctor names a directory that its owner cannot write to"
    patient.names(name, "dataDirectory", "mode 0500", start=("permission denied",))
    patient.machine.run("chmod", "0700", DATA)


def _key(patient: Patient) -> None:
    file = patient.inside(f"{DATA}/data.key")
    text = file.read_text()
    file.write_text("no key\n")
    patient.names("doctor names a file that is no key", "dataKey", "64 hex", start=("not a data key",))
    file.write_text(f"{'5a' * 32}\n")
    name = "doctor names the key of another store"
    patient.names(name, "dataKey", "of another store", start=("the data key of another store",))
    aside = file.with_name("data.key.aside")
    file.rename(aside)
    name = "doctor names a key that is gone"
    patient.names(name, "dataKey", "is not there", start=("the data key is missing",))
    aside.rename(file)
    file.write_text(text)


def _owner(patient: Patient) -> None:
    patient.machine.run("chown", "root:root", f"{DATA}/log.db")
    name = "doctor names a file of another user"
    patient.names(name, "dataFiles", "log.db", start=("permission denied",))
    patient.machine.run("chown", "narrowgate:narrowgate", f"{DATA}/log.db")


def _configuration(patient: Patient) -> None:
    config = patient.inside(CONFIG)
    text = config.read_text()
    config.write_text(text + "\n[dtls]\nlissen = 1\n")
    told = patient.as_user("narrowgate", "--data", DATA, "doctor")
    config.write_text(text)
    said = told.stderr
    faults = [] if told.returncode == 78 and "narrowgate.toml" in said and "line" in said else [said]
    patient.report.result("doctor names a setting that there is not, with its line", faults)


def _wait(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + WAIT_SECONDS
    while not holds() and time.monotonic() < ends:
        time.sleep(0.2)
