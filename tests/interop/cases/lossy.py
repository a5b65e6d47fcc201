"""Bodies and answers of 10 KiB in blocks while every fifth datagram is lost, each way, and a crash in the
middle of each.

A session does not outlive the process yet. So a client that hears nothing more makes a new handshake and
begins again with block 0; of what came before the crash nothing is stored.
"""

import json
import threading

from interop.harness import case, check
from interop.peers.aiocoap_tinydtls import Session
from interop.peers.libcoap import GNUTLS, OPENSSL
from interop.relay import Relayed, lossy
from lib.coap import Request, Silence
from lib.devices import create_device
from lib.dtls import APPLICATION_DATA, CBC, CCM8

from .expected import SESSIONS_OUTLIVE_THE_PROCESS

BODY_BYTES = 10 * 1024
BLOCK_BYTES = 1024
BLOCKS = BODY_BYTES // BLOCK_BYTES
SECONDS = 120
BLOCK1, REQUEST_TAG = 27, 292
# Of aiocoap: five losses in a row, which end an exchange by the usual times, happen once in 160 exchanges.
PATIENCE = {"ack_timeout": 0.5, "retransmissions": 7}
# A client of libcoap that has heard nothing for so long after the crash gives up.
GIVES_UP_SECONDS = 20


def _report(device, topic="thing/measurepoint/post", first=0):
    """A report of exactly 10 KiB, of 200 points, with their values."""
    points = {f"a_point_with_a_rather_long_name_{first + n:04}": first + n + 0.5 for n in range(200)}
    request = device.report(points)
    return Request("POST", device.topic(topic), _without_method(request.payload).ljust(BODY_BYTES)), points


def _without_method(payload):
    body = json.loads(payload)
    del body["method"]
    return json.dumps(body, separators=(",", ":")).encode()


def _stored(gateway, device):
    """Every value that was ever stored."""
    rows = gateway.json("device", "points", *device.names, "--from", "0", "--limit", "1000")
    return sorted((row["point"], row["value"]) for row in rows)


def _check_stored(gateway, device, *reports):
    """These points, and each once."""
    wanted = sorted(point for points in reports for point in points.items())
    stored = _stored(gateway, device)
    check(stored == wanted, f"{len(stored)} values are stored, {len(wanted)} were sent")


def _check_reply(response):
    reply = json.loads(response.payload or b"null")
    check(response.code == "2.04" and reply["code"] == 200, f"it was answered {response}")


class Killer:
    """Kills the server when so many records of application data have come from the device."""

    def __init__(self, gateway, after):
        self._gateway, self._left, self.is_done = gateway, after, threading.Event()

    def __call__(self, _relay, datagram):
        if datagram[0] == APPLICATION_DATA and not self.is_done.is_set():
            self._left -= 1
            if self._left == 0:
                self._gateway.kill()
                self.is_done.set()
        return True


def _by_libcoap(peer, suite):
    def send(target, request):
        return peer.exchange(target, [request], block_size=BLOCK_BYTES)[0]

    return f"{peer.NAME} {suite}", suite, send


def _by_aiocoap():
    def send(target, request):
        session = Session(target, **PATIENCE)
        try:
            return session.ask(request, seconds=target.seconds)
        finally:
            session.vanish()

    return "aiocoap-tinydtls CCM_8", CCM8, send


class Transfer:
    """A device of a gateway behind a relay that loses datagrams, and how its client sends one request."""

    def __init__(self, peer, gateway, relay):
        _, self._suite, self._send = peer
        self._gateway, self._relayed, self.device = gateway, Relayed(gateway, relay), create_device(gateway)

    def _ask(self, request, seconds):
        device = self.device
        return self._send(self._relayed.target(device.identity(), device.key, self._suite, seconds), request)

    def send(self, request, attempts=3):
        """The answer to a request in a session of its own. libcoap's clients give up after five losses in a
        row, and then begin again.
        """
        try:
            return self._ask(request, SECONDS)
        except Silence:
            if attempts == 1 or _stored(self._gateway, self.device):
                raise
            return self.send(request, attempts - 1)

    def interrupt(self, request, killer):
        """Begins, and is not answered, because the server is killed meanwhile; then the server runs again."""
        try:
            answer = self._ask(request, GIVES_UP_SECONDS)
            # libcoap's clients show the code of the first block of an answer that stays incomplete.
            is_whole = answer.payload.endswith(b"}")
            check(SESSIONS_OUTLIVE_THE_PROCESS or not is_whole, f"a killed server has answered {answer}")
        except Silence:
            pass
        check(killer.is_done.is_set(), "the server was not killed in the middle")
        self._gateway.start()


