"""Plain CoAP: logins, reports, commands in responses, refusals and the end of a login, by aiocoap and libcoap.

The server has a port of plain CoAP beside that of DTLS, for these cases alone.
"""

import hashlib
import json
import socket
import time
from contextlib import contextmanager

from interop.harness import case, check, eventually
from interop.peers import Target
from interop.peers.aiocoap_tinydtls import Session
from interop.peers.libcoap import GNUTLS, OPENSSL
from interop.transports import AiocoapOverDtls
from lib.coap import Request, Silence
from lib.devices import create_device
from lib.dtls import CCM8
from lib.ports import free_port

from .story import live

_ECHO, _COMMAND_WAITING, _OLD_SIGNATURE, _COMMAND = 252, 2100, 2101, 2102
_LIFETIME = 3600


@contextmanager
def _served(world, **settings):
    """A server of its own, and the port of plain CoAP."""
    port = free_port(socket.SOCK_DGRAM)
    with world.fresh() as gateway:
        yield gateway.start("--coap", f"127.0.0.1:{port}", **settings), port


def _target(port):
    return Target(port, "", b"\1" * 16, CCM8)


def _sign(device, lifetime, secret=None, echo=None):
    product_key, device_key = device.names
    covered = "" if echo is None else f"echo{echo.hex().upper()}"
    text = f"deviceKey{device_key}{covered}lifetime{lifetime}productKey{product_key}secureMode2"
    return hashlib.sha256((text + (secret or device.device_secret)).encode()).hexdigest().upper()


def _login(device, lifetime=_LIFETIME, sign=None, mode=2, names=None):
    body = {"secureMode": mode, "lifetime": lifetime, "sign": sign or _sign(device, lifetime)}
    product_key, device_key = names or device.names
    return Request("POST", f"/auth/{product_key}/{device_key}", json.dumps(body).encode())


def _ask(session, request, **how):
    """The code, and the values of the two options of commands."""
    response = session.ask(request, **how)
    found = dict(response.options)
    return response, found.get(_COMMAND_WAITING), found.get(_COMMAND)


def _newest(gateway, device):
    [entry] = gateway.json("device", "log", *device.names, "--limit", "1")
    return entry["event"], entry["reason"], entry["code"]


@case("plain CoAP: a device logs in, reports, gets a command in the answer and answers it (aiocoap)")
def _life(world):
    with _served(world) as (gateway, port):
        device = create_device(gateway)
        said = gateway.said()
        check(f"coap://127.0.0.1:{port}" in said and "read and forge" in said, f"the banner is {said}")
        with Session(_target(port), scheme="coap") as session:
            report = device.report({"temp": 21.5})
            check(session.ask(report).code == "4.01", "a report is served without a login")
            response = session.ask(_login(device))
            check((response.code, response.payload) == ("2.04", b""), f"the login: {response}")
            shown = gateway.json("device", "show", *device.names)
            check((shown["state"], shown["lifetime"]) == ("online", _LIFETIME), f"it is {shown}")
            response, *options = _ask(session, report)
            check(json.loads(response.payload)["code"] == 200 and options == [None, None], f"{response}")
            points = gateway.json("device", "points", *device.names)
            check([point["value"] for point in points] == [21.5], f"stored: {points}")
            _command(gateway, device, session)


def _command(gateway, device, session):
    """A command rides in the next answer, once, and is over when the device has answered it."""
    sent = ["command", "send", *device.names, "--set", '{"temp":30.5}', "--pending-ttl", "600"]
    number = gateway.json(*sent)["id"]
    topic = device.topic("thing/service/measurepoint/set")
    report = device.report({"temp": 22})

    def carried():
        response, waiting, command = _ask(session, report)
        check(response.code == "2.04", f"the report: {response}")
        return (waiting, command) if command is not None else None

    waiting, command = eventually("no answer carries the command", carried)
    expected = {
        "id": number,
        "version": "1.0",
        "params": {"temp": 30.5},
        "method": "thing.service.measurepoint.set",
    }
    check(waiting.decode() == topic, f"option 2100 is {waiting}")
    check(json.loads(command) == expected, f"option 2102 is {command}")
    state = gateway.json("command", "show", *device.names, number)["state"]
    check(state == "sent", f"the command is {state}")
    _, *options = _ask(session, report)
    check(options == [None, None], "the command is offered again, before its time to answer is over")
    # A GET still gets it, under its id.
    response, *_ = _ask(session, Request("GET", topic))
    check(json.loads(response.payload) == expected, f"the GET got {response}")
    reply = json.dumps({"id": number, "code": 200, "data": {}}).encode()
    response, *_ = _ask(session, Request("POST", f"{topic}_reply", reply))
    check(response.code == "2.04", f"the reply: {response}")
    state = gateway.json("command", "show", *device.names, number)["state"]
    check(state == "succeeded", f"the command is {state}")
    _, *options = _ask(session, report)
    check(options == [None, None], "a command that was answered is offered again")


