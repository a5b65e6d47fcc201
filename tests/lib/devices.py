"""Products and devices as the tests use them: created by the command line, used by the peers.

Keys are short (8 and 10 characters), since tinydtls takes identities up to 32 bytes. Secrets are chosen here
so that no PSK holds a NUL, which libcoap 4.3.1 cannot take.
"""

import hashlib
import json
import secrets
import string
import time
from dataclasses import dataclass

from lib.coap import Request

_ALPHABET = string.ascii_letters + string.digits


def psk(secret):
    """The 16-byte PSK of a secret: bytes 9 to 24, counted from 1, of its SHA-256."""
    return hashlib.sha256(secret.encode()).digest()[8:24]


def random_name(length):
    """Random letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def new_secret(length):
    """A random secret whose PSK has no NUL."""
    while True:
        secret = random_name(length)
        if 0 not in psk(secret):
            return secret


@dataclass(frozen=True)
class Product:
    """A product and its secret."""

    product_key: str
    product_secret: str


@dataclass(frozen=True)
class Device:
    """A registered device and the secrets that it could use."""

    product: Product
    device_key: str
    device_secret: str

    @property
    def names(self):
        """The device as the command line wants it named."""
        return (self.product.product_key, self.device_key)

    def identity(self, mode=2, lifetime=3600):
        """The PSK identity."""
        return f"{self.product.product_key},{self.device_key},{mode},{lifetime}"

    @property
    def key(self):
        """The PSK of mode 2."""
        return psk(self.device_secret)

    def with_secret(self, secret):
        """The same device after it has learnt a new secret."""
        return Device(self.product, self.device_key, secret)

    def topic(self, suffix):
        """Path of a topic below `/sys/{productKey}/{deviceKey}/`."""
        return f"/topic/sys/{self.product.product_key}/{self.device_key}/{suffix}"

    def report(self, points):
        """The request that reports points, with the time of now."""
        body = {
            "id": "123",
            "version": "1.0",
            "params": {"measurepoints": points, "time": time.time_ns() // 1_000_000},
            "method": "thing.measurepoint.post",
        }
        return Request("POST", self.topic("thing/measurepoint/post"), json.dumps(body).encode())

    def activation(self):
        """The request of a mode-3 session for the device's secret."""
        path = f"/topic/ext/session/{self.product.product_key}/{self.device_key}/thing/activate/info"
        return Request("GET", path)


def create_product(gateway, dynamic_activation=False):
    """A new product of the gateway."""
    more = ["--dynamic-activation"] if dynamic_activation else []
    secret = new_secret(11)
    made = gateway.json("product", "create", "interop", "--product-secret", secret, *more)
    assert made["productSecret"] == secret, made
    return Product(made["productKey"], secret)


def create_device(gateway, product=None, key_length=10):
    """A new device, of a product of its own unless one is given."""
    product = product or create_product(gateway)
    device_key, secret = random_name(key_length), new_secret(20)
    options = ["--product", product.product_key, "--device-key", device_key, "--device-secret", secret]
    made = gateway.json("device", "create", *options)
    assert (made["deviceKey"], made["deviceSecret"]) == (device_key, secret), made
    return Device(product, device_key, secret)
