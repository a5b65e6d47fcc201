"""What peers can vary inside the protocol: extensions left out, fragments, sessions resumed, Connection IDs,
blocks.
"""

import itertools
import json

from interop.harness import case, check
from interop.peers import aiocoap_tinydtls, openssl
from interop.peers.libcoap import GNUTLS, OPENSSL
from interop.peers.mbedtls import MBEDTLS_2, MBEDTLS_3, Options
from lib.coap import ACK, CON, Message, Request, build_request, encode
from lib.devices import create_device
from lib.dtls import CBC, CCM8

from .expected import SERVES_CONNECTION_ID, TAKES_FINISHED_IN_FRAGMENTS
from .steps import check_reply, check_silence, reading, report_by, stored


def _register_extensions(peer, suite, master_secret, then_mac):
    said = f"{'with' if master_secret else 'without'} extended master secret"
    said += f", {'encrypt-then-MAC' if then_mac else 'MAC-then-encrypt'}" if suite == CBC else ""

    @case(f"{peer.NAME} {suite} {said}")
    def _extensions(world):
        options = Options(extended_master_secret=master_secret, encrypt_then_mac=then_mac)
        report_by(peer, world.gateway, create_device(world.gateway), suite, options=options)


for _master_secret, _then_mac in itertools.product((True, False), repeat=2):
    _register_extensions(MBEDTLS_3, CBC, _master_secret, _then_mac)
_register_extensions(MBEDTLS_3, CCM8, False, True)
_register_extensions(MBEDTLS_2, CBC, False, False)


def _register_suite(suite):
    @case(f"openssl {suite} with a ClientHello in fragments (-mtu 256, every suite offered)")
    def _fragments(world):
        report_by(openssl, world.gateway, create_device(world.gateway), suite, mtu=256)

    @case(f"mbedtls-3.6 {suite} shakes hands again from the same port (RFC 6347 4.2.8)")
    def _reconnect(world):
        _two_handshakes(world, suite, resume=False)

    @case(f"mbedtls-3.6 {suite} offers to resume its session")
    def _resume(world):
        _two_handshakes(world, suite, resume=True)

    for what, options in (
        ("asks for a Connection ID", Options(cid=b"")),
        ("asks for a Connection ID each way", Options(cid=b"device")),
    ):
        _register_connection_id(suite, what, options)


def _register_connection_id(suite, what, options):
    @case(f"mbedtls-3.6 {suite} {what}{' and goes on from other ports' if SERVES_CONNECTION_ID else ''}")
    def _connection_id(world):
        device = create_device(world.gateway)
        session = MBEDTLS_3.session(
            world.gateway.target(device.identity(), device.key, suite), options
        ).handshake()
        check(
            bool(session.peer_cid()) == SERVES_CONNECTION_ID,
            f"the Connection ID agreed upon is {session.peer_cid()}",
        )
        values = [reading() for _ in range(3)]
        for value in values:
            check_reply(session.ask(device.report({"temp": value})))
            if SERVES_CONNECTION_ID:
                session.move()
        check(session.ping(), "no RST came back to the last port")
        session.close()
        history = stored(world.gateway, device, "temp", history=True)
        check(sorted(history) == sorted(values), "not all reports are stored")


for _suite in (CCM8, CBC):
    _register_suite(_suite)
_mac_then_encrypt = Options(cid=b"", encrypt_then_mac=False)
_register_connection_id(CBC, "asks for a Connection ID without encrypt-then-MAC", _mac_then_encrypt)


def _two_handshakes(world, suite, resume):
    device = create_device(world.gateway)
    session = MBEDTLS_3.session(world.gateway.target(device.identity(), device.key, suite)).handshake()
    values = [reading(), reading()]
    check_reply(session.ask(device.report({"temp": values[0]})))
    session.handshake_again(resume)
    check_reply(session.ask(device.report({"temp": values[1]})))
    session.close()
    check(
        sorted(stored(world.gateway, device, "temp", history=True)) == sorted(values),
        "not both reports are stored",
    )


@case(
    "mbedtls-3.6 CCM_8 with an MTU of 100 and the longest identity: the ClientKeyExchange comes in fragments"
)
def _fragmented_key_exchange(world):
    device = create_device(world.gateway, key_length=64)
    report_by(MBEDTLS_3, world.gateway, device, CCM8, options=Options(mtu=100))