@case("plain CoAP: every wrong login is refused alike, and the log says why (aiocoap)")
def _refusals(world):
    with _served(world) as (gateway, port):
        device, other = create_device(gateway), create_device(gateway)
        product_key, _ = device.names
        with Session(_target(port), scheme="coap") as session:
            for login, told in [
                (_login(device, sign="0" * 64), ("refused", "wrong_key", 742)),
                (_login(device, sign=_sign(device, _LIFETIME).lower()), ("refused", "wrong_key", 742)),
                (_login(device, sign=_sign(other, _LIFETIME)), ("refused", "wrong_key", 742)),
                (_login(device, lifetime=29), ("refused", "lifetime_out_of_range", None)),
                (_login(device, mode=3), ("refused", "mode_unknown", None)),
            ]:
                response = session.ask(login)
                check((response.code, response.payload) == ("4.03", b""), f"{login}: {response}")
                eventually(f"{told} is not in the log", lambda told=told: _newest(gateway, device) == told)
            for names, reason in [
                ((product_key, "nobody"), "device_unknown"),
                (("NoSuch00", "nobody"), "product_unknown"),
            ]:
                response = session.ask(_login(device, names=names))
                check((response.code, response.payload) == ("4.03", b""), f"{names}: {response}")
                eventually(
                    f"{reason} is not among the refused",
                    lambda reason=reason: reason in [e["reason"] for e in gateway.json("refused")],
                )
            gateway.json("device", "disable", *device.names)
            check(session.ask(_login(device)).code == "4.03", "a device that is switched off logs in")
            eventually("723 is not in the log", lambda: _newest(gateway, device)[2] == 723)
            gateway.json("device", "enable", *device.names)
            path = _login(device).path
            for body in (b"", b"nonsense", b'{"secureMode":2}'):
                check(session.ask(Request("POST", path, body)).code == "4.00", f"{body}")
            old = session.ask(_login(device), [(_OLD_SIGNATURE, b"x")], blockwise=False)
            check(old.code == "4.02", f"option 2101: {old}")
            check(session.ask(Request("GET", path)).code == "4.05", "a GET of the path of logins")
            # None of that was in the way of the right one.
            check(session.ask(_login(device)).code == "2.04", "the right login is refused")
            response = session.ask(other.report({"temp": 1}))
            check(response.code == "4.03", f"the keys of another device: {response}")
            eventually("topic_foreign is not in the log", lambda: _newest(gateway, device)[1] == "topic_foreign")


@case("plain CoAP: a login belongs to its port, ends when a newer one comes, and with the device (aiocoap)")
def _newest_wins(world):
    with _served(world) as (gateway, port):
        device = create_device(gateway)
        report = device.report({"temp": 21.5})
        with Session(_target(port), scheme="coap") as first, Session(_target(port), scheme="coap") as second:
            check(first.ask(_login(device)).code == "2.04", "the first login")
            check(second.ask(report).code == "4.01", "another port has the login of the first")
            check(second.ask(_login(device)).code == "2.04", "the second login")
            eventually("the older login stands", lambda: first.ask(report).code == "4.01")
            check(second.ask(report).code == "2.04", "the newer login does not stand")
            # By DTLS, and back.
            target = gateway.target(device.identity(), device.key, CCM8)
            with Session(target) as third:
                check(third.ask(report).code == "2.04", "the session by DTLS")
                eventually("the plain login stands", lambda: second.ask(report).code == "4.01")
                check(second.ask(_login(device)).code == "2.04", "the login after DTLS")
                try:
                    code = third.ask(report, seconds=1.5).code
                    check(code == "4.03", f"the session by DTLS stands: {code}")
                except Silence:
                    pass
            gateway.json("device", "disable", *device.names)
            eventually("a device that is switched off is served", lambda: second.ask(report).code == "4.01")


