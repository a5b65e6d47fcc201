"""Every peer with every cipher suite that it has, in both modes."""

from interop.harness import case
from interop.peers import aiocoap_tinydtls, gnutls, node_dtls, openssl, python_mbedtls
from interop.peers.libcoap import GNUTLS, OPENSSL
from interop.peers.mbedtls import MBEDTLS_2, MBEDTLS_3
from lib.devices import create_device, create_product

from .steps import activate_by, report_by

PEERS = (openssl, gnutls, OPENSSL, GNUTLS, MBEDTLS_2, MBEDTLS_3, aiocoap_tinydtls, node_dtls, python_mbedtls)


def _register(peer, suite):
    @case(f"{peer.NAME} {suite} reports in mode 2")
    def _report(world):
        report_by(peer, world.gateway, create_device(world.gateway), suite)

    @case(f"{peer.NAME} {suite} activates in mode 3 and then reports")
    def _activate(world):
        product = create_product(world.gateway, dynamic_activation=True)
        device = activate_by(peer, world.gateway, create_device(world.gateway, product), suite)
        report_by(peer, world.gateway, device, suite)


for _peer in PEERS:
    for _suite in _peer.SUITES:
        _register(_peer, _suite)
