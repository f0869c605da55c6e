"""What a gateway in memory has for a whole hub. From `hubgate.testing`."""

import json
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional

from componentize_py_types import Err, Ok, Result
from wit_world.imports import client_results, presence, streams, timers
from wit_world.imports.types import (
    Connection,
    Error,
    Payload,
    Payload_Json,
    Target,
    Target_All,
    Target_Connection,
    Target_Group,
    Target_User,
)

from .payloads import reply

Imports = Mapping[Any, dict[str, Callable[..., Any]]]

ROOM = 256
"""How many items a stream takes before its client reads."""


@dataclass
class OpenedStream:
    """What the client has got of a stream, or of a call that brings uploads."""

    client: Connection
    id: str
    uploads: list[str]
    items: list[Any] = field(default_factory=list)
    is_open: bool = True
    answer: Any = None
    error: Optional[Error] = None


class Streams:
    def __init__(self) -> None:
        self._opened: list[OpenedStream] = []

    def open(self, client: Connection, uploads: int) -> OpenedStream:
        id = f"stream-{len(self._opened) + 1}"
        opened = OpenedStream(client, id, [f"{id}-upload-{place + 1}" for place in range(uploads)])
        self._opened.append(opened)
        return opened

    def imports(self) -> Imports:
        return {streams: {"push": self._push, "finish": self._finish}}

    def _push(self, id: str, items: list[Payload]) -> streams.Room:
        stream = self._find(id)
        room = ROOM - len(stream.items)
        if len(items) > room:
            raise Err(streams.PushError_Full(streams.Room(room, room * 1024)))
        stream.items += map(value, items)
        return streams.Room(room - len(items), (room - len(items)) * 1024)

    def _finish(self, id: str, outcome: Result[Optional[Payload], Error]) -> None:
        stream = self._find(id)
        stream.is_open = False
        if isinstance(outcome, Ok):
            stream.answer = None if outcome.value is None else value(outcome.value)
        else:
            stream.error = outcome.value

    def _find(self, id: str) -> OpenedStream:
        for stream in self._opened:
            if stream.id == id and stream.is_open:
                return stream
        raise Err(streams.PushError_NoSuchStream())


class Timers:
    def __init__(self, now: Callable[[], int]) -> None:
        self.set: dict[str, timers.Timer] = {}
        self._now = now

    def imports(self) -> Imports:
        return {timers: {"set": self._set, "cancel": self._cancel, "list": self._list}}

    def fire(self, name: str) -> timers.Timer:
        """Forgets it, unless it fires again."""
        timer = self.set[name]
        if not isinstance(timer.when, timers.Schedule_Every):
            del self.set[name]
        return timer

    def _set(self, name: str, when: timers.Schedule, payload: bytes, durable: bool) -> None:
        due = when.value if isinstance(when, timers.Schedule_At) else self._now() + when.value
        self.set[name] = timers.Timer(name, when, due, payload, durable)

    def _cancel(self, name: str) -> bool:
        return self.set.pop(name, None) is not None

    def _list(self, after: Optional[str], limit: int) -> list[timers.Timer]:
        return [timer for name, timer in sorted(self.set.items()) if after is None or name > after][:limit]


class Asks:
    """`answer` gets the connection's id, the method and its arguments."""

    def __init__(self) -> None:
        self.answer: Callable[..., Any] = lambda client, method, *arguments: None

    def imports(self) -> Imports:
        return {client_results: {"ask": self._ask}}

    def _ask(self, connection: str, method: str, arguments: Payload, timeout_ms: int) -> Optional[Payload]:
        answer = self.answer(connection, method, *value(arguments))
        return None if answer is None else reply(answer)


class Presence:
    """Clients by their groups; whoever is in none is not there."""

    def __init__(self) -> None:
        self.groups: dict[str, list[Connection]] = {}
        self.watched: set[str] = set()

    def imports(self) -> Imports:
        functions: dict[str, Callable[..., Any]] = {
            "count": self._count,
            "members": self._members,
            "connections": self._connections,
            "watch": self.watched.add,
            "unwatch": self.watched.discard,
        }
        return {presence: functions}

    def _count(self, target: Target) -> int:
        match target:
            case Target_All():
                return len(self._all())
            case Target_Group(name):
                return len(self.groups.get(name, []))
            case Target_User(id):
                return len(self._connections(id, None, 2**32))
            case Target_Connection(id):
                return int(id in self._all())

    def _members(self, group: str, after: Optional[str], limit: int) -> list[presence.Member]:
        members = sorted(self.groups.get(group, []), key=lambda client: client.id)
        page = [client for client in members if after is None or client.id > after][:limit]
        return [presence.Member(client.id, client.user_id) for client in page]

    def _connections(self, user: str, after: Optional[str], limit: int) -> list[str]:
        ids = sorted(id for id, client in self._all().items() if client.user_id == user)
        return [id for id in ids if after is None or id > after][:limit]

    def _all(self) -> dict[str, Connection]:
        return {client.id: client for members in self.groups.values() for client in members}


def value(payload: Payload) -> Any:
    return json.loads(payload.value) if isinstance(payload, Payload_Json) else payload.value
