"""Commands to devices: what libcoap's client and Mbed TLS read of them, and what the operator reads."""

import json
from concurrent.futures import ThreadPoolExecutor

from interop.harness import case, check, eventually
from interop.peers.libcoap import GNUTLS, OPENSSL
from interop.peers.mbedtls import MBEDTLS_3
from interop.served import COMMAND_WAITING, Bench
from lib.coap import Request, Silence
from lib.devices import create_device, psk
from lib.dtls import CCM8

from .steps import check_reply


def _send(gateway, device, *what):
    return gateway.json("command", "send", *device.names, *what, "--pending-ttl", "600")["id"]


def _register(peer):
    @case(f"a command is fetched and answered by {peer.NAME}, each in a session of its own")
    def _command(world):
        gateway, device = world.gateway, create_device(world.gateway)
        target = gateway.target(device.identity(), device.key, CCM8)
        peer.exchange(target, [device.report({"temp": 21.5})])
        number = _send(gateway, device, "--set", '{"temp":30.5}')
        topic = device.topic("thing/service/measurepoint/set")

        def fetch():
            [response] = peer.exchange(target, [Request("GET", topic)])
            return json.loads(response.payload) if response.code == "2.05" else None

        command = eventually("the command is not handed out", fetch)
        expected = {
            "id": number,
            "version": "1.0",
            "params": {"temp": 30.5},
            "method": "thing.service.measurepoint.set",
        }
        check(command == expected and fetch() == expected, f"the device got {command}")
        answer = {"id": number, "code": 200, "message": "set, rounded", "data": {"temp": 30.5}}
        reply = json.dumps(answer).encode()
        [response] = peer.exchange(target, [Request("POST", f"{topic}_reply", reply)])
        check(response.code == "2.04", f"the reply was answered {response}")
        shown = gateway.json("command", "show", *device.names, number)
        state = (shown["state"], shown["code"], shown["data"], shown["message"])
        check(state == ("succeeded", 200, {"temp": 30.5}, "set, rounded"), f"the operator reads {shown}")
        [response] = peer.exchange(target, [Request("GET", topic)])
        check(response.code == "4.04", f"a command that was answered was handed out again: {response}")


    @case(f"{peer.NAME} observes, hears of a command at once, and takes its registration back")
    def _observe(world):
        with world.fresh() as gateway:
            device = create_device(gateway.start())
            target = gateway.target(device.identity(), device.key, CCM8)
            request, seconds = Request("GET", device.topic("thing/commands")), 4
            with ThreadPoolExecutor(1) as pool:
                # It observes for so long; then it asks with Observe 1.
                observing = pool.submit(peer.exchange, target, [request], more=("-s", str(seconds)))
                one = "narrowgate_devices_observing 1"
                eventually("it does not observe", lambda: one in gateway.http("/metrics")[1].splitlines())
                _send(gateway, device, "--get", "temp")
                [response] = observing.result()
            told = response.payload.replace(b"}", b"}\n").decode().split()
            check(told[:2] == ['{"waiting":0}', '{"waiting":1}'], f"{peer.NAME} printed {told}")
            none = "narrowgate_devices_observing 0"
            eventually("it still observes", lambda: none in gateway.http("/metrics")[1].splitlines())


