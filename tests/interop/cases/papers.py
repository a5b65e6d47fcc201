"""What docs/device-guide.md and README.md say and can be tried: examples, limits, what is not served,
figures.
"""

import json
import re
from itertools import takewhile

from interop import harness, served
from interop.harness import case, check
from interop.peers import aiocoap_tinydtls, gnutls, node_dtls, openssl
from interop.peers.libcoap import OPENSSL
from interop.peers.mbedtls import MBEDTLS_3
from interop.relay import Relay, Relayed
from lib.coap import Request
from lib.devices import create_device
from lib.dtls import APPLICATION_DATA, CBC, CCM8
from lib.paths import GUIDE

from .steps import stored

HEADERS = 20 + 8  # IPv4 and UDP

_EXAMPLE = re.compile(r"^POST (/topic/\S+).*\n(\{(?:.*\n)+?)\n2\.04   (\{.*\})$", re.MULTILINE)


@case("the guide's examples of reports, sent as they stand, are answered as it says")
def _examples(world):
    examples = _EXAMPLE.findall(GUIDE.read_text())
    check(len(examples) >= 2, f"the guide has {len(examples)} examples of reports")
    device = create_device(world.gateway)
    for path, body, reply in examples:
        path = path.replace("{productKey}", device.product.product_key).replace(
            "{deviceKey}", device.device_key
        )
        target = world.gateway.target(device.identity(), device.key, CCM8)
        [response] = OPENSSL.exchange(target, [Request("POST", path, body.encode())])
        said = json.loads(response.payload or b"null")
        check(response.code == "2.04" and said == json.loads(reply), f"{path} was answered {response}")
    check(
        len(stored(world.gateway, device, "temp", history=True)) == 3,
        "not every report of the examples is stored",
    )
    check(
        stored(world.gateway, device, "temp") == [21.5], "a report that was resumed became the latest value"
    )


@case(
    "the guide's limits: 200 in a batch are stored, 201 are 1206, more than 10 KiB is 4.13, "
    "an id may be absent"
)
def _limits(world):
    device = create_device(world.gateway)
    session = MBEDTLS_3.session(world.gateway.target(device.identity(), device.key, CCM8)).handshake()
    path = device.topic("thing/measurepoint/post/batch")

    def batch(count, **more):
        reports = [{"measurepoints": {"n": n}} for n in range(count)]
        text = json.dumps({"params": reports, **more}, separators=(",", ":"))
        return session.ask(Request("POST", path, text.encode()))

    full = batch(200)
    check(json.loads(full.payload) == {"code": 200, "data": {}}, f"a batch of 200 was answered {full}")
    check(len(stored(world.gateway, device, "n", history=True)) == 200, "not all of the batch is stored")
    check(json.loads(batch(201).payload)["code"] == 1206, "a batch of 201 was not 1206")
    large = batch(1, pad="x" * 10240)
    size1 = [int.from_bytes(value, "big") for number, value in large.options if number == 60]
    check(large.code == "4.13" and size1 == [10240], f"more than 10 KiB was answered {large}")
    session.close()


@case("the guide's tables of topics, codes and options name cases that there are, and all of them")
def _rows(_world):
    named = [row.test for row in served.rows()]
    kinds = ("topic ", "code ", "option ")
    cases = [name for name in harness.names() if name.startswith(kinds)]
    check(len(named) > 60, f"the guide names {len(named)} cases")
    lacking = served.rows_without_test()
    check(not lacking, f"rows without a case, or with an empty cell: {lacking}")
    difference = set(named) ^ set(cases)
    check(not difference and len(named) == len(cases), f"in one place only, or twice: {sorted(difference)}")


def _handshake(datagrams):
    """The bytes on the wire of each datagram before the first application data."""
    before = takewhile(lambda datagram: datagram[0] != APPLICATION_DATA, datagrams)
    return [len(datagram) + HEADERS for datagram in before]


def _register(peer, suite):
    @case(f"the guide's bytes of a handshake: {peer.NAME} {suite}")
    def _bytes(world):
        device = create_device(world.gateway, key_length=15)  # As many characters as an IMEI.
        with Relay(world.gateway.dtls_port, lambda *_: True) as relay:
            target = Relayed(world.gateway, relay).target(device.identity(), device.key, suite)
            peer.exchange(target, [device.report({"temp": 21.5})])
        up, down = _handshake(relay.sent), _handshake(relay.received)
        row = f"| {peer.NAME} | {suite} | {sum(up)} | {sum(down)} | {len(up) + len(down)} |"
        known = re.search(rf"^\| {peer.NAME} \| {suite} \|.*$", GUIDE.read_text(), re.MULTILINE)
        check(known and known[0] == row, f"the guide has {known and known[0]}, measured was {row}")


for _peer in (openssl, gnutls, MBEDTLS_3, aiocoap_tinydtls, node_dtls):
    for _suite in (CCM8, CBC) if CBC in _peer.SUITES else (CCM8,):
        _register(_peer, _suite)
