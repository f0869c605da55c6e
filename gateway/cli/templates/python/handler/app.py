"""The handler: what clients call, answered. `wit_world` is made from the contract by `hubgate plugin build`."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import state
from wit_world.imports.types import Error_Failed, Error_Rejected, Payload_Json

from answers import greet


class Lifecycle(exports.Lifecycle):
    def init(self):
        pass


class Upstream(exports.Upstream):
    def connected(self, client):
        """Raise `Err(Error_Rejected(text))` to refuse the client."""

    def disconnected(self, client, reason):
        pass

    def invoke(self, client, call):
        if not isinstance(call.arguments, Payload_Json):
            raise Err(Error_Failed("this plugin reads JSON"))
        arguments = json.loads(call.arguments.value)
        match call.target:
            case "hello":
                try:
                    return answer(greet(arguments))
                except ValueError as error:
                    raise Err(Error_Rejected(str(error)))
            case "count":
                # The gateway keeps the number: variables of a plugin may vanish between two calls.
                return answer(state.increment("count", 1, None))
            case unknown:
                raise Err(Error_Rejected(f"there is no method '{unknown}'; 'hello' and 'count' are"))


def answer(value):
    return Payload_Json(json.dumps(value, ensure_ascii=False))
