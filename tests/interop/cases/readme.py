"""README.md: its lines for the terminal work when they are pasted."""

import os
import re
import subprocess
import time

from interop.harness import case, check, eventually
from lib.paths import ROOT
from lib.program import environment

PRODUCT, DEVICE = "MuGsF6W4", "867725030096431"  # As the lines name them.
PASTE_SECONDS = 20


def _blocks(heading):
    """The blocks of text below a heading of the README, as lists of lines."""
    section = (ROOT / "README.md").read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```text\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    check(blocks, f"README.md has no lines to paste below {heading!r}")
    return [block.splitlines() for block in blocks]


class Terminal:
    """A shell in which `narrowgate` is the program on the gateway's data, and 5684 and 8080 are its ports."""

    def __init__(self, gateway):
        folder = gateway.folder / "bin"
        folder.mkdir(exist_ok=True)
        if not (folder / "narrowgate").exists():
            (folder / "narrowgate").symlink_to(gateway.binary)
        path = f"{folder}:{os.environ['PATH']}"
        self._environment = {**environment(), "NARROWGATE_DATA": str(gateway.data), "PATH": path}
        self._folder = gateway.folder
        self._ports = {
            ":5684/": f":{gateway.dtls_port}/",
            ":8080/": f":{gateway.http_port}/",
            # It goes to the usual port where no other is named.
            "device simulate ": f"device simulate --server 127.0.0.1:{gateway.dtls_port} ",
        }

    def start(self, lines):
        """The lines, pasted; the process that runs them."""
        text = "\n".join(lines)
        for usual, here in self._ports.items():
            text = text.replace(usual, here)
        return subprocess.Popen(
            ["bash", "-c", text],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self._folder,
            env=self._environment,
        )

    def paste(self, *lines):
        """What the lines print; they have to succeed."""
        return self.end(self.start(["set -e", *lines]), lines)

    def end(self, pasted, lines):
        """Waits for pasted lines, which have to succeed; what they print."""
        output, noise = pasted.communicate(timeout=PASTE_SECONDS)
        check(pasted.returncode == 0, f"pasted, exit code {pasted.returncode}: {lines}\n{output}{noise}")
        return output + noise


@case("README: the lines of every day work when pasted into a directory with nothing in it")
def _every_day(world):
    with world.fresh() as gateway:
        gateway.start()
        serve, lines, program, value = _blocks("Every day")
        # It is what runs here, on ports of its own.
        check([line.split()[1] for line in serve] == ["serve"], f"the first lines are {serve}")
        terminal, (*lines, last) = Terminal(gateway), lines
        verbs = {line.split()[1] for line in lines}
        check({"product", "device", "model", "refused", "status"} <= verbs, f"the lines are {lines}")
        terminal.paste(*lines)
        # The last one goes on for ever.
        check(last == "narrowgate listen", f"the last line is {last}")
        listening = terminal.start([f"exec {last}"])
        time.sleep(1)
        is_listening = listening.poll() is None
        listening.kill()
        check(is_listening, f"it has ended: {listening.communicate()}")
        said = terminal.paste(*program)
        check('"items":[' in said and DEVICE in said, f"a program with a token is told {said}")
        said = terminal.paste(*value)
        check('"value"' in said, f"from a token to the first value: {said}")
        check(len(gateway.json("device", "list")["devices"]) == 4, "the devices of the lines are not there")
        check((gateway.folder / "model.json").read_text().startswith("{"), "no model was inferred")


@case("README: a command in two terminals works when pasted")
def _command(world):
    with world.fresh() as gateway:
        gateway.start()
        # The product and the device of every day.
        made = ("narrowgate product create", "narrowgate device create")
        Terminal(gateway).paste(*(line for line in _blocks("Every day")[1] if line.startswith(made)))
        device, operator, answer = _blocks("A command, in two terminals")
        said = Terminal(gateway).paste(*device)
        check('"code":200' in said, f"the report was answered {said}")
        waiting = Terminal(gateway).start(operator)
        eventually("the command is not sent", lambda: gateway.json("command", "list", PRODUCT, DEVICE))
        # The same terminal as before: what it has set, without another report.
        said = Terminal(gateway).paste(*device[:-1], *answer)
        check('"params":{"temp":30.5}' in said, f"the device got {said}")
        said = Terminal(gateway).end(waiting, operator)
        check("succeeded" in said, f"the operator reads {said}")
