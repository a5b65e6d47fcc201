"""Products of several classes of retention, whose messages go into files of their own."""

from pathlib import Path
from typing import NamedTuple

STANDARD = "standard"
# The classes that a server needs for the others.
SETTINGS = {"NARROWGATE_STORE_RETENTION_CLASSES": "short=30d,long=3650d"}


class Product(NamedTuple):
    """A product whose devices report, and the class of retention that it begins with."""

    key: str
    retention: str = STANDARD


def shares(devices: int, products) -> list[tuple[Product, range]]:
    """Each product with the numbers of its devices, of 1 to `devices`."""
    ends = [devices * part // len(products) for part in range(len(products) + 1)]
    return [(products[part], range(ends[part] + 1, ends[part + 1] + 1)) for part in range(len(products))]


def class_of(file: Path) -> str:
    """The class that the name of a message file has: `2026-01-31.db`, `2026-01-31.short.db`."""
    _, *name, _ = file.name.split(".")
    return name[0] if name else STANDARD
