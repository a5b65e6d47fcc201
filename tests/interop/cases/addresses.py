"""A server that listens at all its addresses: a peer whose socket hears nothing but the address that it talks
to.
"""

import socket
from pathlib import Path

from interop.harness import case, check
from interop.peers import openssl
from lib.devices import create_device
from lib.dtls import CBC, CCM8

from .steps import check_reply, stored


def _link_local():
    """A link-local address of this machine, with the name of its interface."""
    for line in Path("/proc/net/if_inet6").read_text().splitlines():
        address, _, _, _, _, interface = line.split()
        if address.startswith("fe80"):
            return f"{socket.inet_ntop(socket.AF_INET6, bytes.fromhex(address))}%{interface}"
    raise AssertionError("a link-local address is needed; as root: ip address add fe80::1/64 dev lo")


def _talk_to(gateway, host, suite):
    """A whole session of `openssl s_client`, whose socket is connected; returns the peer that the server
    noted.
    """
    device = create_device(gateway)
    session = openssl.Session(gateway.target(device.identity(), device.key, suite, host=host))
    check_reply(session.ask(device.report({"temp": 21.5})))
    check(stored(gateway, device, "temp") == [21.5], f"the report to {host} is not stored")
    session.close()
    entries = gateway.json("device", "log", *device.names)
    return next(entry["peer"] for entry in entries if entry["event"] == "login")


@case("0.0.0.0: openssl talks to 127.0.0.1 and 127.0.0.2, and is answered from there")
def _all_ipv4(world):
    with world.fresh() as gateway:
        gateway.dtls_host = "0.0.0.0"
        gateway.start()
        for host, suite in (("127.0.0.1", CCM8), ("127.0.0.2", CBC), ("127.0.0.2", CCM8)):
            _talk_to(gateway, host, suite)


@case("[::]: openssl talks to ::1, to a link-local address and to 127.0.0.2, and is answered from there")
def _all_ipv6(world):
    with world.fresh() as gateway:
        gateway.dtls_host = "[::]"
        gateway.start()
        for host, start in (
            ("[::1]", "[::1]:"),
            (f"[{_link_local()}]", "[fe80:"),
            ("127.0.0.2", "127.0.0.1:"),
        ):
            peer = _talk_to(gateway, host, CCM8)
            check(peer.startswith(start), f"a peer at {host} is shown as {peer}")