@case("mbedtls-3.6 CBC_SHA256 with an MTU of 100: the Finished comes in fragments")
def _fragmented_finished(world):
    device = create_device(world.gateway)
    options = Options(mtu=100, first_timeout_ms=600, last_timeout_ms=600)
    if TAKES_FINISHED_IN_FRAGMENTS:
        report_by(MBEDTLS_3, world.gateway, device, CBC, options=options)
    else:
        session = MBEDTLS_3.session(world.gateway.target(device.identity(), device.key, CBC), options)
        check_silence(session.handshake, "a Finished in fragments")
        report_by(MBEDTLS_3, world.gateway, device, CBC)


@case("mbedtls-3.6 without a Connection ID: another port is met with silence, a new handshake there works")
def _lost_association(world):
    device = create_device(world.gateway)
    session = MBEDTLS_3.session(world.gateway.target(device.identity(), device.key, CCM8)).handshake()
    check_reply(session.ask(device.report({"temp": reading()})))
    session.move()
    check_silence(
        lambda: session.ask(device.report({"temp": reading()}), 2.5), "a record from an unknown port"
    )
    session.handshake_again()
    check_reply(session.ask(device.report({"temp": reading()})))
    session.close()


@case(
    "mbedtls-3.6 a repeated record is silent, a repeated Message ID gets the same answer, "
    "and both are stored once"
)
def _repeated(world):
    device = create_device(world.gateway)
    session = MBEDTLS_3.session(world.gateway.target(device.identity(), device.key, CCM8)).handshake()
    value = reading()
    message = build_request(device.report({"temp": value}), 0x1234, b"token")
    first = session.exchange(message)
    check_reply(first)
    session.repeat_last_datagram()
    check(session.receive(0.5) is None, "a replayed record was answered")
    second = session.exchange(message)
    check((second.code, second.payload) == (first.code, first.payload), f"the second answer is {second}")
    check(
        stored(world.gateway, device, "temp", history=True) == [value],
        "the report is not stored exactly once",
    )
    session.close()


@case("mbedtls-3.6 malformed messages do not end the session (RFC 7252 4.2)")
def _malformed(world):
    device = create_device(world.gateway)
    session = MBEDTLS_3.session(world.gateway.target(device.identity(), device.key, CCM8)).handshake()
    for number, tail in enumerate((b"\xf1\x61", b"\xbf\x61", b"\xff", b"\xd0")):
        head = encode(Message(CON, 1, 0x1000 + number))
        session.send(head + tail)
        answer = session.receive(2)
        check(
            answer == bytes([0x70, 0]) + head[2:4],
            f"{(head + tail).hex()} was answered {answer and answer.hex()}",
        )
    session.send(encode(Message(ACK, 0, 0x7777)))
    check_reply(session.ask(device.report({"temp": reading()})))
    session.close()


def _register_blocks(peer, suite, size=None):
    """A report of some 4 KiB in blocks of this size, or of the peer's own (1024); with blocks of 16 bytes the
    answer comes in three.
    """

    @case(f"{peer.NAME} {suite} reports in blocks of {size or 1024} bytes")
    def _blocks(world):
        device = create_device(world.gateway)
        points = {f"a_point_with_a_long_name_{number:03}": number / 8 for number in range(1, 101)}
        request = device.report(points)
        check(len(request.payload) > 3 * 1024, "the report is too short for this test")
        target = world.gateway.target(device.identity(), device.key, suite)
        more = {"block_size": size} if size else {}
        [response] = peer.exchange(target, [request], **more)
        check_reply(response)
        check(
            json.loads(response.payload) == {"id": "123", "code": 200, "data": {}},
            f"the reply is {response.payload!r}",
        )
        rows = world.gateway.json("device", "points", *device.names, "--limit", "1000")
        check({row["point"]: row["value"] for row in rows} == points, f"{len(rows)} of 100 points are stored")


@case("libcoap-openssl CCM_8 lists its topics in blocks of 64 bytes (.well-known/core)")
def _discovery(world):
    device = create_device(world.gateway)
    target = world.gateway.target(device.identity(), device.key, CCM8)
    [response] = OPENSSL.exchange(target, [Request("GET", "/.well-known/core")], block_size=64)
    links = response.payload.decode().split(",")
    check(response.code == "2.05" and len(response.payload) > 128, f"the list is {response}")
    check(f"<{device.topic('thing/measurepoint/post')}>;ct=\"50 60\"" in links, f"the topics are {links}")


for _size in (16, 64, 1024):
    _register_blocks(OPENSSL, CCM8, _size)
_register_blocks(GNUTLS, CBC, 256)
_register_blocks(aiocoap_tinydtls, CCM8)