def _register(peer, seed):
    name = peer[0]

    @case(f"{name}: a report of 10 KiB in blocks at 20 % loss is stored once")
    def _loss(world):
        with lossy(world.gateway.dtls_port, seed) as relay:
            transfer = Transfer(peer, world.gateway, relay)
            request, points = _report(transfer.device)
            _check_reply(transfer.send(request))
        _check_stored(world.gateway, transfer.device, points)

    @case(f"{name}: kill -9 in the middle of a report of 10 KiB at 20 % loss: begun again, stored once")
    def _crash(world):
        with world.fresh() as gateway:
            gateway.start()
            killer = Killer(gateway, BLOCKS // 2)
            with lossy(gateway.dtls_port, seed, on_request=killer) as relay:
                transfer = Transfer(peer, gateway, relay)
                request, points = _report(transfer.device)
                transfer.interrupt(request, killer)
                check(_stored(gateway, transfer.device) == [], "a part of the report is stored")
                _check_reply(transfer.send(request))
            _check_stored(gateway, transfer.device, points)
            check(gateway.stop() == 0, "the server did not stop with 0")

    @case(f"{name}: kill -9 in the middle of an answer of 8 KiB at 20 % loss: fetched again, whole")
    def _fetch(world):
        with world.fresh() as gateway:
            gateway.start()
            killer = Killer(gateway, 4)
            with lossy(gateway.dtls_port, seed + 1, on_request=killer) as relay:
                transfer = Transfer(peer, gateway, relay)
                values = {letter: letter * 4000 for letter in "ab"}
                gateway.json("device", "attributes", *transfer.device.names, "--set", json.dumps(values))
                body = b'{"id":"7","params":{"attributes":[]}}'
                request = Request("POST", transfer.device.topic("thing/attribute/query"), body)
                transfer.interrupt(request, killer)
                answer = json.loads(transfer.send(request).payload)
            check(answer == {"id": "7", "code": 200, "data": values}, f"the answer is {str(answer)[:200]}")


class Interleaved:
    """Two reports of one device whose blocks take turns in one session of aiocoap, one confirmable message at
    a time. `tags` are values of Request-Tag, or the topics differ.
    """

    def __init__(self, device, tags, topics):
        self._tags = tags
        made = [_report(device, topic, 200 * number) for number, topic in enumerate(topics)]
        self.requests, self.points = zip(*made, strict=True)

    def send(self, session, turns, which=(0, 1)):
        """The answers to the blocks of so many turns; each goes on from block 0."""
        return [[self._block(session, number, at) for at in which] for number in turns]

    def _block(self, session, number, at):
        request, begin = self.requests[at], number * BLOCK_BYTES
        part = Request("POST", request.path, request.payload[begin : begin + BLOCK_BYTES])
        more = number < BLOCKS - 1
        value = (number << 4 | more << 3 | 6).to_bytes(1 if number < 16 else 2, "big")
        tag = ((REQUEST_TAG, self._tags[at]),) if self._tags else ()
        response = session.ask(part, ((BLOCK1, value), *tag), seconds=SECONDS, blockwise=False)
        wanted = "2.31" if more else "2.04"
        check(response.code == wanted, f"block {number} of {at} was answered {response}")
        return response


def _register_interleaved(what, seed, tags, topics):
    @case(f"aiocoap-tinydtls: two reports of 10 KiB take turns at 20 % loss ({what})")
    def _turns(world):
        device = create_device(world.gateway)
        both = Interleaved(device, tags, topics)
        with lossy(world.gateway.dtls_port, seed) as relay:
            with _session(world.gateway, relay, device) as session:
                for response in both.send(session, range(BLOCKS))[-1]:
                    _check_reply(response)
        _check_stored(world.gateway, device, *both.points)

    @case(f"aiocoap-tinydtls: kill -9 while two reports of 10 KiB take turns at 20 % loss ({what})")
    def _crash(world):
        with world.fresh() as gateway:
            gateway.start()
            device = create_device(gateway)
            both = Interleaved(device, tags, topics)
            with lossy(gateway.dtls_port, seed) as relay:
                with _session(gateway, relay, device) as session:
                    both.send(session, range(BLOCKS - 1))
                    # The first one is stored, of the second one block is missing.
                    _check_reply(both.send(session, [BLOCKS - 1], [0])[0][0])
                    gateway.kill()
                gateway.start()
                _check_stored(gateway, device, both.points[0])
                with _session(gateway, relay, device) as session:
                    _check_reply(both.send(session, range(BLOCKS), [1])[-1][0])
            _check_stored(gateway, device, *both.points)


def _session(gateway, relay, device):
    return Session(Relayed(gateway, relay).target(device.identity(), device.key, CCM8), **PATIENCE)


_register(_by_libcoap(OPENSSL, CCM8), 0)
_register(_by_libcoap(GNUTLS, CBC), 3)
_register(_by_aiocoap(), 13)
_register_interleaved("Request-Tag a and b", 14, (b"a", b"b"), ("thing/measurepoint/post",) * 2)
_register_interleaved("two topics", 15, (), ("thing/measurepoint/post", "thing/measurepoint/resume"))
