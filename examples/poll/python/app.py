"""A live poll: everybody votes once, and all see the counts."""

from hubgate import Connection, config, hub, method, reject, state


def choices() -> list[str]:
    return (config.get("choices") or "tea,coffee,water").split(",")


@method
def vote(client: Connection, choice: str) -> dict[str, int]:
    if choice not in choices():
        reject(f"There is no choice '{choice}'.")
    voter = client.user_id or client.id
    if not state.compare_and_set(f"vote/{voter}", None, choice.encode()):
        reject("You have voted already.")
    state.increment(f"count/{choice}")
    now = counts(client)
    hub.send_all("counts", now)
    return now


@method
def counts(client: Connection) -> dict[str, int]:
    return {choice: state.get(f"count/{choice}", 0) for choice in choices()}


@method
def language(client: Connection) -> str:
    return "Python"
