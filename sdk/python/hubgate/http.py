"""HTTP requests, to what `allow-http` of the plugin's configuration names. The project's world is `handler-with-http` or
`filter-with-http`."""

from typing import Mapping, Optional

from componentize_py_types import Err
from wit_world.imports.types import Pair

from .errors import Failed
from .texts import with_texts

try:
    from wit_world.imports import http as contract
except ImportError:
    raise ImportError(
        'the world of this project has no http: say `world = "handler-with-http"` (or "filter-with-http") in '
        "`[tool.hubgate]` of pyproject.toml, and name what it may reach in `allow-http` of the gateway's configuration"
    ) from None

from wit_world.imports.http import Request, Response

__all__ = ["Error", "Request", "Response", "get", "send"]


class Error(Failed):
    """There is no response. A method that does not catch it has failed."""

    def __init__(self, reason: contract.Error) -> None:
        match reason:
            case contract.Error_Denied(value):
                text = f"denied: {value}"
            case contract.Error_TimedOut():
                text = "there was no answer in time"
            case contract.Error_TooLarge():
                text = "the answer is too large"
            case contract.Error_Failed(value):
                text = value
        super().__init__(f"the HTTP request failed: {text}")
        self.reason = reason


def send(
    method: str,
    url: str,
    headers: Mapping[str, str] = {},
    body: bytes = b"",
    timeout_ms: Optional[int] = None,
) -> Response:
    """Waits for the response, whatever its status; the gateway serves others meanwhile."""
    pairs = [Pair(name, value) for name, value in headers.items()]
    try:
        return contract.send(with_texts(contract.Request(method, url, pairs, body, timeout_ms)))
    except Err as error:
        raise Error(error.value) from None


def get(url: str, headers: Mapping[str, str] = {}, timeout_ms: Optional[int] = None) -> Response:
    return send("GET", url, headers, timeout_ms=timeout_ms)
