"""The serverless hub: what clients call, answered. Values kept in variables are a cache that may vanish between any two
calls; what must stay belongs into `state`."""

from typing import Any, Callable, Optional, TypeVar, overload

from wit_world.imports.types import Connection, Payload, Payload_Json, Payload_Msgpack

from .arguments import Parameters, refuse_async, refuse_other_counts
from .errors import Failed, Rejected, answered
from .payloads import reply
from .texts import with_texts

Method = TypeVar("Method", bound=Callable[..., Any])
Init = TypeVar("Init", bound=Callable[[], None])
Connected = TypeVar("Connected", bound=Callable[[Connection], None])
Function = TypeVar("Function", bound=Callable[..., None])
Disconnected = TypeVar("Disconnected", bound=Callable[[Connection, Optional[str]], None])

_methods: dict[str, tuple[Callable[..., Any], Parameters]] = {}
_events: dict[str, Callable[..., None]] = {}


@overload
def method(function: Method) -> Method: ...
@overload
def method(function: str) -> Callable[[Method], Method]: ...
def method(function: Any = None) -> Any:
    """Lets clients call the function, by its name or by the one that is given: `@method("sayTo")`. It gets the client and the
    call's arguments, which are checked against its annotations. What it returns answers the call; None answers it without
    a value."""
    if isinstance(function, str):
        return lambda named: _add(function, named)
    if not callable(function):
        raise TypeError("write `@method`, or `@method(\"name\")` for another name than the function's")
    return _add(function.__name__, function)


def _add(name: str, function: Method) -> Method:
    if name in _methods:
        raise TypeError(f"there are two methods '{name}'")
    _methods[name] = (function, Parameters(name, function))
    return function


def init(function: Init) -> Init:
    """Runs once in each new instance; an exception keeps the plugin from serving. Only `config`, `log` and `context` answer
    in it."""
    return _on(function, "init")


def connected(function: Connected) -> Connected:
    """Decides whether a client may come: `reject(text)` refuses it."""
    return _on(function, "connected", "client: Connection")


def disconnected(function: Disconnected) -> Disconnected:
    """A client is gone; the reason is there if it did not leave by itself."""
    return _on(function, "disconnected", "client: Connection", "reason: Optional[str]")


def _on(function: Function, event: str, *parameters: str) -> Function:
    return on(_events, function, event, *parameters)


def on(events: dict[str, Callable[..., None]], function: Function, event: str, *parameters: str) -> Function:
    """Keeps the function of an event among `events`."""
    if event in events:
        raise TypeError(f"there are two functions for @{event}")
    refuse_async(function)
    refuse_other_counts(function, event, *parameters)
    events[event] = function
    return function


class Upstream:
    """What the contract calls a handler."""

    def connected(self, client: Connection) -> None:
        self._tell("connected", client)

    def disconnected(self, client: Connection, reason: Optional[str]) -> None:
        self._tell("disconnected", client, reason)

    def _tell(self, event: str, *arguments: Any) -> None:
        with answered():
            if event in _events:
                _events[event](*arguments)

    def invoke(self, client: Connection, call: Any) -> Optional[Payload]:
        with answered():
            if call.target not in _methods:
                raise Rejected(f"There is no method '{call.target}'.")
            function, parameters = _methods[call.target]
            answer = function(client, *parameters.read(call.arguments))
            is_ready = answer is None or isinstance(answer, (Payload_Json, Payload_Msgpack))
            try:
                return with_texts(answer) if is_ready else reply(answer)
            except Failed as error:
                raise Failed(f"what {call.target} returned cannot be sent: {error}") from None


def is_handler() -> bool:
    """Whether anything was decorated."""
    return bool(_methods) or any(event in _events for event in ("connected", "disconnected"))


def has_method(name: str) -> bool:
    """Whether clients can call it."""
    return name in _methods


def run_init() -> None:
    """What `@init` decorates, if anything."""
    if "init" in _events:
        _events["init"]()