@case("Mbed TLS: option 2100 names the oldest command that waits, on every response")
def _option(world):
    gateway, device = world.gateway, create_device(world.gateway)
    session = MBEDTLS_3.session(gateway.target(device.identity(), device.key, CCM8)).handshake()

    def ask(request):
        response = session.ask(request)
        topics = [value.decode() for number, value in response.options if number == COMMAND_WAITING]
        return response, topics

    check(ask(device.report({"temp": 21.5}))[1] == [], "a command is named, and there is none")
    numbers = [_send(gateway, device, "--get", "temp"), _send(gateway, device, "--service", "restart")]
    get, restart = (
        device.topic(f"thing/service/{rest}") for rest in ("measurepoint/get", "restart")
    )
    eventually("the command is not named", lambda: ask(device.report({"temp": 1}))[1] == [get])
    check(ask(Request("GET", device.topic("nowhere")))[1] == [get], "a 4.04 does not name it")
    response, topics = ask(Request("GET", get))
    check(json.loads(response.payload)["id"] == numbers[0] and topics == [restart], f"{response} {topics}")
    reply = json.dumps({"id": numbers[0], "code": 200, "data": {"temp": 1}}).encode()
    response, topics = ask(Request("POST", f"{get}_reply", reply))
    check(response.code == "2.04" and topics == [restart], f"the reply was answered {response} {topics}")
    response, topics = ask(Request("GET", restart))
    check(json.loads(response.payload)["id"] == numbers[1] and topics == [], f"{response} {topics}")
    session.close()


@case("aiocoap: a product that is set to it answers every GET by 2.04, and what is observed by 2.05")
def _content_code(world):
    with Bench(world.gateway, activation=True) as bench:
        product_key, one = bench.product.product_key, "thing/service/measurepoint/set"
        shown = world.gateway.json("product", "update", product_key, "--content-code", "2.04")
        check(shown["contentCode"] == "2.04", f"the product is {shown}")
        check_reply(bench.ask(bench.device.report({"temp": 1})))
        number = bench.send("--set", '{"temp":30.5}')

        def fetched():
            response = bench.ask(Request("GET", bench.device.topic(one)))
            return response if response.code == "2.04" else None

        command = eventually("the command is not handed out by 2.04", fetched)
        check(json.loads(command.payload)["id"] == number, f"it is {command}")
        for path in (bench.device.topic("thing/commands"), "/.well-known/core"):
            response = bench.ask(Request("GET", path))
            check(response.code == "2.04" and response.payload, f"{path} was answered {response}")
        check(bench.ask(Request("GET", bench.device.topic("nowhere"))).code == "4.04", "an unknown topic")
        observed = bench.session.observe(Request("GET", bench.device.topic("thing/commands")))
        check(observed.answer.code == "2.05", f"an observation was answered {observed.answer}")
        # libcoap asks for the secret of a device that has never logged in.
        other = bench.other
        target = world.gateway.target(other.identity(3), psk(bench.product.product_secret), CCM8)
        [response] = OPENSSL.exchange(target, [other.activation()])
        secret = json.loads(response.payload or b"{}").get("params", {}).get("deviceSecret")
        check(response.code == "2.04" and secret, f"the activation was answered {response}")
        world.gateway.json("product", "update", product_key, "--content-code", "2.05")

        def by_2_05():
            return bench.ask(Request("GET", "/.well-known/core")).code == "2.05"

        eventually("2.04 is answered still", by_2_05)


@case("aiocoap: a GET that wants no answer takes no command")
def _deaf(world):
    """No-Response 2 (RFC 7967): the command would be lost until its time-out."""
    with Bench(world.gateway) as bench:
        check_reply(bench.ask(bench.device.report({"temp": 1})))
        number, path = bench.send("--get", "temp"), bench.device.topic("thing/service/measurepoint/get")

        def named():
            return any(number == COMMAND_WAITING for number, _ in bench.ask(bench.device.report({"temp": 1})).options)

        eventually("the command is not named", named)
        try:
            answer = bench.ask(Request("GET", path), ((258, b"\x02"),), seconds=3, blockwise=False)
            check(False, f"an answer that is not wanted was sent: {answer}")
        except Silence:
            pass
        state = world.gateway.json("command", "show", *bench.device.names, number)["state"]
        check(state == "created", f"the command is {state}")
        response = bench.ask(Request("GET", path))
        check(json.loads(response.payload)["id"] == number, f"it was answered {response}")


for _peer in (OPENSSL, GNUTLS):
    _register(_peer)
