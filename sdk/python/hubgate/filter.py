"""Look at the messages of a hub: decorate a function with `@inbound`, one with `@outbound`, or both.

    from hubgate import Connection
    from hubgate.filter import Message, Pass, Reject, Verdict, inbound

    @inbound
    def look(client: Connection, message: Message) -> Verdict:
        return Reject("Please do not shout.") if message.target == "shout" else Pass()

`None` lets a message pass as `Pass()` does, and `hubgate.reject(text)` is the verdict `Reject(text)`. Any other exception, that of
`hubgate.fail` too, breaks the filter off.

The project's world is `filter`, or `filter-inbound` or `filter-outbound`: a half that is missing costs nothing.
"""

from typing import Any, Callable, Optional, TypeVar

from wit_world.imports.types import Connection

from .arguments import refuse_async
from .errors import Rejected
from .texts import with_texts

try:
    from wit_world.imports.filtering import Delivery, Kind, Message, Origin, Verdict
    from wit_world.imports.filtering import Verdict_Close as Close
    from wit_world.imports.filtering import Verdict_Drop as Drop
    from wit_world.imports.filtering import Verdict_Pass as Pass
    from wit_world.imports.filtering import Verdict_Reject as Reject
    from wit_world.imports.filtering import Verdict_Replace as Replace
except ImportError:
    raise ImportError(
        'the world of this project is no filter: say `world = "filter"` (or "filter-inbound", "filter-outbound") in '
        "`[tool.hubgate]` of pyproject.toml"
    ) from None

__all__ = [
    "Close",
    "Delivery",
    "Drop",
    "Kind",
    "Message",
    "Origin",
    "Pass",
    "Reject",
    "Replace",
    "Verdict",
    "inbound",
    "outbound",
]

Inbound = TypeVar("Inbound", bound=Callable[[Connection, Message], Optional[Verdict]])
Outbound = TypeVar("Outbound", bound=Callable[[Delivery, Message], Optional[Verdict]])

Half = TypeVar("Half", bound=Callable[..., Optional[Verdict]])

_halves: dict[str, Callable[[Any, Message], Optional[Verdict]]] = {}


def inbound(function: Inbound) -> Inbound:
    """Looks at what a client says."""
    return _on("inbound", function)


def outbound(function: Outbound) -> Outbound:
    """Looks at what is sent to clients, once whomever it is for."""
    return _on("outbound", function)


def _on(half: str, function: Half) -> Half:
    if half in _halves:
        raise TypeError(f"there are two functions for @{half}")
    refuse_async(function)
    _halves[half] = function
    return function


def _verdict(half: str, source: Any, message: Message) -> Verdict:
    try:
        verdict = _halves[half](source, message)
    except Rejected as error:
        verdict = Reject(str(error))
    if verdict is None:
        return Pass()
    if not isinstance(verdict, (Close, Drop, Pass, Reject, Replace)):
        raise TypeError(f"@{half} has given {verdict!r}, which is no verdict: give Pass(), Replace(message) or another one")
    well_formed: Verdict = with_texts(verdict)
    return well_formed


class InboundFilter:
    """What the contract calls the first half."""

    def inspect(self, client: Connection, message: Message) -> Verdict:
        return _verdict("inbound", client, message)


class OutboundFilter:
    """What the contract calls the second half."""

    def inspect(self, delivery: Delivery, message: Message) -> Verdict:
        return _verdict("outbound", delivery, message)


def has(half: str) -> bool:
    """Whether `inbound` or `outbound` was decorated."""
    return half in _halves
