"""From the installation of the package to its purge, in a machine of its own."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from lib.paths import ROOT
from lib.report import Report
from package import wrongs
from package.machine import Machine

UNIT = "usr/lib/systemd/system/narrowgate.service"
CONFIG = "/etc/narrowgate/narrowgate.toml"
DATA = "/var/lib/narrowgate"
# Data directories of each format, as the programs of their times made them.
FORMATS = ROOT / "crates/adapters/tests/formats"
# Tenths, as systemd-analyze counts: 2.0.
EXPOSURE_MAX = 20
READY_SECONDS = 60
# What a script of a product needs of the system has to be among the calls, too.
SCRIPT = """
function rawDataToJsonStr(bytes) {
    return JSON.stringify({id: "1", version: "1.0", method: "thing.measurepoint.post", params: {
        measurepoints: {n: bytes.length}}});
}
function jsonStrToRawData(json) { return [json.length % 256]; }
"""


def run(report: Report, machine: Machine, older: Path, newer: Path) -> None:
    """All of it, in order."""
    before = machine.files()
    _installed(report, machine, older)
    _unit(report, machine)
    _served(report, machine)
    wrongs.run(report, machine)
    _upgraded(report, machine, newer)
    _of_the_format_before(report, machine)
    _removed(report, machine, newer, before)


def _dpkg(machine: Machine, *words: object) -> list[str]:
    """What went wrong."""
    done = machine.run("dpkg", *words)
    return [] if done.returncode == 0 else [done.stdout + done.stderr]


def _install(machine: Machine, package: Path) -> list[str]:
    """As an administrator does whose configuration is not to be overwritten."""
    inside = machine.root / "tmp" / package.name
    inside.write_bytes(package.read_bytes())
    return _dpkg(machine, "--force-confold", "--install", f"/tmp/{package.name}")


def _as_user(machine: Machine, *words: object) -> subprocess.CompletedProcess:
    return machine.run("setpriv", "--reuid=narrowgate", "--regid=narrowgate", "--clear-groups", *words)


def _installed(report: Report, machine: Machine, package: Path) -> None:
    report.result("it installs", _install(machine, package))
    told = machine.run("getent", "passwd", "narrowgate").stdout
    report.result("its user cannot log in", [] if told.strip().endswith(":/usr/sbin/nologin") else [told])
    told = machine.run("stat", "--format", "%U:%G %a", DATA).stdout.strip()
    report.result("its data directory is its own", [] if told == "narrowgate:narrowgate 700" else [told])
    shown = _as_user(machine, "narrowgate", "--data", DATA, "config", "dtls.listen", "-o", "json")
    report.result("its configuration is read", [] if shown.returncode == 0 else [shown.stderr])
    told = _as_user(machine, "narrowgate", "--data", DATA, "doctor", "-o", "json")
    acts = [finding for finding in json.loads(told.stdout or "[]") if finding["state"] == "act"]
    report.result("doctor has nothing to mend", acts or ([told.stderr] if told.returncode else []))


def _unit(report: Report, machine: Machine) -> None:
    threshold = f"--threshold={EXPOSURE_MAX}"
    judged = machine.run("systemd-analyze", "security", "--offline=true", threshold, "--no-pager", f"/{UNIT}")
    level = re.search(r"exposure level for .*: ([0-9.]+)", judged.stdout)
    faults = [] if judged.returncode == 0 and level else [judged.stdout[-500:] + judged.stderr]
    report.result("systemd calls the unit safe", faults, level.group(1) if level else "")
    checked = machine.run("systemd-analyze", "verify", "--man=no", f"/{UNIT}")
    ours = [line for line in checked.stderr.splitlines() if "narrowgate" in line]
    report.result("systemd understands the unit", ours)


def settings(text: str, name: str) -> list[str]:
    """The values of a setting of a unit."""
    return re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)


class Service:
    """The server as its unit starts it: its user, its command, no privileges, and one who hears `READY=1`."""

    def __init__(self, machine: Machine, prefix: tuple[str, ...] = ()):
        text = (machine.root / UNIT).read_text()
        manager = machine.root / "run" / "manager"
        manager.unlink(missing_ok=True)
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(manager))
        os.chmod(manager, 0o777)
        self._manager.settimeout(READY_SECONDS)
        user, command = settings(text, "User")[0], shlex.split(settings(text, "ExecStart")[0])
        limits = ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--clear-groups"]
        self.log = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [
                *prefix,
                *machine.command("env", "NOTIFY_SOCKET=/run/manager", "setpriv", f"--reuid={user}"),
                *(f"--regid={settings(text, 'Group')[0]}", *limits, *command),
            ],
            stderr=self.log,
            stdin=subprocess.DEVNULL,
        )
        self._machine = machine

    def ready(self) -> list[str]:
        """What it said instead of being ready."""
        try:
            while self._manager.recv(64) != b"READY=1":
                pass
        except TimeoutError:
            return [self.said() or "it has said nothing"]
        return []

    def said(self) -> str:
        """Its log."""
        self.log.seek(0)
        return self.log.read()

    def stop(self) -> list[str]:
        """As a service manager does."""
        # The program is told, not those that stand before it.
        self._machine.run("sh", "-c", "kill -TERM $(head -n 1 /var/lib/narrowgate/narrowgate.lock)")
        code = self._process.wait(READY_SECONDS)
        self._manager.close()
        return [] if code == 0 else [f"it ended with {code}: {self.said()}"]


def _served(report: Report, machine: Machine) -> None:
    calls = Path(tempfile.mkdtemp(prefix="calls-")) / "calls"
    prefix = ("strace", "--follow-forks", "--output", str(calls), "--quiet=all", "--trace=all")
    service = Service(machine, prefix)
    report.result("it starts as its unit says", service.ready())
    healthy = _as_user(machine, "narrowgate", "--data", DATA, "doctor", "--ready")
    report.result("doctor says that it is ready", [] if healthy.returncode == 0 else [healthy.stdout])
    script = machine.root / "tmp/script.js"
    script.write_text(SCRIPT)
    verbs = [
        ("product", "create", "meters", "--product-key", "pk"),
        ("device", "create", "--product", "pk", "--device-key", "d1"),
        ("product", "create", "raw", "--product-key", "raw", "--data-format", "custom"),
        ("script", "publish", "raw", "/tmp/script.js"),
        ("script", "try", "raw", "--hex", "0102"),
        ("token", "create", "ci", "--role", "viewer"),
        ("backup", "/tmp/backup"),
    ]
    machine.run("rm", "-rf", "/tmp/backup")
    faults = []
    for words in verbs:
        # As root, who may, beside the server of another user.
        done = machine.run("narrowgate", "--data", DATA, *words)
        if done.returncode:
            faults.append(f"{' '.join(words)}: {done.stderr}")
    report.result("commands reach it", faults)
    # As docs/operating.md has it.
    first = _as_user(machine, "narrowgate", "user", "reset", "admin", "--data", DATA)
    faults = [] if "/password/" in first.stdout else [first.stderr]
    report.result("there is a link for the first password", faults)
    told = machine.run("narrowgate", "--data", DATA, "doctor", "-o", "json")
    found = {finding["check"]: finding for finding in json.loads(told.stdout or "[]")}
    odd = [finding for finding in found.values() if finding["state"] == "act"]
    report.result("doctor has nothing to mend beside it", odd or ([] if found else [told.stderr]))
    report.result("it ends as it is told", service.stop())
    _calls(report, machine, calls.read_text(errors="replace"))


def _calls(report: Report, machine: Machine, trace: str) -> None:
    """What the program asks of the kernel is what the unit allows."""
    unit = (machine.root / UNIT).read_text()
    allowed: set[str] = set()
    for row in settings(unit, "SystemCallFilter"):
        is_less = row.startswith("~")
        for group in row.removeprefix("~").split():
            members = _members(machine, group)
            allowed = allowed - members if is_less else allowed | members
    # What was before the program's own start is the service manager's, in processes that were there before.
    used, before, own = set(), set(), set()
    for line in trace.splitlines():
        found = re.match(r"(\d+) +(?:<\.\.\. )?([a-z0-9_]+)", line)
        if not found:
            continue
        process, call = found.groups()
        # Before it there are others that have its path among their arguments.
        is_begin = 'execve("/usr/bin/narrowgate"' in line
        if is_begin or (own and process not in before):
            own.add(process)
        if process not in own:
            before.add(process)
        elif not is_begin:
            used.add(call)
    odd = sorted(used - allowed) + ([] if len(used) > 20 else [f"too few are seen: {sorted(used)}"])
    report.result("the unit allows the system calls that it makes", odd, f"{len(used)} kinds")


def _members(machine: Machine, group: str) -> set[str]:
    """The calls of a group, those of the groups in it among them."""
    if not group.startswith("@"):
        return {group}
    told = machine.run("systemd-analyze", "syscall-filter", "--no-pager", group).stdout
    names = [line.strip() for line in told.splitlines()[1:] if not line.strip().startswith("#")]
    return set().union(*(_members(machine, name) for name in names if name)) if names else set()


def _upgraded(report: Report, machine: Machine, package: Path) -> None:
    config = machine.root / CONFIG.removeprefix("/")
    config.write_text(config.read_text() + '\n[log]\nfilter = "warn"\n')
    report.result("it is upgraded", _install(machine, package))
    version = machine.run("dpkg-query", "--show", "--showformat=${Version}", "narrowgate").stdout
    report.result("the newer one is there", [] if f"_{version}_" in package.name else [version])
    kept = 'filter = "warn"' in config.read_text()
    report.result("an administrator's configuration stays", [] if kept else [config.read_text()])
    service = Service(machine)
    report.result("it starts after the upgrade", service.ready())
    shown = machine.run("narrowgate", "--data", DATA, "device", "show", "pk/d1", "-o", "json")
    report.result("what was stored is there", [] if '"deviceKey":"d1"' in shown.stdout else [shown.stderr])
    report.result("it ends", service.stop())


def _of_the_format_before(report: Report, machine: Machine) -> None:
    """A store that an earlier version wrote is upgraded by the service, which keeps a copy."""
    before = sorted(int(folder.name) for folder in FORMATS.iterdir() if folder.name.isdigit())[-2]
    data = machine.root / DATA.removeprefix("/")
    aside = data.with_name("narrowgate.aside")
    data.rename(aside)
    shutil.copytree(FORMATS / str(before), data, ignore=shutil.ignore_patterns("reads.txt"))
    machine.run("chown", "--recursive", "narrowgate:narrowgate", DATA)
    machine.run("chmod", "--recursive", "u=rwX,go=", DATA)
    told = _as_user(machine, "narrowgate", "--data", DATA, "doctor", "-o", "json").stdout
    found = {finding["check"]: finding["detail"] for finding in json.loads(told or "[]")}
    said = found.get("storeFormat", "nothing")
    faults = [] if "upgrades it" in said else [said]
    report.result("doctor says that a store of before will be upgraded", faults)
    service = Service(machine)
    report.result("it upgrades a store of before", service.ready())
    shown = machine.run("narrowgate", "--data", DATA, "device", "show", "meters/online", "-o", "json")
    faults = [] if '"deviceKey":"online"' in shown.stdout else [shown.stderr]
    faults += [] if (data / f"registry.db.format-{before}").exists() else ["there is no copy"]
    report.result("what that version stored is there, and a copy", faults, f"format {before}")
    report.result("it ends after that", service.stop())
    shutil.rmtree(data)
    aside.rename(data)


def _removed(report: Report, machine: Machine, package: Path, before: set[str]) -> None:
    def there(path: str) -> bool:
        return os.path.lexists(machine.root / path.removeprefix("/"))

    def expect(name: str, faults: list[str], kept: list[str], gone: list[str]) -> None:
        faults += [f"{path} is gone" for path in kept if not there(path)]
        faults += [f"{path} is there" for path in gone if there(path)]
        report.result(name, faults)

    store, program = f"{DATA}/registry.db", "/usr/bin/narrowgate"
    done = _dpkg(machine, "--remove", "narrowgate")
    expect("a removal keeps configuration and data", done, [store, CONFIG], [program, f"/{UNIT}"])
    expect("it is installed again", _install(machine, package), [store, CONFIG, program], [])
    service = Service(machine)
    report.result("it serves the data of before", service.ready() + service.stop())
    done = _dpkg(machine, "--purge", "narrowgate")
    gone = [program, "/etc/narrowgate", f"{DATA}/narrowgate.toml"]
    expect("a purge keeps the data alone", done, [store, f"{DATA}/data.key"], gone)
    left = {path for path in machine.files() - before if not path.startswith(DATA)}
    # useradd keeps what the files of users were.
    left -= {"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-"}
    report.result("nothing else is left", sorted(left))
    machine.run("rm", "-r", DATA)
    faults = _install(machine, package) + _dpkg(machine, "--purge", "narrowgate")
    expect("a purge without data leaves no directory", faults, [], [DATA])
