"""Lines of the gateway's log, with fields: `log.info("someone came", room="lobby")`. What is printed goes there, too."""

from wit_world.imports import log as contract
from wit_world.imports.types import Pair

from .texts import text as text_of


def debug(text: str, **fields: object) -> None:
    _write(contract.Level.DEBUG, text, fields)


def info(text: str, **fields: object) -> None:
    _write(contract.Level.INFO, text, fields)


def warn(text: str, **fields: object) -> None:
    _write(contract.Level.WARN, text, fields)


def error(text: str, **fields: object) -> None:
    _write(contract.Level.ERROR, text, fields)


def _write(level: contract.Level, text: str, fields: dict[str, object]) -> None:
    contract.write(level, text_of(text), [Pair(text_of(name), text_of(str(value))) for name, value in fields.items()])
