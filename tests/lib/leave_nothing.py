"""Nothing that a test run has started outlives it, however it ends: done, failed, by Ctrl-C or by kill -9.

The run calls `guard()`. What is started afterwards inherits a variable with the run's name and a folder for
temporary files. A watcher in a session of its own holds the other end of a pipe: when the run is gone, it
kills every process that has the name, unmounts what is mounted in the folder, and deletes the folder. Runs
may be nested.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Not NARROWGATE_…: such a variable is a setting of the program, and tests take those away.
NAMES = "TEST_RUN"
KEPT = "TEST_RUN_KEPT"
SECONDS = 5

_guard = None


class Guard:
    """A run with its name, its folder, and the pipe whose end tells the watcher that the run is gone."""

    def __init__(self):
        self.name = f"run-{os.getpid()}-{secrets.token_hex(6)}"
        os.environ.setdefault(KEPT, tempfile.gettempdir())
        self.folder = tempfile.mkdtemp(prefix="r-")
        # Tests that act as another user have to get through it.
        os.chmod(self.folder, 0o711)
        outer = dict(os.environ)
        os.environ[NAMES] = f"{outer[NAMES]}:{self.name}" if NAMES in outer else self.name
        os.environ["TMPDIR"] = tempfile.tempdir = self.folder
        read, self._write = os.pipe()  # Not inherited: the run's end alone closes it.
        subprocess.Popen(
            [sys.executable, __file__, "--watch", self.name, self.folder],
            stdin=read,
            stdout=subprocess.DEVNULL,
            env={**outer, NAMES: ""},
            cwd="/",
            start_new_session=True,
        )
        os.close(read)


def guard() -> None:
    """Guards this process and all that it starts from now on. Before the first temporary file, once."""
    global _guard
    _guard = _guard or Guard()
    # At once, without waiting for threads; the watcher does the rest.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def kept() -> str:
    """A folder for what people shall look at after the run."""
    return os.environ.get(KEPT) or tempfile.gettempdir()


def left_behind(seconds: float = 2) -> list[str]:
    """Command lines of what the run has started and what lives after so many seconds still."""
    deadline = time.monotonic() + seconds
    while (left := named(_guard.name)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return list(left.values())


def named(name: str) -> dict[int, str]:
    """The processes that have the name in their environment, with their command lines. A zombie has none."""
    found = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            if name.encode() in (process / "environ").read_bytes():
                found[int(process.name)] = (
                    (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
        except OSError:
            pass  # It has ended, or is somebody else's.
    return found


def _watch(name, folder):
    sys.stdin.buffer.read()
    deadline = time.monotonic() + SECONDS
    while (left := named(name)) and time.monotonic() < deadline:
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in reversed([mount for mount in mounts if mount.startswith(folder + "/")]):
        subprocess.run(["umount", "-l", mount], check=False)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__" and sys.argv[1:2] == ["--watch"]:
    _watch(*sys.argv[2:])
