"""Whether the registry and the logs, two files, tell the same of a device."""


def at_odds(states, last):
    """Devices with their state and the last one of their presence, where these are not the same; and devices
    that have a presence and do not exist."""
    found = [(device, states.get(device, b"gone"), state) for device, state in last.items()]
    found += [(device, state, b"inactive") for device, state in states.items() if device not in last]
    return [(device, state.decode(), last.decode()) for device, state, last in found if state != last]
