"""A gateway in memory, for tests of a plugin's functions with Python alone:

    import app
    from hubgate.testing import Gateway

    gateway = Gateway()
    ann = gateway.connect("ann")
    assert gateway.call(ann, "hello", "Ann") == "Hello, Ann!"
    assert gateway.sent == [(ALL, "said", ["Ann"])]

A whole hub's streams and timers are there, too:

    stream = gateway.stream(ann, "countdown", 3)
    assert stream.items == [3, 2, 1] and not stream.is_open
    gateway.fire("tick")

One test has one gateway at a time: the newest answers the imports. `hubgate plugin test` runs the component itself.
"""

import os
from typing import Any, Callable, Mapping, Optional

from componentize_py_types import Err
from wit_world.exports.upstream import Invocation
from wit_world.exports.upstream_streams import Answer, Opening
from wit_world.imports import config, connections, context, http, hub, log, state
from wit_world.imports.timers import Timer
from wit_world.imports.types import Connection, Error_Failed, Pair, Target

from . import exports
from .errors import Failed, Rejected
from .payloads import reply
from .testing_hub import Asks, OpenedStream, Presence, Streams, Timers, value
from .whole_hub import Scheduled, Upstream, UpstreamStreams


class Gateway:
    """What a plugin asks for, and what it did. `state` has bytes; what had a time to live is gone from it
    once `now` has reached its end."""

    def __init__(self, config: Mapping[str, str] = {}, state: Mapping[str, bytes] = {}) -> None:
        self.config = dict(config)
        self.state = dict(state)
        self.actions: list[hub.Action] = []
        """What the hub was asked for, by calls that have not failed."""
        self.log: list[tuple[str, str]] = []
        """Levels and texts."""
        self.claims: dict[str, list[Pair]] = {}
        """Of connections, by their ids."""
        self.respond: Callable[[http.Request], http.Response] = _no_response
        """Answers HTTP requests."""
        self.asks = Asks()
        """What clients answer: `gateway.asks.answer = lambda client, method, *arguments: True`."""
        self.presence = Presence()
        """Who is in which group: `gateway.presence.groups["lobby"] = [ann]`."""
        self._streams = Streams()
        self._timers = Timers(lambda: self.now)
        self._now = 0
        self._ends: dict[str, int] = {}
        self._queued: list[hub.Action] = []
        self._clients = 0
        self._answer_imports()
        exports.Lifecycle().init()

    @property
    def now(self) -> int:
        """The time that the plugin is told, in milliseconds since 1970. A test sets it."""
        return self._now

    @now.setter
    def now(self, now: int) -> None:
        self._now = now
        self._forget()

    @property
    def sent(self) -> list[tuple[Target, str, Any]]:
        """Targets, methods and arguments of the messages among the actions."""
        messages = [action.value for action in self.actions if isinstance(action, hub.Action_Send)]
        return [(message.to, message.method, value(message.arguments)) for message in messages]

    def connect(self, user_id: Optional[str] = None) -> Connection:
        """A new client; raises `Rejected` if the plugin refuses it."""
        self._clients += 1
        client = Connection("test", f"connection-{self._clients}", user_id)
        self._event(lambda: Upstream().connected(client))
        return client

    def call(self, client: Connection, method: str, *arguments: Any) -> Any:
        """The value that the client gets; raises `Rejected` or `Failed`, and what the method lets pass."""
        call = Invocation(method, reply(arguments), True)
        answer = self._event(lambda: Upstream().invoke(client, call))
        return None if answer is None else value(answer)

    def disconnect(self, client: Connection, reason: Optional[str] = None) -> None:
        self._event(lambda: Upstream().disconnected(client, reason))

    def stream(self, client: Connection, method: str, *arguments: Any, uploads: int = 0) -> OpenedStream:
        """What becomes of a stream that the client opens; or, with uploads, of a call that brings so many."""
        opened = self._streams.open(client, uploads)
        answer = Answer.VALUE if uploads else Answer.ITEMS
        opening = Opening(opened.id, method, reply(arguments), opened.uploads, answer)
        self._event(lambda: UpstreamStreams().begin(client, opening))
        return opened

    def send_item(self, stream: OpenedStream, item: Any, upload: int = 0) -> None:
        """The client sends an item of one of its streams."""
        self._event(lambda: UpstreamStreams().item(stream.client, stream.uploads[upload], reply(item)))

    def end(self, stream: OpenedStream, error: Optional[str] = None, upload: int = 0) -> None:
        """The client's stream is complete, or has failed."""
        self._event(lambda: UpstreamStreams().ended(stream.client, stream.uploads[upload], error))

    def cancel(self, stream: OpenedStream) -> None:
        """The client wants no more of it."""
        stream.is_open = False
        self._event(lambda: UpstreamStreams().cancelled(stream.client, stream.id))

    @property
    def timers(self) -> dict[str, Timer]:
        """Those that are set, by name."""
        return self._timers.set

    def fire(self, name: str) -> None:
        """The timer is due."""
        timer = self._timers.fire(name)
        self._event(lambda: Scheduled().fired("test", name, timer.payload))

    def _event(self, run: Callable[[], Any]) -> Any:
        try:
            answer = run()
        except Err as error:
            if isinstance(error.value, str):
                raise Failed(error.value) from None
            kind = Failed if isinstance(error.value, Error_Failed) else Rejected
            raise kind(error.value.value) from None
        else:
            hub.flush()
            return answer
        finally:
            self._queued.clear()

    def _flush(self) -> None:
        self.actions += self._queued
        self._queued.clear()

    def _answer_imports(self) -> None:
        imports: dict[Any, dict[str, Callable[..., Any]]] = {
            config: {"get": self.config.get},
            connections: dict.fromkeys(["query", "headers", "remote_address"], lambda id: None)
            | {"claims": self.claims.get, "protocol": lambda id: "json"},
            context: {
                "now": lambda: self.now,
                "random": os.urandom,
                "event_id": lambda: "event",
                "message_headers": lambda: [],
                "time_left": lambda: 1000,
            },
            http: {"send": lambda request: self.respond(request)},
            hub: {"submit": self._queued.extend, "flush": self._flush, "exists": lambda target: True},
            log: {"write": lambda level, text, fields: self.log.append((level.name, text))},
            state: {
                "get": self.state.get,
                "set": self._set,
                "delete": self._delete,
                "increment": self._increment,
                "compare_and_set": self._compare_and_set,
                "keys": lambda prefix, after, limit: [
                    key for key in sorted(self.state) if key.startswith(prefix) and (after is None or key > after)
                ][:limit],
            },
        }
        for answering in (self._streams, self._timers, self.asks, self.presence):
            imports |= answering.imports()
        for module, functions in imports.items():
            for name, function in functions.items():
                setattr(module, name, function)

    def _set(self, key: str, value: bytes, ttl_ms: Optional[int]) -> None:
        self._delete(key)
        self.state[key] = value
        if ttl_ms is not None:
            self._ends[key] = self._now + ttl_ms
            self._forget()

    def _forget(self) -> None:
        for key in [key for key, end in self._ends.items() if end <= self._now]:
            self._delete(key)

    def _delete(self, key: str) -> None:
        self.state.pop(key, None)
        self._ends.pop(key, None)

    def _increment(self, key: str, by: int, ttl_ms: Optional[int]) -> int:
        total = int(self.state.get(key, b"0")) + by
        value = str(total).encode()
        if key in self.state:
            self.state[key] = value
        else:
            self._set(key, value, ttl_ms)
        return total

    def _compare_and_set(
        self, key: str, expected: Optional[bytes], value: Optional[bytes], ttl_ms: Optional[int]
    ) -> bool:
        is_expected = self.state.get(key) == expected
        if is_expected and value is None:
            self._delete(key)
        elif is_expected and value is not None:
            self._set(key, value, ttl_ms)
        return is_expected


def _no_response(request: http.Request) -> http.Response:
    raise Err(http.Error_Denied(f"the test says nothing about {request.url}: set `gateway.respond`"))
