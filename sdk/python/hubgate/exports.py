"""What a component exports, made of what `app.py` has decorated. `hubgate plugin build` asks for it."""

import random
from typing import Any

from componentize_py_types import Err
from wit_world.imports import context

from . import handler
from .texts import text

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
            if not handler.is_handler():
                raise TypeError(
                    "app.py answers nothing: decorate a function with `@hubgate.method`, or, for a filter, say "
                    f'"filter" as {WORLD}'
                )
            return handler.Upstream
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
