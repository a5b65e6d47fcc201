"""Images of firmware: by clients that are not ours, at any block, beside a server that is killed."""

import hashlib
import json
import random

from interop.harness import case, check, eventually
from interop.peers.libcoap import GNUTLS, OPENSSL
from interop.served import Bench, content
from lib.coap import Request
from lib.dtls import CCM8

BLOCK2, ETAG, SIZE2 = 23, 4, 28
MEGABYTE = 1_000_000
STATES = ("waiting", "offered", "sent", "accepted", "downloading", "verifying", "burning", "done", "failed")
LIMIT = {"NARROWGATE_LIMITS_DEVICE_BYTES": "10KiB/s burst 100KiB"}


def _image_of(size, seed=1):
    return random.Random(seed).randbytes(size)


def _offered(bench, image):
    """The path of an image that is offered to the bench's device, which has logged in before."""
    bench.tell("ota/device/inform", {"version": "1.0"})
    return f"/ota/{bench.offer(image)[0]}"


def _options(response):
    return dict(response.options)


def _block(number, more, exponent):
    """The value of Block2."""
    value = number << 4 | more << 3 | exponent
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


@case("firmware: a megabyte by libcoap, byte for byte, and a block in the middle")
def _megabyte(world):
    """Beside the limit of bytes that every device has, which blocks do not count against."""
    image = _image_of(MEGABYTE)
    with world.fresh() as gateway:
        gateway.start(settings=LIMIT)
        with Bench(gateway) as bench:
            path = _offered(bench, image)
            target = gateway.target(bench.device.identity(), bench.device.key, CCM8, 120)
            for peer, size in ((OPENSSL, 1024), (GNUTLS, 512)):
                [response] = peer.exchange(target, [Request("GET", path)], size)
                check(response.code == "2.05", f"{peer.NAME} got {response.code}")
                same = response.payload == image
                check(same, f"{peer.NAME} got {len(response.payload)} bytes in blocks of {size}")
                # With a number it gets that block alone.
                [block] = peer.exchange(target, [Request("GET", path)], more=("-b", f"500,{size}"))
                same = block.payload == image[500 * size : 501 * size]
                check(same, f"{peer.NAME} got {len(block.payload)} bytes of block 500 of {size}")


@case("firmware: a megabyte by aiocoap, and it goes on at its block when the server was killed")
def _killed(world):
    image = _image_of(MEGABYTE, 2)
    with world.fresh() as gateway:
        gateway.start(settings=LIMIT)
        with Bench(gateway) as bench:
            path = _offered(bench, image)
            got = bench.ask(Request("GET", path))
            check(got.payload == image, f"aiocoap got {len(got.payload)} bytes")
            half = [_get(bench, path, number) for number in range(300)]
        gateway.kill()
        gateway.start(settings=LIMIT)
        with Bench.again(bench) as bench:
            whole = [*half, *(_get(bench, path, number) for number in range(300, 977))]
        check(b"".join(block.payload for block in whole) == image, "the image is another one")
        tags = {_options(block)[ETAG] for block in whole}
        check(tags == {hashlib.sha256(image).digest()[:8]}, f"the ETags are {tags}")


def _get(bench, path, number):
    """One block of 1024 bytes."""
    return bench.ask(Request("GET", path), ((BLOCK2, _block(number, 0, 6)),), blockwise=False)


@case("firmware: blocks of every size, at any number, with ETag and Size2")
def _blocks(world):
    image = _image_of(5000, 3)
    with Bench(world.gateway) as bench:
        path = _offered(bench, image)
        for exponent in (6, 0, 3, 5):
            size = 16 << exponent
            last = (len(image) - 1) // size
            for number in (0, last, 1, last // 2, last):
                more = number < last
                wanted = ((BLOCK2, _block(number, 0, exponent)), (SIZE2, b""))
                response = bench.ask(Request("GET", path), wanted, blockwise=False)
                options = _options(response)
                check(response.code == "2.05", f"block {number} of {size} was answered {response}")
                check(response.payload == image[number * size : (number + 1) * size], f"{response}")
                check(options[BLOCK2] == _block(number, more, exponent), f"Block2 is {options[BLOCK2].hex()}")
                check(int.from_bytes(options[SIZE2], "big") == len(image), f"Size2 is {options[SIZE2]}")
        plain = bench.ask(Request("GET", path), ((BLOCK2, _block(2, 0, 6)),), blockwise=False)
        check(SIZE2 not in _options(plain), f"Size2 is not asked for: {plain}")
        first = bench.ask(Request("GET", path), blockwise=False)
        check(len(first.payload) == 1024 and SIZE2 in _options(first), f"without Block2 it got {first}")


@case("firmware: an upgrade from its offer to its end, as the operator reads it")
def _upgrade(world):
    image = _image_of(20_000, 4)
    with Bench(world.gateway) as bench:
        path = _offered(bench, image)
        command = content(bench.ask(Request("GET", bench.device.topic("ota/device/upgrade"))))
        check(command["params"]["sign"] == hashlib.sha256(image).hexdigest(), f"the command is {command}")
        reply = json.dumps({"id": command["id"], "code": 200, "data": {}}).encode()
        bench.ask(Request("POST", bench.device.topic("ota/device/upgrade_reply"), reply))

        def state():
            status = bench.gateway.json("firmware", "status", path.rsplit("/", 1)[1])
            return {state for state, count in status.items() if state in STATES and count}

        check(state() == {"accepted"}, f"the operator reads {state()}")
        check(bench.ask(Request("GET", path)).payload == image, "the image is another one")
        # That it was fetched is written down beside the answers.
        eventually("that it was fetched is not shown", lambda: state() == {"verifying"})
        bench.tell("ota/device/progress", {"step": "100"})
        check(state() == {"burning"}, f"the operator reads {state()}")
        bench.tell("ota/device/inform", {"version": "2.0"})
        check(state() == {"done"}, f"the operator reads {state()}")
