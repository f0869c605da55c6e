"""Small values kept by the gateway, for this plugin alone. Writes take effect at once; a time to live is in milliseconds."""

import json
from contextlib import contextmanager
from typing import Any, Iterator, Optional

from componentize_py_types import Err
from wit_world.imports import state as contract
from wit_world.imports.types import Payload_Json

from .errors import Failed
from .payloads import reply


class Error(Failed):
    """The state cannot be read or written. A method that does not catch it has failed."""

    def __init__(self, reason: contract.Error) -> None:
        match reason:
            case contract.Error_TooLarge():
                text = "the key or value is too large"
            case contract.Error_Quota():
                text = "the plugin's room is used up (plugins.NAME.state)"
            case contract.Error_Unavailable(value):
                text = value
        super().__init__(f"the state refused: {text}")
        self.reason = reason


def get(key: str, default: Any = None) -> Any:
    """The JSON value of a key, or `default` if there is none."""
    kept = get_bytes(key)
    return default if kept is None else json.loads(kept)


def set(key: str, value: Any, ttl_ms: Optional[int] = None) -> None:
    """Keeps a JSON value."""
    payload = reply(value)
    assert isinstance(payload, Payload_Json)
    set_bytes(key, payload.value.encode(), ttl_ms)


def get_bytes(key: str) -> Optional[bytes]:
    with _errors():
        return contract.get(key)


def set_bytes(key: str, value: bytes, ttl_ms: Optional[int] = None) -> None:
    with _errors():
        contract.set(key, value, ttl_ms)


def delete(key: str) -> None:
    with _errors():
        contract.delete(key)


def increment(key: str, by: int = 1, ttl_ms: Optional[int] = None) -> int:
    """Adds to a number of 64 bits and gives the sum. A missing key counts as 0; the time to live is set when it is made."""
    with _errors():
        return contract.increment(key, by, ttl_ms)


def compare_and_set(
    key: str, expected: Optional[bytes], value: Optional[bytes], ttl_ms: Optional[int] = None
) -> bool:
    """Sets, or with None deletes, only if the present value is `expected` (None: there is none); says whether it did."""
    with _errors():
        return contract.compare_and_set(key, expected, value, ttl_ms)


def keys(prefix: str = "", after: Optional[str] = None, limit: int = 1000) -> list[str]:
    """Keys in order that begin with `prefix` and come after `after`."""
    with _errors():
        return contract.keys(prefix, after, limit)


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except Err as error:
        raise Error(error.value) from None
