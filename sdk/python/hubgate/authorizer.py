"""Decide who may become a client, and as whom: decorate a function with `@authorize`. The project's world is `negotiator`, or
that of a whole hub.

    from hubgate.authorizer import Grant, Request, authorize, header, unauthorized

    @authorize
    def who(request: Request) -> Grant:
        user = header(request, "x-user") or unauthorized("Who are you?")
        return Grant(user, groups=["lobby"])
"""

from typing import Callable, Iterable, Mapping, NoReturn, Optional, TypeVar, Union

from componentize_py_types import Err
from wit_world.imports.types import Pair

from .arguments import refuse_async, refuse_other_counts
from .errors import Failed, Rejected
from .texts import text as text_of, with_texts

try:
    from wit_world.exports import authorizer as contract
except ImportError:
    raise ImportError(
        'the world of this project asks nobody who may come: say `world = "negotiator"` (or "whole-hub") in '
        "`[tool.hubgate]` of pyproject.toml"
    ) from None

from wit_world.exports.authorizer import Request

__all__ = [
    "Forbidden",
    "Grant",
    "Request",
    "Unauthorized",
    "authorize",
    "bearer_token",
    "cookie",
    "forbidden",
    "header",
    "query",
    "unauthorized",
]

Claims = Union[Iterable[Pair], Mapping[str, str]]


class Grant:
    """As whom a client may come. Claims are pairs, or a dict; groups are those that it is in from the beginning."""

    def __init__(
        self,
        user_id: Optional[str] = None,
        claims: Claims = (),
        groups: Iterable[str] = (),
        lifetime_seconds: Optional[int] = None,
    ) -> None:
        pairs = [Pair(*claim) for claim in claims.items()] if isinstance(claims, Mapping) else list(claims)
        self.raw = contract.Grant(user_id, pairs, list(groups), lifetime_seconds)
        """As the contract has it."""


class Unauthorized(Exception):
    """It is not known who asks: 401, with the text."""


class Forbidden(Exception):
    """Whoever asks may not come: 403, with the text."""


def unauthorized(text: str) -> NoReturn:
    """Refuses: it is not known who asks. The answer is 401, with the text."""
    raise Unauthorized(text)


def forbidden(text: str) -> NoReturn:
    """Refuses: whoever asks may not come. The answer is 403, with the text; `hubgate.reject` is the same."""
    raise Forbidden(text)


def header(request: Request, name: str) -> Optional[str]:
    """The first header of this name."""
    return next((pair.value for pair in request.headers if pair.name.lower() == name.lower()), None)


def query(request: Request, name: str) -> Optional[str]:
    """The first item of this name in the query, decoded."""
    return next((pair.value for pair in request.query if pair.name == name), None)


def cookie(request: Request, name: str) -> Optional[str]:
    """The first cookie of this name, as it stands in the request."""
    cookies = [one.partition("=") for pair in request.headers if pair.name.lower() == "cookie" for one in pair.value.split(";")]
    return next((value.strip() for each, sign, value in cookies if sign and each.strip() == name), None)


def bearer_token(request: Request) -> Optional[str]:
    """The token of the header `Authorization: Bearer …`."""
    scheme, sign, token = (header(request, "authorization") or "").partition(" ")
    return token.strip() if sign and scheme.lower() == "bearer" else None


Authorize = TypeVar("Authorize", bound=Callable[[Request], Grant])

_functions: list[Callable[[Request], Grant]] = []


def authorize(function: Authorize) -> Authorize:
    """Decides who may come, where `hubs.NAME.negotiate` of the gateway's configuration names the plugin."""
    if _functions:
        raise TypeError("there are two functions for @authorize")
    refuse_async(function)
    refuse_other_counts(function, "authorize", "request: Request")
    _functions.append(function)
    return function


def is_negotiator() -> bool:
    """Whether a function was decorated."""
    return bool(_functions)


class Authorizer:
    """What the contract calls."""

    def authorize(self, request: Request) -> contract.Grant:
        try:
            if not _functions:
                raise Failed(f"this plugin has no authorizer for the hub '{request.hub}'")
            grant = _functions[0](request)
        except Unauthorized as error:
            raise Err(contract.Refusal_Unauthorized(text_of(str(error)))) from None
        except (Forbidden, Rejected) as error:
            raise Err(contract.Refusal_Forbidden(text_of(str(error)))) from None
        except Failed as error:
            raise Err(contract.Refusal_Failed(text_of(str(error)))) from None
        if not isinstance(grant, Grant):
            raise TypeError(f"@authorize has given {grant!r}: give a Grant, or end with `unauthorized` or `forbidden`")
        raw: contract.Grant = with_texts(grant.raw)
        return raw
