"""A Debian in a folder, with processes, network and mounts of its own, which end with this program."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

# Switches the loopback interface on (netdevice(7)): a bare Debian has no program for that.
LOOPBACK_UP = """
import fcntl, socket, struct
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
"""
BEGIN = 'mount -t proc proc "$0/proc" && "$1" -c "$2" && echo up && exec sleep infinity'


def bootstrap(base: Path | None) -> Path:
    """A fresh root, a copy of `base` where that is given (which is made if it is missing)."""
    root = Path(tempfile.mkdtemp(prefix="package-")) / "root"
    if base is None:
        _debootstrap(root)
        return root
    if not base.is_dir():
        _debootstrap(base)
    subprocess.run(["cp", "-a", base, root], check=True)
    return root


def _debootstrap(folder: Path) -> None:
    print("     debootstrap", flush=True)
    suite, mirror = _mirror()
    # systemd judges the unit; it does not run.
    command = ["debootstrap", "--variant=minbase", "--include=systemd", suite, folder, mirror]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"tests/run package: debootstrap failed\n{done.stdout[-1500:]}{done.stderr[-500:]}")


def _mirror():
    # One line for each archive of Debian that apt knows.
    form = ["--format", "$(ORIGIN) $(REPO_URI) $(CODENAME)", "Created-By: Packages"]
    told = subprocess.run(["apt-get", "indextargets", *form], capture_output=True, text=True, check=True)
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line
    )
    suite = release["VERSION_CODENAME"]
    for line in sorted(set(told.stdout.splitlines())):
        origin, mirror, codename = line.split(" ")
        if origin == "Debian" and codename == suite:
            return suite, mirror
    sys.exit(f"tests/run package: apt knows no mirror of Debian {suite}\n  try  apt-get update")


class Machine:
    """The namespaces around a root."""

    def __init__(self, root: Path):
        self.root = root
        # What is told to live in new namespaces dies with this program, however that ends.
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork"]
        command += ["--kill-child", "--propagation", "private", "--", "bash", "-c", BEGIN, root]
        self._outer = subprocess.Popen([*command, sys.executable, LOOPBACK_UP], stdout=subprocess.PIPE)
        if self._outer.stdout.readline() != b"up\n":
            sys.exit("tests/run package: no namespaces can be made\n  try  it as root")
        pid = self._outer.pid
        self._inner = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]

    def command(self, *words: object) -> list[str]:
        """The command line, for this system, of a command in there."""
        enter = ["nsenter", "--target", self._inner, "--net", "--mount", "--pid", "chroot", str(self.root)]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
        return [*enter, *clean, *map(str, words)]

    def run(self, *words: object) -> subprocess.CompletedProcess:
        """Runs a command in there, as root."""
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=False)

    def end(self) -> None:
        """Ends all that runs in there."""
        self._outer.kill()
        self._outer.wait()

    def files(self) -> set[str]:
        """What there is in the root, without what the system notes down when packages come and go."""
        noted = ("/var/log", "/var/lib/dpkg", "/var/cache", "/proc", "/dev", "/tmp", "/run")
        found = set()
        for folder, folders, files in os.walk(self.root):
            inside = "/" + os.path.relpath(folder, self.root).removeprefix(".")
            folders[:] = [name for name in folders if os.path.join(inside, name) not in noted]
            found |= {os.path.join(inside, name) for name in (*folders, *files)}
        return found
