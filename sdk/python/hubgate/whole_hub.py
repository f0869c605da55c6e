"""A whole hub: what a handler is, and streams, questions to clients, timers, presence and sign-in beside it.

    from hubgate import Connection, hub
    from hubgate.whole_hub import Stream, fired, streaming, timers

    @streaming
    def countdown(client: Connection, stream: Stream, count: int) -> None:
        stream.push_all(range(count, 0, -1))
        stream.finish()

The project's world is `whole-hub`. What is not decorated costs nothing.
"""

import inspect
from typing import Any, Callable, Optional, TypeVar, overload

from componentize_py_types import Err
from wit_world.imports.types import Connection, Payload, Payload_Json

try:
    from wit_world.imports.streams import Room
except ImportError:
    raise ImportError(
        'the world of this project is no whole hub: say `world = "whole-hub"` in `[tool.hubgate]` of pyproject.toml'
    ) from None

from . import handler, presence, timers
from .arguments import Parameters
from .asks import AskError, ask
from .authorizer import Authorizer, Grant, Request, authorize, bearer_token, cookie, forbidden, header, is_negotiator, query
from .authorizer import unauthorized
from .errors import Failed, Rejected, answered
from .payloads import parse
from .presence import Member
from .streams import Stream
from .texts import text as text_of

__all__ = [
    "AskError",
    "Grant",
    "Member",
    "Request",
    "Room",
    "Stream",
    "ask",
    "authorize",
    "bearer_token",
    "cancelled",
    "cookie",
    "ended",
    "fired",
    "forbidden",
    "header",
    "item",
    "presence",
    "presence_changed",
    "query",
    "started",
    "streaming",
    "timers",
    "unauthorized",
    "writable",
]

Streaming = TypeVar("Streaming", bound=Callable[..., None])
Writable = TypeVar("Writable", bound=Callable[[Connection, Stream, Room], None])
Cancelled = TypeVar("Cancelled", bound=Callable[[Connection, Stream], None])
Item = TypeVar("Item", bound=Callable[[Connection, str, Any], None])
Ended = TypeVar("Ended", bound=Callable[[Connection, str, Optional[str]], None])
Fired = TypeVar("Fired", bound=Callable[[str, str, Any], None])
Changed = TypeVar("Changed", bound=Callable[[str, str, list[Member], list[Member]], None])
Started = TypeVar("Started", bound=Callable[[str], None])

_streaming: dict[str, tuple[Callable[..., None], Parameters]] = {}
_events: dict[str, Callable[..., None]] = {}


@overload
def streaming(function: Streaming) -> Streaming: ...
@overload
def streaming(function: str) -> Callable[[Streaming], Streaming]: ...
def streaming(function: Any = None) -> Any:
    """Lets clients stream the function, or call it with streams of their own, by its name or by the one that is given:
    `@streaming("countDown")`. It gets the client, the stream and the call's arguments, which are checked against its annotations.
    It gives nothing: it pushes items and finishes, now or in a later call."""
    if isinstance(function, str):
        return lambda named: _add(function, named)
    if not callable(function):
        raise TypeError("write `@streaming`, or `@streaming(\"name\")` for another name than the function's")
    return _add(function.__name__, function)


def _add(name: str, function: Streaming) -> Streaming:
    if name in _streaming:
        raise TypeError(f"there are two streaming methods '{name}'")
    if inspect.isgeneratorfunction(function):
        raise TypeError(f"`{function.__name__}` is a generator, and nobody takes what it yields: write `stream.push(item)`")
    _streaming[name] = (function, Parameters(name, function, Stream))
    return function


def writable(function: Writable) -> Writable:
    """There is room in a stream again, after a push that found none."""
    return handler.on(_events, function, "writable", "client: Connection", "stream: Stream", "room: Room")


def cancelled(function: Cancelled) -> Cancelled:
    """A client wants no more of a stream, or is gone."""
    return handler.on(_events, function, "cancelled", "client: Connection", "stream: Stream")


