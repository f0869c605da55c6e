"""Act on the hub of the event that is being handled.

What is asked for is queued and done in order, before the caller is answered, when the function returns. It is thrown away
when the function raises an exception, except what `flush` ran.
"""

from typing import Any, Iterable, Optional, Union

from componentize_py_types import Err
from wit_world.imports import hub as contract
from wit_world.imports.types import (
    Member,
    Member_Connection,
    Member_User,
    Payload_Json,
    Payload_Msgpack,
    Target,
    Target_All,
    Target_Connection,
    Target_Group,
    Target_User,
)

from .errors import Failed
from .payloads import reply
from .texts import time_to_live, with_texts

LONGEST_SECONDS = 2**32 - 1

ALL: Target = Target_All()
"""All clients of the hub."""

WhoJoins = Union[str, Target_User, Target_Connection]
"""A connection's id, `user(id)` or `connection(id)`."""


def group(name: str) -> Target_Group:
    return Target_Group(name)


def user(id: str) -> Target_User:
    return Target_User(id)


def connection(id: str) -> Target_Connection:
    return Target_Connection(id)


def send(to: Target, method: str, *arguments: Any, except_: Iterable[str] = ()) -> None:
    """Calls `method` on the clients of a target but for the connections in `except_`. One `Payload` instead of arguments is
    sent as it is."""
    if len(arguments) == 1 and isinstance(arguments[0], (Payload_Json, Payload_Msgpack)):
        payload = arguments[0]
    else:
        payload = reply(arguments)
    act(contract.Action_Send(contract.Message(to, method, payload, list(except_))))


def send_all(method: str, *arguments: Any, except_: Iterable[str] = ()) -> None:
    """Calls `method` on all clients of the hub."""
    send(ALL, method, *arguments, except_=except_)


def send_group(name: str, method: str, *arguments: Any, except_: Iterable[str] = ()) -> None:
    """Calls `method` on the clients of a group."""
    send(Target_Group(name), method, *arguments, except_=except_)


def send_user(id: str, method: str, *arguments: Any, except_: Iterable[str] = ()) -> None:
    """Calls `method` on all connections of a user."""
    send(Target_User(id), method, *arguments, except_=except_)


def send_connection(id: str, method: str, *arguments: Any) -> None:
    """Calls `method` on one connection."""
    send(Target_Connection(id), method, *arguments)


def join(member: WhoJoins, group: str, ttl_seconds: Optional[float] = None) -> None:
    """Puts a connection or a user into a group, for good or for some seconds."""
    seconds = time_to_live(ttl_seconds, LONGEST_SECONDS)
    act(contract.Action_Join(contract.Membership(_member(member), group, seconds)))


def leave(member: WhoJoins, group: str) -> None:
    """Takes a connection or a user out of a group."""
    act(contract.Action_Leave((_member(member), group)))


def leave_all(member: WhoJoins) -> None:
    """Takes a connection or a user out of all groups."""
    act(contract.Action_LeaveAll(_member(member)))


def close(connection: str, reason: Optional[str] = None, allow_reconnect: bool = False) -> None:
    """Closes a connection, which is told the reason."""
    act(contract.Action_Close(contract.Closing(Target_Connection(connection), [], reason, allow_reconnect)))


def act(*actions: contract.Action) -> None:
    """Queues any actions of the contract, all or none."""
    try:
        contract.submit([with_texts(action) for action in actions])
    except Err as error:
        raise Failed(f"an action is invalid: {error.value.reason}") from None


def flush() -> None:
    """Runs what is queued now."""
    contract.flush()


def exists(target: Target) -> bool:
    """Whether a target has a client at all."""
    try:
        return contract.exists(with_texts(target))
    except Err as error:
        raise Failed(f"the gateway cannot tell who is connected: {error.value}") from None


def _member(member: WhoJoins) -> Member:
    match member:
        case Target_User(id):
            return Member_User(id)
        case Target_Connection(id):
            return Member_Connection(id)
        case str(id):
            return Member_Connection(id)
    raise TypeError(f"a connection's id or hub.user(id) joins and leaves groups, not {member!r}")