@case("plain CoAP: a login ends with its lifetime, and every message puts that off (aiocoap)")
def _lifetime(world):
    with _served(world) as (gateway, port):
        device = create_device(gateway)
        report = device.report({"temp": 21.5})
        with Session(_target(port), scheme="coap") as session:
            check(session.ask(_login(device, lifetime=30)).code == "2.04", "the login")
            time.sleep(20)
            check(session.ask(report).code == "2.04", "within the lifetime")
            time.sleep(20)
            check(session.ask(report).code == "2.04", "the lifetime is counted from the last message")
            time.sleep(33)
            check(session.ask(report).code == "4.01", "the login outlives its lifetime")
            shown = gateway.json("device", "show", *device.names)
            check(shown["state"] == "offline", f"the device is {shown}")
            check(session.ask(_login(device, lifetime=30)).code == "2.04", "the next login")
            check(session.ask(report).code == "2.04", "after the next login")


@case("plain CoAP: a restart ends every login (aiocoap)")
def _restart(world):
    port = free_port(socket.SOCK_DGRAM)
    settings = {"NARROWGATE_COAP_LISTEN": f"127.0.0.1:{port}"}
    with world.fresh() as gateway, Session(_target(port), scheme="coap") as session:
        gateway.start(settings=settings)
        device = create_device(gateway)
        report = device.report({"temp": 21.5})
        check(session.ask(_login(device)).code == "2.04", "the login")
        check(session.ask(report).code == "2.04", "the report")
        gateway.kill()
        gateway.start(settings=settings)
        check(session.ask(report).code == "4.01", "the login outlives the process")
        check(session.ask(_login(device)).code == "2.04", "the login after the restart")
        check(session.ask(report).code == "2.04", "the report after the restart")


@case("plain CoAP: where logins have to be fresh, they need an Echo, and a recorded one is void (aiocoap)")
def _fresh_logins(world):
    port = free_port(socket.SOCK_DGRAM)
    settings = {"NARROWGATE_COAP_LISTEN": f"127.0.0.1:{port}", "NARROWGATE_COAP_FRESH_LOGINS": "true"}
    with world.fresh() as gateway, Session(_target(port), scheme="coap") as session:
        gateway.start(settings=settings)
        device = create_device(gateway)
        report, login = device.report({"temp": 21.5}), _login(device)

        def ask(session, echo=None, login=login):
            options = () if echo is None else ((_ECHO, echo),)
            response = session.ask(login, options, blockwise=False)
            return response.code, dict(response.options).get(_ECHO)

        code, echo = ask(session)
        check(code == "4.01" and 1 <= len(echo or b"") <= 40, f"a login without Echo: {code}, {echo}")
        check(session.ask(report).code == "4.01", "a report is served without a login")
        for wrong in (b"", b"x", bytes(len(echo)), echo[:-1], echo + b"x", bytes(41)):
            code, other = ask(session, wrong)
            check(code == "4.01" and other, f"the Echo {wrong} was answered {code}, {other}")
        check(ask(session, echo)[0] == "2.04", "a login with its Echo")
        check(session.ask(report).code == "2.04", "the report after it")
        with Session(_target(port), scheme="coap") as elsewhere:
            code, own = ask(elsewhere, echo)
            check(code == "4.01" and own not in (None, echo), f"the same login from elsewhere: {code}, {own}")
            check(session.ask(report).code == "2.04", "that ended the device's own login")
        gateway.kill()
        gateway.start(settings=settings)
        code, other = ask(session, echo)
        check(code == "4.01" and other, f"the same login after a restart: {code}, {other}")
        check(ask(session, other)[0] == "2.04", "a login with the new Echo")
        # A sign that covers the Echo is of no use to who has seen it, whatever Echo he asks for.
        fresh = _login(device, sign=_sign(device, _LIFETIME, echo=other))
        check(ask(session, other, fresh)[0] == "2.04", "a login whose sign covers its Echo")
        with Session(_target(port), scheme="coap") as elsewhere:
            _, own = ask(elsewhere)
            check(ask(elsewhere, own, fresh)[0] == "4.03", "that sign is good with another Echo")
            check(session.ask(report).code == "2.04", "that ended the device's own login")


