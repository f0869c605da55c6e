"""Who is in the hub of the event, in the whole cluster. From `hubgate.whole_hub`."""

from contextlib import contextmanager
from typing import Iterator, Optional

from componentize_py_types import Err
from wit_world.imports import presence as contract
from wit_world.imports.presence import Member
from wit_world.imports.types import Target

from .errors import Failed
from .texts import text, with_texts

__all__ = ["Member", "connections", "count", "members", "unwatch", "watch"]


def count(target: Target) -> int:
    """How many connections it has: `hub.ALL`, `hub.group(name)`, `hub.user(id)` or `hub.connection(id)`."""
    with _errors():
        return contract.count(with_texts(target))


def members(group: str, after: Optional[str] = None, limit: int = 1000) -> list[Member]:
    """The members of a group by connection id, those after `after`."""
    with _errors():
        return contract.members(text(group), None if after is None else text(after), limit)


def connections(user: str, after: Optional[str] = None, limit: int = 1000) -> list[str]:
    """The connection ids of a user, those after `after`."""
    with _errors():
        return contract.connections(text(user), None if after is None else text(after), limit)


def watch(group: str) -> None:
    """From now on the function with `@presence_changed` hears who joins and leaves the group."""
    with _errors():
        contract.watch(text(group))


def unwatch(group: str) -> None:
    with _errors():
        contract.unwatch(text(group))


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except Err as error:
        # As the packages of all languages say it.
        match error.value:
            case contract.WatchError_TooMany():
                words = "the plugin watches as many groups as it may (plugins.NAME.presence-groups)"
            case contract.WatchError_Invalid(value):
                words = value
            case other:
                words = str(other)
        raise Failed(f"presence: {words}") from None
