"""The handler: what clients call, answered."""

from hubgate import Connection, method, state


@method
def hello(client: Connection, name: str) -> str:
    return f"Hello, {name}!"


@method
def count(client: Connection) -> int:
    # The gateway keeps the number: variables of a plugin may vanish between two calls.
    return state.increment("count")
