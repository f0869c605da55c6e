"""Ask a client, and wait for what it answers. From `hubgate.whole_hub`."""

from typing import Any, Union

from componentize_py_types import Err
from wit_world.imports import client_results as contract
from wit_world.imports.types import Connection, Payload_Json, Payload_Msgpack

from .errors import Rejected
from .payloads import parse, reply
from .texts import text


class AskError(Rejected):
    """A client has not answered. A method that does not catch it is refused with its text, which the caller is told."""

    def __init__(self, reason: contract.AskError) -> None:
        # As the packages of all languages say it.
        match reason:
            case contract.AskError_NoSuchConnection():
                text = "The connection does not exist."
            case contract.AskError_Failed(value):
                text = value
            case contract.AskError_TimedOut():
                text = "The client did not answer in time."
            case contract.AskError_Left():
                text = "The client left before it answered."
            case contract.AskError_Busy():
                text = "Too many wait for answers of clients; try again later."
        super().__init__(text)
        self.reason = reason


def ask(client: Union[Connection, str], method: str, *arguments: Any, timeout_ms: int = 0) -> Any:
    """Calls a method of one client, or of the connection with an id, and waits for what it answers; None if that is no value.
    Without a time it waits as long as the plugin's `ask-time`, which bounds every wait and does not count as `call-time`. One `Payload` instead of arguments is sent as it is."""
    if len(arguments) == 1 and isinstance(arguments[0], (Payload_Json, Payload_Msgpack)):
        payload = arguments[0]
    else:
        payload = reply(arguments)
    connection = client if isinstance(client, str) else client.id
    try:
        answer = contract.ask(text(connection), text(method), payload, timeout_ms)
    except Err as error:
        raise AskError(error.value) from None
    return parse(answer) if isinstance(answer, Payload_Json) else answer
