"""Servers to take pictures of: an empty one, one with ten devices, one with a million."""

import contextlib
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from lib import load
from lib.devices import new_secret
from lib.program import Gateway
from shots import ten

# Limits of people and programs are far above what a person does, and far below what this does.
SETTINGS = {"NARROWGATE_HTTP_TOKEN_REQUESTS": "off"}
MILLION = 1_000_000
IMPORT_SECONDS = 900
LOAD_PRODUCT = "Ld5MuG3k"


@dataclass
class World:
    """A server, the links by which its people set their passwords, and what its pages are about."""

    name: str
    gateway: Gateway
    links: dict[str, str] = field(default_factory=dict)
    # Paths of pages that nobody knows beforehand, such as that of an image.
    found: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where browsers reach it."""
        return f"http://127.0.0.1:{self.gateway.http_port}"

    def invite(self, name: str, role: str, *more: str) -> None:
        """A user who can log in."""
        link = self.gateway.json("user", "create", name, "--role", role, *more)["link"]
        self.links[name] = urlsplit(link).path


@contextlib.contextmanager
def _served(name, binary, folder):
    gateway = Gateway(binary, folder)
    gateway.start(settings=SETTINGS)
    try:
        world = World(name, gateway)
        world.invite("ada", "administrator")
        yield world
    finally:
        gateway.stop()


@contextlib.contextmanager
def _empty(binary, folder):
    with _served("empty", binary, folder) as world:
        yield world


@contextlib.contextmanager
def _ten(binary, folder):
    with _served("ten", binary, folder) as world, ten.filled(world):
        yield world


@contextlib.contextmanager
def _million(binary, folder):
    """The devices are those of the load client; a thousand of them are online and report."""
    with _served("million", binary, folder) as world:
        gateway, client = world.gateway, binary.with_name("narrowgate-load")
        gateway.json("product", "create", "Water meters", "--product-key", LOAD_PRODUCT)
        file = folder / "devices.csv"
        with file.open("wb") as lines:
            subprocess.run([client, "devices", "--count", str(MILLION)], stdout=lines, check=True)
        imported = gateway.command("device", "import", str(file), "--product", LOAD_PRODUCT, "-o", "json")
        subprocess.run(imported, check=True, timeout=IMPORT_SECONDS, stdout=subprocess.DEVNULL, cwd=folder)
        reports = ("--sessions", 1000, "--count", 20_000, "--rate", 500)
        command = load.command(client, "reports", gateway, LOAD_PRODUCT, *reports)
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, cwd=folder)
        for fault in ("wrong-key", "unknown-device"):
            more = ("--secret", new_secret(20), "--server", f"{gateway.dtls_host}:{gateway.dtls_port}")
            gateway.run("device", "simulate", f"{LOAD_PRODUCT}/load-0000007", "--fault", fault, *more)
        yield world


WORLDS = {"empty": _empty, "ten": _ten, "million": _million}
