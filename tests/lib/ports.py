"""Ports of this machine."""

import socket


def free_port(kind: socket.SocketKind) -> int:
    """A port of 127.0.0.1 that is free now; `kind` is SOCK_DGRAM or SOCK_STREAM."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
