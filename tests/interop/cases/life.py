"""The life of a device, and of the server under it: activation, presence, limits of a session, kill -9."""

import time

from interop.harness import case, check, eventually
from interop.peers import PeerFailed, aiocoap_tinydtls, gnutls, openssl
from interop.peers.mbedtls import MBEDTLS_3, Options
from lib.coap import Request, build_request
from lib.devices import create_device, create_product, psk
from lib.dtls import CBC, CCM8

from .expected import SERVES_CONNECTION_ID, SESSIONS_OUTLIVE_THE_PROCESS
from .steps import (
    activate_by,
    check_reply,
    check_silence,
    reading,
    report_by,
    state,
    stored,
    wait_for_refusal,
)


def _session(gateway, device, suite=CCM8, **options):
    target = gateway.target(device.identity(), device.key, suite)
    return MBEDTLS_3.session(target, Options(**options)).handshake()


@case("a whole life with two clients: activated by gnutls, reporting by aiocoap, and never activated again")
def _whole_life(world):
    gateway = world.gateway
    product = create_product(gateway, dynamic_activation=True)
    device = create_device(gateway, product)
    check(state(gateway, device) == "inactive", "a new device is not inactive")
    device = activate_by(gnutls, gateway, device, CBC)
    report_by(aiocoap_tinydtls, gateway, device, CCM8)
    log = [entry["event"] for entry in gateway.json("device", "log", *device.names)]
    check("activated" in log and "login" in log, f"the log says {log}")

    target = gateway.target(device.identity(mode=3), psk(product.product_secret), CBC)
    [response] = gnutls.exchange(target, [device.activation()])
    check(response.code == "4.03" and not response.payload, f"a second activation was answered {response}")
    check(
        wait_for_refusal(gateway, device, "already_activated")["code"] == 771,
        "the log does not have code 771",
    )


@case("tinydtls closes a session, hears an answer, and connects again from the same context")
def _closed_by_tinydtls(world):
    gateway = world.gateway
    device = create_device(gateway)
    aiocoap_tinydtls.connect_and_close_twice(gateway.target(device.identity(), device.key, CCM8))


@case("a new secret supersedes the one before")
def _superseded(world):
    gateway = world.gateway
    device = create_device(gateway, create_product(gateway, dynamic_activation=True))
    first = activate_by(gnutls, gateway, device, CCM8)
    second = activate_by(openssl, gateway, device, CCM8)
    check(first.device_secret != second.device_secret, "the second secret is the first")
    refused = gateway.target(first.identity(), first.key, CCM8)
    quick = Options(first_timeout_ms=500, last_timeout_ms=500)
    check_silence(MBEDTLS_3.session(refused, quick).handshake, "the superseded secret")
    wait_for_refusal(gateway, device, "wrong_key")
    report_by(openssl, gateway, second, CCM8)


@case("a mode-3 session may ask for its own secret and for nothing else")
def _mode_3_only(world):
    gateway = world.gateway
    product = create_product(gateway, dynamic_activation=True)
    device, other = create_device(gateway, product), create_device(gateway, product)
    target = gateway.target(device.identity(mode=3), psk(product.product_secret), CCM8)
    session = MBEDTLS_3.session(target).handshake()
    for request in (device.report({"temp": 1}), other.activation(), Request("GET", "/")):
        response = session.ask(request)
        check(response.code == "4.03" and not response.payload, f"{request.path} was answered {response}")
    check(state(gateway, device) == "inactive", "a mode-3 session has activated the device")
    check(stored(gateway, device, "temp") == [], "a mode-3 session has stored a report")
    session.close()


@case("without dynamic activation a mode-3 request is refused with 770")
def _activation_off(world):
    gateway = world.gateway
    device = create_device(gateway)
    target = gateway.target(device.identity(mode=3), psk(device.product.product_secret), CCM8)
    [response] = MBEDTLS_3.exchange(target, [device.activation()])
    check(response.code == "4.03" and not response.payload, f"it was answered {response}")
    check(
        wait_for_refusal(gateway, device, "dynamic_activation_off")["code"] == 770,
        "the log does not have code 770",
    )


@case("requests that cannot be served get the code that fits, and the session goes on")
def _codes(world):
    gateway = world.gateway
    device, other = create_device(gateway), create_device(gateway)
    session = _session(gateway, device)
    post = device.topic("thing/measurepoint/post")
    foreign = Request("POST", other.topic("thing/measurepoint/post"), device.report({"temp": 1}).payload)
    for request, code, reason, mistake in (
        (foreign, "4.03", "topic_foreign", "names another device"),
        (
            Request("POST", device.topic("thing/nothing/there"), b"{}"),
            "4.04",
            "path_unknown",
            "a report goes to",
        ),
        (Request("POST", post + "/", b"{}"), "4.04", "path_unknown", "a trailing slash"),
        (
            Request("POST", post.removeprefix("/topic"), b"{}"),
            "4.04",
            "path_unknown",
            "this is the MQTT topic",
        ),
        (Request("GET", post), "4.05", "method_wrong", "it takes POST only"),
        (Request("POST", post, b"not json"), "4.00", "body_malformed", "where { belongs"),
        (Request("POST", post, b"[1]"), "4.00", "body_malformed", "it is an array"),
        (Request("POST", post), "4.00", "body_malformed", "the body is empty"),
        (Request("POST", post, b"{}\0"), "4.00", "body_malformed", "at byte 3, by a NUL (0x00)"),
    ):
        response = session.ask(request)
        what = f"{request.method} {request.path} {request.payload!r}"
        check(response.code == code and not response.payload, f"{what} was answered {response}")
        wait_for_refusal(gateway, device, reason, mistake)
    conditional = build_request(device.report({"temp": 1}), 0x7008, b"t")
    conditional.options.insert(0, (1, b"tag"))
    check(session.exchange(conditional).code == "4.12", "If-Match was not answered 4.12")
    wait_for_refusal(gateway, device, "option_unsupported", "If-Match")
    foreign_format = build_request(device.report({"temp": 1}), 0x7007, b"t")
    foreign_format.options = [(n, v if n != 12 else b"\x2a") for n, v in foreign_format.options]
    check(session.exchange(foreign_format).code == "4.15", "content format 42 was not answered 4.15")
    response = session.ask(Request("POST", f"/auth/{'/'.join(device.names)}"))
    check(response.code == "2.04" and not response.payload, f"an explicit login was answered {response}")
    check_reply(session.ask(device.report({"temp": 2})))
    check(stored(gateway, other, "temp") == [], "a device has written to another")
    session.close()


