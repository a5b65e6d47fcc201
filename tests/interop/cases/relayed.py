"""Handshakes on a bad day: a port that moves or a restart between the hellos; a lost flight."""

from interop.harness import case, check
from interop.peers import aiocoap_tinydtls, gnutls, openssl, python_mbedtls
from interop.peers.libcoap import GNUTLS, OPENSSL
from interop.peers.mbedtls import MBEDTLS_2, MBEDTLS_3
from interop.relay import Relay, Relayed
from lib.devices import create_device
from lib.dtls import is_client_hello, is_hello_verify, is_last_flight, message_number

from .steps import report_by

# Those that repeat their flights. Each does so with new record numbers, as RFC 6347 4.2.2 wants.
_REPEATING = (openssl, gnutls, MBEDTLS_2, MBEDTLS_3, OPENSSL, GNUTLS, aiocoap_tinydtls)
# Those that take a second HelloVerifyRequest: all but the client of node, which then says no more.
_PEERS = (*_REPEATING, python_mbedtls)


def _check_numbers(relay, exchanges):
    """Each HelloVerifyRequest has the message_seq of a hello, and there were so many exchanges."""
    hellos = sorted({message_number(datagram) for datagram in relay.sent if is_client_hello(datagram)})
    verifies = sorted({message_number(datagram) for datagram in relay.received if is_hello_verify(datagram)})
    check(hellos == list(range(exchanges + 1)), f"the hellos have the numbers {hellos}")
    check(verifies == list(range(exchanges)), f"the HelloVerifyRequests have the numbers {verifies}")


def _register_move(peer, suite, moves):
    times = "once" if moves == 1 else "twice"

    @case(f"attack 201: {peer.NAME} {suite} connects though its port moves {times} between its hellos")
    def _moves(world):
        seen = set()

        def on_answer(relay, datagram):
            if (
                is_hello_verify(datagram)
                and message_number(datagram) < moves
                and message_number(datagram) not in seen
            ):
                seen.add(message_number(datagram))
                relay.move()
            return True

        with Relay(world.gateway.dtls_port, on_answer) as relay:
            report_by(peer, Relayed(world.gateway, relay), create_device(world.gateway), suite)
            _check_numbers(relay, moves + 1)


def _register_restart(peer):
    @case(f"attack 202: {peer.NAME} connects though the server is restarted between its hellos")
    def _restart(world):
        with world.fresh() as gateway:
            gateway.start()
            device, restarted = create_device(gateway), []

            def on_answer(_, datagram):
                if is_hello_verify(datagram) and not restarted:
                    restarted.append(gateway.stop())
                    gateway.start()
                return True

            with Relay(gateway.dtls_port, on_answer) as relay:
                report_by(peer, Relayed(gateway, relay), device, peer.SUITES[0], restarts=True)
                check(restarted == [0], f"the server ended with {restarted}")
                _check_numbers(relay, 2)


def _register_last_flight(peer, suite):
    @case(f"{peer.NAME} {suite} connects though the last flight is lost once")
    def _last_flight(world):
        lost = []

        def on_answer(_, datagram):
            if is_last_flight(datagram) and not lost:
                lost.append(datagram)
                return False
            return True

        with Relay(world.gateway.dtls_port, on_answer) as relay:
            report_by(peer, Relayed(world.gateway, relay), create_device(world.gateway), suite)
            check(lost, "no last flight came by")
            check(len(set(relay.sent)) == len(relay.sent), "a datagram was repeated byte for byte")


for _peer in _PEERS:
    for _suite in _peer.SUITES:
        _register_move(_peer, _suite, 1)
for _peer in (openssl, gnutls, MBEDTLS_3):
    _register_move(_peer, _peer.SUITES[0], 2)
    _register_restart(_peer)
for _peer in _REPEATING:
    for _suite in _peer.SUITES:
        _register_last_flight(_peer, _suite)
