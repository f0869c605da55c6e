"""The handler of the conformance suite: see README.md above."""

import random
import time
from typing import Any, Optional

from hubgate import Connection, Pair, Payload, config, connected, connections, context, disconnected, fail, http, hub
from hubgate import log, method, reject, reply, state
from hubgate.texts import text


@connected
def come(client: Connection) -> None:
    if client.user_id == "refuse-me":
        reject("You are not welcome.")


@disconnected
def go(client: Connection, reason: Optional[str]) -> None:
    state.increment("gone")


@method
def echo(client: Connection, x: Any) -> Payload:
    return reply(x)


@method
def add(client: Connection, a: int, b: int) -> int:
    return a + b


@method
def length(client: Connection, text: str) -> int:
    return len(text)


@method("fail")
def fail_(client: Connection, text: str) -> None:
    reject(text)


@method
def failed(client: Connection, text: str) -> None:
    fail(text)


@method
def crash(client: Connection, text: str) -> None:
    raise RuntimeError(text)


@method
def spin(client: Connection) -> None:
    while True:
        pass


@method
def grow(client: Connection) -> None:
    eaten = []
    while True:
        eaten.append(b"x" * (1 << 20))


@method
def say(client: Connection, text: str) -> None:
    hub.send_all("said", text)


@method("sayTo")
def say_to(client: Connection, group: str, text: str) -> None:
    hub.send_group(group, "said", text)


@method
def tell(client: Connection, user: str, text: str) -> None:
    hub.send_user(user, "said", text)


@method("sayToConnection")
def say_to_connection(client: Connection, id: str, text: str) -> None:
    hub.send_connection(id, "said", text)


@method("sayToOthers")
def say_to_others(client: Connection, text: str) -> None:
    hub.send_all("said", text, except_=[client.id])


@method("sayAndFail")
def say_and_fail(client: Connection, text: str) -> None:
    hub.send_all("said", text)
    reject(text)


@method("sayAndCrash")
def say_and_crash(client: Connection, text: str) -> None:
    hub.send_all("said", text)
    raise RuntimeError(text)


@method("sayFlushAndFail")
def say_flush_and_fail(client: Connection, text: str) -> None:
    hub.send_all("said", text)
    hub.flush()
    hub.send_all("said", "late")
    reject(text)


@method
def join(client: Connection, group: str) -> None:
    hub.join(client.id, group)


@method("joinUser")
def join_user(client: Connection, user: str, group: str) -> None:
    hub.join(hub.user(user), group)


@method
def leave(client: Connection, group: str) -> None:
    hub.leave(client.id, group)


@method("leaveAll")
def leave_all(client: Connection) -> None:
    hub.leave_all(client.id)


@method
def exists(client: Connection, group: str) -> bool:
    return hub.exists(hub.group(group))


@method("quit")
def quit_(client: Connection, reason: str) -> None:
    hub.close(client.id, reason)


@method
def whoami(client: Connection) -> dict[str, Any]:
    claims: list[Pair] = connections.claims(client.id) or []
    return {
        "connectionId": client.id,
        "userId": client.user_id,
        "hub": client.hub,
        "claims": [[claim.name, claim.value] for claim in claims],
        "query": connections.query(client.id),
        "protocol": connections.protocol(client.id),
        "address": connections.remote_address(client.id),
    }


@method
def count(client: Connection, key: str) -> int:
    return state.increment(key)


@method("set")
def set_(client: Connection, key: str, value: str, ttl: Optional[int]) -> None:
    state.set_bytes(key, text(value).encode(), ttl)


@method
def get(client: Connection, key: str) -> Payload:
    value = state.get_bytes(key)
    return reply(None if value is None else value.decode())


@method
def swap(client: Connection, key: str, expected: Optional[str], value: Optional[str]) -> bool:
    before = None if expected is None else expected.encode()
    return state.compare_and_set(key, before, None if value is None else value.encode())


@method
def delete(client: Connection, key: str) -> None:
    state.delete(key)


@method
def keys(client: Connection, prefix: str) -> list[str]:
    return state.keys(prefix)


@method
def setting(client: Connection, key: str) -> Payload:
    return reply(config.get(key))


@method
def note(client: Connection, text: str) -> None:
    log.info(text, by=client.id)


@method("context")
def context_(client: Connection) -> dict[str, Any]:
    return {
        "now": context.now(),
        "eventId": context.event_id(),
        "timeLeft": context.time_left(),
        "random": list(context.random(8)),
    }


@method
def chance(client: Connection) -> float:
    return random.random()


@method
def clock(client: Connection) -> int:
    return int(time.time() * 1000)


@method
def raw(client: Connection, arguments: Payload) -> Payload:
    return arguments


@method
def fetch(client: Connection, url: str) -> dict[str, Any]:
    response = http.get(url)
    return {"status": response.status, "body": response.body.decode()}