@case("openssl close_notify takes the device offline at once")
def _close_notify(world):
    device = create_device(world.gateway)
    session = openssl.Session(world.gateway.target(device.identity(), device.key, CCM8))
    check_reply(session.ask(device.report({"temp": reading()})))
    check(state(world.gateway, device) == "online", "the device is not online")
    session.close()
    eventually("still online after close_notify", lambda: state(world.gateway, device) == "offline", 2)


@case("the newest session of a device wins")
def _newest_wins(world):
    device = create_device(world.gateway)
    older = _session(world.gateway, device)
    check_reply(older.ask(device.report({"temp": 1})))
    time.sleep(1.1)  # A device may shake hands once a second.
    newer = _session(world.gateway, device)
    check_reply(newer.ask(device.report({"temp": 2})))
    _check_closed(older, device)
    check(stored(world.gateway, device, "temp") == [2], "the older session has stored a report")
    check_reply(newer.ask(device.report({"temp": 4})))
    check(state(world.gateway, device) == "online", "the end of the older session took the device offline")
    newer.close()


def _check_closed(session, device):
    """The session's requests meet close_notify or silence."""
    try:
        check_silence(lambda: session.ask(device.report({"temp": 3}), 2), "a closed session")
    except PeerFailed as failed:
        check("close_notify" in str(failed), f"the closed session got: {failed}")
    session.vanish()


@case("disabling a device ends its session within 1 s, enabling lets it back in")
def _disable(world):
    gateway = world.gateway
    device = create_device(gateway)
    session = _session(gateway, device)
    check_reply(session.ask(device.report({"temp": 1})))
    gateway.json("device", "disable", *device.names)
    time.sleep(1)
    _check_closed(session, device)
    check(stored(gateway, device, "temp") == [1], "a disabled device has stored a report")
    check(state(gateway, device) == "disabled", f"the state is {state(gateway, device)}")
    gateway.json("device", "enable", *device.names)
    report_by(openssl, gateway, device, CCM8)


def _register_kill(suite, options):
    said = f"{suite} with a Connection ID" if "cid" in options else suite
    after = "the session goes on" if SESSIONS_OUTLIVE_THE_PROCESS else "the device gets back in"

    @case(f"kill -9 after an acknowledged report {said}: it is there once, {after}")
    def _kill(world):
        with world.fresh() as gateway:
            gateway.start()
            device = create_device(gateway)
            session = _session(gateway, device, suite, **options)
            value, later = reading(), reading()
            message = build_request(device.report({"temp": value}), 0x4321, b"once")
            first = session.exchange(message)
            check_reply(first)
            gateway.kill()
            gateway.start()
            check(
                stored(gateway, device, "temp", history=True) == [value],
                "the acknowledged report is not there once",
            )

            # The device has heard nothing of the restart: the network repeats a record, the device a message.
            session.repeat_last_datagram()
            check(session.receive(1) is None, "a record of before the restart was answered")
            if SESSIONS_OUTLIVE_THE_PROCESS:
                second = session.exchange(message)
                check(
                    (second.code, second.payload) == (first.code, first.payload),
                    f"the repeated report got {second}",
                )
            else:
                check_silence(
                    lambda: session.exchange(message, 2.5), "a message in a session of before the restart"
                )
                session.handshake_again()
            check_reply(session.ask(device.report({"temp": later})))
            history = stored(gateway, device, "temp", history=True)
            check(
                sorted(history) == sorted([value, later]),
                f"stored is {history}, sent were {value} and {later}",
            )
            session.close()
            eventually("close_notify did nothing", lambda: state(gateway, device) == "offline", 3)
            check(gateway.stop() == 0, "the server did not stop with 0")


_register_kill(CCM8, {})
_register_kill(CBC, {})
if SERVES_CONNECTION_ID:
    _register_kill(CCM8, {"cid": b""})


@case("kill -9 after activation: the device's secret is the server's")
def _kill_after_activation(world):
    with world.fresh() as gateway:
        gateway.start()
        product = create_product(gateway, dynamic_activation=True)
        device = activate_by(openssl, gateway, create_device(gateway, product), CCM8)
        gateway.kill()
        gateway.start()
        report_by(gnutls, gateway, device, CCM8)
