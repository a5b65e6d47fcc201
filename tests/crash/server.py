"""The program under test on a data directory that is to be broken."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from lib import retention
from lib.load import devices_csv, import_devices
from lib.program import Gateway
from lib.retention import Product, shares

PRODUCT, ACTIVATING = "CrashPk1", "CrashPk2"
ACTIVATING_SECRET = "c3PW03srd6c"


class Programs(NamedTuple):
    """The program and the load client beside it."""

    narrowgate: Path
    load: Path


ONE_CLASS = (Product(PRODUCT),)
# The last one changes its class where a test does that.
THREE_CLASSES = (Product(PRODUCT), Product("CrashPk3", "short"), Product("CrashPk4", "long"))


class Server(Gateway):
    """A gateway with the devices of a fleet; patient: several run at once, some behind strace."""

    READY_SECONDS, STOP_SECONDS, COMMAND_SECONDS = 30, 20, 120
    SETTINGS = retention.SETTINGS

    def __init__(self, programs, folder, data=None):
        super().__init__(programs.narrowgate, folder, data)
        self.load = programs.load

    def ended_within(self, seconds):
        """Whether it ends by itself."""
        try:
            self.process.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            return False

    def register(self, devices, activating, products=ONE_CLASS):
        """Products with their devices, and one whose devices fetch their secrets."""
        head, *rows = devices_csv(self.load, devices + activating)
        for product in products:
            options = ["--product-key", product.key, "--retention", product.retention]
            self.json("product", "create", "crash", *options)
        options = ["--product-key", ACTIVATING, "--product-secret", ACTIVATING_SECRET]
        self.json("product", "create", "activating", *options, "--dynamic-activation", "--quota", "1000000")
        for product, numbers in shares(devices, products):
            import_devices(self, product.key, [head, *rows[numbers.start - 1 : numbers.stop - 1]])
        import_devices(self, ACTIVATING, [head, *rows[devices:]])
        return self


def set_days(file, days):
    """Moves the clock of a server that reads this file (`NARROWGATE_TEST_DAYS`).

    At once: an empty file would be day 0 for a moment, and the server would see its clock go back.
    """
    new = file.with_name(f"{file.name}.new")
    new.write_text(str(days))
    new.replace(file)


def copy_of(data, target):
    """A copy of a data directory, without what is not a file (the control socket)."""
    shutil.copytree(
        data, target, ignore=lambda folder, names: [n for n in names if Path(folder, n).is_socket()]
    )
    return Path(target)
