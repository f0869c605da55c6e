"""What a component exports, made of what `app.py` has decorated. `hubgate plugin build` asks for it."""

import random
import sys
from typing import Any

from componentize_py_types import Err
from wit_world.imports import context

from . import handler
from .texts import text

WHOLE_HUB = "hubgate.whole_hub"
WORLD = "`world` in `[tool.hubgate]` of pyproject.toml"


class Lifecycle:
    """What the contract calls the start of an instance."""

    def init(self) -> None:
        # The seed of the module's import is part of the component, the same in every instance.
        random.seed(context.random(32))
        try:
            handler.run_init()
        except Exception as error:
            raise Err(text(f"{type(error).__name__}: {error}")) from error


def export(name: str) -> Any:
    """The class that the contract names so; raises `TypeError` if app.py has nothing for it."""
    match name:
        case "Lifecycle":
            return Lifecycle
        case "Upstream":
            whole_hub = sys.modules.get(WHOLE_HUB)
            if whole_hub is not None and whole_hub.is_whole_hub():
                return whole_hub.Upstream
            if not handler.is_handler():
                raise TypeError(
                    "app.py answers nothing: decorate a function with `@hubgate.method`, or, for a filter, say "
                    f'"filter" as {WORLD}'
                )
            return handler.Upstream
        case "UpstreamStreams" | "Scheduled" | "PresenceEvents" | "HubLifetime":
            from . import whole_hub as module

            return getattr(module, name)
        case "Authorizer":
            from . import authorizer

            # A whole hub need not decide who may come; whoever does nothing else does.
            if WHOLE_HUB not in sys.modules and not authorizer.is_negotiator():
                raise TypeError("app.py decides nothing: decorate a function with `@hubgate.authorizer.authorize`")
            return authorizer.Authorizer
        case "InboundFilter":
            return _half("inbound", "filter-outbound", name)
        case "OutboundFilter":
            return _half("outbound", "filter-inbound", name)
    raise TypeError(f"the contract has no {name}")


def _half(half: str, other: str, name: str) -> Any:
    from . import filter

    if not filter.has(half):
        raise TypeError(
            f'app.py has no function for {half} messages: decorate one with `@hubgate.filter.{half}`, or say "{other}" '
            f'(or, for a handler, "handler") as {WORLD}'
        )
    return getattr(filter, name)
