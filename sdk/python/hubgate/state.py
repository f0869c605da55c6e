"""Small values kept by the gateway, for this plugin alone. Writes take effect at once; a time to live is in milliseconds.
Without one a value stays; with one of zero or less it is over at once."""

import json
from contextlib import contextmanager
from typing import Any, Iterator, Optional

from componentize_py_types import Err
from wit_world.imports import state as contract
from wit_world.imports.types import Payload_Json

from .errors import Failed
from .payloads import reply
from .texts import text, time_to_live

LONGEST = 2**64 - 1


class Error(Failed):
    """The state cannot be read or written. A method that does not catch it has failed."""

    def __init__(self, key: str, reason: contract.Error) -> None:
        # As the packages of all languages say it.
        match reason:
            case contract.Error_TooLarge():
                words = "the key or the value is too large"
            case contract.Error_Quota():
                words = "there is no room left (plugins.NAME.state)"
            case contract.Error_Unavailable(value):
                words = value
        super().__init__(f"state, key '{key[:64]}': {words}")
        self.reason = reason


def get(key: str, default: Any = None) -> Any:
    """The JSON value of a key, or `default` if there is none."""
    kept = get_bytes(key)
    if kept is None:
        return default
    try:
        return json.loads(kept)
    except ValueError as error:
        raise Failed(f"state, key '{key[:64]}': it is not of the expected type: {error}") from None


def set(key: str, value: Any, ttl_ms: Optional[float] = None) -> None:
    """Keeps a JSON value."""
    payload = reply(value)
    assert isinstance(payload, Payload_Json)
    set_bytes(key, payload.value.encode(), ttl_ms)


def get_bytes(key: str) -> Optional[bytes]:
    with _errors(key):
        return contract.get(text(key))


def set_bytes(key: str, value: bytes, ttl_ms: Optional[float] = None) -> None:
    with _errors(key):
        contract.set(text(key), value, time_to_live(ttl_ms, LONGEST))


def delete(key: str) -> None:
    with _errors(key):
        contract.delete(text(key))


def increment(key: str, by: int = 1, ttl_ms: Optional[float] = None) -> int:
    """Adds to a number of 64 bits and gives the sum. A missing key counts as 0; the time to live is set when it is made."""
    with _errors(key):
        return contract.increment(text(key), by, time_to_live(ttl_ms, LONGEST))


def compare_and_set(
    key: str, expected: Optional[bytes], value: Optional[bytes], ttl_ms: Optional[float] = None
) -> bool:
    """Sets, or with None deletes, only if the present value is `expected` (None: there is none); says whether it did."""
    with _errors(key):
        return contract.compare_and_set(text(key), expected, value, time_to_live(ttl_ms, LONGEST))


def keys(prefix: str = "", after: Optional[str] = None, limit: int = 1000) -> list[str]:
    """Keys in order that begin with `prefix` and come after `after`."""
    with _errors(prefix):
        return contract.keys(text(prefix), None if after is None else text(after), limit)


@contextmanager
def _errors(key: str) -> Iterator[None]:
    try:
        yield
    except Err as error:
        raise Error(key, error.value) from None
