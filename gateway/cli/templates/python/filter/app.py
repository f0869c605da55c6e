"""The filter: it hides a word in what clients send, and in what they are sent."""

from dataclasses import replace

from hubgate import Connection, Payload_Json
from hubgate.filter import Delivery, Message, Pass, Replace, Verdict, inbound, outbound


@inbound
def from_client(client: Connection, message: Message) -> Verdict:
    return look(message)


@outbound
def to_clients(delivery: Delivery, message: Message) -> Verdict:
    return look(message)


def look(message: Message) -> Verdict:
    content = message.content
    # The other kind, MessagePack, comes to plugins with `payload = "native"` alone.
    if isinstance(content, Payload_Json):
        content = Payload_Json(hide(content.value))
    error = None if message.error is None else hide(message.error)
    hidden = replace(message, content=content, error=error)
    return Pass() if hidden == message else Replace(hidden)


def hide(text: str) -> str:
    return text.replace("secret", "******")
