"""The filter of the conformance suite: see README.md above."""

from dataclasses import replace
from typing import Any

from hubgate import Connection, Payload_Json, config, parse, reply
from hubgate.filter import Close, Delivery, Drop, Message, Pass, Reject, Replace, Verdict, inbound, outbound


@inbound
def from_client(client: Connection, message: Message) -> Verdict:
    return look(message, "in:")


@outbound
def to_clients(delivery: Delivery, message: Message) -> Verdict:
    return look(message, "out:")


def look(message: Message, way: str) -> Verdict:
    content = parse(message.content) if isinstance(message.content, Payload_Json) else None
    match wish(content).removeprefix(way):
        case "reject":
            return Reject("The filter says no.")
        case "drop":
            return Drop()
        case "close":
            return Close("The filter has had enough.")
        case "crash":
            raise RuntimeError("The filter crashes.")
        case "mark" if isinstance(content, list):
            return Replace(replace(message, content=reply([*content, config.get("mark")])))
        case _:
            return Pass()


def wish(content: Any) -> str:
    first = content[0] if isinstance(content, list) and content else content
    return first if isinstance(first, str) else ""
