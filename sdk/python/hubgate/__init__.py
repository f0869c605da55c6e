"""Write plugins of Hubgate in Python.

A handler is functions with decorators:

    from hubgate import Connection, hub, method

    @method
    def hello(client: Connection, name: str) -> str:
        hub.send_all("said", name, "hello")
        return f"Hello, {name}!"

`hubgate plugin build` makes a component of `app.py` and what it imports. Streams, timers and all else of a whole hub are in
`hubgate.whole_hub`, who may come is decided with `hubgate.authorizer`. Filters are in `hubgate.filter`, HTTP requests in
`hubgate.http`, tests without a gateway in `hubgate.testing`. What is not wrapped is in `wit_world`, the contract itself:
`from wit_world.imports import hub`.
"""

import importlib.util
import os.path
import sys

if importlib.util.find_spec("wit_world") is None:
    # Not in a component: the contract's types, without a gateway that answers.
    sys.path.append(os.path.join(os.path.dirname(__file__), "contract"))

from wit_world.imports import config, connections, context
from wit_world.imports.types import Connection, Pair, Payload, Payload_Json, Payload_Msgpack

from . import hub, log, state
from .errors import Failed, Rejected, fail, reject
from .handler import connected, disconnected, init, method
from .payloads import parse, reply

__all__ = [
    "Connection",
    "Failed",
    "Pair",
    "Payload",
    "Payload_Json",
    "Payload_Msgpack",
    "Rejected",
    "config",
    "connected",
    "connections",
    "context",
    "disconnected",
    "fail",
    "hub",
    "init",
    "log",
    "method",
    "parse",
    "reject",
    "reply",
    "state",
]
