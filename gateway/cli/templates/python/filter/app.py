"""The filter: it hides a word in what clients send, and in what they are sent. `wit_world` is made from the contract by
`hubgate plugin build`."""

from dataclasses import replace

from wit_world import exports
from wit_world.imports.filtering import Verdict_Pass, Verdict_Replace
from wit_world.imports.types import Payload_Json

from hide import hide


class Lifecycle(exports.Lifecycle):
    def init(self):
        pass


class InboundFilter(exports.InboundFilter):
    def inspect(self, client, message):
        return inspect(message)


class OutboundFilter(exports.OutboundFilter):
    def inspect(self, delivery, message):
        return inspect(message)


def inspect(message):
    content = message.content
    if isinstance(content, Payload_Json):
        content = Payload_Json(hide(content.value))
    error = None if message.error is None else hide(message.error)
    hidden = replace(message, content=content, error=error)
    return Verdict_Pass() if hidden == message else Verdict_Replace(hidden)
