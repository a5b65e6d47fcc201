"""Bodies and answers of 10 KiB in blocks while every fifth datagram is lost, each way; two of each of one
device that take turns; and a crash in the middle of each.

A session does not outlive the process yet. So a client that hears nothing more makes a new handshake and
begins again with block 0; of what came before the crash nothing is stored. An answer is asked for again, and is
whole.
"""

import json
import threading

from interop.harness import case, check
from interop.peers.aiocoap_tinydtls import Session
from interop.peers.libcoap import GNUTLS, OPENSSL
from interop.relay import Relayed, lossy
from lib.coap import Request, Silence
from lib.devices import Product, create_device
from lib.dtls import APPLICATION_DATA, CBC, CCM8

from .expected import SESSIONS_OUTLIVE_THE_PROCESS

BODY_BYTES = 10 * 1024
BLOCK_BYTES = 1024
BLOCKS = BODY_BYTES // BLOCK_BYTES
SECONDS = 120
BLOCK2, BLOCK1, REQUEST_TAG = 23, 27, 292
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


# Of each kind a device keeps 8 KiB; with what the model adds to attributes its answer has ten blocks.
VALUES = {letter: letter * 4000 for letter in "ab"}
DEFAULT = "d" * 1700
ANSWERS = {
    "thing/attribute/query": ({"attributes": []}, {**VALUES, "d": DEFAULT}),
    "thing/tag/query": ({"tags": []}, VALUES),
}


def _device_with_long_answers(gateway):
    """A device that has as many attributes and tags as it may."""
    text = {"type": "STRING", "maxLength": 4096}
    attributes = [{"identifier": letter, "dataType": text} for letter in VALUES]
    attributes += [{"identifier": "d", "dataType": text, "default": DEFAULT}]
    model = gateway.folder / "long.json"
    model.write_text(json.dumps({"modelId": "long", "attributes": attributes}))
    made = gateway.json("product", "create", "long", "--model", str(model))
    device = create_device(gateway, Product(made["productKey"], made["productSecret"]))
    for kind in ("attributes", "tags"):
        gateway.json("device", kind, *device.names, "--set", json.dumps(VALUES))
    return device


def _query(device, topic):
    """The question for all of one kind, with the longest id; and its answer."""
    params, data = ANSWERS[topic]
    body = json.dumps({"id": "7" * 128, "params": params}).encode()
    return Request("POST", device.topic(topic), body), {"id": "7" * 128, "code": 200, "data": data}


def _check_answer(payload, wanted):
    answer = json.loads(payload)
    check(answer == wanted, f"the answer is {str(answer)[:200]}")


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

    def __init__(self, peer, gateway, relay, device=None):
        _, self._suite, self._send = peer
        self._gateway, self._relayed = gateway, Relayed(gateway, relay)
        self.device = device or create_device(gateway)

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

    @case(f"{name}: an answer of 10 KiB in blocks at 20 % loss is fetched whole")
    def _answer(world):
        device = _device_with_long_answers(world.gateway)
        with lossy(world.gateway.dtls_port, seed + 2) as relay:
            request, wanted = _query(device, "thing/attribute/query")
            payload = Transfer(peer, world.gateway, relay, device).send(request).payload
        check((BLOCKS - 1) * BLOCK_BYTES < len(payload) <= BODY_BYTES, f"it has {len(payload)} bytes")
        _check_answer(payload, wanted)

    @case(f"{name}: kill -9 in the middle of an answer of 10 KiB at 20 % loss: fetched again, whole")
    def _fetch(world):
        with world.fresh() as gateway:
            gateway.start()
            device, killer = _device_with_long_answers(gateway), Killer(gateway, BLOCKS // 2)
            with lossy(gateway.dtls_port, seed + 1, on_request=killer) as relay:
                transfer = Transfer(peer, gateway, relay, device)
                request, wanted = _query(device, "thing/attribute/query")
                transfer.interrupt(request, killer)
                _check_answer(transfer.send(request).payload, wanted)


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


class Fetched:
    """Two answers of one device whose blocks take turns in one session of aiocoap."""

    def __init__(self, device):
        made = [_query(device, topic) for topic in ANSWERS]
        self.requests, self.wanted = zip(*made, strict=True)
        self.payloads = [b"", b""]

    def ask(self, session, turns):
        """So many turns. Returns whether both are whole."""
        is_whole = [False, False]
        for number in turns:
            for at, request in enumerate(self.requests):
                if not is_whole[at]:
                    is_whole[at] = not self._block(session, number, at, request)
        return all(is_whole)

    def _block(self, session, number, at, request):
        """One block; whether more follow."""
        part = Request("POST", request.path, request.payload if number == 0 else b"")
        wish = (number << 4 | 6).to_bytes(1, "big")
        response = session.ask(part, ((BLOCK2, wish),), seconds=SECONDS, blockwise=False)
        more = len(response.payload) == BLOCK_BYTES
        check(response.code == "2.04" and (more or response.payload), f"block {number} of {at}: {response}")
        self.payloads[at] += response.payload
        return more

    def check(self):
        """Both are right."""
        for payload, wanted in zip(self.payloads, self.wanted, strict=True):
            _check_answer(payload, wanted)


@case("aiocoap-tinydtls: two answers of 8 and 10 KiB take turns at 20 % loss")
def _fetched_in_turns(world):
    device = _device_with_long_answers(world.gateway)
    with lossy(world.gateway.dtls_port, 16) as relay:
        with _session(world.gateway, relay, device) as session:
            both = Fetched(device)
            check(both.ask(session, range(BLOCKS)), "they do not end")
    both.check()


@case("aiocoap-tinydtls: kill -9 while two answers of 8 and 10 KiB take turns at 20 % loss: asked again, whole")
def _fetched_through_a_crash(world):
    with world.fresh() as gateway:
        gateway.start()
        device = _device_with_long_answers(gateway)
        with lossy(gateway.dtls_port, 17) as relay:
            with _session(gateway, relay, device) as session:
                Fetched(device).ask(session, range(BLOCKS // 2))
                gateway.kill()
            gateway.start()
            with _session(gateway, relay, device) as session:
                # What the process held of the answers has gone with it.
                lost = session.ask(
                    Request("POST", device.topic("thing/tag/query"), b""),
                    ((BLOCK2, (BLOCKS // 2 << 4 | 6).to_bytes(1, "big")),),
                    seconds=SECONDS,
                    blockwise=False,
                )
                check(SESSIONS_OUTLIVE_THE_PROCESS or lost.code == "4.08", f"a later block: {lost}")
                both = Fetched(device)
                check(both.ask(session, range(BLOCKS)), "they do not end")
        both.check()


def _session(gateway, relay, device):
    return Session(Relayed(gateway, relay).target(device.identity(), device.key, CCM8), **PATIENCE)


_register(_by_libcoap(OPENSSL, CCM8), 0)
_register(_by_libcoap(GNUTLS, CBC), 3)
_register(_by_aiocoap(), 13)
_register_interleaved("Request-Tag a and b", 14, (b"a", b"b"), ("thing/measurepoint/post",) * 2)
_register_interleaved("two topics", 15, (), ("thing/measurepoint/post", "thing/measurepoint/resume"))
