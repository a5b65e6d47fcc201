"""What an operator meets: a start that cannot be, with its reason and nothing changed; a stop; health."""

import json
import shutil
import socket
import sqlite3
import time

from interop.gateway import parts_of_error
from interop.harness import case, check, eventually
from interop.peers import openssl
from interop.peers.mbedtls import MBEDTLS_3
from lib.devices import create_device, random_name
from lib.dtls import CCM8

from .steps import check_reply, check_silence, report_by, stored

FAILED, BAD_CONFIG = 1, 78


def _check_refused_start(gateway, codes, words, *more):
    """`serve` has to fail with one of the codes and a message in four parts that holds the words; nothing may
    change.
    """
    before = gateway.fingerprint()
    code, noise = gateway.try_to_start(*more)
    parts = parts_of_error(noise)
    check(code in codes, f"exit code {code}, expected {codes}\n{noise}")
    where = [label for label in parts if label not in ("error", "reason", "try")]
    check({"reason", "try"} <= parts.keys() and where, f"the message does not have its four parts\n{noise}")
    for word in words:
        check(word in noise, f"the message does not name {word!r}\n{noise}")
    check("panicked" not in noise, noise)
    changed = {
        k
        for k in before.keys() | gateway.fingerprint().keys()
        if before.get(k) != gateway.fingerprint().get(k)
    }
    check(not changed, f"the failed start has changed {sorted(changed)}")


def _used(gateway):
    """A data directory with a device and a report in it, and no server."""
    gateway.start()
    device = create_device(gateway)
    report_by(openssl, gateway, device, CCM8)
    check(gateway.stop() == 0, "the server did not stop with 0")
    return device


@case("SIGTERM with a live session: drained, exit code 0, nothing lost, and the next start has it all")
def _sigterm(world):
    with world.fresh() as gateway:
        gateway.start()
        device = create_device(gateway)
        session = MBEDTLS_3.session(gateway.target(device.identity(), device.key, CCM8)).handshake()
        check_reply(session.ask(device.report({"temp": 21.5})))
        begin = time.monotonic()
        check(gateway.stop() == 0, "the exit code is not 0")
        check(time.monotonic() - begin < 10.5, "it took more than 10 s")
        check(
            stored(gateway, device, "temp") == [21.5],
            "without a server the command line does not see the report",
        )
        gateway.start()
        check(
            stored(gateway, device, "temp", history=True) == [21.5],
            "after the start the report is not there once",
        )
        session.vanish()
        report_by(openssl, gateway, device, CCM8)


@case("health and metrics say that it serves")
def _health(world):
    for path in ("/health/live", "/health/ready", "/metrics"):
        status, body = world.gateway.http(path)
        check(status == 200, f"{path} answered {status} {body}")
    check("# TYPE narrowgate_" in body, "the metrics are not named narrowgate_…")


@case("the command line prints one JSON document, secrets only where they are asked for")
def _shapes(world):
    gateway = world.gateway
    device = create_device(gateway)
    shown = gateway.json("device", "show", *device.names)
    keys = {"assetId", "productKey", "deviceKey", "state", "enabled", "lifetime"}
    keys |= {"activeTime", "lastOnlineTime", "lastOfflineTime", "lastSeenTime"}
    check(keys <= shown.keys(), f"`device show` lacks {sorted(keys - shown.keys())}: {shown}")
    of_product = ("--product", device.product.product_key)
    for arguments in (
        ("device", "show", *device.names),
        ("device", "list", *of_product),
        ("product", "list"),
    ):
        text = json.dumps(gateway.json(*arguments))
        check(
            device.device_secret not in text and device.product.product_secret not in text,
            f"{arguments} shows a secret",
        )
    secret = gateway.json("device", "secret", *device.names)
    check(
        (secret["deviceSecret"], secret["pskHex"]) == (device.device_secret, device.key.hex()),
        "not the device's secret",
    )
    check(
        secret["identity"].startswith(",".join(device.names) + ",2,"), f"the identity is {secret['identity']}"
    )
    check(
        gateway.json("device", "show", "/".join(device.names))
        == gateway.json("device", "show", device.device_key),
        "PK/DK and DK differ",
    )
    check(device.device_secret not in gateway.log(10_000), "the server's log holds a secret")


def _register_usage(what, code, arguments):
    @case(f"exit code {code}: {what}")
    def _usage(world):
        got, output, noise = world.gateway.run(*arguments, "-o", "json")
        check(got == code and not output, f"exit code {got}, output {output!r}\n{noise}")
        check("error" in noise, f"no error is named\n{noise}")


_register_usage("an unknown verb", 64, ("product", "explode"))
_register_usage("a device without a product", 64, ("device", "create"))
_register_usage("an unknown device", FAILED, ("device", "show", "nobody42", random_name(10)))


def _register_busy(kind, name):
    @case(f"a busy {name} port: the start fails with its reason, nothing changed")
    def _busy(world):
        with world.fresh() as gateway, socket.socket(socket.AF_INET, kind) as other:
            _used(gateway)
            port = gateway.dtls_port if kind == socket.SOCK_DGRAM else gateway.http_port
            other.bind(("127.0.0.1", port))
            if kind == socket.SOCK_STREAM:
                other.listen()
            _check_refused_start(gateway, (FAILED, BAD_CONFIG), (str(port),))