@case("plain CoAP: without a login no answer is longer than its question (by hand)")
def _no_amplification(world):
    with _served(world) as (gateway, port), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        device = create_device(gateway)
        stranger.settimeout(0.5)
        head = bytes([0x40, 2, 0, 1])
        names = [name.encode() for name in device.names]
        auth = b"\xb4auth" + b"".join(_option_head(name) + name for name in names)
        for number, question in enumerate(
            [
                head,
                head + b"\xb5topic",
                head + b"\xb4auth",
                head + auth,
                head + auth + b"\xff{}",
                head + auth + b"\xff" + b"x" * 1000,
                head + auth + b"\xe1\x06\xfd\x00",
                bytes([0x40, 1, 0, 1]) + b"\xbb.well-known\x04core",
                bytes([0x40, 0x1F, 0, 1]),
                bytes([0x40, 0, 0, 1]),
                bytes([0x4F, 2, 0, 1]),
                b"GET / HTTP/1.1\r\n\r\n",
                b"\x16\xfe\xfd" + bytes(100),
            ]
        ):
            stranger.sendto(question, ("127.0.0.1", port))
            answers = _receive_all(stranger)
            check(len(answers) <= 1, f"question {number} has {len(answers)} answers")
            check(all(len(it) <= len(question) for it in answers), f"{question} is answered {answers}")


class AiocoapPlain(AiocoapOverDtls):
    """A device of the story that talks plain CoAP, once it has fetched its secret by DTLS."""

    def __init__(self, gateway, port):
        super().__init__(gateway)
        self._port, self._login = port, None

    def login(self, device, lifetime):
        """The login by a sign, from a port that stays the same."""
        self._session, self._login = Session(_target(self._port), scheme="coap"), _login(device, lifetime)
        self.wake()

    def wake(self):
        """Its login has ended with its lifetime."""
        code = self.ask(self._login).code
        check(code == "2.04", f"the login was answered {code}")

    def command_of(self, response):
        """The command that rides in a response."""
        commands = [value for number, value in response.options if number == _COMMAND]
        return json.loads(commands[0]) if commands else None


@case("the story of a device, from the factory to its sleep: aiocoap by plain CoAP")
def _story(world):
    with _served(world) as (gateway, port):
        transport = AiocoapPlain(gateway, port)
        try:
            live(gateway, transport)
        finally:
            transport.close()


def _option_head(segment):
    """Of a further segment of the path."""
    return bytes([len(segment)]) if len(segment) < 13 else bytes([13, len(segment) - 13])


def _receive_all(stranger):
    answers = []
    try:
        while True:
            answers.append(stranger.recv(65536))
    except TimeoutError:
        return answers


def _register(peer):
    @case(f"plain CoAP: login, report, command in the answer and its reply, each a process ({peer.NAME})")
    def _by_processes(world):
        with _served(world) as (gateway, port):
            device, own = create_device(gateway), free_port(socket.SOCK_DGRAM)

            def ask(request, more=()):
                [response] = peer.exchange(
                    _target(port), [request], more=("-p", str(own), *more), scheme="coap"
                )
                return response

            report = device.report({"temp": 21.5})
            check(ask(report).code == "4.01", "a report is served without a login")
            check(ask(_login(device, sign="0" * 64)).code == "4.03", "a wrong sign is served")
            check(ask(_login(device)).code == "2.04", "the login")
            response = ask(report)
            check(json.loads(response.payload)["code"] == 200, f"the report: {response}")
            sent = ["command", "send", *device.names, "--set", '{"temp":30.5}', "--pending-ttl", "600"]
            number = gateway.json(*sent)["id"]
            show = ("command", "show", *device.names, number)

            def sent_in_an_answer():
                return ask(report).code == "2.04" and gateway.json(*show)["state"] == "sent"

            eventually("no answer carries the command", sent_in_an_answer)
            topic = device.topic("thing/service/measurepoint/set")
            reply = json.dumps({"id": number, "code": 200, "data": {}}).encode()
            check(ask(Request("POST", f"{topic}_reply", reply)).code == "2.04", "the reply")
            state = gateway.json(*show)["state"]
            check(state == "succeeded", f"the command is {state}")
            check(ask(_login(device), ("-O", f"{_OLD_SIGNATURE},x")).code == "4.02", "option 2101")


for _peer in (OPENSSL, GNUTLS):
    _register(_peer)
