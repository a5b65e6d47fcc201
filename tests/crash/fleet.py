"""Devices that report until they are stopped, and log what they sent and what was acknowledged."""

import json
import subprocess
from pathlib import Path

from crash.server import ACTIVATING, ACTIVATING_SECRET, ONE_CLASS
from lib import load
from lib.program import Failed
from lib.retention import shares

STOP_SECONDS = 20


class Fleet:
    """Devices that report until they are stopped; with duties they take commands, too.

    Where they are of several products, as many are of each, from its first registered one on; all have one
    log.
    """

    def __init__(
        self,
        server,
        devices,
        rate,
        registered,
        activating,
        seconds=7200,
        log=None,
        first=1,
        duties=False,
        products=ONE_CLASS,
    ):
        self.log = Path(log or server.folder / "fleet.log")
        # By number.
        self.products = {}
        self._processes = []
        self.summary = None
        members, rate = devices // len(products), rate // len(products)
        for product, numbers in shares(registered, products):
            begin = numbers.start + first - 1
            self.products |= dict.fromkeys(range(begin, begin + members), product)
            command = self._command(server, product, members, rate, seconds, begin)
            command += ["--duties"] if duties else []
            activates = activating and not self._processes
            if activates:
                command += ["--activation-product", ACTIVATING, "--activation-secret", "-"]
                command += ["--activation-first", str(registered + 1), "--activation-count", str(activating)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            process = subprocess.Popen(command, text=True, start_new_session=True, **pipes)
            if activates:
                process.stdin.write(f"{ACTIVATING_SECRET}\n")
                process.stdin.flush()
            self._processes.append(process)

    def _command(self, server, product, devices, rate, seconds, first):
        options = [
            "--devices",
            devices,
            "--rate",
            rate,
            "--log",
            self.log,
            "--first",
            first,
            "--time-limit",
            seconds,
        ]
        options += ["--until-input-ends", "-o", "json"]
        return load.command(server.load, "fleet", server, product.key, *options)

    def running(self):
        """False once it has ended, wanted or not."""
        return all(process.poll() is None for process in self._processes)

    def stop(self):
        """Waits for the answers under way; the summary of all products."""
        if self.summary is None:
            for process in self._processes:
                process.stdin.close()
                process.stdin = None
            summaries = [self._end(process) for process in self._processes]
            self.summary = {name: sum(some[name] for some in summaries) for name in summaries[0]}
        return self.summary

    def _end(self, process):
        try:
            output, _ = process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed("the fleet does not end") from None
        if process.returncode != 0:
            raise Failed(f"the fleet ended with {process.returncode}")
        return json.loads(output)

    def kill(self):
        """Ends it at once."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
