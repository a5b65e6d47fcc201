"""The load client beside a gateway: products and devices for it, and its commands."""

import subprocess
from pathlib import Path

from lib.program import Gateway


def devices_csv(load: Path | str, count: int) -> list[str]:
    """The lines of a file of the client's devices: the head, then one for each."""
    made = subprocess.run(
        [load, "devices", "--count", str(count)], capture_output=True, text=True, check=True
    )
    return made.stdout.splitlines(keepends=True)


def register(gateway: Gateway, load: Path | str, product_key: str, count: int):
    """A new product with this many of the client's devices; returns the report of their import."""
    gateway.json("product", "create", "load", "--product-key", product_key)
    return import_devices(gateway, product_key, devices_csv(load, count))


def import_devices(gateway: Gateway, product_key: str, lines: list[str]):
    """Imports the lines of a file; returns the program's report."""
    return gateway.json("device", "import", "-", "--product", product_key, text="".join(lines))


def command(load: Path | str, verb: str, gateway: Gateway, product_key: str, *more: object) -> list[str]:
    """A command of the client at the gateway."""
    common = ["--server", f"127.0.0.1:{gateway.dtls_port}", "--product-key", product_key]
    return [str(load), verb, *common, *map(str, more)]
