"""What the unmodified SignalR clients for Python do against a gateway with the probe as upstream of hub `probe`.

    python scenarios.py CLIENT SCENARIO URL TRANSPORT PROTOCOL [TOKEN]

CLIENT is `pysignalr` or `signalrcore`, URL the gateway's base URL. With a TOKEN the client goes to the hub itself, without one
it is sent there by the gateway's own negotiation. A scenario says `done` at its end.
"""

import asyncio
import logging
import os
import queue
import sys
import threading

PATIENCE = 120


class PySignalR:
    """`pysignalr`, whose event loop runs on a thread of its own."""

    def __init__(self, url, protocol, token):
        from pysignalr.client import SignalRClient
        from pysignalr.protocol.json import JSONProtocol
        from pysignalr.protocol.messagepack import MessagepackProtocol

        self.closed = queue.Queue()
        self.opened = threading.Event()
        protocols = {"json": JSONProtocol, "messagepack": MessagepackProtocol}
        factory = (lambda: token) if token else None
        # One try only: what fails is to be seen.
        self.client = SignalRClient(url, protocol=protocols[protocol](), access_token_factory=factory, retry_count=0)

        async def opened():
            self.opened.set()

        self.client.on_open(opened)
        self.loop = asyncio.new_event_loop()

    def start(self):
        self.running = None

        def run():
            asyncio.set_event_loop(self.loop)
            self.running = self.loop.create_task(self.client.run())
            try:
                self.loop.run_until_complete(self.running)
                self.closed.put(None)
            except asyncio.CancelledError:
                self.closed.put(None)
            except BaseException as error:  # pylint: disable=broad-exception-caught
                self.closed.put(error)

        threading.Thread(target=run, daemon=True).start()
        while not self.opened.wait(0.01):
            if not self.closed.empty():
                raise self.closed.get()

    def on(self, method, callback):
        async def called(arguments):
            callback(arguments)

        self.client.on(method, called)

    def call(self, method, arguments):
        answers = queue.Queue()

        async def answered(message):
            answers.put((message.result, message.error))

        async def failed(message):
            answers.put((None, message.error))

        self.client.on_error(failed)
        self._do(self.client.send(method, arguments, answered))
        return result(answers)

    def send(self, method, arguments):
        self._do(self.client.send(method, arguments))

    def stop(self):
        self.loop.call_soon_threadsafe(self.running.cancel)
        self.closed.get(timeout=PATIENCE)

    def _do(self, coroutine):
        asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)


class SignalRCore:
    """`signalrcore`, which has threads of its own."""

    def __init__(self, url, protocol, token, transport):
        from signalrcore.hub_connection_builder import HubConnectionBuilder
        from signalrcore.types import HttpTransportType, HubProtocolEncoding

        transports = {
            "WebSockets": HttpTransportType.web_sockets,
            "ServerSentEvents": HttpTransportType.server_sent_events,
            "LongPolling": HttpTransportType.long_polling,
        }
        options = {"transport": transports[transport]}
        if token:
            options["access_token_factory"] = lambda: token
        builder = HubConnectionBuilder().with_url(url, options=options).configure_logging(logging.CRITICAL)
        if protocol == "messagepack":
            builder = builder.with_hub_protocol(HubProtocolEncoding.binary)
        self.hub = builder.build()
        self.closed = queue.Queue()
        self.opened = threading.Event()
        self.hub.on_open(self.opened.set)
        self.hub.on_close(lambda *reason: self.closed.put(reason))
        self.errors = queue.Queue()
        self.hub.on_error(self.errors.put)

    def start(self):
        self.hub.start()
        assert self.opened.wait(PATIENCE), "it is not open in time"

    def on(self, method, callback):
        self.hub.on(method, callback)

    def call(self, method, arguments):
        answers = queue.Queue()
        self.hub.on_error(lambda message: answers.put((None, message.error)))
        self.hub.send(method, arguments, on_invocation=lambda message: answers.put((message.result, message.error)))
        return result(answers)

    def send(self, method, arguments):
        self.hub.send(method, arguments)

    def stop(self):
        self.hub.stop()


def result(answers):
    value, error = answers.get(timeout=PATIENCE)
    if error is not None:
        raise RuntimeError(error)
    return value


def started():
    connection = build(token)
    connection.start()
    return connection


def build(with_token):
    address = f"{url}/client/?hub=probe" if with_token else f"{url}/hubs/probe"
    if client == "pysignalr":
        return PySignalR(address, protocol, with_token)
    return SignalRCore(address, protocol, with_token, transport)


def refused(call):
    try:
        call()
    except Exception as error:  # pylint: disable=broad-exception-caught
        return str(error) or repr(error)
    raise AssertionError("it was not refused")


def connect_and_disconnect():
    started().stop()


def a_call_with_a_result():
    connection = started()
    for value in ["text", "", 1.5, -7, 2**40, True, None, [1, [2]], {"a": {"b": "ü 👋"}}, "x" * 200_000]:
        assert connection.call("echo", [value]) == value, value


def a_call_with_an_error():
    connection = started()
    assert "No, not today." in refused(lambda: connection.call("fail", ["No, not today."]))
    assert "no such method" in refused(lambda: connection.call("no such method", []))
    assert connection.call("echo", ["fine"]) == "fine"


def receiving_from_another_client():
    ann, bob = build(token), build(token)
    heard = queue.Queue()
    for each in (ann, bob):
        each.on("said", lambda arguments: heard.put(arguments[0]))
        each.start()
        each.call("echo", ["here"])
    bob.send("say", ["hello, all"])
    assert [heard.get(timeout=PATIENCE) for _ in range(2)] == ["hello, all"] * 2


def groups():
    ann, bob = build(token), build(token)
    heard = queue.Queue()
    ann.on("said", lambda arguments: heard.put(arguments[0]))
    ann.start()
    bob.start()
    ann.call("join", ["tea"])
    bob.call("sayTo", ["tea", "one"])
    bob.call("sayTo", ["coffee", "two"])
    assert heard.get(timeout=PATIENCE) == "one"
    ann.call("leave", ["tea"])
    bob.call("sayTo", ["tea", "three"])
    bob.call("say", ["four"])
    assert heard.get(timeout=PATIENCE) == "four"


def order():
    connection = build(token)
    heard = queue.Queue()
    connection.on("said", lambda arguments: heard.put(arguments[0]))
    connection.start()
    connection.call("echo", ["here"])
    for number in range(300):
        connection.send("say", [number])
    assert [heard.get(timeout=PATIENCE) for _ in range(300)] == list(range(300))


def close_with_a_reason():
    connection = started()
    connection.call("echo", ["here"])
    connection.send("quit", ["Enough for today."])
    connection.closed.get(timeout=PATIENCE)


def a_token_that_is_refused():
    connection = build(f"{token}x")
    assert "401" in refused(connection.start)


client, scenario, url, transport, protocol, token = [*sys.argv[1:], None][:6]
logging.disable(logging.CRITICAL)
globals()[scenario.replace(" ", "_")]()
print("done", flush=True)
# Connections that are open break off here; their clients' threads would take seconds to end.
os._exit(0)
