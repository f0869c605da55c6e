"""The arguments of a call, checked against the annotations of the function that gets them."""

import inspect
import types
import typing
from typing import Any, Callable, Literal, Optional, Sequence, Union

from wit_world.imports.types import Connection, Payload

from .errors import Rejected
from .payloads import parse

NAMES = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def refuse_async(function: Callable[..., Any]) -> None:
    """A plugin answers at once: nobody runs an event loop for it."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"`{function.__name__}` is `async def`, but a plugin answers at once: write `def`, and call imports without await"
        )


def refuse_other_counts(function: Callable[..., Any], event: str, *parameters: str) -> None:
    """The function of an event is called with so many arguments; `parameters` are their names and types."""
    try:
        inspect.signature(function).bind(*parameters)
    except TypeError:
        name = function.__name__
        raise TypeError(f"`{name}` for @{event} must be `def {name}({', '.join(parameters)})`") from None


class Parameters:
    """What a method takes after the client, and what a streaming one takes after its stream."""

    def __init__(self, name: str, function: Callable[..., Any], stream: Optional[type] = None) -> None:
        """`name` is what clients call it; `stream` the class of the second parameter of a streaming method."""
        refuse_async(function)
        self._name = name
        given = [("client", Connection)] + ([("stream", stream)] if stream is not None else [])
        parameters = list(inspect.signature(function).parameters.values())
        by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        names = ", ".join(one for one, _ in given)
        if len(parameters) < len(given) or any(one.kind not in by_place for one in parameters[: len(given)]):
            needs = "the client as its first parameter" if stream is None else "the client and the stream as its first parameters"
            raise TypeError(f"`{name}` needs {needs}: `def {function.__name__}({names}, ...)`")
        for one in parameters:
            if one.kind is inspect.Parameter.KEYWORD_ONLY and one.default is inspect.Parameter.empty:
                raise TypeError(f"`{one.name}` of `{name}` takes a keyword, but a client gives arguments by their place: leave out the `*`")
        rest = parameters[len(given) :]
        self._rest = [one for one in rest if one.kind is inspect.Parameter.VAR_POSITIONAL]
        self._plain = [one for one in rest if one.kind in by_place]
        hints = typing.get_type_hints(function)
        for place, (parameter, (wanted, one_type)) in enumerate(zip(parameters, given)):
            if hints.get(parameter.name, one_type) not in (one_type, Any, object):
                written = ", ".join([f"{one}: {one_type.__name__}" for one, one_type in given] + [str(one) for one in parameters[place:]])
                raise TypeError(
                    f"`{name}` gets the {wanted} as its {('first', 'second')[place]} parameter, which cannot be `{parameter}`: "
                    f"write `def {name}({written})`"
                )
        self._types = {one.name: hints.get(one.name, Any) for one in self._plain + self._rest}
        self.is_raw = len(rest) == 1 and self._types.get(rest[0].name) == Payload
        if not self.is_raw:
            for name_of_one, kind in self._types.items():
                _describe(kind, f"`{name_of_one}` of `{name}`")

    def read(self, payload: Payload) -> Sequence[Any]:
        """Raises `Rejected` for a wrong number or wrong types."""
        if self.is_raw:
            return [payload]
        values: list[Any] = parse(payload)
        self._count(len(values))
        parameters = self._plain + self._rest * (len(values) - len(self._plain))
        for place, (parameter, value) in enumerate(zip(parameters, values), 1):
            kind = self._types[parameter.name]
            if not _fits(value, kind):
                found = NAMES[type(value)]
                raise Rejected(f"Wrong arguments: argument {place} must be {_describe(kind)}, not {found}.")
        return values

    def _count(self, given: int) -> None:
        least = sum(one.default is inspect.Parameter.empty for one in self._plain)
        most = len(self._plain)
        if given < least or (given > most and not self._rest):
            number = f"{least}" if least == most else f"{least} to {most}"
            number = f"at least {least}" if self._rest else number
            raise Rejected(f"Wrong arguments: {self._name} takes {number}, got {given}.")


def _fits(value: Any, kind: Any) -> bool:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return True
    if kind is None:
        return value is None
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in inner)
    if origin is list:
        return isinstance(value, list) and all(_fits(item, inner[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(item, inner[1]) for item in value.values())
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind


def _describe(kind: Any, where: str = "") -> str:
    """The type in words; raises `TypeError` for one that no JSON value has."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return "a value"
    if kind is None:
        return NAMES[type(None)]
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(one, where) for one in inner)
    if origin is Literal:
        return " or ".join(repr(one) for one in inner)
    if origin is list:
        return f"a list, each item {_describe(inner[0], where)}"
    if origin is dict and inner[0] is str:
        return f"an object, each value {_describe(inner[1], where)}"
    if kind in NAMES:
        return NAMES[kind]
    raise TypeError(
        f"{where} has the type {kind}, which no argument has; str, int, float, bool, list, dict, None, Any, Literal and "
        "unions of these can be told apart (Payload, as the only parameter after the client, takes what came as it is)"
    )
