"""The hub: what clients call and stream, and what it does by itself."""

from typing import Any

from hubgate import Connection, hub, method, reject, state
from hubgate.whole_hub import Stream, fired, streaming, timers


@method
def hello(client: Connection, name: str) -> str:
    return f"Hello, {name}!"


@method
def count(client: Connection) -> int:
    # The gateway keeps the number: variables of a plugin may vanish between two calls.
    return state.increment("count")


@method
def remind(client: Connection, ms: int, text: str) -> None:
    """The caller hears `reminded` with the text, so many milliseconds later."""
    timers.after(f"remind/{client.id}", ms, [client.id, text])


@streaming
def countdown(client: Connection, stream: Stream, start: int) -> None:
    if start > 100:
        reject("countdown needs a number up to 100")
    stream.push_all(range(start, 0, -1))
    stream.finish()


@fired
def remind_now(hub_name: str, timer: str, payload: Any) -> None:
    client, text = payload
    hub.send_connection(client, "reminded", text)
