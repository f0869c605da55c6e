"""Texts and times as the contract can carry them."""

import math
import re
from dataclasses import is_dataclass
from typing import Any, Optional

_HALVES = re.compile("[\ud800-\udfff]")


def text(value: str) -> str:
    """The contract's texts are UTF-8, which has nothing for one half of a surrogate pair ("\\ud800", as a client may send it):
    U+FFFD stands for it."""
    return value if value.isascii() else _HALVES.sub("\ufffd", value)


def with_texts(value: Any) -> Any:
    """A value of the contract with each text in it as above."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, (list, tuple)):
        return type(value)(map(with_texts, value))
    if is_dataclass(value):
        return type(value)(*map(with_texts, vars(value).values()))  # type: ignore[misc]
    return value


def time_to_live(time: Optional[float], most: int) -> Optional[int]:
    """Only a time that is not there is for ever; one of zero or less is over at once. Raises `ValueError` for NaN and
    infinity."""
    if time is None:
        return None
    if not math.isfinite(time):
        raise ValueError(f"a time to live is a finite number, or None to last for ever, not {time}")
    return min(max(0, math.ceil(time)), most)
