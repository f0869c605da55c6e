"""Act later: the function with `@fired` is called when a timer is due. All times are in milliseconds. From `hubgate.whole_hub`.

A durable timer is kept as `state` is. Others last as long as the gateway runs, over swaps too, and write nothing: use them for
fast ticks."""

import json
import math
from typing import Any, Optional, Sequence

from componentize_py_types import Err
from wit_world.imports import timers as contract
from wit_world.imports.timers import Timer
from wit_world.imports.types import Payload_Json

from .errors import Failed
from .payloads import reply
from .texts import text

__all__ = ["Error", "Timer", "after", "at", "cancel", "every", "list"]


class Error(Failed):
    """A timer cannot be set. A method that does not catch it has failed."""

    def __init__(self, name: str, reason: contract.Error) -> None:
        # As the packages of all languages say it.
        match reason:
            case contract.Error_TooMany():
                words = "the plugin has as many timers as it may have (plugins.NAME.timers)"
            case contract.Error_TooShort():
                words = "its period is shorter than the plugin's may be (plugins.NAME.shortest-period)"
            case contract.Error_TooLarge():
                words = "its name or its payload is too large"
            case contract.Error_Unavailable(value):
                words = value
        super().__init__(f"timer '{name[:64]}': {words}")
        self.reason = reason


def after(name: str, ms: float, payload: Any = None, durable: bool = False) -> None:
    """Once, so long from now. A timer takes the place of the one with its name; its payload is a JSON value."""
    _set(name, contract.Schedule_After(_whole(ms)), payload, durable)


def at(name: str, time: float, payload: Any = None, durable: bool = False) -> None:
    """Once, at a time since 1970, as `context.now()` has it."""
    _set(name, contract.Schedule_At(_whole(time)), payload, durable)


def every(name: str, ms: float, payload: Any = None, durable: bool = False) -> None:
    """Again and again; missed times count once."""
    _set(name, contract.Schedule_Every(_whole(ms)), payload, durable)


def cancel(name: str) -> bool:
    """Takes a timer back; says whether there was one."""
    try:
        return contract.cancel(text(name))
    except Err as error:
        raise Error(name, error.value) from None


def list(after: Optional[str] = None, limit: int = 1000) -> Sequence[Timer]:
    """Timers by name, those after `after`. Their payloads are bytes, of JSON."""
    try:
        return contract.list(None if after is None else text(after), limit)
    except Err as error:
        raise Error(after or "", error.value) from None


def value_of(payload: bytes) -> Any:
    """What a timer was set with; bytes that are no JSON stay bytes."""
    try:
        return json.loads(payload) if payload else None
    except ValueError:
        return payload


def _set(name: str, when: contract.Schedule, payload: Any, durable: bool) -> None:
    value = reply(payload)
    assert isinstance(value, Payload_Json)
    try:
        contract.set(text(name), when, b"" if payload is None else value.value.encode(), durable)
    except Err as error:
        raise Error(name, error.value) from None


def _whole(time: float) -> int:
    if not math.isfinite(time):
        raise ValueError(f"a timer takes a finite number of milliseconds, not {time}")
    return min(max(0, math.ceil(time)), 2**64 - 1)