_register_busy(socket.SOCK_DGRAM, "UDP")
_register_busy(socket.SOCK_STREAM, "HTTP")


@case("a second server on the same data directory is refused, the first serves on")
def _second_server(world):
    with world.fresh() as gateway:
        gateway.start()
        device = create_device(gateway)
        served = gateway.dtls_port, gateway.http_port
        with world.fresh() as ports:
            gateway.dtls_port, gateway.http_port = ports.dtls_port, ports.http_port
            code, noise = gateway.try_to_start()
        gateway.dtls_port, gateway.http_port = served
        check(code in (FAILED, BAD_CONFIG) and "in use" in noise, f"exit code {code}\n{noise}")
        report_by(openssl, gateway, device, CCM8)


def _register_config(what, text, words):
    @case(f"a bad configuration ({what}): exit code 78 with file and line, nothing changed")
    def _bad_config(world):
        with world.fresh() as gateway:
            config = gateway.folder / "narrowgate.toml"
            config.write_text(text)
            _check_refused_start(gateway, (BAD_CONFIG,), ("narrowgate.toml", *words), "--config", str(config))
            check(not gateway.data.exists(), "the data directory was created all the same")


_register_config("an unknown key", "[dtls]\n\nlissen = '127.0.0.1:5684'\n", ("lissen", "3", "listen"))
_register_config("no TOML", "[dtls\n", ("1",))
_register_config("a duration without a unit", "[session]\nidle_timeout = '24'\n", ("idle_timeout", "2"))


@case("a configuration file that does not exist: exit code 78")
def _no_config(world):
    with world.fresh() as gateway:
        _check_refused_start(
            gateway, (BAD_CONFIG,), ("nowhere.toml",), "--config", str(gateway.folder / "nowhere.toml")
        )


def _register_damage(what, damage, words):
    @case(f"{what}: the start fails with its reason, nothing changed")
    def _damaged(world):
        with world.fresh() as gateway:
            device = _used(gateway)
            good = gateway.folder / "good"
            shutil.copytree(gateway.data, good)
            damage(gateway.data)
            _check_refused_start(gateway, (FAILED, BAD_CONFIG), words)

            # The old directory, put back, serves as before.
            shutil.rmtree(gateway.data)
            good.rename(gateway.data)
            gateway.start()
            check(len(stored(gateway, device, "temp", history=True)) == 1, "the report of before is gone")


def _overwrite(data, name="registry.db"):
    database = data / name
    check(database.exists(), f"no {name} in {sorted(p.name for p in data.iterdir())}")
    database.write_bytes(b"This was a database once." * 1000)


def _cut(data):
    database = data / "registry.db"
    database.write_bytes(database.read_bytes()[: database.stat().st_size // 2 - 100])


def _replace_by_foreign(data):
    for file in data.glob("registry.db*"):
        file.unlink()
    with sqlite3.connect(data / "registry.db") as foreign:
        foreign.execute("CREATE TABLE recipes (name TEXT)")
        foreign.execute("INSERT INTO recipes VALUES ('bread')")
    foreign.close()


def _lose_key(data):
    (data / "data.key").unlink()


def _change_key(data):
    key = data / "data.key"
    key.chmod(0o600)
    key.write_text("00112233445566778899aabbccddeeff" * 2 + "\n")


_register_damage("a damaged database", _overwrite, ("registry.db",))
_register_damage(
    "a damaged file of logs", lambda data: _overwrite(data, "log.db"), ("log.db", "narrowgate adopt")
)
_register_damage("a missing file of logs", lambda data: (data / "log.db").unlink(), ("log.db",))
_register_damage("a database cut in half", _cut, ("registry.db",))
_register_damage("a foreign database", _replace_by_foreign, ("registry.db",))
_register_damage("a missing data key", _lose_key, ("data.key",))
_register_damage("a wrong data key", _change_key, ("data.key",))


@case("a device switched off by the command line without a server stays out after the start")
def _offline_change(world):
    with world.fresh() as gateway:
        device = _used(gateway)
        gateway.json("device", "disable", *device.names)
        gateway.start()
        session = openssl.Session(gateway.target(device.identity(), device.key, CCM8, 2.5))
        check_silence(lambda: session.ask(device.report({"temp": 1})), "a disabled device")
        session.vanish()
        eventually(
            "the log does not name it",
            lambda: "device_disabled" in json.dumps(gateway.json("device", "log", *device.names)),
        )


@case("retention of a day: at the start old message files go, and no report is needed for it")
def _retention(world):
    with world.fresh() as gateway:
        device = _used(gateway)
        [today] = (gateway.data / "messages").glob("*.db")
        for day in ("2020-01-01", "2020-01-02", "2026-01-31"):
            shutil.copy(today, today.with_name(f"{day}.db"))
        config = gateway.folder / "retention.toml"
        config.write_text('[store]\nretention = "1d"\n')
        gateway.start("--config", str(config))
        eventually(
            "the old files are still there",
            lambda: sorted(file.name for file in today.parent.glob("*.db")) == [today.name],
        )
        check(
            len(stored(gateway, device, "temp", history=True)) == 1, "the report of today is not there once"
        )
        check("messages deleted after their retention time" in gateway.log(), gateway.log())
