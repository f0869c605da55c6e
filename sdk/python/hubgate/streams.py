"""Streams to clients: opened by a call of theirs, fed and ended now or in any later call. From `hubgate.whole_hub`."""

from typing import Any, Iterable, Optional, Sequence

from componentize_py_types import Err, Ok
from wit_world.imports import streams as contract
from wit_world.imports.streams import Room
from wit_world.imports.types import Error_Failed, Error_Rejected, Payload, Payload_Json, Payload_Msgpack

from .errors import Failed
from .payloads import reply
from .texts import text as text_of


class Stream:
    """A stream to a client, or the answer that a call with uploads still waits for. What is done to it takes effect at once."""

    def __init__(self, id: str, uploads: Sequence[str] = (), room: Optional[Room] = None) -> None:
        self.id = id
        """The gateway's own, unique in the cluster: keep it in `state`, or in a timer's payload, to go on later."""
        self.uploads = uploads
        """The ids of the streams that came with the call, in the order of its parameters. Empty but in the method that it opened."""
        self.room = room
        """How many items, and bytes of them, there is room for; None before the first push."""
        self.is_open = True
        """Whether it is open, as far as what was done to it by this object has shown: false after a push that found it over."""

    @staticmethod
    def from_id(id: str) -> "Stream":
        """One that an earlier call has opened."""
        return Stream(id)

    def push(self, item: Any) -> bool:
        """Sends an item; says whether it did. It does not where there is no room, and then `@writable` comes once there is some;
        and where the stream is over, and then nothing comes. Raises `Failed` for an item that would never fit."""
        return self.push_all([item])

    def push_all(self, items: Iterable[Any]) -> bool:
        """Sends all of the items, in order, or none; says whether it did, as `push`."""
        try:
            self.room = contract.push(self.id, [_payload(item) for item in items])
            return True
        except Err as error:
            match error.value:
                case contract.PushError_NoSuchStream():
                    self.is_open = False
                case contract.PushError_Full(room):
                    self.room = room
                case other:
                    raise _failed(other) from None
            return False

    def finish(self) -> bool:
        """Ends it, or answers the call without a value; says whether it was still open."""
        return self._finish(Ok(None))

    def answer(self, value: Any) -> bool:
        """Answers the call that came with uploads; says whether it was still open. A stream of items has no such value."""
        return self._finish(Ok(_payload(value)))

    def reject(self, text: str) -> bool:
        """Ends it with an error that the client sees; says whether it was still open."""
        return self._finish(Err(Error_Rejected(text_of(text))))

    def fail(self, text: str) -> bool:
        """Ends it with an error for the log, of which the client is told that it did not work; says whether it was still open."""
        return self._finish(Err(Error_Failed(text_of(text))))

    def _finish(self, outcome: Any) -> bool:
        self.is_open = False
        try:
            contract.finish(self.id, outcome)
        except Err as error:
            if isinstance(error.value, contract.PushError_NoSuchStream):
                return False
            raise _failed(error.value) from None
        return True


def _payload(value: Any) -> Payload:
    return value if isinstance(value, (Payload_Json, Payload_Msgpack)) else reply(value)


def _failed(error: contract.PushError) -> Failed:
    # As the packages of all languages say it.
    match error:
        case contract.PushError_TooLarge():
            return Failed("stream: what is pushed would never fit")
        case contract.PushError_Invalid(value):
            return Failed(f"stream: {value}")
    return Failed(f"stream: {error}")