def item(function: Item) -> Item:
    """An item of a client's stream, one of the ids in `stream.uploads`. MessagePack comes as a payload."""
    return handler.on(_events, function, "item", "client: Connection", "upload: str", "item: Any")


def ended(function: Ended) -> Ended:
    """A client's stream is complete, or has failed with the client's error."""
    return handler.on(_events, function, "ended", "client: Connection", "upload: str", "error: Optional[str]")


def fired(function: Fired) -> Fired:
    """A timer is due: at least once each time. The payload is what it was set with."""
    return handler.on(_events, function, "fired", "hub: str", "timer: str", "payload: Any")


def presence_changed(function: Changed) -> Changed:
    """Who has joined and left a watched group since the last time: at most 1,000 in a call."""
    return handler.on(
        _events, function, "presence_changed", "hub: str", "group: str", "joined: list[Member]", "left: list[Member]"
    )


def started(function: Started) -> Started:
    """This version begins to serve a hub that the configuration names."""
    return handler.on(_events, function, "started", "hub: str")


class Upstream(handler.Upstream):
    """What the contract calls a handler: one whose streaming methods refuse to be called."""

    def invoke(self, client: Connection, call: Any) -> Optional[Payload]:
        if call.target in _streaming and not handler.has_method(call.target):
            with answered():
                # In the words of ASP.NET Core.
                raise Rejected(
                    f"The client attempted to invoke the streaming '{call.target}' method with a non-streaming invocation."
                )
        return super().invoke(client, call)


class UpstreamStreams:
    """What the contract calls a hub with streams."""

    def begin(self, client: Connection, opening: Any) -> None:
        with answered():
            if opening.target in _streaming:
                function, parameters = _streaming[opening.target]
                stream = Stream(opening.id, opening.uploads)
                function(client, stream, *parameters.read(opening.arguments))
            elif handler.has_method(opening.target):
                how = "with streams, of which it takes none" if opening.uploads else "with a streaming invocation"
                raise Rejected(f"The client attempted to invoke the non-streaming '{opening.target}' method {how}.")
            else:
                raise Rejected(f"There is no method '{opening.target}' with streams.")

    def writable(self, client: Connection, id: str, room: Room) -> None:
        _tell("writable", client, Stream(id, room=room), room)

    def cancelled(self, client: Connection, id: str) -> None:
        _tell("cancelled", client, Stream(id))

    def item(self, client: Connection, upload: str, item: Payload) -> None:
        with answered():
            _tell("item", client, upload, parse(item) if isinstance(item, Payload_Json) else item)

    def ended(self, client: Connection, upload: str, error: Optional[str]) -> None:
        with answered():
            _tell("ended", client, upload, error)


class Scheduled:
    """What the contract calls when a timer is due."""

    def fired(self, hub: str, name: str, payload: bytes) -> None:
        _tell_for_the_log("fired", hub, name, timers.value_of(payload))


class PresenceEvents:
    """What the contract calls of watched groups."""

    def changed(self, hub: str, group: str, joined: list[Member], left: list[Member]) -> None:
        _tell_for_the_log("presence_changed", hub, group, joined, left)


class HubLifetime:
    """What the contract calls when a version begins to serve a hub."""

    def started(self, hub: str) -> None:
        _tell_for_the_log("started", hub)


def _tell(event: str, *arguments: Any) -> None:
    if event in _events:
        _events[event](*arguments)


def _tell_for_the_log(event: str, *arguments: Any) -> None:
    """Of an event that nobody waits for: what it is refused with is for the log."""
    try:
        _tell(event, *arguments)
    except (Rejected, Failed) as error:
        raise Err(text_of(str(error))) from None


def is_whole_hub() -> bool:
    """Whether anything was decorated."""
    return bool(_streaming) or bool(_events) or handler.is_handler() or is_negotiator()
