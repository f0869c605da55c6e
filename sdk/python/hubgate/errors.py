"""How an event is answered with an error."""

from contextlib import contextmanager
from typing import Iterator, NoReturn

from componentize_py_types import Err
from wit_world.imports.types import Error_Failed, Error_Rejected

from .texts import text as text_of, with_texts

# The class is frozen, also for Python, which keeps a traceback on each exception: contextlib and unittest set it again.
setattr(Err, "__setattr__", Exception.__setattr__)


class Rejected(Exception):
    """The client is told the text."""


class Failed(Exception):
    """The text is for the log; the client is told that something went wrong."""


def reject(text: str) -> NoReturn:
    """Refuses the call, or the client that connects, with a text that the client is told."""
    raise Rejected(text)


def fail(text: str) -> NoReturn:
    """Gives the call up with a text for the log."""
    raise Failed(text)


@contextmanager
def answered() -> Iterator[None]:
    """Turns the errors above into the contract's. Any other exception breaks the call off, and its traceback is logged."""
    try:
        yield
    except Rejected as error:
        raise Err(Error_Rejected(text_of(str(error)))) from None
    except Failed as error:
        raise Err(Error_Failed(text_of(str(error)))) from None
    except Err as error:
        if isinstance(error.value, (Error_Rejected, Error_Failed)):
            raise Err(with_texts(error.value)) from None
        # Of an import of the contract that the plugin has called itself.
        raise Err(Error_Failed(text_of(f"the gateway refused: {error.value}"))) from None
